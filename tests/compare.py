"""Compare the results of two checkouts to the last bit, over fits of every kind.

Run by hand from the checkout's root, before and after a change that moves no arithmetic::

    python -m tests.compare ../other-checkout     # prints the fits that differ, and how many agree

Each checkout fits the same models in a process of its own, through the public interface only.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

FAMILIES = ("full", "tied", "diag", "spherical", "EII", "EEI", "VEI", "EVI", "VEE", "EVE")
FAMILIES += ("VVE", "EEV", "VEV", "EVV")
STARTS = ("kmeans", "k-means++", "random", "random_from_data", "hierarchical", "whitened-kmeans")
STARTS += ("short-runs",)
ARRAYS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
NUMBERS = ("noise_weight_", "converged_", "n_iter_", "lower_bound_", "remaining_gain_")


def table(n_rows=300, n_features=3, *, missing=0.0, dtype=float, seed=0):
    random = np.random.default_rng(seed)
    means = 3 * random.normal(size=(4, n_features))
    rows = means[random.integers(4, size=n_rows)] + random.normal(size=(n_rows, n_features))
    rows[random.random(rows.shape) < missing] = np.nan
    return rows.astype(dtype)


def cases():
    """Names of fits, with the parameters, the rows and their weights."""
    X = table()
    weights = np.random.default_rng(1).integers(0, 4, size=len(X)).astype(float)
    for family in FAMILIES:
        yield f"family {family}", {"covariance_type": family}, X, None
        yield f"missing {family}", {"covariance_type": family}, table(missing=0.2), None
    for start in STARTS:
        yield f"start {start}", {"init_params": start, "covariance_type": "diag"}, X, None
        yield f"weighted start {start}", {"init_params": start}, X, weights
    for family in ("full", "tied", "VEV"):
        yield f"anderson {family}", {"acceleration": "anderson", "covariance_type": family}, X, None
        yield f"prior {family}", {"prior": "conjugate", "covariance_type": family}, X, None
        yield f"noise {family}", {"noise": "uniform", "covariance_type": family}, X, weights
    everything = {"prior": "conjugate", "noise": 1e-3, "weight_concentration": 2.0}
    yield "everything", {**everything, "acceleration": "anderson"}, table(missing=0.1), weights
    yield "several starts", {"n_init": 4, "init_params": "random"}, X, None
    yield "coincident", {"means_init": np.zeros((3, 3)), "init_params": "random"}, X, None
    yield "coincident, unsplit", {"means_init": np.zeros((3, 3)), "break_symmetry": False}, X, None
    yield "single precision", {}, table(dtype=np.float32), None
    yield "bytes", {}, table(2000).astype(np.uint8), None
    yield "large", {"max_iter": 10}, table(200_000, 4), None
    yield "large, tied", {"max_iter": 10, "covariance_type": "tied"}, table(200_000, 4), None
    yield "wide", {"reg_covar": 1e-3, "max_iter": 10}, table(2000, 40), None
    yield "large, missing", {"max_iter": 5}, table(50_000, 4, missing=0.05), None
    yield "offset", {}, X + 1e7, None
    small, real = np.round(X[:40]), np.random.default_rng(2).random(40)
    for family in ("full", "diag", "VEV"):
        few = {"n_components": 4, "covariance_type": family, "reg_covar": 1e-2}
        yield f"few rows {family}", few, small, None
        yield f"few rows with real weights {family}", few, small, real
    yield "one component", {"n_components": 1}, X, None


def fitted(model, X):
    values = {name: getattr(model, name) for name in (*ARRAYS, *NUMBERS)}
    values["lower_bounds_"] = np.array(model.lower_bounds_)
    values["ending_"] = model.ending_.name
    values |= {f"history {name}": column for name, column in model.history_.items()}
    rows = X[:1000]
    values["score_samples"] = model.score_samples(rows)
    values["predict_proba"] = model.predict_proba(rows)
    values["impute"] = model.impute(rows)
    values["sample"] = model.sample(50, random_state=0)[0] if model.noise is None else None
    values["bic"], values["icl"] = model.bic(X), model.icl(X)
    return values


def results():
    """All that is compared, by name of fit."""
    from emgmm import GaussianMixture, GaussianMixtureIC, blocks

    found = {}
    for name, parameters, X, weights in cases():
        model = GaussianMixture(**{"n_components": 3, "random_state": 0, **parameters})
        found[name] = fitted(model.fit(X, sample_weight=weights), X)
    X = table()
    stream = GaussianMixture(3, random_state=0)
    for start in range(0, 300, 100):
        stream.partial_fit(X[start : start + 100])
    found["stream"] = fitted(stream, X)
    warm = GaussianMixture(3, random_state=0, warm_start=True, max_iter=3).fit(X)
    found["warm start"] = fitted(warm.fit(X), X)
    parts = blocks([X[:100], X[100:]])
    found["blocks"] = fitted(GaussianMixture(3, random_state=0).fit(parts), X)
    choice = GaussianMixtureIC(random_state=0).fit(X)
    found["choice"] = {**fitted(choice.best_estimator_, X), "bic": choice.results_["bic"]}
    return found


def results_of(checkout):
    """The same, of another checkout."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results"
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        command = [sys.executable, Path(__file__).resolve(), "--write", path]
        subprocess.run(command, check=True, cwd=folder, env=environment)
        return pickle.loads(path.read_bytes())


def differences(ours, theirs):
    """Names of the values that are not equal to the last bit."""
    for name, value in ours.items():
        a, b = np.asarray(value), np.asarray(theirs[name])
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            yield name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", nargs="?", help="the other checkout")
    parser.add_argument("--write", type=Path, help="write this checkout's results to a file")
    options = parser.parse_args()
    if options.write:
        warnings.simplefilter("ignore")
        options.write.write_bytes(pickle.dumps(results()))
        return 0
    here, there = (
        results_of(Path(__file__).parents[1]),
        results_of(Path(options.checkout).resolve()),
    )
    equal = 0
    for name, values in here.items():
        wrong = list(differences(values, there[name]))
        equal += not wrong
        if wrong:
            print(f"{name}: {', '.join(wrong)} differ")
    print(f"{equal} of {len(here)} fits are equal to the last bit")
    return int(equal < len(here))


if __name__ == "__main__":
    sys.exit(main())
