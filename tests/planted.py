"""Mixtures and tables with planted defects, and what fits to them warn of."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import TYPES, clusters, given_start
from sklearn.exceptions import ConvergenceWarning

from emgmm import (
    EMWarning,
    GaussianMixture,
)
from emgmm.covariances import FAMILIES
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource

types = pytest.mark.parametrize("covariance_type", TYPES)


scales = pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])


def said(model, X):
    """The EMWarnings of a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    return [w.message for w in caught if isinstance(w.message, EMWarning)]


def named(messages, kind):
    """What warnings of one kind name: components, or groups of them."""
    return [part for message in messages if type(message) is kind for part in message.components]


def quiet(model, X):
    """Fit, where any EMWarning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("error", EMWarning)
        return model.fit(X)


def mixture_of(model):
    return Mixture(
        model.weights_,
        model.means_,
        model.covariances_,
        model.precisions_cholesky_,
        FAMILIES[model.covariance_type],
    )


def permuted(mixture, order):
    """The same components in another order."""
    if mixture.family.shared:
        return replace(mixture, weights=mixture.weights[order], means=mixture.means[order])
    return Mixture(
        mixture.weights[order],
        mixture.means[order],
        mixture.covariances[order],
        mixture.precisions_cholesky[order],
        mixture.family,
    )


def judged(mixture, X, ridge):
    """Statistics of a mixture on rows, and these rows' covariance."""
    em = em_of(ArraySource(X), Problem(mixture.family, mixture.n_components, ridge))
    statistics = em.expect(mixture)
    return statistics, statistics.total_covariance(mixture.family)


def some_mixture(covariance_type, K, D, seed=0):
    random = np.random.default_rng(seed)
    family = FAMILIES[covariance_type]
    factors = random.normal(size=(K, D, D)) / 2 + np.eye(D)
    matrices = factors @ np.swapaxes(factors, 1, 2)
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.exp(random.normal(size=(K, D))),
        "spherical": np.exp(random.normal(size=K)),
    }[covariance_type]
    weights = random.dirichlet(np.ones(K))
    return Mixture.of(weights, random.normal(size=(K, D)), covariances, family)


def identical(X, K, covariance_type, seed):
    start = given_start(X, K, covariance_type)
    return {**start, "means_init": np.tile(X[seed], (K, 1))}


def too_wide(X, K, covariance_type, seed):
    """Means that differ, but covariances so wide that every row is shared out alike."""
    start = given_start(X, K, covariance_type, seed=seed)
    return {**start, "precisions_init": start["precisions_init"] / 1e4}


def equal_responsibilities(X, K, covariance_type, seed):
    def equal(rows, n_components, random):
        return np.full((len(rows), n_components), 1 / n_components)

    return {"n_components": K, "covariance_type": covariance_type, "init_params": equal}


def first_two_identical(X, K, covariance_type, seed):
    start = given_start(X, K, covariance_type, seed=seed)
    means = start["means_init"].copy()
    means[1] = means[0]
    return {**start, "means_init": means}


def duplicates_picked(X, K, covariance_type, seed):
    """The first two means are rows that are equal; `X` has such rows."""
    chosen = np.random.default_rng(seed).choice(len(X) // 2, K - 1, replace=False)
    chosen = [chosen[0] + len(X) // 2, *chosen]
    return {**given_start(X, K, covariance_type), "means_init": X[chosen]}


FROM_THE_START = [
    (1, 2, "spherical", float),
    (1, 4, "full", float),
    (3, 5, "tied", float),
    (5, 10, "diag", float),
    (8, 4, "full", np.float32),
    (20, 3, "full", float),
]


ALL_COINCIDE = {
    f"{begin.__name__} {D} {K} {name} {np.dtype(dtype)}": (begin, D, K, name, dtype)
    for begin in (identical, too_wide, equal_responsibilities)
    for D, K, name, dtype in [
        *FROM_THE_START,
        (6, 6, "diag", np.float32),
        (10, 3, "tied", np.float32),
        (2, 7, "tied", np.float32),
    ]
}


TWO_COINCIDE = {
    f"{begin.__name__} {D} {K} {name} {np.dtype(dtype)}": (begin, D, K, name, dtype)
    for begin in (first_two_identical, duplicates_picked)
    for D, K, name, dtype in [
        (1, 5, "spherical", float),
        (2, 5, "full", float),
        (3, 5, "tied", float),
        (5, 10, "diag", float),
        (8, 4, "full", np.float32),
        (20, 3, "full", float),
        (4, 5, "diag", np.float32),
        (12, 5, "tied", np.float32),
    ]
}


def rows_for(begin, D, K, dtype):
    X = clusters(400, D, K, seed=D).astype(dtype)
    return np.concatenate([X[:200], X[:200]]) if begin is duplicates_picked else X


SADDLES = {
    "question full": ("question", 2, "full", 0),
    "question tied": ("question", 2, "tied", 0),
    "question diag": ("question", 2, "diag", 0),
    "iris tied 0": ("iris", 3, "tied", 0),
    "iris tied 1": ("iris", 3, "tied", 1),
    "iris tied 2": ("iris", 3, "tied", 2),
    "wine tied": ("wine", 3, "tied", 0),
    "digits tied": ("digits10", 10, "tied", 0),
}


def lattice(K, D, n_rows, random):
    """Rows and labels of K round clusters, 12 standard deviations apart."""
    labels = np.repeat(np.arange(K), n_rows)
    X = random.normal(size=(K * n_rows, D))
    X[:, 0] += 12 * labels
    return X, labels


def equal_rows(random, D):
    return np.tile(random.normal(size=D), (30, 1))


def too_few_for_full(random, D):
    return random.normal(size=(D, D))


def single_row(random, D):
    return random.normal(size=(1, D))


def constant_direction(random, D):
    rows = random.normal(size=(10 * D, D))
    rows[:, -1] = 0.5
    return rows


def flat(random, D):
    """Within a hyperplane that no axis is normal to."""
    rows = random.normal(size=(10 * D, D))
    return rows - rows.mean(axis=1, keepdims=True)


COLLAPSED = {
    f"{bad.__name__} {D} {K} {name} {np.dtype(dtype)}": (bad, D, K, name, dtype)
    for bad, cases in {
        equal_rows: [
            (1, 2, "full", float),
            (1, 3, "spherical", np.float32),
            (2, 5, "diag", float),
            (4, 3, "full", np.float32),
            (8, 10, "spherical", float),
            (12, 4, "diag", np.float32),
            (20, 2, "full", float),
        ],
        too_few_for_full: [
            (D, K, "full", dtype)
            for D, K, dtype in [
                (2, 2, float),
                (3, 10, float),
                (5, 3, np.float32),
                (8, 4, float),
                (13, 2, np.float32),
                (20, 3, float),
            ]
        ],
        single_row: [
            (1, 2, "spherical", float),
            (1, 3, "diag", float),
            (2, 10, "full", np.float32),
            (5, 4, "diag", np.float32),
            (10, 3, "spherical", np.float32),
            (20, 2, "spherical", float),
        ],
        constant_direction: [
            (2, 2, "full", float),
            (2, 3, "diag", float),
            (5, 10, "diag", np.float32),
            (6, 3, "full", np.float32),
            (12, 4, "full", float),
            (20, 2, "diag", float),
        ],
        flat: [
            (2, 2, "full", float),
            (3, 10, "full", float),
            (5, 4, "full", np.float32),
            (9, 3, "full", float),
            (14, 2, "full", np.float32),
            (20, 3, "full", float),
        ],
    }.items()
    for D, K, name, dtype in cases
}


def with_collapse(case, scale=1.0):
    """Rows of which the last component swallows a bad part, and the model that starts from it."""
    bad, D, K, covariance_type, dtype = case
    random = np.random.default_rng(D)
    X, labels = lattice(K - 1, D, 20 * D + 20, random)
    part = bad(random, D)
    part[:, 0] += -40.0 if bad is not flat else 0.0
    part[:, -1] += 40.0 if bad is flat else 0.0
    X = (scale * np.concatenate([X, part])).astype(dtype)
    labels = np.concatenate([labels, np.full(len(part), K - 1)])
    model = GaussianMixture(
        K,
        covariance_type=covariance_type,
        reg_covar=1e-6 * scale**2,
        init_params=lambda rows, n_components, random: labels,
    )
    return model, X


def out_of_reach(X, K, covariance_type):
    start = given_start(X, K, covariance_type)
    means = start["means_init"].copy()
    means[-1] = 1e3 * np.abs(X).max()
    return {**start, "means_init": means, "tol": 1e-6}


def a_share_of_few_rows(X, K, covariance_type):
    """The last component gets a tenth of each of five rows, and one step."""

    def shares(rows, n_components, random):
        r = np.zeros((len(rows), n_components))
        r[np.arange(len(rows)), np.arange(len(rows)) % (n_components - 1)] = 1
        r[:5] *= 0.9
        r[:5, -1] = 0.1
        return r

    return {
        "n_components": K,
        "covariance_type": covariance_type,
        "init_params": shares,
        "max_iter": 1,
    }


STARVED = {
    f"{begin.__name__} {D} {K} {name} {np.dtype(dtype)}": (begin, D, K, name, dtype)
    for begin, cases in {
        out_of_reach: [
            (1, 2, "spherical", float),
            (2, 3, "full", float),
            (5, 10, "diag", float),
            (8, 4, "full", np.float32),
            (10, 4, "spherical", np.float32),
            (20, 3, "full", float),
        ],
        a_share_of_few_rows: [
            (1, 2, "spherical", float),
            (1, 3, "diag", float),
            (2, 3, "full", float),
            (3, 5, "tied", float),
            (2, 10, "tied", np.float32),
            (4, 3, "tied", np.float32),
            (5, 2, "diag", np.float32),
        ],
    }.items()
    for D, K, name, dtype in cases
}


def with_starved(case, scale=1.0):
    begin, D, K, covariance_type, dtype = case
    X = (scale * clusters(400, D, K, seed=D)).astype(dtype)
    return GaussianMixture(**begin(X, K, covariance_type), reg_covar=1e-6 * scale**2), X


# Where the last stretch is geometric, as Aitken takes it to be.
SLOW = {
    f"{D} {K} {name} {np.dtype(dtype)}": (D, K, name, spread, seed, dtype)
    for D, K, name, spread, seed, dtype in [
        (1, 2, "spherical", 1.0, 0, float),
        (2, 3, "full", 2.0, 2, float),
        (2, 3, "full", 1.0, 2, np.float32),
        (3, 5, "tied", 2.0, 3, float),
        (5, 4, "diag", 2.0, 4, np.float32),
        (8, 4, "full", 1.0, 5, float),
        (10, 10, "diag", 1.0, 7, float),
        (20, 2, "spherical", 1.0, 6, float),
        (20, 3, "tied", 1.0, 8, float),
    ]
}


def kullback_leibler(mean, covariance, other_mean, other_covariance):
    inverse, step = np.linalg.inv(other_covariance), other_mean - mean
    log_dets = np.linalg.slogdet(other_covariance)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (np.trace(inverse @ covariance) + step @ inverse @ step - len(mean) + log_dets)


def moved(mixture, seed, scale):
    """The mixture under a random affine map of the largest kind that keeps its family."""
    random = np.random.default_rng(seed)
    D, name = mixture.n_features, mixture.family.name
    rotation = np.linalg.qr(random.normal(size=(D, D)))[0]
    stretch = np.exp(random.normal(size=D))
    matrix = (
        scale
        * {
            "full": rotation * stretch,
            "tied": rotation * stretch,
            "diag": np.diag(stretch),
            "spherical": rotation,
        }[name]
    )
    covariances = {
        "full": lambda c: matrix @ c @ matrix.T,
        "tied": lambda c: matrix @ c @ matrix.T,
        "diag": lambda c: c * np.diag(matrix) ** 2,
        "spherical": lambda c: c * scale**2,
    }[name](mixture.covariances)
    offset = scale * random.normal(size=D)
    means = mixture.means @ matrix.T + offset
    return Mixture.of(mixture.weights, means, covariances, mixture.family)


def messages():
    X = clusters(400, 3, 4, seed=1)
    coincide = GaussianMixture(**identical(X, 3, "full", 0), random_state=0)
    stays = GaussianMixture(**identical(X, 3, "full", 0), break_symmetry=False)
    late = GaussianMixture(**identical(X, 3, "full", 0), max_iter=2)
    collapse, swallowed = with_collapse((equal_rows, 3, 4, "full", float))
    hungry, rows = with_starved((out_of_reach, 3, 4, "spherical", float))
    groups = ((0, 1, 2),)
    return {
        "split": (coincide, X, groups, ["split", "cannot separate"]),
        "stays": (stays, X, groups, ["break_symmetry=True", "start from"]),
        "late": (late, X, groups, ["iterations", "another initialization"]),
        "collapsed": (collapse, swallowed, (3,), ["fewer components", "prior=", "duplicated"]),
        "starved": (hungry, rows, (3,), ["below one", "fewer components"]),
    }
