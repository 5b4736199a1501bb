"""The compiled kernel is the packed form's sums, whatever the rows."""

from __future__ import annotations

import numpy as np
import pytest

from emgmm.expectation.compiled import kernel, packed_sums, pays
from emgmm.expectation.softmax import FLOOR, softmax
from emgmm.families import AXIS, OUTER, TRACE

pytest.importorskip("numba", reason="the kernel is compiled by numba, an optional package")

SHAPES = {"outer": OUTER, "axis": AXIS, "trace": TRACE, "shared": None}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def some_theta(shape, n_components, n_features, random):
    """Coefficients of components that overlap; those of the squares are negative."""
    theta = random.normal(size=(n_components, 1 + n_features))
    if shape is None:
        return theta
    squares = -random.uniform(0.1, 0.6, size=(n_components, shape.n_monomials(n_features)))
    if shape is OUTER:
        lines, columns = np.triu_indices(n_features)
        squares[:, lines != columns] *= 0.3 / n_features
    return np.concatenate([theta, squares], axis=1)


def phi_of(rows, centre, shape):
    y = rows.astype(np.longdouble) - centre[:, None]
    parts = [np.ones((1, y.shape[1]), dtype=np.longdouble), y]
    if shape is OUTER:
        parts += [y[i : i + 1] * y[i:] for i in range(len(y))]
    elif shape is AXIS:
        parts += [y * y]
    elif shape is TRACE:
        parts += [(y * y).sum(axis=0, keepdims=True)]
    return np.concatenate(parts)


def in_long_form(rows, centre, theta, shape):
    """The sums, their scale and the log-likelihood in extended precision."""
    phi = phi_of(rows, centre, shape)
    joint = theta.astype(np.longdouble) @ phi
    top = joint.max(axis=0)
    shares = np.exp(joint - top)
    total = shares.sum(axis=0)
    shares /= total
    scale = np.maximum((shares @ np.abs(phi).T).astype(float), 1e-300)
    return (shares @ phi.T).astype(float), scale, float((np.log(total) + top).sum())


def in_numpy(rows, centre, theta, shape):
    """What the packed form does in NumPy."""
    phi = phi_of(rows, centre, shape).astype(float)
    with np.errstate(over="ignore"):
        joint = theta @ phi
        log_likelihood = softmax(joint).sum()
    return joint @ phi.T, log_likelihood


def assert_agrees(rows, centre, theta, shape, tolerance=1e-13):
    sums, log_likelihood = packed_sums(rows, centre, theta, shape)
    expected, scale, expected_log_likelihood = in_long_form(rows, centre, theta, shape)
    assert (np.abs(sums - expected) / scale).max() <= tolerance
    of_rows = np.abs(expected_log_likelihood) + rows.shape[1]
    assert abs(log_likelihood - expected_log_likelihood) <= tolerance * of_rows


@shapes
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("n_components", [1, 2, 3, 4, 7])
def test_sums_are_those_of_the_long_form(shape, n_features, n_components):
    random = np.random.default_rng(n_features + 10 * n_components)
    X, centre = random.normal(size=(1000, n_features)), random.normal(size=n_features)
    assert_agrees(X.T, centre, some_theta(shape, n_components, n_features, random), shape)


@pytest.mark.parametrize(("n_features", "n_components"), [(20, 3), (32, 9), (2, 64)])
def test_many_features_or_components(n_features, n_components):
    random = np.random.default_rng(0)
    X = random.normal(size=(700, n_features))
    theta = some_theta(OUTER, n_components, n_features, random)
    assert_agrees(X.T, X.mean(axis=0), theta, OUTER, tolerance=4e-13)


def test_so_many_equal_components_that_their_totals_product_could_overflow():
    X = np.random.default_rng(0).normal(size=(1000, 1))
    theta = np.tile([[0.5, 1.0, -0.5]], (3000, 1))
    assert_agrees(X.T, np.zeros(1), theta, OUTER, tolerance=4e-13)


def test_no_rows_are_no_sums():
    sums, log_likelihood = packed_sums(np.empty((2, 0)), np.zeros(2), np.ones((3, 6)), OUTER)
    np.testing.assert_array_equal(sums, np.zeros((3, 6)))
    assert log_likelihood == 0.0


def test_what_does_not_pay_is_known_by_its_size():
    assert pays(OUTER, 2, 2)
    assert pays(None, 64, 64)
    assert not pays(OUTER, 64, 64)


@shapes
@pytest.mark.parametrize(
    "n_rows", [1, 2, 3, 4, 5, 11, 12, 13, 479, 480, 481, 484, 491, 492, 493, 960]
)
def test_any_number_of_rows(shape, n_rows):
    random = np.random.default_rng(n_rows)
    X = random.normal(size=(n_rows, 2))
    assert_agrees(X.T, np.ones(2), some_theta(shape, 3, 2, random), shape)


@pytest.mark.parametrize("n_rows", range(1, 14))
def test_rows_behind_the_block_are_not_looked_at(n_rows):
    random = np.random.default_rng(0)
    X = random.normal(size=(n_rows + 12, 2))
    X[n_rows:] = np.nan
    assert_agrees(X[:n_rows].T, np.ones(2), some_theta(OUTER, 3, 2, random), OUTER)


@shapes
def test_a_strip_after_a_fuller_one_forgets_it(shape):
    """What lies in the buffers beyond the last rows is not counted, though it be huge."""
    random = np.random.default_rng(0)
    X = random.normal(size=(485, 3))
    X[5:480] *= 1e8
    theta = some_theta(shape, 3, 3, random)
    whole = packed_sums(X.T, np.zeros(3), theta, shape)
    first = packed_sums(X[:480].T, np.zeros(3), theta, shape)
    mass = whole[0][:, 0] - first[0][:, 0]
    assert mass.sum() == pytest.approx(5.0, abs=1e-9)


@shapes
def test_rows_of_any_layout_and_type(shape):
    random = np.random.default_rng(0)
    wide = random.normal(size=(503, 6)).astype(np.float32)
    X = wide.astype(np.float64)
    theta, centre = some_theta(shape, 4, 3, random), np.array([0.1, -0.2, 0.3])
    expected = packed_sums(np.ascontiguousarray(X[:, ::2]).T, centre, theta, shape)
    unaligned = np.frombuffer(b"x" + X[:, ::2].tobytes(), dtype=np.uint8)[1:]
    read_only = X[:, ::2].copy()
    read_only.flags.writeable = False
    layouts = (
        X.T[::2],
        np.ascontiguousarray(X.T[::2]),
        wide.T[::2],
        np.ascontiguousarray(wide[:, ::2]).T,
        unaligned.view(np.float64).reshape(-1, 3).T,
        read_only.T,
        X.T[::2].astype(">f8"),
        X.T[::2].astype(np.longdouble),
    )
    for rows in layouts:
        sums, log_likelihood = packed_sums(rows, centre, theta, shape)
        np.testing.assert_array_equal(sums, expected[0])
        assert log_likelihood == expected[1]


@shapes
def test_same_block_same_bits(shape):
    random = np.random.default_rng(0)
    X, theta = random.normal(size=(2000, 4)), some_theta(shape, 5, 4, random)
    first = packed_sums(X[100:].T, np.zeros(4), theta, shape)
    again = packed_sums(X[100:].copy().T, np.zeros(4), theta, shape)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]


def far(sd):
    """Three components a unit apart, of standard deviation `sd`, seen from their middle."""
    means = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    precision = sd**-2.0
    constant = -0.5 * precision * (means**2).sum(axis=1) - 2.0 * np.log(sd)
    squares = np.broadcast_to([-0.5 * precision, 0.0, -0.5 * precision], (3, 3))
    return np.concatenate([constant[:, None], precision * means, squares], axis=1)


@pytest.mark.parametrize("exponent", [2, 4, 6])
def test_rows_far_from_every_component(exponent):
    """At a million standard deviations the log-joint is -1e12, and its top goes to one component.

    Responsibilities are powers of two here: rows and means are such that the log-joint is exact.
    """
    theta = far(2.0**-exponent)
    theta[:, 0] = np.rint(theta[:, 0])
    random = np.random.default_rng(0)
    X = np.rint(random.normal(size=(1001, 2)) * 2.0 ** (20 - exponent))
    sums, log_likelihood = packed_sums(X.T, np.zeros(2), theta, OUTER)
    expected, expected_log_likelihood = in_numpy(X.T, np.zeros(2), theta, OUTER)
    assert log_likelihood < -1e12
    np.testing.assert_allclose(sums, expected, rtol=1e-13, atol=1e-13 * np.abs(expected).max())
    assert log_likelihood == pytest.approx(expected_log_likelihood, rel=1e-14)


def test_out_of_reach_is_exactly_nothing():
    """A share is 0 from 700 nats below the top on, and just above 0 before."""
    X = np.ones((10, 1))
    for gap, nothing in ((-FLOOR, True), (1e9, True), (1e305, True), (-FLOOR - 1e-3, False)):
        theta = np.array([[0.0, 0.0], [-gap, 0.0]])
        sums, log_likelihood = packed_sums(X.T, np.zeros(1), theta, None)
        assert (sums[1, 0] == 0.0) == nothing
        assert sums[0, 0] == 10.0
        assert log_likelihood == 0.0


def test_a_component_of_no_weight_takes_nothing():
    random = np.random.default_rng(0)
    X, theta = random.normal(size=(101, 2)), some_theta(OUTER, 3, 2, random)
    sums, log_likelihood = packed_sums(X.T, np.zeros(2), theta, OUTER)
    theta = np.concatenate([theta[:1], np.full((1, 6), 0.0), theta[1:]])
    theta[1, 0] = -np.inf
    with_it, same = packed_sums(X.T, np.zeros(2), theta, OUTER)
    np.testing.assert_array_equal(with_it[1], 0.0)
    np.testing.assert_array_equal(np.delete(with_it, 1, axis=0), sums)
    assert same == log_likelihood


@pytest.mark.parametrize("n_rows", [1, 4, 6, 12])
def test_a_row_beyond_every_reach_is_nobodys(n_rows):
    """-inf or nearly, for all components: as softmax has it, and nothing becomes NaN."""
    for constant in (-np.inf, -1e301, -1.7e308):
        theta = np.array([[constant, 1.0], [constant, 2.0]])
        X = np.ones((n_rows, 1))
        sums, log_likelihood = packed_sums(X.T, np.zeros(1), theta, None)
        expected, expected_log_likelihood = in_numpy(X.T, np.zeros(1), theta, None)
        np.testing.assert_allclose(sums, expected, rtol=1e-15)
        assert not np.isnan(log_likelihood)
        assert log_likelihood == pytest.approx(expected_log_likelihood, rel=1e-14)


def test_nan_is_not_hidden():
    X, theta = np.ones((50, 1)), np.array([[0.0, 1.0], [0.0, 2.0]])
    X[17] = np.nan
    sums, log_likelihood = packed_sums(X.T, np.zeros(1), theta, None)
    assert np.isnan(sums).all()
    assert np.isnan(log_likelihood)


def test_exponential_is_numpys_to_two_units_in_the_last_place():
    random = np.random.default_rng(0)
    x = np.concatenate(
        [
            np.linspace(FLOOR, 0.0, 100_000),
            -random.exponential(size=100_000),
            -np.geomspace(1e-300, 700.0, 100_000),
            np.log(2.0) * (np.arange(-1000, 1) + 0.5),
            np.nextafter(np.log(2.0) * (np.arange(-1000, 1) + 0.5), 0.0),
            [0.0, -0.0, FLOOR],
        ]
    )
    x = x[x >= FLOOR]
    expected = np.exp(x.astype(np.longdouble))
    found = kernel().exponentials(x)
    assert np.abs((found - expected) / np.spacing(expected.astype(float))).max() <= 2.0
    assert kernel().exponentials(np.zeros(1))[0] == 1.0
