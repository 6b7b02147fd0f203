"""Small contact maps, written by another program's library in a process of its own.

hictkpy keeps a core busy once imported, and forking hangs after it: so no test may import it.
"""

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_WRITE = """
import json, sys
import hictkpy, pandas as pd
path, sizes, pixels, resolutions = json.loads(sys.argv[1])
if path.endswith(".hic"):
    writer = hictkpy.hic.FileWriter(path, sizes, resolutions)
else:
    writer = hictkpy.cooler.FileWriter(path, sizes, resolutions[0])
writer.add_pixels(pd.DataFrame(pixels, columns=["bin1_id", "bin2_id", "count"]))
writer.finalize()
"""


def write_map(path, sizes, pixels, resolutions):
    """Write a .cool (of the first resolution) or .hic.

    Parameters
    ----------
    path
        The file; its ending tells which.
    sizes
        bp by chromosome.
    pixels
        (bin1, bin2, count), of the first resolution.
    resolutions
        bp.
    """
    path.write_bytes(_content(path.suffix, json.dumps([sizes, sorted(pixels), list(resolutions)])))
    return path


@cache
def _content(ending, settings):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{ending}"
        run_alone(_WRITE, json.dumps([str(path), *json.loads(settings)]))
        return path.read_bytes()


def run_alone(code, *arguments):
    """Standard output of a Python program run in a fresh process."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    return done.stdout
