"""Checks of a study.toml and of the files it names, with one message for each problem."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from model_core.bed import read_bed, read_lines
from model_core.config import (
    GROUPS,
    PATHS,
    SETTINGS,
    Seq2ExpConfig,
    TrainConfig,
    merged,
    named_settings,
    recipe,
    unknown_setting,
)
from model_core.errors import InputError, Problem, without_logins
from model_core.intervals import listed, match_chromosomes, require_shared
from model_core.kept_peaks import parsed_peaks
from model_core.remote.address import InputPath
from model_core.settings import fits
from model_core.signals.open import open_signal
from model_core.signals.signal import Signal
from model_core.study.annotation import refuse_gff3
from model_core.study.gene_table import read_gene_table
from model_core.study.genome import Genome
from model_core.study.schema import CACHE, Genes, GenomeFiles, Peaks, SignalSpec, Truth, model_inputs
from model_core.study.whole_inputs import read_whole
from model_core.track_formats import TO_TEXT, require_format

_FROM_SIGNALS = ("signals", "prior.b", "prior.w")
_ABOUT_SIGNALS = (*_FROM_SIGNALS, "predictor.contact")


@contextmanager
def noting(problems: list[Problem]) -> Iterator[None]:
    """Add the problems of an InputError to `problems` instead of raising it."""
    try:
        yield
    except InputError as error:
        problems.extend(error.problems)


@dataclass
class Parts:
    """Parts of a study that can be checked: all, or the valid ones where its TOML is partly wrong."""

    genome_files: GenomeFiles | None = None
    gene_settings: Genes | None = None
    signal_specs: list[SignalSpec] = field(default_factory=list)
    peak_settings: Peaks | None = None
    truth: Truth | None = None
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    whole: bool = True  # no part is missing, so that references between parts can be checked

    @classmethod
    def of(cls, study: BaseModel) -> Parts:
        """Return the parts of a study whose TOML is valid."""
        names = [item.name for item in dataclasses.fields(cls) if item.name != "whole"]
        return cls(**{name: getattr(study, name) for name in names})


def sound_parts(raw: Mapping[str, Any], schema: type[BaseModel], context: dict[str, Any]) -> Parts:
    """Return the tables of a study.toml that are valid by themselves, where others are not.

    Parameters
    ----------
    raw : Mapping[str, Any]
        Content of the TOML.
    schema : type[BaseModel]
        Study.
    context : dict[str, Any]
        Context of its validators (folder).

    Returns
    -------
    Parts
        With `whole` False.
    """
    parts = Parts(whole=False)
    for item in dataclasses.fields(Parts):
        if item.name not in schema.model_fields:
            continue
        info = schema.model_fields[item.name]
        value = raw.get(info.alias or item.name)
        if item.name == "signal_specs":
            tables = value if isinstance(value, list) else []
            found = [_sound(SignalSpec, table, context) for table in tables]
            parts.signal_specs = [spec for spec in found if spec is not None]
        elif value is not None:
            sound = _sound(info.annotation, value, context)
            if sound is not None:
                setattr(parts, item.name, sound)
    return parts


def schema_problems(error: ValidationError, schema: type[BaseModel], path: Path) -> list[Problem]:
    """Return one problem for each of pydantic's errors, with the nearest known key for an unknown one.

    Parameters
    ----------
    error : ValidationError
        Of the study.
    schema : type[BaseModel]
        Study.
    path : Path
        The study.toml, for messages.
    """
    problems: list[Problem] = []
    misspelt: set[tuple[str | int, ...]] = set()
    items = sorted(error.errors(), key=lambda item: item["type"] == "missing")
    for item in items:
        *table, key = item["loc"]
        is_table = item["type"] != "missing" and isinstance(item["input"], dict)
        where = f"{path} {_spelled(item['loc'], is_table)}".rstrip()
        if item["type"] == "extra_forbidden":
            known = _keys(schema, table)
            near = difflib.get_close_matches(str(key), known, 1, 0.6)
            misspelt.update((*table, name) for name in near)
            do = f"did you mean '{near[0]}'?" if near else "remove it"
            problems.append(
                Problem(where, found=f"an unknown key '{key}'", expected=f"one of {', '.join(known)}", fix=do)
            )
        elif item["type"] == "missing":
            if tuple(item["loc"]) not in misspelt:
                problems.append(
                    Problem(where, found="nothing", expected=f"a value for '{key}'", fix="add it (docs/study.md)")
                )
        else:
            found = without_logins(repr(item["input"]))  # before it is cut
            expected = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            problems.append(Problem(where, found=_short(found), expected=expected, fix="correct it (docs/study.md)"))
    return problems


def study_problems(parts: Parts, path: Path) -> list[Problem]:
    """Return the problems with the files and names of a study.

    Parameters
    ----------
    parts : Parts
        The parts of the study that can be checked.
    path : Path
        The study.toml, for messages.
    """
    problems: list[Problem] = []
    sizes: Mapping[str, int] | None = None
    if parts.genome_files is not None:
        with noting(problems):
            sizes = Genome(parts.genome_files.fasta).sizes
        problems += _annotation_problems(parts.genome_files.annotation, sizes)
        if parts.genome_files.blacklist is not None:
            problems += _interval_problems(parts.genome_files.blacklist, read_bed, sizes)
    chroms: list[str] = []
    if parts.gene_settings is not None and parts.gene_settings.table is not None:
        with noting(problems):
            chroms = sorted(set(read_gene_table(parts.gene_settings, sizes).chrom))
    for spec in parts.signal_specs:
        problems += signal_problems(spec, sizes, chroms)
    problems += _peak_problems(parts.peak_settings, sizes)
    for file in (parts.truth.causal, parts.truth.decoys, parts.truth.closed) if parts.truth else ():
        problems += [] if file is None else _interval_problems(file, read_bed, sizes)
    problems += _name_problems(parts, path) if parts.whole else []
    return problems + _settings_problems(parts, path)


def _sound(kind: Any, value: Any, context: dict[str, Any]) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value, context=context)
    except ValidationError:
        return None


def _short(text: str) -> str:
    return text if len(text) < 120 else f"{text[:117]}..."


def _spelled(place: tuple[str | int, ...], is_table: bool = False) -> str:
    """Format a place in the TOML for a message: [genes.split] test, [[signals]] number 2 prior.b."""
    words = [str(word) for word in place]
    if len(place) > 1 and isinstance(place[1], int):
        return f"[[{words[0]}]] number {int(words[1]) + 1} {'.'.join(words[2:])}"
    if len(words) == 1:
        return f"[{words[0]}]" if is_table else words[0]
    return f"[{'.'.join(words[:-1])}] {words[-1]}" if words else ""


def _keys(schema: Any, place: Iterable[str | int]) -> list[str]:
    for word in place:
        if isinstance(word, int) or word not in _aliases(schema):
            continue
        schema = _aliases(schema)[word].annotation
        tables = [kind for kind in _inner(schema) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        schema = tables[0] if tables else schema
    return list(_aliases(schema))


def _aliases(schema: Any) -> dict[str, Any]:
    return {info.alias or name: info for name, info in getattr(schema, "model_fields", {}).items()}


def _inner(annotation: Any) -> list[Any]:
    inner = get_args(annotation)
    return [annotation, *(deep for part in inner for deep in _inner(part))] if inner else [annotation]


def _annotation_problems(path: InputPath, sizes: Mapping[str, int] | None) -> list[Problem]:
    problems: list[Problem] = []
    with noting(problems):
        chroms = read_whole(path, lambda file: _first_chromosomes(file, sizes), "annotation")
        if sizes is not None and not set(chroms) & set(sizes):
            match_chromosomes(sizes, chroms, f"the FASTA, whose chromosomes {path.name} must use,")
    return problems


def _first_chromosomes(path: Path, sizes: Mapping[str, int] | None) -> list[str]:
    """Return the chromosomes of a GTF's first lines, up to the first that the genome has."""
    expected = "a GTF: 9 columns separated by tabs"
    require_format(path, ("GTF", "GFF", "GFF3"), expected, TO_TEXT)
    chroms: dict[str, None] = {}
    for number, line in read_lines(path):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t", 8)
        if len(fields) != 9:
            found = f"the line {line[:40]!r}"
            raise InputError(f"{path} line {number}", found=found, expected=expected, fix="check the path")
        if not chroms:
            refuse_gff3(path, number, fields[8])
        chroms[fields[0]] = None
        if sizes is None or fields[0] in sizes:
            break  # a chromosome of the genome, whichever it is
    if not chroms:
        raise InputError(path, found="no annotation line", expected=expected, fix="check the path")
    return list(chroms)


def signal_problems(spec: SignalSpec, sizes: Mapping[str, int] | None, chroms: Iterable[str] = ()) -> list[Problem]:
    """Return the problems that a signal's header shows: readability, chromosomes, lengths.

    Parameters
    ----------
    spec : SignalSpec
        The signal.
    sizes : Mapping[str, int] or None
        Length in bp of each chromosome of the genome, where known.
    chroms : Iterable[str]
        Chromosomes of the genes, of which the signal must have some.
    """
    problems: list[Problem] = []
    with noting(problems):
        signal = open_signal(spec, CACHE, sizes)
        found = signal.sizes
        require_measured(signal, sizes, chroms)
        other = [chrom for chrom in found if sizes and sizes.get(chrom, found[chrom]) != found[chrom]]
        if sizes and other:
            chrom = other[0]
            more = f", and {len(other) - 1} more of another length" if len(other) > 1 else ""
            kind = "shorter" if found[chrom] < sizes[chrom] else "longer"
            what = f"'{chrom}' with {found[chrom]:,} bp, {kind} than the genome's{more}"
            do = "use a signal of the FASTA's assembly, or lift it over"
            problems.append(Problem(spec.path, found=what, expected=f"{sizes[chrom]:,} bp, as in the FASTA", fix=do))
    return problems


def _interval_problems(path: InputPath, read: Callable, sizes: Mapping[str, int] | None) -> list[Problem]:
    problems: list[Problem] = []
    with noting(problems):
        if len(table := read_whole(path, read)):  # a file without rows has no chromosomes to compare
            require_shared(table.chrom.unique(), sizes, path)
    return problems


def require_measured(signal: Signal, sizes: Mapping[str, int] | None, chroms: Iterable[str]) -> None:
    """Raise InputError if a signal has none of the study's chromosomes, or names them differently.

    A chromosome that the file does not list holds no data (`Signal.absent`); that all are missing is a mistake.

    Parameters
    ----------
    signal : Signal
        As opened.
    sizes : Mapping[str, int] or None
        Length in bp of each chromosome of the genome, where known.
    chroms : Iterable[str]
        Chromosomes of the genes.
    """
    require_shared(signal.sizes, sizes, signal.path)
    asked = sorted({chrom for chrom in chroms if sizes is None or chrom in sizes})
    if asked and len(signal.absent(asked)) == len(asked):
        match_chromosomes(signal.sizes, asked, signal.path)


def _peak_problems(peaks: Peaks | None, sizes: Mapping[str, int] | None) -> list[Problem]:
    if peaks is None:
        return []
    if peaks.narrowpeak is not None:
        return _interval_problems(peaks.narrowpeak, parsed_peaks, sizes)
    files = [file for file in (*peaks.reads, *peaks.control) if isinstance(file, Path)]  # the schema takes no others
    missing = [file for file in files if not file.is_file()]
    return [
        Problem(file, found="no such file", expected="reads to call peaks from", fix="check the path")
        for file in missing
    ]


def _name_problems(parts: Parts, path: Path) -> list[Problem]:
    """Return the problems with names in one table of the study that refer to another."""
    problems: list[Problem] = []
    names = [spec.name for spec in parts.signal_specs]
    activity = [spec.name for spec in parts.signal_specs if not spec.is_contact]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        found = f"several signals of the same name: {listed(twice)}"
        problems.append(Problem(f"{path} [[signals]]", found=found, expected="distinct names", fix="rename one"))
    for name in parts.gene_settings.promoter_activity if parts.gene_settings else ():
        if name not in activity:
            expected = f"signals other than contact: {listed(activity)}"
            problems.append(
                Problem(
                    f"{path} [genes] promoter_activity", found=repr(name), expected=expected, fix="correct the name"
                )
            )
    if parts.peak_settings is not None and parts.peak_settings.signal not in (None, *activity):
        found, expected = repr(parts.peak_settings.signal), f"one of the signals: {listed(activity)}"
        problems.append(Problem(f"{path} [peaks] signal", found=found, expected=expected, fix="correct the name"))
    return problems


def _settings_problems(parts: Parts, path: Path) -> list[Problem]:
    """Check [model] and [training]; settings of [model] go by flat name or stand in tables of groups."""
    problems: list[Problem] = []
    for name, value in named_settings(parts.model):
        where = f"{path} [model]"
        if name not in PATHS:
            problems.append(unknown_setting(where, name, value))
        elif PATHS[name] in _FROM_SIGNALS:
            expected, fix = "it in [[signals]] only", "give name and prior there"
            problems.append(Problem(where, found=f"'{name}'", expected=expected, fix=fix))
        else:
            problems.extend(_value_problems(where, name, value, SETTINGS[PATHS[name]].field))
    fields = {item.name: item for item in dataclasses.fields(TrainConfig)}
    for name, value in parts.training.items():
        where = f"{path} [training]"
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1, 0.6)
            found, fix = f"an unknown key '{name}'", f"did you mean '{near[0]}'?" if near else "remove it"
            problems.append(Problem(where, found=found, expected=f"one of {', '.join(fields)}", fix=fix))
        else:
            problems.extend(_value_problems(where, name, value, fields[name]))
    if not problems:
        with noting(problems):
            stated = merged({"variant": Seq2ExpConfig.variant}, model_inputs(parts.signal_specs), parts.model)
            if parts.whole:
                recipe(**stated)
            else:  # some signals may be missing
                recipe(**{name: value for name, value in stated.items() if PATHS[name] not in _ABOUT_SIGNALS})
    return problems


def _value_problems(where: str, name: str, value: Any, setting: dataclasses.Field) -> Iterator[Problem]:
    if not fits(value, setting):
        known = f"a value of type {setting.type}" if setting.default is None else f"a value like {setting.default!r}"
        yield Problem(f"{where} {name}", found=repr(value), expected=known, fix="correct it")


def sound_settings(settings: Mapping[str, Any], group: str = "") -> dict[str, Any]:
    """Return the settings with a known name and the right type, so that checks can go on although others are wrong.

    Parameters
    ----------
    settings : Mapping[str, Any]
        [model], or a table in it.
    group : str
        The table's name within [model], such as "mask" or "mask.decision".
    """
    sound: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{group}.{key}" if group else key
        if name in GROUPS and isinstance(value, Mapping):
            sound[key] = sound_settings(value, name)
        elif name in ("window", "promoter") and fits(value, SETTINGS[name].field) and value <= 0:
            continue
        elif name in PATHS and fits(value, SETTINGS[PATHS[name]].field):
            sound[key] = value
    return sound
