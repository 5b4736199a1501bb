"""Constraints: parameters that are fixed, equal weights, and an order of the components."""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit
from mclust import HERE, rows
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.cluster import kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

from emgmm import (
    CoincidentComponentsWarning,
    EMWarning,
    GaussianMixture,
    GaussianMixtureIC,
    NormalInverseWishart,
    RegularizationWarning,
    StarvedComponentWarning,
    blocks,
)
from emgmm.base import fitted_mixture
from emgmm.covariances import FAMILIES
from emgmm.em import EM
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.sources import ArraySource

K, D = 3, 2
NAMES = ("weights", "means", "covariances")
EVERYTHING = set(NAMES)
SOME = {
    "weights": [False, True, False],
    "means": [True, False, False],
    "covariances": [False, True, True],
}
SEPARATE = ("full", "diag", "spherical")


def table(seed=0, n_rows=200, missing=0.0):
    X = clusters(n_rows, D, K, seed=seed, spread=3.0)
    X[np.random.default_rng(seed).random(X.shape) < missing] = np.nan
    return X


def given(covariance_type, X, seed=0, noise=False):
    """Initial values near the rows, none of which is the maximum-likelihood estimate."""
    random = np.random.default_rng(seed)
    centres = kmeans_plusplus(X[~np.isnan(X).any(axis=1)], K, random_state=seed)[0]
    factor = random.normal(size=(K, D, D)) / 4 + np.eye(D)
    matrices = factor @ factor.swapaxes(1, 2) * random.uniform(0.5, 2, size=(K, 1, 1))
    kind = FAMILIES[covariance_type].scikit_learn
    precisions = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.diagonal(matrices, axis1=1, axis2=2),
        "spherical": matrices[:, 0, 0],
    }[kind]
    if FAMILIES[covariance_type].shared and kind != "tied":
        precisions = np.repeat(precisions[:1], K, axis=0)
    return {
        "weights_init": np.array([0.2, 0.45, 0.35]) * (0.9 if noise else 1.0),
        "means_init": centres + 0.1,
        "precisions_init": precisions,
    }


def model_of(covariance_type, X, fixed=None, **parameters):
    noise = parameters.get("noise") is not None
    start = given(covariance_type, X, noise=noise)
    if parameters.get("equal_weights"):
        del start["weights_init"]
    default = {"tol": 1e-13, "max_iter": 20_000, "reg_covar": 0, "acceleration": "anderson"}
    return GaussianMixture(
        K, covariance_type=covariance_type, fixed=fixed, **(default | start | parameters)
    )


def masks_of(fixed):
    entries = fixed if isinstance(fixed, dict) else dict.fromkeys(fixed or (), True)
    return {name: np.broadcast_to(entries.get(name, False), K) for name in NAMES}


def assert_kept(model, X):
    """The fixed values are those of the start, to the last bit."""
    start = clone(model).set_params(max_iter=0, acceleration=None).fit(X)
    for name, mask in masks_of(model.fixed).items():
        names = ["covariances_", "precisions_cholesky_"] if name == "covariances" else [f"{name}_"]
        for attribute in names:
            ours, first = getattr(model, attribute), getattr(start, attribute)
            if mask.all():  # also if all components share one covariance
                np.testing.assert_array_equal(ours, first)
            elif mask.any():
                np.testing.assert_array_equal(ours[mask], first[mask])
    mask = masks_of(model.fixed)["means"]
    np.testing.assert_array_equal(start.means_[mask], np.asarray(model.means_init)[mask])


# -- R mclust -------------------------------------------------------------------------------------
def stored():
    return json.loads((HERE / "equal_pro.json").read_text())


@pytest.mark.parametrize("number", range(8))
def test_mclusts_equal_weights(number):
    labels, result = np.array(stored()["start"]), stored()["fits"][number]
    X = rows("iris")
    start, noise = labels, None
    if result["noise"]:
        start = np.column_stack([0.95 * np.eye(3)[labels], np.full(len(X), 0.05)])
        noise = result["vinv"]
    model = fit(
        GaussianMixture(
            3,
            covariance_type=result["model"],
            equal_weights=True,
            noise=noise,
            init_params=start,
            reg_covar=0,
            tol=1e-13,
            max_iter=20_000,
        ),
        X,
    )
    assert len(X) * model.lower_bound_ == pytest.approx(result["loglik"], abs=2e-6)
    assert model.n_parameters() == result["df"]
    shares = [*model.weights_, model.noise_weight_] if result["noise"] else model.weights_
    np.testing.assert_allclose(shares, result["pro"], atol=1e-5)
    np.testing.assert_allclose(model.means_, result["mean"], atol=1e-4)
    assert model.bic(X) == pytest.approx(
        -2 * result["loglik"] + result["df"] * np.log(len(X)), abs=1e-5
    )


# -- numerical optimization -----------------------------------------------------------------------
class LongForm:
    """The objective of a fit as a function of its free parameters only."""

    def __init__(self, model, X, weights=None):
        self.model, self.X = model, X
        self.counts = np.ones(len(X)) if weights is None else weights
        self.fixed = masks_of(model.fixed)
        self.kind = FAMILIES[model.covariance_type].scikit_learn
        self.factors = np.linalg.cholesky(dense(model))
        self.patterns = np.unique(np.isnan(X), axis=0)

    def free_shares(self):
        free = ~self.fixed["weights"]
        if self.model.equal_weights:
            return [self.model.weights_.sum()]
        return list(self.model.weights_[free])

    def start(self):
        shares = self.free_shares()
        if self.model.noise is not None:
            shares.append(self.model.noise_weight_)
        logs = np.log(shares[1:]) - np.log(shares[0]) if shares else []
        return np.concatenate(
            [logs, self.model.means_[~self.fixed["means"]].ravel(), self.numbers()]
        )

    def numbers(self):
        """The free numbers of the covariances: logs of diagonals, and the rest of the factors."""
        if self.kind == "tied":
            chosen = self.factors[:1] if not self.fixed["covariances"].any() else self.factors[:0]
        else:
            chosen = self.factors[~self.fixed["covariances"]]
        diagonals = np.log(np.diagonal(chosen, axis1=1, axis2=2))
        if self.kind == "spherical":
            diagonals = diagonals[:, :1]
        below = chosen[:, 1, 0] if self.kind in ("full", "tied") else []
        return np.concatenate([diagonals.ravel(), below])

    def parameters(self, theta):
        model, fixed = self.model, self.fixed
        n_free, noise = len(self.free_shares()), model.noise is not None
        n_shares = max(n_free + noise - 1, 0)
        rest = 1 - model.weights_init[fixed["weights"]].sum() if fixed["weights"].any() else 1.0
        weights, noise_weight = np.empty(K), 0.0
        shares = rest * softmax(np.concatenate([[0.0], theta[:n_shares]]))
        if n_free + noise == 0:
            shares = np.empty(0)
        if model.equal_weights:
            weights[:] = shares[0] / K
        else:
            weights[fixed["weights"]] = model.weights_[fixed["weights"]]
            weights[~fixed["weights"]] = shares[:n_free]
        if noise:
            noise_weight = shares[-1]
        means, theta = model.means_.copy(), theta[n_shares:]
        size = means[~fixed["means"]].size
        means[~fixed["means"]] = theta[:size].reshape(-1, D)
        return weights, noise_weight, means, self.covariances(theta[size:])

    def covariances(self, theta):
        fixed = self.fixed["covariances"]
        n = (0 if fixed.any() else 1) if self.kind == "tied" else int((~fixed).sum())
        width = 1 if self.kind == "spherical" else D
        factors = np.zeros((n, D, D))
        for k in range(n):
            factors[k] = np.diag(np.exp(theta[width * k : width * (k + 1)]) * np.ones(D))
            if self.kind in ("full", "tied"):
                factors[k, 1, 0] = theta[width * n + k]
        found = dense(self.model)
        free = factors @ factors.swapaxes(1, 2)
        if self.kind == "tied":
            return np.repeat(free, K, axis=0) if n else found
        found[~fixed] = free
        return found

    def __call__(self, theta):
        weights, noise_weight, means, covariances = self.parameters(theta)
        joint = np.empty((len(self.X), K + (self.model.noise is not None)))
        for pattern in self.patterns:
            own, seen = (np.isnan(self.X) == pattern).all(axis=1), ~pattern
            for k in range(K):
                joint[own, k] = np.log(weights[k])
                if seen.any():
                    part = multivariate_normal(means[k, seen], covariances[k][np.ix_(seen, seen)])
                    joint[own, k] += part.logpdf(self.X[np.ix_(own, seen)])
        if self.model.noise is not None:
            joint[:, -1] = np.log(noise_weight) + np.log(self.model.noise)
        total = self.counts @ logsumexp(joint, axis=1)
        total += (self.model.weight_concentration - 1) * np.log(weights).sum()
        prior = self.model.prior
        if prior is not None:
            for mean, covariance in zip(means, covariances, strict=True):
                precision, step = np.linalg.inv(covariance), mean - np.array(prior.mean)
                total -= 0.5 * np.trace(np.array(prior.scale) @ precision)
                total -= 0.5 * prior.shrinkage * step @ precision @ step
                total -= 0.5 * (prior.dof + D + 2) * np.linalg.slogdet(covariance)[1]
        return total / self.counts.sum()


PRIOR = NormalInverseWishart(0.5, [0.0, 1.0], 6.0, [[1.0, 0.2], [0.2, 2.0]])
OPTIMA = {
    "some of each, prior": ("full", SOME, {"prior": PRIOR, "weight_concentration": 3.0}),
    "some of each, noise": ("diag", SOME, {"noise": 1e-2, "weights": True}),
    "means, spherical, incomplete": ("spherical", {"means"}, {"missing": 0.2}),
    "some means, tied": ("tied", {"means": [True, True, False]}, {}),
    "covariances, tied, weighted": ("tied", {"covariances"}, {"weights": True}),
    "weights, noise": ("diag", {"weights"}, {"noise": 1e-2}),
    "equal weights, means, noise": ("full", {"means"}, {"equal_weights": True, "noise": 1e-2}),
}


@pytest.mark.all_cases
@pytest.mark.parametrize("name", OPTIMA)
def test_the_fit_is_the_maximum_over_the_free_parameters(name):
    covariance_type, fixed, extra = OPTIMA[name]
    extra = dict(extra)
    X = table(seed=1, n_rows=60, missing=extra.pop("missing", 0.0))
    counts = None
    if extra.pop("weights", False):
        counts = np.random.default_rng(2).integers(1, 4, size=len(X)).astype(float)
    model = model_of(covariance_type, X, fixed, **extra)
    if model.noise:
        X[:12] = np.random.default_rng(4).uniform(-15, 15, size=(12, D))
    model = fit(model, X, sample_weight=counts)
    assert model.converged_
    assert_kept(model, X)
    long_form = LongForm(model, X, counts)
    theta = long_form.start()
    assert model.n_parameters() == len(theta) + (model.noise is not None)
    assert long_form(theta) == pytest.approx(model.lower_bound_, rel=1e-12)
    moved = theta + 0.02 * np.random.default_rng(3).normal(size=len(theta))
    found = minimize(lambda theta: -long_form(theta), moved, method="BFGS", options={"gtol": 1e-7})
    assert -found.fun == pytest.approx(model.lower_bound_, abs=1e-9)
    np.testing.assert_allclose(found.x, theta, atol=2e-4)


# -- laws over all families -----------------------------------------------------------------------
@pytest.mark.parametrize("noise", [None, 1e-2])
@pytest.mark.parametrize("covariance_type", TYPES + MODELS)
def test_a_fit_in_which_everything_is_fixed_gives_the_likelihood_of_that_mixture(
    covariance_type, noise
):
    X = table(missing=0.0 if noise else 0.1)
    model = fit(model_of(covariance_type, X, EVERYTHING, noise=noise), X)
    assert_kept(model, X)
    weights, means = model.weights_init, model.means_init
    assert model.noise_weight_ == pytest.approx(0.1 if noise else 0, abs=1e-15)
    np.testing.assert_array_equal(model.weights_, weights)
    known = GaussianMixture.from_parameters(
        weights,
        means,
        precisions=model.precisions_init,
        covariance_type=covariance_type,
        noise=noise,
        noise_weight=0.1 if noise else 0.0,
    )
    assert model.lower_bound_ == pytest.approx(known.score(X), rel=1e-13)
    assert model.n_parameters() == (1 if noise else 0)  # the density of the noise
    assert model.aic(X) == pytest.approx(-2 * len(X) * known.score(X) + 2 * model.n_parameters())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("covariance_type", TYPES + MODELS)
def test_no_step_lowers_the_objective_and_fixed_values_stay(covariance_type, seed):
    random = np.random.default_rng(seed)
    X = table(seed, missing=0.15 * (seed % 2))
    fixed = {name: random.random(K) < 0.5 for name in ("weights", "means")}
    if covariance_type in SEPARATE:
        fixed["covariances"] = random.random(K) < 0.5
    else:
        fixed["covariances"] = bool(random.random() < 0.3)
    parameters = {
        "prior": (None, "conjugate")[seed // 2],
        "noise": (None, 1e-2)[random.integers(2)],
        "weight_concentration": (1.0, 2.0)[random.integers(2)],
    }
    if random.random() < 0.4:
        del fixed["weights"]
        parameters["equal_weights"] = True
    counts = random.integers(1, 4, size=len(X)).astype(float)
    for acceleration in (None, "anderson"):
        model = model_of(
            covariance_type, X, fixed, acceleration=acceleration, tol=0, max_iter=25, **parameters
        )
        model = fit(model, X, sample_weight=counts)
        gains = np.diff(model.history_["objective"])
        assert gains.min() >= -1e-12 * max(1, abs(model.lower_bound_))
        assert gains.sum() > 0
        assert_kept(model, X)
        total = model.weights_.sum() + model.noise_weight_
        assert total == pytest.approx(1, abs=1e-14)
        if model.equal_weights:
            assert (model.weights_ == model.weights_[0]).all()


def test_the_ridge_is_added_to_free_covariances_only():
    X = table()
    ridges = (0, 0.5)
    narrow, wide = (
        fit(model_of("full", X, {"covariances": [True, False, True]}, reg_covar=ridge), X)
        for ridge in ridges
    )
    for model in (narrow, wide):
        expected = np.linalg.inv(model.precisions_init[[0, 2]])
        np.testing.assert_allclose(model.covariances_[[0, 2]], expected, rtol=1e-12)
    assert np.trace(wide.covariances_[1]) > np.trace(narrow.covariances_[1]) + 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error", RegularizationWarning)
        model_of("full", X, {"covariances"}, reg_covar=1e3).fit(X)


# -- together with other parts of a fit -----------------------------------------------------------
@pytest.mark.parametrize("start", ["kmeans", "random_from_data", "short-runs"])
def test_the_start_supplies_what_is_not_given(start):
    X = table()
    model = GaussianMixture(
        K,
        fixed={"means": SOME["means"]},
        means_init=given("full", X)["means_init"],
        init_params=start,
        n_init=3,
        random_state=0,
        max_iter=200,
    )
    model = fit(model, X)
    np.testing.assert_array_equal(model.means_[0], model.means_init[0])
    best = fit(model_of("full", X, {"means": SOME["means"]}), X)
    assert model.lower_bound_ == pytest.approx(best.lower_bound_, abs=0.02)


def test_initial_weights_satisfy_the_constraints():
    X = table()
    start = given("full", X)
    model = GaussianMixture(K, noise="uniform", max_iter=0, **start)
    fit(model.set_params(fixed={"weights": SOME["weights"]}), X)
    assert model.weights_[1] == start["weights_init"][1]
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1, abs=1e-15)
    assert model.noise_weight_ > 0.01


def test_a_component_whose_weight_is_fixed_at_zero_has_no_rows():
    X = table()
    weights = [True, False, False]
    model = model_of("full", X, {"weights": weights, "covariances": weights})
    model = fit(model.set_params(weights_init=[0.0, 0.5, 0.5]), X)
    assert model.weights_[0] == 0
    others = GaussianMixture(2, reg_covar=0, tol=1e-13, max_iter=20_000, random_state=0)
    assert model.lower_bound_ == pytest.approx(fit(others, X).lower_bound_, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_in_blocks_are_fitted_alike(dtype):
    X = table(n_rows=5000).astype(dtype)
    for parameters in ({"fixed": SOME}, {"equal_weights": True, "order": "mean"}):
        model = model_of("full", X, max_iter=20, **parameters)
        ours = fit(model, X)
        other = fit(clone(model), blocks(lambda: np.array_split(X, 3)))
        assert ours.means_.dtype == other.means_.dtype == dtype
        close = 1e-10 if dtype == np.float64 else 1e-4
        np.testing.assert_allclose(other.means_, ours.means_, rtol=close, atol=close)
        if "fixed" in parameters:
            np.testing.assert_array_equal(ours.means_[0], model.means_init[0].astype(dtype))
            np.testing.assert_array_equal(other.means_[0], ours.means_[0])
            assert ours.weights_[1] == other.weights_[1] == dtype(0.45)


def test_a_stream_keeps_what_is_fixed_and_the_order():
    X = table(n_rows=3000)
    model = model_of("full", X, SOME)
    means = X[np.argsort(-X[:, 0])[[100, 1500, 2900]]]  # in the opposite order
    plain = GaussianMixture(K, means_init=means, random_state=0)
    ordered = clone(plain).set_params(order="mean")
    equal = clone(plain).set_params(equal_weights=True)
    for block in np.array_split(X, 10):
        for each in (model, plain, ordered, equal):
            each.partial_fit(block)
        assert (np.diff(ordered.means_[:, 0]) > 0).all()
        assert (np.diff(plain.means_[:, 0]) < 0).any()
        sorted_means = plain.means_[np.argsort(plain.means_[:, 0])]
        np.testing.assert_allclose(ordered.means_, sorted_means, rtol=1e-9)
        assert ordered.lower_bound_ == pytest.approx(plain.lower_bound_, rel=1e-12)
        assert (equal.weights_ == equal.weights_[0]).all()
        assert_kept(model, X)
    other = GaussianMixture.from_parameters(
        np.full(K, 1 / K), means + 1.0, precisions=model.precisions_init
    )
    other.set_params(fixed={"means"}, means_init=means).partial_fit(X)
    first = GaussianMixture.from_parameters(
        np.full(K, 1 / K), means, precisions=model.precisions_init
    )
    np.testing.assert_allclose(other.weights_, first.partial_fit(X).weights_, rtol=1e-12)


def test_a_fit_that_goes_on_ends_as_one_that_was_not_interrupted(tmp_path, monkeypatch):
    X = table()
    whole = fit(model_of("full", X, SOME, max_iter=30, tol=0, acceleration=None), X)
    parts = clone(whole).set_params(max_iter=10, warm_start=True)
    for _ in range(3):
        fit(parts, X)
    np.testing.assert_array_equal(parts.means_, whole.means_)
    np.testing.assert_array_equal(parts.weights_, whole.weights_)

    for parameters in ({"fixed": SOME}, {"order": "mean", "equal_weights": True}):
        model = model_of("full", X, checkpoint=tmp_path / "fit", checkpoint_every=0, **parameters)
        maximise, calls = EM.maximise, []

        def interrupted(em, *others, maximise=maximise, calls=calls):
            calls.append(em)
            if len(calls) == 8:
                raise KeyboardInterrupt
            return maximise(em, *others)

        with monkeypatch.context() as patched:
            patched.setattr(EM, "maximise", interrupted)
            with pytest.raises(KeyboardInterrupt):
                fit(model, X)
        assert (tmp_path / "fit").exists()
        fit(model, X)
        alone = fit(clone(model).set_params(checkpoint=None), X)
        np.testing.assert_array_equal(model.means_, alone.means_)
        assert model.n_iter_ == alone.n_iter_


def test_a_warm_start_from_another_mixture_gets_the_fixed_values():
    X = table()
    model = fit(model_of("full", X, max_iter=5, warm_start=True), X)
    model.set_params(fixed=SOME, max_iter=0).fit(X)
    np.testing.assert_array_equal(model.means_[0], model.means_init[0])
    assert model.weights_[1] == model.weights_init[1]
    assert model.weights_.sum() == pytest.approx(1, abs=1e-15)
    model.set_params(fixed=None, equal_weights=True, weights_init=None).fit(X)
    np.testing.assert_array_equal(model.weights_, np.full(K, 1 / K))


# -- warnings and the escape ----------------------------------------------------------------------
def test_the_escape_does_not_move_what_is_fixed():
    X = table()
    means = np.array([[0.0, 0.0], X.mean(axis=0), X.mean(axis=0)])
    model = GaussianMixture(
        3,
        fixed={"means": [True, False, False]},
        weights_init=np.full(3, 1 / 3),
        means_init=means,
        precisions_init=np.tile(np.eye(2), (3, 1, 1)),
    )
    model.set_params(random_state=0, tol=1e-8, max_iter=500, reg_covar=0)
    with pytest.warns(CoincidentComponentsWarning):
        model.fit(X)
    assert "escape" in model.history_["event"]
    np.testing.assert_array_equal(model.means_[0], [0.0, 0.0])
    objective, escapes = model.history_["objective"], model.history_["event"] == "escape"
    assert np.diff(objective)[~escapes[1:]].min() > -1e-12
    assert model.lower_bound_ > objective[np.argmax(escapes) - 1]
    assert np.abs(model.means_[1] - model.means_[2]).max() > 0.5


def test_no_warning_about_what_is_fixed():
    X = table()
    start = given("full", X)
    start["means_init"][1] = start["means_init"][0]
    start["precisions_init"][1] = start["precisions_init"][0]
    start["means_init"][2] = 1e3  # no row is near
    start["precisions_init"][2] = 1e30 * np.array([[1.0, 1 - 1e-15], [1 - 1e-15, 1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error", EMWarning)
        model = GaussianMixture(3, fixed={"means", "covariances"}, **start).fit(X)
    assert (np.diff(model.history_["passes"]) == 1).all()
    report = model.diagnose(X, certify=True)
    assert not report.offending()
    assert np.isfinite(report.rate)
    start["means_init"][1] = X[0]
    with pytest.warns(StarvedComponentWarning) as found:
        GaussianMixture(3, fixed={"covariances"}, **start).fit(X)
    assert found[0].message.components == (2,)


def test_fixed_covariances_need_no_varying_features():
    X = table()
    X[:, 1] = 2.0
    precisions = np.tile([[4.0, 0.0], [0.0, 1e8]], (K, 1, 1))
    model = GaussianMixture(
        K, fixed={"covariances"}, precisions_init=precisions, reg_covar=0, random_state=0
    )
    assert np.isfinite(fit(model, X).lower_bound_)
    with pytest.raises(ValueError, match="constant"):
        GaussianMixture(K, reg_covar=0).fit(X)


# -- order ----------------------------------------------------------------------------------------
def test_seeds_agree_in_an_order():
    X = table()
    for order in ("mean", "weight"):
        models = [
            fit(
                GaussianMixture(
                    K,
                    order=order,
                    init_params="k-means++",
                    n_init=3,
                    tol=1e-9,
                    max_iter=2000,
                    random_state=seed,
                ),
                X,
            )
            for seed in range(3)
        ]
        for model in models:
            np.testing.assert_allclose(model.means_, models[0].means_, atol=1e-3)
            if order == "mean":
                assert model.means_[:, 0].argmin() == 0
                assert (np.diff(model.means_[:, 0]) > 0).all()
            else:
                assert model.weights_.argmax() == 0
                assert (np.diff(model.weights_) < 0).all()


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "EII", "VEV"])
def test_everything_per_component_follows_the_order(covariance_type):
    X = table(missing=0.05)
    X[0] = 60.0
    parameters = {"noise": 1e-3, "tol": 1e-6, "max_iter": 300, "random_state": 3}
    model = GaussianMixture(K, covariance_type=covariance_type, **parameters)
    plain = fit(model, X)
    if (np.diff(plain.means_[:, 0]) > 0).all():
        pytest.fail("the start has the order already, so that this test would test nothing")
    ordered = fit(clone(model).set_params(order="mean"), X)
    order = np.argsort(plain.means_[:, 0])
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        value = getattr(plain, name)
        expected = value if covariance_type == "tied" and value.shape == (D, D) else value[order]
        np.testing.assert_array_equal(getattr(ordered, name), expected)
    columns = [*order, K]
    expected = plain.predict_proba(X)[:, columns]
    np.testing.assert_allclose(ordered.predict_proba(X), expected, rtol=1e-9)
    old = plain.predict(X)
    assert (old == -1).any()
    np.testing.assert_array_equal(ordered.predict(X), np.where(old < 0, -1, np.argsort(order)[old]))
    for name in ("lower_bound_", "noise_weight_", "n_iter_"):
        assert getattr(ordered, name) == getattr(plain, name)
    more = table(seed=5)
    np.testing.assert_allclose(
        ordered.partial_fit(more).means_, plain.partial_fit(more).means_[order], rtol=1e-9
    )


@pytest.mark.parametrize("covariance_type", ["full", "tied", "EII", "VEV"])
def test_permuted_statistics_are_those_of_the_permuted_mixture(covariance_type):
    X, family, order = table(missing=0.2), FAMILIES[covariance_type], np.array([2, 0, 1])
    model = fit(model_of(covariance_type, X, max_iter=3), X)
    mixture = fitted_mixture(model)
    em = em_of(ArraySource(X, complete=False), Problem(family, K))
    ours, other = em.expect(mixture).permuted(order, family), em.expect(mixture.permuted(order))
    other = other.about(ours.centres, family)
    for name in ("centres", "counts", "first_moment", "scatter", "conditional", "log_likelihood"):
        expected = getattr(other, name)
        np.testing.assert_allclose(getattr(ours, name), expected, rtol=1e-9, atol=1e-9)


def test_warnings_name_components_in_the_order():
    X = np.concatenate([table(), np.full((5, D), 40.0), np.full((1, D), -40.0)])
    means = np.array([[40.0, 40.0], [0.0, 0.0], [-40.0, -40.0]])
    model = GaussianMixture(3, means_init=means, init_params="random_from_data", random_state=0)
    for order, collapsed in (("mean", {0, 2}), ("weight", {1, 2})):
        with pytest.warns(EMWarning) as found:
            model.set_params(order=order).fit(X)
        named = {k for each in found for k in getattr(each.message, "components", ())}
        assert named == collapsed
        assert set(model.diagnose(X).offending()) == collapsed


@pytest.mark.parametrize("break_symmetry", [True, False])
def test_coincident_components_are_numbered_in_the_order(break_symmetry):
    X = table()
    means = np.array([X.mean(axis=0), X.mean(axis=0), [-40.0, -40.0]])
    X = np.concatenate([X, table(seed=1) - 40.0])
    model = GaussianMixture(3, means_init=means, break_symmetry=break_symmetry, order="mean")
    model.set_params(weights_init=np.full(3, 1 / 3), tol=1e-10, max_iter=1000)
    model.set_params(precisions_init=np.tile(np.eye(2), (3, 1, 1)))
    with pytest.warns(CoincidentComponentsWarning) as found:
        model.fit(X)
    assert found[0].message.components == ((1, 2),)
    assert model.means_[0, 0] < -20 < model.means_[1, 0]


# -- selection, storage, conversion ---------------------------------------------------------------
def test_selection_with_equal_weights_in_an_order():
    X = table()
    found = GaussianMixtureIC(
        range(1, 5),
        covariance_type=["full", "EEE"],
        equal_weights=True,
        order="mean",
        random_state=0,
    )
    found = fit(found, X)
    assert (found.weights_ == found.weights_[0]).all()
    assert (np.diff(found.means_[:, 0]) > 0).all()
    sizes = found.results_["n_components"]
    free = np.where(found.results_["covariance_type"] == "full", 3 * sizes, 3)
    np.testing.assert_array_equal(found.results_["n_parameters"], 2 * sizes + free)
    index = found.best_index_
    assert found.n_parameters() == found.results_["n_parameters"][index]
    assert found.bic(X) == pytest.approx(found.results_["bic"][index], rel=1e-12)
    assert f"{found.n_parameters()} free parameters" in str(found.summary(X))


@pytest.mark.parametrize(
    "fixed", [{"means", "weights"}, ["means"], {"means": np.array([True, False, True])}, SOME]
)
def test_models_are_stored_and_copied_with_their_constraints(fixed, tmp_path):
    X = table()
    model = fit(model_of("full", X, fixed), X)
    model.save(tmp_path / "model.json")
    loaded = GaussianMixture.load(tmp_path / "model.json")
    copies = (loaded, pickle.loads(pickle.dumps(model)), fit(clone(model), X))
    for one in copies:
        assert type(one.fixed) is type(model.fixed)
        assert one.n_parameters() == model.n_parameters() < 17
        assert one.bic(X) == pytest.approx(model.bic(X), rel=1e-12)
        np.testing.assert_array_equal(fit(clone(one), X).means_, model.means_)
    assert not hasattr(model.to_sklearn(), "fixed")
    np.testing.assert_array_equal(model.to_sklearn().means_, model.means_)


def test_the_private_m_step_obeys_constraints():
    X = table()
    model = model_of("full", X, SOME)
    model.fit(X)
    with np.errstate(divide="ignore"):
        model._m_step(X, np.log(model.predict_proba(X)))
    np.testing.assert_array_equal(model.means_[0], model.means_init[0])
    assert model.weights_[1] == model.weights_init[1]


# -- bad input ------------------------------------------------------------------------------------
BAD = {
    "a string": ({"fixed": "means"}, "fixed"),
    "a boolean": ({"fixed": True}, "fixed"),
    "an unknown name": ({"fixed": {"mean"}}, "Did you mean 'means'"),
    "no name": ({"fixed": [1]}, "only 'weights'"),
    "integers": ({"fixed": {"means": [0, 1, 0]}}, "a boolean for each of the 3"),
    "too short": ({"fixed": {"means": [True]}}, "a boolean for each of the 3"),
    "no values": ({"fixed": {"means"}, "means_init": None}, "means_init.*is None"),
    "no precisions": (
        {"fixed": {"covariances"}, "precisions_init": None},
        "precisions_init.*is None",
    ),
    "part of the family": (
        {"fixed": {"covariances": [True, False, True]}, "covariance_type": "EVI"},
        "depend on each other",
    ),
    "equal and fixed": ({"fixed": {"weights"}, "equal_weights": True}, "one of the two"),
    "equal and unequal": ({"equal_weights": True}, "weights_init differ"),
    "in an order": ({"fixed": {"means"}, "order": "mean"}, "renumber"),
    "nothing left": (
        {"fixed": {"weights": [True, True, False]}, "weights_init": [0.5, 0.5, 0.0]},
        "nothing is left for the other",
    ),
    "no noise left": ({"fixed": {"weights"}, "noise": "uniform"}, "nothing is left for the noise"),
    "an order": ({"order": "means"}, "order"),
    "equality": ({"equal_weights": "yes"}, "equal_weights"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_constraints_are_refused_in_one_sentence(name):
    wrong, message = BAD[name]
    X = table()
    kind = wrong.get("covariance_type", "full")
    model = fit(model_of(kind, X, max_iter=3), X)
    before = model.means_.copy()
    model.set_params(**wrong)
    fresh = clone(model)
    for method in (model.fit, fresh.fit, fresh.partial_fit):
        with pytest.raises(ValueError, match=message) as found:
            method(X)
        assert "\n" not in str(found.value)
    np.testing.assert_array_equal(model.means_, before)
    assert not hasattr(fresh, "n_features_in_")


def test_no_constraint_is_the_fit_without_one():
    X = table()
    plain = fit(model_of("full", X), X)
    for fixed in (set(), {}, {"means": False}, {"means": [False] * 3}):
        other = fit(model_of("full", X, fixed), X)
        np.testing.assert_array_equal(other.means_, plain.means_)
        assert other.n_parameters() == plain.n_parameters()
    assert not np.array_equal(plain.means_, fit(model_of("full", X, SOME), X).means_)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model_of("full", X, EVERYTHING).fit(X)


CONSTRAINED = [
    {},
    {"equal_weights": True},
    {"fixed": {"means"}, "means_init": np.array([[0.0, 0.0], [4.0, 4.0]])},
    {"noise": "uniform", "order": "mean"},
]
CHANGES = [
    {"equal_weights": True},
    {"equal_weights": False},
    {"fixed": {"weights": [True, False, True]}},
    {"fixed": {"means"}, "means_init": None},
    {"fixed": None},
    {"order": "weight", "fixed": {"covariances"}},
    {"noise": "uniform"},
    {"n_components": 7},
]


@pytest.mark.parametrize("parameters", CONSTRAINED, ids=["free", "equal", "fixed", "noise"])
@pytest.mark.all_cases
def test_parameters_that_are_changed_later_do_not_change_the_fitted_mixture(parameters, tmp_path):
    table = clusters(200, 2, 2)
    model = GaussianMixture(2, random_state=0, **parameters)
    fit(model, table)
    streamed = GaussianMixture(2, random_state=0, **parameters).partial_fit(table)

    def results(model):
        diagnosis = model.diagnose(table)
        criteria = [model.bic(table), model.icl(table), float(model.n_parameters())]
        return [*criteria, model.score(table), diagnosis.entropy, *diagnosis.mass]

    expected, of_stream = results(model), streamed.n_parameters()
    for change in CHANGES:
        changed = copy.deepcopy(model).set_params(**change)
        assert results(changed) == expected
        assert copy.deepcopy(streamed).set_params(**change).n_parameters() == of_stream
    stored = copy.deepcopy(model).set_params(equal_weights=not model.equal_weights)
    stored.save(tmp_path / "model.json")
    assert GaussianMixture.load(tmp_path / "model.json").n_parameters() == model.n_parameters()
