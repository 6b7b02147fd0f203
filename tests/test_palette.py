"""One palette: colours stand in model_core/palette.py; Python, style sheet and JavaScript have none of their own."""

import re
from pathlib import Path

import pytest

from model_core import palette
from model_core.palette import Colour

ROOT = Path(__file__).parents[1]
LITERAL = re.compile(r"#(?P<hex>[0-9a-fA-F]{6})\b|rgba?\((?P<r>\d+), ?(?P<g>\d+), ?(?P<b>\d+)")
BROWSER = [
    path
    for folder in ("assets", "seq2exp_viz")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".js", ".mjs", ".html", ".css") and "vendor" not in path.parts
]


def literals(text: str) -> set[Colour]:
    """The colours that a source writes out."""
    found = set()
    for match in LITERAL.finditer(text):
        code = match["hex"]
        numbers = (int(code[i : i + 2], 16) for i in (0, 2, 4)) if code else (int(match[name]) for name in "rgb")
        found.add(Colour(*numbers))
    return found


def colours(value: object) -> set[Colour]:
    """All colours of the palette."""
    if isinstance(value, Colour):
        return {value}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return {colour for part in parts for colour in colours(part)}


PALETTE = {colour for value in vars(palette).values() for colour in colours(value)}


@pytest.mark.parametrize("package", ["model_core", "seq2exp_viz"])
def test_no_other_module_writes_a_colour_out(package):
    own = ROOT / "model_core" / "palette.py"
    found = {path: literals(path.read_text()) for path in (ROOT / package).rglob("*.py") if path != own}
    assert {str(path): named for path, named in found.items() if named} == {}


@pytest.mark.parametrize("path", BROWSER, ids=lambda path: path.name)
def test_the_browsers_sources_use_colours_of_the_palette(path):
    assert literals(path.read_text()) - PALETTE == set()


def variables(selector: str) -> dict[str, Colour]:
    sheet = (ROOT / "assets" / "style.css").read_text()
    block = re.search(rf"^{re.escape(selector)} {{(.*?)^}}", sheet, re.S | re.M)[1]
    return {name: literals(value).pop() for name, value in re.findall(r"--([\w-]+): (#\w{6});", block)}


def test_the_style_sheets_variables_are_the_palettes():
    assert variables(":root") == palette.LIGHT | palette.MARKS
    assert variables('[data-mantine-color-scheme="dark"]') == palette.DARK


def test_the_rest_of_the_style_sheet_writes_out_black_and_white_alone():
    sheet = (ROOT / "assets" / "style.css").read_text()
    rules = sheet.split("html, body", 1)[1]
    assert literals(rules) <= {palette.BLACK, palette.WHITE}


def test_a_colour_has_the_spelling_of_each_medium():
    assert palette.BLUE.css == "rgb(0, 114, 178)"
    assert palette.BLUE.hex == "#0072b2"
    assert palette.BLUE.item_rgb == "0,114,178"
    assert palette.BLUE.unit == pytest.approx((0, 0.447, 0.698), abs=0.001)
    assert palette.css_variables({"ink": palette.BLACK, "paper": palette.WHITE}) == "--ink: #000000; --paper: #ffffff;"
