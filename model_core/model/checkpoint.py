"""Checkpoints: ours (safetensors with the configuration inside) and the authors' (Lightning .ckpt), read safely.

A file is described first: its header, its settings, and the names, shapes and types of its tensors. Only where these
fit each other is memory taken for the model, which is then as large as the file says and as the file is.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.files import replacing
from model_core.model.gene_model import GeneModel
from model_core.model.released_checkpoint import load_released
from model_core.model.released_export import their_hyper_parameters, their_state
from model_core.model.stored_weights import described_model, filled, in_words, require_fit
from model_core.safetensors_header import StoredArray, read_header
from model_core.settings import shown

FORMAT = "seq2exp-viz checkpoint 1"
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_OTHER_DTYPE = torch.uint8  # of what no parameter has, which is then refused by its type


def choose_device(device: str | None) -> torch.device:
    """Return the named device, or for None the GPU if there is one, else the CPU.

    Parameters
    ----------
    device : str or None
        "cpu", "cuda", "cuda:0" or None.

    Raises
    ------
    InputError
        A GPU is named and there is none, or PyTorch does not know the name.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError("device", found=repr(device), expected="cpu, cuda or cuda:0", fix="correct --device") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError("device", found="no CUDA device", expected="a GPU that PyTorch sees", fix="use --device cpu")
    return chosen


def load_checkpoint(path: str | Path, device: str | None = None) -> GeneModel:
    """Load the model of a checkpoint, ours or the authors', ready to score.

    Parameters
    ----------
    path : str or Path
        .safetensors (ours) or .ckpt (the release's).
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.

    Returns
    -------
    GeneModel
        The model in evaluation mode, on the device.

    Raises
    ------
    InputError
        The file is missing, not a checkpoint, damaged or unsafe, or its keys or shapes do not fit its configuration.

    Examples
    --------
    >>> import model_core
    >>> model = model_core.load_checkpoint("model.safetensors", device="cpu")
    >>> model.config.window, model.config.signals
    (4000, ('H3K27ac', 'DNase', 'Hi-C'))
    """
    model, _ = load_with_metadata(path, device)
    return model


def load_with_metadata(path: str | Path, device: str | None = None) -> tuple[GeneModel, dict]:
    """Load a model as `load_checkpoint` does, with the metadata of the file.

    The metadata are feature constants, study and training settings; {} for the authors' checkpoints.
    """
    path = Path(path)
    chosen = choose_device(device)
    if not path.is_file():
        raise InputError(
            path, found="no such file", expected="a checkpoint (.safetensors or .ckpt)", fix="check the path"
        )
    model, metadata = _read_ours(path) if path.suffix == ".safetensors" else (load_released(path), {})
    return model.to(chosen).eval(), metadata


def save_checkpoint(path: str | Path, model: GeneModel, metadata: dict | None = None) -> None:
    """Write weights and configuration atomically: a killed program leaves the old file or the new one.

    Parameters
    ----------
    path : str or Path
        File to write, .safetensors.
    model : GeneModel
        The model to save.
    metadata : dict or None
        JSON values stored alongside the configuration.
    """
    path = Path(path)
    header = {
        "format": FORMAT,
        "config": json.dumps(model.config.to_dict()),
        "metadata": json.dumps(metadata or {}),
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    header["sha256"] = _digest(header, {name: _digest_of(tensor) for name, tensor in tensors.items()})
    with replacing(path) as unfinished:
        unfinished.write_bytes(_with_sorted_metadata(save(tensors, header)))


def _with_sorted_metadata(content: bytes) -> bytes:
    """Return a safetensors file with its metadata by name.

    The library orders them at random, and equal weights are to be equal files with equal hashes.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def convert(source: str | Path, target: str | Path) -> GeneModel:
    """Write a checkpoint in another format: .safetensors is ours, .ckpt the release's; the weights stay exact.

    Parameters
    ----------
    source, target : str or Path
        Checkpoint to read and file to write; the ending of `target` selects the format.

    Returns
    -------
    GeneModel
        The model, on the CPU.

    Raises
    ------
    InputError
        `source` cannot be read, `target` has another ending, or the release cannot represent the model.
    """
    target = Path(target)
    model, metadata = load_with_metadata(source, "cpu")
    if target.suffix == ".safetensors":
        save_checkpoint(target, model, metadata)
    elif target.suffix == ".ckpt":
        content = {
            "epoch": 0,
            "global_step": int(metadata.get("step", 0)),
            "pytorch-lightning_version": "1.8.6",  # of the release
            "state_dict": their_state(model.state_dict(), model.config),
            "hyper_parameters": their_hyper_parameters(model.config),
        }
        with replacing(target) as unfinished:
            torch.save(content, unfinished)
    else:
        raise InputError(
            target, found=f"ending {target.suffix!r}", expected=".safetensors or .ckpt", fix="use one of the two"
        )
    return model


class _Described(NamedTuple):
    """Tensor of a safetensors file, with torch's type."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def described(tensors: Mapping[str, StoredArray]) -> dict[str, _Described]:
    """Return the tensors of a safetensors header as `stored_weights` compares them."""
    return {name: _Described(x.shape, _DTYPES.get(x.dtype, _OTHER_DTYPE)) for name, x in tensors.items()}


def _read_ours(path: Path) -> tuple[GeneModel, dict[str, Any]]:
    header = read_header(path)
    if header.metadata.get("format") != FORMAT:
        found = f"format {str(header.metadata.get('format'))[:60]!r}"
        raise InputError(path, found=found, expected=repr(FORMAT), fix="update, or train again")
    settings, metadata = (_json(header.metadata, name, path) for name in ("config", "metadata"))
    try:
        config = Seq2ExpConfig.from_dict(settings)
    except InputError as error:
        raise error.at(f"{path}, {error.where}") from None
    _check_metadata(metadata, path)
    model = described_model(config, len(header.tensors), path)
    require_fit(model.state_dict(), described(header.tensors), path, in_words(config))
    digests: dict[str, str] = {}
    try:
        with safe_open(path, "pt") as file:

            def read(name: str) -> torch.Tensor:
                tensor = file.get_tensor(name)
                digests[name] = _digest_of(tensor)
                return tensor

            model = filled(model, read)
    except (SafetensorError, OSError) as error:
        raise InputError(
            path, found=str(error)[:200], expected="a safetensors checkpoint", fix="copy it again"
        ) from None
    stated = header.metadata.get("sha256")  # not in checkpoints of older versions
    if stated is not None and stated != _digest(header.metadata, digests):
        found, expected = "a damaged file", "settings and weights with the sha256 that its header states"
        raise InputError(path, found=found, expected=expected, fix="copy it again")
    return model, metadata


def _json(header: Mapping[str, str], name: str, path: Path) -> dict[str, Any]:
    """Return a table that a header holds as JSON."""
    try:
        found = json.loads(header.get(name, ""))
    except (ValueError, RecursionError) as error:
        found = str(error)[:100]
    if not isinstance(found, dict):
        where = f"{path}, {name}"
        raise InputError(where, found="no table of JSON", expected="what training wrote", fix="copy it again")
    return found


def _check_metadata(metadata: Mapping[str, Any], path: Path) -> None:
    """Check the entries that scoring reads; each may be missing."""
    signals, scale, quantiles = (metadata.get(name) for name in ("signals", "feature_scale", "signal_quantiles"))
    activity, trained = metadata.get("promoter_activity_quantiles"), metadata.get("trained")
    listed = signals if isinstance(signals, list) else [signals]
    if signals is not None and not all(
        isinstance(x, dict) and {type(x.get(name)) for name in ("name", "transform")} == {str} for x in listed
    ):
        found, expected = f"signals {shown(signals)}", "name and transform of each signal"
    elif scale is not None and not (isinstance(scale, dict) and all(map(_numbers, scale.values()))):
        found, expected = f"feature_scale {shown(scale)}", "numbers for each gene feature"
    elif quantiles is not None and not (isinstance(quantiles, dict) and all(map(_numbers, quantiles.values()))):
        found, expected = f"signal_quantiles {shown(quantiles)}", "numbers for each signal"
    elif activity is not None and not (isinstance(activity, dict) and _numbers(activity)):
        found, expected = f"promoter_activity_quantiles {shown(activity)}", "numbers by share"
    elif trained is not None and not (isinstance(trained, dict) and all(map(_words, trained.values()))):
        found, expected = f"trained {shown(trained)}", "texts that say what it was trained on"
    else:
        return
    raise InputError(f"{path}, metadata", found=found, expected=expected, fix="copy it again")


def _words(value: Any) -> bool:
    """Return whether a JSON value is a text, or a list of texts."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(x, str) for x in value))


def _numbers(values: Any) -> bool:
    """Return whether a JSON value is a list, or a table by shares, of finite numbers."""
    try:
        if isinstance(values, dict):
            return all(math.isfinite(float(key)) for key in values) and _numbers(list(values.values()))
        return isinstance(values, list) and all(isinstance(x, (int, float)) and math.isfinite(x) for x in values)
    except (ValueError, OverflowError):
        return False


def _digest(header: Mapping[str, str], tensors: Mapping[str, str]) -> str:
    """Return the sha256 of a checkpoint: of its settings, its metadata, and the digests of its tensors by name."""
    parts = [header[name] for name in ("format", "config", "metadata")]
    return hashlib.sha256(
        "\0".join([*parts, *(f"{name} {tensors[name]}" for name in sorted(tensors))]).encode()
    ).hexdigest()


def _digest_of(tensor: torch.Tensor) -> str:
    """Return the sha256 of a tensor: of its type, shape and values."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
