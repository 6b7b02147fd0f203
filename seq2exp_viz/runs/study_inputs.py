"""The inputs of a run from its study, opened once: genome, raw signals, gene models, settings of the model.

Each of them may be missing on this machine. It is then None, or not in the list, and a `MissingList` gives the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_core.config import Seq2ExpConfig, read_model_config
from model_core.errors import InputError, Problems
from model_core.input_file import is_regular
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
    """A raw signal of the study.

    Attributes
    ----------
    name, id : str
        Its name in the study, and its id in addresses.
    file : str or None
        Id of its bigWig; None for contact that is read from a Hi-C file.
    transform : str
        Transform that the model applies.
    """

    name: str
    id: str
    file: str | None
    transform: str


@dataclass(frozen=True)
class StudyInputs:
    """The opened inputs of a run.

    Attributes
    ----------
    study, genome
        None where they are not on this machine.
    signals : list[SignalTrack]
        Signals whose files exist.
    models : GeneModels or None
        Gene models of the annotation.
    prior_config : Seq2ExpConfig or None
        The model's settings where all its signals exist, so that the prior alone can be computed.
    files : dict[str, Path]
        Path of each file of genome and signals that may be downloaded, by id.
    """

    study: Study | None
    genome: Genome | None
    signals: list[SignalTrack]
    models: GeneModels | None
    prior_config: Seq2ExpConfig | None
    files: dict[str, Path]


def open_inputs(run: Run, cache: Path, missing: MissingList) -> StudyInputs:
    """Open the available inputs of the study that a run was made from.

    Parameters
    ----------
    run : Run
        The run.
    cache : Path
        Folder for derived files.
    missing : MissingList
        Receives what is not available, and later what fails while gene models are parsed in the background.
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
    """Return the study with the paths that the run recorded."""
    from model_core.study.study import Study

    try:
        if not run.study:
            missing.add(Missing("Raw signals are not shown", "The run does not record which study it was made from."))
            return None
        described = run.manifest["study"] or {}
        return Study.restore(run.study, described.get("path") or run.path / "study.toml", run.path / "study.json")
    except (InputError, OSError) as problem:
        missing.add(Missing("The study of the run could not be read", first_line(problem)))
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
    """Return the file of each available signal by id; the coverage of a BAM is not computed here, only looked up."""
    paths: dict[str, Path] = {}
    if study is None:
        return paths
    for number, spec in enumerate(study.signal_specs):
        if spec.is_powerlaw:
            continue
        path: Path | None = Path(spec.path)
        if spec.is_bam:
            try:
                path = held_coverage(spec.path, study.folder / CACHE, spec.extend, spec.shift or 0)
            except (InputError, OSError):
                path = None
        if path is not None and is_regular(path):
            paths[f"signal-{number}"] = path
            continue
        why = f"The coverage of {spec.path} was not computed." if spec.is_bam else f"{spec.path} does not exist."
        missing.add(Missing(f"{spec.name} is not shown", why))
    return paths


def _signals(study: Study | None, paths: dict[str, Path]) -> list[SignalTrack]:
    tracks = []
    for number, spec in enumerate(study.signal_specs if study is not None else []):
        key = f"signal-{number}"
        if key in paths or spec.is_powerlaw:
            tracks.append(SignalTrack(spec.name, key, None if spec.is_hic else f"{key}.bigWig", spec.transform))
    return tracks


def _models(study: Study | None, cache: Path, missing: MissingList) -> GeneModels | None:
    if study is None:
        return None
    annotation = study.genome_files.annotation
    if not is_regular(annotation):
        missing.add(Missing("Genes are not drawn", f"{annotation} does not exist."))
        return None
    try:
        return GeneModels(annotation, cache, missing.add)
    except OSError as problem:
        missing.add(Missing("Genes are not drawn", f"{annotation} cannot be read ({problem.strerror})."))
        return None


def _prior_config(run: Run, signals: list[SignalTrack], missing: MissingList) -> Seq2ExpConfig | None:
    try:
        config = read_model_config(run.config)
    except InputError as problem:
        missing.add(Missing("The prior and the components of the mask are not shown", first_line(problem)))
        return None
    return config if config is not None and [track.name for track in signals] == list(config.signals) else None


def first_line(problem: Exception) -> str:
    """Return the first line of an error's message; of several problems the first."""
    return str(problem.problems[0] if isinstance(problem, Problems) else problem).splitlines()[0]
