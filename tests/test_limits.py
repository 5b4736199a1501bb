"""Numbers at the edge of what floating-point numbers hold: a right value, or one clear sentence."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from conftest import TYPES, clusters, dense, fit
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from emgmm import (
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureIC,
    GaussianMixtureOutlierDetector,
    GaussianMixtureRegressor,
    NormalInverseWishart,
    blocks,
)
from emgmm.covariances import FAMILIES
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.noise import Box, Noise
from emgmm.sources import ArraySource

X = clusters(400, 2, 2, seed=1)
FAR = (1e155, 1e200, 1.7e308)
MANY = 20_000  # rows with which predictions are made by another form of the E-step


@pytest.fixture(autouse=True)
def _no_numpy_warnings():
    """A warning of NumPy's about the values would be a leak, and is an error in all tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def with_far_row(far, n_rows=50, row=7):
    rows = np.resize(X, (n_rows, 2)).copy()
    rows[row] = [far, -far]
    return rows


# -- rows that are far out ------------------------------------------------------------------------
@pytest.mark.parametrize("n_rows", [50, MANY])
@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("covariance_type", [*TYPES, "EEI", "VEV"])
def test_a_row_out_of_reach_is_named(covariance_type, far, n_rows):
    model = fit(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X)
    rows = with_far_row(far, n_rows)
    near = np.delete(rows, 7, axis=0)
    found = model.score_samples(rows)
    assert found[7] == -np.inf
    assert_allclose(np.delete(found, 7), model.score_samples(near), rtol=1e-9)
    assert model.score(rows) == -np.inf
    for criterion in (model.bic, model.aic, model.icl):
        assert criterion(rows) == np.inf
    for use in (model.predict, model.predict_proba, model.predict_log_proba, model.summary):
        with pytest.raises(ValueError, match=r"^Row 7 of X, counted from 0, is so far"):
            use(rows)
    with pytest.raises(ValueError, match=r"^Row 7 of X, counted from 0, is so far"):
        list(model.predict(blocks([rows])))
    assert model.predict_proba(near).sum(axis=1) == pytest.approx(1)


def test_the_overlap_at_a_row_out_of_reach_is_not_known():
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0.0], [1.0]], covariances=[1e-300, 1e-300], covariance_type="V"
    )
    rows = np.array([[0.0], [1.0], [1e20]])
    assert_array_equal(model.diagnose(rows[:2]).overlap, np.eye(2))
    with pytest.raises(ValueError, match=r"^Row 2 of X, counted from 0, is so far"):
        model.diagnose(rows)


@pytest.mark.parametrize("n_rows", [50, MANY])
@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_noise_takes_a_row_out_of_reach(covariance_type, far, n_rows):
    model = fit(GaussianMixture(2, covariance_type=covariance_type, noise=1e-3, random_state=0), X)
    rows = with_far_row(far, n_rows)
    assert_array_equal(model.predict_proba(rows)[7], [0, 0, 1])
    assert_array_equal(model.predict_log_proba(rows)[7], [-np.inf, -np.inf, 0])
    assert model.predict(rows)[7] == -1
    expected = np.log(model.noise_weight_ * 1e-3)
    assert model.score_samples(rows)[7] == pytest.approx(expected, rel=1e-12)
    assert model.score(rows) == pytest.approx(model.score_samples(rows).mean(), rel=1e-9)


@pytest.mark.parametrize("n_rows", [50, MANY])
@pytest.mark.parametrize("exponent", [100, 150, 153, 160, 200, 250, 300])
@pytest.mark.parametrize("weights", [None, "given"])
def test_far_rows_are_compared_as_in_longer_numbers(exponent, n_rows, weights):
    """One component is so wide that it has the rows; their squares overflow for the other."""
    sds = np.array([1.0, 10.0 ** (exponent - 3)])
    if exponent > 150:
        sds[1] = 1e150
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], np.zeros((2, 2)), covariances=sds**2, covariance_type="spherical"
    )
    rows = with_far_row(10.0**exponent, n_rows)
    exact, wide = rows.astype(np.longdouble), sds.astype(np.longdouble)
    joint = np.stack(
        [
            np.log(0.5) - 2 * np.log(sd) - np.log(2 * np.pi) - (exact**2).sum(axis=1) / sd**2 / 2
            for sd in wide
        ]
    )
    total = np.logaddexp(*joint)
    assert_allclose(model.score_samples(rows), total.astype(float), rtol=1e-12)
    assert_array_equal(model.predict(rows), joint.argmax(axis=0))
    assert_allclose(model.predict_proba(rows), np.exp(joint - total).T.astype(float), atol=1e-12)
    counts = None if weights is None else np.where(np.arange(n_rows) == 7, 0.5, 1.0)
    mean = np.average(total, weights=counts)
    assert model.score(rows, sample_weight=counts) == pytest.approx(float(mean), rel=1e-9)


def test_weights_of_a_half_do_not_hide_a_row_out_of_reach():
    model = fit(GaussianMixture(2, random_state=0), X)
    for n_rows in (50, MANY):
        rows = with_far_row(1e200, n_rows)
        assert model.score(rows, sample_weight=np.full(n_rows, 0.5)) == -np.inf
        counts = np.ones(n_rows)
        counts[7] = 0
        assert np.isfinite(model.score(rows, sample_weight=counts))


@pytest.mark.parametrize("far", FAR)
def test_a_fit_names_the_column_whose_squares_overflow(far):
    model = GaussianMixture(2, random_state=0)
    before = dict(vars(model))
    rows = X.copy()
    rows[3, 1] = far
    with pytest.raises(ValueError, match=r"in row 3, column 1, counted from 0: drop"):
        model.fit(rows)
    assert vars(model) == before


def test_a_fit_names_the_row_that_no_component_reaches():
    start = {
        "weights_init": [0.5, 0.5],
        "means_init": [[0.0, 0.0], [0.0, 0.0]],
        "precisions_init": [1e200, 1e200],
        "covariance_type": "spherical",
    }
    rows = 1e-100 * X
    rows[5] = 1e90
    with pytest.raises(ValueError, match=r"^Row 5 of X, counted from 0, is so far"):
        fit(GaussianMixture(2, **start, reg_covar=0, max_iter=3), rows)


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("noise", ["uniform", 1e-3])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_with_noise_too_a_fit_names_the_column_whose_squares_overflow(
    covariance_type, noise, far, method
):
    model = fit(GaussianMixture(2, covariance_type=covariance_type, noise=noise, random_state=0), X)
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match=r"in row 7, column 0, counted from 0: drop"):
        getattr(model, method)(with_far_row(far))
    assert pickle.dumps(vars(model)) == before


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "hierarchical"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_equal_rows_whose_squares_overflow_are_refused_although_they_do_not_vary(
    init_params, method
):
    rows = X.copy()
    rows[:, 1] = 2.0**600  # the mean is exact, so that squares about it are 0
    with pytest.raises(ValueError, match=r"4.14952e\+180 in row 0, column 1, counted from 0: drop"):
        getattr(GaussianMixture(1, init_params=init_params, random_state=0), method)(rows)


@pytest.mark.parametrize("scale", [1.0, 2.0**60, 2.0**-60, 1e300])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_range_of_rows_does_not_depend_on_what_they_count(covariance_type, scale):
    rows = X / np.abs(X).max()
    model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0)
    weights = np.full(len(rows), scale)
    fit(model, 9e129 * rows, sample_weight=weights)
    covariance = 9e129 * (9e129 * np.cov(rows.T, bias=True))
    assert_allclose(np.diag(dense(model)[0]).mean(), np.diag(covariance).mean(), rtol=1e-9)
    with pytest.raises(ValueError, match="a value too large for dtype"):
        fit(model, 1.1e130 * rows, sample_weight=weights)


@pytest.mark.parametrize("covariance_type", [name for name in FAMILIES if name not in "EV"])
@pytest.mark.parametrize("acceleration", [None, "anderson"])
@pytest.mark.parametrize("reg_covar", [0, 1e-300])
def test_a_fit_that_meets_extreme_precisions_ends_as_with_overflow_ignored(
    covariance_type, acceleration, reg_covar
):
    """A single far row and a column of few values: precisions of 1e300 beside distances of 1e12."""
    rows = np.column_stack([X[:60], np.repeat([0.0, 1.0, 0.0, 1.0, 0.0], 12)])
    rows[7] = [1e12, -1e11, 1.0]
    parameters = {"covariance_type": covariance_type, "reg_covar": reg_covar, "random_state": 0}
    ends = []
    for how in ("raise", "ignore"):
        model = GaussianMixture(3, **parameters, acceleration=acceleration)
        with np.errstate(over=how, invalid=how), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                ends.append(model.fit(rows).score_samples(rows).tolist())
            except ValueError as error:
                ends.append(str(error))
    assert ends[0] == ends[1]


def test_a_conditional_mean_whose_square_overflows_is_out_of_reach():
    """An ordinary value of one column; what it says of the other is beyond the range of squares."""
    sds = np.array([1.0, 1e127])
    covariance = np.outer(sds, sds) * [[1.0, 0.9], [0.9, 1.0]]
    model = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], covariances=[covariance])
    rows = X * sds
    rows[:9, 1] = np.nan
    rows[3, 0] = 1e30
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match=r"1e\+30 in row 3, column 0, counted from 0, so nothing"):
        model.partial_fit(rows)
    assert pickle.dumps(vars(model)) == before


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_noise_takes_a_far_row_that_misses_something(covariance_type, far):
    shape = FAMILIES[covariance_type].element_shape(1, 2)
    covariance = (
        np.array([[1e-4, 9e-5], [9e-5, 1e-4]])
        if len(shape) > 1 and shape[-2:] == (2, 2)
        else np.full(shape, 1e-4)
    )
    model = GaussianMixture.from_parameters(
        [0.5],
        [[0.0, 0.0]],
        covariances=np.broadcast_to(covariance, shape),
        covariance_type=covariance_type,
        noise=1e-3,
        noise_weight=0.5,
    )
    for row in ([far, np.nan], [np.nan, -far]):
        assert_array_equal(model.predict_proba([row]), [[0, 1]])
        assert np.isfinite(model.score_samples([row])).all()


# -- small units --------------------------------------------------------------------------------
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize(
    ("dtype", "scale", "holds"),
    [
        (np.float32, 1e-17, True),
        (np.float32, 1e-19, False),
        (np.float32, 1e-22, False),
        (np.float64, 1e-22, True),
        (np.float64, 1e-152, True),
        (np.float64, 1e-155, False),
    ],
)
def test_precisions_are_finite_or_the_fit_is_refused(covariance_type, dtype, scale, holds):
    rows = (scale * X / X.std()).astype(dtype)
    labels = (X[:, 0] > X[:, 0].mean()).astype(int)
    model = GaussianMixture(
        2, covariance_type=covariance_type, reg_covar=0, init_params=lambda *_: labels
    )
    if not holds:
        who = "covariance that all components share" if covariance_type == "tied" else "components"
        sentence = f"float64 data instead of float32.*Singular: .*({who}|column)"
        if dtype == np.float64:
            sentence = "column 0, 1, .* their variance underflows"
        with pytest.raises(ValueError, match=sentence):
            fit(model, rows)
        return
    fit(model, rows)
    assert np.isfinite(model.precisions_).all()
    other = fit(model.__class__(**model.get_params()), X / X.std())
    assert_allclose(model.covariances_ / scale**2, other.covariances_, rtol=1e-3)
    copy = pickle.loads(pickle.dumps(model.set_params(init_params="random")))
    assert_array_equal(copy.predict(rows), model.predict(rows))


@pytest.mark.parametrize("what", ["covariances", "precisions"])
@pytest.mark.parametrize(("dtype", "value"), [(np.float32, 1e-39), (np.float64, 1e-310)])
def test_given_parameters_whose_inverse_overflows_are_refused(what, dtype, value):
    given = {what: np.array([1.0, value], dtype)}
    with pytest.raises(ValueError, match=f"of component 1 is beyond the range of {dtype.__name__}"):
        GaussianMixture.from_parameters(
            np.array([0.5, 0.5], dtype),
            np.zeros((2, 1), dtype),
            covariance_type="spherical",
            **given,
        )


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_one_infinite_covariance_among_finite_ones_is_found(covariance_type):
    family = FAMILIES[covariance_type]
    covariances = np.ones(family.element_shape(3, 2))
    if covariance_type == "full":
        covariances[:] = np.eye(2)
    covariances[1] *= 1e39
    with pytest.raises(DegenerateCovarianceError) as caught:
        Mixture.of(np.full(3, 1 / 3), np.zeros((3, 2), np.float32), covariances, family)
    assert caught.value.components == (1,)


# -- noise ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("density", [1e-320, 5e-324, 1e-308, 1e-300, 1e300, 1e308])
@pytest.mark.parametrize("n_features", [1, 2])
def test_extreme_densities_of_noise_are_right_or_refused(density, n_features):
    def made():
        return GaussianMixture.from_parameters(
            [0.5],
            [[0.0] * n_features],
            precisions=[1.0],
            covariance_type="spherical",
            noise=density,
            noise_weight=0.5,
        )

    if n_features == 1 and density < 1e-308:
        with pytest.raises(ValueError, match=f"noise={density} cannot be the density of a box"):
            made()
        with pytest.raises(ValueError, match=f"noise={density} cannot be the density of a box"):
            GaussianMixture(2, noise=density, random_state=0).fit(X[:, :1])
        return
    rows = np.zeros((1, n_features))
    peak = -0.5 * n_features * np.log(2 * np.pi)
    expected = np.log(0.5) + np.logaddexp(peak, np.log(density))
    assert made().score_samples(rows)[0] == pytest.approx(expected, rel=1e-12)


def off_centre(n_rows=400):
    """Rows far off the origin, on rectangles of unequal sides."""
    random = np.random.default_rng(0)
    return np.array([100.0, -50.0]) + random.normal(size=(n_rows, 2)) * [1.0, 5.0]


def test_noise_of_a_given_density_is_drawn_about_the_rows():
    rows, density = off_centre(), 1e-4
    model = fit(GaussianMixture(1, noise=density, random_state=0), rows)
    model.noise_weight_, model.weights_ = 0.9, np.array([0.1])
    drawn, labels = model.sample(40_000, random_state=0)
    drawn = drawn[labels == -1]
    sides = np.ptp(rows, axis=0)
    wanted = sides * (1 / density / sides.prod()) ** 0.5
    middle = (rows.min(axis=0) + rows.max(axis=0)) / 2
    assert len(drawn) > 30_000
    assert_allclose(np.ptp(drawn, axis=0), wanted, rtol=1e-2)
    assert_allclose(drawn.min(axis=0), middle - wanted / 2, atol=1e-2 * wanted.max())
    assert_allclose(drawn.max(axis=0), middle + wanted / 2, atol=1e-2 * wanted.max())
    assert_allclose(drawn.mean(axis=0), middle, atol=2e-2 * wanted.max())


def test_a_sample_without_a_row_of_noise_needs_no_place_for_it():
    for noise in (1e-3, lambda rows: np.full(len(rows), -7.0)):
        model = GaussianMixture.from_parameters(
            [1 - 1e-9],
            [[0.0]],
            covariances=[1.0],
            covariance_type="spherical",
            noise=noise,
            noise_weight=1e-9,
        )
        rows, labels = model.sample(100, random_state=0)
        assert rows.shape == (100, 1)
        assert (labels == 0).all()
        model = GaussianMixture.from_parameters(
            [0.5],
            [[0.0]],
            covariances=[1.0],
            covariance_type="spherical",
            noise=noise,
            noise_weight=0.5,
        )
        with pytest.raises(ValueError, match=r"drawn|sample a model without noise"):
            model.sample(100, random_state=0)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_uniform_noise_over_collinear_columns_fills_the_box_along_the_features(covariance_type):
    """A box along the principal axes would have no volume."""
    first = X[:, 0]
    rows = np.column_stack((first, 2.0 * first))
    model = fit(
        GaussianMixture(2, covariance_type=covariance_type, noise="uniform", random_state=0), rows
    )
    far = 1e6 * np.ones((1, 2))
    density = np.exp(model.score_samples(far)[0]) / model.noise_weight_
    assert density == pytest.approx(1 / np.ptp(rows, axis=0).prod(), rel=1e-9)


@pytest.mark.parametrize("noise", [2e-3, "uniform"])
def test_one_step_from_a_given_start_with_noise(noise):
    """An M-step of responsibilities in long form."""
    rows = off_centre()
    start = {
        "weights_init": np.array([0.5, 0.2]),
        "means_init": np.array([[99.0, -52.0], [101.0, -48.0]]),
        "precisions_init": np.array([np.eye(2), 0.1 * np.eye(2)]),
    }
    model = fit(GaussianMixture(2, noise=noise, reg_covar=0, max_iter=1, **start), rows)
    density = 2e-3
    if noise == "uniform":
        axes = np.linalg.eigh(np.cov(rows.T))[1]
        density = 1 / min(np.ptp(rows, axis=0).prod(), np.ptp(rows @ axes, axis=0).prod())
    joint = np.stack(
        [
            np.log(w) + multivariate_normal(m, np.linalg.inv(p)).logpdf(rows)
            for w, m, p in zip(*start.values(), strict=True)
        ]
        + [np.full(len(rows), np.log(0.3 * density))]
    )
    shares = np.exp(joint - logsumexp(joint, axis=0))
    mass = shares.sum(axis=1)
    assert_allclose(model.weights_, mass[:2] / len(rows), rtol=1e-9)
    assert model.noise_weight_ == pytest.approx(mass[2] / len(rows), rel=1e-9)
    for k in range(2):
        assert_allclose(model.means_[k], np.average(rows, axis=0, weights=shares[k]), rtol=1e-9)
        expected = np.cov(rows.T, aweights=shares[k], ddof=0)
        assert_allclose(dense(model)[k], expected, rtol=1e-8)
    drawn, labels = model.sample(50_000, random_state=0)
    counts = [(labels == k).mean() for k in (0, 1, -1)]
    assert_allclose(counts, [*model.weights_, model.noise_weight_], atol=0.01)
    for k in range(2):
        assert_allclose(np.cov(drawn[labels == k].T), dense(model)[k], rtol=0.1, atol=0.1)


# -- priors ---------------------------------------------------------------------------------------
SHAPES = {
    "a column": ({"mean": [[0.0], [0.0]]}, r"mean must hold one number .* shape \(2, 1\)"),
    "a line": ({"mean": [[0.0, 0.0]]}, r"mean must hold one number .* shape \(1, 2\)"),
    "a matrix": ({"mean": np.zeros((2, 2))}, r"mean must hold one number .* shape \(2, 2\)"),
    "nothing": ({"mean": []}, r"mean must hold one number .* shape \(0,\)"),
    "ragged": ({"mean": [[0.0], [0.0, 1.0]]}, "mean must be an array of numbers"),
    "words": ({"mean": ["a", "b"]}, "mean must be an array of numbers, but is"),
    "complex": ({"mean": [1j, 0]}, "mean must be an array of numbers"),
    "flags": ({"mean": [True, False]}, "mean must be an array of numbers"),
    "nan": ({"mean": [np.nan, 0]}, "mean must be finite"),
    "masked": ({"mean": np.ma.array([0.0, 9.0], mask=[0, 1])}, "mean must be finite"),
    "one of two": ({"mean": 0.0}, "mean is for 1 feature, but X has 2"),
    "three of two": ({"mean": np.zeros(3)}, "mean is for 3 features, but X has 2"),
    "a scalar scale": ({"scale": 1.0}, r"symmetric \(D, D\) matrix, but has the shape \(\)"),
    "a diagonal": ({"scale": [1.0, 1.0]}, r"matrix, but has the shape \(2,\)"),
    "a rectangle": ({"scale": np.ones((2, 3))}, r"matrix, but has the shape \(2, 3\)"),
    "a stack": ({"scale": np.eye(2)[None]}, r"matrix, but has the shape \(1, 2, 2\)"),
    "an empty scale": ({"scale": [[]]}, r"matrix, but has the shape \(1, 0\)"),
    "a scale of flags": ({"scale": np.eye(2) > 0}, "scale must be an array of numbers"),
    "a scale with nan": ({"scale": [[1, np.nan], [np.nan, 1]]}, "scale must be finite"),
    "one feature's scale": ({"scale": [[1.0]]}, "scale is for 1 feature, but X has 2"),
    "crooked in small units": ({"scale": [[1e-9, 5e-10], [4e-10, 1e-9]]}, "must be a symmetric"),
    "singular": ({"scale": [[1.0, 1.0], [1.0, 1.0 + 1e-15]]}, "positive definite"),
    "singular in mixed units": ({"scale": [[1e-12, 1e-6], [1e-6, 1.0]]}, "positive definite"),
    "a negative variance": ({"scale": [[-1.0, 0.0], [0.0, 1.0]]}, "positive definite"),
}


@pytest.mark.parametrize(("arguments", "message"), SHAPES.values(), ids=SHAPES)
def test_what_a_prior_cannot_be_is_described(arguments, message):
    with pytest.raises(ValueError, match=f"^the prior's .*{message}"):
        GaussianMixture(2, prior=NormalInverseWishart(**arguments), random_state=0).fit(X)


@pytest.mark.parametrize("factor", [1e-152, 1e-12, 1.0, 1e12])
def test_what_a_prior_may_be_does_not_depend_on_units(factor, tmp_path):
    scale = factor**2 * np.array([[2.0, 0.5], [0.5, 1.0]])
    with np.errstate(all="raise"):
        prior = NormalInverseWishart(mean=np.zeros(2), scale=scale, dof=5)
    one = NormalInverseWishart(mean=np.zeros(2), scale=scale / factor**2, dof=5)
    ours = fit(GaussianMixture(1, prior=prior), factor * X)
    assert_allclose(
        ours.covariances_ / factor**2, fit(GaussianMixture(1, prior=one), X).covariances_, rtol=1e-9
    )
    ours.save(tmp_path / "model.json")
    with np.errstate(all="raise"):
        loaded = GaussianMixture.load(tmp_path / "model.json")
    assert_array_equal(loaded.covariances_, ours.covariances_)


@pytest.mark.parametrize("precisions", [1e300 * np.tile(np.eye(2), (2, 1, 1)), np.full(2, 1e300)])
def test_components_whose_squared_distance_overflows_are_beyond_reach(precisions):
    """Each row is the mean of a component, whose variances are 1e-300."""
    rows, kind = np.array([[0.0, 1.0], [1e9, 2.0]]), "full" if precisions.ndim == 3 else "spherical"
    model = GaussianMixture(2, covariance_type=kind, max_iter=0, weights_init=[0.5, 0.5])
    fit(model.set_params(means_init=rows, precisions_init=precisions), rows)
    with np.errstate(all="raise"):
        assert_array_equal(model.predict(rows), [0, 1])
        found = model.score_samples(np.tile(rows, (20_000, 1)))  # enough for the expanded E-step
    assert_allclose(found, np.log(0.5 / (2 * np.pi)) + np.log(1e300), rtol=1e-12)


def test_noise_is_drawn_in_any_unit():
    """Uniform numbers times the sides of the box, about 1e-308, underflow."""
    rows = 1e-308 * np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    density = Box.between(rows.min(axis=0), rows.max(axis=0))
    with np.errstate(all="raise"):
        mixture = Mixture.of(
            np.zeros(1), np.zeros((1, 2)), np.ones((1, 2)), FAMILIES["diag"], Noise(1.0, density)
        )
        drawn, components = mixture.sample(1000, np.random.RandomState(0))
    assert (components == -1).all()
    assert_allclose(drawn.mean(axis=0), 0.5e-308, rtol=0.1)
    assert (drawn >= 0).all()
    assert (drawn <= 1e-308).all()


@pytest.mark.parametrize("weight_concentration", [1.0, 2.0])
def test_weights_sum_to_one_if_rows_are_beyond_the_reach_of_the_start(weight_concentration):
    """The variances of the start are 1e-300, and the density at the first row is 0 there."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    X[0] = 1e6
    model = GaussianMixture(
        2,
        covariance_type="diag",
        means_init=X[1:3],
        precisions_init=np.full((2, 2), 1e300),
        reg_covar=1e-6,
        max_iter=1,
        weight_concentration=weight_concentration,
    )
    fit(model, X)
    assert model.weights_.sum() == pytest.approx(1, abs=1e-12)
    assert np.isfinite(model.lower_bound_)


def test_too_few_rows_that_start_a_shared_covariance_are_refused():
    """The scatter of two rows about the mean of all has rank 2; rounding may seem to add another."""
    for seed in range(40):
        X = np.random.default_rng(seed).normal(size=(30, 3))
        parameters = {"reg_covar": 0, "max_iter": 0, "init_params": "k-means++"}
        model = GaussianMixture(2, covariance_type="tied", random_state=seed, **parameters)
        with pytest.raises(ValueError, match="covariance"):
            fit(model, X)


@pytest.mark.parametrize("holed", [False, True])
@pytest.mark.parametrize("all_rows", [False, True])
def test_weight_of_the_rows_that_are_within_reach(all_rows, holed):
    X = (
        np.random.default_rng(0).normal(size=(12, 2))
        + 1e6 * (np.arange(12) < 12 * all_rows)[:, None]
    )
    X[0] = 1e6
    if holed:
        X[1], X[2, 0] = np.nan, np.nan
    source = ArraySource(X, complete=not holed)
    em = EM(source, MStep(FAMILIES["diag"], 0.0, X.dtype), 2)
    means, variances = np.array([[0.0, 0.0], [1.0, 1.0]]), np.full((2, 2), 1e-300)
    statistics = em.expect(Mixture.of(np.array([0.4, 0.6]), means, variances, FAMILIES["diag"]))
    assert statistics.log_likelihood == -np.inf
    assert statistics.seen == pytest.approx(12 - holed if all_rows else 11 - holed)


# -- parameters and rows of which nothing can be computed -----------------------------------------
def test_a_concentration_whose_sums_overflow_is_refused_by_name():
    for model in (GaussianMixture(2), GaussianMixtureIC(2), GaussianMixtureOutlierDetector(2)):
        with pytest.raises(ValueError, match=r"weight_concentration=.* overflow"):
            model.set_params(weight_concentration=1e308).fit(X)
    model = GaussianMixture(2, weight_concentration=1e299, random_state=0)
    assert_allclose(fit(model, X).weights_, 0.5, rtol=1e-12)


def test_that_every_value_is_missing_is_what_is_said():
    nothing, y = np.full((20, 2), np.nan), np.arange(20) % 2
    selection = GaussianMixtureIC(2)
    for model in (GaussianMixture(2), GaussianMixtureOutlierDetector(2), selection):
        with pytest.raises(ValueError, match="X has no observed value"):
            model.fit(nothing)
    with pytest.raises(ValueError, match="X has no observed value"):
        GaussianMixtureClassifier(2).fit(nothing, y)
    with pytest.raises(ValueError, match="X has no observed value"):
        GaussianMixture(2).fit(blocks([nothing, nothing]))


def test_more_draws_than_an_array_can_hold_are_refused():
    model = fit(GaussianMixture(2, random_state=0), X)
    distribution = model.distribution()
    with pytest.raises(ValueError, match="more than an array can hold"):
        model.sample(10**30)
    for size in (10**30, 2**63, (2**40, 2**40), 2**62):
        with pytest.raises(ValueError, match="more than an array can hold"):
            distribution.rvs(size)


# -- float32 --------------------------------------------------------------------------------------
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++"])
def test_clusters_do_not_depend_on_a_unit_in_which_squares_overflow_float32(init_params):
    """A power of 2 changes no digit."""
    unit, rows = 2.0**62, X.astype(np.float32)
    start = {"init_params": init_params, "max_iter": 0, "random_state": 0, "noise": "uniform"}
    ours = fit(GaussianMixture(2, reg_covar=1.0, **start), rows)
    theirs = fit(GaussianMixture(2, reg_covar=unit**2, **start), rows * np.float32(unit))
    assert_allclose(theirs.means_ / unit, ours.means_, rtol=1e-6)


def test_initial_means_beyond_the_type_of_the_rows_are_refused_by_name():
    given = [[1e39, 0.0], [0.0, 0.0]]
    with pytest.raises(ValueError, match="means_init holds a number beyond the range of float32"):
        GaussianMixture(2, means_init=given, random_state=0).fit(X.astype(np.float32))


@pytest.mark.parametrize("prior", [None, "conjugate"])
@pytest.mark.parametrize("max_iter", [0, 3])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_initial_means_that_are_far_out_overflow_nothing(prior, max_iter, covariance_type):
    arguments = {"means_init": [[1e300, 0.0], [0.0, 0.0]], "max_iter": max_iter, "prior": prior}
    with np.errstate(all="raise"):
        model = fit(GaussianMixture(2, covariance_type=covariance_type, **arguments), X)
    assert model.predict(X).tolist() == [1] * len(X)


def test_a_response_whose_variance_underflows_beside_the_ridge_has_that_of_the_ridge():
    rows = clusters(40, 3, 2) * [1e-150, 1.0, 1.0]
    y = (rows[:, 0] * 1e150 + np.random.default_rng(0).normal(size=40)) * 1e-100
    model = GaussianMixtureRegressor(2, covariance_type="tied", reg_covar=1e-6, random_state=0)
    with np.errstate(all="raise"):
        mean, sd = fit(model, rows, y=y).predict(rows, return_std=True)
    assert_allclose(sd, model.reg_covar**0.5, rtol=1e-6)
    assert (np.abs(mean) <= np.abs(y).max()).all()
