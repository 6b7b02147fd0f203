/* The what-if's edits: regions of the gene on the screen that are removed (off) and kept (on). */

import { state } from "seq2exp/page/state";
import { isOff as editsSwitchOff, regionName } from "seq2exp/tracks/elements";

export { regionName } from "seq2exp/tracks/elements";

const edits = state.whatif.edits;

/* {start, end} of "start-end". */
export function parseRegion(text) {
  const [start, end] = text.split("-").map(Number);
  return { start, end };
}

/* The contig of the gene on the screen. */
export const contig = () => state.view && state.view.locus && state.view.locus.chrom;

export const hasEdits = () => edits.off.length + edits.on.length > 0;
export const isOff = (region) => editsSwitchOff(edits, region);

/* The rows of the panel's list of elements. */
export const elementRows = () => [...document.querySelectorAll("#element-list .element[data-region]")];

/* Switch a region off, or on again; regions inside it follow. */
export function toggle(region) {
  const outside = (regions) => regions.filter((r) => !(r.start <= region.start && region.end <= r.end));
  edits.off = isOff(region) ? outside(edits.off) : [...edits.off, region];
  edits.on = outside(edits.on);
}

/* Remove ("off") or keep ("on") a region. */
export function add(kind, region) {
  remove(kind === "off" ? "on" : "off", region);
  if (!edits[kind].some((r) => regionName(r) === regionName(region))) edits[kind] = [...edits[kind], region];
}

/* Take one edit back. */
export function remove(kind, region) {
  edits[kind] = edits[kind].filter((r) => regionName(r) !== regionName(region));
}

export const replace = (off, on) => void Object.assign(edits, { off, on });

/* The regions of a link that lie on a contig, whose name may hold any letter, commas too. */
export function regionsOf(text, chrom) {
  const found = [];
  let rest = text || "";
  while (rest) {
    const span = rest.startsWith(`${chrom}:`) && /^(\d+)-(\d+)(?:,|$)/.exec(rest.slice(chrom.length + 1));
    if (span && Number(span[1]) > 0 && Number(span[1]) <= Number(span[2])) found.push({ start: Number(span[1]) - 1, end: Number(span[2]) });
    if (span) rest = rest.slice(chrom.length + 1 + span[0].length);
    else rest = rest.includes(",") ? rest.slice(rest.indexOf(",") + 1) : "";
  }
  return found;
}
