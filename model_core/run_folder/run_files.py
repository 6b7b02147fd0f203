"""Files of a run folder that are read whole: JSON, sizes, blacklist, peaks; each is read once while unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.bed import read_bed, read_narrowpeak
from model_core.beta import BLACKLISTED, forced_state, promoter_bases
from model_core.config import Seq2ExpConfig, model_config
from model_core.decision import DecisionRule
from model_core.errors import InputError
from model_core.fingerprint import sha256_of
from model_core.intervals import match_chromosomes, rasterise, sort
from model_core.listing import files_in
from model_core.run_folder.manifest import read_json


class RunFiles:
    """Description, settings and small files of a run folder; the base of `Run`.

    Dicts and tables that are returned are shared: copy them before changing them.

    Parameters
    ----------
    path : Path
        The run folder.
    manifest : dict[str, Any]
        From `manifest.read_manifest`.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]):
        self.path, self.manifest = path, manifest
        self._cache: dict[str, tuple[Any, Any]] = {}

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
        alpha + beta, so that the width follows from the mean. "members": the spread between ensemble members.
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
        places = [path for path in places if path.is_file()]
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
        return self._file("config.json", read_json, {})

    @property
    def metrics(self) -> dict[str, Any]:
        """Errors, correlations, counts and times of the run (metrics.json); empty where none were written."""
        return self._file("metrics.json", read_json, {})

    @property
    def study(self) -> dict[str, Any]:
        """Content of study.json: the study from which the run was made, with absolute paths."""
        return self._file("study.json", read_json, {})

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome, in the order of the assembly."""
        return self._file("chrom.sizes", _read_sizes, {})

    def require_genome(self, sizes: Mapping[str, int], fasta: Path) -> None:
        """Check that a genome has the run's chromosomes, with the lengths that they had when the run was made.

        Parameters
        ----------
        sizes : Mapping[str, int]
            Length in bp of each chromosome of the genome.
        fasta : Path
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

    def _file(self, name: str, read: Callable[[Path], Any], without: Any) -> Any:
        path = self.path / name
        return self._cached(name, stamp(path), lambda: read(path)) if path.exists() else without

    def _cached(self, key: str, version: Any, make: Callable[[], Any]) -> Any:
        """Return the value that `make` returned for this version of its source; one version is kept per key."""
        held = self._cache.get(key)
        if held is None or held[0] != version:
            held = self._cache[key] = (version, make())
        return held[1]


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Return (modification time in ns, bytes, inode) of a file, which changes when the file does; None without it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_sizes(path: Path) -> dict[str, int]:
    try:
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        return {chrom: int(size) for chrom, size in rows}
    except ValueError:
        raise InputError(
            path, found="a damaged line", expected="chromosome and bp, separated by a tab", fix="copy the run again"
        ) from None


def _read_blacklist(path: Path) -> pd.DataFrame:
    return read_bed(path, names=("chrom", "start", "end"))


def _read_peaks(paths: list[Path]) -> pd.DataFrame:
    return sort(pd.concat([read_narrowpeak(path) for path in paths], ignore_index=True))
