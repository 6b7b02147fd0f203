"""Words that the numbers do not carry appear nowhere: page, report, command line, notebook, docs, sources."""

import json
import re
import shutil
from pathlib import Path

import pytest
from model_run import make_model_run, score_with
from typer.testing import CliRunner
from viewer_run import make_study, make_viewer_run

from model_core.config import LOGIT_RECIPE
from model_core.evaluation.compare import compare
from model_core.run_folder.elements import read_elements
from model_core.run_folder.run import Run
from model_core.study.study import load_study
from seq2exp_viz.api import igv
from seq2exp_viz.api.genes import element_answer
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.cli import app
from seq2exp_viz.notebook import locus_config
from seq2exp_viz.page import help as help_page
from seq2exp_viz.page import panel
from seq2exp_viz.reports.comparison_report import report as comparison_report
from seq2exp_viz.reports.export import export
from seq2exp_viz.reports.gene_report import report
from seq2exp_viz.reports.locus_figure import caption_words, place_of
from seq2exp_viz.runs.registry import RunRegistry

ROOT = Path(__file__).parents[1]
FORBIDDEN = re.compile(
    r"significan|surely (so|kept|hidden)|tell (the )?models apart|no order of models follows|posterior given"
    r"|model's (own )?posterior",
    re.IGNORECASE,
)
COLUMN = re.compile(r"[`\"(]Significant\b|or Significant|^Significant")  # of tables of tested pairs, by others
SOURCES = [
    *(ROOT / "model_core").rglob("*.py"),
    *(ROOT / "seq2exp_viz").rglob("*.py"),
    *(path for path in (ROOT / "assets").rglob("*.js") if "vendor" not in path.parts),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "examples").rglob("*.ipynb"),
    ROOT / "README.md",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    """A soft run with a model, one with a logit head, where alpha + beta is fixed, and an additive one."""
    folder = tmp_path_factory.mktemp("words")
    soft = Run.open(make_model_run(folder / "soft"))
    study = load_study(make_study(folder / "logit" / "study"))
    genes, small = study.genes().iloc[:2], {"d_model": 8, "n_layers": 1}
    logit = score_with(study, folder / "logit", genes, **{**LOGIT_RECIPE, **small}, variant="causal")
    study = load_study(make_study(folder / "additive" / "study"))
    return {"soft": soft, "logit": logit, "additive": score_with(study, folder / "additive", genes, variant="causal")}


def words_of(node: object) -> str:
    """A Dash component as the text that it becomes in the browser's hands."""
    return json.dumps(node, default=lambda part: part.to_plotly_json())


def rendered(run: Run, cache: Path) -> dict[str, str]:
    """Everything that people read of a run, by where it stands."""
    registry = RunRegistry([run], cache=cache)
    view = registry.first
    gene = str(run.genes["gene_id"].iloc[0])
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    found = compare(run)
    shown = {
        "page": client.get("/_dash-layout").data.decode(),
        "legend": words_of(panel.legend(view)),
        "caveat": words_of(panel.caveat(view)),
        "help": words_of(help_page.help_overlay()),
        "tracks": json.dumps(igv.tracks(view, "/", gene, None)),
        "elements": json.dumps(element_answer(view, gene, None)),
        "mask": client.get(f"/api/v1/{view.key}/genes/{gene}/mask").data.decode(),
        "what if": client.get(f"/api/v1/{view.key}/whatif").data.decode(),
        "figure": " ".join(caption_words(view, place_of(view, gene))),
        "report": report(view, [gene]),
        "comparison": comparison_report(found.summary, found.tables)[0],
        "notebook": json.dumps(locus_config(view, place_of(view, gene))),
        "command line": CliRunner().invoke(app, ["effects", str(run.path), "--gene", gene, "--controls", "2"]).output,
    }
    shown["report with effects"] = report(view, [gene])
    for command in ("effects", "compare", "figure", "report", "serve", "train", "score"):
        shown[f"{command} --help"] = CliRunner().invoke(app, [command, "--help"]).output
    registry.close()
    return shown


@pytest.mark.parametrize("kind", ["soft", "logit", "additive"])
def test_nothing_that_people_read_claims_more_than_the_numbers_carry(runs, kind, tmp_path):
    for place, text in rendered(runs[kind], tmp_path).items():
        found = FORBIDDEN.search(text)
        assert not found, f"{place}: {found[0]!r}"
        assert "unusual" not in text.lower(), place


def test_effects_are_ranked_among_control_regions_and_no_more_is_said(runs, tmp_path):
    shown = rendered(runs["soft"], tmp_path)
    for place in ("command line", "report with effects"):
        assert re.search(r"[0-2] of 2 control regions at least as strong", shown[place]), place
        assert "does not show that the element is real" in shown[place], place


def test_a_head_that_fixes_alpha_and_beta_shows_no_width(runs, tmp_path):
    """1.8: what follows from the mean is not shown as if it were something of its own."""
    assert runs["soft"].band == "beta"
    assert runs["logit"].band == "none"
    total = runs["logit"].mask(str(runs["logit"].genes["gene_id"].iloc[0]))
    assert (total.alpha + total.beta)[total.learned].std() < 1e-2  # the reason, as the model gave it
    soft, logit = rendered(runs["soft"], tmp_path / "a"), rendered(runs["logit"], tmp_path / "b")
    for place, words in (
        *(("legend", part) for part in ("95 % range of z", "95 % of z above")),
        *(("tracks", part) for part in ('"certainty"', "Where z lies")),
        *(("mask", part) for part in ('"low"', '"high"')),
        ("figure", "central 95 %"),
        ("report", "Sd of z under its Beta"),
        ("notebook", '"low"'),
    ):
        assert words in soft[place], (place, words)
        assert words not in logit[place], (place, words)
    assert set(json.loads(logit["elements"])["elements"][0]) == set(json.loads(soft["elements"])["elements"][0])
    assert {item["beta_sd"] for item in json.loads(logit["elements"])["elements"]} == {None}
    registry = RunRegistry([runs["logit"]], cache=tmp_path)
    gene = str(runs["logit"].genes["gene_id"].iloc[0])
    client = create_app(registry, Settings(igv="notebook")).server.test_client()
    answer = client.get(f"/api/v1/{registry.first.key}/genes/{gene}/certainty")
    assert answer.status_code == 404
    assert "follows from its mean" in answer.get_json()["message"]
    registry.close()


def test_files_for_others_have_no_width_where_a_head_fixes_it(runs, tmp_path):
    for kind, run in runs.items():
        gene = str(run.genes["gene_id"].iloc[0])
        for genes in (None, gene):
            path = export(run, "bed", genes, tmp_path / f"{kind}.bed")
            header, *rows = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("##")]
            cells = {row[header.index("beta_sd")] for row in rows}
            assert (cells == {"."}) == (kind == "logit"), (kind, genes)
            assert read_elements(path)["beta_sd"].isna().all() == (kind == "logit")
        registry = RunRegistry([run], cache=tmp_path)
        client = create_app(registry, Settings(igv="notebook")).server.test_client()
        text = client.get(f"/api/v1/{registry.first.key}/genes/{gene}/elements.bed").text
        assert (text.splitlines()[-1].split("\t")[header.index("beta_sd")] == ".") == (kind == "logit")
        registry.close()
        shutil.copytree(run.path, tmp_path / kind / "again")
        found = compare(run, seed_runs=[tmp_path / kind / "again"])
        assert (found.summary["seeds"]["beta_sd"] is None) == (kind == "logit")
        assert ("under the Beta of one model is" in comparison_report(*vars_of(found))[0]) == (kind == "soft")


def test_the_width_stays_on_disk_for_every_head(runs):
    for run in runs.values():
        assert (run.elements["beta_sd"] >= 0).all()


def test_intervals_are_called_what_they_are(tmp_path):
    """1.9: marginal, of the same genes; a paired comparison is what tells, and it stands beside a second run."""
    study = make_study(tmp_path / "study")
    run, other = (Run.open(make_viewer_run(tmp_path / name, study)) for name in ("run", "other"))
    page = comparison_report(*vars_of(compare(run)))[0]
    assert "one model alone (marginal), over the same genes" in page
    assert "a paired comparison" in page
    assert "Differences of predictions" not in page
    page = comparison_report(*vars_of(compare(run, beside=[other.path])))[0]
    assert "Differences of predictions" in page
    assert "these genes do not decide" in page


def vars_of(found) -> tuple:
    return found.summary, found.tables


def test_no_source_or_document_says_so():
    for path in SOURCES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not FORBIDDEN.search(COLUMN.sub("", line)), f"{path} line {number}: {line.strip()}"
