"""Files that are written whole or not at all, and paths that one process has for itself."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


# What the system says where somebody else has a lock.
TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class BusyError(OSError):
    """Another process, or another thread, has the path."""


@contextmanager
def replaced(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `target` once all of it is on the disk."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Have `path` for oneself, by a lock that the system gives back if the process is killed.

    Raises
    ------
    BusyError
        Where somebody else has it.
    """
    beside = path.with_name(f".{path.name}.lock")
    handle = _locked(beside)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            beside.unlink()
        os.close(handle)


def _locked(beside: Path) -> int:
    while True:
        handle = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(handle)
            # Whoever held it may have removed the file between our two calls.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), beside.stat()):
                    return handle
        except OSError as error:
            os.close(handle)
            if error.errno in TAKEN:
                raise BusyError(f"{beside} is locked") from None
            raise
        os.close(handle)
