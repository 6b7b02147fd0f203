/* The genome browser: loads igv.js, starts it for a run, and is the only module that holds it.
 *
 * On this page's side of it, contigs have the genome's own names (see contigs.js).
 */

import { genomeName, igvLocus, igvName, readContigs } from "seq2exp/page/contigs";
import { byId, escapeHtml } from "seq2exp/page/dom";
import { emit } from "seq2exp/page/events";
import { notify } from "seq2exp/page/notification";
import { explainFailure } from "seq2exp/page/server";
import { styleIgv } from "seq2exp/page/igv_style";
import { lengthText, regionText } from "seq2exp/page/region";
import { state } from "seq2exp/page/state";
import * as url from "seq2exp/page/url";
import { registerTrackTypes } from "seq2exp/tracks/types";

const URL_DELAY_MS = 150; // after the last movement
const PATIENCE_MS = 4_000; // that the page waits for its tracks
const AGAIN_MS = 3_000; // until a track that failed is tried again
const ATTEMPTS = 6;
const leftOut = new Map(); // id of a track that could not be loaded -> why
const popupParts = []; // functions (track, rows, position) -> HTML or ""
let browser = null; // igv.js's own object
let library = null; // promise of igv.js

/* igv.js's own object, null before it is started. */
export const igvBrowser = () => browser;

/* Load igv.js once. */
export function loadLibrary() {
  library =
    library ||
    new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = state.config.igv.url;
      script.onload = () => {
        registerTrackTypes(window.igv);
        resolve(window.igv);
      };
      script.onerror = () => reject(new Error("igv.js could not be loaded"));
      document.head.appendChild(script);
    });
  return library;
}

/* Start igv.js for a run's view at a region, with the tracks of `rows`. */
export async function createBrowser(view, region, rows) {
  const igv = await loadLibrary();
  await readContigs(view.contigs);
  if (browser) {
    igv.removeBrowser(browser);
    browser = null;
  }
  leftOut.clear();
  state.shown = new Set(rows.map((row) => row.id));
  state.known = new Set(view.tracks.map((row) => row.id));
  browser = await igv.createBrowser(byId("igv"), {
    reference: view.reference,
    locus: igvLocus(region),
    tracks: [], // by loadTracks: one that fails would keep all others away
    loadDefaultGenomes: false, // nothing is asked of igv.org
    search: false,
    queryParametersSupported: false,
    showNavigation: false,
    showChromosomeWidget: false,
    showIdeogram: false,
    showSampleNames: false,
    minimumBases: 40,
  });
  styleIgv(byId("igv"));
  await loadTracks(rows);
  browser.on("locuschange", onLocus);
  browser.on("trackclick", popup);
  byId("igv").dataset.loaded = "";
  await emit("browser");
  fillHeight();
  onLocus(browser.referenceFrameList.map((frame) => ({ chr: frame.chr, start: frame.start, end: frame.end })));
}

/* Give the room that is left under the tracks to the mask, the effects and the elements. */
function fillHeight() {
  const box = byId("igv");
  const used = (box.shadowRoot || box).querySelector(".igv-column-container");
  const left = used ? box.clientHeight - used.getBoundingClientRect().height - 8 : 0;
  const shares = trackOf("effect") ? [["mask", 0.4, 480], ["effect", 0.3, 200], ["elements", 0.3, 200]] : [["mask", 0.65, 480], ["elements", 0.35, 200]];
  for (const [id, share, most] of shares) {
    const track = trackOf(id);
    if (track && left > 20) track.trackView.setTrackHeight(Math.min(most, Math.round(track.height + share * left)), true);
  }
}

function onLocus(frames) {
  const frame = Array.isArray(frames) ? frames[0] : frames;
  if (!frame || frame.chr === undefined) return;
  const width = frame.end !== undefined ? frame.end - frame.start : 0;
  const start = Math.max(0, Math.round(frame.start));
  state.locus = { chrom: genomeName(frame.chr), start, end: start + Math.max(1, Math.round(width)) };
  byId("locus").textContent = `${regionText(state.locus)}  ·  ${lengthText(state.locus.end - state.locus.start)}`;
  clearTimeout(onLocus.timer);
  onLocus.timer = setTimeout(url.write, URL_DELAY_MS);
}

// ------------------------------------------------------------------------------------------------ tracks

export const trackId = (track) => track.id || (track.config && track.config.id);

/* The track with an id, null where igv.js does not show it. */
export function trackOf(id) {
  const found = browser && browser.trackViews.find((row) => row.track && (row.track.id === id || (row.track.config && row.track.config.id === id)));
  return found ? found.track : null;
}

/* Add a track; igv.js changes the configuration that it gets, hence a copy. */
export const loadTrack = (config) => browser.loadTrack({ ...config });

/* Load the tracks of these rows, at once. Those that take long come later: nothing else waits for them. */
export const loadTracks = (rows) => Promise.race([Promise.all(rows.map((row) => loadRow(row))), pause(PATIENCE_MS)]);

/* Load the track of a row. One that fails is tried again, as the server that has its file may be slow; then it is left
 * out, with the reason. */
async function loadRow(row, attempts = ATTEMPTS) {
  const inside = browser;
  try {
    await browser.loadTrack({ ...row.config });
    return leftOut.delete(row.id);
  } catch (problem) {
    if (browser === inside) removeTrack(row.id);
    const { again, words } = await failureOf(row.config.url, problem);
    if (again && attempts > 1) await pause(AGAIN_MS);
    if (browser !== inside || !state.shown.has(row.id)) return null;
    if (again && attempts > 1) return loadRow(row, attempts - 1);
    state.shown.delete(row.id);
    leftOut.set(row.id, `${row.label} is not shown: ${words}`);
    notify([...leftOut.values()].join(" "));
    return emit("left-out");
  }
}

/* Why an address gives nothing, as igv.js tells the status only; `again`: whether it may give something soon. */
async function failureOf(address, problem) {
  const answer = typeof address === "string" ? await fetch(address, { credentials: "same-origin", headers: { Range: "bytes=0-0" } }).catch(() => null) : null;
  if (!answer || answer.ok) return { again: Boolean(answer), words: problem.message };
  const text = await answer.text();
  return { again: answer.headers.has("Retry-After"), words: explainFailure(answer.status, answer.statusText, answer.headers.get("Content-Type") || "", text) };
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/* Remove the track with an id, where it is shown. */
export function removeTrack(id) {
  const track = trackOf(id);
  if (track) browser.removeTrack(track);
}

/* Ask for a track's data again and paint it. */
export async function refresh(track) {
  if (!track || !track.trackView) return;
  track.clearCachedFeatures();
  await track.trackView.updateViews();
}

/* Scroll a track into sight. */
export function reveal(id) {
  const track = trackOf(id);
  const view = track && track.trackView && track.trackView.viewports[0];
  const box = view && viewportBox(view);
  if (box) box.scrollIntoView({ block: "nearest" });
}

/* The node of a viewport, in igv.js 3.8 and in 3.1. */
export const viewportBox = (viewport) => viewport.viewportElement || (viewport.$viewport && viewport.$viewport[0]);

// ------------------------------------------------------------------------------------------------ moving

/* Show a region. */
export function go(region) {
  return browser && region ? browser.search(igvLocus(region)) : undefined;
}

export const zoomIn = () => browser && browser.zoomIn();
export const zoomOut = () => browser && browser.zoomOut();

// ------------------------------------------------------------------------------------------------ popups

/* Add a function (track, rows, position) -> HTML or "", whose lines stand under what a click on a track shows. It escapes
 * what comes out of files. */
export const addPopupPart = (part) => void popupParts.push(part);

const HIDDEN_ROWS = new Set(["chr", "cdStart", "cdEnd", "exons", "row", "color"]);

/* The popup as HTML. igv.js would put names and values of features there as they are; here they are escaped. */
function popup(track, rows, position) {
  if (!rows || rows.length === 0) return false;
  const lines = rows.filter((row) => typeof row === "string" || !HIDDEN_ROWS.has(row.name)).map(popupLine);
  return [...lines, ...popupParts.map((part) => part(track, rows, position))].join("");
}

function popupLine(row) {
  if (typeof row === "string") return "<hr>";
  if (!row.name) return "";
  const name = String(row.name).replace(/_/g, " ").replace(/^minus log10/i, "−log10");
  const text = String(row.value).replace(/&nbsp;/g, " ").trim(); // igv.js pads values of wig tracks so
  const here = state.locus ? igvName(state.locus.chrom) : "";
  const value = here && text.startsWith(`${here}:`) ? state.locus.chrom + text.slice(here.length) : text;
  return `<div><span>${escapeHtml(name)}</span>&nbsp;&nbsp;${escapeHtml(value)}</div>`;
}

/* Close the popups; igv.js makes a new one at the next click. */
export function closePopups() {
  const root = byId("igv").shadowRoot || byId("igv");
  for (const box of root.querySelectorAll(".igv-ui-popover")) box.style.display = "none";
}
