"""What a mask has to beat: signals, peaks, boosted trees, and oracles that know the true grammar.

Every rival is a score (genes, bases) or an effect in the label's unit; see `planted`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from planted import CAUSAL, WEAK, Truth, Windows, smoothed
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from model_core.evaluation.controls import nearness, peak_scores, signal_prior
from model_core.simulation.grammar import Grammar
from model_core.simulation.world import World
from model_core.study.study import Study

BIN = 32  # bp of a bin of the trees
SCALES = (1, 5, 17)  # bins over which trees see the signals
WIDE = 256  # bp of a bin of the trees of expression
NEIGHBOURHOOD = 150  # bp over which the oracle counts motifs


def of_signals(study: Study, windows: Windows, peaks: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """Return the scores that need no training: signals, their prior, peaks, contact, nearness, chance."""
    config = study.config(variant="soft")
    signals = windows.signals
    found = {name: signals[..., column] for column, name in enumerate(config.signals)}
    found["DNase x contact"] = dnase_of(study, windows) * contact_of(study, windows)
    found["signal prior"] = np.stack([signal_prior(one, config) for one in signals])
    count, length = windows.codes.shape
    if peaks is not None:
        rows = zip(windows.genes["chrom"], windows.start, strict=True)
        found["MACS3"] = np.stack([peak_scores(peaks, chrom, int(x), int(x) + length) for chrom, x in rows])
    found["nearest the TSS"] = np.tile(nearness(length, 1), (count, 1))
    found["random"] = smoothed(np.random.default_rng(0).random((count, length)))
    return found


def dnase_of(study: Study, windows: Windows) -> np.ndarray:
    """Return log(1 + DNase) smoothed, (G, L)."""
    column = list(study.config(variant="soft").signals).index("DNase")
    return smoothed(np.log1p(np.maximum(windows.signals[..., column], 0)))


def linear_contact_of(study: Study, windows: Windows) -> np.ndarray:
    """Return the linear contact of each base, (G, L), 0 or more, in the unit of the signal."""
    column = next(i for i, spec in enumerate(study.signal_specs) if spec.is_contact)
    return np.maximum(10.0 ** windows.signals[..., column] - 1, 0).astype(np.float32)


def contact_of(study: Study, windows: Windows) -> np.ndarray:
    """Return the contact of each base as a share of the window's highest, linear, (G, L), 0 to 1."""
    contact = linear_contact_of(study, windows)
    return contact / np.maximum(contact.max(axis=1, keepdims=True), 1e-6)


# ---- trees


def trees_on_truth(study: Study, train: Windows, train_truth: Truth, test: Windows) -> np.ndarray:
    """Return the score of trees that saw planted truth of training genes, and signals but no sequence.

    An upper bound of what the signals alone can say.
    """
    positive = np.isin(train_truth.kind, (CAUSAL, WEAK))[:, BIN // 2 :: BIN]
    chosen = train.learned[:, BIN // 2 :: BIN]
    model = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.08, random_state=0)
    model.fit(_bin_features(study, train)[chosen], positive[chosen])
    seen = _bin_features(study, test)
    scores = model.predict_proba(seen.reshape(-1, seen.shape[-1]))[:, 1].reshape(seen.shape[:2])
    return _per_base(scores, test)


def trees_on_expression(study: Study, train: Windows, test: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Return effects (genes, bases) of trees from window features to expression, and their predictions (genes,).

    Features: signals and content of G and C in bins of WIDE bp, and the gene features. Effect of a bin: the prediction
    minus that with the bin's signals at their background (the training windows' median). The bases at both ends that
    fill no bin have no effect.
    """
    model = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.05, random_state=0)
    known, seen = _window_features(study, train), _window_features(study, test)
    model.fit(known, train.genes["label"])
    predicted = model.predict(seen)
    signals = len(study.signal_specs)
    inside = _whole_bins(test.codes.shape[1])
    bins = (inside.stop - inside.start) // WIDE
    background = np.median(known, axis=0)
    effects = np.zeros((len(seen), bins))
    for place in range(bins):
        without = seen.copy()
        columns = [column * bins + place for column in range(signals) if not study.signal_specs[column].is_contact]
        without[:, columns] = background[columns]
        effects[:, place] = predicted - model.predict(without)
    per_base = np.repeat(effects, WIDE, axis=1).astype(np.float32)
    # Within a bin the more open base has more of the effect, as no window feature tells them apart.
    openness = dnase_of(study, test)[:, inside]
    within = openness.reshape(len(seen), bins, WIDE)
    within = within / np.maximum(within.mean(axis=2, keepdims=True), 1e-3)
    found = np.zeros(test.codes.shape, np.float32)
    found[:, inside] = per_base * within.reshape(per_base.shape)
    return found, predicted


def _whole_bins(length: int) -> slice:
    """Return the central bases of a window of `length` that make whole bins of WIDE bp."""
    first = length % WIDE // 2
    return slice(first, first + length // WIDE * WIDE)


def _bin_features(study: Study, windows: Windows) -> np.ndarray:
    """Return what trees see of each bin, float32 (G, bins, features)."""
    count, length = windows.codes.shape
    bins, columns = length // BIN, []
    for column, spec in enumerate(study.signal_specs):
        values = windows.signals[..., column]
        values = values if spec.is_contact else np.log1p(np.maximum(values, 0))
        binned = values.reshape(count, bins, BIN).mean(axis=2)
        columns += [binned] if spec.is_contact else [smoothed(binned, scale) for scale in SCALES]
    distance = np.abs(np.arange(bins) * BIN + BIN // 2 - length // 2)
    columns.append(np.broadcast_to(distance, (count, bins)))
    return np.stack(columns, axis=2).astype(np.float32)


def _window_features(study: Study, windows: Windows) -> np.ndarray:
    inside = _whole_bins(windows.codes.shape[1])
    shape = len(windows.codes), -1, WIDE
    parts = []
    for column, spec in enumerate(study.signal_specs):
        values = windows.signals[:, inside, column]
        values = values if spec.is_contact else np.log1p(np.maximum(values, 0))
        parts.append(values.reshape(shape).mean(axis=2))
    parts.append(np.isin(windows.codes[:, inside], (1, 2)).reshape(shape).mean(axis=2))
    return np.concatenate([*parts, windows.features], axis=1)


def _per_base(binned: np.ndarray, windows: Windows) -> np.ndarray:
    return np.repeat(binned, BIN, axis=1)[:, : windows.codes.shape[1]].astype(np.float32)


# ---- oracles


def oracles(study: Study, world: World, windows: Windows, truth: Truth) -> dict[str, np.ndarray]:
    """Return scores that know the true grammar ("scan"), or where it was written ("sites"), x log DNase x contact."""
    grammars = [Grammar(world, letters) for letters, _ in world.causal_grammars]
    found = [np.maximum.reduce([g.around(codes, NEIGHBOURHOOD) for g in grammars]) for codes in windows.codes]
    written = np.zeros(windows.codes.shape, np.float32)
    for pair in truth.pairs[truth.pairs["kind"].isin(("causal", "closed"))].itertuples():
        written[pair.row, pair.first : pair.last] = 1
    weight = dnase_of(study, windows) * contact_of(study, windows)
    return {
        "oracle: scan for the grammar x DNase x contact": smoothed(np.stack(found)) * weight,
        "oracle: true sites x DNase x contact": written * weight,
    }
