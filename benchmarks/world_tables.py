"""Tables of the worlds' results in Markdown, from the finished cells of `worlds.py`."""

from __future__ import annotations

import statistics
from typing import Any

FRESH = 11  # world seeds from here on are for results
ASSIGNING = ("nearest the TSS", "contact")  # rivals in telling which element acts on which gene
COLUMNS = {
    "auprc": "AUPRC",
    "precision": "precision",
    "causal": "causal kept",
    "weak": "weak kept",
    "decoy": "decoys kept",
    "closed": "closed kept",
    "other": "other genes' kept",
    "assignment": "gene assignment",
}
EFFECTS = {
    "r": "r",
    "slope": "predicted on planted",
    "calibration": "planted on predicted",
    "r_causal": "r, causal alone",
    "mean_decoy": "mean, decoys",
    "mean_closed": "mean, closed",
    "mean_from_0": "mean within 700 bp",
    "planted_from_0": "planted",
    "mean_from_1400": "mean beyond 1.4 kb",
    "planted_from_1400": "planted",
    "within_2_sd": "within 2 sd",
    "within_2_sd_causal": "causal",
    "recurrent_causal": "found by all members, causal",
    "recurrent_decoy": "decoys",
    "recurrent_closed": "closed",
    "swapped_mask": "opened or closed elements by mask, AUROC",
    "swapped_effect": "by effect",
    "swapped_effect_changed": "changed effects by effect",
    "swapped_effect_error": "by effect and its error",
}


def tables(cells: list[dict[str, Any]]) -> str:
    """Return a table in Markdown for each world: each score's mean over cells, and its sd where there are several."""
    lines = []
    for world in dict.fromkeys(cell["world"] for cell in cells):
        rows: dict[str, list[dict]] = {}
        for cell in (cell for cell in cells if cell["world"] == world):
            for name, row in cell["scores"].items():
                prefix = f"{cell['model']}: " if "model" in cell else ""
                rows.setdefault(f"{prefix}{name}", []).append(row)
        lines += [f"\n### {world}\n", f"| | {' | '.join(COLUMNS.values())} | cells |"]
        lines.append("|---|" + "--:|" * (len(COLUMNS) + 1))
        for name, found in rows.items():
            values = [spread([row[key] for row in found]) for key in COLUMNS]
            lines.append(f"| {name} | {' | '.join(values)} | {len(found)} |")
    return "\n".join(lines)


def effect_table(cells: list[dict[str, Any]]) -> str:
    """Return a table of effects against planted ones, of each model in each world: means over cells."""
    lines = [f"| world | | {' | '.join(EFFECTS.values())} | cells |", "|---|---|" + "--:|" * (len(EFFECTS) + 1)]
    rows: dict[tuple[str, str], list[dict]] = {}
    for cell in cells:
        if "model" in cell and "effects" in cell:
            swapped = {f"swapped_{name}": value for name, value in cell["swapped_cell"].items()}
            rows.setdefault((cell["world"], cell["model"]), []).append(cell["effects"] | swapped)
        for name, found in cell["effects"].items() if "model" not in cell else ():
            rows.setdefault((cell["world"], name), []).append(found)
    for (world, name), found in rows.items():
        values = [spread([row.get(key) for row in found]) for key in EFFECTS]
        lines.append(f"| {world} | {name} | {' | '.join(values)} | {len(found)} |")
    return "\n".join(lines)


def difference_table(cells: list[dict[str, Any]]) -> str:
    """Return a table of paired differences of AUPRC, one row for each cell of a model: against every rival."""
    lines = []
    for cell in cells:
        if "differences" in cell:
            found = cell["differences"]
            if not lines:
                names = [name for name in found if not name.startswith(("oracle", "occlusion"))]
                lines = [f"| cell | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
            words = [f"{found[n]['auprc']:+.3f} ({found[n]['low']:+.3f} to {found[n]['high']:+.3f})" for n in names]
            title = f"{cell['world']} {cell['world_seed']}, {cell['model']} {cell['seed']}"
            lines.append(f"| {title} | {' | '.join(words)} |")
    return "\n".join(lines)


def paired_table(cells: list[dict[str, Any]]) -> str:
    """Return a table of the other paired differences: gene assignment, and r of effects against that of contact."""
    lines = [f"| cell | {' | '.join(f'gene assignment, mask - {n}' for n in ASSIGNING)} | r, effect - contact |"]
    lines.append("|---|--:|--:|--:|")
    for cell in cells:
        if "assignment_differences" in cell:
            found = [*cell["assignment_differences"].values(), cell.get("r_minus_contact")]
            words = [f"{x['value']:+.3f} ({x['low']:+.3f} to {x['high']:+.3f})" if x else "" for x in found]
            lines.append(
                f"| {cell['world']} {cell['world_seed']}, {cell['model']} {cell['seed']} | {' | '.join(words)} |"
            )
    return "\n".join(lines)


def target_table(cells: list[dict[str, Any]], model: str = "causal") -> str:
    """Return a table of the targets, and in how many of a model's cells in fresh worlds each is met."""
    rivals_of = {(cell["world"], cell["world_seed"]): cell for cell in cells if "model" not in cell}
    hidden = {(c["world"], c["world_seed"]): c for c in cells if c.get("model") == "unmasked"}
    met: dict[str, list[bool | None]] = {}
    for cell in (cell for cell in cells if cell.get("model") == model):
        where = cell["world"], cell["world_seed"]
        for name, is_met in _targets(cell, rivals_of[where]["scores"], hidden.get(where)).items():
            met.setdefault(name, []).append(is_met)
    lines = ["| target | met in cells | judged |", "|---|--:|--:|"]
    for name, found in met.items():
        judged = [x for x in found if x is not None]
        lines.append(f"| {name} | {sum(judged)} | {len(judged)} |")
    return "\n".join(lines)


def _targets(cell: dict[str, Any], rival: dict[str, Any], occluded: dict[str, Any] | None) -> dict[str, bool | None]:
    """Return which targets a model's cell meets, of its world's rivals and occlusion; None where that is not known."""
    mask, effects, swapped = cell["scores"]["mask"], cell["effects"], cell["swapped_cell"]
    lows = {name: row["low"] for name, row in cell["differences"].items()}
    signals = [name for name in lows if not name.startswith(("oracle", "occlusion", "trees"))]
    scan = rival["oracle: scan for the grammar x DNase x contact"]["auprc"]
    weak = [row["weak"] for name, row in occluded["scores"].items() if "+" not in name] if occluded else []
    return {
        "AUPRC of the mask above every signal, paired interval above 0": min(lows[name] for name in signals) > 0,
        "above trees (expression), paired interval above 0": lows["trees (expression)"] > 0,
        "above trees (truth), paired interval above 0": lows["trees (truth)"] > 0,
        "above occlusion, plain and gated, paired interval above 0": (
            min(row["low"] for row in occluded["causal_minus"].values()) > 0 if occluded else None
        ),
        "above the effect alone": mask["auprc"] > cell["scores"]["effect"]["auprc"],
        "at least .8 of the scan oracle's AUPRC": mask["auprc"] >= 0.8 * scan,
        "closed kept at most a tenth of causal kept": mask["closed"] <= mask["causal"] / 10,
        "weak kept not below occlusion's": (mask["weak"] >= max(weak) if occluded else None),
        "r of effects above that of contact, paired interval above 0": cell["r_minus_contact"]["low"] > 0,
        "planted on predicted effect, slope .7 to 1.3": 0.7 <= effects["calibration"] <= 1.3,
        "predicted on planted effect, slope .7 to 1.3": 0.7 <= effects["slope"] <= 1.3,
        "gene assignment above the nearest gene's and contact's, paired intervals above 0": (
            min(row["low"] for row in cell["assignment_differences"].values()) > 0
        ),
        "swapped cell type: opened or closed elements by the mask, AUROC .9": swapped["mask"] >= 0.9,
        "the same by the effect": swapped["effect"] >= 0.9,
        "swapped cell type: changed effects by the effect, AUROC .9": swapped["effect_changed"] >= 0.9,
    }


def spread(values: list[float | None]) -> str:
    """Format the mean, and sd of several values; "" where a value is unknown."""
    if None in values:
        return ""
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.3f}" + (f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else "")


def undone_table(cells: list[dict[str, Any]]) -> str:
    """Return a table of the recipe and of it with one setting undone each: single cells of development worlds."""
    lines = ["| world | model | AUPRC | weak kept | decoys kept | gene assignment | r of effects | expression, r |"]
    lines.append("|---|---|" + "--:|" * 6)
    models = [cell for cell in cells if "effects" in cell and "model" in cell]
    several = {cell["world"] for cell in models if cell["model"] != "causal"}
    for cell in sorted((cell for cell in models if cell["world"] in several), key=lambda x: (x["world"], x["model"])):
        mask = cell["scores"]["mask"]
        values = [mask[name] for name in ("auprc", "weak", "decoy", "assignment")]
        values += [cell["effects"]["r"], cell["pearson"]]
        lines.append(f"| {cell['world']} | {cell['model']} | {' | '.join(f'{x:.3f}' for x in values)} |")
    return "\n".join(lines)


def printed(cells: list[dict[str, Any]]) -> None:
    """Print the results of fresh worlds, then what settings undone do in development worlds."""
    fresh = [cell for cell in cells if cell["world_seed"] >= FRESH]
    if any("model" in cell for cell in fresh):
        print(f"\n## Fresh worlds\n\n### Targets\n\n{target_table(fresh)}")
        print(tables(fresh))
        print(f"\n### Effects of elements\n\n{effect_table(fresh)}")
        print(f"\n### AUPRC of the mask minus that of rivals, the same genes resampled\n\n{difference_table(fresh)}")
        print(f"\n### Other paired differences\n\n{paired_table(fresh)}")
    old = [cell for cell in cells if cell["world_seed"] < FRESH]
    print(f"\n### Settings undone, development world, one seed\n\n{undone_table(old)}")
