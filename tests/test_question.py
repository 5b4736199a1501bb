"""The question's own numbers, from the equations as the question wrote them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import TYPES, fit
from long_form import COVARIANCE, MEAN, em_in_long_form, own_start

from emgmm import Ending, GaussianMixture
from emgmm.datasets import question


def test_the_data_are_the_questions():
    rows = question().rows
    assert rows.shape == (2000, 2)
    np.testing.assert_allclose(rows.mean(axis=0), MEAN, atol=5e-9)


def test_ten_iterations_from_its_start_give_its_numbers_twice():
    model = fit(own_start(tol=0, max_iter=10), question().rows)
    assert model.n_iter_ == 10
    for mean, covariance in zip(model.means_, model.covariances_, strict=True):
        np.testing.assert_allclose(mean, MEAN, atol=5e-9)
        np.testing.assert_allclose(covariance, COVARIANCE, atol=5e-9)
    assert model.lower_bound_ == pytest.approx(-4.116618511417324, rel=1e-13)
    assert model.ending_ is Ending.FIXED_POINT


def test_plain_em_is_the_long_form():
    X = question().rows
    weights, means, covariances = [0.3, 0.7], [[1.0, 0.0], [4.0, 6.0]], [2 * np.eye(2)] * 2
    model = GaussianMixture(
        2,
        reg_covar=0,
        tol=0,
        max_iter=7,
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
    )
    expected = em_in_long_form(X, weights, means, covariances, 7)
    fit(model, X)
    np.testing.assert_allclose(model.weights_, expected[0], rtol=1e-11)
    np.testing.assert_allclose(model.means_, expected[1], rtol=1e-11)
    np.testing.assert_allclose(model.covariances_, expected[2], rtol=1e-10)


def test_from_a_sound_start_the_truth_is_found():
    model = GaussianMixture(2, reg_covar=0, random_state=0).fit(question().rows)
    order = np.argsort(model.means_[:, 0])
    np.testing.assert_allclose(model.means_[order], [[0, 0], [5, 5]], atol=0.1)
    np.testing.assert_allclose(model.covariances_, [np.eye(2)] * 2, atol=0.15)
    assert model.n_iter_ == 2
    assert model.lower_bound_ == pytest.approx(-3.5254876, abs=5e-8)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_identical_components_stay_identical_in_every_type(covariance_type):
    model = fit(own_start(covariance_type, tol=0, max_iter=10), question().rows)
    np.testing.assert_array_equal(model.means_[0], model.means_[1])
    np.testing.assert_allclose(model.means_, [MEAN, MEAN], atol=5e-9)
