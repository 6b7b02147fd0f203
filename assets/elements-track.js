/* One igv.js track class: the elements of a gene as blocks, each tied to the gene's start site by an arc.
 * The server cuts the elements; this file asks for them at the current threshold and draws them.
 */
(function () {
  "use strict";

  const ROOM = 30; // pixels at the bottom for the blocks, and for the names that do not fit into them
  const BLOCK = 11;
  const TOP = 3; // pixels between the feet of the arcs and the blocks
  const INK = { text: "rgb(60, 66, 76)", line: "rgb(205, 210, 217)", white: "rgb(255, 255, 255)", off: "rgb(140, 40, 40)", on: "rgb(0, 120, 80)" };

  function define(igv) {
    const graphics = igv.IGVGraphics;

    class ElementsTrack extends igv.TrackBase {
      static defaults = { height: 78 };

      init(config) {
        super.init(config);
        this.type = "elements";
        this.region = config.region;
        this.threshold = config.threshold;
        this.answer = null; // the last answer of the server
        this.asked = null; // its address
        this.edits = { off: [], on: [] }; // regions switched off and on (what-if)
        this.effects = new Map(); // "start-end" -> effect, of elements that were knocked out
      }

      /* What is switched, and what is known of effects: blocks and arcs are painted accordingly. */
      setWhatIf(edits, effects) {
        this.edits = { off: [...edits.off], on: [...edits.on] };
        this.effects = effects;
        this.repaintViews();
      }

      featuresAt(base) {
        const view = this.trackView && this.trackView.viewports[0];
        const features = (view && view.featureCache && view.featureCache.features) || [];
        const slack = 3 * (view && view.referenceFrame ? view.referenceFrame.bpPerPixel : 1);
        return features.filter((f) => f.start - slack <= base && base < f.end + slack);
      }

      show({ url, region, name, threshold }) {
        Object.assign(this, { url, region, threshold });
        Object.assign(this.config, { url, region, threshold, name });
        this.name = name;
      }

      clearCachedFeatures() {
        this.asked = null; // peaks may have been called meanwhile
        super.clearCachedFeatures();
      }

      setThreshold(threshold) {
        this.threshold = threshold;
        this.config.threshold = threshold;
      }

      async load() {
        const known = this.threshold === undefined || this.threshold === null;
        const address = known ? this.url : `${this.url}?threshold=${this.threshold}`;
        if (this.asked !== address || !this.answer) {
          this.asked = address;
          this.answer = fetch(address, { credentials: "same-origin" }).then(async (got) => {
            if (!got.ok) throw new Error((await got.text()).slice(0, 300));
            return got.json();
          });
          this.answer.catch(() => (this.asked = null));
        }
        return this.answer;
      }

      async getFeatures(chr) {
        if (!this.region || chr !== this.region.chrom) return [];
        const answer = this.config.data || (await this.load()); // brought along, as in a notebook
        this.tss = answer.tss;
        return answer.elements.slice().sort((a, b) => a.start - b.start);
      }

      draw({ context, bpStart, bpPerPixel, pixelWidth, pixelHeight, features, referenceFrame }) {
        const x = (base) => (base - bpStart) / bpPerPixel;
        graphics.fillRect(context, 0, 0, pixelWidth, pixelHeight, { fillStyle: INK.white });
        if (!this.region || !features || (referenceFrame && referenceFrame.chr !== this.region.chrom)) return;
        const ground = pixelHeight - ROOM;
        const from = Math.max(0, x(this.region.start));
        const to = Math.min(pixelWidth, x(this.region.end));
        if (to > from) graphics.strokeLine(context, from, ground + TOP + BLOCK / 2, to, ground + TOP + BLOCK / 2, { strokeStyle: INK.line });
        const tss = x(this.tss);
        const longest = Math.max(1, ...features.map((f) => Math.abs(middle(f) - this.tss)));
        const weight = weights(features, this.effects);
        for (const f of features) {
          if (f.class === "promoter" || gone(this.edits, f)) continue;
          arc(context, x(middle(f)), tss, ground, (ground - 4) * reach(f, this.tss, longest), f, weight(f));
        }
        const top = ground + TOP;
        const outside = []; // names that do not fit into their blocks
        for (const f of features) {
          const left = x(f.start);
          const width = Math.max(2, x(f.end) - left);
          const off = f.class !== "promoter" && gone(this.edits, f);
          if (off) hatch(context, left, top, width, f.color);
          else graphics.fillRect(context, left, top, width, BLOCK, { fillStyle: f.color });
          const label = f.class === "promoter" ? "" : f.name;
          if (label && !off && width > 6.5 * label.length + 6) {
            const style = { fillStyle: INK.white, font: "10px sans-serif", textAlign: "center" };
            graphics.fillText(context, label, left + width / 2, ground + TOP + BLOCK - 2, style);
          } else if (label && left + width > 0 && left < pixelWidth) {
            outside.push({ label, at: left + width / 2, mean: f.mean });
          }
        }
        this.drawBelow(context, outside, ground + TOP + BLOCK + 11);
        this.drawEdits(context, x, top, pixelWidth, features);
      }

      /* Names below the blocks, those of the stronger elements first, as far as there is room. */
      drawBelow(context, labels, y) {
        const taken = [];
        for (const { label, at } of labels.sort((a, b) => b.mean - a.mean)) {
          const half = 3.1 * label.length + 3;
          if (taken.some(([left, right]) => at - half < right && at + half > left)) continue;
          taken.push([at - half, at + half]);
          graphics.fillText(context, label, at, y, { fillStyle: INK.text, font: "10px sans-serif", textAlign: "center" });
        }
      }

      /* Regions that somebody drew: removed ones hatched, kept ones outlined. */
      drawEdits(context, x, top, pixelWidth, features) {
        const known = new Set(features.map((f) => `${f.start}-${f.end}`));
        for (const [kind, colour] of [["off", INK.off], ["on", INK.on]]) {
          for (const one of this.edits[kind].filter((r) => !known.has(`${r.start}-${r.end}`))) {
            const left = Math.max(-2, x(one.start));
            const width = Math.max(2, Math.min(pixelWidth + 2, x(one.end)) - left);
            if (width <= 0 || left > pixelWidth) continue;
            if (kind === "off") hatch(context, left, top - 2, width, colour, BLOCK + 4);
            else outline(context, left, top - 2, width, BLOCK + 4, colour, 2);
          }
        }
      }

      popupData(clickState) {
        const found = this.featuresAt(clickState.genomicLocation);
        return found.flatMap((f, i) => [...(i ? ["<hr>"] : []), ...rows(f, this.effects.get(`${f.start}-${f.end}`))]);
      }

      menuItemList() {
        return [];
      }

      getState() {
        const state = super.getState();
        return { ...state, type: "elements", url: this.url, region: this.region, threshold: this.threshold };
      }
    }

    igv.registerTrackClass("elements", ElementsTrack);
    return ElementsTrack;
  }

  const middle = (f) => (f.start + f.end) / 2;
  /* Nearer elements get lower arcs, by the square root, so that the near ones stay apart. */
  const reach = (f, tss, longest) => 0.25 + 0.75 * Math.sqrt(Math.abs(middle(f) - tss) / longest);

  const gone = (edits, f) => {
    const inside = (regions) => regions.some((r) => r.start <= f.start && f.end <= r.end);
    return inside(edits.off) && !inside(edits.on);
  };

  /* Line widths of arcs: the effect where elements were knocked out (dashed: lowers expression), else the mean mask. */
  function weights(features, effects) {
    const of = (f) => effects.get(`${f.start}-${f.end}`);
    const largest = Math.max(0, ...features.map((f) => Math.abs(of(f) || 0)));
    return (f) => {
      if (largest === 0) return { width: 0.4 + 1.4 * Math.max(0, Math.min(1, f.mean)), lowers: false };
      const effect = of(f);
      return { width: effect === undefined ? 0.4 : 0.5 + (3 * Math.abs(effect)) / largest, lowers: effect < 0 };
    };
  }

  /* A faded block with slanting lines: switched off. */
  function hatch(context, left, top, width, colour, height = BLOCK) {
    for (let at = left - height; at < left + width; at += 4) {
      const [from, to] = [Math.max(at, left), Math.min(at + height, left + width)];
      context.beginPath();
      context.moveTo(from, top + height - (from - at));
      context.lineTo(to, top + height - (to - at));
      context.strokeStyle = colour;
      context.lineWidth = 1;
      context.stroke();
    }
    outline(context, left, top, width, height, colour, 1);
  }

  function outline(context, left, top, width, height, colour, thickness) {
    context.strokeStyle = colour;
    context.lineWidth = thickness;
    context.strokeRect(left + 0.5, top + 0.5, Math.max(1, width - 1), height - 1);
  }

  function arc(context, from, to, ground, height, f, { width, lowers }) {
    context.beginPath();
    context.moveTo(from, ground);
    context.bezierCurveTo(from, ground - 1.3 * height, to, ground - 1.3 * height, to, ground);
    context.strokeStyle = f.color;
    context.lineWidth = width;
    if (context.setLineDash) context.setLineDash(lowers ? [4, 3] : []);
    context.stroke();
    if (context.setLineDash) context.setLineDash([]);
  }

  function rows(f, effect) {
    const place = `${f.chr}:${(f.start + 1).toLocaleString("en")}-${f.end.toLocaleString("en")}`;
    const side = f.distance < 0 ? "upstream" : "downstream";
    return [
      { name: f.name, value: f.words },
      { name: "Place", value: place },
      { name: "Length", value: `${(f.end - f.start).toLocaleString("en")} bp` },
      { name: "Mean mask", value: f.mean.toFixed(3) },
      ...(f.beta_sd === null || f.beta_sd === undefined ? [] : [{ name: "Beta sd of z", value: f.beta_sd.toFixed(3) }]),
      { name: "From the start site", value: `${Math.abs(f.distance).toLocaleString("en")} bp ${side}` },
      ...(effect === undefined ? [] : [{ name: "Effect", value: `${effect < 0 ? "−" : "+"}${Math.abs(effect).toPrecision(3)}` }]),
      ...(f.peak && f.peak !== "." ? [{ name: "Peak", value: f.peak }] : []),
    ];
  }

  window.seq2expElementsTrack = { define };
})();
