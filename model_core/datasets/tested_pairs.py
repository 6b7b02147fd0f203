"""The public table of element-gene pairs that CRISPR tested in K562 (Gschwind et al. 2025), and where it is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from model_core.data_folder import user_data
from model_core.datasets.fetch import Item, fetch_sources
from model_core.datasets.presets import Source
from model_core.remote.address import RemotePath

NAME = "crispr-k562"
FILE = "EPCrisprBenchmark_combined_data.training_K562.GRCh38.tsv.gz"
COMMIT = "e34b78d489aa8535ae49384abd1fc64ced8ffe3c"
ADDRESS = (
    f"https://raw.githubusercontent.com/EngreitzLab/CRISPR_comparison/{COMMIT}/resources/crispr_data/{FILE}"  # MIT
)
# Of a copy of this file taken from that commit (10,356 pairs, 471 positive); what the server sends now was not asked.
CHECKSUM = "sha256:9eddfe18f6797ba33db8ba7e75378cc6af6b79cbb83f62d470c6e0cefed79405"


def tested_pairs() -> Path:
    """Return the path of the table in the user's data folder, whether it is there or not."""
    return user_data() / "pairs" / FILE


def fetch_tested_pairs(dry_run: bool = False, tell: Callable[[str], None] | None = None) -> list[Item]:
    """Download the table, with its checksum; `fetch_sources` describes the rest."""
    path = tested_pairs()
    about = "CRISPR-tested pairs, K562"
    source = Source(path.name, RemotePath(ADDRESS).url, about, checksum=CHECKSUM)
    return fetch_sources(path.parent, [source], dry_run, tell)
