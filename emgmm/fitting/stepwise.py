"""Stepwise EM: a mixture that follows a stream, one block of rows after another.

What the stream has said so far is kept as statistics per unit weight, a decayed sum: each block
pulls them towards its own, and an ordinary M-step makes the next mixture of them.

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
from emgmm.tolerances import judged_afterwards
from emgmm.typing import Array


def step_size(
    call: int, learning_decay: float, learning_offset: float, forgetting: float | None
) -> float:
    """gamma_t of call t = 1, 2, ..: how far the statistics go towards the new block's."""
    return (call + learning_offset) ** -learning_decay if forgetting is None else forgetting


def checksum(mixture: Mixture) -> int:
    """A number that tells one mixture from another, and one family of the same from another."""
    found = zlib.crc32(mixture.family.name.encode())
    for parameters in (mixture.weights, mixture.means, mixture.precisions_cholesky):
        found = zlib.crc32(parameters.tobytes(), found)
    return found


class OutOfReachError(ValueError):
    """Rows are so far from a mixture that their statistics are not finite."""


@dataclass(frozen=True, eq=False)
class Stream:
    """What is kept from one block to the next.

    Parameters
    ----------
    statistics : Statistics
        Per unit weight. Their objective is the running mean of log p(x), of each row under the
        mixture that its block met.
    weight : float
        Total weight of the rows seen.
    calls : int
        t: blocks since the mixture was last fitted.
    prior : NormalInverseWishart, optional
        In numbers: that of the fit or of the first block under a prior, whatever later blocks look
        like.
    mixture : int, optional
        The checksum of the mixture that these statistics led to.
    """

    statistics: Statistics
    weight: float
    calls: int
    prior: NormalInverseWishart | None = None
    mixture: int | None = None

    @classmethod
    def after_fit(cls, statistics: Statistics, prior: Prior | None, mixture: Mixture) -> Stream:
        """To go on from a fit that ended with these statistics, under that prior."""
        told = None if prior is None else prior.explicit()
        scaled = statistics.times(1 / statistics.weight)
        return cls(scaled, statistics.weight, 0, told, checksum(mixture))

    def led_to(self, mixture: Mixture) -> bool:
        """Whether the statistics are those of a mixture, whose parameters may be set by hand."""
        return self.mixture in (None, checksum(mixture))

    def plain(self) -> dict[str, Any]:
        """Arrays, numbers, and the prior."""
        statistics = asdict(self.statistics)
        del statistics["conditional"]  # which tells whether a fit has collapsed, and is not kept
        return {**vars(self), "statistics": statistics}


@judged_afterwards()
def stepwise_update(
    stream: Stream | None, em: EM, mixture: Mixture, step_size: float
) -> tuple[Stream, Mixture]:
    """A step of stepwise EM on the rows of `em`: s + share (s_block - s), and the M-step of it.

    Where nothing is kept yet, s is the block's own. Statistics of two passes add up about common
    centres: those that the block's were taken about, which are moved where digits would be lost.

    Raises
    ------
    OutOfReachError
        If rows are so far from the mixture that their statistics are not finite.
    DegenerateCovarianceError
        With the components whose covariance is not positive definite.
    """
    family = em.family
    weight = em.summary.weight + (stream.weight if stream else 0.0)

    def blended(seen: Statistics) -> Statistics:
        if stream is None:
            return seen.times(1 / seen.weight)
        kept = stream.statistics.about(seen.centres, family).times(1 - step_size)
        return kept + seen.times(step_size / seen.weight)

    seen = em.expect(mixture)
    calls = 1 + (stream.calls if stream else 0)
    if stream is not None and not seen.seen > 0:  # nothing was observed in this block
        return replace(stream, weight=weight, calls=calls), mixture
    if not seen.is_finite:
        raise OutOfReachError
    blend = blended(seen)

    def again(centres: Array) -> Statistics:
        nonlocal blend
        blend = blended(em.expect_about(mixture, centres))
        return blend.times(weight)

    following = em.m_step.maximise_recentred(blend.times(weight), again, mixture)
    prior = stream.prior if stream else None
    if prior is None and em.m_step.prior is not None:
        prior = em.m_step.prior.explicit()
    return Stream(blend, weight, calls, prior, checksum(following)), following


def gathered(waiting: Rows | None, block: Rows) -> Rows:
    """The distinct rows that count, of those that wait and a block's, with their weights."""
    parts = [block] if waiting is None else [waiting, block]
    values = np.concatenate([part.values for part in parts])
    weights = np.concatenate(
        [np.ones(len(part.values)) if part.weights is None else part.weights for part in parts]
    )
    complete = all(part.complete for part in parts)
    counting = Rows(values, weights, complete).informative
    values, weights = values[counting], weights[counting]
    # Compared by their bytes, in which what is missing equals itself; -0.0 + 0.0 is 0.0.
    as_bytes = np.ascontiguousarray(values + 0.0).view(f"V{values[:1].nbytes}").ravel()
    _, first, places = np.unique(as_bytes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    together = np.zeros(len(first))
    np.add.at(together, places, weights)
    return Rows(values[first[order]], together[order], complete)
