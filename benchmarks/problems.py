"""Problems: rows, and a start that every library is given."""

from __future__ import annotations

from dataclasses import dataclass
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

    name: str
    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str
    iterations: int
    dtype: str = "float64"

    @property
    def tolerance(self) -> float:
        """How far two log-likelihoods per row may lie apart and still agree, in nats."""
        return 1e-9 if self.dtype == "float64" else 1e-4

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
        start = Start(
            np.full(K, 1 / K),
            means + random.normal(0, 0.5 / np.sqrt(D), (K, D)),
            shaped(np.eye(D), self.covariance_type, K),
            np.tile(np.eye(D), (K, 1, 1)),
        )
        return X, Start(*(values.astype(self.dtype) for values in start))


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("1e6x2x2-full", 1_000_000, 2, 2, "full", 6),
        Problem("5e5x2x10-full", 500_000, 2, 10, "full", 4),
        Problem("2e5x8x8-full", 200_000, 8, 8, "full", 5),
        Problem("1e5x16x16-full", 100_000, 16, 16, "full", 4),
        Problem("5e4x32x32-full", 50_000, 32, 32, "full", 3),
        Problem("2e4x64x32-full", 20_000, 64, 32, "full", 3),
        Problem("2e4x128x16-full", 20_000, 128, 16, "full", 3),
        Problem("2000x2x3-full", 2_000, 2, 3, "full", 50),
        Problem("150x4x3-full", 150, 4, 3, "full", 50),
        Problem("2e5x8x8-tied", 200_000, 8, 8, "tied", 5),
        Problem("2e5x8x8-diag", 200_000, 8, 8, "diag", 5),
        Problem("2e5x8x8-spherical", 200_000, 8, 8, "spherical", 5),
    )
}

QUICK = ("2e5x8x8-full", "2000x2x3-full", "150x4x3-full")
