"""The Lightning module of a training: the model with its loss, optimiser and schedule.

AdamW whose weight decay, as in the release, also reaches norm gains and the position embedding but not biases, A_log
and D (docs/method.md, difference 13); linear warm-up, then a cosine. Each draw of z depends only on the seed and
the step, so a training that is interrupted and resumed ends with the same weights as one that is not.
"""

from __future__ import annotations

import math

import lightning
import torch
import torch.nn.functional as F

from model_core.config import TrainConfig
from model_core.errors import InputError
from model_core.model import mask as masks
from model_core.model.gene_model import GeneModel, TrainingBatch
from model_core.run_folder.metrics import prediction_metrics
from model_core.training.bootstrap import drawn
from model_core.training.dataset import Batch

NO_DECAY = ("bias", "A_log", ".D")


def learning_rate(step: int, training: TrainConfig) -> float:
    """Return the learning rate of a step: linear from lr_start to lr over `warmup`, then a cosine to lr_end at `steps`.

    The steps with random-block masks and those after them have separate schedules.
    """
    first, last = (0, training.block_steps) if step < training.block_steps else (training.block_steps, training.steps)
    step, steps, warmup = step - first, last - first, min(training.warmup, (last - first) // 2)
    if step < warmup:
        return training.lr_start + (training.lr - training.lr_start) * step / warmup
    way = min(1.0, (step - warmup) / max(1, steps - warmup))
    return training.lr_end + (training.lr - training.lr_end) * (1 + math.cos(math.pi * way)) / 2


def optimiser(model: torch.nn.Module, training: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW with the release's weight decay groups."""
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


def as_training_batch(batch: Batch) -> TrainingBatch:
    """Return a batch of the study as a model is trained on it."""
    inputs = batch.signals, batch.gene_features, batch.blacklist, batch.peaks, batch.label
    return TrainingBatch(batch.sequence.float(), *inputs)


class Seq2ExpModule(lightning.LightningModule):
    """Model, loss, optimiser and schedule in the form that Lightning expects."""

    def __init__(self, model: GeneModel, training: TrainConfig):
        super().__init__()
        self.model, self.training_config = model, training
        self.best_mse = math.inf
        self._terms: list[dict] = []

    def on_train_batch_start(self, batch, index) -> None:
        # The draws of a step depend on the step alone, so that a resumed training repeats them.
        torch.manual_seed(hash((self.training_config.seed, self.global_step, index, self.global_rank)) % 2**63)

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        if self.global_step < self.training_config.block_steps:
            terms = self._under_blocks(batch)
        else:
            members, seed = self.model.config.predictor.members, self.training_config.seed
            weights = drawn(batch.rows.tolist(), members, seed).to(batch.label)
            sample = not self.training_config.mean_z
            terms = self.model.training_terms(as_training_batch(batch), weights, sample)
        if not torch.isfinite(terms["loss"]):
            found = f"a loss of {terms['loss'].item()} at step {self.global_step}"
            raise InputError(
                "training", found=found, expected="a number", fix="use a lower learning rate, or check the signals"
            )
        self._terms.append({name: term.detach() for name, term in terms.items()})
        return terms["loss"]

    def _under_blocks(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss under random-block masks, which train the predictor to work without parts of the window."""
        blocks = masks.random_blocks(*batch.blacklist.shape).to(batch.signals)
        blocks = masks.force(blocks, batch.blacklist, self.model.config.promoter_in(blocks.shape[1]))
        predicted = self.model.predict(batch.sequence.float(), batch.signals, batch.gene_features, blocks)
        loss = F.smooth_l1_loss(predicted, batch.label)
        return {"prediction": loss, "kl": torch.zeros_like(loss), "loss": loss}

    def validation_step(self, batch: Batch, index: int) -> None:
        inputs = batch.sequence.float(), batch.signals, batch.gene_features, batch.blacklist
        out = self.model(*inputs, sample=False, peaks=batch.peaks)
        self._seen.append((batch.label.cpu(), out.expression.float().cpu()))

    def on_validation_epoch_start(self) -> None:
        self._seen: list = []

    def on_validation_epoch_end(self) -> None:
        # Every process sees all validation genes, so that all agree on the best step without communication.
        observed, predicted = (torch.cat(part).numpy() for part in zip(*self._seen, strict=True))
        self.validation = prediction_metrics(observed, predicted)

    def average_terms(self) -> dict[str, float]:
        """Return the mean of each loss term since the last call, over all processes."""
        terms, self._terms = self._terms, []
        if not terms:
            return {}
        means = torch.stack([torch.stack(list(t.values())).to(self.device) for t in terms]).mean(0)  # (terms,)
        means = self.trainer.strategy.reduce(means, reduce_op="mean")
        return dict(zip(terms[0], means.tolist(), strict=True))

    def configure_optimizers(self):
        optim = optimiser(self.model, self.training_config)
        base = self.training_config.lr
        schedule = torch.optim.lr_scheduler.LambdaLR(optim, lambda s: learning_rate(s, self.training_config) / base)
        return {"optimizer": optim, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["best_mse"] = self.best_mse
        checkpoint["terms"] = {}
        if self._terms:  # of the steps since the last validation, from all processes: (world, steps)
            columns = {name: torch.stack([t[name].to(self.device) for t in self._terms]) for name in self._terms[0]}
            gather, steps = self.trainer.strategy.all_gather, len(self._terms)
            checkpoint["terms"] = {name: gather(column).reshape(-1, steps).cpu() for name, column in columns.items()}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.best_mse = checkpoint["best_mse"]
        kept = checkpoint.get("terms") or {}
        mine = {name: column[min(self.global_rank, len(column) - 1)] for name, column in kept.items()}
        self._terms = [dict(zip(mine, step, strict=True)) for step in zip(*mine.values(), strict=True)]
