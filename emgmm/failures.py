"""Errors of fits and of blocks of a stream that meet a singular covariance."""

from __future__ import annotations

import numpy as np

from emgmm.families import DegenerateCovarianceError
from emgmm.notices import listed, named
from emgmm.sources import Source


class FailedBlockError(ValueError):
    """A block of a stream would leave a singular covariance."""

    def __init__(self, error: DegenerateCovarianceError, ridge: float) -> None:
        where = listed(error.components) or "the covariance that all components share"
        super().__init__(
            f"This block would leave a singular covariance ({where}, with reg_covar={ridge:g}), so "
            "nothing was changed: pass more rows at a time, increase reg_covar, or decrease the "
            "number of components."
        )


class FailedFitError(ValueError):
    """A fit met a singular covariance: scikit-learn's words for it, and which component it was."""

    def __init__(self, error: DegenerateCovarianceError, source: Source, ridge: float) -> None:
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
        super().__init__(f"{message} (Singular: {where}, with reg_covar={ridge:g}.)")
