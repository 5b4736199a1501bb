"""Moving, scaling, turning or renaming the data moves, scales, turns or renames the fit."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit, given_start
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from emgmm import GaussianMixture
from emgmm.covariances import FAMILIES

types = pytest.mark.parametrize("covariance_type", TYPES + MODELS)
ITERATIONS = {"tol": 0, "max_iter": 8, "reg_covar": 0}


def fitted(X, start):
    return fit(GaussianMixture(**start, **ITERATIONS), X)


def assert_same_fit(a, b, *, rtol=1e-8):
    np.testing.assert_allclose(a.weights_, b.weights_, rtol=rtol)
    sd = np.sqrt(np.diagonal(dense(b), axis1=1, axis2=2))
    assert (np.abs(a.means_ - b.means_) <= rtol * (sd + np.abs(b.means_))).all()
    scale = sd[:, :, None] * sd[:, None, :]
    assert (np.abs(dense(a) - dense(b)) <= 10 * rtol * scale).all()


def moved(start, linear, shift):
    """The start of data that were mapped by x -> linear x + shift."""
    inverse = np.linalg.inv(linear)
    precisions = start["precisions_init"]
    kind = FAMILIES[start["covariance_type"]].scikit_learn
    if kind in ("full", "tied"):
        precisions = inverse.T @ precisions @ inverse
    elif kind == "diag":
        precisions = precisions / np.diag(linear) ** 2
    else:
        precisions = precisions / np.abs(np.linalg.det(linear)) ** (2 / len(linear))
    return {
        **start,
        "means_init": start["means_init"] @ linear.T + shift,
        "precisions_init": precisions,
    }


@types
@given(shift=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
@settings(max_examples=12, deadline=None)
def test_translation(covariance_type, shift):
    X = np.round(clusters(seed=1), 6)
    start = given_start(X, 3, covariance_type)
    here, there = fitted(X, start), fitted(X + shift, moved(start, np.eye(3), np.array(shift)))
    assert there.lower_bound_ == pytest.approx(here.lower_bound_, abs=1e-7)
    np.testing.assert_allclose(there.means_ - shift, here.means_, atol=1e-7)
    np.testing.assert_allclose(dense(there), dense(here), rtol=1e-6, atol=1e-7)


@types
@given(exponent=st.floats(-6, 6))
@settings(max_examples=12, deadline=None)
def test_scaling(covariance_type, exponent):
    X = clusters(seed=2)
    linear = 10.0**exponent * np.eye(3)
    start = given_start(X, 3, covariance_type)
    here, there = fitted(X, start), fitted(X @ linear, moved(start, linear, 0.0))
    np.testing.assert_allclose(there.means_ / 10.0**exponent, here.means_, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(
        dense(there) / 10.0 ** (2 * exponent), dense(here), rtol=1e-7, atol=1e-8
    )
    jacobian = 3 * exponent * np.log(10)
    assert there.lower_bound_ + jacobian == pytest.approx(here.lower_bound_, abs=1e-8)


@pytest.mark.parametrize(
    "covariance_type", [name for name in TYPES + MODELS if FAMILIES[name].closed_under_scaling]
)
@given(exponents=st.lists(st.floats(-4, 4), min_size=3, max_size=3))
@settings(max_examples=12, deadline=None)
def test_scaling_each_feature_by_itself(covariance_type, exponents):
    X = clusters(seed=3)
    linear = np.diag(10.0 ** np.array(exponents))
    start = given_start(X, 3, covariance_type)
    here, there = fitted(X, start), fitted(X @ linear, moved(start, linear, 0.0))
    np.testing.assert_allclose(
        there.means_ @ np.linalg.inv(linear), here.means_, rtol=1e-8, atol=1e-8
    )
    assert there.lower_bound_ + np.log(np.linalg.det(linear)) == pytest.approx(
        here.lower_bound_, abs=1e-8
    )


@pytest.mark.parametrize(
    "covariance_type",
    ["full", "tied", "spherical", "EII", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV"],
)
@given(seed=st.integers(0, 2**16))
@settings(max_examples=12, deadline=None)
def test_rotation(covariance_type, seed):
    X = clusters(seed=4)
    turn = ortho_group.rvs(3, random_state=seed)
    start = given_start(X, 3, covariance_type)
    here, there = fitted(X, start), fitted(X @ turn.T, moved(start, turn, 0.0))
    assert there.lower_bound_ == pytest.approx(here.lower_bound_, abs=1e-9)
    np.testing.assert_allclose(there.means_ @ turn, here.means_, rtol=1e-8, atol=1e-8)
    back = turn.T @ dense(there) @ turn
    np.testing.assert_allclose(back, dense(here), rtol=1e-7, atol=1e-8)


@types
@given(order=st.permutations(range(3)))
@settings(max_examples=6, deadline=None)
def test_permuting_components(covariance_type, order):
    X = clusters(seed=5)
    order = np.array(order)
    start = given_start(X, 3, covariance_type)
    renamed = {**start, "means_init": start["means_init"][order]}
    here, there = fitted(X, start), fitted(X, renamed)
    np.testing.assert_allclose(there.means_, here.means_[order], rtol=1e-10)
    np.testing.assert_allclose(dense(there), dense(here)[order], rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(order[there.predict(X)], here.predict(X))


@types
def test_permuting_rows(covariance_type):
    X = clusters(seed=6)
    order = np.random.default_rng(0).permutation(len(X))
    start = given_start(X, 3, covariance_type)
    assert_same_fit(fitted(X[order], start), fitted(X, start))


@types
@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_offsets_give_the_same_default_fit(covariance_type, offset):
    X = np.round(clusters(seed=7), 3)
    arguments = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
    here = GaussianMixture(**arguments).fit(X)
    there = GaussianMixture(**arguments).fit(X + offset)
    assert there.n_iter_ == here.n_iter_
    np.testing.assert_array_equal(there.predict(X + offset), here.predict(X))
    assert there.lower_bound_ == pytest.approx(here.lower_bound_, abs=1e-7)
    np.testing.assert_allclose(dense(there), dense(here), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_an_offset_of_1e8_standard_deviations_is_survived(covariance_type):
    X = np.round(clusters(seed=7), 3)
    arguments = {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
    here = GaussianMixture(**arguments).fit(X)
    there = GaussianMixture(**arguments).fit(X + 1e8)
    np.testing.assert_array_equal(there.predict(X + 1e8), here.predict(X))
    assert there.lower_bound_ == pytest.approx(here.lower_bound_, abs=1e-5)


def test_tiny_clusters_far_apart_are_found_to_their_last_digit():
    """Narrower than the distance between them by 1e6: the moments are taken about the new means."""
    random = np.random.default_rng(0)
    X = np.concatenate([c + 1e-6 * random.normal(size=(100, 2)) for c in (0.0, 1.0, 50.0)])
    for covariance_type in TYPES:
        model = GaussianMixture(3, covariance_type=covariance_type, reg_covar=0, random_state=0)
        fit(model, X)
        labels = model.predict(X)
        covariances = dense(model)
        within = np.zeros((2, 2))
        for k in range(3):
            own = X[labels == k].astype(np.longdouble)
            deviations = own - own.mean(axis=0)
            exact = (deviations.T @ deviations / len(own)).astype(float)
            within += exact / 3
            if covariance_type == "full":
                np.testing.assert_allclose(covariances[k], exact, rtol=1e-7, atol=1e-19)
        if covariance_type == "tied":
            np.testing.assert_allclose(covariances[0], within, rtol=1e-7, atol=1e-19)
