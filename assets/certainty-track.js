/* One igv.js track class: where the z of each base lies. A column is one bin, filled from below with the share of its bases
 * with 95 % of z above the threshold, then on both sides, then 95 % below. The server counts; this file draws.
 */
(function () {
  "use strict";

  const PAD = 4;
  const INK = { white: "rgb(255, 255, 255)", outside: "rgb(247, 248, 250)" };
  const percent = (share) => `${Math.round(100 * share)} %`;

  function define(igv) {
    const graphics = igv.IGVGraphics;

    class CertaintyTrack extends igv.TrackBase {
      static defaults = { height: 56 };

      init(config) {
        super.init(config);
        this.type = "certainty";
        this.resolutionAware = true; // ask again when the zoom changes
        this.region = config.region;
        this.threshold = config.threshold;
        this.colors = config.colors;
      }

      show({ url, region, name, threshold }) {
        Object.assign(this, { url, region, threshold });
        Object.assign(this.config, { url, region, threshold, name });
        this.name = name;
      }

      setThreshold(threshold) {
        this.threshold = threshold;
        this.config.threshold = threshold;
      }

      async getFeatures(chr, start, end, bpPerPixel) {
        const region = this.region;
        if (!region || chr !== region.chrom || end <= region.start || start >= region.end) return [];
        const from = Math.max(Math.floor(start), region.start);
        const to = Math.min(Math.ceil(end), region.end);
        const query = { start: from, end: to, bins: Math.max(1, Math.round((to - from) / bpPerPixel)) };
        if (this.threshold !== undefined && this.threshold !== null) query.threshold = this.threshold;
        const answer = await fetch(`${this.url}?${new URLSearchParams(query)}`, { credentials: "same-origin" });
        if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
        const got = await answer.json();
        return got.kept.map((kept, i) => ({
          chr,
          start: got.start + i * got.bin,
          end: Math.min(got.start + (i + 1) * got.bin, got.end),
          kept,
          hidden: got.hidden[i],
        }));
      }

      draw({ context, bpStart, bpPerPixel, pixelWidth, pixelHeight, features, referenceFrame }) {
        graphics.fillRect(context, 0, 0, pixelWidth, pixelHeight, { fillStyle: INK.white });
        const x = (base) => (base - bpStart) / bpPerPixel;
        if (!this.region || (referenceFrame && referenceFrame.chr !== this.region.chrom)) return;
        const tall = pixelHeight - 2 * PAD;
        for (const f of features || []) {
          if (f.kept === null) continue; // forced: there was nothing to decide
          const left = x(f.start);
          const width = Math.max(1, x(f.end) - left) + 0.4; // no seams between neighbours
          let ground = pixelHeight - PAD;
          for (const [share, kind] of [[f.kept, "kept"], [1 - f.kept - f.hidden, "undecided"], [f.hidden, "hidden"]]) {
            if (share <= 0) continue;
            graphics.fillRect(context, left, ground - share * tall, width, share * tall, { fillStyle: this.colors[kind] });
            ground -= share * tall;
          }
        }
        for (const [from, to] of [[0, x(this.region.start)], [x(this.region.end), pixelWidth]]) {
          if (to > from) graphics.fillRect(context, from, 0, to - from, pixelHeight, { fillStyle: INK.outside });
        }
      }

      popupData(clickState) {
        const at = clickState.genomicLocation;
        const cache = clickState.viewport.featureCache;
        const found = ((cache && cache.features) || []).find((f) => f.start <= at && at < f.end);
        if (!found || found.kept === null) return [];
        return [
          { name: "Place", value: `${this.region.name || found.chr}:${(found.start + 1).toLocaleString("en")}-${found.end.toLocaleString("en")}` },
          { name: "95 % of z above the threshold", value: percent(found.kept) },
          { name: "z on both sides", value: percent(Math.max(0, 1 - found.kept - found.hidden)) },
          { name: "95 % of z below", value: percent(found.hidden) },
          { name: "Shares are", value: "of the bases; z under the model's own Beta" },
          ...(this.threshold === undefined || this.threshold === null ? [] : [{ name: "Threshold", value: Number(this.threshold).toFixed(3) }]),
        ];
      }

      menuItemList() {
        return [];
      }

      getState() {
        const state = super.getState();
        const { url, region, threshold, colors } = this;
        return { ...state, type: "certainty", url, region, threshold, colors };
      }
    }

    igv.registerTrackClass("certainty", CertaintyTrack);
    return CertaintyTrack;
  }

  window.seq2expCertaintyTrack = { define };
})();
