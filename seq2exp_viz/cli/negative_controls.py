"""The command negative-controls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2exp_viz.cli import options
from seq2exp_viz.cli.model import settings_of, warn_of_untested_gpu
from seq2exp_viz.cli.options import Device, StudyPath
from seq2exp_viz.worker.availability import require_packages

ABOUT = """\
difference: real minus control, with its 95 % interval under paired resampling of the test genes. There is one training
of each, so chance between trainings is not in the interval. Where a control does not lose what it should, the number
of the real run rests on something else."""


def negative_controls(
    study: StudyPath,
    output: Annotated[
        Path, options.output("folder with one run for each (default: negative-controls), in which one resumes")
    ] = Path("negative-controls"),
    variant: options.Variant = None,
    steps: options.Steps = None,
    batch_size: options.StepBatch = None,
    lr: options.LearningRate = None,
    warmup: options.Warmup = None,
    window: options.WindowLength = None,
    promoter: options.PromoterLength = None,
    width: options.Width = None,
    depth: options.Depth = None,
    seed: options.OptionalSeed = None,
    accumulate: options.Accumulate = None,
    precision: options.Precision = None,
    pretrain: options.PretrainSteps = None,
    blocks: options.BlockSteps = None,
    workers: options.TrainWorkers = None,
    device: Device = None,
) -> None:
    """Train a study, and again with labels, signals or sequence mixed, and report what each of these loses."""
    require_packages()
    from model_core.evaluation.lost_by_controls import sentence, three_decimals
    from model_core.negative_control import CONTROLS
    from model_core.scoring.negative_controls import TABLE
    from model_core.scoring.negative_controls import negative_controls as train_controls
    from model_core.study.study import load_study

    opened = load_study(study)
    model = {"variant": variant, "window": window, "promoter": promoter, "d_model": width, "n_layers": depth}
    training: dict[str, float | str | None]
    training = {"steps": steps, "batch_size": batch_size, "lr": lr, "warmup": warmup, "seed": seed, "workers": workers}
    training |= {"accumulate": accumulate, "precision": precision, "pretrain_steps": pretrain, "block_steps": blocks}
    config, recipe = settings_of(opened, model, training)
    warn_of_untested_gpu(device)
    table = train_controls(opened, config, recipe, output, device, lambda line: typer.echo(line, err=True))
    shown = table.drop(columns="should_lose").to_string(index=False, na_rep="", float_format=three_decimals)
    typer.echo(shown)
    for control in CONTROLS:
        typer.echo(f"{control}: {sentence(table, control)}")
    typer.echo(ABOUT)
    typer.echo(f"wrote {output / TABLE}")
