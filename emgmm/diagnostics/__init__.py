"""Diagnostics of a fitted mixture, from its statistics and a few further passes."""

from emgmm.diagnostics.certificate import Verdict
from emgmm.diagnostics.lookahead import gain_ahead, is_cheap
from emgmm.diagnostics.report import Diagnosis, diagnose
from emgmm.diagnostics.summary import MixtureSummary

__all__ = ["Diagnosis", "MixtureSummary", "Verdict", "diagnose", "gain_ahead", "is_cheap"]
