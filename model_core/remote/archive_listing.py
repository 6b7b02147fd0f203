"""Listings of .tar archives, kept on the disk: each of their members costs a request the first time."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Annotated

from pydantic import Field

from model_core.cache import user_cache
from model_core.errors import InputError
from model_core.files import write_json
from model_core.records import Count, Record, read_json
from model_core.remote.archive import MOST_MEMBERS, Member, members
from model_core.remote.ranges import Ranges


class _ListingRecord(Record):
    members: Annotated[list[tuple[str, Count, Count, Count, str]], Field(max_length=MOST_MEMBERS, strict=False)]


def kept_members(file: Ranges, name: str, state: str) -> list[Member]:
    """Return what `archive.members` does, which is read once for each state of a .tar.

    Parameters
    ----------
    file, name
        As in `archive.members`.
    state : str
        A text that changes with the file.
    """
    if not name.lower().endswith(".tar"):
        return members(file, name)
    place = user_cache() / "listings" / f"{hashlib.sha256(f'{file.name}|{state}'.encode()).hexdigest()[:40]}.json"
    if place.is_file():
        with suppress(InputError):  # a damaged one is made again
            kept = [Member(*fields) for fields in read_json(place, _ListingRecord)["members"]]
            if all(member.start <= member.end <= file.size for member in kept):
                return kept
    found = members(file, name)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, {"members": [member[:5] for member in found]})
    return found
