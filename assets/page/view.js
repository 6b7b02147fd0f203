/* Draws what is asked for: a run, a gene of it, a threshold, a second run. */

import * as browser from "seq2exp/page/browser";
import { igvLocus } from "seq2exp/page/contigs";
import { setProps } from "seq2exp/page/dash";
import { byId } from "seq2exp/page/dom";
import { emit, on } from "seq2exp/page/events";
import { notify } from "seq2exp/page/notification";
import { enqueue } from "seq2exp/page/queue";
import { ask, findRegion } from "seq2exp/page/server";
import { state } from "seq2exp/page/state";
import { isOn, listTracks } from "seq2exp/page/track_menu";
import * as url from "seq2exp/page/url";

let latest = null; // what was asked for last

/* Draw `wanted` {run, gene, unscored, threshold, secondRun}, one at a time; of those that wait only the last is drawn.
 * `asked`: what the page's first address said. `revision`: what the server last said of the run. */
export function requestView(wanted, asked, revision) {
  latest = wanted;
  return enqueue(() => (latest === wanted ? draw(wanted, asked, revision) : undefined));
}

/* Draw the tracks although the gene that the page waits for has no place, once no more will be known of it. */
export function drawWaiting(revision) {
  if (latest && latest.waits && !browser.igvBrowser() && isSettled(revision)) requestView({ ...latest }, null, revision);
}

/* Whether the annotation is read, or something could not be read. */
const isSettled = (revision) => !revision || revision.annotated || (revision.notes || []).length > 0;

async function draw(wanted, asked, revision) {
  const place = asked && asked.run === wanted.run && asked.locus;
  if (wanted.waits && !place && !browser.igvBrowser() && !isSettled(revision)) {
    byId("igv").dataset.waits = `${wanted.waits} is looked up in the annotation …`; // another place would be read in vain
    return;
  }
  delete byId("igv").dataset.waits;
  const newRun = !browser.igvBrowser() || wanted.run !== state.run;
  const newGene = newRun || wanted.gene !== state.gene || wanted.unscored !== state.unscored;
  const rule = revision ? revision.threshold : null;
  if (newGene || (wanted.secondRun || "") !== (state.secondRun || "")) {
    const view = await ask(`${wanted.run}/view`, { ...query(wanted), threshold: wanted.threshold });
    if (!view.locus) return;
    const link = state.view === null && asked && asked.run === wanted.run && asked.locus;
    const next = state.next && state.next.gene === wanted.gene ? state.next.locus : wanted.unscored;
    Object.assign(state, wanted, { view, rule, next: null });
    const first = link ? await findRegion(link, { fromAddress: true }).catch((problem) => void notify(problem.message)) : null;
    if (!link) notify(""); // not later: a track may say why it is not shown
    if (newRun) await browser.createBrowser(view, first || next || view.locus, view.tracks.filter(isOn));
    else await showGene(view, newGene ? next || view.locus : null);
    listTracks();
  } else if (wanted.threshold !== state.threshold) await changeThreshold(wanted.threshold);
  state.rule = rule;
  showThreshold(wanted.threshold);
  url.write();
  document.body.dataset.drawn = `${state.run}|${state.gene}|${state.threshold}`; // what tests wait for
  emit("drawn");
}

async function changeThreshold(threshold) {
  state.threshold = threshold;
  const mask = browser.trackOf("mask");
  if (mask) mask.setThreshold(threshold);
  for (const track of ["elements", "certainty"].map(browser.trackOf).filter(Boolean)) {
    track.setThreshold(threshold);
    await browser.refresh(track);
  }
}

async function showGene(view, region) {
  const changed = [];
  removeOldTracks(view);
  for (const row of view.tracks) {
    const track = browser.trackOf(row.id);
    if (track && track.show) {
      track.show(row.config);
      track.clearCachedFeatures();
      changed.push(track);
    }
  }
  await addNewTracks(view);
  if (region) await browser.igvBrowser().search(igvLocus(region));
  await Promise.all(changed.map((track) => track.trackView.updateViews()));
}

/* Remove tracks that this gene or run does not have; they come back with the next one that has them. */
function removeOldTracks(view) {
  const there = new Set(view.tracks.map((row) => row.id));
  for (const id of [...state.known].filter((one) => !there.has(one))) {
    state.known.delete(id);
    state.shown.delete(id);
    browser.removeTrack(id);
  }
}

/* Add tracks that were not there before: the first mask of a growing run, peaks, a second run's mask. */
async function addNewTracks(view) {
  const fresh = view.tracks.filter((row) => !state.known.has(row.id));
  for (const row of fresh) state.known.add(row.id);
  const wanted = fresh.filter(isOn);
  for (const row of wanted) state.shown.add(row.id);
  await browser.loadTracks(wanted);
}

on("left-out", listTracks);

/* Ask for the view again after the run has grown or was assembled; the region stays. */
export async function reload() {
  if (!state.run || !browser.igvBrowser()) return;
  const view = await ask(`${state.run}/view`, query(state));
  state.view = view;
  await addNewTracks(view);
  await browser.refresh(browser.trackOf("elements"));
  listTracks();
}

const query = ({ gene, secondRun }) => ({ gene, beside: secondRun });

/* Go to a region of a gene: at once where it is on the screen, else with its tracks. */
export function visit(gene, region) {
  if (gene === state.gene) return browser.go(region);
  state.next = { gene, locus: region };
  return setProps("gene", { data: { run: state.run, gene } });
}

/* The threshold where the slider stands, which Dash and the tracks learn a little later. */
export function thresholdNow() {
  const slider = document.querySelector("#threshold [role=slider]");
  const value = slider ? Number(slider.getAttribute("aria-valuenow")) : NaN;
  return Number.isNaN(value) ? state.threshold : value;
}

/* Write the threshold next to the slider. */
export function showThreshold(value) {
  const shown = byId("threshold-value");
  if (shown && value !== null && value !== undefined) shown.textContent = Number(value).toFixed(3);
}
