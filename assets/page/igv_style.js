/* The style of igv.js, which lives in a shadow tree of its own: as calm as the page. */

const STYLE = `
.igv-container { margin-top: -18px !important; }
.igv-track-label { border: 0 !important; background: rgba(255, 255, 255, 0.82) !important; color: rgb(60, 66, 76) !important;
  font: 11px/1.5 system-ui, "DejaVu Sans", sans-serif !important; padding: 0 5px !important; top: 1px !important; margin: 0 !important; transform: none !important;
  left: 3px !important; border-radius: 3px !important; }
.igv-track-drag-handle { background-color: rgb(241, 243, 246) !important; border: 0 !important; }
.igv-track-drag-handle:hover { background-color: rgb(205, 212, 220) !important; }
.igv-gear-menu-column svg { opacity: 0.45; }
.igv-ui-popover { font: 12px/1.55 system-ui, "DejaVu Sans", sans-serif !important; border: 1px solid rgb(205, 211, 219) !important;
  border-radius: 6px !important; box-shadow: 0 8px 26px rgba(0, 0, 0, 0.16); overflow: hidden; }
.igv-ui-popover > div:first-child { background: rgb(244, 246, 248) !important; border: 0 !important; }
.igv-ui-popover > div:last-child { padding: 4px 10px 8px; font: inherit !important; }
.igv-ui-popover span { font-weight: 400 !important; color: rgb(92, 102, 116); }
.igv-ui-popover .whose { font: inherit; color: rgb(11, 95, 165); background: none; border: 0; padding: 0; cursor: pointer;
  text-decoration: underline; }
.igv-ui-popover hr { border: 0; border-top: 1px solid rgb(225, 229, 234); }
`;

/* Add the style to the shadow tree that igv.js has made inside `box`. */
export function styleIgv(box) {
  const host = [...box.querySelectorAll("*"), box].find((node) => node.shadowRoot);
  const style = document.createElement("style");
  style.textContent = STYLE;
  (host ? host.shadowRoot : box).appendChild(style);
}
