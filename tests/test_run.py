"""The run folder: what is written is what is read, and a killed writer costs at most the gene in hand."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_builder import gene_row, make_run, random_masks

from model_core.errors import InputError
from model_core.lock import writing_into
from model_core.places import parse_site
from model_core.run_folder.elements import default_rule
from model_core.run_folder.gene_scores import site_gene
from model_core.run_folder.run import Run

WINDOW = 2000
LOCATION = {"chrom": "chr1", "strand": "+", "predicted": 1.0}


def small_run(folder: Path, resolution: int = 1, **settings) -> Run:
    """An empty run of 8-bp windows with a promoter of 2 bp on a chromosome of 20 bp."""
    sizes = {"chr1": 20}
    return Run.create(folder, window=8, promoter=2, chrom_sizes=sizes, resolution=resolution, **settings)


def append_one(run: Run, tss: int = 10, alpha=None, gene_id: str = "G", **gene) -> None:
    alpha = np.arange(1, 9) if alpha is None else np.asarray(alpha)
    with run.writing():
        run.append({**LOCATION, "gene_id": gene_id, "tss": tss, **gene}, alpha, np.full(8, 4.0))


def test_a_run_that_was_written_reads_back(tmp_path):
    make_run(tmp_path / "run", genes=3)
    run = Run.open(tmp_path / "run")
    assert run.scored == {"G0", "G1", "G2"}
    assert list(run.genes["gene_id"]) == ["G0", "G2", "G1"]  # by chromosome and place
    mask = run.mask("GENE1")
    assert (mask.chrom, mask.start, mask.end, mask.mean.shape) == ("chr2", 1000, 3000, (WINDOW,))
    rng = np.random.default_rng(0)
    for i in range(2):
        gene_row(i, 3, WINDOW, rng)
        alpha, beta = random_masks(WINDOW, rng)
    np.testing.assert_allclose(mask.alpha, alpha, rtol=1e-3)
    np.testing.assert_allclose(mask.beta, beta, rtol=1e-3)
    assert run.manifest["progress"] == {"scored": 3, "asked": 3}


def test_gene_table_has_the_window_inside_the_chromosome_and_the_residual(tmp_path):
    run = small_run(tmp_path / "run")
    append_one(run, tss=2, observed=3.0, symbol="ABC", split="test")
    row = run.gene("abc")
    assert (row["start"], row["end"], row["residual"], row["split"]) == (0, 6, 2.0, "test")
    assert np.isnan(row["kept_percent"])  # known only after assembling


def test_blacklist_promoter_and_all_off_the_chromosome_are_forced(tmp_path):
    blacklist = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [1, 0], "end": [3, 20]})
    run = small_run(tmp_path / "run", blacklist=blacklist)
    append_one(run, tss=2)  # window -2 to 6, promoter 1 to 3, blacklist 1 to 3
    assert run.mask("G").forced.tolist() == [0, 0, -1, 1, 1, -1, -1, -1]
    append_one(run, tss=18, gene_id="H")  # window 14 to 22 of 20
    assert Run.open(run.path).mask("H").forced.tolist() == [-1, -1, -1, 1, 1, -1, 0, 0]


def test_blacklist_of_a_run_is_read_back(tmp_path):
    run = small_run(tmp_path / "run", blacklist=pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [3]}))
    assert run.blacklist.to_numpy().tolist() == [["chr1", 1, 3]]
    assert small_run(tmp_path / "other").blacklist is None


def test_at_a_resolution_masks_are_means_over_bins(tmp_path):
    run = small_run(tmp_path / "run", resolution=2)
    append_one(run, alpha=[1, 3, 5, 5, 2, 2, 8, 8])
    mask = run.mask("G")
    assert mask.alpha.tolist() == [2, 5, 2, 8]
    assert mask.forced.tolist() == [-1, 1, 1, -1]  # the promoter's two bases lie in two bins, half of each


def test_a_resolution_that_does_not_divide_the_window_is_refused(tmp_path):
    with pytest.raises(InputError, match="resolution 3 bp for a window of 8 bp"):
        small_run(tmp_path / "run", resolution=3)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def three_genes(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("three") / "run", genes=3).path


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 700))
def test_a_journal_cut_at_any_byte_opens_and_resumes_with_at_most_the_gene_in_hand_lost(three_genes, cut):
    journal = (three_genes / "scores.jsonl").read_bytes()
    cut = min(cut, len(journal))
    whole_lines = journal[:cut].count(b"\n")
    folder = three_genes.parent / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(three_genes, folder)
    (folder / "scores.jsonl").write_bytes(journal[:cut])
    run = Run.open(folder)
    assert len(run.scored) == whole_lines
    rng = np.random.default_rng(1)
    with run.writing():
        for i in range(3):
            if f"G{i}" not in run.scored:
                run.append(gene_row(i, 3, WINDOW, rng), *random_masks(WINDOW, rng))
    again = Run.open(folder)
    assert again.scored == {"G0", "G1", "G2"}
    assert [json.loads(line)["row"] for line in (folder / "scores.jsonl").read_text().splitlines()] == [0, 1, 2]
    assert all(np.isfinite(again.mask(gene).mean).all() for gene in again.scored)


def test_a_last_line_of_garbage_is_dropped_and_one_before_it_is_told(three_genes, tmp_path):
    folder = shutil.copytree(three_genes, tmp_path / "run")
    lines = (folder / "scores.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "scores.jsonl").write_bytes(lines[0] + lines[1] + b"\0\0\0\n")
    assert Run.open(folder).scored == {"G0", "G1"}
    (folder / "scores.jsonl").write_bytes(lines[0] + b"\0\0\0\n" + lines[2])
    with pytest.raises(InputError, match=r"scores.jsonl line 2: found a damaged line"):
        Run.open(folder)


WRITE_UNTIL_KILLED = """
import sys
import numpy as np
from run_builder import gene_row, random_masks
from model_core.run_folder.elements import default_rule
from model_core.run_folder.run import Run
run, rng = Run.open(sys.argv[1]), np.random.default_rng(0)
with run.writing():
    for i in range(10_000):
        run.append(gene_row(i, 10_000, 2000, rng) | {"tss": 1000 + i}, *random_masks(2000, rng))
        print(i, flush=True)
"""


def test_a_writer_killed_at_work_leaves_a_run_that_another_goes_on_with(tmp_path):
    folder = tmp_path / "run"
    Run.create(folder, window=WINDOW, promoter=200, chrom_sizes={"chr1": 20_000, "chr2": 20_000})
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(folder)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE) as writer:
        printed = [writer.stdout.readline() for _ in range(5)]
        with pytest.raises(InputError, match=f"another writer \\(process {writer.pid}"), Run.open(folder).writing():
            pass
        time.sleep(0.02)
        writer.send_signal(signal.SIGKILL)
    assert printed[-1] == b"4\n"
    run = Run.open(folder)
    scored = len(run.scored)
    assert scored >= 5
    append_to = {**LOCATION, "gene_id": "after", "tss": 5000}
    with run.writing():
        run.append(append_to, *random_masks(WINDOW, np.random.default_rng(0)))
    assert len(Run.open(folder).scored) == scored + 1
    assert not (folder / "lock").exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    run = small_run(tmp_path / "run")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (run.path / "lock").write_text(json.dumps({"pid": dead.pid, "host": socket.gethostname()}))
    append_one(run)
    assert run.scored == {"G"}
    assert os.listdir(run.path).count("lock") == 0


@pytest.mark.parametrize(
    "holder", [{"pid": 1, "host": "elsewhere"}, {"pid": os.getpid(), "host": socket.gethostname()}]
)
def test_a_lock_of_another_host_or_a_living_process_is_respected(tmp_path, holder):
    run = small_run(tmp_path / "run")
    (run.path / "lock").write_text(json.dumps(holder))
    with pytest.raises(InputError, match="one writer at a time"):
        append_one(run)
    assert json.loads((run.path / "lock").read_text()) == holder


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    run = small_run(tmp_path / "run")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("model_core.files.os.replace", full)
        with pytest.raises(OSError, match="No space"):
            run.update(name="new")
    assert Run.open(run.path).name == "run"
    assert sorted(x.name for x in run.path.iterdir()) == ["chrom.sizes", "config.json", "manifest.json", "study.json"]


def test_a_line_that_failed_is_not_in_the_way_of_the_next(tmp_path, monkeypatch):
    run = small_run(tmp_path / "run")

    def full(*_):
        raise OSError(28, "No space left on device")

    genes = [{**LOCATION, "gene_id": name, "tss": 10} for name in "ABC"]
    with run.writing():
        run.append(genes[0], np.ones(8), np.ones(8))
        with monkeypatch.context() as broken:
            broken.setattr("model_core.files.os.fsync", full)
            broken.setattr(
                "model_core.run_folder.mask_store.fsync", lambda _: None
            )  # the masks arrive, their line does not
            with pytest.raises(OSError, match="No space"):
                run.append(genes[1], np.ones(8), np.ones(8))
        run.append(genes[2], np.full(8, 3), np.ones(8))
    run = Run.open(run.path)
    assert run.scored == {"A", "C"}
    assert run.mask("C").alpha.tolist() == [3] * 8


GONE = (
    *(".77.manifest.json", ".78.mask.bigWig", ".79.masks.zarr/alpha/zarr.json", "lock.new.77", "lock.stale.78"),
    *("elements/.77.elements.bed", "tracks/.77.mask.bigWig", "peaks/.77.a.narrowPeak", "training/.77.last.ckpt"),
    *("effects/.77.effects.tsv", "effects/occlusion/.77.a.npz", "compare/.77.genes.tsv", "compare/figures/.77.a.svg"),
    *("masks.zarr/alpha/c.9.abc.partial", "masks.zarr/beta/zarr.abc.partial", "masks.zarr/zarr.abc.partial"),
)


def test_what_killed_writers_left_is_cleared_away_and_nothing_else(tmp_path):
    run = make_run(tmp_path / "run", genes=1)
    (run.path / "elements").mkdir()
    kept = [run.path / name for name in (".notes", "elements/.77notes", "masks.zarr/alpha/c.0.0")]
    gone = [run.path / name for name in GONE]
    for path in (*kept[:2], *gone):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    now = time.time()
    for path, age in zip(gone, itertools.cycle((0, 60, 10**8, -(10**8))), strict=False):  # also by other clocks
        os.utime(path, (now - age, now - age))
    with run.writing():
        pass
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in gone)


def test_what_another_writer_is_writing_is_left_alone(tmp_path):
    run = make_run(tmp_path / "run", genes=1)
    for name in ("effects", "compare"):
        (run.path / name).mkdir()
        with writing_into(run.path / name):
            half = run.path / name / ".77.half.tsv"
            half.touch()
            with run.writing():
                pass
            assert half.exists()
        with writing_into(run.path / name):
            assert not half.exists()


def test_a_reader_sees_what_a_writer_adds(tmp_path):
    run = small_run(tmp_path / "run")
    reader = Run.open(run.path)
    assert len(reader.genes) == 0
    append_one(run)
    assert list(reader.genes["gene_id"]) == ["G"]
    append_one(run, gene_id="H")
    assert reader.mask("H").alpha[0] == 1


def test_append_belongs_inside_writing(tmp_path):
    with pytest.raises(RuntimeError, match="outside"):
        small_run(tmp_path / "run").append({**LOCATION, "gene_id": "G", "tss": 5}, np.ones(8), np.ones(8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chrom": "1"}, "found chromosome 'chr1'; expected '1'"),
        ({"tss": 20}, "found TSS 20 of 'G'; expected 0 to 19 on chr1"),
        ({"tss": -1}, "found TSS -1"),
        ({"strand": "."}, "expected [+] or -"),
        ({"symbol": "A\tB"}, "without tabs"),
    ],
)
def test_a_gene_off_the_chromosomes_or_without_sense_is_refused(tmp_path, change, message):
    run = small_run(tmp_path / "run")
    with pytest.raises(InputError, match=message):
        append_one(run, **{"tss": 10, **change})
    assert not run.scored


def test_a_gene_is_scored_once(tmp_path):
    run = small_run(tmp_path / "run")
    append_one(run)
    with pytest.raises(InputError, match="gene 'G' again"):
        append_one(run)


def test_genes_are_found_by_id_symbol_and_in_any_case(tmp_path):
    run = small_run(tmp_path / "run")
    for gene_id, symbol in (("ENSG1", "GATA1"), ("ENSG2", "TWIN"), ("ENSG3", "TWIN"), ("GATA1", "other")):
        append_one(run, gene_id=gene_id, symbol=symbol)
    assert run.gene("ENSG1")["symbol"] == "GATA1"
    assert run.gene("GATA1")["symbol"] == "other"  # an id goes before a symbol
    assert run.gene("gata1")["gene_id"] == "ENSG1"
    with pytest.raises(InputError, match=r"2 genes named 'TWIN'.*ask by gene_id"):
        run.gene("TWIN")
    with pytest.raises(
        InputError, match=r"no gene 'GATA2' among 4 scored genes.*did you mean GATA1.*score .* --genes GATA2"
    ):
        run.gene("GATA2")


def test_a_place_that_is_no_gene_has_what_was_typed_as_its_id():
    gene = site_gene(parse_site("chr22:19,854,895:+"))
    assert gene["gene_id"] == gene["symbol"] == "chr22:19854895:+"
    assert gene["tss"] == 19854894


def test_missing_numbers_are_written_as_null(tmp_path):
    run = small_run(tmp_path / "run")
    append_one(run, observed=float("nan"), split=float("nan"))
    record = json.loads((run.path / "scores.jsonl").read_text())
    assert (record["observed"], record["split"]) == (None, None)
    assert np.isnan(run.gene("G")["observed"])


def test_the_files_a_run_was_made_from_are_named_with_their_hash(tmp_path):
    (tmp_path / "study.toml").write_text("abc")
    run = small_run(tmp_path / "run", study=tmp_path / "study.toml")
    study = Run.open(run.path).manifest["study"]
    assert (study["path"], study["relative"]) == (str(tmp_path / "study.toml"), "../study.toml")
    assert study["sha256"].startswith("ba7816bf8f01cfea414140de5dae2223")  # SHA-256 of "abc"


def test_after_the_first_gene_the_meaning_of_masks_is_fixed(tmp_path):
    run = small_run(tmp_path / "run")
    run.update(resolution=2)
    append_one(run)
    assert run.mask("G").alpha.shape == (4,)
    with pytest.raises(InputError, match="found a new resolution and variant; expected that of its 1 scored genes"):
        run.update(resolution=1, variant="hard")
    run.update(name="renamed")
    assert Run.open(run.path).name == "renamed"


def test_what_is_no_run_is_told_from_a_damaged_one(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no manifest.json"):
        Run.open(tmp_path)
    run = small_run(tmp_path / "run")
    manifest = (run.path / "manifest.json").read_text()
    for content, message in (
        (manifest[:100], "damaged JSON"),
        ("[]", "found schema None"),
        (json.dumps({**run.manifest, "schema": 3}), "found schema 3; expected schema 2 at most; update seq2exp-viz"),
        (json.dumps({"schema": 1}), "found no kind, name, variant"),
        (json.dumps({**run.manifest, "window": "8"}), "found window '8'"),
    ):
        (run.path / "manifest.json").write_text(content)
        with pytest.raises(InputError, match=message):
            Run.open(run.path)


def test_a_creation_that_was_cut_off_is_told_and_can_be_repeated(tmp_path):
    run = small_run(tmp_path / "run")
    (run.path / "manifest.json").unlink()
    with pytest.raises(InputError, match="creation was cut off"):
        Run.open(run.path)
    assert small_run(tmp_path / "run").name == "run"


def test_a_run_is_not_created_over_other_files(tmp_path):
    small_run(tmp_path / "run")
    with pytest.raises(InputError, match="found a run; expected an empty or new folder; resume"):
        small_run(tmp_path / "run")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="found other files"):
        small_run(tmp_path)


def test_a_run_without_the_masks_that_its_journal_names_is_damaged(tmp_path):
    run = make_run(tmp_path / "run", genes=2)
    shutil.rmtree(run.path / "masks.zarr")
    with pytest.raises(InputError, match=r"found 0 rows of masks; expected the 2 that scores.jsonl names"):
        Run.open(run.path)


@pytest.mark.parametrize("sizes", ["", "chr1\t10000\n", "chr1\t10000\nchr2\t900\n", "chr2\t10000\nchr3\t10000\n", None])
def test_chromosomes_of_another_genome_are_told_when_the_run_is_opened(tmp_path, sizes):
    path = make_run(tmp_path / "run", genes=3).path
    if sizes is None:
        (path / "chrom.sizes").unlink()
    else:
        (path / "chrom.sizes").write_text(sizes)
    with pytest.raises(
        InputError, match=r"chrom\.sizes: found no base chr[12]:[0-9,]+, where its gene 'G[0-2]' begins"
    ):
        Run.open(path)


@pytest.mark.parametrize(
    ("genome", "message"),
    [
        ({"chr1": 10_000, "chr2": 10_000}, None),
        ({"chr2": 10_000, "chrM": 5, "chr1": 10_000}, None),  # a contig more, in another order
        (
            {"chr1": 10_000, "chr2": 9_999},
            r"g\.fa: found 'chr2' with 9,999 bp; expected 10,000 bp, as in .*chrom\.sizes",
        ),
        ({"chr1": 1, "chr2": 1}, "and 1 more of another length"),
        ({"chr1": 10_000}, "expected 'chr2'"),
        ({"1": 10_000, "2": 10_000}, "expected 'chr1'"),
    ],
)
def test_a_run_goes_with_a_genome_of_its_lengths_only(tmp_path, genome, message):
    run = make_run(tmp_path / "run", genes=3)
    if message is None:
        run.require_genome(genome, Path("g.fa"))
    else:
        with pytest.raises(InputError, match=message):
            run.require_genome(genome, Path("g.fa"))


def test_a_mask_whose_chunk_is_missing_is_told(tmp_path):
    run = make_run(tmp_path / "run", genes=2)
    (run.path / "masks.zarr" / "alpha" / "c.1.0").unlink()
    assert Run.open(run.path).mask("G0").mean.shape == (WINDOW,)
    with pytest.raises(InputError, match="no data in row 1"):
        Run.open(run.path).mask("G1")


def test_peaks_and_elements_of_a_run_without_any_are_told_apart_from_empty_ones(tmp_path):
    run = make_run(tmp_path / "run", genes=1)
    assert run.peaks is None
    assert run.merged_track is None
    assert len(run.elements) == 0
    (run.path / "peaks").mkdir()
    (run.path / "peaks" / "none.narrowPeak").touch()
    assert len(run.peaks) == 0


def test_writing_many_genes_reads_the_journal_once(tmp_path, monkeypatch):
    from model_core.run_folder import run as module

    read, calls = module.read_journal, []
    monkeypatch.setattr(module, "read_journal", lambda path: calls.append(path) or read(path))
    run = small_run(tmp_path / "run")
    with run.writing():
        before = len(calls)
        for i in range(20):
            run.append({**LOCATION, "gene_id": f"G{i}", "tss": 10}, np.ones(8), np.ones(8))
        assert len(run.scored) == 20
    assert len(calls) == before


def files_of_weights(folder: Path) -> dict[str, Path]:
    """Two files of weights, and two places in a folder: the one recorded relative to the run, and the absolute one."""
    for name in ("right", "wrong"):
        (folder / name).mkdir()
        (folder / name / "model.ckpt").write_text(name)
    return {name: folder / name / "model.ckpt" for name in ("right", "wrong")}


def test_the_weights_are_found_where_the_run_was_moved_to_and_where_they_were(tmp_path):
    weights = files_of_weights(tmp_path)
    run = small_run(tmp_path / "run", checkpoint=weights["right"])
    assert run.checkpoint == weights["right"]

    moved = tmp_path / "elsewhere" / "run"  # the run alone: only the absolute path still leads there
    shutil.copytree(run.path, moved)
    assert Run.open(moved).checkpoint == weights["right"]

    (moved.parent / "right").mkdir()  # beside it lies another file of that name
    (moved.parent / "right" / "model.ckpt").write_text("other weights")
    assert Run.open(moved).checkpoint == weights["right"]

    (moved.parent / "right" / "model.ckpt").write_text("right")  # run and weights together, and the first ones changed
    weights["right"].write_text("trained again")
    assert Run.open(moved).checkpoint == moved.parent / "right" / "model.ckpt"

    (moved / "checkpoint.safetensors").write_text("its own")
    assert Run.open(moved).checkpoint == moved / "checkpoint.safetensors"


def test_weights_that_are_nowhere_are_none(tmp_path):
    weights = files_of_weights(tmp_path)
    run = small_run(tmp_path / "run", checkpoint=weights["wrong"])
    weights["wrong"].unlink()
    assert run.checkpoint is None
    assert small_run(tmp_path / "other").checkpoint is None


def test_while_a_run_grows_its_rule_seldom_changes_and_follows_the_first_genes(tmp_path):
    run = make_run(tmp_path / "run", genes=9, window=400, promoter=40)
    first_eight = make_run(tmp_path / "eight", genes=8, window=400, promoter=40)
    assert run.rule.kept_target == 0.05
    names = [f"G{i}" for i in range(8)]
    assert run.rule == default_rule([run.mask(name) for name in names], binary=False)
    assert run.rule != default_rule([run.mask(name) for name in [*names, "G8"]], binary=False)
    assert first_eight.rule.kept_target == 0.05
