/* What if: elements are switched off, regions removed or kept, and the model predicts again.
 *
 * The server asks the model and compares with control regions; this module keeps the edits (also in the address: off=,
 * on=), sends the questions, and follows the jobs that rank elements. whatif_panel.js shows it.
 */

import { addActions } from "seq2exp/page/actions";
import { addPopupPart, closePopups } from "seq2exp/page/browser";
import { byId, closest, escapeHtml, onPath } from "seq2exp/page/dom";
import { on } from "seq2exp/page/events";
import { isActive } from "seq2exp/page/jobs";
import { notify } from "seq2exp/page/notification";
import { enqueue } from "seq2exp/page/queue";
import { plainText, regionText } from "seq2exp/page/region";
import { dragRegion } from "seq2exp/page/region_drag";
import { ask, findRegion, post } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";
import * as url from "seq2exp/page/url";
import { reload, thresholdNow } from "seq2exp/page/view";
import * as edits from "seq2exp/page/whatif_edits";
import { showList, showWhatIf } from "seq2exp/page/whatif_panel";
import { progress, sentence, signed } from "seq2exp/page/whatif_words";

const PAGE = Math.random().toString(36).slice(2); // of this tab: its newer question cancels its older one
const CONTROLS = 20; // control regions of one question
const POLL_MS = 300;
const whatif = state.whatif;
let turn = 0; // counts questions: an answer to anything but the last is dropped
let prepared = null; // "run|gene" for which the model was started ahead of the first question

// ------------------------------------------------------------------------------------------------ edits

function toggle(region) {
  if (whatif.offer && whatif.offer.off) return notify(whatif.offer.off);
  edits.toggle(region);
  return changed();
}

export function addEdit(kind, region) {
  edits.add(kind, region);
  changed();
}

function clear() {
  edits.replace([], []);
  whatif.smallest = null;
  changed();
}

function changed() {
  url.write();
  showWhatIf();
  question();
}

const writeEdits = (kind) => () =>
  whatif.belongsTo === `${state.run}|${state.gene}` && edits.contig()
    ? whatif.edits[kind].map((region) => plainText({ chrom: edits.contig(), ...region })).join(",")
    : null;
for (const kind of ["off", "on"]) url.register(kind, { write: writeEdits(kind), read: (text) => text });

/* Take the edits of the page's link; they hold once, for the gene that it opens. */
function takeFromLink() {
  const [off, on_] = ["off", "on"].map((kind) => edits.regionsOf(state.asked[kind], edits.contig()));
  edits.replace(off, on_);
  Object.assign(state.asked, { off: null, on: null });
}

// ------------------------------------------------------------------------------------------------ questions

/* Ask what the model predicts, first alone, then with control regions. */
async function question() {
  const now = ++turn;
  const asking = edits.hasEdits();
  Object.assign(whatif, { answer: null, failure: null, waiting: asking ? "Predicting…" : null });
  showWhatIf();
  if (!asking) return;
  try {
    whatif.answer = await answerWith(0, now);
    whatif.waiting = "Comparing with control regions…";
    if (now === turn) showWhatIf();
    whatif.answer = await answerWith(CONTROLS, now);
  } catch (problem) {
    if (now !== turn) return; // something newer was asked
    whatif.failure = problem.message;
  }
  if (now !== turn) return;
  whatif.waiting = null;
  showWhatIf();
}

async function answerWith(controls, now) {
  const run = state.run;
  const { off, on: kept } = whatif.edits;
  let got = await post(`${run}/whatif`, { gene: state.gene, off, on: kept, threshold: thresholdNow(), controls, page: PAGE });
  while (got.state !== undefined && now === turn) {
    whatif.waiting = `${sentence(got.message) || "Predicting"}${progress(got)}…`;
    showWhatIf();
    const asked = Date.now();
    got = await ask(`${run}/whatif/${got.id}`);
    if (got.state !== undefined && Date.now() - asked < POLL_MS) await new Promise((resolve) => setTimeout(resolve, POLL_MS)); // no place to wait
  }
  if (now !== turn) throw Object.assign(new Error("newer"), { status: 409 });
  return got;
}

/* The user reaches for a switch: the model may start, and read this gene's window, meanwhile. */
function prepare(event) {
  const { belongsTo, offer } = whatif;
  if (!belongsTo || prepared === belongsTo || !offer || offer.off || edits.hasEdits()) return;
  if (!closest(event, ".switch, .whatif-tools")) return;
  prepared = belongsTo;
  post(`${state.run}/whatif`, { gene: state.gene, controls: 0, page: `${PAGE}-ready` }).catch(() => {}); // the question will report
}

// ------------------------------------------------------------------------------------------------ jobs

/* The run's own elements are ranked for good; at another threshold the ranks are for this page. */
function ownThreshold() {
  const now = thresholdNow();
  return state.rule !== null && Math.abs(now - state.rule) < 1e-9 ? null : now;
}

async function startJob(kind) {
  try {
    follow(await post(`${state.run}/jobs`, { kind, gene: state.gene, threshold: kind === "occlusion" ? null : ownThreshold() }));
  } catch (problem) {
    whatif.failure = problem.message;
    showWhatIf();
  }
}

/* Show a job's progress and its rows until it is over, or until another gene is on the screen. */
async function follow(started) {
  const { belongsTo } = whatif;
  const current = () => whatif.belongsTo === belongsTo;
  whatif.job = started;
  while (whatif.job && current()) {
    for (const row of whatif.job.rows || []) whatif.effects.set(edits.regionName(row), row);
    showWhatIf();
    if (!isActive(whatif.job)) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    try {
      const got = await ask(`jobs/${started.id}`);
      if (current()) whatif.job = got;
    } catch (problem) {
      whatif.job = { ...whatif.job, state: "failed", message: problem.message };
    }
  }
  if (current() && whatif.job) finish(whatif.job);
}

function finish(job) {
  whatif.job = null;
  if (job.state === "failed") whatif.failure = job.message;
  if (job.state === "done" && job.kind === "smallest") keepOnly(job.result);
  if (job.state === "done" && job.kind === "occlusion") showOcclusion();
  showWhatIf();
}

function cancelJob() {
  if (whatif.job) post(`jobs/${whatif.job.id}/cancel`, {}).catch((problem) => notify(problem.message));
}

/* Switch off all elements but the smallest set that was found. */
function keepOnly({ elements, share, difference }) {
  const rows = edits.elementRows();
  whatif.smallest = elements.length
    ? `${elements.join(", ")} ${elements.length > 1 ? "retain" : "retains"} ${Math.round(100 * share)} % of the effect of all ${rows.length} elements (${signed(difference)}). The other elements are switched off.`
    : "Switching off all elements does not change the prediction.";
  if (!elements.length) return;
  const others = rows.filter((row) => !elements.includes(row.dataset.name));
  edits.replace(others.map((row) => edits.parseRegion(row.dataset.region)), []);
  changed();
}

async function showOcclusion() {
  await enqueue(reload);
  const tick = document.querySelector('#track-list [data-track="occlusion"]');
  if (tick && !tick.checked) tick.click();
}

function occlusion() {
  const there = state.view && state.view.tracks.some((row) => row.id === "occlusion");
  return there ? showOcclusion() : startJob("occlusion");
}

// ------------------------------------------------------------------------------------------------ regions by hand

/* Remove or keep the region that was typed, or let the user drag over one. */
async function editRegion(kind) {
  const field = byId("whatif-region");
  const wanted = field.value.trim();
  if (!wanted) {
    return dragRegion(kind, (dragged) => {
      const region = inWindow(dragged);
      if (region) addEdit(kind, region);
      return Boolean(region);
    });
  }
  const { belongsTo } = whatif;
  const found = await findRegion(wanted, { chrom: edits.contig() }).catch(() => null);
  if (whatif.belongsTo !== belongsTo) return undefined; // another gene is on the screen meanwhile
  if (!found || found.chrom !== edits.contig()) return notify(`Type a region of this gene's window, such as ${regionText(state.view.locus)}.`);
  const region = inWindow(found);
  if (!region) return notify("That region lies outside this gene's window.");
  field.value = "";
  return addEdit(kind, region);
}

/* The part of a region that lies in the gene's window, null where none does. */
function inWindow({ start, end }) {
  const window_ = state.view.locus;
  const part = { start: Math.max(start, window_.start), end: Math.min(end, window_.end) };
  return part.start < part.end ? part : null;
}

// ------------------------------------------------------------------------------------------------ events

async function onDrawn() {
  watchList();
  const belongsTo = `${state.run}|${state.gene}`;
  if (belongsTo !== whatif.belongsTo) {
    const first = whatif.belongsTo === null;
    Object.assign(whatif, { belongsTo, answer: null, failure: null, waiting: null, smallest: null, job: null, effects: new Map() });
    edits.replace([], []);
    turn += 1;
    if (first && state.gene) takeFromLink();
    if (state.gene) await load(belongsTo);
    if (whatif.belongsTo !== belongsTo) return;
    if (edits.hasEdits()) changed();
  } else if (edits.hasEdits()) question();
  showWhatIf();
}

/* Read what the run's model offers, and the effects that are known for the gene. */
async function load(belongsTo) {
  const { run, gene } = state;
  try {
    if (!whatif.offer || whatif.offer.run !== run) whatif.offer = { run, ...(await ask(`${run}/whatif`)) };
    const known = await ask(`${run}/genes/${encodeURIComponent(gene)}/effects`);
    if (whatif.belongsTo !== belongsTo) return;
    whatif.effects = new Map(known.rows.map((row) => [edits.regionName(row), row]));
    if (known.job) follow(known.job);
  } catch (problem) {
    whatif.offer = whatif.offer || { run, off: problem.message, note: "", line: "", unit: "" };
  }
}

/* Dash draws the list of elements anew with each gene and threshold, at times after the tracks. */
const watcher = new MutationObserver(showList);
let watched = null;
function watchList() {
  const list = byId("element-list");
  if (!list || watched === list) return;
  watcher.disconnect();
  watcher.observe(list, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-region"] });
  watched = list;
}

addActions({
  switch: (_event, button) => toggle(edits.parseRegion(button.closest(".element").dataset.region)),
  "whatif-reset": clear,
  "whatif-off": () => editRegion("off"),
  "whatif-on": () => editRegion("on"),
  "whatif-rank": () => startJob("effects"),
  "whatif-smallest": () => startJob("smallest"),
  "whatif-occlusion": occlusion,
  "whatif-cancel": cancelJob,
  "whatif-undo": (_event, button) => {
    edits.remove(button.dataset.kind, edits.parseRegion(button.dataset.edit));
    changed();
  },
});

/* Space on a row of the list of elements. */
document.addEventListener("keydown", (event) => {
  const row = event.key === " " && closest(event, ".element-go");
  if (!row) return;
  event.preventDefault();
  toggle(edits.parseRegion(row.closest(".element").dataset.region));
});

/* The button under a click on an element in the browser. */
addPopupPart((track, _rows, position) => {
  if (track.type !== "elements" || !whatif.offer || whatif.offer.off) return "";
  const found = (track.featuresAt ? track.featuresAt(position) : []).filter((f) => f.class !== "promoter");
  const button = (f) =>
    `<div><button class="whose" data-whatif="${Number(f.start)}-${Number(f.end)}">Switch ${escapeHtml(f.name)} ${edits.isOff(f) ? "on" : "off"}</button></div>`;
  return found.map(button).join("");
});
document.addEventListener("click", (event) => {
  const button = onPath(event, "whatif");
  if (!button) return;
  toggle(edits.parseRegion(button.dataset.whatif));
  closePopups();
});

document.addEventListener("pointerover", prepare);
document.addEventListener("focusin", prepare);
on("drawn", onDrawn);
