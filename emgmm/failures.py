"""Errors of fits and of blocks of a stream that meet a singular covariance."""

from __future__ import annotations

import numpy as np

from emgmm.covariances import DegenerateCovarianceError
from emgmm.exceptions import listed, named
from emgmm.sources import Source


def _under(ridge: float | None) -> str:
    """What was added to the covariances; None is nothing, under a prior."""
    return ", with a prior" if ridge is None else f", with reg_covar={ridge:g}"


def _remedy(ridge: float | None) -> str:
    """What helps, given what was added."""
    if ridge is None:
        return "give the prior a larger scale or more degrees of freedom"
    if ridge > 0:
        return "rescale the columns to comparable units or set prior='conjugate'"
    return "increase reg_covar"


class FailedBlockError(ValueError):
    """A block of a stream would leave a singular covariance."""

    def __init__(self, error: DegenerateCovarianceError, ridge: float | None) -> None:
        where = listed(error.components) or "the covariance that all components share"
        super().__init__(
            f"This block would leave a singular covariance ({where}{_under(ridge)}), so nothing "
            f"was changed: pass more rows at a time, {_remedy(ridge)}, or decrease the number of "
            "components."
        )


class FailedFitError(ValueError):
    """A fit met a singular covariance: scikit-learn's words for it, and which component it was."""

    def __init__(
        self, error: DegenerateCovarianceError, source: Source, ridge: float | None, note: str = ""
    ) -> None:
        message = (
            "Fitting the mixture model failed because some components have ill-defined empirical "
            "covariance (for instance caused by singleton or collapsed samples). Try to decrease "
            "the number of components, increase reg_covar, or scale the input data."
        )
        if source.dtype == np.float32:
            message += (
                " The numerical accuracy can also be improved by passing float64 data instead of "
                "float32."
            )
        where = listed(error.components) or "the covariance that all components share"
        if error.features:
            columns = named(error.features, source.feature_names)
            where = f"all, because X is constant or linearly dependent in column {columns}"
            message += " Leave such columns out, or increase reg_covar."
        elif ridge is not None and ridge > 0:
            message += f" As reg_covar is above 0 already, {_remedy(ridge)}."
        super().__init__(f"{message}{note} (Singular: {where}{_under(ridge)}.)")
