"""Answers with ranges of a remote file of a study, as `byte_ranges` gives those of a local one.

Its bytes come through the block cache on this machine (`model_core.remote.remote_file`): a browser asks this server
only, by the id of a file, and no request can name an address.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model_core.errors import InputError
from model_core.remote.address import RemotePath
from seq2exp_viz.serving.byte_ranges import FOREVER, Answer, RangeError, Wanted, no_such_range, refused
from seq2exp_viz.serving.remote_reads import COME_AGAIN, READS, ComeAgain

if TYPE_CHECKING:
    from model_core.remote.remote_file import RemoteFile, RemoteMember

    Opened = RemoteFile | RemoteMember

LONGEST = 16 << 20  # bytes of one answer: igv.js joins what lies within some megabytes

_opened: dict[RemotePath, Opened] = {}  # of the studies that are served, hence few
_lock = threading.Lock()
_VERSION = re.compile(r"[0-9a-f]{16}-[0-9a-f]+")


def opened(path: RemotePath) -> Opened:
    """Return a remote file, whose size and state were asked for.

    Raises
    ------
    InputError
        It cannot be read.
    ComeAgain
        Its server has not answered yet.
    """
    held = _opened.get(path)
    return held if held is not None else READS.get(path.host, ("open", path), lambda: _open(path))


def known_version(path: RemotePath) -> str | None:
    """Return a short text that changes when the file does; None before it was opened. Nothing is asked for."""
    held = _opened.get(path)
    return None if held is None else _version(held)


def remote_answer(path: RemotePath, environ: Mapping[str, Any], mimetype: str = "application/octet-stream") -> Answer:
    """Return a remote file of at most LONGEST bytes, or so long a range of it, that a WSGI request asks for.

    Status 200, 206, 304 and 416 as `byte_ranges.answer`; 409 where the page was made with another version of the file
    (`?v=`), 413 for more bytes, 502 where the file cannot be read, 503 and 504 with Retry-After where its server, or
    too many reads, let this request wait too long.
    """
    try:
        return _answer(path, environ, mimetype)
    except ComeAgain as problem:
        return refused(problem.status, str(problem), [("Retry-After", str(COME_AGAIN))])
    except InputError as problem:
        with _lock:
            _opened.pop(path, None)  # it may have changed: its size and state are asked for again
        return refused(502, str(problem))


def _answer(path: RemotePath, environ: Mapping[str, Any], mimetype: str) -> Answer:
    file = opened(path)
    if file.is_due:
        READS.get(path.host, ("again", path), file.ask_again)
    version = _version(file)
    asked = [word[2:] for word in environ.get("QUERY_STRING", "").split("&") if word.startswith("v=")]
    known = asked == [version]
    if asked and _VERSION.fullmatch(asked[0]) and not known:  # the browser holds a header of the old file
        return refused(409, f"{path.name} changed on {path.host} since the page was opened: open the page again.")
    # Not "no-cache": the browser would ask for a whole file after a change, which is too long for an answer.
    try:
        wanted = Wanted(environ, file.size, version, FOREVER if known else "no-store", mimetype)
    except RangeError as problem:
        return no_such_range(problem, file.size)
    length = wanted.stop - wanted.start
    if wanted.status != 304 and environ.get("REQUEST_METHOD") != "HEAD" and length > LONGEST:
        words = f"{path.name} lies on {path.host}: at most {LONGEST:,} bytes of it are sent at once."
        return refused(413, words, [("Accept-Ranges", "bytes")])
    if wanted.has_no_body:
        return Answer(wanted.status, wanted.headers, ())
    piece = READS.get(path.host, (path, version, wanted.start, length), lambda: file.read_at(wanted.start, length))
    return Answer(wanted.status, wanted.headers, (piece,))


def _open(path: RemotePath) -> Opened:
    from model_core.remote.remote_file import remote_file  # needs requests

    file = remote_file(path)
    with _lock:
        return _opened.setdefault(path, file)


def _version(file: Opened) -> str:
    return f"{hashlib.sha256(file.state.encode()).hexdigest()[:16]}-{file.size:x}"
