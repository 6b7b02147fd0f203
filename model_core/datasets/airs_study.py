"""Writing of a study of the authors' released folder: small files next to study.toml, large ones by path."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pandas as pd

from model_core.datasets.airs_folder import CHROMOSOMES, FEATURE_COLUMNS, ReleasedFolder
from model_core.errors import InputError, Problem, Problems
from model_core.files import write_text
from model_core.intervals import listed
from model_core.signals.hic_vectors import ENDING, write_index
from model_core.study.gene_features import LENGTHS
from model_core.study.study import load_study
from model_core.study.validate import noting
from model_core.tsv import table_text

TABLE, BLACKLIST, ANNOTATION, PEAKS, CONTACT = (
    *("genes.tsv", "blacklist.bed", "genes.gtf", "macs3.narrowPeak"),
    f"hic{ENDING}",
)


def study_from_airs(
    root: str | Path,
    cell_type: str,
    folder: str | Path,
    fold: int = 11,
    annotation: str | Path | None = None,
    blacklist: str | Path | None = None,
    shifted_contact: bool = False,
) -> Path:
    """Make a study of the released folder GeneExp without copying its large files.

    Written into `folder`: study.toml, the gene table, the blacklist as BED, an index of the Hi-C vectors, the MACS3
    peaks as narrowPeak where the release has them, and, without an annotation, a GTF of the genes' bounds. Reading the
    released blacklist (3 GB) takes a minute.

    Parameters
    ----------
    root : str or Path
        The released folder, with hg38/ and promo_enhan_inter/ in it.
    cell_type : str
        "K562", "GM12878" or "H1".
    folder : str or Path
        The study's folder (created where missing), or the path of its .toml.
    fold : int
        Column fold_<fold> of the split; the paper: 11.
    annotation : str or Path or None
        GTF of hg38 (GENCODE); the release has none.
    blacklist : str or Path or None
        BED to use instead of the released pickle.
    shifted_contact : bool
        Place Hi-C near chromosome ends as the release does (method: point 14), instead of where it belongs.

    Returns
    -------
    Path
        Path of the study.toml, which `load_study` has checked.

    Raises
    ------
    Problems
        All missing files and all faults of the tables.
    InputError
        No such folder or cell type, or a study in `folder` already.
    """
    release = ReleasedFolder(root, cell_type)
    given = {
        name: None if file is None else Path(os.path.expanduser(file)).resolve()
        for name, file in (("annotation", annotation), ("blacklist", blacklist))
    }
    path = new_study_path(folder, (TABLE, BLACKLIST, ANNOTATION, PEAKS, CONTACT))
    genes, left_out = _look_into(release, fold, given)
    blacklisted, peaks = release.blacklist_intervals(given["blacklist"]), release.peak_intervals()
    chroms = sorted(set(genes.chrom), key=CHROMOSOMES.index)
    path.parent.mkdir(parents=True, exist_ok=True)
    small = {TABLE: table_text(genes), BLACKLIST: _lines(blacklisted)}
    if given["annotation"] is None:
        small[ANNOTATION] = _gene_bounds(release, genes)
    if peaks is not None:
        small[PEAKS] = _lines(peaks, "\t.\t0\t.\t-1\t-1\t-1\t-1")
    counts, window = (len(genes), left_out), release.window(genes)
    text = _study_text(release, fold, given["annotation"], counts, peaks is not None, shifted_contact, window)
    try:
        for name, content in small.items():
            write_text(path.parent / name, content)
        files = {chrom: release.contact(chrom) for chrom in chroms}
        write_index(path.parent / CONTACT, files, release.sizes(), shifted_contact)
        write_text(path, text)
        load_study(path)
    except BaseException:
        for name in (*small, CONTACT, path.name):
            (path.parent / name).unlink(missing_ok=True)
        raise
    return path


def new_study_path(folder: str | Path, others: tuple[str, ...] = ()) -> Path:
    """Return the path of a study.toml to write.

    Parameters
    ----------
    folder : str or Path
        The study's folder, or the path of its .toml.
    others : tuple[str, ...]
        Names of other files that will be written next to it.

    Raises
    ------
    InputError
        The study.toml or one of `others` exists already, or the folder is a file.
    """
    path = Path(os.path.expanduser(folder))
    path = (path if path.suffix == ".toml" else path / "study.toml").absolute()
    there = [name for name in (path.name, *others) if (path.parent / name).exists()]
    if path.parent.exists() and not path.parent.is_dir():
        raise InputError(path.parent, found="a file", expected="a folder", fix="choose another path")
    if there:
        found = f"{listed(there)} in it already"
        fix = "choose another folder, or remove these files"
        raise InputError(path.parent, found=found, expected="a new folder", fix=fix)
    return path


def _look_into(release: ReleasedFolder, fold: int, given: dict[str, Path | None]) -> tuple[pd.DataFrame, int]:
    """Return (genes, number left out); raise Problems with all missing files and all faults of the tables."""
    problems = release.missing(given["blacklist"])
    annotation = given["annotation"]
    if annotation is not None and not annotation.is_file():
        problems.append(Problem(annotation, found="no such file", expected="a GTF of hg38", fix="check the path"))
    genes, left_out = None, 0
    if all(path.is_file() for path in (release.expression, release.split, release.gene_list, release.encoding)):
        with noting(problems):
            genes, left_out = release.genes(fold)
    if genes is None:
        problems += release.missing_contact(list(CHROMOSOMES))
        raise Problems(problems)
    other = sorted(set(genes.chrom) - set(CHROMOSOMES))
    if other:
        found = f"genes on {listed(other)}"
        problems.append(
            Problem(release.gene_list, found=found, expected="chr1 to chr22 and chrX", fix="use the released file")
        )
    problems += release.contact_problems(genes[genes.chrom.isin(CHROMOSOMES)])
    sizes: dict[str, int] = {}
    if release.lengths.is_file():
        with noting(problems):
            sizes = release.sizes()
    unknown = sorted(set(genes.chrom) - set(sizes))
    if sizes and unknown:
        found, expected = f"no length of {listed(unknown)}", "all chromosomes with genes"
        problems.append(Problem(release.lengths, found=found, expected=expected, fix="copy it again"))
    if not len(genes):
        problems.append(
            Problem(release.encoding, found="no gene of the split", expected="genes", fix="check the files' versions")
        )
    if problems:
        raise Problems(problems)
    return genes, left_out


def _lines(table: pd.DataFrame, ending: str = "") -> str:
    rows = zip(table.chrom, table.start.tolist(), table.end.tolist(), strict=True)
    return "".join(f"{chrom}\t{start}\t{end}{ending}\n" for chrom, start, end in rows)


def _gene_bounds(release: ReleasedFolder, genes: pd.DataFrame) -> str:
    """Return a GTF with one row per gene: its bounds in GeneList.txt, without exons."""
    bounds = release.gene_bounds(genes)
    lines = ["#description: bounds of the genes in GeneList.txt of the released folder; no exons\n"]
    rows = zip(genes.gene_id, genes.symbol, genes.chrom, bounds.start, bounds.end, genes.strand, strict=True)
    for gene_id, symbol, chrom, start, end, strand in rows:
        attributes = f'gene_id "{gene_id}"; gene_name "{symbol}"; gene_type "protein_coding";'
        lines.append("\t".join([chrom, "ABC", "gene", str(start + 1), str(end), ".", strand, ".", attributes]) + "\n")
    return "".join(lines)


def _study_text(
    release: ReleasedFolder,
    fold: int,
    annotation: Path | None,
    counts: tuple[int, int],
    has_peaks: bool,
    shifted: bool,
    window: int,
) -> str:
    quoted = partial(json.dumps, ensure_ascii=False)  # a JSON string is a TOML string
    features = "\n".join(
        f'{feature} = {{ column = "{column}", zscored = true }}' if feature in LENGTHS else f'{feature} = "{column}"'
        for feature, column in FEATURE_COLUMNS.items()
    )
    source = "CAGE bigWig, summed over TSS +/- 192 bp" if release.cage else "of the Xpresso table, three 128 bp bins"
    contact = "as the release places it" if shifted else "in its place; the release shifts it inwards"
    used, left_out = counts
    return f"""\
# {release.cell_type} from the authors' released folder; the big files stay there (docs/from-the-authors.md).
# {used:,} genes of fold_{fold}; {left_out:,} genes of the encoding file are in no part of it and left out.
schema = 1
name = {quoted(f"{release.cell_type}-released")}
assembly = "hg38"
cell_type = {quoted(release.cell_type)}

[genome]
fasta = {quoted(str(release.fasta))}
annotation = {quoted(str(annotation or ANNOTATION))}
blacklist = "{BLACKLIST}"

[genes]
table = "{TABLE}"
label = "CAGE"                         # {source}
label_transform = "log10p1"

[genes.split]
column = "split"                       # fold_{fold}
validation = ["valid"]
test = ["test"]

[genes.features]
{features}

[[signals]]
name = "H3K27ac"
path = {quoted(str(release.h3k27ac))}
prior = {{ b = 1.5, w = 0.4 }}

[[signals]]
name = "DNase"
path = {quoted(str(release.dnase))}
prior = {{ b = 0.2, w = 0.4 }}

[[signals]]
name = "Hi-C"                          # near a chromosome's end: {contact}
path = "{CONTACT}"
prior = {{ b = 1.0, w = 0.2 }}

[model]
window = {window}
promoter = {min(2_000, window)}
""" + (f'\n[peaks]\nnarrowpeak = "{PEAKS}"\n' if has_peaks else "")
