"""Content of a checkpoint, and checks that it is consistent with the fit that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from math import prod
from typing import Any

import numpy as np

from emgmm.acceleration import MEMORIES
from emgmm.acceleration.anderson import Accelerated, Change, Point
from emgmm.em import EM
from emgmm.fitting.loop import Ending, HistoryEntry, Progress, Run
from emgmm.fitting.recorder import FinishedStarts, Outcome
from emgmm.mixture import Mixture
from emgmm.noise import Box, Function, Noise
from emgmm.statistics import Statistics
from emgmm.storage.archive import DamagedError, fields_of
from emgmm.storage.restored import (
    ROUNDING,
    check_finite,
    check_mixture,
    check_statistics,
    scatter_shape,
)

# Largest number of passes that an array of a history can contain.
MAX_PASSES = np.iinfo(np.int64).max

# Number of words of the state of the Mersenne twister, which is the longest of all generators.
STATE_WORDS = 624


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """Result or singular components of a run, and the number of passes when it ended."""

    run: Run | None
    failed: tuple[int, ...] | None
    passes: int


@dataclass(frozen=True, eq=False)
class Record:
    """State from which a fit continues.

    Parameters
    ----------
    starts : FinishedStarts
        Results of the starts before the current one.
    random : dict
        State of the random number generator at the beginning of the current start.
    passes : int
        Number of passes at the beginning of the current start.
    finished : tuple of FinishedRun
        Finished runs of the current start, in order.
    progress : Progress, optional
        State of the run after these.
    """

    starts: FinishedStarts
    random: dict[str, Any]
    passes: int
    finished: tuple[FinishedRun, ...] = ()
    progress: Progress | None = None

    @property
    def has_results(self) -> bool:
        """Whether there is any result from which a fit could continue."""
        return bool(self.starts.outcomes or self.finished or self.progress)


@dataclass(frozen=True, eq=False)
class Content:
    """Content of a checkpoint.

    Parameters
    ----------
    settings : dict
        Settings that must be the same when the fit continues, as text.
    digest : int
        Digest of the rows and their weights, in their order.
    record : Record
        State of the fit.
    """

    settings: dict[str, str]
    digest: int
    record: Record


CLASSES = (
    *(Content, Record, FinishedRun, FinishedStarts, Progress, HistoryEntry, Run, Outcome),
    *(Mixture, Noise, Box, Function, Statistics, *MEMORIES),
)


def check_record(record: Record, em: EM, random: np.random.RandomState) -> None:
    """Check that a record belongs to a fit with this EM map and this kind of generator.

    The types of its fields have been checked before.

    Raises
    ------
    ValueError
        If it does not.
    """
    _check_state(record.random, random.get_state(legacy=False))
    K, D = em.n_components, em.source.n_features
    parts = list(_all_values(record))
    for part in parts:
        if isinstance(part, Mixture):
            _check_mixture(part, em)
        elif isinstance(part, Statistics):
            check_statistics(part, em.family, K, D)
        elif not _is_possible(part, range(K)):
            raise DamagedError(f"a {type(part).__name__} in it contradicts itself")
    for part in parts:
        if isinstance(part, Accelerated):
            _check_memory(part, em)


def _check_memory(state: Accelerated, em: EM) -> None:
    """Check that the memory of Anderson's method is one of a fit with this EM map."""
    K, D, family = em.n_components, em.source.n_features, em.family
    n_counts = K + (em.m_step.density is not None)
    if state.origin is None:
        size = prod(state.step.mixture.size)
    else:
        size = n_counts + K * D + prod(scatter_shape(family, K, D))
    coordinates: list[Point | Change] = [state.point, *state.memory]
    for part in coordinates:
        for name in ("x", "residual", "eta"):
            check_finite(f"a step's {name}", getattr(part, name), (size,))
        total, change = part.x[:n_counts].sum(), part.residual[:n_counts].sum()
        if max(abs(total - isinstance(part, Point)), abs(change)) > ROUNDING:
            raise DamagedError("counts of a step in it do not sum to the weight of the rows")


def _check_mixture(mixture: Mixture, em: EM) -> None:
    """Check that a mixture is one of a fit with this EM map."""
    if mixture.means.shape != (em.n_components, em.source.n_features):
        raise DamagedError(f"means in it have the shape {mixture.means.shape}")
    if mixture.family is not em.family or mixture.means.dtype != em.source.dtype:
        raise DamagedError("a mixture in it has another covariance_type or dtype")
    if (mixture.noise is None) != (em.m_step.density is None):
        raise DamagedError("a mixture in it has other noise")
    check_mixture(mixture)


def _is_possible(part: Any, components: range) -> bool:
    """Whether the fields of an object are consistent."""
    if not 0 <= getattr(part, "passes", 0) <= MAX_PASSES:
        return False
    match part:
        case Record(finished=finished):
            return all(each.run is None or each.run.n_iter for each in finished[1:])
        case FinishedRun(run=run, failed=failed):
            return (run is None) != (failed is None) and {*components}.issuperset(failed or ())
        case FinishedStarts(outcomes=outcomes, best=best, failed=failed):
            some = not outcomes or best is not None or failed is not None
            return some and {*components}.issuperset(failed or ())
        case HistoryEntry(objective=objective):
            return objective < np.inf
        case Progress(n_iter=n_iter, entries=entries):
            return 0 <= n_iter < len(entries)
        case Run(entries=entries, coincident=groups):
            least = 1 if part.ending is Ending.START_ONLY else 2
            return len(entries) >= least and all(k in components for g in groups for k in g)
    return True


def _all_values(value: Any) -> Iterator[Any]:
    """Yield an object and, recursively, the values in its fields."""
    yield value
    items = value if isinstance(value, tuple | list) else ()
    if is_dataclass(value) or hasattr(value, "_asdict"):
        items = tuple(fields_of(value).values())
    for item in items:
        yield from _all_values(item)


def _check_state(state: Any, like: Any, name: str = "state") -> None:
    """Check that a state of a random number generator has the structure of another one."""
    valid = type(state) is type(like)
    if valid and isinstance(like, dict):
        valid = state.keys() == like.keys()
        for key in like if valid else ():
            _check_state(state[key], like[key], key)
    elif valid and isinstance(like, np.ndarray):
        valid = state.shape == like.shape and state.dtype == like.dtype
        if valid and name == "key":  # a generator whose words are mostly 0 yields zeros
            valid = 2 * np.count_nonzero(state) > state.size
    elif isinstance(like, str):
        valid = state == like
    elif valid and name.endswith("pos"):  # NumPy reads from this index without checking its bounds
        valid = 0 <= state <= STATE_WORDS
    if not valid:
        raise DamagedError(f"the {name} of its random number generator is not valid")
