"""Run in a process of its own, because Triton decides on import whether its kernels are interpreted.

    python tests/gpu_kernels.py compare    every case on the card, or without one under TRITON_INTERPRET=1
    python tests/gpu_kernels.py compile    every kernel to machine code for the card, which needs no card

Prints JSON.
"""

import json
import sys

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# name: (batch, length, channels, states), settings
SCANS = {
    "one chunk, twice the same": ((1, 20, 3, 2), {"twice": True}),
    "reversed": ((2, 21, 5, 5), {"reverse": True}),
    "three chunks, the last one short": ((2, 37, 3, 5), {"chunk": 16}),
    "three chunks reversed": ((1, 37, 5, 5), {"chunk": 16, "reverse": True}),
    "joined in several turns": ((1, 59, 4, 3), {"chunk": 8, "joined": 4}),
    "joined in several turns, reversed": ((1, 59, 4, 3), {"chunk": 8, "joined": 4, "reverse": True}),
    "sixteen states": ((1, 19, 5, 16), {"chunk": 8}),
    "one state, two blocks of channels": ((1, 19, 37, 1), {"chunk": 16}),
    "sixty-four states": ((1, 11, 3, 64), {"chunk": 8}),
    "steps far apart": ((1, 40, 5, 4), {"chunk": 16, "steps": (-30.0, 30.0)}),
    "tiny steps": ((1, 16, 4, 2), {"steps": (-9.0, -7.0)}),
    "bf16": ((1, 37, 5, 4), {"chunk": 16, "dtype": "bfloat16"}),
    "bf16 reversed": ((1, 21, 5, 4), {"chunk": 8, "dtype": "bfloat16", "reverse": True}),
}
CONVOLUTIONS = {  # (batch, length, channels, taps), settings
    "two genes": ((2, 37, 5, 4), {}),
    "reversed, several tiles": ((1, 70, 70, 4), {"reverse": True}),
    "shorter than the kernel": ((1, 3, 3, 5), {"reverse": True}),
    "one tap": ((1, 70, 5, 1), {}),
    "bf16": ((1, 70, 5, 4), {"dtype": "bfloat16"}),
}


def relative(found, exact):
    """Norm of the difference over the norm; inf where a number is not finite."""
    found = found.detach().double().cpu()
    return float((found - exact).norm() / exact.norm()) if torch.isfinite(found).all() else float("inf")


def deviations(kernel, definition, inputs, names, dtype, reverse, twice=False):
    """Measure output and each gradient against the definition in float64 on the same numbers."""
    # What runs along the sequence is in `dtype`, parameters stay float32, as under autocast.
    given = [t.detach().to(DEVICE, dtype if t.ndim == 3 and t.shape[1] > 1 else torch.float32) for t in inputs]
    given = [t.requires_grad_() for t in given]
    exact = [t.detach().double().cpu().requires_grad_() for t in given]
    out, want = kernel(*given, reverse), definition(*exact, reverse)
    upstream = torch.cos(torch.arange(want.numel(), dtype=torch.float64)).reshape(want.shape).to(dtype)
    gradients = torch.autograd.grad(out, given, upstream.to(DEVICE))
    wanted = torch.autograd.grad(want, exact, upstream.double())
    found = {"out": relative(out, want.detach())}
    for name, a, b in zip(names, gradients, wanted, strict=True):
        found[f"d{name}"] = relative(a, b)
    if twice:  # sums have a fixed order
        again = torch.autograd.grad(kernel(*given, reverse), given, upstream.to(DEVICE))
        assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))
    assert out.dtype == dtype
    assert all(a.dtype == t.dtype and a.shape == t.shape for a, t in zip(gradients, given, strict=True))
    return found


def of_halves(scan):
    """`scan` with B and C as the two halves of one tensor."""
    return lambda u, delta, A, BC, D, z, reverse: scan(u, delta, A, *BC.chunk(2, -1), D, z, reverse)


def compare() -> dict:
    from test_scan import scan_inputs

    from model_core.model.kernels import convolution_gpu, scan_gpu
    from model_core.model.kernels.scan import convolution_definition, scan_definition

    found, plan, joined = {}, scan_gpu.plan, scan_gpu.JOINED
    for name, (shape, settings) in SCANS.items():
        u, delta, A, B, C, D, z = scan_inputs(*shape)
        if "steps" in settings:
            delta = torch.linspace(*settings["steps"], delta.numel()).reshape(delta.shape)
        # A slice of a wider product, as the model hands them over.
        BC = torch.cat([B, C], -1)
        chunk = settings.get("chunk")
        scan_gpu.plan = plan if chunk is None else lambda *a, chunk=chunk: plan(*a)._replace(chunk=chunk)
        scan_gpu.JOINED = settings.get("joined", joined)
        found[f"scan: {name}"] = deviations(
            of_halves(scan_gpu.scan_gpu), of_halves(scan_definition), (u, delta, A, BC, D, z),
            ("u", "delta", "A", "BC", "D", "z"), getattr(torch, settings.get("dtype", "float32")),
            settings.get("reverse", False), settings.get("twice", False),
        )  # fmt: skip
    for name, ((batch, length, channels, taps), settings) in CONVOLUTIONS.items():
        generator = torch.Generator().manual_seed(length)
        shapes = (batch, length, channels), (channels, 1, taps), (channels,)
        inputs = [torch.randn(*shape, generator=generator) for shape in shapes]
        found[f"convolution: {name}"] = deviations(
            convolution_gpu.convolution_gpu, convolution_definition, inputs, ("x", "weight", "bias"),
            getattr(torch, settings.get("dtype", "float32")), settings.get("reverse", False),
        )  # fmt: skip
    return found


def compile_all() -> dict:
    """Bytes of machine code of each kernel, at the model's size, for compute capability 9.0."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from model_core.model.kernels import convolution_gpu, scan_gpu

    cut = scan_gpu.plan(1, 200_000, 256, 16, 132)
    walk = {"REVERSE": True, "N": cut.rows, "BLOCK": cut.block}
    tap = {"STEP": -1, "TAPS": 4, "ROWS": convolution_gpu.ROWS, "BLOCK": convolution_gpu.BLOCK}
    kernels = [
        (scan_gpu._chunk_ends, {**walk, "ADJOINT": False}, cut.warps),
        (scan_gpu._chunk_ends, {**walk, "ADJOINT": True}, cut.warps),
        (scan_gpu._join, {"BACK": True, "ROWS": scan_gpu.JOINED, "BLOCK": scan_gpu.BLOCK}, 4),
        (scan_gpu._outputs, {**walk, "KEEP": True, "SPAN": scan_gpu.TILE}, cut.warps),
        (scan_gpu._gradients, {**walk, "SPAN": scan_gpu.TILE}, cut.warps),
        (convolution_gpu._forward, tap, 8),
        (convolution_gpu._backward, tap, 8),
    ]
    numbers = {
        "length",
        "channels",
        "states",
        "chunk",
        "chunks",
        *(f"{w}_{r}" for w in "wbc" for r in ("batch", "row")),
    }
    sizes = {}
    for kernel, constants, warps in kernels:
        signature = {
            name: "constexpr" if name in constants else "i32" if name in numbers else "*fp32"
            for name in kernel.arg_names
        }
        constants = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
        made = triton.compile(
            ASTSource(kernel, signature, constants), GPUTarget("cuda", 90, 32), options={"num_warps": warps}
        )
        sizes[f"{kernel.__name__} {len(sizes)}"] = len(made.asm["cubin"])
    return sizes


if __name__ == "__main__":
    print(json.dumps({"compare": compare, "compile": compile_all}[sys.argv[1]]()))
