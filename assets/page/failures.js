/* Reports what goes wrong in the page, or between it and its server, in the page: nothing fails in silence.
 *
 * A line above the page (#server-line) says what of the page does not work now, and goes once it works again.
 */

import { el } from "seq2exp/page/dom";
import { notify } from "seq2exp/page/notification";
import { explainFailure, SERVER_AWAY } from "seq2exp/page/server";

const send = window.fetch;
const failing = new Map(); // what fails -> text, in the order in which it began

/* The line, outside what Dash draws, because that may be what fails. */
function line() {
  const there = document.getElementById("server-line");
  if (there) return there;
  const made = el("div", { id: "server-line", class: "server-line", hidden: true, role: "alert" }, el("span"));
  const close = () => (made.hidden = true);
  made.append(el("button", { class: "server-line-close", "aria-label": "Close this message", onclick: close }, "×"));
  document.body.append(made);
  return made;
}

function show() {
  const text = [...new Set(failing.values())].slice(-2).join(" ");
  const shown = line().firstChild;
  document.body.toggleAttribute("data-failing", failing.size > 0);
  if (text === shown.textContent) return; // closed by the user, and nothing new
  shown.textContent = text;
  line().hidden = !text;
}

/* Report that a part of the page fails, until `works` is called for it. */
function fails(what, text) {
  failing.set(what, text);
  show();
}

function works(what) {
  const wasAway = failing.delete("network");
  if (failing.delete(what) || wasAway) show();
}

/* A callback is known by the outputs that it fills, any other request of Dash by its address. */
function nameOf(address, options) {
  try {
    return JSON.parse(options.body).output || address;
  } catch {
    return address;
  }
}

/* Watch the requests that Dash sends. */
window.fetch = async (...given) => {
  const address = String((given[0] && given[0].url) || given[0]);
  if (!address.includes("/_dash-")) return send(...given);
  const what = nameOf(address, given[1]);
  let answer;
  try {
    answer = await send(...given);
  } catch (problem) {
    if (problem.name !== "AbortError") fails("network", SERVER_AWAY);
    throw problem;
  }
  const type = answer.headers.get("Content-Type") || "";
  if (answer.ok && (answer.status === 204 || type.includes("json"))) works(what);
  else fails(what, explainFailure(answer.status, answer.statusText, type, await answer.clone().text().catch(() => "")));
  return answer;
};

const messageOf = (problem) => String((problem && problem.message) || problem || "").slice(0, 200);
const report = (problem) => messageOf(problem) && notify(`An error occurred in the page: ${messageOf(problem)}`);

function reportMissing(address) {
  const name = new URL(address, window.location).pathname.split("/").pop();
  fails(address, `A part of this page could not be loaded (${name}). Load the page again. The terminal or the log of the server says why.`);
}

window.addEventListener("error", (event) => event.message && !/ResizeObserver/.test(event.message) && report(event.message));
window.addEventListener("unhandledrejection", (event) => report(event.reason));
window.addEventListener("error", (event) => event.target instanceof HTMLScriptElement && reportMissing(event.target.src), true);
for (const entry of performance.getEntriesByType("resource")) {
  if (entry.initiatorType === "script" && entry.responseStatus >= 400) reportMissing(entry.name); // before this module ran
}
