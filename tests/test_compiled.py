"""The compiled kernel is the packed form's sums, whatever the rows."""

from __future__ import annotations

import hashlib
import math
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from emgmm import GaussianMixture
from emgmm.covariances import DENSE, DIAGONAL, FAMILIES, ISOTROPIC
from emgmm.estep import compiled
from emgmm.estep.base import most_probable
from emgmm.estep.compiled import estep
from emgmm.estep.compiled.estep import expanded, outperforms_numpy, strip_tiles
from emgmm.estep.softmax import FLOOR, FLOOR_SINGLE, softmax
from emgmm.sources import digest

pytest.importorskip("numba", reason="the kernel is compiled by numba, an optional package")
kernel = estep.kernel()


def result_of(name):
    """The result of this name, as a function of a block and parameters."""
    return lambda *arguments: expanded(name, *arguments)[0]


expanded_labels = result_of("labels")
expanded_log_densities = result_of("log_densities")
expanded_log_joint = result_of("log_joint")
expanded_responsibilities = result_of("responsibilities")
expanded_sums = partial(expanded, "sums")

SHAPES = {"outer": DENSE, "axis": DIAGONAL, "trace": ISOTROPIC, "shared": None}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])

# Relative errors of sums and of the log-likelihood.
DIGITS = {np.float64: (1e-13, 1e-13), np.float32: (5e-6, 2e-7)}
FLOORS = {np.float64: FLOOR, np.float32: FLOOR_SINGLE}


def some_theta(shape, n_components, n_features, random):
    """Coefficients of components that overlap; those of the squares are negative."""
    theta = random.normal(size=(n_components, 1 + n_features))
    if shape is None:
        return theta
    squares = -random.uniform(0.1, 0.6, size=(n_components, shape.n_monomials(n_features)))
    if shape is DENSE:
        lines, columns = np.triu_indices(n_features)
        squares[:, lines != columns] *= 0.3 / n_features
    return np.concatenate([theta, squares], axis=1)


def phi_of(rows, centre, shape):
    y = rows.astype(np.longdouble) - centre[:, None]
    parts = [np.ones((1, y.shape[1]), dtype=np.longdouble), y]
    if shape is DENSE:
        parts += [y[i : i + 1] * y[i:] for i in range(len(y))]
    elif shape is DIAGONAL:
        parts += [y * y]
    elif shape is ISOTROPIC:
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
    phi = phi_of(rows, centre, shape).astype(theta.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # some BLAS multiply more than is there
        joint = theta @ phi
        log_likelihood = softmax(joint).sum(dtype=float)
    return joint @ phi.T, log_likelihood


def assert_agrees(rows, centre, theta, shape, dtype=np.float64, times=1):
    """Products of this type are as the long form's, to its digits or so many times worse."""
    rows, theta = rows.astype(dtype, copy=False), theta.astype(dtype)
    of_sums, of_logarithm = np.array(DIGITS[dtype]) * times
    sums, log_likelihood = expanded_sums(rows, centre, theta, shape)
    expected, scale, expected_log_likelihood = in_long_form(rows, centre, theta, shape)
    assert (np.abs(sums - expected) / scale).max() <= of_sums
    of_rows = np.abs(expected_log_likelihood) + rows.shape[1]
    assert abs(log_likelihood - expected_log_likelihood) <= of_logarithm * of_rows


@dtypes
@shapes
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("n_components", [1, 2, 3, 4, 7])
def test_sums_are_those_of_the_long_form(shape, n_features, n_components, dtype):
    random = np.random.default_rng(n_features + 10 * n_components)
    X, centre = random.normal(size=(1000, n_features)), random.normal(size=n_features)
    assert_agrees(X.T, centre, some_theta(shape, n_components, n_features, random), shape, dtype)


@dtypes
@pytest.mark.parametrize(("n_features", "n_components"), [(20, 3), (32, 9), (2, 64)])
def test_many_features_or_components(n_features, n_components, dtype):
    random = np.random.default_rng(0)
    X = random.normal(size=(700, n_features))
    theta = some_theta(DENSE, n_components, n_features, random)
    assert_agrees(X.T, X.mean(axis=0), theta, DENSE, dtype, times=4)


@dtypes
@pytest.mark.parametrize(
    ("shape", "n_features"),
    [(DENSE, 20), (DIAGONAL, 90), (ISOTROPIC, 170), (None, 170)],
    ids=SHAPES,
)
@pytest.mark.parametrize("n_components", [1, 4, 6])
def test_many_entries(shape, n_features, n_components, dtype):
    """Rows to the edge of one strip and two, and one more or less; and weights."""
    random = np.random.default_rng(n_components)
    theta = some_theta(shape, n_components, n_features, random).astype(dtype)
    theta[:, 1:] /= n_features**0.5
    assert theta.shape[1] > 4 * kernel.GROUP
    strip = estep.LINE[0] // np.dtype(dtype).itemsize
    for edge in (strip, strip * 3 // 2, 2 * strip):
        for n_rows in (edge - 1, edge, edge + 1):
            X = random.normal(size=(n_rows, n_features))
            assert_agrees(X.T, X.mean(axis=0), theta, shape, dtype, times=4)
    times = random.integers(0, 3, size=len(X))
    weighted = expanded_sums(
        X.T.astype(dtype), np.zeros(n_features), theta, shape, times.astype(float)
    )
    rows = np.repeat(X, times, axis=0).T.astype(dtype)
    expected, scale, _ = in_long_form(rows, np.zeros(n_features), theta, shape)
    assert (np.abs(weighted[0] - expected) / scale).max() <= 4 * DIGITS[dtype][0]


def test_the_kernels_file_changes_with_those_that_it_is_made_of():
    """By its text numba finds what it compiled before, and knows nothing of what it imports."""
    folder = Path(kernel.__file__).parent
    paths = (folder / "simd.py", folder.parent / "softmax.py", folder / "tiles.py")
    texts = [path.read_text("utf-8") for path in paths]
    made_of = hashlib.sha256("".join(texts).encode()).hexdigest()[:12]
    assert made_of == kernel.MADE_OF, f"set it to {made_of!r}, or what was compiled before is used"


def test_a_digests_sums_are_those_of_numpy_and_import_no_compiler(monkeypatch):
    random = np.random.default_rng(0)
    words = random.integers(2**64, size=30_000, dtype=np.uint64)
    unaligned = np.frombuffer(b" " + words.tobytes(), np.uint64, offset=1)

    def assert_equal():
        for size in random.integers(1, 10_000, 30):
            first, shift = random.integers(1, digest.PERIOD, 2).tolist()
            for step in (shift, int(size)):  # columns that adjoin in the sums as well
                expected = np.zeros(digest.PERIOD, np.uint64)
                for column in range(3):
                    at = first + column * step + np.arange(size)
                    own = words[column * size : (column + 1) * size]
                    np.add.at(expected, at % digest.PERIOD, own)
                for each in (words, unaligned):
                    table = each[: 3 * size].reshape(3, size)
                    for function in (digest.sums_of_columns, estep.sums_of_columns):
                        np.testing.assert_array_equal(function(table, first, step), expected)

    assert_equal()
    estep.kernel.cache_clear()
    monkeypatch.delitem(sys.modules, kernel.__name__)
    monkeypatch.delattr(compiled, "kernel")
    assert_equal()
    assert kernel.__name__ not in sys.modules


@dtypes
@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_rows_whose_log_joint_overflows_are_as_in_numpy(n_components, dtype):
    """Squares of rows that far are inf, and their sums are -inf or NaN."""
    random = np.random.default_rng(0)
    theta = some_theta(DENSE, n_components, 3, random).astype(dtype)
    far = np.array([1e25, -1e30], dtype) if dtype is np.float32 else np.array([1e160, -1e200])
    rows = random.normal(size=(3, 40)).astype(dtype)
    rows[:, [3, 30]] = far
    rows[0, 20] = far[0]
    with np.errstate(all="ignore"):
        joint = (theta @ phi_of(rows, np.zeros(3), DENSE)).astype(dtype)
        densities = softmax(shares := joint.copy())
    for found, expected in (
        (expanded_labels, most_probable(joint)),
        (expanded_responsibilities, shares.T),
        (expanded_log_densities, densities),
    ):
        seen = found(rows, np.zeros(3), theta, DENSE)
        np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-6)


@dtypes
def test_so_many_equal_components_that_their_totals_product_could_overflow(dtype):
    X = np.random.default_rng(0).normal(size=(1000, 1))
    theta = np.tile([[0.5, 1.0, -0.5]], (3000, 1))
    assert_agrees(X.T, np.zeros(1), theta, DENSE, dtype, times=4)


@dtypes
@shapes
@pytest.mark.parametrize(("n_rows", "n_features", "n_components"), [(1000, 2, 3), (37, 20, 5)])
def test_the_log_joint_is_that_of_the_long_form(shape, n_rows, n_features, n_components, dtype):
    random = np.random.default_rng(1)
    X, centre = random.normal(size=(n_rows, n_features)), random.normal(size=n_features)
    theta = some_theta(shape, n_components, n_features, random).astype(dtype)
    rows = X.T.astype(dtype)
    joint = expanded_log_joint(rows, centre, theta, shape)
    assert joint.dtype == dtype
    phi = phi_of(rows, centre, shape)
    error = np.abs(joint - theta.astype(np.longdouble) @ phi)
    assert (error <= 20 * np.finfo(dtype).eps * (np.abs(theta) @ np.abs(phi))).all()
    twice = np.concatenate([theta, theta])  # of equals, the first
    labels = expanded_labels(rows, centre, twice, shape)
    np.testing.assert_array_equal(labels, joint.argmax(axis=0))
    own = joint.astype(np.longdouble)
    density = np.log(np.exp(own - own.max(axis=0)).sum(axis=0)) + own.max(axis=0)
    error = np.abs(expanded_log_densities(rows, centre, theta, shape) - density)
    assert (error <= 4 * np.finfo(dtype).eps * (1 + np.abs(density))).all()
    error = np.abs(expanded_responsibilities(rows, centre, theta, shape) - np.exp(own - density).T)
    assert error.max() <= 8 * np.finfo(dtype).eps


@dtypes
def test_a_component_that_is_out_of_reach_has_a_share_of_exactly_0(dtype):
    theta = np.array([[0, 0, -1], [0, 1000, -1]], dtype=dtype)
    shares = expanded_responsibilities(
        np.array([[1.0, -1.0]], dtype=dtype), np.zeros(1), theta, DIAGONAL
    )
    np.testing.assert_array_equal(shares, [[0, 1], [1, 0]])


@dtypes
@shapes
@pytest.mark.parametrize("n_components", [1, 3, 6])
def test_a_row_counts_as_often_as_its_weight_says(shape, n_components, dtype):
    random = np.random.default_rng(2)
    X, centre = random.normal(size=(1000, 3)), random.normal(size=3)
    theta = some_theta(shape, n_components, 3, random).astype(dtype)
    times = random.integers(0, 4, size=len(X))
    weighted = expanded_sums(X.T.astype(dtype), centre, theta, shape, times.astype(float))
    repeated = expanded_sums(np.repeat(X, times, axis=0).T.astype(dtype), centre, theta, shape)
    rtol = 100 * DIGITS[dtype][0]
    scale = np.abs(repeated[0]).max()
    np.testing.assert_allclose(weighted[0], repeated[0], rtol=rtol, atol=rtol * scale)
    assert weighted[1] == pytest.approx(repeated[1], rel=rtol, abs=rtol * times.sum())


@shapes
def test_rows_are_read_where_they_lie(shape):
    random = np.random.default_rng(3)
    wide = random.normal(size=(900, 8))
    theta = some_theta(shape, 3, 4, random)
    rows = wide[::3, 1::2].T
    expected = expanded_sums(rows.copy(), np.zeros(4), theta, shape)
    for same in (rows, np.asfortranarray(rows), rows[:, ::-1].copy()[:, ::-1]):
        sums, log_likelihood = expanded_sums(same, np.zeros(4), theta, shape)
        np.testing.assert_array_equal(sums, expected[0])
        assert log_likelihood == expected[1]


@dtypes
def test_no_rows_are_no_sums(dtype):
    sums, log_likelihood = expanded_sums(
        np.empty((2, 0)), np.zeros(2), np.ones((3, 6), dtype), DENSE
    )
    np.testing.assert_array_equal(sums, np.zeros((3, 6)))
    assert log_likelihood == 0.0


def test_what_does_not_pay_is_known_by_its_size():
    assert outperforms_numpy(DENSE, 2, 2)
    assert outperforms_numpy(None, 64, 64)
    assert outperforms_numpy(DENSE, 64, 64)
    assert outperforms_numpy(DENSE, 64, 128)
    assert not outperforms_numpy(DENSE, 128, 128)


@dtypes
@shapes
@pytest.mark.parametrize(
    "n_rows",
    [
        *[1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49],
        *[479, 480, 481, 484, 491, 492, 493, 503, 504, 505],
        *[959, 960, 961, 967, 968, 969, 983, 984, 985, 1007, 1008, 1009],
    ],
)
def test_any_number_of_rows(shape, n_rows, dtype):
    random = np.random.default_rng(n_rows)
    X = random.normal(size=(n_rows, 2))
    assert_agrees(X.T, np.ones(2), some_theta(shape, 3, 2, random), shape, dtype)


@dtypes
@pytest.mark.parametrize("n_rows", range(1, 26))
def test_rows_behind_the_block_are_not_looked_at(n_rows, dtype):
    random = np.random.default_rng(0)
    X = random.normal(size=(n_rows + 24, 2)).astype(dtype)
    X[n_rows:] = np.nan
    assert_agrees(X[:n_rows].T, np.ones(2), some_theta(DENSE, 3, 2, random), DENSE, dtype)


@dtypes
@shapes
def test_a_strip_after_a_fuller_one_forgets_it(shape, dtype):
    """What lies in the buffers beyond the last rows is not counted, though it be huge."""
    random = np.random.default_rng(0)
    n_rows = 8000 // np.dtype(dtype).itemsize
    X = random.normal(size=(n_rows, 3))
    X[: n_rows // 2] *= 1e8
    X[n_rows // 2 + 20 :] = 0.0
    theta = some_theta(shape, 3, 3, random).astype(dtype)
    mass = expanded_sums(X.T, np.zeros(3), theta, shape)[0][:, 0]
    # One row would be 1; float32 is off by its unit times the rows that one lane adds up, an eighth.
    assert mass.sum() == pytest.approx(n_rows, abs=1e-9 if dtype is np.float64 else 1e-2)


@pytest.mark.parametrize("n_components", [1, 16, 3000])
@pytest.mark.parametrize("n_densities", [4, 100, 3000])
def test_strips_are_as_good_as_equal_and_hold_what_the_caches_and_a_logarithm_do(
    n_components, n_densities
):
    for n_tiles in range(200):
        tiles = strip_tiles(n_tiles, 3, 64, n_components, n_densities)
        short = -n_tiles % tiles
        assert short < max(1, math.ceil(n_tiles / tiles))  # a tile for each strip is the most
        assert 3 * tiles * math.log2(n_components + 1) <= 1023
        assert tiles * 192 <= 1.5 * estep.LINE[1] + 192
        if n_tiles > 20 and n_components < 3000:
            assert tiles * 192 >= estep.LINE[0] / 1.5


@dtypes
@shapes
def test_rows_of_any_layout_and_type(shape, dtype):
    random = np.random.default_rng(0)
    wide = random.normal(size=(503, 6)).astype(np.float32)
    X = wide.astype(np.float64)
    theta, centre = some_theta(shape, 4, 3, random).astype(dtype), np.array([0.1, -0.2, 0.3])
    expected = expanded_sums(np.ascontiguousarray(X[:, ::2]).T, centre, theta, shape)
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
        sums, log_likelihood = expanded_sums(rows, centre, theta, shape)
        np.testing.assert_array_equal(sums, expected[0])
        assert log_likelihood == expected[1]


@dtypes
@shapes
def test_same_block_same_bits(shape, dtype):
    random = np.random.default_rng(0)
    X, theta = random.normal(size=(2000, 4)), some_theta(shape, 5, 4, random).astype(dtype)
    first = expanded_sums(X[100:].T, np.zeros(4), theta, shape)
    again = expanded_sums(X[100:].copy().T, np.zeros(4), theta, shape)
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
    sums, log_likelihood = expanded_sums(X.T, np.zeros(2), theta, DENSE)
    expected, expected_log_likelihood = in_numpy(X.T, np.zeros(2), theta, DENSE)
    assert log_likelihood < -1e12
    np.testing.assert_allclose(sums, expected, rtol=1e-13, atol=1e-13 * np.abs(expected).max())
    assert log_likelihood == pytest.approx(expected_log_likelihood, rel=1e-14)


@dtypes
def test_out_of_reach_is_exactly_nothing(dtype):
    """A share is 0 from the floor, so far below the top, on, and just above 0 before."""
    X, bound, most = np.ones((10, 1)), -FLOORS[dtype], float(np.finfo(dtype).max)
    for gap, nothing in ((bound, True), (1e9, True), (most / 2, True), (bound - 1e-3, False)):
        theta = np.array([[0.0, 0.0], [-gap, 0.0]], dtype)
        sums, log_likelihood = expanded_sums(X.T, np.zeros(1), theta, None)
        assert (sums[1, 0] == 0.0) == nothing
        assert sums[0, 0] == 10.0
        assert log_likelihood == 0.0


@dtypes
def test_a_component_of_no_weight_takes_nothing(dtype):
    random = np.random.default_rng(0)
    X, theta = random.normal(size=(101, 2)), some_theta(DENSE, 3, 2, random).astype(dtype)
    sums, log_likelihood = expanded_sums(X.T, np.zeros(2), theta, DENSE)
    theta = np.concatenate([theta[:1], np.zeros((1, 6), dtype), theta[1:]])
    theta[1, 0] = -np.inf
    with_it, same = expanded_sums(X.T, np.zeros(2), theta, DENSE)
    np.testing.assert_array_equal(with_it[1], 0.0)
    np.testing.assert_array_equal(np.delete(with_it, 1, axis=0), sums)
    assert same == log_likelihood


@dtypes
@pytest.mark.parametrize("n_rows", [1, 4, 6, 12])
def test_a_row_beyond_every_reach_is_nobodys(n_rows, dtype):
    """-inf or nearly, for all components: as softmax has it, and nothing becomes NaN."""
    for constant in (-np.inf, np.finfo(dtype).min / 1e7, np.finfo(dtype).min):
        theta = np.array([[constant, 1.0], [constant, 2.0]], dtype)
        X = np.ones((n_rows, 1))
        sums, log_likelihood = expanded_sums(X.T, np.zeros(1), theta, None)
        expected, expected_log_likelihood = in_numpy(X.T, np.zeros(1), theta, None)
        np.testing.assert_allclose(sums, expected, rtol=1e-15)
        assert not np.isnan(log_likelihood)
        assert log_likelihood == pytest.approx(expected_log_likelihood, rel=1e-14)


@dtypes
def test_nan_is_not_hidden(dtype):
    X, theta = np.ones((50, 1)), np.array([[0.0, 1.0], [0.0, 2.0]], dtype)
    X[17] = np.nan
    sums, log_likelihood = expanded_sums(X.T, np.zeros(1), theta, None)
    assert np.isnan(sums).all()
    assert np.isnan(log_likelihood)
    theta[0] = np.nan  # of one component
    for weights in (None, np.full(50, 0.5)):
        sums, log_likelihood = expanded_sums(np.ones((1, 50)), np.zeros(1), theta, None, weights)
        assert np.isnan(sums).all()
        assert np.isnan(log_likelihood)


def of_arrays(name):
    """A function of vectors of the kernel as a function of arrays."""
    from numba import njit

    from emgmm.estep.compiled import simd

    function, load, store, width_of = getattr(simd, name), simd.load, simd.store, simd.width_of

    @njit
    def apply(x):
        width = width_of(x)
        padded = np.ones((x.size + width - 1) // width * width, x.dtype)
        padded[: x.size] = x
        for i in range(0, padded.size, width):
            store(padded, i, function(load(padded, i)))
        return padded[: x.size]

    return apply


@dtypes
def test_exponential_to_a_unit_and_a_half_in_the_last_place(dtype):
    random, floor = np.random.default_rng(0), FLOORS[dtype]
    x = np.concatenate(
        [
            np.linspace(floor, 0.0, 100_000),
            -random.exponential(size=100_000),
            -np.geomspace(1e-300, 700.0, 100_000),
            np.log(2.0) * (np.arange(-1000, 1) + 0.5),
            np.nextafter(np.log(2.0) * (np.arange(-1000, 1) + 0.5), 0.0),
            [0.0, -0.0, floor],
        ]
    )
    x = x[x >= floor].astype(dtype)
    expected = np.exp(x.astype(np.longdouble))
    exponentials = of_arrays("exponential")
    found = exponentials(x)
    assert np.abs((found - expected) / np.spacing(expected.astype(dtype))).max() <= 1.5
    assert exponentials(np.zeros(1, dtype))[0] == 1.0


@dtypes
def test_logarithm_to_two_units_in_the_last_place(dtype):
    random, powers = np.random.default_rng(0), np.exp2(np.arange(60) + 0.5)
    x = [1 + random.random(100_000), 1 + np.geomspace(1e-17, 1e18, 100_000), powers]
    x = np.concatenate([*x, np.nextafter(powers, 0.0), [1.0, 2.0]]).astype(dtype)
    expected = np.log(x.astype(np.longdouble))
    logarithms = of_arrays("logarithm")
    found = logarithms(x)
    assert (found[x == 1.0] == 0.0).all()
    assert np.isnan(logarithms(np.full(1, np.nan, dtype))).all()
    error = np.abs(found - expected)[x > 1.0] / np.spacing(expected[x > 1.0].astype(dtype))
    assert error.max() <= 2.0


def test_strips_and_logarithms_are_added_in_float64():
    """Equal rows, whose sums in float32 would all be rounded the same way."""
    n_rows, y = 4_000_000, np.float32(1 / 3)
    X, theta = np.full((n_rows, 1), y), np.full((3, 2), [-0.7, 0.0], dtype=np.float32)
    sums, log_likelihood = expanded_sums(X.T, np.zeros(1), theta, None)
    np.testing.assert_allclose(sums, [[n_rows / 3, n_rows * float(y) / 3]] * 3, rtol=2e-6)
    expected = n_rows * (float(theta[0, 0]) + np.log(3.0))
    assert log_likelihood == pytest.approx(expected, rel=1e-12)


def test_rows_are_centred_before_they_are_rounded():
    random = np.random.default_rng(0)
    X, centre = 1e3 + random.normal(size=(1001, 2)), np.array([1e3 + 3e-5, 1e3 - 3e-5])
    assert (centre.astype(np.float32) == 1e3).all()
    assert_agrees(X.T, centre, some_theta(DENSE, 3, 2, random), DENSE, np.float32)


def test_numbers_are_of_the_type_of_theta():
    random = np.random.default_rng(0)
    X, theta = random.normal(size=(1000, 2)).astype(np.float32), some_theta(DENSE, 3, 2, random)
    single = theta.astype(np.float32)
    expected, scale, _ = in_long_form(X.T, np.zeros(2), single, DENSE)
    for rows in (X, X.astype(float)):
        wide, _ = expanded_sums(rows.T, np.zeros(2), single.astype(float), DENSE)
        assert (np.abs(wide - expected) / scale).max() <= DIGITS[np.float64][0]
        narrow, _ = expanded_sums(rows.T, np.zeros(2), single, DENSE)
        assert 1e-8 < (np.abs(narrow - expected) / scale).max() <= DIGITS[np.float32][0]


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_predictions_are_numpys(covariance_type, dtype, monkeypatch):
    n_features = FAMILIES[covariance_type].most_features or 3
    X = np.random.default_rng(5).normal(size=(500, n_features)).astype(dtype)
    model = GaussianMixture(4, covariance_type=covariance_type, random_state=0, tol=0.1).fit(X)
    said = []
    for worth in (np.inf, 0):
        monkeypatch.setattr("emgmm.estep.dispatch.COMPILED_FROM", worth)
        said.append([model.predict(X), model.predict_proba(X), model.score_samples(X)])
    for one, other in zip(*said, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11 if dtype == np.float64 else 1e-6)
