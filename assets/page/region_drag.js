/* Dragging over the tracks, to mark a region. */

import { igvBrowser, trackOf, viewportBox } from "seq2exp/page/browser";
import { byId, el } from "seq2exp/page/dom";
import { notify } from "seq2exp/page/notification";

const LEAST_PIXELS = 3; // a shorter way is a click
const place = (node) => node.getBoundingClientRect();

/* Let the user drag over a region to remove ("off") or to keep ("on"); `take` gets {start, end} and returns whether it
 * can be used. */
export function dragRegion(kind, take) {
  const track = trackOf("mask") || trackOf("elements");
  if (!igvBrowser() || !track || byId("whatif-draw")) return;
  const seen = place(viewportBox(track.trackView.viewports[0]));
  const over = place(byId("igv"));
  const frame = igvBrowser().referenceFrameList[0];
  const base = (x) => Math.round(frame.start + (x - seen.left) * frame.bpPerPixel);
  const band = el("div", { class: `draw-band ${kind}` });
  const layer = el("div", { id: "whatif-draw", class: "draw-layer", "aria-hidden": "true" }, band);
  Object.assign(layer.style, { left: `${seen.left}px`, width: `${seen.width}px`, top: `${over.top}px`, height: `${over.height}px` });
  let from = null; // where the pointer went down
  const span = (event) => [Math.min(from, event.clientX), Math.max(from, event.clientX)];
  const stop = () => {
    layer.remove();
    document.removeEventListener("keydown", onKey, true);
    notify("");
  };
  const onKey = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    stop();
  };
  layer.addEventListener("pointerdown", (event) => {
    from = event.clientX;
    layer.setPointerCapture(event.pointerId);
  });
  layer.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const [left, right] = span(event);
    Object.assign(band.style, { left: `${left - seen.left}px`, width: `${right - left}px` });
  });
  layer.addEventListener("pointerup", (event) => {
    const [left, right] = span(event);
    stop();
    const used = right - left >= LEAST_PIXELS && take({ start: base(left), end: Math.max(base(right), base(left) + 1) });
    if (!used) notify("Drag from one end of the region to the other, inside this gene's window.");
  });
  document.addEventListener("keydown", onKey, true);
  document.body.append(layer);
  notify(`Drag over the region to ${kind === "off" ? "remove" : "keep"}. Escape cancels.`);
}
