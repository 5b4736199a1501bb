"""The first pass of a fit, which the prior, the noise and the check of the features require."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np

from emgmm.covariances import FAMILIES, Family
from emgmm.em import EM
from emgmm.exceptions import ConstantFeaturesError, format_features
from emgmm.fitting.messages import too_large, too_small
from emgmm.fitting.problem import Problem
from emgmm.mstep import MStep
from emgmm.noise import Box, Density, Function
from emgmm.prior import is_collinear
from emgmm.sources import Source
from emgmm.sources.block import Block, SumsOfBits
from emgmm.summary import CONSTANT, LARGEST, DataSummary
from emgmm.tolerances import EPS, TINY, checked_afterwards
from emgmm.typing import Array

# Variance of a linear combination of standardized features below which it is recomputed from the
# rows, because its computation from the covariance suffers from cancellation.
SUSPICIOUS = 1e-11

# Standard deviation of such a combination that is regarded as 0 whatever the rounding error is.
DEPENDENT = 1e-12

# Rounding error of the standard deviation of a combination, in units of rounding: the values are
# rounded independently of each other, and so is the arithmetic.
ROUNDING = 2

# Smallest coefficient with which a feature belongs to a combination.
COEFFICIENT = 1e-6


def em_of(source: Source, problem: Problem, sums_of_bits: SumsOfBits | None = None) -> EM:
    """Return EM's map for the rows of a source.

    The summary of the rows includes the sums of their bits if a function is given that returns
    them.

    Raises
    ------
    ValueError
        If a feature is constant from which a prior or the volume of noise would be taken, if
        squares of its values overflow or underflow, or if the concentration of the weights does.
    """
    ridge = problem.ridge if problem.prior is None else 0.0
    m_step = MStep(
        problem.family,
        ridge,
        source.dtype,
        concentration=problem.concentration,
        constraints=problem.constraints,
    )
    em, prior = EM(source, m_step, problem.n_components, sums_of_bits), None
    if em.summary.overflowing is not None:
        raise too_large(em.summary.overflowing, source)
    if problem.n_components * problem.concentration > LARGEST:
        raise ValueError(
            f"weight_concentration={problem.concentration:g} is so large that sums of the "
            "additional rows may overflow: set a smaller one."
        )
    if problem.prior is None and problem.noise is None:
        return em
    try:
        if problem.prior is not None:
            prior = problem.prior.resolved(em.summary, problem.family, problem.n_components)
        em.m_step = replace(m_step, prior=prior, density=_density(em, problem.noise))
    except ConstantFeaturesError as error:
        check_no_underflow(em, error.features)
        columns = format_features(error.features, source.feature_names)
        raise ValueError(
            f"X is constant in column {columns}, counted from 0, so that {error}"
        ) from None
    return em


def _density(em: EM, noise: Any) -> Density | None:
    """Return the density of the noise component, from the ranges of the rows if necessary."""
    if noise is None or isinstance(noise, Density):
        return noise
    if callable(noise):
        return Function(noise)
    box = Box.between(em.summary.minimum, em.summary.maximum)
    if not isinstance(noise, str):
        return box.of_density(float(noise))
    return _smallest(em, box) if em.summary.complete else box


def _smallest(em: EM, box: Box) -> Box:
    """Return the box that contains all rows, along the principal axes if that is smaller."""
    summary = em.summary
    if not em.family.structure.has_covariances:
        summary = em.summarize(methodcaller("summary", FAMILIES["full"]))
    if is_collinear(summary.scatter):
        return box
    axes = np.linalg.eigh(summary.scatter)[1]
    turned = em.summarize(partial(along, axes=axes, family=FAMILIES["diag"]))
    turned_box = box.turned(axes, turned.minimum, turned.maximum)
    return min(box, turned_box, key=lambda each: -each.constant)


@checked_afterwards
def singular_features(em: EM) -> tuple[int, ...]:
    """Return the features because of which every covariance of the family would be singular.

    These features are constant or linearly dependent in all rows of positive weight, up to the
    rounding of their values, and the ridge is not larger than that. Linear dependence cannot be
    judged from moments of rows that miss some of the features; such rows are ignored.

    Raises
    ------
    ValueError
        If the variance of a feature underflows, and there is no ridge.
    """
    summary, structure, ridge = em.summary, em.family.structure, em.m_step.ridge
    D = len(summary.mean)
    varies = summary.varies
    if not np.logical_and.reduce(varies):
        varies = varies | ((ridge >= TINY) & (ridge**0.5 > CONSTANT * summary.largest))
        varying = structure.variances(structure.outer(varies[None].astype(float)), D)[0]
        if not varying.all():
            singular = tuple(np.flatnonzero(varying == 0).tolist())
            check_no_underflow(em, singular)
            return singular
    sds = np.sqrt(structure.variances(summary.scatter[None], D)[0] / summary.seen + ridge)
    magnitudes = varies * summary.largest  # constants have no rounding
    unit = float(np.finfo(em.source.dtype).eps)
    if not structure.has_covariances or D == 1:  # the features are the axes
        error, rounding = rounding_errors((magnitudes / sds)[None], unit)
        flat = (np.sqrt(summary.variances) <= rounding * sds) & (ridge**0.5 <= error * sds)
        return tuple(np.flatnonzero(flat & (rounding >= 1)).tolist())
    covariance = structure.dense(summary.scatter[None], D)[0] / summary.seen
    correlations = (covariance + ridge * np.eye(D)) / sds[:, None] / sds
    determinant = float(np.linalg.det(correlations))
    # No eigenvalue is below the determinant divided by e, as the sum of all of them is D. No axis
    # has a larger rounding error.
    bound = ROUNDING * max(unit, EPS * D**0.5) * float(np.maximum.reduce(magnitudes / sds))
    if determinant > math.e * max(SUSPICIOUS, bound**2):
        return ()
    variances, vectors = np.linalg.eigh(correlations)
    axes = vectors / sds[:, None]
    error, rounding = rounding_errors(np.abs(axes) * magnitudes[:, None], unit)
    if (variances > np.maximum(SUSPICIOUS, rounding**2)).all():
        return ()
    recomputed = em.summarize(partial(along, axes=axes, family=FAMILIES["full"]))
    flat = recomputed.residual_variances() <= rounding**2
    flat &= ridge * (axes**2).sum(axis=0) <= error**2
    return tuple(np.flatnonzero((np.abs(vectors[:, flat]) > COEFFICIENT).any(axis=1)).tolist())


def check_no_underflow(em: EM, features: tuple[int, ...]) -> None:
    """Raise an error if some features without a variance differ, so that squares underflow."""
    differing = tuple(j for j in features if em.summary.differs[j])
    if differing:
        raise too_small(differing, em.source)


def rounding_errors(terms: Array, unit: float) -> tuple[Array, Array]:
    """Return rounding errors of coordinates along axes: of the arithmetic, and with the values'.

    The columns of `terms` are the largest terms of the coordinates, and `unit` is the relative
    rounding error of the values.
    """
    error = np.maximum(ROUNDING * EPS * terms.sum(axis=0), DEPENDENT)
    return error, np.maximum(error, ROUNDING * unit * np.sqrt((terms**2).sum(axis=0)))


def along(block: Block, axes: Array, family: Family) -> DataSummary:
    """Return the summary of a block's coordinates along axes, the columns of a (D, D) matrix.

    Rows with missing values are ignored.
    """
    if block.complete:
        return block.summary(family, axes)
    seen = np.logical_not(np.isnan(block.rows).any(axis=0))
    rows = np.where(seen, block.rows, 0.0)
    weights = seen * (1.0 if block.weights is None else block.weights)
    return DataSummary.of(axes.T @ rows, family, weights)
