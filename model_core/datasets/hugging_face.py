"""Files of repositories on Hugging Face: listed once, pinned to the commit of that listing, and checked by sha256.

Asked without a token and without telemetry, over plain HTTP. A listing is kept, so that the same commit is used until
it is asked for again; what was fetched works without a connection.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from model_core.cache import held_file, user_cache, writable_folder
from model_core.errors import InputError
from model_core.files import write_json
from model_core.fingerprint import sha256_of
from model_core.records import Count, Name, Record, check, read_json
from model_core.remote.address import HUGGING_FACE, RemotePath
from model_core.remote.session import RefusedError, check_redirect, offline

_ADDRESS = re.compile(r"hf://(datasets/|models/)?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/(.+)")
_KINDS = {"datasets/": "dataset", "models/": "model", None: "model"}
_SHA256 = r"^[0-9a-f]{64}$"
_FIX = "try again later, or download the file in a browser and give its path"
MOST_FILES = 100_000


class UnreachableHubError(InputError):
    """Hugging Face cannot be asked, and what is wanted was not fetched before."""


class _FileRecord(Record):
    path: Name
    size: Count | None = None
    sha256: Annotated[str, Field(pattern=_SHA256)] | None = None


class _ListingRecord(Record):
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    licence: Name | None = None
    files: Annotated[list[_FileRecord], Field(max_length=MOST_FILES)]


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: path, bytes, and sha256 where the listing states one."""

    path: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Listing:
    """A repository at one commit.

    Attributes
    ----------
    repository : str
        "USER/NAME".
    kind : str
        "model" or "dataset".
    revision : str
        Commit, 40 hexadecimal digits.
    licence : str or None
        As the model card states it.
    files : tuple[HubFile, ...]
        Its files.
    """

    repository: str
    kind: str
    revision: str
    licence: str | None
    files: tuple[HubFile, ...]

    def file(self, path: str) -> HubFile:
        """Return a file by its path.

        Raises
        ------
        InputError
            It is not there.
        """
        for file in self.files:
            if file.path == path:
                return file
        found = f"no {path} at commit {self.revision[:12]}"
        shown = ", ".join(file.path for file in self.files[:20]) or "none"
        where = f"Hugging Face, {self.repository}"
        raise InputError(where, found=found, expected=f"one of its files: {shown}", fix="correct the address")

    def address(self, file: HubFile) -> str:
        """Return the hf:// address of a file at this commit."""
        kind = "datasets/" if self.kind == "dataset" else ""
        return f"hf://{kind}{self.repository}@{self.revision}/{file.path}"


def parse_address(text: str) -> tuple[str, str, str, str]:
    """Return kind, repository, revision and file of an hf:// address; the revision is "main" where none is given.

    Raises
    ------
    InputError
        It is no such address.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        expected = "hf://USER/REPOSITORY/FILE; @REVISION may follow the repository"
        raise InputError(text, found="no file on Hugging Face", expected=expected, fix="correct it")
    kind, repository, revision, file = found.groups()
    return _KINDS[kind], repository, revision or "main", file


def listing(repository: str, kind: str = "model", revision: str = "main", anew: bool = False) -> Listing:
    """List a repository; a listing that was kept is returned unless it is asked for `anew`.

    Raises
    ------
    UnreachableHubError
        No connection, and no listing kept.
    InputError
        No such repository or revision, or an answer that is damaged.
    """
    name = f"{kind}--{repository.replace('/', '--')}@{revision}.json"
    kept = held_file(_folder(), name)
    if kept.is_file() and not (anew and not offline()):
        return _listing(repository, kind, read_json(kept, _ListingRecord, "delete this file"))
    if offline():
        raise _unreachable(repository, "SEQ2EXP_OFFLINE is set, and it was not listed before")
    info = _asked(repository, kind, revision)
    content = {
        "revision": info.sha,
        "licence": getattr(info.card_data, "license", None),
        "files": [
            {"path": item.rfilename, "size": item.size, "sha256": item.lfs.sha256 if item.lfs else None}
            for item in info.siblings or []
        ],
    }
    if isinstance(content["licence"], list):
        content["licence"] = ", ".join(map(str, content["licence"]))
    check(content, _ListingRecord, f"Hugging Face, {repository}", _FIX)
    write_json(writable_folder(_folder(), "listings of models") / name, content)
    return _listing(repository, kind, content)


def fetched(of: Listing, file: HubFile) -> Path:
    """Return the local path of a file, which is fetched where it is not there, and compare its sha256.

    Raises
    ------
    UnreachableHubError
        No connection, and not fetched before.
    InputError
        The server does not have it, or sends other content than the listing states; it is deleted then.
    """
    hub = _hub()
    where = f"Hugging Face, {of.repository}/{file.path}"
    try:
        path = Path(
            hub.hf_hub_download(
                of.repository,
                file.path,
                repo_type=of.kind,
                revision=of.revision,
                cache_dir=writable_folder(_folder(), "models"),
                local_files_only=offline(),
                endpoint=endpoint(),
                token=False,
            )
        )
    except hub.errors.LocalEntryNotFoundError as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error  # what the server answered
        reason = "SEQ2EXP_OFFLINE is set, and it was not fetched before" if offline() else _first_line(cause)
        raise _unreachable(where, reason) from None
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        found = f"{_host()}: {_first_line(error)}"
        raise InputError(where, found=found, expected="the file of the listing", fix=_FIX) from None
    sha256 = sha256_of(path)
    if file.sha256 not in (None, sha256) or (file.size is not None and path.stat().st_size != file.size):
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        found = f"other content (sha256 {sha256[:12]}..., deleted)"
        raise InputError(where, found=found, expected=f"sha256 {file.sha256}", fix="run the same command again")
    return path


def kept_files() -> list[HubFile]:
    """Return the files that were fetched, each by its hf:// address, with its bytes."""
    return [HubFile(address, path.stat().st_size) for address, path in _kept()]


def remove_kept(address: str) -> int:
    """Remove a fetched file, as `kept_files` names it; return the bytes that this frees."""
    freed = 0
    for found, path in _kept():
        if found == address:
            content = path.resolve()
            freed += content.stat().st_size if content.is_file() else 0
            path.unlink(missing_ok=True)
            content.unlink(missing_ok=True)
    return freed


def _kept() -> list[tuple[str, Path]]:
    """Return address and path of each fetched file, sorted."""
    if not _folder().is_dir():
        return []
    found = []
    for repository in _hub().scan_cache_dir(_folder()).repos:
        kind = "datasets/" if repository.repo_type == "dataset" else ""
        for revision in repository.revisions:
            start = f"hf://{kind}{repository.repo_id}@{revision.commit_hash}"
            paths = ((file.file_path.relative_to(revision.snapshot_path), file.file_path) for file in revision.files)
            found += [(f"{start}/{name.as_posix()}", path) for name, path in paths]
    return sorted(found)


def endpoint() -> str:
    """Return the server that is asked: HF_ENDPOINT, else the mirror's copy, else Hugging Face."""
    named = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return named or RemotePath(f"{HUGGING_FACE}/x").url.removesuffix("/x")


def _folder() -> Path:
    return user_cache() / "hugging-face"


def _hub() -> Any:
    """Import the client, told to send no telemetry and to use plain HTTP (its other protocol has native code)."""
    switches = ["HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET"] + ["HF_HUB_OFFLINE"] * offline()
    for name in switches:
        os.environ[name] = "1"
    import huggingface_hub
    import huggingface_hub.constants

    for name in switches[:2]:  # read when it was imported, perhaps by others before
        setattr(huggingface_hub.constants, name, True)
    client = huggingface_hub.get_session()
    hooks = client.event_hooks
    if _refuse_redirect not in hooks["request"]:
        client.event_hooks = {**hooks, "request": [*hooks["request"], _refuse_redirect]}
    return huggingface_hub


def _refuse_redirect(request: Any) -> None:
    """Raise InputError for a request of the client that a redirect makes and that `session` would not follow."""
    try:
        check_redirect(_host(), endpoint(), str(request.url))
    except RefusedError as error:
        found, expected = f"{_host()}: {error}", "a file of a public host"
        raise InputError("Hugging Face", found=found, expected=expected, fix=_FIX) from None


def _asked(repository: str, kind: str, revision: str) -> Any:
    hub = _hub()
    where = f"Hugging Face, {repository}"
    try:
        api = hub.HfApi(endpoint=endpoint(), token=False)
        return api.repo_info(repository, revision=revision, repo_type=kind, files_metadata=True, timeout=30)
    except (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError) as error:
        fix = "correct the name; a repository that needs a login is not read"
        raise InputError(where, found=_first_line(error), expected="a public repository", fix=fix) from None
    except hub.errors.HfHubHTTPError as error:
        raise _unreachable(where, _first_line(error)) from None
    except (OSError, hub.errors.HTTPError) as error:
        raise _unreachable(where, f"no connection ({_first_line(error)})") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # an answer that is not of its shape
        raise InputError(where, found=f"a damaged answer ({_first_line(error)})", expected="JSON", fix=_FIX) from None


def _listing(repository: str, kind: str, content: dict[str, Any]) -> Listing:
    files = tuple(HubFile(item["path"], item.get("size"), item.get("sha256")) for item in content["files"])
    return Listing(repository, kind, content["revision"], content.get("licence"), files)


def _unreachable(where: str, found: str) -> UnreachableHubError:
    expected = "an answer of Hugging Face"
    return UnreachableHubError(where, found=f"{_host()}: {found}", expected=expected, fix=_FIX)


def _host() -> str:
    """Return the name of the server that is asked."""
    return (urlsplit(endpoint()).hostname or "").lower()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
