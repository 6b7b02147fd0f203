"""Batches of genes for the model: windows are read on demand, in an order that a seed determines."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from model_core.child import end_worker_with
from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.intervals import rasterise
from model_core.study.gene_features import FeatureScale, standardise
from model_core.study.study import Study
from model_core.window import Window


class Batch(NamedTuple):
    """Inputs of the model and labels for B genes."""

    rows: Tensor  # (B,) row of each gene in the table
    sequence: Tensor  # (B, L, 4) uint8
    signals: Tensor  # (B, L, S) float32
    gene_features: Tensor  # (B, 9) float32
    blacklist: Tensor  # (B, L) bool
    peaks: Tensor  # (B, L) bool, all False unless the mask is made of peaks
    label: Tensor  # (B,) float32, NaN where unknown


class GeneWindows(Dataset):
    """Windows of a study's genes as a model of this configuration reads them.

    Data that are computed only once (coverage of a BAM, a map of a .hic) are computed when it is made.

    Parameters
    ----------
    study : Study
        Source of sequence, signals, blacklist and peaks.
    genes : DataFrame
        N rows of `Study.genes`, or of a table with chrom, tss, strand, label and the nine FEATURES.
    config : Seq2ExpConfig
        Configuration of the model; used are the window's length, the strand and whether the mask is made of peaks.
    scale : FeatureScale
        Mean and sd of the gene features of the training genes.

    Raises
    ------
    InputError
        The model's mask is made of peaks and the study has none.
    """

    def __init__(self, study: Study, genes: pd.DataFrame, config: Seq2ExpConfig, scale: FeatureScale):
        for signal in study.signals():
            signal.prepare()
        self.reader, self.genes = study.reader(), genes
        self.peaks = study.peaks() if config.mask.kind == "macs3" else None
        if config.mask.kind == "macs3" and self.peaks is None:
            raise InputError(
                study.path, found="no peaks", expected="peaks for the mask macs3", fix="run `seq2exp-viz peaks`"
            )
        self.reverse_complement, self.promoter = config.reverse_complement, config.promoter
        self.windows = [Window(g.chrom, int(g.tss), g.strand, config.window) for g in genes.itertuples()]
        self.features = standardise(genes, scale)
        self.labels = genes["label"].to_numpy(np.float32)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> tuple:
        window = self.windows[index]
        data = self.reader.read(window)
        peaks = np.zeros(window.length, bool)
        if self.peaks is not None:
            peaks = rasterise(self.peaks, window.chrom, window.start, window.end)
        arrays = [data.sequence, data.signals, data.blacklist, peaks]
        if self.reversed_strand(index):  # the order of A, C, G, T reversed is the complement
            arrays = [array[::-1] for array in arrays]
            arrays[0] = arrays[0][:, ::-1]
        sequence, signals, blacklist, peaks = arrays
        return index, sequence, signals, self.features[index], blacklist, peaks, self.labels[index]

    def reversed_strand(self, index: int) -> bool:
        """Return whether a window is read along the minus strand, so that the outputs must be reversed."""
        return self.reverse_complement and self.windows[index].strand == "-"


class EndlessBatches(Sampler):
    """Shuffled batches without end, the same for the same seed from whichever batch one starts.

    Each pass over the genes has its own permutation. Batch number n does not depend on whether the batches before it
    were drawn, so a resumed training uses the same batches as one that was not interrupted.

    Parameters
    ----------
    count : int
        Number of genes.
    size : int
        Genes per batch, over all processes.
    seed : int
        Random seed of the permutations.
    first : int
        Number of the first batch.
    rank, world : int or None
        Number of this process and of all that share each batch; by default those of torch.distributed, if it is used.
    """

    def __init__(
        self, count: int, size: int, seed: int, first: int = 0, rank: int | None = None, world: int | None = None
    ):
        self.count, self.size, self.seed, self.first, self.rank, self.world = count, size, seed, first, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        shared = distributed.is_available() and distributed.is_initialized()
        rank = self.rank if self.rank is not None else distributed.get_rank() if shared else 0
        world = self.world if self.world is not None else distributed.get_world_size() if shared else 1
        current, order = -1, np.empty(0, np.int64)  # the pass over the genes, and its permutation
        for position in itertools.count(self.first * self.size, self.size):
            rows = []
            for number in range(position, position + self.size):
                turn, place = divmod(number, self.count)
                if turn != current:
                    current, order = turn, np.random.default_rng([self.seed, turn]).permutation(self.count)
                rows.append(int(order[place]))
            yield rows[rank::world]


def collate(items: list[tuple]) -> Batch:
    """Return items of `GeneWindows` as one batch."""
    return Batch(*(torch.from_numpy(np.stack(column)) for column in zip(*items, strict=True)))


def batches(data: GeneWindows, size: int, workers: int = 0, pin: bool = False) -> Iterator[Batch]:
    """Yield all genes of `data`, once and in order, `size` at a time.

    Parameters
    ----------
    data : GeneWindows
        Windows to read.
    size : int
        Genes per batch.
    workers : int
        Processes that read ahead; they start with the call.
    pin : bool
        Whether batches are in pinned memory, for copies to a GPU.

    Raises
    ------
    InputError
        A window cannot be read; the error is that of its reader.
    """
    loader = DataLoader(
        _ErrorsAsItems(data),
        batch_size=size,
        num_workers=workers,
        collate_fn=_collate_or_error,
        pin_memory=pin,
        worker_init_fn=partial(end_worker_with, os.getpid()),
    )
    return _raise_errors(iter(loader))


class _ErrorsAsItems(Dataset):
    """A dataset that returns an InputError as an item, since one raised in a worker arrives wrapped in a traceback."""

    def __init__(self, data: GeneWindows):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple | InputError:
        try:
            return self.data[index]
        except InputError as error:
            return error


def _collate_or_error(items: list) -> Batch | InputError:
    return next((item for item in items if isinstance(item, InputError)), None) or collate(items)


def _raise_errors(found: Iterator[Batch | InputError]) -> Iterator[Batch]:
    for batch in found:
        if isinstance(batch, InputError):
            raise batch
        yield batch
