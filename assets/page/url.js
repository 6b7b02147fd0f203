/* The address bar, which always says what is on the screen. The one module that reads and writes it.
 *
 * Each part of the address has `write()`, which returns its text or null, and `read(text)`, which returns its value.
 * Parts are registered before `read` is called; what the first address said is kept in `state.asked`.
 */

import { plainText } from "seq2exp/page/region";
import { state } from "seq2exp/page/state";

const parts = new Map();

export const register = (name, part) => void parts.set(name, part);

/* Read the address into state.asked. */
export function read() {
  const query = new URLSearchParams(window.location.search);
  const asked = {};
  for (const [name, part] of parts) asked[name] = query.get(name) ? part.read(query.get(name)) : null;
  state.asked = asked;
  return asked;
}

/* Write what is on the screen into the address. */
export function write() {
  if (!state.run) return;
  const query = new URLSearchParams();
  for (const [name, part] of parts) {
    const text = part.write();
    if (text !== null && text !== undefined && text !== "") query.set(name, text);
  }
  const text = query.toString().replace(/%3A/g, ":").replace(/%2C/g, ",");
  window.history.replaceState(null, "", `${window.location.pathname}?${text}`);
}

/* The threshold where it is another one than the run's own rule. */
function ownThreshold() {
  const { threshold, rule } = state;
  if (threshold === null || threshold === undefined) return null;
  return rule === null || Math.abs(threshold - rule) > 1e-9 ? threshold : null;
}

const asIs = (text) => text;
register("run", { write: () => state.run, read: asIs });
register("gene", { write: () => state.gene || (state.unscored && state.unscored.gene_id) || state.waits, read: asIs });
register("locus", { write: () => state.locus && plainText(state.locus), read: asIs });
register("beside", { write: () => state.secondRun, read: asIs }); // links of earlier versions use this name
register("threshold", { write: ownThreshold, read: Number });
