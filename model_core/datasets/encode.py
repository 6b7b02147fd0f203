"""ENCODE's portal: the record of a file, and its search interface, by the fields that are documented publicly.

Nothing of an answer is trusted: its fields are checked against a declaration, texts are printable and short, and every
address is made here from an accession of the known form, never taken from the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, Field

from model_core.errors import InputError
from model_core.records import Count, Record, check, parse_json
from model_core.remote.address import RemotePath
from model_core.remote.download import read_small
from model_core.remote.session import RefusedError, UnreachableError, offline
from model_core.remote.traffic import human

PORTAL = "https://www.encodeproject.org"
ASSEMBLY = "GRCh38"
MOST_FOUND = 500  # files of one search; of more, the message asks for a narrower one
MOST_PASSED = 200  # bytes of a text in an answer
ENDINGS = {"bigWig": "bigWig", "hic": "hic", "bed": "bed.gz", "tsv": "tsv"}
ACCESSION = r"^ENCFF[0-9]{3}[A-Z]{3}$"
FIELDS = (
    "accession",
    "file_format",
    "file_format_type",
    "output_type",
    "assembly",
    "status",
    "assay_title",
    "dataset",
    "target.label",
    "biosample_ontology.term_name",
    "biosample_ontology.classification",
    "simple_biosample_summary",
    "preferred_default",
    "biological_replicates",
    "date_created",
    "md5sum",
    "file_size",
)
_FIX = "try again later, or look at the address in a browser"
_PERTURBED = re.compile(
    r"\b(treated|transfected|expressing|modified|CRISPR|knock|interference|depleted)", re.IGNORECASE
)


class UnansweredError(InputError):
    """ENCODE cannot be asked: no connection, or an answer that is none of its own."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a text without tabs, line ends and other characters that cannot be printed")
    return text


_Text = Annotated[str, Field(max_length=MOST_PASSED), AfterValidator(_printable)]


class _Labelled(Record):
    label: _Text | None = None
    term_name: _Text | None = None
    classification: _Text | None = None


class FileRecord(Record):
    """Declared fields of a file on ENCODE, as its record and the search interface give it."""

    accession: Annotated[str, Field(pattern=ACCESSION)]
    file_format: _Text
    file_format_type: _Text | None = None
    output_type: _Text
    assembly: _Text | None = None
    status: _Text
    assay_title: _Text | None = None
    dataset: Annotated[str, Field(pattern=r"^/[a-z-]{1,40}/ENCSR[0-9]{3}[A-Z]{3}/$")] | None = None
    target: _Labelled | _Text | None = None
    biosample_ontology: _Labelled | _Text | None = None
    simple_biosample_summary: _Text | None = None
    preferred_default: bool | None = None
    biological_replicates: Annotated[list[Count], Field(max_length=1_000)] | None = None
    date_created: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[0-9T:.+-]{0,40}$")] | None = None
    md5sum: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    file_size: Count | None = None


class _Search(Record):
    graph: Annotated[list[FileRecord], Field(alias="@graph", max_length=MOST_FOUND)]
    total: Count | None = None


@dataclass(frozen=True)
class EncodeFile:
    """A file on ENCODE.

    Attributes
    ----------
    accession : str
        "ENCFF" and six characters.
    file_format, output_type, assay, status, biosample, classification, summary : str
        As ENCODE writes them; "" where not stated. `summary` tells treatments and modifications.
    experiment : str
        Accession of its experiment, "" where not stated; `dataset` its path on the portal.
    preferred : bool
        Whether it is the experiment's default file.
    replicates : int
        Number of biological replicates.
    created : str
        Date, "2024-05-31"; "" where not stated.
    md5 : str or None
        32 hexadecimal digits.
    size : int or None
        Bytes.
    """

    accession: str
    file_format: str
    output_type: str
    assay: str = ""
    status: str = "released"
    dataset: str = ""
    biosample: str = ""
    classification: str = ""
    summary: str = ""
    preferred: bool = False
    replicates: int = 0
    created: str = ""
    md5: str | None = None
    size: int | None = None

    @property
    def experiment(self) -> str:
        """Accession of the experiment."""
        return self.dataset.strip("/").rpartition("/")[2]

    @property
    def url(self) -> str:
        """Address of its content."""
        return file_url(self.accession, self.file_format)

    @property
    def perturbed(self) -> bool:
        """Whether the cells were treated or modified, as far as ENCODE's summary tells."""
        return bool(_PERTURBED.search(self.summary))

    def words(self) -> str:
        """Return it in one line: assay, content, experiment, replicates, date, size."""
        replicates = f"{self.replicates} replicate{'s' if self.replicates != 1 else ''}" if self.replicates else ""
        size = "" if self.size is None else human(self.size)
        parts = (self.assay, self.output_type, self.summary, self.experiment, replicates, self.created, size)
        return ", ".join(part for part in parts if part)


def file_url(accession: str, file_format: str) -> str:
    """Return the address of a file's content.

    Raises
    ------
    InputError
        No accession of a file, or a format that no study reads.
    """
    require_accession(accession)
    if file_format not in ENDINGS:
        expected = f"a file of format {', '.join(ENDINGS)}"
        raise InputError(accession, found=f"format {file_format!r}", expected=expected, fix="choose another file")
    return f"{PORTAL}/files/{accession}/@@download/{accession}.{ENDINGS[file_format]}"


def require_accession(text: str) -> str:
    """Return an accession of a file.

    Raises
    ------
    InputError
        It has not the form of one.
    """
    if not re.fullmatch(ACCESSION.strip("^$"), text):
        expected = "the accession of a file on ENCODE, as ENCFF414OGC"
        raise InputError("accession", found=repr(text[:60]), expected=expected, fix="copy it from the portal")
    return text


def file_record(accession: str) -> EncodeFile:
    """Return what ENCODE states about a file.

    Raises
    ------
    UnansweredError
        ENCODE cannot be asked.
    InputError
        No such file, or a record with missing or wrong fields.
    """
    url = f"{PORTAL}/files/{require_accession(accession)}/?format=json"
    answer = _asked(url)
    if answer is None:
        raise InputError(url, found="no such file on ENCODE", expected="the accession of a file", fix="correct it")
    check(answer, FileRecord, url, _FIX)
    if answer["accession"] != accession:
        found = f"the record of {answer['accession']}"
        raise InputError(url, found=found, expected=f"the record of {accession}", fix=_FIX)
    return _file(answer)


def search_files(terms: Mapping[str, str | Sequence[str]]) -> list[EncodeFile]:
    """Return the released GRCh38 files with certain properties.

    Parameters
    ----------
    terms : Mapping[str, str or Sequence[str]]
        Value of each field; several values mean any of them. Fields are those of FIELDS.

    Returns
    -------
    list[EncodeFile]
        In the order of the answer; empty where ENCODE has none.

    Raises
    ------
    UnansweredError
        ENCODE cannot be asked.
    InputError
        An answer with missing or wrong fields, or more than MOST_FOUND files.
    """
    asked: list[tuple[str, str]] = [("type", "File"), ("status", "released"), ("assembly", ASSEMBLY)]
    for name, values in terms.items():
        asked += [(name, value) for value in ([values] if isinstance(values, str) else values)]
    asked += [("field", name) for name in FIELDS]
    asked += [("limit", str(MOST_FOUND)), ("format", "json")]
    url = f"{PORTAL}/search/?{urlencode(asked)}"
    answer = _asked(url)
    if answer is None:
        return []
    where = f"{PORTAL}/search/ ({', '.join(f'{name} {value}' for name, value in terms.items())})"
    check(answer, _Search, where, _FIX)
    if answer.get("total", 0) > len(answer["@graph"]) >= MOST_FOUND:
        found, expected = f"{answer['total']:,} files", f"at most {MOST_FOUND}"
        raise InputError(where, found=found, expected=expected, fix="choose the files by hand")
    files = [_file(record) for record in answer["@graph"]]
    wrong = [file.accession for file in files if file.status != "released"]
    wrong += [record["accession"] for record in answer["@graph"] if record.get("assembly", ASSEMBLY) != ASSEMBLY]
    if wrong:
        found = f"files that were not asked for ({wrong[0]})"
        raise InputError(where, found=found, expected=f"released files of {ASSEMBLY}", fix=_FIX)
    return files


def _asked(url: str) -> dict[str, Any] | None:
    """Return the JSON object at an address of the portal; None where it answers that there is nothing."""
    if offline():
        raise _unanswered(url, "SEQ2EXP_OFFLINE is set, so no connection is made", "unset it")
    try:
        text = read_small(RemotePath(url).url)
    except UnreachableError as error:
        raise _unanswered(url, f"no connection ({error})", "connect to the internet and try again") from None
    except RefusedError as error:
        if error.status == 404:  # also the answer to a search that finds nothing
            return None
        raise _unanswered(url, str(error), _FIX) from None
    try:
        answer = parse_json(text.encode())
    except ValueError:
        page = "an HTML page, as a network's login page" if text.lstrip()[:1] == "<" else "no JSON"
        raise _unanswered(url, page, "open the address in a browser, and log in to the network") from None
    if not isinstance(answer, dict):
        raise _unanswered(url, "JSON that is no object", _FIX)
    return answer


def _unanswered(url: str, found: str, fix: str) -> UnansweredError:
    return UnansweredError(url.partition("?")[0], found=found, expected="an answer of ENCODE in JSON", fix=fix)


def _file(record: Mapping[str, Any]) -> EncodeFile:
    """Return a checked record as a file."""
    ontology = record.get("biosample_ontology")
    ontology = ontology if isinstance(ontology, dict) else {}
    return EncodeFile(
        accession=record["accession"],
        file_format=record["file_format"],
        output_type=record["output_type"],
        assay=record.get("assay_title") or "",
        status=record["status"],
        dataset=record.get("dataset") or "",
        biosample=ontology.get("term_name") or "",
        classification=ontology.get("classification") or "",
        summary=record.get("simple_biosample_summary") or "",
        preferred=bool(record.get("preferred_default")),
        replicates=len(set(record.get("biological_replicates") or [])),
        created=(record.get("date_created") or "")[:10],
        md5=record.get("md5sum"),
        size=record.get("file_size"),
    )
