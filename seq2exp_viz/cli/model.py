"""Commands that run the model: train, score, convert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from model_core.config import causal_stages
from model_core.errors import InputError
from seq2exp_viz.cli import options
from seq2exp_viz.cli.options import AllGenes, Device, Genes, Nodes, Processes, RunPath, StudyPath
from seq2exp_viz.worker.availability import require_packages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model_core.config import Seq2ExpConfig, TrainConfig
    from model_core.datasets.known_models import ModelFile
    from model_core.study.study import Study


def warn_of_untested_gpu(device: str | None, processes: int = 1, nodes: int = 1) -> None:
    """Print a note where the model will run on a GPU that has not passed its self-test."""
    from model_core.model.checkpoint import choose_device
    from model_core.model.device import untested_words
    from model_core.training.ranks import process_number

    if process_number(processes, nodes) == 0 and (words := untested_words(choose_device(device))):
        typer.echo(f"note: {words}", err=True)


def train(
    study: StudyPath,
    output: Annotated[Path, options.output("run folder, in which an interrupted training is resumed")],
    variant: options.Variant = "soft",
    mask: Annotated[
        str,
        typer.Option(
            help="mask that the predictor uses: learned, the highest share of it (top:10%), "
            "or a control (promoter, random, signal, macs3)"
        ),
    ] = "learned",
    steps: options.Steps = None,
    batch_size: options.StepBatch = None,
    lr: options.LearningRate = None,
    warmup: options.Warmup = None,
    window: options.WindowLength = None,
    promoter: options.PromoterLength = None,
    width: options.Width = None,
    depth: options.Depth = None,
    members: options.Members = None,
    seed: options.OptionalSeed = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="2,22,222", help="comma-separated random seeds; one training for each, with mean and sd"),
    ] = None,
    accumulate: options.Accumulate = None,
    precision: options.Precision = None,
    pretrain: options.PretrainSteps = None,
    blocks: options.BlockSteps = None,
    processes: Processes = 1,
    nodes: Nodes = 1,
    workers: options.TrainWorkers = None,
    device: Device = None,
) -> None:
    """Train a model on a study. Settings that are not given come from study.toml, then from the paper."""
    require_packages()
    from model_core.study.study import load_study
    from model_core.training.train import train as train_model
    from model_core.training.train import train_seeds

    opened = load_study(study)
    model = {"variant": variant, "window": window, "promoter": promoter, "d_model": width, "n_layers": depth}
    model["members"] = members
    model |= options.mask_settings(mask)
    training: dict[str, float | str | None]
    training = {"steps": steps, "batch_size": batch_size, "lr": lr, "warmup": warmup, "seed": seed, "workers": workers}
    training |= {"accumulate": accumulate, "precision": precision, "pretrain_steps": pretrain, "block_steps": blocks}
    config, recipe = settings_of(opened, model, training)
    warn_of_untested_gpu(device, processes, nodes)
    if seeds is not None:
        runs = train_seeds(opened, config, recipe, output, options.parse_seeds(seeds), device)
        typer.echo(f"trained {len(runs)} models; {(output / 'seeds.json').read_text(encoding='utf-8')}")
        return
    run = train_model(opened, config, recipe, output, device, processes, nodes)
    typer.echo(f"trained {run.path}; next: seq2exp-viz score {run.path}")


def settings_of(
    study: Study, model: Mapping[str, Any], training: Mapping[str, Any]
) -> tuple[Seq2ExpConfig, TrainConfig]:
    """Return the settings of model and training: those of options that were given, the study's, the variant's.

    Parameters
    ----------
    study : Study
        The study.
    model, training : Mapping[str, Any]
        Settings by flat name; None where an option was not given.
    """
    config = study.config(**{k: v for k, v in model.items() if v is not None})
    given = {k: v for k, v in training.items() if v is not None}
    recipe = study.train_config(**given)
    if config.variant == "causal":
        recipe = study.train_config(**{**causal_stages(recipe.steps), **study.training, **given})
    return config, recipe


def _model(text: str) -> ModelFile:
    """Return a model that is given by name, address or path, and say where it is from."""
    from model_core.datasets.known_models import model_file

    model = model_file(text)
    if model.revision is not None:
        typer.echo(f"model {model.source}\nsha256 {model.sha256}")
    if model.trained_on:
        typer.echo(f"trained on {model.trained_on}")
    return model


def score(
    run: RunPath,
    checkpoint: Annotated[str | None, options.model("RUN is created; requires --study")] = None,
    study: Annotated[Path | None, typer.Option(help="study whose genes are scored; with --checkpoint")] = None,
    resolution: Annotated[int, options.resolution("for stored masks, with --checkpoint")] = 1,
    genes: Genes = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="CHROM:POS:STRAND", help="position, 1-based (strand defaults to +); repeatable"),
    ] = None,
    chrom: Annotated[str | None, typer.Option(help="chromosome whose genes are all scored")] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option(help="split whose genes are all scored")
    ] = None,
    all_genes: AllGenes = False,
    batch_size: Annotated[int, options.batch_size("predicted at once")] = 1,
    workers: Annotated[int | None, options.workers("by default 0 on a CPU, up to 8 on a GPU")] = None,
    processes: Processes = 1,
    nodes: Nodes = 1,
    dry_run: Annotated[bool, options.dry_run("estimates windows, disk space and time")] = False,
    device: Device = None,
) -> None:
    """Score genes and write masks, predictions, elements and tracks to a run. Default: the genes of the test split."""
    require_packages()
    from model_core.places import ContigNames, parse_site
    from model_core.run_folder.notes import notes_of
    from model_core.run_folder.run import Run
    from model_core.run_folder.run_weights import weights_of
    from model_core.run_folder.source import study_of
    from model_core.scoring.estimate import estimate
    from model_core.scoring.score import choose_genes, run_for, with_features
    from model_core.scoring.score import score as score_genes
    from model_core.study.study import load_study
    from model_core.training.ranks import process_number

    if checkpoint is None:
        opened = Run.open(run)
        source = study_of(opened)
    elif study is None:
        raise InputError(
            "score", found="--checkpoint without --study", expected="a study to score", fix="add --study study.toml"
        )
    else:
        source = load_study(study)
    given = None if checkpoint is None else _model(checkpoint)
    weights = None if given is None else given.path
    contigs = ContigNames(source.genome().sizes)
    sites = [parse_site(text, contigs) for text in at or []]
    if chrom is not None:
        chrom = contigs.find(chrom) or chrom
    chosen = choose_genes(source.gene_sites(), options.gene_names(genes), sites, chrom, all_genes, split)
    chosen = with_features(source, chosen)
    if dry_run:
        settings: dict[str, Any] = {"resolution": resolution, "batch_size": batch_size, "workers": workers}
        read = weights or weights_of(opened)[0]
        typer.echo(estimate(source, chosen, read, run, device, processes=processes * nodes, **settings).text())
        return
    warn_of_untested_gpu(device, processes, nodes)
    if weights is not None:
        opened = run_for(source, weights, run, resolution, processes, nodes, given)
        model = opened.model_config
        if model is not None and process_number(processes, nodes) == 0:
            width = model.backbone.d_model
            typer.echo(f"{checkpoint}: a {model.variant} model, {model.window:,} bp, width {width}")
    before = opened.manifest["element_rule"]
    score_genes(opened, source, chosen, weights, device, batch_size, workers, processes, nodes)
    if process_number(processes, nodes) > 0:
        return  # the first process of several reports
    counts = opened.metrics["counts"]
    typer.echo(f"{len(opened.scored):,} genes scored, {counts['elements']:,} elements in {opened.path}")
    rule = opened.manifest["element_rule"]
    if rule["kept_target"]:
        typer.echo(f"threshold {rule['threshold']:.4f}, which keeps {rule['kept_target']:.0%} of the scored bases")
    if before and before["threshold"] != rule["threshold"]:
        typer.echo(
            f"the threshold was {before['threshold']:.4f} with fewer genes; the elements of all genes were cut again"
        )
    for note in notes_of(opened):
        typer.echo(f"note: {note.text}")
    typer.echo(f"next: seq2exp-viz serve {opened.path}")


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="checkpoint to read: .safetensors, or the authors' .ckpt")
    ],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="file to write; format is chosen by the extension")],
) -> None:
    """Convert a checkpoint of the authors (.ckpt) to .safetensors or back; the weights do not change."""
    require_packages()
    from model_core.model.checkpoint import convert as convert_checkpoint

    config = convert_checkpoint(source, target).config
    typer.echo(f"wrote {target}: a {config.variant} model, {config.window:,} bp, width {config.backbone.d_model}")
