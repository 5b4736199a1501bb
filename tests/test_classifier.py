"""`GaussianMixtureClassifier`: against mclust, scikit-learn's classifiers, and the definition."""

from __future__ import annotations

import json
import warnings
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import dense, fit
from mclust import HERE, rows
from mclust import classes as classes_of
from scipy.special import logsumexp
from sklearn import config_context
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_iris, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from emgmm import EMWarning, GaussianMixture, GaussianMixtureClassifier, GaussianMixtureIC
from emgmm.covariances import FAMILIES, Grouped
from emgmm.mixture import Mixture

mpl.use("Agg")

X, Y = load_iris(return_X_y=True)
WEIGHTS = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
MCLUST = json.loads((HERE / "mclust_da.json").read_text())

# Families in which mclust finds the maximum of EDDA, to its tolerance.
MAXIMIZED = ["EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EEV", "VEV", "EVV", "VVV"]

cases = pytest.mark.parametrize("case", range(4))


def model_of(stored, covariance_type=tuple(MAXIMIZED), numbers=range(1, 6)):
    if stored["type"] == "EDDA":
        return GaussianMixtureClassifier(components="shared", covariance_type=covariance_type)
    return GaussianMixtureClassifier(numbers, covariance_type=covariance_type, random_state=0)


def bic(model, n_rows, table):
    return -2 * model.score_samples(table).sum() + model.n_parameters() * np.log(n_rows)


@pytest.mark.parametrize("case", [0, 2])
def test_every_family_of_eda_is_that_of_mclust(case):
    """``loglik_converged`` is of mclust's M-step with tolerance 1e-15 instead of its default.

    The M-step maximizes the likelihood given the classes, ``loglik_of_classes``. That
    of mclust ends early in VEE and EVE, and does not maximize it in VVE. The likelihood of the rows
    without their classes, which mclust reports, may be lower at the maximum.
    """
    stored = MCLUST[case]
    table, classes = rows(stored["data"]), classes_of(stored["data"])
    model = model_of(stored, "all").fit(table, classes)
    found = {name: i for i, name in enumerate(model.results_["covariance_type"])}
    for expected in stored["models"]:
        name = expected["modelName"]
        results = {key: column[found[name]] for key, column in model.results_.items()}
        assert results["n_parameters"] == expected["df_equalPro"]
        alone = model_of(stored, name).fit(table, classes)
        log_densities = np.column_stack([each.score_samples(table) for each in alone.mixtures_])
        of_classes = log_densities[np.arange(len(table)), classes].sum()
        assert of_classes > expected["loglik_of_classes"] - 1e-9
        total = logsumexp(log_densities + np.log(alone.class_prior_), axis=1).sum()
        assert results["log_likelihood"] == pytest.approx(total, rel=1e-12)
        assert results["bic"] == pytest.approx(
            expected["df_equalPro"] * np.log(len(table)) - 2 * total, rel=1e-12
        )
        if name != "VVE":
            slow = 5e-8 if name == "EVE" else 1e-10
            assert total == pytest.approx(expected["loglik_converged"], rel=slow)
        if name not in ("VVE", "EVE", "VEE"):
            assert results["bic"] == pytest.approx(-expected["bic_mclust"], rel=1e-9)
    best = max(stored["models"], key=lambda each: each["bic_mclust"])["modelName"]
    assert model.results_["covariance_type"][model.results_["rank"].argmin()] == best


def fitted_like(stored, **parameters):
    """Fits of the numbers of components and the families that mclust selected."""
    table, classes = rows(stored["data"]), classes_of(stored["data"])
    if stored["type"] == "EDDA":
        types, numbers = [stored["modelName"]], 1
    else:
        types = [each["modelName"] for each in stored["classes"] if each["G"] > 1]
        numbers = [each["G"] for each in stored["classes"]]
    model = model_of(stored, sorted(set(types)), sorted(set(np.atleast_1d(numbers).tolist())))
    if stored["type"] == "EDDA":
        model.set_params(n_components=1)
    return model.set_params(**parameters).fit(table, classes), table


@cases
@pytest.mark.all_cases
def test_likelihoods_and_posteriors_are_those_of_mclust(case):
    stored = MCLUST[case]
    model, table = fitted_like(stored)
    log_likelihood = model.score_samples(table).sum()
    assert log_likelihood == pytest.approx(stored["loglik"], rel=1e-6)
    assert model.n_parameters() == stored["df"]
    bic = -2 * log_likelihood + model.n_parameters() * np.log(len(table))
    assert bic == pytest.approx(-stored["bic_mclust"], rel=1e-6)
    np.testing.assert_allclose(model.predict_proba(table)[::5], stored["z"], atol=1e-6)
    for mixture, expected in zip(model.mixtures_, stored.get("classes", []), strict=False):
        assert mixture.n_components == expected["G"]
        assert expected["G"] == 1 or mixture.covariance_type == expected["modelName"]
    other, _ = fitted_like(stored, priors=stored["other_prior"])
    expected = stored["z_other_prior"]
    np.testing.assert_allclose(other.predict_proba(table)[::5], expected, atol=1e-6)


@cases
@pytest.mark.slow
def test_what_is_selected_is_not_worse_than_what_mclust_selects(case):
    stored = MCLUST[case]
    table, classes = rows(stored["data"]), classes_of(stored["data"])
    model = model_of(stored).fit(table, classes)
    results = pd.DataFrame(model.results_)
    if stored["type"] == "EDDA":
        assert results["covariance_type"][results["rank"].argmin()] == stored["modelName"]
        return
    for name, expected in enumerate(stored["classes"]):
        own = results[results["class"] == name]
        assert own[own["rank"] == 1]["bic"].iloc[0] < -expected["bic_mclust"] + 1e-3


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_eee_is_linear_discriminant_analysis(weights):
    model = GaussianMixtureClassifier(components="shared", covariance_type="EEE")
    model.fit(X, Y, sample_weight=weights)
    table, classes = (X, Y) if weights is None else (X.repeat(weights.astype(int), 0), None)
    if classes is None:
        classes = Y.repeat(weights.astype(int))
    linear = LinearDiscriminantAnalysis(solver="lsqr").fit(table, classes)
    np.testing.assert_allclose(model.mixtures_[0].covariances_[0], linear.covariance_, rtol=1e-9)
    expected = linear.predict_log_proba(X)
    np.testing.assert_allclose(model.predict_log_proba(X), expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("components", ["separate", "shared"])
@pytest.mark.all_cases
def test_vvi_is_naive_bayes(components, weights):
    model = GaussianMixtureClassifier(components=components, covariance_type="VVI")
    model.fit(X, Y, sample_weight=weights)
    bayes = GaussianNB(var_smoothing=0).fit(X, Y, sample_weight=weights)
    np.testing.assert_allclose(model.class_prior_, bayes.class_prior_, rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), bayes.predict_log_proba(X), atol=1e-8)


@parametrize_with_checks(
    [
        GaussianMixtureClassifier(),
        GaussianMixtureClassifier(components="shared"),
    ]
)
@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
def test_conventions_of_scikit_learn(estimator, check):
    check(estimator)


def test_predictions_agree_with_each_other():
    for classes in (Y, np.where(Y == 2, 1, Y)):
        model = GaussianMixtureClassifier(2, random_state=0).fit(X, classes)
        log_joint = np.column_stack([each.score_samples(X) for each in model.mixtures_])
        log_joint += np.log(model.class_prior_)
        expected = log_joint - logsumexp(log_joint, axis=1, keepdims=True)
        np.testing.assert_allclose(model.predict_log_proba(X), expected, atol=1e-9)
        np.testing.assert_allclose(model.predict_proba(X), np.exp(expected), atol=1e-9)
        np.testing.assert_array_equal(model.predict(X), model.classes_[expected.argmax(axis=1)])
        decisions = log_joint if len(model.classes_) > 2 else log_joint[:, 1] - log_joint[:, 0]
        np.testing.assert_allclose(model.decision_function(X), decisions, atol=1e-9)
        assert model.score(X, classes) == np.mean(model.predict(X) == classes)


@pytest.mark.parametrize("components", ["separate", "shared"])
def test_rows_with_missing_values(components):
    table = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    model = GaussianMixtureClassifier(components=components).fit(table, Y)
    assert model.score(table, Y) > 0.93
    alone = GaussianMixture(reg_covar=0, tol=1e-8, max_iter=1000).fit(table[Y == 1])
    if components == "separate":
        np.testing.assert_allclose(model.mixtures_[1].means_, alone.means_, atol=1e-4)


@pytest.mark.parametrize(
    ("unknown", "parameters"),
    [(None, {}), (np.nan, {}), ("?", {"unlabeled": "?"}), (-1, {"unlabeled": -1})],
    ids=str,
)
@pytest.mark.parametrize("components", ["separate", "shared"])
@pytest.mark.all_cases
def test_rows_without_a_class_are_used(components, unknown, parameters):
    table, classes = load_wine(return_X_y=True)
    table = table[:, [0, 6, 9, 12]]
    names = classes if unknown in (-1,) or unknown is np.nan else np.array(["a", "b", "c"])[classes]
    y = names.astype(object)
    y[np.arange(len(y)) % 6 != 0] = unknown
    if unknown is np.nan or unknown == -1:
        y = y.astype(float)
    model = GaussianMixtureClassifier(components=components, covariance_type="VVI", **parameters)
    model.fit(table, y)
    assert list(model.classes_) == list(np.unique(names))
    assert np.mean(model.predict(table) == names) > 0.9
    known = np.arange(len(y)) % 6 == 0
    assert (model.transduction_[known] == names[known]).all()
    np.testing.assert_array_equal(model.transduction_[~known], model.predict(table[~known]))
    # With one component for each class, both are the fit with labels.
    labels = np.where(known, classes, -1)
    mixture = GaussianMixture(3, covariance_type="VVI", reg_covar=0, tol=1e-9, max_iter=1000)
    mixture.fit(table, labels=labels)
    np.testing.assert_allclose(model.class_prior_, mixture.weights_, atol=1e-3)
    means = np.concatenate([each.means_ for each in model.mixtures_])
    np.testing.assert_allclose(means, mixture.means_, rtol=1e-3)


@pytest.mark.parametrize("missing", [None, np.nan, np.ma.masked, np.float64("nan")], ids=repr)
@pytest.mark.parametrize("names", [["a", "b", "c"], [3, 5, 7]], ids=["text", "integers"])
@pytest.mark.parametrize("kind", [list, tuple, partial(pd.Series, dtype=object)])
@pytest.mark.all_cases
def test_rows_without_a_class_in_a_list(missing, names, kind):
    unknown = np.arange(len(Y)) % 6 == 0
    masked = np.ma.array(np.array(names)[Y], mask=unknown)
    y = [
        missing if hidden else name
        for name, hidden in zip(masked.data.tolist(), unknown, strict=True)
    ]
    model, expected = (fit(GaussianMixtureClassifier(), X, y=each) for each in (kind(y), masked))
    assert list(model.classes_) == names
    np.testing.assert_array_equal(model.transduction_, expected.transduction_)
    np.testing.assert_allclose(model.class_prior_, expected.class_prior_, rtol=1e-12)


def test_minus_one_is_a_class():
    model = GaussianMixtureClassifier().fit(X, Y - 1)
    assert list(model.classes_) == [-1, 0, 1]


def test_a_fit_with_unlabelled_rows_increases_the_likelihood_of_all():
    y = np.where(np.arange(len(Y)) % 3 == 0, Y, -1)
    types = ["VVI", "EEE", "VEV", "VII"]
    model = GaussianMixtureClassifier([1, 2], covariance_type=types, random_state=0)
    before = model.fit(X[y >= 0], y[y >= 0]).mixtures_
    priors = model.class_prior_
    after = model.set_params(unlabeled=-1).fit(X, y)

    def objective(mixtures, priors):
        log_joint = np.column_stack([each.score_samples(X) for each in mixtures]) + np.log(priors)
        return np.where(y < 0, logsumexp(log_joint, axis=1), log_joint[np.arange(len(y)), y]).sum()

    assert objective(after.mixtures_, after.class_prior_) > objective(before, priors) + 1
    assert after.score(X, Y) > 0.9


@pytest.mark.parametrize(
    "names", [("VVI", "VVI"), ("VEV", "EEE"), ("VII", "full"), ("EII", "VEI"), ("tied", "VVE")]
)
@pytest.mark.all_cases
def test_a_family_of_groups_is_each_family_by_itself(names):
    random = np.random.default_rng(0)
    points, counts = random.normal(size=(5, 40, 3)) * [1.0, 2.0, 3.0], np.array([9.0, 8, 7, 9, 20])
    dense = np.array([each.T @ each for each in points])
    families, places = [FAMILIES[name] for name in names], [slice(0, 2), slice(2, 5)]
    grouped = Grouped(families, [2, 3])
    narrow = {0: lambda m: np.trace(m, axis1=1, axis2=2), 1: lambda m: m, 2: lambda m: m}
    narrow[1] = lambda m: np.diagonal(m, axis1=1, axis2=2)

    def scatter_in(structure):
        return narrow[structure.outer(np.ones((1, 3))).ndim - 1](dense)

    found = grouped.estimate(scatter_in(grouped.structure), counts, 3)
    mixture = Mixture.of(np.full(5, 0.2), np.zeros((5, 3)), found, grouped)
    matrices = mixture.dense_covariances()
    total = 0
    for number, (family, place) in enumerate(zip(families, places, strict=True)):
        own = family.estimate(family.pool(scatter_in(family.structure)[place]), counts[place], 3)
        size = len(counts[place])
        np.testing.assert_allclose(matrices[place], family.dense(own, size, 3), rtol=1e-12)
        np.testing.assert_allclose(grouped.covariances_of_group(found, number), own, rtol=1e-12)
        total += family.n_covariance_parameters(size, 3)
    assert grouped.n_covariance_parameters(5, 3) == total


def test_families_that_a_small_class_does_not_support_are_left_out():
    few = np.r_[0:50, 50:53, 100:150]
    model = GaussianMixtureClassifier(covariance_type=["full", "diag", "VII"]).fit(X[few], Y[few])
    results = pd.DataFrame(model.results_)
    small = results[results["class"] == 1].set_index("covariance_type")
    assert small.loc["full", "failure"]
    assert np.isnan(small.loc["full", "rank"])
    assert model.mixtures_[1].covariance_type in ("diag", "VII")
    assert model.mixtures_[0].covariance_type == "full"


ONLY_SINGULAR = "The covariance of {} is singular in every candidate"


@pytest.mark.parametrize(
    ("parameters", "rows", "named"),
    [
        ({"covariance_type": ["full", "VEV"]}, np.r_[0:50, 50:53, 100:150], "class b"),
        ({"covariance_type": ["full", "VVI"]}, np.r_[0:2, 50:52, 100:150], "classes a, b"),
        ({"components": "shared"}, np.r_[0:50, 50:53, 100:150], "the classes"),
    ],
    ids=["one", "two", "shared"],
)
@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.filterwarnings("ignore:The fit has collapsed components", "ignore:No candidate is")
@pytest.mark.all_cases
def test_a_class_is_fitted_with_a_ridge_only_if_it_is_singular_in_every_family(
    parameters, rows, named, unknown
):
    table, classes = X[rows].copy(), np.array(["a", "b", "c"], dtype=object)[Y[rows]]
    if "classes" in named and "VVI" in parameters.get("covariance_type", ()):
        table[classes != "c", 0] = 5.0  # both classes are constant in a column
    if unknown:
        table, classes = np.vstack((table, X[101:150:5])), np.append(classes, [None] * 10)
    model = GaussianMixtureClassifier(**parameters)
    with pytest.warns(EMWarning, match=ONLY_SINGULAR.format(named)):
        model.fit(table, classes)
    known = classes != None  # noqa: E711
    assert model.score(table[known], classes[known].tolist()) == 1
    eigenvalues = [np.linalg.eigvalsh(dense(mixture)) for mixture in model.mixtures_]
    assert np.min(eigenvalues) == pytest.approx(1e-7 * table.var(axis=0).min(), rel=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The fit has collapsed|No candidate is|reg_covar")
        GaussianMixtureClassifier(**parameters, reg_covar=1e-4).fit(table, classes)


def test_equal_rows_of_a_class_need_a_ridge_but_equal_rows_of_all_are_refused():
    rows, classes = np.repeat([[0.0], [1.0]], 3, axis=0), np.repeat([0, 1], 3)
    with pytest.warns(EMWarning, match=ONLY_SINGULAR.format("classes 0, 1")):
        model = GaussianMixtureClassifier().fit(rows, classes)
    np.testing.assert_array_equal(model.predict(rows), classes)
    with pytest.raises(ValueError, match=r"^Class 0: None of the 1 candidates"):
        GaussianMixtureClassifier().fit(0 * rows, classes)


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"priors": [0.5, 0.5]}, Y, "priors must be 3 probabilities"),
        ({"priors": [0.5, 0.6, 0.1]}, Y, "priors must be 3 probabilities"),
        ({"components": "shared", "n_components": 2}, Y, "n_components is 2, but components="),
        ({}, np.zeros(150), "The number of classes has to be greater than one; got 1 class"),
        ({}, np.full(150, np.nan), "y has no row with a class"),
        ({}, [*Y[:-1].tolist(), "a"], "Some classes in y are text and others are not"),
        (
            {},
            [*[[1]] * 149, [1, 2]],
            "y is not an array.* Row 149, .* has 2 entries.* Give one class for each row",
        ),
        ({"components": "both"}, Y, "components"),
        (
            {"covariance_type": ["full", "ful"]},
            Y,
            "^covariance_type must be .* Did you mean 'full'",
        ),
    ],
    ids=str,
)
@pytest.mark.all_cases
def test_wrong_input_is_refused(parameters, y, message):
    model = GaussianMixtureClassifier(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "classes_")


def test_a_class_of_weight_zero_is_refused():
    with pytest.raises(ValueError, match="All rows of class 2 have the weight 0"):
        GaussianMixtureClassifier().fit(X, Y, sample_weight=(Y != 2).astype(float))


def test_a_row_far_from_all_classes_has_no_probabilities():
    model = GaussianMixtureClassifier().fit(X, Y)
    far = np.vstack([X[:2], np.full((1, 4), 1e200)])
    assert model.score_samples(far)[2] == -np.inf
    with pytest.raises(ValueError, match=r"Row 2 of X, counted from 0, is so far"):
        model.predict(far)


def test_scikit_learn_tools_work():
    model = GaussianMixtureClassifier(covariance_type="EEE", components="shared")
    assert cross_val_score(model, X, Y, cv=5).mean() > 0.97
    grid = GridSearchCV(model, {"components": ["separate", "shared"]}, scoring="neg_log_loss")
    assert grid.fit(X, Y).best_params_ == {"components": "separate"}
    means = [
        cross_val_score(model.set_params(components=each), X, Y, scoring="neg_log_loss").mean()
        for each in ("separate", "shared")
    ]
    np.testing.assert_allclose(grid.cv_results_["mean_test_score"], means)
    binary = GaussianMixtureClassifier().fit(X[:, :2], Y == 1)
    boundary = DecisionBoundaryDisplay.from_estimator(binary, X[:, :2], grid_resolution=10)
    assert np.isfinite(boundary.response).all()
    display = CalibrationDisplay.from_estimator(binary, X[:, :2], Y == 1, n_bins=3)
    assert (np.diff(display.prob_pred) > 0).all()
    mpl.pyplot.close("all")


def test_names_of_features_are_kept():
    table = pd.DataFrame(X, columns=list("abcd"))
    y = pd.Series(np.array(["x", "y", "z"])[Y])
    y[::7] = None
    model = GaussianMixtureClassifier().fit(table, y)
    assert list(model.feature_names_in_) == list("abcd")
    assert list(model.mixtures_[0].feature_names_in_) == list("abcd")
    assert model.score(table, np.array(["x", "y", "z"])[Y]) > 0.95


def test_weights_are_routed():
    with config_context(enable_metadata_routing=True):
        model = GaussianMixtureClassifier().set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=False)
        piped = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        piped.fit(X, Y, sample_weight=WEIGHTS)
        scaled = StandardScaler().fit_transform(X)
        direct = GaussianMixtureClassifier().fit(scaled, Y, sample_weight=WEIGHTS)
        np.testing.assert_array_equal(piped.predict_proba(X), direct.predict_proba(scaled))
        found = cross_validate(model, X, Y, params={"sample_weight": WEIGHTS}, cv=3)
        assert found["test_score"].mean() > 0.9


@pytest.mark.parametrize("components", ["separate", "shared"])
def test_parameters_that_are_changed_later_do_not_change_the_fitted_classifier(components):
    model = GaussianMixtureClassifier(components=components, covariance_type="EEE").fit(X, Y)
    expected, n_parameters = model.predict_log_proba(X), model.n_parameters()
    other = {"separate": "shared", "shared": "separate"}[components]
    model.set_params(components=other, covariance_type="VII", n_components=3, priors=[1.0, 0, 0])
    np.testing.assert_array_equal(model.predict_log_proba(X), expected)
    assert model.n_parameters() == n_parameters


def test_parameters_of_the_selection_of_each_class_are_passed_on(monkeypatch):
    own = GaussianMixtureClassifier().get_params()
    theirs = GaussianMixtureIC().get_params()
    assert theirs.keys() - own.keys() == {"noise", "equal_weights", "order"}
    assert {name: own[name] for name in own.keys() & theirs.keys()} == {
        **{name: theirs[name] for name in own.keys() & theirs.keys()},
        "n_components": 1,
        "covariance_type": "full",
    }
    seen = []

    def fit(selection, *arguments, **others):
        seen.append(selection.get_params())
        return plain(selection, *arguments, **others)

    plain = GaussianMixtureIC._fit_rows
    monkeypatch.setattr(GaussianMixtureIC, "_fit_rows", fit)
    parameters = {
        "n_components": [1, 2],
        "covariance_type": ["VVI"],
        "criterion": "icl",
        "n_jobs": 2,
        "tol": 1e-3,
        "reg_covar": 1e-5,
        "max_iter": 50,
        "n_init": 2,
        "init_params": "kmeans",
        "random_state": 3,
        "verbose_interval": 7,
        "break_symmetry": False,
        "prior": None,
        "acceleration": None,
        "sampling": None,
        "weight_concentration": 1.5,
        "verbose": 0,
    }
    GaussianMixtureClassifier(**parameters).fit(X, Y)
    assert len(seen) == 3
    for found in seen:
        assert {name: found[name] for name in parameters} == parameters
