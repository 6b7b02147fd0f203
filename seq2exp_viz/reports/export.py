"""`seq2exp-viz export`: elements as BED, narrowPeak, GFF3 or BEDPE, masks as bigWig, of a run or of chosen genes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from model_core.errors import InputError
from model_core.run_folder.assemble import DECIMALS, covered_bases, merged_track, provenance
from model_core.run_folder.element_effects import with_effects, with_stored
from model_core.run_folder.elements import MEASURED, PROMOTER_CLASS, as_exported
from model_core.run_folder.run import Run
from model_core.run_folder.tracks import Block, write_bed, write_bedpe, write_bigwig, write_gff3, write_narrowpeak
from model_core.written_place import replaced_file
from seq2exp_viz.file_names import gene_parts, run_part

SUFFIXES = {  # kind -> ending of its files
    "bed": ".elements.bed",
    "bigwig": ".mask.bigWig",
    "narrowpeak": ".elements.narrowPeak",
    "gff3": ".elements.gff3",
    "bedpe": ".elements.bedpe",
}
BEDPE_COMMENTS = (
    "coordinates=0-based,half-open; the second place is the start site of the gene",
    "score=element-gene score, in the unit of the label (activity by contact); . where it is not known",
)


def export(
    run: Run,
    kind: str,
    genes: str | Sequence[str] | None = None,
    output: str | Path | None = None,
    *,
    resolution: int | None = None,
    decimals: int | None = DECIMALS,
    bgzip: bool = False,
) -> Path:
    """Write one export and return its path; the same run gives the same bytes.

    Parameters
    ----------
    run : Run
        Assembled, unless genes are named.
    kind : str
        "bed", "bigwig", "narrowpeak", "gff3" or "bedpe".
    genes : str or Sequence[str] or None
        gene_id or symbol of one or several genes; None exports all genes. Masks of several genes are merged by max.
    output : str or Path or None
        The file; by default RUN[.GENE] with the kind's suffix, in the current folder. Required for several genes.
    resolution : int or None
        Bin size of a bigWig in bp; None takes the run's.
    decimals : int or None
        Decimals of a bigWig's values; None does not round.
    bgzip : bool
        Whether BED, narrowPeak, GFF3 or BEDPE is compressed and indexed with tabix; .gz is appended to the name.

    Raises
    ------
    InputError
        An unknown kind or gene, a run that is not assembled, or options that do not apply to the kind.
    """
    if kind not in SUFFIXES:
        raise InputError("export", found=f"kind {kind!r}", expected=f"one of {', '.join(SUFFIXES)}", fix="choose one")
    if kind == "bigwig" and bgzip:
        raise InputError(
            "export",
            found="bgzip for a bigWig",
            expected="BED, narrowPeak, GFF3 or BEDPE",
            fix="leave out --bgzip; a bigWig is always compressed",
        )
    if kind != "bigwig" and resolution is not None:
        raise InputError("export", found=f"--resolution for {kind}", expected="bigwig", fix="leave it out")
    names = [genes] if isinstance(genes, str) else genes or None
    if output is None and names is not None and len(names) > 1:
        found, expected = f"{len(names)} genes and no file name", "a file name for several genes"
        raise InputError("export", found=found, expected=expected, fix="give it with --output")
    output = Path(output) if output else Path(default_name(run, kind, names[0] if names else None, bgzip))
    if bgzip and replaced_file(output) is None:
        found, expected = "a pipe or a device, and --bgzip", "a file, next to which the index can lie"
        raise InputError(output, found=found, expected=expected, fix="leave out --bgzip, or give a file")
    if bgzip and output.suffix != ".gz":
        output = output.with_name(f"{output.name}.gz")  # other programs decide by the extension
    replaced_file(output)  # refused before hours of work, not after
    if not output.parent.is_dir():
        raise InputError(
            output, found=f"no folder {output.parent}", expected="an existing folder", fix="create it first"
        )
    if kind == "bigwig":
        blocks = mask_blocks(run, names, resolution)
        write_bigwig(output, run.chrom_sizes, blocks, decimals, None if names else _merged_bins(run, resolution))
    elif kind == "bed":
        comments = [*provenance(run, run.rule), "coordinates=0-based,half-open name=symbol:element"]
        table = with_stored(named_elements(run, names), run.effects, run.manifest)
        write_bed(output, [as_exported(table, run.manifest)], comments, bgzip)
    elif kind == "gff3":
        table = with_stored(elements_of(run, names), run.effects, run.manifest)
        write_gff3(output, table, run.chrom_sizes, provenance(run, run.rule), bgzip)
    elif kind == "bedpe":
        table = with_effects(named_elements(run, names), run.effects, run.manifest)
        write_bedpe(output, as_bedpe(table, run.genes), [*provenance(run, run.rule), *BEDPE_COMMENTS], bgzip)
    else:
        write_narrowpeak(output, as_narrowpeak(named_elements(run, names)), bgzip)
    return output


def default_name(run: Run, kind: str, gene: str | None = None, bgzip: bool = False) -> str:
    """Return the file name of an export from run, gene and kind; it is valid on any file system."""
    return file_stem(run, gene) + SUFFIXES[kind] + (".gz" if bgzip else "")


def file_stem(run: Run, gene: str | None = None) -> str:
    """Return RUN or RUN.SYMBOL, valid on any file system; genes with the same symbol also get their ids."""
    if gene is None:
        return run_part(run.name)
    return f"{run_part(run.name)}.{gene_parts(run.genes)[str(run.gene(gene)['gene_id'])]}"


def named_elements(run: Run, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return `elements_of` a run or genes, with `name` as SYMBOL:E1."""
    table = elements_of(run, names)
    return table.assign(name=table["symbol"] + ":" + table["name"])


def elements_of(run: Run, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return ELEMENT_COLUMNS of a run or of the genes that are named, sorted."""
    if names is None:
        return _assembled(run).elements
    found = pd.concat([run.cut(gene_id) for gene_id in _chosen(run, names)["gene_id"]])
    return found.sort_values(["chrom", "start", "end", "gene_id"], ignore_index=True)


def _chosen(run: Run, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `Run.genes` for some names, each once, in the order of that table."""
    wanted = {run.gene(name)["gene_id"] for name in names}
    return run.genes[run.genes["gene_id"].isin(wanted)]


def as_narrowpeak(elements: pd.DataFrame) -> pd.DataFrame:
    """Return elements without promoters as NARROWPEAK_COLUMNS: signal_value = max_mask, no p and q (-1)."""
    table = elements[elements["class"] != PROMOTER_CLASS]
    return table.assign(
        signal_value=table["max_mask"], minus_log10_p=-1, minus_log10_q=-1, summit=table["thickStart"] - table["start"]
    )


def as_bedpe(elements: pd.DataFrame, genes: pd.DataFrame) -> pd.DataFrame:
    """Return one pair for each element but promoters: the element, and the start site of its gene; score: element-gene.

    Parameters
    ----------
    elements : DataFrame
        ELEMENT_COLUMNS with those of `element_effects.with_effects`.
    genes : DataFrame
        gene_id and tss of their genes.

    Returns
    -------
    DataFrame
        BEDPE_COLUMNS, and what is known of each element.
    """
    table = elements[elements["class"] != PROMOTER_CLASS].reset_index(drop=True)
    tss = table["gene_id"].map(genes.set_index("gene_id")["tss"])
    pairs = {
        **{"chrom1": table["chrom"], "start1": table["start"], "end1": table["end"]},
        **{"chrom2": table["chrom"], "start2": tss, "end2": tss + 1},
        **{"name": table["name"], "score": table["element_gene_score"], "strand1": ".", "strand2": table["strand"]},
    }
    known = ("gene_id", "symbol", "class", "distance_to_tss", "mean_mask", *MEASURED)
    direction = table["direction"].replace("", ".")
    return pd.DataFrame({**pairs, **{name: table[name] for name in known}, "direction": direction})


def mask_blocks(run: Run, names: Sequence[str] | None, resolution: int | None) -> Iterator[Block]:
    """Return the masks of some genes, or of all, merged by max.

    Parameters
    ----------
    run : Run
        The run; assembled, unless genes are named.
    names : Sequence[str] or None
        gene_id or symbol of each; None takes all genes.
    resolution : int or None
        Bin size in bp; None takes that of the run, or, for all genes, that of the run's merged track.

    Returns
    -------
    Iterator[Block]
        Blocks in the order of chromosomes and positions.
    """
    least = run.manifest["resolution"]
    if resolution is not None and resolution < least:
        found, expected = f"resolution {resolution} bp", f"at least the run's {least} bp"
        raise InputError("export", found=found, expected=expected, fix="choose a coarser resolution")
    if names is None:
        stated = _assembled(run).manifest["assembled"]["track_resolution"]
        return merged_track(run, resolution or stated)
    return merged_track(run, resolution or least, _chosen(run, names))


def _merged_bins(run: Run, resolution: int | None) -> float:
    """Return the number of bins of the merged mask of an assembled run."""
    bases = covered_bases(run.genes, run.manifest["window"], run.chrom_sizes)
    return bases / (resolution or run.manifest["assembled"]["track_resolution"])


def _assembled(run: Run) -> Run:
    if not run.scored:
        do = f"score genes first: seq2exp-viz score {run.path}"
        raise InputError(run.path, found="no scored gene", expected="a run with scored genes", fix=do)
    if not run.manifest.get("assembled"):
        expected = "a run whose masks were assembled"
        raise InputError(
            run.path, found="no elements yet", expected=expected, fix="wait for scoring to end, or name genes"
        )
    return run
