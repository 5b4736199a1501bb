"""Covariance families: constraints on the covariances, their storage and their M-step."""

from emgmm.covariances.conditional import Conditional, Patterns
from emgmm.covariances.dense import DENSE, are_symmetric
from emgmm.covariances.diagonal import DIAGONAL, ISOTROPIC
from emgmm.covariances.family import Family, times_counts
from emgmm.covariances.grouped import Grouped
from emgmm.covariances.registry import (
    FAMILIES,
    describe_family,
    family_names,
    family_of,
    family_of_marginals,
)
from emgmm.covariances.structure import Structure

__all__ = [
    "DENSE",
    "DIAGONAL",
    "FAMILIES",
    "ISOTROPIC",
    "Conditional",
    "Family",
    "Grouped",
    "Patterns",
    "Structure",
    "are_symmetric",
    "describe_family",
    "family_names",
    "family_of",
    "family_of_marginals",
    "times_counts",
]
