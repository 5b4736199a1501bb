"""The densities of the components, against scipy's."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from emgmm import GaussianMixture, blocks

K, D = 3, 3
X = clusters(200, D, K)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("covariance_type", [*TYPES, *MODELS])
def test_densities_of_components_are_scipys(covariance_type, dtype):
    rows = X.astype(dtype)
    model = fit(GaussianMixture(K, covariance_type=covariance_type, random_state=0), rows)
    expected = np.stack(
        [
            multivariate_normal(mean, covariance).logpdf(rows)
            for mean, covariance in zip(model.means_, dense(model), strict=True)
        ],
        axis=1,
    )
    found = model.component_log_prob(rows)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-11 if dtype == np.float64 else 1e-5)
    weighted = model.component_log_prob(rows, weighted=True)
    np.testing.assert_allclose(
        weighted, found + np.log(model.weights_), rtol=1e-12 if dtype == np.float64 else 1e-6
    )
    np.testing.assert_array_equal(weighted.argmax(axis=1), model.predict(rows))
    np.testing.assert_allclose(logsumexp(weighted, axis=1), model.score_samples(rows), rtol=1e-6)


def test_of_missing_values_they_are_marginal():
    rows = X.copy()
    rows[np.random.default_rng(0).uniform(size=X.shape) < 0.3] = np.nan
    model = fit(GaussianMixture(K, random_state=0), rows)
    found = model.component_log_prob(rows)
    for row, log_densities in zip(rows, found, strict=True):
        seen = np.flatnonzero(~np.isnan(row))
        for k in range(K):
            expected = 0.0
            if len(seen):
                covariance = model.covariances_[k][np.ix_(seen, seen)]
                expected = multivariate_normal(model.means_[k, seen], covariance).logpdf(row[seen])
            assert log_densities[k] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("noise", [0.01, lambda rows: -np.abs(rows).sum(axis=1)])
def test_noise_is_the_last_column(noise):
    model = fit(GaussianMixture(K, noise=noise, random_state=0), X)
    found = model.component_log_prob(X)
    expected = np.full(len(X), np.log(noise)) if np.isscalar(noise) else noise(X)
    np.testing.assert_allclose(found[:, -1], expected, rtol=1e-9)
    weights = np.append(model.weights_, model.noise_weight_)
    weighted = model.component_log_prob(X, weighted=True)
    np.testing.assert_allclose(weighted, found + np.log(weights), rtol=1e-9)
    assert weighted.shape == (len(X), K + 1)


def test_a_weight_of_zero_does_not_matter_to_the_density():
    model = GaussianMixture.from_parameters([1.0, 0.0], [[0.0], [4.0]], covariances=[[[1]], [[4]]])
    expected = [multivariate_normal(0, 1).logpdf(1), multivariate_normal(4, 4).logpdf(1)]
    np.testing.assert_allclose(model.component_log_prob([[1.0]]), [expected], rtol=1e-12)
    assert model.component_log_prob([[1.0]], weighted=True)[0, 1] == -np.inf
    assert model.component_log_prob([[1e200]])[0, 0] == -np.inf  # as far as floats reach


@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_and_dask_are_processed_as_in_predict(weighted):
    model = fit(GaussianMixture(K, random_state=0), X)
    expected = model.component_log_prob(X, weighted=weighted)
    parts = model.component_log_prob(blocks([X[:70], X[70:]]), weighted=weighted)
    assert [len(part) for part in parts] == [70, 130]
    parts = model.component_log_prob(blocks([X[:70], X[70:]]), weighted=weighted)
    np.testing.assert_allclose(np.concatenate(list(parts)), expected, rtol=1e-12)
    lazy = model.component_log_prob(da.from_array(X, chunks=(60, D)), weighted=weighted)
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-12)
