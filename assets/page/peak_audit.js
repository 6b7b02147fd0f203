/* The peak audit: a queue of elements without a peak and peaks without an element, and the users' decision on each. */

import { byId, closest, el } from "seq2exp/page/dom";
import { on } from "seq2exp/page/events";
import { notify } from "seq2exp/page/notification";
import { around, regionText } from "seq2exp/page/region";
import { apiUrl, ask, post } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";
import { visit } from "seq2exp/page/view";

const PAGE_SIZE = 100; // items of one request
const STORED_NAME = "seq2exp-auditor"; // the user's name, in the browser's own storage
const KINDS = { "": "All", element: "Element, no peak", peak: "Peak, no element" };
const DECISIONS = { agree: "Agree with the mask", doubt: "Doubt the mask", note: "Note only" };
const audit = state.peakAudit;

// ------------------------------------------------------------------------------------------------ the queue

const geneAsked = () => (audit.scope === "gene" && state.gene ? state.gene : null);

async function load() {
  Object.assign(audit, { run: state.run, gene: geneAsked(), items: [], at: -1 });
  await more();
  draw();
}

async function more() {
  const query = { kind: audit.kind, offset: audit.items.length, limit: PAGE_SIZE, gene: audit.gene };
  const found = await ask(`${audit.run}/audit`, query);
  audit.items.push(...found.items);
  Object.assign(audit, { total: found.total, decided: found.decided, unknown: found.unknown, counts: found.counts });
}

async function step(by) {
  const to = Math.min(audit.total - 1, Math.max(0, audit.at + by));
  while (to >= audit.items.length && audit.items.length < audit.total) await more();
  choose(to);
}

function choose(at) {
  const item = audit.items[at];
  if (!item) return;
  audit.at = at;
  const width = Math.max(8 * (item.end - item.start), 1_000);
  visit(item.gene_id, around(item, width));
  draw();
}

async function decide(decision) {
  const item = audit.items[audit.at];
  if (!item) return;
  const note = byId("audit-note").value;
  const who = byId("audit-who").value;
  localStorage.setItem(STORED_NAME, who);
  try {
    const line = await post(`${audit.run}/audit`, { ...item, decision, note, who });
    audit.decided += item.decision ? 0 : 1;
    Object.assign(item, { decision: line.decision, note: line.note, who: line.who, when: line.when });
    if (decision === "note" || audit.at + 1 >= audit.total) draw();
    else await step(1);
  } catch (problem) {
    notify(problem.message);
  }
}

// ------------------------------------------------------------------------------------------------ what is shown

const what = (item) => (item.kind === "element" ? `Element ${item.name}, no peak` : `Peak ${item.name}, no element`);

function draw() {
  const box = byId("audit");
  const { with_peak, without_peak, used, unused } = audit.counts;
  if (with_peak === undefined) {
    box.replaceChildren(el("div", { class: "empty" }, "This run has no peaks, so there is nothing to audit."));
    return;
  }
  const table = el(
    "table",
    { class: "plain" },
    el("thead", {}, el("tr", {}, ["", "agree", "disagree"].map((name) => el("th", { class: name ? "right" : null }, name)))),
    el("tbody", {}, [
      ["Elements", "with a peak", with_peak, without_peak],
      ["Peaks", "with an element", used, unused],
    ].map(([name, title, yes, no]) => el("tr", { title }, el("td", {}, name), ...[yes, no].map((n) => el("td", { class: "right" }, n.toLocaleString("en"))))))
  );
  const about = el(
    "div",
    { class: "audit-about" },
    choices("Audit of", { all: "All genes", gene: "This gene" }, audit.scope, (name) => ((audit.scope = name), load())),
    choices("Kind", KINDS, audit.kind, (name) => ((audit.kind = name), load())),
    table,
    el("div", { class: "quiet" }, `${audit.decided.toLocaleString("en")} decided, ${audit.total.toLocaleString("en")} in this queue. `,
      audit.unknown ? `${audit.unknown.toLocaleString("en")} decisions concern genes that this run does not have. ` : "",
      el("a", { href: apiUrl(`${audit.run}/audit.tsv`), download: "" }, "Decisions (TSV)"))
  );
  box.replaceChildren(about, card(), queue());
  const here = box.querySelector("[aria-current]");
  if (here) here.scrollIntoView({ block: "nearest" });
}

function choices(label, all, chosen, pick) {
  const buttons = Object.entries(all).map(([name, words]) =>
    el("button", { class: "choice", "aria-pressed": String(name === chosen), onclick: () => pick(name) }, words));
  return el("div", { class: "choices", role: "group", "aria-label": label }, buttons);
}

function card() {
  const item = audit.items[audit.at];
  const steps = el("div", { class: "steps" },
    el("button", { class: "tool", onclick: () => step(-1), title: "Key: p", disabled: audit.at <= 0 }, "Previous"),
    el("button", { class: "tool", onclick: () => step(1), title: "Key: n", disabled: audit.at + 1 >= audit.total }, audit.at < 0 ? "Start" : "Next"),
    el("span", { class: "quiet" }, audit.total ? `${(audit.at + 1).toLocaleString("en")} of ${audit.total.toLocaleString("en")}` : "no disagreement"));
  if (!item) return el("div", { class: "audit-card" }, steps, el("p", { class: "quiet" },
    "Go through the places where mask and peaks disagree, strongest first. Keys: n next, p previous, a agree, d doubt."));
  const far = `${Math.abs(item.distance_to_tss).toLocaleString("en")} bp ${item.distance_to_tss < 0 ? "upstream" : "downstream"}`;
  const strength = item.kind === "element" ? `mean mask ${item.strength.toFixed(3)}` : `peak signal ${item.strength.toFixed(1)}`;
  const note = el("input", { id: "audit-note", class: "field", maxlength: 1000, placeholder: "Note", "aria-label": "Note", value: item.note || "" });
  const who = el("input", { id: "audit-who", class: "field", maxlength: 60, placeholder: "Your name", "aria-label": "Your name", value: localStorage.getItem(STORED_NAME) || "" });
  const buttons = Object.entries(DECISIONS).map(([name, words]) =>
    el("button", { class: "tool", "data-decision": name, "aria-pressed": String(item.decision === name), onclick: () => decide(name) }, words));
  const decided = item.decision ? `${DECISIONS[item.decision]}: ${item.who}, ${item.when.slice(0, 16).replace("T", " ")} UTC` : "Not decided yet";
  return el("div", { class: "audit-card" }, steps,
    el("div", {}, el("strong", {}, what(item)), ` for ${item.symbol}`),
    el("div", { class: "quiet" }, `${regionText(item)}, ${far}, ${strength}`),
    el("div", { class: "fields", "data-writes": "" }, note, who), el("div", { class: "steps", "data-writes": "" }, buttons), el("div", { class: "quiet", role: "status" }, decided));
}

function queue() {
  const rows = audit.items.map((item, at) =>
    el("button", { class: "queue-row", "aria-current": at === audit.at ? "true" : null, onclick: () => choose(at) },
      el("span", { class: `decision ${item.decision || ""}`, title: item.decision || "not decided" }),
      el("span", {}, item.symbol), el("span", {}, what(item))));
  const rest = audit.items.length < audit.total && el("button", { class: "link", onclick: () => more().then(draw) }, "Show more");
  return el("div", { class: "queue scroll", role: "group", "aria-label": "Queue" }, rows, rest);
}

// ------------------------------------------------------------------------------------------------ when

const showProblem = (error) => byId("audit").replaceChildren(el("div", { class: "empty", role: "alert" }, error.message));
const isOpen = () => state.tab === "audit";

on("tab", () => isOpen() && audit.run !== state.run && load().catch(showProblem));
on("drawn", () => {
  if (isOpen() && (audit.run !== state.run || audit.gene !== geneAsked())) load().catch(showProblem);
});

document.addEventListener("keydown", (event) => {
  const typing = closest(event, "input, textarea, select, [contenteditable], dialog[open]");
  if (!isOpen() || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const action = { n: () => step(1), p: () => step(-1), a: () => decide("agree"), d: () => decide("doubt") }[event.key.toLowerCase()];
  if (action) action();
});
