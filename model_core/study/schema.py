"""Tables of `study.toml` and their allowed values (reference: docs/study.md)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from model_core.errors import InputError
from model_core.remote.address import InputPath, RemotePath, input_path
from model_core.signals.power_law_contact import NOTE, POWER_LAW
from model_core.signals.signal import TRANSFORMS
from model_core.study.gene_features import FEATURES
from model_core.track_formats import FORMATS, TO_SIGNAL, UNTOLD, format_of

CONTACT_FILES = (".hic", ".mcool", ".cool")
CACHE = "cache"  # folder next to study.toml for files that are computed once
STORED_CONTACT = ".contact.json"  # index of precomputed contact vectors (signals/hic_vectors.py)
SIGNAL_FILES = (".bw", ".bigwig", ".bam", *CONTACT_FILES, STORED_CONTACT)
_SETTINGS_OF = (
    (("scale",), ("bigWig files", "BAM files")),
    (("extend", "shift"), ("BAM files",)),
    (("resolution", "normalisation", "pseudocount"), ("Hi-C files",)),
)


def _input(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> InputPath:
    """Return an address as it is, and any other text as a path against the study's folder."""
    if isinstance(value, str | RemotePath):
        try:
            value = input_path(value)
        except InputError as error:
            raise ValueError(f"{error.expected} ({error.found})") from None
    if isinstance(value, RemotePath):
        return value
    folder = (info.context or {}).get("folder")
    path = Path(os.path.expanduser(handler(value)))
    return (Path(folder) / path).resolve() if folder is not None else path


def _input_or_power_law(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> InputPath:
    return POWER_LAW if value == str(POWER_LAW) else _input(value, handler, info)


def _known_transform(name: str) -> str:
    if name not in TRANSFORMS:
        raise ValueError(f"one of {', '.join(TRANSFORMS)}")
    return name


TransformName = Annotated[str, AfterValidator(_known_transform)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=80)]  # becomes a file name
if TYPE_CHECKING:  # a type checker can evaluate neither the tuple nor what the validator returns
    FeatureName = str
    FilePath = InputPath
    SignalPath = InputPath
else:
    FeatureName = Literal[FEATURES]
    _as_text = PlainSerializer(str, return_type=str, when_used="json")
    FilePath = Annotated[Path, WrapValidator(_input), _as_text]
    SignalPath = Annotated[Path, WrapValidator(_input_or_power_law), _as_text]


class Section(BaseModel):
    """Table of study.toml: unknown keys are errors, and values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class GenomeFiles(Section):
    """Table [genome]: sequence, annotation and blacklist, all of one assembly."""

    fasta: FilePath
    annotation: FilePath  # GTF, plain or gzipped
    blacklist: FilePath | None = None  # BED


class Split(Section):
    """Table [genes.split]: the genes of the validation and test splits; all others are training genes."""

    column: str | None = None  # of the table; default: the chromosomes
    validation: list[str | int | float] = []
    test: list[str | int | float] = []
    gap: int = Field(0, ge=0)  # bp; training genes this near to a validation or test TSS are left out


class FeatureColumn(Section):
    """Column of the gene table that holds a gene feature, as raw values or as z-scores."""

    column: str
    zscored: bool = False

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value


class Genes(Section):
    """Table [genes]: the gene table; without one the genes come from the annotation and have no labels."""

    table: FilePath | None = None  # TSV with a header
    id: str = "gene_id"
    symbol: str | None = None  # column of names; default: `symbol` where the table has it, else the ids
    chrom: str = "chrom"
    tss: str = "tss"
    strand: str = "strand"
    one_based: bool = False  # the table counts TSSs from 1
    label: str | None = None  # column of measured expression
    label_transform: TransformName | None = None
    gene_types: list[str] = ["protein_coding"]  # without a table: which genes of the annotation; [] = all
    promoter_activity: list[str] = Field([], max_length=2)  # signals; default: the first two that are no contact
    zscore_promoter_activity: bool = False  # as the lengths are; for small genomes, where RPM run into thousands
    split: Split = Split()
    features: dict[FeatureName, FeatureColumn] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Genes:
        if self.table is None and (self.label is not None or self.features):
            raise ValueError("a table with label or features, which are columns of it")
        if self.label is not None and self.label_transform is None:
            choices = ", ".join(f'"{name}"' for name in TRANSFORMS)
            raise ValueError(f"a label_transform with the label, one of {choices} (the paper: log10p1)")
        return self


class Prior(Section):
    """Prior of a signal, b and w of the paper: alpha of z grows with w (s + beta_min), beta with w (b + beta_min)."""

    b: float = Field(ge=0)  # in the signal's unit after its transform
    w: float = Field(ge=0)


class SignalSpec(Section):
    """Table [[signals]]: one signal."""

    name: Name
    path: SignalPath  # or "powerlaw": contact that the distance alone gives
    transform: TransformName = "none"
    prior: Prior
    contact: bool | None = None  # contact to the TSS rather than activity; default by file type
    scale: float | None = Field(None, gt=0)  # factor on a bigWig's or a coverage's values, before the transform
    extend: int | None = Field(None, gt=0)  # BAM only, as shift: bp counted from each read's 5' end
    shift: int | None = None  # bp by which the 5' end is moved first
    resolution: int | None = Field(None, gt=0)  # bp; Hi-C files only, as the next two; None = the release's
    normalisation: str | None = None
    pseudocount: float | None = Field(None, ge=0)  # contacts added; None = the release's power law

    @model_validator(mode="after")
    def _fits_its_file(self) -> SignalSpec:
        if not self.is_powerlaw and not self.path.name.lower().endswith(SIGNAL_FILES):
            expected = f"a file that ends in {', '.join(SIGNAL_FILES)}"
            found = "text" if isinstance(self.path, RemotePath) else format_of(self.path)
            if found in UNTOLD:
                raise ValueError(expected)
            do = TO_SIGNAL.get(found, "give a measured track")
            raise ValueError(f"{expected}; {self.path.name} is {FORMATS[found]}: {do}")
        _refuse_remote_reads([self.path] if self.is_bam else [])
        ending = "Hi-C files" if self.is_hic else "BAM files" if self.is_bam else "bigWig files"
        ending = "stored contact" if self.path.name.lower().endswith(STORED_CONTACT) else ending
        ending = "the power law" if self.is_powerlaw else ending
        for keys, kinds in _SETTINGS_OF:
            given = [key for key in keys if getattr(self, key) is not None]
            if given and ending not in kinds:
                raise ValueError(f"{', '.join(given)} only for {' and '.join(kinds)}")
        if self.shift is not None and self.extend is None:
            raise ValueError("extend with shift")
        if self.is_hic and self.transform != "none":
            raise ValueError("no transform for Hi-C, which gives log10(1 + contact) as it is")
        return self

    @property
    def is_bam(self) -> bool:
        """Whether the file is a BAM, whose coverage is the signal."""
        return self.path.name.lower().endswith(".bam")

    @property
    def is_hic(self) -> bool:
        """Whether the contact to each TSS is read from Hi-C contacts, or follows the power law in their place."""
        return self.is_powerlaw or self.path.name.lower().endswith((*CONTACT_FILES, STORED_CONTACT))

    @property
    def is_powerlaw(self) -> bool:
        """Whether the signal is the power law of the distance, without a file."""
        return self.path == POWER_LAW

    @property
    def note(self) -> str | None:
        """What must be said with every number that rests on the signal; None: nothing."""
        return NOTE if self.is_powerlaw else None

    @property
    def is_contact(self) -> bool:
        """Whether the signal is contact to the TSS: it is no promoter activity, and is not checked at TSSs."""
        return self.is_hic if self.contact is None else self.contact


def _refuse_remote_reads(paths: Sequence[InputPath]) -> None:
    """Raise ValueError for an address of reads: their coverage and their peaks need every read of the file."""
    for path in paths:
        if isinstance(path, RemotePath):
            raise ValueError(f"reads on this disk, as all of them are read: download {path.name}, or give a bigWig")


def model_inputs(specs: Sequence[SignalSpec]) -> dict[str, tuple[Any, ...]]:
    """Return the model's settings that [[signals]] decides: the signals' names and their priors, in order."""
    return {
        "signals": tuple(spec.name for spec in specs),
        "prior_b": tuple(spec.prior.b for spec in specs),
        "prior_w": tuple(spec.prior.w for spec in specs),
    }


class Peaks(Section):
    """Table [peaks]: a narrowPeak file, or the data from which peaks are called."""

    name: Name = "MACS3"
    narrowpeak: FilePath | None = None
    reads: list[FilePath] = []
    control: list[FilePath] = []
    signal: str | None = None
    options: list[str] = []  # words passed on to macs3

    @model_validator(mode="after")
    def _one_source(self) -> Peaks:
        given = [key for key in ("narrowpeak", "reads", "signal") if getattr(self, key)]
        if len(given) != 1:
            raise ValueError(f"exactly one of narrowpeak, reads, signal; not {' and '.join(given) or 'none'}")
        if self.control and not self.reads:
            raise ValueError("reads with control")
        _refuse_remote_reads([*self.reads, *self.control])
        return self


class Truth(Section):
    """Table [truth]: the elements that a simulation planted."""

    causal: FilePath
    decoys: FilePath | None = None
    closed: FilePath | None = None
