/* The base of the page's track classes for igv.js: a region that was scored, a threshold, data, a popup, a saved state.
 *
 * igv.js calls registered track classes by a contract that it does not document (init, getFeatures, draw, paintAxis,
 * popupData, getState); 3.1.4 and 3.8.10 agree on it. This is why igv.js is pinned and why a browser test holds it.
 * Its own base class is known only once igv.js is loaded, hence a function that makes the class.
 */

export const INK = {
  white: "rgb(255, 255, 255)",
  outside: "rgb(247, 248, 250)", // bases outside the region that was scored
  text: "rgb(96, 104, 116)",
};

export const known = (value) => value !== null && value !== undefined;

/* "chr1:1,001-2,000" of a feature, 1-based, as the popup shows it. */
export const positionText = (chrom, { start, end }) => `${chrom}:${(start + 1).toLocaleString("en")}-${end.toLocaleString("en")}`;

/* The base class.
 *
 * Fields of `config` besides those of igv.js: `type`, `url` (where the data are asked for), `data` (the same data
 * brought along, as in a notebook), `region` ({chrom, start, end, name}: chrom as igv.js names it, 0-based half-open; name
 * as the genome names it), `threshold` (0 to 1, or none). Subclasses define `static type`, `static defaults`,
 * `getFeatures`, `draw` and `popupData`.
 */
export function regionTrack(igv) {
  return class RegionTrack extends igv.TrackBase {
    init(config) {
      super.init(config);
      this.type = this.constructor.type;
      this.region = config.region;
      this.threshold = config.threshold;
    }

    /* Show another gene's data in place; the track keeps its row and its height. */
    show({ url, region, name, threshold }) {
      Object.assign(this, { url, region, threshold });
      Object.assign(this.config, { url, region, threshold, name });
      this.name = name;
    }

    setThreshold(threshold) {
      this.threshold = threshold;
      this.config.threshold = threshold;
    }

    /* The part of [start, end) on `chr` that lies inside the region, as whole bases; null where there is none. */
    inRegion(chr, start, end) {
      const region = this.region;
      if (!region || chr !== region.chrom || end <= region.start || start >= region.end) return null;
      return { start: Math.max(Math.floor(start), region.start), end: Math.min(Math.ceil(end), region.end) };
    }

    /* Whether the reference frame shows another chromosome than the region's. */
    isElsewhere(referenceFrame) {
      return !this.region || Boolean(referenceFrame && referenceFrame.chr !== this.region.chrom);
    }

    /* Fetch JSON from the track's address; throw the server's message where it refuses. */
    async fetchJson(query) {
      const separator = this.url.includes("?") ? "&" : "?";
      const text = new URLSearchParams(query).toString();
      const answer = await fetch(text ? `${this.url}${separator}${text}` : this.url, { credentials: "same-origin" });
      if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
      return answer.json();
    }

    /* The features that igv.js holds for what is on the screen. */
    cachedFeatures(viewport = this.trackView && this.trackView.viewports[0]) {
      const cache = viewport && viewport.featureCache;
      return (cache && cache.features) || [];
    }

    /* The feature that lies under a click, undefined where there is none. */
    featureUnder({ genomicLocation, viewport }) {
      return this.cachedFeatures(viewport).find((f) => f.start <= genomicLocation && genomicLocation < f.end);
    }

    /* The popup's row for a feature's position, in the genome's own spelling. */
    positionRow(feature) {
      return { name: "Position", value: positionText(this.region.name || feature.chr, feature) };
    }

    thresholdRows() {
      return known(this.threshold) ? [{ name: "Threshold", value: Number(this.threshold).toFixed(3) }] : [];
    }

    menuItemList() {
      return [];
    }

    getState() {
      const { type, url, region, threshold } = this;
      return { ...super.getState(), type, url, region, threshold };
    }
  };
}

/* The edges of bin number `i` in an answer of the server, whose last bin may be shorter. */
export const binSpan = ({ start, end, bin }, i) => ({ start: start + i * bin, end: Math.min(start + (i + 1) * bin, end) });
