"""What X and its weights may be: the kinds of arrays and tables, and the entries that are refused."""

from __future__ import annotations

import datetime
import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import clusters, fit
from pyarrow import dataset, parquet
from sklearn.mixture import GaussianMixture as Theirs

from emgmm import GaussianMixture, GaussianMixtureIC, blocks
from emgmm.sources import Rows

X = clusters(120, 3, 2)
NAMES = ["a", "when", "c"]
MASK = np.random.default_rng(1).random(X.shape) < 0.1
MISSING = np.where(MASK, np.nan, X)


@pytest.fixture(autouse=True)
def _in_this_process():
    with dask.config.set(scheduler="threads"):
        yield


def values(result):
    """The array in what a method returns for any kind of rows."""
    if hasattr(result, "compute"):
        return result.compute()
    return result if isinstance(result, np.ndarray) else np.concatenate(list(result))


def model(**arguments):
    return GaussianMixture(2, random_state=0, **arguments)


def in_parquet(path, columns):
    parquet.write_table(pa.table(columns), path / "rows.parquet")
    return path / "rows.parquet"


# -- datetimes ------------------------------------------------------------------------------------
MOMENTS = {
    "datetime64": np.datetime64("2020-01-01", "ns") + np.arange(len(X)).astype("m8[h]"),
    "timedelta64": np.arange(len(X)).astype("m8[h]").astype("m8[ns]"),
    "only NaT": np.full(len(X), "NaT", "M8[ns]"),
}


def columns_with(moments):
    return {"a": X[:, 0], "when": moments, "c": X[:, 2]}


def objects(moments):
    array = X.astype(object)
    array[:, 1] = list(moments)
    return array


WITH_NAMES = {
    "pandas": lambda moments, path: pd.DataFrame(columns_with(moments)),
    "pandas with a time zone": lambda moments, path: pd.DataFrame(columns_with(moments)).assign(
        when=pd.Timestamp("2020-01-01", tz="UTC")
    ),
    "categories": lambda moments, path: pd.DataFrame(columns_with(moments)).astype(
        {"when": "category"}
    ),
    "objects in pandas": lambda moments, path: pd.DataFrame(objects(moments), columns=NAMES),
    "dates in pandas": lambda moments, path: pd.DataFrame(
        columns_with([datetime.date(2020, 1, 1)] * len(X))
    ),
    "polars": lambda moments, path: pl.DataFrame(columns_with(moments)),
    "pyarrow": lambda moments, path: pa.table(columns_with(moments)),
    "blocks of pandas": lambda moments, path: blocks([pd.DataFrame(columns_with(moments))]),
    "blocks of polars": lambda moments, path: blocks([pl.DataFrame(columns_with(moments))]),
    "parquet": lambda moments, path: blocks(in_parquet(path, columns_with(moments))),
    "dask": lambda moments, path: dd.from_pandas(
        pd.DataFrame(columns_with(moments)), npartitions=3
    ),
}
WITHOUT_NAMES = {
    "objects": lambda moments: objects(moments),
    "lists": lambda moments: [list(row) for row in objects(moments)],
    "tuples": lambda moments: tuple(tuple(row) for row in objects(moments)),
    "blocks of objects": lambda moments: blocks([objects(moments)]),
    "dask": lambda moments: da.from_array(objects(moments), chunks=(40, 3)),
}


def assert_refused(rows, message, error=ValueError):
    """Every method that reads rows refuses these, and leaves the estimator as it was."""
    fitted = model().fit(X)
    for estimator in (model(), fitted):
        before = pickle.dumps(vars(estimator))
        for method in ("fit", "partial_fit"):
            with pytest.raises(error, match=message):
                getattr(estimator, method)(rows)
            assert pickle.dumps(vars(estimator)) == before
    for method in ("predict", "predict_proba", "score_samples", "score", "bic"):
        with pytest.raises(error, match=message):
            values(getattr(fitted, method)(rows))
    search = GaussianMixtureIC(1, covariance_type="diag")
    with pytest.raises(error, match=message):
        search.fit(rows)


@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("rows", WITH_NAMES.values(), ids=WITH_NAMES)
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_datetimes_in_tables_are_refused_by_the_name_of_the_column(rows, moments, tmp_path):
    message = r"X holds datetimes or timedeltas in column 1 \('when'\), counted from 0"
    assert_refused(rows(moments, tmp_path), message)


@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("rows", WITHOUT_NAMES.values(), ids=WITHOUT_NAMES)
def test_datetimes_in_arrays_are_refused_by_the_number_of_the_column(rows, moments):
    assert_refused(rows(moments), "X holds datetimes or timedeltas in column 1, counted from 0")


@pytest.mark.parametrize("dtype", ["M8[D]", "m8[s]"])
def test_arrays_of_datetimes_are_refused(dtype, tmp_path):
    array = np.arange(len(X) * 3).reshape(-1, 3).astype(dtype)
    mapped = np.memmap(tmp_path / "rows", np.int64, "w+", shape=array.shape).view(dtype)
    for rows in (array, list(array), mapped, blocks([array]), np.ma.array(array)):
        assert_refused(rows, "X holds datetimes or timedeltas in column 0")
    with pytest.raises(ValueError, match=r"X has the type .*64.*: give real numbers"):
        model().fit(da.from_array(array))


@pytest.mark.parametrize("moment", [np.datetime64("2020"), np.timedelta64(50, "s")])
def test_datetimes_in_arrays_without_dimensions_are_refused(moment):
    rows = [[1.0, np.array(moment)], [2.0, np.array(moment)]]
    frame = pd.DataFrame(rows, columns=["a", "when"])
    for given in (rows, np.array(rows, dtype=object), blocks([rows]), frame):
        with pytest.raises(ValueError, match="X holds datetimes or timedeltas in column 1"):
            GaussianMixture(1).fit(given)


@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
def test_datetimes_as_weights_are_refused(moments):
    message = "sample_weight holds datetimes or timedeltas"
    for weights in (moments, pd.Series(moments), list(moments)):
        for rows in (X, blocks([X]), da.from_array(X)):
            with pytest.raises(ValueError, match=message):
                model().fit(rows, sample_weight=weights)
    series = dd.from_pandas(pd.Series(moments), npartitions=2)
    with pytest.raises(ValueError, match=message):
        model().fit(da.from_array(X), sample_weight=series)
    frame = pd.DataFrame(columns_with(moments))
    with pytest.raises(ValueError, match=f"Block 0, counted from 0: {message}"):
        model().fit(blocks([frame], weight_column="when"))


def test_a_column_of_datetimes_that_is_not_a_feature_does_no_harm():
    frame = pd.DataFrame(columns_with(MOMENTS["datetime64"]))
    ours = fit(model(), blocks([frame], columns=["a", "c"]))
    np.testing.assert_allclose(ours.means_, fit(model(), X[:, [0, 2]]).means_, rtol=1e-10)


# -- masks ----------------------------------------------------------------------------------------
def mapped(path, rows):
    array = np.memmap(path / "rows", rows.dtype, "w+", shape=rows.shape)
    array[:] = rows
    return array


HIDDEN = np.where(MASK, 999.0, X)  # what must not be read
MASKED = {
    "array": lambda path: np.ma.array(HIDDEN, mask=MASK),
    "objects": lambda path: np.ma.array(HIDDEN.astype(object), mask=MASK),
    "list of masked rows": lambda path: list(np.ma.array(HIDDEN, mask=MASK)),
    "lists": lambda path: [list(row) for row in np.ma.array(HIDDEN, mask=MASK)],
    "array of masked objects": lambda path: np.array(
        [list(row) for row in np.ma.array(HIDDEN, mask=MASK)], dtype=object
    ),
    "memory map": lambda path: np.ma.array(mapped(path, HIDDEN), mask=MASK),
    "blocks": lambda path: blocks(np.split(np.ma.array(HIDDEN, mask=MASK), 3)),
    "blocks of an array": lambda path: blocks(np.ma.array(HIDDEN, mask=MASK), block_rows=50),
    "dask": lambda path: da.from_array(np.ma.array(HIDDEN, mask=MASK), chunks=(50, 2)),
}


@pytest.mark.parametrize("rows", MASKED.values(), ids=MASKED)
def test_masked_entries_are_missing(rows, tmp_path):
    theirs = fit(model(), MISSING)
    ours = fit(model(), rows(tmp_path))
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-9)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-9)
    expected = theirs.predict_proba(MISSING)
    np.testing.assert_allclose(values(theirs.predict_proba(rows(tmp_path))), expected, atol=1e-12)
    assert theirs.score(rows(tmp_path)) == pytest.approx(theirs.score(MISSING), rel=1e-12)
    one, other = model(), model()
    fit_partially = (GaussianMixture.partial_fit(one, MISSING), other.partial_fit(rows(tmp_path)))
    np.testing.assert_allclose(fit_partially[1].means_, fit_partially[0].means_, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint64, bool])
def test_masked_numbers_of_other_types_become_floats(dtype):
    rows = np.round(np.abs(10 * X)).astype(dtype)
    rows[MASK] = 77
    ours = fit(model(covariance_type="diag"), np.ma.array(rows, mask=MASK))
    expected = np.float32 if dtype == np.float32 else np.float64
    theirs = fit(
        model(covariance_type="diag"), np.where(MASK, np.nan, rows.astype(float)).astype(expected)
    )
    assert ours.means_.dtype == theirs.means_.dtype == expected
    np.testing.assert_array_equal(ours.means_, theirs.means_)


def test_an_array_with_nothing_masked_is_the_array():
    ours = fit(model(), np.ma.array(X))
    np.testing.assert_array_equal(ours.means_, fit(model(), X).means_)
    weights = np.arange(1.0, 121)
    for rows in (X, blocks([X])):
        ours = fit(model(), rows, sample_weight=np.ma.array(weights, mask=False))
        expected = fit(model(), X, sample_weight=weights)
        np.testing.assert_allclose(ours.means_, expected.means_, rtol=1e-10)


def test_masked_weights_are_refused():
    masked = np.ma.array(np.ones(len(X)), mask=np.arange(len(X)) == 55)
    for rows, weights in (
        (X, masked),
        (X, list(masked)),
        (X, np.ma.array(np.ones(len(X), int), mask=masked.mask)),
        (blocks([X]), masked),
        (blocks([X]), blocks([masked])),
        (blocks([np.ma.column_stack([X, masked])], weight_column=3), None),
        (da.from_array(X, chunks=(40, 3)), masked),
        (da.from_array(X, chunks=(40, 3)), da.from_array(masked, chunks=40)),
    ):
        with pytest.raises(ValueError, match=r"sample_weight of row 55, .*none may be masked"):
            model().fit(rows, sample_weight=weights)


# -- arrays of other libraries ----------------------------------------------------------------
class Tensor:
    """Behaves as an array of another library does."""

    def __init__(self, rows, device=1, error=None):
        self._rows, self._device, self._error = rows, device, error
        self.shape, self.dtype = rows.shape, "another library's type"

    def __len__(self):
        return len(self._rows)

    def __array__(self, dtype=None, copy=None):
        if self._error is not None:
            raise self._error
        return self._rows

    def __dlpack_device__(self):
        return (self._device, 0)


Tensor.__module__ = "torch"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensors_on_the_host_are_taken(dtype):
    rows, weights = X.astype(dtype), np.arange(1.0, 121)
    expected = fit(model(), rows, sample_weight=weights)
    ours = fit(model(), Tensor(rows), sample_weight=Tensor(weights))
    assert ours.means_.dtype == dtype
    np.testing.assert_array_equal(ours.means_, expected.means_)
    np.testing.assert_array_equal(expected.predict(Tensor(rows)), expected.predict(rows))
    in_blocks = fit(model(), blocks([Tensor(rows[:70]), Tensor(rows[70:])]), sample_weight=weights)
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(in_blocks.means_, expected.means_, rtol=tolerance)


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(X, device=2),
        Tensor(X, error=RuntimeError("Can't call numpy() on Tensor that requires grad.")),
        Tensor(X, error=TypeError("can't convert cuda:0 device type tensor to numpy.")),
    ],
    ids=["device", "gradient", "no conversion"],
)
def test_other_tensors_are_refused(tensor):
    message = r"X is a torch\.Tensor; .* move it to the host and convert it first"
    assert_refused(tensor, message, TypeError)
    with pytest.raises(TypeError, match=f"Block 0, counted from 0: {message}"):
        model().fit(blocks([tensor]))
    with pytest.raises(TypeError, match=r"sample_weight is a torch\.Tensor"):
        model().fit(X, sample_weight=tensor)


class Host:
    """An array of another library, of which only the conversion to NumPy is known."""

    def __init__(self, values, error=None):
        self._values, self._error = np.asarray(values), error

    def __array__(self):
        if self._error is not None:
            raise self._error
        return self._values


LABELS = (X[:, 0] > np.median(X[:, 0])).astype(int)
WEIGHTS = np.linspace(0.5, 1.5, len(X))
FITTED = fit(model(), X)
MIXTURE = (FITTED.weights_, FITTED.means_)


def set_by_hand(array):
    made = GaussianMixture(2)
    made.weights_, made.means_, made.covariances_ = map(array, (*MIXTURE, FITTED.covariances_))
    return made.score_samples(X)


def stepped(array):
    made = GaussianMixture(2)
    made._initialize(array(X), array(np.eye(2)[LABELS]))
    made._m_step(array(X), array(np.log(np.eye(2)[LABELS] + 0.5)))
    return made.means_


# What takes arrays, as functions of the conversion to the other library's type.
USES = {
    "fit": lambda array: fit(model(), array(X), sample_weight=array(WEIGHTS)).means_,
    "float32": lambda array: fit(model(), array(X.astype("f4"))).means_,
    "integers": lambda array: fit(model(), array(X.astype(int))).means_,
    "fit_predict": lambda array: model().fit_predict(array(X)),
    "a list of rows": lambda array: fit(model(), [array(row) for row in X]).means_,
    "partial_fit": lambda array: model().partial_fit(array(X), None, array(WEIGHTS)).means_,
    "predict": lambda array: FITTED.predict(array(X)),
    "predict_proba": lambda array: FITTED.predict_proba(array(X)),
    "score_samples": lambda array: FITTED.score_samples(array(X)),
    "bic": lambda array: FITTED.bic(array(X), array(WEIGHTS)),
    "impute": lambda array: FITTED.impute(array(MISSING)),
    "summary": lambda array: FITTED.summary(array(X)).to_frame(),
    "init_params": lambda array: [
        fit(model(init_params=array(start)), X).means_
        for start in (LABELS, np.eye(2)[LABELS], X[:2])
    ],
    "*_init": lambda array: (
        fit(
            model(
                weights_init=array(FITTED.weights_),
                means_init=array(FITTED.means_),
                precisions_init=array(FITTED.precisions_),
            ),
            X,
        ).means_
    ),
    "blocks": lambda array: (
        fit(
            model(),
            blocks([array(X[:70]), array(X[70:])]),
            sample_weight=blocks([array(WEIGHTS[:70]), array(WEIGHTS[70:])]),
        ).means_
    ),
    "blocks of one array": lambda array: fit(model(), blocks(array(X))).means_,
    "from_parameters": lambda array: GaussianMixture.from_parameters(
        *map(array, MIXTURE), precisions=array(FITTED.precisions_)
    ).score_samples(X),
    "attributes": set_by_hand,
    "private methods": stepped,
}


@pytest.mark.all_cases
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_arrays_that_convert_are_taken_everywhere(use):
    """In the type that they have, so that the results are the same to the last bit."""
    ours, expected = use(Host), use(np.asarray)
    np.testing.assert_array_equal(ours, expected)
    assert np.asarray(ours).dtype == np.asarray(expected).dtype


@pytest.mark.parametrize("kind", [TypeError, RuntimeError])
def test_arrays_that_do_not_convert_are_named(kind):
    def array(values):
        return Host(values, kind("it requires grad"))

    for name, attempt in {
        "X": lambda: model().fit(array(X)),
        "sample_weight": lambda: model().fit(X, sample_weight=array(WEIGHTS)),
        "init_params": lambda: model(init_params=array(LABELS)).fit(X),
        "means": lambda: model(means_init=array(X[:2])).fit(X),
        "covariances_": lambda: set_by_hand(
            lambda values: values if values.ndim < 3 else array(values)
        ),
        "log_resp": lambda: model()._m_step(X, array(np.eye(2)[LABELS])),
    }.items():
        with pytest.raises(TypeError, match=rf"^{name} is a \w+\.Host; .*\(it requires grad\)"):
            attempt()


# -- entries that are not numbers ------------------------------------------------------------
def words(value="x", row=70):
    array = X.astype(object)
    array[row, 1] = value
    return array


WORDS = {
    "objects": (lambda: words(), "row 70, column 1,"),
    "strings": (lambda: words().astype(str), "row 70, column 1,"),
    "lists": (lambda: words().tolist(), "row 70, column 1,"),
    "pandas": (
        lambda: pd.DataFrame(words(), columns=NAMES).infer_objects(),
        r"row 70, column 1 \('when'\),",
    ),
    "categories": (
        lambda: pd.DataFrame(X, columns=NAMES).assign(when=pd.Categorical(["x"] * len(X))),
        r"row 0, column 1 \('when'\),",
    ),
    "polars": (
        lambda: pl.DataFrame(columns_with(words("x")[:, 1].astype(str))),
        r"row 70, column 1 \('when'\),",
    ),
}


@pytest.mark.parametrize(("rows", "place"), WORDS.values(), ids=WORDS)
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_words_are_refused_in_scikit_learns_words_with_their_place(rows, place):
    with pytest.raises(ValueError, match="could not convert string to float") as theirs:
        Theirs(2).fit(rows())
    assert_refused(rows(), place)
    with pytest.raises(ValueError, match=place) as ours:
        model().fit(rows())
    assert str(ours.value).startswith(str(theirs.value).replace("np.str_('x')", "'x'"))


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (words(10**400), ValueError, "int too large to convert to float .*row 70, column 1,"),
        (words(1j), TypeError, "not 'complex' .*row 70, column 1,"),
        (words([1.0]), ValueError, "setting an array element with a sequence .*row 70, column 1,"),
        (
            [*X.tolist(), [1.0, 2.0]],
            ValueError,
            "setting an array element .*Row 120, counted from 0, has 2 entries, .* first row has 3",
        ),
        (
            np.rec.fromarrays(X.T, names="a,b,c"),
            TypeError,
            "structured array with the fields a, b, c: give a DataFrame of it",
        ),
    ],
    ids=["huge", "complex", "sequence", "ragged", "structured"],
)
def test_other_entries_are_refused_with_their_place(rows, error, message):
    assert_refused(rows, message, error)


@pytest.mark.parametrize("kind", [str, bytes])
def test_words_in_arrays_of_text_are_quoted_without_their_type(kind):
    word = repr(kind("x") if kind is str else b"x")
    rows, weights = words().astype(kind), np.r_[np.ones(70), 2].astype(object)
    weights[70] = "x" if kind is str else b"x"
    with pytest.raises(ValueError, match=f"to float: {word} .X holds it in row 70, column 1,"):
        model().fit(rows)
    with pytest.raises(ValueError, match=f"to float: {word} .sample_weight holds it in row 70,"):
        model().fit(X[:71], sample_weight=weights.astype(kind))


def test_rows_of_different_lengths_are_named_whatever_they_hold():
    for entry in ("x", datetime.date(2020, 1, 1), np.ma.masked):
        with pytest.raises(ValueError, match=r"Row 1, counted from 0, has 1 entries"):
            GaussianMixture(1).fit([[1.0, entry], [2.0]])


def test_words_in_other_places_are_named():
    frame = pd.DataFrame(words(), columns=NAMES)
    with pytest.raises(ValueError, match=r"Block 1, .*'x' .*row 10, column 1 \('when'\),"):
        model().fit(blocks([frame[:60], frame[60:]]))
    with pytest.raises(ValueError, match=r"Block 0, .*'x' .*row 0, column 1 \('when'\),"):
        model().fit(blocks([pa.table(columns_with(["x"] * len(X)))]))
    with pytest.raises(ValueError, match=r"'heavy' \(sample_weight holds it in row 3, counted"):
        model().fit(X, sample_weight=[1.0] * 3 + ["heavy"] + [1.0] * 116)


@pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(float).max, reason="long double is double here"
)
def test_what_overflows_is_infinity_without_a_warning():
    rows = X.astype(np.longdouble)
    rows[5, 2] = np.longdouble("1e4000")
    for settings in ({}, {"all": "raise"}):
        with np.errstate(**settings):
            assert_refused(rows, "Input X contains infinity .* row 5, column 2")


def test_tiny_weights_of_rows_underflow_without_an_error():
    weights = np.array([1e-310, 1.0, 1e10])
    with np.errstate(all="raise"):
        rows = Rows(np.array([[1e-300, np.nan], [2.0, 4.0], [3.0, np.nan]]), weights, False)
        np.testing.assert_allclose(rows.mean, [(2 + 3e10) / (1 + 1e10), 4.0])
        np.testing.assert_allclose(rows.counts, [0.0, 3e-10, 3.0], rtol=1e-9, atol=1e-300)


# -- columns of blocks ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("columns", "weight_column", "message"),
    [
        (["a", "a"], None, "column 'a' is given twice: give each column once"),
        ([0, -3], None, "column 'a' is given twice"),
        ([], None, "there is no column left as a feature"),
        (["a"], "a", "column 'a' is given as a feature and as the weights"),
        ([True, False, True], None, "there is no column True; there are the columns a, b, c"),
    ],
)
def test_columns_that_do_not_go_together(columns, weight_column, message, tmp_path):
    table = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}
    with pytest.raises(ValueError, match=message):
        blocks(in_parquet(tmp_path, table), columns=columns, weight_column=weight_column)
    for source in (pd.DataFrame(table), pl.DataFrame(table), pa.table(table)):
        with pytest.raises(ValueError, match=f"Block 0, counted from 0: {message}"):
            model().fit(blocks([source], columns=columns, weight_column=weight_column))


def test_a_file_of_weights_alone_and_a_file_without_columns(tmp_path):
    with pytest.raises(ValueError, match="there is no column left as a feature"):
        blocks(in_parquet(tmp_path, {"w": np.ones(9)}), weight_column="w")
    with pytest.raises(ValueError, match="there is no column left as a feature"):
        blocks(in_parquet(tmp_path, {}))


def test_columns_of_the_same_name(tmp_path):
    table = pa.Table.from_arrays([pa.array(column) for column in X.T], names=["a", "b", "a"])
    parquet.write_table(table, tmp_path / "rows")
    with pytest.raises(
        ValueError, match=r"more than one column 'a': rename one .* other columns in"
    ):
        blocks(tmp_path / "rows")
    np.testing.assert_array_equal(
        np.concatenate([*blocks(tmp_path / "rows", columns="b")]), X[:, [1]]
    )
    for columns in (None, ["a", "b"], [0, 1]):
        with pytest.raises(ValueError, match="there is more than one column 'a'"):
            blocks(dataset.dataset(table), columns=columns)
    frame = pd.DataFrame(X, columns=["a", "b", "a"])
    with pytest.raises(ValueError, match="more than one column 'a': give their numbers"):
        model().fit(blocks([frame], columns=["a", "b"]))
    ours = fit(model(), blocks([frame], columns=[2, 1]))
    np.testing.assert_allclose(ours.means_, fit(model(), X[:, [2, 1]]).means_, rtol=1e-10)


def test_a_boolean_is_no_number_of_rows():
    with pytest.raises(ValueError, match=r"block_rows must be a number of rows, .* got True"):
        blocks([X], block_rows=True)
