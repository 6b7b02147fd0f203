"""Inputs of a study that lie at addresses: their state when a run was made, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from model_core.cache import notice
from model_core.errors import InputError, Problem
from model_core.remote.address import RemotePath
from model_core.remote.address_check import without_query
from model_core.remote.block_store import State
from model_core.remote.remote_file import same_file, told
from model_core.remote.whole_files import state_of
from model_core.study.study import Study


def remote_inputs(study: Study) -> dict[str, dict[str, Any]]:
    """Return the state of each input that lies at an address, as the manifest of a run records it.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    dict[str, dict[str, Any]]
        By place in study.toml, such as "signals.DNase": "address" (without its query, which may hold a token), "size"
        in bytes, "tag" (ETag, else date of the last change, else ""). A file that its server does not give is left out.
    """
    return {place: {"address": address, **state._asdict()} for place, address, state in _states(study)}


def warn_of_changes(recorded: Mapping[str, Mapping[str, Any]] | None, study: Study) -> None:
    """Print a warning for each input that is another file at the same address than when the run was made.

    Parameters
    ----------
    recorded : Mapping[str, Mapping[str, Any]] or None
        `inputs` of the manifest; None or no entry: nothing is known, and nothing is said.
    study : Study
        The study, as it is now.
    """
    if not recorded:
        return
    for place, address, state in _states(study):
        before = recorded.get(place)
        if before is None or before["address"] != address:
            continue
        known = State(before["size"], before["tag"])
        if not same_file(state, known):
            do = "genes that were scored before rest on the old file: score into a new run folder for masks of one file"
            found = f"another file since the run was begun ({told(state)})"
            notice(f"changed {place} {address}", str(Problem(f"{place} {address}", found, told(known), do)))


def _states(study: Study) -> Iterator[tuple[str, str, State]]:
    for place, path in study.inputs().items():
        if isinstance(path, RemotePath):
            with suppress(InputError):  # whoever reads the file says why it cannot be had
                yield place, without_query(str(path)), state_of(path)
