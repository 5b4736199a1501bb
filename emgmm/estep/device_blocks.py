"""The choice of an E-step for the predictions of blocks of rows on a device."""

from __future__ import annotations

import numpy as np

from emgmm.devices import to_host
from emgmm.estep.device import DeviceEStep, is_expandable
from emgmm.estep.dispatch import RANGE, RELEVANT_SDS, TYPICAL_SDS
from emgmm.estep.features import QuadraticFeatures
from emgmm.mixture import Mixture
from emgmm.sources.device import DeviceBlock, DeviceSource
from emgmm.tolerances import FLOATS, MAX_ERROR, max_error_single
from emgmm.typing import Array

# Largest term of a squared norm in float32, with a margin for sums.
LARGEST_SINGLE = 1e36


def reach_of(block: DeviceBlock, centre: Array) -> tuple[Array, float]:
    """Return the largest distance from `centre` in each feature, (D,), and the largest value."""
    xp = block.device.xp
    low, high = (to_host(f(block.on_device, axis=0)).astype(np.float64) for f in (xp.min, xp.max))
    return np.maximum(high - centre, centre - low), float(max(high.max(), -low.min()))


class EStepForDeviceBlock:
    """Choose the E-step of `DeviceEStep` for each block of rows, if there is an accurate one.

    Parameters
    ----------
    mixture : Mixture
        The mixture.
    source : DeviceSource
        Source of the blocks.
    """

    def __init__(self, mixture: Mixture, source: DeviceSource) -> None:
        self.mixture = mixture
        self._e_steps: list[DeviceEStep] = []
        if not source.complete or not is_expandable(mixture):
            return
        for dtype in [FLOATS[1], FLOATS[0]] if source.dtype == np.float32 else FLOATS[:1]:
            features = QuadraticFeatures(mixture.centre, mixture.quadratic_structure, dtype)
            e_step = DeviceEStep(mixture, None, features, device=source.device)
            if e_step.is_supported and self._is_possible(e_step):
                self._e_steps.append(e_step)

    @property
    def block_rows(self) -> int | None:
        """Number of rows of a block, or None if no E-step is accurate enough."""
        return self._e_steps[0].block_rows if self._e_steps else None

    def __call__(self, block: DeviceBlock) -> DeviceEStep | None:
        """Return the E-step for a block, or None if the block has to be processed on the host."""
        for e_step in self._e_steps:
            reach, largest = reach_of(block, e_step.centre)
            if e_step.dtype == np.float32:
                if self.mixture.is_within(reach + np.abs(e_step.means), LARGEST_SINGLE):
                    return e_step
            elif largest < self.mixture.extent() and (
                e_step.error_near(RELEVANT_SDS) <= MAX_ERROR or e_step.is_accurate_within(reach)
            ):
                return e_step
        return None

    def _is_possible(self, e_step: DeviceEStep) -> bool:
        """Return whether the range and the precision of the type suffice for some blocks."""
        if e_step.dtype == np.float64:
            return True
        in_range = bool((self.mixture.variances > RANGE**-2).all())
        error = e_step.error_near(TYPICAL_SDS)
        return in_range and error <= max_error_single(self.mixture.n_features)
