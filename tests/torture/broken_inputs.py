"""Break each kind of file that the program reads, and run on it what reads it.

    python -m tests.torture.broken_inputs [--kind bigWig ...] [--count 50] [--seed 7] [--scratch FOLDER] [--keep FOLDER]

prints for each kind how many broken files were refused in words, were read as the whole one, or were read otherwise and
rightly so, and all faults: a traceback, another exit code than 0 and 2, a signal, over 30 s, over 2 GB, an internal
error of the server, or other values than the whole file's without other words. The same seed breaks the same files.
"""

import argparse
import json
import os
import random
import re
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from . import forked, whole_case
from .mutations import (
    Mutate,
    Mutation,
    bytes_mutations,
    csv_mutations,
    gzip_mutations,
    json_mutations,
    jsonl_mutations,
    pickle_mutations,
    text_mutations,
    toml_mutations,
    unsummed_mutations,
    zip_mutations,
)
from .whole_case import Case, call

MYC = "genes/ENSG00000000000.1"
WINDOW = "chrom=chr1&start=8000&end=12000&bins=80"
ALL = "chrom=chr1&start=0&end=40000&bins=80"
HOST = {"Host": "127.0.0.1"}
_CHANGING = re.compile(rb"\?v=[0-9a-f.-]+|\d{4}-\d\d-\d\d[T ][\d:.+]+")  # versions of files, and times


class Reader(NamedTuple):
    """What reads a file: its name, and a function that is called in the folder of the case and returns its answers."""

    name: str
    read: Callable[[], forked.Answers]


def command(*words: str, outputs: Sequence[str] = ()) -> Reader:
    """Return the reader that runs a command; its answers are the files that it writes."""

    def read() -> forked.Answers:
        call(*words)
        return {name: Path(name).read_bytes() for name in outputs if Path(name).exists()}

    return Reader(" ".join(words), read)


def page(*addresses: str) -> Reader:
    """Return the reader that serves the run and asks for addresses of the interface, or of files below `data/`."""

    def read() -> forked.Answers:
        view, client = _served()
        if view.models is not None and any("models" in address for address in addresses):
            view.models.wait(20)
        places = {address: _place(address, view.key) for address in addresses}
        answers = _answers(
            client, {name: lambda place=place: client.get(place, headers=HOST) for name, place in places.items()}
        )
        print("missing:", *view.missing.lines(), sep="\n")
        return answers

    return Reader(f"page: {', '.join(addresses[:3])}{' ...' if len(addresses) > 3 else ''}", read)


def own_track(path: str, *names: str) -> Reader:
    """Return the reader that drops a file on the page under some names, and opens it from an allowed folder."""

    def read() -> forked.Answers:
        from seq2exp_viz.serving.allowed_files import AllowedFiles

        content = Path(path).read_bytes()
        folder = Path("allowed")
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(content)
        view, client = _served(AllowedFiles([folder]))
        api = f"/api/v1/{view.key}"
        asked = {}
        for name in names:
            address = f"{api}/own?name={name}&size={len(content)}&tail={content[-4:].hex()}"
            asked[f"dropped {name}"] = lambda address=address: client.post(
                address, data=content[:1_000_000], headers=HOST
            )
        for file in client.get(f"{api}/allowed", headers=HOST).json:
            address = f"{api}/allowed/{file['id']}"
            asked[f"allowed {file['name']}"] = lambda address=address: client.get(address, headers=HOST)
        return _answers(client, asked)

    return Reader(f"own track {', '.join(names)}", read)


def over_ranges(name: str, ask: Callable[[Any, list], dict[str, bytes]]) -> Reader:
    """Return the reader that asks a server for the windows of four genes.

    Parameters
    ----------
    name : str
        A file of the study.
    ask : callable
        Called with its address and the windows; returns the answers.
    """

    def read() -> forked.Answers:
        from mirror_server import serve_mirror

        from model_core.errors import InputError
        from model_core.remote.address import RemotePath
        from model_core.window import Window

        windows = [Window("chr1", tss, "+", 4_000) for tss in (10_000, 0, 39_999, 21_000)]
        with serve_mirror(Path.cwd()) as mirror, tempfile.TemporaryDirectory() as blocks:
            os.environ.update(SEQ2EXP_MIRROR=mirror.url(), SEQ2EXP_CACHE=blocks)
            try:
                return ask(RemotePath(f"https://study/{name}"), windows)
            except InputError as problem:
                print("error:", problem)
                sys.exit(2)

    return Reader(f"{name} over ranges", read)


def remote_contact(name: str, normalisation: str) -> Reader:
    """Return the reader of contact at an address."""

    def ask(path, windows):
        from model_core.signals.hic import HicSignal

        signal = HicSignal("Hi-C", path, 1_000, normalisation)
        return {str(window): signal.read(window).tobytes() for window in windows}

    return over_ranges(name, ask)


def remote_bases(name: str) -> Reader:
    """Return the reader of a genome at an address."""

    def ask(path, windows):
        from model_core.study.genome import Genome

        genome = Genome(path)
        bases = {f"{window}": genome.sequence(window.chrom, window.start, window.end).encode() for window in windows}
        return bases | {"sizes": str(genome.sizes).encode()}

    return over_ranges(name, ask)


def remote_values(path, windows):
    """Return the answers of a bigWig at an address: values, the whole file's summary and that of a chromosome."""
    from model_core.signals.signal import BigWigSignal

    signal = BigWigSignal("DNase", path)
    signal.read_ahead([(window.chrom, window.start, window.end) for window in windows])
    values = {str(window): signal.read(window).tobytes() for window in windows}
    return values | {"summaries": str([signal.summary(), signal.summary("chr1")]).encode()}


def bigbed_peaks() -> forked.Answers:
    """Read called peaks from a bigBed."""
    from model_core.bed import read_narrowpeak
    from model_core.errors import InputError

    try:
        return {"peaks": read_narrowpeak("study/peaks.bigBed").to_csv().encode()}
    except InputError as problem:
        print("error:", problem)
        sys.exit(2)


def unsummed_text_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a text without checksums, of which another number may be another valid file."""
    return (mutation._replace(valid=True) for mutation in text_mutations(whole, rng))


def quality_tab() -> forked.Answers:
    """Build the page's tab of the model's quality."""
    from seq2exp_viz.page.tabs import quality_panel

    view, _ = _served()
    parts = quality_panel(view, None)
    print(len(parts), "parts; missing:", *view.missing.lines(), sep="\n")
    return {"quality": str([part.to_plotly_json() for part in parts]).encode()}


def blacklist_pickle() -> forked.Answers:
    """Read the authors' pickled blacklist."""
    from model_core.datasets.blacklist_pickle import mask_intervals, read_masks
    from model_core.errors import InputError

    try:
        return {"intervals": mask_intervals(read_masks("blacklist.pkl")).to_csv().encode()}
    except InputError as problem:
        print("error:", problem)
        sys.exit(2)


def _served(allowed=None):
    """Return the run of this case as it is served, and a client; a run that cannot be opened ends the child with 2."""
    import logging

    from model_core.errors import InputError
    from seq2exp_viz.app import Settings, create_app
    from seq2exp_viz.runs.registry import RunRegistry

    try:
        registry = RunRegistry(["run"])
        settings = Settings(igv="notebook") if allowed is None else Settings(igv="notebook", allowed=allowed)
        client = create_app(registry, settings).server.test_client()
    except InputError as problem:
        print("error:", problem)
        sys.exit(2)
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    return registry.first, client


def _place(address: str, key: str) -> str:
    return f"/data/{key}/{address.removeprefix('data/')}" if address.startswith("data/") else f"/api/v1/{key}/{address}"


def _answers(client, asked: dict[str, Callable]) -> forked.Answers:
    answers = {}
    for name, ask in asked.items():
        got = ask()
        body = got.get_data()
        if got.status_code >= 500 and got.status_code != 503:
            raise RuntimeError(f"{name} was answered with {got.status_code}: {body[:200]!r}")
        if name.startswith("data/"):
            continue  # the broken file itself
        if got.status_code < 400:
            answers[name] = _CHANGING.sub(b"", body)
        else:
            print(f"{name} was answered with {got.status_code}: {body[:300].decode(errors='replace')}")
    return answers


class Kind(NamedTuple):
    """A kind of file.

    Attributes
    ----------
    place : str
        The file, below the folder of the case.
    mutate : Mutate
        What damages it.
    readers : tuple[Reader, ...]
        What reads it; the first one alone in short tests.
    prepare : callable or None
        Called in the folder, to make the study name the file.
    """

    place: str
    mutate: Mutate
    readers: tuple[Reader, ...]
    prepare: Callable[[], None] | None = None


CHECK = command("check", "study")
SERVE_CHECK = command("serve", "run", "--check")
SCORE = command("score", "run", "--genes", "MYC2", outputs=("run/genes.tsv",))
CONVERT = command("convert", "soft.safetensors", "out.ckpt", outputs=("out.ckpt",))
CONVERT_RELEASED = command("convert", "released.ckpt", "out.safetensors", outputs=("out.safetensors",))
RESUME = command(
    "train", "training-study", *whole_case.TRAINING, "-o", "trained", outputs=("trained/checkpoint.safetensors",)
)
PEAKS = command("peaks", "study", outputs=("study/peaks/MACS3.narrowPeak",))
BED = command("export", "run", "bed", "-o", "out.bed", outputs=("out.bed",))
GFF3 = command("export", "run", "gff3", "-o", "out.gff3", outputs=("out.gff3",))
BIGWIG = command("export", "run", "bigwig", "-o", "out.bigWig", outputs=("out.bigWig",))
COMPARE = command("compare", "run")
REPORT = command("report", "run", "--genes", "MYC", "-o", "out.html")
CONTACTS = page(f"{MYC}/contact/Hi-C?{WINDOW}", f"{MYC}/prior?{WINDOW}", "view")
MODELS = page(f"models/gene?{ALL}", f"models/transcript?{ALL}", "search?q=gata1", "view")
SIGNALS = page(f"signals/DNase?{ALL}", f"signals/DNase?{WINDOW}", f"{MYC}/prior?{WINDOW}", f"{MYC}/figure.svg", "view")
MASKS = page(f"{MYC}/mask?{WINDOW}", f"{MYC}/elements", f"{MYC}/certainty?{WINDOW}", f"{MYC}/mask.bigWig")
RUN = page(
    *("genes", f"{MYC}/elements?threshold=0.4", f"{MYC}/mask?{WINDOW}", "view", "search?q=MYC", "search?q=chr1:1-2000"),
    *(
        f"{MYC}/prior?{WINDOW}",
        f"{MYC}/why/network?{WINDOW}",
        f"{MYC}/why/signals?{WINDOW}",
        f"{MYC}/certainty?{WINDOW}",
    ),
    *(f"{MYC}/elements.bed", f"{MYC}/elements.gff3", f"{MYC}/mask.bigWig", f"{MYC}/effects", f"{MYC}/occlusion"),
    *(f"peaks?{ALL}", f"blacklist?{ALL}", f"truth/causal?{ALL}", f"signals/DNase?{ALL}", f"models/gene?{ALL}"),
    *("elements.tsv", "owners?chrom=chr1&start=9000&end=12000", "owners/arcs?chrom=chr1&start=9000&end=12000"),
    *(
        "audit",
        "audit.tsv",
        "suggest?q=M",
        f"{MYC}/figure.svg",
        f"{MYC}/igv-session.json",
        "report?genes=MYC",
        "whatif",
    ),
    *("contigs.tsv", "genome.fai", "data/genome.fa.fai", "data/elements.bed", "data/manifest.json"),
)
EFFECTS = page(f"{MYC}/effects", "owners?chrom=chr1&start=9000&end=12000", "elements.tsv", "report?genes=MYC")
OCCLUSION = page(f"{MYC}/occlusion", f"{MYC}/figure.svg")
AUDIT = page("audit", "audit.tsv")
PEAK_TRACK = page(f"peaks?{ALL}", f"{MYC}/elements", "audit")
TRUTH = page(f"truth/causal?{ALL}", "view")
INDEX = page("genome.fai", "data/genome.fa.fai", f"{MYC}/figure.svg", "view")
QUALITY = Reader("tab of the model's quality", quality_tab)
BLACKLIST_PICKLE = Reader("the authors' blacklist", blacklist_pickle)

KINDS = {
    # What a study names
    "study.toml": Kind("study/study.toml", toml_mutations, (CHECK, SERVE_CHECK)),
    "FASTA": Kind("study/genome.fa", text_mutations, (CHECK,)),
    "FASTA index": Kind("study/genome.fa.fai", text_mutations, (INDEX, CHECK)),
    "GTF": Kind("study/genes.gtf", text_mutations, (MODELS, CHECK)),
    "gene table": Kind("study/genes.tsv", text_mutations, (CHECK,)),
    "blacklist": Kind("study/blacklist.bed", text_mutations, (CHECK,), whole_case.blacklist),
    "gzipped blacklist": Kind("study/blacklist.bed.gz", gzip_mutations, (CHECK,), whole_case.gzipped_blacklist),
    "planted elements": Kind("study/causal.bed", text_mutations, (TRUTH, CHECK)),
    "narrowPeak": Kind("study/peaks.narrowPeak", text_mutations, (CHECK,)),
    "record of peaks": Kind("study/peaks/MACS3.json", json_mutations, (PEAKS,), whole_case.called_peaks),
    "bigWig": Kind("study/DNase.bw", bytes_mutations, (SIGNALS, CHECK, SCORE)),
    "BAM": Kind("study/reads.bam", bytes_mutations, (CHECK,), whole_case.bam_signal),
    "cool": Kind("study/contacts.cool", bytes_mutations, (CONTACTS, CHECK)),
    "mcool": Kind("study/contacts.mcool", bytes_mutations, (CONTACTS, CHECK), whole_case.mcool_contacts),
    "hic": Kind("study/contacts.hic", unsummed_mutations, (CONTACTS, CHECK), whole_case.hic_contacts),
    "hic 8 over ranges": Kind("study/v8.hic", unsummed_mutations, (remote_contact("v8.hic", "VC"),)),
    "hic 9 over ranges": Kind("study/v9.hic", unsummed_mutations, (remote_contact("v9.hic", "VC"),)),
    # Nothing of it is read on trial: what HDF5 holds without a checksum may be another valid file.
    "mcool over ranges": Kind("study/contacts.mcool", unsummed_mutations, (remote_contact("contacts.mcool", "NONE"),)),
    "bigWig over ranges": Kind("study/DNase.bw", unsummed_mutations, (over_ranges("DNase.bw", remote_values),)),
    "FASTA over ranges": Kind("study/genome.fa", text_mutations, (remote_bases("genome.fa"),)),
    ".fai over ranges": Kind("study/genome.fa.fai", unsummed_text_mutations, (remote_bases("genome.fa"),)),
    "FASTA bgzipped over ranges": Kind("study/packed.fa.gz", bytes_mutations, (remote_bases("packed.fa.gz"),)),
    ".gzi over ranges": Kind("study/packed.fa.gz.gzi", bytes_mutations, (remote_bases("packed.fa.gz"),)),
    ".2bit over ranges": Kind("study/genome.2bit", unsummed_mutations, (remote_bases("genome.2bit"),)),
    "bigBed": Kind("study/peaks.bigBed", unsummed_mutations, (Reader("peaks of a bigBed", bigbed_peaks),)),
    # What a run folder holds
    "manifest.json": Kind("run/manifest.json", json_mutations, (SERVE_CHECK, BED, RUN)),
    "study.json": Kind("run/study.json", json_mutations, (SERVE_CHECK, RUN)),
    "config.json": Kind("run/config.json", json_mutations, (SERVE_CHECK, BIGWIG, RUN)),
    "metrics.json": Kind("run/metrics.json", json_mutations, (QUALITY, RUN)),
    "calibration.json": Kind("run/calibration.json", json_mutations, (QUALITY, SERVE_CHECK, RUN)),
    "scores.jsonl": Kind("run/scores.jsonl", jsonl_mutations, (SERVE_CHECK, GFF3, RUN)),
    "chrom.sizes": Kind("run/chrom.sizes", text_mutations, (SERVE_CHECK, BIGWIG, RUN)),
    "genes.tsv": Kind("run/genes.tsv", text_mutations, (SERVE_CHECK, RUN)),
    "elements.bed": Kind("run/elements/elements.bed", text_mutations, (SERVE_CHECK, BED, RUN)),
    "peaks of the run": Kind("run/peaks/peaks.narrowPeak", text_mutations, (PEAK_TRACK, COMPARE)),
    "zarr.json of masks": Kind("run/masks.zarr/alpha/zarr.json", json_mutations, (SERVE_CHECK, BIGWIG, MASKS)),
    "zarr.json of the group": Kind("run/masks.zarr/zarr.json", json_mutations, (SERVE_CHECK, BIGWIG)),
    "chunk of masks": Kind("run/masks.zarr/alpha/c.0.0", bytes_mutations, (MASKS, BIGWIG, SERVE_CHECK)),
    "zarr.json of contact": Kind("run/masks.zarr/contact/zarr.json", json_mutations, (SERVE_CHECK, MASKS)),
    "chunk of contact": Kind("run/masks.zarr/contact/c.0.0", bytes_mutations, (MASKS, BED)),
    "zarr.json of effects": Kind(
        "run/masks.zarr/effects/zarr.json", json_mutations, (SERVE_CHECK, MASKS), whole_case.stored_effects
    ),
    "chunk of effects": Kind(
        "run/masks.zarr/effects/c.0.0", bytes_mutations, (MASKS, REPORT), whole_case.stored_effects
    ),
    "effects.jsonl": Kind("run/effects/effects.jsonl", jsonl_mutations, (EFFECTS, SERVE_CHECK, REPORT)),
    "occlusion": Kind("run/effects/occlusion/ae735363809c48ff746ae1d2.npz", bytes_mutations, (OCCLUSION,)),
    "audit.jsonl": Kind("run/audit.jsonl", jsonl_mutations, (AUDIT, SERVE_CHECK)),
    "history.csv": Kind("run/training/history.csv", csv_mutations, (QUALITY,)),
    "last.ckpt": Kind("trained/training/last.ckpt", zip_mutations, (RESUME,)),
    # Weights and files of others
    "checkpoint.safetensors": Kind("run/checkpoint.safetensors", bytes_mutations, (SCORE,)),
    ".safetensors": Kind("soft.safetensors", unsummed_mutations, (CONVERT,)),
    "released .ckpt": Kind("released.ckpt", zip_mutations, (CONVERT_RELEASED,)),
    "blacklist .pkl": Kind("blacklist.pkl", pickle_mutations, (BLACKLIST_PICKLE,)),
    "own BED": Kind("own/bed6.bed", text_mutations, (own_track("own/bed6.bed", "x.bed", "x.narrowPeak"),)),
    "own BED12": Kind("own/bed12.bed", text_mutations, (own_track("own/bed12.bed", "x.bed"),)),
    "own bed.gz": Kind("study/blacklist.bed.gz", gzip_mutations, (own_track("study/blacklist.bed.gz", "x.bed.gz"),)),
    "own bedGraph": Kind("own/values.bedGraph", text_mutations, (own_track("own/values.bedGraph", "x.bedGraph"),)),
    "own wig": Kind("own/fixed.wig", text_mutations, (own_track("own/fixed.wig", "x.wig"),)),
    "own BEDPE": Kind("own/pairs.bedpe", text_mutations, (own_track("own/pairs.bedpe", "x.bedpe"),)),
    "own GFF3": Kind("own/genes.gff3", text_mutations, (own_track("own/genes.gff3", "x.gff3"),)),
    "own genePred": Kind("own/genes.genePred", text_mutations, (own_track("own/genes.genePred", "x.genePred"),)),
    "own VCF": Kind("own/variants.vcf", text_mutations, (own_track("own/variants.vcf", "x.vcf"),)),
    "own bigWig": Kind("study/H3K27ac.bw", bytes_mutations, (own_track("study/H3K27ac.bw", "x.bw"),)),
    "own bigBed": Kind("own/rows.bigBed", bytes_mutations, (own_track("own/rows.bigBed", "x.bigBed"),)),
}


class Result(NamedTuple):
    """What came of one broken file: `kind`, its `number` in the series, what was done (`words`), who read it, how."""

    kind: str
    number: int
    words: str
    reader: str
    verdict: str  # "refused", "as the whole file", "otherwise", or "fault"
    why: str


class Torture:
    """Break files of a case; the answers of the whole files are kept for all kinds that are read alike."""

    def __init__(self, case: Case, seed: int):
        self.case, self.seed = case, seed
        self._whole: dict[tuple, forked.Outcome] = {}

    def results(self, name: str, count: int, readers: int | None = None, keep: Path | None = None) -> Iterator[Result]:
        """Break `count` files of a kind and yield what each of its first `readers` (None: all) makes of each."""
        kind = KINDS[name]
        content = (self.case.whole / kind.place).read_bytes()
        series = kind.mutate(content, random.Random(f"{self.seed} {name}"))
        for number, mutation in enumerate(islice(series, count)):
            for reader in kind.readers[:readers]:
                verdict, why = self._verdict(kind, reader, mutation)
                if verdict == "fault" and keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{name}.{self.seed}.{number}".replace(" ", "-")).write_bytes(mutation.content)
                yield Result(name, number, mutation.words, reader.name, verdict, why)

    def _read(self, kind: Kind, reader: Reader, content: bytes | None) -> forked.Outcome:
        self.case.renew()

        def read() -> forked.Answers:
            if kind.prepare is not None:
                kind.prepare()
            if content is not None:
                Path(kind.place).write_bytes(content)
            return reader.read()

        return self.case.run(read)

    def _verdict(self, kind: Kind, reader: Reader, mutation: Mutation) -> tuple[str, str]:
        got = self._read(kind, reader, mutation.content)
        if got.fault:
            return "fault", got.fault
        if got.code == 2:
            return "refused", ""
        whole = self._whole_read(kind, reader)
        other = [
            name
            for name in whole.answers.keys() | got.answers.keys()
            if got.answers.get(name) != whole.answers.get(name)
        ]
        if not other:
            return "as the whole file", ""
        if mutation.valid or not got.says(whole):
            return "otherwise", ""
        return "fault", f"other values without a word: {', '.join(sorted(other))[:200]}"

    def _whole_read(self, kind: Kind, reader: Reader) -> forked.Outcome:
        key = (reader.name, kind.prepare)
        if key not in self._whole:
            whole = self._read(kind, reader, None)
            if whole.code != 0 or whole.fault:
                raise RuntimeError(f"{reader.name} on whole files: exit code {whole.code}\n{whole.words[-2_000:]}")
            self._whole[key] = whole
        return self._whole[key]


def table(results: Iterable[Result]) -> str:
    """Return a line of counts for each kind."""
    counts: dict[str, Counter] = {}
    for result in results:
        counts.setdefault(result.kind, Counter())[result.verdict] += 1
    columns = ("refused", "as the whole file", "otherwise", "fault")
    lines = [f"{'kind':24}{'cases':>7}" + "".join(f"{column:>19}" for column in columns)]
    for kind, count in counts.items():
        lines.append(f"{kind:24}{count.total():7}" + "".join(f"{count[column]:19}" for column in columns))
    return "\n".join(lines)


def words_of(fault: Result, seed: int) -> str:
    """Return a fault in two lines: what happened, and how to see it again."""
    again = f"python -m tests.torture.broken_inputs --kind '{fault.kind}' --seed {seed} --count {fault.number + 1}"
    return f"{fault.kind}, {fault.words}, read by {fault.reader}: {fault.why}\n    {again}"


def main() -> None:
    """Read the options, break the files and print the table; exit code 1 where there are faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="kind of file; repeatable (default: all)")
    parser.add_argument("--count", type=int, default=20, help="broken files of each kind")
    parser.add_argument("--readers", type=int, help="only so many readers of each kind")
    parser.add_argument("--seed", type=int, default=None, help="which files (default: a random one, printed)")
    parser.add_argument("--seconds", type=float, help="stop after so many seconds, before the next kind")
    parser.add_argument("--scratch", type=Path, help="folder whose whole files are used again")
    parser.add_argument("--keep", type=Path, help="folder for the files that faults were found with")
    parser.add_argument("--json", type=Path, help="file for all results")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    forked.import_everything()
    with tempfile.TemporaryDirectory() as scratch:
        case = Case((given.scratch or Path(scratch)).resolve())
        case.make()
        results = _broken(Torture(case, seed), given)
    if given.json:
        given.json.write_text(json.dumps([result._asdict() for result in results]))
    faults = [result for result in results if result.verdict == "fault"]
    print(table(results), *(words_of(fault, seed) for fault in faults), sep="\n")
    sys.exit(1 if faults else 0)


def _broken(torture: Torture, given: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    began = time.monotonic()
    kinds = given.kind or random.Random(torture.seed).sample(
        list(KINDS), len(KINDS)
    )  # a short sitting meets all in turn
    for name in kinds:
        if given.seconds and time.monotonic() - began > given.seconds:
            print(f"stopped after {given.seconds:.0f} s, before {name}")
            break
        start = time.monotonic()
        found = list(torture.results(name, given.count, given.readers, given.keep))
        bad = sum(result.verdict == "fault" for result in found)
        print(
            f"{name}: {len(found)} cases, {bad} faults, {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True
        )
        results += found
    return results


if __name__ == "__main__":
    main()
