"""A share of the fuzzer's cases; ``python -m tests.fuzz`` examines others for as long as one likes."""

from __future__ import annotations

import pytest
from fuzz import draw, examine


@pytest.mark.parametrize("number", range(400))
def test_no_fault_is_found(number):
    faults = examine(number)
    assert not faults, f"python -m tests.fuzz --case {number}\n{draw(number)}\n{faults}"
