"""What `bench crispr` prints: limits first, then the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.evaluation.crispr_bench import ALL, Bench, kb
from model_core.evaluation.element_scores import CONTACT_FACTORS, PRIOR, SIGNAL_FACTORS


def bench_text(bench: Bench, pairs: Path) -> str:
    """Return the text of a bench: limits, pairs, AUPRC, differences, and the scales of the prior.

    Parameters
    ----------
    bench : Bench
        The result.
    pairs : Path
        The file of the pairs.
    """
    about = bench.summary
    blocks = [[f"- {limit}" for limit in about["limits"]], _counts(about, pairs)]
    if "scores" in bench.tables:
        scores, differences = bench.tables["scores"], bench.tables["differences"]
        for pairs_of in scores["pairs_of"].unique():
            mine = scores[scores["pairs_of"] == pairs_of]
            blocks.append(_auprc(mine, pairs_of))
            blocks += [_groups(mine, by) for by in mine["by"].unique() if by != "distance" and pairs_of == ALL]
            blocks.append(_differences(differences[differences["pairs_of"] == pairs_of]))
    if "rivals" in bench.tables:
        blocks.append(_rivals(bench.tables["rivals"]))
    if "prior" in about:
        blocks.append(_prior(about["prior"]))
    blocks.append([f"not ranked: {name}: {reason}" for name, reason in about["missing"].items()])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _counts(about: dict[str, Any], pairs: Path) -> list[str]:
    lines = [f"{about['pairs']:,} tested pairs in {pairs}", f"positive where: {about['outcome']}"]
    lines.append(
        f"judged: {about['judged']:,} pairs of {about['genes']:,} genes, nearer than {kb(about['max_distance'])}, "
        f"{about['positives']:,} positive"
    )
    return lines + [f"left out: {count:,} ({reason})" for reason, count in about["left_out"].items()]


def _auprc(scores: pd.DataFrame, pairs_of: str) -> list[str]:
    """Return the AUPRC over classes of distance; of all pairs also weighed."""
    where = "" if pairs_of == ALL else f", on the pairs that {pairs_of} covers"
    scores = scores[scores["by"] == "distance"]
    columns = [(str(group), scores[scores["group"] == group], "") for group in scores["group"].unique()]
    weighed = "auprc_weighted" in scores and scores["auprc_weighted"].notna().any()
    if weighed:
        columns.append(("all, weighed", columns[-1][1], "_weighted"))
    note = ["  weighed: each pair by the probability that an effect in it is direct"] if weighed else []
    return [f"AUPRC (95 % interval over genes){where}", *_wide(columns), *note]


def _groups(scores: pd.DataFrame, by: str) -> list[str]:
    """Return the AUPRC in each group of pairs."""
    scores = scores[scores["by"] == by]
    columns = [(str(group), scores[scores["group"] == group], "") for group in scores["group"].unique()]
    return [f"AUPRC by {by.replace('_', ' ')}", *_wide(columns)]


def _wide(columns: Sequence[tuple[str, pd.DataFrame, str]]) -> list[str]:
    """Return one row per score, the highest of the last column first, and one column per (title, rows, kind)."""
    rows = {"": [""], "pairs, positive": ["pairs, positive"], "random ranking": ["random ranking"]}
    order = columns[-1][1].sort_values(f"auprc{columns[-1][2]}", ascending=False)["score"]
    rows |= {name: [name] for name in order}
    for title, here, kind in columns:
        first = here.iloc[0]
        rows[""].append(title)
        rows["pairs, positive"].append(f"{first['pairs']:,}, {first['positives']:,}")
        rows["random ranking"].append(share(first[f"positive_share{kind}"]))
        for name, row in here.set_index("score").iterrows():
            rows[str(name)].append(_interval(*(row[f"auprc{end}{kind}"] for end in ("", "_low", "_high"))))
    return _aligned(list(rows.values()))


def _differences(table: pd.DataFrame) -> list[str]:
    """Return each score's AUPRC less that of others on the same pairs: one row per score, one column per other."""
    if table.empty:
        return []
    others = list(dict.fromkeys(table["than"]))
    rows = [["", *(f"less {other}" for other in others)]]
    for score, mine in table.groupby("score", sort=False):
        cells = mine.set_index("than").reindex(others)[["difference", "difference_low", "difference_high"]]
        rows.append([str(score), *(_interval(*three, signed=True) for three in cells.to_numpy(float))])
    return ["difference of AUPRC (95 %, paired: the same resampled genes)", *_aligned(rows)]


def _rivals(table: pd.DataFrame) -> list[str]:
    return [
        f"{row.rival}: {row.file}, column {row.column}, {row.predictions:,} predictions; they cover "
        f"{row.covered:,} pairs ({row.covered_positives:,} positive), of which {row.predicted:,} have a prediction"
        for row in table.itertuples()
    ]


def _prior(found: dict[str, Any]) -> list[str]:
    """Return what the prior's AUPRC is over the factors on its inputs, whose unit is not that of its constants."""
    signals, everything = found["of_signals"], found["of_all"]
    factors = f"{SIGNAL_FACTORS[0]:g} to {SIGNAL_FACTORS[-1]:g}"

    def at(place: dict[str, float]) -> str:
        words = (f"{place[f'{name}_factor']:g}" for name in ("h3k27ac", "dnase", "contact"))
        return f"{share(place['auprc'])} (H3K27ac, DNase, contact times {', '.join(words)})"

    most = ", all with H3K27ac and DNase times {:g} or less".format(found["most_signal_above"] or 0)
    most = most if found["above_nearness"] else ""
    return [
        f"{PRIOR}, its inputs times factors",
        f"  as the values are: {share(found['auprc'])}",
        f"  H3K27ac and DNase each times {factors}: from {at(signals['lowest'])} to {at(signals['highest'])}",
        f"  and contact times 1 to {CONTACT_FACTORS[-1]:g}: from {at(everything['lowest'])} to "
        f"{at(everything['highest'])}",
        f"  above 1/distance ({share(found['nearness'])}) in {found['above_nearness']} of {found['combinations']} "
        f"combinations{most}",
    ]


def share(value: float, signed: bool = False) -> str:
    """Return a number from -1 to 1 with three decimals and no leading zero; "-" where there is none."""
    if not np.isfinite(value):
        return "-"
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def _interval(value: float, low: float, high: float, *, signed: bool = False) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{share(value, signed)} ({share(low, signed)} to {share(high, signed)})"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
