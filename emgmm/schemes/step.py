"""What schemes yield, and what they are asked."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

from emgmm.em import EM
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics

# Events: how a mixture came from the one before it.
PLAIN = "step"
LEAP = "leap"


class Step(NamedTuple):
    """One mixture on the way, with what a pass over the rows says of it."""

    mixture: Mixture
    statistics: Statistics
    objective: float
    passes: int
    event: str = PLAIN


# A scheme yields mixtures without end. What is sent to it, if anything, is whether the next one
# must be made by a plain step of EM.
Steps = Generator[Step, bool | None, None]
Scheme = Callable[[EM, Mixture], Steps]
