"""`GaussianMixtureRegressor`: regression by a Gaussian mixture of features and responses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from emgmm import attributes, validation
from emgmm.base import fitted_mixture
from emgmm.callbacks import Task
from emgmm.distributions import Response
from emgmm.estimator import GaussianMixture
from emgmm.exceptions import EMWarning, issue
from emgmm.parameters import count, validated
from emgmm.prediction import row_by_row
from emgmm.sources import Rows
from emgmm.sources.conversion import as_numbers, as_responses
from emgmm.threads import one_blas_thread
from emgmm.typing import Array, RandomState
from emgmm.wrapping import MixtureWrapper, gaussian_components

# Number of rows of a block, whose conditional means of each component then fit into a cache.
MAX_ROWS = 2**13


class GaussianMixtureRegressor(MultiOutputMixin, RegressorMixin, MixtureWrapper):
    """Regressor that predicts by the conditional distribution in a Gaussian mixture of X and y.

    The mixture is fitted to the rows (x, y). Given x, y is distributed as a mixture of linear
    regressions, one in each component, whose weights are the responsibilities of the components for
    x. With one component, the predictions are those of ordinary least squares. With several, the
    regression function is smooth and nonlinear, and the spread of y may depend on x.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, K.
    covariance_type : str or Family, default='full'
        Covariance family of X and y together, as in `GaussianMixture`. Within a component with
        diagonal covariances, y does not depend on x.
    tol : float, default=1e-6
        EM stops if an iteration changes the mean log-likelihood per row, in nats, by less.
    reg_covar : float, default=0.0
        Ridge added to the diagonal of every covariance in each M-step, in squared units of X and y.
        It biases slopes towards 0. If it is 0 and the covariance is singular, as with a response
        that is a linear function of the features, a ridge of 1e-7 times the smallest variance of a
        column is used, with a warning.
    max_iter : int, default=1000
        Maximum number of iterations of EM.
    n_init, init_params, weights_init, means_init, precisions_init, random_state, verbose, \
            verbose_interval, break_symmetry, acceleration, sampling, prior, \
            weight_concentration, checkpoint, checkpoint_every
        Parameters of `GaussianMixture`, for the table whose first columns are those of X and whose
        last ones are those of y.
    noise : {None, 'uniform'}, float or callable, default=None
        Noise component of the fit, as in `GaussianMixture`, which makes it robust to outliers.
        Predictions are for rows that are not noise.

    Attributes
    ----------
    model_ : GaussianMixture
        Fitted mixture of X and y; the responses are the last features.
    n_iter_ : int
        Number of iterations of EM.
    n_outputs_ : int
        Number of responses, Q.
    n_features_in_ : int
        Number of features of X, D.
    feature_names_in_ : ndarray of str
        Names of the features, if X has any.

    See Also
    --------
    GaussianMixture.conditional : Conditional distribution given any features.

    References
    ----------
    Ghahramani and Jordan (1994), Advances in Neural Information Processing Systems 6:120.
    Cohn, Ghahramani and Jordan (1996), J. Artif. Intell. Res. 4:129, doi 10.1613/jair.295.

    Examples
    --------
    >>> from emgmm import GaussianMixtureRegressor
    >>> from emgmm.datasets import old_faithful
    >>> duration, waiting = old_faithful().rows.T
    >>> model = GaussianMixtureRegressor(2, random_state=0).fit(duration[:, None], waiting)
    >>> mean, sd = model.predict([[2.0], [4.5]], return_std=True)
    >>> mean.round(1), sd.round(1)
    (array([54.2, 81.1]), array([5.6, 5.6]))
    >>> model.predict_quantile([[2.0]], [0.05, 0.95]).round(1)
    array([[45.1, 63.4]])
    """

    n_iter_: int
    n_outputs_: int
    _is_flat: bool

    @validated
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Estimate the mixture of the features and the responses.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, with NaN where a value is missing. The likelihood is that of the observed
            values, and nothing is imputed.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Responses. NaN marks a missing one; the rest of its row is still used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default. A weight of 2 is the row twice, and 0 is no row.

        Returns
        -------
        GaussianMixtureRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            If X, y or a parameter is invalid, or if the mixture cannot be fitted.

        Warns
        -----
        ConvergenceWarning
            If EM stopped at `max_iter`.
        EMWarning
            If the fit is questionable, or if the covariance is singular and `reg_covar` is 0.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        with attributes.unchanged_by_errors(self):
            source = validation.source(self, X, sample_weight, reset=True, least=2)
            rows = source.sample(source.n_rows, np.random.RandomState(0))
            responses = as_responses(y)
            check_consistent_length(rows.values, responses)
            table = np.column_stack((rows.values, responses))
            complete = not np.isnan(table).any()
            rows = Rows(table, rows.weights, complete)
            self._is_flat = responses.ndim == 1
            self.n_outputs_ = table.shape[1] - self.n_features_in_

            def fit(task: Task) -> list[EMWarning]:
                self.model_, found = self._fitted(rows, SINGULAR, task)
                self.n_iter_ = self.model_.n_iter_
                if hasattr(self, "feature_names_in_"):
                    names = [*self.feature_names_in_, *_names(y, self.n_outputs_)]
                    self.model_.feature_names_in_ = validation.feature_names(names, table.shape[1])
                return found

            n_starts, so_far = self._max_starts(rows), self._attributes_of
            found = self._observed(fit, X, y, sample_weight, n_starts, attributes=so_far)
        issue(found)
        return self

    # -- prediction ------------------------------------------------------------------------------
    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:
        """Predict the mean of y given the features, and its spread.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, with NaN where a value is missing. y is predicted from the observed values;
            without any, it is the mean of y in the mixture.
        return_std : bool, default=False
            Whether to return the standard deviations of y too.
        return_cov : bool, default=False
            Whether to return the covariances of the responses too.

        Returns
        -------
        y_mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Conditional means.
        y_std : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Conditional standard deviations of a new y, if `return_std`. They do not include the
            uncertainty of the estimated parameters.
        y_cov : ndarray of shape (n_samples, n_outputs, n_outputs)
            Conditional covariances of the responses of each row, if `return_cov`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit, if both `return_std`
            and `return_cov` are true, or if a row is so far from all components that their
            densities underflow even as logarithms.
        """
        if return_std and return_cov:
            raise ValueError("Set at most one of return_std and return_cov: both are one spread.")
        response, shape = self._response(), self._shape
        means = self._row_by_row(X, response, response.means, *shape)
        if return_cov:
            sizes = self.n_outputs_, self.n_outputs_
            return means, self._row_by_row(X, response, response.covariances, *sizes)
        if return_std:
            return means, self._row_by_row(X, response, response.sds, *shape)
        return means

    def predict_quantile(self, X: Any, quantiles: Any) -> Array:
        """Predict quantiles of y given the features.

        They are those of a mixture of normal distributions, up to rounding. Unlike the mean and a
        standard deviation, they show that the distribution of y is skewed or has two maxima.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features, with NaN where a value is missing.
        quantiles : float or array-like of shape (n_quantiles,)
            Probabilities, between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_quantiles)
            Quantiles; the second shape for an array of probabilities.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If there are several responses, if a probability is not between 0 and 1, or for X as
            in `predict`.
        """
        response = self._response()
        if self.n_outputs_ > 1:
            raise ValueError(
                f"Quantiles are for one response, but y has {self.n_outputs_}: fit a regressor to "
                "one of them, or take quantiles of draws of sample_y."
            )
        levels = as_numbers(quantiles, "quantiles")
        if levels.ndim > 1 or not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(
                f"quantiles must be one or several probabilities between 0 and 1, but got "
                f"{quantiles!r}."
            )
        function = partial(response.quantiles, probabilities=np.atleast_1d(levels))
        return self._row_by_row(X, response, function, *levels.shape)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: RandomState = None) -> Array:
        """Draw y given the features, independently for each row.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Features, with NaN where a value is missing.
        n_samples : int, default=1
            Number of draws for each row.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws; None uses the constructor's.

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
            Draws.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If `n_samples` is not an integer, or if X is read in parts whose positions are unknown.
        ValueError
            If `n_samples` is below 1, or for X as in `predict`.
        """
        response = self._response()
        n_draws = count(n_samples, "n_samples")
        source = validation.source(self, X, reset=False)
        if not source.knows_positions:
            raise TypeError(
                "Draws depend on the position of a row, which is not known for this X: pass its "
                "parts one by one as arrays."
            )
        random = check_random_state(self.random_state if random_state is None else random_state)
        uniform = random.uniform(size=(source.n_rows, n_draws))
        normal = random.standard_normal((source.n_rows, self.n_outputs_, n_draws))
        function = partial(response.draws, uniform=uniform, normal=normal)
        return self._row_by_row(X, response, function, *self._shape, n_draws)

    def conditional(self, x: Any) -> GaussianMixture:
        """Return the distribution of y given the features of one row.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            Features, with NaN where a value is missing.

        Returns
        -------
        GaussianMixture
            Fitted mixture of the responses, with the methods `distribution`, `modes` and others.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If x is not one row of features, or contains infinity.
        """
        joint = gaussian_components(self)
        row = as_numbers(x, "x")
        if row.ndim != 1:
            raise ValueError(f"x must be one row, of shape (n_features,), but got {row.shape}.")
        validation.check_width(self, len(row))
        observed = np.flatnonzero(np.logical_not(np.isnan(row)))
        if not len(observed):
            return joint.marginal(range(len(row), len(row) + self.n_outputs_))
        given = joint.conditional(row[observed], features=observed)
        n_missing = len(row) - len(observed)
        return given.marginal(range(n_missing, n_missing + self.n_outputs_)) if n_missing else given

    def _response(self) -> Response:
        check_is_fitted(self)
        return Response(fitted_mixture(gaussian_components(self)), self.n_features_in_)

    @property
    def _shape(self) -> tuple[int, ...]:
        """Shape of the responses of one row."""
        return () if self._is_flat else (self.n_outputs_,)

    def _row_by_row(
        self, X: Any, response: Response, function: Callable[..., Array], *shape: int
    ) -> Any:
        """Return a method of the response for each row, in shape (n, *shape)."""
        source = validation.source(self, X, reset=False)
        with one_blas_thread():
            shaped = partial(_shaped, function, shape)
            return row_by_row(response.given, source, shaped, *shape, max_rows=MAX_ROWS)


SINGULAR = (
    "The covariance of X and y is singular, because y or a feature is a linear function of others "
    "(in some component): a ridge of 1e-7 times the smallest variance of a column was added. "
    "Leave such a feature out, or set reg_covar."
)


def _shaped(function: Callable[..., Array], shape: tuple[int, ...], *arguments: Any) -> Array:
    found = function(*arguments)
    return found.reshape(len(found), *shape)


def _names(y: Any, n_outputs: int) -> list[str]:
    """Return names of the responses: those that y has, if all of them are strings."""
    given = list(getattr(y, "columns", [getattr(y, "name", None)]))
    if len(given) == n_outputs and all(isinstance(name, str) for name in given):
        return given
    return ["y"] if n_outputs == 1 else [f"y{q}" for q in range(n_outputs)]
