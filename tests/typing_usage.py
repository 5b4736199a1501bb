"""Typical use, for the type checker: what an editor knows about each value, and which names it refuses.

mypy checks the comments that ignore an error as well: without the error they are errors themselves.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from emgmm import (
    TRUSTED_TYPES,
    Diagnosis,
    Ending,
    GaussianMixture,
    GaussianMixtureIC,
    MixtureSummary,
    NormalInverseWishart,
    Verdict,
    blocks,
)
from emgmm.covariances import FAMILIES
from emgmm.datasets import old_faithful
from emgmm.typing import Array, CovarianceType, Integers

X = old_faithful().rows


class Named(GaussianMixture):
    """A subclass, whose `fit` returns the subclass."""


def fits() -> None:
    fitted = GaussianMixture(2).fit(X)
    assert_type(fitted, GaussianMixture)
    assert_type(Named(2).fit(X, sample_weight=np.ones(len(X))), Named)
    assert_type(Named(2).partial_fit(X), Named)
    assert_type(Named.from_parameters([1.0], [[0.0]], covariances=[[[1.0]]]), Named)
    assert_type(GaussianMixture(2).fit(blocks([X])).means_, Array)


def attributes() -> None:
    fitted = GaussianMixture(2, random_state=0).fit(X)
    for parameters in (fitted.weights_, fitted.means_, fitted.covariances_):
        assert_type(parameters, Array)
    for parameters in (fitted.precisions_, fitted.precisions_cholesky_):
        assert_type(parameters, Array)
    assert_type(fitted.noise_weight_, float)
    assert_type(fitted.converged_, bool)
    assert_type(fitted.n_iter_, int)
    assert_type(fitted.lower_bound_, float)
    assert_type(fitted.lower_bounds_, list[float])
    assert_type(fitted.remaining_gain_, float)
    assert_type(fitted.ending_, Ending)
    assert_type(fitted.ending_.sentence, str)
    assert_type(fitted.history_["objective"], NDArray[Any])
    assert_type(fitted.n_features_in_, int)


def methods() -> None:
    fitted = GaussianMixture(2, random_state=0).fit(X)
    assert_type(fitted.fit_predict(X), Integers)
    assert_type(fitted.predict(X), Integers)
    for values in (fitted.predict_proba(X), fitted.score_samples(X), fitted.impute(X)):
        assert_type(values, Array)
    for criterion in (fitted.score(X), fitted.bic(X), fitted.aic(X), fitted.icl(X)):
        assert_type(criterion, float)
    assert_type(fitted.n_parameters(), int)
    rows, labels = fitted.sample(10, random_state=np.random.RandomState(0))
    assert_type(rows, Array)
    assert_type(labels, Integers)
    assert_type(fitted.summary(X), MixtureSummary)
    diagnosis = fitted.diagnose(X)
    assert_type(diagnosis, Diagnosis)
    assert_type(diagnosis.verdict, Verdict)
    assert_type(diagnosis.overlap, Array)
    assert_type(TRUSTED_TYPES, list[str])


def selection() -> None:
    chosen = GaussianMixtureIC(range(1, 3), covariance_type=["EEE", "VVV"], criterion="icl").fit(X)
    assert_type(chosen, GaussianMixtureIC)
    assert_type(chosen.best_estimator_, GaussianMixture)
    assert_type(chosen.results_["bic"], NDArray[Any])
    assert_type(chosen.best_index_, int)
    assert_type(chosen.best_params_, dict[str, Any])
    assert_type(chosen.means_, Array)
    assert_type(chosen.predict(X), Integers)
    assert_type(chosen.summary(), MixtureSummary)
    assert_type(chosen.diagnose(X), Diagnosis)
    assert_type(chosen.sample(3), tuple[Array, Integers])


def parameters() -> None:
    """Names, and the objects that are allowed in their place."""
    types: list[CovarianceType] = ["full", "VEI"]
    for name in types:
        GaussianMixture(2, covariance_type=name)
    GaussianMixture(2, covariance_type=FAMILIES["EII"], prior=NormalInverseWishart(), noise=1e-3)
    GaussianMixture(2, init_params="short-runs", acceleration="anderson", prior="conjugate")
    GaussianMixture(2, init_params=X[:2], noise=lambda rows: np.zeros(len(rows)))
    GaussianMixture(2, init_params=lambda rows, K, random: random.randint(K, size=len(rows)))
    GaussianMixture(2, weights_init=[0.5, 0.5], means_init=[[2, 54], [4, 80]], noise="uniform")
    GaussianMixtureIC([1, 2], init_params="auto", covariance_type="all", acceleration=None)


def errors() -> None:
    """Misspelt names, each of which is an error at run time too."""
    GaussianMixture(2, covariance_type="ful")  # type: ignore[arg-type]
    GaussianMixture(2, init_params="k-means")  # type: ignore[arg-type]
    GaussianMixture(2, acceleration="andersen")  # type: ignore[arg-type]
    GaussianMixture(2, prior="conjugated")  # type: ignore[arg-type]
    GaussianMixture(2, noise="uniformly")  # type: ignore[arg-type]
    GaussianMixtureIC(2, criterion="BIC")  # type: ignore[arg-type]
    GaussianMixtureIC(2, covariance_type=["EEF"])  # type: ignore[list-item]
