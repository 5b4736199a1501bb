"""Parameters that are objects: families, schemes, and arrays from which EM starts."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import clusters, fit, relative_error
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils import estimator_html_repr
from sklearn.utils._param_validation import InvalidParameterError
from toys import Exchangeable, Overrelaxed, slices

from emgmm import GaussianMixture, GaussianMixtureIC, blocks
from emgmm.acceleration import SCHEMES
from emgmm.covariances import FAMILIES
from emgmm.fitting import multistart

K, D = 3, 4
X = clusters(200, D)
OBJECTS = {"covariance_type": Exchangeable(), "acceleration": Overrelaxed, "init_params": slices}
LABELS = np.arange(len(X)) % K
SHARES = np.random.default_rng(1).dirichlet(np.ones(K), size=len(X))
MEANS = X[[3, 50, 120]] + 0.1


def model_of(**parameters):
    return GaussianMixture(K, **{"random_state": 0, **OBJECTS, **parameters})


# -- registered members as objects ------------------------------------------------------------------
@pytest.mark.parametrize("name", FAMILIES)
def test_a_registered_family_is_the_same_by_name_and_as_an_object(name):
    rows = X[:, : FAMILIES[name].most_features or D]
    one, other = (
        fit(GaussianMixture(K, covariance_type=given, random_state=0), rows)
        for given in (name, clone(FAMILIES[name], safe=False))
    )
    np.testing.assert_array_equal(one.covariances_, other.covariances_)
    assert one.n_parameters() == other.n_parameters()


@pytest.mark.parametrize("name", SCHEMES)
def test_a_registered_scheme_is_the_same_by_name_and_as_an_object(name):
    one, other = (
        fit(GaussianMixture(K, acceleration=given, random_state=0, tol=1e-9), X)
        for given in (name, SCHEMES[name])
    )
    np.testing.assert_array_equal(one.history_["objective"], other.history_["objective"])


# -- a user's members in everything that an estimator does ------------------------------------------
def test_covariances_are_those_of_the_family_to_the_end():
    model = fit(model_of(tol=1e-8, max_iter=500), X)
    assert model.converged_
    off_diagonal = model.covariances_[:, ~np.eye(D, dtype=bool)]
    np.testing.assert_allclose(off_diagonal, off_diagonal[:, :1] * np.ones(D * (D - 1)), rtol=1e-9)
    assert model.n_parameters() == K - 1 + K * D + 2 * K
    assert model.score(X) == pytest.approx(model.lower_bound_, rel=1e-12)
    assert "leap" in model.history_["event"]


def test_objects_are_cloned_printed_and_searched_over():
    model = model_of()
    copy = clone(model)
    assert copy.get_params()["acceleration"] is Overrelaxed
    assert copy.covariance_type.name == "exchangeable"
    assert "Exchangeable('exchangeable')" in repr(model)
    assert "exchangeable" in estimator_html_repr(model)
    grid = {
        "covariance_type": ["full", Exchangeable()],
        "init_params": ["kmeans", slices, MEANS],
        "acceleration": [None, Overrelaxed],
    }
    search = GridSearchCV(GaussianMixture(K, random_state=0), grid, cv=2, error_score="raise")
    search.fit(X)
    assert len(search.cv_results_["rank_test_score"]) == 12
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_fitted_model_is_pickled_with_its_family():
    model = fit(model_of(), X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(fit(again, X).means_, model.means_)


def test_a_model_of_a_users_family_is_summarized_diagnosed_and_continued():
    model = fit(model_of(), X)
    assert "exchangeable\n" in str(model.summary(X))
    assert model.diagnose(X).to_dict()
    assert np.isfinite(model.bic(X))
    model.set_params(warm_start=True)
    assert fit(model, X).lower_bound_ >= model.lower_bound_ - 1e-12
    model.partial_fit(X[:100])
    matrix = model.covariances_[0]
    assert matrix[0, 1] == pytest.approx(matrix[2, 3], rel=1e-9)
    assert GaussianMixture(K, covariance_type=Exchangeable()).partial_fit(X).n_iter_ == 1


def test_parameters_of_a_users_family_may_be_given():
    covariances = np.tile(np.eye(2) + 0.5, (2, 1, 1))
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], np.eye(2), covariances=covariances, covariance_type=Exchangeable()
    )
    assert model.n_parameters() == 1 + 4 + 4


def test_another_librarys_class_gets_full_covariances(tmp_path):
    model = fit(model_of(), X)
    theirs = model.to_sklearn()
    assert theirs.covariance_type == "full"
    np.testing.assert_allclose(theirs.score_samples(X), model.score_samples(X), rtol=1e-9)
    model.set_params(acceleration=None, init_params="kmeans")
    with pytest.raises(ValueError, match="covariance_type is a Exchangeable, which a JSON model"):
        model.save(tmp_path / "model.json")
    assert not (tmp_path / "model.json").exists()


@pytest.mark.parametrize("name", ["covariance_type", "acceleration"])
def test_a_checkpoint_of_an_object_is_refused_in_one_sentence(name, tmp_path):
    model = GaussianMixture(K, checkpoint=tmp_path / "fit", **{name: OBJECTS[name]})
    with pytest.raises(
        ValueError, match=f"With a checkpoint, {name} must be a name.*checkpoint=None"
    ):
        model.fit(X)
    assert not hasattr(model, "means_")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_none_are_refused_as_before():
    for name in OBJECTS:
        with pytest.raises(ValueError, match=f"The '{name}' parameter of GaussianMixture must be"):
            GaussianMixture(**{name: "unknown"}).fit(X)


# -- a choice among objects -------------------------------------------------------------------------
def test_a_users_family_is_a_candidate():
    family = Exchangeable()
    grid = GaussianMixtureIC([1, 2, 3], covariance_type=["VVV", family, "EEE"], random_state=0)
    grid.set_params(acceleration=Overrelaxed).fit(X)
    assert grid.results_["covariance_type"].tolist() == ["VVV", "exchangeable", "EEE"] * 3
    # With one component VVV and EEE are one model, and the restricted family is another.
    assert grid.results_["n_parameters"][:3].tolist() == [D + 10, D + 2, D + 10]
    assert grid.results_["bic"][0] == grid.results_["bic"][2] != grid.results_["bic"][1]
    alone = GaussianMixtureIC([2], covariance_type=family, random_state=0).fit(X)
    assert alone.best_params_ == {"n_components": 2, "covariance_type": family}
    again = GaussianMixture(**alone.best_params_, random_state=0, tol=1e-8, reg_covar=0)
    assert fit(again, X).n_parameters() == alone.n_parameters()


def test_all_candidates_may_start_from_labels():
    grid = GaussianMixtureIC([K], covariance_type=["VVV"], init_params=LABELS, acceleration=None)
    alone = GaussianMixture(K, init_params=LABELS, reg_covar=0, tol=1e-6, max_iter=1000)
    assert relative_error(fit(grid, X).best_estimator_, fit(alone, X)) < 1e-2
    assert grid.best_estimator_.init_params is LABELS


# -- arrays from which EM starts --------------------------------------------------------------------
@pytest.mark.parametrize("answer", [LABELS, SHARES, MEANS], ids=["labels", "shares", "means"])
@pytest.mark.parametrize("given", [np.asarray, np.ndarray.tolist, pd.DataFrame])
def test_an_array_is_the_answer_of_a_callable(answer, given):
    if given is pd.DataFrame and answer.ndim == 1:
        given = pd.Series
    one, other = (
        fit(GaussianMixture(K, init_params=start, max_iter=3), X)
        for start in (given(answer), lambda *_: answer)
    )
    np.testing.assert_array_equal(one.means_, other.means_)
    assert fit(clone(one), X).lower_bound_ == one.lower_bound_


def test_an_array_may_assign_rows_to_noise():
    labels = np.where(np.arange(len(X)) % 10, LABELS, -1)
    model = GaussianMixture(K, init_params=labels, noise=1e-4, max_iter=0).fit(X)
    assert model.noise_weight_ == pytest.approx(0.1)
    with pytest.raises(ValueError, match="init_params has label -1 for row 0"):
        GaussianMixture(K, init_params=labels).fit(X)


@pytest.mark.parametrize("of", [lambda rows: rows, lambda rows: blocks([rows[:70], rows[70:]])])
def test_an_array_matches_all_rows_where_a_sample_is_used(of, monkeypatch):
    monkeypatch.setattr(multistart, "START_FROM", 100)
    monkeypatch.setattr(multistart, "START_ROWS", 60)
    places = []

    def of_rows(rows, n_components, random_state):
        places.append([int(np.flatnonzero((row == X).all(axis=1))[0]) for row in rows])
        return LABELS[places[-1]]

    expected = GaussianMixture(K, init_params=of_rows, max_iter=0, random_state=0).fit(of(X))
    assert len(places[0]) == 60
    for answer in (LABELS, np.eye(K)[LABELS]):
        model = GaussianMixture(K, init_params=answer, max_iter=0, random_state=0).fit(of(X))
        np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-12)
    with pytest.raises(ValueError, match=r"expected integer labels of shape \(200,\)"):
        GaussianMixture(K, init_params=LABELS[:60]).fit(of(X))


def test_labels_of_repeated_rows_follow_them():
    """A row of weight 3 serves three components, and each copy has the row's own label."""
    weights = np.array([3.0, 0.0])
    model = GaussianMixture(2, init_params=np.array([1, 0]), max_iter=0, covariance_type="diag")
    model.fit(np.array([[1.0], [5.0]]), sample_weight=weights)
    np.testing.assert_allclose(model.means_[1], 1.0)
    np.testing.assert_allclose(model.weights_, [0.0, 1.0], atol=1e-12)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (LABELS[:-1], r"init_params is an array of shape \(199,\)"),
        (LABELS + 1, "init_params has label 3 for row 2"),
        (SHARES * 2, "init_params has responsibilities"),
        (np.full((K, D), np.nan), "with NaN or infinity"),
        (["a"] * len(X), "must hold integer labels"),
    ],
)
def test_an_array_that_does_not_match_is_refused_and_nothing_changes(array, message):
    model = GaussianMixture(K, init_params=array)
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    assert set(vars(model)) == set(model.get_params())


def test_a_model_that_started_from_an_array_is_stored(tmp_path):
    model = fit(GaussianMixture(K, init_params=LABELS), X)
    model.save(tmp_path / "model.json")
    loaded = GaussianMixture.load(tmp_path / "model.json")
    np.testing.assert_array_equal(loaded.init_params, LABELS)
    assert model.to_sklearn().init_params == "kmeans"
    kept = GaussianMixture(K, init_params=LABELS, checkpoint=tmp_path / "fit")
    np.testing.assert_array_equal(fit(kept, X).means_, model.means_)


@pytest.mark.parametrize("estimator", [GaussianMixture(2), GaussianMixtureIC([2])])
def test_a_misspelt_name_may_be_a_string_of_numpys(estimator):
    estimator.set_params(init_params=np.str_("kmean"))
    with pytest.raises(InvalidParameterError, match="Did you mean 'kmeans'"):
        estimator.fit(X)


def test_names_may_be_strings_of_numpys():
    named = GaussianMixture(2, init_params=np.str_("random"), random_state=0).fit(X)
    plain = GaussianMixture(2, init_params="random", random_state=0).fit(X)
    np.testing.assert_array_equal(named.means_, plain.means_)


@pytest.mark.parametrize("given_by", [lambda value: value, lambda value: lambda *_: value])
@pytest.mark.parametrize("values", [np.ma.array(np.eye(2, D), mask=np.eye(2, D)), None])
def test_masked_entries_of_a_start_are_refused(given_by, values):
    if values is None:
        values = np.ma.array(np.arange(len(X)) % 2, mask=np.arange(len(X)) < 5)
    with pytest.raises(ValueError, match=r"init_params (has|returned) masked entries"):
        GaussianMixture(2, init_params=given_by(values)).fit(X)


def test_a_tuple_of_means_is_a_start():
    of_tuples = GaussianMixture(2, init_params=tuple(map(tuple, MEANS[:2]))).fit(X)
    of_array = GaussianMixture(2, init_params=MEANS[:2]).fit(X)
    np.testing.assert_array_equal(of_tuples.means_, of_array.means_)


def test_an_array_is_one_start_however_many_are_requested():
    calls = []

    def counted(step):
        calls.append(step)
        return SCHEMES[None](step)

    GaussianMixture(K, init_params=MEANS, n_init=5, acceleration=counted).fit(X)
    assert len(calls) == 1
