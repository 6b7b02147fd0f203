"""What docs/architecture.md says of the code is what the code does."""

import re
import sys
from pathlib import Path

import pytest

from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from seq2exp_viz.cli import app

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST = 27  # functions that a reader opens between the command and the model
SMALL = ("--window", "1024", "--promoter", "128", "--width", "8", "--depth", "1", "--steps", "1", "--batch-size", "2")


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    return TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def steps(heading: str) -> list[tuple[str, str]]:
    """(file, name of the function) of each numbered line below a heading."""
    return re.findall(r"^\d+\. `([\w/]+\.py)` `([\w.]+)`", section(heading), re.M)


def test_a_training_enters_the_functions_on_the_way_to_the_model_in_the_order_told(tmp_path):
    way = steps("A study from `train` to the model")
    study = simulate_study(tmp_path, seed=1, world=World(genes=(24, 24, 12), validation_genes=8))
    entered: list[tuple[str, str]] = []

    def note(frame, event, arg) -> None:
        if event == "call":
            code = frame.f_code
            if code.co_filename.startswith(str(ROOT)):
                entered.append((str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname))

    command = ["train", str(study), "--out", str(tmp_path / "run"), "--device", "cpu", *SMALL]
    sys.setprofile(note)
    try:
        app(command, standalone_mode=False)
    finally:
        sys.setprofile(None)
    left = iter(entered)
    missed = next((step for step in way if step not in left), None)  # each is looked for behind the one before
    assert missed is None
    assert len(way) <= MOST


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`((?:model_core|seq2exp_viz)/[\w/.]+)`", TEXT))))
def test_every_file_and_folder_that_is_named_is_there(place):
    assert (ROOT / place).exists()


@pytest.mark.parametrize(("file", "name"), re.findall(r"`(model_core/[\w/]+\.py)` `([\w.]+)`", TEXT))
def test_every_function_that_is_named_stands_in_its_file(file, name):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"^\s*(def|class) {name.rpartition('.')[2]}\b", text, re.M)
