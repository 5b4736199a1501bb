"""mclust, in R and Fortran: each fit is a process of its own, whose start cancels per iteration."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start

SCRIPT = Path(__file__).with_name("mclust.R")
MODELS = {"full": "VVV", "tied": "EEE"}


def _run(*arguments: str) -> str:
    run = subprocess.run(["Rscript", *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr.strip().splitlines()[-1])
    return run.stdout


@cache
def version() -> str:
    try:
        found = _run("-e", "cat(format(packageVersion('mclust')))")
    except (OSError, RuntimeError) as error:
        raise ImportError(f"R or its package mclust is not installed: {error}") from None
    return f"mclust {found}"


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    if problem.covariance_type not in MODELS or X.dtype != np.float64:
        raise NotImplementedError(problem.covariance_type)
    K, D = start.means.shape
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = {"X": X, "weights": start.weights, "means": start.means}
        for what, values in (*given.items(), ("covariances", start.covariances)):
            np.ascontiguousarray(values).tofile(folder / what)
        sizes = (D, K, problem.iterations)
        _run(str(SCRIPT), name, MODELS[problem.covariance_type], *map(str, sizes))
        found = np.fromfile(folder / "fitted")
    weights, means, covariances = np.split(found, [K, K + K * D])
    return Fitted(weights, means.reshape(K, D), covariances.reshape(K, D, D))
