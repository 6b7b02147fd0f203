"""Addresses of inputs that are read over the web: https://, http://, hf:// (Hugging Face) and s3:// (public buckets).

All of them become an https or http URL. `SEQ2EXP_MIRROR` names a server with copies of public files, each below its
host's name, which is asked in place of every host; `HF_ENDPOINT` is that of huggingface_hub.
ARCHIVE!/PATH is a member of an archive, such as hf://datasets/USER/REPO/file.zip!/inner/path: PATH stands as it is in
the archive, without escapes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, quote, unquote, urlsplit

from model_core.errors import InputError

_SCHEME = re.compile(r"(https?|hf|s3)://", re.IGNORECASE)
_ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_EXPECTED = "a path, or an address that begins with https://, http://, hf:// or s3://, without a password"
_MEMBER = re.compile(r"(.+?\.(?:zip|tgz|tbz2?|txz|tar(?:\.\w+)?)(?:\?.*?)?)!/(.+)", re.IGNORECASE | re.DOTALL)
_LONGEST_NAME = 200  # bytes; a file of its name is kept on this disk, with endings
HUGGING_FACE = "https://huggingface.co"


@dataclass(frozen=True, order=True)
class RemotePath:
    """Address of a file on a server, where a local file would have a Path.

    Attributes
    ----------
    address : str
        As it was given.
    archive : RemotePath or None
        The archive that it is a member of.
    member : str
        Its path in the archive; "" outside of one.
    """

    address: str

    def __post_init__(self) -> None:
        parts, name = _parts(_split(self.address)[0]), self.name
        try:
            _ = parts.port
        except ValueError:  # also a password with a "/", after which no @ belongs to the host: it is not shown
            raise InputError("address", found="no number of a port", expected=_EXPECTED, fix="correct it") from None
        wrong = name in ("", "..") or not f"{self.address}{name}".isprintable() or len(name.encode()) > _LONGEST_NAME
        if wrong or not parts.hostname or "@" in parts.netloc:
            raise InputError(self.address, found="no address of a file", expected=_EXPECTED, fix="correct it")

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """Last part of its path, as a file name."""
        return PurePosixPath(self.member or unquote(_parts(self.address).path)).name

    @property
    def archive(self) -> RemotePath | None:
        """Address of the archive that holds it; None where it is a file of its own."""
        archive, member = _split(self.address)
        return RemotePath(archive) if member else None

    @property
    def is_archive(self) -> bool:
        """Whether its name is that of an archive, whose members have addresses."""
        return _MEMBER.fullmatch(f"{self.name}!/x") is not None

    @property
    def member(self) -> str:
        """Path in the archive, "" outside of one."""
        return _split(self.address)[1]

    @property
    def suffix(self) -> str:
        """Extension of `name`, with its dot."""
        return PurePosixPath(self.name).suffix

    def with_ending(self, ending: str, instead_of: str = "") -> RemotePath:
        """Return the address of the file beside it whose name ends otherwise; what follows a "?" stays behind it."""
        if self.member:
            return RemotePath(f"{self.address.removesuffix(instead_of)}{ending}")
        path, mark, query = self.address.partition("?")
        return RemotePath(f"{path.removesuffix(instead_of)}{ending}{mark}{query}")

    @property
    def url(self) -> str:
        """The https or http URL that is asked: of HF_ENDPOINT for hf://, else of the mirror, where there is one.

        That of the archive, for a member of one.
        """
        direct = _public_url(_split(self.address)[0])
        if self.address[:5].lower() == "hf://" and os.environ.get("HF_ENDPOINT"):
            return direct
        mirror = os.environ.get("SEQ2EXP_MIRROR", "").rstrip("/")
        return f"{mirror}/{direct.partition('://')[2]}" if mirror else direct

    @property
    def host(self) -> str:
        """Name of the server that is asked, in lower case."""
        return (urlsplit(self.url).hostname or "").lower()


InputPath = Path | RemotePath


def input_path(text: str | Path | RemotePath) -> InputPath:
    """Return the path or address that a text is.

    Raises
    ------
    InputError
        An address of a scheme that is not read, or with a user name or password.
    """
    if isinstance(text, RemotePath | Path):
        return text
    if _SCHEME.match(text):
        return RemotePath(text)
    if _ANY_SCHEME.match(text):
        raise InputError(text, found="an address of another scheme", expected=_EXPECTED, fix="correct it")
    return Path(text)


def _split(address: str) -> tuple[str, str]:
    """Return the address of an archive, and the path in it; the address itself and "" where it names no member."""
    found = _MEMBER.fullmatch(address)
    return (found[1], found[2]) if found else (address, "")


def _parts(address: str) -> SplitResult:
    try:
        return urlsplit(_public_url(address))
    except ValueError as error:
        raise InputError(address, found=str(error), expected=_EXPECTED, fix="correct it") from None


def _public_url(address: str) -> str:
    scheme, _, rest = address.partition("://")
    if scheme.lower() == "s3":
        bucket, _, key = rest.partition("/")
        path = quote(key, safe="/@%")
        if "." in bucket:  # the certificate of *.s3.amazonaws.com covers one name before the first dot only
            return f"https://s3.amazonaws.com/{bucket}/{path}"
        return f"https://{bucket}.s3.amazonaws.com/{path}"
    if scheme.lower() == "hf":
        return _hugging_face_url(address, rest)
    return f"{scheme.lower()}://{rest}"


def _hugging_face_url(address: str, rest: str) -> str:
    """Return the URL of hf://USER/REPO[@REVISION]/FILE or hf://datasets/USER/REPO[@REVISION]/FILE."""
    found = re.fullmatch(r"(datasets/|models/)?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/(.+)", rest)
    if found is None:
        expected = (
            "hf://USER/REPOSITORY/FILE, or hf://datasets/USER/REPOSITORY/FILE; @REVISION may follow the repository"
        )
        raise InputError(address, found="no file on Hugging Face", expected=expected, fix="correct it")
    kind, repository, revision, file = found.groups()
    endpoint = os.environ.get("HF_ENDPOINT", HUGGING_FACE).rstrip("/")
    kind = kind if kind == "datasets/" else ""
    return f"{endpoint}/{kind}{repository}/resolve/{revision or 'main'}/{quote(file)}"
