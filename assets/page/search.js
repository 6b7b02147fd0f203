/* The search field: genes, ids and regions. */

import { addActions } from "seq2exp/page/actions";
import { go } from "seq2exp/page/browser";
import { noUpdate, setProps } from "seq2exp/page/dash";
import { byId, closest } from "seq2exp/page/dom";
import { notify } from "seq2exp/page/notification";
import { ask } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";

const OPTION = ".mantine-Autocomplete-option";
const field = () => byId("search");
const search = (text) => setProps("query", { data: { text, number: Date.now() } });
let turn = 0; // counts what the user asked to see: an answer to anything but the last comes too late and is dropped

/* The user went elsewhere: answers to earlier searches are dropped. */
export function dropSearches() {
  turn += 1;
}

/* Dash: what a search leads to; a gene of the run is shown, a region is gone to. */
export async function find(query, run, shown) {
  if (!query || !run) return noUpdate();
  const now = ++turn;
  const here = state.locus ? state.locus.chrom : null;
  const found = await ask(`${run}/search`, { q: query.text, chrom: here }).catch((problem) => ({ message: problem.message }));
  if (now !== turn) return noUpdate();
  notify(found.message, found.suggestions);
  const there = ["gene", "unscored", "locus"].includes(found.kind);
  if (there && field().value === query.text) field().blur(); // closes the suggestions, unless more was typed
  if (found.kind === "gene") {
    if (!shown || shown.gene !== found.gene_id) return { run, gene: found.gene_id };
    await go(state.view && state.view.locus);
  }
  if (found.kind === "unscored") return { run, gene: null, unscored: found };
  if (found.kind === "locus") await go(found);
  return noUpdate();
}

/* Dash: suggestions for what was typed. */
export async function suggest(text, run) {
  const typed = (text || "").trim();
  return typed.length > 0 && !typed.includes(":") ? ask(`${run}/suggest`, { q: typed }).catch(() => []) : [];
}

/* Dash: a gene of the list that has no mask yet, with its region and the offer to score it. */
export async function findUnscored(id, shown) {
  if (shown.unscored && shown.unscored.gene_id === id) return noUpdate();
  const now = ++turn;
  const found = await ask(`${shown.run}/search`, { q: id });
  return now === turn ? { run: shown.run, gene: null, unscored: found } : noUpdate();
}

/* Enter searches for what the field holds then, because Dash learns of each letter only later. Where a suggestion is
 * marked, the list of suggestions takes the key and clicks the suggestion. */
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.target !== field() || event.isComposing || event.defaultPrevented) return;
  search(event.target.value);
});

document.addEventListener("click", (event) => {
  const option = closest(event, OPTION);
  if (option) search(option.getAttribute("value") || option.textContent);
});

/* A suggestion that was marked belongs to what was typed before. */
document.addEventListener("input", (event) => {
  if (event.target !== field()) return;
  for (const option of document.querySelectorAll(`${OPTION}[data-combobox-selected]`)) option.removeAttribute("data-combobox-selected");
});

/* A click on what a message offers in place of what was not found. */
addActions({
  "look-up"(_event, button) {
    setProps("search", { value: button.dataset.query });
    search(button.dataset.query);
  },
});
