/* The line over the tracks: what was done, or what went wrong. */

import { byId, el } from "seq2exp/page/dom";

const SHOWN_MS = 12_000;
const SHOWN_WITH_CHOICES_MS = 60_000;
let timer = null;

/* Show a message until the next one; "" clears the line. `choices` are texts to search for with a click. */
export function notify(text, choices = []) {
  const line = byId("message");
  if (line) {
    const buttons = (choices || []).map((choice) => el("button", { class: "link", "data-action": "look-up", "data-query": choice }, choice));
    line.replaceChildren(...[text || ""].concat(buttons.flatMap((button) => [" ", button])));
  }
  clearTimeout(timer);
  if (text) timer = setTimeout(() => line && line.replaceChildren(), choices && choices.length ? SHOWN_WITH_CHOICES_MS : SHOWN_MS);
}
