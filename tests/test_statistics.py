"""Statistics and summaries add up, whatever the partition."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from conftest import clusters
from hypothesis import given, settings
from hypothesis import strategies as st
from long_form import assert_same_statistics, families, some_mixture

from emgmm.covariances import FAMILIES
from emgmm.estep import CentredEStep, ExpandedEStep
from emgmm.sources import ArraySource
from emgmm.sources.block import Block
from emgmm.statistics import Statistics
from emgmm.summary import DataSummary

CUTS = st.lists(st.integers(1, 399), max_size=6, unique=True)


@families
@pytest.mark.parametrize("exact", [True, False])
@given(cuts=CUTS)
@settings(max_examples=15, deadline=None)
def test_statistics_of_the_whole_are_the_sum_over_any_partition(family, exact, cuts):
    X, mixture = some_mixture(family)
    edges = [0, *sorted(cuts), len(X)]
    form = CentredEStep(mixture) if exact else ExpandedEStep(mixture, DataSummary.of(X.T, family))
    parts = [form.sums(Block(a, X[a:b].T)) for a, b in pairwise(edges)]
    whole = form.complete(form.sums(Block(0, X.T)))
    assert_same_statistics(form.complete(reduce(add, parts)), whole)


def test_an_extrapolation_is_linear_in_every_sum():
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 2))

    def some():
        sums = random.uniform(1, 2, 3), random.normal(size=(3, 2)), random.normal(size=(3, 2, 2))
        return Statistics(centres, *sums, -7.0, 10.0, noise=random.uniform())

    base, other, less = some(), some(), some()
    found = base.plus(0.3, other, less)
    twice = base.times(2.0)
    for name in ("counts", "first_moment", "scatter", "noise"):
        here, there, nearer = (getattr(each, name) for each in (base, other, less))
        np.testing.assert_allclose(getattr(found, name), here + 0.3 * there - 0.3 * nearer)
        np.testing.assert_allclose(getattr(twice, name), 2 * here)
    assert (twice.log_likelihood, twice.weight) == (-14.0, 20.0)


@families
@given(cuts=CUTS, offset=st.sampled_from([0, 1e7]))
@settings(max_examples=15, deadline=None)
def test_summaries_add_up_and_keep_their_digits_far_from_zero(family, cuts, offset):
    X = clusters(n_features=3) + offset
    edges = [0, *sorted(cuts), len(X)]
    parts = [DataSummary.of(X[a:b].T, family) for a, b in pairwise(edges)]
    total = reduce(add, parts)
    mean = X.mean(axis=0)
    np.testing.assert_allclose(total.mean, mean, rtol=1e-14, atol=1e-12)
    deviations = X - mean
    np.testing.assert_allclose(
        total.scatter, family.structure.weigh(deviations.T, np.ones(len(X))), rtol=1e-6
    )
    assert total.weight == len(X)
    np.testing.assert_array_equal(total.minimum, X.min(axis=0))
    np.testing.assert_array_equal(total.maximum, X.max(axis=0))
    point = mean + 2.0
    np.testing.assert_allclose(
        total.scatter_about(point),
        family.structure.weigh((X - point).T, np.ones(len(X))),
        rtol=1e-6,
    )


def test_reach_is_the_farthest_row_in_each_feature():
    X = clusters()
    summary = DataSummary.of(X.T, FAMILIES["full"])
    centre = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(summary.max_distances(centre), np.abs(X - centre).max(axis=0))


@pytest.mark.parametrize("size", [1, 7, 100, 399, 400, 1000])
def test_a_source_gives_every_row_once_and_in_order(size):
    X = clusters()
    blocks = list(ArraySource(X).blocks(size))
    np.testing.assert_array_equal(np.concatenate([block.rows.T for block in blocks]), X)
    for block in blocks:
        np.testing.assert_array_equal(X[block.place], block.rows.T)
        assert block.rows.shape[1] <= size


def test_a_sample_is_all_rows_or_distinct_rows_in_order():
    X = np.arange(200.0).reshape(100, 2)
    source = ArraySource(X)
    random = np.random.RandomState(3)
    before = random.get_state()[1].copy()
    assert source.sample(100, random).values is X
    np.testing.assert_array_equal(random.get_state()[1], before)
    few = source.sample(10, random).values
    assert few.shape == (10, 2)
    assert (np.diff(few[:, 0]) > 0).all()
    again = ArraySource(X).sample(10, np.random.RandomState(3))
    np.testing.assert_array_equal(few, again.values)
