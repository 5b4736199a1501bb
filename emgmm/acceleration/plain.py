"""Plain EM, without acceleration."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from emgmm.acceleration.natural import NaturalSteps
from emgmm.acceleration.step import Step, em_step
from emgmm.em import EM
from emgmm.estep import ExpandedEStep
from emgmm.estep.expanded import ExpandedSums
from emgmm.tolerances import checked_afterwards

# Function of the objective and of the number of passes after a step: whether it is the last one.
Ends = Callable[[float, int], bool]


def never(objective: float, passes: int) -> bool:  # noqa: ARG001
    """Return False: no step is the last one."""
    return False


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
    is_last = False
    while number > 0 and not is_last:
        step, made, is_last = steps_without_mixtures(em, step, number, ends)
        number -= made
        if number > 0 and not is_last:
            step, number = em_step(em, step), number - 1
            is_last = ends(step.objective, step.passes)
    return step


@checked_afterwards
def steps_without_mixtures(em: EM, step: Step, number: int, ends: Ends) -> tuple[Step, int, bool]:
    """Make plain steps until a mixture has to be examined; only that of the last one is computed.

    Returns
    -------
    step : Step
        Last step.
    made : int
        Number of steps.
    is_last : bool
        Whether `ends` was true after it.
    """
    e_step = em.e_step_for_pass.about_mean(step.mixture)
    natural = NaturalSteps.of(em.m_step, em.summary, e_step)
    if natural is None:
        return step, 0, False
    products, weight = natural.products(step.statistics), step.statistics.weight
    last_two: deque[tuple[ExpandedEStep, ExpandedSums]] = deque(maxlen=2)
    made, is_last = 0, False
    while products is not None and made < number and not is_last:
        e_step = natural.after(products, weight)
        if e_step is None:
            break
        sums = em.sum(e_step.sums, e_step.block_rows)
        last_two.append((e_step, sums))
        products, made = sums.products, made + 1
        is_last = ends(natural.log_likelihood(e_step, sums) / weight, em.passes)
    if made:
        completed = (e_step.complete(sums) for e_step, sums in last_two)
        before, statistics = [step.statistics, *completed][-2:]
        mixture = em.maximise(step.mixture, before)
        step = Step(mixture, statistics, em.objective(mixture, statistics), em.passes)
    return step, made, is_last


@dataclass(frozen=True, eq=False)
class Plain:
    """State of plain EM, which consists of the last step only."""

    step: Step

    def next(self, em: EM, *, force_plain: bool) -> Self:  # noqa: ARG002
        return replace(self, step=em_step(em, self.step))

    def ahead(self, em: EM, number: int, ends: Ends = never) -> Self:
        """Return the state after several steps; see `plain_steps`."""
        return replace(self, step=plain_steps(em, self.step, number, ends))
