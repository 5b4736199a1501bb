"""The fitted attributes that a run and the outcomes of all starts determine."""

from __future__ import annotations

from typing import Any

from emgmm.fitting.loop import Run, history
from emgmm.fitting.recorder import Outcome, tabulated
from emgmm.fitting.stepwise import Stream
from emgmm.prior import Prior


def attributes_of_run(
    run: Run, outcomes: tuple[Outcome, ...], prior: Prior | None = None
) -> dict[str, Any]:
    """Return the fitted attributes of the best run and of the outcomes of all starts."""
    objectives = run.objectives
    return {
        "converged_": run.converged,
        "n_iter_": run.n_iter,
        "lower_bound_": objectives[-1],
        "lower_bounds_": objectives[1:],
        "ending_": run.ending,
        "history_": history(run.entries),
        "remaining_gain_": run.remaining_gain,
        "_stream": Stream.after_fit(run.step.statistics, prior, run.step.mixture),
        "_starts": tabulated(outcomes),
    }
