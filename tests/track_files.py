"""One small file of each format that people have lying about, made here; all on chr1, within 40 kb."""

import gzip
import io
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import pybigtools
import pysam

from model_core.run_folder.tracks import Block, write_bigwig

GTF_NOTES = 'gene_id "G1"; transcript_id "T1"; gene_name "CYCD0;1";'
VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchr1\t101\trs1\tACG\tA\t50\tPASS\t.\n"
SAM = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:40000\nr1\t0\tchr1\t101\t60\t10M\t*\t0\t0\tACGTACGTAC\tIIIIIIIIII\n"
BLOCKS = "chr1\t100\t500\tone\t900\t+\t150\t450\t255,0,0\t2\t100,200,\t0,200,"
SOURCE = "chr1\t100\t200\t.\t-"
INTERACT = f"chr1\t100\t900\tloop\t5\t2.5\tx\t0\t{SOURCE}\tchr1\t800\t900\t.\t-\n"
GENEPRED = "T1\tchr1\t+\t100\t500\t150\t450\t2\t100,300,\t200,500,"

TEXT = {  # name of the file -> its content
    "bed3.bed": "chr1\t100\t200\nchr1\t300\t400\n",
    "bed4.bed": "chr1\t100\t200\tone\n",
    "bed5.bed": "chr1\t100\t200\tone\t900\n",
    "bed6.bed": "chr1\t100\t200\tone\t900\t+\n",
    "bed9.bed": "chr1\t100\t200\tone\t900\t+\t100\t200\t255,0,0\n",
    "bed12.bed": f"{BLOCKS}\n",
    "extra.bed": "chr1\t100\t200\tone\t900\t+\tliver\t1e-5\n",
    "lines.bed": 'browser position chr1:1-900\ntrack name="<b>x</b>" description="y"\nchr1\t100\t200\tone\n',
    "header.bed": "#chrom\tstart\tend\tname\tclass\nchr1\t100\t200\tone\tcausal\n",
    "narrow.narrowPeak": "chr1\t100\t200\tone\t900\t.\t9.5\t8.5\t7.5\t50\n",
    "broad.broadPeak": "chr1\t100\t200\tone\t900\t.\t9.5\t8.5\t7.5\n",
    "gapped.gappedPeak": f"{BLOCKS}\t9.5\t8.5\t7.5\n",
    "values.bedGraph": "chr1\t100\t200\t1.5\nchr1\t200\t300\t4\n",
    "declared.txt": "track type=bedGraph name=x\nchr1\t100\t200\t1\nchr1\t300\t400\t2\n",
    "counts.txt": "chr1\t100\t200\t3\nchr1\t200\t300\t7\n",
    "fixed.wig": "track type=wiggle_0\nfixedStep chrom=chr1 start=101 step=100 span=50\n1.5\n4\n",
    "variable.wig": "variableStep chrom=chr1 span=50\n101 1.5\n301 4\n",
    "pairs.bedpe": "chr1\t100\t200\tchr1\t800\t900\tloop\t5\t.\t.\n",
    "arcs.interact": f"track type=interact\n{INTERACT}",
    "arcs.longrange": "chr1\t100\t200\tchr1:800-900,2.5\n",
    "variants.vcf": VCF,
    "headless.vcf": VCF.splitlines()[-1] + "\n",
    "genes.gtf": "".join(f"chr1\tHAVANA\texon\t{a}\t{b}\t.\t+\t.\t{GTF_NOTES}\n" for a, b in ((101, 200), (301, 500))),
    "genes.gff3": "##gff-version 3\nchr1\tx\tmRNA\t101\t500\t.\t+\t.\tID=T1;Name=One%3BTwo\n"
    "chr1\tx\texon\t101\t200\t.\t+\t.\tParent=T1\nchr1\tx\texon\t301\t500\t.\t+\t.\tParent=T1\n",
    "genes.refFlat": f"SYM\t{GENEPRED}\n",
    "genes.genePred": f"{GENEPRED}\n",
    "refGene.txt": f"585\t{GENEPRED}\t0\tSYM\tcmpl\tcmpl\t0,1,\n",
    "reads.sam": SAM,
    "genome.fa": ">chr1\nACGTACGT\n",
    "reads.fastq": "@r1\nACGT\n+\nIIII\n",
    "alignment.maf": "##maf version=1\na score=1\ns hg38.chr1 100 4 + 40000 ACGT\n",
    "table.csv": "chrom,start,end\nchr1,100,200\n",
    "missing.bed": "<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
    "lfs.bed": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "comments.bed": "# nothing but a comment\n",
    "empty.bed": "",
    "words.bed": "these are just words\n",
    "genome.fa.fai": "chr1\t40000\t6\t60\t61\n",
}


def bigwig(chroms: dict[str, int], places: str = "chr1") -> bytes:
    """A bigWig with 2.5 at `places`:100-200."""
    return _written(".bw", lambda path: write_bigwig(path, chroms, [Block(places, 0, 100, [0, 2.5, 0])], 2))


def bigbed(chroms: dict[str, int], place: str = "chr1") -> bytes:
    """A bigBed with one row at `place`:100-200."""
    return _written(".bigBed", lambda path: pybigtools.open(str(path), "w").write(chroms, [(place, 100, 200, "")]))


def peaks_bigbed(narrowpeak: Path) -> bytes:
    """A bigBed with the rows of a narrowPeak that is sorted."""
    rows = [line.split("\t") for line in narrowpeak.read_text().splitlines()]
    entries = sorted((row[0], int(row[1]), int(row[2]), "\t".join(row[3:])) for row in rows)
    sizes = {chrom: 300_000_000 for chrom in sorted({row[0] for row in rows})}
    return _written(".bigBed", lambda path: pybigtools.open(str(path), "w").write(sizes, iter(entries)))


def _bam(mode: str) -> bytes:
    def write(path: Path) -> None:
        header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 40_000}]}
        options = [b"no_ref=1"] if mode == "wc" else []
        with pysam.AlignmentFile(str(path), mode, header=header, format_options=options) as file:
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.query_sequence, read.reference_id, read.reference_start = "r", "ACGT", 0, 100
            read.cigarstring, read.mapping_quality, read.query_qualities = (
                "4M",
                60,
                pysam.qualitystring_to_array("IIII"),
            )
            file.write(read)

    return _written(".x", write)


def _hdf5() -> bytes:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["x"] = [1]

    return _written(".h5", write)


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "chr1\t100\t200\n")
    return buffer.getvalue()


def _tabix() -> bytes:
    def write(path: Path) -> None:
        path.write_text("chr1\t100\t200\n")
        pysam.tabix_index(str(path), preset="bed", force=True, keep_original=True)
        path.write_bytes(Path(f"{path}.gz.tbi").read_bytes())

    return _written(".bed", write)


def _bgzipped(text: str) -> bytes:
    def write(path: Path) -> None:
        with pysam.BGZFile(str(path), "w") as file:
            file.write(text.encode())

    return _written(".gz", write)


def _written(ending: str, write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ending}"
        write(path)
        return path.read_bytes()


def all_files() -> dict[str, bytes]:
    """Name -> content of each file."""
    sizes = {"chr1": 40_000}
    return {
        **{name: text.encode() for name, text in TEXT.items()},
        "gzipped.narrowPeak.gz": gzip.compress(TEXT["narrow.narrowPeak"].encode()),
        "bgzipped.bed.gz": _bgzipped(TEXT["bed4.bed"]),
        "gzipped.vcf.gz": gzip.compress(VCF.encode()),
        "twice.bed.gz": gzip.compress(gzip.compress(b"chr1\t1\t2\n")),
        "utf16.bed": TEXT["bed4.bed"].encode("utf-16"),
        "plain16.bed": TEXT["bed4.bed"].encode("utf-16-le"),
        "bom.bed": b"\xef\xbb\xbf" + TEXT["bed4.bed"].encode(),
        "signal.bw": bigwig(sizes),
        "signal.bw.gz": gzip.compress(bigwig(sizes)),
        "rows.bigBed": bigbed(sizes),
        "reads.bam": _bam("wb"),
        "reads.cram": _bam("wc"),
        "contacts.hic": b"HIC\0" + struct.pack("<I", 8) + bytes(200),
        "contacts.mcool": _hdf5(),
        "index.tbi": _tabix(),
        "table.xlsx": _zip("[Content_Types].xml", "xl/workbook.xml"),
        "file.zip": _zip("peaks.bed"),
        "genome.2bit": struct.pack("<IIII", 0x1A412743, 0, 0, 0),
        "picture.bed": b"\x89PNG\r\n\x1a\n" + bytes(30),
        "program.bed": b"\x7fELF\0\1\2\3" * 9,
    }
