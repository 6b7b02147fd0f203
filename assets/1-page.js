/* The bridge between Dash and igv.js, part 1: what is on the screen, and asking and telling.
 *
 * Dash loads the files of this folder by name, so the numbers state the order: 1-page, 2-address, 3-browser, 4-actions,
 * 5-dash; then, by letter, what stands on them. All share one object, `window.seq2expBridge`, to which each part adds
 * its functions. No science here: every number comes from the server.
 *
 * The page announces on `document`: "seq2exp:drawn" once a gene, a threshold or a run stands on the screen.
 */
(function () {
  "use strict";

  const state = { config: null, run: null, gene: null, threshold: null, locus: null, view: null, shown: null };
  const bridge = (window.seq2expBridge = { state });
  const nothing = () => window.dash_clientside.no_update;
  const byId = (id) => document.getElementById(id);

  const escapeHtml = (text) =>
    String(text).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }[c]));

  const typed = ({ chrom, start, end }) => `${chrom}:${(start + 1).toLocaleString("en")}-${end.toLocaleString("en")}`;
  const plain = ({ chrom, start, end }) => `${chrom}:${start + 1}-${end}`; // in the address; the server reads it back

  /* What a person typed as a place, or with `written` what `plain` wrote: the server knows the contigs and all spellings. */
  const placeOf = (text, written, chrom) => ask(`api/v1/${state.run}/place`, { q: text, ...(chrom ? { chrom } : {}), ...(written ? { written: 1 } : {}) });

  const words = (bases) =>
    bases >= 1e6 ? `${(bases / 1e6).toFixed(2)} Mb` : bases >= 1e3 ? `${(bases / 1e3).toFixed(1)} kb` : `${bases} bp`;

  /* A message stays until the next deed, at least long enough to be read. `choices` are texts to look up with a click. */
  function say(text, choices) {
    const line = byId("message");
    if (line) {
      const buttons = (choices || []).map((choice) => el("button", { class: "link", "data-action": "look-up", "data-query": choice }, choice));
      line.replaceChildren(...[text || ""].concat(buttons.flatMap((button) => [" ", button])));
    }
    clearTimeout(say.timer);
    if (text) say.timer = setTimeout(() => line.replaceChildren(), choices && choices.length ? 60_000 : 12_000);
  }

  const AWAY = "The server does not answer. If it was stopped, start `seq2exp-viz serve` again: this page then goes on by itself.";

  /* Why a request failed, for a person: the server's own words where there are any, else what came in their place. */
  function failureWords(status, statusText, kind, text) {
    let own = /text\/plain/.test(kind) ? text.trim() : "";
    if (/json/.test(kind)) {
      try {
        own = JSON.parse(text).message || "";
      } catch {
        own = "";
      }
    }
    const title = (/<title>([^<]*)<\/title>/i.exec(text) || [])[1];
    const name = (title || `${status} ${statusText}`).replace(/\s+/g, " ").trim().slice(0, 80);
    own = String(own).slice(0, 500);
    if (status === 401) return "The server asks for its token again: open the link that `seq2exp-viz serve` printed.";
    if (own) return status === 403 ? `The server refused this page's request: ${own}` : own;
    if (status < 400) return `Something other than this page's server answered (“${name}”). Perhaps a proxy asks you to sign in again: load the page again.`;
    if ([502, 503, 504].includes(status)) return `A proxy in front of the server says “${name}”: the server behind it does not answer. Once it does, this page goes on by itself.`;
    if (status === 413) return `The server, or a proxy in front of it, takes no request as large as this one (“${name}”).`;
    if (status >= 500) return `The server could not answer (“${name}”); its window or log says why. Load the page again to go on.`;
    return `The server, or a proxy in front of it, refused a request of this page (“${name}”).`;
  }

  /* The JSON of an answer; what is none, or refuses, is thrown in words. */
  async function answered(sent) {
    const answer = await sent.catch((problem) => {
      throw problem.name === "AbortError" ? problem : new Error(AWAY);
    });
    const text = await answer.text();
    let body;
    try {
      body = JSON.parse(text);
    } catch {
      body = undefined;
    }
    if (answer.ok && body !== undefined) return body;
    const words = failureWords(answer.status, answer.statusText, answer.headers.get("Content-Type") || "", text);
    throw Object.assign(new Error(words), { status: answer.status });
  }

  function ask(path, query) {
    const address = `${bridge.state.config.base}${path}${query ? `?${new URLSearchParams(query)}` : ""}`;
    return answered(fetch(address, { credentials: "same-origin" }));
  }

  /* One deed at a time on the browser; `deed` may be asynchronous, what it throws is told. */
  let queue = Promise.resolve();
  function then(deed) {
    queue = queue.then(deed).catch((problem) => {
      console.error(problem);
      say(problem.message);
      const box = byId("igv");
      if (box) box.dataset.failed = problem.message; // stands there for as long as there are no tracks
    });
    return queue;
  }

  function save(name, text, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /* A node: el("button", { class: "link", "data-action": "x", onclick: f }, "words", child, ...); words stay text. */
  function el(tag, given, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(given || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  /* Ask with a body; the server answers in JSON like `ask`. */
  function post(path, body) {
    const headers = { "Content-Type": "application/json" };
    return answered(fetch(`${state.config.base}${path}`, { method: "POST", credentials: "same-origin", headers, body: JSON.stringify(body) }));
  }

  const announce = (name) => document.dispatchEvent(new CustomEvent(`seq2exp:${name}`));

  Object.assign(bridge, { nothing, byId, escapeHtml, typed, plain, placeOf, words, say, ask, post, then, save, announce, el });
  Object.assign(bridge, { AWAY, failureWords, answered });
  bridge.settled = () => queue;
})();
