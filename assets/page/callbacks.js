/* The functions that Dash calls (clientside callbacks, namespace seq2exp), by the names of seq2exp_viz/page/callbacks.py. */

import { loadLibrary, refresh, trackOf } from "seq2exp/page/browser";
import { noUpdate, preventUpdate } from "seq2exp/page/dash";
import { elementChosen, pointChosen, tableIsStale } from "seq2exp/page/element_table";
import { emit } from "seq2exp/page/events";
import { showSecondRun } from "seq2exp/page/gene_list";
import { notify } from "seq2exp/page/notification";
import { enqueue } from "seq2exp/page/queue";
import { dropSearches, find, findUnscored, suggest } from "seq2exp/page/search";
import { state } from "seq2exp/page/state";
import * as url from "seq2exp/page/url";
import { drawWaiting, reload, requestView, showThreshold } from "seq2exp/page/view";

let drawn = null; // "run|gene|unscored gene" that was drawn last

/* The page is there: what its address asks for, and the run to show. */
function start(config) {
  state.config = config;
  loadLibrary().catch(() => {}); // who needs it reports
  const asked = url.read();
  const run = config.runs.includes(asked.run) ? asked.run : config.runs[0];
  emit("page");
  if (asked.run && run !== asked.run) notify(`The run “${asked.run}” is not served here. The run “${run}” is shown.`);
  return [{ ...asked, run }, run];
}

/* A row of the list of genes was chosen. */
function pick(rows, shown) {
  if (!Array.isArray(rows) || rows.length === 0 || !shown || rows[0].gene_id === shown.gene) return noUpdate();
  return rows[0].state === "scored" ? { run: shown.run, gene: rows[0].gene_id } : findUnscored(rows[0].gene_id, shown);
}

/* The gene, the threshold or the second run changed. */
function draw(shown, threshold, secondRun, asked, _config, revision) {
  if (!shown || !state.config) return noUpdate();
  const unscored = shown.unscored || null;
  const view = `${shown.run}|${shown.gene}|${unscored && unscored.gene_id}`;
  if (view !== drawn) dropSearches();
  drawn = view;
  showThreshold(threshold);
  requestView({ run: shown.run, gene: shown.gene, unscored, waits: shown.waits || null, threshold, secondRun }, asked, revision);
  return noUpdate();
}

/* The server's news of the run: it has grown, its annotation was read, something failed in the background. */
function annotated(revision) {
  if (!revision) return noUpdate();
  if (revision.annotated && state.annotated === false) {
    enqueue(() => Promise.all(["genes", "transcripts"].map((id) => refresh(trackOf(id))))); // models in place of start sites
  }
  drawWaiting(revision);
  if (state.mark && revision.run === state.run && revision.mark !== state.mark) enqueue(reload);
  const notes = revision.notes || [];
  const reported = state.notes && state.notes.run === revision.run ? state.notes.lines : notes;
  const news = notes.filter((line) => !reported.includes(line));
  if (news.length) notify(news.join(" "));
  Object.assign(state, { notes: { run: revision.run, lines: notes }, annotated: revision.annotated, mark: revision.mark, rule: revision.threshold });
  return noUpdate();
}

/* The filter over the list of genes. */
const filter = (text, options) => ({ ...options, quickFilterText: text || "" });

/* Mark the gene on the screen in the list. A gene that was marked before another one was looked up is not marked any more:
 * the list names its marked gene anew whenever its rows change, and `pick` would go back to it. */
function select(shown, rows, selected) {
  if (!shown || !rows || rows.length === 0) return [noUpdate(), noUpdate()];
  const marked = Array.isArray(selected) ? selected.map((row) => row.gene_id) : (selected && selected.ids) || [];
  const wanted = shown.gene || (shown.unscored && shown.unscored.gene_id);
  if (marked.length === 1 && marked[0] === wanted) return [noUpdate(), noUpdate()];
  if (!shown.gene) return [marked.length ? [] : noUpdate(), noUpdate()];
  return [{ ids: [shown.gene] }, { rowId: shown.gene, rowPosition: "middle" }];
}

/* Back to the run's own threshold. */
const reset = (_count, revision) => (revision ? revision.threshold : noUpdate());

/* Report in the page what a callback throws; Dash would only log it. */
function reporting(callback) {
  const fails = (problem) => {
    console.error(problem);
    notify(problem.message);
    throw preventUpdate();
  };
  return (...given) => {
    try {
      const found = callback(...given);
      return found instanceof Promise ? found.catch(fails) : found;
    } catch (problem) {
      return fails(problem);
    }
  };
}

const all = {
  ...{ start, pick, find, draw, annotated, suggest, filter, select, reset },
  ...{ columns: showSecondRun, element: elementChosen, point: pointChosen, stale: tableIsStale },
};
export const callbacks = Object.fromEntries(Object.entries(all).map(([name, callback]) => [name, reporting(callback)]));
