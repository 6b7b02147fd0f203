"""One run as a server shows it: its opened study, its files by id, and a cache of slow answers.

A request never carries a path. It carries the key of a run and the id of a file or gene, and both are looked up here.
Genes, masks, the element rule and the manifest are those of `RunView.run`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from model_core.bed import read_bed
from model_core.cache import user_cache
from model_core.config import Seq2ExpConfig
from model_core.errors import InputError, Problem, Unavailable
from model_core.evaluation.controls import signal_prior
from model_core.listing import unreadable
from model_core.places import ContigNames
from model_core.recent import Recent
from model_core.remote.address import InputPath, RemotePath
from model_core.run_folder import audit_log
from model_core.run_folder.band import band_words
from model_core.run_folder.calibration import Calibration
from model_core.run_folder.effects import effect_table
from model_core.run_folder.elements import cut_elements
from model_core.run_folder.member_effects import MemberEffects
from model_core.run_folder.notes import Note, notes_of
from model_core.run_folder.occlusion import Occlusion
from model_core.run_folder.run import Run
from model_core.window import Window
from seq2exp_viz.file_names import gene_parts, run_part
from seq2exp_viz.runs.igv_names import IgvNames
from seq2exp_viz.runs.missing import Missing, MissingList
from seq2exp_viz.runs.prediction_quality import history
from seq2exp_viz.runs.run_files import list_run_files
from seq2exp_viz.runs.study_inputs import SignalTrack, StudyInputs, first_line, open_inputs
from seq2exp_viz.serving.remote_reads import READS, ComeAgain

PEAKS = "peaks.narrowPeak"
_MOST_PROBLEMS = 3  # of one file that are listed
T = TypeVar("T")


class RunView:
    """One run of the registry; `RunView.open` creates it.

    Parameters
    ----------
    key : str
        Its name in URLs: letters, digits, dot, dash and underscore, unique in the registry.
    run : Run
        The opened run folder.
    inputs : StudyInputs
        The available inputs of its study.
    missing : MissingList
        What is not available and why; it may grow later.

    Attributes
    ----------
    path : Path
        The run folder.
    study, genome, signals, models, prior_config
        As in `StudyInputs`.
    """

    def __init__(self, key: str, run: Run, inputs: StudyInputs, missing: MissingList):
        self.key, self.path, self.missing = key, run.path, missing
        self.study, self.genome, self.signals = inputs.study, inputs.genome, inputs.signals
        self.models, self.prior_config, self._study_files = inputs.models, inputs.prior_config, inputs.files
        self._cuts, self._vectors = Recent(64), Recent()
        self._tables: dict[str, tuple[Any, Any]] = {}
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._run, self._stamp = run, self._manifest_stamp()
        self._genome_checked = False
        self._sites: pd.DataFrame | None = None

    @classmethod
    def open(cls, key: str, run: Run, cache: Path | None = None) -> RunView:
        """Return the view of a run, its study's files opened; `missing` lists what is not available.

        Parameters
        ----------
        key : str
            Name of the run in URLs.
        run : Run
            The opened run folder.
        cache : Path or None
            Folder for derived files; None takes the user's cache.
        """
        missing = MissingList()
        return cls(key, run, open_inputs(run, cache or user_cache(), missing), missing)

    @property
    def notes(self) -> list[str]:
        """What is missing or could not be stored, as lines for the page; there may be more later."""
        return self.missing.lines()

    @property
    def caveats(self) -> list[Note]:
        """What must be said with every number of the run (`notes_of`), as far as its files can be read."""
        return self.optional("What must be said of its numbers is not known", lambda: notes_of(self.run), [])

    @property
    def measured(self) -> bool:
        """Whether expression was measured: the study states a label, or a scored gene has an observed value."""
        stated = self.study is not None and self.study.gene_settings.label is not None
        return stated or bool(self.run.genes["observed"].notna().any())

    def wait_for_models(self, seconds: float) -> None:
        """Wait at most `seconds` until the gene models are read; add an entry to `missing` where they are not."""
        if self.models is not None and not self.models.wait(seconds) and self.models.problem is None:
            self.missing.add(
                Missing("Genes are not drawn yet", f"After {seconds:g} s the annotation is still being read.")
            )

    # ------------------------------------------------------------------------------------------ the run

    @property
    def run(self) -> Run:
        """The run as it is on disk now: opened again when its manifest has changed, because a run may be growing."""
        stamp = self._manifest_stamp()
        with self._lock:
            if stamp != self._stamp:
                self._run, self._stamp = Run.open(self.path), stamp
            return self._run

    def _manifest_stamp(self) -> int:
        return (self.path / "manifest.json").stat().st_mtime_ns

    @property
    def revision(self) -> str:
        """A text that changes when a gene is added or the tables are rewritten; cheap to compute."""
        marks = []
        for name in ("scores.jsonl", "genes.tsv", "manifest.json"):
            try:
                found = (self.path / name).stat()
                marks.append(f"{found.st_mtime_ns:x}.{found.st_size:x}")
            except OSError:
                marks.append("-")
        return "-".join(marks)

    @cached_property
    def contigs(self) -> ContigNames:
        """The genome's contigs, by any spelling of their names."""
        return ContigNames(self.run.chrom_sizes)

    @cached_property
    def igv_names(self) -> IgvNames:
        """The names of the contigs in igv.js."""
        return IgvNames(self.run.chrom_sizes)

    # ------------------------------------------------------------------------------------------ files by their id

    @cached_property
    def _own_files(self) -> dict[str, Path]:
        """Path of each file of the run folder by id; a file may not exist yet."""
        places = {
            "elements.bed": "elements/elements.bed",
            "genes.tsv": "genes.tsv",
            "mask.bigWig": "tracks/mask.bigWig",
            "manifest.json": "manifest.json",
            "metrics.json": "metrics.json",
        }
        return {name: self.path / place for name, place in places.items()}

    def file(self, name: str) -> InputPath | None:
        """Return the path of a file by its id, or None for any other text; no other file is ever served.

        A file of the study that lies on a server is returned unasked.
        """
        if name == PEAKS:  # written later than the rest, and named after the sample
            return self.run.peak_files[0] if len(self.run.peak_files) == 1 else None
        path = self._study_files.get(name) or self._own_files.get(name)
        if isinstance(path, RemotePath):
            return path
        if path is None and name.startswith("file-"):
            path = next((file.path for file in list_run_files(self.path) if file.id == name), None)
        return path if path is not None and path.is_file() else None

    def bigwig(self, signal: SignalTrack) -> InputPath:
        """Return the path or address of a signal's bigWig.

        Raises
        ------
        Unavailable
            The file was removed since the run was opened.
        """
        path = self.file(signal.file) if signal.file is not None else None
        if path is None:
            raise Unavailable(f"The file of {signal.name} no longer exists.")
        return path

    def require_genome(self) -> None:
        """Check once that a genome whose server was not asked before is that of the run.

        Raises
        ------
        InputError
            It has other chromosomes, or cannot be read.
        """
        if self.genome is not None and not self._genome_checked:
            self.run.require_genome(self.genome.sizes, self.genome.path)
            self._genome_checked = True

    @cached_property
    def hosts(self) -> str:
        """The servers on which files of the study lie that are read for a picture, as one text; "" where none does."""
        if self.study is None:
            return ""
        paths = [self.study.genome_files.fasta, *(spec.path for spec in self.study.signal_specs)]
        return ", ".join(sorted({path.host for path in paths if isinstance(path, RemotePath)}))

    @property
    def sites(self) -> pd.DataFrame | None:
        """The genes of the study's table, scored or not, as `Study.gene_sites`.

        None where there is no table, or where it lies on a server that has not answered yet.
        """
        table = self.study.gene_settings.table if self.study is not None else None
        if self.study is None or table is None:
            return None
        if self._sites is None:
            try:
                if isinstance(table, RemotePath):
                    self._sites = READS.get(table.host, ("sites", self.path), self.study.gene_sites)
                else:
                    self._sites = self.study.gene_sites()
            except ComeAgain:
                return None
            except (InputError, OSError) as problem:
                self.missing.add(Missing("Genes that are not scored are not listed", first_line(problem)))
                self._sites = pd.DataFrame()
        return self._sites if len(self._sites.columns) else None

    def keep(self, name: str, version: Any, make: Callable[[], Any]) -> Any:
        """Return the result of `make`, cached under a name until `version` changes; one version is kept."""
        held = self._tables.get(name)
        if held is None or held[0] != version:
            held = self._tables[name] = (version, make())
        return held[1]

    @property
    def files(self) -> dict[str, InputPath]:
        """Path or address of each file that may be asked for now, by id."""
        return {
            name: path
            for name in [*self._study_files, *self._own_files, PEAKS]
            if (path := self.file(name)) is not None
        }

    def file_stem(self, gene_id: str) -> str:
        """Return RUN.GENE, with which the names of a gene's files begin."""
        parts = self.keep("file parts", self.revision, lambda: gene_parts(self.run.genes))
        return f"{run_part(self.key)}.{parts[gene_id]}"

    # ------------------------------------------------------------------------------------------ answers kept in memory

    @property
    def peaks(self) -> pd.DataFrame | None:
        """The peaks of the run (`Run.peaks`); None where there are none or they cannot be read (see `missing`)."""
        for path in unreadable(self.path / "peaks", "*.narrowPeak"):
            self.missing.add(Missing("Peaks that the server may not read are left out", str(path)))
        return self.optional("Peaks are not shown", lambda: self.run.peaks, None)

    def optional(self, what: str, read: Callable[[], T], without: T) -> T:
        """Return what `read` returns; where its file is damaged, return `without` and add an entry to `missing`.

        Parameters
        ----------
        what : str
            `Missing.what`.
        read : callable
            Reads a file without which the rest can be shown.
        without : T
            Stands in for its content.
        """
        try:
            return read()
        except (InputError, OSError) as problem:
            self.missing.add(Missing(what, str(problem)))
            return without

    @property
    def effects(self) -> pd.DataFrame:
        """The knock-out effects of the run (`Run.effects`); no rows where they cannot be read (see `missing`)."""
        return self.optional("Effects of elements are not shown", lambda: self.run.effects, effect_table([]))

    @property
    def calibration(self) -> Calibration | None:
        """The chance of elements (`Run.calibration`); None, too, where it cannot be read (see `missing`)."""
        return self.optional("The chance of elements is not shown", lambda: self.run.calibration, None)

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the run (`Run.metrics`); empty where they cannot be read (see `missing`)."""
        return self.optional("Metrics of the run are not shown", lambda: self.run.metrics, {})

    @property
    def config(self) -> dict[str, Any]:
        """The settings of model and training (`Run.config`); empty where they cannot be read (see `missing`)."""
        return self.optional("Settings of the model are not known", lambda: self.run.config, {})

    def occlusion(self, gene_id: str) -> Occlusion | None:
        """Return the occlusion track of a gene (`Run.occlusion`); None, too, where it is damaged (see `missing`)."""
        return self.optional("An occlusion track is not shown", lambda: self.run.occlusion(gene_id), None)

    @property
    def history(self) -> pd.DataFrame | None:
        """The history of the training; None where there is none or it cannot be read (see `missing`)."""
        path = self.path / "training" / "history.csv"
        return self.optional("The history of the training is not shown", lambda: history(path), None)

    @property
    def decisions(self) -> pd.DataFrame:
        """The decisions of the peak audit; those on damaged lines are left out (see `missing`)."""
        problems: list[Problem] = []
        what = "Decisions of the peak audit are left out"
        nothing = pd.DataFrame(columns=list(audit_log.COLUMNS))
        found = self.optional(what, lambda: audit_log.read_decisions(self.path, problems), nothing)
        for problem in problems[:_MOST_PROBLEMS]:
            self.missing.add(Missing(what, str(problem)))
        return found

    def interval(self, gene_id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (low, high) of the central 95 % of z, float32 (bins,), cached; None where the run has no band."""
        if band_words(self.run.band) is None:
            return None
        return self.run.mask(gene_id).drawn_interval

    def cut(self, gene_id: str, threshold: float | None = None) -> pd.DataFrame:
        """Return the gene's elements at a threshold (None: the run's), cached."""
        run = self.run
        rule = run.rule if threshold is None else run.rule.at(threshold)

        def make() -> pd.DataFrame:
            known = self.member_effects(gene_id), self.contact_share(gene_id)
            return cut_elements(run.mask(gene_id), rule, run.gene(gene_id), self.peaks, *known)

        # The manifest is written after the peaks, so its time distinguishes cuts without and with peaks.
        return self._cuts.get((gene_id, rule, self._gene_stamp, self._stamp), make)

    @property
    def members(self) -> float:
        """The number of members whose effects the run stores; NaN where it stores none."""
        return float(self.run.manifest.get("members") or np.nan)

    def member_effects(self, gene_id: str) -> MemberEffects | None:
        """Return the effects that the run stores of a gene (`Run.member_effects`); None also where they are damaged."""
        return self.optional("Effects of a gene are not shown", lambda: self.run.member_effects(gene_id), None)

    def contact_share(self, gene_id: str) -> np.ndarray | None:
        """Return the contact that the run stores of a gene (`Run.contact`); None, too, where it is damaged."""
        return self.optional("Contact of a gene is not shown", lambda: self.run.contact(gene_id), None)

    def contact(self, gene_id: str, name: str) -> np.ndarray:
        """Return the contact of each base of the window with this gene's TSS: float32 (window,), cached."""
        return self._vectors.get((name, gene_id), lambda: self._read([name], self.run.window(gene_id))[:, 0])

    def model_signals(self, gene_id: str) -> np.ndarray:
        """Return the signals of a gene's window as the model reads them: float32 (window, signals), cached."""
        names = list(self.settings.signals)
        return self._vectors.get(("signals", gene_id), lambda: self._read(names, self.run.window(gene_id)))

    def prior(self, gene_id: str) -> np.ndarray:
        """Return the mask that the signals alone would give: float32 (window,), 0 to 1, cached."""
        key = ("prior", gene_id)
        return self._vectors.get(key, lambda: signal_prior(self.model_signals(gene_id), self.settings))

    def remember(self, key: tuple, make: Callable[[], Any]) -> Any:
        """Return the result of `make`, cached among the last few answers of this run."""
        return self._vectors.get((*key, self._gene_stamp), make)

    def truth(self, kind: str) -> pd.DataFrame | None:
        """Return the elements that a simulation planted, of kind "causal" or "decoys", or None."""
        planted = self.study.truth if self.study is not None else None
        path = getattr(planted, kind, None) if kind in ("causal", "decoys") else None
        if path is None or not Path(path).is_file():
            return None
        return self._vectors.get(("truth", kind), lambda: read_bed(path))

    def _read(self, names: list[str], window: Window) -> np.ndarray:
        """Read signals, float32 (window, signals), in one thread at a time: the readers are not thread-safe."""
        if self.study is None:
            raise Unavailable("The study of this run is not on this machine.")
        with self._reading:
            by_name = {signal.name: signal for signal in self.study.signals()}
            return np.stack([by_name[name].read(window) for name in names], axis=1)

    @property
    def settings(self) -> Seq2ExpConfig:
        """The model's settings, for what needs its signals; it raises Unavailable where `prior_config` is None."""
        if self.prior_config is None:
            raise Unavailable("The signals of this run are not on this machine, so their prior cannot be computed.")
        return self.prior_config

    @property
    def _gene_stamp(self) -> str:
        """Creation time of the run folder: scored masks never change in place, but a folder may be created anew."""
        return str(self.run.manifest["created"])
