"""The authors' released folder as a study: what it holds, where Hi-C is placed, and pickles that cannot run code."""

import io
import os
import pickle
import re

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from released_folder import BLACKLISTED, GENES, SIZES, VECTOR, contact_at, write_released_folder

from model_core.datasets.airs_study import study_from_airs
from model_core.datasets.blacklist_pickle import mask_intervals, read_masks
from model_core.errors import InputError, Problems
from model_core.intervals import rasterise
from model_core.signals.hic_vectors import StoredContact, write_index
from model_core.study.gene_features import standardise
from model_core.study.study import load_study
from model_core.window import Window


@pytest.fixture
def root(tmp_path):
    return write_released_folder(tmp_path / "GeneExp")


@pytest.fixture
def study(root, tmp_path):
    return load_study(study_from_airs(root, "K562", tmp_path / "study"))


def problems_of(root, folder, **settings):
    with pytest.raises(Problems) as caught:
        study_from_airs(root, "K562", folder, **settings)
    assert not (folder / "study.toml").exists()
    return [str(problem) for problem in caught.value.problems]


# The study


def test_the_study_has_the_genes_of_the_encoding_file_that_are_in_the_split(study):
    genes = study.genes()
    assert genes.gene_id.tolist() == ["ENSG04", "ENSG03", "ENSG02", "ENSG01"]
    assert genes.symbol.tolist() == ["DDD", "CCC", "BBB", "AAA"]
    assert genes.tss.tolist() == [15_000, 57_000, 4_000, 30_000]
    assert genes.strand.tolist() == ["-", "+", "-", "+"]
    assert genes.split.tolist() == ["test", "validation", "train", "train"]
    assert "1 genes of the encoding file are in no part" in study.path.read_text()


def test_labels_are_log10_of_the_summed_cage_plus_one(study):
    assert study.genes().label.tolist() == pytest.approx([3, 0, 2, 1])


def test_the_model_gets_the_features_as_the_release_gives_them(study, root):
    table = pd.read_csv(root / "promo_enhan_inter" / "GM12878_K562_18377_gene_expr_fromXpresso.csv", index_col="ENSID")
    columns = [f"{name}_log10zscore" for name in ("UTR5LEN", "CDSLEN", "INTRONLEN", "UTR3LEN")]
    columns += ["UTR5GC", "CDSGC", "UTR3GC", "ORFEXONDENSITY"]
    genes = study.genes()
    inputs = standardise(genes, study.feature_scale())
    assert inputs[:, :8] == pytest.approx(table.loc[genes.gene_id, columns].to_numpy(), abs=1e-6)
    assert inputs[:, 8].tolist() == pytest.approx([0, 2, 6, 6])  # sqrt(H3K27ac RPM * DHS RPM)


def test_nothing_big_is_copied_and_the_release_is_only_read(root, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    path = study_from_airs(root, "K562", tmp_path / "study")
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"study.toml", "genes.tsv", "blacklist.bed", "genes.gtf", "macs3.narrowPeak", "hic.contact.json"}
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 10_000
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert {path.name for path in set(after) - set(before)} == {"hg38.ml.fa.fai"}
    assert all(after[path] == before[path] for path in before)


def test_the_reader_gives_sequence_signals_and_blacklist_of_a_window(study, root):
    data = study.reader().read(Window("chr1", 4_000, "-", VECTOR))
    letters = (root / "hg38" / "hg38.ml.fa").read_text().split("\n")[1].upper()
    assert data.sequence[:6_000].sum() == 0
    assert [("ACGT"[row.argmax()] if row.any() else "N") for row in data.sequence[6_000:6_050]] == list(letters[:50])
    assert np.flatnonzero(data.blacklist).tolist() == [*range(6_000, 6_100), *range(11_000, 11_500)]
    assert (data.signals[:6_000] == 0).all()
    assert (data.signals[6_010:] > 0).any(axis=0).all()
    assert study.window == VECTOR


def test_peaks_are_the_stretches_of_the_released_track(study):
    peaks = study.peaks()
    assert peaks[["chrom", "start", "end"]].to_numpy().tolist() == [["chr1", 100, 150], ["chr1", 29_900, 30_200]]


def test_h1_takes_genes_by_name_and_labels_from_cage(tmp_path):
    root = write_released_folder(tmp_path / "GeneExp", "H1")
    study = load_study(study_from_airs(root, "H1", tmp_path / "study"))
    genes = study.genes()
    assert genes.gene_id.tolist() == ["ENSG04", "ENSG03", "ENSG02", "ENSG01"]
    assert genes.tss.tolist() == [15_000, 57_000, 4_000, 30_000]
    assert genes.label.tolist() == pytest.approx([np.log10(1 + 384 * 0.5)] * 4)
    assert study.peaks() is None


def test_cage_beyond_a_chromosome_s_end_counts_as_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("released_folder.GENES", (("ENSG01", "AAA", "chr1", 92, "+", "train"), *GENES[1:]))
    root = write_released_folder(tmp_path / "GeneExp", "H1")
    genes = load_study(study_from_airs(root, "H1", tmp_path / "study")).genes()
    assert genes.label.iat[-1] == pytest.approx(np.log10(1 + (92 + 192) * 0.5))


def test_gm12878_takes_its_own_column_and_another_fold_other_genes(tmp_path):
    root = write_released_folder(tmp_path / "GeneExp", "GM12878")
    genes = load_study(study_from_airs(root, "GM12878", tmp_path / "study")).genes()
    assert genes.label.tolist() == pytest.approx(np.log10([4, 3, 2, 1]))
    table = root / "promo_enhan_inter" / "leave_chrom_out_crossvalidation_split_18377genes.csv"
    split = pd.read_csv(table)
    split.loc[2:3, "fold_1"] = ["valid", "test"]
    split.to_csv(table, index=False)
    genes = load_study(study_from_airs(root, "GM12878", tmp_path / "other", fold=1)).genes()
    assert genes.split.tolist() == ["train", "test", "validation", "train", "train"]


def test_quotes_in_the_released_tables_lose_no_gene(tmp_path):
    root = write_released_folder(tmp_path / "GeneExp", "K562")
    expected = load_study(study_from_airs(root, "K562", tmp_path / "plain")).genes()
    listing = next(root.rglob("GeneList.txt"))
    lines = listing.read_text().splitlines()
    listing.write_text("\n".join(f'{line}\t"5 prime' for line in lines).replace('"5 prime', "note", 1) + "\n")
    tables = root / "promo_enhan_inter"
    split = tables / "leave_chrom_out_crossvalidation_split_18377genes.csv"
    split.write_text("\n".join(f'"a, ""b""",{line}' for line in split.read_text().splitlines()))
    found = load_study(study_from_airs(root, "K562", tmp_path / "quoted")).genes()
    assert found.equals(expected)
    with split.open("a") as file:
        file.write('\n"never closed,ENSG9,AAA\n')
    with pytest.raises(InputError, match="a quote that is never closed"):
        study_from_airs(root, "K562", tmp_path / "broken")


def test_annotation_and_blacklist_can_be_given(root, tmp_path):
    (root / "hg38_blacklist_dict_v1.pkl").unlink()
    (tmp_path / "own.bed").write_text("chr22\t5\t9\tHigh Signal Region\n")
    row = 'chr1\tx\tgene\t1\t9\t.\t+\t.\tgene_id "G"; gene_type "protein_coding";\n'
    (tmp_path / "own.gtf").write_text(row)
    path = study_from_airs(
        root, "K562", tmp_path / "s", annotation=tmp_path / "own.gtf", blacklist=tmp_path / "own.bed"
    )
    study = load_study(path)
    assert study.blacklist().to_numpy().tolist() == [["chr22", 5, 9]]
    assert study.genome_files.annotation == tmp_path / "own.gtf"
    assert not (path.parent / "genes.gtf").exists()


# What is missing or wrong


def test_every_missing_file_is_named_at_once(root, tmp_path):
    tables = root / "promo_enhan_inter"
    gone = [
        root / "chr_length.json",
        root / "hg38_blacklist_dict_v1.pkl",
        tables / "HiC" / "K562" / "hic_feat_chr22.h5",
    ]
    gone += [tables / "H3K27ac" / "K562" / "ENCFF465GBD.bigWig", root / "hg38" / "hg38.ml.fa"]
    for path in gone:
        path.unlink()
    problems = problems_of(root, tmp_path / "study")
    assert sorted(problem.split(": ")[0] for problem in problems) == sorted(map(str, gone))


def test_an_empty_folder_lacks_all_files_of_the_release(tmp_path):
    (tmp_path / "empty").mkdir()
    problems = problems_of(tmp_path / "empty", tmp_path / "study")
    assert len(problems) == 9 + 23
    assert all("no such file" in problem for problem in problems)


def test_a_start_site_without_hic_vector_is_named(root, tmp_path):
    with h5py.File(root / "promo_enhan_inter" / "HiC" / "K562" / "hic_feat_chr1.h5", "a") as file:
        del file["chr1_4000"]
    (problem,) = problems_of(root, tmp_path / "study")
    assert "no vector for 1 of 3 start sites ('chr1_4000')" in problem


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("leave_chrom_out_crossvalidation_split_18377genes.csv", "fold_11", "fold_12", "no column 'fold_11'"),
        ("GM12878_K562_18377_gene_expr_fromXpresso.csv", "K562_CAGE_128*3_sum", "x", "no column 'K562_CAGE_128*3_sum'"),
        ("leave_chrom_out_crossvalidation_split_18377genes.csv", "ENSG03", "ENSG04", "1 repeated genes"),
        ("GM12878_K562_18377_gene_expr_fromXpresso.csv", "ENSG03", "ENSG33", "no row for 1 of 4 genes ('ENSG03')"),
    ],
)
def test_tables_of_another_version_are_refused(root, tmp_path, file, old, new, words):
    path = root / "promo_enhan_inter" / file
    path.write_text(path.read_text().replace(old, new))
    assert words in problems_of(root, tmp_path / "study")[0]


def test_what_load_study_finds_wrong_leaves_no_study_behind(root, tmp_path):
    (root / "promo_enhan_inter" / "DNase-seq" / "K562" / "ENCFF414OGC.bigWig").write_bytes(b"not a bigWig")
    (problem,) = problems_of(root, tmp_path / "study")
    assert "ENCFF414OGC.bigWig" in problem
    assert list((tmp_path / "study").iterdir()) == []


def test_an_existing_study_is_never_overwritten(root, tmp_path):
    path = study_from_airs(root, "K562", tmp_path / "study")
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(InputError, match="a new folder"):
        study_from_airs(root, "K562", tmp_path / "study")
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


def test_unknown_cell_types_and_folders_are_refused(root, tmp_path):
    with pytest.raises(InputError, match="one of K562, GM12878, H1"):
        study_from_airs(root, "HepG2", tmp_path / "study")
    with pytest.raises(InputError, match="no such folder"):
        study_from_airs(root / "none", "K562", tmp_path / "study")


# Hi-C vectors


def placed(window):
    """What a window should hold: log10(1 + x) of each base's own contact, the one NaN as 0."""
    contact = contact_at(window.chrom, np.arange(window.start, window.end))
    contact[window.length // 2 + 7] = 0
    return np.log10(1 + contact)


@pytest.mark.parametrize("length", [VECTOR, 8_000, 100])
@pytest.mark.parametrize(("chrom", "tss"), [(gene[2], gene[3]) for gene in GENES])
def test_contact_stands_at_its_own_base_at_chromosome_ends_too(study, chrom, tss, length):
    window = Window(chrom, tss, "+", length)
    vector = study.signals()[2].read(window)
    assert vector.dtype == np.float32
    assert vector == pytest.approx(placed(window), abs=1e-6)


@pytest.mark.parametrize(("chrom", "tss"), [(gene[2], gene[3]) for gene in GENES])
@pytest.mark.parametrize("length", [VECTOR, 12_000])
def test_the_release_s_shift_can_be_had(root, tmp_path, chrom, tss, length):
    study = load_study(study_from_airs(root, "K562", tmp_path / "study", shifted_contact=True))
    half = length // 2
    left, right = max(0, half - tss), max(0, tss + half - SIZES[chrom])
    with h5py.File(root / "promo_enhan_inter" / "HiC" / "K562" / f"hic_feat_{chrom}.h5") as file:
        padded = np.pad(np.nan_to_num(file[f"{chrom}_{tss}"][:]), (left, right))
    start = (len(padded) - length) // 2
    vector = study.signals()[2].read(Window(chrom, tss, "+", length))
    assert vector == pytest.approx(np.log10(1 + padded[start : start + length]), abs=1e-6)
    assert (left + right > 0) == (np.abs(vector - placed(Window(chrom, tss, "+", length))).max() > 0.01)


def test_a_site_of_no_released_gene_and_a_longer_window_are_refused(study):
    contact = study.signals()[2]
    with pytest.raises(InputError, match="no contact vector for the TSS chr1:30,002"):
        contact.read(Window("chr1", 30_001, "+", 100))
    with pytest.raises(InputError, match="at least the window's 20,002 bp"):
        contact.read(Window("chr1", 30_000, "+", VECTOR + 2))
    with pytest.raises(InputError, match="expected 'chr7'"):
        contact.read(Window("chr7", 30_000, "+", 100))


def test_stored_contact_can_be_sent_to_other_processes(study):
    window = Window("chr1", 30_000, "+", 100)
    before = study.signals()[2].read(window)
    assert (pickle.loads(pickle.dumps(study.signals()[2])).read(window) == before).all()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 1}', '{"schema": 1, "sizes": {"chr1": -1}, "files": {"chr1": ""}}']
)
def test_an_index_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "x.contact.json").write_text(text)
    with pytest.raises(InputError, match="an index of contact vectors"):
        _ = StoredContact("Hi-C", tmp_path / "x.contact.json").sizes


def test_negative_contact_and_damaged_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["chr1_50"] = np.full(100, -0.1)
    (tmp_path / "b.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    files = {"chr1": tmp_path / "a.h5", "chr2": tmp_path / "b.h5", "chr3": tmp_path / "none.h5"}
    write_index(tmp_path / "x.contact.json", files, dict.fromkeys(files, 100))
    signal = StoredContact("Hi-C", tmp_path / "x.contact.json")
    for chrom, words in (("chr1", "values down to -0.1"), ("chr2", "no readable HDF5"), ("chr3", "no such file")):
        with pytest.raises(InputError, match=words):
            signal.read(Window(chrom, 50, "+", 100))


# Pickles


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_masks_are_read_from_every_protocol(tmp_path, protocol):
    masks = {chrom: np.zeros(size, bool) for chrom, size in SIZES.items()} | {"chrM": np.zeros(0, bool)}
    for chrom, spans in BLACKLISTED.items():
        for start, end in spans:
            masks[chrom][start:end] = True
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(masks, protocol))
    found = read_masks(tmp_path / "x.pkl")
    assert {chrom: mask.length for chrom, mask in found.items()} == {**SIZES, "chrM": 0}
    table = mask_intervals(found)
    assert table.chrom.tolist() == ["chr1", "chr1", "chr22"]
    assert all((rasterise(table, chrom, 0, size) == masks[chrom]).all() for chrom, size in SIZES.items())


def test_masks_of_an_older_numpy_are_read(tmp_path):
    data = pickle.dumps({"chr1": np.array([False, True])}, 4)
    old = data.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
    assert old != data
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04" + old[11:])  # without the frame, whose length has changed
    assert read_masks(tmp_path / "x.pkl")["chr1"].starts.tolist() == [1]


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile-was-here",)


@pytest.mark.parametrize(
    "content",
    [
        *(Hostile(), {"chr1": Hostile()}, {"chr1": io.BytesIO}, {"chr1": pd.Series([1])}, {"chr1": np.array([None])}),
        *({"chr1": [1, 2]}, [np.zeros(3, bool)], {"chr1": np.zeros(3)}, {1: np.zeros(3, bool)}),
        {"chr1": np.zeros((2, 2), bool)},
    ],
)
def test_pickles_of_other_content_are_refused_and_nothing_runs(root, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (root / "hg38_blacklist_dict_v1.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=re.escape("hg38_blacklist_dict_v1.pkl")):
        study_from_airs(root, "K562", tmp_path / "study")
    assert not (tmp_path / "hostile-was-here").exists()


@given(data=st.binary(max_size=60), cut=st.integers(0, 400), at=st.integers(0, 400))
def test_damaged_pickles_are_an_input_error(tmp_path_factory, data, cut, at):
    path = tmp_path_factory.mktemp("damaged") / "x.pkl"
    whole = pickle.dumps({"chr1": np.array([False, True]), "chr2": np.ones(9, bool)})
    path.write_bytes(whole[:at] + data + whole[at + cut :])
    try:
        masks = read_masks(path)
    except InputError:
        return
    assert all(mask.ends.max(initial=0) <= mask.length for mask in masks.values())


def test_a_blacklist_of_another_assembly_is_refused(root, tmp_path):
    (root / "hg38_blacklist_dict_v1.pkl").write_bytes(pickle.dumps({"chr1": np.zeros(59_999, bool)}))
    with pytest.raises(InputError, match="59,999 bases of chr1"):
        study_from_airs(root, "K562", tmp_path / "study")
