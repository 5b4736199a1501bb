"""Statistics, M-steps and EM in long form, which several test files compare to."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import clusters, identity_precisions
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from emgmm import GaussianMixture
from emgmm.covariances import DENSE, DIAGONAL, FAMILIES, ISOTROPIC
from emgmm.mstep import MStep
from emgmm.statistics import Statistics

K, D = 3, 4
families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)

# What each structure keeps of a matrix.
ELEMENTS = {DENSE: np.asarray, DIAGONAL: np.diagonal, ISOTROPIC: np.trace}


def statistics_in_long_form(X, responsibilities, family, centres=None):
    """Statistics by loops over rows and components, about zero or given centres."""
    (n_rows, n_components), n_features = responsibilities.shape, X.shape[1]
    centres = np.zeros((n_components, n_features)) if centres is None else centres
    counts, first_moment = np.zeros(n_components), np.zeros((n_components, n_features))
    scatters = np.zeros((n_components, n_features, n_features))
    for k in range(n_components):
        for i in range(n_rows):
            deviation = X[i] - centres[k]
            counts[k] += responsibilities[i, k]
            first_moment[k] += responsibilities[i, k] * deviation
            scatters[k] += responsibilities[i, k] * np.outer(deviation, deviation)
    elements = np.array([ELEMENTS[family.structure](scatter) for scatter in scatters])
    scatter = elements.sum(axis=0) if family.shared else elements
    return Statistics(centres, counts, first_moment, scatter, 0.0, n_rows)


def some_responsibilities(n_rows, n_components, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(n_components), size=n_rows)


def some_mixture(family, seed=0):
    X = clusters(seed=seed, n_features=D)
    statistics = statistics_in_long_form(X, some_responsibilities(len(X), K, seed), family)
    return X, MStep(family, 0.0, np.dtype(float)).maximise(statistics)


def scatters_in_long_form(X, responsibilities, means):
    """The sums of equation [4], row by row."""
    n_components, n_features = means.shape
    scatters = np.zeros((n_components, n_features, n_features))
    for k in range(n_components):
        for i in range(len(X)):
            deviation = X[i] - means[k]
            scatters[k] += responsibilities[i, k] * np.outer(deviation, deviation)
    return scatters


def assert_same_statistics(a, b, rtol=1e-11):
    scale = np.abs(b.scatter).max()
    for name in ("centres", "counts", "first_moment", "scatter"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=rtol * scale)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=rtol)
    assert a.weight == b.weight


# -- families as mclust's letters describe them ----------------------------------------------------
LETTERS = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII", "E": "EII", "V": "VII"}


class LongForm:
    """lambda_k D_k A_k D_k^T as mclust's letters have it, from a vector of numbers; 3 features."""

    def __init__(self, letters, n_components):
        self.K = n_components
        copies = {"E": 1, "V": n_components, "I": 0}
        self.shapes = [(copies[a], b) for a, b in zip(letters, (1, 3, 3), strict=True)]

    @property
    def n_numbers(self):
        return sum(a * b for a, b in self.shapes)

    def parts(self, vector):
        """Axes (K or 1, D, D) and variances (K or 1, D)."""
        ends = np.cumsum([a * b for a, b in self.shapes])[:-1]
        numbers = zip(np.split(vector, ends), self.shapes, strict=True)
        volume, shape, turns = (part.reshape(size) for part, size in numbers)
        shape = shape - shape.mean(axis=1, keepdims=True) if len(shape) else np.zeros((1, 3))
        axes = Rotation.from_rotvec(turns).as_matrix() if len(turns) else np.eye(3)[None]
        return axes, np.exp(np.clip(volume + shape, -20, 20))

    def covariances(self, vector):
        axes, variances = self.parts(vector)
        each = (axes * variances[:, None, :]) @ np.swapaxes(axes, 1, 2)
        return np.broadcast_to(each, (self.K, 3, 3))

    def criterion(self, vector, scatters, masses):
        """F, as below, at numbers far from any good ones too."""
        axes, variances = self.parts(vector)
        along = np.einsum("kij,kil,klj->kj", *np.broadcast_arrays(axes, scatters, axes))
        return np.sum(along / variances + masses[:, None] * np.log(variances))


# -- the question's own numbers --------------------------------------------------------------------
MEAN = [2.50832195, 2.51546208]
COVARIANCE = [[7.05168736, 6.17098629], [6.17098629, 7.23009494]]


def own_start(covariance_type="full", **more):
    precisions = identity_precisions(covariance_type, 2, 2, scale=10.0)
    return GaussianMixture(
        2,
        covariance_type=covariance_type,
        reg_covar=0,
        weights_init=[0.5, 0.5],
        means_init=[[10, 10], [10, 10]],
        precisions_init=precisions,
        break_symmetry=False,
        **more,
    )


def em_in_long_form(X, weights, means, covariances, iterations):
    """Equations [1] to [4] with densities, as the question has them."""
    for _ in range(iterations):
        joint = np.stack(
            [
                w * multivariate_normal(m, c).pdf(X)
                for w, m, c in zip(weights, means, covariances, strict=True)
            ]
        )
        r = joint / joint.sum(axis=0)
        mass = r.sum(axis=1)
        weights = mass / len(X)
        means = (r @ X) / mass[:, None]
        covariances = [
            (r[k] * (X - means[k]).T) @ (X - means[k]) / mass[k] for k in range(len(mass))
        ]
    return weights, means, np.array(covariances)
