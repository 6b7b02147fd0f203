/* The track type "elements": the elements of a gene as blocks, each tied to the gene's start site by an arc.
 *
 * The server calls the elements; this track asks for them at the current threshold and draws them, with what the what-if
 * has switched off or on.
 */

import { INK as SHARED_INK, known, positionText } from "seq2exp/tracks/base";

const ROOM = 30; // pixels at the bottom for the blocks, and for the names that do not fit into them
const BLOCK = 11;
const TOP = 3; // pixels between the feet of the arcs and the blocks
const INK = { ...SHARED_INK, text: "rgb(60, 66, 76)", line: "rgb(205, 210, 217)", off: "rgb(140, 40, 40)", on: "rgb(0, 120, 80)" };

export function elementsTrack(igv, RegionTrack) {
  const graphics = igv.IGVGraphics;

  return class ElementsTrack extends RegionTrack {
    static type = "elements";
    static defaults = { height: 78 };

    init(config) {
      super.init(config);
      this.answer = null; // promise of the server's last answer
      this.asked = null; // threshold and address that it answers
      this.edits = { off: [], on: [] }; // regions of the what-if
      this.effects = new Map(); // "start-end" of an element -> its knock-out {effect, element_gene_score}, where known
    }

    /* Paint blocks and arcs by the what-if's edits and by effects. */
    setWhatIf(edits, effects) {
      this.edits = { off: [...edits.off], on: [...edits.on] };
      this.effects = effects;
      this.repaintViews();
    }

    /* The elements at a position, with some pixels of slack. */
    featuresAt(base) {
      const view = this.trackView && this.trackView.viewports[0];
      const slack = 3 * (view && view.referenceFrame ? view.referenceFrame.bpPerPixel : 1);
      return this.cachedFeatures(view).filter((f) => f.start - slack <= base && base < f.end + slack);
    }

    clearCachedFeatures() {
      this.asked = null; // what the server knows may have changed, such as peaks
      super.clearCachedFeatures();
    }

    /* The server's answer for this threshold, asked once. */
    async load() {
      const asked = `${this.url} ${this.threshold}`;
      if (this.asked !== asked || !this.answer) {
        this.asked = asked;
        this.answer = this.fetchJson(known(this.threshold) ? { threshold: this.threshold } : {});
        this.answer.catch(() => (this.asked = null));
      }
      return this.answer;
    }

    async getFeatures(chr) {
      if (!this.region || chr !== this.region.chrom) return [];
      const answer = this.config.data || (await this.load());
      this.tss = answer.tss;
      return answer.elements.slice().sort((a, b) => a.start - b.start);
    }

    draw({ context, bpStart, bpPerPixel, pixelWidth, pixelHeight, features, referenceFrame }) {
      const x = (base) => (base - bpStart) / bpPerPixel;
      graphics.fillRect(context, 0, 0, pixelWidth, pixelHeight, { fillStyle: INK.white });
      if (!features || this.isElsewhere(referenceFrame)) return;
      const ground = pixelHeight - ROOM;
      const top = ground + TOP;
      const [from, to] = [Math.max(0, x(this.region.start)), Math.min(pixelWidth, x(this.region.end))];
      if (to > from) graphics.strokeLine(context, from, top + BLOCK / 2, to, top + BLOCK / 2, { strokeStyle: INK.line });
      this.drawArcs(context, x, ground, features);
      const outside = this.drawBlocks(context, x, top, pixelWidth, features);
      this.drawBelow(context, outside, top + BLOCK + 11);
      this.drawEdits(context, x, top, pixelWidth, features);
    }

    /* An arc from each element that is not switched off to the start site. */
    drawArcs(context, x, ground, features) {
      const tss = x(this.tss);
      const longest = Math.max(1, ...features.map((f) => Math.abs(middle(f) - this.tss)));
      const weight = weights(features, this.effects);
      for (const f of features) {
        if (f.class === "promoter" || isOff(this.edits, f)) continue;
        arc(context, x(middle(f)), tss, ground, (ground - 4) * reach(f, this.tss, longest), weight(f));
      }
    }

    /* The blocks; return the names that do not fit into theirs. */
    drawBlocks(context, x, top, pixelWidth, features) {
      const outside = [];
      for (const f of features) {
        const left = x(f.start);
        const width = Math.max(2, x(f.end) - left);
        const off = f.class !== "promoter" && isOff(this.edits, f);
        if (off) hatch(context, left, top, width, f.color);
        else graphics.fillRect(context, left, top, width, BLOCK, { fillStyle: f.color });
        const label = f.class === "promoter" ? "" : f.name;
        if (label && !off && width > 6.5 * label.length + 6) {
          const style = { fillStyle: INK.white, font: "10px sans-serif", textAlign: "center" };
          graphics.fillText(context, label, left + width / 2, top + BLOCK - 2, style);
        } else if (label && left + width > 0 && left < pixelWidth) {
          outside.push({ label, at: left + width / 2, mean: f.mean });
        }
      }
      return outside;
    }

    /* Names below the blocks, those of elements with a higher mask first, where there is room. */
    drawBelow(context, labels, y) {
      const taken = [];
      for (const { label, at } of labels.sort((a, b) => b.mean - a.mean)) {
        const half = 3.1 * label.length + 3;
        if (taken.some(([left, right]) => at - half < right && at + half > left)) continue;
        taken.push([at - half, at + half]);
        graphics.fillText(context, label, at, y, { fillStyle: INK.text, font: "10px sans-serif", textAlign: "center" });
      }
    }

    /* Regions that the user drew: removed ones hatched, kept ones outlined. */
    drawEdits(context, x, top, pixelWidth, features) {
      const elements = new Set(features.map(regionName));
      for (const [kind, colour] of [["off", INK.off], ["on", INK.on]]) {
        for (const one of this.edits[kind].filter((r) => !elements.has(regionName(r)))) {
          const left = Math.max(-2, x(one.start));
          const width = Math.max(2, Math.min(pixelWidth + 2, x(one.end)) - left);
          if (width <= 0 || left > pixelWidth) continue;
          if (kind === "off") hatch(context, left, top - 2, width, colour, BLOCK + 4);
          else outline(context, left, top - 2, width, BLOCK + 4, colour, 2);
        }
      }
    }

    popupData(click) {
      const found = this.featuresAt(click.genomicLocation);
      return found.flatMap((f, i) => [...(i ? ["<hr>"] : []), ...popupRows(f, this.effects.get(regionName(f)))]);
    }
  };
}

/* The name under which the page keeps what belongs to a region. */
export const regionName = ({ start, end }) => `${start}-${end}`;

/* Whether the what-if's edits switch a region off. */
export function isOff(edits, one) {
  const within = (regions) => regions.some((r) => r.start <= one.start && one.end <= r.end);
  return within(edits.off) && !within(edits.on);
}

const middle = (f) => (f.start + f.end) / 2;
/* Height of an arc, 0.25 to 1: by the square root of the distance, so that arcs of near elements stay apart. */
const reach = (f, tss, longest) => 0.25 + 0.75 * Math.sqrt(Math.abs(middle(f) - tss) / longest);

/* How arcs are drawn: thicker and darker by the element-gene score, where no contact is known by the effect, and where no
 * effect is known by the mean mask. Dashed: the element lowers expression. */
function weights(features, effects) {
  const knockOut = (f) => effects.get(regionName(f)) || {};
  const effectOf = (f) => f.effect ?? knockOut(f).effect;
  const scoreOf = (f) => f.element_gene_score ?? knockOut(f).element_gene_score;
  const sizeOf = features.some((f) => known(scoreOf(f))) ? scoreOf : (f) => effectOf(f) && Math.abs(effectOf(f));
  const largest = Math.max(0, ...features.map((f) => sizeOf(f) || 0));
  return (f) => {
    const colour = f.arc || f.color;
    if (largest === 0) return { width: 0.4 + 1.4 * Math.max(0, Math.min(1, f.mean)), opacity: 1, lowers: false, colour };
    const share = (sizeOf(f) || 0) / largest;
    return { width: 0.5 + 3 * share, opacity: 0.45 + 0.55 * share, lowers: effectOf(f) < 0, colour };
  };
}

/* A block of slanting lines: switched off. */
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

function arc(context, from, to, ground, height, { width, opacity, lowers, colour }) {
  context.beginPath();
  context.moveTo(from, ground);
  context.bezierCurveTo(from, ground - 1.3 * height, to, ground - 1.3 * height, to, ground);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.globalAlpha = opacity;
  if (context.setLineDash) context.setLineDash(lowers ? [4, 3] : []);
  context.stroke();
  if (context.setLineDash) context.setLineDash([]);
  context.globalAlpha = 1;
}

function popupRows(f, knockOut) {
  const side = f.distance < 0 ? "upstream" : "downstream";
  return [
    { name: f.name, value: f.words },
    { name: "Position", value: positionText(f.chr, f) },
    { name: "Length", value: `${(f.end - f.start).toLocaleString("en")} bp` },
    { name: "Mean mask", value: f.mean.toFixed(3) },
    ...(known(f.beta_sd) ? [{ name: "Beta sd", value: f.beta_sd.toFixed(3) }] : []),
    { name: "From the start site", value: `${Math.abs(f.distance).toLocaleString("en")} bp ${side}` },
    ...effectRows(f, knockOut),
    ...(f.peak && f.peak !== "." ? [{ name: "Peak", value: f.peak }] : []),
  ];
}

/* What the server says of the effect; else what a knock-out has just shown. */
function effectRows({ facts = [] }, knockOut) {
  const rows = facts.map(([name, value]) => ({ name, value }));
  if (!knockOut || rows.some((row) => row.name === "Effect")) return rows;
  const { effect } = knockOut;
  return [{ name: "Effect", value: `${effect < 0 ? "−" : "+"}${Math.abs(effect).toPrecision(3)}` }, ...rows];
}
