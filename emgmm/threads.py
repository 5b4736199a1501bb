"""BLAS is held to one thread while we work; our own threads, where there are any, are over blocks.

Two overlapping uses of threadpoolctl's limiter, from two threads, leave BLAS at one thread for the
rest of the process: the second remembers the first's limit as the original. So there is one limiter
for the process, which counts who is inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController


class _OneThread:
    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._controller: ThreadpoolController | None = None  # 5 ms to make, so made once
        self._limit: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                if self._controller is None:
                    self._controller = ThreadpoolController()
                self._limit = self._controller.limit(limits=1, user_api="blas")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._limit.restore_original_limits()


one_blas_thread = _OneThread()
