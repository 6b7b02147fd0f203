"""A second run alongside the first: the mask of the same gene, and the difference of the two."""

from __future__ import annotations

import numpy as np

from model_core.errors import InputError
from seq2exp_viz.runs.run_view import RunView


def same_gene(other: RunView, gene_id: str) -> str | None:
    """Return the gene_id in `other` of the gene with this id, in any version; None where it is not scored there."""
    ids = other.run.genes["gene_id"].astype(str)
    if (ids == gene_id).any():
        return gene_id
    match = ids.str.split(".").str[0] == gene_id.split(".")[0]
    return str(ids[match].iloc[0]) if match.any() else None


def difference(view: RunView, other: RunView, gene_id: str) -> tuple[int, np.ndarray]:
    """Return the mask of a gene in one run minus that in another, per base, where the windows overlap.

    Returns
    -------
    tuple[int, ndarray]
        (start, values): 0-based first base; float32 (bases,), -1 to 1, never NaN: forced bases count as the 0 or 1 they
        are forced to.

    Raises
    ------
    InputError
        The gene is not scored in the other run, or has another position there (another assembly).
    """
    found = same_gene(other, gene_id)
    if found is None:
        raise InputError(other.key, found=f"no gene {gene_id!r}", expected="a scored gene", fix="score it in that run")
    mine, theirs = view.run.mask(gene_id), other.run.mask(found)
    start, end = max(mine.start, theirs.start), min(mine.end, theirs.end)
    if mine.chrom != theirs.chrom or start >= end:
        where = f"{theirs.chrom}:{theirs.start + 1:,}-{theirs.end:,}"
        raise InputError(
            other.key, found=f"{gene_id} at {where}", expected="the same place", fix="compare runs of one assembly"
        )
    return start, mine.per_base(start, end) - theirs.per_base(start, end)
