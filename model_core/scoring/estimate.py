"""Estimate of windows, disk space and time of a scoring, from a few windows scored into a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from model_core.listing import files_below
from model_core.model.checkpoint import load_with_metadata
from model_core.model.gene_model import GeneModel
from model_core.run_folder.assemble import DECIMALS, covered_bases, default_track_resolution, merged_track
from model_core.run_folder.run import Run
from model_core.run_folder.run_weights import weights_of
from model_core.run_folder.source import new_run_of
from model_core.run_folder.tracks import write_bigwig
from model_core.scoring.predict import default_workers, scored
from model_core.scoring.score import check_signals, feature_scale_for, scored_rows
from model_core.scoring.write_behind import WriteBehind
from model_core.study.study import Study
from model_core.training.dataset import GeneWindows, batches

MEASURED_WINDOWS = 64
MEASURED_SECONDS = 15.0  # no further batch is started after this time


class Estimate(NamedTuple):
    """Expected cost of scoring genes; bytes and seconds are extrapolated from `measured` windows."""

    asked: int  # genes requested
    scored: int  # of these, genes that the run already has
    windows: int  # still to score
    window: int  # bp
    batches: int  # over all processes
    processes: int
    device: str
    measured: int  # windows that were scored for the estimate
    seconds_a_window: float  # reading, model and writing together, for one process
    mask_bytes: int  # of the windows still to score
    resolution: int  # bp per bin of the masks
    track_bytes: int  # of the merged track of all genes
    track_resolution: int  # bp per bin
    free_bytes: int  # on the disk of the run

    @property
    def seconds(self) -> float:
        """Seconds of the complete scoring, if the processes do not slow each other down."""
        return self.seconds_a_window * -(-self.windows // self.processes)

    def text(self) -> str:
        """Return the estimate as lines of text for the user."""
        if not self.windows:
            return f"all {self.asked:,} genes are already scored; there is nothing to do"
        span = f"about {_duration(self.seconds)} on {self.device} ({_duration(self.seconds_a_window)} per window)"
        shared = f", shared by {self.processes} processes" if self.processes > 1 else ""
        free = "" if self.free_bytes > self.mask_bytes + self.track_bytes else " (not enough)"
        return "\n".join(
            [
                f"genes    {self.asked:,} requested, {self.scored:,} of them already scored",
                f"windows  {self.windows:,} of {self.window:,} bp in {self.batches:,} batches{shared}",
                f"masks    {_bytes(self.mask_bytes)} at {self.resolution} bp "
                f"({_bytes(self.mask_bytes / self.windows)} per window)",
                f"track    {_bytes(self.track_bytes)} at {self.track_resolution} bp, {DECIMALS} decimals",
                f"free     {_bytes(self.free_bytes)}{free}",
                f"time     {span}",
                f"measured on {self.measured} windows in a temporary folder; nothing was written to the run",
            ]
        )


def estimate(
    study: Study,
    genes: pd.DataFrame,
    checkpoint: str | Path,
    out: str | Path,
    device: str | None = None,
    *,
    resolution: int = 1,
    batch_size: int = 1,
    workers: int | None = None,
    processes: int = 1,
) -> Estimate:
    """Score a few windows into a temporary folder, as `score` would, and return the expected cost of all.

    Parameters
    ----------
    study : Study
        The study to score.
    genes : DataFrame
        Rows of `choose_genes`.
    checkpoint : str or Path
        The checkpoint to score with.
    out : str or Path
        The run folder, which need not exist; nothing is written into it.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.
    resolution : int
        bp per bin of the masks, used if `out` does not exist.
    batch_size, workers, processes : int
        As in `score`; `processes` counts those of all hosts.

    Raises
    ------
    InputError
        As in `score`.
    """
    model, metadata = load_with_metadata(checkpoint, device)
    check_signals(study, model, metadata)
    config, out = model.config, Path(out)
    run = Run.open(out) if (out / "manifest.json").exists() else None
    if run is not None:
        weights_of(run, checkpoint)
    done = set() if run is None else run.scored
    resolution = resolution if run is None else run.manifest["resolution"]
    left = genes[~genes["gene_id"].isin(done)].reset_index(drop=True)
    sizes = study.genome().sizes
    bases = covered_bases(genes, config.window, sizes)
    coarse = default_track_resolution(bases, resolution)
    chosen = left.iloc[np.unique(np.linspace(0, len(left) - 1, min(len(left), MEASURED_WINDOWS), dtype=int))]
    workers = default_workers(model.device, len(left)) if workers is None else workers
    windows = partial(GeneWindows, study, config=config, scale=feature_scale_for(study, metadata, left))
    make = partial(new_run_of, study, config, resolution=resolution)
    trial = _try(make, windows, chosen, model, batch_size, workers, coarse)
    place = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.is_dir())
    return Estimate(
        asked=len(genes),
        scored=len(genes) - len(left),
        windows=len(left),
        window=config.window,
        batches=-(-len(left) // batch_size),
        processes=processes,
        device=str(model.device),
        measured=trial.measured,
        seconds_a_window=trial.seconds,
        mask_bytes=round(trial.mask_bytes * len(left)),
        resolution=resolution,
        track_bytes=round(trial.track_bytes * bases),
        track_resolution=coarse,
        free_bytes=shutil.disk_usage(place).free,
    )


class _Trial(NamedTuple):
    """Measurements of a trial scoring."""

    measured: int  # windows
    seconds: float  # per window
    mask_bytes: float  # per window
    track_bytes: float  # of the merged track, per base


def _try(
    make: Callable[[Path], Run],
    windows: Callable[[pd.DataFrame], GeneWindows],
    genes: pd.DataFrame,
    model: GeneModel,
    batch_size: int,
    workers: int,
    resolution: int,
) -> _Trial:
    """Score a few genes into temporary runs that `make` creates; all zeros if there are no genes.

    `resolution` is bp per bin of the merged track.
    """
    if genes.empty:
        return _Trial(0, 0.0, 0.0, 0.0)
    with tempfile.TemporaryDirectory(prefix="seq2exp-estimate-") as folder:
        # Warm-up: kernels are compiled, files are opened.
        _score_for_a_while(make(Path(folder, "warm")), windows(genes.head(batch_size)), model, batch_size, 0)
        run = make(Path(folder, "trial"))
        seconds = _score_for_a_while(run, windows(genes), model, batch_size, workers)
        measured, track = len(run.scored), run.path / "mask.bigWig"
        chunks = [path for path in files_below(run.path / "masks.zarr") if path.name.startswith("c.")]
        mask_bytes = sum(path.stat().st_size for path in chunks) / measured
        window, sizes = run.manifest["window"], run.chrom_sizes
        write_bigwig(track, sizes, merged_track(run, resolution), DECIMALS)
        return _Trial(measured, seconds, mask_bytes, track.stat().st_size / covered_bases(run.genes, window, sizes))


def _score_for_a_while(run: Run, data: GeneWindows, model: GeneModel, batch_size: int, workers: int) -> float:
    """Score genes of `data` into `run` for MEASURED_SECONDS; return seconds per window.

    The first batch is not counted unless it is the only one.
    """
    ready = batches(data, batch_size, workers, pin=model.device.type == "cuda")
    counts, began = [], time.perf_counter()
    end = began + MEASURED_SECONDS
    with run.writing(), WriteBehind(run) as writer:
        for result in scored(model, ready, run.manifest.get("contact")):
            writer.put(partial(scored_rows, data, result))
            counts.append(len(result.rows))
            if len(counts) == 1:
                result.arrays()
                first = time.perf_counter()
            if time.perf_counter() > end:
                break
    ended = time.perf_counter()
    return (ended - first) / sum(counts[1:]) if counts[1:] else (ended - began) / counts[0]


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
