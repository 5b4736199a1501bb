"""Checks of an acceleration scheme."""

from __future__ import annotations

import numpy as np

from emgmm.acceleration import Plain, Scheme, SchemeState, Step, em_step, evaluate
from emgmm.base import fitted_mixture
from emgmm.covariances import FAMILIES
from emgmm.em import EM
from emgmm.mstep import MStep
from emgmm.sources import ArraySource
from emgmm.testing.data import K, clusters, fitted, mixture_difference, require

# Most steps until plain EM and the scheme must have come to rest.
MOST_STEPS = 1000

# Largest gain of a step from an optimum, per row.
AT_REST = 1e-13

# Largest relative difference that is attributed to rounding.
ROUNDING = 1e-11


def check_scheme(scheme: Scheme) -> None:
    """Check that an acceleration scheme satisfies the laws on which fits depend.

    Its first step is the one that it is given. Its steps never decrease the objective, are
    consistent (the statistics and the objective are those of the mixture, and the passes are all
    those that were made), and end where plain EM rests. A step that is forced to be plain is a step
    of EM. States are values: the next state is determined by a state, and does not change it.

    Parameters
    ----------
    scheme : Scheme
        Function that returns the initial state for a step.

    Raises
    ------
    AssertionError
        If a law is violated.

    Examples
    --------
    >>> from emgmm.acceleration import SCHEMES
    >>> from emgmm.testing import check_scheme
    >>> check_scheme(SCHEMES["anderson"])
    """
    for family in ("full", "tied", "diag", "VEE"):
        X, labels = clusters(300, 2, spread=2.0)
        start = fitted(X, covariance_type=family, init_params=labels, max_iter=0, reg_covar=0)
        em = EM(ArraySource(X), MStep(FAMILIES[family], 0.0, X.dtype), K)
        first = evaluate(em, fitted_mixture(start))
        require(
            scheme(first).step is first, f"{scheme!r} does not begin with the step it is given."
        )
        ends = [_end(em, one, first) for one in (Plain, scheme)]
        require(
            ends[1].objective >= ends[0].objective - 1e-9
            and mixture_difference(ends[1].mixture, ends[0].mixture) < 1e-3,
            f"{scheme!r} does not end where plain EM rests.",
        )


def _end(em: EM, scheme: Scheme, first: Step) -> Step:
    """Return the step at which a scheme comes to rest, after each step was checked."""
    em.passes = first.passes
    state = scheme(first)
    for number in range(MOST_STEPS):
        following = _next(em, scheme, state, force_plain=number % 3 == 0)
        gain = following.step.objective - state.step.objective
        require(
            gain >= -1e-12 * abs(state.step.objective),
            f"A step of {scheme!r} decreases the objective by {-gain:g}.",
        )
        state = following
        if number % 3 == 0 and gain < AT_REST:
            return state.step
    raise AssertionError(f"{scheme!r} does not come to rest within {MOST_STEPS} steps.")


def _next(em: EM, scheme: Scheme, state: SchemeState, *, force_plain: bool) -> SchemeState:
    """Return the next state of a scheme, after it was checked."""
    before, passes = state.step, em.passes
    following = state.next(em, force_plain=force_plain)
    step = following.step
    made = em.passes
    require(state.step is before, f"A step of {scheme!r} changes the state from which it is made.")
    require(
        step.passes == made > passes,
        f"A step of {scheme!r} reports {step.passes} passes over the rows, but {made} were made.",
    )
    again = state.next(em, force_plain=force_plain).step
    require(
        np.array_equal(again.mixture.means, step.mixture.means),
        f"Two steps of {scheme!r} from the same state differ.",
    )
    if force_plain:
        plain = em_step(em, before)
        require(
            np.array_equal(plain.mixture.means, step.mixture.means) and step.event == plain.event,
            f"A step of {scheme!r} that is forced to be plain is not a step of EM.",
        )
    statistics = em.expect(step.mixture)
    require(
        abs(step.objective - em.objective(step.mixture, statistics))
        <= ROUNDING * abs(step.objective)
        and np.allclose(step.statistics.counts, statistics.counts, 0, ROUNDING * statistics.weight),
        f"The objective or the statistics of a step of {scheme!r} are not those of its mixture.",
    )
    em.passes = made
    return following
