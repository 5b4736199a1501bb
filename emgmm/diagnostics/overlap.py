"""How much components share their rows: a second accumulator, summed over the source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emgmm.estep import EStepForBlock, softmax
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.typing import Array

# Cosine of two components' responsibilities from which their labels are arbitrary: at 0.5 half of
# what one holds of its rows is held by the other.
OVERLAPPING = 0.5


@dataclass(frozen=True, eq=False)
class Overlap:
    """Sums over rows.

    Parameters
    ----------
    products : (K, K)
        sum_i w_i r_ik r_il.
    entropy : float
        -sum_ik w_i r_ik log r_ik, in nats.
    weight : float
        Total weight of the rows.
    """

    products: Array
    entropy: float
    weight: float

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(
            self.products + other.products,
            self.entropy + other.entropy,
            self.weight + other.weight,
        )

    @property
    def cosines(self) -> Array:
        """(K, K): 1 where two components share every row in the same proportion, 0 where none."""
        lengths = np.sqrt(np.maximum(np.diagonal(self.products), np.finfo(float).tiny))
        return self.products / np.outer(lengths, lengths)


class OverlapOf:
    """The function that a source sums: a block's overlap under one mixture."""

    def __init__(self, mixture: Mixture, n_rows: int) -> None:
        self.form = EStepForBlock(mixture, n_rows)

    def __call__(self, block: Block) -> Overlap:
        log_joint = self.form.log_joint(block)
        responsibilities = log_joint.copy()
        log_responsibilities = log_joint - softmax(responsibilities)
        with np.errstate(invalid="ignore"):  # 0 log 0, where a weight is 0
            entropies = -np.nansum(responsibilities * log_responsibilities, axis=0)
        responsibilities = responsibilities[: self.form.mixture.n_components]
        weighted = responsibilities
        if block.weights is not None:
            weighted = responsibilities * block.weights
        return Overlap(weighted @ responsibilities.T, block.total(entropies), block.weight)
