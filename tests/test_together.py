"""Everything together: kinds of X, weights, holes and families cross, and give one answer."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from conftest import STARTS, clusters, fit, given_start, relative_error
from sklearn.exceptions import NotFittedError

from emgmm import GaussianMixture, blocks
from emgmm.covariances import FAMILIES

N, D, K = 360, 3, 3
CUTS = (0, 50, 51, 200, N)
TYPES = ("full", "tied", "diag", "spherical", "VEE", "EVI", "EEV", "VVE")


@cache
def rows(holed):
    X = clusters(N, D, K, seed=3)
    holes = np.random.default_rng(0).random(X.shape) < 0.15
    return np.where(holes, np.nan, X) if holed else X


WEIGHTS = np.random.default_rng(1).integers(0, 4, N).astype(float)


def in_array(X, weights, folder):
    return X, weights


def in_file(X, weights, folder):
    mapped = np.memmap(folder / "rows", dtype=X.dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    return mapped, weights


def in_blocks(X, weights, folder):
    cuts = list(pairwise(CUTS))
    own = blocks([X[a:b] for a, b in cuts])
    return own, None if weights is None else blocks([weights[a:b, None] for a, b in cuts])


def in_parquet(X, weights, folder):
    import pandas as pd

    table = pd.DataFrame(X, columns=["a", "b", "c"])
    if weights is not None:
        table["w"] = weights
    table.to_parquet(folder / "rows.parquet", row_group_size=100)
    columns = ["a", "b", "c"]
    weighed = None if weights is None else "w"
    return blocks(folder / "rows.parquet", columns=columns, weight_column=weighed), None


def in_dask(X, weights, folder):
    import dask.array

    chunks = tuple(np.diff(CUTS).tolist())
    own = dask.array.from_array(X, chunks=(chunks, D))
    return own, None if weights is None else dask.array.from_array(weights, chunks=(chunks,))


HOMES = (in_array, in_file, in_blocks, in_parquet, in_dask)


def whole(answer):
    """An answer as one array, in whatever pieces it came."""
    if hasattr(answer, "compute"):
        return answer.compute()
    return answer if isinstance(answer, np.ndarray) else np.concatenate(list(answer))


def model_of(covariance_type, **more):
    start = given_start(rows(False), K, covariance_type)
    return GaussianMixture(**start, tol=0, max_iter=12, **more)


@cache
def answer(covariance_type, weighted, holed):
    return fit(model_of(covariance_type), rows(holed), sample_weight=WEIGHTS if weighted else None)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("holed", [False, True], ids=["whole", "holed"])
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("home", HOMES[1:], ids=lambda home: home.__name__)
def test_one_answer(home, weighted, holed, covariance_type, tmp_path):
    expected = answer(covariance_type, weighted, holed)
    X, weights = home(rows(holed), WEIGHTS if weighted else None, tmp_path)
    model = fit(model_of(covariance_type), X, sample_weight=weights)
    assert relative_error(model, expected) < 1e-10
    np.testing.assert_allclose(model.lower_bounds_, expected.lower_bounds_, rtol=1e-10)
    for name in ("predict_proba", "score_samples", "predict"):
        found = whole(getattr(model, name)(X))
        # Probabilities are differences of numbers that include 1e-304, so that none underflows.
        wanted = getattr(expected, name)(rows(holed))
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-303)
    assert model.score(X, sample_weight=weights) == pytest.approx(model.lower_bound_, rel=1e-11)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_holes_and_weights_are_the_repeated_rows(covariance_type):
    repeated = rows(True).repeat(WEIGHTS.astype(int), axis=0)
    other = fit(model_of(covariance_type), repeated)
    assert relative_error(answer(covariance_type, True, True), other) < 1e-10


@pytest.mark.parametrize("home", HOMES[1:], ids=lambda home: home.__name__)
@pytest.mark.parametrize("init_params", STARTS)
def test_one_answer_from_random_starts(home, init_params, tmp_path):
    start = {"init_params": init_params, "random_state": 0, "max_iter": 3, "tol": 0}
    expected = fit(GaussianMixture(K, **start), rows(True), sample_weight=WEIGHTS)
    X, weights = home(rows(True), WEIGHTS, tmp_path)
    found = fit(GaussianMixture(K, **start), X, sample_weight=weights)
    assert relative_error(found, expected) < 1e-9


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.__name__)
def test_accelerated_under_a_prior_and_reported(home, tmp_path):
    X, weights = home(rows(True), WEIGHTS, tmp_path)
    options = {"acceleration": "anderson", "prior": "conjugate"}
    model = fit(model_of("full", **options), X, sample_weight=weights)
    expected = fit(model_of("full", **options), rows(True), sample_weight=WEIGHTS)
    assert relative_error(model, expected) < 1e-8
    report = model.diagnose(X, sample_weight=weights)
    np.testing.assert_allclose(report.mass.sum(), WEIGHTS.sum())


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.__name__)
def test_what_is_missing_is_filled_in_everywhere(home, tmp_path):
    X, _ = home(rows(True), None, tmp_path)
    model = answer("full", True, True)
    np.testing.assert_allclose(whole(model.impute(X)), model.impute(rows(True)), rtol=1e-9)


@pytest.mark.parametrize("home", [*HOMES[:3]], ids=lambda home: home.__name__)
def test_draws_go_by_the_rows_number(home, tmp_path):
    X, _ = home(rows(True), None, tmp_path)
    model = answer("full", True, True)
    drawn = whole(model.impute(X, sample=True, random_state=0))
    expected = model.impute(rows(True), sample=True, random_state=0)
    np.testing.assert_allclose(drawn, expected, rtol=1e-9)


def test_draws_for_dask_are_refused_in_a_sentence(tmp_path):
    X, _ = in_dask(rows(True), None, tmp_path)
    with pytest.raises(TypeError, match="depend on the position of a row"):
        answer("full", True, True).impute(X, sample=True)


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.__name__)
def test_a_fit_that_is_kept_ends_the_same(home, tmp_path):
    X, weights = home(rows(True), WEIGHTS, tmp_path)
    path = tmp_path / "fit.ckpt"
    kept = model_of("full", checkpoint=path, checkpoint_every=0)
    assert relative_error(fit(kept, X, sample_weight=weights), answer("full", True, True)) < 1e-10
    assert not path.exists()


# -- where two capabilities meet ------------------------------------------------------------------
def test_a_stream_keeps_the_prior_that_it_began_with():
    X = rows(False)
    model = fit(GaussianMixture(1, prior="conjugate", forgetting=1e-6), X)
    before = model.covariances_.copy()
    model.partial_fit(1000 * X[:2])
    np.testing.assert_allclose(model.covariances_, before, rtol=10.0)
    model.partial_fit(X[:1])  # one row has no scale
    holed = X[:50].copy()
    holed[:, 1] = np.nan
    model.partial_fit(holed)
    begun = GaussianMixture(1, prior="conjugate").partial_fit(X).partial_fit(X[:1])
    assert begun._stream.prior == GaussianMixture(1, prior="conjugate").partial_fit(X)._stream.prior


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "VEE"])
def test_a_priors_numbers_are_kept_in_a_file(covariance_type, tmp_path):
    X, more = rows(False), rows(True)[:100]
    model = fit(GaussianMixture(2, covariance_type=covariance_type, prior="conjugate"), X)
    model.save(tmp_path / "model.json")
    again = GaussianMixture.load(tmp_path / "model.json")
    for one in (model, again):
        one.partial_fit(more)
    np.testing.assert_array_equal(model.means_, again.means_)
    np.testing.assert_array_equal(model.covariances_, again.covariances_)


def test_a_block_in_which_nothing_was_observed_moves_nothing():
    model = fit(GaussianMixture(2, forgetting=1.0, random_state=0), rows(False))
    means = model.means_.copy()
    model.partial_fit(np.full((3, D), np.nan))
    np.testing.assert_array_equal(model.means_, means)
    assert model.n_iter_ == 1
    given = GaussianMixture.from_parameters([1.0], [[0.0] * D], covariances=[np.eye(D)])
    with pytest.raises(ValueError, match=r"Feature 0.* is missing in every row"):
        given.partial_fit(np.full((3, D), np.nan))
    holed = rows(False).copy()
    holed[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"Feature 1.* is missing in every row"):
        GaussianMixture(2).partial_fit(holed)


def test_a_stream_may_begin_row_by_row():
    model = GaussianMixture(1, reg_covar=0, random_state=0, forgetting=0.05)
    for row in rows(False)[:200]:
        model.partial_fit(row[None])  # the first few have no covariance: they wait
    assert model.n_iter_ == 200 - D
    assert (np.linalg.eigvalsh(model.covariances_) > 0).all()


def test_rows_that_wait_are_in_a_large_first_block_too():
    many = np.random.default_rng(0).normal(size=(2**17 + 1, 1))
    model = GaussianMixture(2, random_state=0).partial_fit([[50.0]]).partial_fit(many)
    assert model._stream.weight == len(many) + 1
    assert not hasattr(GaussianMixture(2).partial_fit(np.ones((2**17 + 1, 1))), "weights_")


@pytest.mark.extensive
def test_a_prior_is_the_same_where_chunks_come_from_other_processes():
    import dask
    import dask.array

    X = rows(False)
    collinear = np.column_stack([X, X[:, 0] + X[:, 1]])
    expected = fit(GaussianMixture(2, prior="conjugate", random_state=0), collinear)
    assert np.isfinite(expected.lower_bound_)
    with dask.config.set(scheduler="processes", num_workers=1):
        far = dask.array.from_array(collinear, chunks=(N // 2, D + 1))
        found = fit(GaussianMixture(2, prior="conjugate", random_state=0), far)
    assert found.ending_ is expected.ending_
    assert relative_error(found, expected) < 1e-9


@pytest.mark.parametrize("covariance_type", ["full", "diag", "VVV", "EII"])
def test_a_row_that_tells_nothing_moves_no_fit_under_a_prior(covariance_type):
    X = rows(False)[:12]
    silent = np.concatenate([X, np.full((3, D), np.nan)])
    options = {"covariance_type": covariance_type, "prior": "conjugate"}
    model = fit(GaussianMixture(1, **options), X)
    other = fit(GaussianMixture(1, **options), silent)
    np.testing.assert_allclose(other.covariances_, model.covariances_, rtol=1e-10)
    np.testing.assert_allclose(other.means_, model.means_, rtol=1e-10)


@pytest.mark.parametrize("init_params", [name for name in STARTS if name != "random"])
@pytest.mark.parametrize("scale", [1e-5, 1e-30, 1e30])
def test_starts_in_single_precision_do_not_see_the_scale_of_weights(init_params, scale):
    X = rows(False).astype(np.float32)
    options = {"init_params": init_params, "covariance_type": "diag", "random_state": 0}
    one = fit(GaussianMixture(K, max_iter=2, **options), X, sample_weight=np.ones(N))
    other = fit(GaussianMixture(K, max_iter=2, **options), X, sample_weight=np.full(N, scale))
    assert relative_error(one, other) < 1e-4


def test_silent_rows_are_no_seeds_and_no_rows_for_components():
    silent = np.concatenate([rows(False)[:40], np.full((400, D), np.nan)])
    model = fit(
        GaussianMixture(K, init_params="random_from_data", max_iter=0, random_state=3), silent
    )
    assert len(np.unique(model.means_, axis=0)) == K
    with pytest.raises(ValueError, match="n_components = 2, n_samples = 1"):
        GaussianMixture(2).fit([[np.nan, np.nan], [1.0, 2.0]])


def test_a_sample_with_too_few_rows_that_count_is_said_to_be(monkeypatch):
    monkeypatch.setattr("emgmm.fitting.multistart.START_FROM", 100)
    monkeypatch.setattr("emgmm.fitting.multistart.START_ROWS", 20)
    weights = np.zeros(N)
    weights[:4] = 1.0
    with pytest.raises(ValueError, match=r"only . have a weight above 0"):
        GaussianMixture(3, random_state=0).fit(rows(False), sample_weight=weights)


def test_a_column_that_varies_only_where_nothing_counts_is_constant():
    X, weights = rows(False).copy(), np.ones(N)
    X[:, 1] = 1.0
    X[0, 1], weights[0] = 9.0, 0.0
    with pytest.raises(ValueError, match="X is constant in column 1"):
        GaussianMixture(2, prior="conjugate").fit(X, sample_weight=weights)


def test_a_checkpoint_knows_which_values_stood_in_one_row(tmp_path):
    X = rows(False)
    other = X.copy()
    other[:, 1] = other[::-1, 1]
    path = tmp_path / "fit.ckpt"
    seen = []

    def stop(function):
        def stopping(*arguments):
            seen.append(1)
            if len(seen) > 4:
                raise KeyboardInterrupt
            return function(*arguments)

        return stopping

    model = model_of("diag", checkpoint=path)
    from emgmm.em import EM

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EM, "sum", stop(EM.sum))
        with pytest.raises(KeyboardInterrupt):
            fit(model, X)
    assert path.exists()
    with pytest.raises(ValueError, match="another X"):
        fit(model_of("diag", checkpoint=path), other)


def test_icl_of_an_unfitted_estimator():
    with pytest.raises(NotFittedError):
        GaussianMixture(2).icl(rows(False))


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise": "uniform"},
        {"noise": 1e-250},
        {"noise": lambda rows: np.where(np.abs(rows).max(axis=1) > 50, -3.0, -np.inf)},
        {"prior": "conjugate", "acceleration": "anderson"},
    ],
    ids=["plain", "uniform", "tiny", "function", "prior"],
)
def test_no_floating_point_error_is_left_to_the_user(options, covariance_type):
    """Clusters far apart, some rows far from all, weights as small as numbers are."""
    few = FAMILIES[covariance_type].most_features or D
    X = clusters(150, few, K, spread=8.0)
    X[:50] += 50.0
    X[-9:] += 300.0
    np.random.default_rng(0).shuffle(X)
    weights = WEIGHTS[:150] * 1e-200
    model = GaussianMixture(K, covariance_type=covariance_type, random_state=0, **options)
    with np.errstate(all="raise"):
        for sample_weight in (None, weights):
            fit(model, X, sample_weight=sample_weight)
            model.predict(X)
            probabilities = model.predict_proba(X)
            np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-12)
            assert np.isfinite(model.score_samples(X)).all()
            for part in np.split(X, 3):
                model.partial_fit(part)
            assert np.isfinite(model.lower_bound_)


@pytest.mark.parametrize("covariance_type", FAMILIES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_noise_of_weight_0_is_as_if_there_were_none(dtype, covariance_type):
    few = FAMILIES[covariance_type].most_features or D
    X = clusters(150, few, K).astype(dtype)
    given = {"covariance_type": covariance_type}
    model = fit(GaussianMixture(K, random_state=0, max_iter=5, **given), X)
    weights = np.array(model.weights_, dtype=float)
    parameters = {
        "weights": weights / weights.sum(),
        "means": model.means_.astype(float),
        "covariances": model.covariances_.astype(float),
        **given,
    }
    plain = GaussianMixture.from_parameters(**parameters)
    beside = GaussianMixture.from_parameters(**parameters, noise=0.01, noise_weight=0.0)
    with np.errstate(all="raise"):
        np.testing.assert_allclose(beside.score_samples(X), plain.score_samples(X), rtol=1e-6)
        probabilities = beside.predict_proba(X)
    np.testing.assert_allclose(probabilities[:, :K], plain.predict_proba(X), atol=1e-6)
    assert not probabilities[:, K].any()
