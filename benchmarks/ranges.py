"""64 kB ranges of a large file for six clients: this server's handler and Flask's send_file, under the same waitress.

python benchmarks/ranges.py [--size-mb 256] [--requests 600] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import socket
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from flask import Flask, send_file

from seq2exp_viz.app import RangesFirst
from seq2exp_viz.serve import bind, listen
from seq2exp_viz.serving.security import Access

RANGE, CLIENTS, OURS = 65_536, 6, "/data/run/big.bin"


class OneFile:
    """Registry of one run with one file, as `RangesFirst` needs it."""

    def __init__(self, path: Path):
        self.path = path

    def get(self, key: str) -> OneFile | None:
        """Return the run for the key `run`."""
        return self if key == "run" else None

    def file(self, name: str) -> Path | None:
        """Return the file with this id."""
        return self.path if name == "big.bin" and self.path.is_file() else None


def application(path: Path) -> Flask:
    """Return a Flask app that serves the file by send_file, and by this server's handler in front of it."""
    app = Flask("benchmark")
    app.add_url_rule("/send_file", view_func=lambda: send_file(path, conditional=True))
    app.wsgi_app = RangesFirst(app.wsgi_app, OneFile(path), Access())
    return app


def client(port: int, way: str, size: int, count: int, seed: int, answers) -> None:
    """Request `count` random ranges over one kept connection; put the seconds of each into the queue.

    A bare socket is used, because Python's HTTP client costs more than the servers that are compared.
    """
    rng = random.Random(seed)
    sock = socket.create_connection(("127.0.0.1", port))
    buffer, seconds = bytearray(1 << 18), []
    for _ in range(count):
        start = rng.randrange(0, size - RANGE)
        asked = f"GET {way} HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes={start}-{start + RANGE - 1}\r\n\r\n"
        began = time.perf_counter()
        sock.sendall(asked.encode())
        got, wanted = 0, None
        while wanted is None or got < wanted:
            read = sock.recv_into(memoryview(buffer)[got:])
            if read == 0:
                sys.exit(f"{way}: the server closed the connection")
            got += read
            if wanted is None:
                head = buffer.find(b"\r\n\r\n", 0, got)
                wanted = head + 4 + RANGE if head >= 0 else None
        seconds.append(time.perf_counter() - began)
        if not buffer.startswith(b"HTTP/1.1 206") or got != wanted:
            sys.exit(f"{way}: {bytes(buffer[:40])!r}, {got} bytes")
    answers.put(seconds)


def measure(port: int, way: str, size: int, count: int) -> dict:
    """Measure requests per second and latencies of all clients together."""
    answers = multiprocessing.Queue()
    clients = [
        multiprocessing.Process(target=client, args=(port, way, size, count, seed, answers)) for seed in range(CLIENTS)
    ]
    began = time.perf_counter()
    for process in clients:
        process.start()
    seconds = np.concatenate([answers.get() for _ in clients])
    wall = time.perf_counter() - began
    for process in clients:
        process.join()
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return {
        "way": way,
        "requests_per_s": len(seconds) / wall,
        "p50_ms": p50,
        "p95_ms": p95,
        "mb": len(seconds) * RANGE / 1e6,
    }


def serve(path: str, ports) -> None:
    """Serve the file in this process."""
    sock = bind("127.0.0.1", 0)
    ports.put(sock.getsockname()[1])
    listen(application(Path(path)), sock)


def main() -> None:
    """Measure both handlers in turn, three rounds each, and print the best round of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size-mb", type=int, default=256)
    parser.add_argument("--requests", type=int, default=300, help="requests per client and round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "big.bin"
        with open(path, "wb") as handle:
            for _ in range(options.size_mb):
                handle.write(os.urandom(1 << 20))
        ports = multiprocessing.Queue()
        server = multiprocessing.Process(target=serve, args=(str(path), ports), daemon=True)
        server.start()
        port, size = ports.get(), path.stat().st_size
        rounds = [measure(port, way, size, options.requests) for _ in range(3) for way in ("/send_file", OURS)]
        server.terminate()
    best = {
        way: max((r for r in rounds if r["way"] == way), key=lambda r: r["requests_per_s"])
        for way in ("/send_file", OURS)
    }
    print(f"{RANGE // 1024} kB ranges of {options.size_mb} MB, {CLIENTS} clients, waitress, best of 3 rounds")
    for way, row in best.items():
        latency = f"p50 {row['p50_ms']:5.2f} ms   p95 {row['p95_ms']:5.2f} ms"
        print(f"{way:>18} {row['requests_per_s']:7.0f} requests/s   {latency}")
    ratio = best[OURS]["requests_per_s"] / best["/send_file"]["requests_per_s"]
    print(f"ratio {ratio:.2f}")
    if options.json:
        options.json.write_text(json.dumps({"rounds": rounds, "best": best, "ratio": ratio}, indent=1))


if __name__ == "__main__":
    main()
