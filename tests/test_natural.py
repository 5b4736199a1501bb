"""Steps from statistics to natural parameters: they are those of the ordinary M-step and E-step."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from conftest import clusters, fit, given_start

from emgmm import GaussianMixture
from emgmm.acceleration import SCHEMES, evaluate, plain_steps
from emgmm.acceleration.anderson import Chart, NaturalChart
from emgmm.acceleration.natural import NaturalSteps
from emgmm.acceleration.step import NaturalStep
from emgmm.covariances import DENSE, FAMILIES
from emgmm.covariances.closed_form import Unconstrained
from emgmm.em import EM
from emgmm.estep import ExpandedEStep
from emgmm.estep.features import QuadraticFeatures
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource

every_type = pytest.mark.parametrize("covariance_type", list(FAMILIES))


def em_and_step(X, covariance_type, weights=None, ridge=1e-3, n_components=3):
    """Return EM's map, and a step at some distance from its limit."""
    em = EM(ArraySource(X, weights), MStep(FAMILIES[covariance_type], ridge, X.dtype), n_components)
    start = given_start(X, n_components, covariance_type)
    model = fit(GaussianMixture(**start, reg_covar=ridge, max_iter=1, tol=0), X)
    family = FAMILIES[covariance_type]
    mixture = Mixture.of(model.weights_, model.means_, model.covariances_, family)
    return em, evaluate(em, mixture)


@every_type
@pytest.mark.parametrize("weighted", [False, True])
def test_the_next_natural_parameters_are_those_of_the_next_mixture(covariance_type, weighted):
    n_features = FAMILIES[covariance_type].most_features or 4
    X = clusters(300, n_features, 3, spread=2.0) + 5.0
    weights = np.random.default_rng(0).uniform(0.1, 3, len(X)) if weighted else None
    em, step = em_and_step(X, covariance_type, weights)
    steps, before = NaturalSteps.of(em, step.mixture), step.mixture.covariance_stack
    natural = steps.after(steps.products(step.statistics), before)
    e_step, mixture = natural.e_step, em.maximise(step.mixture, step.statistics)
    features = QuadraticFeatures(em.summary.mean, mixture.quadratic_structure)
    expected = ExpandedEStep(mixture, em.summary, features)
    scale = np.abs(expected.natural_parameters).max(axis=0)
    error = np.abs(e_step.natural_parameters - expected.natural_parameters)
    assert (error <= 1e-12 * scale).all()
    for name in ("weights", "means", "covariances"):
        ours, theirs = getattr(steps.mixture(natural), name), getattr(mixture, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def following(em, scheme, step, number):
    """Return the steps that a scheme makes after a step."""
    state = SCHEMES[scheme](step)
    for _ in range(number):
        state = state.next(em, force_plain=False)
        yield state.step


@every_type
@pytest.mark.parametrize("scheme", [None, "anderson"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_steps_are_those_with_mixtures(covariance_type, scheme, dtype, monkeypatch):
    X = clusters(300, FAMILIES[covariance_type].most_features or 3, 3, spread=2.0).astype(dtype)
    em, first = em_and_step(X, covariance_type)
    found = list(following(em, scheme, first, 14))
    assert all(isinstance(step, NaturalStep) for step in found)
    monkeypatch.setattr(NaturalSteps, "of", lambda *_: None)
    em, first = em_and_step(X, covariance_type)
    expected = list(following(em, scheme, first, 14))
    assert not any(isinstance(step, NaturalStep) for step in expected)
    assert [step.event for step in found] == [step.event for step in expected]
    assert [step.passes for step in found] == [step.passes for step in expected]
    objectives = [step.objective for step in expected]
    rtol = 1e-11 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose([step.objective for step in found], objectives, rtol=rtol)
    tolerance = 1e-6 if dtype == np.float64 else 1e-3  # a leap multiplies the rounding
    for name in ("weights", "means", "covariances"):
        ours, theirs = (getattr(steps[-1].mixture, name) for steps in (found, expected))
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=0.01 * tolerance)
    again = evaluate(em, found[-1].mixture)  # mixture and statistics belong together
    assert found[-1].objective == pytest.approx(again.objective, rel=1e-13)
    np.testing.assert_allclose(found[-1].statistics.scatter, again.statistics.scatter, rtol=1e-9)
    np.testing.assert_allclose(found[-1].statistics.counts, again.statistics.counts, rtol=1e-9)


@every_type
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_step_that_was_completed_continues_to_the_last_bit(covariance_type, dtype):
    X = clusters(300, FAMILIES[covariance_type].most_features or 3, 3, spread=2.0).astype(dtype)
    em, first = em_and_step(X, covariance_type)
    step = plain_steps(em, first, 3)
    assert isinstance(step, NaturalStep)
    one, other = (plain_steps(em, each, 3) for each in (step, step.completed()))
    assert one.objective == other.objective
    np.testing.assert_array_equal(one.mixture.covariances, other.mixture.covariances)


@every_type
def test_products_of_changes_are_the_same_about_any_centres(covariance_type):
    """The metric of Anderson's method is that of the statistics about the components' means."""
    X = clusters(300, FAMILIES[covariance_type].most_features or 3, 3, spread=2.0) + 5.0
    em, first = em_and_step(X, covariance_type)
    steps = list(following(em, None, first, 3))
    origin = steps[0].statistics.about(steps[0].mixture.means, em.family)
    products = []
    for chart in (NaturalChart(em, steps[0].steps), Chart(em, origin)):
        x, eta = (np.array(each) for each in zip(*map(chart.coordinates, steps), strict=True))
        products.append(np.diff(eta, axis=0) @ np.diff(x, axis=0).T)
    np.testing.assert_allclose(*products, rtol=1e-7, atol=1e-9 * np.abs(products[0]).max())


@pytest.mark.parametrize("compiles", [True, False])
def test_another_process_continues_with_the_same_parameters(compiles, monkeypatch):
    """The E-step of a natural step is sent to workers, and not that of the mixture it came from."""
    if compiles:
        pytest.importorskip("numba")
    monkeypatch.setattr("emgmm.estep.dispatch.COMPILED_FROM", 0 if compiles else np.inf)
    X = clusters(300, 3, 3, spread=2.0)
    em, first = em_and_step(X, "full")
    e_step = plain_steps(em, first, 3).natural.e_step
    assert (type(e_step) is not ExpandedEStep) == compiles
    sent = pickle.loads(pickle.dumps(e_step))
    assert type(sent) is type(e_step)
    (block,) = em.source.blocks(len(X))
    np.testing.assert_array_equal(sent.sums(block).products, e_step.sums(block).products)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("arguments", [{"tol": 1e-3}, {"tol": 0, "max_iter": 300}, {"max_iter": 7}])
def test_a_fit_makes_the_same_iterations_with_and_without(covariance_type, arguments, monkeypatch):
    X = clusters(200, 3, 3, spread=1.5)
    models = []
    for of in (NaturalSteps.of, lambda *_: None):
        monkeypatch.setattr(NaturalSteps, "of", of)
        start = given_start(X, 3, covariance_type)
        models.append(fit(GaussianMixture(**start, **arguments), X))
    one, other = models
    if arguments.get("tol") != 0:  # at rest, rounding decides when nothing changes any more
        assert one.n_iter_ == other.n_iter_
        assert one.ending_ == other.ending_
        np.testing.assert_array_equal(one.history_["passes"], other.history_["passes"])
    n = min(one.n_iter_, other.n_iter_)
    np.testing.assert_allclose(one.lower_bounds_[:n], other.lower_bounds_[:n], rtol=1e-12)
    np.testing.assert_allclose(one.means_, other.means_, rtol=1e-8)


def test_mixtures_in_between_are_not_computed(monkeypatch):
    made, of = [], Mixture.of

    def counted(*arguments, **others):
        made.append(1)
        return of(*arguments, **others)

    X = clusters(200, 3, 3, spread=1.5)
    start = given_start(X, 3, "full")
    monkeypatch.setattr(Mixture, "of", counted)
    model = fit(GaussianMixture(**start, tol=0, max_iter=20), X)
    assert model.n_iter_ == 20
    assert 0 < len(made) < 5


def test_a_mixture_that_has_to_be_examined_is():
    X = clusters(300, 3, 3, spread=2.0)
    em, step = em_and_step(X, "full", ridge=0.0)
    steps = NaturalSteps.of(em, step.mixture)
    products = steps.products(step.statistics)
    assert steps.after(products, None) is not None
    starved = products.copy()
    starved[0] *= 1e-12
    assert steps.after(starved, None) is None
    narrow = products.copy()  # all rows of a component at its mean, up to 1e-7
    mean = narrow[0, 1:4] / narrow[0, 0]
    matrix = np.outer(mean, mean) + 1e-14 * np.eye(3)
    narrow[0, 4:] = narrow[0, 0] * matrix[np.triu_indices(3)]
    assert steps.after(narrow, None) is None
    indefinite = products.copy()
    indefinite[0, 4] = -1.0
    assert steps.after(indefinite, None) is None
    assert steps.products(step.statistics.about(em.summary.mean + 1.0, em.family)) is None


@pytest.mark.parametrize("scale", [1e-16, 1e-13, 1e-11, 1e11, 1e13, 1e17])
def test_units_do_not_matter_in_float32(scale):
    """Squares of the smallest and the largest leave the range of float32."""
    X = clusters(200, 3, 3, spread=1.5).astype(np.float32)
    common = {"reg_covar": 0.0, "tol": 1e-6, "random_state": 0}
    expected = fit(GaussianMixture(3, **common), X)
    model = fit(GaussianMixture(3, **common), X * np.float32(scale))
    np.testing.assert_allclose(model.means_ / scale, expected.means_, rtol=1e-3, atol=1e-3)
    assert model.lower_bound_ + 3 * np.log(scale) == pytest.approx(expected.lower_bound_, abs=1e-4)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
def test_the_objective_is_that_of_the_rounded_means_of_rows_with_an_offset(covariance_type):
    X = clusters(120, 2, 3) + 2.0**33 * 4 / 3
    model = GaussianMixture(3, covariance_type=covariance_type, max_iter=5, tol=0, random_state=0)
    fit(model, X)
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-10)


def test_many_natural_parameters_are_left_to_the_ordinary_step():
    X = np.random.default_rng(0).normal(size=(300, 60))
    for n_components, is_served in ((8, True), (9, False)):
        em = EM(ArraySource(X), MStep(FAMILIES["full"], 1e-3, X.dtype), n_components)
        covariances = np.tile(np.eye(60), (n_components, 1, 1))
        weights = np.full(n_components, 1 / n_components)
        mixture = Mixture.of(weights, X[:n_components], covariances, FAMILIES["full"])
        assert (NaturalSteps.of(em, mixture) is not None) == is_served


def test_covariances_of_weighted_rows_are_exactly_symmetric():
    """The sum over rows of an outer product and the weights is so up to rounding only."""
    X = clusters(5000, 20, 2)
    weights = np.random.default_rng(0).uniform(size=len(X))
    model = fit(
        GaussianMixture(2, covariance_type="tied", random_state=0), X, sample_weight=weights
    )
    np.testing.assert_array_equal(model.covariances_, model.covariances_.T)


class Symmetric(type(DENSE)):
    """A structure of a user, whose elements hold some of their monomials twice."""


def test_structures_of_a_user_are_left_to_the_ordinary_step():
    X = clusters(300, 2, 3, spread=2.0) @ [[2.0, 0.5], [0.0, 0.5]]
    start = given_start(X, 3, "full") | {"max_iter": 10, "tol": 0}
    expected = fit(GaussianMixture(**start), X)
    family = Unconstrained("symmetric", Symmetric())
    model = fit(GaussianMixture(**start | {"covariance_type": family}), X)
    assert model.history_["objective"] == pytest.approx(expected.history_["objective"], rel=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {"prior": "conjugate"},
        {"weight_concentration": 2.0},
        {"noise": 1e-3},
        {"equal_weights": True},
    ],
)
def test_models_with_more_than_a_likelihood_are_left_to_the_ordinary_step(arguments, monkeypatch):
    made, of = [], NaturalSteps.of.__func__

    def recorded(*given):
        made.append(of(*given))
        return made[-1]

    monkeypatch.setattr(NaturalSteps, "of", classmethod(recorded))
    fit(GaussianMixture(2, random_state=0, **arguments), clusters(200, 3, 2))
    assert set(made) <= {None}
    fit(GaussianMixture(2, random_state=0), clusters(200, 3, 2))
    assert made[-1] is not None
