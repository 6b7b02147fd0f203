"""Our models in the shape of the release: its keys, tied tensors twice, its settings."""

from __future__ import annotations

import re

import torch

from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.model.released_checkpoint import PUBLISHED_ONLY


def their_state(state: dict[str, torch.Tensor], config: Seq2ExpConfig) -> dict[str, torch.Tensor]:
    """Our parameters under the release's names, tied and shared tensors twice, with its two stored constants."""
    theirs = {
        "prior_weights": torch.tensor(config.prior_w, dtype=torch.float32).log(),
        "signal_betas": torch.tensor(config.prior_b, dtype=torch.float32),
    }
    for key, tensor in state.items():
        if key == "position_embedding":
            theirs["pos_emb"] = tensor[None]
            continue
        for name in _their_keys(key):
            theirs[name] = tensor
            if config.shared and name.startswith("generator."):
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
    """The settings of a release-shaped checkpoint, as plain dicts.

    Raises
    ------
    InputError
        A setting that the release does not know.
    """
    unknown = {
        "mask": "learned", "head": "beta", "kl": "beta", "prior_learned": False, "beta_product_exact": False,
        "reverse_complement": False, "hard_gradient": False,
    }  # fmt: skip
    changed = [
        f"{name} = {getattr(config, name)!r}" for name, value in unknown.items() if getattr(config, name) != value
    ]
    hard = config.decision == "hard"
    if changed or config.variant == "causal" or config.apply != ("gather" if hard else "multiply"):
        found = ", ".join(changed) or f"a mask applied by {config.apply}"
        raise InputError(
            "convert", found=found, expected="a soft or hard model as published", fix="keep it in our format"
        )
    smallest = min(config.prior_w)
    model = {
        "d_model": config.d_model, "enc_n_layer": config.n_layers, "gen_n_layer": config.n_layers,
        "center_len": config.promoter, "seq_range": config.window, "post_hard_dist": hard,
        "test_hard": hard, "test_soft": not hard, "beta_min": config.beta_min, "z_scale": config.z_scale,
        "prior_scale_factor": config.prior_scale, "marginal_mean": config.kl_mu, "marginal_scale": config.kl_scale,
        "sample_threshold": config.threshold, "enc_prd_ps": config.shared, "pos_enc": config.position_embedding,
        "gen_signal": config.generator_signals and not config.shared, "signal_size": len(config.signals),
        "rna_feat_dim": config.n_gene_features, "norm_epsilon": config.norm_epsilon,
        "prior_beta": ",".join(f"{b:g}" for b in config.prior_b),
        "prior_weight": ",".join(f"{w / smallest:g}" for w in config.prior_w) if smallest > 0 else "",
        "ssm_cfg": {"d_state": config.d_state, "d_conv": config.d_conv, "expand": config.expand,
                    "dt_rank": config.dt_rank or "auto"},
        **PUBLISHED_ONLY,
    }  # fmt: skip
    loss = {"kl_loss_weight": config.kl_weight}
    return {"model": {"config": model}, "dataset": {"seq_range": config.window}, "task": {"loss": loss}}
