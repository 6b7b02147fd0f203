"""Which genes a run's model has seen in training or validation: on them its numbers are no test of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd


def seen_genes(genes: pd.DataFrame, manifest: Mapping[str, Any]) -> list[bool | None]:
    """Return for each gene whether the model of a run has seen it; None where that is not known.

    A training knows it of each gene by split and label. Of other checkpoints the manifest may record the chromosomes.

    Parameters
    ----------
    genes : DataFrame
        chrom, split, observed.
    manifest : Mapping[str, Any]
        Of the run (`manifest.Manifest`).
    """
    if manifest["kind"] == "training":
        return (genes["split"].isin(("train", "validation")) & genes["observed"].notna()).tolist()
    model = manifest["checkpoint"] or {}
    return seen_by_chromosome(genes["chrom"], model.get("test_chromosomes"), model.get("training_chromosomes"))


def seen_by_chromosome(
    chroms: Iterable[str], test: Iterable[str] | None, training: Iterable[str] | None = None
) -> list[bool | None]:
    """Return for each chromosome, with or without "chr", whether a model has seen its genes; None: not known.

    Parameters
    ----------
    chroms : Iterable[str]
        Chromosome of each gene.
    test : Iterable[str] or None
        Chromosomes of the test split: a model of the whole genome has seen all others. None or none: not known.
    training : Iterable[str] or None
        Chromosomes of a model that has seen these and no others; None: not known.
    """
    if training is not None:
        seen = {_bare(chrom) for chrom in training}
        return [_bare(chrom) in seen for chrom in chroms]
    if not test:
        return [None for _ in chroms]
    held_out = {_bare(chrom) for chrom in test}
    return [_bare(chrom) not in held_out for chrom in chroms]


def _bare(chrom: str) -> str:
    return str(chrom).removeprefix("chr")
