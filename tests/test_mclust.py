"""R mclust's stored results: the trajectory and the end from its hard labels, without a ridge."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import dense, fit

from emgmm import GaussianMixture

HERE = Path(__file__).parent / "data"
MODELS = {"EEE": "tied", "VVV": "full", "VVI": "diag", "VII": "spherical", "V": "full"}
ENOUGH = 20_000


@cache
def stored():
    return json.loads((HERE / "fixed_start.json").read_text())["data"]


@cache
def rows(name):
    with (HERE / f"{name}.csv").open() as file:
        header = file.readline().strip().split(",")
        width = len(header) - (header[-1] == "class")
        return np.loadtxt(file, delimiter=",", usecols=range(width), ndmin=2)


def cells():
    for name, by_size in stored().items():
        for size, entry in by_size.items():
            for model, result in entry["models"].items():
                if model in MODELS and result["loglik"] is not None:
                    yield pytest.param(name, int(size), model, id=f"{name}-{size}-{model}")


def from_labels(name, size, model, iterations, tol=0.0):
    labels = np.array(stored()[name][str(size)]["start"])
    mixture = GaussianMixture(
        size,
        covariance_type=MODELS[model],
        reg_covar=0,
        tol=tol,
        max_iter=iterations,
        init_params=lambda X, n_components, random_state: labels,
    )
    return fit(mixture, rows(name))


@pytest.mark.parametrize(("name", "size", "model"), list(cells()))
def test_trajectory_and_end(name, size, model):
    result = stored()[name][str(size)]["models"][model]
    n_rows = len(rows(name))
    # mclust's first M-step is our start, so its step t is our iteration t - 1.
    checkpoints = {int(t): value for t, value in result["loglik_after_msteps"].items()}
    last = max(checkpoints)
    run = from_labels(name, size, model, last - 1)
    totals = n_rows * run.history_["objective"]
    for t, expected in checkpoints.items():
        assert totals[t - 1] == pytest.approx(expected, rel=1e-8)
    end = from_labels(name, size, model, ENOUGH, tol=1e-13)
    assert n_rows * end.lower_bound_ == pytest.approx(result["loglik"], abs=1e-6)
    assert end.n_parameters() == result["df"]
    np.testing.assert_allclose(end.weights_, result["pro"], atol=1e-5)
    width = rows(name).shape[1]
    means = np.array(result["mean"]).reshape(size, width)
    scale = rows(name).std(axis=0)
    np.testing.assert_allclose(end.means_ / scale, means / scale, atol=1e-5)
    sigma = np.array(result["sigma"]).reshape(size, width, width)
    spread = np.outer(scale, scale)
    np.testing.assert_allclose(dense(end) / spread, sigma / spread, atol=1e-5)


@pytest.mark.parametrize("model", ["EEE", "VVV", "VVI", "VII"])
def test_criteria_in_mclusts_convention(model):
    result = stored()["iris"]["2"]["models"][model]
    end = from_labels("iris", 2, model, ENOUGH, tol=1e-13)
    X = rows("iris")
    bic = 2 * result["loglik"] - result["df"] * np.log(len(X))
    assert -end.bic(X) == pytest.approx(bic, rel=1e-9)
    assert -end.aic(X) == pytest.approx(2 * result["loglik"] - 2 * result["df"], rel=1e-9)
    certainty = np.log(end.predict_proba(X).max(axis=1)).sum()
    assert -end.icl(X) == pytest.approx(bic + 2 * certainty, rel=1e-9)
    np.testing.assert_array_equal(end.predict(X), result["labels"])
