"""Graphs of tasks over the chunks of a Dask array, and all that is asked of Dask's scheduler.

The scheduler is that of the caller's `Client` if there is one, threads of this process otherwise,
or what Dask was configured to use. The work of a pass, a mixture mostly, is one value of its graph,
to which tasks refer: each worker gets it once, and like the chunks it can be had again where a
worker is lost. Tasks are plain tuples: a graph of Dask's own `delayed` calls takes three times as
long to make.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from math import isnan
from typing import Any
from uuid import uuid4

from emgmm.sources.dask.chunk import (
    BRANCHES,
    ChunkError,
    ChunkPosition,
    Total,
    Work,
    failure,
    merge,
    run,
    run_on_several,
    touch,
)

# A task costs the scheduler more than the sums of a small chunk cost a worker. So one task sums
# several chunks that the same worker holds, out of so many neighbours, as long as there are some
# tasks for each thread.
NEIGHBOURS = BRANCHES**2
TASKS_PER_THREAD = 4


def has_known_lengths(array: Any) -> bool:
    """Whether Dask knows how many rows each chunk has."""
    return not any(isnan(length) for length in array.chunks[0])


class Chunks:
    """The chunks of rows, and of their weights.

    Parameters
    ----------
    rows : dask Array
        (N, D), one chunk wide.
    weights : dask Array, optional
        (N,), in the same chunks.

    Attributes
    ----------
    lengths : tuple of int or None
        How many rows each has, once that is known.
    """

    def __init__(self, rows: Any, weights: Any = None) -> None:
        self._arrays = [rows] if weights is None else [rows, weights]
        self._number = len(rows.chunks[0])
        known = has_known_lengths(rows)
        self.lengths = tuple(map(int, rows.chunks[0])) if known else None

    def __len__(self) -> int:
        return self._number

    @property
    def places(self) -> list[ChunkPosition]:
        """Where each stands."""
        if self.lengths is None:
            return [ChunkPosition(number, None) for number in range(len(self))]
        return [
            ChunkPosition(*pair) for pair in enumerate(accumulate(self.lengths[:-1], initial=0))
        ]

    def each(self, work: Work, more: Mapping[int, tuple[Any, ...]] | None = None) -> list[Any]:
        """What the work makes of each chunk, or of some, which have arguments of their own."""
        name, graph = self._begin(work)
        holders = self._holders(_client())
        for place in self.places:
            if more is None or place.number in more:
                arguments = () if more is None else more[place.number]
                graph[name, place.number] = self._task(name, place, *arguments)
        keys = list(graph)[1:]
        return self._computed(name, graph, keys, {key: holders.get(key[1]) for key in keys})

    def total(self, work: Work) -> Total:
        """The totals of all chunks, added up in an order that depends on their number alone."""
        name, graph = self._begin(work)
        client, places = _client(), self.places
        holders = self._holders(client)
        workers: dict[Any, str | None] = {}
        groups: list[list[Any]] = []
        for shares in self._shares(holders, client):
            for numbers in shares:
                key = (name, numbers[0])
                parts = map(list, zip(*map(self._parts, numbers), strict=True))
                own = [places[number] for number in numbers]
                graph[key] = (run_on_several, name, len(self), own, *parts)
                workers[key] = holders.get(numbers[0])
            groups.append([(name, numbers[0]) for numbers in shares])
        while True:
            keys = [(*group[0], len(group)) for group in groups]
            graph.update(
                (key, (merge, len(self), group)) for key, group in zip(keys, groups, strict=True)
            )
            if len(keys) == 1:
                return self._computed(name, graph, keys, workers)[0].root
            groups = [keys[i : i + BRANCHES] for i in range(0, len(keys), BRANCHES)]

    def _shares(self, holders: Mapping[int, str], client: Any) -> Iterator[list[list[int]]]:
        """Numbers of the chunks that each task sums, by the tasks whose totals are merged."""
        n_threads = sum(client.nthreads().values()) if holders else len(self)
        most = min(NEIGHBOURS, len(self) // (TASKS_PER_THREAD * max(1, n_threads)))
        most = max(1, most)
        span = NEIGHBOURS if most > 1 else BRANCHES
        for first in range(0, len(self), span):
            held: defaultdict[Hashable, list[int]] = defaultdict(list)
            for number in range(first, min(first + span, len(self))):
                held[holders.get(number, number)].append(number)  # alone if no worker holds it
            yield [
                numbers[i : i + most]
                for numbers in held.values()
                for i in range(0, len(numbers), most)
            ]

    # -- graphs -----------------------------------------------------------------------------------
    def _begin(self, work: Any) -> tuple[str, dict[Any, Any]]:
        """A name that no other graph has, and a graph with the work in it, under that name."""
        name = f"emgmm-{type(work).__name__.lower()}-{uuid4().hex}"
        return name, {name: work}

    def _parts(self, number: int) -> Iterator[Any]:
        """Keys of a chunk's rows and of its weights."""
        for array in self._arrays:
            yield (array.name, number, *[0] * (array.ndim - 1))

    def _task(self, name: str, place: ChunkPosition, *more: Any) -> tuple[Any, ...]:
        rows, weights = [*self._parts(place.number), None][:2]
        return (run, name, place, rows, weights, *more)

    def _computed(
        self,
        name: str,
        graph: dict[Any, Any],
        keys: list[Any],
        workers: Mapping[Any, str | None],
    ) -> list[Any]:
        """Values of keys, computed on these workers as long as they live."""
        try:
            with _near(workers):
                return self._results(name, graph, keys)
        except ChunkError:
            raise
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "distributed":  # not the cluster's own
                self._find_failing()
            raise

    def _results(self, name: str, graph: dict[Any, Any], keys: list[Any]) -> list[Any]:
        from dask import compute
        from dask.delayed import Delayed
        from dask.highlevelgraph import HighLevelGraph

        layers = HighLevelGraph.from_collections(name, graph, dependencies=self._arrays)
        return list(compute(*[Delayed(key, layers, layer=name) for key in keys]))

    def _holders(self, client: Any) -> dict[int, str]:
        """The worker that holds each chunk, by the chunk's number; of persisted rows only."""
        futures = [] if client is None else client.futures_of(self._arrays[0])
        if not futures:
            return {}
        held = client.who_has(futures)
        return {key[1]: workers[0] for key, workers in held.items() if workers}

    def _find_failing(self) -> None:
        """Make the chunks one after the other, and raise for the first that cannot be made.

        A scheduler hands on what a task raised, but not which task it was.
        """
        for place in self.places:
            name = f"emgmm-touch-{uuid4().hex}"
            try:
                self._results(name, {name: (touch, *self._parts(place.number))}, [name])
            except Exception as error:
                raise ChunkError(failure(place, error)) from error


def _client() -> Any:
    """The client of a cluster that would compute; None where there is none.

    Raises
    ------
    ValueError
        If it is asynchronous.
    """
    from dask.base import get_scheduler

    refusal = ValueError(
        "The Dask client is asynchronous, but a pass over X waits for its result: make a Client "
        "without asynchronous=True."
    )
    try:
        client: Any = getattr(get_scheduler(), "__self__", None)
    except RuntimeError as error:  # from newer versions of Dask
        raise refusal from error
    if getattr(client, "asynchronous", False):
        raise refusal
    return client if hasattr(client, "who_has") else None


def _near(workers: Mapping[Any, str | None]) -> AbstractContextManager[Any]:
    """Give tasks to the workers that hold their chunks, as long as these live.

    Left to itself the scheduler moves rows to a worker that has less to do for the moment: the
    work, which all workers have, makes any of them a candidate.
    """
    from dask import annotate

    near: defaultdict[Any, tuple[str, ...]] = defaultdict(tuple)
    near.update((key, (worker,)) for key, worker in workers.items() if worker is not None)
    if not near:
        return nullcontext()
    return annotate(workers=near.__getitem__, allow_other_workers=True)
