/* The tabs below the genome browser: at most one is open; the address says which. */

import { addActions } from "seq2exp/page/actions";
import { setProps } from "seq2exp/page/dash";
import { byId } from "seq2exp/page/dom";
import { emit, once } from "seq2exp/page/events";
import { state } from "seq2exp/page/state";
import * as url from "seq2exp/page/url";

const tabs = () => [...document.querySelectorAll(".tabs [role=tab]")];

/* Open a tab; null closes the open one. */
export function openTab(name) {
  state.tab = name || null;
  document.querySelector(".page").classList.toggle("tab-open", Boolean(state.tab));
  for (const tab of tabs()) {
    const open = tab.dataset.tab === state.tab;
    tab.setAttribute("aria-selected", String(open));
    byId(`panel-${tab.dataset.tab}`).hidden = !open;
  }
  byId("tab-close").hidden = !state.tab;
  setProps("tab", { data: state.tab });
  url.write();
  emit("tab");
  requestAnimationFrame(() => {
    window.dispatchEvent(new Event("resize")); // figures and igv.js fit themselves
    if (state.tab) byId("igv").scrollTop = byId("igv").scrollHeight; // mask and elements, not the ruler
  });
}

addActions({ tab: (_event, button) => openTab(button.dataset.tab === state.tab ? null : button.dataset.tab) });
url.register("tab", { write: () => state.tab, read: (text) => (byId(`tab-${text}`) ? text : null) });
once("drawn", () => state.asked.tab && openTab(state.asked.tab));

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || !event.target.matches || !event.target.matches(".tabs [role=tab]")) return;
  const all = tabs();
  all[(all.indexOf(event.target) + step + all.length) % all.length].focus();
});
