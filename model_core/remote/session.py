"""HTTP requests for inputs: retries, redirects, proxies, and what is refused.

A study names hosts, and only they may be asked, with what they redirect to: http(s) addresses of public hosts. A name
that leads to this machine or its network is asked only where the study itself names it, so that no server can make
this one ask its neighbours. requests takes proxies and .netrc from the environment; each step of a redirect is a
request of its own, so that no password follows to another host.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

TIMEOUT = (10, 60)  # seconds to connect, and between bytes
MOST_REDIRECTS = 5
PATIENCE = 60.0  # seconds after which a body must have come at SLOWEST, whatever its size
SLOWEST = 200  # bytes per second
ATTEMPTS = 4  # of a request that fails in a way that may pass
LONGEST_PAUSE = 30.0  # seconds between two of them, whatever the server asks for
_SMALL = 10_000  # bytes of the page that comes with a redirect
_AGAIN = {429, 500, 502, 503, 504}
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "seq2exp-viz"}  # identity: bytes as stored on the server
_contacted: set[str] = set()


class UnreachableError(OSError):
    """No connection to a server."""


class RefusedError(Exception):
    """Reply of a server without the requested file.

    Parameters
    ----------
    message : str
        The reason.
    login : bool
        Whether the server requires a login.
    status : int
        The status of the reply, 0 where there is none.
    pause : float or None
        Seconds after which the server wants to be asked again.
    """

    def __init__(self, message: str, login: bool = False, status: int = 0, pause: float | None = None):
        super().__init__(message)
        self.login, self.status, self.pause = login, status, pause

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in _AGAIN


def offline() -> bool:
    """Return whether no server may be asked (`SEQ2EXP_OFFLINE`)."""
    return os.environ.get("SEQ2EXP_OFFLINE", "") not in ("", "0")


def contacted() -> frozenset[str]:
    """Return the names of the hosts that this process has asked."""
    return frozenset(_contacted)


@contextmanager
def answer(method: str, url: str, headers: dict[str, str], refuse: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield the server's response before its body is read; the caller handles the statuses in `refuse`.

    Parameters
    ----------
    method : str
        "GET" or "HEAD".
    url : str
        http or https address; its host may be any, as the user names it.
    headers : dict[str, str]
        Added to the request.
    refuse : tuple[int, ...]
        Statuses of 400 and more that raise nothing.

    Raises
    ------
    UnreachableError
        No connection.
    RefusedError
        A status of 400 or more, or a redirect that is not followed.
    """
    asked = _host(url)
    for _ in range(MOST_REDIRECTS + 1):
        with _one_answer(method, url, headers) as response:
            place = response.headers.get("Location")
            if response.status_code not in (301, 302, 303, 307, 308) or not place:
                if response.status_code >= 400 and response.status_code not in refuse:
                    raise _refusal(response)
                yield response
                return
            with suppress(UnreachableError, RefusedError):
                read_body(response, _SMALL)  # so that the connection can be used again
        url = check_redirect(asked, url, place)
    raise RefusedError(f"more than {MOST_REDIRECTS} redirects")


def patiently(ask: Any) -> Any:
    """Return what `ask()` returns; ask up to ATTEMPTS times where it raises an error that may pass.

    These are no connection, a broken transfer, and the statuses 429, 500, 502, 503 and 504.

    Raises
    ------
    UnreachableError, RefusedError
        As `ask` the last time.
    """
    for attempt in range(ATTEMPTS):
        try:
            return ask()
        except UnreachableError:
            if attempt == ATTEMPTS - 1:
                raise
            pause = None
        except RefusedError as error:
            if not error.is_passing or attempt == ATTEMPTS - 1:
                raise
            pause = error.pause
        wait = first_pause() * 2**attempt if pause is None else pause
        time.sleep(min(wait, LONGEST_PAUSE))
    raise AssertionError  # the last attempt returns or raises


def first_pause() -> float:
    """Return the seconds before a request is made a second time."""
    return 0.5


def read_body(response: Any, most: int) -> bytes:
    """Return the body of a response as it was sent, of at most `most` bytes.

    Raises
    ------
    UnreachableError
        The transfer breaks.
    RefusedError
        It is longer.
    """
    content = bytearray()
    for piece in pieces(response):
        content += piece
        if len(content) > most:
            raise RefusedError(f"more than the {most:,} bytes that were asked for")
    return bytes(content)


def pieces(response: Any, largest: int = 1 << 18) -> Iterator[bytes]:
    """Yield the body of a response as it comes and as it was sent, in pieces of at most `largest` bytes.

    Raises
    ------
    UnreachableError
        The transfer breaks, or is so slow that it would never end.
    """
    import urllib3

    began, count = time.monotonic(), 0
    try:
        # As stored: `iter_content` would unpack files that a server marks as Content-Encoding: gzip. Not `stream`,
        # which waits for a whole piece, so that a server could hold this one for days by sending single bytes.
        while piece := response.raw.read1(largest, decode_content=False):
            yield piece
            count, seconds = count + len(piece), time.monotonic() - began
            if seconds > PATIENCE and count < SLOWEST * seconds:
                raise UnreachableError(f"{count:,} bytes in {seconds:,.0f} seconds")
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        reason = short_reason(error)
        cut = reason.startswith("IncompleteRead")
        raise UnreachableError(f"the transfer ended after {count:,} bytes" if cut else reason) from None


def require_plain(response: Any, url: str) -> None:
    """Require that a body is the file's own bytes.

    Some servers name gzip for files that are gzipped anyway, and send these as they are.

    Raises
    ------
    RefusedError
        It is packed.
    """
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    gzipped = unquote(urlsplit(url).path).lower().endswith((".gz", ".bgz", ".tgz"))
    if packing not in ("", "identity") and not (gzipped and packing in ("gzip", "x-gzip")):
        raise RefusedError(f"a transfer that is packed ({printable(packing)}), which was not asked for")


def printable(text: str) -> str:
    """Return the beginning of what a server says, without characters that a terminal acts on."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:120])


def status_words(response: Any) -> str:
    """Return the status of a response and its words."""
    return printable(f"{response.status_code} {response.reason or ''}".strip())


def check_redirect(asked: str, before: str, place: str) -> str:
    """Return the address that a redirect leads to.

    Parameters
    ----------
    asked : str
        The host that the study or the user names.
    before : str
        The address that answers with the redirect.
    place : str
        Where it leads, as the server says it.

    Raises
    ------
    RefusedError
        It leads to another scheme, to a host on this machine or in its network, or out of an encrypted connection.
    """
    try:
        url = urljoin(before, place)
        named = "@" in urlsplit(url).netloc
    except ValueError:
        url, named = place, False
    host, scheme = _host(url), url.partition(":")[0].lower()
    if scheme not in ("http", "https") or not host:
        raise RefusedError(f"a redirect to {url[:80]!r}, which is no http address")
    if named or (scheme == "http" and before[:6].lower() == "https:"):
        raise RefusedError(f"a redirect to {url[:80]!r}, {'with a user name' if named else 'which is not encrypted'}")
    if host != asked:
        for address in _addresses(host):
            if not address.is_global or address.is_multicast:
                raise RefusedError(f"a redirect to {host}, which lies on this machine or in its network ({address})")
    return url


def is_here(url: str) -> bool:
    """Return whether an address is on this machine."""
    host = _host(url)
    return host == "localhost" or host == "::1" or host.startswith("127.")


def short_reason(error: object) -> str:
    """Return the innermost reason of a nested connection error."""
    inner = error
    while isinstance(inner, Exception):
        error, args = inner, getattr(inner, "args", ())
        inner = getattr(error, "reason", None) or next((arg for arg in args if isinstance(arg, Exception)), None)
    return printable(re.sub(r"\[Errno [-0-9]+\] ", "", str(error).rpartition(": ")[2])) or type(error).__name__


_mine = threading.local()  # a session of each thread, which keeps connections open


def _session() -> Any:
    import requests

    if getattr(_mine, "process", None) != os.getpid():

        class Steps(requests.Session):
            """A session that leaves redirects alone: requests reads the whole body of one, however long."""

            def get_redirect_target(self, resp: Any) -> None:
                """Return no address."""
                return None

        _mine.session, _mine.process = Steps(), os.getpid()
        _mine.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # none is kept
    return _mine.session


@contextmanager
def _one_answer(method: str, url: str, headers: dict[str, str]) -> Iterator[Any]:
    import requests

    if offline():
        raise UnreachableError("SEQ2EXP_OFFLINE is set")
    _contacted.add(_host(url))
    try:
        # No proxy of the environment reaches this machine; a .netrc is used here, too.
        proxies: Any = dict.fromkeys(("http", "https", "all")) if is_here(url) else None
        response = _session().request(
            method,
            url,
            proxies=proxies,
            headers={**_HEADERS, **headers},
            stream=True,
            timeout=TIMEOUT,
            allow_redirects=False,
        )
    except (requests.ConnectionError, requests.Timeout) as error:
        raise UnreachableError(short_reason(error)) from None
    except (requests.RequestException, ValueError) as error:
        raise RefusedError(short_reason(error)) from None
    with response:
        yield response


def _refusal(response: Any) -> RefusedError:
    status, pause = response.status_code, response.headers.get("Retry-After", "")
    seconds = float(pause) if pause.isascii() and pause.isdecimal() else None
    return RefusedError(status_words(response), status in (401, 403), status, seconds)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses of a host; none where its name is known to a proxy alone."""
    try:
        return [_unmapped(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
            return []
        raise UnreachableError(f"no address of {host}") from None
    return [_unmapped(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found]


def _unmapped(address: Any) -> Any:
    return getattr(address, "ipv4_mapped", None) or address
