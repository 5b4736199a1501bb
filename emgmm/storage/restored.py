"""Validation of mixtures and statistics that were read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm import attributes as mixture_attributes
from emgmm.covariances import Family
from emgmm.fitting.loop import Ending
from emgmm.mixture import Mixture
from emgmm.noise import Box
from emgmm.statistics import Statistics
from emgmm.summary import LARGEST as LARGEST_SUM
from emgmm.tolerances import checked_afterwards, negligible_underflow
from emgmm.typing import Array

# Largest coordinate in a mixture, and largest weight of rows. The square of a larger number may
# overflow.
LARGEST = LARGEST_SUM**0.5

# Largest rounding error of sums of responsibilities.
ROUNDING = 1e-6

# Name of an ending that no longer exists.
FORMER = "DIAGONAL_SCALE"

# Columns of tables, and the kinds of their types.
HISTORY = {"objective": "f", "passes": "i", "event": "U"}
STARTS = {"objective": "f", "n_iter": "i", "converged": "b", "ending": "U"}


@checked_afterwards
def check_mixture(mixture: Mixture) -> None:
    """Check that the parameters of a mixture are valid and consistent.

    Raises
    ------
    ValueError
        If they are not.
    """
    names = ("weights", "means", "covariances", "precisions_cholesky")
    arrays: dict[str, Array] = {f"{name}_": getattr(mixture, name) for name in names}
    if len({array.dtype for array in arrays.values()}) > 1:
        raise ValueError("the parameters are not all float64 or all float32")
    attributes: dict[str, Any] = {**arrays, "covariance_type": mixture.family.name}
    if mixture.noise is not None:
        attributes["noise_weight_"] = mixture.noise.weight
        attributes["_noise_density"] = mixture.noise.density
    mixture_attributes.described_by(SimpleNamespace(**attributes))
    check_possible(mixture)


@negligible_underflow
def check_possible(mixture: Mixture) -> None:
    """Check that a fit can result in a mixture, whose parameters are valid.

    Raises
    ------
    ValueError
        If it cannot.
    """
    check_squares("means_", mixture.means)
    box, D = mixture.noise and mixture.noise.density, mixture.n_features
    if not isinstance(box, Box):
        return
    check_finite("the noise's volume", box.sides, (D,))
    if (box.sides <= 0).any() or (box.edges is None) != (box.corner is None):
        raise ValueError("the noise's volume is not a box")
    if box.edges is None or box.corner is None:
        return
    for name, array, shape in (("edges", box.edges, (D, D)), ("corner", box.corner, (D,))):
        check_finite(f"the noise's {name}", array, shape)
        if box.proper:  # otherwise no squares of them are computed
            check_squares(f"the noise's {name}", array)
    log_volume = np.linalg.slogdet(box.edges).logabsdet
    if not abs(log_volume + box.constant) <= mixture_attributes.AGREEMENT * D:
        raise ValueError("the noise's volume is not that of its box")


def check_finite(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Check that an array has a shape and that its entries are finite.

    Raises
    ------
    ValueError
        If it does not.
    """
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, but must have {shape}")
    wrong = np.argwhere(np.logical_not(np.isfinite(array)))
    if len(wrong):
        index = tuple(wrong[0].tolist())
        raise ValueError(f"{name} is {array[index]} at {index}, counted from 0: it must be finite")


def check_squares(name: str, array: Array) -> None:
    """Check that the squares of the entries of an array do not overflow.

    Raises
    ------
    ValueError
        If they do.
    """
    if float(np.abs(array).max()) > LARGEST:
        raise ValueError(f"{name} has an entry whose square overflows")


def scatter_shape(family: Family, K: int, D: int) -> tuple[int, ...]:
    """Return the shape of the scatter in the statistics of a family."""
    shape = family.element_shape(K, D)
    return shape[1:] if family.shared and not family.single else shape


def check_statistics(statistics: Statistics, family: Family, K: int, D: int) -> None:
    """Check that statistics can be those of rows under a mixture.

    Raises
    ------
    ValueError
        If they cannot.
    """
    scatter = scatter_shape(family, K, D)
    shapes = {"counts": (K,), "centres": (K, D), "first_moment": (K, D), "scatter": scatter}
    for name, shape in shapes.items():
        check_finite(f"the statistics' {name}", getattr(statistics, name), shape)
    if statistics.conditional is not None:
        check_finite("the statistics' conditional part", statistics.conditional, scatter)
    for name in ("centres", "first_moment"):
        check_squares(f"the statistics' {name}", getattr(statistics, name))
    check_weight("the statistics' rows", statistics.weight)
    check_weight("the statistics' rows", statistics.seen)
    if min(statistics.counts.min(), statistics.unseen, statistics.noise) < 0:
        raise ValueError("the statistics are of rows of a negative weight")
    if not statistics.log_likelihood < np.inf:
        raise ValueError(f"the statistics' log-likelihood is {statistics.log_likelihood}")
    # Rows that are beyond the reach of all components are not counted either.
    excess = statistics.counts.sum() + statistics.noise + statistics.unseen - statistics.weight
    least = -np.inf if statistics.log_likelihood == -np.inf else -ROUNDING * statistics.weight
    if not least <= excess <= ROUNDING * statistics.weight:
        raise ValueError("the statistics' counts do not sum to the weight of the rows")


def check_weight(name: str, weight: float) -> None:
    """Check that a total weight is positive and so large that its products do not underflow.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not 1 / LARGEST < weight < LARGEST:
        raise ValueError(f"the weight of {name} is {weight}")


def check_history(fitted: Mapping[str, Any]) -> None:
    """Check the attributes about the iterations of a fit.

    Raises
    ------
    ValueError
        If no fit can have led to them.
    """
    check_table("history_", fitted["history_"], HISTORY)
    counts = {"n_iter_": fitted["n_iter_"], "history_'s passes": fitted["history_"]["passes"]}
    if "_starts" in fitted:
        starts = fitted["_starts"]
        check_table("_starts", starts, STARTS)
        counts["_starts' n_iter"] = starts["n_iter"]
        unknown = {*starts["ending"].tolist()} - {*Ending.__members__, FORMER}
        if unknown:
            raise ValueError(f"_starts has the endings {sorted(unknown)}, which do not exist")
    for name, values in counts.items():
        least = min(np.ravel(values).tolist(), default=0)
        if least < 0:
            raise ValueError(f"{name} must not be negative, but there is {least}")


def ending(name: str, *, converged: bool) -> Ending:
    """Return the ending with a name.

    Earlier versions wrote `FORMER` in place of the ending of some fits under a prior.

    Raises
    ------
    ValueError
        If there is no such ending.
    """
    if name == FORMER:
        return Ending.CONVERGED if converged else Ending.MAX_ITER
    if name not in Ending.__members__:
        raise ValueError(f"ending_ is {name!r}, but must be one of {list(Ending.__members__)}")
    return Ending[name]


def check_table(name: str, table: Mapping[str, NDArray[Any]], kinds: Mapping[str, str]) -> None:
    """Check that a table has the given columns and kinds of types, and that their lengths agree.

    Raises
    ------
    ValueError
        If it does not.
    """
    found = {column: array.dtype.kind for column, array in table.items()}
    lengths = {array.shape for array in table.values()}
    if found != dict(kinds) or len(lengths) != 1 or len(lengths.pop()) != 1:
        raise ValueError(f"{name} is not a table of {', '.join(kinds)}")
