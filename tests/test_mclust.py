"""R mclust's stored results: the trajectory and the end from its hard labels, without a ridge."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from conftest import dense, fit
from mclust import HERE, converged, rows

from emgmm import GaussianMixture
from emgmm.covariances import FAMILIES

SCIKIT_LEARNS = {"EEE": "tied", "VVV": "full", "VVI": "diag", "VII": "spherical"}
ENOUGH = 20_000

# mclust's own M-step of VVE leaves out 1 / lambda_k, and that of VEE ends its inner iteration early:
# what is stored beside them is EM with exact ones.
EXACT = ("VVE", "VEE")
# Their M-steps are formulas, or minimise a convex function: every step is the same everywhere.
SAME_PATH = {
    *("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EEV", "VEV", "EVV", "VVV", "E", "V")
}


@cache
def stored():
    return json.loads((HERE / "fixed_start.json").read_text())["data"]


def cells(holding="loglik"):
    for name, by_size in stored().items():
        for size, entry in by_size.items():
            for model in entry["models"]:
                if holding not in entry["models"][model]:
                    continue
                yield pytest.param(name, int(size), model, id=f"{name}-{size}-{model}")


def from_labels(name, labels, covariance_type, iterations, tol=0.0):
    mixture = GaussianMixture(
        max(labels) + 1,
        covariance_type=covariance_type,
        reg_covar=0,
        tol=tol,
        max_iter=iterations,
        init_params=lambda X, n_components, random_state: np.array(labels),
    )
    return fit(mixture, rows(name))


def to_its_end(name, labels, covariance_type):
    return from_labels(name, labels, covariance_type, ENOUGH, tol=1e-13)


def assert_end(end, result, name, atol):
    """The stored log-likelihood, and the stored parameters in standard deviations of the data."""
    X = rows(name)
    (n_rows, width), size = X.shape, len(result["pro"])
    assert n_rows * end.lower_bound_ == pytest.approx(result["loglik"], abs=1e-6)
    np.testing.assert_allclose(end.weights_, result["pro"], atol=atol)
    means = np.array(result["mean"]).reshape(size, width)
    scale = X.std(axis=0)
    np.testing.assert_allclose(end.means_ / scale, means / scale, atol=atol)
    sigma = np.array(result["sigma"]).reshape(size, width, width)
    spread = np.outer(scale, scale)
    np.testing.assert_allclose(dense(end) / spread, sigma / spread, atol=atol)


@pytest.mark.parametrize(("name", "size", "model"), list(cells()))
def test_trajectory_and_end(name, size, model):
    entry = stored()[name][str(size)]
    result = entry["models"][model]
    reference = result["exact"] if model in EXACT else result
    if model in SAME_PATH:
        # mclust's first M-step is our start, so its step t is our iteration t - 1.
        checkpoints = {int(t): value for t, value in reference["loglik_after_msteps"].items()}
        run = from_labels(name, entry["start"], model, max(checkpoints) - 1)
        totals = len(rows(name)) * run.history_["objective"]
        for t, expected in checkpoints.items():
            assert totals[t - 1] == pytest.approx(expected, rel=1e-8)
    end = to_its_end(name, entry["start"], model)
    # Exact EM was stopped 1e-9 below its maximum: parameters are off by the root of that.
    assert_end(end, reference, name, atol=3e-5 if model in EXACT else 1e-5)
    assert end.n_parameters() == result["df"]
    assert np.diff(end.history_["objective"]).min() >= -1e-13 * np.abs(end.lower_bound_)


@pytest.mark.parametrize(("name", "size", "model"), list(cells("exact_continued_from_mclust")))
def test_exact_em_that_goes_on_from_mclusts_end(name, size, model):
    """The one law that holds for a wrong M-step too: EM from there never falls."""
    result = stored()[name][str(size)]["models"][model]
    sigma = np.array(result["sigma"])
    covariances = {
        "full": sigma,
        "tied": sigma[0],
        "diag": np.diagonal(sigma, axis1=1, axis2=2),
        "spherical": sigma[:, 0, 0],
    }[FAMILIES[model].scikit_learn]
    there = GaussianMixture.from_parameters(
        result["pro"],
        result["mean"],
        covariances=covariances,
        covariance_type=model,
    )
    there.set_params(reg_covar=0, tol=1e-13, max_iter=ENOUGH, warm_start=True)
    end = fit(there, rows(name))
    objective = len(rows(name)) * end.history_["objective"]
    assert objective[0] == pytest.approx(result["loglik"], abs=1e-6)
    assert np.diff(objective).min() >= -1e-10
    assert objective[-1] == pytest.approx(result["exact_continued_from_mclust"], abs=1e-6)


@pytest.mark.parametrize("model", SCIKIT_LEARNS)
def test_scikit_learns_names_are_other_words(model):
    entry = stored()["iris"]["3"]
    one = to_its_end("iris", entry["start"], model)
    other = to_its_end("iris", entry["start"], SCIKIT_LEARNS[model])
    assert one.covariance_type == model
    np.testing.assert_array_equal(one.covariances_, other.covariances_)
    np.testing.assert_array_equal(one.history_["objective"], other.history_["objective"])


@pytest.mark.parametrize("model", stored()["iris"]["2"]["models"])
def test_criteria_in_mclusts_convention(model):
    result = stored()["iris"]["2"]["models"][model]
    result = {**result, **result["exact"]} if model in EXACT else result
    end = to_its_end("iris", stored()["iris"]["2"]["start"], model)
    X = rows("iris")
    bic = 2 * result["loglik"] - result["df"] * np.log(len(X))
    assert -end.bic(X) == pytest.approx(bic, rel=1e-9)
    assert -end.aic(X) == pytest.approx(2 * result["loglik"] - 2 * result["df"], rel=1e-9)
    certainty = np.log(end.predict_proba(X).max(axis=1)).sum()
    assert -end.icl(X) == pytest.approx(bic + 2 * certainty, rel=1e-9)
    np.testing.assert_array_equal(end.predict(X), result["labels"])


@pytest.mark.parametrize("model", converged()["iris"])
@pytest.mark.parametrize("name", ["iris", "faithful"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_criteria_from_mclusts_own_starts(name, model, size):
    result = converged()[name][model][str(size)]
    starts = np.loadtxt(HERE / "starts" / f"{name}.csv", delimiter=",", skiprows=1, dtype=int)
    labels = starts[:, size - 2] if size > 1 else np.zeros(len(starts), dtype=int)
    if result["loglik"] is None:  # the likelihood has no maximum near
        with pytest.raises(ValueError, match=r"Singular: component \d"):
            to_its_end(name, labels.tolist(), model)
        return
    end = to_its_end(name, labels.tolist(), model)
    X = rows(name)
    assert len(X) * end.lower_bound_ == pytest.approx(result["loglik"], abs=1e-4)
    assert end.n_parameters() == result["df"]
    assert -end.bic(X) == pytest.approx(result["bic"], abs=2e-4)
    assert -end.icl(X) == pytest.approx(result["icl"], abs=0.1)  # of first order in what is left


def test_common_axes_end_where_mclusts_do():
    """Three clusters of a hundred rows, from mclust's labels (last column); EVE to tol=1e-10.

    M-steps that stop before their optimum over the axes end 34 nats lower.
    """
    table = np.loadtxt(HERE / "common_axes.csv", delimiter=",")
    X, labels = table[:, :3], table[:, 3].astype(int)
    model = GaussianMixture(
        3,
        covariance_type="EVE",
        reg_covar=0,
        tol=1e-10,
        max_iter=5000,
        init_params=lambda *_: labels,
    )
    fit(model, X)
    assert len(X) * model.lower_bound_ == pytest.approx(-2672.79001954061, abs=0.01)
