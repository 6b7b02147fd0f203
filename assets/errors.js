/* Nothing fails in silence: what goes wrong in the page, or between it and its server, is told in the page.
 *
 * A line above the page (#server-line) says what of the page does not work now, and goes once it works again.
 */
(function () {
  "use strict";

  const { say, failureWords, AWAY } = window.seq2expBridge;
  const ask = window.fetch;
  const failing = new Map(); // what fails -> words; in the order in which it began

  function line() {
    const there = document.getElementById("server-line");
    if (there) return there;
    const made = document.createElement("div");
    const close = document.createElement("button");
    Object.assign(made, { id: "server-line", className: "server-line", hidden: true });
    made.setAttribute("role", "alert");
    Object.assign(close, { className: "server-line-close", textContent: "×", onclick: () => (made.hidden = true) });
    close.setAttribute("aria-label", "Close this message");
    made.append(document.createElement("span"), close);
    document.body.append(made); // outside what Dash draws: it may be that which fails
    return made;
  }

  function show() {
    const words = [...new Set(failing.values())].slice(-2).join(" ");
    const text = line().firstChild;
    document.body.toggleAttribute("data-failing", failing.size > 0);
    if (words === text.textContent) return; // closed by the person, and nothing new
    text.textContent = words;
    line().hidden = !words;
  }

  function fails(what, words) {
    failing.set(what, words);
    show();
  }

  function works(what) {
    if (failing.delete("network") | failing.delete(what)) show();
  }

  /* A callback is known by what it fills, any other request of Dash by its address. */
  function nameOf(address, options) {
    try {
      return JSON.parse(options.body).output || address;
    } catch {
      return address;
    }
  }

  window.fetch = async (...given) => {
    const address = String((given[0] && given[0].url) || given[0]);
    if (!address.includes("/_dash-")) return ask(...given);
    const what = nameOf(address, given[1]);
    let answer;
    try {
      answer = await ask(...given);
    } catch (problem) {
      if (problem.name !== "AbortError") fails("network", AWAY);
      throw problem;
    }
    const kind = answer.headers.get("Content-Type") || "";
    if (answer.ok && (answer.status === 204 || kind.includes("json"))) works(what);
    else fails(what, failureWords(answer.status, answer.statusText, kind, await answer.clone().text().catch(() => "")));
    return answer;
  };

  const words = (problem) => String((problem && problem.message) || problem || "").slice(0, 200);
  const missing = (address) =>
    fails(address, `A part of this page could not be loaded (${new URL(address, window.location).pathname.split("/").pop()}). Load the page again; the server's window or log says why.`);

  window.addEventListener("error", (event) => event.message && !/ResizeObserver/.test(event.message) && say(`Something went wrong in the page: ${words(event.message)}`));
  window.addEventListener("unhandledrejection", (event) => words(event.reason) && say(`Something went wrong in the page: ${words(event.reason)}`));
  window.addEventListener("error", (event) => event.target instanceof HTMLScriptElement && missing(event.target.src), true);
  for (const entry of performance.getEntriesByType("resource")) {
    if (entry.initiatorType === "script" && entry.responseStatus >= 400) missing(entry.name); // before this file was there
  }
})();
