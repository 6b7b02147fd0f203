"""The benchmark of planted elements: what its oracles know, and what its table says."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from model_core.evaluation.planted_truth import DECOY, NONE, STRONG, WEAK
from model_core.evaluation.ranking import LEVELS
from model_core.files import write_json
from model_core.simulation.world import HARDER

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "worlds.py"


@pytest.fixture(scope="module")
def worlds():
    spec = importlib.util.spec_from_file_location("worlds", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def background(letters: dict[int, str]) -> str:
    """1,000 bp without any motif but those that are put there."""
    bases = list("A" * 1_000)
    for place, word in letters.items():
        bases[place : place + len(word)] = word
    return "".join(bases)


def test_the_oracle_reads_both_motifs_of_a_grammar_on_either_strand(worlds):
    a, b = HARDER.motif("A"), HARDER.motif("B")
    backwards = b[::-1].translate(str.maketrans("ACGT", "TGCA"))
    both = worlds.grammar(background({500: a, 560: backwards}), HARDER)
    assert both[530] == 1
    assert both.dtype == np.float32
    assert len(both) == 1_000
    assert not both[:440].any()
    assert not both[640:].any()
    assert not worlds.grammar(background({500: a, 560: a}), HARDER).any()  # single motifs are decoys
    assert not worlds.grammar(background({200: a, 800: b}), HARDER).any()


@pytest.mark.parametrize(("changed", "found"), [(1, True), (2, False)])
def test_the_oracle_forgives_one_mismatch(worlds, changed, found):
    worn = "".join("C" if i < changed else base for i, base in enumerate(HARDER.motif("A")))
    assert worlds.grammar(background({500: worn, 560: HARDER.motif("B")}), HARDER).any() == found


def test_an_oracle_is_measured_as_masks_are(worlds):
    counts = np.zeros((4, LEVELS), int)
    counts[STRONG, 9], counts[WEAK, 8], counts[DECOY, 7], counts[NONE, 0] = 50, 40, 60, 850
    found = worlds.measured(counts, 0.05)
    assert found["auprc"] == 1
    assert (found["precision"], found["recall"], found["weak_recall"]) == pytest.approx((1, 50 / 90, 0))
    assert found["weak_recall_tenth"] == 1  # the next 50 bases are 40 weak ones and 10 of decoys
    assert found["decoys_kept_tenth"] == pytest.approx(10 / 60)
    assert set(worlds.COLUMNS) == set(found)


def test_the_table_takes_seeds_together_and_tells_models_apart(worlds, tmp_path):
    numbers = dict.fromkeys([*worlds.COLUMNS, *worlds.OF_MODELS], 0.5)
    for name, auprc in (("causal-0", 0.8), ("causal-1", 0.9), ("causal-Beta-head-0", 0.3)):
        run = {**numbers, "auprc": auprc, "prior_correlation": None, "rivals": {"DNase": numbers}}
        (tmp_path / "plain-runs" / name).mkdir(parents=True)
        write_json(tmp_path / "plain-runs" / name / "judged.json", run)
    found = worlds.results(tmp_path)
    assert {name: len(runs) for name, runs in found["plain"].items()} == {"causal": 2, "causal, Beta head": 1}
    rows = worlds.table("plain", found["plain"]).splitlines()
    cells = {row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:-1]] for row in rows[3:] if row}
    assert cells["causal"][0] == "0.850 ± 0.071"
    assert cells["causal"][-1] == "2"
    assert cells["causal"][list(worlds.OF_MODELS).index("prior_correlation") + len(worlds.COLUMNS)] == ""
    assert cells["*DNase*"][0] == "0.500"
    assert {len(row) for row in cells.values()} == {len(worlds.COLUMNS) + len(worlds.OF_MODELS) + 1}
