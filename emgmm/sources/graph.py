"""Graphs of tasks over the chunks of a Dask array, and all that is asked of Dask's scheduler.

The scheduler is that of the caller's `Client` if there is one, threads of this process otherwise,
or what Dask was configured to use. The work of a pass, a mixture mostly, is one value of its graph,
to which tasks refer: each worker gets it once, and like the chunks it can be had again where a
worker is lost. Tasks are plain tuples: a graph of Dask's own `delayed` calls takes three times as
long to make.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from math import isnan
from typing import Any
from uuid import uuid4

from emgmm.sources.chunk import ChunkError, Place, Total, Work, failure, run, totalled, touch

# Totals that one task adds up.
BRANCHES = 8


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
    def places(self) -> list[Place]:
        """Where each stands."""
        if self.lengths is None:
            return [Place(number, None) for number in range(len(self))]
        return [Place(*pair) for pair in enumerate(accumulate(self.lengths[:-1], initial=0))]

    def each(self, work: Work, more: Mapping[int, tuple[Any, ...]] | None = None) -> list[Any]:
        """What the work makes of each chunk, or of some, which have arguments of their own."""
        name, graph = self._begin(work)
        for place in self.places:
            if more is None or place.number in more:
                arguments = () if more is None else more[place.number]
                graph[name, place.number] = self._task(name, place, *arguments)
        return self._computed(name, graph, list(graph)[1:])

    def total(self, work: Work) -> Total:
        """The totals of all chunks, added up in their order."""
        name, graph = self._begin(work)
        graph.update(((name, place.number), self._task(name, place)) for place in self.places)
        keys = list(graph)[1:]
        while len(keys) > 1:
            groups = [keys[i : i + BRANCHES] for i in range(0, len(keys), BRANCHES)]
            keys = [(*group[0], len(group)) for group in groups]
            graph.update((key, (totalled, group)) for key, group in zip(keys, groups, strict=True))
        return self._computed(name, graph, keys)[0]

    # -- graphs -----------------------------------------------------------------------------------
    def _begin(self, work: Any) -> tuple[str, dict[Any, Any]]:
        """A name that no other graph has, and a graph with the work in it, under that name."""
        name = f"emgmm-{type(work).__name__.lower()}-{uuid4().hex}"
        return name, {name: work}

    def _parts(self, number: int) -> Iterator[Any]:
        """Keys of a chunk's rows and of its weights."""
        for array in self._arrays:
            yield (array.name, number, *[0] * (array.ndim - 1))

    def _task(self, name: str, place: Place, *more: Any) -> tuple[Any, ...]:
        rows, weights = [*self._parts(place.number), None][:2]
        return (run, name, place, rows, weights, *more)

    def _computed(self, name: str, graph: dict[Any, Any], keys: list[Any]) -> list[Any]:
        try:
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
        with self._near_rows(name):
            return list(compute(*[Delayed(key, layers, layer=name) for key in keys]))

    def _near_rows(self, name: str) -> AbstractContextManager[Any]:
        """Give tasks to the workers that hold their chunks, as long as these live.

        Left to itself the scheduler moves rows to a worker that has less to do for the moment: the
        work, which all workers have, makes any of them a candidate.
        """
        from dask import annotate
        from dask.base import get_scheduler

        client: Any = getattr(get_scheduler(), "__self__", None)
        futures = client.futures_of(self._arrays[0]) if hasattr(client, "who_has") else []
        if not futures:
            return nullcontext()
        holders: defaultdict[Any, tuple[str, ...]] = defaultdict(tuple)
        for key, workers in client.who_has(futures).items():
            holders[name, key[1]] = tuple(workers)
        return annotate(workers=holders.__getitem__, allow_other_workers=True)

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
