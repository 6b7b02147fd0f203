"""A page that is opened while its gene is still read from public places and scored, as a person sees it.

The page's server is a process of its own, with a run that holds no gene yet, as `seq2exp-viz gene` starts it.
"""

import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pyBigWig
import pytest
from model_run import lively
from public_world import SIZE, make_world, serve_world
from visitor import MODEL_SECONDS, Visitor

from model_core.datasets.public_study import study_of_cell
from model_core.model.checkpoint import save_checkpoint
from model_core.scoring.score import run_for
from model_core.study.study import load_study

pytestmark = pytest.mark.browser

SERVE = (
    "import sys; from seq2exp_viz.serve import serve;"
    "serve([sys.argv[1]], port=0, open_browser=False, score=sys.argv[2:], notify=lambda text: print(text, flush=True))"
)
PLAIN = {"log10": [False] * 9, "mean": [0.0] * 9, "sd": [1.0] * 9, "fill": [0.0] * 9}
LINE = "(document.querySelector('.job-line')?.textContent || '')"
DNASE = "seq2exp.trackOf('signal-1')?.trackView.viewports[0]"
SCORED = "seq2exp.state.gene && seq2exp.trackOf('mask')?.trackView.viewports[0].canvas"


DENSE = (18_000_000, 24_000_000)  # where the DNase of these tests has another value at each base, as real ones do


def write_dense(path):
    """Write a bigWig of random values, which hardly pack, over DENSE of chr22."""
    rng = np.random.default_rng(0)
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chr22", SIZE)], maxZooms=10)
        for start in range(*DENSE, 1_000_000):
            file.addEntries("chr22", start, values=rng.random(1_000_000), span=1, step=1)
    return path


@pytest.fixture(scope="module")
def prepared(shared_data, tmp_path_factory):
    """The public files, and a run without genes of the study that names them."""
    folder = tmp_path_factory.mktemp("way")
    made = make_world(shared_data, folder / "made") | {"dnase": write_dense(folder / "dense.bigWig")}
    with pytest.MonkeyPatch.context() as patch, serve_world(made) as world:
        for name, value in {**world.environment(), "SEQ2EXP_CACHE": str(folder / "cache")}.items():
            patch.setenv(name, value)
        study = load_study(study_of_cell("K562", folder / "study", lambda line: None))
        config = study.config(d_model=8, n_layers=1, apply="gate")
        signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
        metadata = {"feature_scale": PLAIN, "signals": signals, "signal_quantiles": {}}
        save_checkpoint(folder / "model.safetensors", lively(config, 3), metadata)
        run_for(study, folder / "model.safetensors", folder / "run")
    return made, folder / "run"


@pytest.fixture
def world(prepared):
    with serve_world(prepared[0]) as world:
        yield world


@pytest.fixture
def opened(chromium, prepared, world, tmp_path, monkeypatch):
    """Serve a copy of the run, which is to have these genes, from an empty cache, and open its page at once."""
    shutil.copytree(prepared[1], tmp_path / "run")
    for name, value in {**world.environment(), "SEQ2EXP_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    started, readers = [], []

    def open_page(*genes: str, query: str = "") -> Visitor:
        command = [sys.executable, "-c", SERVE, str(tmp_path / "run"), *genes]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        address = next(found[1] for line in process.stdout if (found := re.search(r"ready at (\S+)", line)))
        reader = threading.Thread(target=process.stdout.read, daemon=True)  # so that the process can go on telling
        reader.start()
        readers.append(reader)
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        started.append(page)
        page.goto(address + query)
        return Visitor(page, address)

    yield open_page
    for one in reversed(started):
        if isinstance(one, subprocess.Popen):
            one.terminate()
            one.wait(30)
            readers.pop().join(30)
            one.stdout.close()
        else:
            one.close()


def test_the_page_says_what_is_on_its_way_and_becomes_the_view_of_the_gene(opened, world):
    world.rate, world.delay = 200_000, 0.2
    visitor = opened("ranbp1")  # as it was typed: the annotation has it in capitals
    visitor.until("document.querySelector('#gene-head h2')?.textContent === 'ranbp1'")
    visitor.until("document.querySelector('.job-line')?.hasAttribute('data-active')")
    assert visitor.value("document.querySelector('.job-line progress') !== null")
    assert visitor.page.locator("[data-action=score]").is_hidden()
    visitor.until("document.querySelector('#gene-head h2')?.textContent === 'RANBP1'", MODEL_SECONDS)
    visitor.until(f"/Step [1-7] of 7: [a-z]/.test({LINE})", MODEL_SECONDS)
    visitor.until(f"/ of [0-9.]+ MB read in /.test({LINE})", MODEL_SECONDS)
    assert visitor.page.locator(".unscored-words").is_hidden()
    assert visitor.page.locator("[data-action=stop-job]").is_visible()
    world.rate = world.delay = 0.0
    visitor.until(f"Boolean({SCORED})", MODEL_SECONDS).quiet()
    assert visitor.ink("mask") > 50
    assert visitor.value("document.querySelector('.job-line') === null")
    assert visitor.errors == []

    visitor.page.locator("#search").fill("MED15")  # the next gene costs its window
    visitor.page.keyboard.press("Enter")
    visitor.until("seq2exp.state.unscored?.symbol === 'MED15'").quiet()
    first = sum(world.sent.values())
    visitor.page.click("[data-action=score]")
    visitor.until(
        "document.querySelector('#gene-head h2')?.textContent === 'MED15' && seq2exp.state.gene", MODEL_SECONDS
    )
    assert sum(world.sent.values()) - first < 2_000_000
    assert visitor.errors == []


def test_a_server_that_refuses_is_one_message_and_the_same_gene_can_be_tried_again(opened, world):
    dnase = world.path("dnase")
    world.faults[dnase] = "html"
    visitor = opened("RANBP1")
    failed = "document.querySelector('.job-line')?.hasAttribute('data-over')"
    visitor.until(failed, MODEL_SECONDS)
    again = visitor.page.locator("[data-action=score]")
    for fault, said in (("html", "web page"), ("403", "403")):
        world.faults[dnase] = fault
        if fault != "html":
            again.click()
            visitor.until(f"!{failed}").until(failed, MODEL_SECONDS)
        text = visitor.value(LINE)
        for part in ("www.encodeproject.org", "ENCFF414OGC.bigWig", said, "expected", ";"):
            assert part in text, text
        assert "Traceback" not in text
        assert again.text_content() == "Try again"
    world.faults.clear()
    again.click()
    visitor.until(f"Boolean({SCORED})", MODEL_SECONDS).quiet()
    assert visitor.ink("mask") > 50


def test_a_gene_that_nobody_knows_says_so_and_the_page_can_be_used(opened):
    visitor = opened("RANBP")
    visitor.until("document.querySelector('.job-line')?.hasAttribute('data-over')", MODEL_SECONDS)
    assert "RANBP1" in visitor.value(LINE)  # did you mean
    assert visitor.page.locator(".waiting-words").is_hidden()
    visitor.settle()
    visitor.page.locator("#search").fill("RANBP1")
    visitor.page.keyboard.press("Enter")
    visitor.until("seq2exp.state.unscored?.symbol === 'RANBP1'")
    assert visitor.page.locator("[data-action=score]").text_content() == "Score now"


def test_a_genome_that_cannot_be_read_does_not_keep_the_tracks_away(opened, world):
    world.faults[world.path("sequence")] = "403"
    visitor = opened(query="?locus=chr22:20,000,001-20,200,000").settle()
    visitor.until(f"Boolean({DNASE}?.canvas)").quiet()
    assert visitor.ink("signal-1") > 50
    visitor.value("void seq2exp.igvBrowser().search('chr22:20000001-20000100')")  # so near that bases are read
    visitor.until("seq2exp.state.locus.end - seq2exp.state.locus.start < 1000").quiet()
    visitor.until(f"Boolean({DNASE}?.canvas)").quiet()
    assert world.path("sequence") in {path for path, _ in world.asked}
    assert visitor.ink("signal-1") > 50
    assert visitor.value("document.getElementById('igv').dataset.failed === undefined")


def test_a_dense_track_that_is_panned_and_zoomed_costs_what_is_shown(opened, world):
    """Limits are about twice what was measured, in blocks of 64 kB; the file has 5.3 MB in each megabase."""
    dnase = world.path("dnase")
    assert len(world.content[dnase]) > 30_000_000

    def cost() -> tuple[int, int]:
        return world.sent.get(dnase, 0), sum(path == dnase for path, _ in world.asked)

    def go(start: int, end: int) -> None:
        visitor.value(f"void seq2exp.igvBrowser().search('chr22:{start + 1}-{end}')")

    def see(start: int, end: int, most: int, requests: int) -> None:
        """Wait until a view is drawn, and compare what was read since the last with limits, in bytes and requests."""
        sent, asked = costs[-1]
        width = f"seq2exp.state.locus.end - seq2exp.state.locus.start - {end - start}"
        visitor.until(f"Math.abs(seq2exp.state.locus.start - {start}) < 100 && Math.abs({width}) < 100").quiet()
        visitor.until(f"Boolean({DNASE}?.canvas)").quiet()
        assert visitor.ink("signal-1") > 50
        costs.append(cost())
        assert (costs[-1][0] - sent <= most, costs[-1][1] - asked <= requests) == (True, True), costs

    costs = [(0, 0)]
    visitor = opened(query="?locus=chr22:20,000,001-20,200,000").settle()
    see(20_000_000, 20_200_000, 600_000, 8)  # its bases would be 1.1 MB
    for width, most in ((200_000, 600_000), (10_000, 500_000)):  # from the file's summaries, and from its bases
        for step in range(20):  # quickly: nobody waits for the tracks in between
            start = 20_400_000 + step * width // 10
            go(start, start + width)
            visitor.page.wait_for_timeout(50)
        see(start, start + width, most, 8)
    go(0, SIZE)
    see(0, SIZE, 200_000, 4)
    assert visitor.errors == []
