"""Starts: the laws over the registry, and what a callable may return."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import TYPES, clusters, dense, fit
from scipy.stats import multivariate_normal

from emgmm import GaussianMixture, fitting
from emgmm.families import FAMILIES
from emgmm.starts import STARTS

K = 3
X = clusters(200, 4)
starts = pytest.mark.parametrize("name", STARTS)


def begin(init_params, rows=X, **arguments):
    arguments = {"n_components": K, "max_iter": 0, "random_state": 0, **arguments}
    return GaussianMixture(init_params=init_params, **arguments).fit(rows)


@starts
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_start_gives_a_mixture_and_the_same_one_again(name, covariance_type):
    a, b = (begin(name, covariance_type=covariance_type) for _ in range(2))
    for attribute in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(a, attribute), getattr(b, attribute))
    assert a.weights_.shape == (K,)
    assert np.isfinite(a.means_).all()
    assert (np.linalg.eigvalsh(dense(a)) > 0).all()
    other = begin(name, covariance_type=covariance_type, random_state=1)
    assert not np.array_equal(a.means_, other.means_)


@starts
def test_a_start_on_many_rows_looks_at_a_bounded_sample_of_them(name, monkeypatch):
    monkeypatch.setattr(fitting, "START_FROM", len(X) - 1)
    monkeypatch.setattr(fitting, "START_ROWS", 50)
    seen = []
    original = STARTS[name]

    def spy(rows, n_components, random):
        seen.append(rows.values)
        return original(rows, n_components, random)

    monkeypatch.setitem(STARTS, name, spy)
    begin(name)
    (rows,) = seen
    assert len(rows) == 50
    assert {tuple(row) for row in rows} <= {tuple(row) for row in X}
    begin(name, random_state=0)
    np.testing.assert_array_equal(seen[1], rows)


LABELS = np.random.default_rng(0).integers(K, size=len(X))
SHARES = np.random.default_rng(1).dirichlet(np.ones(K), size=len(X))


def weighted_moments(shares):
    mass = shares.sum(axis=0)
    means = shares.T @ X / mass[:, None]
    covariances = [np.cov(X.T, aweights=shares[:, k], ddof=0) + 1e-6 * np.eye(4) for k in range(K)]
    return mass / len(X), means, np.array(covariances)


def assert_mixture(model, expected):
    for name, value in zip(("weights_", "means_", "covariances_"), expected, strict=True):
        np.testing.assert_allclose(getattr(model, name), value, rtol=1e-10, atol=1e-12)


def test_a_callable_may_return_labels():
    assert_mixture(begin(lambda *_: LABELS), weighted_moments(np.eye(K)[LABELS]))
    assert_mixture(begin(lambda *_: LABELS.astype(np.uint8)), weighted_moments(np.eye(K)[LABELS]))
    assert_mixture(begin(lambda *_: LABELS.tolist()), weighted_moments(np.eye(K)[LABELS]))


def test_a_callable_may_return_responsibilities():
    assert_mixture(begin(lambda *_: SHARES), weighted_moments(SHARES))


def test_a_callable_may_return_means():
    means = X[[3, 50, 120]] + 0.1
    nearest = np.argmin(((X[:, None] - means) ** 2).sum(axis=2), axis=1)
    assert_mixture(begin(lambda *_: means), weighted_moments(np.eye(K)[nearest]))


def test_a_callable_gets_the_rows_the_number_and_a_random_state_once_per_start():
    calls = []

    def start(rows, n_components, random_state):
        calls.append((rows, n_components, random_state.randint(1000)))
        return LABELS

    fit(GaussianMixture(K, init_params=start, n_init=3, random_state=4, max_iter=1), X)
    random = np.random.RandomState(4)
    assert [draw for _, _, draw in calls] == [random.randint(1000) for _ in range(3)]
    for rows, n_components, _ in calls:
        np.testing.assert_array_equal(rows, X)
        assert n_components == K


WRONG = {
    "a label too high": (lambda: np.full(len(X), 3), "label 3 for row 0; labels run from 0 to"),
    "a label below zero": (lambda: np.r_[LABELS[:-1], -1], "label -1 for row 199"),
    "shares that do not sum to one": (lambda: SHARES * 2, "non-negative and sum to one"),
    "a negative share": (lambda: SHARES - [2, -1, -1], "for row 0; they must be non-negative"),
    "another shape": (lambda: np.zeros((2, 2)), r"expected integer labels of shape \(200,\)"),
    "floats as labels": (lambda: LABELS.astype(float), "expected integer labels"),
    "words": (lambda: np.array(["a"] * len(X)), "return integer labels, or responsibilities"),
    "nan": (lambda: np.full((K, 4), np.nan), "with NaN or infinity in it"),
}


@pytest.mark.parametrize(("answer", "message"), WRONG.values(), ids=WRONG)
def test_an_answer_that_will_not_do(answer, message):
    with pytest.raises(ValueError, match=message):
        begin(lambda *_: answer())


def test_an_ambiguous_answer_is_refused():
    rows = np.random.default_rng(0).normal(size=(3, 3))
    with pytest.raises(ValueError, match="could be responsibilities or means"):
        begin(lambda *_: np.eye(3), rows=rows)
    model = begin(lambda *_: np.array([0, 1, 2]), rows=rows, reg_covar=1.0)
    np.testing.assert_allclose(model.means_, rows, rtol=1e-13)


def test_an_error_in_a_callable_comes_through():
    def start(*_):
        raise RuntimeError("no idea")

    with pytest.raises(RuntimeError, match="no idea"):
        begin(start)


def test_a_random_start_is_near_the_saddle_that_it_is_known_for():
    model = begin("random")
    spread = X.std(axis=0)
    assert (np.abs(model.means_ - X.mean(axis=0)) < 0.2 * spread).all()


@pytest.mark.parametrize("name", ["k-means++", "random_from_data"])
def test_single_rows_are_the_means_and_the_ridge_their_covariance(name):
    model = begin(name)
    assert np.abs(model.means_[:, None] - X).max(axis=2).min(axis=1).max() < 1e-12
    np.testing.assert_array_equal(model.covariances_, np.tile(1e-6 * np.eye(4), (K, 1, 1)))
    density = multivariate_normal(model.means_[0], model.covariances_[0]).pdf(model.means_[0])
    assert model.score_samples(model.means_[:1])[0] == pytest.approx(np.log(density / len(X)))


def test_given_parameters_need_no_definite_covariance_from_the_start():
    """The start's covariances are singular, but the user's precisions take their place."""
    model = GaussianMixture(
        K,
        reg_covar=0,
        max_iter=0,
        init_params="random_from_data",
        precisions_init=np.tile(np.eye(4), (K, 1, 1)),
        random_state=0,
    ).fit(X)
    np.testing.assert_allclose(model.covariances_, np.tile(np.eye(4), (K, 1, 1)))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_labels_and_one_hot_responsibilities_are_the_same(covariance_type):
    family = FAMILIES[covariance_type]
    assert family.name == covariance_type
    a = begin(lambda *_: LABELS, covariance_type=covariance_type)
    b = begin(lambda *_: np.eye(K)[LABELS], covariance_type=covariance_type)
    np.testing.assert_allclose(a.covariances_, b.covariances_, rtol=1e-12, atol=1e-14)


def test_a_callable_cannot_spoil_the_rows():
    def start(rows, n_components, random_state):
        rows[:] = 0

    before = X.copy()
    with pytest.raises(ValueError, match="read-only"):
        begin(start)
    np.testing.assert_array_equal(X, before)


def test_float32_weights_may_be_off_by_float32_rounding():
    weights = np.array([0.2, 0.3, 0.5], dtype=np.float32) * np.float32(1 + 5e-7)
    begin("kmeans", weights_init=weights)
    with pytest.raises(ValueError, match="should be normalized"):
        begin("kmeans", weights_init=weights.astype(float))
