"""The conjugate prior of means and covariances, for maximum a posteriori (MAP) estimation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from emgmm.covariances import Family, are_symmetric
from emgmm.exceptions import ConstantFeaturesError
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary
from emgmm.tolerances import checked_afterwards, negligible_underflow
from emgmm.typing import Array

# Features are collinear if an eigenvalue of their correlation matrix is at most this.
COLLINEAR = 1e-12


@dataclass(frozen=True)
class NormalInverseWishart:
    """Conjugate prior of each component's mean and covariance, for MAP estimation.

    Given Sigma_k, mu_k is normal with mean `mean` and covariance Sigma_k / `shrinkage`. Sigma_k is
    inverse Wishart with `dof` degrees of freedom and scale matrix `scale`, restricted to the family
    of the covariances. Parameters that are None are derived from the data, so that the prior adapts
    to their location and scale.

    Parameters
    ----------
    shrinkage : float, default=0.01
        Number of rows to which the prior of the means is equivalent, kappa. With 0 the means have
        no prior.
    mean : array-like of shape (D,), default=None
        Prior mean of the components' means. By default, the mean of the data.
    dof : float, default=None
        Degrees of freedom, nu, greater than D - 1. By default, D + 2.
    scale : array-like of shape (D, D), default=None
        Scale matrix, symmetric and positive definite, in squared units of X. Axis-aligned families
        use its diagonal, and spherical families the mean of the diagonal. By default, the
        covariance of the data divided by K^(2/D), as in R's mclust, or only its diagonal if the
        covariance is singular.

    Raises
    ------
    ValueError
        If a parameter has an invalid value.

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
            is_number = not isinstance(value, bool | np.timedelta64) and isinstance(value, Real)
            if not is_number or not 0 <= value <= np.finfo(float).max:
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
        """Return the prior with unset parameters derived from the data that `summary` describes.

        Raises
        ------
        ConstantFeaturesError
            If the scale has to be derived from data with a constant feature.
        ValueError
            If the parameters do not match the number of features.
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
            # A sum of outer products of the columns of a root has the family's structure.
            root = np.linalg.cholesky(np.array(self.scale))
            scale = family.structure.weigh(root, np.ones(D))
        freedom = dof + D + 1 + (self.shrinkage > 0)
        return Prior(family, self.shrinkage, mean, scale, freedom, diagonal)


def _numbers(value: Any, name: str) -> Array:
    """Return a parameter of the prior as a float64 array of finite numbers."""
    try:
        array = np.asarray(value)
        with np.errstate(over="ignore"):  # infinity is rejected below
            numbers = array.astype(np.float64) if array.dtype.kind in "fiuO" else None
    except (OverflowError, TypeError, ValueError):
        numbers = None
    if numbers is None:
        raise ValueError(f"the prior's {name} must be an array of numbers, but is {value!r}")
    if np.ma.is_masked(value) or not np.isfinite(numbers).all():
        raise ValueError(f"the prior's {name} must be finite, but is {value!r}")
    return numbers


def scale_of(summary: DataSummary, n_components: int) -> tuple[Array, bool]:
    """Return the covariance of the data over K^(2/D), and whether only its diagonal is used."""
    constant = np.logical_not(summary.varies)
    if constant.any():
        raise ConstantFeaturesError(
            tuple(np.flatnonzero(constant).tolist()),
            "the prior's scale, which is derived from the variances of the columns, would be "
            "singular: drop such columns, or set prior=NormalInverseWishart(scale=...).",
        )
    # The sum of the weights may be less than 1.
    freedom = max(summary.seen - 1, summary.seen / 2)
    scale = summary.whole_scatter / freedom / n_components ** (2 / len(summary.mean))
    if summary.structure.has_covariances and is_collinear(scale):
        return summary.structure.diagonal(scale), True
    return scale, False


@negligible_underflow
def is_collinear(covariance: Array) -> bool:
    """Whether some feature of a (D, D) covariance is a linear function of the others."""
    sds = np.sqrt(np.diag(covariance))
    if not (sds > 0).all():
        return True
    return bool(np.linalg.eigvalsh(covariance / sds[:, None] / sds)[0] <= COLLINEAR)


@dataclass(frozen=True, eq=False)
class Prior:
    """A normal-inverse-Wishart prior of every component, with all parameters determined.

    In the M-step, the scatter W_k becomes W_k + scale plus a term for the prior mean, and the count
    N_k of a covariance becomes N_k + freedom. For every family, this minimizes the criterion of the
    M-step minus twice the log-density of the prior.

    Parameters
    ----------
    family : Family
        Family of the covariances.
    shrinkage : float
        Shrinkage, kappa.
    mean : (D,)
        Prior mean, mu_P.
    scale : element of the family's structure
        Scale matrix, Lambda, as a scatter.
    freedom : float
        Pseudo-count of the covariances: nu + D + 2, or nu + D + 1 if shrinkage is 0.
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
        """Return the equivalent `NormalInverseWishart` in which no parameter is None."""
        D = len(self.mean)
        structure = self.family.structure
        each = structure.estimate(self.scale[None], np.ones(1), D)
        dof = self.freedom - D - 1 - (self.shrinkage > 0)
        prior = NormalInverseWishart(self.shrinkage, self.mean, dof)
        # Validation is skipped: after rounding it might reject a nearly singular scale.
        scale = tuple(map(tuple, structure.dense(each[0], D).tolist()))
        object.__setattr__(prior, "scale", scale)
        return prior

    def added_to(self, statistics: Statistics) -> Statistics:
        """Return the statistics plus the pseudo-statistics of the prior, apart from `freedom`."""
        offsets = self.mean - statistics.centres
        each = self.scale + self.shrinkage * self.family.structure.outer(offsets)
        return replace(
            statistics,
            counts=statistics.counts + self.shrinkage,
            first_moment=statistics.first_moment + self.shrinkage * offsets,
            scatter=statistics.scatter + self.family.pool(each),
        )

    @checked_afterwards
    def log_density(self, mixture: Mixture) -> float:
        """Return the log-density of the parameters of all components, up to a constant.

        -1/2 sum_k [tr(Lambda Sigma_k^-1) + kappa |mu_k - mu_P|^2 in Sigma_k + freedom log|Sigma_k|]
        """
        structure, D = self.family.structure, mixture.n_features
        precisions_cholesky = mixture.each_precision_cholesky
        precisions = structure.precisions(precisions_cholesky)
        traces = [structure.inner(precision, self.scale) for precision in precisions]
        offsets = mixture.means.astype(np.float64) - self.mean
        distances = structure.squared_norms(precisions_cholesky, offsets[:, :, None])[:, 0]
        log_dets = -2 * structure.log_det(precisions_cholesky, D)
        terms = traces + self.shrinkage * distances + self.freedom * log_dets
        return -0.5 * float(np.sum(terms))
