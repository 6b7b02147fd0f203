"""Contact of the power law in place of Hi-C: its values, and a study that says so."""

import pickle

import numpy as np
import pytest
from small_study import SIZES, edit, write_small_study

from model_core.errors import InputError
from model_core.evaluation import caveats
from model_core.run_folder.source import new_run_of
from model_core.signals.open import open_signal
from model_core.signals.power_law_contact import NOTE, PowerLawContact
from model_core.study.check import check_study
from model_core.study.study import Study, load_study
from model_core.window import Window
from seq2exp_viz.runs.missing import MissingList
from seq2exp_viz.runs.study_inputs import _signal_paths, _signals

POWER_LAW = """
[[signals]]
name = "Hi-C"
path = "powerlaw"
prior = { b = 1.0, w = 0.2 }
"""


@pytest.fixture
def study(tmp_path):
    path = write_small_study(tmp_path)
    edit(path, "\n[peaks]", f"{POWER_LAW}\n[peaks]")
    return path


def expected(distance):
    """Worked on paper: gamma 0.87, scale -4.80 + 11.63 gamma, constant within 5 kb."""
    return np.log10(1 + np.exp(5.3181 - 0.87 * np.log(np.maximum(distance, 5_000) + 1)))


def test_contact_falls_with_the_distance_as_the_law_says():
    vector = PowerLawContact("Hi-C").read(Window("chr1", 3_000_000, "+", 4_000_000))
    assert vector.dtype == np.float32
    distance = np.abs(np.arange(1_000_000, 5_000_000) - 3_000_000)
    assert vector[::997] == pytest.approx(expected(distance[::997]), rel=1e-5)
    assert vector[2_000_000] == vector[1_995_000] > vector[1_994_000]


def test_beyond_the_chromosome_there_is_no_contact():
    signal = PowerLawContact("Hi-C", {"chr1": 30_000})
    vector = signal.read(Window("chr1", 10_000, "+", 60_000))
    assert (vector[:20_000] == 0).all()
    assert (vector[20_000:50_000] > 0).all()
    assert (vector[50_000:] == 0).all()
    assert signal.sizes == {"chr1": 30_000}
    assert not signal.read(Window("chr1", 90_000, "+", 1_000)).any()


def test_it_is_a_signal_like_any_other():
    signal = open_signal({"name": "Hi-C", "path": "powerlaw"}, "cache", {"chr1": 30_000})
    window = Window("chr1", 10_000, "+", 10_000)
    assert signal.absent(["chr1", "chr9"]) == []
    signal.prepare()
    assert np.array_equal(pickle.loads(pickle.dumps(signal)).read(window), signal.read(window))
    assert signal.quantiles([window], [0, 1]) == pytest.approx(expected(np.array([5_000, 5_000])), rel=1e-5)


def test_a_study_with_the_power_law_passes_its_check_and_is_read(study):
    report = check_study(study)
    assert report.problems == []
    loaded = load_study(study)
    (contact,) = [signal for signal in loaded.signals() if isinstance(signal, PowerLawContact)]
    assert contact.sizes == SIZES
    assert [spec.is_contact for spec in loaded.signal_specs] == [False, False, True]
    window = loaded.windows(loaded.gene_sites())[0]
    assert pickle.loads(pickle.dumps(loaded.reader())).read(window).signals[:, 2].max() > 0
    assert len(loaded.activity_signals()) == 2


def test_what_rests_on_the_power_law_says_so(study, monkeypatch):
    sentence = f"Hi-C: {NOTE}."
    loaded = load_study(study)
    assert loaded.limits == (sentence,)
    assert [signal.note for signal in loaded.signals()] == [None, None, NOTE]
    again = Study.restore(loaded.resolved(), study)
    assert again.limits == (sentence,)  # once
    assert again.signal_specs == loaded.signal_specs
    assert [spec.is_powerlaw for spec in again.signal_specs] == [False, False, True]

    monkeypatch.setattr(caveats, "_unknown_bases", lambda *_: None)
    run = new_run_of(loaded, loaded.config(), study.parent / "run")
    assert sentence in caveats.of_study(run, again)


@pytest.mark.parametrize("setting", ["resolution = 5000", 'normalisation = "VC"', "pseudocount = 0.0", "scale = 2.0"])
def test_settings_of_files_are_refused(study, setting):
    edit(study, 'path = "powerlaw"', f'path = "powerlaw"\n{setting}')
    with pytest.raises(InputError, match=f"{setting.split()[0]} only for"):
        load_study(study)


def test_it_takes_no_transform(study):
    edit(study, 'path = "powerlaw"', 'path = "powerlaw"\ntransform = "sqrt"')
    with pytest.raises(InputError, match="no transform for Hi-C"):
        load_study(study)


def test_the_page_shows_its_contact_and_misses_no_file(study):
    missing = MissingList()
    loaded = load_study(study)
    paths = _signal_paths(loaded, missing)
    assert [(track.name, track.file) for track in _signals(loaded, paths)][2] == ("Hi-C", None)
    assert list(missing) == []
