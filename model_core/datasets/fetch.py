"""Downloads of the files that a study's downloads.toml names: resumable, checked, one after the other.

`http.Resuming` does the transfer, pooch compares checksums; only then a complete file is moved into place. Nothing that
is downloaded is run; names are taken from downloads.toml only, never from a server.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tomllib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from model_core.datasets.presets import DOWNLOADS, Source
from model_core.errors import InputError, Problem, Problems
from model_core.files import remove_leftovers, replacing
from model_core.records import parse_json
from model_core.remote.download import RefusedError, Resuming, UnreachableError, head_size, partial_path, read_small

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*(/[A-Za-z0-9][A-Za-z0-9_.+-]*)*")
_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True)
class Item:
    """File to download.

    Attributes
    ----------
    source : Source
        Its entry of downloads.toml.
    target : Path
        Path of the file in the study.
    state : str
        "here", "partial" or "missing".
    done : int
        Bytes already downloaded.
    size : int or None
        Bytes of the download, None where unknown.
    checksum : str or None
        "md5:..." or "sha256:...", None where none is public.
    note : str
        What could not be found out.
    """

    source: Source
    target: Path
    state: str
    done: int = 0
    size: int | None = None
    checksum: str | None = None
    note: str = ""

    @property
    def download(self) -> Path:
        """Path of the download: the target, or its gzipped form."""
        return self.target.with_name(f"{self.target.name}.gz") if self.source.unpack else self.target

    def line(self) -> str:
        """Return the item as one line of text: state, size, path, description, address."""
        size = "size unknown" if self.size is None else f"{self.size / 1e6:,.1f} MB"
        state = f"{self.done / 1e6:,.1f} MB of it here" if self.state == "partial" else self.state
        what = f"{self.source.path}  {self.source.about}  {self.source.url}"
        extra = [text for text in ("needs a login" if self.source.login else "", self.note) if text]
        return f"{state:<8} {size:>14}  {what}" + (f"  ({'; '.join(extra)})" if extra else "")


def read_sources(study_path: str | Path) -> tuple[Path, list[Source]]:
    """Read the downloads.toml next to a study.toml.

    Parameters
    ----------
    study_path : str or Path
        The study.toml, or its folder.

    Returns
    -------
    folder : Path
        The study's folder.
    sources : list[Source]
        The files.

    Raises
    ------
    Problems
        All faults of it: unknown keys, paths that leave the folder, addresses that are not http or https, malformed
        checksums.
    InputError
        No downloads.toml, or no readable TOML.
    """
    study_path = Path(os.path.expanduser(study_path)).absolute()
    folder = study_path if study_path.is_dir() else study_path.parent
    path = folder / DOWNLOADS
    expected = f"a {DOWNLOADS} with the addresses of the study's files"
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("file")
    except FileNotFoundError:
        do = "make a study with `seq2exp-viz init --preset NAME --download`, or download the files by hand"
        raise InputError(path, found="no such file", expected=expected, fix=do) from None
    except (OSError, ValueError) as error:
        raise InputError(path, found=f"no readable TOML ({error})", expected=expected, fix="correct it") from None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(path, found="no [[file]]", expected=expected, fix="add a [[file]] for each file")
    problems = [
        problem for number, entry in enumerate(entries, 1) for problem in _wrong(entry, f"{path} file {number}")
    ]
    paths = [str(entry.get("path")).lower() for entry in entries]
    for twice in sorted({name for name in paths if paths.count(name) > 1}):
        problems.append(Problem(path, found=f"'{twice}' twice", expected="distinct paths", fix="remove one"))
    if problems:
        raise Problems(problems)
    return folder, [Source(**{"about": "", **entry}) for entry in entries]


def plan(study_path: str | Path) -> tuple[list[Item], dict[str, str]]:
    """Look up which files are here, which are missing, and how large they are; downloads nothing.

    Parameters
    ----------
    study_path : str or Path
        The study.toml, or its folder.

    Returns
    -------
    items : list[Item]
        The files, in the order of downloads.toml.
    unreachable : dict[str, str]
        Servers that cannot be reached, with the reason.
    """
    return _planned(*read_sources(study_path))


def _planned(folder: Path, sources: Sequence[Source]) -> tuple[list[Item], dict[str, str]]:
    _pooch()
    unreachable: dict[str, str] = {}
    return [_look_up(_item(folder, source), unreachable) for source in sources], unreachable


def fetch_study(
    study_path: str | Path, dry_run: bool = False, tell: Callable[[str], None] | None = None, attempts: int = 5
) -> list[Item]:
    """Download the missing files of a study; interrupted downloads are resumed.

    Parameters
    ----------
    study_path : str or Path
        The study.toml, or its folder.
    dry_run : bool
        Look up sizes, download nothing.
    tell : callable or None
        Called with one line of text for each file.
    attempts : int
        How often an interrupted transfer is resumed without progress.

    Returns
    -------
    list[Item]
        The files as found before the call, in the order of downloads.toml.

    Raises
    ------
    Problems
        All files that could not be downloaded; the others are in place.
    InputError
        As Problems if there is one problem only, or too little space on the disk.
    """
    folder, sources = read_sources(study_path)
    return fetch_sources(
        folder, sources, dry_run, tell, attempts, f"download each url in {DOWNLOADS} by hand to its path"
    )


def fetch_sources(
    folder: Path,
    sources: Sequence[Source],
    dry_run: bool = False,
    tell: Callable[[str], None] | None = None,
    attempts: int = 5,
    by_hand: str | None = None,
) -> list[Item]:
    """Download the missing ones of some files into a folder, as `fetch_study` does those of a study.

    Parameters
    ----------
    folder : Path
        Created where missing.
    sources : Sequence[Source]
        The files; their paths are below the folder.
    dry_run, tell, attempts
        As in `fetch_study`.
    by_hand : str or None
        What a person without a connection can do; None names the address and path of each file.

    Returns
    -------
    list[Item]
        The files as found before the call.

    Raises
    ------
    Problems, InputError
        As `fetch_study`.
    """
    (items, unreachable), tell = _planned(folder, sources), tell or (lambda line: None)
    for item in items:
        tell(item.line())
    if dry_run:
        return items
    missing = [item for item in items if item.state != "here"]
    _check_space(missing)
    problems: list[Problem] = []
    for item in missing:
        host = _host(item.source.url)
        try:
            if host not in unreachable:
                _fetch(item, attempts)
                tell(f"fetched {item.target}" + ("" if item.checksum else "; no public checksum to compare it with"))
        except UnreachableError as error:
            unreachable[host] = str(error)
        except InputError as error:
            problems += error.problems
    cut_off = [item for item in missing if _host(item.source.url) in unreachable]
    if cut_off:
        otherwise = by_hand or "; ".join(f"download {item.source.url} by hand to {item.download}" for item in cut_off)
        problems.insert(0, _no_connection(unreachable, len(cut_off), len(missing), otherwise))
    if problems:
        raise Problems(problems) if len(problems) > 1 else InputError.of(problems[0])
    return items


def published(listing: str, text: str, name: str) -> tuple[int | None, str | None]:
    """Find a file's size and checksum in a portal's listing.

    Parameters
    ----------
    listing : str
        Address of the listing, for messages.
    text : str
        A JSON record with md5sum and file_size, or lines of an MD5 sum and a file name.
    name : str
        The file's name.

    Returns
    -------
    size : int or None
        Bytes, None where the listing does not give it.
    checksum : str or None
        "md5:...", None where the listing does not give it.

    Raises
    ------
    RefusedError
        Malformed JSON.
    """
    if text.lstrip().startswith("{"):
        try:
            record = parse_json(text.encode())
        except ValueError:
            raise RefusedError(f"{listing} is not readable JSON") from None
        size, md5 = record.get("file_size"), str(record.get("md5sum"))
        size = size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None
        return size, f"md5:{md5.lower()}" if _MD5.fullmatch(md5) else None
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and _MD5.fullmatch(words[0]) and words[1].lstrip("*").removeprefix("./") == name:
            return None, f"md5:{words[0].lower()}"
    return None, None


def _wrong(entry: dict[str, Any], where: str) -> list[Problem]:
    known = {field.name: field.type for field in fields(Source)}
    problems: list[Problem] = []
    for key, value in entry.items():
        if key not in known:
            problems.append(
                Problem(where, found=f"an unknown key '{key}'", expected=f"one of {', '.join(known)}", fix="remove it")
            )
        elif not isinstance(value, bool if key == "unpack" else str):
            expected = "true or false" if key == "unpack" else "text"
            problems.append(Problem(f"{where} {key}", found=repr(value), expected=expected, fix="correct it"))
    if problems:
        return problems
    path, reserved = entry.get("path", ""), ("study.toml", DOWNLOADS)
    if not _PATH.fullmatch(path) or path in reserved:
        expected = "a path below the study's folder, of letters, digits and _ . + -"
        problems.append(Problem(f"{where} path", found=repr(path), expected=expected, fix="correct it"))
    for key in ("url", "listing"):
        if (key == "url" or key in entry) and not _is_web_address(entry.get(key, "")):
            expected = "an address that begins with https:// or http://, without a password"
            problems.append(
                Problem(f"{where} {key}", found=repr(entry.get(key, "")), expected=expected, fix="correct it")
            )
    if "checksum" in entry and not _CHECKSUM.fullmatch(entry["checksum"]):
        expected = "md5: or sha256: and lower-case hexadecimal digits"
        problems.append(
            Problem(f"{where} checksum", found=repr(entry["checksum"]), expected=expected, fix="correct it")
        )
    return problems


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""


def _item(folder: Path, source: Source) -> Item:
    target = folder / source.path
    if target.is_symlink():  # the link stays, and the file comes to where it leads
        target = Path(os.path.realpath(target))
    item = Item(source, target, "missing", checksum=source.checksum)
    part = partial_path(item.download)
    if target.exists():
        return replace(item, state="here", size=target.stat().st_size)
    if item.download.exists():
        return replace(item, state="partial", done=item.download.stat().st_size)
    return replace(item, state="partial", done=part.stat().st_size) if part.exists() else item


def _look_up(item: Item, unreachable: dict[str, str]) -> Item:
    """Return the item with the portal's size and checksum; add servers without a connection to `unreachable`."""
    source = item.source
    if item.state == "here":
        return item
    host, size, checksum, notes = _host(source.listing or source.url), None, None, []
    if host in unreachable:
        return replace(item, note=f"{host} cannot be reached")
    try:
        if source.listing:
            name = unquote(urlsplit(source.url).path.rpartition("/")[2])
            size, checksum = published(source.listing, read_small(source.listing), name)
            notes += [] if checksum or source.checksum else [f"no checksum in {source.listing}"]
        size = size or head_size(source.url)
    except UnreachableError as error:
        unreachable[host] = str(error)
        notes.append(f"{host} cannot be reached")
    except RefusedError as error:
        notes.append(f"no checksum: {error}")
    return replace(item, size=size, checksum=item.checksum or checksum, note="; ".join(notes))


def _check_space(items: list[Item]) -> None:
    needed = sum(max((item.size or 0) - item.done, 0) + (item.size or 0) * 4 * item.source.unpack for item in items)
    if items:
        folder = next(parent for parent in items[0].target.parents if parent.exists())
        free = shutil.disk_usage(folder).free
        if needed > free:
            found, expected = f"{free / 1e9:,.1f} GB free", f"about {needed / 1e9:,.1f} GB"
            raise InputError(folder, found=found, expected=expected, fix="free space, or put the study on another disk")


def _fetch(item: Item, attempts: int) -> None:
    transfer = Resuming(item.download, item.size, attempts, checked=item.checksum is not None)
    try:
        with transfer.alone():
            if not item.download.exists():
                transfer.download(item.source.url)
                _check(transfer, item)
                transfer.keep()
            elif not _matches(item.download, item):
                found, expected = "another file of that name", f"the file with the checksum {item.checksum}"
                raise InputError(item.download, found=found, expected=expected, fix="move or rename it")
            if item.source.unpack:
                remove_leftovers(item.target.parent, item.target.name)
                _unpack(item)
    except RefusedError as error:
        found = f"no file at {item.source.url} ({error})"
        by_hand = f"download it in a browser and put it at {item.download}"
        do = f"{item.source.login}; or {by_hand}" if item.source.login and error.login else f"try again, or {by_hand}"
        raise InputError(item.source.path, found=found, expected=item.source.about or "a download", fix=do) from None
    except UnreachableError:
        raise
    except OSError as error:
        raise InputError(
            item.download, found=str(error), expected="a writable file", fix="free space and try again"
        ) from None


def _check(transfer: Resuming, item: Item) -> None:
    """Remove a complete download and raise InputError if it has another checksum."""
    if not _matches(transfer.part, item):
        transfer.drop()
        found = "a download with another checksum (deleted)"
        do = "try again; contact the portal if the error persists"
        raise InputError(item.download, found=found, expected=str(item.checksum), fix=do)


def _matches(path: Path, item: Item) -> bool:
    return item.checksum is None or _pooch().hashes.hash_matches(path, item.checksum)


def _pooch() -> Any:
    """Import pooch, which is needed only here, and silence its log."""
    try:
        import pooch
    except ImportError:
        do = "run `pip install 'seq2exp-viz[model]'`"
        raise InputError("this installation", found="no pooch", expected="the extra `model`", fix=do) from None
    pooch.get_logger().setLevel("WARNING")
    return pooch


def _unpack(item: Item) -> None:
    try:
        with (
            replacing(item.target) as temporary,
            gzip.open(item.download, "rb") as packed,
            temporary.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        item.download.unlink()
        found = f"a damaged gzip file ({error}; deleted)"
        raise InputError(item.download, found=found, expected="a complete gzip file", fix="try again") from None
    item.download.unlink()


def _no_connection(unreachable: dict[str, str], count: int, missing: int, by_hand: str) -> Problem:
    hosts, reason = ", ".join(sorted(unreachable)), next(iter(unreachable.values()))
    found = f"no connection to {hosts} for {count} of {missing} files ({reason})"
    do = f"run fetch with an internet connection, or {by_hand}"
    return Problem("fetch", found=found, expected="an internet connection", fix=do)
