"""How elements are cut out of a mask: worked by hand first, then properties that always hold."""

import dataclasses
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_core.errors import InputError
from model_core.run_folder.elements import (
    CLASS_COLOURS,
    ELEMENT_COLUMNS,
    ElementRule,
    KeptHistogram,
    cut_elements,
    default_rule,
    kept_runs,
    smoothed,
)
from model_core.run_folder.mask_store import GeneMask

GENE = {"gene_id": "ENSG1", "symbol": "ABC", "tss": 1050, "strand": "+"}
PLAIN = ElementRule(0.5, smooth_bp=0, max_gap=0, min_length=0)


def mask_of(values, forced=None, start: int = 1000, resolution: int = 1, cutoff: float | None = None) -> GeneMask:
    """A mask with these means, alpha + beta = 8. forced: a letter a bin: "." learned, "x" blacklist, "p" promoter."""
    values = np.asarray(values, np.float32)
    states = {".": -1, "x": 0, "p": 1}
    state = np.array([states[letter] for letter in forced or "." * len(values)], np.int8)
    end = start + len(values) * resolution
    return GeneMask("chr1", start, end, resolution, 8 * values + 1e-6, 8 * (1 - values) + 1e-6, state, cutoff)


def kept(text: str, rule: ElementRule, forced: str | None = None, resolution: int = 1) -> list[tuple[int, int]]:
    """Runs cut from a mask drawn as text, # kept."""
    mask = mask_of([1.0 if letter == "#" else 0.0 for letter in text], forced, resolution=resolution)
    return list(zip(*(x.tolist() for x in kept_runs(mask.mask, mask.learned, rule, resolution)), strict=True))


def rule(**changes) -> ElementRule:
    return dataclasses.replace(PLAIN, **changes)


# ---- by hand


def test_runs_closer_than_join_become_one():
    assert kept("##..##...##", rule(max_gap=3)) == [(0, 6), (9, 11)]


def test_runs_shorter_than_shortest_are_dropped_after_joining():
    assert kept("#.#...#####.....##", rule(max_gap=2, min_length=3)) == [(0, 3), (6, 11)]


def test_blacklist_and_promoter_are_never_inside_an_element():
    assert kept("############", PLAIN, "..xx....pp..") == [(0, 2), (4, 8), (10, 12)]


def test_runs_are_not_joined_across_forced_bases():
    assert kept("##..##..##", rule(max_gap=100), "..x.......") == [(0, 2), (4, 10)]


def test_lengths_are_bases_whatever_the_resolution():
    assert kept("#.##..#", rule(max_gap=15, min_length=20), resolution=10) == [(0, 4)]


def test_a_base_at_the_threshold_is_kept():
    mask = mask_of([0.25, 0.5, 0.75])
    assert kept_runs(mask.mask, mask.learned, PLAIN, 1)[0].tolist() == [1]


def test_smoothing_takes_each_base_with_its_neighbours_on_either_side():
    np.testing.assert_allclose(smoothed(mask_of([0, 0, 0.9, 0, 0]), 2), [0, 0.3, 0.3, 0.3, 0], atol=1e-5)


def test_smoothing_at_the_ends_averages_what_is_there():
    np.testing.assert_allclose(smoothed(mask_of([0.8, 0.4, 0.0]), 2), [0.6, 0.4, 0.2], atol=1e-5)


def test_smoothing_leaves_out_forced_bases():
    mask = mask_of([0.2, 0.4, 0.9, 0.9, 0.6], ".." + "px" + ".")
    np.testing.assert_allclose(smoothed(mask, 4), [0.3, 0.3, 1, 0, 0.6], atol=1e-5)


def test_smoothing_over_less_than_a_bin_changes_nothing():
    mask = mask_of([0.1, 0.9, 0.1], resolution=100)
    assert smoothed(mask, 90) is mask.mask
    np.testing.assert_allclose(smoothed(mask, 200)[1], 1.1 / 3, atol=1e-5)


def test_an_element_row_holds_what_its_bases_say():
    values = np.zeros(100)
    values[70:80] = [0.6] * 4 + [0.8, 0.8, 0.8] + [0.6] * 3
    mask = mask_of(values, "." * 45 + "p" * 10 + "." * 45)
    table = cut_elements(mask, rule(smooth_bp=0), GENE)
    assert list(table.columns) == list(ELEMENT_COLUMNS)
    promoter, element = table.to_dict("records")
    assert (element["chrom"], element["start"], element["end"], element["name"]) == ("chr1", 1070, 1080, "E1")
    assert (element["thickStart"], element["thickEnd"]) == (1075, 1076)  # the middle of the three highest
    assert element["score"] == 660
    assert element["mean_mask"] == pytest.approx(0.66, abs=1e-5)
    assert element["max_mask"] == pytest.approx(0.8, abs=1e-5)
    spread = (7 * (0.24 / 9) ** 0.5 + 3 * (0.16 / 9) ** 0.5) / 10
    assert element["beta_sd"] == pytest.approx(spread, abs=1e-5)
    assert (element["gene_id"], element["symbol"], element["class"], element["peak"]) == (
        "ENSG1",
        "ABC",
        "no_peak_file",
        ".",
    )
    assert element["distance_to_tss"] == 25
    assert (promoter["name"], promoter["class"], promoter["score"]) == ("promoter", "promoter", 1000)
    assert (promoter["start"], promoter["end"], promoter["thickStart"]) == (1045, 1055, 1050)


def test_distance_is_negative_upstream_on_the_genes_strand():
    values = np.zeros(100)
    values[70:73] = 0.9
    minus = cut_elements(mask_of(values), PLAIN, {**GENE, "strand": "-"})
    assert minus["distance_to_tss"].tolist() == [-21]


def test_elements_are_named_by_falling_mask_and_equal_ones_by_distance():
    values = np.zeros(100)
    values[2:4], values[20:22], values[60:62], values[90:92] = 0.7, 0.7, 0.9, 0.6
    table = cut_elements(mask_of(values), PLAIN, GENE)
    assert dict(zip(table["start"], table["name"], strict=True)) == {1002: "E3", 1020: "E2", 1060: "E1", 1090: "E4"}


def test_an_element_is_classed_by_the_peak_that_shares_most_of_it():
    values = np.zeros(100)
    values[10:20] = values[40:50] = values[70:80] = 0.9
    peaks = pd.DataFrame(
        [("chr1", 1005, 1012, "a"), ("chr1", 1014, 1030, "b"), ("chr2", 1040, 1050, "c"), ("chr1", 1080, 1090, "d")],
        columns=["chrom", "start", "end", "name"],
    )
    table = cut_elements(mask_of(values), PLAIN, GENE, peaks)
    assert table["class"].tolist() == ["with_peak", "without_peak", "without_peak"]  # touching is not sharing
    assert table["peak"].tolist() == ["b", ".", "."]
    assert table["itemRgb"].tolist() == [CLASS_COLOURS["with_peak"], *[CLASS_COLOURS["without_peak"]] * 2]


def test_a_peak_file_without_peaks_is_not_the_same_as_no_peak_file():
    none = pd.DataFrame({"chrom": [], "start": [], "end": [], "name": []})
    assert cut_elements(mask_of([0, 1, 0]), PLAIN, GENE, none)["class"].tolist() == ["without_peak"]


def test_a_mask_with_nothing_kept_still_has_its_promoter():
    table = cut_elements(mask_of(np.zeros(9), "...ppp..."), PLAIN, {**GENE, "tss": 1004})
    assert table["name"].tolist() == ["promoter"]
    assert cut_elements(mask_of(np.zeros(9)), PLAIN, GENE).empty


def test_a_summit_in_bins_is_the_middle_of_the_bin():
    table = cut_elements(mask_of([0, 0.9, 0], resolution=10), PLAIN, GENE)
    assert table[["start", "end", "thickStart"]].to_numpy().tolist() == [[1010, 1020, 1015]]


def test_five_per_cent_of_all_learned_bases_reach_the_default_threshold():
    rng = np.random.default_rng(0)
    masks = [mask_of(rng.beta(2, 8, 3000), "." * 2000 + "p" * 500 + "x" * 500) for _ in range(3)]
    chosen = default_rule(masks, binary=False)
    values = np.concatenate([smoothed(mask, 100)[mask.learned] for mask in masks])
    assert (values >= chosen.threshold).mean() == 300 / 6000
    best_left_out = np.sort(values)[-301]
    assert best_left_out < chosen.threshold <= best_left_out + 2**-20
    assert (chosen.smooth_bp, chosen.max_gap, chosen.min_length, chosen.kept_target) == (100, 100, 50, 0.05)


def test_hard_masks_are_cut_where_they_are_one():
    chosen = default_rule([], binary=True)
    assert (chosen.threshold, chosen.smooth_bp) == (0.5, 0)
    mask = mask_of([0.4, 0.5, 0.6, 0.1], cutoff=0.5)
    table = cut_elements(mask, dataclasses.replace(chosen, min_length=1), GENE)
    assert table[["start", "end", "mean_mask"]].to_numpy().tolist() == [[1001, 1003, 1.0]]


def test_a_flat_mask_has_no_default_elements():
    chosen = default_rule([mask_of(np.full(500, 0.3))], binary=False)
    assert chosen.threshold == pytest.approx(0.3, abs=1e-5)
    assert cut_elements(mask_of(np.full(500, 0.3)), chosen, GENE).empty


def test_more_ones_than_the_share_are_all_kept():
    histogram = KeptHistogram()
    histogram.add(np.array([1, 1, 0.5, 0.5], np.float32))
    assert histogram.threshold(0.05) == (1, 0.5)


def test_windows_that_are_all_promoter_have_nothing_to_cut():
    assert default_rule([mask_of([0.5], "p")], binary=False).threshold == 1


@pytest.mark.parametrize("wrong", [{"threshold": 1.5}, {"threshold": float("nan")}, {"smooth_bp": -1}, {"max_gap": -1}])
def test_a_rule_without_sense_is_refused(wrong):
    with pytest.raises(InputError, match="element rule"):
        rule(**wrong)


def test_a_rule_survives_the_manifest():
    assert ElementRule.from_dict(rule(kept_target=0.05).to_dict()) == rule(kept_target=0.05)
    assert rule(kept_target=0.05).at(0.7) == rule(threshold=0.7)


# ---- always

levels = st.integers(0, 16).map(lambda level: level / 16)


@st.composite
def masks(draw, most: int = 60):
    bins = draw(st.integers(1, most))
    values = draw(arrays.arrays(np.float32, bins, elements=levels.map(np.float32)))
    forced = draw(st.text("...xp", min_size=bins, max_size=bins))
    return mask_of(values, forced, resolution=draw(st.sampled_from([1, 3, 10])))


rules = st.builds(ElementRule, levels, st.integers(0, 30), st.integers(0, 40), st.integers(0, 40))


def runs_of(mask: GeneMask, chosen: ElementRule) -> list[tuple[int, int]]:
    starts, ends = kept_runs(smoothed(mask, chosen.smooth_bp), mask.learned, chosen, mask.resolution)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


@given(masks(), rules)
def test_elements_lie_apart_inside_the_window_on_learned_bases_and_are_long_enough(mask, chosen):
    found = runs_of(mask, chosen)
    for start, end in found:
        assert 0 <= start < end <= len(mask.mask)
        assert (end - start) * mask.resolution >= chosen.min_length
        assert mask.learned[start:end].all()
    for (_, end), (start, _) in pairwise(found):
        assert end < start
        assert (start - end) * mask.resolution >= chosen.max_gap or not mask.learned[end:start].all()


@given(masks(), rules)
def test_cutting_the_elements_again_gives_the_same_elements(mask, chosen):
    found = runs_of(mask, chosen)
    ones = np.zeros(len(mask.mask), np.float32)
    for start, end in found:
        ones[start:end] = 1
    again = dataclasses.replace(chosen, threshold=0.5, smooth_bp=0)
    starts, ends = kept_runs(ones, mask.learned, again, mask.resolution)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == found


@given(masks(), st.tuples(levels, levels).map(sorted), st.integers(0, 30))
def test_a_higher_threshold_keeps_fewer_bases(mask, thresholds, smooth):
    low, high = (
        {i for run in runs_of(mask, rule(threshold=x, smooth_bp=smooth)) for i in range(*run)} for x in thresholds
    )
    assert high <= low


@given(masks(), rules)
def test_a_mask_turned_round_has_its_elements_turned_round(mask, chosen):
    turned = dataclasses.replace(mask, alpha=mask.alpha[::-1], beta=mask.beta[::-1], forced=mask.forced[::-1])
    length = len(mask.mask)
    values = smoothed(mask, chosen.smooth_bp)[mask.learned]
    assume(np.abs(values - chosen.threshold).min(initial=1) > 1e-5)  # sums from either end differ in the last digit
    assert runs_of(turned, chosen) == [(length - end, length - start) for start, end in runs_of(mask, chosen)][::-1]


@given(masks(), rules)
def test_every_row_names_its_gene_and_has_a_place_a_score_and_a_colour(mask, chosen):
    table = cut_elements(mask, chosen, GENE)
    assert (table["gene_id"] == "ENSG1").all()
    assert table["score"].between(0, 1000).all()
    assert ((table["start"] <= table["thickStart"]) & (table["thickStart"] < table["end"])).all()
    assert table["itemRgb"].isin(CLASS_COLOURS.values()).all()
    elements = table[table["class"] != "promoter"]
    assert sorted(elements["name"]) == sorted(f"E{i + 1}" for i in range(len(elements)))


@settings(deadline=None)
@given(
    arrays.arrays(np.float32, st.integers(1, 200), elements=st.floats(0, 1, width=32)), st.sampled_from([0.05, 0.3, 1])
)
def test_the_streamed_quantile_is_exact_in_share_and_close_in_threshold(values, share):
    histogram = KeptHistogram()
    for part in np.array_split(values, 3):
        histogram.add(part)
    threshold, reached = histogram.threshold(share)
    assert reached == (values >= threshold).mean()
    assert reached <= share or threshold == 1
    if threshold >= 2**-20:
        assert (values >= threshold - 2**-20).mean() > share
