"""Masks on disk are read as they were written, or refused: flipped bits, cut chunks, changed metadata, old codecs."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_builder import gene_row, make_run, random_masks

from model_core.errors import InputError
from model_core.run_folder.mask_store import MaskStore
from model_core.run_folder.run import Run

BINS = 2000
FLIPS = 400
CODECS = ["bytes", "blosc", "crc32c"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("masks") / "run", genes=3, window=BINS).path


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def codecs_of(store: Path, name: str = "alpha") -> list[str]:
    return [codec["name"] for codec in json.loads((store / name / "zarr.json").read_text())["codecs"]]


def without_checksums(run: Path) -> None:
    """Make the masks those of an older version: the same chunks without their last four bytes."""
    for name in ("alpha", "beta"):
        metadata = run / "masks.zarr" / name / "zarr.json"
        content = json.loads(metadata.read_text())
        metadata.write_text(json.dumps(content | {"codecs": content["codecs"][:-1]}))
        for chunk in metadata.parent.glob("c.*"):
            chunk.write_bytes(chunk.read_bytes()[:-4])


def outcome(store: MaskStore, before: tuple[np.ndarray, np.ndarray]) -> str:
    """Return "same", "refused" or "other" for row 1."""
    try:
        found = store.read(1, "G1")
    except InputError:
        return "refused"
    return "same" if all(map(np.array_equal, found, before)) else "other"


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_a_flipped_bit_of_a_chunk_is_refused(folder, name):
    store, rng = MaskStore(folder / "masks.zarr", BINS), random.Random(0)
    before, chunk = store.read(1), store.path / name / "c.1.0"
    data = chunk.read_bytes()
    for at in rng.sample(range(8 * len(data)), FLIPS // 2):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        chunk.write_bytes(flipped)
        assert outcome(store, before) == "refused", at
    chunk.write_bytes(data)
    assert outcome(store, before) == "same"


@pytest.mark.parametrize("old", [False, True])
def test_a_damaged_chunk_is_told_with_run_gene_array_and_what_to_do(folder, old):
    if old:
        without_checksums(folder)
    chunk = folder / "masks.zarr" / "beta" / "c.1.0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(InputError) as refused:
        Run.open(folder).mask("G1")
    assert refused.value.where == chunk
    for words in ("row 1, gene 'G1'", "the beta that was written", "score the gene again into a new run"):
        assert words in str(refused.value)
    Run.open(folder).mask("G0")


def test_chunks_of_other_bytes_never_read_as_a_mask(folder):
    for old in (False, True):
        if old:
            without_checksums(folder)
        store, rng = MaskStore(folder / "masks.zarr", BINS), random.Random(1)
        before, chunk = store.read(1), store.path / "alpha" / "c.1.0"
        data = chunk.read_bytes()
        lie = bytearray(data)
        lie[4:8] = (2**31 - 1).to_bytes(4, "little")  # Blosc would take 2 GB
        for other in (b"", b"\0", rng.randbytes(300), data[:10], data[:-1], data + data, data + b"\0", bytes(lie)):
            chunk.write_bytes(other)
            assert outcome(store, before) == "refused", (old, len(other))
        chunk.write_bytes(data)
        assert outcome(store, before) == "same"


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, -np.inf, -0.0])
@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_values_that_no_mask_has_are_refused_where_they_are_read(folder, name, value):
    store = MaskStore(folder / "masks.zarr", BINS)
    store._arrays()[name].stored[1, 7] = value
    with pytest.raises(InputError, match="finite and above 0"):
        store.read(1)


@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
@pytest.mark.parametrize("column", [1, 2])
def test_values_that_no_mask_has_are_refused_where_they_are_written(folder, column, value):
    run, rng = Run.open(folder), np.random.default_rng(0)
    scored = [gene_row(3, 9, BINS, rng), *random_masks(BINS, rng)]
    scored[column][7] = value
    before = {path: path.read_bytes() for path in folder.rglob("c.*")}
    with run.writing(), pytest.raises(InputError, match=r"run, gene 'G3', alpha and beta: found NaN"):
        run.append(*scored)
    assert {path: path.read_bytes() for path in folder.rglob("c.*")} == before
    assert len(Run.open(folder).scored) == 3


CHANGES = {
    "shape": ["x", [3], [3, BINS + 1], [-1, BINS], [True, BINS], [3.5, BINS], [10**30, BINS], [3, BINS, 1], None],
    "data_type": ["bfloat16", "float32", "int16", None, {"name": "float16"}],
    "chunk_grid": [None, {}, {"name": "regular", "configuration": {"chunk_shape": [10**12, 10**12]}}],
    "chunk_key_encoding": [{"name": "default", "configuration": {"separator": "/"}}, [], None],
    "fill_value": [1, True, False, "NaN", None],
    "codecs": [[], None, [{"name": "bytes", "configuration": {"endian": "big"}}], [1], [{"name": "gzip"}], "x"],
    "zarr_format": [2, True, None, "3"],
    "node_type": ["group", None],
    "attributes": [1, {"a": 1}],
    "storage_transformers": [[{"name": "x"}], None],
    "dimension_names": [["a", "b"]],
    "must_understand": [True],
}


@pytest.mark.parametrize("name", CHANGES)
def test_metadata_of_an_array_that_no_run_writes_are_refused(folder, name):
    path = folder / "masks.zarr" / "beta" / "zarr.json"
    content = json.loads(path.read_text())
    for value in CHANGES[name]:
        path.write_text(json.dumps(content | {name: value}))
        with pytest.raises(InputError, match=r"score into a new run") as refused:
            Run.open(folder)
        assert refused.value.where == path


@pytest.mark.parametrize("place", ["zarr.json", "alpha/zarr.json"])
def test_metadata_that_are_no_table_are_refused(folder, place):
    path = folder / "masks.zarr" / place
    deep = b"[" * 100_000 + b"]" * 100_000
    for content in (b"", b"[]", b"null", b"{", b"\xff\xfe", deep, b'{"a":' + b"9" * 9999 + b"}", b" " * 2_000_000):
        path.write_bytes(content)
        with pytest.raises(InputError):
            Run.open(folder)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        Run.open(folder)


@pytest.mark.parametrize("value", [{"node_type": "array"}, {"zarr_format": 2}])
def test_metadata_of_another_group_are_refused(folder, value):
    path = folder / "masks.zarr" / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | value))
    with pytest.raises(InputError, match=next(iter(value))):
        Run.open(folder)


def test_new_masks_have_checksums_and_old_ones_go_on_without(folder):
    before = [MaskStore(folder / "masks.zarr", BINS).read(row) for row in range(3)]
    assert codecs_of(folder / "masks.zarr") == CODECS
    without_checksums(folder)
    run, rng = Run.open(folder), np.random.default_rng(0)
    with run.writing():
        run.append(gene_row(3, 9, BINS, rng), *random_masks(BINS, rng))
    assert codecs_of(folder / "masks.zarr") == CODECS[:-1]
    store = MaskStore(folder / "masks.zarr", BINS)
    for row, masks in enumerate(before):
        assert outcome_of(store, row, masks)
    assert Run.open(folder).mask("G3").mean.shape == (BINS,)


def outcome_of(store: MaskStore, row: int, before: tuple[np.ndarray, np.ndarray]) -> bool:
    return all(map(np.array_equal, store.read(row), before))


def test_rows_of_a_part_with_the_same_codecs_are_linked_and_others_keep_their_values(folder, tmp_path):
    part = MaskStore(folder / "masks.zarr", BINS)
    part.write(0, *(np.full((3, BINS), value, np.float32) for value in (2.5, 7)))
    for old in (False, True):
        store = MaskStore(tmp_path / str(old) / "masks.zarr", BINS)
        store.path.parent.mkdir()
        store.write(0, *(np.full((1, BINS), value, np.float32) for value in (1, 3)))
        if old:
            without_checksums(store.path.parent)
            store = MaskStore(store.path, BINS)
        store.adopt(1, [(part, 2), (part, 0)])
        assert MaskStore(store.path, BINS).rows == 3
        for row, theirs in ((1, 2), (2, 0)):
            assert outcome_of(store, row, part.read(theirs))
            chunks = [s.path / "alpha" / f"c.{number}.0" for s, number in ((store, row), (part, theirs))]
            assert chunks[0].samefile(chunks[1]) == (not old)


def test_a_damaged_row_of_a_part_is_not_taken_over(folder, tmp_path):
    part, store = MaskStore(folder / "masks.zarr", BINS), MaskStore(tmp_path / "masks.zarr", BINS)
    chunk = part.path / "alpha" / "c.2.0"
    data = bytearray(chunk.read_bytes())
    data[-20] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(InputError, match=f"delete {folder} and score again"):
        store.adopt(0, [(part, 0), (part, 2)])
    assert not store.rows


@pytest.fixture(scope="module")
def whole_with_effects(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    lengths = {"window": BINS, "promoter": 200, "members": 2, "contact": "Hi-C"}
    run = Run.create(tmp_path_factory.mktemp("effects") / "run", chrom_sizes={"chr1": 9_000, "chr2": 9_000}, **lengths)
    with run.writing():
        for i in range(3):
            effects, contact = rng.normal(0, 0.01, (2, BINS // 8)), rng.random(BINS // 8)
            run.append(gene_row(i, 9, BINS, rng), *random_masks(BINS, rng), effects, contact)
    return run.path


@pytest.fixture
def with_effects(whole_with_effects, tmp_path) -> Path:
    return Path(shutil.copytree(whole_with_effects, tmp_path / "run"))


def stored(folder: Path, name: str) -> np.ndarray:
    run = Run.open(folder)
    return run.contact("G1") if name == "contact" else run.member_effects("G1").values


@pytest.mark.parametrize("name", ["effects", "contact"])
def test_a_damaged_chunk_of_effects_or_contact_is_refused_and_masks_are_read(with_effects, name):
    rng, chunk = random.Random(2), with_effects / "masks.zarr" / name / "c.1.0"
    data = chunk.read_bytes()
    for at in rng.sample(range(8 * len(data)), 40):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        chunk.write_bytes(flipped)
        with pytest.raises(InputError, match=f"row 1, gene 'G1'; expected the {name} that was written"):
            stored(with_effects, name)
    for other in (b"", data[:-9], data + b"\0", rng.randbytes(300)):
        chunk.write_bytes(other)
        with pytest.raises(InputError, match="row 1, gene 'G1'"):
            stored(with_effects, name)
    Run.open(with_effects).mask("G1")
    chunk.unlink()
    with pytest.raises(InputError, match="no data in row 1"):
        stored(with_effects, name)


@pytest.mark.parametrize(("name", "values"), [("effects", (np.nan, np.inf)), ("contact", (np.nan, 1.001, -0.0, -1))])
def test_effects_and_contact_out_of_their_range_are_refused_where_they_are_read(with_effects, name, values):
    run = Run.open(with_effects)
    run._masks.read_array(name, 1)
    for value in values:
        run._masks._arrays()[name].stored[1, 7] = value
        with pytest.raises(InputError, match=f"values of {name} from"):
            stored(with_effects, name)


@pytest.mark.parametrize("name", ["effects", "contact"])
@pytest.mark.parametrize("entry", CHANGES)
def test_metadata_of_effects_and_contact_that_no_run_writes_are_refused(with_effects, entry, name):
    path = with_effects / "masks.zarr" / name / "zarr.json"
    content = json.loads(path.read_text())
    changes = [value for value in CHANGES[entry] if (entry, value) != ("fill_value", "NaN")]
    changes += {"fill_value": [0.0, "Infinity"], "codecs": [content["codecs"][:-1]]}.get(entry, [])
    for value in changes:
        path.write_text(json.dumps(content | {entry: value}))
        with pytest.raises(InputError, match=r"score into a new run") as refused:
            Run.open(with_effects)
        assert refused.value.where == path
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        Run.open(with_effects)


@pytest.mark.parametrize("members", [0, -1, 1, 3, 65, 10**9, True, "2", 2.5])
def test_another_number_of_members_is_refused(with_effects, members):
    path = with_effects / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"members": members}))
    with pytest.raises(InputError):
        Run.open(with_effects)


@pytest.mark.parametrize("unit", [0, -1, 1e300, "1", True, [1]])
def test_another_unit_of_effects_is_refused(with_effects, unit):
    path = with_effects / "scores.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["effect_unit"] = unit
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=r"scores.jsonl line 2"):
        Run.open(with_effects)


def test_effects_that_would_not_fit_into_memory_are_refused(tmp_path):
    with pytest.raises(InputError, match="fewer members"):
        Run.create(tmp_path / "run", window=10**8, promoter=8, resolution=8, chrom_sizes={"chr1": 9}, members=9)


def test_genes_of_a_part_bring_their_effects_and_contact(with_effects, tmp_path):
    part = Run.open(with_effects)
    lengths = {"window": BINS, "promoter": 200, "members": 2, "contact": "Hi-C"}
    run = Run.create(tmp_path / "merged", chrom_sizes=part.chrom_sizes, **lengths)
    with run.writing():
        run.adopt([(part, "G2"), (part, "G1")])
    merged = Run.open(run.path)
    for gene in ("G1", "G2"):
        np.testing.assert_array_equal(merged.member_effects(gene).values, part.member_effects(gene).values)
        np.testing.assert_array_equal(merged.contact(gene), part.contact(gene))
    chunk = with_effects / "masks.zarr" / "effects" / "c.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with run.writing(), pytest.raises(InputError, match=f"delete {with_effects} and score again"):
        run.adopt([(part, "G0")])
    without = Run.create(tmp_path / "without", chrom_sizes=part.chrom_sizes, window=BINS, promoter=200)
    with without.writing(), pytest.raises(InputError, match="the arrays alpha, beta, contact, effects"):
        without.adopt([(part, "G1")])
    assert not without.scored
