"""The simulated study: real formats, planted truth, the same bytes for the same seed."""

import dataclasses
import gzip
import subprocess

import cooler
import numpy as np
import pandas as pd
import pyBigWig
import pysam
import pytest

from model_core.errors import InputError
from model_core.intervals import overlaps
from model_core.simulation.assays import Tags, effects_in_reach, measure_contacts, measure_expression, pile_up
from model_core.simulation.background import chain
from model_core.simulation.grammar import Grammar
from model_core.simulation.planting import chance_sites, plant
from model_core.simulation.simulate import HARDER, World, simulate_study
from model_core.simulation.transcripts import LEAVE, draw_transcript
from model_core.simulation.world import WORLDS
from model_core.study.macs3 import find_macs3
from model_core.study.peaks import peaks_of_study
from model_core.study.study import load_study

SMALL = World(genes=(14, 14, 6), validation_genes=5)
CROWDED = dataclasses.replace(WORLDS["insulated"], genes=(40, 40, 20), validation_genes=10)
STOPS = ("TAA", "TAG", "TGA")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate_study(tmp_path_factory.mktemp("simulated") / "study", seed=3, world=SMALL).parent


@pytest.fixture(scope="module")
def planted():
    """Enough genes for statistics, without writing any file."""
    return plant(World(genes=(100, 60, 40), validation_genes=20), seed=1)


def truth(folder, name):
    table = pd.read_csv(folder / "truth" / f"{name}.bed", sep="\t")
    return table.rename(columns={"#chrom": "chrom"})


def test_study_can_be_loaded_and_read(folder):
    study = load_study(folder / "study.toml")
    genes = study.genes()
    assert study.simulated
    assert genes.split.value_counts().to_dict() == {"train": 23, "test": 6, "validation": 5}
    assert set(genes.chrom[genes.split == "test"]) == {"chr3"}
    assert genes.notna().all(axis=None)  # every feature of every gene can be computed
    data = study.reader().read(study.windows(genes)[0])
    assert data.sequence.shape == (8192, 4)
    assert data.signals.shape == (8192, 3)
    assert (data.signals.max(axis=0) > 0).all()


def test_label_is_the_planted_expression(folder):
    genes = load_study(folder / "study.toml").gene_sites().set_index("gene_id")
    parts = pd.read_csv(folder / "truth" / "genes.tsv", sep="\t").set_index("gene_id")
    assert np.allclose(genes.label[parts.index], parts.expression, atol=1e-6)
    total = SMALL.baseline + parts[["promoter", "features", "elements", "noise"]].sum(axis=1)
    expressed = parts.cage >= 10  # below that, rounding to whole counts shows
    assert np.allclose(parts.expression[expressed], total[expressed], atol=0.03)


def pairs_of(folder):
    return pd.read_csv(folder / "truth" / "pairs.tsv", sep="\t")


def test_element_part_is_the_sum_of_the_effects_of_all_elements_in_reach(folder):
    parts = pd.read_csv(folder / "truth" / "genes.tsv", sep="\t").set_index("gene_id")
    pairs = pairs_of(folder)
    effects = pairs.groupby("gene").effect.sum().reindex(parts.index, fill_value=0)
    assert np.allclose(parts.elements, effects, atol=1e-5)
    assert not pairs.effect[pairs.kind != "causal"].any()
    assert not truth(folder, "decoys").effect.any()
    assert not truth(folder, "closed").effect.any()


def test_an_element_acts_on_every_gene_in_reach_by_its_contact(folder):
    pairs = pairs_of(folder)
    causal = pairs[pairs.kind == "causal"]
    assert causal.groupby("element").gene.nunique().mean() > 1.5
    sizes = (causal.effect / causal.contact).groupby(causal.element)
    assert np.allclose(sizes.max(), sizes.min(), rtol=1e-3)
    assert causal.distance.max() > SMALL.window  # farther than a gene's own window
    listed = truth(folder, "causal")
    assert len(listed) == (causal.effect >= SMALL.least_effect).sum()


def test_readme_and_study_say_that_all_is_simulated(folder):
    assert "ALL DATA IN THIS FOLDER ARE SIMULATED" in (folder / "README.txt").read_text()
    study = load_study(folder / "study.toml")
    assert study.name == "simulated-3"


@pytest.mark.parametrize("world", [World(genes=(60, 40, 20), validation_genes=20), CROWDED], ids=["wide", "crowded"])
def test_no_element_touches_another_a_promoter_or_an_exon_of_any_gene(world):
    planted = plant(world, seed=2)
    elements, half = planted.elements, world.promoter // 2
    tss = planted.genes.set_index("gene_id").tss
    for kind in ("causal", "decoy", "closed"):
        mine = elements[elements.kind == kind]
        start, end = mine.start - tss[mine.gene_id].to_numpy(), mine.end - tss[mine.gene_id].to_numpy()
        assert (start >= -world.window // 2).all()
        assert (end <= world.window // 2).all()
    gaps = elements.start.to_numpy()[1:] - elements.end.to_numpy()[:-1]
    same_chromosome = elements.chrom.to_numpy()[1:] == elements.chrom.to_numpy()[:-1]
    assert gaps[same_chromosome].min() >= world.element_gap
    assert not overlaps(elements, planted.exons).any()
    promoters = pd.DataFrame({"chrom": planted.genes.chrom, "start": planted.genes.tss - half})
    assert not overlaps(elements, promoters.assign(end=promoters.start + world.promoter)).any()
    assert not overlaps(elements, planted.blacklist).any()


def test_start_codons_of_crowded_genes_are_left_alone():
    planted = plant(CROWDED, seed=2)
    for gene, exons in planted.exons.groupby("gene_id"):
        sequence, first, last = planted.sequences[exons.chrom.iloc[0]], exons.cds_start.iloc[0], exons.cds_end.iloc[0]
        codon = sequence[first : first + 3] if exons.strand.iloc[0] == "+" else 3 - sequence[last - 3 : last][::-1]
        inside = np.concatenate([np.arange(*span) for span in exons[["start", "end"]].to_numpy()])
        if np.isin(np.arange(first, first + 3), inside).all() and np.isin(np.arange(last - 3, last), inside).all():
            assert "".join("ACGT"[base] for base in codon) == "ATG", gene


def test_few_elements_find_no_place(planted):
    per_gene = planted.elements.groupby("kind").size() / len(planted.genes)
    assert per_gene["causal"] == pytest.approx(2.0, abs=0.25)  # of 0 to 4
    assert per_gene["decoy"] == pytest.approx(3.5, abs=0.25)  # of 2 to 5
    assert per_gene["closed"] > 0.98


def test_peak_height_tells_nothing_about_effect(planted):
    strong = planted.elements[planted.elements.strength == "strong"]
    causal, decoy = strong[strong.kind == "causal"], strong[strong.kind == "decoy"]
    assert abs(np.corrcoef(causal.dnase, causal["size"])[0, 1]) < 0.15
    assert np.log(causal.dnase).mean() == pytest.approx(np.log(decoy.dnase).mean(), abs=0.1)


def test_weak_elements_have_signal_times_the_weak_factor(planted):
    for kind in ("causal", "decoy"):  # a weak signal is no sign of either
        mine = planted.elements[planted.elements.kind == kind]
        weak = mine.strength == "weak"
        assert weak.mean() == pytest.approx(0.25, abs=0.07)
        assert mine.dnase[weak].median() / mine.dnase[~weak].median() == pytest.approx(0.12, abs=0.03)
    causal = planted.elements[planted.elements.kind == "causal"]
    weak = causal.strength == "weak"
    assert causal["size"][weak].mean() == pytest.approx(causal["size"][~weak].mean(), rel=0.07)


def test_elements_and_promoters_explain_expression(planted):
    world, rng = World(), np.random.default_rng(0)
    nowhere = np.empty(0, np.int64)
    contacts = {chrom: measure_contacts(world, len(bases), nowhere, rng) for chrom, bases in planted.sequences.items()}
    parts = measure_expression(
        world, planted.genes, effects_in_reach(world, planted.elements, planted.genes, contacts), rng
    )
    explained = parts[["promoter", "elements", "noise"]].corrwith(parts.expression) ** 2
    assert 0.25 < explained["promoter"] < 0.7
    assert 0.25 < explained["elements"] < 0.7
    assert explained["noise"] < 0.05


def test_insulators_reduce_the_contact_across_them():
    world = World(bin_bias=0.0, contact_shape=1e9)
    open_, closed = (
        measure_contacts(world, 30_000, places, np.random.default_rng(0)).true
        for places in (np.empty(0, np.int64), np.array([10_250]))
    )
    ratio = closed[:40, :8] / open_[:40, :8]
    assert ratio[10, 4] == pytest.approx(1)  # both to the left
    assert ratio[25, 4] == pytest.approx(1)  # both to the right
    assert ratio[18, 4] == pytest.approx(world.insulation, rel=1e-3)


def test_grammar_stands_in_causal_and_closed_elements_and_in_no_decoy(planted):
    grammar = Grammar(World(), "AB")
    stands = [
        grammar.stands(planted.sequences[element.chrom][element.start : element.end])
        for element in planted.elements.itertuples()
    ]
    share = pd.Series(stands).groupby(planted.elements.kind).mean()
    assert share["causal"] > 0.85  # a quarter of the sites of a motif are weaker than those that count
    assert share["closed"] > 0.85
    assert share["decoy"] == 0
    places, megabases = chance_sites(World(), planted)
    assert 50 < places / megabases < 500  # and by chance at places without signal


def test_written_sites_are_those_of_the_sequence(folder):
    sites = pd.read_csv(folder / "truth" / "motif_sites.bed", sep="\t")
    planted = plant(SMALL, seed=3)
    found: dict[str, list] = {}
    for site in sites.itertuples():
        motif = SMALL.motif(site.name)
        bases = planted.sequences[site[1]][site.start : site.end]
        motif = motif if site.strand == "+" else motif.reverse_complement
        found.setdefault(site.name, []).append(motif.log_odds(bases)[0])
    for letter, scores in found.items():
        assert np.mean(scores) == pytest.approx(SMALL.motif(letter).information, abs=1.0), letter


def test_motifs_can_be_read_as_meme(folder):
    lines = (folder / "truth" / "motifs.meme").read_text().splitlines()
    assert lines[0] == "MEME version 4"
    names = [line.split()[1] for line in lines if line.startswith("MOTIF")]
    assert names == [letter for letter, _ in SMALL.motifs]
    row = lines[lines.index("MOTIF A") + 2].split()
    assert np.allclose([float(x) for x in row], SMALL.motif("A").probabilities[0], atol=1e-6)


def test_harder_world_has_decoys_with_one_causal_motif_on_either_strand():
    planted = plant(dataclasses.replace(HARDER, genes=(40,), chromosomes=("chr1",), validation_genes=0), seed=0)
    decoys = planted.elements[planted.elements.kind == "decoy"]
    assert set(decoys.grammar) == {"CD", "AC", "BD", "A"}
    strands = planted.sites[planted.sites.letter == "A"].strand
    assert 0.4 < (strands == "+").mean() < 0.6


def test_background_has_the_frequencies_of_human_sequence(planted):
    bases = chain(np.random.default_rng(0), 400_000)
    counts = np.bincount(bases, minlength=4) / len(bases)
    assert counts[[1, 2]].sum() == pytest.approx(0.478, abs=0.01)  # of chromosome 22
    pairs = np.bincount(bases[:-1] * 4 + bases[1:], minlength=16).reshape(4, 4) / len(bases)
    assert pairs[1, 2] < 0.35 * counts[1] * counts[2]  # CpG is rare
    assert pairs[0, 0] > 1.1 * counts[0] ** 2  # runs of A are not
    island = chain(np.random.default_rng(0), 100_000, "island")
    assert np.isin(island, (1, 2)).mean() > 0.6
    assert 0.1 < np.mean([x.mean() for x in planted.repeats.values()]) < 0.35


def test_second_cell_type_differs_in_openness_alone(tmp_path):
    folder = simulate_study(tmp_path / "study", seed=3, world=CROWDED).parent
    one, two = load_study(folder / "study.toml"), load_study(folder / "cell-2" / "study.toml")
    assert two.genome_files == one.genome_files
    assert two.name == "simulated-3-cell-2"
    here, there = (pairs_of(x).drop_duplicates("element").set_index("element") for x in (folder, folder / "cell-2"))
    assert here.index.equals(there.index)
    assert (here[["start", "end"]] == there[["start", "end"]]).all(axis=None)
    opened = ((here.kind == "closed") & (there.kind == "causal")).sum()
    closed = ((here.kind == "causal") & (there.kind == "closed")).sum()
    assert opened > 0
    assert closed > 0
    assert not np.allclose(one.gene_sites().label, two.gene_sites().label)
    data = [study.reader().read(study.windows(study.gene_sites())[0]) for study in (one, two)]
    assert np.array_equal(data[0].sequence, data[1].sequence)
    assert not np.array_equal(data[0].signals[:, :2], data[1].signals[:, :2])
    assert np.array_equal(data[0].signals[:, 2], data[1].signals[:, 2])
    assert truth(folder, "causal").groupby("name").gene.nunique().max() > 1  # a line for each gene that it raises


def test_transcript_has_open_reading_frame_and_splice_sites():
    for seed in range(50):
        transcript = draw_transcript(np.random.default_rng(seed))
        text = "".join("ACGT-"[min(code, 4)] for code in transcript.sequence)
        assert (transcript.sequence == LEAVE).any()
        first, last = transcript.coding
        coding = "".join(text[max(start, first) : max(0, min(end, last))] for start, end in transcript.exons)
        codons = [coding[place : place + 3] for place in range(0, len(coding), 3)]
        assert codons[0] == "ATG"
        assert codons[-1] in STOPS
        assert not set(codons[:-1]) & set(STOPS)
        assert transcript.exons[0, 0] == 0
        assert transcript.exons[-1, 1] == len(text) <= 5_600
        for left, right in zip(transcript.exons[:-1, 1], transcript.exons[1:, 0], strict=True):
            assert text[left : left + 2] + text[right - 2 : right] == "GTAG"


def test_codons_and_splice_sites_of_the_gtf_stand_in_the_fasta(folder):
    with gzip.open(folder / "genes.gtf.gz", "rt") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    names = ["chrom", "source", "type", "start", "end", "score", "strand", "frame"]
    gtf = pd.DataFrame([row[:8] for row in rows], columns=names)
    gtf[["start", "end"]] = gtf[["start", "end"]].astype(int)
    gtf["gene"] = [row[8].split('"')[1] for row in rows]
    with pysam.FastaFile(str(folder / "genome.fa")) as fasta:

        def bases(part, strand):
            """The spliced sequence of GTF rows in the gene's direction."""
            part = part.sort_values("start")
            text = "".join(fasta.fetch(row.chrom, row.start - 1, row.end).upper() for row in part.itertuples())
            return text if strand == "+" else text[::-1].translate(str.maketrans("ACGT", "TGCA"))

        for _, gene in gtf.groupby("gene"):
            strand = gene.strand.iloc[0]
            cds, start, stop = (bases(gene[gene.type == name], strand) for name in ("CDS", "start_codon", "stop_codon"))
            assert start == "ATG" == cds[:3]
            assert stop in STOPS
            assert len(cds) % 3 == 0
            exons = gene[gene.type == "exon"].sort_values("start")
            introns = pd.DataFrame({"chrom": exons.chrom.iloc[0], "start": exons.end[:-1].to_numpy() + 1})
            introns["end"] = exons.start[1:].to_numpy() - 1
            for place in range(len(introns)):
                intron = bases(introns[place : place + 1], strand)
                assert intron[:2] + intron[-2:] == "GTAG"
            lengths = (gene.end - gene.start + 1).groupby(gene.type).sum()
            assert lengths["exon"] == lengths.drop(["exon", "gene", "transcript", "start_codon"]).sum()
            frames = gene[gene.type == "CDS"].sort_values("start", ascending=strand == "+")
            read = (frames.end - frames.start + 1).cumsum().shift(fill_value=0)
            assert (frames.frame.astype(int) == -read % 3).all()


def test_tss_of_the_gene_table_is_the_first_base_of_the_gtf_gene(folder):
    genes = pd.read_csv(folder / "genes.tsv", sep="\t").set_index("gene_id")
    with gzip.open(folder / "genes.gtf.gz", "rt") as lines:
        rows = [line.split("\t") for line in lines if "\tgene\t" in line]
    for row in rows:
        gene = genes.loc[row[8].split('"')[1]]
        assert gene.tss == (int(row[3]) - 1 if gene.strand == "+" else int(row[4]) - 1)
    assert set(genes.strand) == {"+", "-"}


def test_pile_up_centres_each_tag_on_its_cut_site():
    world = World(tags_per_unit=2.0)
    forward, reverse = np.zeros(11, np.int16), np.zeros(11, np.int16)
    forward[4], reverse[10] = 2, 1
    values = pile_up(world, Tags(forward, reverse), fragment=4)
    assert values.tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0.5, 0.5]


def test_dnase_track_is_the_pile_up_of_the_reads(folder):
    reads = pd.read_csv(folder / "DNase.tags.bed.gz", sep="\t", header=None)
    reads.columns = ["chrom", "start", "end", "name", "score", "strand"]
    with pyBigWig.open(str(folder / "DNase.bigWig")) as track:
        for chrom, size in track.chroms().items():
            mine = reads[reads.chrom == chrom]
            cuts = np.where(mine.strand == "+", mine.start, mine.end)
            covered = np.zeros(size + 1)
            np.add.at(covered, np.maximum(cuts - 40, 0), 1)
            np.add.at(covered, np.minimum(cuts + 40, size), -1)
            values = np.nan_to_num(track.values(chrom, 0, size, numpy=True))
            assert np.array_equal(values, np.cumsum(covered)[:-1] / SMALL.tags_per_unit)
            assert mine.start.is_monotonic_increasing


def test_macs3_piles_the_reads_up_to_the_dnase_track(folder, tmp_path):
    program, _ = find_macs3()
    words = ["--nomodel", "--shift", "-40", "--extsize", "80", "--keep-dup", "all", "-g", "1e6", "-n", "x", "-B"]
    command = [program, "callpeak", "-f", "BED", "-t", folder / "DNase.tags.bed.gz", *words, "--outdir", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    piled = pd.read_csv(tmp_path / "x_treat_pileup.bdg", sep="\t", names=["chrom", "start", "end", "tags"])
    with pyBigWig.open(str(folder / "DNase.bigWig")) as track:
        for chrom, rows in piled.groupby("chrom"):
            values = np.nan_to_num(track.values(chrom, 0, rows.end.max(), numpy=True))
            expected = np.repeat(rows.tags, rows.end - rows.start) / SMALL.tags_per_unit
            assert np.array_equal(values, expected)


def test_macs3_finds_the_open_elements_and_does_not_tell_decoys_from_causal_ones(folder):
    study = load_study(folder / "study.toml")
    table, record = peaks_of_study(study)
    causal, decoys, closed = (truth(folder, name) for name in ("causal", "decoys", "closed"))
    strong = causal[causal.strength == "strong"]
    assert overlaps(strong, table).mean() > 0.97
    assert overlaps(decoys[decoys.strength == "strong"], table).mean() > 0.97
    assert overlaps(causal[causal.strength == "weak"], table).mean() < 0.9
    assert overlaps(closed, table).mean() < 0.1
    assert "--ratio 0.25" in record["command"]


def test_released_prior_tells_open_elements_from_background(folder):
    # A fresh soft model has E[z] > 0.5 where the weighted sum of the signals passes 0.88.
    study = load_study(folder / "study.toml")
    genes, reader = study.gene_sites(), study.reader()
    decoys, far = truth(folder, "decoys"), []
    for gene, window in zip(genes.itertuples(), study.windows(genes), strict=True):
        weighted = reader.read(window).signals @ np.array([0.4, 0.4, 0.2])
        for decoy in decoys[(decoys.gene == gene.gene_id) & (decoys.strength == "strong")].itertuples():
            assert np.median(weighted[decoy.start - window.start : decoy.end - window.start]) > 0.88
        others = pd.concat([truth(folder, name) for name in ("causal", "decoys")])
        away = np.ones(window.length, bool)
        away[window.length // 2 - 800 : window.length // 2 + 800] = False
        for element in others[others.gene == gene.gene_id].itertuples():
            away[max(0, element.start - 500 - window.start) : element.end + 500 - window.start] = False
        far.append(weighted[away])
    assert np.quantile(np.concatenate(far), 0.9) < 0.88


def test_contacts_decay_with_distance_and_are_normalised(folder):
    path = f"{folder / 'contacts.mcool'}::/resolutions/500"
    contacts = cooler.Cooler(path)
    assert set(contacts.bins().columns) == {"chrom", "start", "end", "VC"}
    raw, normalised = (contacts.matrix(balance=name).fetch("chr1") for name in (False, "VC"))
    inside = slice(10, -10)
    mean = [np.nanmean(np.diagonal(np.nan_to_num(normalised), offset)[inside]) for offset in (0, 2, 8, 40, 60)]
    assert mean[0] > mean[1] > mean[2] > mean[3] > mean[4] == 0
    assert mean[2] / mean[0] == pytest.approx((1 + 4_000 / 1_500) ** -1.5, rel=0.1)
    upper = np.triu(np.ones(raw.shape, bool))
    assert np.nansum(normalised[upper]) == pytest.approx(raw[upper].sum(), rel=1e-6)
    assert sorted(cooler.fileops.list_coolers(str(folder / "contacts.mcool"))) == [
        "/resolutions/500",
        "/resolutions/5000",
    ]


def test_contacts_are_counts_of_the_true_contact():
    world = World(bin_bias=0.0, contact_shape=1e9, hic_depth=1e6)
    contacts = measure_contacts(world, 20_250, np.empty(0, np.int64), np.random.default_rng(0))
    assert contacts.true.shape == (41, 48)
    assert contacts.true[20, 3] == pytest.approx((1 + 1_500 / 1_500) ** -1.5, rel=1e-3)
    assert contacts.counts[20, 3] == pytest.approx(1e6 * contacts.true[20, 3], rel=0.01)
    assert contacts.counts[20, 21:].sum() == 0  # beyond the chromosome's end
    assert contacts.counts[:4].sum() == 0  # unknown sequence


def test_blacklist_touches_windows_and_promoters(folder):
    study = load_study(folder / "study.toml")
    genes, reader = study.gene_sites(), study.reader()
    listed = [reader.read(window).blacklist for window in study.windows(genes)]
    assert any(0 < mask.mean() < 0.2 for mask in listed)
    assert any(mask[4096 - 256 : 4096 + 256].any() for mask in listed)


def test_genome_has_unknown_ends_and_lower_case_bases(folder):
    with pysam.FastaFile(str(folder / "genome.fa")) as fasta:
        text = fasta.fetch("chr1")
    assert text[:2_000] == text[-2_000:] == "N" * 2_000
    assert set(text) == set("ACGTNacgt")


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, folder):
    again = simulate_study(tmp_path / "again", seed=3, world=SMALL).parent
    other = simulate_study(tmp_path / "other", seed=4, world=SMALL).parent
    names = sorted(str(path.relative_to(again)) for path in again.rglob("*") if path.is_file())
    for name in names:
        if name == "contacts.mcool":  # HDF5 notes the time
            one, two = (cooler.Cooler(f"{home / name}::/resolutions/500").pixels()[:] for home in (folder, again))
            assert one.equals(two)
        else:
            assert (folder / name).read_bytes() == (again / name).read_bytes(), name
    assert (folder / "genome.fa").read_bytes() != (other / "genome.fa").read_bytes()


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        simulate_study(tmp_path, world=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_simulation_leaves_nothing_behind(tmp_path):
    impossible = dataclasses.replace(SMALL, motifs=())
    with pytest.raises(KeyError):
        simulate_study(tmp_path / "study", world=impossible)
    assert list(tmp_path.iterdir()) == []
