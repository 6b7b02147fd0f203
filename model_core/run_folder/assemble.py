"""Derived files of a run, computed from its masks: elements, merged track, genes.tsv, counts. No torch."""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.bed import is_gzipped
from model_core.errors import InputError
from model_core.files import replacing, write_json, write_text
from model_core.fingerprint import sha256_of
from model_core.intervals import merge
from model_core.kept_peaks import parsed_peaks
from model_core.listing import files_in
from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.run_folder.elements import (
    ELEMENT_COLUMNS,
    PROMOTER_CLASS,
    WITHOUT_PEAK,
    ElementRule,
    as_stored,
    cut_elements,
    default_rule,
)
from model_core.run_folder.gene_scores import DERIVED, GENE_COLUMNS
from model_core.run_folder.mask_store import GeneMask
from model_core.run_folder.notes import notes_of
from model_core.run_folder.run import Run
from model_core.run_folder.tracks import MOST_VALUES, Block, merged_by_max, write_bed, write_bigwig, write_narrowpeak
from model_core.study.peaks import known_record, record_of_given
from model_core.study.whole_inputs import read_whole
from model_core.track_formats import format_of
from model_core.tsv import table_text
from model_core.window import window_start

DECIMALS = 3  # of the merged track; float16 masks do not hold more


def assemble(
    run: Run,
    study_peaks: pd.DataFrame | str | InputPath | Sequence[str | InputPath] | None = None,
    rule: ElementRule | None = None,
    track_resolution: int | None = None,
    decimals: int | None = DECIMALS,
) -> dict[str, Any]:
    """Derive elements/elements.bed, tracks/mask.bigWig and genes.tsv from the masks; write the rule to the manifest.

    A second call writes the same files. Each gene's mask is read three times; memory does not grow with the number of
    genes.

    Parameters
    ----------
    run : Run
        Run with at least one scored gene.
    study_peaks : DataFrame or str or InputPath or Sequence[str or InputPath] or None
        Peaks of the study, which replace the run's: files of called peaks, each copied with the .json file of the same
        name, or with a record of where it is from if it lies at an address; or a table; None leaves the run's peaks as
        they are.
    rule : ElementRule or None
        How to cut elements; by default `default_rule` over all genes.
    track_resolution : int or None
        bp per bin of the merged track; by default `default_track_resolution`.
    decimals : int or None
        Decimals of the merged track; None for no rounding.

    Returns
    -------
    dict[str, Any]
        The counts, as in metrics.json under `counts`.

    Raises
    ------
    InputError
        No gene is scored, or another process writes to the run.
    """
    if not run.scored:
        raise InputError(run.path, found="no scored gene", expected="at least one", fix="score genes first")
    with run.writing():
        run.update(assembled=None)  # tells a reader that the derived files are changing
        _copy_peaks(run, study_peaks)
        if rule is None:
            rule = default_rule(map(run.mask, run.genes["gene_id"]), run.decision.binary)
        bases = covered_bases(run.genes, run.manifest["window"], run.chrom_sizes)
        resolution = track_resolution or default_track_resolution(bases, run.manifest["resolution"])
        genes = _cut_all(run, rule)
        (run.path / "tracks").mkdir(exist_ok=True)
        track, blocks = run.path / "tracks" / "mask.bigWig", merged_track(run, resolution)
        write_bigwig(track, run.chrom_sizes, blocks, decimals, bases / resolution)
        _write_genes(run, genes)
        counts = _counts(genes, run.peaks is not None)
        run.write_json("metrics.json", {**run.metrics, "counts": counts})
        stated = {"genes": len(genes), "track_resolution": resolution, "decimals": decimals}
        run.update(element_rule=rule.to_dict(), assembled=stated)
    return counts


def merged_track(run: Run, resolution: int, genes: pd.DataFrame | None = None) -> Iterator[Block]:
    """Yield the masks of genes merged by max, in bins of `resolution` bp, chromosome by chromosome.

    Parameters
    ----------
    run : Run
        The run.
    resolution : int
        bp per bin.
    genes : DataFrame or None
        Rows of `Run.genes`, in its order; None for all.
    """
    for chrom, here in (run.genes if genes is None else genes).groupby("chrom", sort=True):
        yield from merged_by_max(map(run.mask, here["gene_id"]), run.chrom_sizes[chrom], resolution)


def provenance(run: Run, rule: ElementRule) -> list[str]:
    """Return comment lines for files cut from a run: run, model, study, rule and notes, without times."""
    manifest = run.manifest
    study, checkpoint = (manifest.get(name) or {} for name in ("study", "checkpoint"))
    simulated = " simulated=true" if manifest["simulated"] else ""
    return [
        f"seq2exp-viz run={json.dumps(run.name)} variant={manifest['variant']}{simulated}",
        f"study_sha256={study.get('sha256', 'none')} checkpoint_sha256={checkpoint.get('sha256', 'none')}",
        f"element_rule={json.dumps(rule.to_dict())}",
        *(f"note={json.dumps(note.text)}" for note in notes_of(run)),
    ]


def covered_bases(genes: pd.DataFrame, window: int, sizes: Mapping[str, int]) -> int:
    """Count the bases that lie in the window of at least one gene.

    Parameters
    ----------
    genes : DataFrame
        chrom, tss (0-based).
    window : int
        Length of the windows in bp.
    sizes : Mapping[str, int]
        Length in bp of each chromosome.
    """
    start = window_start(genes["tss"], window)
    end = np.minimum(start + window, genes["chrom"].map(dict(sizes)).astype(np.int64))
    windows = merge(pd.DataFrame({"chrom": genes["chrom"], "start": start.clip(lower=0), "end": end}))
    return int((windows["end"] - windows["start"]).sum())


def default_track_resolution(bases: int, resolution: int) -> int:
    """Return the bp per bin of the merged track: those of the masks, doubled until there are at most 2^26 bins.

    Parameters
    ----------
    bases : int
        Bases that the track covers (`covered_bases`).
    resolution : int
        bp per bin of the masks.
    """
    while bases / resolution > MOST_VALUES:
        resolution *= 2
    return resolution


def _copy_peaks(run: Run, peaks: pd.DataFrame | str | InputPath | Sequence[str | InputPath] | None) -> None:
    if peaks is None:
        return
    folder = run.path / "peaks"
    folder.mkdir(exist_ok=True)
    if isinstance(peaks, pd.DataFrame):
        write_narrowpeak(folder / "peaks.narrowPeak", peaks)
        given = {"peaks"}
    else:
        paths = [peaks] if isinstance(peaks, (str, Path, RemotePath)) else peaks
        given = {_copy_with_record(input_path(path), folder) for path in paths}
    for path in files_in(folder):
        if path.stem not in given and path.suffix in (".narrowPeak", ".json"):
            path.unlink()  # peaks of an earlier call that the study no longer names


def _copy_with_record(path: InputPath, folder: Path) -> str:
    """Copy a file of peaks and its record, and return its name; other formats are written as plain narrowPeak."""
    if isinstance(path, Path) and not path.is_file():
        raise InputError(path, found="no such file", expected="called peaks", fix="call peaks first")
    name = path.name[:-3] if path.suffix.lower() == ".gz" else path.name
    name = Path(name).stem
    target = folder / f"{name}.narrowPeak"
    if isinstance(path, RemotePath):
        record = record_of_given(path, name)
        if known_record(target, record) is None:
            read_whole(path, lambda file: _write_peaks(file, target), "peaks")
            write_json(target.with_suffix(".json"), {**record, "sha256": sha256_of(target)})
        return name
    _write_peaks(path, target)
    if (beside := path.with_name(f"{name}.json")).is_file():
        _copy(beside, target.with_suffix(".json"))
    return name


def _write_peaks(file: Path, target: Path) -> None:
    if file.suffix == ".narrowPeak" and format_of(file) in ("narrowPeak", "empty") and not is_gzipped(file):
        _copy(file, target)
    else:
        write_narrowpeak(target, parsed_peaks(file))


def _copy(source: Path, target: Path) -> None:
    """Copy a file, unless the target has its content: what was read from that stays known (`kept_tables`)."""
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _cut_all(run: Run, rule: ElementRule) -> pd.DataFrame:
    """Write elements.bed; return one row per gene: gene_id, DERIVED, `learned` and `kept` bases of its window."""
    rows: list[dict[str, Any]] = []

    def tables() -> Iterator[pd.DataFrame]:
        nothing = pd.DataFrame(columns=list(ELEMENT_COLUMNS))
        yield as_stored(nothing, run.manifest)  # the header, even if nothing is found
        for chrom, genes in run.genes.groupby("chrom", sort=True):
            peaks = run.peaks
            peaks = None if peaks is None else peaks[peaks["chrom"] == chrom]
            found = []
            for gene in genes.to_dict("records"):
                gene_id = gene["gene_id"]
                mask = run.mask(gene_id)
                elements = cut_elements(mask, rule, gene, peaks, run.member_effects(gene_id), run.contact(gene_id))
                found.append(elements)
                rows.append({"gene_id": gene["gene_id"], **_measures(mask, elements)})
            table = pd.concat(found).sort_values(["start", "end", "gene_id"], ignore_index=True)
            yield as_stored(table, run.manifest)

    (run.path / "elements").mkdir(exist_ok=True)
    write_bed(run.path / "elements" / "elements.bed", tables(), provenance(run, rule))
    return pd.DataFrame(rows)


def _measures(mask: GeneMask, elements: pd.DataFrame) -> dict[str, Any]:
    elements = elements[elements["class"] != PROMOTER_CLASS]
    return {
        "kept_percent": 100 * mask.kept_fraction,
        "elements": len(elements),
        "elements_without_peak": int((elements["class"] == WITHOUT_PEAK).sum()),
        "learned": int(mask.learned.sum()) * mask.resolution,
        "kept": int((elements["end"] - elements["start"]).sum()),
    }


def _write_genes(run: Run, measures: pd.DataFrame) -> None:
    table = run.genes.drop(columns=list(DERIVED)).merge(measures, on="gene_id")[list(GENE_COLUMNS)]
    if run.peaks is None:
        table["elements_without_peak"] = None
    table["seen_in_training"] = table["seen_in_training"].map({True: "true", False: "false"})
    lines = table.round(dict.fromkeys(("observed", "predicted", "residual", "kept_percent"), 6))
    write_text(run.path / "genes.tsv", table_text(lines))


def _counts(genes: pd.DataFrame, peaks: bool) -> dict[str, Any]:
    found, without = int(genes["elements"].sum()), int(genes["elements_without_peak"].sum())
    return {
        "genes": len(genes),
        "elements": found,
        "elements_with_peak": found - without if peaks else None,
        "elements_without_peak": without if peaks else None,
        "genes_without_elements": int((genes["elements"] == 0).sum()),
        "kept_percent": _rounded(genes["kept_percent"].mean()),
        "element_bases_percent": _rounded(100 * genes["kept"].sum() / max(genes["learned"].sum(), 1)),
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
