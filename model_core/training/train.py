"""Training on a study: data, run folder and records; resumable at any time, on one process or several.

The order of the genes depends only on the seed and the step, as do the draws (`lightning_module`). A training that is
stopped by Ctrl-C or SIGTERM finishes the step in hand and resumes after it; one that is killed resumes from its last
validation, or from a point at most SAVE_SECONDS and a validation ago.
"""

from __future__ import annotations

import csv
import logging
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from model_core.child import end_worker_with
from model_core.config import Seq2ExpConfig, TrainConfig
from model_core.errors import InputError
from model_core.files import json_values, replacing, write_json
from model_core.model.additive import AdditiveModel
from model_core.model.build import build_model
from model_core.model.checkpoint import choose_device, save_checkpoint
from model_core.model.device import keep_freed_memory
from model_core.progress import Job
from model_core.run_folder.manifest import described_file
from model_core.run_folder.run import Run
from model_core.run_folder.run_weights import require_unscored
from model_core.run_folder.source import new_run_of, require_same_inputs
from model_core.stopping import STOP, Terminated
from model_core.study.check_tracks import QUANTILE_WINDOWS, activity_quantiles, signal_quantiles
from model_core.study.gene_features import FeatureScale
from model_core.study.study import Study
from model_core.training.additive import begin_openness, calibrate, set_constants
from model_core.training.dataset import EndlessBatches, GeneWindows, collate
from model_core.training.last_checkpoint import step_of
from model_core.training.launch import environment, start_others
from model_core.training.lightning_module import Seq2ExpModule
from model_core.training.pretrain import pretrain
from model_core.training.ranks import process_number, wait_for_first

HISTORY = ("step", "seconds", "loss", "prediction", "kl", "validation_mse", "validation_pearson")
SAVE_SECONDS = 600.0  # between two writes of last.ckpt
START_LIMIT = timedelta(minutes=15)  # for all processes to start, and for the slowest to reach the same step
ENDED_SECONDS = 5.0  # for this process to end, where another one has
LARGEST_KEPT = 128 << 20  # bytes of the largest freed block that is kept; larger ones cost more than they save


class Bookkeeping(Callback):
    """Lightning callback that shows progress, keeps the state, and stops in order.

    After each validation it writes the best weights, the history and last.ckpt, in this order: a training that is
    killed in between validates again and writes the same. Every SAVE_SECONDS, and when a stop signal has arrived, it
    writes last.ckpt after the step in hand.
    """

    def __init__(self, run: Run, metadata: dict, job: Job):
        self.run, self.metadata, self.job = run, metadata, job
        self.started = self._saved = time.monotonic()
        self.validated = 0  # the last step that was validated
        self._step = None
        self._note = ""

    def on_train_batch_end(self, trainer, module, outputs, batch, index) -> None:
        if self._step is not None and trainer.global_step > self._step:
            self.job.advance(trainer.global_step - self._step, self._note)
        self._step = trainer.global_step
        whole_step = (index + 1) % trainer.accumulate_grad_batches == 0
        if not whole_step or (index + 1) % trainer.val_check_interval == 0:  # validated now, and saved after that
            return
        due = STOP.first is not None or time.monotonic() - self._saved > SAVE_SECONDS
        if trainer.strategy.reduce_boolean_decision(due, all=False):
            self._save(trainer)
            self._stop(trainer)

    def on_train_start(self, trainer, module) -> None:
        self._step = trainer.global_step

    def state_dict(self) -> dict:
        """Return what last.ckpt keeps: the seconds of all sessions so far, and the last step that was validated."""
        return {"seconds": time.monotonic() - self.started, "validated": self.validated}

    def load_state_dict(self, state: dict) -> None:
        self.started, self.validated = time.monotonic() - state["seconds"], state["validated"]

    def _save(self, trainer) -> None:
        with replacing(self.run.path / "training" / "last.ckpt") if trainer.is_global_zero else nullcontext() as path:
            trainer.save_checkpoint(path, weights_only=False)
        self._saved = time.monotonic()

    def _stop(self, trainer) -> None:
        """Raise the stop signal that has arrived here or in another process."""
        if trainer.strategy.reduce_boolean_decision(STOP.first is not None, all=False):
            STOP.check()
            raise Terminated  # another process was told to stop

    def on_validation_end(self, trainer, module) -> None:
        if trainer.sanity_checking:
            return
        self.validated = trainer.global_step
        found, terms = module.validation, module.average_terms()
        training = module.training_config  # under random blocks the mask is not trained yet
        settled = trainer.global_step > min(training.block_steps, training.steps - 1)
        best = settled and found["mse"] is not None and found["mse"] < module.best_mse
        if best:
            module.best_mse = found["mse"]
        if trainer.is_global_zero:
            self._write(trainer, module, best, found, terms)
        self._save(trainer)
        self._stop(trainer)

    def _write(self, trainer, module, best: bool, found: dict, terms: dict) -> None:
        if best:
            metadata = {**self.metadata, "step": trainer.global_step, "validation": found}
            save_checkpoint(self.run.path / "checkpoint.safetensors", module.model, metadata)
        self._note = f"validation MSE {found['mse']:.3f}" + (f", r {found['pearson']:.2f}" if found["pearson"] else "")
        row = {"step": trainer.global_step, "seconds": round(time.monotonic() - self.started, 1), **terms}
        row |= {"validation_mse": found["mse"], "validation_pearson": found["pearson"]}
        self._write_history(row)
        with SummaryWriter(self.run.path / "training" / "tensorboard") as board:
            for name in HISTORY[2:]:
                if row.get(name) is not None:
                    board.add_scalar(name, row[name], row["step"])

    def _write_history(self, row: dict) -> None:
        """Write a row, in place of the rows of this step and later ones that a killed training has left."""
        path = self.run.path / "training" / "history.csv"
        before = []
        if path.exists():
            with open(path, encoding="utf-8", newline="") as file:
                before = [old for old in csv.DictReader(file) if int(old["step"]) < row["step"]]
        with replacing(path) as unfinished, open(unfinished, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, HISTORY)
            writer.writeheader()
            writer.writerows(before)
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def train(
    study: Study,
    config: Seq2ExpConfig,
    training: TrainConfig,
    out: str | Path,
    device: str | None = None,
    processes: int = 1,
    nodes: int = 1,
) -> Run:
    """Train a model on a study into a run folder, or resume an interrupted training of the same folder.

    Parameters
    ----------
    study : Study
        Genes, labels, sequence and signals.
    config : Seq2ExpConfig
        Settings of the model; its signals must be those of the study.
    training : TrainConfig
        Settings of the training; `batch_size` counts the genes per step over all processes.
    out : str or Path
        Run folder: new, or of an interrupted training with the same settings.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.
    processes, nodes : int
        GPUs (on the CPU: processes) per host, and hosts. torchrun and srun are recognised if they have started as many
        processes; other variables of the environment are ignored (`ranks`).

    Returns
    -------
    Run
        The run folder, with the weights of the best validation and the metrics of the training.

    Raises
    ------
    InputError
        There are no labelled training or validation genes, `out` holds another run or one with scored genes, or memory
        runs out.

    Examples
    --------
    A tiny model, two steps:

    >>> import model_core
    >>> study = model_core.load_study("my-study")
    >>> config = study.config(window=1_000, promoter=100, d_model=8, n_layers=1)
    >>> training = study.train_config(steps=2, batch_size=1, warmup=1)
    >>> run = model_core.train(study, config, training, "trained", device="cpu")
    >>> run.checkpoint.name, run.manifest["kind"]
    ('checkpoint.safetensors', 'training')
    """
    if training.batch_size % (processes * nodes):
        found = f"a batch of {training.batch_size} for {processes * nodes} processes"
        raise InputError(
            "training", found=found, expected="the same number of genes for each", fix="choose another --batch-size"
        )
    _require_labels(study)
    genes = study.genes()
    labelled = genes[np.isfinite(genes["label"])]
    parts = {name: labelled[labelled["split"] == name].reset_index(drop=True) for name in ("train", "validation")}
    scale = study.feature_scale()
    run = begin_run(study, config, training, out, processes, nodes)
    with run.writing() if process_number(processes, nodes) == 0 else nullcontext():
        return _fit(run, study, config, training, genes, parts, scale, device, processes, nodes)


def _require_labels(study: Study) -> None:
    """Raise InputError unless genes to train on and to validate with have labels; features are not computed for it."""
    sites = study.gene_sites()
    labelled = sites[np.isfinite(sites["label"])]
    lacking = [name for name in ("train", "validation") if not (labelled["split"] == name).any()]
    if not lacking:
        return
    found = f"no gene with a label in the split{'s' if len(lacking) > 1 else ''} {' and '.join(lacking)}"
    if study.gene_settings.label is None:
        found = f"no measured expression to train on: {found}"
        fix = (
            "write the study with a gene quantification of ENCODE (seq2exp-viz init FOLDER --preset NAME --expression "
            "ACCESSION), or name your own as table, label and label_transform under [genes]"
        )
        fix += "; name validation chromosomes under [genes.split]" if not study.gene_settings.split.validation else ""
    else:
        fix = "set label and [genes.split] in study.toml"
    raise InputError(study.path, found=found, expected="at least one labelled gene in each", fix=fix)


def _fit(
    run: Run,
    study: Study,
    config: Seq2ExpConfig,
    training: TrainConfig,
    genes: pd.DataFrame,
    parts: dict[str, pd.DataFrame],
    scale: FeatureScale,
    device: str | None,
    processes: int,
    nodes: int,
) -> Run:
    """Train, or resume, in a run folder of which the first process holds the lock."""
    last = run.path / "training" / "last.ckpt"
    first = step_of(last, config, training)
    if first >= training.steps and run.manifest["checkpoint"] is not None:
        return run
    require_unscored(run)
    for warning in study.warnings(pd.concat(parts.values())) if process_number() == 0 else ():
        print(f"warning: {warning}", file=sys.stderr)
    keep_freed_memory(LARGEST_KEPT)
    lightning.seed_everything(training.seed, verbose=False)
    model = build_model(config)
    data = {name: GeneWindows(study, part, config, scale) for name, part in parts.items()}
    if isinstance(model, AdditiveModel):
        set_constants(model, study, data["train"])
    if training.pretrain_steps and not first:
        pretrain(model, study, data["train"], training, run.path / "training" / "pretrained.safetensors", device)
    if isinstance(model, AdditiveModel) and training.pretrain_steps and not first:
        begin_openness(model, data["train"])
    if training.pretrain_steps and model.encoder is not None:
        model.encoder.requires_grad_(False)  # training on expression would degrade it
    metadata = _checkpoint_metadata(study, genes, scale, training)
    settings: dict[str, Any] = {"num_workers": training.workers, "collate_fn": collate}
    settings["worker_init_fn"] = partial(end_worker_with, os.getpid())
    order = EndlessBatches(len(data["train"]), training.batch_size, training.seed, first * training.accumulate)
    batches = DataLoader(data["train"], batch_sampler=order, **settings)
    validation = DataLoader(data["validation"], batch_size=training.batch_size, **settings)
    with STOP.deferred(), Job(f"training {config.variant}", training.steps, first) as job, _as_user_errors():
        book = Bookkeeping(run, metadata, job)
        surroundings = environment(processes, nodes)
        on = choose_device(device)
        trainer = _trainer(run, config, training, on, len(data["train"]), book, processes, nodes, surroundings)
        # Lightning's handler of SIGTERM ends without last.ckpt, and may wait for the other processes inside a signal.
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]  # no setting
        module = Seq2ExpModule(model, training)
        resumed = str(last) if last.exists() else None
        with start_others(surroundings).together(ENDED_SECONDS):
            trainer.fit(module, batches, validation, ckpt_path=resumed, weights_only=True)
            if book.validated < trainer.global_step:  # the last step is validated too, wherever the interval ends
                trainer.validate(module, validation, verbose=False)
    if trainer.is_global_zero:
        if isinstance(model, AdditiveModel):
            calibrate(run, validation, data["train"], training.seed)
        _record(run, trainer, module, time.monotonic() - book.started)
    return run


def train_seeds(
    study: Study,
    config: Seq2ExpConfig,
    training: TrainConfig,
    out: str | Path,
    seeds: Sequence[int],
    device: str | None = None,
) -> list[Run]:
    """Train once per seed into OUT/seed-N and write OUT/seeds.json: best validation MSE of each, their mean and sd."""
    runs = [train(study, config, replace(training, seed=s), Path(out) / f"seed-{s}", device) for s in seeds]
    found = [run.metrics["training"]["best_validation_mse"] for run in runs]
    spread = {"mean": statistics.fmean(found), "sd": statistics.stdev(found) if len(found) > 1 else None}
    by_seed = {str(seed): mse for seed, mse in zip(seeds, found, strict=True)}
    write_json(Path(out) / "seeds.json", {"validation_mse": by_seed, **spread})
    return runs


def _checkpoint_metadata(study: Study, genes: pd.DataFrame, scale: FeatureScale, training: TrainConfig) -> dict:
    """Return the metadata of a checkpoint: what scoring compares a study with, and the settings of the training."""
    return {
        "study": study.name,
        "signals": [{"name": signal.name, "transform": signal.transform} for signal in study.signal_specs],
        "signal_quantiles": signal_quantiles(study.signals(), study.windows(genes), QUANTILE_WINDOWS),
        "promoter_activity_quantiles": activity_quantiles(genes["PROMOTERACTIVITY"]),
        "feature_scale": scale.to_dict(),
        "training": training.to_dict(),
        "trained": _trained(study, genes),
    }


def _trained(study: Study, genes: pd.DataFrame) -> dict[str, Any]:
    """Return what a run that is scored with the checkpoint records of it (`manifest.ModelSource`).

    The chromosomes of its genes are told where no gene on them is held out; else no gene is known by its chromosome.
    """
    used = genes["split"].isin(("train", "validation")) & np.isfinite(genes["label"])
    chroms = set(genes["chrom"][used])
    whole = chroms.isdisjoint(genes["chrom"][~used & np.isfinite(genes["label"])])
    cells = {"cell_type": study.cell_type} if study.cell_type else {}
    words = f"{study.cell_type or 'unstated cells'}, study {study.name}"
    cells |= {"control": study.control} if study.control else {}
    return {**cells, "trained_on": words, **({"training_chromosomes": sorted(chroms)} if whole else {})}


@contextmanager
def _as_user_errors() -> Iterator[None]:
    """Raise errors that the user can act on, and suppress Lightning's advice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")  # its advice on workers and on its own deprecations
        try:
            yield
        except (torch.cuda.OutOfMemoryError, MemoryError):
            do = "use a smaller --batch-size, --window or --width"
            raise InputError("training", found="out of memory", expected="memory for a batch", fix=do) from None
        except SystemExit as end:  # Lightning's way to end on Ctrl-C and SIGTERM
            raise end.__context__ if isinstance(end.__context__, KeyboardInterrupt) else KeyboardInterrupt from None
        except torch.distributed.DistError as problem:
            do = "see why that process has ended, then run the same command again to resume"
            found = str(problem).splitlines()[0]
            raise InputError("the processes that train together", found=found, expected="all", fix=do) from None


def _trainer(
    run: Run,
    config: Seq2ExpConfig,
    training: TrainConfig,
    device: torch.device,
    genes: int,
    book: Bookkeeping,
    processes: int,
    nodes: int,
    surroundings: ClusterEnvironment,
) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # its banner and tips do not help our users
    every = max(1, round(genes / training.batch_size / training.validations_per_epoch))
    # Under a control mask, and under random blocks, the generator gets no gradient.
    idle = config.mask.kind != "learned" or training.block_steps > 0
    many = DDPStrategy(find_unused_parameters=idle, timeout=START_LIMIT)
    precision: Any = training.precision  # one of the names that Lightning checks
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=processes if device.index is None else [device.index],
        num_nodes=nodes,
        strategy=many if processes * nodes > 1 else "auto",
        max_steps=training.steps,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=training.clip,
        precision=precision,
        val_check_interval=min(every, training.steps * training.accumulate),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[book],
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        plugins=[surroundings],
        default_root_dir=run.path / "training",
    )


def _record(run: Run, trainer: lightning.Trainer, module: Seq2ExpModule, seconds: float) -> None:
    """Write the cost of the training into metrics.json, and the checkpoint's hash into the manifest."""
    device = trainer.strategy.root_device
    took = {"seconds": round(seconds, 1), "processes": trainer.world_size, "device": str(device)}
    took["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        took["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    took |= {"steps": module.global_step, "best_validation_mse": module.best_mse}
    run.write_json("metrics.json", {**run.metrics, "training": took})
    run.update(checkpoint=described_file(run.path / "checkpoint.safetensors", run.path))


def begin_run(
    study: Study,
    config: Seq2ExpConfig,
    training: TrainConfig,
    out: str | Path,
    processes: int = 1,
    nodes: int = 1,
) -> Run:
    """Return the run folder of a training: new, or the one in which the same training was started before.

    Parameters
    ----------
    study : Study
        The study to train on.
    config : Seq2ExpConfig
        Settings of the model.
    training : TrainConfig
        Settings of the training.
    out : str or Path
        The run folder.
    processes, nodes : int
        Processes per host, and hosts; all but the first process wait until it has created the folder.

    Raises
    ------
    InputError
        `out` holds a run with other settings or on another genome, or something else.
    """
    out, scale = Path(out), study.feature_scale()
    described = {"training": training.to_dict(), "feature_scale": scale.to_dict()}
    wait_for_first(out / "manifest.json", processes, nodes)
    if (out / "manifest.json").exists():
        run = Run.open(out)
        before = {name: run.config.get(name) for name in described}
        if run.model_config != config or json_values(before) != json_values(described):
            found = "a run with other settings or another study"
            raise InputError(
                out, found=found, expected="a new folder, or the same settings to resume", fix="choose another --output"
            )
        require_same_inputs(run, study)
        return run
    described = {"model": config.to_dict(), **described}
    run = new_run_of(study, config, out, kind="training", seed=training.seed, config=described)
    (run.path / "training").mkdir(exist_ok=True)
    return run
