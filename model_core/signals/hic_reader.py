"""Reader of .hic files, run as a separate process (see hic_cache).

`python -m model_core.signals.hic_reader facts|convert ...`. hictkpy reads .hic well, but importing it starts a thread
that keeps a core busy for as long as the process lives, and forking hangs after it. So it is imported only here, and
this process ends with its result.

The result is lines of JSON on standard output: {"share": 0 to 1} while it runs, finally {"done": ...} or
{"problem": "..."}.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from model_core.child import follow_parent

_PIXELS = 1 << 22  # read at once, at most
_CHUNK = 1 << 14


def facts(path: str, resolution: int) -> dict[str, Any]:
    """Return chromosome lengths, resolutions and normalisations of a .hic as a JSON object.

    `sizes` in bp by chromosome, `resolutions` in bp and, where `resolution` is one of them, its `normalisations`.
    """
    file = _hictkpy().MultiResFile(path)
    resolutions = [int(held) for held in file.resolutions()]
    normalisations = list(file[resolution].avail_normalizations()) if resolution in resolutions else []
    return {"sizes": dict(file.chromosomes()), "resolutions": resolutions, "normalisations": normalisations}


def convert(path: str, resolution: int, normalisation: str, reach: int, target: str) -> None:
    """Write a .cool with the normalised contacts of bins at most `reach` bins apart; prints the share done."""
    write_band(_hictkpy().MultiResFile(path)[resolution], normalisation, reach, target)


def write_band(file: Any, normalisation: str, reach: int, target: str) -> None:
    """Write the normalised contacts near the diagonal of an open map as a .cool.

    Contacts that the normalisation leaves out (NaN) are not written.

    Parameters
    ----------
    file : Any
        hictkpy.File.
    normalisation : str
        As the file names it, or "NONE".
    reach : int
        Number of bins; contacts of bins further apart are skipped.
    target : str
        The .cool to write; replaced where it exists.
    """
    import h5py

    sizes, resolution = dict(file.chromosomes()), file.resolution()
    bins = [-(-size // resolution) for size in sizes.values()]
    offsets = np.concatenate(([0], np.cumsum(bins, dtype=np.int64)))
    with h5py.File(target, "w") as out:
        _write_bins(out, sizes, resolution, offsets)
        pixels = out.create_group("pixels")
        for name, kind in (("bin1_id", np.int64), ("bin2_id", np.int64), ("count", np.float64)):
            options = {"chunks": (_CHUNK,), "compression": "gzip", "compression_opts": 1, "shuffle": True}
            pixels.create_dataset(name, (0,), kind, maxshape=(None,), **options)
        per_bin, total = np.zeros(offsets[-1], np.int64), 0.0
        for number, chrom in enumerate(sizes):
            for rows, columns, counts in _bands(file, chrom, sizes[chrom], normalisation, reach):
                _append(pixels, rows + offsets[number], columns + offsets[number], counts)
                found = np.bincount(rows)
                per_bin[offsets[number] : offsets[number] + len(found)] += found
                total += float(counts.sum())
            _print_json(share=float(offsets[number + 1] / offsets[-1]))
        out["indexes/bin1_offset"] = np.concatenate(([0], np.cumsum(per_bin)))
        out.attrs.update({"nnz": int(per_bin.sum()), "sum": total})


def _bands(
    file: Any, chrom: str, size: int, normalisation: str, reach: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (rows, columns, counts) of a chromosome's contacts, sorted: int64 and int64 bins of it, float64."""
    resolution = file.resolution()
    step = max(_PIXELS // (reach + 1), 1) * resolution
    for start in range(0, size, step):
        end = min(start + step, size)
        places = f"{chrom}\t{start}\t{end}", f"{chrom}\t{start}\t{min(end + reach * resolution, size)}"
        options = {"normalization": normalisation, "count_type": "float64", "query_type": "BED"}
        try:
            found = file.fetch(*places, diagonal_band_width=reach + 1, **options).to_coo()
        except RuntimeError as error:
            # Small chromosomes may lack the normalisation vector; all their bins are then left out.
            if re.search("unable to find .*normalization vector", str(error)):
                return
            raise
        rows, columns, counts = found.row.astype(np.int64), found.col.astype(np.int64), found.data
        wanted = np.isfinite(counts) & (counts != 0) & (columns >= rows) & (columns - rows <= reach)
        order = np.flatnonzero(wanted)[np.lexsort((columns[wanted], rows[wanted]))]
        first = start // resolution
        yield rows[order] + first, columns[order] + first, counts[order]


def _write_bins(out: Any, sizes: dict[str, int], resolution: int, offsets: np.ndarray) -> None:
    """Write everything of the Cooler schema but the pixels and their index."""
    starts = [np.arange(0, size, resolution) for size in sizes.values()]
    ends = [np.minimum(part + resolution, size) for part, size in zip(starts, sizes.values(), strict=True)]
    out["chroms/name"] = np.array([name.encode() for name in sizes])
    out["chroms/length"] = np.array(list(sizes.values()), np.int32)
    out["bins/chrom"] = np.repeat(np.arange(len(sizes), dtype=np.int32), np.diff(offsets))
    out["bins/start"], out["bins/end"] = (np.concatenate(part).astype(np.int32) for part in (starts, ends))
    out["indexes/chrom_offset"] = offsets
    out.attrs.update({"format": "HDF5::Cooler", "format-version": 3, "bin-type": "fixed", "bin-size": resolution})
    out.attrs.update({"storage-mode": "symmetric-upper", "nbins": offsets[-1], "nchroms": len(sizes)})
    out.attrs.update({"genome-assembly": "unknown", "metadata": "{}", "generated-by": "seq2exp-viz"})


def _append(pixels: Any, *columns: np.ndarray) -> None:
    for name, values in zip(("bin1_id", "bin2_id", "count"), columns, strict=True):
        held = len(pixels[name])
        pixels[name].resize(held + len(values), axis=0)
        pixels[name][held:] = values


def _hictkpy() -> Any:
    import hictkpy

    hictkpy.logging.setLevel("CRITICAL")  # errors are reported once, as {"problem": ...}
    return hictkpy


def _print_json(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def main(task: str, path: str, resolution: str, *more: str) -> None:
    """Do one task and print its result."""
    try:
        if task == "facts":
            _print_json(done=facts(path, int(resolution)))
        else:
            normalisation, reach, target = more
            convert(path, int(resolution), normalisation, int(reach), target)
            _print_json(done=None)
    except ImportError:
        _print_json(problem="hictkpy, which reads .hic files, is not installed")
    except (RuntimeError, OSError) as error:
        _print_json(problem=(str(error).splitlines() or [type(error).__name__])[0])


if __name__ == "__main__":
    follow_parent()
    main(*sys.argv[1:])
