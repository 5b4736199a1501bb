"""Everything together: kinds of X, weights, holes and families cross, and give one answer."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from conftest import clusters, fit, given_start, relative_error

from emgmm import GaussianMixture, blocks

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
        np.testing.assert_allclose(found, getattr(expected, name)(rows(holed)), rtol=1e-8)
    assert model.score(X, sample_weight=weights) == pytest.approx(model.lower_bound_, rel=1e-11)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_holes_and_weights_are_the_repeated_rows(covariance_type):
    repeated = rows(True).repeat(WEIGHTS.astype(int), axis=0)
    other = fit(model_of(covariance_type), repeated)
    assert relative_error(answer(covariance_type, True, True), other) < 1e-10


@pytest.mark.parametrize("home", HOMES[1:], ids=lambda home: home.__name__)
@pytest.mark.parametrize("init_params", ["kmeans", "random_from_data"])
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
    with pytest.raises(TypeError, match="goes by a row's number"):
        answer("full", True, True).impute(X, sample=True)


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.__name__)
def test_a_fit_that_is_kept_ends_the_same(home, tmp_path):
    X, weights = home(rows(True), WEIGHTS, tmp_path)
    path = tmp_path / "fit.ckpt"
    kept = model_of("full", checkpoint=path, checkpoint_every=0)
    assert relative_error(fit(kept, X, sample_weight=weights), answer("full", True, True)) < 1e-10
    assert not path.exists()
