"""What a checkpoint holds of a fit, and whether it could be of the fit that reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from math import prod
from typing import Any

import numpy as np

from emgmm.acceleration import MEMORIES, Change, Point
from emgmm.em import EM
from emgmm.fitting.loop import Ending, Mark, Progress, Run
from emgmm.fitting.recorder import Failure, Outcome, StartsSoFar
from emgmm.mixture import Mixture
from emgmm.noise import Box, Function, Noise
from emgmm.statistics import Statistics
from emgmm.storage.archive import DamagedError, parts_of
from emgmm.storage.restored import check_finite, check_mixture, check_statistics, scatter_shape

# Difference of sums of shares that may be rounding.
TOTAL = 1e-6

# Words of the state of the Mersenne twister, the longest there is.
STATE_WORDS = 624


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What a run ended with, and the passes made by then."""

    run: Run | None
    failure: Failure | None
    passes: int


@dataclass(frozen=True, eq=False)
class Record:
    """All that a fit needs to go on.

    Parameters
    ----------
    standing : Standing
        At the beginning of the present start.
    random : dict
        State of the random numbers then.
    passes : int
        Made by then.
    ended : tuple of Ended
        Runs of this start that have ended, in order.
    under_way : Progress, optional
        The run after these.
    """

    standing: StartsSoFar
    random: dict[str, Any]
    passes: int
    ended: tuple[FinishedRun, ...] = ()
    under_way: Progress | None = None

    @property
    def begun(self) -> bool:
        """Whether a start has led anywhere: before, there is nothing to go on from."""
        return bool(self.standing.number or self.ended or self.under_way)


@dataclass(frozen=True, eq=False)
class Content:
    """All that is in a checkpoint.

    Parameters
    ----------
    settings : dict
        What must be the same when the fit goes on, as text.
    digest : int
        Of the rows and their weights, in their order.
    record : Record
        How far the fit has come.
    """

    settings: dict[str, str]
    digest: int
    record: Record


CLASSES = (
    *(Content, Record, FinishedRun, Failure, StartsSoFar, Progress, Mark, Run, Outcome),
    *(Mixture, Noise, Box, Function, Statistics, *MEMORIES),
)


def check_record(record: Record, em: EM, random: np.random.RandomState) -> None:
    """A record is of a fit with such a map, which draws its random numbers from such a generator.

    That its parts have the types which their classes declare is known.

    Raises
    ------
    ValueError
        Where it is not.
    """
    _check_state(record.random, random.get_state(legacy=False))
    K, D = em.n_components, em.source.n_features
    scatter = scatter_shape(em.family, K, D)
    n_lines = K + (em.m_step.density is not None)
    n_coordinates = n_lines + K * D + prod(scatter)
    for part in _all_parts(record):
        if isinstance(part, Mixture):
            _check_mixture(part, em)
        elif isinstance(part, Statistics):
            check_statistics(part, em.family, K, D)
        elif isinstance(part, Point | Change):
            for name in ("x", "residual", "eta"):
                check_finite(f"a step's {name}", getattr(part, name), (n_coordinates,))
            masses, steps = part.x[:n_lines].sum(), part.residual[:n_lines].sum()
            if max(abs(masses - isinstance(part, Point)), abs(steps)) > TOTAL:
                raise DamagedError("masses of a step in it do not sum to the rows' weight")
        elif not _is_possible(part, range(K)):
            raise DamagedError(f"a {type(part).__name__} in it contradicts itself")


def _check_mixture(mixture: Mixture, em: EM) -> None:
    if mixture.means.shape != (em.n_components, em.source.n_features):
        raise DamagedError(f"means in it have the shape {mixture.means.shape}")
    if mixture.family is not em.family or mixture.means.dtype != em.source.dtype:
        raise DamagedError("a mixture in it has another covariance_type or dtype")
    if (mixture.noise is None) != (em.m_step.density is None):
        raise DamagedError("a mixture in it has other noise")
    check_mixture(mixture)


def _is_possible(part: Any, components: range) -> bool:
    """Whether the fields of an object go together."""
    match part:
        case Record(ended=ended):
            return all(each.run is None or each.run.n_iter for each in ended[1:])
        case FinishedRun(run=run, failure=failure):
            return (run is None) != (failure is None)
        case StartsSoFar(outcomes=outcomes, best=best, failure=failure):
            return not outcomes or best is not None or failure is not None
        case Failure(components=failed):
            return all(k in components for k in failed)
        case Progress(n_iter=n_iter, marks=marks):
            return 0 <= n_iter < len(marks)
        case Run(objectives=objectives, passes=passes, events=events, met=met):
            least = 1 if part.ending is Ending.START_ONLY else 2
            same = len(objectives) == len(passes) == len(events)
            return same and len(events) >= least and all(k in components for g in met for k in g)
    return True


def _all_parts(value: Any) -> Iterator[Any]:
    """An object, and all that it is made of."""
    yield value
    if is_dataclass(value) or hasattr(value, "_asdict"):
        items: Iterable[Any] = (item for _, item in parts_of(value))
    else:
        items = value if isinstance(value, tuple | list) else ()
    for item in items:
        yield from _all_parts(item)


def _check_state(state: Any, like: Any, name: str = "state") -> None:
    """A state of random numbers has the structure of another one."""
    right = type(state) is type(like)
    if right and isinstance(like, dict):
        right = state.keys() == like.keys()
        for key in like if right else ():
            _check_state(state[key], like[key], key)
    elif right and isinstance(like, np.ndarray):
        right = state.shape == like.shape and state.dtype == like.dtype
        if right and name == "key":  # a generator whose words are mostly 0 yields zeros
            right = 2 * np.count_nonzero(state) > state.size
    elif isinstance(like, str):
        right = state == like
    elif right and name.endswith("pos"):  # NumPy reads from there without a look at the bounds
        right = 0 <= state <= STATE_WORDS
    if not right:
        raise DamagedError(f"the {name} of its random numbers is none")
