"""The warnings of a fit, in words that say what to do."""

from __future__ import annotations

import numpy as np

from emgmm.diagnosis.conditions import coincident, collapsed, starved
from emgmm.families import Family
from emgmm.loop import Ending, Run, rests
from emgmm.mixture import Mixture
from emgmm.notices import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    EMWarning,
    StarvedComponentWarning,
    UnobservedPairWarning,
    listed,
)
from emgmm.summary import DataSummary
from emgmm.typing import Array

WHY = (
    "EM shares every row out between them in the same proportions, step after step, and cannot "
    "part them"
)


def warnings_of(
    run: Run,
    n_rows: int,
    ridge: float,
    *,
    break_symmetry: bool,
    least_mass: float | None = None,
) -> list[EMWarning]:
    """What must be said of a fit that has ended; nothing of a sound one, or of a mere start.

    Parameters
    ----------
    n_rows : int
        How many rows count.
    least_mass : float, optional
        Rows that a component needs for its covariance; the family knows by default.
    """
    mixture, statistics = run.step.mixture, run.step.statistics
    found: list[EMWarning] = []
    if run.ending is Ending.START_ONLY:  # the user asked for the start, not for a fit
        return found
    at_rest = run.converged or rests(run.objectives)
    groups = run.met if break_symmetry else (coincident(mixture) if at_rest else [])
    if groups:
        found.append(_coincident(run, tuple(groups), break_symmetry=break_symmetry))
    hungry = tuple(starved(mixture, statistics, n_rows))
    if hungry:
        masses = ", ".join(f"{statistics.mass[k]:.2g}" for k in hungry)
        found.append(
            StarvedComponentWarning(
                f"{listed(hungry).capitalize()} {'hold' if len(hungry) > 1 else 'holds'} less than "
                f"one row (mass {masses}): the parameters rest on next to nothing. Use fewer "
                "components or another start.",
                hungry,
            )
        )
    total = statistics.total_covariance(mixture.family)
    small = collapsed(mixture, statistics, total, ridge, n_rows, least_mass=least_mass)
    small = [k for k in small if k not in hungry]
    if small:
        found.append(_collapsed(mixture, statistics.mass, tuple(small), ridge))
    return found


def unobserved_pairs(summary: DataSummary, family: Family) -> list[UnobservedPairWarning]:
    """What must be said of features whose covariance no row tells, where the family has one."""
    D = len(summary.mean)
    if summary.together is None or family.shape.n_monomials(D) <= D:
        return []
    pairs = np.argwhere(np.triu(summary.together <= 0, k=1))
    if not len(pairs):
        return []
    named = tuple((int(i), int(j)) for i, j in pairs)
    few = ", ".join(f"({i}, {j})" for i, j in named[:5]) + (", ..." if len(named) > 5 else "")
    return [
        UnobservedPairWarning(
            f"Features {few}, counted from 0, were never observed in the same row: no row tells "
            "their covariance within a component, and it stays what the start made it. Use a "
            "covariance_type without covariances, such as 'diag', or leave one of them out.",
            named,
        )
    ]


def _coincident(
    run: Run, groups: tuple[tuple[int, ...], ...], *, break_symmetry: bool
) -> CoincidentComponentsWarning:
    names = "; ".join(map(listed, dict.fromkeys(groups)))
    if "escape" in run.events:
        before = run.objectives[run.events.index("escape") - 1]
        text = (
            f"EM came to rest with coincident {names}: {WHY}. They were split and EM went on, from "
            f"a mean log-likelihood of {before:.6g} to {run.objectives[-1]:.6g}. Start from "
            "components that differ to go there directly."
        )
        if run.ending is Ending.COINCIDENT:
            text += " Some still coincide: fewer components describe these data as well."
    elif break_symmetry:
        text = (
            f"EM came to rest with coincident {names}: {WHY}. No split of them with the iterations "
            "that were left raised the likelihood: use fewer components, or another start."
        )
    else:
        text = (
            f"EM came to rest with coincident {names}: {WHY}. This is no maximum that means "
            "anything: set break_symmetry=True, or start from components that differ."
        )
    return CoincidentComponentsWarning(text, groups)


def _collapsed(
    mixture: Mixture, mass: Array, components: tuple[int, ...], ridge: float
) -> CollapsedComponentWarning:
    family = mixture.family
    unit = family.shape.add_ridge(np.zeros_like(mixture.covariance_stack[:1]), 1.0)
    least = np.broadcast_to(
        family.shape.least_variance(mixture.covariance_stack, unit[0]), mixture.n_components
    )
    each = "; ".join(
        f"component {k} with mass {mass[k]:.4g} and smallest standard deviation "
        f"{np.sqrt(max(float(least[k]), 0.0)):.2g}"
        for k in components
    )
    return CollapsedComponentWarning(
        f"The fit holds collapsed components: {each}. Each shrank onto rows that are equal or too "
        "few in some direction, where the likelihood grows without meaning (only "
        f"reg_covar={ridge:g} holds it back). Use fewer components, remove duplicates, raise "
        "reg_covar, or choose a covariance_type with fewer parameters.",
        components,
    )
