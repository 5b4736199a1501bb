"""Displays: pictures of fitted models, under scikit-learn's conventions for them."""

from emgmm.plotting.convergence import ConvergenceDisplay
from emgmm.plotting.criterion import InformationCriterionDisplay
from emgmm.plotting.mixture import GaussianMixtureDisplay

__all__ = ["ConvergenceDisplay", "GaussianMixtureDisplay", "InformationCriterionDisplay"]
