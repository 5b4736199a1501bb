"""Detection of fits that stopped short, by a few further passes from the fitted mixture."""

from __future__ import annotations

from contextlib import suppress

from emgmm.acceleration import SCHEMES, evaluate
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError
from emgmm.mixture import Mixture

# Number of accelerated passes, which detect considerably more such fits than plain EM does.
PASSES = 20

# Largest number of products of a row with a parameter per pass with which all passes take only
# about 10 ms.
MAX_PRODUCTS = 2**17


def is_cheap(mixture: Mixture, n_rows: int) -> bool:
    """Whether the passes take a negligible time for a number of rows in memory."""
    n_densities, n_entries = mixture.size
    return n_rows * n_densities * n_entries <= MAX_PRODUCTS


def gain_ahead(em: EM, mixture: Mixture, enough: float) -> float:
    """Return the gain of the objective by a few accelerated passes, in nats summed over the rows.

    The passes end when the gain exceeds `enough` or a covariance becomes singular.
    """
    step = evaluate(em, mixture)
    state, gain, before = SCHEMES["anderson"](step), 0.0, em.passes
    with suppress(DegenerateCovarianceError):
        while em.passes < before + PASSES and gain <= enough:
            state = state.next(em, force_plain=False)
            gain = max(gain, em.summary.weight * (state.step.objective - step.objective))
    return gain
