"""`DistributionMixin`: marginals, conditionals, the distribution and the modes of an estimator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from emgmm import distributions, validation
from emgmm.distributions import MixtureDistribution
from emgmm.mixture import Mixture
from emgmm.typing import Array


class DistributionMixin:
    """Mixin of estimators whose mixture is used as a probability distribution."""

    @abstractmethod
    def _mixture(self) -> Mixture:
        """Return the fitted mixture, or raise `NotFittedError`."""

    @abstractmethod
    def _derived(self, mixture: Mixture, features: list[int]) -> Any:
        """Return a fitted `GaussianMixture` with a mixture of some of the features."""

    def _names(self) -> list[str]:
        return [str(name) for name in getattr(self, "feature_names_in_", ())]

    def marginal(self, features: Any) -> Any:
        """Return the marginal distribution of some features as a fitted estimator.

        The means and covariances are those of these features. The covariance type is the same if
        the marginal covariances satisfy its constraints. Otherwise it is 'diag' for diagonal
        covariances (EVI), and 'full' for others (EVE, VVE, EEV, VEV and EVV).

        Parameters
        ----------
        features : int, str, or sequence of these
            Indices or names of the features, in the order in which the result contains them.

        Returns
        -------
        GaussianMixture
            Fitted estimator, as returned by `from_parameters`. Its `score_samples` is that of rows
            in which all other features are missing. Uniform noise is uniform over a box that is
            parallel to the features.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If a feature is neither an index nor a name.
        ValueError
            If there is no such feature, if one is given twice, or if there is noise that was given
            as a function.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [1.0], [[1.0, 5.0]], covariances=[[[4.0, 1.0], [1.0, 9.0]]],
        ...     feature_names=["length", "width"],
        ... )
        >>> width = model.marginal("width")
        >>> width.means_, width.covariances_
        (array([[5.]]), array([[[9.]]]))
        """
        mixture = self._mixture()
        indices = validation.feature_indices(features, self._names(), mixture.n_features)
        if not indices:
            raise ValueError("There is no marginal distribution of no features: name at least one.")
        return self._derived(distributions.marginal(mixture, indices), indices)

    def conditional(self, values: Any, *, features: Any = None) -> Any:
        """Return the distribution of the other features given the values of some.

        It is a Gaussian mixture. The weight of a component is its responsibility for the given
        values, which is accurate even if all densities underflow.

        Parameters
        ----------
        values : dict, or array-like of shape (n_given,)
            Given values, either a dict from indices or names of features to values, or values whose
            features are named by `features`.
        features : int, str, or sequence of these, default=None
            Features of `values` if these are not a dict.

        Returns
        -------
        GaussianMixture
            Fitted estimator of the other features, in their order, as returned by
            `from_parameters`. Its covariance type is chosen as in `marginal`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If a feature is neither an index nor a name, or if there is no feature for a value.
        ValueError
            If there is no such feature, if one is given twice, if a value is not a finite number,
            if no feature or every feature is given, or if there is noise that was given as a number
            or a function.

        Notes
        -----
        With the given features *a* and the others *b*, component *k* has the weight proportional to
        pi_k N(x_a; mu_ka, Sigma_kaa), the mean mu_kb + Sigma_kba Sigma_kaa^-1 (x_a - mu_ka), and
        the covariance Sigma_kbb - Sigma_kba Sigma_kaa^-1 Sigma_kab.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [1.0], [[1.0, 5.0]], covariances=[[[4.0, 1.0], [1.0, 9.0]]],
        ...     feature_names=["length", "width"],
        ... )
        >>> width = model.conditional({"length": 3.0})
        >>> width.means_, width.covariances_
        (array([[5.5]]), array([[[8.75]]]))
        """
        mixture, names = self._mixture(), self._names()
        if hasattr(values, "keys") and features is None:  # a dict or a Series
            values = dict(values)
            features, values = list(values), list(values.values())
        if features is None or isinstance(values, Mapping):
            raise TypeError(
                "The values of a conditional distribution are a dict from features to values, or "
                "values together with the parameter features."
            )
        given = validation.feature_indices(features, names, mixture.n_features)
        numbers = validation.given_values(values, [names[j] if names else j for j in given])
        if not 0 < len(given) < mixture.n_features:
            raise ValueError(
                f"The values of {len(given)} of {mixture.n_features} features are given: give at "
                "least one, and leave out at least one."
            )
        rest = [j for j in range(mixture.n_features) if j not in given]
        return self._derived(distributions.conditional(mixture, given, numbers), rest)

    def distribution(self) -> MixtureDistribution:
        """Return the distribution, with the methods of a frozen distribution of SciPy.

        Returns
        -------
        MixtureDistribution
            Distribution with ``pdf``, ``cdf``, ``sf``, ``ppf``, ``isf``, ``interval``, ``rvs``,
            ``mean``, ``cov`` and others.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If there is noise that was given as a number or a function, whose density need not
            integrate to one.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.25, 0.75], [[0.0], [4.0]], covariances=[1.0, 4.0], covariance_type="V"
        ... )
        >>> model.distribution().ppf([0.05, 0.5, 0.95]).round(3)
        array([-0.919,  3.14 ,  7.002])
        """
        return MixtureDistribution(self._mixture(), self._names() or None)

    def modes(self) -> Array:
        """Find the modes, the local maxima of the density, highest first.

        Returns
        -------
        ndarray of shape (M, n_features)
            Modes; see `MixtureDistribution.modes` for what is guaranteed.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If there is noise that was given as a number or a function.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [1.0]], covariances=[1.0, 1.0], covariance_type="V"
        ... )
        >>> model.modes().round(6)
        array([[0.5]])
        """
        return self.distribution().modes()
