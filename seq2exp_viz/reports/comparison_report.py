"""A comparison as one HTML file: caveats first, figures and tables embedded, no request to any server."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from model_core.evaluation.compare import Comparison
from model_core.files import write_text
from model_core.listing import files_in
from model_core.lock import writing_into
from seq2exp_viz.reports.comparison_figures import figures, with_genes
from seq2exp_viz.reports.html_page import html_page

MOST_ROWS = 25  # of a long table; the rest is in its file
STYLE = """
body { font: 15px/1.55 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem; margin: 2rem auto 4rem; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .2rem; } h2 { font-size: 1.25rem; margin: 2.6rem 0 .3rem; padding-top: 1.1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .2rem; } code { font-size: .92em; } p { margin: .5rem 0; max-width: 48rem; }
.quiet, figcaption, .file { color: var(--quiet); font-size: 13px; }
.box { background: var(--box); border-left: 4px solid var(--warn); padding: .5rem 1rem; margin: 1rem 0; }
.box ul { margin: .3rem 0; padding-left: 1.1rem; } .box li { margin: .25rem 0; }
.scroll { overflow-x: auto; margin: .7rem 0; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .22rem .7rem .22rem 0; border-bottom: 1px solid var(--line); vertical-align: bottom; } td { white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); line-height: 1.25; } th:first-child, td:first-child, td.t, th.t { text-align: left; }
tr.own td { background: var(--soft); font-weight: 600; }
figure { margin: .8rem 0 .4rem; } svg { width: 100%; height: auto; display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .6rem 0; } dt { color: var(--quiet); } dd { margin: 0; }
@media print { body { max-width: none; margin: 0; } h2 { break-after: avoid; } figure, table { break-inside: avoid; } }
"""  # noqa: E501  one rule of the style sheet per line
ACCURACY = (
    "Accuracy does not validate a mask: a model that sees 2 kb around the TSS predicts about as well as one that sees "
    "200 kb. Judge a mask by the bases it keeps, compared with the baseline scores below."
)

INTERVALS = (
    "Each interval is of one model alone (marginal), over the same genes. Whether two models differ is a question for "
    "a paired comparison, the differences {where}; overlap of these intervals does not answer it."
)
PAIRED = (
    "Both are judged on the same draws of the genes (a paired comparison). Where the 95 % interval excludes 0, the "
    "difference holds over the draw of genes; where it includes 0, these genes do not decide. It says nothing about "
    "another training of the same model: for that, compare several seeds."
)

Columns = dict[str, tuple[str, Callable[[Any], str]]]  # column -> (heading, how its cells are written)


def report(summary: dict, tables: dict[str, pd.DataFrame]) -> tuple[str, dict[str, str]]:
    """Return the page as HTML text, and the SVG text of its figures by name.

    Parameters
    ----------
    summary : dict
        Summary of a `model_core.evaluation.compare.Comparison`.
    tables : dict[str, DataFrame]
        Its tables.
    """
    drawn = figures(tables, summary)
    title = f"{summary['run']}: is this mask worth looking at?"
    sections = [
        _head(summary),
        _first(summary),
        _scores(summary, tables, drawn),
        _differences(tables),
        _peaks(tables, drawn),
        _crispr(summary, tables, drawn),
        _prediction(tables, drawn),
        _seeds(summary, tables),
        _missing(summary),
    ]
    made = f"Made by seq2exp-viz {version('seq2exp-viz')}, {escape(summary['created'])}."
    foot = f'<p class="quiet">{made} The tables are in the same folder as tab-separated files.</p>'
    return html_page(title, STYLE, [*filter(None, sections), foot], dark=True), drawn


def write_report(folder: Path, found: Comparison) -> Path:
    """Write report.html and figures/NAME.svg into the folder of the tables, and return the path of the report."""
    page, drawn = report(found.summary, found.tables)
    place = folder / "figures"
    place.mkdir(exist_ok=True)
    with writing_into(folder, (place.name,)):
        for path in files_in(place, "*.svg"):
            if path.stem not in drawn:
                path.unlink()  # left by an earlier call with other inputs
        for name, text in drawn.items():
            write_text(place / f"{name}.svg", text)
        write_text(folder / "report.html", page)
    return folder / "report.html"


def _head(summary: dict) -> str:
    judged = summary["judged"]
    rule = summary["element_rule"]
    kept = "about 5 % of bases kept" if rule["kept_target"] else "as given"
    genes = f"{judged['genes']:,} of {summary['genes']:,} scored genes ({judged['split']} split)"
    if judged["split"] == "all":
        genes = f"all {judged['genes']:,} scored genes"
    facts = {
        "Study": (summary["study"] or "not found") + (" (simulated)" if summary["simulated"] else ""),
        "Model": f"{summary['variant']}, mask: {summary['mask']}",
        "Evaluated on": f"{genes}, {summary['learned_bases']:,} window bases outside promoter and blacklist",
        "Elements": f"{_percent(summary['element_share'])} of these bases; threshold {rule['threshold']:.3f} ({kept})",
        "Peaks": ", ".join(summary["peak_sets"]) or "none",
    }
    if summary["beside"]:
        facts["Compared with"] = ", ".join(f"{name} (mask: {mask})" for name, mask in summary["beside"].items())
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return f"<h1>Is this mask worth looking at?</h1>\n<p>Run <b>{escape(summary['run'])}</b></p>\n<dl>{rows}</dl>"


def _first(summary: dict) -> str:
    lines = [*summary["limits"], ACCURACY]
    return f'<div class="box"><b>Read this first</b>{_list(lines)}</div>'


def _scores(summary: dict, tables: dict[str, pd.DataFrame], drawn: dict[str, str]) -> str:
    scores, truth = tables["scores"], bool(summary["causal_share"])
    parts = ["<h2>Bases kept at the same share</h2>"]
    share = _percent(summary["element_share"])
    parts.append(
        f"<p>Each score keeps its highest {share} of the bases, as many as the mask's elements contain, so that no "
        "score gains by keeping more. Only the peaks as called keep their own share.</p>"
    )
    if truth:
        parts.append(f"<p>{escape(_verdict(scores, summary))}</p>")
        parts.append(_figure(drawn, "ranking", "How well each score ranks planted causal bases above all other bases."))
        parts.append(
            _figure(
                drawn,
                "kept",
                "A good score keeps causal elements (far right) and does not keep decoys (far left).",
            )
        )
        columns: Columns = {
            "score": ("", str),
            "kept_share": ("kept", _percent),
            "auprc": ("AUPRC", _three),
            "auroc": ("AUROC", _three),
            "precision": ("kept bases causal", _percent),
            "recall": ("causal bases kept", _percent),
            "decoys_kept": ("decoy bases kept", _percent),
            "elements_found": ("causal elements found", _percent),
            "weak_found": ("weak causal elements found", _percent),
            "elements_causal": ("kept elements causal", _percent),
            "rank_correlation": ("rank corr. with mask", _three),
        }
    else:
        parts.append(
            "<p>These windows contain no planted elements, so the table cannot show which score is right. It shows how "
            "far the mask differs from scores that need no model.</p>"
        )
        columns = {
            "score": ("", str),
            "kept_share": ("kept", _percent),
            "in_peaks": ("kept bases in peaks", _percent),
            "jaccard_with_elements": ("Jaccard with the mask's elements", _three),
            "rank_correlation": ("rank corr. with mask", _three),
            "genes": ("genes", _count),
        }
    own = (scores["kind"] == "mask") | (scores["score"] == "mask elements")
    parts.append(_table(scores.assign(score=with_genes(scores)), columns, own))
    parts.append(
        '<p class="quiet">signal prior: the mask without its sequence component. sequence only: the mask without its '
        "signal component. nearest the TSS: bases ranked by their distance to the TSS. random: the gene's own mask, "
        "shifted circularly in its window. A rank correlation near 1 means the same ranking as the mask.</p>"
    )
    right = "are causal" if truth else "lie in peaks"
    parts.append(_figure(drawn, "curves", f"Share of the kept bases that {right}, by the share of all bases kept."))
    return "\n".join([*parts, _file("scores.tsv, curves.tsv")])


def _verdict(scores: pd.DataFrame, summary: dict) -> str:
    rows = scores.set_index("score")

    def kept(name: str) -> list[str]:
        return [_percent(rows.loc[name, column]) for column in ("recall", "decoys_kept")]

    causal, decoys = kept("mask")
    words = (
        f"{_percent(summary['causal_share'])} of the bases are causal, which is the AUPRC of a random ranking. The "
        f"mask keeps {causal} of the causal bases and {decoys} of the bases of decoys"
    )
    rivals = rows[rows["kind"].isin(("signal", "peaks"))]
    if len(rivals):
        best = rivals["auprc"].idxmax()
        causal, decoys = kept(best)
        words += f"; the best baseline score, {best}, keeps {causal} and {decoys}"
    return words + "."


def _peaks(tables: dict[str, pd.DataFrame], drawn: dict[str, str]) -> str:
    if "peaks" not in tables:
        return "<h2>Comparison with peaks</h2><p>The run has no peaks, and none were given with --against.</p>"
    columns: Columns = {
        "peak_set": ("", str),
        "group": ("distance to the TSS", str),
        "kept_share": ("bases in elements", _percent),
        "peak_share": ("bases in peaks", _percent),
        "elements_in_peaks": ("elements' bases in peaks", _percent),
        "peaks_in_elements": ("peaks' bases in elements", _percent),
        "jaccard": ("Jaccard", _three),
        "elements": ("elements", _count),
        "elements_only_here": ("elements without a peak", _count),
        "peaks": ("peaks", _count),
        "peaks_only_there": ("peaks without an element", _count),
    }
    parts = [
        "<h2>Comparison with peaks</h2>",
        "<p>How far the mask's elements and the called peaks are the same bases, over the windows of all scored genes. "
        "A peak shows that chromatin is open or marked, and nothing about this gene: agreement does not prove a mask "
        "right, and disagreement does not prove it wrong.</p>",
        _table(tables["peaks"], columns, own=tables["peaks"]["by"] == "all"),
        _figure(drawn, "threshold", "Agreement with peaks as the threshold changes; the dot is the run's threshold."),
        _figure(drawn, "distance", "Share of bases in elements and in peaks, by distance to the TSS."),
        _figure(drawn, "unmatched", "Distance from each element without a peak to the nearest peak."),
        "<h3>Genes that differ most</h3>",
        "<p>The genes with the most elements outside peaks.</p>",
    ]
    genes = tables["peaks_by_gene"]
    genes = genes[genes["peak_set"] == genes["peak_set"].iloc[0]].sort_values("elements_only_here", ascending=False)
    shown = {name: columns[name] for name in ("kept_share", "peak_share", "jaccard", "elements", "elements_only_here")}
    shown |= {name: columns[name] for name in ("peaks", "peaks_only_there")}
    parts.append(_table(genes.head(10), {"symbol": ("gene", str), "chrom": ("", str), **shown}))
    return "\n".join([*parts, _file("peaks.tsv, peaks_by_threshold.tsv, peaks_by_gene.tsv, unmatched.tsv")])


def _crispr(summary: dict, tables: dict[str, pd.DataFrame], drawn: dict[str, str]) -> str:
    if "crispr" not in summary:
        return ""
    about = summary["crispr"]
    parts = [
        "<h2>Comparison with CRISPR pairs</h2>",
        f"<p>{about['judged']:,} of {about['pairs']:,} tested element-gene pairs can be evaluated with this run. For "
        "each score, the AUPRC measures how well it separates pairs in which silencing the element changed the gene "
        "from pairs in which it did not.</p>",
    ]
    if summary["limits_of_pairs"]:
        parts.append(f'<div class="box">{_list(summary["limits_of_pairs"])}</div>')
    if "crispr" in tables:
        parts.append(
            _figure(drawn, "crispr", "AUPRC of each score with its 95 % interval; the dashed line is a random ranking.")
        )
        parts.append("<p>Intervals resample genes, each with all of its pairs.</p>")
        parts.append(_pairs_table(tables["crispr"]))
        parts.append(_differences_table(tables["crispr_differences"]))
    if about["reasons"]:
        rows = pd.DataFrame({"reason": about["reasons"].keys(), "pairs": about["reasons"].values()})
        parts.append("<h3>Pairs left out</h3>")
        parts.append(_table(rows, {"reason": ("reason", str), "pairs": ("pairs", _count)}))
        left = tables["crispr_left_out"]
        genes = sorted(left.loc[left["reason"].str.startswith("gene"), "gene"].unique())
        if genes:
            more = f" and {len(genes) - 40} more" if len(genes) > 40 else ""
            parts.append(f'<p class="quiet">Genes without a scored window: {escape(", ".join(genes[:40]))}{more}.</p>')
    if about.get("missing"):
        parts.append(_why(about["missing"]))
    return "\n".join([*parts, _file("crispr.tsv, crispr_differences.tsv, crispr_pairs.tsv, crispr_left_out.tsv")])


def _pairs_table(table: pd.DataFrame) -> str:
    """Return a table of AUPRC with its interval: one row per score, one column per distance bin that has pairs."""
    scores = list(dict.fromkeys(table["score"]))
    shown = pd.DataFrame({"score": ["random ranking", *scores]})
    columns: Columns = {"score": ("AUPRC (95 % interval)", str)}
    for distance, rows in table[table["pairs"] > 0].groupby("distance", sort=False):
        most = rows.loc[rows["pairs"].idxmax()]
        cells = [_three(most["positive_share"])]
        for row in rows.set_index("score").reindex(scores).itertuples():
            fewer = f", {_count(row.pairs)} pairs" if row.pairs < most["pairs"] else ""
            cells.append(_interval(row.auprc, row.auprc_low, row.auprc_high, fewer) or "one outcome only")
        shown[distance] = cells
        title = f"{distance}: {_count(most['pairs'])} pairs, {_count(most['positives'])} positive"
        columns[distance] = (title, _as_it_is)
    return _table(shown, columns, own=shown["score"].str.contains("mask|effect"), most=60)


def _differences_table(table: pd.DataFrame) -> str:
    """Return a table of each score's AUPRC less that of each baseline, paired over genes."""
    shown = pd.DataFrame({"score": list(dict.fromkeys(table["score"]))})
    columns: Columns = {"score": ("AUPRC less that of", str)}
    for than, rows in table.groupby("than", sort=False):
        numbers = rows.set_index("score").reindex(shown["score"])[[f"difference{end}" for end in ("", "_low", "_high")]]
        shown[than] = [_interval(*three) for three in numbers.itertuples(index=False)]
        columns[than] = (str(than), _as_it_is)
    return _table(shown, columns, own=shown["score"].str.contains("mask|effect"), most=60) if len(shown) else ""


def _prediction(tables: dict[str, pd.DataFrame], drawn: dict[str, str]) -> str:
    table = tables["prediction"]
    if not len(table):
        return "<h2>Prediction</h2><p>No scored gene has an observed value.</p>"
    shown = table.copy()
    for name in ("mse", "mae", "pearson", "spearman"):
        numbers = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
        shown[name] = [_interval(*three) for three in numbers]
    others = _prediction_differences(tables)
    columns: Columns = {
        "run": ("run", str),
        "mask": ("mask", str),
        "by": ("by", str),
        "group": ("group", str),
        "genes": ("genes", _count),
        "mse": ("MSE", _as_it_is),
        "mae": ("MAE", _as_it_is),
        "pearson": ("Pearson", _as_it_is),
        "spearman": ("Spearman", _as_it_is),
    }
    return "\n".join(
        [
            "<h2>Prediction</h2>",
            "<p>How well each run predicts expression, with 95 % intervals over genes; all runs are evaluated on the "
            "same genes. Where a run with a control mask predicts as well, the prediction does not need the mask.</p>",
            _figure(drawn, "prediction", INTERVALS.format(where="below" if others else "to a run of --compared-with")),
            _table(shown, columns, own=shown["by"] == "split", most=60),
            *others,
            _file("prediction.tsv" + (", prediction_differences.tsv" if others else "")),
        ]
    )


def _differences(tables: dict[str, pd.DataFrame]) -> str:
    """Return the section on AUPRC of each score minus the mask's; nothing without planted truth."""
    table = tables.get("differences")
    if table is None or table["auprc_difference"].isna().all():
        return ""
    shown = table.sort_values("auprc_difference", ascending=False)
    numbers = shown[["auprc_difference", "low", "high"]].itertuples(index=False)
    shown = shown.assign(difference=[_signed_interval(*three) for three in numbers])
    columns: Columns = {
        "score": ("score", str),
        "difference": (f"AUPRC minus that of {shown['minus'].iloc[0]} (95 % interval)", _as_it_is),
        "genes": ("genes", _count),
    }
    return "\n".join(
        [
            "<h3>Differences from the mask</h3>",
            f"<p>{PAIRED}</p>",
            _table(shown, columns, most=60),
            _file("differences.tsv"),
        ]
    )


def _prediction_differences(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return the part on the run's accuracy minus that of each other run; nothing without other runs."""
    table = tables.get("prediction_differences")
    if table is None or not len(table):
        return []
    shown = table[table["by"] == "split"].copy()
    for name in ("mse", "mae", "pearson", "spearman"):
        numbers = shown[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
        shown[name] = [_signed_interval(*three) for three in numbers]
    columns: Columns = {
        "minus": (f"{table['run'].iloc[0]} minus", str),
        "group": ("split", str),
        "genes": ("genes", _count),
        "mse": ("MSE", _as_it_is),
        "mae": ("MAE", _as_it_is),
        "pearson": ("Pearson", _as_it_is),
        "spearman": ("Spearman", _as_it_is),
    }
    return ["<h3>Differences of predictions</h3>", f"<p>{PAIRED}</p>", _table(shown, columns, most=60)]


def _seeds(summary: dict, tables: dict[str, pd.DataFrame]) -> str:
    if "seeds" not in tables:
        return (
            "<h2>Uncertainty</h2><p>Uncertainty is measured by differences between models that were trained with other "
            "seeds, and this comparison has one seed. Train more with <code>seq2exp-viz train STUDY --seeds "
            "2,22,222</code>, score each run, then compare again.</p>"
        )
    means = summary["seeds"]
    columns: Columns = {
        "run_a": ("run", str),
        "run_b": ("run", str),
        "elements_back": ("elements found again", _percent),
        "element_jaccard": ("Jaccard of elements", _three),
        "mask_difference": ("mask difference", _three),
        "mask_rank_correlation": ("rank corr. of masks", _three),
        "elements_with_effect": ("effects compared", _count),
        "effect_difference": ("effect difference", _three),
        "effect_rank_correlation": ("rank corr. of effects", _three),
    }
    return "\n".join(
        [
            "<h2>Uncertainty over seeds</h2>",
            "<p>These runs differ only in the random seed of the training. An element that is not found again with "
            "another seed depends on the seed.</p>",
            _table(tables["seeds"], {**columns, "run_b": ("and", str)}),
            f"<p>The standard deviation of a base's mask between seeds is {_three(means['seed_sd'])} (mean over "
            f"bases). {_width_words(summary, means)}</p>",
            _file("seeds.tsv"),
        ]
    )


def _width_words(summary: dict, means: dict) -> str:
    """Return a sentence that compares the width of z in one run with the difference between seeds."""
    if summary["band"] == "none":
        return "One model does not estimate it, because alpha + beta of each base is fixed."
    if means["beta_sd"] is None:
        return ""
    if summary["band"] == "members":
        return (
            f"The standard deviation of z over the members of one run is {_three(means['beta_sd'])}: of the draw of "
            "training genes, with one encoder. Seeds differ in their encoders, too."
        )
    return (
        f"The standard deviation of z under the Beta of one model is {_three(means['beta_sd'])}, which its priors set. "
        "Neither number is an estimate of the other."
    )


def _missing(summary: dict) -> str:
    if not summary["missing"]:
        return ""
    return f"<h2>Not in this report</h2>\n{_why(summary['missing'])}"


def _why(missing: dict[str, str]) -> str:
    rows = "".join(f"<li><b>{escape(name)}</b>: {escape(reason)}</li>" for name, reason in missing.items())
    return f'<ul class="quiet">{rows}</ul>'


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _figure(drawn: dict[str, str], name: str, caption: str) -> str:
    return f"<figure>{drawn[name]}<figcaption>{escape(caption)}</figcaption></figure>" if name in drawn else ""


def _file(names: str) -> str:
    return f'<p class="file">Complete tables: {escape(names)}</p>'


def _table(table: pd.DataFrame, columns: Columns, own: pd.Series | None = None, most: int = MOST_ROWS) -> str:
    """Return an HTML table of some columns; rows of `own` are highlighted."""
    left = {name for name, (_, write) in columns.items() if write is str}
    head = "".join(
        f"<th{' class=t' if name in left else ''}>{escape(title)}</th>" for name, (title, _) in columns.items()
    )
    body = []
    for index, row in table.head(most).iterrows():
        cells = "".join(
            f"<td{' class=t' if name in left else ''}>{escape(write(row[name]))}</td>"
            for name, (_, write) in columns.items()
        )
        body.append(f"<tr{' class=own' if own is not None and own[index] else ''}>{cells}</tr>")
    more = f'<p class="quiet">{len(table) - most:,} more rows in the file.</p>' if len(table) > most else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>{more}'
    )


def _interval(value: float, low: float, high: float, more: str = "") -> str:
    """Return a number with its interval, such as "0.342 (0.26 to 0.43)"; "" where it is not finite."""
    return f"{value:.3f} ({low:.2f} to {high:.2f}{more})" if math.isfinite(value) else ""


def _signed_interval(value: float, low: float, high: float) -> str:
    """Return a difference with its interval, such as "+0.043 (+0.021 to +0.066)"; "" where it is not finite."""
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})" if math.isfinite(value) else ""


def _as_it_is(value: str) -> str:
    return str(value)


def _percent(value: float) -> str:
    return "" if pd.isna(value) else f"{100 * value:.1f} %"


def _three(value: float) -> str:
    return "" if value is None or pd.isna(value) or not math.isfinite(value) else f"{value:.3f}"


def _count(value: float) -> str:
    return "" if pd.isna(value) else f"{int(value):,}"
