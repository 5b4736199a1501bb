"""The certificate beyond splits of coincident components: its moves and gains in long form."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import clusters, fit
from long_form import em_in_long_form
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from emgmm import GaussianMixture, Verdict
from emgmm.covariances import FAMILIES
from emgmm.diagnostics import certificate
from emgmm.diagnostics.certificate import MOST_MOVES, best_move, certify, moves
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.sources import ArraySource

K = 3
X = clusters(300, 2, 5, seed=3, spread=2.0)


def problem(n_components=K, iterations=4):
    """EM, a mixture that it has not yet led to a maximum, and the statistics there."""
    model = GaussianMixture(n_components, reg_covar=0, tol=0, max_iter=iterations, random_state=1)
    mixture = fit(model, X)._mixture()
    em = em_of(ArraySource(X), Problem(FAMILIES["full"], n_components, 0.0))
    return em, mixture, em.expect(mixture)


def objective(weights, means, covariances):
    parts = zip(weights, means, covariances, strict=True)
    joint = [np.log(w) + multivariate_normal(m, c).logpdf(X) for w, m, c in parts]
    return logsumexp(joint, axis=0).mean()


def moves_in_long_form(mixture):
    """Names and mixtures: each component is shifted, and then apart from the one that it meets."""
    parts = mixture.weights, mixture.means, mixture.dense_covariances()
    joint = [w * multivariate_normal(m, c).pdf(X) for w, m, c in zip(*parts, strict=True)]
    r = np.array(joint) / np.sum(joint, axis=0)
    weights, means, covariances = em_in_long_form(X, *parts, 1)
    found = []
    for k in np.argsort(-weights):
        variances, axes = np.linalg.eigh(np.cov(X.T, aweights=r[k], ddof=0))
        step = 0.3 * np.sqrt(variances[-1]) * axes[:, -1]
        met = [np.sum(r[k] * r[j]) if j != k else -1 for j in range(len(r))]
        other = int(np.argmax(met))
        for name, signs in (
            (f"a shift of component {k}", {k: 1}),
            (f"moving components {k} and {other} apart", {k: 1, other: -1}),
        ):
            moved = means.copy()
            for component, sign in signs.items():
                moved[component] += sign * step
            found.append((name, (weights, moved, covariances)))
    return found


def test_moves_are_shifts_of_the_heaviest_first_and_of_those_that_meet():
    em, mixture, here = problem()
    found = list(moves(em, mixture, here, [], np.random.RandomState(0)))
    expected = moves_in_long_form(mixture)
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (_, moved), (_, (weights, means, covariances)) in zip(found, expected, strict=True):
        np.testing.assert_allclose(moved.weights, weights, rtol=1e-9)
        np.testing.assert_allclose(moved.dense_covariances(), covariances, rtol=1e-8, atol=1e-10)
        steps, long_steps = moved.means - mixture.means, means - mixture.means
        np.testing.assert_allclose(steps, long_steps, rtol=1e-7, atol=1e-9)
    assert len({moved.means.tobytes() for _, moved in found}) == len(found)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_move_gains_what_em_in_long_form_makes_of_it(seed):
    em, mixture, here = problem(iterations=2 + seed)
    parts = mixture.weights, mixture.means, mixture.dense_covariances()
    stay = objective(*em_in_long_form(X, *parts, 4))
    gains = {
        name: objective(*em_in_long_form(X, *moved, 4)) - stay
        for name, moved in moves_in_long_form(mixture)
    }
    direction, gain = best_move(em, mixture, here, [], np.random.RandomState(0))
    best = max(gains, key=gains.get)
    assert gains[best] > 1e-4
    assert direction == best
    assert gain == pytest.approx(gains[best], abs=1e-10)


def test_only_so_many_moves_are_tried(monkeypatch):
    """Of more components than there are moves the heaviest are tried."""
    em, mixture, here = problem(n_components=9)
    tried = []
    monkeypatch.setattr(
        certificate, "objective_after_steps", lambda em, moved: tried.append(moved) or 0.0
    )
    assert best_move(em, mixture, here, [], np.random.RandomState(0)) == ("", 0.0)
    shifted = [np.abs(moved.means - em.maximise(mixture, here).means) for moved in tried[1:]]
    assert len(shifted) == MOST_MOVES == 12
    first = [int(np.argmax(each.max(axis=1))) for each in shifted[::2]]
    assert first == np.argsort(-here.counts)[:6].tolist()


def test_coincident_components_that_no_split_helps_are_flat():
    """Under a ridge that is far larger than the data's variance EM brings any split together."""
    rows = 0.01 * np.random.default_rng(0).normal(size=(500, 2))
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [rows.mean(axis=0)] * 2, covariances=[np.cov(rows.T, ddof=0) + np.eye(2)] * 2
    ).set_params(reg_covar=1.0)
    diagnosis = model.diagnose(rows, certify=True)
    assert diagnosis.coincident == [(0, 1)]
    assert diagnosis.rate < 1e-3
    assert diagnosis.verdict is Verdict.FLAT


@pytest.mark.parametrize(
    ("covariance_type", "squeezed", "flat"),
    [("tied", 1.0, True), ("tied", 0.7, True), ("spherical", 0.9, False)],
)
def test_a_ridge_of_equal_likelihood_is_flat(covariance_type, squeezed, flat):
    """Rows on circles, or ellipses, may be halved in any direction; by spheres, in one only."""
    angles = 2 * np.pi * np.arange(60) / 60
    circle = np.column_stack([np.cos(angles), squeezed * np.sin(angles)])
    rows = np.concatenate([radius * circle for radius in (0.8, 1.0, 1.2)])
    start = {"means_init": [[0.5, 0.1], [-0.5, -0.1]], "weights_init": [0.5, 0.5], "reg_covar": 0}
    model = GaussianMixture(2, covariance_type=covariance_type, **start, tol=1e-14, max_iter=1000)
    diagnosis = fit(model, rows).diagnose(rows, certify=True)
    assert diagnosis.coincident == []
    if flat:
        assert diagnosis.rate == pytest.approx(1, abs=5e-5)
        assert diagnosis.verdict is Verdict.FLAT
    else:
        assert diagnosis.rate < 0.99
        assert diagnosis.verdict is Verdict.LOCAL_MAXIMUM


@pytest.mark.parametrize(
    ("step", "rate", "groups", "gain", "verdict"),
    [
        (2e-4, 0.5, [], 1.0, Verdict.MOVING),
        (5e-5, 0.5, [], 2e-8, Verdict.SADDLE),
        (5e-5, 0.5, [], 5e-9, Verdict.LOCAL_MAXIMUM),
        (5e-5, 0.9998, [], 0.0, Verdict.LOCAL_MAXIMUM),
        (5e-5, 0.99995, [], 0.0, Verdict.FLAT),
        (5e-5, 1.5, [], 0.0, Verdict.FLAT),
        (2e-4, 0.5, [(0, 1)], 0.0, Verdict.FLAT),
        (2e-4, 0.5, [(0, 1)], 1.0, Verdict.SADDLE),
    ],
)
def test_what_the_verdict_rests_on(step, rate, groups, gain, verdict, monkeypatch):
    em, mixture, here = problem()
    for name, value in (
        ("distance", step),
        ("convergence_rate", rate),
        ("best_move", ("a move", gain)),
    ):
        monkeypatch.setattr(certificate, name, lambda *_, value=value: value)
    monkeypatch.setattr(em, "coincident", lambda _: groups)
    found = certify(em, mixture, here, np.random.RandomState(0))
    saddle = verdict is Verdict.SADDLE
    assert (found.verdict, found.step, found.rate) == (verdict, step, rate)
    assert (found.direction, found.gain) == (("a move", gain) if saddle else ("", 0.0))


@pytest.mark.parametrize(
    "arguments", [{"equal_weights": True}, {"fixed": {"weights"}, "weights_init": [0.0, 0.0]}]
)
@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
def test_components_without_a_row_do_not_move(arguments):
    """Noise takes every row, so that nothing depends on the components."""
    model = GaussianMixture(2, noise=1e10, random_state=0, **arguments).fit(X)
    assert not model.weights_.any()
    with np.errstate(all="raise", under="ignore"):
        found = model.diagnose(X, certify=True)
    assert (found.step, found.verdict) == (0.0, Verdict.FLAT)
