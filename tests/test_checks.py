"""scikit-learn's own checks of an estimator, each member once."""

from __future__ import annotations

import pytest
from conftest import MODELS, STARTS, TYPES
from sklearn.utils.estimator_checks import parametrize_with_checks

from emgmm import GaussianMixture

# Some of the checks' tables have components of fewer rows than features: where volumes are equal
# that is no fit.
BEARING = tuple(model for model in MODELS if model not in {"EVI", "EVE", "EVV"})

MEMBERS = [
    GaussianMixture(),
    *(GaussianMixture(3, covariance_type=covariance_type) for covariance_type in TYPES + BEARING),
    *(GaussianMixture(init_params=start) for start in STARTS),
    GaussianMixture(2, covariance_type="EVV", prior="conjugate", weight_concentration=1.5),
    GaussianMixture(n_init=2, warm_start=True),
]


@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(MEMBERS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
