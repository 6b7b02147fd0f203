"""The real server in a process of its own, with a few routes more, for tests that attack it through sockets."""

import subprocess
import sys
from pathlib import Path

from gunicorn_server import ROOT

SCRIPT = """
import sys
from pathlib import Path
from flask import Response, request
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serve import bind, listen
from seq2exp_viz.serving.byte_ranges import send_bytes
from seq2exp_viz.serving.security import Access

run, big, token = sys.argv[1:4]
access = Access(token=token or None)
app = create_app(RunRegistry([run]), Settings(access=access, igv="notebook")).server


class Panic(BaseException):
    pass


def halves():
    yield b"begun"
    raise Panic("in the midst")


def fails(kind):
    if kind == "midst":
        return Response(halves())
    raise {"panic": Panic, "exit": SystemExit, "memory": MemoryError}[kind](kind)


def received(**_names):
    return str(len(request.get_data()))


app.add_url_rule("/test/fails/<kind>", view_func=fails)
app.add_url_rule("/test/big", "big", lambda: send_bytes(Path(big), request))
app.add_url_rule("/test/made", "made", lambda: Response(b"0123456789abcdef" * 1_000_000))
for rule in ("/test/short", "/test/run/own"):
    app.add_url_rule(rule, rule, received, methods=["POST"])
sock = bind("127.0.0.1", 0)
listen(app, sock, lambda: print(sock.getsockname()[1], flush=True), access)
"""


class Live:
    """A server that runs.

    Parameters
    ----------
    run, big : Path
        A run folder, and a file that /test/big serves.
    folder : Path
        For its log.
    token : str
        "" for none.
    """

    def __init__(self, run: Path, big: Path, folder: Path, token: str = ""):
        self.log, self.big = folder / "live.log", big
        words = [sys.executable, "-c", SCRIPT, str(run), str(big), token]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        said = self.process.stdout.readline()
        assert said, self.log.read_text()[-4000:]
        self.port = int(said)

    @property
    def pid(self) -> int:
        return self.process.pid

    def memory(self) -> int:
        """Bytes of memory in use."""
        line = next(line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if "VmRSS" in line)
        return int(line.split()[1]) * 1024

    def files(self) -> list[str]:
        """What its descriptors lead to."""
        found = []
        for place in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                found.append(str(place.readlink()))
            except FileNotFoundError:  # closed meanwhile
                continue
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()
