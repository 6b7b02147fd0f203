"""A bigWig with another value at every base, as large as those of real experiments.

python -m tests.dense_bigwig PATH [MEGABASES]     # 66 Mb take 46 s and make 343 MB
"""

import sys

import numpy as np
import pyBigWig

SIZES = [("chr1", 248_956_422), ("chr2", 242_193_529)]


def write_dense(path, megabases, sizes=SIZES, first=0):
    """Write random values over some megabases of the first chromosome, from megabase `first`; they hardly pack."""
    rng = np.random.default_rng(0)
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(sizes, maxZooms=10)
        for start in range(first * 1_000_000, (first + megabases) * 1_000_000, 1_000_000):
            file.addEntries(sizes[0][0], start, values=rng.random(1_000_000), span=1, step=1)


if __name__ == "__main__":
    write_dense(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 66)
