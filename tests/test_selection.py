"""Choosing: mclust's stored choices, laws of units, soundness, and the fits one by one."""

from __future__ import annotations

import inspect
import json
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from conftest import clusters
from mclust import HERE, converged, rows
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from emgmm import (
    CollapsedComponentWarning,
    EMWarning,
    GaussianMixture,
    GaussianMixtureIC,
    InformationCriterionDisplay,
    blocks,
)
from emgmm.covariances import FAMILIES, family_names
from emgmm.initialization import STARTS
from emgmm.selection.candidates import CRITERIA, NEGLIGIBLE

X = clusters(300, 3, 3)
# What speaks of one fit.
NOT_OF_A_GRID = {
    "fixed",
    *("weights_init", "means_init", "precisions_init", "warm_start"),
    *("checkpoint", "checkpoint_every", "learning_decay", "learning_offset", "forgetting"),
}
FIGURES = (*CRITERIA, "log_likelihood", "n_parameters", "rank")
# The settings of a single fit by default, which the defaults of a choice are not.
AS_ALONE = {
    "tol": 1e-3,
    "max_iter": 100,
    "reg_covar": 1e-6,
    "init_params": "kmeans",
    "acceleration": None,
}


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
@pytest.mark.slow
@pytest.mark.parametrize("name", ["faithful", "iris", "acidity", "chevron"])
def test_mclusts_criteria_and_choice(name):
    families = [model for model in converged()[name] if model != "VVE"]
    starts = np.loadtxt(HERE / "starts" / f"{name}.csv", delimiter=",", skiprows=1, dtype=int)

    def start(X, n_components, random_state):
        return starts[:, n_components - 2] if n_components > 1 else np.zeros(len(X), dtype=int)

    found = chosen(
        range(1, 7), covariance_type=families, rows=rows(name), init_params=start, reg_covar=0,
        tol=1e-11, max_iter=20_000, break_symmetry=False, acceleration=None,
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


@cache
def mclusts_defaults():
    return json.loads((HERE / "mclust_defaults.json").read_text())


# What mclust chooses on these by default is published, and ours must be it.
PUBLISHED = {
    "iris": ("VEV", 2),
    "faithful": ("EEE", 3),
    "cross": ("EVI", 2),
    "banknote": ("VVE", 3),
    "ex4.1": ("EEV", 6),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", mclusts_defaults())
def test_the_default_choice_is_sound_converged_and_no_worse_than_mclusts(name):
    theirs = mclusts_defaults()[name]
    found = GaussianMixtureIC(random_state=0).fit(rows(name))  # and nothing is warned of
    best = {key: values[found.best_index_] for key, values in found.results_.items()}
    assert best["sound"]
    assert best["converged"]
    assert best["bic"] <= theirs["bic"] + 0.5
    if name in PUBLISHED:
        assert (best["covariance_type"], best["n_components"]) == PUBLISHED[name]
    # Cell by cell: those with components, that mclust could fit, and that are sound here.
    cells = zip(
        *(found.results_[key] for key in ("covariance_type", "n_components", "bic", "sound")),
        strict=True,
    )
    worse, compared = 0, 0
    for family, K, bic, sound in cells:
        other = theirs["bics"][family][K - 1]
        if K > 1 and sound and other is not None:
            compared += 1
            worse += bic > other + 0.5
    assert compared > 14
    assert worse <= 0.2 * compared


# -- units --------------------------------------------------------------------------------------
def ranking(found):
    """The candidates of a choice in the order of their ranks, and the criterion."""
    order = np.argsort(found.results_["rank"], kind="stable")
    names = found.results_["covariance_type"][order]
    return list(zip(found.results_["n_components"][order], names, strict=True))


@pytest.mark.extensive
@pytest.mark.slow
@pytest.mark.parametrize("name", ["iris", "faithful", "usarrests", "geyser"])
def test_a_factor_of_all_columns_changes_no_choice(name):
    table = rows(name)
    found = chosen(range(1, 5), rows=table)
    for factor in (1e-3, 1e3):
        other = chosen(range(1, 5), rows=factor * table)
        assert other.best_params_ == found.best_params_
        moved = 2 * table.size * np.log(factor)
        best = found.best_index_
        assert other.results_["bic"][best] - moved == pytest.approx(
            found.results_["bic"][best], abs=1e-3
        )
        assert_array_equal(other.predict(factor * table), found.predict(table))


CLOSED = [name for name in family_names(3) if FAMILIES[name].closed_under_scaling]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iris", "faithful", "banknote", "geyser"])
def test_units_of_single_columns_change_no_choice_among_families_closed_under_them(name):
    table = rows(name)
    found = chosen(range(1, 5), rows=table, covariance_type=CLOSED)
    units = 10.0 ** np.random.default_rng(0).integers(-4, 5, table.shape[1])
    other = chosen(range(1, 5), rows=units * table, covariance_type=CLOSED)
    assert other.best_params_ == found.best_params_
    assert_array_equal(other.predict(units * table), found.predict(table))


@pytest.mark.extensive
def test_units_of_one_column_change_no_choice():
    table = rows("acidity")
    found = chosen(rows=table)
    for factor in (1e-3, 1e3):
        assert chosen(rows=factor * table).best_params_ == found.best_params_


@pytest.mark.extensive
def test_a_wide_column_does_not_hide_a_narrow_one():
    random = np.random.default_rng(0)
    labels = random.integers(2, size=600)
    table = np.column_stack(
        [random.normal(9e4, 2.5e4, 600), np.where(labels, 3.2, 1.4) + random.normal(0, 0.25, 600)]
    )
    found = chosen(range(1, 4), rows=table)
    assert found.best_params_["n_components"] == 2
    assert np.mean(found.predict(table) == found.predict(table)[labels.argmax()]) == pytest.approx(
        labels.mean(), abs=0.01
    )


# -- sound --------------------------------------------------------------------------------------
def planted(kind):
    """Two clusters, and what makes components collapse."""
    random = np.random.default_rng(3)
    table = np.concatenate([random.normal(0, 1, (60, 2)), random.normal(6, 1, (60, 2))])
    if kind == "equal rows":
        table[:12] = table[0]
    elif kind == "one-hot column":
        table = np.column_stack([table, random.random(120) < 0.3])
    elif kind == "rounded column":
        table[:, 0] = table[:, 0].round()
    elif kind == "few rows":
        table = table[::4]
    return table


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["equal rows", "one-hot column", "rounded column", "few rows"])
def test_candidates_that_collapsed_are_ranked_after_sound_ones(kind):
    table = planted(kind)
    found = chosen(covariance_type=["VII", "VVI", "VEV", "VVV"], rows=table)
    results = found.results_
    sound, failed = results["sound"], results["failure"] != ""
    aside = ~sound & ~failed
    assert aside.any() or failed.any()
    assert not (sound & failed).any()
    assert_array_equal(np.isnan(results["rank"]), failed)
    if aside.any():
        assert results["rank"][sound].max() < results["rank"][aside].min()
    assert results["bic"][found.best_index_] == results["bic"][sound].min()
    assert all(("collapsed" in r or "starved" in r) for r in results["reason"][aside])
    assert (results["reason"][failed] == results["failure"][failed]).all()
    assert not results["reason"][found.best_index_]
    # By an oracle of its own: no component is a thousandth as wide as the data, in any direction.
    model = found.best_estimator_
    dense = FAMILIES[model.covariance_type].dense(model.covariances_, *model.means_.shape)
    spread = np.linalg.inv(np.linalg.cholesky(np.cov(table.T)))
    assert np.linalg.eigvalsh(spread @ dense @ spread.T).min() > 1e-6


def test_if_nothing_is_sound_the_best_of_the_others_is_kept_and_a_prior_recommended():
    table = np.random.default_rng(0).normal(size=(8, 3))
    model = GaussianMixtureIC([5], covariance_type=["VVI"], reg_covar=1e-6, random_state=0)
    with (
        pytest.warns(CollapsedComponentWarning),
        pytest.warns(EMWarning, match="No candidate is sound.*prior='conjugate'"),
    ):
        model.fit(table)
    assert not model.results_["sound"].any()
    assert model.results_["rank"][model.best_index_] == 1
    assert "No candidate is sound" in str(model.summary(table))


# -- converged ----------------------------------------------------------------------------------
@pytest.mark.extensive
def test_little_is_left_to_gain_of_what_has_converged():
    """Each candidate, by plain EM from where it ended to its own end."""
    table = rows("faithful")
    found = chosen([2, 3, 5], covariance_type=["VVV", "VVI", "EEE"], rows=table)
    assert found.results_["converged"].all()
    assert (np.abs(np.nan_to_num(found.results_["remaining_gain"])) < NEGLIGIBLE).all()

    def end(k, family, **settings):
        return chosen(k, covariance_type=family, rows=table, tol=1e-12, max_iter=50_000, **settings)

    for k, family, log_likelihood in zip(
        *(found.results_[key] for key in ("n_components", "covariance_type", "log_likelihood")),
        strict=True,
    ):
        tight = end(int(k), str(family)).results_["log_likelihood"][0]
        assert log_likelihood == pytest.approx(tight, abs=3 * NEGLIGIBLE)


@pytest.mark.extensive
def test_tol_by_default_is_not_enough_where_much_is_left():
    """Two clusters of many rows, so close to each other that EM takes hundreds of steps."""
    table = clusters(20_000, 2, 2, spread=0.7, seed=2)
    settings = {"covariance_type": "VVI", "acceleration": None, "rows": table}
    by_default = chosen(2, **settings)
    by_tol = chosen(2, max_iter=1001, **settings)  # an explicit value: `tol` alone decides
    end = chosen(2, covariance_type="VVI", rows=table, tol=1e-13, max_iter=20_000)
    tight = end.results_["log_likelihood"][0]
    assert tight - by_default.results_["log_likelihood"][0] < 2 * NEGLIGIBLE
    assert tight - by_tol.results_["log_likelihood"][0] > 10 * NEGLIGIBLE


def test_a_candidate_that_is_ahead_unconverged_is_run_on(monkeypatch):
    monkeypatch.setattr("emgmm.selection.estimator.MAX_ITER", 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = GaussianMixtureIC(
            [3, 5], covariance_type=["VVI"], max_iter=8, acceleration=None, random_state=0
        ).fit(rows("faithful"))
    best = {key: values[found.best_index_] for key, values in found.results_.items()}
    assert best["converged"]
    assert 8 < best["n_iter"] <= 80
    assert not found.results_["converged"].all()  # who is behind is left where it is
    tight = chosen(3, covariance_type=["VVI"], rows=rows("faithful"))
    assert best["bic"] == pytest.approx(tight.results_["bic"].min(), abs=0.1)


def test_one_that_does_not_converge_keeps_its_rank_with_one_warning(monkeypatch):
    monkeypatch.setattr("emgmm.selection.estimator.MAX_ITER", 2)
    model = GaussianMixtureIC(
        [1, 3], covariance_type=["VVI"], max_iter=2, acceleration=None, random_state=0
    )
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(rows("faithful"))
    assert [w.category for w in caught] == [ConvergenceWarning]
    best = {key: values[model.best_index_] for key, values in model.results_.items()}
    assert (best["rank"], best["converged"], best["sound"]) == (1, False, True)
    assert best["n_iter"] == 20
    assert best["reason"] == "not converged"


def test_with_an_explicit_limit_nothing_is_run_on():
    found = chosen([3, 4], covariance_type=["VVI"], rows=rows("faithful"), max_iter=4)
    assert (found.results_["n_iter"] == 4).all()
    assert not found.results_["converged"].any()


# -- one component ------------------------------------------------------------------------------
def test_with_one_component_each_model_is_fitted_once():
    found = chosen([1, 2], covariance_type=["VVI", "VVV", "EEE", "EII", "VII", "EVV", "EEI"])
    one = found.results_["n_components"] == 1
    table = pd.DataFrame(found.results_)[one]
    assert len(table) == 7
    for group in (["VVI", "EEI"], ["VVV", "EEE", "EVV"], ["EII", "VII"]):
        same = table[table["covariance_type"].isin(group)].drop(columns="covariance_type")
        assert len(same.drop_duplicates()) == 1
    assert table["rank"].nunique() == 3
    least = chosen(1, rows=np.random.default_rng(0).normal(size=(200, 2)))
    assert least.best_params_["covariance_type"] == "EII"  # the first of those that are the same
    # Each has the moments of the rows.
    dense = np.cov(X.T, ddof=0)
    alone = chosen(1, covariance_type=["EEE"]).best_estimator_
    assert_allclose(alone.covariances_, dense, rtol=1e-10)


# -- the fits one by one ------------------------------------------------------------------------
@pytest.mark.parametrize(
    "settings", [{}, {"prior": "conjugate"}, {"noise": "uniform", "n_init": 2}]
)
def test_each_is_the_fit_alone(settings):
    weights = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    holed = np.where(np.random.default_rng(1).random(X.shape) < 0.05, np.nan, X)
    settings = {**AS_ALONE, **settings}
    found = chosen([2, 3], covariance_type=["full", "EEE"], rows=holed, weights=weights, **settings)
    results = found.results_
    for i, (k, family) in enumerate(
        zip(results["n_components"], results["covariance_type"], strict=True)
    ):
        alone = GaussianMixture(k, covariance_type=family, random_state=0, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone.fit(holed, sample_weight=weights)
            criteria = {c: getattr(alone, c)(holed, sample_weight=weights) for c in CRITERIA}
        for criterion, expected in criteria.items():
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
    chosen([2, 3, 4], n_init=2, init_params="kmeans")
    assert sorted(asked) == [2, 2, 3, 3, 4, 4]


def test_only_the_three_best_of_sound_candidates_are_fitted_from_further_starts(capsys):
    """Each fit prints a line where it begins: one from the best start, and three for the best."""
    found = chosen(range(1, 6), covariance_type=["EEI"], verbose=2)
    assert found.results_["sound"].all()
    assert capsys.readouterr().out.count("Initialization 0") == 5 + 3 * 3


def test_jobs_change_nothing():
    other = chosen(range(1, 5), covariance_type=["full", "tied", "EEI", "VVE"], n_jobs=2)
    for name in FIGURES:
        assert_array_equal(other.results_[name], grid().results_[name])
    assert other.best_params_ == grid().best_params_
    assert_array_equal(other.best_estimator_.means_, grid().best_estimator_.means_)


@pytest.mark.slow
@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_best_by_each_criterion(criterion):
    found = chosen(range(1, 5), covariance_type=["full", "tied", "EEI", "VVE"], criterion=criterion)
    values = found.results_[criterion]
    assert found.best_index_ == np.argmin(values)
    assert found.results_["rank"][found.best_index_] == 1
    order = np.argsort(found.results_["rank"], kind="stable")
    assert_array_equal(order, np.argsort(values, kind="stable"))
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
        ({"n_components": []}, r"n_components must be a positive integer or a list of them"),
        ({"n_components": [1, 0]}, r"but got \[1, 0\]"),
        ({"n_components": [2.5]}, r"but got \[2.5\]"),
        ({"n_components": range(1, 10**30)}, "n_components has more than 10000 numbers"),
        ({"covariance_type": [["full"]]}, r"names among .*, but got \[\['full'\]\]"),
        ({"n_components": (k for k in (1, 2))}, "n_components is an iterator"),
        ({"covariance_type": ["full", "round"]}, "covariance_type must be 'all' or names among"),
        ({"covariance_type": []}, "covariance_type must be 'all' or names among"),
        ({"criterion": "nec"}, "The 'criterion' parameter"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureIC(**arguments).fit(X)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.save("model.json"),
        lambda model: model.diagnose(X),
        lambda model: model.predict(X),
        lambda model: model.summary(X),
    ],
    ids=["save", "diagnose", "predict", "summary"],
)
def test_nothing_can_be_done_with_a_choice_before_it_is_fitted(use):
    with pytest.raises(NotFittedError, match="This GaussianMixtureIC instance is not fitted yet"):
        use(GaussianMixtureIC(2))


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
    own = {"n_components", "covariance_type", *AS_ALONE}
    for name in set(ours) & set(theirs) - own:
        assert ours[name].default == theirs[name].default
    for name, value in AS_ALONE.items():
        assert theirs[name].default == value != ours[name].default


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


def test_starts_from_rows_that_are_repeated_for_some_numbers_are_not_shared():
    """With a single row of positive weight, which counts as two."""
    parameters = {"covariance_type": "full", "reg_covar": 1e-3}
    rows, weights = np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 9.0]]), [0, 0, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = GaussianMixtureIC([1, 2], **parameters).fit(rows, sample_weight=weights)
        alone = [GaussianMixtureIC(K, **parameters) for K in (1, 2)]
        expected = [each.fit(rows, sample_weight=weights).results_["bic"][0] for each in alone]
    np.testing.assert_allclose(both.results_["bic"], expected)
