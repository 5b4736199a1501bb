"""Which form of the E-step serves which rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from emgmm.expectation.compiled import Compiled, kernel, pays
from emgmm.expectation.exact import Exact
from emgmm.expectation.form import Form
from emgmm.expectation.packed import Packed
from emgmm.mixture import Mixture
from emgmm.precision import PROMISE, promise_single
from emgmm.statistics import Summary
from emgmm.typing import Array

# Products of an entry of phi and a responsibility in a pass, from which the compiled kernel serves.
# Below, a pass takes a few milliseconds at most, and loading the compiler, once in a process, takes
# a second.
COMPILED_FROM = 2**20


def _is_worth_compiling(mixture: Mixture, summary: Summary) -> bool:
    family, n_features = mixture.family, mixture.n_features
    entries = 1 + n_features + family.n_monomials(n_features)
    if summary.weight * mixture.n_components * entries < COMPILED_FROM:
        return False
    shape = None if family.shared else family.shape
    return pays(shape, mixture.n_components, n_features) and kernel() is not None


def form_for_pass(mixture: Mixture, summary: Summary, dtype: np.dtype[Any]) -> Form:
    """The form for a pass over the rows, of that type, that `summary` saw."""
    kind = Compiled if _is_worth_compiling(mixture, summary) else Packed
    packed = kind(mixture, summary)
    if packed.error(summary.reach(packed.centre)) > PROMISE:
        return Exact(mixture)
    if dtype == np.float32:
        single = kind(mixture, summary, np.float32)
        if single.typical_error() <= promise_single(mixture.n_features):
            return single
    return packed


class FormForBlock:
    """Chooses for each (D, B) block by its own rows: no row's result hangs on other blocks."""

    def __init__(self, mixture: Mixture) -> None:
        self.packed = Packed(mixture)
        self.exact = Exact(mixture)
        self.block_rows = self.packed.block_rows

    def log_joint(self, rows: Array) -> Array:
        """(K, B): the log-joint of a (D, B) block."""
        reach = np.abs(rows - self.packed.centre[:, None]).max(axis=1)
        form = self.packed if self.packed.error(reach) <= PROMISE else self.exact
        return form.log_joint(rows)
