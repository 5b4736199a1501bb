"""Which form of the E-step serves which rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from emgmm.estep.base import EStep, most_probable
from emgmm.estep.centred import CentredEStep, fits_in_one_batch
from emgmm.estep.compiled.estep import CompiledEStep, kernel, outperforms_numpy
from emgmm.estep.expanded import JOINT, ExpandedEStep, piece
from emgmm.estep.features import QuadraticFeatures
from emgmm.estep.missing import MissingEStep
from emgmm.estep.softmax import softmax
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.summary import DataSummary
from emgmm.threads import cached_property
from emgmm.tolerances import MAX_ERROR, eps_of, max_error_single
from emgmm.typing import Array, Integers

# Products of an entry of phi and a responsibility in a pass, from which the compiled kernel serves.
# Below, a pass takes a few milliseconds at most, and loading the compiler, once in a process, takes
# a second.
COMPILED_FROM = 2**20

# Many features and few components, as one to eight: two products with K rows each run at half of
# BLAS's speed then, and a triangular factor for each component is faster. Milliseconds on one
# thread, packed and exact: 64 and 53 with 32 features and 4 components, 110 and 90 with 64 and 8,
# 246 and 179 with 128 and 16; but 76 and 102 with 32 and 8, 76 and 88 with 64 and 16.
# Beside the compiled kernel as one to 128: 233 and 165 with 128 and 1, 314 and 269 with 256 and 2;
# but 92 and 137 with 64 and 2, 271 and 324 with 128 and 2, 223 and 233 with 256 and 4.
FEW_FEATURES = 16
FEW: dict[type[ExpandedEStep], int] = {ExpandedEStep: 8, CompiledEStep: 128}

# Standard deviations from a component within which float64 keeps the promise: a row farther than
# that from one of two has no share in it, and the promise then is of its logarithm's digits.
IN_SIGHT = 38.0

# The same for float32, whose promise speaks of rows as near as a component's own.
TYPICAL = 1.0

# Largest distance from the centre whose square float32 holds, with room for sums; its inverse is
# the least standard deviation. A square that underflows beside that adds nothing to any digit.
RANGE = 1e15


def _is_worth_compiling(mixture: Mixture, n_rows: float) -> bool:
    noise, shape = mixture.noise, mixture.quadratic_shape
    if noise is not None and noise.density.constant is None:  # the kernel knows of phi only
        return False
    n_lines, n_entries = mixture.size
    if n_rows * n_lines * n_entries < COMPILED_FROM:
        return False
    return outperforms_numpy(shape, n_lines, mixture.n_features) and kernel() is not None


def _packed_kind(mixture: Mixture, n_rows: float) -> type[ExpandedEStep] | None:
    """Which packed form; None where the exact one is faster."""
    kind = CompiledEStep if _is_worth_compiling(mixture, n_rows) else ExpandedEStep
    return None if _has_few_components(mixture, kind) else kind


def _is_small(mixture: Mixture, n_rows: float) -> bool:
    """Whether the exact form takes less time than to make what the packed one needs.

    That is theta, phi, and the bound of its error; a fit has phi from its first pass on.
    """
    return fits_in_one_batch(mixture.n_components, mixture.n_features * n_rows)


def _has_few_components(mixture: Mixture, kind: type[ExpandedEStep]) -> bool:
    D, (n_lines, n_entries) = mixture.n_features, mixture.size
    return n_entries > 1 + 2 * D and D >= FEW_FEATURES and n_lines * FEW[kind] <= D


class EStepForPass:
    """Chooses for each pass over the rows that `summary` saw.

    Parameters
    ----------
    summary : DataSummary
        Of the rows.
    dtype : dtype
        Of the rows.
    held : dtype, optional
        What their blocks are held in, where it is not the same: of a small table float64.
    """

    def __init__(
        self, summary: DataSummary, dtype: np.dtype[Any], held: np.dtype[Any] | None = None
    ) -> None:
        self.summary = summary
        self.dtype = dtype
        self.held = dtype if held is None else held
        # The same in every pass: phi about the rows' mean, and the kind by a mixture's size.
        self._phi: dict[Any, QuadraticFeatures] = {}
        self._kinds: dict[tuple[int, int], type[ExpandedEStep] | None] = {}

    def __call__(self, mixture: Mixture) -> EStep:
        """The form for a pass."""
        summary = self.summary
        if not summary.complete:
            return MissingEStep(mixture)
        kind = self._kind(mixture)
        if kind is None or not self._is_in_range(mixture):
            return self._exact(mixture, self.dtype)
        small = _is_small(mixture, summary.n_rows)
        for centre in [summary.mean] if small else _centres(mixture, summary.mean):
            if self.held == np.float32 and _is_within_range(mixture, summary.max_distances(centre)):
                single = kind(mixture, summary, self._phi_about(centre, mixture, np.float32))
                if single.error_near(TYPICAL) <= max_error_single(mixture.n_features):
                    return single
            double = kind(mixture, summary, self._phi_about(centre, mixture, np.float64))
            if double.error_near(IN_SIGHT) <= MAX_ERROR:
                return double
            if double.error(summary.max_distances(centre)) <= MAX_ERROR:
                return double
        return self._exact(mixture, self.held)

    def about(self, mixture: Mixture, centres: Array) -> EStep:
        """The form for a pass whose statistics are taken about (K, D) centres.

        The packed one needs them all to be the same.
        """
        if not self.summary.complete:
            return MissingEStep(mixture, centres)
        kind = None if _is_small(mixture, self.summary.n_rows) else self._kind(mixture)
        if kind is not None and (centres == centres[0]).all() and self._is_in_range(mixture):
            packed = kind(
                mixture, self.summary, QuadraticFeatures(centres[0], mixture.quadratic_shape)
            )
            if packed.error_near(IN_SIGHT) <= MAX_ERROR:
                return packed
        return CentredEStep(mixture, centres)

    def _is_in_range(self, mixture: Mixture) -> bool:
        """Whether no square overflows that the packed form adds up."""
        return bool(
            self.summary.max_distances(np.zeros(mixture.n_features)).max() < mixture.extent()
        )

    def _kind(self, mixture: Mixture) -> type[ExpandedEStep] | None:
        size = mixture.size
        if size not in self._kinds:
            self._kinds[size] = _packed_kind(mixture, self.summary.n_rows)
        return self._kinds[size]

    def _phi_about(self, centre: Array, mixture: Mixture, dtype: Any) -> QuadraticFeatures:
        shape = mixture.quadratic_shape
        if centre is not self.summary.mean:
            return QuadraticFeatures(centre, shape, dtype)
        if (shape, dtype) not in self._phi:
            self._phi[shape, dtype] = QuadraticFeatures(centre, shape, dtype)
        return self._phi[shape, dtype]

    def _exact(self, mixture: Mixture, dtype: np.dtype[Any]) -> CentredEStep:
        """The exact form, in float32 where rows and means come in it and it is enough."""
        single = mixture.means.dtype == dtype == np.float32 and self._is_enough(mixture)
        return CentredEStep(mixture, dtype=np.float32 if single else np.float64)

    def _is_enough(self, mixture: Mixture) -> bool:
        """Whether the exact form keeps its promise in float32."""
        error = eps_of(np.float32) * mixture.magnitude_near(TYPICAL)
        in_range = _is_within_range(mixture, self.summary.max_distances(mixture.centre))
        return in_range and error <= max_error_single(mixture.n_features)


def _is_within_range(mixture: Mixture, reach: Array) -> bool:
    """Whether float32 holds the squares of what reaches so far, and the inverses of variances."""
    variances = mixture.family.structure.variances(mixture.covariance_stack, mixture.n_features)
    return bool((reach < RANGE).all() and (variances > RANGE**-2).all())


def _centres(mixture: Mixture, mean: Array) -> Iterator[Array]:
    """Where the packed form may have its centre; what comes first costs least."""
    yield mean
    if eps_of(np.float64) * mixture.magnitude_near(IN_SIGHT) <= MAX_ERROR:
        yield mixture.precision_weighted_mean  # else no centre will do


class EStepForBlock:
    """Chooses for each block by its own rows: no row's result hangs on other blocks.

    But on their number it does, as far as one form's result differs from the other's.

    Parameters
    ----------
    mixture : Mixture
        Whose log-joint.
    n_rows : int
        In all blocks together.
    """

    def __init__(self, mixture: Mixture, n_rows: int) -> None:
        self.mixture = mixture
        n_lines, n_entries = mixture.size
        kind = None if _is_small(mixture, n_rows) else _packed_kind(mixture, n_rows)
        self.packed = None if kind is None else kind(mixture)
        self._always_packed = (
            self.packed is not None and self.packed.error_near(IN_SIGHT) <= MAX_ERROR
        )
        self._extent = 0.0 if self.packed is None else mixture.extent()
        most = (self.packed or self.exact).block_rows
        self.block_rows = min(most, piece(n_lines, n_entries, n_rows), max(512, JOINT // n_lines))

    def log_joint(self, block: Block) -> Array:
        """(K, B): the log-joint of a block; what is out of reach is -inf or NaN."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._estep_for(block).log_joint(block.rows)

    def labels(self, block: Block) -> Integers:
        """(B,): the most probable component of each row of a block.

        Raises
        ------
        ValueError
            Where a row is out of reach of all components, as in `shares`.
        """
        form = self._estep_for(block)
        if form is self.packed:
            return form.labels(block.rows)
        with np.errstate(over="ignore", invalid="ignore"):
            joint = form.relative_log_joint(block.rows)
        check_in_reach(np.fmax.reduce(joint), block)
        return most_probable(joint)

    def responsibilities(self, block: Block) -> Array:
        """(B, K): the responsibilities of a block."""
        form = self._estep_for(block)
        if form is self.packed:
            return form.responsibilities(block.rows)
        with np.errstate(over="ignore", invalid="ignore"):
            joint = form.relative_log_joint(block.rows)
        check_in_reach(softmax(joint), block)
        return joint.T

    def log_densities(self, block: Block) -> Array:
        """(B,): log p(x) of each row of a block."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._estep_for(block).log_densities(block.rows)
        return found if block.complete else np.fmax(found, -np.inf)

    @cached_property
    def exact(self) -> CentredEStep:
        """The form for blocks that the packed one does not serve."""
        return CentredEStep(self.mixture)

    @cached_property
    def missing(self) -> MissingEStep:
        """The form for blocks in which something is missing."""
        return MissingEStep(self.mixture)

    def _estep_for(self, block: Block) -> EStep:
        if not block.complete:
            return self.missing
        packed, rows = self.packed, block.rows
        if packed is None or not max(float(rows.max()), -float(rows.min())) < self._extent:
            return self.exact
        return packed if self._always_packed or _is_within_reach(packed, rows) else self.exact


def check_in_reach(log_densities: Array, block: Block) -> None:
    """Raise ValueError, naming the first row, where one of the (B,) log-densities is -inf."""
    if np.minimum.reduce(log_densities) > -np.inf:
        return
    lost = int(np.argmax(np.logical_not(log_densities > -np.inf)))
    number = block.start + lost if block.numbers is None else block.numbers[lost]
    raise ValueError(
        f"Row {number} of X, counted from 0, is so far from all components that its log-density is "
        "-inf under each of them, and none is more probable than another. Drop such rows; "
        "score_samples returns -inf for them."
    )


def _is_within_reach(packed: ExpandedEStep, rows: Array) -> bool:
    reach = np.abs(rows - packed.centre[:, None]).max(axis=1)
    return packed.error(reach) <= MAX_ERROR
