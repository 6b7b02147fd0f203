/* The what-if's numbers as text. */

import { el } from "seq2exp/page/dom";

/* A change with its sign: two decimals, three for small ones; what rounds to 0 has no sign. */
export function signed(value) {
  const size = Math.abs(value);
  const text = size >= 0.0995 ? size.toFixed(2) : size.toFixed(3);
  return Number(text) === 0 ? "0.000" : `${value < 0 ? "−" : "+"}${text}`;
}

/* The same to three digits that count, for titles. */
export const exactly = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toPrecision(3)}`;

/* One of two levels, with as many decimals as it takes to see that they differ. */
const level = (value, other) => value.toFixed(Math.abs(value - other) < 0.0195 ? 3 : 2);

export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");

/* The progress of a job: ", 3 of 20, 5 s left". */
export const progress = ({ done, total, seconds_left: left }) =>
  (total > 1 ? `, ${done} of ${total}` : "") + (left ? `, ${left < 90 ? `${Math.ceil(left)} s` : `${Math.round(left / 60)} min`} left` : "");

/* How an effect ranks among those of control regions: random regions of the same length. */
export function controlWords({ control_n: n, control_rank: rank, control_sd: sd, control_mean: mean }) {
  if (!n) return "";
  if (!sd && !mean) return "control regions change nothing: this mask hides them already";
  return `${rank} of ${n} control regions at least as strong`;
}

/* The server's answer: before and after, the change, and its rank. `several`: more than one region is edited. */
export function answerLines(answer, unit, several) {
  const [before, after] = [level(answer.baseline, answer.predicted), level(answer.predicted, answer.baseline)];
  const numbers = el("p", { class: "whatif-numbers" }, el("span", { class: "quiet" }, "Predicted "), before, " → ", el("strong", { id: "whatif-predicted" }, after));
  const fold = answer.fold_change;
  const title = `Delta ${exactly(answer.delta)}: predicted with these changes minus predicted without them${fold ? "; the fold change is of the label + 1" : ""}`;
  const delta = `Delta ${signed(answer.delta)}${unit ? ` in ${unit}` : ""}${fold ? `, ${fold.toFixed(2)}-fold` : ""}`;
  return [numbers, el("p", { title }, delta), ...(answer.control ? [el("p", { class: "quiet" }, `${sentence(rankText(answer.control, several))}.`)] : [])];
}

function rankText(control, several) {
  if (!control.control_n) return "no control region of that length fits into the window";
  const text = controlWords(control);
  return several ? text.replace("control regions", "sets of control regions") : text;
}
