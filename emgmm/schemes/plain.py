"""EM as it is."""

from __future__ import annotations

from emgmm.em import EM
from emgmm.mixture import Mixture
from emgmm.schemes.step import Step, Steps


def plain(em: EM, mixture: Mixture) -> Steps:
    """EM: E-step, M-step, and so on. The M-step is made only when the next mixture is asked for."""
    while True:
        statistics = em.expect(mixture)
        yield Step(mixture, statistics, em.objective(mixture, statistics), em.passes)
        mixture = em.maximise(mixture, statistics)
