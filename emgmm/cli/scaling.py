"""Standardization of columns, and conversion of a fit to their original units."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.attributes import adopt
from emgmm.base import fitted_mixture
from emgmm.cli.rows import InputRows
from emgmm.cli.terminal import CommandError
from emgmm.covariances import FAMILIES
from emgmm.diagnostics import MixtureSummary
from emgmm.estimator import GaussianMixture
from emgmm.mixture import Mixture
from emgmm.noise import Box, Noise
from emgmm.selection.estimator import GaussianMixtureIC
from emgmm.typing import Array

# Factor of the log standard deviations in the conversion of each figure to the original units.
FACTORS = {"log_likelihood": -1.0, "bic": 2.0, "aic": 2.0, "icl": 2.0}

UNITS = (
    "The columns were standardized for the fit (--scale). Means, standard deviations, the "
    "log-likelihood and the criteria are given in the original units, condition numbers for the "
    "standardized columns."
)


@dataclass(frozen=True, eq=False)
class Standardization:
    """Subtraction of each column's mean and division by its standard deviation.

    Parameters
    ----------
    means, sds : ndarray of shape (D,)
        Weighted means and standard deviations of the columns, over the observed values.
    weight : float
        Total weight of the rows.
    logs : float
        Sum over columns of the log standard deviation times the weight of the observed values. It
        is the difference of the log-likelihoods of the standardized and the original rows.
    """

    means: Array
    sds: Array
    weight: float
    logs: float

    @classmethod
    def of(cls, rows: InputRows) -> Standardization:
        """Compute the standardization of the columns of rows."""
        weight, observed, sums, squares = 0.0, *np.zeros((3, len(rows.names)))
        for values, is_observed, counts in weighted(rows):
            weight += float(counts.sum())
            observed += counts @ is_observed
            sums += counts @ np.where(is_observed, values, 0.0)
        means = sums / observed
        with np.errstate(over="ignore"):
            for values, is_observed, counts in weighted(rows):
                squares += counts @ np.where(is_observed, values - means, 0.0) ** 2
            sds = np.sqrt(squares / observed)
        usable = np.isfinite(sds) & (sds > 0)
        if not usable.all():
            raise CommandError(
                f"--scale: the standard deviation of column {rows.names[np.argmin(usable)]!r} "
                "cannot be computed: express the column in other units"
            )
        return cls(means, sds, weight, float(observed @ np.log(sds)))

    def forward(self, rows: InputRows) -> InputRows:
        """Return the standardized rows."""
        return rows.mapped(lambda values: (values - self.means) / self.sds)

    def summary(self, summary: MixtureSummary) -> MixtureSummary:
        """Convert the summary of a fit to standardized rows to the original units."""
        figures = ("log_likelihood", "bic", "icl")
        notes = [UNITS]
        if not FAMILIES[summary.covariance_type].closed_under_scaling:
            notes.append(
                f"The family {summary.covariance_type} holds for the standardized columns: in the "
                "original units the covariances are of the type 'full', and the model is saved as "
                "such."
            )
        return replace(
            summary,
            means=self.means + self.sds * summary.means,
            standard_deviations=self.sds * summary.standard_deviations,
            notes=(*summary.notes, *notes),
            candidates={
                name: [
                    (K, family, self._back(name, value), more) for K, family, value, more in best
                ]
                for name, best in summary.candidates.items()
            },
            **{name: self._back(name, getattr(summary, name)) for name in figures},
        )

    def convert(self, grid: GaussianMixtureIC) -> None:
        """Convert the results of a grid for standardized rows to the original units, in place."""
        grid.best_estimator_ = self.model(grid.best_estimator_)
        for name in FACTORS:
            grid.results_[name] = self._back(name, grid.results_[name])

    def model(self, fitted: GaussianMixture) -> GaussianMixture:
        """Convert a model to the original units; labels and probabilities of rows do not change.

        Its `covariance_type` becomes 'full' if the family is not closed under scaling. `reg_covar`
        becomes 0, because in the original units the ridge would differ between columns.
        """
        old, objective = fitted_mixture(fitted), self.logs / self.weight
        family, factors = old.family, old.precisions_cholesky
        covariances = old.covariances
        if not family.closed_under_scaling:
            factors = family.dense(factors, old.n_components, old.n_features)
            family, covariances = FAMILIES["full"], old.dense_covariances()
        products, lengths = self.sds**2, self.sds
        if family.structure.has_covariances:
            products, lengths = np.outer(self.sds, self.sds), self.sds[:, None]
        new = Mixture(
            old.weights,
            self.means + self.sds * old.means,
            covariances * products,
            factors / lengths,
            family,
            None if old.noise is None else self._noise(old.noise),
        )
        model = copy(fitted).set_params(covariance_type=family.name, reg_covar=0.0)
        for name in ("_starts", "_stream"):  # which are in the units of the standardized columns
            vars(model).pop(name, None)
        adopt(
            model,
            new,
            lower_bound_=fitted.lower_bound_ - objective,
            lower_bounds_=[bound - objective for bound in fitted.lower_bounds_],
            history_=fitted.history_ | {"objective": fitted.history_["objective"] - objective},
        )
        return model

    def _back(self, name: str, value: Any) -> Any:
        """Convert a figure of the fit to standardized rows to the original units."""
        return value + FACTORS[name] * self.logs

    def _noise(self, noise: Noise) -> Noise:
        """Return noise with the same weight in the box of the original units."""
        box = noise.density
        assert isinstance(box, Box)
        assert box.edges is not None
        assert box.corner is not None
        corner = self.means + self.sds * box.corner
        return Noise(
            noise.weight, Box(box.sides * self.sds, box.edges * self.sds, corner, box.given)
        )


def weighted(rows: InputRows) -> Iterator[tuple[Array, NDArray[np.bool_], Array]]:
    """Yield the pieces of rows, which values are observed, and the weights, by default 1."""
    for values, counts in rows.pieces():
        weights = np.ones(len(values)) if counts is None else counts
        yield values, np.logical_not(np.isnan(values)), weights
