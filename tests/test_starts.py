"""Starts: the laws over the registry, and what a callable may return."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from emgmm import GaussianMixture, private_api
from emgmm.covariances import FAMILIES
from emgmm.estep import centred
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.fitting import multistart
from emgmm.initialization import STARTS, hierarchical, kmeans_labels, short_runs
from emgmm.initialization.assignment import nearest_means
from emgmm.sources import Rows

K = 3
X = clusters(200, 4)
starts = pytest.mark.parametrize("name", STARTS)


def begin(init_params, rows=X, **arguments):
    arguments = {"n_components": K, "max_iter": 0, "random_state": 0, **arguments}
    return GaussianMixture(init_params=init_params, **arguments).fit(rows)


@starts
@pytest.mark.parametrize("covariance_type", TYPES + MODELS)
def test_a_start_gives_a_mixture_and_the_same_one_again(name, covariance_type):
    a, b = (begin(name, covariance_type=covariance_type) for _ in range(2))
    for attribute in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(a, attribute), getattr(b, attribute))
    assert a.weights_.shape == (K,)
    assert np.isfinite(a.means_).all()
    assert (np.linalg.eigvalsh(dense(a)) > 0).all()


@starts
def test_another_seed_is_another_start(name, monkeypatch):
    monkeypatch.setattr(hierarchical, "TREE_ROWS", 100)  # up to here nothing is drawn for it
    cloud = np.random.default_rng(0).normal(size=(200, 4))
    one, other = (begin(name, cloud, random_state=seed) for seed in range(2))
    assert not np.array_equal(one.means_, other.means_)


HOSTILE = {
    "duplicates": X[:8].repeat(10, axis=0),
    "all the same": np.ones((20, 4)),
    "a constant column": np.column_stack([X, np.full(len(X), 0.1)]),
    "collinear columns": np.column_stack([X, X @ [1, 2, 3, 4]]),
    "more columns than rows": np.random.default_rng(0).normal(size=(6, 9)),
    "as many components as rows": X[:K],
    "one feature": X[:, :1],
    "far from zero": X + 1e6,
    "wild scales": X * [1e-3, 1.0, 1e3, 1e6],
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("data", ["blobs", *HOSTILE])
@pytest.mark.parametrize("private", [True, False], ids=["private functions", "public class"])
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("n_components", [1, 2, K])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_init", [1, 10])
def test_kmeans_draws_and_labels_as_scikit_learns(
    n_init, dtype, n_components, weighted, private, data, monkeypatch
):
    rows = np.asfortranarray({"blobs": X, **HOSTILE}[data], dtype=dtype)
    weights = np.arange(1.0, len(rows) + 1) if weighted else None
    ours, theirs = np.random.RandomState(7), np.random.RandomState(7)
    if not private:
        monkeypatch.setattr(private_api, "kmeans_parts", lambda: None)
    labels = kmeans_labels(rows, n_components, n_init=n_init, random=ours, weights=weights)
    clusters = KMeans(n_components, n_init=n_init, random_state=theirs)
    clusters.fit(rows, sample_weight=weights)
    np.testing.assert_array_equal(labels, clusters.labels_)
    begun = STARTS["kmeans"](Rows(rows, weights), n_components, np.random.RandomState(8))
    clusters = KMeans(n_components, n_init=1, random_state=8).fit(rows, sample_weight=weights)
    np.testing.assert_array_equal(begun.labels, clusters.labels_)
    assert ours.randint(2**31) == theirs.randint(2**31)


def test_kmeans_stops_within_scikit_learns_tolerance():
    rows = np.random.default_rng(0).random((3000, 3))
    begun = STARTS["kmeans"](Rows(rows), 8, np.random.RandomState(0))
    exact, looser = (KMeans(8, tol=tol, random_state=0).fit(rows).labels_ for tol in (1e-4, 3e-4))
    np.testing.assert_array_equal(begun.labels, exact)
    assert (exact != looser).any()


def test_this_version_of_scikit_learn_has_the_private_functions_of_kmeans(monkeypatch):
    assert private_api.kmeans_parts() is not None
    for name in private_api.KMEANS:
        with monkeypatch.context() as patch:
            patch.setattr(private_api.sklearn_kmeans, name, lambda X: X)
            assert private_api.kmeans_parts.__wrapped__() is None
            patch.delattr(private_api.sklearn_kmeans, name)
            assert private_api.kmeans_parts.__wrapped__() is None


@starts
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # k-means's own
def test_hostile_rows_crash_no_start(name, case, weighted, dtype):
    rows = HOSTILE[case].astype(dtype)
    weights = np.random.default_rng(0).integers(1, 4, len(rows)) if weighted else None
    model = GaussianMixture(K, init_params=name, max_iter=0, reg_covar=1e-3, random_state=0)
    model.set_params(covariance_type="diag").fit(rows, sample_weight=weights)
    assert np.isfinite(model.means_).all()
    assert model.means_.dtype == dtype


@starts
def test_a_start_on_many_rows_looks_at_a_bounded_sample_of_them(name, monkeypatch):
    monkeypatch.setattr(multistart, "START_FROM", len(X) - 1)
    monkeypatch.setattr(multistart, "START_ROWS", 50)
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


@pytest.mark.parametrize("together", [0, 10**6])
def test_a_callable_may_return_labels(together, monkeypatch):
    monkeypatch.setattr(centred, "TOGETHER", together)  # rows sorted by component, or all at once
    assert_mixture(begin(lambda *_: LABELS), weighted_moments(np.eye(K)[LABELS]))
    assert_mixture(begin(lambda *_: LABELS.astype(np.uint8)), weighted_moments(np.eye(K)[LABELS]))
    assert_mixture(begin(lambda *_: LABELS.tolist()), weighted_moments(np.eye(K)[LABELS]))


@pytest.mark.parametrize("together", [0, 10**6])
def test_labels_may_be_the_largest_of_their_type(together, monkeypatch):
    monkeypatch.setattr(centred, "TOGETHER", together)
    labels = np.arange(1024) % 256
    rows = np.random.default_rng(0).normal(size=(1024, 2)) + labels[:, None]

    def means(labels):
        start = GaussianMixture(256, init_params=lambda *_: labels, max_iter=0)
        return fit(start, rows).means_

    expected = [rows[labels == k].mean(axis=0) for k in range(256)]
    np.testing.assert_allclose(means(labels.astype(np.uint8)), expected, rtol=1e-12)
    np.testing.assert_allclose(means(labels.astype(np.uint64)), expected, rtol=1e-12)


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
    "words": (lambda: np.array(["a"] * len(X)), "it must hold integer labels, or resp"),
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


@pytest.mark.parametrize("weight", [1e-60, 1e-12, 1e-3, 50.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_single_rows_of_any_weight_are_the_means(weight, dtype):
    rows = np.array([[3.0, 5.0], [1.0, -2.0], [4.0, 4.0]], dtype=dtype)
    model = GaussianMixture(3, init_params="random_from_data", max_iter=0, random_state=0)
    model = fit(model, rows, sample_weight=[weight, 1.0, 1.0])
    order = np.argsort(model.means_[:, 0])
    np.testing.assert_allclose(model.means_[order], rows[[1, 0, 2]], rtol=2e-6)
    np.testing.assert_allclose(
        model.weights_[order], np.array([1.0, weight, 1.0]) / (2 + weight), atol=1e-6
    )


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


# -- whitened k-means -----------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(10))
def test_clusters_in_a_feature_beside_a_far_wider_one_are_found(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(2, size=500)
    rows = np.column_stack([8 * labels, np.zeros(500)])
    rows += random.normal(size=(500, 2)) * [1, 1000]
    model = begin("whitened-kmeans", rows, n_components=2, max_iter=100, random_state=seed)
    assert adjusted_rand_score(labels, model.predict(rows)) == 1
    start = STARTS["whitened-kmeans"](Rows(rows), 2, np.random.RandomState(seed))
    assert adjusted_rand_score(labels, start.labels) == 1
    other = begin("kmeans", rows, n_components=2, max_iter=100, random_state=seed)
    assert adjusted_rand_score(labels, other.predict(rows)) < 0.1


def test_an_affine_map_changes_no_whitened_clusters():
    random = np.random.default_rng(0)
    A = random.normal(size=(4, 4)) * [1e-2, 1.0, 1.0, 1e4]
    cloud = random.normal(size=(300, 4))
    for seed in range(5):
        one, other = (
            STARTS["whitened-kmeans"](Rows(rows), 5, np.random.RandomState(seed)).labels
            for rows in (cloud, cloud @ A + random.normal(size=4))
        )
        np.testing.assert_array_equal(one, other)


# -- short runs -----------------------------------------------------------------------------------
def test_the_best_of_the_short_runs_goes_on(monkeypatch):
    """No run stopped above the mixture that is handed out, and that one is a run's."""
    objectives = {short_runs.STEPS: [], short_runs.MORE_STEPS: []}
    original = short_runs.plain_steps

    def spy(em, step, number):
        assert em.source.n_rows == 150
        ended = original(em, step, number)
        objectives[number].append(ended.objective)
        return ended

    monkeypatch.setattr(short_runs, "plain_steps", spy)
    cloud = np.random.default_rng(0).normal(size=(150, 2))
    model = begin("short-runs", cloud, n_components=4, reg_covar=0)
    shorter, longer = objectives.values()
    assert (len(shorter), len(longer)) == (20, 3)
    assert len(set(shorter)) > short_runs.RUNS / 2
    assert model.score(cloud) == pytest.approx(max(longer), rel=1e-12)
    assert max(longer) >= max(shorter)


def test_short_runs_look_at_a_sample_of_the_rows_that_count(monkeypatch):
    monkeypatch.setattr(short_runs, "SHORT_ROWS", 60)
    weights = np.ones(len(X))
    weights[::2] = 0
    looked_at = []
    original = short_runs.em_on_sample

    def spy(m_step, sample, n_components):
        looked_at.append(sample.values)
        return original(m_step, sample, n_components)

    monkeypatch.setattr(short_runs, "em_on_sample", spy)
    GaussianMixture(K, init_params="short-runs", max_iter=0, random_state=0).fit(
        X, sample_weight=weights
    )
    assert {tuple(row) for row in looked_at[0]} <= {tuple(row) for row in X[1::2]}
    assert len(looked_at[0]) == 60


def test_runs_that_fail_are_dropped_and_where_all_do_the_error_says_so(monkeypatch):
    calls = []
    original = short_runs.plain_steps

    def failing(em, step, number):
        calls.append(number)
        if len(calls) < short_runs.RUNS or len(calls) > short_runs.RUNS + 1:
            raise DegenerateCovarianceError((0,))
        return original(em, step, number)

    monkeypatch.setattr(short_runs, "plain_steps", failing)
    begin("short-runs")
    assert calls == [short_runs.STEPS] * short_runs.RUNS + [short_runs.MORE_STEPS]
    flat = np.column_stack([X, np.ones(len(X))])
    with pytest.raises(ValueError, match=r"Singular: all, because X is constant"):
        begin("short-runs", flat, reg_covar=0)


def test_short_runs_are_made_under_the_fits_own_m_step():
    wide = np.random.default_rng(0).normal(size=(12, 20))  # no ridge: only the prior bears it
    model = begin("short-runs", wide, n_components=2, prior="conjugate")
    assert (np.linalg.eigvalsh(model.covariances_) > 0).all()


def test_precisions_that_were_given_blur_no_short_run():
    rows = 1e-3 * clusters(300, 3, 3, spread=8.0)
    given = np.tile(1e6 * np.eye(3), (K, 1, 1))
    one = begin("short-runs", rows, reg_covar=1e-9)
    other = begin("short-runs", rows, reg_covar=1e-9, precisions_init=given)
    np.testing.assert_allclose(other.means_, one.means_, rtol=1e-6)


def test_a_run_in_which_a_component_collapsed_is_not_the_best():
    """Its likelihood is the highest: the ridge alone holds up a component of equal rows."""
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(size=(200, 2)), np.full((20, 2), 3.0)])
    run = {"n_components": 2, "reg_covar": 1e-9, "random_state": 0, "max_iter": 0}
    model = begin("short-runs", rows, **run)
    spike = begin(lambda *_: (np.arange(220) >= 200).astype(int), rows, **run)
    assert spike.score(rows) > model.score(rows)
    assert np.linalg.eigvalsh(model.covariances_).min() > 1e-5


def test_short_runs_do_not_depend_on_the_number_of_threads():
    rows = clusters(9000, 3, 5, spread=1.0)
    models = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            models.append(begin("short-runs", rows, n_components=5))
    np.testing.assert_array_equal(models[0].means_, models[1].means_)
    np.testing.assert_array_equal(models[0].covariances_, models[1].covariances_)


@pytest.mark.parametrize("far", [1e155, 1e300, 1.7e308])
def test_rows_are_nearest_to_the_nearer_of_means_whose_squares_overflow(far):
    means = np.array([[-far, far], [0.5 * far, 0.25 * far], [far, far]])
    for given in (means, means[::-1]):
        with np.errstate(all="raise"):
            labels = nearest_means(X[:, :2], given).labels
        assert (labels == 1).all()
