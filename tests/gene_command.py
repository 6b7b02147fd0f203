"""The command that scores a gene of public files, run in this process against a stand-in for the public places."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from model_run import lively

from model_core.config import Seq2ExpConfig
from model_core.model.checkpoint import convert, save_checkpoint
from model_core.remote import remote_file, whole_files
from model_core.remote.traffic import TRAFFIC
from seq2exp_viz import cli


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


def study_file(folder: Path) -> Path:
    """Return the study that the command keeps in a folder."""
    return folder / "data" / "studies" / "K562" / "study.toml"


def gene_words(folder: Path, *symbols: str) -> list[str]:
    """Return the words of the command that scores genes of K562 into `folder`/run."""
    return ["seq2exp-viz", "gene", *symbols, "--cell", "K562", "--no-serve", "--out", str(folder / "run")]


def score_gene(folder: Path, *symbols: str) -> Answer:
    """Run the command in this process, as a new process does: every server is asked again."""
    remote_file.forget()
    whole_files.forget()
    TRAFFIC.clear()
    said, argv, code = io.StringIO(), sys.argv, 0
    sys.argv = [*gene_words(folder, *symbols), "--device", "cpu"]
    held = {name: os.environ.get(name) for name in ("SEQ2EXP_DATA", "MPLBACKEND")}
    os.environ["SEQ2EXP_DATA"] = str(folder / "data")
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.argv = argv
        for name, text in held.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text
    return Answer(code, said.getvalue())
