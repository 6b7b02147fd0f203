/* Jobs: what the server computes in the background, its progress, and a way to stop it. */

import { addActions } from "seq2exp/page/actions";
import { byId, el } from "seq2exp/page/dom";
import { on, once } from "seq2exp/page/events";
import { notify } from "seq2exp/page/notification";
import { ask, post } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";

const POLL_MS = 2_000;
const STATES = { queued: "waiting", running: "running", done: "done", failed: "failed", cancelled: "cancelled" };
let timer = null;
let last = []; // the jobs, as the server last said

/* Whether a job is not over yet. */
export const isActive = (job) => ["queued", "running"].includes(job.state);

const timeLeft = (seconds) => {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 90 ? `${Math.round(seconds)} s left` : `${Math.round(seconds / 60)} min left`;
};

/* Ask for the jobs and list them; again and again while the tab is open or one is active. */
async function poll() {
  clearTimeout(timer);
  const box = byId("jobs");
  let jobs = [];
  try {
    jobs = await ask("jobs");
  } catch (problem) {
    if (problem.status !== 404) {
      box.replaceChildren(el("div", { class: "empty", role: "alert" }, problem.message));
      return;
    }
  }
  last = jobs;
  showLine();
  box.replaceChildren(jobs.length ? table(jobs) : el("div", { class: "empty" }, "There are no jobs. Scoring a gene or ranking its elements starts one."));
  const active = jobs.filter(isActive).length;
  byId("tab-jobs").dataset.running = active || "";
  if (state.tab === "jobs" || active) timer = setTimeout(poll, POLL_MS);
}

/* In the head of a gene without a mask: how far its scoring is, or why it failed. */
function showLine() {
  const line = document.querySelector(".job-line");
  if (!line) return;
  const names = line.dataset.genes.split("|");
  const job = last.find(({ kind, run, gene }) => kind === "score" && run === state.run && names.includes(gene));
  const text = job ? lineText(job) : "";
  line.toggleAttribute("data-active", Boolean(job) && isActive(job));
  if (line.dataset.text === text) return; // a screen reader reads each change
  line.dataset.text = text;
  const bar = job && isActive(job) ? el("progress", job.total ? { max: job.total, value: job.done, "aria-label": text } : { "aria-label": text }) : null;
  line.replaceChildren(...(job ? [bar, el("span", {}, text)].filter(Boolean) : []));
}

function lineText(job) {
  if (job.state === "done") return "Scored. Its mask is being drawn.";
  if (!isActive(job)) return job.message || STATES[job.state];
  const what = job.message || "waiting for its turn";
  return `${what[0].toUpperCase()}${what.slice(1)} …`;
}

function table(jobs) {
  const head = ["Job", "Run", "State", "Progress", ""].map((name) => el("th", {}, name));
  return el("table", { class: "plain" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, jobs.map(tableRow)));
}

function tableRow(job) {
  const active = isActive(job);
  const bar = job.total ? el("progress", { max: job.total, value: job.done, "aria-label": `${job.done} of ${job.total}` }) : null;
  const numbers = job.total ? ` ${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}` : "";
  const message = job.message ? el("div", { class: "quiet" }, job.message) : null;
  return el(
    "tr",
    { "data-job": job.id },
    el("td", {}, job.title || job.kind),
    el("td", {}, job.run),
    el("td", {}, STATES[job.state] || job.state),
    el("td", {}, bar, numbers, active ? ` ${timeLeft(job.seconds_left)}` : "", message),
    el("td", {}, active && el("button", { class: "tool", onclick: () => cancel(job.id) }, "Cancel"))
  );
}

async function cancel(id) {
  await post(`jobs/${encodeURIComponent(id)}/cancel`, {}).catch((problem) => notify(problem.message));
  poll();
}

/* Start a job on the server. */
async function start(kind, gene) {
  try {
    await post(`${state.run}/jobs`, { kind, gene });
    notify("The job has started. The tab Jobs shows its progress.");
    poll();
  } catch (problem) {
    const off = [404, 405].includes(problem.status);
    notify(off ? "This server runs no jobs. Score the gene on the command line with `seq2exp-viz score`." : problem.message);
  }
}

addActions({ score: (_event, button) => start("score", button.dataset.gene) });
/* A job may run since before the page was opened; the head of a gene comes later than its tracks. */
once("drawn", () => {
  new MutationObserver(showLine).observe(byId("gene-head"), { childList: true });
  return poll();
});
on("tab", () => state.tab === "jobs" && poll());
