/* Files that the user downloads: figures, pictures, reports, sessions, elements. */

import { addActions } from "seq2exp/page/actions";
import { igvBrowser } from "seq2exp/page/browser";
import { byId, closest, el, saveFile } from "seq2exp/page/dom";
import { on } from "seq2exp/page/events";
import { notify } from "seq2exp/page/notification";
import { apiUrl, download } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";
import { thresholdNow } from "seq2exp/page/view";

/* The name that an answer is to be saved under: the one in any letters (RFC 5987) before the one in ASCII. */
function fileName(answer) {
  const header = answer.headers.get("Content-Disposition") || "";
  const full = /filename\*=UTF-8''([^;\s]+)/i.exec(header);
  const plain = /filename="([^"]+)"/.exec(header);
  return full ? decodeURIComponent(full[1]) : plain ? plain[1] : state.view.stem;
}

/* Ask the server for a file and save it; `text` says what is being done. */
async function save(path, query, text) {
  notify(`${text} …`);
  try {
    const answer = await download(path, query);
    const name = fileName(answer);
    saveFile(name, await answer.blob(), answer.headers.get("Content-Type"));
    notify(`${name} was saved.`);
  } catch (problem) {
    notify(problem.message);
  }
}

/* The part on the screen that lies in the gene's window, {} where none does: then the whole window is drawn. */
function regionInWindow() {
  const { locus, view } = state;
  const window_ = view && view.locus;
  const touches = locus && window_ && locus.chrom === window_.chrom && locus.start < window_.end && locus.end > window_.start;
  return touches ? locus : {};
}

const genePath = (end) => `${state.run}/genes/${encodeURIComponent(state.gene)}/${end}`;
const noGene = () => !state.gene && (notify("Choose a scored gene first."), true);

function saveFigure(_event, button) {
  if (noGene()) return undefined;
  return save(genePath(`figure.${button.dataset.kind}`), { ...regionInWindow(), threshold: thresholdNow() }, "Drawing the figure");
}

function saveSession(_event, button) {
  if (noGene()) return undefined;
  const query = { ...regionInWindow(), threshold: thresholdNow(), origin: window.location.origin };
  return save(genePath(`igv-session.${button.dataset.kind}`), query, "Writing the session");
}

function saveReport() {
  const genes = byId("report-genes").value.trim() || state.gene;
  if (!genes) return notify("Enter the genes of the report, separated by commas.");
  return save(`${state.run}/report`, { genes, threshold: thresholdNow() }, "Writing the report");
}

/* The SVG of igv.js, painted at twice its size. */
async function savePicture() {
  if (!igvBrowser()) return;
  const address = URL.createObjectURL(new Blob([igvBrowser().toSVG()], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!blob) throw new Error("too large");
    saveFile(`${state.view.stem}.png`, blob, "image/png");
  } catch (problem) {
    notify(`The picture could not be drawn (${problem.message}). Save it as SVG instead.`);
  } finally {
    URL.revokeObjectURL(address);
  }
}

addActions({ figure: saveFigure, "igv-session": saveSession, report: saveReport, png: savePicture });

/* The report's field is the page's own: Dash would write into one of its own while the user types on a slow machine. */
on("drawn", () => {
  const place = byId("report-field");
  if (!place || place.firstChild) return;
  place.append(el("input", { id: "report-genes", type: "text", placeholder: "Symbols or IDs: A,B", autocomplete: "off" }));
});

const ELEMENT_FILES = { "get-bed": "elements.bed", "get-gff3": "elements.gff3", "get-bedpe": "elements.bedpe" };

/* The server writes these links anew some time after the slider has moved; the slider counts. */
document.addEventListener(
  "click",
  (event) => {
    const link = closest(event, "#get-bed, #get-gff3, #get-bedpe");
    if (link && state.gene) link.href = apiUrl(genePath(ELEMENT_FILES[link.id]), { threshold: thresholdNow() });
  },
  true
);
