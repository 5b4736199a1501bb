"""A fit as a function of values: rows, a problem and options in, the result out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from emgmm import prediction, validation
from emgmm.degeneracy import gain_left, has_coincident, is_settled
from emgmm.em import EM
from emgmm.exceptions import (
    CollapsedComponentWarning,
    DegenerateCovarianceError,
    EMWarning,
    StarvedComponentWarning,
)
from emgmm.fitting import discrete
from emgmm.fitting.first_pass import em_of, singular_features
from emgmm.fitting.loop import (
    Ending,
    Rules,
    Run,
    history,
    last_of_plain_em,
    no_groups,
    settled_at_once,
)
from emgmm.fitting.messages import (
    LEFT_PER_PARAMETER,
    diagonal_scale,
    large_ridge,
    stopped_short,
    unobserved_pairs,
    warnings_of,
)
from emgmm.fitting.multistart import best_run, first_mixture
from emgmm.fitting.problem import Options, Problem
from emgmm.fitting.progress import Reporter
from emgmm.fitting.recorder import Outcome, Recorder, tabulated
from emgmm.fitting.stepwise import Stream
from emgmm.mixture import Mixture
from emgmm.sources import Source, check_ordinary
from emgmm.statistics import Statistics

UNSOUND = (CollapsedComponentWarning, StarvedComponentWarning)


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit came to.

    Parameters
    ----------
    em : EM
        The map that was iterated.
    run : Run
        The run that was kept.
    outcomes : tuple of Outcome
        What each start came to.
    warnings : tuple of UserWarning
        What the user should be warned of.
    """

    em: EM
    run: Run
    outcomes: tuple[Outcome, ...]
    warnings: tuple[UserWarning, ...]

    @property
    def mixture(self) -> Mixture:
        return self.run.step.mixture

    @property
    def statistics(self) -> Statistics:
        return self.run.step.statistics

    @property
    def history(self) -> dict[str, NDArray[Any]]:
        return history(self.run.objectives, self.run.passes, self.run.events)

    @property
    def remaining_gain(self) -> float:
        """Aitken's estimate of the objective that is left to gain, per unit weight."""
        return remaining_gain(self.run)

    @property
    def unsound(self) -> tuple[EMWarning, ...]:
        """The warnings of collapsed and of starved components."""
        return tuple(warning for warning in self.warnings if isinstance(warning, UNSOUND))

    def attributes(self) -> dict[str, Any]:
        """The fitted attributes of an estimator, but for those of the mixture."""
        run, prior = self.run, self.em.m_step.prior
        return {
            "converged_": run.converged,
            "n_iter_": run.n_iter,
            "lower_bound_": run.objectives[-1],
            "lower_bounds_": run.objectives[1:],
            "ending_": run.ending,
            "history_": self.history,
            "remaining_gain_": self.remaining_gain,
            "_stream": Stream.after_fit(self.statistics, prior, self.mixture),
            "_starts": tabulated(self.outcomes),
        }


def fit_mixture(
    source: Source,
    problem: Problem,
    options: Options,
    random: np.random.RandomState,
    *,
    initial: Mixture | None = None,
    before: float = -np.inf,
    reporter: Reporter | None = None,
    recorder: Recorder | None = None,
) -> FitResult:
    """Fit a mixture to the rows of a source.

    Parameters
    ----------
    source : Source
        The rows and their weights.
    problem : Problem
        What is to be estimated.
    options : Options
        How.
    random : RandomState
        What starts draw from.
    initial : Mixture, optional
        The mixture to go on from, instead of a start.
    before : float
        The objective before that mixture, to which the stopping rule compares its own.
    reporter : Reporter, optional
        Prints the progress.
    recorder : Journal, optional
        Keeps how far the fit has come.

    Raises
    ------
    ValueError
        Where there are too few rows, a feature was never observed or its squares overflow, or a row
        is out of reach of all components.
    DegenerateCovarianceError
        Where every start meets a singular covariance.
    """
    recorder = recorder or Recorder()
    em = em_of(recorder.reading(source), problem)
    seen = em.summary
    validation.check_enough_rows(source.n_rows, seen.n_rows, seen.seen, problem.n_components)
    check_ordinary(seen.weight)
    validation.check_observed(seen, source.feature_names)
    singular = () if problem.prior else singular_features(em)
    if singular:
        raise DegenerateCovarianceError(features=singular)
    settled: Callable[[Sequence[float]], bool] = settled_at_once  # `tol` alone decides
    if math.isfinite(options.negligible):
        settled = partial(is_settled, weight=em.summary.weight, allowed=options.negligible)
    begin: Callable[[np.random.RandomState], Mixture]
    begin = partial(first_mixture, em, options.start, options.given)
    best, outcomes = best_run(
        em,
        options.scheme,
        [begin] * options.n_init if initial is None else [lambda _: initial],
        rules=Rules(
            options.tol,
            options.max_iter,
            has_coincident if options.break_symmetry else no_groups,
            settled,
        ),
        before=before,
        reporter=reporter or Reporter(0, 1),
        random=random,
        recorder=recorder,
    )
    if best.step.objective == -math.inf:
        prediction.counts(best.step.mixture, source)  # names the first row that is out of reach
    found = warnings_of_fit(em, best, break_symmetry=options.break_symmetry)
    return FitResult(em, best, outcomes, found)


def remaining_gain(run: Run) -> float:
    """Aitken's estimate of the objective that is left to gain when a run ended."""
    seen = history(run.objectives, run.passes, run.events)
    return gain_left(last_of_plain_em(seen), run.step.mixture.means.dtype)


def warnings_of_fit(em: EM, run: Run, *, break_symmetry: bool) -> tuple[UserWarning, ...]:
    """All warnings of a fit that ended with a run, at most one of each class."""
    if run.ending is Ending.START_ONLY:  # the user asked for the start, not for a fit
        return ()
    mixture, weight = run.step.mixture, run.step.statistics.weight
    found: list[UserWarning] = []
    if not run.converged:
        found.append(
            ConvergenceWarning(
                "Best performing initialization did not converge. Try different init parameters, "
                "or increase max_iter, tol, or check for degenerate data. "
                f"({run.ending.sentence})"
            )
        )
    unsound = warnings_of(
        run,
        em.summary.n_rows,
        em.m_step.ridge,
        break_symmetry=break_symmetry,
        least_mass=em.m_step.least_mass(mixture.n_features),
    )
    for warning in unsound:
        if isinstance(warning, CollapsedComponentWarning):
            warning.args = (f"{warning}{discrete.note(em.source)}",)
    found += unsound
    if not found:  # else these say more
        left = weight * remaining_gain(run)
        found += stopped_short(left, LEFT_PER_PARAMETER * mixture.n_parameters)
    found += large_ridge(em.summary, em.m_step.ridge)
    found += diagonal_scale(em.m_step.prior)
    return (*found, *unobserved_pairs(em.summary, mixture.family))
