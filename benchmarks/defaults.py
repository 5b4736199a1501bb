"""Defaults: emgmm's default fit against scikit-learn's, the same seed, on data that people know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import figure, table
from benchmarks.timing import ratio, seconds
from benchmarks.worker import in_worker

SEED = 0
TOLERANCE = 1e-9
LEGEND = f"""\
Every setting at its default but for n_components, covariance_type and random_state={SEED}; whole
fits, start included; milliseconds are medians, the ratio that of the rounds. The difference is
emgmm's `lower_bound_` less scikit-learn's `score(X)`, in nats per row: both belong to the final
parameters, while scikit-learn's own `lower_bound_` belongs to those one M-step before. Both agree
if the iterations are equal in number and the difference is at most {TOLERANCE:.0e}."""

TYPES = ("full", "tied", "diag", "spherical")


@dataclass(frozen=True)
class Setting:
    """A data set of scikit-learn's, and the mixture to fit to it."""

    name: str
    data: str
    n_components: int
    covariance_type: str

    def rows(self) -> NDArray[np.floating]:
        from sklearn import datasets

        return getattr(datasets, f"load_{self.data}")(return_X_y=True)[0]


SETTINGS = {
    setting.name: setting
    for data, n_components in (("iris", 3), ("wine", 3), ("breast_cancer", 3), ("digits", 10))
    for covariance_type in TYPES
    for setting in [Setting(f"{data}-{covariance_type}", data, n_components, covariance_type)]
}

QUICK = tuple(name for name, setting in SETTINGS.items() if setting.data in ("iris", "wine"))


@dataclass
class Outcome:
    """One setting, fitted by both: seconds, round by round, and where they ended."""

    setting: Setting
    reference: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    n_iter: tuple[int, int] = (0, 0)
    difference: float = np.nan

    @property
    def agrees(self) -> bool:
        return len(set(self.n_iter)) == 1 and abs(self.difference) <= TOLERANCE


def measure(setting: Setting, repeats: int, threads: int) -> Outcome:
    """Both fits on one data set, taking turns."""
    return in_worker(threads, _measure, setting, repeats)


def _measure(setting: Setting, repeats: int) -> Outcome:
    from sklearn import mixture

    import emgmm

    X = setting.rows()
    options: dict[str, Any] = {"covariance_type": setting.covariance_type, "random_state": SEED}
    theirs = mixture.GaussianMixture(setting.n_components, **options).fit(X)
    ours = emgmm.GaussianMixture(setting.n_components, **options).fit(X)
    outcome = Outcome(
        setting,
        n_iter=(theirs.n_iter_, ours.n_iter_),
        difference=ours.lower_bound_ - theirs.score(X),
    )
    for _ in range(repeats):
        outcome.reference.append(seconds(lambda: theirs.fit(X)))
        outcome.ours.append(seconds(lambda: ours.fit(X)))
    return outcome


def report(outcomes: Sequence[Outcome]) -> Iterable[str]:
    """The paragraphs of the report, in Markdown."""
    head = ["data", "K", "sklearn ms", "emgmm ms", "ratio", "n_iter_", "difference", "agree"]
    yield LEGEND
    yield table(
        head,
        (
            [
                outcome.setting.name,
                str(outcome.setting.n_components),
                figure(1e3 * median(outcome.reference)),
                figure(1e3 * median(outcome.ours)),
                f"{figure(ratio(outcome.reference, outcome.ours))}x",
                " / ".join(map(str, dict.fromkeys(outcome.n_iter))),
                f"{outcome.difference:+.0e}",
                "yes" if outcome.agrees else "NO",
            ]
            for outcome in outcomes
        ),
    )
