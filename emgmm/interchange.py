"""`InterchangeMixin`: conversion of estimators to and from parameters, scikit-learn and files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Self

from emgmm import attributes, validation
from emgmm.constraints import are_masks
from emgmm.covariances import Family
from emgmm.fitting.loop import Ending
from emgmm.fitting.stepwise import Stream
from emgmm.noise import Box
from emgmm.parameters import ValidationMixin
from emgmm.prior import NormalInverseWishart
from emgmm.sources import Rows
from emgmm.statistics import Statistics
from emgmm.storage import conversion, models, restored
from emgmm.storage.archive import check_type, construct
from emgmm.tolerances import checked_afterwards, negligible_underflow
from emgmm.typing import CovarianceType
from emgmm.version import InconsistentVersionWarning, __version__

# Types, besides those that skops trusts by default, that estimators consist of: these contain
# numbers, strings and arrays only, and loading them runs no code except that of this package.
TRUSTED_TYPES = [
    "emgmm.classifier.GaussianMixtureClassifier",
    "emgmm.estimator.GaussianMixture",
    "emgmm.projection.GaussianMixtureProjection",
    "emgmm.selection.estimator.GaussianMixtureIC",
    *(
        f"{kind.__module__}.{kind.__name__}"
        for kind in (Stream, Statistics, Rows, Box, NormalInverseWishart, range)
    ),
]


class InterchangeMixin(ValidationMixin):
    """Mixin that converts fitted estimators to and from other forms."""

    __init__: Callable[..., None]

    @classmethod
    def from_parameters(
        cls,
        weights: Any,
        means: Any,
        *,
        covariances: Any = None,
        precisions: Any = None,
        covariance_type: CovarianceType | Family = "full",
        feature_names: Any = None,
        noise: float | Callable[..., Any] | None = None,
        noise_weight: float = 0.0,
    ) -> Self:
        """Return a fitted estimator with given parameters; no EM is run.

        Parameters
        ----------
        weights : array-like of shape (K,)
            Weights, whose sum is 1 - `noise_weight`.
        means : array-like of shape (K, D)
            Means.
        covariances, precisions : array-like
            Covariances or precisions, exactly one of them, in the shape for `covariance_type`.
        covariance_type : str or Family, default='full'
            Family of the covariances, as in the constructor.
        feature_names : sequence of str, default=None
            Names of the features.
        noise : float or callable, default=None
            Noise component: its constant density, or a function of rows that returns log-densities.
        noise_weight : float, default=0.0
            Weight of the noise component.

        Returns
        -------
        GaussianMixture
            Estimator with ``n_iter_ = 0``, ``converged_ = True`` and ``lower_bound_ = nan``.

        Raises
        ------
        ValueError
            If a parameter is invalid or has the wrong shape.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> gm = GaussianMixture.from_parameters(
        ...     [0.5, 0.5], [[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical"
        ... )
        >>> gm.predict([[1.0], [3.0]])
        array([0, 1])
        """
        family = validation.family(covariance_type)
        mixture = validation.mixture(
            weights, means, covariances, precisions, family, noise, noise_weight
        )
        parameters = {"covariance_type": covariance_type, "noise": noise}
        mixture = attributes.normalized(mixture)
        return attributes.estimator_with(cls, mixture, feature_names, **parameters)

    @classmethod
    def from_sklearn(cls, model: Any) -> Self:
        """Return an estimator with the same predictions as a fitted scikit-learn model.

        Parameters
        ----------
        model : sklearn.mixture.GaussianMixture or BayesianGaussianMixture
            Fitted model. The `weights_` of a Bayesian model are replaced by those with which an
            ordinary mixture has the same `predict_proba`; they differ slightly.

        Returns
        -------
        GaussianMixture
            Estimator with the parameters, `converged_` and `n_iter_` of the model.
            ``lower_bound_`` is nan, since scikit-learn's belongs to the parameters one step before.

        Raises
        ------
        TypeError
            If the model is of another class.
        NotFittedError
            If the model is not fitted.

        Examples
        --------
        >>> from sklearn.mixture import GaussianMixture as Theirs
        >>> from emgmm import GaussianMixture
        >>> theirs = Theirs(random_state=0).fit([[0.0], [1.0], [5.0]])
        >>> GaussianMixture.from_sklearn(theirs).means_
        array([[2.]])
        """
        mixture = attributes.normalized(conversion.from_sklearn(model))
        params, known = model.get_params(deep=False), cls._get_param_names()
        converted = cls(**{name: value for name, value in params.items() if name in known})
        given = attributes.without_fit()
        given |= {"converged_": bool(getattr(model, "converged_", True))}
        given |= {"n_iter_": int(getattr(model, "n_iter_", 0))}
        names = ("n_features_in_", "feature_names_in_")
        given |= {name: getattr(model, name) for name in names if hasattr(model, name)}
        attributes.adopt(converted, mixture, **given)
        return converted

    def to_sklearn(self) -> Any:
        """Return scikit-learn's class with this mixture, for tools that require that class.

        Returns
        -------
        sklearn.mixture.GaussianMixture
            Fitted model. An `init_params` that is not a name is replaced by scikit-learn's default.

        Raises
        ------
        ValueError
            If there is a noise component, which that class does not support.
        NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture(random_state=0).fit([[0.0], [1.0], [5.0]])
        >>> type(model.to_sklearn())
        <class 'sklearn.mixture._gaussian_mixture.GaussianMixture'>
        """
        mixture = attributes.mixture_of(self)
        if mixture.noise is not None:
            raise ValueError(
                "This model has a noise component, which scikit-learn's class does not support: "
                "fit a model with noise=None."
            )
        params, kept = self.get_params(deep=False), {*attributes.SHARED, "feature_names_in_"}
        fitted = {name: value for name, value in attributes.complete(self).items() if name in kept}
        params["n_components"] = mixture.n_components
        params["covariance_type"] = mixture.family.scikit_learn
        return conversion.to_sklearn(params, deepcopy(fitted))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator to a JSON file, from which `load` restores it to the last bit.

        Parameters
        ----------
        path : path
            Path of the file, which is replaced completely or not at all.

        Raises
        ------
        ValueError
            If a constructor parameter cannot be written, such as a function.
        NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from emgmm import GaussianMixture
        >>> model = GaussianMixture(random_state=0).fit([[0.0], [1.0], [5.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(Path(folder) / "model.json")
        ...     GaussianMixture.load(Path(folder) / "model.json").means_
        array([[2.]])
        """
        fitted = attributes.complete(self)
        self._check_can_be_stored()
        fitted["ending_"] = fitted["ending_"].name
        if "_stream" in fitted:
            fitted["_stream"] = fitted["_stream"].plain()
        if isinstance(fitted["_noise_density"], Box):
            fitted["_noise_density"] = vars(fitted["_noise_density"])
        models.write(path, __version__, self.get_params(deep=False), fitted)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an estimator that `save` wrote, without running any code from the file.

        Parameters
        ----------
        path : path
            Path of the file.

        Returns
        -------
        GaussianMixture
            Fitted estimator.

        Raises
        ------
        ValueError
            If the file does not contain a valid model.

        Examples
        --------
        See `save`.
        """
        known = cls._get_param_names()
        params, fitted = models.read(path, known, attributes.FITTED, attributes.OPTIONAL)
        try:
            for name, value in fitted.items():
                check_type(name, value, attributes.TYPES[name])
            return cls._restored(params, fitted)
        except (TypeError, ValueError) as error:
            raise models.damaged(path, error) from None

    @classmethod
    @checked_afterwards
    @negligible_underflow
    def _restored(cls, params: dict[str, Any], fitted: dict[str, Any]) -> Self:
        """Validate parameters and attributes, and return an estimator with them."""
        model: Any = cls(**params)
        model.__dict__.update(fitted)
        model.ending_ = restored.ending(fitted["ending_"], converged=fitted["converged_"])
        if fitted["_noise_density"] is not None:
            model._noise_density = construct(Box, fitted["_noise_density"])
        model._check_can_be_stored()
        mixture = attributes.mixture_of(model)
        restored.check_possible(mixture)
        K, D = mixture.means.shape
        if "_stream" in fitted:
            parts = fitted["_stream"]
            statistics = construct(Statistics, parts.get("statistics"))
            model._stream = stream = construct(Stream, {**parts, "statistics": statistics})
            restored.check_weight("the stream", stream.weight)
            sums = statistics.times(stream.weight)
            restored.check_statistics(sums, mixture.family, K, D)
            if stream.calls < 0:
                raise ValueError(f"the stream has {stream.calls} calls")
        restored.check_history(fitted)
        if not are_masks(fitted.get("_masks", {}), K):
            raise ValueError("_masks does not contain constraints of the components")
        return model

    def _check_can_be_stored(self) -> None:
        """Check that the parameters, and the number and the names of the features, are valid."""
        self._validate_params()
        D = attributes.mixture_of(self).n_features
        validation.check_width(self, D)
        if hasattr(self, "feature_names_in_"):
            validation.feature_names(self.feature_names_in_, D)

    def __getstate__(self) -> dict[str, Any]:
        inherited: Any = super().__getstate__()
        state = {**inherited, "_emgmm_version": __version__}
        for name in attributes.stale(self):
            del state[name]
        if isinstance(state.get("ending_"), Ending):  # skops cannot read members of an Enum
            state["ending_"] = state["ending_"].name
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        state = dict(state)
        pickled = state.pop("_emgmm_version", "of an unknown version")
        if pickled != __version__:
            warnings.warn(InconsistentVersionWarning(pickled), stacklevel=2)
        if state.get("ending_") in Ending.__members__:
            state["ending_"] = Ending[state["ending_"]]
        super().__setstate__(state)  # type: ignore[misc]
