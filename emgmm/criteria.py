"""Information criteria: BIC, AIC and ICL from the statistics of one pass."""

from __future__ import annotations

import math

from emgmm.statistics import Statistics


def criteria(seen: Statistics, n_parameters: int, log_certainty: float) -> dict[str, float]:
    """Compute the figures by which models are compared; lower criteria are better.

    Parameters
    ----------
    seen : Statistics
        Statistics of the rows under the mixture.
    n_parameters : int
        Number of free parameters of the mixture.
    log_certainty : float
        Weighted sum of the log-probabilities of the rows' most probable components.
    """
    bic = -2 * seen.log_likelihood + n_parameters * math.log(seen.weight)
    return {
        "bic": bic,
        "aic": -2 * seen.log_likelihood + 2 * n_parameters,
        "icl": bic - 2 * log_certainty,
        "log_likelihood": seen.log_likelihood,
        "n_parameters": n_parameters,
    }
