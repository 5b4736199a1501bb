"""What schemes hand out, and what they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

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


def evaluate(em: EM, mixture: Mixture, event: str = PLAIN) -> Step:
    """A step to `mixture`: one pass."""
    statistics = em.expect(mixture)
    return Step(mixture, statistics, em.objective(mixture, statistics), em.passes, event)


def em_step(em: EM, step: Step) -> Step:
    """The plain step of EM after another."""
    return evaluate(em, em.maximise(step.mixture, step.statistics))


@runtime_checkable
class SchemeState(Protocol):
    """Where a scheme stands: its last step and all that it remembers, as a value.

    It is a frozen dataclass of arrays, numbers and other such values, so that a fit which was
    interrupted can be kept in a file, and goes on from there as if nothing had happened.
    """

    @property
    def step(self) -> Step:
        """The last step."""

    def next(self, em: EM, *, force_plain: bool) -> SchemeState:
        """One step on; `force_plain` asks for one of plain EM."""


# A scheme begins at a step, and goes on without end.
Scheme = Callable[[Step], SchemeState]


def steps(em: EM, scheme: Scheme, mixture: Mixture) -> Iterator[Step]:
    """All steps of a scheme that is asked for nothing."""
    position = scheme(evaluate(em, mixture))
    while True:
        yield position.step
        position = position.next(em, force_plain=False)
