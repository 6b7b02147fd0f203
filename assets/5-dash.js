/* The bridge, part 5: functions that Dash calls (clientside callbacks, namespace seq2exp). Other files may add more:
 *     Object.assign(window.dash_clientside.seq2exp, { ... });
 */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, nothing, say, ask, go, trackOf, refresh } = bridge;

  /* Counts what the person asked to see. An answer to anything but the last is dropped: it came too late. */
  let turn = 0;

  /* A gene of the list that has no mask yet: its place, and the offer to score it. */
  async function unscoredGene(id, shown) {
    if (shown.unscored && shown.unscored.gene_id === id) return nothing();
    const now = ++turn;
    const found = await ask(`api/v1/${shown.run}/search`, { q: id });
    return now === turn ? { run: shown.run, gene: null, unscored: found } : nothing();
  }

  const field = () => document.getElementById("search");
  const search = (text) => window.dash_clientside.set_props("query", { data: { text, number: Date.now() } });

  /* Enter searches for what the field holds then: Dash learns of each letter only later. Where a suggestion is marked,
   * the list of suggestions takes the key and clicks it. */
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target !== field() || event.isComposing || event.defaultPrevented) return;
    search(event.target.value);
  });

  /* A click on what a message offers in place of what was not found. */
  bridge.actions["look-up"] = (_event, button) => {
    window.dash_clientside.set_props("search", { value: button.dataset.query });
    search(button.dataset.query);
  };
  document.addEventListener("click", (event) => {
    const option = event.target.closest && event.target.closest(".mantine-Autocomplete-option");
    if (option) search(option.getAttribute("value") || option.textContent);
  });
  /* A suggestion that was marked belongs to what was typed before. */
  document.addEventListener("input", (event) => {
    if (event.target !== field()) return;
    const marked = document.querySelectorAll(".mantine-Autocomplete-option[data-combobox-selected]");
    for (const option of marked) option.removeAttribute("data-combobox-selected");
  });

  /* What a function throws is told in the page; Dash would keep it to itself. */
  const told = (deed) =>
    function (...given) {
      const fails = (problem) => {
        console.error(problem);
        say(problem.message);
        throw window.dash_clientside.PreventUpdate;
      };
      try {
        const found = deed.apply(this, given);
        return found instanceof Promise ? found.catch(fails) : found;
      } catch (problem) {
        return fails(problem);
      }
    };

  window.dash_clientside = window.dash_clientside || {};
  const deeds = {
    start(config) {
      state.config = config;
      bridge.loadLibrary().catch(() => {}); // who needs it tells
      const asked = bridge.address.read();
      const run = config.runs.includes(asked.run) ? asked.run : config.runs[0];
      if (asked.run && run !== asked.run) say(`There is no run “${asked.run}” here; this is ${run}.`);
      return [{ ...asked, run }, run];
    },

    pick(rows, shown) {
      if (!Array.isArray(rows) || rows.length === 0 || !shown || rows[0].gene_id === shown.gene) return nothing();
      return rows[0].state === "scored" ? { run: shown.run, gene: rows[0].gene_id } : unscoredGene(rows[0].gene_id, shown);
    },

    async find(query, run, shown) {
      if (!query || !run) return nothing();
      const now = ++turn;
      const found = await ask(`api/v1/${run}/search`, { q: query.text, ...(state.locus ? { chrom: state.locus.chrom } : {}) }).catch((problem) => ({ message: problem.message }));
      if (now !== turn) return nothing();
      say(found.message, found.suggestions);
      const there = ["gene", "unscored", "locus"].includes(found.kind);
      if (there && field().value === query.text) field().blur(); // puts the suggestions away, unless more was typed
      if (found.kind === "gene") {
        if (shown && shown.gene === found.gene_id) await go(state.view && state.view.locus);
        else return { run, gene: found.gene_id };
      }
      if (found.kind === "unscored") return { run, gene: null, unscored: found };
      if (found.kind === "locus") await go(found);
      return nothing();
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
      return typed.length > 0 && !typed.includes(":") ? ask(`api/v1/${run}/suggest`, { q: typed }).catch(() => []) : [];
    },

    draw: function draw(shown, threshold, beside, asked, _config, revision) {
      if (!shown || !state.config) return nothing();
      const view = `${shown.run}|${shown.gene}|${shown.unscored && shown.unscored.gene_id}`;
      if (view !== draw.view) turn += 1; // the person went elsewhere: what is still searched for comes too late
      draw.view = view;
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
  };
  const bound = Object.fromEntries(Object.entries(deeds).map(([name, deed]) => [name, told(deed)]));
  Object.assign((window.dash_clientside.seq2exp = window.dash_clientside.seq2exp || {}), bound);
})();
