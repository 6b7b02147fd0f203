"""How the page feels: keys and help, words where something is missing or goes wrong, nothing serious for axe-core."""

from pathlib import Path

import pytest

from seq2exp_viz.page.tabs import TABS

pytestmark = pytest.mark.browser

MYC = "ENSG00000000000.1"
PAGE = "seq2exp"
SAID = "Boolean(document.getElementById('server-line')?.checkVisibility())"


def violations(visitor) -> list[str]:
    """What axe-core calls serious or critical: rule, and the first few places."""
    axe = pytest.importorskip("axe_playwright_python")
    if not visitor.value("Boolean(window.axe)"):
        visitor.value((Path(axe.__file__).parent / "axe.min.js").read_text() + ";0")
    found = visitor.value("axe.run(document, {resultTypes: ['violations']}).then(told => told.violations)")
    return [
        f"{item['id']}: "
        + " | ".join(f"{node['html'][:160]} ({node['failureSummary'][-160:]})" for node in item["nodes"][:4])
        for item in found
        if item["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_tab(visitor, theme):
    visitor.page.emulate_media(color_scheme=theme)
    visitor.open(f"?gene={MYC}")
    visitor.until(f"document.documentElement.dataset.mantineColorScheme === '{theme}'")
    for name in TABS:
        visitor.page.click(f"#tab-{name}")
        visitor.until(f"!document.getElementById('panel-{name}').hidden")
        visitor.quiet()
        visitor.page.wait_for_timeout(400)  # colours fade
        assert violations(visitor) == [], name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(visitor, theme):
    visitor.page.emulate_media(color_scheme=theme)
    visitor.open(f"?gene={MYC}&tracks=certainty,why-network")
    visitor.until(f"document.documentElement.dataset.mantineColorScheme === '{theme}'")
    visitor.page.wait_for_timeout(400)  # colours fade from one theme to the other
    assert violations(visitor) == []
    for menu in ("Export", "Share", "Tracks"):
        visitor.page.click(f"summary:has-text('{menu}')")
        assert violations(visitor) == [], menu
        visitor.page.keyboard.press("Escape")
    visitor.page.keyboard.press("?")
    visitor.until("document.getElementById('help').open")
    assert violations(visitor) == []


def test_the_keys_of_the_help_do_what_it_says(visitor):
    visitor.open(f"?gene={MYC}")
    press = visitor.page.keyboard.press
    press("?")
    visitor.until("document.getElementById('help').open")
    text = visitor.page.inner_text("#help")
    for word in ("window", "promoter", "effect", "control region", "Okabe"):
        assert word in text, word
    press("Escape")
    visitor.until("!document.getElementById('help').open")
    press("t")
    visitor.until(f"{PAGE}.state.locus.end - {PAGE}.state.locus.start < 450").quiet()
    before = visitor.value(f"{PAGE}.state.locus.start")
    press("ArrowRight")
    visitor.until(f"{PAGE}.state.locus.start > {before} + 150").quiet()
    press("w")
    visitor.until(f"{PAGE}.state.locus.end - {PAGE}.state.locus.start > 3900").quiet()
    press("+")
    visitor.until(f"{PAGE}.state.locus.end - {PAGE}.state.locus.start < 2500").quiet()
    press("/")
    visitor.until("document.activeElement.id === 'search'")
    press("w")
    assert visitor.page.input_value("#search").endswith("w")


def test_a_key_right_after_the_help_is_heard(visitor):
    """The button of a dialog that was just closed keeps the focus until the next frame."""
    visitor.open(f"?gene={MYC}")
    visitor.value(
        "(() => { const help = document.getElementById('help'); help.showModal(); help.close();"
        " document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 't', bubbles: true})); })()"
    )
    visitor.until(f"{PAGE}.state.locus.end - {PAGE}.state.locus.start < 450")


def test_a_search_that_found_puts_its_suggestions_away(visitor):
    visitor.open()
    press = visitor.page.keyboard.press
    shown = "Boolean(document.querySelector('.mantine-Autocomplete-option')?.checkVisibility())"
    visitor.page.click("#search")
    visitor.page.keyboard.type("MYC", delay=40)
    visitor.until(shown)
    press("Enter")
    visitor.until(f"seq2exp.state.gene === '{MYC}' && !{shown}")
    press("?")  # keys go to the page again, not into the search
    visitor.until("document.getElementById('help').open")


def test_the_focus_goes_through_the_page_in_reading_order(visitor):
    visitor.open(f"?gene={MYC}")
    visitor.page.focus("#search")
    seen = []
    for _ in range(5):
        visitor.page.keyboard.press("Tab")
        seen.append(visitor.value("document.activeElement.textContent.trim()"))
    assert seen[:2] == ["Export", "Share"]
    assert "?" in seen


def test_a_server_that_went_away_is_told_and_one_that_came_back_too(visitor):
    visitor.open(f"?gene={MYC}")
    visitor.page.route("**/_dash-update-component*", lambda route: route.abort())
    visitor.until(SAID)
    assert "serve" in visitor.page.inner_text("#server-line")
    visitor.page.unroute("**/_dash-update-component*")
    visitor.until(f"!{SAID}")


def test_a_message_can_be_closed_and_comes_back_only_with_news(visitor):
    visitor.open(f"?gene={MYC}")
    visitor.page.route("**/_dash-update-component*", lambda route: route.fulfill(status=500, body="no"))
    visitor.until(SAID)
    visitor.page.click(".server-line-close")
    visitor.page.wait_for_timeout(4_000)  # the page asks every 3 s
    assert not visitor.value(SAID)
    visitor.page.unroute("**/_dash-update-component*")
    visitor.page.route("**/_dash-update-component*", lambda route: route.abort())
    visitor.until(SAID)


HTML = "<html><head><title>{}</title></head><body><h1>nginx</h1></body></html>"
ANSWERS = {
    "refused": ({"status": 403, "content_type": "text/plain", "body": "That is not yours."}, "That is not yours."),
    "token": ({"status": 401, "body": "no"}, "asks for its token"),
    "broken": ({"status": 500, "content_type": "text/html", "body": HTML.format("500 Error")}, "could not answer"),
    "gone": ({"status": 502, "content_type": "text/html", "body": HTML.format("502 Bad Gateway")}, "502 Bad Gateway"),
    "slow": ({"status": 504, "content_type": "text/html", "body": HTML.format("504 Time-out")}, "does not answer"),
    "large": ({"status": 413, "content_type": "text/html", "body": HTML.format("413 Too Large")}, "as large as"),
    "login": ({"status": 200, "content_type": "text/html", "body": HTML.format("Sign in")}, "sign in again"),
    "words": ({"status": 503, "json": {"message": "Full for today."}}, "Full for today."),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_callback_that_fails_is_told_until_it_works_again(visitor, answer):
    reply, words = ANSWERS[answer]
    visitor.open(f"?gene={MYC}")
    visitor.page.route("**/_dash-update-component*", lambda route: route.fulfill(**reply))
    visitor.until(SAID)
    assert words in visitor.page.inner_text("#server-line")
    visitor.page.unroute("**/_dash-update-component*")
    visitor.until(f"!{SAID}")
    visitor.page.goto("about:blank")
    visitor.errors.clear()  # Dash throws where an answer is no JSON


@pytest.mark.parametrize("answer", ["refused", "gone", "login"])
def test_a_page_whose_first_callbacks_fail_says_why_it_stays_empty(visitor, answer):
    reply, words = ANSWERS[answer]
    visitor.page.route("**/_dash-update-component*", lambda route: route.fulfill(**reply))
    visitor.page.goto(visitor.address)
    visitor.until(SAID)
    assert words in visitor.page.inner_text("#server-line")
    assert "not loaded" in visitor.value("getComputedStyle(document.getElementById('igv'), '::before').content")
    visitor.page.goto("about:blank")  # nothing can throw any more
    visitor.errors.clear()  # Dash throws where an answer is no JSON


PARTS = ["_dash-layout", "_dash-dependencies", "dash_ag_grid.v", "dash_clientside", "page/state", "tracks/base"]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_page_that_does_not_come_is_told(visitor, part):
    visitor.page.route(f"**/*{part}*", lambda route: route.fulfill(status=502, content_type="text/html", body="no"))
    visitor.page.goto(visitor.address)
    visitor.until(SAID)
    visitor.page.goto("about:blank")
    visitor.errors.clear()  # the scripts that stand on the missing one complain


@pytest.mark.parametrize("answer", ["refused", "gone", "login"])
def test_what_the_page_asks_besides_is_told_in_the_same_words(visitor, answer):
    reply, words = ANSWERS[answer]
    visitor.open(f"?gene={MYC}")
    visitor.page.route("**/api/v1/*/search*", lambda route: route.fulfill(**reply))
    visitor.page.fill("#search", "GATA1")
    visitor.page.press("#search", "Enter")
    visitor.until(f"document.getElementById('message').textContent.includes({words!r})")
