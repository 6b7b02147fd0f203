"""Why tracks of an open run: parts and certainty as the page asks for them."""

import numpy as np
import pytest
from viewer_run import get, make_study, make_viewer_run

from model_core.evaluation.controls import signal_prior
from seq2exp_viz.api.igv import tracks
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry

MYC = "ENSG00000000000.1"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("why")
    registry = RunRegistry(
        [make_viewer_run(folder / "run", make_study(folder / "study"), name="why")], cache=folder / "cache"
    )
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def client(registry):
    return create_app(registry, Settings(igv="notebook")).server.test_client()


def test_the_signals_part_is_the_prior_and_the_difference_is_a_difference(client, registry):
    asked = "start=10500&end=10700&bins=1000"
    parts = {p: get(client, f"/api/v1/why/genes/MYC/why/{p}?{asked}") for p in ("network", "signals", "disagreement")}
    prior = signal_prior(registry.first.model_signals(MYC), registry.first.prior_config)
    assert parts["signals"]["bin"] == 1
    np.testing.assert_allclose(parts["signals"]["mean"], prior[2500:2700], atol=1e-3)
    told = zip(parts["disagreement"]["mean"], parts["network"]["mean"], parts["signals"]["mean"], strict=True)
    assert all(d is None or d == pytest.approx(n - s, abs=2e-4) for d, n, s in told)
    assert 0 < parts["network"]["signal_weight"] <= 1
    promoter = get(client, "/api/v1/why/genes/MYC/why/network?start=9990&end=10010&bins=20")
    assert promoter["mean"] == [None] * 20


def test_certainty_is_what_the_beta_says_and_follows_the_threshold(client, registry):
    mask = registry.first.run.mask(MYC)
    whole = f"start={mask.start}&end={mask.end}&bins=4000"
    at = {t: get(client, f"/api/v1/why/genes/MYC/certainty?threshold={t}&{whole}") for t in (0.05, 0.4, 0.99)}
    draws = np.random.default_rng(0).beta(mask.alpha[::50, None], mask.beta[::50, None], (80, 20_000))
    share = (draws >= 0.4).mean(axis=1)
    for i, p in zip(range(0, 4000, 50), share, strict=True):
        kept, hidden = at[0.4]["kept"][i], at[0.4]["hidden"][i]
        if not mask.learned[i]:
            assert kept is None
            assert hidden is None
        elif abs(p - 0.95) > 0.01 and abs(p - 0.05) > 0.01:
            assert (kept, hidden) == (float(p > 0.95), float(p < 0.05))
    assert {x for x in at[0.05]["kept"] if x is not None} == {1.0}
    assert {x for x in at[0.99]["hidden"] if x is not None} == {1.0}
    wide = get(client, f"/api/v1/why/genes/MYC/certainty?start={mask.start}&end={mask.end}&bins=10")
    assert all(0 <= k + h <= 1 for k, h in zip(wide["kept"], wide["hidden"], strict=True))
    assert wide["threshold"] == registry.first.run.rule.threshold


def test_a_part_that_does_not_exist_is_told(client):
    assert "not a component of a mask" in get(client, "/api/v1/why/genes/MYC/why/everything", 404)["message"]


def test_why_tracks_are_off_at_first_and_missing_where_signals_are(registry, tmp_path):
    rows = [row for row in tracks(registry.first, "/", MYC, None) if row["group"] == "Why"]
    assert [row["id"] for row in rows] == ["certainty", "why-network", "why-signals", "why-disagreement"]
    assert not any(row["on"] for row in rows)
    study = make_study(tmp_path / "study")
    path = make_viewer_run(tmp_path / "run", study, genes=1)
    (tmp_path / "study" / "DNase.bw").unlink()
    poor = RunRegistry([path], cache=tmp_path / "cache")
    assert [row["id"] for row in tracks(poor.first, "/", MYC, None) if row["group"] == "Why"] == ["certainty"]
    answer = create_app(poor, Settings(igv="notebook")).server.test_client().get("/api/v1/tiny/genes/MYC/why/network")
    assert answer.status_code == 404
    assert "not on this machine" in answer.get_json()["message"]
    poor.close()
