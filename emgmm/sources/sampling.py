"""Which rows stand for all: by their numbers alone, so that every kind of source chooses alike."""

from __future__ import annotations

import numpy as np
from sklearn.utils.random import sample_without_replacement

from emgmm.typing import Integers


def row_numbers(n_rows: int, limit: int, random: np.random.RandomState) -> Integers | None:
    """Up to `limit` of `n_rows` row numbers, ascending; None where that is all of them.

    They depend on `random` and the two counts only.
    """
    if n_rows <= limit:
        return None
    chosen = sample_without_replacement(  # the one way whose memory does not grow with n_rows
        n_rows, limit, method="reservoir_sampling", random_state=random
    )
    return np.sort(chosen)
