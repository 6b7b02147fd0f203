/* The track types that igv.js learns from the page and from a notebook's frame. */

import { bandTrack } from "seq2exp/tracks/band";
import { regionTrack } from "seq2exp/tracks/base";
import { certaintyTrack } from "seq2exp/tracks/certainty";
import { effectTrack } from "seq2exp/tracks/effect";
import { elementsTrack } from "seq2exp/tracks/elements";

/* Register all track types with a loaded igv.js. */
export function registerTrackTypes(igv) {
  const RegionTrack = regionTrack(igv);
  const BandTrack = bandTrack(igv, RegionTrack);
  const own = [BandTrack, effectTrack(igv, BandTrack), elementsTrack(igv, RegionTrack), certaintyTrack(igv, RegionTrack)];
  for (const trackClass of own) igv.registerTrackClass(trackClass.type, trackClass);
}
