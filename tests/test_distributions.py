"""Marginals, conditionals, probabilities, quantiles, divergences and modes, against definitions."""

from __future__ import annotations

import json
import math
import pickle
from itertools import permutations, product
from pathlib import Path

import matplotlib as mpl
import mpmath
import numpy as np
import pandas as pd
import pytest
from conftest import MODELS, TYPES, clusters, fit
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.linalg import sqrtm
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Theirs
from toys import Exchangeable

from emgmm import (
    GaussianMixture,
    GaussianMixtureDisplay,
    GaussianMixtureIC,
    MixtureDistribution,
    kl_divergence,
    l2_distance,
    wasserstein_distance,
)
from emgmm.base import fitted_mixture
from emgmm.covariances import FAMILIES
from emgmm.distributions.boxes import share_of_box
from emgmm.distributions.univariate import Univariate
from emgmm.noise import Box

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")

DATA = Path(__file__).parent / "data"
K, D = 3, 4
NAMES = ["a", "b", "c", "d"]
X = clusters(300, D, K)
TABLE = pd.DataFrame(X, columns=NAMES)
ALL = [*TYPES, *MODELS]


def stored(name):
    return json.loads((DATA / name).read_text())["cases"]


def fitted(covariance_type="full", rows=TABLE, **arguments):
    arguments = {"random_state": 0, "max_iter": 20, **arguments}
    return fit(GaussianMixture(K, covariance_type=covariance_type, **arguments), rows)


def univariate(weights, means, variances):
    return GaussianMixture.from_parameters(
        weights, np.reshape(means, (-1, 1)), covariances=variances, covariance_type="V"
    )


def gaussian(mean, covariance):
    mean, covariance = np.atleast_1d(mean), np.atleast_2d(covariance)
    return GaussianMixture.from_parameters([1.0], [mean], covariances=[covariance])


def dense(model):
    return fitted_mixture(model).dense_covariances()


def with_holes(rows, features):
    """The rows with all other features missing."""
    return np.where(np.isin(np.arange(rows.shape[1]), features), rows, np.nan)


# -- marginals and conditionals -------------------------------------------------------------------
@pytest.mark.all_cases
@pytest.mark.parametrize("case", stored("conditional.json"), ids=lambda case: case["data"])
def test_conditionals_are_the_stored_ones(case):
    covariances = np.array(case["covariances"])
    if case["covariance_type"] == "EEE":
        covariances = covariances[0]
    if case["covariance_type"] == "VVI":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    model = GaussianMixture.from_parameters(
        case["weights"],
        case["means"],
        covariances=covariances,
        covariance_type=case["covariance_type"],
    )
    given = case["given_features"]
    for point in case["points"]:
        log_marginal = model.marginal(given).score_samples([point["given"]])
        assert_allclose(log_marginal, point["log_marginal"], rtol=1e-12)
        found = model.conditional(point["given"], features=given)
        assert found.covariance_type == model.covariance_type
        assert_allclose(found.weights_, point["weights"], rtol=1e-12, atol=1e-300)
        covariance = np.array(point["covariance"])
        sds = np.sqrt(np.diag(covariance))
        unit = np.outer(sds, sds)
        assert_allclose(found.means_ / sds, point["component_means"] / sds, atol=1e-12)
        assert_allclose(dense(found) / unit, point["component_covariances"] / unit, atol=1e-12)
        whole = found.distribution()
        assert_allclose(whole.mean() / sds, point["mean"] / sds, rtol=1e-12, atol=1e-12)
        assert_allclose(whole.cov() / unit, covariance / unit, atol=1e-12)


@pytest.mark.all_cases
@pytest.mark.parametrize("noise", [None, "uniform"])
@pytest.mark.parametrize("covariance_type", ALL)
def test_a_density_is_a_marginal_times_a_conditional_one(covariance_type, noise):
    model = fitted(covariance_type, noise=noise)
    given, rest = [2, 0], [1, 3]
    marginal, rows = model.marginal(given), X[::40]
    assert_array_equal(marginal.feature_names_in_, ["c", "a"])
    assert_array_equal(dense(marginal), dense(model)[:, given][:, :, given])
    assert_allclose(
        marginal.score_samples(X[:, given]), model.score_samples(with_holes(X, given)), rtol=1e-11
    )
    for row in rows:
        conditional = model.conditional({"a": row[0], 2: row[2]})
        assert_array_equal(conditional.feature_names_in_, ["b", "d"])
        joint = marginal.score_samples(row[None, given]) + conditional.score_samples(
            row[None, rest]
        )
        assert_allclose(joint, model.score_samples(row[None]), rtol=1e-11)
        shares = model.predict_proba(with_holes(row[None], given))[0]
        assert_allclose(conditional.weights_, shares[:K], rtol=1e-9, atol=1e-200)
        assert conditional.noise_weight_ == pytest.approx(shares[K] if noise else 0.0, rel=1e-9)


@pytest.mark.parametrize("covariance_type", ALL)
def test_the_family_stays_where_marginals_stay_in_it(covariance_type):
    model = fitted(covariance_type)
    expected = {"EVI": "diag"} | dict.fromkeys(["EVE", "VVE", "EEV", "VEV", "EVV"], "full")
    for found in (model.marginal([3, 1]), model.conditional([0.0, 0.0], features=["a", "c"])):
        assert found.covariance_type == expected.get(covariance_type, covariance_type)
        family = FAMILIES[found.covariance_type]
        assert found.covariances_.shape == family.element_shape(K, 2)
        if covariance_type.startswith("E"):
            volumes = np.linalg.det(dense(found))
            shared = covariance_type not in expected
            assert np.ptp(volumes) < 1e-9 * volumes.max() if shared else np.ptp(volumes) > 0
    permuted = model.marginal([3, 2, 1, 0])
    assert permuted.covariance_type == covariance_type
    assert permuted.n_parameters() == model.n_parameters()
    assert_allclose(permuted.score_samples(X[:, ::-1]), model.score_samples(X), rtol=1e-11)


def test_a_users_family_becomes_a_general_one():
    family = Exchangeable()
    model = fitted(family)
    assert model.marginal([0, 1]).covariance_type == "full"
    assert model.marginal(NAMES).covariance_type is family


@pytest.mark.parametrize("make", ["marginal", "conditional"])
@pytest.mark.parametrize("covariance_type", ["tied", "EVI", "VEV"])
def test_the_results_are_estimators(covariance_type, make, tmp_path):
    model = fitted(covariance_type, noise="uniform")
    values = {"a": X[0, 0], "b": X[0, 1]}
    found = model.marginal(["d", "c"]) if make == "marginal" else model.conditional(values)
    rows = pd.DataFrame(X[:, [3, 2]], columns=["d", "c"])[list(found.feature_names_in_)]
    assert found.random_state == 0
    found.save(tmp_path / "model.json")
    copies = GaussianMixture.load(tmp_path / "model.json"), pickle.loads(pickle.dumps(found))
    for copy in copies:
        assert_array_equal(copy.score_samples(rows), found.score_samples(rows))
        assert_array_equal(copy.sample(50)[0], found.sample(50)[0])
        assert copy.modes() == pytest.approx(found.modes())
    drawn, labels = found.sample(4000, random_state=0)
    assert_allclose(np.mean(drawn, axis=0), found.distribution().mean(), atol=0.5)
    assert (labels == -1).mean() == pytest.approx(found.noise_weight_, abs=0.02)
    assert set(found.predict(rows)) <= {-1, 0, 1, 2}
    assert "c" in str(found.summary(rows))
    assert np.isfinite(found.bic(rows))
    again = fit(clone(found).set_params(max_iter=2), rows)
    assert again.covariances_.shape == found.covariances_.shape


def test_of_a_selected_model():
    search = GaussianMixtureIC([2], covariance_type="VVV", random_state=0).fit(TABLE)
    found = search.marginal("b")
    assert type(found) is GaussianMixture
    assert_array_equal(found.means_[:, 0], search.means_[:, 1])
    assert search.conditional({"a": 0.0}).n_features_in_ == 3
    assert search.distribution().n_features == 4
    assert kl_divergence(search, search.best_estimator_, n_samples=10) == (0.0, 0.0)
    assert_array_equal(search.modes(), search.best_estimator_.modes())


def test_moments_of_a_conditional_by_quadrature():
    model = fitted(rows=X[:, :2], tol=0)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    for given in (-4.0, 0.5, 6.0):
        found = model.conditional([given], features=1).distribution()
        half = 12 * found.std()
        y = found.mean() + half * nodes
        log_joint = model.score_samples(np.column_stack([y, np.full(200, given)]))
        joint = half * weights * np.exp(log_joint)
        mean = joint @ y / joint.sum()
        assert found.mean() == pytest.approx(mean, rel=1e-10)
        assert found.var() == pytest.approx(joint @ (y - mean) ** 2 / joint.sum(), rel=1e-10)
        marginal = model.marginal(1).score_samples([[given]])[0]
        assert np.log(joint.sum()) == pytest.approx(marginal, rel=1e-10)


def test_given_values_far_from_all_components():
    model = fitted("full", rows=X)
    mixture = fitted_mixture(model)
    for given in (1e3, -1e8):
        found = model.conditional([given], features=0)
        means, sds = mixture.means[:, 0], np.sqrt(dense(model)[:, 0, 0])
        logs = np.log(mixture.weights) + stats.norm.logpdf(given, means, sds)
        assert logs.max() < -1000
        assert_allclose(found.weights_, np.exp(logs - logsumexp(logs)), rtol=1e-9, atol=1e-300)
    with pytest.raises(ValueError, match="underflow even as logarithms: check their units"):
        model.conditional([1e200], features=0)


def test_a_nearly_singular_covariance_loses_the_root_of_its_digits():
    """Two amounts and their total, up to 1e-7 of them."""
    covariance = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 2.0 + 1e-14]])
    covariance[2, 2] = 2.0 + 2.0**-46
    model = gaussian([0.0, 0.0, 0.0], covariance)
    found = model.conditional([1.25, -0.75], features=[0, 1])
    assert found.means_[0, 0] == pytest.approx(0.5, abs=1e-7)
    assert found.covariances_[0, 0, 0] == pytest.approx(2.0**-46, rel=1e-6)
    other = model.conditional([1.25, 0.5], features=[0, 2])
    assert other.means_[0, 0] == pytest.approx(-0.75, abs=1e-7)


# -- noise ----------------------------------------------------------------------------------------
def turned_noise():
    random = np.random.default_rng(0)
    line = random.normal(size=(300, 1)) * 5
    rows = np.hstack([line, line]) + 0.3 * random.normal(size=(300, 2))
    model = fit(GaussianMixture(1, noise="uniform", random_state=0), rows)
    assert not fitted_mixture(model).noise.density.parallel
    return model, rows


def test_uniform_noise_is_a_distribution():
    model, rows = turned_noise()
    model.weights_, model.noise_weight_ = np.array([0.6]), 0.4
    found = model.distribution()
    assert_allclose(found.logpdf(rows), model.score_samples(rows), rtol=1e-12)
    assert found.logpdf([1e3, -1e3]) < -1e4 < model.score_samples([[1e3, -1e3]])[0]
    drawn = found.rvs(200_000, random_state=np.random.default_rng(0))
    assert_allclose(drawn.mean(axis=0), found.mean(), atol=0.05)
    assert_allclose(np.cov(drawn.T), found.cov(), rtol=0.02)
    for point in ([0.0, 0.0], [3.0, 1.0], [50.0, 2.0]):
        assert found.cdf(point) == pytest.approx((drawn <= point).all(axis=1).mean(), abs=0.005)
        assert found.sf(point) == pytest.approx((drawn > point).all(axis=1).mean(), abs=0.005)
    grid = np.linspace(-30, 30, 1201)
    density = found.pdf(np.stack(np.meshgrid(grid, grid), axis=-1))
    assert density.sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1.0, abs=2e-3)
    one = model.marginal(1).distribution()
    assert one.mean() == pytest.approx(found.mean()[1], rel=1e-9)
    swapped = model.marginal([1, 0]).distribution()
    assert_allclose(swapped.pdf(rows[:, ::-1]), found.pdf(rows), rtol=1e-12)


def turned_box(D):
    random = np.random.default_rng(D)
    axes = np.linalg.qr(random.normal(size=(D, D)))[0]
    edges = random.uniform(1, 3, (D, 1)) * axes
    return Box(np.linalg.norm(edges, axis=1), edges, random.normal(size=D))


@pytest.mark.parametrize("D", range(2, 8))
@pytest.mark.all_cases
def test_share_of_a_turned_box_below_a_value_of_one_feature(D):
    """The distribution function of a sum of independent uniform variables, by its formula."""
    box = turned_box(D)
    lengths = np.abs(box.edges[:, 0])
    corners = np.array(list(product((0, 1), repeat=D)))
    total = lengths.sum()
    # Small values come first: rounding errors of the alternating sum grow with the value.
    for value in total * np.array([1e-4, 0.1, 0.3, 0.5]):
        powers = np.maximum(value - corners @ lengths, 0.0) ** D
        signs = (-1.0) ** corners.sum(axis=1)
        expected = signs @ powers / (math.factorial(D) * lengths.prod())
        row = np.append(box.centre[0] - total / 2 + value, np.full(D - 1, np.inf))
        (below,) = share_of_box(box, row[None])
        (above,) = share_of_box(box, np.where(np.isinf(row), -np.inf, row)[None], -1)
        assert below == pytest.approx(expected, rel=1e-9, abs=1e-13 if D < 7 else 1e-3)
        assert above == pytest.approx(1 - expected, abs=1e-13 if D < 7 else 1e-3)


@pytest.mark.parametrize("D", range(2, 6))
@pytest.mark.all_cases
def test_shares_of_a_turned_box_in_all_orthants_add_up(D):
    box, random = turned_box(D), np.random.default_rng(0)
    for place in random.uniform(-0.3, 0.3, (2, D)):
        row = box.centre + place @ box.edges
        total = 0.0
        for signs in np.array(list(product((-1.0, 1.0), repeat=D))):
            mirrored = Box(box.sides, signs * box.edges, signs * box.corner)
            total += share_of_box(mirrored, (signs * row)[None])[0]
        assert total == pytest.approx(1.0, abs=1e-12)


def test_shares_of_a_turned_box_where_sides_and_limits_meet():
    """A square turned by 45 degrees, times an interval; by elementary geometry."""
    edges = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 2.0]])
    box = Box(np.linalg.norm(edges, axis=1), edges, -edges.sum(axis=0) / 2)
    rows = [
        [0, 0, 0],
        [1, 0, 1],
        [0.5, 0.5, 0],
        [0.5, -0.5, 0.5],
        [-1, 0, 0],
        [0, 0, -1],
        [9, 9, 9],
    ]
    expected = [1 / 8, 1 / 2, 3 / 8, 3 / 32, 0, 0, 1]
    assert_allclose(share_of_box(box, np.array(rows, dtype=float)), expected, atol=1e-14)
    assert np.isnan(turned_noise()[0].distribution().cdf([np.nan, 1.0]))


def test_uniform_noise_in_one_dimension():
    model = fitted("V", rows=X[:, :1], noise="uniform")
    model.weights_, model.noise_weight_ = np.array([0.3, 0.2, 0.1]), 0.4
    found = model.distribution()
    low, high = X[:, 0].min(), X[:, 0].max()
    x = np.linspace(low - 1, high + 1, 41)
    normal = stats.norm(model.means_[:, 0], np.sqrt(model.covariances_))
    uniform = stats.uniform(low, high - low)
    expected = normal.cdf(x[:, None]) @ model.weights_ + 0.4 * uniform.cdf(x)
    assert_allclose(found.cdf(x), expected, rtol=1e-11)
    assert_allclose(found.sf(x), 1 - expected, atol=1e-12)
    expected = normal.pdf(x[:, None]) @ model.weights_ + 0.4 * uniform.pdf(x)
    assert_allclose(found.pdf(x), expected, rtol=1e-11)
    q = [1e-12, 0.2, 0.5, 0.9, 1 - 1e-9]  # the first is reached beside an end of the box
    assert_allclose(found.cdf(found.ppf(q)), q, rtol=1e-12, atol=1e-15)
    assert_allclose(found.sf(found.isf(q)), q, rtol=1e-12, atol=1e-15)
    assert found.mean() == pytest.approx(
        model.weights_ @ model.means_[:, 0] + 0.4 * uniform.mean(), rel=1e-12
    )
    assert_allclose(found.modes(), univariate([0.5, 0.5 / 1.5, 0.25 / 1.5], model.means_,
                    model.covariances_).modes(), rtol=1e-9)  # fmt: skip


def test_quantiles_of_components_that_are_far_narrower_than_their_distances():
    """Between them, the logarithms of the tails have no digits to spare for a slope."""
    log_weights = np.array([[0.0, -3e19, -3.3e19, -1.8e19]])
    means, sds = np.array([[2.32, -0.25, -3.02, 0.64]]), np.full((1, 4), 1e-9)
    for q in (0.05, 0.5, 0.95):
        (found,) = Univariate(log_weights, means, sds).quantile(np.array([q]))
        assert found == pytest.approx(2.32 + 1e-9 * stats.norm.ppf(q), rel=1e-14)


def test_quantiles_beside_a_component_at_any_distance():
    mixture = Univariate(np.log([0.5, 0.5]), np.array([0.0, 1e150]), np.array([1e-150, 1.0]))
    found = mixture.quantile(np.array([0.1, 0.4]))
    assert_allclose(found, 1e-150 * stats.norm.ppf([0.2, 0.8]), rtol=1e-14)


def test_quantiles_on_a_flat_piece_have_its_probability():
    means = np.array([-68.9, -1.02, 0.29, 2.6])
    mixture = Univariate(np.log(np.full(4, 0.25)), means, np.full(4, 1e-3))
    q = np.array([0.25, 0.5, 0.75])
    for sign, ends in ((1, means), (-1, means[::-1])):
        found = mixture.quantile(q, sign)
        assert_allclose(np.exp(mixture.log_tail(found, sign)), q, rtol=1e-15)
        assert (sign * ends[:-1] < sign * found).all()
        assert (sign * found < sign * ends[1:]).all()


def test_quantiles_within_the_box_of_noise_far_from_all_components():
    model = univariate([1.0], [-100.0], [1.0])
    model.weights_, model.noise_weight_ = np.array([0.3]), 0.7
    model._noise_density = Box.between(np.array([2.0]), np.array([4.0]))
    found = model.distribution()
    q = np.array([0.35, 0.5, 0.9])
    assert_allclose(found.ppf(q), 2 + 2 * (q - 0.3) / 0.7, rtol=1e-14)
    assert_allclose(found.isf(1 - q), found.ppf(q), rtol=1e-14)


@pytest.mark.parametrize("noise", [0.01, lambda rows: np.full(len(rows), -5.0)])
def test_improper_noise_is_refused(noise):
    model = fitted(rows=X, noise=noise)
    with pytest.raises(ValueError, match="no conditional distribution: fit a model with noise="):
        model.conditional({0: 0.0})
    plain = fitted(rows=X)
    for use in (
        model.distribution,
        model.modes,
        lambda: kl_divergence(plain, model),
        lambda: l2_distance(model, plain),
        lambda: wasserstein_distance(plain, model),
    ):
        with pytest.raises(ValueError, match="need not integrate to one: fit a model with noise="):
            use()
    if callable(noise):
        with pytest.raises(ValueError, match="function, whose marginal densities are not known"):
            model.marginal([0, 1])
    else:
        found = model.marginal([0, 1])
        assert_allclose(
            found.score_samples(X[:, :2]), model.score_samples(with_holes(X, [0, 1])), rtol=1e-11
        )
        assert clone(found).noise == pytest.approx(
            np.exp(found.component_log_prob([[0.0, 0.0]])[0, -1])
        )


def test_distances_of_mixtures_with_noise_are_refused():
    model = fitted(noise="uniform")
    for distance in (l2_distance, wasserstein_distance):
        with pytest.raises(ValueError, match="but q has a noise component: fit a model"):
            distance(fitted(), model)
    found = kl_divergence(model.marginal(0), model.marginal(0), random_state=0)
    assert found == (0.0, 0.0)


# -- probabilities and quantiles ------------------------------------------------------------------
@pytest.mark.all_cases
@pytest.mark.parametrize("case", stored("density.json"), ids=lambda case: case["modelName"])
def test_densities_and_quantiles_are_those_of_mclust(case):
    given = case["parameters"]
    model = GaussianMixture.from_parameters(
        given["weights"],
        np.reshape(given["means"], (-1, 1)),
        covariances=np.ravel(given["covariances"]),
        covariance_type=case["modelName"],
    )
    found = model.distribution()
    assert_allclose(found.pdf(case["x"]), case["density"], rtol=1e-12)
    assert_allclose(found.logpdf(case["x"]), case["log_density"], rtol=1e-12, atol=1e-12)
    assert_allclose(found.cdf(case["x"]), case["cdf"], rtol=1e-12)
    assert_allclose(found.ppf(case["p"]), case["quantile_tight"], rtol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_tails_of_one_dimension_are_exact(seed):
    random = np.random.default_rng(seed)
    model = univariate(
        random.dirichlet(np.ones(3)), random.normal(size=3) * 3, np.exp(2 * random.normal(size=3))
    )
    found = model.distribution()
    with mpmath.workdps(60):
        total = mpmath.fsum(map(mpmath.mpf, model.weights_))
        parts = [
            (mpmath.mpf(w) / total, mpmath.mpf(mean), mpmath.sqrt(mpmath.mpf(variance)))
            for w, mean, variance in zip(
                model.weights_, model.means_[:, 0], model.covariances_, strict=True
            )
        ]

        def tail(x, sign):
            """P(X <= x), or P(X >= x) for the sign -1."""
            root = mpmath.sqrt(2)
            return mpmath.fsum(w * mpmath.erfc(sign * (m - x) / s / root) / 2 for w, m, s in parts)

        def log_tail(x, sign):
            rest = tail(x, -sign)
            return mpmath.log1p(-rest) if rest < 0.5 else mpmath.log(tail(x, sign))

        for x in [*np.linspace(-30, 30, 9), -300.0, 300.0, -1e6]:
            for sign, log, plain in ((1, found.logcdf, found.cdf), (-1, found.logsf, found.sf)):
                expected = log_tail(mpmath.mpf(x), sign)
                if abs(expected) > 1e-300:
                    assert abs(log(x) / expected - 1) < 1e-12
                if expected > -700:
                    assert abs(plain(x) / mpmath.exp(expected) - 1) < 1e-12
        for q in [1e-300, 1e-20, 1e-3, 0.3, 0.5, 0.8, 1 - 1e-10, 1 - 2.0**-53]:
            for sign, quantile in ((1, found.ppf), (-1, found.isf)):
                x = mpmath.mpf(float(quantile(q)))
                side, log_q = (sign, mpmath.log(mpmath.mpf(q)))
                if q > 0.5:
                    side, log_q = -sign, mpmath.log1p(-mpmath.mpf(q))
                density = mpmath.fsum(w * mpmath.npdf(x, m, s) for w, m, s in parts)
                # One Newton step leads to the quantile, to many more digits.
                error = (log_tail(x, side) - log_q) * tail(x, side) / density
                assert abs(error) < 1e-12 * max(abs(x), min(s for *_, s in parts))
        assert_allclose(found.interval(0.9), (found.ppf(0.05), found.isf(0.05)), rtol=1e-12)
        assert found.interval(1 - 2.0**-52)[1] == found.isf(2.0**-53)


def test_methods_take_what_scipys_take():
    found = univariate([0.5, 0.5], [0.0, 0.0], [1.0, 1.0]).distribution()
    normal = stats.norm()
    x = np.array([[-np.inf, -2.0, 0.0], [1.5, np.inf, np.nan]])
    for name in ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf"):
        assert_allclose(getattr(found, name)(x), getattr(normal, name)(x), rtol=1e-12)
        assert np.ndim(getattr(found, name)(1.0)) == 0
    q = np.array([[0.0, 0.2, 0.5], [1.0, -0.1, np.nan]])
    for name in ("ppf", "isf"):
        expected = getattr(normal, name)(q)
        assert_allclose(getattr(found, name)(q), expected, rtol=1e-12, atol=1e-15)
    assert_allclose(found.interval([0.5, 0.9]), normal.interval([0.5, 0.9]), rtol=1e-12)
    assert (found.mean(), found.var(), found.std()) == (0.0, 1.0, 1.0)
    assert found.entropy(200_000, random_state=0) == pytest.approx(normal.entropy(), abs=0.01)
    assert np.ndim(found.rvs(random_state=0)) == 0
    assert found.rvs((2, 3), random_state=0).shape == (2, 3)
    drawn = fitted().distribution().rvs(3000, random_state=0)
    assert drawn.shape == (3000, D)
    # In random order: the first half is distributed as the second.
    assert stats.ks_2samp(drawn[:1500, 0], drawn[1500:, 0]).pvalue > 0.01
    assert fitted().distribution().rvs(random_state=0).shape == (D,)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "EII"])
def test_probabilities_in_several_dimensions(covariance_type):
    model = fitted(covariance_type, rows=X[:, :2])
    found, rows = model.distribution(), X[:5, :2]
    components = [
        stats.multivariate_normal(mean, covariance)
        for mean, covariance in zip(model.means_, dense(model), strict=True)
    ]
    expected = sum(w * one.cdf(rows) for w, one in zip(model.weights_, components, strict=True))
    assert_allclose(found.cdf(rows), expected, atol=3e-5)
    assert found.cdf(rows.reshape(5, 1, 2)).shape == (5, 1)
    drawn = found.rvs(100_000, random_state=0)
    for row, above in zip(rows, found.sf(rows), strict=True):
        assert above == pytest.approx((drawn > row).all(axis=1).mean(), abs=0.006)
    assert np.isnan(found.cdf([np.nan, 0.0]))
    assert found.cdf([np.inf, np.inf]) == pytest.approx(1.0)
    assert_allclose(found.mean(), drawn.mean(axis=0), atol=0.05)
    assert_allclose(found.cov(), np.cov(drawn.T), atol=0.02 * np.trace(found.cov()))
    with pytest.raises(ValueError, match="ppf is for one feature, but the distribution has 2"):
        found.ppf(0.5)
    with pytest.raises(ValueError, match="last axis must contain the 2 features"):
        found.pdf([1.0, 2.0, 3.0])


def test_probabilities_do_not_depend_on_units():
    """The eigenvalue decomposition of a covariance in these units does not end in some LAPACKs."""
    units = 10.0 ** np.array([-109.66391765, 67.81912672, -47.93948373])
    covariance = np.array([
        [1.63256025e-219, -2.80299021e-042, -6.69141714e-159],
        [-2.80299021e-042, 2.26368144e136, 3.03922907e019],
        [-6.69141714e-159, 3.03922907e019, 2.58193923e-097],
    ])  # fmt: skip
    model = gaussian([0.0, 1.0, 2.0], covariance / np.outer(units, units))
    other = gaussian(units * model.means_[0], covariance)
    rows = np.random.default_rng(0).normal(size=(4, 3))
    with np.errstate(all="raise"):
        found = other.distribution().cdf(rows * units)
    assert_allclose(found, model.distribution().cdf(rows), rtol=1e-3)


# -- divergences ----------------------------------------------------------------------------------
def test_divergences_of_normal_distributions():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 3, 3))
    a, b = a @ a.T + np.eye(3), b @ b.T + np.eye(3)
    m, n = random.normal(size=(2, 3))
    p, q = gaussian(m, a), gaussian(n, b)
    inverse = np.linalg.inv(b)
    exact = 0.5 * (
        np.trace(inverse @ a) + (n - m) @ inverse @ (n - m) - 3
        + np.linalg.slogdet(b)[1] - np.linalg.slogdet(a)[1]
    )  # fmt: skip
    found = kl_divergence(p, q, n_samples=40_000, random_state=0)
    assert abs(found.value - exact) < 4 * found.standard_error < 0.1 * exact
    root = sqrtm(a)
    exact = (m - n) @ (m - n) + np.trace(a + b - 2 * np.real(sqrtm(root @ b @ root)))
    assert wasserstein_distance(p, q) == pytest.approx(np.sqrt(exact), rel=1e-10)
    assert wasserstein_distance(p, p) < 1e-14
    near = gaussian(m, a * (1 + 1e-9))
    assert wasserstein_distance(p, near) == pytest.approx(5e-10 * np.sqrt(np.trace(a)), rel=1e-4)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "EEE"])
def test_the_l2_distance_is_an_integral(covariance_type):
    p, q = (fitted(covariance_type, rows=X[i : i + 100, :2]) for i in (0, 150))
    grid = np.linspace(-25, 25, 251)
    points = np.stack(np.meshgrid(grid, grid), axis=-1)
    difference = p.distribution().pdf(points) - q.distribution().pdf(points)
    expected = np.sqrt((difference**2).sum()) * (grid[1] - grid[0])
    assert l2_distance(p, q) == pytest.approx(expected, rel=1e-6)
    assert l2_distance(q, p) == pytest.approx(expected, rel=1e-6)
    assert l2_distance(p, p) < 1e-8
    high = gaussian(np.zeros(50), 1e15 * np.eye(50))  # whose density underflows
    assert l2_distance(high, gaussian(np.ones(50), 1e15 * np.eye(50))) == 0


def test_the_wasserstein_distance_transports_components():
    """With equal weights an optimal plan is a permutation (Birkhoff), of which there are few."""
    random = np.random.default_rng(1)
    means, others = random.normal(size=(2, 4, 2)) * 3
    parameters = {"covariances": np.full(4, 2.0), "covariance_type": "spherical"}
    p = GaussianMixture.from_parameters(np.full(4, 0.25), means, **parameters)
    parameters["covariances"] = np.full(4, 8.0)
    q = GaussianMixture.from_parameters(np.full(4, 0.25), others, **parameters)
    costs = ((means[:, None] - others) ** 2).sum(axis=2) + 2 * (8**0.5 - 2**0.5) ** 2
    best = min(costs[np.arange(4), list(order)].mean() for order in permutations(range(4)))
    assert wasserstein_distance(p, q) == pytest.approx(np.sqrt(best), rel=1e-12)
    assert wasserstein_distance(q.distribution(), p) == pytest.approx(np.sqrt(best), rel=1e-12)
    small = 1e-9
    uneven = univariate([0.3, 0.7], [0.0, small], [small**2, small**2])
    other = univariate([0.5, 0.5], [0.0, small], [small**2, small**2])
    assert wasserstein_distance(uneven, other) == pytest.approx(np.sqrt(0.2) * small, rel=1e-9)


def test_mixtures_that_cannot_be_compared():
    model = fitted()
    with pytest.raises(TypeError, match="q must be a fitted GaussianMixture of emgmm or its dist"):
        kl_divergence(model, Theirs(2).fit(X))
    with pytest.raises(ValueError, match="p has 4 features, but q has 1: take the marginal"):
        l2_distance(model, model.marginal(0))
    with pytest.raises(ValueError, match=r"features of p are .*'a', 'b'\], but those of q are"):
        wasserstein_distance(model.marginal([0, 1]), model.marginal([1, 0]))
    with pytest.raises(NotFittedError):
        kl_divergence(GaussianMixture(), model)
    with pytest.raises(TypeError, match="n_samples must be an integer"):
        kl_divergence(model, model, n_samples=1.5)


# -- modes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(40))
def test_modes_in_one_dimension_are_those_of_a_fine_grid(seed):
    random = np.random.default_rng(seed)
    k = random.integers(1, 6)
    model = univariate(
        random.dirichlet(np.ones(k)), 3 * random.normal(size=k), np.exp(3 * random.normal(size=k))
    )
    means, sds = model.means_[:, 0], np.sqrt(model.covariances_)
    near = means + sds * np.linspace(-3, 3, 4001)[:, None]
    x = np.unique([*np.linspace(means.min() - 0.1, means.max() + 0.1, 40001), *near.ravel()])
    density = model.distribution().logpdf(x)
    peaks = np.flatnonzero((density[1:-1] > density[:-2]) & (density[1:-1] >= density[2:])) + 1
    found = model.modes()
    assert len(found) == len(peaks)
    assert_allclose(np.sort(found[:, 0]), x[peaks], atol=2e-3 * sds.max())
    assert_array_equal(np.diff(model.score_samples(found)) <= 0, True)


def test_there_may_be_more_modes_than_components():
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0, 0], [1, 1]], covariances=[[1, 0.05], [0.05, 1]], covariance_type="diag"
    )
    found = model.modes()  # the example of Ray and Lindsay (2005)
    assert len(found) == 3
    angles = np.pi * np.array([0.5, 7 / 6, 11 / 6])
    triangle = np.column_stack([np.cos(angles), np.sin(angles)])
    for variance, number in ((0.5, 3), (0.72**2, 4), (0.6, 1)):  # known of equal variances
        three = GaussianMixture.from_parameters(
            np.full(3, 1 / 3), triangle, covariances=[variance] * 3, covariance_type="spherical"
        )
        assert len(three.modes()) == number


def test_modes_are_maxima():
    model = fitted(rows=X)
    found = model.modes()
    assert len(found) >= 1
    random = np.random.default_rng(0)
    for mode in found:
        near = mode + 1e-4 * random.normal(size=(200, D))
        assert (model.score_samples(near) < model.score_samples(mode[None])).all()
    apart = univariate([0.5, 0.5], [-4.0, 4.0], [1.0, 1.0])  # a search starts at the minimum
    assert_allclose(np.abs(apart.modes()), [[4.0], [4.0]], rtol=1e-9)
    twins = univariate([0.5, 0.5], [0.0, 2.0], [1.0, 1.0])  # the Hessian is 0 where they merge
    assert_allclose(twins.modes(), [[1.0]], atol=1e-4)
    assert_array_equal(univariate([0.3, 0.7], [1.0, 1.0], [1.0, 1.0]).modes(), [[1.0]])
    in_other_units = GaussianMixture.from_parameters(
        model.weights_, model.means_ * 2.0**30, covariances=model.covariances_ * 2.0**60
    )
    assert_allclose(in_other_units.modes(), found * 2.0**30, rtol=1e-9)


@pytest.mark.parametrize(
    ("sd", "apart"),
    [*product([1e-150], [3.0, 1e10, 1e153, 1e160]), *product([1.0, 1e100], [3.0, 1e10, 1e49])],
)
def test_modes_of_components_in_any_unit_and_however_far_apart(sd, apart):
    """Squares of their distance in standard deviations may overflow."""
    with np.errstate(all="raise"):
        found = univariate([0.5, 0.5], [0.0, sd * apart], [sd**2, sd**2]).modes()
    near = 0.0 if apart > 3.0 else 0.06 * sd
    assert_allclose(np.sort(found[:, 0]), [0.0, sd * apart], rtol=1e-9, atol=near)


@pytest.mark.parametrize(("first", "second"), [(1e-200, 1e200), (1e-300, 1e-300), (1e-260, 1e40)])
def test_modes_of_components_of_very_different_widths(first, second):
    """Or farther apart than numbers can count their standard deviations."""
    with np.errstate(all="raise"):
        found = univariate([0.5, 0.5], [0.0, 1e200], [first, second]).modes()
    assert_allclose(np.sort(found[:, 0]), [0.0, 1e200], rtol=1e-9)


# -- input, and displays --------------------------------------------------------------------------
CONDITIONS = {
    "unknown name": (({"e": 1.0},), ValueError, "no feature 'e': its features are"),
    "unknown index": (({7: 1.0},), ValueError, "no feature 7: the model has 4 features, 0 to 3"),
    "by name and index": (({"a": 1.0, 0: 2.0},), ValueError, "names a feature twice"),
    "no feature": ((1.0,), TypeError, "a dict from features to values, or values together with"),
    "too many values": (([1.0, 2.0], "a"), ValueError, r"1 features, but values has the shape \(2"),
    "missing value": (({"a": 1.0, "b": np.nan},), ValueError, "feature 'b' is nan, but must be"),
    "text": (({1: "x"},), ValueError, "feature 'b' is 'x', but must be a finite number"),
    "boolean": (({1: True},), ValueError, "feature 'b' is True, but must be a finite number"),
    "nothing": (({},), ValueError, "0 of 4 features are given: give at least one"),
    "everything": (([0, 0, 0, 0], NAMES), ValueError, "4 of 4 features are given"),
}


@pytest.mark.all_cases
@pytest.mark.parametrize("name", CONDITIONS)
def test_bad_conditions(name):
    (values, *features), kind, message = CONDITIONS[name]
    model = fitted()
    with pytest.raises(kind, match=message):
        model.conditional(values, features=features[0] if features else None)


def test_bad_features():
    model = fitted()
    for features, kind, message in (
        ([0, "a"], ValueError, "names a feature twice"),
        ("e", ValueError, "no feature 'e'"),
        (-1, ValueError, "no feature -1"),
        (1.0, TypeError, "a number or a name, or a sequence of these, but got 1.0"),
        ([], ValueError, "no marginal distribution of no features"),
    ):
        with pytest.raises(kind, match=message):
            model.marginal(features)
    with pytest.raises(ValueError, match="'a': it was fitted without names"):
        fitted(rows=X).marginal("a")
    with pytest.raises(NotFittedError):
        GaussianMixture().marginal(0)
    series = pd.Series({"a": 0.5, "d": 0.0})
    assert_array_equal(model.conditional(series).means_, model.conditional(dict(series)).means_)


def test_float32_parameters():
    model = fitted(rows=X.astype(np.float32))
    assert model.marginal([0, 1]).means_.dtype == np.float32
    conditional = model.conditional({0: 0.5})
    expected = fitted(rows=X).conditional({0: 0.5})
    assert_allclose(conditional.means_, expected.means_, rtol=1e-2, atol=1e-2)
    found = model.distribution()
    assert isinstance(found, MixtureDistribution)
    assert_allclose(found.logpdf(X), model.score_samples(X), rtol=1e-4)


def test_displays_draw_a_marginal_and_a_conditional():
    mpl.use("agg")
    model = fitted()
    marginal = model.marginal(["d", "b"])
    display = GaussianMixtureDisplay.from_estimator(marginal, TABLE[["d", "b"]], kind="density")
    same = GaussianMixtureDisplay.from_estimator(model, TABLE, features=["d", "b"])
    assert display.ax_.get_xlabel() == same.ax_.get_xlabel() == "d"
    assert_array_equal(display.covariances, same.covariances)
    conditional = model.conditional({"a": 0.0, "b": 0.0, "c": 1.0})
    rows, _ = conditional.sample(200)
    display = GaussianMixtureDisplay.from_estimator(conditional, rows, features="d")
    total = display.ax_.lines[-1]
    x, y = total.get_xdata(), total.get_ydata()
    assert_allclose(y, conditional.distribution().pdf(x), rtol=1e-9)
    mpl.pyplot.close("all")


@pytest.mark.parametrize("noise", [None, "uniform"])
@pytest.mark.parametrize("scale", [1e-9, 0.1, 1.0])
def test_probabilities_of_all_and_of_nothing_far_out(noise, scale):
    model = fit(GaussianMixture(2, random_state=0, reg_covar=0, noise=noise), X[:, :1] * scale)
    found = model.distribution()
    with np.errstate(all="raise"):
        for far in (1e300, 1.7e308, np.inf):
            assert_array_equal(found.cdf([-far, far]), [0, 1])
            assert_array_equal(found.sf([-far, far]), [1, 0])


@pytest.mark.parametrize("noise", [None, "uniform"])
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_probabilities_beside_features_that_are_far_out_are_those_of_the_others(
    covariance_type, noise
):
    model = fitted(covariance_type, X[:, :3], noise=noise)
    found, place = model.distribution(), float(np.median(X[:, 1]))
    for far in (1e100, 1e300, 1.7e308, np.inf):
        corners = [[-far] * 3, [far] * 3, [far, -far, place]]
        with np.errstate(all="raise"):
            assert_allclose(found.cdf(corners), [0, 1, 0], rtol=1e-14)
            assert_allclose(found.sf(corners), [1, 0, 0], rtol=1e-14)
            beside = found.cdf([far, place, far])
        if noise is None:  # whose box may be turned
            assert_allclose(beside, model.marginal([1]).distribution().cdf(place), atol=1e-4)
