"""Streams: stepwise EM against its equations in long form, and what a user meets on the way."""

from __future__ import annotations

import io
import json
import pickle
import re

import numpy as np
import pytest
from conftest import TYPES, clusters, dense, fit, given_start, relative_error
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.metadata_routing import get_routing_for_object

from emgmm import Ending, GaussianMixture, NormalInverseWishart, blocks, mstep

types = pytest.mark.parametrize("covariance_type", TYPES)
X = clusters(600, 3, 3)
BLOCKS = np.split(X, 6)
COUNTS = np.random.default_rng(7).integers(0, 4, size=(6, 100))
RIDGE = 1e-6


def model_of(covariance_type="full", **arguments):
    return GaussianMixture(**{**given_start(X, 3, covariance_type), **arguments})


class Telling(pickle.Pickler):
    """Arrays by type, shape and bytes; pickle would also tell which share one dtype object."""

    def reducer_override(self, value):
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return bytes, (repr((value.dtype.str, value.shape)).encode() + value.tobytes(),)
        return NotImplemented


def told(value):
    text = io.BytesIO()
    Telling(text).dump(value)
    return text.getvalue()


def state(model):
    """Everything the estimator holds, as text that tells any two states apart."""
    return {name: told(value) for name, value in vars(model).items()}


class LongForm:
    """Stepwise EM about zero, row by row, with scipy's densities."""

    def __init__(self, model):
        K, D = np.shape(model.means_init)
        self.type = model.covariance_type
        self.weights, self.means = model.weights_init, np.asarray(model.means_init)
        precisions = np.asarray(model.precisions_init)
        if self.type == "diag":
            precisions = np.stack([np.diag(row) for row in precisions])
        elif self.type != "full":
            precisions = np.broadcast_to(precisions, (D, D)) if precisions.ndim == 2 else precisions
            precisions = np.stack(
                [precisions] * K
                if precisions.ndim == 2
                else [value * np.eye(D) for value in precisions]
            )
        self.covariances = np.linalg.inv(precisions)
        self.sums = None

    def statistics(self, rows, counts):
        log_joint = np.stack(
            [
                np.log(w) + multivariate_normal(m, c).logpdf(rows)
                for w, m, c in zip(self.weights, self.means, self.covariances, strict=True)
            ]
        )
        shares = softmax(log_joint, axis=0) * counts
        sums = (
            shares.sum(axis=1),
            shares @ rows,
            np.einsum("kn,ni,nj->kij", shares, rows, rows),
            np.sum(counts * logsumexp(log_joint, axis=0)),
        )
        return [part / counts.sum() for part in sums]

    def follow(self, rows, gamma, counts=None):
        now = self.statistics(rows, np.ones(len(rows)) if counts is None else counts)
        if self.sums is None:
            self.sums = now
        else:
            pairs = zip(self.sums, now, strict=True)
            self.sums = [before + gamma * (after - before) for before, after in pairs]
        mass, first, second, self.running_mean = self.sums
        self.weights, self.means = mass, first / mass[:, None]
        centred = second / mass[:, None, None]
        centred = centred - self.means[:, :, None] * self.means[:, None, :]
        D = self.means.shape[1]
        if self.type == "tied":
            centred = np.repeat(np.einsum("k,kij->ij", mass, centred)[None], len(mass), axis=0)
        elif self.type == "diag":
            centred = centred * np.eye(D)
        elif self.type == "spherical":
            centred = np.einsum("kii->k", centred)[:, None, None] / D * np.eye(D)
        self.covariances = centred + RIDGE * np.eye(D)


def assert_follows(model, long_form, tolerance=1e-10):
    np.testing.assert_allclose(model.weights_, long_form.weights, rtol=tolerance)
    np.testing.assert_allclose(model.means_, long_form.means, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        dense(model), long_form.covariances, rtol=100 * tolerance, atol=tolerance
    )
    assert model.lower_bound_ == pytest.approx(long_form.running_mean, rel=tolerance)


@types
@pytest.mark.parametrize(
    ("arguments", "gamma"),
    [
        ({}, lambda t: (t + 2) ** -0.6),
        ({"learning_decay": 1, "learning_offset": 0}, lambda t: 1 / t),
        ({"forgetting": 0.25}, lambda _: 0.25),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_stepwise_em_in_long_form(covariance_type, arguments, gamma, weighted):
    model = model_of(covariance_type, **arguments)
    long_form = LongForm(model)
    for call, (rows, counts) in enumerate(zip(BLOCKS, COUNTS, strict=True), start=1):
        model.partial_fit(rows, sample_weight=counts if weighted else None)
        long_form.follow(rows, gamma(call), counts if weighted else None)
        assert_follows(model, long_form)
        assert model.n_iter_ == call
    assert model.ending_ is Ending.STREAM
    assert model.lower_bounds_ == []
    assert not model.converged_
    assert np.isnan(model.remaining_gain_)


@types
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_with_forgetting_one_each_call_is_a_step_of_em_on_its_block(covariance_type, dtype):
    model = model_of(covariance_type, forgetting=1, tol=0, max_iter=1)
    single = 1e-5 if dtype == np.float32 else 1e-11
    for rows in BLOCKS:
        rows = rows.astype(dtype)
        step = fit(clone(model), rows)
        model.partial_fit(rows)
        assert relative_error(model, step) < single
        assert model.means_.dtype == model.covariances_.dtype == dtype
        model.set_params(
            weights_init=model.weights_ / model.weights_.sum(),
            means_init=model.means_,
            precisions_init=model.precisions_,
        )


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_the_first_call_starts_as_fit_does_and_makes_one_step(init_params):
    model = GaussianMixture(3, init_params=init_params, random_state=3, tol=0, max_iter=1)
    step = fit(clone(model), BLOCKS[0])
    assert relative_error(model.partial_fit(BLOCKS[0]), step) < 1e-11
    assert model.lower_bound_ == pytest.approx(step.history_["objective"][0], rel=1e-12)


@types
def test_a_weight_is_a_number_of_rows(covariance_type):
    weighted, repeated = model_of(covariance_type), model_of(covariance_type)
    for rows, counts in zip(BLOCKS, COUNTS, strict=True):
        weighted.partial_fit(rows, sample_weight=counts)
        repeated.partial_fit(rows.repeat(counts, axis=0))
    assert relative_error(weighted, repeated) < 1e-10
    assert weighted._stream.weight == repeated._stream.weight == COUNTS.sum()


@types
def test_far_from_zero_digits_are_kept(covariance_type):
    start = given_start(X, 3, covariance_type)
    near = GaussianMixture(**start)
    far = GaussianMixture(**{**start, "means_init": start["means_init"] + 1e7})
    for rows in BLOCKS:
        near.partial_fit(rows)
        far.partial_fit(rows + 1e7)
    np.testing.assert_allclose(far.means_ - 1e7, near.means_, atol=1e-6)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-6, atol=1e-7)


def test_a_narrow_component_is_measured_about_its_own_mean():
    """What the packed form's common centre cannot hold is taken again, with what was kept."""
    random = np.random.default_rng(0)
    start = {"weights_init": [0.5, 0.5], "means_init": [[0.4, 0.4], [0.9, 0.9]]}
    model = GaussianMixture(
        2, precisions_init=[10 * np.eye(2)] * 2, reg_covar=0, forgetting=0.5, **start
    )
    parts = [1e-7 * random.normal(size=(80, 50, 2)) + c for c in (0.0, 1.0)]
    for block in zip(*parts, strict=True):
        model.partial_fit(np.concatenate(block))
    # The first step still had both within reach, of which nothing is left after 80 halvings.
    counts = np.repeat(0.5 ** np.arange(80, 0, -1.0), 50)
    for k, part in enumerate(parts):
        rows = part.reshape(-1, 2)
        np.testing.assert_allclose(model.means_[k], counts @ rows / counts.sum(), atol=1e-15)
        exact = np.cov(rows.T, ddof=0, aweights=counts)
        np.testing.assert_allclose(model.covariances_[k], exact, rtol=1e-6, atol=1e-21)


@types
def test_moments_that_are_taken_again_are_blended_too(covariance_type, monkeypatch):
    monkeypatch.setattr(mstep, "MAX_ERROR", 0.0)  # none are good enough the first time
    model = model_of(covariance_type)
    long_form = LongForm(model)
    for call, rows in enumerate(BLOCKS, start=1):
        long_form.follow(rows, (call + 2) ** -0.6)
        assert_follows(model.partial_fit(rows), long_form)


def separated(n_rows):
    """Three clusters that every type of covariance describes, and a start."""
    random = np.random.default_rng(0)
    means = np.array([[0, 0], [6, 0], [0, 6]])
    rows = means[random.integers(3, size=n_rows)] + random.normal(size=(n_rows, 2))
    return rows, [[1, 1], [4, 0], [0, 4]]


@types
def test_a_stationary_stream_comes_as_near_as_its_last_blocks_allow(covariance_type):
    """An estimate from n rows is short of the best by p / (2 n) nats a row.

    A decayed sum with share gamma stands for 2 / gamma blocks. Three times that much a chi-square
    with as many degrees of freedom as there are parameters passes once in 1e5 times.
    """
    (rows, means), block = separated(100_000), 1000
    start = {**given_start(rows, 3, covariance_type), "means_init": means}
    batch = fit(GaussianMixture(**start, tol=1e-6), rows)
    model = GaussianMixture(**start)
    for part in np.split(rows, len(rows) // block):
        model.partial_fit(part)
    gamma = (len(rows) // block + 2) ** -0.6
    expected = model.n_parameters() / (2 * block * 2 / gamma)
    assert batch.lower_bound_ - model.score(rows) < 3 * expected < 0.001
    # The running mean is one of 2 / gamma blocks of rows whose log-densities have an sd near 1.
    assert model.lower_bound_ == pytest.approx(batch.lower_bound_, abs=4 * (gamma / block) ** 0.5)


def test_forgetting_follows_a_mean_that_moves():
    random = np.random.default_rng(1)
    steady = GaussianMixture(2, random_state=0)
    following = GaussianMixture(2, forgetting=0.3, random_state=0)
    for t in range(150):
        offset = 0.1 * t
        rows = random.normal(size=(200, 1)) + np.repeat([-4.0, 4.0], 100)[:, None] + offset
        steady.partial_fit(rows)
        following.partial_fit(rows)
    # A decayed sum lags by (1 - g) / g blocks of 0.1 each.
    where = np.sort(following.means_.ravel())
    lag = 0.1 * 0.7 / 0.3
    np.testing.assert_allclose(where, offset + np.array([-4.0, 4.0]) - lag, atol=0.2)
    assert np.abs(np.sort(steady.means_.ravel()) - where).max() > 0.5


# -- few rows at a time --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_wait_until_there_are_as_many_distinct_ones_as_components(dtype):
    rows = clusters(40, 2, 3, seed=5).astype(dtype)
    model = GaussianMixture(5, random_state=0)
    for row in rows[[0, 0, 1, 1, 1, 2, 3]]:
        model.partial_fit(row[None])
        with pytest.raises(NotFittedError):
            model.predict(rows)
    model.partial_fit(rows[4:5])
    assert model.n_iter_ == 1
    repeats = [2, 3, 1, 1, 1]
    together = GaussianMixture(5, random_state=0).partial_fit(rows[:5], sample_weight=repeats)
    assert relative_error(model, together) < 1e-12
    assert model._stream.weight == 8
    assert not hasattr(model, "_waiting")
    for row in rows[5:]:
        model.partial_fit(row[None])
    assert model.n_iter_ == 36
    assert np.isfinite(model.score(rows))


def test_rows_that_repeat_take_no_room():
    model = GaussianMixture(3)
    for _ in range(50):
        model.partial_fit([[0.0, 1.0], [-0.0, 1.0]], sample_weight=[1, 2])
    model.partial_fit([[5.0, 5.0], [0.0, 2.0]], sample_weight=[0, 1])
    assert model._waiting.values.tolist() == [[0.0, 1.0], [0.0, 2.0]]
    assert model._waiting.weights.tolist() == [150, 1]


def test_blocks_smaller_than_k_end_where_large_ones_do():
    rows, means = separated(3000)
    start = {**given_start(rows, 3, "full"), "means_init": means}
    model = GaussianMixture(**start, learning_decay=0.8, learning_offset=100)
    for part in np.split(rows, 1500):
        model.partial_fit(part)
    batch = fit(GaussianMixture(**start, tol=1e-6), rows)
    gamma = 1600**-0.8
    expected = model.n_parameters() / (2 * 2 * 2 / gamma)
    assert batch.lower_bound_ - model.score(rows) < 2 * expected


# -- around it -----------------------------------------------------------------------------------


@types
def test_after_fit_it_goes_on_from_the_fitted_statistics(covariance_type):
    model = fit(model_of(covariance_type, tol=1e-6, max_iter=500), X, sample_weight=COUNTS.ravel())
    long_form = LongForm(model)
    long_form.weights, long_form.means = model.weights_, model.means_
    long_form.covariances = dense(model)
    long_form.sums = long_form.statistics(X, COUNTS.ravel())
    for call, rows in enumerate(BLOCKS[:3], start=1):
        model.partial_fit(rows)
        long_form.follow(rows, (call + 2) ** -0.6)
        assert_follows(model, long_form)
    assert model.n_iter_ == 3
    assert model._stream.weight == COUNTS.sum() + 300


@types
def test_fit_starts_anew(covariance_type):
    model = model_of(covariance_type, random_state=0)
    model.partial_fit(BLOCKS[0] + 3).partial_fit(BLOCKS[1])
    fresh = fit(model_of(covariance_type, random_state=0), X)
    assert relative_error(fit(model, X), fresh) == 0
    assert relative_error(model.partial_fit(BLOCKS[0]), fresh.partial_fit(BLOCKS[0])) == 0


def test_fit_forgets_rows_that_wait():
    model = GaussianMixture(3, random_state=0).partial_fit(X[:1])
    assert fit(model, X)._stream.weight == len(X)
    assert not hasattr(model, "_waiting")


@types
def test_parameters_alone_are_a_start(covariance_type):
    start = model_of(covariance_type)
    given = GaussianMixture.from_parameters(
        start.weights_init,
        start.means_init,
        precisions=start.precisions_init,
        covariance_type=covariance_type,
    )
    assert relative_error(given.partial_fit(BLOCKS[0]), start.partial_fit(BLOCKS[0])) < 1e-12


def test_a_singular_block_is_one_sentence_and_changes_nothing():
    model = GaussianMixture(2, reg_covar=0, forgetting=1, random_state=0)
    line = np.repeat(np.arange(100.0), 2).reshape(-1, 2)  # as many rows as one could want
    for begun in (False, True):
        before = state(model)
        with pytest.raises(ValueError, match="nothing was changed: pass more rows") as error:
            model.partial_fit(line)
        assert str(error.value).count(". ") == 0
        assert "component" in str(error.value)
        assert state(model) == before
        assert hasattr(model, "means_") == begun
        model.partial_fit(X[:100, :2])
    assert model.n_iter_ == 2


def test_few_rows_without_a_covariance_wait_for_more():
    model = GaussianMixture(2, reg_covar=0, random_state=0).partial_fit([[0.0, 0.0], [1.0, 1.0]])
    assert not hasattr(model, "means_")
    model.partial_fit(X[:100, :2])
    assert model.n_iter_ == 1
    assert model._stream.weight == 102


def test_a_bad_block_changes_nothing():
    model = GaussianMixture(3, random_state=0).partial_fit(BLOCKS[0])
    before = state(model)
    for rows, weights, message in [
        (X[:, :2], None, "X has 2 features, but GaussianMixture is expecting 3"),
        (np.full((4, 3), np.inf), None, "Input X contains infinity"),
        (BLOCKS[1], np.zeros(100), "sample_weight is zero for every row"),
        (BLOCKS[1][:0], None, "0 sample"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.partial_fit(rows, sample_weight=weights)
        assert state(model) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_components": 2}, "partial_fit continues .* n_components was"),
        ({"covariance_type": "diag"}, "covariance_type='diag' .* requires"),
    ],
)
def test_another_kind_of_model_is_refused(changed, message):
    model = GaussianMixture(3, random_state=0).partial_fit(BLOCKS[0])
    with pytest.raises(ValueError, match=message):
        model.set_params(**changed).partial_fit(BLOCKS[1])
    fit(model, X)


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_decay": 0.5},
        {"learning_decay": 1.1},
        {"learning_offset": -1},
        {"forgetting": 0.0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_step_sizes_that_do_not_converge_are_refused(wrong):
    with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' parameter"):
        GaussianMixture(**wrong).partial_fit(X)


INVALID = [
    {"forgetting": -0.5},
    {"learning_decay": 3},
    {"learning_offset": "x"},
    {"prior": "x"},
    {"reg_covar": -1},
    {"weight_concentration": 0.2},
    {"tol": -1},
    {"init_params": "x"},
    {"covariance_type": "x"},
    {"n_components": 0},
    {"noise": "box"},
    {"checkpoint_every": -1},
    {"means_init": [[1.0]]},
    {"weights_init": [3.0, 4.0, 5.0]},
    {"precisions_init": -np.ones((3, 3, 3))},
    {"prior": NormalInverseWishart(mean=[0.0, 0.0])},
    {"prior": NormalInverseWishart(dof=1)},
    {"prior": NormalInverseWishart(scale=np.eye(2))},
]


@pytest.mark.parametrize("prior", [None, "conjugate"])
@pytest.mark.parametrize("invalid", INVALID, ids=lambda invalid: next(iter(invalid)))
@pytest.mark.parametrize("begun", ["fit", "partial_fit"])
def test_each_call_checks_what_fit_checks_and_changes_nothing(begun, invalid, prior):
    with pytest.raises(ValueError, match=next(iter(invalid))[:5]) as of_fit:
        GaussianMixture(**{"n_components": 3, "prior": prior, **invalid}).fit(X)
    model = GaussianMixture(3, random_state=0, prior=prior)
    getattr(model, begun)(X)
    valid = model.get_params()
    model.set_params(**invalid)
    before = state(model)
    with pytest.raises(type(of_fit.value), match=re.escape(str(of_fit.value))):
        model.partial_fit(BLOCKS[1])
    assert state(model) == before
    untouched = getattr(GaussianMixture(3, random_state=0, prior=prior), begun)(X)
    model.set_params(**valid).partial_fit(BLOCKS[1])
    assert_same(model, untouched.partial_fit(BLOCKS[1]))


def assert_same(one, other):
    for name in ("weights_", "means_", "covariances_", "lower_bound_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_check_of_parameters_can_be_switched_off_as_in_scikit_learn():
    model = GaussianMixture(3, random_state=0).partial_fit(X).set_params(max_iter=-1)
    with config_context(skip_parameter_validation=True):
        assert model.partial_fit(X).n_iter_ == 2


def test_a_prior_that_is_set_later_counts_from_then_on():
    """What it leaves open are the numbers that the stream began with."""
    mean, scale = [9.0, 9.0, 9.0], np.diag([1.0, 2.0, 3.0])
    given = NormalInverseWishart(shrinkage=1e9, mean=mean, dof=1e9, scale=1e9 * scale)
    for first in (None, "conjugate"):
        model = GaussianMixture(3, random_state=0, prior=first).fit(X)
        model.set_params(prior=given).partial_fit(BLOCKS[0])
        np.testing.assert_allclose(model.means_, [mean] * 3, rtol=1e-5)
        np.testing.assert_allclose(model.covariances_, [scale] * 3, atol=1e-3)
    one, other = (GaussianMixture(3, random_state=0, prior="conjugate").fit(X) for _ in range(2))
    kept = one._stream.prior
    strong = NormalInverseWishart(kept.shrinkage, kept.mean, 500.0, kept.scale)
    one.set_params(prior=NormalInverseWishart(dof=500.0)).partial_fit(10 * BLOCKS[0])
    other.set_params(prior=strong).partial_fit(10 * BLOCKS[0])
    assert_same(one, other)


@pytest.mark.parametrize("begun", ["not yet", "fit", "partial_fit"])
@pytest.mark.parametrize("value", [1e300, -1.7e308, 1e154])
@pytest.mark.parametrize("opened", [lambda rows: rows, lambda rows: blocks([rows[:30], rows[30:]])])
def test_a_value_whose_square_overflows_is_named_and_changes_nothing(begun, value, opened):
    model, untouched = (GaussianMixture(3, random_state=0) for _ in range(2))
    if begun != "not yet":
        getattr(model, begun)(X)
        getattr(untouched, begun)(X)
    before = state(model)
    rows = BLOCKS[1].copy()
    rows[37, 2] = value
    with pytest.raises(ValueError, match="a value too large for dtype") as error:
        model.partial_fit(opened(rows))
    assert f"{value:g} in row 37, column 2, counted from 0" in str(error.value)
    assert state(model) == before
    assert_same(model.partial_fit(BLOCKS[2]), untouched.partial_fit(BLOCKS[2]))
    with pytest.raises(ValueError, match=r"too large.* in row 37, column 2, counted from 0"):
        GaussianMixture(3).fit(opened(rows))


@types
def test_a_row_whose_log_density_overflows_is_named_and_changes_nothing(covariance_type):
    """Its squares do not: it lies too far in units of narrow components."""
    start = given_start(X, 3, covariance_type)
    model = GaussianMixture.from_parameters(
        start["weights_init"],
        start["means_init"],
        precisions=1e60 * start["precisions_init"],
        covariance_type=covariance_type,
    )
    model.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)
    before = state(model)
    table = pytest.importorskip("pandas").DataFrame(BLOCKS[0].copy(), columns=["a", "b", "c"])
    table.loc[7, "b"] = -1e129
    with pytest.raises(ValueError, match="so far from the components") as error:
        model.partial_fit(table)
    assert "-1e+129 in row 7, column 1 ('b'), counted from 0, so nothing was" in str(error.value)
    assert state(model) == before


@pytest.mark.parametrize("begun", ["fit", "partial_fit", "waiting"])
@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (np.float32, np.float32, np.float32),
        (np.float64, np.float32, np.float64),
        (np.float32, np.float64, np.float64),
    ],
)
def test_a_model_is_as_precise_as_its_most_precise_block(begun, first, then, expected):
    model = GaussianMixture(3, random_state=0)
    if begun == "waiting":
        model.partial_fit(X[:1].astype(first))
    else:
        getattr(model, begun)(X.astype(first))
    model.partial_fit(X.astype(then)).partial_fit(X[:50].astype(first))
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        assert getattr(model, name).dtype == expected


def test_a_block_in_float32_costs_a_float64_model_no_more_than_its_rounding():
    one, other = (GaussianMixture(3, random_state=0).fit(X) for _ in range(2))
    block = (1e3 + BLOCKS[0]).astype(np.float32)
    one.partial_fit(block)
    other.partial_fit(block.astype(np.float64))
    assert relative_error(one, other) < 1e-6


def test_pickles_and_files_keep_the_stream_and_clones_drop_it(tmp_path):
    model = GaussianMixture(3, random_state=0)
    model.partial_fit(X[:1])
    waiting = pickle.loads(pickle.dumps(model))
    model.partial_fit(BLOCKS[0]).partial_fit(BLOCKS[1])
    waiting.partial_fit(BLOCKS[0]).partial_fit(BLOCKS[1])
    model.save(tmp_path / "model.json")
    copies = [
        waiting,
        pickle.loads(pickle.dumps(model)),
        GaussianMixture.load(tmp_path / "model.json"),
    ]
    model.partial_fit(BLOCKS[2])
    for copy in copies:
        assert state(copy.partial_fit(BLOCKS[2])) == state(model)
    assert not vars(clone(model)).keys() & {"_stream", "_waiting", "means_"}


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_saved_stream_of_other_shapes_is_damaged(covariance_type, tmp_path):
    path = tmp_path / "model.json"
    model_of(covariance_type).partial_fit(X).save(path)
    document = json.loads(path.read_text())
    statistics = document["fitted"]["_stream"]["items"]["statistics"]["items"]
    statistics["first_moment"] = statistics["counts"]
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="is a damaged model: the statistics' first_moment"):
        GaussianMixture.load(path)


def test_a_fit_with_warm_start_goes_on_from_the_stream():
    model = GaussianMixture(3, random_state=0, warm_start=True, tol=1e-6, max_iter=500)
    model.partial_fit(X)
    at = model.score(X)
    assert fit(model, X).history_["objective"][0] == at


def test_predictions_and_the_report_work_on_the_way():
    model = GaussianMixture(3, random_state=0).partial_fit(X)
    assert model.predict_proba(X).shape == (600, 3)
    assert model.diagnose(X).verdict.name == "UNTRIED"
    assert model.to_sklearn().score(X) == pytest.approx(model.score(X), rel=1e-10)


def test_weights_are_routed():
    with config_context(enable_metadata_routing=True):
        model = GaussianMixture(3).set_partial_fit_request(sample_weight=True)
        assert get_routing_for_object(model).partial_fit.requests == {"sample_weight": True}
