"""Read coverage of a BAM file, computed once and cached as a bigWig."""

import fcntl
import hashlib
import json
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pysam

from model_core.cache import held_file, stand_in, writable_folder
from model_core.errors import InputError
from model_core.files import replacing
from model_core.fingerprint import fingerprint
from model_core.listing import files_in
from model_core.signals.bam_header import bam_sizes
from model_core.signals.bigwig import check_whole
from model_core.signals.file_handles import quiet_htslib
from model_core.signals.reader_process import Limits, answer, ask, say

_RULE = 2  # version of the counting rule; raise it when the same reads and settings give other numbers
_SKIPPED = 0x4 | 0x100 | 0x200 | 0x400 | 0x800  # unmapped, secondary, QC-failed, duplicate, supplementary


def cached_coverage(
    bam: str | Path,
    cache: str | Path,
    extend: int | None = None,
    shift: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Return the bigWig with a BAM's read coverage (see `coverage`), computed unless the cache has it complete.

    The file's name contains hashes of the BAM's path, the settings, the counting rule and the state of the BAM
    (`fingerprint`), so that a changed BAM or setting never reuses an old file.

    Parameters
    ----------
    bam : str or Path
        Sorted by coordinate.
    cache : str or Path
        Folder of the cache; created where missing.
    extend, shift, progress
        As `coverage`.

    Returns
    -------
    Path
        The bigWig.

    Raises
    ------
    InputError
        As `coverage`, or no cache folder that can be written to.
    """
    bam, cache = Path(bam), Path(cache)
    path = _place(bam, cache, extend, shift)
    if _is_whole(path):
        return path
    path = writable_folder(cache, f"the coverage of {bam.name}") / path.name
    with path.with_suffix(".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of several workers computes, the others wait
        return path if _is_whole(path) else coverage_apart(bam, path, extend, shift, progress)


def held_coverage(bam: str | Path, cache: str | Path, extend: int | None = None, shift: int = 0) -> Path | None:
    """Return the cached coverage of a BAM without computing anything.

    Where the BAM itself is missing, this is the coverage computed last from that path with these settings.

    Parameters
    ----------
    bam, cache, extend, shift
        As `cached_coverage`.

    Returns
    -------
    Path or None
        The bigWig; None where `cached_coverage` would have to compute it.

    Raises
    ------
    InputError
        The BAM exists and cannot be read.
    """
    bam, cache = Path(bam), Path(cache)
    if bam.exists():
        path = _place(bam, cache, extend, shift)
        return path if _is_whole(path) else None
    held = [path for folder in (cache, stand_in()) for path in files_in(folder, "*.bigWig")]
    made = [path for path in held if path.name.startswith(f"{_stem(bam, extend, shift)}.") and _is_whole(path)]
    return max(made, key=lambda path: path.stat().st_mtime_ns, default=None)


def _stem(bam: Path, extend: int | None, shift: int) -> str:
    """Return the start of the file name, common to all states of a BAM."""
    key = json.dumps([str(bam.resolve()), extend, shift if extend is not None else 0, _RULE])
    return f"{bam.stem}.{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _place(bam: Path, cache: Path, extend: int | None, shift: int) -> Path:
    try:
        state = fingerprint(bam)
    except FileNotFoundError:
        raise InputError(bam, found="no such file", expected="a BAM", fix="check the path") from None
    except OSError as error:
        found = f"no readable file ({error.strerror})"
        raise InputError(bam, found=found, expected="a BAM", fix="check the path") from None
    return held_file(cache, f"{_stem(bam, extend, shift)}.{state[:16]}.bigWig")


def _is_whole(path: Path) -> bool:
    try:
        check_whole(path)
    except InputError:
        return False
    return True


@contextmanager
def _reading(bam: Path) -> Iterator[pysam.AlignmentFile]:
    """Open a BAM; errors while it is read become InputError."""
    bam_sizes(bam)
    try:
        with quiet_htslib(), pysam.AlignmentFile(str(bam), "rb") as reads:
            yield reads
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(bam, found="no such file", expected="a BAM", fix="check the path") from None
    except (OSError, ValueError) as error:
        reason = "a truncated file" if "truncated" in str(error) else f"no readable file ({error})"
        raise InputError(bam, found=reason, expected="a complete BAM", fix="copy or make it again") from None


def coverage_apart(
    bam: Path, bigwig: Path, extend: int | None, shift: int, progress: Callable[[float], None] | None
) -> Path:
    """Compute `coverage` in a child process, which a damaged BAM may crash."""
    bam_sizes(bam)
    words = [bam, bigwig, json.dumps(extend), shift]
    ask("model_core.signals.bam_coverage", words, bam, "BAM", "a complete BAM", Limits(), progress)
    return bigwig


def coverage(
    bam: str | Path,
    bigwig: str | Path,
    extend: int | None = None,
    shift: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Write the read coverage of each base as a bigWig and return its path.

    The file is written completely or not at all. Unmapped, secondary, supplementary, QC-failed and duplicate reads are
    skipped, and so are reads that align no base: without a position, without a CIGAR string, or with clips and
    insertions only. All others count, each mate separately, as in `bedtools genomecov -split`: deletions, introns,
    clips and bases beyond the chromosome's end are not covered. Memory grows with the reads of one chromosome.

    Parameters
    ----------
    bam : str or Path
        Sorted by coordinate; no index is needed.
    bigwig : str or Path
        The file to write.
    extend : int or None
        None counts the aligned bases of each read. A length in bp counts that many bases from the 5' end of the
        alignment (without clips) along its strand, cut at the chromosome's ends (--extsize of MACS3).
    shift : int
        With extend, bp by which the 5' end is first moved along the strand (--shift of MACS3).
    progress : callable or None
        Called with the share of the genome done, 0 to 1.

    Returns
    -------
    Path
        `bigwig`.

    Raises
    ------
    InputError
        The BAM is missing, truncated, not a BAM or not sorted; or impossible settings.
    """
    bam, bigwig = Path(bam), Path(bigwig)
    if (extend is not None and extend < 1) or (shift and extend is None):
        found = f"extend {extend}, shift {shift}"
        raise InputError(
            bam, found=found, expected="extend of 1 bp or more, and shift only with extend", fix="change the settings"
        )
    bigwig.parent.mkdir(parents=True, exist_ok=True)
    with replacing(bigwig) as unfinished, _reading(bam) as reads:
        _write(reads, bam, unfinished, extend, shift, progress or (lambda share: None))
    return bigwig


def _write(
    reads: pysam.AlignmentFile,
    bam: Path,
    bigwig: Path,
    extend: int | None,
    shift: int,
    progress: Callable[[float], None],
) -> None:
    names, sizes, done = reads.references, reads.lengths, 0
    try:
        track = pyBigWig.open(str(bigwig), "w")
        track.addHeader(list(zip(names, sizes, strict=True)))
        for chromosome, starts, ends in _spans(reads, bam, extend, shift):
            _add(track, names[chromosome], *_pile_up(starts, ends, sizes[chromosome]))
            done = sum(sizes[: chromosome + 1])
            progress(done / sum(sizes))
        track.close()
        if not _is_whole(bigwig):
            raise RuntimeError("the file is truncated")
    except RuntimeError as error:
        found = f"writing failed ({error})"
        fix = "check the free space of the disk"
        raise InputError(bigwig, found=found, expected="space for the coverage", fix=fix) from None
    if not done:
        raise InputError(
            bam, found="no usable read", expected="aligned reads", fix="check the reads' flags with samtools flagstat"
        )
    progress(1.0)


def _spans(
    reads: pysam.AlignmentFile, bam: Path, extend: int | None, shift: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (chromosome number, starts, ends) of the covered intervals per chromosome; int64, any order."""
    current, last, spans = -1, -1, array("q")
    for read in reads.fetch(until_eof=True):
        if read.flag & _SKIPPED or read.reference_id < 0 or read.reference_start < 0:
            continue
        if (read.reference_id, read.reference_start) < (current, last):
            raise InputError(
                bam,
                found="reads out of order",
                expected="a BAM sorted by coordinate",
                fix=f"run `samtools sort {bam.name}`",
            )
        if read.reference_id != current:
            if spans:
                yield current, *np.frombuffer(spans, np.int64).reshape(-1, 2).T
            current, spans = read.reference_id, array("q")
        last = read.reference_start
        blocks = [block for block in read.get_blocks() if block[0] < block[1]]
        for span in blocks if extend is None or not blocks else [_extended(read, extend, shift)]:
            spans.extend(span)
    if spans:
        yield current, *np.frombuffer(spans, np.int64).reshape(-1, 2).T


def _extended(read: pysam.AlignedSegment, extend: int, shift: int) -> tuple[int, int]:
    """Return (start, end) of the extended read, which may reach beyond the chromosome."""
    if read.is_reverse:
        assert read.reference_end is not None  # the caller asks only for reads with an aligned base
        end = read.reference_end - shift
        return end - extend, end
    start = read.reference_start + shift
    return start, start + extend


def _pile_up(starts: np.ndarray, ends: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (starts, ends, depths) of the intervals of constant depth from 0 to size, int64; depth 0 included."""
    starts, ends = np.clip(starts, 0, size), np.clip(ends, 0, size)
    places, where = np.unique(np.concatenate(([0, size], starts, ends)), return_inverse=True)
    change = np.zeros(len(places), np.int64)
    np.add.at(change, where[2 : 2 + len(starts)], 1)
    np.add.at(change, where[2 + len(starts) :], -1)
    depth = np.cumsum(change)[:-1]
    first = np.flatnonzero(np.concatenate(([True], depth[1:] != depth[:-1]))) if len(depth) else np.empty(0, np.int64)
    return places[first], np.append(places[first[1:]], size), depth[first]


def _add(
    track: Any, chrom: str, starts: np.ndarray, ends: np.ndarray, depths: np.ndarray, rows: int = 1_000_000
) -> None:
    for row in range(0, len(starts), rows):
        piece = slice(row, row + rows)
        track.addEntries(
            [chrom] * len(starts[piece]), starts[piece], ends=ends[piece], values=depths[piece].astype(np.float64)
        )


def _answer(bam: str, bigwig: str, extend: str, shift: str) -> None:
    """Compute the coverage that `coverage_apart` asks for."""
    coverage(bam, bigwig, json.loads(extend), int(shift), lambda share: say(share=share))


if __name__ == "__main__":
    answer(_answer, sys.argv[1:])
