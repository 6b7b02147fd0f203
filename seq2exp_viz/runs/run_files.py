"""Every file of a run folder: the id in its address, its size, and a description."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from model_core.listing import files_below

MOST_FILES = 500
DEEPEST = 3  # folders below the run's own
LEFT_OUT = ("masks.zarr", "lock", "audit.jsonl.lock")
WORDS = (
    (r"manifest\.json", "description of the run: study, checkpoint, versions, rules"),
    (r"study\.json", "the study as it was read, with all paths"),
    (r"config\.json", "settings of the model and of its training"),
    (r"chrom\.sizes", "chromosomes and their lengths"),
    (r"blacklist\.bed", "bases that are never kept"),
    (r"checkpoint\.safetensors", "weights of the model"),
    (r"metrics\.json", "metrics of the run"),
    (r"calibration\.json", "chance of an element by its score, fitted on validation genes with planted truth"),
    (r"scores\.jsonl", "journal: one line per scored gene"),
    (r"genes\.tsv", "one line per gene"),
    (r"elements/elements\.bed", "elements and promoters of all genes"),
    (r"tracks/.*\.bigWig", "masks of all genes, merged"),
    (r"peaks/.*\.narrowPeak", "peaks, as called by the peak caller"),
    (r"peaks/.*\.json", "settings of the peak caller"),
    (r"training/history\.csv", "training: loss and validation per step"),
    (r"training/.*\.ckpt", "training: state from which it can be resumed"),
    (r"training/tensorboard/.*", "training: log for TensorBoard"),
    (r"effects/.*\.tsv", "effect of each element, compared with control regions"),
    (r"effects/.*\.jsonl", "journal of the effects: one line per gene"),
    (r"effects/.*", "results computed with the model, such as occlusion"),
    (r"audit\.jsonl", "decisions of the peak audit"),
    (r"compare/.*\.html", "report of the comparison"),
    (r"compare/.*", "comparison with controls"),
)


class RunFile(NamedTuple):
    """One file of a run.

    Attributes
    ----------
    id : str
        Part of its address.
    place : str
        Path below the run folder.
    path : Path
        Full path.
    size : int
        Bytes.
    words : str
        Description, "" where there is none.
    """

    id: str
    place: str
    path: Path
    size: int
    words: str


def list_run_files(folder: Path) -> list[RunFile]:
    """Return the files of a run folder, sorted by path; the masks, one small file per gene, are left out.

    Links are left out, so that nothing outside the folder is ever served, and so are stray and empty files.
    """
    files = []
    for path in sorted(files_below(folder, DEEPEST, apart=LEFT_OUT)):
        place = path.relative_to(folder).as_posix()
        size = path.stat().st_size
        if not size:
            continue
        words = next((words for pattern, words in WORDS if re.fullmatch(pattern, place)), "")
        files.append(RunFile("file-" + re.sub(r"[^A-Za-z0-9._-]", "_", place), place, path, size, words))
        if len(files) == MOST_FILES:
            break
    return files


def masks_size(folder: Path) -> int:
    """Return the size of the folder of masks in bytes."""
    return sum(path.stat().st_size for path in files_below(folder / "masks.zarr"))
