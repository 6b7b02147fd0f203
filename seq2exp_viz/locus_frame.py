"""A locus in a notebook's output: a frame with igv.js and all data, and the commands that the kernel can send to it.

The frame's document is part of the output (srcdoc), is isolated from the notebook (sandbox) and may not fetch anything
(its policy), so that it works wherever the saved notebook is opened and trusted. An image below it is visible until
igv.js has drawn, and wherever scripts are removed from a notebook.
"""

from __future__ import annotations

import base64
import gzip
import itertools
import json
from html import escape
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

from seq2exp_viz.reports.locus_figure import Place, caption_words, locus_bytes, place_of
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.serving import modules, static_files

ROOM, GAP = 120, 5  # pixels: toolbar, ruler and margins of igv.js; between two tracks
DPI = 130  # of the image, 7.2 inches wide
SANDBOX = "allow-scripts allow-downloads"  # without allow-same-origin: it cannot reach the notebook or its server
STILL = (
    "This is an image of the view in igv.js. To move and zoom, run the cell or trust the notebook"
    " (in JupyterLab: Trust Notebook in the command palette)."
)


class LocusBrowser:
    """A locus that igv.js shows in a cell's output; the browser of the reader executes what its methods request.

    The kernel cannot read from the browser: each method shows the answer below its own cell and returns None.
    `seq2exp_viz.figure` returns an image to Python.

    Parameters
    ----------
    view : RunView
        The run.
    place : Place
        Gene, region and threshold.
    config : dict
        Configuration of igv.js, with "chromosome" and without a file of the genome (`notebook.locus_config`).
    """

    def __init__(self, view: RunView, place: Place, config: dict):
        self._view, self._place, self._config = view, place, config
        self._symbol = str(view.run.gene(place.gene)["symbol"])
        self._name = f"seq2exp-{uuid4().hex}"
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        place = self._place
        return f"<{self._symbol} in igv.js, {place.chrom}:{place.start + 1:,}-{place.end:,}>"

    def display(self, igv: str = "vendored") -> None:
        """Show the locus below the running cell; `igv` chooses the igv.js as in `static_files.igv_script`."""
        from IPython.display import display

        caption = " ".join(caption_words(self._view, self._place))
        picture = locus_bytes(self._view, self._place, "png", dpi=DPI)
        frame = frame_document(self._config, self._name, static_files.igv_script(igv).path)
        height = ROOM + sum(int(track["height"]) + GAP for track in self._config["tracks"])
        html = output_html(self._name, frame, picture, caption, height)
        png = base64.b64encode(picture).decode()
        display({"text/html": html, "image/png": png, "text/plain": f"{STILL}\n{caption}"}, raw=True)

    def search(self, locus: str) -> None:
        """Show a region such as "chr1:1,000-2,000" (1-based); the gene's symbol or id shows its window.

        Parameters
        ----------
        locus : str
            The region, or the gene.

        Raises
        ------
        InputError
            Not a region, or one outside the gene's window, for which the output has no data.
        """
        whole = locus.strip() in (self._symbol, self._place.gene)
        place = place_of(self._view, self._place.gene, None if whole else locus)
        words = f"{self._symbol}: go to {place.chrom}:{place.start + 1:,}-{place.end:,}"
        self._ask("search", words, start=place.start, end=place.end)

    def zoom_in(self) -> None:
        """Show half as many bases."""
        self._ask("zoomIn", f"{self._symbol}: zoom in")

    def zoom_out(self) -> None:
        """Show twice as many bases."""
        self._ask("zoomOut", f"{self._symbol}: zoom out")

    def to_svg(self) -> None:
        """Show the current view of igv.js as an SVG below the cell, with a link that saves it."""
        self._ask("svg", f"{self._symbol}: igv.js as SVG")

    def _ask(self, act: str, words: str, **more: int) -> None:
        from IPython.display import display

        message = {"to": self._name, "number": next(self._numbers), "act": act, **more}
        display({"text/html": message_html(message, words), "text/plain": words}, raw=True)


def frame_document(config: dict, name: str, igv: Path) -> str:
    """Return the HTML document of the frame, with igv.js, modules and data in one gzip, so that nothing needs escaping.

    Parameters
    ----------
    config : dict
        Configuration of igv.js, and "chromosome".
    name : str
        Name of the frame: letters, digits and hyphens.
    igv : Path
        The igv.js file.
    """
    content = {"igv": igv.read_text(encoding="utf-8"), "imports": modules.embedded_imports(), "config": config}
    packed = gzip.compress(json.dumps(content).encode(), mtime=0)
    document = (files("seq2exp_viz") / "locus_frame.html").read_text(encoding="utf-8")
    return document.replace("@NAME@", name).replace("@PACKED@", base64.b64encode(packed).decode())


def output_html(name: str, document: str, picture: bytes, caption: str, height: int) -> str:
    """Return the HTML of the output: a line of text and an image, covered by the frame, `height` pixels high.

    The caption, which says what the numbers rest on, opens below both: JupyterLab takes tall outputs off the page when
    they scroll out of view.
    """
    src = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return (
        f'<div style="position: relative; min-height: {height}px"><p>{escape(STILL)}</p>'
        f'<img alt="{escape(caption)}" src="{src}" style="max-width: 100%; max-height: {height - 60}px">'
        f'<iframe name="{name}" title="{escape(caption)}" sandbox="{SANDBOX}" srcdoc="{escape(document)}"'
        ' style="position: absolute; left: 0; top: 0; width: 100%; height: 100%; border: 0"></iframe></div>'
        '<details style="font-size: 12px"><summary>What is shown, and what it rests on</summary>'
        f"{escape(caption)}</details>"
    )


def message_html(message: dict, words: str) -> str:
    """Return HTML with a line of text, which a script replaces by the frame's answer to `message`."""
    script = (files("seq2exp_viz") / "locus_message.js").read_text(encoding="utf-8").rstrip()
    line = f"{message['to']}-{message['number']}"
    return f'<div id="{line}">{escape(words)}</div><script>{script}({json.dumps(message)});</script>'
