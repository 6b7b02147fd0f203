/* Buttons, menus and keys of the whole page.
 *
 * A click on a node with data-action="x" calls the action x; modules add theirs with `addActions`. A click on a node
 * with data-chrom, data-start and data-end (0-based half-open) goes to that region.
 */

import { closePopups, go, igvBrowser, zoomIn, zoomOut } from "seq2exp/page/browser";
import { setProps } from "seq2exp/page/dash";
import { closest, saveFile } from "seq2exp/page/dom";
import { notify } from "seq2exp/page/notification";
import { around, wideView } from "seq2exp/page/region";
import { state } from "seq2exp/page/state";
import * as url from "seq2exp/page/url";

export const actions = {}; // name -> function (event, button)

export const addActions = (more) => void Object.assign(actions, more);

addActions({
  "zoom-in": zoomIn,
  "zoom-out": zoomOut,
  window: () => go(state.view && state.view.locus),
  promoter() {
    const region = state.view && state.view.locus;
    if (region) go(around(region, Math.max(400, (region.end - region.start) / 20)));
  },
  svg: () => igvBrowser() && saveFile(`${state.view.stem}.svg`, igvBrowser().toSVG(), "image/svg+xml"),
  async "copy-link"() {
    url.write();
    try {
      await navigator.clipboard.writeText(window.location.href);
      notify("The link to this view was copied.");
    } catch {
      notify("The browser does not allow copying. Copy the address of this page: it opens this view again.");
    }
  },
});

const openMenus = () => document.querySelectorAll("details.menu[open]");

function onClick(event) {
  const button = event.target.closest("[data-action]");
  if (button) actions[button.dataset.action](event, button);
  const place = event.target.closest("[data-chrom][data-start]");
  if (place) {
    const { chrom, start, end } = place.dataset;
    go(wideView({ chrom, start: Number(start), end: Number(end) }));
  }
  for (const menu of openMenus()) {
    const inside = menu.contains(event.target);
    const chosen = inside && event.target.closest(".menu-body a, .menu-body button");
    if (!inside || chosen) menu.removeAttribute("open");
  }
}

function onKey(event) {
  if (event.key === "Escape") {
    closePopups();
    for (const menu of openMenus()) {
      menu.removeAttribute("open");
      menu.querySelector("summary").focus();
    }
  }
  const row = event.key === "Enter" && closest(event, "#genes [row-id]");
  if (row) setProps("gene", { data: { run: state.run, gene: row.getAttribute("row-id") } });
}

/* The grids have a light and a dark look of their own. */
function followColorScheme() {
  const root = document.documentElement;
  const follow = () => (document.body.dataset.agThemeMode = root.dataset.mantineColorScheme || "light");
  new MutationObserver(follow).observe(root, { attributes: true, attributeFilter: ["data-mantine-color-scheme"] });
  follow();
}

document.addEventListener("click", onClick);
document.addEventListener("keydown", onKey);
followColorScheme();
