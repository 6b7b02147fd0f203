"""Contacts of a .hic file, read from a small .cool that is made of it once.

A .hic is read by a separate process (hic_reader), which writes the normalised contacts near the diagonal into the
cache. From then on rows are read as from any .cool.
"""

import fcntl
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from model_core.cache import held_file, writable_folder
from model_core.child import child_environment
from model_core.errors import InputError
from model_core.files import replacing
from model_core.fingerprint import fingerprint
from model_core.signals.cooler_rows import WHOLE, CoolerRows, require_normalisation, require_resolution

_RULE = 2  # version of the map; raise it when the same .hic and settings give another
REACH = 100_000  # bp from the diagonal that a cached map covers at least: half a window of the method


class HicFacts(NamedTuple):
    """Contents of a .hic file.

    Attributes
    ----------
    sizes : dict[str, int]
        Length in bp by chromosome.
    resolutions : list[int]
        bp per bin.
    normalisations : list[str]
        Names of the normalisations at the requested resolution.
    """

    sizes: dict[str, int]
    resolutions: list[int]
    normalisations: list[str]


class HicRows:
    """Normalised contacts of a .hic at one resolution.

    An instance can be pickled and read in any process and thread.

    Parameters
    ----------
    path : str or Path
        The .hic.
    resolution : int
        bp per bin; the file must hold it.
    normalisation : str
        As the file names it, or "NONE".
    cache : str or Path
        Folder for the map; created where missing.
    """

    def __init__(self, path: str | Path, resolution: int, normalisation: str, cache: str | Path):
        self.path, self.resolution, self.normalisation, self.cache = Path(path), resolution, normalisation, Path(cache)
        self._made: dict[Path, CoolerRows] = {}

    @property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome, read without making a map.

        Raises
        ------
        InputError
            Unreadable file, no such resolution or normalisation.
        """
        made = self._place(REACH)
        return self._rows(made).sizes if self._is_whole(made) else self._facts().sizes

    def within(self, distance: int, progress: Callable[[float], None] | None = None) -> CoolerRows:
        """Return rows for contacts up to `distance` bp from their bin; the map is made unless the cache has it.

        Parameters
        ----------
        distance : int
            bp; a map reaches at least REACH and a number of bins that is a power of two.
        progress : callable or None
            Called with the share done, 0 to 1, while a map is made.

        Raises
        ------
        InputError
            As `sizes`, or the map cannot be written.
        """
        path = self._place(distance)
        if not self._is_whole(path):
            path = writable_folder(self.cache, f"the contact map of {self.path.name}") / path.name
            self._make(path, self._bins(distance), progress)
        return self._rows(path)

    def _rows(self, path: Path) -> CoolerRows:
        return self._made.setdefault(path, CoolerRows(path, self.resolution))

    def _is_whole(self, path: Path) -> bool:
        """Return whether a map exists and can be read."""
        if not path.exists():
            return False
        try:
            return bool(self._rows(path).sizes)
        except InputError:
            del self._made[path]
            return False

    def _bins(self, distance: int) -> int:
        """Return how many bins from the diagonal the map for a distance reaches."""
        return 1 << (-(-max(distance, REACH) // self.resolution)).bit_length()

    def _place(self, distance: int) -> Path:
        """Return where the map is kept: the name holds the file's path and state, the settings and the map's rule."""
        key = [*_state(self.path), self.resolution, self.normalisation, self._bins(distance), _RULE]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        return held_file(self.cache, f"{self.path.stem}.{digest}.cool")

    def _facts(self) -> HicFacts:
        found = _facts(*_state(self.path), self.resolution)
        require_resolution(self.path, self.resolution, found.resolutions)
        require_normalisation(self.path, self.resolution, self.normalisation, found.normalisations)
        return found

    def _make(self, path: Path, reach: int, progress: Callable[[float], None] | None) -> None:
        self._facts()
        with path.with_suffix(".lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one of several workers computes, the others wait
            if not self._is_whole(path):
                with replacing(path) as unfinished:
                    settings = [self.resolution, self.normalisation, reach, unfinished]
                    _ask(self.path, "convert", settings, progress)


def _state(path: Path) -> tuple[str, str]:
    """Return (resolved path, fingerprint) of a file."""
    try:
        return str(path.resolve()), fingerprint(path)
    except FileNotFoundError:
        raise InputError(path, found="no such file", expected=WHOLE, fix="check the path") from None
    except OSError as error:
        raise InputError(
            path, found=f"no readable file ({error.strerror})", expected=WHOLE, fix="check the path"
        ) from None


@lru_cache(maxsize=64)
def _facts(path: str, state: str, resolution: int) -> HicFacts:
    """Read the contents of the file in that state, once per process."""
    return HicFacts(**_ask(Path(path), "facts", [resolution]))


def _ask(path: Path, task: str, settings: list[Any], progress: Callable[[float], None] | None = None) -> Any:
    """Run one task of hic_reader and return its result."""
    words = [sys.executable, "-m", "model_core.signals.hic_reader", task, str(path.resolve()), *map(str, settings)]
    answer: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            words,
            env=child_environment(ends_with_parent=True),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        ) as child,
    ):
        try:
            for line in child.stdout or ():
                if not line.startswith("{"):
                    continue  # printed by a library
                answer = json.loads(line)
                if progress is not None and "share" in answer:
                    progress(answer["share"])
            child.wait()
        finally:
            child.kill()
        errors.seek(0)
        last_lines = errors.read().strip().splitlines()
    if "done" in answer:
        return answer["done"]
    reason = answer.get("problem") or (
        last_lines[-1] if last_lines else f"its reader ended with code {child.returncode}"
    )
    raise InputError(path, found=f"no readable Hi-C ({reason})", expected=WHOLE, fix="copy or convert it again")
