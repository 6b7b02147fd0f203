/* The track type "band": a quantity along the region as a line, over a band that says how far z spreads.
 *
 * The mask is drawn so (mean of z, 95 % range of z), and signals, contact, prior and differences as a line or a filled
 * area (`area`) without a band. The server does the science: it answers each view with as many bins as there are pixels.
 * Fields of `config` besides those of the base: `min`, `max` (axis), `area`, `quantity` (the mean's name in the popup).
 */

import { binSpan, INK as SHARED_INK, known } from "seq2exp/tracks/base";

const OUTSIDE = "outside the window";
const FONT = "11px system-ui, sans-serif";
const INK = {
  ...SHARED_INK,
  line: "rgb(0, 84, 147)",
  band: "rgba(0, 114, 178, 0.22)",
  threshold: "rgb(170, 60, 0)",
  promoter: "rgb(233, 236, 240)",
  blacklist: "rgb(246, 226, 226)",
  grid: "rgb(226, 229, 234)",
};
const PAD = 6; // pixels kept free above 1 and below 0
const BINS_PER_PIXEL = 1;

const number = (value, digits = 3) => {
  if (!known(value)) return "none";
  return value !== 0 && Math.abs(value) < 0.01 ? value.toPrecision(2) : value.toFixed(digits);
};

export function bandTrack(igv, RegionTrack) {
  const graphics = igv.IGVGraphics;

  return class BandTrack extends RegionTrack {
    static type = "band";
    static defaults = { height: 120, autoscale: false, color: INK.line };

    init(config) {
      super.init(config);
      this.resolutionAware = true; // igv.js asks again when the zoom changes
      const { min = 0, max = 1 } = config;
      this.dataRange = { min, max };
    }

    show(config) {
      super.show(config);
      const { min, max } = config;
      if (min !== undefined && max !== undefined) this.dataRange = { min, max };
    }

    setThreshold(threshold) {
      super.setThreshold(threshold);
      this.repaintViews();
    }

    async getFeatures(chr, start, end, bpPerPixel) {
      if (this.config.data) return chr === this.region.chrom ? this.featuresOf(chr, this.config.data) : [];
      const part = this.url && this.inRegion(chr, start, end);
      if (!part) return [];
      const bins = Math.max(1, Math.round(((part.end - part.start) / bpPerPixel) * BINS_PER_PIXEL));
      return this.featuresOf(chr, await this.fetchJson({ ...part, bins }));
    }

    featuresOf(chr, answer) {
      return asFeatures(chr, answer);
    }

    /* The values that the axis and the lines of the grid show. */
    levels() {
      const { min, max } = this.dataRange;
      return [min, (min + max) / 2, max];
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
      graphics.fillRect(context, 0, 0, pixelWidth, pixelHeight, { fillStyle: INK.white });
      if (this.isElsewhere(referenceFrame)) {
        const seen = referenceFrame ? x(referenceFrame.start) : 0; // the canvas is wider than what is seen of it
        this.drawElsewhere(context, seen + (viewportWidth || pixelWidth) / 2, pixelWidth, pixelHeight);
        return;
      }
      for (const level of this.levels()) {
        graphics.strokeLine(context, 0, y(level), pixelWidth, y(level), { strokeStyle: INK.grid });
      }
      this.drawOutside(context, x, pixelWidth, pixelHeight);
      this.drawForced(context, x, pixelHeight, features);
      this.drawBand(context, x, y, bpPerPixel, features);
      this.drawLine(context, x, y, bpPerPixel, features);
      this.drawThreshold(context, x, y, pixelWidth);
    }

    /* Mark bases outside the region as not scored, in place of drawing a zero. */
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

    /* The same on another chromosome, which holds no edge of the region. */
    drawElsewhere(context, middle, pixelWidth, pixelHeight) {
      graphics.fillRect(context, 0, 0, pixelWidth, pixelHeight, { fillStyle: INK.outside });
      const label = { fillStyle: INK.text, font: FONT, textAlign: "center" };
      graphics.fillText(context, OUTSIDE, middle, pixelHeight / 2 + 4, label);
    }

    drawForced(context, x, pixelHeight, features) {
      for (const piece of runsOf(features, (f) => f.forced)) {
        if (piece.key === -1) continue;
        const from = x(piece.start);
        const width = Math.max(1, x(piece.end) - from);
        const fillStyle = piece.key === 1 ? INK.promoter : INK.blacklist;
        graphics.fillRect(context, from, 0, width, pixelHeight, { fillStyle });
      }
    }

    drawBand(context, x, y, bpPerPixel, features) {
      const area = this.config.area === true; // a quantity above zero, filled down to zero
      for (const piece of runsOf(features, (f) => f.mean !== null && f.forced === -1 && (area || f.low !== null))) {
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
      for (const piece of runsOf(features, (f) => f.mean !== null)) {
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
      if (!known(this.threshold) || !region) return;
      const from = Math.max(0, x(region.start));
      const to = Math.min(pixelWidth, x(region.end));
      if (to <= from) return;
      graphics.dashedLine(context, from, y(this.threshold), to, y(this.threshold), 5, {
        strokeStyle: INK.threshold,
        lineWidth: 1.2,
      });
    }

    paintAxis(context, width, height) {
      graphics.fillRect(context, 0, 0, width, height, { fillStyle: INK.white });
      const style = { fillStyle: "rgb(0, 0, 0)", strokeStyle: "rgb(0, 0, 0)", font: "10px sans-serif" };
      style.textAlign = "right";
      const { min, max } = this.dataRange;
      const right = width - 4;
      graphics.strokeLine(context, right, this.pixelOf(max, height), right, this.pixelOf(min, height), style);
      for (const level of this.levels()) {
        const at = this.pixelOf(level, height);
        graphics.strokeLine(context, right - 4, at, right, at, style);
        const label = Math.min(height - 2, Math.max(9, at + 3));
        const shown = max - min < 0.1 ? Number(level.toPrecision(1)) : Math.round(level * 100) / 100;
        graphics.fillText(context, String(shown), right - 6, label, style);
      }
    }

    popupData(click) {
      const found = this.featureUnder(click);
      if (!found || found.mean === null) return [];
      const rows = [this.positionRow(found)];
      if (found.forced === 1) return [...rows, { name: "Promoter", value: "always kept" }];
      if (found.forced === 0) return [...rows, { name: "Blacklist", value: "never kept" }];
      return [...rows, ...this.valueRows(found), ...this.thresholdRows()];
    }

    valueRows({ mean, low, high }) {
      const range = low === null ? [] : [{ name: "95 % range of z", value: `${number(low)} to ${number(high)}` }];
      return [{ name: this.config.quantity || "Mean", value: number(mean) }, ...range];
    }
  };
}

/* One feature per bin from the lists that the server sends. Quantities without a band (contact, prior) have no low. */
export function asFeatures(chr, answer) {
  return answer.mean.map((mean, i) => ({
    chr,
    ...binSpan(answer, i),
    value: mean,
    mean,
    low: answer.low ? answer.low[i] : null,
    high: answer.high ? answer.high[i] : null,
    forced: answer.forced ? answer.forced[i] : -1, // 1: promoter, 0: blacklist, -1: decided by the model
  }));
}

const faint = (colour) => colour.replace("rgb(", "rgba(").replace(")", ", 0.25)");

/* Groups of neighbouring features with the same key, in order. */
export function runsOf(features, keyOf) {
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

/* Corners of a line: steps where a bin is wider than two pixels, so that each base can be read, else one point per bin. */
export function corners(features, x, y, bpPerPixel) {
  const wide = features.length > 0 && (features[0].end - features[0].start) / bpPerPixel > 2;
  const points = [];
  for (const f of features) {
    if (wide) points.push([x(f.start), y(f)], [x(f.end), y(f)]);
    else points.push([(x(f.start) + x(f.end)) / 2, y(f)]);
  }
  return points;
}
