"""Checkpoints: ours (safetensors with the configuration inside) and the authors' (Lightning .ckpt), read safely."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.files import replacing
from model_core.model.released_checkpoint import our_state, read_archive, released_config
from model_core.model.released_export import their_hyper_parameters, their_state
from model_core.model.seq2exp import Seq2Exp

FORMAT = "seq2exp-viz checkpoint 1"


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


def load_checkpoint(path: str | Path, device: str | None = None) -> Seq2Exp:
    """Load the model of a checkpoint, ours or the authors', ready to score.

    Parameters
    ----------
    path : str or Path
        .safetensors (ours) or .ckpt (the release's).
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.

    Returns
    -------
    Seq2Exp
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


def load_with_metadata(path: str | Path, device: str | None = None) -> tuple[Seq2Exp, dict]:
    """Load a model as `load_checkpoint` does, with the metadata of the file.

    The metadata are feature constants, study and training settings; {} for the authors' checkpoints.
    """
    path = Path(path)
    chosen = choose_device(device)
    if not path.is_file():
        raise InputError(
            path, found="no such file", expected="a checkpoint (.safetensors or .ckpt)", fix="check the path"
        )
    if path.suffix == ".safetensors":
        config, state, metadata = _read_ours(path)
    else:
        content = read_archive(path)
        theirs = content.get("state_dict")
        if not isinstance(theirs, dict):
            raise InputError(
                path, found="no state_dict", expected="a Lightning checkpoint", fix="check which file this is"
            )
        config = released_config(content.get("hyper_parameters"), theirs, path)
        state, metadata = our_state(theirs, config), {}
    model = Seq2Exp(config)
    _fill(model, state, path)
    return model.to(chosen).eval(), metadata


def save_checkpoint(path: str | Path, model: Seq2Exp, metadata: dict | None = None) -> None:
    """Write weights and configuration atomically: a killed program leaves the old file or the new one.

    Parameters
    ----------
    path : str or Path
        File to write, .safetensors.
    model : Seq2Exp
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


def convert(source: str | Path, target: str | Path) -> Seq2Exp:
    """Write a checkpoint in another format: .safetensors is ours, .ckpt the release's; the weights stay exact.

    Parameters
    ----------
    source, target : str or Path
        Checkpoint to read and file to write; the ending of `target` selects the format.

    Returns
    -------
    Seq2Exp
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


def _read_ours(path: Path) -> tuple[Seq2ExpConfig, dict, dict]:
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  safe_open cannot be iterated
    except (SafetensorError, OSError) as error:
        raise InputError(path, found=str(error), expected="a safetensors checkpoint", fix="copy it again") from None
    if header.get("format") != FORMAT:
        raise InputError(
            path, found=f"format {header.get('format')!r}", expected=repr(FORMAT), fix="update, or train again"
        )
    return Seq2ExpConfig.from_dict(json.loads(header["config"])), state, json.loads(header["metadata"])


def _fill(model: Seq2Exp, state: dict, path: Path) -> None:
    """Copy `state` into `model`; raise InputError that names missing and unknown keys and wrong shapes."""
    wanted = model.state_dict()
    problems = []
    if missing := sorted(set(wanted) - set(state)):
        problems.append(f"without {', '.join(missing[:5])}" + (f" and {len(missing) - 5} more" if missing[5:] else ""))
    if unexpected := sorted(set(state) - set(wanted)):
        problems.append(
            f"with unknown {', '.join(unexpected[:5])}" + (f" and {len(unexpected) - 5} more" if unexpected[5:] else "")
        )
    for name in sorted(set(wanted) & set(state)):
        if wanted[name].shape != state[name].shape:
            problems.append(f"{name} of shape {tuple(state[name].shape)} instead of {tuple(wanted[name].shape)}")
    if problems:
        expected = f"the parameters of a {model.config.variant} model of width {model.config.backbone.d_model}"
        raise InputError(
            path, found="; ".join(problems), expected=expected, fix="check that weights and settings belong together"
        )
    model.load_state_dict(state)
