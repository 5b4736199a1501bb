"""Dask arrays and DataFrames: the same answers as in memory, from wherever the chunks are."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
from functools import partial, reduce
from operator import add

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from conftest import STARTS, TYPES, clusters, fit, given_start, identity_precisions, relative_error
from distributed import Client, LocalCluster, wait
from sklearn.base import clone

from emgmm import GaussianMixture
from emgmm.covariances import FAMILIES
from emgmm.estep import CentredEStep, EStepForBlock, ExpandedEStep
from emgmm.estep.compiled import estep
from emgmm.fitting import multistart
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource, ClusterSource
from emgmm.sources.block import Block
from emgmm.sources.dask.chunk import Sums, Total, merge

types = pytest.mark.parametrize("covariance_type", TYPES)
X = clusters(600, 3, 3)
WEIGHTS = np.random.default_rng(7).integers(0, 4, size=len(X))
CUTS = {
    "one": (600,),
    "even": (100,) * 6,
    "uneven": (1, 399, 0, 7, 193),
    "small": (24,) * 25,  # more than one level of the tree, and a branch with a single leaf
}


@pytest.fixture(autouse=True)
def in_this_process():
    """Whatever client a test has made."""
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


def unknown(array):
    """The same array, the lengths of its chunks forgotten."""
    array = array.copy()
    array._chunks = ((np.nan,) * array.numblocks[0], *array.chunks[1:])
    return array


def cut(rows, name="uneven", *, known=True):
    array = da.from_array(rows, chunks=(CUTS[name], *((n,) for n in rows.shape[1:])))
    return array if known else unknown(array)


def model_of(covariance_type, **arguments):
    start = given_start(X, 3, covariance_type)
    return GaussianMixture(**{**start, "tol": 0, "max_iter": 20, **arguments})


def assert_same_fit(one, other, tolerance=1e-10):
    assert relative_error(one, other) < tolerance
    assert one.n_iter_ == other.n_iter_
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=tolerance)


# -- fits -----------------------------------------------------------------------------------------
@types
@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("known", [True, False])
def test_a_given_start_ends_where_it_does_in_memory(covariance_type, cuts, known):
    distributed = fit(model_of(covariance_type), cut(X, cuts, known=known))
    assert_same_fit(distributed, fit(model_of(covariance_type), X))


@types
@pytest.mark.parametrize("init_params", STARTS)
@pytest.mark.parametrize("limit", [None, 100])
def test_a_random_start_is_that_of_the_array(covariance_type, init_params, limit, monkeypatch):
    if limit is not None:
        monkeypatch.setattr(multistart, "START_FROM", limit)
        monkeypatch.setattr(multistart, "START_ROWS", limit)
    model = GaussianMixture(
        3,
        covariance_type=covariance_type,
        init_params=init_params,
        random_state=3,
        tol=0,
        max_iter=5,
        break_symmetry=False,  # where components coincide, rounding chooses which one goes where
    )
    for array in (cut(X, known=False), cut(X, "even")):
        assert_same_fit(fit(clone(model), array), fit(clone(model), X))


@types
@pytest.mark.parametrize(
    "weights",
    [
        WEIGHTS,
        cut(WEIGHTS),
        cut(WEIGHTS, "even"),
        cut(WEIGHTS, known=False),
        dd.from_dask_array(cut(WEIGHTS)),
    ],
    ids=["numpy", "dask", "other chunks", "unknown chunks", "series"],
)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.filterwarnings("ignore::emgmm.StoppedShortWarning")
def test_weights_of_any_kind(covariance_type, weights, known):
    distributed = fit(model_of(covariance_type), cut(X, known=known), sample_weight=weights)
    assert_same_fit(distributed, fit(model_of(covariance_type), X, sample_weight=WEIGHTS))
    for name in ("score", "bic", "aic", "icl"):
        ask = getattr(distributed, name)
        theirs = ask(cut(X, known=known), sample_weight=weights)
        assert isinstance(theirs, float)
        assert theirs == pytest.approx(ask(X, sample_weight=WEIGHTS), rel=1e-12)


@types
def test_single_precision_stays_single(covariance_type):
    rows = X.astype(np.float32)
    distributed = fit(model_of(covariance_type), cut(rows))
    assert distributed.means_.dtype == np.float32
    # Chunks and blocks are cut at other rows, and float32 products of them round otherwise.
    assert_same_fit(distributed, fit(model_of(covariance_type), rows), 1e-4)
    assert distributed.score_samples(cut(rows)).dtype == np.float32


def test_integers_and_chunks_along_features():
    rows = np.round(X).astype(np.int32)
    both = da.from_array(rows, chunks=(70, 2))
    assert_same_fit(fit(model_of("full"), both), fit(model_of("full"), rows))


def test_a_data_frame_has_names_and_its_own_types():
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["b"] = frame["b"].round().astype(int)
    frame["c"] = frame["c"].astype("Float64")
    rows = frame.to_numpy(dtype=float)
    frames = dd.from_pandas(frame, npartitions=4)
    distributed = fit(model_of("full"), frames)
    assert_same_fit(distributed, fit(model_of("full"), rows))
    assert list(distributed.feature_names_in_) == list("abc")
    np.testing.assert_array_equal(distributed.predict(frames).compute(), distributed.predict(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        distributed.predict(frames.rename(columns={"a": "z"}))
    single = frame[["a"]].astype(np.float32)
    assert ClusterSource.of(dd.from_pandas(single, npartitions=2), None).dtype == np.float32


def reordered(model, order):
    """The mixture with its components in this order."""
    own = [getattr(model, name)[order] for name in ("weights_", "means_")]
    return GaussianMixture.from_parameters(*own, covariances=model.covariances_[order])


def test_acceleration_escapes_and_diagnoses_alike():
    """Components that coincide are parted alike; which of them is the first rounding may decide."""
    coincide = {
        "means_init": np.tile(X.mean(axis=0), (3, 1)),
        "precisions_init": identity_precisions("full", 3, 3),
    }
    for arguments in ({"acceleration": "anderson"}, coincide):
        model = partial(model_of, "full", random_state=0, max_iter=60, tol=1e-8, **arguments)
        one, other = fit(model(), cut(X)), fit(model(), X)
        orders = [np.argsort(each.means_[:, 0]) for each in (one, other)]
        assert_same_fit(*map(reordered, (one, other), orders), 1e-9)
        assert one.history_["event"].tolist() == other.history_["event"].tolist()
    ours, theirs = one.diagnose(cut(X), certify=True), other.diagnose(X, certify=True)
    assert ours.verdict is theirs.verdict
    first, second = (np.ix_(order, order) for order in orders)
    np.testing.assert_allclose(ours.overlap[first], theirs.overlap[second], atol=1e-10)


# -- predictions ----------------------------------------------------------------------------------
@pytest.mark.slow
@types
@pytest.mark.parametrize("known", [True, False])
def test_predictions_are_lazy_and_those_of_the_array(covariance_type, known):
    model = fit(model_of(covariance_type), X)
    made = []

    def make(rows):
        made.append(len(rows))
        return rows

    rows = cut(X, known=known).map_blocks(make, dtype=X.dtype, meta=np.empty((0, 0)))
    results = {
        name: getattr(model, name)(rows)
        for name in (
            "predict",
            "predict_proba",
            "predict_log_proba",
            "component_log_prob",
            "score_samples",
        )
    }
    assert not made
    for name, result in results.items():
        expected = getattr(model, name)(X)
        assert isinstance(result, da.Array)
        assert result.dtype == expected.dtype
        assert result.ndim == expected.ndim
        if known:
            assert result.chunks[0] == CUTS["uneven"]
            assert result.shape == expected.shape
        else:
            assert np.isnan(result.shape[0])
        found = result.compute()
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
    assert made


def test_fit_predict_fits_now_and_labels_later():
    labels = model_of("full", tol=1e-3).fit_predict(cut(X))
    assert isinstance(labels, da.Array)
    np.testing.assert_array_equal(labels.compute(), model_of("full", tol=1e-3).fit_predict(X))


# -- the source -----------------------------------------------------------------------------------
@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("limit", [50, 599, 600, 1000])
def test_a_sample_is_that_of_the_array(cuts, limit):
    ours = ClusterSource.of(cut(X, cuts, known=False), cut(WEIGHTS, cuts))
    theirs = ArraySource(X, WEIGHTS.astype(float))
    a, b = (source.sample(limit, np.random.RandomState(5)) for source in (ours, theirs))
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a.weights, b.weights)
    assert a.complete


def test_blocks_are_all_rows_in_their_order():
    source = ClusterSource.of(cut(X), WEIGHTS)
    blocks = list(source.blocks(100))
    assert max(block.rows.shape[1] for block in blocks) == 100
    np.testing.assert_array_equal(np.concatenate([b.rows.T for b in blocks]), X)
    np.testing.assert_array_equal(np.concatenate([b.weights for b in blocks]), WEIGHTS)
    assert [b.start for b in blocks] == np.cumsum([0] + [b.rows.shape[1] for b in blocks])[
        :-1
    ].tolist()


class Seen:
    """What is seen of blocks, as a sum."""

    def __call__(self, block: Block) -> list:
        return [(block.rows.shape[1], block.complete, int(np.isnan(block.rows).sum()))]


def test_missing_values_are_passed_on_where_they_are():
    holed = X.copy()
    holed[450, 1] = np.nan
    source = ClusterSource.of(cut(holed, "even"), None)
    seen = source.sum(Seen(), 60)
    assert [size for size, *_ in seen] == [60, 40] * 6
    assert [complete for _, complete, _ in seen] == [True] * 8 + [False] * 2 + [True] * 2
    assert sum(missing for *_, missing in seen) == 1
    assert not source.sample(10, np.random.RandomState(0)).complete


def test_rows_are_counted_once():
    source = ClusterSource.of(cut(X, known=False), None)
    passes = []
    sum_ = ClusterSource.sum
    source.sum = lambda *a: passes.append(a) or sum_(source, *a)
    assert source.n_rows == len(X)
    em_of(source, Problem(FAMILIES["full"], 2, 0.0))
    assert source.n_rows == len(X)
    assert len(passes) == 2


@types
def test_forms_travel(covariance_type):
    model = fit(model_of(covariance_type), X)
    mixture = model._mixture()
    summary = em_of(ArraySource(X), Problem(mixture.family, 3, 0.0)).summary
    block = Block(0, X.T)
    forms = [ExpandedEStep(mixture, summary), CentredEStep(mixture)]
    if estep.kernel() is not None:
        forms.append(estep.CompiledEStep(mixture, summary))
    for form in forms:
        here = form.complete(form.sums(block))  # its scratch is full now
        again = pickle.loads(pickle.dumps(form))
        there = again.complete(again.sums(block))
        np.testing.assert_array_equal(here.scatter, there.scatter)
        assert len(pickle.dumps(form)) < 10_000
    for_block = pickle.loads(pickle.dumps(EStepForBlock(mixture, 10**4)))
    np.testing.assert_array_equal(for_block.log_joint(block), forms[0].log_joint(X.T))


def test_a_worker_without_the_compiler_uses_matrix_products(monkeypatch):
    mixture = Mixture.of(np.ones(1), np.zeros((1, 3)), np.eye(3)[None], FAMILIES["full"])
    summary = em_of(ArraySource(X), Problem(mixture.family, 1, 0.0)).summary
    monkeypatch.setattr(estep, "kernel", lambda: None)
    form = pickle.loads(pickle.dumps(estep.CompiledEStep(mixture, summary)))
    assert form.complete(form.sums(Block(0, X.T))).counts == pytest.approx([len(X)])


# -- what will not do -----------------------------------------------------------------------------
def failing_at(number, rows, block_id):
    if block_id[0] == number:
        raise OSError("the disk is gone")
    return rows


@pytest.mark.parametrize(
    ("known", "place"),
    [(True, "Chunk 3 of X, which begins with row 400, raised"), (False, "Chunk 3 of X raised")],
)
def test_a_chunk_that_raises_is_named(known, place):
    rows = cut(X, known=known).map_blocks(
        partial(failing_at, 3), dtype=float, meta=np.empty((0, 0))
    )
    model = fit(model_of("full"), X)
    for attempt in (model.fit, model.score, model.bic):
        with pytest.raises(ValueError, match=f"{place} OSError: the disk is gone"):
            attempt(rows)
    assert model.n_iter_ == 20  # as it was


def test_an_e_step_that_raises_is_named():
    def function(block):
        raise MemoryError("full")

    with pytest.raises(
        ValueError, match=r"Chunk \d of X, which begins with row \d+, raised MemoryError"
    ):
        ClusterSource.of(cut(X), None).sum(function, 10)


@pytest.mark.parametrize(
    ("known", "place"),
    [(True, "row 405, in chunk 3, column 1"), (False, "row 5 of chunk 3, column 1")],
)
def test_infinity_is_named(known, place):
    rows = X.copy()
    rows[405, 1] = np.inf
    match = f"Input X contains infinity or a value too large for .*first is in {place}"
    with pytest.raises(ValueError, match=match):
        model_of("full").fit(cut(rows, known=known))
    with pytest.raises(ValueError, match=match):
        fit(model_of("full"), X).predict(cut(rows, known=known)).compute()


@pytest.mark.parametrize(
    ("rows", "weights", "message"),
    [
        (da.ones(5), None, "Expected 2D array, got a Dask Array of shape"),
        (db.from_sequence([1]), None, "X is a Dask Bag"),
        (da.ones((5, 2), dtype=complex), None, "type complex128: give real numbers"),
        (da.ones((0, 3)), None, "0 sample"),
        (cut(X), np.ones(5), r"shape \(5,\), but X has 600 rows"),
        (cut(X), np.ones((600, 1)), "one number for each row"),
        (cut(X), np.zeros(600), "zero for every row"),
        (cut(X), unknown(da.ones(600, chunks=100)), "6 chunks of unknown sizes and X has 5"),
        (cut(X), unknown(da.ones(600, chunks=120)), r"shape \(120,\), but chunk \d of X"),
        (cut(X), np.r_[np.ones(402), -1, np.ones(197)], "row 402, in chunk 3, .* is -1"),
        (cut(X[:, :2]), None, "expecting 3 features"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_bad_input_is_one_sentence(rows, weights, message):
    model = fit(model_of("full"), X)
    before = model.means_
    with pytest.raises((ValueError, TypeError), match=message):
        model.score(rows, sample_weight=weights)
    assert model.means_ is before


def spoiled_at(number, change, rows, block_id):
    return change(rows) if block_id[0] == number else rows


SPOILED = {
    "words": (lambda rows: np.where([0, 1, 0], "x", rows.astype(object)), "'x' .*column 1,"),
    "narrower": (lambda rows: rows[:, :2], "has 2 features where X should have 3"),
    "wider": (lambda rows: rows[:, [0, 1, 2, 0]], "has 4 features where X should have 3"),
    "one dimension": (lambda rows: rows[:, 0], "Expected 2D array, got 1D array"),
    "three dimensions": (lambda rows: rows[:, :, None], "Found array with dim 3"),
    "nothing": (lambda _: None, "Expected 2D array, got scalar array"),
    "datetimes": (lambda rows: rows.astype("M8[s]"), "X holds datetimes .* in column 0,"),
}


@pytest.mark.parametrize(("change", "message"), SPOILED.values(), ids=SPOILED)
def test_the_chunk_is_named_that_differs_from_the_others(change, message):
    rows = cut(X).map_blocks(partial(spoiled_at, 3, change), dtype=float, meta=np.empty((0, 0)))
    match = f"(?s)Chunk 3 of X, which begins with row 400,.* {message}"
    for method in ("fit", "score"):
        with pytest.raises(ValueError, match=match):
            getattr(fit(model_of("full"), X), method)(rows)


@pytest.mark.parametrize(("change", "message"), SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("method", ["predict", "score_samples", "predict_proba"])
@pytest.mark.all_cases
def test_predictions_name_the_chunk_too(method, change, message):
    rows = cut(X).map_blocks(partial(spoiled_at, 3, change), dtype=float, meta=np.empty((0, 0)))
    answers = getattr(fit(model_of("full"), X), method)(rows)
    match = f"(?s)Chunk 3 of X, which begins with row 400,.* {message}"
    with pytest.raises(ValueError, match=match):
        answers.compute()


def test_a_chunk_may_be_a_list_of_rows():
    model = fit(model_of("full"), X)
    rows = cut(X).map_blocks(
        partial(spoiled_at, 3, lambda rows: rows.tolist()), dtype=float, meta=np.empty((0, 0))
    )
    np.testing.assert_array_equal(model.predict(rows), model.predict(X))


SPOILED_PARTITIONS = {
    "words": (lambda part: part.assign(b="x"), r"'x' .*row 0, column 1 \('b'\),"),
    "fewer columns": (
        lambda part: part[["a", "c"]],
        r"has the columns \['a', 'c'\] where X should",
    ),
    "another order": (lambda part: part[["b", "a", "c"]], r"has the columns \['b', 'a', 'c'\]"),
    "dates": (lambda part: part.assign(b=pd.Timestamp(0)), r"datetimes .*column 1 \('b'\),"),
    "infinity": (lambda part: part.assign(b=np.inf), r"row 0 of chunk 2, column 1 \('b'\),"),
}


@pytest.mark.parametrize(("change", "message"), SPOILED_PARTITIONS.values(), ids=SPOILED_PARTITIONS)
def test_the_partition_and_the_column_are_named(change, message):
    frame = pd.DataFrame(X[:40], columns=list("abc"))
    parts = [frame[start : start + 10] for start in range(0, 40, 10)]
    parts[2] = change(parts[2])
    frames = dd.from_delayed(list(map(dask.delayed, parts)), meta=frame[:0], verify_meta=False)
    with pytest.raises(ValueError, match=rf"(Chunk 2 of X raised|contains infinity).*{message}"):
        GaussianMixture().fit(frames)


@pytest.mark.parametrize("unknown_ones", [[0], [2, 4], [4], [0, 1, 2, 3]])
@pytest.mark.parametrize("weights", [None, WEIGHTS, cut(WEIGHTS)], ids=["none", "numpy", "dask"])
def test_lengths_of_some_chunks_may_be_unknown(unknown_ones, weights):
    rows = cut(X)
    lengths = np.array(rows.chunks[0], dtype=float)
    lengths[unknown_ones] = np.nan
    rows._chunks = (tuple(lengths), rows.chunks[1])
    if isinstance(weights, da.Array):
        weights = weights.copy()
        weights._chunks = (tuple(lengths),)
    ours = fit(model_of("full"), rows, sample_weight=weights)
    expected = None if weights is None else WEIGHTS
    assert_same_fit(ours, fit(model_of("full"), X, sample_weight=expected))
    np.testing.assert_array_equal(ours.predict(rows).compute(), ours.predict(X))
    source = ClusterSource.of(rows, None)
    assert source.n_rows == len(X)
    assert source.lengths == CUTS["uneven"]
    spoiled = X.copy()
    spoiled[405, 1] = np.inf
    rows = da.from_array(spoiled, chunks=(CUTS["uneven"], (3,)))
    rows._chunks = (tuple(lengths), rows.chunks[1])
    with pytest.raises(ValueError, match="row 5 of chunk 3, column 1"):
        model_of("full").fit(rows)


def test_rows_that_change_between_passes_are_noticed(tmp_path):
    def growing(block_id):
        with (tmp_path / "log").open("a") as log:
            log.write(".")
        return X[: 100 + (tmp_path / "log").stat().st_size // 10]

    rows = unknown(da.map_blocks(growing, chunks=((100,) * 3, (3,)), meta=np.empty((0, 0))))
    with pytest.raises(
        ValueError, match=r"Chunk 0 of X, counted from 0, has 10. rows where it should"
    ):
        model_of("full").fit(rows)


# -- the order of sums ---------------------------------------------------------------------------
class Nested(tuple):
    """Adds up to a pair, which shows the order of additions."""

    def __add__(self, other):
        return Nested([(self, other)])


def leaf(number):
    return Total((number,), True, Nested([number]))


def by_levels(totals):
    """The same sum, level by level."""
    while len(totals) > 1:
        totals = [reduce(add, totals[i : i + 8]) for i in range(0, len(totals), 8)]
    return totals[0]


@pytest.mark.parametrize("n_chunks", [1, 2, 8, 9, 63, 64, 65, 72, 513, 600])
def test_the_order_of_additions_depends_on_the_number_of_chunks_alone(n_chunks):
    expected = by_levels([leaf(number) for number in range(n_chunks)])
    assert expected.lengths == tuple(range(n_chunks))
    random = np.random.default_rng(n_chunks)
    for n_tasks in (1, 2, 7, n_chunks):
        tasks = [Sums(n_chunks) for _ in range(n_tasks)]
        for number in random.permutation(n_chunks):
            tasks[random.integers(n_tasks)].insert(0, int(number), leaf(int(number)))
        root = merge(n_chunks, [merge(n_chunks, tasks[:3]), *tasks[3:]]).root
        assert (root.lengths, root.sum) == (expected.lengths, expected.sum)


# -- processes ------------------------------------------------------------------------------------
def maker_and_spy(folder):
    """A function that makes chunks, and one of blocks; defined here, so that they travel whole."""

    def made(block_id):
        """A chunk from its number; the third time that chunk 2 is made, its worker is killed."""
        number = block_id[0]
        with open(f"{folder}/made-{number}", "a") as log:
            log.write(f"{os.getpid()}\n")
        with open(f"{folder}/made-2", "a+") as log:
            log.seek(0)
            third = number == 2 and len(log.read().split()) == 3
        if third:
            os.kill(os.getpid(), signal.SIGKILL)
        return X[number * 100 : (number + 1) * 100]

    class Spy:
        """Weighs blocks; each time it is unpickled leaves a line."""

        def __init__(self):
            self.folder = folder

        def __setstate__(self, state):
            self.folder = state["folder"]
            with open(f"{self.folder}/travels", "a") as log:
                log.write(f"{os.getpid()}\n")

        def __call__(self, block):
            return block.weight

    return made, Spy()


@pytest.fixture(scope="module", params=[False], ids=["threads"])
def client_of_two(request):
    """The client of two workers, which are processes if the test asks for them."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=request.param, dashboard_address=":0"
        ) as two,
        Client(two) as client,
    ):
        yield client


@pytest.fixture
def client(client_of_two):
    with dask.config.set(scheduler=None):
        yield client_of_two


in_processes = pytest.mark.parametrize("client_of_two", [True], indirect=True, ids=["processes"])


def processes(client):
    """The workers' numbers, once there are two of them."""
    client.wait_for_workers(2, timeout=120)
    return set(client.run(os.getpid).values())


MANY_CHUNKS = (3,) * 200


def held_by(client, rows, chunks=MANY_CHUNKS):
    array = da.from_array(rows, chunks=(chunks, *((n,) for n in rows.shape[1:]))).persist()
    client.wait_for_workers(2, timeout=120)
    wait(array)
    return array


class Squares:
    """A sum that depends on the order of additions."""

    def __call__(self, block):
        return float(np.square(block.rows).sum())


def test_one_task_sums_several_chunks_of_a_worker(client, monkeypatch):
    rows = held_by(client, X)
    sizes, compute = [], dask.compute

    def counting(*delayed, **arguments):
        sizes.append(len(delayed[0].dask) - len(MANY_CHUNKS))
        return compute(*delayed, **arguments)

    monkeypatch.setattr(dask, "compute", counting)
    chunks = [ArraySource(X[start : start + 3]) for start in range(0, len(X), 3)]
    expected = by_levels([chunk.sum(Squares(), 10) for chunk in chunks])
    assert ClusterSource.of(rows, None).sum(Squares(), 10) == expected  # to the last bit
    (n_tasks,) = sizes
    assert n_tasks < len(MANY_CHUNKS) / 3
    weights = held_by(client, WEIGHTS)
    ours = fit(model_of("full", max_iter=3), rows, sample_weight=weights)
    assert_same_fit(ours, fit(model_of("full", max_iter=3), X, sample_weight=WEIGHTS))


def test_chunks_of_one_task_keep_their_names(client):
    spoiled = X.copy()
    spoiled[100, 1] = np.inf
    with pytest.raises(ValueError, match="row 100, in chunk 33, column 1"):
        model_of("full").fit(held_by(client, spoiled))
    weights = np.r_[np.ones(400), -1, np.ones(199)]
    with pytest.raises(ValueError, match=r"row 400, in chunk 133, .* is -1"):
        model_of("full").fit(held_by(client, X), sample_weight=held_by(client, weights))


@pytest.mark.extensive
@in_processes
def test_a_worker_that_dies_with_several_chunks_of_a_task(client, monkeypatch):
    processes(client)
    rows = da.random.default_rng(0).normal(size=(600, 3), chunks=(3, 3)).persist()
    in_memory = rows.compute()
    passes, sum_ = [], ClusterSource.sum

    def sum_and_kill(source, *arguments):
        passes.append(arguments)
        if len(passes) == 3:
            os.kill(min(processes(client)), signal.SIGKILL)
        return sum_(source, *arguments)

    monkeypatch.setattr(ClusterSource, "sum", sum_and_kill)
    start = {**given_start(in_memory, 3, "full"), "tol": 0, "max_iter": 4}
    ours = fit(GaussianMixture(**start), rows)
    assert len(passes) > 3
    assert_same_fit(ours, fit(GaussianMixture(**start), in_memory))


def test_an_asynchronous_client_is_refused(client):
    address = client.scheduler.address

    async def try_it():
        async with Client(address, asynchronous=True):
            with pytest.raises(ValueError, match="The Dask client is asynchronous"):
                fit(model_of("full"), cut(X))

    asyncio.run(try_it())


@pytest.mark.extensive
@in_processes
def test_workers_of_other_processes_may_die(client, tmp_path, monkeypatch):
    made, spy = maker_and_spy(str(tmp_path))
    rows = da.map_blocks(made, chunks=((100,) * 6, (3,)), meta=np.empty((0, 0)))
    model = model_of("full", max_iter=4)
    in_memory = fit(model_of("full", max_iter=4), X)

    # In the middle of a pass, by making a chunk.
    assert_same_fit(fit(model, rows), in_memory)
    killed = int((tmp_path / "made-2").read_text().split()[2])
    makers = {int(pid) for log in tmp_path.glob("made-*") for pid in log.read_text().split()}
    assert killed not in client.run(os.getpid).values()
    assert os.getpid() not in makers

    # Between passes, with chunks that it held.
    held = rows.persist()
    passes, victims, sum_ = [], [], ClusterSource.sum

    def sum_and_kill(source, *arguments):
        passes.append(arguments)
        if len(passes) == 3:
            victims.extend(sorted(processes(client))[:1])
            os.kill(victims[0], signal.SIGKILL)
        return sum_(source, *arguments)

    monkeypatch.setattr(ClusterSource, "sum", sum_and_kill)
    assert_same_fit(fit(model, held), in_memory)
    monkeypatch.undo()
    assert victims[0] not in processes(client)

    # The work of a pass is unpickled by the scheduler, which is here, and once by each worker.
    ClusterSource.of(held, None).sum(spy, 10)
    travels = (tmp_path / "travels").read_text().split()
    assert len(travels) == len(set(travels))
    assert set(travels) <= {str(os.getpid()), *map(str, processes(client))}
    np.testing.assert_array_equal(in_memory.predict(held).compute(), in_memory.predict(X))
