/* The help overlay, and the keys that it names. */

import { actions, addActions } from "seq2exp/page/actions";
import { go } from "seq2exp/page/browser";
import { byId, closest } from "seq2exp/page/dom";
import { state } from "seq2exp/page/state";

addActions({
  help: () => !byId("help").open && byId("help").showModal(),
  "close-help": () => byId("help").close(),
});

/* Move by half a screen, inside the chromosome; `side` is -1 or 1. */
function move(side) {
  const { locus } = state;
  if (!locus) return;
  const width = locus.end - locus.start;
  const start = Math.max(0, Math.round(locus.start + (side * width) / 2));
  go({ chrom: locus.chrom, start, end: start + width });
}

const KEYS = {
  "?": () => actions.help(),
  "/": () => byId("search").focus(),
  "+": () => actions["zoom-in"](),
  "=": () => actions["zoom-in"](),
  "-": () => actions["zoom-out"](),
  w: () => actions.window(),
  t: () => actions.promoter(),
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
};

/* Where a letter or an arrow means something else, it is left alone. A dialog that was just closed keeps the focus until
 * the next frame, and keys that come before it are the page's: hence dialog[open]. */
const BUSY = "input, textarea, select, [contenteditable], dialog[open], [role=slider], [role=tab], [role=listbox], .ag-root";

document.addEventListener("keydown", (event) => {
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (closest(event, BUSY)) return;
  event.preventDefault();
  action();
});

/* A click outside the help's box closes it. */
document.addEventListener("click", (event) => event.target.id === "help" && event.target.close());
