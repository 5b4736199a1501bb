"""Tables that the command line reads and writes: of any size and encoding, with any names."""

from __future__ import annotations

import datetime
import io
import os
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import clusters
from numpy.testing import assert_allclose, assert_array_equal

from emgmm import GaussianMixture, GaussianMixtureIC
from emgmm.__main__ import main
from emgmm.cli import csv_files, outputs, rows, tables
from emgmm.cli.csv_files import Format

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes")
ONE = ("--components", 1, "--families", "VVI")
X = clusters(90, 3, 2, seed=3, spread=6.0)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


def refused(capsys, *words):
    """The sentence with which a command is refused; nothing else is printed, and no file made."""
    before = sorted(os.listdir())
    try:
        status = run(*words)
    except SystemExit as ended:  # by argparse, which prints the usage before
        status = ended.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert sorted(os.listdir()) == before
    last = printed.err.splitlines()[-1]
    assert "error: " in last
    return last


def fitted(*words):
    assert run("fit", *words, "--model", "m.json") == 0
    return GaussianMixture.load("m.json")


def unreachable(*arguments, **named):
    raise AssertionError("this is too late")


# -- CSV ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["größe,b\n1,2\n3,5\n2,2\n", "a,b,c\n1,2,ü\n3,5,x\n2,2,y\n"])
def test_another_encoding_is_refused_and_can_be_named(text, folder, capsys):
    (folder / "a.csv").write_bytes(text.encode("latin-1"))
    sentence = refused(capsys, "fit", "a.csv", *ONE)
    assert "give the encoding of its text, as in --encoding latin-1" in sentence
    for other in ("utf-16", "utf-32", "ascii"):
        sentence = refused(capsys, "fit", "a.csv", *ONE, "--encoding", other)
        assert f"it is not {other} text; --encoding names another one than that of its" in sentence
    words = ("a.csv", *ONE, "--encoding", "Latin1", "--out", "out.csv")
    model = fitted(*words)
    assert list(model.feature_names_in_) == text.partition("\n")[0].split(",")[:2]
    assert list(pd.read_csv("out.csv").columns)[:2] == list(model.feature_names_in_)
    assert_allclose(model.means_, [[2, 3]], rtol=1e-12)
    capsys.readouterr()
    sentence = refused(capsys, "fit", "a.csv", "--encoding", "rot13")
    assert "'rot13' is not the name of an encoding, such as utf-8 or latin-1" in sentence


def test_a_file_that_is_read_into_memory_has_no_copy(folder, monkeypatch):
    """A command that is killed leaves nothing in the folder for temporary files."""
    monkeypatch.setattr(csv_files, "TemporaryDirectory", unreachable)
    pd.DataFrame(X.copy(), columns=list("abc")).to_csv("a.csv", index=False)
    assert len(fitted("a.csv", *ONE).means_) == 1


def test_another_encoding_is_refused_however_late_it_shows(folder, capsys):
    """A column with numbers before would be taken for words, and left out."""
    lines = [b"1,2,3\n"] * (csv_files.FIRST // 6 + 1)
    (folder / "a.csv").write_bytes(b"".join([b"a,b,c\n", *lines, "4,5,\xfc\n".encode("latin-1")]))
    sentence = refused(capsys, "fit", "a.csv", *ONE)
    assert "a.csv: column 'c' is not UTF-8 text; give the encoding of its text" in sentence


def test_utf_16_and_a_byte_order_mark(folder, capsys):
    for encoding, words in (("utf-16", ("--encoding", "utf-16")), ("utf-8-sig", ())):
        (folder / "a.csv").write_bytes("ä,b\n1,2\n3,5\n2,2\n".encode(encoding))
        assert list(fitted("a.csv", *ONE, *words).feature_names_in_) == ["ä", "b"]
    assert capsys.readouterr().err == ""


MARKS = ["?", "NA", "N/A", "null", "NULL", "-", "", "nan", "NaN", "n/a", "None", "."]


@pytest.mark.parametrize("in_memory", [csv_files.IN_MEMORY, 0])
def test_marks_of_missing_values(in_memory, folder, capsys, monkeypatch):
    monkeypatch.setattr(csv_files, "IN_MEMORY", in_memory)
    frame = pd.DataFrame(X.copy(), columns=list("abc"))
    texts = frame.astype(str)
    numbers = np.arange(len(MARKS)) * 5
    texts.loc[numbers, "b"] = MARKS
    texts["kind"] = MARKS[0]
    texts.to_csv("a.csv", index=False)
    frame.loc[numbers, "b"] = np.nan
    wanted = GaussianMixtureIC(1, covariance_type="VVI", random_state=0).fit(frame)
    assert_allclose(fitted("a.csv", *ONE, "--out", "out.csv").means_, wanted.means_, rtol=1e-12)
    assert f"{len(MARKS)} values are missing" in capsys.readouterr().out
    written = pd.read_csv("out.csv", keep_default_na=False)
    assert (written.loc[numbers, "b"] == "").all()


HEADS = [
    ("1.5,2\n3,4\n5,7\n", ["column_0", "column_1"], 3, "is taken for a row"),
    ("7,2\n3,4\n5,7\n", ["column_0", "column_1"], 3, "is taken for a row"),
    ("7,?\n3,4\n5,7\n", ["column_0", "column_1"], 3, "is taken for a row"),
    ("1\n4\n2\n", ["column_0"], 3, "is taken for a row"),
    ("5.1,3.5,setosa\n4,3,setosa\n5,2,setosa\n", ["column_0", "column_1"], 3, "taken for a row"),
    ("0,1\n3,4\n5,7\n", ["0", "1"], 2, "is taken for the names"),  # pandas' names
    (",0,1\n0,3,4\n1,5,7\n", ["0", "1"], 2, "is taken for the names"),  # with its index
    ("id,2001,2002\nx,3,4\ny,5,7\n", ["2001", "2002"], 2, ""),
    ("a,b\n3,4\n5,7\n", ["a", "b"], 2, ""),
]


@pytest.mark.parametrize("in_memory", [csv_files.IN_MEMORY, 0])
@pytest.mark.parametrize(("text", "names", "n_rows", "remark"), HEADS)
def test_a_first_line_of_numbers(
    text, names, n_rows, remark, in_memory, folder, capsys, monkeypatch
):
    monkeypatch.setattr(csv_files, "IN_MEMORY", in_memory)
    (folder / "a.csv").write_text(text)
    model = fitted("a.csv", *ONE)
    printed = capsys.readouterr()
    assert list(model.feature_names_in_) == names
    assert f"a.csv: {n_rows} rows" in printed.out
    assert remark in " ".join(printed.err.split())
    assert bool(remark) == bool(printed.err)
    data = pd.read_csv("a.csv", header=None, names=None, na_values="?")
    own = data.iloc[len(data) - n_rows :, -len(names) - ("setosa" in text) :].iloc[:, : len(names)]
    assert_allclose(model.means_[0], own.astype(float).mean())


def test_whether_there_is_a_header_can_be_said(folder, capsys):
    (folder / "years.csv").write_text("2001,2002\n3,4\n5,7\n")
    assert list(fitted("years.csv", *ONE, "--header", "yes").feature_names_in_) == ["2001", "2002"]
    (folder / "pandas.csv").write_text("0,1\n3,4\n5,7\n")
    model = fitted("pandas.csv", *ONE, "--header", "no")
    assert_allclose(model.means_, [[8 / 3, 4]])
    assert run("predict", "m.json", "pandas.csv", "--header", "no") == 0
    printed = capsys.readouterr()
    assert "3 rows, mean log-density" in printed.out
    assert printed.err == ""


def test_bytes_that_are_no_text(folder, capsys):
    (folder / "a.csv").write_bytes(b"a\x00,b,c\n1,2,\x00\n3,5,\x00\n2,2,\x00\n")
    model = fitted("a.csv", *ONE, "--out", "out.csv")
    assert list(model.feature_names_in_) == ["a\x00", "b"]
    assert CONTROL.search("".join(capsys.readouterr())) is None
    (folder / "b.csv").write_bytes(bytes(range(256)) * 50)
    assert "cannot be read as CSV" in refused(capsys, "fit", "b.csv")
    (folder / "c.parquet").write_bytes(bytes(range(256)) * 50)
    assert "cannot be read as PARQUET" in refused(capsys, "fit", "c.parquet")


GZIP, UTF_16 = b"\x1f\x8b\x08\x00", "a,b\n1,2\n".encode("utf-16")
UNREADABLE = {
    "a.csv": {
        b"": "it is empty",
        b"\n\n": "it is empty",
        b"a,b": "it has only one line",
        b"a,b\n1,2\n\n3\n": "line 4 has 1 field, not 2",
        b"# text\na,b\n1,2\n": "line 2 has 2 fields, not 1",
        b'a,b\n"1,2\n3,4\n': "line 2 has 1 field, not 2; a quote in it may not be closed",
        b'"a,b\n1,2\n3,4\n': "it has only one line; a quote in it may not be closed",
        b'"a,b\n' + b"1,2\n" * 2**16: "a field has more than 131072 characters; a quote may not",
        "a,b\n1,2\nä,3\n".encode("latin-1"): "it is not utf-8 text; give the encoding of its text, "
        "as in --encoding latin-1",
        GZIP: "it is not utf-8 text; it is compressed, decompress it first",
        UTF_16: "it is not utf-8 text; give the encoding of its text, as in --encoding utf-16",
    },
    "a.parquet": {
        b"": "it is not a Parquet file, or it is damaged",
        b"PAR1" * 9: "it is not a Parquet file, or it is damaged",
    },
}


def test_why_a_file_cannot_be_read_is_said_in_plain_words(folder, capsys):
    for name, contents in UNREADABLE.items():
        kind = name.partition(".")[2].upper()
        for content, reason in contents.items():
            (folder / name).write_bytes(content)
            sentence = refused(capsys, "fit", name, *ONE)
            assert sentence == f"error: {name} cannot be read as {kind}: {reason}" or (
                len(content) > 2**10 and reason in sentence
            )
    (folder / "b.csv").mkdir()
    assert "b.csv is a folder: give a file" in refused(capsys, "fit", "b.csv")


@pytest.mark.parametrize("command", ["fit", "predict"])
def test_rows_that_only_the_metadata_have_are_damage(command, folder, capsys):
    GaussianMixture(1).fit(pd.DataFrame(X[:, :1], columns=["a"])).save("m.json")
    pq.ParquetWriter("a.parquet", pa.schema([("a", pa.float64())])).close()
    content = (folder / "a.parquet").read_bytes()
    none, forty = b"\x16\x00\x19\x0c", b"\x16\x50\x19\x0c"  # rows, and no row group
    assert content.count(none) == 1
    (folder / "a.parquet").write_bytes(content.replace(none, forty))
    assert pq.read_metadata("a.parquet").num_rows == 40
    words = ("a.parquet", *ONE) if command == "fit" else ("m.json", "a.parquet")
    more = () if command == "fit" else ("--out", "out.csv")
    sentence = refused(capsys, command, *words, *more)
    assert sentence.endswith("read as PARQUET: it is not a Parquet file, or it is damaged")
    (folder / "loop.csv").symlink_to("loop.csv")
    (folder / "a.csv").write_text("a,b\n1,2\n3,5\n2,2\n")
    assert "there is no file loop.csv" in refused(capsys, "fit", "loop.csv")
    sentence = refused(capsys, "fit", "a.csv", "--out", "loop.csv")
    assert sentence == "error: --out loop.csv cannot be written: too many levels of symbolic links"


@pytest.mark.parametrize("in_memory", [csv_files.IN_MEMORY, 0])
def test_only_blanks_and_tabs_may_surround_a_number(in_memory, folder, capsys, monkeypatch):
    """A file in memory and one that is converted have the same numbers."""
    monkeypatch.setattr(csv_files, "IN_MEMORY", in_memory)
    texts = [" 1.5", "2\t", '"3\n"', "\u00a04", "\u0663"]
    for number, text in enumerate(texts):
        lines = [f"{text},2", "1.5,4", "2.25,3.5", "4,1"]
        (folder / "a.csv").write_text("a,b\n" + "\n".join(lines) + "\n")
        names = ["a", "b"] if number < 2 else ["b"]
        assert list(fitted("a.csv", *ONE).feature_names_in_) == names
        printed = capsys.readouterr().out
        assert ("in row 1)" in printed) == (number >= 2)
        assert "see --decimal" not in printed


def test_values_that_are_too_large_and_rows_that_are_too_far(folder, capsys, monkeypatch):
    frame = pd.DataFrame(X.copy(), columns=list("abc"))
    frame.to_csv("a.csv", index=False)
    fitted("a.csv", *ONE)
    monkeypatch.setattr(tables, "ROWS", 7)
    far = frame.copy()
    far.loc[40, "b"] = 1e200
    far.to_csv("far.csv", index=False)
    capsys.readouterr()
    sentence = refused(capsys, "predict", "m.json", "far.csv")
    assert "row 41 of 90 is so far from all components" in sentence
    sentence = refused(capsys, "fit", "far.csv", *ONE)
    assert "column 'b' is 1e+200 in row 41 of 90, whose square may overflow" in sentence
    # A row of weight 0 is no part of the fit, but of the table.
    frame *= 1e-30
    frame.loc[40, "b"] = 1e149
    frame["w"] = np.arange(90) != 40
    frame.astype({"w": int}).to_csv("far.csv", index=False)
    words = ("far.csv", *ONE, "--weights", "w", "--out", "out.csv")
    assert run("fit", *words) == 2
    assert "row 41 of 90 is so far from all components" in capsys.readouterr().err
    assert not (folder / "out.csv").exists()


# -- options and paths ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ("1:100000000000", "has 100000000000 numbers of components, more than 1000"),
        (f"1:{10**30}", "numbers of components, more than 1000"),
        ("9" * 5000, "is neither a range such as 1:9"),
        (
            "100000000000",
            "100000000000 components need as many different rows, but there are only 9",
        ),
        ("-5:3", "is neither a range such as 1:9"),
        ("5:3", "is neither a range such as 1:9"),
    ],
)
def test_numbers_of_components_that_cannot_be(numbers, sentence, capsys):
    pd.DataFrame(X).to_parquet("a.parquet")
    assert sentence in refused(capsys, "fit", "a.parquet", f"--components={numbers}")


def test_numbers_of_components_up_to_the_different_rows(capsys):
    pd.DataFrame(X[:4], columns=list("abc")).to_parquet("a.parquet")
    words = ("fit", "a.parquet", "--families", "EII", "--prior", "conjugate", "--jobs", 10**9)
    assert run(*words, "--components", "3,100000000000,1,2,3") == 0
    printed = capsys.readouterr()
    assert "only 4 rows differ, so no more than 3 components are tried" in printed.err
    assert "3 of 3 candidates" in printed.out


@pytest.mark.parametrize("name", ["n" * 300, "a\x00b", "\udcff" * 200])
def test_paths_that_cannot_be(name, capsys):
    pd.DataFrame(X.copy(), columns=list("abc")).to_parquet("a.parquet")
    fitted("a.parquet", *ONE)
    capsys.readouterr()
    assert "there is no file" in refused(capsys, "fit", f"{name}.csv")
    assert "there is no file" in refused(capsys, "predict", f"{name}", "a.parquet")
    assert "there is no file" in refused(capsys, "predict", "m.json", f"{name}.parquet")
    for option, suffix in (("--out", ".csv"), ("--model", ""), ("--plot", ".png")):
        if len(name.encode("utf-8", "surrogateescape")) > 250 or "\x00" in name:
            sentence = refused(capsys, "fit", "a.parquet", option, f"{name}{suffix}")
            assert "cannot be written" in sentence


def test_long_names_of_columns(folder, capsys):
    names = ["a" * 300, "b" * 300, "c" * 300]
    frame = pd.DataFrame(X.copy(), columns=names)
    frame["d" * 300] = "text"
    frame["e" * 300] = 1.0
    frame.to_csv("a.csv", index=False)
    assert list(fitted("a.csv", *ONE, "--plot", "p.svg").feature_names_in_) == names
    printed = capsys.readouterr()
    for line in (printed.out + printed.err).splitlines():
        assert len(line) <= 100 or "written to" in line
    assert "a" * 30 + "..." + "a" * 30 in printed.out


@posix
def test_a_pipe_gets_the_model_and_stays(folder):
    pd.DataFrame(X.copy(), columns=list("abc")).to_parquet("a.parquet")
    os.mkfifo("pipe")
    with ThreadPoolExecutor(1) as pool:
        content = pool.submit((folder / "pipe").read_bytes)
        assert run("fit", "a.parquet", *ONE, "--model", "pipe") == 0
        assert b'"emgmm.GaussianMixture"' in content.result(timeout=60)
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


@posix
def test_links_to_what_is_written_stay(folder):
    pd.DataFrame(X.copy(), columns=list("abc")).to_parquet("a.parquet")
    (folder / "there").mkdir()
    for name in ("out.csv", "m.json", "p.png"):
        (folder / name).symlink_to(folder / "there" / name)
    (folder / "there" / "m.json").write_text("before")
    (folder / "there" / "m.json").chmod(0o600)
    assert (
        run("fit", "a.parquet", *ONE, *("--out", "out.csv", "--plot", "p.png"), "--model", "m.json")
        == 0
    )
    for name in ("out.csv", "m.json", "p.png"):
        assert (folder / name).is_symlink()
        assert (folder / "there" / name).stat().st_size > 100
    assert stat.S_IMODE((folder / "there" / "m.json").stat().st_mode) == 0o600


def test_files_appear_together_or_not_at_all(folder, capsys, monkeypatch):
    frame = pd.DataFrame(X.copy(), columns=list("abc"))
    frame["bytes"] = [b"text"] * 89 + [b"\xff"]
    monkeypatch.setattr(outputs, "_check_text", lambda _: None)  # found out when it is written
    frame.to_parquet("a.parquet")
    (folder / "m.json").write_text("before")
    words = ("fit", "a.parquet", *ONE, "--model", "m.json", "--plot", "p.png", "--out")
    assert run(*words, "out.csv") == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: cannot write out.csv: ")
    assert printed.err.count("\n") == 1
    assert (folder / "m.json").read_text() == "before"
    assert sorted(os.listdir()) == ["a.parquet", "m.json"]
    assert run(*words, "out.parquet") == 0
    assert sorted(os.listdir()) == ["a.parquet", "m.json", "out.parquet", "p.png"]


@pytest.mark.parametrize(
    "place", [(GaussianMixtureIC, "fit"), (outputs, "matrix"), (rows, "matrix")]
)
def test_an_interrupt_is_one_line_and_leaves_no_file(place, folder, capsys, monkeypatch):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    pd.DataFrame(X.copy(), columns=list("abc")).to_csv("a.csv", index=False)
    monkeypatch.setattr(*place, interrupted)
    words = ("--out", "out.csv", "--model", "m.json", "--plot", "p.png")
    assert run("fit", "a.csv", *ONE, *words) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert os.listdir() == ["a.csv"]


# -- Parquet --------------------------------------------------------------------------------------


def test_columns_that_csv_cannot_hold(capsys, monkeypatch):
    table = pa.table(
        {"a": X[:, 0], "list": [[1.0, 2.0]] * 90, "cat": pa.array(["x"] * 90).dictionary_encode()}
    )
    pq.write_table(table, "a.parquet")
    assert run("fit", "a.parquet", "--components", 1, "--out", "out.parquet") == 0
    assert pq.read_table("out.parquet").select(table.column_names).equals(table)
    capsys.readouterr()
    monkeypatch.setattr(GaussianMixtureIC, "fit", unreachable)
    sentence = refused(capsys, "fit", "a.parquet", "--out", "out.csv")
    assert "column 'list' holds list<" in sentence
    assert "which a .csv file cannot hold: write a .parquet file" in sentence
    monkeypatch.undo()


def test_dates_are_refused_by_name(capsys):
    day = datetime.datetime(2020, 1, 5)
    columns = {
        "day": pa.array([None, day.date(), *[day.date()] * 88]),
        "time": pa.array([day] * 90, pa.timestamp("ns")),
        "wait": pa.array([datetime.timedelta(hours=1)] * 90),
        "yes": pa.array([True] * 90),
    }
    pq.write_table(pa.table({"a": X[:, 0], **columns}), "a.parquet")
    shown = {"day": "2020-01-05 in row 2", "time": "2020-01-05 00:00:00 in row 1"}
    shown |= {"wait": "1:00:00 in row 1", "yes": "True in row 1"}
    for name in columns:
        for option in ("--columns", "--weights"):
            sentence = refused(capsys, "fit", "a.parquet", option, name)
            assert f"{option}: column {name!r} is not numeric ({shown[name]})" in sentence
    model = fitted("a.parquet", *ONE)
    assert list(model.feature_names_in_) == ["a"]
    left_out = ", ".join(f"{name} ({shown[name]})" for name in columns)
    assert f"Left out because they are not numeric: {left_out}" in " ".join(
        capsys.readouterr().out.split()
    )


def test_numbers_of_every_type(capsys):
    values = np.arange(90) % 7 * 2.0
    kinds = [pa.int8(), pa.uint64(), pa.float32(), pa.decimal128(8, 2), pa.decimal256(40, 2)]
    columns = {str(kind): pa.array(values.astype(int)).cast(kind) for kind in kinds[:3]}
    decimals = [Decimal(int(value)) for value in values]
    columns |= {str(kind): pa.array(decimals, kind) for kind in kinds[3:]}
    columns["half"] = pa.array(values.astype(np.float16))
    pq.write_table(pa.table(columns), "a.parquet")
    words = ("--columns", "half,int8,uint64,float", "--prior", "conjugate")
    model = fitted("a.parquet", *ONE, *words)
    assert_allclose(model.means_, np.full((1, 4), values.mean()), rtol=1e-3)
    assert_allclose(fitted("a.parquet", *ONE).means_, np.full((1, 6), values.mean()), rtol=1e-9)


@pytest.fixture
def in_pieces(monkeypatch):
    monkeypatch.setattr(rows, "IN_MEMORY", 0)
    monkeypatch.setattr(csv_files, "IN_MEMORY", 0)
    monkeypatch.setattr(tables, "ROWS", 7)


@pytest.mark.extensive
@pytest.mark.slow
@pytest.mark.parametrize("scale", [(), ("--scale",)])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_large_table_is_fitted_as_a_small_one_is(suffix, scale, capsys, request):
    frame = pd.DataFrame([3.0, 0, -50] + [1, 1, 1e3] * X, columns=["a", "b.c", "b"])
    frame.loc[[5, 40], "b"] = np.nan
    frame.insert(0, "id", np.arange(90))
    frame.insert(2, "same", 7.5)
    frame["count"] = np.arange(90) % 4
    frame["late"] = ["1"] * 80 + ["1.5"] * 10  # an integer, as far as one can see at first
    frame["text"] = ["1"] * 80 + ["x"] * 10
    frame["kind"] = "a, b"
    frame.to_csv("a.csv", index=False)
    frame["late"] = frame["late"].astype(float)
    frame.to_parquet("a.parquet")
    words = (
        "--components",
        "1:3",
        "--families",
        "EEE,VVI",
        "--weights",
        "count",
        "--exclude",
        "late",
        *scale,
    )
    found = []
    for number in range(2):
        model = fitted(f"a.{suffix}", *words, "--out", f"out.{suffix}", "--plot", "p.png")
        printed = capsys.readouterr()
        assert run("predict", "m.json", f"a.{suffix}") == 0
        found.append((model, printed, capsys.readouterr().out))
        read = pd.read_csv if suffix == "csv" else pd.read_parquet
        written, given = read(f"out.{suffix}"), read(f"a.{suffix}")
        pd.testing.assert_frame_equal(written[list(given)], given)
        assert_array_equal(written["label"], model.predict(frame[list(model.feature_names_in_)]))
        if not number:
            request.getfixturevalue("in_pieces")
    (model, printed, predicted), (other, again, predicted_again) = found
    assert list(model.feature_names_in_) == list(other.feature_names_in_) == ["a", "b.c", "b"]
    assert_allclose(model.means_, other.means_, rtol=1e-9)
    assert_allclose(model.covariances_, other.covariances_, rtol=1e-9)
    assert predicted == predicted_again
    assert printed.err == again.err == "note: columns that do not vary are left out: same\n"
    for text in ("2 values are missing", "Left out as row identifiers: id", "text ('x' in row 81)"):
        assert text in printed.out
        assert text in again.out


def test_errors_in_later_pieces_name_their_rows(capsys, in_pieces):
    frame = pd.DataFrame(X.copy(), columns=list("abc"))
    frame["w"] = 1.0
    frame.loc[60, "w"] = -2.0
    frame.loc[70, "b"] = np.inf
    frame.to_parquet("a.parquet")
    sentence = refused(capsys, "fit", "a.parquet", "--weights", "w")
    assert "column 'w' is -2 in row 61 of 90" in sentence
    assert "column 'b' is infinite in row 71 of 90" in refused(capsys, "fit", "a.parquet")


def test_a_small_part_of_a_row_group_is_in_memory(folder):
    N = 1_000_000
    table = pa.table({name: np.random.default_rng(0).normal(size=N) for name in "abcd"})
    pq.write_table(table, "a.parquet", row_group_size=N)
    del table
    before, most, n_rows = pa.total_allocated_bytes(), 0, 0
    with tables.open_table(folder / "a.parquet", Format()) as opened:
        for batch in opened.batches(["a", "c"]):
            n_rows += batch.num_rows
            most = max(most, pa.total_allocated_bytes() - before)
    assert n_rows == N
    assert most < 2**23  # of 16 MB


# -- what reaches a terminal, and a spreadsheet ---------------------------------------------------

NAMES = ["\x1b]0;title\x07", "\x1b[31mred\nline", "\u202eabc\x9b2J"]


def test_no_control_characters_reach_the_terminal(capsys):
    frame = pd.DataFrame(X.copy(), columns=NAMES)
    frame["\x1b[2Jtext"] = "\x1b[2J"
    frame["\x1b[2Jsame"] = 1.0
    frame["\x1b[2Jid"] = np.arange(90)
    frame.to_parquet("a.parquet")
    model = fitted("a.parquet", "--components", "1:2", "--families", "VVV", "--reg-covar", 0.5)
    assert list(model.feature_names_in_) == NAMES
    assert run("predict", "m.json", "a.parquet") == 0
    for words in (
        ("fit", "a.parquet", "--columns", "\x1b[2Jtext"),
        ("fit", "a.parquet", "--columns", "\x1b[2Jnone"),
        ("fit", "\x1b[2J.csv"),
        ("predict", "m.json", "\x1b[2J\n.csv"),
    ):
        assert run(*words) == 2
    printed = "".join(capsys.readouterr())
    assert CONTROL.search(printed) is None
    assert r"\x1b]0;title\x07" in printed
    assert r"\x1b[31mred\nline" in printed
    assert r"\x1b[2Jtext" in printed


def test_any_name_of_a_column_can_be_drawn(folder):
    pd.DataFrame(X.copy(), columns=["$\\frac$", "\u6f22\u5b57", "\x1b[2J"]).to_parquet("a.parquet")
    assert run("fit", "a.parquet", *ONE, "--plot", "p.png") == 0
    assert (folder / "p.png").stat().st_size > 1000


def test_an_ascii_terminal(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    pd.DataFrame(X.copy(), columns=["größe", "b", "c"]).to_parquet("a.parquet")
    assert run("fit", "a.parquet", *ONE) == 0
    assert rb"gr\xf6\xdfe" in terminal.buffer.getvalue()


@posix
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("full", [False, True])
def test_streams_that_are_closed_or_full(stream, full, folder, capsys, monkeypatch):
    """Without a stream the command does the same; a report that cannot be written is an error."""
    pd.DataFrame(X.copy(), columns=list("abc")).assign(d=1).to_csv("a.csv", index=False)

    def ended(*words):
        with open("/dev/full", "w") as device:
            monkeypatch.setattr(sys, stream, device if full else None)
            status = run(*words)
            monkeypatch.undo()
            monkeypatch.chdir(folder)
        return status, capsys.readouterr().err.splitlines()[-1:]

    status, last = ended("fit", "a.csv", *ONE, "--model", "m.json")  # which also notes something
    fails = full and stream == "stdout"
    assert status == fails
    assert (folder / "m.json").exists() != fails
    if fails:
        assert last == ["error: the report cannot be written: no space left on device"]
    status, last = ended("fit", "no.csv")
    assert status == 2
    assert last == (["error: there is no file no.csv"] if stream == "stdout" else [])


def test_formulas_are_quoted_where_that_is_asked_for():
    cells = ["=1+1", "+1", "-1", "@x", "\tx", "x=1", "", None, "plain", "'=1"] * 9
    frame = pd.DataFrame(-np.abs(X), columns=["=a", "b", "c"])
    table = pa.Table.from_pandas(frame)
    table = table.append_column("text", pa.array(cells))
    table = table.append_column("@cat", pa.array(cells).dictionary_encode())
    table = table.append_column("bytes", pa.array(cells, pa.string()).cast(pa.binary()))
    pq.write_table(table, "a.parquet")
    wanted = [c if c is None or not c.startswith(tuple("=+-@\t")) else f"'{c}" for c in cells]
    for words in ((), ("--safe-csv",)):
        model = fitted("a.parquet", *ONE, *words, "--out", "out.csv")
        written = pd.read_csv("out.csv", keep_default_na=False)
        expected = wanted if words else cells
        quote = "'" if words else ""
        assert list(written) == [
            f"{quote}=a",
            "b",
            "c",
            "text",
            f"{quote}@cat",
            "bytes",
            "label",
            "p_0",
        ]
        for name in ("text", f"{quote}@cat", "bytes"):
            assert list(written[name]) == [cell or "" for cell in expected]
        assert_allclose(written[["b", "c"]], frame[["b", "c"]])  # numbers are no formulas
        assert run("predict", "m.json", "a.parquet", *words, "--out", "again.csv") == 0
        assert (pd.read_csv("again.csv", keep_default_na=False) == written).all(axis=None)
    fitted("a.parquet", *ONE, "--safe-csv", "--out", "out.parquet")
    assert pq.read_table("out.parquet").column("text").to_pylist() == cells
    assert list(model.feature_names_in_) == ["=a", "b", "c"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(2)], ids=str)
@pytest.mark.parametrize("encoded", [False, True])
def test_bytes_that_are_no_text_are_refused_before_the_fit(kind, encoded, capsys):
    for cells, right in (([b"\xff\x00"] * 90, False), ([b"ab"] * 90, True)):
        column = pa.array(cells, kind)
        column = column.dictionary_encode() if encoded else column
        pq.write_table(pa.table({"a": X[:, 0], "digest": column}), "a.parquet")
        words = ("a.parquet", *ONE, "--out", "out.csv")
        if right:
            assert run("fit", *words) == 0
            assert list(pd.read_csv("out.csv")["digest"]) == ["ab"] * 90
        else:
            assert "--out: column 'digest' holds bytes" in refused(capsys, "fit", *words)
            assert run("fit", "a.parquet", *ONE, "--out", "out.parquet") == 0


@pytest.mark.parametrize("more", [(), ("--weights", "w")])
def test_columns_that_cannot_be_fitted_are_named_as_in_the_table(more, capsys):
    frame = pd.DataFrame(
        {"height": X[:, 0], "width": X[:, 1], "h2": X[:, 0], "w": 1.0 + (X[:, 2] > 0)}
    )
    frame.to_csv("a.csv", index=False)
    words = ("--components", 1, "--families", "EEE", "--columns", "height,width,h2", *more)
    assert run("fit", "a.csv", *words) == 1
    assert "linearly dependent in column 0 ('height'), 2 ('h2')" in capsys.readouterr().err
    (frame * [1e-200, 1e-200, 1.0, 1.0]).to_csv("a.csv", index=False)
    assert run("fit", "a.csv", *words) == 1
    said = capsys.readouterr().err
    assert "up to underflow in column 0 ('height'), 1 ('width'), counted from 0" in said
    assert "smaller unit" in said
