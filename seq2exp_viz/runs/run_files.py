"""Every file of a run folder: an id for its address, its size, and what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from model_core.listing import files_below

MOST_FILES = 500
DEEPEST = 3  # folders below the run's own
LEFT_OUT = ("masks.zarr", "lock", "audit.jsonl.lock")
WORDS = (
    (r"manifest\.json", "what the run is: study, checkpoint, versions, rules"),
    (r"study\.json", "the study as it was read, with all paths"),
    (r"config\.json", "settings of the model and of its training"),
    (r"chrom\.sizes", "chromosomes and their lengths"),
    (r"blacklist\.bed", "bases that are never kept"),
    (r"checkpoint\.safetensors", "weights of the model"),
    (r"metrics\.json", "numbers about the run"),
    (r"scores\.jsonl", "journal: one line per scored gene"),
    (r"genes\.tsv", "one line per gene"),
    (r"elements/elements\.bed", "elements and promoters of all genes"),
    (r"tracks/.*\.bigWig", "masks of all genes, merged"),
    (r"peaks/.*\.narrowPeak", "peaks, as they were called"),
    (r"peaks/.*\.json", "how the peaks were called"),
    (r"training/history\.csv", "training: loss and validation, step by step"),
    (r"training/.*\.ckpt", "training: state to go on from"),
    (r"training/tensorboard/.*", "training: log for TensorBoard"),
    (r"effects/.*\.tsv", "effect of each element, compared with control regions"),
    (r"effects/.*\.jsonl", "journal of the effects: one line per gene"),
    (r"effects/.*", "computed with the model: occlusion and the like"),
    (r"audit\.jsonl", "decisions of the peak audit"),
    (r"compare/.*\.html", "report of the comparison"),
    (r"compare/.*", "comparison with controls"),
)


class RunFile(NamedTuple):
    """One file of a run: `id` stands in its address, `place` is where it lies below the run folder."""

    id: str
    place: str
    path: Path
    size: int
    words: str


def list_run_files(folder: Path) -> list[RunFile]:
    """Return the files of a run folder by place, whole ones only; the masks, one small file per gene, are left out.

    Links are passed over, so that nothing outside the folder is ever named; so are strays and files without a byte.
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
    """Bytes of the masks' folder."""
    return sum(path.stat().st_size for path in files_below(folder / "masks.zarr"))
