"""Escapes: from starts with identical components, how often the best likelihood is reached."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import OURS
from benchmarks.options import Options
from benchmarks.table import table
from emgmm import GaussianMixture

TITLE = "Escapes from identical components"
LIBRARIES = OURS[:1]
TYPES = ("full", "tied", "diag", "spherical")
NEAR = 1e-3  # nats per row
LEGEND = """\
Clear clusters (at least 6 standard deviations apart), K 3 to 8, D 1 to 10. *Reached* is the
proportion of fits whose final log-likelihood is within 1e-3 nats per row of the best one, of 20
k-means starts and of all fits in the table."""


@dataclass(frozen=True)
class Case:
    """A problem, and how many of its components start as the same one."""

    number: int
    X: NDArray[np.float64]
    n_components: int
    identical: int
    covariance_type: str

    def start(self) -> dict[str, object]:
        """All parameters: `identical` components at the data's moments, the others at rows."""
        n_features = self.X.shape[1]
        random = np.random.default_rng(self.number)
        means = np.tile(self.X.mean(axis=0), (self.n_components, 1))
        others = self.n_components - self.identical
        means[self.identical :] = self.X[random.choice(len(self.X), others, replace=False)]
        covariance = np.cov(self.X.T).reshape(n_features, n_features)
        precision = np.linalg.inv(covariance)
        shared = {
            "full": np.tile(precision, (self.n_components, 1, 1)),
            "tied": precision,
            "diag": np.tile(1 / np.diag(covariance), (self.n_components, 1)),
            "spherical": np.full(self.n_components, n_features / np.trace(covariance)),
        }
        return {
            "weights_init": np.full(self.n_components, 1 / self.n_components),
            "means_init": means,
            "precisions_init": shared[self.covariance_type],
        }


def cases(number: int) -> Iterator[Case]:
    """Problems from a fixed seed; every second one has some, not all, components identical."""
    for i in range(number):
        random = np.random.default_rng(1000 + i)
        K, D = int(random.integers(3, 9)), int(random.integers(1, 11))
        means = apart(random, K, D)
        labels = random.choice(K, size=200 * K, p=random.dirichlet(np.full(K, 10.0)))
        factors = np.eye(D) + 0.3 * random.normal(size=(K, D, D)) / np.sqrt(D)
        noise = random.normal(size=(200 * K, D))
        X = means[labels] + np.einsum("nij,nj->ni", factors[labels], noise)
        identical = K if i % 2 == 0 else int(random.integers(2, K))
        yield Case(i, X, K, identical, TYPES[i // 2 % 4])


def apart(random: np.random.Generator, K: int, D: int) -> NDArray[np.float64]:
    """(K, D) means, every two at least 6 apart."""
    side = 6.0
    while True:
        means = random.uniform(-side, side, size=(K, D))
        distances = np.linalg.norm(means[:, None] - means, axis=2) + 1e9 * np.eye(K)
        if distances.min() >= 6:
            return means
        side *= 1.05


def problems(quick: bool) -> list[Any]:  # noqa: ARG001
    """They have no names: their number is what one chooses."""
    return []


def report(options: Options) -> Iterator[str]:
    """Shares of the problems in which each way reaches the best likelihood."""
    number = 2 if options.quick else 200
    reached = {"one k-means start": 0, "plain EM": 0, "break_symmetry=True": 0}
    of_kind = {"all identical": [0, 0], "some identical": [0, 0]}
    below = passes = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases(number):
            common = {"n_components": case.n_components, "covariance_type": case.covariance_type}
            run = {**common, "tol": 1e-5, "max_iter": 500, "random_state": case.number}
            many = GaussianMixture(**run, n_init=20).fit(case.X).lower_bound_
            ends = {
                "one k-means start": GaussianMixture(**run).fit(case.X).lower_bound_,
                "plain EM": GaussianMixture(**run, **case.start(), break_symmetry=False)
                .fit(case.X)
                .lower_bound_,
            }
            model = GaussianMixture(**run, **case.start()).fit(case.X)
            ends["break_symmetry=True"] = model.lower_bound_
            best = max(many, *ends.values())
            for name, end in ends.items():
                reached[name] += end >= best - NEAR
            every = case.identical == case.n_components
            kind = of_kind["all identical" if every else "some identical"]
            kind[0] += ends["break_symmetry=True"] >= best - NEAR
            kind[1] += 1
            below += ends["break_symmetry=True"] < ends["plain EM"]
            passes += int(model.history_["passes"][-1])
    rows = [[name, f"{count / number:.1%}"] for name, count in reached.items()]
    rows += [
        [f"break_symmetry=True, {name} ({total} problems)", f"{count / max(total, 1):.1%}"]
        for name, (count, total) in of_kind.items()
    ]
    rows += [["fits that ended below plain EM from the same start", str(below)]]
    rows += [["mean number of passes over the data", f"{passes / number:.0f}"]]
    yield f"{number} problems. {LEGEND}"
    yield table(["fits", "reached"], rows)
