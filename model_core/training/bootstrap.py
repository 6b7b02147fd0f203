"""The bootstrap of an ensemble: how often each member has drawn each training gene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def drawn(rows: Sequence[int], members: int, seed: int) -> Tensor:
    """Return how often each member of an ensemble draws each gene, float32 (members, genes): Poisson(1).

    A draw depends on seed, member and gene alone. A single member takes every gene once.

    Parameters
    ----------
    rows : Sequence[int]
        Rows of the genes in the table of training genes.
    members : int
        Members of the ensemble.
    seed : int
        Random seed of the training.
    """
    if members == 1:
        return torch.ones(1, len(rows))
    draws = [[np.random.default_rng([seed, member, row]).poisson(1.0) for row in rows] for member in range(members)]
    return torch.tensor(draws, dtype=torch.float32)
