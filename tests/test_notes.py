"""What is said plainly beside numbers: what the model was trained on, which genes it has seen, what the mask is."""

import json
from html import unescape

import pandas as pd
import pytest
from model_run import lively, score_with
from typer.testing import CliRunner
from viewer_run import CONTIGS, SIZE, make_study, write_contacts

from model_core.config import LOGIT_RECIPE
from model_core.datasets.known_models import TEST_CHROMOSOMES, ModelFile
from model_core.errors import InputError
from model_core.evaluation import caveats
from model_core.model.checkpoint import load_with_metadata, save_checkpoint
from model_core.run_folder.notes import SEEN_BY_CHROMOSOME, gene_note, notes_of
from model_core.run_folder.run import FURTHER, MEANING, Run
from model_core.run_folder.seen_genes import seen_genes
from model_core.scoring.input_ranges import OTHER_UNIT, UNSTATED, note_ranges, range_problems
from model_core.scoring.one_gene import prepare_genes
from model_core.scoring.score import run_for
from model_core.signals.power_law_contact import NOTE
from model_core.study.check_tracks import activity_quantiles, activity_warnings, signal_quantiles
from model_core.study.study import load_study
from model_core.tsv import read_table
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.cli import app
from seq2exp_viz.page import panel
from seq2exp_viz.page.selection import grid_rows, revision
from seq2exp_viz.reports.export import export
from seq2exp_viz.reports.gene_report import report
from seq2exp_viz.reports.locus_figure import caption_words, place_of
from seq2exp_viz.runs.prediction_quality import metric_rows
from seq2exp_viz.runs.registry import RunRegistry

SOURCE = "hf://authors/models@0123/K562/soft.ckpt"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A run of two genes, on chr1 and chr2, whose model is said to be the released one and tested on chr2."""
    folder = tmp_path_factory.mktemp("notes")
    return score_in(folder, ModelFile(*named(folder), "0123", "", "K562", "soft", "K562, fold_11", ("chr2",)))


def named(folder):
    return folder / "model.safetensors", "soft-k562", SOURCE


def prepared(folder, metadata=None, cell_type="HepG2", change=lambda text: text):
    """The small study, of these cells, and a checkpoint of a lively soft model with these metadata."""
    path = make_study(folder / "study")
    text = path.read_text().replace("[genome]", f'cell_type = "{cell_type}"\n[genome]' if cell_type else "[genome]")
    path.write_text(change(text))
    study = load_study(path)
    signals = [{"name": spec.name, "transform": spec.transform} for spec in study.signal_specs]
    stated = {
        "feature_scale": study.feature_scale().to_dict(),
        "signals": signals,
        "signal_quantiles": {},
        **(metadata or {}),
    }
    save_checkpoint(named(folder)[0], lively(study.config(d_model=8, n_layers=1, apply="gate"), 3), stated)
    return load_study(path), named(folder)[0]


def score_in(folder, model=None, genes=("MYC", "GATA1"), **given):
    """A run of the small study in which these genes are scored with a checkpoint that is known as `model`."""
    run, _ = prepare_genes(folder / "run", *prepared(folder, **given), genes, device="cpu", model=model)
    return run


def test_a_run_records_what_its_model_is_and_was_trained_on(scored):
    record = Run.open(scored.path).manifest["checkpoint"]
    assert (record["name"], record["source"]) == ("soft-k562", SOURCE)
    assert (record["cell_type"], record["variant"], record["revision"]) == ("K562", "soft", "0123")
    assert record["test_chromosomes"] == ["chr2"]
    assert len(record["sha256"]) == 64


def test_a_plain_path_records_what_the_checkpoint_itself_states(tmp_path):
    trained = {"cell_type": "K562", "trained_on": "K562, study tiny", "training_chromosomes": ["chr1"]}
    record = run_for(*prepared(tmp_path, {"trained": trained}), tmp_path / "run").manifest["checkpoint"]
    assert {name: record[name] for name in trained} == trained
    assert "test_chromosomes" not in record


def test_a_run_that_says_nothing_of_its_model_still_opens(scored, tmp_path):
    manifest = json.loads((scored.path / "manifest.json").read_text())
    manifest["checkpoint"] = {name: manifest["checkpoint"][name] for name in ("path", "relative", "sha256")}
    for name in ("scores.jsonl", "chrom.sizes"):
        (tmp_path / name).write_bytes((scored.path / name).read_bytes())
    (tmp_path / "masks.zarr").symlink_to(scored.path / "masks.zarr")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert Run.open(tmp_path).checkpoint_sha256 == scored.checkpoint_sha256


def test_the_released_models_are_recorded_with_their_test_chromosomes(tmp_path):
    model = ModelFile(*named(tmp_path), "0123", "f" * 64, "K562", "soft", "K562, fold_11", TEST_CHROMOSOMES)
    assert model.record()["test_chromosomes"] == ["chr22", "chrX"]
    assert "source" not in ModelFile(tmp_path, "m.ckpt", str(tmp_path / "m.ckpt")).record()


def texts(run, about=None):
    return [note.text for note in notes_of(run) if about in (None, note.about)]


def test_a_run_says_what_its_mask_model_and_genes_are_and_nothing_else(scored):
    run = Run.open(scored.path)
    assert [note.about for note in notes_of(run)] == ["mask", "model", "genes"]
    assert "follows its signal prior" in texts(run, "mask")[0]
    assert texts(run, "model") == ["The model was trained on K562, applied to HepG2."]
    assert texts(run, "genes")[0].startswith("1 of 2 genes were seen in training")


@pytest.mark.parametrize(
    ("trained", "said"),
    [("hepg2", []), (None, []), ("GM12878", ["The model was trained on GM12878, applied to HepG2."])],
)
def test_cells_are_named_only_where_they_differ(scored, trained, said):
    run = Run.open(scored.path)
    run.manifest["checkpoint"]["cell_type"] = trained
    assert texts(run, "model") == said


def without_labels(text):
    text = text.replace('table = "genes.tsv"\nlabel = "level"\nlabel_transform = "log10p1"\n', "gene_types = []\n")
    text = text.replace('column = "split"\nvalidation = ["validation"]\ntest = ["test"]\n', "")
    head, tail = text.split('path = "contacts.cool"')
    return (
        head + 'path = "powerlaw"' + tail.replace('resolution = 1000\nnormalisation = "NONE"\npseudocount = 0.0\n', "")
    )


@pytest.fixture(scope="module")
def unmeasured(tmp_path_factory):
    """A run without expression and without Hi-C, of a model of which nothing is known, for cells that are not named."""
    return score_in(tmp_path_factory.mktemp("bare"), cell_type=None, change=without_labels)


def test_the_power_law_and_unknown_expression_are_said(unmeasured):
    run = Run.open(unmeasured.path)
    assert texts(run, "study") == [f"Hi-C: {NOTE}."]
    assert texts(run, "expression")[0].startswith("No expression is measured")
    assert texts(run, "genes") == texts(run, "model") == []


def test_each_gene_says_whether_it_was_seen(scored, unmeasured):
    run = Run.open(scored.path)
    assert run.genes.set_index("symbol")["seen_in_training"].to_dict() == {"MYC": True, "GATA1": False}
    assert gene_note(run.manifest, run.gene("MYC")) == SEEN_BY_CHROMOSOME
    assert gene_note(run.manifest, run.gene("GATA1")) is None
    table = read_table(run.path / "genes.tsv")
    assert dict(zip(table["symbol"], table["seen_in_training"], strict=True)) == {"MYC": "true", "GATA1": "false"}
    assert set(read_table(unmeasured.path / "genes.tsv")["seen_in_training"]) == {""}


def test_a_training_knows_its_genes_by_split_and_label():
    genes = pd.DataFrame(
        {"chrom": "chr1", "split": ["train", "validation", "test", "train"], "observed": [1, 2, 3, None]}
    )
    assert seen_genes(genes, {"kind": "training", "checkpoint": None}) == [True, True, False, False]


def test_exports_and_comparisons_carry_the_sentences(scored, tmp_path):
    run = Run.open(scored.path)
    for kind in ("bed", "gff3"):
        written = export(run, kind, output=tmp_path / kind).read_text()
        for text in texts(run):
            assert f"#note={json.dumps(text)}" in written
    assert texts(run)[1] in caveats.of_study(run, None)


@pytest.fixture(scope="module")
def shown(scored, unmeasured):
    with_registry = RunRegistry([scored, unmeasured])
    yield with_registry
    with_registry.close()


def test_page_report_figure_and_interface_say_the_same(shown):
    view = shown.first
    page, written = json.dumps(panel.caveat(view), default=str), unescape(report(view, ["MYC"]))
    caption = caption_words(view, place_of(view, "MYC"))
    answer = (
        create_app(shown, Settings(igv="notebook")).server.test_client().get(f"/api/v1/{view.key}/notes").get_json()
    )
    assert [note["text"] for note in answer] == texts(view.run)
    for text in texts(view.run):
        assert text in page
        assert text in caption
        assert written.count(text) == 1
    assert SEEN_BY_CHROMOSOME.capitalize()[:16] in str(panel.gene_head(view, view.run.gene("MYC")["gene_id"]))
    assert f"MYC was {SEEN_BY_CHROMOSOME}." in caption
    rows = {row["symbol"]: row["seen_in_training"] for row in grid_rows(view)}
    assert (rows["MYC"], rows["GATA1"]) == (True, False)


def test_unknown_expression_has_no_label_anywhere(shown):
    view = list(shown)[1]
    gene = str(view.run.gene("MYC")["gene_id"])
    said = texts(view.run, "expression")[0]
    places = [
        str(panel.gene_head(view, gene)),
        report(view, [gene]),
        " ".join(caption_words(view, place_of(view, gene))),
    ]
    for text in places:
        assert "bserved" not in unescape(text).replace(said, "")
        assert "nan" not in text.lower()
    assert revision(view)["measured"] is False
    assert revision(shown.first)["measured"] is True


TRAINED = {"0.5": 0.1, "0.9": 1.0, "0.99": 5.0, "0.999": 8.0}


def test_signals_and_promoter_activity_in_another_range_are_named_and_kept_with_the_run(tmp_path, capsys):
    ranges = {"DNase": {name: 100 * value for name, value in TRAINED.items()}}
    metadata = {"signal_quantiles": ranges, "promoter_activity_quantiles": dict.fromkeys(TRAINED, 1e-3)}
    run = score_in(tmp_path, genes=("MYC",), metadata=metadata)
    said = texts(Run.open(run.path), "signals")
    assert [text.split(":")[0] for text in said] == ["Signal DNase", "Promoter activity"]
    assert "as trained on" in said[0]
    assert "warning: promoter activity" in capsys.readouterr().err
    assert not any("promoter activity" in name for name, _ in metric_rows(run.metrics))


def test_inputs_in_the_range_of_the_training_are_not_named(tmp_path):
    study, _ = prepared(tmp_path)
    genes = study.genes()
    metadata = {
        "signal_quantiles": signal_quantiles(study.signals(), study.windows(genes)),
        "promoter_activity_quantiles": activity_quantiles(genes["PROMOTERACTIVITY"]),
    }
    assert range_problems(study, study.config(), metadata, genes) == []
    assert sorted(metadata["promoter_activity_quantiles"]) == ["0.5", "0.9", "0.99", "0.999"]


def test_a_checkpoint_that_states_no_ranges_says_so_and_signals_are_held_against_its_priors(tmp_path):
    study, _ = prepared(tmp_path)
    run = Run.create(tmp_path / "run", window=4000, promoter=400, chrom_sizes=study.genome().sizes)
    genes = study.genes().iloc[:2]
    with run.writing():
        note_ranges(run, study, study.config(prior_b=(1e6, 1.0, 0.0)), {}, genes)  # as of the authors' checkpoints
    said = run.metrics["signal_notes"]
    assert said["ranges"] == UNSTATED
    assert said["unit of promoter activity"] == OTHER_UNIT
    assert "values above b = 1e+06" in said["signal H3K27ac"]
    assert "most values below b = 0" in said["signal Hi-C"]
    assert "signal DNase" not in said
    own = {"feature_scale": {}, "signal_quantiles": {}}
    assert range_problems(study, study.config(prior_b=(1e6, 1.0, 0.0)), own, genes) == []


@pytest.mark.parametrize(
    ("activity", "named"),
    [
        *(([0.0], False), ([20.0], False), ([30.0], True), ([], False), ([None, 1.0], False)),
        *(([0.1] * 13 + [1.0] * 12, False), ([9.0] * 25, True), ([0.001] * 25, True)),
    ],
)
def test_promoter_activity_of_few_genes_is_named_only_where_none_of_the_training_was_so_high(activity, named):
    assert bool(activity_warnings(pd.Series(activity, dtype=float), TRAINED)) is named


def test_checkpoints_with_damaged_ranges_are_refused(tmp_path):
    for metadata in ({"promoter_activity_quantiles": {"0.9": "z"}}, {"trained": {"cell_type": 3}}):
        with pytest.raises(InputError, match=next(iter(metadata))):
            load_with_metadata(prepared(tmp_path, metadata)[1], "cpu")


def test_the_command_line_says_them_after_scoring(scored):
    done = CliRunner().invoke(app, ["score", str(scored.path), "--genes", "MYC", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    for text in texts(Run.open(scored.path)):
        assert f"note: {text}" in done.output


@pytest.mark.parametrize(("readout", "said"), [("window", True), ("promoter", False)])
def test_a_gene_without_contact_is_named_where_the_readout_weights_by_it(tmp_path, readout, said):
    path = make_study(tmp_path / "study")
    write_contacts(path.parent / "contacts.cool", dict.fromkeys(CONTIGS, SIZE), ["chr1"])
    study = load_study(path)
    genes = study.genes()
    settings = {"d_model": 8, "n_layers": 1, "apply": "gate", "readout": readout, "contact": "Hi-C"}
    run = Run.open(score_with(study, tmp_path, genes, **settings).path)
    elsewhere = genes[genes["chrom"] != "chr1"]
    assert 0 < len(elsewhere) < len(genes)
    assert run.without_contact == (set(elsewhere["gene_id"]) if said else set())
    words = [text for text in texts(run, "signals") if "No contact is measured" in text]
    assert len(words) == said
    if said:
        assert f"{len(elsewhere)} of {len(genes)} genes" in words[0]
        assert repr(elsewhere["symbol"].iloc[0]) in words[0]
        registry = RunRegistry([run], cache=tmp_path)
        for name, without in ((str(elsewhere["gene_id"].iloc[0]), True), (str(genes["gene_id"].iloc[0]), False)):
            shown = json.dumps(panel.gene_head(registry.first, name), default=lambda part: part.to_plotly_json())
            assert ("distal elements no weight" in shown) == without
            caption = " ".join(caption_words(registry.first, place_of(registry.first, name), notes=False))
            assert ("distal elements no weight" in caption) == without
        registry.close()


def test_genes_without_contact_stay_known_where_parts_of_a_run_are_merged(tmp_path):
    path = make_study(tmp_path / "study")
    write_contacts(path.parent / "contacts.cool", dict.fromkeys(CONTIGS, SIZE), [])
    study = load_study(path)
    run = score_with(
        study, tmp_path, study.genes().iloc[:2], variant="causal", **{**LOGIT_RECIPE, "d_model": 8, "n_layers": 1}
    )
    meaning = {name: run.manifest.get(name) for name in (*MEANING, *FURTHER) if name != "decision"}
    other = Run.create(tmp_path / "other", chrom_sizes=run.chrom_sizes, decision=run.decision, **meaning)
    with other.writing():
        other.adopt([(run, gene_id) for gene_id in sorted(run.scored)])
    assert len(other.without_contact) == 2
    assert Run.open(other.path).without_contact == run.without_contact
