"""A small run with a real model behind it, for tests of what-if: random weights that look at their mask."""

from pathlib import Path

import torch
from viewer_run import make_study

from model_core.model.build import build_model
from model_core.model.checkpoint import save_checkpoint
from model_core.model.gene_model import GeneModel
from model_core.model.seq2exp import Seq2Exp
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import ElementRule
from model_core.run_folder.run import Run
from model_core.scoring.score import run_for, score
from model_core.study.study import load_study

GENES = 4  # of the six of the study; the others are not scored


def lively(config, seed: int) -> GeneModel:
    """A model of random weights whose prediction depends on its mask, and whose mask has ups and downs."""
    torch.manual_seed(seed)
    model = build_model(config)
    if not isinstance(model, Seq2Exp):
        return model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("in_proj.weight", "out_proj.weight", "mask_head.weight")):
                parameter.mul_(8)
        model.expression_head[-1].weight *= 10
        model.mask_head.bias[0] += 3.0 if config.mask.decision.kind == "hard" else 0.6  # fewer bases kept
        features = slice(config.backbone.d_model, None)
        model.expression_head[0].weight[:, features] *= 1e-3  # the window is to matter, not the gene features
    return model.eval()


def score_with(study, folder: Path, genes, name: str = "run", **settings) -> Run:
    """A run of a study, scored with a lively model of these settings (of Seq2ExpConfig) on the CPU, and assembled."""
    config = study.config(**settings)
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    metadata = {"feature_scale": study.feature_scale().to_dict(), "signals": signals, "signal_quantiles": {}}
    save_checkpoint(folder / "model.safetensors", lively(config, 3), metadata)
    run = run_for(study, folder / "model.safetensors", folder / name)
    score(run, study, genes, run.checkpoint, "cpu")
    smooth, threshold = (0, 0.5) if config.mask.decision.kind == "hard" else (20, 0.64)
    assemble(run, rule=ElementRule(threshold, smooth, max_gap=10, min_length=16))
    return run


def make_model_run(folder: Path) -> Path:
    """The viewer's small study, and GENES of its genes scored; the run folder."""
    study = load_study(make_study(folder / "study"))
    return score_with(study, folder, study.genes().iloc[:GENES], d_model=8, n_layers=1, apply="gate").path
