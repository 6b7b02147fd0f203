/* The bridge, part 4: buttons, menus and keys.
 *
 * A click on anything with data-action="x" does `seq2expBridge.actions.x(event)`; other files may add actions. A click
 * on anything with data-chrom, data-start and data-end (0-based half-open) goes there.
 */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, say, save, go } = bridge;

  function around(centre, width) {
    return { chrom: centre.chrom, start: Math.max(0, Math.round(centre.at - width / 2)), end: Math.round(centre.at + width / 2) };
  }

  const name = (ending) => `${state.view.stem}.${ending}`;

  const browser = () => bridge.igvBrowser();
  const actions = {
    "zoom-in": () => browser() && browser().zoomIn(),
    "zoom-out": () => browser() && browser().zoomOut(),
    window: () => go(state.view && state.view.locus),
    promoter: () => {
      const locus = state.view && state.view.locus;
      if (locus) go(around({ chrom: locus.chrom, at: (locus.start + locus.end) / 2 }, Math.max(400, (locus.end - locus.start) / 20)));
    },
    svg: () => browser() && save(name("svg"), browser().toSVG(), "image/svg+xml"),
    "copy-link": async () => {
      bridge.address.write();
      try {
        await navigator.clipboard.writeText(window.location.href);
        say("The link to this view is copied.");
      } catch {
        say("Copy the address of this page: it opens this view again.");
      }
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (button) actions[button.dataset.action](event, button);
    const place = event.target.closest("[data-chrom][data-start]");
    if (place) {
      const { chrom } = place.dataset;
      const [start, end] = [Number(place.dataset.start), Number(place.dataset.end)];
      go(around({ chrom, at: (start + end) / 2 }, Math.max(6 * (end - start), 400)));
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      const inside = menu.contains(event.target);
      const chose = inside && event.target.closest(".menu-body a, .menu-body button");
      if (!inside || chose) menu.removeAttribute("open");
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      bridge.closePopups();
      for (const menu of document.querySelectorAll("details.menu[open]")) {
        menu.removeAttribute("open");
        menu.querySelector("summary").focus();
      }
    }
    const row = event.key === "Enter" && event.target.closest && event.target.closest("#genes [row-id]");
    if (row) window.dash_clientside.set_props("gene", { data: { run: state.run, gene: row.getAttribute("row-id") } });
  });

  /* The grid has its own light and dark. */
  const root = document.documentElement;
  const follow = () => (document.body.dataset.agThemeMode = root.dataset.mantineColorScheme || "light");
  new MutationObserver(follow).observe(root, { attributes: true, attributeFilter: ["data-mantine-color-scheme"] });
  document.addEventListener("DOMContentLoaded", follow);

  Object.assign(bridge, { actions, around });
})();
