"""The expanded E-step of rows on a device, in the functions of the array API standard.

Both products, the log-sum-exp and the sums are computed on the device. The sums are added in
float64, and `complete` copies those of all rows to the host.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from emgmm.devices import Device, features, to_host
from emgmm.estep.expanded import ExpandedEStep, ExpandedSums
from emgmm.estep.features import QuadraticFeatures
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.sources.device import DeviceBlock
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.threads import cached_property
from emgmm.tolerances import eps_of

# Number of rows whose contributions are added in float32, at most. The sums of more of them are
# added in float64.
SINGLE_ROWS = 2**14


def is_expandable(mixture: Mixture) -> bool:
    """Return whether `DeviceEStep` computes the log-joint of a mixture.

    The density of noise has to be constant, and the structure of the covariances must be one of
    those that the package has.
    """
    structure, noise = mixture.quadratic_structure, mixture.noise
    is_linear = noise is None or noise.density.constant is not None
    known = structure is None or structure.monomial_pairs(mixture.n_features) is not None
    return is_linear and known


class DeviceEStep(ExpandedEStep):
    """The expanded E-step of a mixture for rows on a device.

    If the device does not support float64, which is needed, or if something is known of the
    components of the rows, blocks are copied to the host and processed there.

    Parameters
    ----------
    mixture : Mixture
        The mixture, for which `is_expandable` must be true.
    summary, features
        As of `ExpandedEStep`.
    device : Device
        Device of the rows.
    """

    def __init__(
        self,
        mixture: Mixture,
        summary: DataSummary | None = None,
        features: QuadraticFeatures | None = None,
        *,
        device: Device,
    ) -> None:
        super().__init__(mixture, summary, features)
        self.device = device
        self.dtype = self.features.dtype
        self.is_supported = device.supports(self.dtype)
        if self.is_supported:
            entries = self.features.n_entries + 2 * mixture.n_densities
            n_rows = max(1, device.entries // entries)
            self.block_rows = -(-n_rows // SINGLE_ROWS) * SINGLE_ROWS

    def error_near(self, sds: float) -> float:
        factor = self.device.eps_of(self.dtype) / eps_of(self.dtype) if self.is_supported else 1.0
        return factor * super().error_near(sds)

    @cached_property
    def _parameters(self) -> Any:
        """Natural parameters on the device, (K, P)."""
        return self.device.from_host(self.natural_parameters)

    def _phi(self, rows: Any) -> Any:
        """Return phi of (B, D) rows on the device, (P, B)."""
        structure = self.mixture.quadratic_structure
        return features(self.device, structure, rows, self.centre, self.dtype)

    def _softmax(self, log_joint: Any) -> tuple[Any, Any]:
        """Return responsibilities, (K, B), and log-densities, (B,); the argument is overwritten."""
        xp, info = self.device.xp, np.finfo(self.dtype)
        top = xp.clip(xp.max(log_joint, axis=0), min=float(info.min))
        log_joint -= top
        responsibilities = xp.exp(log_joint)
        total = xp.sum(responsibilities, axis=0)
        # The total is 0 if all log-joints are -inf, and at least 1 otherwise.
        responsibilities /= xp.clip(total, min=float(info.tiny))
        return responsibilities, xp.log(total) + top

    def sums(self, block: Block) -> ExpandedSums:
        if not self.is_supported or block.known is not None or not isinstance(block, DeviceBlock):
            return super().sums(block)
        xp = self.device.xp
        phi = self._phi(block.on_device)
        responsibilities, log_densities = self._softmax(xp.matmul(self._parameters, phi))
        log_densities = self.device.moved(log_densities, np.float64)
        if block.weights_on_device is not None:
            responsibilities *= self.device.moved(block.weights_on_device, self.dtype)
            log_densities = log_densities * block.weights_on_device
        products = self._in_double(*self._products(responsibilities, phi))
        return ExpandedSums(products, xp.sum(log_densities), block.weight)

    def _products(self, responsibilities: Any, phi: Any) -> list[Any]:
        """Return R phi^T as a sum of (K, P) arrays, or of stacks of these, of the device's type."""
        xp, B = self.device.xp, phi.shape[1]
        if self.dtype == np.float64:
            return [xp.matmul(responsibilities, xp.permute_dims(phi, (1, 0)))]
        stop, found = B - B % SINGLE_ROWS, []
        if stop:
            size = (-1, stop // SINGLE_ROWS, SINGLE_ROWS)
            left = xp.permute_dims(xp.reshape(responsibilities[:, :stop], size), (1, 0, 2))
            right = xp.permute_dims(xp.reshape(phi[:, :stop], size), (1, 2, 0))
            found.append(xp.matmul(left, right))
        if stop < B:
            rest = xp.permute_dims(phi[:, stop:], (1, 0))
            found.append(xp.matmul(responsibilities[:, stop:], rest))
        return found

    def _in_double(self, *products: Any) -> Any:
        """Return the sum of products in float64, on the host if the device does not support it."""
        if not self.device.supports(np.float64):
            stacks = [np.atleast_3d(to_host(each).T).T for each in products]
            return sum(np.sum(stack, axis=0, dtype=np.float64) for stack in stacks)
        doubles = [self.device.moved(each, np.float64) for each in products]
        return sum(self.device.xp.sum(each, axis=0) if each.ndim == 3 else each for each in doubles)

    def complete(self, sums: ExpandedSums) -> Statistics:
        products: Any = sums.products
        log_likelihood = float(sums.log_likelihood)
        if not isinstance(products, np.ndarray):
            products = to_host(products)
        return super().complete(replace(sums, products=products, log_likelihood=log_likelihood))

    # -- predictions for (B, D) rows on the device -----------------------------------------------
    def _log_joint_on_device(self, rows: Any, *, relative: bool = False) -> Any:
        """Return the log-joint, (K, B), without terms that all components share if `relative`."""
        xp, phi = self.device.xp, self._phi(rows)
        log_joint = xp.matmul(self._parameters, phi)
        if self.mixture.quadratic_structure is None and not relative:
            D, structure = self.mixture.n_features, self.mixture.family.structure
            factor = structure.dense(self.precisions_cholesky[0], D).T
            whitened = xp.matmul(self.device.from_host(factor, self.dtype), phi[1 : 1 + D, :])
            log_joint -= 0.5 * xp.sum(whitened * whitened, axis=0)
        return log_joint

    def labels_on_device(self, rows: Any) -> Any:
        """Return the most probable component of each row, (B,); -1 means noise."""
        xp, K = self.device.xp, self.mixture.n_components
        found = xp.argmax(self._log_joint_on_device(rows, relative=True), axis=0)
        if self.mixture.noise is None:
            return found
        noise = xp.asarray(-1, dtype=found.dtype, device=self.device.name)
        return xp.where(found == K, noise, found)

    def responsibilities_on_device(self, rows: Any) -> Any:
        """Return the responsibilities, (B, K)."""
        found, _ = self._softmax(self._log_joint_on_device(rows, relative=True))
        return self.device.xp.permute_dims(found, (1, 0))

    def log_densities_on_device(self, rows: Any) -> Any:
        """Return log p(x) of each row, (B,)."""
        return self._softmax(self._log_joint_on_device(rows))[1]

    def log_joint_on_device(self, rows: Any) -> Any:
        """Return the log-joint of each row, (B, K)."""
        return self.device.xp.permute_dims(self._log_joint_on_device(rows), (1, 0))

    def log_responsibilities_on_device(self, rows: Any) -> Any:
        """Return the logarithms of the responsibilities, (B, K)."""
        log_joint = self._log_joint_on_device(rows, relative=True)
        _, log_densities = self._softmax(self.device.xp.asarray(log_joint, copy=True))
        return self.device.xp.permute_dims(log_joint - log_densities, (1, 0))
