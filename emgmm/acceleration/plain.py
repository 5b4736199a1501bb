"""Plain EM, without acceleration."""

from __future__ import annotations

from dataclasses import dataclass

from emgmm.acceleration.step import Step, em_step
from emgmm.em import EM


def plain_steps(em: EM, step: Step, number: int) -> Step:
    """Return the step after `number` further plain steps of EM, each of which takes one pass."""
    for _ in range(number):
        step = em_step(em, step)
    return step


@dataclass(frozen=True, eq=False)
class Plain:
    """State of plain EM, which consists of the last step only."""

    step: Step

    def next(self, em: EM, *, force_plain: bool) -> Plain:  # noqa: ARG002
        return Plain(em_step(em, self.step))
