"""Atomic replacement of files, and exclusive locks on paths.

A file is replaced by a temporary one in the same folder. The writer of a temporary file holds a
lock on it, which the system releases if the process is killed. Therefore a temporary file that can
be locked has no writer any more, and the next writer in that folder removes it.
"""

from __future__ import annotations

import errno
import os
import re
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

from emgmm.threads import without_forks

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


# With these flags, where they exist, a symbolic link in place of a lock file is not followed, and
# opening a pipe there does not wait for another process.
CAUTIOUS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

# Extended attribute with a list of rights (ACL), whose bits in the mode are not those of the group.
RIGHTS = "system.posix_acl_access"

# Largest number of links that are followed.
MAX_LINKS = 40

# Descriptors of the locks that this process holds.
_held: set[int] = set()


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

    Links are followed. The mode and the extended attributes of an existing file are preserved,
    unless this would give access to users who had none. If the target is a device, a named pipe or
    an open descriptor such as ``/dev/stdout``, the content is copied to it instead.
    """
    with replaced_together([target]) as (file,):
        yield file


@contextmanager
def replaced_together(targets: Sequence[Path]) -> Iterator[list[IO[bytes]]]:
    """Open files for writing, which replace their targets once all of them are on disk.

    If one cannot be published, the previous ones are restored, except those that are copied to
    devices, pipes and descriptors. Therefore these are first.
    """
    with ExitStack() as stack:
        drafts = [stack.enter_context(_draft(target)) for target in targets]
        yield [file for file, _ in drafts]
        for file, _ in drafts:
            file.flush()
            os.fsync(file.fileno())
        order = sorted(range(len(targets)), key=lambda n: is_replaced(targets[n]))
        with ExitStack() as undo:
            for n in order:
                if n != order[-1] and is_replaced(targets[n]):
                    undo.callback(_previous(targets[n], stack))
                drafts[n][1]()
            undo.pop_all()


@contextmanager
def _draft(target: Path) -> Iterator[tuple[IO[bytes], Callable[[], None]]]:
    """Open a temporary file, and return it with a function that publishes it at the target."""
    existing = None
    with suppress(FileNotFoundError):
        existing = target.stat()
    if existing is not None and stat.S_ISDIR(existing.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not is_replaced(target):
        with tempfile.TemporaryFile() as file:
            yield file, partial(_copy, file, target)
        return
    target = Path(os.path.realpath(target))
    _remove_orphans(target.parent)
    # Other users must not read the content of a file that they may not read.
    path, handle = _temporary(target.parent, 0o666 if existing is None else 0o600)
    draft = os.fdopen(handle, "wb")
    try:
        if existing is not None:
            _keep_access(handle, target, existing)
        yield draft, partial(_rename, draft, path, target)
    finally:
        with suppress(OSError):  # for example, flushing fails again on a full disk
            draft.close()
        path.unlink(missing_ok=True)


def _previous(target: Path, stack: ExitStack) -> Callable[[], object]:
    """Return a function that restores a file, which has a second name until the stack is closed."""
    target = Path(os.path.realpath(target))
    second = _new_path(target.parent)
    stack.callback(second.unlink, missing_ok=True)
    try:
        os.link(target, second)
    except FileNotFoundError:
        return partial(target.unlink, missing_ok=True)
    except OSError:  # the file system has no links
        return lambda: None
    return partial(second.replace, target)


def is_replaced(target: Path) -> bool:
    """Whether writing replaces a file; devices, pipes and open descriptors are written to."""
    return _descriptor(target) is None and (target.is_file() or not target.exists())


def is_permitted(target: Path) -> bool:
    """Whether the user is permitted to write to a path, as far as this is known before."""
    if not is_replaced(target):
        return _descriptor(target) is not None or os.access(target, os.W_OK)
    target = Path(os.path.realpath(target))
    folder = target.parent.stat()
    owners = {0, folder.st_uid, target.stat().st_uid} if target.exists() else set()
    if folder.st_mode & stat.S_ISVTX and owners and os.geteuid() not in owners:
        return False  # others' files cannot be replaced in such a folder
    return os.access(target.parent, os.W_OK)


def _descriptor(path: Path) -> int | None:
    """Return the descriptor of this process that a path such as ``/dev/stdout`` leads to.

    Following the last link as well would lead to the file that was opened, which may be removed.
    """
    folders = re.compile(rf"/dev/fd|/proc/{os.getpid()}(/task/[0-9]+)?/fd")
    with suppress(OSError):  # no link
        for _ in range(MAX_LINKS):
            if path.name.isdecimal() and folders.fullmatch(os.path.realpath(path.parent)):
                return int(path.name) if path.exists() else None  # it is not open
            path = path.parent / path.readlink()
    return None


def _keep_access(handle: int, target: Path, existing: os.stat_result) -> None:
    """Give a temporary file the owner, attributes and mode of the file that it replaces.

    If the group cannot be kept, the group and all others have only the rights that both had before.
    If the list of rights cannot be kept, only the owner has access.
    """
    if sys.platform == "win32":
        return
    for owner in (existing.st_uid, -1):  # only root may change the owner
        with suppress(OSError):
            os.fchown(handle, owner, existing.st_gid)
            break
    is_kept, names = os.fstat(handle).st_gid == existing.st_gid, []
    if sys.platform == "linux":
        with suppress(OSError):  # the folder's list, which the previous file may not have
            os.removexattr(handle, RIGHTS)
        names = _attributes(target)
        for name in names:
            if name != RIGHTS or is_kept:
                with suppress(OSError):
                    os.setxattr(handle, name, os.getxattr(target, name))
        is_kept = is_kept and (RIGHTS in _attributes(handle)) == (RIGHTS in names)
    mode = stat.S_IMODE(existing.st_mode)
    if not is_kept:
        both = 0 if RIGHTS in names else mode >> 3 & mode & 0o7
        mode = mode & stat.S_IRWXU | both << 3 | both
    with suppress(PermissionError):  # some file systems have no modes
        os.fchmod(handle, mode)


def _attributes(file: Path | int) -> list[str]:
    """Return the names of the extended attributes of a file; none if the file system has none."""
    with suppress(OSError):
        return os.listxattr(file)
    return []


def _copy(file: IO[bytes], target: Path) -> None:
    file.seek(0)
    descriptor = _descriptor(target)
    with open(target if descriptor is None else os.dup(descriptor), "wb") as device:
        shutil.copyfileobj(file, device)


def _rename(file: IO[bytes], path: Path, target: Path) -> None:
    if sys.platform == "win32":  # which cannot rename open files
        file.close()
    path.replace(target)


def _new_path(folder: Path) -> Path:
    return folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"


def _temporary(folder: Path, mode: int) -> tuple[Path, int]:
    """Create a new file, lock it if the file system has locks, and return its path and handle."""
    while True:
        path = _new_path(folder)
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
    with without_forks:
        handle, owner = _open_locked(lock_path), os.getpid()
        _held.add(handle)
    try:
        yield
    finally:
        if os.getpid() == owner:  # a forked process leaves the lock to its parent
            with suppress(OSError):  # Windows does not remove open files
                lock_path.unlink()
            with without_forks:
                _held.remove(handle)
                os.close(handle)


def _leave_to_parent() -> None:
    """Close the locks in a forked process, where they would outlive the one that holds them."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _open_locked(lock_path: Path) -> int:
    """Open and lock a lock file, and return its handle."""
    while True:
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | CAUTIOUS, 0o666)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size:
                raise OSError(f"{lock_path.name} is not an empty file")
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
