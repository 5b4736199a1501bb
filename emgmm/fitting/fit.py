"""`fit_mixture`: the fit as a function of rows, a problem and options, and its result."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from emgmm import validation
from emgmm.constraints import order_of
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError, EMWarning
from emgmm.fitting.attributes import attributes_of_run
from emgmm.fitting.first_pass import em_of, singular_features
from emgmm.fitting.loop import Run
from emgmm.fitting.messages import warnings_of_fit
from emgmm.fitting.multistart import Multistart, first_mixture
from emgmm.fitting.problem import Options, Problem
from emgmm.fitting.progress import Reporter
from emgmm.fitting.recorder import (
    SAMPLES_FAILED,
    FinishedStarts,
    Outcome,
    Recorder,
)
from emgmm.fitting.sampling import Samples, best_by_samples, profits_from_samples
from emgmm.mixture import Mixture
from emgmm.prediction import check_known, label_counts, summed
from emgmm.sources import Source
from emgmm.sources.weights import check_ordinary
from emgmm.statistics import Statistics


@dataclass(frozen=True, eq=False)
class FitResult:
    """Result of a fit.

    Parameters
    ----------
    em : EM
        EM's map for the rows and the problem.
    run : Run
        Best run.
    outcomes : tuple of Outcome
        Outcome of each start.
    warnings : tuple of UserWarning
        Warnings for the user.
    """

    em: EM
    run: Run
    outcomes: tuple[Outcome, ...]
    warnings: tuple[UserWarning, ...]

    @property
    def mixture(self) -> Mixture:
        """Fitted mixture."""
        return self.run.step.mixture

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        return self.em.m_step.constraints.n_parameters(self.mixture)

    @property
    def statistics(self) -> Statistics:
        """Statistics of the rows under the fitted mixture."""
        return self.run.step.statistics

    @property
    def unsound(self) -> tuple[EMWarning, ...]:
        """Warnings of collapsed and of starved components."""
        of_em = (warning for warning in self.warnings if isinstance(warning, EMWarning))
        return tuple(warning for warning in of_em if warning.finding)

    def attributes(self) -> dict[str, Any]:
        """Return the fitted attributes of an estimator, except those of the mixture."""
        masks = self.em.m_step.constraints.masks
        return {**attributes_of_run(self.run, self.outcomes, self.em.m_step.prior), "_masks": masks}


def fit_mixture(
    source: Source,
    problem: Problem,
    options: Options,
    random_state: np.random.RandomState,
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
        Rows and their weights.
    problem : Problem
        Model to estimate.
    options : Options
        Options of the fit.
    random_state : RandomState
        Random numbers of the starts.
    initial : Mixture, optional
        Initial mixture, which replaces the starts.
    before : float, default=-inf
        Objective before the initial mixture, to which the stopping rule compares the first one.
    reporter : Reporter, optional
        Receiver of the progress, which may stop it.
    recorder : Recorder, optional
        Recorder of the runs.

    Returns
    -------
    FitResult
        Result of the fit.

    Raises
    ------
    ValueError
        If there are too few rows, a feature was never observed or its squares overflow, or the
        density of a row underflows under all components, or under that of its label.
    DegenerateCovarianceError
        If every start leads to a singular covariance.
    """
    recorder = recorder or Recorder()
    if source.has_labels and problem.order is not None:
        raise ValueError(
            f"order={problem.order!r} would renumber the components, to whose numbers labels "
            "refer: set order=None, and number the components in labels as they should be."
        )
    em = em_of(source, problem, recorder.sums_of_bits)
    seen = em.summary
    validation.check_enough_rows(source.n_rows, seen.n_rows, seen.seen, problem.n_components)
    check_ordinary(seen.weight)
    validation.check_observed(seen, source.feature_names)
    may_be_singular = not (problem.prior or problem.constraints.all_covariances)
    singular = singular_features(em) if may_be_singular else ()
    if singular:
        raise DegenerateCovarianceError(features=singular)
    if em.source.has_labels:
        # This pass comes before the recorder sets the number of passes.
        problem.constraints.check_labelled(em.labelled_components)
    starts, random = recorder.restore(em, random_state)
    multistart = Multistart(em, options.scheme, options.rules, random, recorder)
    reporter = reporter or Reporter()
    if starts.sample_seed is None and initial is None and profits_from_samples(em, options):
        starts = replace(starts, sample_seed=random.randint(2**31 - 1))
        em.passes += 1  # which draws the samples
    if starts.sample_seed not in (None, SAMPLES_FAILED):
        samples = Samples(em, starts.sample_seed)
        try:
            starts = best_by_samples(multistart, samples, starts, options, reporter)
        except DegenerateCovarianceError:
            starts = FinishedStarts(sample_seed=SAMPLES_FAILED)
    if starts.sample_seed in (None, SAMPLES_FAILED):
        use_labels = em.source.has_labels and not options.start_is_given
        start = partial(first_mixture, em, options.start, options.given, use_labels=use_labels)
        mixtures: list[Callable[[np.random.RandomState], Mixture]] = [start] * options.n_init
        if initial is not None:
            mixtures = [lambda _: problem.constraints.applied_to(initial)]
        starts = multistart.best(starts, mixtures, before, reporter)
    best = starts.best
    assert best is not None
    if best.step.objective == -math.inf:
        # One of these raises an error that names the row.
        summed(best.step.mixture, source, label_counts)
        summed(best.step.mixture, source, check_known)
    if problem.order is not None:
        best = best.permuted(order_of(best.step.mixture, problem.order))
    found = warnings_of_fit(em, best, break_symmetry=options.rules.stop_if_coincident)
    return FitResult(em, best, starts.outcomes, found)
