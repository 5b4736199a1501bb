"""Missing values: the likelihood of what was observed, and nothing else."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from conftest import (
    STARTS,
    TYPES,
    clusters,
    dense,
    fit,
    given_start,
    identity_precisions,
    relative_error,
)
from long_form import families, some_mixture
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning

from emgmm import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    GaussianMixture,
    UnobservedPairWarning,
)
from emgmm.covariances import FAMILIES, structure
from emgmm.covariances.conditional import invert
from emgmm.covariances.eigenvectors import CommonAxes
from emgmm.degeneracy import gain_left
from emgmm.estep import EStepForBlock, MissingEStep
from emgmm.estep import missing as module
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource
from emgmm.sources.block import Block
from emgmm.sources.sliced import SlicedSource

types = pytest.mark.parametrize("covariance_type", TYPES)
K, D = 3, 4
X = clusters(300, D, K, seed=1)


def with_holes(rows, share=0.25, seed=0):
    """Rows with a share of their entries missing completely at random."""
    holes = np.random.default_rng(seed).random(rows.shape) < share
    return np.where(holes, np.nan, rows)


Z = with_holes(X)


def model_of(covariance_type, rows=Z, **arguments):
    start = given_start(X[: len(rows)], K, covariance_type)
    return GaussianMixture(**{**start, "tol": 0, "max_iter": 25, **arguments})


def marginal_log_density(weights, means, covariances, rows):
    """Row by row, of what was observed, by scipy."""
    total = np.zeros(len(rows))
    for i, row in enumerate(rows):
        seen = np.flatnonzero(~np.isnan(row))
        if len(seen):
            total[i] = logsumexp(
                [
                    np.log(w)
                    + multivariate_normal(m[seen], c[np.ix_(seen, seen)]).logpdf(row[seen])
                    for w, m, c in zip(weights, means, covariances, strict=True)
                ]
            )
    return total


@families
def test_densities_are_scipys_marginals(family):
    _, mixture = some_mixture(family)
    expected = marginal_log_density(mixture.weights, mixture.means, mixture.dense_covariances(), Z)
    found = EStepForBlock(mixture, len(Z)).log_joint(Block(0, Z.T, complete=False))
    np.testing.assert_allclose(logsumexp(found, axis=0), expected, rtol=1e-11, atol=1e-11)


def statistics_in_long_form(mixture, rows, weights):
    """Mass, and first and second moments about zero, of rows that are completed one by one."""
    covariances = mixture.dense_covariances()
    n_components, n_features = mixture.means.shape
    mass = np.zeros(n_components)
    first = np.zeros((n_components, n_features))
    second = np.zeros((n_components, n_features, n_features))
    for row, weight in zip(rows, weights, strict=True):
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        if not len(o):
            continue
        joint = np.array(
            [
                np.log(w) + multivariate_normal(mean[o], c[np.ix_(o, o)]).logpdf(row[o])
                for w, mean, c in zip(mixture.weights, mixture.means, covariances, strict=True)
            ]
        )
        for k, share in enumerate(weight * np.exp(joint - logsumexp(joint))):
            c, mean = covariances[k], mixture.means[k]
            gain = c[np.ix_(m, o)] @ np.linalg.inv(c[np.ix_(o, o)])
            whole = row.copy()
            whole[m] = mean[m] + gain @ (row[o] - mean[o])
            rest = np.zeros((n_features, n_features))
            rest[np.ix_(m, m)] = c[np.ix_(m, m)] - gain @ c[np.ix_(o, m)]
            mass[k] += share
            first[k] += share * whole
            second[k] += share * (np.outer(whole, whole) + rest)
    return mass, first, second


@families
@pytest.mark.parametrize("weighted", [False, True])
def test_an_em_step_is_that_of_rows_completed_one_by_one(family, weighted):
    rows = Z.copy()
    rows[3] = np.nan  # tells nothing
    _, mixture = some_mixture(family)
    counts = np.random.default_rng(0).integers(0, 4, len(rows)) if weighted else np.ones(len(rows))
    mass, first, second = statistics_in_long_form(mixture, rows, counts)
    means = first / mass[:, None]
    scatters = second - mass[:, None, None] * np.einsum("ki,kj->kij", means, means)
    elements = np.array(
        [family.structure.weigh(np.linalg.cholesky(s), np.ones(D)) for s in scatters]
    )
    expected = family.estimate(family.pool(elements), mass, D)
    block = Block(0, rows.T, counts.astype(float) if weighted else None, False)
    statistics = MissingEStep(mixture).sums(block)
    assert statistics.weight == counts.sum()
    assert statistics.unseen == counts[3]
    np.testing.assert_allclose(statistics.counts, mass, rtol=1e-10)
    found = MStep(family, 0.0, np.dtype(float)).maximise(statistics)
    np.testing.assert_allclose(found.weights, mass / mass.sum(), rtol=1e-10)
    np.testing.assert_allclose(found.means, means, rtol=1e-9, atol=1e-10)
    # Axes in common are sought until the likelihood rests, which is at half of its digits.
    rtol = 1e-6 if isinstance(family, CommonAxes) else 1e-8
    np.testing.assert_allclose(found.covariances, expected, rtol=rtol, atol=rtol / 10)


@types
@pytest.mark.parametrize("init_params", STARTS)
def test_the_observed_likelihood_never_falls(covariance_type, init_params):
    model = GaussianMixture(
        K,
        covariance_type=covariance_type,
        init_params=init_params,
        reg_covar=0 if init_params in ("kmeans", "random") else 1e-9,
        tol=0,
        max_iter=60,
        random_state=0,
        break_symmetry=False,
    )
    objective = fit(model, Z).history_["objective"]
    assert np.diff(objective).min() > -1e-12 * np.abs(objective).max()
    if init_params != "short-runs":  # which may begin at rest
        assert objective[-1] > objective[0]


@types
def test_the_bound_is_the_score_is_the_mean_of_the_rows(covariance_type):
    rows = Z.copy()
    rows[:2] = np.nan
    model = fit(model_of(covariance_type), rows)
    each = model.score_samples(rows)
    np.testing.assert_allclose(each[:2], 0, atol=1e-14)
    assert model.lower_bound_ == pytest.approx(model.score(rows), rel=1e-12)
    assert model.lower_bound_ == pytest.approx(each.mean(), rel=1e-11)
    expected = marginal_log_density(model.weights_, model.means_, dense(model), rows)
    np.testing.assert_allclose(each, expected, rtol=1e-10, atol=1e-10)
    assert model.bic(rows) == pytest.approx(
        -2 * each.sum() + model.n_parameters() * np.log(len(rows)), rel=1e-11
    )
    np.testing.assert_allclose(model.predict_proba(rows)[0], model.weights_, rtol=1e-12)


@types
def test_a_row_that_tells_nothing_moves_nothing(covariance_type):
    silent = np.concatenate([Z, np.full((7, D), np.nan)])
    model, other = fit(model_of(covariance_type), Z), fit(model_of(covariance_type), silent)
    assert relative_error(model, other) < 1e-10
    assert other.weights_.sum() == pytest.approx(1)
    assert other.lower_bound_ == pytest.approx(model.lower_bound_ * len(Z) / len(silent))


@types
def test_a_missing_column_leaves_the_marginal_mixture(covariance_type):
    model = fit(model_of(covariance_type), X)
    kept = [0, 2, 3]
    marginal = GaussianMixture.from_parameters(
        model.weights_, model.means_[:, kept], covariances=dense(model)[:, kept][:, :, kept]
    )
    rows = X.copy()
    rows[:, 1] = np.nan
    np.testing.assert_allclose(
        model.score_samples(rows), marginal.score_samples(X[:, kept]), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(
        model.predict_proba(rows), marginal.predict_proba(X[:, kept]), atol=1e-10
    )
    np.testing.assert_array_equal(model.predict(rows), marginal.predict(X[:, kept]))


@types
def test_without_nan_nothing_is_different(covariance_type, monkeypatch):
    expected = fit(model_of(covariance_type), X)

    def refuse(*_):
        raise AssertionError("complete rows took the form for missing values")

    monkeypatch.setattr(module.MissingEStep, "__init__", refuse)
    again = fit(model_of(covariance_type), X)
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(expected, name))


@types
def test_few_holes_move_little(covariance_type):
    rows = X.copy()
    rows[0, 0] = np.nan
    error = relative_error(fit(model_of(covariance_type), rows), fit(model_of(covariance_type), X))
    assert 0 < error < 0.05


@types
def test_weights_count_rows_with_holes(covariance_type):
    counts = np.random.default_rng(3).integers(0, 4, len(Z))
    weighted = fit(model_of(covariance_type), Z, sample_weight=counts)
    repeated = fit(model_of(covariance_type), Z.repeat(counts, axis=0))
    assert relative_error(weighted, repeated) < 1e-10
    for name in ("score", "bic", "icl"):
        assert getattr(weighted, name)(Z, sample_weight=counts) == pytest.approx(
            getattr(weighted, name)(Z.repeat(counts, axis=0)), rel=1e-11
        )


@types
@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_an_offset_moves_the_means_and_nothing_else(covariance_type, offset):
    start = {"tol": 0, "max_iter": 10, "reg_covar": 0}
    here = fit(model_of(covariance_type, **start), Z)
    there = model_of(covariance_type, **start)
    there.set_params(means_init=there.means_init + offset)
    fit(there, Z + offset)
    np.testing.assert_allclose(there.means_ - offset, here.means_, atol=1e-8)
    np.testing.assert_allclose(there.covariances_, here.covariances_, rtol=1e-7, atol=1e-8)


@types
def test_single_precision_rows(covariance_type):
    single = fit(model_of(covariance_type), Z.astype(np.float32))
    assert single.means_.dtype == np.float32
    assert relative_error(single, fit(model_of(covariance_type), Z)) < 1e-3
    assert single.impute(Z.astype(np.float32)).dtype == np.float32


@types
@pytest.mark.parametrize("entries", [1, 100])
def test_patterns_may_come_in_batches(covariance_type, entries, monkeypatch):
    whole = fit(model_of(covariance_type), Z)
    monkeypatch.setattr(module, "BATCH_ENTRIES", entries)
    monkeypatch.setattr(module, "DEVIATIONS", 1)
    assert relative_error(fit(model_of(covariance_type), Z), whole) < 1e-10


@pytest.mark.parametrize("source", ["memory", "file"])
def test_a_source_hands_out_rows_with_one_pattern_together(source, tmp_path):
    if source == "memory":
        rows = ArraySource(Z, complete=False)
    else:
        np.save(tmp_path / "rows.npy", Z)
        rows = SlicedSource(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    blocks = list(rows.blocks(50))
    assert max(block.rows.shape[1] for block in blocks) == 50
    numbers = np.concatenate([block.numbers for block in blocks])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(len(Z)))
    patterns = np.isnan(Z[numbers])
    runs = 1 + (patterns[1:] != patterns[:-1]).any(axis=1).sum()
    assert runs == len(np.unique(patterns, axis=0))
    for block in blocks:
        np.testing.assert_array_equal(block.rows.T, Z[block.place])


def test_rows_need_not_come_sorted():
    _, mixture = some_mixture(FAMILIES["full"])
    form = MissingEStep(mixture)
    order = np.random.default_rng(0).permutation(len(Z))
    np.testing.assert_allclose(
        form.log_joint(Z[order].T), form.log_joint(Z.T)[:, order], rtol=1e-12, atol=1e-12
    )


def test_more_features_than_a_word_has_bits():
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 70))
    rows[random.random(rows.shape) < 0.05] = np.nan
    model = fit(GaussianMixture(1, covariance_type="diag", reg_covar=0, max_iter=2), rows)
    np.testing.assert_allclose(model.means_[0], np.nanmean(rows, axis=0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.covariances_[0], np.nanvar(rows, axis=0), rtol=1e-1)


def test_a_known_mixture_is_recovered_where_filling_in_means_is_not():
    random = np.random.default_rng(4)
    n_rows = 6000
    means = np.array([[0.0, 0.0, 0.0], [4.0, 4.0, 4.0]])
    factor = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.5, 0.5, np.sqrt(0.5)]])
    labels = random.random(n_rows) < 0.4
    rows = means[labels.astype(int)] + random.normal(size=(n_rows, 3)) @ factor.T
    holes = with_holes(rows, 0.3, seed=5)
    start = {"n_components": 2, "means_init": means, "tol": 1e-9, "max_iter": 500, "reg_covar": 0}
    ours = fit(GaussianMixture(**start), holes)
    filled = fit(
        GaussianMixture(**start), np.where(np.isnan(holes), np.nanmean(holes, axis=0), holes)
    )
    held = np.array([0.6, 0.4]) * n_rows * 0.7  # rows that tell of one feature of one component
    mean_errors = 1 / np.sqrt(held)[:, None]
    # A covariance rests on the rows that have both features.
    truth = factor @ factor.T
    variance = truth**2 + np.outer(np.diag(truth), np.diag(truth))
    covariance_errors = np.sqrt(variance / (0.7 * held[:, None, None]))

    def worst(model):
        return max(
            (np.abs(model.means_ - means) / mean_errors).max(),
            (np.abs(model.covariances_ - truth) / covariance_errors).max(),
        )

    assert worst(ours) < 3
    assert worst(filled) > 10


@types
def test_conditional_means_fill_in_what_is_missing(covariance_type):
    rows = Z.copy()
    rows[5] = np.nan
    model = fit(model_of(covariance_type), rows)
    imputed = model.impute(rows)
    np.testing.assert_array_equal(imputed[~np.isnan(rows)], rows[~np.isnan(rows)])
    shares, covariances = model.predict_proba(rows), dense(model)
    for i in (0, 5, 17, 40):
        o, m = np.flatnonzero(~np.isnan(rows[i])), np.flatnonzero(np.isnan(rows[i]))
        expected = np.zeros(len(m))
        for k in range(K):
            c, mean = covariances[k], model.means_[k]
            gain = c[np.ix_(m, o)] @ np.linalg.inv(c[np.ix_(o, o)])
            expected += shares[i, k] * (mean[m] + gain @ (rows[i, o] - mean[o]))
        np.testing.assert_allclose(imputed[i, m], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(model.impute(X), X)


@types
def test_draws_have_the_conditional_distribution(covariance_type):
    model = fit(model_of(covariance_type), X)
    row = X[0].copy()
    row[[1, 3]] = np.nan
    n_draws = 20_000
    draws = model.impute(np.tile(row, (n_draws, 1)), sample=True, random_state=0)
    np.testing.assert_array_equal(draws[:, [0, 2]], np.tile(row[[0, 2]], (n_draws, 1)))
    mean = model.impute(row[None])[0]
    error = draws.std(axis=0) / np.sqrt(n_draws)
    assert (np.abs(draws.mean(axis=0) - mean)[[1, 3]] < 4 * error[[1, 3]]).all()
    shares, covariances = model.predict_proba(row[None])[0], dense(model)
    o, m = [0, 2], [1, 3]
    second = np.zeros((2, 2))
    for k in range(K):
        c, centre = covariances[k], model.means_[k]
        gain = c[np.ix_(m, o)] @ np.linalg.inv(c[np.ix_(o, o)])
        away = centre[m] + gain @ (row[o] - centre[o]) - mean[m]
        second += shares[k] * (c[np.ix_(m, m)] - gain @ c[np.ix_(o, m)] + np.outer(away, away))
    np.testing.assert_allclose(
        np.cov(draws[:, m].T), second, rtol=0.06, atol=0.06 * np.abs(second).max()
    )


def test_draws_follow_the_random_state_and_the_row():
    model = fit(model_of("full"), Z)
    one = model.impute(Z, sample=True, random_state=1)
    np.testing.assert_array_equal(one, model.impute(Z, sample=True, random_state=1))
    assert not np.array_equal(one, model.impute(Z, sample=True, random_state=2))
    model.set_params(random_state=1)
    np.testing.assert_array_equal(one, model.impute(Z, sample=True))


@pytest.mark.parametrize("name", STARTS)
@types
def test_starts_cope(name, covariance_type):
    model = GaussianMixture(
        K, covariance_type=covariance_type, init_params=name, max_iter=0, random_state=0
    )
    model.fit(with_holes(X, 0.5))
    assert np.isfinite(model.means_).all()
    assert (np.linalg.eigvalsh(dense(model)) > 0).all()


def test_a_start_by_labels_has_the_moments_of_what_was_observed():
    labels = np.arange(len(Z)) % K
    model = GaussianMixture(
        K, covariance_type="diag", max_iter=0, init_params=lambda *_: labels, reg_covar=0
    ).fit(Z)
    for k in range(K):
        own = Z[labels == k]
        np.testing.assert_allclose(model.means_[k], np.nanmean(own, axis=0), rtol=1e-10)
        np.testing.assert_allclose(model.covariances_[k], np.nanvar(own, axis=0), rtol=1e-10)


def test_a_callable_is_handed_the_rows_as_they_are():
    seen = []

    def start(rows, n_components, random_state):
        seen.append(rows.copy())
        return X[:n_components]

    fit(GaussianMixture(K, init_params=start), Z)
    np.testing.assert_array_equal(seen[0], Z)


@types
def test_components_that_coincide_are_parted(covariance_type):
    rows = with_holes(clusters(400, 3, 2, seed=2, spread=6.0), 0.15)
    start = {"means_init": np.full((2, 3), 1.0), "weights_init": [0.5, 0.5], "random_state": 0}
    model = GaussianMixture(2, covariance_type=covariance_type, tol=1e-6, max_iter=500, **start)
    model.set_params(precisions_init=identity_precisions(covariance_type, 2, 3, scale=20.0))
    with pytest.warns(CoincidentComponentsWarning, match="split"):
        model.fit(rows)
    plain = GaussianMixture(2, covariance_type=covariance_type, tol=1e-6, random_state=0)
    assert model.lower_bound_ > fit(plain, rows).lower_bound_ - 1e-3


@types
def test_the_report_and_the_accelerated_fit(covariance_type):
    model = model_of(covariance_type, acceleration="anderson", tol=1e-9, max_iter=500)
    fit(model, Z)
    plain = fit(model_of(covariance_type, tol=1e-9, max_iter=2000), Z)
    assert model.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-6)
    report = model.diagnose(Z, certify=True)
    assert report.verdict.name == "LOCAL_MAXIMUM"
    assert report.mass.sum() == pytest.approx(len(Z))


def test_a_feature_never_observed_is_an_error():
    rows = X.copy()
    rows[:, 2] = np.nan
    with pytest.raises(ValueError, match=r"Feature 2, counted from 0, is missing in every row"):
        GaussianMixture(2).fit(rows)
    weights = np.ones(len(X))
    rows[0, 2], weights[0] = 1.0, 0.0  # observed, in a row that does not count
    with pytest.raises(ValueError, match="Feature 2"):
        GaussianMixture(2).fit(rows, sample_weight=weights)


def test_a_pair_never_observed_together_is_warned_of():
    rows = X.copy()
    rows[:150, 0] = np.nan
    rows[150:, 2] = np.nan
    model = model_of("full")
    with pytest.warns(ConvergenceWarning), pytest.warns(UnobservedPairWarning) as caught:
        model.fit(rows)
    (pair,) = [w.message for w in caught if isinstance(w.message, UnobservedPairWarning)]
    assert pair.features == ((0, 2),)
    for family, table in [("diag", rows), ("spherical", rows), ("full", X)]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model_of(family).fit(table)
        assert not [w for w in caught if issubclass(w.category, UnobservedPairWarning)]


def test_infinity_stays_an_error():
    rows = Z.copy()
    rows[9, 3] = -np.inf
    for act in (GaussianMixture(2).fit, fit(model_of("full"), Z).predict):
        with pytest.raises(ValueError, match=r"infinity.* row 9, column 3"):
            act(rows)


# -- many patterns, and covariances near singularity ---------------------------------------------
@pytest.mark.parametrize("size", [1, 3, 8, 9, 20])
def test_stacks_of_positive_definite_matrices_are_inverted(size):
    factors = np.random.default_rng(size).normal(size=(3, 5, size, 2 * size))
    matrices = factors @ factors.swapaxes(-1, -2)
    stacked = np.moveaxis(matrices, 1, -1).copy()
    log_dets = invert(stacked)
    np.testing.assert_allclose(np.moveaxis(stacked, -1, 1), np.linalg.inv(matrices), rtol=1e-9)
    np.testing.assert_allclose(log_dets, np.linalg.slogdet(matrices)[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("near_singular", [0.0, structure.NEAR_SINGULAR])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.85])
def test_every_row_may_have_its_own_pattern(covariance_type, near_singular, share, monkeypatch):
    monkeypatch.setattr(structure, "NEAR_SINGULAR", near_singular)  # 0: all are taken to be
    random = np.random.default_rng(0)
    n_features = 21
    covariances = np.array([np.cov(random.normal(size=(n_features, 90))) for _ in range(2)])
    if covariance_type == "tied":
        covariances[:] = covariances[0]
    public = covariances[0] if covariance_type == "tied" else covariances
    weights, means = np.array([0.3, 0.7]), random.normal(size=(2, n_features))
    rows = random.normal(size=(60, n_features))
    rows[random.random(rows.shape) < share] = np.nan
    rows[40:58, 3:] = np.nan  # and many have the same one
    mixture = Mixture.of(weights, means, public, FAMILIES[covariance_type])
    form = MissingEStep(mixture)
    expected = marginal_log_density(weights, means, covariances, rows)
    np.testing.assert_allclose(form.log_densities(rows.T), expected, rtol=1e-11, atol=1e-11)
    mass, first, second = statistics_in_long_form(mixture, rows, np.ones(len(rows)))
    found = form.sums(Block(0, rows.T, None, False))
    about = second - np.einsum("ki,kj->kij", first, means)
    about -= np.einsum("ki,kj->kij", means, first - mass[:, None] * means)
    np.testing.assert_allclose(found.counts, mass, rtol=1e-10)
    np.testing.assert_allclose(
        found.first_moment, first - mass[:, None] * means, rtol=1e-9, atol=1e-10
    )
    scatter = about.sum(axis=0) if covariance_type == "tied" else about
    np.testing.assert_allclose(found.scatter, scatter, rtol=1e-9, atol=1e-9)


exactly = np.vectorize(Fraction, otypes=[object])


def inverse_and_determinant(matrix):
    """Of a matrix of fractions, by Gauss and Jordan, without an error."""
    left, right, determinant = matrix.copy(), exactly(np.eye(len(matrix))), Fraction(1)
    for j in range(len(matrix)):
        determinant *= left[j, j]
        right[j] = right[j] / left[j, j]
        left[j] = left[j] / left[j, j]
        for i in set(range(len(matrix))) - {j}:
            right[i] = right[i] - left[i, j] * right[j]
            left[i] = left[i] - left[i, j] * left[j]
    return right, determinant


def log_of(fraction):
    return math.log(fraction.numerator) - math.log(fraction.denominator)


def exact_conditionals(mixture, rows):
    """(K, n) log-joint, and for each row and component E(d) and E(d d^T), in fractions."""
    K, n_features = mixture.means.shape
    joint = np.empty((K, len(rows)))
    first, second = np.empty((K, *rows.shape)), np.empty((K, *rows.shape, n_features))
    for k, precision_cholesky in enumerate(map(exactly, mixture.each_precision_cholesky)):
        covariance, _ = inverse_and_determinant(precision_cholesky @ precision_cholesky.T)
        for i, row in enumerate(rows):
            o = np.flatnonzero(~np.isnan(row))
            inverse, determinant = inverse_and_determinant(covariance[np.ix_(o, o)])
            deviations = exactly(row[o]) - exactly(mixture.means[k, o])
            pulls = inverse @ deviations
            whole = covariance[:, o] @ pulls
            rest = covariance - covariance[:, o] @ inverse @ covariance[o]
            square = float(deviations @ pulls)
            joint[k, i] = math.log(mixture.weights[k]) - 0.5 * (
                square + log_of(determinant) + len(o) * math.log(2 * math.pi)
            )
            first[k, i], second[k, i] = whole, np.outer(whole, whole) + rest
    return joint, first, second


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("least", [1e-1, 1e-4, 1e-7, 1e-10, 1e-13])
def test_conditionals_near_singularity_are_those_of_fractions(covariance_type, least):
    random = np.random.default_rng(1)
    factors = random.normal(size=(K, D, D))
    factors[:, 3] = factors[:, 0] + factors[:, 1]
    covariances = factors @ factors.swapaxes(1, 2) + least * np.eye(D)
    if covariance_type == "tied":
        covariances[:] = covariances[0]
    public = covariances[0] if covariance_type == "tied" else covariances
    means = 2 * random.normal(size=(K, D))
    mixture = Mixture.of(np.array([0.2, 0.3, 0.5]), means, public, FAMILIES[covariance_type])
    labels = random.integers(K, size=40)
    rows = np.array([random.multivariate_normal(means[k], covariances[k]) for k in labels])
    holes = random.random(rows.shape) < 0.4
    rows[holes & ~holes.all(axis=1, keepdims=True)] = np.nan
    joint, first, second = exact_conditionals(mixture, rows)
    form = MissingEStep(mixture)
    # A whitener has a relative error of the root of the covariance's condition number.
    rtol = 1e-12 + 1e-16 / np.sqrt(least) * 100
    np.testing.assert_allclose(form.log_joint(rows.T), joint, rtol=rtol, atol=rtol)
    shares = random.random((K, len(rows)))
    found = form.statistics(Block(0, rows.T, None, False), shares)
    expected = np.einsum("kn,knij->kij", shares, second)
    scale = np.sqrt(np.einsum("kii->ki", expected))
    errors = found.first_moment - np.einsum("kn,kni->ki", shares, first)
    assert np.abs(errors / scale).max() < rtol
    errors = found.scatter - (expected.sum(axis=0) if covariance_type == "tied" else expected)
    assert np.abs(errors / (scale[:, :, None] * scale[:, None])).max() < rtol


def two_amounts_and_their_total(seed):
    """200 rows, in units in which the ridge is near rounding."""
    random = np.random.default_rng(seed)
    first, second = random.lognormal(10, 1, size=(2, 200))
    rows = np.column_stack([first, second, first + second])
    rows[random.random(rows.shape) < 0.3] = np.nan
    return rows[~np.isnan(rows).all(axis=1)]


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_two_amounts_and_their_total(seed):
    rows = two_amounts_and_their_total(seed)
    model = fit(GaussianMixture(3, random_state=seed, reg_covar=1e-2), rows)
    joint, _, _ = exact_conditionals(model._mixture(), rows[:40])
    expected = logsumexp(joint, axis=0)
    np.testing.assert_allclose(model.score_samples(rows[:40]), expected, rtol=1e-5, atol=1e-5)


def test_amounts_in_which_the_ridge_is_lost_are_fitted_or_refused_in_our_words():
    rows, refused = two_amounts_and_their_total(25), ""
    try:
        fit(GaussianMixture(3, random_state=25), rows)
    except ValueError as error:  # whether there is one depends on the rounding of a start
        refused = str(error)
    assert not refused or "ill-defined empirical covariance" in refused


@pytest.mark.parametrize("seed", [39, 59, 71])
def test_a_component_that_collapses_ends_the_fit_before_the_likelihood_falls(seed):
    # Inverses of parts of the precision let the likelihood fall by up to 15 nats on the way.
    random = np.random.default_rng(seed)
    n_features, n_rows, n_components = (random.integers(*r) for r in ((2, 5), (20, 60), (2, 4)))
    rows = random.normal(size=(n_rows, n_features))
    if seed == 39:
        rows = np.round(rows)
    else:
        rows[: n_rows // 3, 0] = 1.0
    rows[random.random(rows.shape) < 0.3] = np.nan
    model = GaussianMixture(
        int(n_components), reg_covar=0, tol=0, max_iter=300, random_state=seed, break_symmetry=False
    )
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        model.fit(rows)


# -- a collapse, and what is left to gain --------------------------------------------------------
def two_clusters(covariance_type, share, *, collapsed):
    """Rows from two clusters, of which the second does not vary where it may collapse."""
    random = np.random.default_rng(1)
    rows = random.normal(size=(300, 3))
    rows[150:] += 8.0
    if collapsed:
        if covariance_type == "spherical":
            rows[150:] = 8.0
        else:
            rows[150:, 0] = 8.0
        if covariance_type == "tied":
            rows[:150, 0] = 0.0
    rows[random.random(300) < share, 0] = np.nan
    rows[random.random(300) < 0.1, 1] = np.nan
    return rows


@types
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.6, 0.9])
def test_a_collapse_is_noticed_whatever_is_missing(covariance_type, share):
    model = GaussianMixture(
        2, covariance_type=covariance_type, tol=1e-5, max_iter=2000, random_state=0
    )
    rows = two_clusters(covariance_type, share, collapsed=True)
    with pytest.warns(CollapsedComponentWarning) as caught:
        model.fit(rows)
    collapsed = int(np.argmax(model.means_[:, 2]))
    expected = (0, 1) if covariance_type == "tied" else (collapsed,)
    (warning,) = [w.message for w in caught if isinstance(w.message, CollapsedComponentWarning)]
    assert warning.components == expected
    assert model.diagnose(rows).collapsed == list(expected)
    if covariance_type == "full":  # the ridge of 1e-6 returns with what is missing
        missing = np.isnan(rows[150:, 0]).mean()
        variance = model.covariances_[collapsed, 0, 0]
        assert variance == pytest.approx(1e-6 / (1 - missing), rel=0.05)
    healthy = two_clusters(covariance_type, share, collapsed=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapsedComponentWarning)
        model.fit(healthy)
    assert model.diagnose(healthy).collapsed == []


@pytest.mark.parametrize("ridge", [1e-6, 1e-9])
@pytest.mark.parametrize("share", [0.0, 0.02])
@pytest.mark.parametrize("covariance_type", ["EVI", "EVE", "EVV"])
def test_a_ridge_that_is_scaled_to_the_common_volume_hides_no_collapse(
    covariance_type, share, ridge
):
    rows = two_clusters(covariance_type, share, collapsed=True)
    model = GaussianMixture(
        2, covariance_type=covariance_type, reg_covar=ridge, tol=1e-6, max_iter=500, random_state=0
    )
    with pytest.warns(CollapsedComponentWarning):
        model.fit(rows)
    collapsed = int(np.argmax(model.means_[:, 2]))
    assert model.diagnose(rows).collapsed == [collapsed]


@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
def test_a_feature_that_a_component_never_observed_is_no_collapse():
    rows = two_clusters("full", 0.0, collapsed=False)
    rows[150:, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapsedComponentWarning)
        for covariance_type in ("full", "diag"):
            GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows)


@pytest.mark.parametrize(
    ("objectives", "left"),
    [
        ((0.0, 1.0, 1.5), 0.5),
        ((0.0, -1.0, -1.5), 0.0),  # on the way to -2
        ((0.0, -1.0, -2.5), 0.0),  # falls faster and faster
        ((0.0, -0.5, 0.5), 0.0),
        ((0.0, 1.0, 2.5), np.inf),  # leaves a saddle
        ((0.0, 0.0, 0.0), np.nan),
        ((1.0, 2.0), np.nan),
    ],
)
def test_what_is_left_to_gain_is_never_negative(objectives, left):
    np.testing.assert_equal(gain_left(objectives), left)


def test_a_fit_whose_ridge_lowers_the_likelihood_has_nothing_left_to_gain():
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2)) * [1.0, 1e-2]
    rows[random.random(rows.shape) < 0.3] = np.nan
    rows = rows[~np.isnan(rows).all(axis=1)]
    exact = fit(GaussianMixture(1, reg_covar=0, tol=1e-12, max_iter=5000), rows)
    model = GaussianMixture(
        1,
        reg_covar=1e-4,
        means_init=exact.means_,
        precisions_init=exact.precisions_,
        weights_init=[1.0],
        tol=1e-9,
        max_iter=8,
    )
    fit(model, rows)
    assert np.diff(model.lower_bounds_).max() < 0  # it falls to where the ridge leads
    assert model.remaining_gain_ == 0
    assert model.diagnose(rows).remaining_gain == 0


@types
@pytest.mark.parametrize("arguments", [{}, {"noise": "uniform"}, {"prior": "conjugate"}])
def test_no_floating_point_error_whatever_is_raised(covariance_type, arguments):
    rows = clusters(120, 3, 3, seed=1, spread=60.0)
    rows[np.random.default_rng(1).random(rows.shape) < 0.2] = np.nan
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0, **arguments)
    with np.errstate(all="raise"):
        fit(model, rows)
        shares = model.predict_proba(rows)
        assert np.isfinite(model.impute(rows)).all()
        assert np.isfinite(model.score(rows))
        model.diagnose(rows)
    assert shares.min() < 1e-154  # whose square underflows


@pytest.mark.parametrize("ratio", [1e-20, 1e-40, 1e-60])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_rows_without_observed_values_have_no_part_in_empty_counts(covariance_type, ratio):
    """A row of which nothing was observed weighs more than the others by many orders."""
    rows = np.vstack([clusters(60, 2, 2), [[np.nan, np.nan]]])
    weights = np.r_[np.full(60, ratio), 1.0]
    start = {**given_start(rows[:60], 2, covariance_type), "tol": 0, "max_iter": 5}
    model = fit(GaussianMixture(**start), rows, sample_weight=weights)
    assert model.weights_.sum() == pytest.approx(1, rel=1e-12)
    alone = fit(GaussianMixture(**start), rows[:60])
    np.testing.assert_allclose(model.weights_, alone.weights_, rtol=1e-9)
    np.testing.assert_allclose(model.means_, alone.means_, rtol=1e-9)
