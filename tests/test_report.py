"""The page of a comparison: one file, nothing from outside, names of files and genes escaped, the same bytes twice."""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from planted_run import make_planted_run, make_planted_study

from model_core.evaluation.compare import Comparison, compare
from seq2exp_viz.reports.comparison_figures import figures
from seq2exp_viz.reports.comparison_report import ACCURACY, report, write_report

EVIL = '<img src=x onerror="window.hacked=1">'
VOID = {"meta", "br", "img"}


class Tags(HTMLParser):
    """Collects tags and attributes, and holds that tags close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.names, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    run = make_planted_run(folder / "run", make_planted_study(folder / "study"))
    other = make_planted_run(folder / "other", folder / "study" / "study.toml", seed=1)
    rows = [
        f"{g.chrom}\t{g.tss + 900}\t{g.tss + 1200}\t{g.symbol}\t{i % 2 == 0}"
        for i, g in enumerate(run.genes.itertuples())
    ]
    rows.append(f"chr1\t5\t300\t{EVIL}\tTrue")
    (folder / "pairs.tsv").write_text("\n".join(["chrom\tstart\tend\tgene\tRegulated", *rows]) + "\n")
    return compare(run, crispr=folder / "pairs.tsv", beside=[other.path], seed_runs=[other.path])


def test_the_page_stands_alone_and_says_the_caveats_first(found, tmp_path):
    page, drawn = report(found.summary, found.tables)
    tags = parsed(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(tags.names)
    fetched = [value for name, value in tags.attributes if name in ("src", "href", "xlink:href", "srcset", "action")]
    assert all(value.startswith("#") for value in fetched)
    assert "url(http" not in page
    assert "@import" not in page
    text = re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    assert text.index("Read this first") < text.index("The mask is its signal prior") < text.index("<table")
    assert ACCURACY[:60] in text
    for heading in (
        "same share",
        "Comparison with peaks",
        "Comparison with CRISPR pairs",
        "Prediction",
        "Uncertainty over seeds",
    ):
        assert heading in text
    assert set(drawn) == {"ranking", "kept", "curves", "threshold", "distance", "unmatched", "crispr", "prediction"}
    assert write_report(tmp_path, found) == tmp_path / "report.html"
    assert {path.stem for path in (tmp_path / "figures").glob("*.svg")} == set(drawn)


def test_names_out_of_files_stay_text(found):
    assert EVIL in set(found.tables["crispr_left_out"]["gene"])
    summary = {**found.summary, "run": EVIL, "limits": [EVIL], "missing": {EVIL: EVIL}}
    tables = {**found.tables, "peaks_by_gene": found.tables["peaks_by_gene"].assign(symbol=EVIL)}
    tables["prediction"] = found.tables["prediction"].assign(run=EVIL)
    tables["scores"] = found.tables["scores"].replace({"score": {"DNase": EVIL}})
    tables["curves"] = found.tables["curves"].replace({"score": {"DNase": EVIL}})
    page, _ = report(summary, tables)
    assert "<img" not in page
    assert "img" not in parsed(page).names
    assert "&lt;img" in page


def test_ids_of_figures_do_not_meet_and_the_same_tables_draw_the_same(found):
    drawn = figures(found.tables, found.summary)
    assert drawn == figures(found.tables, found.summary)
    ids = [name for svg in drawn.values() for name in re.findall(r'id="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in drawn.values():
        for target in re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', svg):
            assert f'id="{"".join(target)}"' in svg
        assert "currentColor" in svg


def test_without_truth_peaks_pairs_and_labels_the_page_still_reads(found):
    nothing = {"score": ["mask"], "kind": ["mask"], "genes": [3], "bases": [30], "kept_share": [0.05]}
    scores = found.tables["scores"].iloc[:0]
    scores = pd.concat([scores, pd.DataFrame(nothing)], ignore_index=True)
    tables = {"scores": scores, "curves": found.tables["curves"].query("score == 'mask'")}
    tables["prediction"] = found.tables["prediction"].iloc[:0]
    summary = {**found.summary, "causal_share": None, "peak_sets": [], "beside": {}}
    for name in ("crispr", "seeds"):
        summary.pop(name)
    page, drawn = report(*Comparison(summary, tables))
    parsed(page)
    assert drawn == {}
    assert "contain no planted elements" in page
    assert "The run has no peaks" in page
    assert "this comparison has one seed" in page
