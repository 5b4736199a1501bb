"""Gaussian mixtures by expectation-maximization, under scikit-learn's conventions."""

from emgmm.diagnostics import Diagnosis, MixtureSummary, Verdict
from emgmm.estimator import GaussianMixture
from emgmm.exceptions import (
    CheckpointWarning,
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    EMWarning,
    RegularizationWarning,
    StarvedComponentWarning,
    StoppedShortWarning,
    UnobservedPairWarning,
    UnsoundComponentsWarning,
)
from emgmm.fitting.loop import Ending
from emgmm.many import FitFailure, fit_many
from emgmm.plotting import ConvergenceDisplay, GaussianMixtureDisplay, InformationCriterionDisplay
from emgmm.prior import NormalInverseWishart
from emgmm.selection.estimator import GaussianMixtureIC
from emgmm.sources import blocks
from emgmm.version import InconsistentVersionWarning, __version__

__all__ = [
    "CheckpointWarning",
    "CoincidentComponentsWarning",
    "CollapsedComponentWarning",
    "ConvergenceDisplay",
    "Diagnosis",
    "EMWarning",
    "Ending",
    "FitFailure",
    "GaussianMixture",
    "GaussianMixtureDisplay",
    "GaussianMixtureIC",
    "InconsistentVersionWarning",
    "InformationCriterionDisplay",
    "MixtureSummary",
    "NormalInverseWishart",
    "RegularizationWarning",
    "StarvedComponentWarning",
    "StoppedShortWarning",
    "UnobservedPairWarning",
    "UnsoundComponentsWarning",
    "Verdict",
    "__version__",
    "blocks",
    "fit_many",
]


def __dir__() -> list[str]:
    """Return the public names, without the modules that contain them."""
    return [*__all__, "datasets", "testing"]
