"""Climbing: EM's map and its beginning, for the rows and the parameters that a user handed in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from emgmm import door
from emgmm.diagnosis import Diagnosis, diagnose
from emgmm.em import EM
from emgmm.families import FAMILIES, Family
from emgmm.fitting import Given, first_mixture
from emgmm.loop import history, last_of_plain_em
from emgmm.mixture import Mixture
from emgmm.noise import NoVolumeError
from emgmm.portable import PortableEstimator
from emgmm.prior import ConstantFeaturesError, NormalInverseWishart
from emgmm.randomness import lent
from emgmm.sources import Source
from emgmm.starts import STARTS, Start, cleaned, from_callable
from emgmm.threads import one_blas_thread

Beginning = Callable[[EM, np.random.RandomState], Mixture]


class ClimbingEstimator(PortableEstimator):
    """An estimator that knows where EM begins and what it climbs."""

    n_components: int
    reg_covar: float
    prior: str | NormalInverseWishart | None
    weight_concentration: float
    noise: str | float | Callable[..., Any] | None
    init_params: str | Callable[..., Any]
    weights_init: Any
    means_init: Any
    precisions_init: Any

    def _beginning(self, n_features: int) -> Beginning:
        """How theta_0 is made, by what was given and the start; what was given is checked now."""
        K, family = self.n_components, FAMILIES[self.covariance_type]
        door.check_features(family, n_features)
        noisy = self.noise is not None
        given = Given(
            self.weights_init
            if self.weights_init is None
            else door.weights(self.weights_init, K, None if noisy else 0.0),
            self.means_init
            if self.means_init is None
            else door.means(self.means_init, K, n_features),
            self.precisions_init
            if self.precisions_init is None
            else door.whiteners_of_precisions(self.precisions_init, family, K, n_features),
        )
        start = self._start()
        return lambda em, random: first_mixture(em, start, given, random)

    def _start(self) -> Start:
        """What `init_params` asks for."""
        noisy = self.noise is not None
        if callable(self.init_params):
            return from_callable(self.init_params, noise=noisy)
        return cleaned(STARTS[self.init_params]) if noisy else STARTS[self.init_params]

    def _map_of(
        self,
        source: Source,
        family: Family,
        n_components: int,
        here: Mixture | None = None,
        kept: NormalInverseWishart | None = None,
    ) -> EM:
        """EM's map for the rows of a source, with the ridge, priors and noise that were asked for.

        `here` is the mixture to go on from, whose noise stays as it is, and `kept` the prior as an
        earlier part of the data made it.
        """
        asked = NormalInverseWishart() if isinstance(self.prior, str) else self.prior
        prior = kept or asked
        concentration = self.weight_concentration
        known = None if here is None or here.noise is None else here.noise.density
        noise = known or self.noise
        names = getattr(self, "feature_names_in_", None)
        try:
            return EM(source, family, n_components, self.reg_covar, prior, concentration, noise)
        except ConstantFeaturesError as error:
            raise door.constant_features(error.features, names) from None
        except NoVolumeError as error:
            raise door.no_volume(error.features, names) from None

    def _check_same_model(self, n_features: int, who: str, otherwise: str) -> None:
        """`who` goes on from a fitted mixture of the kind that the parameters ask for."""
        for name, was, now in (
            ("n_components", len(self.means_), self.n_components),
            ("covariance_type", self._fitted_type(), self.covariance_type),
            ("the number of features", self.means_.shape[1], n_features),
            ("whether there is noise", self._mixture().noise is not None, self.noise is not None),
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
        source = door.source(self, X, sample_weight, reset=False)
        objectives = last_of_plain_em(getattr(self, "history_", history([], [], [])))
        with one_blas_thread():
            em = self._map_of(source, mixture.family, mixture.n_components, mixture)
            random = check_random_state(self.random_state)
            return diagnose(em, mixture, objectives, random, certified=certify)

    def _generator(self) -> AbstractContextManager[np.random.RandomState]:
        # A user's function may keep what it was handed.
        if callable(self.init_params):
            return nullcontext(check_random_state(self.random_state))
        return lent(self.random_state)
