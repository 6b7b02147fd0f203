/* The document inside a notebook's output cell: it draws a locus with igv.js and asks nothing of any server.
 *
 * What the kernel asks for comes as messages from the notebook: {to, number, act: "search" | "zoomIn" | "zoomOut" | "svg",
 * start, end}; each is done once and answered.
 */

import { registerTrackTypes } from "seq2exp/tracks/types";

/* igv.js's bar does not shrink: in a narrow cell it gives up what is needed least. */
const NARROW = `
  @media (max-width: 600px) { .igv-logo, .igv-current-genome, .igv-windowsize-panel-container { display: none !important; } }
  @media (max-width: 480px) { .igv-navbar-toggle-button-container { display: none !important; } }
`;

/* Draw `config` (igv.js's, with `chromosome`: {name, shown, size}) into `box`.
 * `name`: the frame's; `early`: messages that came before this module was loaded. */
export async function showLocus(box, name, config, early) {
  const { chromosome, ...options } = config;
  const { igv } = window;
  let draw;
  answerMessages(name, new Promise((resolve) => (draw = resolve)), chromosome, early);
  registerTrackTypes(igv);
  await untilWide();
  // A File, because igv.js reads no data: address of this format and the frame's policy lets it fetch none.
  const sizes = new File([`${chromosome.name}\t${chromosome.size}\n`], "chrom.sizes");
  const browser = await igv.createBrowser(box, { ...options, reference: { ...config.reference, fastaURL: sizes } });
  browser.on("trackclick", popup);
  const bases = browser.trackViews.find((row) => row.track && row.track.type === "sequence");
  if (bases) browser.removeTrack(bases.track); // none were brought along, and igv.js keeps a row for them
  document.body.classList.add("drawn");
  Object.defineProperty(window, "seq2exp", { value: Object.freeze({ browser }) }); // for tests and for a look in the console
  fitBar(box);
  keepRegion(browser);
  draw(browser);
}

/* Do what messages ask for, in the order of their numbers, once `ready` gives igv.js's browser. */
function answerMessages(name, ready, chromosome, early) {
  const answers = new Map(); // number -> the answer, null while it is not there yet
  const waiting = []; // messages that are to be done

  const hear = ({ data, source }) => {
    if (source !== parent || !data || data.to !== name) return;
    const answer = answers.get(data.number);
    if (answer) source.postMessage(answer, "*"); // it was lost, or the notebook asks again
    if (answers.has(data.number)) return;
    answers.set(data.number, null);
    waiting.push(data);
    ready = ready.then((browser) => next(browser, source));
  };

  /* Messages that came before igv.js was there may have come in any order. */
  async function next(browser, source) {
    waiting.sort((a, b) => a.number - b.number);
    const message = waiting.shift();
    const answer = { from: name, number: message.number };
    try {
      Object.assign(answer, await act(browser, message, chromosome));
    } catch (problem) {
      answer.words = `igv.js reported an error: ${problem.message || problem}`;
    }
    answers.set(message.number, answer);
    source.postMessage(answer, "*");
    return browser;
  }

  early.forEach(hear);
  addEventListener("message", hear);
}

/* Do one message; the answer's {svg} or {words}. */
async function act(browser, { act: what, start, end }, chromosome) {
  if (what === "svg") return { svg: browser.toSVG() };
  if (what === "search") await browser.search(`${chromosome.name}:${start + 1}-${end}`);
  if (what === "zoomIn") await browser.zoomWithScaleFactor(0.5);
  if (what === "zoomOut") await browser.zoomWithScaleFactor(2);
  const frame = browser.referenceFrameList[0];
  const text = (base) => Math.round(base).toLocaleString("en");
  return { words: `${chromosome.shown}:${text(frame.start + 1)}-${text(frame.end)}` };
}

/* The popup as HTML. igv.js would put names and values of features there as they are; here they are text. */
function popup(track, rows) {
  if (!rows || rows.length === 0) return false;
  const box = document.createElement("div");
  for (const row of rows) {
    const line = document.createElement(typeof row === "string" ? "hr" : "div");
    if (row.name) line.textContent = `${String(row.name).replace(/_/g, " ")}: ${row.value}`;
    box.append(line);
  }
  return box.innerHTML;
}

/* A promise that is done once the document has a width: in a hidden tab there is none to draw in. */
function untilWide() {
  return new Promise((resolve) => {
    const observer = new ResizeObserver(() => {
      if (document.documentElement.clientWidth === 0) return;
      observer.disconnect();
      resolve();
    });
    observer.observe(document.documentElement);
  });
}

function fitBar(box) {
  const host = [...box.querySelectorAll("*"), box].find((node) => node.shadowRoot);
  const style = document.createElement("style");
  style.textContent = NARROW;
  (host ? host.shadowRoot : document.head).append(style);
}

let resizing = false; // while igv.js's own listener runs, which stands between the two of this module
addEventListener("resize", () => (resizing = true));

/* Keep the region when the cell becomes wider or narrower, where igv.js would keep the scale. */
function keepRegion(browser) {
  let region, timer;
  const note = () => (region = resizing ? region : browser.referenceFrameList[0].getLocusString());
  resizing = false;
  note();
  browser.on("locuschange", note);
  addEventListener("resize", () => {
    resizing = false;
    clearTimeout(timer);
    if (document.documentElement.clientWidth) timer = setTimeout(() => browser.search(region), 250);
  });
}
