/* The bridge between Dash and igv.js: loads igv.js, puts a gene on the screen, keeps the address bar true.
 * No science here: every number comes from the server.
 */
(function () {
  "use strict";

  const state = { config: null, run: null, gene: null, threshold: null, locus: null, view: null, shown: null };
  let browser = null; // igv.js
  let library = null; // promise of igv.js
  let queue = Promise.resolve();
  const nothing = () => window.dash_clientside.no_update;
  const byId = (id) => document.getElementById(id);

  // ------------------------------------------------------------------------------------------------ small helpers

  const escapeHtml = (text) =>
    String(text).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }[c]));

  const typed = ({ chrom, start, end }) => `${chrom}:${(start + 1).toLocaleString("en")}-${end.toLocaleString("en")}`;
  const plain = ({ chrom, start, end }) => `${chrom}:${start + 1}-${end}`;

  function parseLocus(text) {
    const found = /^(.+):([\d,]+)-([\d,]+)$/.exec(text || "");
    if (!found) return null;
    const [start, end] = [found[2], found[3]].map((part) => Number(part.replace(/,/g, "")));
    return end >= start && start > 0 ? { chrom: found[1], start: start - 1, end } : null;
  }

  const words = (bases) =>
    bases >= 1e6 ? `${(bases / 1e6).toFixed(2)} Mb` : bases >= 1e3 ? `${(bases / 1e3).toFixed(1)} kb` : `${bases} bp`;

  /* A message stays until the next deed, at least long enough to be read. */
  function say(text) {
    const line = byId("message");
    if (line) line.textContent = text || "";
    clearTimeout(say.timer);
    if (text) say.timer = setTimeout(() => (line.textContent = ""), 12_000);
  }

  async function ask(path, query) {
    const address = `${state.config.base}${path}${query ? `?${new URLSearchParams(query)}` : ""}`;
    const answer = await fetch(address, { credentials: "same-origin" });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.message || answer.statusText);
    return body;
  }

  // ------------------------------------------------------------------------------------------------ igv.js

  function loadLibrary() {
    library =
      library ||
      new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = state.config.igv.url;
        script.onload = () => {
          window.seq2expMaskTrack.define(window.igv);
          window.seq2expElementsTrack.define(window.igv);
          resolve(window.igv);
        };
        script.onerror = () => reject(new Error("igv.js could not be loaded"));
        document.head.appendChild(script);
      });
    return library;
  }

  /* igv.js puts names and values of features into its pop-up as HTML: we do it, escaped. */
  function popup(track, rows) {
    if (!rows || rows.length === 0) return false;
    const hidden = new Set(["chr", "cdStart", "cdEnd", "exons", "row", "color"]);
    return rows
      .filter((row) => typeof row === "string" || !hidden.has(row.name))
      .map((row) => {
        if (typeof row === "string") return "<hr>";
        if (!row.name) return "";
        const name = String(row.name).replace(/_/g, " ").replace(/^minus log10/i, "−log10");
        const value = String(row.value).replace(/&nbsp;/g, " ").trim(); // igv.js pads values of wig tracks so
        return `<div><span>${escapeHtml(name)}</span>&nbsp;&nbsp;${escapeHtml(value)}</div>`;
      })
      .join("");
  }

  function onLocus(frames) {
    const frame = Array.isArray(frames) ? frames[0] : frames;
    if (!frame || frame.chr === undefined) return;
    const width = frame.end !== undefined ? frame.end - frame.start : 0;
    const start = Math.max(0, Math.round(frame.start));
    state.locus = { chrom: frame.chr, start, end: start + Math.max(1, Math.round(width)) };
    byId("locus").textContent = `${typed(state.locus)}  ·  ${words(state.locus.end - state.locus.start)}`;
    clearTimeout(onLocus.timer);
    onLocus.timer = setTimeout(writeAddress, 150);
  }

  async function createBrowser(view, locus) {
    const igv = await loadLibrary();
    if (browser) {
      igv.removeBrowser(browser);
      browser = null;
    }
    state.shown = new Set(view.tracks.filter((row) => row.on).map((row) => row.id));
    state.known = new Set(view.tracks.map((row) => row.id));
    browser = await igv.createBrowser(byId("igv"), {
      reference: view.reference,
      locus: plain(locus),
      tracks: view.tracks.filter((row) => row.on).map((row) => row.config),
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
    for (const [id, share, most] of [["mask", 0.65, 260], ["elements", 0.35, 150]]) {
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

  /* Tracks that a growing run did not have before: the first mask, peaks. */
  async function addNew(view) {
    for (const row of view.tracks.filter((candidate) => !state.known.has(candidate.id))) {
      state.known.add(row.id);
      if (row.on) {
        state.shown.add(row.id);
        await browser.loadTrack({ ...row.config });
      }
    }
  }

  /* The run has grown or was assembled: the same place again, with what is new. */
  async function again() {
    if (!state.run || !browser) return;
    const view = await ask(`api/${state.run}/view`, state.gene ? { gene: state.gene } : {});
    state.view = view;
    await addNew(view);
    await refresh(trackOf("elements"));
    listTracks();
  }

  async function showGene(view, locus) {
    const mine = view.tracks.filter((row) => ["mask", "elements"].includes(row.config.type));
    const changed = [];
    for (const row of mine) {
      const track = trackOf(row.id);
      if (track) {
        track.show(row.config);
        track.clearCachedFeatures();
        changed.push(track);
      }
    }
    await addNew(view);
    if (locus) await browser.search(plain(locus));
    await Promise.all(changed.map((track) => track.trackView.updateViews()));
  }

  // ------------------------------------------------------------------------------------------------ what is shown

  async function draw(wanted, asked, revision) {
    const newRun = !browser || wanted.run !== state.run;
    const newGene = newRun || wanted.gene !== state.gene;
    if (newGene) {
      const query = wanted.gene ? { gene: wanted.gene } : {};
      if (wanted.threshold !== null && wanted.threshold !== undefined) query.threshold = wanted.threshold;
      const view = await ask(`api/${wanted.run}/view`, query);
      if (!view.locus) return;
      const first = state.view === null && asked && asked.run === wanted.run ? parseLocus(asked.locus) : null;
      Object.assign(state, { view, run: wanted.run, gene: wanted.gene, threshold: wanted.threshold });
      if (newRun) await createBrowser(view, first || view.locus);
      else await showGene(view, view.locus);
      listTracks();
      if (!first) say("");
    } else if (wanted.threshold !== state.threshold) {
      state.threshold = wanted.threshold;
      const mask = trackOf("mask");
      const elements = trackOf("elements");
      if (mask) mask.setThreshold(wanted.threshold);
      if (elements) {
        elements.setThreshold(wanted.threshold);
        await refresh(elements);
      }
    }
    state.rule = revision ? revision.threshold : null;
    showThreshold(wanted.threshold);
    writeAddress();
    document.body.dataset.drawn = `${state.run}|${state.gene}|${state.threshold}`; // what tests wait for
  }

  /* One drawing at a time; of those that queue up only the last is done. */
  function enqueue(wanted, asked, revision) {
    enqueue.last = wanted;
    queue = queue
      .then(() => (enqueue.last === wanted ? draw(wanted, asked, revision) : undefined))
      .catch((problem) => {
        console.error(problem);
        say(problem.message);
      });
    return queue;
  }

  function showThreshold(value) {
    const shown = byId("threshold-value");
    if (shown && value !== null && value !== undefined) shown.textContent = Number(value).toFixed(3);
  }

  function writeAddress() {
    if (!state.run) return;
    const query = new URLSearchParams();
    query.set("run", state.run);
    if (state.gene) query.set("gene", state.gene);
    if (state.locus) query.set("locus", plain(state.locus));
    const chosen = state.threshold !== null && state.threshold !== undefined;
    if (chosen && (state.rule === null || Math.abs(state.threshold - state.rule) > 1e-9)) query.set("threshold", state.threshold);
    const text = query.toString().replace(/%3A/g, ":").replace(/%2C/g, ",");
    window.history.replaceState(null, "", `${window.location.pathname}?${text}`);
  }

  // ------------------------------------------------------------------------------------------------ tracks on and off

  function listTracks() {
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
    queue = queue.then(async () => {
      const row = state.view.tracks.find((candidate) => candidate.id === id);
      if (on && !state.shown.has(id)) {
        state.shown.add(id);
        await browser.loadTrack({ ...row.config });
      } else if (!on && state.shown.has(id)) {
        state.shown.delete(id);
        const track = trackOf(id);
        if (track) browser.removeTrack(track);
      }
    });
    return queue;
  }

  // ------------------------------------------------------------------------------------------------ buttons

  function save(name, text, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  function go(locus) {
    if (browser && locus) return browser.search(plain(locus));
  }

  function around(centre, width) {
    return { chrom: centre.chrom, start: Math.max(0, Math.round(centre.at - width / 2)), end: Math.round(centre.at + width / 2) };
  }

  const name = (ending) => `${state.run}.${(state.gene || "view").replace(/[^\w.-]/g, "_")}.${ending}`;

  const actions = {
    "zoom-in": () => browser && browser.zoomIn(),
    "zoom-out": () => browser && browser.zoomOut(),
    window: () => go(state.view && state.view.locus),
    promoter: () => {
      const locus = state.view && state.view.locus;
      if (locus) go(around({ chrom: locus.chrom, at: (locus.start + locus.end) / 2 }, Math.max(400, (locus.end - locus.start) / 20)));
    },
    svg: () => browser && save(name("svg"), browser.toSVG(), "image/svg+xml"),
    session: () => browser && save(name("igv-session.json"), JSON.stringify(browser.toJSON(), null, 1), "application/json"),
    "copy-link": async () => {
      writeAddress();
      try {
        await navigator.clipboard.writeText(window.location.href);
        say("The link to this view is copied.");
      } catch {
        say("Copy the address of this page: it opens this view again.");
      }
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (button) actions[button.dataset.action]();
    const place = event.target.closest("[data-locus]");
    if (place) {
      const [chrom, span] = place.dataset.locus.split(/:(?=\d+-\d+$)/);
      const [start, end] = span.split("-").map(Number);
      go(around({ chrom, at: (start + end) / 2 }, Math.max(6 * (end - start), 400)));
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      const inside = menu.contains(event.target);
      const chose = inside && event.target.closest(".menu-body a, .menu-body button");
      if (!inside || chose) menu.removeAttribute("open");
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of document.querySelectorAll("details.menu[open]")) {
        menu.removeAttribute("open");
        menu.querySelector("summary").focus();
      }
    }
    const row = event.key === "Enter" && event.target.closest && event.target.closest("#genes [row-id]");
    if (row) window.dash_clientside.set_props("gene", { data: { run: state.run, gene: row.getAttribute("row-id") } });
  });

  /* The grid has its own light and dark. */
  const root = document.documentElement;
  const follow = () => (document.body.dataset.agThemeMode = root.dataset.mantineColorScheme || "light");
  new MutationObserver(follow).observe(root, { attributes: true, attributeFilter: ["data-mantine-color-scheme"] });
  document.addEventListener("DOMContentLoaded", follow);

  // ------------------------------------------------------------------------------------------------ for Dash

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.seq2exp = {
    start(config) {
      state.config = config;
      loadLibrary();
      const query = new URLSearchParams(window.location.search);
      const run = config.runs.includes(query.get("run")) ? query.get("run") : config.runs[0];
      const threshold = query.get("threshold") ? Number(query.get("threshold")) : null;
      if (query.get("run") && run !== query.get("run")) say(`There is no run “${query.get("run")}” here; this is ${run}.`);
      return [{ run, gene: query.get("gene"), locus: query.get("locus"), threshold }, run];
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
        queue = queue.then(() => Promise.all(["genes", "transcripts"].map((id) => refresh(trackOf(id)))));
      }
      const grown = revision && state.mark && revision.run === state.run && revision.mark !== state.mark;
      if (grown) queue = queue.then(again).catch((problem) => console.error(problem));
      if (revision) Object.assign(state, { annotated: revision.annotated, mark: revision.mark, rule: revision.threshold });
      return nothing();
    },

    draw(shown, threshold, asked, _config, revision) {
      if (!shown || !state.config) return nothing();
      showThreshold(threshold);
      enqueue({ run: shown.run, gene: shown.gene, threshold }, asked, revision);
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

  window.seq2expBridge = { state, igvBrowser: () => browser, trackOf, settled: () => queue };
})();
