"""Options that several commands share, each declared once, and how their values are read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from model_core.errors import InputError

# ---- arguments

_STUDY, _RUN = "study.toml, or the folder that holds it", "run folder, as train or score writes it"
StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help=_STUDY)]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help=_RUN)]

# ---- which genes

_GENES = typer.Option("--genes", "--gene", metavar="A,B", help="comma-separated gene symbols or IDs")
Genes = Annotated[list[str] | None, _GENES]
RequiredGenes = Annotated[list[str], _GENES]
AllGenes = Annotated[bool, typer.Option("--all", help="all genes, not only those of the test split")]

# ---- how to run

Seed = Annotated[int, typer.Option("--seed", help="random seed")]
OptionalSeed = Annotated[int | None, typer.Option("--seed", help="random seed")]
Processes = Annotated[
    int, typer.Option("--processes", min=1, help="number of processes per host: one per GPU, or on the CPU")
]
Nodes = Annotated[int, typer.Option("--nodes", min=1, help="number of hosts")]
Device = Annotated[
    str | None, typer.Option("--device", help="device: cpu, cuda or cuda:1 (default: a GPU if there is one)")
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="port of the page (default: the first free one from 8050)"),
]

# ---- options whose meaning is shared while a detail depends on the command: "meaning; detail"


def study(detail: str) -> Any:
    """Return the argument for a study, or for what a command takes in its place."""
    return typer.Argument(metavar="STUDY", help=f"{_STUDY}; {detail}")


def run(detail: str) -> Any:
    """Return the argument for a run that may be left out."""
    return typer.Argument(metavar="RUN", show_default=False, help=f"{_RUN}; {detail}")


def output(detail: str) -> Any:
    """Return the option for what a command writes."""
    return typer.Option("--output", "-o", "--out", show_default=False, help=f"path to write; {detail}")


def batch_size(detail: str) -> Any:
    """Return the option for the number of genes in a batch."""
    return typer.Option("--batch-size", min=1, help=f"number of genes per batch; {detail}")


def workers(detail: str) -> Any:
    """Return the option for the processes that read windows."""
    return typer.Option("--workers", min=0, help=f"number of processes that read windows ahead; {detail}")


def dry_run(detail: str) -> Any:
    """Return the option that reports what a command would do."""
    return typer.Option("--dry-run", help=f"report what would be done and do nothing; {detail}")


def resolution(detail: str) -> Any:
    """Return the option for the width of bins."""
    return typer.Option("--resolution", min=1, help=f"bin size in bp; {detail}")


def cell_type(detail: str) -> Any:
    """Return the option for a cell type."""
    return typer.Option("--cell-type", help=f"cell type; {detail}")


def model(detail: str) -> Any:
    """Return the option for the weights that genes are scored with."""
    places = (
        "a path (.safetensors or the authors' .ckpt), a name that `models` lists, hf://USER/REPOSITORY/FILE or a URL"
    )
    return typer.Option("--checkpoint", "--model", help=f"weights to score with: {places}; {detail}")


# ---- settings of a training

Variant = Annotated[
    Literal["soft", "hard", "causal"] | None,
    typer.Option(help="kind of model: the paper's soft or hard one, or causal; without it, the study's, else soft"),
]
Steps = Annotated[int | None, typer.Option(min=1, help="number of optimiser steps (paper: 50,000)")]
StepBatch = Annotated[int | None, batch_size("one batch per optimiser step (paper: 8)")]
LearningRate = Annotated[float | None, typer.Option(help="highest learning rate (paper: 5e-4)")]
Warmup = Annotated[int | None, typer.Option(min=0, help="number of warm-up steps (paper: 5,000)")]
WindowLength = Annotated[int | None, typer.Option(min=1, help="window around the TSS, in bp (paper: 200,000)")]
PromoterLength = Annotated[
    int | None, typer.Option(min=1, help="central region that is always kept, in bp (paper: 2,000)")
]
Width = Annotated[int | None, typer.Option(min=1, help="number of channels of the model (paper: 128)")]
Depth = Annotated[int | None, typer.Option(min=1, help="number of blocks per stack (paper: 4)")]
Members = Annotated[
    int | None, typer.Option(min=1, help="members of a causal model's ensemble, in one run (by default 5)")
]
Accumulate = Annotated[
    int | None, typer.Option(min=1, help="number of batches whose gradients are summed per optimiser step")
]
Precision = Annotated[str | None, typer.Option(help="numeric precision: 32-true or bf16-mixed")]
PretrainSteps = Annotated[
    int | None,
    typer.Option(
        "--pretrain-steps",
        "--pretrain",
        min=0,
        help="number of pretraining steps, which learn the signals from sequence (causal: 3 x --steps, at most 10,000)",
    ),
]
BlockSteps = Annotated[
    int | None,
    typer.Option(
        "--block-steps",
        "--blocks",
        min=0,
        help="number of steps under random-block masks, before all others (by default none)",
    ),
]
TrainWorkers = Annotated[int | None, workers("by default 0")]

Threshold = Annotated[
    float | None, typer.Option("--threshold", help="mask value, 0 to 1, at which elements are cut (default: the run's)")
]

# ---- options whose value may be left out


class OptionalValues(TyperCommand):
    """A command whose option --token may stand without a value, which typer does not offer."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        return super().parse_args(ctx, with_token(args, os.environ.get("SEQ2EXP_TOKEN")))


def with_token(words: Sequence[str], known: str | None = None) -> list[str]:
    """Return the words of a command line in which each --token has a value.

    Where the next word is another option, or there is none, the value is `known`, or random.
    """
    done: list[str] = []
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else "-"
        alone = word == "--token" and following.startswith("-") and "--" not in done
        done.append(f"--token={known or secrets.token_urlsafe(24)}" if alone else word)
    return done


# ---- values


def gene_names(values: Sequence[str] | None) -> list[str]:
    """Return the names of one or more texts such as "A,B", in their order."""
    return [name.strip() for text in values or () for name in text.split(",") if name.strip()]


def one_gene(values: Sequence[str]) -> str:
    """Return the name of one gene.

    Raises
    ------
    InputError
        No name, or several.
    """
    names = gene_names(values)
    if len(names) != 1:
        found, fix = f"{len(names)} genes", "name one gene; for several, run the command once per gene"
        raise InputError("--genes", found=found, expected="exactly one gene", fix=fix)
    return names[0]


def mask_settings(text: str) -> dict[str, Any]:
    """Return the model settings of --mask; "top:10%" is the learned mask with only its highest tenth kept."""
    if not text.startswith("top:"):
        return {"mask": text}
    share = text.removeprefix("top:").removesuffix("%")
    try:
        percent = float(share)
    except ValueError:
        percent = 0.0
    if not 0 < percent < 100:
        raise InputError("--mask", found=repr(text), expected="top: and a percentage, as in top:10%", fix="correct it")
    return {"decision": "top", "top_share": percent / 100}


def parse_seeds(text: str) -> list[int]:
    """Return the numbers of "2,22,222"."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() for word in words) or len(set(words)) != len(words):
        expected = "different whole numbers, separated by commas"
        raise InputError("--seeds", found=repr(text), expected=expected, fix="correct it")
    return [int(word) for word in words]
