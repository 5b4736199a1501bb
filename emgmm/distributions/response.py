"""Distributions of some features, the responses, given the others, for many rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emgmm.distributions.restriction import marginal
from emgmm.distributions.univariate import Univariate
from emgmm.estep import EStepForBlock
from emgmm.mixture import Mixture
from emgmm.prediction import log_responsibilities, responsibilities_without_noise
from emgmm.sources.block import Block
from emgmm.sources.patterns import each_pattern
from emgmm.tolerances import negligible_underflow
from emgmm.typing import Array, Integers


@dataclass(frozen=True, eq=False)
class Regressions:
    """Linear regressions of Q responses on d features, one in each component.

    Parameters
    ----------
    centre : (d,)
        Point about which the features are centred.
    intercepts : (K, Q)
        Conditional means of the responses at the centre.
    slopes : (K, Q, d)
        Slopes.
    roots : (K, Q, Q)
        Factors L of the conditional covariances L L^T of the responses.
    """

    centre: Array
    intercepts: Array
    slopes: Array
    roots: Array

    @classmethod
    @negligible_underflow
    def of(cls, mixture: Mixture, features: Sequence[int], responses: Sequence[int]) -> Regressions:
        """Return the regressions of some features of a mixture on others.

        With the responses last, and z = U^T (x - mu) standard normal, the last rows of U^T state
        the responses given the features, without the inverse of a covariance.
        """
        joint, d = marginal(mixture, [*features, *responses]), len(features)
        means = joint.means.astype(np.float64)
        factors = joint.family.structure.dense(joint.each_precision_cholesky, d + len(responses))
        roots = np.linalg.inv(factors[:, d:, d:]).swapaxes(1, 2)
        slopes = -roots @ factors[:, :d, d:].swapaxes(1, 2)
        centre = joint.centre[:d]
        offsets = slopes @ (centre - means[:, :d])[:, :, None]
        return cls(centre, means[:, d:] + offsets[:, :, 0], slopes, roots)

    @property
    def covariances(self) -> Array:
        """Conditional covariances of the responses, (K, Q, Q)."""
        return self.roots @ self.roots.swapaxes(1, 2)

    def means(self, features: Array) -> Array:
        """Return the conditional means of the responses, (K, Q, B), given (d, B) features."""
        K, Q, d = self.slopes.shape
        products = self.slopes.reshape(K * Q, d) @ (features - self.centre[:, None])
        found: Array = products.reshape(K, Q, -1)
        found += self.intercepts[:, :, None]
        return found


class Response:
    """Distribution of the last features of a mixture given the first ones.

    Its methods are functions of an E-step of the first features and a block of these, and return
    one value or several for each row, as `prediction.row_by_row` requires.

    Parameters
    ----------
    joint : Mixture
        Mixture of all features, without noise.
    n_given : int
        Number of the first features.
    """

    def __init__(self, joint: Mixture, n_given: int) -> None:
        self.joint = joint
        self.given = marginal(joint, range(n_given))
        self.responses = range(n_given, joint.n_features)
        self._complete = Regressions.of(joint, range(n_given), self.responses)

    def _parts(self, block: Block) -> Iterator[tuple[Integers | slice, Regressions, Array]]:
        """Yield rows with the same observed features: their place, regressions and features."""
        for place, observed in each_pattern(block):
            if len(observed) == self.given.n_features:
                yield place, self._complete, block.rows[:, place]
            else:
                regressions = Regressions.of(self.joint, observed.tolist(), self.responses)
                yield place, regressions, block.rows[observed][:, place]

    def means(self, e_step: EStepForBlock, block: Block) -> Array:
        """Return the conditional means, (B, Q)."""
        probabilities = responsibilities_without_noise(e_step, block)
        out = np.empty((block.rows.shape[1], len(self.responses)))
        for place, regressions, features in self._parts(block):
            means = regressions.means(features)
            means *= probabilities[:, None, place]  # much faster than einsum
            out[place] = means.sum(axis=0).T
        return out

    def covariances(self, e_step: EStepForBlock, block: Block) -> Array:
        """Return the conditional covariances, (B, Q, Q), within and between the components."""
        probabilities = responsibilities_without_noise(e_step, block)
        n_responses = len(self.responses)
        out = np.empty((block.rows.shape[1], n_responses, n_responses))
        for place, regressions, features in self._parts(block):
            own, means = probabilities[:, place], regressions.means(features)
            means -= np.einsum("kb,kqb->qb", own, means)
            within = np.tensordot(own.T, regressions.covariances, axes=1)
            out[place] = within + np.einsum("kb,kqb,krb->bqr", own, means, means)
        return out

    def sds(self, e_step: EStepForBlock, block: Block) -> Array:
        """Return the conditional standard deviations, (B, Q)."""
        probabilities = responsibilities_without_noise(e_step, block)
        out = np.empty((block.rows.shape[1], len(self.responses)))
        for place, regressions, features in self._parts(block):
            own, means = probabilities[:, place], regressions.means(features)
            means -= (own[:, None] * means).sum(axis=0)
            means *= means
            means *= own[:, None]
            within = own.T @ np.diagonal(regressions.covariances, axis1=1, axis2=2)
            out[place] = within + means.sum(axis=0).T
        return np.sqrt(out)

    def quantiles(self, e_step: EStepForBlock, block: Block, probabilities: Array) -> Array:
        """Return the conditional quantiles of the only response, (B, P)."""
        log_weights = log_responsibilities(e_step, block).astype(np.float64)
        out = np.empty((len(log_weights), len(probabilities)))
        for place, regressions, features in self._parts(block):
            means, sds = regressions.means(features)[:, 0].T, np.abs(regressions.roots[:, 0, 0])
            given = Univariate(log_weights[place], means, np.broadcast_to(sds, means.shape))
            for i, probability in enumerate(probabilities):
                out[place, i] = given.quantile(np.full(len(means), probability))
        return out

    def draws(self, e_step: EStepForBlock, block: Block, uniform: Array, normal: Array) -> Array:
        """Return draws, (B, Q, S), given (N, S) uniform and (N, Q, S) normal random numbers.

        The random numbers are those of all rows of the source, whatever the blocks.
        """
        probabilities = responsibilities_without_noise(e_step, block)
        uniform, normal = uniform[block.place], normal[block.place]
        below = np.cumsum(probabilities, axis=0).T
        out = np.empty(normal.shape)
        for place, regressions, features in self._parts(block):
            means = np.moveaxis(regressions.means(features), -1, 0)
            rows = np.arange(len(means))
            for s in range(uniform.shape[1]):
                exceeded = (below[place] < uniform[place, s, None]).sum(axis=1)
                k = np.minimum(exceeded, len(probabilities) - 1)
                noise = regressions.roots[k] @ normal[place, :, s, None]
                out[place, :, s] = means[rows, k] + noise[:, :, 0]
        return out
