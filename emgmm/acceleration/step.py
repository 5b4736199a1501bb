"""Steps of a fit, and the protocol of the schemes that make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from emgmm.em import EM
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics

# Events, which describe how a mixture was computed from the preceding one.
PLAIN = "step"
LEAP = "leap"


class Step(NamedTuple):
    """A mixture in the course of a fit, with its statistics, its objective and the passes made."""

    mixture: Mixture
    statistics: Statistics
    objective: float
    passes: int
    event: str = PLAIN


def evaluate(em: EM, mixture: Mixture, event: str = PLAIN) -> Step:
    """Return the step to `mixture`, which takes one pass."""
    statistics = em.expect(mixture)
    return Step(mixture, statistics, em.objective(mixture, statistics), em.passes, event)


def em_step(em: EM, step: Step) -> Step:
    """Return the plain EM step that follows another step."""
    return evaluate(em, em.maximise(step.mixture, step.statistics))


@runtime_checkable
class SchemeState(Protocol):
    """State of a scheme: its last step and its memory, as a value.

    Implementations are frozen dataclasses of arrays, numbers and such dataclasses, so that a
    checkpoint can store the state and an interrupted fit can resume from it exactly.
    """

    @property
    def step(self) -> Step:
        """The last step."""

    def next(self, em: EM, *, force_plain: bool) -> SchemeState:
        """Return the state after one more step, a plain EM step if `force_plain` is true."""


# A scheme makes its initial state from a step. It does not stop by itself.
Scheme = Callable[[Step], SchemeState]
