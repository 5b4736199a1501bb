"""Starts beside noise and weights: cleaning by its equations, and what rows count in a start."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MODELS, STARTS, TYPES, clusters, fit, relative_error
from scipy.spatial.distance import cdist
from scipy.special import expit, gammaln
from scipy.stats import gamma

from emgmm import GaussianMixture, NormalInverseWishart
from emgmm.initialization import STARTS as BY_NAME
from emgmm.initialization import denoising
from emgmm.initialization.denoising import denoised
from emgmm.sources import Rows

K = 3


def noisy(n_features, n_rows=600, share=0.15, seed=0):
    """Clusters, and after them rows anywhere in a box around them."""
    random = np.random.default_rng(seed)
    X = clusters(n_rows, n_features, K, seed=seed, spread=6.0)
    n_noise = round(share * n_rows)
    low, high = X.min(axis=0) - 3, X.max(axis=0) + 3
    X[-n_noise:] = random.uniform(low, high, (n_noise, n_features))
    return X


def looks_like_noise(X, k=12):
    """Byers and Raftery's equations in long form: EM for two gamma densities of k-th distances."""
    D = X.shape[1]
    scaled = X / np.ptp(X, axis=0)
    distances = np.sort(cdist(scaled, scaled), axis=1)[:, k]  # the first is the row's own
    ball = np.exp(D / 2 * np.log(np.pi) - gammaln(D / 2 + 1))
    volumes = ball * distances**D
    share = (volumes > np.median(volumes)).astype(float)
    for _ in range(denoising.N_ITER):
        shares = np.array([1 - share, share])
        rates = k * shares.sum(axis=1) / (shares * volumes).sum(axis=1)  # maximum likelihood
        log_density = gamma.logpdf(volumes, k, scale=1 / rates[:, None])
        close, far = np.log(shares.mean(axis=1))[:, None] + log_density
        share = expit(far - close)
    return share > 0.5


@pytest.mark.parametrize("n_features", [1, 2, 3, 5])
@pytest.mark.parametrize("share", [0.04, 0.15, 0.4])
def test_cleaning_is_byers_and_rafterys_in_long_form(n_features, share):
    X = noisy(n_features, share=share)
    expected = looks_like_noise(X)
    assert 0 < expected.mean() < 0.6
    np.testing.assert_array_equal(denoising.looks_like_noise(X), expected)
    model = GaussianMixture(K, noise="uniform", random_state=0, max_iter=0).fit(X)
    assert model.noise_weight_ == pytest.approx(expected.mean(), rel=1e-12)
    clean = GaussianMixture(K, random_state=0, max_iter=0).fit(X[~expected])
    np.testing.assert_allclose(model.means_, clean.means_, rtol=1e-10)
    np.testing.assert_allclose(model.covariances_, clean.covariances_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("holed", [False, True], ids=["complete", "holed"])
def test_the_noise_of_a_start_is_a_share_of_all_weight(holed):
    X = noisy(2)
    expected = looks_like_noise(X)
    weights = np.where(expected, 0.2, np.random.default_rng(0).uniform(1, 3, len(X)))
    if holed:
        X, weights = np.vstack([X, np.full((50, 2), np.nan)]), np.append(weights, np.full(50, 9.0))
    model = GaussianMixture(K, noise="uniform", random_state=0, max_iter=0)
    model.fit(X, sample_weight=weights)
    share = weights[: len(expected)][expected].sum() / weights[: len(expected)].sum()
    assert model.noise_weight_ == pytest.approx(share, rel=1e-12)
    assert model.weights_.sum() == pytest.approx(1 - share, rel=1e-12)


def test_of_many_rows_a_random_choice_is_cleaned(monkeypatch):
    monkeypatch.setattr(denoising, "MOST_ROWS", 400)
    X = noisy(2, n_rows=4000, share=0.2)  # the noise comes last
    looked_at = []

    def start(rows, n_components, random):
        looked_at.append(rows.values)
        return BY_NAME["kmeans"](rows, n_components, random)

    begun = [denoised(start)(Rows(X), K, np.random.RandomState(seed)) for seed in range(5)]
    for each, kept in zip(begun, looked_at, strict=True):
        assert len(kept) == pytest.approx(400 * (1 - each.noise_weight))
        # Of 400 rows one in five is noise, with a standard deviation of 0.02.
        assert each.noise_weight == pytest.approx(0.2, abs=0.08)
        assert len(np.unique(kept, axis=0)) == len(kept)
        assert {tuple(row) for row in kept} <= {tuple(row) for row in X}
    assert len({kept.tobytes() for kept in looked_at}) == 5


@pytest.mark.parametrize("init_params", STARTS)
@pytest.mark.parametrize("rows", ["few", "alike"])
def test_where_cleaning_would_leave_too_few_rows_nothing_is_cleaned(init_params, rows, tmp_path):
    random = np.random.default_rng(0)
    few = random.normal(size=(6, 2))
    X = {"few": few, "alike": np.vstack([np.zeros((40, 2)), 5 * few, 9 * few])}[rows]
    assert len(np.unique(X[~denoising.looks_like_noise(X)], axis=0)) < 5
    path = tmp_path / "fit"
    options = {"init_params": init_params, "random_state": 0, "max_iter": 0}
    model = GaussianMixture(5, noise="uniform", checkpoint=path, **options).fit(X)
    plain = GaussianMixture(5, **options).fit(X)
    np.testing.assert_allclose(model.means_, plain.means_, rtol=1e-10)
    assert model.noise_weight_ == pytest.approx(0.1)
    assert model.weights_.sum() == pytest.approx(0.9)
    assert not path.exists()


# -- starts that speak of noise themselves ----------------------------------------------------------
@pytest.mark.parametrize("holed", [False, True], ids=["complete", "holed"])
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("form", ["labels", "responsibilities"])
def test_a_start_that_leaves_all_rows_to_noise_is_refused(form, weighted, holed, tmp_path):
    X, path = noisy(2), tmp_path / "fit"
    labels, weights = np.full(len(X), -1), np.ones(len(X))
    if weighted:  # those that have components do not count
        labels[:4], weights[:4] = [0, 1, 2, 2], 0.0
    if holed:
        X[4, 0] = np.nan
        X[5:8], labels[5:8] = np.nan, [0, 1, 2]  # nor these, of which nothing was observed
    answer = labels if form == "labels" else np.eye(K + 1)[labels]
    model = GaussianMixture(K, noise="uniform", init_params=lambda *_: answer, checkpoint=path)
    with pytest.raises(
        ValueError, match="init_params assigns every row of positive weight to noise"
    ):
        model.fit(X, sample_weight=weights)
    assert not path.exists()
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("covariance_type", [*TYPES, *MODELS])
@pytest.mark.parametrize("form", ["labels", "responsibilities"])
def test_rows_of_which_nothing_was_observed_have_no_part_in_a_start(form, covariance_type):
    random = np.random.default_rng(1)
    X, labels = noisy(2), random.integers(-1, K, 600)
    X[random.random(X.shape) < 0.1] = np.nan
    silent = np.isnan(X).all(axis=1)
    silent[::9], labels[::9] = True, -1
    X[silent] = np.nan
    weights = random.integers(1, 4, 600).astype(float)

    def begun(of):
        answer = labels[of] if form == "labels" else np.eye(K + 1)[labels[of]]
        model = GaussianMixture(
            K,
            covariance_type=covariance_type,
            noise="uniform",
            init_params=lambda *_: answer,
            max_iter=0,
        )
        return model.fit(X[of], sample_weight=weights[of])

    model, other = begun(np.full(600, True)), begun(~silent)
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1, abs=1e-12)
    held = weights[~silent]
    assert model.noise_weight_ == pytest.approx(held[labels[~silent] < 0].sum() / held.sum())
    assert relative_error(model, other) < 1e-9


@pytest.mark.parametrize("init_params", ["k-means++", "random_from_data"])
def test_a_start_from_single_rows_under_a_prior_is_the_mode_of_each_rows_posterior(init_params):
    """Fraley and Raftery (2007), equation 9, where N_k is what the one row counts."""
    D, shrinkage, dof = 2, 0.5, 7.0
    X = clusters(60, D, K)
    mean, scale = X.mean(axis=0) + 1, np.array([[2.0, 0.3], [0.3, 1.0]])
    weights = np.random.default_rng(0).integers(1, 5, 60).astype(float)
    model = GaussianMixture(
        K,
        prior=NormalInverseWishart(shrinkage, mean, dof, scale),
        init_params=init_params,
        random_state=0,
        max_iter=0,
    )
    fit(model, X, sample_weight=weights)
    for weight, row, covariance in zip(
        model.weights_, model.means_, model.covariances_, strict=True
    ):
        place = int(np.abs(X - row).sum(axis=1).argmin())
        np.testing.assert_allclose(row, X[place], rtol=1e-12)
        counts = weights[place]
        assert weight == pytest.approx(counts / weights.sum(), rel=1e-12)
        pull = shrinkage * counts / (shrinkage + counts) * np.outer(row - mean, row - mean)
        np.testing.assert_allclose(covariance, (scale + pull) / (counts + dof + D + 2), rtol=1e-9)
    assert len(set(model.weights_)) > 1
