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
  const placeOf = (text, written, chrom) => ask(`api/${state.run}/place`, { q: text, ...(chrom ? { chrom } : {}), ...(written ? { written: 1 } : {}) });

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

  async function ask(path, query) {
    const address = `${bridge.state.config.base}${path}${query ? `?${new URLSearchParams(query)}` : ""}`;
    const answer = await fetch(address, { credentials: "same-origin" });
    const body = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(body.message || answer.statusText), { status: answer.status });
    return body;
  }

  /* One deed at a time on the browser; `deed` may be asynchronous, what it throws is told. */
  let queue = Promise.resolve();
  function then(deed) {
    queue = queue.then(deed).catch((problem) => {
      console.error(problem);
      say(problem.message);
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
  async function post(path, body) {
    const answer = await fetch(`${state.config.base}${path}`, {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(said.message || answer.statusText), { status: answer.status });
    return said;
  }

  const announce = (name) => document.dispatchEvent(new CustomEvent(`seq2exp:${name}`));

  Object.assign(bridge, { nothing, byId, escapeHtml, typed, plain, placeOf, words, say, ask, post, then, save, announce, el });
  bridge.settled = () => queue;
})();
