"""Problems: rows, and a start that every library is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.covariances import shaped

SEED = 20240229
CHUNK = 2**16  # rows made at a time, so that making X needs no more memory than X


class Start(NamedTuple):
    """Where EM begins; the (K, D, D) covariances say the same as the precisions."""

    weights: NDArray[np.floating]
    means: NDArray[np.floating]
    precisions: NDArray[np.floating]
    covariances: NDArray[np.floating]


@dataclass(frozen=True)
class Problem:
    """A data set, a mixture to fit to it, and how many EM iterations to make."""

    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str
    iterations: int
    dtype: str = "float64"
    reg_covar: float = 0.0

    @property
    def name(self) -> str:
        """N x D x K and the type of the covariances, and that of the numbers if it is float32."""
        short = "-f32" if self.dtype == "float32" else ""
        return f"{self.size}-{self.covariance_type}{short}"

    @property
    def size(self) -> str:
        """N x D x K."""
        return f"{count(self.n_rows)}x{self.n_features}x{self.n_components}"

    @property
    def n_bytes(self) -> int:
        """Size of the rows."""
        return self.n_rows * self.n_features * np.dtype(self.dtype).itemsize

    def make(self) -> tuple[NDArray[np.floating], Start]:
        """Rows from overlapping clusters, and a start half a standard deviation off the truth."""
        random = np.random.default_rng(SEED)
        K, D = self.n_components, self.n_features
        means = random.normal(0, 4 / np.sqrt(2 * D), (K, D))  # about 4 sd from one to another
        mixing = np.eye(D) + random.normal(0, 0.3 / np.sqrt(D), (K, D, D))
        X = np.empty((self.n_rows, D), dtype=self.dtype)
        for begin in range(0, self.n_rows, CHUNK):
            rows = X[begin : begin + CHUNK]
            component = random.integers(K, size=len(rows))
            for k in range(K):
                own = component == k
                rows[own] = means[k] + random.standard_normal((own.sum(), D)) @ mixing[k]
        return X, self.start(means + random.normal(0, 0.5 / np.sqrt(D), (K, D)), np.ones(D))

    def start(self, means: NDArray[np.floating], variances: NDArray[np.floating]) -> Start:
        """Equal weights, these means, and for all components these variances."""
        K = self.n_components
        precisions = shaped(np.diag(1 / variances), self.covariance_type, K)
        start = Start(np.full(K, 1 / K), means, precisions, np.tile(np.diag(variances), (K, 1, 1)))
        return Start(*(values.astype(self.dtype) for values in start))


def count(number: int) -> str:
    """A number as people write it: 2e5 for 200 000, but 2000."""
    digits = str(number).rstrip("0")
    zeros = len(str(number)) - len(digits)
    return f"{digits}e{zeros}" if zeros >= 4 else str(number)


@lru_cache(maxsize=2)
def made(problem: Problem) -> tuple[NDArray[np.floating], Start]:
    """What the problem makes; this process keeps the last two."""
    return problem.make()


_FULL = (
    Problem(1_000_000, 2, 2, "full", 6),
    Problem(500_000, 2, 10, "full", 4),
    Problem(200_000, 8, 8, "full", 5),
    Problem(100_000, 16, 16, "full", 4),
    Problem(50_000, 32, 32, "full", 3),
    Problem(20_000, 64, 32, "full", 3),
    Problem(20_000, 128, 16, "full", 3),
)
_SMALL = (Problem(2_000, 2, 3, "full", 50), Problem(150, 4, 3, "full", 50))
_DIAGONAL = tuple(
    replace(problem, covariance_type=covariance_type)
    for covariance_type in ("diag", "spherical")
    for problem in _FULL
    if problem.n_rows >= 100_000 and problem.n_components >= 4
)
_TIED = tuple(replace(problem, covariance_type="tied") for problem in _FULL[3:])
PROBLEMS = {problem.name: problem for problem in (*_FULL, *_SMALL, *_DIAGONAL, *_TIED)}
QUICK = ("2000x2x3-full", "150x4x3-full", "2e5x8x8-diag")
IN_BOTH_TYPES = tuple(problem.name for problem in _FULL if problem.n_features >= 16)
