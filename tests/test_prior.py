"""Priors: one rule for all families, in the M-step and in what EM climbs."""

from __future__ import annotations

import json
import warnings
from functools import cache, reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit, given_start
from long_form import statistics_in_long_form
from mclust import HERE, rows
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.base import clone

from emgmm import EMWarning, GaussianMixture, NormalInverseWishart, attributes
from emgmm.covariances import FAMILIES
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.sources import ArraySource
from emgmm.summary import DataSummary

every_type = pytest.mark.parametrize("covariance_type", TYPES + MODELS)
PRIORS = {
    "conjugate": NormalInverseWishart(),
    "without shrinkage": NormalInverseWishart(shrinkage=0),
    "strong": NormalInverseWishart(
        shrinkage=5, mean=[1, 2, 3], dof=12, scale=[[9, 1, 0], [1, 4, 1], [0, 1, 6]]
    ),
}
priors = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


def quietly(model, X):
    """Fit, where any warning of a sick end is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", EMWarning)
        return model.fit(X)


# -- R mclust --------------------------------------------------------------------------------------
@cache
def stored():
    return json.loads((HERE / "prior.json").read_text())["data"]


def cells():
    for name, by_size in stored().items():
        for size, entry in by_size.items():
            for prior, models in entry["priors"].items():
                for model in {"VVV", "V"} & set(models):
                    result = models[model]
                    if "hyper" in result and result["hyper"]["shrinkage"] > 0:
                        identity = f"{name}-{size}-{prior}-{model}"
                        yield pytest.param(name, size, prior, model, id=identity)


@pytest.mark.parametrize(("name", "size", "prior", "model"), sorted(cells(), key=lambda c: c.id))
def test_mclusts_mode(name, size, prior, model):
    """The stored runs ended at a relative change of the likelihood of 1e-10 or so."""
    entry, X = stored()[name][size], rows(name)
    result, K = entry["priors"][prior][model], int(size)
    hyper = result["hyper"]
    own = NormalInverseWishart(
        hyper["shrinkage"], hyper["mean"], hyper["dof"], np.atleast_2d(hyper["scale"])
    )
    models = [
        GaussianMixture(
            K,
            covariance_type=model,
            prior=given,
            tol=1e-14,
            max_iter=20_000,
            init_params=lambda *_: np.array(entry["start"]),
        )
        for given in (own, NormalInverseWishart(hyper["shrinkage"]))
    ]
    stated, by_default = (fit(one, X) for one in models)
    assert by_default.lower_bound_ == pytest.approx(stated.lower_bound_, rel=1e-12)
    assert len(X) * stated.score(X) == pytest.approx(result["loglik"], abs=2e-5)
    np.testing.assert_allclose(stated.weights_, result["pro"], atol=1e-4)
    spread = np.outer(X.std(axis=0), X.std(axis=0))
    sigma = np.array(result["sigma"]).reshape(K, *spread.shape)
    np.testing.assert_allclose(dense(stated) / spread, sigma / spread, atol=1e-5)
    means = np.array(result["mean"]).reshape(K, -1)
    np.testing.assert_allclose((stated.means_ - means) / X.std(axis=0), 0, atol=1e-5)


# -- the stated objective --------------------------------------------------------------------------
def objective_in_long_form(model, X, *, shrinkage, mean, dof, scale, concentration=1.0):
    """Log-likelihood plus log-densities of the priors, matrix by matrix, per row."""
    covariances, means, weights = dense(model), model.means_, model.weights_
    D = X.shape[1]
    parts = zip(weights, means, covariances, strict=True)
    joint = [np.log(w) + multivariate_normal(m, c).logpdf(X) for w, m, c in parts]
    total = logsumexp(joint, axis=0).sum()
    for m, c in zip(means, covariances, strict=True):
        precision = np.linalg.inv(c)
        step = m - mean
        total -= 0.5 * np.trace(scale @ precision)
        total -= 0.5 * shrinkage * step @ precision @ step
        total -= 0.5 * (dof + D + (2 if shrinkage else 1)) * np.linalg.slogdet(c)[1]
    total += (concentration - 1) * np.log(weights).sum()
    return total / len(X)


def in_numbers(prior, X, K, covariance_type):
    """Hyperparameters in full, by the rules of the contract."""
    D = X.shape[1]
    scale = np.cov(X.T) / K ** (2 / D) if prior.scale is None else np.array(prior.scale)
    kind = FAMILIES[covariance_type].scikit_learn
    if kind in ("diag", "spherical"):
        scale = np.diag(np.diag(scale))
    if kind == "spherical":
        scale = np.trace(scale) / D * np.eye(D)
    return {
        "shrinkage": prior.shrinkage,
        "mean": X.mean(axis=0) if prior.mean is None else np.array(prior.mean),
        "dof": D + 2 if prior.dof is None else prior.dof,
        "scale": scale,
    }


@every_type
@priors
def test_em_climbs_the_stated_objective_to_where_its_gradient_is_zero(covariance_type, prior):
    X = clusters(120, 3, 3, seed=3, spread=2.0)
    start = given_start(X, 3, covariance_type)
    more = {"tol": 1e-14, "max_iter": 5000, "weight_concentration": 1.5, "break_symmetry": False}
    model = fit(GaussianMixture(**start, **more, prior=prior), X)
    numbers = {**in_numbers(prior, X, 3, covariance_type), "concentration": 1.5}
    assert model.lower_bound_ == pytest.approx(
        objective_in_long_form(model, X, **numbers), rel=1e-11
    )
    assert np.diff(model.history_["objective"]).min() >= -1e-13 * abs(model.lower_bound_)
    # Along curves within the family through the end: M-steps from responsibilities that are changed
    # a little, which reach every direction in which parameters can move.
    em = em_of(ArraySource(X), Problem(FAMILIES[covariance_type], 3, 0.0, prior, 1.5))
    random, end = np.random.default_rng(0), model._mixture()

    def along(change):
        responsibilities = model.predict_proba(X) * (1 + change)
        responsibilities *= len(X) / responsibilities.sum()  # weights sum to one
        statistics = statistics_in_long_form(X, responsibilities, em.family)
        moved = clone(model)
        attributes.adopt(moved, em.m_step.maximise(statistics, end))
        return objective_in_long_form(moved, X, **numbers)

    for _ in range(10):
        change = 1e-3 * random.normal(size=(len(X), 3))
        slope = (along(change) - along(-change)) / 2e-3
        bend = (2 * along(0 * change) - along(change) - along(-change)) / 1e-6
        assert bend > 0
        assert abs(slope) < 1e-3 * bend


def test_the_gradient_is_not_zero_without_the_prior():
    """The check above can fail."""
    X = clusters(120, 3, 3, seed=3, spread=2.0)
    model = fit(GaussianMixture(3, random_state=0, tol=1e-12, max_iter=5000), X)
    numbers = in_numbers(PRIORS["strong"], X, 3, "full")
    here = objective_in_long_form(model, X, **numbers)
    model.means_ = model.means_ + 1e-3 * (numbers["mean"] - model.means_)
    assert objective_in_long_form(model, X, **numbers) > here + 1e-6


@every_type
def test_weights_under_a_dirichlet_prior(covariance_type):
    X = clusters(200, 2, 3, seed=1, spread=1.5)
    start = given_start(X, 3, covariance_type)
    common = {"tol": 1e-13, "max_iter": 5000, "reg_covar": 0, "weight_concentration": 4.0}
    model = fit(GaussianMixture(**start, **common), X)
    mass = model.predict_proba(X).sum(axis=0)
    np.testing.assert_allclose(model.weights_, (mass + 3) / (len(X) + 9), rtol=1e-5)
    extra = 3 * np.log(model.weights_).sum() / len(X)
    assert model.lower_bound_ == pytest.approx(model.score(X) + extra, rel=1e-12)
    assert np.diff(model.history_["objective"]).min() >= -1e-13 * abs(model.lower_bound_)


# -- what a prior is for ---------------------------------------------------------------------------
@every_type
@pytest.mark.parametrize("start", ["kmeans", "k-means++"])
def test_singletons_and_duplicates_fit_without_a_ridge(covariance_type, start):
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(30, 2)), np.full((20, 2), 9.0), [[50.0, -40.0]]])
    model = GaussianMixture(
        3,
        covariance_type=covariance_type,
        prior="conjugate",
        random_state=0,
        tol=1e-7,
        max_iter=2000,
        init_params=start,
    )
    fit(model, X)
    assert np.isfinite(model.lower_bound_)
    assert (np.linalg.eigvalsh(dense(model)) > 0).all()
    assert np.diff(model.history_["objective"]).min() >= -1e-13 * abs(model.lower_bound_)


@every_type
def test_more_features_than_rows_fit(covariance_type):
    random = np.random.default_rng(1)
    X = np.concatenate([random.normal(size=(6, 12)), 8 + random.normal(size=(6, 12))])
    model = GaussianMixture(2, covariance_type=covariance_type, prior="conjugate", random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.set_params(max_iter=500).fit(X)
    assert set(model.predict(X[:6])) != set(model.predict(X[6:]))
    assert (np.linalg.eigvalsh(dense(model)) > 0).all()
    matrices = FAMILIES[covariance_type].scikit_learn in ("full", "tied")
    found = [str(each.message) for each in caught if issubclass(each.category, EMWarning)]
    assert len(found) == matrices
    assert all("Its diagonal is used" in message for message in found)


@every_type
@pytest.mark.parametrize("exponent", [-6, 6])
def test_scaling_the_data_changes_no_label(covariance_type, exponent):
    X = clusters(150, 3, 3, seed=6, spread=1.5)
    here, there = (
        fit(
            GaussianMixture(
                3,
                covariance_type=covariance_type,
                prior="conjugate",
                tol=1e-8,
                max_iter=60,
                init_params=lambda rows, K, random: np.arange(len(rows)) * K // len(rows),
            ),
            factor * X,
        )
        for factor in (1.0, 10.0**exponent)
    )
    np.testing.assert_array_equal(there.predict(10.0**exponent * X), here.predict(X))
    np.testing.assert_allclose(there.means_ / 10.0**exponent, here.means_, rtol=1e-4, atol=1e-4)


def test_a_ridge_is_not_added():
    X = clusters(100, 2)
    fits = [
        GaussianMixture(2, prior="conjugate", reg_covar=ridge, random_state=0).fit(X)
        for ridge in (0.0, 1.0)
    ]
    np.testing.assert_array_equal(fits[0].covariances_, fits[1].covariances_)


@pytest.mark.parametrize("covariance_type", ["full", "VVI", "EII"])
def test_a_constant_column_is_named(covariance_type):
    X = clusters(60, 3)
    X[:, 1] = 0.1
    model = GaussianMixture(2, covariance_type=covariance_type, prior="conjugate")
    with pytest.raises(ValueError, match="X is constant in column 1, counted from 0"):
        model.fit(X)
    own = NormalInverseWishart(scale=np.eye(3))
    assert fit(model.set_params(prior=own, random_state=0), X).covariances_ is not None


def test_a_constant_column_is_named_by_its_name():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(clusters(60, 2), columns=["height", "width"]).assign(colour=3.0)
    with pytest.raises(ValueError, match=r"column 2 \('colour'\)"):
        GaussianMixture(2, prior="conjugate").fit(table)


def test_collinear_columns_fall_back_to_the_diagonal():
    X = clusters(100, 2)
    X = np.column_stack([X, X @ [2.0, -1.0]])
    model = GaussianMixture(2, prior="conjugate", random_state=0, max_iter=500)
    with pytest.warns(EMWarning, match="collinear") as caught:
        model.fit(X)
    assert len(caught) == 1
    assert model.converged_
    assert model.ending_.name == "CONVERGED"
    diagonal = NormalInverseWishart(scale=np.diag(X.var(axis=0, ddof=1)) / 2 ** (2 / 3))
    same = clone(model).set_params(prior=diagonal).fit(X)
    np.testing.assert_allclose(same.covariances_, model.covariances_, rtol=1e-9)
    assert same.ending_.name == "CONVERGED"


@every_type
@pytest.mark.parametrize("cuts", [[0, 90], [0, 1, 40, 90]])
def test_the_scale_of_data_with_missing_values_is_numpys_variance(covariance_type, cuts):
    X = clusters(90, 3, seed=2) * [1, 10, 0.1]
    X[np.random.default_rng(0).random(X.shape) < [0, 0.3, 0.8]] = np.nan
    family = FAMILIES[covariance_type]
    parts = [DataSummary.of(X[a:b].T, family, complete=False) for a, b in pairwise(cuts)]
    prior = NormalInverseWishart().resolved(reduce(add, parts), family, 2).explicit()
    variances = np.nanvar(X, axis=0) * 90 / 89
    if family.scikit_learn == "spherical":
        variances = np.full(3, variances.mean())
    np.testing.assert_allclose(prior.scale, np.diag(variances) / 2 ** (2 / 3), rtol=1e-12)
    np.testing.assert_allclose(prior.mean, np.nanmean(X, axis=0), rtol=1e-12, atol=1e-14)


# -- the rest of its life --------------------------------------------------------------------------
def test_it_is_a_value():
    prior = NormalInverseWishart(0.5, mean=[1, 2], scale=np.eye(2))
    assert prior == NormalInverseWishart(0.5, mean=(1.0, 2.0), scale=[[1, 0], [0, 1]])
    assert hash(prior) == hash(NormalInverseWishart(0.5, mean=[1, 2], scale=np.eye(2)))
    assert "shrinkage=0.5" in repr(GaussianMixture(prior=prior))
    assert clone(GaussianMixture(prior=prior)).prior == prior
    with pytest.raises(AttributeError):
        prior.shrinkage = 1.0


def test_it_is_saved(tmp_path):
    X, prior = clusters(80, 2), NormalInverseWishart(0.1, dof=7, scale=np.eye(2) / 3)
    model = GaussianMixture(2, prior=prior, weight_concentration=2, random_state=0).fit(X)
    model.save(tmp_path / "model.json")
    loaded = GaussianMixture.load(tmp_path / "model.json")
    assert loaded.get_params() == model.get_params()
    assert loaded.lower_bound_ == model.lower_bound_


WRONG = {
    "shrinkage": (lambda: NormalInverseWishart(-1), "shrinkage must be a number from 0 up"),
    "dof": (lambda: NormalInverseWishart(dof="many"), "dof must be a number"),
    "low dof": (lambda: NormalInverseWishart(dof=0.5), "more than D - 1 = 1"),
    "mean": (lambda: NormalInverseWishart(mean=[0, 0, 0]), "mean is for 3 features, but X has 2"),
    "scale": (
        lambda: NormalInverseWishart(scale=np.eye(3)),
        "scale is for 3 features, but X has 2",
    ),
    "crooked": (lambda: NormalInverseWishart(scale=[[1, 2], [0, 1]]), "symmetric"),
    "indefinite": (lambda: NormalInverseWishart(scale=-np.eye(2)), "positive definite"),
    "name": (lambda: "flat", "'prior' parameter"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_wrong_priors_are_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, prior=make()).fit(clusters(50, 2))


def test_a_concentration_below_one_is_refused():
    with pytest.raises(ValueError, match="weight_concentration"):
        GaussianMixture(2, weight_concentration=0.5).fit(clusters(50, 2))


@every_type
def test_acceleration_and_warm_starts_climb_it_too(covariance_type):
    X = clusters(200, 2, 3, seed=4, spread=1.5)
    start = given_start(X, 3, covariance_type)
    common = {"prior": "conjugate", "weight_concentration": 1.2, "tol": 1e-10, "max_iter": 3000}
    plain = fit(GaussianMixture(**start, **common), X)
    fast = fit(GaussianMixture(**start, **common, acceleration="anderson"), X)
    assert fast.lower_bound_ >= plain.lower_bound_ - 1e-6
    assert np.diff(fast.history_["objective"]).min() >= -1e-13 * abs(fast.lower_bound_)
    parts = GaussianMixture(**start, **{**common, "max_iter": 5, "tol": 0}, warm_start=True)
    whole = fit(GaussianMixture(**start, **{**common, "max_iter": 10, "tol": 0}), X)
    fit(fit(parts, X), X)
    assert parts.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-12)
    assert plain.diagnose(X, certify=True).verdict.name in {"LOCAL_MAXIMUM", "SADDLE"}


def test_coincident_components_are_parted_under_a_prior():
    X = clusters(300, 2, 2, seed=2)
    start = given_start(X, 2, "full")
    start["means_init"] = np.tile(X.mean(axis=0), (2, 1))
    model = fit(GaussianMixture(**start, prior="conjugate", random_state=0), X)
    assert "escape" in model.history_["event"]
    objective = model.history_["objective"]
    assert objective[-1] > objective[np.flatnonzero(model.history_["event"] == "escape")[0] - 1]


def test_the_best_start_is_the_best_by_the_objective():
    X = clusters(60, 2, 4, seed=5, spread=1.0)
    prior = NormalInverseWishart(shrinkage=20)
    common = {"prior": prior, "init_params": "random_from_data", "break_symmetry": False}
    many = fit(GaussianMixture(4, n_init=6, random_state=0, **common), X)
    random = np.random.RandomState(0)
    each = [fit(GaussianMixture(4, random_state=random, **common), X) for _ in range(6)]
    best = max(each, key=lambda one: one.lower_bound_)
    assert best is not max(each, key=lambda one: one.score(X))
    assert many.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-9)
    assert many.lower_bound_ != pytest.approx(many.score(X), abs=1e-3)


def test_without_rows_there_is_the_prior():
    """An empty component gets the mode of the prior."""
    X, family = clusters(50, 3), FAMILIES["full"]
    em = em_of(ArraySource(X), Problem(family, 2, 0.0, PRIORS["strong"]))
    responsibilities = np.column_stack([np.ones(50), np.zeros(50)])
    mixture = em.m_step.maximise(statistics_in_long_form(X, responsibilities, family))
    np.testing.assert_allclose(mixture.means[1], [1, 2, 3], rtol=1e-12)
    scale = np.array(PRIORS["strong"].scale)
    np.testing.assert_allclose(mixture.covariances[1], scale / (12 + 3 + 2), rtol=1e-12, atol=1e-12)
