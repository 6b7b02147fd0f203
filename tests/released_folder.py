"""A small made folder in the layout of the authors' released data: two chromosomes, five genes, all kinds of files."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from small_study import write_bigwig

from model_core.datasets.airs_folder import CELL_TYPES

SIZES = {"chr1": 60_000, "chr22": 30_000}
VECTOR = 20_000  # bp of the stored contact vectors (released: 200,000)
BLACKLISTED = {"chr1": [(0, 100), (5_000, 5_500)], "chr22": [(29_900, 30_000)]}
# Ensembl id, name, chrom, tss (0-based), strand, fold_11; the last gene is in no part.
GENES = (
    ("ENSG01", "AAA", "chr1", 30_000, "+", "train"),
    ("ENSG02", "BBB", "chr1", 4_000, "-", "train"),
    ("ENSG03", "CCC", "chr1", 57_000, "+", "valid"),
    ("ENSG04", "DDD", "chr22", 15_000, "-", "test"),
    ("ENSG05", "EEE", "chr22", 20_000, "+", np.nan),
)


def write_released_folder(root: Path, cell_type: str = "K562", seed: int = 0) -> Path:
    """Write the folder for one cell type; returns its path."""
    rng, cell, tables = np.random.default_rng(seed), CELL_TYPES[cell_type], root / "promo_enhan_inter"
    for folder in ("hg38", f"promo_enhan_inter/{cell.abc}"):
        (root / folder).mkdir(parents=True)
    bases = {chrom: "".join(rng.choice(list("ACGTacgtN"), size)) for chrom, size in SIZES.items()}
    (root / "hg38" / "hg38.ml.fa").write_text("".join(f">{chrom}\n{text}\n" for chrom, text in bases.items()))
    (root / "chr_length.json").write_text(json.dumps({"hg38": {**SIZES, "chrY": 57_227_415}, "hg19": {"chr1": 1}}))
    masks = {chrom: np.zeros(size, bool) for chrom, size in SIZES.items()}
    for chrom, spans in BLACKLISTED.items():
        for start, end in spans:
            masks[chrom][start:end] = True
    with (root / "hg38_blacklist_dict_v1.pkl").open("wb") as file:
        pickle.dump(masks, file)
    write_tables(root, cell_type, rng)
    activity = {chrom: rng.random(size).round(3) for chrom, size in SIZES.items()}
    for kind, accession in (("H3K27ac", cell.h3k27ac), ("DNase-seq", cell.dnase)):
        (tables / kind / cell_type).mkdir(parents=True)
        write_bigwig(tables / kind / cell_type / f"{accession}.bigWig", activity)
    if cell.cage:
        (tables / cell.cage).parent.mkdir(parents=True)
        write_bigwig(tables / cell.cage, {chrom: np.full(size, 0.5) for chrom, size in SIZES.items()})
    else:
        (tables / "DNase-seq" / cell_type / "peaks" / "peaks_bigWig").mkdir(parents=True)
        peaks = {"chr1": np.zeros(SIZES["chr1"])}
        peaks["chr1"][29_900:30_200] = peaks["chr1"][100:150] = 1
        write_bigwig(tables / "DNase-seq" / cell_type / "peaks" / "peaks_bigWig" / "macs3.bigWig", peaks, SIZES)
    write_contact(root, cell_type)
    return root


def write_tables(root: Path, cell_type: str, rng: np.random.Generator) -> None:
    """Encoding file, split, Xpresso table and GeneList.txt."""
    cell, tables = CELL_TYPES[cell_type], root / "promo_enhan_inter"
    ids, names, chroms, tss, strands, parts = map(list, zip(*GENES, strict=True))
    with h5py.File(tables / cell.encoding, "w") as file:
        file["ensid"] = np.array(ids[::-1], dtype="S")
        file["pe_code"] = np.zeros((len(ids), 1, 4))
    split = pd.DataFrame({"ENSID": ids, "Gene name": names, "fold_1": "train", "fold_11": parts})
    split.to_csv(tables / "leave_chrom_out_crossvalidation_split_18377genes.csv", index=False)
    columns = {"Gene stable ID": ids, "Gene name": names, "ENSID": ids}
    for name in ("UTR5LEN", "CDSLEN", "INTRONLEN", "UTR3LEN"):
        columns[name] = rng.integers(1, 9_000, len(ids))
        columns[f"{name}_log10zscore"] = rng.normal(size=len(ids)).round(4)
    for name in ("UTR5GC", "CDSGC", "UTR3GC", "ORFEXONDENSITY"):
        columns[name] = rng.random(len(ids)).round(4)
    columns |= {"K562_CAGE_128*3_sum": [9, 99, 0, 999, 5], "GM12878_CAGE_128*3_sum": [0, 1, 2, 3, 4]}
    columns |= {"Actual_K562": -1.0, "Actual_GM12878": -2.0}
    pd.DataFrame(columns).to_csv(tables / "GM12878_K562_18377_gene_expr_fromXpresso.csv", index=False)
    keys = ids if cell.genes_by == "ENSID" else names
    starts = [site if strand == "+" else site - 500 for site, strand in zip(tss, strands, strict=True)]
    listing = {"chr": chroms, "start": starts, "end": np.array(starts) + 501, "name": keys, "score": 0}
    listing |= {"strand": strands, "symbol": keys, "tss": tss}
    listing |= {"H3K27ac.RPM.TSS1Kb": [4.0, 9.0, 1.0, 0.0, 2.0], "DHS.RPM.TSS1Kb": [9.0, 4.0, 4.0, 3.0, 2.0]}
    pd.DataFrame(listing).to_csv(tables / cell.abc / "GeneList.txt", sep="\t", index=False)


def contact_at(chrom: str, positions: np.ndarray) -> np.ndarray:
    """The contact that the folder holds for a base: its own place on the chromosome, so that shifts show."""
    inside = (positions >= 0) & (positions < SIZES[chrom])
    return np.where(inside, 1 + positions / 1_000, 0.0)


def write_contact(root: Path, cell_type: str) -> None:
    """hic_feat_<chrom>.h5 with an array for each start site, 0 beyond the chromosome, one value NaN."""
    folder = root / "promo_enhan_inter" / "HiC" / cell_type
    folder.mkdir(parents=True)
    for chrom in SIZES:
        with h5py.File(folder / f"hic_feat_{chrom}.h5", "w") as file:
            for _, _, on, tss, _, _ in GENES:
                if on == chrom:
                    vector = contact_at(chrom, np.arange(tss - VECTOR // 2, tss + VECTOR // 2))
                    vector[VECTOR // 2 + 7] = np.nan
                    file[f"{chrom}_{tss}"] = vector
