"""Displays: pictures of fitted models, under scikit-learn's conventions for them."""

from emgmm.displays.convergence import ConvergenceDisplay
from emgmm.displays.criterion import InformationCriterionDisplay
from emgmm.displays.mixture import GaussianMixtureDisplay

__all__ = ["ConvergenceDisplay", "GaussianMixtureDisplay", "InformationCriterionDisplay"]
