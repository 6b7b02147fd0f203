/* The list of genes: which columns are shown, narrow or wide, and the state of each gene. */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId, el, nothing } = bridge;
  const KEPT = "seq2exp-columns"; // what was picked, in the browser's own storage
  const BESIDE = "predicted_beside";
  const GIVES_WAY = ["elements", "elements_without_peak"]; // in the narrow list, to a second run's prediction
  let wide = false;

  function picked() {
    try {
      return JSON.parse(localStorage.getItem(KEPT)) || {};
    } catch {
      return {};
    }
  }

  function shown() {
    const defs = state.config.columns;
    const own = picked()[wide ? "wide" : "narrow"];
    const fields = new Set(own || defs.filter((column) => (wide ? true : !column.hide)).map((column) => column.field));
    fields.delete(BESIDE);
    if (state.besideRow) {
      fields.add(BESIDE);
      if (!wide && !own) GIVES_WAY.forEach((field) => fields.delete(field));
    }
    return fields;
  }

  function apply() {
    const fields = shown();
    const defs = state.config.columns.map((column) => ({
      ...column,
      hide: !fields.has(column.field),
      floatingFilter: wide,
      headerName: column.field === BESIDE && state.besideRow ? `Predicted, ${state.besideRow}` : column.headerName,
    }));
    window.dash_clientside.set_props("genes", { columnDefs: defs });
    list(fields);
  }

  function list(fields) {
    const box = byId("column-list");
    const rows = state.config.columns
      .filter((column) => column.field !== BESIDE)
      .map((column) => {
        const tick = el("input", { type: "checkbox", "data-column": column.field, onchange: pick });
        tick.checked = fields.has(column.field);
        return el("label", {}, tick, column.headerName.replace(/\u00ad/g, ""));
      });
    const save = el("button", { "data-action": "genes-tsv" }, "Download this list (TSV)");
    box.replaceChildren(...rows, el("hr"), save);
  }

  function pick() {
    const ticks = [...document.querySelectorAll("#column-list [data-column]")];
    const fields = ticks.filter((tick) => tick.checked).map((tick) => tick.dataset.column);
    localStorage.setItem(KEPT, JSON.stringify({ ...picked(), [wide ? "wide" : "narrow"]: fields }));
    apply();
  }

  bridge.actions.wide = (_event, button) => {
    wide = !wide;
    button.setAttribute("aria-pressed", String(wide));
    document.querySelector(".page").classList.toggle("wide", wide);
    apply();
    requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
  };

  /* Rows as they are filtered and ordered, columns as they are shown. */
  bridge.actions["genes-tsv"] = () => {
    const grid = window.dash_ag_grid.getApi("genes");
    grid.setGridOption("quickFilterText", byId("filter").value); // what was typed this moment counts, too
    const text = grid.getDataAsCsv({ columnSeparator: "\t", suppressQuotes: true, processCellCallback: (cell) => plain(cell.value) });
    bridge.save(`${state.run}.genes.tsv`, text.replace(/\u00ad/g, ""), "text/tab-separated-values");
  };
  const plain = (value) => (value === null || value === undefined ? "" : String(value).replace(/[\t\r\n]+/g, " "));

  Object.assign((window.dash_clientside.seq2exp = window.dash_clientside.seq2exp || {}), {
    columns(revision) {
      if (!revision || !state.config) return nothing();
      const first = state.besideRow === undefined;
      const changed = state.besideRow !== (revision.beside || null);
      state.besideRow = revision.beside || null;
      if (first || changed) apply();
      return nothing();
    },
  });

  /* Cells of AG Grid are React components; this one offers to score a gene that is not scored. */
  const components = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  components.GeneState = (props) => {
    const make = window.React.createElement;
    if (!props.data || props.value === "scored") return make("span", null, props.value || "");
    return make("button", { className: "link", "data-action": "score", "data-gene": props.data.gene_id }, "Score now");
  };
})();
