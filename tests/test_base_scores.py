"""Everything that ranks bases: parts of a logit head, knock-outs and occlusion where a run has them, other runs."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from planted_run import make_planted_run, make_planted_study
from safetensors.numpy import save_file
from scipy.special import expit
from scipy.stats import spearmanr

from model_core.bed import read_bed
from model_core.config import LOGIT_RECIPE
from model_core.evaluation.base_scores import KNOCK_OUT, OCCLUSION, SEQUENCE, SIGNAL_LOGIT, ScoreReader
from model_core.evaluation.compare import compare
from model_core.evaluation.crispr_pairs import _on_this_gene, match_pairs, read_pairs, score_pairs
from model_core.run_folder.effects import append_effects
from model_core.run_folder.occlusion import Occlusion, write_occlusion
from model_core.run_folder.run import Run
from model_core.study.study import load_study
from model_core.window import Window

CHECKPOINT = {"path": "/nowhere", "relative": "nowhere", "sha256": "abc"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_planted_study(tmp_path_factory.mktemp("scores") / "study")


def with_effects(run, study):
    """Give a run occlusion tracks that see the causal elements, and knock-outs of the first three test genes."""
    run.update(checkpoint=CHECKPOINT)
    causal = read_bed(study.truth.causal)
    test = run.genes[run.genes["split"] == "test"]
    for number, gene in enumerate(test.itertuples()):
        mask = run.mask(gene.gene_id)
        mine = causal[causal["gene"] == gene.gene_id]
        effects = np.full(len(mask.alpha) // 16, 1e-6, np.float32)
        for element in mine.itertuples():
            effects[max(element.start - mask.start, 0) // 16 : (element.end - mask.start) // 16] = -0.5
        words = {"predicted": 1.0, "checkpoint": "abc", "block": 32, "step": 16, "effects": effects}
        place = {"gene_id": gene.gene_id, "chrom": gene.chrom, "start": mask.start, "length": len(mask.alpha)}
        write_occlusion(run.path, Occlusion(**place, **words))
        if number < 3:
            rows = [[f"E{i}", e.start, e.end, 0.3, 0, 0, 0, 1] for i, e in enumerate(mine.itertuples())]
            about = {"gene_id": gene.gene_id, "symbol": gene.symbol, "chrom": gene.chrom, "predicted": 1.0}
            settings = {"label_transform": "log10p1", "rule": run.rule.to_dict(), "checkpoint": "abc", "controls": 0}
            append_effects(run.path, {**about, **settings, "rows": rows})
    return test


def test_effects_rank_bases_where_they_were_computed(study, tmp_path):
    run = make_planted_run(tmp_path / "run", study)
    test = with_effects(run, load_study(study))
    found = compare(run)
    scores = found.tables["scores"].set_index("score")
    assert scores.loc[OCCLUSION, "genes"] == len(test)
    assert scores.loc[KNOCK_OUT, "genes"] == 3
    assert scores.loc[OCCLUSION, "auprc"] > 0.9  # the sign of an effect does not count, its size does
    assert scores.loc[KNOCK_OUT, "auprc"] == pytest.approx(1)
    assert any(
        f"'{KNOCK_OUT}' is known for 3 of the {len(test)} judged genes" in line for line in found.summary["limits"]
    )
    plain = make_planted_run(tmp_path / "plain", study)
    beside = compare(plain, beside=[run.path]).tables["scores"].set_index("score")
    assert beside.loc[f"{OCCLUSION} of run", "auprc"] == pytest.approx(scores.loc[OCCLUSION, "auprc"])
    assert beside.loc["mask of run", "rank_correlation"] == pytest.approx(1)  # the same seed made both


def test_pairs_take_the_strongest_effect_that_touches_their_element(study, tmp_path):
    run = make_planted_run(tmp_path / "run", study)
    with_effects(run, load_study(study))
    element = run.effects.iloc[0]
    gene, away = run.genes.set_index("gene_id").loc[element["gene_id"]], 1_200
    far = gene["tss"] + (away if element["start"] < gene["tss"] else -away)
    rows = [(element["start"], element["end"]), (far, far + 50)]
    lines = [f"{element['chrom']}\t{start}\t{end}\t{element['gene_id']}\tTRUE" for start, end in rows]
    (tmp_path / "pairs.tsv").write_text("\n".join(["chrom\tstart\tend\tgene\tRegulated", *lines]) + "\n")
    kept, _ = match_pairs(read_pairs(tmp_path / "pairs.tsv"), run)
    scored, missing = score_pairs(kept, run, ScoreReader(run, None, {}))
    assert scored["element effect"].iloc[0] == pytest.approx(0.3)
    touched = (run.effects["start"] < far + 50) & (run.effects["end"] > far) & (run.effects["gene_id"] == gene.name)
    assert scored["element effect"].iloc[1] == (0.3 if touched.any() else 0)
    assert scored["effect x mask"].iloc[0] == pytest.approx(0.3 * scored["mean mask"].iloc[0])
    assert "ABC" in missing
    assert not any("effect" in name for name in missing)


def test_pairs_take_the_stored_effect_of_their_region(tmp_path):
    run = Run.create(
        tmp_path / "run", window=400, promoter=40, chrom_sizes={"chr1": 3_000}, variant="causal", members=2, contact="C"
    )
    rng = np.random.default_rng(0)
    effects, contact = rng.normal(0, 1, (2, 50)), rng.random(50)
    gene = {"gene_id": "G1", "symbol": "S", "chrom": "chr1", "tss": 1_000, "strand": "+", "predicted": 1.0}
    with run.writing():
        run.append(gene, np.full(400, 2.0), np.full(400, 8.0), effects, contact)
    (tmp_path / "pairs.tsv").write_text(
        "chrom\tstart\tend\tgene\tRegulated\nchr1\t808\t828\tS\tTRUE\nchr1\t780\t804\tS\tFALSE\n"
    )
    kept, _ = match_pairs(read_pairs(tmp_path / "pairs.tsv"), run)
    scored, missing = score_pairs(kept, run, ScoreReader(run, None, {}))
    mean = effects.mean(0)
    wanted = [mean[1] + mean[2] + mean[3] / 2, mean[0] / 2]  # 800 is the window's first base
    np.testing.assert_allclose(scored["region effect"], wanted, atol=2e-3)
    np.testing.assert_allclose(scored["element-gene score"], np.abs(wanted), atol=2e-3)
    assert not any("effect" in name for name in missing)


def test_pairs_of_a_run_without_stored_effects_are_scored_by_knock_out_and_contact():
    mask = SimpleNamespace(start=800, end=1_200)
    pair, contact = pd.Series({"start": 800, "end": 816}), np.append([0.5, 0.25], np.zeros(48))
    assert _on_this_gene(pair, mask, None, contact, -0.4) == {"element-gene score": pytest.approx(0.15)}
    assert _on_this_gene(pair, mask, None, contact, np.nan) == {}
    assert _on_this_gene(pair, mask, None, None, -0.4) == {}


def test_a_logit_head_is_taken_apart_by_its_checkpoint(study, tmp_path):
    loaded, rng = load_study(study), np.random.default_rng(0)
    config = loaded.config(variant="causal", **LOGIT_RECIPE)
    weight, bias = np.array([[0.8, 1.1, -0.2]], np.float32), np.array([-1.5], np.float32)
    run = Run.create(
        tmp_path / "run",
        window=config.window,
        promoter=config.promoter,
        chrom_sizes=loaded.genome().sizes,
        variant="causal",
        study=study,
        config={"model": config.to_dict()},
    )
    gene = loaded.gene_sites().iloc[0].to_dict() | {"predicted": 1.0}
    signals = loaded.reader().read(Window(gene["chrom"], gene["tss"], "+", config.window)).signals
    sequence = rng.normal(0, 1, config.window)
    by_signal = np.log1p(signals) @ weight[0] + bias[0]
    mean = expit(sequence + by_signal)
    with run.writing():
        run.append(gene, 0.75 * mean, 0.75 * (1 - mean))
    save_file({"signal_logit.weight": weight, "signal_logit.bias": bias}, run.path / "checkpoint.safetensors")
    reader = ScoreReader(run, loaded, {})
    mask = run.mask(gene["gene_id"])
    found = reader.read(gene["gene_id"], mask)
    assert found[SIGNAL_LOGIT][mask.learned] == pytest.approx(expit(by_signal)[mask.learned], abs=1e-4)
    assert spearmanr(found[SEQUENCE][mask.learned], sequence[mask.learned]).statistic > 0.999
    (run.path / "checkpoint.safetensors").unlink()
    assert SEQUENCE in ScoreReader(run, loaded, {}).missing


def test_signals_of_another_study_are_no_scores_of_this_run(study, tmp_path):
    run = make_planted_run(tmp_path / "run", study)
    model = run.config["model"] | {"signals": ["A", "B", "C"]}
    run.write_json("config.json", {"model": model})
    reader = ScoreReader(Run.open(run.path), load_study(study), {})
    assert reader.missing["single signals"] == "the study's signals differ from the model's"
    assert "DNase" not in reader.kinds
