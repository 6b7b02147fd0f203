/* Names of contigs inside igv.js.
 *
 * igv.js passes positions on as text and misreads some names, so the server gives those contigs another name there
 * (seq2exp_viz/runs/igv_names.py). Names are translated where igv.js is called and where it answers.
 */

import { plainText } from "seq2exp/page/region";

let given = new Map(); // the genome's name -> igv.js's, of those that differ
let own = new Map(); // the reverse

/* Read the names of a run; `address` is null where igv.js needs none. */
export async function readContigs(address) {
  [given, own] = [new Map(), new Map()];
  if (!address) return;
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`The names of the contigs could not be read (${answer.status}).`);
  for (const [igvName, genomeName] of (await answer.text()).split("\n").map((line) => line.split("\t"))) {
    if (genomeName === undefined) continue;
    given.set(genomeName, igvName);
    own.set(igvName, genomeName);
  }
}

export const igvName = (chrom) => given.get(chrom) || chrom;
export const genomeName = (chrom) => own.get(chrom) || chrom;
export const igvLocus = (region) => plainText({ ...region, chrom: igvName(region.chrom) });
