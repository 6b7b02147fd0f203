"""Test whether a machine, in particular its GPU, computes correct numbers, and measure its speed.

    python -m model_core.model.selftest [--golden FOLDER] [--out selftest.json] [--quick]

The test needs only numpy and torch (and Triton, which PyTorch's GPU build includes) and takes at most 8 minutes.
Without a GPU, or with --quick, it runs at small sizes in seconds. The results are JSON; the exit code is 0 if every
check passed. On a GPU, at full size, the verdict is stored for `seq2exp-viz train` and `score` and for the page
(`model_core.verdict`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from model_core.config import TrainConfig, recipe
from model_core.errors import InputError
from model_core.files import write_text
from model_core.listing import folders_in
from model_core.model.device import GIB, Machine, card_of
from model_core.model.gene_model import loss_terms
from model_core.model.kernels import scan
from model_core.model.kernels.scan import (
    causal_convolution,
    convolution_definition,
    scan_definition,
    selective_scan,
)
from model_core.model.released_checkpoint import load_released, our_key
from model_core.model.seq2exp import Seq2Exp
from model_core.verdict import save_verdict

TIME_LIMIT = 480  # seconds for all checks together
LIMITS = {  # seconds of each check; one that does not end within them ends the test
    "scan_against_definition": 60,
    "convolution_against_definition": 30,
    "parity": 60,
    "training_step": 80,
    "against_cpu": 130,
    "throughput": 80,
    "scan_speed": 40,
}
THREAD = "self-test"  # name of the threads that checks run in
INPUTS = ("u", "delta", "A", "B", "C", "D", "z")  # of the scan
# Parity: as in the tests. The bounds of the scan allow for a GPU's own exponential; bf16 rounds to 1 in 256.
SCAN_BOUNDS = {"float32": 5e-6, "bfloat16": 1e-2}
# A GPU compared with the CPU: sums in another order. Gradient: norm of the difference over the norm, for the worst
# parameter; mask: the largest difference. bf16 rounds at every layer.
CPU_BOUNDS = {"expression": 1e-4, "mask": 1e-4, "loss": 1e-4, "gradient": 1e-3, "bfloat16 expression": 5e-3}
CPU_BOUNDS |= {"bfloat16 mask": 5e-3}
GOLDEN_BOUNDS = {"expression": 1e-5, "alpha": 5e-5, "beta": 5e-5, "mask": 5e-6, "gradient": 1e-3}


class Sizes(NamedTuple):
    """Sizes of the checks."""

    model: dict[str, Any]  # settings of the model whose speed is measured
    train_lengths: tuple[int, ...]  # window lengths of one training step each, in bp
    compared: tuple[int, int]  # window lengths of the score and of the training step that the CPU repeats, in bp
    definition: tuple[int, int, int]  # length, channels and states of the scan that is compared with the definition
    scan: tuple[int, int, int]  # those of the scan whose speed is measured
    copy: int  # bytes of the copy that gives the memory's rate
    runs: int  # runs of which the median is taken


FULL = Sizes({}, (8192, 200_000), (200_000, 8192), (2048, 256, 16), (200_000, 256, 16), GIB, 5)
QUICK = Sizes(
    {"window": 1024, "promoter": 128, "d_model": 16, "n_layers": 1},
    (512,),
    (1024, 512),
    (256, 32, 16),
    (1024, 32, 16),
    2**24,
    2,
)


def _relative(found: Tensor, exact: Tensor) -> float:
    found, exact = found.detach().double(), exact.detach().double()
    return float((found - exact).norm() / exact.norm())


def _scan_inputs(length: int, channels: int, states: int, device: torch.device) -> list[Tensor]:
    """Draw u, delta, A, B, C, D and z with step sizes and decays as in a trained model."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(device)

    u, delta, z = (normal(1, length, channels) for _ in range(3))
    A = -torch.arange(1.0, states + 1, device=device).repeat(channels, 1)
    return [u, delta - 4, A, normal(1, length, states), normal(1, length, states), normal(channels), z]


def _computed(operation: Callable[..., Tensor], inputs: Sequence[Tensor], reverse: bool = False) -> Tensor:
    """Return the output of a scan or convolution for its inputs in order."""
    return operation(*inputs, reverse)


def scan_against_definition(machine: Machine, sizes: Sizes) -> dict:
    """Compare the scan and its gradients with the definition in float64, and a long scan with its beginning.

    On a GPU without Triton the check fails: the scan is then the definition itself, too slow for the other checks.
    """
    if machine.is_gpu and scan._gpu_kernels() is None:
        return {"passed": False, "error": "the GPU kernels cannot be used: Triton or a C compiler is missing"}
    found: dict[str, Any] = {}
    passed = True
    for dtype in (torch.float32, torch.bfloat16):
        for reverse in (False, True):
            given = [t.to(dtype) if t.ndim == 3 else t for t in _scan_inputs(*sizes.definition, machine.device)]
            exact = [t.double().requires_grad_() for t in given]
            given = [t.requires_grad_() for t in given]
            out, want = _computed(selective_scan, given, reverse), _computed(scan_definition, exact, reverse)
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
        beginning = _computed(selective_scan, long)[:, : sizes.definition[0]]
        found["long scan against its start"] = _relative(beginning, _computed(selective_scan, start))
    passed &= found["long scan against its start"] <= SCAN_BOUNDS["float32"]
    return {"passed": passed, "relative_deviation": found, "bounds": SCAN_BOUNDS}


def convolution_against_definition(machine: Machine, sizes: Sizes) -> dict:
    """Compare the causal convolution and its gradients with the definition in float64."""
    length, channels, _ = sizes.definition
    generator = torch.Generator().manual_seed(2)
    shapes = {"x": (2, length, channels), "weight": (channels, 1, 4), "bias": (channels,)}
    inputs = [torch.randn(*shape, generator=generator).to(machine.device) for shape in shapes.values()]
    found, passed = {}, True
    for dtype in (torch.float32, torch.bfloat16):
        for reverse in (False, True):
            given = [inputs[0].to(dtype), *inputs[1:]]  # parameters stay float32, as under autocast
            exact = [t.double().requires_grad_() for t in given]
            given = [t.detach().clone().requires_grad_() for t in given]
            out = _computed(causal_convolution, given, reverse)
            want = _computed(convolution_definition, exact, reverse)
            upstream = torch.cos(torch.arange(out.numel(), device=out.device)).reshape(out.shape).to(dtype)
            ours = torch.autograd.grad(out, given, upstream)
            theirs = torch.autograd.grad(want, exact, upstream.double())
            name = str(dtype).removeprefix("torch.")
            deviation = {"output": _relative(out, want)}
            deviation |= {n: _relative(a, b) for n, a, b in zip(shapes, ours, theirs, strict=True)}
            found[f"{name} {'reversed' if reverse else 'forward'}"] = deviation
            passed &= all(value <= SCAN_BOUNDS[name] for value in deviation.values())  # also false for NaN
    return {"passed": passed, "relative_deviation": found, "bounds": SCAN_BOUNDS}


def against_cpu(machine: Machine, sizes: Sizes) -> dict:
    """Compare this machine with the CPU: one score of a window and one training step, with the same weights.

    Without numba the CPU scans step by step, so the windows are short.
    """
    score_bp, train_bp = sizes.compared if scan.scan_cpu is not None else (2048, 512)
    settings = {"promoter": 512, **sizes.model}
    cpu, difference = Machine("cpu"), {}
    exact = _scored(cpu, {**settings, "window": score_bp}, torch.float32)
    for prefix, dtype in (("", torch.float32), ("bfloat16 ", torch.bfloat16)):
        found = _scored(machine, {**settings, "window": score_bp}, dtype)
        for name, value in found.items():
            difference[prefix + name] = float((value - exact[name]).abs().max())
    theirs, ours = (_trained(m, {**settings, "window": train_bp}) for m in (cpu, machine))
    difference["loss"] = abs(ours["loss"] / theirs["loss"] - 1)
    worst = [_relative(grad, theirs["gradients"][name]) for name, grad in ours["gradients"].items()]
    difference["gradient"] = float(np.max(worst))  # unlike max, it returns NaN if there is one
    passed = all(value <= CPU_BOUNDS[name] for name, value in difference.items())
    return {"passed": passed, "difference": difference, "bounds": CPU_BOUNDS, "window_bp": [score_bp, train_bp]}


def _scored(machine: Machine, settings: dict, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return `expression` (1,) and `mask` (length,) of a soft model with fresh weights, on the CPU as float32."""
    torch.manual_seed(0)
    model = Seq2Exp(recipe("soft", **settings)).to(machine.device).eval()
    with torch.no_grad(), machine.precision(dtype):
        out = model(*_windows(model.config.window, 1, machine))
    return {"expression": out.expression.float().cpu(), "mask": out.mask[0].float().cpu()}


def _trained(machine: Machine, settings: dict) -> dict:
    """Return the `loss` and the `gradients`, by parameter, of one training step in float32 without a draw of z."""
    torch.manual_seed(0)
    model = Seq2Exp(recipe("soft", **settings)).to(machine.device).train()
    result = model(*_windows(model.config.window, 1, machine))
    loss = loss_terms(result, torch.ones(1, device=machine.device), model.config)["loss"]
    loss.backward()
    gradients = {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    return {"loss": float(loss.detach()), "gradients": gradients}


def parity(machine: Machine, folder: Path) -> dict:
    """Compare with the published model's recorded outputs and gradients, for every set of the golden folder."""
    sets = [path for path in folders_in(folder) if (path / "checkpoint.ckpt").is_file()]
    if not sets:
        raise InputError(folder, found="no */checkpoint.ckpt", expected="the golden sets", fix="correct --golden")
    found = {path.name: _parity_of_set(machine, path) for path in sets}
    passed = all(value <= GOLDEN_BOUNDS[name] for deviation in found.values() for name, value in deviation.items())
    return {"passed": passed, "deviation": found, "bounds": GOLDEN_BOUNDS}


def _parity_of_set(machine: Machine, folder: Path) -> dict[str, float]:
    released = load_released(folder / "checkpoint.ckpt")
    config = released.config
    inputs, outputs, recorded = (np.load(folder / f"{name}.npz") for name in ("inputs", "outputs_eval", "grads_mean"))
    arrays = [inputs["seqs"], inputs["signals"], inputs["rna_feat"], inputs["mask_regions"][..., 1]]

    def load(**settings):
        model = Seq2Exp(config.replace(**settings))
        model.load_state_dict(released.state_dict())
        return model.to(machine.device)

    out = load().eval().score(*arrays)
    # A hard mask may fall to either side where z lies on the threshold.
    rule = config.mask.decision
    decided = np.abs(outputs["z_mean"] - rule.threshold) > 1e-5 if rule.kind == "hard" else slice(None)
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
        np.max(  # unlike max, it returns NaN if there is one
            [
                np.linalg.norm(ours[our_key(name)].reshape(want.shape) - want) / np.linalg.norm(want)
                for name, want in recorded.items()
            ]
        )
    )
    return deviation


def _windows(length: int, count: int, machine: Machine) -> list[Tensor]:
    """Draw sequence, signals, gene features and blacklist of `count` genes."""
    generator = torch.Generator().manual_seed(1)
    bases = torch.randint(4, (count, length), generator=generator)
    signals = torch.randn(count, length, 3, generator=generator).exp()
    features = torch.randn(count, 9, generator=generator)
    found = torch.nn.functional.one_hot(bases, 4).float(), signals, features, torch.zeros(count, length).bool()
    return [t.to(machine.device) for t in found]


def training_step(machine: Machine, sizes: Sizes) -> dict:
    """Run one training step of the soft model at each length and precision: finite numbers, time and memory."""
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
            losses: list[Tensor] = []

            def step(model=model, optimiser=optimiser, batch=batch, y=y, dtype=dtype, losses=losses):
                optimiser.zero_grad()
                with machine.precision(dtype):
                    terms = loss_terms(model(*batch, sample=True), y, model.config)
                terms["loss"].backward()
                optimiser.step()
                losses.append(terms["loss"].detach())

            machine.forget_peak()
            taken = machine.seconds(step, 1)
            gradients_finite = all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
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
    """Measure windows per second of the soft and the hard model, one at a time, in float32 and bf16.

    Also the difference that bf16 makes to expression and mask.
    """
    found, passed = {}, True
    for variant in ("soft", "hard"):
        torch.manual_seed(0)
        model = Seq2Exp(recipe(variant, **sizes.model)).to(machine.device).eval()
        length = model.config.window
        batch, keep = _windows(length, 1, machine), None
        if variant == "hard":  # an untrained model keeps nothing in particular, so every tenth 100 bp are kept
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
    """Measure the bytes read and written per second in a copy."""
    source = torch.ones(sizes.copy, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    return 2 * sizes.copy / machine.seconds(lambda: target.copy_(source), sizes.runs)


def scan_speed(machine: Machine, sizes: Sizes) -> dict:
    """Measure the time of the scan relative to a floor: each byte moved once at the memory's measured copy rate."""
    rate = _copy_rate(machine, sizes)
    length, channels, states = sizes.scan
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [t.to(dtype) if t.ndim == 3 else t for t in _scan_inputs(*sizes.scan, machine.device)]
        forward_bytes = length * dtype.itemsize * (4 * channels + 2 * states)  # u, delta, z, y, B, C
        # Backward: u, delta, z, the gradient of y, B and C are read, five gradients along the sequence written.
        both_bytes = forward_bytes + length * dtype.itemsize * (7 * channels + 4 * states)
        with torch.no_grad():
            forward = machine.seconds(lambda i=inputs: _computed(selective_scan, i), sizes.runs)
        inputs = [t.requires_grad_() for t in inputs]

        def both(i=inputs):
            torch.autograd.grad(_computed(selective_scan, i).sum(), i)

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


def smoke(device: str, quick: bool, golden: Path | None = None, notify: Callable[[str], None] = print) -> dict:
    """Run every check on `device`; an error in one check does not stop the others.

    A check that exceeds its time limit is abandoned in its thread, and no further check is started, since it may still
    occupy the machine.

    Parameters
    ----------
    device : str
        "cuda" or "cpu".
    quick : bool
        Whether to use small sizes.
    golden : Path or None
        Folder of the published model's recorded numbers; None skips the parity check.
    notify : callable
        Called with a line of text before each check, with the time left, and after it.

    Returns
    -------
    dict
        JSON values: `machine`, `checks` (each with `passed` and `seconds`), and `passed` for all together.
    """
    machine, sizes, began = Machine(device), QUICK if quick else FULL, time.perf_counter()
    checks = {
        "scan_against_definition": lambda: scan_against_definition(machine, sizes),
        "convolution_against_definition": lambda: convolution_against_definition(machine, sizes),
        "parity": None if golden is None else lambda: parity(machine, golden),
        "training_step": lambda: training_step(machine, sizes),
        "against_cpu": lambda: against_cpu(machine, sizes),
        "throughput": lambda: throughput(machine, sizes),
        "scan_speed": lambda: scan_speed(machine, sizes),
    }
    found: dict = {"machine": machine.describe(), "quick": quick, "checks": {}}
    overran = ""
    result: dict
    for name, check in checks.items():
        start = time.perf_counter()
        left = TIME_LIMIT - (start - began)
        if check is None:
            result = {"skipped": "no --golden folder was given"}
        elif overran or left <= 0:
            result = {"passed": False, "skipped": f"{overran or f'{TIME_LIMIT} s for all checks'} had passed"}
        else:
            limit = min(LIMITS[name], left)
            notify(f"{name}: at most {limit:.0f} s; {left:.0f} s left in all")
            try:
                result = _within(limit, check)
            except InputError:
                raise
            except TimeoutError:
                overran = f"{limit:.3g} s for {name}"
                result = {"passed": False, "error": f"not finished within {limit:.3g} s"}
            except Exception as error:  # the other checks are still informative
                result = {"passed": False, "error": f"{type(error).__name__}: {error}"}
        result["seconds"] = time.perf_counter() - start
        found["checks"][name] = result
        verdict = result.get("error") or result.get("skipped") or ("passed" if result["passed"] else "FAILED")
        notify(f"{name}: {verdict} ({result['seconds']:.1f} s)")
    found["seconds"] = time.perf_counter() - began
    found["passed"] = all(result.get("passed", True) for result in found["checks"].values())
    return found


def _within(seconds: float, check: Callable[[], dict]) -> dict:
    """Return what a check returns or raise what it raises; TimeoutError if it takes more than `seconds`.

    The check runs in a thread of its own, because a GPU that hangs cannot be interrupted.
    """
    ended: queue.SimpleQueue[dict | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            ended.put(check())
        except Exception as error:  # raised again by the thread that waits
            ended.put(error)

    threading.Thread(target=work, name=THREAD, daemon=True).start()
    try:
        result = ended.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, Exception):
        raise result
    return result


def _plain(value):
    """Return a value that JSON can hold: NaN and infinity become their names."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m model_core.model.selftest", description=__doc__.split("\n")[0])
    parser.add_argument("--golden", type=Path, help="folder of the published model's recorded outputs and gradients")
    parser.add_argument("--out", type=Path, help="file to write the results to (default: standard output)")
    parser.add_argument(
        "--quick", action="store_true", help="use small sizes, which take seconds (the default without a GPU)"
    )
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    quick = given.quick or device == "cpu"
    if device == "cpu":
        print("PyTorch finds no GPU: the test runs at small sizes on the CPU", file=sys.stderr)
    try:
        if given.out and not given.out.parent.is_dir():
            raise InputError(given.out, found="no such folder", expected="a folder that exists", fix="create it")
        found = smoke(device, quick, given.golden, lambda line: print(line, file=sys.stderr))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    card = card_of(torch.device(device))
    if card is not None and not quick:
        print(f"The verdict is stored in {save_verdict(card, _plain(found))}", file=sys.stderr)
    text = json.dumps(_plain(found), indent=2) + "\n"
    if given.out:
        write_text(given.out, text)
    else:
        print(text, end="")
    return 0 if found["passed"] else 1


def leave(code: int) -> NoReturn:
    """End the process, even if a check still hangs, for which the interpreter's own exit could wait."""
    if any(thread.name == THREAD for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
