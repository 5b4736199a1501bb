"""Features in pairs: the objective in long form and its gradient, which is zero where a fit ends.

Missing values, weights of rows, priors, noise and the family of the covariances are combined here.
The objective is written out row by row with SciPy's densities, the prior's parameters are NumPy's
moments, and the gradient is taken numerically along directions within the family.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit, given_start
from long_form import LETTERS, LongForm
from scipy.spatial.transform import Rotation
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from emgmm import GaussianMixture, NormalInverseWishart
from emgmm.covariances import FAMILIES

N, D, K = 50, 3, 2
SHRINKAGE, DOF, CONCENTRATION, DENSITY = 0.3, 7.0, 1.7, 0.004
FEATURES = ("missing", "weights", "prior", "noise")
PAIRS = [set(pair) for pair in combinations(FEATURES, 2)] + [set(FEATURES)]
random = np.random.default_rng(4)
COMPLETE = clusters(N, D, K, seed=8, spread=1.5)
COMPLETE[:6] = random.uniform(COMPLETE.min(axis=0), COMPLETE.max(axis=0), (6, D))
HOLES = random.random((N, D)) < (0.0, 0.2, 0.4)  # the first feature is always observed
COUNTS = random.integers(1, 4, N)


class Problem:
    """Rows, weights and all that the objective needs, for a set of features and a family."""

    def __init__(self, features, covariance_type):
        self.features, self.family = features, FAMILIES[covariance_type]
        self.letters = LETTERS.get(covariance_type, covariance_type)
        self.X = np.where(HOLES, np.nan, COMPLETE) if "missing" in features else COMPLETE
        self.counts = COUNTS if "weights" in features else np.ones(N, dtype=int)
        repeated = self.X.repeat(self.counts, axis=0)
        total = len(repeated)
        self.mean = np.nanmean(repeated, axis=0)
        self.scale = np.diag(np.nanvar(repeated, axis=0)) * total / (total - 1)
        if "missing" not in features and LongForm(self.letters, K).shapes[2][0]:
            self.scale = np.cov(repeated.T)
        self.scale = self.scale / K ** (2 / D)
        if self.letters[1] == "I":
            self.scale = np.trace(self.scale) / D * np.eye(D)

    def fitted(self):
        more = {}
        if "prior" in self.features:
            more["prior"] = NormalInverseWishart(SHRINKAGE, dof=DOF)
            more["weight_concentration"] = CONCENTRATION
        if "noise" in self.features:
            more["noise"] = DENSITY
        start = given_start(COMPLETE, K, self.family.name, seed=1)
        model = GaussianMixture(**start, **more, reg_covar=0, tol=1e-13, max_iter=5000)
        model.set_params(acceleration="anderson")
        weights = self.counts if "weights" in self.features else None
        return fit(model.set_params(break_symmetry=False), self.X, sample_weight=weights)

    def log_noise(self, row):
        """Of a box with the proportions of the data's, and its marginals."""
        ranges = np.nanmax(self.X, axis=0) - np.nanmin(self.X, axis=0)
        sides = ranges / (DENSITY * ranges.prod()) ** (1 / D)
        return -np.log(sides[~np.isnan(row)]).sum()

    def objective(self, weights, means, covariances, noise_weight):
        total = 0.0
        for row, count in zip(self.X, self.counts, strict=True):
            o = ~np.isnan(row)
            joint = [
                np.log(w) + multivariate_normal.logpdf(row[o], m[o], c[np.ix_(o, o)])
                for w, m, c in zip(weights, means, covariances, strict=True)
            ]
            if "noise" in self.features:
                joint.append(np.log(noise_weight) + self.log_noise(row))
            total += count * logsumexp(joint)
        if "prior" in self.features:
            total += (CONCENTRATION - 1) * np.log(weights).sum()
            for m, c in zip(means, covariances, strict=True):
                step, inverse = m - self.mean, np.linalg.inv(c)
                total -= 0.5 * np.trace(self.scale @ inverse)
                total -= 0.5 * SHRINKAGE * step @ inverse @ step
                total -= 0.5 * (DOF + D + 2) * np.linalg.slogdet(c)[1]
        return total / self.counts.sum()


def numbers_of(letters, covariances):
    """The vector of which `LongForm` makes these covariances."""
    volumes, shapes, turns = [], [], []
    common = covariances[0] + np.pi * covariances[1]
    for covariance in covariances:
        axes = np.eye(D)
        if letters[2] != "I":
            axes = np.linalg.eigh(common if letters[2] == "E" else covariance)[1]
            axes[:, 0] *= np.linalg.det(axes)
        logs = np.log(np.diagonal(axes.T @ covariance @ axes))
        volumes.append(logs.mean(keepdims=True))
        shapes.append(logs - logs.mean())
        turns.append(Rotation.from_matrix(axes).as_rotvec())
    copies = [n for n, _ in LongForm(letters, K).shapes]
    parts = zip((volumes, shapes, turns), copies, strict=True)
    return np.concatenate([np.ravel(part[:n]) for part, n in parts])


@pytest.mark.parametrize("covariance_type", TYPES + MODELS)
@pytest.mark.parametrize("features", PAIRS, ids=lambda pair: "-".join(sorted(pair)))
def test_a_fit_ends_where_the_gradient_of_the_stated_objective_is_zero(features, covariance_type):
    problem = Problem(features, covariance_type)
    model = problem.fitted()
    noise_weight = model.noise_weight_ if "noise" in features else 0.0
    assert model.weights_.sum() + noise_weight == pytest.approx(1, abs=1e-12)
    there = problem.objective(model.weights_, model.means_, dense(model), noise_weight)
    assert model.lower_bound_ == pytest.approx(there, rel=1e-11)
    long_form = LongForm(problem.letters, K)
    numbers = numbers_of(problem.letters, dense(model))
    np.testing.assert_allclose(long_form.covariances(numbers), dense(model), rtol=1e-6, atol=1e-8)
    shares = np.log([*model.weights_, noise_weight] if noise_weight else model.weights_)
    directions = np.random.default_rng(0)

    def along(step, direction):
        of_shares, of_means, of_numbers = direction
        weights = np.exp(shares + step * of_shares)
        weights /= weights.sum()
        covariances = long_form.covariances(numbers + step * of_numbers)
        means = model.means_ + step * of_means
        return problem.objective(weights[:K], means, covariances, weights[-1])

    for _ in range(2):
        direction = [directions.normal(size=each.shape) for each in (shares, model.means_, numbers)]
        slope = (along(1e-4, direction) - along(-1e-4, direction)) / 2e-4
        bend = (2 * there - along(1e-4, direction) - along(-1e-4, direction)) / 1e-8
        assert bend > 0
        assert abs(slope) < 2e-5 * bend
