"""manifest.json: the kind of a run, its lengths and rules, and the files from which it was made."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, overload

from pydantic import Field

from model_core.bins import EFFECT_BIN
from model_core.decision import DecisionRule
from model_core.errors import InputError
from model_core.fingerprint import sha256_of
from model_core.listing import is_empty
from model_core.records import COPY_AGAIN, Base, Count, Name, PathText, Record, Share, check, read_json, read_json_value
from model_core.run_folder.schema1 import manifest_of_2
from model_core.setting_groups import MOST_MEMBERS

SCHEMA = 2
LONGEST_WINDOW = 10**8  # bp; longer than any model reads
BANDS = ("none", "beta", "members")  # meaning of the band around a mask: none, sd of z under its Beta, between members
_NEEDED = (
    *("kind", "name", "variant", "decision", "band"),
    *("window", "promoter", "resolution", "element_rule", "progress"),
)
_NEEDED_IN_1 = ("variant", "element_rule")  # the others are checked after the conversion to schema 2
_RECORDED = ("seq2exp-viz", "numpy", "scipy", "pandas", "zarr", "torch")  # packages whose versions are kept
_LEFTOVERS = (
    "study.json",
    "config.json",
    "chrom.sizes",
    "blacklist.bed",
    "lock",
)  # written before the manifest


class SourceFile(Record):
    """A file from which a run was made."""

    path: PathText
    relative: PathText
    sha256: str


class RemoteInput(Record):
    """A file at an address that the study names, as it was when the run was made."""

    address: PathText
    size: Count
    tag: str


class ModelSource(SourceFile):
    """`checkpoint` of a manifest: the file, and what is known of the model in it; absent fields are unknown."""

    name: str | None = None  # a known model's, or the file's
    source: str | None = None  # address, with the commit
    revision: str | None = None
    cell_type: str | None = None  # that it was trained on
    variant: str | None = None
    trained_on: str | None = None  # in words
    test_chromosomes: list[str] | None = None  # it has seen the genes of all other chromosomes
    training_chromosomes: list[str] | None = None  # it has seen genes of these, and of no others
    control: Name | None = None  # negative control that it was trained as


class Decision(Record):
    """`decision` of a manifest; its ranges are those of `DecisionRule`."""

    kind: str = "soft"
    threshold: float = 0.5
    share: float = 0.1


class Rule(Record):
    """`element_rule` of a manifest or of a line of effects.jsonl."""

    threshold: Share
    smooth_bp: Count = 100
    max_gap: Count = 100
    min_length: Count = 50
    kept_target: Share | None = None


class Progress(Record):
    """`progress` of a manifest."""

    scored: Count = 0
    asked: Count | None = None


class Assembled(Record):
    """`assembled` of a manifest: what the derived files were made with."""

    genes: Count
    decimals: Annotated[int, Field(ge=0, le=20)] | None  # None: values are not rounded
    track_resolution: Annotated[int, Field(ge=1, le=10**9)]


class Manifest(Record):
    """Fields of manifest.json, schema 2 (docs/run-folder.md)."""

    kind: Literal["training", "scoring"]
    name: PathText  # that of a folder
    created: str
    simulated: bool
    variant: Name
    decision: Decision
    band: str
    study: SourceFile | None
    checkpoint: ModelSource | None
    inputs: dict[str, RemoteInput] | None = None
    versions: dict[str, str] | None = None
    seed: int | None = None
    control: Name | None = None  # negative control that the study stands for
    members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)] | None = None  # whose effects the run stores
    contact: Name | None = None  # signal of which the run stores the contact
    window: Annotated[int, Field(le=LONGEST_WINDOW)]
    promoter: Base
    resolution: Base
    element_rule: Rule | None
    merge_rule: Literal["max"] = "max"
    progress: Progress
    assembled: Assembled | None = None


def new_manifest(
    folder: Path,
    study: str | Path | None,
    checkpoint: str | Path | None,
    about_checkpoint: Mapping[str, Any] | None = None,
    **entries: Any,
) -> dict[str, Any]:
    """Return the manifest of a run without scored genes.

    Parameters
    ----------
    folder : Path
        The run folder.
    study, checkpoint : str or Path or None
        Files from which the run is made; recorded with their sha256.
    about_checkpoint : Mapping[str, Any] or None
        What is known of the checkpoint's model: fields of `ModelSource`; recorded with the checkpoint.
    **entries : Any
        Its other fields (docs/run-folder.md).

    Raises
    ------
    InputError
        A file is missing.
    """
    weights = described_file(checkpoint, folder)
    return {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": described_file(study, folder),
        "checkpoint": None if weights is None else {**(about_checkpoint or {}), **weights},
        "versions": _versions(),
        "element_rule": None,
        "merge_rule": "max",
        **entries,
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a run folder; one of schema 1 is converted to schema 2.

    Raises
    ------
    InputError
        No folder, no run, half-written, damaged, or of a newer schema.
    """
    path = folder / "manifest.json"
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise InputError(folder, found=found, expected="a run folder", fix="check the path")
    if not path.exists():
        if not is_empty(folder) and is_free(folder):
            found, advice = (
                "a run folder whose creation was cut off",
                "create it again, nothing was scored yet",
            )
        else:
            found, advice = "no manifest.json", "give a folder that train or score has written"
        raise InputError(folder, found=found, expected="a run folder", fix=advice)
    manifest = read_json_value(path)
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, int) or schema < 1:
        raise InputError(
            path, found=f"schema {schema!r}", expected=f"schema 1 to {SCHEMA}", fix="give the folder of a run"
        )
    if schema > SCHEMA:
        advice = "update seq2exp-viz to read it"
        raise InputError(path, found=f"schema {schema}", expected=f"schema {SCHEMA} at most", fix=advice)
    if schema == 1 and all(name in manifest for name in _NEEDED_IN_1):
        manifest = manifest_of_2(manifest, read_config(folder / "config.json"))
    missing = [name for name in _NEEDED if name not in manifest]
    if missing:
        raise InputError(path, found=f"no {', '.join(missing)}", expected="the manifest of a run", fix=COPY_AGAIN)
    if manifest["band"] not in BANDS:
        found, expected = f"band {manifest['band']!r}", f"one of {', '.join(BANDS)}"
        raise InputError(path, found=found, expected=expected, fix="update seq2exp-viz, or copy the run again")
    check_lengths(path, manifest)
    check(manifest, Manifest, path)
    try:
        DecisionRule.from_dict(manifest["decision"])
    except InputError as error:
        raise error.at(f"{path} decision") from None
    return manifest


class Config(Record):
    """Fields of config.json; what `model` states is checked by `config.read_model_config`."""

    model: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    feature_scale: dict[str, Any] | None = None


def read_config(path: Path) -> dict[str, Any]:
    """Read config.json, as `records.read_json`; empty where the run has none."""
    return read_json(path, Config) if path.exists() else {}


def check_lengths(where: object, manifest: Mapping[str, Any]) -> None:
    """Check that window, promoter and resolution (bp) are whole numbers that fit together, and a row fits into memory.

    Parameters
    ----------
    where : object
        The run folder or its file, for the message.
    manifest : Mapping[str, Any]
        With these three entries, and `members` where effects are stored.

    Raises
    ------
    InputError
        They are no whole numbers of at least 1, or do not fit together.
    """
    window, promoter, resolution = (manifest[name] for name in ("window", "promoter", "resolution"))
    if any(not isinstance(x, int) or isinstance(x, bool) or x < 1 for x in (window, promoter, resolution)):
        found = f"window {window!r}, promoter {promoter!r}, resolution {resolution!r}"
        raise InputError(where, found=found, expected="lengths in bp of at least 1", fix="correct them")
    if promoter > window:
        found = f"a promoter of {promoter} bp in a window of {window} bp"
        raise InputError(where, found=found, expected="promoter <= window", fix="correct them")
    if window % resolution:
        found = f"resolution {resolution} bp for a window of {window} bp"
        raise InputError(
            where, found=found, expected="a resolution that divides the window", fix="choose one that does"
        )
    members = manifest.get("members") or 1
    if isinstance(members, int) and members * -(-window // EFFECT_BIN) > LONGEST_WINDOW:
        found = f"effects of {members} members over {window:,} bp"
        expected = f"at most {LONGEST_WINDOW:,} of them, one a member and {EFFECT_BIN} bp"
        raise InputError(where, found=found, expected=expected, fix="choose a shorter window, or fewer members")


def is_free(folder: Path) -> bool:
    """Return whether a run can be created here: nothing, an empty folder, or leftovers of a killed creation."""
    if not folder.exists():
        return True
    return folder.is_dir() and is_empty(folder, _LEFTOVERS)


@overload
def described_file(path: str | Path, folder: Path) -> dict[str, str]: ...
@overload
def described_file(path: str | Path | None, folder: Path) -> dict[str, str] | None: ...
def described_file(path: str | Path | None, folder: Path) -> dict[str, str] | None:
    """Return paths and hash of a file, as a manifest records it; None for no file.

    Parameters
    ----------
    path : str or Path or None
        The file.
    folder : Path
        The run folder.

    Returns
    -------
    dict[str, str] or None
        "path": absolute; "relative": from the run folder; "sha256": hash of the content.

    Raises
    ------
    InputError
        No such file.
    """
    if path is None:
        return None
    path = Path(path).resolve()
    if not path.is_file():
        raise InputError(path, found="no such file", expected="a file to record in the run", fix="check the path")
    return {"path": str(path), "relative": os.path.relpath(path, folder.resolve()), "sha256": sha256_of(path)}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _RECORDED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # the viewer installs without torch
    return found
