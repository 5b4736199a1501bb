"""Covariance families: statistics -> covariances."""

from emgmm.covariances.conditional import Conditional, Patterns
from emgmm.covariances.dense import DENSE, are_symmetric
from emgmm.covariances.diagonal import DIAGONAL, ISOTROPIC
from emgmm.covariances.family import Family, times_counts
from emgmm.covariances.registry import FAMILIES, all_for, in_words
from emgmm.covariances.structure import Structure

__all__ = [
    "DENSE",
    "DIAGONAL",
    "FAMILIES",
    "ISOTROPIC",
    "Conditional",
    "Family",
    "Patterns",
    "Structure",
    "all_for",
    "are_symmetric",
    "in_words",
    "times_counts",
]
