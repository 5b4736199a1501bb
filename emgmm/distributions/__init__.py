"""Distributions: marginals and conditionals, probabilities and quantiles, distances, modes."""

from emgmm.distributions.distribution import MixtureDistribution
from emgmm.distributions.divergences import (
    MonteCarloResult,
    kl_divergence,
    l2_distance,
    wasserstein_distance,
)
from emgmm.distributions.levels import Levels
from emgmm.distributions.response import Response
from emgmm.distributions.restriction import conditional, marginal

__all__ = [
    "Levels",
    "MixtureDistribution",
    "MonteCarloResult",
    "Response",
    "conditional",
    "kl_divergence",
    "l2_distance",
    "marginal",
    "wasserstein_distance",
]
