"""Expression labels of a study from a quantification of genes: ENCODE's RNA-seq (RSEM) and tables of its form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from model_core.datasets.encode import EncodeFile, file_record
from model_core.errors import InputError
from model_core.study.annotation import genes_from_gtf, read_gtf
from model_core.study.gene_table import numbers
from model_core.tsv import read_table

LABEL = "TPM"
CONTENT = "gene quantifications"


def expression_record(accession: str) -> EncodeFile:
    """Return ENCODE's record of a quantification.

    Raises
    ------
    UnansweredError
        ENCODE cannot be asked.
    InputError
        No such file, or it is no table of gene quantifications.
    """
    record = file_record(accession)
    if (record.file_format, record.output_type) != ("tsv", CONTENT):
        found = f"{record.file_format}, {record.output_type}"
        fix = f"choose a file of {CONTENT} (tsv), of RNA-seq or CAGE"
        raise InputError(f"expression {accession}", found=found, expected=f"tsv, {CONTENT}", fix=fix)
    return record


def gene_expression(
    quantification: Path, annotation: Path, gene_types: tuple[str, ...] = ("protein_coding",)
) -> pd.DataFrame:
    """Return the gene table of a study: genes of the annotation, each with its TPM where the quantification has it.

    Parameters
    ----------
    quantification : Path
        Tab-separated, with columns gene_id and TPM. Rows that are no genes (spike-ins, tRNAs) fit none and are left.
    annotation : Path
        GTF.
    gene_types : tuple[str, ...]
        Which genes of the annotation.

    Returns
    -------
    DataFrame
        gene_id (without version), symbol, chrom, tss (0-based), strand, TPM (NaN where not measured).

    Raises
    ------
    InputError
        A column is missing, a value is no number of at least 0, or no gene is in both.
    """
    cells = read_table(quantification, "a line for each gene")
    columns = {name.lower(): name for name in cells.columns}
    lacking = [name for name in ("gene_id", LABEL.lower()) if name not in columns]
    if lacking:
        found, expected = f"no column {' and '.join(lacking)}", "columns gene_id and TPM"
        raise InputError(quantification, found=found, expected=expected, fix="choose a gene quantification")
    values, odd = numbers(cells[columns[LABEL.lower()]])
    odd |= values < 0
    if odd.any():
        line = int(np.flatnonzero(odd)[0]) + 2
        raise InputError(f"{quantification} line {line}", found="no TPM", expected="a number from 0", fix="correct it")
    measured = pd.Series(values, index=_without_version(cells[columns["gene_id"]]))
    measured = measured[~measured.index.duplicated()]
    genes = genes_from_gtf(read_gtf(annotation, ("gene", "CDS")), list(gene_types))
    genes["gene_id"] = _without_version(genes.gene_id)
    genes = genes.drop_duplicates("gene_id").reset_index(drop=True)  # of the pseudo-autosomal copies, the first
    genes[LABEL] = measured.reindex(genes.gene_id).to_numpy()
    if not genes[LABEL].notna().any():
        found, expected = "no gene of the annotation", "ids of the annotation, with or without version"
        raise InputError(quantification, found=found, expected=expected, fix="choose one of the same annotation")
    return genes[["gene_id", "symbol", "chrom", "tss", "strand", LABEL]]


def _without_version(ids: pd.Series) -> pd.Series:
    """Return ids without ".12", which may be followed by "_PAR_Y"."""
    return ids.str.replace(r"\.[0-9]+(_PAR_Y)?$", "", regex=True)
