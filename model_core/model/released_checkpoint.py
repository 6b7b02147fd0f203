"""The authors' checkpoints: their keys, their constants, and an unpickler that cannot run code.

A released checkpoint is a Lightning .ckpt: a zip archive with a pickle that names tensors, plain containers and a few
omegaconf classes. All that the model needs in addition to its weights is in `hyper_parameters`, an omegaconf
DictConfig with unresolved interpolations. Here each class the pickle may name is mapped to a tensor builder, a plain
container or an inert stand-in; every other name is refused, so that a file can only describe data.
"""

from __future__ import annotations

import collections
import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from model_core.config import Seq2ExpConfig
from model_core.decision import DecisionRule
from model_core.errors import InputError
from model_core.setting_groups import BackboneConfig, MaskConfig, PredictorConfig, PriorConfig

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


class _Node:
    """Inert replacement of an omegaconf class, which only keeps its state."""

    def __init__(self, *args):
        self.state = {}

    def __setstate__(self, state):
        self.state = state if isinstance(state, dict) else {}

    def __setitem__(self, key, value):
        self.state[key] = value


class _Storage:
    """Replacement of a tensor storage class, reduced to its dtype."""

    def __init__(self, dtype: torch.dtype):
        self.dtype = dtype


def _rebuild_tensor(storage, offset, size, stride, *_):
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride) or any(n < 0 for n in (*size, *stride, offset)):
        raise pickle.UnpicklingError("a tensor with a negative or inconsistent shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if all(size) and last >= storage.numel():
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    return storage.as_strided(size, stride, offset).clone()


def _rebuild_parameter(data, *_):
    return data


_CALLABLES: dict[str, Callable[..., Any]] = {  # all that a pickle may name and call, apart from the stand-ins
    "collections OrderedDict": collections.OrderedDict,
    "collections defaultdict": lambda *_: {},
    **{
        f"{module} {kind.__name__}": kind
        for module in ("__builtin__", "builtins")
        for kind in (dict, list, set, int, float)
    },
    "__builtin__ long": int,
    "torch Size": tuple,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
}


class _DataUnpickler(pickle.Unpickler):
    def __init__(self, file, storages):
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        known = _CALLABLES.get(f"{module} {name}")
        if known is not None:
            return known
        if module == "torch" and name in _DTYPES:
            return _Storage(_DTYPES[name])
        if module.split(".")[0] in ("omegaconf", "typing") or module.startswith("pytorch_lightning.utilities"):
            return _Node
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is neither a tensor nor a plain container")

    def persistent_load(self, pid: Any) -> torch.Tensor:
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Storage) or not re.fullmatch(r"\d+", str(key)):
            raise pickle.UnpicklingError("a reference that is not a tensor storage")
        data = self._storages(str(key))
        width = torch.empty(0, dtype=storage.dtype).element_size()
        if len(data) != count * width:
            raise pickle.UnpicklingError(f"a tensor storage of {len(data)} bytes where {count * width} were announced")
        return torch.frombuffer(bytearray(data), dtype=storage.dtype) if data else torch.empty(0, dtype=storage.dtype)


def read_archive(path: str | Path) -> dict:
    """Read the contents of a torch zip checkpoint: tensors, numbers, strings, dicts and lists, nothing else.

    Raises
    ------
    InputError
        The file is missing, not such a checkpoint, damaged, or names anything that could run code.
    """
    path = Path(path)
    expected = "a PyTorch checkpoint holding tensors and plain containers"
    try:
        with zipfile.ZipFile(path) as archive:
            root = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
            if root is None:
                raise InputError(
                    path, found="a zip file without data.pkl", expected=expected, fix="check which file this is"
                )
            folder = root[: -len("data.pkl")]
            data = io.BytesIO(archive.read(root))
            found = _DataUnpickler(data, lambda key: archive.read(f"{folder}data/{key}")).load()
    except FileNotFoundError:
        raise InputError(path, found="no such file", expected=expected, fix="check the path") from None
    except zipfile.BadZipFile:
        found, do = _not_zipped(path)
        raise InputError(path, found=found, expected=f"{expected}, zipped as PyTorch writes it", fix=do) from None
    except InputError:
        raise
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise InputError(
            path,
            found=str(error) or type(error).__name__,
            expected=expected,
            fix="copy it again; do not use it if you do not know its origin",
        ) from None
    if not isinstance(found, dict):
        raise InputError(path, found=f"a {type(found).__name__}", expected=expected, fix="check which file this is")
    return found


def _not_zipped(path: Path) -> tuple[str, str]:
    """Return what a file that is no zip archive appears to be, and what the user can do."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[:2] == b"PK":
        return "a cut-off zip archive", "copy or download it again"
    if start[8:9] == b"{":
        return "a safetensors file", "give it the ending .safetensors"
    if start[:1] == b"\x80":
        return "a bare pickle, as PyTorch wrote before 1.6", "save it again with a newer PyTorch; it is not opened here"
    return "no zip archive" if start else "an empty file", "check which file this is"


def plain(node: Any, depth: int = 0) -> Any:
    """Convert an omegaconf stand-in to plain dicts, lists and values; interpolations stay strings."""
    if depth > 50:
        raise InputError(
            "checkpoint",
            found="hyper_parameters nested over 50 deep",
            expected="a settings tree",
            fix="do not use this file",
        )
    if isinstance(node, _Node):
        content = node.state.get("_content", node.state.get("_val"))
        return plain(content, depth + 1)
    if isinstance(node, dict):
        return {str(k): plain(v, depth + 1) for k, v in node.items() if not (isinstance(v, _Node) and v is node)}
    if isinstance(node, (list, tuple)):
        return [plain(value, depth + 1) for value in node]
    return node


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
_CONSTANTS = ("prior_weights", "signal_betas")


def our_key(key: str) -> str:
    """Return our name of a released parameter, e.g. "encoder.backbone.norm_f.weight" -> "predictor.norm.weight"."""
    for theirs, ours in _KEYS:
        key = re.sub(rf"(?:^|(?<=\.)){theirs}" if not theirs.endswith("emb") else f"^{theirs}$", ours, key)
    return key


def our_state(state: dict[str, torch.Tensor], config: Seq2ExpConfig) -> dict[str, torch.Tensor]:
    """Return a released `state_dict` under our names, without its constants and the second copies of tied tensors.

    Raises
    ------
    InputError
        Two copies of one tied tensor differ, or an entry is not a tensor.
    """
    ours: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        key = name.removeprefix("model.")
        if not isinstance(tensor, torch.Tensor):
            raise InputError(
                name, found=f"a {type(tensor).__name__}", expected="a tensor", fix="check which file this is"
            )
        if key in _CONSTANTS:
            continue
        key = our_key(key)
        if config.backbone.shared and key.startswith("predictor."):
            key = "generator." + key.removeprefix("predictor.")
        if key == "position_embedding":
            tensor = tensor.reshape(tensor.shape[-2:])
        if key in ours and not torch.equal(ours[key], tensor):
            raise InputError(
                name,
                found="two copies of a tied tensor that differ",
                expected="equal copies",
                fix="do not use this file",
            )
        ours[key] = tensor
    return ours


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


def released_config(hyper_parameters: Any, state: dict, where: str | Path) -> Seq2ExpConfig:
    """Return our configuration of a released checkpoint, from its `hyper_parameters` and its two stored constants.

    Parameters
    ----------
    hyper_parameters : object
        As `read_archive` returns it.
    state : dict
        The released `state_dict`.
    where : str or Path
        File that error messages name.

    Raises
    ------
    InputError
        Settings are missing, or enable something that the published models do not use.
    """
    tree = plain(hyper_parameters)
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
                found=f"{name} = {get(name)!r}",
                expected=f"{only!r}, as published",
                fix="this setting is not supported",
            )
    ssm = get("ssm_cfg")
    rank = ssm.get("dt_rank", "auto")
    weights, betas = (state.get(f"model.{name}") for name in _CONSTANTS)
    if weights is None or betas is None:
        raise InputError(
            where, found="no prior_weights or signal_betas", expected="both", fix="check that this is Seq2Exp"
        )
    loss = _resolve((tree.get("task") or {}).get("loss"), ("task", "loss"), tree) or {}
    hard = bool(get("post_hard_dist"))
    signals = int(get("signal_size"))
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
