/* The menu of tracks: which are shown. What the user switched counts before what a track is at first. */

import { loadTracks, removeTrack, reveal } from "seq2exp/page/browser";
import { byId, el } from "seq2exp/page/dom";
import { enqueue } from "seq2exp/page/queue";
import { state } from "seq2exp/page/state";
import * as url from "seq2exp/page/url";

/* Whether a row of the view's tracks is to be shown. */
export const isOn = (row) => (row.id in state.switched ? state.switched[row.id] : row.on);

/* Draw the list of tracks. */
export function listTracks() {
  markShown();
  const box = byId("track-list");
  if (!box || !state.view) return;
  const children = [];
  let group = null;
  for (const row of state.view.tracks) {
    if (row.group !== group) children.push(el("div", { class: "menu-head" }, row.group));
    group = row.group;
    const tick = el("input", { type: "checkbox", "data-track": row.id, onchange: () => toggleTrack(row.id, tick.checked) });
    tick.checked = state.shown.has(row.id);
    children.push(el("label", {}, tick, row.label));
  }
  box.replaceChildren(...children);
}

function toggleTrack(id, on) {
  state.switched = { ...state.switched, [id]: on };
  return enqueue(async () => {
    const row = state.view.tracks.find((candidate) => candidate.id === id);
    if (on && !state.shown.has(id)) {
      state.shown.add(id);
      await loadTracks([row]);
      reveal(id);
    } else if (!on && state.shown.has(id)) {
      state.shown.delete(id);
      removeTrack(id);
    }
    markShown();
    url.write();
  });
}

/* The legend explains what is shown. */
function markShown() {
  document.body.dataset.tracks = [...state.shown].join(" ");
}

/* The address holds the tracks that differ from the first choice: tracks=prior,-peaks. */
url.register("tracks", {
  write: () =>
    ((state.view && state.view.tracks) || [])
      .filter((row) => isOn(row) !== row.on)
      .map((row) => (row.on ? `-${row.id}` : row.id))
      .join(","),
  read: (text) => {
    const names = text.split(",").filter((name) => /^-?[\w.:]+[\w.:-]*$/.test(name));
    return (state.switched = Object.fromEntries(names.map((name) => [name.replace(/^-/, ""), !name.startsWith("-")])));
  },
});
