"""Merged components: R's mclust, scipy's integrals, and definitions in long form."""

from __future__ import annotations

import json
from itertools import combinations
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from conftest import clusters, fit
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from mclust import HERE, rows
from scipy.cluster.hierarchy import cut_tree, is_monotonic, is_valid_linkage
from scipy.ndimage import label, maximum_filter
from scipy.special import xlogy
from scipy.stats import multivariate_normal
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Theirs

from emgmm import GaussianMixture, GaussianMixtureIC, blocks, merge_components
from emgmm.drawing import GREY
from emgmm.merging.hierarchy import elbow
from emgmm.merging.separation import Gaussian, Pair

METHODS = ("entropy", "bhattacharyya", "ridge")
CASES = json.loads((HERE / "clust_combi.json").read_text())["cases"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def noisy():
    """A model with noise, and rows with missing values, a row without any, and weights."""
    random = np.random.default_rng(1)
    X = np.vstack([clusters(300, 3, 4, spread=1.5), random.uniform(-9, 9, (30, 3))])
    X[random.uniform(size=X.shape) < 0.1] = np.nan
    X[5] = np.nan
    model = fit(GaussianMixture(6, noise="uniform", random_state=0), X)
    return SimpleNamespace(model=model, X=X, weights=random.integers(4, size=len(X)))


def flat(members):
    return {k for each in np.atleast_1d(np.array(members, dtype=object)) for k in np.ravel([each])}


def sets_of(merged):
    """The pairs of sets of components that each row of the linkage merges."""
    found = [{k} for k in range(len(merged.component_to_cluster_))]
    for one, other, _, size in merged.linkage_:
        yield {frozenset(found[int(one)]), frozenset(found[int(other)])}
        found.append(found[int(one)] | found[int(other)])
        assert len(found[-1]) == size


@pytest.mark.all_cases
@pytest.mark.parametrize("case", CASES, ids=[case["data"] for case in CASES])
def test_stored_responsibilities_lead_to_mclusts_merges_entropies_and_elbow(case):
    """Unit Gaussians around the unit vectors have the responsibilities exp(x) / sum exp(x)."""
    z = np.array(case["z"])
    K = z.shape[1]
    model = GaussianMixture.from_parameters(
        np.full(K, 1 / K), np.eye(K), covariances=np.ones(K), covariance_type="EII"
    )
    X = np.log(np.maximum(z, 1e-320))
    np.testing.assert_allclose(model.predict_proba(X), z, atol=1e-12)
    merged = merge_components(model, X)
    merges = [{frozenset(flat(each)) for each in step["merged"]} for step in case["merges"]]
    assert list(sets_of(merged)) == merges
    np.testing.assert_allclose(merged.entropy_, case["entropy_by_K"], rtol=1e-10, atol=1e-12)
    assert merged.n_clusters == (case["optim_reg2"] or K)
    if case["optim_reg2"]:
        theirs, ours = case["optim_labels1"], merged.predict(X)
        assert len(set(zip(theirs, ours, strict=True))) == merged.n_clusters


def test_each_step_merges_the_pair_that_reduces_the_entropy_most(noisy):
    model, X, weights = noisy.model, noisy.X, noisy.weights
    merged = merge_components(model, X, sample_weight=weights)
    own = np.where(np.isnan(X).all(axis=1), 0, weights)

    def entropy(groups):
        z = model.predict_proba(X)
        z = np.stack([z[:, list(group)].sum(axis=1) for group in [*groups, {6}]], axis=1)
        return -(own[:, None] * xlogy(z, z)).sum()

    groups, heights = [frozenset({k}) for k in range(6)], []
    first = entropy(groups)
    for step, pair in enumerate(sets_of(merged)):
        assert merged.entropy_[5 - step] == pytest.approx(entropy(groups), rel=1e-10)
        after = {
            frozenset(two): entropy([g for g in groups if g not in two] + [two[0] | two[1]])
            for two in combinations(groups, 2)
        }
        assert after[frozenset(pair)] == pytest.approx(min(after.values()), rel=1e-12)
        groups = [g for g in groups if g not in pair] + [frozenset.union(*pair)]
        heights.append(first - entropy(groups))
    assert merged.entropy_[0] == pytest.approx(entropy(groups), rel=1e-10)
    assert merged.entropy_[0] > 0.1  # that of noise, which is never merged
    np.testing.assert_allclose(merged.linkage_[:, 2], heights, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_a_hierarchy_is_a_linkage_whose_levels_are_the_clusters(method, noisy):
    merged = merge_components(noisy.model, noisy.X, method=method, n_clusters=1)
    assert is_valid_linkage(merged.linkage_)
    assert is_monotonic(merged.linkage_)
    assert merged.predict(noisy.X).max() == 0
    probabilities = noisy.model.predict_proba(noisy.X)
    for C in range(1, 7):
        cut = merged.cut(C)
        labels = cut.component_to_cluster_
        np.testing.assert_array_equal(labels, cut_tree(merged.linkage_, C).ravel())
        expected = [probabilities[:, :6][:, labels == c].sum(axis=1) for c in range(C)]
        expected = np.stack([*expected, probabilities[:, 6]], axis=1)
        np.testing.assert_allclose(cut.predict_proba(noisy.X), expected, atol=1e-12)
        most = expected.argmax(axis=1)
        np.testing.assert_array_equal(cut.predict(noisy.X), np.where(most == C, -1, most))
    assert (merged.predict(noisy.X) == -1).sum() > 5
    assert merged.cut().n_clusters == elbow(merged.entropy_)


@pytest.mark.parametrize("method", METHODS)
def test_weights_are_repetitions_and_no_arrangement_of_rows_matters(method, noisy):
    model, X, weights = noisy.model, noisy.X, noisy.weights
    expected = merge_components(model, np.repeat(X, weights, axis=0), method=method)
    halves = blocks([X[:100], X[100:]])
    for own, of_rows in (
        (X, weights),
        (halves, blocks([weights[:100], weights[100:]])),
        (da.from_array(X, chunks=(70, 3)), da.from_array(weights, chunks=70)),
    ):
        merged = merge_components(model, own, method=method, sample_weight=of_rows)
        np.testing.assert_allclose(merged.linkage_, expected.linkage_, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(merged.entropy_, expected.entropy_, rtol=1e-9)
    labels = expected.predict(X)
    np.testing.assert_array_equal(np.concatenate([*expected.predict(halves)]), labels)
    lazy = expected.predict(da.from_array(X, chunks=(70, 3)))
    assert isinstance(lazy, da.Array)
    np.testing.assert_array_equal(lazy.compute(), labels)


def test_passes_over_the_rows(spy):
    X = clusters(200, 2, 3)
    model = fit(GaussianMixture(5, random_state=0), X)
    for method, passes in (("entropy", 4), ("bhattacharyya", 1), ("ridge", 1)):
        spy.passes = 0
        merge_components(model, X, method=method)
        assert spy.passes == passes


# -- comparisons of two Gaussians ------------------------------------------------------------------
def gaussian(weight, mean, covariance):
    return Gaussian(weight, np.array(mean, dtype=float), np.array(covariance, dtype=float))


def density(one, other, points):
    return sum(
        each.weight * multivariate_normal(each.mean, each.covariance).pdf(points)
        for each in (one, other)
    )


PAIRS = {
    "apart": (gaussian(0.5, [0, 0], np.eye(2)), gaussian(0.5, [4, 0], np.eye(2))),
    "close": (gaussian(0.3, [0, 0], np.eye(2)), gaussian(0.7, [1.5, 1], [[1, 0.3], [0.3, 2]])),
    "crossing": (
        gaussian(0.5, [0, 0], [[5, 0], [0, 0.1]]),
        gaussian(0.5, [1.5, 1.5], [[0.1, 0], [0, 5]]),
    ),
    "three modes": (
        gaussian(0.45, [0, 0], [[1, 0], [0, 0.05]]),
        gaussian(0.55, [1, 1], [[0.05, 0], [0, 1]]),
    ),
    "unequal": (
        gaussian(0.1, [0, 0], [[0.3, 0.1], [0.1, 0.2]]),
        gaussian(0.9, [2, 1], [[2, 0.3], [0.3, 0.5]]),
    ),
    "nested": (gaussian(0.4, [0, 0], 0.05 * np.eye(2)), gaussian(0.6, [1, 0.5], 4 * np.eye(2))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_bhattacharyya_coefficient_is_the_integral(name):
    """By the trapezoidal rule, which is exact to rounding for smooth functions that vanish."""
    axes = [np.linspace(-22, 22, 1101)] * 2
    points = np.stack(np.meshgrid(*axes), axis=-1)
    first, second = (multivariate_normal(e.mean, e.covariance).logpdf(points) for e in PAIRS[name])
    expected = np.exp(0.5 * (first + second)).sum() * (axes[0][1] - axes[0][0]) ** 2
    assert np.exp(Pair.of(*PAIRS[name]).log_bhattacharyya) == pytest.approx(expected, rel=1e-9)


@pytest.mark.all_cases
@pytest.mark.parametrize("name", PAIRS)
def test_the_ridgeline_ratio_is_that_of_the_lowest_pass_between_the_highest_peaks(name):
    """On a grid: the highest level at which a region contains both peaks, by bisection."""
    one, other = PAIRS[name]
    low = np.minimum(one.mean, other.mean) - 1.5
    high = np.maximum(one.mean, other.mean) + 1.5
    axes = [np.linspace(low[j], high[j], 701) for j in (0, 1)]
    heights = density(one, other, np.stack(np.meshgrid(*axes), axis=-1))
    peaks = np.argwhere(maximum_filter(heights, 3) == heights)
    peaks = sorted(map(tuple, peaks), key=lambda place: -heights[place])[:2]
    expected = 1.0
    if len(peaks) == 2:
        below, above = 0.0, heights[peaks[1]]
        for _ in range(30):
            level = 0.5 * (below + above)
            regions = label(heights >= level, np.ones((3, 3)))[0]
            joined = regions[peaks[0]] == regions[peaks[1]]
            below, above = (level, above) if joined else (below, level)
        expected = below / heights[peaks[1]]
    assert (expected < 1) == (name not in {"close", "nested"})
    for pair in ((one, other), (other, one)):
        assert np.exp(Pair.of(*pair).log_ridgeline_ratio) == pytest.approx(expected, abs=2e-3)


def test_two_equal_gaussians_have_two_modes_beyond_two_standard_deviations():
    for distance in (0.0, 1.0, 1.99, 2.01, 3.0, 10.0, 60.0, 1e4, 1e9, 1e100):
        pair = gaussian(0.5, [0], [[1]]), gaussian(0.5, [distance], [[1]])
        ratio = Pair.of(*pair).log_ridgeline_ratio
        assert (ratio < 0) == (distance > 2)
        if distance >= 10:
            assert ratio == pytest.approx(np.log(2) - distance**2 / 8, rel=1e-6)


def test_variances_of_a_far_wider_gaussian_keep_their_digits():
    """A Gaussian with the moments of two components, one of which is 1e9 sd away along one axis."""
    offset = np.array([0.9, -18.0, 4.8, 1e9])
    far = Gaussian.of(
        np.array([0.5, 0.5]), np.stack([np.zeros(4), offset]), np.stack([np.eye(4)] * 2)
    )
    one = Gaussian(0.5, np.zeros(4), np.eye(4))
    for first, second in ((one, far), (far, one)):
        pair = Pair.of(first, second)
        assert (pair.sds > 0).all()
        assert np.isfinite([pair.log_bhattacharyya, pair.log_ridgeline_ratio]).all()
    sds = np.sort(Pair.of(one, far).sds)
    assert sds[-1] ** 2 == pytest.approx(1 + offset @ offset / 4)


@pytest.mark.parametrize("distance", [0.0, 1e-145, 1.0, 1e20])
def test_separation_of_gaussians_whose_ratio_of_variances_overflows(distance):
    sds = np.array([1e-150, 1e10])
    pair = [gaussian(0.5, [x], [[sd**2]]) for x, sd in zip([0.0, distance], sds, strict=True)]
    expected = 0.5 * (np.log(2) + np.log(sds[0]) - np.log(sds[1])) - (distance / sds[1]) ** 2 / 4
    with np.errstate(all="raise", under="ignore"):
        for one, other in (pair, pair[::-1]):
            found = Pair.of(one, other)
            assert found.log_bhattacharyya == pytest.approx(expected, rel=1e-12)
            # Beside the narrow density, the other one is lower than at its mode by this.
            lower = -((distance / sds[1]) ** 2) / 2
            assert found.log_ridgeline_ratio == pytest.approx(lower, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1e12, 1e140])
def test_standard_deviations_below_the_rounding_of_the_largest(scale):
    units, correlation = np.array([1.0, scale]), np.array([[1.0, 0.5], [0.5, 1.0]])
    one = gaussian(0.5, [0.0, 0.0], np.eye(2))
    other = gaussian(0.5, [0.0, 0.0], correlation * units * units[:, None])
    sds = Pair.of(one, other).sds
    assert sds[0] == pytest.approx(max(1.0, scale), rel=1e-14)
    assert sds.prod() == pytest.approx(scale * 0.75**0.5, rel=1e-14)


def test_a_component_without_weight_has_no_mode():
    pair = gaussian(0.0, [0], [[1]]), gaussian(1.0, [9], [[1]])
    for two in (pair, pair[::-1], (pair[0], pair[0])):
        assert Pair.of(*two).log_ridgeline_ratio == 0


def test_the_gaussian_of_a_cluster_has_its_moments():
    random = np.random.default_rng(0)
    factors, means = random.normal(size=(3, 2, 2)), random.normal(size=(3, 2))
    covariances = factors @ np.swapaxes(factors, 1, 2)
    found = Gaussian.of(np.array([0.1, 0.2, 0.3]), means, covariances)
    model = GaussianMixture.from_parameters([1 / 6, 2 / 6, 3 / 6], means, covariances=covariances)
    X, _ = model.sample(200_000, random_state=0)
    assert found.weight == pytest.approx(0.6)
    np.testing.assert_allclose(found.mean, X.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(found.covariance, np.cov(X.T), atol=0.05)


@pytest.mark.parametrize("method", ["bhattacharyya", "ridge"])
def test_the_most_similar_clusters_are_merged_and_units_do_not_matter(method):
    X = clusters(400, 3, 4, spread=1.5)
    model = fit(GaussianMixture(6, random_state=0), X)
    merged = merge_components(model, X, method=method)
    groups, reached = [frozenset({k}) for k in range(6)], 0.0
    for pair, height in zip(sets_of(merged), merged.linkage_[:, 2], strict=True):
        own = {
            group: Gaussian.of(
                *(a[list(group)] for a in (model.weights_, model.means_, model.covariances_))
            )
            for group in groups
        }
        compared = {frozenset(two): Pair.of(*map(own.get, two)) for two in combinations(groups, 2)}
        values = {
            two: (p.log_ridgeline_ratio if method == "ridge" else 0.0, p.log_bhattacharyya)
            for two, p in compared.items()
        }
        assert frozenset(pair) == max(values, key=values.get)
        value = values[frozenset(pair)][method != "ridge"]
        reached = max(reached, 1 - np.exp(value))
        assert height == pytest.approx(reached, abs=1e-12)
        groups = [g for g in groups if g not in pair] + [frozenset.union(*pair)]
    turned = np.random.default_rng(0).normal(size=(3, 3)) * [1e-3, 1.0, 1e3]
    moved = GaussianMixture.from_parameters(
        model.weights_,
        model.means_ @ turned + 5,
        covariances=turned.T @ model.covariances_ @ turned,
    )
    again = merge_components(moved, X @ turned + 5, method=method)
    np.testing.assert_allclose(again.linkage_, merged.linkage_, rtol=1e-6, atol=1e-8)


# -- the number of clusters ------------------------------------------------------------------------
def test_the_elbow_is_where_two_exact_lines_meet():
    n_clusters = np.arange(1.0, 10.0)
    for corner in range(2, 9):
        bent = np.where(n_clusters < corner, 0.1, 2.0) * (n_clusters - corner) + 7
        assert elbow(bent) == corner
    assert [elbow(np.arange(K, dtype=float)) for K in (1, 2)] == [1, 2]


def test_one_component_is_one_cluster():
    X = clusters(50, 2, 1)
    merged = merge_components(fit(GaussianMixture(), X), X)
    assert merged.linkage_.shape == (0, 4)
    assert (merged.n_clusters, merged.entropy_.tolist()) == (1, [0.0])
    assert repr(merged) == "MergedMixture(1 component in 1 cluster by 'entropy')"
    with pytest.raises(ValueError, match="one component only"):
        merged.plot()


def test_a_selected_model_is_merged_and_a_later_fit_does_not_matter():
    X = rows("ex4.1")
    search = GaussianMixtureIC(6, covariance_type="EEV", random_state=0).fit(X)
    merged = merge_components(search, X)
    assert merged.n_clusters == 4
    labels = merged.predict(X)
    search.set_params(n_components=2).fit(X[:, :1] + 100)
    np.testing.assert_array_equal(merged.predict(X), labels)


def test_a_plot_has_the_colours_of_the_clusters():
    case = SimpleNamespace(X=rows("ex4.1"))
    model = GaussianMixtureIC(6, covariance_type="EEV", random_state=0).fit(case.X)
    merged = merge_components(model, case.X)
    ax = merged.plot()
    dendrogram, entropy = ax.figure.axes
    assert ax is dendrogram
    links = [tuple(c.get_color()[0]) for c in ax.collections for _ in c.get_segments()]
    grey = to_rgba(GREY)
    assert len(links) == 5
    assert sum(np.allclose(colour, grey) for colour in links) == 3  # from four clusters to one
    assert len({colour for colour in links if not np.allclose(colour, grey)}) == 2
    np.testing.assert_array_equal(entropy.lines[0].get_ydata(), merged.entropy_)
    np.testing.assert_array_equal(entropy.lines[-1].get_xdata(), [4])
    assert entropy.get_title() == "elbow at 4 clusters"
    own = plt.figure().add_subplot()
    assert merged.cut(2).plot(own) is own
    assert own.get_title() == "2 of 6 clusters"
    assert len(own.figure.axes) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "entropi"}, r"method must be one of .* Did you mean 'entropy'\?"),
        ({"n_clusters": 4}, "n_clusters must be an integer from 1 to 3, the number of components"),
        ({"n_clusters": 0}, "but got 0"),
        ({"n_clusters": True}, "but got True"),
        ({"n_clusters": 2.0}, "but got 2.0"),
        ({"sample_weight": np.zeros(99)}, "sample_weight"),
    ],
)
def test_bad_arguments_are_named(options, message):
    X = clusters(100, 2, 3)
    model = fit(GaussianMixture(3, random_state=0), X)
    with pytest.raises(ValueError, match=message):
        merge_components(model, X, **options)


def test_bad_models_and_rows_are_named():
    X = clusters(100, 2, 3)
    model = fit(GaussianMixture(3, random_state=0), X)
    with pytest.raises(TypeError, match="merge_components requires a GaussianMixture of emgmm"):
        merge_components(Theirs(2).fit(X), X)
    with pytest.raises(NotFittedError):
        merge_components(GaussianMixture(2), X)
    with pytest.raises(ValueError, match="X has 1 features"):
        merge_components(model, X[:, :1])
    with pytest.raises(ValueError, match="no observed value in any row"):
        merge_components(model, np.full((3, 2), np.nan))
    far = np.vstack([X[:3], [[1e200, 0.0]]])
    with pytest.raises(ValueError, match="Row 3 of X"):
        merge_components(model, far)
    with pytest.raises(ValueError, match="n_clusters must be an integer from 1 to 3"):
        merge_components(model, X).cut(9)
