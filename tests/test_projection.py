"""The projection that separates components: R's mclust, scikit-learn's checks and definitions."""

from __future__ import annotations

import json
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from conftest import clusters, dense, fit
from matplotlib import pyplot as plt
from mclust import HERE, rows
from scipy.linalg import eigh
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from emgmm import (
    GaussianMixture,
    GaussianMixtureDisplay,
    GaussianMixtureIC,
    GaussianMixtureProjection,
    blocks,
)

CASES = json.loads((HERE / "mclust_dr.json").read_text())["cases"]


def name_of(case):
    return f"{case['data']}-{case['fit']}-{case['lambda']}"


@pytest.fixture
def fitted(iris):
    return fit(GaussianMixture(3, covariance_type="VEV", random_state=0), iris)


@pytest.mark.all_cases
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_directions_are_mclusts(case):
    K = len(case["weights"])
    X = rows(case["data"])
    model = GaussianMixture.from_parameters(
        case["weights"], np.reshape(case["means"], (K, -1)), covariances=case["covariances"]
    )
    projection = GaussianMixtureProjection(model, mean_share=float(case["lambda"]))
    if not case["numdir"]:
        with pytest.raises(ValueError, match="do not differ in any direction"):
            projection.fit(X)
        return
    projected = projection.fit_transform(X)
    theirs = np.array(case["basis"]).T
    signs = np.sign((theirs * projection.components_).sum(axis=1))
    np.testing.assert_allclose(signs[:, None] * projection.components_, theirs, atol=1e-9)
    eigenvalues = case["eigenvalues"][: case["numdir"]]
    np.testing.assert_allclose(projection.eigenvalues_, eigenvalues, atol=1e-11)
    np.testing.assert_allclose((signs * projected)[::10], case["projected"], atol=1e-9)


WEIGHTS = {"check_sample_weight_equivalence_on_dense_data": "k-means draws rows, not weights"}


@pytest.mark.all_cases
@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [GaussianMixtureProjection(GaussianMixture(2, random_state=0), n_components=1)],
    expected_failed_checks=lambda _: WEIGHTS,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_the_covariance_may_be_that_of_the_mixture(fitted, iris):
    """In long form, as a generalized eigenvalue problem."""
    projection = GaussianMixtureProjection(fitted, mean_share=0.3).fit()
    weights, means, covariances = fitted.weights_, fitted.means_, dense(fitted)
    mean = weights @ means
    of_means = sum(w * np.outer(m - mean, m - mean) for w, m in zip(weights, means, strict=True))
    within = sum(w * c for w, c in zip(weights, covariances, strict=True))
    inverse = np.linalg.inv(of_means + within)
    kernel = 2 * 0.3 * of_means @ inverse @ of_means
    for w, c in zip(weights, covariances, strict=True):
        kernel += 2 * 0.7 * w * (c - within) @ inverse @ (c - within)
    eigenvalues, vectors = eigh(kernel, of_means + within)
    np.testing.assert_allclose(projection.eigenvalues_, eigenvalues[::-1], rtol=1e-9)
    vectors = (vectors / np.linalg.norm(vectors, axis=0)).T[::-1]
    agreement = np.abs((vectors * projection.components_).sum(axis=1))
    np.testing.assert_allclose(agreement, 1, rtol=1e-10)
    scaled = projection.components_ * np.sqrt(np.diag(of_means + within))
    largest = np.abs(scaled).argmax(axis=1)
    assert (scaled[np.arange(len(scaled)), largest] > 0).all()
    np.testing.assert_allclose(projection.transform([mean]), 0, atol=1e-12)
    np.testing.assert_allclose(
        projection.transform(iris), (iris - mean) @ projection.components_.T, atol=1e-12
    )


def test_a_fitted_model_is_used_as_it_is_and_a_clone_is_fitted_again(fitted, iris):
    species = np.repeat([0, 1, 2], 50)
    steps = GaussianMixtureProjection(fitted, n_components=2), LinearDiscriminantAnalysis()
    pipeline = make_pipeline(*steps).fit(iris, species)
    assert pipeline[0].model_ is fitted
    expected = steps[0].fit(iris).transform(iris)
    by_hand = LinearDiscriminantAnalysis().fit(expected, species)
    np.testing.assert_array_equal(pipeline.predict(iris), by_hand.predict(expected))
    assert pipeline.score(iris, species) > 0.9
    again = clone(pipeline[0]).fit(iris[::2])
    assert again.model_ is not fitted
    assert again.model_.score(iris[::2]) == pytest.approx(
        clone(fitted).fit(iris[::2]).score(iris[::2])
    )
    assert not hasattr(again.model, "means_")
    frozen = GaussianMixtureProjection(FrozenEstimator(fitted), n_components=2)
    assert clone(frozen).fit(iris[::2]).model_ is fitted
    for each in (steps[0], frozen):
        pipeline = make_pipeline(each, LinearDiscriminantAnalysis())
        assert cross_val_score(pipeline, iris, species, error_score="raise").min() > 0.8


def test_a_selected_model_is_projected(iris):
    search = GaussianMixtureIC(3, covariance_type="VEV", random_state=0).fit(iris)
    projection = GaussianMixtureProjection(search).fit(iris)
    expected = GaussianMixtureProjection(search.best_estimator_).fit(iris)
    np.testing.assert_array_equal(projection.components_, expected.components_)


def test_the_inverse_is_the_best_linear_prediction(fitted, iris):
    projection = GaussianMixtureProjection(fitted, n_components=2).fit(iris)
    coordinates = projection.transform(iris)
    coefficients = np.linalg.lstsq(coordinates, iris - iris.mean(axis=0))[0]
    found = projection.inverse_transform(coordinates)
    np.testing.assert_allclose(found, coordinates @ coefficients + iris.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(projection.transform(found), coordinates, atol=1e-12)
    whole = GaussianMixtureProjection(fitted).fit(iris)
    assert len(whole.components_) == 4
    np.testing.assert_allclose(whole.inverse_transform(whole.transform(iris)), iris, atol=1e-11)
    with pytest.raises(ValueError, match="X has 4 columns, but there are 2 directions"):
        projection.inverse_transform(iris)


def test_eigenvalues_and_coordinates_do_not_depend_on_units(fitted, iris):
    units = np.array([1e-4, 1.0, 1e3, 7.0])
    moved = GaussianMixture.from_parameters(
        fitted.weights_,
        fitted.means_ * units + 9,
        covariances=dense(fitted) * np.outer(units, units),
    )
    one = GaussianMixtureProjection(fitted).fit(iris)
    other = GaussianMixtureProjection(moved).fit(iris * units + 9)
    np.testing.assert_allclose(other.eigenvalues_, one.eigenvalues_, rtol=1e-9)
    scaled = [
        each / each.std(axis=0) for each in (one.transform(iris), other.transform(iris * units + 9))
    ]
    np.testing.assert_allclose(scaled[1], scaled[0], atol=1e-8)


@pytest.fixture(scope="module")
def incomplete():
    random = np.random.default_rng(2)
    X = np.vstack([clusters(200, 3, 3, spread=2.0), random.uniform(-12, 12, (20, 3))])
    X[random.uniform(size=X.shape) < 0.15] = np.nan
    model = fit(GaussianMixture(3, noise="uniform", random_state=0), X)
    return SimpleNamespace(model=model, X=X, weights=random.integers(3, size=len(X)))


def test_moments_of_incomplete_rows_are_expected_ones_without_noise(incomplete):
    """In long form: conditional means and covariances of each row and component."""
    model, X, weights = incomplete.model, incomplete.X, incomplete.weights
    z = model.predict_proba(X)
    total, mean, second = 0.0, np.zeros(3), np.zeros((3, 3))
    for i, row in enumerate(X):
        hole = np.isnan(row)
        if hole.all():
            continue
        for k in range(3):
            S, expected, spread = model.covariances_[k], row.copy(), np.zeros((3, 3))
            gain = S[np.ix_(hole, ~hole)] @ np.linalg.inv(S[np.ix_(~hole, ~hole)])
            expected[hole] = model.means_[k][hole] + gain @ (row - model.means_[k])[~hole]
            spread[np.ix_(hole, hole)] = S[np.ix_(hole, hole)] - gain @ S[np.ix_(~hole, hole)]
            own = weights[i] * z[i, k]
            total += own
            mean += own * expected
            second += own * (np.outer(expected, expected) + spread)
    projection = GaussianMixtureProjection(model).fit(X, sample_weight=weights)
    np.testing.assert_allclose(projection.mean_, mean / total, rtol=1e-10)
    covariance = second / total - np.outer(mean, mean) / total**2
    np.testing.assert_allclose(projection.covariance_, covariance, rtol=1e-9)
    filled = model.impute(X)
    np.testing.assert_allclose(projection.transform(X), projection.transform(filled), atol=1e-10)


def test_no_arrangement_of_rows_matters(incomplete):
    model, X, weights = incomplete.model, incomplete.X, incomplete.weights
    expected = GaussianMixtureProjection(model).fit(np.repeat(X, weights, axis=0))
    coordinates = expected.transform(X)
    halves = blocks([X[:100], X[100:]])
    lazy = da.from_array(X, chunks=(70, 3))
    for own, of_rows in (
        (X, weights),
        (halves, blocks([weights[:100], weights[100:]])),
        (lazy, da.from_array(weights, chunks=70)),
    ):
        found = GaussianMixtureProjection(model).fit(own, sample_weight=of_rows)
        np.testing.assert_allclose(found.components_, expected.components_, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(
        np.concatenate([*expected.transform(halves)]), coordinates, atol=1e-9
    )
    assert isinstance(expected.transform(lazy), da.Array)
    np.testing.assert_allclose(expected.transform(lazy).compute(), coordinates, atol=1e-9)


def test_noise_has_no_part_in_the_directions(incomplete):
    model = incomplete.model
    alone = GaussianMixture.from_parameters(
        model.weights_ / model.weights_.sum(), model.means_, covariances=model.covariances_
    )
    found, expected = (GaussianMixtureProjection(each).fit() for each in (model, alone))
    np.testing.assert_allclose(found.components_, expected.components_, atol=1e-12)
    np.testing.assert_allclose(found.eigenvalues_, expected.eigenvalues_, rtol=1e-12)


@pytest.mark.parametrize("extra", ["constant", "rounding", "sum"])
def test_a_singular_covariance_has_the_directions_of_its_range(extra, iris):
    rows = iris[:, :3]
    more = {
        "constant": np.full(150, -1 / 3),
        "rounding": 1e3 / 3 + np.tile([0.0, np.spacing(1e3 / 3)], 75),
        "sum": rows @ [1.0, -2.0, 0.5],
    }[extra]
    weights = np.random.default_rng(0).uniform(size=150)
    wide = np.column_stack([rows, more])
    labels = np.repeat([0, 1, 2], 50)
    setting = {"n_components": 3, "max_iter": 1, "reg_covar": 1e-6, "init_params": labels}
    narrow = GaussianMixtureProjection(fit(GaussianMixture(**setting), rows)).fit(
        rows, None, weights
    )
    found = GaussianMixtureProjection(fit(GaussianMixture(**setting), wide)).fit(
        wide, None, weights
    )
    assert found.components_.shape == (3, 4)
    if extra != "sum":
        np.testing.assert_array_equal(found.components_[:, 3], 0)
    scaled = [e / e.std(axis=0) for e in (narrow.transform(rows), found.transform(wide))]
    signs = np.sign((scaled[0] * scaled[1]).sum(axis=0))
    np.testing.assert_allclose(signs * scaled[1], scaled[0], atol=1e-3)
    np.testing.assert_allclose(found.inverse_transform(found.transform(wide)), wide, atol=1e-6)


def test_a_variance_that_rounding_makes_negative_is_zero(iris):
    weights = np.random.default_rng(0).uniform(size=150)
    for constant in (-1 / 3, 1 / 3, 0.1, 1e3 / 7):
        wide = np.column_stack([iris[:, :3], np.full(150, constant)])
        model = fit(GaussianMixture(3, max_iter=1, random_state=0), wide)
        found = GaussianMixtureProjection(model).fit(wide, sample_weight=weights)
        np.testing.assert_array_equal(found.components_[:, 3], 0)


def test_names_of_features(fitted, iris):
    table = pd.DataFrame(iris, columns=["a", "b", "c", "d"])
    model = clone(fitted).fit(table)
    projection = GaussianMixtureProjection(model, n_components=2).set_output(transform="pandas")
    found = projection.fit_transform(table)
    names = [f"gaussianmixtureprojection{j}" for j in range(2)]
    assert list(found.columns) == names == list(projection.get_feature_names_out())
    assert list(projection.feature_names_in_) == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names should match"):
        projection.transform(table[["b", "a", "c", "d"]])
    projection.model = fitted
    assert not hasattr(projection.fit(), "feature_names_in_")


def test_bad_arguments_are_named(fitted, iris):
    one = fit(GaussianMixture(1), iris)
    for model, options, X, kind, message in (
        (fitted, {"n_components": 5}, iris, ValueError, "number of directions .* differ, 4"),
        (fitted, {"n_components": 3, "mean_share": 1.0}, iris, ValueError, "differ, 2: reduce it"),
        (fitted, {"mean_share": 1.5}, iris, ValueError, "'mean_share' parameter"),
        (one, {}, iris, ValueError, "mean_share=0.5, the components .* do not differ"),
        (fitted, {}, iris[:, :2], ValueError, "X has 2 features"),
        (fitted, {}, np.full((3, 4), np.nan), ValueError, "no observed value"),
        (GaussianMixture(2), {}, None, ValueError, "The model is not fitted and there is no X"),
        (Theirs(2), {}, iris, TypeError, "requires a GaussianMixture of emgmm, but got a Gaussian"),
        (FrozenEstimator(Theirs(2)), {}, iris, TypeError, "requires a GaussianMixture of emgmm"),
    ):
        projection = GaussianMixtureProjection(model, **options)
        with pytest.raises(kind, match=message):
            projection.fit(X)
        assert not hasattr(projection, "components_")
        with pytest.raises(NotFittedError):
            projection.transform(iris)


# -- the display -----------------------------------------------------------------------------------
def test_a_display_draws_the_first_two_directions(fitted, iris):
    projection = GaussianMixtureProjection(fitted, n_components=2).fit()
    display = GaussianMixtureDisplay.from_estimator(fitted, iris, features="projection")
    np.testing.assert_allclose(display.rows, projection.transform(iris), atol=1e-12)
    np.testing.assert_allclose(display.means, projection.transform(fitted.means_), atol=1e-12)
    axes = projection.components_
    np.testing.assert_allclose(display.covariances, axes @ dense(fitted) @ axes.T, atol=1e-12)
    np.testing.assert_array_equal(display.labels, fitted.predict(iris))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("direction 0", "direction 1")
    holed = iris.copy()
    holed[3, 1] = np.nan
    display = GaussianMixtureDisplay.from_estimator(fitted, holed, features="projection")
    assert np.isnan(display.rows).any(axis=1).nonzero()[0].tolist() == [3]
    plt.close("all")


def test_a_display_draws_a_single_direction_and_a_feature_of_that_name(iris):
    table = pd.DataFrame(iris[:, :2], columns=["projection", "other"])
    model = fit(GaussianMixture(2, covariance_type="tied", random_state=0), table)
    display = GaussianMixtureDisplay.from_estimator(model, table, features="projection")
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("direction 0", "density")
    display = GaussianMixtureDisplay.from_estimator(model, table, features=["projection"])
    assert display.ax_.get_xlabel() == "projection"
    np.testing.assert_array_equal(display.rows[:, 0], iris[:, 0])
    with pytest.raises(ValueError, match="do not differ in any direction"):
        GaussianMixtureDisplay.from_estimator(
            fit(GaussianMixture(), table), table, features="projection"
        )
    plt.close("all")


def test_columns_far_below_the_regularization_are_refused():
    X = clusters(60, 2, 2) * np.array([1e-120, 1e-90])
    covariances = [1e-6 * np.eye(2), 2e-6 * np.eye(2)]
    model = GaussianMixture.from_parameters([0.5, 0.5], np.zeros((2, 2)), covariances=covariances)
    with pytest.raises(ValueError, match=r"too large for a projection: .* below reg_covar"):
        GaussianMixtureProjection(model).fit(X)
