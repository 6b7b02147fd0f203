"""What a run shows of its study's own files, opened once: genome, raw signals, gene models, settings of the model.

Each of them may be missing on this machine. Then it is None, or not in the list, and a `MissingList` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_core.config import Seq2ExpConfig, read_model_config
from model_core.errors import InputError
from model_core.run_folder.run import Run
from model_core.signals.bam_coverage import held_coverage
from model_core.study.schema import CACHE
from seq2exp_viz.runs.gene_models import GeneModels
from seq2exp_viz.runs.missing import Missing, MissingList

if TYPE_CHECKING:
    from model_core.study.genome import Genome
    from model_core.study.study import Study


@dataclass(frozen=True)
class SignalTrack:
    """A raw signal of the study: `file` is the id of its bigWig, or None for contact read from a Hi-C file."""

    name: str
    id: str
    file: str | None
    transform: str


@dataclass(frozen=True)
class StudyInputs:
    """The opened inputs of a run.

    study, genome: None where they are not on this machine. signals: those whose files are there. models: gene models
    of the annotation, or None. prior_config: the model's settings where all its signals are there, so that the prior
    alone can be computed, or None. files: id -> path of the files of genome and signals that may be downloaded.
    """

    study: Study | None
    genome: Genome | None
    signals: list[SignalTrack]
    models: GeneModels | None
    prior_config: Seq2ExpConfig | None
    files: dict[str, Path]


def open_inputs(run: Run, cache: Path, missing: MissingList) -> StudyInputs:
    """Open what is there of the study that a run was made from.

    Parameters
    ----------
    cache : Path
        Folder for derived files.
    missing : MissingList
        Gets what is not available, and later what fails while gene models are parsed in the background.
    """
    study = _study(run, missing)
    genome = _genome(run, study, missing)
    paths = _signal_paths(study, missing)
    signals = _signals(study, paths)
    models = _models(study, cache, missing)
    prior_config = _prior_config(run, signals, missing)
    files = _genome_files(genome) | {track.file: paths[track.id] for track in signals if track.file is not None}
    return StudyInputs(study, genome, signals, models, prior_config, files)


def _study(run: Run, missing: MissingList) -> Study | None:
    """Return the study as the run resolved it."""
    from model_core.study.study import Study

    if not run.study:
        missing.add(Missing("Raw signals cannot be shown", "The run does not say which study it was made from."))
        return None
    try:
        described = run.manifest["study"] or {}
        return Study.restore(run.study, described.get("path") or run.path / "study.toml")
    except ValueError as problem:
        missing.add(Missing("The study named by the run could not be read", first_line(problem)))
        return None


def _genome(run: Run, study: Study | None, missing: MissingList) -> Genome | None:
    from model_core.study.genome import Genome

    if study is None:
        return None
    try:
        genome = Genome(study.genome_files.fasta)
        run.require_genome(genome.sizes, genome.path)
        return genome
    except (InputError, OSError) as problem:
        missing.add(Missing("Bases are not shown", str(problem)))
        return None


def _genome_files(genome: Genome | None) -> dict[str, Path]:
    if genome is None:
        return {}
    name = "genome.fa.gz" if genome.path.name.endswith((".gz", ".bgz")) else "genome.fa"
    indexes = {f"{name}{suffix}": Path(f"{genome.path}{suffix}") for suffix in (".fai", ".gzi")}
    return {name: genome.path, **{index: path for index, path in indexes.items() if path.is_file()}}


def _signal_paths(study: Study | None, missing: MissingList) -> dict[str, Path]:
    """Return id -> file of each signal that is there; a BAM's coverage is not computed here, only looked up."""
    paths: dict[str, Path] = {}
    if study is None:
        return paths
    for number, spec in enumerate(study.signal_specs):
        path: Path | None = Path(spec.path)
        if spec.is_bam:
            try:
                path = held_coverage(spec.path, study.folder / CACHE, spec.extend, spec.shift or 0)
            except InputError:
                path = None
        if path is not None and path.is_file():
            paths[f"signal-{number}"] = path
            continue
        why = f"the coverage of {spec.path} was not computed." if spec.is_bam else f"{spec.path} is not there."
        missing.add(Missing(f"{spec.name} is not shown", why))
    return paths


def _signals(study: Study | None, paths: dict[str, Path]) -> list[SignalTrack]:
    tracks = []
    for number, spec in enumerate(study.signal_specs if study is not None else []):
        key = f"signal-{number}"
        if key in paths:
            tracks.append(SignalTrack(spec.name, key, None if spec.is_hic else f"{key}.bigWig", spec.transform))
    return tracks


def _models(study: Study | None, cache: Path, missing: MissingList) -> GeneModels | None:
    if study is None:
        return None
    annotation = study.genome_files.annotation
    try:
        return GeneModels(annotation, cache, missing.add)
    except OSError:
        missing.add(Missing("Genes are not drawn", f"{annotation} is not there."))
        return None


def _prior_config(run: Run, signals: list[SignalTrack], missing: MissingList) -> Seq2ExpConfig | None:
    try:
        config = read_model_config(run.config)
    except InputError as problem:
        missing.add(Missing("The prior and the components of the mask are not shown", first_line(problem)))
        return None
    return config if config is not None and [track.name for track in signals] == list(config.signals) else None


def first_line(problem: Exception) -> str:
    """Return the first line of an error's message."""
    return str(problem).splitlines()[0]
