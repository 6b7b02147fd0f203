"""What stands in a field is what counts, however soon the next key or click comes, and whatever answers late."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

# igv.js has no part in it: once is enough.
pytestmark = [pytest.mark.browser, pytest.mark.parametrize("address", ["vendored"], indirect=True)]

MYC, GATA1, HBB = "ENSG00000000000.1", "ENSG00000000001.2", "ENSG00000000002.3"
SHOWN = "(document.querySelector('#gene-head h2') || {textContent: ''}).textContent"
OPTIONS = "[...document.querySelectorAll('.mantine-Autocomplete-option')].map(option => option.textContent)"
SLIDER = "Number(document.querySelector('#threshold [role=slider]').getAttribute('aria-valuenow'))"
SLOW = 6  # times slower than this machine


@pytest.fixture
def slow(visitor):
    """The page of a machine that is SLOW times slower."""
    visitor.open(f"?gene={MYC}")
    visitor.page.context.new_cdp_session(visitor.page).send("Emulation.setCPUThrottlingRate", {"rate": SLOW})
    return visitor


def asked(visitor, route: str = "search") -> list[str]:
    """What was searched for, in order."""
    found = [urlsplit(url) for url in visitor.requests]
    return [parse_qs(url.query).get("q", [""])[0] for url in found if url.path.endswith(f"/{route}")]


def write(visitor, text: str, way: str) -> None:
    """Put a text into the search in place of what stands there."""
    visitor.page.focus("#search")
    visitor.page.keyboard.press("ControlOrMeta+a")
    if way == "pasted":
        visitor.page.keyboard.insert_text(text)  # one event, as a paste
    else:
        visitor.page.keyboard.type(text)


@pytest.mark.parametrize("way", ["typed", "pasted"])
def test_enter_right_after_the_last_letter_searches_for_the_whole_text(slow, way):
    texts = ["MYC2", "GATA1", "chr1:9,001-9,500", "hbb", "chr2:12,001-12,600", "MYC"]
    for text in texts:
        write(slow, text, way)
        slow.page.keyboard.press("Enter")
    slow.until(f"{SHOWN} === 'MYC'", 60).quiet()
    rest = iter(texts)  # a search that the next one overtakes may be left out, but none is of another text
    assert all(text in rest for text in asked(slow)), asked(slow)
    assert asked(slow)[-1] == "MYC"


@pytest.mark.parametrize("way", ["typed", "pasted"])
def test_each_search_goes_where_its_text_says(slow, way):
    for text, place in {"chr2:12,001-12,600": "chr2:12,001-12,600", "chr1:9,001-9,500": "chr1:9,001-9,500"}.items():
        write(slow, text, way)
        slow.page.keyboard.press("Enter")
        slow.until(f"document.getElementById('locus').textContent.startsWith('{place} ')", 60)
    write(slow, "GATA1", way)
    slow.page.keyboard.press("Enter")
    slow.until(f"seq2exp.state.gene === '{GATA1}'", 60)


def test_a_suggestion_that_is_marked_is_taken_by_enter(slow):
    write(slow, "MYC", "typed")
    slow.until(f"{OPTIONS}.length === 2", 60)
    names = slow.value(OPTIONS)
    for _ in range(2):
        slow.page.keyboard.press("ArrowDown")
    slow.page.keyboard.press("Enter")
    slow.until(f"{SHOWN} === '{names[1]}'", 60)
    assert asked(slow) == [names[1]]
    assert slow.page.input_value("#search") == names[1]


def test_a_suggestion_is_taken_by_a_click(slow):
    write(slow, "MYC", "typed")
    slow.until(f"{OPTIONS}.includes('MYC2')", 60)
    slow.page.click(".mantine-Autocomplete-option:has-text('MYC2')")
    slow.until(f"{SHOWN} === 'MYC2'", 60)
    assert asked(slow) == ["MYC2"]
    assert slow.page.input_value("#search") == "MYC2"


def test_what_is_typed_after_a_suggestion_was_marked_counts(slow):
    write(slow, "MYC", "typed")
    slow.until(f"{OPTIONS}.length === 2", 60)
    slow.page.keyboard.press("ArrowDown")
    slow.page.keyboard.type("2")
    slow.page.keyboard.press("Enter")
    slow.until(f"{SHOWN} === 'MYC2'", 60)
    assert asked(slow) == ["MYC2"]


def held(visitor, pattern: str) -> list:
    """Requests of this pattern wait in the list until the test lets them go on."""
    waiting = []
    visitor.page.route(pattern, lambda route: waiting.append(route))
    return waiting


def wait_for(visitor, waiting: list, count: int = 1) -> None:
    for _ in range(500):
        if len(waiting) >= count:
            return
        visitor.page.wait_for_timeout(20)
    pytest.fail(f"{len(waiting)} of {count} requests came")


def search(visitor, text: str) -> None:
    write(visitor, text, "pasted")
    visitor.page.keyboard.press("Enter")


@pytest.mark.parametrize("late", ["a gene", "a place", "a failure"])
def test_an_older_answer_that_comes_late_changes_nothing(visitor, late):
    visitor.open(f"?gene={MYC}")
    text = {"a gene": "HBB", "a place": "chr2:12,001-12,600", "a failure": "HBB"}[late]
    waiting = held(visitor, f"**/search?q={text.replace(':', '%3A').replace(',', '%2C')}*")
    search(visitor, text)
    wait_for(visitor, waiting)
    search(visitor, "GATA1")
    visitor.until(f"{SHOWN} === 'GATA1' && seq2exp.state.locus.chrom === 'chr2'").quiet()  # named before it is drawn
    before = visitor.value("seq2exp.state.locus")
    if late == "a failure":
        waiting[0].fulfill(status=500, json={"message": "too late"})
    else:
        waiting[0].continue_()
    visitor.page.wait_for_timeout(1_500)
    assert visitor.value(SHOWN) == "GATA1"
    assert visitor.value("seq2exp.state.locus") == before
    assert "too late" not in visitor.page.inner_text("#message")


def test_a_search_that_answers_after_the_person_chose_another_gene_changes_nothing(visitor):
    visitor.open(f"?gene={MYC}")
    waiting = held(visitor, "**/search?q=HBB*")
    search(visitor, "HBB")
    wait_for(visitor, waiting)
    visitor.page.click(f'#genes [row-id="{GATA1}"] [col-id="symbol"]')
    visitor.until(f"{SHOWN} === 'GATA1'").quiet()
    waiting[0].continue_()
    visitor.page.wait_for_timeout(1_500)
    assert visitor.value(SHOWN) == "GATA1"


def test_older_suggestions_that_come_late_are_not_shown(visitor):
    visitor.open(f"?gene={MYC}")
    waiting = held(visitor, "**/suggest?q=H")
    visitor.page.focus("#search")
    visitor.page.keyboard.type("H")
    wait_for(visitor, waiting)
    visitor.page.keyboard.press("Backspace")
    visitor.page.keyboard.type("MYC")
    visitor.until(f"{OPTIONS}.length === 2")
    waiting[0].continue_()
    visitor.page.wait_for_timeout(1_000)
    assert sorted(visitor.value(OPTIONS)) == ["MYC", "MYC2"]


def test_what_was_typed_meanwhile_stays_and_keeps_the_focus(visitor):
    visitor.open(f"?gene={MYC}")
    waiting = held(visitor, "**/search?q=GATA1*")
    search(visitor, "GATA1")
    wait_for(visitor, waiting)
    write(visitor, "HB", "typed")
    waiting[0].continue_()
    visitor.until(f"{SHOWN} === 'GATA1'").quiet()
    visitor.page.keyboard.type("B")
    assert visitor.page.input_value("#search") == "HBB"


def test_a_file_that_is_taken_right_after_the_slider_moved_is_of_its_new_threshold(slow):
    slow.page.click("summary:has-text('Export')")
    slow.page.focus("#threshold [role=slider]")
    for _ in range(12):
        slow.page.keyboard.press("ArrowRight")
    with slow.page.expect_download() as saved:
        slow.value("document.getElementById('get-bed').click()")
    now = slow.value(SLIDER)
    assert f"threshold={now}" in saved.value.url
    slow.page.focus("#threshold [role=slider]")
    slow.page.keyboard.press("ArrowRight")
    with slow.page.expect_download() as saved:
        slow.value("document.getElementById('get-gff3').click()")
    now = slow.value(SLIDER)
    assert f"threshold={now}" in saved.value.url
    assert "elements.gff3" in saved.value.url
    slow.page.click("#tab-elements")
    slow.until("document.querySelector('#elements-table [row-index=\"0\"]') !== null", 60)
    slow.page.focus("#threshold [role=slider]")
    for _ in range(12):
        slow.page.keyboard.press("ArrowLeft")
    with slow.page.expect_download() as saved:
        slow.value("document.querySelector('[data-action=elements-tsv]').click()")
    assert float(parse_qs(urlsplit(saved.value.url).query)["threshold"][0]) == slow.value(SLIDER) < now


def test_a_list_that_is_taken_right_after_the_filter_was_typed_is_filtered(slow):
    slow.page.click("summary:has-text('Columns')")
    slow.page.focus("#filter")
    slow.page.keyboard.type("GATA")
    with slow.page.expect_download() as saved:
        slow.value("document.querySelector('[data-action=genes-tsv]').click()")
    lines = saved.value.path().read_text().splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == ["GATA1"]


def test_a_report_is_of_the_genes_that_stand_in_its_field(slow):
    slow.page.click("summary:has-text('Export')")
    slow.page.focus("#report-genes")
    slow.page.keyboard.type("MYC, HBB")
    with slow.page.expect_request("**/report?*") as sent:
        slow.value("document.querySelector('[data-action=report]').click()")
    assert parse_qs(urlsplit(sent.value.url).query)["genes"] == ["MYC, HBB"]


def test_a_note_of_the_audit_is_kept_as_it_was_typed(slow):
    slow.page.click("#tab-audit")
    slow.until("document.querySelector('#audit .queue-row') !== null", 60)
    slow.page.click("#audit .queue-row >> nth=0")
    slow.page.focus("#audit-note")
    slow.page.keyboard.type("seen twice")
    with slow.page.expect_request(lambda request: request.method == "POST" and "/audit" in request.url) as sent:
        slow.value("document.querySelector('[data-decision=note]').click()")
    assert json.loads(sent.value.post_data)["note"] == "seen twice"
