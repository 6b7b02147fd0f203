"""The tables that `seq2exp-viz compare` wrote into a run, as cells of text for the page."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from model_core.bed import read_lines
from model_core.listing import files_in
from model_core.tsv import cells_of

MOST_ROWS, MOST_COLUMNS = 40, 12
FIRST = ("scores", "crispr", "peaks", "prediction", "seeds")


def comparison_tables(folder: Path) -> list[tuple[str, list[list[str]], bool]]:
    """Return (name, rows of cells with the header first, whether rows were left out) of each table in RUN/compare/.

    The tables of FIRST come first, in that order.
    """
    found = []
    first = {name: place for place, name in enumerate(FIRST)}
    for path in sorted(files_in(folder, "*.tsv"), key=lambda path: (first.get(path.stem, len(FIRST)), path)):
        rows = (cells_of(line) for _, line in read_lines(path) if line.strip() and not line.startswith("##"))
        cells = [[_short(cell) for cell in row[:MOST_COLUMNS]] for row in islice(rows, MOST_ROWS + 2)]
        if cells:
            cells[0] = [name.replace("_", " ") for name in cells[0]]
            found.append((path.stem.replace("_", " "), cells[: MOST_ROWS + 1], len(cells) > MOST_ROWS + 1))
    return found


def _short(cell: str) -> str:
    try:
        return f"{float(cell):.4g}" if "." in cell or "e" in cell.lower() else cell
    except ValueError:
        return cell[:60]
