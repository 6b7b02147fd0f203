"""Members of .zip and .tar archives that lie uncompressed in them, and are therefore parts of the archive's bytes.

An archive is untrusted: what it lists is bounded before it is read, nothing of it names a path on this disk, and a
member that lies outside of the archive, over another one, or twice in it is refused. zipfile reads the directory of a
.zip (zip64, too). The headers of a .tar are taken one by one with tarfile's `TarInfo`; the chain of them is followed
here, as tarfile reads extended headers of any length.
"""

from __future__ import annotations

import re
import struct
import tarfile
import zipfile
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from model_core.errors import InputError
from model_core.remote.ranges import Ranges, RangesFile
from model_core.remote.traffic import human

MOST_MEMBERS = 100_000
MOST_DIRECTORY = 16_000_000  # bytes of the directory of a .zip
MOST_PIECES = 1_000  # of a .tar that are read for its listing, at the cost of a request each
MOST_EXTENSION = 1 << 16  # bytes of an extended header of a .tar
_PIECE, _LARGEST_PIECE = 1 << 16, 1 << 20  # bytes
_LOCAL = struct.Struct("<4s5H3I2H")  # header before a member of a .zip
_EXPECTED = "an archive that is whole"
_UNPACKED = "a member that lies uncompressed in a .zip or .tar"
_ENCRYPTED = 0x2041  # bits of a .zip's flags: encryption, the strong one, a hidden directory
_METHODS = {8: "deflate", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd"}
_SHOWN = 20  # names in a message


class Member(NamedTuple):
    """A member of an archive.

    Attributes
    ----------
    name : str
        Path in the archive, without a leading "./".
    start : int
        Offset in the archive of its content; in a .zip of the header before it.
    size : int
        Bytes of its content.
    end : int
        Offset at which it ends, at the latest.
    problem : str
        Why it cannot be read by ranges; "" where it can.
    crc : int or None
        CRC-32 of its content, where the archive states it.
    """

    name: str
    start: int
    size: int
    end: int
    problem: str = ""
    crc: int | None = None


def members(file: Ranges, name: str) -> list[Member]:
    """List an archive.

    Parameters
    ----------
    file : Ranges
        The archive.
    name : str
        Its file name, whose ending tells .zip, .tar, and tars that are compressed.

    Raises
    ------
    InputError
        No archive, a damaged one, one of too many members, or one that is compressed as a whole.
    """
    ending = name.lower()
    if ending.endswith(".zip"):
        found = _zip_members(file)
    elif ending.endswith(".tar"):
        found = _tar_members(file)
    else:
        raise _whole_download(file, file.name, "an archive that is compressed as a whole")
    if len(found) > MOST_MEMBERS:
        raise _whole_download(file, file.name, f"an archive of more than {MOST_MEMBERS:,} members")
    often = Counter(member.name for member in found)
    return [
        member if often[member.name] == 1 else member._replace(problem=f"one of {often[member.name]} of this name")
        for member in found
    ]


def located(file: Ranges, name: str, listed: list[Member], wanted: str) -> tuple[int, Member] | None:
    """Return the offset of a member's content in its archive, and the member; None where it has none of this name.

    Parameters
    ----------
    file, name
        As in `members`.
    listed : list[Member]
        What `members` returned.
    wanted : str
        Path in the archive.

    Raises
    ------
    InputError
        It cannot be read by ranges, or contradicts the listing.
    """
    member = next((member for member in listed if member.name == _plain(wanted)), None)
    if member is None:
        return None
    where = f"{file.name}!/{wanted}"
    if member.problem:
        raise _whole_download(file, where, member.problem)
    start = _behind_local_header(file, where, member) if name.lower().endswith(".zip") else member.start
    if start + member.size > member.end:
        raise _damaged(where, f"a member that ends at byte {start + member.size:,}, behind byte {member.end:,}")
    return start, member


def listed_words(listed: list[Member]) -> str:
    """Return the first names of the members that can be read, for a message."""
    names = [member.name for member in listed if not member.problem and member.name.isprintable()]
    return f"{', '.join(names[:_SHOWN])}{', ...' * (len(names) > _SHOWN)}" or "none that lies uncompressed"


def _plain(name: str) -> str:
    return re.sub(r"\A(?:\./)+", "", name)


def _whole_download(file: Ranges, where: str, found: str) -> InputError:
    fix = f"this would be a whole download of {human(file.size)}: fetch {file.name}, unpack it, and give the path"
    return InputError(where, found=found, expected=_UNPACKED, fix=fix)


def _damaged(where: str, found: str) -> InputError:
    return InputError(where, found=f"a damaged archive: {found}", expected=_EXPECTED, fix="use another copy of it")


# ---- zip


class _Bounded(RangesFile):
    """A file object that reads no more than `MOST_DIRECTORY` bytes at once."""

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or all that are left."""
        rest = max(self.file.size - self.tell(), 0)
        wanted = rest if size < 0 else min(size, rest)
        if wanted > MOST_DIRECTORY:
            raise _whole_download(self.file, self.file.name, f"a directory of {wanted:,} bytes")
        return super().read(wanted) or b""


def _zip_members(file: Ranges) -> list[Member]:
    try:
        with zipfile.ZipFile(_Bounded(file)) as archive:
            entries, directory = archive.infolist(), archive.start_dir
    except InputError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError, OSError) as error:
        raise _damaged(file.name, str(error)[:120] or type(error).__name__) from None
    starts = sorted({entry.header_offset for entry in entries} | {directory})
    ends = {start: end for start, end in pairwise(starts)}
    shared = Counter(entry.header_offset for entry in entries)
    return [
        Member(
            _plain(entry.filename),
            entry.header_offset,
            entry.file_size,
            ends.get(entry.header_offset, 0),
            "a member that shares its bytes with another" if shared[entry.header_offset] > 1 else _zip_problem(entry),
            entry.CRC,
        )
        for entry in entries
    ]


def _zip_problem(entry: zipfile.ZipInfo) -> str:
    if entry.is_dir():
        return "a folder"
    if (entry.external_attr >> 16) & 0o170000 == 0o120000:
        return "a link"
    if entry.flag_bits & _ENCRYPTED:
        return "an encrypted member"
    if entry.compress_type != zipfile.ZIP_STORED:
        kind = _METHODS.get(entry.compress_type, f"method {entry.compress_type}")
        return f"a compressed member ({kind}, {human(entry.file_size)} unpacked)"
    if entry.compress_size != entry.file_size or entry.header_offset < 0:
        return "a member of contradictory lengths"
    return ""


def _behind_local_header(file: Ranges, where: str, member: Member) -> int:
    """Return the offset behind the header before a member, which must be that of the directory."""
    if member.start + _LOCAL.size > file.size:
        raise _damaged(where, f"a header at byte {member.start:,}")
    fields = _LOCAL.unpack(file.read_at(member.start, _LOCAL.size))
    mark, _, flags, method, *_, packed, size, name_length, extra_length = fields
    start = member.start + _LOCAL.size + name_length + extra_length
    told = {0 if flags & 8 else member.size, member.size, 0xFFFFFFFF}  # bit 3: the lengths follow the content
    if mark != b"PK\3\4" or flags & _ENCRYPTED or method != zipfile.ZIP_STORED or not {packed, size} <= told:
        raise _damaged(where, "a header that contradicts the archive's directory")
    name = file.read_at(member.start + _LOCAL.size, name_length) if start <= file.size else b""
    if _plain(name.decode("utf-8" if flags & 0x800 else "cp437", "replace")) != member.name:
        raise _damaged(where, f"another name in its header ({name[:80]!r})")
    return start


# ---- tar


class _Blocks:
    """Blocks of 512 bytes of a .tar, read in at most MOST_PIECES pieces, which grow where they follow one another."""

    def __init__(self, file: Ranges):
        self.file, self._begin, self._piece = file, 0, b""
        self._pieces, self._next = 0, _PIECE // 2

    def read(self, place: int, length: int) -> bytes:
        """Return bytes; fewer at the end of the file."""
        length = max(min(length, self.file.size - place), 0)
        if not self._begin <= place <= place + length <= self._begin + len(self._piece):
            self._pieces += 1
            if self._pieces > MOST_PIECES:
                found = f"a .tar whose headers lie in more than {MOST_PIECES:,} places"
                raise _whole_download(self.file, self.file.name, found)
            follows = place <= self._begin + len(self._piece)
            self._begin, self._next = place, min(2 * self._next, _LARGEST_PIECE) if follows else _PIECE
            # To the end of the block that is read anyway, so that no second one is asked for.
            end = max((place + self._next) // _PIECE * _PIECE, place + length)
            self._piece = self.file.read_at(place, min(end, self.file.size) - place)
        return self._piece[place - self._begin :][:length]


def _tar_members(file: Ranges) -> list[Member]:
    blocks, place = _Blocks(file), 0
    found: list[Member] = []
    extended: dict[str, str] = {}
    while True:
        block = blocks.read(place, tarfile.BLOCKSIZE)
        if not block.strip(b"\0") and (place or block):  # zeros, or the end of the file
            return found
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        except (tarfile.TarError, ValueError) as error:
            raise _damaged(file.name, f"no header at byte {place:,} ({error})") from None
        place += tarfile.BLOCKSIZE
        if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE, *_LONG):
            text = _extension(file, blocks, place, header)
            place = _next_header(place, header.size)
            if header.type != tarfile.XGLTYPE:  # which is about comments and times
                extended |= {key: value for key, value in text.items() if key in _COUNT or "GNU.sparse." in key}
            elif text.keys() & set(_COUNT):
                raise _damaged(file.name, "one name or length for all members")
            continue
        if header.type == tarfile.GNUTYPE_SPARSE:
            place = _behind_sparse(blocks, place, block)
        member = _tar_member(header, place, extended)
        place, extended = _next_header(place, member.size), {}
        if member.size < 0 or member.end > file.size:
            raise _damaged(file.name, f"a member of {member.size:,} bytes at byte {member.start:,}")
        found.append(member)
        if len(found) > MOST_MEMBERS:
            return found


_COUNT = ("path", "size")  # of what an extended header may state
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_WITH_CONTENT = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE)
_WITHOUT = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)


def _next_header(place: int, size: int) -> int:
    return place + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _tar_member(header: tarfile.TarInfo, place: int, extended: dict[str, str]) -> Member:
    name = extended.get("GNU.sparse.name", extended.get("path", header.name))
    stated = extended.get("size", str(header.size))
    size = int(stated) if stated.isascii() and stated.isdecimal() and len(stated) < 19 else -1
    problem = ""
    if header.type in _WITHOUT:
        size, problem = 0, "a folder" if header.isdir() else "a link or a device"
    elif header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in extended):
        problem = "a sparse member"
    elif header.type not in _WITH_CONTENT:
        problem = f"a member of another kind ({header.type!r})"
    return Member(_plain(name), place, size, place + size, problem)


def _extension(file: Ranges, blocks: _Blocks, place: int, header: tarfile.TarInfo) -> dict[str, str]:
    """Return the fields of an extended header: records `LENGTH KEY=VALUE` and a line end, or a long name."""
    if not 0 <= header.size <= MOST_EXTENSION:
        raise _damaged(file.name, f"an extended header of {header.size:,} bytes at byte {place:,}")
    content = blocks.read(place, header.size)
    if header.type in _LONG:
        return {_LONG[header.type]: content.partition(b"\0")[0].decode("utf-8", "replace")}
    fields, at = {}, 0
    while at < len(content):
        length, _, _ = content[at : at + 8].partition(b" ")
        end = at + int(length) if length.isdigit() else at
        key, mark, value = content[at + len(length) + 1 : end - 1].partition(b"=")
        if end > len(content) or not mark or content[end - 1 : end] != b"\n":
            raise _damaged(file.name, f"an extended header without order at byte {place + at:,}")
        fields[key.decode("utf-8", "replace")], at = value.decode("utf-8", "replace"), end
    return fields


def _behind_sparse(blocks: _Blocks, place: int, block: bytes) -> int:
    """Return the offset behind the further lists of pieces of a sparse member."""
    more = block[482:483]
    while more.strip(b"\0"):
        more = blocks.read(place, tarfile.BLOCKSIZE)[504:505]
        place += tarfile.BLOCKSIZE
    return place
