/* Shows the what-if: in its panel, in the list of elements and in the track of elements. */

import { trackOf } from "seq2exp/page/browser";
import { byId, el } from "seq2exp/page/dom";
import { regionText } from "seq2exp/page/region";
import { state } from "seq2exp/page/state";
import { contig, elementRows, hasEdits, isOff, parseRegion, regionName } from "seq2exp/page/whatif_edits";
import { answerLines, controlWords, exactly, progress, sentence, signed } from "seq2exp/page/whatif_words";

const whatif = state.whatif;
let painted = null; // {track, what}: what the track of elements was given last

/* Show the state of the what-if everywhere. */
export function showWhatIf() {
  showList();
  showPanel();
  showTrack();
}

function write(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}

/* Switches and effects in the list of elements. */
export function showList() {
  const { effects, offer } = whatif;
  const disabled = offer !== null && offer.off !== "";
  const rows = elementRows();
  const stored = (row) => row.dataset.effect !== undefined; // the run knows it: the server wrote the cell
  const size = (row) => Math.abs(stored(row) ? Number(row.dataset.effect) : (effects.get(row.dataset.region) || { effect: 0 }).effect);
  const largest = Math.max(0, ...rows.map(size));
  for (const row of rows) {
    const off = isOff(parseRegion(row.dataset.region));
    const found = effects.get(row.dataset.region);
    row.classList.toggle("switched-off", off);
    const button = row.querySelector(".switch");
    button.setAttribute("aria-checked", String(!off));
    button.disabled = disabled;
    const cell = row.querySelector(".effect");
    if (!stored(row)) {
      write(cell, found ? signed(found.effect) : "");
      cell.title = found ? `Effect ${exactly(found.effect)}: prediction with this element minus prediction without it` : "";
    }
    cell.classList.toggle("strong", largest > 0 && size(row) === largest);
    write(row.querySelector(".control-rank"), found ? controlWords(found) : "");
  }
}

function showTrack() {
  const track = trackOf("elements");
  if (!track || !track.setWhatIf) return;
  const what = JSON.stringify([whatif.edits, [...whatif.effects], whatif.belongsTo]);
  if (painted && painted.track === track && painted.what === what) return;
  painted = { track, what };
  track.setWhatIf(whatif.edits, new Map(whatif.effects));
}

function showPanel() {
  const { offer, job } = whatif;
  const panel = byId("whatif");
  if (!panel || !state.gene || !offer) return panel && panel.replaceChildren();
  if (!panel.firstChild) buildPanel(panel);
  panel.dataset.state = panelState();
  const part = (name) => panel.querySelector(`.whatif-${name}`);
  part("tools").hidden = Boolean(offer.off);
  panel.querySelector("[data-action=whatif-reset]").hidden = !hasEdits();
  for (const button of panel.querySelectorAll(".whatif-jobs button")) button.disabled = job !== null;
  fill(part("result"), offer.off ? [el("p", {}, offer.off)] : resultLines());
  fill(part("drawn"), drawnRegions());
  showJob(part("job"));
  return fill(part("note"), offer.line && !offer.off ? [el("span", { title: offer.note }, offer.line)] : []);
}

function panelState() {
  const { offer, waiting, failure, answer } = whatif;
  return offer.off ? "off" : waiting ? "waiting" : failure ? "failed" : answer ? "answered" : "idle";
}

/* Replace a node's children only where they differ: a screen reader reads each change, and a button keeps its focus. */
function fill(node, children) {
  const fresh = el("div", {}, children);
  if (fresh.innerHTML !== node.innerHTML) node.replaceChildren(...fresh.childNodes);
}

function resultLines() {
  const { answer, edits, failure, offer, smallest, waiting } = whatif;
  const lines = [];
  if (answer) lines.push(...answerLines(answer, offer.unit, edits.off.length + edits.on.length > 1));
  if (smallest) lines.push(el("p", { class: "quiet" }, smallest));
  if (waiting) lines.push(el("p", { class: "quiet waiting" }, waiting));
  if (failure) lines.push(el("p", { class: "failure", role: "alert" }, failure));
  if (!lines.length) lines.push(el("p", { class: "quiet" }, "Switch off an element to see what the model predicts without it."));
  return lines;
}

/* The edited regions that are no elements of the list, each with a button that takes it back. */
function drawnRegions() {
  const elements = new Set(elementRows().map((row) => row.dataset.region));
  return [["off", "removed"], ["on", "kept"]].flatMap(([kind, text]) =>
    whatif.edits[kind]
      .filter((region) => !elements.has(regionName(region)))
      .map((region) => drawnRegion(kind, text, region))
  );
}

function drawnRegion(kind, text, region) {
  const place = regionText({ chrom: contig(), ...region });
  const undo = { class: "link", "data-action": "whatif-undo", "data-kind": kind, "data-edit": regionName(region) };
  const button = el("button", { ...undo, "aria-label": `Undo: ${place} ${text}` }, "undo");
  return el("div", { class: "drawn" }, el("span", { class: `dot ${kind}` }), el("span", {}, `${place} ${text} `), button);
}

function showJob(node) {
  const { job } = whatif;
  node.hidden = job === null;
  if (job === null) return;
  const bar = node.querySelector("progress");
  write(node.querySelector("span"), `${sentence(job.message) || (job.state === "queued" ? "Waiting" : job.title)}${progress(job)}`);
  Object.assign(bar, { max: job.total || 1, value: job.total ? job.done : 0 });
  bar.setAttribute("aria-label", job.title);
}

function buildPanel(panel) {
  const tool = (text, action, title) => el("button", { class: "tool", "data-action": action, title }, text);
  const field = { id: "whatif-region", placeholder: "Region, or drag", "aria-label": "Region to remove or keep; leave empty to drag over it in the browser" };
  const regions = el(
    "div",
    { class: "whatif-draws" },
    el("input", field),
    tool("Remove", "whatif-off", "Remove the typed region; without one, drag over a region in the browser"),
    tool("Keep", "whatif-on", "Keep the typed region; without one, drag over a region in the browser")
  );
  const jobs = el(
    "div",
    { class: "whatif-jobs" },
    tool("Rank all", "whatif-rank", "Rank the elements: compute the effect of each, and of control regions for comparison"),
    tool("Keep 90 %", "whatif-smallest", "Find the smallest set of elements that retains 90 % of the effect of all"),
    tool("Occlusion", "whatif-occlusion", "Compute the effect of hiding each block of the window without any mask, and add it as a track")
  );
  const cancel = el("button", { class: "link", "data-action": "whatif-cancel" }, "cancel");
  panel.append(
    el("div", { class: "whatif-head" }, el("h3", {}, "What if"), el("button", { class: "link", "data-action": "whatif-reset" }, "reset")),
    el("div", { class: "whatif-result", role: "status", "aria-live": "polite" }),
    el("div", { class: "whatif-drawn" }),
    el("div", { class: "whatif-tools" }, regions, jobs),
    el("div", { class: "whatif-job" }, el("div", { class: "whatif-progress" }, el("span", { class: "quiet" }), cancel), el("progress", {})),
    el("div", { class: "whatif-note" })
  );
}
