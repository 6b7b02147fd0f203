"""Studies of public addresses that need no login: nothing is downloaded when they are written.

The paper's cell types have their files by accession; of any other, ENCODE's search interface is asked
(`encode_choice`). What was chosen, and why, is written into study.toml and, for programs, into sources.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from model_core.datasets.airs_study import new_study_path
from model_core.datasets.encode import EncodeFile, UnansweredError, file_record, file_url
from model_core.datasets.encode_choice import ATAC, DNASE, H3K27AC, HIC, PEAKS, Choice, find
from model_core.datasets.presets import BLACKLIST, GENCODE, GTF, PRESETS, UCSC, Preset, preset_named
from model_core.errors import InputError
from model_core.files import write_json, write_text
from model_core.remote.address import RemotePath
from model_core.signals.power_law_contact import NOTE, POWER_LAW
from model_core.tsv import table_text

if TYPE_CHECKING:
    import pandas as pd

SOURCES, TABLE = "sources.json", "genes.tsv"
SEQUENCE = f"{UCSC}/hg38.2bit"
ANNOTATION = f"{GENCODE}/{GTF}"
NAMED = "named by the preset"
Tell = Callable[[str], object]


_LABELLED = """\
[genes]
table = "genes.tsv"
{comment}
label = "TPM"
label_transform = "log10p1"
"""
_UNLABELLED = """\
# Scoring needs no expression: genes come from the annotation. For training, write the study with --expression ACCESSION
# (a gene quantification of ENCODE), or put a table at genes.tsv, tab-separated, one line per gene: gene_id, symbol,
# chrom, tss (0-based), strand, CAGE; then take away the "# " of the three lines below.
[genes]
# table = "genes.tsv"
# label = "CAGE"
# label_transform = "log10p1"
"""


@dataclass(frozen=True)
class PublicFile:
    """A file of a study and where it is from; an entry of sources.json.

    Attributes
    ----------
    use : str
        What the study takes it for.
    url : str
        Address.
    about : str
        One line on its content.
    accession, md5 : str or None
        Of ENCODE, where known.
    size : int or None
        Bytes, where known.
    why : str
        Why this one.
    passed_over : tuple[tuple[str, str], ...]
        Accession of each other file, and why it was not taken.
    """

    use: str
    url: str
    about: str
    accession: str | None = None
    md5: str | None = None
    size: int | None = None
    why: str = NAMED
    passed_over: tuple[tuple[str, str], ...] = ()

    def comment(self) -> str:
        """Return the line above its path in study.toml."""
        parts = [self.about, f"md5 {self.md5}" if self.md5 else "", self.why]
        return f"# {'; '.join(part for part in parts if part)}"


@dataclass(frozen=True)
class PublicInputs:
    """The files of a study, and what has to be said of them.

    Attributes
    ----------
    name, cell_type : str
        Of the study.
    h3k27ac, dnase : PublicFile
        Signals.
    hic, peaks : PublicFile or None
        None: the power law; no peaks.
    others : tuple[PublicFile, ...]
        Sequence, annotation and blacklist.
    limits : tuple[str, ...]
        Sentences for the study's `limits`.
    """

    name: str
    cell_type: str
    h3k27ac: PublicFile
    dnase: PublicFile
    hic: PublicFile | None
    peaks: PublicFile | None
    others: tuple[PublicFile, ...]
    limits: tuple[str, ...]

    @property
    def files(self) -> list[PublicFile]:
        """All files, in the order of study.toml."""
        chosen = (*self.others, self.h3k27ac, self.dnase, self.hic, self.peaks)
        return [file for file in chosen if file is not None]


def public_addresses(name: str) -> dict[str, RemotePath]:
    """Return the addresses that the study of a preset names, by their place in it; nothing is asked.

    Peaks, and Hi-C of H1, are found by asking ENCODE, and are not among them.

    Raises
    ------
    InputError
        There is no such preset.
    """
    preset = preset_named(name)
    named = {
        "genome.fasta": SEQUENCE,
        "genome.annotation": ANNOTATION,
        "genome.blacklist": file_url(BLACKLIST, "bed"),
        "signals.H3K27ac": file_url(preset.h3k27ac, "bigWig"),
        "signals.DNase": file_url(preset.dnase, "bigWig"),
        **({"signals.Hi-C": file_url(preset.hic, "hic")} if preset.hic else {}),
    }
    return {place: RemotePath(address) for place, address in named.items()}


def study_of_cell(cell_type: str, folder: str | Path, tell: Tell = print, whole: bool = False) -> Path:
    """Write the study of a cell type: its preset where there is one, else of what ENCODE has.

    Parameters, returned path and errors are those of `study_from_preset` and `study_from_encode`.
    """
    for name, preset in PRESETS.items():
        if preset.cell_type.lower() == cell_type.lower():
            return study_from_preset(name, folder, tell, whole=whole)
    return study_from_encode(cell_type, folder, tell)


def study_from_preset(
    name: str, folder: str | Path, tell: Tell = print, expression: str | None = None, whole: bool = False
) -> Path:
    """Write the study.toml of a preset, of public addresses; nothing is downloaded.

    ENCODE is asked for checksums and for the peaks of the DNase experiment. Where it cannot be asked, the study is
    written without them, and `tell` says so.

    Parameters
    ----------
    name : str
        A key of PRESETS.
    folder : str or Path
        The study's folder (created where missing), or the path of its .toml.
    tell : Callable[[str], object]
        Receives lines of text: what was chosen, and what these files cannot show.
    expression : str or None
        Accession of a gene quantification on ENCODE (tsv of RNA-seq or CAGE), whose TPM become the labels for training;
        it and the annotation are fetched whole.
    whole : bool
        Refuse to write a study without what ENCODE has to be asked for.

    Returns
    -------
    Path
        The study.toml; sources.json is next to it.

    Raises
    ------
    UnansweredError
        ENCODE cannot be asked, and the study is to be `whole`.
    InputError
        No such preset, or a study in `folder` already.
    """
    preset = preset_named(name)
    path = new_study_path(folder, (SOURCES, TABLE))
    return _write(path, _of_preset(name, preset, tell, whole), tell, expression)


def study_from_encode(biosample: str, folder: str | Path, tell: Tell = print, expression: str | None = None) -> Path:
    """Write the study of any cell type, of the files that ENCODE has; see `study_from_preset`.

    Raises
    ------
    UnansweredError
        ENCODE cannot be asked.
    InputError
        ENCODE has no H3K27ac, or neither DNase nor ATAC, of this name; or a study in `folder` already.
    """
    path = new_study_path(folder, (SOURCES, TABLE))
    return _write(path, _of_search(biosample), tell, expression)


def _of_preset(name: str, preset: Preset, tell: Tell, whole: bool) -> PublicInputs:
    answering = True

    def known(use: str, accession: str, ending: str) -> tuple[PublicFile, EncodeFile | None]:
        """Return a file by accession, with what ENCODE states of it; it is asked until it does not answer."""
        nonlocal answering
        file = PublicFile(use, file_url(accession, ending), f"ENCODE {accession}", accession)
        if not answering:
            return file, None
        try:
            record = file_record(accession)
        except UnansweredError as error:
            if whole:
                raise
            answering = False
            tell(f"ENCODE did not answer, so the study has no peaks and no checksums: {error}")
            return file, None
        except InputError as error:
            tell(f"ENCODE's record of {accession} was not used: {error}")
            return file, None
        if record.status != "released":
            tell(f"ENCODE lists {accession} ({use}) as {record.status}, no longer as released")
        return _described(file, record), record

    blacklist, _ = known("blacklist", BLACKLIST, "bed")
    h3k27ac, _ = known("H3K27ac", preset.h3k27ac, "bigWig")
    dnase, record = known("DNase", preset.dnase, "bigWig")
    hic = known("Hi-C", preset.hic, "hic")[0] if preset.hic else None
    peaks = None
    try:
        if hic is None and answering:
            hic = _public("Hi-C", find(HIC, biosample=preset.cell_type))
        if record is not None and record.dataset and answering:
            peaks = _public("peaks", find(PEAKS, dataset=record.dataset))
    except InputError as error:
        if whole and isinstance(error, UnansweredError):
            raise
        tell(f"ENCODE's search did not help: {error}")
    limits = [_hic_limit(hic), f"The paper's Hi-C is {preset.paper_hic} of 4DN (VC), which needs a login."]
    return _inputs(name, preset.cell_type, blacklist, (h3k27ac, dnase, hic, peaks), limits)


def _of_search(biosample: str) -> PublicInputs:
    h3k27ac, dnase = find(H3K27AC, biosample=biosample), find(DNASE, biosample=biosample)
    atac = find(ATAC, biosample=biosample) if dnase is None else None
    open_chromatin = dnase or atac
    if h3k27ac is None or open_chromatin is None:
        lacking = " and ".join(
            words
            for words, choice in (("H3K27ac (fold change)", h3k27ac), ("DNase or ATAC", open_chromatin))
            if choice is None
        )
        found = f"no released GRCh38 bigWig of {lacking}"
        expected = "a biosample's name exactly as ENCODE spells it, such as HepG2 or A549"
        fix = "look it up at https://www.encodeproject.org/search/?type=Experiment, or write a study with `init FOLDER`"
        raise InputError(f"ENCODE, biosample {biosample!r}", found=found, expected=expected, fix=fix)
    hic = _public("Hi-C", find(HIC, biosample=biosample))
    peaks = None
    if open_chromatin.file.dataset:
        peaks = _public("peaks", find(PEAKS, dataset=open_chromatin.file.dataset))
    limits = [_hic_limit(hic)]
    chosen = (("H3K27ac", h3k27ac), ("DNase", open_chromatin))
    limits += [
        f"The cells of {use} ({choice.file.accession}) were treated or modified: {choice.file.summary}."
        for use, choice in chosen
        if choice.file.perturbed
    ]
    if dnase is None:
        limits.append("ATAC-seq (fold change) stands in place of DNase, whose unit and prior it does not have.")
    if any(choice.file.classification not in ("", "cell line") for _, choice in chosen):
        limits.append("The experiments may be of different donors.")
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", biosample).strip("-.+_")[:70] or "encode"
    signals = [_public(use, choice) for use, choice in chosen]
    assert signals[0] is not None
    assert signals[1] is not None
    blacklist = PublicFile("blacklist", file_url(BLACKLIST, "bed"), f"ENCODE {BLACKLIST}", BLACKLIST)
    return _inputs(f"{name}-hg38", biosample, blacklist, (signals[0], signals[1], hic, peaks), limits)


def _inputs(
    name: str,
    cell_type: str,
    blacklist: PublicFile,
    files: tuple[PublicFile, PublicFile, PublicFile | None, PublicFile | None],
    limits: Iterable[str],
) -> PublicInputs:
    others = (
        PublicFile("sequence", SEQUENCE, "hg38 of UCSC"),
        PublicFile("annotation", ANNOTATION, "GENCODE 47, basic; fetched once"),
        blacklist,
    )
    return PublicInputs(name, cell_type, *files, others, tuple(limits))


def _described(file: PublicFile, record: EncodeFile) -> PublicFile:
    about = f"ENCODE {record.accession}: {record.words()}"
    return replace(file, about=about, md5=record.md5, size=record.size)


def _public(use: str, choice: Choice | None) -> PublicFile | None:
    """Return a choice as a file of the study."""
    if choice is None:
        return None
    file = choice.file
    passed = tuple((other.accession, reason) for other, reason in choice.passed_over)
    plain = PublicFile(use, file.url, "", file.accession, why=f"chosen: {choice.why}", passed_over=passed)
    return _described(plain, file)


def _hic_limit(hic: PublicFile | None) -> str:
    if hic is None:
        return f"Hi-C: {NOTE}."  # as the study itself says it
    return (
        f"Hi-C is {hic.accession} of ENCODE with normalisation SCALE; the released models were trained on files of 4DN "
        f"with VC, whose contacts differ in scale."
    )


def _with_expression(inputs: PublicInputs, accession: str | None) -> tuple[PublicInputs, pd.DataFrame | None]:
    """Return the inputs with a file of expression, and the gene table with its labels."""
    if accession is None:
        return inputs, None
    from model_core.datasets.expression import expression_record, gene_expression
    from model_core.remote.whole_files import local_copy

    record = expression_record(accession)
    file = _described(PublicFile("expression", record.url, "", accession, why="named by --expression"), record)
    table = gene_expression(
        local_copy(RemotePath(record.url), "expression"), local_copy(RemotePath(ANNOTATION), "the annotation")
    )
    limit = f"Labels are TPM of {record.assay or 'an assay'} ({accession}), not the paper's CAGE."
    return replace(inputs, others=(*inputs.others, file), limits=(*inputs.limits, limit)), table


def _write(path: Path, inputs: PublicInputs, tell: Tell, expression: str | None) -> Path:
    """Write study.toml and sources.json, and tell what they hold."""
    inputs, table = _with_expression(inputs, expression)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = datetime.now(UTC).date().isoformat()
    write_json(
        path.parent / SOURCES,
        {"schema": 1, "name": inputs.name, "written": written, "files": [asdict(file) for file in inputs.files]},
    )
    if table is not None:
        write_text(path.parent / TABLE, table_text(table))
    write_text(path, _study_text(inputs, table is not None))
    for file in inputs.files:
        tell(f"{file.use}: {file.url}")
        tell(f"  {file.comment().removeprefix('# ')}")
        for accession, reason in file.passed_over[:3]:
            tell(f"  passed over {accession}: {reason}")
        if len(file.passed_over) > 3:
            tell(f"  passed over {len(file.passed_over) - 3} more ({SOURCES})")
    for sentence in inputs.limits:
        tell(f"note: {sentence}")
    return path


def _study_text(inputs: PublicInputs, labelled: bool) -> str:
    sequence, annotation, blacklist, *expression = inputs.others
    genes = _LABELLED.format(comment=expression[0].comment()) if labelled else _UNLABELLED
    limits = "".join(f"    {json.dumps(sentence)},\n" for sentence in inputs.limits)
    signals = "".join(
        f"""
[[signals]]
name = "{name}"
{file.comment()}
path = "{file.url}"
prior = {{ b = {b}, w = 0.4 }}
"""
        for name, file, b in (("H3K27ac", inputs.h3k27ac, 1.5), ("DNase", inputs.dnase, 0.2))
    )
    if inputs.hic is None:
        comment, place, settings = "# the power law of distance: no Hi-C file", str(POWER_LAW), ""
    else:
        comment, place = inputs.hic.comment(), inputs.hic.url
        settings = 'resolution = 5000\nnormalisation = "SCALE"\n'
    if inputs.peaks is None:
        peaks = (
            '# No peaks: ENCODE did not answer, or has none. Name a narrowPeak file here, without the "# ":\n'
            "# [peaks]\n"
            '# name = "ENCODE"\n'
            '# narrowpeak = "https://www.encodeproject.org/files/ACCESSION/@@download/ACCESSION.bed.gz"\n'
        )
    else:
        peaks = f'[peaks]\nname = "ENCODE"\n{inputs.peaks.comment()}\nnarrowpeak = "{inputs.peaks.url}"\n'
    return f"""\
# {json.dumps(inputs.cell_type)} on hg38, of public addresses that need no login. Nothing is downloaded whole but the
# annotation. {SOURCES} has accessions, checksums and what was passed over.
schema = 1
name = "{inputs.name}"
assembly = "hg38"
cell_type = {json.dumps(inputs.cell_type, ensure_ascii=False)}
limits = [
{limits}]

[genome]
fasta = "{sequence.url}"
annotation = "{annotation.url}"
blacklist = "{blacklist.url}"

{genes}
[genes.split]
test = ["chr22", "chrX"]               # as in the paper's fold_11
# validation = ["chr21"]               # for training
{signals}
[[signals]]
name = "Hi-C"
{comment}
path = "{place}"
prior = {{ b = 1.0, w = 0.2 }}
{settings}
{peaks}
[model]
window = 200000
promoter = 2000
"""
