"""The stories of the tabs, with real clicks: audit disagreements, two runs side by side, from a point to its gene."""

import json

import pytest

from model_core import palette

pytestmark = pytest.mark.browser

MYC, HBB, BCR = "ENSG00000000000.1", "ENSG00000000002.3", "ENSG00000000003.4"
PAGE = "seq2exp"
CARD = "document.querySelector('.audit-card')"


def tab(visitor, name: str):
    visitor.page.click(f"#tab-{name}")
    return visitor.until(f"document.getElementById('tab-{name}').getAttribute('aria-selected') === 'true'")


def settled(visitor):
    return visitor.until(f"{PAGE}.settled().then(() => true)").quiet()


def test_ten_disagreements_are_audited_with_the_keyboard(visitor, folders):
    visitor.open("?run=demo")
    before = len((folders[0] / "audit.jsonl").read_text().splitlines()) if (folders[0] / "audit.jsonl").exists() else 0
    tab(visitor, "audit")
    visitor.until(f"Boolean({CARD}) && document.querySelectorAll('.queue-row').length > 0")
    total = visitor.value("document.querySelectorAll('.queue-row').length")
    visitor.page.keyboard.press("n")
    visitor.until(f"{CARD}.textContent.includes('1 of')")
    shown = visitor.value(f"{PAGE}.state.locus")
    visitor.page.fill("#audit-who", "Ada")
    visitor.page.fill("#audit-note", "nad")  # keys that mean something, but not while one types
    assert visitor.value(f"{CARD}.textContent.includes('1 of')")
    visitor.page.click('.audit-card [data-decision="note"]')
    visitor.until(f"{CARD}.textContent.includes('Note only: Ada')")
    steps = min(10, total)
    visitor.page.evaluate("document.activeElement.blur()")
    for number in range(1, steps + 1):
        visitor.until(f"{CARD}.textContent.includes('{number} of')")
        visitor.page.keyboard.press("a" if number % 2 else "d")
        if number < total:
            visitor.until(f"{CARD}.textContent.includes('{number + 1} of')")
    lines = [json.loads(line) for line in (folders[0] / "audit.jsonl").read_text().splitlines()][before:]
    assert [line["decision"] for line in lines[: steps + 1]][:3] == ["note", "agree", "doubt"]
    assert {line["who"] for line in lines} == {"Ada"}
    settled(visitor)
    assert visitor.value(f"{PAGE}.state.locus") != shown  # the browser went along
    visitor.page.keyboard.press("p")
    visitor.until("document.querySelectorAll('.decision.agree, .decision.doubt').length >= 2")


def test_a_second_run_lies_beside_the_first(visitor):
    visitor.open(f"?run=demo&gene={MYC}&beside=half")
    visitor.until(f"{PAGE}.trackOf('difference') !== null").quiet()
    assert len(visitor.features("beside")) == len(visitor.features("mask"))
    assert {f["mean"] for f in visitor.features("difference")} == {0}  # both runs hold the same masks
    heads = "[...document.querySelectorAll('#genes .ag-header-cell-text')]"
    visitor.until(f"{heads}.some(n => n.textContent === 'Predicted, half')")
    assert visitor.page.inner_text(f'#genes [row-id="{MYC}"] [col-id="predicted_beside"]') == "0.40"
    assert "beside=half" in visitor.value("location.search")
    visitor.page.click(f'#genes [row-id="{BCR}"] [col-id="symbol"]')  # not scored in the other run
    visitor.until(f"document.body.dataset.drawn.includes('{BCR}')").quiet()
    assert visitor.value(f"{PAGE}.trackOf('difference')") is None
    visitor.page.click(f'#genes [row-id="{HBB}"] [col-id="symbol"]')
    visitor.until(f"{PAGE}.trackOf('difference') !== null && document.body.dataset.drawn.includes('{HBB}')").quiet()
    assert visitor.features("beside")[0]["start"] == 14_000


def test_a_click_on_a_point_goes_to_its_gene(visitor):
    visitor.open(f"?run=demo&gene={MYC}")
    tab(visitor, "quality")
    points = "document.querySelectorAll('#quality-scatter .scatterlayer .points path')"
    visitor.until(f"{points}.length >= 6")
    plot = "document.querySelector('#quality-scatter .js-plotly-plot')"
    box = visitor.value(
        f"(() => {{ const n = {plot}.data.findIndex(t => (t.customdata || []).includes('{HBB}'));"
        f" const i = {plot}.data[n].customdata.indexOf('{HBB}');"
        " const all = [...document.querySelectorAll('#quality-scatter .scatterlayer .trace')]"
        "   .filter(t => t.querySelector('.points path'));"
        f" const r = all[n].querySelectorAll('.points path')[i].getBoundingClientRect();"
        " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    visitor.page.mouse.move(box[0] - 1, box[1])
    visitor.page.mouse.move(*box)
    visitor.page.wait_for_timeout(150)
    visitor.page.mouse.click(*box)
    visitor.until(f"document.body.dataset.drawn.includes('{HBB}')")
    visitor.until(f"{plot}.data[{plot}.data.length - 1].text[0] === 'HBB'")  # the ring went along
    assert visitor.value(f"{PAGE}.state.tab") == "quality"


def test_elements_are_listed_and_lead_to_their_place_and_their_genes(visitor):
    visitor.open(f"?run=demo&gene={MYC}&tab=elements")
    visitor.until("document.querySelectorAll('#elements-table .ag-center-cols-container [row-id]').length === 2")
    visitor.page.click('[data-scope="all"]')
    visitor.until("document.getElementById('elements-count').textContent === '12 elements'")
    visitor.page.click(f'#elements-table [row-id="{HBB} E1"] [col-id="name"]')
    visitor.until(f"document.body.dataset.drawn.includes('{HBB}')").quiet()
    visitor.until("document.querySelector('#owners tbody tr') !== null")
    assert visitor.page.inner_text("#owners tbody tr button") == "HBB"
    visitor.until(f"{PAGE}.trackOf('owners') !== null").quiet()
    locus = visitor.value(f"{PAGE}.state.locus")
    element = next(f for f in visitor.features("elements") if f["name"] == "E1")
    assert locus["start"] < element["start"] < element["end"] < locus["end"]
    with visitor.page.expect_download() as saved:
        visitor.page.click('[data-action="elements-tsv"]')
    assert len(saved.value.path().read_text().splitlines()) == 13


def test_stored_effects_stand_in_the_panel_and_in_the_table_without_a_model(effects):
    effects.open(f"?run=five&gene={MYC}&tab=elements")
    row = "#element-list .element[data-name={}]"
    effects.until("document.querySelector('#element-list .effect') !== null")
    assert effects.page.inner_text(f"{row.format('E1')} .effect") == "+0.18 ± 0.03"
    assert effects.page.inner_text(f"{row.format('E2')} .effect") == "−0.041 ± 0.006"
    assert effects.page.query_selector(f"{row.format('E1')} .direction.raises") is not None
    assert effects.page.query_selector(f"{row.format('E2')} .direction.lowers") is not None
    assert effects.page.inner_text(f"{row.format('E1')} .control-rank") == ""  # only after a knock-out
    assert "Contact: 0.08" in effects.page.get_attribute(f"{row.format('E1')} .effect", "title")
    cell = "#elements-table [row-id='{} E1'] [col-id='{}']"
    effects.until(f'document.querySelector("{cell.format(MYC, "direction")}") !== null')
    told = {name: effects.page.inner_text(cell.format(MYC, name)) for name in ("effect", "recurrence", "direction")}
    assert told == {"effect": "+0.18 ± 0.03", "recurrence": "5 of 5", "direction": "raises"}
    heads = "[...document.querySelectorAll('#elements-table .ag-header-cell[col-id]')]"
    assert effects.value(f"{heads}.map(n => n.getAttribute('col-id')).slice(0, 4)") == [
        "symbol",
        "name",
        "place",
        "effect",
    ]
    with effects.page.expect_download() as saved:
        effects.page.click('[data-action="elements-tsv"]')
    assert {"effect_sd", "recurrence", "direction", "contact", "element_gene_score"} <= set(
        saved.value.path().read_text().splitlines()[0].split("\t")
    )
    with effects.page.expect_download() as saved:
        effects.page.click("summary:has-text('Export')")
        effects.page.click("#get-bedpe")
    assert saved.value.suggested_filename == "five.MYC.elements.bedpe"
    assert "chr1\t10000\t10001\tMYC:E1\t0.177" in saved.value.path().read_text()


def test_a_run_without_effects_has_no_columns_for_them(effects):
    effects.open(f"?run=plain&gene={MYC}&tab=elements")
    effects.until("document.querySelectorAll('#elements-table .ag-center-cols-container [row-id]').length === 2")
    fields = (
        "[...document.querySelectorAll('#elements-table .ag-header-cell[col-id]')].map(n => n.getAttribute('col-id'))"
    )
    effects.until(f"!{fields}.includes('direction')")
    shown = set(effects.value(fields))
    assert not shown & {"recurrence", "direction", "contact", "element_gene_score"}
    assert "0.72" in effects.page.inner_text("#element-list .element[data-name=E1]")  # the mask has its column


def test_genes_that_use_a_region_are_ranked_by_its_effect_where_it_is_known(effects):
    effects.open(f"?run=five&gene={MYC}&tab=elements")
    effects.until(f"document.querySelector(\"#elements-table [row-id='{MYC} E1']\") !== null")
    effects.page.click(f"#elements-table [row-id='{MYC} E1'] [col-id='name']")
    effects.until("document.querySelectorAll('#owners tbody tr').length === 2")  # two windows hold it
    assert "Ranked by the region's effect on each gene" in effects.page.inner_text("#owners")
    rows = [effects.page.inner_text(f"#owners tbody tr:nth-child({i})").split() for i in (1, 2)]
    assert rows[0][:5] == ["MYC", "+0.18", "±", "0.03", "5"]
    assert rows[1][0] == "GATA1"
    assert abs(float(rows[1][1].replace("−", "-"))) < 0.18
    effects.until(f"{PAGE}.trackOf('owners') !== null").quiet()
    assert effects.pixels("owners", palette.EFFECTS["raises"]) > 50
    effects.open(f"?run=plain&gene={MYC}&tab=elements")
    effects.until(f"document.querySelector(\"#elements-table [row-id='{MYC} E1']\") !== null")
    effects.page.click(f"#elements-table [row-id='{MYC} E1'] [col-id='name']")
    effects.until("document.querySelectorAll('#owners tbody tr').length === 2")
    assert "Ranked by the mean mask over the region: this run stores no effects" in effects.page.inner_text("#owners")


def test_an_unscored_gene_shows_its_place_and_no_old_mask(visitor):
    visitor.open(f"?run=half&gene={MYC}")
    visitor.page.fill("#search", "bcr")
    visitor.page.press("#search", "Enter")
    visitor.until("document.getElementById('gene-head').textContent.includes('not scored in this run')").quiet()
    settled(visitor)
    assert visitor.page.inner_text("#gene-head h2") == "BCR"
    assert visitor.value(f"[{PAGE}.trackOf('mask'), {PAGE}.trackOf('elements')]") == [None, None]
    assert visitor.value(f"{PAGE}.state.locus") == {"chrom": "chr2", "start": 17_000, "end": 21_000}
    visitor.until("location.search.includes('gene=')")
    visitor.open(visitor.value("location.search"))  # a link to it shows the same
    visitor.until("document.getElementById('gene-head').textContent.includes('not scored in this run')").quiet()
    assert visitor.value(f"{PAGE}.state.locus") == {"chrom": "chr2", "start": 17_000, "end": 21_000}
    visitor.page.click('#gene-head [data-action="score"]')
    visitor.until("document.getElementById('message').textContent !== ''")
    visitor.page.click(f'#genes [row-id="{HBB}"] [col-id="symbol"]')
    visitor.until(f"document.body.dataset.drawn.includes('{HBB}')").quiet()
    assert visitor.ink("mask") > 50


def test_suggestions_come_while_one_types(visitor):
    visitor.open(f"?run=demo&gene={MYC}")
    visitor.page.click("#search")
    visitor.page.keyboard.type("gat", delay=30)
    visitor.until("[...document.querySelectorAll('.mantine-Autocomplete-option')].some(n => n.textContent === 'GATA1')")
    visitor.page.click(".mantine-Autocomplete-option")
    visitor.until("document.body.dataset.drawn.includes('ENSG00000000001.2')")


def test_columns_can_be_picked_and_the_wide_list_filters_each(visitor):
    visitor.open(f"?run=demo&gene={MYC}")
    visitor.page.click('[data-action="wide"]')
    visitor.until("document.querySelector('#genes [col-id=\"residual\"]') !== null")
    assert visitor.page.inner_text(f'#genes [row-id="{MYC}"] [col-id="residual"]') == "0.10"
    visitor.page.fill('#genes .ag-floating-filter input[aria-label="Observed Filter Input"]', "0.5")
    visitor.until("document.querySelectorAll('#genes .ag-center-cols-container [row-id]').length === 1")
    with visitor.page.expect_download() as saved:
        visitor.page.click("summary:has-text('Columns')")
        visitor.page.click('[data-action="genes-tsv"]')
    head, *rows = saved.value.path().read_text().splitlines()
    assert head.split("\t")[:3] == ["Gene", "ID", "Start site"]
    assert len(rows) == 1
    assert rows[0].startswith(f"MYC\t{MYC}\tchr1:10,001")


def test_every_tab_opens_and_escape_closes_a_popup(visitor):
    visitor.open(f"?run=demo&gene={MYC}")
    wanted = {"compare": ".js-plotly-plot", "jobs": ".empty", "files": "a[href*=file-manifest]"}
    for name, what in wanted.items():
        tab(visitor, name)
        visitor.until(f"document.querySelector('#panel-{name} {what}') !== null")
    with visitor.page.expect_download() as saved:
        visitor.page.click("a[href*='file-manifest.json']")
    assert json.loads(saved.value.path().read_text())["schema"] == 2
    visitor.page.click("#tab-close")
    visitor.until("document.getElementById('panel-files').hidden")
    visitor.quiet()
    box = visitor.value(
        "(() => { const view = seq2exp.trackOf('mask').trackView.viewports[0];"
        " const b = (view.viewportElement || view.$viewport[0]).getBoundingClientRect();"
        " return [b.x + b.width / 4, b.y + b.height / 2]; })()"
    )
    visitor.page.mouse.click(*box)
    popups = (
        "[...document.getElementById('igv').shadowRoot.querySelectorAll('.igv-ui-popover')]"
        ".filter(n => n.offsetParent && n.textContent.includes('Which genes'))"
    )
    visitor.until(f"{popups}.length === 1")
    visitor.page.keyboard.press("Escape")
    visitor.until(f"{popups}.length === 0")
    visitor.page.mouse.click(*box)
    visitor.until(f"{popups}.length === 1")
    visitor.page.evaluate(f"{popups}[0].querySelector('.whose').click()")
    visitor.until("document.querySelector('#owners tbody tr') !== null")
    assert visitor.value(f"{PAGE}.state.tab") == "elements"
