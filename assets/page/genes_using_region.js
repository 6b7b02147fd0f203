/* The genes whose masks keep a region: a table and, in the genome browser, arcs to their start sites. */

import { addPopupPart, closePopups, igvBrowser, loadTrack, removeTrack, trackId } from "seq2exp/page/browser";
import { igvName } from "seq2exp/page/contigs";
import { byId, el, escapeHtml, onPath } from "seq2exp/page/dom";
import { enqueue } from "seq2exp/page/queue";
import { regionText, wideView } from "seq2exp/page/region";
import { apiUrl, ask } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";
import { openTab } from "seq2exp/page/tabs";
import { visit } from "seq2exp/page/view";

const TRACK = "owners"; // id of the track of arcs
const RANKED = {
  effect: "Ranked by the region's effect on each gene, raising or lowering.",
  mask: "Ranked by the mean mask over the region: this run stores no effects, so it does not say on which gene the region acts more.",
};
const number = (value) => (value === null ? "" : value.toFixed(3));
const byEffect = (found) => found.ranked_by === "effect";
const any = (name) => (found) => found.rows.some((row) => row[name] !== null);
/* The columns: `text` stands left; those with `shown` are there where it says so; the one without `cell` leads to the gene. */
const COLUMNS = [
  { name: "Gene", text: true },
  { name: "Effect", cell: (row) => effectCell(row), shown: byEffect },
  { name: "Members", cell: (row) => row.said.members, shown: (found) => byEffect(found) && found.rows.some((row) => row.members > 1) },
  { name: "Mask", cell: (row) => (row.mean_mask === null ? "not decided by the model" : number(row.mean_mask)) },
  { name: "Element", text: true, cell: (row) => row.element || "none" },
  { name: "Its effect", cell: (row) => row.said.effect, shown: (found) => !byEffect(found) && any("effect")(found) },
  { name: "Controls at least as strong", cell: (row) => (row.control_rank === null ? "" : `${row.control_rank} of ${row.control_n}`), shown: any("control_rank") },
  { name: "Contact", cell: (row) => number(row.contact), shown: (found) => !byEffect(found) && any("contact")(found) },
  { name: "Element–gene score", cell: (row) => number(row.element_gene_score), shown: (found) => !byEffect(found) && any("element_gene_score")(found) },
  { name: "From start site", cell: (row) => `${row.distance.toLocaleString("en")} bp` },
];

/* An effect with the mark of its direction. */
function effectCell(row) {
  const name = row.direction && row.direction.replace(/ /g, "-");
  const mark = name ? el("span", { class: `direction ${name}`, title: row.direction }) : "";
  return el("span", {}, mark, row.said.effect);
}

/* Show the genes that keep a region; `open` opens the tab as well. */
export async function showGenesUsing(region, open = false) {
  if (open && state.tab !== "elements") openTab("elements");
  const box = byId("owners");
  box.replaceChildren(el("div", { class: "quiet" }, `Reading the masks over ${regionText(region)} …`));
  try {
    const { chrom, start, end } = region;
    const found = await ask(`${state.run}/owners`, { chrom, start, end });
    box.replaceChildren(...table(found, region));
    await showArcs(found, region);
  } catch (problem) {
    box.replaceChildren(el("div", { class: "note", role: "alert" }, problem.message));
  }
}

function table(found, region) {
  const some = found.rows.length < found.genes ? `; the ${found.rows.length} nearest are listed` : "";
  const windows = found.genes === 1 ? "window of 1 gene" : `windows of ${found.genes} genes`;
  const title = el("div", { class: "quiet" }, `${regionText(region)} lies in the ${windows}${some}. `);
  title.append(el("button", { class: "link", onclick: clear }, "Clear"));
  if (!found.rows.length) return [title, el("div", { class: "empty" }, "No scored gene has this region in its window.")];
  title.append(el("div", {}, RANKED[found.ranked_by]));
  const columns = COLUMNS.filter((column) => !column.shown || column.shown(found));
  const head = el("tr", {}, columns.map((column) => el("th", { class: column.text ? null : "right" }, column.name)));
  const rows = found.rows.map((row) => tableRow(row, region, columns));
  return [title, el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, rows))];
}

function tableRow(row, region, columns) {
  const go = el("button", { class: "link", onclick: () => visit(row.gene_id, wideView(region)) }, row.symbol);
  const cells = columns.map((column) => el("td", { class: column.text ? null : "right" }, column.cell ? column.cell(row) : go));
  return el("tr", { class: row.gene_id === state.gene ? "mine" : null }, cells);
}

/* Arcs from the region to the start sites: the track type of elements, seen from the region. */
function showArcs(found, region) {
  return enqueue(async () => {
    const sites = found.rows.filter((row) => row.mean_mask !== null).map((row) => row.tss);
    removeTrack(TRACK);
    if (!sites.length) return;
    const { chrom, start, end } = region;
    await loadTrack({
      id: TRACK,
      type: "elements",
      name: escapeHtml(`Genes that use ${regionText(region)}`),
      url: apiUrl(`${state.run}/owners/arcs`, { chrom, start, end }),
      region: { chrom: igvName(chrom), start: Math.min(start, ...sites), end: Math.max(end, ...sites) },
      height: 78,
      order: 900,
      removable: true,
    });
  });
}

function clear() {
  enqueue(() => removeTrack(TRACK));
  byId("owners").replaceChildren("Choose an element in the table, or click an element, a peak or the mask in the browser.");
}

/* The button under a click on a peak, an element or the mask. */
addPopupPart((track, rows, position) => {
  const id = trackId(track);
  if (!["peaks", "elements", "mask", "merged", "beside"].includes(id) || !state.locus) return "";
  const written = rows.map((row) => /:([\d,]+)-([\d,]+)$/.exec(String(row.value || ""))).find(Boolean);
  if (position === undefined && !written) return ""; // igv.js 3.1.4 does not say where the click was
  const [first, last] = written ? written.slice(1).map((part) => Number(part.replace(/,/g, ""))) : [];
  const base = Math.floor(position === undefined ? (first - 1 + last) / 2 : position);
  const cache = track.trackView && track.trackView.viewports[0].featureCache;
  const slack = 3 * igvBrowser().referenceFrameList[0].bpPerPixel;
  const hit = (f) => f.start - slack <= base && base < f.end + slack;
  const found = id === "peaks" || id === "elements" ? ((cache && cache.features) || []).filter(hit) : [];
  const at = found.sort((a, b) => a.end - a.start - (b.end - b.start))[0] || { start: base, end: base + 1 };
  const region = `data-whose="${escapeHtml(state.locus.chrom)}" data-from="${Number(at.start)}" data-to="${Number(at.end)}"`;
  return `<hr><div><button class="whose" ${region}>Which genes use this?</button></div>`;
});

document.addEventListener(
  "click",
  (event) => {
    const button = onPath(event, "whose");
    if (!button) return;
    const { whose, from, to } = button.dataset;
    closePopups();
    showGenesUsing({ chrom: whose, start: Number(from), end: Number(to) }, true);
  },
  true
);
