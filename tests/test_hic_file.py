"""Rows of .hic files read over ranges: those of hictk to the last digit, few bytes, and words for damaged files."""

import json
import pickle
import random
import struct
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from contact_maps import run_alone
from hic_writer import Layout, write_hic

from model_core.errors import InputError
from model_core.remote import hic_blocks, hic_file
from model_core.remote.hic_blocks import Damage, block_numbers, block_pixels
from model_core.remote.hic_file import HicFile
from model_core.remote.ranges import LocalRanges

SIZES = {"chr1": 1_003_000, "2": 300_000, "chr3": 50_000}  # 201 bins of 5 kb, 60, 10
LAYOUTS = {
    "8 lists of floats": Layout(8, 7, (1,)),
    "8 lists of whole numbers": Layout(8, 40, (1,), True),
    "8 rectangles of whole numbers": Layout(8, 7, (2,), True),
    "8 rectangles of floats": Layout(8, 400, (2,)),
    "9 lists of floats": Layout(9, 7, (1,)),
    "9 rectangles of whole numbers": Layout(9, 7, (2,), True),
    "9 both kinds, wide bins 1": Layout(9, 5, (1, 2), True, (True, False)),
    "9 both kinds, wide bins 2": Layout(9, 40, (2, 1), False, (False, True)),
    "9 lists, wide bins": Layout(9, 400, (1,), True, (True, True)),
}
# Whole matrices of many files in one process, as it takes a second to start.
WHOLE = """
import json, sys
import hictkpy, numpy as np
made = {}
for name, path in json.loads(sys.argv[1]).items():
    many = hictkpy.MultiResFile(path)
    for resolution in many.resolutions():
        file = many[resolution]
        for norm in ["NONE", *file.avail_normalizations()]:
            for chrom in file.chromosomes():
                try:
                    found = file.fetch(chrom, normalization=norm, count_type="float64").to_numpy("full")
                except RuntimeError as error:
                    assert "Unable to find block map" in str(error)
                    continue
                made[f"{name}/{resolution}/{norm}/{chrom}"] = found
np.savez(sys.argv[2], **made)
"""


WRITE = """
import json, sys
import hictkpy, numpy as np, pandas as pd
path, pixels, sizes = sys.argv[1:]
writer = hictkpy.hic.FileWriter(path, json.loads(sizes), [5_000, 10_000, 25_000])
writer.add_pixels(pd.DataFrame(dict(np.load(pixels))))
writer.finalize()
"""


def decaying(bins, rng, reach=120):
    """Pixels of a chromosome: counts that fall with the distance, as lists of bin1, bin2, count."""
    one, two = np.triu_indices(bins)
    near = two - one < reach
    one, two = one[near], two[near]
    counts = rng.poisson(300 / (1 + two - one))
    held = np.flatnonzero((counts > 0) & (one != 33) & (two != 33))  # bin 33 is empty
    return one[held], two[held], counts[held]


def vectors(rng):
    some = rng.lognormal(size=201)
    gaps = np.where(rng.random(201) < 0.2, np.nan, rng.lognormal(size=201))
    return {
        ("VC", 5_000): {"chr1": some, "2": rng.lognormal(size=60)},  # and none of chr3
        ("KR", 5_000): {"chr1": gaps, "2": np.r_[0.0, np.inf, rng.lognormal(size=60)]},
        ("SCALE", 10_000): {"chr1": np.r_[rng.lognormal(size=101), 0, 0]},  # longer than the chromosome
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("hic"), np.random.default_rng(7)
    pixels = {
        5_000: {"chr1": decaying(201, rng), "2": decaying(60, rng), "chr3": ([4], [4], [8])},
        10_000: {"chr1": decaying(101, rng)},
    }
    weights = vectors(rng)
    paths = {
        name: write_hic(folder / f"{number}.hic", SIZES, pixels, weights, layout)
        for number, (name, layout) in enumerate(LAYOUTS.items())
    }
    paths["9 written by hictk"] = folder / "hictk.hic"
    np.savez(folder / "x.npz", **dict(zip(("bin1_id", "bin2_id", "count"), pixels[5_000]["chr1"], strict=True)))
    run_alone(WRITE, folder / "hictk.hic", folder / "x.npz", json.dumps(SIZES))
    return paths


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """Whole matrices, read by hictk."""
    out = tmp_path_factory.mktemp("whole") / "x.npz"
    run_alone(WHOLE, json.dumps({name: str(path) for name, path in files.items()}), out)
    found = {}
    for key, matrix in np.load(out).items():
        name, *what = key.split("/")
        found.setdefault(name, {})[tuple(what)] = matrix
    return found


@pytest.mark.parametrize("name", [*LAYOUTS, "9 written by hictk"])
def test_rows_are_those_of_hictk_to_the_last_digit(files, whole, name):
    file, compared = HicFile(LocalRanges(files[name])), 0
    assert file.header.sizes == SIZES
    for (resolution, normalisation, chrom), matrix in whole[name].items():
        matrix = np.where(np.isfinite(matrix), matrix, 0)
        for anchor in {0, 1, 33, *range(0, len(matrix), 17), len(matrix) - 1} & set(range(len(matrix))):
            for reach in (0, 20, 150):
                first, last = max(anchor - reach, 0), min(anchor + reach + 1, len(matrix))
                row = file.row(chrom, int(resolution), normalisation, anchor, first, last)
                assert row.dtype == np.float64
                assert np.array_equal(row, matrix[anchor, first:last])
                compared += row.any()
    assert compared > 40


def test_all_that_a_file_holds_is_listed(files):
    for name, path in files.items():
        file = HicFile(LocalRanges(path))
        ours = name in LAYOUTS
        assert file.header.version == int(name[0])
        assert file.header.resolutions == ([5_000, 10_000] if ours else [5_000, 10_000, 25_000])
        assert file.normalisations(5_000) == (["KR", "VC"] if ours else [])
        assert file.normalisations(10_000) == (["SCALE"] if ours else [])


def test_a_chromosome_without_pixels_or_without_a_vector_has_no_contact(files):
    file = HicFile(LocalRanges(files["9 written by hictk"]))
    assert not file.row("2", 5_000, "NONE", 5, 0, 20).any()
    file = HicFile(LocalRanges(files["8 lists of floats"]))
    assert file.row("chr3", 5_000, "NONE", 4, 0, 10).tolist() == [0] * 4 + [8] + [0] * 5
    assert not file.row("chr3", 5_000, "VC", 4, 0, 10).any()


def test_a_used_file_can_be_pickled(files):
    file = HicFile(LocalRanges(files["9 lists of floats"]))
    row = file.row("chr1", 5_000, "VC", 40, 20, 61)
    assert pickle.loads(pickle.dumps(file)).row("chr1", 5_000, "VC", 40, 20, 61).tolist() == row.tolist()


# What is read


class Counted(LocalRanges):
    """Ranges that keep what was asked for."""

    def __init__(self, path):
        super().__init__(path)
        self.pieces = []

    def read_at(self, offset, length):
        self.pieces.append((offset, length))
        return super().read_at(offset, length)


@pytest.mark.parametrize("version", [8, 9])
def test_only_the_blocks_of_the_row_and_a_piece_of_its_vector_are_read(tmp_path, version):
    rng, bins = np.random.default_rng(1), 2_500
    one = np.repeat(np.arange(bins), 60)
    two = one + np.tile(np.arange(60), bins)
    inside = two < bins
    pixels = one[inside], two[inside], rng.integers(1, 30_000, inside.sum()).astype(float)
    held = {1_000: {"b": pixels}, 5_000: {"b": pixels}}
    weights = {(name, 5_000): {chrom: rng.lognormal(size=bins) for chrom in "ab"} for name in ("VC", "KR", "SCALE")}
    path = write_hic(tmp_path / "x.hic", dict.fromkeys("ab", bins * 5_000), held, weights, Layout(version, 50))
    counted = Counted(path)
    file = HicFile(counted)
    row = file.row("b", 5_000, "KR", 2_000, 1_980, 2_021)
    assert np.count_nonzero(row) == 41
    assert counted.size > 1_200_000
    assert sum(length for _, length in counted.pieces) < 100_000
    assert len(counted.pieces) < 25
    counted.pieces.clear()
    file.row("b", 5_000, "KR", 2_001, 1_981, 2_022)
    assert len(counted.pieces) <= 6  # a vector's length and piece, and blocks: the indexes are kept


def test_a_block_of_every_pixel_of_the_row_is_asked_for():
    for version, bins, columns in ((8, 5, 300), (9, 5, 300), (9, 1, 2_000), (9, 1_000, 3)):
        numbers = block_numbers(version, bins, columns, 700, 100, 1_400)
        single = [block_numbers(version, bins, columns, 700, other, other + 1).tolist() for other in range(100, 1_400)]
        assert numbers.tolist() == sorted({number for (number,) in single})
        # The other way round it is the same pixel.
        assert single[0] == block_numbers(version, bins, columns, 100, 700, 701).tolist()


# Files that contradict themselves


def read_some(path):
    """Every part of a file."""
    file = HicFile(LocalRanges(path))
    for normalisation in ("NONE", *file.normalisations(5_000)):
        for chrom, size in file.header.sizes.items():
            last = min(-(-size // 5_000), 60)
            file.row(chrom, 5_000, normalisation, last // 2, 0, last)


@pytest.fixture(scope="module", params=[8, 9])
def small(request, tmp_path_factory):
    """A small file, and the offsets where its parts begin: header, chromosomes, matrix, footer."""
    path, rng = tmp_path_factory.mktemp("small") / "x.hic", np.random.default_rng(3)
    pixels = {10_000: {"a": ([1], [1], [1])}, 5_000: {"a": decaying(40, rng), "b": decaying(30, rng)}}
    weights = {("VC", 5_000): {"a": rng.lognormal(size=40)}, ("KR", 5_000): {"b": rng.lognormal(size=30)}}
    layout = Layout(request.param, 11, (1, 2), True)
    content = write_hic(path, {"a": 200_000, "b": 150_000}, pixels, weights, layout).read_bytes()
    return content, (
        0,
        content.index(b"All\0") - 4,
        content.index(b"BP\0") - 12,
        struct.unpack_from("<q", content, 8)[0],
    )


def test_damaged_files_are_refused_in_words_or_read(small, tmp_path):
    content, parts = small
    path, rng, refused = tmp_path / "x.hic", random.Random(5), 0
    for _ in range(200):
        damaged, width = bytearray(content), rng.choice((1, 2, 4, 8))
        at = rng.choice(parts) + rng.randrange(120) if rng.random() < 0.6 else rng.randrange(len(content))
        words = (b"\xff" * 8, bytes(8), rng.randbytes(8), b"\xff" * 3 + b"\x7f" * 5)
        damaged[at : at + width] = rng.choice(words)[:width]
        path.write_bytes(damaged[: rng.choice((len(damaged), len(damaged), rng.randrange(len(damaged))))])
        try:
            read_some(path)
        except InputError as error:
            assert error.where == str(path)  # noqa: PT017  both outcomes are right, an error only in words
            refused += 1
    assert refused > 60


def test_no_number_makes_a_reader_take_much_memory(small, tmp_path):
    """Each number of header, matrix and footer in turn is the largest, and below 0."""
    content, parts = small
    path = tmp_path / "x.hic"
    tracemalloc.start()
    for start in parts:
        for at in range(start, start + 120, 4):
            for value in (2**31 - 1, -1):
                damaged = bytearray(content)
                struct.pack_into("<i", damaged, at, value)
                path.write_bytes(damaged)
                with suppress(InputError):
                    read_some(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_other_versions_and_other_files_are_refused(tmp_path, files):
    content, path = files["9 lists of floats"].read_bytes(), tmp_path / "x.hic"
    for version in (0, 6, 7, 10):
        path.write_bytes(content[:4] + struct.pack("<i", version) + content[8:])
        with pytest.raises(InputError, match=f"a .hic file of version {version}; expected .* version 8 or 9; download"):
            _ = HicFile(LocalRanges(path)).header
    for start in (b"", b"HIC", b"HIC\0\x09", b"\x89HDF\r\n\x1a\n" + bytes(80), content[:200], content[:14_100]):
        path.write_bytes(start)
        with pytest.raises(InputError, match="a damaged file"):
            _ = HicFile(LocalRanges(path)).header


def test_a_missing_resolution_of_a_matrix_is_told(files):
    with pytest.raises(InputError, match="no blocks of 10,000 bp for chromosome 2"):
        HicFile(LocalRanges(files["8 lists of floats"])).row("2", 10_000, "NONE", 0, 0, 1)


def block(*fields, layout="<3iBBB", version=8, more=b""):
    return block_pixels(zlib.compress(struct.pack(layout, *fields) + more), version)


def test_blocks_that_contradict_themselves_are_refused(monkeypatch):
    for packed in (b"", b"not packed", zlib.compress(b"x" * 100)[:-1], zlib.compress(b"short")):
        with pytest.raises(Damage):
            block_pixels(packed, 8)
    with pytest.raises(Damage, match="kind 3"):
        block(1, 0, 0, 0, 3, 0)
    for rows in (2, 2**14):  # more rows than pixels; rows that the block does not hold
        with pytest.raises(Damage):
            block(rows - 1 if rows == 2 else rows, 0, 0, 0, 1, layout="<3iBB", more=struct.pack("<h", rows))
    with pytest.raises(Damage, match="a row of -1 pixels"):
        block(1, 0, 0, 0, 1, layout="<3iBB", more=struct.pack("<3h", 1, 0, -1))
    for number, width in ((-1, 3), (2**31 - 1, 3), (4, 0), (4, -1)):
        with pytest.raises(Damage, match="pixels"):
            block(1, 0, 0, 0, 2, layout="<3iBB", more=struct.pack("<ih", number, width) + bytes(8))
    monkeypatch.setattr(hic_blocks, "MOST_UNPACKED", 1_000)
    assert len(block_pixels(zlib.compress(struct.pack("<3iBBih", 1, 0, 0, 0, 2, 490, 7) + bytes(980)), 8).counts) == 490
    with pytest.raises(Damage, match="more than 1,000 bytes"):
        block_pixels(zlib.compress(bytes(1_001)), 8)


def test_a_bomb_of_a_block_is_not_unpacked():
    bomb = zlib.compress(bytes(3 * hic_blocks.MOST_UNPACKED), 1)
    tracemalloc.start()
    with pytest.raises(Damage, match="more than 67,108,864 bytes"):
        block_pixels(bomb, 9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * hic_blocks.MOST_UNPACKED


def test_blocks_of_too_many_bytes_are_not_read(files, monkeypatch):
    monkeypatch.setattr(hic_file, "_MOST_BLOCKS", 100)
    file = HicFile(LocalRanges(files["8 lists of floats"]))
    with pytest.raises(InputError, match="blocks where a row has"):
        file.row("chr1", 5_000, "NONE", 100, 80, 121)


def test_a_text_without_an_end_or_too_many_texts_are_not_read_on(tmp_path):
    path = tmp_path / "x.hic"
    for attributes, found in ((5, "a text without an end"), (2**27, "134,217,728 attributes")):
        with Path(path).open("wb") as out:
            start = b"HIC\0" + struct.pack("<iq", 9, 100) + b"hg38\0" + struct.pack("<qqi", 0, 0, attributes)
            out.write(start + b"A" * (1 << 25))
            out.truncate(1 << 32)  # without taking room on the disk
        counted = Counted(path)
        with pytest.raises(InputError, match=found):
            _ = HicFile(counted).header
        assert sum(length for _, length in counted.pieces) <= 1 << 25
