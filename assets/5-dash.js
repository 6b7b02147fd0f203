/* The bridge, part 5: functions that Dash calls (clientside callbacks, namespace seq2exp). Other files may add more:
 *     Object.assign(window.dash_clientside.seq2exp, { ... });
 */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, nothing, say, ask, go, trackOf, refresh } = bridge;

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.seq2exp = {
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
      return { run: shown.run, gene: rows[0].gene_id };
    },

    async find(_count, text, run, shown) {
      try {
        const found = await ask(`api/${run}/search`, { q: text || "" });
        say(found.message);
        if (found.kind === "gene") {
          if (shown && shown.gene === found.gene_id) await go(state.view && state.view.locus);
          else return { run, gene: found.gene_id };
        }
        if (found.kind === "locus") await go(found);
      } catch (problem) {
        say(problem.message);
      }
      return nothing();
    },

    /* The annotation was read meanwhile: draw gene models where start sites stood. */
    annotated(revision) {
      if (revision && revision.annotated && state.annotated === false) {
        bridge.then(() => Promise.all(["genes", "transcripts"].map((id) => refresh(trackOf(id)))));
      }
      const grown = revision && state.mark && revision.run === state.run && revision.mark !== state.mark;
      if (grown) bridge.then(bridge.again);
      if (revision) Object.assign(state, { annotated: revision.annotated, mark: revision.mark, rule: revision.threshold });
      return nothing();
    },

    draw(shown, threshold, asked, _config, revision) {
      if (!shown || !state.config) return nothing();
      bridge.showThreshold(threshold);
      bridge.enqueue({ run: shown.run, gene: shown.gene, threshold }, asked, revision);
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
  };
})();
