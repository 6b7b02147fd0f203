/* The bridge, part 2: the address bar always says what is on the screen. This is the one place that reads or writes it.
 *
 * Every part of the address is registered under its name with `write()`, the text that stands for it now or null, and
 * `read(text)`, the value that a text stands for. Other files may register more parts before the page starts:
 *     seq2expBridge.address.register("off", { write: () => ..., read: (text) => text.split(",") });
 * What the first address said is kept in `seq2expBridge.address.asked`, by name, null where a part was missing.
 */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, plain } = bridge;
  const parts = new Map();

  const register = (name, part) => void parts.set(name, part);

  function read() {
    const query = new URLSearchParams(window.location.search);
    const asked = {};
    for (const [name, part] of parts) asked[name] = query.get(name) ? part.read(query.get(name)) : null;
    bridge.address.asked = asked;
    return asked;
  }

  function write() {
    if (!state.run) return;
    const query = new URLSearchParams();
    for (const [name, part] of parts) {
      const text = part.write();
      if (text !== null && text !== undefined && text !== "") query.set(name, text);
    }
    const text = query.toString().replace(/%3A/g, ":").replace(/%2C/g, ",");
    window.history.replaceState(null, "", `${window.location.pathname}?${text}`);
  }

  const asIs = (text) => text;
  const chosen = () => {
    const own = state.threshold !== null && state.threshold !== undefined;
    return own && (state.rule === null || Math.abs(state.threshold - state.rule) > 1e-9) ? state.threshold : null;
  };
  register("run", { write: () => state.run, read: asIs });
  register("gene", { write: () => state.gene || (state.unscored && state.unscored.gene_id), read: asIs });
  register("locus", { write: () => state.locus && plain(state.locus), read: asIs });
  register("beside", { write: () => state.beside, read: asIs });
  register("threshold", { write: chosen, read: Number });

  bridge.address = { register, read, write, asked: {} };
})();
