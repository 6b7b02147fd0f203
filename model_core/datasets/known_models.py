"""Models by name: the authors' released checkpoints, and any file by hf:// address, URL or path.

A name is a kind of mask and a cell type: soft-k562, or soft-k562-seed22. The file is found in the listing of the
authors' repository: a checkpoint whose path has exactly one kind of mask and one cell type among its words. Of files
that differ in their seed, the lowest is taken; whatever else is ambiguous is refused with the list of files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_core.datasets.hugging_face import HubFile, Listing, fetched, listing, parse_address
from model_core.errors import InputError
from model_core.fingerprint import sha256_of
from model_core.remote.address import RemotePath, input_path

REPOSITORY = "xingyusu/GeneExp_Seq2Exp"
VARIANTS = ("soft", "hard")
CELL_TYPES = ("K562", "GM12878", "H1")
NAMES = tuple(f"{variant}-{cell_type.lower()}" for cell_type in CELL_TYPES for variant in VARIANTS)
TEST_CHROMOSOMES = ("chr22", "chrX")  # of fold_11, which the released models were tested on
_NAME = re.compile(rf"({'|'.join(VARIANTS)})-({'|'.join(CELL_TYPES)})(?:-seed([0-9]{{1,9}}))?", re.IGNORECASE)
_SEED = re.compile(r"seed[_=-]?([0-9]{1,9})")
_CHECKPOINTS = (".ckpt", ".safetensors")


@dataclass(frozen=True)
class ModelFile:
    """A model's file.

    Attributes
    ----------
    path : Path
        On this machine.
    name : str
        Name, or file name.
    source : str
        Address or path that it is from, with the commit.
    revision : str or None
        Commit on Hugging Face.
    sha256 : str
        Of its content; "" for a path that does not exist.
    cell_type, variant : str or None
        Of a released model.
    trained_on : str
        In words; "" where not known.
    test_chromosomes : tuple[str, ...]
        Chromosomes whose genes it was not trained on; () where not known.
    """

    path: Path
    name: str
    source: str
    revision: str | None = None
    sha256: str = ""
    cell_type: str | None = None
    variant: str | None = None
    trained_on: str = ""
    test_chromosomes: tuple[str, ...] = ()


def model_file(text: str | Path) -> ModelFile:
    """Return a model by name, hf:// address, URL or path; what is not on this machine is fetched once.

    Raises
    ------
    UnreachableHubError
        No connection, and not fetched before.
    InputError
        No such name, repository or file; a name that fits several files; other content than listed.
    """
    address = str(text)
    if isinstance(text, str) and _NAME.fullmatch(text):
        found = listing(REPOSITORY)
        return _released(found, named(found, text), text.lower())
    if address.startswith("hf://"):
        kind, repository, revision, file = parse_address(address)
        found = listing(repository, kind, revision)
        return _released(found, found.file(file), Path(file).name)
    place = input_path(text)
    if isinstance(place, RemotePath):
        from model_core.remote.whole_files import local_copy

        path = local_copy(place, "the model")
        return ModelFile(path, place.name, place.address, sha256=sha256_of(path))
    path = Path(os.path.expanduser(place))
    if not path.exists() and not path.suffix and len(path.parts) == 1:
        expected = f"a path, an address, or one of {', '.join(NAMES)}"
        raise InputError("model", found=repr(address), expected=expected, fix="list them with `seq2exp-viz models`")
    return ModelFile(path, path.name, str(path), sha256=sha256_of(path) if path.is_file() else "")


def model_for(cell_type: str, asked: str | None = None) -> str:
    """Return the model that is asked for, "soft" and "hard" as the name of the released one for a cell type.

    Where none was released for it, that is the one of K562, as without a request: the caller says what it was trained
    on.

    Parameters
    ----------
    cell_type : str
        Of the study.
    asked : str or None
        "soft", "hard", or whatever `model_file` takes; None is "soft".

    Raises
    ------
    UnreachableHubError, InputError
        As `hugging_face.listing`.
    """
    variant = (asked or "soft").lower()
    if variant not in VARIANTS:
        return str(asked)
    wanted = (variant, cell_type.upper())
    there = wanted[1] in CELL_TYPES and wanted in {described(file.path) for file in checkpoints(listing(REPOSITORY))}
    return f"{variant}-{cell_type.lower()}" if there else f"{variant}-k562"


def named(of: Listing, name: str) -> HubFile:
    """Return the file of a listing that a name stands for.

    Raises
    ------
    InputError
        None, or several that do not differ in their seed alone.
    """
    asked = _NAME.fullmatch(name)
    if asked is None:
        raise InputError("model", found=repr(name), expected=f"one of {', '.join(NAMES)}", fix="correct it")
    wanted = (asked[1].lower(), asked[2].upper())
    fitting = [file for file in checkpoints(of) if described(file.path) == wanted]
    seeds = [seed_of(file.path) for file in fitting]
    if asked[3] is not None:
        fitting = [file for file, seed in zip(fitting, seeds, strict=True) if seed == int(asked[3])]
    elif fitting and None not in seeds and len(set(seeds)) == len(seeds):
        fitting = [fitting[seeds.index(min(seed for seed in seeds if seed is not None))]]
    if len(fitting) != 1:
        there = fitting or checkpoints(of)
        files = ", ".join(file.path for file in there[:40]) or "no checkpoint"
        found = f"{len(fitting) or 'no'} files for {name}, of: {files}"
        fix = f"give one by its address, hf://{of.repository}/FILE"
        raise InputError(f"Hugging Face, {of.repository}", found=found, expected="exactly one file", fix=fix)
    return fitting[0]


def checkpoints(of: Listing) -> list[HubFile]:
    """Return the files of a listing that may be models."""
    return [file for file in of.files if file.path.lower().endswith(_CHECKPOINTS)]


def described(path: str) -> tuple[str | None, str | None]:
    """Return kind of mask and cell type that the words of a path name; None where none or several."""
    words = set(re.split(r"[^a-z0-9]+", path.lower()))
    variants = [name for name in VARIANTS if name in words]
    cells = [name for name in CELL_TYPES if name.lower() in words]
    return variants[0] if len(variants) == 1 else None, cells[0] if len(cells) == 1 else None


def seed_of(path: str) -> int | None:
    """Return the seed that a path names: seed22, seed_22, seed=22."""
    found = _SEED.search(path.lower())
    return int(found[1]) if found else None


def seen_in_training(chroms: Iterable[str], test: Iterable[str] = TEST_CHROMOSOMES) -> np.ndarray:
    """Return which genes a model has seen in training or validation: those of all chromosomes but the test's.

    Parameters
    ----------
    chroms : Iterable[str]
        Chromosome of each gene, with or without "chr".
    test : Iterable[str]
        Chromosomes of the test split.

    Returns
    -------
    ndarray
        bool (n,).
    """
    held_out = {name.removeprefix("chr") for name in test}
    return np.array([chrom.removeprefix("chr") not in held_out for chrom in chroms], bool)


def _released(of: Listing, file: HubFile, name: str) -> ModelFile:
    path = fetched(of, file)
    source, sha256 = of.address(file), sha256_of(path)
    variant, cell_type = described(file.path) if of.repository == REPOSITORY else (None, None)
    if of.repository != REPOSITORY:
        return ModelFile(path, name, source, of.revision, sha256)
    words = f"{cell_type or 'unknown cells'}, fold_11: all chromosomes but {' and '.join(TEST_CHROMOSOMES)}"
    return ModelFile(path, name, source, of.revision, sha256, cell_type, variant, words, TEST_CHROMOSOMES)
