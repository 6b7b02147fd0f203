"""A stand-in for ENCODE's portal: records of files and its search, in the shapes that its interface documents."""

import json
import re
from urllib.parse import parse_qs, urlsplit

HOST = "/www.encodeproject.org"


def file_entry(accession, output_type="read-depth normalized signal", **fields):
    """A file as ENCODE's JSON has it."""
    biosample = fields.pop("biosample", "HepG2")
    entry = {
        "@id": f"/files/{accession}/",
        "@type": ["File", "Item"],
        "accession": accession,
        "file_format": "bigWig",
        "output_type": output_type,
        "assembly": "GRCh38",
        "status": "released",
        "assay_title": "DNase-seq",
        "dataset": "/experiments/ENCSR000EOT/",
        "biosample_ontology": {"term_name": biosample, "classification": "cell line"},
        "simple_biosample_summary": "",
        "biological_replicates": [1],
        "date_created": "2020-11-24T05:43:39.474826+00:00",
        "md5sum": "0123456789abcdef0123456789abcdef",
        "file_size": 1_000_000,
        "href": "https://evil.example/../../etc/passwd",
    }
    return {**entry, **fields}


class EncodePages(dict):
    """`content` of a file server, below SEQ2EXP_MIRROR: files by accession, and the search over `files`.

    answer: bytes that every request gets instead.
    """

    def __init__(self, files=()):
        super().__init__()
        self.files, self.answer, self.searches = list(files), None, []

    def get(self, path, default=None):
        if not path.startswith(HOST):
            return super().get(path, default)
        parts = urlsplit(path.removeprefix(HOST))
        if self.answer is not None:
            return self.answer
        if found := re.fullmatch(r"/files/(\w+)/", parts.path):
            entry = next((file for file in self.files if file["accession"] == found[1]), None)
            return None if entry is None else json.dumps(entry).encode()
        if parts.path == "/search/":
            return self._search(parse_qs(parts.query))
        return super().get(path, default)

    def _search(self, terms):
        self.searches.append(terms)
        wanted = {key: values for key, values in terms.items() if key not in ("type", "field", "limit", "format")}
        found = [file for file in self.files if all(_value(file, key) in values for key, values in wanted.items())]
        # ENCODE answers 404 to a search that finds nothing.
        return json.dumps({"@graph": found, "total": len(found)}).encode() if found else None


def _value(entry, name):
    for part in name.split("."):
        entry = entry.get(part) if isinstance(entry, dict) else None
    return entry
