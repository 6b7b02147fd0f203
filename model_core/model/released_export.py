"""Our models in the format of the release: its keys, with tied tensors stored twice, and its settings."""

from __future__ import annotations

import re
from operator import attrgetter

import torch

from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.model.released_checkpoint import PUBLISHED_ONLY

_NOT_IN_THE_RELEASE = (  # settings whose default alone the release knows
    *("mask.kind", "mask.head", "mask.kl", "mask.beta_product_exact", "mask.hard_gradient"),
    *("prior.learned", "reverse_complement"),
)


def their_state(state: dict[str, torch.Tensor], config: Seq2ExpConfig) -> dict[str, torch.Tensor]:
    """Return our parameters under the release's names, tied and shared tensors twice, with its two constants."""
    theirs = {
        "prior_weights": torch.tensor(config.prior.w, dtype=torch.float32).log(),
        "signal_betas": torch.tensor(config.prior.b, dtype=torch.float32),
    }
    for key, tensor in state.items():
        if key == "position_embedding":
            theirs["pos_emb"] = tensor[None]
            continue
        for name in _their_keys(key):
            theirs[name] = tensor
            if config.backbone.shared and name.startswith("generator."):
                theirs["encoder." + name.removeprefix("generator.")] = tensor
    return {f"model.{name}": tensor for name, tensor in theirs.items()}


def _their_keys(key: str) -> list[str]:
    for ours, theirs in (
        ("sequence_embedding.", "seq_input_layer."),
        ("signal_embedding.", "signal_input_layer."),
        ("mask_head.", "mask_output."),
        ("expression_head.", "pToExpr."),
        ("predictor.norm.", "encoder.backbone.norm_f."),
        ("generator.norm.", "generator.backbone.norm_f."),
        ("predictor.blocks.", "encoder.backbone.layers."),
        ("generator.blocks.", "generator.backbone.layers."),
        ("mixer.forward_scan.", "mixer.mamba_fwd."),
        ("mixer.reverse_scan.", "mixer.mamba_rev."),
        ("convolution.", "conv1d."),
    ):
        key = key.replace(ours, theirs)
    tied = re.search(r"mixer\.(in_proj|out_proj)\.", key)
    if tied is None:
        return [key]
    return [key.replace(tied[0], f"mixer.{way}.{tied[1]}.") for way in ("mamba_fwd", "mamba_rev")]


def their_hyper_parameters(config: Seq2ExpConfig) -> dict:
    """Return the settings of a checkpoint in the release's format, as plain dicts.

    Raises
    ------
    InputError
        A setting that the release does not have.
    """
    plain = Seq2ExpConfig()
    changed = [
        f"{path} = {attrgetter(path)(config)!r}"
        for path in _NOT_IN_THE_RELEASE
        if attrgetter(path)(config) != attrgetter(path)(plain)
    ]
    hard = config.mask.decision.kind == "hard"
    if changed or config.variant == "causal" or config.mask.apply != ("gather" if hard else "multiply"):
        found = ", ".join(changed) or f"a mask applied by {config.mask.apply}"
        raise InputError(
            "convert", found=found, expected="a soft or hard model as published", fix="keep it in our format"
        )
    backbone, prior, mask, smallest = config.backbone, config.prior, config.mask, min(config.prior.w)
    model = {
        "d_model": backbone.d_model, "enc_n_layer": backbone.n_layers, "gen_n_layer": backbone.n_layers,
        "center_len": config.promoter, "seq_range": config.window, "post_hard_dist": hard,
        "test_hard": hard, "test_soft": not hard, "beta_min": prior.beta_min, "z_scale": mask.z_scale,
        "prior_scale_factor": prior.scale, "marginal_mean": mask.kl_mu, "marginal_scale": mask.kl_scale,
        "sample_threshold": mask.decision.threshold, "enc_prd_ps": backbone.shared,
        "pos_enc": backbone.position_embedding, "gen_signal": backbone.generator_signals and not backbone.shared,
        "signal_size": len(config.signals), "rna_feat_dim": config.predictor.n_gene_features,
        "norm_epsilon": backbone.norm_epsilon, "prior_beta": ",".join(f"{b:g}" for b in prior.b),
        "prior_weight": ",".join(f"{w / smallest:g}" for w in prior.w) if smallest > 0 else "",
        "ssm_cfg": {"d_state": backbone.d_state, "d_conv": backbone.d_conv, "expand": backbone.expand,
                    "dt_rank": backbone.dt_rank or "auto"},
        **PUBLISHED_ONLY,
    }  # fmt: skip
    loss = {"kl_loss_weight": mask.kl_weight}
    return {"model": {"config": model}, "dataset": {"seq_range": config.window}, "task": {"loss": loss}}
