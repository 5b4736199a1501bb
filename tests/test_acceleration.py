"""Acceleration: the laws that every scheme keeps, and what the one that leaps is for."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib import import_module
from itertools import islice, pairwise

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit, given_start, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from toys import steps

from emgmm import (
    CoincidentComponentsWarning,
    Ending,
    GaussianMixture,
    NormalInverseWishart,
)
from emgmm.acceleration import LEAP, SCHEMES, Plain, Step, em_step, evaluate
from emgmm.acceleration.anderson import Change, Chart, Point, extrapolate
from emgmm.attributes import mixture_of, trailing_plain_objectives
from emgmm.constraints import Given
from emgmm.covariances import FAMILIES
from emgmm.degeneracy import aitken
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.loop import HistoryEntry, history
from emgmm.fitting.problem import Problem, problem_of
from emgmm.mixture import Mixture
from emgmm.noise import Box, Noise
from emgmm.sources import ArraySource

types = pytest.mark.parametrize("covariance_type", TYPES)
every_type = pytest.mark.parametrize("covariance_type", TYPES + MODELS)
schemes = pytest.mark.parametrize("acceleration", list(SCHEMES))
accelerated = pytest.mark.parametrize("acceleration", [name for name in SCHEMES if name])


def overlapping(n_rows=600, seed=0):
    """Three clusters two standard deviations apart: EM is slow on them."""
    return clusters(n_rows, 2, 3, seed=seed, spread=1.2)


def climbing(covariance_type, acceleration, **more):
    start = given_start(overlapping(), 3, covariance_type)
    common = {"reg_covar": 0, "tol": 0, "max_iter": 40, "break_symmetry": False}
    return GaussianMixture(**{**start, **common, "acceleration": acceleration, **more})


def reached(model, objective):
    """Passes until the objective is that high."""
    there = model.history_["objective"] >= objective
    assert there.any()
    return int(model.history_["passes"][np.argmax(there)])


# -- the laws --------------------------------------------------------------------------------------
@every_type
@schemes
@given(seed=st.integers(0, 2**16), n_features=st.integers(1, 5))
@settings(max_examples=12, deadline=None)
def test_the_likelihood_never_falls_without_a_ridge(
    acceleration, covariance_type, seed, n_features
):
    X = clusters(150, n_features, 2, seed=seed, spread=1.5)
    start = given_start(X, 2, covariance_type, seed=seed)
    common = {"reg_covar": 0, "tol": 0, "max_iter": 40, "break_symmetry": False}
    model = fit(GaussianMixture(**start, **common, acceleration=acceleration), X)
    widest = np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T)))[-1]
    narrowest = np.linalg.eigvalsh(dense(model))[:, 0].min()
    rounding = np.finfo(float).eps * max(widest / narrowest, 1.0, abs(model.lower_bound_))
    assert (np.diff(model.history_["objective"]) >= -16 * rounding).all()


@every_type
@schemes
def test_every_objective_recomputes_and_every_mixture_is_one(acceleration, covariance_type):
    X, family = overlapping(), FAMILIES[covariance_type]
    model = fit(climbing(covariance_type, None, max_iter=0), X)
    em = em_of(ArraySource(X), Problem(family, 3, 0.0))
    for step in islice(steps(em, SCHEMES[acceleration], model._mixture()), 40):
        assert step.objective == step.statistics.objective
        assert step.objective == pytest.approx(em.expect(step.mixture).objective, rel=1e-13)
        assert step.mixture.weights.sum() == pytest.approx(1, abs=1e-14)
        assert step.mixture.family is family


@types
@schemes
@pytest.mark.parametrize("n_init", [1, 3])
def test_passes_reported_are_passes_made(acceleration, covariance_type, n_init, spy):
    X = overlapping()
    common = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-6}
    model = fit(GaussianMixture(3, n_init=n_init, acceleration=acceleration, **common), X)
    assert (np.diff(model.history_["passes"]) >= 1).all()
    assert model.history_["passes"][-1] <= spy.passes
    if n_init == 1:
        assert model.history_["passes"][-1] == spy.passes


@types
@schemes
@pytest.mark.parametrize("max_iter", [0, 1, 2, 7, 8, 9, 20])
def test_max_iter_is_kept_to_and_history_is_whole(acceleration, covariance_type, max_iter):
    model = fit(climbing(covariance_type, acceleration, max_iter=max_iter), overlapping())
    assert model.n_iter_ == max_iter
    assert {len(values) for values in model.history_.values()} == {max_iter + 1}
    assert model.history_["objective"][1:].tolist() == model.lower_bounds_
    assert model.lower_bound_ == pytest.approx(model.score(overlapping()), rel=1e-14, abs=0)


@types
@accelerated
def test_the_optimum_is_plain_ems_on_healthy_problems(acceleration, covariance_type):
    X = clusters()
    start = {**given_start(X, 3, covariance_type), "reg_covar": 0, "tol": 1e-13, "max_iter": 2000}
    plain = fit(GaussianMixture(**start), X)
    quick = fit(GaussianMixture(**start, acceleration=acceleration), X)
    assert quick.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-10)
    assert relative_error(quick, plain) < 1e-4
    assert quick.converged_


# -- what it is for --------------------------------------------------------------------------------
@pytest.mark.slow
@types
@pytest.mark.parametrize("acceleration", ["anderson"])
def test_a_slow_problem_takes_half_the_passes(acceleration, covariance_type):
    X = overlapping()
    plain = fit(climbing(covariance_type, None, max_iter=3000), X)
    quick = fit(climbing(covariance_type, acceleration, max_iter=300), X)
    near = plain.lower_bound_ - 1e-7
    assert reached(plain, near) > 40
    assert 2 * reached(quick, near) <= reached(plain, near)
    assert LEAP in quick.history_["event"]


@types
@accelerated
def test_units_change_nothing(acceleration, covariance_type):
    """The metric has none; powers of two are exact."""
    X = overlapping()
    short = {"max_iter": 14}
    model = fit(climbing(covariance_type, acceleration, **short), X)
    start = given_start(X, 3, covariance_type)
    short["means_init"] = start["means_init"] * 1024
    short["precisions_init"] = start["precisions_init"] / 1024**2
    other = fit(climbing(covariance_type, acceleration, **short), X * 1024)
    assert LEAP in model.history_["event"]
    np.testing.assert_array_equal(other.history_["event"], model.history_["event"])
    np.testing.assert_allclose(other.means_, 1024 * model.means_, rtol=1e-9)


# -- stopping --------------------------------------------------------------------------------------
@types
@accelerated
@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-9])
def test_only_plain_steps_end_a_fit(acceleration, covariance_type, tol):
    X = overlapping()
    model = fit(climbing(covariance_type, acceleration, tol=tol, max_iter=2000), X)
    assert model.converged_
    assert model.history_["event"][-2:].tolist() == ["step", "step"]
    # tol keeps its meaning: one more step of EM from the end gains less.
    weights = {
        "weights_init": model.weights_,
        "means_init": model.means_,
        "precisions_init": model.precisions_,
    }
    more = fit(climbing(covariance_type, None, max_iter=1, **weights), X)
    assert 0 <= more.lower_bound_ - model.lower_bound_ + 1e-12 < tol + 1e-12


@types
@accelerated
@pytest.mark.parametrize("max_iter", [14, 25])
def test_what_is_left_is_estimated_from_plain_steps(acceleration, covariance_type, max_iter):
    X = overlapping()
    model = fit(climbing(covariance_type, acceleration, max_iter=max_iter), X)
    events, objective = model.history_["event"], model.history_["objective"]
    assert events[-2:].tolist() == ["step", "step"]
    np.testing.assert_equal(model.remaining_gain_, aitken(objective[-3:])[1])
    last = np.flatnonzero(events == LEAP)[-1]
    em = em_of(ArraySource(X), Problem(FAMILIES[covariance_type], 3, 0.0))
    assert len(events) - 1 - last >= 2
    found = em.expect(model._mixture()).objective
    assert found == pytest.approx(objective[-1], rel=1e-13)


def test_objectives_across_a_leap_are_not_plain_ems():
    objectives = [1.0, 2.0, 4.0, 5.0, 5.5]
    events = ["start", "step", LEAP, "step", "step"]
    seen = history([*map(HistoryEntry, objectives, range(2, 7), events)])
    assert trailing_plain_objectives(seen) == [4.0, 5.0, 5.5]
    seen["event"][4] = LEAP
    assert trailing_plain_objectives(seen) == [5.5]
    assert np.isnan(aitken(trailing_plain_objectives(seen))[1])


def test_a_leap_of_small_gain_does_not_end_a_fit(monkeypatch):
    """The scheme below leaps by nothing, again and again, before EM has arrived."""
    X = overlapping()
    asked = []

    class Lame(Plain):
        def next(self, em, *, force_plain):
            asked.append(force_plain)
            return Lame(
                em_step(em, self.step)
                if force_plain
                else replace(self.step.completed(), event=LEAP)
            )

    monkeypatch.setitem(SCHEMES, "anderson", Lame)
    model = fit(climbing("full", "anderson", tol=1e-6, max_iter=5000), X)
    plain = fit(climbing("full", None, tol=1e-6, max_iter=5000), X)
    assert model.converged_
    assert LEAP in model.history_["event"]
    assert model.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-6)
    assert True in asked


# -- leaps that fail -------------------------------------------------------------------------------
def leaps_to(monkeypatch, x_of):
    """Make every leap go to statistics of our choice."""
    module = import_module("emgmm.acceleration.anderson")
    monkeypatch.setattr(module, "extrapolate", lambda point, *_: (x_of(point), True))


def chart_of(noise=0.0, prior=None):
    """A chart, the mixture that it is about, and the vector of that one's statistics."""
    X = overlapping()
    mixture = fit(climbing("full", None, max_iter=5), X)._mixture()
    box = Box.between(X.min(axis=0), X.max(axis=0)) if noise else None
    if noise:
        weights = mixture.weights * (1 - noise)
        mixture = replace(mixture, weights=weights, noise=Noise(noise, box))
    em = em_of(ArraySource(X), Problem(FAMILIES["full"], 3, 0.0, prior, noise=box))
    statistics = em.expect(mixture)
    chart = Chart(em, statistics.about(mixture.means, em.family))
    return chart, mixture, chart.vector(statistics)


@pytest.mark.parametrize(
    ("noise", "place", "value", "made"),
    [
        (0.0, 1, 0.1, True),
        (0.0, 1, 0.0, False),
        (0.0, 1, -1e-9, False),
        (0.0, 1, np.nan, False),
        (0.1, 3, 1e-9, True),
        (0.1, 3, 0.0, True),  # noise may vanish
        (0.1, 3, -1e-9, False),
        (0.1, 3, np.nan, False),
    ],
)
def test_no_mixture_is_made_of_masses_that_no_rows_have(noise, place, value, made):
    """Under a prior there is a covariance all the same."""
    chart, mixture, vector = chart_of(noise, NormalInverseWishart(shrinkage=5.0))
    vector[0] += vector[place] - value
    vector[place] = value
    found = chart.leap(vector, Step(mixture, chart.origin, 0.0, 0))
    assert (found is not None) == made
    if made:
        np.testing.assert_allclose(found.mixture.weights, vector[:3], atol=1e-12)


@pytest.mark.parametrize(("sds", "made"), [(100, True), (1e5, False)])
def test_no_mixture_is_made_where_covariances_would_lose_their_digits(sds, made):
    """Means that lie 1e5 standard deviations from the centres cost ten digits of variances."""
    chart, mixture, _ = chart_of()
    far = chart.em.expect(mixture).about(mixture.means + sds * 3, chart.em.family)
    chart = replace(chart, origin=far)
    vector = chart.vector(far)
    found = chart.leap(vector, Step(mixture, far, 0.0, 0))
    assert (found is not None) == made
    if made:
        ours = found.mixture.covariances
        expected = chart.em.maximise(mixture, chart.em.expect(mixture))
        np.testing.assert_allclose(ours, expected.covariances, rtol=1e-8, atol=1e-9)


class Linear:
    """A linear map of which EM's metric G makes a symmetric one, and points on its way."""

    def __init__(self, n=4, seed=0):
        random = np.random.default_rng(seed)
        root = np.eye(n) + 0.3 * random.normal(size=(n, n))
        self.G = root @ root.T
        axes = np.linalg.qr(random.normal(size=(n, n)))[0]
        self.rates = np.array([0.9, 0.7, 0.4, 0.1])[:n]
        # J = root^-T S root^T with S symmetric, so that G J is symmetric.
        self.J = np.linalg.solve(root.T, (axes * self.rates) @ axes.T @ root.T)
        self.limit = np.concatenate([[1.0], random.normal(size=n - 1)])  # masses sum to 1
        self.random = random

    def point(self, away):
        x = self.limit + away
        return Point(None, x, self.J @ away - away, self.G @ x)


@pytest.mark.parametrize("seed", range(5))
def test_where_em_is_linear_a_leap_with_all_directions_arrives(seed):
    """Its residual J - 1 is then known in whole: the leap is Newton's step."""
    linear = Linear(seed=seed)
    points = [linear.point(linear.random.normal(size=4)) for _ in range(5)]
    memory = [em_step.since(before) for before, em_step in pairwise(points)]
    found, held = extrapolate(points[-1], memory, reach=1e6, n_counts=1)
    np.testing.assert_allclose(found, linear.limit, rtol=1e-6, atol=1e-6)
    assert not held
    assert extrapolate(points[-1], memory, reach=5.0, n_counts=1)[1]  # 1 / (1 - 0.9) is 10


def test_changes_that_depend_on_others_or_are_rounding_are_left_out():
    linear = Linear()
    points = [linear.point(linear.random.normal(size=4)) for _ in range(3)]
    memory = [em_step.since(before) for before, em_step in pairwise(points)]
    expected, _ = extrapolate(points[-1], memory, reach=1e6, n_counts=1)
    assert np.abs(expected - points[-1].x).max() > 0.1
    again = memory[1]._replace(residual=memory[1].residual + 1e-7)
    dust = Change(*(1e-15 * linear.random.normal(size=4) for _ in range(3)))
    nothing = Change(*np.zeros((3, 4)))
    for more in (again, dust, nothing):
        found, _ = extrapolate(points[-1], [more, *memory], reach=1e6, n_counts=1)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@types
@pytest.mark.parametrize("wrong", ["lower", "negative", "nan", "infinite"])
def test_a_leap_that_fails_falls_back_to_the_plain_step(covariance_type, wrong, monkeypatch):
    X = overlapping()

    def x_of(point):
        if wrong == "nan":
            return np.full_like(point.x, np.nan)
        if wrong == "negative":
            return -point.x
        if wrong == "infinite":
            return np.r_[point.x[:-1], np.inf]
        return point.x - 3 * point.residual

    leaps_to(monkeypatch, x_of)
    plain = fit(climbing(covariance_type, None, max_iter=15), X)
    quick = fit(climbing(covariance_type, "anderson", max_iter=15), X)
    # To rounding: older NumPy's sums depend on where in memory arrays begin.
    np.testing.assert_allclose(quick.means_, plain.means_, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(quick.lower_bounds_, plain.lower_bounds_, rtol=1e-13)
    assert set(quick.history_["event"]) == {"start", "step"}
    wasted = quick.history_["passes"][-1] - plain.history_["passes"][-1]
    assert wasted > 0 if wrong == "lower" else wasted == 0  # nothing was made of the others


def test_no_leap_is_made_from_sums_that_overflowed():
    X = overlapping()
    model = fit(climbing("full", None, max_iter=1), X)
    em = em_of(ArraySource(X), problem_of(model, Given()))
    state = SCHEMES["anderson"](evaluate(em, mixture_of(model)))
    for _ in range(11):
        state = state.next(em, force_plain=False)
    overflowed = np.full_like(state.point.residual, np.nan)
    memory = (*state.memory[:-1], state.memory[-1]._replace(residual=overflowed))
    point = replace(state.point, residual=overflowed)
    following = replace(state, point=point, memory=memory).next(em, force_plain=False)
    assert state.memory
    assert following.step.event == "step"
    assert following.step.objective == em_step(em, state.step).objective


def test_a_leap_may_not_fall_but_where_ems_own_steps_do():
    """A ridge in proportion: EM itself falls at first, and both come to rest at the same point."""
    X = overlapping()
    start = {**given_start(X, 3, "full"), "reg_covar": 0.05, "tol": 1e-11, "max_iter": 5000}
    plain = fit(GaussianMixture(**start), X)
    quick = fit(GaussianMixture(**start, acceleration="anderson"), X)
    assert quick.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-7)
    assert quick.history_["passes"][-1] < plain.history_["passes"][-1]


# -- with everything else --------------------------------------------------------------------------
@schemes
def test_coincident_components_are_parted_all_the_same(acceleration):
    X = clusters(300, 2, 2, spread=4.0)
    start = {
        "weights_init": [0.5, 0.5],
        "means_init": np.tile(X.mean(axis=0), (2, 1)),
        "precisions_init": [np.eye(2)] * 2,
    }
    common = {"random_state": 0, "tol": 1e-8, "max_iter": 500, "acceleration": acceleration}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = GaussianMixture(2, **start, **common).fit(X)
    assert any(isinstance(w.message, CoincidentComponentsWarning) for w in caught)
    assert "escape" in model.history_["event"]
    assert (np.diff(model.history_["passes"]) >= 1).all()
    best = GaussianMixture(2, random_state=0, tol=1e-8, max_iter=500).fit(X)
    assert model.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-6)
    stays = fit(GaussianMixture(2, **start, **common, break_symmetry=False), X)
    assert stays.lower_bound_ < model.lower_bound_ - 0.1


@types
@accelerated
def test_float32(acceleration, covariance_type):
    X = overlapping().astype(np.float32)
    start = {**given_start(X, 3, covariance_type), "tol": 1e-6, "max_iter": 1000}
    plain = fit(GaussianMixture(**start), X)
    quick = fit(GaussianMixture(**start, acceleration=acceleration), X)
    assert quick.means_.dtype == np.float32
    assert quick.converged_
    assert quick.lower_bound_ > plain.lower_bound_ - 1e-4


@accelerated
@pytest.mark.parametrize("offset", [1e3, 1e8])
def test_rows_far_from_zero(acceleration, offset):
    X = overlapping()
    start = {**given_start(X + offset, 3, "full"), "reg_covar": 0, "tol": 1e-7, "max_iter": 1000}
    start["precisions_init"] = given_start(X, 3, "full")["precisions_init"]
    model = fit(GaussianMixture(**start, acceleration=acceleration), X + offset)
    here = fit(climbing("full", None, tol=1e-9, max_iter=3000), X)
    assert model.converged_
    assert model.lower_bound_ == pytest.approx(here.lower_bound_, abs=1e-4)
    assert LEAP in model.history_["event"]


@accelerated
def test_one_component_and_an_empty_one(acceleration):
    X = overlapping()
    one = fit(GaussianMixture(1, acceleration=acceleration, tol=0, max_iter=20), X)
    assert one.ending_ is Ending.FIXED_POINT
    np.testing.assert_allclose(one.means_[0], X.mean(axis=0))
    start = given_start(X, 3, "full")
    start["means_init"] = np.vstack((start["means_init"][:2], [[1e3, 1e3]]))
    empty = fit(GaussianMixture(**start, acceleration=acceleration, tol=0, max_iter=30), X)
    assert np.isfinite(empty.lower_bound_)


@accelerated
def test_a_warm_start_goes_on(acceleration):
    X = overlapping()
    model = climbing("full", acceleration, max_iter=12, warm_start=True)
    first = fit(model, X).lower_bound_
    assert fit(model, X).history_["objective"][0] == first
    assert model.lower_bound_ > first
    assert model.history_["event"][0] == "start"


@accelerated
def test_it_is_a_parameter_like_any_other(acceleration, tmp_path):
    X = overlapping()
    model = clone(GaussianMixture(3, random_state=0, acceleration=acceleration))
    assert model.get_params()["acceleration"] == acceleration
    fit(model, X).save(tmp_path / "model.json")
    again = GaussianMixture.load(tmp_path / "model.json")
    assert again.acceleration == acceleration
    np.testing.assert_array_equal(again.history_["event"], model.history_["event"])
    model.diagnose(X)
    assert "acceleration" not in model.to_sklearn().get_params()


@pytest.mark.parametrize("wrong", ["squared", "", 1, True])
def test_an_unknown_scheme_is_refused(wrong):
    with pytest.raises(ValueError, match="acceleration"):
        GaussianMixture(2, acceleration=wrong).fit(overlapping())


def test_natural_parameters_are_dual_to_the_statistics():
    """Their product is the expected complete-data log-likelihood, written out by brute force."""
    from scipy.stats import multivariate_normal

    X = overlapping(60)
    for covariance_type in TYPES:
        family = FAMILIES[covariance_type]
        start = fit(climbing(covariance_type, None, max_iter=2), X)
        mixture: Mixture = start._mixture()
        em = em_of(ArraySource(X), Problem(family, 3, 0.0))
        statistics = em.expect(mixture)
        chart = Chart(em, statistics.about(mixture.means + 0.3, family))
        responsibilities = start.predict_proba(X)
        expected = sum(
            responsibilities[:, k]
            @ (
                np.log(mixture.weights[k])
                + multivariate_normal(mixture.means[k], dense(start)[k]).logpdf(X)
            )
            for k in range(3)
        )
        product = chart.natural_parameters(mixture) @ chart.vector(statistics)
        assert product == pytest.approx(expected / len(X), rel=1e-10)
