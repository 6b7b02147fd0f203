"""Parity with the published model: its recorded weights, inputs, outputs and gradients, soft and hard."""

import numpy as np
import pytest
import torch

from model_core import load_checkpoint
from model_core.model.gene_model import Output, loss_terms
from model_core.model.released_checkpoint import our_key

SETS = ("tiny_soft", "tiny_hard")


class Golden:
    def __init__(self, folder):
        self.model = load_checkpoint(folder / "checkpoint.ckpt", device="cpu")
        self.inputs, self.outputs, self.trained, self.gradients = (
            np.load(folder / f"{name}.npz") for name in ("inputs", "outputs_eval", "outputs_train", "grads_mean")
        )
        blacklist = self.inputs["mask_regions"][..., 1]
        self.arrays = [self.inputs["seqs"], self.inputs["signals"], self.inputs["rna_feat"], blacklist]
        self.tensors = [torch.as_tensor(a) if a.dtype == bool else torch.as_tensor(a).float() for a in self.arrays]


@pytest.fixture(scope="module", params=SETS)
def golden(request, shared_golden):
    return Golden(shared_golden / request.param)


def report(name, deviation, bound):
    print(f"  {name}: {deviation:.1e} (bound {bound:.0e})")
    assert deviation <= bound


def test_scores_are_those_of_the_published_model_gene_by_gene(golden):
    out, want = golden.model.score(*golden.arrays), golden.outputs
    print(f"\n{golden.model.config.variant}, evaluation:")
    report("prediction, absolute", np.abs(out.expression - want["pred_single"][:, 0]).max(), 1e-5)
    report("alpha, relative", np.abs(out.alpha / want["z_alpha"] - 1).max(), 5e-5)
    report("beta, relative", np.abs(out.beta / want["z_beta"] - 1).max(), 5e-5)
    decided = np.abs(want["z_mean"] - 0.5) > 1e-5 if golden.model.config.variant == "hard" else slice(None)
    report("mask, absolute", np.abs(out.mask - want["mask"])[decided].max(), 5e-6)


def test_genes_in_a_batch_do_not_change_each_others_numbers(golden):
    together = golden.model.score(*golden.arrays)
    for gene in range(len(together.expression)):
        alone = golden.model.score(*(a[gene : gene + 1] for a in golden.arrays))
        assert abs(alone.expression[0] - together.expression[gene]) < 1e-6
        assert np.allclose(alone.alpha[0], together.alpha[gene], rtol=1e-5)


@pytest.mark.parametrize("draw", ["mean", "sampled"])
def test_losses_are_those_of_the_published_model(golden, draw):
    config = golden.model.config.replace(released_padding=True)
    golden.model.config = config
    sequence, signals, features, blacklist = golden.tensors
    with torch.no_grad():
        z = golden.model.mask_parameters(sequence, signals)
        mask = golden.model.decide(torch.as_tensor(golden.trained[f"{draw}/z"]), blacklist)
        out = Output(golden.model.predict(sequence, signals, features, mask), mask, z)
        terms = loss_terms(out, torch.as_tensor(golden.inputs["y"][:, 0]), config)
    print(f"\n{config.variant}, losses of the {draw} draw:")
    for ours, theirs in {"prediction": "pred_loss", "kl": "kl_loss", "loss": "total_loss"}.items():
        want = float(golden.trained[f"{draw}/{theirs}"])
        report(f"{ours}, relative", abs(float(terms[ours]) / want - 1), 5e-5)


def test_every_gradient_is_that_of_the_published_model(golden):
    golden.model.config = golden.model.config.replace(released_padding=True)
    golden.model.zero_grad()
    out = golden.model(*golden.tensors)
    loss_terms(out, torch.as_tensor(golden.inputs["y"][:, 0]), golden.model.config)["loss"].backward()
    ours = dict(golden.model.named_parameters())
    assert {our_key(name) for name in golden.gradients} == set(ours)
    worst = 0.0
    for name in golden.gradients:
        want = golden.gradients[name]
        found = ours[our_key(name)].grad.numpy().reshape(want.shape)
        worst = max(worst, np.linalg.norm(found - want) / np.linalg.norm(want))
    print(f"\n{golden.model.config.variant}, {len(ours)} parameters:")
    report("gradient, norm of the difference over the norm", worst, 1e-3)
