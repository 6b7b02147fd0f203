/* The bridge, part 3: igv.js. Loads it, puts a gene on the screen, switches tracks on and off.
 *
 * `seq2expBridge.popupLines` is a list of functions (track, rows, place) -> HTML or "", whose lines stand under what a
 * click on a track shows; each escapes what comes out of files.
 */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId, escapeHtml, typed, plain, placeOf, words, say, ask } = bridge;
  const popupLines = [];
  let browser = null; // igv.js
  let library = null; // promise of igv.js
  let contigs = { given: new Map(), own: new Map() }; // names of this run that igv.js would misread, and what it has for them

  function loadLibrary() {
    library =
      library ||
      new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = state.config.igv.url;
        script.onload = () => {
          window.seq2expMaskTrack.define(window.igv);
          window.seq2expElementsTrack.define(window.igv);
          window.seq2expCertaintyTrack.define(window.igv);
          resolve(window.igv);
        };
        script.onerror = () => reject(new Error("igv.js could not be loaded"));
        document.head.appendChild(script);
      });
    return library;
  }

  /* igv.js passes places on as text, so some contigs have another name there (seq2exp_viz/runs/igv_names.py). Here, where
   * igv.js is called and where it answers, is the border: on this side of it a contig has the genome's own name. */
  async function readContigs(view) {
    contigs = { given: new Map(), own: new Map() };
    if (!view.contigs) return;
    const answer = await fetch(view.contigs, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`The names of the contigs could not be read (${answer.status}).`);
    for (const [given, own] of (await answer.text()).split("\n").map((line) => line.split("\t"))) {
      if (own === undefined) continue;
      contigs.given.set(own, given);
      contigs.own.set(given, own);
    }
  }
  const givenName = (chrom) => contigs.given.get(chrom) || chrom;
  const ownName = (chrom) => contigs.own.get(chrom) || chrom;
  const forIgv = (locus) => plain({ ...locus, chrom: givenName(locus.chrom) });

  /* igv.js puts names and values of features into its pop-up as HTML: we do it, escaped. */
  function popup(track, rows, place) {
    if (!rows || rows.length === 0) return false;
    const hidden = new Set(["chr", "cdStart", "cdEnd", "exons", "row", "color"]);
    const told = rows
      .filter((row) => typeof row === "string" || !hidden.has(row.name))
      .map((row) => {
        if (typeof row === "string") return "<hr>";
        if (!row.name) return "";
        const name = String(row.name).replace(/_/g, " ").replace(/^minus log10/i, "−log10");
        const told = String(row.value).replace(/&nbsp;/g, " ").trim(); // igv.js pads values of wig tracks so
        const here = state.locus ? givenName(state.locus.chrom) : "";
        const value = here && told.startsWith(`${here}:`) ? state.locus.chrom + told.slice(here.length) : told;
        return `<div><span>${escapeHtml(name)}</span>&nbsp;&nbsp;${escapeHtml(value)}</div>`;
      });
    return [...told, ...popupLines.map((lines) => lines(track, rows, place))].join("");
  }

  function onLocus(frames) {
    const frame = Array.isArray(frames) ? frames[0] : frames;
    if (!frame || frame.chr === undefined) return;
    const width = frame.end !== undefined ? frame.end - frame.start : 0;
    const start = Math.max(0, Math.round(frame.start));
    state.locus = { chrom: ownName(frame.chr), start, end: start + Math.max(1, Math.round(width)) };
    byId("locus").textContent = `${typed(state.locus)}  ·  ${words(state.locus.end - state.locus.start)}`;
    clearTimeout(onLocus.timer);
    onLocus.timer = setTimeout(bridge.address.write, 150);
  }

  async function createBrowser(view, locus) {
    const igv = await loadLibrary();
    await readContigs(view);
    if (browser) {
      igv.removeBrowser(browser);
      browser = null;
    }
    state.shown = new Set(view.tracks.filter(isOn).map((row) => row.id));
    state.known = new Set(view.tracks.map((row) => row.id));
    browser = await igv.createBrowser(byId("igv"), {
      reference: view.reference,
      locus: forIgv(locus),
      tracks: view.tracks.filter(isOn).map((row) => row.config),
      loadDefaultGenomes: false, // nothing is asked of igv.org
      search: false,
      queryParametersSupported: false,
      showNavigation: false,
      showChromosomeWidget: false,
      showIdeogram: false,
      showSampleNames: false,
      minimumBases: 40,
    });
    calm();
    browser.on("locuschange", onLocus);
    browser.on("trackclick", popup);
    byId("igv").dataset.loaded = "";
    await bridge.loadOwnTracks();
    fill();
    onLocus(browser.referenceFrameList.map((frame) => ({ chr: frame.chr, start: frame.start, end: frame.end })));
  }

  /* igv.js lives in a shadow root with its own style; a few lines make it as calm as the page. */
  const CALM = `
    .igv-container { margin-top: -18px !important; }
    .igv-track-label { border: 0 !important; background: rgba(255, 255, 255, 0.82) !important; color: rgb(60, 66, 76) !important;
      font: 11px/1.5 system-ui, "DejaVu Sans", sans-serif !important; padding: 0 5px !important; top: 1px !important; margin: 0 !important; transform: none !important;
      left: 3px !important; border-radius: 3px !important; }
    .igv-track-drag-handle { background-color: rgb(241, 243, 246) !important; border: 0 !important; }
    .igv-track-drag-handle:hover { background-color: rgb(205, 212, 220) !important; }
    .igv-gear-menu-column svg { opacity: 0.45; }
    .igv-ui-popover { font: 12px/1.55 system-ui, "DejaVu Sans", sans-serif !important; border: 1px solid rgb(205, 211, 219) !important;
      border-radius: 6px !important; box-shadow: 0 8px 26px rgba(0, 0, 0, 0.16); overflow: hidden; }
    .igv-ui-popover > div:first-child { background: rgb(244, 246, 248) !important; border: 0 !important; }
    .igv-ui-popover > div:last-child { padding: 4px 10px 8px; font: inherit !important; }
    .igv-ui-popover span { font-weight: 400 !important; color: rgb(92, 102, 116); }
    .igv-ui-popover .whose { font: inherit; color: rgb(11, 95, 165); background: none; border: 0; padding: 0; cursor: pointer;
      text-decoration: underline; }
    .igv-ui-popover hr { border: 0; border-top: 1px solid rgb(225, 229, 234); }
  `;
  function calm() {
    const host = [...byId("igv").querySelectorAll("*"), byId("igv")].find((node) => node.shadowRoot);
    const root = host ? host.shadowRoot : byId("igv");
    const style = document.createElement("style");
    style.textContent = CALM;
    root.appendChild(style);
  }

  /* Room that is left under the tracks goes to the mask and its elements. */
  function fill() {
    const box = byId("igv");
    const root = box.shadowRoot || box;
    const used = root.querySelector(".igv-column-container");
    const left = used ? box.clientHeight - used.getBoundingClientRect().height - 8 : 0;
    for (const [id, share, most] of [["mask", 0.65, 480], ["elements", 0.35, 200]]) {
      const track = trackOf(id);
      if (track && left > 20) track.trackView.setTrackHeight(Math.min(most, Math.round(track.height + share * left)), true);
    }
  }

  const trackOf = (id) => {
    const found = browser && browser.trackViews.find((row) => row.track && (row.track.id === id || (row.track.config && row.track.config.id === id)));
    return found ? found.track : null;
  };

  /* Ask a track's data again and paint it. */
  async function refresh(track) {
    if (!track || !track.trackView) return;
    track.clearCachedFeatures();
    await track.trackView.updateViews();
  }

  /* Tracks that this gene or run does not have are taken away; they come back with the next one that has them. */
  function dropOld(view) {
    const there = new Set(view.tracks.map((row) => row.id));
    for (const id of [...state.known].filter((known) => !there.has(known))) {
      state.known.delete(id);
      const track = trackOf(id);
      state.shown.delete(id);
      if (track) browser.removeTrack(track);
    }
  }

  /* Tracks that were not there before: the first mask of a growing run, peaks, a second run's mask. */
  async function addNew(view) {
    for (const row of view.tracks.filter((candidate) => !state.known.has(candidate.id))) {
      state.known.add(row.id);
      if (isOn(row)) {
        state.shown.add(row.id);
        await browser.loadTrack({ ...row.config });
      }
    }
  }

  /* The run has grown or was assembled: the same place again, with what is new. */
  async function again() {
    if (!state.run || !browser) return;
    const view = await ask(`api/v1/${state.run}/view`, queryOf(state));
    state.view = view;
    await addNew(view);
    await refresh(trackOf("elements"));
    listTracks();
  }

  function queryOf({ gene, beside }) {
    return { ...(gene ? { gene } : {}), ...(beside ? { beside } : {}) };
  }

  async function showGene(view, locus) {
    const changed = [];
    dropOld(view);
    for (const row of view.tracks) {
      const track = trackOf(row.id);
      if (track && track.show) {
        track.show(row.config);
        track.clearCachedFeatures();
        changed.push(track);
      }
    }
    await addNew(view);
    if (locus) await browser.search(forIgv(locus));
    await Promise.all(changed.map((track) => track.trackView.updateViews()));
  }

  async function draw(wanted, asked, revision) {
    const newRun = !browser || wanted.run !== state.run;
    const newGene = newRun || wanted.gene !== state.gene || wanted.unscored !== state.unscored;
    if (newGene || (wanted.beside || "") !== (state.beside || "")) {
      const query = queryOf(wanted);
      if (wanted.threshold !== null && wanted.threshold !== undefined) query.threshold = wanted.threshold;
      const view = await ask(`api/v1/${wanted.run}/view`, query);
      if (!view.locus) return;
      const linked = state.view === null && asked && asked.run === wanted.run && asked.locus;
      const next = state.next && state.next.gene === wanted.gene ? state.next.locus : wanted.unscored;
      const { run, gene, threshold, beside, unscored } = wanted;
      Object.assign(state, { view, run, gene, threshold, beside, unscored, next: null });
      const first = linked ? await placeOf(linked, true).catch((problem) => void say(problem.message)) : null;
      if (newRun) await createBrowser(view, first || next || view.locus);
      else await showGene(view, newGene ? next || view.locus : null);
      listTracks();
      if (!linked) say("");
    } else if (wanted.threshold !== state.threshold) {
      state.threshold = wanted.threshold;
      const mask = trackOf("mask");
      if (mask) mask.setThreshold(wanted.threshold);
      for (const track of ["elements", "certainty"].map(trackOf).filter(Boolean)) {
        track.setThreshold(wanted.threshold);
        await refresh(track);
      }
    }
    state.rule = revision ? revision.threshold : null;
    showThreshold(wanted.threshold);
    bridge.address.write();
    document.body.dataset.drawn = `${state.run}|${state.gene}|${state.threshold}`; // what tests wait for
    bridge.announce("drawn");
  }

  /* One drawing at a time; of those that queue up only the last is done. */
  function enqueue(wanted, asked, revision) {
    enqueue.last = wanted;
    return bridge.then(() => (enqueue.last === wanted ? draw(wanted, asked, revision) : undefined));
  }

  /* The threshold as the slider stands, which Dash and the tracks learn a little later. */
  function thresholdNow() {
    const slider = document.querySelector("#threshold [role=slider]");
    const value = slider ? Number(slider.getAttribute("aria-valuenow")) : NaN;
    return Number.isNaN(value) ? state.threshold : value;
  }

  function showThreshold(value) {
    const shown = byId("threshold-value");
    if (shown && value !== null && value !== undefined) shown.textContent = Number(value).toFixed(3);
  }

  function listTracks() {
    document.body.dataset.tracks = [...(state.shown || [])].join(" "); // the legend explains what is shown
    const box = byId("track-list");
    if (!box || !state.view) return;
    box.textContent = "";
    let group = null;
    for (const row of state.view.tracks) {
      if (row.group !== group) {
        group = row.group;
        const head = document.createElement("div");
        head.className = "menu-head";
        head.textContent = group;
        box.appendChild(head);
      }
      const label = document.createElement("label");
      const tick = document.createElement("input");
      tick.type = "checkbox";
      tick.checked = state.shown.has(row.id);
      tick.dataset.track = row.id;
      tick.addEventListener("change", () => toggleTrack(row.id, tick.checked));
      label.append(tick, row.label);
      box.appendChild(label);
    }
  }

  function toggleTrack(id, on) {
    state.switched = { ...state.switched, [id]: on };
    return bridge.then(async () => {
      const row = state.view.tracks.find((candidate) => candidate.id === id);
      if (on && !state.shown.has(id)) {
        state.shown.add(id);
        await browser.loadTrack({ ...row.config });
        reveal(id);
      } else if (!on && state.shown.has(id)) {
        state.shown.delete(id);
        const track = trackOf(id);
        if (track) browser.removeTrack(track);
      }
      document.body.dataset.tracks = [...state.shown].join(" ");
      bridge.address.write();
    });
  }

  /* What the person switched goes before what a track is at first; the address holds the difference: tracks=prior,-peaks. */
  const isOn = (row) => (row.id in (state.switched || {}) ? state.switched[row.id] : row.on);
  bridge.address.register("tracks", {
    write: () =>
      ((state.view && state.view.tracks) || [])
        .filter((row) => isOn(row) !== row.on)
        .map((row) => (row.on ? `-${row.id}` : row.id))
        .join(","),
    read: (text) => {
      const names = text.split(",").filter((name) => /^-?[\w.:]+[\w.:-]*$/.test(name));
      return (state.switched = Object.fromEntries(names.map((name) => [name.replace(/^-/, ""), !name.startsWith("-")])));
    },
  });

  /* Scroll a track into sight. */
  function reveal(id) {
    const track = trackOf(id);
    const view = track && track.trackView && track.trackView.viewports[0];
    const box = view && (view.viewportElement || (view.$viewport && view.$viewport[0]));
    if (box) box.scrollIntoView({ block: "nearest" });
  }

  function go(locus) {
    if (browser && locus) return browser.search(forIgv(locus));
  }

  /* Go to a place of a gene: of the one on the screen at once, of another with its tracks. */
  function visit(gene, locus) {
    if (gene === state.gene) return go(locus);
    state.next = { gene, locus };
    window.dash_clientside.set_props("gene", { data: { run: state.run, gene } });
  }

  /* Close what clicks on tracks have opened. */
  function closePopups() {
    const root = byId("igv").shadowRoot || byId("igv");
    for (const box of root.querySelectorAll(".igv-ui-popover")) box.style.display = "none"; // igv.js makes a new one
  }

  Object.assign(bridge, { popupLines, loadLibrary, trackOf, refresh, again, enqueue, showThreshold, thresholdNow, go, reveal, visit, closePopups, givenName });
  bridge.igvBrowser = () => browser;
})();
