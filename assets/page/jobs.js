/* Jobs: what the server computes in the background, its progress, and a way to stop it. */

import { addActions } from "seq2exp/page/actions";
import { setProps } from "seq2exp/page/dash";
import { byId, el } from "seq2exp/page/dom";
import { on, once } from "seq2exp/page/events";
import { notify } from "seq2exp/page/notification";
import { ask, post } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";

const POLL_MS = 2_000;
const LINE_POLL_MS = 1_000; // while the gene on the screen is being scored
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
  const watched = showLine();
  box.replaceChildren(jobs.length ? table(jobs) : el("div", { class: "empty" }, "There are no jobs. Scoring a gene or ranking its elements starts one."));
  const active = jobs.filter(isActive).length;
  byId("tab-jobs").dataset.running = active || "";
  if (state.tab === "jobs" || active) timer = setTimeout(poll, watched ? LINE_POLL_MS : POLL_MS);
}

/* In the head of a gene without a mask: how far its scoring is and a way to stop it, or why it failed. Returns whether it
 * is being scored. */
function showLine() {
  const line = document.querySelector(".job-line");
  if (!line) return false;
  const names = line.dataset.genes.toUpperCase().split("|");
  const job = last.find(({ kind, run, gene }) => kind === "score" && run === line.dataset.run && names.includes(gene.toUpperCase()));
  const active = Boolean(job) && isActive(job);
  const over = Boolean(job) && ["failed", "cancelled"].includes(job.state);
  if (line.hasAttribute("data-active") && job && job.state === "done") setProps("poll", { n_intervals: Date.now() }); // what Dash asks for now and then
  line.toggleAttribute("data-active", active);
  line.toggleAttribute("data-over", over);
  const again = line.parentElement.querySelector("[data-action=score]");
  const offer = over ? "Try again" : "Score now";
  if (again && again.textContent !== offer) again.textContent = offer; // each change calls this function again
  const parts = job ? lineParts(job, active) : [];
  const text = parts.map((part) => part.textContent).join("\n");
  if (line.dataset.text === text) return active; // a screen reader reads each change
  line.dataset.text = text;
  const stop = line.querySelector("button"); // stays, as it may have the focus
  if (active && stop && Number(stop.dataset.job) === job.id) {
    while (line.firstChild !== stop) line.firstChild.remove();
    stop.before(...parts.slice(0, -1));
  } else line.replaceChildren(...parts);
  return active;
}

function lineParts(job, active) {
  if (!active) return [el("span", {}, job.state === "done" ? "Scored. Its mask is being drawn." : job.message || STATES[job.state])];
  const step = job.total ? `Step ${job.done + 1} of ${job.total}: ` : "";
  const what = job.message || "waiting for its turn";
  const text = `${step}${step ? what : what[0].toUpperCase() + what.slice(1)} …`;
  const stop = el("button", { class: "tool", "data-action": "stop-job", "data-job": job.id, "data-writes": "", "aria-label": `Stop: ${job.title}` }, "Stop");
  return [
    el("progress", job.total ? { max: job.total, value: job.done, "aria-label": text } : { "aria-label": text }),
    el("div", {}, text),
    el("div", { class: "quiet" }, job.moved || ""),
    el("div", { class: "quiet" }, "Its mask appears here as soon as it is scored."),
    stop,
  ];
}

function table(jobs) {
  const head = ["Job", "Run", "State", "Progress", ""].map((name) => el("th", {}, name));
  return el("table", { class: "plain" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, jobs.map(tableRow)));
}

function tableRow(job) {
  const active = isActive(job);
  const bar = job.total ? el("progress", { max: job.total, value: job.done, "aria-label": `${job.done} of ${job.total}` }) : null;
  const numbers = job.total ? ` ${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}` : "";
  const words = [job.message, job.moved].filter(Boolean).join(": ");
  const message = words ? el("div", { class: "quiet" }, words) : null;
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

addActions({
  score: (_event, button) => start("score", button.dataset.gene),
  "stop-job": (_event, button) => cancel(button.dataset.job),
});
/* A job may run since before the page was opened, and its gene's head may be there before any track. */
once("page", () => {
  const watched = { childList: true, subtree: true, attributes: true, attributeFilter: ["data-genes", "data-run"] };
  new MutationObserver(showLine).observe(byId("gene-head"), watched);
  return poll();
});
on("tab", () => state.tab === "jobs" && poll());
