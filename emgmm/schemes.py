"""Schemes: how one mixture follows another. A scheme owns its memory and never stops by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from emgmm.em import EM
from emgmm.mixture import Mixture
from emgmm.statistics import Statistics


class Step(NamedTuple):
    """One mixture on the way, with what a pass over the rows says of it."""

    mixture: Mixture
    statistics: Statistics
    objective: float
    passes: int


def plain(em: EM, mixture: Mixture) -> Iterator[Step]:
    """EM: E-step, M-step, and so on. The M-step is made only when the next mixture is asked for."""
    while True:
        statistics = em.expect(mixture)
        yield Step(mixture, statistics, statistics.objective, em.passes)
        mixture = em.maximise(mixture, statistics)
