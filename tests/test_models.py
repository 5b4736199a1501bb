"""The whole life of an estimator whose covariance_type is one of mclust's names."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, fit, given_start
from sklearn.base import clone

from emgmm import CoincidentComponentsWarning, GaussianMixture
from emgmm.covariances import FAMILIES

models = pytest.mark.parametrize("model", MODELS)
X = clusters(400, 3, 3, seed=2, spread=2.0)
SHAPES = {"spherical": (3,), "diag": (3, 3), "tied": (3, 3), "full": (3, 3, 3)}


def fitted(model, **more):
    arguments = {"covariance_type": model, "random_state": 0, "tol": 1e-8, "max_iter": 1000}
    return GaussianMixture(3, **{**arguments, **more}).fit(X)


def univariate(model, **more):
    return GaussianMixture(3, covariance_type=model, random_state=0, **more)


@models
def test_attributes_have_the_public_shape(model):
    mixture, kind = fitted(model), FAMILIES[model].scikit_learn
    assert mixture.covariance_type == model
    for name in ("covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(mixture, name).shape == SHAPES[kind]
    assert mixture.lower_bound_ == pytest.approx(mixture.score(X), rel=1e-12)


def test_shapes_are_those_of_the_contract():
    shapes = {name: family.scikit_learn for name, family in FAMILIES.items()}
    assert {n for n, s in shapes.items() if s == "spherical"} == {
        "spherical",
        *("EII", "VII", "E", "V"),
    }
    assert {n for n, s in shapes.items() if s == "diag"} == {"diag", "EEI", "VEI", "EVI", "VVI"}
    assert {n for n, s in shapes.items() if s == "tied"} == {"tied", "EEE"}


@models
def test_scikit_learns_own_class_says_the_same(model):
    ours = fitted(model)
    theirs = ours.to_sklearn()
    assert theirs.covariance_type == FAMILIES[model].scikit_learn
    np.testing.assert_allclose(theirs.score_samples(X), ours.score_samples(X), rtol=1e-11)
    np.testing.assert_array_equal(theirs.predict(X), ours.predict(X))


@models
def test_kept_and_built_again_it_is_the_same(model, tmp_path):
    mixture = fitted(model)
    mixture.save(tmp_path / "model.json")
    loaded = GaussianMixture.load(tmp_path / "model.json")
    built = GaussianMixture.from_parameters(
        mixture.weights_,
        mixture.means_,
        covariances=mixture.covariances_,
        covariance_type=model,
    )
    for other in (loaded, built):
        np.testing.assert_array_equal(other.covariances_, mixture.covariances_)
        np.testing.assert_allclose(other.score_samples(X), mixture.score_samples(X), rtol=1e-12)
        assert other.n_parameters() == mixture.n_parameters()


@models
def test_a_warm_start_goes_on_as_if_not_interrupted(model):
    start = given_start(X, 3, model)
    whole = fit(GaussianMixture(**start, tol=0, max_iter=12), X)
    parts = GaussianMixture(**start, tol=0, max_iter=4, warm_start=True)
    for _ in range(3):
        fit(parts, X)
    np.testing.assert_allclose(parts.covariances_, whole.covariances_, rtol=1e-9, atol=1e-12)
    assert parts.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-12)


@models
def test_acceleration_ends_where_plain_em_ends(model):
    plain, fast = fitted(model), fitted(model, acceleration="anderson")
    assert fast.lower_bound_ >= plain.lower_bound_ - 1e-6
    assert fast.history_["passes"][-1] <= 1.5 * plain.history_["passes"][-1]


@models
def test_it_is_diagnosed(model):
    found = fitted(model).diagnose(X, certify=True)
    assert found.verdict.name in {"LOCAL_MAXIMUM", "SADDLE"}
    assert 0 <= found.rate < 1
    assert not found.coincident
    assert not found.collapsed


@models
def test_components_that_coincide_are_parted(model):
    start = given_start(X, 3, model)
    start["means_init"] = np.tile(X.mean(axis=0), (3, 1))
    with pytest.warns(CoincidentComponentsWarning):
        mixture = GaussianMixture(**start, max_iter=500, random_state=0).fit(X)
    assert "escape" in mixture.history_["event"]
    assert mixture.lower_bound_ > fitted(model).lower_bound_ - 0.3


@models
def test_rows_in_float32_give_nearly_the_same(model):
    start = given_start(X, 3, model)
    single, double = (
        fit(GaussianMixture(**start, tol=1e-6, max_iter=300), rows)
        for rows in (X.astype(np.float32), X)
    )
    assert single.covariances_.dtype == np.float32
    assert single.lower_bound_ == pytest.approx(double.lower_bound_, abs=1e-4)


@models
def test_a_sample_is_fitted_back(model):
    source = fitted(model)
    rows, _ = source.sample(20_000, random_state=0)
    again = GaussianMixture(
        3, covariance_type=model, means_init=source.means_, random_state=0, tol=1e-6
    )
    fit(again, rows)
    assert again.score(rows) == pytest.approx(source.score(rows), abs=2e-3)


@models
def test_clones_and_prints(model):
    copy = clone(GaussianMixture(2, covariance_type=model))
    assert f"covariance_type='{model}'" in repr(copy)


@pytest.mark.parametrize("model", ["E", "V"])
def test_one_feature_is_what_they_are_for(model):
    x = X[:, :1]
    with pytest.raises(ValueError, match="is for one feature, but there are 3"):
        univariate(model).fit(X)
    with pytest.raises(ValueError, match="is for one feature, but there are 2"):
        GaussianMixture.from_parameters(
            [1.0], [[0.0, 0.0]], covariances=[1.0], covariance_type=model
        )
    same = {"E": "tied", "V": "full"}[model]
    ours, other = univariate(model).fit(x), univariate(same).fit(x)
    assert ours.covariances_.shape == (3,)
    assert ours.n_parameters() == other.n_parameters()
    assert ours.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-9)


@pytest.mark.parametrize("model", ["EII", "EEI"])
def test_shared_variances_that_are_given_must_be_the_same(model):
    start = given_start(X, 3, model)
    start["precisions_init"] = start["precisions_init"] * np.arange(1, 4).reshape(
        -1, *[1] * (start["precisions_init"].ndim - 1)
    )
    with pytest.raises(ValueError, match="should be the same for all components"):
        GaussianMixture(**start).fit(X)


@pytest.mark.parametrize(("wide", "narrow"), [("full", m) for m in MODELS] + [("VEV", "EEV")])
def test_a_family_within_another_is_never_above_it(wide, narrow):
    """From the responsibilities at which the narrow one ended."""
    below = fitted(narrow, reg_covar=0)
    above = GaussianMixture(
        3,
        covariance_type=wide,
        reg_covar=0,
        tol=1e-8,
        max_iter=2000,
        init_params=lambda *_: below.predict_proba(X),
    )
    assert fit(above, X).lower_bound_ >= below.lower_bound_ - 1e-9
    assert above.n_parameters() > below.n_parameters()


def test_every_name_of_scikit_learn_and_mclust_is_one_of_the_registry():
    letters = {"EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE"}
    letters |= {"EEV", "VEV", "EVV", "VVV", "E", "V"}
    assert {*TYPES, *letters} <= set(FAMILIES)
