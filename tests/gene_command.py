"""The command that scores a gene of public files, run in this process against a stand-in for the public places."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, replace
from pathlib import Path

from model_run import lively

from model_core.config import Seq2ExpConfig
from model_core.datasets.known_models import model_file
from model_core.datasets.public_study import study_of_cell
from model_core.errors import InputError
from model_core.model.checkpoint import convert, save_checkpoint
from model_core.remote import remote_file, whole_files
from model_core.remote.traffic import TRAFFIC
from model_core.scoring.one_gene import prepare_genes
from model_core.study.study import load_study


@dataclass
class Answer:
    """What a command ended with: exit code, and what it said."""

    code: int
    said: str


def small_checkpoint(path: Path, window: int = 200_000) -> Path:
    """Write a soft model in the authors' format, with the published settings at a small size."""
    config = Seq2ExpConfig(window=window)
    config = replace(config, backbone=replace(config.backbone, d_model=8, n_layers=1))
    ours = path.with_suffix(".safetensors")
    save_checkpoint(ours, lively(config, 3), {})
    convert(ours, path)
    return path


def score_gene(folder: Path, *symbols: str) -> Answer:
    """Score genes of K562 into `folder`/run as a new process does: every server is asked again."""
    remote_file.forget()
    whole_files.forget()
    TRAFFIC.clear()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            path = folder / "study" / "study.toml"
            if not path.exists():
                study_of_cell("K562", path.parent)
            model = model_file("soft-k562")
            prepare_genes(folder / "run", load_study(path), model.path, symbols, print, "cpu")
            print(TRAFFIC.words())
            code = 0
        except InputError as error:
            print(f"error: {error}")
            code = 2
    return Answer(code, said.getvalue())
