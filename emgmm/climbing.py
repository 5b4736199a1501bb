"""What a user asked of a fit, as a problem and options, and the report on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from emgmm import validation
from emgmm.acceleration import SCHEMES
from emgmm.covariances import FAMILIES
from emgmm.diagnostics import Diagnosis, diagnose
from emgmm.fitting.fit import map_of
from emgmm.fitting.loop import history, last_of_plain_em
from emgmm.fitting.multistart import Given
from emgmm.fitting.problem import Options, Problem
from emgmm.initialization import STARTS, Start, denoised, from_callable
from emgmm.interchange import PortableEstimator
from emgmm.mixture import Mixture
from emgmm.prior import NormalInverseWishart
from emgmm.randomness import generator
from emgmm.threads import one_blas_thread


class ClimbingEstimator(PortableEstimator):
    """An estimator whose parameters describe a fit."""

    n_components: int
    tol: float
    max_iter: int
    n_init: int
    reg_covar: float
    acceleration: str | None
    break_symmetry: bool
    prior: str | NormalInverseWishart | None
    weight_concentration: float
    noise: str | float | Callable[..., Any] | None
    init_params: str | Callable[..., Any]
    weights_init: Any
    means_init: Any
    precisions_init: Any

    def _problem(
        self, here: Mixture | None = None, kept: NormalInverseWishart | None = None
    ) -> Problem:
        """The mixture that is to be estimated.

        `here` is the mixture to go on from, whose noise stays as it is, and `kept` the prior as an
        earlier part of the data made it, from which the values are taken that are not given.
        """
        prior = NormalInverseWishart() if isinstance(self.prior, str) else self.prior
        if prior is not None and kept is not None:
            given = {name: value for name, value in vars(prior).items() if value is not None}
            prior = replace(kept, **given)
        known = None if here is None or here.noise is None else here.noise.density
        return Problem(
            FAMILIES[self.covariance_type] if here is None else here.family,
            self.n_components if here is None else here.n_components,
            self.reg_covar,
            prior,
            self.weight_concentration,
            known or self.noise,
        )

    def _options(self, n_features: int) -> Options:
        """How the mixture is looked for; parameters that were given are checked now."""
        K, family = self.n_components, FAMILIES[self.covariance_type]
        validation.check_features(family, n_features)
        given: Any = [self.weights_init, self.means_init, self.precisions_init]
        if self.weights_init is not None:
            given[0] = validation.weights(self.weights_init, K, 0.0 if self.noise is None else None)
        if self.means_init is not None:
            given[1] = validation.means(self.means_init, K, n_features)
        if self.precisions_init is not None:
            given[2] = validation.cholesky_of_precisions(
                self.precisions_init, family, K, n_features
            )
        return Options(
            self.tol,
            self.max_iter,
            SCHEMES[self.acceleration],
            start_of(self.init_params, noise=self.noise is not None),
            Given(*given),
            self.n_init,
            self.break_symmetry,
        )

    def _check_same_model(self, n_features: int, who: str, otherwise: str) -> None:
        """`who` goes on from a fitted mixture of the kind that the parameters ask for."""
        mixture = self._mixture()
        for name, was, now in (
            ("n_components", mixture.n_components, self.n_components),
            ("the number of features", mixture.n_features, n_features),
            ("whether there is noise", mixture.noise is not None, self.noise is not None),
        ):
            if was != now:
                raise ValueError(
                    f"{who} goes on from the last fit, but {name} was {was!r} then and is {now!r} "
                    f"now; {otherwise} to start anew."
                )

    def diagnose(self, X: Any, *, certify: bool = False, sample_weight: Any = None) -> Diagnosis:
        """Report on the fitted mixture: what its own statistics say of it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows that were fitted.
        certify : bool, default=False
            Whether to spend up to 75 more passes over X on the point itself: the length of one more
            EM step, EM's rate by power iteration, and finite moves of components.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counted in `fit`.

        Returns
        -------
        Diagnosis
            Prints as text, shows as a table in a notebook, has ``to_dict`` and ``plot``. It spends
            three passes over X without the certificate.

        Raises
        ------
        NotFittedError
            Where there is no mixture yet.
        ValueError
            Where X has infinity in it, or not the features that were fitted, or `sample_weight` is
            not a weight, finite and not negative, for each row.

        References
        ----------
        Dempster, Laird and Rubin (1977), J. R. Stat. Soc. B 39:1,
        doi 10.1111/j.2517-6161.1977.tb01600.x (EM's rate).

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> from emgmm.datasets import old_faithful
        >>> X = old_faithful().rows
        >>> gm = GaussianMixture(2, tol=1e-9, random_state=0).fit(X)
        >>> gm.diagnose(X, certify=True).verdict.name
        'LOCAL_MAXIMUM'
        """
        mixture = self._mixture()
        source = validation.source(self, X, sample_weight, reset=False)
        objectives = last_of_plain_em(getattr(self, "history_", history([], [], [])))
        with one_blas_thread():
            em = map_of(source, self._problem(mixture))
            validation.check_some_observed(em.summary)
            random = check_random_state(self.random_state)
            return diagnose(em, mixture, objectives, random, certified=certify)

    def _generator(self) -> AbstractContextManager[np.random.RandomState]:
        # A user's function may keep what it was handed.
        if callable(self.init_params):
            return nullcontext(check_random_state(self.random_state))
        return generator(self.random_state)


def start_of(init_params: str | Callable[..., Any], *, noise: bool) -> Start:
    """The start that `init_params` asks for, in a mixture that may have noise."""
    if callable(init_params):
        return from_callable(init_params, noise=noise)
    return denoised(STARTS[init_params]) if noise else STARTS[init_params]
