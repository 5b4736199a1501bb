"""A family, a start and a scheme of a user, which use only the public parts of the package."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from emgmm.acceleration import Step, em_step, evaluate
from emgmm.covariances import DENSE, Family
from emgmm.exceptions import DegenerateCovarianceError


class Exchangeable(Family):
    """Covariances that do not change if features are interchanged.

    Each component has one variance a and one covariance b. Averaging the scatter over all
    permutations of the features gives their maximum-likelihood estimates.
    """

    closed_under_scaling = False

    def __init__(self):
        super().__init__("exchangeable", DENSE)

    def estimate(self, scatter, counts, n_features, before=None):
        identity = np.eye(n_features)
        off_diagonal = 1 - identity
        sample = scatter / counts[:, None, None]
        variances = np.trace(sample, axis1=1, axis2=2) / n_features
        pairs = max(1, n_features * (n_features - 1))
        covariances = (sample * off_diagonal).sum(axis=(1, 2)) / pairs
        return np.multiply.outer(variances, identity) + np.multiply.outer(covariances, off_diagonal)

    def n_covariance_parameters(self, n_components, n_features):
        return n_components * min(2, n_features)

    def min_count(self, n_features):
        return 2


def slices(X, n_components, random_state):
    """Labels of slices of equal numbers of rows along a random direction."""
    filled = np.where(np.isnan(X), 0.0, X).astype(float)
    places = np.argsort(np.argsort(filled @ random_state.normal(size=X.shape[1])))
    return places * n_components // len(X)


@dataclass(frozen=True, eq=False)
class Overrelaxed:
    """State of EM whose every second step is tried twice as long in the means.

    Salakhutdinov and Roweis (2003), Proc. 20th Int. Conf. Machine Learning, 664.
    """

    step: Step
    plain_is_next: bool = True

    def next(self, em, *, force_plain):
        step = em_step(em, self.step)
        if force_plain or self.plain_is_next:
            return Overrelaxed(step, plain_is_next=False)
        old, new = self.step.mixture, step.mixture
        longer = new.means + (new.means - old.means)
        mixture = type(new).of(new.weights, longer, new.covariances, new.family, new.noise)
        try:
            tried = evaluate(em, mixture, "leap")
        except DegenerateCovarianceError:
            tried = step
        better = tried if tried.objective > step.objective else step
        return Overrelaxed(replace(better.completed(), passes=em.passes))


def steps(em, scheme, mixture):
    """The steps of a scheme without end, none of them forced to be plain."""
    state = scheme(evaluate(em, mixture))
    while True:
        yield state.step
        state = state.next(em, force_plain=False)
