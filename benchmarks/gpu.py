"""EM iterations on one GPU, compared with its matrix product and with other libraries.

Run ``python -m benchmarks.gpu`` from the root of the repository, on a machine with PyTorch and a
CUDA device; it needs no network. Libraries that are not installed are left out. It prints each line
as soon as it is measured, and stops after `--seconds`, ten minutes by default. `--device cpu
--scale 1e-3` shows within a minute that everything works.

An iteration is the time of a fit of n iterations minus that of one iteration, divided by n - 1. The
peak is the speed of a product of two large square matrices of the same type. The column "of peak"
is 4 K P N, the operations of the two products of an iteration (`limit.py`), divided by its time and
by the peak.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported

import numpy as np
import sklearn
import torch

from benchmarks.covariances import dense
from benchmarks.libraries import estimators
from benchmarks.limit import n_products
from benchmarks.problems import Problem, Start

# The cells of the kernels' table, with so many rows that a GPU is busy. Those that are measured
# first are the most informative.
CELLS = (
    Problem(1_000_000, 32, 32, "full", 6),
    Problem(10_000_000, 8, 8, "full", 6),
    Problem(1_000_000, 64, 32, "full", 4),
    Problem(10_000_000, 2, 2, "full", 6),
    Problem(1_000_000, 16, 16, "full", 6),
    Problem(10_000_000, 2, 10, "full", 6),
    Problem(1_000_000, 128, 16, "full", 3),
    Problem(10_000_000, 8, 8, "diag", 6),
    Problem(10_000_000, 16, 16, "tied", 6),
    Problem(10_000_000, 8, 8, "spherical", 6),
    Problem(10_000_000, 32, 32, "full", 3),
    Problem(100_000_000, 2, 2, "full", 3),
    Problem(100_000_000, 8, 8, "full", 3),
)
TYPES = ("float32", "float64")

# Rows and columns of the matrices for the peak.
SIZE = 8192

# Largest difference of the log-likelihood per row from ours.
AGREEMENT = {"float64": 1e-9, "float32": 1e-4}

# Number of rows whose log-likelihood is compared.
SCORED = 2**16

# Arrays of N numbers that scikit-learn's class needs at the same time, in multiples of K + D.
ARRAYS = 4


@dataclass(frozen=True)
class Measurement:
    """What one library did in one cell."""

    seconds: float
    likelihood: float


def wait(device: str) -> None:
    """Wait until the device has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(device: str, function: Callable[[], Any]) -> tuple[float, Any]:
    wait(device)
    start = time.perf_counter()
    result = function()
    wait(device)
    return time.perf_counter() - start, result


def peak(device: str, dtype: str, size: int) -> float:
    """Operations per second of a product of two matrices."""
    square = torch.rand(size, size, device=device, dtype=getattr(torch, dtype))
    product = torch.empty_like(square)
    torch.matmul(square, square, out=product)
    times = [timed(device, lambda: torch.matmul(square, square, out=product))[0] for _ in range(5)]
    return 2 * size**3 / min(times)


def rows_of(problem: Problem, device: str) -> tuple[Any, Start]:
    """Rows that are made on the device as `Problem.make` makes them, and its start."""
    few = replace(problem, n_rows=1)
    start = few.make()[1]
    generator = torch.Generator(device=device).manual_seed(0)
    random = np.random.default_rng(0)
    K, D = problem.n_components, problem.n_features
    kind = {"device": device, "dtype": getattr(torch, problem.dtype)}
    mixing = torch.asarray(np.eye(D) + random.normal(0, 0.3 / np.sqrt(D), (K, D, D)), **kind)
    means = torch.asarray(start.means + random.normal(0, 0.5 / np.sqrt(D), (K, D)), **kind)
    X = torch.empty(problem.n_rows, D, **kind)
    for k in range(K):
        own = X[k::K]
        own.normal_(generator=generator)
        own.copy_(own @ mixing[k] + means[k])
    return X, start


def of_estimator(cls: Any) -> Callable[..., float]:
    """The fit of an estimator with scikit-learn's interface, on the device of the rows."""

    def fit(problem: Problem, X: Any, start: Start) -> float:
        options = {"sampling": None} if cls.__module__.startswith("emgmm") else {}
        with sklearn.config_context(array_api_dispatch=True):
            moved = start
            if not options:  # scikit-learn wants the start where the rows are
                moved = Start(*(torch.asarray(each, device=X.device) for each in start))
            model = estimators.from_start(
                cls, problem, moved, init_params="random_from_data", **options
            ).fit(X)
            return float(model.score(X[:SCORED]))

    return fit


def of_tgmm(problem: Problem, X: Any, start: Start) -> float:
    from tgmm import GaussianMixture

    kind = {"tied": "tied_full"}.get(problem.covariance_type, problem.covariance_type)
    inverse = start.precisions
    inverse = np.linalg.inv(inverse) if problem.covariance_type in ("full", "tied") else 1 / inverse
    where = {"device": X.device}
    model = GaussianMixture(
        n_components=problem.n_components,
        n_features=problem.n_features,
        covariance_type=kind,
        max_iter=problem.iterations,
        tol=np.finfo(float).tiny,
        reg_covar=problem.reg_covar,
        init_means=torch.asarray(start.means, **where),
        init_weights=torch.asarray(start.weights, **where),
        init_covariances=torch.asarray(inverse, **where),
        device=X.device.type,
    ).fit(X)
    return float(model.score_samples(X[:SCORED]).mean())


def of_torchgmm(problem: Problem, X: Any, start: Start) -> float:
    from benchmarks.libraries import bench_torchgmm

    accelerator = "gpu" if X.device.type == "cuda" else "cpu"
    fitted = bench_torchgmm.fit_tensor(problem, X, start, accelerator)
    return likelihood(fitted, X[:SCORED])


def of_gmmx(problem: Problem, X: Any, start: Start) -> float:
    import jax
    from gmmx import EMFitter, GaussianMixtureModelJax

    if problem.covariance_type not in ("full", "diag") or problem.dtype != "float32":
        raise NotImplementedError("only full and diag in float32")
    weights, means, _, covariances = start
    if problem.covariance_type == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    begin = GaussianMixtureModelJax.from_squeezed(
        means, covariances, weights, problem.covariance_type
    )
    fitter = EMFitter(max_iter=problem.iterations, tol=0.0, reg_covar=problem.reg_covar)
    end = fitter.fit(jax.dlpack.from_dlpack(X), begin).gmm
    covariances = dense(end.covariances.values_numpy, problem.covariance_type, *means.shape)
    return likelihood((end.weights_numpy, end.means_numpy, covariances), X[:SCORED])


def likelihood(fitted: Any, X: Any) -> float:
    """Mean log-density of rows, by PyTorch's own distributions."""
    where = {"device": X.device, "dtype": torch.float64}
    weights, means, covariances = (torch.asarray(np.array(each), **where) for each in fitted)
    normal = torch.distributions.MultivariateNormal(means, covariances)
    rows = X.to(torch.float64)
    return float(torch.logsumexp(normal.log_prob(rows[:, None, :]) + weights.log(), dim=1).mean())


def libraries() -> dict[str, Callable[..., float]]:
    """The fits of the installed libraries; scikit-learn's is the reference."""
    from sklearn.mixture import GaussianMixture as Reference

    from emgmm import GaussianMixture

    found: dict[str, Callable[..., float]] = {
        "emgmm": of_estimator(GaussianMixture),
        "scikit-learn": of_estimator(Reference),
    }
    others = {"tgmm": of_tgmm, "torchgmm": of_torchgmm, "gmmx": of_gmmx}
    for name, fit in others.items():
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            print(f"{name} is not installed")
        else:
            found[name] = fit
    return found


def measure(fit: Callable[..., float], problem: Problem, X: Any, start: Start) -> Measurement:
    """The seconds of an iteration, as the smaller of two differences, and the log-likelihood."""
    device = X.device.type
    one = replace(problem, iterations=1)
    fit(one, X, start)  # compiles, and selects the algorithms
    times = []
    for _ in range(2):
        first, _ = timed(device, lambda: fit(one, X, start))
        whole, value = timed(device, lambda: fit(problem, X, start))
        times.append((whole - first) / (problem.iterations - 1))
    return Measurement(min(times), value)


def free_bytes(device: str) -> int:
    return torch.cuda.mem_get_info()[0] if device == "cuda" else 2**33


def lines(options: argparse.Namespace) -> Iterator[str]:
    """The lines of the report."""
    device, until = options.device, time.monotonic() + options.seconds
    name = torch.cuda.get_device_name() if device == "cuda" else "the processor"
    versions = [f"{each} {metadata.version(each)}" for each in ("torch", "scikit-learn", "numpy")]
    yield f"{name}; {', '.join(versions)}"
    fits = libraries()
    peaks = {dtype: peak(device, dtype, options.size) for dtype in TYPES}
    yield ", ".join(f"peak in {dtype}: {each / 1e12:.2f} TFLOP/s" for dtype, each in peaks.items())
    yield f"{'cell':>22} {'type':>8} {'library':>13} {'ms':>9} {'of peak':>8} {'ratio':>7}"
    for cell in CELLS:
        for dtype in TYPES:
            fewest = 20 * cell.n_components * (cell.n_features + 1)  # for definite covariances
            n_rows = max(fewest, int(cell.n_rows * options.scale))
            problem = replace(cell, n_rows=n_rows, dtype=dtype)
            if time.monotonic() > until:
                yield "The time is over."
                return
            label = f"{problem.size}-{problem.covariance_type:>9} {dtype:>8}"
            if 2 * problem.n_bytes > free_bytes(device):
                yield f"{label} does not fit into the memory"
                continue
            X, start = rows_of(problem, device)
            yield from cell_lines(label, problem, X, start, fits, peaks[dtype])
            del X
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()


def cell_lines(
    label: str,
    problem: Problem,
    X: Any,
    start: Start,
    fits: dict[str, Callable[..., float]],
    best: float,
) -> Iterator[str]:
    """A line for each library in one cell."""
    work = 4 * problem.n_rows * problem.n_components * n_products(problem)
    measured: dict[str, Measurement] = {}
    needed = ARRAYS * problem.n_bytes * (1 + problem.n_components / problem.n_features)
    for name, fit in fits.items():
        if name != "emgmm" and needed > free_bytes(X.device.type):
            yield f"{label} {name:>13} would not fit into the memory"
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                measured[name] = found = measure(fit, problem, X, start)
        except Exception as error:
            yield f"{label} {name:>13} failed: {type(error).__name__}: {str(error)[:90]}"
            continue
        ours = measured.get("emgmm")
        ratio = found.seconds / ours.seconds if ours else np.nan
        share = work / found.seconds / best
        line = f"{label} {name:>13} {1e3 * found.seconds:9.2f} {share:8.1%} {ratio:7.2f}"
        difference = found.likelihood - ours.likelihood if ours else 0.0
        if not abs(difference) <= AGREEMENT[problem.dtype]:
            line += f"  != by {difference:.1e} nats per row"
        yield line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--seconds", type=float, default=600, help="stop after so many seconds")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the numbers of rows")
    parser.add_argument("--size", type=int, default=SIZE, help="size of the matrices for the peak")
    for line in lines(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
