"""Distributions of the log-density of the rows of a mixture, by observed features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2

from emgmm.distributions.density import log_joint_of_complete
from emgmm.distributions.restriction import marginal
from emgmm.estep import EStepForBlock
from emgmm.estep.softmax import softmax
from emgmm.mixture import Mixture
from emgmm.sources.block import Block
from emgmm.sources.patterns import each_pattern
from emgmm.tolerances import negligible_underflow
from emgmm.typing import Array

# Numbers of draws of the model: of those shared by all patterns of missing features, and of those
# for a single quantile of complete rows.
N_DRAWS, N_DRAWS_FOR_QUANTILE = 10_000, 100_000

# Seed of the draws. Scores must not change between calls, nor follow from draws of the user's.
SEED = 0x6D69786D

# Smallest probability for which quantiles of the chi-squared distribution are computed.
TINY = 1e-300

# Number of patterns whose log-densities of draws are kept.
MAX_KEPT = 256


class LogDensities(ABC):
    """Distribution of the log-density of a mixture's own rows.

    Below `lowest`, the logarithm of the distribution function is continued by a line of slope 1,
    to which that of a normal distribution tends. Thus rows that are farther out than any draw
    differ in their probabilities.

    Parameters
    ----------
    lowest : float
        Log-density.
    log_lowest : float
        Logarithm of the probability of a lower one.
    """

    def __init__(self, lowest: float, log_lowest: float) -> None:
        self.lowest = lowest
        self.log_lowest = log_lowest

    @abstractmethod
    def _log_cdf(self, values: Array) -> Array:
        """Return `log_cdf` of values that are not below `lowest`."""

    @abstractmethod
    def _quantile(self, log_probabilities: Array) -> Array:
        """Return the inverse of `_log_cdf`."""

    def log_cdf(self, values: Array) -> Array:
        """Return the logarithms of the probabilities of a log-density of at most `values`."""
        inner = self._log_cdf(np.maximum(values, self.lowest))
        return inner + np.minimum(values - self.lowest, 0.0)

    def quantile(self, log_probabilities: Array) -> Array:
        """Return the inverse of `log_cdf`."""
        inner = self._quantile(np.maximum(log_probabilities, self.log_lowest))
        return inner + np.minimum(log_probabilities - self.log_lowest, 0.0)


class OfOneComponent(LogDensities):
    """Exact distribution for one component, whose squared distances are chi-squared."""

    def __init__(self, component: Mixture) -> None:
        self.n_features = component.n_features
        self.peak = float(component.log_peaks[0])
        super().__init__(self.peak - 0.5 * chi2.isf(TINY, self.n_features), np.log(TINY))

    def _log_cdf(self, values: Array) -> Array:
        log_cdf: Array = chi2.logsf(2 * (self.peak - values), self.n_features)
        return log_cdf

    def _quantile(self, log_probabilities: Array) -> Array:
        found: Array = self.peak - 0.5 * chi2.isf(np.exp(log_probabilities), self.n_features)
        return found


class OfDraws(LogDensities):
    """Distribution of draws, interpolated linearly between their log-densities."""

    def __init__(self, mixture: Mixture, draws: Array) -> None:
        log_joint = np.ascontiguousarray(log_joint_of_complete(mixture, draws).T)
        self.values = np.sort(softmax(log_joint))
        self.probabilities = (np.arange(len(draws)) + 0.5) / len(draws)
        super().__init__(float(self.values[0]), float(np.log(self.probabilities[0])))

    def _log_cdf(self, values: Array) -> Array:
        return np.log(np.interp(values, self.values, self.probabilities))

    def _quantile(self, log_probabilities: Array) -> Array:
        return np.interp(np.exp(log_probabilities), self.probabilities, self.values)


class Levels:
    """Probabilities of lower densities, for rows with missing values.

    Its methods `log_probabilities` and `comparable` are functions of an E-step and a block, as
    `prediction.row_by_row` requires.

    Parameters
    ----------
    mixture : Mixture
        Mixture without noise.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self._draws = self._sample(N_DRAWS)
        self._kept: dict[bytes, LogDensities] = {}

    def _sample(self, n_draws: int) -> Array | None:
        """Draw rows; none are needed for one component."""
        if self.mixture.n_components == 1:
            return None
        return self.mixture.sample(n_draws, np.random.RandomState(SEED))[0]

    @negligible_underflow
    def level(self, probability: float) -> float:
        """Return the log-density of a complete row above which the given probability is."""
        draws = self._sample(N_DRAWS_FOR_QUANTILE)
        found = _log_densities(self.mixture, draws)
        return float(found.quantile(np.log1p(-np.float64(probability))))

    def _of(self, observed: Sequence[int]) -> LogDensities:
        key = np.asarray(observed).tobytes()
        if key not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            draws = None if self._draws is None else self._draws[:, observed]
            self._kept[key] = _log_densities(marginal(self.mixture, observed), draws)
        return self._kept[key]

    def log_probabilities(self, e_step: EStepForBlock, block: Block) -> Array:
        """Return the log-probability of a density that is at most that of each row, (B,)."""
        values = e_step.log_densities(block).astype(np.float64)
        out = np.full(len(values), np.log(0.5))
        for place, observed in each_pattern(block):
            if len(observed):
                out[place] = self._of(observed.tolist()).log_cdf(values[place])
        return out

    def comparable(self, e_step: EStepForBlock, block: Block) -> Array:
        """Return log-densities of complete rows with the same probabilities, (B,)."""
        values = e_step.log_densities(block).astype(np.float64)
        if block.complete:
            return values
        complete = self._of(range(self.mixture.n_features))
        same = complete.quantile(self.log_probabilities(e_step, block))
        return np.where(np.isnan(block.rows).any(axis=0), same, values)


def _log_densities(mixture: Mixture, draws: Array | None) -> LogDensities:
    return OfOneComponent(mixture) if draws is None else OfDraws(mixture, draws)
