"""Formats of files of tracks or intervals, recognised by content: the first bytes, or the form of the first rows.

The file name decides only what the content leaves open: whether a fourth column of whole numbers holds values or names.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from model_core.errors import InputError
from model_core.input_file import GZIP, is_regular

HEAD = 65_536  # bytes of a file (unpacked, where it is gzipped) that are examined
_ROWS = 200  # rows in them that are examined
FORMATS = {  # format -> its name in messages
    "BED": "a BED file",
    "BED12": "a BED12 file (blocks)",
    "narrowPeak": "a narrowPeak file",
    "broadPeak": "a broadPeak file",
    "gappedPeak": "a gappedPeak file",
    "bedGraph": "a bedGraph file (values)",
    "wig": "a wig file (values)",
    "bedpe": "a BEDPE file (pairs of places)",
    "interact": "an interact file (pairs of places)",
    "longrange": "a longrange file (pairs of places)",
    "VCF": "a VCF file (variants)",
    "GTF": "a GTF file (gene annotation)",
    "GFF3": "a GFF3 file (gene annotation)",
    "GFF": "a GFF file",
    "genePred": "a genePred or refFlat file (gene annotation)",
    "SAM": "a SAM file (reads)",
    "FASTA": "a FASTA file (sequence)",
    "FASTQ": "a FASTQ file (reads)",
    "MAF": "a MAF file (alignment or mutations)",
    "CSV": "comma-separated text",
    "HTML": "an HTML or XML page",
    "JSON": "a JSON file",
    "LFS": "a Git LFS pointer instead of the file",
    "UTF-16": "UTF-16 text",
    "bigWig": "a bigWig file",
    "bigBed": "a bigBed file",
    "BAM": "a BAM file (reads)",
    "CRAM": "a CRAM file (reads)",
    "BCF": "a BCF file (variants)",
    "index": "an index (.tbi, .csi, .bai or .fai) instead of the file that it belongs to",
    "hic": "a .hic file (contacts)",
    "HDF5": "an HDF5 file (such as .mcool, .cool or .h5)",
    "2bit": "a 2bit file (sequence)",
    "TDF": "a TDF file",
    "xlsx": "an Excel workbook",
    "zip": "a zip archive",
    "tar": "a tar archive",
    "packed": "a file packed by bzip2, xz or zstd",
    "gzip": "a file that was gzipped twice",
    "gzipped": "a gzipped binary file (such as bigWig, bigBed or .hic)",
    "picture": "a picture or PDF",
    "binary": "bytes that are not text",
    "empty": "no row",
    "text": "text of an unknown format",
}
BINARY = (  # and "binary", which is none of these
    *("UTF-16", "bigWig", "bigBed", "BAM", "CRAM", "BCF", "index", "hic", "HDF5", "2bit", "TDF"),
    *("xlsx", "zip", "tar", "packed", "gzip", "gzipped", "picture"),
)
INTERVALS = ("BED", "BED12", "narrowPeak", "broadPeak", "gappedPeak")
PEAKS = ("narrowPeak", "broadPeak", "gappedPeak")
UNTOLD = ("text", "empty")  # no format is recognised, so that a reader's own message on a line is more precise
TO_TEXT = {  # what to do with a file of that format where text is expected
    **dict.fromkeys(("CSV", "xlsx"), "save it as tab-separated text"),
    "UTF-16": "save it as UTF-8",
    **dict.fromkeys(("zip", "tar", "packed", "gzip", "gzipped"), "unpack it"),
    **dict.fromkeys(("HTML", "JSON", "LFS"), "download the file itself again"),
    "index": "give the file itself",
}
_BCFTOOLS = "convert it with bcftools query -f '%CHROM\\t%POS0\\t%END\\t%ID\\n'"
TO_BED = {  # where intervals are expected
    **TO_TEXT,
    **dict.fromkeys(("bedGraph", "wig"), "it holds values: give the intervals as BED"),
    **dict.fromkeys(("bedpe", "interact", "longrange"), "it holds pairs: give the intervals as BED"),
    **dict.fromkeys(("VCF", "BCF"), _BCFTOOLS),
    **dict.fromkeys(("GTF", "GFF3", "GFF"), "convert it (columns 1, 4 less 1, and 5), for instance with gff2bed"),
    "genePred": "convert it with genePredToBed",
    **dict.fromkeys(("SAM", "BAM", "CRAM"), "convert it with bedtools bamtobed, or call peaks on it"),
    "bigWig": "call peaks on it, or give the intervals as BED",
}
TO_PEAKS = {  # where called peaks are expected
    **TO_TEXT,
    **dict.fromkeys(("SAM", "BAM", "CRAM"), "give a BAM under [peaks] reads to call peaks on it"),
    "bigWig": "give it under [[signals]], and its name as [peaks] signal, to call peaks on it",
}
TO_SIGNAL = {  # where a signal is expected
    **TO_TEXT,
    "bedGraph": "convert it with bedGraphToBigWig",
    "wig": "convert it with wigToBigWig",
    **dict.fromkeys((*INTERVALS, "bigBed"), "give the signal track that it was made from"),
    **dict.fromkeys(("SAM", "CRAM"), "convert it to BAM with `samtools view -b`"),
    "BAM": "rename it to end in .bam",
    "bigWig": "rename it to end in .bw",
    "hic": "rename it to end in .hic",
    "HDF5": "rename it to end in .mcool or .cool",
    "TDF": "convert it to bigWig",
}
_MAGIC = (
    (b"BAM\1", "BAM"),
    (b"CRAM", "CRAM"),
    (b"BCF\2", "BCF"),
    (b"TBI\1", "index"),
    (b"CSI\1", "index"),
    (b"BAI\1", "index"),
    (b"HIC\0", "hic"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"TDF4", "TDF"),
    (b"\xd0\xcf\x11\xe0", "xlsx"),
    (b"BZh", "packed"),
    (b"\xfd7zXZ\0", "packed"),
    (b"\x28\xb5\x2f\xfd", "packed"),
    (b"\x89PNG", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"%PDF", "picture"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    *(
        (struct.pack(order + "I", number), name)
        for order in "<>"
        for number, name in ((0x888FFC26, "bigWig"), (0x8789F2EB, "bigBed"), (0x1A412743, "2bit"))
    ),
)
_NEVER_GZIPPED = ("bigWig", "bigBed", "2bit", "CRAM", "hic", "HDF5", "TDF")
_VALUE_ENDINGS = (".bedgraph", ".bdg", ".bg", ".cov", ".wig")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf|nan", re.IGNORECASE)
_WHOLE = re.compile(r"[0-9]{1,12}")
_COLOUR = re.compile(r"0|\.|[0-9]{1,3},[0-9]{1,3},[0-9]{1,3},?")
_LONGRANGE = re.compile(r"[^\s:,]+:[0-9]+-[0-9]+,[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)
_COMMAS = re.compile(r"[^,;]([,;])[^,;]*\1")  # one character before: with "+" the time grows with the square of a line
_CIGAR = re.compile(r"\*|([0-9]+[MIDNSHP=X])+")
_ALLELES = re.compile(r"[ACGTNacgtn*.]+(,([ACGTNacgtn*.]+|<[^<>]+>))*|<[^<>]+>|.*[\[\]].*")


def format_of(path: str | Path) -> str:
    """Return the format of a file, a key of FORMATS; "empty" where it cannot be read (its reader reports why)."""
    if not is_regular(path):
        return "empty"
    try:
        with Path(path).open("rb") as file:
            return format_of_head(file.read(HEAD), str(path))
    except OSError:
        return "empty"


def format_of_head(head: bytes, name: str = "") -> str:
    """Return the format of a file from its first bytes.

    Parameters
    ----------
    head : bytes
        The first bytes of the file, all or at least HEAD of them; plain or gzipped.
    name : str
        The file's name, used where the content leaves the format open.

    Returns
    -------
    str
        A key of FORMATS; "text" for text that is none of the known formats.
    """
    whole = len(head) < HEAD
    packed = head.startswith(GZIP)
    if packed:
        head, complete = _unpacked(head)
        whole = whole and complete
        if head.startswith(GZIP):
            return "gzip"
    head = head[:HEAD]
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return "gzipped" if packed and found in _NEVER_GZIPPED else found
    if head[257:262] == b"ustar":
        return "tar"
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return "xlsx" if b"[Content_Types].xml" in head or b"xl/" in head else "zip"
    if b"\0" in head:
        zeros = max(head[::2].count(0), head[1::2].count(0))
        return "UTF-16" if zeros > len(head) // 5 and zeros >= head.count(0) * 0.9 else "binary"
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    return _text_format(lines if whole else lines[:-1], name)


def named(path: str | Path, otherwise: str) -> str:
    """Return the name of a file's format for messages, or `otherwise` where none is recognised."""
    found = format_of(path)
    return otherwise if found in UNTOLD else FORMATS[found]


def require_format(
    path: str | Path,
    accepted: Collection[str],
    expected: str,
    advice: Mapping[str, str],
    otherwise: str = "check the path",
) -> str:
    """Check that a file has one of the accepted formats, or none that is known, and return its format.

    Parameters
    ----------
    path : str or Path
        The file.
    accepted : Collection[str]
        Formats; UNTOLD ones are accepted, too.
    expected : str
        The expected content, for the message.
    advice : Mapping[str, str]
        Format -> what to do with a file of that format.
    otherwise : str
        What to do with a file of a format that is not in `advice`.

    Returns
    -------
    str
        A key of FORMATS.

    Raises
    ------
    InputError
        Another format.
    """
    return accept_format(path, format_of(path), accepted, expected, advice, otherwise)


def accept_format(
    path: str | Path,
    found: str,
    accepted: Collection[str],
    expected: str,
    advice: Mapping[str, str],
    otherwise: str = "check the path",
) -> str:
    """Return a format if it is one of the accepted ones, or none that is known; see `require_format`.

    Raises
    ------
    InputError
        Another format.
    """
    if found in accepted or found in UNTOLD:
        return found
    raise InputError(path, found=FORMATS[found], expected=expected, fix=advice.get(found, otherwise))


def _unpacked(head: bytes) -> tuple[bytes, bool]:
    """Return the first HEAD bytes of gzipped data, over several members (bgzip), and whether that is all of it."""
    found, rest = b"", head
    while rest.startswith(GZIP) and len(found) < HEAD:
        member = zlib.decompressobj(31)
        try:
            found += member.decompress(rest, HEAD - len(found))
        except zlib.error:
            return found, False
        if not member.eof:
            return found, False
        rest = member.unused_data
    return found, not rest


def _text_format(lines: Sequence[str], name: str) -> str:
    first = next((line.strip() for line in lines if line.strip()), "")
    for words, found in (
        (("<!", "<html", "<?xml", "<head", "<HTML"), "HTML"),
        (("{", "["), "JSON"),
        (("version https://git-lfs",), "LFS"),
        (("##fileformat=VCF", "#CHROM\tPOS\tID\tREF"), "VCF"),
        (("##maf", "Hugo_Symbol\t"), "MAF"),
        (("@HD\t", "@SQ\t", "@RG\t", "@PG\t", "@CO\t"), "SAM"),
        ((">",), "FASTA"),
    ):
        if first.startswith(words):
            return found
    plain = [line.rstrip() for line in lines if line.strip()]
    if len(plain) > 2 and plain[0].startswith("@") and plain[2].startswith("+"):
        return "FASTQ"
    declared = ""
    rows: list[list[str]] = []
    header: list[str] | None = None
    for line in plain:
        fields = fields_of(line)
        if fields[0] == "track" and not rows:
            kind = re.search(r"\btype\s*=\s*[\"']?(\w+)", line)
            declared = kind[1].lower() if kind else declared
        elif fields[0] in ("track", "browser") or fields[0].startswith("#"):
            if fields[0].startswith("#") and not rows and not (header and is_header(header)):
                header = fields
        elif fields[0] in ("fixedStep", "variableStep"):
            return "wig"
        elif not rows and header is None and not any(map(_WHOLE.fullmatch, fields)) and len(fields) > 1:
            header = fields
        else:
            rows.append(fields)
        if len(rows) == _ROWS:
            break
    if not rows:
        return "empty" if header is None or header[0].startswith("#") else "text"
    return _row_format(rows, header, declared, first, name)


def fields_of(line: str) -> list[str]:
    """Split a line into columns: by tabs, or by spaces where there is no tab."""
    if not line.strip():
        return []
    return [field.strip() for field in line.split("\t")] if "\t" in line else line.split()


def is_header(fields: Sequence[str]) -> bool:
    """Return whether a line names BED's columns: chrom, start, end (or chromStart, chromEnd) and any others."""
    return [field.lower() for field in fields[1:3]] in (["start", "end"], ["chromstart", "chromend"])


def _row_format(rows: Sequence[list[str]], header: Sequence[str] | None, declared: str, first: str, name: str) -> str:
    for test, found in _SHAPES:
        if _most(rows, test):
            return found if found != "GFF" else _gff_kind(rows, first)
    if header is not None and len(header) > 5 and header[3].lower() in ("chrom2", "chr2", "chromosome2"):
        return "bedpe"
    if not _most(rows, _is_bed):
        return "CSV" if all(len(row) < 3 and _COMMAS.search(" ".join(row)) for row in rows) else "text"
    named = header is not None and is_header(header)
    if declared in ("interact", "biginteract"):
        return "interact"
    if _is_bedgraph(rows, header if named else None, declared, name):
        return "bedGraph"
    if named:
        return "BED"
    for test, found in _BED_SHAPES:
        if all(map(test, rows)):
            return found
    return "BED"


def _most(rows: Sequence[list[str]], test: Callable[[list[str]], bool]) -> bool:
    """Return whether nine rows in ten have this form: one damaged line must not hide a file's format."""
    return sum(map(test, rows)) >= 0.9 * len(rows)


def _whole(*fields: str) -> bool:
    return all(map(_WHOLE.fullmatch, fields))


def _numbers(fields: Sequence[str]) -> bool:
    return all(map(_NUMBER.fullmatch, fields))


def _is_bed(row: list[str]) -> bool:
    return len(row) >= 3 and _whole(*row[1:3])


def _is_vcf(row: list[str]) -> bool:
    return len(row) >= 8 and _whole(row[1]) and all(map(_ALLELES.fullmatch, row[3:5])) and not _whole(row[2])


def _is_gff(row: list[str]) -> bool:
    return len(row) in (8, 9) and _whole(*row[3:5]) and row[6] in ("+", "-", ".", "?") and not _whole(*row[1:3])


def _is_sam(row: list[str]) -> bool:
    return len(row) >= 11 and _whole(row[1], row[3], row[4]) and _CIGAR.fullmatch(row[5]) is not None


def _is_interact(row: list[str]) -> bool:
    return len(row) >= 17 and _is_bed(row) and _whole(row[9], row[10], row[14], row[15])


def _is_longrange(row: list[str]) -> bool:
    return len(row) >= 4 and _is_bed(row) and _LONGRANGE.fullmatch(row[3]) is not None


def _is_bedpe(row: list[str]) -> bool:
    if len(row) < 6 or not all(field == "-1" or _whole(field) for field in (*row[1:3], *row[4:6])):
        return False
    other = row[3]  # a chromosome, or else a BED's name before two columns of numbers
    is_chromosome = other == row[0] or (other.lower().startswith("chr") and ":" not in other) or row[4] == "-1"
    return is_chromosome and int(row[4]) <= int(row[5])


def is_genepred(row: Sequence[str]) -> int | None:
    """Return the column of the chromosome in a row of genePred, genePredExt (with or without bin) or refFlat.

    None for any other row.
    """
    for at in (1, 2):
        if len(row) < at + 9 or row[at + 1] not in ("+", "-") or not _whole(*row[at + 2 : at + 7]):
            continue
        count = int(row[at + 6])
        if count and all(_list_of(text, count) for text in row[at + 7 : at + 9]):
            return at
    return None


def _list_of(text: str, count: int) -> bool:
    numbers = text.rstrip(",").split(",")
    return len(numbers) == count and _whole(*numbers)


def _is_fai(row: list[str]) -> bool:
    return len(row) == 5 and _whole(*row[1:]) and int(row[4]) - int(row[3]) in (1, 2) and int(row[2]) < int(row[1])


_SHAPES = (
    (_is_fai, "index"),
    (_is_vcf, "VCF"),
    (_is_gff, "GFF"),
    (lambda row: is_genepred(row) is not None, "genePred"),
    (_is_sam, "SAM"),
    (_is_interact, "interact"),
    (_is_longrange, "longrange"),
    (_is_bedpe, "bedpe"),
)


def _gff_kind(rows: Sequence[list[str]], first: str) -> str:
    if first.startswith("##gff-version 3"):
        return "GFF3"
    notes = [row[8] for row in rows if len(row) > 8]
    if any(re.match(r'\s*[\w.]+\s+"', note) for note in notes):
        return "GTF"
    return "GFF3" if any(re.match(r"\s*[\w.]+=", note) for note in notes) else "GFF"


def _is_bedgraph(rows: Sequence[list[str]], named: Sequence[str] | None, declared: str, name: str) -> bool:
    if not all(len(row) == 4 and _NUMBER.fullmatch(row[3]) for row in rows):
        return False
    if declared in ("bedgraph", "wiggle_0"):
        return True
    if named is not None:
        return named[3:4] != [] and named[3].lower() in ("value", "datavalue", "signal", "coverage", "depth")
    if not all(_WHOLE.fullmatch(row[3]) for row in rows):
        return True
    # Whole numbers may be names: decided by the file extension, else by what only values do: repeat, or leave no gaps.
    bare = name.lower().removesuffix(".gz").removesuffix(".bgz")
    if bare.endswith(_VALUE_ENDINGS):
        return True
    touching = any(a[0] == b[0] and a[2] == b[1] for a, b in pairwise(rows))
    return not bare.endswith(".bed") and (touching or len({row[3] for row in rows}) < len(rows))


def _is_bed9(row: list[str]) -> bool:
    if not _is_bed(row) or len(row) < 9 or not _whole(*row[6:8]) or not _COLOUR.fullmatch(row[8]):
        return False
    start, end, thick, thick_end = (int(row[i]) for i in (1, 2, 6, 7))
    return start <= thick <= thick_end <= end


def _is_bed12(row: list[str]) -> bool:
    if len(row) < 12 or not _whole(*row[6:8], row[9]):
        return False
    return int(row[9]) > 0 and all(_list_of(text, int(row[9])) for text in row[10:12])


_BED_SHAPES = (
    (lambda row: len(row) == 15 and _is_bed12(row) and _numbers(row[12:]), "gappedPeak"),
    (_is_bed12, "BED12"),
    (
        lambda row: (
            (len(row) == 10 or (len(row) > 10 and not _is_bed9(row)))
            and _numbers(row[6:9])
            and (row[9] in ("-1", ".") or _whole(row[9]))
        ),
        "narrowPeak",
    ),
    (lambda row: len(row) == 9 and not _is_bed9(row) and _numbers(row[6:9]), "broadPeak"),
)
