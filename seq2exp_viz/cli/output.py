"""Commands that write files for other programs and readers: export, figure, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from model_core.errors import InputError
from seq2exp_viz.cli import options
from seq2exp_viz.cli.options import Genes, RequiredGenes, RunPath, Threshold

if TYPE_CHECKING:
    from seq2exp_viz.runs.run_view import RunView

ANNOTATION_SECONDS = 600  # seconds to wait: the GTF of a whole genome is read once, then kept


def export(
    run: RunPath,
    kind: Annotated[
        Literal["bed", "bigwig", "narrowpeak", "gff3", "bedpe"],
        typer.Argument(
            metavar="KIND",
            help="format to write: elements as BED9+, narrowPeak or GFF3, elements with their start sites as BEDPE, or "
            "the mask as bigWig",
        ),
    ],
    genes: Genes = None,
    output: Annotated[Path | None, options.output("named after run and gene by default")] = None,
    resolution: Annotated[int | None, options.resolution("for bigwig")] = None,
    decimals: Annotated[int, typer.Option("--round", min=0, help="number of decimals in the bigWig")] = 3,
    bgzip: Annotated[
        bool, typer.Option("--bgzip", help="compress all but bigWig with bgzip and index it with tabix")
    ] = False,
) -> None:
    """Write elements or masks for other programs: of the given genes, or of all genes."""
    from model_core.run_folder.run import Run
    from seq2exp_viz.reports.export import export as write_export

    names = options.gene_names(genes)
    settings: dict[str, Any] = {"resolution": resolution, "decimals": decimals, "bgzip": bgzip}
    _wrote(write_export(Run.open(run), kind, names or None, output, **settings))


def figure(
    run: RunPath,
    genes: RequiredGenes,
    output: Annotated[Path | None, options.output("format is chosen by the extension: .pdf, .svg or .png")] = None,
    locus: Annotated[
        str | None,
        typer.Option(help="region to draw, 1-based: chr1:1,000-2,000 or 1,000-2,000 (default: the window of the gene)"),
    ] = None,
    threshold: Threshold = None,
    caption: Annotated[
        bool, typer.Option("--caption/--no-caption", help="write a caption that explains what is drawn")
    ] = True,
    dpi: Annotated[int, typer.Option(min=50, max=1200, help="dots per inch of a .png")] = 300,
) -> None:
    """Draw the locus of one gene for a paper: genes, signals, peaks, mask (with its band, if any), elements."""
    from model_core.files import replacing
    from seq2exp_viz.reports.export import file_stem
    from seq2exp_viz.reports.locus_figure import locus_bytes, place_of

    gene = options.one_gene(genes)
    view = _opened(run)
    place = place_of(view, gene, locus, threshold)
    path = _target(output or Path(f"{file_stem(view.run, gene)}.locus.pdf"))
    content = locus_bytes(view, place, path.suffix.lower().removeprefix("."), caption, dpi)
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)
    _wrote(path)


def report(
    run: RunPath,
    genes: RequiredGenes,
    output: Annotated[Path | None, options.output("an .html file, named after the run by default")] = None,
    threshold: Threshold = None,
) -> None:
    """Write chosen genes as one HTML file that opens offline: figures, tables, observed and predicted, caveats."""
    from model_core.files import write_text
    from seq2exp_viz.reports.export import file_stem
    from seq2exp_viz.reports.gene_report import report as write_report

    names = options.gene_names(genes)
    view = _opened(run)
    path = _target(output or Path(f"{file_stem(view.run)}.report.html"))
    write_text(path, write_report(view, names, threshold, lambda symbol: typer.echo(f"drew {symbol}", err=True)))
    _wrote(path)


def _opened(run: Path) -> RunView:
    """Return the run with signals, genome and gene models opened; what is missing is reported before drawing."""
    from seq2exp_viz.runs.registry import RunRegistry

    view = RunRegistry([run]).first
    view.missing.listen(lambda line: typer.echo(f"note: {line}", err=True))
    view.wait_for_models(ANNOTATION_SECONDS)
    return view


def _wrote(path: Path) -> None:
    """Report what was written; on standard error where that may have been standard output."""
    from model_core.written_place import replaced_file

    typer.echo(f"wrote {path}", err=replaced_file(path) is None)


def _target(path: Path) -> Path:
    """Return the path; raise InputError where its folder does not exist, or nothing can be written to it."""
    from model_core.written_place import replaced_file

    replaced_file(path)
    if not path.parent.is_dir():
        raise InputError(path, found=f"no folder {path.parent}", expected="an existing folder", fix="make it first")
    return path
