"""The page in real headless Chromium, with igv.js 3.8 and with 3.1.4."""

import json
import re

import pytest
from viewer_run import EVIL

from model_core import palette

pytestmark = pytest.mark.browser

MYC, GATA1, HBB = "ENSG00000000000.1", "ENSG00000000001.2", "ENSG00000000002.3"
PAGE = "seq2exp"


def test_every_track_of_the_page_is_really_drawn(visitor):
    visitor.open(f"?gene={MYC}")
    for track in ("genes", "signal-0", "signal-1", "signal-2", "peaks", "mask", "elements"):
        assert visitor.ink(track) > 50, track
    assert [feature["name"] for feature in visitor.features("genes")].count("MYC") == 1
    assert {feature["class"] for feature in visitor.features("elements")} == {"promoter", "with_peak", "without_peak"}


def test_a_click_on_a_gene_brings_its_own_mask(visitor):
    visitor.open(f"?gene={MYC}")
    before = visitor.features("mask")
    visitor.page.click(f'#genes [row-id="{HBB}"] [col-id="symbol"]')
    visitor.until(f"document.body.dataset.drawn.includes('{HBB}')").quiet()
    after = visitor.features("mask")
    assert (before[0]["start"], after[0]["start"]) == (8_000, 14_000)
    assert [f["mean"] for f in before] != [f["mean"] for f in after]
    assert visitor.value(f"{PAGE}.state.locus") == {"chrom": "chr1", "start": 14_000, "end": 18_000}
    assert visitor.page.inner_text("#gene-head h2") == "HBB"


def test_the_threshold_cuts_the_elements_anew(visitor):
    visitor.open(f"?gene={MYC}&threshold=0.4")
    loose = [(f["start"], f["end"]) for f in visitor.features("elements")]
    line = visitor.page.inner_text("#cut-line")
    visitor.page.focus("#threshold [role=slider]")
    visitor.page.keyboard.press("End")  # a mask never passes 1: only the promoter stays
    visitor.until(f"{PAGE}.trackOf('elements').threshold === 1")
    visitor.until("document.body.dataset.drawn.endsWith('|1')").quiet()
    visitor.until("document.getElementById('cut-line').textContent.startsWith('0 elements')")
    assert [f["class"] for f in visitor.features("elements")] == ["promoter"]
    assert len(loose) == 3
    assert line.startswith("2 elements")
    assert visitor.value(f"{PAGE}.trackOf('mask').threshold") == 1


def test_a_link_opens_the_same_view_again(visitor, chromium):
    visitor.open(f"?run=half&gene={HBB}&locus=chr1:15001-16500&threshold=0.52")
    visitor.until("location.search.includes('locus=chr1:15001-16500')")
    link, before = visitor.value("location.href"), visitor.value(f"{PAGE}.state.locus")
    assert "run=half" in link
    assert "threshold=0.52" in link
    visitor.page.goto("about:blank")
    visitor.page.goto(link)
    visitor.settle()
    assert visitor.value(f"{PAGE}.state.locus") == before == {"chrom": "chr1", "start": 15_000, "end": 16_500}
    assert visitor.value(f"[{PAGE}.state.run, {PAGE}.state.gene, {PAGE}.state.threshold]") == ["half", HBB, 0.52]
    assert visitor.page.input_value("#run") == "half"


def test_a_link_to_a_gene_that_is_not_there_says_so(visitor):
    visitor.open("?gene=NOSUCH")
    visitor.until("document.getElementById('gene-head').textContent.includes(\"no scored gene 'NOSUCH'\")")


def test_on_another_chromosome_nothing_of_the_gene_is_drawn(visitor):
    visitor.open(f"?gene={MYC}")
    here = visitor.ink("elements")
    search(visitor, "chr2:9,001-9,500")
    visitor.until(f"{PAGE}.state.locus.chrom === 'chr2'").quiet()
    assert here > 50
    assert visitor.ink("elements") == 0
    assert visitor.features("mask") == []


def search(visitor, text: str) -> None:
    visitor.page.fill("#search", text)
    visitor.page.press("#search", "Enter")


def test_search_finds_genes_and_places(visitor):
    visitor.open(f"?gene={MYC}")
    search(visitor, "gata1")
    visitor.until("document.body.dataset.drawn.includes('ENSG00000000001.2')").quiet()
    assert visitor.value(f"{PAGE}.state.locus.chrom") == "chr2"
    search(visitor, "chr1:9,001-9,500")
    visitor.until(f"{PAGE}.state.locus.end === 9500")
    assert visitor.value(f"{PAGE}.state.gene") == "ENSG00000000001.2"


def test_a_wrong_name_and_a_missing_file_are_told_and_ask_nobody_outside(visitor):
    """igv.js asks igv.org after a name it does not know and after any 404; the visitor's log is checked at the end."""
    visitor.open(f"?gene={MYC}")
    search(visitor, "NOSUCHGENE")
    visitor.until("document.getElementById('message').textContent.includes('Nothing found')")
    missing = json.dumps({"type": "wig", "format": "bigwig", "url": "data/demo/nothing.bigWig", "name": "missing"})
    visitor.value(f"{PAGE}.igvBrowser().loadTrack({missing}).then(() => 'loaded', problem => String(problem))")
    visitor.value(f"Promise.resolve({PAGE}.igvBrowser().search('NOSUCHGENE')).then(() => 1, () => 0)")
    visitor.page.wait_for_timeout(800)
    assert any("nothing.bigWig" in url for url in visitor.requests)  # its 404 is what makes igv.js 3.8 ask igv.org


def test_the_mask_track_survives_a_session(visitor):
    visitor.open(f"?gene={MYC}&threshold=0.61")
    drawn = len(visitor.features("mask"))
    visitor.value(f"{PAGE}.igvBrowser().loadSession({PAGE}.igvBrowser().toJSON()).then(() => 1)")
    visitor.until(f"{PAGE}.trackOf('mask') !== null").quiet()
    visitor.until(
        f"({PAGE}.trackOf('mask').trackView.viewports[0].featureCache || {{features: []}}).features.length > 0"
    )
    assert abs(len(visitor.features("mask")) - drawn) < 50
    assert visitor.value(f"[{PAGE}.trackOf('mask').type, {PAGE}.trackOf('mask').threshold]") == ["band", 0.61]
    assert visitor.ink("mask") > 50
    assert len(visitor.features("elements")) > 1


def test_the_svg_holds_the_mask_and_the_elements(visitor):
    visitor.open(f"?gene={MYC}")
    with visitor.page.expect_download() as saved:
        visitor.page.click("summary:has-text('Export')")
        visitor.page.click("text=Picture (SVG)")
    svg = saved.value.path().read_text()
    assert svg.startswith("<svg")
    assert "rgb(0,84,147)" in svg.replace(" ", "")
    assert "rgb(213,94,0)" in svg.replace(" ", "")


def test_downloads_are_this_genes(visitor):
    visitor.open(f"?gene={MYC}&threshold=0.5")
    visitor.until("document.getElementById('get-bed').getAttribute('href').includes('threshold=0.5')")
    with visitor.page.expect_download() as saved:
        visitor.page.click("summary:has-text('Export')")
        visitor.page.click("#get-bed")
    assert saved.value.suggested_filename == "demo.MYC.elements.bed"
    assert "MYC" in saved.value.path().read_text()
    with visitor.page.expect_download() as saved:
        visitor.page.click("summary:has-text('Export')")
        visitor.page.click("#get-gff3")
    assert saved.value.suggested_filename == "demo.MYC.elements.gff3"
    assert "threshold=0.5" in saved.value.url
    assert saved.value.path().read_text().startswith("##gff-version 3\n")


def click_on(visitor, track: str, base: int, down: int) -> str:
    """Click on a base of a track, `down` pixels from its top; what the pop-up then says."""
    left, top, width = visitor.value(
        f"(() => {{ const view = seq2exp.trackOf('{track}').trackView.viewports[0];"
        " const node = view.viewportElement || view.$viewport[0]; node.scrollIntoView({ block: 'nearest' });"
        " const box = node.getBoundingClientRect(); return [box.x, box.y, box.width]; })()"
    )
    place = visitor.value(f"{PAGE}.state.locus")
    share = (base - place["start"]) / (place["end"] - place["start"])
    visitor.page.mouse.click(left + width * share, top + down)
    popups = "[...document.getElementById('igv').shadowRoot.querySelectorAll('.igv-ui-popover')]"
    visitor.until(f"{popups}.some(box => box.textContent.trim() !== '')")
    return visitor.value(f"{popups}.map(box => box.textContent).join(' ')").replace("\u00a0", " ")


def test_names_out_of_files_stay_text(visitor):
    visitor.open("?gene=ENSG00000000004.5")
    assert visitor.page.inner_text("#gene-head h2") == EVIL
    assert "<b>peak4</b>" in click_on(visitor, "peaks", 23_100, 26)
    assert visitor.value("window.hacked") is None


def test_a_click_on_the_mask_tells_mean_and_range(visitor):
    visitor.open(f"?gene={MYC}&threshold=0.5")
    said = click_on(visitor, "mask", 11_100, 60)
    assert "Mean of z" in said
    assert "95 % range of z" in said
    assert "0.500" in said  # the threshold


def test_the_effect_of_each_place_is_drawn_with_its_error(effects):
    effects.open(f"?run=five&gene={MYC}")
    effects.until(f"{PAGE}.trackOf('effect').dataRange.max > 0.1")  # by what is on the screen
    drawn = [f for f in effects.features("effect") if f["mean"] is not None]
    assert {f["direction"] for f in drawn} >= {"raises", "lowers"}
    assert all(f["low"] <= f["mean"] <= f["high"] for f in drawn)
    lowest, highest = effects.value(f"[{PAGE}.trackOf('effect').dataRange.min, {PAGE}.trackOf('effect').dataRange.max]")
    assert lowest == pytest.approx(min(f["low"] for f in drawn))
    assert highest == pytest.approx(max(f["high"] for f in drawn))
    assert effects.pixels("effect", palette.EFFECTS["raises"]) > 50
    assert effects.pixels("effect", palette.EFFECTS["lowers"]) > 50
    assert "effect" in effects.value("document.body.dataset.tracks").split()
    assert effects.page.is_visible(".legend .of-effect:has-text('±2 sd of 5 members')")
    said = click_on(effects, "effect", 11_100, 40)
    assert re.search(r"Effect of these \d+ bp +\+0\.\d+ ± 0\.", said), said
    assert "raises expression" in said
    assert "Switch" not in said  # nothing was asked of a model


def test_an_effect_of_one_member_has_no_error_and_a_run_without_effects_no_track(effects):
    effects.open(f"?run=one&gene={MYC}")
    assert effects.ink("effect") > 50
    assert {(f["low"], f["direction"]) for f in effects.features("effect")} == {(None, "")}
    assert "a single member: its error is not known" in click_on(effects, "effect", 11_100, 40)
    effects.open(f"?run=plain&gene={MYC}")
    assert effects.value(f"{PAGE}.trackOf('effect')") is None
    assert not effects.page.is_visible(".legend .of-effect")


def test_the_effect_goes_along_with_the_gene_and_into_a_session(effects):
    effects.open(f"?run=five&gene={MYC}")
    first = effects.features("effect")
    effects.page.click(f'#genes [row-id="{GATA1}"] [col-id="symbol"]')
    effects.until(f"document.body.dataset.drawn.includes('{GATA1}')").quiet()
    second = effects.features("effect")
    assert (first[0]["start"], second[0]["start"]) == (8_000, 11_000)
    assert "cannot be told" in {f["direction"] for f in second}
    effects.value(f"{PAGE}.igvBrowser().loadSession({PAGE}.igvBrowser().toJSON()).then(() => 1)")
    effects.until(f"{PAGE}.trackOf('effect') !== null").quiet()
    effects.until(
        f"({PAGE}.trackOf('effect').trackView.viewports[0].featureCache || {{features: []}}).features.length > 0"
    )
    assert effects.pixels("effect", palette.EFFECTS["raises"]) > 50
    search(effects, "chr1:31,001-31,500")
    effects.until(f"{PAGE}.state.locus.start === 31000").quiet()
    assert effects.features("effect") == []


def test_arcs_are_thick_by_the_element_gene_score_and_coloured_by_direction(effects):
    effects.open(f"?run=five&gene={MYC}")
    items = {f["name"]: f for f in effects.features("elements")}
    assert items["E1"]["element_gene_score"] > 3 * items["E2"]["element_gene_score"]
    raising, lowering = (effects.pixels("elements", palette.EFFECTS[kind]) for kind in ("raises", "lowers"))
    assert raising > 200
    assert raising > 3 * lowering  # which is thin, dashed and pale
    said = click_on(effects, "elements", 11_100, 60)
    for words in ("Effect", "+0.18 ± 0.03", "5 of 5 members", "raises expression", "Contact", "Element–gene score"):
        assert words in said, words
    effects.open(f"?run=plain&gene={MYC}")
    assert effects.pixels("elements", palette.EFFECTS["raises"]) == 0  # by the class of the element
    assert "Element–gene score" not in click_on(effects, "elements", 11_100, 60)


def test_every_module_is_loaded_once(visitor):
    visitor.open()
    assets = [url for url in visitor.requests if "/assets/" in url and ".js" in url]
    addresses = {url.split("/", 3)[3] for url in assets}
    imports = visitor.value("JSON.parse(document.querySelector('script[type=importmap]').textContent).imports")
    assert len(assets) == len(addresses) == len(imports) + 1  # and Dash's own script
    assert {address.lstrip("/") for address in imports.values()} <= addresses


def test_the_page_puts_one_name_on_window(visitor):
    visitor.open()
    found = visitor.value("Object.keys(Object.getOwnPropertyDescriptors(window)).filter(name => /seq2exp/i.test(name))")
    assert found == ["seq2exp"]


def test_controls_are_off_and_can_be_switched_on(visitor):
    visitor.open(f"?gene={MYC}")
    assert visitor.value(f"{PAGE}.trackOf('prior')") is None
    visitor.page.click("summary:has-text('Tracks')")
    visitor.page.check('[data-track="prior"]')
    visitor.until(f"{PAGE}.trackOf('prior') !== null").quiet()
    assert len(visitor.features("prior")) > 100
    visitor.page.uncheck('[data-track="prior"]')
    visitor.until(f"{PAGE}.trackOf('prior') === null")


def test_the_page_works_by_keyboard(visitor):
    visitor.open(f"?gene={MYC}")
    visitor.page.click('#genes [col-id="symbol"]:has-text("BCR")')
    visitor.until("document.body.dataset.drawn.includes('ENSG00000000003.4')")
    visitor.page.keyboard.press("ArrowUp")
    visitor.page.keyboard.press("Enter")
    visitor.until("!document.body.dataset.drawn.includes('ENSG00000000003.4')").quiet()
    visitor.page.focus("summary:has-text('Tracks')")
    visitor.page.keyboard.press("Enter")
    visitor.until("document.querySelector('details.menu[open] [data-track]') !== null")
    visitor.page.keyboard.press("Escape")
    visitor.until("document.querySelector('details.menu[open]') === null")


def test_simulated_data_are_called_so_and_the_caveat_is_shown(visitor):
    visitor.open()
    assert "All data simulated" in visitor.page.inner_text("#facts")
    assert "follows its signal prior" in visitor.page.inner_text("#caveat")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_label_is_cut_at_1280_by_800(visitor, theme):
    visitor.page.emulate_media(color_scheme=theme)
    visitor.open(f"?gene={MYC}")
    cut = visitor.value(
        "[...document.querySelectorAll('.head *, .tools *, .legend *, .gene *, .foot *, .ag-header-cell-text')]"
        ".filter(n => n.childElementCount === 0 && n.textContent.trim() && getComputedStyle(n).display !== 'inline')"
        ".filter(n => n.scrollWidth > n.clientWidth + 1)"
        ".map(n => n.textContent)"
    )
    assert cut == []
    wide = visitor.value("document.documentElement.scrollWidth <= 1280 && document.documentElement.scrollHeight <= 800")
    assert wide
