"""Connections of the waitress server: no client, however slow, holds a thread or keeps another client out.

waitress reads requests and sends answers in one loop over all connections, and its threads only compute. Four things
are added to it. A request is judged by its header, before its body is read. A connection carries one request at a time.
What a client has not taken yet waits in a file, never in a thread. And there is always room for a new connection.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import RequestEntityTooLarge

from seq2exp_viz.serving.body_limits import LONGEST_BODY, longest_body
from seq2exp_viz.serving.byte_ranges import BLOCK

LONGEST_HEADER = 65_536  # bytes of a request's first line and header fields
MOST_CONNECTIONS = 400  # each takes up to three file descriptors
HEADER_SECONDS, BODY_SECONDS = 20, 300  # from a request's first byte to the end of its header, and of its body
IDLE_SECONDS = 120  # of a connection on which nothing moves
SHARE = 8 * BLOCK  # bytes that a connection may send before the others have their turn
PIECE = 262_144  # bytes that are read from a file at a time

SETTINGS: dict[str, Any] = {
    "connection_limit": 2 * MOST_CONNECTIONS,  # waitress stops to accept there; `Channel` makes room before
    "channel_timeout": IDLE_SECONDS,
    "cleanup_interval": 10,
    "asyncore_use_poll": True,  # select knows no more than 1,024 descriptors
    "max_request_header_size": LONGEST_HEADER,
    "inbuf_overflow": LONGEST_BODY + 1,  # bytes of a body in memory; longer ones go to a file
    "outbuf_overflow": BLOCK + LONGEST_HEADER,  # bytes of an answer in memory; longer ones wait in a file
    "outbuf_high_watermark": sys.maxsize,  # above it a thread would wait for the client
}


Refused = Callable[[Mapping[str, str]], bool]  # whether the application will refuse a request with these header fields


def nobody(_environ: Mapping[str, str]) -> bool:
    """Return that no request is refused."""
    return False


class Request(HTTPRequestParser):
    """A request while it arrives."""

    completed: bool  # waitress has no types
    body_rcv: Any
    content_length: int

    def __init__(self, adj: Any, refused: Refused):
        super().__init__(adj)
        self.refused, self.longest = refused, LONGEST_BODY

    def parse_header(self, header: bytes) -> None:
        """Read the header, and decide whether the body is wanted."""
        try:
            super().parse_header(header)
        except ValueError:  # of an address or a length that Python cannot read; ParsingError is none
            raise ParsingError("Start line or Content-Length is invalid") from None
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            # waitress has removed the coding that it understands. Two servers could see different requests in these.
            raise ParsingError("Transfer-Encoding with HTTP/1.0 or with Content-Length")
        if self.body_rcv is None:
            return
        self.longest = longest_body(self.path)
        fields = {f"HTTP_{name}": value for name, value in self.headers.items()}
        if self.refused({**fields, "REQUEST_METHOD": self.command, "PATH_INFO": self.path}):
            self._without_body()  # the application says why
        elif self.content_length > self.longest:
            self._without_body()
            self._too_long()

    def received(self, data: bytes) -> int:
        """Take bytes of the connection; what comes behind a complete request is dropped, and the connection ends.

        A client that sends several requests ahead repeats the others on a new connection.
        """
        taken = super().received(data)
        if not self.completed and self.body_bytes_received > self.longest:
            self._too_long()
            self.completed = True
        if not self.completed or self.empty:
            return taken
        self.expect_continue = False
        if taken < len(data):
            self.headers["CONNECTION"] = "close"
        return len(data)

    def _without_body(self) -> None:
        self.body_rcv, self.content_length, self.chunked = None, 0, False
        self.headers.pop("CONTENT_LENGTH", None)
        self.headers["CONNECTION"] = "close"

    def _too_long(self) -> None:
        self.error = RequestEntityTooLarge(f"The body of this request may have at most {self.longest:,} bytes.")


class Channel(HTTPChannel):
    """A connection."""

    will_close: bool  # waitress has no types
    sendbuf_len: int
    requests: list[Request]

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None):
        super().__init__(server, sock, addr, adj, map=map)
        self.parser_class = partial(Request, refused=server.refused)
        self.sendbuf_len = min(self.sendbuf_len, PIECE)
        self.share = SHARE
        self.begun = 0.0  # when the first bytes of the request that is arriving came
        self._make_room()

    def _make_room(self) -> None:
        """Close another connection where there are too many: an idle one first, then half a request, then a download.

        Connections whose requests are being answered stay.
        """
        there = [channel for channel in self.server.active_channels.values() if not channel.will_close]
        others = [channel for channel in there if channel is not self and not channel.requests]
        if len(there) > MOST_CONNECTIONS and others:
            min(others, key=Channel._worth).will_close = True

    def _worth(self) -> tuple[int, float]:
        busy = 2 if self.total_outbufs_len else 1 if self.request is not None else 0
        return busy, self.last_activity

    def readable(self) -> bool:
        """Return whether bytes may be read; a request that takes too long to arrive ends the connection."""
        if self.request is not None:
            most = BODY_SECONDS if self.request.headers_finished else HEADER_SECONDS
            self.will_close = self.will_close or time.time() - self.begun > most
        return super().readable()

    def received(self, data: bytes) -> bool:
        """Take bytes of the connection."""
        if self.request is None:
            self.begun = time.time()
        self.share = SHARE
        return super().received(data)

    def handle_write(self) -> None:
        """Send what waits, until the client takes no more or the share of this turn is used up."""
        self.share = SHARE
        super().handle_write()

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send bytes, and return how many were taken."""
        if self.share <= 0:
            return 0
        sent = super().send(data[: self.share], do_close=do_close)
        self.share -= sent
        return sent

    def service(self) -> None:
        """Answer a request in a thread; whatever is raised there ends the connection.

        waitress closes it only for an Exception. What is none (a panic of a Rust library, SystemExit) would leave the
        connection open and silent, and count against the limit of connections for ever.
        """
        try:
            super().service()
        except BaseException:
            with self.requests_lock:
                self.requests = []
            self.will_close = True
            self.server.pull_trigger()
            raise  # waitress logs it


def serve_by(server: Any, refused: Refused) -> None:
    """Let a server that waitress's `create_server` made with SETTINGS use these connections."""
    server.refused, server.channel_class = refused, Channel


def answer_until(stopped: threading.Event, server: Any) -> None:
    """Run a server's loop until `stopped` is set and its trigger is pulled."""
    while not stopped.is_set():
        server.asyncore.loop(
            timeout=server.adj.asyncore_loop_timeout,
            map=server._map,
            use_poll=server.adj.asyncore_use_poll,
            count=1,
        )
