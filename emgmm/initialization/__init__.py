"""Initialization: methods that assign rows to components, from which an M-step makes a mixture."""

from emgmm.initialization.assignment import Assignment, Labels, Responsibilities, SingleRows
from emgmm.initialization.denoising import denoised
from emgmm.initialization.given import start_of
from emgmm.initialization.methods import AUTO, STARTS, Start, auto, from_sample, kmeans_labels

__all__ = [
    "AUTO",
    "STARTS",
    "Assignment",
    "Labels",
    "Responsibilities",
    "SingleRows",
    "Start",
    "auto",
    "denoised",
    "from_sample",
    "kmeans_labels",
    "start_of",
]
