"""Names of saved files: safe on any file system, distinct for different genes, sent as RFC 6266 requires."""

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
    """Return text as a part of a file name: letters and digits of any script, and "._+-"; "" where nothing is left.

    Parameters
    ----------
    text : str
        Any text, such as a gene symbol.
    most : int
        Length limit in bytes of UTF-8.
    """
    text = unicodedata.normalize("NFC", text)
    kept = _UNFIT.sub("_", text).encode()[:most].decode(errors="ignore")
    return kept.strip("." if kept == text else "._")


def run_part(name: str) -> str:
    """Return the name of a run with which every file name of the run begins."""
    part = name_part(name, RUN_BYTES).lstrip("-") or "run"
    return f"{part}_" if _RESERVED.fullmatch(part) else part


def gene_parts(genes: pd.DataFrame) -> dict[str, str]:
    """Return each gene's part of a file name: its symbol, with its id where symbols are equal or empty.

    Parameters
    ----------
    genes : DataFrame
        Columns gene_id and symbol, all genes of the run.

    Returns
    -------
    dict[str, str]
        gene_id -> part; parts are distinct, also without regard to case.
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
    """Return the value of a Content-Disposition header that saves an answer under a name.

    Names with characters beyond ASCII are sent twice, plain and by RFC 5987; a header can hold only Latin-1.
    """
    name = name.replace('"', "_").replace("\\", "_")
    name = "".join(letter if letter.isprintable() else "_" for letter in name)
    plain = "".join(letter if letter.isascii() else "_" for letter in name)
    encoded = "" if name.isascii() else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'
