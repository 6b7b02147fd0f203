"""Access to the server and permissions of the page: token, Host check and headers, as hooks on a Flask app."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from flask import Flask, Response, redirect, request
from werkzeug.http import parse_cookie
from werkzeug.wrappers import Response as PlainResponse

ALWAYS = (("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin"))  # of every answer
READING = ("GET", "HEAD", "OPTIONS")
OWN_SITE = ("same-origin", "none")  # of Sec-Fetch-Site; "none" is an address that was typed, or a bookmark
CALLBACKS = "/_dash-update-component"  # to which the page posts what it wants to show; nothing is written there
READ_ONLY = "This server is read-only: it scores no genes, predicts nothing and stores nothing."
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


@dataclass(frozen=True)
class Access:
    """The rule by which requests are accepted.

    Parameters
    ----------
    token : str or None
        Secret that every request must carry (in query, cookie or header). With None, only requests whose Host header
        is one of `hosts` are answered, which prevents DNS rebinding by a page of another site.
    hosts : frozenset[str]
        Host names without port.
    path : str
        Path below which the cookie is sent (the URL prefix).
    read_only : bool
        Whether every request is refused that could store something or make the model work.
    """

    token: str | None = None
    hosts: frozenset[str] = field(default=LOOPBACK_NAMES)
    path: str = "/"
    read_only: bool = False

    @property
    def cookie(self) -> str:
        """Name of the cookie; it differs for each token, because cookies are shared by all ports of a host."""
        return f"seq2exp_viz_{hashlib.sha256((self.token or '').encode()).hexdigest()[:8]}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`; names other than localhost count as reachable from outside."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def access_for(host: str, token: str | None = None, path: str = "/", read_only: bool = False) -> Access:
    """Return the access rule of an address: no token on a loopback address unless given, a random one elsewhere."""
    token = token or None  # an empty token would admit every request
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    return Access(token=token, path=path, read_only=read_only)


def content_security_policy(script_hashes: list[str]) -> str:
    """Return the policy that confines requests to this server: igv.js would otherwise ask igv.org after any 404."""
    scripts = " ".join(["script-src 'self'", *(f"'{item.strip(chr(39))}'" for item in script_hashes)])
    return "; ".join(
        [
            "default-src 'self'",
            "connect-src 'self' data: blob:",
            scripts,
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        ]
    )


def protect(server: Flask, access: Access, policy: str) -> None:
    """Register the token and Host checks before, and the security headers after, every request of `server`."""

    @server.before_request
    def check() -> PlainResponse | None:
        if access.token is not None and _shown_in_url(access.token):
            return _remember(access, access.token)
        refused = refusal(access, request.environ)
        return Response(refused[0] + "\n", status=refused[1], mimetype="text/plain") if refused else None

    @server.after_request
    def add_headers(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("Content-Security-Policy", policy)
        headers.setdefault("Referrer-Policy", "no-referrer")
        for name, value in ALWAYS:
            headers.setdefault(name, value)
        return response


class ReadableCookies:
    """WSGI middleware that replaces bytes of cookies that are no UTF-8, over which Werkzeug stumbles.

    Cookies are shared by all ports of a host, so that any server on this machine can have set them.
    """

    def __init__(self, inner: Callable):
        self.inner = inner

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if "HTTP_COOKIE" in environ:
            environ["HTTP_COOKIE"] = _readable(environ["HTTP_COOKIE"])
        return self.inner(environ, start_response)


def _readable(cookies: str) -> str:
    """Return a Cookie header, as WSGI holds it (Latin-1 for bytes), whose bytes are UTF-8."""
    return cookies.encode("latin-1", "replace").decode(errors="replace").encode().decode("latin-1")


def refusal(access: Access, environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return why a WSGI request is rejected, with the HTTP status; None where it is accepted."""
    return _stranger(access, environ) or _writer(access, environ)


def _writer(access: Access, environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return why a request is refused by a server that is read-only."""
    reads = environ.get("REQUEST_METHOD") in READING or environ.get("PATH_INFO", "").endswith(CALLBACKS)
    return (READ_ONLY, 403) if access.read_only and not reads else None


def _stranger(access: Access, environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return why whoever sent a request may not use this server."""
    if foreign := _foreign(environ):
        return foreign, 403
    if access.token is None:
        host = _host(environ)
        return None if host in access.hosts else (_unknown_host(host), 403)
    known = parse_cookie(_readable(environ.get("HTTP_COOKIE", ""))).get(access.cookie, "") or _bearer(environ)
    if _same(known, access.token):
        return None
    return "This page needs its token: open the link that `seq2exp-viz serve` printed.", 401


def _host(environ: Mapping[str, str]) -> str:
    """Return the Host header without its port, in lower case."""
    host = environ.get("HTTP_HOST", "").strip().lower()
    if host.startswith("["):
        return host.split("]", 1)[0] + "]"
    return host.rsplit(":", 1)[0] if ":" in host else host


def _foreign(environ: Mapping[str, str]) -> str:
    """Return why a request that a page of another site has caused is refused; "" where it is not.

    Such a page cannot read the answers, but it could keep the server busy by them. "same-site" is another site, too:
    servers of other users on the same machine differ in the port only.
    """
    reading = environ.get("REQUEST_METHOD") in READING
    if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in OWN_SITE and not _opens_the_page(environ):
        return (
            "This request came from a page of another site, from which only the page itself can be opened; open it "
            "and ask there."
        )
    origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
    if reading or not origin or (_netloc(origin) == host.lower() != ""):  # without: a program; browsers always send it
        return ""
    return (
        f"The request came from a page at {origin[:200]!r}, but reached this server as {host[:200]!r}. Only the page "
        "of this server may write. A proxy must pass on the Host header as the browser sent it, with the port "
        "(nginx: proxy_set_header Host $http_host;)."
    )


def _opens_the_page(environ: Mapping[str, str]) -> bool:
    """Return whether the page is opened in a tab or window, by a link anywhere."""
    kind = environ.get("HTTP_SEC_FETCH_MODE"), environ.get("HTTP_SEC_FETCH_DEST")
    return environ.get("REQUEST_METHOD") == "GET" and kind == ("navigate", "document") and _is_page(environ)


def _is_page(environ: Mapping[str, str]) -> bool:
    return environ.get("PATH_INFO", "") in ("", "/")


def _same(shown: str, token: str) -> bool:
    """Return whether a text that a request shows is the token; it may hold any bytes."""
    return hmac.compare_digest(shown.encode(errors="surrogatepass"), token.encode())


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _bearer(environ: Mapping[str, str]) -> str:
    kind, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return value.strip() if kind.lower() in ("token", "bearer") else ""


def _shown_in_url(token: str) -> bool:
    return _same(request.args.get("token", ""), token)


def _remember(access: Access, token: str) -> PlainResponse:
    """Replace the token in the URL by a cookie, so that links copied from the page do not carry it."""
    rest = urlencode([(name, value) for name, value in request.args.items(multi=True) if name != "token"])
    # The path is our own and relative, so that it holds behind any prefix.
    response = redirect("./" + quote(request.path.rsplit("/", 1)[-1]) + (f"?{rest}" if rest else ""))
    response.autocorrect_location_header = False
    # Lax, so that a link to the page works from an e-mail; writing requests are restricted by the Origin check.
    response.set_cookie(access.cookie, token, httponly=True, samesite="Lax", path=access.path)
    return response


def _unknown_host(host: str) -> str:
    return (
        f"This server does not answer to the name {host or '(none)'!r}; open it as http://127.0.0.1:PORT, "
        "or start it with --token (as a WSGI application: with SEQ2EXP_HOSTS) to use another name."
    )
