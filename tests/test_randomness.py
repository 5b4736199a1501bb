"""Generators that are lent: a seed gives the numbers that it gives in scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import fit
from sklearn.utils import check_random_state

from emgmm import GaussianMixture
from emgmm.parameters import generator


def drawn(random):
    return [*random.normal(size=3), *random.permutation(50), random.randint(2**31)]


@pytest.mark.parametrize("seed", [0, 7, np.int64(2**32 - 1)])
def test_a_seed_gives_the_same_numbers_each_time(seed):
    expected = drawn(check_random_state(seed))
    for _ in range(3):
        with generator(seed) as random:
            assert drawn(random) == expected


def test_generators_in_use_at_once_are_different():
    with generator(3) as outer:
        first = outer.normal()
        with generator(3) as inner:
            assert inner.normal() == first
        assert outer.normal() != first
        with generator(3) as another:
            assert another is not outer


def test_others_are_passed_on():
    own = np.random.RandomState(1)
    with generator(own) as random:
        assert random is own
    with generator(None) as random:
        assert random is np.random.mtrand._rand


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_will_not_do(seed):
    with pytest.raises(ValueError, match="Seed must be between"), generator(seed):
        pass


def test_what_a_function_of_the_user_was_handed_is_its_own():
    kept = []

    def start(X, n_components, random):
        kept.append(random)
        return np.arange(len(X)) % n_components

    X = np.random.RandomState(0).normal(size=(40, 2))
    fit(GaussianMixture(2, init_params=start, random_state=0), X)
    state = kept[0].get_state()[1].copy()
    GaussianMixture(2, random_state=5).fit(X)
    np.testing.assert_array_equal(kept[0].get_state()[1], state)
