"""Peaks called by MACS3; the command, the version and the inputs are kept with them."""

import shlex
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_core.bed import read_narrowpeak
from model_core.errors import InputError
from model_core.files import replacing, write_json
from model_core.fingerprint import sha256_of
from model_core.intervals import match_chromosomes
from model_core.kept_peaks import parsed_peaks
from model_core.records import parse_json
from model_core.remote.address import InputPath, RemotePath
from model_core.remote.address_check import without_query
from model_core.signals.bigwig import bigwig_errors, open_bigwig
from model_core.study.genome_size import size_for_macs3
from model_core.study.macs3 import find_macs3, has_option, reads_format, refuse_inputs_and_outputs, run_macs3
from model_core.study.study import Study
from model_core.study.whole_inputs import read_whole, whole_file
from model_core.track_formats import TO_BED, require_format

_READS = {  # -f of callpeak -> (accepted formats, their description)
    "BAM": (("BAM",), "a BAM"),
    "BED": (("BED", "BED12"), "reads as BED: chrom, start, end, name, score, strand"),
    "BEDPE": (("bedpe", "BED"), "pairs of reads as BEDPE (MACS: chrom, start, end)"),
}
_TO_READS = {
    "BAM": "rename it to end in .bam",
    **dict.fromkeys(("SAM", "CRAM"), "convert it to BAM with `samtools view -b`"),
    **dict.fromkeys(("narrowPeak", "broadPeak", "gappedPeak"), "give it as [peaks] narrowpeak"),
    "bigWig": "give it under [[signals]], and its name as [peaks] signal",
}
SCHEMA = 1
QUANTILE = 0.98  # default cutoff: quantile of a signal over all bases
LIMITS = {
    "callpeak": "Called on reads by macs3 callpeak: peaks are what is enriched over a local background, at the q-value "
    "of the command; a peak says nothing about a gene.",
    "bdgpeakcall": "Called by macs3 bdgpeakcall: all that reaches one cutoff of the signal, without a background "
    "model, so there are no p- or q-values (columns 7 to 9 are 0) and the cutoff decides how many peaks there are.",
    "given": "Read as given; how these peaks were called is not recorded here.",
}


def peaks_of_study(study: Study) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the peaks of a study and their record; called by MACS3 unless the study names a narrowPeak.

    Called peaks go to the study's folder `peaks`, as NAME.narrowPeak with NAME.json and NAME.log. They are not called
    again while inputs, command and MACS3 are the same. Paths in the record are absolute.

    Returns
    -------
    tuple[DataFrame, dict[str, Any]]
        The table of `bed.read_narrowpeak`, and the record as `call_peaks` returns it; a given narrowPeak has caller
        "given". record["limits"] is a sentence to show wherever the peaks are shown.

    Raises
    ------
    InputError
        The study has no [peaks], names a signal that is not a bigWig, or as `call_peaks`.
    """
    settings = study.peak_settings
    if settings is None:
        advice = "add [peaks] with narrowpeak, reads or signal"
        raise InputError(study.path, found="no [peaks]", expected="a source of peaks", fix=advice)
    if settings.narrowpeak is not None:
        table = read_whole(settings.narrowpeak, parsed_peaks, "peaks")
        record = {**record_of_given(settings.narrowpeak, settings.name), "peaks": len(table)}
    else:
        signal = None
        if settings.signal is not None:
            spec = next(spec for spec in study.signal_specs if spec.name == settings.signal)
            signal = _on_this_disk(spec.path, f"[peaks] signal {spec.name}")
        path = study.folder / "peaks" / f"{settings.name}.narrowPeak"
        options = settings.options
        counted = bool(settings.reads) and not has_option(options, "-g", "--gsize")
        size, rule = size_for_macs3(study.genome(), study.assembly) if counted else (None, None)
        record = call_peaks(
            path,
            reads=[_on_this_disk(path, "[peaks] reads") for path in settings.reads],
            control=[_on_this_disk(path, "[peaks] control") for path in settings.control],
            signal=signal,
            genome_size=size,
            options=options,
            genome_size_rule=rule,
        )
        table = read_narrowpeak(path)
    if len(table) and not table.chrom.isin(study.genome().sizes).any():
        match_chromosomes(table.chrom.unique(), study.genome().sizes, settings.narrowpeak or path)
    return table, record


def record_of_given(narrowpeak: InputPath, name: str) -> dict[str, Any]:
    """Return the record of peaks that a study names, as `peaks_of_study`, without their number.

    Parameters
    ----------
    narrowpeak : InputPath
        Their file; of an address the copy on this disk is described, under the address without its query.
    name : str
        Name of the peaks.
    """
    given = _inputs(narrowpeak=[whole_file(narrowpeak, "peaks")])
    if isinstance(narrowpeak, RemotePath):
        given[0]["path"] = without_query(str(narrowpeak))
    return _record("given", name, None, None, given)


def call_peaks(
    path: str | Path,
    reads: Sequence[str | Path] = (),
    control: Sequence[str | Path] = (),
    signal: str | Path | None = None,
    genome_size: int | str | None = None,
    options: Sequence[str] = (),
    quantile: float = QUANTILE,
    genome_size_rule: str | None = None,
) -> dict[str, Any]:
    """Call peaks with macs3 and write them as narrowPeak, with a record (.json) and a log (.log).

    `macs3 callpeak` on reads; `macs3 bdgpeakcall` where there is only a signal. Nothing runs when the record of `path`
    shows the same command, version and inputs, and the peaks are still those it wrote.

    Parameters
    ----------
    path : str or Path
        The file to write, NAME.narrowPeak; its folder is created. The peaks are named after NAME.
    reads : Sequence[str or Path]
        BAM, BED (.bed, .tagAlign) or BEDPE files, the latter three plain or gzipped; all of one format.
    control : Sequence[str or Path]
        The same of a control; may be empty.
    signal : str or Path or None
        A bigWig, instead of reads.
    genome_size : int, str or None
        bp that reads can map to, or macs3's name of them (-g); needed with reads unless `options` give it.
    options : Sequence[str]
        Further arguments of macs3, such as ("--nomodel", "--shift", "-75", "--extsize", "150", "-q", "0.01") for the
        cut sites of DNase or ATAC, or ("-c", "7", "-l", "200", "-g", "50") for a signal. Default for a signal: the
        cutoff below, at least 150 bp (-l), intervals up to 75 bp apart joined (-g).
    quantile : float
        The cutoff for a signal is this quantile over all bases of the bigWig; bases without value count as 0.
    genome_size_rule : str or None
        A sentence on where `genome_size` comes from, for the record.

    Returns
    -------
    dict[str, Any]
        The record: schema, caller ("callpeak" or "bdgpeakcall"), name, command (one line of shell), macs3 (version),
        inputs (role, path, bytes, sha256 of each), peaks (their number), sha256 (of the narrowPeak), limits (a
        sentence), cutoff_rule and genome_size_rule (a sentence, where cutoff or genome size were derived), created
        (UTC).

    Raises
    ------
    InputError
        The program macs3 is not installed or fails (with its errors; the log has all), or a file cannot be used.
    ValueError
        Neither or both of reads and a signal.
    """
    path = Path(path).absolute()
    if bool(reads) == (signal is not None):
        raise ValueError("either reads or a signal")
    inputs = _inputs(reads=reads, control=control, signal=[] if signal is None else [signal])
    program, version = find_macs3()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
        if reads:
            caller, rule, made = "callpeak", None, Path(folder) / f"{path.stem}_peaks.narrowPeak"
            words = _callpeak_words(path.stem, inputs, genome_size, options)
        else:
            caller, made = "bdgpeakcall", Path(folder) / path.stem
            words, rule = _bdgpeakcall_words(path.stem, inputs, Path(folder), options, quantile)
        record = _record(caller, path.stem, shlex.join(["macs3", caller, *words]), version, inputs)
        known = known_record(path, record)
        if known is not None:
            return known
        run_macs3([str(program), caller, *words], Path(folder), path.with_suffix(".log"))
        record["peaks"] = len(read_narrowpeak(made))
        record["sha256"] = sha256_of(made)
        if rule:
            record["cutoff_rule"] = rule
        if genome_size_rule:
            record["genome_size_rule"] = genome_size_rule
        with replacing(path) as temporary:
            shutil.copyfile(made, temporary)
    write_json(path.with_suffix(".json"), record)
    return record


def _callpeak_words(name: str, inputs: list[dict], genome_size: int | str | None, options: Sequence[str]) -> list[str]:
    refuse_inputs_and_outputs("callpeak", options)
    paths = {role: [entry["path"] for entry in inputs if entry["role"] == role] for role in ("reads", "control")}
    words = ["-t", *paths["reads"], *(["-c", *paths["control"]] if paths["control"] else [])]
    if not has_option(options, "-f", "--format"):
        kind = reads_format([*paths["reads"], *paths["control"]])
        for file in (*paths["reads"], *paths["control"]):
            if require_format(file, *_READS[kind], {**TO_BED, **_TO_READS}) == "empty":
                raise InputError(file, found="no row", expected=_READS[kind][1], fix="check how it was made")
        words += ["-f", kind]
    if not has_option(options, "-g", "--gsize"):
        if genome_size is None:
            advice = 'give it as options = ["-g", ...]'
            raise InputError("macs3 callpeak", found="no genome size", expected="the number of mappable bp", fix=advice)
        words += ["-g", str(genome_size)]
    return [*words, "-n", name, *options]


def _bdgpeakcall_words(
    name: str, inputs: list[dict], folder: Path, options: Sequence[str], quantile: float
) -> tuple[list[str], str | None]:
    refuse_inputs_and_outputs("bdgpeakcall", options)
    source = Path(inputs[0]["path"])
    bases = _write_bedgraph(source, folder / "signal.bedGraph")
    words, rule = ["-i", "signal.bedGraph"], None
    if not has_option(options, "-c", "--cutoff"):
        cutoff = _quantile(bases, quantile, source)
        words += ["-c", f"{cutoff:.6g}"]
        rule = f"the {quantile:g} quantile of {source.name} over all of its {int(bases.sum()):,} bases"
    if not has_option(options, "-l", "--min-length"):
        words += ["-l", "150"]
    if not has_option(options, "-g", "--max-gap"):
        words += ["-g", "75"]
    return [*words, "--no-trackline", "-o", name, *options], rule


def _write_bedgraph(bigwig: Path, bedgraph: Path, chunk: int = 4_000_000) -> pd.Series:
    """Write a bigWig as bedGraph and return the number of bases (int64) at each value, sorted by value.

    Bases at 0 are written too: bdgpeakcall (3.0.4) treats the intervals on both sides of a gap as adjacent and joins
    peaks across it.
    """
    source = open_bigwig(bigwig)
    bases = pd.Series(dtype=np.int64)
    with source, bedgraph.open("w", encoding="utf-8") as file:
        for chrom, size in sorted(source.chroms().items()):
            for start in range(0, size, chunk):
                with bigwig_errors(bigwig, f"damaged data of {chrom}"):
                    values = np.nan_to_num(source.values(chrom, start, min(start + chunk, size), numpy=True))
                edges = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
                runs = pd.DataFrame({"chrom": chrom, "start": start + edges[:-1], "end": start + edges[1:]})
                runs["value"] = values[edges[:-1]]
                runs.to_csv(file, sep="\t", header=False, index=False)
                counted = (runs.end - runs.start).groupby(runs.value).sum()
                bases = bases.add(counted, fill_value=0) if len(bases) else counted
    return bases.sort_index()


def _quantile(bases: pd.Series, quantile: float, source: Path) -> float:
    """Return the value that a share `quantile` of the bases does not exceed; the smallest positive one if it is 0."""
    reached = bases.cumsum() >= quantile * bases.sum()
    cutoff = float(bases.index[reached.to_numpy()][0])
    positive = bases.index[bases.index > 0]
    if not len(positive):
        raise InputError(source, found="no value above 0", expected="a signal with peaks", fix="check the file")
    return max(cutoff, float(positive[0]))


def _on_this_disk(path: InputPath, where: str) -> Path:
    """Return the path of a file from which peaks are called, all of which is read."""
    if isinstance(path, Path):
        return path
    expected, do = "a file on this disk, as peaks are called from all of it", "download it, or give a narrowpeak"
    raise InputError(where, found=f"the address {path}", expected=expected, fix=do)


def _inputs(**paths: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Return role, absolute path, size and SHA-256 of each input file."""
    entries = []
    for role, files in paths.items():
        for file in map(Path, files):
            if not file.is_file():
                raise InputError(file, found="no such file", expected=f"a file ({role})", fix="check the path")
            entry = {"role": role, "path": str(file.absolute()), "bytes": file.stat().st_size}
            entries.append({**entry, "sha256": sha256_of(file)})
    return entries


def _record(caller: str, name: str, command: str | None, version: str | None, inputs: list[dict]) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"schema": SCHEMA, "caller": caller, "name": name, "command": command, "macs3": version}
    return {**about, "inputs": inputs, "limits": LIMITS[caller], "created": created}


def known_record(path: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of a narrowPeak if it names the same call and inputs and the peaks are unchanged, else None.

    Parameters
    ----------
    path : Path
        The narrowPeak, beside which its record is.
    record : dict[str, Any]
        As it would be written now.
    """
    try:
        known = parse_json(path.with_suffix(".json").read_bytes())
        same = all(known.get(key) == record[key] for key in ("schema", "command", "macs3", "inputs"))
        return known if same and known.get("sha256") == sha256_of(path) else None
    except (OSError, ValueError, AttributeError):
        return None  # no record, or another form of it: call again
