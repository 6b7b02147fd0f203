"""Which of several files of ENCODE a study uses, by a stated rule, and why.

The rule, each step among those that the steps before left: cells that were neither treated nor modified; the first
assay, then the first content, of the order given; the default file of its experiment; most biological replicates; the
newest; the first accession.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from model_core.datasets.encode import EncodeFile, search_files


@dataclass(frozen=True)
class Wanted:
    """Kind of file that a study needs.

    Attributes
    ----------
    name : str
        For messages.
    terms : dict[str, str]
        Fields of ENCODE's search that it must have.
    assays : tuple[str, ...]
        Assays, the best first.
    contents : tuple[tuple[str, ...], ...]
        Groups of output types, the best first; those of a group are equally good.
    """

    name: str
    terms: dict[str, str]
    assays: tuple[str, ...]
    contents: tuple[tuple[str, ...], ...]


H3K27AC = Wanted(
    "H3K27ac",
    {"file_format": "bigWig", "target.label": "H3K27ac"},
    ("Histone ChIP-seq", "Mint-ChIP-seq"),
    (("fold change over control",),),  # the unit in which b = 1.5 separates open from closed bases
)
DNASE = Wanted("DNase", {"file_format": "bigWig"}, ("DNase-seq",), (("read-depth normalized signal",), ("signal",)))
ATAC = Wanted("ATAC", {"file_format": "bigWig"}, ("ATAC-seq",), (("fold change over control",),))
HIC = Wanted(
    "Hi-C",
    {"file_format": "hic"},
    ("intact Hi-C", "in situ Hi-C", "dilution Hi-C"),
    (("mapping quality thresholded contact matrix",), ("contact matrix",)),
)
PEAKS = Wanted(
    "peaks",
    {"file_format": "bed", "file_format_type": "narrowPeak"},
    (),
    (
        (
            "peaks",
            "IDR thresholded peaks",
            "optimal IDR thresholded peaks",
            "conservative IDR thresholded peaks",
            "pseudoreplicated peaks",
            "replicated peaks",
        ),
    ),
)


@dataclass(frozen=True)
class Choice:
    """The file that was chosen.

    Attributes
    ----------
    file : EncodeFile
        The file.
    why : str
        The steps of the rule that decided.
    passed_over : tuple[tuple[EncodeFile, str], ...]
        The other files, each with the step that it lost at.
    """

    file: EncodeFile
    why: str
    passed_over: tuple[tuple[EncodeFile, str], ...] = ()


def find(wanted: Wanted, **terms: str) -> Choice | None:
    """Ask ENCODE for files of a kind, and choose one; None where it has none.

    Parameters
    ----------
    wanted : Wanted
        The kind.
    **terms : str
        Further fields of the search: `biosample` or `dataset`.

    Raises
    ------
    UnansweredError
        ENCODE cannot be asked.
    InputError
        An answer that is damaged.
    """
    names = {"biosample": "biosample_ontology.term_name", "dataset": "dataset"}
    asked: dict[str, Any] = {**wanted.terms, **{names[key]: value for key, value in terms.items()}}
    if wanted.assays:
        asked["assay_title"] = wanted.assays
    asked["output_type"] = [content for group in wanted.contents for content in group]
    return choose(search_files(asked), wanted)


def choose(files: Sequence[EncodeFile], wanted: Wanted) -> Choice | None:
    """Choose one of several files by the rule; None of none.

    Files of another format, assay or content than asked for are never chosen.
    """
    fitting = [file for file in files if _fits(file, wanted)]
    if not fitting:
        return None
    steps, passed, why = _steps(wanted), [], []
    for key, reason in steps:
        best = min(key(file) for file in fitting)
        lost = [file for file in fitting if key(file) != best]
        fitting = [file for file in fitting if key(file) == best]
        passed += [(file, reason(file)) for file in lost]
        if lost:
            why.append(f"{reason(fitting[0])} ({len(lost)} passed over)")
    (chosen,) = fitting
    return Choice(chosen, "; ".join(why) or "the only one", tuple(passed))


def _fits(file: EncodeFile, wanted: Wanted) -> bool:
    return (
        file.file_format == wanted.terms.get("file_format", file.file_format)
        and (not wanted.assays or file.assay in wanted.assays)
        and any(file.output_type in group for group in wanted.contents)
    )


def _steps(wanted: Wanted) -> list[tuple[Callable[[EncodeFile], Any], Callable[[EncodeFile], str]]]:
    """Return the steps of the rule: a key of which the least is kept, and a file's words at this step."""
    contents = {content: rank for rank, group in enumerate(wanted.contents) for content in group}
    return [
        (lambda file: file.perturbed, lambda file: file.summary if file.perturbed else "not treated or modified"),
        (lambda file: wanted.assays.index(file.assay) if wanted.assays else 0, lambda file: file.assay),
        (lambda file: contents[file.output_type], lambda file: file.output_type),
        (
            lambda file: not file.preferred,
            lambda file: "its experiment's default" if file.preferred else "not its experiment's default",
        ),
        (lambda file: -file.replicates, lambda file: f"{file.replicates} biological replicates"),
        (lambda file: _from_newest(file.created), lambda file: f"of {file.created or 'an unknown date'}"),
        (lambda file: file.accession, lambda file: f"accession {file.accession}"),
    ]


def _from_newest(date: str) -> tuple[int, ...]:
    """Return a key of a date that is least for the newest."""
    return tuple(-int(part) for part in date.split("-")) if date else (1,)
