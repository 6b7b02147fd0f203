"""The whole files that are broken: a study with every kind of input, a scored run, a training that was interrupted.

They are made in a folder `case`, kept as `whole` beside it, and copied back to `case` for each broken file, so that
absolute paths inside them stay true.
"""

import gzip
import os
import pickle
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import forked

TRAINING = (
    *("--steps", "4", "--batch-size", "8", "--warmup", "1", "--width", "4", "--depth", "1"),
    *("--window", "400", "--promoter", "40", "--device", "cpu"),
)

OWN_TRACKS = (  # of track_files
    *("bed6.bed", "bed12.bed", "values.bedGraph", "fixed.wig", "pairs.bedpe", "genes.gff3", "genes.genePred"),
    "variants.vcf",
)


def call(*words: str) -> None:
    """Run a command of the program in this process; raise SystemExit as it does."""
    from seq2exp_viz.cli import main

    sys.argv = ["seq2exp-viz", *words]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise


class Case:
    """The folder `case` below a scratch folder, and the whole files that it is made of.

    Parameters
    ----------
    scratch : Path
        An empty folder, or one that a `Case` was made in before: its whole files are used again.
    """

    def __init__(self, scratch: Path):
        self.scratch, self.folder, self.whole = scratch, scratch / "case", scratch / "whole"
        os.environ["SEQ2EXP_CACHE"] = str(scratch / "cache")  # nothing that broken files leave reaches the user's

    def make(self) -> None:
        """Make the whole files, unless they are there."""
        if self.whole.is_dir():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for make in (_study_and_run, _with_effects, _training, _more_inputs):  # a child each: see `forked`
            done = self.run(make, seconds=300)
            if done.code != 0:
                raise RuntimeError(f"{make.__name__} ended with {done.code}:\n{done.words}")
        self.folder.rename(self.whole)

    def renew(self) -> None:
        """Put the whole files into the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.whole, self.folder)

    def run(self, action: Callable[[], forked.Answers | None], seconds: float = forked.SECONDS) -> forked.Outcome:
        """Run `action` in a child whose working directory is the folder."""

        def inside() -> forked.Answers:
            os.chdir(self.folder)
            return action() or {}

        return forked.run(inside, self.scratch, seconds)


def _study_and_run() -> None:
    """study/ and run/: a model's masks of four genes, effects, occlusion, a decision of the peak audit; weights."""
    from calibrated import write_calibration
    from model_run import lively, make_model_run

    from model_core.model.checkpoint import convert, save_checkpoint
    from model_core.run_folder.audit_log import append_decision
    from model_core.run_folder.run import Run
    from model_core.study.study import load_study

    run = make_model_run(Path.cwd())
    shutil.copyfile("model.safetensors", run / "checkpoint.safetensors")
    call("effects", "run", "--genes", "MYC,GATA1", "--controls", "2", "--occlusion")
    element = {"kind": "peak", "chrom": "chr1", "start": 10_900, "end": 11_300, "name": "x"}
    append_decision(run, {"gene_id": "ENSG00000000000.1", "symbol": "MYC", **element, "decision": "agree", "note": "n"})
    write_calibration(Run.open(run))
    study = load_study("study")
    save_checkpoint("soft.safetensors", lively(study.config(d_model=8, n_layers=1), 1), {})
    convert("soft.safetensors", "released.ckpt")


def _with_effects() -> None:
    """with-effects/: the run's genes with effects of two members; run/ has the array, too, which it does not name."""
    import numpy as np

    from model_core.run_folder.run import Run

    run, folder, rng = Run.open("run"), Path("with-effects"), np.random.default_rng(3)
    genes = run.genes.set_index("gene_id", drop=False)
    shutil.copytree("run", folder)
    shutil.rmtree(folder / "masks.zarr")
    (folder / "scores.jsonl").unlink()
    other = Run.open(folder)
    other.update(members=2)
    with other.writing():
        for gene_id in run._records():
            mask, contact = run.mask(gene_id), run.contact(gene_id)
            effects = rng.normal(0, 0.01, (2, len(contact)))
            other.append(genes.loc[gene_id].to_dict(), mask.alpha, mask.beta, effects, contact)
    other.update(progress=run.manifest["progress"])
    shutil.copytree(folder / "masks.zarr" / "effects", "run/masks.zarr/effects")


def _training() -> None:
    """training-study/ and trained/: a training that ended after its first validation, as after a kill."""
    from small_study import edit, write_small_study

    from model_core.training.train import Bookkeeping

    Path("training-study").mkdir()
    study = write_small_study(Path("training-study"))
    edit(study, "validation = []", 'validation = ["chr2"]')
    edit(study, 'test = ["chr2"]', "test = []")
    first = Bookkeeping.on_validation_end

    def end(self, trainer, module) -> None:
        first(self, trainer, module)
        os._exit(0)

    Bookkeeping.on_validation_end = end
    call("train", "training-study", *TRAINING, "-o", "trained")


def _more_inputs() -> None:
    """Files that the studies of some kinds name: BAM, .hic, .mcool, blacklists, called peaks, tracks of a user."""
    import h5py
    import numpy as np
    import pysam
    from contact_maps import write_map
    from hic_writer import Layout, write_hic
    from track_files import TEXT, bigbed, peaks_bigbed
    from two_bit_writer import write_two_bit

    study = Path("study")
    rows = "chr1\t5000\t5500\nchr2\t100\t200\n"
    (study / "blacklist.bed").write_text(rows)
    (study / "blacklist.bed.gz").write_bytes(gzip.compress(rows.encode(), mtime=0))
    masks = {chrom: np.zeros(20_000, bool) for chrom in ("chr1", "chr2")}
    masks["chr1"][5:50] = True
    Path("blacklist.pkl").write_bytes(pickle.dumps(masks))
    _write_reads(study / "reads.bam")
    pixels = [
        (i, j, 200 // (1 + j - i)) for k in (0, 40) for i in range(k, k + 40) for j in range(i, min(i + 8, k + 40))
    ]
    write_map(study / "contacts.hic", {"chr1": 40_000, "chr2": 40_000}, pixels, [1_000])
    one, two, count = zip(*(pixel for pixel in pixels if pixel[1] < 40), strict=True)
    vectors = {("VC", 1_000): {"chr1": np.linspace(0.5, 1.5, 40)}}
    for version in (8, 9):
        held = {5_000: {"chr1": ([0], [1], [3])}, 1_000: {"chr1": (one, two, count)}}
        layout = Layout(version, 12, (1, 2), True)
        write_hic(study / f"v{version}.hic", {"chr1": 40_000, "chr2": 40_000}, held, vectors, layout)
    with h5py.File(study / "contacts.cool") as cool, h5py.File(study / "contacts.mcool", "w") as mcool:
        mcool.attrs["format"], mcool.attrs["format-version"] = "HDF5::MCOOL", 2
        group = mcool.create_group("resolutions/1000")
        group.attrs.update(cool.attrs)
        for name in cool:
            cool.copy(name, group)
    pysam.tabix_compress(str(study / "genome.fa"), str(study / "packed.fa.gz"))
    pysam.faidx(str(study / "packed.fa.gz"))
    with pysam.FastaFile(str(study / "packed.fa.gz")) as fasta:
        write_two_bit(study / "genome.2bit", {name: fasta.fetch(name).encode() for name in fasta.references})
    (study / "peaks.bigBed").write_bytes(peaks_bigbed(study / "peaks.narrowPeak"))
    own = Path("own")
    own.mkdir()
    for name in OWN_TRACKS:
        (own / name).write_text(TEXT[name])
    (own / "rows.bigBed").write_bytes(bigbed({"chr1": 40_000}))
    shutil.copytree("trained/training", "run/training")
    before = (study / "study.toml").read_text()
    called_peaks()
    call("peaks", "study")
    (study / "study.toml").write_text(before)


def _write_reads(path: Path) -> None:
    import pysam

    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": f"chr{n}", "LN": 40_000} for n in (1, 2)]}
    rng = random.Random(1)
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for number in range(800):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.query_sequence = f"r{number}", "".join(rng.choices("ACGT", k=36))
            read.flag, read.mapping_quality, read.cigartuples = 16 * (number % 2), 40, [(0, 36)]
            read.reference_id, read.reference_start = number // 400, number % 400 * 95
            read.query_qualities = pysam.qualitystring_to_array("I" * 36)
            file.write(read)


# Changes of the study, in the folder `case`, so that it names the file that is broken.


def _edited(files: Sequence[str], old: str, new: str) -> None:
    for path in map(Path, files):
        text = path.read_text()
        if old not in text:
            raise ValueError(f"{old!r} is not in {path}")
        path.write_text(text.replace(old, new))


def bam_signal() -> None:
    """Take the reads as the signal DNase."""
    _edited(["study/study.toml"], "DNase.bw", "reads.bam")


def hic_contacts() -> None:
    """Take the contacts from the .hic."""
    _edited(["study/study.toml", "run/study.json"], "contacts.cool", "contacts.hic")


def mcool_contacts() -> None:
    """Take the contacts from the .mcool."""
    _edited(["study/study.toml", "run/study.json"], "contacts.cool", "contacts.mcool")


def blacklist() -> None:
    """Name the blacklist."""
    _edited(["study/study.toml"], 'annotation = "genes.gtf"', 'annotation = "genes.gtf"\nblacklist = "blacklist.bed"')


def gzipped_blacklist() -> None:
    """Name the gzipped blacklist."""
    _edited(
        ["study/study.toml"], 'annotation = "genes.gtf"', 'annotation = "genes.gtf"\nblacklist = "blacklist.bed.gz"'
    )


def called_peaks() -> None:
    """Take the peaks that MACS3 calls."""
    _edited(["study/study.toml"], 'narrowpeak = "peaks.narrowPeak"', 'signal = "DNase"')


def stored_effects() -> None:
    """Let the run store effects of two members, as one of an additive model does."""
    for name in ("manifest.json", "scores.jsonl"):
        shutil.copyfile(f"with-effects/{name}", f"run/{name}")
