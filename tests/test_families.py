"""Covariance families: their formulas and numerics; `emgmm.testing` has the laws of all of them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pytest
from conftest import clusters, dense, fit
from long_form import (
    LETTERS,
    D,
    K,
    LongForm,
    families,
    scatters_in_long_form,
    some_mixture,
    some_responsibilities,
    statistics_in_long_form,
)
from scipy.optimize import minimize, minimize_scalar
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from emgmm import GaussianMixture, NormalInverseWishart
from emgmm.covariances import DENSE, DIAGONAL, FAMILIES, ISOTROPIC, Patterns, Structure
from emgmm.covariances.rotations import (
    Planes,
    all_planes,
    disjoint_planes,
    disjoint_rotations,
    joint_rotations,
)
from emgmm.covariances.volumes import best_volumes
from emgmm.estep import CentredEStep, ExpandedEStep
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mstep import MStep


def criterion(covariances, scatters, masses):
    """F = sum_k tr(W_k Sigma_k^-1) + N_k log |Sigma_k|: minus twice the log-likelihood."""
    traces = np.trace(np.linalg.solve(covariances, scatters), axis1=1, axis2=2)
    return np.sum(traces + masses * np.linalg.slogdet(covariances)[1])


def alike(covariances):
    return np.tile(covariances, (K, 1, 1))


def of_diagonals(scatters):
    return np.stack([np.diag(np.diag(scatter)) for scatter in scatters])


def scaled(scatters, masses):
    """lambda W_k / |W_k|^(1/D)."""
    volumes = np.linalg.det(scatters) ** (1 / D)
    return (scatters.T / volumes).T * volumes.sum() / masses.sum()


# Families whose M-step Celeux and Govaert give as a formula.
CLOSED = {
    "EII": lambda W, n: alike(np.trace(W.sum(axis=0)) / (D * n.sum()) * np.eye(D)),
    "VII": lambda W, n: np.stack(
        [np.trace(w) / (D * m) * np.eye(D) for w, m in zip(W, n, strict=True)]
    ),
    "EEI": lambda W, n: alike(of_diagonals(W).sum(axis=0) / n.sum()),
    "VVI": lambda W, n: of_diagonals(W) / n[:, None, None],
    "EVI": lambda W, n: scaled(of_diagonals(W), n),
    "EEE": lambda W, n: alike(W.sum(axis=0) / n.sum()),
    "VVV": lambda W, n: W / n[:, None, None],
    "EVV": scaled,
}
closed = pytest.mark.parametrize(
    "family", [f for f in FAMILIES.values() if LETTERS.get(f.name, f.name) in CLOSED], ids=str
)


def with_equal_rows(family, components):
    """Statistics of labelled rows, of which some components hold but one row, many times."""
    X, labels = clusters(300, D), np.repeat(np.arange(K), 100)
    for k in components:
        X[labels == k] = X[labels == k][0]
    centres = np.stack([X[labels == k].mean(axis=0) for k in range(K)])
    for k in components:
        centres[k] = X[labels == k][0]
    return statistics_in_long_form(X, np.eye(K)[labels], family, centres)


@closed
def test_m_step_is_equations_2_to_4_in_long_form(family):
    X = clusters(120, D)
    responsibilities = some_responsibilities(len(X), K)
    masses = responsibilities.sum(axis=0)
    means = responsibilities.T @ X / masses[:, None]
    statistics = statistics_in_long_form(X, responsibilities, family)
    mixture = MStep(family, 0.0, np.dtype(float)).maximise(statistics)
    np.testing.assert_allclose(mixture.weights, masses / len(X), rtol=1e-13)
    np.testing.assert_allclose(mixture.means, means, rtol=1e-12)
    scatters = scatters_in_long_form(X, responsibilities, means)
    expected = CLOSED[LETTERS.get(family.name, family.name)](scatters, masses)
    np.testing.assert_allclose(mixture.dense_covariances(), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["VEI", "VEE", "EVE", "VVE", "EEV", "VEV"])
def test_m_step_is_the_best_that_numerical_minimisation_finds(name):
    """From a few places, over the family in long form."""
    X, family = clusters(90, 3, seed=3), FAMILIES[name]
    responsibilities = some_responsibilities(len(X), K, seed=1) ** 2  # far from equal
    responsibilities /= responsibilities.sum(axis=1, keepdims=True)
    masses = responsibilities.sum(axis=0)
    statistics = statistics_in_long_form(X, responsibilities, family)
    mixture = MStep(family, 0.0, np.dtype(float)).maximise(statistics)
    scatters = scatters_in_long_form(X, responsibilities, mixture.means)
    form, random = LongForm(name, K), np.random.default_rng(0)
    ours = criterion(mixture.dense_covariances(), scatters, masses)
    results = [
        minimize(form.criterion, random.normal(size=form.n_numbers), (scatters, masses), tol=1e-10)
        for _ in range(4)
    ]
    found = min(results, key=lambda result: result.fun)
    assert ours == pytest.approx(found.fun, abs=1e-6)
    np.testing.assert_allclose(
        mixture.dense_covariances(), form.covariances(found.x), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", ["EVE", "VVE"])
def test_axes_in_common_are_stationary(name):
    """D^T M is symmetric for M = sum_k W_k D B_k^-1: no rotation changes the likelihood."""
    X = clusters(200, D, seed=5)
    family = FAMILIES[name]
    responsibilities = some_responsibilities(len(X), K, seed=2) ** 3
    responsibilities /= responsibilities.sum(axis=1, keepdims=True)
    statistics = statistics_in_long_form(X, responsibilities, family)
    mixture = MStep(family, 0.0, np.dtype(float)).maximise(statistics)
    covariances = mixture.dense_covariances()
    axes = np.linalg.eigh(covariances[0])[1]
    turned = axes.T @ covariances @ axes
    variances = np.diagonal(turned, axis1=1, axis2=2)
    np.testing.assert_allclose(turned, variances[:, None, :] * np.eye(D), atol=1e-9)
    scatters = scatters_in_long_form(X, responsibilities, mixture.means)
    M = axes.T @ sum(W @ axes / b for W, b in zip(scatters, variances, strict=True))
    np.testing.assert_allclose(M, M.T, atol=1e-5 * np.abs(M).max())
    assert np.abs(scatters[0] @ axes - axes * np.diag(axes.T @ scatters[0] @ axes)).max() > 1


@pytest.mark.parametrize("name", ["EVE", "VVE"])
def test_no_sweep_from_any_axes_lowers_the_likelihood(name, monkeypatch):
    """Rotations in all planes at once lower it for one in a hundred of these scatters."""
    monkeypatch.setattr("emgmm.covariances.eigenvectors.SWEEPS", 1)
    K, D = 2, 8
    for seed in range(400):
        random = np.random.default_rng(seed)
        rows = random.normal(size=(K, D + 4, D)) * np.exp(3 * random.normal(size=(K, 1, D)))
        scatters, masses = np.swapaxes(rows, 1, 2) @ rows, random.uniform(1, 9, size=K)
        axes = np.linalg.qr(random.normal(size=(D, D)))[0]
        variances = np.diagonal(axes.T @ scatters @ axes, axis1=1, axis2=2)
        variances = FAMILIES[name[:2] + "I"].estimate(variances, masses, D)
        before = (axes * variances[:, None, :]) @ axes.T
        after = FAMILIES[name].estimate(scatters, masses, D, before)
        best = criterion(before, scatters, masses)
        assert criterion(after, scatters, masses) <= best + 1e-9 * np.abs(best)


@pytest.mark.parametrize("name", ["EEV", "VEV", "EVE", "VVE"])
@pytest.mark.parametrize("share", [-2e-6, -0.5e-6])
def test_scatters_that_are_indefinite_beyond_rounding_are_refused(name, share):
    """Rounding is measured by the largest eigenvalues of all scatters together."""
    turns = Rotation.random(2, random_state=0).as_matrix()
    scatters = turns @ (np.array([[5.0, 2, 1], [50, 20, 10]])[:, :, None] * np.eye(3))
    scatters = scatters @ np.swapaxes(turns, 1, 2)
    family, masses = FAMILIES[name], np.array([10.0, 20])
    assert (np.linalg.eigvalsh(family.estimate(scatters, masses, 3)) > 0).all()
    axis = turns[0, :, 2]
    scatters[0] += (share * 55 - 1) * np.outer(axis, axis)
    if share < -1e-6:
        with pytest.raises(DegenerateCovarianceError) as caught:
            family.estimate(scatters, masses, 3)
        assert caught.value.components == (() if family.pooled else (0,))
    elif name == "EEV":  # pooled: the others give the axis a variance
        assert (np.linalg.eigvalsh(family.estimate(scatters, masses, 3)) > 0).all()


@families
@pytest.mark.parametrize("scale", [1e-24, 1e24])
@pytest.mark.parametrize("goes_on", [False, True])
def test_covariances_of_rows_in_other_units_are_in_those_units(family, scale, goes_on):
    X = clusters(150, D, seed=4)
    responsibilities = some_responsibilities(len(X), K, seed=4)
    masses = responsibilities.sum(axis=0)
    means = responsibilities.T @ X / masses[:, None]
    scatter = statistics_in_long_form(X, responsibilities, family, means).scatter
    before = family.stack(some_mixture(family, 5)[1].covariances) if goes_on else None
    expected = family.estimate(scatter, masses, D, before)
    there = None if before is None else scale * before
    found = family.estimate(scale * scatter, masses, D, there)
    np.testing.assert_allclose(found / scale, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n_features", range(2, 10))
def test_rounds_of_disjoint_planes_hold_every_plane_once(n_features):
    rounds = disjoint_planes(n_features)
    pairs = [zip(each.first, each.second, strict=True) for each in rounds]
    planes = [tuple(sorted(pair)) for pair in chain.from_iterable(pairs)]
    assert sorted(planes) == list(combinations(range(n_features), 2))
    for each in rounds:
        assert len({*each.first, *each.second}) == 2 * len(each.first)


@pytest.mark.parametrize("n_features", [2, 3, 6])
def test_joint_rotations_are_rotations_in_all_planes_to_first_order(n_features):
    planes, random = all_planes(n_features), np.random.default_rng(n_features)
    angles = random.uniform(-np.pi / 2, np.pi / 2, size=(4, len(planes.first)))
    rotations = joint_rotations(angles, planes, n_features)
    identity = np.broadcast_to(np.eye(n_features), rotations.shape)
    np.testing.assert_allclose(rotations @ np.swapaxes(rotations, 1, 2), identity, atol=1e-13)
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-13)
    of_small = joint_rotations(1e-6 * angles, planes, n_features) - identity
    in_turn = sum(
        disjoint_rotations(1e-6 * angles[:, [p]], Planes.of(pair[None], n_features), n_features)
        - identity
        for p, pair in enumerate(np.column_stack((planes.first, planes.second)))
    )
    np.testing.assert_allclose(of_small, in_turn, atol=1e-10)
    alone = angles * (np.arange(len(planes.first)) == 0)
    first = Planes.of(np.column_stack((planes.first, planes.second))[:1], n_features)
    expected = disjoint_rotations(angles[:, :1], first, n_features)
    np.testing.assert_allclose(joint_rotations(alone, planes, n_features), expected, atol=1e-13)


@pytest.mark.parametrize("spread", [0.5, 5.0, 40.0])
@pytest.mark.parametrize("structure", [DIAGONAL, DENSE])
def test_volumes_solve_their_equations_from_any_start(structure, spread):
    """lambda_k = tr(W_k C^-1) / (D N_k) and C = sum_k W_k / (N lambda_k), in dense matrices."""
    random = np.random.default_rng(int(spread))
    K, D, counts = 4, 3, np.array([2.0, 30.0, 500.0, 7.0])
    rows = random.normal(size=(K, 8, D)) * np.exp(spread * random.normal(size=(K, 1, 1)))
    dense = np.swapaxes(rows, 1, 2) @ rows
    if structure == DIAGONAL:
        dense *= np.eye(D)
    scatter = dense if structure == DENSE else np.diagonal(dense, axis1=1, axis2=2)
    found = []
    for start in (np.ones(K), np.exp(3 * random.normal(size=K)), np.trace(dense, axis1=1, axis2=2)):
        volumes, common = best_volumes(structure, scatter, counts, D, start)
        common = structure.dense(common, D)
        expected = np.trace(dense @ np.linalg.inv(common), axis1=1, axis2=2) / (D * counts)
        np.testing.assert_allclose(volumes, expected, rtol=1e-9)
        mean = (dense / volumes[:, None, None]).sum(axis=0) / counts.sum()
        np.testing.assert_allclose(common, mean, rtol=1e-9, atol=1e-12 * np.abs(mean).max())
        found.append(volumes / volumes[0])
    np.testing.assert_allclose(found[1:], found[:1] * 2, rtol=1e-8)


def test_volumes_of_a_likelihood_without_a_maximum():
    """A component without variance in a direction has it only by that of others."""
    scatter = np.array([[0.0, 4e22], [1e-6, 1e-6], [4e-29, 4e-29]])
    counts, start = np.array([120.0, 1.0, 4e-23]), np.array([5.0, 2.7e-6, 2.7e-6])
    with pytest.raises(DegenerateCovarianceError), np.errstate(divide="raise"):
        best_volumes(DIAGONAL, scatter, counts, 2, start)


def loss(log_ratio, scatter, counts):
    """-2 log-likelihood at the best C, up to a constant, by the ratio of two volumes."""
    volumes = np.exp([0.0, log_ratio])
    common = (scatter / volumes[:, None]).sum(axis=0)
    n_features = scatter.shape[1]
    return n_features * counts @ np.log(volumes) + counts.sum() * np.log(common).sum()


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_volumes_of_a_bounded_likelihood_without_a_maximum(unit):
    """Half of the rows have one variance of two: it grows with the ratio of the volumes."""
    scatter, start = np.array([[0.0, 40.0], [30.0, 50.0]]) * [1.0, unit**2], np.ones(2)
    equal, fewer = np.array([40.0, 40.0]), np.array([36.0, 44.0])
    losses = [loss(ratio, scatter, equal) for ratio in np.linspace(0.0, 30.0, 31)]
    assert (np.diff(losses) < 0).all()
    with pytest.raises(DegenerateCovarianceError):
        best_volumes(DIAGONAL, scatter, equal, 2, start)
    best = minimize_scalar(loss, (0.0, 1.0), args=(scatter, fewer), options={"xtol": 1e-12})
    volumes, _ = best_volumes(DIAGONAL, scatter, fewer, 2, start)
    assert np.log(volumes[1] / volumes[0]) == pytest.approx(best.x, rel=1e-6)
    narrow = scatter + np.array([[1e-7, 0.0], [0.0, 0.0]])  # more than 300 steps, but a maximum
    assert np.isfinite(best_volumes(DIAGONAL, narrow, equal, 2, start)[0]).all()


@pytest.mark.parametrize("name", ["VEI", "VEE", "VEV"])
@pytest.mark.parametrize("n_constant", [40, 60])
def test_a_constant_feature_of_half_of_the_rows_is_singular_in_every_unit(name, n_constant):
    random = np.random.default_rng(0)
    rows = random.normal(size=(n_constant + 40, 2))
    rows[:n_constant, 0], rows[n_constant:] = 3.25, rows[n_constant:] + 20
    labels = np.repeat([0, 1], [n_constant, 40])
    model = GaussianMixture(2, covariance_type=name, reg_covar=0, init_params=labels)
    for unit in (1e-6, 1e-3, 1.0, 1e3, 1e6):
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            model.fit(rows * [1.0, unit])


def test_volumes_of_components_without_a_common_direction():
    """Any ratio solves the equations."""
    scatter, counts = np.array([[4.0, 0.0], [0.0, 9.0]]), np.array([10.0, 10.0])
    volumes, common = best_volumes(DIAGONAL, scatter, counts, 2, np.array([1.0, 3.0]))
    np.testing.assert_allclose(volumes, (scatter / common).sum(axis=1) / (2 * counts), rtol=1e-12)


@pytest.mark.parametrize("name", ["EVI", "EVV", "VVI", "VEI", "EEI"])
def test_several_problems_are_estimated_like_each_of_them(name):
    family, random = FAMILIES[name], np.random.default_rng(0)
    counts = np.array([3.0, 20.0, 7.5])
    scatters = family.structure.weigh(random.normal(size=(12, 3, 9)), random.random((12, 9)))
    scatters = scatters.reshape(4, 3, *scatters.shape[1:])
    found = family.estimate_each(scatters, counts, 3)
    each = [family.estimate(family.pool(one), counts, 3) for one in scatters]
    np.testing.assert_array_equal(found, each)
    if not family.pooled and name != "VEI":
        scatters[2, 1] = 0
        with pytest.raises(DegenerateCovarianceError) as caught:
            family.structure.precisions_cholesky(family.estimate_each(scatters, counts, 3)[2])
        assert caught.value.components == (1,)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.pooled])
def test_a_component_without_volume_is_named_unless_a_ridge_gives_it_one(name):
    family = FAMILIES[name]
    statistics = with_equal_rows(family, [1])
    with pytest.raises(DegenerateCovarianceError) as caught:
        MStep(family, 0.0, np.dtype(float)).maximise(statistics)
    assert caught.value.components == (1,)
    mixture = MStep(family, 1e-2, np.dtype(float)).maximise(statistics)
    assert (np.linalg.eigvalsh(mixture.dense_covariances()) > 0).all()


@families
def test_a_ridge_is_the_variance_by_which_every_row_is_spread(family):
    """A row spread evenly over x +- sqrt(D ridge) e_j has a covariance of ridge times identity."""
    X, ridge = clusters(120, D), 0.3
    responsibilities = some_responsibilities(len(X), K)
    steps = np.sqrt(D * ridge) * np.concatenate([np.eye(D), -np.eye(D)])
    spread = (X[:, None, :] + steps).reshape(-1, D)
    shares = np.repeat(responsibilities, 2 * D, axis=0) / (2 * D)
    of_rows = statistics_in_long_form(X, responsibilities, family)
    of_spread = replace(statistics_in_long_form(spread, shares, family), weight=len(X))
    expected = MStep(family, 0.0, np.dtype(float)).maximise(of_spread)
    mixture = MStep(family, ridge, np.dtype(float)).maximise(of_rows)
    np.testing.assert_allclose(mixture.means, expected.means, rtol=1e-12)
    np.testing.assert_allclose(mixture.covariances, expected.covariances, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.pooled])
def test_pooled_families_bear_a_component_without_volume(name):
    family = FAMILIES[name]
    mixture = MStep(family, 0.0, np.dtype(float)).maximise(with_equal_rows(family, [1]))
    assert (np.linalg.eigvalsh(mixture.dense_covariances()) > 0).all()


@pytest.mark.parametrize("name", ["EII", "EEI", "VEI", "EEE", "VEE", "EEV", "VEV"])
def test_no_component_is_named_where_all_of_them_together_are_degenerate(name):
    family = FAMILIES[name]
    with pytest.raises(DegenerateCovarianceError) as caught:
        MStep(family, 0.0, np.dtype(float)).maximise(with_equal_rows(family, range(K)))
    assert caught.value.components == ()


@families
def test_m_step_does_not_depend_on_the_centres(family):
    X = clusters(120, D)
    responsibilities = some_responsibilities(len(X), K)
    about = [np.zeros((K, D)), np.full((K, D), 3.0), np.random.default_rng(0).normal(size=(K, D))]
    covariances = [
        MStep(family, 0.0, np.dtype(float))
        .maximise(statistics_in_long_form(X, responsibilities, family, centres))
        .covariances
        for centres in about
    ]
    np.testing.assert_allclose(covariances[1], covariances[0], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(covariances[2], covariances[0], rtol=1e-11, atol=1e-12)


@families
@pytest.mark.parametrize("form", [CentredEStep, ExpandedEStep])
def test_log_joint_is_scipys_density(family, form):
    X, mixture = some_mixture(family)
    expected = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
        for weight, mean, covariance in zip(
            mixture.weights, mixture.means, mixture.dense_covariances(), strict=True
        )
    ]
    np.testing.assert_allclose(form(mixture).log_joint(X.T), expected, rtol=1e-11, atol=1e-10)


@families
def test_whiteners_factorise_the_precisions(family):
    _, mixture = some_mixture(family)
    dense = mixture.dense_covariances()
    precisions = family.dense(mixture.precisions, K, D)
    np.testing.assert_allclose(precisions @ dense, np.tile(np.eye(D), (K, 1, 1)), atol=1e-11)
    again = family.cholesky_of_precisions(mixture.precisions)
    np.testing.assert_allclose(again, mixture.precisions_cholesky, rtol=1e-9, atol=1e-12)
    back = family.covariances(mixture.precisions_cholesky)
    np.testing.assert_allclose(back, mixture.covariances, rtol=1e-10, atol=1e-12)


@families
@pytest.mark.parametrize("n_features", [3, 70])
def test_weighed_rows_are_their_outer_products_added_up(family, n_features):
    random = np.random.default_rng(5)
    rows, weights = random.normal(size=(n_features, 40)), random.uniform(0, 2, size=40)
    expected = np.tensordot(weights, family.structure.outer(rows.T), axes=1)
    np.testing.assert_allclose(family.structure.weigh(rows.copy(), weights), expected, atol=1e-12)


@families
@pytest.mark.parametrize("n_features", [1, 3, 70])
def test_stacks_are_weighed_and_measured_as_one_block_after_the_other(family, n_features):
    random = np.random.default_rng(5)
    blocks, weights = random.normal(size=(K, n_features, 40)), random.uniform(0, 2, size=(K, 40))
    shape = family.structure
    precisions_cholesky = shape.precisions_cholesky(
        shape.add_ridge(shape.weigh(blocks.copy(), weights), 1.0)
    )
    for k, (block, own) in enumerate(zip(blocks, weights, strict=True)):
        together = shape.weigh(blocks.copy(), weights)[k]
        np.testing.assert_allclose(together, shape.weigh(block.copy(), own), rtol=1e-13, atol=1e-13)
        together = shape.squared_norms(precisions_cholesky, blocks.copy())[k]
        whitened = shape.whiten(precisions_cholesky[k], block)
        np.testing.assert_allclose(together, (whitened**2).sum(axis=0), rtol=1e-12)
        np.testing.assert_allclose(
            shape.squared_norms(precisions_cholesky[k], block.copy()), together, rtol=1e-13
        )
        np.testing.assert_array_equal(shape.whiten(precisions_cholesky, blocks)[k], whitened)


@pytest.mark.parametrize("structure", [DENSE, DIAGONAL, ISOTROPIC], ids=lambda s: s.scikit_learn)
@pytest.mark.parametrize("n_features", [1, 3, 70])
def test_structures_override_defaults_by_the_same_results(structure, n_features):
    """A new structure has the defaults, which follow from monomials and dense matrices."""
    random = np.random.default_rng(5)
    blocks, weights = random.normal(size=(K, n_features, 90)), random.uniform(0, 2, size=(K, 90))
    counts, vectors = weights.sum(axis=1), random.normal(size=(K, n_features))
    scatters = structure.weigh(blocks.copy(), weights)
    covariances = structure.estimate(scatters, counts, n_features)
    factors = structure.precisions_cholesky(covariances)
    precisions = structure.precisions(factors)
    calls = [
        ("outer", vectors),
        ("weigh", blocks, weights),
        ("weigh", blocks[1], weights[1]),
        ("log_det", factors, n_features),
        ("apply", precisions, vectors),
        ("solve", precisions[1], vectors[1]),
        ("whiten", factors, blocks),
        ("whiten", factors[1], blocks[1]),
        ("squared_norms", factors, blocks),
        ("squared_norms", factors[1], blocks[1]),
        ("colour", factors[1], blocks[1]),
        ("magnitude", factors, np.abs(vectors)),
        ("variances", covariances, n_features),
        ("traces", precisions, covariances, n_features),
        ("mutual_traces", scatters, factors[1], n_features),
        ("min_variance", covariances, factors[1], n_features),
    ]
    for name, *arguments in calls:
        default = getattr(Structure, name)(structure, *deepcopy(arguments))
        expected = getattr(structure, name)(*deepcopy(arguments))
        np.testing.assert_allclose(default, expected, rtol=1e-9, atol=1e-11, err_msg=name)
    zeros = Structure.single_row_covariances(structure, vectors, np.ones(K))
    np.testing.assert_array_equal(zeros, np.zeros_like(scatters))
    dense = structure.dense(precisions[:1], n_features)[0]
    trace = (dense * ((blocks[1] * weights[1]) @ blocks[1].T)).sum()
    assert structure.inner(precisions[0], scatters[1]) == pytest.approx(trace)
    assert Structure.monomial_pairs(structure, n_features) is None
    assert 1 < structure.min_rows(n_features) <= Structure.min_rows(structure, n_features)


@pytest.mark.parametrize("structure", [DENSE, DIAGONAL, ISOTROPIC], ids=lambda s: s.scikit_learn)
def test_structures_override_conditional_distributions_by_the_same_ones(structure):
    random = np.random.default_rng(5)
    blocks, weights = random.normal(size=(K, D, 40)), random.uniform(0, 2, size=(K, 40))
    scatters = structure.weigh(blocks.copy(), weights)
    factors = structure.precisions_cholesky(structure.estimate(scatters, np.full(K, 40.0), D))
    missing = np.array([[False] * D, [True] + [False] * (D - 1), [True] * D])
    patterns = Patterns(missing, np.array([0, 5, 9, 12]))
    default = Structure.conditioning(structure, factors, D)(patterns)
    expected = structure.conditioning(factors, D)(patterns)
    np.testing.assert_allclose(default.constants, expected.constants, atol=1e-12)
    counts = random.uniform(1, 2, size=(K, 3))
    np.testing.assert_allclose(default.scatter(counts), expected.scatter(counts), atol=1e-12)
    deviations = np.where(patterns.each_row(missing.T), 0.0, random.normal(size=(K, D, 12)))
    completed = deviations.copy()
    default.complete(completed)
    expected.complete(deviations)
    np.testing.assert_allclose(completed, deviations, atol=1e-12)
    noise = random.normal(size=(D, 4))
    np.testing.assert_allclose(default.draw(1, 0, noise), expected.draw(1, 0, noise), atol=1e-12)


@families
def test_colour_undoes_whiten(family):
    X, mixture = some_mixture(family)
    precision_cholesky = family.per_component(mixture.precisions_cholesky, K)[1]
    block = np.ascontiguousarray(X.T)
    there_and_back = family.structure.colour(
        precision_cholesky, family.structure.whiten(precision_cholesky, block)
    )
    np.testing.assert_allclose(there_and_back, block, rtol=1e-11, atol=1e-12)


@families
def test_a_degenerate_component_is_named(family):
    covariances = some_mixture(family)[1].covariances.copy()
    if family.pooled:
        covariances, expected = -covariances, ()
    else:
        covariances[1], expected = -covariances[1], (1,)
    with pytest.raises(DegenerateCovarianceError) as caught:
        family.precisions_cholesky(covariances)
    assert caught.value.components == expected


@families
def test_a_ridge_is_added_to_every_diagonal(family):
    mixture = some_mixture(family)[1]
    ridged = family.dense(family.add_ridge(mixture.covariances, 0.25), K, D)
    np.testing.assert_allclose(ridged, mixture.dense_covariances() + 0.25 * np.eye(D), rtol=1e-14)


@families
def test_magnitude_bounds_the_whitened_length(family):
    X, mixture = some_mixture(family)
    reach = np.abs(X).max(axis=0)
    precisions_cholesky = family.per_component(mixture.precisions_cholesky, K)
    structure, reaches = family.structure, np.tile(reach, (K, 1))
    bound = structure.magnitude(precisions_cholesky, reaches)
    faster = structure.magnitude_bound(precisions_cholesky, reaches)
    assert bound.sum() <= faster * (1 + 1e-12) <= D * bound.sum() * (1 + 2e-12)
    for k in range(K):
        whitened = family.structure.whiten(precisions_cholesky[k], np.ascontiguousarray(X.T))
        assert (whitened**2).sum(axis=0).max() <= bound[k]


@families
def test_sample_has_the_mixtures_moments(family):
    _, mixture = some_mixture(family)
    rows, components = mixture.sample(200_000, np.random.RandomState(0))
    assert (np.diff(components) >= 0).all()
    for k, covariance in enumerate(mixture.dense_covariances()):
        own = rows[components == k]
        error = np.sqrt(np.diag(covariance) / len(own))
        assert (np.abs(own.mean(axis=0) - mixture.means[k]) < 5 * error).all()
        sampling = 6 * np.abs(covariance).max() * np.sqrt(2 / len(own))
        np.testing.assert_allclose(np.cov(own.T), covariance, atol=sampling)
    counts = np.bincount(components, minlength=K) / len(rows)
    np.testing.assert_allclose(counts, mixture.weights, atol=0.006)


@families
def test_every_sampled_row_is_its_components_colouring_of_white_noise(family):
    _, mixture = some_mixture(family)
    rows, components = mixture.sample(50, np.random.RandomState(3))
    random = np.random.RandomState(3)
    counts = random.multinomial(50, mixture.weights / mixture.weights.sum())
    white = random.standard_normal((50, D))
    np.testing.assert_array_equal(components, np.repeat(np.arange(K), counts))
    precisions_cholesky = family.per_component(mixture.precisions_cholesky, K)
    for row, k, expected in zip(rows, components, white, strict=True):
        back = family.structure.whiten(precisions_cholesky[k], (row - mixture.means[k])[:, None])[
            :, 0
        ]
        np.testing.assert_allclose(back, expected, atol=1e-10)


# -- common axes --------------------------------------------------------------------------------
COMMON = [family for family in FAMILIES.values() if family.name in ("EVE", "VVE")]


@pytest.mark.parametrize("family", COMMON, ids=[family.name for family in COMMON])
def test_the_first_m_step_finds_the_best_axes(family):
    """The profile likelihood over the axes has several maxima: none of fifty random axes is better.

    The oracle minimises the formula over rotations by a general method of optimisation.
    """
    for seed in range(4):
        X = clusters(240, 3, 3, seed=seed, spread=2.0)
        responsibilities = some_responsibilities(len(X), K, seed) ** 4
        responsibilities /= responsibilities.sum(axis=1, keepdims=True)
        mass = responsibilities.sum(axis=0)
        scatter = scatters_in_long_form(X, responsibilities, responsibilities.T @ X / mass[:, None])

        def cost(angles, scatter=scatter, mass=mass):
            axes = Rotation.from_rotvec(angles).as_matrix()
            profiles = np.einsum("ij,kil,lj->kj", axes, scatter, axes) / mass[:, None]
            if family.name == "VVE":
                return float(mass @ np.log(profiles).sum(axis=1))
            volumes = np.exp(np.log(profiles).mean(axis=1))
            return float(3 * mass.sum() * np.log(mass @ volumes / mass.sum()))

        random = np.random.default_rng(0)
        best = min(
            minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9}).fun
            for start in random.uniform(-np.pi, np.pi, (12, 3))
        )
        covariances = family.estimate(scatter, mass, 3)
        ours = float(mass @ np.linalg.slogdet(covariances)[1])
        assert ours <= best + 1e-4


@pytest.mark.parametrize("name", ["EVI", "EVV", "EVE"])
def test_a_small_component_that_is_scaled_up_to_the_common_volume_keeps_its_digits(name):
    """Its own variances are 1e-10, and the start's mean is a standard deviation of all away."""
    random = np.random.default_rng(0)
    wide, narrow = random.normal(size=(2, 50, 2))
    if name == "EVE":  # mirrored, so that the common axes are those of the features
        wide[25:], narrow[25:] = wide[:25] * [1, -1], narrow[:25] * [1, -1]
    narrow = 50 + 1e-5 * narrow
    parts = [part.astype(np.longdouble) for part in (wide, narrow)]
    scatters = np.array(
        [(part - part.mean(axis=0)).T @ (part - part.mean(axis=0)) for part in parts]
    )
    scatters *= np.eye(2) if name == "EVI" else 1
    roots = np.sqrt(scatters[:, 0, 0] * scatters[:, 1, 1] - scatters[:, 0, 1] ** 2)
    expected = (roots.sum() / 100 / roots)[:, None, None] * scatters
    precisions = np.ones((2, 2)) if name == "EVI" else np.array([np.eye(2)] * 2)
    model = GaussianMixture(
        2,
        covariance_type=name,
        weights_init=[0.5, 0.5],
        means_init=[[0.0, 0.0], [51.0, 49.0]],
        precisions_init=precisions,
        reg_covar=0,
        max_iter=1,
    )
    found = dense(fit(model, np.concatenate([wide, narrow])))
    sds = np.sqrt(np.diagonal(expected, axis1=1, axis2=2)).astype(float)
    errors = np.abs(found - expected.astype(float)) / sds[:, :, None] / sds[:, None, :]
    assert errors.max() < 1e-8


@pytest.mark.parametrize(
    "name", [name for name, family in FAMILIES.items() if family.scikit_learn in ("full", "tied")]
)
@pytest.mark.parametrize("missing", [False, True])
def test_matrices_are_symmetric_to_the_last_bit(name, missing):
    """Of the rows' own moments nothing is left but rounding beside the ridge."""
    random = np.random.default_rng(5)
    rows = np.eye(5)[random.integers(5, size=60)]
    weights = random.uniform(size=60)
    if missing:
        rows[random.random(rows.shape) < 0.05] = np.nan
    model = GaussianMixture(3, covariance_type=name, random_state=0, max_iter=3)
    found = dense(fit(model, rows, sample_weight=weights))
    np.testing.assert_allclose(found, np.swapaxes(found, 1, 2), rtol=0, atol=1e-15 * 1e-6)


@pytest.mark.parametrize("name", ["EEV", "VEV", "EVE", "VVE"])
@pytest.mark.parametrize("prior", [None, "conjugate"])
def test_axes_of_columns_in_units_that_are_too_far_apart_are_refused(name, prior):
    """Rounding of the variance 1e20 along one axis exceeds the variance 1 along the other."""
    X = clusters(200, 2, 2, seed=3)
    model = GaussianMixture(2, covariance_type=name, prior=prior, reg_covar=0, random_state=0)
    with pytest.raises(ValueError, match="scale the input data"):
        fit(model, X * [1.0, 1e10])
    assert np.isfinite(fit(model, X * [1.0, 1e4]).lower_bound_)


@pytest.mark.parametrize("structure", [DENSE, DIAGONAL, ISOTROPIC])
def test_variances_are_compared_to_tiny_ones(structure):
    """The products of factors and covariances leave the range, and not only their eigenvalues."""
    covariances = structure.weigh(np.eye(2), np.array([1e4, 1e10]))[None]
    reference = structure.precisions_cholesky(1e-302 * structure.weigh(np.eye(2), np.ones(2))[None])
    variances = structure.variances(1e-302 * structure.weigh(np.eye(2), np.ones(2))[None], 2)
    with np.errstate(over="ignore"):
        found = structure.min_variance(covariances, reference[0], 2)
        expected = (structure.variances(covariances, 2) / variances).min()
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("seed", [55, 64, 72, 148, 178])
def test_repeated_steps_of_common_axes_do_not_lower_the_likelihood(seed):
    """Simultaneous rotations overshoot the optimum, by little more each time."""
    random = np.random.default_rng(seed)
    K, D = int(random.integers(2, 4)), int(random.integers(4, 7))
    counts = random.integers(20, 80, K) * 1.0
    rows = [random.normal(size=(int(n), D)) @ random.normal(size=(D, D)) for n in counts]
    scatter = np.array([each.T @ each for each in rows])
    covariances, values = None, []
    for _ in range(60):
        covariances = FAMILIES["VVE"].estimate(scatter, counts, D, covariances)
        traces = np.trace(np.linalg.solve(covariances, scatter), axis1=1, axis2=2)
        deviances = counts * np.linalg.slogdet(covariances)[1] + traces
        values.append(-0.5 * deviances.sum() / counts.sum())
    assert (values >= np.maximum.accumulate(values) - 3e-13).all()


# -- the ends of the range ------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["VVE", "EVE"])
@pytest.mark.parametrize("dof", [1e300, 1e222])
def test_a_prior_of_more_rows_than_variances_have_digits_is_refused_in_our_words(name, dof):
    """Its covariances are those of the rows over the number of rows: below the least float."""
    rows = np.random.default_rng(0).normal(size=(40, 2)) * [1e-30, 1.0]
    prior = NormalInverseWishart(dof=dof)
    model = GaussianMixture(2, covariance_type=name, prior=prior, random_state=0)
    with np.errstate(all="raise"), pytest.raises(ValueError, match="ill-defined empirical"):
        model.fit(rows)


@pytest.mark.parametrize("name", ["EII", "VVI", "VVV", "EVV"])
def test_means_whose_squares_overflow_are_diagnosed_without_a_floating_point_error(name):
    """No row is left within the reach of the component, which has too few of them."""
    rows = np.random.default_rng(0).normal(size=(30, 2))
    model = GaussianMixture(
        1, covariance_type=name, means_init=[[1e298, 2e298]], reg_covar=1e293, max_iter=0
    )
    with np.errstate(all="raise"):
        assert fit(model, rows).diagnose(rows).collapsed == [0]
