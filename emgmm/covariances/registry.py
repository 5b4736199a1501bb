"""The registry of covariance families: scikit-learn's four and mclust's fourteen.

mclust's letters denote volume, shape and orientation: Equal, Variable, or Identity for spherical
or axis-aligned covariances. scikit-learn's names are synonyms of four of them: spherical = VII,
diag = VVI, tied = EEE, full = VVV.

References
----------
Banfield and Raftery (1993), Biometrics 49:803, doi 10.2307/2532201.
Celeux and Govaert (1995), Pattern Recognition 28:781, doi 10.1016/0031-3203(94)00125-6.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from emgmm.covariances.closed_form import EqualVolumes, Unconstrained, Univariate
from emgmm.covariances.dense import DENSE
from emgmm.covariances.diagonal import DIAGONAL, ISOTROPIC
from emgmm.covariances.eigenvectors import CommonAxes, OwnAxes
from emgmm.covariances.family import Family
from emgmm.covariances.proportional import Proportional

_EEI = Unconstrained("EEI", DIAGONAL, shared=True)
_VEI = Proportional("VEI", DIAGONAL)
_EVI = EqualVolumes("EVI", DIAGONAL)
_VVI = Unconstrained("VVI", DIAGONAL)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Unconstrained("full", DENSE),
        Unconstrained("tied", DENSE, shared=True),
        Unconstrained("diag", DIAGONAL),
        Unconstrained("spherical", ISOTROPIC),
        Unconstrained("EII", ISOTROPIC, shared=True),
        Unconstrained("VII", ISOTROPIC),
        _EEI,
        _VEI,
        _EVI,
        _VVI,
        Unconstrained("EEE", DENSE, shared=True),
        Proportional("VEE", DENSE),
        CommonAxes("EVE", _EVI),
        CommonAxes("VVE", _VVI),
        OwnAxes("EEV", _EEI),
        OwnAxes("VEV", _VEI),
        EqualVolumes("EVV", DENSE),
        Unconstrained("VVV", DENSE),
        Univariate("E", ISOTROPIC, shared=True),
        Univariate("V", ISOTROPIC),
    )
}


def family_of(covariance_type: str | Family) -> Family:
    """Return the family with a name, or the family itself."""
    return covariance_type if isinstance(covariance_type, Family) else FAMILIES[covariance_type]


def family_of_marginals(family: Family, features: Sequence[int], n_features: int) -> Family:
    """Return the family of the marginal and conditional distributions of some features.

    If these are not in the family itself, it is the general one for the same structure.
    """
    if family.has_marginals(features, n_features):
        return family
    general = FAMILIES[family.structure.scikit_learn]
    return general if general.structure == family.structure else FAMILIES["full"]


def family_names(n_features: int) -> list[str]:
    """Return mclust's names of all families for this number of features."""
    most = 1 if n_features == 1 else None
    return [
        name for name, family in FAMILIES.items() if name.isupper() and family.most_features == most
    ]


VOLUME_AND_SHAPE = {"E": "equal", "V": "variable"}


def describe_family(name: str) -> str:
    """Return what the covariances of a family have in common, if it has a name of mclust's kind."""
    letters = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}.get(name, name)
    if not re.fullmatch("[EV]|[EV]II|[EV]{2}I|[EV]{3}", letters):
        return ""
    if len(letters) == 1:
        return f"{VOLUME_AND_SHAPE[letters]} variance"
    named = zip(letters, ("volume", "shape", "orientation"), strict=True)
    parts = [f"{VOLUME_AND_SHAPE[letter]} {what}" for letter, what in named if letter != "I"]
    if letters.endswith("I"):
        parts.insert(0, "spherical" if letters.endswith("II") else "diagonal")
    return ", ".join(parts)
