"""A .mcool as large as those of public portals, made within a minute: `python tests/large_mcool.py x.mcool`.

All chromosomes of hg38 at 5 kb; each bin has contact with the next PIXELS bins. The counts of all rows are the same
random ones, so that their chunks are compressed once; they take about two bytes a pixel. h5py chooses the chunks, as
it does for cooler.
"""

import argparse
import time
import zlib
from pathlib import Path

import h5py
import numpy as np

SIZES = {  # bp, hg38
    **{"chr1": 248_956_422, "chr2": 242_193_529, "chr3": 198_295_559, "chr4": 190_214_555, "chr5": 181_538_259},
    **{"chr6": 170_805_979, "chr7": 159_345_973, "chr8": 145_138_636, "chr9": 138_394_717, "chr10": 133_797_422},
    **{"chr11": 135_086_622, "chr12": 133_275_309, "chr13": 114_364_328, "chr14": 107_043_718, "chr15": 101_991_189},
    **{"chr16": 90_338_345, "chr17": 83_257_441, "chr18": 80_373_285, "chr19": 58_617_616, "chr20": 64_444_167},
    **{"chr21": 46_709_983, "chr22": 50_818_468, "chrX": 156_040_895, "chrY": 57_227_415},
}
RESOLUTION = 5_000
PIXELS = 400  # of each bin, where the chromosome is long enough


def write_large_mcool(path, pixels=PIXELS, sizes=SIZES, normalisation="weight"):
    """Write the .mcool; 400 pixels of each bin make about 530 MB.

    Parameters
    ----------
    path
        The file.
    pixels
        Pixels of each bin.
    sizes
        bp by chromosome.
    normalisation
        Name of the column of weights.
    """
    bins = np.array([-(-size // RESOLUTION) for size in sizes.values()])
    offsets = np.concatenate(([0], np.cumsum(bins)))
    ends = np.repeat(offsets[1:], bins)  # of the chromosome of each bin
    first = np.arange(offsets[-1])
    lengths = np.minimum(pixels, ends - first)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "HDF5::MCOOL", "format-version": 2})
        group = file.create_group(f"resolutions/{RESOLUTION}")
        group.attrs.update({"format": "HDF5::Cooler", "format-version": 3, "bin-type": "fixed"})
        group.attrs.update({"bin-size": RESOLUTION, "storage-mode": "symmetric-upper"})
        group.attrs.update({"nbins": offsets[-1], "nchroms": len(sizes), "nnz": starts[-1]})
        group["chroms/name"] = np.array([name.encode() for name in sizes])
        group["chroms/length"] = np.array(list(sizes.values()), np.int32)
        group["indexes/chrom_offset"] = offsets
        options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        group.create_dataset("indexes/bin1_offset", data=starts, **options)
        start = (first - np.repeat(offsets[:-1], bins)) * RESOLUTION
        group.create_dataset("bins/chrom", data=np.repeat(np.arange(len(sizes), dtype=np.int32), bins), **options)
        group.create_dataset("bins/start", data=start.astype(np.int32), **options)
        end = np.minimum(start + RESOLUTION, np.repeat(list(sizes.values()), bins))
        group.create_dataset("bins/end", data=end.astype(np.int32), **options)
        weights = np.random.default_rng(0).lognormal(-3, 0.5, offsets[-1])
        group.create_dataset(f"bins/{normalisation}", data=weights, **options)
        held = group.create_group("pixels")
        for name, kind in (("bin1_id", np.int64), ("bin2_id", np.int64), ("count", np.int32)):
            held.create_dataset(name, (starts[-1],), kind, chunks=True, **options)
        _write_ids(held, first, lengths, starts)
        _write_counts(held["count"])
    return path


def _write_ids(held, first, lengths, starts, step=10_000):
    for begin in range(0, len(first), step):
        part = slice(begin, begin + step)
        ones = np.repeat(first[part], lengths[part])
        where = slice(starts[begin], starts[begin] + len(ones))
        held["bin1_id"][where] = ones
        held["bin2_id"][where] = (
            ones + np.arange(len(ones)) - np.repeat(starts[part][: len(first[part])], lengths[part]) + starts[begin]
        )


def _write_counts(dataset):
    """Fill the counts with one chunk, again and again."""
    length = dataset.chunks[0]
    counts = np.random.default_rng(1).integers(1, 60_000, length, dtype=np.int32)
    shuffled = counts.view(np.uint8).reshape(length, 4).T.tobytes()
    packed = zlib.compress(shuffled, 1)
    for place in range(0, len(dataset), length):
        dataset.id.write_direct_chunk((place,), packed)


def main():
    """Write the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--pixels", type=int, default=PIXELS, help="pixels of each bin")
    given = parser.parse_args()
    began = time.monotonic()
    write_large_mcool(given.path, given.pixels)
    print(f"{given.path.stat().st_size / 1e6:.0f} MB in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
