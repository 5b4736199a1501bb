"""Diagnosis: what a fit's own statistics say of it."""

from emgmm.degeneracy import (
    aitken,
    coincident,
    collapsed,
    divergences,
    gain_left,
    has_coincident,
    is_settled,
    starved,
)
from emgmm.diagnostics.certificate import Verdict
from emgmm.diagnostics.lookahead import gain_ahead, is_cheap
from emgmm.diagnostics.report import Diagnosis, diagnose
from emgmm.diagnostics.summary import MixtureSummary
from emgmm.fitting.messages import (
    LEFT_IN_TOTAL,
    LEFT_PER_PARAMETER,
    large_ridge,
    stopped_short,
    unobserved_pairs,
    warnings_of,
)

__all__ = [
    "LEFT_IN_TOTAL",
    "LEFT_PER_PARAMETER",
    "Diagnosis",
    "MixtureSummary",
    "Verdict",
    "aitken",
    "coincident",
    "collapsed",
    "diagnose",
    "divergences",
    "gain_ahead",
    "gain_left",
    "has_coincident",
    "is_cheap",
    "is_settled",
    "large_ridge",
    "starved",
    "stopped_short",
    "unobserved_pairs",
    "warnings_of",
]
