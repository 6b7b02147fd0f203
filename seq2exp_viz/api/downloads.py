"""One gene's elements and mask as files, written on request (formats: `run_folder.tracks`)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from model_core.run_folder.elements import as_exported
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.tracks import Block, write_bed, write_bedpe, write_bigwig, write_gff3
from seq2exp_viz.reports.export import BEDPE_COMMENTS, as_bedpe

DECIMALS = 4


def elements_bed(elements: pd.DataFrame, manifest: Mapping[str, Any], comments: Sequence[str] = ()) -> bytes:
    """Return BED9+ with a header line, as `seq2exp-viz export` writes it.

    Parameters
    ----------
    elements : DataFrame
        `model_core.run_folder.elements.ELEMENT_COLUMNS`, sorted.
    manifest : Mapping[str, Any]
        Of the run, which says what it knows of elements (`elements.as_exported`).
    comments : Sequence[str]
        Lines above the header.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "elements.bed"
        write_bed(path, [as_exported(elements, manifest)], comments)
        return path.read_bytes()


def elements_gff3(elements: pd.DataFrame, sizes: Mapping[str, int], comments: Sequence[str] = ()) -> bytes:
    """GFF3, as `seq2exp-viz export` writes it.

    Parameters
    ----------
    elements : DataFrame
        `model_core.run_folder.elements.ELEMENT_COLUMNS`.
    sizes : Mapping[str, int]
        bp of each chromosome.
    comments : Sequence[str]
        Lines below the directives.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "elements.gff3"
        write_gff3(path, elements, sizes, comments)
        return path.read_bytes()


def elements_bedpe(elements: pd.DataFrame, genes: pd.DataFrame, comments: Sequence[str] = ()) -> bytes:
    """BEDPE of elements and the start sites of their genes, as `seq2exp-viz export` writes it.

    Parameters
    ----------
    elements : DataFrame
        As of `reports.export.as_bedpe`.
    genes : DataFrame
        gene_id and tss.
    comments : Sequence[str]
        Lines above the header.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "elements.bedpe"
        write_bedpe(path, as_bedpe(elements, genes), [*comments, *BEDPE_COMMENTS])
        return path.read_bytes()


def mask_bigwig(mask: GeneMask, sizes: Mapping[str, int]) -> bytes:
    """Return a bigWig with zoom levels of one gene's mask, clipped to its chromosome (`sizes`: bp of each)."""
    first = max(0, -(mask.start // mask.resolution))  # bins before the chromosome's first base are left out
    block = Block(mask.chrom, mask.start + first * mask.resolution, mask.resolution, mask.mask[first:])
    last = -(-(sizes[mask.chrom] - block.start) // mask.resolution)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "mask.bigWig"
        write_bigwig(path, sizes, [block._replace(values=block.values[:last])], DECIMALS)
        return path.read_bytes()
