"""Every E-step computes what `Mixture.log_joint` defines, and that is what scipy computes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import clusters
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from emgmm import GaussianMixture
from emgmm.base import fitted_mixture
from emgmm.covariances import FAMILIES
from emgmm.estep import CentredEStep, EStepForBlock, ExpandedEStep, MissingEStep
from emgmm.estep.compiled.estep import CompiledEStep, kernel
from emgmm.sources.block import Block

X = clusters(300, 3, 3)
NAMES = [name for name, family in FAMILIES.items() if family.most_features is None]


def mixture_of(covariance_type, noise=None, rows=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(
            3, covariance_type=covariance_type, noise=noise, random_state=0, max_iter=5
        )
        return fitted_mixture(model.fit(rows))


def with_missing(rows, share=0.3):
    missing = np.random.default_rng(1).random(rows.shape) < share
    return np.where(missing, np.nan, rows)


@pytest.mark.parametrize("covariance_type", NAMES)
def test_the_log_joint_is_scipys(covariance_type):
    mixture = mixture_of(covariance_type)
    joint = mixture.log_joint(X)
    for k, (mean, covariance) in enumerate(
        zip(mixture.means, mixture.dense_covariances(), strict=True)
    ):
        expected = np.log(mixture.weights[k]) + multivariate_normal(mean, covariance).logpdf(X)
        np.testing.assert_allclose(joint[:, k], expected, rtol=1e-10)


@pytest.mark.parametrize("covariance_type", NAMES)
def test_the_log_joint_of_incomplete_rows_is_that_of_what_was_observed(covariance_type):
    mixture, rows = mixture_of(covariance_type, "uniform"), with_missing(X)
    joint = mixture.log_joint(rows)
    for row, found in zip(rows, joint, strict=True):
        seen = ~np.isnan(row)
        for k, covariance in enumerate(mixture.dense_covariances()):
            expected = np.log(mixture.weights[k])
            if seen.any():
                marginal = multivariate_normal(mixture.means[k][seen], covariance[seen][:, seen])
                expected += marginal.logpdf(row[seen])
            np.testing.assert_allclose(found[k], expected, rtol=1e-10)


@pytest.mark.parametrize("covariance_type", NAMES)
@pytest.mark.parametrize("noise", [None, 1e-3])
@pytest.mark.parametrize("kind", [CentredEStep, ExpandedEStep, CompiledEStep, MissingEStep])
def test_every_e_step_computes_it(kind, noise, covariance_type):
    if kind is CompiledEStep and kernel() is None:
        pytest.skip("numba is not installed")
    mixture = mixture_of(covariance_type, noise)
    e_step = kind(mixture)
    rows = with_missing(X) if kind is MissingEStep else X
    joint = e_step.log_joint(np.ascontiguousarray(rows.T))
    np.testing.assert_allclose(joint.T, mixture.log_joint(rows), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "VEV"])
@pytest.mark.parametrize("noise", [None, "uniform"])
@pytest.mark.parametrize("missing", [False, True])
def test_densities_and_responsibilities_follow_from_it(covariance_type, noise, missing):
    mixture = mixture_of(covariance_type, noise)
    rows = with_missing(X) if missing else X
    joint = mixture.log_joint(rows)
    density = logsumexp(joint, axis=1)
    block = Block(0, np.ascontiguousarray(rows.T), complete=not missing)
    e_step = EStepForBlock(mixture, len(rows))
    np.testing.assert_allclose(e_step.log_densities(block), density, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        e_step.responsibilities(block), np.exp(joint - density[:, None]), rtol=1e-8, atol=1e-14
    )
    np.testing.assert_array_equal(e_step.labels(block), joint.argmax(axis=1))
