"""Errors that name a value whose square, or squared distance from a mixture, overflows."""

from __future__ import annotations

import numpy as np

from emgmm.mixture import Mixture
from emgmm.sources import Source
from emgmm.summary import DataSummary

# Number of rows per block of the search for the value that an error names.
BLOCK_ROWS = 2**16


def too_large(feature: int, source: Source) -> ValueError:
    """Return the error of a feature whose squares overflow; it begins as scikit-learn's does."""
    return ValueError(
        "Input X contains infinity or a value too large for dtype('float64'): sums of squares, "
        "which covariances require, may overflow. The largest value is "
        f"{_largest(feature, source)}: drop such rows, set unknown values to NaN, or rescale the "
        "column."
    )


def out_of_reach(summary: DataSummary, mixture: Mixture, source: Source) -> ValueError:
    """Return the error of rows so far from a mixture that their log-density overflows."""
    reach = np.maximum(summary.max_distances(mixture.means.astype(np.float64)), 0.0)
    variances = mixture.family.structure.variances(mixture.covariance_stack, mixture.n_features)
    with np.errstate(over="ignore"):
        feature = int(np.argmax((reach / np.sqrt(variances)).max(axis=0)))
    return ValueError(
        "X has a value so far from the components that the log-density of its row "
        f"overflows, {_largest(feature, source)}, so nothing was changed: correct the value, or "
        "drop the row."
    )


def _largest(feature: int, source: Source) -> str:
    """Describe the value of a feature with the largest magnitude, and its position."""
    largest, row = 0.0, 0
    for block in source.blocks(BLOCK_ROWS):
        values = np.nan_to_num(block.rows[feature])
        at = int(np.argmax(np.abs(values)))
        if abs(values[at]) > abs(largest):
            largest = float(values[at])
            row = int(block.start + at if block.numbers is None else block.numbers[at])
    name = "" if source.feature_names is None else f" ({source.feature_names[feature]!r})"
    return f"{largest:g} in row {row}, column {feature}{name}, counted from 0"
