"""k-means clustering by scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from emgmm.typing import Array, Integers


def kmeans_labels(
    rows: Array, n_clusters: int, *, n_init: int, random: Any, weights: Array | None
) -> Integers:
    """Return the cluster label of each row, from the best of `n_init` runs of k-means.

    The validation of rows and parameters is skipped: the caller has validated them, and on few rows
    it takes as long as k-means. The warning that there are fewer distinct rows than clusters is
    suppressed, because EM reports such components.
    """
    with (
        config_context(assume_finite=True, skip_parameter_validation=True),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(n_clusters, n_init=n_init, random_state=random)
        labels: Integers = clusters.fit(rows, sample_weight=weights).labels_
    return labels
