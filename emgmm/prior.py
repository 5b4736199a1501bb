"""Priors on means and covariances: pseudo-statistics in the M-step, a density in the objective."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from emgmm.covariances import DENSE, Family, are_symmetric
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.typing import Array

# Smallest eigenvalue of a correlation matrix below which features are collinear.
COLLINEAR = 1e-12


class ConstantFeaturesError(ValueError):
    """No scale can be taken from features that do not vary; `features` says which."""

    def __init__(self, features: tuple[int, ...]) -> None:
        super().__init__(f"constant: {features}")
        self.features = features


@dataclass(frozen=True)
class NormalInverseWishart:
    """The conjugate prior of each component's mean and covariance; fits are then MAP.

    mu_k given Sigma_k is normal with mean `mean` and covariance Sigma_k / `shrinkage`, and Sigma_k
    is inverse Wishart with `dof` degrees of freedom and scale `scale`, restricted to the family of
    the covariances. What is None is taken from the data, so that the prior scales with them.

    Parameters
    ----------
    shrinkage : float, default=0.01
        Rows that the prior's mean is worth, kappa. 0 leaves the means alone.
    mean : array-like of shape (D,), default=None
        Where means are drawn to; None is the data's mean.
    dof : float, default=None
        Degrees of freedom, nu, more than D - 1; None is D + 2.
    scale : array-like of shape (D, D), default=None
        Symmetric and positive definite, in squared units of X. Axis-aligned families use its
        diagonal, spherical ones the mean of that. None is the data's covariance over K^(2/D), as in
        R's mclust; where that is singular, its diagonal.

    Raises
    ------
    ValueError
        Where a value cannot be what its name says.

    References
    ----------
    Fraley and Raftery (2007), J. Classification 24:155, doi 10.1007/s00357-007-0004-5.

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm import GaussianMixture, NormalInverseWishart
    >>> X = np.array([[0.0, 0.1], [0.2, 0.0], [5.0, 5.1], [5.0, 5.1], [5.0, 5.1]])
    >>> gm = GaussianMixture(2, prior=NormalInverseWishart(shrinkage=0.1), random_state=0).fit(X)
    >>> labels = gm.predict(X)
    >>> labels == labels[0]
    array([ True,  True, False, False, False])
    """

    shrinkage: float = 0.01
    mean: Any = None
    dof: float | None = None
    scale: Any = None

    def __post_init__(self) -> None:
        for name in ("shrinkage", "dof"):
            value: Any = getattr(self, name)
            if value is None and name == "dof":
                continue
            is_number = not isinstance(value, bool) and isinstance(value, Real)
            if not is_number or not 0 <= float(value) < np.inf:
                raise ValueError(f"the prior's {name} must be a number from 0 up, but is {value!r}")
            object.__setattr__(self, name, float(value))
        if self.mean is not None:
            mean = np.atleast_1d(_numbers(self.mean, "mean"))
            if mean.ndim != 1 or not mean.size:
                raise ValueError(
                    "the prior's mean must hold one number for each feature, in the shape (D,), "
                    f"but has the shape {mean.shape}"
                )
            object.__setattr__(self, "mean", tuple(mean.tolist()))
        if self.scale is not None:
            scale = _numbers(self.scale, "scale")
            if scale.ndim != 2 or scale.shape[0] != scale.shape[1] or not scale.size:
                raise ValueError(
                    "the prior's scale must be a symmetric (D, D) matrix, but has the shape "
                    f"{scale.shape}"
                )
            if not are_symmetric(scale[None])[0]:
                raise ValueError("the prior's scale must be a symmetric (D, D) matrix")
            # By correlations, so that the units of the features do not matter.
            if not (np.diag(scale) > 0).all() or is_collinear(scale):
                raise ValueError("the prior's scale must be positive definite")
            object.__setattr__(self, "scale", tuple(map(tuple, scale.tolist())))

    def resolved(self, summary: DataSummary, family: Family, n_components: int) -> Prior:
        """The prior for the data that `summary` saw.

        Raises
        ------
        ConstantFeaturesError
            Where the scale would be taken from data of which a feature is constant.
        ValueError
            Where the prior is for another number of features.
        """
        D = len(summary.mean)
        for name, value in (("mean", self.mean), ("scale", self.scale)):
            if value is not None and len(value) != D:
                count = "1 feature" if len(value) == 1 else f"{len(value)} features"
                raise ValueError(f"the prior's {name} is for {count}, but X has {D}")
        mean = summary.mean if self.mean is None else np.array(self.mean)
        dof = D + 2.0 if self.dof is None else self.dof
        if not dof > D - 1:
            raise ValueError(f"the prior's dof must be more than D - 1 = {D - 1}, but is {dof:g}")
        diagonal = False
        if self.scale is None:
            scale, diagonal = scale_of(summary, n_components)
        else:
            # The sum of outer products of a root's columns, in the family's shape.
            root = np.linalg.cholesky(np.array(self.scale))
            scale = family.structure.weigh(root, np.ones(D))
        freedom = dof + D + 1 + (self.shrinkage > 0)
        return Prior(family, self.shrinkage, mean, scale, freedom, diagonal)


def _numbers(value: Any, name: str) -> Array:
    """The finite numbers of an array that the prior was given."""
    try:
        array = np.asarray(value)
        numbers = array.astype(np.float64) if array.dtype.kind in "fiuO" else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is None:
        raise ValueError(f"the prior's {name} must be an array of numbers, but is {value!r}")
    if np.ma.is_masked(value) or not np.isfinite(numbers).all():
        raise ValueError(f"the prior's {name} must be finite, but is {value!r}")
    return numbers


def scale_of(summary: DataSummary, n_components: int) -> tuple[Array, bool]:
    """The data's covariance over K^(2/D), and whether only its diagonal could be taken."""
    constant = np.logical_not(summary.varies)
    if constant.any():
        raise ConstantFeaturesError(tuple(np.flatnonzero(constant).tolist()))
    # Weights may sum to less than one row.
    freedom = max(summary.seen - 1, summary.seen / 2)
    scale = summary.whole_scatter / freedom / n_components ** (2 / len(summary.mean))
    if summary.structure == DENSE and is_collinear(scale):
        return DENSE.diagonal(scale), True
    return scale, False


def is_collinear(covariance: Array) -> bool:
    """Whether some feature of a (D, D) covariance is a linear function of the others."""
    sds = np.sqrt(np.diag(covariance))
    return bool(np.linalg.eigvalsh(covariance / np.outer(sds, sds))[0] <= COLLINEAR)


@dataclass(frozen=True, eq=False)
class Prior:
    """A normal-inverse-Wishart prior of every component, in numbers: one rule for all families.

    In the M-step W_k becomes scale + W_k + what the mean's pull adds, and N_k under a covariance
    becomes N_k + freedom. That minimises the criterion of the M-step plus minus twice the prior's
    log-density, whatever the family.

    Parameters
    ----------
    family : Family
        Of the covariances.
    shrinkage : float
        kappa.
    mean : (D,)
        mu_P.
    scale : element of the family's shape
        Lambda, as a scatter.
    freedom : float
        nu + D + 2, or nu + D + 1 where shrinkage is 0.
    diagonal : bool
        Whether the scale is diagonal because the data's covariance is singular.
    """

    family: Family
    shrinkage: float
    mean: Array
    scale: Array
    freedom: float
    diagonal: bool

    def explicit(self) -> NormalInverseWishart:
        """What a user would write for it, with nothing left to the data."""
        D = len(self.mean)
        shape = self.family.structure
        each = shape.estimate(self.scale[None], np.ones(1), D)
        dof = self.freedom - D - 1 - (self.shrinkage > 0)
        prior = NormalInverseWishart(self.shrinkage, self.mean, dof)
        # Not validated again: rounding may decide otherwise on a scale that is nearly singular.
        scale = tuple(map(tuple, shape.dense(each[0], D).tolist()))
        object.__setattr__(prior, "scale", scale)
        return prior

    def added_to(self, statistics: Statistics) -> Statistics:
        """Statistics of the rows and of those that the prior is worth, but for `freedom`."""
        steps = self.mean - statistics.centres
        each = self.scale + self.shrinkage * self.family.structure.outer(steps)
        return replace(
            statistics,
            counts=statistics.counts + self.shrinkage,
            first_moment=statistics.first_moment + self.shrinkage * steps,
            scatter=statistics.scatter + self.family.pool(each),
        )

    def log_density(self, mixture: Mixture) -> float:
        """Summed over components, but for a constant.

        -1/2 sum_k [tr(Lambda Sigma_k^-1) + kappa |mu_k - mu_P|^2 in Sigma_k + freedom log|Sigma_k|]
        """
        shape, D = self.family.structure, mixture.n_features
        precisions_cholesky = mixture.each_precision_cholesky
        traces = [shape.inner(p, self.scale) for p in shape.precisions(precisions_cholesky)]
        steps = mixture.means.astype(np.float64) - self.mean
        pulls = self.shrinkage * shape.squared_norms(precisions_cholesky, steps[:, :, None])[:, 0]
        log_dets = -2 * shape.log_det(precisions_cholesky, D)
        return -0.5 * float(np.sum(traces + pulls + self.freedom * log_dets))
