/* One igv.js track class: a mask as a line (mean of z) over a band (95 % range of z).
 *
 * The server does the science; this file fetches numbers (one JSON request a view, with the number of bins) and
 * draws them. It relies on what igv.js 3.1.4 and 3.8.10 both do with registered track classes (undocumented: init,
 * getFeatures, draw, paintAxis, popupData, getState), which is why igv.js is pinned and a browser test holds it.
 */
(function () {
  "use strict";

  const OUTSIDE = "outside the window";
  const FONT = "11px system-ui, sans-serif";
  const INK = {
    line: "rgb(0, 84, 147)",
    band: "rgba(0, 114, 178, 0.22)",
    threshold: "rgb(170, 60, 0)",
    promoter: "rgb(233, 236, 240)",
    blacklist: "rgb(246, 226, 226)",
    outside: "rgb(247, 248, 250)",
    text: "rgb(96, 104, 116)",
    grid: "rgb(226, 229, 234)",
  };
  const PAD = 6; // pixels kept free above 1 and below 0
  const BINS_PER_PIXEL = 1;

  const number = (value, digits = 3) => {
    if (value === null || value === undefined) return "none";
    return value !== 0 && Math.abs(value) < 0.01 ? value.toPrecision(2) : value.toFixed(digits);
  };

  function define(igv) {
    const graphics = igv.IGVGraphics;

    class MaskTrack extends igv.TrackBase {
      static defaults = { height: 120, autoscale: false, color: INK.line };

      init(config) {
        super.init(config);
        this.type = "mask";
        this.resolutionAware = true; // ask again when the zoom changes
        this.threshold = config.threshold;
        this.region = config.region; // {chrom, start, end}: the window that was scored
        this.dataRange = {
          min: config.min === undefined ? 0 : config.min,
          max: config.max === undefined ? 1 : config.max,
        };
      }

      /* Another gene's mask, in place: the track keeps its row and its height. */
      show({ url, region, name, threshold, min, max }) {
        Object.assign(this, { url, region, threshold });
        Object.assign(this.config, { url, region, threshold, name });
        if (min !== undefined && max !== undefined) this.dataRange = { min, max };
        this.name = name;
      }

      setThreshold(threshold) {
        this.threshold = threshold;
        this.config.threshold = threshold;
        this.repaintViews();
      }

      async getFeatures(chr, start, end, bpPerPixel) {
        const region = this.region;
        if (this.config.data) return chr === region.chrom ? asFeatures(chr, this.config.data) : []; // brought along, as in a notebook
        if (!this.url || !region || chr !== region.chrom || end <= region.start || start >= region.end) return [];
        const from = Math.max(Math.floor(start), region.start);
        const to = Math.min(Math.ceil(end), region.end);
        const bins = Math.max(1, Math.round(((to - from) / bpPerPixel) * BINS_PER_PIXEL));
        const join = this.url.includes("?") ? "&" : "?";
        const answer = await fetch(`${this.url}${join}start=${from}&end=${to}&bins=${bins}`, {
          credentials: "same-origin",
        });
        if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
        return asFeatures(chr, await answer.json());
      }

      doAutoscale(features) {
        const seen = (features || []).filter((f) => f.mean !== null && f.forced === -1);
        if (seen.length === 0) return { min: 0, max: 1 };
        const top = seen.reduce((most, f) => Math.max(most, f.high === null ? f.mean : f.high), 0);
        return { min: 0, max: top > 0 ? top : 1 };
      }

      pixelOf(value, height) {
        const { min, max } = this.dataRange;
        const share = Math.min(1, Math.max(0, (value - min) / (max - min)));
        return height - PAD - share * (height - 2 * PAD);
      }

      draw({ context, bpStart, bpPerPixel, pixelWidth, pixelHeight, features, referenceFrame, viewportWidth }) {
        const x = (base) => (base - bpStart) / bpPerPixel;
        const y = (value) => this.pixelOf(value, pixelHeight);
        const { min, max } = this.dataRange;
        graphics.fillRect(context, 0, 0, pixelWidth, pixelHeight, { fillStyle: "rgb(255, 255, 255)" });
        if (!this.region || (referenceFrame && referenceFrame.chr !== this.region.chrom)) {
          const seen = referenceFrame ? x(referenceFrame.start) : 0; // the canvas is wider than what is seen of it
          this.drawElsewhere(context, seen + (viewportWidth || pixelWidth) / 2, pixelWidth, pixelHeight);
          return;
        }
        for (const level of [min, (min + max) / 2, max]) {
          graphics.strokeLine(context, 0, y(level), pixelWidth, y(level), { strokeStyle: INK.grid });
        }
        this.drawOutside(context, x, pixelWidth, pixelHeight);
        this.drawForced(context, x, pixelHeight, features);
        this.drawBand(context, x, y, bpPerPixel, features);
        this.drawLine(context, x, y, bpPerPixel, features);
        this.drawThreshold(context, x, y, pixelWidth);
      }

      /* Beyond the window nothing was scored: say so instead of drawing a zero. */
      drawOutside(context, x, pixelWidth, pixelHeight) {
        const left = Math.min(pixelWidth, x(this.region.start));
        const right = Math.max(0, x(this.region.end));
        const label = { fillStyle: INK.text, font: FONT, textAlign: "right" };
        if (left > 0) {
          graphics.fillRect(context, 0, 0, left, pixelHeight, { fillStyle: INK.outside });
          graphics.fillText(context, OUTSIDE, left - 8, pixelHeight / 2 + 4, label);
        }
        if (right < pixelWidth) {
          graphics.fillRect(context, right, 0, pixelWidth - right, pixelHeight, { fillStyle: INK.outside });
          label.textAlign = "left";
          graphics.fillText(context, OUTSIDE, right + 8, pixelHeight / 2 + 4, label);
        }
      }

      /* The same on another chromosome, where no edge of the window is near. */
      drawElsewhere(context, middle, pixelWidth, pixelHeight) {
        graphics.fillRect(context, 0, 0, pixelWidth, pixelHeight, { fillStyle: INK.outside });
        const label = { fillStyle: INK.text, font: FONT, textAlign: "center" };
        graphics.fillText(context, OUTSIDE, middle, pixelHeight / 2 + 4, label);
      }

      drawForced(context, x, pixelHeight, features) {
        for (const piece of stretches(features, (f) => f.forced)) {
          if (piece.key === -1) continue;
          const from = x(piece.start);
          const width = Math.max(1, x(piece.end) - from);
          const fillStyle = piece.key === 1 ? INK.promoter : INK.blacklist;
          graphics.fillRect(context, from, 0, width, pixelHeight, { fillStyle });
        }
      }

      drawBand(context, x, y, bpPerPixel, features) {
        const area = this.config.area === true; // a quantity above zero, filled down to zero
        for (const piece of stretches(features, (f) => f.mean !== null && f.forced === -1 && (area || f.low !== null))) {
          if (!piece.key) continue;
          const top = corners(piece.features, x, (f) => y(area ? f.mean : f.high), bpPerPixel);
          const bottom = corners(piece.features, x, (f) => y(area ? 0 : f.low), bpPerPixel).reverse();
          const outline = [...top, ...bottom];
          context.beginPath();
          outline.forEach(([px, py], i) => (i ? context.lineTo(px, py) : context.moveTo(px, py)));
          context.closePath();
          context.fillStyle = area ? faint(this.color) : INK.band;
          context.fill();
        }
      }

      drawLine(context, x, y, bpPerPixel, features) {
        for (const piece of stretches(features, (f) => f.mean !== null)) {
          if (!piece.key) continue;
          context.beginPath();
          corners(piece.features, x, (f) => y(f.mean), bpPerPixel).forEach(([px, py], i) =>
            i ? context.lineTo(px, py) : context.moveTo(px, py)
          );
          context.strokeStyle = this.color || INK.line;
          context.lineWidth = 1.4;
          context.stroke();
        }
      }

      drawThreshold(context, x, y, pixelWidth) {
        const region = this.region;
        if (this.threshold === undefined || this.threshold === null || !region) return;
        const from = Math.max(0, x(region.start));
        const to = Math.min(pixelWidth, x(region.end));
        if (to <= from) return;
        graphics.dashedLine(context, from, y(this.threshold), to, y(this.threshold), 5, {
          strokeStyle: INK.threshold,
          lineWidth: 1.2,
        });
      }

      paintAxis(context, width, height) {
        graphics.fillRect(context, 0, 0, width, height, { fillStyle: "rgb(255, 255, 255)" });
        const style = { fillStyle: "rgb(0, 0, 0)", strokeStyle: "rgb(0, 0, 0)", font: "10px sans-serif" };
        style.textAlign = "right";
        const { min, max } = this.dataRange;
        const right = width - 4;
        graphics.strokeLine(context, right, this.pixelOf(max, height), right, this.pixelOf(min, height), style);
        for (const level of [min, (min + max) / 2, max]) {
          const at = this.pixelOf(level, height);
          graphics.strokeLine(context, right - 4, at, right, at, style);
          const label = Math.min(height - 2, Math.max(9, at + 3));
          const shown = max - min < 0.1 ? Number(level.toPrecision(1)) : Math.round(level * 100) / 100;
          graphics.fillText(context, String(shown), right - 6, label, style);
        }
      }

      popupData(clickState) {
        const at = clickState.genomicLocation;
        const cache = clickState.viewport.featureCache;
        const found = ((cache && cache.features) || []).find((f) => f.start <= at && at < f.end);
        if (!found || found.mean === null) return [];
        const place = `${this.region.name || found.chr}:${(found.start + 1).toLocaleString("en")}-${found.end.toLocaleString("en")}`;
        const rows = [{ name: "Place", value: place }];
        if (found.forced === 1) return [...rows, { name: "Promoter", value: "always kept" }];
        if (found.forced === 0) return [...rows, { name: "Blacklist", value: "never kept" }];
        rows.push({ name: this.config.quantity || "Mean", value: number(found.mean) });
        if (found.low !== null) {
          rows.push({ name: "95 % range of z", value: `${number(found.low)} to ${number(found.high)}` });
        }
        if (this.threshold !== undefined && this.threshold !== null) {
          rows.push({ name: "Threshold", value: number(this.threshold) });
        }
        return rows;
      }

      menuItemList() {
        return [];
      }

      getState() {
        const state = super.getState();
        return { ...state, type: "mask", url: this.url, region: this.region, threshold: this.threshold };
      }
    }

    igv.registerTrackClass("mask", MaskTrack);
    return MaskTrack;
  }

  /* Lists as the server sends them -> one feature a bin. Vectors without a spread (contact, prior) have no band. */
  function asFeatures(chr, got) {
    return got.mean.map((mean, i) => ({
      chr,
      start: got.start + i * got.bin,
      end: Math.min(got.start + (i + 1) * got.bin, got.end),
      value: mean,
      mean,
      low: got.low ? got.low[i] : null,
      high: got.high ? got.high[i] : null,
      forced: got.forced ? got.forced[i] : -1,
    }));
  }

  const faint = (colour) => colour.replace("rgb(", "rgba(").replace(")", ", 0.25)");

  /* Neighbouring features with the same key, one after the other. */
  function stretches(features, keyOf) {
    const pieces = [];
    for (const f of features || []) {
      const key = keyOf(f);
      const last = pieces[pieces.length - 1];
      if (last && last.key === key && Math.abs(last.end - f.start) < 1e-6 * f.start + 1e-6) {
        last.features.push(f);
        last.end = f.end;
      } else {
        pieces.push({ key, start: f.start, end: f.end, features: [f] });
      }
    }
    return pieces;
  }

  /* Line corners: steps where a bin is wider than two pixels (each base stays readable), else one point a bin. */
  function corners(features, x, y, bpPerPixel) {
    const wide = features.length > 0 && (features[0].end - features[0].start) / bpPerPixel > 2;
    const points = [];
    for (const f of features) {
      if (wide) points.push([x(f.start), y(f)], [x(f.end), y(f)]);
      else points.push([(x(f.start) + x(f.end)) / 2, y(f)]);
    }
    return points;
  }

  window.seq2expMaskTrack = { define };
})();
