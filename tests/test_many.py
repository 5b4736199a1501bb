"""Fits of many data sets are the separate fits, however they are made."""

from __future__ import annotations

import pickle
import re
import warnings
from contextlib import suppress
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from emgmm import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    EMWarning,
    FitFailure,
    GaussianMixture,
    GaussianMixtureIC,
    StoppedShortWarning,
    blocks,
    fit_many,
    many,
)
from emgmm.covariances import FAMILIES
from emgmm.estep import stacked
from emgmm.estep.compiled.estep import kernel

TYPES = ("full", "tied", "diag", "spherical")
K, D = 3, 2
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
NUMBERS = (*PARAMETERS, "lower_bound_", "lower_bounds_", "remaining_gain_")
KINDS = [
    "numpy",
    pytest.param(
        "compiled",
        marks=pytest.mark.skipif(kernel() is None, reason="needs numba, which is optional"),
    ),
]


def rows(seed, n, n_features=D, dtype=np.float64):
    random = np.random.default_rng(seed)
    centres = np.linspace(-3, 3, K)[:, None] + 0.3 * random.normal(size=(K, n_features))
    return (centres[random.integers(K, size=n)] + random.normal(size=(n, n_features))).astype(dtype)


def start(kind, n_features=D):
    """Parameters from which EM starts."""
    shapes = {"full": (K, 1, 1), "tied": (1, 1), "diag": (K, n_features), "spherical": (K,)}
    each = np.eye(n_features) if kind in ("full", "tied") else 1.0
    return {
        "weights_init": np.full(K, 1 / K),
        "means_init": np.linspace(-4, 4, K)[:, None] * np.ones(n_features),
        "precisions_init": np.ones(shapes[kind]) * each,
    }


def separately(estimator, Xs, sample_weights=None):
    """What `fit_many` has to equal, without warnings."""
    weights = [None] * len(Xs) if sample_weights is None else sample_weights
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            clone(estimator).fit(X, **({} if own is None else {"sample_weight": own}))
            for X, own in zip(Xs, weights, strict=True)
        ]


@pytest.fixture
def quietly():
    """`fit_many` without its warnings."""

    def function(*args, **more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fit_many(*args, **more)

    return function


@pytest.fixture
def never_alone(monkeypatch):
    """Fail if a data set is fitted separately."""

    def alone(model, job):
        raise AssertionError(f"data set {job.number} is fitted separately")

    monkeypatch.setattr(many, "_fit_alone", alone)


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch):
    """Both implementations of the sums over rows."""
    monkeypatch.setattr(many, "COMPILED_FROM", 0 if request.param == "compiled" else np.inf)


def assert_same(found, expected, tolerance=1e-12):
    """The same attributes, and the same numbers up to rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert vars(one).keys() == vars(other).keys()
        for name in ("n_iter_", "converged_", "ending_", "n_features_in_", "noise_weight_"):
            assert getattr(one, name) == getattr(other, name), name
        for name in NUMBERS:
            a, b = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
            assert a.dtype == b.dtype
            # An extrapolation magnifies the rounding of the differences that it divides.
            allowed = tolerance * (100 if name == "remaining_gain_" else 1)
            np.testing.assert_allclose(a, b, rtol=allowed, atol=allowed, err_msg=name)
        assert [*one.history_["event"]] == [*other.history_["event"]]
        assert [*one.history_["passes"]] == [*other.history_["passes"]]
        assert one.get_params().keys() == other.get_params().keys()


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.all_cases
def test_results_are_those_of_separate_fits(covariance_type, kind, never_alone, quietly):
    Xs = [rows(seed, n) for seed, n in enumerate([80, 61, 300, 80, 45, 299, 80])]
    random = np.random.default_rng(0)
    weights = [None, *(random.choice([0.0, 0.5, 1, 3], size=len(X)) for X in Xs[1:])]
    estimator = GaussianMixture(
        K, covariance_type=covariance_type, max_iter=9, tol=1e-4, **start(covariance_type)
    )
    found = quietly(estimator, Xs, sample_weights=weights)
    assert_same(found, separately(estimator, Xs, weights))
    assert len({model.n_iter_ for model in found}) > 2  # some leave the stack before others
    for one, other, X in zip(found, separately(estimator, Xs, weights), Xs, strict=True):
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-12)
        assert one.partial_fit(X).n_iter_ == other.partial_fit(X).n_iter_
        np.testing.assert_allclose(one.means_, other.means_, rtol=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_single_precision(covariance_type, kind, never_alone, quietly):
    Xs = [rows(seed, 90, dtype=np.float32) for seed in range(4)]
    estimator = GaussianMixture(
        K, covariance_type=covariance_type, max_iter=8, tol=0, **start(covariance_type)
    )
    expected = separately(estimator, Xs)
    # Parameters are rounded after each step, and may be rounded the other way.
    for one, other in zip(quietly(estimator, Xs), expected, strict=True):
        for name in PARAMETERS:
            assert getattr(one, name).dtype == np.float32
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("n_features", [1, 4])
@pytest.mark.parametrize("start_from", ["kmeans", "random", "k-means++", "random_from_data"])
def test_random_starts_are_those_of_separate_fits(start_from, n_features, quietly):
    Xs = [rows(seed, 120, n_features) for seed in range(4)]
    for random_state in (3, np.random.RandomState(3)):
        estimator = GaussianMixture(K, init_params=start_from, random_state=random_state)
        assert_same(quietly(estimator, Xs), separately(estimator, Xs), 1e-9)
    assert not hasattr(estimator, "means_")


@pytest.mark.parametrize("covariance_type", [n for n in FAMILIES if n not in "EV"])
def test_every_family(covariance_type, quietly):
    Xs = [rows(seed, 150) for seed in range(3)]
    estimator = GaussianMixture(2, covariance_type=covariance_type, random_state=0, max_iter=5)
    assert_same(quietly(estimator, Xs), separately(estimator, Xs))


@pytest.mark.parametrize(
    "parameters",
    [
        {"acceleration": "anderson"},
        {"prior": "conjugate"},
        {"weight_concentration": 2.0},
        {"noise": "uniform"},
        {"n_init": 2},
        {"max_iter": 0},
        {"init_params": lambda X, K, random: (X[:, 0] > X[:, 0].mean()).astype(int)},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_other_fits_are_separate(parameters, quietly):
    Xs = [rows(seed, 60) for seed in range(2)]
    estimator = GaussianMixture(2, **{"random_state": 0, **parameters})
    for one, other in zip(quietly(estimator, Xs), separately(estimator, Xs), strict=True):
        assert (one.means_ == other.means_).all()
        assert one.lower_bounds_ == other.lower_bounds_


def test_other_estimators(quietly):
    Xs = [rows(seed, 60) for seed in range(2)]

    class Mine(GaussianMixture):
        pass

    for estimator in (
        Theirs(2, random_state=0),
        GaussianMixtureIC([1], covariance_type="diag"),
        Mine(2, random_state=0),
    ):
        for one, other in zip(quietly(estimator, Xs), separately(estimator, Xs), strict=True):
            assert type(one) is type(estimator)
            assert (one.means_ == other.means_).all()


def unusual():
    """Data sets that a stack does not serve, by name, and an ordinary one between them."""
    X = rows(0, 80)
    one_column = X.copy()
    one_column[:, 1] = 7.0
    with_nan, infinite, far = X.copy(), X.copy(), X.copy()
    with_nan[3, 0], infinite[5, 1], far[0] = np.nan, np.inf, 1e140
    return {
        "ordinary": X,
        "constant": np.ones((30, D)),
        "a constant column": one_column,
        "missing": with_nan,
        "ordinary too": rows(1, 80),
        "infinite": infinite,
        "far": far,
        "one row": X[:1],
        "no rows": X[:0],
        "fewer rows than components": X[:2],
        "three rows": X[:3],
        "repeated rows": np.repeat(X[:4], 20, axis=0),
        "distant": X + 1e9,
        "tiny": X * 1e-9,
        "one dimension": X[:, 0],
        "text": [["a", "b"]],
        "other width": rows(2, 80, 3),
        "still ordinary": rows(3, 81),
    }


@pytest.mark.parametrize("reg_covar", [0, 1e-6])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.all_cases
def test_no_data_set_harms_another(covariance_type, reg_covar, quietly):
    Xs = list(unusual().values())
    given = {"means_init": [[-4, -4], [0, 0], [4, 4]], "reg_covar": reg_covar}
    estimator = GaussianMixture(K, covariance_type=covariance_type, random_state=0, **given)
    found, failures = quietly(estimator, Xs), 0
    for index, (X, one) in enumerate(zip(Xs, found, strict=True)):
        if isinstance(one, FitFailure):
            assert one.index == index
            with pytest.raises(type(one.error), match=f"^{re.escape(str(one.error))}$"):
                separately(estimator, [X])
            failures += 1
        else:
            assert_same([one], separately(estimator, [X]), 1e-9)
    assert failures >= 7


def test_identical_components_are_split(quietly):
    Xs = [rows(seed, 100) for seed in range(3)]
    estimator = GaussianMixture(
        K, random_state=0, tol=1e-8, **{**start("full"), "means_init": np.zeros((K, D))}
    )
    with pytest.warns(CoincidentComponentsWarning) as caught:
        found = fit_many(estimator, Xs)
    assert [*caught[0].message.problems] == [0, 1, 2]
    for one, other in zip(found, separately(estimator, Xs), strict=True):
        assert one.lower_bounds_ == other.lower_bounds_
    at_rest = clone(estimator).set_params(break_symmetry=False)
    with pytest.warns(CoincidentComponentsWarning):
        fit_many(at_rest, Xs)


def test_warnings_are_one_of_each_class():
    Xs = [
        rows(0, 80),
        np.repeat(rows(1, 5), 16, axis=0),
        rows(2, 80),
        np.repeat(rows(3, 5), 9, axis=0),
    ]
    estimator = GaussianMixture(K, max_iter=2, tol=0, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_many(estimator, Xs)
    found = {type(each.message): each for each in caught}
    assert len(found) == len(caught)
    assert [*found[ConvergenceWarning].message.problems] == [0, 1, 2, 3]
    told = found[CollapsedComponentWarning]
    assert [*told.message.problems] == [1, 3]
    assert told.filename == __file__
    assert told.message.components == ()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clone(estimator).fit(Xs[3])
    (own,) = (each.message for each in caught if isinstance(each.message, EMWarning))
    assert told.message.problems[3].components == own.components
    assert str(told.message).endswith(str(told.message.problems[1]))


def test_a_stacked_fit_that_stopped_short_warns(never_alone):
    X = rows(5, 4000, 1)
    estimator = GaussianMixture(K, tol=0.05, means_init=[[-1.0], [0], [1]], random_state=0)
    with pytest.warns(StoppedShortWarning) as expected:
        clone(estimator).fit(X)
    with pytest.warns(StoppedShortWarning) as caught:
        fit_many(estimator, [X])
    one, other = caught[0].message.problems[0], expected[0].message
    assert str(one) == str(other)
    assert one.remaining_gain == pytest.approx(other.remaining_gain, rel=1e-9)


def test_forms_of_the_data_sets(never_alone, quietly):
    table = np.stack([rows(seed, 70, 1)[:, 0] for seed in range(5)], axis=1)
    estimator = GaussianMixture(K, max_iter=5, tol=0, **start("full", 1))
    expected = separately(estimator, [table[:, [j]] for j in range(5)])
    forms = {
        "array": (np.ascontiguousarray(table.T)[:, :, None], {}),
        "list": ([table[:, [j]].tolist() for j in range(5)], {}),
        "generator": ((table[:, [j]] for j in range(5)), {}),
        "columns": (table, {"columns": True}),
        "list of rows": (table.tolist(), {"columns": True}),
    }
    for Xs, more in forms.values():
        assert_same(quietly(estimator, Xs, **more), expected)
    frame = pd.DataFrame(table, columns=list("abcde")).astype({"b": np.float32})
    found = quietly(estimator, frame, columns=True)
    assert [model.feature_names_in_.tolist() for model in found] == [[name] for name in "abcde"]
    assert found[1].means_.dtype == np.float32
    assert_same(
        quietly(estimator, frame[["a"]], columns=True), separately(estimator, [frame[["a"]]])
    )
    assert fit_many(estimator, []) == []


def test_columns_fail_one_by_one(quietly):
    frame = pd.DataFrame({"a": rows(0, 50, 1)[:, 0], "b": "text", "c": rows(1, 50, 1)[:, 0]})
    frame.loc[4, "c"] = np.nan
    weights = np.arange(50.0)
    estimator = GaussianMixture(2, random_state=0)
    one, failure, other = quietly(estimator, frame, columns=True, sample_weights=weights)
    assert failure.index == 1
    assert "'b'" in str(failure.error)
    expected = separately(estimator, [frame[["a"]], frame[["c"]]], [weights, weights])
    assert_same([one, other], expected)


@pytest.mark.slow
def test_processes_change_nothing(quietly):
    Xs = [rows(0, 60), np.ones((5, D)), *(rows(seed, 60) for seed in range(1, 4))]
    estimator = GaussianMixture(K, random_state=0, max_iter=3, tol=0, reg_covar=0)
    with pytest.warns(ConvergenceWarning) as caught:
        in_two = fit_many(estimator, Xs, n_jobs=2)
    assert [*caught[0].message.problems] == [0, 2, 3, 4]
    for one, other in zip(in_two, quietly(estimator, Xs), strict=True):
        if isinstance(one, FitFailure):
            assert (one.index, str(one.error)) == (other.index, str(other.error))
        else:
            assert (one.means_ == other.means_).all()


def test_failures_pickle(quietly):
    (failure,) = quietly(GaussianMixture(2, reg_covar=0), [np.ones((9, 2))])
    again = pickle.loads(pickle.dumps(failure))
    assert type(again.error) is type(failure.error)
    assert str(again.error) == str(failure.error)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (partial(fit_many, GaussianMixture(0), [rows(0, 9)]), ValueError, "n_components"),
        (partial(fit_many, GaussianMixture(), rows(0, 9)), ValueError, "columns=True"),
        (partial(fit_many, GaussianMixture(), pd.DataFrame(rows(0, 9))), TypeError, "columns=True"),
        (partial(fit_many, GaussianMixture(), blocks([rows(0, 9)])), TypeError, "blocks"),
        (
            partial(fit_many, GaussianMixture(), [rows(0, 9)], sample_weights=[None, None]),
            ValueError,
            "2 entries, but there are 1",
        ),
        (
            partial(fit_many, GaussianMixture(), rows(0, 9), columns=True, sample_weights=[1.0]),
            ValueError,
            "9 rows",
        ),
    ],
    ids=["parameter", "two dimensions", "table", "blocks", "weights", "weights of columns"],
)
@pytest.mark.all_cases
def test_what_cannot_be_fitted_is_an_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_weights_that_are_wrong_are_a_failure_of_their_data_set(quietly):
    Xs, weights = [rows(0, 30), rows(1, 30)], [np.full(30, -1.0), None]
    failure, model = quietly(GaussianMixture(2, random_state=0), Xs, sample_weights=weights)
    assert failure.index == 0
    assert "sample_weight of row 0" in str(failure.error)
    assert model.weights_.shape == (2,)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n_components", "n_features", "n"), [(1, 1, 5), (2, 1, 999), (5, 3, 130)])
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_sums_are_those_of_the_long_form(
    covariance_type, n_components, n_features, n, weighted, kind, monkeypatch
):
    monkeypatch.setattr(stacked, "LOG_JOINT_ENTRIES", 300)  # several pieces
    structure, random = FAMILIES[covariance_type].structure, np.random.default_rng(0)
    table = random.normal(size=(n_features, 4, n))
    weights = random.uniform(size=(4, n)) if weighted else None
    n_monomials = structure.n_monomials(n_features)
    parameters = random.normal(size=(4, n_components, 1 + n_features + n_monomials))
    of = stacked.stacked_kind(structure, n_components, n_features, 1, many.COMPILED_FROM)
    products, log_likelihoods = of.of(table, structure, weights).sums(parameters)
    for b in range(4):
        monomials = np.empty((n_monomials, n))
        structure.monomials(table[:, b], monomials)
        phi = np.concatenate([np.ones((1, n)), table[:, b], monomials])
        joint = np.exp(parameters[b] @ phi)
        own = np.ones(n) if weights is None else weights[b]
        expected = (own * joint / joint.sum(axis=0)) @ phi.T
        np.testing.assert_allclose(products[b], expected, rtol=1e-11, atol=1e-11)
        assert log_likelihoods[b] == pytest.approx(own @ np.log(joint.sum(axis=0)), rel=1e-11)


def classes_of_warnings(call):
    """The classes of the warnings of a call, and what they say about each data set."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [each.message for each in caught]


@pytest.mark.parametrize(
    "parameters",
    [{"reg_covar": 0.2}, {}, {"reg_covar": 0}, {"break_symmetry": False}],
    ids=str,
)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_warnings_are_those_of_separate_fits(covariance_type, parameters):
    Xs = [X for X in unusual().values() if np.shape(X)[1:] == (D,)]
    # EM starves a component, collapses onto equal rows, and is dominated by the ridge.
    Xs += [
        rows(4, 40) + 4,
        np.concatenate([rows(5, 60), np.full((20, D), 9.0)]),
        rows(6, 90) * 3e-3,
    ]
    estimator = GaussianMixture(
        K, covariance_type=covariance_type, max_iter=40, **start(covariance_type), **parameters
    )
    told = classes_of_warnings(lambda: fit_many(estimator, Xs))
    seen = set()
    for index, X in enumerate(Xs):
        with suppress(ValueError):
            expected = classes_of_warnings(lambda X=X: clone(estimator).fit(X))
            own = [each.problems[index] for each in told if index in each.problems]
            assert {(type(each), str(each)) for each in own} == {
                (type(each), str(each)) for each in expected
            }
            seen |= {type(each) for each in expected}
    assert seen


def test_distant_clusters_keep_their_digits(quietly):
    random = np.random.default_rng(0)
    Xs = [
        random.normal(size=(60, 1)) + 3e6 * random.integers(-1, 2, size=(60, 1)) for _ in range(3)
    ]
    given = {**start("full", 1), "means_init": 3e6 * np.array([[-1.0], [0], [1]])}
    estimator = GaussianMixture(K, reg_covar=0, **given)
    for one, other in zip(quietly(estimator, Xs), separately(estimator, Xs), strict=True):
        np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-12)
        assert one.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-12)
