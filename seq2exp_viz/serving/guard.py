"""The outermost WSGI middleware: whatever is raised while a request is answered becomes an answer."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator

from seq2exp_viz.serving.security import ALWAYS

log = logging.getLogger(__name__)
MESSAGE = "The server failed ({}); its terminal shows the details."


class Guard:
    """WSGI middleware that turns whatever is raised into a logged answer with status 500.

    A panic of a library that is written in Rust is a BaseException and no Exception: neither Flask nor a WSGI server
    answers it, and the connection would stay open and silent. Only SystemExit and KeyboardInterrupt are passed on, by
    which servers end their processes. Where an answer has begun, the server has to break it off, which it does at an
    Exception.
    """

    def __init__(self, inner: Callable):
        self.inner = inner

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        try:
            body = self.inner(environ, start_response)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as problem:  # the purpose of this class
            log.exception("Answering %s %r", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
            text = json.dumps({"message": MESSAGE.format(type(problem).__name__)}).encode()
            headers = [("Content-Type", "application/json"), *ALWAYS]
            start_response("500 Internal Server Error", headers, sys.exc_info())
            return iter([text])  # without a length, so that waitress closes the connection
        return body if isinstance(body, list | tuple) or _handed_over(body, environ) else _Body(body)


def _handed_over(body: object, environ: dict) -> bool:
    """Return whether an answer is a file wrapped for the server, which must recognise it."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class _Body:
    """Iterator over an answer that raises nothing but Exceptions."""

    def __init__(self, inner: Iterable[bytes]):
        self.inner, self.items = inner, iter(inner)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self.items)
        except (Exception, SystemExit, KeyboardInterrupt):  # StopIteration among them
            raise
        except BaseException as problem:  # as in Guard
            raise RuntimeError(MESSAGE.format(type(problem).__name__)) from problem

    def close(self) -> None:
        if hasattr(self.inner, "close"):
            self.inner.close()
