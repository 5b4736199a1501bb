"""The two forms of the E-step are one function, to the bound that the guard promises."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import clusters
from hypothesis import given, settings
from hypothesis import strategies as st
from long_form import D, assert_same_statistics, families, some_mixture
from scipy.special import logsumexp
from scipy.special import softmax as scipy_softmax
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning

from emgmm import GaussianMixture
from emgmm.covariances import DENSE, FAMILIES
from emgmm.estep import CentredEStep, EStepForBlock, EStepForPass, ExpandedEStep
from emgmm.estep import centred as module
from emgmm.estep.base import most_probable
from emgmm.estep.compiled.estep import CompiledEStep, kernel
from emgmm.estep.features import QuadraticFeatures
from emgmm.estep.softmax import softmax
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource
from emgmm.sources.block import Block
from emgmm.summary import DataSummary
from emgmm.tolerances import EPS, MAX_ERROR, max_error_single


def hostile(family, sd, *, offset=0.0, seed=0, n_features=D):
    """Two clusters of standard deviation `sd`, at unit distance, far from zero if asked."""
    random = np.random.default_rng(seed)
    means = offset + random.normal(size=(2, n_features))
    random.normal(size=(2, n_features))
    covariances = family.add_ridge(np.zeros(family.element_shape(2, n_features)), sd**2)
    X = np.concatenate([mean + sd * random.normal(size=(150, n_features)) for mean in means])
    return X, Mixture.of(np.array([0.4, 0.6]), means, covariances, family)


def of_type(dtype):
    """What `EStepForPass` asks of a source whose blocks have the type of its rows."""
    return SimpleNamespace(dtype=dtype, block_dtype=dtype, device=None)


def log_density(form, X):
    return logsumexp(form.log_joint(X.T), axis=0)


@families
@given(exponent=st.floats(0, 7), seed=st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_packed_differs_from_exact_by_no_more_than_its_bound(family, exponent, seed):
    X, mixture = hostile(family, sd=10.0**-exponent, seed=seed)
    packed = ExpandedEStep(mixture)
    bound = packed.error(np.abs(X - packed.centre).max(axis=0))
    error = np.abs(log_density(packed, X) - log_density(CentredEStep(mixture), X)).max()
    assert error <= bound + 4 * EPS * np.abs(log_density(CentredEStep(mixture), X)).max()


@families
def test_the_bound_grows_with_the_square_of_the_distance(family):
    X, mixture = hostile(family, sd=1e-3)
    packed = ExpandedEStep(mixture)
    reach = np.abs(X - packed.centre).max(axis=0)
    assert packed.error(100 * reach) > 1000 * packed.error(reach)


@families
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_bounds_are_the_largest_terms_of_the_expanded_form(family, dtype):
    """A row y from the centre enters by y - m: each may be as large, and signs may all agree."""
    _, mixture = some_mixture(family)
    packed = ExpandedEStep(
        mixture, features=QuadraticFeatures(mixture.centre, mixture.quadratic_structure, dtype)
    )
    reach = np.array([3.0, 1.0, 0.5, 2.0])
    covariances = mixture.dense_covariances()

    def largest_term(lengths):
        roots = [np.linalg.inv(np.linalg.cholesky(c)).T for c in covariances]
        return max(np.sum((v @ np.abs(r)) ** 2) for v, r in zip(lengths, roots, strict=True))

    away = np.abs(mixture.means - packed.centre)
    expected = np.finfo(float).eps * largest_term(reach + away)
    assert packed.error(reach) == pytest.approx(expected, rel=1e-9, abs=0)
    sds = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    expected = np.finfo(dtype).eps / 2 * largest_term(2 * away + 7 * sds)
    assert packed.error_near(7) == pytest.approx(expected, rel=1e-9, abs=0)


@families
def test_the_guard_switches_before_the_promise_is_broken(family):
    forms = []
    for sd in 10.0 ** -np.arange(8):
        X, mixture = hostile(family, sd=sd)
        form = EStepForPass(DataSummary.of(X.T, family), of_type(X.dtype))(mixture)
        forms.append(type(form))
        exact = log_density(CentredEStep(mixture), X)
        assert np.abs(log_density(form, X) - exact).max() <= MAX_ERROR
        predicted = logsumexp(EStepForBlock(mixture, 10**4).log_joint(Block(0, X.T)), axis=0)
        assert np.abs(predicted - exact).max() <= MAX_ERROR
    assert forms[0] is ExpandedEStep
    assert forms[-1] is CentredEStep


@families
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_together", [2, 3])
def test_components_in_one_call_are_those_one_by_one(family, dtype, n_together, monkeypatch):
    X, mixture = some_mixture(family)
    weights = np.random.default_rng(0).uniform(0, 2, len(X))
    block = Block(0, X.T.astype(dtype), weights)
    found = []
    for entries in (0, n_together * X.size):
        monkeypatch.setattr(module, "TOGETHER", entries)
        form = CentredEStep(mixture, dtype=dtype)
        found.append((form.log_joint(block.rows), form.sums(block)))
    (joint, sums), (joint_together, sums_together) = found
    rtol = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(joint_together, joint, rtol=rtol)
    assert_same_statistics(sums_together, sums, rtol)


@pytest.mark.parametrize(("n_rows", "kind"), [(100, CentredEStep), (10**4, ExpandedEStep)])
def test_few_rows_are_predicted_without_a_bound_of_what_they_lose(n_rows, kind, monkeypatch):
    X, mixture = some_mixture(FAMILIES["full"])
    asked = []
    monkeypatch.setattr(Mixture, "magnitude", lambda *_: asked.append(0) or 0.0)
    form = EStepForBlock(mixture, n_rows)
    assert bool(asked) == (kind is ExpandedEStep)
    assert type(form._estep_for(Block(0, X.T))) is kind


def test_few_rows_for_which_the_mean_will_not_do_get_the_exact_form():
    X, mixture = hostile(FAMILIES["full"], sd=1e-7)
    mixture = replace(
        mixture, precisions_cholesky=mixture.precisions_cholesky * [[[1.0]], [[1e-7]]]
    )
    summary = DataSummary.of(X.T, mixture.family)
    assert type(EStepForPass(summary, of_type(X.dtype))(mixture)) is CentredEStep
    large = replace(summary, n_rows=10**4)
    assert type(EStepForPass(large, of_type(X.dtype))(mixture)) is ExpandedEStep


@pytest.fixture
def no_table_is_small(monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", 0)


@families
@pytest.mark.parametrize("sds", [1e2, 1e4, 1e6])
@pytest.mark.usefixtures("no_table_is_small")
def test_rows_out_of_sight_lose_no_more_digits_of_their_logarithm(family, sds):
    X, mixture = some_mixture(family)
    far = X[:50] + sds * np.abs(X).max()
    summary = DataSummary.of(np.concatenate([X, far]).T, family)
    form = EStepForPass(summary, of_type(X.dtype))(mixture)
    assert type(form) is ExpandedEStep
    exact = log_density(CentredEStep(mixture), far)
    assert (np.abs(log_density(form, far) - exact) <= MAX_ERROR + 1e-12 * np.abs(exact)).all()


@pytest.mark.parametrize("family", [f for f in FAMILIES.values() if not f.shared], ids=str)
@pytest.mark.usefixtures("no_table_is_small")
def test_a_narrow_component_far_from_the_mean_has_the_centre_to_itself(family):
    random = np.random.default_rng(0)
    n_features = 3
    means = np.array([[0.0, 0.0, 0.0], [10.0, 10.0, 10.0]])
    scales = np.array([1e-3, 1.0])
    nothing = np.zeros(family.element_shape(2, n_features))
    covariances = np.stack([family.add_ridge(nothing, scale**2)[0] for scale in scales])
    mixture = Mixture.of(np.array([0.5, 0.5]), means, covariances, family)
    X = np.concatenate(
        [m + s * random.normal(size=(100, 3)) for m, s in zip(means, scales, strict=True)]
    )
    form = EStepForPass(DataSummary.of(X.T, family), of_type(X.dtype))(mixture)
    assert type(form) is ExpandedEStep
    error = np.abs(log_density(form, X) - log_density(CentredEStep(mixture), X)).max()
    assert error <= MAX_ERROR
    assert (
        np.abs(log_density(ExpandedEStep(mixture), X) - log_density(CentredEStep(mixture), X)).max()
        > error
    )


@pytest.mark.parametrize(("sds", "n_exact"), [((1e-4, 1.0), 0), ((1e-4, 1e-4), 1)])
@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
@pytest.mark.usefixtures("no_table_is_small")
def test_moments_are_taken_again_about_one_point_where_that_will_do(
    name, sds, n_exact, monkeypatch
):
    """Components turn out to be narrow, as only one step of EM can tell."""
    family = FAMILIES[name]
    random = np.random.default_rng(0)
    means = np.array([[0.0, 0.0, 0.0], [10.0, 10.0, 10.0]])
    X = np.concatenate(
        [m + sd * random.normal(size=(100, 3)) for m, sd in zip(means, sds, strict=True)]
    )
    broad = family.add_ridge(np.zeros(family.element_shape(2, 3)), 1.0)
    before = Mixture.of(np.array([0.5, 0.5]), means, broad, family)
    about_means = CentredEStep(before, np.array([X[:100].mean(axis=0), X[100:].mean(axis=0)]))
    em = em_of(ArraySource(X), Problem(family, 2, 0.0))
    expected = em.m_step.maximise(about_means.sums(Block(0, X.T)), before)
    exact_sums, taken = CentredEStep.sums, []

    def sums(form, block):
        taken.append(form)
        return exact_sums(form, block)

    monkeypatch.setattr(CentredEStep, "sums", sums)
    statistics = em.expect(before)
    passes = em.passes
    found = em.maximise(before, statistics)
    assert (em.passes - passes, len(taken)) == (1, n_exact)
    hasty = em.m_step.maximise(statistics, before)
    assert abs(hasty.covariances / expected.covariances - 1).max() > MAX_ERROR
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=MAX_ERROR)
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("seed", [23, 63, 103, 110])
def test_no_point_is_sought_where_a_covariance_is_but_rounding(seed):
    """Its precision is singular, and so was the system of equations for the point."""
    z = np.round(np.random.default_rng(seed).normal(size=(100, 1)), 1)
    X = np.concatenate([np.hstack([z, z]), np.full((100, 2), 5.0)])
    with pytest.raises(ValueError, match="Fitting the mixture model failed"):
        GaussianMixture(2, random_state=0, reg_covar=0).fit(X)


def test_without_the_guard_the_promise_would_be_broken():
    X, mixture = hostile(FAMILIES["full"], sd=1e-7)
    error = np.abs(
        log_density(ExpandedEStep(mixture), X) - log_density(CentredEStep(mixture), X)
    ).max()
    assert error > 1000 * MAX_ERROR


def test_the_largest_is_the_first_of_equals():
    random = np.random.default_rng(0)
    lines = random.integers(0, 4, size=(7, 500)).astype(float)
    lines[:, :20] = -np.inf
    np.testing.assert_array_equal(most_probable(lines), lines.argmax(axis=0))
    lines[random.random(lines.shape) < 0.3] = np.nan
    lines[:, -1] = np.nan
    best = np.where(np.isnan(lines), -np.inf, lines).argmax(axis=0)
    np.testing.assert_array_equal(most_probable(lines)[20:], best[20:])


def test_rows_of_one_block_do_not_decide_the_form_of_another():
    X, mixture = some_mixture(FAMILIES["full"])
    far = X.copy()
    far[-1] += 1e9
    form = EStepForBlock(mixture, 10**4)
    here, there = (form.log_joint(Block(0, rows[:100].T)) for rows in (X, far))
    np.testing.assert_array_equal(here, there)


@families
def test_a_pass_gives_the_same_statistics_in_both_forms(family):
    X, mixture = some_mixture(family)
    summary = DataSummary.of(X.T, family)
    packed = ExpandedEStep(mixture, summary)
    exact = CentredEStep(mixture, np.broadcast_to(packed.centre, mixture.means.shape))
    sums = [form.complete(form.sums(Block(0, X.T))) for form in (packed, exact)]
    assert_same_statistics(*sums)
    again = [MStep(family, 0.0, np.dtype(float)).maximise(s) for s in sums]
    np.testing.assert_allclose(again[0].covariances, again[1].covariances, rtol=1e-11, atol=1e-12)


@families
def test_the_log_likelihood_of_a_pass_is_the_sum_over_rows(family):
    X, mixture = some_mixture(family)
    for form in (ExpandedEStep(mixture, DataSummary.of(X.T, family)), CentredEStep(mixture)):
        total = form.complete(form.sums(Block(0, X.T))).log_likelihood
        assert total == pytest.approx(log_density(CentredEStep(mixture), X).sum(), rel=1e-12)


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=5),
)
def test_softmax_is_scipys(columns):
    log_joint = np.array(columns).T.copy()
    expected = scipy_softmax(log_joint, axis=0), logsumexp(log_joint, axis=0)
    log_normaliser = softmax(log_joint)
    np.testing.assert_allclose(log_joint, expected[0], rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(log_normaliser, expected[1], rtol=1e-14, atol=1e-15)


def test_softmax_gives_a_component_of_weight_zero_nothing():
    log_joint = np.array([[-np.inf, -np.inf], [0.0, -3.0]])
    np.testing.assert_array_equal(softmax(log_joint), [0.0, -3.0])
    assert log_joint[0].max() < 1e-300
    np.testing.assert_array_equal(log_joint[1], 1.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_single_component_is_like_one_beside_others_that_weigh_nothing(dtype):
    rows = np.array([0.0, -3.0, -np.inf, np.nan, 1e30], dtype)
    alone, beside = rows[None].copy(), np.full((2, 5), -np.inf, dtype)
    beside[0] = rows
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(softmax(alone), softmax(beside))
    np.testing.assert_array_equal(alone[0], beside[0])
    np.testing.assert_array_equal(alone[0], [1, 1, 0, np.nan, 1])


@families
@pytest.mark.parametrize("form", [CentredEStep, ExpandedEStep])
def test_a_component_of_weight_zero_takes_no_part(family, form):
    X, mixture = some_mixture(family)
    weights = np.array([0.0, 0.4, 0.6])
    silent = Mixture(
        weights, mixture.means, mixture.covariances, mixture.precisions_cholesky, family
    )
    density = log_density(form(silent), X)
    others = log_density(form(mixture), X)
    assert np.isfinite(density).all()
    with np.errstate(divide="ignore"):
        shift = np.log(weights) - np.log(mixture.weights)
    expected = logsumexp(CentredEStep(mixture).log_joint(X.T) + shift[:, None], axis=0)
    np.testing.assert_allclose(density, expected, rtol=1e-12)
    assert not np.allclose(density, others)


@families
@pytest.mark.parametrize(
    ("n_components", "n_features"), [(1, 1), (2, 2), (64, 4), (32, 64), (2, 500)]
)
def test_blocks_stay_small(family, n_components, n_features):
    means = np.arange(n_components * n_features, dtype=float).reshape(n_components, -1)
    nothing = np.zeros(family.element_shape(n_components, n_features))
    covariances = family.add_ridge(nothing, 1.0)
    mixture = Mixture.of(np.full(n_components, 1 / n_components), means, covariances, family)
    for form in (ExpandedEStep(mixture), CentredEStep(mixture)):
        assert 256 <= form.block_rows <= 2**15
        held = form.block_rows * (n_components + n_features)
        assert held <= max(2**20, 512 * (n_components + n_features))


def test_predictions_of_float32_rows_are_made_in_float64():
    X = clusters(n_features=D).astype(np.float32)
    _, mixture = some_mixture(FAMILIES["full"])
    for form in (ExpandedEStep(mixture), CentredEStep(mixture)):
        single = form.log_joint(X.T)
        assert single.dtype == np.float64
        np.testing.assert_allclose(single, form.log_joint(X.astype(float).T), rtol=1e-14)


def test_phi_of_a_block_that_lasts_is_made_once_and_any_other_anew(monkeypatch):
    made = []
    own = QuadraticFeatures.transform
    monkeypatch.setattr(
        QuadraticFeatures, "transform", lambda self, rows: made.append(rows) or own(self, rows)
    )
    X = np.random.default_rng(0).normal(size=(20, 3))
    phi = QuadraticFeatures(X.mean(axis=0), DENSE)
    blocks = [Block(0, X[:10].T, is_persistent=True), Block(10, X[10:].T, is_persistent=True)]
    expected = [QuadraticFeatures(phi.centre, DENSE).transform(block.rows) for block in blocks]
    made.clear()
    for number in (0, 0, 1, 1, 0):
        np.testing.assert_array_equal(phi.transform_block(blocks[number]), expected[number])
    assert len(made) == 3
    passing = Block(0, X[:10].T.copy())
    phi.transform_block(passing)
    passing.rows[:] = 7.0
    assert (phi.transform_block(passing)[1:4] == 7.0 - phi.centre[:, None]).all()
    np.testing.assert_array_equal(phi.transform_block(blocks[0]), expected[0])
    phi.transform(X[10:].T)
    np.testing.assert_array_equal(phi.transform_block(blocks[0]), expected[0])


def single_precision(family, spread, n_features=16):
    """Float32 rows, the mixture they came from, and the form that serves them."""
    random = np.random.default_rng(3)
    K = 4 + n_features // 8  # with fewer the exact form would serve
    means = spread * random.normal(size=(K, n_features))
    covariances = family.add_ridge(np.zeros(family.element_shape(K, n_features)), 1.0)
    mixture = Mixture.of(np.full(K, 1 / K), means, covariances, family)
    X = mixture.sample(2000, np.random.RandomState(0))[0].astype(np.float32)
    summary = DataSummary.of(X.T, family)
    return X, mixture, EStepForPass(summary, of_type(X.dtype))(mixture), summary


@pytest.fixture(params=[ExpandedEStep, CompiledEStep])
def kind(request, monkeypatch):
    """The packed form that `EStepForPass` chooses, as for few rows and for many."""
    if request.param is CompiledEStep and kernel() is None:
        pytest.skip("the kernel is compiled by numba, an optional package")
    worth = 0 if request.param is CompiledEStep else np.inf
    monkeypatch.setattr("emgmm.estep.dispatch.COMPILED_FROM", worth)
    return request.param


@families
@pytest.mark.parametrize("n_features", [2, 16, 64])
def test_products_in_float32_keep_their_promise(family, n_features, kind):
    X, mixture, form, summary = single_precision(family, 1.0, n_features)
    assert type(form) is kind
    assert form.natural_parameters.dtype == np.float32
    statistics = form.complete(form.sums(Block(0, X.T)))
    exact = log_density(CentredEStep(mixture), X)
    assert abs(statistics.objective - exact.mean()) < max_error_single(n_features) / 4
    if not family.shared:
        error = np.abs(log_density(form, X) - exact)
        assert (error <= max_error_single(n_features) + 1e-6 * np.abs(exact)).all()
    double = ExpandedEStep(
        mixture, summary, QuadraticFeatures(summary.mean, mixture.quadratic_structure)
    )
    assert_same_statistics(statistics, double.complete(double.sums(Block(0, X.T))), rtol=1e-5)


@families
def test_float32_is_left_where_it_would_not_keep_its_promise(family, kind):
    X, mixture, form, summary = single_precision(family, 100.0)
    assert type(form) is kind
    assert form.natural_parameters.dtype == np.float64
    single = kind(
        mixture, summary, QuadraticFeatures(summary.mean, mixture.quadratic_structure, np.float32)
    )
    wrong = single.complete(single.sums(Block(0, X.T))).objective
    assert abs(wrong - log_density(CentredEStep(mixture), X).mean()) > max_error_single(16)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_float32_serves_rows_that_have_a_constant_feature(value, kind):
    X, _, _, _ = single_precision(FAMILIES["diag"], 1.0)
    X[:, 2] = value
    moved = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X)._mixture()
    summary = DataSummary.of(X.T, moved.family)
    summary = replace(summary, mean=summary.mean * (1 + EPS))  # as sums of many blocks are
    form = EStepForPass(summary, of_type(X.dtype))(moved)
    assert type(form) is kind
    assert form.natural_parameters.dtype == np.float32
    objective = form.complete(form.sums(Block(0, X.T))).objective
    exact = log_density(CentredEStep(moved), X).mean()
    assert abs(objective - exact) < max_error_single(X.shape[1])


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_float32_is_left_where_squares_are_beyond_its_range(scale):
    X, mixture, _, _ = single_precision(FAMILIES["diag"], 1.0)
    X = X.astype(float) * scale
    scaled = Mixture.of(
        mixture.weights, mixture.means * scale, mixture.covariances * scale**2, mixture.family
    )
    form = EStepForPass(DataSummary.of(X.T, mixture.family), of_type(np.dtype(np.float32)))(scaled)
    assert form.natural_parameters.dtype == np.float64


def test_float32_is_left_where_the_inverse_of_a_variance_is_beyond_its_range():
    X, mixture, _, _ = single_precision(FAMILIES["diag"], 1.0)
    X[:, 2] = mixture.means[:, 2] = 0.0
    covariances = mixture.covariances.copy()
    covariances[:, 2] = 1e-40
    narrow = Mixture.of(mixture.weights, mixture.means, covariances, mixture.family)
    summary = DataSummary.of(X.T, mixture.family)
    assert EStepForPass(summary, of_type(X.dtype))(mixture).natural_parameters.dtype == np.float32
    form = EStepForPass(summary, of_type(X.dtype))(narrow)
    assert form.natural_parameters.dtype == np.float64
    assert np.isfinite(form.complete(form.sums(Block(0, X.T))).objective)


def test_rows_in_double_precision_are_not_rounded_to_their_models():
    X = 1e6 + np.random.default_rng(0).normal(size=(500, 32))
    model = GaussianMixture(2, max_iter=1, random_state=0, reg_covar=5e-3)
    with pytest.warns(ConvergenceWarning):
        model.fit(X.astype(np.float32))
    assert model.means_.dtype == np.float32
    parts = zip(model.weights_, model.means_, model.precisions_cholesky_, strict=True)
    joint = [
        np.log(weight) + multivariate_normal(mean, np.linalg.inv(factor @ factor.T)).logpdf(X)
        for weight, mean, factor in (map(np.float64, part) for part in parts)
    ]
    assert model.score(X) == pytest.approx(logsumexp(joint, axis=0).mean(), abs=1e-6)


def test_a_row_in_single_precision_that_is_out_of_reach_has_no_share():
    log_joint = np.array([[0.0, -1e30], [-90.0, -2e30]], dtype=np.float32)
    np.testing.assert_array_equal(softmax(log_joint), np.float32([0.0, -1e30]))
    np.testing.assert_array_equal(log_joint, [[1, 1], [0, 0]])
