"""Arrays of other libraries on their devices, accessed by the array API standard.

They are recognized if scikit-learn's setting ``array_api_dispatch`` is true. The package
array-api-compat returns the namespace of the functions of an array's library.

References
----------
Array API standard, https://data-apis.org/array-api.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from emgmm.threads import cached_property
from emgmm.tolerances import eps_of
from emgmm.typing import Array

# Libraries whose arrays may be on a device. Those of some of them have neither `__array__` nor
# `__array_namespace__`.
DEVICE_LIBRARIES = frozenset({"torch", "cupy", "jax", "jaxlib"})

# Types that are never arrays of another library.
ON_HOST = (np.ndarray, np.generic, float, int, str)

# Number of entries of the largest array that a block on a device may cause, for memory that is the
# processor's, as much as its cache holds, and for other memory, where a call takes ten microseconds
# however small the arrays are: half a gigabyte in float64.
ENTRIES_ON_HOST = 2**20
ENTRIES = 2**26

# Width of the matrices from which the rounding error of products is determined. Smaller ones might
# not be multiplied by the units that round more coarsely.
WIDTH = 64

# DLPack's code of the processor's memory.
PROCESSOR = 1


def library_of(value: Any) -> str:
    """Return the name of the library that defines the type of a value."""
    return type(value).__module__.partition(".")[0]


def device_of(value: Any) -> Device | None:
    """Return the device of another library's array; None for other values, or without dispatch.

    Raises
    ------
    ImportError
        If array-api-compat is not installed.
    """
    if isinstance(value, ON_HOST) or not get_config()["array_api_dispatch"]:
        return None
    if not hasattr(value, "__array_namespace__") and library_of(value) not in DEVICE_LIBRARIES:
        return None
    try:
        import array_api_compat
    except ImportError as error:
        raise ImportError(
            "Arrays of other libraries require the package array-api-compat if array_api_dispatch "
            "is true: install emgmm[array-api]."
        ) from error
    if not array_api_compat.is_array_api_obj(value):
        return None
    return Device(array_api_compat.array_namespace(value), array_api_compat.device(value))


def check_supported(estimator: BaseEstimator, X: Any) -> None:
    """Raise for an array of another library if the estimator processes only arrays on the host."""
    if device_of(X) is not None and not get_tags(estimator).array_api_support:
        raise TypeError(
            f"{type(estimator).__name__} does not support arrays of other libraries on their "
            f"devices, and X is a {library_of(X)}.{type(X).__name__}: convert it to a NumPy array, "
            "or set array_api_dispatch=False if it is in the memory of the host."
        )


def check_same_device(estimator: Any, X: Any, method: str) -> None:
    """Raise unless X has the library and the device of the fitted attributes, as in scikit-learn.

    Without scikit-learn's `array_api_dispatch`, all arrays are converted.
    """
    own, other = device_of(getattr(estimator, "means_", None)), device_of(X)
    if own != other:
        fitted, given = ("the host" if each is None else each for each in (own, other))
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace "
            "and the same device as those passed to fit(). The fitted attributes are on "
            f"{fitted}, and X is on {given}: convert X, or move the estimator with scikit-learn's "
            "sklearn.utils._array_api.move_estimator_to."
        )


def to_host(array: Any) -> NDArray[Any]:
    """Return another library's array as a NumPy array, without a copy where that is possible."""
    import array_api_compat

    xp = array_api_compat.array_namespace(array)
    if array_api_compat.is_jax_namespace(xp):
        return np.asarray(array)
    is_strict = array_api_compat.is_array_api_strict_namespace(xp)
    target = xp.Device("CPU_DEVICE") if is_strict else "cpu"
    return np.asarray(array_api_compat.to_device(array, target))


@dataclass(frozen=True)
class Device:
    """The device of an array, and the functions of its library.

    Parameters
    ----------
    xp : module
        Namespace of the array API.
    name : object
        The library's own object for the device.
    """

    xp: Any
    name: Any

    def __str__(self) -> str:
        return f"{self.name} of {self.xp.__name__.removeprefix('array_api_compat.')}"

    def dtype(self, dtype: Any) -> Any:
        """Return the library's type that corresponds to a type of NumPy.

        It is float32 for float64 if the device does not support float64.
        """
        name = np.dtype(dtype).name
        return getattr(self.xp, "float32" if name not in self._floats | {"int64"} else name)

    def supports(self, dtype: Any) -> bool:
        """Whether the device supports a floating-point type of NumPy."""
        return np.dtype(dtype).name in self._floats

    @cached_property
    def _floats(self) -> frozenset[str]:
        info = self.xp.__array_namespace_info__()
        return frozenset(info.dtypes(device=self.name, kind="real floating"))

    def from_host(self, array: Any, dtype: Any = None) -> Any:
        """Return a NumPy array as an array on the device."""
        dtype = self.dtype(array.dtype if dtype is None else dtype)
        return self.xp.asarray(np.ascontiguousarray(array), dtype=dtype, device=self.name)

    def moved(self, array: Any, dtype: Any) -> Any:
        """Return a NumPy array, or an array on the device, as one on the device with a type."""
        if isinstance(array, np.ndarray):
            return self.from_host(array, dtype)
        return self.xp.astype(array, self.dtype(dtype), copy=False)

    @cached_property
    def entries(self) -> int:
        """Number of entries of the largest array that a block may cause."""
        try:
            kind = self.xp.zeros(1, device=self.name).__dlpack_device__()[0]
        except (AttributeError, BufferError, RuntimeError, TypeError, ValueError):
            kind = PROCESSOR
        return ENTRIES_ON_HOST if int(kind) == PROCESSOR else ENTRIES

    @cached_property
    def eps_single(self) -> float:
        """Relative rounding error of one operation of a matrix product in float32.

        It is larger than that of float32 if the library multiplies in a shorter format, as JAX does
        by default on GPUs, and PyTorch if it is asked to. A factor of 1 + eps is then rounded to 1.
        """
        for digits in (24, 11):
            factor = 1 + 2.0 ** (1 - digits)
            matrix = self.from_host(np.full((WIDTH, WIDTH), factor, np.float32))
            product = to_host(self.xp.matmul(matrix, self.from_host(np.eye(WIDTH, dtype="f4"))))
            if (product == factor).all():
                return 2.0**-digits
        return 2.0**-8

    def eps_of(self, dtype: Any) -> float:
        """Return the relative rounding error of one operation of a product of arrays of a type."""
        return self.eps_single if np.dtype(dtype) == np.float32 else eps_of(dtype)


def monomials(device: Device, structure: Any, rows: Any) -> list[Any]:
    """Return the monomials of (D, B) rows on a device, as arrays of which each has several of them.

    Parameters
    ----------
    device : Device
        Device of the rows.
    structure : Structure
        Covariance structure, whose `monomial_pairs` must not be None.
    rows : (D, B)
        Rows.
    """
    n_features = rows.shape[0]
    pairs = structure.monomial_pairs(n_features)
    if not pairs.size:
        squares = rows * rows
        if structure.n_monomials(n_features) == n_features:
            return [squares]
        return [device.xp.sum(squares, axis=0, keepdims=True)]
    first, second = pairs
    ends = np.flatnonzero((np.diff(first) != 0) | (np.diff(second) != 1)) + 1
    found = []
    for a, b in zip([0, *ends], [*ends, len(first)], strict=True):  # slices are not copied
        i, j, stop = int(first[a]), int(second[a]), int(second[b - 1]) + 1
        found.append(rows[i : i + 1, :] * rows[j:stop, :])
    return found


def transposed(device: Device, rows: Any) -> Any:
    """Return (B, D) rows as a (D, B) array in the order of its axes, whatever library it is of."""
    xp = device.xp
    flat = xp.reshape(xp.permute_dims(rows, (1, 0)), (-1,))
    return xp.reshape(flat, (rows.shape[1], rows.shape[0]))


def features(
    device: Device, structure: Any, rows: Any, centre: Array, dtype: Any, *, constant: bool = True
) -> Any:
    """Return phi(y) = (1, y, monomials of y) of (B, D) rows, where y = x - centre: (P, B).

    Parameters
    ----------
    device : Device
        Device of the rows.
    structure : Structure or None
        Structure of the monomials; None if there are none.
    rows : (B, D)
        Rows.
    centre : (D,)
        Point that is subtracted from the rows.
    dtype : float64 or float32
        Type of phi.
    constant : bool
        Whether phi begins with 1.
    """
    xp = device.xp
    centred = transposed(device, device.moved(rows, dtype))
    centred = centred - device.from_host(centre, dtype)[:, None]
    parts = [centred]
    if constant:
        size = (1, rows.shape[0])
        parts.insert(0, xp.ones(size, dtype=device.dtype(dtype), device=device.name))
    if structure is not None:
        parts += monomials(device, structure, centred)
    return xp.concat(parts, axis=0)
