"""Coincident, collapsed and starved components, and gains that are left, in planted cases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import clusters, fit, given_start, identity_precisions
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import (
    ALL_COINCIDE,
    COLLAPSED,
    SADDLES,
    SLOW,
    STARVED,
    TWO_COINCIDE,
    a_share_of_few_rows,
    equal_rows,
    identical,
    judged,
    kullback_leibler,
    mixture_of,
    moved,
    named,
    quiet,
    rows_for,
    said,
    some_mixture,
    types,
    with_collapse,
    with_starved,
)
from sklearn.exceptions import ConvergenceWarning

from emgmm import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    Ending,
    GaussianMixture,
    StarvedComponentWarning,
    StoppedShortWarning,
)
from emgmm.covariances import FAMILIES
from emgmm.datasets import question
from emgmm.degeneracy import (
    aitken,
    are_narrow,
    coincident,
    divergences,
    is_settled,
    starved,
)
from emgmm.mixture import Mixture


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
    assert coincident(mixture_of(model))
    model.set_params(max_iter=60)
    quiet(model, X)
    assert not coincident(mixture_of(model))


@types
@pytest.mark.parametrize("break_symmetry", [False, True])
def test_a_mere_start_is_not_judged(covariance_type, break_symmetry):
    X = clusters()
    start = identical(X, 3, covariance_type, 0)
    model = GaussianMixture(**start, max_iter=0, break_symmetry=break_symmetry)
    assert quiet(model, X).ending_ is Ending.START_ONLY


@pytest.mark.parametrize("case", COLLAPSED.values(), ids=COLLAPSED)
def test_a_collapsed_component_is_named(case):
    model, X = with_collapse(case)
    assert named(said(model, X), CollapsedComponentWarning) == [model.n_components - 1]


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_constant_feature_that_is_mostly_missing_is_collapsed(covariance_type):
    rows = np.random.default_rng(0).normal(size=(200, 2))
    rows[100:] += [20.0, 0.0]
    rows[100:, 1] = np.where(np.arange(100) < 30, 3.0, np.nan)
    model = GaussianMixture(2, covariance_type=covariance_type, tol=1e-9, random_state=0)
    (component,) = named(said(model, rows), CollapsedComponentWarning)
    assert model.means_[component] == pytest.approx([20, 3], abs=0.5)


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


@types
def test_variances_beyond_all_proportion_to_the_total_are_not_narrow(covariance_type):
    family = FAMILIES[covariance_type]
    shape = family.element_shape(2, 1)
    mixture = Mixture.of(np.ones(2) / 2, np.zeros((2, 1)), np.full(shape, 1e200), family)
    total = family.stack(np.full(shape, 1e-130))[0]
    with np.errstate(all="raise", under="ignore"):
        found = are_narrow(mixture, total, 0.0, np.zeros_like(mixture.covariances))
    assert not found.any()


@pytest.mark.parametrize("covariance_type", ["EEV", "VEV"])
@pytest.mark.parametrize("n_few", [4, 5])
def test_a_component_with_own_axes_needs_more_rows_than_features(covariance_type, n_few):
    random = np.random.default_rng(0)
    rows = np.vstack([random.normal(size=(60, 4)), 30 + random.normal(size=(n_few, 4))])
    labels = np.repeat([0, 1], [60, n_few])
    model = GaussianMixture(2, covariance_type=covariance_type, init_params=labels, reg_covar=1e-2)
    collapsed = named(said(model, rows), CollapsedComponentWarning)
    assert collapsed == ([1] if n_few <= 4 else [])
