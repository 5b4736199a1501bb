"""Conversion between mixtures and fitted models of scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.special import digamma
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.utils.validation import check_is_fitted

from emgmm.attributes import ARRAYS, COVARIANCES, described_by
from emgmm.mixture import Mixture
from emgmm.typing import Array


def from_sklearn(model: GaussianMixture | BayesianGaussianMixture) -> Mixture:
    """Return the mixture by which a fitted model of scikit-learn predicts.

    A user may have set its attributes, of which a sufficient subset is needed.
    """
    if not isinstance(model, GaussianMixture | BayesianGaussianMixture):
        raise TypeError(
            "from_sklearn takes a fitted sklearn.mixture.GaussianMixture or "
            f"BayesianGaussianMixture, but got {type(model).__name__}"
        )
    check_is_fitted(model, ["weights_", "means_"])
    check_is_fitted(model, COVARIANCES, all_or_any=any)
    given = {name: np.array(getattr(model, name)) for name in ARRAYS if hasattr(model, name)}
    if isinstance(model, BayesianGaussianMixture):
        given["weights_"] = _variational_weights(model)
    return described_by(SimpleNamespace(covariance_type=model.covariance_type, **given))


def _variational_weights(model: BayesianGaussianMixture) -> Array:
    """Return weights with which a mixture has the responsibilities of a variational one.

    The variational E-step differs from that of a mixture by one constant per component, which is
    equivalent to a factor of its weight: E[log pi_k] replaces log pi_k, and E[log |Lambda_k|] / 2
    - D / (2 kappa_k) replaces log |Lambda_k| / 2 (Bishop 2006, Pattern Recognition and Machine
    Learning, eq. 10.64 to 10.67).
    """
    n_features = model.means_.shape[1]
    concentration = model.weight_concentration_
    if isinstance(concentration, tuple):  # a Dirichlet process, by its stick-breaking construction
        a, b = concentration
        log_left = digamma(b) - digamma(a + b)
        log_weights = digamma(a) - digamma(a + b) + np.hstack((0, np.cumsum(log_left)[:-1]))
    else:
        log_weights = digamma(concentration) - digamma(concentration.sum())
    freedom = np.broadcast_to(model.degrees_of_freedom_, log_weights.shape)
    log_lambda = n_features * np.log(2.0) + digamma(
        0.5 * (freedom - np.arange(n_features)[:, None])
    ).sum(axis=0)
    log_weights = log_weights + 0.5 * (
        log_lambda - n_features * np.log(freedom) - n_features / model.mean_precision_
    )
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def to_sklearn(params: dict[str, Any], fitted: dict[str, Any]) -> GaussianMixture:
    """Return a fitted model of scikit-learn.

    Parameters
    ----------
    params : dict
        Constructor parameters. Those that scikit-learn's class does not have are ignored.
    fitted : dict
        Fitted attributes.
    """
    defaults = GaussianMixture().get_params()
    known = {name: value for name, value in params.items() if name in defaults}
    if not isinstance(known.get("init_params"), str):
        known.pop("init_params", None)  # scikit-learn's default
    model = GaussianMixture(**known)
    vars(model).update(fitted)
    return model
