"""Initialization: methods that assign rows to components, from which an M-step makes a mixture."""

from emgmm.initialization.assignment import Assignment, Labels, Responsibilities, SingleRows
from emgmm.initialization.given import start_of, starts_of
from emgmm.initialization.methods import STARTS, Start, kmeans_labels

__all__ = [
    "STARTS",
    "Assignment",
    "Labels",
    "Responsibilities",
    "SingleRows",
    "Start",
    "kmeans_labels",
    "start_of",
    "starts_of",
]
