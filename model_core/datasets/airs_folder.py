"""A study from the authors' released data folder (GeneExp), whose large files stay in place.

What the release's own loader reads, and from which file (docs/from-the-authors.md has the table):
- the genes are those of the cell type's encoding file (`ensid`) that the split file assigns to a part;
- chromosome, TSS, strand and promoter activity come from the ABC run's GeneList.txt, whose column `symbol` holds
  Ensembl ids for K562 and GM12878 and gene names for H1; the TSS is a 0-based index into the chromosome;
- labels and eight features come from the Xpresso table; for H1 the label is the CAGE bigWig summed over TSS +/- 192 bp;
- the Hi-C vectors are contact x, read as log10(1 + x) (`hic_vectors.StoredContact`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.bed import read_bed
from model_core.datasets.blacklist_pickle import mask_intervals, read_masks
from model_core.errors import InputError, Problem, Problems
from model_core.intervals import listed, match_chromosomes
from model_core.records import parse_json
from model_core.signals.hdf5_files import open_hdf5
from model_core.signals.hic_vectors import site_key
from model_core.signals.signal import BigWigSignal
from model_core.study.gene_features import FEATURES, LENGTHS
from model_core.study.gene_table import MISSING
from model_core.study.validate import noting
from model_core.tsv import read_table

PARTS = ("train", "valid", "test")
CAGE_FLANK = 192  # bp on either side of the TSS: three bins of 128 bp
EXPRESSION = "promo_enhan_inter/GM12878_K562_18377_gene_expr_fromXpresso.csv"
SPLIT = "promo_enhan_inter/leave_chrom_out_crossvalidation_split_18377genes.csv"
FASTA, LENGTHS_FILE, BLACKLIST = "hg38/hg38.ml.fa", "chr_length.json", "hg38_blacklist_dict_v1.pkl"
CHROMOSOMES = tuple(f"chr{name}" for name in (*range(1, 23), "X"))  # of the release's Hi-C
FEATURE_COLUMNS = {name: f"{name}_log10zscore" if name in LENGTHS else name for name in FEATURES}
_ACTIVITY = ("H3K27ac.RPM.TSS1Kb", "DHS.RPM.TSS1Kb")
_WHOLE = "the complete released folder GeneExp"


@dataclass(frozen=True)
class CellType:
    """Paths of a cell type's files below promo_enhan_inter/ of the released folder."""

    abc: str  # folder of GeneList.txt
    encoding: str
    h3k27ac: str
    dnase: str
    cage: str | None = None  # the label's bigWig; None: a column of the Xpresso table
    genes_by: str = "ENSID"  # contents of GeneList.txt's column `symbol`: ENSID or Gene name


_K562 = "K562_DNase_ENCFF257HEE_hic_4DNFITUOMFUQ_1MB_ABC_nominated"
_GM12878 = "GM12878_DNase_ENCFF020WZB_hic_4DNFI1UEG1HD_1MB_ABC_nominated"
CELL_TYPES = {
    "K562": CellType(
        f"{_K562}/DNase_ENCFF257HEE_Neighborhoods",
        "K562_DNase_ENCFF257HEE_2kb_4DNFITUOMFUQ_enhancer_promoter_encoding.h5",
        "ENCFF465GBD",
        "ENCFF414OGC",
    ),
    "GM12878": CellType(
        f"{_GM12878}/DNase_ENCFF020WZB_Neighborhoods",
        "GM12878_DNase_ENCFF020WZB_2kb_4DNFI1UEG1HD_promoter_enhancer_encoding.h5",
        "ENCFF798KYP",
        "ENCFF960FMM",
    ),
    "H1": CellType(
        "H1_ABC/Neighborhoods",
        "H1_promoter_enhancer_encoding.h5",
        "ENCFF771GNB",
        "ENCFF232GUZ",
        "CAGE/H1/H1_CAGE_CNhs13964.bw",
        "Gene name",
    ),
}


class ReleasedFolder:
    """Released folder of one cell type: paths, and its tables, read when needed.

    Parameters
    ----------
    root : str or Path
        The folder that holds hg38/ and promo_enhan_inter/.
    cell_type : str
        A key of CELL_TYPES.
    """

    def __init__(self, root: str | Path, cell_type: str):
        if cell_type not in CELL_TYPES:
            expected = f"one of {', '.join(CELL_TYPES)}"
            raise InputError("cell type", found=repr(cell_type), expected=expected, fix="choose one of these")
        self.root = Path(os.path.expanduser(root)).resolve()
        self.cell_type, self.cell = cell_type, CELL_TYPES[cell_type]
        if not self.root.is_dir():
            raise InputError(self.root, found="no such folder", expected=_WHOLE, fix="check the path")
        tables = self.root / "promo_enhan_inter"
        self.fasta, self.lengths = self.root / FASTA, self.root / LENGTHS_FILE
        self.expression, self.split = self.root / EXPRESSION, self.root / SPLIT
        self.gene_list, self.encoding = tables / self.cell.abc / "GeneList.txt", tables / self.cell.encoding
        self.h3k27ac = tables / "H3K27ac" / cell_type / f"{self.cell.h3k27ac}.bigWig"
        self.dnase = tables / "DNase-seq" / cell_type / f"{self.cell.dnase}.bigWig"
        self.peaks = tables / "DNase-seq" / cell_type / "peaks" / "peaks_bigWig" / "macs3.bigWig"  # not for H1
        self.cage = None if self.cell.cage is None else tables / self.cell.cage
        self.blacklist = self.root / BLACKLIST

    def contact(self, chrom: str) -> Path:
        """Return the path of a chromosome's Hi-C vectors."""
        return self.root / "promo_enhan_inter" / "HiC" / self.cell_type / f"hic_feat_{chrom}.h5"

    def missing(self, blacklist: Path | None) -> list[Problem]:
        """Return a problem for each missing file, except the Hi-C vectors.

        Parameters
        ----------
        blacklist : Path or None
            BED to use instead of the released pickle.
        """
        needed = [self.fasta, self.lengths, self.expression, self.split, self.gene_list, self.encoding]
        needed += [self.h3k27ac, self.dnase, blacklist or self.blacklist, *([self.cage] if self.cage else [])]
        return [
            Problem(path, found="no such file", expected=_WHOLE, fix="copy the missing file")
            for path in needed
            if not path.is_file()
        ]

    def missing_contact(self, chroms: list[str]) -> list[Problem]:
        """Return a problem for each missing file of Hi-C vectors."""
        paths = [path for path in map(self.contact, chroms) if not path.is_file()]
        return [Problem(path, found="no such file", expected=_WHOLE, fix="copy the missing file") for path in paths]

    def sizes(self) -> dict[str, int]:
        """Read the length in bp of each chromosome of hg38 from chr_length.json."""
        expected = '{"hg38": {chromosome: length}}'
        try:
            sizes = parse_json(self.lengths.read_bytes())["hg38"]
            return {str(chrom): int(length) for chrom, length in sizes.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            found = f"content of another form ({type(error).__name__}: {error})"
            raise InputError(self.lengths, found=found, expected=expected, fix="copy it again") from None

    def genes(self, fold: int = 11) -> tuple[pd.DataFrame, int]:
        """Read the genes as the release uses them, and count those in no part of the split.

        Parameters
        ----------
        fold : int
            Fold of the split file; the paper: 11.

        Returns
        -------
        tuple[DataFrame, int]
            The table, in the order of the encoding file: gene_id, symbol, chrom, tss (0-based), strand, CAGE (not
            transformed), the FEATURE_COLUMNS, split (train, valid or test); and the number of genes left out.

        Raises
        ------
        Problems
            Columns or genes that are missing or repeated.
        """
        column, label = f"fold_{fold}", f"{self.cell_type}_CAGE_128*3_sum"
        mrna = [FEATURE_COLUMNS[name] for name in FEATURES[:-1]]
        problems: list[Problem] = []
        split = expression = listing = None
        with noting(problems):
            split = _indexed(self.split, "ENSID", ["Gene name", column])
        with noting(problems):
            expression = _indexed(self.expression, "ENSID", [*mrna, *([] if self.cage else [label])])
        with noting(problems):
            listing = _indexed(self.gene_list, "symbol", ["chr", "tss", "strand", *_ACTIVITY], "\t", repeats=True)
        with noting(problems):
            ids = self._ids()
        if problems:
            raise Problems(problems)
        used = [gene for gene in ids if gene in split.index and split.at[gene, column] in PARTS]
        names = split["Gene name"].reindex(used).fillna("").to_numpy(str)
        keys = np.array(used) if self.cell.genes_by == "ENSID" else names
        assert expression is not None
        assert listing is not None
        _require(self.expression, expression, used)
        _require(self.gene_list, listing, keys)
        listing, expression = listing.loc[keys], expression.loc[used]
        table = pd.DataFrame({"gene_id": used, "symbol": np.where(names == "", used, names)})
        table["chrom"], table["strand"] = listing["chr"].to_numpy(str), listing["strand"].to_numpy(str)
        table["tss"] = _whole(self.gene_list, listing["tss"])
        table["CAGE"] = self._cage(table) if self.cage else expression[label].to_numpy(np.float64)
        table[mrna] = expression[mrna].to_numpy(np.float64)
        table["PROMOTERACTIVITY"] = np.sqrt(listing[list(_ACTIVITY)].to_numpy(np.float64).prod(axis=1))
        table["split"] = split[column].loc[used].to_numpy(str)
        return table, len(ids) - len(used)

    def gene_bounds(self, genes: pd.DataFrame) -> pd.DataFrame:
        """Return start and end of each gene in GeneList.txt, int64, half-open, in the order of `genes`."""
        listing = _indexed(self.gene_list, "symbol", ["start", "end"], "\t", repeats=True)
        rows = listing.loc[(genes.gene_id if self.cell.genes_by == "ENSID" else genes.symbol).to_numpy()]
        return pd.DataFrame({name: _whole(self.gene_list, rows[name]) for name in ("start", "end")})

    def window(self, genes: pd.DataFrame) -> int:
        """Return the length in bp of the stored Hi-C vectors (released: 200,000), the longest window they serve."""
        first = genes.iloc[0]
        path, key = self.contact(first.chrom), site_key(first.chrom, first.tss)
        file = open_hdf5(path, "HDF5 with contact vectors")
        shape = file[key].shape
        file.close()
        if len(shape) != 1:
            raise InputError(path, found=f"{key} of shape {shape}", expected="a vector", fix="copy it again")
        return shape[0]

    def contact_problems(self, genes: pd.DataFrame) -> list[Problem]:
        """Return the problems with files of Hi-C vectors: missing, or without a vector for some genes."""
        chroms = sorted(set(genes.chrom))
        problems = self.missing_contact(chroms)
        for chrom in chroms:
            path = self.contact(chrom)
            if not path.is_file():
                continue
            with noting(problems):
                file = open_hdf5(path, "HDF5 with contact vectors")
                sites = genes.tss[genes.chrom == chrom].unique().tolist()
                without = [site_key(chrom, tss) for tss in sites if site_key(chrom, tss) not in file]
                file.close()
                if without:
                    found = f"no vector for {len(without)} of {len(sites)} start sites ({listed(without, 3)})"
                    expected = "a vector for each gene of the split"
                    problems.append(Problem(path, found=found, expected=expected, fix="copy it again"))
        return problems

    def blacklist_intervals(self, blacklist: Path | None) -> pd.DataFrame:
        """Return chrom, start, end of the blacklist, from the BED if given, else from the released pickle."""
        if blacklist is not None:
            return read_bed(blacklist)[["chrom", "start", "end"]]
        masks, sizes = read_masks(self.blacklist), self.sizes()
        for chrom, mask in masks.items():
            if sizes.get(chrom, mask.length) != mask.length:
                found, expected = f"{mask.length:,} bases of {chrom}", f"{sizes[chrom]:,}, as in {LENGTHS_FILE}"
                raise InputError(self.blacklist, found=found, expected=expected, fix="give the blacklist as a BED")
        return mask_intervals(masks)

    def peak_intervals(self) -> pd.DataFrame | None:
        """Return chrom, start, end where the released MACS3 track is above 0; None where there is no track."""
        if not self.peaks.is_file():
            return None
        from model_core.signals.bigwig import bigwig_errors, open_bigwig

        file = open_bigwig(self.peaks)
        rows: list[list[Any]] = []
        for chrom in sorted(file.chroms()):
            with bigwig_errors(self.peaks, f"damaged data of {chrom}"):
                intervals = file.intervals(chrom) or ()
            for start, end, value in intervals:
                if value > 0 and rows and rows[-1][0] == chrom and start <= rows[-1][2]:
                    rows[-1][2] = max(rows[-1][2], end)
                elif value > 0:
                    rows.append([chrom, start, end])
        return pd.DataFrame(rows, columns=["chrom", "start", "end"])

    def _ids(self) -> list[str]:
        file = open_hdf5(self.encoding, "HDF5 with a gene list `ensid`")
        if "ensid" not in file:
            found = f"no `ensid` among {listed(list(file))}"
            raise InputError(self.encoding, found=found, expected="the gene list `ensid`", fix="copy it again")
        ids = [gene.decode() if isinstance(gene, bytes) else str(gene) for gene in file["ensid"][:].tolist()]
        file.close()
        _require_unique(self.encoding, pd.Index(ids))
        return ids

    def _cage(self, genes: pd.DataFrame) -> np.ndarray:
        """Sum CAGE over TSS +/- CAGE_FLANK, float64 (n,); unknown bases and those beyond the ends count as 0."""
        assert self.cage is not None
        signal = BigWigSignal("CAGE", self.cage)
        match_chromosomes(signal.sizes, sorted(set(genes.chrom)), self.cage)  # an unknown label is not 0
        places = zip(genes.chrom, genes.tss.tolist(), strict=True)
        return np.array([signal.values(c, t - CAGE_FLANK, t + CAGE_FLANK).sum(dtype=float) for c, t in places])


def _indexed(path: Path, key: str, columns: list[str], separator: str = ",", repeats: bool = False) -> pd.DataFrame:
    """Read these columns of a table of the release, indexed by another column."""
    wanted = [key, *columns]
    cells = read_table(path, "a line for each gene", separator)
    without = [name for name in wanted if name not in cells]
    if without:
        found = f"no column {listed(without)} (its columns are {listed(list(cells), 30)})"
        raise InputError(path, found=found, expected=f"the columns {listed(wanted, 30)}", fix="use the released file")
    table = cells[columns].apply(_typed).set_index(cells[key])
    if not repeats:
        _require_unique(path, table.index)
    return table


def _typed(cells: pd.Series) -> pd.Series:
    """Convert cells to numbers if all that are not empty are numbers; empty ones become NaN."""
    missing = cells.isin(MISSING)
    values = pd.to_numeric(cells.where(~missing), errors="coerce")
    return values if (values.notna() | missing).all() else cells.where(~missing)


def _require_unique(path: Path, ids: pd.Index) -> None:
    twice = ids[ids.duplicated()].unique()
    if len(twice):
        found = f"{len(twice)} repeated genes ({listed(list(twice), 3)})"
        raise InputError(path, found=found, expected="one row for each gene", fix="use the released file")


def _require(path: Path, table: pd.DataFrame, keys: Iterable[str]) -> None:
    """Raise InputError unless each key is in the table's index exactly once."""
    rows = table.index.value_counts().reindex(list(keys), fill_value=0)
    for wrong, what in ((rows == 0, "no row for"), (rows > 1, "several rows for")):
        if wrong.any():
            names = list(rows.index[wrong])
            found = f"{what} {len(names)} of {len(rows)} genes ({listed(names, 3)})"
            raise InputError(
                path, found=found, expected="one row for each gene of the split", fix="use the released file"
            )


def _whole(path: Path, column: pd.Series) -> np.ndarray:
    """Return the positions of a gene list as int64 (n,)."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    if not (np.isfinite(values) & (values == np.floor(values))).all():
        raise InputError(
            path, found="positions that are not whole numbers", expected="whole 0-based positions", fix="copy it again"
        )
    return values.astype(np.int64)
