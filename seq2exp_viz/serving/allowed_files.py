"""Files that `serve --allow FOLDER` lets the page open, listed by id so that no request ever carries a path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from model_core.errors import InputError
from model_core.listing import files_below

_TEXT = (
    *(".bed", ".narrowpeak", ".broadpeak", ".gappedpeak", ".bedgraph", ".bdg", ".wig", ".bedpe", ".interact"),
    *(".longrange", ".gtf", ".gff", ".gff3", ".genepred", ".refflat", ".vcf"),
)
# Chosen by name, as each request lists the folders: the content is checked when a file is opened.
ENDINGS = (".bigwig", ".bw", ".bigbed", ".bb", *_TEXT, *(f"{ending}.gz" for ending in _TEXT))
MOST_FILES = 2_000
DEEPEST = 6  # folders below the allowed one


class Listed(NamedTuple):
    """One file: its id, its name below the allowed folder, its size in bytes and its path."""

    id: str
    name: str
    size: int
    path: Path


class AllowedFiles:
    """The track files below some folders, listed anew for each request.

    Links that lead out of the folder are not followed.

    Parameters
    ----------
    folders : Iterable[str or Path]
        Folders whose track files may be opened.

    Raises
    ------
    InputError
        A folder does not exist.
    """

    def __init__(self, folders: Iterable[str | Path] = ()):
        self.folders = [Path(folder).resolve() for folder in folders]
        for folder in self.folders:
            if not folder.is_dir():
                raise InputError(folder, found="no such folder", expected="a folder with tracks", fix="correct --allow")

    def files(self) -> list[Listed]:
        """Return the files that may be opened now, by name: at most MOST_FILES, without stray and empty files."""
        found: list[Listed] = []
        for number, folder in enumerate(self.folders):
            for path in _tracks_below(folder):
                name, size = str(path.relative_to(folder)), path.stat().st_size
                if not size:
                    continue
                digest = hashlib.sha256(f"{number}/{name}".encode()).hexdigest()[:20]
                found.append(Listed(digest, name, size, path))
                if len(found) == MOST_FILES:
                    return found
        return found

    def path(self, key: str) -> Path | None:
        """Return the path of the file with this id, or None where no allowed file has it."""
        return next((file.path for file in self.files() if file.id == key), None)


def _tracks_below(folder: Path) -> Iterator[Path]:
    for path in files_below(folder, DEEPEST, links=True):
        if path.name.lower().endswith(ENDINGS) and path.resolve().is_relative_to(folder):
            yield path
