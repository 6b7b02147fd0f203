"""What `doctor` says of this machine and of a study's files: lines that are good, or say what to do.

The functions look and measure; none of them changes or downloads anything.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from model_core.cache import user_cache, why_not_writable
from model_core.data_folder import user_data
from model_core.errors import InputError
from model_core.input_file import is_regular
from model_core.remote.address import InputPath, RemotePath
from model_core.remote.address_check import Trial, try_address, without_query
from model_core.remote.block_store import limit, stored
from model_core.remote.session import offline
from model_core.remote.traffic import human
from seq2exp_viz.serving.static_files import igv_script
from seq2exp_viz.worker.availability import missing_packages
from seq2exp_viz.worker.gpu import card_here, gpu_words

LEAST_PYTHON = (3, 11)
LEAST_DISK = 2_000_000_000  # bytes: annotation, checkpoint, a few genes
LEAST_MEMORY = 3_000_000_000  # bytes, to score a window of 200 kb
WHOLE = ("genome.annotation", "genome.blacklist", "genes.table", "peaks.narrowpeak", "truth.causal", "truth.decoys")
AT_ONCE = 8  # addresses that are tried


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes
    ----------
    what : str
        What was looked at.
    found : str
        What it is.
    good : bool
        Whether it is as it must be.
    needed : bool
        Whether the program cannot do without it.
    do : str
        What to do; "" where it is good.
    """

    what: str
    found: str
    good: bool = True
    needed: bool = True
    do: str = ""

    def text(self) -> str:
        """Return the line."""
        mark = "ok  " if self.good else "BAD " if self.needed else "note"
        return f"{mark} {self.what}: {self.found}" + (f" -> {self.do}" if self.do else "")


def machine() -> list[Finding]:
    """Return the findings on versions, disk, memory, GPU, cache and igv.js."""
    return [*versions(), igv(), *disk(), memory(), gpu(), cache(), network()]


def versions() -> list[Finding]:
    """Return the versions of this program, Python, and the packages that the model needs."""
    python = platform.python_version()
    enough = sys.version_info >= LEAST_PYTHON
    least = ".".join(map(str, LEAST_PYTHON))
    found = [
        Finding("seq2exp-viz", _version("seq2exp-viz")),
        Finding("Python", python, enough, True, "" if enough else f"install Python {least} or newer"),
        Finding("numpy", _version("numpy")),
    ]
    lacking = missing_packages()
    do = "pip install 'seq2exp-viz[model]' to score genes" if lacking else ""
    words = f"not installed: {', '.join(lacking)}" if lacking else _version("torch")
    return [*found, Finding("torch", words, not lacking, False, do)]


def igv() -> Finding:
    """Return which igv.js the page has."""
    try:
        script = igv_script()
    except InputError as problem:
        return Finding("igv.js", problem.found, False, True, problem.fix)
    return Finding("igv.js", f"{script.version}, {script.source}")


def disk() -> list[Finding]:
    """Return the space that is free where studies and runs, and where copies of remote files, are kept."""
    return [_folder("data folder", user_data(), "SEQ2EXP_DATA"), _folder("cache folder", user_cache(), "SEQ2EXP_CACHE")]


def _folder(what: str, folder: Path, variable: str) -> Finding:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK) or (there == folder and why_not_writable(folder)):
        return Finding(what, f"{folder}: cannot be written to", False, True, f"set {variable} to another folder")
    enough = free >= LEAST_DISK
    do = "" if enough else f"free {human(LEAST_DISK)}, or set {variable} to a folder on another disk"
    return Finding(what, f"{folder}: {human(free)} free", enough, True, do)


def memory() -> Finding:
    """Return the memory that is available."""
    free = _available()
    if free is None:
        return Finding("memory", "not told by this system", True, False)
    enough = free >= LEAST_MEMORY
    do = "" if enough else f"close other programs: scoring a window of 200 kb takes about {human(LEAST_MEMORY)}"
    return Finding("memory", f"{human(free)} available", enough, False, do)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    words = known.get("MemAvailable", "").split()
    return int(words[0]) * 1024 if words else None


def gpu() -> Finding:
    """Return the GPU and the result of its self-test; without one the processor computes."""
    if card_here() is None:
        return Finding("GPU", "none: the processor computes", True, False)
    return Finding("GPU", gpu_words(), True, False)


def cache() -> Finding:
    """Return how much the blocks of remote files take."""
    try:
        most = limit()
    except InputError as problem:
        return Finding("cache of remote files", problem.found, False, True, problem.fix)
    kept = stored()
    held = sum(entry.held for entry in kept)
    return Finding("cache of remote files", f"{human(held)} of {len(kept):,} files, limit {human(most)}")


def network() -> Finding:
    """Return whether servers may be asked."""
    if offline():
        do = "unset SEQ2EXP_OFFLINE to read what the cache lacks"
        return Finding("network", "off (SEQ2EXP_OFFLINE): only the cache is read", True, False, do)
    mirror = os.environ.get("SEQ2EXP_MIRROR", "")
    return Finding("network", f"all hosts through {without_query(mirror)}" if mirror else "hosts are asked directly")


def inputs(files: Mapping[str, InputPath], attempt: Callable[[RemotePath], Trial] = try_address) -> list[Finding]:
    """Return a finding for each file of a study, and for the indexes of a FASTA at an address; nothing is fetched.

    Parameters
    ----------
    files : Mapping[str, Path or RemotePath]
        From `Study.inputs`: place in study.toml -> path or address.
    attempt : callable
        Asks for the first bytes of an address.
    """
    wanted = list(_with_indexes(files))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda item: _finding(item[0], item[1], attempt), wanted))


def _with_indexes(files: Mapping[str, InputPath]) -> Iterable[tuple[str, InputPath]]:
    for name, path in files.items():
        yield name, path
        if name == "genome.fasta" and isinstance(path, RemotePath) and path.suffix.lower() != ".2bit":
            for ending in (".fai", ".gzi") if path.suffix.lower() in (".gz", ".bgz") else (".fai",):
                yield f"{name} index", RemotePath(f"{path}{ending}")


def _finding(name: str, path: InputPath, attempt: Callable[[RemotePath], Trial]) -> Finding:
    if isinstance(path, Path):
        there = is_regular(path)
        return Finding(name, str(path) if there else f"{path}: no such file", there, True, "" if there else "check it")
    trial = attempt(path)
    if trial.problem:
        return Finding(name, f"{trial.address}: {trial.problem}", False, True, _advice(trial, path))
    parts = [f"status {trial.status}", human(trial.size) if trial.size is not None else "size not told"]
    parts += ["ranges" if trial.ranges else "no ranges", trial.tag[:40] or "no ETag", f"{trial.seconds:.2f} s"]
    good = trial.ranges or name in WHOLE or name.endswith(" index")
    do = "" if good else "use a copy on a server that sends ranges of bytes, or download the file"
    return Finding(name, f"{trial.address}: {', '.join(parts)}", good, True, do)


def _advice(trial: Trial, path: RemotePath) -> str:
    if trial.status in (401, 403):
        return f"the file needs a login: check the address, or add a line for {path.host} to ~/.netrc"
    if trial.status in (404, 410):
        return "correct the address: the file has moved or is gone"
    if trial.status is not None and (trial.status == 429 or trial.status >= 500):
        return f"{path.host} is busy or broken: try again later"
    return "check the network, the proxy, and the address"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "version not known"
