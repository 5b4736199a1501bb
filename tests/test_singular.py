"""Tables on which every covariance would be singular: refused without a ridge, in any row order."""

import tracemalloc

import numpy as np
import pytest
from conftest import clusters, identity_precisions

from emgmm import GaussianMixture, GaussianMixtureIC, blocks, covariances
from emgmm.covariances import FAMILIES
from emgmm.fitting.first_pass import em_of, singular_features
from emgmm.fitting.problem import Problem
from emgmm.mixture import Mixture
from emgmm.mstep import is_surely_accurate
from emgmm.sources import ArraySource

DENSE, DIAGONAL = (
    [name for name, family in FAMILIES.items() if family.structure == structure]
    for structure in (covariances.DENSE, covariances.DIAGONAL)
)
N = 90


def total(X):
    return np.c_[X, 3 * X[:, 0] - X[:, 1] + 1e3]


def constant(X):
    return np.c_[X, np.full(len(X), 0.1)]


def duplicate(X):
    return np.c_[X, X[:, 0] * 1e-7]


def indicators(X):
    return np.c_[X, np.eye(3)[np.random.default_rng(1).integers(3, size=len(X))]]


def standardized_total(X):
    """The values' own rounding hides the dependence from the last digits."""
    X = total(X + 1e3)
    return (X - X.mean(axis=0)) / X.std(axis=0)


TABLES = {
    total: (0, 1, 2),
    constant: (2,),
    duplicate: (0, 2),
    indicators: (2, 3, 4),
    standardized_total: (0, 1, 2),
}


def refusal(X, covariance_type, **parameters):
    model = GaussianMixture(
        2, covariance_type=covariance_type, reg_covar=0, random_state=0, **parameters
    )
    with pytest.raises(ValueError, match="ill-defined empirical covariance") as caught:
        model.fit(X)
    return str(caught.value)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
@pytest.mark.parametrize("covariance_type", DENSE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dependent_columns_are_refused_by_name_in_every_order_of_rows(
    covariance_type, table, dtype
):
    X = table(clusters(N, 2)).astype(dtype)
    names = ", ".join(map(str, TABLES[table]))
    sentence = f"because X is constant or linearly dependent in column {names}, with reg_covar=0"
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(N)
        assert sentence in refusal(X[order], covariance_type)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "EEE", "EEV", "EVE"])
def test_a_ridge_below_rounding_makes_nothing_definite(covariance_type):
    X = duplicate(clusters(N, 2))
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(N)
        model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=1e-300)
        with pytest.raises(ValueError, match="linearly dependent in column 0, 2"):
            model.fit(X[order])


@pytest.mark.parametrize(
    "covariance_type", [name for name in FAMILIES if FAMILIES[name].most_features is None]
)
@pytest.mark.parametrize("kind", ["repeated column", "repeated rows"])
@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_order_of_rows_does_not_matter_where_a_ridge_alone_gives_volume(covariance_type, kind):
    """Scatter that is nothing but rounding must not decide about a volume or a shape."""
    B = np.random.default_rng(6).normal(size=(60, 2))
    X = np.c_[B, B[:, 0]] if kind == "repeated column" else np.repeat(B[:6], 10, axis=0)
    given = {
        "weights_init": [0.5, 0.5],
        "means_init": X[[0, 59]],
        "precisions_init": identity_precisions(covariance_type, 2, X.shape[1]),
    }
    bounds = []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(len(X))
        model = GaussianMixture(2, covariance_type=covariance_type, max_iter=5, tol=0, **given)
        bounds.append(model.fit(X[order]).lower_bound_)
    np.testing.assert_allclose(bounds, bounds[0], atol=1e-6)


@pytest.mark.parametrize("covariance_type", DIAGONAL)
def test_only_constant_columns_are_singular_on_a_diagonal(covariance_type):
    X = clusters(N, 2)
    assert "in column 2, with reg_covar=0" in refusal(constant(X), covariance_type)
    model = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0)
    assert np.isfinite(model.fit(total(X)).lower_bound_)


@pytest.mark.parametrize("covariance_type", ["spherical", "EII", "VII"])
def test_a_constant_column_leaves_a_spherical_covariance_definite(covariance_type):
    model = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0)
    assert np.isfinite(model.fit(constant(clusters(N, 2))).lower_bound_)


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_a_column_that_varies_by_its_rounding_is_refused(covariance_type):
    X = np.c_[clusters(N, 2), 1e7 + np.arange(N) % 2]
    assert "2, with reg_covar=0" in refusal(X.astype(np.float32), covariance_type)
    model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0)
    assert np.isfinite(model.fit(X).lower_bound_)


def isotropic_beside_a_constant(constant, unit):
    column = unit * np.random.default_rng(0).normal(size=50)
    rows = np.column_stack([np.full(50, constant), column])
    with np.errstate(all="raise"):
        model = GaussianMixture(1, covariance_type="VII", reg_covar=0).fit(rows)
    return model.covariances_[0] / (column.var() / 2)


def test_a_constant_column_does_not_blur_the_other_one():
    for constant in (1e3, 1e8, 1e12):
        assert isotropic_beside_a_constant(constant, 1.0) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("constant", "unit"), [(1e20, 1.0), (2.0**177, 2.0**-446)])
def test_a_column_below_the_rounding_errors_of_a_constant_one_is_refused(constant, unit):
    with pytest.raises(ValueError, match="Column 0 is discrete"):
        isotropic_beside_a_constant(constant, unit)


def test_rows_of_weight_0_do_not_make_dependent_columns_independent():
    X = total(clusters(N, 2))
    X[::10, 2] += 1.0
    weights = np.ones(N)
    weights[::10] = 0.0
    model = GaussianMixture(2, reg_covar=0, random_state=0)
    with pytest.raises(ValueError, match="linearly dependent in column 0, 1, 2"):
        model.fit(X, sample_weight=weights)


def test_rows_of_which_nothing_was_observed_have_no_say():
    X = total(clusters(N, 2))
    X[::7] = np.nan
    assert "linearly dependent in column 0, 1, 2" in refusal(X, "full")
    X[:, 2] += 1e-3 * np.random.default_rng(0).normal(size=N)
    model = GaussianMixture(1, reg_covar=0).fit(X)
    seen = X[np.logical_not(np.isnan(X).any(axis=1))]
    np.testing.assert_allclose(model.covariances_[0], np.cov(seen.T, bias=True), rtol=1e-8)


def test_rows_in_blocks_are_judged_like_rows_in_one_array():
    X = total(clusters(N, 2))
    assert refusal(blocks([X[:40], X[40:]]), "full", init_params="random") == refusal(X, "full")


def test_columns_are_named_as_in_the_table():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(total(clusters(N, 2)), columns=["net", "tax", "gross"])
    assert "in column 0 ('net'), 1 ('tax'), 2 ('gross')" in refusal(table, "full")


@pytest.mark.parametrize("noise", [1e-5, 1e-3])
def test_columns_that_are_only_nearly_dependent_are_fitted(noise):
    """The scatter about the regression is that of the noise, as numpy's least squares finds it."""
    X = total(clusters(N, 2))
    X[:, 2] += noise * np.random.default_rng(0).normal(size=N)
    model = GaussianMixture(1, reg_covar=0).fit(X)
    A = np.c_[X[:, :2], np.ones(N)]
    residual = X[:, 2] - A @ np.linalg.lstsq(A, X[:, 2], rcond=None)[0]
    conditional = 1 / model.precisions_[0, 2, 2]
    np.testing.assert_allclose(conditional, np.mean(residual**2), rtol=1e-3)


def test_clusters_far_apart_along_a_diagonal_are_no_dependence():
    X = np.random.default_rng(0).normal(size=(N, 2))
    X[: N // 2] += 1e7
    model = GaussianMixture(2, reg_covar=0, random_state=0).fit(X)
    own = [np.cov(X[: N // 2].T, bias=True), np.cov(X[N // 2 :].T, bias=True)]
    order = np.argsort(-model.means_[:, 0])
    np.testing.assert_allclose(model.covariances_[order], own, rtol=1e-6)


def test_a_choice_says_of_every_dense_family_which_columns_depend_on_each_other():
    search = GaussianMixtureIC([1, 2], covariance_type=["full", "VVE", "diag"], random_state=0)
    search.fit(total(clusters(N, 2)))
    assert search.best_estimator_.covariance_type == "diag"
    reasons = dict(zip(search.results_["covariance_type"], search.results_["reason"], strict=True))
    for name in ("full", "VVE"):
        assert "linearly dependent in column 0, 1, 2" in reasons[name]


def correlated(correlation, mean):
    covariance = np.array([[1.0, correlation], [correlation, 1.0]])
    return Mixture.of(np.ones(1), np.array([[mean, 0.0]]), covariance[None], FAMILIES["full"])


@pytest.mark.parametrize(
    ("correlation", "mean", "centre"),
    [(1 - 1e-15, 0.0, 0.0), (1 - 1e-8, 0.0, 0.0), (0.0, 1e5, 0.0), (0.0, 1e15, 1e15)],
    ids=["singular", "collinear", "far from the centre", "rounding of the mean"],
)
def test_one_bound_shows_accuracy_only_where_each_bound_does(correlation, mean, centre):
    assert is_surely_accurate(correlated(0.9, 3.0), np.array([[1.0, 0.0]]))
    doubtful = correlated(correlation, mean)
    assert not is_surely_accurate(doubtful, np.array([[centre, 0.0]]))


def peak_of(function):
    """The most memory in bytes that a function takes."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("covariance_type", ["diag", "spherical", "EII", "VVI"])
def test_families_without_covariances_need_no_matrix_of_all_pairs_of_columns(covariance_type):
    X = np.random.default_rng(0).normal(size=(6, 2000))
    search = GaussianMixtureIC([1, 2], covariance_type=covariance_type, random_state=0)

    def use():
        search.fit(X).summary(X)
        search.diagnose(X)

    assert peak_of(use) < 8 * X.shape[1] ** 2


def judged(rows, covariance_type, ridge):
    em = em_of(ArraySource(rows), Problem(FAMILIES[covariance_type], 1, ridge))
    return singular_features(em)


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_a_column_is_singular_alone_if_its_deviation_is_below_its_rounding(covariance_type):
    """The bound is twice the relative rounding error of float32, 2**-23, times the largest value."""
    steps = np.arange(N) % 2  # whose standard deviation is 1/2
    for largest, singular in ((2.0**20, ()), (2.0**24 - 2, (1,))):
        rows = np.c_[clusters(N, 1), largest + 1 - steps].astype(np.float32)
        assert rows[:, 1].std(dtype=float) == 0.5
        assert judged(rows, covariance_type, 0.0) == singular
        assert judged(rows, covariance_type, 1e3) == ()
