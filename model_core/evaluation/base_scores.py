"""Scores that rank the bases of a gene's window: the mask, its parts, and other rankings, in the same bins."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model_core.bins import equal_means
from model_core.errors import InputError
from model_core.evaluation import controls
from model_core.evaluation.mask_components import LearnedNumbers, learned_numbers, mask_parts
from model_core.listing import files_in
from model_core.negative_control import SIGNALS
from model_core.run_folder.elements import ElementRule, smoothed
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.run import Run
from model_core.study.study import Study
from model_core.window import Window

MASK, SMOOTHED, PRIOR, SEQUENCE = "mask", "mask, smoothed", "signal prior", "sequence only"
SIGNAL_LOGIT = "signals, as learned"  # the logit head's signal part
OCCLUSION, KNOCK_OUT, NEAREST, RANDOM = "occlusion", "knock-out of elements", "nearest the TSS", "random"
GET_EFFECTS = "run `seq2exp-viz effects RUN` first"
GET_OCCLUSION = "run `seq2exp-viz effects RUN --occlusion` first"


class ScoreReader:
    """Reader of the scores of a run's genes.

    Attributes
    ----------
    kinds : dict[str, str]
        Available scores: name -> "mask", "part" (of the mask), "signal", "peaks", "effect" or "control".
    missing : dict[str, str]
        Scores that are not available: name -> reason, one sentence.

    Parameters
    ----------
    run : Run
        Scored and assembled.
    study : Study or None
        Study of the run, None where it is not available.
    peaks : dict[str, DataFrame]
        narrowPeak tables by name.
    beside : dict[str, Run] or None
        Other runs by name; their masks (of the same windows and bins), occlusion and knock-outs are scores, too.
    without : str
        Reason why the study is not available, for messages.
    """

    def __init__(
        self,
        run: Run,
        study: Study | None,
        peaks: dict[str, pd.DataFrame],
        beside: dict[str, Run] | None = None,
        without: str = "the run does not name its study",
    ):
        self.run, self.beside = run, beside or {}
        self.kinds: dict[str, str] = {MASK: "mask", SMOOTHED: "mask"}
        self.missing: dict[str, str] = {}
        self._peaks = {name: dict(iter(table.groupby("chrom"))) for name, table in peaks.items()}
        self._config = run.model_config
        self._learned: LearnedNumbers | None = None
        self.unknown, self.asked = 0, 0  # learned bins whose sequence component is lost by rounding, and all
        self._sds: list[float] = []  # standard deviation of the sequence component in each window
        self._smooth = run.rule.smooth_bp or ElementRule(0).smooth_bp
        self._signals = self._open_signals(study, without)
        mixed = study is not None and study.control == SIGNALS
        self._reader = study.reader() if study is not None and mixed else None  # of what the model was given
        self._effects = {name: _effects_by_gene(other) for name, other in {"": run, **self.beside}.items()}
        self._name_scores()

    def read(self, gene_id: str, mask: GeneMask, smooth: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return the scores of a gene by name, float32 (bins,), 0 or more, in the order of `kinds`.

        Effects that were not computed for this gene, and masks of runs that did not score it, are left out.

        Parameters
        ----------
        gene_id : str
            The gene.
        mask : GeneMask
            `Run.mask` of the gene.
        smooth : ndarray or None
            float32 (bins,), the mask as the run's rule smooths it; computed where None.
        """
        if smooth is None or not self.run.rule.smooth_bp:  # elements of hard masks are cut unsmoothed
            smooth = smoothed(mask, self._smooth)
        scores = {MASK: mask.mean, SMOOTHED: smooth}
        scores |= self._from_signals(gene_id, mask)
        for name, tables in self._peaks.items():
            table = tables.get(mask.chrom)
            values = np.zeros(mask.end - mask.start, np.float32)
            if table is not None:
                values = controls.peak_scores(table, mask.chrom, mask.start, mask.end)
            scores[name] = np.maximum(self._binned(values, mask), 0)
        scores |= self._from_effects(gene_id, mask)
        for name, other in self.beside.items():
            if f"mask of {name}" in self.kinds and gene_id in other.scored:
                scores[f"mask of {name}"] = other.mask(gene_id).mean
        scores[NEAREST] = controls.nearness(len(mask.alpha), mask.resolution)
        rng = np.random.default_rng(zlib.crc32(gene_id.encode()))  # the same for a gene in every comparison
        scores[RANDOM] = controls.shifted(mask.mean, mask.learned, rng)
        return {name: scores[name] for name in self.kinds if name in scores}

    @property
    def sequence_sd(self) -> float | None:
        """Mean over windows of the standard deviation of the sequence component; None where there is none."""
        return float(np.mean(self._sds)) if self._sds else None

    def _name_scores(self) -> None:
        if self._signals is not None:
            self.kinds |= {PRIOR: "part"}
            if self._has_sequence_part():
                has_logit = self._config is not None and self._config.mask.head == "logit"
                learned = {SIGNAL_LOGIT: "part"} if has_logit else {}
                self.kinds |= {SEQUENCE: "part", **learned}
            self.kinds |= {signal.name: "signal" for signal in self._signals}
        self.kinds |= dict.fromkeys(self._peaks, "peaks")
        for name, other in {"": self.run, **self.beside}.items():
            of = f" of {name}" if name else ""
            if self._effects[name] is not None:
                self.kinds[KNOCK_OUT + of] = "effect"
            elif not name:
                self.missing[KNOCK_OUT] = f"no element of this run was knocked out yet; {GET_EFFECTS}"
            if _first_occlusion(other) is not None:
                self.kinds[OCCLUSION + of] = "effect"
            elif not name:
                self.missing[OCCLUSION] = f"no occlusion was computed yet; {GET_OCCLUSION}"
        for name, other in self.beside.items():
            if _same_grid(self.run, other):
                self.kinds[f"mask of {name}"] = "mask"
            else:
                self.missing[f"mask of {name}"] = "its windows or bins differ from this run's"
        self.kinds |= {NEAREST: "control", RANDOM: "control"}

    def _has_sequence_part(self) -> bool:
        config, checkpoint = self._config, self.run.checkpoint
        assert config is not None  # else the signals are not open, and nothing asks for their parts
        kind = config.mask.kind
        if kind != "learned":
            self.missing[SEQUENCE] = f"the mask of this run is a control ({kind}) without a sequence component"
        elif config.mask.head == "effect":
            self.missing[SEQUENCE] = "the mask of this run is the effect of each base, which is no sum of components"
        elif config.mask.head == "logit" and self.run.manifest["resolution"] > 1:
            self.missing[SEQUENCE] = "the run's bins are wider than a base, and logits cannot be averaged"
        else:
            try:
                self._learned = learned_numbers(checkpoint or self.run.path / "checkpoint.safetensors", config)
            except InputError as error:
                self.missing[SEQUENCE] = str(error)
        return SEQUENCE not in self.missing

    def _open_signals(self, study: Study | None, without: str) -> list | None:
        reason = without if study is None else None
        if self._config is None:
            reason = "the run's config.json does not hold a model's settings"
        elif study is not None and tuple(spec.name for spec in study.signal_specs) != self._config.signals:
            reason = "the study's signals differ from the model's"
        if study is not None and reason is None:
            try:
                for signal in study.signals():
                    signal.prepare()
                return study.signals()
            except (InputError, ImportError) as error:
                reason = f"the study's signals cannot be read ({error})"
        assert reason is not None
        self.missing |= {PRIOR: reason, SEQUENCE: reason, "single signals": reason}
        return None

    def _from_signals(self, gene_id: str, mask: GeneMask) -> dict[str, np.ndarray]:
        if self._signals is None or self._config is None:
            return {}
        window = Window.between(mask.chrom, mask.start, mask.end)
        if self._reader is not None:
            signals = self._reader.read(window).signals  # (L, S)
        else:
            signals = np.stack([signal.read(window) for signal in self._signals], axis=1)  # (L, S)
        found = {PRIOR: self._binned(controls.signal_prior(signals, self._config), mask)}
        if SEQUENCE in self.kinds:
            parts = mask_parts(mask, signals, self._config, self._learned)
            found[SEQUENCE] = self._filled(parts.network, mask)
            if SIGNAL_LOGIT in self.kinds:
                found[SIGNAL_LOGIT] = np.nan_to_num(parts.signals)
        for column, signal in enumerate(self._signals):
            found[signal.name] = self._binned(np.maximum(signals[:, column], 0), mask)
        return found

    def _from_effects(self, gene_id: str, mask: GeneMask) -> dict[str, np.ndarray]:
        found = {}
        for name, other in {"": self.run, **self.beside}.items():
            of = f" of {name}" if name else ""
            if KNOCK_OUT + of in self.kinds and gene_id in other.effect_records:
                values = _painted((self._effects[name] or {}).get(gene_id), mask)
                found[KNOCK_OUT + of] = self._binned(values, mask)
            hidden = _occlusion(other, gene_id, mask) if OCCLUSION + of in self.kinds else None
            if hidden is not None:
                found[OCCLUSION + of] = self._binned(hidden, mask)
        return found

    def _filled(self, network: np.ndarray, mask: GeneMask) -> np.ndarray:
        """Return the sequence component with its median where the stored mask's rounding hides it."""
        hidden = np.isnan(network) & mask.learned
        self.unknown, self.asked = self.unknown + int(hidden.sum()), self.asked + int(mask.learned.sum())
        known = network[mask.learned & ~hidden]
        if len(known):
            self._sds.append(float(known.std(dtype=np.float64)))
        return np.nan_to_num(network, nan=float(np.median(known)) if len(known) else 0.5)

    @staticmethod
    def _binned(values: np.ndarray, mask: GeneMask) -> np.ndarray:
        bins = len(mask.alpha)
        return values if len(values) == bins else equal_means(values, bins)


def named_runs(runs: Sequence[Run]) -> dict[str, Run]:
    """Return the runs by name, or by folder where names repeat."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    return dict(zip(names, runs, strict=True))


def _same_grid(run: Run, other: Run) -> bool:
    return all(run.manifest[name] == other.manifest[name] for name in ("window", "promoter", "resolution"))


def _effects_by_gene(run: Run) -> dict[str, pd.DataFrame] | None:
    """Return the rows of `Run.effects` by gene_id; None where no element was knocked out."""
    table = run.effects
    return dict(iter(table.groupby("gene_id"))) if len(table) else None


def _first_occlusion(run: Run) -> Path | None:
    found = files_in(Path(run.path) / "effects" / "occlusion", "*.npz")
    return next((path for path in found if path.stat().st_size), None)


def _painted(table: pd.DataFrame | None, mask: GeneMask) -> np.ndarray:
    """Return the absolute effect of the element over each base, float32 (window,); 0 elsewhere."""
    values = np.zeros(mask.end - mask.start, np.float32)
    if table is not None:
        for start, end, effect in table[["start", "end", "effect"]].itertuples(index=False):
            part = values[max(start - mask.start, 0) : max(end - mask.start, 0)]
            np.maximum(part, abs(effect), out=part)
    return values


def _occlusion(run: Run, gene_id: str, mask: GeneMask) -> np.ndarray | None:
    """Return the absolute change of the prediction by hiding each base's region, float32 (window,); None if unknown."""
    track = run.occlusion(gene_id) if gene_id in run.scored else None
    if track is None or track.chrom != mask.chrom:
        return None
    values = np.zeros(mask.end - mask.start, np.float32)
    bases = np.abs(np.nan_to_num(track.bases))
    first, last = max(track.start, mask.start), min(track.start + track.length, mask.end)
    if first < last:
        values[first - mask.start : last - mask.start] = bases[first - track.start : last - track.start]
    return values
