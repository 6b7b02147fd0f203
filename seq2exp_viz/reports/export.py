"""`seq2exp-viz export`: elements as BED, narrowPeak or GFF3, masks as bigWig, of a whole run or of chosen genes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from model_core.errors import InputError
from model_core.run_folder.assemble import DECIMALS, covered_bases, merged_track, provenance
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.run import Run
from model_core.run_folder.tracks import Block, write_bed, write_bigwig, write_gff3, write_narrowpeak
from seq2exp_viz.file_names import gene_parts, run_part

SUFFIXES = {  # kind -> ending of its files
    "bed": ".elements.bed",
    "bigwig": ".mask.bigWig",
    "narrowpeak": ".elements.narrowPeak",
    "gff3": ".elements.gff3",
}


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
        "bed", "bigwig", "narrowpeak" or "gff3".
    genes : str or Sequence[str] or None
        gene_id or symbol of one or several genes; None = all genes. Masks of several are merged by max.
    output : str or Path or None
        The file; by default RUN[.GENE] with the kind's suffix, in the current folder. Several genes need a name.
    resolution : int or None
        bp of a bin of a bigWig.
    decimals : int or None
        Of a bigWig; None = do not round.
    bgzip : bool
        Compress BED, narrowPeak or GFF3 and index it with tabix; adds .gz to the name.

    Raises
    ------
    InputError
        An unknown kind or gene, a run that is not assembled, or options that do not belong to the kind.
    """
    if kind not in SUFFIXES:
        raise InputError("export", found=f"kind {kind!r}", expected=f"one of {', '.join(SUFFIXES)}", fix="choose one")
    if kind == "bigwig" and bgzip:
        raise InputError(
            "export",
            found="bgzip for a bigWig",
            expected="BED, narrowPeak or GFF3",
            fix="leave it out; a bigWig is compressed",
        )
    if kind != "bigwig" and resolution is not None:
        raise InputError("export", found=f"a resolution for {kind}", expected="bigwig", fix="leave it out")
    names = [genes] if isinstance(genes, str) else genes or None
    if output is None and names is not None and len(names) > 1:
        found, expected = f"{len(names)} genes", "a name for the file"
        raise InputError("export", found=found, expected=expected, fix="name it with --output")
    output = Path(output) if output else Path(default_name(run, kind, names[0] if names else None, bgzip))
    if bgzip and output.suffix != ".gz":
        output = output.with_name(f"{output.name}.gz")  # programs go by the ending
    if not output.parent.is_dir():
        raise InputError(output, found=f"no folder {output.parent}", expected="an existing folder", fix="make it first")
    if kind == "bigwig":
        blocks = mask_blocks(run, names, resolution)
        write_bigwig(output, run.chrom_sizes, blocks, decimals, None if names else _merged_bins(run, resolution))
    elif kind == "bed":
        rule = run.rule
        comments = [*provenance(run, rule), "coordinates=0-based,half-open name=symbol:element"]
        write_bed(output, [named_elements(run, names)], comments, bgzip)
    elif kind == "gff3":
        write_gff3(output, elements_of(run, names), run.chrom_sizes, provenance(run, run.rule), bgzip)
    else:
        write_narrowpeak(output, as_narrowpeak(named_elements(run, names)), bgzip)
    return output


def default_name(run: Run, kind: str, gene: str | None = None, bgzip: bool = False) -> str:
    """The file name of an export: run, gene where there is one, and what it is; safe on any file system."""
    return file_stem(run, gene) + SUFFIXES[kind] + (".gz" if bgzip else "")


def file_stem(run: Run, gene: str | None = None) -> str:
    """RUN or RUN.SYMBOL in letters that any file system takes; genes of one name get their ids, too."""
    if gene is None:
        return run_part(run.name)
    return f"{run_part(run.name)}.{gene_parts(run.genes)[str(run.gene(gene)['gene_id'])]}"


def named_elements(run: Run, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return `elements_of` a run or genes, with `name` as GENE1:E1."""
    table = elements_of(run, names)
    return table.assign(name=table["symbol"] + ":" + table["name"])


def elements_of(run: Run, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return ELEMENT_COLUMNS of a run or of the genes that are named, sorted."""
    if names is None:
        return _assembled(run).elements
    found = pd.concat([run.cut(gene_id) for gene_id in _chosen(run, names)["gene_id"]])
    return found.sort_values(["chrom", "start", "end", "gene_id"], ignore_index=True)


def _chosen(run: Run, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `Run.genes` that are named, each once, in the order of that table."""
    wanted = {run.gene(name)["gene_id"] for name in names}
    return run.genes[run.genes["gene_id"].isin(wanted)]


def as_narrowpeak(elements: pd.DataFrame) -> pd.DataFrame:
    """Elements, without promoters, as NARROWPEAK_COLUMNS: signal_value = max_mask; p and q are not given (-1)."""
    table = elements[elements["class"] != PROMOTER_CLASS]
    return table.assign(
        signal_value=table["max_mask"], minus_log10_p=-1, minus_log10_q=-1, summit=table["thickStart"] - table["start"]
    )


def mask_blocks(run: Run, names: Sequence[str] | None, resolution: int | None) -> Iterator[Block]:
    """Return the masks of the genes that are named, or of all, merged by max.

    Parameters
    ----------
    names : Sequence[str] or None
        gene_id or symbol of each; None = all genes.
    resolution : int or None
        bp of a bin; by default the run's, for all genes that of the run's track.
    """
    least = run.manifest["resolution"]
    if resolution is not None and resolution < least:
        found, expected = f"resolution {resolution} bp", f"at least the run's {least} bp"
        raise InputError("export", found=found, expected=expected, fix="ask for a coarser one")
    if names is None:
        stated = _assembled(run).manifest["assembled"]["track_resolution"]
        return merged_track(run, resolution or stated)
    return merged_track(run, resolution or least, _chosen(run, names))


def _merged_bins(run: Run, resolution: int | None) -> float:
    """How many bins the merged mask of an assembled run has."""
    bases = covered_bases(run.genes, run.manifest["window"], run.chrom_sizes)
    return bases / (resolution or run.manifest["assembled"]["track_resolution"])


def _assembled(run: Run) -> Run:
    if not run.scored:
        do = f"score genes first: seq2exp-viz score {run.path}"
        raise InputError(run.path, found="no scored gene", expected="a run with scored genes", fix=do)
    if not run.manifest.get("assembled"):
        expected = "a run whose masks were assembled"
        raise InputError(
            run.path, found="no elements yet", expected=expected, fix="wait for scoring to end, or name one gene"
        )
    return run
