"""One run as a server shows it: its study opened, its files given ids, its slow answers remembered.

A request never brings a path. It brings the key of a run and the id of a file or gene, and both are looked up here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.bed import read_bed
from model_core.cache import notices, user_cache
from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.evaluation.controls import signal_prior
from model_core.listing import unreadable
from model_core.places import ContigNames
from model_core.run_folder.effects import row_values
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.occlusion import Occlusion
from model_core.run_folder.run import Run
from model_core.signals.bam_coverage import held_coverage
from model_core.study.schema import CACHE
from model_core.window import Window
from seq2exp_viz.file_names import gene_parts, run_part
from seq2exp_viz.runs.gene_models import GeneModels
from seq2exp_viz.runs.igv_names import IgvNames
from seq2exp_viz.runs.run_files import catalogue

PEAKS = "peaks.narrowPeak"
REMEMBERED = 8  # answers kept in memory; a mask of 200 kb takes 5 MB


class Memory:
    """The last few answers of a function, by key; safe to use from several threads."""

    def __init__(self, size: int = REMEMBERED):
        self.size, self._items, self._lock = size, OrderedDict(), threading.Lock()

    def get(self, key: tuple, make: Callable[[], Any]) -> Any:
        """The remembered answer, or a new one from `make` (its exceptions are not remembered)."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        value = make()
        with self._lock:
            self._items[key] = value
            while len(self._items) > self.size:
                self._items.popitem(last=False)
        return value


@dataclass(frozen=True)
class SignalTrack:
    """A raw signal of the study: `file` is the id of its bigWig, or None for contact read from a Hi-C file."""

    name: str
    id: str
    file: str | None
    transform: str


class RunView:
    """One run on the registry.

    Parameters
    ----------
    key : str
        Its name in URLs: letters, digits, dot, dash and underscore, unique on the registry.
    run : Run
        The opened run folder.
    cache : Path or None
        Folder for derived files.
    """

    def __init__(self, key: str, run: Run, cache: Path | None = None):
        self.key, self.run = key, run
        self.cache = cache or user_cache()
        self._notes: list[str] = []
        self._tell: Callable[[str], None] | None = None
        self._masks, self._cuts, self._vectors = Memory(), Memory(64), Memory()
        self._tables: dict[str, tuple[Any, Any]] = {}
        self._lock, self._reading, self._noting = threading.Lock(), threading.Lock(), threading.Lock()

    # ------------------------------------------------------------------------------------------ what went wrong

    @property
    def notes(self) -> list[str]:
        """What of the study could not be opened, computed or kept here, in words for the page; it may grow later."""
        return [*self._notes, *(words for words in notices() if words not in self._notes)]

    def note(self, words: str) -> None:
        """Have something said to the user: on the page, and once to who listens. Any thread may."""
        with self._noting:
            if words in self._notes:
                return
            self._notes.append(words)
        if self._tell is not None:
            self._tell(words)

    def listen(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called with each note, those so far and those to come."""
        self._tell = tell
        for words in list(self._notes):
            tell(words)

    # ------------------------------------------------------------------------------------------ what the run is

    @property
    def manifest(self) -> dict:
        """The manifest as it now stands on disk (a run may still be growing)."""
        return self._current().manifest

    def _current(self) -> Run:
        path = self.run.path / "manifest.json"
        stamp = path.stat().st_mtime_ns
        with self._lock:
            if stamp != getattr(self, "_stamp", None):
                if getattr(self, "_stamp", None) is not None:
                    self.run = Run.open(self.run.path)
                self._stamp = stamp
            return self.run

    @property
    def revision(self) -> str:
        """Changes when a gene is added or the tables are rewritten; cheap."""
        marks = []
        for name in ("scores.jsonl", "genes.tsv", "manifest.json"):
            try:
                found = (self.run.path / name).stat()
                marks.append(f"{found.st_mtime_ns:x}.{found.st_size:x}")
            except OSError:
                marks.append("-")
        return "-".join(marks)

    @cached_property
    def study(self):
        """The study (`model_core.study.study.Study`) as the run resolved it, or None with a note."""
        from model_core.study.study import Study

        if not self.run.study:
            self.note("The run does not say which study it was made from: raw signals cannot be shown.")
            return None
        try:
            described = self.run.manifest["study"] or {}
            return Study.restore(self.run.study, described.get("path") or self.run.path / "study.toml")
        except ValueError as problem:
            first = str(problem).splitlines()[0]
            self.note(f"The study named by the run could not be read ({first}).")
            return None

    @cached_property
    def contigs(self) -> ContigNames:
        """The genome's contigs, by any spelling of their names."""
        return ContigNames(self.run.chrom_sizes)

    @cached_property
    def igv_names(self) -> IgvNames:
        """What the contigs are called in igv.js."""
        return IgvNames(self.run.chrom_sizes)

    def file_stem(self, gene_id: str) -> str:
        """RUN.GENE, what the names of a gene's files begin with."""
        parts = self.keep("file parts", self.revision, lambda: gene_parts(self.genes))
        return f"{run_part(self.key)}.{parts[gene_id]}"

    @cached_property
    def genome(self):
        """The genome (`model_core.study.genome.Genome`), or None with a note where its file is not on this machine."""
        from model_core.study.genome import Genome

        if self.study is None:
            return None
        try:
            genome = Genome(self.study.genome_files.fasta)
            self.run.require_genome(genome.sizes, genome.path)
            return genome
        except (InputError, OSError) as problem:
            self.note(f"Bases are not shown: {problem}")
            return None

    @cached_property
    def signals(self) -> list[SignalTrack]:
        """The raw signals whose files are there; the others are named in the notes."""
        tracks = []
        for number, spec in enumerate(self.study.signal_specs if self.study else []):
            path = self._signal_file(spec)
            if path is None or not path.is_file():
                missing = (
                    f"the coverage of {spec.path} was not computed" if spec.is_bam else f"{spec.path} is not there"
                )
                self.note(f"{spec.name} is not shown: {missing}.")
                continue
            file = None if spec.is_hic else f"signal-{number}.bigWig"
            tracks.append(SignalTrack(spec.name, f"signal-{number}", file, spec.transform))
        return tracks

    @cached_property
    def models(self) -> GeneModels | None:
        """Gene models of the annotation, or None with a note."""
        if self.study is None:
            return None
        try:
            return GeneModels(self.study.genome_files.annotation, self.cache, self.note)
        except OSError:
            self.note(f"Genes are not drawn: {self.study.genome_files.annotation} is not there.")
            return None

    # ------------------------------------------------------------------------------------------ files by their id

    @cached_property
    def _study_files(self) -> dict[str, Path]:
        files: dict[str, Path] = {}
        if self.genome is not None:
            fasta = Path(self.study.genome_files.fasta)
            ending = "genome.fa.gz" if fasta.name.endswith((".gz", ".bgz")) else "genome.fa"
            files[ending] = fasta
            for suffix in (".fai", ".gzi"):
                index = Path(f"{fasta}{suffix}")
                if index.is_file():
                    files[f"{ending}{suffix}"] = index
        by_id = {track.id: track for track in self.signals}
        for number, spec in enumerate(self.study.signal_specs if self.study else []):
            track = by_id.get(f"signal-{number}")
            if track is not None and track.file is not None:
                files[track.file] = self._signal_file(spec)
        return files

    def _signal_file(self, spec) -> Path | None:
        path = Path(spec.path)
        if path.suffix.lower() != ".bam":
            return path
        # The coverage of a BAM was computed when the study was trained or scored; it is not computed here.
        try:
            return held_coverage(path, self.study.folder / CACHE, spec.extend, spec.shift or 0)
        except InputError:
            return None

    @cached_property
    def _own_files(self) -> dict[str, Path]:
        """id -> where in the run folder it lies, once it has been made."""
        places = {
            "elements.bed": "elements/elements.bed",
            "genes.tsv": "genes.tsv",
            "mask.bigWig": "tracks/mask.bigWig",
            "manifest.json": "manifest.json",
            "metrics.json": "metrics.json",
        }
        return {name: self.run.path / place for name, place in places.items()}

    def file(self, name: str) -> Path | None:
        """The path of a file by its id, None for anything the run does not name; nothing else is ever served."""
        if name == PEAKS:  # called later than the rest, and named after the sample
            return self.run.peak_files[0] if len(self.run.peak_files) == 1 else None
        path = self._study_files.get(name) or self._own_files.get(name)
        if path is None and name.startswith("file-"):
            path = next((file.path for file in catalogue(self.run.path) if file.id == name), None)
        return path if path is not None and path.is_file() else None

    @cached_property
    def sites(self) -> pd.DataFrame | None:
        """The genes of the study's table, scored or not, as `Study.gene_sites`; None where there is no table here."""
        if self.study is None or self.study.gene_settings.table is None:
            return None
        try:
            return self.study.gene_sites()
        except (InputError, OSError) as problem:
            self.note(f"Genes that are not scored are not listed: {str(problem).splitlines()[0]}")
            return None

    def keep(self, name: str, version: Any, make: Callable[[], Any]) -> Any:
        """The answer of `make` under a name, made again when the version of its source changes; one version is kept."""
        held = self._tables.get(name)
        if held is None or held[0] != version:
            held = self._tables[name] = (version, make())
        return held[1]

    @property
    def files(self) -> dict[str, Path]:
        """id -> path of all that may be downloaded now."""
        return {
            name: path
            for name in [*self._study_files, *self._own_files, PEAKS]
            if (path := self.file(name)) is not None
        }

    # ------------------------------------------------------------------------------------------ answers

    @property
    def genes(self) -> pd.DataFrame:
        """The gene table of the run, as far as it is scored."""
        return self._current().genes

    @property
    def model_version(self) -> str:
        """Changes with what answers to a what-if depend on: the weights, the rule of the elements, the run itself."""
        manifest = self.manifest
        return f"{manifest['created']} {self.run.checkpoint_sha256} {manifest['element_rule']}"

    def effect_rows(self, gene_id: str) -> list[dict]:
        """What is known of the effects of a gene's elements (model_core.run_folder.effects.ROW and the fold change)."""
        record = self._current().effect_records.get(gene_id)
        return [] if record is None else [row_values(row, record["label_transform"]) for row in record["rows"]]

    def occlusion(self, gene_id: str) -> Occlusion | None:
        """The gene's occlusion track, None where it was not computed."""
        return self._current().occlusion(gene_id)

    def gene(self, gene_id: str) -> pd.Series:
        """One gene by id or symbol; InputError where it is not scored."""
        return self._current().gene(gene_id)

    @property
    def peaks(self) -> pd.DataFrame | None:
        """The peaks of the run (`Run.peaks`); None where there are none, or they cannot be read, which is noted."""
        run = self._current()
        for path in unreadable(run.path / "peaks", "*.narrowPeak"):
            self.note(f"Peaks that this user may not read are left out: {path}")
        try:
            return run.peaks
        except (InputError, OSError) as problem:
            self.note(f"Peaks are not shown: {problem}")
            return None

    @property
    def effects(self) -> pd.DataFrame | None:
        """Knock-out effects (`Run.effects`); None where none were computed: nothing of the run is then read for it."""
        return self._current().effects if (self.run.path / "effects").is_dir() else None

    def mask(self, gene_id: str) -> GeneMask:
        """A gene's mask, remembered."""
        return self._masks.get((gene_id, self._gene_stamp), lambda: self._current().mask(gene_id))

    def interval(self, gene_id: str) -> tuple[np.ndarray, np.ndarray] | None:
        """(low, high) of the central 95 % of z, float32 (bins,), remembered; None where alpha + beta is fixed."""
        if self.run.band != "beta":
            return None
        return self._vectors.get(("interval", gene_id, self._gene_stamp), lambda: self.mask(gene_id).interval(0.95))

    def cut(self, gene_id: str, threshold: float | None = None) -> pd.DataFrame:
        """The gene's elements at a threshold (None: the run's rule), remembered."""
        from model_core.run_folder.elements import cut_elements

        rule = self.rule if threshold is None else self.rule.at(threshold)  # (`rule` also looks at the manifest)

        def make() -> pd.DataFrame:
            return cut_elements(self.mask(gene_id), rule, self.gene(gene_id), self.peaks)

        # The manifest is written after the peaks have come, so its time tells cuts without and with peaks apart.
        return self._cuts.get((gene_id, rule, self._gene_stamp, self._stamp), make)

    def contact(self, gene_id: str, name: str) -> np.ndarray:
        """Contact of each base of the window with this gene's TSS: float32 (window,)."""
        return self._vectors.get((name, gene_id), lambda: self._read([name], self.window(gene_id))[:, 0])

    @cached_property
    def prior_config(self) -> Seq2ExpConfig | None:
        """The model's settings where all its signals are on this machine, so that the prior alone can be shown."""
        try:
            config = Seq2ExpConfig.from_dict(self.run.config.get("model", {}))
        except (InputError, TypeError) as problem:
            self.note(f"The prior and the why tracks are not shown: {str(problem).splitlines()[0]}")
            return None
        return config if [track.name for track in self.signals] == list(config.signals) else None

    def model_signals(self, gene_id: str) -> np.ndarray:
        """The signals of a gene's window as the model sees them: float32 (window, signals), remembered."""
        names = list(self.prior_config.signals)
        return self._vectors.get(("signals", gene_id), lambda: self._read(names, self.window(gene_id)))

    def prior(self, gene_id: str) -> np.ndarray:
        """What the signals alone would keep: float32 (window,), 0 to 1, remembered."""
        key = ("prior", gene_id)
        return self._vectors.get(key, lambda: signal_prior(self.model_signals(gene_id), self.prior_config))

    def remember(self, key: tuple, make: Callable[[], Any]) -> Any:
        """What `make` gives, kept among the last few answers of this run."""
        return self._vectors.get((*key, self._gene_stamp), make)

    def truth(self, kind: str) -> pd.DataFrame | None:
        """What a simulation planted ("causal" or "decoys"), or None."""
        planted = self.study.truth if self.study is not None else None
        path = getattr(planted, kind, None) if kind in ("causal", "decoys") else None
        if path is None or not Path(path).is_file():
            return None
        return self._vectors.get(("truth", kind), lambda: read_bed(path))

    def window(self, gene_id: str) -> Window:
        """The window around a gene's TSS."""
        gene = self.gene(gene_id)
        length = int(self.run.manifest["window"])
        return Window(str(gene["chrom"]), int(gene["tss"]), str(gene["strand"]), length)

    def _read(self, names: list[str], window: Window) -> np.ndarray:
        """float32 (window, signals). One at a time: the readers of bigWig and Hi-C files are not made for threads."""
        with self._reading:
            by_name = {signal.name: signal for signal in self.study.signals()}
            return np.stack([by_name[name].read(window) for name in names], axis=1)

    @property
    def rule(self):
        """The rule of the elements, as the run states it (`Run.rule`)."""
        return self._current().rule

    @property
    def _gene_stamp(self) -> str:
        """Scored masks never change in place; a run folder made anew has another creation time."""
        return str(self.run.manifest["created"])
