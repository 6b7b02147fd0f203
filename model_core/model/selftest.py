"""A smoke test of a machine, above all of one with a GPU: do the numbers hold, and how near is the speed to its limits?

    python -m model_core.model.selftest [--golden FOLDER] [--out smoke.json] [--quick]

Needs numpy and torch alone (and Triton, which PyTorch's GPU build brings). Under 10 minutes; where there is no GPU, or
with --quick, the same at small sizes in seconds. The findings are JSON; the exit code is 0 where every check passed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model_core.config import TrainConfig, recipe
from model_core.errors import InputError
from model_core.files import write_text
from model_core.listing import folders_in
from model_core.model.device import GIB, Machine
from model_core.model.kernels.scan import scan_definition, selective_scan
from model_core.model.released_checkpoint import our_key, our_state, read_archive, released_config
from model_core.model.seq2exp import Seq2Exp, loss_terms

TIME_LIMIT = 480  # seconds after which no further check is begun, so that 10 minutes hold
INPUTS = ("u", "delta", "A", "B", "C", "D", "z")  # of the scan
# Parity: as in the tests. The scan's leave room for a card's own exponential; bf16 rounds to 1 in 256.
SCAN_BOUNDS = {"float32": 5e-6, "bfloat16": 1e-2}
GOLDEN_BOUNDS = {"expression": 1e-5, "alpha": 5e-5, "beta": 5e-5, "mask": 5e-6, "gradient": 1e-3}


class Sizes(NamedTuple):
    """How large the checks are."""

    model: dict  # settings of the model whose speed is taken
    train_lengths: tuple[int, ...]  # windows of one training step each, in bp
    definition: tuple[int, int, int]  # length, channels and states of the scan that the definition can follow
    scan: tuple[int, int, int]  # those of the scan whose speed is taken
    copy: int  # bytes of the copy that gives the memory's rate
    runs: int  # of which the median counts


FULL = Sizes({}, (8192, 200_000), (2048, 256, 16), (200_000, 256, 16), GIB, 5)
QUICK = Sizes(
    {"window": 1024, "promoter": 128, "d_model": 16, "n_layers": 1}, (512,), (256, 32, 16), (1024, 32, 16), 2**24, 2
)


def _relative(found: Tensor, exact: Tensor) -> float:
    found, exact = found.detach().double(), exact.detach().double()
    return float((found - exact).norm() / exact.norm())


def _scan_inputs(length: int, channels: int, states: int, device: torch.device) -> list[Tensor]:
    """u, delta, A, B, C, D and z with step sizes and decays as in a trained model."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(device)

    u, delta, z = (normal(1, length, channels) for _ in range(3))
    A = -torch.arange(1.0, states + 1, device=device).repeat(channels, 1)
    return [u, delta - 4, A, normal(1, length, states), normal(1, length, states), normal(channels), z]


def scan_against_definition(machine: Machine, sizes: Sizes) -> dict:
    """Deviation of the scan and of its gradients from the definition in float64, and of a long scan from its start."""
    found, passed = {}, True
    for dtype in (torch.float32, torch.bfloat16):
        for reverse in (False, True):
            given = [t.to(dtype) if t.ndim == 3 else t for t in _scan_inputs(*sizes.definition, machine.device)]
            exact = [t.double().requires_grad_() for t in given]
            given = [t.requires_grad_() for t in given]
            out, want = selective_scan(*given, reverse), scan_definition(*exact, reverse)
            upstream = torch.cos(torch.arange(out.numel(), device=out.device)).reshape(out.shape).to(dtype)
            ours, theirs = (
                torch.autograd.grad(out, given, upstream),
                torch.autograd.grad(want, exact, upstream.double()),
            )
            name = str(dtype).removeprefix("torch.")
            deviation = {"output": _relative(out, want)}
            deviation |= {n: _relative(a, b) for n, a, b in zip(INPUTS, ours, theirs, strict=True)}
            found[f"{name} {'reversed' if reverse else 'forward'}"] = deviation
            passed &= all(value <= SCAN_BOUNDS[name] for value in deviation.values())  # also false for NaN
    long = _scan_inputs(*sizes.scan, machine.device)
    start = [t[:, : sizes.definition[0]] if t.ndim == 3 else t for t in long]
    with torch.no_grad():
        found["long scan against its start"] = _relative(
            selective_scan(*long)[:, : sizes.definition[0]], selective_scan(*start)
        )
    passed &= found["long scan against its start"] <= SCAN_BOUNDS["float32"]
    return {"passed": passed, "relative_deviation": found, "bounds": SCAN_BOUNDS}


def parity(machine: Machine, folder: Path) -> dict:
    """Deviation from the published model's recorded outputs and gradients, in every set of the golden folder."""
    sets = [path for path in folders_in(folder) if (path / "checkpoint.ckpt").is_file()]
    if not sets:
        raise InputError(folder, found="no */checkpoint.ckpt", expected="the golden sets", fix="correct --golden")
    found = {path.name: _parity_of_set(machine, path) for path in sets}
    passed = all(value <= GOLDEN_BOUNDS[name] for deviation in found.values() for name, value in deviation.items())
    return {"passed": passed, "deviation": found, "bounds": GOLDEN_BOUNDS}


def _parity_of_set(machine: Machine, folder: Path) -> dict[str, float]:
    content = read_archive(folder / "checkpoint.ckpt")
    config = released_config(content["hyper_parameters"], content["state_dict"], folder)
    inputs, outputs, recorded = (np.load(folder / f"{name}.npz") for name in ("inputs", "outputs_eval", "grads_mean"))
    arrays = [inputs["seqs"], inputs["signals"], inputs["rna_feat"], inputs["mask_regions"][..., 1]]

    def load(**settings):
        model = Seq2Exp(type(config).from_dict({**config.to_dict(), **settings}))
        model.load_state_dict(our_state(content["state_dict"], config))
        return model.to(machine.device)

    out = load().eval().score(*arrays)
    # A hard mask may fall to either side where z lies on the threshold.
    decided = np.abs(outputs["z_mean"] - config.threshold) > 1e-5 if config.decision == "hard" else slice(None)
    deviation = {
        "expression": float(np.abs(out.expression - outputs["pred_single"][:, 0]).max()),
        "alpha": float(np.abs(out.alpha / outputs["z_alpha"] - 1).max()),
        "beta": float(np.abs(out.beta / outputs["z_beta"] - 1).max()),
        "mask": float(np.abs(out.mask - outputs["mask"])[decided].max()),
    }
    model = load(released_padding=True)  # in which the gradients were recorded
    tensors = [torch.as_tensor(a, device=machine.device) for a in arrays]
    result = model(*(t if t.dtype == torch.bool else t.float() for t in tensors))
    y = torch.as_tensor(inputs["y"][:, 0], device=machine.device)
    loss_terms(result, y, model.config)["loss"].backward()
    ours = {name: p.grad.cpu().numpy() for name, p in model.named_parameters()}
    deviation["gradient"] = float(
        np.max(  # which, other than max, lets NaN through
            [
                np.linalg.norm(ours[our_key(name)].reshape(want.shape) - want) / np.linalg.norm(want)
                for name, want in recorded.items()
            ]
        )
    )
    return deviation


def _windows(length: int, count: int, machine: Machine) -> list[Tensor]:
    """Random sequence, signals, gene features and blacklist of `count` genes."""
    generator = torch.Generator().manual_seed(1)
    bases = torch.randint(4, (count, length), generator=generator)
    signals = torch.randn(count, length, 3, generator=generator).exp()
    features = torch.randn(count, 9, generator=generator)
    found = torch.nn.functional.one_hot(bases, 4).float(), signals, features, torch.zeros(count, length).bool()
    return [t.to(machine.device) for t in found]


def training_step(machine: Machine, sizes: Sizes) -> dict:
    """One step of the soft model at each length and precision: is all finite, how long, how much memory?"""
    found, passed = {}, True
    for length in sizes.train_lengths:
        for dtype in (torch.float32, torch.bfloat16):
            if machine.is_gpu and length > 100_000 and dtype == torch.float32:
                continue  # the whole window is for bf16
            torch.manual_seed(0)
            settings = {**sizes.model, "window": length}
            model = Seq2Exp(recipe("soft", **settings)).to(machine.device).train()
            optimiser = torch.optim.AdamW(model.parameters(), lr=TrainConfig().lr_start)
            batch, y = _windows(length, 1, machine), torch.ones(1, device=machine.device)
            losses, gradients_finite = [], True

            def step(model=model, optimiser=optimiser, batch=batch, y=y, dtype=dtype, losses=losses):
                optimiser.zero_grad()
                with machine.precision(dtype):
                    terms = loss_terms(model(*batch, sample=True), y, model.config)
                terms["loss"].backward()
                optimiser.step()
                losses.append(terms["loss"].detach())

            machine.forget_peak()
            taken = machine.seconds(step, 1)
            gradients_finite = all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())
            loss_finite = bool(torch.isfinite(torch.stack(losses)).all())
            passed &= gradients_finite and loss_finite
            found[f"{length} bp, {str(dtype).removeprefix('torch.')}"] = {
                "seconds": taken,
                "peak_gib": machine.peak_gib(),
                "loss": float(losses[-1]),
                "loss_finite": loss_finite,
                "gradients_finite": gradients_finite,
            }
    return {"passed": passed, "steps": found}


def throughput(machine: Machine, sizes: Sizes) -> dict:
    """Windows per second of the soft and the hard model, one at a time, in float32 and bf16, and how far bf16 moves."""
    found, passed = {}, True
    for variant in ("soft", "hard"):
        torch.manual_seed(0)
        model = Seq2Exp(recipe(variant, **sizes.model)).to(machine.device).eval()
        length = model.config.window
        batch, keep = _windows(length, 1, machine), None
        if variant == "hard":  # fresh weights decide nothing, so every tenth 100 bp are kept
            keep = (torch.arange(length, device=machine.device) // 100 % 10 == 0).float()[None]
        exact = None
        for dtype in (torch.float32, torch.bfloat16):
            machine.forget_peak()
            with torch.no_grad(), machine.precision(dtype):
                taken = machine.seconds(lambda m=model, b=batch, k=keep: m(*b, mask_override=k), sizes.runs)
                out = model(*batch, mask_override=keep)
            numbers = torch.cat([out.expression, out.z.mean.flatten()]).float()
            passed &= bool(torch.isfinite(numbers).all())
            exact = numbers if exact is None else exact
            found[f"{variant} {str(dtype).removeprefix('torch.')}"] = {
                "window_bp": length,
                "kept_share": float(out.mask.mean()),
                "seconds_per_window": taken,
                "windows_per_second": 1 / taken,
                "peak_gib": machine.peak_gib(),
                "expression_moved_by": float((numbers - exact)[0].abs()),
                "mask_moved_by_at_most": float((numbers - exact)[1:].abs().max()),
            }
    return {"passed": passed, "models": found}


def _copy_rate(machine: Machine, sizes: Sizes) -> float:
    """Bytes read and written per second."""
    source = torch.ones(sizes.copy, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    return 2 * sizes.copy / machine.seconds(lambda: target.copy_(source), sizes.runs)


def scan_speed(machine: Machine, sizes: Sizes) -> dict:
    """Time of the scan over that of its bytes, each read or written once at the memory's measured copy rate."""
    rate = _copy_rate(machine, sizes)
    length, channels, states = sizes.scan
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [t.to(dtype) if t.ndim == 3 else t for t in _scan_inputs(*sizes.scan, machine.device)]
        forward_bytes = length * dtype.itemsize * (4 * channels + 2 * states)  # u, delta, z, y, B, C
        # Back: u, delta, z, the gradient of y, B and C are read, five gradients along the sequence written.
        both_bytes = forward_bytes + length * dtype.itemsize * (7 * channels + 4 * states)
        with torch.no_grad():
            forward = machine.seconds(lambda i=inputs: selective_scan(*i), sizes.runs)
        inputs = [t.requires_grad_() for t in inputs]

        def both(i=inputs):
            torch.autograd.grad(selective_scan(*i).sum(), i)

        machine.forget_peak()
        there_and_back = machine.seconds(both, sizes.runs)
        found[str(dtype).removeprefix("torch.")] = {
            "forward_seconds": forward,
            "forward_over_floor": forward * rate / forward_bytes,
            "forward_and_backward_seconds": there_and_back,
            "forward_and_backward_over_floor": there_and_back * rate / both_bytes,
            "peak_gib": machine.peak_gib(),
        }
    shape = {"length": length, "channels": channels, "states": states}
    return {"passed": True, "copy_gb_per_second": rate / 1e9, **shape, "scan": found}


def smoke(device: str, quick: bool, golden: Path | None = None, say: Callable[[str], None] = print) -> dict:
    """Every check on `device`; one that fails by an error does not keep the others from running.

    Parameters
    ----------
    device : str
        "cuda" or "cpu".
    quick : bool
        Small sizes.
    golden : Path or None
        Folder of the published model's recorded numbers, or None to leave parity out.
    say : callable
        Gets one line a check.

    Returns
    -------
    dict
        JSON values: the machine, each check with `passed`, and `passed` of all.
    """
    machine, sizes, began = Machine(device), QUICK if quick else FULL, time.perf_counter()
    checks = {
        "scan_against_definition": lambda: scan_against_definition(machine, sizes),
        "parity": None if golden is None else lambda: parity(machine, golden),
        "training_step": lambda: training_step(machine, sizes),
        "throughput": lambda: throughput(machine, sizes),
        "scan_speed": lambda: scan_speed(machine, sizes),
    }
    found: dict = {"machine": machine.describe(), "quick": quick, "checks": {}}
    for name, check in checks.items():
        start = time.perf_counter()
        if check is None:
            result = {"skipped": "no golden folder was named"}
        elif start - began > TIME_LIMIT:
            result = {"passed": False, "skipped": f"{TIME_LIMIT} seconds were over"}
        else:
            try:
                result = check()
            except InputError:
                raise
            except Exception as error:  # the other checks still say something about the machine
                result = {"passed": False, "error": f"{type(error).__name__}: {error}"}
        result["seconds"] = time.perf_counter() - start
        found["checks"][name] = result
        verdict = result.get("error") or result.get("skipped") or ("passed" if result["passed"] else "FAILED")
        say(f"{name}: {verdict} ({result['seconds']:.1f} s)")
    found["seconds"] = time.perf_counter() - began
    found["passed"] = all(result.get("passed", True) for result in found["checks"].values())
    return found


def _plain(value):
    """As JSON takes it: numbers that are none (NaN, infinity) by their name."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m model_core.model.selftest", description=__doc__.split("\n")[0])
    parser.add_argument("--golden", type=Path, help="folder of the published model's recorded numbers")
    parser.add_argument("--out", type=Path, help="file for the findings (default: printed)")
    parser.add_argument("--quick", action="store_true", help="small sizes, seconds; always so without a GPU")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    quick = given.quick or device == "cpu"
    if device == "cpu":
        print("PyTorch sees no GPU: small sizes on the CPU", file=sys.stderr)
    try:
        if given.out and not given.out.parent.is_dir():
            raise InputError(given.out, found="no such folder", expected="a folder that exists", fix="create it")
        found = smoke(device, quick, given.golden, lambda line: print(line, file=sys.stderr))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    text = json.dumps(_plain(found), indent=2) + "\n"
    if given.out:
        write_text(given.out, text)
    else:
        print(text, end="")
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
