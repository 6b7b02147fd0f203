"""Training and scoring on a tiny simulated study: recipe, resuming, refusals."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from model_core.config import LOGIT_RECIPE, SETTINGS, TrainConfig, given_settings, recipe
from model_core.errors import InputError
from model_core.model.additive import AdditiveModel
from model_core.model.build import build_model
from model_core.model.checkpoint import load_with_metadata, save_checkpoint
from model_core.model.seq2exp import Seq2Exp
from model_core.places import parse_site
from model_core.run_folder.metrics import prediction_metrics
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of
from model_core.scoring.score import check_signals, choose_genes, score
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from model_core.study.peaks import peaks_of_study
from model_core.study.study import load_study
from model_core.training.bootstrap import drawn
from model_core.training.dataset import EndlessBatches, GeneWindows
from model_core.training.lightning_module import learning_rate, optimiser
from model_core.training.pretrain import plant_seeds, pretrain
from model_core.training.train import begin_run, train, train_seeds

SMALL = {"window": 1024, "promoter": 128, "d_model": 16, "n_layers": 1}
SHORT = {"steps": 4, "warmup": 2, "batch_size": 4, "lr": 1e-3, "validations_per_epoch": 1000}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(
        simulate_study(tmp_path_factory.mktemp("study"), seed=1, world=World(genes=(24, 24, 12), validation_genes=8))
    )


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory):
    return train(
        study, study.config(**SMALL), study.train_config(**SHORT), tmp_path_factory.mktemp("runs") / "run", "cpu"
    )


def weights(run):
    return load_with_metadata(run.path / "checkpoint.safetensors", "cpu")[0].state_dict()


def test_learning_rate_rises_to_its_peak_and_falls_to_its_end():
    paper = TrainConfig()
    assert learning_rate(0, paper) == pytest.approx(1e-5)
    assert learning_rate(2_500, paper) == pytest.approx((1e-5 + 5e-4) / 2)
    assert learning_rate(5_000, paper) == pytest.approx(5e-4)
    assert learning_rate(27_500, paper) == pytest.approx((5e-4 + 1e-4) / 2)
    assert learning_rate(50_000, paper) == pytest.approx(1e-4)


def test_weight_decay_reaches_norms_and_positions_but_not_biases_decays_and_skips():
    model = Seq2Exp(recipe("hard", **SMALL))
    decayed, spared = optimiser(model, TrainConfig()).param_groups
    assert decayed["weight_decay"] == 1e-6
    assert spared["weight_decay"] == 0
    names = {id(p): name for name, p in model.named_parameters()}
    in_decay = {names[id(p)] for p in decayed["params"]}
    assert "position_embedding" in in_decay
    assert "generator.norm.weight" in in_decay
    assert not any(name.endswith(("bias", "A_log", ".D")) for name in in_decay)
    assert len(in_decay) + len(spared["params"]) == len(names)


def test_every_gene_comes_once_a_pass_and_batch_n_does_not_depend_on_where_one_begins():
    stream = iter(EndlessBatches(7, 3, seed=5))
    rows = [next(stream) for _ in range(7)]
    flat = [row for batch in rows for row in batch]
    assert all(sorted(flat[7 * turn : 7 * turn + 7]) == list(range(7)) for turn in range(3))
    assert next(iter(EndlessBatches(7, 3, seed=5, first=4))) == rows[4]
    halves = [next(iter(EndlessBatches(7, 4, seed=5, rank=rank, world=2))) for rank in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(next(iter(EndlessBatches(7, 4, seed=5))))


def test_stopping_and_resuming_gives_the_weights_of_not_stopping(study, trained, tmp_path):
    config, short = study.config(**SMALL), study.train_config(**SHORT)
    half = dataclasses.replace(short, steps=2)
    import model_core.training.lightning_module as training

    # The schedule of the whole training from the start: only the stop is early.
    schedule = training.learning_rate
    training.learning_rate = lambda step, _: schedule(step, short)
    try:
        run = train(study, config, half, tmp_path / "run", "cpu")
    finally:
        training.learning_rate = schedule
    run.write_json("config.json", {**run.config, "training": short.to_dict()})
    train(study, config, short, run.path, "cpu")
    last = [torch.load(r.path / "training/last.ckpt", weights_only=True)["state_dict"] for r in (run, trained)]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[1])


def test_the_last_step_is_validated_and_a_finished_training_is_not_done_again(study, tmp_path):
    config = study.config(**SMALL)
    odd = dataclasses.replace(study.train_config(**SHORT), steps=5, batch_size=8, validations_per_epoch=2)
    for _ in range(2):
        run = train(study, config, odd, tmp_path / "run", "cpu")
        history = pd.read_csv(run.path / "training" / "history.csv")
        assert history["step"].is_unique
        assert history["step"].iloc[-1] == 5
    assert len(history) > 1
    assert run.metrics["training"]["best_validation_mse"] == pytest.approx(history["validation_mse"].min(), rel=1e-5)


def test_a_run_with_other_settings_is_not_overwritten(study, trained):
    with pytest.raises(InputError, match="other settings"):
        train(study, study.config(**{**SMALL, "d_model": 8}), study.train_config(**SHORT), trained.path, "cpu")


def test_a_training_whose_settings_were_written_flat_goes_on(study, trained, tmp_path):
    config, training = study.config(**SMALL), study.train_config(**SHORT)
    run = begin_run(study, config, training, tmp_path / "run")
    flat = {SETTINGS[path].flat_name: value for path, (_, value) in given_settings(run.config["model"]).items()}
    assert "d_model" in flat
    run.write_json("config.json", {**run.config, "model": flat})
    assert begin_run(study, config, training, run.path).model_config == config
    with pytest.raises(InputError, match="other settings"):
        begin_run(study, config.replace(d_model=8), training, run.path)


def test_scoring_leaves_masks_elements_tracks_and_predictions(study, trained):
    genes = choose_genes(study.genes())
    assert set(genes["split"]) == {"test"}
    run = score(Run.open(trained.path), study_of(trained), genes.head(3), device="cpu", batch_size=2)
    assert len(run.genes) == 3
    gene = run.genes.iloc[0]
    mask = run.mask(gene["gene_id"])
    assert mask.alpha.shape == (1024,)
    assert np.isfinite(run.genes["predicted"]).all()
    assert run.merged_track.exists()
    assert run.metrics["prediction"]["test"]["genes"] == 3
    before = run.genes.set_index("gene_id")["predicted"]
    again = score(Run.open(run.path), study, genes.head(5), device="cpu").genes.set_index("gene_id")["predicted"]
    assert len(again) == 5  # only the two new ones were computed; one gene at a time or two, the numbers are the same
    assert again[before.index].tolist() == before.tolist()


def test_any_place_can_be_scored(study, trained):
    site = parse_site("chr1:50,001:-")
    run = score(Run.open(trained.path), study, choose_genes(study.genes(), sites=[site]), device="cpu")
    gene = run.gene("chr1:50001:-")
    assert gene["tss"] == 50_000
    assert math.isnan(gene["observed"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"names": ["NOSUCH"]}, "no gene 'NOSUCH'"),
        ({"chrom": "7"}, "no gene on '7'"),
        ({"split": "dev"}, "no dev gene; expected one of .*train"),
    ],
)
def test_unknown_genes_and_chromosomes_are_named(study, asked, message):
    with pytest.raises(InputError, match=message):
        choose_genes(study.genes(), **asked)


def test_signals_in_another_order_are_refused(study, trained):
    model, metadata = load_with_metadata(trained.path / "checkpoint.safetensors", "cpu")
    check_signals(study, model, metadata)
    swapped = study.model_copy(update={"signal_specs": study.signal_specs[::-1]})
    with pytest.raises(InputError, match="in their order"):
        check_signals(swapped, model, metadata)


def test_checkpoint_of_another_shape_is_refused(trained, tmp_path):
    model, metadata = load_with_metadata(trained.path / "checkpoint.safetensors", "cpu")
    model.config = model.config.replace(d_model=32)
    save_checkpoint(tmp_path / "wrong.safetensors", model, metadata)
    with pytest.raises(InputError, match="of shape"):
        load_with_metadata(tmp_path / "wrong.safetensors", "cpu")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x00" * 100])
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_damaged_checkpoints_are_one_message(tmp_path, content, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="broken"):
        load_with_metadata(path, "cpu")


def test_metrics_worked_by_hand():
    found = prediction_metrics(np.array([0.0, 1, 2, 3, np.nan]), np.array([0.0, 2, 1, 3, 7]))
    assert found["genes"] == 4
    assert found["mse"] == pytest.approx(0.5)
    assert found["mae"] == pytest.approx(0.5)
    assert found["pearson"] == pytest.approx(0.8)
    assert found["pearson_95"] == pytest.approx(
        [np.tanh(np.arctanh(0.8) - 1.959964), np.tanh(np.arctanh(0.8) + 1.959964)]
    )


def test_seeds_are_trained_apart_and_summed_up(study, tmp_path):
    one_step = dataclasses.replace(study.train_config(**SHORT), steps=1)
    runs = train_seeds(study, study.config(**SMALL), one_step, tmp_path, [2, 22], "cpu")
    found = json.loads((tmp_path / "seeds.json").read_text())
    assert set(found["validation_mse"]) == {"2", "22"}
    assert found["mean"] == pytest.approx(np.mean(list(found["validation_mse"].values())))
    assert found["sd"] > 0
    assert runs[0].metrics["training"]["peak_memory_bytes"] > 1e6
    assert runs[0].manifest["checkpoint"]["sha256"] != runs[1].manifest["checkpoint"]["sha256"]


@pytest.mark.parametrize("encoder", [0, 16])
def test_pretraining_lowers_the_error_of_the_signals_and_reaches_the_predictor(study, tmp_path, encoder):
    config = study.config(variant="causal", **{**LOGIT_RECIPE, "encoder": encoder}, **SMALL)
    training = dataclasses.replace(study.train_config(**SHORT), pretrain_steps=30, pretrain_lr=1e-2)
    genes = GeneWindows(study, study.genes(), config, study.feature_scale())
    model, path = Seq2Exp(config), tmp_path / "pretrained.safetensors"
    errors = pretrain(model, study, genes, training, path, "cpu")
    assert np.mean(errors[-5:]) < 0.8 * np.mean(errors[:5])
    again = Seq2Exp(config)
    assert pretrain(again, study, genes, training, path, "cpu") == []  # found again
    if encoder:
        assert torch.equal(again.encoder.motifs.weight, model.encoder.motifs.weight)
        assert model.encoder.sd.min() > 0
        assert not torch.equal(model.encoder.mean, torch.zeros(encoder))
    else:
        generator, predictor = model.generator.state_dict(), model.predictor.state_dict()
        assert all(torch.equal(generator[name], predictor[name]) for name in generator)
        assert torch.equal(again.sequence_embedding.weight, model.sequence_embedding.weight)


def test_a_pretrained_encoder_is_left_alone_by_what_follows(study, tmp_path):
    config = study.config(variant="causal", **LOGIT_RECIPE, **SMALL)
    training = dataclasses.replace(study.train_config(**SHORT), pretrain_steps=2, block_steps=2, steps=4)
    run = train(study, config, training, tmp_path / "run", "cpu")
    pretrained, trained = load_file(run.path / "training" / "pretrained.safetensors"), weights(run)
    for name, value in pretrained.items():
        assert torch.equal(trained["encoder." + name.removeprefix("0.")], value)
    assert not torch.equal(trained["encoder_embedding.weight"], Seq2Exp(config).encoder_embedding.weight)


def test_random_blocks_train_the_predictor_and_leave_the_mask_head_alone(study, tmp_path):
    config = study.config(variant="causal", **LOGIT_RECIPE, **SMALL)
    training = dataclasses.replace(study.train_config(**SHORT), pretrain_steps=1, block_steps=2, steps=2)
    run = train(study, config, training, tmp_path / "run", "cpu")
    torch.manual_seed(training.seed)
    fresh, trained = Seq2Exp(config).state_dict(), weights(run)
    assert torch.equal(fresh["mask_head.weight"], trained["mask_head.weight"])
    assert not torch.equal(fresh["expression_head.0.weight"], trained["expression_head.0.weight"])


def test_two_processes_learn_what_one_learns_with_the_doubled_batch(study, tmp_path):
    """With the draw of z replaced by its mean, the losses of two gloo processes are those of one."""
    code = """
import sys
from model_core.study.peaks import peaks_of_study
from model_core.study.study import load_study
from model_core.training.train import train
study = load_study(sys.argv[1])
settings = {"window": 1024, "promoter": 128, "d_model": 16, "n_layers": 1}
recipe = {"steps": 4, "warmup": 2, "batch_size": 4, "lr": 1e-3, "validations_per_epoch": 1000, "mean_z": True}
train(study, study.config(**settings), study.train_config(**recipe), sys.argv[2], "cpu", processes=int(sys.argv[3]))
"""
    (tmp_path / "go.py").write_text(code)
    histories = []
    for processes in (1, 2):
        out = tmp_path / f"run{processes}"
        words = [sys.executable, tmp_path / "go.py", study.path, out, str(processes)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert Run.open(out).metrics["training"]["processes"] == processes
        histories.append(pd.read_csv(out / "training" / "history.csv"))
    one, two = (history[["loss", "prediction", "kl", "validation_mse"]].to_numpy() for history in histories)
    print(f"\nlargest difference of the losses: {abs(one - two).max():.1e}")
    assert np.allclose(one, two, rtol=1e-4, atol=1e-4)


def test_minus_strand_genes_are_read_along_their_own_strand_where_that_is_asked_for(study):
    genes, scale = study.genes(), study.feature_scale()
    plain = GeneWindows(study, genes, study.config(**SMALL), scale)
    turned = GeneWindows(study, genes, study.config(**SMALL, reverse_complement=True), scale)
    minus, plus = (int(np.flatnonzero(genes["strand"] == strand)[0]) for strand in "-+")
    _, sequence, signals, *_ = turned[minus]
    _, forward, forward_signals, *_ = plain[minus]
    assert np.array_equal(sequence, forward[::-1, ::-1])  # A and T, C and G change places, back to front
    assert np.array_equal(signals, forward_signals[::-1])
    assert np.array_equal(turned[plus][1], plain[plus][1])
    assert turned.reversed_strand(minus)
    assert not turned.reversed_strand(plus)


@pytest.mark.parametrize("mask", ["promoter", "random", "signal", "macs3", "all"])
def test_the_predictor_trains_under_a_control_mask_and_scores_under_it(study, tmp_path, mask):
    config = study.config(**SMALL, mask=mask)
    one_step = dataclasses.replace(study.train_config(**SHORT), steps=1, warmup=0)
    if mask == "macs3":
        with pytest.raises(InputError, match="no peaks"):
            train(study, config, one_step, tmp_path / "early", "cpu")
        peaks_of_study(study)
    run = train(study, config, one_step, tmp_path / "run", "cpu")
    gene = study.genes()[lambda table: table["split"] == "test"].head(1)
    found = score(run, study, gene, device="cpu").mask(gene["gene_id"].iloc[0])
    learned = found.mean[found.learned]
    assert learned.max() < 0.01 if mask == "promoter" else learned.max() > 0.5


def test_bf16_trains_to_finite_weights(study, tmp_path):
    short = dataclasses.replace(study.train_config(**SHORT), steps=2, precision="bf16-mixed", accumulate=2)
    run = train(study, study.config(**SMALL), short, tmp_path / "run", "cpu")
    assert all(torch.isfinite(tensor).all() for tensor in weights(run).values())
    assert run.metrics["training"]["steps"] == 2


def test_an_additive_model_begins_with_the_study_s_words_and_ends_calibrated(study, tmp_path):
    config = study.config(variant="causal", window=1024, promoter=128, encoder=8, encoder_filters=12, members=2)
    recipe = dataclasses.replace(study.train_config(**SHORT), pretrain_steps=3, pretrain_crops=4, motif_seeds=6)
    run = train(study, config, recipe, tmp_path / "run", "cpu")
    model, metadata = load_with_metadata(run.checkpoint, "cpu")
    assert isinstance(model, AdditiveModel)
    assert 0.5 <= metadata["effect_scale"] <= 4
    assert model.signal_logged.tolist() == [1, 1]  # their transform in the study is none
    assert (model.signal_sd > 0).all()
    genes = study.genes()
    labels = genes["label"][genes["split"] == "train"]
    assert model.little.item() == pytest.approx(0.01 * np.std(labels) * 8 / 100, rel=1e-4)
    assert not torch.equal(model.members[0].scale, model.members[1].scale)  # trained on other genes
    pretrained = load_file(run.path / "training" / "pretrained.safetensors")
    assert torch.equal(model.encoder.motifs.weight, pretrained["0.motifs.weight"])
    scored = score(run, study, genes[genes["split"] == "test"], None, "cpu")
    mask = scored.mask(next(iter(scored.scored)))
    assert 0 < mask.mean[mask.learned].mean() < 1
    assert scored.band == "members"
    assert mask.sd[mask.learned].mean() > 0


def test_words_of_a_study_become_filters(study):
    config = study.config(variant="causal", window=1024, promoter=128)
    genes = GeneWindows(study, study.genes(), config, study.feature_scale())
    torch.manual_seed(0)
    encoder = build_model(config).encoder
    fresh = encoder.motifs.weight.detach().clone()
    plant_seeds(encoder, genes, [0, 1], 4)
    planted = encoder.motifs.weight.detach()
    changed = (planted - 0.5 * fresh).abs().amax((1, 2)) > 0.1
    assert changed[:4].any()
    assert not changed[4:].any()
    best = planted[changed][:, :, 3:11].argmax(1)  # the word, in the middle of 15 bases
    assert len({tuple(word.tolist()) for word in best}) == len(best)


def test_members_draw_genes_as_a_bootstrap_does():
    draws = drawn(range(500), members=4, seed=3)
    assert draws.shape == (4, 500)
    assert draws.mean().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(drawn(range(100, 120), 4, 3), draws[:, 100:120])  # of seed, member and gene alone
    assert not torch.equal(draws[0], draws[1])
