"""`serve --check`: what the page would show of each run, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from model_core.errors import InputError
from model_core.input_file import is_regular
from model_core.run_folder.audit_log import FILE, of_genes
from model_core.run_folder.calibration import calibration_words
from seq2exp_viz.runs import mask_components, style
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.worker.availability import unavailable_reason

ANNOTATION_SECONDS = 600  # a whole genome's GTF takes half a minute


def check_runs(runs: Sequence[str | Path], notify: Callable[[str], None]) -> bool:
    """Open every run, describe what would be served, and return whether all could be opened.

    No port is opened, and nothing is written except gene models into the cache, as a server would. Missing inputs
    (signals on another machine) are reported as on the page, and are not a failure.
    """
    good = True
    for path in runs:
        try:
            registry = RunRegistry([path])
            view = registry.first
            lines = describe(view)
            registry.close()
        except InputError as problem:
            notify(f"error: {problem}")
            good = False
            continue
        notify(f"{path}: would be served as {view.key}")
        for line in lines:
            notify(f"  {line}")
    return good


def describe(view: RunView) -> list[str]:
    """Return the lines that describe one run.

    Raises
    ------
    InputError
        A mask of the run cannot be read, or the audit decisions belong to another run.
    """
    manifest, genes = view.run.manifest, view.run.genes
    asked = manifest["progress"].get("asked")
    lines = [
        f"{manifest['variant']} model, window {style.length_words(manifest['window'])}"
        + (", all data simulated" if manifest["simulated"] else ""),
        f"{len(genes):,} genes scored" + (f" of {asked:,}" if asked and asked > len(genes) else ""),
    ]
    for gene in {0, len(genes) - 1} if len(genes) else ():
        view.run.mask(str(genes.iloc[gene]["gene_id"]))  # raises where the first or the last mask cannot be read
    signals = ", ".join(track.name for track in view.signals) or "none"
    peaks = f"{len(view.peaks):,} {style.peak_name(view)} peaks" if view.peaks is not None else "no peaks"
    genome = "available" if view.genome is not None else "not available, bases are shown as N"
    lines += [f"signals: {signals}", peaks, f"genome: {genome}"]
    why_not = mask_components.unavailable_reason(view)
    lines += [f"components of the mask: {'available' if why_not is None else why_not}"]
    decisions = view.decisions
    if len(decisions):
        known, unknown = of_genes(decisions, view.run.finder)
        if known.empty:
            found, expected = f"{unknown:,} decisions, none about a gene of this run", "decisions about its genes"
            raise InputError(
                view.run.path / FILE, found=found, expected=expected, fix="move the file back to its own run"
            )
        missed = f", {unknown:,} of them about genes that this run does not have" if unknown else ""
        lines += [f"{len(decisions):,} audit decisions{missed}"]
    lines += [f"chance of elements: {calibration_words(view.calibration)}{_truth_words(view)}"]
    off = unavailable_reason(view.run)
    lines += [f"what-if: {off or 'available'}"]
    view.wait_for_models(ANNOTATION_SECONDS)
    return lines + [f"note: {note}" for note in view.notes]


def _truth_words(view: RunView) -> str:
    """Return what to do where the planted elements have changed since the run was calibrated; "" otherwise."""
    truth = None if view.study is None or view.study.truth is None else view.study.truth.causal
    if view.calibration is None or not isinstance(truth, Path) or not is_regular(truth):
        return ""
    return "" if view.calibration.is_of(truth) else f"; {truth} has changed since: run `seq2exp-viz calibrate` again"
