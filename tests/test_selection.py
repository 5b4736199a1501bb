"""Choosing: mclust's stored criteria, the fits one by one, and what fails."""

from __future__ import annotations

import inspect
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from conftest import clusters
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_mclust import HERE, converged, rows

from emgmm import EMWarning, GaussianMixture, GaussianMixtureIC, InformationCriterionDisplay, blocks
from emgmm.selection import CRITERIA
from emgmm.starts import STARTS

X = clusters(300, 3, 3)
# What speaks of one fit.
NOT_OF_A_GRID = {
    *("weights_init", "means_init", "precisions_init", "warm_start"),
    *("checkpoint", "checkpoint_every", "learning_decay", "learning_offset", "forgetting"),
}
FIGURES = (*CRITERIA, "log_likelihood", "n_parameters", "rank")


def chosen(*arguments, rows=X, weights=None, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EMWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        settings = {"random_state": 0, **settings}
        return GaussianMixtureIC(*arguments, **settings).fit(rows, sample_weight=weights)


@cache
def grid():
    return chosen(range(1, 5), covariance_type=["full", "tied", "EEI", "VVE"])


# -- mclust -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["faithful", "iris", "acidity", "chevron"])
def test_mclusts_criteria_and_choice(name):
    families = [model for model in converged()[name] if model != "VVE"]
    starts = np.loadtxt(HERE / "starts" / f"{name}.csv", delimiter=",", skiprows=1, dtype=int)

    def start(X, n_components, random_state):
        return starts[:, n_components - 2] if n_components > 1 else np.zeros(len(X), dtype=int)

    found = chosen(
        range(1, 7), covariance_type=families, rows=rows(name), init_params=start, reg_covar=0,
        tol=1e-11, max_iter=20_000, break_symmetry=False,
    )  # fmt: skip
    ours = {}
    theirs = {}
    for k, family, bic in zip(
        *(found.results_[key] for key in ("n_components", "covariance_type", "bic")), strict=True
    ):
        result = converged()[name][family][str(k)]
        if result["loglik"] is None or not result["rel_change"] <= 1e-10:
            continue
        ours[k, family], theirs[k, family] = bic, -result["bic"]
    assert len(ours) > 3 * len(families)
    differing = [key for key in ours if not abs(ours[key] - theirs[key]) <= 1e-6 * abs(theirs[key])]
    assert not differing
    best = min(theirs, key=theirs.get)
    assert theirs[tuple(found.best_params_.values())] == theirs[best]


# -- the fits one by one ------------------------------------------------------------------------
@pytest.mark.parametrize(
    "settings", [{}, {"prior": "conjugate"}, {"noise": "uniform", "n_init": 2}]
)
def test_each_is_the_fit_alone(settings):
    weights = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    holed = np.where(np.random.default_rng(1).random(X.shape) < 0.05, np.nan, X)
    found = chosen([2, 3], covariance_type=["full", "EEE"], rows=holed, weights=weights, **settings)
    results = found.results_
    for i, (k, family) in enumerate(
        zip(results["n_components"], results["covariance_type"], strict=True)
    ):
        alone = GaussianMixture(k, covariance_type=family, random_state=0, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone.fit(holed, sample_weight=weights)
        for criterion in CRITERIA:
            expected = getattr(alone, criterion)(holed, sample_weight=weights)
            assert results[criterion][i] == pytest.approx(expected, rel=1e-12)
        total = alone.score(holed, sample_weight=weights) * weights.sum()
        assert results["log_likelihood"][i] == pytest.approx(total, rel=1e-12)
        assert results["n_parameters"][i] == alone.n_parameters()
        assert results["ending"][i] == alone.ending_.name
        if i == found.best_index_:
            assert_array_equal(found.best_estimator_.means_, alone.means_)
            assert_array_equal(found.best_estimator_.covariances_, alone.covariances_)
            assert type(found.best_estimator_) is GaussianMixture
            assert_array_equal(found.predict_proba(holed), alone.predict_proba(holed))


def test_a_start_is_made_once_for_all_families(monkeypatch):
    asked = []
    original = STARTS["kmeans"]

    def spy(rows, n_components, random):
        asked.append(n_components)
        return original(rows, n_components, random)

    monkeypatch.setitem(STARTS, "kmeans", spy)
    chosen([2, 3, 4], n_init=2)
    assert sorted(asked) == [2, 2, 3, 3, 4, 4]


def test_jobs_change_nothing():
    other = chosen(range(1, 5), covariance_type=["full", "tied", "EEI", "VVE"], n_jobs=2)
    for name in FIGURES:
        assert_array_equal(other.results_[name], grid().results_[name])
    assert other.best_params_ == grid().best_params_
    assert_array_equal(other.best_estimator_.means_, grid().best_estimator_.means_)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_best_by_each_criterion(criterion):
    found = chosen(range(1, 5), covariance_type=["full", "tied", "EEI", "VVE"], criterion=criterion)
    values = found.results_[criterion]
    assert found.best_index_ == np.argmin(values)
    assert found.results_["rank"][found.best_index_] == 1
    assert_array_equal(np.argsort(found.results_["rank"], kind="stable"), np.argsort(values))
    best = found.best_estimator_
    assert found.best_params_ == {
        "n_components": best.n_components,
        "covariance_type": best.covariance_type,
    }
    assert getattr(found, criterion)(X) == pytest.approx(values.min(), rel=1e-12)
    assert_array_equal(found.fit_predict(X), best.predict(X))


def test_all_families_for_the_features_there_are():
    assert set(chosen(2).results_["covariance_type"]) == set(converged()["iris"])
    assert set(chosen(2, rows=X[:, :1]).results_["covariance_type"]) == {"E", "V"}


@pytest.mark.parametrize("home", ["blocks", "dask", "frame"])
def test_other_kinds_of_rows(home):
    import dask.array

    names = ["a", "b", "c"]
    own = {
        "blocks": lambda: blocks([X[:100], X[100:]]),
        "dask": lambda: dask.array.from_array(X, chunks=(150, 3)),
        "frame": lambda: pd.DataFrame(X, columns=names),
    }[home]()
    found = chosen(range(1, 5), covariance_type=["full", "tied", "EEI", "VVE"], rows=own)
    assert_allclose(found.results_["bic"], grid().results_["bic"], rtol=1e-9)
    if home == "frame":
        assert list(found.best_estimator_.feature_names_in_) == names
        assert_array_equal(found.predict(own), grid().predict(X))


def test_ready_for_a_table_and_a_picture():
    table = pd.DataFrame(grid().results_)
    assert len(table) == 16
    assert table.loc[table["rank"] == 1, "bic"].item() == table["bic"].min()
    display = InformationCriterionDisplay.from_estimator(grid())
    assert display.ax_ is not None


# -- what fails ---------------------------------------------------------------------------------
def test_a_failing_candidate_is_a_line():
    few = np.repeat(X[:3], 4, axis=0)  # three distinct rows
    found = chosen([1, 2, 3], covariance_type=["full", "EII"], rows=few, reg_covar=0)
    failed = found.results_["failure"] != ""
    assert 0 < failed.sum() < len(failed)
    assert all("ill-defined" in each for each in found.results_["failure"][failed])
    for name in FIGURES:
        assert np.isnan(found.results_[name][failed]).all()
        assert np.isfinite(found.results_[name][~failed]).all()
    assert not failed[found.best_index_]
    beyond = chosen([2, 400])
    assert (beyond.results_["failure"] != "").sum() == 14
    assert "n_samples >= n_components" in beyond.results_["failure"][-1]


def test_if_all_fail_it_says_why_and_changes_nothing():
    model = GaussianMixtureIC([400], covariance_type="full")
    with pytest.raises(ValueError, match=r"None of the 1 candidates .* n_components=400 with cov"):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")
    found = chosen([2], covariance_type="full")
    before = dict(vars(found))
    with pytest.raises(ValueError, match="None of the"):
        found.set_params(n_components=400).fit(X)
    assert vars(found) == {**before, "n_components": 400}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": []}, r"n_components must be a whole number from 1 up, or some of these"),
        ({"n_components": [1, 0]}, r"but is \[1, 0\]"),
        ({"n_components": [2.5]}, r"but is \[2.5\]"),
        ({"covariance_type": ["full", "round"]}, "covariance_type must be 'all' or names among"),
        ({"covariance_type": []}, "covariance_type must be 'all' or names among"),
        ({"criterion": "nec"}, "The 'criterion' parameter"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureIC(**arguments).fit(X)


def test_warnings_are_kept_and_only_the_best_ones_issued():
    with pytest.warns(ConvergenceWarning) as caught:
        found = GaussianMixtureIC(
            [3, 4], covariance_type=["full", "VVE"], max_iter=2, tol=0, random_state=0
        ).fit(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert set(found.results_["warnings"]) == {"ConvergenceWarning"}


def test_an_interrupt_leaves_it_as_it_was():
    def interrupted(X, n_components, random_state):
        raise KeyboardInterrupt

    model = GaussianMixtureIC([2], init_params=interrupted, n_jobs=2)
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert vars(model) == before


# -- manners ------------------------------------------------------------------------------------
def test_every_parameter_of_a_fit_is_passed_on():
    ours = inspect.signature(GaussianMixtureIC).parameters
    theirs = inspect.signature(GaussianMixture).parameters
    assert set(theirs) - set(ours) == NOT_OF_A_GRID
    assert set(ours) - set(theirs) == {"criterion", "n_jobs"}
    for name in set(ours) & set(theirs) - {"n_components", "covariance_type"}:
        assert ours[name].default == theirs[name].default


def test_each_is_told_what_was_asked_for():
    settings = {"tol": 0.5, "reg_covar": 0.1, "max_iter": 7, "n_init": 3, "noise": "uniform"}
    settings |= {"acceleration": "anderson", "weight_concentration": 2.0, "break_symmetry": False}
    found = chosen([2], covariance_type="full", **settings)
    params = found.best_estimator_.get_params()
    assert {name: params[name] for name in settings} == settings
    assert params["random_state"] == 0


def test_verbose_prints_a_line_for_each(capsys):
    chosen([1, 2], covariance_type="full", verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:12] for line in lines] == ["[1/2] 1 full", "[2/2] 2 full"]


def test_clone():
    copy = clone(grid())
    assert copy.get_params() == grid().get_params()
    assert not hasattr(copy, "results_")


SMALL = GaussianMixtureIC([1, 2], covariance_type=["diag", "EII"], init_params="random_from_data")
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "random starts know weights in distribution",
    "check_parameters_default_constructible": "the default of n_components is a range",
}


@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([SMALL], expected_failed_checks=lambda _: EXPECTED)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
