"""Rows that are not in memory: whatever the source and its cuts, the fit is that of the array."""

from __future__ import annotations

import pickle
import sys
import threading
import tracemalloc
from itertools import pairwise

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import zarr
from conftest import STARTS, TYPES, clusters, fit, given_start, relative_error
from pyarrow import dataset, parquet

from emgmm import GaussianMixture, blocks
from emgmm.fitting import multistart, split
from emgmm.sources import ArraySource, BlocksSource, SlicedSource, row_group, sliced

types = pytest.mark.parametrize("covariance_type", TYPES)
N = 1500
X = clusters(N, 3, 3)
WEIGHTS = np.random.default_rng(7).exponential(size=N) * (np.arange(N) % 5 > 0)
NAMES = ["a", "b", "c"]
CUTS = (0, 1, 1, 700, 703, 1400, N)  # unequal ones, of which one is empty


@pytest.fixture(autouse=True)
def _small_reads(monkeypatch):
    """So that even these rows are read in several slices."""
    for module in (row_group, sliced):
        monkeypatch.setattr(module, "ENTRIES", 1200)


def parts(rows):
    return [rows[start:stop] for start, stop in pairwise(CUTS)]


def mapped(path, rows):
    path.mkdir(exist_ok=True)
    array = np.memmap(path / "rows", rows.dtype, "w+", shape=rows.shape)
    array[:] = rows
    return array


class Sliceable:
    """Has what such an array must have, and nothing else; it cannot be had whole."""

    def __init__(self, rows, most=N // 2):
        self._rows, self._most = rows, most
        self.shape, self.ndim, self.dtype = rows.shape, rows.ndim, rows.dtype

    def __getitem__(self, place):
        assert isinstance(place, slice)
        rows = self._rows[place]
        assert len(rows) <= self._most
        return rows

    def __array__(self, *_, **__):
        raise AssertionError("converted whole")


def in_hdf5(path, rows, chunks=None):
    path.mkdir(exist_ok=True)
    return h5py.File(path / "rows.h5", "w").create_dataset("rows", data=rows, chunks=chunks)


def in_zarr(path, rows):
    array = zarr.open(
        path / "rows.zarr", mode="w", shape=rows.shape, chunks=(300, 3), dtype=rows.dtype
    )
    array[:] = rows
    return array


def table_of(rows, **more):
    return pa.table({**dict(zip(NAMES, rows.T, strict=True)), **more})


def in_parquet(path, rows, **more):
    path.mkdir(exist_ok=True)
    parquet.write_table(table_of(rows, **more), path / "rows.parquet", row_group_size=400)
    return path / "rows.parquet"


def in_two_files(path, rows):
    folder = path / "folder"
    folder.mkdir()
    for number, part in enumerate((rows[:900], rows[900:])):
        parquet.write_table(table_of(part), folder / f"{number}.parquet")
    return folder


SLICED = {
    "memmap": mapped,
    "sliceable": lambda path, rows: Sliceable(rows),
    "hdf5": in_hdf5,
    "hdf5 in chunks": lambda path, rows: in_hdf5(path, rows, (450, 2)),
    "zarr": in_zarr,
}
BLOCKS = {
    "sequence": lambda path, rows: blocks(parts(rows)),
    "function": lambda path, rows: blocks(lambda: iter(parts(rows))),
    "lists": lambda path, rows: blocks([part.tolist() for part in parts(rows) if len(part)]),
    "cut smaller": lambda path, rows: blocks([rows[:1000], rows[1000:]], block_rows=77),
    "array": lambda path, rows: blocks(rows, block_rows=400),
    "blocks of sliceable": lambda path, rows: blocks(Sliceable(rows)),
    "pandas": lambda path, rows: blocks([pd.DataFrame(p, columns=NAMES) for p in parts(rows)]),
    "polars": lambda path, rows: blocks([pl.DataFrame(p, schema=NAMES) for p in parts(rows)]),
    "one table": lambda path, rows: blocks(pd.DataFrame(rows, columns=NAMES), block_rows=400),
    "arrow": lambda path, rows: blocks([table_of(part) for part in parts(rows)]),
    "record batches": lambda path, rows: blocks(table_of(rows).to_batches(max_chunksize=333)),
    "parquet": lambda path, rows: blocks(in_parquet(path, rows)),
    "parquet by path": lambda path, rows: blocks(str(in_parquet(path, rows)), block_rows=100),
    "folder": lambda path, rows: blocks(in_two_files(path, rows)),
    "files": lambda path, rows: blocks(sorted(in_two_files(path, rows).iterdir())),
    "dataset": lambda path, rows: blocks(dataset.dataset(in_parquet(path, rows))),
}
sources = pytest.mark.parametrize("source", {**SLICED, **BLOCKS}.values(), ids={**SLICED, **BLOCKS})
some = ("memmap", "sliceable", "hdf5 in chunks", "sequence", "parquet")
few_sources = pytest.mark.parametrize(
    "source", [{**SLICED, **BLOCKS}[name] for name in some], ids=some
)


def assert_same_fit(one, other, dtype=np.float64):
    tolerance = 1e-10 if dtype == np.float64 else 1e-5  # of products in float32
    assert relative_error(one, other) < tolerance
    assert one.n_iter_ == other.n_iter_
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=tolerance)
    assert one.means_.dtype == other.means_.dtype == dtype
    assert one.history_["passes"].tolist() == other.history_["passes"].tolist()


# -- one answer ---------------------------------------------------------------------------------
@sources
def test_from_a_given_start(source, tmp_path):
    model = GaussianMixture(**given_start(X, 3, "full"), tol=0, max_iter=15)
    in_memory = pickle.loads(pickle.dumps(fit(model, X)))
    assert_same_fit(fit(model, source(tmp_path, X)), in_memory)


@few_sources
@types
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_types_weights_and_precision(source, covariance_type, dtype, weights, tmp_path):
    rows = X.astype(dtype)
    start = given_start(rows, 3, covariance_type)
    start = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in start.items()}
    arguments = {**start, "tol": 0, "max_iter": 10}
    in_memory = fit(GaussianMixture(**arguments), rows, sample_weight=weights)
    model = fit(GaussianMixture(**arguments), source(tmp_path, rows), sample_weight=weights)
    assert_same_fit(model, in_memory, dtype)


@few_sources
@types
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_missing_values(source, covariance_type, weights, tmp_path):
    rows = X.copy()
    rows[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    arguments = {"n_components": 2, "covariance_type": covariance_type, "random_state": 0}
    in_memory = fit(GaussianMixture(**arguments), rows, sample_weight=weights)
    model = fit(GaussianMixture(**arguments), source(tmp_path, rows), sample_weight=weights)
    assert_same_fit(model, in_memory)
    found = model.predict_proba(source(tmp_path / "again", rows))
    found = found if isinstance(found, np.ndarray) else np.concatenate(list(found))
    np.testing.assert_allclose(found, in_memory.predict_proba(rows), atol=1e-9)


@few_sources
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("from_rows", [N - 1, N])
def test_from_starts_on_all_rows_and_on_a_sample(
    source, start, weights, from_rows, tmp_path, monkeypatch
):
    monkeypatch.setattr(multistart, "START_FROM", from_rows)
    monkeypatch.setattr(multistart, "START_ROWS", 300)
    arguments = {"init_params": start, "n_init": 2, "random_state": 3, "break_symmetry": False}
    in_memory = fit(GaussianMixture(3, **arguments), X, sample_weight=weights)
    model = fit(GaussianMixture(3, **arguments), source(tmp_path, X), sample_weight=weights)
    assert_same_fit(model, in_memory)


@few_sources
def test_callables_are_handed_the_same_sample(source, tmp_path, monkeypatch):
    monkeypatch.setattr(multistart, "START_FROM", 1000)
    monkeypatch.setattr(multistart, "START_ROWS", 300)
    seen = []

    def start(rows, n_components, random):
        seen.append(rows.copy())
        return random.randint(n_components, size=len(rows))

    for rows in (X, source(tmp_path, X)):
        fit(GaussianMixture(3, init_params=start, random_state=0, max_iter=1), rows)
    np.testing.assert_array_equal(*seen)
    assert seen[0].shape == (300, 3)


@few_sources
def test_the_way_out_of_coincident_components(source, tmp_path, monkeypatch):
    monkeypatch.setattr(split, "SAMPLE_ROWS", 200)
    arguments = {"means_init": [X.mean(axis=0)] * 3, "random_state": 0, "init_params": "random"}
    in_memory = fit(GaussianMixture(3, **arguments), X)
    assert "escape" in in_memory.history_["event"]
    assert_same_fit(fit(GaussianMixture(3, **arguments), source(tmp_path, X)), in_memory)


@pytest.mark.parametrize("acceleration", [None, "anderson"])
def test_far_rows_and_acceleration(acceleration):
    far = X + 1e7
    model = GaussianMixture(**given_start(far, 3, "full"), reg_covar=0, acceleration=acceleration)
    in_memory = pickle.loads(pickle.dumps(fit(model, far)))
    assert relative_error(fit(model, blocks(parts(far))), in_memory) < 1e-8


@pytest.mark.parametrize("source", SLICED.values(), ids=SLICED)
def test_integers_are_converted_slice_by_slice(source, tmp_path):
    rows = np.round(20 * X).astype(np.int16)
    model = GaussianMixture(3, random_state=0)
    in_memory = pickle.loads(pickle.dumps(fit(model, rows)))
    assert_same_fit(fit(model, source(tmp_path, rows)), in_memory)


# -- what is asked of a fitted mixture -----------------------------------------------------------
@pytest.fixture(scope="module")
def fitted():
    return GaussianMixture(3, random_state=0, tol=1e-6).fit(X)


METHODS = ("predict", "predict_proba", "predict_log_proba", "component_log_prob", "score_samples")


@pytest.mark.parametrize("source", SLICED.values(), ids=SLICED)
@pytest.mark.parametrize("method", METHODS)
def test_answers_for_an_array_are_arrays(source, method, tmp_path, fitted):
    found = getattr(fitted, method)(source(tmp_path, X))
    np.testing.assert_allclose(found, getattr(fitted, method)(X), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("source", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("method", METHODS)
def test_answers_for_blocks_are_an_array_for_each(source, method, tmp_path):
    rows = source(tmp_path, X)
    names = next(rows.read()).names
    model = GaussianMixture(3, random_state=0, max_iter=2)
    fit(model, X if names is None else pd.DataFrame(X, columns=NAMES))
    found = list(getattr(model, method)(rows))
    assert [len(part) for part in found] == [len(part) for part in rows]
    expected = getattr(model, method)(X if names is None else pd.DataFrame(X, columns=NAMES))
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-10, atol=1e-12)
    assert {part.dtype for part in found} == {expected.dtype}
    np.testing.assert_array_equal(np.concatenate(list(rows)), X)


@sources
def test_criteria_and_the_report(source, tmp_path, fitted):
    rows = source(tmp_path, X)
    model = fit(GaussianMixture(3, random_state=0, tol=1e-6), rows)
    assert model.score(rows) == pytest.approx(model.lower_bound_, rel=1e-12)
    for weights in (None, WEIGHTS):
        for method in ("score", "bic", "aic", "icl"):
            expected = getattr(fitted, method)(X, sample_weight=weights)
            found = getattr(model, method)(rows, sample_weight=weights)
            assert found == pytest.approx(expected, rel=1e-10)
    report = model.diagnose(rows)
    expected = fitted.diagnose(X)
    np.testing.assert_allclose(report.mass, expected.mass, rtol=1e-8)
    np.testing.assert_allclose(report.overlap, expected.overlap, rtol=1e-8)
    assert report.extra_passes == expected.extra_passes


# -- weights, columns, names --------------------------------------------------------------------
def frame(**more):
    return pd.DataFrame({**dict(zip(NAMES, X.T, strict=True)), **more})


WEIGHED = {
    "list": (lambda path: blocks(parts(X)), WEIGHTS.tolist()),
    "series": (lambda path: blocks(parts(X)), pd.Series(WEIGHTS, index=range(5, N + 5))),
    "blocks": (lambda path: blocks(parts(X)), blocks(parts(WEIGHTS))),
    "blocks with one column": (
        lambda path: blocks(parts(X)),
        blocks(parts(np.column_stack([X, WEIGHTS])), columns=-1),
    ),
    "cut alike": (
        lambda path: blocks([X], block_rows=100),
        blocks([WEIGHTS[:600], WEIGHTS[600:]], block_rows=100),
    ),
    "a table's blocks": (
        lambda path: blocks(parts(X)),
        blocks(parts(frame(w=WEIGHTS)), columns=["w"]),
    ),
    "integers": (lambda path: blocks([X]), np.arange(N) % 3),
    "stored": (lambda path: mapped(path, X), Sliceable(WEIGHTS)),
}


@pytest.mark.parametrize(("rows", "weights"), WEIGHED.values(), ids=WEIGHED)
def test_weights_come_in_an_array_or_in_blocks(rows, weights, tmp_path):
    expected = np.arange(N) % 3 if weights is WEIGHED["integers"][1] else WEIGHTS
    model = GaussianMixture(**given_start(X, 3, "full"), tol=0, max_iter=5)
    in_memory = pickle.loads(pickle.dumps(fit(model, X, sample_weight=expected)))
    assert_same_fit(fit(model, rows(tmp_path), sample_weight=weights), in_memory)


KEYED = {
    "by name": (["c", "a"], "w"),
    "by number": ([4, 1], 3),
    "from behind": ([-1, -4], -2),
}


@pytest.mark.parametrize(("columns", "weight_column"), KEYED.values(), ids=KEYED)
@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "parquet", "dataset"])
def test_columns_of_tables(columns, weight_column, kind, tmp_path):
    data = frame(w=WEIGHTS)[["a", "b", "w", "c"]]
    data.insert(0, "who", "somebody")
    data = data[["who", "a", "b", "w", "c"]]
    table = pa.Table.from_pandas(data)
    parquet.write_table(table, tmp_path / "rows")
    made = {
        "pandas": lambda: parts(data),
        "polars": lambda: [pl.DataFrame(data[:400]), pl.DataFrame(data[400:])],
        "arrow": lambda: [table],
        "parquet": lambda: tmp_path / "rows",
        "dataset": lambda: dataset.dataset(tmp_path / "rows"),
    }
    rows = blocks(made[kind](), columns=columns, weight_column=weight_column)
    arguments = {"n_components": 2, "random_state": 0}
    model = fit(GaussianMixture(**arguments), rows)
    in_memory = fit(GaussianMixture(**arguments), X[:, [2, 0]], sample_weight=WEIGHTS)
    assert_same_fit(model, in_memory)
    assert model.feature_names_in_.tolist() == ["c", "a"]
    with pytest.raises(ValueError, match=r"feature names should match .* \['c', 'a'\], but got"):
        model.predict(blocks(made[kind](), columns=["a", "c"]))


def test_all_columns_but_that_of_the_weights():
    array = np.column_stack([X[:, 0], WEIGHTS, X[:, 1:]])
    start = given_start(X, 3, "full")
    model = fit(GaussianMixture(**start), blocks([array[:900], array[900:]], weight_column=1))
    assert_same_fit(model, fit(GaussianMixture(**start), X, sample_weight=WEIGHTS))
    assert not hasattr(model, "feature_names_in_")


def test_null_in_a_table_is_missing():
    integers = pa.table({"a": pa.array([1, None, 3]), "b": pa.array([0.5, 1.5, None])})
    (rows,) = blocks([integers])
    np.testing.assert_array_equal(rows, [[1, 0.5], [np.nan, 1.5], [3, np.nan]])


# -- passes ------------------------------------------------------------------------------------
@pytest.mark.parametrize("hands", [1, 3])
def test_a_pass_reads_each_block_once_in_the_callers_thread(hands, monkeypatch):
    monkeypatch.setattr("emgmm.threads._allowed", lambda _: hands)
    opened, closed, read, threads = [], [], [], set()

    def reader():
        opened.append(1)
        try:
            for part in parts(X):
                threads.add(threading.current_thread())
                read.append(1)
                yield part
        finally:
            closed.append(1)

    model = fit(GaussianMixture(**given_start(X, 3, "full"), tol=0, max_iter=4), blocks(reader))
    passes = model.history_["passes"][-1]
    assert passes == 6  # the summary, the start's likelihood, four iterations
    assert len(opened) == len(closed) == passes + 1  # and a look at the first block
    assert len(read) == passes * (len(CUTS) - 1) + 1
    assert threads == {threading.current_thread()}


def test_the_look_at_the_first_block_leaves_nothing_open():
    closed = []

    def reader():
        try:
            yield from parts(X)
        finally:
            closed.append(1)

    source = BlocksSource(blocks(reader))
    assert closed == [1]
    assert source.n_rows == N


def test_of_a_file_no_other_columns_are_read(tmp_path):
    rows = blocks(in_parquet(tmp_path, X), columns=["c"], weight_column="a")
    assert {tuple(batch.schema.names) for batch in rows.opened()} == {("c", "a")}


def test_nothing_is_read_before_it_is_asked_for(fitted):
    taken = []

    def reader():
        for part in parts(X):
            taken.append(1)
            yield part

    answers = fitted.predict(blocks(reader))
    assert len(taken) == 1  # the look at the first
    for number, _ in enumerate(answers, start=1):
        assert len(taken) == 1 + number


def test_rows_that_miss_something_are_handed_out_by_pattern():
    rows = X.copy()
    rows[::3, 1] = np.nan
    rows[5, :] = np.nan
    rows[700:703] = 0
    for source in (
        BlocksSource(blocks(parts(rows)), WEIGHTS),
        SlicedSource(Sliceable(rows), WEIGHTS),
    ):
        for _ in range(2):
            seen, order = [], []
            for block in source.blocks(100):
                assert block.rows.shape[1] <= 100
                assert block.complete == (not np.isnan(block.rows).any())
                numbers = np.arange(N)[block.place]
                np.testing.assert_array_equal(block.rows.T, rows[numbers])
                np.testing.assert_array_equal(block.weights, WEIGHTS[numbers])
                patterns = [tuple(np.isnan(row)) for row in block.rows.T]
                assert sum(a != b for a, b in pairwise(patterns)) < len(set(patterns))
                seen.append(block.complete)
                order.extend(numbers)
            assert sorted(order) == list(range(N))
            assert not all(seen)
        assert not source.sample(N, np.random.RandomState(0)).complete
    assert any(block.complete for block in BlocksSource(blocks(parts(rows))).blocks(100))


def test_a_small_table_has_the_same_blocks_for_all_who_ask_for_one_size():
    source = ArraySource(X)
    first = {size: list(source.blocks(size)) for size in (N // 2, N, 10 * N)}
    for size, own in first.items():
        assert all(block.is_persistent for block in own)
        assert all(a is b for a, b in zip(source.blocks(size), own, strict=True))
    assert first[N][0] is first[10 * N][0]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("task", ["fit", "predict"])
def test_memory_does_not_grow_with_the_rows(dtype, task, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(multistart, "START_FROM", 2**14)
    monkeypatch.setattr(multistart, "START_ROWS", 2**12)
    monkeypatch.setattr("emgmm.threads._allowed", lambda _: 1)  # who is how far is left to chance
    peaks = []
    chunk = 100 + 10 * clusters(2**16, 2, 2)
    for n_rows in (2**20, 2**23):
        rows = np.memmap(tmp_path / f"{n_rows}", dtype, "w+", shape=(n_rows, 2))
        for start in range(0, n_rows, 2**16):
            rows[start : start + 2**16] = chunk
        weights = np.memmap(tmp_path / f"weights{n_rows}", dtype, "w+", shape=(n_rows,))
        weights[:] = 1
        model = GaussianMixture(2, max_iter=1, random_state=0)
        fit(model, rows[: 2**16], sample_weight=weights[: 2**16])
        tracemalloc.start()
        if task == "fit":
            fit(model, rows, sample_weight=weights)
        else:
            assert sum(map(len, model.predict(blocks(rows)))) == n_rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 40e6
    assert peaks[1] - peaks[0] < 3e6  # a byte for each row would be 7e6 more


# -- what will not do ---------------------------------------------------------------------------
def spoiled(value, row, column=2):
    rows = X.copy()
    rows[row, column] = value
    return rows


def changing(*passes):
    """Other blocks in each pass, the last ones again and again; the first look is a pass."""
    left = list(passes)
    return blocks(lambda: iter(left.pop(0) if len(left) > 1 else left[0]))


def named(*parts_of_rows):
    return [pd.DataFrame(part, columns=names) for part, names in parts_of_rows]


first, second = X[:800], X[800:]
BAD = {
    "fewer rows": (
        lambda: changing([first], [first, second], [first, second[1:]]),
        r"Block 1, counted from 0, has 699 rows, but had 700 rows in the first pass",
    ),
    "fewer blocks": (
        lambda: changing([first], [first, second], [first]),
        r"Block 1, counted from 0, is missing, but had 700 rows in the first pass",
    ),
    "no blocks": (
        lambda: changing([first], [first, second], []),
        r"Block 0, counted from 0, is missing",
    ),
    "more blocks": (
        lambda: changing([first], [first, second], [first, second, first]),
        r"Block 2, counted from 0, has 800 rows, but did not exist in the first pass",
    ),
    "another width": (
        lambda: blocks([first, second[:, :2]]),
        "Block 1, counted from 0, has 2 features, but the first block has 3",
    ),
    "other names": (
        lambda: blocks(named((first, NAMES), (second, ["a", "c", "b"]))),
        r"Block 1, counted from 0, has the columns \['a', 'c', 'b'\], but the first block has",
    ),
    "names and none": (
        lambda: blocks([*named((first, NAMES)), second]),
        "Block 1, counted from 0, has the columns None, but the first block has",
    ),
    "another type": (
        lambda: blocks([first.astype(np.float32), second]),
        "has the type float64, but the first block has float32",
    ),
    "no such column": (
        lambda: blocks([first, second], columns=[0, 3]),
        "Block 0, counted from 0: there is no column 3; there are 3 columns",
    ),
    "no such name": (
        lambda: blocks(named((first, NAMES)), columns=["a", "z"]),
        "Block 0, counted from 0: there is no column 'z'; there are the columns a, b, c",
    ),
    "a name in an array": (
        lambda: blocks([first], columns=["a"]),
        "Block 0, counted from 0: it is an array without names",
    ),
    "words": (
        lambda: blocks([first, np.full((3, 3), "x", dtype=object)]),
        "Block 1, counted from 0: could not convert string to float",
    ),
    "one dimension": (
        lambda: blocks([first, second[:, 0]]),
        "Block 1, counted from 0: Expected 2D array, got 1D array",
    ),
    "infinity": (
        lambda: blocks(parts(spoiled(-np.inf, 1403))),
        r"Input X contains infinity .* row 1403, column 2, counted from 0",
    ),
    "infinity in a table": (
        lambda: blocks(parts(pd.DataFrame(spoiled(np.inf, 703), columns=NAMES))),
        r"Input X contains infinity .* row 703, column 2 \('c'\), counted from 0",
    ),
    "infinity in a slice": (
        lambda: Sliceable(spoiled(np.inf, 1001)),
        "Input X contains infinity .* row 1001, column 2, counted from 0",
    ),
    "no block": (lambda: blocks([]), "There is no row in X"),
    "no row": (lambda: blocks([X[:0], X[:0]]), r"Found array with 0 sample\(s\)"),
    "no row in an array": (lambda: Sliceable(X[:0]), r"Found array with 0 sample\(s\)"),
    "one row": (lambda: blocks([X[:0], X[:1]]), "a minimum of 2 is required"),
    "few rows": (lambda: blocks([X[:2]]), "n_components = 3, n_samples = 2"),
}


@pytest.mark.parametrize(("rows", "message"), BAD.values(), ids=BAD)
def test_rows_that_will_not_do(rows, message):
    for model in (GaussianMixture(3), GaussianMixture(3, random_state=0).fit(X)):
        before = pickle.dumps(vars(model))
        with pytest.raises(ValueError, match=message):
            model.fit(rows())
        assert pickle.dumps(vars(model)) == before


def test_predictions_name_the_place_too(fitted):
    answers = fitted.predict(blocks(parts(spoiled(np.inf, 1403))))
    with pytest.raises(ValueError, match="row 1403"):
        list(answers)
    with pytest.raises(ValueError, match="row 1403"):
        fitted.score_samples(Sliceable(spoiled(np.inf, 1403)))
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        fitted.predict(blocks([X[:, :2]]))


def weights_with(value, row):
    weights = np.ones(N)
    weights[row] = value
    return weights


BAD_WEIGHTS = {
    "negative": (weights_with(-1, 1402), "sample_weight of row 1402, counted from 0, is -1;"),
    "nan": (blocks(parts(weights_with(np.nan, 702))), "sample_weight of row 702, .* is nan;"),
    "zero": (np.zeros(N), "sample_weight is zero for every row"),
    "too few": (np.ones(N - 1), r"sample_weight has the shape \(1499,\), but X has at least 1500"),
    "too many": (np.ones(N + 1), r"sample_weight has the shape \(1501,\), but X has 1500 rows"),
    "cut otherwise": (
        blocks([WEIGHTS[:1], WEIGHTS[1:]]),
        "Block 1, counted from 0: X has 0 rows, but sample_weight has 1499 rows; divide both",
    ),
    "fewer blocks": (
        blocks(parts(WEIGHTS)[:-1]),
        "Block 5, counted from 0: X has 100 rows, but sample_weight has no block",
    ),
    "two columns": (blocks(parts(X[:, :2])), r"Block 0, .*: sample_weight has the shape \(1, 2\)"),
}


@pytest.mark.parametrize(("weights", "message"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_weights_that_will_not_do(weights, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3).fit(blocks(parts(X)), sample_weight=weights)


def test_weights_that_do_not_go_with_the_rows():
    with pytest.raises(
        ValueError, match="X has a column of weights, 0, and sample_weight is given"
    ):
        GaussianMixture(2).fit(blocks([X], weight_column=0), sample_weight=WEIGHTS)
    with pytest.raises(
        ValueError, match=r"sample_weight has the shape \(3,\), but X has 1500 rows"
    ):
        GaussianMixture(2).fit(Sliceable(X), sample_weight=np.ones(3))
    for rows in (X, Sliceable(X)):
        with pytest.raises(TypeError, match="sample_weight is blocks, but X is not"):
            GaussianMixture(2).fit(rows, sample_weight=blocks([WEIGHTS]))


def test_what_can_be_read_only_once_is_refused():
    with pytest.raises(TypeError, match="given a generator, which can be read only once, and EM"):
        blocks(part for part in parts(X))
    once = iter(parts(X))
    with pytest.raises(TypeError, match="returned the same list_iterator twice, which can be read"):
        GaussianMixture(2).fit(blocks(lambda: once))


def test_what_blocks_takes():
    with pytest.raises(TypeError, match="blocks was given a int; it takes a sequence of arrays"):
        blocks(3)
    with pytest.raises(TypeError, match=r"columns must be names or numbers of columns, .* 5\.0"):
        blocks([X], columns=5.0)
    with pytest.raises(TypeError, match="given returned None: it must return a new iterator"):
        GaussianMixture(2).fit(blocks(lambda: None))
    for size in (0, 1.5, "all"):
        with pytest.raises(ValueError, match="block_rows must be a number of rows, at least 1"):
            blocks([X], block_rows=size)


def test_a_size_may_be_a_small_integer_of_numpy():
    given, taken = blocks([X], block_rows=np.uint8(200)), blocks([X], block_rows=200)
    assert fit(GaussianMixture(2, random_state=0), given).lower_bound_ == (
        fit(GaussianMixture(2, random_state=0), taken).lower_bound_
    )


def test_files(tmp_path, monkeypatch):
    for missing in (tmp_path / "nothing", "", [in_parquet(tmp_path, X), "nothing"]):
        with pytest.raises(
            FileNotFoundError, match=r"There is no file or folder '.*': give the path"
        ):
            blocks(missing)
    path = in_parquet(tmp_path, X)
    with pytest.raises(ValueError, match="there is no column 'z'; there are the columns a, b, c"):
        blocks(path, columns=["z"])
    text = tmp_path / "rows.csv"
    text.write_text("a,b\n0.5,1\n1.5,2\n")
    with pytest.raises(ValueError, match=r"rows\.csv is not a Parquet file, .* To read a CSV"):
        blocks(text)
    (block,) = blocks(dataset.dataset(text, format="csv"))
    np.testing.assert_array_equal(block, [[0.5, 1], [1.5, 2]])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="read with pyarrow: pip install pyarrow"):
        blocks(path)


def test_a_file_with_another_type_in_a_column_is_named(tmp_path):
    parquet.write_table(pa.table({"a": X[:, 0], "b": X[:, 1]}), tmp_path / "0.parquet")
    parquet.write_table(pa.table({"b": X[:, 1], "a": ["x"] * N}), tmp_path / "1.parquet")
    with pytest.raises(ValueError, match=r"1\.parquet cannot be read with 'a' as double: .*'x'"):
        GaussianMixture(2).fit(blocks(tmp_path))
    means = fit(GaussianMixture(1), blocks(tmp_path, columns="b")).means_
    np.testing.assert_allclose(means, [[X[:, 1].mean()]])


def test_a_damaged_file_is_named(tmp_path):
    path = in_parquet(tmp_path, X)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(range(100)) + whole[104:])  # the header of the first page
    with pytest.raises(ValueError, match=rf"{path} cannot be read with 'a' as double: .* damaged"):
        next(iter(blocks(path)))
    for size in (10, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=f"^{path} is not a Parquet file, or it is damaged"):
            blocks(path)


def test_no_block_is_too_large_for_the_numbers_of_pyarrow(tmp_path):
    for source in (in_parquet(tmp_path, X), [X]):
        np.testing.assert_array_equal(np.concatenate([*blocks(source, block_rows=2**63)]), X)


def test_labels_of_all_rows_at_once_are_refused():
    model = GaussianMixture(2)
    with pytest.raises(TypeError, match=r"call fit\(X\), and then predict\(X\)"):
        model.fit_predict(blocks(parts(X)))
    assert not hasattr(model, "means_")
