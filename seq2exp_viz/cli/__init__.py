"""The command line: one thin function a command, in the order in which they are used."""

from __future__ import annotations

import errno
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from model_core.config import causal_stages
from model_core.errors import InputError
from seq2exp_viz.cli import options
from seq2exp_viz.cli import reports as commands
from seq2exp_viz.cli.compare import compare

# A disk that is full or read-only, a folder of others: no fault of the program, and told in a line.
NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

app = typer.Typer(
    name="seq2exp-viz",
    help="Seq2Exp in a genome browser: which bases a model holds responsible for a gene's expression.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="study.toml, or the folder that holds it")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="run folder, as train leaves it")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:1; default: a GPU if there is one")]


def main() -> None:
    """Run the program: a user's mistake is one message and exit code 2, never a traceback."""
    # Threads that wait give way: on a busy machine, spinning ones slow each other down twofold.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["MPLBACKEND"] = "agg"  # figures have their own; a name that matplotlib does not know stops it
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that knows ASCII only shows \u03b2 for what it cannot
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except InputError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        sys.exit(2)
    except OSError as problem:
        if problem.errno not in NO_PLACE:
            raise
        where = problem.filename2 or problem.filename or "writing"
        do = "make room or choose another place, then run the same command again"
        typer.secho(f"error: {where}: {str(problem.strerror).lower()}; {do}", err=True, fg=typer.colors.RED)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        sys.exit(130)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"seq2exp-viz {metadata.version('seq2exp-viz')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
    ] = False,
) -> None:
    """Seq2Exp in a genome browser: which bases a model holds responsible for a gene's expression."""


def needs_model() -> None:
    """Raise InputError where the packages of the extra `model` are missing."""
    from seq2exp_viz.worker.availability import missing_packages

    missing = missing_packages()
    if missing:
        found = f"no {', '.join(missing)}"
        raise InputError(
            "this installation", found=found, expected="the extra `model`", fix="pip install 'seq2exp-viz[model]'"
        )


def example(line: str) -> str:
    """The last line of a command's help."""
    return f"Example: [bold]seq2exp-viz {line}[/bold]"


@app.command(epilog=example("init my-study"))
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="folder (made where missing) or path of a .toml")],
    preset: Annotated[str | None, typer.Option(help="public files: k562-hg38, gm12878-hg38 or h1-hg38")] = None,
    from_airs: Annotated[Path | None, typer.Option(metavar="DATA_ROOT", help="the authors' released data")] = None,
    cell_type: Annotated[str | None, typer.Option(help="with --from-airs: K562, GM12878 or H1")] = None,
    fold: Annotated[int, typer.Option(help="with --from-airs: fold of the released split")] = 11,
    annotation: Annotated[Path | None, typer.Option(help="with --from-airs: GTF; the release has none")] = None,
    blacklist: Annotated[
        Path | None, typer.Option(help="with --from-airs: BED in place of the released pickle")
    ] = None,
    shifted_contact: Annotated[
        bool, typer.Option(help="with --from-airs: place Hi-C near chromosome ends as the release does")
    ] = False,
):
    """Write a study.toml: commented, to fill in; of public files; or of the authors' released data."""
    if preset is not None and from_airs is not None:
        raise InputError("init", found="--preset and --from-airs", expected="one of them", fix="leave one out")
    if from_airs is not None:
        from model_core.datasets.airs_study import study_from_airs

        if cell_type is None:
            raise InputError("init", found="--from-airs alone", expected="a --cell-type", fix="add K562, GM12878 or H1")
        path = study_from_airs(from_airs, cell_type, folder, fold, annotation, blacklist, shifted_contact)
        typer.echo(f"wrote {path}; next: seq2exp-viz check {path}")
    elif preset is not None:
        from model_core.datasets.presets import study_from_preset

        path = study_from_preset(preset, folder)
        typer.echo(f"wrote {path}; next: seq2exp-viz fetch {path}")
    else:
        from model_core.study.study import write_template

        path = write_template(folder)
        typer.echo(f"wrote {path}; fill it in, then: seq2exp-viz check {path}")


@app.command(epilog=example("fetch k562 --dry-run") + " (k562: of init --preset)")
def fetch(
    study: StudyPath,
    dry_run: Annotated[bool, typer.Option(help="say what would be fetched and how large it is")] = False,
):
    """Download the public files of a study that `init k562 --preset k562-hg38` wrote; resumes, and checks checksums."""
    from model_core.datasets.fetch import fetch_study

    fetch_study(study, dry_run, typer.echo)


@app.command(epilog=example("check demo/study"))
def check(study: StudyPath):
    """Read everything a study names and report every problem at once; say whether the builds agree."""
    from model_core.study.check import check_study

    report = check_study(study)
    typer.echo(report.text())
    if not report.ok:
        raise typer.Exit(2)


@app.command(epilog=example("peaks demo/study"))
def peaks(study: StudyPath):
    """Call the study's peaks with MACS3 (or read its narrowPeak file) and say what they can and cannot tell."""
    from model_core.study.peaks import peaks_of_study
    from model_core.study.study import load_study

    table, record = peaks_of_study(load_study(study))
    typer.echo(f"{len(table):,} peaks  {record.get('command') or ''}".rstrip())
    typer.echo(record["limits"])


@app.command(epilog=example("train demo/study --variant soft --steps 100 --out my-run"))
def train(
    study: StudyPath,
    out: Annotated[Path, typer.Option(help="run folder; an interrupted training of it goes on", show_default=False)],
    variant: Annotated[
        Literal["soft", "hard", "causal"], typer.Option(help="the paper's soft or hard mask, or ours")
    ] = "soft",
    mask: Annotated[
        str, typer.Option(help="learned, or a control in its place: promoter, random, signal, macs3, top:10%")
    ] = "learned",
    steps: Annotated[int | None, typer.Option(min=1, help="optimiser steps [paper: 50,000]")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="genes a step [paper: 8]")] = None,
    lr: Annotated[float | None, typer.Option(help="highest learning rate [paper: 5e-4]")] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="steps of warm-up [paper: 5,000]")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="bp around the TSS [paper: 200,000]")] = None,
    promoter: Annotated[int | None, typer.Option(min=1, help="central bp always kept [paper: 2,000]")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="width of the model [paper: 128]")] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="blocks of each stack [paper: 4]")] = None,
    seed: Annotated[int | None, typer.Option(help="of weights, order and draws")] = None,
    seeds: Annotated[str | None, typer.Option(metavar="2,22,222", help="train once for each, with mean and sd")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="batches whose gradients make a step")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true or bf16-mixed")] = None,
    pretrain: Annotated[
        int | None,
        typer.Option(min=0, help="steps of learning the signals from sequence [causal: 3 x --steps, at most 10,000]"),
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(min=0, help="first steps under random-block masks [causal: half of --steps]")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="GPUs, or processes on the CPU, on each host")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="hosts")] = 1,
    workers: Annotated[int | None, typer.Option(min=0, help="processes that read windows ahead")] = None,
    device: Device = None,
):
    """Train a model on a study; settings not given are those of study.toml, then the paper's."""
    needs_model()
    from model_core.study.study import load_study
    from model_core.training.train import train as train_model
    from model_core.training.train import train_seeds

    opened = load_study(study)
    model = {"variant": variant, "window": window, "promoter": promoter, "d_model": width, "n_layers": depth}
    model |= options.mask_settings(mask)
    training = {"steps": steps, "batch_size": batch_size, "lr": lr, "warmup": warmup, "seed": seed, "workers": workers}
    training |= {"accumulate": accumulate, "precision": precision, "pretrain_steps": pretrain, "block_steps": blocks}
    config = opened.config(**{k: v for k, v in model.items() if v is not None})
    given = {k: v for k, v in training.items() if v is not None}
    recipe = opened.train_config(**given)
    if config.variant == "causal":
        recipe = opened.train_config(**{**causal_stages(recipe.steps), **opened.training, **given})
    if seeds is not None:
        runs = train_seeds(opened, config, recipe, out, options.parse_seeds(seeds), device)
        typer.echo(f"trained {len(runs)} models; {(out / 'seeds.json').read_text(encoding='utf-8')}")
        return
    run = train_model(opened, config, recipe, out, device, processes, nodes)
    typer.echo(f"trained {run.path}; next: seq2exp-viz score {run.path}")


@app.command(epilog=example("score demo/run --genes MOCK2,MOCK7"))
def score(
    run: RunPath,
    checkpoint: Annotated[
        Path | None, typer.Option(help="score into a new RUN with this checkpoint, ours or the authors' .ckpt")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="with --checkpoint: the study to score")] = None,
    resolution: Annotated[int, typer.Option(min=1, help="with --checkpoint: bp of a bin of the stored masks")] = 1,
    genes: Annotated[str | None, typer.Option(metavar="A,B", help="symbols or ids, comma between")] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="CHROM:POS:STRAND", help="any place, counted from 1; without strand: +")
    ] = None,
    chrom: Annotated[str | None, typer.Option(help="all genes of a chromosome")] = None,
    all_genes: Annotated[bool, typer.Option("--all", help="all genes of the study")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="windows at once")] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="processes that read windows ahead; default: 0 on a CPU, up to 8 on a GPU"),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="GPUs, or processes on the CPU, on each host")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="hosts")] = 1,
    dry_run: Annotated[bool, typer.Option(help="say what it would take: windows, disk, time; writes nothing")] = False,
    device: Device = None,
):
    """Score genes into a run: masks, predictions, elements, tracks. Without a choice: the test genes."""
    needs_model()
    from model_core.places import ContigNames, parse_site
    from model_core.run_folder.run import Run
    from model_core.run_folder.source import study_of
    from model_core.scoring.estimate import forecast
    from model_core.scoring.score import choose_genes, run_for
    from model_core.scoring.score import score as score_genes
    from model_core.study.study import load_study
    from model_core.training.ranks import process_number

    if checkpoint is None:
        opened = Run.open(run)
        source = study_of(opened)
    elif study is None:
        raise InputError("score", found="--checkpoint alone", expected="a --study to score", fix="name its study.toml")
    else:
        source = load_study(study)
    names = [name.strip() for name in (genes or "").split(",") if name.strip()]
    contigs = ContigNames(source.genome().sizes)
    sites = [parse_site(text, contigs) for text in at or []]
    if chrom is not None:
        chrom = contigs.find(chrom) or chrom
    chosen = choose_genes(source.genes(), names, sites, chrom, all_genes)
    if dry_run:
        settings = {"resolution": resolution, "batch_size": batch_size, "workers": workers}
        weights = checkpoint or run / "checkpoint.safetensors"
        typer.echo(forecast(source, chosen, weights, run, device, processes=processes * nodes, **settings).text())
        return
    if checkpoint is not None:
        opened = run_for(source, checkpoint, run, resolution, processes, nodes)
        model = opened.config["model"]
        if process_number(processes, nodes) == 0:
            typer.echo(f"{checkpoint}: a {model['variant']} model, {model['window']:,} bp, width {model['d_model']}")
    before = opened.manifest["element_rule"]
    score_genes(opened, source, chosen, checkpoint, device, batch_size, workers, processes, nodes)
    if process_number(processes, nodes) > 0:
        return  # the first process of several reports
    counts = opened.metrics["counts"]
    typer.echo(f"{len(opened.scored):,} genes scored, {counts['elements']:,} elements in {opened.path}")
    rule = opened.manifest["element_rule"]
    typer.echo(f"threshold {rule['threshold']:.4f}: it keeps 5 % of the scored bases" if rule["kept_target"] else "")
    if before and before["threshold"] != rule["threshold"]:
        typer.echo(f"it was {before['threshold']:.4f} with fewer genes; elements of all genes were cut anew")
    typer.echo(f"next: seq2exp-viz serve {opened.path}")


@app.command(epilog=example("effects demo/run --gene MOCK1401"))
def effects(
    run: RunPath,
    gene: Annotated[str | None, typer.Option(metavar="A,B", help="symbols or ids of scored genes")] = None,
    all_genes: Annotated[
        bool, typer.Option("--all", help="all scored genes; default: those of the test split")
    ] = False,
    controls: Annotated[int, typer.Option(min=0, help="random control regions of each length to compare with")] = 20,
    occlusion: Annotated[bool, typer.Option("--occlusion", help="also hide stretch after stretch, no mask")] = False,
    block: Annotated[int, typer.Option(min=1, help="with --occlusion: bp hidden at once")] = 128,
    step: Annotated[int, typer.Option(min=1, help="with --occlusion: bp from one stretch to the next")] = 64,
    smallest: Annotated[bool, typer.Option("--smallest", help="also the few elements that keep 90 %")] = False,
    device: Device = None,
):
    """Switch off every element of genes and predict again: how much each one raises or lowers expression."""
    needs_model()
    from model_core.perturbation import rank
    from model_core.perturbation.run_model import RunModel
    from model_core.run_folder.effects import BACKGROUND, caveat, control_words
    from model_core.run_folder.run import Run

    opened = Run.open(run)
    chosen = rank.choose_scored(opened, [name.strip() for name in (gene or "").split(",") if name.strip()], all_genes)
    model = RunModel(opened, device)
    table = rank.effects_of(model, chosen, controls)
    mine = table[table["gene_id"].isin(chosen["gene_id"])]
    typer.echo(f"{len(mine):,} elements of {len(chosen):,} genes in {opened.path / 'effects' / 'effects.tsv'}")
    for row in rank.strongest(mine).itertuples():
        place = f"{row.chrom}:{row.start + 1:,}-{row.end:,}"
        words = control_words(row.control_rank, row.control_n)
        typer.echo(f"  {row.symbol} {row.element} {place}  effect {row.effect:+.3f}  {words}")
    if len(mine) and controls:
        typer.echo(BACKGROUND)
    if smallest:
        for found in rank.smallest_sets(model, chosen):
            typer.echo(f"  {found}")
    if occlusion:
        rank.occlusion_of(model, chosen, block, step)
    typer.echo(caveat(opened.config))


app.command(epilog=example("compare demo/run --beside demo/control"))(compare)


@app.command(epilog=example("convert demo/run/checkpoint.safetensors released.ckpt"))
def convert(
    source: Annotated[Path, typer.Argument(help=".safetensors (ours) or .ckpt (the authors')")],
    target: Annotated[Path, typer.Argument(help="file to write; its ending tells the format")],
):
    """Turn a checkpoint of the authors into ours, or back; the weights stay exactly as they are."""
    needs_model()
    from model_core.model.checkpoint import convert as convert_checkpoint

    config = convert_checkpoint(source, target).config
    typer.echo(f"wrote {target}: a {config.variant} model, {config.window:,} bp, width {config.d_model}")


@app.command(epilog=example("export demo/run bed --gene MOCK1401 -o MOCK1401.bed"))
def export(
    run: RunPath,
    kind: Annotated[
        Literal["bed", "bigwig", "narrowpeak"], typer.Argument(help="elements as BED9+ or narrowPeak; mask")
    ],
    gene: Annotated[str | None, typer.Option(help="symbol or id; default: all genes")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file to write")] = None,
    resolution: Annotated[int | None, typer.Option(min=1, help="bp of a bin of the bigWig")] = None,
    decimals: Annotated[int, typer.Option("--round", min=0, help="decimals of the bigWig")] = 3,
    bgzip: Annotated[bool, typer.Option(help="compress BED or narrowPeak and index it with tabix")] = False,
):
    """Write elements or masks for other programs; the same run gives the same bytes."""
    from model_core.run_folder.run import Run
    from seq2exp_viz.reports.export import export as write_export

    path = write_export(Run.open(run), kind, gene, output, resolution=resolution, decimals=decimals, bgzip=bgzip)
    typer.echo(f"wrote {path}")


app.command(epilog=example("figure demo/run --gene MOCK1401 -o MOCK1401.pdf"))(commands.figure)
app.command(epilog=example("report demo/run --genes MOCK1401,MOCK1402 -o report.html"))(commands.report)


@app.command(epilog=example("serve demo/run"))
def serve(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="run folders; the first is shown first")],
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="default: the first free from 8050")] = None,
    host: Annotated[str, typer.Option(help="address; any but this machine's own asks for a token")] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="open a browser window")] = True,
    url_prefix: Annotated[str | None, typer.Option(help="path below which a proxy shows the page")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SEQ2EXP_TOKEN", help="secret to ask for; default: made up")
    ] = None,
    allow: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="let the page open its tracks (BED, bigWig ...)")
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="open all runs, say what would be served, and end")
    ] = False,
):
    """Show runs in a page: masks, peaks and signals in igv.js."""
    if check_only:
        from seq2exp_viz.runs.check import check_runs
        from seq2exp_viz.serving.allowed_files import AllowedFiles

        good = check_runs(runs, typer.echo)
        if allow:
            typer.echo(f"{len(AllowedFiles(allow).files()):,} tracks in the allowed folders")
        raise typer.Exit(0 if good else 2)
    from seq2exp_viz.serve import serve as serve_runs

    serve_runs(runs, host, port, open_browser, url_prefix, token, allow=allow or ())


@app.command(epilog=example("demo demo --no-serve"))
def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="where study and runs go")],
    serve_page: Annotated[
        bool, typer.Option("--serve/--no-serve", help="show the page while and after it runs")
    ] = True,
    seed: Annotated[int, typer.Option(help="of the simulation and the training")] = 0,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="of the page")] = None,
):
    """Simulate a study with planted elements, train, score, call peaks with MACS3 and judge the mask."""
    needs_model()
    from seq2exp_viz.demo import run_demo

    run_demo(folder, seed, serve_page, port)
