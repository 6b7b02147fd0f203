/* The tabs below the genome browser: one open at a time or none; the address says which. */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId } = bridge;
  const tabs = () => [...document.querySelectorAll(".tabs [role=tab]")];

  function open(name) {
    state.tab = name || null;
    document.querySelector(".page").classList.toggle("tab-open", Boolean(state.tab));
    for (const tab of tabs()) {
      const mine = tab.dataset.tab === state.tab;
      tab.setAttribute("aria-selected", String(mine));
      byId(`panel-${tab.dataset.tab}`).hidden = !mine;
    }
    byId("tab-close").hidden = !state.tab;
    window.dash_clientside.set_props("tab", { data: state.tab });
    bridge.address.write();
    bridge.announce("tab");
    requestAnimationFrame(() => {
      window.dispatchEvent(new Event("resize")); // figures and igv.js fit themselves
      if (state.tab) byId("igv").scrollTop = byId("igv").scrollHeight; // mask and elements, not the ruler
    });
  }

  bridge.openTab = open;
  bridge.actions.tab = (_event, button) => open(button.dataset.tab === state.tab ? null : button.dataset.tab);
  bridge.address.register("tab", { write: () => state.tab, read: (text) => (byId(`tab-${text}`) ? text : null) });

  document.addEventListener("seq2exp:drawn", () => bridge.address.asked.tab && open(bridge.address.asked.tab), { once: true });

  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !event.target.matches || !event.target.matches(".tabs [role=tab]")) return;
    const all = tabs();
    all[(all.indexOf(event.target) + step + all.length) % all.length].focus();
  });
})();
