"""Weighted rows: a weight of 2 is the row twice, one of 0 no row."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

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
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emgmm import GaussianMixture, StarvedComponentWarning, StoppedShortWarning, blocks
from emgmm.estep import dispatch
from emgmm.fitting import multistart
from emgmm.initialization import STARTS as START_FUNCTIONS
from emgmm.sources import Rows

types = pytest.mark.parametrize("covariance_type", TYPES)
X = clusters(300, 3, 3)
COUNTS = np.random.default_rng(7).integers(0, 4, size=len(X))
REPEATED = X.repeat(COUNTS, axis=0)


def model_of(covariance_type, **arguments):
    start = given_start(X, 3, covariance_type)
    return GaussianMixture(**{**start, "tol": 0, "max_iter": 20, **arguments})


def assert_same_fit(one, other, tolerance=1e-10):
    assert relative_error(one, other) < tolerance
    assert one.n_iter_ == other.n_iter_
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=tolerance)


@types
@pytest.mark.parametrize("acceleration", [None, "anderson"])
def test_a_weight_is_a_number_of_rows(covariance_type, acceleration):
    weighted = fit(model_of(covariance_type, acceleration=acceleration), X, sample_weight=COUNTS)
    repeated = fit(model_of(covariance_type, acceleration=acceleration), REPEATED)
    assert_same_fit(weighted, repeated)
    assert relative_error(weighted, fit(model_of(covariance_type), X)) > 1e-3


@types
def test_far_rows_take_the_exact_form_with_their_weights(covariance_type, monkeypatch):
    far = X + 1e7
    start = {**given_start(far, 3, covariance_type), "reg_covar": 0, "max_iter": 5, "tol": 0}
    weighted = fit(GaussianMixture(**start), far, sample_weight=COUNTS)
    repeated = fit(GaussianMixture(**start), far.repeat(COUNTS, axis=0))
    assert relative_error(weighted, repeated) < 1e-8
    monkeypatch.setattr(dispatch, "MAX_ERROR", 0.0)  # nothing is packed
    exact = fit(model_of(covariance_type), X, sample_weight=COUNTS)
    monkeypatch.undo()
    assert_same_fit(exact, fit(model_of(covariance_type), REPEATED), 1e-9)


@types
@pytest.mark.parametrize("compiled", [0, np.inf])
def test_both_packed_forms_weigh_rows(covariance_type, compiled, monkeypatch):
    monkeypatch.setattr(dispatch, "COMPILED_FROM", compiled)
    weighted = fit(model_of(covariance_type), X, sample_weight=COUNTS)
    assert_same_fit(weighted, fit(model_of(covariance_type), REPEATED))


@types
def test_weights_in_single_precision_rows(covariance_type):
    rows = X.astype(np.float32)
    weighted = fit(model_of(covariance_type), rows, sample_weight=COUNTS)
    repeated = fit(model_of(covariance_type), rows.repeat(COUNTS, axis=0))
    assert_same_fit(weighted, repeated, 1e-4)


@types
@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-40, 1e-12, 1e-3, 1e12, 1e36, 1e306])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_scale_of_the_weights_does_not_matter(covariance_type, scale, dtype):
    rows = X.astype(dtype)
    one = fit(model_of(covariance_type), rows, sample_weight=COUNTS)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        other = fit(model_of(covariance_type), rows, sample_weight=scale * COUNTS)
    assert_same_fit(one, other, 1e-10 if dtype == np.float64 else 1e-3)
    assert one.score(X, sample_weight=COUNTS) == pytest.approx(
        one.score(X, sample_weight=scale * COUNTS), rel=1e-12
    )


@types
@pytest.mark.parametrize("init_params", ["kmeans", "random_from_data", "given"])
@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
def test_a_weight_of_2_is_the_row_twice_for_more_components_than_distinct_rows(
    covariance_type, init_params
):
    rows, n_components = np.array([[0.0, 0.0], [1.0, 2.0], [5.0, 5.0]]), 4
    parameters = {"init_params": init_params}
    if init_params == "given":
        parameters = {
            "weights_init": np.full(4, 0.25),
            "means_init": np.linspace(0, 5, 8).reshape(4, 2),
            "precisions_init": identity_precisions(covariance_type, 4, 2),
        }
    model = GaussianMixture(
        n_components, covariance_type=covariance_type, random_state=0, **parameters
    )
    twice = fit(clone(model), np.repeat(rows, 2, axis=0))
    weighted = fit(clone(model), rows, sample_weight=np.full(3, 2.0))
    np.testing.assert_allclose(weighted.lower_bounds_, twice.lower_bounds_, rtol=1e-9)
    with pytest.raises(ValueError, match="Expected n_samples >= n_components"):
        model.fit(rows)


@pytest.mark.parametrize("scale", [5e-324, 1e-40, 1e40, 1e306])
def test_weights_in_blocks_of_an_extreme_scale_are_refused(scale):
    weights = scale * COUNTS
    pieces = blocks([X[:50], X[50:]]), blocks([weights[:50], weights[50:]])
    model = model_of("full").set_params(init_params="random")
    said = "sums to" if scale < 1 else f"reaches {weights[:50].max():g}".replace("+", "[+]")
    with pytest.raises(ValueError, match=f"sample_weight {said}.* multiply them by a constant"):
        model.fit(pieces[0], sample_weight=pieces[1])


@types
def test_weights_of_one_are_no_weights(covariance_type):
    assert_same_fit(
        fit(model_of(covariance_type), X, sample_weight=np.ones(len(X))),
        fit(model_of(covariance_type), X),
    )


def criterion(model, name, rows, weights=None):
    """A score or criterion of a model, whose EM may have stopped short."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoppedShortWarning)
        return getattr(model, name)(rows, sample_weight=weights)


HUGE = 7  # where a row stands that counts nothing and holds the largest numbers there are


def with_a_huge_row(rows, weights):
    """Rows and weights with one more; its square is beyond the range of its type."""
    largest = np.finfo(rows.dtype).max
    return np.insert(rows, HUGE, largest, axis=0), np.insert(weights, HUGE, 0)


def opened(kind, rows, folder):
    if kind == "blocks":
        return blocks([rows[: HUGE + 1], rows[HUGE + 1 :]])
    if kind == "block of its own":
        return blocks([rows[:HUGE], rows[HUGE : HUGE + 1], rows[HUGE + 1 :]])
    if kind == "memmap":
        np.save(folder / "rows.npy", rows)
        return np.load(folder / "rows.npy", mmap_mode="r")
    return rows


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("compiled", [0, np.inf])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", ["small", "large", "memmap", "blocks", "block of its own"])
def test_what_a_row_of_weight_0_holds_is_in_no_sum(
    kind, missing, compiled, dtype, monkeypatch, tmp_path
):
    monkeypatch.setattr(dispatch, "COMPILED_FROM", compiled)
    if kind == "large":
        monkeypatch.setattr("emgmm.sources.array.SMALL", 0)
    rows = X.astype(dtype)
    if missing:
        rows[::5, 1] = np.nan
    more, weights = with_a_huge_row(rows, np.ones(len(rows)))
    model = model_of("full", max_iter=5)
    one = fit(model, opened(kind, more, tmp_path), sample_weight=weights)
    other = fit(model_of("full", max_iter=5), rows)
    assert_same_fit(one, other, 1e-10 if dtype is np.float64 else 1e-4)
    for name in ("score", "icl"):
        seen = criterion(one, name, more, weights)
        assert seen == pytest.approx(criterion(one, name, rows), rel=1e-7)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("start", sorted({*START_FUNCTIONS} - {"random", "random_from_data"}))
def test_what_a_row_of_weight_0_holds_does_not_matter_to_a_start(start, missing):
    rows = X.copy()
    if missing:
        rows[::5, 1] = np.nan
    more, weights = with_a_huge_row(rows, np.ones(len(rows)))
    model = GaussianMixture(3, init_params=start, random_state=0, max_iter=5, tol=0)
    one, other = clone(model), clone(model)
    fit(one, more, sample_weight=weights)
    fit(other, rows, sample_weight=np.ones(len(rows)))
    assert_same_fit(one, other)


def test_one_component_has_the_weighted_moments():
    weights = np.random.default_rng(0).exponential(size=len(X))
    model = GaussianMixture(reg_covar=0).fit(X, sample_weight=weights)
    np.testing.assert_allclose(model.means_[0], np.average(X, axis=0, weights=weights), rtol=1e-12)
    covariance = np.cov(X.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(model.covariances_[0], covariance, rtol=1e-10)


@types
def test_criteria_and_score_are_those_of_the_repeated_rows(covariance_type):
    model = fit(model_of(covariance_type), X)
    for name in ("score", "bic", "aic", "icl"):
        weighted = criterion(model, name, X, COUNTS)
        assert weighted == pytest.approx(criterion(model, name, REPEATED), rel=1e-12)
        assert weighted != pytest.approx(criterion(model, name, X), rel=1e-6)
    log_density = model.score_samples(X)
    assert model.score(X, sample_weight=COUNTS) == pytest.approx(
        COUNTS @ log_density / COUNTS.sum(), rel=1e-12
    )


@types
def test_the_bound_is_the_weighted_score(covariance_type):
    model = fit(model_of(covariance_type), X, sample_weight=COUNTS)
    assert model.lower_bound_ == pytest.approx(model.score(X, sample_weight=COUNTS), rel=1e-12)


@types
def test_the_report_is_that_of_the_repeated_rows(covariance_type):
    model = fit(model_of(covariance_type), X, sample_weight=COUNTS)
    weighted = model.diagnose(X, certify=True, sample_weight=COUNTS)
    repeated = model.diagnose(REPEATED, certify=True)
    np.testing.assert_allclose(weighted.mass, repeated.mass, rtol=1e-12)
    np.testing.assert_allclose(weighted.overlap, repeated.overlap, rtol=1e-9, atol=1e-15)
    assert weighted.entropy == pytest.approx(repeated.entropy, rel=1e-12)
    assert weighted.verdict is repeated.verdict


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_predict_weighs_and_labels_every_row():
    labels = model_of("full").fit_predict(X, sample_weight=COUNTS)
    model = fit(model_of("full"), X, sample_weight=COUNTS)
    np.testing.assert_array_equal(labels, model.predict(X))


@pytest.mark.parametrize("name", ["k-means++", "random_from_data"])
def test_a_row_that_does_not_count_is_no_seed(name):
    weights = np.zeros(len(X))
    weights[5:9] = [1, 2, 1, 1]
    for seed in range(20):
        model = GaussianMixture(3, init_params=name, max_iter=0, random_state=seed)
        distances = np.abs(model.fit(X, sample_weight=weights).means_[:, None] - X[5:9])
        assert (distances.max(axis=2).min(axis=1) < 1e-12).all()


@pytest.mark.parametrize("name", ["k-means++", "random_from_data"])
def test_heavy_rows_are_seeds_more_often(name):
    weights = np.ones(len(X))
    weights[11] = len(X)
    chosen = [
        11 in START_FUNCTIONS[name](Rows(X, weights), 1, np.random.RandomState(seed)).indices
        for seed in range(100)
    ]
    assert 35 < sum(chosen) < 65  # half of the weight; three standard deviations


@pytest.mark.parametrize("name", STARTS)
def test_rows_far_away_that_do_not_count_move_no_start(name):
    far = np.concatenate([X, np.full((5, 3), 1e3)])
    weights = np.concatenate([np.ones(len(X)), np.zeros(5)])
    model = fit(GaussianMixture(3, init_params=name, random_state=0), far, sample_weight=weights)
    assert np.abs(model.means_).max() < np.abs(X).max()


def test_a_sample_of_rows_brings_their_weights(monkeypatch):
    monkeypatch.setattr(multistart, "START_FROM", 100)
    monkeypatch.setattr(multistart, "START_ROWS", 60)
    weights = np.where(X[:, 0] > np.median(X[:, 0]), 1.0, 0.0)
    model = fit(
        GaussianMixture(1, max_iter=0, init_params="kmeans", random_state=0),
        X,
        sample_weight=weights,
    )
    assert model.means_[0, 0] > np.median(X[:, 0])


def test_a_row_counts_as_its_mean_weight_where_components_starve():
    weights = np.full(len(X), 0.01)
    model = model_of("full", n_components=3, reg_covar=1e-3)
    far = X.copy()
    far[0] = 100.0
    means = X[[10, 20, 0]].copy()
    means[2] = 100.0
    model.set_params(means_init=means)
    weights[0] = 0.001
    with pytest.warns(ConvergenceWarning), pytest.warns(StarvedComponentWarning) as caught:
        model.fit(far, sample_weight=weights)
    (starved,) = [w.message for w in caught if w.category is StarvedComponentWarning]
    assert starved.components == (2,)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_weights_are_routed_through_a_pipeline_and_a_search():
    with config_context(enable_metadata_routing=True):
        model = GaussianMixture(2, random_state=0)
        model = model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"n_components": [1, 2, 3]}, cv=3)
        search.fit(X, sample_weight=COUNTS)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        piped = make_pipeline(scaler, model).fit(X, sample_weight=COUNTS)
    found = search.best_estimator_
    again = fit(GaussianMixture(found.n_components, random_state=0), X, sample_weight=COUNTS)
    np.testing.assert_allclose(found.means_, again.means_)
    assert not np.allclose(found.means_, fit(again, X).means_)
    Z = piped[0].transform(X)
    expected = fit(GaussianMixture(2, random_state=0), Z, sample_weight=COUNTS)
    np.testing.assert_allclose(piped[1].means_, expected.means_)


WRONG = [
    (np.ones(len(X) - 1), r"shape \(299,\), but X has 300 rows"),
    (np.ones((len(X), 1)), r"shape \(300, 1\), but X has 300 rows"),
    (np.where(np.arange(len(X)) == 4, -1.0, 1.0), "row 4, counted from 0, is -1"),
    (np.where(np.arange(len(X)) == 7, np.nan, 1.0), "row 7, counted from 0, is nan"),
    (np.where(np.arange(len(X)) == 9, np.inf, 1.0), "row 9, counted from 0, is inf"),
    (np.zeros(len(X)), "zero for every row"),
    (np.where(np.arange(len(X)) < 2, 1.0, 0.0), "n_components = 3, n_samples = 2"),
]


@pytest.mark.parametrize(("weights", "message"), WRONG)
def test_wrong_weights_are_said_to_be_and_change_nothing(weights, message):
    model = model_of("full")
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X, sample_weight=weights)
    assert vars(model).keys() == before.keys()
    with pytest.raises(NotFittedError):
        model.score(X)


@cache
def stored():
    path = Path(__file__).parent / "data" / "weighted.json"
    return json.loads(path.read_text())["data"]["iris"]


# All but VVE, whose M-step in mclust leaves out 1 / lambda_k.
MODELS = [name for name in stored()["G"]["2"]["models"] if name != "VVE"]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["random", "integer"])
def test_r_mclusts_weighted_fits(iris, size, model, kind):
    expected = stored()["G"][str(size)]["models"][model][kind]
    weights = np.array(stored()[f"weights_{kind}"])
    labels = np.array(stored()["G"][str(size)]["start"])
    found = fit(
        GaussianMixture(
            size,
            covariance_type=model,
            reg_covar=0,
            tol=1e-13,
            max_iter=5000,
            init_params=lambda *_: labels,
        ),
        iris,
        sample_weight=weights,
    )
    total = weights.sum() * found.lower_bound_
    assert total == pytest.approx(expected["loglik"], abs=1e-5)
    np.testing.assert_allclose(found.weights_, expected["pro"], atol=1e-5)
    np.testing.assert_allclose(found.means_, expected["mean"], atol=1e-5)
    np.testing.assert_allclose(dense(found), np.reshape(expected["sigma"], (size, 4, 4)), atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 2.0**40, 2.0**-40, 1e-300])
@pytest.mark.parametrize("covariance_type", ["spherical", "diag", "full"])
def test_a_component_that_is_all_but_empty_is_where_its_few_shares_say(covariance_type, scale):
    """Its shares of the rows, about 1e-17, are in no digit of the rows' weight, at any scale."""
    rows = np.linspace(-1, 1, 20)[:, None] ** 3
    weights = np.linspace(1, 2, 20)
    start = {
        "covariance_type": covariance_type,
        "weights_init": [0.5, 0.5],
        "means_init": [[0.0], [10.0]],
        "precisions_init": identity_precisions(covariance_type, 2, 1),
    }
    model = GaussianMixture(2, **start, reg_covar=0, max_iter=1)
    fit(model, rows, sample_weight=scale * weights)
    x = rows[:, 0].astype(np.longdouble)
    shares = weights / (1 + np.exp(50 - 10 * x))
    mean = (shares @ x) / shares.sum()
    assert model.weights_[1] == pytest.approx(float(shares.sum() / weights.sum()), rel=1e-9)
    assert model.means_[1, 0] == pytest.approx(float(mean), rel=1e-9)
    variance = (shares @ (x - mean) ** 2) / shares.sum()
    assert dense(model)[1, 0, 0] == pytest.approx(float(variance), rel=1e-9)
