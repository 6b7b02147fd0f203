/* What is on the screen: all state that modules share. Unknown fields cannot be added (the objects are sealed). */

export const state = Object.seal({
  config: null, // of the page, from the server: {base, igv: {url, version, source}, runs, columns}
  asked: {}, // what the address said when the page was opened, by part; null where a part was missing
  tab: null, // name of the open tab, null where none is

  run: null, // key of the run on the screen
  secondRun: null, // key of the run that is compared with it, null or "" for none
  gene: null, // id of the scored gene on the screen, null where there is none
  unscored: null, // in place of a scored gene: where a gene without a mask lies {gene_id, chrom, start, end}
  waits: null, // in place of both: name of a gene whose place is not known yet
  threshold: null, // 0 to 1, at which elements are called
  rule: null, // the threshold of the run's own element rule
  view: null, // the server's last answer to `view`: {locus, tracks, reference, contigs, stem, elementColumns}
  locus: null, // the region on the screen {chrom, start, end}, 0-based half-open, in the genome's spelling
  next: null, // {gene, locus}: the region to go to once that gene is on the screen

  shown: new Set(), // ids of the tracks that are switched on
  known: new Set(), // ids of the tracks that igv.js has or may get for this gene
  switched: {}, // track id -> whether the user wants it; tracks that were never switched are missing

  annotated: null, // whether the annotation is read, so that gene models are drawn; null before the first answer
  mark: null, // changes when the run has grown
  notes: null, // {run, lines}: what the server could not read or do in the background, as far as reported

  geneList: Object.seal({
    wide: false, // whether the list fills the page
    secondRun: undefined, // the run whose prediction has a column, null for none; undefined before the first answer
    measured: true, // whether expression was measured, so that observed values have columns
    seen: false, // whether it is known which genes the model was trained on
  }),
  elementTable: Object.seal({
    scope: "gene", // "gene": the elements of the gene on the screen; "all": of all genes
  }),
  userTracks: Object.seal({
    loaded: [], // tracks that the user brought along: {id, name, aliases, config}
    allowed: [], // files that the server's --allow offers: {id, name, size}
    allowedAsked: false, // whether the server has been asked for them
  }),
  peakAudit: Object.seal({
    run: null, // key of the run whose queue is shown
    gene: null, // id of the gene whose queue is shown, null for all genes
    scope: "all", // "all" genes or this "gene"
    kind: "", // "" for both kinds, "element" (without a peak) or "peak" (not used)
    items: [], // the queue as far as it is read
    at: -1, // index of the item on the screen, -1 before the first
    total: 0, // items in the queue
    decided: 0, // items with a decision
    unknown: 0, // decisions on genes that the run does not have
    counts: {}, // {with_peak, without_peak, used, unused}; empty where the run has no peaks
  }),
  whatif: Object.seal({
    edits: { off: [], on: [] }, // regions {start, end} of the gene that are removed and kept
    belongsTo: null, // "run|gene" that edits and effects belong to
    offer: null, // what the run's model offers {run, off, note, line, unit}; off: why nothing, "" where it answers
    effects: new Map(), // "start-end" of an element -> its row of effects
    answer: null, // the server's last answer to the edits
    waiting: null, // text shown while an answer is awaited
    failure: null, // text shown where the last request failed
    smallest: null, // text on the smallest sufficient set of elements
    job: null, // the job that the panel follows
  }),
});
