"""A worker: a process, of any environment, that is handed functions to call, one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
PATIENCE = 600.0  # seconds that one call may take

Result = TypeVar("Result")


class WorkerError(RuntimeError):
    """What went wrong in a worker, in words."""


class Worker:
    """A process with its own imports, its own caches, and a given number of threads.

    It starts with the first call, and again with the next one if it has died.
    """

    def __init__(self, threads: int, python: str = sys.executable) -> None:
        self.threads = threads
        self.python = python
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What a function of a module of ours returns, there."""
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        try:
            self._pipe.send((function, arguments))
            if not self._pipe.poll(PATIENCE):
                self.close()
                raise WorkerError(f"no answer within {PATIENCE:.0f} s")
            sound, answer = self._pipe.recv()
        except (EOFError, OSError):
            status = self.close()
            raise WorkerError(f"the process died (status {status})") from None
        if not sound:
            raise WorkerError(answer)
        return answer

    def close(self) -> int | None:
        """End the process; returns the status with which it ended."""
        if self._process is None or self._pipe is None:
            return None
        self._pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._process.kill()
        status = self._process.wait()
        self._process = self._pipe = None
        return status

    def _start(self) -> None:
        self._pipe, theirs = Pipe()
        self._process = subprocess.Popen(
            [self.python, "-m", "benchmarks.worker", str(theirs.fileno()), str(self.threads)],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                **dict.fromkeys(THREADS, str(self.threads)),
            },
            pass_fds=[theirs.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()


def in_worker(threads: int, function: Callable[..., Result], *arguments: Any) -> Result:
    """What the function returns, in a fresh process."""
    with Worker(threads) as worker:
        return worker.call(function, *arguments)


# -- the worker's side ---------------------------------------------------------------------------
def serve(pipe: Connection, threads: int) -> None:
    """Call what is asked for until nobody asks any more."""
    warnings.simplefilter("ignore")  # that so few iterations do not converge is meant to be
    own_cores(threads)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        with blas_threads(threads):
            try:
                answer = True, function(*arguments)
            except Exception as error:
                answer = False, f"{type(error).__name__}: {error}"
        rest()
        pipe.send(answer)


def own_cores(threads: int) -> None:
    """Use so many cores at most: for libraries that heed no variable."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])


@contextmanager
def blas_threads(threads: int) -> Any:
    """So many threads for BLAS, where threadpoolctl is there to say so."""
    limits: Any = nullcontext
    with suppress(ImportError):
        from threadpoolctl import threadpool_limits as limits
    with limits(threads):
        yield


def rest() -> None:
    """Wait until no thread of this process spins for more work, a second at most.

    The next worker's turn would pay for it.
    """
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 0.002:
            return


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
