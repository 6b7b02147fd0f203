/* The table of elements: of the gene on the screen, or of all genes. */

import { addActions } from "seq2exp/page/actions";
import { gridOf, noUpdate, setProps } from "seq2exp/page/dash";
import { byId, el } from "seq2exp/page/dom";
import { on } from "seq2exp/page/events";
import { showGenesUsing } from "seq2exp/page/genes_using_region";
import { wideView } from "seq2exp/page/region";
import { apiUrl } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";
import { thresholdNow, visit } from "seq2exp/page/view";

const grid = () => gridOf("elements-table");
const EFFECT_COLUMNS = ["effect", "recurrence", "direction", "element_gene_score", "contact", "control_rank"];
const PLACE_COLUMNS = 3; // gene, element, position
let listens = false; // whether the count follows the table

/* Have the table ask for its rows again, where its tab is open. */
function refill() {
  const api = grid();
  if (!api || state.tab !== "elements") return;
  if (!listens) {
    api.addEventListener("modelUpdated", showCount);
    listens = true;
  }
  arrange(api);
  api.purgeInfiniteCache();
}

/* Show the columns of which the run knows values; effects stand first where the run stores them. */
function arrange(api) {
  if (!state.view) return; // "drawn" follows
  const { known, withheld, effectsFirst } = state.view.elementColumns;
  api.setColumnsVisible(withheld, false);
  api.setColumnsVisible(known, true);
  api.moveColumns(EFFECT_COLUMNS, effectsFirst ? PLACE_COLUMNS : api.getColumns().length - EFFECT_COLUMNS.length);
}

function showCount() {
  const api = grid();
  const rows = api.isLastRowIndexKnown() ? api.getDisplayedRowCount() : null;
  byId("elements-count").textContent = rows === null ? "" : `${rows.toLocaleString("en")} elements`;
}

function changeScope(_event, button) {
  state.elementTable.scope = button.dataset.scope;
  for (const choice of document.querySelectorAll("[data-scope]")) {
    choice.setAttribute("aria-pressed", String(choice === button));
  }
  setProps("scope", { data: state.elementTable.scope });
}

/* Download the table with its filters and its order. */
function download() {
  const api = grid();
  const sorts = api.getColumnState().filter((column) => column.sort).sort((a, b) => a.sortIndex - b.sortIndex);
  const ofGene = state.elementTable.scope === "gene";
  const href = apiUrl(`${state.run}/elements.tsv`, {
    filters: JSON.stringify(api.getFilterModel()),
    sorts: JSON.stringify(sorts.map(({ colId, sort }) => ({ colId, sort }))),
    gene: ofGene ? state.gene : null,
    threshold: ofGene && state.threshold !== null ? thresholdNow() : null,
  });
  el("a", { href, download: "" }).click();
}

addActions({ scope: changeScope, "elements-tsv": download });
on("tab", refill);
on("drawn", () => void setTimeout(refill)); // once Dash knows the gene, too

/* Dash: the gene, the threshold or the scope changed. */
export function tableIsStale() {
  refill();
  return noUpdate();
}

/* Dash: a row of the table was chosen. */
export function elementChosen(rows) {
  const row = Array.isArray(rows) && rows[0];
  if (!row) return noUpdate();
  visit(row.gene_id, wideView(row));
  showGenesUsing({ chrom: row.chrom, start: row.start, end: row.end });
  return row.gene_id + row.name;
}

/* Dash: a gene was clicked in the plot of observed against predicted. */
export function pointChosen(click, shown) {
  const gene = click && click.points && click.points[0].customdata;
  return gene && shown && gene !== shown.gene ? { run: shown.run, gene } : noUpdate();
}
