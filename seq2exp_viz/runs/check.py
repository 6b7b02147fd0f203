"""What `serve --check` says of each run: what would be on the screen, and what could not be found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from model_core.errors import InputError
from model_core.run_folder.audit_log import FILE, of_genes, read_decisions
from seq2exp_viz.runs import mask_components, style
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.worker.availability import unavailable_reason

ANNOTATION_SECONDS = 600  # a whole genome's GTF takes half a minute


def check_runs(runs: Sequence[str | Path], say: Callable[[str], None]) -> bool:
    """Open every run, say what would be served, and return whether all could be opened.

    Nothing is listened to, and nothing is written but gene models into the cache, as a server would. What is merely
    missing (signals on another machine) is told, and is no failure: the page tells it, too.
    """
    good = True
    for path in runs:
        try:
            registry = RunRegistry([path])
            view = registry.first
            lines = inventory(view)
            registry.close()
        except InputError as problem:
            say(f"error: {problem}")
            good = False
            continue
        say(f"{path}: would be served as {view.key}")
        for line in lines:
            say(f"  {line}")
    return good


def inventory(view: RunView) -> list[str]:
    """The lines that describe one run.

    Raises
    ------
    InputError
        A mask that the run names cannot be read, or decisions that belong to another run.
    """
    manifest, genes = view.manifest, view.genes
    asked = manifest["progress"].get("asked")
    lines = [
        f"{manifest['variant']} model, window {style.length_words(manifest['window'])}"
        + (", all data simulated" if manifest["simulated"] else ""),
        f"{len(genes):,} genes scored" + (f" of {asked:,}" if asked and asked > len(genes) else ""),
    ]
    for gene in {0, len(genes) - 1} if len(genes) else ():
        view.mask(str(genes.iloc[gene]["gene_id"])).mean  # noqa: B018  the first and the last mask can be read
    signals = ", ".join(track.name for track in view.signals) or "none"
    peaks = f"{len(view.peaks):,} {style.peak_name(view)} peaks" if view.peaks is not None else "no peaks"
    lines += [f"signals: {signals}", peaks, f"genome: {'there' if view.genome is not None else 'drawn as N'}"]
    why_not = mask_components.why_not(view)
    lines += [f"what sequence and signals say: {'can be told' if why_not is None else why_not}"]
    decisions = read_decisions(view.run.path)
    if len(decisions):
        known, unknown = of_genes(decisions, view.run.finder)
        if known.empty:
            found, expected = f"{unknown:,} decisions, none on a gene of this run", "those of this run"
            raise InputError(
                view.run.path / FILE, found=found, expected=expected, fix="put the file back to its own run"
            )
        missed = f", {unknown:,} of them on genes that this run does not have" if unknown else ""
        lines += [f"{len(decisions):,} audit decisions{missed}"]
    off = unavailable_reason(view.run)
    lines += [f"what-if: {off or 'can be asked'}"]
    if view.models is not None and not view.models.wait(ANNOTATION_SECONDS) and view.models.problem is None:
        view.note(f"The annotation is still being read after {ANNOTATION_SECONDS} s: genes are drawn once it is.")
    return lines + [f"note: {note}" for note in view.notes]
