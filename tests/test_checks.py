"""scikit-learn's own checks of an estimator, each member once."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MODELS, STARTS, TYPES, clusters, fit
from sklearn.utils.estimator_checks import parametrize_with_checks

from emgmm import GaussianMixture


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

# Between them, these differ in all that the checks are about.
PRINCIPAL = [
    GaussianMixture(),
    *(GaussianMixture(3, covariance_type=c, init_params=FixedMeans()) for c in ("tied", "diag")),
    GaussianMixture(
        2, covariance_type="EVV", prior="conjugate", weight_concentration=1.5, order="mean"
    ),
    GaussianMixture(2, n_init=2, warm_start=True, equal_weights=True),
]
OTHERS = [
    *(GaussianMixture(3, covariance_type=covariance_type) for covariance_type in TYPES + BEARING),
    *(GaussianMixture(3, covariance_type=c, init_params=FixedMeans()) for c in TYPES),
    *(GaussianMixture(init_params=start) for start in STARTS),
    GaussianMixture(2, covariance_type="VEV", prior="conjugate", weight_concentration=1.5),
]


def expected(estimator):
    """The one check that a random start cannot pass: its draws are of rows, not of their weights.

    scikit-learn's own weighted KMeans does not pass it either.
    """
    if estimator.n_components == 1 or callable(estimator.init_params):
        return {}
    reason = "random starts know weights in distribution only"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


def checks(members):
    """A decorator; before 1.9, scikit-learn passes a generator, which pytest 9 deprecates."""
    made = parametrize_with_checks(members, expected_failed_checks=expected)
    names, cases = made.args
    return pytest.mark.parametrize(names, list(cases), **made.kwargs)


pytestmark = [
    pytest.mark.filterwarnings("ignore::emgmm.EMWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.mark.all_cases
@checks(PRINCIPAL)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@checks(OTHERS)
def test_scikit_learns_checks_of_other_members(estimator, check):
    check(estimator)


def test_numbers_of_a_small_type_do_not_overflow():
    X = clusters(100, 3, 2)
    found, expected = (fit(GaussianMixture(K, random_state=0), X) for K in (np.int8(2), 2))
    np.testing.assert_array_equal(found.means_, expected.means_)
