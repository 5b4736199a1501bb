"""Covariances: from scikit-learn's shape for each covariance type to matrices, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shaped(
    matrix: NDArray[np.floating], covariance_type: str, n_components: int
) -> NDArray[np.floating]:
    """A (D, D) multiple of the identity, for every component, in scikit-learn's shape."""
    return {
        "full": np.tile(matrix, (n_components, 1, 1)),
        "tied": matrix,
        "diag": np.tile(np.diag(matrix), (n_components, 1)),
        "spherical": np.full(n_components, matrix[0, 0]),
    }[covariance_type]


def dense(
    covariances: NDArray[np.floating], covariance_type: str, n_components: int, n_features: int
) -> NDArray[np.floating]:
    """(K, D, D) covariances from scikit-learn's shape."""
    if covariance_type == "full":
        return covariances
    if covariance_type == "tied":
        return np.tile(covariances, (n_components, 1, 1))
    variances = covariances if covariance_type == "diag" else covariances[:, None]
    return variances[:, :, None] * np.eye(n_features)
