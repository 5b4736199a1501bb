"""The overlap of the components of a mixture, which is summed over the rows of a source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emgmm.estep import EStepForBlock
from emgmm.estep.dispatch import check_in_reach
from emgmm.estep.softmax import softmax
from emgmm.sources.block import Block
from emgmm.tolerances import TINY
from emgmm.typing import Array

# Cosine of the responsibilities of two components above which the labels of their rows are
# regarded as arbitrary.
OVERLAPPING = 0.5


@dataclass(frozen=True, eq=False)
class Overlap:
    """Sums over rows that describe the overlap of the components.

    Parameters
    ----------
    products : (K, K)
        Products of responsibilities, sum_i w_i r_ik r_il.
    entropy : float
        Entropy of the responsibilities in nats, -sum_ik w_i r_ik log r_ik.
    weight : float
        Total weight of the rows.
    """

    products: Array
    entropy: float
    weight: float

    def __add__(self, other: Overlap) -> Overlap:
        entropy, weight = self.entropy + other.entropy, self.weight + other.weight
        return Overlap(self.products + other.products, entropy, weight)

    @property
    def cosines(self) -> Array:
        """Cosines of the responsibilities, (K, K): 1 if proportional, 0 without a common row."""
        lengths = np.sqrt(np.maximum(np.diagonal(self.products), TINY))
        return self.products / np.outer(lengths, lengths)


def overlap(e_step: EStepForBlock, block: Block) -> Overlap:
    """Return the overlap for the rows of a block.

    Raises
    ------
    ValueError
        If a row is so far from all components that its log-density is -inf.
    """
    log_joint = e_step.log_joint(block)
    responsibilities = log_joint.copy()
    log_densities = softmax(responsibilities)
    check_in_reach(log_densities, block)
    log_responsibilities = log_joint - log_densities
    with np.errstate(invalid="ignore"):  # 0 log 0, for a component of weight 0
        entropies = -np.nansum(responsibilities * log_responsibilities, axis=0)
    responsibilities = responsibilities[: e_step.mixture.n_components]
    weighted = responsibilities if block.weights is None else responsibilities * block.weights
    return Overlap(weighted @ responsibilities.T, block.total(entropies), block.weight)
