"""Acceleration by a random sample of the rows, on which EM makes most of its steps.

If there are many rows, a sample determines EM's map up to a small error, at a fraction of the cost.
The error is corrected by the statistics T of all rows and t of the sample under a reference mixture
m: the statistics of all rows under another mixture m' are estimated by

    T(m) + a (t(m') - t(m)),

where a is the ratio of the weights. They are exact at the reference. Elsewhere, their error is of
the order of the distance from it, times n^(-1/2) for n rows in the sample. EM with these statistics
is run to its limit, which becomes the next reference. In this way, a few passes over all rows
suffice, however slow EM is.

EM with the corrected statistics is EM for the log-likelihood of the sample times a, plus the inner
product <T(m) - a t(m), eta>, which is linear in the natural parameters eta. Therefore none of its
steps decreases this objective.

References
----------
Chen, Zhu, Teh and Zhang (2018), Stochastic expectation maximization with variance reduction,
Advances in Neural Information Processing Systems 31.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from emgmm.acceleration.anderson import Accelerated, Chart, Warmup
from emgmm.acceleration.natural import NaturalSteps
from emgmm.acceleration.plain import Plain
from emgmm.acceleration.step import Step, evaluate
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource, Rows, Sum
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.tolerances import checked_afterwards
from emgmm.typing import Array

# Event of a mixture that was computed from a sample.
SAMPLE = "sample"

# Largest number of steps on a sample between two passes over all rows.
MOST_STEPS = 200

# Fraction of the gain since the reference below which a step on the sample gains too little. After
# as many such steps in succession as the second number, the limit is reached.
LITTLE, IN_SUCCESSION = 1e-6, 3


class SampleEM(EM):
    """EM's map for a sample, whose statistics are scaled to the weight of all rows.

    Passes over the sample are not counted.

    Parameters
    ----------
    em : EM
        EM's map for all rows.
    rows : Rows
        Sample of the rows.
    """

    def __init__(self, em: EM, rows: Rows) -> None:
        source = ArraySource(rows.values, rows.weights, complete=rows.complete)
        super().__init__(source, em.m_step, em.n_components)
        self.passes = em.passes
        # Natural steps would omit the statistics, which are scaled, and corrected in `CorrectedEM`.
        self.cache[NaturalSteps] = None
        self.scale = em.summary.weight / self.summary.weight

    def sum(self, function: Callable[[Block], Sum], block_rows: int) -> Sum:
        return self.source.sum(function, block_rows)

    def expect(self, mixture: Mixture) -> Statistics:
        return super().expect(mixture).times(self.scale)

    def expect_about(self, mixture: Mixture, centres: Array) -> Statistics:
        return super().expect_about(mixture, centres).times(self.scale)


class CorrectedEM(EM):
    """EM's map for a sample with corrected statistics.

    Parameters
    ----------
    sample : SampleEM
        EM's map for the sample.
    reference : Step
        Step over all rows, for whose mixture the statistics are exact.
    """

    def __init__(self, sample: SampleEM, reference: Step) -> None:
        self.__dict__.update(sample.__dict__)
        self.sample = sample
        self.exact = reference.statistics
        self.estimate = sample.expect(reference.mixture)

    def expect(self, mixture: Mixture) -> Statistics:
        return self._corrected(mixture, self.sample.expect(mixture))

    def expect_about(self, mixture: Mixture, centres: Array) -> Statistics:
        return self._corrected(mixture, self.sample.expect_about(mixture, centres))

    def maximise(self, mixture: Mixture, statistics: Statistics) -> Mixture:
        if statistics.counts.min() <= 0 or statistics.noise < 0:  # by the error of the correction
            raise DegenerateCovarianceError(())
        return super().maximise(mixture, statistics)

    @checked_afterwards
    def _corrected(self, mixture: Mixture, of_sample: Statistics) -> Statistics:
        exact = self.exact.about(of_sample.centres, self.family)
        estimate = self.estimate.about(of_sample.centres, self.family)
        chart = Chart(self, exact)
        error = chart.vector(exact) * exact.seen - chart.vector(estimate) * estimate.seen
        linear = float(error @ chart.natural_parameters(mixture))
        return replace(
            exact.plus(1.0, of_sample, estimate),
            log_likelihood=of_sample.log_likelihood + linear,
            conditional=of_sample.conditional,
        )


@dataclass(frozen=True, eq=False)
class Sampled(Plain):
    """State of EM whose steps are made on samples.

    Parameters
    ----------
    level : int
        Number of the next sample, from the smallest to the largest one.
    """

    level: int = 0

    def leap(self, em: EM, sample: SampleEM) -> Sampled:
        """Return the state after steps on a sample and one pass over all rows."""
        mixture = limit(CorrectedEM(sample, self.step), self.step.mixture)
        return replace(self, step=evaluate(em, mixture, SAMPLE))


@checked_afterwards
def limit(em: EM, mixture: Mixture) -> Mixture:
    """Return the mixture that EM with Anderson acceleration reaches, or the last definite one."""
    state: Warmup | Accelerated = Warmup(evaluate(em, mixture))
    first, in_succession = state.step.objective, 0
    with suppress(DegenerateCovarianceError):
        for _ in range(MOST_STEPS):
            before, state = state.step.objective, state.next(em, force_plain=False)
            now = state.step.objective
            in_succession = in_succession + 1 if now - before <= LITTLE * (now - first) else 0
            if in_succession == IN_SUCCESSION:
                break
    return state.step.mixture
