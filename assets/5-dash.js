/* The bridge, part 5: functions that Dash calls (clientside callbacks, namespace seq2exp). Other files may add more:
 *     Object.assign(window.dash_clientside.seq2exp, { ... });
 */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, nothing, say, ask, go, trackOf, refresh } = bridge;

  /* A gene of the list that has no mask yet: its place, and the offer to score it. */
  async function unscoredGene(id, shown) {
    if (shown.unscored && shown.unscored.gene_id === id) return nothing();
    return { run: shown.run, gene: null, unscored: await ask(`api/${shown.run}/search`, { q: id }) };
  }

  /* Go where a text leads; the gene to be shown, or nothing where that is done. The server does the reading. */
  async function lookUp(text, run, shown) {
    try {
      const found = await ask(`api/${run}/search`, { q: text || "", ...(state.locus ? { chrom: state.locus.chrom } : {}) });
      say(found.message, found.suggestions);
      if (["gene", "unscored", "locus"].includes(found.kind)) document.getElementById("search").blur(); // puts the suggestions away
      if (found.kind === "gene") {
        if (shown && shown.gene === found.gene_id) await go(state.view && state.view.locus);
        else return { run, gene: found.gene_id };
      }
      if (found.kind === "unscored") return { run, gene: null, unscored: found };
      if (found.kind === "locus") await go(found);
    } catch (problem) {
      say(problem.message);
    }
    return nothing();
  }

  /* A click on what a message offers in place of what was not found. */
  bridge.actions["look-up"] = async (_event, button) => {
    const { query } = button.dataset;
    const found = await lookUp(query, state.run, { gene: state.gene });
    const props = window.dash_clientside;
    props.set_props("search", { value: query });
    if (found !== nothing()) props.set_props("gene", { data: found });
  };

  /* A click on a suggestion goes there; with the keyboard Enter does. */
  document.addEventListener("click", (event) => {
    const option = event.target.closest && event.target.closest(".mantine-Autocomplete-option");
    if (option) window.dash_clientside.set_props("search", { value: option.textContent, n_submit: Date.now() });
  });

  window.dash_clientside = window.dash_clientside || {};
  Object.assign((window.dash_clientside.seq2exp = window.dash_clientside.seq2exp || {}), {
    start(config) {
      state.config = config;
      bridge.loadLibrary();
      const asked = bridge.address.read();
      const run = config.runs.includes(asked.run) ? asked.run : config.runs[0];
      if (asked.run && run !== asked.run) say(`There is no run “${asked.run}” here; this is ${run}.`);
      return [{ ...asked, run }, run];
    },

    pick(rows, shown) {
      if (!Array.isArray(rows) || rows.length === 0 || !shown || rows[0].gene_id === shown.gene) return nothing();
      return rows[0].state === "scored" ? { run: shown.run, gene: rows[0].gene_id } : unscoredGene(rows[0].gene_id, shown);
    },

    find(_count, text, run, shown) {
      return lookUp(text, run, shown);
    },

    /* The annotation was read meanwhile: draw gene models where start sites stood. */
    annotated(revision) {
      if (revision && revision.annotated && state.annotated === false) {
        bridge.then(() => Promise.all(["genes", "transcripts"].map((id) => refresh(trackOf(id)))));
      }
      const grown = revision && state.mark && revision.run === state.run && revision.mark !== state.mark;
      if (grown) bridge.then(bridge.again);
      const told = state.notes && state.notes.run === (revision || {}).run ? state.notes.lines : (revision || {}).notes || [];
      const news = ((revision || {}).notes || []).filter((line) => !told.includes(line)); // something failed in the background
      if (news.length) say(news.join(" "));
      if (revision) state.notes = { run: revision.run, lines: revision.notes || [] };
      if (revision) Object.assign(state, { annotated: revision.annotated, mark: revision.mark, rule: revision.threshold });
      return nothing();
    },

    async suggest(text, run) {
      const typed = (text || "").trim();
      return typed.length > 0 && !typed.includes(":") ? ask(`api/${run}/suggest`, { q: typed }).catch(() => []) : [];
    },

    draw(shown, threshold, beside, asked, _config, revision) {
      if (!shown || !state.config) return nothing();
      bridge.showThreshold(threshold);
      bridge.enqueue({ run: shown.run, gene: shown.gene, unscored: shown.unscored, threshold, beside }, asked, revision);
      return nothing();
    },

    filter(text, options) {
      return { ...options, quickFilterText: text || "" };
    },

    select(shown, rows, selected) {
      if (!shown || !shown.gene || !rows || rows.length === 0) return [nothing(), nothing()];
      if (Array.isArray(selected) && selected.length === 1 && selected[0].gene_id === shown.gene) return [nothing(), nothing()];
      return [{ ids: [shown.gene] }, { rowId: shown.gene, rowPosition: "middle" }];
    },

    reset(_count, revision) {
      return revision ? revision.threshold : nothing();
    },
  });
})();
