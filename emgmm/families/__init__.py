"""Covariance families: statistics -> covariances."""

from emgmm.families.conditional import Conditional, Moments
from emgmm.families.family import FAMILIES, Family, mass_times
from emgmm.families.independent import AXIS, TRACE
from emgmm.families.outer import OUTER
from emgmm.families.shape import DegenerateCovarianceError, Shape

__all__ = [
    "AXIS",
    "FAMILIES",
    "OUTER",
    "TRACE",
    "Conditional",
    "DegenerateCovarianceError",
    "Family",
    "Moments",
    "Shape",
    "mass_times",
]
