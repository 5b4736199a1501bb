"""EM as it is."""

from __future__ import annotations

from dataclasses import dataclass

from emgmm.acceleration.step import Step, em_step
from emgmm.em import EM


def plain_steps(em: EM, step: Step, number: int) -> Step:
    """The step that so many plain steps of EM lead to from another: as many passes."""
    for _ in range(number):
        step = em_step(em, step)
    return step


@dataclass(frozen=True, eq=False)
class Plain:
    """EM: M-step, E-step, and so on. It remembers nothing but its last step."""

    step: Step

    def next(self, em: EM, *, force_plain: bool) -> Plain:  # noqa: ARG002
        return Plain(em_step(em, self.step))
