"""Stepwise EM, which updates a mixture with one block of rows of a stream after another.

The state is a decayed sum of the statistics of the blocks, per unit weight. Each block moves it
towards the statistics of the block, and an ordinary M-step computes the next mixture.

References
----------
Cappe and Moulines (2009), J. R. Stat. Soc. B 71:593, doi 10.1111/j.1467-9868.2009.00698.x.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from emgmm.em import EM
from emgmm.mixture import Mixture
from emgmm.prior import NormalInverseWishart, Prior
from emgmm.sources import Rows
from emgmm.statistics import Statistics
from emgmm.tolerances import checked_afterwards
from emgmm.typing import Array, Integers


def checksum(mixture: Mixture) -> int:
    """Return a checksum of the parameters of a mixture and of its family."""
    value = zlib.crc32(mixture.family.name.encode())
    for parameters in (mixture.weights, mixture.means, mixture.precisions_cholesky):
        value = zlib.crc32(parameters.tobytes(), value)
    return value


class OutOfReachError(ValueError):
    """Rows are so far from a mixture that their statistics are not finite."""


@dataclass(frozen=True, eq=False)
class Stream:
    """State of a stream between two blocks.

    Parameters
    ----------
    statistics : Statistics
        Decayed statistics per unit weight. Their objective is the running mean of log p(x), for
        each row under the mixture before the update by its block.
    weight : float
        Total weight of all rows.
    calls : int
        Number of blocks since the mixture was last fitted, t.
    prior : NormalInverseWishart, optional
        Explicit prior of the fit or of the first block under a prior; it does not depend on later
        blocks.
    mixture : int, optional
        Checksum of the mixture that the M-step computed from the statistics.
    """

    statistics: Statistics
    weight: float
    calls: int
    prior: NormalInverseWishart | None = None
    mixture: int | None = None

    @classmethod
    def after_fit(cls, statistics: Statistics, prior: Prior | None, mixture: Mixture) -> Stream:
        """Return the state after a fit that ended with these statistics under that prior."""
        explicit = None if prior is None else prior.explicit()
        scaled = statistics.times(1 / statistics.weight)
        return cls(scaled, statistics.weight, 0, explicit, checksum(mixture))

    def led_to(self, mixture: Mixture) -> bool:
        """Whether the statistics belong to a mixture, whose parameters a user may have changed."""
        return self.mixture in (None, checksum(mixture))

    def permuted(self, order: Integers, mixture: Mixture) -> Stream:
        """Return the state with the components in the order in which `mixture` has them."""
        statistics = self.statistics.permuted(order, mixture.family)
        return replace(self, statistics=statistics, mixture=checksum(mixture))

    def plain(self) -> dict[str, Any]:
        """Return the fields as arrays, numbers and the prior."""
        statistics = asdict(self.statistics)
        del statistics["conditional"]  # only needed to detect collapsed components after a fit
        return {**vars(self), "statistics": statistics}


@checked_afterwards
def stepwise_update(
    stream: Stream | None, em: EM, mixture: Mixture, step_size: float
) -> tuple[Stream, Mixture]:
    """Return the state and the mixture after the block whose rows `em` reads.

    The statistics become s + step_size (s_block - s), or s_block if there is no state yet, and the
    mixture is their M-step. Both terms have their moments about the centres of s_block, which are
    recomputed about other centres if the M-step would be inaccurate.

    Raises
    ------
    OutOfReachError
        If rows are so far from the mixture that their statistics are not finite.
    DegenerateCovarianceError
        With the components whose covariance is not positive definite.
    """
    family = em.family
    weight = em.summary.weight + (stream.weight if stream else 0.0)

    def updated(of_block: Statistics) -> Statistics:
        if stream is None:
            return of_block.times(1 / of_block.weight)
        earlier = stream.statistics.about(of_block.centres, family).times(1 - step_size)
        return earlier + of_block.times(step_size / of_block.weight)

    of_block = em.expect(mixture)
    calls = 1 + (stream.calls if stream else 0)
    if stream is not None and not of_block.seen > 0:  # nothing was observed in this block
        return replace(stream, weight=weight, calls=calls), mixture
    if not of_block.is_finite:
        raise OutOfReachError
    statistics = updated(of_block)

    def recentred(centres: Array) -> Statistics:
        nonlocal statistics
        statistics = updated(em.expect_about(mixture, centres))
        return statistics.times(weight)

    following = em.m_step.maximise_recentred(statistics.times(weight), recentred, mixture)
    prior = stream.prior if stream else None
    if prior is None and em.m_step.prior is not None:
        prior = em.m_step.prior.explicit()
    return Stream(statistics, weight, calls, prior, checksum(following)), following


def gathered(waiting: Rows | None, block: Rows) -> Rows:
    """Return the distinct informative rows among waiting rows and a block, with summed weights."""
    parts = [block] if waiting is None else [waiting, block]
    values = np.concatenate([part.values for part in parts])
    weights = np.concatenate(
        [np.ones(len(part.values)) if part.weights is None else part.weights for part in parts]
    )
    complete = all(part.complete for part in parts)
    informative = Rows(values, weights, complete).informative
    values, weights = values[informative], weights[informative]
    # Rows are compared by their bytes, so that NaN equals NaN; adding 0.0 turns -0.0 into 0.0.
    as_bytes = np.ascontiguousarray(values + 0.0).view(f"V{values[:1].nbytes}").ravel()
    _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    totals = np.zeros(len(first))
    np.add.at(totals, inverse, weights)
    return Rows(values[first[order]], totals[order], complete)
