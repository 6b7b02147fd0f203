"""The model that a configuration describes."""

from model_core.config import Seq2ExpConfig
from model_core.model.additive import AdditiveModel
from model_core.model.gene_model import GeneModel
from model_core.model.seq2exp import Seq2Exp


def build_model(config: Seq2ExpConfig) -> GeneModel:
    """Return a new model with these settings: `AdditiveModel` for the head "effect", else `Seq2Exp`."""
    return AdditiveModel(config) if config.mask.head == "effect" else Seq2Exp(config)
