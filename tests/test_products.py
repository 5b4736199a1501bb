"""phi and the two products of a block: however they are laid out and cut, they are the same."""

import numpy as np
import pytest

from emgmm.covariances import DENSE, DIAGONAL, ISOTROPIC
from emgmm.estep.blas import BY_ENTRY, BY_ROW, SMALL, feature_sums, log_joint_product
from emgmm.estep.features import WIDE, QuadraticFeatures

# Few lines by many entries and the other way round; rows that fill pieces and rows that do not;
# small products, products of which pieces are made, and large ones.
SIZES = [(8, 45, 6000), (8, 45, 5856), (2, 6, 500), (40, 45, 3000), (4, 257, 3331), (70, 150, 800)]


def test_the_sizes_are_on_both_sides_of_each_limit():
    small, pieces, whole = (set() for _ in range(3))
    for n_densities, n_entries, n_rows in SIZES:
        size = n_densities * n_entries
        for layout, most in (("entry", BY_ENTRY), ("row", BY_ROW)):
            kind = small if size * n_rows <= SMALL else pieces if size <= most else whole
            kind.add(layout)
    assert small == pieces == whole == {"entry", "row"}


@pytest.fixture(params=[np.float64, np.float32])
def dtype(request):
    return request.param


@pytest.fixture(params=SIZES, ids=str)
def factors(request, dtype):
    """theta, phi and responsibilities."""
    n_densities, n_entries, n_rows = request.param
    random = np.random.default_rng(4)
    theta = random.normal(size=(n_densities, n_entries))
    phi = random.normal(size=(n_entries, n_rows))
    shares = random.random((n_densities, n_rows))
    return tuple(factor.astype(dtype) for factor in (theta, phi, shares))


def assert_is_product(found, left, right):
    """Within the rounding of so many additions."""
    unit = np.finfo(left.dtype).eps
    exact = np.einsum("kb,bp->kp", left.astype(np.longdouble), right)
    scale = np.abs(left) @ np.abs(right)
    np.testing.assert_array_less(np.abs(found - exact), 100 * unit * np.sqrt(len(right)) * scale)


@pytest.mark.parametrize("order", ["C", "F"])
def test_small_products_are_parts_of_the_log_joint(factors, order):
    theta, phi, shares = factors
    joint = np.full_like(shares, np.nan)
    log_joint_product(theta, np.asarray(phi, order=order), joint)
    assert_is_product(joint, theta, phi)


@pytest.mark.parametrize("order", ["C", "F"])
def test_small_products_add_up_to_the_sums(factors, order):
    _, phi, shares = factors
    sums = feature_sums(shares, np.asarray(phi, order=order))
    assert sums.dtype == np.float64
    assert_is_product(sums, shares, phi.T)


@pytest.mark.parametrize("shape", [DENSE, DIAGONAL, ISOTROPIC, None])
@pytest.mark.parametrize("n_features", [WIDE - 1, WIDE])
def test_phi_is_the_same_of_rows_that_lie_by_row_and_by_feature(shape, n_features, dtype):
    X = np.random.default_rng(3).normal(size=(70, n_features)).astype(dtype)
    phi = QuadraticFeatures(X.mean(axis=0), shape, dtype)
    by_row = phi.transform(X.T).copy()
    by_feature = QuadraticFeatures(phi.centre, shape, dtype).transform(np.ascontiguousarray(X.T))
    tolerance = 4 * np.finfo(dtype).eps  # a sum of squares may be added in another order
    np.testing.assert_allclose(by_row, by_feature, rtol=tolerance)
    np.testing.assert_array_equal(by_row[0], 1.0)
    y = (X - phi.centre).T
    monomials = {DIAGONAL: y**2, ISOTROPIC: (y**2).sum(axis=0)[None], None: y[:0]}
    if shape in monomials:
        expected = np.concatenate([y, monomials[shape]])
        np.testing.assert_allclose(by_row[1:], expected, rtol=20 * np.finfo(dtype).eps)


def test_phi_of_float32_loses_nothing_but_the_rounding_of_each_entry():
    random = np.random.default_rng(5)
    X = (1e3 + random.normal(size=(400, 3))).astype(np.float32)
    phi = QuadraticFeatures(X.mean(axis=0, dtype=np.float64), DIAGONAL, np.float32)
    centred = phi.transform(X.T)[1:4]
    np.testing.assert_array_equal(centred, (X - phi.centre).T.astype(np.float32))
