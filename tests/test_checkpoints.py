"""Checkpoints: a fit that is stopped anywhere, and goes on, ends as if it had not been stopped."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import warnings
from hashlib import blake2b
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from conftest import TYPES, clusters, fit, given_start
from sklearn.base import clone

from emgmm import (
    CheckpointWarning,
    CollapsedComponentWarning,
    Ending,
    GaussianMixture,
    blocks,
    validation,
)
from emgmm.acceleration import SCHEMES, evaluate, sampled
from emgmm.acceleration.natural import NaturalSteps
from emgmm.covariances import FAMILIES
from emgmm.estep.compiled import estep
from emgmm.fitting import sampling
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.sources import ArraySource, digest
from emgmm.sources.block import Block
from emgmm.sources.known import Known
from emgmm.storage import checkpoint
from emgmm.storage.files import locked
from emgmm.threads import one_blas_thread

types = pytest.mark.parametrize("covariance_type", TYPES)
schemes = pytest.mark.parametrize("acceleration", list(SCHEMES))
X = clusters(200, 2, 3, spread=1.5)


class Interrupted(ArraySource):
    """Raises KeyboardInterrupt in the middle of the pass of which the number is given."""

    passes = 0
    fatal = -1

    def blocks(self, size):
        cls = type(self)
        cls.passes += 1
        if cls.passes == cls.fatal:
            raise KeyboardInterrupt
        yield from super().blocks(size)


@pytest.fixture
def interrupts(monkeypatch):
    for module in (validation, sampled):
        monkeypatch.setattr(module, "ArraySource", Interrupted)

    def at(number):
        monkeypatch.setattr(Interrupted, "passes", 0)
        monkeypatch.setattr(Interrupted, "fatal", number)

    at(-1)
    return at


def fitted(model):
    """All that a fit left, as text that tells any two apart; the stream's layout aside."""
    known = {n: v for n, v in vars(model).items() if n.endswith("_")}
    plain = {n: v for n, v in known.items() if n != "history_"}
    plain |= {f"history_{n}": v for n, v in known["history_"].items()}
    plain |= {f"starts {n}": v for n, v in model._starts.items()}
    plain |= {f"stream {n}": v for n, v in model._stream.plain()["statistics"].items()}
    return {
        name: value.tobytes() if isinstance(value, np.ndarray) else pickle.dumps(value)
        for name, value in plain.items()
    }


def stuck_start():
    """Two of three components alike, and more of it to climb afterwards."""
    return {
        "weights_init": [0.25, 0.25, 0.5],
        "means_init": [X[0], X[0], X[1]],
        "precisions_init": [np.eye(2)] * 3,
    }


CASES = {
    "plain": {"n_components": 3, "tol": 1e-4},
    "float32 tied": {"n_components": 3, "covariance_type": "tied", "tol": 1e-4},
    "several starts": {"n_components": 3, "n_init": 3, "init_params": "random", "max_iter": 6},
    "anderson": {"n_components": 3, "acceleration": "anderson", "tol": 1e-8, "max_iter": 40},
    "anderson, a ridge that falls": {
        "n_components": 3,
        "acceleration": "anderson",
        "reg_covar": 0.05,
        "tol": 1e-9,
        "max_iter": 30,
    },
    "escape": {"n_components": 3, "tol": 1e-2, **stuck_start()},
    "escape, anderson": {
        "n_components": 3,
        "tol": 1e-5,
        "acceleration": "anderson",
        **stuck_start(),
    },
    "samples": {"n_components": 3, "n_init": 2, "tol": 1e-9},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_an_interrupt_in_any_pass_changes_nothing(case, interrupts, tmp_path, monkeypatch):
    if case == "samples":
        monkeypatch.setattr(sampling, "START_FROM", 150)
        monkeypatch.setattr(sampling, "START_ROWS", 20)
        monkeypatch.setattr(sampling, "LARGEST_FRACTION", 0.5)
    rows = X.astype(np.float32) if "float32" in case else X
    path = tmp_path / "fit.npz"
    model = GaussianMixture(random_state=0, **CASES[case])
    uninterrupted = fit(clone(model), rows)
    whole, events = fitted(uninterrupted), set(uninterrupted.history_["event"])
    n_passes = Interrupted.passes
    accelerated = "escape" in case, "anderson" in case or case == "samples", case == "samples"
    assert accelerated == tuple(event in events for event in ("escape", "leap", "sample"))
    model.set_params(checkpoint=path)
    for number in range(1, n_passes + 1, 1 + n_passes // 30):
        stopped = clone(model)
        interrupts(number)
        with pytest.raises(KeyboardInterrupt):
            fit(stopped, rows)
        assert not hasattr(stopped, "means_")
        # Nothing is known in the first pass; the first step is, once EM's own have begun.
        assert path.exists() == (number > 1)
        interrupts(-1)
        assert fitted(fit(stopped, rows)) == whole
        assert list(tmp_path.iterdir()) == []
        # The summary is always made again, and the pass in which it was stopped; on samples, also
        # their summaries and all steps since the last pass over all rows.
        repeated = n_passes // 3 if case == "samples" else 0
        assert Interrupted.passes <= n_passes + 1 - max(0, number - 2) + repeated


@pytest.mark.slow
@pytest.mark.parametrize("case", ["several starts", "escape"])
def test_a_fit_that_is_stopped_again_and_again_arrives(case, interrupts, tmp_path):
    model = GaussianMixture(random_state=0, **CASES[case])
    whole = fitted(fit(clone(model), X))
    n_passes = Interrupted.passes
    model.set_params(checkpoint=tmp_path / "fit.npz")
    for _ in range(n_passes + 2):
        interrupts(3)  # the summary, one pass, and no more
        try:
            fit(model, X)
        except KeyboardInterrupt:
            continue
        break
    assert fitted(model) == whole


def test_a_warm_start_goes_on_where_it_was_stopped(interrupts, tmp_path):
    path = tmp_path / "fit.npz"
    model = GaussianMixture(3, random_state=0, tol=1e-7, max_iter=10, warm_start=True)
    begun = pickle.dumps(fit(model, X))
    whole = fitted(fit(pickle.loads(begun), X))
    stopped = pickle.loads(begun).set_params(checkpoint=path)
    interrupts(5)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, X)
    assert stopped.n_iter_ == 10  # still what it was
    interrupts(-1)
    other = fit(GaussianMixture(3, random_state=1, warm_start=True), X).set_params(
        **stopped.get_params()
    )
    with pytest.raises(ValueError, match="another initial mixture;"):
        fit(other, X)
    assert fitted(fit(stopped, X)) == whole


def test_random_numbers_without_a_seed_are_kept(interrupts, tmp_path):
    """The global generator is neither wound back nor needed again."""
    arguments = {"init_params": "random", "n_init": 3, "max_iter": 4}
    np.random.seed(5)
    whole = fitted(fit(GaussianMixture(3, **arguments), X))
    model = GaussianMixture(3, **arguments, checkpoint=tmp_path / "fit.npz")
    np.random.seed(5)
    interrupts(9)
    with pytest.raises(KeyboardInterrupt):
        fit(model, X)
    interrupts(-1)
    np.random.seed(6)
    before = np.random.get_state()[1].tolist()
    assert fitted(fit(model, X)) == whole
    assert np.random.get_state()[1].tolist() == before


def test_starts_that_fail_are_remembered(interrupts, tmp_path):
    """Some starts give a component to equal rows alone."""
    rows = np.concatenate([X, np.full((20, 2), 3.0)])

    def begin(rows, n_components, random):
        labels = np.zeros(len(rows), dtype=int)
        labels[-20 if random.randint(2) else 100 :] = 1
        return labels

    model = GaussianMixture(
        2, reg_covar=0, n_init=6, init_params=begin, random_state=1, tol=1e-9, max_iter=8
    )
    whole = fitted(fit(clone(model), rows))
    n_passes = Interrupted.passes
    model.set_params(checkpoint=tmp_path / "fit.npz")
    for number in range(2, n_passes + 1, 3):
        interrupts(number)
        with pytest.raises(KeyboardInterrupt):
            fit(clone(model), rows)
        interrupts(-1)
        assert fitted(fit(clone(model), rows)) == whole


def test_trials_of_a_split_that_fail_are_remembered(interrupts, tmp_path):
    """Some splits give a component to the five equal rows alone."""
    rows = np.concatenate([np.random.default_rng(1).normal(size=(60, 2)), np.full((5, 2), 8.0)])
    path = tmp_path / "fit.npz"
    model = GaussianMixture(
        2,
        reg_covar=0,
        weights_init=[0.5, 0.5],
        means_init=[rows.mean(axis=0)] * 2,
        precisions_init=[np.eye(2)] * 2,
        random_state=0,
    )
    whole = fitted(fit(clone(model), rows))
    n_passes = Interrupted.passes
    model.set_params(checkpoint=path)
    past_failures = 0
    for number in range(2, n_passes + 1, 1 + n_passes // 10):
        interrupts(number)
        with pytest.raises(KeyboardInterrupt):
            fit(clone(model), rows)
        ended = checkpoint.archive().read(path).record.finished
        past_failures += any(each.failed is not None for each in ended)
        interrupts(-1)
        assert fitted(fit(clone(model), rows)) == whole
        # The summary is always made again, and what of the pass was done.
        assert Interrupted.passes <= n_passes + 1 - max(0, number - 2)
    assert past_failures > 1


def test_a_checkpoint_does_not_change_what_is_warned_of(tmp_path):
    """Columns are called discrete only where the rows are known to be in memory."""
    rows = np.c_[X[:, 0], np.arange(len(X)) % 3]
    for path in (None, tmp_path / "fit.npz"):
        with pytest.warns(CollapsedComponentWarning, match="Column 1 is discrete"):
            GaussianMixture(4, random_state=0, checkpoint=path).fit(rows)


def test_where_all_starts_fail_nothing_is_left(tmp_path):
    rows = np.zeros((20, 2))
    model = GaussianMixture(1, reg_covar=0, checkpoint=tmp_path / "fit.npz", checkpoint_every=0)
    with pytest.raises(ValueError, match="ill-defined empirical"):
        model.fit(rows)
    assert list(tmp_path.iterdir()) == []


# -- what may differ, and what may not ------------------------------------------------------------


@pytest.fixture
def stopped(interrupts, tmp_path):
    """A model that was stopped in its sixth pass, and its rows."""
    path = tmp_path / "fit.npz"
    model = GaussianMixture(
        3, weights_init=[0.2, 0.3, 0.5], random_state=0, tol=0, max_iter=10, checkpoint=path
    )
    interrupts(6)
    with pytest.raises(KeyboardInterrupt):
        fit(model, X)
    interrupts(-1)
    return model


@pytest.mark.parametrize(
    "changed",
    [
        {"tol": 1e-3},
        {"covariance_type": "diag"},
        {"random_state": 1},
        {"weights_init": [0.3, 0.2, 0.5]},
        {"acceleration": "anderson"},
        {"init_params": lambda *_: None},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_other_parameters_are_refused_before_any_pass(changed, stopped):
    content = Path(stopped.checkpoint).read_bytes()
    name = next(iter(changed))
    with pytest.raises(ValueError, match=f"of a fit with another {name}; set it back .* remove"):
        fit(clone(stopped).set_params(**changed), X)
    assert Interrupted.passes == 0
    assert Path(stopped.checkpoint).read_bytes() == content


ROWS = "X, sample_weight, labels or order of rows"


@pytest.mark.parametrize(
    ("rows", "weights", "passes", "named"),
    [
        (X[:-1], None, 0, "number of rows"),
        (np.c_[X, X[:, 0]], None, 0, "number of features"),
        (X.astype(np.float32), None, 0, "type of rows"),
        (X + np.eye(1, 200, 7).T * 1e-7, None, 1, ROWS),
        (np.where(np.arange(400).reshape(200, 2) == 77, np.nextafter(X, 9), X), None, 1, ROWS),
        (X[::-1], None, 1, ROWS),
        (X[np.r_[128, 1:128, 0, 129:200]], None, 1, ROWS),
        (X[:, ::-1], None, 1, ROWS),
        (np.where(np.arange(200)[:, None] == 199, np.nan, X), None, 1, ROWS),
        (X, np.r_[2, np.ones(199)], 1, ROWS),
    ],
    ids=[
        *("rows", "features", "type", "one value", "one bit", "reversed", "two rows", "columns"),
        *("a missing row", "weights"),
    ],
)
def test_other_rows_are_refused_before_any_further_pass(rows, weights, passes, named, stopped):
    content = Path(stopped.checkpoint).read_bytes()
    with pytest.raises(ValueError, match=f"of a fit with another {named}; set it back"):
        fit(stopped, rows, sample_weight=weights)
    assert Interrupted.passes == passes
    assert Path(stopped.checkpoint).read_bytes() == content


def in_containers(rows, weights, folder):
    """The same rows in all kinds of containers, by name."""
    stored = np.memmap(folder / "rows", np.float64, "w+", shape=rows.shape)
    stored[:] = rows
    cuts = ((0, 77), (77, 90), (90, len(rows)))
    chunked = None if weights is None else da.from_array(weights, chunks=45)
    return {
        "array": (rows, weights),
        "columns": (np.asfortranarray(rows), weights),
        "table": (pd.DataFrame(rows).to_numpy(), weights),
        "memory map": (stored, weights),
        "blocks": (blocks([rows[first:last] for first, last in cuts]), weights),
        "chunks": (da.from_array(rows, chunks=(45, 2)), chunked),
        "unknown chunks": (
            dd.from_pandas(pd.DataFrame(rows), npartitions=3).to_dask_array(),
            None if weights is None else dd.from_pandas(pd.Series(weights), npartitions=3),
        ),
    }


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_the_same_rows_resume_in_any_container(missing, weighted, interrupts, tmp_path):
    random = np.random.default_rng(0)
    rows, weights = X.copy(), None
    if missing:
        rows[random.random(rows.shape) < 0.1] = np.nan
    if weighted:
        weights = random.integers(0, 3, len(rows)) * 0.5
        weights[:120] = 0
    path = tmp_path / "fit.npz"
    model = GaussianMixture(
        3, random_state=0, init_params="random", tol=0, max_iter=6, checkpoint=path
    )
    interrupts(5)
    with pytest.raises(KeyboardInterrupt):
        fit(model, rows, sample_weight=weights)
    interrupts(-1)
    content = path.read_bytes()
    whole = fit(clone(model).set_params(checkpoint=None), rows, sample_weight=weights)
    for name, (same, own) in in_containers(rows, weights, tmp_path).items():
        path.write_bytes(content)
        resumed = fit(clone(model), same, sample_weight=own)
        np.testing.assert_allclose(resumed.means_, whole.means_, rtol=1e-9, err_msg=name)
        assert not path.exists()
    for name, (other, own) in in_containers(rows[::-1].copy(), weights, tmp_path).items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=ROWS):
            fit(clone(model), other, sample_weight=own)
        assert path.exists(), name


def test_the_digest_is_its_formula(monkeypatch):
    """Evaluated with Python's integers; on any number of threads."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(5000, 3))
    rows[random.random(rows.shape) < 0.1] = np.nan
    weights = random.integers(0, 3, 5000) * 1.0

    def bits(value):
        return int.from_bytes(np.array(value, ">f8").tobytes(), "big")

    sums = [0] * digest.PERIOD
    for i in np.flatnonzero(weights):
        for j, value in enumerate([*rows[i], weights[i]]):
            sums[(i + 21845 * j) % digest.PERIOD] += bits(value)
    content = b"".join((each % 2**64).to_bytes(8, "little") for each in sums)
    some = rows[weights > 0]
    content += np.array([np.nanmin(some, axis=0), np.nanmax(some, axis=0)]).tobytes()
    expected = int.from_bytes(blake2b(content, digest_size=8).digest(), "big")
    for hands in (1, 3):
        with one_blas_thread():
            monkeypatch.setattr(one_blas_thread, "n_threads", hands)
            source = ArraySource(rows, weights, complete=False)
            em = em_of(source, Problem(FAMILIES["full"], 3, 0.0), digest.sums_of_bits)
        assert digest.digest_of(em.summary) == expected


def sums_of_bits(block):
    """The sums of the bits of a block."""
    return digest.sums_of_bits(block, np.array(block.rows, dtype=float, order="C"))


def test_weights_in_a_column_of_a_table():
    """Also after the kernel has been imported, which reads them in the order of memory only."""
    estep.kernel()
    table = np.random.default_rng(0).random((3000, 3))
    problem, digests = Problem(FAMILIES["full"], 2, 0.0), set()
    for weights in (table[:, 2], table[:, 2].copy()):
        em = em_of(ArraySource(table[:, :2], weights), problem, checkpoint.Checkpoint.sums_of_bits)
        digests.add(digest.digest_of(em.summary))
    assert len(digests) == 1


@pytest.mark.parametrize("n_features", [1, 2, 50])
def test_the_digest_of_other_rows_is_another(n_features):
    """Also of small integers, whose bits are mostly 0, in any layout and divided anywhere."""
    random = np.random.default_rng(0)
    rows = random.integers(0, 5, (9000, n_features)).astype(float)
    labels = np.eye(3)[random.integers(0, 3, 9000)]
    weights = random.integers(0, 3, 9000) * 0.5

    def of(rows, cuts=(), layout=np.asarray, labels=labels, weights=weights):
        parts = [
            Block(int(at[0]), layout(rows[at]).T, weights[at], known=Known(labels[at], np.eye(3)))
            for at in np.split(np.arange(9000), cuts)
        ]
        parts[2:] = [part.take(np.arange(part.n_rows)) for part in parts[2:]]
        return sum(map(sums_of_bits, parts)).tobytes()

    whole = of(rows)
    for layout in (np.asarray, np.asfortranarray):
        for cuts in ((), (1,), (77, 2500)):
            assert of(rows, cuts, layout) == whole
    for first, second in random.integers(0, 9000, (50, 2)):
        order = np.arange(9000)
        order[[first, second]] = second, first
        assert (of(rows[order]) == whole) == (rows[order] == rows).all()
        assert (of(rows, labels=labels[order]) == whole) == (labels[order] == labels).all()
        assert (of(rows, weights=weights[order]) == whole) == (weights[order] == weights).all()
        changed = rows.copy()
        changed[first, second % n_features] += 1e-7
        assert of(changed) != whole
    assert of(rows[random.permutation(9000)]) != whole
    assert of(rows, labels=labels[:, ::-1]) != whole
    if n_features > 1:
        assert of(rows[:, ::-1]) != whole


def test_the_digest_notices_the_opposite_sign_of_a_feature_and_other_units():
    """Of which the changes of the bits cancel: two in each sum, and 4096."""
    n_rows = 4096 * digest.PERIOD
    for n, factor in ((2 * digest.PERIOD, -1.0), (n_rows, 2.0)):
        rows = np.random.default_rng(0).normal(size=(n, 1)) + 3
        digests = set()
        for each in (rows, rows * factor, -0.0 + rows):
            source = ArraySource(each)
            em = em_of(source, Problem(FAMILIES["full"], 2, 0.0), digest.sums_of_bits)
            digests.add(digest.digest_of(em.summary))
        assert len(digests) == 2


def test_what_is_missing_has_one_digest_however_it_is_represented():
    rows = np.array([[1.0, np.nan], [2.0, 3.0]])
    other = rows.copy()
    other.view(np.uint64)[0, 1] ^= 2**63 + 5  # a negative NaN, with another payload
    found = [
        sums_of_bits(Block(0, each.T, complete=False, known=Known(each, np.eye(2))))
        for each in (rows, other)
    ]
    assert rows.tobytes() != other.tobytes()
    assert (found[0] == found[1]).all()


def test_another_version_does_not_go_on(stopped, monkeypatch):
    content = Path(stopped.checkpoint).read_bytes()
    monkeypatch.setattr(checkpoint, "__version__", "9.1")
    with pytest.raises(
        ValueError, match=r"written by emgmm 0\S+ \(.*and this is emgmm 9.1 \(format 7\)"
    ):
        fit(stopped, X)
    assert Interrupted.passes == 0
    assert Path(stopped.checkpoint).read_bytes() == content


def test_more_iterations_and_other_words_are_allowed(stopped, capsys):
    whole = fit(clone(stopped).set_params(max_iter=15, checkpoint=None), X)
    stopped.set_params(max_iter=15, verbose=1, verbose_interval=1, checkpoint_every=5)
    assert fitted(fit(stopped, X)) == fitted(whole)
    assert "Iteration 5\n" in capsys.readouterr().out


def test_a_fit_in_natural_parameters_continues_where_they_are_not_used(
    interrupts, tmp_path, monkeypatch
):
    """Which E-step is the fastest, and so whether they are used, depends on what is installed."""
    start = given_start(X, 3, "full") | {"acceleration": "anderson", "tol": 1e-9, "max_iter": 200}
    whole = fit(GaussianMixture(**start), X)
    model = GaussianMixture(**start, checkpoint=tmp_path / "fit.npz")
    interrupts(15)
    with pytest.raises(KeyboardInterrupt):
        fit(model, X)
    interrupts(-1)
    monkeypatch.setattr(NaturalSteps, "of", lambda *_: None)
    fit(model, X)
    assert model.history_["passes"][-1] > 14
    assert model.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-7)


def test_fewer_iterations_than_were_made_end_at_once(stopped):
    fit(stopped.set_params(max_iter=2), X)
    assert stopped.n_iter_ == 4 - 1  # the summary, the start, three iterations; stopped in the next
    assert stopped.ending_ is Ending.MAX_ITER


@pytest.mark.parametrize(
    "broken",
    [
        lambda whole: b"",
        lambda whole: b"not a checkpoint",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole[:300] + bytes([whole[300] ^ 1]) + whole[301:],
        lambda whole: pickle.dumps([1]),
        lambda whole: whole.replace(b"record".decode().encode("utf-32-le"), b"x" * 24),
    ],
    ids=["empty", "text", "half", "cut", "a bit", "pickle", "a name"],
)
def test_a_broken_file_is_one_sentence(broken, stopped):
    path = Path(stopped.checkpoint)
    path.write_bytes(broken(path.read_bytes()))
    content = path.read_bytes()
    with pytest.raises(
        ValueError, match="is not a checkpoint of this emgmm, or a damaged"
    ) as error:
        fit(stopped, X)
    assert "\n" not in str(error.value)
    assert Interrupted.passes == 0
    assert path.read_bytes() == content


def test_an_array_of_numpys_own_is_no_checkpoint(stopped):
    np.savez(stopped.checkpoint, X=X)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        fit(stopped, X)
    with open(stopped.checkpoint, "wb") as file:
        np.save(file, X)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        fit(stopped, X)


def test_no_folder_is_said_at_once(interrupts, tmp_path):
    model = GaussianMixture(3, checkpoint=tmp_path / "nowhere" / "fit.npz")
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        model.fit(X)
    assert Interrupted.passes == 0


def test_a_full_disk_is_warned_of_and_the_fit_goes_on(tmp_path, monkeypatch):
    model = GaussianMixture(3, random_state=0, checkpoint_every=0)
    whole = fitted(fit(clone(model), X))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    model.set_params(checkpoint=tmp_path / "fit.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        assert fitted(fit(model, X)) == whole
    assert list(tmp_path.iterdir()) == []
    with pytest.warns(CheckpointWarning, match=r"fit.npz could not be written \(no space left"):
        fit(model, X)


def test_it_is_written_as_often_as_asked(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoint, "monotonic", lambda: now[0])
    times = []
    save = checkpoint.Checkpoint.save

    def noted(self):
        times.append(now[0])
        save(self)

    def tick(rows, size):
        now[0] += 1
        yield from ArraySource.blocks(rows, size)

    monkeypatch.setattr(checkpoint.Checkpoint, "save", noted)
    monkeypatch.setattr(Interrupted, "blocks", tick)
    monkeypatch.setattr(validation, "ArraySource", Interrupted)
    fit(GaussianMixture(3, tol=0, max_iter=20, checkpoint=tmp_path / "a", checkpoint_every=5), X)
    assert times == [5, 10, 15, 20]


def test_no_code_is_in_the_file(stopped):
    with np.load(stopped.checkpoint, allow_pickle=False) as arrays:
        kinds = {arrays[name].dtype.kind for name in arrays.files}
    assert kinds <= set("fiuU")


# -- one at a time --------------------------------------------------------------------------------


def test_a_second_fit_on_the_path_is_refused_before_any_pass(interrupts, tmp_path):
    path = tmp_path / "fit.npz"
    model = GaussianMixture(3, checkpoint=path)
    with locked(path), pytest.raises(ValueError, match="Another fit is using"):
        model.fit(X)
    assert Interrupted.passes == 0
    fit(model, X)


FIT = textwrap.dedent(
    """
    import sys, time, warnings
    import numpy as np
    from emgmm import GaussianMixture, validation
    from emgmm.sources import ArraySource
    warnings.simplefilter("ignore")

    class Slow(ArraySource):
        def blocks(self, size):
            time.sleep(0.01)
            yield from super().blocks(size)

    validation.ArraySource = Slow
    rows, path, out, n_init, acceleration = sys.argv[1:]
    model = GaussianMixture(
        3, tol=1e-7, max_iter=15, n_init=int(n_init), init_params="random", random_state=0,
        acceleration=acceleration or None, checkpoint=path, checkpoint_every=0,
    )
    print("begun", flush=True)
    model.fit(np.load(rows)).save(out)
    """
)


@pytest.mark.extensive
@pytest.mark.slow
@pytest.mark.parametrize(("n_init", "acceleration"), [(3, ""), (1, "anderson")])
def test_a_fit_that_is_killed_at_random_times_arrives(n_init, acceleration, tmp_path):
    rows, path, out = tmp_path / "rows.npy", tmp_path / "fit.npz", tmp_path / "model.json"
    np.save(rows, X)
    random = np.random.default_rng(0)
    kills = 0
    for _ in range(40):
        arguments = [sys.executable, "-c", FIT, rows, path, out, str(n_init), acceleration]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"begun\n"
            try:
                process.wait(timeout=random.uniform(0.02, 0.5) if kills < 4 else 60)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
                continue
        assert process.returncode == 0
        break
    assert kills >= 1
    model = GaussianMixture.load(out)
    assert not path.exists()
    whole = fit(clone(model).set_params(checkpoint=None), X)
    assert fitted(model) == fitted(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be killed in this way there")
def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "fit.npz"
    code = (
        "import sys, time; from pathlib import Path; from emgmm.storage.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="Another fit is using"):
            GaussianMixture(3, checkpoint=path).fit(X)
        os.kill(process.pid, signal.SIGKILL)
    fit(GaussianMixture(3, checkpoint=path), X)
    assert list(tmp_path.iterdir()) == []


# -- the law for every scheme ---------------------------------------------------------------------


@types
@schemes
def test_a_position_is_a_value(acceleration, covariance_type, tmp_path):
    """Written, read, and gone on from, any position leads where it would have led."""
    rows, family = clusters(200, 2, 3, spread=1.0), FAMILIES[covariance_type]
    start = given_start(rows, 3, covariance_type)
    em = em_of(ArraySource(rows), Problem(family, 3, 1e-6))
    position = SCHEMES[acceleration](
        evaluate(em, fit(GaussianMixture(**start, max_iter=0), rows)._mixture())
    )
    for number in range(16):
        with (tmp_path / "position").open("wb") as file:
            checkpoint.archive().write(file, position)
        copy = checkpoint.archive().read(tmp_path / "position")
        force_plain = number % 5 == 4
        position, other = (each.next(em, force_plain=force_plain) for each in (position, copy))
        assert type(position) is type(other)
        assert position.step.event == other.step.event
        assert position.step.objective == other.step.objective
        np.testing.assert_array_equal(position.step.mixture.means, other.step.mixture.means)
