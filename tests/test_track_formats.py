"""Every format in every place that takes a track: read, with these values, or refused in exactly these words."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from track_files import TEXT, all_files
from viewer_run import make_study, make_viewer_run

from model_core.bed import read_narrowpeak
from model_core.errors import InputError
from model_core.evaluation.compare import peak_tables
from model_core.evaluation.crispr_pairs import read_pairs
from model_core.evaluation.planted_truth import Truth
from model_core.evaluation.rivals import read_rival
from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from model_core.study.peaks import call_peaks, peaks_of_study
from model_core.study.study import load_study
from model_core.track_formats import FORMATS, HEAD, format_of_head
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.reports.export import export
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.serving.allowed_files import AllowedFiles

FILES = all_files()
FOUND = {  # file -> what a message calls it
    **dict.fromkeys(("bed3.bed", "bed4.bed", "bed5.bed", "bed6.bed", "bed9.bed", "extra.bed"), "a BED file"),
    **dict.fromkeys(("lines.bed", "header.bed", "bgzipped.bed.gz", "bom.bed"), "a BED file"),
    "bed12.bed": "a BED12 file (blocks)",
    **dict.fromkeys(("narrow.narrowPeak", "gzipped.narrowPeak.gz"), "a narrowPeak file"),
    "broad.broadPeak": "a broadPeak file",
    "gapped.gappedPeak": "a gappedPeak file",
    **dict.fromkeys(("values.bedGraph", "declared.txt", "counts.txt"), "a bedGraph file (values)"),
    **dict.fromkeys(("fixed.wig", "variable.wig"), "a wig file (values)"),
    "pairs.bedpe": "a BEDPE file (pairs of places)",
    "arcs.interact": "an interact file (pairs of places)",
    "arcs.longrange": "a longrange file (pairs of places)",
    **dict.fromkeys(("variants.vcf", "headless.vcf", "gzipped.vcf.gz"), "a VCF file (variants)"),
    "genes.gtf": "a GTF file (gene annotation)",
    "genes.gff3": "a GFF3 file (gene annotation)",
    **dict.fromkeys(("genes.refFlat", "genes.genePred", "refGene.txt"), "a genePred or refFlat file (gene annotation)"),
    "reads.sam": "a SAM file (reads)",
    "genome.fa": "a FASTA file (sequence)",
    "reads.fastq": "a FASTQ file (reads)",
    "alignment.maf": "a MAF file (alignment or mutations)",
    "table.csv": "comma-separated text",
    "missing.bed": "an HTML or XML page",
    "lfs.bed": "a Git LFS pointer instead of the file",
    **dict.fromkeys(("comments.bed", "empty.bed"), "no row"),
    "words.bed": "text of an unknown format",
    **dict.fromkeys(
        ("genome.fa.fai", "index.tbi"), "an index (.tbi, .csi, .bai or .fai) instead of the file that it belongs to"
    ),
    "twice.bed.gz": "a file that was gzipped twice",
    **dict.fromkeys(("utf16.bed", "plain16.bed"), "UTF-16 text"),
    "signal.bw": "a bigWig file",
    "signal.bw.gz": "a gzipped binary file (such as bigWig, bigBed or .hic)",
    "rows.bigBed": "a bigBed file",
    "reads.bam": "a BAM file (reads)",
    "reads.cram": "a CRAM file (reads)",
    "contacts.hic": "a .hic file (contacts)",
    "contacts.mcool": "an HDF5 file (such as .mcool, .cool or .h5)",
    "table.xlsx": "an Excel workbook",
    "file.zip": "a zip archive",
    "genome.2bit": "a 2bit file (sequence)",
    "picture.bed": "a picture or PDF",
    "program.bed": "bytes that are not text",
}
BEDS = [name for name, found in FOUND.items() if found in ("a BED file", "a BED12 file (blocks)")]
CALLED = ["narrow.narrowPeak", "gzipped.narrowPeak.gz", "broad.broadPeak", "gapped.gappedPeak"]
EMPTY = ["comments.bed", "empty.bed"]
TEXT_ADVICE = {
    **dict.fromkeys(("table.csv", "table.xlsx"), "save it as tab-separated text"),
    **dict.fromkeys(("utf16.bed", "plain16.bed"), "save it as UTF-8"),
    **dict.fromkeys(("file.zip", "twice.bed.gz", "signal.bw.gz"), "unpack it"),
    **dict.fromkeys(("missing.bed", "lfs.bed"), "download the file itself again"),
    **dict.fromkeys(("genome.fa.fai", "index.tbi"), "give the file itself"),
}
VALUES = ("values.bedGraph", "declared.txt", "counts.txt", "fixed.wig", "variable.wig")
PAIRS = ("pairs.bedpe", "arcs.interact", "arcs.longrange")
ALIGNED = ("reads.sam", "reads.bam", "reads.cram")

BED = "a BED file: chrom, start, end and further columns"
BED_ADVICE = {
    **TEXT_ADVICE,
    **dict.fromkeys(VALUES, "it holds values: give the intervals as BED"),
    **dict.fromkeys(PAIRS, "it holds pairs: give the intervals as BED"),
    **dict.fromkeys(
        ("variants.vcf", "headless.vcf", "gzipped.vcf.gz"),
        r"convert it with bcftools query -f '%CHROM\t%POS0\t%END\t%ID\n'",
    ),
    **dict.fromkeys(("genes.gtf", "genes.gff3"), "convert it (columns 1, 4 less 1, and 5), for instance with gff2bed"),
    **dict.fromkeys(("genes.refFlat", "genes.genePred", "refGene.txt"), "convert it with genePredToBed"),
    **dict.fromkeys(ALIGNED, "convert it with bedtools bamtobed, or call peaks on it"),
    "signal.bw": "call peaks on it, or give the intervals as BED",
}
PEAKS = "called peaks: narrowPeak (10 columns), broadPeak (9) or gappedPeak (15)"
PEAK_ADVICE = {
    **TEXT_ADVICE,
    **dict.fromkeys(ALIGNED, "give a BAM under [peaks] reads to call peaks on it"),
    "signal.bw": "give it under [[signals]], and its name as [peaks] signal, to call peaks on it",
}
SIGNAL_ADVICE = {
    **TEXT_ADVICE,
    **dict.fromkeys(VALUES[:3], "convert it with bedGraphToBigWig"),
    **dict.fromkeys(VALUES[3:], "convert it with wigToBigWig"),
    **dict.fromkeys((*BEDS, *CALLED, "rows.bigBed"), "give the signal track that it was made from"),
    **dict.fromkeys(("reads.sam", "reads.cram"), "convert it to BAM with `samtools view -b`"),
    "reads.bam": "rename it to end in .bam",
    "signal.bw": "rename it to end in .bw",
    "contacts.hic": "rename it to end in .hic",
    "contacts.mcool": "rename it to end in .mcool or .cool",
}
OWN = (
    "BED, narrowPeak, broadPeak, gappedPeak, bedGraph, wig, BEDPE, interact, GTF, GFF, genePred, VCF, bigWig or bigBed"
)
OWN_ADVICE = {
    **TEXT_ADVICE,
    **dict.fromkeys(ALIGNED, "convert its coverage to a bigWig, for instance with bamCoverage"),
    **dict.fromkeys(
        ("contacts.hic", "contacts.mcool"),
        "add it to [[signals]] of a study, which shows its contact with each start site",
    ),
    **dict.fromkeys(("genome.fa", "genome.2bit"), "use it as the genome of a study"),
}
ONE = {"chr": "chr1", "start": 100, "end": 200, "name": "one"}
FULL = {**ONE, "score": 900, "strand": "+"}
MEASURED = {"signal_value": 9.5, "minus_log10_p": 8.5, "minus_log10_q": 7.5}
BLOCKS = {
    "exons": [{"start": 100, "end": 200, "cdStart": 150}, {"start": 300, "end": 500, "cdEnd": 450}],
    "cdStart": 150,
    "cdEnd": 450,
}
UNCODED = {
    "exons": [{"start": a, "end": b, "utr": True} for a, b in ((100, 200), (300, 500))],
    "cdStart": 0,
    "cdEnd": 0,
}
VARIANT = {"chr": "chr1", "start": 100, "end": 103, "name": "rs1", "ref": "ACG", "alt": "A"}
ARC = {"chr1": "chr1", "start1": 100, "end1": 200, "chr2": "chr1", "start2": 800, "end2": 900}
ARC |= {"chr": "chr1", "start": 100, "end": 900}


def values(*rows: tuple[int, int, float]) -> list[dict]:
    return [{"chr": "chr1", "start": start, "end": end, "value": value} for start, end, value in rows]


def transcript(name: str, **more: object) -> list[dict]:
    return [{"chr": "chr1", "start": 100, "end": 500, "name": name, "strand": "+", **more}]


DRAWN = {  # file dropped on the page -> the track of igv.js, its features
    "bed3.bed": ("annotation", [{"chr": "chr1", "start": a, "end": b} for a, b in ((100, 200), (300, 400))]),
    **dict.fromkeys(("bed4.bed", "lines.bed", "header.bed", "bgzipped.bed.gz", "bom.bed"), ("annotation", [ONE])),
    "bed5.bed": ("annotation", [{**ONE, "score": 900}]),
    **dict.fromkeys(("bed6.bed", "bed9.bed", "extra.bed"), ("annotation", [FULL])),
    "bed12.bed": ("annotation", [{**FULL, "end": 500, **BLOCKS}]),
    **dict.fromkeys(CALLED[:3], ("annotation", [{**ONE, "score": 900, **MEASURED}])),
    "gapped.gappedPeak": ("annotation", [{**FULL, "end": 500, **MEASURED, **BLOCKS}]),
    "values.bedGraph": ("wig", values((100, 200, 1.5), (200, 300, 4))),
    "declared.txt": ("wig", values((100, 200, 1), (300, 400, 2))),
    "counts.txt": ("wig", values((100, 200, 3), (200, 300, 7))),
    "fixed.wig": ("wig", values((100, 150, 1.5), (200, 250, 4))),
    "variable.wig": ("wig", values((100, 150, 1.5), (300, 350, 4))),
    "pairs.bedpe": ("interact", [{**ARC, "name": "loop", "score": 5}]),
    "arcs.interact": ("interact", [{**ARC, "name": "loop", "score": 5, "value": 2.5}]),
    "arcs.longrange": ("interact", [{**ARC, "score": 2.5, "value": 2.5}]),
    **dict.fromkeys(
        ("variants.vcf", "headless.vcf", "gzipped.vcf.gz"),
        ("annotation", [{**VARIANT, "quality": "50", "filter": "PASS"}]),
    ),
    "genes.gtf": ("annotation", transcript("CYCD0;1", type="transcript", id="T1", **UNCODED)),
    "genes.gff3": ("annotation", transcript("One;Two", type="mRNA", id="T1", **UNCODED)),
    **dict.fromkeys(("genes.refFlat", "refGene.txt"), ("annotation", transcript("SYM", **BLOCKS))),
    "genes.genePred": ("annotation", transcript("T1", **BLOCKS)),
}


def refused(name: str, expected: str, advice: dict[str, str], otherwise: str = "check the path") -> str:
    return f"{name}: found {FOUND[name]}; expected {expected}; {advice.get(name, otherwise)}"


def test_the_table_has_every_file():
    assert set(FOUND) == set(FILES)
    assert {FORMATS[format_of_head(content, name)] for name, content in FILES.items()} == set(FOUND.values())


@pytest.mark.parametrize("name", FILES)
def test_the_format_is_told_by_content(name):
    found = format_of_head(FILES[name], name)
    assert FORMATS[found] == FOUND[name]
    assert format_of_head(FILES[name], "no-name") == found


# ------------------------------------------------------------------------------------------------------ the places


class Bench:
    """A study, a run of it and a page, with one file after another put into each place."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.study = make_study(folder / "study")
        self.toml = self.study.read_text()
        self.run = make_viewer_run(folder / "run", self.study, name="own", genes=1)
        self.files = folder / "study" / "files"
        self.allowed = folder / "allowed"
        self.files.mkdir()
        self.allowed.mkdir()
        self.registry = RunRegistry([self.run], cache=folder / "cache")
        settings = Settings(igv="notebook", allowed=AllowedFiles([self.allowed]))
        self.client = create_app(self.registry, settings).server.test_client()

    def put(self, name: str, ending: str = "") -> Path:
        path = self.files / (f"named{ending}" if ending else name)
        path.write_bytes(FILES[name])
        return path

    def load(self, old: str, new: str, path: Path):
        self.study.write_text(self.toml.replace(old, new.format(f"files/{path.name}")))
        return load_study(self.study)

    def told(self, use, *arguments) -> object:
        """What `use` gives, or the one complaint that it makes, without our folders."""
        try:
            return use(*arguments)
        except InputError as problem:
            lines = [line.removeprefix("  - ") for line in str(problem).splitlines()]
            assert len(lines) == 1 or (lines[0] == "1 problem found:" and len(lines) == 2), lines
            return lines[-1].replace(f"{self.files}/", "").replace(f"{self.folder}/", "")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("places"))
    yield bench
    bench.registry.close()


@pytest.mark.parametrize("name", FILES)
def test_as_a_blacklist_and_as_planted_truth(bench, name):
    def blacklist(path: Path) -> list:
        old = 'annotation = "genes.gtf"'
        return spans(bench.load(old, old + '\nblacklist = "{}"', path).blacklist())

    def truth(path: Path) -> list:
        return spans(Truth.read(bench.load('causal = "causal.bed"', 'causal = "{}"', path).truth.causal).causal)

    path = bench.put(name)
    for use in (blacklist, truth):
        if name in (*BEDS, *CALLED, "rows.bigBed"):
            ends = {"bed3.bed": [200, 400], "bed12.bed": [500], "gapped.gappedPeak": [500]}.get(name, [200])
            assert bench.told(use, path) == [("chr1", end - 100 if len(ends) == 2 else 100, end) for end in ends]
        elif name in EMPTY:
            none = f"{name}: found no element; expected at least one element; give the file of planted elements"
            assert bench.told(use, path) == ([] if use is blacklist else none)
        elif name == "words.bed":
            words = "words.bed line 1: found 'are' as a position; expected a whole number from 0; correct the line"
            assert bench.told(use, path) == words
        else:
            assert bench.told(use, path) == refused(name, BED, BED_ADVICE)


def spans(table) -> list:
    return list(zip(table.chrom, table.start.tolist(), table.end.tolist(), strict=True))


@pytest.mark.parametrize("name", FILES)
def test_as_peaks_of_a_study_beside_a_run_and_in_a_run_that_is_exported(bench, name):
    def of_study(path: Path) -> list:
        study = bench.load('narrowpeak = "peaks.narrowPeak"', 'narrowpeak = "{}"', path)
        return peaks_of_study(study)[0].to_numpy().tolist()

    def beside(path: Path) -> list:
        return next(reversed(peak_tables(Run.open(bench.run), [path]).values())).to_numpy().tolist()

    def in_run(path: Path) -> list:
        target = bench.run / "peaks" / "x.narrowPeak"
        shutil.copyfile(path, target)
        try:
            export(Run.open(bench.run), "bed", output=bench.folder / "out.bed")
            peaks = Run.open(bench.run).peaks
            return peaks[peaks.name == "one"].to_numpy().tolist()
        except InputError as problem:
            raise problem.at(str(problem.where).replace(str(target), str(path))) from None
        finally:
            target.unlink()

    path = bench.put(name)
    for use in (of_study, beside, in_run):
        told = bench.told(use, path)
        if name in CALLED:
            blocked = name == "gapped.gappedPeak"
            summit = 50 if FOUND[name] == "a narrowPeak file" else -1
            place = ["chr1", 100, 500 if blocked else 200, "one", 900, "+" if blocked else "."]
            assert told == [[*place, 9.5, 8.5, 7.5, summit]], use
        elif name in EMPTY:
            assert told == [], use
        elif name in BEDS or name in ("words.bed", "rows.bigBed"):
            columns = {"words.bed": 4, "rows.bigBed": 3, "header.bed": 5, "extra.bed": 8, "bed12.bed": 12}.get(name)
            columns = columns or next((int(digit) for digit in name if digit.isdigit()), 4)
            kind = {"words.bed": "text", "rows.bigBed": "a BED file"}.get(name) or FOUND[name]
            words = f"{name}: found {kind} with {columns} columns; expected {PEAKS}"
            assert told == f"{words}; give the file that the peak caller wrote", use
        else:
            assert told == refused(name, PEAKS, PEAK_ADVICE, "give the file that the peak caller wrote"), use


@pytest.mark.parametrize("name", FILES)
def test_as_a_signal_under_its_own_name_and_under_a_signals(bench, name):
    def signal(path: Path) -> object:
        study = bench.load('path = "DNase.bw"', 'path = "{}"', path)
        return study.signals()[1].sizes

    own = bench.told(signal, bench.put(name))
    no_contacts = "expected a complete .hic, .mcool or .cool file; copy or convert it again"
    if name in ("signal.bw", "reads.bam"):  # of one chromosome alone
        assert list(own) == ["chr1"]
    elif name in ("contacts.hic", "contacts.mcool"):  # only begin as such
        assert own.startswith(f"{name}: found no readable Hi-C (")
        assert own.endswith(no_contacts)
    else:
        advice = SIGNAL_ADVICE.get(name, "give a measured track")
        told = f"; {name} is {FOUND[name]}: {advice}" if name not in (*EMPTY, "words.bed") else ""
        endings = ".bw, .bigwig, .bam, .hic, .mcool, .cool, .contact.json"
        assert own.endswith(f"expected a file that ends in {endings}{told}; correct it (docs/study.md)")
    for ending, expected, right in (
        (".bw", "a bigWig", ("signal.bw",)),
        (".bam", "a BAM", ("reads.bam",)),
        (".mcool", "a complete .hic, .mcool or .cool file", ("contacts.hic", "contacts.mcool")),
    ):
        if name in right:
            continue
        told = bench.told(signal, bench.put(name, ending))
        if name in (*EMPTY, "words.bed"):
            assert expected.removeprefix("a ").removeprefix("whole ") in told
            continue
        advice = SIGNAL_ADVICE.get(name, "check the path" if ending != ".bw" else NO_BIGWIG)
        assert told == f"named{ending}: found {FOUND[name]}; expected {expected}; {advice}"


NO_BIGWIG = "convert its values to bigWig, for instance with bedGraphToBigWig"


@pytest.mark.parametrize("name", [name for name in FILES if name not in (*BEDS, "words.bed")])
def test_as_crispr_pairs(bench, name):
    told = bench.told(read_pairs, bench.put(name))
    if name in EMPTY:
        assert told.startswith(f"{name}: found ")
    else:
        assert told == refused(name, "a table of element-gene pairs with a line of column names", TEXT_ADVICE)


@pytest.mark.parametrize("name", [name for name in FILES if name not in (*BEDS, "words.bed")])
def test_as_predictions_of_another_program(bench, name):
    told = bench.told(lambda path: read_rival(f"theirs={path}"), bench.put(name))
    if name in EMPTY:
        assert told.startswith(f"{name}: found ")
    else:
        assert told == refused(name, "a table of predictions with a line of column names", TEXT_ADVICE)


@pytest.mark.parametrize("name", [*VALUES[:1], *CALLED, "variants.vcf", "genes.gtf", "reads.bam", "signal.bw", *EMPTY])
def test_as_reads_to_call_peaks_from(bench, name):
    """What is no BED of reads never reaches macs3, which fails on it in its own words."""
    pytest.importorskip("MACS3", reason="needs macs3 (pip install 'seq2exp-viz[model]')")
    path = bench.put(name, ".bed")
    told = bench.told(lambda: call_peaks(bench.folder / "called.narrowPeak", [path], genome_size=40_000))
    advice = {
        **BED_ADVICE,
        **dict.fromkeys(CALLED, "give it as [peaks] narrowpeak"),
        **dict.fromkeys(EMPTY, "check how it was made"),
        "reads.bam": "rename it to end in .bam",
        "signal.bw": "give it under [[signals]], and its name as [peaks] signal",
    }
    expected = "reads as BED: chrom, start, end, name, score, strand"
    assert told == f"named.bed: found {FOUND[name]}; expected {expected}; {advice[name]}"


@pytest.mark.parametrize("name", FILES)
def test_as_a_track_dropped_on_the_page_and_in_an_allowed_folder(bench, name):
    content = FILES[name]
    query = {"name": name, "size": len(content), "tail": content[-4:].hex()}
    dropped = bench.client.post("/api/v1/own/own", query_string=query, data=content)
    answers = [dropped]
    path = bench.allowed / name
    path.write_bytes(content)
    try:
        listed = {file["name"]: file["id"] for file in bench.client.get("/api/v1/own/allowed").get_json()}
        if name in listed:
            answers.append(bench.client.get(f"/api/v1/own/allowed/{listed[name]}"))
    finally:
        path.unlink()
    for answer in answers:
        told = answer.get_json()
        if name in ("signal.bw", "rows.bigBed"):
            kind = {"signal.bw": "bigwig", "rows.bigBed": "bigbed"}[name]
            assert (answer.status_code, told["kind"], told["aliases"]) == (200, kind, {})
        elif name in DRAWN:
            assert answer.status_code == 200, told
            assert (told["show"], told["features"]) == DRAWN[name]
        else:
            assert answer.status_code == 400
            line = "words.bed line 1: found 'are' as a position; expected a whole number from 0; correct the line"
            words = line if name == "words.bed" else refused(name, OWN, OWN_ADVICE, "check the file")
            assert told["message"] == words


def test_what_the_page_draws_of_allowed_folders_is_listed_by_name(bench):
    for name in FILES:
        (bench.allowed / name).write_bytes(FILES[name])
    listed = {file["name"] for file in bench.client.get("/api/v1/own/allowed").get_json()}
    for name in FILES:
        (bench.allowed / name).unlink()
    missed = [name for name in [*DRAWN, "signal.bw", "rows.bigBed"] if name not in listed]
    assert missed == ["declared.txt", "counts.txt", "refGene.txt"]  # a .txt may be anything


def test_a_large_file_is_named_by_its_first_bytes(bench):
    for head, words in (
        (FILES["reads.bam"], "a BAM file (reads)"),
        (FILES["bed4.bed"] * 9999, "a BED file of more than 16"),
    ):
        query = {"name": "x", "size": 5_000_000_000}
        answer = bench.client.post("/api/v1/own/own", query_string=query, data=head[:1_000_000])
        assert (answer.status_code, words in answer.get_json()["message"]) == (400, True)


# ------------------------------------------------------------------------------------------- what content leaves open


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("chr1\t1\t5\t7\nchr1\t5\t9\t7\n", "x.bed", "BED"),  # states of a segmentation; the ending tells
        ("chr1\t1\t5\t7\nchr1\t5\t9\t7\n", "x.bdg.gz", "bedGraph"),
        ("chr1\t1\t5\t1\nchr1\t8\t9\t2\n", "x", "BED"),  # numbers that count the rows
        ("chr1\t1\t5\t-1\n", "x.bed", "bedGraph"),
        ("chr1\t1\t5\t1e-3\n", "x.bed", "bedGraph"),
        ("#chrom\tstart\tend\tgene\nchr1\t1\t5\t7157\nchr1\t5\t9\t7157\n", "x", "BED"),  # Entrez ids
        ("#chrom\tstart\tend\tvalue\nchr1\t1\t5\t7\n", "x.bed", "bedGraph"),
        ("chr1\t1\t5\tn\t0\t.\t0\t0\t0\n", "x", "broadPeak"),
        ("chr1\t1\t5\tn\t0\t.\t1\t5\t0\n", "x", "BED"),  # BED9: thick part and colour
        ("chr1\t0\t500\tn\t0\t.\t4\t5\t0\t9\n", "x", "narrowPeak"),
        ("chr1\t1\t5\tn\t7\t100\n", "x", "BED"),  # no BEDPE: the fourth column is no chromosome
        ("1\t1\t5\t1\t7\t100\n", "x", "bedpe"),
        ("chr1\t1\t5\t.\t-1\t-1\tn\n", "x", "bedpe"),
        ("chr1\t5\tx\n", "x", "text"),
        ("chr1 1 5 name\n", "x", "BED"),
        ("track type=wiggle_0\nchr1 1 5 3\n", "x", "bedGraph"),
        ("{}\n", "x", "JSON"),
    ],
)
def test_what_is_alike_is_told_apart(text, name, found):
    assert format_of_head(text.encode(), name) == found


def test_one_damaged_line_does_not_hide_a_format():
    rows = TEXT["genes.gtf"] * 20
    assert format_of_head((rows + "chr1\tbroken\n").encode()) == "GTF"


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.lists(
            st.lists(
                st.sampled_from(["chr1", "1", "-1", "5", "9", "1.5", ".", "+", "0,5,", "255,0,0", "track", "#", ""])
            ).map("\t".join)
        )
        .map("\n".join)
        .map(str.encode),
        st.tuples(st.sampled_from(sorted(FILES)), st.integers(0, 2000)).map(lambda cut: FILES[cut[0]][: cut[1]]),
    )
)
def test_any_bytes_have_a_format(content):
    assert format_of_head(content, "x") in FORMATS
    assert format_of_head(content.ljust(HEAD, b"\n"), "x") in FORMATS


# ----------------------------------------------------------------------------------------------------- through a run


@pytest.mark.parametrize("name", CALLED)
def test_peaks_of_any_format_become_a_narrowpeak_in_the_run(bench, name):
    path = bench.put(name)
    path.with_name(f"{path.name.split('.')[0]}.json").write_text('{"caller": "mine"}')
    before = {file: file.read_bytes() for file in (bench.run / "peaks").iterdir()}
    assemble(Run.open(bench.run), path)
    stem = path.name.split(".")[0]
    (made,) = (bench.run / "peaks").glob("*.narrowPeak")
    assert made.name == f"{stem}.narrowPeak"
    assert (made.with_suffix(".json")).read_text() == '{"caller": "mine"}'
    assert format_of_head(made.read_bytes()) == "narrowPeak"
    assert read_narrowpeak(made).equals(read_narrowpeak(path))
    for file in (bench.run / "peaks").iterdir():
        file.unlink()
    for file, content in before.items():
        file.write_bytes(content)
    assemble(Run.open(bench.run))


def test_real_files_have_the_formats_of_their_names(shared_data):
    from model_core.track_formats import format_of

    for name, found in {
        "K562.DNase.macs2_p0.1.narrowPeak.gz": "narrowPeak",
        "K562.ATAC.macs3_bdgpeakcall.narrowPeak": "narrowPeak",
        "K562.ABC_candidate_elements.chr22.bed": "BED",
        "K562.ABC_predictions.chr22.bedpe": "bedpe",
        "crispr_pairs.chr22.bedpe": "bedpe",
        "crispr_pairs.chr22.tsv": "text",
        "hg38-blacklist.v2.chr22.bed": "BED",
        "genes.chr22.gtf.gz": "GTF",
        "genes.chr22.gtf.gz.tbi": "index",
        "refGene.chr22.txt.gz": "genePred",
        "hg38.chr22.partial.fa.gz": "FASTA",
        "hg38.chr22.partial.provenance.bed.gz": "BED",
        "K562.DNase.elements.bigWig": "bigWig",
        "K562.hic.chr22.mcool": "HDF5",
    }.items():
        assert format_of(shared_data / name) == found, name
