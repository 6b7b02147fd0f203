"""Fit the background of simulated genomes to real sequence, and write model_core/simulation/background.npz.

    python scripts/fit_background.py hg38.chr22.partial.fa.gz

Source: human chromosome 22 (GRCh37 reference bases at their GRCh38 places, from Ensembl Compara's EPO alignment; only
upper-case letters of the file, which are reference bases). Counted on both strands: bases after the five before them
(order 5) outside CpG islands, and after the three before them inside. An island is a run of windows of 200 bp with at
least 55 % G and C and an observed-to-expected ratio of CpG of at least 0.65 (Takai and Jones 2002), the shortest
200 bp. Frequencies are facts; no stretch of the sequence itself is kept.
"""

import argparse
from pathlib import Path

import numpy as np
import pysam

ORDER, ISLAND_ORDER = 5, 3
WINDOW = 200
OUT = Path(__file__).parents[1] / "model_core" / "simulation" / "background.npz"


def islands(codes: np.ndarray) -> np.ndarray:
    """Return which bases (codes 0-4) lie in CpG islands, bool (L,)."""
    count = len(codes) // WINDOW
    tiles = codes[: count * WINDOW].reshape(count, WINDOW)
    c, g = (tiles == 1).sum(1), (tiles == 2).sum(1)
    cpg = ((tiles[:, :-1] == 1) & (tiles[:, 1:] == 2)).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = cpg * WINDOW / (c * g)
    inside = np.zeros(len(codes), bool)
    inside[: count * WINDOW] = np.repeat((c + g >= 0.55 * WINDOW) & (ratio >= 0.65) & (tiles < 4).all(1), WINDOW)
    return inside


def counted(codes: np.ndarray, chosen: np.ndarray, order: int) -> np.ndarray:
    """Return how often each base follows each context of `order` bases, on both strands; float64 (4**order, 4)."""
    total = np.zeros(4 ** (order + 1))
    for strand in (codes, np.where(codes < 4, 3 - codes, 4)[::-1]):
        here = chosen if strand is codes else chosen[::-1]
        views = np.lib.stride_tricks.sliding_window_view
        known = views(strand < 4, order + 1).all(1) & views(here, order + 1).all(1)
        number = np.zeros(len(strand) - order, np.int64)
        for place in range(order + 1):
            number = number * 4 + np.minimum(strand[place : len(strand) - order + place], 3)
        total += np.bincount(number[known], minlength=len(total))
    return total.reshape(-1, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fasta", type=Path)
    parser.add_argument("--chrom", default="chr22")
    a = parser.parse_args()
    with pysam.FastaFile(str(a.fasta)) as fasta:
        letters = np.frombuffer(fasta.fetch(a.chrom).encode(), np.uint8)
    codes = np.full(len(letters), 4, np.uint8)  # lower case counts as unknown
    for code, letter in enumerate(b"ACGT"):
        codes[letters == letter] = code
    inside = islands(codes)
    tables = {}
    for name, chosen, order in (("background", ~inside, ORDER), ("island", inside, ISLAND_ORDER)):
        counts = counted(codes, chosen, order) + 1
        tables[name] = (counts / counts.sum(axis=1, keepdims=True)).astype(np.float16)
        gc = counts.sum(axis=0)[[1, 2]].sum() / counts.sum()
        print(f"{name}: order {order}, {counts.sum() / 2:,.0f} bases, {gc:.1%} G and C")
    np.savez_compressed(OUT, **tables)
    print(f"{OUT.name}: {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
