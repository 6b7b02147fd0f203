"""Names of files that are saved: safe on any file system, different for different genes, sent as RFC 6266 asks."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from urllib.parse import quote

import pandas as pd

RUN_BYTES, SYMBOL_BYTES, ID_BYTES = 80, 60, 40  # UTF-8 bytes: file systems take 255 for a whole name
_UNFIT = re.compile(r"[^\w.+-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.I)  # names of devices on Windows


def name_part(text: str, most: int = SYMBOL_BYTES) -> str:
    """The text as a part of a file name: letters and digits of any script, and "._+-"; "" where nothing is left.

    Parameters
    ----------
    most : int
        Bytes of UTF-8.
    """
    text = unicodedata.normalize("NFC", text)
    kept = _UNFIT.sub("_", text).encode()[:most].decode(errors="ignore")
    return kept.strip("." if kept == text else "._")


def run_part(name: str) -> str:
    """A run's name, with which every file name of the run begins."""
    part = name_part(name, RUN_BYTES).lstrip("-") or "run"
    return f"{part}_" if _RESERVED.fullmatch(part) else part


def gene_parts(genes: pd.DataFrame) -> dict[str, str]:
    """gene_id -> its part of a file name: the symbol; the id, too, where that would be another gene's or nothing.

    Parameters
    ----------
    genes : DataFrame
        gene_id and symbol of all genes of the run. No two parts differ in case alone.
    """
    ids = genes["gene_id"].astype(str).to_list()
    parts = dict(zip(ids, map(name_part, genes["symbol"].astype(str)), strict=True))
    for more in (lambda gene_id: name_part(gene_id, ID_BYTES), _digest):
        seen = Counter(part.casefold() for part in parts.values())
        for gene_id in [one for one, part in parts.items() if not part or seen[part.casefold()] > 1]:
            parts[gene_id] = ".".join(filter(None, [parts[gene_id], more(gene_id)]))
    return parts


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def content_disposition(name: str) -> str:
    """The value of a Content-Disposition header that saves an answer under `name`.

    Names with other than ASCII letters are sent twice, plain and by RFC 5987; a header holds Latin-1 alone.
    """
    name = name.replace('"', "_").replace("\\", "_")
    name = "".join(letter if letter.isprintable() else "_" for letter in name)
    plain = "".join(letter if letter.isascii() else "_" for letter in name)
    encoded = "" if name.isascii() else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'
