"""k-means, which is scikit-learn's."""

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
    """The cluster of each row, in the best of some runs of k-means.

    Rows and parameters were validated before, which takes as long as a run on few rows. The warning
    that there are fewer distinct rows than clusters is left out: EM says what became of these.
    """
    with (
        config_context(assume_finite=True, skip_parameter_validation=True),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(n_clusters, n_init=n_init, random_state=random)
        labels: Integers = clusters.fit(rows, sample_weight=weights).labels_
    return labels
