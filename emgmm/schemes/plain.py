"""EM as it is."""

from __future__ import annotations

from dataclasses import dataclass

from emgmm.em import EM
from emgmm.schemes.step import Step, after


def plain_steps(em: EM, step: Step, number: int) -> Step:
    """The step that so many plain steps of EM lead to from another: as many passes."""
    for _ in range(number):
        step = after(em, step)
    return step


@dataclass(frozen=True, eq=False)
class Plain:
    """EM: M-step, E-step, and so on. It remembers nothing but its last step."""

    step: Step

    def next(self, em: EM, *, plainly: bool) -> Plain:  # noqa: ARG002
        return Plain(after(em, self.step))
