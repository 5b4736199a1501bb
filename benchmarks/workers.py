"""Workers: one for every library, in the library's own environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache

from benchmarks import environments, libraries
from benchmarks.worker import Worker, WorkerError


@contextmanager
def workers(names: Sequence[str], threads: int) -> Iterator[dict[str, Worker]]:
    """By name of the library; they end together."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Worker(threads, environments.python_of(name)))
            for name in names
        }


def present(names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the libraries that can be used, and why the others cannot."""
    versions, missing = {}, {}
    for name in names:
        sound, words = looked_at(name)
        (versions if sound else missing)[name] = words
    return versions, missing


@cache
def looked_at(name: str) -> tuple[bool, str]:
    """Whether a library can be used, and its version or the reason."""
    with Worker(1, environments.python_of(name)) as worker:
        try:
            return True, worker.call(libraries.version, name)
        except WorkerError as error:
            return False, environments.why_not(name) or str(error)
