"""Training: the paper's loss, optimiser and schedule, best weights by validation error, resumable at any time.

AdamW whose weight decay, as in the release, also reaches norm gains and the position embedding but not biases, A_log
and D (docs/method.md, difference 13); linear warm-up, then a cosine. The order of the genes and each draw of z follow
from the seed and the step alone, so a training that was stopped and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import csv
import logging
import math
import time
import warnings
from contextlib import nullcontext
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from model_core.atomic import replacing
from model_core.config import Seq2ExpConfig, TrainConfig
from model_core.errors import InputError, complaint
from model_core.evidence.metrics import prediction_metrics
from model_core.inputs.genes import FeatureScale
from model_core.inputs.study import Study
from model_core.inputs.track_checks import QUANTILE_WINDOWS, signal_quantiles
from model_core.network import mask as masks
from model_core.network.checkpoint import choose_device, save_checkpoint
from model_core.network.dataset import Batch, EndlessBatches, batches, collate, gene_windows
from model_core.network.model import Output, Seq2Exp, loss_terms
from model_core.outputs.run import Run
from model_core.progress import Job

NO_DECAY = ("bias", "A_log", ".D")
HISTORY = ("step", "seconds", "loss", "prediction", "kl", "validation_mse", "validation_pearson")


def learning_rate(step: int, training: TrainConfig) -> float:
    """The learning rate of a step: linear from lr_start to lr over `warmup`, then a cosine to lr_end at `steps`."""
    if step < training.warmup:
        return training.lr_start + (training.lr - training.lr_start) * step / training.warmup
    way = min(1.0, (step - training.warmup) / max(1, training.steps - training.warmup))
    return training.lr_end + (training.lr - training.lr_end) * (1 + math.cos(math.pi * way)) / 2


def optimiser(model: torch.nn.Module, training: TrainConfig) -> torch.optim.AdamW:
    """AdamW with the release's weight decay groups."""
    groups: dict[bool, list] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[not name.endswith(NO_DECAY)].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": training.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=training.lr,
        betas=training.betas,
    )


class Lesson(lightning.LightningModule):
    """The model with its loss, optimiser and schedule, as Lightning wants it."""

    def __init__(self, model: Seq2Exp, training: TrainConfig):
        super().__init__()
        self.model, self.training_config = model, training
        self.best_mse = math.inf
        self._terms: list[dict] = []

    def see(self, batch: Batch, sample: bool, keep: torch.Tensor | None = None) -> Output:
        """The model's output for a batch; `keep` as in `Seq2Exp.forward`."""
        return self.model(
            batch.sequence.float(), batch.signals, batch.gene_features, batch.blacklist, sample, keep, batch.peaks
        )

    def on_train_batch_start(self, batch, index) -> None:
        # The draws of a step follow from the step alone, so that a resumed training repeats them.
        torch.manual_seed(hash((self.training_config.seed, self.global_step, index, self.global_rank)) % 2**63)

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        out = self.see(batch, not self.training_config.mean_z, self._blocks(batch))
        terms = loss_terms(out, batch.label, self.model.config)
        if not torch.isfinite(terms["loss"]):
            found = f"a loss of {terms['loss'].item()} at step {self.global_step}"
            raise InputError(complaint("training", found, "a number", "lower the learning rate or check the signals"))
        self._terms.append({name: term.detach() for name, term in terms.items()})
        return terms["loss"]

    def _blocks(self, batch: Batch) -> torch.Tensor | None:
        """Random-block masks in the first `block_steps`: the predictor learns to do without any part of the window."""
        if self.global_step >= self.training_config.block_steps:
            return None
        blocks = masks.random_blocks(*batch.blacklist.shape).to(batch.signals)
        return masks.force(blocks, batch.blacklist, self.model.config.promoter_in(blocks.shape[1]))

    def validation_step(self, batch: Batch, index: int) -> None:
        self._seen.append((batch.label.cpu(), self.see(batch, sample=False).expression.float().cpu()))

    def on_validation_epoch_start(self) -> None:
        self._seen: list = []

    def on_validation_epoch_end(self) -> None:
        seen = self.all_gather(torch.stack([torch.cat(part) for part in zip(*self._seen, strict=True)]).to(self.device))
        observed, predicted = seen.cpu().movedim(-2, 0).reshape(2, -1).numpy()
        self.validation = prediction_metrics(observed, predicted)

    def average_terms(self) -> dict[str, float]:
        """Mean of each loss term since this was last asked."""
        terms, self._terms = self._terms, []
        return {name: float(torch.stack([t[name] for t in terms]).mean()) for name in terms[0]} if terms else {}

    def configure_optimizers(self):
        optim = optimiser(self.model, self.training_config)
        base = self.training_config.lr
        schedule = torch.optim.lr_scheduler.LambdaLR(optim, lambda s: learning_rate(s, self.training_config) / base)
        return {"optimizer": optim, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["best_mse"] = self.best_mse

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.best_mse = checkpoint["best_mse"]


class Bookkeeping(Callback):
    """Shows progress, and after each validation keeps the best weights and a line of history."""

    def __init__(self, run: Run, metadata: dict, job: Job):
        self.run, self.metadata, self.job = run, metadata, job
        self.started = time.monotonic()
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
        found, terms = lesson.validation, lesson.average_terms()
        best = found["mse"] is not None and found["mse"] < lesson.best_mse
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

    def _write_history(self, row: dict) -> None:
        path = self.run.path / "training" / "history.csv"
        new = not path.exists()
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, HISTORY)
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def train(
    study: Study, config: Seq2ExpConfig, training: TrainConfig, out: str | Path, device: str | None = None
) -> Run:
    """Train a model on a study and leave a run folder; an interrupted training of the same folder goes on.

    Args:
        config: what the model is; its signals are those of the study.
        training: how it is trained.
        out: run folder, new or of an interrupted training with the same settings.
        device: "cpu", "cuda" or None = the GPU if there is one.

    Raises:
        InputError: no labelled training or validation genes, another run in `out`, or memory that runs out.
    """
    genes = study.genes()
    parts = {name: _labelled(study, genes, name) for name in ("train", "validation")}
    scale = study.feature_scale()
    run = _open_or_create(study, config, training, scale, Path(out))
    last = run.path / "training" / "last.ckpt"
    first = _steps_done(last)
    lightning.seed_everything(training.seed, verbose=False)
    model = Seq2Exp(config)
    if first >= training.steps:
        return run
    data = {name: gene_windows(study, part, config, scale) for name, part in parts.items()}
    sampler = EndlessBatches(len(data["train"]), training.batch_size, training.seed, first * training.accumulate)
    stream = DataLoader(data["train"], batch_sampler=sampler, num_workers=training.workers, collate_fn=collate)
    metadata = {
        "study": study.name,
        "signals": [{"name": signal.name, "transform": signal.transform} for signal in study.signal_specs],
        "signal_quantiles": signal_quantiles(study.signals(), study.windows(genes), QUANTILE_WINDOWS),
        "feature_scale": scale.to_dict(),
        "training": training.to_dict(),
    }
    with Job(f"training {config.variant}", training.steps, first) as job:
        trainer = _trainer(run, training, choose_device(device), len(data["train"]), Bookkeeping(run, metadata, job))
        _fit(trainer, Lesson(model, training), stream, batches(data["validation"], training.batch_size), last)
    return run


def _fit(trainer, lesson: Lesson, stream: DataLoader, validation: DataLoader, last: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")  # its advice on workers and on its own deprecations
        try:
            trainer.fit(lesson, stream, validation, ckpt_path=str(last) if last.exists() else None, weights_only=True)
        except (torch.cuda.OutOfMemoryError, MemoryError):
            found = "no memory left"
            raise InputError(
                complaint("training", found, "room for a batch", "use a smaller --batch-size, --window or --width")
            ) from None


def _trainer(run: Run, training: TrainConfig, device: torch.device, genes: int, book: Bookkeeping):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # its banner and tips say nothing to our users
    batches_in_all = training.steps * training.accumulate
    wanted = max(1, round(genes / training.batch_size / training.validations_per_epoch))
    every = math.ceil(batches_in_all / max(1, round(batches_in_all / wanted)))  # so that the last step is validated
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1 if device.index is None else [device.index],
        max_steps=training.steps,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=training.clip,
        precision=training.precision,
        val_check_interval=every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[book],
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=run.path / "training",
    )


def _labelled(study: Study, genes, split: str):
    chosen = genes[(genes["split"] == split) & np.isfinite(genes["label"])].reset_index(drop=True)
    if chosen.empty:
        found = f"no gene with a label in the {split} split"
        raise InputError(complaint(study.name, found, "some", "set label and [genes.split] in study.toml"))
    return chosen


def _open_or_create(study: Study, config: Seq2ExpConfig, training: TrainConfig, scale: FeatureScale, out: Path) -> Run:
    described = {"model": config.to_dict(), "training": training.to_dict(), "feature_scale": scale.to_dict()}
    if (out / "manifest.json").exists():
        run = Run.open(out)
        before = {name: run.config.get(name) for name in described}
        if _as_json(before) != _as_json(described):
            found = "a run with other settings or another study"
            raise InputError(
                complaint(out, found, "a new folder, or the same settings to resume", "choose another --out")
            )
        return run
    run = Run.create(
        out,
        kind="training",
        variant=config.variant,
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
