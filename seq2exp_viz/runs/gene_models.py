"""Gene and transcript models for the genome browser, parsed once from a GTF and kept in a cache.

A GTF of a whole genome has more than a million lines, plain or gzipped, and is rarely indexed. It is parsed once, in a
separate process (`python -m seq2exp_viz.runs.gene_models GTF`, which writes to standard output), into a few small
arrays; afterwards each view takes a binary search. Where the cache cannot be written, the arrays stay in memory and a
note says so. All coordinates are 0-based half-open.
"""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core import bed
from model_core.cache import user_cache
from model_core.child import child_environment, follow_parent
from model_core.errors import InputError
from model_core.files import replacing
from model_core.fingerprint import fingerprint
from model_core.remote.address import InputPath, input_path
from model_core.study import annotation
from model_core.study.whole_inputs import whole_file
from seq2exp_viz.runs.missing import Missing

LEVELS = ("gene", "transcript")
DETAIL_SPAN = 5_000_000  # bp; a wider view gets genes without their exons
MOST = 4_000  # features in one answer
COPY_GAP = 100_000  # bp


@dataclass(frozen=True)
class ModelTable:
    """Gene models of one level, sorted by chromosome and start.

    Attributes
    ----------
    name, id, kind, strand, chrom : ndarray
        str (n,).
    start, end : ndarray
        int64 (n,).
    cds_start, cds_end : ndarray
        int64 (n,), equal where nothing is coding.
    offset : ndarray
        int64 (n + 1,): the exons of model i are those from offset[i] to offset[i + 1].
    exon_start, exon_end : ndarray
        int64 (exons,).
    """

    name: np.ndarray
    id: np.ndarray
    kind: np.ndarray
    strand: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    cds_start: np.ndarray
    cds_end: np.ndarray
    offset: np.ndarray
    exon_start: np.ndarray
    exon_end: np.ndarray

    @cached_property
    def chromosomes(self) -> dict[str, slice]:
        """The rows of each chromosome."""
        names, first = np.unique(self.chrom, return_index=True)
        order = np.argsort(first)
        bounds = [*first[order].tolist(), len(self.chrom)]
        return {str(names[k]): slice(bounds[i], bounds[i + 1]) for i, k in enumerate(order)}

    def rows(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Return the rows that share a base with chrom:start-end, int64."""
        part = self.chromosomes.get(chrom)
        if part is None:
            return np.empty(0, np.int64)
        stop = part.start + int(np.searchsorted(self.start[part], end, "left"))
        return part.start + np.flatnonzero(self.end[part.start : stop] > start)

    def features(self, chrom: str, start: int, end: int) -> list[dict]:
        """Return the features of igv.js in chrom:start-end, one dict per model; exons only up to DETAIL_SPAN bp."""
        rows = self.rows(chrom, start, end)
        if len(rows) > MOST:  # keep the longest: the others are narrower than a pixel
            lengths = self.end[rows] - self.start[rows]
            rows = np.sort(rows[np.argsort(-lengths, kind="stable")[:MOST]])
        detailed = end - start <= DETAIL_SPAN
        return [self._feature(int(row), detailed) for row in rows]

    def _feature(self, row: int, detailed: bool) -> dict:
        feature = {
            "chr": str(self.chrom[row]),
            "start": int(self.start[row]),
            "end": int(self.end[row]),
            "name": str(self.name[row]),
            "strand": str(self.strand[row]),
            "id": str(self.id[row]),
            "kind": str(self.kind[row]).replace("_", " "),
        }
        if detailed:
            here = slice(self.offset[row], self.offset[row + 1])
            cds = int(self.cds_start[row]), int(self.cds_end[row])
            pairs = zip(self.exon_start[here].tolist(), self.exon_end[here].tolist(), strict=True)
            feature["exons"] = [_exon(start, end, *cds) for start, end in pairs]
            feature["cdStart"], feature["cdEnd"] = cds
        return feature


def _exon(start: int, end: int, cds_start: int, cds_end: int) -> dict:
    exon = {"start": start, "end": end}
    if cds_start >= cds_end or end <= cds_start or start >= cds_end:
        return {**exon, "utr": True}
    if cds_start > start:
        exon["cdStart"] = cds_start
    if cds_end < end:
        exon["cdEnd"] = cds_end
    return exon


def model_table(gtf: pd.DataFrame, level: str) -> ModelTable:
    """Return the models of a GTF table (`annotation.read_gtf`).

    Parameters
    ----------
    gtf : DataFrame
        Rows of type exon, CDS and stop_codon.
    level : str
        "gene" (one model per gene, with the union of its exons) or "transcript" (one model per transcript).
    """
    owner = "gene_id" if level == "gene" else "transcript_id"
    exons = gtf[(gtf["type"] == "exon") & (gtf[owner] != "")]
    keys = ["chrom", owner, "copy"] if level == "gene" else ["chrom", owner]
    exons = _copies(exons) if level == "gene" else exons
    exons = exons.sort_values([*keys, "start", "end"], kind="stable")
    group = exons.groupby(keys, sort=False, observed=True).ngroup().to_numpy(np.int64)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    at, starts, ends = _union(group, exons["start"].to_numpy(np.int64), exons["end"].to_numpy(np.int64))
    heads = exons.iloc[first]
    coding = gtf[gtf["type"].isin(["CDS", "stop_codon"])]
    coding = coding.merge(exons[["chrom", "transcript_id", *keys[2:]]].drop_duplicates(), on=["chrom", "transcript_id"])
    spans = coding.groupby(keys, observed=True).agg(cds_start=("start", "min"), cds_end=("end", "max"))
    spans = heads[keys].merge(spans.reset_index(), on=keys, how="left").fillna({"cds_start": 0, "cds_end": 0})
    count = len(first)
    offset = np.searchsorted(at, np.arange(count + 1))
    start = starts[offset[:-1]]
    end = np.maximum.reduceat(ends, offset[:-1]) if count else ends
    chrom = heads["chrom"].to_numpy(str)
    order = np.lexsort((end, start, chrom))
    pieces = [np.arange(offset[row], offset[row + 1]) for row in order]
    taken = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
    return ModelTable(
        name=heads["symbol"].to_numpy(str)[order],
        id=heads[owner].to_numpy(str)[order],
        kind=heads["gene_type"].to_numpy(str)[order],
        strand=heads["strand"].to_numpy(str)[order],
        chrom=chrom[order],
        start=start[order],
        end=end[order],
        cds_start=spans["cds_start"].to_numpy(np.int64)[order],
        cds_end=spans["cds_end"].to_numpy(np.int64)[order],
        offset=np.concatenate([[0], np.cumsum([len(piece) for piece in pieces], dtype=np.int64)]).astype(np.int64),
        exon_start=starts[taken],
        exon_end=ends[taken],
    )


def _copies(exons: pd.DataFrame) -> pd.DataFrame:
    """Return `exons` with a column `copy`, the number of the gene's copy.

    Where an annotation uses one gene id for several places (repeat families, symbols as ids), transcripts further apart
    than COPY_GAP are drawn as separate models.
    """
    keys = ["chrom", "gene_id", "transcript_id"]
    spans = exons.groupby(keys, observed=True).agg(first=("start", "min"), last=("end", "max")).reset_index()
    spans = spans.sort_values(["chrom", "gene_id", "first"], kind="stable")
    owner = spans.groupby(["chrom", "gene_id"], sort=False, observed=True).ngroup().to_numpy(np.int64)
    far = np.int64(spans["last"].max() + COPY_GAP + 1) if len(spans) else 1
    reach = np.maximum.accumulate(spans["last"].to_numpy() + owner * far)
    away = spans["first"].to_numpy()[1:] + owner[1:] * far > reach[:-1] + COPY_GAP
    spans["copy"] = np.concatenate([[0], np.cumsum(away)])[: len(spans)]
    return exons.merge(spans[[*keys, "copy"]], on=keys)


def _union(group: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (group, start, end) of merged intervals, int64 (m,); the input is sorted by group, then start."""
    if not len(group):
        return group, start, end
    far = np.int64(max(end.max(), 1) + 1)  # an offset per group, so that intervals of different groups never touch
    line_start, line_end = start + group * far, end + group * far
    reach = np.maximum.accumulate(line_end)
    fresh = np.concatenate([[True], line_start[1:] > reach[:-1]])
    first = np.flatnonzero(fresh)
    last = np.concatenate([first[1:] - 1, [len(group) - 1]])
    return group[first], start[first], reach[last] - group[first] * far


def packed(gtf_path: Path) -> bytes:
    """Return both levels of a GTF as the bytes of an .npz.

    Raises
    ------
    InputError
        The file is not a readable GTF.
    """
    gtf = annotation.read_gtf(gtf_path, types=("exon", "CDS", "stop_codon"))
    arrays: dict[str, Any] = {}
    for level in LEVELS:
        table = model_table(gtf, level)
        arrays |= {f"{level}.{field}": getattr(table, field) for field in ModelTable.__dataclass_fields__}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _maker() -> str:
    """Return a digest of the code that parses the models: another version parses them again."""
    digest = hashlib.sha256()
    for source in (__file__, annotation.__file__, bed.__file__):
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()


class GeneModels:
    """The models of one GTF; the first use starts the parsing, and until it has ended `table` returns None.

    Parameters
    ----------
    path : Path or RemotePath
        GTF, plain or gzipped; one on a server is fetched once, in the background.
    folder : Path or None
        Folder of the cache; None takes the user's.
    report : callable
        Called, from a thread, where the models cannot be parsed or stored.

    Attributes
    ----------
    problem : str or None
        Why there are no models.
    """

    def __init__(
        self,
        path: str | InputPath,
        folder: Path | None = None,
        report: Callable[[Missing], None] = lambda found: None,
    ):
        self.path, self.folder, self.report = input_path(path), folder or user_cache(), report
        self._found: tuple[Path, Path] | None = None  # the GTF on this machine, and the cache of its models
        if isinstance(self.path, Path):
            self._found = self._places(self.path)
        self.problem: str | None = None  # why there are no models
        self._content: bytes | None = None  # where the cache does not have them
        self._damaged = False  # the cache
        self._tables: dict[str, ModelTable] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def cache(self) -> Path | None:
        """File with the models; None while the GTF is still being fetched."""
        return self._found[1] if self._found else None

    def _places(self, path: Path) -> tuple[Path, Path]:
        key = f"{path.resolve()}|{fingerprint(path)}|{_maker()}"
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:20]
        return path, self.folder / f"genes-{name}.npz"

    @property
    def _is_cached(self) -> bool:
        return self.cache is not None and self.cache.is_file() and not self._damaged

    def start(self) -> None:
        """Start in the background to fetch a GTF that lies on a server, and to parse it where the cache lacks it."""
        with self._lock:
            held = self._content is not None or self._is_cached
            if self._thread is None and self.problem is None and not held:
                self._thread = threading.Thread(target=self._parse, name="gene models", daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` for the models, and return whether they are available."""
        end = time.monotonic() + seconds
        while self.table("gene") is None and self.problem is None and time.monotonic() < end:
            thread = self._thread
            if thread is not None:
                thread.join(min(1.0, max(0.0, end - time.monotonic())))
        return self.table("gene") is not None

    def table(self, level: str) -> ModelTable | None:
        """Return the models of a level ("gene" or "transcript"); None while they are parsed or where that failed."""
        if level in self._tables:
            return self._tables[level]
        self.start()
        with self._lock:
            if self._thread is not None or self.problem is not None:
                return None
            try:
                self._tables[level] = self._load(level)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
                if self._content is not None:
                    raise
                self._damaged = True  # parsed again
                why = f"The cache {self.cache} is damaged ({problem})."
                self.report(Missing("Gene models are parsed again", why))
        return self._tables.get(level) or self.table(level)

    def _load(self, level: str) -> ModelTable:
        if self.cache is None:
            raise FileNotFoundError(self.path)
        source = self.cache.open("rb") if self._content is None else io.BytesIO(self._content)
        with source, np.load(source, allow_pickle=False) as stored:
            return ModelTable(**{field: stored[f"{level}.{field}"] for field in ModelTable.__dataclass_fields__})

    def _parse(self) -> None:
        """Parse in the thread: any error becomes `problem` and is reported."""
        try:
            self.problem = self._ask()
        except Exception as problem:  # no caller waits for this thread, so it reports its own failure
            self.problem = f"{type(problem).__name__}: {problem}"
        if self.problem is not None:
            self.report(Missing("Genes are not drawn, only start sites", self.problem))
        with self._lock:
            self._thread = None

    def _ask(self) -> str | None:
        """Parse the GTF in a separate process and store its result; return why that failed, or None."""
        if self._found is None:
            try:
                self._found = self._places(whole_file(self.path, "annotation"))
            except InputError as problem:
                return str(problem)
            if self._is_cached:
                return None
        path, cache = self._found
        command = [sys.executable, "-m", "seq2exp_viz.runs.gene_models", str(path)]
        with self._lock:
            process = self._process = subprocess.Popen(
                command,
                env=child_environment(ends_with_parent=True),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        content, errors = process.communicate()
        if code := process.returncode:
            lines = errors.decode("utf-8", "replace").strip().splitlines()
            killed = "The process that reads the annotation was killed, possibly because memory ran out."
            return killed if code == -signal.SIGKILL else (lines or [f"{path} could not be read"])[-1]
        self._content = content
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with replacing(cache) as temporary:
                temporary.write_bytes(content)
        except OSError as problem:
            why = (problem.strerror or str(problem)).lower()
            why = f"{why}. Each start parses the annotation again; set SEQ2EXP_CACHE to another folder."
            self.report(Missing(f"Gene models cannot be stored in {cache.parent}", why))
        else:  # models whose cache was damaged once also stay in memory, so that they are not parsed repeatedly
            self._content, self._damaged = content if self._damaged else None, False
        return None

    def close(self) -> None:
        """Stop parsing where it has not ended."""
        with self._lock:
            thread, process, self.report = self._thread, self._process, lambda found: None
        if thread is not None:
            if process is not None:
                process.terminate()
            thread.join(5 if self._found else 0)  # a thread that fetches from a server ends with this process


def main() -> None:
    """Write the packed models of a GTF to standard output; an error is one line on standard error, exit code 2."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with the models
    try:
        content = packed(Path(sys.argv[1]))
    except InputError as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
    with answer:
        answer.write(content)


if __name__ == "__main__":
    follow_parent()
    main()
