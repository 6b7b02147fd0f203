/* The track type "effect": the effect of every place on the gene, above zero where it raises expression, below where it
 * lowers it, and twice its standard deviation over the members on either side.
 *
 * The server averages over as many bins as there are pixels and says which directions can be told. Fields of `config`
 * besides those of the base: `colors` (direction -> colour), `words` (direction -> text), `per` (bp that the drawn effects
 * are of).
 */

import { INK as SHARED_INK } from "seq2exp/tracks/base";
import { asFeatures, corners, runsOf } from "seq2exp/tracks/band";

const INK = { ...SHARED_INK, band: "rgba(95, 95, 130, 0.30)", line: "rgb(60, 66, 76)", zero: "rgb(96, 104, 116)" };
const FAINT = 0.3; // opacity where no direction can be told

export function effectTrack(igv, BandTrack) {
  const graphics = igv.IGVGraphics;

  return class EffectTrack extends BandTrack {
    static type = "effect";
    static defaults = { height: 92, autoscale: true, color: INK.line };

    init(config) {
      super.init(config);
      this.autoscale = true; // a wide bin averages what a narrow one shows
      this.dataRange = { min: -1, max: 1 };
    }

    featuresOf(chr, answer) {
      return asFeatures(chr, answer).map((f, i) => ({ ...f, direction: answer.direction[i] }));
    }

    doAutoscale(features) {
      const seen = (features || []).filter(isDrawn);
      const lowest = Math.min(0, ...seen.map((f) => f.low ?? f.mean));
      const highest = Math.max(0, ...seen.map((f) => f.high ?? f.mean));
      return lowest < highest ? { min: lowest, max: highest } : { min: -1, max: 1 };
    }

    levels() {
      const { min, max } = this.dataRange;
      const near = (level) => Math.abs(this.pixelOf(level, this.height) - this.pixelOf(0, this.height)) < 12;
      return [0, ...[min, max].filter((level) => !near(level))];
    }

    drawBand(context, x, y, bpPerPixel, features) {
      const { colors } = this.config;
      for (const f of (features || []).filter(isDrawn)) {
        const [left, right] = [Math.round(x(f.start)), Math.round(x(f.end))]; // whole pixels: no seams
        const [top, bottom] = [y(Math.max(0, f.mean)), y(Math.min(0, f.mean))];
        const direction = f.direction || (f.mean < 0 ? "lowers" : "raises"); // of one member: by its sign
        context.globalAlpha = f.direction === "cannot be told" ? FAINT : 1;
        context.fillStyle = colors[direction];
        context.fillRect(left, top, Math.max(1, right - left), bottom - top);
      }
      context.globalAlpha = 1;
      for (const piece of runsOf(features, (f) => isDrawn(f) && f.low !== null)) {
        if (!piece.key) continue;
        const outline = [
          ...corners(piece.features, x, (f) => y(f.high), bpPerPixel),
          ...corners(piece.features, x, (f) => y(f.low), bpPerPixel).reverse(),
        ];
        context.beginPath();
        outline.forEach(([px, py], i) => (i ? context.lineTo(px, py) : context.moveTo(px, py)));
        context.closePath();
        context.fillStyle = INK.band;
        context.fill();
      }
    }

    /* The zero line, over the region that has effects. */
    drawThreshold(context, x, y, pixelWidth) {
      const [from, to] = [Math.max(0, x(this.region.start)), Math.min(pixelWidth, x(this.region.end))];
      if (to > from) graphics.strokeLine(context, from, y(0), to, y(0), { strokeStyle: INK.zero, lineWidth: 1 });
    }

    valueRows(found) {
      const length = found.end - found.start;
      const { per, words } = this.config;
      const sd = found.low === null ? null : (found.high - found.low) / 4;
      return [
        { name: `Effect of these ${length} bp`, value: withError((found.mean * length) / per, sd === null ? null : (sd * length) / per) },
        { name: `For each ${per} bp`, value: withError(found.mean, sd) },
        { name: "Direction", value: words[found.direction] || "a single member: its error is not known" },
      ];
    }

    getState() {
      const { colors, words, per } = this.config;
      return { ...super.getState(), colors, words, per };
    }
  };
}

/* Whether the model gives an effect there, and none of a promoter, of the blacklist or of what lies off the chromosome. */
const isDrawn = (f) => f.mean !== null && f.forced === -1;

/* "+0.0123 ± 0.0042", three digits each. */
function withError(value, sd) {
  const size = (number) => (number === 0 ? "0" : Math.abs(number).toPrecision(3));
  const text = `${value < 0 ? "−" : value > 0 ? "+" : ""}${size(value)}`;
  return sd === null ? text : `${text} ± ${size(sd)}`;
}
