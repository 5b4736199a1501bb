"""Diagnosis: what a fit's own statistics say of it."""

from emgmm.diagnosis.conditions import (
    aitken,
    coincident,
    collapsed,
    divergences,
    has_coincident,
    starved,
)
from emgmm.diagnosis.words import warnings_of

__all__ = [
    "aitken",
    "coincident",
    "collapsed",
    "divergences",
    "has_coincident",
    "starved",
    "warnings_of",
]
