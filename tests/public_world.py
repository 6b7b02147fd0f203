"""A stand-in for ENCODE, UCSC, GENCODE and Hugging Face, with real data of chromosome 22 at the addresses of a preset.

    with serve_world(made) as world:      # made: what `make_world` returns
        world.environment()               # SEQ2EXP_MIRROR and HF_ENDPOINT
        world.faults[world.path("dnase")] = "cut"
        world.sent[world.path("dnase")]   # bytes; of ENCODE's files at the bucket that it redirects to

Each host is the first part of a path. ENCODE answers records and searches as JSON, and a download with a redirect to
a signed address of its bucket.
"""

import gzip
import hashlib
import json
import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import cooler
import numpy as np
import pysam
from hf_server import hub_headers, hub_listing
from hic_writer import Layout, write_hic
from range_server import RangeServer, serve_files
from two_bit_writer import write_two_bit

ENCODE, BUCKET = "/www.encodeproject.org", "/encode-public.s3.amazonaws.com"
MODELS, COMMIT = "xingyusu/GeneExp_Seq2Exp", "1" * 40
DNASE_EXPERIMENT = "/experiments/ENCSR000EOT/"
SIZE, RESOLUTION = 50_818_468, 5_000
LARGE = 50_000_000  # bytes
FAR = 300_000  # bp between two bins, beyond which the .hic of the tests has no contacts: a window has 200 kb


class EncodeEntry(NamedTuple):
    """A file of ENCODE: its use, accession, ending and the fields of its record."""

    use: str
    accession: str
    ending: str
    fields: dict[str, object]


FILES = {
    "sequence": "/hgdownload.soe.ucsc.edu/goldenPath/hg38/bigZips/hg38.2bit",
    "annotation": "/ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human/release_47/gencode.v47.basic.annotation.gtf.gz",
}
SIZES = "/hgdownload.soe.ucsc.edu/goldenPath/hg38/bigZips/hg38.chrom.sizes"
ENTRIES = (
    EncodeEntry("blacklist", "ENCFF356LFX", "bed.gz", {"file_format": "bed", "output_type": "exclusion list regions"}),
    EncodeEntry(
        "h3k27ac",
        "ENCFF465GBD",
        "bigWig",
        {
            "output_type": "fold change over control",
            "assay_title": "Histone ChIP-seq",
            "target": {"label": "H3K27ac"},
            "dataset": "/experiments/ENCSR000AKP/",
        },
    ),
    EncodeEntry("dnase", "ENCFF414OGC", "bigWig", {"output_type": "read-depth normalized signal"}),
    EncodeEntry(
        "hic",
        "ENCFF621AIY",
        "hic",
        {
            "output_type": "mapping quality thresholded contact matrix",
            "assay_title": "intact Hi-C",
            "dataset": "/experiments/ENCSR479XDG/",
        },
    ),
    EncodeEntry(
        "peaks",
        "ENCFF274YGF",
        "bed.gz",
        {"file_format": "bed", "file_format_type": "narrowPeak", "output_type": "peaks"},
    ),
)


def make_world(data, folder, checkpoint=None):
    """Write the public files of chromosome 22 and return them.

    Parameters
    ----------
    data : Path
        The shared data of K562.
    folder : Path
        For the files that are made; what is there is taken as it is.
    checkpoint : Path or None
        The soft model of K562, in the authors' format.

    Returns
    -------
    dict[str, Path]
        File by use: sequence, annotation, blacklist, h3k27ac, dnase, hic, peaks, and checkpoint where there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "sequence": _once(folder / "hg38.2bit", lambda path: _two_bit(path, data)),
        "annotation": data / "genes.chr22.gtf.gz",
        "blacklist": _once(folder / "blacklist.bed.gz", lambda path: _gzipped(path, data)),
        "h3k27ac": data / "K562.H3K27ac.elements.bigWig",
        "dnase": data / "K562.DNase.reconstructed.bigWig",
        "hic": _once(folder / "K562.hic", lambda path: _hic(path, data)),
        "peaks": data / "K562.DNase.macs2_p0.1.narrowPeak.gz",
    }
    return made if checkpoint is None else {**made, "checkpoint": checkpoint}


class World(RangeServer):
    """The public places. searches: the terms of each search at ENCODE."""

    def __init__(self, made, chrom_sizes=f"chr22\t{SIZE}\n"):
        content = {path: _stored(made[use]) for use, path in FILES.items()}
        content[SIZES] = chrom_sizes.encode()
        self.entries, self.redirects, self.searches = {}, {}, []
        self.files = {entry.use: entry for entry in ENTRIES}
        if made["hic"].suffix == ".mcool":
            self.files["hic"] = self.files["hic"]._replace(ending="mcool")
        for entry in self.files.values():
            content[_in_bucket(entry)] = _stored(made[entry.use])
            self.redirects[_download(entry)] = f"{_in_bucket(entry)}?X-Amz-Signature={entry.accession.lower()}"
            self.entries[entry.accession] = _record(entry, made[entry.use])
        self.model = "K562/soft_seed22.ckpt"
        if "checkpoint" in made:
            content[f"/{MODELS}/resolve/{COMMIT}/{self.model}"] = _stored(made["checkpoint"])
        super().__init__(content)

    def environment(self):
        """The variables with which a command asks this server."""
        return {"SEQ2EXP_MIRROR": self.url(""), "HF_ENDPOINT": self.url("")}

    def path(self, use):
        """Path of a file's content: the key of `faults`, `content` and `sent`."""
        if use in FILES:
            return FILES[use]
        if use == "checkpoint":
            return f"/{MODELS}/resolve/{COMMIT}/{self.model}"
        return _in_bucket(self.files[use])

    def address(self, use):
        """Public address of a file, as a study names it."""
        if use in FILES:
            return f"https:/{FILES[use]}"
        return f"https:/{_download(self.files[use])}"

    def found(self, target):
        """Content and further headers of a path with its query; a redirect is a Location, None is a 404."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        if path in self.redirects:
            return b"", {"Location": self.url(self.redirects[path])}
        if record := re.fullmatch(rf"{ENCODE}/files/(\w+)/", path):
            entry = self.entries.get(record[1])
            return (None if entry is None else json.dumps(entry).encode()), {}
        if path == f"{ENCODE}/search/":
            return self._search(parse_qs(parts.query)), {}
        if listed := re.fullmatch(rf"/api/models/{MODELS}(?:/(tree|revision)/(?:main|{COMMIT}).*)?", path):
            return json.dumps(self._listing(listed[1] == "tree")).encode(), {"X-Repo-Commit": COMMIT}
        path = path.replace(f"/{MODELS}/resolve/main/", f"/{MODELS}/resolve/{COMMIT}/")
        content, headers = super().found(path)
        if path.startswith(f"/{MODELS}/") and content is not None:
            headers = hub_headers(content, COMMIT)
        return content, headers

    def _search(self, terms):
        """ENCODE's answer; a search that finds nothing is a 404 there."""
        self.searches.append(terms)
        wanted = {name: terms[name] for name in terms.keys() - {"type", "field", "limit", "format"}}
        found = [
            entry
            for entry in self.entries.values()
            if all(_value(entry, name) in values for name, values in wanted.items())
        ]
        return json.dumps({"@graph": found, "total": len(found)}).encode() if found else None

    def _listing(self, tree):
        held = {
            path.removeprefix(f"/{MODELS}/resolve/{COMMIT}/"): content
            for path, content in self.content.items()
            if path.startswith(f"/{MODELS}/")
        }
        return hub_listing(MODELS, COMMIT, held, tree)


def serve_world(made, **settings):
    """A context manager: the World while its block runs."""
    return serve_files(World(made, **settings))


def _stored(path):
    """The content of a file, or where it is large the file itself."""
    return path if path.stat().st_size > LARGE else path.read_bytes()


def _download(entry):
    return f"{ENCODE}/files/{entry.accession}/@@download/{entry.accession}.{entry.ending}"


def _in_bucket(entry):
    return f"{BUCKET}/2020/11/24/{entry.accession.lower()}/{entry.accession}.{entry.ending}"


def _record(entry, path):
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    return {
        "@id": f"/files/{entry.accession}/",
        "@type": ["File", "Item"],
        "accession": entry.accession,
        "file_format": entry.ending.removesuffix(".gz"),
        "assembly": "GRCh38",
        "status": "released",
        "assay_title": "DNase-seq",
        "dataset": DNASE_EXPERIMENT,
        "biosample_ontology": {"term_name": "K562", "classification": "cell line"},
        "simple_biosample_summary": "",
        "biological_replicates": [1],
        "date_created": "2020-11-24T05:43:39.474826+00:00",
        "md5sum": md5,
        "file_size": path.stat().st_size,
        **entry.fields,
    }


def _value(entry, name):
    for part in name.split("."):
        entry = entry.get(part) if isinstance(entry, dict) else None
    return entry


def _once(path, write):
    if not path.exists():
        unfinished = path.with_name(f"unfinished-{path.name}")
        write(unfinished)
        unfinished.rename(path)
    return path


def _two_bit(path, data):
    with pysam.FastaFile(str(data / "hg38.chr22.partial.fa.gz")) as fasta:
        write_two_bit(path, {"chr22": fasta.fetch("chr22").encode()})


def _gzipped(path, data):
    path.write_bytes(gzip.compress((data / "hg38-blacklist.v2.chr22.bed").read_bytes(), mtime=0))


def _hic(path, data):
    """A .hic of the .mcool; its SCALE vector is the balancing of cooler, by which counts are divided."""
    contacts = cooler.Cooler(f"{data / 'K562.hic.chr22.mcool'}::/resolutions/{RESOLUTION}")
    pixels = contacts.pixels()[:]
    near = pixels[pixels["bin2_id"] - pixels["bin1_id"] <= FAR // RESOLUTION]
    with np.errstate(divide="ignore"):
        scale = 1 / contacts.bins()["weight"][:].to_numpy()
    matrix = tuple(near[name].to_numpy() for name in ("bin1_id", "bin2_id", "count"))
    write_hic(
        path,
        {"chr22": SIZE},
        {RESOLUTION: {"chr22": matrix}},
        {("SCALE", RESOLUTION): {"chr22": scale}},
        Layout(block_bins=500),
    )
