"""Regression by a mixture of features and responses, against formulas in long form and SciPy."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.optimize import brentq
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from emgmm import EMWarning, GaussianMixture, GaussianMixtureRegressor, blocks

D, Q, K = 3, 2, 3
TABLE = clusters(300, D + Q, K)
X, Y = TABLE[:, :D], TABLE[:, D:]
HOLES = np.where(np.random.default_rng(0).random(X.shape) < 0.4, np.nan, X)
HOLES[:2] = np.nan


def fitted(y=Y, **arguments):
    arguments = {"random_state": 0, "max_iter": 30, **arguments}
    return fit(GaussianMixtureRegressor(K, **arguments), X, y=y)


def long_form(model, x):
    """The weights, means and covariances of the responses given a row, by inverses."""
    joint = model.model_
    a = np.flatnonzero(~np.isnan(x))
    b = np.arange(len(x), joint.means_.shape[1])
    weights, means, covariances = [], [], []
    for weight, mean, covariance in zip(joint.weights_, joint.means_, dense(joint), strict=True):
        density = 1.0
        gain = np.zeros((len(b), 0))
        if len(a):
            inner = covariance[np.ix_(a, a)]
            density = stats.multivariate_normal(mean[a], inner).pdf(x[a])
            gain = covariance[np.ix_(b, a)] @ np.linalg.inv(inner)
        weights.append(weight * density)
        means.append(mean[b] + gain @ (x[a] - mean[a]))
        covariances.append(covariance[np.ix_(b, b)] - gain @ covariance[np.ix_(a, b)])
    return np.array(weights) / sum(weights), np.array(means), np.array(covariances)


@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        GaussianMixtureRegressor(),
        GaussianMixtureRegressor(2, init_params="hierarchical"),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("y", [Y, Y[:, 0]], ids=["two", "one"])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_component_is_least_squares(y, weighted):
    weights = np.random.default_rng(0).integers(0, 4, len(X)) if weighted else None
    model = GaussianMixtureRegressor().fit(X, y, sample_weight=weights)
    theirs = LinearRegression().fit(X, y, sample_weight=weights)
    assert_allclose(model.predict(X), theirs.predict(X), rtol=1e-11, atol=1e-11)
    assert_allclose(model.score(X, y, weights), theirs.score(X, y, weights), rtol=1e-12)
    _, sd = model.predict(X, return_std=True)
    variance = np.average((y - theirs.predict(X)) ** 2, axis=0, weights=weights)
    assert_allclose(sd**2, np.broadcast_to(variance, y.shape), rtol=1e-10)


@pytest.mark.parametrize("covariance_type", [*TYPES, *MODELS])
@pytest.mark.parametrize("rows", [X, HOLES], ids=["complete", "holes"])
def test_moments_are_those_of_the_long_form(covariance_type, rows):
    model = fitted(covariance_type=covariance_type, reg_covar=1e-6)
    means, covariances = model.predict(rows, return_cov=True)
    sds = model.predict(rows, return_std=True)[1]
    assert means.shape == sds.shape == Y.shape
    assert covariances.shape == (len(X), Q, Q)
    for i in range(40):
        w, m, c = long_form(model, rows[i])
        mean = w @ m
        covariance = np.tensordot(w, c, axes=1) + (w[:, None] * (m - mean)).T @ (m - mean)
        assert_allclose(means[i], mean, rtol=1e-9, atol=1e-9)
        assert_allclose(covariances[i], covariance, rtol=1e-8, atol=1e-9)
        assert_allclose(sds[i], np.sqrt(np.diag(covariance)), rtol=1e-8)
    assert_array_equal(model.predict(rows), means)


@pytest.mark.parametrize("rows", [X, HOLES], ids=["complete", "holes"])
def test_conditional_is_the_distribution_of_one_row(rows):
    model = fitted(pd.DataFrame(Y, columns=["first", "second"]))
    for x in rows[:6]:
        w, m, c = long_form(model, x)
        found = model.conditional(x)
        assert_allclose(found.weights_, w, rtol=1e-10, atol=1e-14)
        assert_allclose(found.means_, m, rtol=1e-10)
        assert_allclose(dense(found), c, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rows", [X, HOLES], ids=["complete", "holes"])
def test_quantiles_are_roots_of_the_distribution_function(rows):
    model = fitted(Y[:, 0])
    levels = [1e-9, 0.05, 0.5, 0.95, 1 - 1e-6]
    found = model.predict_quantile(rows, levels)
    assert found.shape == (len(X), 5)
    for i in range(8):
        w, m, c = long_form(model, rows[i])
        normal = stats.norm(m[:, 0], np.sqrt(c[:, 0, 0]))
        for level, quantile in zip(levels, found[i], strict=True):
            root = brentq(lambda y, p=level, f=normal, w=w: w @ f.cdf(y) - p, -99, 99, xtol=1e-13)
            assert_allclose(quantile, root, rtol=1e-8, atol=1e-8)
    assert_array_equal(model.predict_quantile(rows, 0.5), found[:, 2])
    assert_array_equal(model.predict_quantile(rows[:1], [0, 1]), [[-np.inf, np.inf]])


def test_draws_have_the_conditional_distribution():
    """By Kolmogorov and Smirnov, in one response, and by moments in two."""
    model = fitted(Y[:, 0])
    draws = model.sample_y(HOLES[:4], 2000, random_state=1)
    assert draws.shape == (4, 2000)
    for x, own in zip(HOLES[:4], draws, strict=True):
        distribution = model.conditional(x).distribution()
        assert stats.kstest(own, distribution.cdf).pvalue > 1e-3
    model = fitted()
    draws = model.sample_y(HOLES[:3], 20_000, random_state=1)
    assert draws.shape == (3, Q, 20_000)
    means, covariances = model.predict(HOLES[:3], return_cov=True)
    for mean, covariance, own in zip(means, covariances, draws, strict=True):
        scale = np.sqrt(np.diag(covariance))
        assert (np.abs(own.mean(axis=1) - mean) < 4 * scale / np.sqrt(20_000)).all()
        assert_allclose(np.cov(own), covariance, atol=0.06 * scale.max() ** 2)
    assert_array_equal(model.sample_y(HOLES[:3], 20_000, random_state=1), draws)
    assert_array_equal(model.sample_y(HOLES[:2], 3), model.sample_y(HOLES[:2], 3))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_blocks_and_tables_give_the_same_predictions():
    names = ["a", "b", "c"]
    table, y = pd.DataFrame(X, columns=names), pd.Series(Y[:, 0], name="price")
    model = fit(GaussianMixtureRegressor(2, random_state=0), table, y=y)
    assert list(model.model_.feature_names_in_) == [*names, "price"]
    assert list(model.conditional(X[0]).feature_names_in_) == ["price"]
    expected = model.predict(table)
    parts = [table[:100], table[100:]]
    assert_allclose(np.concatenate(list(model.predict(blocks(parts)))), expected, rtol=1e-12)
    single = fit(clone(model), X.astype(np.float32), y=Y[:, 0].astype(np.float32))
    assert single.model_.means_.dtype == single.predict(X.astype(np.float32)).dtype == np.float32
    assert_allclose(single.predict(X.astype(np.float32)), expected, atol=1e-2)
    assert model.predict(np.repeat(X, 300, axis=0))[::300] == pytest.approx(expected, abs=1e-8)


def test_missing_values_of_the_fit_take_part():
    """A missing response leaves its row in the distribution of the features."""
    y = Y[:, 0].copy()
    y[::3] = np.nan
    model = fit(GaussianMixtureRegressor(K, random_state=0), HOLES, y=y)
    joint = fit(
        GaussianMixture(K, tol=1e-6, max_iter=1000, reg_covar=0, random_state=0),
        np.column_stack((HOLES, y)),
    )
    assert_array_equal(model.model_.means_, joint.means_)
    assert model.n_iter_ == joint.n_iter_
    imputed = joint.impute(np.column_stack((HOLES, np.full(len(X), np.nan))))
    assert_allclose(model.predict(HOLES), imputed[:, -1], rtol=1e-9)


def test_noise_takes_part_in_the_fit_only():
    random = np.random.default_rng(0)
    x = random.uniform(0, 10, (600, 1))
    y = 2 * x[:, 0] + random.normal(size=600)
    wrong = random.random(600) < 0.15
    y[wrong] = random.uniform(-100, 100, wrong.sum())
    model = fit(GaussianMixtureRegressor(noise="uniform", random_state=0), x, y=y)
    assert 0.1 < model.model_.noise_weight_ < 0.2
    slope = np.diff(model.predict([[0.0], [10.0]])) / 10
    assert abs(slope - 2) < 0.1 < abs(LinearRegression().fit(x, y).coef_ - 2) * 1.5
    assert 0.8 < model.predict([[5.0]], return_std=True)[1] < 1.2
    assert model.conditional([5.0]).noise is None


def test_a_linear_function_is_fitted_with_a_warning():
    y = X @ [1.0, 2.0, 3.0] + 4
    with pytest.warns(EMWarning, match="is singular, because y or a feature is a linear function"):
        model = GaussianMixtureRegressor().fit(X, y)
    assert_allclose(model.predict(X), y, rtol=1e-6, atol=1e-6)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert GaussianMixtureRegressor(prior="conjugate").fit(X, y).score(X, y) > 0.99
        assert GaussianMixtureRegressor(reg_covar=1e-6).fit(X, y).score(X, y) > 0.99
    assert not any("is singular, because y" in str(warning.message) for warning in caught)


def test_searches_and_scores():
    search = GridSearchCV(
        GaussianMixtureRegressor(reg_covar=1e-6, random_state=0), {"n_components": [1, K]}, cv=3
    )
    found = fit(search, X, y=Y[:, 0])
    assert found.best_params_ == {"n_components": K}
    model = found.best_estimator_
    assert model.score(X, Y[:, 0]) == pytest.approx(r2_score(Y[:, 0], model.predict(X)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.predict(X, return_std=True, return_cov=True), "at most one of return_std"),
        (lambda m: m.predict_quantile(X, 0.5), "for one response, but y has 2"),
        (lambda m: fitted(Y[:, 0]).predict_quantile(X, [1.5]), "between 0 and 1, but got"),
        (lambda m: m.sample_y(X, 0), "Invalid value for 'n_samples'"),
        (lambda m: m.conditional(X), "x must be one row"),
        (lambda m: m.conditional(X[0, :2]), "X has 2 features"),
        (lambda m: m.predict([[1e200, 0, 0]]), "Row 0 of X, counted from 0, is so far"),
        (lambda m: clone(m).fit(X, None), "requires y to be passed"),
        (lambda m: clone(m).fit(X, Y[1:]), "inconsistent numbers of samples"),
        (lambda m: clone(m).fit(X, np.full(len(X), np.nan)), "is missing in every row"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(fitted())


def test_an_invalid_fit_changes_nothing():
    model = fitted()
    before = model.predict(X)
    with pytest.raises(ValueError, match="constant or linearly dependent"):
        model.fit(np.zeros((5, D)), np.zeros(5))
    assert_array_equal(model.predict(X), before)
    with pytest.raises(NotFittedError):
        GaussianMixtureRegressor().predict(X)


def test_weights_are_routed():
    weights = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    with config_context(enable_metadata_routing=True):
        model = GaussianMixtureRegressor().set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        piped = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        piped.fit(X, Y[:, 0], sample_weight=weights)
        scaled = StandardScaler().fit_transform(X)
        direct = GaussianMixtureRegressor().fit(scaled, Y[:, 0], sample_weight=weights)
        assert_array_equal(piped.predict(X), direct.predict(scaled))
        search = GridSearchCV(model, {"covariance_type": ["full", "diag"]}, cv=2)
        search.fit(X, Y[:, 0], sample_weight=weights)
    first, second = np.arange(len(X)) < len(X) / 2, np.arange(len(X)) >= len(X) / 2
    scores = [
        GaussianMixtureRegressor()
        .fit(X[a], Y[a, 0], sample_weight=weights[a])
        .score(X[b], Y[b, 0], sample_weight=weights[b])
        for a, b in ((second, first), (first, second))
    ]
    assert_allclose(search.cv_results_["mean_test_score"][0], np.mean(scores), rtol=1e-12)
    assert search.best_params_ == {"covariance_type": "full"}
    best = GaussianMixtureRegressor().fit(X, Y[:, 0], sample_weight=weights)
    assert_array_equal(search.predict(X), best.predict(X))
