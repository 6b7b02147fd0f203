/* The table of elements, and whose element a region is: a table beside it and arcs in the browser. */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId, el, ask, nothing, escapeHtml, typed } = bridge;
  const grid = () => byId("elements-table") && window.dash_ag_grid && window.dash_ag_grid.getApi("elements-table");
  let scope = "gene";
  let listens = false;

  // ------------------------------------------------------------------------------------------------ the table

  function again() {
    const api = grid();
    if (!api || state.tab !== "elements") return;
    if (!listens) {
      api.addEventListener("modelUpdated", count);
      listens = true;
    }
    api.purgeInfiniteCache();
  }

  function count() {
    const api = grid();
    const rows = api.isLastRowIndexKnown() ? api.getDisplayedRowCount() : null;
    byId("elements-count").textContent = rows === null ? "" : `${rows.toLocaleString("en")} elements`;
  }

  bridge.actions.scope = (_event, button) => {
    scope = button.dataset.scope;
    for (const choice of document.querySelectorAll("[data-scope]")) {
      choice.setAttribute("aria-pressed", String(choice === button));
    }
    window.dash_clientside.set_props("scope", { data: scope });
  };

  bridge.actions["elements-tsv"] = () => {
    const api = grid();
    const sorts = api.getColumnState().filter((column) => column.sort).sort((a, b) => a.sortIndex - b.sortIndex);
    const query = new URLSearchParams({
      filters: JSON.stringify(api.getFilterModel()),
      sorts: JSON.stringify(sorts.map(({ colId, sort }) => ({ colId, sort }))),
    });
    if (scope === "gene" && state.gene) query.set("gene", state.gene);
    if (scope === "gene" && state.threshold !== null) query.set("threshold", bridge.thresholdNow());
    const link = el("a", { href: `${state.config.base}api/v1/${state.run}/elements.tsv?${query}`, download: "" });
    link.click();
  };

  document.addEventListener("seq2exp:tab", again);
  document.addEventListener("seq2exp:drawn", () => setTimeout(again)); // once Dash knows the gene, too

  Object.assign((window.dash_clientside.seq2exp = window.dash_clientside.seq2exp || {}), {
    stale() {
      again();
      return nothing();
    },

    element(rows) {
      const row = Array.isArray(rows) && rows[0];
      if (!row) return nothing();
      bridge.visit(row.gene_id, wideView(row));
      show({ chrom: row.chrom, start: row.start, end: row.end });
      return row.gene_id + row.name;
    },

    point(click, shown) {
      const gene = click && click.points && click.points[0].customdata;
      return gene && shown && gene !== shown.gene ? { run: shown.run, gene } : nothing();
    },
  });

  const wideView = ({ chrom, start, end }) => bridge.around({ chrom, at: (start + end) / 2 }, Math.max(6 * (end - start), 400));

  // ------------------------------------------------------------------------------------------------ whose element

  /* The genes that keep a region; `open` brings the tab to the front. */
  async function show(region, open) {
    if (open && state.tab !== "elements") bridge.openTab("elements");
    const box = byId("owners");
    box.replaceChildren(el("div", { class: "quiet" }, `Reading the masks over ${typed(region)} …`));
    try {
      const found = await ask(`api/v1/${state.run}/owners`, { chrom: region.chrom, start: region.start, end: region.end });
      box.replaceChildren(...told(found, region));
      await arcs(found, region);
    } catch (problem) {
      box.replaceChildren(el("div", { class: "note", role: "alert" }, problem.message));
    }
  }

  function told(found, region) {
    const some = found.rows.length < found.genes ? `, the ${found.rows.length} nearest of ${found.genes}` : "";
    const effects = found.rows.some((row) => row.effect !== null);
    const names = ["Gene", "Mean mask", "As element", ...(effects ? ["Effect", "Controls at least as strong"] : []), "From start site"];
    const number = (value, digits) => (value === null ? "" : value.toFixed(digits));
    const rows = found.rows.map((row) =>
      el(
        "tr",
        { class: row.gene_id === state.gene ? "mine" : null },
        el("td", {}, el("button", { class: "link", onclick: () => bridge.visit(row.gene_id, wideView(region)) }, row.symbol)),
        el("td", { class: "right" }, row.mean_mask === null ? "promoter or never kept" : number(row.mean_mask, 3)),
        el("td", {}, row.element || "none"),
        effects && el("td", { class: "right" }, number(row.effect, 3)),
        effects && el("td", { class: "right" }, row.control_rank === null ? "" : `${row.control_rank} of ${row.control_n}`),
        el("td", { class: "right" }, `${row.distance.toLocaleString("en")} bp`)
      )
    );
    const head = el("tr", {}, names.map((name, i) => el("th", { class: i && name !== "As element" ? "right" : null }, name)));
    const title = el("div", { class: "quiet" }, `${typed(region)}: ${found.genes} ${found.genes === 1 ? "gene covers" : "genes cover"} it${some}. `);
    title.append(el("button", { class: "link", onclick: clear }, "Clear"));
    if (!found.rows.length) return [title, el("div", { class: "empty" }, "No scored gene has these bases in its window.")];
    return [title, el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, rows))];
  }

  /* Arcs from the region to the start sites: the track class of elements, turned round. */
  function arcs(found, region) {
    return bridge.then(async () => {
      const sites = found.rows.filter((row) => row.mean_mask !== null).map((row) => row.tss);
      const old = bridge.trackOf("owners");
      if (old) bridge.igvBrowser().removeTrack(old);
      if (!sites.length) return;
      const query = new URLSearchParams({ chrom: region.chrom, start: region.start, end: region.end });
      await bridge.igvBrowser().loadTrack({
        id: "owners",
        type: "elements",
        name: escapeHtml(`Genes that keep ${typed(region)}`),
        url: `${state.config.base}api/v1/${state.run}/owners/arcs?${query}`,
        region: { chrom: bridge.givenName(region.chrom), start: Math.min(region.start, ...sites), end: Math.max(region.end, ...sites) },
        height: 78,
        order: 900,
        removable: true,
      });
    });
  }

  function clear() {
    bridge.then(() => {
      const old = bridge.trackOf("owners");
      if (old) bridge.igvBrowser().removeTrack(old);
    });
    byId("owners").replaceChildren("Choose an element here, or click one, a peak or the mask in the browser.");
  }

  bridge.showOwners = show;

  /* What stands under a click on a peak, an element or the mask. */
  bridge.popupLines.push((track, rows, place) => {
    const id = track.id || (track.config && track.config.id);
    if (!["peaks", "elements", "mask", "merged", "beside"].includes(id) || !state.locus) return "";
    const told = rows.map((row) => /:([\d,]+)-([\d,]+)$/.exec(String(row.value || ""))).find(Boolean);
    if (place === undefined && !told) return ""; // igv.js 3.1.4 does not say where one clicked
    const [first, last] = told ? told.slice(1).map((part) => Number(part.replace(/,/g, ""))) : [];
    const base = Math.floor(place === undefined ? (first - 1 + last) / 2 : place);
    const cache = track.trackView && track.trackView.viewports[0].featureCache;
    const slack = 3 * bridge.igvBrowser().referenceFrameList[0].bpPerPixel;
    const hit = (f) => f.start - slack <= base && base < f.end + slack;
    const found = id === "peaks" || id === "elements" ? ((cache && cache.features) || []).filter(hit) : [];
    const at = found.sort((a, b) => a.end - a.start - (b.end - b.start))[0] || { start: base, end: base + 1 };
    const region = `data-whose="${escapeHtml(state.locus.chrom)}" data-from="${Number(at.start)}" data-to="${Number(at.end)}"`;
    return `<hr><div><button class="whose" ${region}>Which genes keep this?</button></div>`;
  });

  /* igv.js shows pop-ups in a shadow tree: the button is found on the event's own path. */
  document.addEventListener(
    "click",
    (event) => {
      const button = event.composedPath().find((node) => node.dataset && node.dataset.whose);
      if (!button) return;
      const { whose, from, to } = button.dataset;
      bridge.closePopups();
      show({ chrom: whose, start: Number(from), end: Number(to) }, true);
    },
    true
  );
})();
