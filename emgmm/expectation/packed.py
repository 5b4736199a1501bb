"""The packed form: a block's E-step is two matrix products.

With phi(y) = (1, y, monomials of y), y = x - centre, each component is linear in phi::

    S = Theta @ phi     (K, B)    the log-joint of the whole block
    R = softmax(S)                log-sum-exp on the way
    T = R @ phi.T       (K, P)    mass, drift and second moments of all components

P = 1 + D + D(D+1)/2 for full covariances: half the products of the textbook's form, because a
symmetric matrix is visited once. Where the covariance is shared, the quadratic term is the same for
all components and cancels in R: phi = (1, y), and the log-likelihood takes that term from the total
scatter, which no iteration changes.

The expanded square loses digits as rows and means lie many standard deviations from the centre;
`Packed.error` bounds the loss.
"""

from __future__ import annotations

import numpy as np

from emgmm.block import Block
from emgmm.expectation.form import Form
from emgmm.expectation.softmax import softmax
from emgmm.mixture import Mixture
from emgmm.precision import UNIT
from emgmm.statistics import Statistics, Summary
from emgmm.typing import Array


class Packed(Form):
    """The packed form about the mixture's own mean.

    Parameters
    ----------
    mixture : Mixture
        Whose E-step.
    summary : Summary or None
        Of the rows to be summed over; not needed for log-joints.
    """

    def __init__(self, mixture: Mixture, summary: Summary | None = None) -> None:
        family, shape = mixture.family, mixture.family.shape
        self.mixture = mixture
        self.summary = summary
        self.centre = mixture.centre
        self.means = mixture.means - self.centre
        self.whiteners = mixture.each_whitener
        precisions = shape.precisions(self.whiteners)
        linear = shape.apply(precisions, self.means)
        constant = mixture.log_peaks() - 0.5 * np.einsum("kj,kj->k", linear, self.means)
        theta = [constant[:, None], linear]
        if not family.shared:
            theta.append(shape.coefficients(precisions))
        self.theta = np.concatenate(theta, axis=1)

    def error(self, reach: Array) -> float:
        """Bound of the error of any log-joint, for rows within `reach` (D,) of the centre.

        First order in the unit of rounding, with every term at its largest: what is met in practice
        is ten to a thousand times less.
        """
        vectors = reach + np.abs(self.means)
        return UNIT * float(self.mixture.family.shape.magnitude(self.whiteners, vectors).max())

    def _phi(self, rows: Array) -> Array:
        n_features, n_rows = rows.shape
        phi = np.empty((self.theta.shape[1], n_rows))
        phi[0] = 1.0
        centred = phi[1 : 1 + n_features]
        np.subtract(rows, self.centre[:, None], out=centred)
        if not self.mixture.family.shared:
            self.mixture.family.shape.monomials(centred, phi[1 + n_features :])
        return phi

    def log_joint(self, rows: Array) -> Array:
        phi = self._phi(rows)
        log_joint = self.theta @ phi
        if self.mixture.family.shared:
            centred = phi[1:]
            whitened = self.mixture.family.shape.whiten(self.whiteners[0], centred)
            log_joint -= 0.5 * np.einsum("jb,jb->b", whitened, whitened)
        return log_joint

    def statistics(self, block: Block) -> Statistics:
        family, (n_features, n_rows) = self.mixture.family, block.rows.shape
        phi = self._phi(block.rows)
        responsibilities = self.theta @ phi
        log_likelihood = float(softmax(responsibilities).sum())
        sums = responsibilities @ phi.T
        centres = np.broadcast_to(self.centre, self.means.shape)
        if family.shared:
            scatter: Array = np.zeros(self.mixture.covariances.shape)
        else:
            scatter = family.shape.from_monomials(sums[:, 1 + n_features :], n_features)
        return Statistics(
            centres, sums[:, 0], sums[:, 1 : 1 + n_features], scatter, log_likelihood, n_rows
        )

    def complete(self, statistics: Statistics) -> Statistics:
        family = self.mixture.family
        if not family.shared:
            return statistics
        assert self.summary is not None
        total = self.summary.scatter_about(self.centre)
        precision = family.shape.precisions(self.whiteners[:1])[0]
        quadratic = -0.5 * family.shape.inner(precision, total, self.mixture.n_features)
        return statistics.with_shared(total, quadratic)
