"""Scoring of a study with a checkpoint: masks, predictions, elements and tracks in a run folder."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from model_core.datasets.known_models import ModelFile
from model_core.errors import InputError
from model_core.gene_finder import GeneFinder, matched
from model_core.intervals import listed
from model_core.model.checkpoint import load_with_metadata
from model_core.model.device import keep_freed_memory
from model_core.model.gene_model import GeneModel
from model_core.progress import Job
from model_core.run_folder.assemble import assemble
from model_core.run_folder.gene_scores import ScoredGene, site_gene
from model_core.run_folder.metrics import prediction_metrics
from model_core.run_folder.run import Run
from model_core.run_folder.run_weights import record_weights, weights_of
from model_core.run_folder.source import new_run_of, require_same_inputs
from model_core.scoring.distributed import ProcessGroup, merge_parts
from model_core.scoring.input_ranges import note_ranges
from model_core.scoring.predict import Scored, Stopwatch, default_workers, scored
from model_core.scoring.run_weights import load_run_weights
from model_core.scoring.write_behind import AT_ONCE, WriteBehind
from model_core.study.gene_features import FEATURES, FeatureScale
from model_core.study.study import Study
from model_core.training.dataset import GeneWindows, batches
from model_core.training.ranks import wait_for_first
from model_core.window import Site


def choose_genes(
    genes: pd.DataFrame,
    names: Sequence[str] = (),
    sites: Sequence[Site] = (),
    chrom: str | None = None,
    everything: bool = False,
    split: str | None = None,
) -> pd.DataFrame:
    """Return the requested rows of a gene table; by default the test split, or all genes if there is none.

    Parameters
    ----------
    genes : DataFrame
        The study's gene table.
    names : Sequence[str]
        Gene ids, with or without version, or symbols (`gene_finder.GeneFinder`).
    sites : Sequence[Site]
        Positions that need not be genes; they get average gene features and no label.
    chrom : str or None
        Chromosome of which all genes are returned.
    everything : bool
        Whether all genes are returned.
    split : str or None
        Split of which all genes are returned.

    Raises
    ------
    InputError
        A name is unknown or belongs to several genes, or a chromosome or a split has no genes.
    """
    chosen = [genes.iloc[:0]]
    if everything:
        chosen.append(genes)
    if chrom is not None:
        here = genes[genes["chrom"] == chrom]
        if here.empty:
            found = f"no gene on {chrom!r}"
            raise InputError(
                "genes", found=found, expected=f"one of {listed(sorted(set(genes['chrom'])))}", fix="check the name"
            )
        chosen.append(here)
    if split is not None:
        here = genes[genes["split"] == split]
        if here.empty:
            found, known = f"no {split} gene", listed(sorted(set(genes["split"].dropna()) - {""})) or "no split"
            raise InputError("genes", found=found, expected=f"one of {known}", fix="check [genes.split] of the study")
        chosen.append(here)
    if names:
        chosen.append(_named(genes, names))
    if sites:
        rows = [{**site_gene(site), "split": "", "label": np.nan, **dict.fromkeys(FEATURES, np.nan)} for site in sites]
        chosen.append(pd.DataFrame(rows))
    if len(chosen) == 1:
        test = genes[genes["split"] == "test"]
        chosen.append(genes if test.empty else test)
    parts = [part for part in chosen if not part.empty]
    return pd.concat(parts).drop_duplicates("gene_id").reset_index(drop=True)


def _named(genes: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    finder = GeneFinder(genes["gene_id"], genes["symbol"])
    problems = [problem for name in names if (problem := finder.problem(name))]
    if problems:
        raise InputError(
            "genes", found="; ".join(problems), expected="genes of the study, each once", fix="check the names"
        )
    return genes.iloc[matched(names, finder)]


def with_features(study: Study, genes: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `choose_genes` on `Study.gene_sites` with the features of these genes, and of no others.

    Positions that are no genes keep none. Only the bases of the genes' exons and the signals at their start sites are
    read.

    Parameters
    ----------
    study : Study
        The study.
    genes : DataFrame
        The rows.
    """
    known = genes["gene_id"].isin(study.gene_sites()["gene_id"])
    if not known.any():
        return genes.reset_index(drop=True)
    parts = [study.genes(genes[known]), genes[~known]]
    return pd.concat([part for part in parts if not part.empty]).reset_index(drop=True)


def run_for(
    study: Study,
    checkpoint: str | Path,
    out: str | Path,
    resolution: int = 1,
    processes: int = 1,
    nodes: int = 1,
    model: ModelFile | None = None,
) -> Run:
    """Return the run folder for scoring a study with a checkpoint: new, or one that was started with the same.

    Parameters
    ----------
    study : Study
        The study to score.
    checkpoint : str or Path
        Checkpoint, ours or the authors'.
    out : str or Path
        The run folder.
    resolution : int
        bp per bin of the masks, for a new folder.
    processes, nodes : int
        Processes per host, and hosts; all but the first process wait until it has created the folder.
    model : ModelFile or None
        The checkpoint as `known_models.model_file` found it; a new folder records its name and what it was trained on.

    Raises
    ------
    InputError
        The checkpoint cannot be read, or `out` holds something else or a run on another genome.
    """
    loaded, metadata = load_with_metadata(checkpoint, "cpu")
    check_signals(study, loaded, metadata)
    config, out = loaded.config, Path(out)
    described = {"model": config.to_dict(), "feature_scale": metadata.get("feature_scale")}
    wait_for_first(out / "manifest.json", processes, nodes)
    if (out / "manifest.json").exists():
        run = Run.open(out)
        weights_of(run, checkpoint)
        require_same_inputs(run, study)
        return run
    known = {**metadata.get("trained", {}), **({} if model is None else model.record())}
    entries: dict[str, Any] = {"checkpoint": checkpoint, "about_checkpoint": known, "resolution": resolution}
    return new_run_of(study, config, out, config=described, **entries)


def check_signals(study: Study, model: GeneModel, metadata: dict) -> None:
    """Raise InputError if a study's signals differ from those of the checkpoint in name, order or transform.

    The authors' checkpoints do not state transforms: they were trained on untransformed values.
    """
    trained = metadata.get("signals") or [{"name": name, "transform": "none"} for name in model.config.signals]
    given = [{"name": signal.name, "transform": signal.transform} for signal in study.signal_specs]
    if trained != given:
        here, there = (", ".join(f"{s['name']} ({s['transform']})" for s in side) for side in (given, trained))
        expected = f"those of the checkpoint, with their transforms and in their order: {there}"
        raise InputError(
            study.name, found=f"signals {here}", expected=expected, fix="correct the study, or train again"
        )


def feature_scale_for(study: Study, metadata: dict, genes: pd.DataFrame) -> FeatureScale:
    """Return the scale of the gene features for a checkpoint and these genes: its own, or the study's.

    The authors' checkpoints, whose metadata are empty, do not include the constants of their features.
    """
    if not metadata:
        return study.feature_scale(genes)
    try:
        return FeatureScale(**metadata["feature_scale"])
    except (KeyError, TypeError):
        found, expected = "no feature_scale, or another one", "constants of the gene features, as training writes them"
        raise InputError("checkpoint", found=found, expected=expected, fix="use another checkpoint") from None


def score(
    run: Run,
    study: Study,
    genes: pd.DataFrame,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    batch_size: int = 1,
    workers: int | None = None,
    processes: int = 1,
    nodes: int = 1,
) -> Run:
    """Score genes into a run folder and derive its elements, tracks and tables; skip genes that are already scored.

    A scoring that is killed loses at most the genes that are not written yet (`write_behind.AT_ONCE` per process). It
    resumes when it is called again, on any number of processes.

    Parameters
    ----------
    run : Run
        The run folder.
    study : Study
        The study to score.
    genes : DataFrame
        Rows of `choose_genes`.
    checkpoint : str or Path or None
        Checkpoint to score with, which holds the weights that the run records; None = the run's own file of them.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.
    batch_size : int
        Windows per batch.
    workers : int or None
        Processes that read windows ahead; None = `default_workers`.
    processes, nodes : int
        GPUs (on the CPU: processes) per host, and hosts; each process scores its share into a part of the run, and the
        first one merges the parts.

    Returns
    -------
    Run
        The run, in every process, after the first has completed it.

    Returns
    -------
    Run
        The run, with these genes scored.

    Raises
    ------
    InputError
        There is no checkpoint, it holds other weights than the run was scored with, its signals differ from the
        study's, or memory runs out.

    Examples
    --------
    >>> import model_core
    >>> study, run = model_core.load_study("my-study"), model_core.open_run("my-run")
    >>> genes = study.genes()
    >>> len(run.scored), len(genes)
    (4, 6)
    >>> run = model_core.score(run, study, genes, "model.safetensors", device="cpu")
    >>> len(run.scored)
    6
    """
    with ProcessGroup(processes, nodes, device) as group:
        if group.first:
            asked = len(run.scored | set(genes["gene_id"]))
            with run.writing(asked):
                merge_parts(run, list(genes["gene_id"]))  # parts of a scoring that was killed
                group.wait()
                took = _score_own_genes(run, study, genes, checkpoint, group, batch_size, workers)
                group.wait()
                merge_parts(run, list(genes["gene_id"]))
                assemble(run, study.peaks_path())
                run.write_json("metrics.json", {**run.metrics, "prediction": run_metrics(run), "scoring": took})
        else:
            group.wait()
            _score_own_genes(run, study, genes, checkpoint, group, batch_size, workers)
            group.wait()
        group.wait()
    return run if group.first else Run.open(run.path)


def _score_own_genes(
    run: Run,
    study: Study,
    genes: pd.DataFrame,
    checkpoint: str | Path | None,
    group: ProcessGroup,
    batch_size: int,
    workers: int | None,
) -> dict:
    """Score this process's share of the genes that the run lacks; return its cost for metrics.json."""
    keep_freed_memory()
    model, metadata, weights, _ = load_run_weights(run, checkpoint, str(group.device))
    check_signals(study, model, metadata)
    if group.first:
        record_weights(run, weights)
    left = genes[~genes["gene_id"].isin(run.scored)]
    for warning in study.warnings(left) if group.first else ():
        print(f"warning: {warning}", file=sys.stderr)
    if group.first:
        note_ranges(run, study, model.config, metadata, left)
    mine = left.iloc[group.rank :: group.size].reset_index(drop=True)
    data = GeneWindows(study, mine, model.config, feature_scale_for(study, metadata, mine))
    workers = default_workers(group.device, len(mine)) if workers is None else workers
    began, reading, on_gpu = time.perf_counter(), Stopwatch(), group.device.type == "cuda"
    what = "scoring genes" if group.size == 1 else f"scoring genes, process {group.rank + 1} of {group.size}"
    windows = batches(data, batch_size, workers, pin=on_gpu)  # workers start before any thread
    part = group.part(run)
    before = len(genes) - len(left) if group.size == 1 else 0
    with part.writing(), Job(what, before + len(mine), before) as job:

        def written(genes: Sequence[Mapping]) -> None:
            job.advance(len(genes), genes[-1]["symbol"])

        with WriteBehind(part, written, depth=max(1, AT_ONCE // batch_size)) as writer:
            for result in scored(model, reading.waits(windows), run.manifest.get("contact")):
                group.check()
                writer.put(partial(scored_rows, data, result))
    took = {
        "windows": len(mine),
        "processes": group.size,
        "device": str(group.device),
        "seconds": time.perf_counter() - began,
        "waited_for_windows_seconds": reading.seconds,
        "waited_for_disk_seconds": writer.waited,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if on_gpu:
        took["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(group.device)
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in took.items()}


def scored_rows(data: GeneWindows, result: Scored) -> list[ScoredGene]:
    """Return what `Run.extend` takes of each gene of a batch, its arrays along the forward strand."""
    expression = result.arrays()[0]
    rows = []
    for i, number in enumerate(result.rows):
        gene = data.genes.iloc[number]
        record = gene[["gene_id", "symbol", "chrom", "tss", "strand", "split"]].to_dict()
        record |= {"observed": float(gene["label"]), "predicted": float(expression[i])}
        record["no_contact"] = result.no_contact[i]
        rows.append(result.of_gene(i, record, data.reversed_strand(number)))
    return rows


def run_metrics(run: Run) -> dict:
    """Return `prediction_metrics` of each split of a run's genes."""
    genes = run.genes
    return {
        split or "none": prediction_metrics(part["observed"].to_numpy(float), part["predicted"].to_numpy(float))
        for split, part in genes.groupby(genes["split"].fillna(""))
    }
