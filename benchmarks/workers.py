"""Workers: one for every library, in the library's own environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks import environments, libraries
from benchmarks.worker import Worker


@contextmanager
def workers(names: Sequence[str], threads: int) -> Iterator[dict[str, Worker]]:
    """By name of the library; they end together."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Worker(threads, environments.python_of(name)))
            for name in names
        }


def present(names: Sequence[str], threads: int) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the libraries that can be used, and why the others cannot."""
    versions, missing = {}, {}
    with workers(names, threads) as staff:
        for name, worker in staff.items():
            try:
                versions[name] = worker.call(libraries.version, name)
            except Exception as error:
                missing[name] = environments.why_not(name) or str(error)
            worker.close()
    return versions, missing
