"""Training a study: data, run folder, bookkeeping; resumable at any time, on one process or many.

The order of the genes follows from the seed and the step alone, as do the draws (`lightning_module`). An
interrupted training goes on from its last validation.
"""

from __future__ import annotations

import csv
import logging
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from model_core.config import Seq2ExpConfig, TrainConfig
from model_core.errors import InputError
from model_core.files import replacing, write_json
from model_core.model.checkpoint import choose_device, save_checkpoint
from model_core.model.device import keep_freed_memory
from model_core.model.seq2exp import Seq2Exp
from model_core.progress import Job
from model_core.run_folder.manifest import described_file
from model_core.run_folder.run import Run
from model_core.study.check_tracks import QUANTILE_WINDOWS, signal_quantiles
from model_core.study.study import Study
from model_core.training.dataset import EndlessBatches, GeneWindows, collate, gene_windows
from model_core.training.launch import environment
from model_core.training.lightning_module import Seq2ExpModule
from model_core.training.pretrain import pretrain
from model_core.training.ranks import process_number, wait_for_first

HISTORY = ("step", "seconds", "loss", "prediction", "kl", "validation_mse", "validation_pearson")
LARGEST_KEPT = 128 << 20  # bytes of a freed block that is kept: holes of larger ones cost more than they save


class Bookkeeping(Callback):
    """Shows progress, and after each validation keeps the best weights and a line of history."""

    def __init__(self, run: Run, metadata: dict, job: Job):
        self.run, self.metadata, self.job = run, metadata, job
        self.started = time.monotonic()
        self.validated = 0  # the last step that was validated
        self._step = None
        self._note = ""

    def on_train_batch_end(self, trainer, lesson, *_) -> None:
        if self._step is not None and trainer.global_step > self._step:
            self.job.advance(trainer.global_step - self._step, self._note)
        self._step = trainer.global_step

    def on_train_start(self, trainer, lesson) -> None:
        self._step = trainer.global_step

    def on_validation_end(self, trainer, lesson) -> None:
        if trainer.sanity_checking:
            return
        self.validated = trainer.global_step
        found, terms = lesson.validation, lesson.average_terms()
        training = lesson.training_config  # under random blocks the mask has not begun to learn
        settled = trainer.global_step > min(training.block_steps, training.steps - 1)
        best = settled and found["mse"] is not None and found["mse"] < lesson.best_mse
        if best:
            lesson.best_mse = found["mse"]
        with replacing(self.run.path / "training" / "last.ckpt") if trainer.is_global_zero else nullcontext() as path:
            trainer.save_checkpoint(path, weights_only=False)
        if not trainer.is_global_zero:
            return
        if best:
            metadata = {**self.metadata, "step": trainer.global_step, "validation": found}
            save_checkpoint(self.run.path / "checkpoint.safetensors", lesson.model, metadata)
        self._note = f"validation MSE {found['mse']:.3f}" + (f", r {found['pearson']:.2f}" if found["pearson"] else "")
        row = {"step": trainer.global_step, "seconds": round(time.monotonic() - self.started, 1), **terms}
        row |= {"validation_mse": found["mse"], "validation_pearson": found["pearson"]}
        self._write_history(row)
        with SummaryWriter(self.run.path / "training" / "tensorboard") as board:
            for name in HISTORY[2:]:
                if row.get(name) is not None:
                    board.add_scalar(name, row[name], row["step"])

    def _write_history(self, row: dict) -> None:
        path = self.run.path / "training" / "history.csv"
        new = not path.exists()
        with open(path, "a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, HISTORY)
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


class DataModule(lightning.LightningDataModule):
    """Training and validation batches; each process of a training on several takes its share of every batch."""

    def __init__(self, train: GeneWindows, validation: GeneWindows, training: TrainConfig, done: int):
        super().__init__()
        self.genes, self.validation, self.training, self.done = train, validation, training, done

    def train_dataloader(self) -> DataLoader:
        training, trainer = self.training, self.trainer
        share = {"rank": trainer.global_rank, "world": trainer.world_size}
        sampler = EndlessBatches(len(self.genes), training.batch_size, training.seed, self.done, **share)
        return DataLoader(self.genes, batch_sampler=sampler, num_workers=training.workers, collate_fn=collate)

    def val_dataloader(self) -> DataLoader:
        size, workers = self.training.batch_size, self.training.workers
        return DataLoader(self.validation, batch_size=size, num_workers=workers, collate_fn=collate)


def train(
    study: Study,
    config: Seq2ExpConfig,
    training: TrainConfig,
    out: str | Path,
    device: str | None = None,
    processes: int = 1,
    nodes: int = 1,
) -> Run:
    """Train a model on a study and leave a run folder; an interrupted training of the same folder goes on.

    Parameters
    ----------
    config : Seq2ExpConfig
        What the model is; its signals are those of the study.
    training : TrainConfig
        How it is trained; `batch_size` counts the genes of a step over all processes.
    out : str or Path
        Run folder, new or of an interrupted training with the same settings.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.
    processes, nodes : int
        GPUs (or, on the CPU, processes) on each of so many hosts; torchrun and srun are recognised where they started
        as many, and nothing else of the surroundings counts (`ranks`).

    Raises
    ------
    InputError
        No labelled training or validation genes, another run in `out`, or memory that runs out.
    """
    _check_share(training, processes * nodes)
    genes = study.genes()
    parts = {name: _labelled(study, genes, name) for name in ("train", "validation")}
    scale = study.feature_scale()
    run = begin_run(study, config, training, out, processes, nodes)
    last = run.path / "training" / "last.ckpt"
    first = _steps_done(last)
    if first >= training.steps:
        return run
    for warning in study.warnings(pd.concat(parts.values())) if process_number() == 0 else ():
        print(f"warning: {warning}", file=sys.stderr)
    keep_freed_memory(LARGEST_KEPT)
    lightning.seed_everything(training.seed, verbose=False)
    model = Seq2Exp(config)
    data = {name: gene_windows(study, part, config, scale) for name, part in parts.items()}
    if training.pretrain_steps and not first:
        pretrain(model, study, data["train"], training, run.path / "training" / "pretrained.safetensors", device)
    if training.pretrain_steps and model.encoder is not None:
        model.encoder.requires_grad_(False)  # expression would only wear it down
    metadata = {
        "study": study.name,
        "signals": [{"name": signal.name, "transform": signal.transform} for signal in study.signal_specs],
        "signal_quantiles": signal_quantiles(study.signals(), study.windows(genes), QUANTILE_WINDOWS),
        "feature_scale": scale.to_dict(),
        "training": training.to_dict(),
    }
    lessons = DataModule(data["train"], data["validation"], training, first * training.accumulate)
    with Job(f"training {config.variant}", training.steps, first) as job:
        book = Bookkeeping(run, metadata, job)
        trainer = _trainer(run, config, training, choose_device(device), len(data["train"]), book, processes, nodes)
        lesson = Seq2ExpModule(model, training)
        _fit(trainer, lesson, lessons, book, last)
    if trainer.is_global_zero:
        _record(run, trainer, lesson, time.monotonic() - book.started)
    return run


def train_seeds(
    study: Study,
    config: Seq2ExpConfig,
    training: TrainConfig,
    out: str | Path,
    seeds: Sequence[int],
    device: str | None = None,
) -> list[Run]:
    """Train once for each seed into OUT/seed-N, and write OUT/seeds.json: best validation MSE, its mean and sd."""
    runs = [train(study, config, replace(training, seed=s), Path(out) / f"seed-{s}", device) for s in seeds]
    found = [run.metrics["training"]["best_validation_mse"] for run in runs]
    spread = {"mean": statistics.fmean(found), "sd": statistics.stdev(found) if len(found) > 1 else None}
    by_seed = {str(seed): mse for seed, mse in zip(seeds, found, strict=True)}
    write_json(Path(out) / "seeds.json", {"validation_mse": by_seed, **spread})
    return runs


def _fit(trainer: lightning.Trainer, lesson: Seq2ExpModule, lessons: DataModule, book: Bookkeeping, last: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")  # its advice on workers and on its own deprecations
        try:
            trainer.fit(lesson, datamodule=lessons, ckpt_path=str(last) if last.exists() else None, weights_only=True)
            if book.validated < trainer.global_step:  # the last step counts, wherever the interval ends
                trainer.validate(lesson, datamodule=lessons, verbose=False)
        except (torch.cuda.OutOfMemoryError, MemoryError):
            found = "no memory left"
            raise InputError(
                "training",
                found=found,
                expected="room for a batch",
                fix="use a smaller --batch-size, --window or --width",
            ) from None
        except SystemExit:  # Lightning's way to end on Ctrl-C
            raise KeyboardInterrupt from None


def _trainer(
    run: Run,
    config: Seq2ExpConfig,
    training: TrainConfig,
    device: torch.device,
    genes: int,
    book: Bookkeeping,
    processes: int,
    nodes: int,
) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # its banner and tips say nothing to our users
    every = max(1, round(genes / training.batch_size / training.validations_per_epoch))
    # Under a control mask, and under random blocks, the generator gets no gradient.
    idle = config.mask != "learned" or training.block_steps > 0
    many = "ddp_find_unused_parameters_true" if idle else "ddp"
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=processes if device.index is None else [device.index],
        num_nodes=nodes,
        strategy=many if processes * nodes > 1 else "auto",
        max_steps=training.steps,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=training.clip,
        precision=training.precision,
        val_check_interval=min(every, training.steps * training.accumulate),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[book],
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        plugins=[environment(processes, nodes)],
        default_root_dir=run.path / "training",
    )


def _record(run: Run, trainer: lightning.Trainer, lesson: Seq2ExpModule, seconds: float) -> None:
    """What the training took, into metrics.json; the checkpoint's hash, into the manifest."""
    device = trainer.strategy.root_device
    took = {"seconds": round(seconds, 1), "processes": trainer.world_size, "device": str(device)}
    took["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        took["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    took |= {"steps": lesson.global_step, "best_validation_mse": lesson.best_mse}
    run.write_json("metrics.json", {**run.metrics, "training": took})
    run.update(checkpoint=described_file(run.path / "checkpoint.safetensors", run.path))


def _check_share(training: TrainConfig, processes: int) -> None:
    if training.batch_size % processes:
        found = f"a batch of {training.batch_size} for {processes} processes"
        raise InputError("training", found=found, expected="the same share for each", fix="choose another --batch-size")


def _labelled(study: Study, genes, split: str):
    chosen = genes[(genes["split"] == split) & np.isfinite(genes["label"])].reset_index(drop=True)
    if chosen.empty:
        found = f"no gene with a label in the {split} split"
        raise InputError(study.name, found=found, expected="some", fix="set label and [genes.split] in study.toml")
    return chosen


def begin_run(
    study: Study,
    config: Seq2ExpConfig,
    training: TrainConfig,
    out: str | Path,
    processes: int = 1,
    nodes: int = 1,
) -> Run:
    """The run folder of a training: made, or opened where the same training was begun before.

    Parameters
    ----------
    processes, nodes : int
        That will train; all but the first wait until it is made.

    Raises
    ------
    InputError
        `out` holds a run with other settings or on another genome, or something else.
    """
    out, scale = Path(out), study.feature_scale()
    described = {"model": config.to_dict(), "training": training.to_dict(), "feature_scale": scale.to_dict()}
    wait_for_first(out / "manifest.json", processes, nodes)
    if (out / "manifest.json").exists():
        run = Run.open(out)
        before = {name: run.config.get(name) for name in described}
        if _as_json(before) != _as_json(described):
            found = "a run with other settings or another study"
            raise InputError(
                out, found=found, expected="a new folder, or the same settings to resume", fix="choose another --out"
            )
        run.require_genome(study.genome().sizes, study.genome().path)
        return run
    run = Run.create(
        out,
        kind="training",
        variant=config.variant,
        decision=config.decision_rule,
        band=config.band,
        window=config.window,
        promoter=config.promoter,
        chrom_sizes=study.genome().sizes,
        simulated=study.simulated,
        seed=training.seed,
        study=study.path,
        resolved=study.resolved(),
        blacklist=study.blacklist(),
        config=described,
    )
    (run.path / "training").mkdir(exist_ok=True)
    return run


def _as_json(value):
    if isinstance(value, dict):
        return {key: _as_json(v) for key, v in value.items()}
    return [_as_json(v) for v in value] if isinstance(value, (list, tuple)) else value


def _steps_done(last: Path) -> int:
    return torch.load(last, map_location="cpu", weights_only=True)["global_step"] if last.exists() else 0
