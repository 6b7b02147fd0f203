"""What the user's data folder keeps: the study of each cell type, the models that its runs rest on, and those runs.

A study is written on the first request and is then the same for all. The cache may be cleared without harm to a run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from model_core.data_folder import user_data
from model_core.datasets.known_models import ModelFile
from model_core.datasets.presets import PRESETS
from model_core.datasets.public_study import SOURCES, study_of_cell
from model_core.errors import InputError
from model_core.files import replacing
from model_core.lock import Lock

_WAIT = 120  # seconds for another process that writes the same study
_NAME = re.compile(r"[^A-Za-z0-9_.+-]+")


def kept_study(cell_type: str, tell: Callable[[str], object] = print) -> Path:
    """Return the study.toml of a cell type, in its folder below `user_data`.

    Where it is missing it is written as `study_of_cell` does, which tells what was chosen. One that is there is taken
    as it is, with what its owner changed in it.

    Parameters
    ----------
    cell_type : str
        One of the presets, or a biosample as ENCODE spells it; large and small letters are the same.
    tell : callable
        Receives the lines about a new study.

    Raises
    ------
    InputError
        As `study_of_cell`, or the folder cannot be written.
    """
    folder = user_data() / "studies" / file_name(_spelled(cell_type))
    path = folder / "study.toml"
    if path.is_file():
        return path
    made_folder(folder)
    try:
        with Lock(folder / "lock").held(_WAIT):
            if not path.is_file():  # another process may have written it meanwhile
                (folder / SOURCES).unlink(missing_ok=True)  # of a writing that was cut off
                study_of_cell(cell_type, folder, tell, whole=True)
                tell(f"this study is kept in {folder}; remove the folder to choose its files anew")
    finally:
        with suppress(OSError):
            folder.rmdir()  # only if nothing was written
    return path


def kept_model(model: ModelFile) -> Path:
    """Return a model's file: a copy in the data folder of one that was fetched, any other where it is."""
    if model.source == str(model.path):
        return model.path
    path = user_data() / "models" / f"{file_name(model.name)}-{model.sha256[:12]}{model.path.suffix}"
    if not path.is_file():
        made_folder(path.parent)
        with replacing(path) as temporary:
            shutil.copyfile(model.path, temporary)
    return path


def kept_run(study_name: str, model_name: str) -> Path:
    """Return the run folder, below `user_data`, of a study's genes under a model."""
    return user_data() / "runs" / f"{file_name(study_name)}-{file_name(model_name)}"


def made_folder(folder: Path) -> Path:
    """Return a folder of the data folder, made where it is missing.

    Raises
    ------
    InputError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        found = f"a folder that cannot be made ({(problem.strerror or str(problem)).lower()})"
        do = "make it writable, or set SEQ2EXP_DATA to another folder"
        raise InputError(folder, found=found, expected="the user's data folder", fix=do) from None
    return folder


def file_name(text: str) -> str:
    """Return a name that is safe as that of a folder, of at most 70 characters.

    Raises
    ------
    InputError
        Nothing of it can stand in a name.
    """
    name = _NAME.sub("-", text).strip("-.+_")[:70]
    if not name:
        raise InputError("name", found=repr(text), expected="letters or digits", fix="correct it")
    return name


def _spelled(cell_type: str) -> str:
    """Return a preset's cell type as the preset spells it, any other in small letters."""
    for preset in PRESETS.values():
        if preset.cell_type.lower() == cell_type.lower():
            return preset.cell_type
    return cell_type.lower()
