"""Files are replaced completely or not at all, and nothing else is harmed by it."""

from __future__ import annotations

import errno
import os
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import clusters

from emgmm import CheckpointWarning, GaussianMixture
from emgmm.storage import files
from emgmm.storage.files import (
    BusyError,
    NoLocksError,
    is_permitted,
    locked,
    replaced,
    replaced_together,
)

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no modes, pipes and signals"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these paths and lists")
X = clusters(60, 2, 2)


def write(path, content=b"new"):
    with replaced(path) as file:
        file.write(content)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link, chain = tmp_path / "folder" / "target", tmp_path / "link", tmp_path / "chain"
    link.symlink_to(target)
    chain.symlink_to("link")
    for content in (b"first", b"second"):  # the link leads nowhere at first
        write(chain, content)
        assert target.read_bytes() == content
    assert chain.is_symlink()
    assert link.is_symlink()
    assert list((tmp_path / "folder").iterdir()) == [target]


@posix
def test_the_mode_is_kept_and_that_of_a_new_file_is_from_the_umask(tmp_path, monkeypatch):
    at_first, change = [], os.fchmod

    def changed(handle, wanted):
        at_first.append(stat.S_IMODE(os.fstat(handle).st_mode))
        change(handle, wanted)

    monkeypatch.setattr(files.os, "fchmod", changed)
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        write(path)
        assert mode(path) == 0o640
        for kept in (0o600, 0o644, 0o444):
            path.chmod(kept)
            with replaced(path) as file:
                file.write(b"secret")
                temporary = next(p for p in tmp_path.iterdir() if p != path)
                assert mode(temporary) & ~kept & 0o077 == 0  # nobody else reads it meanwhile
            assert mode(path) == kept
        assert at_first == [0o600] * 3
    finally:
        os.umask(before)


def of_a_group_that_cannot_be_kept(monkeypatch):
    """Let each file belong to another group than new ones, and nobody change this."""
    found, wanted = Path.stat, []

    def other(path, **options):
        fields = list(found(path, **options))
        fields[stat.ST_GID] += 1
        return os.stat_result(fields)

    def refused(handle, owner, group):
        wanted.append((owner, group))
        raise PermissionError

    monkeypatch.setattr(files.Path, "stat", other)
    monkeypatch.setattr(files.os, "fchown", refused)
    return wanted


@posix
def test_without_its_group_a_file_permits_nobody_more_than_before(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.touch()
    wanted = of_a_group_that_cannot_be_kept(monkeypatch)
    for before, after in ((0o660, 0o600), (0o644, 0o644), (0o664, 0o644), (0o2705, 0o700)):
        path.chmod(before)
        write(path)
        assert mode(path) == after
    existing = path.stat()
    assert wanted[:2] == [(existing.st_uid, existing.st_gid), (-1, existing.st_gid)]


@posix
def test_the_group_is_kept_without_the_owner(tmp_path, monkeypatch):
    change, path = os.fchown, tmp_path / "file"
    path.touch()
    path.chmod(0o660)

    def only_the_group(handle, owner, group):
        if owner != -1:
            raise PermissionError
        change(handle, owner, group)

    monkeypatch.setattr(files.os, "fchown", only_the_group)
    write(path)
    assert mode(path) == 0o660


# The rights of the owner, of user 1234, of the group, at most and of others.
ENTRIES = ((1, 6, -1), (2, 6, 1234), (4, 0, -1), (16, 6, -1), (32, 0, -1))
LIST = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in ENTRIES)


@pytest.fixture
def shared(tmp_path):
    """A file with a list of rights and a note."""
    path = tmp_path / "file"
    path.touch()
    try:
        os.setxattr(path, files.RIGHTS, LIST)
        os.setxattr(path, "user.note", b"hello")
    except OSError:
        pytest.skip("the file system has no lists of rights or no notes")
    return path


@linux
def test_a_list_of_rights_and_other_attributes_are_kept(shared):
    write(shared)
    assert os.getxattr(shared, files.RIGHTS) == LIST
    assert os.getxattr(shared, "user.note") == b"hello"
    assert mode(shared) == 0o660


@linux
@pytest.mark.parametrize("lost", ["list", "group"])
def test_without_its_list_of_rights_a_file_is_its_owners(lost, shared, monkeypatch):
    """Whose bits of the group are those of all on the list."""

    def refused(*arguments):
        raise OSError(errno.ENOTSUP, "not supported")

    shared.chmod(0o664)
    if lost == "group":
        of_a_group_that_cannot_be_kept(monkeypatch)
    else:
        monkeypatch.setattr(files.os, "setxattr", refused)
    write(shared)
    assert mode(shared) == 0o600
    assert files.RIGHTS not in os.listxattr(shared)


@linux
def test_the_list_of_a_folder_does_not_apply_to_a_file_that_had_none(shared):
    path = shared.with_name("private")
    path.touch()
    path.chmod(0o640)
    os.setxattr(path.parent, "system.posix_acl_default", LIST)
    write(path)
    assert files.RIGHTS not in os.listxattr(path)
    assert mode(path) == 0o640
    write(path.with_name("new"))
    assert files.RIGHTS in os.listxattr(path.with_name("new"))


@posix
def test_an_open_descriptor_is_written_to(tmp_path):
    log, link = tmp_path / "log", tmp_path / "link"
    with log.open("ab", buffering=0) as file, tempfile.TemporaryFile(dir=tmp_path) as removed:
        file.write(b"before ")
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        for path in (f"/dev/fd/{file.fileno()}", link):
            write(Path(path))
        write(Path(f"/dev/fd/{removed.fileno()}"))
        assert os.path.samestat(os.fstat(file.fileno()), log.stat())
        removed.seek(0)
        assert removed.read() == b"new"
    assert log.read_bytes() == b"before newnew"
    assert sorted(tmp_path.iterdir()) == [link, log]
    with pytest.raises((FileNotFoundError, PermissionError)):  # it is closed
        write(link)


@linux
def test_a_descriptor_has_several_paths(tmp_path):
    with (tmp_path / "log").open("ab") as file:
        number = file.fileno()
        for folder in ("self", "thread-self", os.getpid(), f"self/task/{os.getpid()}"):
            write(Path(f"/proc/{folder}/fd/{number}"))
        assert os.fstat(number).st_size == 12


@posix
def test_what_is_not_permitted_is_known_before(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.touch()
    tmp_path.chmod(0o1777)
    with path.open("ab") as file:
        for user, permitted in ((os.geteuid(), True), (os.geteuid() + 1, False)):
            monkeypatch.setattr(files.os, "geteuid", lambda user=user: user)
            assert is_permitted(path) == permitted  # others do not replace it in such a folder
            assert is_permitted(tmp_path / "new")
            assert is_permitted(Path(f"/dev/fd/{file.fileno()}"))
        monkeypatch.setattr(files.os, "access", lambda *arguments: False)
        monkeypatch.setattr(files.os, "geteuid", lambda: path.stat().st_uid)
        assert not is_permitted(path)
        assert not is_permitted(tmp_path / "new")
        assert not is_permitted(Path("/dev/null"))
        assert is_permitted(Path(f"/dev/fd/{file.fileno()}"))


@posix
def test_a_pipe_is_written_to_and_stays(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        content = pool.submit(path.read_bytes)
        GaussianMixture(1).fit(X).save(path)
        assert b'"emgmm.GaussianMixture"' in content.result(timeout=60)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_a_device_is_written_to_and_stays():
    controller, terminal = os.openpty()
    path = Path(os.ttyname(terminal))
    before = sorted(os.listdir(path.parent))
    write(path, b"text")
    assert os.read(controller, 100) == b"text"
    assert stat.S_ISCHR(path.stat().st_mode)
    assert sorted(os.listdir(path.parent)) == before
    os.close(controller)
    os.close(terminal)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError), replaced(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_link_into_a_folder_that_does_not_exist(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "file")
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()


def test_threads_that_write_one_path_do_not_collide(tmp_path):
    path = tmp_path / "file"
    gate = threading.Barrier(8)

    def save(number):
        gate.wait()
        for time in range(25):
            write(path, f"{number} {time} ".encode() * 1000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(8)))  # which raises what a thread raised
    words = path.read_bytes().split()
    assert words == words[:2] * 1000
    assert words[1] == b"24"  # the last one wins
    assert list(tmp_path.iterdir()) == [path]


def test_the_last_writer_wins(tmp_path):
    path = tmp_path / "file"
    with replaced(path) as first:
        first.write(b"first to begin")
        write(path, b"first to end")
        assert path.read_bytes() == b"first to end"
    assert path.read_bytes() == b"first to begin"


@posix
def test_what_killed_writers_left_is_removed_and_what_others_write_is_not(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from emgmm.storage.files import replaced\n"
        "file, other = map(Path, sys.argv[1:])\n"
        "with replaced(file) as one, replaced(file) as two, replaced(other) as three:\n"
        "    for each in (one, two, three): each.write(b'half'); each.flush()\n"
        "    print('begun', flush=True); time.sleep(60)"
    )
    stranger = tmp_path / ".other.partial"
    stranger.write_bytes(b"")
    words = [sys.executable, "-c", code, tmp_path / "file", tmp_path / "other"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        os.kill(process.pid, signal.SIGKILL)
    assert len(list(tmp_path.iterdir())) == 4
    with replaced(tmp_path / "kept") as file:
        write(tmp_path / "file")
        file.write(b"kept")
    assert (tmp_path / "kept").read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.partial", "file", "kept"]


def test_files_appear_together_or_not_at_all(tmp_path, monkeypatch):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"before")
    with replaced_together([one, other]) as (first, second):
        first.write(b"1")
        second.write(b"2")
        assert one.read_bytes() == b"before"
        assert not other.exists()
    assert (one.read_bytes(), other.read_bytes()) == (b"1", b"2")
    with pytest.raises(KeyboardInterrupt):
        write_both(one, other, KeyboardInterrupt)
    calls = []

    def full(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_both(one, other)
    assert len(calls) == 2
    assert (one.read_bytes(), other.read_bytes()) == (b"1", b"2")
    assert sorted(tmp_path.iterdir()) == [one, other]


@linux
@pytest.mark.parametrize("first", [True, False])
def test_a_file_is_not_replaced_if_a_device_has_no_space(first, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    pair = (path, Path("/dev/full")) if first else (Path("/dev/full"), path)
    with pytest.raises(OSError, match="No space"):
        write_together(pair, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_files_are_restored_if_a_later_one_cannot_be_replaced(links, tmp_path, monkeypatch):
    one, new, other = (tmp_path / name for name in ("one", "new", "other"))
    one.write_bytes(b"before")
    replace = Path.replace

    def refused(path, target):
        if target == other:
            raise PermissionError("not permitted")
        return replace(path, target)

    def without_links(*arguments):
        raise OSError(errno.EPERM, "no links")

    with monkeypatch.context() as patch:
        patch.setattr(files.Path, "replace", refused)
        if not links:
            patch.setattr(files.os, "link", without_links)
        with pytest.raises(PermissionError):
            write_together([one, new, other], b"after")
    assert one.read_bytes() == (b"before" if links else b"after")
    assert sorted(tmp_path.iterdir()) == ([one] if links else [new, one])
    write_together([one, new, other], b"later")
    assert sorted(tmp_path.iterdir()) == [new, one, other]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"later"}


def write_together(paths, content):
    with replaced_together(paths) as found:
        for file in found:
            file.write(content)


def write_both(one, other, error=None):
    with replaced_together([one, other]) as found:
        for file in found:
            file.write(b"another")
        if error is not None:
            raise error


@posix
def test_where_there_are_no_locks_files_are_written_all_the_same(tmp_path, monkeypatch):
    def none(*arguments):
        raise OSError(errno.ENOLCK, "no locks available")

    path = tmp_path / "file"
    monkeypatch.setattr(files.fcntl, "flock", none)
    with replaced(path) as file:
        write(tmp_path / "other")  # which takes nothing for an orphan
        file.write(b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(NoLocksError), locked(path):
        pass
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "other"]


# -- one fit, one checkpoint ----------------------------------------------------------------------


def test_two_names_of_one_path_are_one_lock(tmp_path):
    (tmp_path / "folder").mkdir()
    path, link = tmp_path / "folder" / "fit.npz", tmp_path / "link.npz"
    link.symlink_to(path)  # which need not exist yet
    for one, other in ((path, link), (link, path)):
        with locked(one):
            with pytest.raises(BusyError), locked(other):
                pass
            model = GaussianMixture(2, checkpoint=other)
            with pytest.raises(ValueError, match="Another fit is using the checkpoint"):
                model.fit(X)


def test_a_checkpoint_through_a_link_is_the_file_that_the_link_leads_to(tmp_path):
    path, link = tmp_path / "fit.npz", tmp_path / "link.npz"
    link.symlink_to(path)

    class Start:
        stop = True

        def __call__(self, rows, n_components, random_state):
            if self.stop and path.exists():
                raise KeyboardInterrupt
            return halves(rows, random_state)

    start = Start()
    settings = {"random_state": 0, "n_init": 3, "init_params": start, "max_iter": 500}
    model = GaussianMixture(2, checkpoint=link, checkpoint_every=0, **settings)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert link.is_symlink()
    assert path.is_file()
    start.stop = False
    model.set_params(checkpoint=path).fit(X)  # by its other name
    whole = GaussianMixture(2, **settings).fit(X)
    np.testing.assert_array_equal(model.means_, whole.means_)
    assert list(tmp_path.iterdir()) == [link]
    model.set_params(checkpoint=link).fit(X)  # which removes the file, and not the link
    assert link.is_symlink()


def halves(rows, random_state):
    """Two clusters, cut at a random place."""
    low, high = np.quantile(rows[:, 0], [0.3, 0.7])
    return (rows[:, 0] > random_state.uniform(low, high)).astype(int)


def kinds_of_no_lock(tmp_path, monkeypatch):
    """Each makes a lock impossible, by what the system would answer."""
    open_file, flock = os.open, getattr(files, "fcntl", None) and files.fcntl.flock

    def cannot_open(number):
        def opened(path, *arguments):
            if str(path).endswith(".lock"):
                raise OSError(number, os.strerror(number), str(path))
            return open_file(path, *arguments)

        monkeypatch.setattr(files.os, "open", opened)

    def no_locks():
        def none(handle, how):
            if os.readlink(f"/proc/self/fd/{handle}").endswith(".lock"):
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            flock(handle, how)

        monkeypatch.setattr(files.fcntl, "flock", none)

    return {
        "a folder that cannot be written to": lambda: cannot_open(errno.EROFS),
        "no inode": lambda: cannot_open(errno.ENOSPC),
        "someone else's": lambda: cannot_open(errno.EACCES),
        "a folder in its place": (tmp_path / ".fit.npz.lock").mkdir,
        "no locks": no_locks,
    }


@posix
@pytest.mark.parametrize(
    "kind",
    [
        *("a folder that cannot be written to", "no inode", "someone else's"),
        *("a folder in its place", "no locks"),
    ],
)
def test_a_lock_that_cannot_be_made_is_a_warning(kind, tmp_path, monkeypatch):
    path = tmp_path / "fit.npz"
    whole = GaussianMixture(2, random_state=0).fit(X)
    kinds_of_no_lock(tmp_path, monkeypatch)[kind]()
    model = GaussianMixture(2, random_state=0, checkpoint=path, checkpoint_every=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    assert [warning.category for warning in caught] == [CheckpointWarning]
    text = str(caught[0].message)
    assert text.startswith(f"The checkpoint {path} could not be locked (")
    without = "make sure that no other fit uses the path" if kind == "no locks" else "without a"
    assert without in text
    np.testing.assert_array_equal(model.means_, whole.means_)
    assert not path.exists()
    assert caught[0].filename == __file__


@posix
def test_without_locks_a_checkpoint_is_kept_all_the_same(tmp_path, monkeypatch):
    kinds_of_no_lock(tmp_path, monkeypatch)["no locks"]()
    path = tmp_path / "fit.npz"

    class Start:
        def __call__(self, rows, n_components, random_state):
            if path.exists():
                raise KeyboardInterrupt
            return halves(rows, random_state)

    model = GaussianMixture(2, n_init=2, init_params=Start(), checkpoint=path, checkpoint_every=0)
    with pytest.warns(CheckpointWarning, match="not be locked"), pytest.raises(KeyboardInterrupt):
        model.set_params(max_iter=500).fit(X)
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_a_checkpoint_is_a_regular_file(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    (tmp_path / "folder").mkdir()
    for wrong in (path, tmp_path / "folder"):
        with pytest.raises(ValueError, match="is not a regular file: give another path"):
            GaussianMixture(2, checkpoint=wrong).fit(X)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "folder", path]


@posix
def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path):
    (tmp_path / ".fit.npz.lock").symlink_to("elsewhere")
    model = GaussianMixture(2, random_state=0, checkpoint=tmp_path / "fit.npz")
    with pytest.warns(CheckpointWarning, match=r"locked \(too many levels of symbolic links\)"):
        model.fit(X)
    assert [path.name for path in tmp_path.iterdir()] == [".fit.npz.lock"]


@posix
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_text("notes")])
def test_what_is_not_a_lock_is_left_alone(make, tmp_path):
    path = tmp_path / ".fit.npz.lock"
    make(path)
    before = path.stat()
    model = GaussianMixture(2, random_state=0, checkpoint=tmp_path / "fit.npz")
    with pytest.warns(CheckpointWarning, match=r"\(\.fit\.npz\.lock is not an empty file\)"):
        model.fit(X)
    assert list(tmp_path.iterdir()) == [path]
    assert os.path.samestat(path.stat(), before)


@posix
def test_a_lock_does_not_outlive_its_holder_in_a_forked_process(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from emgmm.storage.files import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    if os.fork(): time.sleep(60)\n"
        "    print('begun', flush=True); sys.stdin.read(); os._exit(0)"
    )
    path, pipe = tmp_path / "fit.npz", subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"begun\n"
        with pytest.raises(BusyError), locked(path):
            pass
        process.kill()
        process.wait()
        with locked(path):
            assert (tmp_path / ".fit.npz.lock").exists()
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_checkpoint_that_cannot_be_written_is_one_warning(make, tmp_path):
    """A pipe that nobody reads is neither waited for nor removed."""
    path = tmp_path / "fit.npz"

    class Start:
        def __call__(self, rows, n_components, random_state):
            if path.is_file():
                path.unlink()
            if not path.exists():
                make(path)
            return halves(rows, random_state)

    model = GaussianMixture(2, n_init=3, init_params=Start(), checkpoint=path, checkpoint_every=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    messages = [str(each.message) for each in caught if each.category is CheckpointWarning]
    assert messages == [
        f"The checkpoint {path} could not be {action} (it is not a regular file); the fit continues."
        for action in ("written", "removed")
    ]


@posix
def test_a_process_forked_during_a_fit_leaves_the_checkpoint_to_its_parent(tmp_path):
    path, parent = tmp_path / "fit.npz", os.getpid()

    class Start:
        child, seen = None, None

        def __call__(self, rows, n_components, random_state):
            if path.exists() and self.child is None:
                self.child = os.fork()
                if self.child:
                    assert os.waitpid(self.child, 0)[1] == 0  # which has ended the fit
                    self.seen = sorted(each.name for each in tmp_path.iterdir())
            return halves(rows, random_state)

    start = Start()
    model = GaussianMixture(2, n_init=3, init_params=start, checkpoint=path, checkpoint_every=0)
    try:
        model.fit(X)
    finally:
        if os.getpid() != parent:
            os._exit(sys.exc_info()[0] is not None)
    assert start.seen == [".fit.npz.lock", "fit.npz"]
    assert list(tmp_path.iterdir()) == []
