"""Many clients at once: requests for ranges and masks of a served run on loopback, compared with Flask's send_file.

python benchmarks/load.py RUN [--clients 50] [--seconds 60] [--slow 8] [--json FILE]

Each client keeps one connection and sends the requests of igv.js in turn: 64 kB ranges of the run's bigWigs, a gene's
mask in 1,000 bins, its elements. Then the same clients request the same ranges from Flask's send_file, under the same
waitress. Any status but 200 or 206, and any broken connection, is an error. At last, slow clients each begin a download
of 300 MB and take nothing more of it, while one honest client sends its requests.

The exit code is 1 if there was an error, if the memory of the server grew by more than MOST_GROWTH, or if the honest
client waited longer than MOST_WAIT for an answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import random
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from flask import Flask, request, send_file

from seq2exp_viz.app import create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen
from seq2exp_viz.serving.byte_ranges import send_bytes

RANGE = 65_536
BIG = 300_000_000  # bytes of a slow client's download
MOST_GROWTH = 100_000_000  # bytes, after the crowd and with the slow clients
MOST_WAIT = 1.0  # seconds


def serve(run: str, ports) -> None:
    """Serve a run in this process; /plain/FILE uses Flask's send_file."""
    shelf = RunRegistry([run])
    server: Flask = create_app(shelf).server
    view = shelf.first
    big = Path(tempfile.mkdtemp()) / "big.bin"
    with big.open("wb") as file:
        file.truncate(BIG)
    server.add_url_rule("/big", "big", lambda: send_bytes(big, request))
    server.add_url_rule("/plain/<name>", "plain", lambda name: send_file(view.file(name), conditional=True))
    files = {name: path.stat().st_size for name, path in view.files.items() if name.endswith(".bigWig")}
    view.cut(view.run.genes["gene_id"].iloc[0])  # imports of the first request are not measured
    sock = bind("127.0.0.1", 0)
    ports.put((sock.getsockname()[1], view.key, files, list(view.run.genes["gene_id"][:200])))
    try:
        listen(server, sock)
    finally:
        shutil.rmtree(big.parent)


def requests_of(key: str, files: dict[str, int], genes: list[str], seed: int, way: str):
    """Yield the requests of one client without end: (path, headers, kind).

    `way` is "mixed" for all kinds, or "ours" or "plain" for ranges alone.
    """
    rng = random.Random(seed)
    names = list(files)
    while True:
        for _ in range(6):
            name = rng.choice(names)
            start = rng.randrange(max(1, files[name] - RANGE))
            path = f"/plain/{name}" if way == "plain" else f"/data/{key}/{name}"
            yield path, {"Range": f"bytes={start}-{start + RANGE - 1}"}, "range"
        if way == "mixed":
            gene = rng.choice(genes)
            yield f"/api/v1/{key}/genes/{gene}/mask?bins=1000", {}, "mask"
            yield f"/api/v1/{key}/genes/{gene}/elements", {}, "elements"


def client(port: int, served: tuple, seconds: float, seed: int, way: str, answers) -> None:
    """Send requests until the time is over; put (kind, seconds) of each answer and the errors into the queue."""
    connection, taken, errors = http.client.HTTPConnection("127.0.0.1", port, timeout=60), [], []
    end = time.perf_counter() + seconds
    for path, headers, kind in requests_of(*served, seed, way):
        began = time.perf_counter()
        if began > end:
            break
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 206):
                errors.append(f"{path}: {answer.status}")
        except (OSError, http.client.HTTPException) as problem:
            errors.append(f"{path}: {problem!r}")
            connection.close()
        taken.append((kind, time.perf_counter() - began))
    answers.put((taken, errors))


def measure(port: int, served: tuple, clients: int, seconds: float, way: str) -> dict:
    """Measure requests per second, latencies by kind in ms, and errors of all clients together."""
    answers = multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=client, args=(port, served, seconds, seed, way, answers))
        for seed in range(clients)
    ]
    began = time.perf_counter()
    for process in processes:
        process.start()
    got = [answers.get() for _ in processes]
    wall = time.perf_counter() - began
    for process in processes:
        process.join()
    every = [item for taken, _ in got for item in taken]
    kinds = {}
    for kind in sorted({kind for kind, _ in every}):
        times = np.array([seconds for name, seconds in every if name == kind]) * 1000
        p50, p95 = np.percentile(times, [50, 95])
        kinds[kind] = {"requests": len(times), "p50_ms": float(p50), "p95_ms": float(p95)}
    errors = [error for _, errors in got for error in errors]
    return {"requests": len(every), "per_s": len(every) / wall, "kinds": kinds, "errors": errors}


def memory(pid: int) -> int:
    """Return the bytes of memory that a process uses; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def held_downloads(port: int, count: int) -> list[socket.socket]:
    """Begin downloads, and take no more than the first bytes of each."""
    held = []
    for _ in range(count):
        held.append(socket.create_connection(("127.0.0.1", port), timeout=60))
        held[-1].sendall(b"GET /big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        if not held[-1].recv(16).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("the download was refused")
    return held


def beside_slow_clients(port: int, served: tuple, slow: int, seconds: float) -> dict:
    """Measure the requests of one honest client while slow clients hold downloads: the longest wait in seconds."""
    answers: multiprocessing.Queue = multiprocessing.Queue()
    held = held_downloads(port, slow)
    try:
        client(port, served, seconds, 0, "mixed", answers)
        taken, errors = answers.get()
    finally:
        for connection in held:
            connection.close()
    return {"requests": len(taken), "longest_s": max(seconds for _, seconds in taken), "errors": errors}


def main() -> None:
    """Measure both servers and print requests, latencies, errors, memory and the ratio of range requests per second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--slow", type=int, default=8, help="clients that hold downloads")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ports = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(str(options.run), ports), daemon=True)
    server.start()
    port, *served = ports.get(timeout=120)
    short = max(1.0, options.seconds / 6)
    try:
        measure(port, tuple(served), options.clients, short, "mixed")  # fills caches and starts threads
        before = memory(server.pid)
        mixed = measure(port, tuple(served), options.clients, options.seconds, "mixed")
        beside = beside_slow_clients(port, tuple(served), options.slow, short)
        growth = memory(server.pid) - before
        ranges = {way: measure(port, tuple(served), options.clients, short, way) for way in ("ours", "plain")}
    finally:
        server.terminate()
        server.join()
    print(f"{options.clients} clients for {options.seconds:g} s on loopback, waitress: {mixed['requests']:,} requests")
    for kind, row in mixed["kinds"].items():
        print(f"{kind:>10} {row['requests']:7,} requests   p50 {row['p50_ms']:7.1f} ms   p95 {row['p95_ms']:7.1f} ms")
    errors = [*mixed["errors"], *beside["errors"], *ranges["ours"]["errors"], *ranges["plain"]["errors"]]
    ratio = ranges["ours"]["per_s"] / ranges["plain"]["per_s"]
    rates = ", ".join(f"{way} {row['per_s']:.0f}/s" for way, row in ranges.items())
    print(f"64 kB ranges alone: {rates} (send_file), ratio {ratio:.2f}")
    longest = beside["longest_s"]
    print(f"beside {options.slow} held downloads: {beside['requests']:,} requests, longest wait {longest:.2f} s")
    print(f"memory of the server: {before / 1e6:.0f} MB, {growth / 1e6:+.0f} MB")
    print("\n  ".join([f"errors: {len(errors)}", *errors[:5]]))
    if options.json:
        result = {"mixed": mixed, "ranges": ranges, "ratio": ratio, "errors": len(errors)}
        result |= {"beside": beside, "memory": {"before": before, "growth": growth}}
        options.json.write_text(json.dumps(result, indent=1))
    sys.exit(1 if errors or growth > MOST_GROWTH or longest > MOST_WAIT else 0)


if __name__ == "__main__":
    main()
