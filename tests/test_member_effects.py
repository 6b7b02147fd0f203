"""Effects by member and contact, as a run stores them and gives them back."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.run_folder.element_gene_score import direction, element_gene_score
from model_core.run_folder.elements import MEASURED, ElementRule
from model_core.run_folder.member_effects import (
    MemberEffects,
    mean_contact,
    packed_effects,
    region_effect,
    shares_of,
)
from model_core.run_folder.run import Run

SIZES = {"chr1": 5_000}
WINDOW, PROMOTER, MEMBERS = 203, 41, 3  # a window whose last bin has 3 bp
BINS = 26
GENE = {"gene_id": "G1", "symbol": "GENE1", "chrom": "chr1", "tss": 1_000, "strand": "-", "predicted": 1.0}


def new_run(folder, members=MEMBERS, contact="Hi-C", **settings) -> Run:
    lengths = {"window": WINDOW, "promoter": PROMOTER}
    return Run.create(
        folder, **lengths, chrom_sizes=SIZES, variant="causal", members=members, contact=contact, **settings
    )


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    effects = rng.normal(0, 0.01, (MEMBERS, BINS)).astype(np.float32)
    mask = np.where(np.arange(WINDOW) % 40 < 20, 8.0, 1.0)
    return {"alpha": mask, "beta": 10 - mask, "effects": effects, "contact": rng.random(BINS).astype(np.float32)}


def stored(tmp_path, **settings) -> Run:
    run = new_run(tmp_path / "run", **settings)
    with run.writing():
        run.append(GENE, **arrays())
    return Run.open(run.path)


def test_effects_and_contact_are_read_as_they_were_written(tmp_path):
    run, written = stored(tmp_path), arrays()
    found = run.member_effects("GENE1")
    assert (found.chrom, found.start, found.end, found.resolution) == ("chr1", 899, 1_102, 8)
    np.testing.assert_allclose(found.values, written["effects"], rtol=2**-10, atol=1e-8)
    np.testing.assert_allclose(run.contact("G1"), written["contact"], atol=5e-4)
    np.testing.assert_allclose(found.mean, written["effects"].mean(0), atol=2e-5)
    np.testing.assert_allclose(found.sd, written["effects"].std(0, ddof=1), atol=2e-5)


@given(st.integers(-20, 223), st.integers(-20, 223))
def test_the_effect_of_a_region_is_the_sum_over_its_bases(first, last):
    values = np.random.default_rng(1).normal(size=(MEMBERS, BINS)).astype(np.float32)
    effects = MemberEffects("chr1", -7, -7 + WINDOW, 8, values)
    lengths = np.array([8] * (BINS - 1) + [3])
    per_base = np.repeat(values / lengths, lengths, axis=1)
    inside = per_base[:, max(first, 0) : max(last, 0)]
    np.testing.assert_allclose(effects.of(-7 + first, -7 + last), inside.sum(1), atol=1e-5)


def test_a_region_outside_the_window_has_no_effect_and_no_contact():
    effects = MemberEffects("chr1", 100, 100 + WINDOW, 8, np.ones((2, BINS), np.float32))
    assert effects.of(0, 100).tolist() == effects.of(303, 400).tolist() == effects.of(150, 150).tolist() == [0, 0]
    assert np.isnan(mean_contact(np.ones(BINS), (100, 303), 0, 100))
    assert shares_of((100, 303), 301, 400).shares.tolist() == [2 / 3]
    assert mean_contact(np.arange(BINS), (100, 303), 104, 124) == pytest.approx((4 * 0 + 8 * 1 + 8 * 2) / 20)


def test_recurrence_counts_members_with_the_sign_of_the_mean_and_half_its_size():
    values = np.array([[1.0], [0.6], [0.1], [-0.2], [1.0]], np.float32)
    effect = region_effect(MemberEffects("chr1", 0, 8, 8, values), 0, 8)
    assert effect.effect == pytest.approx(0.5)
    assert effect.effect_sd == pytest.approx(values.std(ddof=1))
    assert effect.recurrence == 3
    alone = region_effect(MemberEffects("chr1", 0, 8, 8, values[:1]), 0, 8)
    assert np.isnan(alone.effect_sd)
    assert alone.recurrence == 1
    assert np.isnan(MemberEffects("chr1", 0, 8, 8, values[:1]).sd).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 3e4, 1e30])
def test_effects_in_any_unit_are_kept_to_float16(scale):
    effects = np.random.default_rng(2).normal(size=1_000) * scale
    shares, unit = packed_effects(effects.astype(np.float32))
    assert 0.5 <= np.abs(shares).max() <= 1
    np.testing.assert_allclose(shares.astype(np.float64) * unit, effects, rtol=2**-10, atol=unit * 2**-24)


def test_a_gene_without_any_effect_is_stored(tmp_path):
    run = new_run(tmp_path / "run")
    with run.writing():
        run.append(GENE, **{**arrays(), "effects": np.zeros((MEMBERS, BINS)), "contact": np.zeros(BINS)})
    assert not run.member_effects("G1").values.any()
    assert not run.contact("G1").any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e38])
def test_effects_that_are_no_numbers_are_refused(tmp_path, wrong):
    run = new_run(tmp_path / "run")
    with run.writing(), pytest.raises(InputError, match=r"gene 'G1', effects: found .* as largest effect"):
        run.append(GENE, **{**arrays(), "effects": np.full((MEMBERS, BINS), wrong)})
    assert not run.scored


@pytest.mark.parametrize("without", ["effects", "contact"])
def test_a_run_that_stores_them_takes_no_gene_without(tmp_path, without):
    run = new_run(tmp_path / "run")
    with run.writing(), pytest.raises(ValueError, match=without):
        run.append(GENE, **{**arrays(), without: None})
    assert not run.scored


def test_an_older_run_stores_neither_and_says_so(tmp_path):
    run = stored(tmp_path, members=None, contact=None)
    assert run.member_effects("G1") is None
    assert run.contact("G1") is None
    assert run.cut("G1")[list(MEASURED)].isna().all(axis=None)
    assert sorted(path.name for path in (run.path / "masks.zarr").iterdir()) == ["alpha", "beta", "zarr.json"]


def test_a_gene_that_an_older_version_added_has_none(tmp_path):
    run = stored(tmp_path)
    path, whole = run.path / "manifest.json", (run.path / "manifest.json").read_text()
    path.write_text(json.dumps({k: v for k, v in json.loads(whole).items() if k not in ("members", "contact")}))
    older = Run.open(run.path)  # an older version knows neither
    with older.writing():
        older.append({**GENE, "gene_id": "G2", "symbol": "GENE2"}, **arrays(1))
    path.write_text(whole)
    run = Run.open(run.path)
    assert run.member_effects("G2") is None
    assert run.contact("G2") is None
    with run.writing():
        run.append({**GENE, "gene_id": "G3", "symbol": "GENE3"}, **arrays(2))
    np.testing.assert_allclose(run.member_effects("G3").values, arrays(2)["effects"], rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(run.member_effects("G1").values, arrays(0)["effects"], rtol=1e-3, atol=1e-8)


def test_blacklisted_bases_have_no_effect(tmp_path):
    blacklist = pd.DataFrame({"chrom": ["chr1"], "start": [909], "end": [917]})  # 6 bp of bin 1, 2 bp of bin 2
    run, written = stored(tmp_path, blacklist=blacklist), arrays()["effects"]
    left = np.ones(BINS)
    left[[1, 2]] = 2 / 8, 6 / 8
    np.testing.assert_allclose(run.member_effects("G1").values, written * left, rtol=2**-10, atol=1e-8)


def test_elements_have_contact_effect_error_and_recurrence_and_the_promoter_has_none(tmp_path):
    run = stored(tmp_path)
    rule = ElementRule(0.5, smooth_bp=0, max_gap=1, min_length=8)
    run.update(element_rule=rule.to_dict())
    table, effects = run.cut("G1"), run.member_effects("G1")
    assert table["class"].eq("promoter").sum() == 1
    assert table[table["class"] == "promoter"][list(MEASURED)].isna().all(axis=None)
    assert len(table) > 3
    for row in table[table["class"] != "promoter"].to_dict("records"):
        sums = effects.of(row["start"], row["end"])
        assert row["effect"] == pytest.approx(sums.mean(), abs=1e-7)
        assert row["effect_sd"] == pytest.approx(sums.std(ddof=1), abs=1e-7)
        assert row["recurrence"] in range(MEMBERS + 1)
        assert 0 < row["contact"] < 1


def test_the_element_gene_score_is_the_effect_or_knock_out_times_contact():
    effect, knock_out, contact = [-0.3, np.nan, np.nan, np.nan], [0.9, -0.4, np.nan, 0.4], [0.1, 0.5, 0.5, np.nan]
    found = element_gene_score(effect, knock_out, contact)
    np.testing.assert_allclose(found, [0.3, 0.2, np.nan, np.nan])


def test_a_direction_needs_an_effect_of_two_errors_that_is_not_tiny():
    assert direction(0.2, 0.1) == "raises"
    assert direction(-0.3, 0.1) == "lowers"
    assert direction(0.19, 0.1) == direction(0.0, 0.0) == direction(-0.019, 0.0) == "cannot be told"
    assert direction(-0.021, 0.01) == "lowers"
    assert direction(0.2, float("nan")) == direction(float("nan"), 0.1) == ""
