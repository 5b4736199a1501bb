"""`partial_fit`: stepwise EM on one block of rows after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.utils import check_random_state

from emgmm import attributes, validation
from emgmm.covariances import Family, family_of
from emgmm.em import EM
from emgmm.exceptions import DegenerateCovarianceError, FailedBlockError
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.loop import Ending
from emgmm.fitting.multistart import START_ROWS, Given, first_mixture
from emgmm.fitting.overflow import out_of_reach
from emgmm.fitting.problem import given_of, problem_of
from emgmm.fitting.stepwise import OutOfReachError, Stream, gathered, step_size, stepwise_update
from emgmm.initialization import start_of
from emgmm.mixture import Mixture
from emgmm.prior import NormalInverseWishart
from emgmm.sources import ArraySource, Rows, Source
from emgmm.threads import one_blas_thread

# Times the fewest rows that covariances need: so long a stream that cannot begin waits for more.
AMPLE = 10


class PartialFitMixin:
    """Mixin of an estimator whose mixture can be updated with further rows."""

    n_components: int
    n_features_in_: int
    covariance_type: str | Family
    prior: str | NormalInverseWishart | None
    init_params: Any
    noise: Any
    random_state: Any
    learning_decay: float
    learning_offset: float
    forgetting: float | None
    _validate_params: Callable[[], None]
    _stream: Stream
    _waiting: Rows

    def partial_fit(
        self,
        X: Any,
        y: Any = None,  # noqa: ARG002
        sample_weight: Any = None,
    ) -> Self:
        """Follow a stream: one step of stepwise EM on a block of rows.

        The mixture's statistics per unit weight, s, go towards the block's own by
        s + gamma_t (s_block - s), and an M-step makes the next mixture of them. At call
        t = 1, 2, .. gamma_t is (t + learning_offset)^-learning_decay, or `forgetting` where that is
        given.

        The first call starts from its block as `fit` starts from X, by `init_params` and the
        parameters named ``*_init``, and makes one step of EM on it. While fewer than `n_components`
        distinct rows have come, they are kept for a start and the estimator is not fitted; the call
        that brings the last of them is the first. After `fit`, calls go on from the fitted
        statistics, t counting from 1; a model that holds parameters only (`from_parameters`,
        `from_sklearn`, parameters set by hand) takes the statistics of its first block. `fit`
        always starts anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A block of rows.
        y : Ignored
            For scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts in its block; 1 by default. Blocks themselves count by gamma_t,
            whatever their weight.

        Returns
        -------
        GaussianMixture
            The estimator itself. ``n_iter_`` is t. ``lower_bound_`` is a running mean, by the same
            gamma_t, of the log-density of each row under the mixture that its block met; it is not
            ``score(X)``. ``converged_`` is False, ``lower_bounds_`` and ``history_`` are empty,
            ``remaining_gain_`` is nan. A model in float32 stays in float32 while its blocks are;
            one in float64 stays in float64.

        Raises
        ------
        ValueError
            Where X or a parameter is invalid, a row lies so far out that its log-density
            overflows, or the step would leave a singular covariance. Nothing is changed then, and a
            stream can go on with the next block.

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
        with attributes.unchanged_by_errors(self), one_blas_thread():
            # scikit-learn's decorator of such methods would validate at the first call only.
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
                self._step(block, lambda _: mixture, mixture)
            else:
                self._start(block, family, given)
        return self

    def _start(self, block: Source, family: Family, given: Given) -> None:
        """Make the first step from the block and the waiting rows, if these are enough."""
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
            self._step(block, lambda em: first_mixture(em, start, given, random))
        except FailedBlockError:
            enough = AMPLE * self.n_components * max(1, family.min_count(block.n_features))
            if len(rows.values) >= enough:  # however the start distributes them
                raise
            self._waiting = rows  # with more of them, every covariance may be definite

    def _step(
        self, block: Source, first: Callable[[EM], Mixture], fitted: Mixture | None = None
    ) -> None:
        """Make one step of stepwise EM from the `first` mixture, which may be the fitted one."""
        stream: Stream | None = getattr(self, "_stream", None)
        if stream is not None and fitted is not None and not stream.led_to(fitted):
            stream = None
        if fitted is None:
            problem = problem_of(self, family_of(self.covariance_type), self.n_components)
        else:
            noise = None if fitted.noise is None else fitted.noise.density
            prior = None if stream is None else stream.prior
            problem = problem_of(self, fitted.family, fitted.n_components, noise=noise, prior=prior)
        em = em_of(block, problem)
        if fitted is not None:
            em.m_step = replace(em.m_step, dtype=np.result_type(em.m_step.dtype, fitted.means))
        if stream is None:
            validation.check_observed(em.summary, block.feature_names)
        call = stream.calls + 1 if stream else 1
        gamma = step_size(call, self.learning_decay, self.learning_offset, self.forgetting)
        try:
            mixture = first(em)
            stream, following = stepwise_update(stream, em, mixture, gamma)
        except OutOfReachError:
            raise out_of_reach(em.summary, mixture, block) from None
        except DegenerateCovarianceError as error:
            ridge = None if em.m_step.prior else em.m_step.ridge
            raise FailedBlockError(error, ridge) from None
        self.__dict__.pop("_starts", None)
        about_the_fit = {
            "converged_": False,
            "n_iter_": call,
            "lower_bound_": stream.statistics.objective,
            "ending_": Ending.STREAM,
            "_stream": stream,
        }
        attributes.adopt(self, following, **{**attributes.without_fit(), **about_the_fit})
