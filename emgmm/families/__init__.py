"""Covariance families: statistics -> covariances."""

from emgmm.families.conditional import Conditional, Patterns
from emgmm.families.family import Family, mass_times
from emgmm.families.independent import AXIS, TRACE
from emgmm.families.outer import OUTER, are_symmetric
from emgmm.families.registry import FAMILIES, all_for, in_words
from emgmm.families.shape import DegenerateCovarianceError, Shape

__all__ = [
    "AXIS",
    "FAMILIES",
    "OUTER",
    "TRACE",
    "Conditional",
    "DegenerateCovarianceError",
    "Family",
    "Patterns",
    "Shape",
    "all_for",
    "are_symmetric",
    "in_words",
    "mass_times",
]
