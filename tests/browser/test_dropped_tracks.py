"""Files that a person brings to the page, in the browser: what is drawn, where, and with which values."""

from pathlib import Path

import pybigtools
import pytest

from model_core.run_folder.tracks import Block, write_bigwig

pytestmark = pytest.mark.browser

MYC = "ENSG00000000000.1"  # window chr1:8,000-12,000 of 40,000
EVIL = "<img src=x onerror=alert(1)>"
SPELLINGS = ({"chr1": "1", "chr2": "2"}, {"chr1": "cHR1", "chr2": "cHR2"}, {"chr1": "chr1", "chr2": "chr2"})


def bring(visitor, path: Path) -> str:
    """Choose a file through the Tracks menu; the id of its track."""
    before = visitor.value("seq2exp.userTracks().length")
    visitor.page.click("summary:has-text('Tracks')")
    with visitor.page.expect_file_chooser() as chosen:
        visitor.page.click('[data-action="add-own"]')
    chosen.value.set_files(path)
    visitor.page.keyboard.press("Escape")
    message = "document.getElementById('message').textContent"
    visitor.until(f"seq2exp.userTracks().length > {before} || !/Reading|^$/.test({message})")
    assert visitor.value("seq2exp.userTracks().length") == before + 1, visitor.where()
    visitor.until("seq2exp.settled().then(() => true)").quiet()
    return visitor.value("[...document.querySelectorAll('[data-action=remove-own]')].pop().dataset.own")


def blocks(visitor, track: str) -> list[tuple]:
    """(start, end, value) of what igv.js holds of a track of values in the window, without zeros."""
    return [(f["start"], f["end"], f["value"]) for f in visitor.features(track) if f["value"]]


def write_bigbed(path: Path, sizes: dict[str, int], rows: list[tuple[str, int, int, str]]) -> Path:
    pybigtools.open(str(path), "w").write(sizes, rows)
    return path


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda names: names["chr1"])
def test_a_bigwig_draws_at_its_place_however_it_spells_the_chromosomes(visitor, tmp_path, spelling):
    sizes = {name: 40_000 for name in spelling.values()}
    signal = [0.0] * 900 + [2.0, 7.5, 3.0] + [0.0] * 97  # bins of 10 bp
    write_bigwig(
        tmp_path / "x.bw",
        sizes,
        [Block(spelling["chr1"], 0, 10, signal), Block(spelling["chr2"], 0, 10, [1.0] * 4000)],
        2,
    )
    visitor.open(f"?gene={MYC}&locus=chr1:8,901-9,200")
    track = bring(visitor, tmp_path / "x.bw")
    assert visitor.ink(track) > 50
    assert blocks(visitor, track) == [(9_000, 9_010, 2.0), (9_010, 9_020, 7.5), (9_020, 9_030, 3.0)]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda names: names["chr1"])
def test_a_bigbed_and_a_bed_draw_alike_however_they_spell_the_chromosomes(visitor, tmp_path, spelling):
    chrom = spelling["chr1"]
    bed = tmp_path / "x.bed"
    bed.write_text(f"{chrom}\t9000\t9400\tone\n{spelling['chr2']}\t10\t20\ttwo\n")
    bigbed = write_bigbed(
        tmp_path / "x.bigBed", {name: 40_000 for name in spelling.values()}, [(chrom, 9000, 9400, "one")]
    )
    visitor.open(f"?gene={MYC}")
    for path in (bed, bigbed):
        track = bring(visitor, path)
        assert visitor.ink(track) > 50, path
        drawn = [(f["start"], f["end"]) for f in visitor.features(track) if f["start"] >= 8_000]
        assert drawn == [(9_000, 9_400)], path


def test_other_text_formats_draw_what_they_hold(visitor, tmp_path):
    visitor.open(f"?gene={MYC}&locus=chr1:8,951-9,350")  # so near that igv.js does not take means of values

    def brought(name: str, text: str) -> list[dict]:
        (tmp_path / name).write_text(text)
        track = bring(visitor, tmp_path / name)
        assert visitor.ink(track) > 20, name
        return visitor.features(track)

    told = brought("x.bedGraph", "1\t9000\t9100\t1.5\n1\t9100\t9300\t4\n")
    assert [(f["start"], f["end"], f["value"]) for f in told] == [(9000, 9100, 1.5), (9100, 9300, 4)]
    told = brought("x.wig", "variableStep chrom=1 span=50\n9001 2\n9101 3.5\n")
    assert [(f["start"], f["end"], f["value"]) for f in told] == [(9000, 9050, 2), (9100, 9150, 3.5)]
    told = brought("x.txt", f"1\t9000\t9900\t{EVIL}\t0\t+\t9050\t9800\t0\t2\t100,200,\t0,700,\n")
    assert [(e["start"], e["end"]) for e in told[0]["exons"]] == [(9000, 9100), (9700, 9900)]
    notes = 'gene_id "G1"; transcript_id "T1"; gene_name "ABC;1";'
    told = brought(
        "x.gtf", "".join(f"1\tx\texon\t{a}\t{b}\t.\t+\t.\t{notes}\n" for a, b in ((9001, 9200), (9501, 9900)))
    )
    assert [(f["name"], f["start"], f["end"], len(f["exons"])) for f in told] == [("ABC;1", 9000, 9900, 2)]
    told = brought(
        "x.vcf",
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n1\t9001\trs1\tACGT\tA\t9\tPASS\t.\n",
    )
    assert [(f["name"], f["start"], f["end"]) for f in told] == [("rs1", 9000, 9004)]
    told = brought("x.bedpe", "1\t8990\t9010\t1\t9200\t9300\tloop\t7\n")
    assert [(f["start1"], f["end2"]) for f in told] == [(8990, 9300)]


def test_words_of_a_file_stay_words(visitor, tmp_path):
    """igv.js puts labels into the page as HTML; what a click shows is made by the page itself, for every track."""
    visitor.open(f"?gene={MYC}&locus=chr1:8,951-9,350")
    notes = f'transcript_id "T"; gene_name "{EVIL}";'
    for name, text in {
        f"{EVIL.replace('/', '')}.bed": f"chr1\t8900\t9400\t{EVIL}\n",
        "x.gtf": f"chr1\tx\texon\t8901\t9400\t.\t+\t.\t{notes}\n",
        "x.vcf": f"chr1\t8901\t{EVIL}\tA\t<DEL>\t1\t{EVIL}\tEND=9400\n",
        "x.bedpe": f"chr1\t8951\t8990\tchr1\t9300\t9340\t{EVIL}\t7\n",
    }.items():
        (tmp_path / name).write_text(text)
        track = bring(visitor, tmp_path / name)
        root = "document.getElementById('igv').shadowRoot"
        assert visitor.ink(track) > 20, name
        for place in (root, "document"):
            made = (
                f"[...{place}.querySelectorAll('[onerror]')].map(n => n.outerHTML + ' IN ' + n.parentElement.outerHTML)"
            )
            assert visitor.value(made) == [], name
    labels = f"[...{root}.querySelectorAll('.igv-track-label')].map(n => n.textContent)"
    assert f"{EVIL.replace('/', '')}.bed" in visitor.value(labels)


def test_a_file_that_is_not_drawn_is_named(visitor, tmp_path):
    visitor.open(f"?gene={MYC}")
    (tmp_path / "x.bed").write_bytes(b"@SQ\tSN:chr1\tLN:40000\n" + b"@CO\tx\n" * 3_000_000)  # more than 16 MB
    visitor.page.click("summary:has-text('Tracks')")
    with visitor.page.expect_file_chooser() as chosen:
        visitor.page.click('[data-action="add-own"]')
    chosen.value.set_files(tmp_path / "x.bed")
    visitor.until("document.getElementById('message').textContent.includes('found a SAM file (reads)')")
    assert visitor.value("seq2exp.userTracks()") == []
