"""The sums of the expanded E-step for several problems at once, in NumPy or compiled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from emgmm.covariances import Structure
from emgmm.estep.compiled.estep import kernel, outperforms_numpy, stacked_sums
from emgmm.estep.features import QuadraticFeatures
from emgmm.estep.scratch import Scratch
from emgmm.estep.softmax import softmax
from emgmm.typing import Array

# Number of entries of the log-joint of a piece: it fits into a core's own cache.
LOG_JOINT_ENTRIES = 2**16


@dataclass(frozen=True, eq=False)
class StackedRows:
    """Rows of B problems of n rows each, for the sums of one E-step after another.

    Parameters
    ----------
    structure : Structure
        Structure of the covariances.
    entries : (L, B, n)
        phi of the rows, or the rows alone.
    weights : (B, n), optional
        Weights of the rows; 1 by default.
    """

    structure: Structure
    entries: Array
    weights: Array | None = None
    scratch: Scratch = field(default_factory=Scratch)

    # Number of entries of the log-joints of a stack. With more, they would leave a core's own
    # cache; with fewer, calls of NumPy would take longer than the arithmetic.
    most_entries: ClassVar[int] = 2**17

    @classmethod
    def of(cls, rows: Array, structure: Structure, weights: Array | None) -> Self:
        """Return the stack of centred rows, (D, B, n)."""
        features = QuadraticFeatures(np.zeros(len(rows)), structure)
        entries = features.transform(rows.reshape(len(rows), -1))
        return cls(structure, entries.reshape(-1, *rows.shape[1:]), weights)

    def take(self, kept: NDArray[np.bool_]) -> Self:
        """Return the stack of those problems for which `kept`, (B,), is true."""
        weights = None if self.weights is None else self.weights[kept]
        return replace(self, entries=self.entries[:, kept], weights=weights)

    def sums(self, natural_parameters: Array) -> tuple[Array, Array]:
        """Return R phi^T of each problem, (B, K, P), and the log-likelihoods, (B,)."""
        B, K, _ = natural_parameters.shape
        products, log_likelihoods = np.zeros(natural_parameters.shape), np.zeros(B)
        step = max(1, LOG_JOINT_ENTRIES // (B * K))
        for start in range(0, self.entries.shape[2], step):
            piece = slice(start, start + step)
            phi = self.entries[:, :, piece].swapaxes(0, 1)
            size = (K, B, phi.shape[2])
            by_component = self.scratch("responsibilities", size)
            responsibilities = by_component.swapaxes(0, 1)
            np.matmul(natural_parameters, phi, out=responsibilities)
            log_densities = softmax(by_component.reshape(K, -1), self.scratch).reshape(size[1:])
            if self.weights is not None:
                by_component *= self.weights[:, piece]
                log_densities *= self.weights[:, piece]
            products += responsibilities @ phi.swapaxes(1, 2)
            log_likelihoods += log_densities.sum(axis=1)
        return products, log_likelihoods


class CompiledStackedRows(StackedRows):
    """The same, with the sums computed by the compiled kernel from the rows alone."""

    most_entries: ClassVar[int] = 2**19

    @classmethod
    def of(cls, rows: Array, structure: Structure, weights: Array | None) -> Self:
        return cls(structure, rows, weights)

    def sums(self, natural_parameters: Array) -> tuple[Array, Array]:
        return stacked_sums(self.entries, natural_parameters, self.structure, self.weights)


def stacked_kind(
    structure: Structure, n_components: int, n_features: int, n_products: float, least: float
) -> type[StackedRows]:
    """Return the faster class for a number of products of a feature and a responsibility."""
    compiles = n_products >= least and outperforms_numpy(structure, n_components, n_features)
    return CompiledStackedRows if compiles and kernel() is not None else StackedRows
