/* The one name that this page puts on `window`: for a look at the page in the browser's console, and for tests.
 * Nothing of the page reads it. */

import { actions } from "seq2exp/page/actions";
import { go, igvBrowser, trackOf } from "seq2exp/page/browser";
import { settled } from "seq2exp/page/queue";
import { state } from "seq2exp/page/state";
import * as url from "seq2exp/page/url";
import { userTracks } from "seq2exp/page/user_tracks";
import { addEdit } from "seq2exp/page/whatif";

const handle = Object.freeze({ actions, addEdit, go, igvBrowser, settled, state, trackOf, url, userTracks });
Object.defineProperty(window, "seq2exp", { get: () => handle });
