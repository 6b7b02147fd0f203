/* The track type "certainty": where the z of each base lies relative to the threshold.
 *
 * Each column is one bin. It is filled from below with the share of its bases whose central 95 % of z lies above the
 * threshold, then with the share whose 95 % spans it, then with the share below. The server counts.
 */

import { binSpan, INK, known } from "seq2exp/tracks/base";

const PAD = 4; // pixels free above and below the columns
const percent = (share) => `${Math.round(100 * share)} %`;
const undecided = ({ kept, hidden }) => Math.max(0, 1 - kept - hidden);

export function certaintyTrack(igv, RegionTrack) {
  const graphics = igv.IGVGraphics;

  return class CertaintyTrack extends RegionTrack {
    static type = "certainty";
    static defaults = { height: 56 };

    init(config) {
      super.init(config);
      this.resolutionAware = true; // igv.js asks again when the zoom changes
      this.colors = config.colors;
    }

    async getFeatures(chr, start, end, bpPerPixel) {
      const part = this.inRegion(chr, start, end);
      if (!part) return [];
      const query = { ...part, bins: Math.max(1, Math.round((part.end - part.start) / bpPerPixel)) };
      if (known(this.threshold)) query.threshold = this.threshold;
      const answer = await this.fetchJson(query);
      return answer.kept.map((kept, i) => ({ chr, ...binSpan(answer, i), kept, hidden: answer.hidden[i] }));
    }

    draw({ context, bpStart, bpPerPixel, pixelWidth, pixelHeight, features, referenceFrame }) {
      const x = (base) => (base - bpStart) / bpPerPixel;
      graphics.fillRect(context, 0, 0, pixelWidth, pixelHeight, { fillStyle: INK.white });
      if (this.isElsewhere(referenceFrame)) return;
      const tall = pixelHeight - 2 * PAD;
      for (const f of features || []) {
        if (f.kept === null) continue; // forced bases: there was nothing to decide
        const left = x(f.start);
        const width = Math.max(1, x(f.end) - left) + 0.4; // no seams between neighbours
        let ground = pixelHeight - PAD;
        for (const [share, kind] of [[f.kept, "kept"], [undecided(f), "undecided"], [f.hidden, "hidden"]]) {
          if (share <= 0) continue;
          graphics.fillRect(context, left, ground - share * tall, width, share * tall, { fillStyle: this.colors[kind] });
          ground -= share * tall;
        }
      }
      for (const [from, to] of [[0, x(this.region.start)], [x(this.region.end), pixelWidth]]) {
        if (to > from) graphics.fillRect(context, from, 0, to - from, pixelHeight, { fillStyle: INK.outside });
      }
    }

    popupData(click) {
      const found = this.featureUnder(click);
      if (!found || found.kept === null) return [];
      return [
        this.positionRow(found),
        { name: "95 % of z above the threshold", value: percent(found.kept) },
        { name: "z on both sides", value: percent(undecided(found)) },
        { name: "95 % of z below", value: percent(found.hidden) },
        { name: "Counted", value: "shares of the bases; z under the Beta of the model" },
        ...this.thresholdRows(),
      ];
    }

    getState() {
      return { ...super.getState(), colors: this.colors };
    }
  };
}
