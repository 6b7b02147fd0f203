/* The track types that igv.js learns from the page and from a notebook's frame. */

import { bandTrack } from "seq2exp/tracks/band";
import { regionTrack } from "seq2exp/tracks/base";
import { certaintyTrack } from "seq2exp/tracks/certainty";
import { elementsTrack } from "seq2exp/tracks/elements";

/* Register all track types with a loaded igv.js. */
export function registerTrackTypes(igv) {
  const RegionTrack = regionTrack(igv);
  for (const makeClass of [bandTrack, elementsTrack, certaintyTrack]) {
    const trackClass = makeClass(igv, RegionTrack);
    igv.registerTrackClass(trackClass.type, trackClass);
  }
}
