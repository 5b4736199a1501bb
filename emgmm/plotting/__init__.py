"""Displays of fitted models that follow scikit-learn's conventions."""

from emgmm.plotting.convergence import ConvergenceDisplay
from emgmm.plotting.criterion import InformationCriterionDisplay
from emgmm.plotting.mixture import GaussianMixtureDisplay

__all__ = ["ConvergenceDisplay", "GaussianMixtureDisplay", "InformationCriterionDisplay"]
