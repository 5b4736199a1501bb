"""scikit-learn's own checks of an estimator, each member once."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MODELS, STARTS, TYPES
from sklearn.utils.estimator_checks import parametrize_with_checks

from emgmm import GaussianMixture

# scikit-learn's checks are many short tests of different things.
pytestmark = pytest.mark.all_cases


class FixedMeans:
    """A start whose means no row moves, however often it stands there."""

    def __call__(self, X, n_components, random_state):
        high = np.arange(X.shape[1]) % n_components == np.arange(n_components)[:, None]
        return np.where(high, 0.9, 0.5)

    def __repr__(self):  # a test's name
        return type(self).__name__


# Some of the checks' tables have components of fewer rows than features: where volumes are equal
# that is no fit. One has four distinct rows in all, whose clusters k-means may choose so that even
# the pooled eigenvalues of VEV are singular.
BEARING = tuple(model for model in MODELS if model not in {"EVI", "EVE", "EVV", "VEV"})

MEMBERS = [
    GaussianMixture(),
    *(GaussianMixture(3, covariance_type=covariance_type) for covariance_type in TYPES + BEARING),
    *(GaussianMixture(3, covariance_type=c, init_params=FixedMeans()) for c in TYPES),
    *(GaussianMixture(init_params=start) for start in STARTS),
    *(
        GaussianMixture(2, covariance_type=c, prior="conjugate", weight_concentration=1.5)
        for c in ("EVV", "VEV")
    ),
    GaussianMixture(n_init=2, warm_start=True),
    GaussianMixture(2, equal_weights=True, order="mean"),
]


def expected(estimator):
    """The one check that a random start cannot pass: its draws are of rows, not of their weights.

    scikit-learn's own weighted KMeans does not pass it either.
    """
    if estimator.n_components == 1 or callable(estimator.init_params):
        return {}
    reason = "random starts know weights in distribution only"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


# Before 1.9, scikit-learn passes pytest a generator, which pytest 9 deprecates.
CHECKS = parametrize_with_checks(MEMBERS, expected_failed_checks=expected)
NAMES, CASES = CHECKS.args


@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(NAMES, list(CASES), **CHECKS.kwargs)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
