"""Diagnosis: what a fit's own statistics say of it."""

from emgmm.diagnosis.certificate import Verdict
from emgmm.diagnosis.conditions import (
    aitken,
    coincident,
    collapsed,
    divergences,
    has_coincident,
    starved,
)
from emgmm.diagnosis.report import Diagnosis, diagnose
from emgmm.diagnosis.words import unobserved_pairs, warnings_of

__all__ = [
    "Diagnosis",
    "Verdict",
    "aitken",
    "coincident",
    "collapsed",
    "diagnose",
    "divergences",
    "has_coincident",
    "starved",
    "unobserved_pairs",
    "warnings_of",
]
