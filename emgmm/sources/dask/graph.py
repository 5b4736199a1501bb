"""Task graphs over the chunks of a Dask array, and their computation by Dask's scheduler.

The scheduler is that of the caller's `Client` if there is one, otherwise the one that Dask is
configured to use, by default threads of this process. The work of a pass, mostly a mixture, is one
value of the graph to which the tasks refer. So each worker receives it once, and if a worker is
lost, it can be recomputed like the chunks. Tasks are plain tuples, because a graph of `delayed`
calls takes three times as long to build.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from math import isnan
from operator import call
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
    sum_chunks,
    touch,
)
from emgmm.typing import Integers

Graph = dict[Any, Any]

# Name of the worker that holds the inputs of a task, by the key of the task.
Workers = Mapping[Any, str | None]

# A task takes the scheduler longer than the sums of a small chunk take a worker. So a task sums
# several chunks that the same worker holds, out of a number of consecutive chunks, as long as there
# are several tasks for each thread.
NEIGHBOURS = BRANCHES**2
TASKS_PER_THREAD = 4


def has_known_lengths(array: Any) -> bool:
    """Whether Dask knows the number of rows of each chunk."""
    return not any(isnan(length) for length in array.chunks[0])


class Chunks:
    """Chunks of rows and of their weights.

    Parameters
    ----------
    rows : dask Array
        Array of shape (N, D) with a single chunk along the second axis.
    weights, labels : dask Array, optional
        Arrays with one row for each row, in the same chunks.

    Attributes
    ----------
    lengths : tuple of int or None
        Number of rows of each chunk, once known.
    """

    def __init__(self, rows: Any, weights: Any = None, labels: Any = None) -> None:
        self._columns = (rows, weights, labels)
        self._arrays = [array for array in self._columns if array is not None]
        self._number = len(rows.chunks[0])
        known = has_known_lengths(rows)
        self.lengths = tuple(map(int, rows.chunks[0])) if known else None

    def __len__(self) -> int:
        return self._number

    @property
    def positions(self) -> list[ChunkPosition]:
        """Position of each chunk."""
        firsts: Iterable[int | None] = [None] * len(self)
        if self.lengths is not None:
            firsts = accumulate(self.lengths[:-1], initial=0)
        return [ChunkPosition(*pair) for pair in enumerate(firsts)]

    def each(self, work: Work, selections: Mapping[int, slice | Integers]) -> list[Any]:
        """Return the results for selections of rows, by the numbers of their chunks."""
        name = f"emgmm-rows-{uuid4().hex}"
        graph: Graph = {name: work}
        positions, holders = self.positions, self._holders(_client())
        for number, selection in selections.items():
            graph[name, number] = (call, name, positions[number], *self._parts(number), selection)
        workers = {(name, number): holders.get(number) for number in selections}
        return self._compute(name, graph, list(workers), workers)

    def total(self, work: Work) -> Total:
        """Return the total of all chunks, added in an order that depends on their number only."""
        name = f"emgmm-sum-{uuid4().hex}"
        graph: Graph = {name: work}
        client, positions = _client(), self.positions
        holders = self._holders(client)
        workers: dict[Any, str | None] = {}
        groups: list[list[Any]] = []
        for tasks in self._tasks(holders, client):
            for numbers in tasks:
                key = (name, numbers[0])
                parts = map(list, zip(*map(self._parts, numbers), strict=True))
                own = [positions[number] for number in numbers]
                graph[key] = (sum_chunks, name, len(self), own, *parts)
                workers[key] = holders.get(numbers[0])
            groups.append([(name, numbers[0]) for numbers in tasks])
        while True:
            keys = [(*group[0], len(group)) for group in groups]
            for key, group in zip(keys, groups, strict=True):
                graph[key] = (merge, len(self), group)
            if len(keys) == 1:
                return self._compute(name, graph, keys, workers)[0].root
            groups = [keys[i : i + BRANCHES] for i in range(0, len(keys), BRANCHES)]

    def _tasks(self, holders: Mapping[int, str], client: Any) -> Iterator[list[list[int]]]:
        """Yield groups of tasks to be merged, each task as the numbers of the chunks it sums."""
        n_threads = sum(client.nthreads().values()) if holders else len(self)
        limit = max(1, min(NEIGHBOURS, len(self) // (TASKS_PER_THREAD * max(1, n_threads))))
        span = NEIGHBOURS if limit > 1 else BRANCHES
        for first in range(0, len(self), span):
            held: defaultdict[Hashable, list[int]] = defaultdict(list)
            for number in range(first, min(first + span, len(self))):
                held[holders.get(number, number)].append(number)  # a task of its own if not held
            yield [
                numbers[i : i + limit]
                for numbers in held.values()
                for i in range(0, len(numbers), limit)
            ]

    # -- graphs -----------------------------------------------------------------------------------
    def _parts(self, number: int) -> Iterator[Any]:
        """Yield the keys of a chunk's rows, of its weights and of its labels, or None."""
        for array in self._columns:
            yield None if array is None else (array.name, number, *[0] * (array.ndim - 1))

    def _compute(self, name: str, graph: Graph, keys: list[Any], workers: Workers) -> list[Any]:
        """Return the values of keys, computed preferably by the given workers."""
        try:
            with _on_workers(workers):
                return self._results(name, graph, keys)
        except Exception as error:
            of_cluster = type(error).__module__.partition(".")[0] == "distributed"
            if not (of_cluster or isinstance(error, ChunkError)):
                self._find_failing()
            raise

    def _results(self, name: str, graph: Graph, keys: list[Any]) -> list[Any]:
        from dask import compute
        from dask.delayed import Delayed
        from dask.highlevelgraph import HighLevelGraph

        layers = HighLevelGraph.from_collections(name, graph, dependencies=self._arrays)
        return list(compute(*[Delayed(key, layers, layer=name) for key in keys]))

    def _holders(self, client: Any) -> dict[int, str]:
        """Return the worker that holds each persisted chunk, by the number of the chunk."""
        futures = [] if client is None else client.futures_of(self._arrays[0])
        if not futures:
            return {}
        held = client.who_has(futures)
        return {key[1]: workers[0] for key, workers in held.items() if workers}

    def _find_failing(self) -> None:
        """Compute the chunks in order, and raise an error that names the first that fails.

        A scheduler passes on the error of a task, but not which task it was.
        """
        for position in self.positions:
            name = f"emgmm-touch-{uuid4().hex}"
            try:
                self._results(name, {name: (touch, *self._parts(position.number))}, [name])
            except Exception as error:
                raise ChunkError(failure(position, error)) from error


def _client() -> Any:
    """Return the client of the cluster that Dask would use; None without a cluster.

    Raises
    ------
    ValueError
        If the client is asynchronous.
    """
    from dask.base import get_scheduler

    refusal = ValueError(
        "The Dask client is asynchronous, but a pass over X waits for its result: create a Client "
        "without asynchronous=True."
    )
    try:
        client: Any = getattr(get_scheduler(), "__self__", None)
    except RuntimeError as error:  # raised by newer versions of Dask
        raise refusal from error
    if getattr(client, "asynchronous", False):
        raise refusal
    return client if hasattr(client, "who_has") else None


def _on_workers(workers: Workers) -> AbstractContextManager[Any]:
    """Assign tasks to the workers that hold their chunks, unless these workers are lost.

    Otherwise the scheduler moves rows to workers that are less busy at the moment, because each
    worker holds one of the inputs, the work.
    """
    from dask import annotate

    preferred: defaultdict[Any, tuple[str, ...]] = defaultdict(tuple)
    preferred.update((key, (worker,)) for key, worker in workers.items() if worker is not None)
    if not preferred:
        return nullcontext()
    return annotate(workers=preferred.__getitem__, allow_other_workers=True)
