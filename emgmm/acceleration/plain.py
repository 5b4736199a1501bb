"""Plain EM, without acceleration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from emgmm.acceleration.step import Step, em_step, step_after
from emgmm.em import EM
from emgmm.tolerances import checked_afterwards

# Function of the objective and of the number of passes after a step: whether it is the last one.
Ends = Callable[[float, int], bool]


def never(objective: float, passes: int) -> bool:  # noqa: ARG001
    """Return False: no step is the last one."""
    return False


@checked_afterwards
def plain_steps(em: EM, step: Step, number: int, ends: Ends = never) -> Step:
    """Return the step after further plain steps of EM, each of which takes one pass.

    Parameters
    ----------
    em : EM
        EM's map.
    step : Step
        Last step.
    number : int
        Largest number of further steps.
    ends : callable, optional
        Function of the objective and of the number of passes, called after each step, which returns
        whether it is the last one.
    """
    for _ in range(number):
        step = step_after(em, step)
        if ends(step.objective, step.passes):
            break
    return step


@dataclass(frozen=True, eq=False)
class Plain:
    """State of plain EM, which consists of the last step only."""

    step: Step

    def next(self, em: EM, *, force_plain: bool) -> Self:  # noqa: ARG002
        return replace(self, step=em_step(em, self.step))

    def ahead(self, em: EM, number: int, ends: Ends = never) -> Self:
        """Return the state after several steps; see `plain_steps`."""
        return replace(self, step=plain_steps(em, self.step, number, ends))
