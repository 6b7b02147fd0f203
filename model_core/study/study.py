"""Study: the inputs of Seq2Exp, named in one `study.toml` (reference: docs/study.md)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, PrivateAttr, ValidationError, model_validator

from model_core.bed import read_bed
from model_core.config import Seq2ExpConfig, TrainConfig, merged, recipe
from model_core.errors import InputError, Problem, Problems
from model_core.intervals import listed
from model_core.kept_peaks import parsed_peaks
from model_core.negative_control import LABELS, permuted_labels
from model_core.records import read_toml
from model_core.remote.address import InputPath, RemotePath
from model_core.signals.open import open_signal
from model_core.signals.signal import BigWigSignal, Signal
from model_core.study.check_tracks import absent_chromosomes
from model_core.study.gene_features import FEATURES, LENGTHS, FeatureScale, feature_scale, raw_features
from model_core.study.gene_table import WARNINGS, gene_table_from_gtf, read_gene_table
from model_core.study.genome import Genome
from model_core.study.kept_annotation import parsed_gtf
from model_core.study.schema import CACHE, Genes, GenomeFiles, Name, Peaks, Section, SignalSpec, Truth, model_inputs
from model_core.study.validate import Parts, schema_problems, sound_parts, sound_settings, study_problems
from model_core.study.whole_inputs import read_whole
from model_core.study.windows import WindowReader
from model_core.window import Window

__all__ = ["FeatureScale", "Study", "load_study", "write_template"]

MEAN_OF = 20  # genes whose mean stands in for that over all genes, where files are read over the web


class Study(Section):
    """Inputs of Seq2Exp, as `load_study` reads them from study.toml; all paths are absolute.

    `resolved()` returns the study as JSON values, and `Study.restore` reads these back without opening the files.

    Attributes
    ----------
    schema_version : int
        Version of study.toml (`schema`); 1.
    name, assembly : str
        Name of the study and of its genome assembly.
    cell_type : str or None
        Cells that were measured; None: not stated.
    simulated : bool
        Whether the data are simulated.
    limits : tuple[str, ...]
        Sentences that are printed with every number made from the study.
    genome_files, gene_settings, signal_specs, peak_settings, truth
        The tables [genome], [genes], [[signals]], [peaks] and [truth].
    model, training : dict[str, Any]
        Settings of `Seq2ExpConfig` and of `TrainConfig` that differ from the defaults.

    Examples
    --------
    >>> import model_core
    >>> study = model_core.load_study("my-study")
    >>> isinstance(study, model_core.Study)
    True
    >>> study.assembly, study.window, study.promoter
    ('toy1', 4000, 400)
    >>> study.genome().sizes
    {'chr1': 40000, 'chr2': 40000}
    >>> study.genes()["split"].value_counts().sort_index().to_dict()
    {'test': 3, 'train': 2, 'validation': 1}
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    assembly: str
    cell_type: str | None = Field(None, pattern=r"^[^\x00-\x1f]+$", max_length=200)
    simulated: bool = False
    limits: tuple[str, ...] = ()  # sentences that are printed with every number made from the study
    genome_files: GenomeFiles = Field(alias="genome")
    gene_settings: Genes = Field(Genes(), alias="genes")
    signal_specs: list[SignalSpec] = Field(alias="signals", min_length=1)
    peak_settings: Peaks | None = Field(None, alias="peaks")
    truth: Truth | None = None
    model: dict[str, Any] = Field({})  # settings of Seq2ExpConfig, by flat name or in tables of groups
    training: dict[str, Any] = Field({})  # settings of TrainConfig
    _path: Path = PrivateAttr(Path("study.toml"))
    # What was opened or read, kept from the first request on.
    _genome: Genome | None = PrivateAttr(None)
    _signals: dict[str, Signal] | None = PrivateAttr(None)  # by name
    _annotation: pd.DataFrame | None = PrivateAttr(None)
    _sites: pd.DataFrame | None = PrivateAttr(None)
    _genes: pd.DataFrame | None = PrivateAttr(None)
    _of_training: pd.DataFrame | None = PrivateAttr(None)  # features of the training genes, of which `_held` are known
    _held: set[str] = PrivateAttr(set())
    _control: str | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _with_notes_of_signals(self) -> Study:
        """Count what must be said of the signals among the study's limits."""
        notes = [f"{spec.name}: {spec.note}." for spec in self.signal_specs if spec.note]
        new = [note for note in notes if note not in self.limits]
        return self.model_copy(update={"limits": (*self.limits, *new)}) if new else self

    @property
    def path(self) -> Path:
        """Path of the study.toml."""
        return self._path

    @property
    def control(self) -> str | None:
        """Negative control that this study stands for (`as_control`); None for the study itself."""
        return self._control

    def as_control(self, control: str, seed: int = 0) -> Study:
        """Return this study as a negative control: with labels, signals or sequence mixed, and all else kept.

        `gene_sites`, `genes` and `reader` give what is mixed; gene features, single signals and the genome are those
        of the study.

        Parameters
        ----------
        control : str
            One of `negative_control.CONTROLS`.
        seed : int
            Random seed of the permutation of labels: that of the training.
        """
        mixed = self.model_copy()
        mixed._control = control
        if control == LABELS:
            mixed._sites = permuted_labels(self.gene_sites(), seed)
            mixed._genes = None if self._genes is None else permuted_labels(self._genes, seed)
        return mixed

    @property
    def folder(self) -> Path:
        """Folder of the study.toml, in which the folders `cache` and `peaks` are made."""
        return self._path.parent

    @property
    def window(self) -> int:
        """Length in bp of the window around each TSS."""
        return self.model.get("window", Seq2ExpConfig.window)

    @property
    def promoter(self) -> int:
        """Length in bp of the promoter, the central part of each window, which is always kept."""
        return self.model.get("promoter", Seq2ExpConfig.promoter)

    def config(self, **settings: Any) -> Seq2ExpConfig:
        """Return the model's configuration: this study's signals and priors, then [model], then `settings`.

        Parameters
        ----------
        **settings : Any
            Settings of `Seq2ExpConfig`, as `config.recipe` reads them. A readout over the window is weighted by the
            first contact signal, unless `contact` is given, None for none.

        Raises
        ------
        InputError
            An unknown setting, or values that do not fit together.
        """
        inputs = model_inputs(self.signal_specs)
        config = recipe(**merged({"variant": Seq2ExpConfig.variant}, inputs, self.model, settings))
        contacts = [spec.name for spec in self.signal_specs if spec.is_contact]
        unsaid = config.predictor.contact is None and "contact" not in settings
        if config.predictor.readout != "promoter" and unsaid and contacts:
            return config.replace(contact=contacts[0])
        return config

    def contact_of(self, config: Seq2ExpConfig) -> str | None:
        """Return the signal in which a model reads log10(1 + contact with the start site); None without one.

        It is the one by which the model weights its readout, else the first of its signals that is read from Hi-C; the
        unit of contact in a bigWig is not known.
        """
        hic = (spec.name for spec in self.signal_specs if spec.is_hic and spec.name in config.signals)
        return config.predictor.contact or next(hic, None)

    def train_config(self, **settings: Any) -> TrainConfig:
        """Return the training settings: the paper's recipe, then [training], then `settings`.

        Parameters
        ----------
        **settings : Any
            Settings of `TrainConfig`.

        Raises
        ------
        InputError
            A value that cannot be used.
        """
        return TrainConfig(**{**self.training, **settings})

    def resolved(self) -> dict[str, Any]:
        """Return the study as JSON values, every path absolute."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def restore(cls, values: dict[str, Any], path: str | Path, source: Path | None = None) -> Study:
        """Return the study of the values that `resolved` returned.

        Parameters
        ----------
        values : dict[str, Any]
            From `resolved`.
        path : str or Path
            Path of its study.toml, which need not exist any more.
        source : Path or None
            File of the values, for messages; by default `path`.

        Raises
        ------
        Problems
            Values that are missing or wrong.
        """
        try:
            study = cls.model_validate(values)
        except ValidationError as error:
            raise Problems(schema_problems(error, Study, source or Path(path))) from None
        study._path = Path(path)
        return study

    def genome(self) -> Genome:
        """Return the genome sequence, opened once."""
        if self._genome is None:
            self._genome = Genome(self.genome_files.fasta)
        return self._genome

    def signals(self) -> list[Signal]:
        """Return the signals in the study's order.

        Coverage of a BAM is computed into `cache` once, by `Signal.prepare`.
        """
        if self._signals is None:
            sizes = self.genome().sizes if any(spec.is_powerlaw for spec in self.signal_specs) else None
            self._signals = {spec.name: open_signal(spec, self.folder / CACHE, sizes) for spec in self.signal_specs}
        return [self._signals[spec.name] for spec in self.signal_specs]

    def activity_signals(self) -> list[BigWigSignal]:
        """Return the one or two signals of promoter activity.

        These are the signals that [genes] names, else the first two that are no contact.
        """
        names = self.gene_settings.promoter_activity
        names = names or [spec.name for spec in self.signal_specs if not spec.is_contact][:2]
        by_name = {signal.name: signal for signal in self.signals() if isinstance(signal, BigWigSignal)}
        return [by_name[name] for name in names]

    def annotation(self) -> pd.DataFrame:
        """Return the rows of the GTF, as from `annotation.read_gtf`; they are shared: copy them before a change."""
        if self._annotation is None:
            self._annotation = read_whole(self.genome_files.annotation, parsed_gtf, "annotation")
        return self._annotation

    def gene_sites(self) -> pd.DataFrame:
        """Return the gene table without computed features: fast, and sufficient to place windows.

        Returns
        -------
        DataFrame
            gene_id, symbol, chrom, strand, split (str); tss (int64, 0-based); label (float64, transformed, NaN where
            not measured); the nine FEATURES (float64, NaN unless the table has them).

        Raises
        ------
        InputError
            The table cannot be read, or the annotation has no gene of the requested types.
        """
        if self._sites is None:
            settings, sizes = self.gene_settings, self.genome().sizes
            if settings.table is not None:
                self._sites = read_gene_table(settings, sizes)
            else:
                path = self.genome_files.annotation
                self._sites = gene_table_from_gtf(self.annotation(), settings, sizes, path)
        return self._sites.copy()

    def genes(self, sites: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the gene table with all nine features on their own scales (`gene_features.raw_features`).

        Features that [genes.features] names come from the table, all others are computed. A feature is NaN where a gene
        has none: an empty cell, or an mRNA feature of a gene without coding sequence; the model gets the mean instead.

        Parameters
        ----------
        sites : DataFrame or None
            The requested rows of `gene_sites`; by default all.

        Returns
        -------
        DataFrame
            One row per gene, with the columns of `gene_sites`.

        Raises
        ------
        InputError
            As `gene_sites`, or a signal cannot be read.
        """
        if sites is None and self._genes is not None:
            return self._genes.copy()
        genes = self.gene_sites() if sites is None else sites.copy()
        computed = [name for name in FEATURES if name not in self.gene_settings.features]
        if computed:
            genes[computed] = self._computed(genes, computed)[computed]
        if sites is None:
            self._genes = genes.copy()
        return genes

    def feature_scale(self, genes: pd.DataFrame | None = None) -> FeatureScale:
        """Compute the scale of the gene features from the training genes (from all, where the study has none).

        Parameters
        ----------
        genes : DataFrame or None
            Rows of `genes` that the scale is for: only the constants that they need are computed, which are those of
            the z-scores and the means of features that some of them lack. By default every constant is.

        Raises
        ------
        InputError
            Promoter activity enters as z-score, and its signals are read over the web.
        """
        logged = (*LENGTHS, "PROMOTERACTIVITY") if self.gene_settings.zscore_promoter_activity else LENGTHS
        if genes is None:
            return feature_scale(_training(self.genes()), self.zscored, logged)
        lacking = [name for name in FEATURES if genes[name].isna().any()]
        needed = [name for name in FEATURES if name in lacking or (name in logged and name not in self.zscored)]
        return feature_scale(self._training_features(needed, logged), self.zscored, logged)

    def _training_features(self, needed: Sequence[str], logged: Sequence[str]) -> pd.DataFrame:
        """Return the training genes with these features, kept for the next request; other features are NaN."""
        training = _training(self.gene_sites())
        held = self._of_training
        if held is None:
            held = self._of_training = training[list(FEATURES)].copy()
            self._held = {name for name in FEATURES if name in self.gene_settings.features}
        new = [name for name in needed if name not in self._held]
        sampled = [name for name in new if self._read_over_the_web(name)]
        if impossible := [name for name in sampled if name in logged]:
            found = f"{listed(impossible)} as a z-score over all genes, of signals that are read over the web"
            do = "download the signals, or set zscore_promoter_activity = false"
            raise InputError(self.path, found=found, expected="signals on this disk", fix=do)
        if whole := [name for name in new if name not in sampled]:
            held[whole] = self._computed(training, whole)[whole]
        if sampled:
            few = training.iloc[np.unique(np.linspace(0, len(training) - 1, MEAN_OF).astype(int))]
            held.loc[few.index, sampled] = self._computed(few, sampled)[sampled]
            found = f"no mean of {listed(sampled)} over all genes, as the files are read over the web"
            do = f"the mean of {len(few)} genes, spread evenly over the table, stands in where a gene has no value"
            print(f"warning: {Problem(self.name, found, 'files on this disk', do)}", file=sys.stderr)
        self._held.update(new)
        return held

    def _computed(self, genes: pd.DataFrame, only: Sequence[str]) -> pd.DataFrame:
        return raw_features(genes, self.annotation(), self.genome(), self.activity_signals(), only)

    def _read_over_the_web(self, feature: str) -> bool:
        """Return whether a feature of every gene would need much of files that are read over the web."""
        if feature == "PROMOTERACTIVITY":
            return any(isinstance(signal.path, RemotePath) for signal in self.activity_signals())
        return feature.endswith("GC") and isinstance(self.genome_files.fasta, RemotePath)

    @property
    def zscored(self) -> frozenset[str]:
        """Names of the features that the table holds as z-scores."""
        return frozenset(name for name, column in self.gene_settings.features.items() if column.zscored)

    def warnings(self, genes: pd.DataFrame) -> list[Problem]:
        """Return what in the study matches nothing.

        These are values of [genes.split] without a gene, and chromosomes of the genes that a signal does not list, on
        which it is read as 0.

        Parameters
        ----------
        genes : DataFrame
            Rows of `gene_sites` that are to be trained on or scored.
        """
        return [*self.gene_sites().attrs.get(WARNINGS, ()), *absent_chromosomes(self.signals(), genes)]

    def inputs(self) -> dict[str, InputPath]:
        """Return path or address of each file that the study names, by its place in study.toml: "signals.DNase"."""
        files: dict[str, InputPath | None] = {
            "genome.fasta": self.genome_files.fasta,
            "genome.annotation": self.genome_files.annotation,
            "genome.blacklist": self.genome_files.blacklist,
            "genes.table": self.gene_settings.table,
            **{f"signals.{spec.name}": spec.path for spec in self.signal_specs if not spec.is_powerlaw},
            "peaks.narrowpeak": self.peak_settings.narrowpeak if self.peak_settings else None,
            "truth.causal": self.truth.causal if self.truth else None,
            "truth.decoys": self.truth.decoys if self.truth else None,
            "truth.closed": self.truth.closed if self.truth else None,
        }
        return {name: path for name, path in files.items() if path is not None}

    def windows(self, genes: pd.DataFrame) -> list[Window]:
        """Return the window of each row of a gene table."""
        columns = (genes.chrom, genes.tss.tolist(), genes.strand)
        return [Window(chrom, tss, strand, self.window) for chrom, tss, strand in zip(*columns, strict=True)]

    def blacklist(self) -> pd.DataFrame | None:
        """Read the blacklist's intervals; None where the study has none."""
        path = self.genome_files.blacklist
        return None if path is None else read_whole(path, read_bed, "blacklist")

    def peaks_path(self) -> InputPath | None:
        """Return the path of the peaks: the file that the study names, or the one in its folder `peaks`; else None."""
        settings = self.peak_settings
        if settings is None:
            return None
        called = self.folder / "peaks" / f"{settings.name}.narrowPeak"
        return settings.narrowpeak or (called if called.is_file() else None)

    def peaks(self) -> pd.DataFrame | None:
        """Read the peaks; None where the study has none or they are not called yet."""
        path = self.peaks_path()
        return None if path is None else read_whole(path, parsed_peaks, "peaks")

    def reader(self) -> WindowReader:
        """Return a reader of sequence, signals and blacklist of windows, which can be sent to other processes."""
        still = [column for column, spec in enumerate(self.signal_specs) if spec.is_contact]
        return WindowReader(self.genome(), self.signals(), self.blacklist(), self.control, still)


def _training(genes: pd.DataFrame) -> pd.DataFrame:
    """Return the training genes, or all where there are none."""
    training = genes[genes.split == "train"]
    return genes if training.empty else training


class StudyProblems(Problems):
    """All problems of a study.toml and of the files that it names.

    Parameters
    ----------
    problems : Sequence[Problem]
        In the order found; at least one.
    study : Study or None
        The study, where the TOML itself is valid and only its files are not; None otherwise.
    """

    study: Study | None = None

    def __init__(self, problems: Sequence[Problem], study: Study | None):
        super().__init__(problems)
        self.study = study


def load_study(path: str | Path) -> Study:
    """Load a study and check its files.

    The FASTA's index, the gene table, the blacklist, the peaks, the first lines of the annotation and the headers of
    the signals are read. The whole annotation and the signals' values are checked by `check.check_study`.

    Parameters
    ----------
    path : str or Path
        The study.toml, or the folder that holds it.

    Returns
    -------
    Study
        The study.

    Raises
    ------
    InputError
        The file cannot be read, or is no TOML.
    StudyProblems
        All other problems, at once.

    Examples
    --------
    >>> import model_core
    >>> study = model_core.load_study("my-study/study.toml")
    >>> study.name, [signal.name for signal in study.signals()]
    ('tiny', ['H3K27ac', 'DNase', 'Hi-C'])
    >>> study.gene_sites()[["symbol", "chrom", "tss", "strand"]].head(2).values.tolist()
    [['MYC', 'chr1', 10000, '+'], ['GATA1', 'chr2', 13000, '-']]
    """
    path = Path(os.path.expanduser(path)).absolute()
    path = path / "study.toml" if path.is_dir() else path
    raw = read_toml(path, "a study.toml", "check the path, or write one with `seq2exp-viz init`")
    context = {"folder": path.parent}
    try:
        study = Study.model_validate(raw, context=context)
    except ValidationError as error:
        parts = sound_parts(raw, Study, context)
        problems = [*schema_problems(error, Study, path), *study_problems(parts, path)]
        raise StudyProblems(problems, None) from None
    study._path = path
    problems = study_problems(Parts.of(study), path)
    if problems:
        study = study.model_copy(update={"model": sound_settings(study.model)})
        raise StudyProblems(problems, study)
    return study


def write_template(path: str | Path) -> Path:
    """Write a study.toml with comments, to be filled in; an existing file is never overwritten.

    Parameters
    ----------
    path : str or Path
        The file, or the folder of the new study.toml (created where missing).

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    InputError
        The file exists, or cannot be written.
    """
    path = Path(os.path.expanduser(path))
    path = path if path.suffix == ".toml" else path / "study.toml"
    text = resources.files("model_core.study").joinpath("study_template.toml").read_text(encoding="utf-8")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except BaseException:
                path.unlink()
                raise
    except FileExistsError:
        raise InputError(
            path, found="a file", expected="a new path", fix="choose another, or remove this one"
        ) from None
    except OSError as error:
        found = (error.strerror or str(error)).lower()
        raise InputError(path, found=found, expected="a place to write to", fix="choose another") from None
    return path
