"""Gaussian mixtures by expectation-maximisation, under scikit-learn's conventions."""

from emgmm.estimator import GaussianMixture
from emgmm.loop import Ending
from emgmm.version import InconsistentVersionWarning, __version__

__all__ = ["Ending", "GaussianMixture", "InconsistentVersionWarning", "__version__"]
