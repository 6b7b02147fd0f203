/* Tracks that the user brings along: dropped on the page, chosen from a file, or from a folder that `serve --allow` names.
 *
 * A file stays in this page. The server is asked whether it is sound (of a bigWig it sees the header alone) and returns
 * the rows of a text file (BED, bedGraph, GTF, VCF ...) as features. igv.js reads a bigWig or bigBed from the file itself,
 * with the file's spelling of the genome's chromosomes. Nothing is stored anywhere.
 */

import { addActions } from "seq2exp/page/actions";
import { igvBrowser, loadTrack, removeTrack, reveal, trackOf } from "seq2exp/page/browser";
import { byId, chooseFiles, el, escapeHtml } from "seq2exp/page/dom";
import { on } from "seq2exp/page/events";
import { notify } from "seq2exp/page/notification";
import { enqueue } from "seq2exp/page/queue";
import { ask, upload } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";

const BIGWIG = ["26fc8f88", "888ffc26", "ebf28987", "8789f2eb"]; // first bytes of bigWig and bigBed, either byte order
const HEAD_BYTES = 1_000_000; // sent of a file that is not read as a whole
const MAX_BYTES = 16_000_000; // of a text file
const COLOUR = "rgb(86, 60, 150)";
const own = state.userTracks;

/* The names of the tracks that the user brought along. */
export const userTracks = () => own.loaded.map((track) => track.name);

const hex = async (blob) => [...new Uint8Array(await blob.arrayBuffer())].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/* Ask the server about a file: its kind, its features where it is text, or an error that says what is wrong. */
async function check(file) {
  const binary = BIGWIG.includes(await hex(file.slice(0, 4)));
  const query = { name: file.name, size: file.size, tail: binary ? await hex(file.slice(-4)) : null };
  const body = binary || file.size > MAX_BYTES ? file.slice(0, HEAD_BYTES) : file; // too large: the server refuses it by its format's name
  return upload(`${state.run}/own`, query, body);
}

const BINARY = { bigwig: { type: "wig", height: 46, autoscale: true }, bigbed: { type: "annotation", height: 42 }, biginteract: { type: "interact", height: 90 } };

/* igv.js's configuration of a track. */
function configOf(name, found, source) {
  const common = { name: escapeHtml(name), color: COLOUR, order: 1000 + own.loaded.length };
  const binary = BINARY[found.kind];
  if (binary) return { ...common, ...binary, format: found.kind, url: found.url || source, displayMode: "SQUISHED", visibilityWindow: -1 };
  const { features } = found;
  if (found.show === "wig") return { ...common, type: "wig", features, height: 46, autoscale: true, visibilityWindow: -1 };
  if (found.show === "interact") return { ...common, type: "interact", features, height: 90, visibilityWindow: -1 };
  const blocks = features.some((feature) => feature.exons);
  return { ...common, type: "annotation", features, height: blocks ? 72 : 42, displayMode: blocks ? "EXPANDED" : "SQUISHED", visibilityWindow: -1 };
}

/* igv.js asks a bigWig for a chromosome under the genome's spelling and, where the file has none of that name, under the
 * genome's aliases. The file's own spelling is therefore added to the aliases of the genome in igv.js. */
function addAliases(genome, aliases) {
  if (!genome.ownAliases) {
    const known = genome.getAliasRecord.bind(genome);
    genome.ownAliases = new Map();
    genome.getAliasRecord = async (chrom) => {
      const more = [...(genome.ownAliases.get(chrom) || [])].map((name, number) => [`own-${number}`, name]);
      const record = await known(chrom);
      return more.length ? { chr: chrom, ...record, ...Object.fromEntries(more) } : record;
    };
  }
  for (const [chrom, name] of Object.entries(aliases || {})) {
    genome.ownAliases.set(chrom, (genome.ownAliases.get(chrom) || new Set()).add(name));
  }
}

/* Have igv.js draw a track; it changes the features that it gets, hence a copy. */
function draw({ config, aliases }) {
  addAliases(igvBrowser().genome, aliases);
  return loadTrack({ ...config, ...(config.features ? { features: structuredClone(config.features) } : {}) });
}

async function add(name, found, source) {
  const id = `own-${Date.now().toString(36)}-${own.loaded.length}`;
  const track = { id, name, aliases: found.aliases, config: { ...configOf(name, found, source), id } };
  await draw(track);
  own.loaded.push(track);
  listTracks();
  const count = found.features ? found.features.length : 0;
  const rows = count ? `${count.toLocaleString("en")} ${count === 1 ? "row" : "rows"}. ` : "";
  notify(`${name} is drawn below the other tracks and stays in this browser. ${rows}${found.notes.join(" ")}`);
  const shown = trackOf(id);
  if (shown && shown.trackView.viewports[0]) reveal(id);
}

function addFiles(files) {
  return enqueue(async () => {
    if (!igvBrowser()) return notify("Wait until the tracks are drawn, then add your file.");
    for (const file of files) {
      notify(`Reading ${file.name} …`);
      try {
        await add(file.name, await check(file), file);
      } catch (problem) {
        return notify(problem.message);
      }
    }
    return undefined;
  });
}

function openAllowed(id) {
  const file = own.allowed.find((candidate) => candidate.id === id);
  return enqueue(async () => {
    notify(`Reading ${file.name} …`);
    await add(file.name, await ask(`${state.run}/allowed/${id}`));
  });
}

function remove(id) {
  return enqueue(() => {
    own.loaded = own.loaded.filter((track) => track.id !== id);
    removeTrack(id);
    listTracks();
  });
}

/* The last part of the menu of tracks. */
function listTracks() {
  const box = byId("own-list");
  if (!box) return;
  const head = (text) => el("div", { class: "menu-head" }, text);
  const files = own.allowed.map((file) => el("button", { "data-action": "open-allowed", "data-own": file.id }, file.name));
  box.replaceChildren(
    head("Your own tracks (they stay in this browser)"),
    ...own.loaded.map((track) => el("button", { "data-action": "remove-own", "data-own": track.id }, `Remove ${track.name}`)),
    el("button", { "data-action": "add-own", "data-writes": "" }, "Open a file … (BED, peaks, bedGraph, bigWig, GTF, VCF ...)"),
    ...(files.length ? [head("From folders on the server"), ...files] : [])
  );
}

addActions({
  "add-own": () => chooseFiles("", (files) => addFiles([...files])),
  "remove-own": (_event, button) => remove(button.dataset.own),
  "open-allowed": (_event, button) => openAllowed(button.dataset.own),
});

/* igv.js was started anew for another run: the user's tracks come along. */
on("browser", async () => {
  for (const track of own.loaded) await draw(track);
});

on("drawn", async () => {
  listTracks();
  if (own.allowedAsked) return;
  own.allowedAsked = true;
  own.allowed = await ask(`${state.run}/allowed`).catch(() => []);
  listTracks();
});

const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault(); // else the browser would leave the page and open the file
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if (!carriesFiles(event)) return;
  event.preventDefault();
  addFiles([...event.dataTransfer.files]);
});
