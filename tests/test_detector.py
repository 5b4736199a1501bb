"""Outliers by the probability of a higher density: exact in one component, and fair with holes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import clusters, dense, fit
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn import config_context
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from emgmm import EMWarning, GaussianMixture, GaussianMixtureOutlierDetector, blocks
from emgmm.base import fitted_mixture
from emgmm.distributions.levels import Levels
from emgmm.ridge import RidgeMixin
from emgmm.sources import Rows

D, K = 4, 3
X = clusters(400, D, K)
HOLES = np.where(np.random.default_rng(0).random(X.shape) < 0.4, np.nan, X)
PATTERNS = [np.array(p) for p in product([False, True], repeat=D)][:-1]


def fitted(n_components=K, rows=X, **arguments):
    arguments = {"random_state": 0, "max_iter": 30, **arguments}
    return fit(GaussianMixtureOutlierDetector(n_components, **arguments), rows)


@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        GaussianMixtureOutlierDetector(level=0.95),
        GaussianMixtureOutlierDetector(contamination=0.01),
        GaussianMixtureOutlierDetector(2, level=0.9, init_params="hierarchical"),
    ]
)
def test_scikit_learns_checks(estimator, check):
    """With a level other than 0.99, because the checks require outliers among 300 certain rows.

    All of them are in the region of probability 0.97 of their normal distribution, as the next test
    states by the chi-squared distribution of their Mahalanobis distances.
    """
    check(estimator)


def test_the_level_of_components_that_are_almost_out_of_reach_of_one_another():
    """Their densities at the draws of the other are numbers below the smallest normal one."""
    model = GaussianMixture.from_parameters(
        [0.2, 0.3, 0.5], [[0.0], [0.0], [37.0]], covariances=np.ones(3), covariance_type="spherical"
    )
    with np.errstate(all="raise"):
        found = Levels(fitted_mixture(model)).level(0.9)
    expected = np.log(0.5) + stats.norm.logpdf(stats.norm.ppf(0.95))
    assert found == pytest.approx(expected, abs=0.05)


def test_no_row_of_scikit_learns_checks_is_outside_of_the_default_level():
    rows = make_blobs(n_samples=300, random_state=0)[0]
    deviations = rows - rows.mean(axis=0)
    inverse = np.linalg.inv(np.cov(rows.T, bias=True))
    farthest = np.einsum("ij,jk,ik->i", deviations, inverse, deviations).max()
    detector = GaussianMixtureOutlierDetector().fit(rows)
    assert detector.anomaly_score(rows).max() == pytest.approx(stats.chi2(2).cdf(farthest))
    assert 0.95 < stats.chi2(2).cdf(farthest) < detector.level
    assert (detector.predict(rows) == 1).all()


@pytest.mark.parametrize("parameters", [{}, {"n_components": 2, "init_params": "hierarchical"}])
@pytest.mark.filterwarnings("ignore:The fit has collapsed components")
def test_singular_rows_are_fitted_with_a_warning(parameters):
    """Rows outside of their plane are outliers, whatever the scale."""
    plane = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]])
    rows = 1e3 * np.random.default_rng(0).normal(size=(100, 2)) @ plane
    with pytest.warns(EMWarning, match=r"^The covariance of X is singular"):
        detector = GaussianMixtureOutlierDetector(**parameters).fit(rows)
    normal = np.cross(*plane) / np.linalg.norm(np.cross(*plane))
    variance = normal @ dense(detector.model_)[0] @ normal
    assert_allclose(variance, 1e-7 * rows.var(axis=0).min(), rtol=1e-6)
    inside = detector.predict(rows) == 1
    assert inside.mean() > 0.9
    assert (detector.predict(rows[inside] + 10 * normal) == -1).all()
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        GaussianMixtureOutlierDetector().fit(np.full((5, 2), 0.1))


@pytest.mark.parametrize("rows", [X, HOLES], ids=["complete", "holes"])
def test_one_component_is_the_mahalanobis_distance(rows):
    detector = fitted(1)
    mean, covariance = detector.model_.means_[0], dense(detector.model_)[0]
    found, scores = detector.anomaly_score(rows), detector.score_samples(rows)
    peak = stats.multivariate_normal(mean, covariance).logpdf(mean)
    assert_allclose(detector.offset_, peak - stats.chi2(D).ppf(0.99) / 2, rtol=1e-12)
    for row, score, log_density in zip(rows, found, scores, strict=True):
        a = np.flatnonzero(~np.isnan(row))
        deviation = row[a] - mean[a]
        square = deviation @ np.linalg.solve(covariance[np.ix_(a, a)], deviation) if len(a) else 0
        probability = stats.chi2(len(a)).cdf(square) if len(a) else 0.5
        assert_allclose(score, probability, rtol=1e-9)
        assert_allclose(log_density, peak - stats.chi2(D).ppf(probability) / 2, rtol=1e-8)
    assert_array_equal(detector.predict(rows) == -1, found > 0.99)


@pytest.mark.parametrize("n_components", [1, K])
@pytest.mark.parametrize("missing", PATTERNS, ids=lambda p: "".join(map(str, p.astype(int))))
def test_scores_of_the_models_own_rows_are_uniform(n_components, missing):
    """By Kolmogorov and Smirnov; the draws of the reference add an error of about 0.005."""
    detector = fitted(n_components)
    rows = detector.model_.sample(4000, random_state=1)[0]
    rows[:, missing] = np.nan
    scores = detector.anomaly_score(rows)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert stats.kstest(scores, "uniform").pvalue > 1e-3
    outliers = (detector.predict(rows) == -1).mean()
    # The reference has 10,000 draws, of which 100 are outliers.
    assert abs(outliers - 0.01) < 3 * np.sqrt(0.01 * 0.99 * (1 / 4000 + 1 / 10_000))


@pytest.mark.parametrize("n_features", [1, 2, 5, 10, 20])
@pytest.mark.parametrize("n_components", [1, 2, 5, 10])
@pytest.mark.parametrize("level", [0.9, 0.99])
def test_the_level_is_the_share_of_the_models_own_rows(n_features, n_components, level):
    rows = clusters(100 * n_components, n_features, n_components, seed=n_features)
    detector = fitted(n_components, rows, level=level, reg_covar=1e-3, max_iter=5)
    drawn = detector.model_.sample(10_000, random_state=2)[0]
    outside = (detector.predict(drawn) == -1).mean()
    assert abs(outside - (1 - level)) < 3 * np.sqrt(level * (1 - level) / 10_000)


def test_scores_are_the_share_of_draws_of_a_higher_density():
    """In long form, with many draws of another seed."""
    detector = fitted()
    rows, draws = HOLES[:10], detector.model_.sample(100_000, random_state=3)[0]
    for row, score in zip(rows, detector.anomaly_score(rows), strict=True):
        observed = np.flatnonzero(~np.isnan(row))
        if not len(observed):
            assert score == 0.5
            continue
        marginal = detector.model_.marginal(observed)
        share = (
            marginal.score_samples(draws[:, observed]) > marginal.score_samples([row[observed]])
        ).mean()
        assert abs(score - share) < 4 * np.sqrt(0.25 / 10_000)


@pytest.mark.parametrize("n_components", [1, K])
def test_scores_order_rows_however_far_out(n_components):
    """Also beyond all draws, and where probabilities of the chi-squared distribution underflow."""
    detector = fitted(n_components)
    far = X.mean(axis=0) + np.array([0, 30, 100, 300, 1000, 1e4])[:, None]
    far[0] = detector.model_.modes()[0]
    for missing in PATTERNS:
        rows = far.copy()
        rows[:, missing] = np.nan
        scores = detector.score_samples(rows)
        assert (np.diff(scores[1:]) < -1).all()
        assert (np.diff(detector.anomaly_score(rows)) >= 0).all()
        assert detector.anomaly_score(rows)[-1] == 1
    complete = detector.score_samples(far)
    assert_allclose(complete, detector.model_.score_samples(far), rtol=1e-12)
    mixed = np.vstack((far, np.full((1, D), np.nan)))
    assert_allclose(detector.score_samples(mixed)[:-1], complete, rtol=1e-12)
    assert_array_equal(detector.decision_function(far), complete - detector.offset_)


def test_a_row_with_holes_is_not_favoured():
    """A plain density has the largest value for a row without any observed value."""
    detector = fitted(2, 0.01 * X + 1e4)
    empty = np.full((1, D), np.nan)
    outlier = np.array([[1e4 + 9, np.nan, np.nan, np.nan]])
    model = fitted(2).model_
    assert model.score_samples(empty) > model.score_samples(X).max()
    assert detector.anomaly_score(empty) == 0.5
    middle = np.median(detector.score_samples(detector.model_.sample(4000, random_state=5)[0]))
    assert abs(detector.score_samples(empty) - middle) < 0.2
    assert_array_equal(detector.predict(np.vstack((empty, outlier))), [1, -1])


@pytest.mark.parametrize("rows", [X, HOLES], ids=["complete", "holes"])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_contamination_is_the_share_of_the_fitted_rows(rows, share):
    detector = fitted(rows=rows, contamination=share, max_iter=1000)
    assert (detector.predict(rows) == -1).sum() == share * len(rows)
    assert_array_equal(detector.predict(rows), detector.fit_predict(rows))
    weights = np.random.default_rng(1).integers(0, 4, len(X))
    parameters = {"random_state": 0, "contamination": share, "init_params": np.arange(len(X)) % K}
    weighted = GaussianMixtureOutlierDetector(K, **parameters, max_iter=3)
    fit(weighted, rows, sample_weight=weights)
    outside = weights[weighted.predict(rows) == -1].sum() / weights.sum()
    assert share - 4 / weights.sum() < outside <= share


def test_noise_takes_part_in_the_fit_only():
    random = np.random.default_rng(0)
    rows = np.vstack((X, random.uniform(-100, 100, (40, D))))
    detector = fitted(rows=rows, noise="uniform", level=0.999)
    assert detector.model_.noise_weight_ > 0.05
    found = detector.predict(rows) == -1
    assert found[len(X) :].mean() > 0.95
    assert found[: len(X)].mean() < 0.02
    components = GaussianMixture.from_parameters(
        detector.model_.weights_ / detector.model_.weights_.sum(),
        detector.model_.means_,
        covariances=detector.model_.covariances_,
    )
    assert_allclose(detector.score_samples(X), components.score_samples(X), rtol=1e-10)


def test_blocks_and_tables_give_the_same_scores():
    table = pd.DataFrame(HOLES, columns=list("abcd"))
    detector = fitted(rows=table)
    assert list(detector.model_.feature_names_in_) == list("abcd")
    expected = detector.anomaly_score(table)
    parts = blocks([table[:150], table[150:]])
    assert_allclose(np.concatenate(list(detector.anomaly_score(parts))), expected, rtol=1e-12)
    assert_array_equal(np.concatenate(list(detector.predict(parts))), detector.predict(table))
    assert_array_equal(detector.anomaly_score(table), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"contamination": 0.6}, "'contamination' parameter"),
        ({"contamination": "automatic"}, "Did you mean 'auto'"),
        ({"level": 1.0}, "'level' parameter"),
        ({"n_components": True}, "must not be a boolean"),
    ],
)
def test_invalid_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureOutlierDetector(**arguments).fit(X)
    with pytest.raises(NotFittedError):
        GaussianMixtureOutlierDetector(**arguments).anomaly_score(X)


def mean_score(detector, rows, y=None):
    return detector.score_samples(rows).mean()


def test_weights_are_routed():
    weights = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    with config_context(enable_metadata_routing=True):
        model = GaussianMixtureOutlierDetector().set_fit_request(sample_weight=True)
        piped = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        piped.fit(X, sample_weight=weights)
        scaled = StandardScaler().fit_transform(X)
        direct = GaussianMixtureOutlierDetector().fit(scaled, sample_weight=weights)
        assert_array_equal(piped.decision_function(X), direct.decision_function(scaled))
        families = {"covariance_type": ["full", "spherical"]}
        search = GridSearchCV(model, families, scoring=mean_score, cv=2)
        search.fit(X, sample_weight=weights)
    first, second = np.arange(len(X)) < len(X) / 2, np.arange(len(X)) >= len(X) / 2
    scores = [
        mean_score(GaussianMixtureOutlierDetector().fit(X[a], sample_weight=weights[a]), X[b])
        for a, b in ((second, first), (first, second))
    ]
    assert_allclose(search.cv_results_["mean_test_score"][0], np.mean(scores), rtol=1e-12)
    best = GaussianMixtureOutlierDetector(**search.best_params_).fit(X, sample_weight=weights)
    assert_array_equal(search.predict(X), best.predict(X))


class Fitted(RidgeMixin):
    """A fit that succeeds from some `reg_covar` on."""

    def __init__(self, reg_covar, prior, least):
        self.reg_covar, self.prior, self.least = reg_covar, prior, least
        self.tried = []

    def fit(self, reg_covar):
        self.tried.append(reg_covar)
        if reg_covar < self.least:
            raise ValueError(f"{reg_covar} is too small")
        return reg_covar

    def fitted(self, rows):
        return self._fitted_with_ridge(self.fit, Rows(rows), ValueError)


def test_a_ridge_is_added_once_and_only_if_the_parameters_leave_it_open():
    rows = np.array([[0.0, 1.0, 10.0], [4.0, 1.0, 50.0]])  # variances 4, 0 and 400
    for reg_covar, prior, least, tried in (
        (0.0, None, 1e-9, [0.0, 4e-7]),
        (0.0, None, 1.0, [0.0, 4e-7]),
        (1e-9, None, 1e-8, [1e-9]),
        (0.0, "conjugate", 1e-9, [0.0]),
    ):
        model = Fitted(reg_covar, prior, least)
        if tried[-1] < least:
            with pytest.raises(ValueError, match=f"^{reg_covar} is too small"):
                model.fitted(rows)
        else:
            assert model.fitted(rows) == (pytest.approx(tried[-1]), True)
        assert model.tried == pytest.approx(tried)
