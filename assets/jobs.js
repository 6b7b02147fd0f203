/* Jobs: what the server computes in the background, how far it is, and a way to stop it. */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId, el, ask, post, say } = bridge;
  const EVERY = 2_000;
  const RUNNING = ["queued", "running"];
  const STATES = { queued: "waiting", running: "running", done: "done", failed: "failed", cancelled: "stopped" };
  let timer = null;

  const left = (seconds) => {
    if (seconds === null || seconds === undefined) return "";
    return seconds < 90 ? `${Math.round(seconds)} s left` : `${Math.round(seconds / 60)} min left`;
  };

  async function look() {
    clearTimeout(timer);
    const box = byId("jobs");
    let jobs = [];
    try {
      jobs = await ask("api/v1/jobs");
    } catch (problem) {
      if (problem.status !== 404) return box.replaceChildren(el("div", { class: "empty", role: "alert" }, problem.message));
    }
    box.replaceChildren(jobs.length ? table(jobs) : el("div", { class: "empty" }, "No jobs. Scoring a gene or ranking its elements starts one."));
    byId("tab-jobs").dataset.running = jobs.filter((job) => RUNNING.includes(job.state)).length || "";
    if (state.tab === "jobs" || jobs.some((job) => RUNNING.includes(job.state))) timer = setTimeout(look, EVERY);
  }

  function table(jobs) {
    const head = ["Job", "Run", "State", "Progress", ""].map((name) => el("th", {}, name));
    const rows = jobs.map((job) => {
      const going = RUNNING.includes(job.state);
      const bar = job.total ? el("progress", { max: job.total, value: job.done, "aria-label": `${job.done} of ${job.total}` }) : null;
      const numbers = job.total ? ` ${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}` : "";
      const stop = going && el("button", { class: "tool", onclick: () => cancel(job.id) }, "Stop");
      return el("tr", { "data-job": job.id }, el("td", {}, job.title || job.kind), el("td", {}, job.run),
        el("td", {}, STATES[job.state] || job.state), el("td", {}, bar, numbers, going ? ` ${left(job.seconds_left)}` : "",
          job.message ? el("div", { class: "quiet" }, job.message) : null), el("td", {}, stop));
    });
    return el("table", { class: "plain" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows));
  }

  async function cancel(id) {
    await post(`api/v1/jobs/${encodeURIComponent(id)}/cancel`, {}).catch((problem) => say(problem.message));
    look();
  }

  /* Start a job on the server: kind effects, score or occlusion. */
  async function start(kind, gene) {
    try {
      await post(`api/v1/${state.run}/jobs`, { kind, gene });
      say("Started: the tab Jobs shows how far it is.");
      look();
    } catch (problem) {
      const off = [404, 405].includes(problem.status);
      say(off ? "This server computes nothing: use `seq2exp-viz score` on the command line." : problem.message);
    }
  }

  bridge.startJob = start;
  bridge.actions.score = (_event, button) => start("score", button.dataset.gene);
  document.addEventListener("seq2exp:tab", () => state.tab === "jobs" && look());
})();
