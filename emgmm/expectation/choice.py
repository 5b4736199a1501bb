"""Which form of the E-step serves which rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from emgmm.block import Block
from emgmm.expectation.compiled import Compiled, kernel, pays
from emgmm.expectation.exact import Exact
from emgmm.expectation.form import Form
from emgmm.expectation.incomplete import Incomplete, IncompleteExact, IncompletePacked
from emgmm.expectation.packed import Packed
from emgmm.mixture import Mixture
from emgmm.precision import PROMISE, promise_single
from emgmm.statistics import Summary
from emgmm.typing import Array

# Products of an entry of phi and a responsibility in a pass, from which the compiled kernel serves.
# Below, a pass takes a few milliseconds at most, and loading the compiler, once in a process, takes
# a second.
COMPILED_FROM = 2**20

# Many features and few components, as one to eight: two products with K rows each run at half of
# BLAS's speed then, and a triangular factor for each component is faster. Milliseconds on two
# threads, packed and exact: 371 and 277 with 128 features and 16 components, 106 and 62 with 64 and
# 8; but 420 and 615 with 128 and 64, 171 and 336 with 64 and 32.
FEW_FEATURES = 64
FEW = 8

# Standard deviations from a component within which float64 keeps the promise: a row farther than
# that from one of two has no share in it, and the promise then is of its logarithm's digits.
IN_SIGHT = 38.0

# The same for float32, whose promise speaks of rows as near as a component's own.
TYPICAL = 1.0

# Largest distance from the centre whose square float32 holds, with room for sums; and its inverse.
RANGE = 1e15


def _is_worth_compiling(mixture: Mixture, summary: Summary) -> bool:
    family, n_features = mixture.family, mixture.n_features
    entries = 1 + n_features + family.n_monomials(n_features)
    if summary.weight * mixture.n_components * entries < COMPILED_FROM:
        return False
    shape = None if family.shared else family.shape
    return pays(shape, mixture.n_components, n_features) and kernel() is not None


def _has_few_components(mixture: Mixture) -> bool:
    family, D = mixture.family, mixture.n_features
    monomials = family.n_monomials(D)
    return monomials > D >= FEW_FEATURES and mixture.n_components * FEW <= D


def form_for_pass(mixture: Mixture, summary: Summary, dtype: np.dtype[Any]) -> Form:
    """The form for a pass over the rows, of that type, that `summary` saw."""
    if not summary.complete:
        return incomplete_form(mixture)
    kind = Compiled if _is_worth_compiling(mixture, summary) else Packed
    if kind is Packed and _has_few_components(mixture):
        return Exact(mixture)
    for centre in _centres(mixture):
        packed = kind(mixture, summary, centre)
        if packed.error_near(IN_SIGHT) <= PROMISE:
            break
        if packed.error(summary.reach(packed.centre)) <= PROMISE:
            break
    else:
        return Exact(mixture)
    reach = summary.reach(packed.centre)
    if dtype == np.float32 and ((reach > 1 / RANGE) & (reach < RANGE)).all():
        single = kind(mixture, summary, packed.centre, np.float32)
        if single.error_near(TYPICAL) <= promise_single(mixture.n_features):
            return single
    return packed


def incomplete_form(mixture: Mixture) -> Incomplete:
    """The form for rows that miss some features.

    A marginal precision is at most the whole one, so what is lost to a centre is at most as much.
    """
    for centre in _centres(mixture):
        if Packed(mixture, None, centre).error_near(IN_SIGHT) <= PROMISE:
            return IncompletePacked(mixture, centre)
    return IncompleteExact(mixture)


def exact_form(mixture: Mixture, summary: Summary, centres: Array) -> Form:
    """The exact form for a pass whose statistics are taken about (K, D) centres."""
    return (Exact if summary.complete else IncompleteExact)(mixture, centres)


def _centres(mixture: Mixture) -> Iterator[Array]:
    """Where the packed form may have its centre; what comes first costs least."""
    yield mixture.centre
    yield mixture.narrow_centre


class FormForBlock:
    """Chooses for each block by its own rows: no row's result hangs on other blocks."""

    def __init__(self, mixture: Mixture) -> None:
        self.packed = Packed(mixture)
        self.exact = Exact(mixture)
        self.block_rows = self.packed.block_rows
        self._always_packed = self.packed.error_near(IN_SIGHT) <= PROMISE

    def log_joint(self, block: Block) -> Array:
        """(K, B): the log-joint of a block."""
        if not block.complete:
            return self.incomplete.log_joint(block.rows)
        packed = self._always_packed or self._is_within_reach(block.rows)
        return (self.packed if packed else self.exact).log_joint(block.rows)

    @cached_property
    def incomplete(self) -> Incomplete:
        """The form for blocks in which something is missing."""
        return incomplete_form(self.packed.mixture)

    def _is_within_reach(self, rows: Array) -> bool:
        reach = np.abs(rows - self.packed.centre[:, None]).max(axis=1)
        return self.packed.error(reach) <= PROMISE
