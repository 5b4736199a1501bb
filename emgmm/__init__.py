"""Gaussian mixtures by expectation-maximization, under scikit-learn's conventions."""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

from emgmm.classifier import GaussianMixtureClassifier
from emgmm.detector import GaussianMixtureOutlierDetector
from emgmm.diagnostics import Diagnosis, MixtureSummary, Verdict
from emgmm.distributions import (
    MixtureDistribution,
    MonteCarloResult,
    kl_divergence,
    l2_distance,
    wasserstein_distance,
)
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
from emgmm.interchange import TRUSTED_TYPES
from emgmm.many import FitFailure, fit_many
from emgmm.merging import MergedMixture, merge_components
from emgmm.patch import patch_sklearn, unpatch_sklearn
from emgmm.plotting import ConvergenceDisplay, GaussianMixtureDisplay, InformationCriterionDisplay
from emgmm.prior import NormalInverseWishart
from emgmm.projection import GaussianMixtureProjection
from emgmm.regressor import GaussianMixtureRegressor
from emgmm.selection.estimator import GaussianMixtureIC
from emgmm.sources import blocks
from emgmm.version import InconsistentVersionWarning, __version__

__all__ = [
    "TRUSTED_TYPES",
    "CheckpointWarning",
    "CoincidentComponentsWarning",
    "CollapsedComponentWarning",
    "ConvergenceDisplay",
    "Diagnosis",
    "EMWarning",
    "Ending",
    "FitFailure",
    "GaussianMixture",
    "GaussianMixtureClassifier",
    "GaussianMixtureDisplay",
    "GaussianMixtureIC",
    "GaussianMixtureOutlierDetector",
    "GaussianMixtureProjection",
    "GaussianMixtureRegressor",
    "InconsistentVersionWarning",
    "InformationCriterionDisplay",
    "MergedMixture",
    "MixtureDistribution",
    "MixtureSummary",
    "MonteCarloResult",
    "NormalInverseWishart",
    "RegularizationWarning",
    "StarvedComponentWarning",
    "StoppedShortWarning",
    "UnobservedPairWarning",
    "UnsoundComponentsWarning",
    "Verdict",
    "__version__",
    "blocks",
    "datasets",
    "fit_many",
    "kl_divergence",
    "l2_distance",
    "merge_components",
    "patch_sklearn",
    "testing",
    "unpatch_sklearn",
    "wasserstein_distance",
]


def __getattr__(name: str) -> _ModuleType:
    """Import a public module when it is first used, since few programs use it."""
    if name in ("datasets", "testing"):
        return _import_module(f"emgmm.{name}")
    raise AttributeError(f"module 'emgmm' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, without the modules that contain them."""
    return list(__all__)
