"""scikit-learn as the oracle: from the same start the same iterates; same seed, same fit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import (
    SCIKIT_LEARNS_STARTS,
    TYPES,
    clusters,
    fit,
    given_start,
    identity_precisions,
    relative_error,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from emgmm import GaussianMixture

types = pytest.mark.parametrize("covariance_type", TYPES)
# The one exception: `tied` from single rows, where scikit-learn's theta_0 is an uncentred second
# moment; test_tied_single_rows_start_from_the_datas_mean says what ours is.
SINGLE_ROWS = ("k-means++", "random_from_data")


type_and_start = pytest.mark.parametrize(
    ("covariance_type", "init_params"),
    [(c, i) for c in TYPES for i in SCIKIT_LEARNS_STARTS if not (c == "tied" and i in SINGLE_ROWS)],
)


def ours(**arguments):
    return GaussianMixture(**arguments, break_symmetry=False)


@types
@pytest.mark.filterwarnings("ignore::emgmm.StoppedShortWarning")
@pytest.mark.parametrize("reg_covar", [0, 1e-6])
@pytest.mark.parametrize("iterations", [1, 2, 5, 20])
@pytest.mark.parametrize("name", ["iris", "wine", "faithful", "question"])
def test_same_start_same_iterates(real_data, name, covariance_type, reg_covar, iterations):
    X = real_data[name]
    start = given_start(X, 3, covariance_type)
    run = {"tol": 0, "max_iter": iterations, "reg_covar": reg_covar, **start}
    theirs, mine = fit(Theirs(**run), X), fit(ours(**run), X)
    assert relative_error(mine, theirs) < 1e-9
    np.testing.assert_allclose(mine.lower_bound_, theirs.score(X), rtol=1e-11)
    np.testing.assert_allclose(mine.score_samples(X), theirs.score_samples(X), rtol=1e-9)
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))
    assert mine.bic(X) == pytest.approx(theirs.bic(X), rel=1e-11)
    assert mine.aic(X) == pytest.approx(theirs.aic(X), rel=1e-11)
    assert mine.n_parameters() == mine._n_parameters() == theirs._n_parameters()


@types
def test_same_attributes_in_the_same_shapes(iris, covariance_type):
    theirs = Theirs(3, covariance_type=covariance_type, random_state=0).fit(iris)
    mine = ours(n_components=3, covariance_type=covariance_type, random_state=0).fit(iris)
    for name in vars(theirs):
        if name.endswith("_") and isinstance(getattr(theirs, name), np.ndarray):
            a, b = getattr(mine, name), getattr(theirs, name)
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9 * np.abs(b).max())
    assert mine.converged_ == theirs.converged_
    assert len(mine.lower_bounds_) == len(theirs.lower_bounds_) == mine.n_iter_
    # scikit-learn's list lags one M-step behind the parameters it returns.
    np.testing.assert_allclose(mine.lower_bounds_[:-1], theirs.lower_bounds_[1:], rtol=1e-11)


@type_and_start
@pytest.mark.parametrize(
    ("name", "n_components"), [("iris", 3), ("wine", 3), ("digits", 10), ("question", 2)]
)
def test_same_seed_same_default_fit(real_data, name, n_components, covariance_type, init_params):
    X = real_data[name]
    arguments = {
        "n_components": n_components,
        "covariance_type": covariance_type,
        "init_params": init_params,
        "random_state": 7,
    }
    theirs, mine = fit(Theirs(**arguments), X), fit(ours(**arguments), X)
    assert mine.n_iter_ == theirs.n_iter_
    assert mine.converged_ == theirs.converged_
    assert relative_error(mine, theirs) < 1e-8
    np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))


@types
@pytest.mark.parametrize("init_params", ["kmeans", "random"])
def test_same_seed_same_best_of_several_starts(iris, covariance_type, init_params):
    arguments = {"init_params": init_params, "n_init": 4, "random_state": 1}
    arguments |= {"n_components": 4, "covariance_type": covariance_type}
    theirs, mine = fit(Theirs(**arguments), iris), fit(ours(**arguments), iris)
    assert mine.n_iter_ == theirs.n_iter_
    assert relative_error(mine, theirs) < 1e-8


@types
def test_a_loop_of_one_step_warm_fits_ends_where_theirs_does(iris, covariance_type):
    arguments = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
    stops = []
    for make in (Theirs, ours):
        model = make(**arguments, max_iter=1, warm_start=True)
        steps = 1
        while not fit(model, iris).converged_ and steps < 100:
            steps += 1
        stops.append((steps, model))
    (their_step, theirs), (my_step, mine) = stops
    assert my_step == their_step
    assert relative_error(mine, theirs) < 1e-8
    whole = ours(**arguments).fit(iris)
    assert whole.n_iter_ == my_step
    assert relative_error(mine, whole) < 1e-12


@types
@pytest.mark.parametrize("missing", ["weights_init", "means_init", "precisions_init"])
def test_partly_given_starts(iris, covariance_type, missing):
    start = given_start(iris, 3, covariance_type)
    del start[missing]
    theirs, mine = (
        fit(Theirs(**start, random_state=0), iris),
        fit(ours(**start, random_state=0), iris),
    )
    assert mine.n_iter_ == theirs.n_iter_
    assert relative_error(mine, theirs) < 1e-8


@pytest.mark.parametrize("given", ["weights_init", "means_init", "precisions_init"])
def test_one_parameter_given(iris, given):
    start = given_start(iris, 3, "full")
    arguments = {"n_components": 3, "random_state": 0, given: start[given]}
    theirs, mine = fit(Theirs(**arguments), iris), fit(ours(**arguments), iris)
    assert mine.n_iter_ == theirs.n_iter_
    assert relative_error(mine, theirs) < 1e-8


@type_and_start
def test_no_iterations_return_the_start(iris, covariance_type, init_params):
    arguments = {"init_params": init_params, "max_iter": 0, "random_state": 0}
    arguments |= {"n_components": 3, "covariance_type": covariance_type}
    theirs, mine = Theirs(**arguments).fit(iris), ours(**arguments).fit(iris)
    assert relative_error(mine, theirs) < 1e-10
    assert mine.n_iter_ == 0
    assert not mine.converged_
    assert mine.lower_bounds_ == []
    assert mine.lower_bound_ == pytest.approx(mine.score(iris), rel=1e-14, abs=0)


@pytest.mark.parametrize("init_params", SINGLE_ROWS)
def test_tied_single_rows_start_from_the_datas_mean(iris, init_params):
    model = ours(
        n_components=5, covariance_type="tied", init_params=init_params, max_iter=0, random_state=0
    ).fit(iris)
    nearest = np.abs(model.means_[:, None] - iris).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-13
    deviations = model.means_ - iris.mean(axis=0)
    expected = deviations.T @ deviations / 5 + 1e-6 * np.eye(4)
    np.testing.assert_allclose(model.covariances_, expected, rtol=1e-12, atol=1e-13)
    moved = ours(
        n_components=5, covariance_type="tied", init_params=init_params, max_iter=0, random_state=0
    ).fit(iris + 1024)
    np.testing.assert_allclose(moved.covariances_, expected, rtol=1e-9, atol=1e-10)


@types
@pytest.mark.parametrize("init_params", ["kmeans", "random"])
def test_float32_stays_float32_and_follows_theirs(iris, covariance_type, init_params):
    X = iris.astype(np.float32)
    # Theirs adds likelihoods up in float32, which moves the iteration at which tol is met: tol is 0.
    arguments = {"init_params": init_params, "random_state": 0, "tol": 0, "max_iter": 8}
    arguments |= {"n_components": 3, "covariance_type": covariance_type}
    theirs, mine = fit(Theirs(**arguments), X), fit(ours(**arguments), X)
    # A random start magnifies what theirs loses in single precision.
    assert relative_error(mine, theirs) < (1e-3 if init_params == "kmeans" else 5e-3)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(mine, name).dtype == np.float32
    for name in ("score_samples", "predict_proba", "predict_log_proba"):
        assert getattr(mine, name)(X).dtype == np.float32
    assert mine.lower_bound_ == pytest.approx(mine.score(X), rel=1e-12)
    wide = fit(ours(**arguments), iris)
    assert relative_error(mine, wide) < 1e-4


@types
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "faithful", "question"])
def test_the_bound_is_the_score_of_what_is_returned(real_data, name, covariance_type, dtype):
    X = real_data[name].astype(dtype)
    model = fit(ours(n_components=2, covariance_type=covariance_type, random_state=0), X)
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-12)
    assert model.lower_bounds_[-1] == model.lower_bound_
    rows = model.score_samples(X).astype(float)
    single = dtype == np.float32  # whose products may be off by 1e-4 in each row
    assert rows.mean() == pytest.approx(
        model.lower_bound_, rel=1e-6 if single else 1e-11, abs=1e-5 if single else 0
    )


@types
@pytest.mark.parametrize("outlier", [0.0, 1e8])
def test_an_empty_component_is_theirs_in_either_form_of_the_e_step(covariance_type, outlier):
    X = np.random.default_rng(0).normal([3, 4], size=(200, 2))
    X[0] += outlier
    start = {"weights_init": [0.5, 0.5], "means_init": [[-200, -200], [3, 4]]}
    start["precisions_init"] = identity_precisions(covariance_type, 2, 2)
    run = {"tol": 0, "max_iter": 1, "covariance_type": covariance_type, **start}
    theirs, mine = fit(Theirs(2, **run), X), fit(ours(n_components=2, **run), X)
    np.testing.assert_allclose(mine.means_, theirs.means_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mine.weights_, theirs.weights_, rtol=1e-9, atol=1e-16)


def test_shares_out_of_reach_are_exactly_zero():
    model = fit(ours(n_components=2, random_state=0), np.r_[np.zeros((5, 1)), np.full((5, 1), 1e3)])
    assert set(model.predict_proba([[0.0], [1e3]]).ravel()) == {0.0, 1.0}


def test_a_row_out_of_every_reach_has_density_zero():
    model = ours(n_components=2, random_state=0).fit(clusters())
    with np.errstate(over="ignore"):
        density = model.score_samples([[1e200, 0.0, 0.0]])
    assert density[0] < -1e300


def test_the_best_start_is_the_best_by_the_true_objective():
    X = clusters(200, 2, 5, seed=3, spread=2)
    arguments = {"n_components": 5, "init_params": "random_from_data", "tol": 1e-2}
    random = np.random.RandomState(0)
    single = [fit(GaussianMixture(**arguments, random_state=random), X) for _ in range(6)]
    best = fit(GaussianMixture(**arguments, n_init=6, random_state=np.random.RandomState(0)), X)
    assert best.lower_bound_ == pytest.approx(max(m.lower_bound_ for m in single), rel=1e-12)


@types
def test_verbose_prints_their_lines(iris, capsys, covariance_type):
    def lines(make, verbose):
        arguments = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
        fit(make(**arguments, verbose=verbose, verbose_interval=2, n_init=2, tol=1e-5), iris)
        return capsys.readouterr().out.splitlines()

    assert lines(ours, 0) == []
    assert lines(ours, 1) == lines(Theirs, 1)

    mine, theirs = lines(ours, 2), lines(Theirs, 2)
    assert len(mine) == len(theirs)
    changes = [line for line in mine if "ll change" in line]
    assert changes
    for a, b in zip(mine, theirs, strict=True):
        if "ll change" in b:
            assert a.split("ll change")[1] == b.split("ll change")[1]
            assert a.split("\t")[0] == b.split("\t")[0]
        else:
            assert a.split("time lapse")[0] == b.split("time lapse")[0]


@types
def test_they_warn_alike_when_not_converged(iris, covariance_type):
    said = []
    for make in (Theirs, ours):
        model = make(n_components=3, covariance_type=covariance_type, max_iter=1, random_state=0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(iris)
        (warning,) = caught
        assert warning.category is ConvergenceWarning
        said.append(str(warning.message))
        assert warning.filename == __file__ or make is Theirs
    with pytest.warns(ConvergenceWarning) as caught:
        ours(n_components=3, covariance_type=covariance_type, max_iter=1).fit_predict(iris)
    assert caught[0].filename == __file__
    assert said[1].startswith(said[0])
