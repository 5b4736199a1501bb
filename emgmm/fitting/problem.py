"""The problem and the options of a fit, which are read from an estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from emgmm import validation
from emgmm.acceleration import Scheme, scheme_of
from emgmm.constraints import FREE, Constraints, Given, constraints_of
from emgmm.covariances import Family, family_of
from emgmm.fitting.loop import Rules
from emgmm.initialization import Start
from emgmm.mixture import Mixture
from emgmm.noise import Density
from emgmm.prior import NormalInverseWishart
from emgmm.typing import Array


@dataclass(frozen=True, eq=False)
class Problem:
    """Model to estimate.

    Parameters
    ----------
    family : Family
        Family of the covariances.
    n_components : int
        Number of components, K.
    ridge : float
        Number that is added to the diagonal of every covariance in each M-step, unless there is a
        prior.
    prior : NormalInverseWishart, optional
        Prior of the means and covariances.
    concentration : float
        Concentration of the Dirichlet prior of the weights; 1 means no prior.
    noise : Density, "uniform", float or callable, optional
        Distribution of the noise component: a density, "uniform" over the volume of the data, a
        constant density, or a function that returns log-densities.
    constraints : Constraints
        Fixed parameters, and whether the weights are equal.
    order : "mean" or "weight", optional
        Order of the components of the result.
    """

    family: Family
    n_components: int
    ridge: float = 0.0
    prior: NormalInverseWishart | None = None
    concentration: float = 1.0
    noise: Density | str | float | Callable[[Array], Any] | None = None
    constraints: Constraints = FREE
    order: str | None = None


@dataclass(frozen=True, eq=False)
class Options:
    """Options of a fit.

    Parameters
    ----------
    rules : Rules
        Conditions under which a run ends.
    scheme : Scheme
        Plain EM, or an acceleration of it.
    start : Start
        Initialization.
    given : Given
        Initial parameters that do not come from the initialization.
    n_init : int
        Number of starts, of which the best is kept.
    sampling : bool
        Whether a fit to many rows makes most of its steps on samples.
    start_is_given : bool
        Whether the user gave labels, responsibilities or means as the start, which then also
        determine the components with labelled rows.
    """

    rules: Rules
    scheme: Scheme
    start: Start
    given: Given = field(default_factory=Given)
    n_init: int = 1
    sampling: bool = False
    start_is_given: bool = False


def problem_of(
    estimator: Any,
    given: Given,
    fitted: Mixture | None = None,
    prior: NormalInverseWishart | None = None,
    constraints: Constraints | None = None,
) -> Problem:
    """Read the problem of a fit from an estimator's parameters.

    Parameters
    ----------
    estimator : GaussianMixture
        Estimator.
    given : Given
        Values of the fixed parameters.
    fitted : Mixture, optional
        Fitted mixture from which the fit continues.
    prior : NormalInverseWishart, optional
        Prior of an earlier part of the data, which supplies the values that are not given.
    constraints : Constraints, optional
        Constraints of the fitted mixture; by default, those of the estimator's parameters.
    """
    if fitted is None:
        family, n_components = family_of(estimator.covariance_type), int(estimator.n_components)
    else:
        family, n_components = fitted.family, fitted.n_components
    noise = estimator.noise
    if fitted is not None:
        noise = None if fitted.noise is None else fitted.noise.density
    wanted = NormalInverseWishart() if isinstance(estimator.prior, str) else estimator.prior
    if wanted is not None and prior is not None:
        values = {name: value for name, value in vars(wanted).items() if value is not None}
        wanted = replace(prior, **values)
    ridge, concentration = float(estimator.reg_covar), float(estimator.weight_concentration)
    if constraints is None:
        constraints = constraints_on(estimator, given, family, n_components)
    return Problem(
        family, n_components, ridge, wanted, concentration, noise, constraints, estimator.order
    )


def constraints_on(estimator: Any, given: Given, family: Family, n_components: int) -> Constraints:
    """Read the constraints from an estimator's parameters; `given` holds the fixed values."""
    fixed, equal_weights, order = estimator.fixed, estimator.equal_weights, estimator.order
    if not (fixed or equal_weights):
        return FREE
    return constraints_of(
        fixed, given, family, n_components, equal_weights=equal_weights, order=order
    )


def options_of(estimator: Any, start: Start, given: Given) -> Options:
    """Read the options from an estimator's parameters; the arguments are those of `Options`."""
    rules = Rules(float(estimator.tol), int(estimator.max_iter), estimator.break_symmetry)
    start_from = estimator.init_params
    is_array = not (isinstance(start_from, str) or callable(start_from))  # the same start each time
    n_init = 1 if is_array else estimator.n_init
    scheme, sampling = scheme_of(estimator.acceleration), estimator.sampling is not None
    return Options(rules, scheme, start, given, n_init, sampling, is_array)


def given_of(estimator: Any, family: Family, n_features: int) -> Given:
    """Validate the initial parameters that an estimator was given."""
    K = estimator.n_components
    validation.check_features(family, n_features)
    weights, means = estimator.weights_init, estimator.means_init
    factors, covariances = estimator.precisions_init, None
    noise = estimator.noise is not None
    if weights is not None:
        weights = validation.weights(weights, K, None if noise else 0.0)
    if means is not None:
        means = validation.means(means, K, n_features)
    if factors is not None:
        factors = validation.cholesky_of_precisions(factors, family, K, n_features)
        covariances = family.covariances(factors)
    given = Given(weights, means, covariances, factors)
    constraints_on(estimator, given, family, K).check_initial_weights(noise=noise)
    return given
