"""From masks to the derived files of a run."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from run_builder import make_run, random_masks

from model_core.bed import read_bed, read_narrowpeak
from model_core.errors import InputError
from model_core.intervals import is_sorted
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import ElementRule, default_rule
from model_core.run_folder.run import Run
from model_core.tsv import read_table

RULE = ElementRule(0.4, smooth_bp=20, max_gap=20, min_length=20)


def derived(run: Run) -> dict[str, bytes]:
    names = ("elements/elements.bed", "tracks/mask.bigWig", "genes.tsv", "metrics.json", "manifest.json")
    return {name: (run.path / name).read_bytes() for name in names}


@pytest.fixture
def run(tmp_path) -> Run:
    return make_run(tmp_path / "run", genes=5)


def test_all_derived_files_are_there_and_fit_together(run):
    counts = assemble(run, rule=RULE)
    run = Run.open(run.path)
    elements = run.elements[run.elements["class"] != "promoter"]
    assert counts["elements"] == len(elements) > 0
    assert run.genes.set_index("gene_id")["elements"].to_dict() == {
        gene: (elements["gene_id"] == gene).sum() for gene in run.scored
    }
    assert run.metrics["counts"] == counts
    assert run.manifest["element_rule"] == RULE.to_dict()
    assert run.manifest["assembled"] == {"genes": 5, "track_resolution": 1, "decimals": 3}
    assert run.rule == RULE
    assert (run.elements["class"] == "promoter").sum() == 5


def test_the_elements_of_the_file_are_those_cut_for_each_gene(run):
    assemble(run, rule=RULE)
    for gene in run.scored:
        of_file = run.elements[run.elements["gene_id"] == gene].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_file, run.cut(gene), check_dtype=False, atol=1e-4, check_names=False)


def test_elements_are_a_sorted_bed_that_any_reader_takes(run):
    assemble(run, rule=RULE)
    table = read_bed(run.path / "elements" / "elements.bed", sort=False)
    assert is_sorted(table)
    assert len(table) == len(run.elements)
    assert set(table["symbol"]) == {f"GENE{i}" for i in range(5)}


def test_names_with_quotes_are_written_and_read_as_they_are(tmp_path):
    run = Run.create(tmp_path / "run", window=2000, promoter=200, chrom_sizes={"chr1": 20_000})
    names = ['"5 prime', '5" end', '"whole"', '""', '"', "#1", "NA", "a\\b", "it's", "x, y"]
    rng = np.random.default_rng(0)
    with run.writing():
        for number, name in enumerate(names):
            gene = {"gene_id": f"{name}.{number}", "symbol": name, "chrom": "chr1", "tss": 1000 + number, "strand": "+"}
            run.append({**gene, "predicted": 1.0}, *random_masks(2000, rng))
    assemble(run)
    found = Run.open(run.path).genes.set_index("symbol").loc[names]
    assert (found["elements"] >= 0).all()
    assert found["kept_percent"].notna().all()
    table = read_table(run.path / "genes.tsv").set_index("symbol").loc[names]
    assert table["gene_id"].tolist() == [f"{name}.{number}" for number, name in enumerate(names)]
    elements = Run.open(run.path).elements
    assert set(elements["symbol"]) == set(names)
    assert len(elements) == found["elements"].sum() + len(names)  # and the promoters


def test_doing_it_again_changes_no_byte(run):
    assemble(run)
    before = derived(run)
    assemble(run)
    assert derived(run) == before


def test_another_rule_gives_other_elements_and_going_back_gives_the_first(run):
    assemble(run, rule=RULE)
    before = derived(run)
    few = assemble(run, rule=RULE.at(0.66))["elements"]
    assert few < json.loads(before["metrics.json"])["counts"]["elements"]
    assert run.manifest["element_rule"]["threshold"] == 0.66
    assemble(run, rule=RULE)
    assert derived(run) == before


def test_the_default_rule_looks_at_all_genes(run):
    assemble(run)
    assert run.rule == default_rule([run.mask(gene) for gene in run.scored], binary=False)
    assert run.manifest["element_rule"]["kept_target"] == 0.05


def test_kept_percent_is_that_of_the_masks(run):
    assemble(run, rule=RULE)
    for gene in run.scored:
        assert run.gene(gene)["kept_percent"] == pytest.approx(100 * run.mask(gene).kept_fraction, abs=1e-5)


def test_the_merged_track_is_the_highest_mask_of_all_genes(run):
    assemble(run, rule=RULE, decimals=None)
    expected = np.full(run.chrom_sizes["chr1"], np.nan, np.float32)
    for gene in ("G0", "G2", "G4"):  # those on chr1
        mask = run.mask(gene)
        expected[mask.start : mask.end] = np.fmax(expected[mask.start : mask.end], mask.mask)
    with pyBigWig.open(str(run.merged_track)) as bigwig:
        np.testing.assert_array_equal(bigwig.values("chr1", 0, len(expected), numpy=True), expected)


def test_the_merged_track_can_be_coarser(run):
    assemble(run, rule=RULE, track_resolution=50)
    with pyBigWig.open(str(run.merged_track)) as bigwig:
        widths = {end - start for start, end, _ in bigwig.intervals("chr1")}
    assert min(widths) == 50


def test_a_track_too_long_to_write_in_little_memory_is_coarser_by_default(run, monkeypatch):
    monkeypatch.setattr("model_core.run_folder.assemble.MOST_VALUES", 2600)
    assemble(run, rule=RULE)
    assert run.manifest["assembled"]["track_resolution"] == 4  # 7,000 bases in windows: 1,750 bins of 4


def write_peaks(folder: Path, run: Run) -> Path:
    """One peak over the first element of the run."""
    element = run.cut("G0", 0.4).iloc[0]
    path = folder / "called.narrowPeak"
    path.write_text(f"{element['chrom']}\t{element['start']}\t{element['end']}\tpeak_1\t5000\t.\t9\t-1\t-1\t0\n")
    path.with_suffix(".json").write_text('{"version": "macs3"}')
    return path


def test_peaks_are_copied_and_elements_classed_by_them(run, tmp_path):
    path = write_peaks(tmp_path, run)
    counts = assemble(run, study_peaks=path, rule=RULE)
    assert counts["elements_with_peak"] >= 1
    assert counts["elements_with_peak"] + counts["elements_without_peak"] == counts["elements"]
    assert (run.path / "peaks" / "called.narrowPeak").read_bytes() == path.read_bytes()
    assert json.loads((run.path / "peaks" / "called.json").read_text()) == {"version": "macs3"}
    assert set(run.elements["class"]) == {"promoter", "with_peak", "without_peak"}
    with_peak = run.elements[run.elements["class"] == "with_peak"]
    assert set(with_peak["peak"]) == {"peak_1"}
    assert run.genes["elements_without_peak"].sum() == counts["elements_without_peak"]


def test_peaks_may_come_as_a_table_and_stay_when_assembling_again(run, tmp_path):
    table = read_narrowpeak(write_peaks(tmp_path, run))
    assemble(run, study_peaks=table, rule=RULE)
    before = derived(run)
    assemble(run, rule=RULE)
    assert derived(run) == before
    assert run.peaks["score"].tolist() == [1000]


def test_new_peaks_take_the_place_of_old_ones(run, tmp_path):
    path = write_peaks(tmp_path, run)
    assemble(run, study_peaks=path, rule=RULE)
    path.rename(tmp_path / "again.narrowPeak")
    assemble(run, study_peaks=[tmp_path / "again.narrowPeak"], rule=RULE)
    assert [x.name for x in (run.path / "peaks").iterdir()] == ["again.narrowPeak"]


def test_missing_peaks_are_told(run, tmp_path):
    for name in ("none.narrowPeak", "peaks.bed"):
        with pytest.raises(InputError, match="call peaks first"):
            assemble(run, study_peaks=tmp_path / name)


def test_without_peaks_nothing_is_said_about_them(run):
    counts = assemble(run, rule=RULE)
    assert (counts["elements_with_peak"], counts["elements_without_peak"]) == (None, None)
    assert set(run.elements["class"]) == {"promoter", "no_peak_file"}
    assert run.genes["elements_without_peak"].isna().all()


def test_other_metrics_stay(run):
    run.write_json("metrics.json", {"prediction": {"test": {"genes": 5, "pearson": 0.9}}})
    assemble(run, rule=RULE)
    assert run.metrics["prediction"] == {"test": {"genes": 5, "pearson": 0.9}}


def test_a_run_without_genes_cannot_be_assembled(tmp_path):
    empty = Run.create(tmp_path / "run", window=8, promoter=2, chrom_sizes={"chr1": 20})
    with pytest.raises(InputError, match="no scored gene"):
        assemble(empty)


def test_a_gene_scored_after_assembling_has_no_element_count_yet(run):
    assemble(run, rule=RULE)
    rng = np.random.default_rng(9)
    with run.writing():
        run.append(
            {"gene_id": "new", "chrom": "chr1", "tss": 5000, "strand": "+", "predicted": 1.0}, *rng.random((2, 2000))
        )
    assert np.isnan(run.gene("new")["elements"])
    assert run.gene("G0")["elements"] >= 0
    assert assemble(run, rule=RULE)["genes"] == 6


def test_an_assembly_that_fails_leaves_the_run_marked_as_not_assembled(run, monkeypatch):
    assemble(run, rule=RULE)
    monkeypatch.setattr(
        "model_core.run_folder.assemble.write_bigwig", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(OSError, match="No space"):
        assemble(run, rule=RULE.at(0.6))
    assert Run.open(run.path).manifest["assembled"] is None
    assert not (run.path / "lock").exists()


@pytest.mark.parametrize(("variant", "resolution"), [("hard", 1), ("soft", 10), ("hard", 10)])
def test_hard_and_binned_runs_assemble_too(tmp_path, variant, resolution):
    blacklist = pd.DataFrame({"chrom": ["chr1"], "start": [1100], "end": [1400]})
    run = make_run(tmp_path / "run", genes=4, variant=variant, resolution=resolution, blacklist=blacklist)
    counts = assemble(run)
    assert counts["elements"] > 0
    elements = run.elements[run.elements["class"] != "promoter"]
    assert ((elements["end"] - elements["start"]) % resolution == 0).all()
    on_blacklist = (elements["chrom"] == "chr1") & (elements["start"] < 1400) & (elements["end"] > 1100)
    assert not on_blacklist.any()
    if variant == "hard":
        assert run.rule == ElementRule(0.5, smooth_bp=0)
        assert set(np.unique(run.mask("G0").mask)) == {0, 1}


def test_on_real_chromatin_elements_of_the_signal_lie_on_macs_peaks(shared_data, tmp_path):
    """A mask that is nothing but DNase finds the peaks that MACS called on the same DNase."""
    sizes = {"chr22": 50_818_468}
    blacklist = read_bed(shared_data / "hg38-blacklist.v2.chr22.bed")
    run = Run.create(tmp_path / "run", window=200_000, promoter=2000, chrom_sizes=sizes, blacklist=blacklist)
    genes = pd.read_csv(shared_data / "genes.chr22.tsv", sep="\t").query("gene_type == 'protein_coding'")
    with run.writing(), pyBigWig.open(str(shared_data / "K562.DNase.reconstructed.bigWig")) as dnase:
        for gene in genes.iloc[100:104].to_dict("records"):
            start = gene["tss"] - 100_000
            signal = np.nan_to_num(dnase.values("chr22", start, start + 200_000, numpy=True))
            run.append({**gene, "predicted": 1.0}, 1 + np.log1p(signal), np.full(200_000, 9.0))
    counts = assemble(run, study_peaks=read_narrowpeak(shared_data / "K562.DNase.macs2_p0.1.narrowPeak.gz"))
    assert 3.5 < counts["element_bases_percent"] < 5.5  # 5 before runs are joined and short ones dropped
    assert counts["elements"] > 50
    assert counts["elements_with_peak"] > 0.95 * counts["elements"]
    assert (run.elements["end"] - run.elements["start"]).min() >= 50
