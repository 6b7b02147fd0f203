"""The model of a run with its study, ready to predict for the run's genes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

import numpy as np
import pandas as pd

from model_core.errors import InputError
from model_core.gene_finder import GeneFinder
from model_core.model.device import keep_freed_memory
from model_core.perturbation.what_if import WhatIf
from model_core.places import ContigNames, parse_site
from model_core.run_folder.gene_scores import site_gene
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of
from model_core.scoring.input_ranges import note_ranges
from model_core.scoring.run_weights import load_run_weights
from model_core.scoring.score import check_signals, choose_genes, feature_scale_for
from model_core.study.annotation import genes_from_gtf
from model_core.study.gene_features import FEATURES
from model_core.study.study import Study
from model_core.training.dataset import GeneWindows, collate

_UNKNOWN = {"split": "", "label": np.nan, **dict.fromkeys(FEATURES, np.nan)}


class RunModel:
    """The weights that a run was scored with, on a device, and the study that they read.

    Parameters
    ----------
    run : Run
        A run whose checkpoint still exists.
    device : str or None
        "cpu", "cuda" or None = the GPU if there is one.

    Raises
    ------
    InputError
        There is no checkpoint or another one than the run was scored with, no study, or its signals differ.
    """

    def __init__(self, run: Run, device: str | None = None):
        if run.checkpoint_sha256 is None:
            found, advice = "no checkpoint in manifest.json", "train to the end, or score genes"
            raise InputError(run.path, found=found, expected="the weights the run was scored with", fix=advice)
        keep_freed_memory()
        self.run = run
        self.model, self._metadata, _, self.checkpoint = load_run_weights(run, device=device)
        check_signals(self.study, self.model, self._metadata)

    @cached_property
    def study(self) -> Study:
        """Study that the run was made from."""
        return study_of(self.run)

    @cached_property
    def label_transform(self) -> str | None:
        """Transform of the label as the study names it, "log10p1" in the paper."""
        return self.study.gene_settings.label_transform

    @cached_property
    def _finder(self) -> GeneFinder:
        sites = self.study.gene_sites()
        return GeneFinder(sites["gene_id"], sites["symbol"])

    def what_if(self, gene_id: str, on_progress: Callable[[int], None] = lambda done: None) -> WhatIf:
        """Read a gene of the study for what-if predictions; `on_progress` is that of `WhatIf`.

        Raises
        ------
        InputError
            The study has no such gene.
        """
        return self.what_if_of(self.gene(gene_id), on_progress)

    def what_if_of(self, genes: pd.DataFrame, on_progress: Callable[[int], None] = lambda done: None) -> WhatIf:
        """Return what `what_if` does for a row of `gene`."""
        data = GeneWindows(self.study, genes, self.model.config, feature_scale_for(self.study, self._metadata, genes))
        return WhatIf(self.model, collate([data[0]]), data.windows[0], data.reversed_strand(0), on_progress)

    def note_ranges(self, genes: pd.DataFrame) -> None:
        """Keep with the run what must be said of the inputs of genes that are about to be scored (`note_ranges`)."""
        note_ranges(self.run, self.study, self.model.config, self._metadata, genes)

    def gene(self, name: str) -> pd.DataFrame:
        """Return a row like those of the study's gene table, with gene features, for a gene or a position.

        Parameters
        ----------
        name : str
            Gene id or symbol; a gene that the table lacks is taken from the annotation, whatever its type, without a
            label. Or a position such as chr1:1,000,000, which need not be a gene; it gets average gene features and no
            label.

        Raises
        ------
        InputError
            There is no such gene, or there are several.
        """
        sites = self.study.gene_sites()
        rows = self._finder.rows(name)
        if not rows:  # names have precedence over positions
            with suppress(InputError):
                site = site_gene(parse_site(name, ContigNames(self.run.chrom_sizes)))
                return pd.DataFrame([{**site, **_UNKNOWN}])
            if (gene := self._annotated(name)) is not None:
                return self.study.genes(gene)
        found = sites.iloc[rows] if len(rows) == 1 else choose_genes(sites, [name])
        return self.study.genes(found).reset_index(drop=True)

    def _annotated(self, name: str) -> pd.DataFrame | None:
        """Return a gene of the annotation, of any type, as a row of `Study.gene_sites`; None where there is none."""
        genes = genes_from_gtf(self.study.annotation(), ())
        rows = GeneFinder(genes["gene_id"], genes["symbol"]).rows(name)
        genes = genes.iloc[rows[:1]]
        genes = genes[genes["chrom"].isin(list(self.run.chrom_sizes))]
        return None if genes.empty else genes.assign(**_UNKNOWN).reset_index(drop=True)
