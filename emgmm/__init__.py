"""Gaussian mixtures by expectation-maximisation, under scikit-learn's conventions."""

from emgmm.diagnosis import Diagnosis, Verdict
from emgmm.estimator import GaussianMixture
from emgmm.loop import Ending
from emgmm.notices import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    EMWarning,
    StarvedComponentWarning,
)
from emgmm.prior import NormalInverseWishart
from emgmm.version import InconsistentVersionWarning, __version__

__all__ = [
    "CoincidentComponentsWarning",
    "CollapsedComponentWarning",
    "Diagnosis",
    "EMWarning",
    "Ending",
    "GaussianMixture",
    "InconsistentVersionWarning",
    "NormalInverseWishart",
    "StarvedComponentWarning",
    "Verdict",
    "__version__",
]
