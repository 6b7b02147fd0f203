"""What-if, knock-outs, smallest sets and occlusion against a plain loop over the model; their files."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_run import lively, score_with
from small_study import write_small_study
from typer.testing import CliRunner

from model_core.config import recipe
from model_core.dinucleotide_shuffle import codes_of, one_hot_of, shuffled
from model_core.errors import InputError
from model_core.model.checkpoint import save_checkpoint
from model_core.perturbation.knockout import (
    control_effects,
    free_bases,
    knock_out,
    length_class,
    random_regions,
    smallest_set,
)
from model_core.perturbation.occlusion import occlude
from model_core.perturbation.rank import choose_scored, effects_of, occlusion_of
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.shuffled_sequence import shuffled_effects
from model_core.perturbation.what_if import Edit
from model_core.run_folder.assemble import assemble
from model_core.run_folder.effects import (
    EFFECT_COLUMNS,
    SHUFFLE_ROW,
    append_effects,
    caveat,
    control_rank,
    effect_table,
    fold_change,
    hidden_in_training,
    read_effects,
)
from model_core.run_folder.elements import ElementRule
from model_core.run_folder.run import Run
from model_core.study.study import load_study
from model_core.training.dataset import GeneWindows, collate
from seq2exp_viz.cli import app

SMALL = {"window": 1024, "promoter": 128, "d_model": 8, "n_layers": 1}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(write_small_study(tmp_path_factory.mktemp("effects")))


def scored(study, folder, **settings):
    """A run of five scored genes of the small study, two of them on the minus strand."""
    return score_with(study, folder, study.genes().iloc[:5], **{**SMALL, **settings})


@pytest.fixture(scope="module", params=["soft", "hard", "turned"])
def run(request, study, tmp_path_factory):
    settings = {"soft": {"apply": "gate"}, "hard": {"variant": "hard"}, "turned": {"reverse_complement": True}}
    return scored(study, tmp_path_factory.mktemp(request.param), **settings[request.param])


@pytest.fixture(scope="module")
def model(run):
    return RunModel(run, "cpu")


def by_score(model: RunModel, gene_id: str, masks: np.ndarray) -> np.ndarray:
    """Predictions under masks on the forward strand, one call of `Seq2Exp.score` each."""
    genes = model.study.genes()
    genes = genes[genes["gene_id"] == gene_id].reset_index(drop=True)
    data = GeneWindows(model.study, genes, model.model.config, model.study.feature_scale())
    batch = collate([data[0]])
    way = -1 if data.reversed_strand(0) else 1
    arrays = [x.numpy() for x in (batch.sequence, batch.signals, batch.gene_features, batch.blacklist)]
    return np.array([model.model.score(*arrays, mask_override=mask[None, ::way]).expression[0] for mask in masks])


def gene_with_elements(run, at_least: int = 2) -> str:
    counts = run.elements[run.elements["class"] != "promoter"]["gene_id"].value_counts()
    assert counts.max() >= at_least, counts
    return str(counts.index[0])


def test_the_mask_and_the_prediction_as_they_are_are_those_of_the_run(run, model):
    for gene in run.genes.itertuples():
        what_if = model.what_if(gene.gene_id)
        np.testing.assert_allclose(what_if.mask, run.mask(gene.gene_id).mask, atol=1e-3)
        assert what_if.baseline == pytest.approx(gene.predicted, abs=1e-5)


def test_many_masks_at_once_agree_with_one_call_each(run, model):
    gene_id = gene_with_elements(run)
    what_if = model.what_if(gene_id)
    rng = np.random.default_rng(0)
    masks = np.repeat(rng.integers(0, 2, (7, 64)), 16, axis=1).astype(np.float32)
    masks[:, what_if.promoter] = 1
    what_if.at_once = 3
    expected = by_score(model, gene_id, masks)
    assert expected.std() > 1e-3, "the model does not look at its mask: the test would see nothing"
    np.testing.assert_allclose(what_if.predicted(masks), expected, atol=2e-5)


def test_the_effect_of_each_element_agrees_with_a_plain_loop(run, model):
    gene_id = gene_with_elements(run)
    what_if, elements = model.what_if(gene_id), run.cut(gene_id)
    rows = pd.DataFrame(
        knock_out(what_if, elements, run.chrom_sizes, gene_id, 5),
        columns=["element", "start", "end", "effect", "n", "mean", "sd", "control_rank"],
    )
    mine = elements[elements["class"] != "promoter"]
    assert rows[["start", "end"]].to_numpy().tolist() == mine[["start", "end"]].to_numpy().tolist()
    masks = []
    for start, end in zip(mine["start"], mine["end"], strict=True):
        mask = what_if.mask.copy()
        mask[start - what_if.window.start : end - what_if.window.start] = 0
        masks.append(mask)
    expected = by_score(model, gene_id, what_if.mask[None])[0] - by_score(model, gene_id, np.array(masks))
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(rows["effect"], expected, atol=2e-5)
    room = rows["n"] == 5  # a long element of a crowded window finds no stretch to compare with
    assert room.any()
    assert (rows["n"][~room] == 0).all()
    assert rows["control_rank"][room].between(0, 5).all()
    assert rows["control_rank"][~room].isna().all()


def test_controls_are_random_stretches_outside_all_elements(run, model):
    gene_id = gene_with_elements(run)
    what_if, elements = model.what_if(gene_id), run.cut(gene_id)
    free = free_bases(what_if, elements, run.chrom_sizes)
    assert not (free & (what_if.promoter | what_if.hidden)).any()
    for row in elements.itertuples():
        assert not free[max(row.start - what_if.window.start, 0) : row.end - what_if.window.start].any()
    found = control_effects(what_if, free, (32,), (), 6, gene_id)
    masks = []
    for ((start, end),) in random_regions(free, (32,), 6, gene_id):
        assert end - start == 32
        assert free[start:end].all()
        mask = what_if.mask.copy()
        mask[start:end] = 0
        masks.append(mask)
    assert len({mask.tobytes() for mask in masks}) == 6 or model.model.config.variant == "hard"
    np.testing.assert_allclose(found, what_if.baseline - by_score(model, gene_id, np.array(masks)), atol=2e-5)
    np.testing.assert_array_equal(found, control_effects(what_if, free, (32,), (), 6, gene_id))
    assert len(control_effects(what_if, free, (5_000,), (), 6, gene_id)) == 0


def test_edits_are_cut_at_the_window_and_leave_promoter_and_blacklist(run, model):
    what_if = model.what_if(str(run.genes["gene_id"].iloc[1]))
    start, end = what_if.window.start, what_if.window.end
    off = what_if.edited(Edit(off=((start - 900, end + 900),)))
    np.testing.assert_array_equal(off, what_if.promoter.astype(np.float32))
    both = what_if.edited(Edit(off=((start, end),), on=((start, start + 50), (end + 5, end + 9))))
    kept = np.flatnonzero(both[~what_if.promoter & ~what_if.hidden])
    assert (kept < 50).all()
    assert both[:50][~what_if.hidden[:50]].all()
    assert not both[what_if.hidden].any()


def test_the_smallest_set_is_what_a_greedy_loop_takes(run, model):
    gene_id = gene_with_elements(run)
    what_if, elements = model.what_if(gene_id), run.cut(gene_id)
    found = smallest_set(what_if, elements)
    mine = elements[elements["class"] != "promoter"]
    spans = {row.name: (row.start, row.end) for row in mine.itertuples(index=False)}

    def kept(names):
        mask = what_if.mask.copy()
        for name, (start, end) in spans.items():
            if name not in names:
                mask[start - what_if.window.start : end - what_if.window.start] = 0
        return float(by_score(model, gene_id, mask[None])[0])

    everything, nothing = kept(spans), kept(())
    chosen, share = [], 0.0
    while share < 0.9 and len(chosen) < len(spans):
        shares = {n: (kept([*chosen, n]) - nothing) / (everything - nothing) for n in spans if n not in chosen}
        chosen.append(max(shares, key=shares.get))
        share = shares[chosen[-1]]
    assert found.elements == chosen
    assert found.share == pytest.approx(share, abs=0.01)
    assert found.effect == pytest.approx(everything - nothing, abs=2e-5)
    assert smallest_set(what_if, mine.iloc[:0]).elements == []


def test_occlusion_is_the_mean_of_the_blocks_over_each_bin(run, model):
    gene_id = str(run.genes["gene_id"].iloc[0])
    what_if = model.what_if(gene_id)
    track = occlude(what_if, gene_id, model.checkpoint, block=96, step=32)
    whole = by_score(model, gene_id, what_if.everything[None])[0]
    assert track.predicted == pytest.approx(whole, abs=2e-5)
    assert len(track.effects) == 32
    for number in (0, 1, 9, 31):
        masks = []
        for first in range(number * 32 - 64, number * 32 + 1, 32):
            mask = what_if.everything.copy()
            mask[max(first, 0) : first + 96] = 0
            mask[what_if.promoter] = 1
            masks.append(mask)
        effects = whole - by_score(model, gene_id, np.array(masks))
        assert track.effects[number] == pytest.approx(effects.mean(), abs=2e-5)
    middle = track.bases[what_if.promoter]
    assert np.isnan(middle).all()
    with pytest.raises(InputError, match="a step that divides the block"):
        occlude(what_if, gene_id, model.checkpoint, block=96, step=40)


def test_a_run_is_ranked_once_and_again_where_its_rule_changed(study, tmp_path, capsys):
    run = scored(study, tmp_path, apply="gate")
    model, genes = RunModel(run, "cpu"), choose_scored(run, everything=True)
    table = effects_of(model, genes.iloc[:2], 3)
    assert tuple(table.columns) == EFFECT_COLUMNS
    assert set(table["gene_id"]) <= set(genes["gene_id"][:2])
    read = pd.read_csv(run.path / "effects" / "effects.tsv", sep="\t", dtype={"gene_id": str})
    pd.testing.assert_frame_equal(read, table, atol=1e-6, check_dtype=False)
    lines = (run.path / "effects" / "effects.jsonl").read_text().splitlines()
    effects_of(model, genes, 3)
    again = (run.path / "effects" / "effects.jsonl").read_text().splitlines()
    assert again[:2] == lines
    assert len(again) == len(genes)
    np.testing.assert_allclose(table["fold_change"], 10 ** table["effect"])
    occlusion_of(model, genes.iloc[:1], 128, 64)
    track = Run.open(run.path).occlusion(genes["symbol"].iloc[0])
    assert track.effects.shape == (16,)
    assert Run.open(run.path).occlusion(genes["gene_id"].iloc[1]) is None
    assemble(run, rule=ElementRule(0.6, smooth_bp=20))
    assert Run.open(run.path).effects.empty
    effects_of(RunModel(Run.open(run.path), "cpu"), genes, 3)
    assert len((run.path / "effects" / "effects.jsonl").read_text().splitlines()) == 2 * len(genes)


def test_the_effect_of_shuffled_sequence_is_that_of_a_window_that_holds_it(run, model):
    gene_id = gene_with_elements(run)
    what_if = model.what_if(gene_id)
    element = run.cut(gene_id).query("`class` != 'promoter'").iloc[0]
    start, end = (int(place) - what_if.window.start for place in element[["start", "end"]])
    found = shuffled_effects(what_if, (element["start"], element["end"]), 3, gene_id)
    assert (found == shuffled_effects(what_if, (element["start"], element["end"]), 3, gene_id)).all()
    rng = np.random.default_rng([zlib.crc32(gene_id.encode()), start, end])
    genes = model.study.genes()
    data = GeneWindows(model.study, genes[genes["gene_id"] == gene_id], model.model.config, model.study.feature_scale())
    batch, turned = collate([data[0]]), data.reversed_strand(0)
    for effect in found:
        bases = batch.sequence[0].numpy()[:: -1 if turned else 1, :: -1 if turned else 1].copy()
        before = bases[start:end].copy()
        bases[start:end] = one_hot_of(shuffled(codes_of(before), rng))
        assert (bases[start:end].sum(0) == before.sum(0)).all()
        bases = bases[:: -1 if turned else 1, :: -1 if turned else 1].copy()
        inputs = (bases[None], *(x.numpy() for x in (batch.signals, batch.gene_features, batch.blacklist)))
        kept = model.model.score(*inputs)
        off = kept.mask[0, :: -1 if turned else 1].copy()
        off[start:end] = 0
        hidden = model.model.score(*inputs, mask_override=off[None, :: -1 if turned else 1]).expression[0]
        assert effect == pytest.approx(kept.expression[0] - hidden, abs=2e-5)
    assert np.abs(found).max() > 1e-5
    assert (what_if.with_bases(what_if.bases).mask == what_if.mask).all()


def test_shuffled_copies_have_columns_of_their_own_and_are_computed_once(study, tmp_path):
    run = scored(study, tmp_path, apply="gate")
    model, genes = RunModel(run, "cpu"), choose_scored(run, everything=True).iloc[:2]
    plain = effects_of(model, genes, 3)
    both = effects_of(model, genes.iloc[:1], 3, shuffles=4)
    assert tuple(both.columns) == (*EFFECT_COLUMNS, *SHUFFLE_ROW)
    pd.testing.assert_frame_equal(both[list(EFFECT_COLUMNS)], plain)
    shuffled_gene = both["gene_id"] == genes["gene_id"].iloc[0]
    assert (both["shuffle_n"][shuffled_gene] == 4).all()
    assert both["shuffle_rank"][shuffled_gene].between(0, 4).all()
    assert both[list(SHUFFLE_ROW)][~shuffled_gene].isna().all(axis=None)
    journal = run.path / "effects" / "effects.jsonl"
    lines = journal.read_text().splitlines()
    assert len(lines) == 3
    effects_of(model, genes, 3)
    effects_of(model, genes.iloc[:1], 3, shuffles=4)
    assert journal.read_text().splitlines() == lines
    more = effects_of(model, genes.iloc[:1], 2)  # other controls: the copies stay
    pd.testing.assert_frame_equal(more[list(SHUFFLE_ROW)], both[list(SHUFFLE_ROW)])
    words = ["effects", str(run.path), "--gene", genes["symbol"].iloc[0], "--controls", "2", "--shuffles", "4"]
    done = CliRunner().invoke(app, [*words, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "of 4 shuffled sequences at least as strong" in done.output
    with journal.open("a") as file:
        record = {**json.loads(lines[-1]), "shuffled": [[4, 0.1, 0.1, 0]] * 99}
        file.write(json.dumps(record) + "\n")
    with pytest.raises(InputError, match="rows in shuffled"):
        read_effects(run.path)


def test_other_weights_than_the_runs_are_refused(study, tmp_path):
    run = scored(study, tmp_path)
    save_checkpoint(tmp_path / "model.safetensors", lively(study.config(**SMALL), 4), {})
    with pytest.raises(InputError, match="other weights than the run was scored with"):
        RunModel(run, "cpu")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no checkpoint"):
        RunModel(run, "cpu")


def test_the_command_writes_the_table_says_the_caveat_and_resumes(study, tmp_path):
    run = scored(study, tmp_path)
    symbol = run.genes["symbol"].iloc[0]
    words = ["effects", str(run.path), "--controls", "2", "--device", "cpu", "--smallest", "--occlusion"]
    done = CliRunner().invoke(app, [*words, "--gene", symbol])
    assert done.exit_code == 0, done.output
    assert "effects.tsv" in done.output
    assert "does not record whether its model was trained" in done.output
    assert len(read_effects(run.path)) == 1
    assert run.occlusion(symbol) is not None
    running = subprocess.Popen([sys.executable, "-m", "seq2exp_viz.cli", *words, "--all"], stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while len(read_effects(run.path)) < 2:
        assert time.monotonic() < limit
        assert running.poll() is None or len(read_effects(run.path)) > 1
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    journal = run.path / "effects" / "effects.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"gene_id": "torn')
    before = {name: json.dumps(record) for name, record in read_effects(run.path).items()}
    done = CliRunner().invoke(app, [*words[:-2], "--all"])
    assert done.exit_code == 0, done.output
    after = read_effects(run.path)
    assert set(after) == set(run.genes["gene_id"])
    assert all(json.dumps(after[name]) == line for name, line in before.items())
    unknown = CliRunner().invoke(app, ["effects", str(run.path), "--gene", "NOSUCH"])
    assert isinstance(unknown.exception, InputError)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=80), st.lists(st.integers(1, 90), min_size=1, max_size=3))
def test_random_regions_lie_inside_and_are_the_same_again(allowed, lengths):
    allowed = np.array(allowed)
    found = random_regions(allowed, lengths, 5, "gene")
    assert found == random_regions(allowed, lengths, 5, "gene")
    for regions in found:
        for (start, end), length in zip(regions, lengths, strict=True):
            assert end - start == length
            assert allowed[start:end].all()
            assert 0 <= start < end <= len(allowed)


@given(st.integers(1, 200_000))
def test_a_length_class_is_near(length):
    assert (
        abs(length_class(length) / length - 1) < 0.26 if length < 10 else abs(length_class(length) / length - 1) < 0.2
    )


@given(st.floats(-5, 5), st.lists(st.floats(-5, 5), max_size=30))
def test_control_rank_counts_the_controls_that_are_as_large(effect, controls):
    found = control_rank(effect, np.array(controls))
    assert found == (sum(abs(x) >= abs(effect) for x in controls) if controls else None)


def test_a_fold_change_is_a_ratio_where_the_label_is_a_logarithm():
    assert fold_change(1.0, "log10p1") == pytest.approx(10)
    assert fold_change(np.array([0.0, 1.0]), "log1p").tolist() == pytest.approx([1, math.e])
    assert math.isnan(fold_change(1.0, "sqrt"))
    assert math.isnan(fold_change(1.0, None))


def test_the_caveat_says_what_the_model_has_seen():
    soft, hard = recipe("soft").to_dict(), recipe("hard").to_dict()
    assert hidden_in_training({"model": soft, "training": {"block_steps": 5}}) is True
    assert caveat({"model": soft, "training": {"block_steps": 5}}) == ""
    assert hidden_in_training({"model": soft, "training": {"block_steps": 0}}) is False
    assert "only where it is exactly 0" in caveat({"model": soft, "training": {"block_steps": 0}})
    assert "masks of 0 and 1" in caveat({"model": hard, "training": {"block_steps": 0}})
    assert "does not record" in caveat({"model": soft})
    assert hidden_in_training({"model": {"mask": "random"}}) is True
    additive = recipe("causal").to_dict()
    assert hidden_in_training({"model": additive, "training": {"block_steps": 0}}) is True
    assert caveat({"model": additive, "training": {"block_steps": 0}}) == ""


def test_journals_take_lines_of_several_writers_and_name_a_line_that_is_no_record(tmp_path):
    record = {"symbol": "A", "chrom": "chr1", "predicted": 1.0, "label_transform": "log10p1", "rule": {}}
    record |= {"checkpoint": "x", "controls": 2, "rows": [["E1", 5, 9, 0.25, 0, np.nan, np.nan, np.nan]]}
    code = (
        "import sys, json; from pathlib import Path; from model_core.run_folder.effects import append_effects\n"
        "record = json.loads(sys.argv[2])\n"
        "for i in range(20): append_effects(Path(sys.argv[1]), {**record, 'gene_id': sys.argv[3] + str(i)})"
    )
    plain = json.dumps({**record, "rows": []})
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), plain, name]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    path = tmp_path / "effects" / "effects.jsonl"
    with path.open("a") as file:
        file.write('{"gene_id": "torn"')
    append_effects(tmp_path, {**record, "gene_id": "last"})
    found = read_effects(tmp_path)
    assert set(found) == {f"{name}{i}" for name in "ab" for i in range(20)} | {"last"}
    table = effect_table([found["last"]])
    assert table["control_n"].tolist() == [0]
    assert table["control_sd"].isna().all()
    assert not os.path.exists(tmp_path / "effects" / "lock")
    whole = path.read_bytes()
    for damaged, words in (
        (b"[1]\n", ": found a list"),
        (b'{"gene_id": 3}\n', " gene_id: found 3"),
        (b"{\n", ": found a damaged line"),
    ):
        path.write_bytes(whole + damaged + whole.splitlines(keepends=True)[-1])
        with pytest.raises(InputError, match=f"effects.jsonl line 42{words}"):
            read_effects(tmp_path)
    path.write_bytes(whole + b"{\n")  # the last line: torn, its end on the disk before the rest
    assert set(read_effects(tmp_path)) == set(found)
    append_effects(tmp_path, {**record, "gene_id": "after"})
    assert set(read_effects(tmp_path)) == set(found) | {"after"}
