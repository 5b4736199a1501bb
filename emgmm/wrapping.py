"""`MixtureWrapper`: the parameters and the fit of estimators that hold one `GaussianMixture`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from emgmm.acceleration import Scheme
from emgmm.base import check_own
from emgmm.callbacks import CallbackMixin, Task
from emgmm.covariances import Family
from emgmm.estimator import GaussianMixture, attributes_of_fit, fitted_in
from emgmm.exceptions import EMWarning, FailedFitError
from emgmm.fitting.loop import Run
from emgmm.fitting.sampling import max_starts
from emgmm.parameters import ValidationMixin
from emgmm.prior import NormalInverseWishart
from emgmm.ridge import RidgeMixin
from emgmm.sources import Rows
from emgmm.typing import (
    Acceleration,
    CovarianceType,
    InitParams,
    NoiseName,
    Numbers,
    PriorName,
    RandomState,
    Sampling,
)

# Defaults of `GaussianMixtureIC`.
TOL, MAX_ITER, REG_COVAR = 1e-6, 1000, 0.0

# Parameters of GaussianMixture that estimators of another kind have no use for: those of
# `partial_fit`, the continuation of a fit, and constraints.
LEFT_OUT = {
    *("learning_decay", "learning_offset", "forgetting", "warm_start"),
    *("fixed", "equal_weights", "order"),
}


class MixtureWrapper(RidgeMixin, CallbackMixin, ValidationMixin, BaseEstimator):
    """Estimator of another kind that holds one fitted `GaussianMixture`, the attribute `model_`.

    Noise is a part of the fit only: predictions are those of the Gaussian components, as if no row
    were noise.

    Parameters
    ----------
    n_components, covariance_type, tol, reg_covar, max_iter, n_init, init_params, weights_init, \
            means_init, precisions_init, random_state, verbose, verbose_interval, break_symmetry, \
            acceleration, sampling, prior, weight_concentration, noise, checkpoint, checkpoint_every
        Parameters of `GaussianMixture`.
    """

    model_: GaussianMixture
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        name: constraints
        for name, constraints in GaussianMixture._parameter_constraints.items()
        if name not in LEFT_OUT
    }
    _passed_on = tuple(_parameter_constraints)

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType | Family = "full",
        tol: float = TOL,
        reg_covar: float = REG_COVAR,
        max_iter: int = MAX_ITER,
        n_init: int = 1,
        init_params: InitParams | Callable[..., Any] | Numbers = "kmeans",
        weights_init: Numbers | None = None,
        means_init: Numbers | None = None,
        precisions_init: Numbers | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        break_symmetry: bool = True,
        acceleration: Acceleration | Scheme | None = None,
        sampling: Sampling | None = "auto",
        prior: PriorName | NormalInverseWishart | None = None,
        weight_concentration: float = 1.0,
        noise: NoiseName | float | Callable[..., Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 60,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.break_symmetry = break_symmetry
        self.acceleration = acceleration
        self.sampling = sampling
        self.prior = prior
        self.weight_concentration = weight_concentration
        self.noise = noise
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _model(self) -> GaussianMixture:
        """Return an estimator of the mixture, which is not fitted."""
        return GaussianMixture(**{name: getattr(self, name) for name in self._passed_on})

    def _fitted(
        self, rows: Rows, singular: str, task: Task
    ) -> tuple[GaussianMixture, list[EMWarning]]:
        """Return the fitted mixture, and a warning if its covariance requires a ridge.

        Parameters
        ----------
        rows : Rows
            Rows.
        singular : str
            Text of the warning.
        task : Task
            Task of the fit.
        """

        def fit(reg_covar: float) -> GaussianMixture:
            model = self._model().set_params(reg_covar=reg_covar)
            return fitted_in(task, model, rows.values, rows.weights)

        model, has_ridge = self._fitted_with_ridge(fit, rows, FailedFitError)
        return model, [EMWarning(singular)] if has_ridge else []

    def _max_starts(self, rows: Rows) -> int | None:
        sampling = self.sampling is not None
        n_starts = max_starts(len(rows.values), self.n_init, sampling=sampling)
        return n_starts if n_starts is None else n_starts * (1 + self._may_add_a_ridge)

    def _attributes_of(self, run: Run) -> dict[str, Any]:
        """Return the fitted attributes as if the fit of the mixture had ended with a run."""
        model = self._model()
        model.__dict__.update(attributes_of_fit(model, run))
        model.n_features_in_ = run.step.mixture.n_features
        return {"model_": model, "n_iter_": run.n_iter}


def gaussian_components(estimator: MixtureWrapper) -> GaussianMixture:
    """Return the fitted mixture of an estimator, or its Gaussian components if there is noise."""
    check_is_fitted(estimator)
    model: Any = estimator.model_
    check_own(model, type(estimator).__name__)
    if model.noise is None:
        return estimator.model_
    if not model.weights_.sum() > 0:
        raise ValueError(
            "All weight of the mixture is that of its noise, so that no component is left: fit a "
            "model with a smaller noise density, or with noise=None."
        )
    return GaussianMixture.from_parameters(
        model.weights_ / model.weights_.sum(),
        model.means_,
        covariances=model.covariances_,
        covariance_type=model.covariance_type,
        feature_names=getattr(model, "feature_names_in_", None),
    )
