/* What if: elements switched off, regions drawn to remove or to keep, and what the model then predicts.
 *
 * The server asks the model and compares with control regions; this file keeps what is switched (also in the address:
 * off=, on=), asks, and shows the answers in the panel, in the list of elements and in the track of elements.
 */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId, el, ask, post, say, typed, plain, placeOf, trackOf } = bridge;
  const { signed, exactly, sentence, pace, controlWords, answerLines, buildBox } = bridge.whatifParts;
  const PAGE = Math.random().toString(36).slice(2); // of this tab: its newer question cancels its older one
  const CONTROLS = 20;
  const POLL_MS = 300;
  const GOING = ["queued", "running"];

  const edits = { off: [], on: [] }; // regions [{start, end}] of the gene on the screen
  let mine = null; // "run|gene" they belong to
  let offer = null; // what the run's model offers: {run, off, note, line, unit}
  let effects = new Map(); // "start-end" -> row of the server
  let answer = null; // the last one
  let waiting = null; // words while one is awaited
  let failure = null; // words where it failed
  let smallest = null; // words on the smallest set
  let job = null; // the one that this panel follows
  let turn = 0; // counts questions

  // ------------------------------------------------------------------------------------------------ what is switched

  const name = (region) => `${region.start}-${region.end}`;
  const region = (text) => {
    const [start, end] = text.split("-").map(Number);
    return { start, end };
  };
  const within = (regions, one) => regions.some((r) => r.start <= one.start && one.end <= r.end);
  const without = (regions, one) => regions.filter((r) => !(r.start <= one.start && one.end <= r.end));
  const chrom = () => state.view && state.view.locus && state.view.locus.chrom;
  const some = () => edits.off.length + edits.on.length > 0;
  const isOff = (one) => within(edits.off, one) && !within(edits.on, one);

  function rowsOfList() {
    return [...document.querySelectorAll("#element-list .element[data-region]")];
  }

  function toggle(one) {
    if (offer && offer.off) return say(offer.off);
    if (isOff(one)) edits.off = without(edits.off, one);
    else edits.off = [...edits.off, one];
    edits.on = without(edits.on, one);
    changed();
  }

  function add(kind, one) {
    const other = kind === "off" ? "on" : "off";
    edits[other] = edits[other].filter((r) => name(r) !== name(one));
    if (!edits[kind].some((r) => name(r) === name(one))) edits[kind] = [...edits[kind], one];
    changed();
  }

  function clear() {
    Object.assign(edits, { off: [], on: [] });
    smallest = null;
    changed();
  }

  function changed() {
    bridge.address.write();
    show();
    question();
  }

  // ------------------------------------------------------------------------------------------------ the address

  const written = (kind) => () =>
    mine === `${state.run}|${state.gene}` && chrom() ? edits[kind].map((r) => plain({ chrom: chrom(), ...r })).join(",") : null;
  for (const kind of ["off", "on"]) bridge.address.register(kind, { write: written(kind), read: (text) => text });

  /* Regions of a link that lie on the gene's contig, whose name may hold any letter, commas too. */
  function regionsOf(text, contig) {
    const found = [];
    let rest = text || "";
    while (rest) {
      const span = rest.startsWith(`${contig}:`) && /^(\d+)-(\d+)(?:,|$)/.exec(rest.slice(contig.length + 1));
      if (span && Number(span[1]) > 0 && Number(span[1]) <= Number(span[2])) found.push({ start: Number(span[1]) - 1, end: Number(span[2]) });
      if (span) rest = rest.slice(contig.length + 1 + span[0].length);
      else rest = rest.includes(",") ? rest.slice(rest.indexOf(",") + 1) : "";
    }
    return found;
  }

  /* What a link asks for holds once, for the gene that it opens. */
  function takeFromLink() {
    const { asked } = bridge.address;
    for (const kind of ["off", "on"]) {
      edits[kind] = regionsOf(asked[kind], chrom());
      asked[kind] = null;
    }
  }

  // ------------------------------------------------------------------------------------------------ asking

  async function question() {
    const now = ++turn;
    [answer, failure, waiting] = [null, null, some() ? "Asking the model…" : null];
    show();
    if (!some()) return;
    try {
      answer = await answerTo(0, now);
      waiting = "Comparing with control regions…";
      if (now === turn) show();
      answer = await answerTo(CONTROLS, now);
    } catch (problem) {
      if (now !== turn) return; // something newer was asked
      failure = problem.message;
    }
    if (now !== turn) return;
    waiting = null;
    show();
  }

  async function answerTo(controls, now) {
    const run = state.run;
    const { off, on } = edits;
    let got = await post(`api/v1/${run}/whatif`, { gene: state.gene, off, on, threshold: bridge.thresholdNow(), controls, page: PAGE });
    while (got.state !== undefined && now === turn) {
      waiting = `${sentence(got.message) || "Asking the model"}${pace(got)}…`;
      show();
      got = await ask(`api/v1/${run}/whatif/${got.id}`);
    }
    if (now !== turn) throw Object.assign(new Error("newer"), { status: 409 });
    return got;
  }

  /* Somebody reaches for a switch: the model process may start, and read this gene's window, meanwhile. */
  function prepare(event) {
    if (!mine || prepare.of === mine || !offer || offer.off || some()) return;
    if (!event.target.closest || !event.target.closest(".switch, .whatif-tools")) return;
    prepare.of = mine;
    post(`api/v1/${state.run}/whatif`, { gene: state.gene, controls: 0, page: `${PAGE}-ready` }).catch(() => {}); // the question will tell
  }

  // ------------------------------------------------------------------------------------------------ jobs

  /* The run's own elements are ranked for good; at another threshold the ranks are for this page. */
  function ownThreshold() {
    const now = bridge.thresholdNow();
    return state.rule !== null && Math.abs(now - state.rule) < 1e-9 ? null : now;
  }

  async function begin(kind) {
    try {
      follow(await post(`api/v1/${state.run}/jobs`, { kind, gene: state.gene, threshold: kind === "occlusion" ? null : ownThreshold() }));
    } catch (problem) {
      failure = problem.message;
      show();
    }
  }

  async function follow(started) {
    job = started;
    const belongs = mine;
    while (job && mine === belongs) {
      for (const row of job.rows || []) effects.set(name(row), row);
      show();
      if (!GOING.includes(job.state)) break;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      try {
        const got = await ask(`api/v1/jobs/${started.id}`);
        if (mine === belongs) job = got;
      } catch (problem) {
        job = { ...job, state: "failed", message: problem.message };
      }
    }
    if (mine === belongs && job) ended(job);
  }

  function ended(done) {
    job = null;
    if (done.state === "failed") failure = done.message;
    if (done.state === "done" && done.kind === "smallest") keepOnly(done.result);
    if (done.state === "done" && done.kind === "occlusion") showOcclusion();
    show();
  }

  function keepOnly(found) {
    const rows = rowsOfList();
    const kept = new Set(found.elements);
    smallest = found.elements.length
      ? `${found.elements.join(", ")} ${found.elements.length > 1 ? "keep" : "keeps"} ${Math.round(100 * found.share)} % of what all ${rows.length} elements do together (effect ${signed(found.difference)}). The others are switched off.`
      : "All elements together change nothing here.";
    if (!found.elements.length) return;
    edits.off = rows.filter((row) => !kept.has(row.dataset.name)).map((row) => region(row.dataset.region));
    edits.on = [];
    changed();
  }

  async function showOcclusion() {
    await bridge.then(bridge.again);
    const tick = document.querySelector('#track-list [data-track="occlusion"]');
    if (tick && !tick.checked) tick.click();
  }

  function occlusion() {
    const there = state.view && state.view.tracks.some((row) => row.id === "occlusion");
    return there ? showOcclusion() : begin("occlusion");
  }

  // ------------------------------------------------------------------------------------------------ drawing a region

  async function pick(kind) {
    const text = byId("whatif-region");
    const wanted = text.value.trim();
    if (!wanted) return bridge.dragRegion(kind, (place) => inWindow(place) && (add(kind, inWindow(place)), true));
    const belongs = mine;
    const place = await placeOf(wanted, false, chrom()).catch(() => null);
    if (mine !== belongs) return undefined; // another gene came meanwhile
    if (!place || place.chrom !== chrom()) return say(`Type a region of this gene's window, such as ${typed(state.view.locus)}.`);
    const one = inWindow(place);
    if (!one) return say("That region lies outside this gene's window.");
    text.value = "";
    return add(kind, one);
  }

  function inWindow({ start, end }) {
    const window_ = state.view.locus;
    const one = { start: Math.max(start, window_.start), end: Math.min(end, window_.end) };
    return one.start < one.end ? one : null;
  }

  // ------------------------------------------------------------------------------------------------ showing

  const write = (node, text) => {
    if (node && node.textContent !== text) node.textContent = text;
  };

  function show() {
    showList();
    showBox();
    showTrack();
  }

  function showList() {
    const off = offer !== null && offer.off !== "";
    const largest = Math.max(0, ...rowsOfList().map((row) => Math.abs((effects.get(row.dataset.region) || { effect: 0 }).effect)));
    for (const row of rowsOfList()) {
      const gone = isOff(region(row.dataset.region));
      const found = effects.get(row.dataset.region);
      row.classList.toggle("switched-off", gone);
      const button = row.querySelector(".switch");
      button.setAttribute("aria-checked", String(!gone));
      button.disabled = off;
      const cell = row.querySelector(".effect");
      write(cell, found ? signed(found.effect) : "");
      cell.title = found ? `Effect ${exactly(found.effect)}: predicted with this element minus without it` : "";
      cell.classList.toggle("strong", Boolean(found) && largest > 0 && Math.abs(found.effect) === largest);
      write(row.querySelector(".control-rank"), found ? controlWords(found) : "");
    }
  }

  function showTrack() {
    const track = trackOf("elements");
    if (!track || !track.setWhatIf) return;
    const told = JSON.stringify([edits, [...effects.values()].map((row) => [name(row), row.effect]), mine]);
    if (track.whatIfTold === told) return;
    track.whatIfTold = told;
    track.setWhatIf(edits, new Map([...effects].map(([key, row]) => [key, row.effect])));
  }

  function showBox() {
    const panel = byId("whatif");
    if (!panel || !state.gene || !offer) return panel && panel.replaceChildren();
    if (!panel.firstChild) buildBox(panel);
    panel.dataset.state = offer.off ? "off" : waiting ? "waiting" : failure ? "failed" : answer ? "answered" : "idle";
    const [result, drawn, progress, note] = ["result", "drawn", "job", "note"].map((part) => panel.querySelector(`.whatif-${part}`));
    panel.querySelector(".whatif-tools").hidden = Boolean(offer.off);
    panel.querySelector("[data-action=whatif-reset]").hidden = !some();
    for (const button of panel.querySelectorAll(".whatif-jobs button")) button.disabled = job !== null;
    fill(result, offer.off ? [el("p", {}, offer.off)] : resultLines());
    fill(drawn, drawnRegions());
    showJob(progress);
    fill(note, offer.line && !offer.off ? [el("span", { title: offer.note }, offer.line)] : []);
  }

  /* Only what is new is put there: a screen reader tells each change, and a button keeps its focus. */
  function fill(node, children) {
    const fresh = el("div", {}, children);
    if (fresh.innerHTML !== node.innerHTML) node.replaceChildren(...fresh.childNodes);
  }

  function resultLines() {
    const lines = [];
    if (answer) lines.push(...answerLines(answer, offer.unit, edits.off.length + edits.on.length > 1));
    if (smallest) lines.push(el("p", { class: "quiet" }, smallest));
    if (waiting) lines.push(el("p", { class: "quiet waiting" }, waiting));
    if (failure) lines.push(el("p", { class: "failure", role: "alert" }, failure));
    if (!lines.length) lines.push(el("p", { class: "quiet" }, "Switch an element off to see what the model then predicts."));
    return lines;
  }

  function drawnRegions() {
    const known = new Set(rowsOfList().map((row) => row.dataset.region));
    const chips = [];
    for (const [kind, words] of [["off", "removed"], ["on", "kept"]]) {
      for (const one of edits[kind].filter((r) => !known.has(name(r)))) {
        const place = typed({ chrom: chrom(), ...one });
        const undo = { class: "link", "data-action": "whatif-undo", "data-kind": kind, "data-edit": name(one) };
        const button = el("button", { ...undo, "aria-label": `Undo: ${place} ${words}` }, "undo");
        chips.push(el("div", { class: "drawn" }, el("span", { class: `dot ${kind}` }), el("span", {}, `${place} ${words} `), button));
      }
    }
    return chips;
  }

  function showJob(node) {
    node.hidden = job === null;
    if (job === null) return;
    const bar = node.querySelector("progress");
    write(node.querySelector("span"), `${sentence(job.message) || (job.state === "queued" ? "Waiting" : job.title)}${pace(job)}`);
    Object.assign(bar, { max: job.total || 1, value: job.total ? job.done : 0 });
    bar.setAttribute("aria-label", job.title);
  }

  function cancelJob() {
    if (job) post(`api/v1/jobs/${job.id}/cancel`, {}).catch((problem) => say(problem.message));
  }

  function undo(button) {
    const { kind, edit } = button.dataset;
    edits[kind] = edits[kind].filter((r) => name(r) !== edit);
    changed();
  }

  // ------------------------------------------------------------------------------------------------ events

  /* Dash draws the list anew with each gene and threshold, now and then after the tracks. */
  const watch = new MutationObserver(() => showList());
  function watchList() {
    const list = byId("element-list");
    if (!list || watch.seen === list) return;
    watch.disconnect();
    watch.observe(list, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-region"] });
    watch.seen = list;
  }

  async function onDrawn() {
    watchList();
    const belongs = `${state.run}|${state.gene}`;
    if (belongs !== mine) {
      const first = mine === null;
      [mine, answer, failure, waiting, smallest, job] = [belongs, null, null, null, null, null];
      effects = new Map();
      Object.assign(edits, { off: [], on: [] });
      turn += 1;
      if (first && state.gene) takeFromLink();
      if (state.gene) await load(belongs);
      if (mine !== belongs) return;
      if (some()) changed();
    } else if (some()) question();
    show();
  }

  async function load(belongs) {
    const { run, gene } = state;
    try {
      if (!offer || offer.run !== run) offer = { run, ...(await ask(`api/v1/${run}/whatif`)) };
      const known = await ask(`api/v1/${run}/genes/${encodeURIComponent(gene)}/effects`);
      if (mine !== belongs) return;
      effects = new Map(known.rows.map((row) => [name(row), row]));
      if (known.job) follow(known.job);
    } catch (problem) {
      offer = offer || { run, off: problem.message, note: "", line: "", unit: "" };
    }
  }

  Object.assign(bridge.actions, {
    switch: (_event, button) => toggle(region(button.closest(".element").dataset.region)),
    "whatif-reset": clear,
    "whatif-off": () => pick("off"),
    "whatif-on": () => pick("on"),
    "whatif-rank": () => begin("effects"),
    "whatif-smallest": () => begin("smallest"),
    "whatif-occlusion": occlusion,
    "whatif-cancel": cancelJob,
    "whatif-undo": (_event, button) => undo(button),
  });

  document.addEventListener("keydown", (event) => {
    const row = event.key === " " && event.target.closest && event.target.closest(".element-go");
    if (!row) return;
    event.preventDefault();
    toggle(region(row.closest(".element").dataset.region));
  });

  /* A click on an element in the browser offers to switch it; igv.js lives in a shadow root of its own. */
  bridge.popupLines.push((track, _rows, place) => {
    if (track.type !== "elements" || !offer || offer.off) return "";
    const found = (track.featuresAt ? track.featuresAt(place) : []).filter((f) => f.class !== "promoter");
    return found.map((f) => `<div><button class="whose" data-whatif="${Number(f.start)}-${Number(f.end)}">Switch ${bridge.escapeHtml(f.name)} ${isOff(f) ? "on" : "off"}</button></div>`).join("");
  });
  document.addEventListener("click", (event) => {
    const button = event.composedPath().find((node) => node.dataset && node.dataset.whatif);
    if (!button) return;
    toggle(region(button.dataset.whatif));
    if (bridge.closePopups) bridge.closePopups();
  });

  document.addEventListener("pointerover", prepare);
  document.addEventListener("focusin", prepare);
  document.addEventListener("seq2exp:drawn", onDrawn);
  bridge.whatif = { edits, toggle, add, clear };
})();
