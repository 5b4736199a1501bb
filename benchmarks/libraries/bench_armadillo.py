"""Armadillo, in C++: built here where its headers and g++ are; full and diagonal, float64."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import dense
from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start

SOURCE = Path(__file__).with_name("armadillo.cpp")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-DNDEBUG")
KINDS = ("full", "diag")


@cache
def _built() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "armadillo.so"
        run = subprocess.run(
            ["g++", *FLAGS, SOURCE.name, "-o", built, "-larmadillo"],
            cwd=SOURCE.parent,  # so that what is said of the source does not say where it lies
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise ImportError(f"its build fails: {run.stderr.strip().splitlines()[0]}")
        return ctypes.CDLL(str(built))


def version() -> str:
    _built()
    code = "#include <armadillo>\nARMA_VERSION_MAJOR.ARMA_VERSION_MINOR.ARMA_VERSION_PATCH"
    run = subprocess.run(
        ["g++", "-E", "-P", "-x", "c++", "-"],
        input=code,
        capture_output=True,
        text=True,
        check=True,
    )
    return f"Armadillo {run.stdout.strip().splitlines()[-1].replace(' ', '')}"


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    kind = problem.covariance_type
    if kind not in KINDS or X.dtype != np.float64:
        raise NotImplementedError(kind)
    weights, means, covariances = start.weights.copy(), start.means.copy(), start.covariances.copy()
    if kind == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2).copy()
    sizes = (*X.shape, problem.n_components, problem.iterations)
    status = getattr(_built(), f"fit_{kind}")(
        ctypes.c_void_p(X.ctypes.data),
        *map(ctypes.c_ulonglong, sizes),
        *(ctypes.c_void_p(values.ctypes.data) for values in (weights, means, covariances)),
    )
    if status:
        raise RuntimeError("learn() failed")
    return Fitted(weights, means, dense(covariances, kind, *means.shape))
