/* Nothing fails in silence: what goes wrong in the page, or between it and its server, is told in the page. */
(function () {
  "use strict";

  const { byId, say } = window.seq2expBridge;
  const ask = window.fetch;

  /* A line that stays as long as the server does not answer. */
  function away(gone) {
    const line = byId("server-line");
    if (line) line.hidden = !gone;
  }

  window.fetch = async (...given) => {
    const address = String((given[0] && given[0].url) || given[0]);
    const dash = address.includes("_dash-update-component");
    try {
      const answer = await ask(...given);
      if (dash) away(false);
      if (dash && answer.status >= 500) say("The server could not answer; its window says why. Load the page again to go on.");
      if (answer.status === 401) say("The server asks for its token again: open the link that `seq2exp-viz serve` printed.");
      return answer;
    } catch (problem) {
      if (dash && problem.name !== "AbortError") away(true);
      throw problem;
    }
  };

  const words = (problem) => String((problem && problem.message) || problem || "").slice(0, 200);
  window.addEventListener("error", (event) => event.message && !/ResizeObserver/.test(event.message) && say(`Something went wrong in the page: ${words(event.message)}`));
  window.addEventListener("unhandledrejection", (event) => words(event.reason) && say(`Something went wrong in the page: ${words(event.reason)}`));
})();
