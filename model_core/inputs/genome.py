"""The genome's bases: an indexed FASTA, plain or bgzipped, read piece by piece.

pysam (htslib) reads it rather than pyfaidx, which needs biopython besides for bgzip.
"""

import os
import struct
import tempfile
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pysam

from model_core.errors import InputError, complaint
from model_core.inputs.handles import LazyHandle, quiet_htslib
from model_core.intervals import match_chromosomes

_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_CODES = np.zeros((256, 4), np.uint8)
for _column, _letters in enumerate(("Aa", "Cc", "Gg", "Tt")):
    _CODES[list(_letters.encode()), _column] = 1


class Genome:
    """An indexed FASTA file. It can be pickled; each process and thread opens the file on first use.

    Args:
        path: FASTA, plain or bgzipped; its index (.fai, .gzi) is written beside it where missing.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._fasta = LazyHandle(partial(_open_fasta, self.path))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome, in the file's order.

        Raises:
            InputError: no such file, not FASTA, plain gzip, cut off, or another file's index.
        """
        fasta = self._fasta.get()
        return dict(zip(fasta.references, fasta.lengths, strict=True))

    def sequence(self, chrom: str, start: int, end: int) -> str:
        """The end - start upper-case bases of chrom:start-end, 0-based half-open; "N" beyond the ends.

        Raises:
            InputError: as `sizes`, no such chromosome, start after end, or damage inside the file.
        """
        match_chromosomes(self.sizes, chrom, self.path)
        if start > end:
            raise InputError(complaint(self.path, f"{chrom}:{start}-{end}", "start <= end", "turn them round"))
        first, last = (min(max(edge, 0), self.sizes[chrom]) for edge in (start, end))
        bases = self._fetch(chrom, first, last).upper() if first < last else ""
        left = min(max(-start, 0), end - start)
        return "N" * left + bases + "N" * (end - start - left - len(bases))

    def _fetch(self, chrom: str, first: int, last: int) -> str:
        try:
            bases = self._fasta.get().fetch(chrom, first, last)
        except (OSError, ValueError):
            bases = ""
        if len(bases) != last - first:
            found = f"{len(bases)} bases at {chrom}:{first}-{last}"
            advice = "the file is damaged or its index is another file's: copy both again"
            raise InputError(complaint(self.path, found, f"{last - first}", advice))
        return bases


def one_hot(sequence: str) -> np.ndarray:
    """uint8 (L, 4): one-hot rows in the order A, C, G, T, either case; N and any other letter all zero."""
    letters = np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)
    # A row of four bytes is looked up as one 32-bit word: six times faster than by rows.
    return _CODES.view(np.uint32)[:, 0][letters].view(np.uint8).reshape(-1, 4)


def _open_fasta(path: Path) -> pysam.FastaFile:
    compressed = _check_format(path)
    index, blocks = Path(f"{path}.fai"), Path(f"{path}.gzi")
    if not index.exists() or (compressed and not blocks.exists()):
        _write_index(path, index, blocks, compressed)
    _check_index(path, index, blocks, compressed)
    try:
        with quiet_htslib():
            return pysam.FastaFile(str(path))
    except (OSError, ValueError) as error:
        raise InputError(complaint(path, f"unreadable ({error})", "FASTA with its index", "copy it again")) from None


def _check_format(path: Path) -> bool:
    """Whether the FASTA is bgzipped; InputError where it is missing, no FASTA, plain gzip or cut off."""
    expected = "FASTA, plain or bgzipped"
    try:
        with path.open("rb") as file:
            start = file.read(64)
            file.seek(max(file.seek(0, os.SEEK_END) - len(_BGZF_END), 0))
            end = file.read()
    except FileNotFoundError:
        raise InputError(complaint(path, "no such file", expected, "check the path")) from None
    except OSError as error:
        raise InputError(complaint(path, (error.strerror or str(error)).lower(), expected, "check the path")) from None
    if not start.startswith(b"\x1f\x8b"):
        if not start.lstrip().startswith((b">", b";")):
            raise InputError(complaint(path, f"{start[:20]!r} at the start", f"{expected}, '>name' first", "check it"))
        return False
    if not (start[3] & 4 and start[12:14] == b"BC"):
        advice = f"gunzip {path.name} && bgzip {path.stem}"
        raise InputError(complaint(path, "plain gzip, which cannot be read piece by piece", "bgzip", advice))
    if end != _BGZF_END:
        raise InputError(complaint(path, "no end-of-file mark", "a whole bgzip file", "it is cut off: copy it again"))
    return True


def _write_index(path: Path, index: Path, blocks: Path, compressed: bool) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".index-") as folder:
            new_index, new_blocks = f"{folder}/fai", f"{folder}/gzi"
            with quiet_htslib():
                pysam.faidx("--fai-idx", new_index, "--gzi-idx", new_blocks, str(path))
            if compressed:
                os.replace(new_blocks, blocks)
            os.replace(new_index, index)
    except OSError as error:
        found = f"no index, and none can be written ({error.strerror})"
        raise InputError(complaint(path, found, f"{index.name} beside it", "run samtools faidx on it")) from None
    except pysam.SamtoolsError:
        expected = "sequences in lines of one length, none of them empty"
        raise InputError(complaint(path, "malformed FASTA", expected, f"seqkit seq -w 60 {path.name}")) from None


def _check_index(path: Path, index: Path, blocks: Path, compressed: bool) -> None:
    """InputError unless the index ends where the file ends, lest wrong bases be read in silence."""
    try:
        records = [line.split("\t") for line in index.read_text(encoding="utf-8").splitlines()]
        _, length, offset, line_bases, line_bytes = max(records, key=lambda record: int(record[2]))
        rows = -(-int(length) // max(int(line_bases), 1))
        indexed = int(offset) + int(length) + max(rows - 1, 0) * (int(line_bytes) - int(line_bases))
        held = _uncompressed_size(path, blocks) if compressed else path.stat().st_size
    except (ValueError, IndexError, struct.error):
        raise InputError(complaint(index, "not a FASTA index", "one of samtools faidx", "delete it")) from None
    # Behind the last base come a line end and perhaps empty lines.
    if not indexed <= held <= indexed + 64:
        found = f"{held:,} bytes, where {index.name} tells of {indexed:,}"
        advice = f"delete {index.name} if the FASTA was changed on purpose, else copy it again: it is cut off"
        raise InputError(complaint(path, found, "an index that fits", advice))


def _uncompressed_size(path: Path, blocks: Path) -> int:
    """Bytes in a bgzip file, from its block index and the last block."""
    table = blocks.read_bytes()
    compressed, uncompressed = struct.unpack("<QQ", table[-16:]) if len(table) > 8 else (0, 0)
    with path.open("rb") as file:
        file.seek(compressed)
        block = file.read(18)
        if block[:2] != b"\x1f\x8b":
            return -1
        file.seek(compressed + struct.unpack("<H", block[16:18])[0] + 1 - 4)
        return uncompressed + struct.unpack("<I", file.read(4))[0]
