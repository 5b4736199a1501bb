"""Tables of other libraries than pandas; `.ci/extra` installs DuckDB and Modin for these tests."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import clusters, fit

from emgmm import (
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureIC,
    GaussianMixtureRegressor,
    blocks,
    fit_many,
)

pytest.importorskip("narwhals")

X = clusters(120, 3, 2)
TABLE = pd.DataFrame(X, columns=["a", "b", "c"])
NULLS = TABLE.mask(np.arange(360).reshape(120, 3) % 7 == 0)


def duckdb(table):
    connection = pytest.importorskip("duckdb").connect()
    connection.register("given", table)
    return connection.sql("select * from given")


def modin(table):
    pytest.importorskip("modin")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import modin.pandas

        return modin.pandas.DataFrame(table)


KINDS = {
    "pyarrow": pa.Table.from_pandas,
    "polars": pl.from_pandas,
    "lazy polars": lambda table: pl.from_pandas(table).lazy(),
    "duckdb": duckdb,
    "modin": modin,
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setenv("MODIN_ENGINE", "Python")


@each_kind
@pytest.mark.parametrize("table", [TABLE, NULLS], ids=["complete", "nulls"])
@pytest.mark.filterwarnings("ignore:.*(default to pandas|Distributing):UserWarning")
def test_a_table_is_read_as_a_dataframe_of_pandas_is(kind, table):
    model = GaussianMixture(2, random_state=0)
    expected, given = fit(GaussianMixture(2, random_state=0), table), kind(table)
    assert fit(model, given).feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-10)
    np.testing.assert_allclose(
        model.predict_proba(given), expected.predict_proba(table), atol=1e-10
    )
    assert model.score(given) == pytest.approx(expected.score(table), rel=1e-12)
    search = fit(GaussianMixtureIC(2, covariance_type="diag"), given)
    assert search.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"feature names should match(.|\n)*z"):
        model.predict(kind(table.rename(columns={"b": "z"})))


@each_kind
def test_the_other_uses_of_a_table(kind):
    given = kind(TABLE.assign(w=np.arange(120.0)))
    y = np.where(np.arange(120) % 3 == 0, np.nan, X[:, 0] > 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LazyFrame.*")  # of polars, by `blocks`
        read = blocks(given, columns=["c", "a"], weight_column="w")
    model, weights = GaussianMixture(2, random_state=0), np.arange(120.0)
    expected = fit(GaussianMixture(2, random_state=0), TABLE[["c", "a"]], sample_weight=weights)
    assert fit(model, read).feature_names_in_.tolist() == ["c", "a"]
    np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-10)
    found, alike = (
        fit(GaussianMixtureClassifier(), each, y=y).transduction_ for each in (kind(TABLE), TABLE)
    )
    np.testing.assert_array_equal(found, alike)
    columns = fit_many(GaussianMixture(1), kind(TABLE), columns=True)
    np.testing.assert_allclose([each.means_[0, 0] for each in columns], X.mean(axis=0))


DICTIONARY = pa.array([10.0, None, 30.0, 40.0] * 30)


def in_dictionary(values, column="t"):
    """A table of pyarrow with a column in a dictionary of two chunks, and the same column plain."""
    plain = pa.chunked_array([values[:50], values[50:]])
    one = pa.table({"a": X[:, 0], column: plain})
    return one.set_column(1, column, plain.dictionary_encode()), one


def test_a_null_in_a_dictionary_is_missing():
    given, plain = in_dictionary(DICTIONARY)
    expected = np.column_stack([X[:, 0], [10.0, np.nan, 30.0, 40.0] * 30])
    alike = fit(GaussianMixture(1), expected).means_
    for rows in (given, plain, blocks([given]), blocks(lambda: iter([given[:70], given[70:]]))):
        np.testing.assert_allclose(fit(GaussianMixture(1), rows).means_, alike, rtol=1e-12)
    responses = [
        fit(GaussianMixtureRegressor(2, random_state=0), X, y=y)
        for y in (given["t"], expected[:, 1])
    ]
    np.testing.assert_allclose(*(each.predict(X) for each in responses), rtol=1e-10)


def test_a_null_in_a_dictionary_is_no_weight_and_no_label():
    numbers = pa.array([0, None, 1] * 40)
    given, _ = in_dictionary(numbers)
    for rows in (X, blocks([X])):
        with pytest.raises(ValueError, match="sample_weight of row 1, counted from 0, is nan"):
            GaussianMixture(2).fit(rows, sample_weight=given["t"])
        with pytest.raises(ValueError, match="labels has the type float64"):
            GaussianMixture(2).fit(rows, labels=given["t"])
    with pytest.raises(ValueError, match=r"init_params .* NaN or infinity"):
        GaussianMixture(2, init_params=given["t"]).fit(X)
    words = pa.array(np.where(X[:, 0] > 0, "x", "y"), mask=np.arange(120) % 3 == 1)
    found, alike = (
        fit(GaussianMixtureClassifier(), X, y=y)
        for y in (in_dictionary(words)[0]["t"], words.to_pylist())
    )
    np.testing.assert_array_equal(found.classes_, ["x", "y"])
    np.testing.assert_array_equal(found.transduction_, alike.transduction_)
    np.testing.assert_allclose(found.class_prior_, alike.class_prior_, rtol=1e-12)


@each_kind
def test_text_and_datetimes_are_refused_by_the_name_of_the_column(kind):
    for value, message in ("x", "'x'"), (pd.Timestamp("2020-01-01"), "datetimes"):
        with pytest.raises(ValueError, match=rf"{message}(.|\n)*column 3 \('d'\)"):
            GaussianMixture(2).fit(kind(TABLE.assign(d=value)))


def test_numbers_that_only_a_database_has():
    relation = duckdb(NULLS).project(
        "a::decimal(18, 9) as a, b::float as b, round(c)::hugeint as c"
    )
    expected = NULLS.assign(a=NULLS["a"].round(9), c=NULLS["c"].round())
    expected["b"] = expected["b"].astype(np.float32).astype(float)
    found, alike = (fit(GaussianMixture(2, random_state=0), each) for each in (relation, expected))
    np.testing.assert_allclose(found.means_, alike.means_, rtol=1e-12)


def test_a_query_is_read_in_blocks():
    relation = duckdb(TABLE)
    read = blocks(lambda: relation.to_arrow_reader(50))
    model, expected = (fit(GaussianMixture(2, random_state=0), each) for each in (read, TABLE))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-10)


@pytest.mark.parametrize("package", ["narwhals", "pyarrow"])
def test_without_a_package_a_sentence_says_what_to_install(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    model = GaussianMixture(2)
    with pytest.raises(ImportError, match=r"A polars.LazyFrame is read with .* extra frames"):
        model.fit(pl.from_pandas(TABLE).lazy())


def test_a_table_that_narwhals_does_not_know_is_none_of_its():
    class Unknown:
        columns = ("a", "b")

    with pytest.raises(TypeError):
        GaussianMixture(2).fit(Unknown())
