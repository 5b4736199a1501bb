"""The ridge of a fit whose covariance is singular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from emgmm.prior import NormalInverseWishart
from emgmm.sources import Rows

Fitted = TypeVar("Fitted")

# Ridge relative to the smallest variance of a column. Rounding errors of about 1e-16 are negligible
# beside it, as it is beside the variances.
RIDGE = 1e-7


class RidgeMixin:
    """Estimator that adds a ridge if a covariance is singular and its parameters leave it open."""

    reg_covar: float
    prior: str | NormalInverseWishart | None

    @property
    def _may_add_a_ridge(self) -> bool:
        return self.reg_covar == 0 and self.prior is None

    def _ridge(self, rows: Rows) -> float:
        """Return the ridge for rows; 0 if none may be added, or if no column varies."""
        return ridge_of(rows) if self._may_add_a_ridge else 0.0

    def _fitted_with_ridge(
        self, fit: Callable[[float], Fitted], rows: Rows, failure: type[Exception]
    ) -> tuple[Fitted, bool]:
        """Return a fit, a function of `reg_covar`, and whether it required the ridge for rows.

        If it fails with the ridge as well, the first error is raised.
        """
        try:
            return fit(self.reg_covar), False
        except failure as error:
            ridge = self._ridge(rows)
            if not ridge:
                raise
            try:
                return fit(ridge), True
            except failure:
                raise error from None


def ridge_of(rows: Rows) -> float:
    """Return the ridge of rows whose covariance is singular; 0 if no column varies."""
    values = rows.values if rows.weights is None else rows.values[rows.weights > 0]
    varies = np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)
    with np.errstate(under="ignore"):
        variances = replace(rows, values=(rows.values - rows.mean) ** 2).mean[varies]
    return RIDGE * float(variances.min(initial=np.inf)) if varies.any() else 0.0
