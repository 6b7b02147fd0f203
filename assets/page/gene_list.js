/* The list of genes: which columns are shown, narrow or wide, and as a file. */

import { addActions } from "seq2exp/page/actions";
import { gridOf, noUpdate, setProps } from "seq2exp/page/dash";
import { byId, el, saveFile } from "seq2exp/page/dom";
import { state } from "seq2exp/page/state";

const STORED = "seq2exp-columns"; // the user's choice, in the browser's own storage
const SECOND_RUN = "predicted_beside"; // the column of a second run's prediction
const OBSERVED = ["observed", "residual"]; // columns of measured expression
const SEEN = "seen_in_training"; // the column that marks genes of the model's training
const GIVES_WAY = ["elements", "elements_without_peak"]; // columns that make room for it in the narrow list
const withoutHyphens = (text) => text.replace(/\u00ad/g, "");
const list = state.geneList;
const width = () => (list.wide ? "wide" : "narrow");

function storedChoice() {
  try {
    return JSON.parse(localStorage.getItem(STORED)) || {};
  } catch {
    return {};
  }
}

/* The fields whose columns are shown. */
function shownFields() {
  const columns = state.config.columns;
  const own = storedChoice()[width()];
  const fields = new Set(own || columns.filter((column) => list.wide || !column.hide).map((column) => column.field));
  fields.delete(SECOND_RUN);
  withheldFields().forEach((field) => fields.delete(field));
  if (list.seen && !list.measured && !own) fields.add(SEEN); // it has the room of the observed values
  if (list.secondRun) {
    fields.add(SECOND_RUN);
    if (!list.wide && !own) GIVES_WAY.forEach((field) => fields.delete(field));
  }
  return fields;
}

/* The fields of which this run knows no value. */
function withheldFields() {
  return [...(list.measured ? [] : OBSERVED), ...(list.seen ? [] : [SEEN])];
}

function showColumns() {
  const fields = shownFields();
  const columnDefs = state.config.columns.map((column) => ({
    ...column,
    hide: !fields.has(column.field),
    floatingFilter: list.wide,
    headerName: column.field === SECOND_RUN && list.secondRun ? `Predicted, ${list.secondRun}` : column.headerName,
  }));
  setProps("genes", { columnDefs });
  listColumns(fields);
}

/* The menu of columns. */
function listColumns(fields) {
  const rows = state.config.columns
    .filter((column) => column.field !== SECOND_RUN && !withheldFields().includes(column.field))
    .map((column) => {
      const tick = el("input", { type: "checkbox", "data-column": column.field, onchange: chooseColumns });
      tick.checked = fields.has(column.field);
      return el("label", {}, tick, withoutHyphens(column.headerName));
    });
  byId("column-list").replaceChildren(...rows, el("hr"), el("button", { "data-action": "genes-tsv" }, "Download this list (TSV)"));
}

function chooseColumns() {
  const ticks = [...document.querySelectorAll("#column-list [data-column]")];
  const fields = ticks.filter((tick) => tick.checked).map((tick) => tick.dataset.column);
  localStorage.setItem(STORED, JSON.stringify({ ...storedChoice(), [width()]: fields }));
  showColumns();
}

function toggleWide(_event, button) {
  list.wide = !list.wide;
  button.setAttribute("aria-pressed", String(list.wide));
  document.querySelector(".page").classList.toggle("wide", list.wide);
  showColumns();
  requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
}

// Text that a spreadsheet program would compute: as in seq2exp_viz's tables.py.
const FORMULA = /^\s*(?:[=@]|[+-](?!\s*$)(?![\d.]+(?:e[+-]?\d+)?$))/i;

/* Save the rows as they are filtered and ordered, and the columns as they are shown. */
function saveList() {
  const cellText = ({ value }) => {
    const text = value === null || value === undefined ? "" : String(value).replace(/[\t\r\n]+/g, " ");
    return typeof value === "string" && FORMULA.test(text) ? `'${text}` : text;
  };
  const grid = gridOf("genes");
  grid.setGridOption("quickFilterText", byId("filter").value); // what was typed this moment counts, too
  const text = grid.getDataAsCsv({ columnSeparator: "\t", suppressQuotes: true, processCellCallback: cellText });
  saveFile(`${state.run}.genes.tsv`, withoutHyphens(text), "text/tab-separated-values");
}

addActions({ wide: toggleWide, "genes-tsv": saveList });

/* Dash: the run or the second run changed, so that columns may come and go. */
export function showSecondRun(revision) {
  if (!revision || !state.config) return noUpdate();
  const secondRun = revision.beside || null;
  const { measured, seen } = revision;
  const changed = list.secondRun !== secondRun || list.measured !== measured || list.seen !== seen; // also at first
  Object.assign(list, { secondRun, measured, seen });
  if (changed) showColumns();
  return noUpdate();
}
