/* The whole page: loads all modules and returns the functions that Dash calls (see dash_clientside.js). */

import "seq2exp/page/failures"; // first: it watches what the others ask
import "seq2exp/page/debug";
import "seq2exp/page/downloads";
import "seq2exp/page/help";
import "seq2exp/page/peak_audit";
import "seq2exp/page/saved_view";
import "seq2exp/page/tabs";

export { callbacks } from "seq2exp/page/callbacks";
