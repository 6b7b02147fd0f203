"""What must be said with every number of a run, in sentences: of its mask, its model, its genes, its inputs.

Command line, page, reports, figures, comment lines of exports, comparisons and the HTTP interface take them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from model_core.intervals import listed
from model_core.negative_control import control_words

if TYPE_CHECKING:
    from model_core.run_folder.run import Run

MASK_NOTES = {
    "soft": "A soft mask, as published, follows its signal prior: it shows where the signals are high. "
    "Do not read it as a discovery.",
    "hard": "A hard mask, as published, gets no gradient from the prediction: it shows its prior, not a discovery.",
}
NO_CONTACT = "no contact is measured in its window, so the readout gives distal elements no weight"
SEEN_BY_CHROMOSOME = "seen in training: this model was fitted to genes of this chromosome"


class Note(NamedTuple):
    """A sentence, and what it is about: "mask", "model", "genes", "expression", "signals" or "study"."""

    about: str
    text: str


def notes_of(run: Run) -> list[Note]:
    """Return what must be said with every number of a run; each sentence only where it is true.

    Parameters
    ----------
    run : Run
        The run; what its study and its checkpoint are is taken from its own folder.

    Raises
    ------
    InputError
        study.json or metrics.json is damaged.
    """
    variant, kind = run.manifest["variant"], run.manifest["kind"]
    control = control_of(run.manifest)
    found = [Note("model", control_words(control))] if control else []
    found += [Note("mask", MASK_NOTES[variant])] if variant in MASK_NOTES else []
    found += _of_cells(run.manifest["checkpoint"] or {}, run.study, kind)
    found += _of_genes(run)
    found += [Note("signals", text) for text in run.metrics.get("signal_notes", {}).values()]
    found += [Note("study", text) for text in run.study.get("limits", ())]
    return found


def control_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the negative control that a run is of, or that its model was trained as; None for a real run."""
    return manifest.get("control") or (manifest["checkpoint"] or {}).get("control")


def gene_note(manifest: Mapping[str, Any], gene: Mapping[str, Any]) -> str | None:
    """Return what must be said with every number of one gene, a row of `Run.genes`; None: nothing."""
    if gene["seen_in_training"] is not True:
        return None
    return f"seen in training ({gene['split']} split)" if manifest["kind"] == "training" else SEEN_BY_CHROMOSOME


def _of_cells(model: Mapping[str, Any], study: Mapping[str, Any], kind: str) -> list[Note]:
    trained, here = model.get("cell_type"), study.get("cell_type")
    if kind == "training" or not trained:
        return []
    if not here:
        return [Note("model", f"The model was trained on {trained}; the study does not state its cell type.")]
    if trained.casefold() == here.casefold():
        return []
    return [Note("model", f"The model was trained on {trained}, applied to {here}.")]


def _of_genes(run: Run) -> list[Note]:
    genes, found = run.genes, list[Note]()
    if not len(genes):
        return found
    if seen := int((genes["seen_in_training"] == True).sum()):  # noqa: E712  a column of True, False and None
        counted = "The gene was" if len(genes) == 1 else f"{seen:,} of {len(genes):,} genes were"
        found.append(Note("genes", f"{counted} seen in training: predictions of such genes do not test the model."))
    if genes["observed"].isna().all():
        words = "No expression is measured for these genes: predictions have no observed value beside them."
        found.append(Note("expression", words))
    without = genes["symbol"][genes["gene_id"].isin(run.without_contact)].tolist()
    if without:
        counted = f"{len(without):,} of {len(genes):,} genes ({listed(without, 5)})"
        words = f"No contact is measured in the window of {counted}: their readout gives distal elements no weight."
        found.append(Note("signals", words))
    return found
