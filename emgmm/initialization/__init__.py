"""Initialization: methods that assign rows to components, from which an M-step makes a mixture."""

from emgmm.initialization.assignment import Assignment, Labels, Responsibilities, SingleRows
from emgmm.initialization.denoising import denoised
from emgmm.initialization.from_callable import from_callable
from emgmm.initialization.methods import AUTO, STARTS, Start, auto, from_sample
from emgmm.initialization.registry import start_of

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
    "from_callable",
    "from_sample",
    "start_of",
]
