"""Studies of public files, ready to download: the paper's three cell types on hg38.

A preset writes a study.toml and a downloads.toml, which holds the address of each file; `fetch.fetch_study` reads it.
Checksums and sizes are not stored here: they are requested from the same portal when downloading.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model_core.datasets.airs_study import new_study_path
from model_core.errors import InputError
from model_core.files import write_text

DOWNLOADS = "downloads.toml"
GENCODE = "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human/release_47"
GTF = "gencode.v47.basic.annotation.gtf.gz"
BLACKLIST = "ENCFF356LFX"
UCSC = "https://hgdownload.soe.ucsc.edu/goldenPath/hg38/bigZips"
ENCODE = "https://www.encodeproject.org/files"
FOUR_DN = "https://data.4dnucleome.org/files-processed"


@dataclass(frozen=True)
class Source:
    """Source of a study's file: one [[file]] of downloads.toml.

    Attributes
    ----------
    path : str
        Path below the study's folder.
    url : str
        http or https address.
    about : str
        Description of the file.
    listing : str or None
        Address of the size or MD5: an ENCODE or 4DN record as JSON, or a list of MD5 sums as text.
    checksum : str or None
        "md5:..." or "sha256:..." where it is known in advance.
    unpack : bool
        Whether the download is gzipped and the study's file is not.
    login : str or None
        Instructions where the portal requires a login.
    """

    path: str
    url: str
    about: str
    listing: str | None = None
    checksum: str | None = None
    unpack: bool = False
    login: str | None = None


@dataclass(frozen=True)
class Preset:
    """Public files of a cell type: accessions on ENCODE, of which H1 has no Hi-C, and `paper_hic` on 4DN (a login)."""

    cell_type: str
    h3k27ac: str
    dnase: str
    hic: str | None
    paper_hic: str


PRESETS = {
    "k562-hg38": Preset("K562", "ENCFF465GBD", "ENCFF414OGC", "ENCFF621AIY", "4DNFITUOMFUQ"),
    "gm12878-hg38": Preset("GM12878", "ENCFF798KYP", "ENCFF960FMM", "ENCFF318GOM", "4DNFI1UEG1HD"),
    "h1-hg38": Preset("H1", "ENCFF771GNB", "ENCFF232GUZ", None, "4DNFIFI6NIKJ"),
}
_LOGIN = (
    "4DN requires a login, and anyone may register: log in at data.4dnucleome.org, create an access key in your "
    "profile, add the line `machine data.4dnucleome.org login KEY password SECRET` to ~/.netrc, and run "
    "`chmod 600 ~/.netrc`"
)


def preset_named(name: str) -> Preset:
    """Return a preset.

    Raises
    ------
    InputError
        There is none of this name.
    """
    if name not in PRESETS:
        expected = f"one of {', '.join(PRESETS)}"
        fix = "choose one, use `--preset encode --biosample NAME`, or write a study with `init FOLDER`"
        raise InputError("preset", found=repr(name), expected=expected, fix=fix)
    return PRESETS[name]


def sources(preset: Preset) -> list[Source]:
    """Return the public files of a preset, in the order of its study.toml."""
    return [
        Source("data/hg38.fa", f"{UCSC}/hg38.fa.gz", "hg38 of UCSC", f"{UCSC}/md5sum.txt", unpack=True),
        Source(f"data/{GTF}", f"{GENCODE}/{GTF}", "GENCODE 47, basic", f"{GENCODE}/MD5SUMS"),
        _encode(BLACKLIST, "bed.gz", "ENCODE blacklist (unified)"),
        _encode(preset.h3k27ac, "bigWig", f"{preset.cell_type} H3K27ac"),
        _encode(preset.dnase, "bigWig", f"{preset.cell_type} DNase"),
        Source(
            f"data/{preset.paper_hic}.hic",
            f"{FOUR_DN}/{preset.paper_hic}/download/{preset.paper_hic}.hic",
            f"{preset.cell_type} Hi-C",
            f"{FOUR_DN}/{preset.paper_hic}/?format=json",
            login=_LOGIN,
        ),
    ]


def study_to_download(name: str, folder: str | Path) -> Path:
    """Write study.toml and downloads.toml of a preset; nothing is downloaded.

    Parameters
    ----------
    name : str
        A key of PRESETS.
    folder : str or Path
        The study's folder (created where missing), or the path of its .toml.

    Returns
    -------
    Path
        Path of the study.toml; `load_study` accepts it once `fetch_study` has downloaded the files.

    Raises
    ------
    InputError
        No such preset, or a study in `folder` already.
    """
    preset = preset_named(name)
    path = new_study_path(folder, (DOWNLOADS,))
    files = sources(preset)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path.parent / DOWNLOADS, downloads_text(files))
    write_text(path, _study_text(name, preset, files))
    return path


def downloads_text(files: Iterable[Source]) -> str:
    """Return the text of a downloads.toml."""
    parts = [
        "# Sources of the files of this study; `seq2exp-viz fetch STUDY` reads it.\n"
        "# listing: address of the size or MD5; checksum: one known in advance (md5:... or sha256:...).\n"
    ]
    for file in files:
        lines = ["[[file]]"]
        for key, value in vars(file).items():
            if value is True or (value and isinstance(value, str)):
                lines.append(f"{key} = true" if value is True else f"{key} = {json.dumps(value)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _encode(accession: str, ending: str, about: str) -> Source:
    url = f"{ENCODE}/{accession}/download/{accession}.{ending}"
    return Source(f"data/{accession}.{ending}", url, about, f"{ENCODE}/{accession}/?format=json")


def _study_text(name: str, preset: Preset, files: list[Source]) -> str:
    fasta, annotation, blacklist, h3k27ac, dnase, hic = (file.path for file in files)
    column = f"{preset.cell_type}_CAGE_128*3_sum"
    label = (
        "# the CAGE bigWig of FANTOM5 (H1_CAGE_CNhs13964.bw in the authors' release), summed over TSS +/- 192 bp"
        if preset.cell_type == "H1"
        else f"# column {column} of the Xpresso table GM12878_K562_18377_gene_expr_fromXpresso.csv"
    )
    return f"""\
# {preset.cell_type} on hg38 from public files. `seq2exp-viz fetch` downloads them; {DOWNLOADS} has their addresses.
schema = 1
name = "{name}"
assembly = "hg38"
cell_type = "{preset.cell_type}"

[genome]
fasta = "{fasta}"
annotation = "{annotation}"
blacklist = "{blacklist}"

# EXPRESSION LABELS HAVE NO SINGLE PUBLIC FILE. Scoring needs none: genes come from the annotation, their features are
# computed. For training put a table at data/genes.tsv, tab-separated, one line per gene: gene_id, symbol, chrom, tss
# (0-based), strand, CAGE; then remove the "# " of the three lines below. The paper's labels are
{label};
# with the authors' release, `seq2exp-viz init --from-airs` makes a study with all of it.
[genes]
# table = "data/genes.tsv"
# label = "CAGE"
# label_transform = "log10p1"

[genes.split]
test = ["chr22", "chrX"]               # as in the paper's fold_11
# validation = ["chr21"]               # for training

[[signals]]
name = "H3K27ac"
path = "{h3k27ac}"
prior = {{ b = 1.5, w = 0.4 }}

[[signals]]
name = "DNase"
path = "{dnase}"
prior = {{ b = 0.2, w = 0.4 }}

[[signals]]
name = "Hi-C"                          # 4DN requires a login: {DOWNLOADS}
path = "{hic}"
prior = {{ b = 1.0, w = 0.2 }}
resolution = 5000
normalisation = "VC"

[model]
window = 200000
promoter = 2000
"""
