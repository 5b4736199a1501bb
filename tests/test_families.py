"""Laws of the covariance families, over the registry: a new one is tested by being there."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import clusters
from scipy.stats import multivariate_normal

from emgmm.expectation import Exact, Packed, moments
from emgmm.families import FAMILIES, DegenerateCovarianceError
from emgmm.maximization import maximise
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics

K, D = 3, 4
families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def statistics_in_long_form(X, responsibilities, family, centres=None):
    """Statistics by loops over rows and components, about zero or given centres."""
    n_components, n_features = responsibilities.shape[1], X.shape[1]
    centres = np.zeros((n_components, n_features)) if centres is None else centres
    rows = X.T
    sums = moments([(rows, r) for r in responsibilities.T], centres, family)
    return Statistics(centres, *sums, 0.0, len(X))


def some_responsibilities(n_rows, n_components, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(n_components), size=n_rows)


def some_mixture(family, seed=0):
    X = clusters(seed=seed, n_features=D)
    statistics = statistics_in_long_form(X, some_responsibilities(len(X), K, seed), family)
    return X, maximise(statistics, family, 0.0, np.dtype(float))


def brute_force_covariances(name, X, responsibilities, means):
    """Equation [4], row by row, and what each family makes of it."""
    scatters = np.zeros((K, D, D))
    for k in range(K):
        for i in range(len(X)):
            deviation = X[i] - means[k]
            scatters[k] += responsibilities[i, k] * np.outer(deviation, deviation)
    masses = responsibilities.sum(axis=0)
    return {
        "full": lambda: scatters / masses[:, None, None],
        "tied": lambda: scatters.sum(axis=0) / masses.sum(),
        "diag": lambda: np.array([np.diag(s) for s in scatters]) / masses[:, None],
        "spherical": lambda: np.array([np.trace(s) for s in scatters]) / (D * masses),
    }[name]()


@families
def test_m_step_is_equations_2_to_4_in_long_form(family):
    X = clusters(120, D)
    responsibilities = some_responsibilities(len(X), K)
    masses = responsibilities.sum(axis=0)
    means = responsibilities.T @ X / masses[:, None]
    statistics = statistics_in_long_form(X, responsibilities, family)
    mixture = maximise(statistics, family, 0.0, np.dtype(float))
    np.testing.assert_allclose(mixture.weights, masses / len(X), rtol=1e-13)
    np.testing.assert_allclose(mixture.means, means, rtol=1e-12)
    expected = brute_force_covariances(family.name, X, responsibilities, means)
    np.testing.assert_allclose(mixture.covariances, expected, rtol=1e-11, atol=1e-12)


@families
def test_m_step_does_not_depend_on_the_centres(family):
    X = clusters(120, D)
    responsibilities = some_responsibilities(len(X), K)
    about = [np.zeros((K, D)), np.full((K, D), 3.0), np.random.default_rng(0).normal(size=(K, D))]
    covariances = [
        maximise(
            statistics_in_long_form(X, responsibilities, family, centres),
            family,
            0.0,
            np.dtype(float),
        ).covariances
        for centres in about
    ]
    np.testing.assert_allclose(covariances[1], covariances[0], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(covariances[2], covariances[0], rtol=1e-11, atol=1e-12)


@families
def test_m_step_is_a_stationary_point_of_the_expected_log_likelihood(family):
    X = clusters(150, D)
    responsibilities = some_responsibilities(len(X), K)
    statistics = statistics_in_long_form(X, responsibilities, family)
    mixture = maximise(statistics, family, 0.0, np.dtype(float))

    def expected_log_likelihood(covariances):
        candidate = Mixture.of(mixture.weights, mixture.means, covariances, family)
        return np.sum(responsibilities.T * Exact(candidate).log_joint(X.T))

    best = expected_log_likelihood(mixture.covariances)
    for factor in (0.99, 1.01):
        assert expected_log_likelihood(mixture.covariances * factor) < best


@families
@pytest.mark.parametrize("form", [Exact, Packed])
def test_log_joint_is_scipys_density(family, form):
    X, mixture = some_mixture(family)
    expected = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
        for weight, mean, covariance in zip(
            mixture.weights, mixture.means, mixture.dense_covariances(), strict=True
        )
    ]
    np.testing.assert_allclose(form(mixture).log_joint(X.T), expected, rtol=1e-11, atol=1e-10)


@families
def test_whiteners_factorise_the_precisions(family):
    _, mixture = some_mixture(family)
    dense = mixture.dense_covariances()
    precisions = family.dense(mixture.precisions, K, D)
    np.testing.assert_allclose(precisions @ dense, np.tile(np.eye(D), (K, 1, 1)), atol=1e-11)
    again = family.whiteners_of_precisions(mixture.precisions)
    np.testing.assert_allclose(again, mixture.whiteners, rtol=1e-9, atol=1e-12)
    back = family.covariances(mixture.whiteners)
    np.testing.assert_allclose(back, mixture.covariances, rtol=1e-10, atol=1e-12)


@families
def test_colour_undoes_whiten(family):
    X, mixture = some_mixture(family)
    whitener = family.for_each(mixture.whiteners, K)[1]
    block = np.ascontiguousarray(X.T)
    there_and_back = family.shape.colour(whitener, family.shape.whiten(whitener, block))
    np.testing.assert_allclose(there_and_back, block, rtol=1e-11, atol=1e-12)


@families
def test_free_parameters_are_counted_by_perturbing_them(family):
    """As many as independent directions in which the covariances can move."""
    _, mixture = some_mixture(family)
    random = np.random.default_rng(0)
    moves = []
    for _ in range(60):
        X = clusters(60, D, seed=int(random.integers(2**31)))
        moved = statistics_in_long_form(X, some_responsibilities(60, K), family)
        covariances = maximise(moved, family, 0.0, np.dtype(float)).covariances
        moves.append(family.dense(covariances, K, D).ravel())
    assert np.linalg.matrix_rank(moves, tol=1e-8) == family.n_covariance_parameters(K, D)
    assert mixture.n_parameters == K - 1 + K * D + family.n_covariance_parameters(K, D)


@families
def test_a_degenerate_component_is_named(family):
    covariances = some_mixture(family)[1].covariances.copy()
    if family.shared:
        covariances, expected = -covariances, ()
    else:
        covariances[1], expected = -covariances[1], (1,)
    with pytest.raises(DegenerateCovarianceError) as caught:
        family.whiteners(covariances)
    assert caught.value.components == expected


@families
def test_a_ridge_is_added_to_every_diagonal(family):
    mixture = some_mixture(family)[1]
    ridged = family.dense(family.add_ridge(mixture.covariances, 0.25), K, D)
    np.testing.assert_allclose(ridged, mixture.dense_covariances() + 0.25 * np.eye(D), rtol=1e-14)


@families
def test_magnitude_bounds_the_whitened_length(family):
    X, mixture = some_mixture(family)
    reach = np.abs(X).max(axis=0)
    whiteners = family.for_each(mixture.whiteners, K)
    bound = family.shape.magnitude(whiteners, np.tile(reach, (K, 1)))
    for k in range(K):
        whitened = family.shape.whiten(whiteners[k], np.ascontiguousarray(X.T))
        assert (whitened**2).sum(axis=0).max() <= bound[k]


@families
def test_sample_has_the_mixtures_moments(family):
    _, mixture = some_mixture(family)
    rows, components = mixture.sample(200_000, np.random.RandomState(0))
    assert (np.diff(components) >= 0).all()
    for k, covariance in enumerate(mixture.dense_covariances()):
        own = rows[components == k]
        error = np.sqrt(np.diag(covariance) / len(own))
        assert (np.abs(own.mean(axis=0) - mixture.means[k]) < 5 * error).all()
        sampling = 6 * np.abs(covariance).max() * np.sqrt(2 / len(own))
        np.testing.assert_allclose(np.cov(own.T), covariance, atol=sampling)
    counts = np.bincount(components, minlength=K) / len(rows)
    np.testing.assert_allclose(counts, mixture.weights, atol=0.006)


@families
def test_every_sampled_row_is_its_components_colouring_of_white_noise(family):
    _, mixture = some_mixture(family)
    rows, components = mixture.sample(50, np.random.RandomState(3))
    random = np.random.RandomState(3)
    counts = random.multinomial(50, mixture.weights / mixture.weights.sum())
    white = random.standard_normal((50, D))
    np.testing.assert_array_equal(components, np.repeat(np.arange(K), counts))
    whiteners = family.for_each(mixture.whiteners, K)
    for row, k, expected in zip(rows, components, white, strict=True):
        back = family.shape.whiten(whiteners[k], (row - mixture.means[k])[:, None])[:, 0]
        np.testing.assert_allclose(back, expected, atol=1e-10)
