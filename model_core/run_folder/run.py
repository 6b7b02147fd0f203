"""Run folder: the result of training or scoring, with all that the viewer needs (docs/run-folder.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.beta import beta_mean
from model_core.decision import DecisionRule
from model_core.errors import InputError
from model_core.files import append_json_line, naming, remove_leftovers, write_json, write_text
from model_core.listing import temporary_files
from model_core.lock import Lock, writing_into
from model_core.recent import Recent
from model_core.run_folder.calibration import FILE as CALIBRATION
from model_core.run_folder.gene_scores import ScoredGene, journal_record
from model_core.run_folder.journal import read_journal
from model_core.run_folder.manifest import check_lengths, is_free, new_manifest, read_manifest
from model_core.run_folder.mask_store import binned
from model_core.run_folder.member_effects import bin_count, checked, packed_effects
from model_core.run_folder.run_reader import RunReader, store_of

MEANING = ("window", "promoter", "resolution", "variant", "decision", "band")  # the same for all masks of a run
FURTHER = ("members", "contact")  # what a run stores of each gene beside its mask; absent in older runs
_OF_THE_ARRAYS = ("cutoff", "effect_unit", "contact")  # fields of a journal line that belong to a gene's arrays
_JSON_FILES = ("config.json", "metrics.json", "study.json", CALIBRATION)
_WRITTEN_UNDER_THE_LOCK = ("tracks", "elements", "peaks", "training")
_WITH_A_LOCK_OF_THEIR_OWN = {"effects": ("occlusion",), "compare": ("figures",)}  # and their subfolders


class Run(RunReader):
    """Run folder: scored genes, their masks, elements, tracks and effects.

    `Run.open` opens a run, `Run.create` makes a new one. Reading needs no lock, and what a writer adds meanwhile is
    seen at the next access. Dicts and tables that are returned are shared: copy them before changing them.

    Parameters
    ----------
    path : Path
        The run folder.
    manifest : dict[str, Any]
        From `manifest.read_manifest`.

    Examples
    --------
    >>> import model_core
    >>> run = model_core.Run.open("my-run")
    >>> run.genes["symbol"].tolist()
    ['MYC', 'HBB', 'GATA1', 'BCR']
    >>> mask = run.mask("MYC")
    >>> mask.chrom, mask.start, mask.end, mask.mean.shape
    ('chr1', 8000, 12000, (4000,))
    >>> elements = run.cut("MYC", threshold=0.6)
    >>> elements.loc[elements["class"] == "promoter", ["start", "end", "mean_mask"]].values.tolist()
    [[9800.0, 10200.0, 1.0]]
    """

    def __init__(self, path: Path, manifest: dict[str, Any]):
        super().__init__(path, manifest)
        self._lock = Lock(path / "lock")

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
        about_checkpoint: Mapping[str, Any] | None = None,
        resolved: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        blacklist: pd.DataFrame | None = None,
        asked: int | None = None,
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
        control: str | None = None,
        members: int | None = None,
        contact: str | None = None,
    ) -> Run:
        """Make a new run folder and open it.

        Parameters
        ----------
        path : str or Path
            A folder that does not exist, is empty, or was left by a creation that was killed.
        window, promoter, resolution : int
            Lengths in bp of the window around each TSS, of the promoter in its centre and of a bin; the resolution
            divides the window.
        chrom_sizes : Mapping[str, int]
            Length in bp of each chromosome of the assembly.
        variant : str
            Variant of the model: "soft", "hard" or "causal".
        decision : DecisionRule or None
            How the model makes its mask of z; by default that of the variant.
        band : str or None
            Meaning of the band around a mask, one of `manifest.BANDS`; by default that of the variant.
        kind : str
            "training" or "scoring".
        name : str or None
            Name of the run; by default that of the folder.
        simulated : bool
            Whether the data are simulated.
        seed : int or None
            Random seed of the training.
        study, checkpoint : str or Path or None
            Files from which the run is made; recorded with their sha256.
        about_checkpoint : Mapping[str, Any] or None
            What is known of the checkpoint's model: fields of `manifest.ModelSource`.
        resolved : dict[str, Any] or None
            The study with absolute paths (study.json).
        config : dict[str, Any] or None
            Settings of model and training (config.json).
        blacklist : DataFrame or None
            chrom, start, end.
        asked : int or None
            Number of genes that are to be scored.
        inputs : Mapping[str, Mapping[str, Any]] or None
            States of the study's files at addresses (`remote_inputs.remote_inputs`).
        control : str or None
            Negative control that the study stands for (`Study.control`).
        members : int or None
            Members of an additive model, whose effects are stored; None stores none.
        contact : str or None
            Signal of contact, of which the linear share is stored; None stores none.

        Returns
        -------
        Run
            The new run, without scored genes.

        Raises
        ------
        InputError
            The folder holds other files, or the lengths do not fit together.
        """
        path = Path(path)
        _require_free(path)
        lengths = {"window": window, "promoter": promoter, "resolution": resolution}
        described = {
            "kind": kind,
            "name": name or path.resolve().name,
            "variant": variant,
            "decision": (decision or DecisionRule("hard" if variant == "hard" else "soft")).to_dict(),
            "band": band or ("none" if variant == "causal" else "beta"),
            "simulated": simulated,
        }
        noted: dict[str, Any] = {"inputs": inputs} if inputs else {}
        noted |= {"control": control} if control else {}
        noted |= {"members": members} if members else {}
        noted |= {"contact": contact} if contact else {}
        progress = {"scored": 0, "asked": asked}
        manifest = new_manifest(
            path, study, checkpoint, about_checkpoint, **described, **lengths, seed=seed, progress=progress, **noted
        )
        check_lengths(path, manifest)
        path.mkdir(parents=True, exist_ok=True)
        with writing_into(path, seconds=0):
            _require_free(path)  # another process may have made a run there meanwhile
            write_json(path / "study.json", resolved or {})
            write_json(path / "config.json", config or {})
            write_text(path / "chrom.sizes", "".join(f"{chrom}\t{size}\n" for chrom, size in chrom_sizes.items()))
            if blacklist is not None:
                rows = blacklist[["chrom", "start", "end"]].to_csv(
                    sep="\t", header=False, index=False, lineterminator="\n", quoting=3
                )
                write_text(path / "blacklist.bed", rows)
            write_json(path / "manifest.json", manifest)  # last: a folder with a manifest is complete
        return cls(path, manifest)

    # ---- writing

    @contextmanager
    def writing(self, asked: int | None = None) -> Iterator[Run]:
        """Hold the lock of the one writer; `append` works inside. Leftovers of a killed writer are removed.

        Parameters
        ----------
        asked : int or None
            Number of genes that are to be scored in all, for the manifest's progress; None leaves it unchanged.

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
            self._tidy()
            self._written = {record["gene_id"]: record for record in records}
            self._note_progress(asked)
            try:
                yield self
            finally:
                self._note_progress(asked)
        finally:
            self._written = None
            self._lock.release()

    def _tidy(self) -> None:
        """Remove what killed writers left half-written; the caller holds the lock."""
        self._masks.tidy()
        for folder in (self.path, *(self.path / name for name in _WRITTEN_UNDER_THE_LOCK)):
            remove_leftovers(folder)
        for path in temporary_files(self.path, r"lock\.(new|stale)\.[0-9]+"):  # of an older version
            path.unlink(missing_ok=True)
        for name, below in _WITH_A_LOCK_OF_THEIR_OWN.items():
            if (self.path / name).is_dir():
                with suppress(InputError), writing_into(self.path / name, below, 0):
                    pass  # who writes there now tidies there, too

    def append(
        self,
        gene: Mapping[str, Any],
        alpha: np.ndarray,
        beta: np.ndarray,
        effects: np.ndarray | None = None,
        contact: np.ndarray | None = None,
    ) -> None:
        """Append one scored gene: first its masks, then its journal line, each on the disk before the next.

        Parameters
        ----------
        gene : Mapping[str, Any]
            gene_id, chrom, tss (0-based), strand, predicted; symbol, split, observed where known.
        alpha, beta : ndarray
            float (window,) or (bins,), above 0; bases are averaged into bins.
        effects, contact : ndarray or None
            As in `gene_scores.ScoredGene`; needed where the run's manifest says that they are stored, else not kept.

        Raises
        ------
        InputError
            The gene is scored already, lies beyond the chromosomes of the run, or has masks that are no finite numbers.
        RuntimeError
            The call is not inside `with run.writing():`.
        """
        self.extend([ScoredGene(gene, alpha, beta, effects, contact)])

    def extend(self, scored: Sequence[ScoredGene]) -> None:
        """Append several scored genes: the arrays of all, then their journal lines; as `append`."""
        records = self._records_of([each.gene for each in scored])
        if records:
            alpha, beta = (
                np.stack([self._binned(each.gene, getattr(each, name)) for each in scored])
                for name in ("alpha", "beta")
            )
            cutoffs = [self.decision.cutoff(z) for z in beta_mean(alpha, beta)]
            if self.decision.kind == "top":  # it differs between genes
                for record, cutoff in zip(records, cutoffs, strict=True):
                    record["cutoff"] = cutoff
            sides = np.array([0.5 if cutoff is None else cutoff for cutoff in cutoffs], np.float64)[:, None]
            further = self._further(scored, records)
            with naming(self._masks.path):
                self._masks.write(records[0]["row"], alpha, beta, sides, further)
            self._note(records)

    def _further(self, scored: Sequence[ScoredGene], records: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
        """Return the rows of what the run stores beside masks, and note in the journal's records that it does."""
        found: dict[str, list[np.ndarray]] = {name: [] for name in ("effects", "contact") if name in self._masks.layout}
        bins = bin_count(self.manifest["window"])
        for each, record in zip(scored, records, strict=True):
            if "effects" in found:
                effects = checked("effects", each.effects, (self.manifest["members"], bins))
                try:
                    shares, record["effect_unit"] = packed_effects(effects.reshape(-1))
                except InputError as error:
                    raise error.at(f"{self.path}, gene {record['gene_id']!r}, {error.where}") from None
                found["effects"].append(shares)
            if "contact" in found:
                found["contact"].append(checked("contact", each.contact, (bins,)))
                record["contact"] = True
        return {name: np.stack(rows) for name, rows in found.items()}

    def _binned(self, gene: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
        try:
            return binned(values, self._masks.bins)
        except InputError as error:
            raise error.at(f"{self.path}, gene {gene['gene_id']!r}, {error.where}") from None

    def adopt(self, genes: Sequence[tuple[Run, str]]) -> None:
        """Append genes that other runs with the same window and resolution have scored; files of masks are linked.

        Parameters
        ----------
        genes : Sequence[tuple[Run, str]]
            (run, gene_id) of each; the runs lie on this run's file system.

        Raises
        ------
        InputError, RuntimeError
            As `append`.
        """
        theirs = [run._records()[gene_id] for run, gene_id in genes]
        records = self._records_of(theirs)
        if records:
            for record, part in zip(records, theirs, strict=True):
                record |= {name: part[name] for name in _OF_THE_ARRAYS if name in part}
            rows = [(run._masks, record["row"]) for (run, _), record in zip(genes, theirs, strict=True)]
            with naming(self._masks.path):
                self._masks.adopt(records[0]["row"], rows)
            self._note(records)

    def _as_writer(self) -> dict[str, dict[str, Any]]:
        """Return the journal's records by gene_id, to which the writer adds; RuntimeError outside `writing`."""
        if self._written is None:
            raise RuntimeError("Run.append was called outside `with run.writing():`")
        return self._written

    def _records_of(self, genes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the journal's records for genes that get the next rows."""
        written = self._as_writer()
        records: dict[str, dict[str, Any]] = {}
        for gene in genes:
            record = journal_record(gene, len(written) + len(records), self.chrom_sizes, self.path)
            if record["gene_id"] in written or record["gene_id"] in records:
                found = f"gene {record['gene_id']!r} again"
                raise InputError(self.path, found=found, expected="each gene once", fix="leave it out")
            records[record["gene_id"]] = record
        return list(records.values())

    def _note(self, records: Sequence[dict[str, Any]]) -> None:
        written = self._as_writer()
        for record in records:
            append_json_line(self._journal, record)
            written[record["gene_id"]] = record

    def update(self, **changes: Any) -> None:
        """Change entries of the manifest, on disk and in this object.

        Parameters
        ----------
        **changes : Any
            The new entries.

        Raises
        ------
        InputError
            A change of what the masks of scored genes mean (window, promoter, resolution, variant, decision, band),
            or of what is stored beside them (members, contact).
        """
        manifest = {**read_manifest(self.path), **changes}
        changed = [x for x in (*MEANING, *FURTHER) if manifest.get(x) != self.manifest.get(x)]
        if changed and self.scored:
            found, expected = f"a new {' and '.join(changed)}", f"that of its {len(self.scored)} scored genes"
            raise InputError(self.path, found=found, expected=expected, fix="score into another folder")
        check_lengths(self.path, manifest)
        write_json(self.path / "manifest.json", manifest)
        self.manifest = manifest
        self._recent, self._recent_effects = Recent(), Recent()
        self._masks = store_of(self.path, manifest)

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write config.json, metrics.json, study.json or calibration.json atomically.

        Parameters
        ----------
        name : str
            Name of the file.
        value : dict[str, Any]
            JSON values.
        """
        if name not in _JSON_FILES:
            raise ValueError(f"{name}: expected one of {', '.join(_JSON_FILES)}")
        write_json(self.path / name, value)

    def _note_progress(self, asked: int | None) -> None:
        asked = self.manifest["progress"]["asked"] if asked is None else asked
        self.update(progress={"scored": len(self.scored), "asked": asked})


def _require_free(path: Path) -> None:
    """Raise InputError unless a run can be made in a folder (`is_free`)."""
    if not is_free(path):
        found = "a run" if (path / "manifest.json").exists() else "other files"
        raise InputError(
            path, found=found, expected="an empty or new folder", fix="resume that run or give another folder"
        )


def open_run(path: str | Path) -> Run:
    """Open a run folder, to read its tables and arrays.

    `.genes`, `.elements` and `.effects` are DataFrames; `.mask(gene)` holds arrays (mean, sd, interval(), alpha, beta);
    `.cut(gene, threshold)` cuts elements at another threshold; `.manifest`, `.config` and `.metrics` are dicts.

    Parameters
    ----------
    path : str or Path
        The folder, made by `train` or `score`.

    Returns
    -------
    Run
        The run.

    Raises
    ------
    InputError
        The folder is no run, is damaged, or has a newer schema.

    Examples
    --------
    >>> import model_core
    >>> run = model_core.open_run("my-run")
    >>> run.name, run.manifest["variant"], run.manifest["window"]
    ('my-run', 'soft', 4000)
    >>> run.genes[["symbol", "chrom", "tss", "strand"]].head(2).values.tolist()
    [['MYC', 'chr1', 10000, '+'], ['HBB', 'chr1', 16000, '+']]
    """
    return Run.open(path)
