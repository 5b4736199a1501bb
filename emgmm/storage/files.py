"""Files that are written completely or not at all, and paths that one process has for itself.

A file is replaced by a temporary one in the same folder. Whoever writes a temporary file holds a
lock on it, which the system releases if the process is killed: a temporary file that can be locked
is one whose writer is gone, and the next writer in that folder removes it.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
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


# Error numbers where another process or thread has a lock, and where a file system has no locks.
TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

PREFIX, SUFFIX = ".emgmm-", ".partial"

# Windows would otherwise change the ends of lines.
BINARY = getattr(os, "O_BINARY", 0)


class BusyError(OSError):
    """Another process, or another thread, has the path."""


class NoLocksError(OSError):
    """The file system has no locks."""


@contextmanager
def replaced(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `target` once all of it is on the disk.

    Links are followed, and the mode of a file that is replaced is kept. What is not a regular file,
    such as a device or a named pipe, is not replaced: all that was written is copied to it.
    """
    with replaced_together([target]) as (file,):
        yield file


@contextmanager
def replaced_together(targets: Sequence[Path]) -> Iterator[list[IO[bytes]]]:
    """Files to write to, none of which becomes its target before all of them are on the disk."""
    with ExitStack() as stack:
        drafts = [stack.enter_context(_draft(target)) for target in targets]
        yield [draft.file for draft in drafts]
        for draft in drafts:
            draft.file.flush()
            os.fsync(draft.file.fileno())
        for draft in drafts:
            draft.publish()


class _Draft:
    """A temporary file that replaces a regular one, or one that does not exist yet."""

    def __init__(self, target: Path, existing: os.stat_result | None) -> None:
        self.target = target
        _remove_orphans(target.parent)
        # Others must not read what is to replace a file that they may not read.
        self.path, handle = _temporary(target.parent, 0o666 if existing is None else 0o600)
        self.file: IO[bytes] = os.fdopen(handle, "wb")
        if existing is not None and sys.platform != "win32":
            with suppress(PermissionError):  # only root gives files away
                os.fchown(handle, existing.st_uid, existing.st_gid)
            with suppress(PermissionError):  # some file systems have no modes
                os.fchmod(handle, stat.S_IMODE(existing.st_mode))

    def publish(self) -> None:
        if sys.platform == "win32":  # which renames no file that is open
            self.file.close()
        self.path.replace(self.target)

    def close(self) -> None:
        with suppress(OSError):  # such as a full disk, where flushing failed already
            self.file.close()
        self.path.unlink(missing_ok=True)


class _Copy:
    """A temporary file that is copied to a device or a pipe."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115

    def publish(self) -> None:
        self.file.seek(0)
        with self.target.open("wb") as file:
            shutil.copyfileobj(self.file, file)

    def close(self) -> None:
        self.file.close()


@contextmanager
def _draft(target: Path) -> Iterator[_Draft | _Copy]:
    existing = None
    with suppress(FileNotFoundError):
        existing = target.stat()
    if existing is None or stat.S_ISREG(existing.st_mode):
        draft: _Draft | _Copy = _Draft(Path(os.path.realpath(target)), existing)
    elif stat.S_ISDIR(existing.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    else:
        draft = _Copy(target)
    try:
        yield draft
    finally:
        draft.close()


def _temporary(folder: Path, mode: int) -> tuple[Path, int]:
    """The path and the handle of a new file that is locked, where the file system has locks."""
    while True:
        path = folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY, mode)
        try:
            _take(handle)
            ours = _is_at(handle, path)
        except OSError as error:
            ours = error.errno not in TAKEN
        if ours:
            return path, handle
        os.close(handle)  # another writer removes it as an orphan, because it was not locked yet


def _remove_orphans(folder: Path) -> None:
    """Remove temporary files whose writers are gone."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
                with suppress(OSError):  # another process has it, or has removed it
                    _remove_orphan(entry)


def _remove_orphan(entry: os.DirEntry[str]) -> None:
    if not entry.is_file(follow_symlinks=False):
        return
    path = Path(entry.path)
    handle = os.open(path, os.O_RDWR)
    try:
        _take(handle)
        with suppress(OSError):  # Windows removes no file that is open
            path.unlink()
    finally:
        os.close(handle)
    path.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Have `path` for oneself, by a lock that the system releases if the process is killed.

    Two paths of one file, one of them through a link, are the same path.

    Raises
    ------
    BusyError
        Where another process or thread has it.
    NoLocksError
        Where the file system has no locks.
    OSError
        Where the lock's file cannot be made.
    """
    path = Path(os.path.realpath(path))
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
            if _is_at(handle, beside):
                return handle
        except OSError as error:
            os.close(handle)
            if error.errno in TAKEN:
                raise BusyError(f"{beside} is locked") from None
            if error.errno in WITHOUT_LOCKS:
                with suppress(OSError):
                    beside.unlink()
                raise NoLocksError(*error.args) from None
            raise
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether the file that is open is still the one with this path."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False
