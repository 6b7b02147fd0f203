"""The run folder: what training or scoring leaves, and all that the viewer needs (docs/run-folder.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.beta import beta_mean
from model_core.decision import DecisionRule
from model_core.errors import InputError
from model_core.files import remove_leftovers, write_json, write_text
from model_core.gene_finder import GeneFinder
from model_core.intervals import listed
from model_core.run_folder.effects import FOLDER, effect_table, read_effects, valid
from model_core.run_folder.elements import ELEMENT_COLUMNS, ElementRule, cut_elements, default_rule, read_elements
from model_core.run_folder.gene_scores import gene_table, journal_record
from model_core.run_folder.journal import Lock, append_journal, read_journal
from model_core.run_folder.manifest import check_lengths, is_free, new_manifest, read_manifest
from model_core.run_folder.mask_store import GeneMask, MaskStore, binned
from model_core.run_folder.occlusion import Occlusion, read_occlusion
from model_core.run_folder.run_files import RunFiles, stamp
from model_core.window import window_start

MEANING = ("window", "promoter", "resolution", "variant", "decision", "band")  # what masks of one run have in common
_JSON_FILES = ("config.json", "metrics.json", "study.json")
_GENES_FOR_A_FIRST_RULE = 64  # a power of two


class Run(RunFiles):
    """One run folder, made by `Run.create`, opened by `Run.open`. Reading needs no lock.

    What a writer adds meanwhile is seen at the next access; dicts and tables that are handed out are shared:
    copy them before changing them.
    """

    def __init__(self, path: Path, manifest: dict):
        super().__init__(path, manifest)
        self._masks = MaskStore(path / "masks.zarr", manifest["window"] // manifest["resolution"])
        self._lock = Lock(path / "lock")
        self._written: dict[str, dict] | None = None  # gene_id -> journal line, while this object is the writer

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        window: int,
        promoter: int,
        chrom_sizes: Mapping[str, int],
        variant: str = "soft",
        decision: DecisionRule | None = None,
        band: str | None = None,
        resolution: int = 1,
        kind: str = "scoring",
        name: str | None = None,
        simulated: bool = False,
        seed: int | None = None,
        study: str | Path | None = None,
        checkpoint: str | Path | None = None,
        resolved: dict | None = None,
        config: dict | None = None,
        blacklist: pd.DataFrame | None = None,
        asked: int | None = None,
    ) -> Run:
        """Make a new run folder and open it.

        Parameters
        ----------
        path : str or Path
            A folder that is not there, is empty, or was left by a creation that was killed.
        window, promoter, resolution : int
            bp; the resolution divides the window.
        chrom_sizes : Mapping[str, int]
            bp of each chromosome of the assembly.
        decision : DecisionRule or None
            How the model makes its mask of z; by default that of the published variant.
        band : str or None
            One of `manifest.BANDS`, what the width around a mask is; by default that of the published variant.
        kind : str
            "training" or "scoring".
        seed : int or None
            Of the random numbers.
        asked : int or None
            How many genes are to be scored.
        study, checkpoint : str or Path or None
            The files the run is made from; recorded with their sha256.
        resolved : dict or None
            The study with absolute paths (study.json).
        config : dict or None
            Model and training settings (config.json).
        blacklist : DataFrame or None
            chrom, start, end.

        Raises
        ------
        InputError
            The folder holds something else, or the lengths do not fit.
        """
        path = Path(path)
        if not is_free(path):
            found = "a run" if (path / "manifest.json").exists() else "other files"
            raise InputError(
                path, found=found, expected="an empty or new folder", fix="resume that run or give another folder"
            )
        lengths = {"window": window, "promoter": promoter, "resolution": resolution}
        described = {
            "kind": kind,
            "name": name or path.resolve().name,
            "variant": variant,
            "decision": (decision or DecisionRule("hard" if variant == "hard" else "soft")).to_dict(),
            "band": band or ("none" if variant == "causal" else "beta"),
            "simulated": simulated,
        }
        progress = {"scored": 0, "asked": asked}
        manifest = new_manifest(path, study, checkpoint, **described, **lengths, seed=seed, progress=progress)
        check_lengths(path, manifest)
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "study.json", resolved or {})
        write_json(path / "config.json", config or {})
        write_text(path / "chrom.sizes", "".join(f"{chrom}\t{size}\n" for chrom, size in chrom_sizes.items()))
        if blacklist is not None:
            rows = blacklist[["chrom", "start", "end"]]
            write_text(
                path / "blacklist.bed", rows.to_csv(sep="\t", header=False, index=False, lineterminator="\n", quoting=3)
            )
        write_json(path / "manifest.json", manifest)  # last: a folder with a manifest is whole
        return cls(path, manifest)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run folder.

        Raises
        ------
        InputError
            No run folder, one of a newer schema, or one that is damaged, half-written or has the
        chrom.sizes of another genome.
        """
        run = cls(Path(path), read_manifest(Path(path)))
        rows = run._masks.rows
        if len(run.scored) > rows:
            found, expected = f"{rows} rows of masks", f"the {len(run.scored)} that scores.jsonl names"
            raise InputError(run.path, found=found, expected=expected, fix="copy the whole folder again")
        sizes = run.chrom_sizes
        for gene in run._records().values():
            if not 0 <= gene["tss"] < sizes.get(gene["chrom"], 0):
                found = f"no base {gene['chrom']}:{gene['tss'] + 1:,}, where its gene {gene['gene_id']!r} begins"
                expected, do = "the chromosomes that the run was scored on", "copy the whole folder again"
                raise InputError(run.path / "chrom.sizes", found=found, expected=expected, fix=do)
        return run

    # ---- genes, masks, elements

    @property
    def scored(self) -> set[str]:
        """gene_id of each scored gene."""
        return set(self._records())

    @property
    def genes(self) -> pd.DataFrame:
        """GENE_COLUMNS of each scored gene by chrom, start, gene_id; DERIVED ones are NaN before `assemble`.

        tss: 0-based. start, end: the window inside the chromosome. residual: observed - predicted.
        kept_percent: 0-100.
        """
        derived = self.path / "genes.tsv"
        records = self._records()

        def table() -> pd.DataFrame:
            return gene_table(records, self.manifest["window"], self.chrom_sizes, derived)

        return self._cached("genes", (len(records), stamp(derived)), table)

    def gene(self, name: str) -> pd.Series:
        """The row of `genes` that is called so, by gene_id or symbol (`gene_finder.GeneFinder`).

        Raises
        ------
        InputError
            No such gene, or several.
        """
        genes, finder = self.genes, self.finder
        rows = finder.rows(name)
        if len(rows) == 1:
            return genes.iloc[rows[0]]
        if rows:
            found = f"{len(rows)} genes named {name!r} ({listed([finder.ids[row] for row in rows])})"
            raise InputError(self.path, found=found, expected="one", fix="ask by gene_id")
        near = finder.near(name)
        score = f"if its study has it, score it: seq2exp-viz score {self.path} --genes {name}"
        advice = f"did you mean {' or '.join(near)}? Otherwise, {score}" if near else score
        found = f"no gene {name!r} among {len(genes)} scored genes"
        raise InputError(self.path, found=found, expected="a scored gene", fix=advice)

    @property
    def finder(self) -> GeneFinder:
        """Finds rows of `genes` by id or symbol."""
        genes = self.genes
        return self._cached("finder", len(genes), lambda: GeneFinder(genes["gene_id"], genes["symbol"]))

    def mask(self, name: str) -> GeneMask:
        """The mask of a gene, by gene_id or symbol; promoter, blacklist and all off the chromosome forced."""
        records = self._records()
        record = records[name if name in records else self.gene(name)["gene_id"]]
        alpha, beta = self._masks.read(record["row"])
        start = window_start(record["tss"], self.manifest["window"])
        forced = self.forced(record["chrom"], start)
        end = start + self.manifest["window"]
        cutoff = record.get("cutoff")
        if cutoff is None and self.decision.binary:  # "top" in a run of an older version: from the stored E[z]
            cutoff = self.decision.cutoff(beta_mean(alpha, beta))
        return GeneMask(record["chrom"], start, end, self.manifest["resolution"], alpha, beta, forced, cutoff)

    @property
    def rule(self) -> ElementRule:
        """The rule the elements were cut by; before `assemble`, the default rule of the first genes.

        Those are the first 1, 2, 4, ... 64 genes that were scored, so that the rule seldom changes while a run grows.
        """
        if self.manifest["element_rule"]:
            return ElementRule.from_dict(self.manifest["element_rule"])
        names = list(islice(self._records(), _GENES_FOR_A_FIRST_RULE))
        names = names[: 1 << (len(names).bit_length() - 1)] if names else []
        return self._cached("rule", names, lambda: default_rule(map(self.mask, names), self.decision.binary))

    @property
    def elements(self) -> pd.DataFrame:
        """ELEMENT_COLUMNS of all genes' elements and promoters, sorted; no rows until `assemble` has run."""
        return self._file("elements/elements.bed", read_elements, pd.DataFrame(columns=list(ELEMENT_COLUMNS)))

    def cut(self, name: str, threshold: float | None = None) -> pd.DataFrame:
        """ELEMENT_COLUMNS of one gene, by gene_id or symbol; by the run's rule, or at another threshold."""
        gene = self.gene(name)
        rule = self.rule if threshold is None else self.rule.at(threshold)
        return cut_elements(self.mask(gene["gene_id"]), rule, gene, self.peaks)

    @property
    def effects(self) -> pd.DataFrame:
        """EFFECT_COLUMNS of all elements knocked out so far with the run's checkpoint, cut by its present rule; by gene
        in the order of `genes`, then by falling effect. No rows where `seq2exp-viz effects` was not run."""
        return self._cached("effects", (*self._effect_marks, stamp(self._journal)), self._effects)

    @property
    def effect_records(self) -> dict[str, dict]:
        """gene_id -> the record of its effects that `effects` is made of (model_core.run_folder.effects)."""
        return self._cached("effect records", self._effect_marks, self._effect_records)

    def occlusion(self, name: str) -> Occlusion | None:
        """The occlusion track of a gene, by gene_id or symbol; None where it was not computed."""
        records = self._records()
        gene_id = name if name in records else str(self.gene(name)["gene_id"])
        return read_occlusion(self.path, gene_id, self.checkpoint_sha256)

    # ---- writing

    @contextmanager
    def writing(self, asked: int | None = None) -> Iterator[Run]:
        """Hold the one writer's lock; `append` works inside. What a killed writer left half-done is dropped.

        Parameters
        ----------
        asked : int or None
            How many genes are to be scored in all, for the manifest's progress; by default as it was.

        Raises
        ------
        InputError
            Another process writes to this run.
        """
        if self._written is not None:  # inside another `writing` of this object
            yield self
            return
        self._lock.acquire()
        try:
            records, length = read_journal(self._journal)
            if self._journal.exists():
                os.truncate(self._journal, length)
            self._masks.tidy()
            for folder in (
                self.path,
                *(
                    self.path / name
                    for name in ("tracks", "elements", "peaks", "training", "effects", "effects/occlusion")
                ),
            ):
                remove_leftovers(folder)
            self._written = {record["gene_id"]: record for record in records}
            self._note_progress(asked)
            try:
                yield self
            finally:
                self._note_progress(asked)
        finally:
            self._written = None
            self._lock.release()

    def append(self, gene: Mapping, alpha: np.ndarray, beta: np.ndarray) -> None:
        """Add one scored gene: first its masks, then its journal line, each on the disk before the next.

        Parameters
        ----------
        gene : Mapping
            gene_id, chrom, tss (0-based), strand, predicted; symbol, split, observed where known.
        alpha, beta : ndarray
            (window,) or (bins,), > 0; bases are averaged into bins.

        Raises
        ------
        InputError
            The gene is scored already, or lies off the chromosomes of the run.
        RuntimeError
            Not inside `with run.writing():`.
        """
        self.extend([(gene, alpha, beta)])

    def extend(self, scored: Sequence[tuple[Mapping, np.ndarray, np.ndarray]]) -> None:
        """Add scored genes as `append` adds one: the masks of all, then their journal lines."""
        records = self._records_of([gene for gene, _, _ in scored])
        if records:
            columns = zip(*((alpha, beta) for _, alpha, beta in scored), strict=True)
            alpha, beta = (np.stack([binned(x, self._masks.bins) for x in column]) for column in columns)
            cutoffs = [self.decision.cutoff(z) for z in beta_mean(alpha, beta)]
            if self.decision.kind == "top":  # another one for each gene
                for record, cutoff in zip(records, cutoffs, strict=True):
                    record["cutoff"] = cutoff
            sides = np.array([0.5 if cutoff is None else cutoff for cutoff in cutoffs], np.float64)[:, None]
            self._masks.write(records[0]["row"], alpha, beta, sides)
            self._note(records)

    def adopt(self, genes: Sequence[tuple[Run, str]]) -> None:
        """Add genes that other runs of the same window and resolution scored: their masks' files, their lines.

        Parameters
        ----------
        genes : Sequence[tuple[Run, str]]
            (run, gene_id); the runs lie on this run's file system.

        Raises
        ------
        InputError
            As `append`. RuntimeError: as `append`.
        """
        theirs = [run._records()[gene_id] for run, gene_id in genes]
        records = self._records_of(theirs)
        if records:
            for record, part in zip(records, theirs, strict=True):
                if "cutoff" in part:
                    record["cutoff"] = part["cutoff"]
            rows = [(run._masks, record["row"]) for (run, _), record in zip(genes, theirs, strict=True)]
            self._masks.adopt(records[0]["row"], rows)
            self._note(records)

    def _records_of(self, genes: Sequence[Mapping]) -> list[dict]:
        """The journal's records for genes that take the next rows."""
        if self._written is None:
            raise RuntimeError("Run.append was called outside `with run.writing():`")
        records: dict[str, dict] = {}
        for gene in genes:
            record = journal_record(gene, len(self._written) + len(records), self.chrom_sizes, self.path)
            if record["gene_id"] in self._written or record["gene_id"] in records:
                found = f"gene {record['gene_id']!r} again"
                raise InputError(self.path, found=found, expected="each gene once", fix="leave it out")
            records[record["gene_id"]] = record
        return list(records.values())

    def _note(self, records: Sequence[dict]) -> None:
        for record in records:
            append_journal(self._journal, record)
            self._written[record["gene_id"]] = record

    def update(self, **changes: Any) -> None:
        """Change entries of the manifest, on disk and here.

        Raises
        ------
        InputError
            After genes were scored, a change of what their masks mean (window, promoter,
        resolution, variant, decision, band).
        """
        manifest = {**read_manifest(self.path), **changes}
        changed = [x for x in MEANING if manifest.get(x) != self.manifest.get(x)]
        if changed and self.scored:
            found, expected = f"a new {' and '.join(changed)}", f"that of its {len(self.scored)} scored genes"
            raise InputError(self.path, found=found, expected=expected, fix="score into another folder")
        check_lengths(self.path, manifest)
        write_json(self.path / "manifest.json", manifest)
        self.manifest = manifest
        self._masks = MaskStore(self._masks.path, manifest["window"] // manifest["resolution"])

    def write_json(self, name: str, value: dict) -> None:
        """Write config.json, metrics.json or study.json, atomically."""
        if name not in _JSON_FILES:
            raise ValueError(f"{name}: expected one of {', '.join(_JSON_FILES)}")
        write_json(self.path / name, value)

    # ---- inside

    @property
    def _effect_marks(self) -> tuple:
        journal = stamp(self.path / FOLDER / "effects.jsonl")
        return journal, repr(self.manifest["element_rule"]), self.checkpoint_sha256

    def _effect_records(self) -> dict[str, dict]:
        rule, sha256 = self.rule.to_dict(), self.checkpoint_sha256
        found = read_effects(self.path)
        return {gene_id: record for gene_id, record in found.items() if valid(record, rule, sha256)}

    def _effects(self) -> pd.DataFrame:
        records = self.effect_records
        return effect_table(records[name] for name in self.genes["gene_id"] if name in records)

    @property
    def _journal(self) -> Path:
        return self.path / "scores.jsonl"

    def _records(self) -> dict[str, dict]:
        if self._written is not None:  # the writer knows; reading the journal for each gene would not be linear
            return self._written
        return self._cached("records", stamp(self._journal), self._read_records)

    def _read_records(self) -> dict[str, dict]:
        return {record["gene_id"]: record for record in read_journal(self._journal)[0]}

    def _note_progress(self, asked: int | None) -> None:
        asked = self.manifest["progress"]["asked"] if asked is None else asked
        self.update(progress={"scored": len(self.scored), "asked": asked})
