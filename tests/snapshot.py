"""What the program gives for one small run, as one hash for each thing given: exports, answers, tables, tracks.

`python tests/snapshot.py` writes snapshot.json anew; do that only for a change of output that CHANGES.md names. Numbers
count to five significant digits, so that neither the processor nor a library's rounding decides. Sentences do not
count: they may be said better. RENAMED holds the names that have changed since snapshot.json was first written.
"""

import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyBigWig
from typer.testing import CliRunner
from viewer_run import make_study, make_viewer_run

from model_core.config import SETTINGS, given_settings
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.cli import app
from seq2exp_viz.runs.registry import RunRegistry

STORED = Path(__file__).with_name("snapshot.json")
RENAMED: dict[str, str] = {  # a header or key as it is called now -> as it was called then
    "beta_sd": "spread",
    "control_rank": "stronger_than",
    "smooth_bp": "smooth",
    "max_gap": "join",
    "min_length": "shortest",
}
TYPES = {"band": "mask"}  # the type of a track in igv.js: now -> then
ADDED = {
    "band",
    "seen_in_training",
    "effect_sd",
    "recurrence",
    "direction",
    "element_gene_score",
    "chance",
}  # keys and columns that were not there then
SCHEMA = {2: 1}  # of the manifest: now -> then
API = "/api/v1/"  # where the interface lies now
SENTENCES = {"message", "note", "notes", "why", "caveat", "title", "quantity", "help", "rule_words", "suggestions"}
MYC, GATA1 = "ENSG00000000000.1", "ENSG00000000001.2"
WINDOW = "chrom=chr1&start=8000&end=12000&bins=80"
ANSWERS = {
    "runs": "runs",
    "view": f"small/view?gene={MYC}&threshold=0.4",
    "genes": "small/genes",
    "elements": f"small/genes/{MYC}/elements?threshold=0.4",
    "elements at the rule": f"small/genes/{GATA1}/elements",
    "mask": f"small/genes/{MYC}/mask?{WINDOW}",
    "certainty": f"small/genes/{MYC}/certainty?{WINDOW}&threshold=0.4",
    "prior": f"small/genes/{MYC}/prior?{WINDOW}",
    "sequence part": f"small/genes/{MYC}/why/network?{WINDOW}",
    "signal part": f"small/genes/{MYC}/why/signals?{WINDOW}",
    "disagreement": f"small/genes/{MYC}/why/disagreement?{WINDOW}",
    "contact": f"small/genes/{MYC}/contact/Hi-C?{WINDOW}",
    "signal": f"small/signals/DNase?{WINDOW}",
    "difference": f"small/genes/{MYC}/difference?from=half&{WINDOW}",
    "peaks": "small/peaks?chrom=chr1&start=0&end=40000",
    "blacklist": "small/blacklist?chrom=chr1&start=0&end=40000",
    "gene models": "small/models/gene?chrom=chr1&start=0&end=40000",
    "transcripts": "small/models/transcript?chrom=chr1&start=0&end=40000",
    "truth": "small/truth/causal?chrom=chr1&start=0&end=40000",
    "genes that use a region": "small/owners?chrom=chr1&start=10900&end=11300",
    "arcs": "small/owners/arcs?chrom=chr1&start=10900&end=11300",
    "audit": "small/audit?offset=0&limit=20",
    "search for a gene": "small/search?q=gata1",
    "search for a place": "small/search?q=chr1:1,000-2,000",
    "suggestions": "small/suggest?q=m",
    "session": f"small/genes/{MYC}/igv-session.json",
    "names of contigs": "small/contigs.tsv",
    "elements table": "small/elements.tsv",
    "elements of a gene as BED": f"small/genes/{MYC}/elements.bed?threshold=0.4",
}
EXPORTS = {
    "elements.bed": ["bed"],
    "gene.bed": ["bed", "--gene", "MYC"],
    "elements.gff3": ["gff3"],
    "elements.narrowPeak": ["narrowpeak"],
    "mask.bigWig": ["bigwig"],
    "gene.bigWig": ["bigwig", "--gene", "MYC"],
}
FILES = ("genes.tsv", "elements/elements.bed", "chrom.sizes", "scores.jsonl", "manifest.json", "config.json")
_NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+(?:[eE][-+]?\d+)?(?![\w.])")
_CHANGING = {
    "created",
    "versions",
    "path",
    "relative",
    "sha256",
    "checkpoint_sha256",
    "study_sha256",
    "mark",
    "revision",
}


def taken(folder: Path) -> dict[str, str]:
    """name -> hash, of all that is compared; `folder` is empty and takes the run."""
    study = make_study(folder / "study")
    run = make_viewer_run(folder / "small", study, name="small")
    half = make_viewer_run(folder / "half", study, name="half", genes=3)
    found = {f"file {name}": hash_of(text_of(run / name)) for name in FILES}
    found["file tracks/mask.bigWig"] = hash_of(intervals(run / "tracks" / "mask.bigWig"))
    for name, words in EXPORTS.items():
        path = folder / name
        done = CliRunner().invoke(app, ["export", str(run), *words, "-o", str(path)])
        assert done.exit_code == 0, done.output
        found[f"export {name}"] = hash_of(intervals(path) if path.suffix == ".bigWig" else path.read_text())
    compared = CliRunner().invoke(app, ["compare", str(run)])
    assert compared.exit_code == 0, compared.output
    for table in sorted((run / "compare").glob("*.tsv")):
        found[f"compare {table.name}"] = hash_of(table.read_text())
    return found | answers(folder, [run, half])


def text_of(path: Path) -> str:
    """The text of a file; a config.json with the model's settings by flat name, as they were written then."""
    text = path.read_text()
    if path.name != "config.json":
        return text
    content = json.loads(text)
    given = given_settings(content["model"])
    return json.dumps(content | {"model": {SETTINGS[path].flat_name: value for path, (_, value) in given.items()}})


def answers(folder: Path, runs: list[Path]) -> dict[str, str]:
    """What the page's interface answers."""
    registry = RunRegistry(runs, cache=folder / "cache")
    try:
        assert registry.first.models.wait(60)
        client, found = create_app(registry, Settings(igv="notebook")).server.test_client(), {}
        for name, address in ANSWERS.items():
            answer = client.get(API + address)
            assert answer.status_code == 200, (name, answer.data)
            found[f"answer {name}"] = hash_of(answer.get_json() if answer.is_json else answer.get_data(as_text=True))
        return found
    finally:
        registry.close()


def intervals(path: Path) -> list:
    """What a bigWig holds: (chrom, start, end, value)."""
    with pyBigWig.open(str(path)) as file:
        return [[chrom, *row] for chrom in file.chroms() for row in file.intervals(chrom) or ()]


def hash_of(value: object) -> str:
    """A hash of JSON values or of text, whose numbers are rounded and whose names are those of then."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        rows = [json.loads(line) for line in value.splitlines()] if "\n{" in value else json.loads(value)
        return hash_of(rows)
    text = plain_text(value) if isinstance(value, str) else json.dumps(plain(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain(value: object) -> object:
    """JSON values without what differs from day to day, and without sentences."""
    if isinstance(value, dict):
        told = {k: v for k, v in value.items() if k not in SENTENCES | _CHANGING | ADDED}
        told |= {"schema": SCHEMA[told["schema"]]} if "schema" in told else {}
        told |= {"type": TYPES.get(str(told["type"]), told["type"])} if "type" in told else {}
        return {RENAMED.get(k, k): plain(v) for k, v in told.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, str):
        return re.sub(r"\?v=[0-9a-f.]+", "", value).replace(API, "/api/")
    return value


def plain_text(text: str) -> str:
    """A table or a BED file: comment lines left out, names of then, numbers rounded."""
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("##", "#seq2exp", "# ", "#study", "#element", "#note"))
    ]
    if lines and (added := [place for place, cell in enumerate(lines[0].split("\t")) if cell in ADDED]):
        rows = [line.split("\t") for line in lines]
        lines = ["\t".join(cell for place, cell in enumerate(row) if place not in added) for row in rows]
    if lines:
        lines[0] = "\t".join(RENAMED.get(cell, cell) for cell in lines[0].split("\t"))
    return _NUMBER.sub(lambda number: rounded(float(number[0])), "\n".join(lines))


def rounded(number: float) -> str:
    """Five significant digits; what differs from 0 by rounding alone is 0."""
    return "0" if abs(number) < 1e-9 else np.format_float_positional(float(f"{number:.5g}"), trim="-")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        STORED.write_text(json.dumps(taken(Path(scratch)), indent=1) + "\n")
    print(f"{STORED} written", file=sys.stderr)
