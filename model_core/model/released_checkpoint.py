"""The authors' checkpoints: their keys, their constants and their settings.

A released checkpoint is a Lightning .ckpt: a zip archive with a pickle that names tensors, plain containers and a few
omegaconf classes (`torch_archive`). All that the model needs in addition to its weights is in `hyper_parameters`, an
omegaconf DictConfig with unresolved interpolations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model_core.config import Seq2ExpConfig
from model_core.data_pickle import StandIn
from model_core.decision import DecisionRule
from model_core.errors import InputError
from model_core.model.gene_model import GeneModel
from model_core.model.stored_weights import described_model, filled, in_words, require_fit
from model_core.model.torch_archive import StoredTensor, TorchArchive
from model_core.setting_groups import BackboneConfig, MaskConfig, PredictorConfig, PriorConfig
from model_core.settings import MOST_NAMES, shown

_MOST_NODES = 20_000  # of a tree of settings; the release's has some 300
_DEEPEST = 50


def plain(node: Any) -> Any:
    """Convert a tree with omegaconf stand-ins to plain dicts, lists and values; interpolations stay strings.

    Raises
    ------
    InputError
        It is deeper or has more values than any settings, for instance because it holds itself.
    """
    left = _MOST_NODES

    def convert(node: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if depth > _DEEPEST or left < 0:
            found = f"hyper_parameters nested over {_DEEPEST} deep, or of over {_MOST_NODES:,} values"
            raise InputError("checkpoint", found=found, expected="a settings tree", fix="do not use this file")
        if isinstance(node, StandIn):
            return convert(node.state.get("_content", node.state.get("_val")), depth + 1)
        if isinstance(node, dict):
            return {
                str(k): convert(v, depth + 1) for k, v in node.items() if not (isinstance(v, StandIn) and v is node)
            }
        if isinstance(node, (list, tuple)) and not isinstance(node, StoredTensor):
            return [convert(value, depth + 1) for value in node]
        return node

    return convert(node, 0)


# Their key -> ours, as regular expressions on the part after "model."; tied tensors are saved under both names.
_KEYS = (
    (r"pos_emb", "position_embedding"),
    (r"seq_input_layer\.", "sequence_embedding."),
    (r"signal_input_layer\.", "signal_embedding."),
    (r"mask_output\.", "mask_head."),
    (r"pToExpr\.", "expression_head."),
    (r"encoder\.backbone\.", "predictor."),
    (r"generator\.backbone\.", "generator."),
    (r"norm_f\.", "norm."),
    (r"layers\.", "blocks."),
    (r"mixer\.mamba_(?:fwd|rev)\.(in_proj|out_proj)\.", r"mixer.\1."),
    (r"mixer\.mamba_fwd\.", "mixer.forward_scan."),
    (r"mixer\.mamba_rev\.", "mixer.reverse_scan."),
    (r"conv1d\.", "convolution."),
)
CONSTANTS = ("prior_weights", "signal_betas")  # of the state_dict, under "model."


def our_key(key: str) -> str:
    """Return our name of a released parameter, e.g. "encoder.backbone.norm_f.weight" -> "predictor.norm.weight"."""
    for theirs, ours in _KEYS:
        key = re.sub(rf"(?:^|(?<=\.)){theirs}" if not theirs.endswith("emb") else f"^{theirs}$", ours, key)
    return key


def our_names(stored: Mapping[str, StoredTensor], config: Seq2ExpConfig) -> dict[str, list[StoredTensor]]:
    """Return the copies of each of our parameters in a released `state_dict`, without its constants.

    Tied and shared parameters have several copies, which must be equal.
    """
    ours: dict[str, list[StoredTensor]] = {}
    for name, tensor in stored.items():
        key = name.removeprefix("model.")
        if key in CONSTANTS:
            continue
        key = our_key(key)
        if config.backbone.shared and key.startswith("predictor."):
            key = "generator." + key.removeprefix("predictor.")
        if key == "position_embedding" and tensor.shape[:-2] == (1,):
            tensor = tensor._replace(shape=tensor.shape[1:], stride=tensor.stride[1:])
        if tensor not in ours.setdefault(key, []):
            ours[key].append(tensor)
    return ours


def load_released(path: str | Path) -> GeneModel:
    """Load the model of a released checkpoint, on the CPU.

    Raises
    ------
    InputError
        The file is missing, damaged or unsafe, or its weights and settings do not fit each other.
    """
    with TorchArchive(path) as archive:
        theirs = archive.content.get("state_dict")
        if not isinstance(theirs, dict) or not all(
            isinstance(name, str) and isinstance(tensor, StoredTensor) for name, tensor in theirs.items()
        ):
            found, expected = "no state_dict of tensors", "a Lightning checkpoint"
            raise InputError(path, found=found, expected=expected, fix="check which file this is")
        constants = {name: theirs.get(f"model.{name}") for name in CONSTANTS}
        read = {}
        for name, stored in constants.items():
            if stored is None or len(stored.shape) != 1 or stored.shape[0] > MOST_NAMES:
                found = f"no {name} of one number per signal"
                raise InputError(path, found=found, expected="both constants", fix="check that this is Seq2Exp")
            read[name] = archive.tensor(stored)
        config = released_config(archive.content.get("hyper_parameters"), read, path)
        copies = our_names(theirs, config)
        model = described_model(config, len(copies), path)
        wanted, most = model.state_dict(), max(map(len, copies.values()))
        for number in range(most):
            layer = {name: found[min(number, len(found) - 1)] for name, found in copies.items()}
            require_fit(wanted, layer, path, in_words(config))

        def tied(name: str) -> Tensor:
            first, *others = map(archive.tensor, copies[name])
            if not all(torch.equal(first, other) for other in others):
                found = f"{name[:100]}, a tied tensor, in two copies that differ"
                raise InputError(path, found=found, expected="equal copies", fix="do not use this file")
            return first

        return filled(model, tied)


PUBLISHED_ONLY = {  # released settings that change the computation, with the only value the published models use
    "post_sample": True, "post_dist": "beta", "decouple_x": True, "only_x_sig": False, "use_include_list": False,
    "mask_region_hard": True, "use_bio_mask": False, "use_peak_mask": False, "use_mask_model": False,
    "merge_peak_mask": False, "node_merge_mask": False, "pool_mask": 0, "merge_mask": 0, "top_mask_percent": 0.0,
    "test_top": False, "test_top_soft": False, "use_gumbel": False, "rms_norm": True, "residual_in_fp32": False,
    "bidirectional": True, "bidirectional_strategy": "add", "bidirectional_weight_tie": True, "rcps": False,
    "interact": "concat", "useRNAFeat": True, "prior_signal": "all", "base_size": 4,
}  # fmt: skip


def _resolve(value: Any, here: tuple[str, ...], tree: dict, hops: int = 0) -> Any:
    """Return the value that an omegaconf interpolation such as ${dataset.seq_range} or ${.enc_n_layer} refers to."""
    match = re.fullmatch(r"\$\{(\.*)([\w.]+)\}", value) if isinstance(value, str) else None
    if match is None or hops > 10:
        return value
    dots, target = match.groups()
    base = here[: len(here) - len(dots)] if dots else ()
    path = (*base, *target.split("."))
    node: Any = tree
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    return _resolve(node, path, tree, hops + 1)


def released_config(hyper_parameters: Any, constants: Mapping[str, Tensor], where: str | Path) -> Seq2ExpConfig:
    """Return our configuration of a released checkpoint, from its `hyper_parameters` and its two stored constants.

    Parameters
    ----------
    hyper_parameters : object
        As `TorchArchive.content` has it.
    constants : Mapping[str, Tensor]
        CONSTANTS by name, one number per signal each.
    where : str or Path
        File that error messages name.

    Raises
    ------
    InputError
        Settings are missing, of another type, or enable something that the published models do not use.
    """
    try:
        return _released_config(plain(hyper_parameters), constants, where)
    except InputError as error:
        raise (error if error.where == where else error.at(where)) from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:  # of a value of another type
        found = f"settings that cannot be read ({str(error)[:100]})"
        raise InputError(where, found=found, expected="those of the release", fix="check the file") from None


def _released_config(tree: Any, constants: Mapping[str, Tensor], where: str | Path) -> Seq2ExpConfig:
    model = (tree.get("model") or {}).get("config") if isinstance(tree, dict) else None
    if not isinstance(model, dict):
        expected = "model.config among the hyper_parameters, as the release writes them"
        raise InputError(where, found="none", expected=expected, fix="check that this is a Seq2Exp checkpoint")

    def get(name: str) -> Any:
        value = _resolve(model.get(name), ("model", "config", name), tree)
        if value is None:
            raise InputError(
                where, found=f"no value for model.config.{name}", expected="all settings", fix="check the file"
            )
        return value

    for name, only in PUBLISHED_ONLY.items():
        if name in model and get(name) != only:
            raise InputError(
                where,
                found=f"{name} = {shown(get(name))}",
                expected=f"{only!r}, as published",
                fix="this setting is not supported",
            )
    ssm = get("ssm_cfg")
    rank = ssm.get("dt_rank", "auto")
    weights, betas = (constants[name] for name in CONSTANTS)
    loss = _resolve((tree.get("task") or {}).get("loss"), ("task", "loss"), tree) or {}
    hard = bool(get("post_hard_dist"))
    signals = int(get("signal_size"))
    if not len(weights) == len(betas) == signals:
        found = f"{signals} signals, {len(weights)} prior_weights and {len(betas)} signal_betas"
        raise InputError(where, found=found, expected="one of each for each signal", fix="check the file")
    backbone = BackboneConfig(
        d_model=int(get("d_model")),
        n_layers=int(get("enc_n_layer")),
        d_state=int(ssm.get("d_state", 16)),
        d_conv=int(ssm.get("d_conv", 4)),
        expand=int(ssm.get("expand", 2)),
        dt_rank=None if rank == "auto" else int(rank),
        norm_epsilon=float(get("norm_epsilon")),
        position_embedding=bool(get("pos_enc")),
        generator_signals=bool(get("gen_signal")) or bool(get("enc_prd_ps")),
        shared=bool(get("enc_prd_ps")),
    )
    prior = PriorConfig(
        b=tuple(betas.double().tolist()),
        w=tuple(torch.softmax(weights.double(), 0).tolist()),
        scale=float(get("prior_scale_factor")),
        beta_min=float(get("beta_min")),
    )
    mask = MaskConfig(
        z_scale=float(get("z_scale")),
        decision=DecisionRule("hard" if hard else "soft", threshold=float(get("sample_threshold"))),
        apply="gather" if hard else "multiply",
        kl_mu=float(get("marginal_mean")),
        kl_scale=float(get("marginal_scale")),
        kl_weight=float(loss.get("kl_loss_weight", 0.01)),
    )
    return Seq2ExpConfig(
        variant="hard" if hard else "soft",
        window=int(get("seq_range")),
        promoter=int(get("center_len")),
        signals=("H3K27ac", "DNase", "Hi-C") if signals == 3 else tuple(f"signal{i + 1}" for i in range(signals)),
        backbone=backbone,
        prior=prior,
        mask=mask,
        predictor=PredictorConfig(n_gene_features=int(get("rna_feat_dim"))),
    )
