/* The help overlay, and the keys that it names. */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId, actions, go } = bridge;

  actions.help = () => !byId("help").open && byId("help").showModal();
  actions["close-help"] = () => byId("help").close();

  /* Half a screen to a side, inside the chromosome. */
  function move(side) {
    const { locus } = state;
    if (!locus) return;
    const width = locus.end - locus.start;
    const start = Math.max(0, Math.round(locus.start + (side * width) / 2));
    go({ chrom: locus.chrom, start, end: start + width });
  }

  const KEYS = {
    "?": () => actions.help(),
    "/": () => byId("search").focus(),
    "+": () => actions["zoom-in"](),
    "=": () => actions["zoom-in"](),
    "-": () => actions["zoom-out"](),
    w: () => actions.window(),
    t: () => actions.promoter(),
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
  };

  /* Where a letter or an arrow means something else, it is left alone. A dialog that was just closed keeps the focus until
   * the next frame: keys that come before it are the page's. */
  const BUSY = "input, textarea, select, [contenteditable], dialog[open], [role=slider], [role=tab], [role=listbox], .ag-root";

  document.addEventListener("keydown", (event) => {
    const deed = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!deed || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest && event.target.closest(BUSY)) return;
    event.preventDefault();
    deed();
  });

  /* A click beside the help closes it. */
  document.addEventListener("click", (event) => event.target.id === "help" && event.target.close());
})();
