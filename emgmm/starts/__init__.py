"""Starts: where EM begins. A start looks at rows; an ordinary M-step makes a mixture of it."""

from emgmm.starts.assignment import Assignment, Labels, Responsibilities, SingleRows
from emgmm.starts.cleaning import cleaned
from emgmm.starts.methods import AUTO, STARTS, Start, auto, of_a_sample
from emgmm.starts.user import from_callable

__all__ = [
    "AUTO",
    "STARTS",
    "Assignment",
    "Labels",
    "Responsibilities",
    "SingleRows",
    "Start",
    "auto",
    "cleaned",
    "from_callable",
    "of_a_sample",
]
