"""Annotation, gene features and their scale, by hand on small inputs and against the real chromosome 22."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_core.errors import InputError
from model_core.study.annotation import gene_exons, genes_from_gtf, match_genes, read_gtf
from model_core.study.gene_features import (
    FEATURES,
    FeatureScale,
    feature_scale,
    mrna_features,
    promoter_activity,
    raw_features,
    standardise,
)
from model_core.study.genome import Genome

# + gene: exons 100-200, 300-400, 500-600 (0-based), CDS 150-200, 300-400, 500-547, stop codon 547-550.
PLUS = [
    ("gene", 101, 600, "+", "A", "", "protein_coding"),
    ("transcript", 101, 600, "+", "A", "A.t1", "protein_coding"),
    ("exon", 101, 200, "+", "A", "A.t1", "protein_coding"),
    ("exon", 301, 400, "+", "A", "A.t1", "protein_coding"),
    ("exon", 501, 600, "+", "A", "A.t1", "protein_coding"),
    ("CDS", 151, 200, "+", "A", "A.t1", "protein_coding"),
    ("CDS", 301, 400, "+", "A", "A.t1", "protein_coding"),
    ("CDS", 501, 547, "+", "A", "A.t1", "protein_coding"),
    ("stop_codon", 548, 550, "+", "A", "A.t1", "protein_coding"),
]
# - gene of one exon 700-900: stop codon 720-723, CDS 723-780; so 3'UTR 20 bp on the left, 5'UTR 120 bp on the right.
MINUS = [
    ("gene", 701, 900, "-", "B", "", "protein_coding"),
    ("exon", 701, 900, "-", "B", "B.t1", "protein_coding"),
    ("CDS", 724, 780, "-", "B", "B.t1", "protein_coding"),
    ("stop_codon", 721, 723, "-", "B", "B.t1", "protein_coding"),
]
SILENT = [
    ("gene", 1001, 1300, "+", "C", "", "lncRNA"),
    ("exon", 1001, 1100, "+", "C", "C.t1", "lncRNA"),
    ("exon", 1201, 1300, "+", "C", "C.t1", "lncRNA"),
]


def gtf_lines(rows, chrom="chr1"):
    lines = ["#!genome-build made by hand"]
    for kind, start, end, strand, gene, transcript, gene_type in rows:
        attributes = f'gene_id "ID_{gene}.2"; gene_name "{gene}"; gene_type "{gene_type}"; '
        attributes += f'transcript_id "{transcript}";' if transcript else ""
        lines.append("\t".join([chrom, "hand", kind, str(start), str(end), ".", strand, ".", attributes]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def gtf_path(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_text(gtf_lines(PLUS + MINUS + SILENT))
    return path


@pytest.fixture
def genome(tmp_path):
    """chr1 of 2,000 bp: A everywhere, but C over 150-200, G over 550-600, N over 700-710."""
    bases = ["A"] * 2000
    for start, end, letter in ((150, 200, "C"), (550, 600, "G"), (700, 710, "N")):
        bases[start:end] = letter * (end - start)
    path = tmp_path / "genome.fa"
    path.write_text(">chr1\n" + "".join(bases) + "\n")
    return Genome(path)


class FlatSignal:
    """1 per base over chosen stretches of chr1, else 0."""

    def __init__(self, name, *stretches, height=1.0):
        self.name, self.values = name, np.zeros(5000)
        for start, end in stretches:
            self.values[start:end] = height

    def read_ahead(self, regions):
        pass

    def mean_over(self, chrom, start, end):
        return float(self.values[start:end].sum() / (end - start))

    def total(self):
        return float(self.values.sum())


def features_frame(**columns):
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({name: columns.get(name, [np.nan] * rows) for name in FEATURES}, dtype=float)


def test_gtf_positions_become_zero_based_half_open(gtf_path):
    gtf = read_gtf(gtf_path)
    assert gtf[["chrom", "start", "end", "strand", "type", "gene_id", "symbol"]].iloc[0].tolist() == [
        *("chr1", 100, 600, "+", "gene", "ID_A.2", "A")
    ]
    assert "transcript" not in set(gtf.type)


def read_attributes(folder, *attributes, kind="exon"):
    """`read_gtf` of one exon for each text in the last column."""
    path = folder / "attributes.gtf"
    path.write_text("".join(f"chr1\tx\t{kind}\t1\t9\t.\t+\t.\t{text}\n" for text in attributes))
    return read_gtf(path)


@pytest.mark.parametrize(
    ("attributes", "symbol"),
    [
        ('gene_id "G1"; gene_name "CYCD0;1"; gene_type "t"; transcript_id "T1";', "CYCD0;1"),
        ('gene_id "G1"; gene_name "a # b"; gene_type "t"; transcript_id "T1";', "a # b"),
        ('gene_id "G1"; gene_name "HLA-A=2"; gene_type "t"; transcript_id "T1";', "HLA-A=2"),
        ('gene_id "G1"; gene_name "say \\"x; y\\""; gene_type "t"; transcript_id "T1";', 'say "x; y"'),
        ('gene_id "G1"; gene_name "the "old" one"; gene_type "t"; transcript_id "T1";', 'the "old" one'),
        ('gene_id "G1"; gene_name "gene_id X; y"; gene_type "t"; transcript_id "T1";', "gene_id X; y"),
        (
            'note "gene_id \\"X\\"; gene_name \\"Y\\""; gene_id "G1"; gene_name "N"; gene_type "t"; transcript_id "T1"',
            "N",
        ),
        ('note "; gene_name "; gene_id "G1"; gene_name "N"; gene_type "t"; transcript_id "T1"', "N"),
        ('note "exon_number"; transcript_id "T1"; gene_type "t"; gene_name "N"; gene_id "G1"', "N"),
        ("gene_id G1; gene_name N; gene_type t; transcript_id T1; exon_number 1;", "N"),
        ("gene_id G1;gene_name  N ;gene_type t;transcript_id T1", "N"),
        ('gene_id\t"G1";\tgene_name\t"N"; gene_type "t"; transcript_id "T1"', "N"),
        ('  gene_id  "G1" ;  gene_name  "N" ; gene_type "t" ; transcript_id "T1" ; ', "N"),
        ('level 2; gene_name "N"; tag; gene_type "t"; transcript_id "T1"; gene_id "G1"', "N"),
        ('old_gene_id "X"; gene_id "G1"; gene_id_2 "Y"; gene_type "t"; transcript_id "T1"; gene_name "N"', "N"),
        ('gene_id "G1"; gene_name "N"; gene_type "t"; transcript_id "T1"; # gene_name "X"; gene_id "Y"', "N"),
        ('gene_id "G1"; gene_name ""; gene_type "t"; transcript_id "T1"', "G1"),
        ('gene_id "G1"; gene_type "t"; transcript_id "T1"', "G1"),
        ('gene_id "G1"; transcript_id "T1"; exon_number "1"; gene_name "N"; gene_biotype "t";', "N"),
    ],
)
def test_attributes_are_told_apart_whatever_stands_in_their_values(attributes, symbol, tmp_path):
    gtf = read_attributes(tmp_path, attributes, attributes.replace('"1"', '"2"'))
    assert gtf.symbol.tolist() == [symbol] * 2
    assert gtf[["gene_id", "gene_type", "transcript_id"]].drop_duplicates().values.tolist() == [["G1", "t", "T1"]]


@pytest.mark.parametrize(
    "rows",
    [
        ['transcript_id "T"; gene_id "G"; gene_name "exon_number {}"; gene_type "t";'] * 2,
        ['transcript_id "T"; exon_number "1"; gene_id "G{}"; gene_name "{}"; gene_type "t";'] * 2,
        ['gene_id "G"; transcript_id "T"; exon_number "1"; gene_name "{}";'] * 2,
        ['gene_id "G"; transcript_id "T"; exon_number "1"; gene_name "0";'.replace("0", "{}")] * 3,
        [
            'gene_id "G"; transcript_id "T"; exon_number "1";',
            'gene_id "G"; transcript_id "T"; exon_number "1"; gene_name "{}";',
        ],
        [
            'gene_id "G"; transcript_id "T"; exon_number "1"; gene_name "A";',
            'gene_id "G"; transcript_id "T"; exon_number "1"; old_gene_name "A"; gene_name "{}";',
        ],
    ],
)
def test_each_row_is_its_own_gene_s_although_rows_begin_alike(rows, tmp_path):
    rows = [row.replace("{}", str(number)) for number, row in enumerate(rows)]
    together = read_attributes(tmp_path, *rows)
    alone = [read_attributes(tmp_path, row) for row in rows]
    for column in ("gene_id", "symbol", "gene_type", "transcript_id"):
        assert together[column].tolist() == [gtf[column].tolist()[0] for gtf in alone]


VALUE = st.one_of(
    st.text(st.sampled_from("ab;# ,='\"\\1_"), max_size=8),
    st.sampled_from(['gene_id "X"', "exon_number", "exon_number 1", "a; gene_name b", "CYCD0;1", '";', "x # y", "T1"]),
).filter(lambda value: value == value.strip())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.fixed_dictionaries(
                {"gene_id": VALUE.filter(bool), "transcript_id": VALUE},
                optional={name: VALUE for name in ("gene_name", "gene_type", "exon_number", "note", "old_gene_name")},
            ),
            st.randoms(use_true_random=False),
            st.sampled_from(["; ", ";", " ; "]),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_values_in_any_order_are_read_as_they_are(tmp_path, rows):
    texts, expected = [], []
    for values, random, between, ended in rows:
        parts = []
        for name, value in random.sample(list(values.items()), len(values)):
            bare = value and not set(value) & set('";#\\') and random.random() < 0.3
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f"{name} {value}" if bare else f'{name} "{quoted}"')
        texts.append(between.join(parts) + (";" if ended else ""))
        symbol = values.get("gene_name") or values["gene_id"]
        expected.append([values["gene_id"], symbol, values.get("gene_type", ""), values["transcript_id"]])
    gtf = read_attributes(tmp_path, *texts)
    assert gtf[["gene_id", "symbol", "gene_type", "transcript_id"]].astype(str).values.tolist() == expected


@pytest.mark.parametrize("kind", ["gene", "region"])
def test_a_gff3_file_is_called_so(tmp_path, kind):
    with pytest.raises(InputError, match=r"line 1: found a GFF3 file \(.*ID=gene:G1.*gffread -T"):
        read_attributes(tmp_path, 'ID=gene:G1;Name=x;gene_id=G1;note="y"', kind=kind)


def test_gzipped_gtf_reads_the_same(gtf_path, tmp_path):
    zipped = tmp_path / "genes.gtf.gz"
    zipped.write_bytes(gzip.compress(gtf_path.read_bytes()))
    pd.testing.assert_frame_equal(read_gtf(zipped), read_gtf(gtf_path))


def test_exons_of_one_transcript_share_its_owner_although_their_attributes_differ(tmp_path):
    path = tmp_path / "ensembl.gtf"
    attributes = 'gene_id "G1"; transcript_id "T1"; exon_number "{}"; gene_name "ONE"; gene_biotype "lncRNA";'
    lines = [f"1\te\texon\t{n}\t{n + 9}\t.\t-\t.\t{attributes.format(n)}" for n in (1, 21, 41)]
    path.write_text("\n".join(lines))
    gtf = read_gtf(path)
    assert gtf.symbol.tolist() == ["ONE"] * 3
    assert gtf.gene_type.tolist() == ["lncRNA"] * 3


def test_attributes_of_other_names_are_not_taken_for_ids(tmp_path):
    path = tmp_path / "stringtie.gtf"
    path.write_text('1\tS\texon\t1\t9\t.\t+\t.\tref_gene_id "WRONG"; gene_id "RIGHT"; transcript_id "T";\n')
    assert read_gtf(path).gene_id.tolist() == ["RIGHT"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("chr1\tx\texon\t1\t9\t.\t+\t.", ["line 1", "8 columns", "expected 9"]),
        ('chr1\tx\texon\t0\t9\t.\t+\t.\tgene_id "a";', ["line 1", "'0' to '9'"]),
        ('chr1\tx\texon\t9\t1\t.\t+\t.\tgene_id "a";', ["line 1", "start <= end"]),
        ('chr1\tx\texon\t1e3\t9\t.\t+\t.\tgene_id "a";', ["line 1", "'1e3'"]),
        ("chr1\tx\texon\t1\t9\t.\t+\t.\tID=exon1;Parent=t1", ["line 1", "gene_id", "gffread"]),
        ('chr1\tx\ttranscript\t1\t9\t.\t+\t.\tgene_id "a";', ["none of type", "GTF"]),
        ("", ["none of type"]),
    ],
)
def test_a_broken_gtf_names_line_and_remedy(tmp_path, line, words):
    path = tmp_path / "broken.gtf"
    path.write_text(line + "\n")
    with pytest.raises(InputError) as caught:
        read_gtf(path)
    assert all(word in str(caught.value) for word in [str(path), *words])


def test_the_start_site_of_a_minus_gene_is_its_last_base(gtf_path):
    genes = genes_from_gtf(read_gtf(gtf_path))
    assert genes.to_dict("list") == {
        "gene_id": ["ID_A.2", "ID_B.2"],
        "symbol": ["A", "B"],
        "chrom": ["chr1", "chr1"],
        "tss": [100, 899],
        "strand": ["+", "-"],
    }


def test_gene_types_choose_the_genes(gtf_path):
    gtf = read_gtf(gtf_path)
    assert genes_from_gtf(gtf, ["lncRNA"]).symbol.tolist() == ["C"]
    assert genes_from_gtf(gtf, []).symbol.tolist() == ["A", "B", "C"]
    with pytest.raises(InputError, match=r"lncRNA, protein_coding.*miRNA.*gene_types"):
        genes_from_gtf(gtf, ["miRNA"])


def test_without_gene_types_and_gene_rows_coding_genes_span_their_exons(tmp_path):
    path = tmp_path / "plain.gtf"
    text = gtf_lines([row for row in PLUS + SILENT if row[0] != "gene"])
    path.write_text(text.replace('gene_type "protein_coding"; ', "").replace('gene_type "lncRNA"; ', ""))
    genes = genes_from_gtf(read_gtf(path))
    assert genes[["symbol", "tss"]].values.tolist() == [["A", 100]]


def test_genes_are_found_by_id_then_without_version_then_by_symbol_on_their_chromosome(gtf_path):
    gtf = read_gtf(gtf_path)
    rows = [("ID_A.2", "x", "chr1"), ("ID_B.17", "x", "chr1"), ("other", "C", "chr1"), ("other", "C", "chr2")]
    genes = pd.DataFrame([*rows, ("none", "none", "chr1")], columns=["gene_id", "symbol", "chrom"])
    assert match_genes(genes, gtf).tolist() == ["ID_A.2", "ID_B.2", "ID_C.2", None, None]


def test_the_transcript_with_the_longest_coding_sequence_stands_for_the_gene(tmp_path):
    longer = [("exon", 101, 800, "+", "A", "A.t0", "protein_coding")]  # longer, without coding sequence
    shorter = [
        ("exon", 101, 600, "+", "A", "A.t2", "protein_coding"),
        ("CDS", 151, 250, "+", "A", "A.t2", "protein_coding"),
    ]
    path = tmp_path / "three.gtf"
    path.write_text(gtf_lines(longer + PLUS + shorter))
    exons = gene_exons(read_gtf(path), ["ID_A.2"])
    assert set(exons.transcript_id) == {"A.t1"}
    assert exons[["start", "end"]].values.tolist() == [[100, 200], [300, 400], [500, 600]]
    assert set(exons.cds_start) == {150}
    assert set(exons.cds_end) == {550}


def test_equal_transcripts_are_chosen_by_exons_then_by_name(tmp_path):
    rows = [("exon", 1001, 1100, "+", "C", name, "lncRNA") for name in ("C.t3", "C.t2")]
    path = tmp_path / "ties.gtf"
    path.write_text(gtf_lines([*rows, ("exon", 1001, 1090, "+", "C", "C.t1", "lncRNA")]))
    assert gene_exons(read_gtf(path), ["ID_C.2"]).transcript_id.tolist() == ["C.t2"]


def test_mrna_features_of_a_plus_gene_are_those_worked_by_hand(gtf_path, genome):
    features = mrna_features(gene_exons(read_gtf(gtf_path), ["ID_A.2"]), genome).loc["ID_A.2"]
    assert features[["UTR5LEN", "CDSLEN", "INTRONLEN", "UTR3LEN"]].tolist() == [50, 200, 200, 50]
    assert features[["UTR5GC", "CDSGC", "UTR3GC"]].tolist() == [0, 0.25, 1]
    assert features["ORFEXONDENSITY"] == pytest.approx(2 / 0.2)


def test_mrna_features_of_a_minus_gene_turn_the_ends_round(gtf_path, genome):
    features = mrna_features(gene_exons(read_gtf(gtf_path), ["ID_B.2"]), genome).loc["ID_B.2"]
    assert features[["UTR5LEN", "CDSLEN", "INTRONLEN", "UTR3LEN"]].tolist() == [120, 60, 0, 20]
    assert features["ORFEXONDENSITY"] == 0


def test_gc_content_is_over_known_bases_and_missing_without_any(gtf_path, tmp_path):
    path = tmp_path / "gaps.fa"
    bases = ["N"] * 2000
    bases[150:200] = "G" * 25 + "A" * 25
    path.write_text(">chr1\n" + "".join(bases) + "\n")
    features = mrna_features(gene_exons(read_gtf(gtf_path), ["ID_A.2"]), Genome(path)).loc["ID_A.2"]
    assert features["CDSGC"] == 0.5
    assert np.isnan(features["UTR5GC"])


def test_a_gene_without_coding_sequence_has_introns_and_else_nothing(gtf_path, genome):
    features = mrna_features(gene_exons(read_gtf(gtf_path), ["ID_C.2"]), genome).loc["ID_C.2"]
    assert features["INTRONLEN"] == 100
    assert features.drop("INTRONLEN").isna().all()


def test_raw_features_follow_the_order_of_the_genes_and_leave_unknown_ones_empty(gtf_path, genome):
    genes = pd.DataFrame(
        {
            "gene_id": ["ID_B.2", "nobody", "ID_A.2"],
            "symbol": ["B", "nobody", "A"],
            "chrom": "chr1",
            "tss": [899, 5, 100],
        },
        index=[7, 3, 5],
    )
    raw = raw_features(genes, read_gtf(gtf_path), genome, [FlatSignal("s", (0, 1000))])
    assert raw.index.tolist() == [7, 3, 5]
    assert raw.CDSLEN.tolist()[::2] == [60, 200]
    assert raw.loc[3].drop("PROMOTERACTIVITY").isna().all()
    assert raw.PROMOTERACTIVITY.notna().all()


def test_only_the_features_asked_for_are_computed(gtf_path):
    genes = pd.DataFrame({"gene_id": ["ID_A.2"], "symbol": ["A"], "chrom": ["chr1"], "tss": [100]})
    raw = raw_features(genes, read_gtf(gtf_path), None, only=["CDSLEN"])
    assert raw.notna().sum().to_dict() == {name: int(name == "CDSLEN") for name in FEATURES}


def test_promoter_activity_is_the_geometric_mean_of_rpm_within_500_bp():
    genes = pd.DataFrame({"chrom": ["chr1", "chr1"], "tss": [2000, 4000]})
    first = FlatSignal("H3K27ac", (1500, 1600), (2499, 2501), (100, 999), height=2.0)  # 101 of 1001 bases count
    second = FlatSignal("DNase", (1990, 2000), (3000, 3030))
    expected = np.sqrt(1e6 * 101 / 1001 * 1e6 * 10 / 40)
    assert promoter_activity(genes, [first, second]) == pytest.approx([expected, 0])
    assert promoter_activity(genes, [second]) == pytest.approx([1e6 * 10 / 40, 0])


def test_promoter_activity_at_a_chromosome_end_counts_what_is_there():
    genes = pd.DataFrame({"chrom": ["chr1"], "tss": [100]})
    assert promoter_activity(genes, [FlatSignal("s", (0, 50), (700, 750))]) == pytest.approx([5e5])


def test_an_empty_signal_gives_no_activity_rather_than_nan():
    genes = pd.DataFrame({"chrom": ["chr1"], "tss": [1000]})
    assert promoter_activity(genes, [FlatSignal("s")]).tolist() == [0]


def test_lengths_are_z_scored_as_log10_and_the_others_enter_as_they_are():
    raw = features_frame(CDSLEN=[9.9, 99.9, 999.9], UTR5GC=[0.2, 0.4, 0.9], PROMOTERACTIVITY=[0, 1, 200])
    scale = feature_scale(raw)
    inputs = standardise(raw, scale)
    assert inputs.dtype == np.float32
    assert inputs.shape == (3, 9)
    assert inputs[:, FEATURES.index("CDSLEN")] == pytest.approx([-np.sqrt(1.5), 0, np.sqrt(1.5)], abs=1e-6)
    assert inputs[:, FEATURES.index("UTR5GC")] == pytest.approx([0.2, 0.4, 0.9])
    assert inputs[:, FEATURES.index("PROMOTERACTIVITY")] == pytest.approx([0, 1, 200])


def test_missing_features_become_the_mean_of_the_genes_that_made_the_scale():
    raw = features_frame(CDSLEN=[9.9, np.nan, 999.9], UTR5GC=[0.2, np.nan, 0.6])
    inputs = standardise(raw, feature_scale(raw))
    assert inputs[1, FEATURES.index("CDSLEN")] == 0
    assert inputs[1, FEATURES.index("UTR5GC")] == pytest.approx(0.4)
    assert np.isfinite(inputs).all()  # also of features that no gene has


def test_a_scale_is_applied_to_other_genes_with_its_own_constants():
    scale = feature_scale(features_frame(CDSLEN=[9.9, 999.9], UTR5GC=[0.5, 0.7]))
    inputs = standardise(features_frame(CDSLEN=[99_999.9, np.nan], UTR5GC=[0.1, np.nan]), scale)
    assert inputs[:, FEATURES.index("CDSLEN")] == pytest.approx([3, 0])
    assert inputs[:, FEATURES.index("UTR5GC")] == pytest.approx([0.1, 0.6])


def test_features_declared_z_scored_enter_as_they_are():
    raw = features_frame(CDSLEN=[-1.5, 0.5], UTR3LEN=[9.9, 999.9])
    scale = feature_scale(raw, zscored={"CDSLEN"})
    assert standardise(raw, scale)[:, FEATURES.index("CDSLEN")].tolist() == [-1.5, 0.5]
    assert scale.zscored == {"CDSLEN"}


def test_promoter_activity_can_be_z_scored_as_the_lengths_are():
    raw = features_frame(PROMOTERACTIVITY=[0.9, 99.9])
    scale = feature_scale(raw, logged=["PROMOTERACTIVITY"])
    assert standardise(raw, scale)[:, -1] == pytest.approx([-1, 1])


def test_a_scale_survives_json():
    scale = feature_scale(features_frame(CDSLEN=[9.9, 999.9], UTR5GC=[0.5, np.nan]))
    assert FeatureScale(**scale.to_dict()) == scale
    with pytest.raises(InputError, match="8 values of mean"):
        FeatureScale(**{**scale.to_dict(), "mean": [0.0] * 8})


def test_one_gene_has_no_spread_and_z_scores_of_zero():
    raw = features_frame(CDSLEN=[1200])
    assert standardise(raw, feature_scale(raw))[0, FEATURES.index("CDSLEN")] == 0


PIECE = st.sampled_from(
    [
        *(
            "chr1",
            "exon",
            "gene",
            "CDS",
            "+",
            "-",
            ".",
            "1",
            "7",
            "007",
            "1000000000000",
            "-5",
            "1e3",
            "٣",
            "",
            "#",
            "\x00",
        ),
        *('gene_id "a";', 'gene_id "a"; transcript_id "t";', "gene_id", 'gene_id "', 'x "y"; gene_id b;', "é\u2028"),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.one_of(st.lists(PIECE, min_size=7, max_size=10).map("\t".join), st.text()), max_size=5))
def test_any_text_is_a_gtf_or_an_input_error(tmp_path, lines):
    path = tmp_path / "any.gtf"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        gtf = read_gtf(path)
    except InputError:
        return
    assert ((gtf.start >= 0) & (gtf.start < gtf.end)).all()
    assert (gtf.gene_id != "").all()
    features = mrna_features(gene_exons(gtf, gtf.gene_id.unique().tolist()))
    assert (features[["UTR5LEN", "CDSLEN", "UTR3LEN"]].dropna() >= 0).all(axis=None)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_gtf_or_an_input_error(tmp_path, data):
    path = tmp_path / "any.gtf.gz"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_gtf(path)


@pytest.fixture(scope="module")
def real(shared_data):
    table = pd.read_csv(shared_data / "genes.chr22.tsv", sep="\t")
    gtf = read_gtf(shared_data / "genes.chr22.gtf.gz")
    genome = Genome(shared_data / "hg38.chr22.partial.fa.gz")
    return table, raw_features(table, gtf, genome)


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "PROMOTERACTIVITY"])
def test_computed_features_are_those_of_the_real_table(real, name):
    table, raw = real
    both = table[name].notna()
    assert both.sum() > 300
    assert raw.loc[both, name].notna().all()
    # One gene of 404 (YPEL1) has another coding sequence in the table than any of its transcripts in the GTF.
    assert (~np.isclose(raw.loc[both, name], table.loc[both, name], atol=1e-4)).sum() <= 1


def test_promoter_activity_of_the_real_signals_follows_that_from_the_reads(real, shared_data):
    from model_core.signals.signal import BigWigSignal

    table, _ = real
    files = ("K562.H3K27ac.elements.bigWig", "K562.DNase.elements.bigWig")
    ours = promoter_activity(table, [BigWigSignal(name, shared_data / name) for name in files])
    reads = np.sqrt(table.H3K27ac_RPM_TSS1kb * table.DHS_RPM_TSS1kb)
    assert pd.Series(ours).corr(reads, method="spearman") > 0.85
