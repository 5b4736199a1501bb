"""`CompatibilityMixin`: private methods of scikit-learn's class that code of others calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from emgmm import attributes, validation
from emgmm.constraints import Given
from emgmm.covariances import Family, family_of
from emgmm.em import EM
from emgmm.estep import MissingEStep
from emgmm.exceptions import DegenerateCovarianceError, FailedFitError
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.multistart import first_mixture
from emgmm.fitting.problem import given_of, problem_of
from emgmm.initialization.assignment import Responsibilities
from emgmm.mixture import Mixture
from emgmm.sources import Rows
from emgmm.sources.conversion import as_array
from emgmm.statistics import Statistics
from emgmm.threads import one_blas_thread
from emgmm.typing import Array

START = (
    "For another start, pass init_params a callable, or an array of labels, of responsibilities or "
    "of means."
)
WEIGHTS = "For weighted rows, use fit(X, sample_weight=...)."
DENSITY = "For the densities of the components, call component_log_prob; for outliers, use noise."
COVARIANCES = (
    "For other covariances, pass an instance of emgmm.covariances.Family as covariance_type; for "
    "regularized ones, use prior."
)
CONSTRAINTS = "For known parameters, use fixed; for equal weights, equal_weights."
PARAMETERS = "To read or replace parameters, use the fitted attributes or from_parameters."

# What scikit-learn's `fit` calls, and what to use here instead of overriding it.
HOOKS = {
    "_initialize_parameters": START,
    "_initialize": START,
    "_e_step": f"{WEIGHTS} {DENSITY}",
    "_m_step": f"{WEIGHTS} {COVARIANCES} {CONSTRAINTS}",
    "_estimate_log_prob": DENSITY,
    "_estimate_log_prob_resp": DENSITY,
    "_estimate_weighted_log_prob": DENSITY,
    "_estimate_log_weights": f"For a prior of the weights, use weight_concentration. {CONSTRAINTS}",
    "_compute_lower_bound": "For a penalty, use prior; history_ has the objective that EM reached.",
    "_check_parameters": "To check parameters, override fit and call super().fit at its end.",
    "_get_parameters": PARAMETERS,
    "_set_parameters": f"{PARAMETERS} For sorted components, use order.",
}

# Whether a subclass that overrides a hook is refused when it is defined. While scikit-learn is
# patched, it is refused when it is fitted: it may belong to code that is imported and not used.
refuse_definitions = True


if TYPE_CHECKING:  # the mixin needs the methods of an estimator, but is none itself
    from emgmm.base import BaseMixture as Estimator
else:
    Estimator = object


class CompatibilityMixin(Estimator):
    """Mixin of private methods that scikit-learn's class has; nothing in this package calls them.

    They have scikit-learn's arguments and results. `xp` is ignored.
    """

    covariance_type: str | Family
    noise: Any
    prior: Any
    precisions_: Array
    precisions_cholesky_: Array
    _refusal: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a subclass that overrides what `fit` does not call, now or when it is fitted."""
        super().__init_subclass__(**kwargs)
        before = list(takewhile(lambda each: each is not CompatibilityMixin, cls.__mro__))
        found = [name for name in HOOKS if any(name in vars(each) for each in before)]
        cls._refusal = ""
        if found:
            instead = " ".join(dict.fromkeys(HOOKS[name] for name in found))
            cls._refusal = (
                f"{cls.__name__} overrides {', '.join(found)}, but unlike scikit-learn's, the fit "
                f"of emgmm.GaussianMixture does not call such methods. {instead} See the page "
                "'You subclassed GaussianMixture' of the user guide."
            )
        if refuse_definitions:
            cls._check_overrides()

    @classmethod
    def _check_overrides(cls) -> None:
        """Check that the class does not override what `fit` does not call."""
        if cls._refusal:
            raise TypeError(cls._refusal)

    def _estimate_log_prob(self, X: Any, xp: Any = None) -> Any:  # noqa: ARG002
        self._check_no_noise()
        return self.component_log_prob(X)

    def _estimate_weighted_log_prob(self, X: Any, xp: Any = None) -> Any:  # noqa: ARG002
        self._check_no_noise()
        return self.component_log_prob(X, weighted=True)

    def _estimate_log_prob_resp(self, X: Any, xp: Any = None) -> tuple[Any, Any]:  # noqa: ARG002
        self._check_no_noise()
        return self.score_samples(X), self.predict_log_proba(X)

    def _estimate_log_weights(self, xp: Any = None) -> Array:  # noqa: ARG002
        self._check_no_noise()
        mixture = self._mixture()
        return mixture.log_weights.astype(mixture.weights.dtype)

    def _e_step(self, X: Any, xp: Any = None) -> tuple[Any, Any]:  # noqa: ARG002
        self._check_no_noise()
        return self.score_samples(X).mean(), self.predict_log_proba(X)

    def _m_step(self, X: Any, log_resp: Any, xp: Any = None) -> None:  # noqa: ARG002
        """Set the parameters to those of the M-step, given (n, K) logarithms of responsibilities.

        As in scikit-learn, the responsibilities of a row may have any sum, which weighs the row.
        """
        with np.errstate(under="ignore"):
            shares = np.exp(as_array(log_resp, "log_resp").astype(np.float64, copy=False))
        before = self._mixture() if attributes.are_fitted(self) else None
        if before is not None and shares.shape[1:] != (before.n_components,):
            before = None
        em, _ = self._em_of_rows(X, *shares.shape[1:])
        _check_shape(shares, em)
        self._adopt(em, lambda: _maximised(em, shares, before))

    def _initialize(self, X: Any, resp: Any, xp: Any = None) -> None:  # noqa: ARG002
        """Set the parameters to those of the start from (n, K) responsibilities, or those given."""
        em, given = self._em_of_rows(X)

        def start(rows: Rows, n_components: int, _: Any) -> Responsibilities:
            shares = as_array(resp, "resp")
            _check_shape(shares, em)
            return Responsibilities(shares[rows.numbers], n_components)

        self._adopt(em, lambda: first_mixture(em, start, given, np.random.RandomState(0)))

    def _get_parameters(self) -> tuple[Array, Array, Array, Array]:
        self._check_no_noise()
        mixture = self._mixture()
        return mixture.weights, mixture.means, mixture.covariances, mixture.precisions_cholesky

    def _set_parameters(self, params: Any, xp: Any = None) -> None:  # noqa: ARG002
        self._check_no_noise()
        self.weights_, self.means_, self.covariances_, self.precisions_cholesky_ = params
        factors = np.asarray(self.precisions_cholesky_)
        self.precisions_ = family_of(self.covariance_type).precisions(factors)

    def _n_parameters(self) -> int:
        return self.n_parameters()

    def _compute_lower_bound(self, _: Any, log_prob_norm: Any) -> Any:
        self._check_no_noise()
        return log_prob_norm

    def _check_no_noise(self) -> None:
        """Check that there is no noise component, which these methods could not represent."""
        if self.noise is not None or getattr(self, "_noise_density", None) is not None:
            raise ValueError(
                "The private methods of scikit-learn's class do not know the noise component that "
                "this model has: use component_log_prob, predict_proba or score_samples, or a "
                "model with noise=None."
            )

    def _em_of_rows(self, X: Any, *n_components: int) -> tuple[EM, Given]:
        """Return EM's map for the rows of X, and the initial parameters that were given."""
        self._check_no_noise()
        self._validate_params()
        source = validation.source(self, X, reset=False)
        given = given_of(self, family_of(self.covariance_type), source.n_features)
        problem = problem_of(self, given)
        if n_components and not problem.constraints.any_fixed:
            problem = replace(problem, n_components=n_components[0])
        return em_of(source, problem), given

    def _adopt(self, em: EM, compute: Callable[[], Mixture]) -> None:
        """Set the parameters to those of the mixture that a function returns."""
        try:
            with one_blas_thread():
                mixture = compute()
        except DegenerateCovarianceError as error:
            ridge = self.reg_covar if self.prior is None else None
            raise FailedFitError(error, ridge, em.source.dtype) from None
        attributes.adopt(self, mixture, em.source.device)


def _check_shape(shares: Array, em: EM) -> None:
    expected = em.source.n_rows, em.n_components
    if shares.shape != expected:
        raise ValueError(
            f"Responsibilities should have the shape {expected}, but got {shares.shape}."
        )


def _maximised(em: EM, shares: Array, before: Mixture | None) -> Mixture:
    """Return the M-step, given (n, K) responsibilities and the mixture before, if there is any."""
    rows = em.source.sample(em.source.n_rows, np.random.RandomState(0))  # all of them

    def about(centres: Array | None) -> Statistics:
        return MissingEStep(before, centres).statistics(rows.block, shares.T)  # type: ignore[arg-type]

    if before is None:
        mixture = Responsibilities(shares, em.n_components).first_mixture(rows, em.m_step)
    else:
        mixture = em.m_step.maximise_recentred(about(None), about, before)
    normalized = replace(mixture, weights=mixture.weights / mixture.weights.sum())
    return em.m_step.constraints.applied_to(normalized)
