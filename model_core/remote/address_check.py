"""Trial of an address: one small range of it, and what came back. Nothing is kept and nothing is asked for twice."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from model_core.remote.address import RemotePath
from model_core.remote.session import RefusedError, UnreachableError, answer, read_body, status_words

BYTES = 1024  # that are asked for
_TOTAL = re.compile(r"bytes [0-9]+-[0-9]+/([0-9]{1,18})")
_AFTER_QUERY = re.compile(r"\?\S*")


@dataclass(frozen=True)
class Trial:
    """What a server answered to a request for the first bytes of a file.

    Attributes
    ----------
    address : str
        Address, without query: it may hold a token.
    status : int or None
        Status of the answer; None where there was none.
    size : int or None
        Bytes of the whole file, where the server tells them.
    ranges : bool
        Whether it sends ranges of bytes.
    tag : str
        Its ETag, or else the date of the last change; "" without either.
    seconds : float
        From the request to the last byte of the answer.
    problem : str
        Why the file cannot be had; "" where it can.
    """

    address: str
    status: int | None
    size: int | None
    ranges: bool
    tag: str
    seconds: float
    problem: str = ""


def try_address(path: RemotePath) -> Trial:
    """Ask for the first BYTES of a file, once. Of an answer without ranges only the header is read."""
    shown, began = without_query(str(path)), time.monotonic()
    status: int | None = None
    size: int | None = None
    ranges, tag, problem = False, "", ""
    try:
        every = tuple(range(400, 600))
        with answer("GET", path.url, {"Range": f"bytes=0-{BYTES - 1}"}, refuse=every) as response:
            headers, status = response.headers, response.status_code
            tag = headers.get("ETag") or headers.get("Last-Modified") or ""
            total = _TOTAL.fullmatch(headers.get("Content-Range", ""))
            ranges = status == 206 and total is not None
            if total is not None and ranges:
                size = int(total[1])
                read_body(response, BYTES)
            elif status == 200:
                length = headers.get("Content-Length", "")
                size = int(length) if length.isascii() and length.isdecimal() and len(length) < 19 else None
                if headers.get("Content-Type", "").startswith("text/html"):
                    problem = "a web page in place of the file: a login, or the sign-in page of this network"
            else:
                problem = status_words(response)
    except UnreachableError as error:
        problem = f"no connection ({without_query(str(error))})"
    except RefusedError as error:
        problem = without_query(str(error))
    return Trial(shown, status, size, ranges, tag, time.monotonic() - began, problem)


def without_query(text: str) -> str:
    """Return a text without what follows a ? in addresses, where tokens stand."""
    if "://" in text and " " not in text:
        parts = urlsplit(text)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    return _AFTER_QUERY.sub("", text)
