/* Actions on the genome browser, one after the other. */

import { byId } from "seq2exp/page/dom";
import { notify } from "seq2exp/page/notification";

let last = Promise.resolve();

/* Run an action, which may be asynchronous, once all earlier ones are done; report what it throws. */
export function enqueue(action) {
  last = last.then(action).catch((problem) => {
    console.error(problem);
    notify(problem.message);
    const box = byId("igv");
    if (box) box.dataset.failed = problem.message; // stands in the browser's place for as long as there are no tracks
  });
  return last;
}

/* A promise that is done once all actions so far are. */
export const settled = () => last;
