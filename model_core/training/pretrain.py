"""Pre-training: the generator learns to predict the study's signals from sequence before the training of the mask.

A mask cannot find what the model has not learned. Signals are abundant and need no labels, so the sequence reader is
trained on them first, by the mean squared error of the signal at each base, on windows of the training genes that are
shifted at random, but never onto a window of a validation or test gene, or on stretches cut out of them. An encoder may
begin with words of DNA that stand where signals are high (`motif_seeds`). A predictor of blocks starts from the same
weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn

from model_core.config import TrainConfig
from model_core.errors import InputError
from model_core.files import replacing
from model_core.model.additive import AdditiveModel
from model_core.model.checkpoint import choose_device, described
from model_core.model.gene_model import GeneModel
from model_core.model.motif_encoder import STEP, MotifEncoder
from model_core.model.seq2exp import Seq2Exp
from model_core.model.stored_weights import require_fit
from model_core.model.torch_archive import TorchArchive
from model_core.progress import Job
from model_core.safetensors_header import read_header
from model_core.stopping import STOP
from model_core.study.study import Study
from model_core.training.dataset import GeneWindows
from model_core.training.motif_seeds import K, chosen_words, word_matrix, word_scores
from model_core.window import Window, promoter_slice

SAVE_SECONDS = 600.0  # between two writes of the state
CROP = 512  # bp
_SEEN = 20_000_000  # bases in which words are counted
_SEED_SMOOTHING = 51  # bp over which a signal is averaged for them
_SEED_SHARPNESS = 0.4  # of the filters, against the logarithm of the odds of their words
_SEED_THRESHOLD = 0.55  # share of a word's highest value from which on a filter answers


def pretrain(
    model: GeneModel, study: Study, genes: GeneWindows, training: TrainConfig, path: Path, device: str | None = None
) -> list[float]:
    """Train the model's sequence reader on the study's signals, in place, and save its weights.

    Parameters
    ----------
    model : GeneModel
        The model, changed in place.
    study : Study
        Its signals other than contact are predicted; windows of its validation and test genes are not read.
    genes : GeneWindows
        The training genes.
    training : TrainConfig
        Used are `pretrain_steps`, `pretrain_lr`, `batch_size`, `weight_decay`, `clip` and `seed`.
    path : Path
        File of the weights; if it exists they are read from it, so that a resumed training does not pre-train again.
        Beside it pretraining.ckpt keeps the state of a pre-training that was stopped, or is killed, and is resumed.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.

    Returns
    -------
    list[float]
        The error of each step; empty if the weights were read from `path`.

    Raises
    ------
    InputError
        The model's generator sees the signals, or the study has no signal but contact.
    """
    if model.config.backbone.generator_signals:
        expected = "a generator that reads sequence only"
        raise InputError("pre-training", found="generator_signals", expected=expected, fix="omit one of the two")
    columns = [i for i, spec in enumerate(study.signal_specs) if not spec.is_contact]
    if not columns:
        raise InputError(
            study.path, found="no signal but contact", expected="a signal to predict", fix="omit --pretrain-steps"
        )
    reader = _reader(model)
    errors = []
    if not path.exists():
        unfinished_state = path.with_name("pretraining.ckpt")
        sites = study.gene_sites()
        shifts = shift_bounds(genes.windows, sites[sites["split"].isin(("validation", "test"))])
        errors = _learn(model, genes, shifts, columns, training, choose_device(device), unfinished_state)
        weights = {f"{i}.{name}": t for i, part in enumerate(reader) for name, t in part.state_dict().items()}
        with replacing(path) as unfinished:
            save_file({name: t.detach().cpu().contiguous() for name, t in weights.items()}, unfinished)
        unfinished_state.unlink(missing_ok=True)
    wanted = {f"{i}.{name}": t for i, part in enumerate(reader) for name, t in part.state_dict().items()}
    require_fit(wanted, described(read_header(path).tensors), path, "the weights of this training's sequence reader")
    kept = load_file(path)
    for i, part in enumerate(reader):
        part.load_state_dict({name[2:]: t for name, t in kept.items() if name.startswith(f"{i}.")})
    if model.encoder is None and isinstance(model, Seq2Exp) and model.predictor is not None:
        model.predictor.load_state_dict(model.generator.state_dict())
    return errors


def _reader(model: GeneModel) -> list[nn.Module]:
    """Return the parts of a model that read sequence: its encoder, or the embedding and generator of one without."""
    if model.encoder is not None:
        return [model.encoder]
    assert isinstance(model, Seq2Exp)  # an additive model has an encoder
    return [model.sequence_embedding, model.generator]


def shift_bounds(windows: Sequence[Window], held_out: pd.DataFrame) -> np.ndarray:
    """Return how far each window may be shifted without reading more of any held-out gene's window.

    A shifted window reads no base of a held-out gene's window that it does not read unshifted, so none where the two do
    not overlap.

    Parameters
    ----------
    windows : Sequence[Window]
        N windows, all of one length.
    held_out : DataFrame
        Validation and test genes: chrom, tss. Their windows are of the same length.

    Returns
    -------
    ndarray
        int64 (N, 2): lowest shift in bp (0 or less, at least minus half the length) and the end of the range of shifts
        (1 or more, at most half the length).
    """
    places = {str(chrom): np.sort(table["tss"].to_numpy(np.int64)) for chrom, table in held_out.groupby("chrom")}
    bounds = np.empty((len(windows), 2), np.int64)
    for number, window in enumerate(windows):
        half, tss = window.length // 2, places.get(window.chrom, np.empty(0, np.int64))
        before, after = tss[tss <= window.tss], tss[tss >= window.tss]
        low = min(int(before[-1]) + window.length - window.tss, 0) if len(before) else -half
        high = max(int(after[0]) - window.length - window.tss, 0) if len(after) else half - 1
        bounds[number] = max(low, -half), max(min(high, half - 1), 0) + 1
    return bounds


def _learn(
    model: GeneModel,
    genes: GeneWindows,
    shifts: np.ndarray,
    columns: list[int],
    training: TrainConfig,
    device: torch.device,
    path: Path,
) -> list[float]:
    errors: list[float] = []
    torch.manual_seed(training.seed)
    rng = np.random.default_rng(training.seed)
    encoder, backbone = model.encoder, model.config.backbone
    width = backbone.encoder if encoder is not None else backbone.d_model
    head = nn.Linear(width, len(columns)).to(device)
    model.to(device).train()
    reader = _reader(model)
    if encoder is not None and training.motif_seeds and not path.exists():
        plant_seeds(encoder, genes, columns, training.motif_seeds)
        encoder.to(device)
    parameters = [p for part in (*reader, head) for p in part.parameters()]
    optim = torch.optim.AdamW(parameters, lr=training.pretrain_lr, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optim, training.pretrain_lr, total_steps=training.pretrain_steps)
    state = {"reader": nn.ModuleList(reader), "head": head, "optim": optim, "schedule": schedule}
    if path.exists():
        errors = _resume(path, state, rng)
    saved = time.monotonic()
    with STOP.deferred(), Job("learning signals", training.pretrain_steps, len(errors)) as job:
        for _ in range(len(errors), training.pretrain_steps):
            sequence, signals = _some(genes, shifts, training.batch_size, rng, device)
            if training.pretrain_crops:
                sequence, signals = _cut(sequence, signals, training.pretrain_crops, rng)
            target = _target(model, signals, columns)  # (B, L, columns)
            if encoder is not None:
                hidden = encoder.hidden(sequence).transpose(1, 2)  # (B, L / STEP, channels)
                target = F.avg_pool1d(target.transpose(1, 2), STEP, ceil_mode=True).transpose(1, 2)
            else:
                assert isinstance(model, Seq2Exp)
                hidden = model.read_sequence(sequence, signals)  # (B, L, d), from the sequence alone
            loss = F.mse_loss(head(hidden), target)
            optim.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, training.clip)
            optim.step()
            schedule.step()
            errors.append(loss.item())
            job.advance(note=f"error {errors[-1]:.3f}")
            if STOP.first is not None or time.monotonic() - saved > SAVE_SECONDS:
                _save(path, state, rng, errors)
                saved = time.monotonic()
                STOP.check()
    if encoder is not None:
        encoder.standardise(_some(genes, shifts, training.batch_size, rng, device)[0])
    model.cpu()
    return errors


def plant_seeds(encoder: MotifEncoder, genes: GeneWindows, columns: list[int], count: int) -> None:
    """Let the first filters of an encoder begin as the words that stand where signals are high (`motif_seeds`).

    Parameters
    ----------
    encoder : MotifEncoder
        The encoder, changed in place.
    genes : GeneWindows
        The training genes; evenly spaced ones of at most _SEEN bases are read.
    columns : list[int]
        Signals that count, each by itself; a word is as good as it is for its best signal.
    count : int
        Number of filters at most.
    """
    length = genes.windows[0].length
    chosen = np.unique(np.linspace(0, len(genes) - 1, min(len(genes), max(1, _SEEN // length))).astype(int))
    data = [genes.reader.read(genes.windows[index]) for index in chosen]
    codes = np.stack([np.where(d.sequence.any(1), d.sequence.argmax(1), 4) for d in data]).astype(np.uint8)
    counted = ~np.stack([d.blacklist for d in data])
    counted[:, promoter_slice(length, genes.promoter)] = False  # promoters are rich in G and C, whatever their motifs
    found = []
    for column in columns:
        signal = np.stack([np.log1p(np.maximum(d.signals[:, column], 0)) for d in data])
        found.append(word_scores(codes, uniform_filter1d(signal, _SEED_SMOOTHING, axis=1, mode="nearest"), counted))
    z, places = np.max([z for z, _ in found], axis=0), found[0][1]
    words = chosen_words(z, min(count, len(encoder.motifs.weight)))
    first = (encoder.motifs.kernel_size[0] - K) // 2
    bias = encoder.motifs.bias
    assert bias is not None
    with torch.no_grad():
        encoder.motifs.weight.mul_(0.5)  # the other filters, and what surrounds a word
        for number, word in enumerate(words):
            odds = _SEED_SHARPNESS * np.log(4 * word_matrix(word, z, places))  # (K, 4)
            weight = 0.3 * encoder.motifs.weight[number]
            weight[:, first : first + K] += torch.from_numpy(odds.T).to(weight)
            encoder.motifs.weight[number] = weight
            bias[number] = -_SEED_THRESHOLD * float(odds.max(axis=1).sum())


def _target(model: GeneModel, signals: Tensor, columns: list[int]) -> Tensor:
    """Return what is learned of signals (B, L, S), as (B, L, columns)."""
    return model.standardised(signals) if isinstance(model, AdditiveModel) else torch.log1p(signals[..., columns])


def _cut(sequence: Tensor, signals: Tensor, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Cut `count` random stretches of CROP bp out of windows (B, L, ...): (count, CROP, ...) each."""
    rows = rng.integers(len(sequence), size=count)
    starts = rng.integers(max(sequence.shape[1] - CROP, 0) + 1, size=count)
    pairs = list(zip(rows.tolist(), starts.tolist(), strict=True))
    cut = [torch.stack([data[row, start : start + CROP] for row, start in pairs]) for data in (sequence, signals)]
    return cut[0], cut[1]


def _save(path: Path, state: dict, rng: np.random.Generator, errors: list[float]) -> None:
    """Write all that the next steps depend on."""
    # As text: NumPy's state has numbers of 128 bits, more than `torch_archive` takes.
    drawn = {"numpy": json.dumps(rng.bit_generator.state), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        drawn["cuda"] = torch.cuda.get_rng_state_all()
    with replacing(path) as unfinished:
        torch.save({**{name: part.state_dict() for name, part in state.items()}, **drawn, "errors": errors}, unfinished)


def _resume(path: Path, state: dict, rng: np.random.Generator) -> list[float]:
    """Restore what `_save` wrote, and return the errors of the steps so far.

    Raises
    ------
    InputError
        The file is damaged, or of another pre-training.
    """
    with TorchArchive(path) as archive:  # bounds and checksums, before anything of it is loaded
        archive.check()
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in state.items():
            part.load_state_dict(kept[name])
        rng.bit_generator.state = json.loads(kept["numpy"])
        torch.set_rng_state(kept["torch"])
        if torch.cuda.is_available() and len(kept.get("cuda", ())) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(kept["cuda"])
        return [float(error) for error in kept["errors"]]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        found = f"the state of another pre-training ({type(error).__name__}: {str(error)[:100]})"
        expected, do = "what this pre-training left", f"remove {path.name} to pre-train anew"
        raise InputError(path, found=found, expected=expected, fix=do) from None


def _some(
    genes: GeneWindows, shifts: np.ndarray, count: int, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return sequences (count, L, 4) and signals (count, L, S) of random windows, each moved within its bounds."""
    data = []
    for index in rng.integers(len(genes.windows), size=count):
        window = genes.windows[index]
        size = genes.reader.genome.sizes[window.chrom]
        shift = int(rng.integers(*shifts[index].tolist()))
        data.append(genes.reader.read(window._replace(tss=min(max(window.tss + shift, 0), size - 1))))
    sequence = torch.from_numpy(np.stack([d.sequence for d in data])).to(device).float()
    return sequence, torch.from_numpy(np.stack([d.signals for d in data])).to(device)
