"""EM by its equations, row by row about each mean, in extended precision: who is right?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start

Long = NDArray[np.longdouble]


def factor(matrix: Long) -> Long:
    """The lower Cholesky factor; NaN where there is none."""
    lower = np.zeros_like(matrix)
    for i in range(len(matrix)):
        for j in range(i + 1):
            rest = matrix[i, j] - lower[i, :j] @ lower[j, :j]
            lower[i, j] = np.sqrt(rest if rest > 0 else np.nan) if i == j else rest / lower[j, j]
    return lower


def log_joint(rows: Long, weights: Long, means: Long, covariances: Long) -> Long:
    """(N, K): log pi_k + log N(x; mu_k, Sigma_k)."""
    joint = np.empty((len(rows), len(weights)), dtype=np.longdouble)
    for k, (weight, mean, covariance) in enumerate(zip(weights, means, covariances, strict=True)):
        lower = factor(covariance)
        whitened = rows - mean
        for i in range(len(mean)):
            whitened[:, i] -= whitened[:, :i] @ lower[i, :i]
            whitened[:, i] /= lower[i, i]
        joint[:, k] = np.log(weight) - np.log(np.diagonal(lower)).sum()
        joint[:, k] -= (whitened**2).sum(axis=1) / 2
    return joint - np.log(2 * np.longdouble(np.pi)) * rows.shape[1] / 2


def constrained(scatters: Long, mass: Long, covariance_type: str) -> Long:
    """(K, D, D): covariances of that type, from scatters about the means."""
    each: Long = scatters / mass[:, None, None]
    eye = np.eye(scatters.shape[1], dtype=np.longdouble)
    if covariance_type == "tied":
        return np.tile(scatters.sum(axis=0) / mass.sum(), (len(mass), 1, 1))
    if covariance_type == "diag":
        return each * eye
    if covariance_type == "spherical":
        return np.trace(each, axis1=1, axis2=2)[:, None, None] / len(eye) * eye
    return each


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    """The problem's number of iterations from its start."""
    rows = X.astype(np.longdouble)
    weights, means, covariances = (
        np.asarray(values, dtype=np.longdouble)
        for values in (start.weights, start.means, start.covariances)
    )
    weights = weights / weights.sum()
    ridge = problem.reg_covar * np.eye(rows.shape[1], dtype=np.longdouble)
    for _ in range(problem.iterations):
        joint = log_joint(rows, weights, means, covariances)
        shares = np.exp(joint - joint.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        mass = shares.sum(axis=0)
        weights, means = mass / len(rows), shares.T @ rows / mass[:, None]
        scatters = []
        for share, mean in zip(shares.T, means, strict=True):
            scatters.append((share[:, None] * (rows - mean)).T @ (rows - mean))
        covariances = constrained(np.stack(scatters), mass, problem.covariance_type) + ridge
    return Fitted(*(values.astype(np.float64) for values in (weights, means, covariances)))
