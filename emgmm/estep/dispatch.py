"""The choice of an E-step for given rows: expanded, compiled, centred or with missing values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from emgmm.estep.base import EStep, most_probable
from emgmm.estep.centred import CentredEStep, fits_in_one_batch
from emgmm.estep.compiled.estep import CompiledEStep, kernel, outperforms_numpy
from emgmm.estep.device import DeviceEStep, is_expandable
from emgmm.estep.expanded import LOG_JOINT_ENTRIES, ExpandedEStep, rows_per_piece
from emgmm.estep.features import QuadraticFeatures
from emgmm.estep.missing import MissingEStep
from emgmm.estep.softmax import softmax
from emgmm.mixture import Mixture
from emgmm.sources import Source
from emgmm.sources.block import Block
from emgmm.summary import DataSummary
from emgmm.threads import cached_property
from emgmm.tolerances import MAX_ERROR, checked_afterwards, eps_of, max_error_single
from emgmm.typing import Array, Integers

# Number of products of a feature and a responsibility in a pass from which the compiled kernel is
# used. With fewer, a pass takes a few milliseconds, but loading the compiler takes a second once.
COMPILED_FROM = 2**20

# With at least FEW_FEATURES features, and at most one component per FEW features, a triangular
# factor for each component is faster than the two matrix products, which do not reach BLAS's full
# speed. The ratio depends on the E-step that is replaced.
FEW_FEATURES = 16
FEW: dict[type[ExpandedEStep], int] = {ExpandedEStep: 8, CompiledEStep: 128}

# Distance from a component, in standard deviations, up to which `MAX_ERROR` is required in float64.
# The responsibility of a component vanishes for more distant rows; their log-joint has the same
# relative error.
RELEVANT_SDS = 38.0

# The same for float32: the distance of a component's own rows.
TYPICAL_SDS = 1.0

# Spacing of the centres other than the mean of the rows, in standard deviations.
GRID = 32.0

# Maximum distance from the centre whose square float32 represents, with a margin for sums; its
# inverse is the minimum standard deviation. Squares that then underflow are negligible.
RANGE = 1e15


# A function of a mixture, a summary and features that returns an expanded E-step.
Expanded = Callable[..., ExpandedEStep]


def _expanded_kind(mixture: Mixture, n_rows: float) -> type[ExpandedEStep] | None:
    """Return the class of the expanded E-step, or None if the centred one is faster."""
    D, (n_densities, n_entries) = mixture.n_features, mixture.size
    is_linear = mixture.noise is None or mixture.noise.density.constant is not None  # in phi
    compiles = (
        is_linear
        and n_rows * n_densities * n_entries >= COMPILED_FROM
        and outperforms_numpy(mixture.quadratic_structure, n_densities, D)
        and kernel() is not None
    )
    kind = CompiledEStep if compiles else ExpandedEStep
    few_components = D >= FEW_FEATURES and n_densities * FEW[kind] <= D
    return None if few_components and n_entries > 1 + 2 * D else kind


def _is_small(mixture: Mixture, n_rows: float) -> bool:
    """Return whether the centred E-step takes less time than the preparation of the expanded one.

    The preparation is that of natural parameters, features and the error bound. The passes of a fit
    share the features.
    """
    return fits_in_one_batch(mixture.n_components, mixture.n_features * n_rows)


class EStepForPass:
    """Choose an E-step for a pass over all rows.

    Parameters
    ----------
    summary : DataSummary
        Summary of the rows.
    source : Source
        Source of the rows, for their types and their device.
    """

    def __init__(self, summary: DataSummary, source: Source) -> None:
        self.summary = summary
        self.dtype, self.block_dtype, self.device = source.dtype, source.block_dtype, source.device
        # Reused by other passes: features about the rows' mean and about the last other centre,
        # and the choice by the mixture's size.
        self._features: dict[Any, tuple[Array, QuadraticFeatures]] = {}
        self._kinds: dict[tuple[int, int], Expanded | None] = {}

    def __call__(self, mixture: Mixture) -> EStep:
        """Return the E-step for a pass, with statistics about any centres."""
        summary = self.summary
        if not summary.complete:
            return MissingEStep(mixture)
        kind = self._kind(mixture)
        if kind is None:
            return self._centred(mixture, self.dtype)
        # In most passes, the range of the rows is small enough.
        double = self.about_mean(mixture)
        if double is not None and double.is_accurate_within(self._max_distances):
            return double
        if not self._is_in_range(mixture):
            return self._centred(mixture, self.dtype)
        small = _is_small(mixture, summary.n_rows)
        for centre in [summary.mean] if small else _centres(mixture, summary.mean):
            if self.block_dtype == np.float32 and self._is_in_single_range(mixture, centre):
                single = kind(mixture, summary, self._features_about(centre, mixture, np.float32))
                if single.error_near(TYPICAL_SDS) <= max_error_single(mixture.n_features):
                    return single
            double = kind(mixture, summary, self._features_about(centre, mixture, np.float64))
            if double.error_near(RELEVANT_SDS) <= MAX_ERROR:
                return double
            if double.is_accurate_within(summary.max_distances(centre)):
                return double
        return self._centred(mixture, self.block_dtype)

    def about_mean(self, mixture: Mixture) -> ExpandedEStep | None:
        """Return the expanded E-step in float64 about the mean of the rows, if rows are complete.

        None is returned if the centred E-step is faster, or if float32 may be accurate enough.
        """
        kind = self._kind(mixture) if self.summary.complete else None
        if kind is None or self.block_dtype != np.float64:
            return None
        features = self._features_about(self.summary.mean, mixture, np.float64)
        return kind(mixture, self.summary, features)

    def about(self, mixture: Mixture, centres: Array) -> EStep:
        """Return the E-step for a pass with statistics about the (K, D) centres.

        The expanded E-step requires all centres to be equal.
        """
        if not self.summary.complete:
            return MissingEStep(mixture, centres)
        kind = None if _is_small(mixture, self.summary.n_rows) else self._kind(mixture)
        if kind is not None and (centres == centres[0]).all() and self._is_in_range(mixture):
            features = QuadraticFeatures(centres[0], mixture.quadratic_structure)
            expanded = kind(mixture, self.summary, features)
            if expanded.error_near(RELEVANT_SDS) <= MAX_ERROR:
                return expanded
        return CentredEStep(mixture, centres)

    @cached_property
    def _max_distances(self) -> Array:
        """Largest distance of a row from the rows' mean in each feature, (D,)."""
        return self.summary.max_distances(self.summary.mean)

    def _is_in_range(self, mixture: Mixture) -> bool:
        """Return whether no square overflows in the expanded E-step."""
        largest = self.summary.max_distances(np.zeros(mixture.n_features)).max()
        return bool(largest < mixture.extent())

    def _is_in_single_range(self, mixture: Mixture, centre: Array) -> bool:
        """Return whether float32 represents squares of centred rows and inverses of variances."""
        in_range = (self.summary.max_distances(centre) < RANGE).all()
        return bool(in_range and (mixture.variances > RANGE**-2).all())

    def _kind(self, mixture: Mixture) -> Expanded | None:
        """Return what makes the expanded E-step, or None if the centred one is used."""
        if self.device is not None:
            return partial(DeviceEStep, device=self.device) if is_expandable(mixture) else None
        size = mixture.size
        if size not in self._kinds:
            self._kinds[size] = _expanded_kind(mixture, self.summary.n_rows)
        return self._kinds[size]

    def _features_about(self, centre: Array, mixture: Mixture, dtype: Any) -> QuadraticFeatures:
        key = mixture.quadratic_structure, dtype, centre is self.summary.mean
        found = self._features.get(key)
        if found is None or not np.array_equal(found[0], centre):
            features = QuadraticFeatures(centre, mixture.quadratic_structure, dtype)
            found = self._features[key] = centre, features
        return found[1]

    def _centred(self, mixture: Mixture, dtype: np.dtype[Any]) -> CentredEStep:
        """Return the centred E-step, in float32 if rows and means are and its error is small."""
        if mixture.means.dtype == dtype == np.float32:
            error = eps_of(np.float32) * mixture.magnitude_near(TYPICAL_SDS)
            in_range = self._is_in_single_range(mixture, mixture.centre)
            if in_range and error <= max_error_single(mixture.n_features):
                return CentredEStep(mixture, dtype=np.float32)
        return CentredEStep(mixture)


def _centres(mixture: Mixture, mean: Array) -> Iterator[Array]:
    """Yield candidates for the centre of the expanded E-step, the cheapest first."""
    yield mean
    if eps_of(np.float64) * mixture.magnitude_near(RELEVANT_SDS) <= MAX_ERROR:
        # Otherwise no centre is accurate enough. It is rounded by a few standard deviations
        # of the narrowest component, so that passes share features.
        steps = GRID * np.exp2(np.floor(np.log2(np.sqrt(mixture.variances.min(axis=0)))))
        yield steps * np.round(mixture.precision_weighted_mean / steps)


class EStepForBlock:
    """Choose an E-step for each block of rows.

    The result for a row does not depend on the other rows, except on their number, by the rounding
    errors in which two E-steps differ.

    Parameters
    ----------
    mixture : Mixture
        The mixture.
    n_rows : int
        Total number of rows of all blocks.
    """

    def __init__(self, mixture: Mixture, n_rows: int) -> None:
        self.mixture = mixture
        n_densities, n_entries = mixture.size
        kind = None if _is_small(mixture, n_rows) else _expanded_kind(mixture, n_rows)
        self.expanded = None if kind is None else kind(mixture)
        self._always_expanded = (
            self.expanded is not None and self.expanded.error_near(RELEVANT_SDS) <= MAX_ERROR
        )
        self._extent = 0.0 if self.expanded is None else mixture.extent()
        most = (self.expanded or self.centred).block_rows
        piece = rows_per_piece(n_densities, n_entries, n_rows)
        self.block_rows = min(most, piece, max(512, LOG_JOINT_ENTRIES // n_densities))

    @checked_afterwards
    def log_joint(self, block: Block) -> Array:
        """Return the log-joint of a block, (K, B): -inf or NaN for rows that are too far away."""
        return self._estep_for(block).log_joint(block.rows)

    @checked_afterwards
    def labels(self, block: Block) -> Integers:
        """Return the most probable component of each row of a block, (B,).

        Raises
        ------
        ValueError
            If the log-density of a row is -inf.
        """
        estep = self._estep_for(block)
        if estep is self.expanded:
            return estep.labels(block.rows)
        log_joint = estep.relative_log_joint(block.rows)
        top = np.fmax.reduce(log_joint)
        check_in_reach(top, block)
        return most_probable(log_joint, top)

    @checked_afterwards
    def responsibilities(self, block: Block) -> Array:
        """Return the responsibilities of a block, (B, K).

        Raises
        ------
        ValueError
            If the log-density of a row is -inf.
        """
        estep = self._estep_for(block)
        if estep is self.expanded:
            return estep.responsibilities(block.rows)
        log_joint = estep.relative_log_joint(block.rows)
        check_in_reach(softmax(log_joint), block)
        return log_joint.T

    @checked_afterwards
    def log_densities(self, block: Block) -> Array:
        """Return log p(x) of each row of a block, (B,)."""
        log_densities = self._estep_for(block).log_densities(block.rows)
        return log_densities if block.complete else np.fmax(log_densities, -np.inf)

    @cached_property
    def centred(self) -> CentredEStep:
        """E-step of blocks for which the expanded one is not accurate enough."""
        return CentredEStep(self.mixture)

    @cached_property
    def missing(self) -> MissingEStep:
        """E-step of blocks with missing values."""
        return MissingEStep(self.mixture)

    def _estep_for(self, block: Block) -> EStep:
        if not block.complete:
            return self.missing
        expanded, rows = self.expanded, block.rows
        if expanded is not None and max(float(rows.max()), -float(rows.min())) < self._extent:
            if self._always_expanded:
                return expanded
            reach = np.abs(rows - expanded.centre[:, None]).max(axis=1)
            if expanded.is_accurate_within(reach):
                return expanded
        return self.centred


def check_in_reach(log_densities: Array, block: Block) -> None:
    """Raise ValueError, with the number of the first row, if one of the log-densities is -inf."""
    if np.minimum.reduce(log_densities) > -np.inf:
        return
    first = int(np.argmax(np.logical_not(log_densities > -np.inf)))
    raise ValueError(
        f"Row {block.number_of(first)} of X, counted from 0, is so far from all components that "
        "its log-density is -inf under each of them, and none is more probable than another. Drop "
        "such rows; score_samples returns -inf for them."
    )
