"""Check of a study before training: its contents, its problems, and whether all files are of one assembly."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from model_core.errors import InputError, Problem
from model_core.intervals import listed
from model_core.remote.address import RemotePath
from model_core.remote.traffic import TRAFFIC
from model_core.signals.signal import BigWigSignal
from model_core.study import check_assembly
from model_core.study.check_assembly import Verdict
from model_core.study.check_tracks import LEVELS, UNREAD, check_intervals, describe_sequence, describe_signal
from model_core.study.gene_features import FEATURES
from model_core.study.gene_table import WARNINGS, distance_to_others, lengths_of
from model_core.study.genome import Genome
from model_core.study.study import Study, StudyProblems, load_study
from model_core.study.validate import noting
from model_core.window import Window, window_start

LOOKED_AT = 100  # windows whose sequence and signals are read
PLACES = 2_000  # start sites, and places elsewhere, at which signals are compared
ANNOTATED = 400  # genes whose start codons and splice sites are looked up
# The same of a study with a file at an address, so that some megabytes are read.
LOOKED_AT_OVER_THE_WEB, PLACES_OVER_THE_WEB, ANNOTATED_OVER_THE_WEB = 4, 24, 24
SHOWN = 30  # rows of a table
LARGE_ACTIVITY = 1_000  # RPM; above it promoter activity outweighs the other features


@dataclass(frozen=True)
class Table:
    """A titled table of text."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass
class Report:
    """Result of a check.

    Attributes
    ----------
    study : str
        Name and path of the study.
    problems : list[Problem]
        To be corrected before the study can be used.
    warnings : list[Problem]
        To be read; the study can be used.
    tables : list[Table]
        Description of the study.
    """

    study: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there are no problems; there may be warnings."""
        return not self.problems

    def text(self, width: int = 120) -> str:
        """Return the report as plain text: tables, warnings, problems, and a concluding line.

        Parameters
        ----------
        width : int
            Characters per line.
        """
        text = io.StringIO()
        console = Console(file=text, width=width, color_system=None, force_terminal=False)
        console.print(Text(f"Study {self.study}"))
        for table in self.tables:
            drawn = RichTable(title=Text(table.title), title_justify="left")
            for number, column in enumerate(table.columns):
                drawn.add_column(Text(column), overflow="fold", justify="left" if number == 0 else "default")
            for row in table.rows:
                drawn.add_row(*map(Text, row))
            console.print(drawn)
        for name, messages in (("warning", self.warnings), ("problem", self.problems)):
            if messages:
                console.print(Text(_counted(len(messages), name) + ":"))
            for message in messages:
                console.print(Text(f"- {message}"))
        ending = f"{_counted(len(self.problems), 'problem')}, {_counted(len(self.warnings), 'warning')}."
        console.print(Text(f"{'Ready' if self.ok else 'Not ready'}: {ending}"))
        return text.getvalue()


def check_study(path: str | Path) -> Report:
    """Read everything that a study.toml names, and report all problems at once.

    The coverage of a BAM is computed unless the cache holds it. Never raises on bad input.

    Parameters
    ----------
    path : str or Path
        The study.toml, or its folder.
    """
    report = Report(str(path))
    try:
        study: Study | None = load_study(path)
    except InputError as error:
        report.problems += error.problems
        study = error.study if isinstance(error, StudyProblems) else None
    if study is None:
        found, expected = "a file that is partly invalid", "a valid study.toml"
        fix = "only its valid parts were checked: correct the problems and check again"
        report.warnings.append(Problem(path, found=found, expected=expected, fix=fix))
    else:
        report.study = f"{study.name} ({study.path})"
        _check_files(study, report)
    # The checks find again what loading found: report it once.
    report.problems = list(dict.fromkeys(report.problems))
    report.warnings = list(dict.fromkeys(report.warnings))
    return report


def _check_files(study: Study, report: Report) -> None:
    genome, remote = study.genome(), _over_the_web(study)
    sizes: dict[str, int] | None = None
    gtf: pd.DataFrame | None = None
    genes: pd.DataFrame | None = None
    with noting(report.problems):
        sizes = genome.sizes
    with noting(report.problems):
        gtf = study.annotation()
    if sizes is None:
        return
    verdicts = [check_assembly.judge_lengths(study.assembly, sizes)]
    if gtf is not None:
        _check_annotation(study, gtf, genome, report)
        verdicts += check_assembly.judge_annotation(gtf, genome, ANNOTATED_OVER_THE_WEB if remote else ANNOTATED)
    with noting(report.problems):
        genes = study.gene_sites()
    if genes is not None and len(genes):
        _check_genes(study, genes, report)
        if gtf is not None and study.gene_settings.table is not None:
            verdicts.append(check_assembly.judge_start_sites(genes, gtf))
    readable = _check_tracks(study, genes, verdicts, report)
    _check_interval_files(study, report)
    _add_verdicts(study, verdicts, report)
    if remote:
        _tell_what_was_left_out(report)
    elif genes is not None and gtf is not None and {signal.name for signal in study.activity_signals()} <= readable:
        with noting(report.problems):
            _check_features(study, report)


def _over_the_web(study: Study) -> bool:
    """Return whether sequence or a signal, of which much is read otherwise, lies at an address."""
    paths = [study.genome_files.fasta, *(spec.path for spec in study.signal_specs)]
    return any(isinstance(path, RemotePath) for path in paths)


def _tell_what_was_left_out(report: Report) -> None:
    found = (
        f"files at addresses, so {LOOKED_AT_OVER_THE_WEB} windows, {PLACES_OVER_THE_WEB} start sites and no features "
        "of all genes were looked at"
    )
    moved = TRAFFIC.words()
    found += f" ({moved})" if moved else ""
    expected = f"{LOOKED_AT} windows, {PLACES:,} start sites and all gene features, as of files on this disk"
    do = "to check more, download the files and name their paths"
    report.warnings.append(Problem("this check", found=found, expected=expected, fix=do))


def _check_annotation(study: Study, gtf: pd.DataFrame, genome: Genome, report: Report) -> None:
    path, sizes = study.genome_files.annotation, genome.sizes
    chroms = gtf.chrom.astype(str)
    known = gtf[chroms.isin(list(sizes))]
    strange = sorted(set(chroms) - set(sizes))
    if strange:
        found = f"{len(gtf) - len(known):,} of {len(gtf):,} rows on {listed(strange, 3)}"
        report.warnings.append(
            Problem(path, found=found, expected="chromosomes of the FASTA", fix="these rows are skipped")
        )
    beyond = known[known.end > known.chrom.astype(str).map(sizes).astype(float)]
    if len(beyond):
        first = beyond.iloc[0]
        found = f"{len(beyond):,} rows beyond the chromosome's end ({first.symbol} at {first.chrom}:{first.end:,})"
        do = "use an annotation of the FASTA's assembly"
        report.problems.append(Problem(path, found=found, expected=f"ends up to {sizes[first.chrom]:,}", fix=do))


def _check_genes(study: Study, genes: pd.DataFrame, report: Report) -> None:
    sizes, start = study.genome().sizes, window_start(genes.tss, study.window)
    labelled = genes.label.notna()
    ends = lengths_of(genes.chrom, sizes)
    padded = genes[(start < 0) | (start + study.window > ends)]
    rows = [("all", *_counts(genes, labelled))]
    rows += [(f"split {name}", *_counts(part, labelled)) for name, part in genes.groupby("split", sort=False)]
    chroms = [(str(name), *_counts(part, labelled)) for name, part in genes.groupby("chrom", sort=False)]
    rows += chroms[:SHOWN] + ([(f"... {len(chroms) - SHOWN} more", "", "", "")] if len(chroms) > SHOWN else [])
    report.tables.append(Table("Genes", ("", "genes", "with label", "median label"), rows))
    if len(padded):
        found = f"{len(padded)} windows of {study.window:,} bp beyond their chromosome's ends ({_some(padded.symbol)})"
        expected, fix = "windows inside their chromosome", "bases beyond its ends are padded with N and 0"
        report.warnings.append(Problem("genes", found=found, expected=expected, fix=fix))
    report.warnings += genes.attrs.get(WARNINGS, ())
    if study.gene_settings.label is not None:
        _check_splits(study, genes[labelled], report)
        if not labelled.all():
            found = f"{(~labelled).sum()} of {len(genes)} genes without a label ({_some(genes.symbol[~labelled])})"
            report.warnings.append(
                Problem("genes", found=found, expected="a label for each gene", fix="genes without one are only scored")
            )


def _check_splits(study: Study, genes: pd.DataFrame, report: Report) -> None:
    for part in ("train", "validation", "test"):
        if not (genes.split == part).any():
            do = "set [genes.split]" if part != "train" else "leave some genes out of validation and test"
            expected = f"labelled genes for {part}"
            report.warnings.append(Problem("genes", found=f"no labelled {part} genes", expected=expected, fix=do))
    training = (genes.split == "train").to_numpy()
    for part in ("validation", "test"):
        near = distance_to_others(genes, training, (genes.split == part).to_numpy()) < study.window
        if near.any():
            first = _some(genes.symbol[training][near])
            found = f"{near.sum()} of {training.sum()} training windows that overlap a {part} window ({first})"
            do = f"split by chromosome, or set gap = {study.window} under [genes.split]"
            report.warnings.append(Problem("genes", found=found, expected="windows that do not overlap", fix=do))


def _check_features(study: Study, report: Report) -> None:
    genes = study.genes()
    columns = study.gene_settings.features
    rows = []
    for name in FEATURES:
        source = f"column {columns[name].column}" if name in columns else "computed"
        known = genes[name].dropna()
        middle = f"{known.median():.4g}" if len(known) else "-"
        rows.append((name, source, str(len(genes) - len(known)), middle))
    report.tables.append(Table("Gene features", ("", "from", "missing", "median"), rows))
    missing = genes[genes[list(FEATURES)].isna().any(axis=1)]
    if len(missing):
        found = f"{len(missing)} of {len(genes)} genes with missing features ({_some(missing.symbol)})"
        do = "missing features are replaced by the mean of the training genes"
        report.warnings.append(Problem("gene features", found=found, expected="nine features for each gene", fix=do))
    activity = genes.PROMOTERACTIVITY.max()
    if (
        activity > LARGE_ACTIVITY
        and "PROMOTERACTIVITY" in FEATURES
        and not study.gene_settings.zscore_promoter_activity
    ):
        found = f"promoter activities up to {activity:,.0f} RPM"
        expected = "a few hundred at most, as in a whole genome"
        do = "set zscore_promoter_activity = true under [genes]"
        report.warnings.append(Problem("gene features", found=found, expected=expected, fix=do))


def _check_tracks(study: Study, genes: pd.DataFrame | None, verdicts: list[Verdict], report: Report) -> set[str]:
    """Check sequence and signals, extend `verdicts`, and return the names of the readable signals."""
    genome, remote = study.genome(), _over_the_web(study)
    most, places = (LOOKED_AT_OVER_THE_WEB, PLACES_OVER_THE_WEB) if remote else (LOOKED_AT, PLACES)
    windows: list[Window] = []
    if genes is not None and len(genes):
        looked_at = check_assembly.spread_out(genes.sort_values(["chrom", "tss"]), most)
        windows = study.windows(looked_at)
        with noting(report.problems):
            about = describe_sequence(genome, looked_at, windows, report.warnings)
            report.tables.append(Table("Sequence", ("", ""), about))
        elsewhere = check_assembly.random_places(genes, genome, places)
    rows, readable = [], set()
    for spec, signal in zip(study.signal_specs, study.signals(), strict=True):
        row = describe_signal(signal, genes, windows, genome.sizes, report.problems, report.warnings)
        rows.append(row)
        if windows and row[2] == UNREAD:
            continue  # one message per file
        readable.add(signal.name)
        if windows and genes is not None and not spec.is_contact and isinstance(signal, BigWigSignal):
            with noting(report.problems):
                starts, others = (table[table.chrom.isin(list(signal.sizes))] for table in (genes, elsewhere))
                verdicts.append(
                    check_assembly.judge_signal(signal, check_assembly.spread_out(starts, places), others, genome.sizes)
                )
    columns = ("", "chromosomes", "bases > 0", *(f"{level * 100:g} %" for level in LEVELS), "highest")
    title = f"Signals, as transformed, in {len(windows)} windows"
    report.tables.append(Table(title, columns, rows))
    weights = sum(spec.prior.w for spec in study.signal_specs)
    if not np.isclose(weights, 1, atol=0.01):
        found = f"weights w of the signals' priors that add up to {weights:g}"
        report.warnings.append(
            Problem("signals", found=found, expected="1, as in the paper", fix="rescale them to a sum of 1")
        )
    return readable


def _check_interval_files(study: Study, report: Report) -> None:
    files = [("blacklist", study.genome_files.blacklist), ("peaks", study.peaks_path())]
    if study.truth is not None:
        files += [(f"planted, {kind}", getattr(study.truth, kind)) for kind in ("causal", "decoys", "closed")]
    rows = []
    for kind, path in files:
        if path is not None:
            with noting(report.problems):
                rows.append(check_intervals(path, kind, study.genome().sizes, report.warnings))
    if rows:
        report.tables.append(Table("Intervals", ("", "file", "intervals", "bp", "chromosomes"), rows))


def _add_verdicts(study: Study, verdicts: list[Verdict], report: Report) -> None:
    rows = [(verdict.what, verdict.measured, verdict.expected, verdict.word) for verdict in verdicts]
    report.tables.append(Table("Do the builds agree?", ("", "found", "expected", "verdict"), rows))
    for verdict in verdicts:
        if verdict.agrees is False:
            do = "check that FASTA, annotation, gene table and signals are of one assembly (hg19 and hg38?)"
            message = Problem(verdict.what, found=verdict.measured, expected=verdict.expected, fix=do)
            _blame(study, verdict, report).append(message)


def _blame(study: Study, verdict: Verdict, report: Report) -> list[Problem]:
    """Return the list that the verdict belongs to: problems, or warnings where the right assembly may fail too.

    The right assembly may fail in simulations and with signals that avoid promoters.
    """
    promoters = {f"{signal.name} at TSSs over elsewhere" for signal in study.activity_signals()}
    certain = not verdict.what.endswith("at TSSs over elsewhere") or verdict.what in promoters
    return report.problems if certain and not study.simulated else report.warnings


def _counts(part: pd.DataFrame, labelled: pd.Series) -> tuple[str, str, str]:
    labels = part.label[labelled[part.index]]
    return str(len(part)), str(len(labels)), f"{labels.median():.3g}" if len(labels) else "-"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
