"""Files are replaced completely or not at all, and nothing else is harmed by it."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import clusters

from emgmm import CheckpointWarning, GaussianMixture
from emgmm.storage import files
from emgmm.storage.files import BusyError, NoLocksError, locked, replaced, replaced_together

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no modes, pipes and signals"
)
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
