"""The hierarchical start: brute force, invariances, weights, and mclust's stored cuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import clusters
from sklearn.metrics import adjusted_rand_score

from emgmm import GaussianMixture
from emgmm.initialization import STARTS
from emgmm.initialization.hierarchical import Tree, agglomerate
from emgmm.initialization.whitening import whitened
from emgmm.sources import Rows

DATA = Path(__file__).parent / "data"
NOBODY = 0  # the seed of a choice that is not made


def term(points, masses, mean_variance):
    """T_k of one cluster, as the formula has it."""
    mass = masses.sum()
    deviations = points - masses @ points / mass
    S = (masses[:, None] * deviations).T @ deviations / mass
    return mass * np.log(max(np.linalg.det(S), 0.0) + np.trace(S) + mean_variance / mass)


def spread(points, masses):
    """The mean variance of all coordinates."""
    deviations = points - np.average(points, axis=0, weights=masses)
    return np.average(deviations**2, axis=0, weights=masses).mean()


def by_brute_force(points, masses):
    """All pairs anew in every step: the merges, and what each cost."""
    variance = spread(points, masses)
    members = {i: [i] for i in range(len(points))}
    merges, costs = [], []
    while len(members) > 1:
        terms = {k: term(points[own], masses[own], variance) for k, own in members.items()}
        cost = {
            (a, b): term(points[members[a] + members[b]], masses[members[a] + members[b]], variance)
            - terms[a]
            - terms[b]
            for a in members
            for b in members
            if a < b
        }
        kept, gone = min(cost, key=cost.get)
        costs.append(cost[kept, gone])
        members[kept] += members.pop(gone)
        merges.append((kept, gone))
    return np.array(merges), costs


@pytest.mark.parametrize("n_features", [1, 2, 3, 6])
@pytest.mark.parametrize("scale", [1.0, 4.0], ids=["mostly by trace", "mostly by determinant"])
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
def test_merges_are_those_of_brute_force(n_features, scale, weighted):
    random = np.random.default_rng(n_features)
    X = np.concatenate(
        [random.normal(size=(16, n_features)), random.normal(3, 0.3, (12, n_features))]
    )
    masses = random.uniform(0.3, 3, len(X)) if weighted else np.ones(len(X))
    points = scale * whitened(Rows(X))
    expected, costs = by_brute_force(points, masses)
    np.testing.assert_array_equal(agglomerate(points, masses), expected)
    # All costs together are what the one cluster that is left counts.
    variance = spread(points, masses)
    alone = sum(mass * np.log(variance / mass) for mass in masses)
    assert sum(costs) + alone == pytest.approx(term(points, masses, variance), rel=1e-10)


def test_whitened_rows_have_covariance_one():
    X = clusters(300, 4) * [1e-3, 1.0, 1e3, 1e6] + [0, 1e3, 0, -1e7]
    weights = np.random.default_rng(0).uniform(size=len(X))
    points = whitened(Rows(X, weights))
    np.testing.assert_allclose(np.cov(points.T, aweights=weights, ddof=0), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(weights @ points, 0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_and_collinear_columns_have_no_part_in_whitened_rows(dtype):
    X = clusters(300, 3).astype(dtype) + dtype(10)
    more = np.column_stack([X, np.full(len(X), 0.1), X @ np.array([1, 2, 3], dtype)]).astype(dtype)
    points = whitened(Rows(more))
    assert points.shape == (300, 3)
    gram = whitened(Rows(X)) @ whitened(Rows(X)).T
    np.testing.assert_allclose(points @ points.T, gram, atol=1e-2 if dtype == np.float32 else 1e-8)
    assert not whitened(Rows(np.full((5, 2), 0.1, dtype))).any()


def hierarchical(X, n_components, weights=None, complete=True):
    rows = Rows(X, weights, complete)
    return STARTS["hierarchical"](rows, n_components, np.random.RandomState(0)).assignment.labels


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_units_and_order_of_features_change_no_cut(n_features):
    X = clusters(200, n_features).round(1)  # with ties
    random = np.random.default_rng(0)
    moved = X * 10 ** random.uniform(-6, 6, n_features) + random.normal(size=n_features)
    moved = moved[:, random.permutation(n_features)]
    for n_components in (2, 3, 4, 9):
        for other in (moved, X / 1e3, X * 1e3):
            np.testing.assert_array_equal(
                hierarchical(X, n_components), hierarchical(other, n_components)
            )


def test_equal_rows_are_merged_first():
    X = clusters(60, 2)
    random = np.random.default_rng(0)
    repeated = np.concatenate([X, X[random.integers(60, size=40)], X[:5]])
    labels = hierarchical(repeated, 60)
    _, places = np.unique(repeated, axis=0, return_inverse=True)
    for k in range(60):
        assert len(np.unique(labels[places.ravel() == k])) == 1
    assert len(np.unique(hierarchical(repeated, 80))) == 80


def test_clusters_of_one_feature_are_quantiles():
    random = np.random.default_rng(0)
    x = random.gamma(2.0, size=101)
    for n_components in (2, 3, 7):
        labels = hierarchical(x[:, None], n_components)
        edges = np.quantile(x, np.arange(1, n_components) / n_components, method="inverted_cdf")
        np.testing.assert_array_equal(labels, np.searchsorted(edges, x, side="left"))
    weights = random.integers(1, 4, len(x))
    np.testing.assert_array_equal(
        hierarchical(x[:, None], 5, weights.astype(float)).repeat(weights),
        hierarchical(x.repeat(weights)[:, None], 5),
    )


@pytest.mark.parametrize(
    "values", [[0, 0, 0, 0, 0, 1, 2], [1, 1, 1, 1, 1, 1, 1], [5, 1, 1, 1, 1, 1, 1, 2]]
)
def test_ties_in_one_feature_leave_no_cluster_empty(values):
    x = np.array(values, dtype=float)
    for n_components in (1, 2, 3, len(x)):
        labels = hierarchical(x[:, None], n_components)
        assert np.array_equal(np.unique(labels), np.arange(n_components))
        assert (np.diff(labels[np.argsort(x, kind="stable")]) >= 0).all()


def test_a_cut_has_as_many_clusters_and_each_lies_within_one_of_the_cut_above():
    rows = Rows(clusters(120, 3))
    tree = Tree.of(rows, NOBODY)
    above = tree.cut(1)
    assert not above.any()
    for n_clusters in range(2, 121):
        labels = tree.cut(n_clusters)
        assert np.array_equal(np.unique(labels), np.arange(n_clusters))
        parents = {(label, parent) for label, parent in zip(labels, above, strict=True)}
        assert len(parents) == n_clusters
        above = labels


def test_a_tree_is_grown_once_for_its_rows(monkeypatch):
    grown = []

    def spy(points, masses):
        grown.append(len(points))
        return agglomerate(points, masses)

    monkeypatch.setattr("emgmm.initialization.hierarchical.agglomerate", spy)
    monkeypatch.setattr("emgmm.initialization.hierarchical.TREE_ROWS", 50)
    rows = Rows(clusters(120, 3))
    starts = [
        STARTS["hierarchical"](rows, n_components, np.random.RandomState(0))
        for n_components in range(1, 10)
    ]
    assert grown == [50]
    assert all(np.array_equal(start.numbers, starts[0].numbers) for start in starts)
    STARTS["hierarchical"](Rows(rows.values), 2, np.random.RandomState(0))
    assert grown == [50, 50]


@pytest.mark.parametrize("n_rows", [1999, 2000, 2001, 4500])
def test_of_more_than_2000_rows_as_many_are_chosen_at_random(n_rows):
    rows = Rows(np.arange(n_rows)[:, None] % [7.0, 5.0])
    chosen = [STARTS["hierarchical"](rows, 3, np.random.RandomState(s)).numbers for s in (0, 1)]
    assert [len(set(numbers)) for numbers in chosen] == 2 * [min(n_rows, 2000)]
    assert np.array_equal(*chosen) == (n_rows <= 2000)


def test_a_weight_of_two_is_the_row_twice_and_none_is_no_row():
    X = clusters(120, 3)
    weights = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
    labels = hierarchical(X, 5, weights)
    assert len(labels) == np.count_nonzero(weights)
    counts = weights.astype(int)
    repeated = hierarchical(X.repeat(counts, axis=0), 5)
    np.testing.assert_array_equal(labels.repeat(counts[counts > 0]), repeated)
    np.testing.assert_array_equal(hierarchical(X, 5, 1e-9 * weights), labels)


def test_holes_are_filled_with_the_mean_and_rows_that_tell_nothing_left_out():
    X = clusters(120, 3)
    holed = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    holed[:3] = np.nan
    filled = np.where(np.isnan(holed), np.nanmean(holed, axis=0), holed)
    np.testing.assert_array_equal(
        hierarchical(holed, 3, complete=False), hierarchical(filled[3:], 3)
    )


def test_theta_0_is_of_the_rows_that_were_clustered(monkeypatch):
    monkeypatch.setattr("emgmm.initialization.hierarchical.TREE_ROWS", 80)
    X = clusters(300, 3, spread=8.0)
    model = GaussianMixture(3, init_params="hierarchical", max_iter=0, reg_covar=0, random_state=1)
    model.fit(X)
    seed = np.random.RandomState(1).randint(np.iinfo(np.int32).max)
    numbers = np.sort(Rows(X).choose(80, np.random.RandomState(seed)))
    own = X[numbers]
    labels = Tree.of(Rows(own), NOBODY).cut(3)
    assert len(np.unique(numbers)) == 80
    for k in range(3):
        np.testing.assert_allclose(model.means_[k], own[labels == k].mean(axis=0), rtol=1e-10)
        np.testing.assert_allclose(model.covariances_[k], np.cov(own[labels == k].T, ddof=0))


def stored(name):
    with (DATA / f"{name}.csv").open() as file:
        header = file.readline().strip().split(",")
        width = len(header) - (header[-1] == "class")
        X = np.loadtxt(file, delimiter=",", usecols=range(width), ndmin=2)
    cuts = np.loadtxt(DATA / "starts" / f"{name}.csv", delimiter=",", skiprows=1, dtype=int)
    return X, dict(zip(range(2, 7), cuts.T, strict=True))


@pytest.mark.parametrize("name", ["banknote", "chevron", "iris", "penguins"])
def test_cuts_are_mclusts(name):
    X, cuts = stored(name)
    agreement = [
        adjusted_rand_score(hierarchical(X, n_components), theirs)
        for n_components, theirs in cuts.items()
    ]
    assert min(agreement) > 0.99  # ties may be broken otherwise


def test_one_feature_starts_near_mclusts():
    X, cuts = stored("acidity")
    for n_components, theirs in cuts.items():
        # mclust interpolates between two rows where a quantile lies, so that one may differ.
        assert adjusted_rand_score(hierarchical(X, n_components), theirs) > 0.9


def test_rows_of_next_to_no_weight_leave_the_others_their_clusters():
    X = clusters(60, 2, 2, seed=4)
    X[::2] += 100
    weights = np.where(np.arange(60) % 4 < 2, 1.0, 10.0 ** -np.linspace(290, 310, 60))
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        labels = hierarchical(X, 2, weights)
    heavy = weights == 1
    assert adjusted_rand_score(labels[heavy], np.arange(60)[heavy] % 2) == 1
