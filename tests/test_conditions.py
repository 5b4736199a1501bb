"""What a fit's own statistics say of it: planted failures are noticed, sound fits pass in silence."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import TYPES, clusters, fit, given_start, identity_precisions
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from emgmm import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    EMWarning,
    Ending,
    GaussianMixture,
    RegularizationWarning,
    StarvedComponentWarning,
    StoppedShortWarning,
)
from emgmm.acceleration import Step
from emgmm.covariances import FAMILIES
from emgmm.datasets import old_faithful, question
from emgmm.degeneracy import (
    aitken,
    coincident,
    collapsed,
    divergences,
    has_coincident,
    is_settled,
    starved,
    surely_wide,
)
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.loop import Run
from emgmm.fitting.messages import component_warnings
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


# -- planted: coincident ------------------------------------------------------------------------
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


@pytest.mark.parametrize("case", ALL_COINCIDE.values(), ids=ALL_COINCIDE)
@pytest.mark.parametrize("break_symmetry", [False, True])
def test_components_that_all_coincide_are_named(case, break_symmetry):
    begin, D, K, covariance_type, dtype = case
    X = rows_for(begin, D, K, dtype)
    model = GaussianMixture(**begin(X, K, covariance_type, 3), break_symmetry=break_symmetry)
    model.set_params(random_state=0)
    groups = named(said(model, X), CoincidentComponentsWarning)
    assert groups[0] == tuple(range(K))
    assert break_symmetry or groups == [tuple(range(K))]


@pytest.mark.parametrize("case", TWO_COINCIDE.values(), ids=TWO_COINCIDE)
@pytest.mark.parametrize("break_symmetry", [False, True])
def test_two_of_many_that_coincide_are_named(case, break_symmetry):
    begin, D, K, covariance_type, dtype = case
    X = rows_for(begin, D, K, dtype)
    model = GaussianMixture(**begin(X, K, covariance_type, 1), break_symmetry=break_symmetry)
    model.set_params(random_state=0)
    groups = named(said(model, X), CoincidentComponentsWarning)
    assert any({0, 1} <= set(group) for group in groups)


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


@pytest.fixture(scope="module")
def rows_of(real_data):
    centred = real_data["digits"] - real_data["digits"].mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    return {**real_data, "digits10": centred @ axes[:10].T}


@pytest.mark.parametrize("case", SADDLES.values(), ids=SADDLES)
def test_a_random_start_on_a_saddle_is_noticed_and_left(case, rows_of):
    name, K, covariance_type, seed = case
    X = rows_of[name]
    model = GaussianMixture(
        K, covariance_type=covariance_type, init_params="random", random_state=seed
    )
    assert named(said(model, X), CoincidentComponentsWarning)
    stays = model.set_params(break_symmetry=False)
    escaped = model.lower_bound_
    assert named(said(stays, X), CoincidentComponentsWarning) == [tuple(range(K))]
    assert escaped > stays.lower_bound_ + 0.1


def test_components_that_em_still_moves_apart_are_not_reported():
    """In diag a nudge grows: close, but on the way."""
    X = question().rows
    centre = X.mean(axis=0)
    model = GaussianMixture(
        2,
        covariance_type="diag",
        weights_init=[0.5, 0.5],
        means_init=[centre - 1e-2, centre + 1e-2],
        precisions_init=np.tile(1 / X.var(axis=0), (2, 1)),
        tol=0,
        max_iter=3,
    )
    quiet(model, X)
    assert has_coincident(mixture_of(model))
    model.set_params(max_iter=60)
    quiet(model, X)
    assert not has_coincident(mixture_of(model))


@types
@pytest.mark.parametrize("break_symmetry", [False, True])
def test_a_mere_start_is_not_judged(covariance_type, break_symmetry):
    X = clusters()
    start = identical(X, 3, covariance_type, 0)
    model = GaussianMixture(**start, max_iter=0, break_symmetry=break_symmetry)
    assert quiet(model, X).ending_ is Ending.START_ONLY


# -- planted: collapsed -------------------------------------------------------------------------
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


@pytest.mark.parametrize("case", COLLAPSED.values(), ids=COLLAPSED)
def test_a_collapsed_component_is_named(case):
    model, X = with_collapse(case)
    assert named(said(model, X), CollapsedComponentWarning) == [model.n_components - 1]


@pytest.mark.parametrize(
    ("D", "K", "dtype"),
    [
        (1, 3, float),
        (2, 2, np.float32),
        (3, 10, float),
        (5, 4, np.float32),
        (9, 10, float),
        (2, 8, float),
    ],
)
def test_a_shared_covariance_that_collapsed_is_everybodys(D, K, dtype):
    """Clusters that are points, fewer than would span the space or just enough."""
    points = 10 * np.random.default_rng(K).normal(size=(K, D))
    labels = np.repeat(np.arange(K), 20)
    model = GaussianMixture(K, covariance_type="tied", init_params=lambda rows, n, random: labels)
    messages = said(model, points[labels].astype(dtype))
    assert named(messages, CollapsedComponentWarning) == list(range(K))


def test_without_a_ridge_a_singular_covariance_is_an_error_that_names_the_component():
    model, X = with_collapse((equal_rows, 3, 4, "full", float))
    with pytest.raises(ValueError, match="component 3"):
        model.set_params(reg_covar=0).fit(X)


# -- planted: starved ---------------------------------------------------------------------------
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


@pytest.mark.parametrize("case", STARVED.values(), ids=STARVED)
def test_a_starved_component_is_named(case):
    model, X = with_starved(case)
    assert named(said(model, X), StarvedComponentWarning) == [model.n_components - 1]
    assert model.weights_[-1] * len(X) < 1


@pytest.mark.parametrize(("D", "K"), [(10, 10), (20, 3)])
def test_parameters_made_of_less_than_one_row_are_starved_though_the_mass_grows(D, K):
    model, X = with_starved((a_share_of_few_rows, D, K, "tied", np.float32))
    messages = said(model, X)
    assert model.weights_[-1] * len(X) < 1
    assert named(messages, StarvedComponentWarning) == [K - 1]


@types
def test_starved_is_a_mass_under_one_row(covariance_type):
    X, mixture = clusters(300, 2), some_mixture(covariance_type, 4, 2)
    statistics, _ = judged(mixture, X, 0.0)
    mass = np.array([0.999, 1.0, 1.001, 297.0])
    mixture = replace(mixture, weights=mass / 300)
    assert starved(mixture, replace(statistics, counts=mass), 300) == [0]
    heavier = replace(statistics, counts=7 * mass, weight=7 * 300.0)
    assert starved(mixture, heavier, 300) == [0]
    assert starved(mixture, replace(statistics, counts=mass[::-1]), 300) == [0, 3]


# -- planted: stopped short ---------------------------------------------------------------------
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


@pytest.mark.parametrize("case", SLOW.values(), ids=SLOW)
def test_what_is_left_to_gain_is_told(case):
    D, K, covariance_type, spread, seed, dtype = case
    X = clusters(600, D, K, seed=seed, spread=spread)
    start = given_start(X, K, covariance_type, seed=seed)
    tol = 1e-5 if dtype is float else 3e-5  # gains above the rounding of the rows' type
    short = fit(GaussianMixture(**start, tol=tol, max_iter=1000), X.astype(dtype))
    full = fit(GaussianMixture(**start, tol=1e-12, max_iter=1000), X)
    assert short.converged_
    assert 0 < short.remaining_gain_ < math.inf
    left = full.lower_bound_ - short.lower_bound_
    assert left / 2 <= short.remaining_gain_ <= 2 * left


def test_nothing_is_told_of_gains_that_are_rounding_in_single_precision():
    X = clusters(600, 5, 4, seed=4, spread=2.0)
    model = GaussianMixture(**given_start(X, 4, "diag", seed=4), tol=1e-6, max_iter=1000)
    assert math.isnan(fit(model, X.astype(np.float32)).remaining_gain_)
    assert fit(model, X).remaining_gain_ > 0


@given(
    limit=st.floats(-1e3, 1e3),
    first=st.floats(1e-3, 10),
    rate=st.floats(0.05, 0.95),
    length=st.integers(3, 12),
)
@settings(max_examples=100, deadline=None)
def test_aitken_is_exact_on_a_geometric_sequence(limit, first, rate, length):
    objectives = [limit - first * rate**t for t in range(length)]
    measured, left = aitken(objectives)
    # Rounding of the objectives, beside the last gain but one.
    lost = 1e-14 * (1 + abs(limit) + first) / (first * rate ** (length - 2) * (1 - rate))
    if lost < 1e-3:
        assert measured == pytest.approx(rate, rel=1e-10 + 10 * lost)
        assert left == pytest.approx(
            first * rate ** (length - 1), rel=1e-9 + 100 * lost / (1 - rate)
        )


@pytest.mark.parametrize(
    "objectives",
    [[], [-1.0], [-2.0, -1.0], [-3.0, -1.0, -1.0], [-1.0, -1.0, -1.0], [-5, -4, -4 + 1e-15]],
)
def test_nothing_is_told_of_too_few_or_of_rounding(objectives):
    assert all(map(math.isnan, aitken(objectives)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("sign", [-1, 1])
def test_rounding_is_measured_by_the_objectives_where_they_are_above_one(dtype, size, sign):
    """A mean of logarithms near zero is as inexact as one near one."""
    grain = {np.float64: 1e-12, np.float32: 1e-6}[dtype] * max(1.0, size)
    for before, after in ((1.6, 1.2), (1.2, 1.6)):
        objectives = [sign * size + grain * gain for gain in (-before - after, -after, 0.0)]
        assert aitken(objectives, dtype)[0] == pytest.approx(after / before, rel=0.15)
    for before, after in ((1.6, 0.8), (0.8, 1.6), (-0.8, 1.6)):
        objectives = [sign * size + grain * gain for gain in (-before - after, -after, 0.0)]
        assert all(map(math.isnan, aitken(objectives, dtype)))


@pytest.mark.parametrize(
    ("objectives", "allowed", "settled"),
    [
        ([-16.0, -8.0, -4.0, -2.0], 4.5, True),  # 2 are left by a rate of 1/2: 4 of weight 2
        ([-16.0, -8.0, -4.0, -2.0], 3.5, False),
        ([-8.0, -4.0, -2.0], 99.0, False),  # one rate alone
        ([-16.0, -8.0, -4.0, -0.9], 99.0, False),  # 1/2, and 0.775: less than half of it is left
        ([-16.0, -8.0, -4.0, -1.1], 99.0, True),
        ([-6.0, -5.0, -4.0, -3.5], 99.0, False),  # a rate of 1 before
        ([-6.0, -5.0, -5.0 + 1e-13, -5.0 + 2e-13], 1e-9, True),  # rounding
    ],
)
def test_settled_is_where_little_is_left_by_rates_that_agree(objectives, allowed, settled):
    assert is_settled(objectives, 2.0, allowed) == settled


@pytest.mark.parametrize("rate", [1.0, 1.5, 40.0])
def test_gains_that_grow_have_no_limit(rate):
    measured, left = aitken([-10.0, -9.75, -9.75 + 0.25 * rate])
    assert measured == pytest.approx(rate)
    assert left == math.inf


@pytest.mark.parametrize("max_iter", [0, 1])
def test_nothing_is_told_after_fewer_than_two_iterations(max_iter, iris):
    model = fit(GaussianMixture(3, random_state=0, max_iter=max_iter), iris)
    assert math.isnan(model.remaining_gain_)


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_leaving_a_saddle_there_is_no_telling(covariance_type):
    X = question().rows
    model = GaussianMixture(
        2,
        covariance_type=covariance_type,
        weights_init=[0.5, 0.5],
        means_init=np.add(X.mean(axis=0), [[-0.05, -0.05], [0.05, 0.05]]),
        precisions_init=identity_precisions(covariance_type, 2, 2, scale=X.var(axis=0).mean()),
        tol=0,
        max_iter=5,
    )
    assert quiet(model, X).remaining_gain_ == math.inf


@pytest.mark.parametrize(("tol", "short"), [(1e-2, True), (1e-3, False)])
def test_fit_says_that_it_stopped_short_by_half_a_nat_per_parameter(tol, short):
    X = clusters(4000, 2, 3, spread=0.5, seed=2)
    model = GaussianMixture(**given_start(X, 3, "full", seed=2), tol=tol, max_iter=1000)
    messages = said(model, X)
    end = GaussianMixture(  # plain EM from where it stopped, to its end
        3,
        weights_init=model.weights_,
        means_init=model.means_,
        precisions_init=model.precisions_,
        tol=1e-12,
        max_iter=20_000,
    )
    left = len(X) * (fit(end, X).lower_bound_ - model.lower_bound_)
    assert (left > 0.5 * model.n_parameters()) == short
    assert len(messages) == short
    for message in messages:
        assert isinstance(message, StoppedShortWarning)
        assert message.components == ()
        assert message.remaining_gain == len(X) * model.remaining_gain_


def test_a_fit_that_max_iter_ended_says_that_alone():
    X = clusters(4000, 2, 3, spread=2.0, seed=2)
    model = GaussianMixture(**given_start(X, 3, "full", seed=2), tol=0, max_iter=5)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X)
    assert [w.category for w in caught] == [ConvergenceWarning]


# -- divergences --------------------------------------------------------------------------------
def kullback_leibler(mean, covariance, other_mean, other_covariance):
    inverse, step = np.linalg.inv(other_covariance), other_mean - mean
    log_dets = np.linalg.slogdet(other_covariance)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (np.trace(inverse @ covariance) + step @ inverse @ step - len(mean) + log_dets)


@types
@pytest.mark.parametrize(("K", "D"), [(2, 1), (4, 3), (10, 2), (3, 20)])
def test_divergences_are_those_of_gaussians_in_both_directions(covariance_type, K, D):
    mixture = some_mixture(covariance_type, K, D, seed=K)
    gaussians = list(zip(mixture.means, mixture.dense_covariances(), strict=True))
    expected = np.array(
        [
            [kullback_leibler(*a, *b) + kullback_leibler(*b, *a) for a in gaussians]
            for b in gaussians
        ]
    )
    np.testing.assert_allclose(divergences(mixture), expected, rtol=1e-9, atol=1e-9)


@types
def test_divergences_are_symmetric_positive_and_zero_to_oneself(covariance_type):
    measured = divergences(some_mixture(covariance_type, 6, 4))
    np.testing.assert_array_equal(measured, measured.T)
    np.testing.assert_allclose(np.diag(measured), 0, atol=1e-12)
    assert (measured[~np.eye(6, dtype=bool)] > 0).all()


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


@types
@given(seed=st.integers(0, 2**16), scale=st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6]))
@settings(max_examples=25, deadline=None)
def test_divergences_do_not_change_under_affine_maps(covariance_type, seed, scale):
    mixture = some_mixture(covariance_type, 4, 3, seed=seed)
    expected = divergences(mixture)
    found = divergences(moved(mixture, seed, scale))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * expected.max())


@types
def test_divergences_do_not_depend_on_weights_and_survive_float32(covariance_type):
    mixture = some_mixture(covariance_type, 4, 3)
    other = replace(mixture, weights=np.array([0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_array_equal(divergences(other), divergences(mixture))
    single = Mixture.of(
        mixture.weights,
        mixture.means.astype(np.float32),
        mixture.covariances.astype(np.float32),
        mixture.family,
    )
    np.testing.assert_allclose(divergences(single), divergences(mixture), rtol=1e-4, atol=1e-4)


# -- sound fits ---------------------------------------------------------------------------------
SOUND = {
    f"{name} {K}": (name, K)
    for name, numbers in {
        "iris": (2, 3),
        "faithful": (2, 3),
        "wine": (2, 3),
        "digits10": (10,),
    }.items()
    for K in numbers
}


@types
@pytest.mark.parametrize("case", SOUND.values(), ids=SOUND)
def test_nothing_is_said_of_real_data(case, covariance_type, rows_of):
    name, K = case
    model = GaussianMixture(K, covariance_type=covariance_type, random_state=0)
    quiet(model, rows_of[name])


@types
def test_nothing_is_said_of_real_data_in_float32(covariance_type, rows_of):
    for name, K in (("iris", 3), ("faithful", 2), ("digits10", 10)):
        model = GaussianMixture(K, covariance_type=covariance_type, random_state=0)
        quiet(model, rows_of[name].astype(np.float32))


def well_posed(seed):
    """Clusters 6 standard deviations apart along the first axis, of unequal sizes and shapes."""
    random = np.random.default_rng(seed)
    K, D = 2 + seed % 7, 1 + seed % 10
    labels = random.choice(K, p=random.dirichlet(np.full(K, 10.0)), size=150 * K)
    factors = random.normal(size=(K, D, D)) / (2 * np.sqrt(D)) + np.eye(D)
    X = np.einsum("nij,nj->ni", factors[labels], random.normal(size=(len(labels), D)))
    X[:, 0] += 6 * labels
    return X, K


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_said_of_well_posed_sets(seed):
    X, K = well_posed(seed)
    model = GaussianMixture(K, covariance_type=TYPES[seed // 2 % 4], random_state=0)
    quiet(model, X)


@types
@pytest.mark.parametrize("distance", [2.0, 3.0])
def test_nothing_is_said_of_clusters_that_overlap(covariance_type, distance):
    random = np.random.default_rng(0)
    X = random.normal(size=(3000, 2))
    X[:1500, 0] += distance
    quiet(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X)


@types
def test_nothing_is_said_of_a_narrow_cluster_that_holds_many_rows(covariance_type):
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 3))
    X[:200] = 8 + X[:200] / 200
    quiet(GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0), X)
    quiet(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X)


@types
def test_nothing_is_said_of_features_in_different_units(covariance_type, iris):
    X = iris * [1e-3, 1.0, 1e3, 1e5]
    quiet(GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0), X)


@types
def test_a_ridge_that_dominates_the_data_is_no_collapse(covariance_type, iris):
    """A column whose variance is far below the ridge: no component is narrower than the data."""
    for deviation in (1e-4, 1e-6):
        column = deviation * np.random.default_rng(0).normal(size=len(iris))
        X = np.column_stack([iris, column])
        model = GaussianMixture(2, covariance_type=covariance_type, random_state=0)
        (message,) = said(model, X)
        assert isinstance(message, RegularizationWarning)
        assert message.features == (4,)


@types
@pytest.mark.parametrize("holed", [False, True])
def test_a_large_ridge_is_said_of_the_features_whose_variance_it_dominates(
    covariance_type, holed, rows_of
):
    X = rows_of["breast_cancer"].copy()
    X[:, 3] = 0.1  # constant: no variance that a ridge could be large beside
    if holed:
        X[np.random.default_rng(0).random(X.shape) < 0.02] = np.nan
    variances = np.nanvar(X, axis=0)
    expected = [j for j in range(30) if j != 3 and 1e-2 * variances[j] < 1e-6]
    assert 3 < len(expected) < 27
    model = GaussianMixture(1, covariance_type=covariance_type, random_state=0)
    (message,) = [m for m in said(model, X) if isinstance(m, RegularizationWarning)]
    assert message.features == tuple(expected)
    np.testing.assert_allclose(message.shares, 1e-6 / variances[expected], rtol=1e-8)
    assert message.components == ()
    X[:, 3] += np.random.default_rng(1).normal(size=len(X))
    with_prior = said(model.set_params(prior="conjugate"), X)
    assert not [m for m in with_prior if isinstance(m, RegularizationWarning)]


@types
def test_a_constant_column_is_no_collapse(covariance_type, iris):
    X = np.column_stack([iris, np.ones(len(iris))])
    quiet(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X)


@types
def test_a_single_component_is_never_coincident(covariance_type):
    quiet(GaussianMixture(1, covariance_type=covariance_type), clusters())


# -- laws ---------------------------------------------------------------------------------------
@types
@given(order=st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_groups_do_not_depend_on_the_order_of_components(covariance_type, order):
    """Two groups, of three and of two, and one apart; the groups' members only nearly equal."""
    mixture = some_mixture(covariance_type, 6, 3)
    like = np.array([0, 0, 2, 0, 2, 5])
    planted = permuted(mixture, like)
    means = 20 * planted.means + 1e-3 * np.arange(6)[:, None]
    planted = replace(planted, means=means)
    assert coincident(planted) == [(0, 1, 3), (2, 4)]
    order = list(order)
    groups = coincident(permuted(planted, order))
    assert sorted(tuple(sorted(order[k] for k in g)) for g in groups) == [(0, 1, 3), (2, 4)]
    assert all(group == tuple(sorted(group)) for group in groups)


def judgement(mixture, statistics, total, n_rows):
    found = collapsed(mixture, statistics, total, 1e-6, n_rows)
    return found, starved(mixture, statistics, n_rows)


@types
@pytest.mark.parametrize("seed", range(3))
def test_collapsed_and_starved_do_not_depend_on_the_order_of_components(covariance_type, seed):
    order = np.random.default_rng(seed).permutation(4)
    model, X = with_collapse((equal_rows, 3, 4, covariance_type, float))
    mixture = mixture_of(fit(model, X))
    far = mixture.means.copy()
    far[0] += 1e4
    mixture = replace(mixture, means=far)
    statistics, total = judged(mixture, X, 1e-6)
    found = judgement(mixture, statistics, total, len(X))
    assert found[1] == [0]
    other = permuted(mixture, order)
    statistics, total = judged(other, X, 1e-6)
    now = judgement(other, statistics, total, len(X))
    assert [sorted(order[found]) for found in now] == [sorted(f) for f in found]


@scales
@pytest.mark.parametrize(
    "begin", [identical, too_wide, equal_responsibilities, first_two_identical]
)
@types
def test_coincident_does_not_depend_on_units(scale, begin, covariance_type):
    groups = []
    for factor in (1.0, scale):
        X = factor * clusters(200, 3, 4, seed=1)
        arguments = begin(X, 4, covariance_type, 1)
        ridge = 1e-6 * factor**2
        model = GaussianMixture(**arguments, reg_covar=ridge, break_symmetry=False)
        groups.append(named(said(model, X), CoincidentComponentsWarning))
    assert groups[0] == groups[1] != []


@scales
@pytest.mark.parametrize("case", list(COLLAPSED.values())[::3], ids=list(COLLAPSED)[::3])
def test_collapsed_does_not_depend_on_units(scale, case):
    model, X = with_collapse(case, scale)
    assert named(said(model, X), CollapsedComponentWarning) == [model.n_components - 1]


@scales
@pytest.mark.parametrize("case", list(STARVED.values())[::2], ids=list(STARVED)[::2])
def test_starved_does_not_depend_on_units(scale, case):
    model, X = with_starved(case, scale)
    assert named(said(model, X), StarvedComponentWarning) == [model.n_components - 1]


@scales
@types
def test_what_is_left_to_gain_does_not_depend_on_units(scale, covariance_type):
    left = []
    for factor in (1.0, scale):
        X = factor * clusters(200, 2, 3, seed=2, spread=2.0)
        start = given_start(X, 3, covariance_type, seed=2)
        ridge = 1e-6 * factor**2
        left.append(fit(GaussianMixture(**start, tol=1e-4, reg_covar=ridge), X).remaining_gain_)
    assert left[0] == pytest.approx(left[1], rel=1e-6)


@scales
def test_sound_fits_stay_sound_in_other_units(scale, rows_of):
    for name, K in (("iris", 3), ("wine", 3), ("breast_cancer", 2)):
        run = {"tol": 1e-6, "max_iter": 1000, "acceleration": "anderson"}
        model = GaussianMixture(K, random_state=0, reg_covar=1e-9 * scale**2, **run)
        quiet(model, scale * rows_of[name])


# -- words --------------------------------------------------------------------------------------
def a_run(covariance_type="full", K=3, **changes):
    """A run that ended at rest at K equal components."""
    X = clusters(100, 2)
    one = some_mixture(covariance_type, 1, 2)
    mixture = Mixture(
        np.full(K, 1 / K),
        np.repeat(one.means, K, axis=0),
        *(
            one.family.unstack(a) if one.family.shared else np.repeat(a, K, axis=0)
            for a in (one.family.stack(one.covariances), one.family.stack(one.precisions_cholesky))
        ),
        one.family,
    )
    statistics, _ = judged(mixture, X, 0.0)
    step = Step(mixture, statistics, statistics.objective, 3)
    fields = {"converged": True, "ending": Ending.CONVERGED}
    run = Run(step, [-5.0, -4.0, -4.0], [1, 2, 3], ["start", "step", "step"], **fields)
    return replace(run, **changes), len(X)


@types
def test_words_follow_from_a_run_alone(covariance_type):
    run, n_rows = a_run(covariance_type)
    (message,) = component_warnings(run, n_rows, 0.0, break_symmetry=False)
    assert isinstance(message, CoincidentComponentsWarning)
    assert message.components == ((0, 1, 2),)


@pytest.mark.parametrize(
    ("objectives", "converged", "expected"),
    [
        ([-5.0, -4.0, -4.0], False, 1),  # at rest by rounding
        ([-5.0, -4.5, -4.4999], True, 1),  # stopped by tol
        ([-5.0, -4.5, -4.4999], False, 0),  # stopped by max_iter, on the way
        ([-5.0], False, 0),
    ],
)
def test_only_a_fit_at_rest_is_said_to_have_coincident_components(objectives, converged, expected):
    run, n_rows = a_run(objectives=objectives, converged=converged)
    assert len(component_warnings(run, n_rows, 0.0, break_symmetry=False)) == expected


def test_nothing_is_said_of_a_run_that_is_a_start():
    run, n_rows = a_run(ending=Ending.START_ONLY)
    assert component_warnings(run, n_rows, 0.0, break_symmetry=False) == []


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


@pytest.mark.parametrize("name", ["split", "stays", "late", "collapsed", "starved"])
def test_messages_read_as_sentences_say_what_to_do_and_name_components(name):
    model, X, components, words = messages()[name]
    (message,) = said(model, X)
    assert message.components == components
    text = str(message)
    for word in words:
        assert word.lower() in text.lower()
    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text
    assert all(sentence[0].isupper() for sentence in re.split(r"\. ", text))
    assert not re.search(r"\b(nan|None|\[|\()\b", text)
    assert not re.search(r"\d", text)  # figures, which change from fit to fit, are attributes


def test_figures_of_a_message_are_those_of_the_fit():
    found = {name: (model, *said(model, X)) for name, (model, X, *_) in messages().items()}
    model, message = found["split"]
    assert message.after == model.lower_bound_ > message.before + 0.01
    escape = list(model.history_["event"]).index("escape")
    assert message.before == model.history_["objective"][escape - 1]
    model, message = found["stays"]
    assert message.before == message.after == model.lower_bound_
    model, message = found["collapsed"]
    smallest = np.sqrt(np.linalg.eigvalsh(model.covariances_[3])[0])
    assert message.standard_deviations == (pytest.approx(smallest, rel=1e-6),)
    assert message.masses == (pytest.approx(30, rel=1e-6),)
    assert found["starved"][1].masses[0] < 1


def test_a_warning_is_shown_once_for_many_fits():
    """Python's default filter knows a warning by its text, its class and its line."""
    X = clusters(400, 3, 4, seed=1)
    fits = [GaussianMixture(**identical(X, K, "full", 0), break_symmetry=False) for K in (2, 3, 4)]
    fits += [GaussianMixture(**out_of_reach(X, K, "full")) for K in (3, 4)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for model in fits:
            model.fit(X)
    kinds = [w.category for w in caught]
    assert len(kinds) == len(set(kinds)) == 2


def test_warnings_are_user_warnings_of_one_kind():
    for kind in (
        CoincidentComponentsWarning,
        CollapsedComponentWarning,
        RegularizationWarning,
        StarvedComponentWarning,
        StoppedShortWarning,
    ):
        assert issubclass(kind, EMWarning)
        assert issubclass(kind, UserWarning)
        assert kind("words", (1,)).components == (1,)
        assert kind("words").components == ()


def test_a_warning_points_at_the_callers_line():
    X = clusters()
    with pytest.warns(CoincidentComponentsWarning) as caught:
        GaussianMixture(**identical(X, 2, "full", 0)).fit(X)
    assert caught[0].filename == __file__


@types
def test_one_far_row_does_not_make_the_others_narrow(covariance_type):
    """It stretches the data's own covariance; only the component that holds it is at fault."""
    X = np.concatenate([old_faithful().rows, [[1e6, 1e6]]])
    labels = np.r_[np.zeros(len(X) - 1, dtype=int), 1]
    model = GaussianMixture(2, covariance_type=covariance_type, init_params=lambda *_: labels)
    found = fit(model, X).diagnose(X).collapsed
    assert 0 not in found


@types
@pytest.mark.parametrize("dtype", [float, np.float32])
@pytest.mark.parametrize("ridge", [1e-6, 1e-2])
def test_fewer_rows_than_features_are_judged_too(covariance_type, dtype, ridge):
    """The covariances, less the ridge, are singular: a rounding error makes them indefinite."""
    for seed in range(10):
        X = 10 * np.random.default_rng(seed).normal(size=(12, 20)).astype(dtype)
        arguments = {"covariance_type": covariance_type, "reg_covar": ridge, "random_state": 0}
        model = fit(GaussianMixture(2, **arguments), X)
        if covariance_type == "full":
            assert model.diagnose(X).collapsed == [0, 1]


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_component_beside_which_the_total_is_beyond_all_range_is_not_surely_wide(covariance_type):
    family = FAMILIES[covariance_type]
    covariances = family.structure.outer(np.array([[1e-140], [1.0]]))
    mixture = Mixture.of(np.array([0.5, 0.5]), np.zeros((2, 1)), covariances, family)
    total = family.structure.outer(np.array([[1e30]]))[0]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert not surely_wide(mixture, total, 0.0)
