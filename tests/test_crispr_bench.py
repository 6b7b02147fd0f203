"""`bench crispr`: published numbers on the public table, small tables by scikit-learn, a run, and the command."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from mirror_server import serve_mirror
from planted_run import make_planted_run, make_planted_study
from sklearn.metrics import average_precision_score
from typer.testing import CliRunner

from model_core.config import recipe
from model_core.datasets import tested_pairs
from model_core.errors import InputError
from model_core.evaluation import crispr_bench
from model_core.evaluation.controls import signal_prior
from model_core.evaluation.crispr_bench import bench_crispr, near_pairs, with_distance, write_bench
from model_core.evaluation.crispr_pairs import read_pairs, score_pairs
from model_core.evaluation.element_scores import PRIOR, element_prior, prior_scales
from model_core.evaluation.rivals import read_rival
from model_core.remote import download
from model_core.signals.power_law_contact import PowerLawContact
from model_core.window import Window
from seq2exp_viz import cli

PUBLIC = "EPCrisprBenchmark.training_K562.GRCh38.tsv.gz"
HEADER = (
    "chrom\tchromStart\tchromEnd\tmeasuredGeneSymbol\tEffectSize\tSignificant\tValidConnection\tCellType\tDataset\t"
    "distanceToTSS\tH3K27ac.RPM\tDHS.RPM\tdirect_rate_negative\tindirect_rate_negative"
)


def drawn(path, seed=0, n=120):
    """A table of pairs of 12 genes in two data sets, with two that are not valid and one that is far away."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        significant, effect = rng.random() < 0.6, rng.choice([-0.3, 0.2])
        valid = {3: "overlaps target gene exon", 4: "FALSE"}.get(number, "TRUE")
        distance = 400_000 if number == 5 else rng.integers(500, 99_000)
        start = 1_000 * number
        numbers = "\t".join(f"{value:.3f}" for value in rng.exponential(5, 2))
        rates = f"{rng.random():.3f}\t{rng.random() / 5:.3f}"
        rows.append(
            f"chr1\t{start}\t{start + 500}\tG{number % 12}\t{effect}\t{str(significant).upper()}\t{valid}\tK562\t"
            f"{'one' if number % 3 else 'two'}\t{distance}\t{numbers}\t{rates}"
        )
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def rows_of(bench, **where):
    table = bench.tables["scores"]
    for name, value in where.items():
        table = table[table[name] == value]
    return table.set_index("score")


# The public table


@pytest.fixture(scope="module")
def public(shared_pairs):
    return bench_crispr(read_pairs(shared_pairs / PUBLIC), by="dataset")


def test_the_public_table_gives_the_numbers_that_were_published_with_it(public):
    table = rows_of(public, pairs_of="all", by="distance", group="all")
    assert (public.summary["judged"], public.summary["positives"]) == (1_820, 389)
    wanted = {"1/distance": 0.505, "DNase": 0.359, "H3K27ac": 0.376, "activity": 0.388, "activity/distance": 0.595}
    assert {name: round(table.loc[name, "auprc"], 3) for name in wanted} == wanted
    assert set(table["pairs"]) == {1_820}
    assert set(table["positives"]) == {389}
    assert public.summary["left_out"] == {"100 kb or farther from the start site": 8_536}


def test_the_published_prior_is_near_activity_and_below_distance_whatever_the_units_of_the_signals(public):
    scales = public.tables["prior_scales"]
    signals = scales[scales["contact_factor"] == 1]["auprc"]
    assert (round(signals.min(), 3), round(signals.max(), 3)) == (0.359, 0.398)
    differences = public.tables["differences"].set_index(["score", "than"])
    assert differences.loc[(PRIOR, "1/distance"), "difference_high"] < 0
    assert differences.loc[(PRIOR, "activity/distance"), "difference_high"] < 0
    above = scales[scales["auprc"] > 0.5051]  # contact in other units, and hardly any signal: distance again
    assert above[["h3k27ac_factor", "dnase_factor"]].to_numpy().max() <= 0.01
    assert public.summary["prior"]["above_nearness"] == len(above) == 3


def test_the_weights_are_the_public_tables(public, shared_pairs):
    pairs = public.tables["pairs"]
    table = rows_of(public, pairs_of="all", by="distance", group="all")
    wanted = average_precision_score(pairs["positive"].astype(bool), pairs["activity"], sample_weight=pairs["direct"])
    assert table.loc["activity", "auprc_weighted"] == pytest.approx(wanted)
    rates = read_pairs(shared_pairs / PUBLIC).drop(columns="direct")
    again = bench_crispr(rates).tables["pairs"]
    np.testing.assert_allclose(again["direct_weight"], pairs["direct_weight"])


# Small tables


def test_every_row_is_what_scikit_learn_says_of_its_pairs(tmp_path):
    bench = bench_crispr(read_pairs(drawn(tmp_path / "pairs.tsv")), by="dataset")
    pairs = pd.read_csv(tmp_path / "pairs.tsv", sep="\t")
    pairs = pairs[(pairs["ValidConnection"] == "TRUE") & (pairs["distanceToTSS"] < 100_000)]
    activity = np.sqrt(pairs["H3K27ac.RPM"] * pairs["DHS.RPM"])
    pairs = pairs.assign(activity=activity, near=1 / pairs["distanceToTSS"], both=activity / pairs["distanceToTSS"])
    names = {"activity": "activity", "1/distance": "near", "activity/distance": "both", "DNase": "DHS.RPM"}
    weight = pairs["direct_rate_negative"] / (pairs["direct_rate_negative"] + pairs["indirect_rate_negative"])
    parts = {
        ("distance", "all"): pairs.index == pairs.index,
        ("distance", "0-10 kb"): pairs["distanceToTSS"] < 10_000,
        ("distance", "10-100 kb"): pairs["distanceToTSS"] >= 10_000,
        ("dataset", "one"): pairs["Dataset"] == "one",
        ("dataset", "two"): pairs["Dataset"] == "two",
    }
    assert set(zip(bench.tables["scores"]["by"], bench.tables["scores"]["group"], strict=True)) == set(parts)
    for (by, group), inside in parts.items():
        part, table = pairs[inside], rows_of(bench, by=by, group=group)
        positive = part["Significant"] & (part["EffectSize"] < 0)
        for name, column in names.items():
            row = table.loc[name]
            assert row["auprc"] == pytest.approx(average_precision_score(positive, part[column]))
            weighed = average_precision_score(positive, part[column], sample_weight=weight[inside])
            assert row["auprc_weighted"] == pytest.approx(weighed)
            assert (row["pairs"], row["positives"]) == (len(part), positive.sum())
            assert row["positive_share"] == pytest.approx(positive.mean())
            assert row["auprc_low"] <= row["auprc_high"]
    assert dict(bench.tables["left_out"]["reason"].value_counts()) == {
        "not a valid connection according to the table (overlaps target gene exon)": 1,
        "not a valid connection according to the table": 1,
        "100 kb or farther from the start site": 1,
    }


def test_the_first_reason_of_each_pair_is_told_and_repeats_are_left_out():
    pairs = pd.DataFrame({"chrom": "chr1", "start": range(8), "gene": "A", "gene_id": "", "cell_type": "K562"})
    pairs["end"], pairs["distance"] = pairs["start"] + 5, 10.0
    pairs["positive"] = pd.Series([True, None, True, False, True, True, True, True], dtype="boolean")
    pairs["valid"] = ["TRUE", "x", "x", "true", "TRUE", "TRUE", "TRUE", "TRUE"]
    pairs.loc[[2, 3], "distance"] = [np.nan, 50.0]
    pairs.loc[4, "distance"] = np.nan
    pairs.loc[5, "cell_type"] = "HCT116"
    pairs.loc[7, ["start", "end"]] = [6, 11]
    kept, left_out = near_pairs(pairs, 50, "K562")
    assert list(kept["start"]) == [0, 6]
    assert list(left_out["reason"]) == [
        "no outcome (neither true nor false)",
        "not a valid connection according to the table (x)",
        "0.05 kb or farther from the start site",
        "no distance to the start site",
        "of another cell type",
        "the same element and gene are in the table before",
    ]
    both, _ = near_pairs(pairs.assign(start=0, end=5, valid="TRUE", distance=1.0, positive=True), 50)
    assert list(both["cell_type"]) == ["K562", "HCT116"]  # one element, tested in two cell types


def test_distance_is_the_tables_then_that_of_its_start_site_then_the_runs():
    pairs = pd.DataFrame({"start": [100, 100, 100], "end": [200, 200, 200]})
    pairs["distance_to_tss"], pairs["tss"], pairs["distance"] = [-30, np.nan, np.nan], [0, 1_000, np.nan], [7, 8, 9]
    assert list(with_distance(pairs)["distance"]) == [30, 850, 9]
    with pytest.raises(InputError, match="tested pairs: found no distance; expected a column distanceToTSS"):
        with_distance(pairs[["start", "end"]])


@pytest.mark.parametrize(("most", "groups"), [(5_000, 1), (10_000, 1), (10_001, 3), (2_000_000, 5)])
def test_classes_of_distance_end_where_the_pairs_do(most, groups, tmp_path):
    bench = bench_crispr(read_pairs(drawn(tmp_path / "pairs.tsv")), max_distance=most)
    table = bench.tables["scores"]
    assert table["group"].nunique() == groups
    one = table[table["score"] == "activity"].set_index("group")["pairs"]
    assert one.drop("all").sum() in (0, one["all"])


def test_a_table_without_signals_or_outcomes_gives_what_can_be_said(tmp_path):
    pairs = read_pairs(drawn(tmp_path / "pairs.tsv"))
    bare = bench_crispr(pairs[["chrom", "start", "end", "gene", "positive", "outcome", "distance_to_tss"]])
    assert set(bare.tables["scores"]["score"]) == {"1/distance"}
    assert "prior_scales" not in bare.tables
    assert "auprc_weighted" not in bare.tables["scores"]
    assert PRIOR in "".join(bare.summary["missing"])
    none = bench_crispr(pairs.assign(valid="FALSE"))
    assert set(none.tables) == {"left_out"}
    assert "None of the 120" in none.summary["limits"][0]
    negative = bench_crispr(pairs.assign(positive=False))
    assert negative.tables["scores"]["auprc"].isna().all()
    with pytest.raises(InputError, match="found no dataset; expected a column Dataset"):
        bench_crispr(pairs.drop(columns=["dataset", "cell_type"]), by="dataset")
    by_cell = bench_crispr(pairs.drop(columns="dataset"), by="dataset")
    assert set(by_cell.tables["scores"]["by"]) == {"distance", "cell_type"}


# The prior of elements


def test_the_prior_of_an_element_is_that_of_a_base_with_its_signals():
    config = recipe("soft", window=2_000, promoter=200)
    assert config.signals == ("H3K27ac", "DNase", "Hi-C")
    window = Window.between("chr1", 0, 2_000)
    rng = np.random.default_rng(0)
    h3k27ac, dnase = rng.exponential(5, (2, 2_000))
    contact = PowerLawContact("Hi-C").read(window)
    wanted = signal_prior(np.stack([h3k27ac, dnase, contact], axis=1).astype(np.float32), config)
    found = element_prior(h3k27ac, dnase, np.abs(np.arange(2_000) - window.tss))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_factor_on_the_signals_is_another_unit():
    one = pd.DataFrame({"positive": [True, False, True, False], "distance": [1e4, 2e4, 5e4, 9e4]})
    one["h3k27ac"], one["dnase"] = [1.0, 2.0, 0.5, 0.1], [0.2, 3.0, 1.0, 0.4]
    other = one.assign(h3k27ac=one["h3k27ac"] / 10, dnase=one["dnase"] / 100)
    scales = [
        table.set_index(["h3k27ac_factor", "dnase_factor", "contact_factor"])["auprc"]
        for table in (prior_scales(one), prior_scales(other))
    ]
    assert scales[0][(1, 1, 1)] == scales[1][(10, 100, 1)]
    prior = element_prior(other["h3k27ac"], other["dnase"], one["distance"], (10, 100, 1))
    np.testing.assert_allclose(prior, element_prior(one["h3k27ac"], one["dnase"], one["distance"]))


# A run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    return make_planted_run(folder / "run", make_planted_study(folder / "study"))


@pytest.fixture(scope="module")
def planted(run):
    """Planted elements as tested pairs, one gene that no run has, and signals of the elements."""
    lines = []
    for kind, regulated in (("causal", "TRUE"), ("decoys", "FALSE")):
        for line in (run.path.parent / "study" / "truth" / f"{kind}.bed").read_text().splitlines()[1:]:
            chrom, start, end, _, score, _, gene, *_ = line.split("\t")
            lines.append(f"{chrom}\t{start}\t{end}\t{gene}\t{gene}\t{regulated}\t{score}\t{int(score) / 9}")
    lines.append("chr1\t500\t600\tNOBODY\t\tTRUE\t1\t1")
    path = run.path.parent / "pairs.tsv"
    header = "chrom\tstart\tend\tgene\tgene_id\tRegulated\tH3K27ac.RPM\tDHS.RPM"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_run_is_ranked_on_the_pairs_in_its_reach(run, planted):
    bench = bench_crispr(read_pairs(planted), run)
    pairs, table = bench.tables["pairs"], rows_of(bench, pairs_of="all", by="distance", group="all")
    assert len(pairs) + len(bench.tables["left_out"]) == len(read_pairs(planted))
    assert bench.summary["left_out"]["gene not in the study"] == 1
    assert {"mean mask", "max mask", "DNase", "DNase of the run", PRIOR, "signal prior", "activity"} <= set(table.index)
    for name in ("mean mask", "max mask", "DNase of the run", PRIOR):
        wanted = average_precision_score(pairs["positive"].astype(bool), pairs[name])
        assert table.loc[name, "auprc"] == pytest.approx(wanted), name
    gene = pairs.iloc[0]
    mask = run.mask(gene["gene_id"])
    inside = slice(max(gene["start"] - mask.start, 0), gene["end"] - mask.start)
    assert gene["mean mask"] == pytest.approx(mask.mean[inside][mask.learned[inside]].mean(), abs=1e-6)
    middle = (gene["start"] + gene["end"]) // 2
    tss = run.genes.set_index("gene_id").loc[gene["gene_id"], "tss"]
    assert gene["distance"] == abs(middle - tss)
    assert "element effect, effect x mask" in bench.summary["missing"]
    differences = bench.tables["differences"].set_index(["score", "than"])["difference"]
    assert differences[(PRIOR, "mean mask")] == pytest.approx(
        table.loc[PRIOR, "auprc"] - table.loc["mean mask", "auprc"]
    )


def test_a_new_score_of_pairs_is_ranked_without_being_named_here(run, planted, monkeypatch):
    def more(pairs, *others):
        scored, missing = score_pairs(pairs, *others)
        few = np.where(np.arange(len(pairs)) % 2, np.nan, np.arange(len(pairs)) * 1.0)
        return scored.assign(**{"element-gene score": np.arange(len(pairs)) * 1.0, "of some": few}), missing

    monkeypatch.setattr(crispr_bench, "score_pairs", more)
    bench = bench_crispr(read_pairs(planted), run)
    assert "element-gene score" in rows_of(bench, pairs_of="all", by="distance", group="all").index
    some = rows_of(bench, pairs_of="of some", by="distance", group="all")
    pairs = bench.tables["pairs"].dropna(subset=["of some"])
    wanted = average_precision_score(pairs["positive"].astype(bool), pairs["mean mask"])
    assert set(some["pairs"]) == {len(pairs)}
    assert some.loc["mean mask", "auprc"] == pytest.approx(wanted)


def test_a_run_without_a_pair_in_reach_says_so(run, planted, tmp_path):
    rows = planted.read_text().splitlines()
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join([rows[0], rows[1].replace("TRUE", "NA")]) + "\n")
    bench = bench_crispr(read_pairs(path), run)
    assert set(bench.tables) == {"left_out"}
    assert bench.summary["limits"] == ["None of the 1 tested pairs can be judged."]


# The command


def told(*words):
    done = CliRunner().invoke(cli.app, ["bench", *map(str, words)])
    if isinstance(done.exception, InputError):
        return 2, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_the_command_prints_limits_first_and_writes_its_tables(tmp_path):
    path, out = drawn(tmp_path / "pairs.tsv"), tmp_path / "new" / "out"
    rows = [f"chr1\t{1_000 * n}\t{1_000 * n + 50}\tG{n % 12}\t{n % 7}" for n in range(40)]
    theirs = tmp_path / "theirs.tsv"
    theirs.write_text("\n".join(["chr\tstart\tend\tTargetGene\tscore", *rows]) + "\n")
    words = ("crispr", "--pairs", path, "--rival", f"theirs={theirs}", "--by", "dataset", "-o", out)
    code, text = told(*words)
    assert code == 0, text
    assert text.startswith("- Tested elements are chosen")
    for part in ("117 pairs", "on the pairs that theirs covers", "AUPRC by dataset", "all, weighed", "less theirs"):
        assert part in text, part
    bench = bench_crispr(read_pairs(path), None, [read_rival(f"theirs={theirs}")], by="dataset")
    for name, table in bench.tables.items():
        assert len(pd.read_csv(out / f"{name}.tsv", sep="\t")) == len(table)
        assert f"{name}.tsv" in json.loads((out / "summary.json").read_text())["tables"]
    assert sorted(file.name for file in out.iterdir()) == sorted([*(f"{n}.tsv" for n in bench.tables), "summary.json"])
    value = rows_of(bench, pairs_of="all", by="distance", group="all").loc["activity", "auprc"]
    assert f"{value:.3f}".removeprefix("0") in text
    code, _ = told("crispr", "--pairs", path, "-o", out)  # without rivals: their table is of another call
    assert code == 0
    assert not (out / "rivals.tsv").exists()


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path):
    bench = bench_crispr(read_pairs(drawn(tmp_path / "pairs.tsv")))
    for content in ('{"kind": "other"}', "[]", "no JSON"):
        (tmp_path / "summary.json").write_text(content)
        with pytest.raises(InputError, match=r"found the summary\.json of something else; expected a new folder"):
            write_bench(tmp_path, bench)
        assert (tmp_path / "summary.json").read_text() == content
        assert not (tmp_path / "scores.tsv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["crispr"], "--pairs: found no table of tested pairs; expected --pairs FILE, or .*fetch crispr-k562"),
        (["crispr", "--pairs", "none.tsv"], "none.tsv: found no such file"),
        (["crispr", "no-run", "--pairs", "pairs.tsv"], "no-run: found no such folder"),
        (["crispr", "--pairs", "pairs.tsv", "--rival", "x"], "expected NAME=FILE"),
        (["crispr", "--pairs", "pairs.tsv", "--rival", "a=t.tsv", "--rival", "a=t.tsv"], "the name 'a' twice"),
        (["crispr", "--pairs", "pairs.tsv", "--rival", "activity=t.tsv"], "the name 'activity' twice"),
        (["crispr", "--pairs", "pairs.tsv", "--cell-type", "HCT"], "no pair of cell type 'HCT'"),
        (["crispr", "--pairs", "t.tsv"], "a column Regulated or Significant"),
        (["crispr", "--pairs", "pairs.tsv", "--max-distance", "0"], "Invalid value for '--max-distance'"),
        (["crispr", "--pairs", "pairs.tsv", "--by", "moon"], "moon"),
        (["atac"], "'atac' is not"),
    ],
)
def test_what_is_wrong_is_one_message_and_exit_code_2(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQ2EXP_DATA", str(tmp_path / "data"))
    drawn(tmp_path / "pairs.tsv")
    (tmp_path / "t.tsv").write_text("chr\tstart\tend\tTargetGene\tscore\nchr1\t1\t5\tG1\t1\n")
    code, text = told(*words)
    assert code == 2
    assert re.search(message, " ".join(text.replace("│", " ").split())), text


# The public table, fetched


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("SEQ2EXP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    place = tmp_path / "mirror" / tested_pairs.ADDRESS.removeprefix("https://")
    place.parent.mkdir(parents=True)
    with serve_mirror(tmp_path / "mirror") as server:
        monkeypatch.setenv("SEQ2EXP_MIRROR", server.url())
        yield place


def test_the_fetched_table_is_what_bench_reads_without_being_told(mirror, shared_pairs, tmp_path):
    shutil.copy(shared_pairs / PUBLIC, mirror)
    environ = {**os.environ, "COLUMNS": "100"}
    for words in (("fetch", "crispr-k562"), ("bench", "crispr")):
        done = subprocess.run(
            [sys.executable, "-m", "seq2exp_viz.cli", *words], capture_output=True, text=True, cwd=tmp_path, env=environ
        )
        assert done.returncode == 0, done.stderr
    assert hashlib.sha256(tested_pairs.tested_pairs().read_bytes()).hexdigest() == tested_pairs.CHECKSUM[7:]
    assert tested_pairs.tested_pairs().is_relative_to(tmp_path / "data")
    assert "1,820 pairs of 718 genes" in done.stdout
    assert ".595 (" in done.stdout


def test_another_content_is_deleted_and_told(mirror):
    mirror.write_bytes(b"chrom\tstart\n")
    with pytest.raises(InputError, match=r"a download with another checksum \(deleted\); expected sha256:9eddfe18"):
        tested_pairs.fetch_tested_pairs()
    assert not tested_pairs.tested_pairs().exists()
    assert tested_pairs.tested_pairs().parent.is_dir()


def test_without_a_connection_address_and_path_are_named(mirror, monkeypatch):
    monkeypatch.setenv("SEQ2EXP_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(InputError) as raised:
        tested_pairs.fetch_tested_pairs()
    said = str(raised.value)
    assert f"by hand to {tested_pairs.tested_pairs()}" in said
    assert tested_pairs.COMMIT in said


def test_a_study_in_a_folder_of_that_name_is_fetched_as_a_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crispr-k562").mkdir()
    done = CliRunner().invoke(cli.app, ["fetch", "crispr-k562"])
    assert "downloads.toml: found no such file" in str(done.exception)
