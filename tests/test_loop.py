"""The loop: endings, history, passes; and EM's own law, that the likelihood never falls."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TYPES, clusters, dense, fit, given_start
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import steps

from emgmm import Ending, GaussianMixture
from emgmm.acceleration import LEAP, PLAIN, Plain, Step
from emgmm.covariances import FAMILIES
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.loop import HistoryEntry, Progress, Rules, run
from emgmm.fitting.problem import Problem
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource

types = pytest.mark.parametrize("covariance_type", TYPES)


@types
@given(seed=st.integers(0, 2**16), n_features=st.integers(1, 5))
@settings(max_examples=12, deadline=None)
def test_the_likelihood_never_falls_without_a_ridge(covariance_type, seed, n_features):
    X = clusters(150, n_features, 2, seed=seed, spread=1.5)
    start = given_start(X, 2, covariance_type, seed=seed)
    plain_em = GaussianMixture(**start, reg_covar=0, tol=0, max_iter=30, break_symmetry=False)
    model = fit(plain_em, X)
    gains = np.diff(model.history_["objective"])
    # A covariance has as many digits as the data's widest variance and its own narrowest leave it,
    # and a row's log-density as many as its logarithms.
    widest = np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T)))[-1]
    narrowest = np.linalg.eigvalsh(dense(model))[:, 0].min()
    rounding = np.finfo(float).eps * max(widest / narrowest, 1.0, abs(model.lower_bound_))
    assert (gains >= -16 * rounding).all()


@types
def test_every_objective_recomputes(covariance_type):
    X = clusters()
    start = given_start(X, 3, covariance_type)
    for t in range(5):
        short = fit(GaussianMixture(**start, tol=0, max_iter=t), X)
        objective = short.history_["objective"][t]
        assert objective == pytest.approx(short.score(X), rel=1e-14, abs=0)
        long = fit(GaussianMixture(**start, tol=0, max_iter=8), X)
        assert long.history_["objective"][t] == short.lower_bound_


@types
@pytest.mark.parametrize("n_init", [1, 3])
def test_passes_reported_are_passes_made(covariance_type, n_init, spy):
    X = clusters()
    arguments = {"covariance_type": covariance_type, "random_state": 0, "tol": 0, "max_iter": 6}
    model = fit(GaussianMixture(3, n_init=n_init, **arguments), X)
    assert spy.passes == 1 + n_init * 7  # the summary, the start's objective, one per iteration
    passes = model.history_["passes"]
    np.testing.assert_array_equal(np.diff(passes), 1)
    assert passes[-1] <= spy.passes
    if n_init == 1:
        assert passes[-1] == spy.passes


def test_a_pass_about_better_centres_is_counted(spy):
    random = np.random.default_rng(0)
    X = np.concatenate([c + 1e-7 * random.normal(size=(50, 2)) for c in (0.0, 1.0)])
    start = {"weights_init": [0.5, 0.5], "means_init": [[0.4, 0.4], [0.9, 0.9]]}
    start["precisions_init"] = [10 * np.eye(2)] * 2
    model = fit(GaussianMixture(2, reg_covar=0, tol=0, max_iter=8, **start), X)
    assert model.history_["passes"][-1] == spy.passes > 10
    exact = np.stack([np.cov(part.T, ddof=0) for part in (X[:50], X[50:])])
    np.testing.assert_allclose(model.covariances_, exact, rtol=1e-6, atol=1e-20)


def test_a_scheme_makes_the_next_mixture_only_when_it_is_asked_for():
    X = clusters()
    family = FAMILIES["full"]
    em = em_of(ArraySource(X), Problem(family, 1, 0.0))
    mixture = Mixture.of(np.ones(1), X[:1], np.eye(3)[None], family)
    steps_of_em = steps(em, Plain, mixture)
    assert em.passes == 1
    assert next(steps_of_em).mixture is mixture
    assert em.passes == 2
    second = next(steps_of_em)
    np.testing.assert_allclose(second.mixture.means[0], X.mean(axis=0), rtol=1e-12)
    assert second.passes == em.passes == 3


def endings():
    X = clusters()
    start = given_start(X, 3, "full")
    return {
        Ending.CONVERGED: GaussianMixture(**start, tol=1e-3),
        Ending.MAX_ITER: GaussianMixture(**start, max_iter=2),
        Ending.START_ONLY: GaussianMixture(**start, max_iter=0),
        Ending.FIXED_POINT: GaussianMixture(1, tol=0, max_iter=5),
    }


# The others have tests of their own: they need other data, none, or a callback.
@pytest.mark.parametrize("ending", endings())
def test_each_ending(ending):
    model = fit(endings()[ending], clusters())
    assert model.ending_ is ending
    assert model.converged_ == (ending is Ending.CONVERGED)


def test_every_ending_has_a_sentence_of_its_own():
    sentences = {ending.sentence for ending in Ending}
    assert len(sentences) == len(Ending)
    assert all(sentence[0].isalnum() and sentence.endswith(".") for sentence in sentences)


def test_tol_is_strict_and_zero_runs_on():
    X = clusters()
    model = fit(GaussianMixture(1, tol=0, max_iter=7), X)
    assert model.n_iter_ == 7
    assert not model.converged_
    assert model.ending_ is Ending.FIXED_POINT


@types
def test_history_is_consistent(covariance_type):
    X = clusters()
    model = fit(GaussianMixture(3, covariance_type=covariance_type, random_state=0), X)
    history = model.history_
    assert {len(values) for values in history.values()} == {model.n_iter_ + 1}
    assert history["objective"][1:].tolist() == model.lower_bounds_
    assert history["event"].tolist() == ["start", *["step"] * model.n_iter_]


def test_a_warm_start_goes_on_where_the_last_fit_ended():
    X = clusters()
    start = given_start(X, 3, "full")
    model = GaussianMixture(**start, tol=0, max_iter=4, warm_start=True)
    first = fit(model, X).lower_bound_
    assert fit(model, X).history_["objective"][0] == pytest.approx(first, rel=1e-14, abs=0)
    whole = fit(GaussianMixture(**start, tol=0, max_iter=8), X)
    np.testing.assert_allclose(model.means_, whole.means_, rtol=1e-11)
    np.testing.assert_allclose(model.covariances_, whole.covariances_, rtol=1e-11)


def test_no_array_of_rows_times_components_is_made(monkeypatch):
    """Memory beyond X stays flat while N x K grows (X itself is made before)."""
    import tracemalloc

    monkeypatch.setattr("emgmm.threads._allowed", lambda _: 1)  # each thread has a block's memory
    peaks = []
    for n_rows in (160_000, 480_000):  # blocks no longer grow with the rows
        X = clusters(n_rows, 2, 5)
        start = given_start(X, 50, "full")
        model = GaussianMixture(**start, tol=0, max_iter=2)
        fit(model, X)
        tracemalloc.start()
        fit(model, X)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 480_000 * 50 * 8 / 8


class Scripted:
    """A scheme that leaps wherever it is not asked for a plain step; each step gains as much."""

    def __init__(self, step):
        self.step = step

    def next(self, em, *, force_plain):
        event = PLAIN if force_plain else LEAP
        return Scripted(Step(None, None, self.step.objective + 0.5, self.step.passes + 1, event))


def test_plain_steps_that_do_not_settle_are_at_most_four_in_a_row(monkeypatch):
    judged = []

    def is_settled(objectives, weight, allowed):
        judged.append(len(objectives))
        return False

    state = Scripted(Step(None, None, 1.0, 1))
    progress = Progress(state, [HistoryEntry(1.0, 1, "start")], 0, 0.5, 1)
    monkeypatch.setattr("emgmm.fitting.loop.is_settled", is_settled)
    em = SimpleNamespace(passes=1, summary=SimpleNamespace(weight=1.0))
    found = run(em, progress, rules=Rules(1.0, 14, negligible=0.1))
    four = [PLAIN] * 4
    assert [entry.event for entry in found.entries] == ["start", *four, LEAP, *four, LEAP, *four]
    # With the step that they began at; a step after a leap alone is not judged.
    assert judged == [2, 3, 4, 5, 3, 4, 5, 3, 4, 5]
