"""Steps of a fit, and the protocol of the schemes that make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from emgmm.acceleration.natural import NaturalMixture, NaturalSteps
from emgmm.em import EM
from emgmm.estep.expanded import ExpandedSums
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics
from emgmm.threads import cached_property
from emgmm.tolerances import checked_afterwards
from emgmm.typing import Array

# Events, which describe how a mixture was computed from the preceding one.
PLAIN = "step"
LEAP = "leap"


@dataclass(frozen=True, eq=False)
class Step:
    """A mixture in the course of a fit, with its statistics, its objective and the passes made."""

    mixture: Mixture
    statistics: Statistics
    objective: float
    passes: int
    event: str = PLAIN

    @property
    def covariances(self) -> Array | None:
        """Covariances from which the next M-step starts, as a stack of elements."""
        return self.mixture.covariance_stack

    def products(self, steps: NaturalSteps) -> Array | None:
        """Return the sums of responsibilities times phi; see `NaturalSteps.products`."""
        return steps.products(self.statistics)

    def completed(self) -> Step:
        """Return the step with its mixture and its statistics."""
        return self


class NaturalStep(Step):
    """Step in natural parameters, of which the rest is computed when it is first needed.

    Parameters
    ----------
    steps : NaturalSteps
        M-steps of the fit.
    natural : NaturalMixture
        The mixture in natural parameters.
    sums : ExpandedSums
        Sums of a pass under it.
    passes : int
        Number of passes.
    event : str
        Event.
    """

    steps: NaturalSteps
    natural: NaturalMixture
    sums: ExpandedSums

    def __init__(
        self,
        steps: NaturalSteps,
        natural: NaturalMixture,
        sums: ExpandedSums,
        passes: int,
        event: str,
    ) -> None:
        objective = steps.log_likelihood(natural.e_step, sums) / sums.weight
        parts = {"steps": steps, "natural": natural, "sums": sums}
        self.__dict__.update(parts, objective=objective, passes=passes, event=event)

    @cached_property
    def mixture(self) -> Mixture:
        return self.steps.mixture(self.natural)

    @cached_property
    def statistics(self) -> Statistics:
        return self.natural.e_step.complete(self.sums)

    @property
    def covariances(self) -> Array | None:
        return self.natural.covariances

    def products(self, steps: NaturalSteps) -> Array:  # noqa: ARG002
        return self.sums.products

    def completed(self) -> Step:
        return Step(self.mixture, self.statistics, self.objective, self.passes, self.event)


def evaluate(em: EM, mixture: Mixture, event: str = PLAIN) -> Step:
    """Return the step to `mixture`, which takes one pass."""
    statistics = em.expect(mixture)
    return Step(mixture, statistics, em.objective(mixture, statistics), em.passes, event)


def natural_step(
    em: EM, steps: NaturalSteps, products: Array, before: Array | None, event: str = PLAIN
) -> NaturalStep | None:
    """Return the step from sums of responsibilities times phi; see `NaturalSteps.after`.

    The caller has to be `checked_afterwards`.
    """
    natural = steps.after(products, before)
    if natural is None:
        return None
    sums = em.sum(natural.e_step.sums, natural.e_step.block_rows)
    return NaturalStep(steps, natural, sums, em.passes, event)


@checked_afterwards
def em_step(em: EM, step: Step) -> Step:
    """Return the plain EM step that follows another step."""
    return step_after(em, step)


def step_after(em: EM, step: Step) -> Step:
    """Return the same for a caller that is `checked_afterwards` itself."""
    following = None
    if (steps := natural_steps(em, step)) is not None:
        products = step.products(steps)
        if products is not None:
            following = natural_step(em, steps, products, step.covariances)
    return following or evaluate(em, em.maximise(step.mixture, step.statistics))


def natural_steps(em: EM, step: Step) -> NaturalSteps | None:
    """Return the natural steps of a fit, which are made once, or None if it needs the ordinary."""
    if isinstance(step, NaturalStep):
        return step.steps
    if NaturalSteps not in em.cache:
        em.cache[NaturalSteps] = NaturalSteps.of(em, step.mixture)
    found: NaturalSteps | None = em.cache[NaturalSteps]
    return found


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
