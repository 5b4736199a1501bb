"""What scikit-learn's class gets wrong and a drop-in must not (confirmed on 1.9.1)."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from conftest import TYPES, clusters, fit
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from emgmm import Ending, GaussianMixture

types = pytest.mark.parametrize("covariance_type", TYPES)


@pytest.mark.filterwarnings("ignore::emgmm.StoppedShortWarning")
@types
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int16, np.uint8, bool])
def test_integers_give_the_float_answer(covariance_type, dtype):
    random = np.random.default_rng(0)
    high = 2 if dtype is bool else 100
    X = (
        random.integers(0, high, size=(300, 3))
        + random.integers(0, 2, size=(300, 1)) * (high > 2) * 120
    )
    X = X.astype(dtype)
    model = fit(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X)
    exact = fit(
        GaussianMixture(2, covariance_type=covariance_type, random_state=0), X.astype(float)
    )
    np.testing.assert_array_equal(model.means_, exact.means_)
    for name in (
        "score_samples",
        "predict_proba",
        "predict_log_proba",
        "component_log_prob",
        "predict",
    ):
        np.testing.assert_array_equal(
            getattr(model, name)(X), getattr(exact, name)(X.astype(float))
        )
    for name in ("score", "bic", "aic", "icl"):
        assert getattr(model, name)(X) == getattr(exact, name)(X.astype(float))


def test_one_failing_start_does_not_kill_the_others():
    X = clusters(60, 2, 2)
    arguments = {"n_components": 2, "reg_covar": 0}
    with pytest.raises(ValueError, match="Singular: component 1,"):
        GaussianMixture(**arguments, init_params=hit_or_miss([0])).fit(X)
    model = GaussianMixture(**arguments, init_params=hit_or_miss([0, 1, 0]), n_init=3).fit(X)
    best = GaussianMixture(**arguments, random_state=0).fit(X)
    assert model.lower_bound_ == pytest.approx(best.lower_bound_, rel=1e-9)
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        GaussianMixture(**arguments, init_params=hit_or_miss([0, 0, 0]), n_init=3).fit(X)


def test_where_all_starts_fail_the_first_failure_is_told():
    X = np.random.default_rng(0).normal(size=(20, 2))
    lone = iter([np.r_[1, np.zeros(19, dtype=int)], np.r_[0, np.ones(19, dtype=int)]])
    with pytest.raises(ValueError, match="Singular: component 1,"):
        GaussianMixture(2, reg_covar=0, init_params=lambda *_: next(lone), n_init=2).fit(X)


def test_numbers_too_large_for_float32_are_a_failure():
    X = (1e20 * clusters()).astype(np.float32)
    with pytest.raises(ValueError, match="passing float64 data instead of float32"):
        GaussianMixture(2, init_params=hit_or_miss([0])).fit(X)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_component_on_equal_rows_is_singular_and_not_a_triumph(covariance_type):
    """scikit-learn's diag and spherical variances there are 2.7e-12 of rounding, and it goes on."""
    X = np.r_[np.random.RandomState(0).randn(100, 2), [[50, 50]], [[50, 50]]]
    model = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0)
    with pytest.raises(ValueError, match="Singular: component 1,"):
        model.fit(X)


@pytest.mark.parametrize("seed", range(3))
def test_components_of_one_row_each_are_singular(seed):
    """scikit-learn's variances there are below 1e-15 and rounding errors, and it goes on."""
    X = np.random.RandomState(seed).uniform(size=(30, 3))
    start = {
        "weights_init": [1 / 30, 1 / 30, 28 / 30],
        "means_init": [X[0], X[1], X[2:].mean(axis=0)],
        "precisions_init": [1e6, 1e6, 12.0],
    }
    model = GaussianMixture(3, covariance_type="spherical", reg_covar=0, max_iter=1, **start)
    with pytest.raises(ValueError, match="Singular: components 0 and 1,"):
        model.fit(X)


def hit_or_miss(script):
    """A start that gives component 1 a single row (0), or k-means' cluster (1), in turn."""
    turns = iter(script)

    def start(X, n_components, random_state):
        if next(turns):
            return KMeans(2, n_init=1, random_state=0).fit(X).labels_
        return (np.arange(len(X)) == 0).astype(int)

    return start


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0)])
def test_of_starts_that_end_alike_the_first_is_kept(order):
    """They differ in the numbers of the components alone; a later start that is better is kept."""
    X = clusters(200, 2, 2, seed=1)
    labels = KMeans(2, n_init=1, random_state=0).fit(X).labels_
    poor = np.arange(len(X)) % 2  # is below the others after two iterations

    def fitted(starts):
        turns = iter(starts)
        begin = {"n_init": len(starts), "init_params": lambda *_: next(turns)}
        return fit(GaussianMixture(2, **begin, max_iter=2, break_symmetry=False), X)

    ends = [fitted([labels]), fitted([1 - labels])]
    assert ends[0].lower_bound_ == pytest.approx(ends[1].lower_bound_, rel=1e-13)
    np.testing.assert_allclose(ends[0].means_, ends[1].means_[::-1], rtol=1e-9)
    turns = [(labels, 1 - labels)[number] for number in order]
    np.testing.assert_array_equal(fitted(turns).means_, ends[order[0]].means_)
    assert fitted([poor]).lower_bound_ < ends[0].lower_bound_ - 1e-3
    np.testing.assert_array_equal(fitted([poor, *turns]).means_, ends[order[0]].means_)


@types
def test_a_failed_fit_leaves_an_unfitted_estimator(covariance_type):
    X = np.ones((20, 2))
    model = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, init_params="random")
    before = dict(vars(model))
    for _ in range(2):
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            model.set_params(warm_start=True).fit(X)
        with pytest.raises(NotFittedError):
            check_is_fitted(model)
        with pytest.raises(NotFittedError):
            model.predict(X)
    assert vars(model) == {**before, "warm_start": True}
    fit(model, clusters(n_features=2))
    with pytest.raises(ValueError, match="ill-defined"):
        model.set_params(warm_start=False).fit(X)
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert not hasattr(model, "n_features_in_")


@types
def test_rows_that_differ_by_their_own_rounding_only_have_no_covariance(covariance_type):
    ulp = np.spacing(1e9)
    X = 1e9 + ulp * np.random.RandomState(0).randint(-1, 2, size=(200, 2))
    model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0)
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        model.fit(X)
    fit(model, 1e9 + 1e3 * (X - 1e9))  # where it is more than rounding it is found
    np.testing.assert_allclose(np.ravel(model.covariances_)[0], (1e3 * ulp) ** 2 * 2 / 3, rtol=0.2)


def test_an_interrupted_fit_keeps_the_last_one(monkeypatch):
    X = clusters()
    model = GaussianMixture(2, random_state=0).fit(X)
    before = pickle.dumps(vars(model))

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.set_params(init_params=interrupt).fit(X[:, :2])
    assert pickle.dumps({**vars(model), "init_params": "kmeans"}) == before


@types
def test_no_iterations_with_given_precisions_have_covariances(covariance_type):
    X = clusters()
    full = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    model = GaussianMixture(
        2,
        covariance_type=covariance_type,
        max_iter=0,
        precisions_init=full.precisions_,
        random_state=0,
    ).fit(X)
    np.testing.assert_allclose(model.covariances_, full.covariances_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.precisions_, full.precisions_, rtol=1e-9, atol=1e-12)
    assert model.ending_ is Ending.START_ONLY


@pytest.mark.parametrize(
    ("change", "width", "what"),
    [
        ({"n_components": 3}, 3, "n_components was 2 then and is 3 now"),
        ({"covariance_type": "diag"}, 3, "covariance_type='diag' .* requires .* warm_start=False"),
        ({}, 2, "the number of features was 3 then and is 2 now"),
    ],
)
def test_a_warm_start_that_cannot_go_on_says_so(change, width, what):
    X = clusters()
    model = GaussianMixture(2, warm_start=True, random_state=0).fit(X)
    means = model.means_.copy()
    model.set_params(**change)
    with pytest.raises(ValueError, match=what):
        model.fit(X[:, :width])
    np.testing.assert_array_equal(model.means_, means)
    assert model.n_features_in_ == 3
    model.set_params(warm_start=False).fit(X[:, :width])


def test_no_iterations_keep_the_best_of_several_starts():
    X = clusters(seed=2)
    arguments = {"max_iter": 0, "init_params": "random_from_data", "n_components": 3}
    random = np.random.RandomState(5)
    single = [GaussianMixture(**arguments, random_state=random).fit(X) for _ in range(5)]
    bounds = [model.lower_bound_ for model in single]
    best = GaussianMixture(**arguments, n_init=5, random_state=np.random.RandomState(5)).fit(X)
    assert best.lower_bound_ == max(bounds)
    assert np.argmax(bounds) != len(bounds) - 1


def test_constructor_parameters_are_never_overwritten():
    X = clusters(n_features=2, n_components=2)
    given = {"weights_init": [0.5, 0.5], "means_init": [[0, 0], [1, 1]]}
    given["precisions_init"] = [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]
    model = fit(GaussianMixture(2, **given), X)
    for name, value in given.items():
        assert getattr(model, name) is value
    assert value == [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]


def test_the_message_about_n_samples_names_n_samples():
    model = GaussianMixture(2, random_state=0).fit(clusters())
    with pytest.raises(
        ValueError, match=r"Invalid value for 'n_samples': 0 \. The sampling requires"
    ):
        model.sample(0)
