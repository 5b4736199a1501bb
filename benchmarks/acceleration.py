"""Acceleration: passes over the rows until EM's own optimum, plain and accelerated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import OURS
from benchmarks.options import Options, progress
from benchmarks.table import figure, section, table
from emgmm.acceleration import SCHEMES, Scheme, evaluate
from emgmm.covariances import FAMILIES
from emgmm.datasets import old_faithful
from emgmm.em import EM
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.multistart import Given, first_mixture
from emgmm.fitting.problem import Problem
from emgmm.initialization import STARTS
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource

TITLE = "Passes to the optimum"
LIBRARIES = OURS[:1]
TYPES = ("full", "tied", "diag", "spherical")
NEAR = 1e-7  # nats per row from plain EM's optimum: there
APART = 1e-6  # nats per row between optima: not the same
SLOW = 30  # passes beyond which plain EM is worth accelerating
MOST_PASSES = 20_000
RESTING = 50  # iterations without a new highest objective: at rest, up to rounding
LEGEND = f"""\
Numbers of passes over the rows from a given start until the log-likelihood is within {NEAR:g} nats
per row of the optimum at which plain EM comes to rest, without regularization (`reg_covar=0`).
Passes for rejected extrapolations are included. *End* is the difference from that optimum when the
scheme itself comes to rest, and *smallest gain* is the smallest change in one iteration, both in
nats per row."""


@dataclass(frozen=True)
class Case:
    """Rows, a model, and the start that every scheme is given."""

    name: str
    X: NDArray[np.float64]
    n_components: int
    covariance_type: str
    start: str
    seed: int

    def em(self) -> EM:
        """EM's map at reg_covar=0, no pass made but the first."""
        return em_of(
            ArraySource(self.X), Problem(FAMILIES[self.covariance_type], self.n_components, 0.0)
        )

    @cached_property
    def first(self) -> Mixture:
        """theta_0."""
        random = np.random.RandomState(self.seed)
        return first_mixture(self.em(), STARTS[self.start], Given(), random)


def drawn(number: int, n_problems: int) -> Case:
    """Clusters whose nearest two means lie 6 down to 0.5 standard deviations apart."""
    random = np.random.default_rng(3000 + number)
    separation = 6 * (0.5 / 6) ** (number / (n_problems - 1))
    K, D = int(random.integers(2, 9)), int(random.integers(1, 11))
    means = random.normal(size=(K, D))
    distances = np.linalg.norm(means[:, None] - means, axis=2) + 1e9 * np.eye(K)
    means *= separation / distances.min()
    labels = random.choice(K, size=400 * K, p=random.dirichlet(np.full(K, 10.0)))
    factors = np.eye(D) + 0.3 * random.normal(size=(K, D, D)) / np.sqrt(D)
    noise = random.normal(size=(400 * K, D))
    X = means[labels] + np.einsum("nij,nj->ni", factors[labels], noise)
    covariance_type = TYPES[number % 4]
    name = f"{separation:.1f} sd, K {K}, D {D}, {covariance_type}"
    return Case(name, X, K, covariance_type, "kmeans", number)


def cases() -> Iterator[Case]:
    """Thirty problems from fixed seeds."""
    from sklearn.datasets import load_iris, load_wine

    for number in range(24):
        yield drawn(number, 24)
    faithful, iris, wine = old_faithful().rows, load_iris().data, load_wine().data
    yield Case("faithful, K 2, full", faithful, 2, "full", "kmeans", 0)
    yield Case("faithful, K 3, tied", faithful, 3, "tied", "kmeans", 0)
    yield Case("iris, K 3, full", iris, 3, "full", "kmeans", 0)
    yield Case("iris, K 4, diag", iris, 4, "diag", "kmeans", 0)
    yield Case("wine, K 3, full", wine, 3, "full", "kmeans", 0)
    yield Case("wine, K 4, diag", wine, 4, "diag", "kmeans", 0)


class Ascent(NamedTuple):
    """Objectives and passes on the way to rest."""

    objectives: NDArray[np.float64]
    passes: NDArray[np.int64]

    @property
    def least_gain(self) -> float:
        """The smallest change of the objective."""
        return float(np.diff(self.objectives).min())

    def passes_to(self, objective: float) -> float:
        """Passes until it is first as high; infinite where it never is."""
        there = self.objectives >= objective
        return float(self.passes[np.argmax(there)]) if there.any() else inf


def ascent(case: Case, scheme: Scheme) -> Ascent:
    """A scheme run to rest."""
    objectives, passes = [], []
    highest, since = -inf, 0
    em = case.em()
    state = scheme(evaluate(em, case.first))
    while True:
        step = state.step
        objectives.append(step.objective)
        passes.append(step.passes)
        rises = step.objective > highest + 1e-14 * abs(step.objective)
        highest, since = max(highest, step.objective), 0 if rises else since + 1
        if since == RESTING or step.passes >= MOST_PASSES:
            break
        state = state.next(em, force_plain=False)
    return Ascent(np.array(objectives), np.array(passes))


def problems(quick: bool) -> list[Case]:
    """All thirty, or the three that are real data and slow."""
    every = list(cases())
    return every[24:27] if quick else every


def report(options: Options) -> Iterator[str]:
    """One table of problems for each scheme, and the figures that sum it up."""
    yield LEGEND
    plain = [(case, ascent(case, SCHEMES[None])) for case in progress(options.problems)]
    for name in SCHEMES:
        if name is None:
            continue
        lines, ratios, ends, gains = [], [], [], []
        for case, slow in plain:
            optimum = slow.objectives[-1]
            fast = ascent(case, SCHEMES[name])
            before, now = slow.passes_to(optimum - NEAR), fast.passes_to(optimum - NEAR)
            if before > SLOW:
                ratios.append(before / now)
            ends.append(fast.objectives[-1] - optimum)
            gains.append(fast.least_gain)
            lines.append(
                [
                    case.name,
                    f"{before:.0f}",
                    f"{now:.0f}",
                    figure(before / now),
                    f"{ends[-1]:.0e}",
                    f"{slow.least_gain:.0e}",
                    f"{gains[-1]:.0e}",
                ]
            )
        yield section(name)
        gains_of = ["smallest gain, plain", f"smallest gain, {name}"]
        head = ["problem", "plain", name, "ratio", "end", *gains_of]
        yield table(head, lines)
        arrived = np.array([ratio for ratio in ratios if ratio > 0])
        mean = float(np.exp(np.log(arrived).mean()))
        yield table(
            ["all problems", "value"],
            [
                [f"problems in which plain EM needs more than {SLOW} passes", str(len(ratios))],
                ["ratio of passes in these, geometric mean", figure(mean)],
                [
                    "ratio of passes in these, smallest and largest",
                    f"{figure(min(ratios))}, {figure(max(ratios))}",
                ],
                ["fits that ended lower than plain EM", str(sum(end < -APART for end in ends))],
                ["fits that ended higher than plain EM", str(sum(end > APART for end in ends))],
                ["smallest gain in an iteration", f"{min(gains):.0e}"],
            ],
        )
