/* A view of the page as a file, and back: the parts of its address as JSON. */

import { addActions } from "seq2exp/page/actions";
import { chooseFiles, saveFile } from "seq2exp/page/dom";
import { notify } from "seq2exp/page/notification";
import { state } from "seq2exp/page/state";
import * as url from "seq2exp/page/url";
import { userTracks } from "seq2exp/page/user_tracks";

const HEAD = { "seq2exp-viz": "view", schema: 1 };
const MAX_PART = 4_000; // letters of one part
const MAX_BYTES = 100_000;

function saveView() {
  url.write();
  const address = Object.fromEntries(new URLSearchParams(window.location.search));
  const own = userTracks();
  const view = { ...HEAD, address, ...(own.length ? { own_tracks: own } : {}) };
  saveFile(`${state.view.stem}.view.json`, JSON.stringify(view, null, 1), "application/json");
  if (own.length) notify(`The view was saved without your own tracks (${own.join(", ")}). Add them again after opening it.`);
}

/* The address that a saved view stands for; throw an Error for the user where it is none. */
function addressOf(text) {
  let view;
  try {
    view = JSON.parse(text);
  } catch {
    throw new Error("This file is not a saved view, because it is not JSON. Choose a file that “Save this view” wrote.");
  }
  if (!view || view["seq2exp-viz"] !== "view") throw new Error("This JSON file is not a saved view. Choose a file that “Save this view” wrote.");
  if (view.schema !== HEAD.schema) throw new Error(`This view has schema ${String(view.schema).slice(0, 20)}; this page reads schema ${HEAD.schema}.`);
  const parts = view.address && typeof view.address === "object" && !Array.isArray(view.address) ? Object.entries(view.address) : [];
  const sound = ([name, value]) => /^[a-z-]{1,20}$/.test(name) && typeof value === "string" && value.length <= MAX_PART;
  if (!parts.length || !parts.every(sound)) throw new Error("This saved view is damaged: its address cannot be read.");
  const { run } = Object.fromEntries(parts);
  if (!state.config.runs.includes(run)) throw new Error(`This view shows the run “${String(run).slice(0, 60)}”, which is not served here.`);
  return `${window.location.pathname}?${new URLSearchParams(parts)}`;
}

const openView = () =>
  chooseFiles(".json,application/json", async ([file]) => {
    try {
      if (file.size > MAX_BYTES) throw new Error("This file is too large for a saved view.");
      window.location.assign(addressOf(await file.text()));
    } catch (problem) {
      notify(problem.message);
    }
  });

addActions({ "save-view": saveView, "open-view": openView });
