"""Arguments of all kinds: each has its value, or is refused in a sentence that names it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

from emgmm import (
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureOutlierDetector,
    GaussianMixtureRegressor,
    blocks,
    fit_many,
    kl_divergence,
    merge_components,
)
from emgmm.covariances import FAMILIES
from emgmm.merging.hierarchy import elbow

pytestmark = pytest.mark.all_cases
random = np.random.default_rng(0)
X = random.normal(size=(60, 2)) + np.repeat([[0.0, 0.0], [5.0, 5.0]], 30, axis=0)
Y = np.repeat([0, 1], 30)
UNKNOWN = np.arange(60) % 3 == 0
DATES = np.where(Y == 1, np.datetime64("2020-01-01"), np.datetime64("2021-01-01"))
TWO = GaussianMixture(2, random_state=0).fit(X)


# -- classes --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "y",
    [
        np.ma.array(np.where(UNKNOWN, 7, Y), mask=UNKNOWN),
        pd.Series(np.where(UNKNOWN, None, Y).tolist(), dtype="Int64"),
        pd.Series(np.where(UNKNOWN, None, np.array(["a", "b"])[Y]), dtype="string"),
        np.where(UNKNOWN, np.datetime64("NaT"), DATES),
    ],
    ids=["masked", "Int64", "string", "dates"],
)
def test_missing_classes_are_unlabelled(y):
    model = GaussianMixtureClassifier().fit(X, y)
    other = GaussianMixtureClassifier().fit(X, np.where(UNKNOWN, None, Y))
    assert len(model.classes_) == 2
    np.testing.assert_allclose(sorted(model.class_prior_), sorted(other.class_prior_), rtol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "y", "words"),
    [
        ({}, np.array([0, "a"] * 30, dtype=object), "are text and others are not"),
        ({"priors": ["a", "b"]}, Y, "priors holds it in row 0"),
        ({"priors": [10**400, 0]}, Y, "priors holds it in row 0"),
        ({"priors": [1e308, 1e308]}, Y, "priors must be 2 probabilities"),
        ({"priors": np.ma.array([0.5, 0.5], mask=[0, 1])}, Y, "priors must be 2 probabilities"),
        ({"unlabeled": [0, 1]}, Y, "unlabeled must be one value"),
    ],
)
def test_wrong_classes_are_refused(parameters, y, words):
    with np.errstate(all="raise"), pytest.raises((TypeError, ValueError), match=words):
        GaussianMixtureClassifier(**parameters).fit(X, y)


def test_a_classifier_whose_attributes_were_set_is_checked():
    model = GaussianMixtureClassifier().fit(X, Y)
    with np.errstate(all="raise"), pytest.raises(ValueError, match="Row 1 of X, counted from 0"):
        model.decision_function([[0.0, 0.0], [1e200, 0.0]])
    model.class_prior_ = np.array([2.0, 3.0])
    with pytest.raises(ValueError, match="class_prior_ must be 2 probabilities"):
        model.predict(X)
    model = GaussianMixtureClassifier().fit(X, Y)
    del model.mixtures_[1]
    with pytest.raises(ValueError, match="mixtures_ has 1 entries, but there are 2 classes"):
        model.predict(X)


@pytest.mark.parametrize("kind", ["blocks", "masked"])
def test_unlabelled_rows_are_predicted_from_what_was_fitted(kind):
    hole = X.copy()
    hole[3, 0] = np.nan  # an unlabelled row
    table = blocks([hole[:20], hole[20:]])
    if kind == "masked":
        table = np.ma.array(np.where(np.isnan(hole), 1e6, hole), mask=np.isnan(hole))
    y = np.where(UNKNOWN, -1, Y)
    found, right = (
        GaussianMixtureClassifier(unlabeled=-1).fit(rows, y).transduction_ for rows in (table, hole)
    )
    np.testing.assert_array_equal(found, right)


def test_the_warning_of_several_classes_is_given_once():
    with pytest.warns(ConvergenceWarning) as found:
        GaussianMixtureClassifier(2, max_iter=1, tol=0).fit(X, Y)
    assert len(found) == len({each.category for each in found})


# -- responses, outliers --------------------------------------------------------------------------
def test_masked_responses_are_missing():
    y = X[:, 1].copy()
    y[5] = np.nan
    masked = np.ma.array(np.where(np.isnan(y), 1e6, y), mask=np.isnan(y))
    models = [GaussianMixtureRegressor().fit(X[:, :1], each).model_ for each in (y, masked)]
    np.testing.assert_array_equal(models[0].means_, models[1].means_)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (DATES, "y holds datetimes"),
        (pd.DataFrame({"a": X[:, 1], "when": DATES}), r"in column 1 \('when'\)"),
        (np.where(Y, "a", "1"), "y holds it in row 30"),
        ([[1.0, 2.0]] * 59 + [[1.0]], r"y is not a table.*Row 59, counted from 0, has 1 entries"),
    ],
)
def test_responses_that_are_no_numbers_are_refused(y, words):
    with pytest.raises((TypeError, ValueError), match=words):
        GaussianMixtureRegressor().fit(X, y)


def test_a_detector_fits_blocks_as_it_fits_an_array():
    one = GaussianMixtureOutlierDetector(contamination=0.1).fit(X)
    other = GaussianMixtureOutlierDetector(contamination=0.1).fit(blocks([X[:25], X[25:]]))
    assert other.offset_ == pytest.approx(one.offset_, rel=1e-12)
    one.offset_ = np.nan
    with pytest.raises(ValueError, match="offset_ must be a number, but is nan"):
        one.predict(X)


def test_predictions_without_any_component_are_refused():
    model = GaussianMixtureRegressor(noise="uniform").fit(X[:, :1], X[:, 1])
    model.model_.weights_, model.model_.noise_weight_ = np.zeros(1), 1.0
    with np.errstate(all="raise"), pytest.raises(ValueError, match="is that of its noise"):
        model.predict(X[:, :1])


# -- numbers --------------------------------------------------------------------------------------
REGRESSOR = GaussianMixtureRegressor(2, random_state=0).fit(X[:, :1], X[:, 1])
LINE = GaussianMixture(2, random_state=0).fit(X[:, :1]).distribution()
CALLS = {
    "x": LINE.pdf,
    "q": LINE.ppf,
    "confidence": LINE.interval,
    "quantiles": lambda value: REGRESSOR.predict_quantile(X[:2, :1], value),
    "size": LINE.rvs,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", ["a", ["a"], 0.5j, {}, 10**400, [[0.5], [0.5, 0.1]], DATES])
def test_what_is_no_number_is_refused_by_name(name, value):
    with np.errstate(all="raise"), pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        CALLS[name](value)


def test_masked_numbers_are_missing():
    masked = np.ma.array([0.5, 99.0], mask=[0, 1])
    np.testing.assert_array_equal(LINE.pdf(masked), [LINE.pdf(0.5), np.nan])
    np.testing.assert_array_equal(LINE.ppf(masked), [LINE.ppf(0.5), np.nan])
    with pytest.raises(ValueError, match="quantiles must be"):
        REGRESSOR.predict_quantile(X[:2, :1], masked)
    model = GaussianMixtureRegressor().fit(X, X.sum(axis=1) + random.normal(size=60))
    found, right = (model.conditional(x).means_ for x in (masked, [0.5, np.nan]))
    np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("size", [-1, (2, -1), 1.5, True, "3", np.nan])
def test_sizes_of_draws_are_whole_numbers(size):
    with pytest.raises(ValueError, match="size must be None, or one or several"):
        LINE.rvs(size)


def test_densities_that_underflow_are_zero():
    far = GaussianMixture(2, reg_covar=0, random_state=0).fit(X[:, :1] * 1e-100)
    with np.errstate(all="raise"):
        assert LINE.pdf(1e5) == 0
        assert LINE.cdf(-1e5) == 0
        assert LINE.sf(1e5) == 0
        assert LINE.ppf(1e-300) < -30
        assert len(far.modes()) == 2
        assert kl_divergence(far, far, n_samples=10).value == 0


@pytest.mark.parametrize("kind", [Fraction, np.longdouble])
def test_parameters_of_any_type_of_number(kind):
    given = {"tol": 1e-4, "reg_covar": 1e-3, "weight_concentration": 1.5, "noise": 1e-6}
    models = [
        GaussianMixture(2, random_state=0, **{name: to(value) for name, value in given.items()})
        for to in (float, kind)
    ]
    one, other = (model.fit(X).means_ for model in models)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["tol", "reg_covar", "n_init", "forgetting", "learning_offset"])
@pytest.mark.parametrize("value", [-(10**400), np.timedelta64(1), Fraction(-(10**400))])
def test_numbers_beyond_the_range_of_floats_are_refused(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of GaussianMixture must be"):
        GaussianMixture(**{name: value}).fit(X)


# -- labels, constraints, many fits, clusters -----------------------------------------------------
def test_masked_labels_are_unknown():
    labels = np.where(UNKNOWN, -1, Y)
    right = GaussianMixture(2, random_state=0).fit(X, labels=labels).means_
    table = np.ma.array(np.eye(2, dtype=int)[Y], mask=np.stack([UNKNOWN] * 2, axis=1))
    for given in (np.ma.array(Y.astype(np.uint8), mask=UNKNOWN), table):
        found = GaussianMixture(2, random_state=0).fit(X, labels=given).means_
        np.testing.assert_allclose(found, right, rtol=1e-12)


@pytest.mark.parametrize("value", [np.inf, 1e308])
def test_responsibilities_beyond_reach_are_refused(value):
    labels = np.column_stack(
        [np.full(60, value), np.full(60, -value if value == np.inf else 1e308)]
    )
    with np.errstate(all="raise"), pytest.raises(ValueError, match="responsibilities of row 0"):
        GaussianMixture(2).fit(X, labels=labels)
    with np.errstate(all="raise"), pytest.raises(ValueError, match=r"responsibilities|infinity"):
        GaussianMixture(2, init_params=labels).fit(X)


@pytest.mark.parametrize("fixed", [[["means"]], {"means": np.ma.array([True, True], mask=[0, 1])}])
def test_what_is_fixed_is_named(fixed):
    with pytest.raises(ValueError, match="fixed"):
        GaussianMixture(2, fixed=fixed, means_init=X[:2]).fit(X)


@pytest.mark.parametrize("name", ["Xs", "sample_weights", "n_jobs"])
@pytest.mark.parametrize("value", [0, 1.5, "ab", {"a": 1}])
def test_many_fits_name_what_is_wrong(name, value):
    given = {"Xs": [X, X], "n_jobs": None, name: value}
    with pytest.raises((TypeError, ValueError), match=name):
        fit_many(TWO, given.pop("Xs"), **given)


def test_clusters_do_not_follow_changes_of_the_model():
    model = GaussianMixture(3, random_state=0).fit(X)
    merged = merge_components(model, X)
    before = merged.predict_proba(X)
    model.means_ += 100
    np.testing.assert_array_equal(merged.predict_proba(X), before)
    with pytest.raises(ValueError, match="method must be one of"):
        merge_components(TWO, X, method=["entropy"])


@pytest.mark.parametrize("scale", [1e-300, 1e-180, 1e180])
def test_the_elbow_does_not_depend_on_the_scale_of_the_entropies(scale):
    entropies = np.array([0.0, 0.1, 0.2, 0.3, 5.0, 9.0])
    with np.errstate(all="raise"):
        assert elbow(entropies * scale) == elbow(entropies) == 4


def test_a_name_that_two_features_have_is_refused():
    with pytest.raises(ValueError, match="X has several columns with the name 'a'"):
        GaussianMixture().fit(pd.DataFrame(X, columns=["a", "a"]))
    y = pd.Series(X[:, 1], name="a")
    model = GaussianMixtureRegressor().fit(pd.DataFrame({"a": X[:, 0]}), y).model_
    with pytest.raises(ValueError, match="Several features of the model have the name 'a'"):
        model.marginal("a")


# -- units ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_variance_that_underflows_is_refused(family):
    rows = (X[:, :1] if family.most_features else X) * 1e-200
    for more in ({}, {"noise": "uniform"}, {"prior": "conjugate"}):
        model = GaussianMixture(2, covariance_type=family.name, reg_covar=0, **more)
        with np.errstate(all="raise"), pytest.raises(ValueError, match=r"X is constant.* column"):
            model.fit(rows)


def test_a_variance_that_underflows_is_that_of_the_ridge():
    with np.errstate(all="raise"), pytest.warns(UserWarning, match="reg_covar"):
        model = GaussianMixture(reg_covar=1e-6).fit(X * [1e-200, 1.0])
    assert model.covariances_[0, 0, 0] == 1e-6
