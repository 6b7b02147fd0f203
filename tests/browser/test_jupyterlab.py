"""The notebook in real JupyterLab: run by its menu, looked at inside the frame, saved, loaded again, not trusted."""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from needs import missing
from run_builder import random_masks
from viewer_run import EVIL, make_study, make_viewer_run

import seq2exp_viz
from model_core.run_folder.assemble import assemble
from model_core.run_folder.run import Run
from seq2exp_viz.locus_frame import frame_document, output_html
from seq2exp_viz.notebook import locus_config
from seq2exp_viz.reports.locus_figure import place_of
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.serving import static_files

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "locus.ipynb"
CODE = str(Path(seq2exp_viz.__file__).parents[1])  # the kernel takes what is tested here, installed or not
SECONDS = 60
TOKEN = "a-token-of-the-tests"
DRAWN = (  # drawn, and no track is loading
    "window.seq2exp !== undefined"
    " && seq2exp.browser.trackViews.every(row => row.viewports.every(view => !view.loading))"
)
TRACK = "seq2exp.browser.trackViews.find(row => row.track && row.track.name === {name!r})"
INK = (
    "(() => {{ const c = {track}.viewports[0].canvas;"
    " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
    " for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 0 && d[i] + d[i + 1] + d[i + 2] < 720) n++; return n; }})()"
)
PLACE = "(v => (v.viewportElement || v.$viewport[0]).getBoundingClientRect().toJSON())({track}.viewports[0])"
SPAN = "seq2exp.browser.referenceFrameList.map(frame => [Math.round(frame.start), Math.round(frame.end)])[0]"
BROWSE = "import os, seq2exp_viz\nb = seq2exp_viz.browse(os.environ['SEQ2EXP_RUN'], {gene!r})"
TRACKS = ("Genes", "H3K27ac", "DNase", "Hi-C contact to this TSS", "MACS3 peaks")


class Lab:
    """A JupyterLab server with folders of its own: what it was asked for, and where a notebook is."""

    def __init__(self, folder: Path, run: Path):
        self.files, self.log, self.run = folder / "files", folder / "server.log", run
        runtime, config = folder / "runtime", folder / "config"
        for path in (self.files, runtime, config):
            path.mkdir(parents=True)
        (config / "labconfig").mkdir()
        (config / "labconfig" / "page_config.json").write_text('{"buildCheck": false}')  # a question before all else
        self.settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        self.settings.mkdir(parents=True)
        (self.settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')  # another question
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))},
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(path for path in [CODE, os.environ.get("PYTHONPATH")] if path),
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "IPYTHONDIR": str(folder / "ipython"),
            "SEQ2EXP_RUN": str(run),
            "SEQ2EXP_CACHE": str(folder / "cache"),
        }
        quiet = ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"]
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"]
        command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.files}", *quiet]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.url = self.until(
            lambda: next((json.loads(p.read_text())["url"] for p in runtime.glob("jpserver-*.json")), None)
        )

    def until(self, found, seconds: float = SECONDS):
        """What `found` gives as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := found()):
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < end, f"not within {seconds} s"
            time.sleep(0.1)
        return value

    def close(self) -> None:
        """Stop the server, which stops its kernels."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)

    def address(self, name: str) -> str:
        """Open a notebook in a workspace of its own, so that no earlier one is opened beside it."""
        return f"{self.url}lab/workspaces/{Path(name).stem}/tree/{name}?token={TOKEN}"


class Reader:
    """Somebody with a notebook open in JupyterLab."""

    def __init__(self, page, lab: Lab, name: str):
        self.page, self.lab, self.path = page, lab, lab.files / name
        page.goto(lab.address(name))
        self.opened()

    def opened(self) -> "Reader":
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=SECONDS * 1000)
        return self

    def run_all(self) -> "Reader":
        """Run > Run All Cells, and wait until every cell has its number."""
        ready = "(document.querySelector('#jp-main-statusbar') || {}).innerText || ''"
        self.until(lambda: "(ipykernel) | Idle" in self.page.evaluate(ready))  # else the menu asks for a kernel
        self.choose("Run", "Run All Cells")
        prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.textContent)"
        self.until(lambda: all(text.strip("[]: ").isdigit() for text in self.page.evaluate(prompts)), self.outputs)
        return self

    def choose(self, menu: str, line: str) -> None:
        self.page.click(f"li.lm-MenuBar-item:has-text('{menu}')")
        self.page.click(f".lm-Menu-item:has(.lm-Menu-itemLabel:text-is('{line}'))")

    def outputs(self) -> str:
        return "\n".join(self.page.locator(".jp-OutputArea-output").all_inner_texts())

    def until(self, found, told=lambda: ""):
        end = time.monotonic() + SECONDS
        while not (value := found()):
            assert time.monotonic() < end, f"not within {SECONDS} s: {told()}"
            self.page.wait_for_timeout(100)
        return value

    def drawn(self, number: int = 0):
        """The frame of that number, once igv.js has drawn all its tracks."""
        box = self.page.locator('iframe[name^="seq2exp-"]').nth(number)
        box.wait_for(state="attached", timeout=SECONDS * 1000)
        box.scroll_into_view_if_needed(timeout=SECONDS * 1000)
        frame = self.until(lambda: self.page.frame(name=box.get_attribute("name")))
        problem = "document.body.innerText.slice(0, 500)"
        self.until(lambda: frame.evaluate(DRAWN), lambda: frame.evaluate(problem))
        return frame

    def save(self) -> "Reader":
        """File > Save Notebook, until the page says that it is saved and the file holds an output."""
        self.choose("File", "Save Notebook")
        self.until(lambda: self.page.locator(".jp-mod-dirty").count() == 0)
        self.until(lambda: "seq2exp-" in self.path.read_text())
        return self


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return make_viewer_run(folder / "run", make_study(folder / "study"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, run_folder, chromium) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"), run_folder)
    yield lab
    lab.close()


@pytest.fixture
def lab(server) -> Iterator[Lab]:
    """The server; what it said during a test is printed, which is seen when the test fails."""
    before = server.log.stat().st_size
    yield server
    print(server.log.read_bytes()[before:].decode(errors="replace"))


@pytest.fixture
def new_page(chromium) -> Iterator:
    """A function that makes pages; at the end nothing that they asked for was outside this machine."""
    contexts, asked = [], []

    def make(width: int = 1280, height: int = 900):
        context = chromium.new_context(viewport={"width": width, "height": height})
        context.on("request", lambda request: asked.append(request.url))
        contexts.append(context)
        return context.new_page()

    yield make
    for context in contexts:
        context.close()
    local = ("http://127.0.0.1", "http://localhost", "ws://127.0.0.1", "ws://localhost", "data:", "blob:", "file:")
    assert [url for url in asked if not url.startswith(local)] == []


def write(lab: Lab, name: str, *cells: str) -> str:
    """A notebook of these code cells; its name."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, lab.files / name)
    return name


def ink(frame, track: str) -> int:
    return frame.evaluate(INK.format(track=TRACK.format(name=track)))


def looks_right(frame, run: Path, gene: str) -> None:
    """All tracks have ink, and the mask's numbers are those of the run."""
    symbol = str(seq2exp_viz.open_run(run).gene(gene)["symbol"])
    for track in (*TRACKS, f"Mask of {symbol}", f"Elements of {symbol}"):
        assert ink(frame, track) > 50, track
    mask = TRACK.format(name=f"Mask of {symbol}")
    features = frame.evaluate(f"{mask}.viewports[0].featureCache.features.map(f => [f.start, f.mean])")
    told = seq2exp_viz.open_run(run).mask(gene)
    places = np.array([start for start, _ in features], int) - told.start
    assert len(features) == len(told.mean)
    assert np.allclose([mean for _, mean in features], told.mean[places], atol=1e-4)


def test_the_example_draws_zooms_and_is_there_after_save_and_reload(lab, new_page, run_folder):
    (lab.files / "locus.ipynb").write_text(EXAMPLE.read_text())
    run = seq2exp_viz.open_run(run_folder)
    gene = run.genes.sort_values("elements", ascending=False)["gene_id"].iloc[0]
    reader = Reader(new_page(), lab, "locus.ipynb").run_all()
    frame = reader.drawn()
    looks_right(frame, run_folder, gene)
    whole = frame.evaluate(SPAN)
    assert whole[1] - whole[0] == 4_000
    frame.locator('[class^="igv-zoom-widget"] svg').last.click()
    reader.until(lambda: abs(np.diff(frame.evaluate(SPAN))[0] - 2_000) < 5, lambda: frame.evaluate(SPAN))
    reader.until(lambda: frame.evaluate(DRAWN))
    assert ink(frame, "H3K27ac") > 50
    reader.save()
    reader.page.reload()
    frame = reader.opened().drawn()
    looks_right(frame, run_folder, gene)
    assert frame.evaluate(SPAN) == whole
    assert frame.evaluate("document.scrollingElement.scrollHeight <= innerHeight + 1")  # all rows are seen at once
    assert len((lab.files / "locus.ipynb").read_bytes()) < 1_200_000


def test_an_untrusted_notebook_shows_the_picture_and_says_so(lab, new_page):
    write(
        lab,
        "trusted.ipynb",
        "import os, seq2exp_viz\nb = seq2exp_viz.browse(os.environ['SEQ2EXP_RUN'], 'MYC')",
        "b.zoom_in()",
    )
    reader = Reader(new_page(), lab, "trusted.ipynb").run_all()
    reader.drawn()
    reader.save()
    stranger = json.loads((lab.files / "trusted.ipynb").read_text())
    stranger["cells"][0]["source"] = "# from somebody else"  # another text: its signature is not known here
    (lab.files / "strange.ipynb").write_text(json.dumps(stranger))
    other = Reader(new_page(), lab, "strange.ipynb")
    picture = other.page.locator(".jp-OutputArea-output img")
    other.until(lambda: picture.count() == 1 and picture.evaluate("image => image.naturalWidth > 700"), other.outputs)
    assert other.page.locator("iframe[name^=seq2exp-]").count() == 0
    assert "trust the notebook" in other.outputs()
    assert "MYC: zoom in" in other.outputs()
    assert "MYC (ENSG00000000000.1), chr1:8,001-12,000" in picture.get_attribute("alt")


def test_two_browsers_in_one_notebook_obey_their_own_variables(lab, new_page, run_folder):
    start = "import os, seq2exp_viz\nrun = seq2exp_viz.open_run(os.environ['SEQ2EXP_RUN'])\n"
    cells = [
        f"{start}first = seq2exp_viz.browse(run, 'MYC')",
        "second = seq2exp_viz.browse(run, 'HBB')",
        "second.search('chr1:15,001-16,000')",
        "second.zoom_in()",
        "second.to_svg()",
        "first.zoom_in()\nfirst.zoom_out()",
    ]
    # So high that all cells are in view: JupyterLab draws the others only when one scrolls to them.
    reader = Reader(new_page(width=900, height=3_000), lab, write(lab, "two.ipynb", *cells)).run_all()

    def there():
        text = reader.outputs()
        return all(place in text for place in ("chr1:15,001-16,000", "chr1:15,251-15,750", "chr1:8,001-12,000")) and (
            reader.page.locator("a[download='locus.svg']").count() == 1
        )

    reader.until(there, reader.outputs)
    first, second = reader.drawn(0), reader.drawn(1)
    looks_right(first, run_folder, "MYC")
    assert first.evaluate(SPAN) == [8_000, 12_000]
    assert second.evaluate(SPAN) == [15_250, 15_750]
    svg = reader.page.locator("a[download='locus.svg'] ~ img").get_attribute("src").partition(",")[2]
    texts = "".join(ET.fromstring(reader.page.evaluate("decodeURIComponent", svg)).itertext())
    assert "Mask of HBB" in texts
    reader.save()
    reader.page.reload()
    reader.opened()
    reader.until(there, reader.outputs)  # the saved moves are made again
    assert reader.drawn(1).evaluate(SPAN) == [15_250, 15_750]


def test_texts_from_files_stay_text(lab, new_page):
    cell = BROWSE.format(gene=EVIL)
    reader = Reader(new_page(), lab, write(lab, "evil.ipynb", cell, "b.zoom_out()", "b.to_svg()")).run_all()
    frame = reader.drawn()
    reader.until(lambda: reader.page.locator("a[download='locus.svg']").count() == 1, reader.outputs)
    assert f"Mask of {EVIL}" in frame.locator(".igv-track-label").all_inner_texts()
    assert frame.evaluate("window.hacked") is None
    assert reader.page.evaluate("window.hacked") is None
    outer = reader.page.locator('iframe[name^="seq2exp-"]').bounding_box()
    inner = frame.evaluate(PLACE.format(track=TRACK.format(name="Genes")))
    reader.page.mouse.click(outer["x"] + inner["x"] + 0.52 * inner["width"], outer["y"] + inner["y"] + 17)
    pop_up = frame.locator(".igv-ui-popover")
    reader.until(lambda: EVIL.replace('"', "'") in "".join(pop_up.all_inner_texts()), pop_up.all_inner_texts)
    assert frame.evaluate("window.hacked") is None


def test_dark_and_narrow(lab, new_page):
    chosen = lab.settings / "themes.jupyterlab-settings"
    chosen.write_text('{"theme": "JupyterLab Dark"}')
    try:
        reader = Reader(new_page(), lab, write(lab, "dark.ipynb", BROWSE.format(gene="MYC"))).run_all()
        reader.page.set_viewport_size({"width": 760, "height": 800})  # leaves 370 pixels
        frame = reader.drawn()
    finally:
        chosen.unlink()
    assert reader.page.evaluate("document.body.dataset.jpThemeLight") == "false"
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    fits = "innerWidth < 400 && document.scrollingElement.scrollWidth <= innerWidth + 1"
    reader.until(lambda: frame.evaluate(fits), lambda: frame.evaluate("[innerWidth, document.body.scrollWidth]"))
    reader.until(lambda: frame.evaluate(SPAN) == [8_000, 12_000], lambda: frame.evaluate(SPAN))
    assert frame.locator('[class^="igv-zoom-widget"] svg').last.is_visible()
    assert ink(frame, "Mask of MYC") > 50
    reader.page.set_viewport_size({"width": 1200, "height": 800})
    reader.until(lambda: frame.evaluate("innerWidth > 600") and frame.evaluate(SPAN) == [8_000, 12_000])


def run_on(folder: Path, chrom: str) -> Path:
    """A run of one gene on a chromosome of that name, beside one whose name igv.js cannot read, with one peak."""
    run = Run.create(folder, window=2000, promoter=200, chrom_sizes={"gi|5|gb|C.2|": 900, chrom: 8000}, asked=1)
    row = {"gene_id": "G0", "symbol": "GENE0", "chrom": chrom, "tss": 4000, "strand": "+", "split": "test"}
    with run.writing():
        run.append({**row, "observed": 1.0, "predicted": 1.1}, *random_masks(2000, np.random.default_rng(1)))
    peaks = folder.with_name("peaks.narrowPeak")
    peaks.write_text(f"{chrom}\t3100\t3300\tp\t9\t.\t9.5\t8.1\t6.2\t50\n")
    assemble(run, peaks)
    return run.path


@pytest.mark.parametrize("igv", ["notebook", "vendored"])
@pytest.mark.parametrize("chrom", ["chr1", "1", "HLA-A*01:01:01:01", "chr1:1000-51000", "gi|568336023|gb|CM000663.2|"])
def test_each_igv_draws_whatever_the_chromosome_is_called(new_page, tmp_path, igv, chrom):
    if igv == "vendored" and not (static_files.folder() / "vendor" / "igv.min.js").is_file():
        missing("needs igv.js 3.8: `python -m seq2exp_viz.serving.vendor` (npm)")
    view = RunView.open("test", Run.open(run_on(tmp_path / "run", chrom)))
    place = place_of(view, "GENE0")
    config = locus_config(view, place)
    document = frame_document(config, "seq2exp-test", static_files.igv_script(igv).path)
    (tmp_path / "page.html").write_text(output_html("seq2exp-test", document, b"", "", 500), encoding="utf-8")
    page = new_page()
    page.goto(f"file://{tmp_path / 'page.html'}")
    frame = page.wait_for_selector("iframe[name=seq2exp-test]").content_frame()
    end = time.monotonic() + SECONDS
    while not frame.evaluate(DRAWN):
        assert time.monotonic() < end, frame.evaluate("document.body.innerText")
        page.wait_for_timeout(50)
    assert frame.evaluate(SPAN) == [3_000, 5_000]
    for track in ("MACS3 peaks", "Mask of GENE0", "Elements of GENE0"):
        assert ink(frame, track) > 50, track
