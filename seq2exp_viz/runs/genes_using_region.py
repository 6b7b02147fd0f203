"""The genes whose windows contain a region: its effect on each where the run stores effects, else the masks over it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.run_folder.element_effects import EFFECT_NAMES, OF_MEMBERS
from model_core.run_folder.element_gene_score import direction, element_gene_score
from model_core.run_folder.member_effects import mean_contact, region_effect
from seq2exp_viz.runs.element_tables import element_table
from seq2exp_viz.runs.run_view import RunView

MOST_GENES = 60  # masks that are read for one answer; the nearest start sites first
LONGEST = 100_000  # bp of a region
COLUMNS = (
    *("gene_id", "symbol", "chrom", "tss", "strand", "distance", "mean_mask", "max_mask", "bases"),
    *("element", "class", *EFFECT_NAMES),
)


def genes_using_region(view: RunView, chrom: str, start: int, end: int) -> tuple[pd.DataFrame, int]:
    """Return the scored genes whose window overlaps chrom:start-end, those on which it acts most first.

    They are ranked by the size of the region's effect on each gene where the run stores effects, else by the mean mask
    (`ranked_by`).

    Parameters
    ----------
    view : RunView
        The run.
    chrom : str
        Chromosome.
    start, end : int
        Region, 0-based half-open, at most LONGEST bp.

    Returns
    -------
    tuple[DataFrame, int]
        (table, count): COLUMNS of at most MOST_GENES genes, and the number of all such genes. mean_mask and max_mask
        are those of the mask, as the model uses it, over the `bases` learned bases of the region (NaN where there are
        none, as in promoter and blacklist). distance: bp from the TSS to the region's middle, negative upstream on the
        gene's strand. element: the gene's element that shares most bases with the region, or "". class, control_rank
        and control_n are that element's. The other columns of effects (`run_folder.element_effects`) are those of
        the region on this gene where the run stores effects, NaN where the model decided no base of the region; else
        those of that element.

    Raises
    ------
    InputError
        The region is empty or too long.
    """
    if not 0 <= start < end or end - start > LONGEST:
        found = f"{chrom}:{start + 1:,}-{end:,}"
        raise InputError("region", found=found, expected=f"1 to {LONGEST:,} bp", fix="choose a region of that length")
    genes = view.run.genes
    near = genes[(genes["chrom"] == chrom) & (genes["start"] < end) & (genes["end"] > start)]
    middle = (start + end) // 2
    count = len(near)
    order = (near["tss"] - middle).abs().sort_values(kind="stable").index[:MOST_GENES]
    rows = [_row(view, gene, start, end, middle) for gene in near.loc[order].to_dict("records")]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    rank = table["effect"].abs() if ranked_by(table) == "effect" else table["mean_mask"]
    order = pd.DataFrame({"rank": rank, "mean_mask": table["mean_mask"]}).sort_values(
        ["rank", "mean_mask"], ascending=False, na_position="last", kind="stable"
    )
    return table.loc[order.index].reset_index(drop=True), count


def ranked_by(table: pd.DataFrame) -> str:
    """Return what the genes of a table are ranked by: "effect" of the region on each, or "mask"."""
    return "effect" if table["recurrence"].notna().any() else "mask"


def _row(view: RunView, gene: dict, start: int, end: int, middle: int) -> dict:
    mask = view.run.mask(gene["gene_id"])  # not cached: there are many, and each is read once
    first, stop = (start - mask.start) // mask.resolution, -(-(end - mask.start) // mask.resolution)
    part = slice(max(0, first), max(0, stop))
    values = mask.mask[part][mask.learned[part]]
    strand = -1 if gene["strand"] == "-" else 1
    return {
        **{name: gene[name] for name in ("gene_id", "symbol", "chrom", "strand")},
        "tss": int(gene["tss"]),
        "distance": strand * (middle - int(gene["tss"])),
        "mean_mask": float(values.mean()) if len(values) else np.nan,
        "max_mask": float(values.max()) if len(values) else np.nan,
        "bases": len(values) * mask.resolution,
        **_element(view, gene["gene_id"], start, end),
        **_effect(view, gene["gene_id"], start, end, len(values) > 0),
    }


def _effect(view: RunView, gene_id: str, start: int, end: int, decided: bool) -> dict:
    """Return the effect of a region on a gene where the run stores it, unknown where the model decided no base."""
    effects = view.member_effects(gene_id)
    if effects is None:
        return {}
    if not decided:
        return {**dict.fromkeys(("effect", *OF_MEMBERS, "contact", "element_gene_score"), np.nan), "direction": ""}
    found, contact = region_effect(effects, start, end), view.contact_share(gene_id)
    share = np.nan if contact is None else mean_contact(contact, (effects.start, effects.end), start, end)
    return {
        **found._asdict(),
        "members": len(effects.values),
        "direction": direction(found.effect, found.effect_sd),
        "contact": share,
        "element_gene_score": float(element_gene_score(found.effect, np.nan, share)),
    }


def _element(view: RunView, gene_id: str, start: int, end: int) -> dict:
    table = _by_gene(view).get(gene_id)
    nothing = {"element": "", "class": "", **dict.fromkeys(EFFECT_NAMES, np.nan), "direction": ""}
    if table is None:
        return nothing
    shared = np.minimum(table["end"].to_numpy(), end) - np.maximum(table["start"].to_numpy(), start)
    if not len(shared) or shared.max() <= 0:
        return nothing
    best = table.iloc[int(shared.argmax())]
    return {"element": str(best["name"]), **{name: best[name] for name in ("class", *EFFECT_NAMES)}}


def _by_gene(view: RunView) -> dict[str, pd.DataFrame]:
    table = element_table(view)
    return view.keep("elements by gene", id(table), lambda: _Groups(table))


class _Groups:
    """Rows of a table by gene_id, without a copy of the table."""

    def __init__(self, table: pd.DataFrame):
        self.table, self.places = table, table.groupby("gene_id", observed=True).indices

    def get(self, gene_id: str) -> pd.DataFrame | None:
        places = self.places.get(gene_id)
        return None if places is None else self.table.iloc[places]
