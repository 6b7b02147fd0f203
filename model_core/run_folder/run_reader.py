"""Reading of a run folder: scored genes, their masks, elements, effects and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from model_core.bed import read_bed, read_lines
from model_core.beta import BLACKLISTED, beta_mean, forced_state, promoter_bases
from model_core.bins import EFFECT_BIN, bin_sums
from model_core.config import Seq2ExpConfig, model_config
from model_core.decision import DecisionRule
from model_core.errors import InputError
from model_core.fingerprint import sha256_of
from model_core.gene_finder import GeneFinder
from model_core.input_file import is_regular
from model_core.intervals import listed, match_chromosomes, rasterise, sort
from model_core.kept_peaks import parsed_peaks
from model_core.listing import files_in
from model_core.recent import Recent
from model_core.records import COPY_AGAIN, read_json
from model_core.remote.address import InputPath
from model_core.run_folder.calibration import FILE as CALIBRATION
from model_core.run_folder.calibration import Calibration, read_calibration
from model_core.run_folder.effects import FOLDER, effect_table, read_effects, valid
from model_core.run_folder.elements import ElementRule, cut_elements, default_rule, no_elements, read_elements
from model_core.run_folder.gene_scores import gene_table
from model_core.run_folder.journal import read_journal
from model_core.run_folder.manifest import read_config, read_manifest
from model_core.run_folder.mask_layout import contact_array, effects_array
from model_core.run_folder.mask_store import GeneMask, MaskStore
from model_core.run_folder.member_effects import MemberEffects, bin_count
from model_core.run_folder.metrics_file import read_metrics
from model_core.run_folder.occlusion import Occlusion, read_occlusion
from model_core.run_folder.seen_genes import seen_genes
from model_core.window import Window, window_start

_GENES_FOR_A_FIRST_RULE = 64  # a power of two


class RunReader:
    """What can be read of a run folder; `Run` adds what writes into it.

    Reading needs no lock, and what a writer adds meanwhile is seen at the next access. Dicts and tables that are
    returned are shared: copy them before changing them.

    Parameters
    ----------
    path : Path
        The run folder.
    manifest : dict[str, Any]
        From `manifest.read_manifest`.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]):
        self.path, self.manifest = path, manifest
        self._cache: dict[str, tuple[Any, Any]] = {}  # name -> (version of the source, what was made of it)
        self._masks = store_of(path, manifest)
        self._recent = Recent()  # gene_id -> GeneMask
        self._recent_effects = Recent()  # gene_id -> MemberEffects
        # gene_id -> journal record, while this object is the writer
        self._written: dict[str, dict[str, Any]] | None = None

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a run folder.

        Parameters
        ----------
        path : str or Path
            The folder.

        Raises
        ------
        InputError
            No run folder; or one of a newer schema, damaged, half-written, or with the chrom.sizes of another genome.
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

    # ---- files that are read whole

    @property
    def name(self) -> str:
        """Name of the run, as the page and the reports show it."""
        return self.manifest["name"]

    @property
    def decision(self) -> DecisionRule:
        """Rule by which the model makes its mask of z."""
        return DecisionRule.from_dict(self.manifest["decision"])

    @property
    def band(self) -> str:
        """Meaning of the band around a mask, one of `manifest.BANDS`.

        "beta": the width of z under the model's Beta (`beta_sd`). "none": no band, because a logit head fixes
        alpha + beta, so that the width follows from the mean. "members": the spread of z over an ensemble's members.
        """
        return self.manifest["band"]

    @property
    def model_config(self) -> Seq2ExpConfig | None:
        """Settings of the model; None where config.json has none, or some that this version does not know."""
        return model_config(self.config)

    @property
    def checkpoint(self) -> Path | None:
        """File of the model's weights: the run's own, or the one it was scored with; None where it is missing.

        A recorded file is searched at its path relative to the run folder, then at its absolute path. Where both exist
        and differ, the one with the recorded sha256 is used.
        """
        own, recorded = self.path / "checkpoint.safetensors", self.manifest["checkpoint"]
        if recorded is None or own.is_file():
            return own if own.is_file() else None
        places = [(self.path / recorded["relative"]).resolve(), Path(recorded["path"])]
        places = [path for path in places if is_regular(path)]
        if len(places) < 2 or places[0].samefile(places[1]):
            return places[0] if places else None

        def same_weights() -> Path:
            return next((path for path in places if sha256_of(path) == recorded["sha256"]), places[0])

        return self._cached("checkpoint", [recorded["sha256"], *map(stamp, places)], same_weights)

    @property
    def checkpoint_sha256(self) -> str | None:
        """Hash (sha256) of the weights with which the run was scored; None before training has ended."""
        return (self.manifest["checkpoint"] or {}).get("sha256")

    @property
    def config(self) -> dict[str, Any]:
        """Settings of model and training (config.json); empty where none were written."""
        return self._file("config.json", read_config, {})

    @property
    def metrics(self) -> dict[str, Any]:
        """Errors, correlations, counts and times of the run (metrics.json); empty where none were written."""
        return self._file("metrics.json", read_metrics, {})

    @property
    def study(self) -> dict[str, Any]:
        """Content of study.json: the study from which the run was made, with absolute paths."""
        return self._file("study.json", read_json, {})

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome, in the order of the assembly."""
        return self._file("chrom.sizes", _read_sizes, {})

    def require_genome(self, sizes: Mapping[str, int], fasta: InputPath) -> None:
        """Check that a genome has the run's chromosomes, with the lengths that they had when the run was made.

        Parameters
        ----------
        sizes : Mapping[str, int]
            Length in bp of each chromosome of the genome.
        fasta : InputPath
            File of the genome, for the message.

        Raises
        ------
        InputError
            A chromosome is missing or has another length.
        """
        match_chromosomes(sizes, self.chrom_sizes, fasta)
        other = [chrom for chrom, size in self.chrom_sizes.items() if sizes[chrom] != size]
        if other:
            chrom = other[0]
            more = f", and {len(other) - 1} more of another length" if len(other) > 1 else ""
            found = f"'{chrom}' with {sizes[chrom]:,} bp{more}"
            expected = f"{self.chrom_sizes[chrom]:,} bp, as in {self.path / 'chrom.sizes'}"
            do = "put back the genome that the run was made from, or score into a new run folder"
            raise InputError(fasta, found=found, expected=expected, fix=do)

    @property
    def blacklist(self) -> pd.DataFrame | None:
        """Intervals of the blacklist (chrom, start, end); None where the run has none."""
        return self._file("blacklist.bed", _read_blacklist, None)

    @property
    def peak_files(self) -> list[Path]:
        """Paths of the narrowPeak files in peaks/, by name; an empty file counts only where there is no other."""
        found = files_in(self.path / "peaks", "*.narrowPeak")
        return [path for path in found if path.stat().st_size] or found

    @property
    def peaks(self) -> pd.DataFrame | None:
        """Rows of all narrowPeak files, sorted; None where there is no file."""
        files = self.peak_files
        return self._cached("peaks", [stamp(file) for file in files], lambda: _read_peaks(files)) if files else None

    @property
    def merged_track(self) -> Path | None:
        """Path of the bigWig with the masks of all genes merged by max; None until `assemble` has run."""
        path = self.path / "tracks" / "mask.bigWig"
        return path if path.exists() else None

    def forced(self, chrom: str, start: int) -> np.ndarray:
        """Return which bins of a window the model did not decide.

        Parameters
        ----------
        chrom : str
            Chromosome of the window.
        start : int
            First base of the window, 0-based; may be negative.

        Returns
        -------
        ndarray
            int8 (bins,): -1 learned, 0 blacklist or beyond the chromosome, 1 promoter. A bin with any base beyond the
            chromosome counts as beyond it, so that no mask or element leaves the chromosome.
        """
        window, resolution = self.manifest["window"], self.manifest["resolution"]
        blacklist = np.zeros(window, bool)
        if self.blacklist is not None:
            blacklist = rasterise(self.blacklist, chrom, start, start + window)
        state = forced_state(promoter_bases(window, self.manifest["promoter"]), blacklist, resolution)
        ends = start + resolution * np.arange(1, len(state) + 1)
        state[(ends - resolution < 0) | (ends > self.chrom_sizes[chrom])] = BLACKLISTED
        return state

    # ---- genes, masks, elements

    @property
    def scored(self) -> set[str]:
        """Ids (gene_id) of the scored genes."""
        return set(self._records())

    @property
    def without_contact(self) -> set[str]:
        """Ids of the scored genes in whose window the contact that the readout is weighted by is 0 everywhere."""
        return {gene_id for gene_id, record in self._records().items() if record.get("no_contact")}

    @property
    def genes(self) -> pd.DataFrame:
        """Table of the scored genes: GENE_COLUMNS, sorted by chrom, start, gene_id.

        tss: 0-based. start, end: the part of the window inside the chromosome. observed, predicted: in the label's
        unit. residual: observed - predicted. kept_percent: 0 to 100. The columns DERIVED are NaN before `assemble`.
        seen_in_training: True, False, or None where that is not known (`seen_genes`).
        """
        derived = self.path / "genes.tsv"
        records = self._records()

        def table() -> pd.DataFrame:
            known = gene_table(records, self.manifest["window"], self.chrom_sizes, derived)
            return known.assign(seen_in_training=pd.Series(seen_genes(known, self.manifest), known.index, object))

        return self._cached("genes", (len(records), stamp(derived), self.checkpoint_sha256), table)

    def gene(self, name: str) -> pd.Series:
        """Return the row of `genes` with this gene_id or symbol (`gene_finder.GeneFinder`).

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
        """Finder of rows of `genes` by id or symbol."""
        genes = self.genes
        return self._cached("finder", len(genes), lambda: GeneFinder(genes["gene_id"], genes["symbol"]))

    def mask(self, name: str) -> GeneMask:
        """Return the mask of a gene, by gene_id or symbol.

        Promoter, blacklist and bases beyond the chromosome are forced. The masks read last stay in memory (5 MB each
        for 200 kb), as stored masks never change.

        Raises
        ------
        InputError
            No such gene, or several.
        """
        record = self._record(name)
        return self._recent.get(record["gene_id"], lambda: self._read_mask(record))

    def member_effects(self, name: str) -> MemberEffects | None:
        """Return the stored effects of a gene's window on it, by gene_id or symbol.

        None in runs whose model is not additive, and for genes that an older version scored. Blacklisted bases have no
        effect, because the model never reads them. Those read last stay in memory (500 kB each for 200 kb and five
        members).

        Raises
        ------
        InputError
            No such gene, or several; or damaged effects.
        """
        record = self._record(name)
        if self.manifest.get("members") is None or record.get("effect_unit") is None:
            return None
        return self._recent_effects.get(record["gene_id"], lambda: self._read_effects(record))

    def contact(self, name: str) -> np.ndarray | None:
        """Return the contact of a gene's window with its TSS, by gene_id or symbol: float32 (bins of 8 bp,).

        It is the linear share of the window's highest contact, 0 to 1, along the forward strand. None where the model
        reads no contact, and for genes that an older version scored.

        Raises
        ------
        InputError
            No such gene, or several; or damaged contact.
        """
        record = self._record(name)
        if self.manifest.get("contact") is None or not record.get("contact"):
            return None
        return self._masks.read_array("contact", record["row"], record["gene_id"])

    def _record(self, name: str) -> dict[str, Any]:
        """Return the journal's record of a gene, by gene_id or symbol."""
        records = self._records()
        return records[name if name in records else str(self.gene(name)["gene_id"])]

    def _read_effects(self, record: Mapping[str, Any]) -> MemberEffects:
        window, members = self.manifest["window"], self.manifest["members"]
        stored = self._masks.read_array("effects", record["row"], record["gene_id"]).reshape(members, -1)
        start = window_start(record["tss"], window)
        values = stored * np.float32(record["effect_unit"])
        if self.blacklist is not None:
            hidden = rasterise(self.blacklist, record["chrom"], start, start + window)
            hidden &= ~promoter_bases(window, self.manifest["promoter"])
            sizes = np.diff(np.append(np.arange(0, window, EFFECT_BIN), window))
            values = values * (1 - bin_sums(hidden.astype(np.float32), EFFECT_BIN) / sizes).astype(np.float32)
        return MemberEffects(record["chrom"], start, start + window, EFFECT_BIN, values)

    def _read_mask(self, record: Mapping[str, Any]) -> GeneMask:
        alpha, beta = self._masks.read(record["row"], record["gene_id"])
        start = window_start(record["tss"], self.manifest["window"])
        forced = self.forced(record["chrom"], start)
        end = start + self.manifest["window"]
        cutoff = record.get("cutoff")
        if cutoff is None and self.decision.binary:  # "top" in a run of an older version: from the stored E[z]
            cutoff = self.decision.cutoff(beta_mean(alpha, beta))
        return GeneMask(record["chrom"], start, end, self.manifest["resolution"], alpha, beta, forced, cutoff)

    def window(self, name: str) -> Window:
        """Return the window around a gene's TSS, by gene_id or symbol."""
        gene = self.gene(name)
        return Window(str(gene["chrom"]), int(gene["tss"]), str(gene["strand"]), int(self.manifest["window"]))

    @property
    def rule(self) -> ElementRule:
        """Rule by which the elements were cut; before `assemble`, the default rule over the first genes.

        These are the first 1, 2, 4, ... 64 genes that were scored, so that the rule seldom changes while a run grows.
        """
        if self.manifest["element_rule"]:
            return ElementRule.from_dict(self.manifest["element_rule"])
        names = list(islice(self._records(), _GENES_FOR_A_FIRST_RULE))
        names = names[: 1 << (len(names).bit_length() - 1)] if names else []
        return self._cached("rule", names, lambda: default_rule(map(self.mask, names), self.decision.binary))

    @property
    def elements(self) -> pd.DataFrame:
        """Table of the elements and promoters of all genes: ELEMENT_COLUMNS, sorted; no rows before `assemble`."""
        return self._file("elements/elements.bed", read_elements, no_elements())

    def cut(self, name: str, threshold: float | None = None) -> pd.DataFrame:
        """Cut the elements of one gene.

        Parameters
        ----------
        name : str
            The gene's gene_id or symbol.
        threshold : float or None
            Threshold of the mask, 0 to 1; None for the run's rule.

        Returns
        -------
        DataFrame
            ELEMENT_COLUMNS of its elements and promoter, left to right.

        Raises
        ------
        InputError
            No such gene, or a threshold out of range.
        """
        gene = self.gene(name)
        rule = self.rule if threshold is None else self.rule.at(threshold)
        gene_id = gene["gene_id"]
        known = self.member_effects(gene_id), self.contact(gene_id)
        return cut_elements(self.mask(gene_id), rule, gene, self.peaks, *known)

    @property
    def effects(self) -> pd.DataFrame:
        """Table of knock-out effects: EFFECT_COLUMNS, by gene in the order of `genes`, then by falling effect.

        It holds the elements that were knocked out with the run's checkpoint and cut by its present rule; no rows where
        `seq2exp-viz effects` was not run.
        """
        return self._cached("effects", (*self._effect_marks, stamp(self._journal)), self._effects)

    @property
    def effect_records(self) -> dict[str, dict[str, Any]]:
        """Records from which `effects` is made, by gene_id (`model_core.run_folder.effects`)."""
        return self._cached("effect records", self._effect_marks, self._effect_records)

    @property
    def calibration(self) -> Calibration | None:
        """Chance of an element by its score; None where it was not fitted with the run's weights and present rule."""
        found = self._file(CALIBRATION, read_calibration, None)
        if found is None or found.record["checkpoint"] != self.checkpoint_sha256:
            return None
        return found if ElementRule.from_dict(found.record["rule"]) == self.rule else None

    def occlusion(self, name: str) -> Occlusion | None:
        """Return the occlusion track of a gene, by gene_id or symbol; None where it was not computed."""
        return read_occlusion(self.path, self._record(name)["gene_id"], self.checkpoint_sha256)

    # ---- inside

    def _file(self, name: str, read: Callable[[Path], Any], without: Any) -> Any:
        path = self.path / name
        return self._cached(name, stamp(path), lambda: read(path)) if path.exists() else without

    def _cached(self, key: str, version: Any, make: Callable[[], Any]) -> Any:
        """Return the value that `make` returned for this version of its source; one version is kept per key."""
        held = self._cache.get(key)
        if held is None or held[0] != version:
            held = self._cache[key] = (version, make())
        return held[1]

    @property
    def _effect_marks(self) -> tuple[Any, ...]:
        journal = stamp(self.path / FOLDER / "effects.jsonl")
        return journal, repr(self.manifest["element_rule"]), self.checkpoint_sha256

    def _effect_records(self) -> dict[str, dict[str, Any]]:
        found = read_effects(self.path)
        if not found:
            return {}
        rule, sha256 = self.rule.to_dict(), self.checkpoint_sha256
        return {gene_id: record for gene_id, record in found.items() if valid(record, rule, sha256)}

    def _effects(self) -> pd.DataFrame:
        records = self.effect_records
        return effect_table(records[name] for name in self.genes["gene_id"] if name in records)

    @property
    def _journal(self) -> Path:
        return self.path / "scores.jsonl"

    def _records(self) -> dict[str, dict[str, Any]]:
        if self._written is not None:  # reading the journal again for each appended gene would take quadratic time
            return self._written
        return self._cached("records", stamp(self._journal), self._read_records)

    def _read_records(self) -> dict[str, dict[str, Any]]:
        return {record["gene_id"]: record for record in read_journal(self._journal)[0]}


def store_of(path: Path, manifest: Mapping[str, Any]) -> MaskStore:
    """Return the store of a run's arrays."""
    bins, members = bin_count(manifest["window"]), manifest.get("members")
    further = [] if members is None else [effects_array(members, bins)]
    further += [] if manifest.get("contact") is None else [contact_array(bins)]
    return MaskStore(path / "masks.zarr", manifest["window"] // manifest["resolution"], further)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Return (modification time in ns, bytes, inode) of a file, which changes when the file does; None without it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_sizes(path: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for number, line in read_lines(path):
        chrom, _, size = line.partition("\t")
        if not (chrom and chrom.isprintable() and size.isascii() and size.isdigit() and len(size) <= 12):
            found = f"the line {line[:40]!r}"
        elif chrom in sizes:
            found = f"chromosome {chrom!r} a second time"
        else:
            sizes[chrom] = int(size)
            continue
        expected = "chromosome and bp, separated by a tab"
        raise InputError(f"{path} line {number}", found=found, expected=expected, fix=COPY_AGAIN)
    return sizes


def _read_blacklist(path: Path) -> pd.DataFrame:
    return read_bed(path, names=("chrom", "start", "end"))


def _read_peaks(paths: list[Path]) -> pd.DataFrame:
    return sort(pd.concat([parsed_peaks(path) for path in paths], ignore_index=True))
