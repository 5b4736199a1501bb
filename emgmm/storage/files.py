"""Atomic replacement of files, and exclusive locks on paths.

A file is replaced by a temporary one in the same folder. The writer of a temporary file holds a
lock on it, which the system releases if the process is killed. Therefore a temporary file that can
be locked has no writer any more, and the next writer in that folder removes it.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Error numbers if another process or thread holds a lock, and if a file system has no locks.
LOCKED = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

PREFIX, SUFFIX = ".emgmm-", ".partial"

# Without this flag Windows would convert line ends.
BINARY = getattr(os, "O_BINARY", 0)


# With this flag, where there is one, a symbolic link in place of a lock file is not followed.
NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class BusyError(OSError):
    """Another process or thread holds the lock on a path."""


class NoLocksError(OSError):
    """The file system has no locks."""


def reason(error: Exception) -> str:
    """Return the reason for an error of the system in words, such as ``permission denied``."""
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]


@contextmanager
def replaced(target: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing, which replaces `target` once all of it is on disk.

    Links are followed, and the mode of an existing file is preserved. If the target is not a
    regular file, but a device or a named pipe, the content is copied to it instead.
    """
    with replaced_together([target]) as (file,):
        yield file


@contextmanager
def replaced_together(targets: Sequence[Path]) -> Iterator[list[IO[bytes]]]:
    """Open files for writing, which replace their targets once all of them are on disk."""
    with ExitStack() as stack:
        drafts = [stack.enter_context(_draft(target)) for target in targets]
        yield [file for file, _ in drafts]
        for file, _ in drafts:
            file.flush()
            os.fsync(file.fileno())
        for _, publish in drafts:
            publish()


@contextmanager
def _draft(target: Path) -> Iterator[tuple[IO[bytes], Callable[[], None]]]:
    """Open a temporary file, and return it with a function that publishes it at the target."""
    existing = None
    with suppress(FileNotFoundError):
        existing = target.stat()
    if existing is not None and stat.S_ISDIR(existing.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if existing is not None and not stat.S_ISREG(existing.st_mode):
        with tempfile.TemporaryFile() as file:
            yield file, partial(_copy, file, target)
        return
    target = Path(os.path.realpath(target))
    _remove_orphans(target.parent)
    # Other users must not read the content of a file that they may not read.
    path, handle = _temporary(target.parent, 0o666 if existing is None else 0o600)
    draft = os.fdopen(handle, "wb")
    try:
        if existing is not None and sys.platform != "win32":
            with suppress(PermissionError):  # only root may change the owner
                os.fchown(handle, existing.st_uid, existing.st_gid)
            with suppress(PermissionError):  # some file systems have no modes
                os.fchmod(handle, stat.S_IMODE(existing.st_mode))
        yield draft, partial(_rename, draft, path, target)
    finally:
        with suppress(OSError):  # for example, flushing fails again on a full disk
            draft.close()
        path.unlink(missing_ok=True)


def _copy(file: IO[bytes], target: Path) -> None:
    file.seek(0)
    with target.open("wb") as device:
        shutil.copyfileobj(file, device)


def _rename(file: IO[bytes], path: Path, target: Path) -> None:
    if sys.platform == "win32":  # which cannot rename open files
        file.close()
    path.replace(target)


def _temporary(folder: Path, mode: int) -> tuple[Path, int]:
    """Create a new file, lock it if the file system has locks, and return its path and handle."""
    while True:
        path = folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY, mode)
        try:
            _lock(handle)
            valid = _is_at(handle, path)
        except OSError as error:
            valid = error.errno not in LOCKED
        if valid:
            return path, handle
        # Another writer removes the file as an orphan, because it was not locked yet.
        os.close(handle)


def _remove_orphans(folder: Path) -> None:
    """Remove temporary files that have no writer any more."""
    with suppress(OSError):
        for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
            with suppress(OSError):  # another process has locked or removed it
                if path.is_file() and not path.is_symlink():
                    _remove_orphan(path)


def _remove_orphan(path: Path) -> None:
    with path.open("rb+") as file:
        _lock(file.fileno())
        with suppress(OSError):  # Windows does not remove open files
            path.unlink()
    path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a path, which the system releases if the process is killed.

    Links are followed, so that all paths of a file have the same lock.

    Raises
    ------
    BusyError
        If another process or thread holds the lock.
    NoLocksError
        If the file system has no locks.
    OSError
        If the lock file cannot be created.
    """
    path = Path(os.path.realpath(path))
    lock_path = path.with_name(f".{path.name}.lock")
    handle, owner = _open_locked(lock_path), os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:  # a forked process leaves the lock to its parent
            with suppress(OSError):  # Windows does not remove open files
                lock_path.unlink()
        os.close(handle)


def _open_locked(lock_path: Path) -> int:
    """Open and lock a lock file, and return its handle."""
    while True:
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666)
        try:
            _lock(handle)
            # The previous holder may have removed the file between the two calls above.
            if _is_at(handle, lock_path):
                return handle
        except OSError as error:
            os.close(handle)
            if error.errno in LOCKED:
                raise BusyError(f"{lock_path} is locked") from None
            if error.errno in WITHOUT_LOCKS:
                with suppress(OSError):
                    lock_path.unlink()
                raise NoLocksError(*error.args) from None
            raise
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still the file at a path."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False
