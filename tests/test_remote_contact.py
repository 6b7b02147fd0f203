"""Contact of files at an address: the numbers of the same local file, and few bytes of it."""

import json
import pickle

import h5py
import numpy as np
import pytest
from hic_writer import Layout, write_hic
from large_mcool import RESOLUTION, write_large_mcool
from mirror_server import serve_mirror

from model_core.errors import InputError
from model_core.remote.address import RemotePath
from model_core.remote.ranges import LocalRanges
from model_core.remote.traffic import TRAFFIC
from model_core.signals import remote_rows
from model_core.signals.hic import HicSignal
from model_core.signals.hic_file_rows import HicFileRows
from model_core.signals.hic_vectors import ENDING, StoredContact, _beside, site_key, write_index
from model_core.signals.remote_rows import RemoteRows
from model_core.window import Window

SIZES = {"1": 503_000, "2": 60_000, "X": 40_000}  # 101 bins of 5 kb, 12, 8
HOST = "https://contacts.test"


def pixels(bins, rng):
    one, two = np.triu_indices(bins)
    counts = rng.poisson(200 / (1 + two - one))
    held = np.flatnonzero((counts > 0) & (one != 40) & (two != 40))  # bin 40 is empty
    return one[held], two[held], counts[held]


def write_mcool(path, held, weights):
    """An .mcool of 5 kb with two columns of weights."""
    bins = [-(-size // 5_000) for size in SIZES.values()]
    offsets = np.concatenate(([0], np.cumsum(bins)))
    parts = [
        (one + start, two + start, count) for (one, two, count), start in zip(held.values(), offsets, strict=False)
    ]
    one, two, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    with h5py.File(path, "w") as file:
        group = file.create_group("resolutions/5000")
        group.attrs.update({"storage-mode": "symmetric-upper", "bin-size": 5_000})
        group["chroms/name"] = np.array([name.encode() for name in SIZES])
        group["chroms/length"] = np.array(list(SIZES.values()))
        group["indexes/chrom_offset"] = offsets
        group["indexes/bin1_offset"] = np.searchsorted(one, np.arange(offsets[-1] + 1))
        group["pixels/bin1_id"], group["pixels/bin2_id"], group["pixels/count"] = one, two, count
        for name, values in weights.items():
            group[f"bins/{name}"] = values


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of the host, as contacts.hic of both versions, contacts.mcool and vectors."""
    root = tmp_path_factory.mktemp("mirror")
    folder, rng = root / "contacts.test", np.random.default_rng(2)
    folder.mkdir()
    held = {"1": pixels(101, rng), "2": pixels(12, rng)}
    gaps = np.where(rng.random(101) < 0.1, np.nan, rng.lognormal(size=101))
    weights = {("VC", 5_000): {"1": rng.lognormal(size=101), "2": np.ones(12)}, ("KR", 5_000): {"1": gaps}}
    for version in (8, 9):
        write_hic(folder / f"v{version}.hic", SIZES, {5_000: held}, weights, Layout(version, 9, (1, 2)))
    columns = {"VC": rng.lognormal(size=121), "weight": np.where(rng.random(121) < 0.1, np.nan, 0.5)}
    write_mcool(folder / "x.mcool", held, columns)
    return folder


@pytest.fixture(scope="module")
def mirror(folder):
    with serve_mirror(folder.parent) as mirror:
        yield mirror


@pytest.fixture
def served(folder, mirror, monkeypatch, tmp_path):
    """The folder of the host's files; what is read of them is kept in a cache of the test's own."""
    monkeypatch.setenv("SEQ2EXP_CACHE", str(tmp_path / "blocks"))
    monkeypatch.setenv("SEQ2EXP_MIRROR", mirror.url())
    mirror.forget()
    TRAFFIC.clear()
    return folder


WINDOWS = [
    *(Window(chrom, tss, "+", 200_000) for chrom, tss in (("chr1", 250_000), ("chr1", 0), ("1", 502_999), ("X", 7))),
    *(Window("chr1", 201_000, "-", 30_000), Window("chr2", 20_000, "-", 150_000), Window("chr8", 30_000, "+", 1_000)),
]


@pytest.mark.parametrize(
    ("name", "normalisation"),
    [("v8.hic", "KR"), ("v9.hic", "NONE"), ("v9.hic", "VC"), ("x.mcool", "VC"), ("x.mcool", "weight")],
)
def test_a_file_at_an_address_has_the_numbers_of_the_local_one_byte_for_byte(served, tmp_path, name, normalisation):
    local = HicSignal("Hi-C", served / name, 5_000, normalisation, cache=tmp_path)
    remote = HicSignal("Hi-C", RemotePath(f"{HOST}/{name}"), 5_000, normalisation)
    assert remote.sizes == local.sizes
    some = 0
    for window in WINDOWS:
        if name == "x.mcool":  # whose names are not told with chr, too
            window = window._replace(chrom=window.chrom.removeprefix("chr"))
        vector = local.read(window)
        assert remote.read(window).tobytes() == vector.tobytes()
        some += vector.any()
    assert some >= 2


def test_nothing_is_made_of_a_hic_at_an_address(served, tmp_path):
    signal = HicSignal("Hi-C", RemotePath(f"{HOST}/v9.hic"), cache=tmp_path / "maps")
    shares = []
    signal.prepare(shares.append)
    assert signal.read(WINDOWS[0]).any()
    assert shares == []
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("name", ["v9.hic", "x.mcool"])
def test_a_used_signal_can_be_pickled(served, name):
    signal = HicSignal("Hi-C", RemotePath(f"{HOST}/{name}"))
    window = Window("1", 250_000, "+", 20_000)
    vector = signal.read(window)
    assert pickle.loads(pickle.dumps(signal)).read(window).tobytes() == vector.tobytes()


@pytest.mark.parametrize("name", ["v8.hic", "v9.hic", "x.mcool"])
def test_what_the_file_does_not_hold_is_told_as_of_a_local_one(served, tmp_path, name):
    for resolution, normalisation in ((2_000, "VC"), (5_000, "SCALE")):
        told = []
        for path in (served / name, RemotePath(f"{HOST}/{name}")):
            with pytest.raises(InputError) as caught:
                _ = HicSignal("Hi-C", path, resolution, normalisation, cache=tmp_path).sizes
            told.append((caught.value.found, caught.value.expected, caught.value.fix))
        assert told[0] == told[1]


def test_a_hic_that_is_opened_anew_after_a_change_is_read_anew(served, monkeypatch):
    """The cache of blocks opens a file anew once it has noticed a change."""
    opened = {"file": LocalRanges(served / "v8.hic")}
    monkeypatch.setattr("model_core.remote.remote_file.open_ranges", lambda _: opened["file"])
    rows = HicFileRows(RemotePath(f"{HOST}/x.hic"), 5_000, "NONE")
    before = rows.row("1", 50, 40, 61)
    assert rows.row("1", 50, 40, 61).tolist() == before.tolist()
    held = {5_000: {"1": ([50], [55], [3])}}
    opened["file"] = LocalRanges(write_hic(served / "changed.hic", SIZES, held, layout=Layout(9)))
    assert np.flatnonzero(rows.row("1", 50, 40, 61)).tolist() == [15]


def test_other_files_at_an_address_are_refused(served):
    (served / "page.hic").write_text("<!doctype html><html><body>Please log in.</body></html>\n")
    with pytest.raises(InputError, match=r"page.hic: found an HTML or XML page; expected a complete .hic"):
        _ = HicSignal("Hi-C", RemotePath(f"{HOST}/page.hic")).sizes
    (served / "empty.mcool").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty.mcool: found no row"):
        _ = HicSignal("Hi-C", RemotePath(f"{HOST}/empty.mcool")).sizes


def test_a_damaged_mcool_ends_a_child_and_not_the_reader(served):
    content = (served / "x.mcool").read_bytes()
    for number, damaged in enumerate((content[: len(content) // 2], content[:100] + b"\xff" * 4_000 + content[4_100:])):
        (served / f"damaged{number}.mcool").write_bytes(damaged)
        with pytest.raises(InputError, match=rf"damaged{number}.mcool: found"):
            HicSignal("Hi-C", RemotePath(f"{HOST}/damaged{number}.mcool")).read(Window("1", 250_000, "+", 20_000))


@pytest.mark.parametrize("pixels_of_a_bin", [60, pytest.param(400, marks=pytest.mark.nightly)])
def test_a_row_of_a_large_mcool_costs_few_bytes(served, mirror, pixels_of_a_bin):
    """530 MB at night, 80 MB at every change; the limit of one window is 6 MB."""
    path = write_large_mcool(served / "large.mcool", pixels_of_a_bin)
    window = Window("chr7", 30_002_500, "+", 200_000)
    signal = HicSignal("Hi-C", RemotePath(f"{HOST}/large.mcool"), RESOLUTION, "weight")
    vector = signal.read(window)
    assert vector.all()
    assert path.stat().st_size > pixels_of_a_bin * 1_200_000
    assert sum(mirror.sent.values()) < 3_000_000
    assert len(mirror.asked) < 60
    counted = TRAFFIC.files[f"{HOST}/large.mcool"]
    assert (counted.moved, counted.requests) == (sum(mirror.sent.values()), len(mirror.asked))
    assert vector.tobytes() == HicSignal("Hi-C", path, RESOLUTION, "weight").read(window).tobytes()


@pytest.mark.parametrize("name", ["v8.hic", "v9.hic"])
def test_a_row_of_a_hic_costs_few_requests(served, mirror, name):
    signal = HicSignal("Hi-C", RemotePath(f"{HOST}/{name}"))
    assert signal.read(WINDOWS[0]).any()
    assert len(mirror.asked) < 20


# Released vectors


@pytest.fixture
def vectors(served, tmp_path):
    values = np.random.default_rng(5).lognormal(size=2_000).astype(np.float32)
    values[3] = np.nan
    with h5py.File(served / "hic_feat_chr1.h5", "w") as file:
        file[site_key("chr1", 10_000)] = values
        file[site_key("chr1", 20_000)] = np.ones(10)
        file[site_key("chr1", 30_000)] = np.ones((2, 2_000))
    sizes = {"chr1": 500_000}
    write_index(served / f"beside{ENDING}", {"chr1": RemotePath(f"{HOST}/hic_feat_chr1.h5")}, sizes)
    index = json.loads((served / f"beside{ENDING}").read_text())
    index["files"] = {"chr1": "hic_feat_chr1.h5"}
    (served / f"relative{ENDING}").write_text(json.dumps(index))
    write_index(tmp_path / f"local{ENDING}", {"chr1": served / "hic_feat_chr1.h5"}, sizes)
    return tmp_path / f"local{ENDING}", [
        served / f"beside{ENDING}",
        RemotePath(f"{HOST}/beside{ENDING}"),
        RemotePath(f"{HOST}/relative{ENDING}"),
    ]


def test_vectors_at_an_address_are_those_of_the_local_file(vectors):
    local, others = vectors
    window = Window("chr1", 10_000, "-", 1_000)
    vector = StoredContact("Hi-C", local).read(window)
    assert vector.any()
    for path in others:
        signal = StoredContact("Hi-C", path)
        assert signal.sizes == {"chr1": 500_000}
        assert signal.read(window).tobytes() == vector.tobytes()


@pytest.mark.parametrize(
    ("tss", "found"),
    [(11_111, "no contact vector for the TSS chr1:11,112"), (20_000, "of shape"), (30_000, "of shape")],
)
def test_vectors_that_are_missing_or_of_another_shape_are_told_as_of_a_local_file(vectors, tss, found):
    for path in (vectors[0], vectors[1][2]):
        with pytest.raises(InputError, match=found):
            StoredContact("Hi-C", path).read(Window("chr1", tss, "+", 1_000))


def test_an_index_at_an_address_names_no_local_file(served):
    index = {"schema": 1, "sizes": {"chr1": 500_000}, "files": {"chr1": str(served / "hic_feat_chr1.h5")}}
    (served / f"absolute{ENDING}").write_text(json.dumps(index))
    signal = StoredContact("Hi-C", RemotePath(f"{HOST}/absolute{ENDING}"))
    file = signal._index["files"]["chr1"]
    assert isinstance(file, RemotePath)
    assert file.address.startswith(HOST)


def test_an_index_at_an_address_names_no_other_host(served, monkeypatch):
    monkeypatch.delenv("SEQ2EXP_MIRROR")
    index = RemotePath(f"{HOST}/x{ENDING}")
    assert _beside(index, f"{HOST}/y.h5") == RemotePath(f"{HOST}/y.h5")
    for other in ("https://elsewhere.test/y.h5", "http://127.0.0.1:80/y.h5", f"{HOST}:444/y.h5"):
        with pytest.raises(InputError, match="a file of another host"):
            _beside(index, other)
        assert _beside(served / "x", other) == RemotePath(other)  # the study's own


def test_an_index_that_is_not_there_is_told_as_the_server_says(served):
    for name in (f"none{ENDING}", f"long{ENDING}"):
        (served / f"long{ENDING}").write_bytes(bytes(2 << 20))
        with pytest.raises(InputError, match=r"404|2,097,152 bytes; expected an index"):
            _ = StoredContact("Hi-C", RemotePath(f"{HOST}/{name}")).sizes


def test_a_row_that_is_read_again_starts_no_second_process(served, monkeypatch):
    rows, asked = RemoteRows(RemotePath(f"{HOST}/x.mcool"), 5_000, "VC"), []
    answer = remote_rows.ask
    monkeypatch.setattr(remote_rows, "ask", lambda *words, **more: asked.append(words[1][0]) or answer(*words, **more))
    first, again = rows.row("1", 50, 30, 70), rows.row("1", 50, 30, 70)
    assert asked == ["row"]
    np.testing.assert_array_equal(first, again)
    assert first.any()
    assert len(rows.row("1", 50, 30, 60)) == 30
    assert asked == ["row", "row"]
