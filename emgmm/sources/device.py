"""The source of the rows of another library's array, which stay on its device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.utils import check_array

from emgmm.covariances import Family
from emgmm.devices import Device, device_of, features, to_host
from emgmm.sources.block import Block, SumsOfBits
from emgmm.sources.finite import is_complete
from emgmm.sources.known import Known, LabelRules, check_number
from emgmm.sources.source import PerRow, Result, Rows, Source, sample_indices, summary_rows
from emgmm.sources.weights import row_weights
from emgmm.summary import DataSummary
from emgmm.threads import cached_property
from emgmm.tolerances import FLOATS
from emgmm.typing import Array, Integers


class DeviceBlock(Block):
    """A block of rows on a device, which are copied to the host only if `rows` is read.

    Parameters
    ----------
    device : Device
        Device of the rows.
    on_device : (B, D)
        Rows on the device.
    start, weights, complete, numbers, known
        As of a `Block`.
    weights_on_device : (B,), optional
        Weights on the device.
    """

    def __init__(
        self,
        device: Device,
        on_device: Any,
        start: int,
        weights: Array | None = None,
        weights_on_device: Any = None,
        complete: bool = True,
        numbers: Integers | None = None,
        known: Known | None = None,
    ) -> None:
        own = {"start": start, "weights": weights, "complete": complete, "numbers": numbers}
        vars(self).update(own, known=known, device=device, on_device=on_device)
        vars(self).update(weights_on_device=weights_on_device)

    device: Device
    on_device: Any
    weights_on_device: Any

    @cached_property
    def rows(self) -> Array:
        """Transposed rows on the host, (D, B)."""
        return to_host(self.on_device).T

    @property
    def n_rows(self) -> int:
        return int(self.on_device.shape[0])

    def take(self, some: Integers) -> Block:
        xp, chosen = self.device.xp, self.device.from_host(some, np.int64)
        return DeviceBlock(
            self.device,
            xp.take(self.on_device, chosen, axis=0),
            self.start,
            None if self.weights is None else self.weights[some],
            None if self.weights is None else xp.take(self.weights_on_device, chosen, axis=0),
            self.complete,
            self.start + some if self.numbers is None else self.numbers[some],
            None if self.known is None else self.known.take(some),
        )

    def summary(
        self, family: Family, axes: Array | None = None, sums_of_bits: SumsOfBits | None = None
    ) -> DataSummary:
        device, D = self.device, self.on_device.shape[1]
        known = family.structure.monomial_pairs(D) is not None
        if not (self.complete and known and device.supports(np.float64)):
            return super().summary(family, axes, sums_of_bits)
        bits = None
        if sums_of_bits is not None:
            bits = sums_of_bits(self, np.array(self.rows, dtype=np.float64, order="C"))
        xp = device.xp
        rows = device.moved(self.on_device, np.float64)
        if axes is not None:
            rows = xp.matmul(rows, device.from_host(axes))
        weights = self.weights_on_device
        if weights is None:
            weights = xp.ones(self.n_rows, dtype=device.dtype(np.float64), device=device.name)
        mean = to_host(xp.matmul(weights, rows)) / (self.weight or 1.0)
        phi = features(device, family.structure, rows, mean, np.float64, constant=False)
        moments = to_host(xp.matmul(phi, weights))
        squares = to_host(xp.matmul(phi[:D, :] * phi[:D, :], weights))
        scatter = family.structure.from_monomials(moments[None, D:], D)[0]
        low, high = (to_host(f(rows, axis=0)) for f in (xp.min, xp.max))
        observed = np.full(D, self.weight)
        moments_of_features = (observed, mean, scatter, squares, low, high)
        return DataSummary(
            self.weight, self.n_rows, *moments_of_features, family.structure, bits=bits
        )


class DeviceSource(Source):
    """Rows of an (N, D) array of another library, which stay on its device.

    Rows with missing values are copied to the host block by block in each pass, as are the rows of
    blocks that functions read without knowledge of devices.

    Parameters
    ----------
    X : (N, D)
        Array of another library.
    sample_weight : array-like of shape (N,), optional
        Weight of each row; 1 by default.
    """

    device: Device

    def __init__(self, X: Any, sample_weight: Any = None) -> None:
        device = device_of(X)
        assert device is not None
        self.device = device
        supported = [np.dtype(dtype) for dtype in FLOATS if device.supports(dtype)]
        dtypes = [device.dtype(dtype) for dtype in supported]
        if getattr(X, "requires_grad", False):
            raise TypeError(
                "X requires a gradient, which is not computed through EM: pass X.detach()."
            )
        self.array = check_array(X, dtype=dtypes, input_name="X", ensure_all_finite=False)
        self.n_rows, self.n_features = self.array.shape
        self.dtype = supported[dtypes.index(self.array.dtype)]
        self.weights = None if sample_weight is None else row_weights(sample_weight, self.n_rows)
        self.known: Known | None = None
        self.complete = self._is_complete()

    @cached_property
    def _weights_on_device(self) -> Any:
        return self.device.from_host(self.weights)

    @classmethod
    def accepts(cls, X: Any) -> bool:
        return device_of(X) is not None

    @property
    def summary_rows(self) -> int:
        # With the monomials of full covariances, a block has (D + 3) / 2 times as many entries.
        return summary_rows(self.n_features, 2 * self.device.entries // (self.n_features + 3))

    def _is_complete(self) -> bool:
        """Whether no value is missing; the error about infinite values names the first."""
        xp, complete = self.device.xp, True
        for block in self._divide(max(1, self.device.entries // self.n_features), complete=True):
            if not bool(xp.all(xp.isfinite(block.on_device))):
                names = [f"row {block.start + i}" for i in range(block.n_rows)]
                complete = is_complete(block.rows.T, None, names.__getitem__) and complete
        return complete

    def attach_labels(self, labels: Any, rules: LabelRules) -> None:
        known = rules(labels)
        check_number(len(known), self.n_rows)
        self.known = known
        self.has_labels = True

    def blocks(self, size: int) -> Iterator[Block]:
        return self._divide(size, complete=self.complete)

    def _divide(self, size: int, *, complete: bool) -> Iterator[DeviceBlock]:
        for start in range(0, self.n_rows, size):
            place = slice(start, min(start + size, self.n_rows))
            weights = None if self.weights is None else self.weights[place]
            known = None if self.known is None else self.known.take(place)
            rows = self.array[place, :]
            on_device = None if weights is None else self._weights_on_device[place]
            yield DeviceBlock(self.device, rows, start, weights, on_device, complete, known=known)

    def sample(self, limit: int, random: np.random.RandomState) -> Rows:
        numbers = sample_indices(self.n_rows, limit, random)
        rows, weights = self.array, self.weights
        if self.n_rows > limit:
            chosen = self.device.from_host(numbers, np.int64)
            rows = self.device.xp.take(rows, chosen, axis=0)
            weights = None if weights is None else weights[numbers]
        return Rows(to_host(rows), weights, self.complete, numbers, self.n_rows)

    def map(self, function: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        return map(function, blocks)  # the device computes in parallel

    def each_row(
        self,
        function: PerRow,
        size: int,
        shape: tuple[int, ...],  # noqa: ARG002
        dtype: Any,
    ) -> Any:
        """Return the values of a (B, *shape) function of blocks as an array on the device."""
        with np.errstate(over="ignore"):  # values beyond the range of single precision
            parts = [self.device.moved(function(block), dtype) for block in self.blocks(size)]
        return self.device.xp.concat(parts, axis=0)
