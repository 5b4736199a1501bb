"""Dask: its cost compared with a fit in memory, its communication, and Spark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from operator import methodcaller
from pickle import dumps
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from benchmarks import environments, timing
from benchmarks.agreement import log_likelihood
from benchmarks.libraries import bench_pyspark, estimators
from benchmarks.options import Options, progress
from benchmarks.problems import Problem, made
from benchmarks.table import figure, section, table
from benchmarks.timing import Turns, ratio
from benchmarks.worker import Worker, WorkerError

TITLE = "Dask"
LIBRARIES = ("emgmm", "pyspark")
CHUNKS = 16
FEW, MORE = 2, 12  # EM iterations; a pass is the difference
TINY_CHUNKS, TINY_PASSES = 2000, 3
CPU_AIM = 1.0  # milliseconds
SPARK_ROWS = 200_000  # more would take it minutes for an iteration
LEGEND = """\
Milliseconds of one EM iteration with full covariances in float64: the difference of fits of {FEW}
and of {MORE} iterations from a given start, so that starts and compilation are not included. The
{CHUNKS} chunks of rows are in memory before the measurement. *Memory*: a NumPy array, with one or
two threads. *Threads*: a Dask array with Dask's threaded scheduler. *Processes*: a Dask array on a
`LocalCluster` with one or two worker processes of one thread each; the scheduler and the client
share their cores. The ratio is that to *memory* with the same number of threads, as the median over
the rounds. The aim is less than {AIM}. *Ends* is the difference of the mean log-likelihood from
that of the fit in memory, in nats per row."""
AIM = 1.3
TRAFFIC_AIM = 4
FAR_ROWS, FAR_WORKERS, FAR_CHUNK_ROWS = 10**10, 100, 10**6


@dataclass(frozen=True)
class Place:
    """Where the rows are, and how many threads or processes work on them."""

    kind: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.number}"


PLACES = tuple(Place(kind, n) for kind in ("memory", "threads", "processes") for n in (1, 2))


class Turn(NamedTuple):
    """What one turn measured."""

    iteration: float  # seconds
    likelihood: float


class Traffic(NamedTuple):
    """What moves in one pass, in bytes, and how large a chunk's own answer is."""

    data: float  # among workers, and from them to the client
    everything: float  # with the scheduler's messages about tasks
    work: int  # the mixture and what goes with it, pickled
    answer: int  # sums of a chunk, pickled
    per_chunk: float  # seconds for each of many chunks with next to nothing in them
    cpu_per_chunk: float  # CPU seconds of the same, of all processes together


def problems(quick: bool) -> list[Problem]:
    return [Problem(20_000, 4, 4, "full", 4) if quick else Problem(2_000_000, 8, 8, "full", 4)]


# -- in a worker's process ------------------------------------------------------------------------
@cache
def client_of(processes: int) -> Any:
    """A client of so many processes; they end with this one."""
    import dask
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.comm.timeouts.connect": "120s"})
    cluster = LocalCluster(
        n_workers=processes, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    return Client(cluster)


@cache
def rows_at(place: Place, problem: Problem) -> Any:
    """The rows, where they are needed."""
    X = made(problem)[0]
    if place.kind == "memory":
        return X
    import dask.array

    if place.kind == "processes":
        client_of(place.number)
    chunks = (-(-len(X) // CHUNKS), problem.n_features)
    array = dask.array.from_array(X, chunks=chunks).persist()
    if place.kind == "processes":
        from distributed import wait

        wait(array)
    return array


def fitted(place: Place, problem: Problem, iterations: int) -> tuple[float, Any]:
    """Seconds of a fit, and the model."""
    import dask

    from emgmm import GaussianMixture

    X = rows_at(place, problem)
    start = made(problem)[1]
    model = estimators.from_start(GaussianMixture, replace(problem, iterations=iterations), start)
    pool = {"num_workers": place.number} if place.kind == "threads" else {}
    with dask.config.set(pool):
        begun = perf_counter()
        model.fit(X)
        return perf_counter() - begun, model


def take(place: Place, problem: Problem) -> Turn:
    """One turn."""
    few, _ = fitted(place, problem, FEW)
    more, model = fitted(place, problem, MORE)
    return Turn((more - few) / (MORE - FEW), model.lower_bound_)


class Written:
    """Counts the bytes that this process writes to other processes of the cluster."""

    def __init__(self) -> None:
        self.bytes = 0

    def listen(self) -> None:
        from distributed.comm.tcp import TCP

        write = TCP.write

        async def counted(comm: Any, *arguments: Any, **more: Any) -> Any:
            sent = await write(comm, *arguments, **more)
            self.bytes += sent or 0
            return sent

        TCP.write = counted


_written = Written()


def listen() -> None:
    """Count from now on."""
    _written.listen()


def counts(dask_worker: Any = None) -> tuple[int, int]:
    """Bytes that this process wrote, and of these the data that a worker handed out."""
    handed_out = 0 if dask_worker is None else dask_worker.transfer_outgoing_bytes_total
    return _written.bytes, handed_out


def moved(client: Any) -> np.ndarray:
    """The same for all processes together: workers, the scheduler and the client."""
    return np.sum([counts(), *client.run(counts).values()], axis=0)


def traffic(problem: Problem, processes: int) -> Traffic:
    """Count what one pass moves."""
    from dask import array

    from emgmm.covariances import FAMILIES
    from emgmm.fitting.first_pass import em_of
    from emgmm.fitting.problem import Problem
    from emgmm.sources import ClusterSource
    from emgmm.sources.dask.chunk import ChunkPosition, Work

    place = Place("processes", processes)
    rows, client = rows_at(place, problem), client_of(processes)
    _, model = fitted(place, problem, FEW)
    source = ClusterSource.of(rows, None)
    em = em_of(source, Problem(FAMILIES["full"], problem.n_components, 0.0))
    form = em.e_step_for_pass(model._mixture())
    compute = methodcaller("total", form.sums, form.block_rows)
    work = Work(compute, source.dtype, source.n_features)
    answer = work(ChunkPosition(0, 0), made(problem)[0][:1000])
    listen()
    client.run(listen)
    passes = 10
    nothing = moved(client)
    asking = moved(client) - nothing  # what it takes to ask
    before = moved(client)
    for _ in range(passes):
        em.sum(form.sums, form.block_rows)
    everything, data = (moved(client) - before - asking) / passes
    tiny = ClusterSource.of(
        array.from_array(made(problem)[0][:TINY_CHUNKS], chunks=(1, -1)).persist(), None
    )
    tiny.sum(form.sums, form.block_rows)
    begun = np.array([perf_counter(), cpu_seconds(client)])
    for _ in range(TINY_PASSES):
        tiny.sum(form.sums, form.block_rows)
    taken = np.array([perf_counter(), cpu_seconds(client)]) - begun
    per_chunk, cpu_per_chunk = taken / TINY_PASSES / TINY_CHUNKS
    return Traffic(data, everything, len(dumps(work)), len(dumps(answer)), per_chunk, cpu_per_chunk)


def cpu_seconds(client: Any) -> float:
    """CPU time that all processes have used: workers, and this one with the scheduler in it."""
    return process_time() + sum(client.run(process_time).values())


def by_spark(problem: Problem) -> tuple[float, Any]:
    """Seconds of an iteration, and the mixture after `MORE` of them, from Spark's own start."""
    bench_pyspark.fit_by_itself(problem, FEW)  # to warm up
    few, _ = bench_pyspark.fit_by_itself(problem, FEW)
    more, fitted = bench_pyspark.fit_by_itself(problem, MORE)
    return (more - few) / (MORE - FEW), fitted


# -- the report -----------------------------------------------------------------------------------
def report(options: Options) -> Iterator[str]:
    """The paragraphs of the report."""
    for problem in progress(options.problems):
        yield section(f"{problem.name}, {CHUNKS} chunks")
        yield LEGEND.format(FEW=FEW, MORE=MORE, CHUNKS=CHUNKS, AIM=AIM)
        turns, moves = measured(problem, options.repeats)
        failed = [f"{name}: {turn.failure}" for name, turn in turns.items() if turn.failure]
        options.wrong.extend(failed)
        if failed:
            yield "\n".join(f"- failed, {line}" for line in failed)
            continue
        yield table(["", "", "ms", "ratio", "ends"], lines(turns))
        seconds = {name: median(turn.each(lambda t: t.iteration)) for name, turn in turns.items()}
        yield scaling(seconds)
        yield what_travels(moves)
        yield far(problem, seconds["processes, 1"], moves)
        yield section("Comparison with Spark")
        yield from beside_spark(problem, options)


def measured(problem: Problem, repeats: int) -> tuple[dict[str, Turns[Turn]], Traffic]:
    """All places in turns, each with its client in a process of its own; then the traffic."""
    cores = os.cpu_count() or 1
    staff = {place: Worker(place.number if place.kind == "memory" else cores) for place in PLACES}
    try:
        takers = {
            place.name: partial(worker.call, take, place, problem)
            for place, worker in staff.items()
        }
        turns = timing.take_turns(takers, repeats)
        return turns, staff[PLACES[-1]].call(traffic, problem, PLACES[-1].number)
    finally:
        for worker in staff.values():
            worker.close()


def lines(turns: dict[str, Turns[Turn]]) -> Iterator[list[str]]:
    """Of the table: a place and what it took."""
    for place in PLACES:
        own, beside = turns[place.name], turns[Place("memory", place.number).name]
        taken = own.each(lambda t: t.iteration)
        ends = own.results[-1].likelihood - beside.results[-1].likelihood
        times = ratio(taken, beside.each(lambda t: t.iteration))
        yield [
            place.kind,
            str(place.number),
            figure(1e3 * median(taken)),
            figure(times) if 0 < times < float("inf") else "noise",
            f"{ends:+.0e}",
        ]


def scaling(seconds: dict[str, float]) -> str:
    """Speed of two threads or processes, compared with one."""
    gains = {
        kind: seconds[f"{kind}, 1"] / seconds[f"{kind}, 2"]
        for kind in ("memory", "threads", "processes")
    }
    listed = ", ".join(f"{gain:.2f} times as fast ({kind})" for kind, gain in gains.items())
    return f"Two threads or processes, compared with one: {listed}."


def what_travels(moves: Traffic) -> str:
    data, everything = (part / CHUNKS / moves.answer for part in (moves.data, moves.everything))
    return (
        f"In a pass on two processes, the mixture and the objects that accompany it "
        f"({moves.work:,} bytes, pickled) are sent to each worker once, and {moves.data:,.0f} "
        f"bytes of data are sent between workers and to the client: for each chunk, {data:.2f} "
        f"times the {moves.answer:,} bytes of its sums. With all messages of the scheduler, the "
        f"workers and the client, this is {moves.everything:,.0f} bytes, {everything:.2f} times as "
        f"much for each chunk as its sums; the aim is less than {TRAFFIC_AIM}. A pass over "
        f"{TINY_CHUNKS:,} chunks of one row takes {1e3 * moves.per_chunk:.2f} ms for each chunk, "
        f"and {1e3 * moves.cpu_per_chunk:.2f} ms of CPU time in all processes; the aim is less "
        f"than {CPU_AIM:g} ms."
    )


def far(problem: Problem, seconds: float, moves: Traffic) -> str:
    """Extrapolation to many workers, which is calculated and not measured."""
    chunks = FAR_ROWS // FAR_CHUNK_ROWS
    compute = seconds / problem.n_rows * FAR_ROWS / FAR_WORKERS
    scheduling = moves.per_chunk * chunks
    network = moves.everything / CHUNKS * chunks
    each = FAR_ROWS * problem.n_features * 8 / FAR_WORKERS
    return (
        f"The following is a calculation, not a measurement: {FAR_ROWS:,} rows of "
        f"{problem.n_features} features on {FAR_WORKERS} workers with one thread, as fast as those "
        f"above, with {each / 1e9:.1f} GB of rows each, in {chunks:,} chunks of "
        f"{FAR_CHUNK_ROWS:,} rows. A pass takes {compute:.1f} s of arithmetic, at the speed of the "
        f"single process above; {scheduling:.1f} s of scheduling, if each chunk costs as much as "
        f"here, one after the other; and {network / 1e9:.2f} s for {network / 1e6:.0f} MB through "
        f"the network, at 1 GB/s through one machine. The pass takes "
        f"{max(compute, scheduling):.1f} s if these overlap, and "
        f"{compute + scheduling + network / 1e9:.1f} s if they do not. It is assumed that the rows "
        f"remain in memory, that the chunks are distributed evenly, that no worker is slower than "
        f"the others, and that the scheduler's cost per chunk does not grow with the number of "
        f"workers."
    )


def beside_spark(problem: Problem, options: Options) -> Iterator[str]:
    """Spark on the same rows: as long as it takes, and where it ends."""
    if "pyspark" not in options.libraries:
        yield "Not measured: pyspark is missing or was left out."
        return
    problem = replace(problem, n_rows=min(problem.n_rows, SPARK_ROWS), iterations=MORE)
    X = made(problem)[0]
    ours = Place("processes", 2)
    with (
        Worker(os.cpu_count() or 1) as here,
        Worker(2, environments.python_of("pyspark")) as there,
    ):
        try:
            spark, mixture = there.call(by_spark, problem)
        except WorkerError as error:
            yield f"pyspark failed: {error}"
            return
        here.call(take, ours, problem)
        turn = here.call(take, ours, problem)
        by_itself = here.call(from_own_start, ours, problem)
    yield (
        f"{problem.size} on this machine: pyspark's `GaussianMixture` in a JVM of two threads with "
        "the rows in its memory, and emgmm on two worker processes. Milliseconds of one iteration "
        "as above, and the mean log-likelihood after "
        f"{MORE} iterations from each library's own start."
    )
    yield table(
        ["", "ms", "ends at"],
        [
            ["pyspark", figure(1e3 * spark), f"{log_likelihood(mixture, X):.6f}"],
            ["emgmm", figure(1e3 * turn.iteration), f"{by_itself:.6f}"],
        ],
    )
    yield f"emgmm is {figure(spark / turn.iteration)} times as fast."


def from_own_start(place: Place, problem: Problem) -> float:
    """Mean log-likelihood after as many iterations from k-means."""
    from emgmm import GaussianMixture

    model = GaussianMixture(
        problem.n_components, tol=0, reg_covar=0, max_iter=MORE, random_state=bench_pyspark.SEED
    )
    return model.fit(rows_at(place, problem)).lower_bound_
