"""Covariance families: statistics -> covariances."""

from emgmm.families.family import FAMILIES, Family, mass_times
from emgmm.families.shape import DegenerateCovarianceError, Shape

__all__ = ["FAMILIES", "DegenerateCovarianceError", "Family", "Shape", "mass_times"]
