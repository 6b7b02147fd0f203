"""The files of a run folder that are read whole: JSON, sizes, blacklist, peaks. Read once while unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.bed import read_bed, read_narrowpeak
from model_core.errors import InputError, complaint
from model_core.intervals import rasterise, sort
from model_core.listing import files_in
from model_core.outputs.posterior import BLACKLISTED, forced_state, promoter_bases


class RunFiles:
    """What a run folder says of itself; the base of `Run`.

    Dicts and tables that are handed out are shared: copy them before changing them.
    """

    def __init__(self, path: Path, manifest: dict):
        self.path, self.manifest = path, manifest
        self._cache: dict[str, tuple[Any, Any]] = {}

    @property
    def name(self) -> str:
        """What people call the run."""
        return self.manifest["name"]

    @property
    def hard(self) -> bool:
        """Whether the model uses 1[E[z] >= 0.5] in place of E[z]."""
        return self.manifest["variant"] == "hard"

    @property
    def has_spread(self) -> bool:
        """Whether the width of the Betas is a statement of its own: not under the logit head, which fixes alpha + beta,
        so that the width follows from the mean."""
        model = self.config.get("model") or {}
        return model.get("head", "logit" if self.manifest["variant"] == "causal" else "beta") != "logit"

    @property
    def checkpoint(self) -> Path | None:
        """The file of the run's weights: its own, or the one it was scored with; None where that is not there."""
        recorded = self.manifest["checkpoint"]
        places = [self.path / "checkpoint.safetensors"]
        if recorded is not None:
            places += [Path(recorded["path"]), self.path / recorded["relative"]]
        return next((path for path in places if path.is_file()), None)

    @property
    def checkpoint_sha256(self) -> str | None:
        """sha256 of the weights the run was scored with; None before training has ended."""
        return (self.manifest["checkpoint"] or {}).get("sha256")

    @property
    def config(self) -> dict:
        """Model configuration and training settings; empty where none was written."""
        return self._file("config.json", _read_json, {})

    @property
    def metrics(self) -> dict:
        """Numbers about the run; empty where none was written."""
        return self._file("metrics.json", _read_json, {})

    @property
    def study(self) -> dict:
        """The study as resolved, with absolute paths."""
        return self._file("study.json", _read_json, {})

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """bp of each chromosome, in the order of the assembly."""
        return self._file("chrom.sizes", _read_sizes, {})

    @property
    def blacklist(self) -> pd.DataFrame | None:
        """chrom, start, end of the blacklist; None where there is none."""
        return self._file("blacklist.bed", _read_blacklist, None)

    @property
    def peak_files(self) -> list[Path]:
        """The narrowPeak files in peaks/, by name; a file without a byte counts only where there is no other."""
        found = files_in(self.path / "peaks", "*.narrowPeak")
        return [path for path in found if path.stat().st_size] or found

    @property
    def peaks(self) -> pd.DataFrame | None:
        """The rows of all narrowPeak files, sorted; None where there is no file."""
        files = self.peak_files
        return self._cached("peaks", [stamp(file) for file in files], lambda: _read_peaks(files)) if files else None

    @property
    def merged_track(self) -> Path | None:
        """The bigWig of all genes' masks merged by max; None until `assemble` has run."""
        path = self.path / "tracks" / "mask.bigWig"
        return path if path.exists() else None

    def forced(self, chrom: str, start: int) -> np.ndarray:
        """int8 (bins,) of the window from `start`: -1 learned, 0 blacklist or off the chromosome, 1 promoter.

        A bin with any base off the chromosome counts as off it, so that nothing drawn or cut ever leaves the
        chromosome.
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
        """What `make` gave for this version of its source; one version is kept."""
        held = self._cache.get(key)
        if held is None or held[0] != version:
            held = self._cache[key] = (version, make())
        return held[1]


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Something that changes when a file changes; None while there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(complaint(path, f"damaged JSON ({error})", "a JSON file", "copy the run again")) from None


def _read_sizes(path: Path) -> dict[str, int]:
    try:
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        return {chrom: int(size) for chrom, size in rows}
    except ValueError:
        raise InputError(complaint(path, "a damaged line", "chromosome and bp, a tab between", "mend it")) from None


def _read_blacklist(path: Path) -> pd.DataFrame:
    return read_bed(path, names=("chrom", "start", "end"))


def _read_peaks(paths: list[Path]) -> pd.DataFrame:
    return sort(pd.concat([read_narrowpeak(path) for path in paths], ignore_index=True))
