"""The limit: what one EM iteration would cost if only its products or its exps cost time.

An iteration is two matrix products, of K rows of natural parameters with the P features of a row,
and of responsibilities with those features, and one exp for each row and component.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.problems import Problem
from benchmarks.timing import seconds

SIZE = 1024  # rows and columns of the matrices for the peak
IN_CACHE = 2**14  # numbers at a time for exp


class Peak(NamedTuple):
    """What one core does at best."""

    flops: float  # per second, in a product of matrices
    exps: float  # per second


def peak(dtype: str) -> Peak:
    """Measured here, by NumPy; the worker has one thread."""
    random = np.random.default_rng(0)
    square = random.standard_normal((SIZE, SIZE)).astype(dtype)
    product = np.empty_like(square)
    numbers = -10 * random.random(IN_CACHE).astype(dtype)
    result = np.empty_like(numbers)
    return Peak(
        2 * SIZE**3 / seconds(lambda: np.matmul(square, square, out=product)),
        IN_CACHE / seconds(lambda: np.exp(numbers, out=result)),
    )


def n_products(problem: Problem) -> int:
    """P: 1, the row, and what the family takes of its second moments."""
    D = problem.n_features
    second = {"full": D * (D + 1) // 2, "tied": 0, "diag": D, "spherical": 1}
    return 1 + D + second[problem.covariance_type]


def parts(problem: Problem, peak: Peak, threads: int) -> dict[str, float]:
    """Seconds of an iteration's products and of its exps, on so many cores."""
    each = problem.n_rows * problem.n_components
    return {
        "products": 4 * each * n_products(problem) / peak.flops / threads,
        "exps": each / peak.exps / threads,
    }


def aim(problem: Problem) -> float:
    """How many times the limit we mean to be."""
    return 1.5 if problem.n_features >= 16 else 3.0
