/* Parts of the what-if (whatif.js): its numbers in words, the box of the panel, and dragging over the tracks. */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { byId, el, say, trackOf } = bridge;
  const box = (node) => node.getBoundingClientRect();

  /* Two decimals, three of small numbers; what is smaller still is nothing to read. */
  const signed = (value) => {
    const size = Math.abs(value);
    const text = size >= 0.0995 ? size.toFixed(2) : size.toFixed(3);
    return Number(text) === 0 ? "0.000" : `${value < 0 ? "−" : "+"}${text}`;
  };
  const exactly = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toPrecision(3)}`;
  const level = (value, other) => value.toFixed(Math.abs(value - other) < 0.0195 ? 3 : 2);

  const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");
  const pace = ({ done, total, seconds_left: left }) =>
    (total > 1 ? `, ${done} of ${total}` : "") + (left ? `, ${left < 90 ? `${Math.ceil(left)} s` : `${Math.round(left / 60)} min`} left` : "");

  function controlWords({ control_n: n, control_rank: rank, control_sd: sd, control_mean: mean }) {
    if (!n) return "";
    if (!sd && !mean) return "control regions change nothing: this mask hides them already";
    return `${rank} of ${n} control regions at least as strong`;
  }

  /* What the server answered: before and after, the change, and how it compares with control regions: random ones of the same length. */
  function answerLines(answer, unit, several) {
    const lines = [];
    const [before, after] = [level(answer.baseline, answer.predicted), level(answer.predicted, answer.baseline)];
    lines.push(
      el("p", { class: "whatif-numbers" }, el("span", { class: "quiet" }, "Predicted "), before, " → ", el("strong", { id: "whatif-predicted" }, after))
    );
    const fold = answer.fold_change;
    const times = fold ? `, ${fold.toFixed(2)}-fold` : "";
    const title = `Delta ${exactly(answer.delta)}: predicted with these changes minus predicted without them${fold ? "; the fold change is of the label + 1" : ""}`;
    lines.push(el("p", { title }, `Delta ${signed(answer.delta)}${unit ? ` in ${unit}` : ""}${times}`));
    const control = answer.control;
    if (control) {
      const words = control.control_n
        ? controlWords(control).replace("control regions", several ? "sets of control regions" : "control regions")
        : "no control region of that length fits into the window";
      lines.push(el("p", { class: "quiet" }, sentence(words) + "."));
    }
    return lines;
  }

  function buildBox(panel) {
    const tool = (words, action, title) => el("button", { class: "tool", "data-action": action, title }, words);
    panel.append(
      el("div", { class: "whatif-head" }, el("h3", {}, "What if"), el("button", { class: "link", "data-action": "whatif-reset" }, "reset")),
      el("div", { class: "whatif-result", role: "status", "aria-live": "polite" }),
      el("div", { class: "whatif-drawn" }),
      el(
        "div",
        { class: "whatif-tools" },
        el(
          "div",
          { class: "whatif-draws" },
          el("input", { id: "whatif-region", placeholder: "Region, or drag", "aria-label": "Region to remove or keep; empty: drag over it in the browser" }),
          tool("Remove", "whatif-off", "Remove the typed region, or drag over one in the browser"),
          tool("Keep", "whatif-on", "Keep the typed region, or drag over one in the browser")
        ),
        el(
          "div",
          { class: "whatif-jobs" },
          tool("Rank all", "whatif-rank", "Rank the elements: switch off each in turn, beside control regions"),
          tool("Keep 90 %", "whatif-smallest", "The smallest set of elements that keeps 90 % of what all do together"),
          tool("Occlusion", "whatif-occlusion", "Hide stretch after stretch of the window, without any mask, as a track")
        )
      ),
      el(
        "div",
        { class: "whatif-job" },
        el("div", { class: "whatif-progress" }, el("span", { class: "quiet" }), el("button", { class: "link", "data-action": "whatif-cancel" }, "cancel")),
        el("progress", {})
      ),
      el("div", { class: "whatif-note" })
    );
  }

  /* Drag over the tracks; `taken` gets {start, end} and says whether it can be used. */
  function dragRegion(kind, taken) {
    const browser = bridge.igvBrowser();
    const track = trackOf("mask") || trackOf("elements");
    if (!browser || !track || byId("whatif-draw")) return;
    const viewport = track.trackView.viewports[0];
    const seen = box(viewport.viewportElement || viewport.$viewport[0]);
    const over = box(byId("igv"));
    const frame = browser.referenceFrameList[0];
    const base = (x) => Math.round(frame.start + (x - seen.left) * frame.bpPerPixel);
    const band = el("div", { class: `draw-band ${kind}` });
    const layer = el("div", { id: "whatif-draw", class: "draw-layer", "aria-hidden": "true" }, band);
    Object.assign(layer.style, { left: `${seen.left}px`, width: `${seen.width}px`, top: `${over.top}px`, height: `${over.height}px` });
    let from = null;
    const stop = () => {
      layer.remove();
      document.removeEventListener("keydown", onKey, true);
    };
    const onKey = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      stop();
      say("");
    };
    layer.addEventListener("pointerdown", (event) => {
      from = event.clientX;
      layer.setPointerCapture(event.pointerId);
    });
    layer.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const [left, right] = [Math.min(from, event.clientX), Math.max(from, event.clientX)];
      Object.assign(band.style, { left: `${left - seen.left}px`, width: `${right - left}px` });
    });
    layer.addEventListener("pointerup", (event) => {
      const [left, right] = [Math.min(from, event.clientX), Math.max(from, event.clientX)];
      stop();
      say("");
      const used = right - left >= 3 && taken({ start: base(left), end: Math.max(base(right), base(left) + 1) });
      if (!used) say("Drag from one end of the region to the other, inside this gene's window.");
    });
    document.addEventListener("keydown", onKey, true);
    document.body.append(layer);
    say(`Drag over the bases to ${kind === "off" ? "remove" : "keep"}; Escape stops.`);
  }

  bridge.whatifParts = { signed, exactly, sentence, pace, controlWords, answerLines, buildBox };
  bridge.dragRegion = dragRegion;
})();
