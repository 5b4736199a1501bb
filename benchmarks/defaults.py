"""Defaults: emgmm's whole default fit against scikit-learn's, the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import libraries, timing
from benchmarks.libraries import OURS, REFERENCE
from benchmarks.options import Options, progress
from benchmarks.problems import SEED as ROWS
from benchmarks.problems import Problem, made
from benchmarks.table import figure, table
from benchmarks.timing import Stopwatch, Turns, ratio, seconds
from benchmarks.workers import workers

TITLE = "Whole fits with default parameters"
LIBRARIES = (REFERENCE, *OURS)
SEED = 0
TOLERANCE = 1e-9
LEGEND = f"""\
Whole fits including the start, with default parameters except for n_components, covariance_type and
random_state={SEED}. Milliseconds are medians, and ratios are medians over the rounds. The rows are
iris, wine, breast cancer and digits as scikit-learn provides them, and `overlapping`: 8 clusters so
close that EM takes 20 iterations or more. `given` starts from given parameters instead, and
continues until convergence. The difference is emgmm's `lower_bound_` minus scikit-learn's
`score(X)`, in nats per row. Both belong to the final parameters, whereas scikit-learn's
`lower_bound_` belongs to the parameters of the previous M-step. The fits agree if their numbers of
iterations are equal and the difference is at most {TOLERANCE:.0e}. *Start* is the proportion of the
time that the start takes: the run of k-means within scikit-learn's fit, and emgmm's fit with
`max_iter=0`, which consists of its start and one pass over the rows."""

TYPES = ("full", "tied", "diag", "spherical")


@dataclass(frozen=True)
class Setting:
    """A data set, and the mixture to fit to it."""

    name: str
    n_components: int
    covariance_type: str
    make: Callable[[], NDArray[np.floating]]
    given: Problem | None = None  # whose start to begin with

    @property
    def options(self) -> dict[str, Any]:
        """What is not left at its default."""
        options = {"covariance_type": self.covariance_type, "random_state": SEED}
        if self.given is None:
            return options
        start = made(self.given)[1]
        return {
            **options,
            "weights_init": start.weights,
            "means_init": start.means,
            "precisions_init": start.precisions,
        }


def loaded(data: str) -> NDArray[np.floating]:
    """One of scikit-learn's data sets."""
    from sklearn import datasets

    return getattr(datasets, f"load_{data}")(return_X_y=True)[0]


def overlapping(n_rows: int, n_features: int, n_components: int) -> NDArray[np.floating]:
    """Clusters of unequal widths, about two standard deviations from one to another."""
    random = np.random.default_rng(ROWS)
    means = random.normal(0, 2.0 / np.sqrt(2 * n_features), (n_components, n_features))
    widths = np.exp(random.normal(0, 0.3, (n_components, n_features)))
    labels = random.integers(n_components, size=n_rows)
    return means[labels] + widths[labels] * random.standard_normal((n_rows, n_features))


def given(problem: Problem) -> NDArray[np.floating]:
    return made(problem)[0]


_SMALL = Problem(2_000, 2, 3, "full", 1)
SETTINGS = {
    setting.name: setting
    for setting in (
        *(
            Setting(f"{data}-{kind}", n_components, kind, partial(loaded, data))
            for data, n_components in (
                ("iris", 3),
                ("wine", 3),
                ("breast_cancer", 3),
                ("digits", 10),
            )
            for kind in TYPES
        ),
        *(
            Setting(f"overlapping-2e5x8x8-{kind}", 8, kind, partial(overlapping, 200_000, 8, 8))
            for kind in ("full", "diag")
        ),
        Setting("given-2000x2x3-full", 3, "full", partial(given, _SMALL), _SMALL),
    )
}
QUICK = ("iris-full", "wine-tied", "given-2000x2x3-full")


def problems(quick: bool) -> list[Setting]:
    return [SETTINGS[name] for name in (QUICK if quick else SETTINGS)]


class Turn(NamedTuple):
    """One whole fit."""

    whole: float  # seconds
    start: float  # of these
    n_iter: int
    likelihood: float  # per row, of the final parameters


@lru_cache(maxsize=1)
def rows(setting_name: str) -> NDArray[np.floating]:
    """Of a setting, kept until another's are asked for in this process."""
    return SETTINGS[setting_name].make()


def take(name: str, setting_name: str) -> Turn:
    """One turn of a library at a setting."""
    setting, X = SETTINGS[setting_name], rows(setting_name)
    cls = libraries.load(name).estimator()
    model = cls(setting.n_components, **setting.options)
    whole = seconds(lambda: model.fit(X))
    if name == REFERENCE:
        return Turn(whole, of_kmeans(model, X), model.n_iter_, model.score(X))
    begins = cls(setting.n_components, **setting.options, max_iter=0)
    return Turn(whole, seconds(lambda: begins.fit(X)), model.n_iter_, model.lower_bound_)


def of_kmeans(model: Any, X: NDArray[np.floating]) -> float:
    """Seconds that a fit spends in k-means."""
    from sklearn.cluster import KMeans

    watch, fit = Stopwatch(), KMeans.fit
    KMeans.fit = watch.around(fit)
    try:
        model.fit(X)
    finally:
        KMeans.fit = fit
    return watch.seconds


def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    names = options.libraries
    lines = []
    with workers(names, options.threads) as staff:
        for setting in progress(options.problems):
            turns = timing.take_turns(
                {name: partial(w.call, take, name, setting.name) for name, w in staff.items()},
                options.repeats,
            )
            lines.append([setting.name, str(setting.n_components), *cells(turns)])
    yield LEGEND
    yield table(
        ["data", "K", "sklearn ms", "start"]
        + [f"{name} {what}" for name in names[1:] for what in ("ms", "start")]
        + ["n_iter\\_", "difference", "agree"],
        lines,
    )


def cells(turns: dict[str, Turns[Turn]]) -> Iterator[str]:
    """One line of the table, but for its name."""
    reference = turns[REFERENCE]
    if broken := [f"{name}: {turn.failure}" for name, turn in turns.items() if turn.failure]:
        raise RuntimeError("; ".join(broken))
    for turn in turns.values():
        whole = turn.each(lambda t: t.whole)
        taken = figure(1e3 * median(whole))
        times = ratio(reference.each(lambda t: t.whole), whole)
        yield taken if turn is reference else f"{taken} ({figure(times)}x)"
        yield f"{median(turn.each(lambda t: t.start / t.whole)):.0%}"
    last = [turn.results[-1] for turn in turns.values()]
    n_iter = dict.fromkeys(t.n_iter for t in last)
    difference = max((t.likelihood - last[0].likelihood for t in last[1:]), key=abs)
    yield " / ".join(map(str, n_iter))
    yield f"{difference:+.0e}"
    yield "yes" if len(n_iter) == 1 and abs(difference) <= TOLERANCE else "NO"
