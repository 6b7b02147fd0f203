"""Download igv.js into ``assets/vendor/`` with the npm client: ``python -m seq2exp_viz.serving.vendor``.

igv.js is never committed. The build hook (``hatch_build.py``) and ``make`` call this file; it uses only the standard
library, because it also runs while the wheel is being built. npm is optional: without it the page serves the igv.js
3.1.4 of the igv-notebook package, and shows that version.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "3.8.10"
INTEGRITY = "sha512-foqT9SJHoKvVXl7euYUsOy7XMs1nTrPeJMQbGRp7qWU7a6HzF345FER/nHUTdsL5cumaoAe19gDmJYsEHO08rw=="
MEMBERS = {"package/dist/igv.min.js": "igv.min.js", "package/LICENSE": "igv.LICENSE"}
FOLDER = Path("assets") / "vendor"


class VendorError(RuntimeError):
    """igv.js could not be fetched, or is not the file that was pinned."""


def vendored(folder: Path) -> bool:
    """Return whether ``folder`` already holds the pinned igv.js, byte for byte."""
    try:
        note = json.loads((folder / "igv.json").read_text(encoding="utf-8"))
        text = (folder / "igv.min.js").read_bytes()
    except (OSError, ValueError, RecursionError):
        return False
    return note == {"version": VERSION, "integrity": INTEGRITY, "sha256": hashlib.sha256(text).hexdigest()}


def integrity_of(archive: Path) -> str:
    """Return the archive's integrity string as npm writes it: ``sha512-`` and the base64 of the digest."""
    return "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()


def unpack(archive: Path, folder: Path) -> None:
    """Check ``archive`` against the pinned digest and write igv.min.js and its licence into ``folder``, atomically.

    Raises
    ------
    VendorError
        The digest differs from the pinned one, or a file is missing from the archive.
    """
    found = integrity_of(archive)
    if found != INTEGRITY:
        raise VendorError(f"{archive.name} has {found}, expected {INTEGRITY}; it was not unpacked.")
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for member, name in MEMBERS.items():
            handle = tar.extractfile(member)
            if handle is None:
                raise VendorError(f"{archive.name} has no {member}.")
            _write(folder / name, handle.read())
    digest = hashlib.sha256((folder / "igv.min.js").read_bytes()).hexdigest()
    note = {"version": VERSION, "integrity": INTEGRITY, "sha256": digest}
    _write(folder / "igv.json", json.dumps(note, indent=1).encode())


def vendor(root: Path) -> str:
    """Fetch igv.js into ``root/assets/vendor`` unless it is there, and return a sentence that reports what was done.

    Raises
    ------
    VendorError
        npm is missing or fails, or the file differs from the pinned one.
    """
    folder = root / FOLDER
    if vendored(folder):
        return f"igv.js {VERSION} is already in {folder}."
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError("npm was not found, so igv.js 3.1.4 of igv-notebook will be served; install npm for 3.8.")
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", f"igv@{VERSION}", "--silent"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=300)
        archives = list(Path(scratch).glob("*.tgz"))
        if done.returncode or not archives:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise VendorError(f"`{' '.join(command[1:])}` failed ({last}); igv.js 3.1.4 will be served instead.")
        unpack(archives[0], folder)
    return f"igv.js {VERSION} put into {folder}."


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def main() -> int:
    """Fetch igv.js into the checkout of this file; exit with code 1 and one sentence where that fails."""
    try:
        print(vendor(Path(__file__).resolve().parents[2]))
    except (VendorError, subprocess.TimeoutExpired, OSError) as problem:
        print(f"igv.js 3.8 was not fetched: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
