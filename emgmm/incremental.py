"""`PartialFitMixin`: the method `partial_fit`, which updates a mixture by stepwise EM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.utils import check_random_state

from emgmm import attributes, validation
from emgmm.constraints import Given, order_of
from emgmm.covariances import Family, family_of
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError, FailedBlockError
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.loop import Ending
from emgmm.fitting.messages import out_of_reach
from emgmm.fitting.multistart import START_ROWS, first_mixture
from emgmm.fitting.problem import given_of, problem_of
from emgmm.fitting.stepwise import OutOfReachError, Stream, gathered, stepwise_update
from emgmm.initialization import start_of
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource, Source
from emgmm.threads import one_blas_thread

# Multiple of the smallest number of rows for all covariances up to which a stream that cannot start
# waits for more rows.
PATIENCE = 10


class PartialFitMixin:
    """Mixin of an estimator whose mixture can be updated with further rows."""

    n_components: int
    covariance_type: str | Family
    init_params: Any
    noise: Any
    random_state: Any
    learning_decay: float
    learning_offset: float
    forgetting: float | None
    _check_overrides: Callable[[], None]
    _validate_params: Callable[[], None]

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: ARG002
        """Update the mixture by one step of stepwise EM on a block of rows.

        The statistics of the mixture per unit weight, s, become s + gamma_t (s_block - s), and an
        M-step computes the next mixture from them. In call t = 1, 2, .., gamma_t is
        (t + learning_offset)^-learning_decay, or `forgetting` if that is given.

        The first call initializes the mixture from its block as `fit` does, by `init_params` and
        the parameters named ``*_init``, and makes one EM step. Fewer than `n_components` distinct
        rows are stored and the estimator is not fitted yet; the call that completes them counts as
        the first one. After `fit`, calls continue from the fitted statistics, and t starts from 1.
        If only parameters are known (`from_parameters`, `from_sklearn`, attributes set by the
        user), the first block provides the statistics. `fit` always starts anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Block of rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row within the block; 1 by default. The weight of the block as a whole is
            gamma_t.

        Returns
        -------
        GaussianMixture
            The estimator itself. ``n_iter_`` is t. ``lower_bound_`` is a running mean, with the
            same gamma_t, of the log-density of each row under the mixture before the update by its
            block; it differs from ``score(X)``. ``converged_`` is False, ``lower_bounds_`` and
            ``history_`` are empty, and ``remaining_gain_`` is nan. A model in float32 stays in
            float32 as long as its blocks are in float32; one in float64 stays in float64.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, a row is so far away that its log-density overflows, or
            a covariance would become singular. Nothing is changed then, and the stream can continue
            with the next block.

        References
        ----------
        Cappe and Moulines (2009), J. R. Stat. Soc. B 71:593,
        doi 10.1111/j.1467-9868.2009.00698.x.

        Examples
        --------
        >>> import numpy as np
        >>> from emgmm import GaussianMixture
        >>> random = np.random.default_rng(0)
        >>> model = GaussianMixture(2, random_state=0)
        >>> for _ in range(100):
        ...     X = random.normal(size=(200, 1)) + random.choice([-3, 3], size=(200, 1))
        ...     model = model.partial_fit(X)
        >>> np.sort(model.means_.ravel()).round(1)
        array([-3.,  3.])
        >>> model.n_iter_, model.ending_.name
        (100, 'STREAM')
        """
        self._check_overrides()
        with attributes.unchanged_by_errors(self), one_blas_thread():
            # scikit-learn's decorator for such methods would validate in the first call only.
            if not get_config()["skip_parameter_validation"]:
                self._validate_params()
            fitted = attributes.are_fitted(self)
            started = fitted or hasattr(self, "_waiting")
            block = validation.source(self, X, sample_weight, reset=not started)
            D, family = block.n_features, family_of(self.covariance_type)
            if fitted:
                attributes.check_same_model(self, D, "partial_fit", "use fit, or a clone,")
            given = given_of(self, family, D)
            if fitted:
                mixture = attributes.mixture_of(self)
                self._step(
                    block, given, lambda em: em.m_step.constraints.applied_to(mixture), mixture
                )
            else:
                self._start(block, family, given)
        return self

    def _start(self, block: Source, family: Family, given: Given) -> None:
        """Make the first step from the block and the waiting rows if there are enough of them."""
        random = check_random_state(self.random_state)
        waiting = getattr(self, "_waiting", None)
        rows = gathered(waiting, block.sample(START_ROWS, random))
        if block.n_rows > START_ROWS and (waiting or len(rows.values) < self.n_components):
            rows = gathered(waiting, block.sample(block.n_rows, random))
        if len(rows.values) < self.n_components:
            self._waiting = rows
            return
        if waiting is not None:
            block = ArraySource(rows.values, rows.weights, complete=rows.complete)
        self.__dict__.pop("_waiting", None)
        start = start_of(self.init_params, noise=self.noise is not None)
        try:
            self._step(block, given, lambda em: first_mixture(em, start, given, random))
        except FailedBlockError:
            enough = PATIENCE * self.n_components * max(1, family.min_count(block.n_features))
            if len(rows.values) >= enough:
                raise
            self._waiting = rows  # with more rows, every covariance may be positive definite

    def _step(
        self,
        block: Source,
        given: Given,
        first: Callable[[EM], Mixture],
        fitted: Mixture | None = None,
    ) -> None:
        """Make one step of stepwise EM from a mixture, which may be the fitted one."""
        stream: Stream | None = getattr(self, "_stream", None)
        if stream is not None and fitted is not None and not stream.led_to(fitted):
            stream = None
        prior = None if stream is None else stream.prior
        problem = problem_of(self, given, fitted, prior)
        em = em_of(block, problem)
        if fitted is not None:
            em.m_step = replace(em.m_step, dtype=np.result_type(em.m_step.dtype, fitted.means))
        if stream is None:
            validation.check_observed(em.summary, block.feature_names)
        call = stream.calls + 1 if stream else 1
        if self.forgetting is None:
            gamma = (call + float(self.learning_offset)) ** -float(self.learning_decay)
        else:
            gamma = float(self.forgetting)
        try:
            mixture = first(em)
            stream, following = stepwise_update(stream, em, mixture, gamma)
        except OutOfReachError:
            raise out_of_reach(em.summary, mixture, block) from None
        except DegenerateCovarianceError as error:
            ridge = None if em.m_step.prior else em.m_step.ridge
            raise FailedBlockError(error, ridge) from None
        if problem.order is not None:
            order = order_of(following, problem.order)
            following = following.permuted(order)
            stream = stream.permuted(order, following)
        self.__dict__.pop("_starts", None)
        about_the_fit = {
            "converged_": False,
            "n_iter_": call,
            "lower_bound_": stream.statistics.objective,
            "ending_": Ending.STREAM,
            "_stream": stream,
            "_masks": problem.constraints.masks,
        }
        about_the_fit = {**attributes.without_fit(), **about_the_fit}
        attributes.adopt(self, following, block.device, **about_the_fit)
