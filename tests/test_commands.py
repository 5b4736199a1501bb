"""The command line: what it writes is what the library says, and what will not do is said."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import clusters
from numpy.testing import assert_allclose, assert_array_equal

from emgmm import GaussianMixture, GaussianMixtureDisplay, GaussianMixtureIC
from emgmm.__main__ import main
from emgmm.cli.rows import InputRows
from emgmm.cli.scaling import Standardization
from emgmm.covariances import FAMILIES, family_names
from emgmm.datasets import old_faithful
from emgmm.diagnostics.summary import mean_and_sd
from emgmm.selection import estimator
from emgmm.storage import files

NAMES = ["length", "width, mm", "depth"]
X = clusters(120, 3, 2, seed=5, spread=6.0)
X[3, 1] = X[50, 0] = np.nan
GRID = ["--components", "1:3", "--families", "EEE,VVI", "--seed", "7"]


@pytest.fixture
def data(tmp_path):
    frame = pd.DataFrame(X, columns=NAMES)
    frame["kind"] = ["a, b", 'c "d"'] * 60
    frame["day"] = "2020-01-05"
    frame["w"] = np.arange(120) % 3
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_parquet(tmp_path / "data.parquet")
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_fit_writes_what_the_library_says(data, suffix, capsys):
    source, out, model = data / f"data.{suffix}", data / f"out.{suffix}", data / "model.json"
    picture = data / "picture.png"
    words = ("fit", source, *GRID, "--weights", "w", "--out", out, "--model", model)
    assert run(*words, "--plot", picture) == 0
    said, progress = capsys.readouterr()
    assert progress == ""  # no terminal
    day = "2020-01-05" if suffix == "csv" else "'2020-01-05'"  # which is a date, and which a text
    left_out = f"kind ('a, b' in row 1), day ({day} in row 1)"
    assert f"Left out because they are not numeric: {left_out}" in " ".join(said.split())
    assert "2 values are missing" in said
    weights = np.arange(120) % 3.0
    chosen = GaussianMixtureIC(range(1, 4), covariance_type=["EEE", "VVI"], random_state=7)
    chosen.fit(X, sample_weight=weights)
    kept = GaussianMixture.load(model)
    assert_array_equal(kept.means_, chosen.best_estimator_.means_)
    assert kept.covariance_type == chosen.best_params_["covariance_type"]
    assert list(kept.feature_names_in_) == NAMES
    read = pd.read_csv if suffix == "csv" else pd.read_parquet
    written, given = read(out), read(source)
    pd.testing.assert_frame_equal(written[list(given)], given)
    assert_array_equal(written["label"], chosen.predict(X))
    probabilities = written[[f"p_{k}" for k in range(kept.n_components)]]
    assert_allclose(probabilities, chosen.predict_proba(X), rtol=1e-9, atol=1e-15)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert f"BIC {chosen.bic(X, sample_weight=weights):.4f}" in said
    named = chosen.summary(X, sample_weight=weights, correlations=True)
    assert str(replace(named, feature_names=tuple(NAMES))) in said
    assert_says(said, chosen.best_estimator_.diagnose(X, sample_weight=weights))


def assert_says(said, diagnosis):
    """Each condition begins a line, and goes on under itself."""
    lines, column = said.splitlines(), str(diagnosis).index(diagnosis.lines()[0][1])
    for name, found in diagnosis.lines():
        at = next(n for n, line in enumerate(lines) if line.startswith(f"{name} "))
        text = lines[at][column:]
        while lines[at + 1].startswith(" " * column):
            at += 1
            text += f" {lines[at][column:]}"
        assert text == found


def test_predict_finds_columns_by_name(data, capsys):
    assert (
        run("fit", data / "data.csv", *GRID, "--columns", "depth,length", "--model", data / "m")
        == 0
    )
    shuffled = pd.read_csv(data / "data.csv")[["day", "depth", "length"]].iloc[::-1]
    shuffled.to_csv(data / "other.csv", index=False)
    capsys.readouterr()
    assert run("predict", data / "m", data / "other.csv", "--out", data / "labelled.csv") == 0
    kept = GaussianMixture.load(data / "m")
    frame = shuffled[["depth", "length"]]
    written = pd.read_csv(data / "labelled.csv")
    assert_array_equal(written["label"], kept.predict(frame))
    said = capsys.readouterr().out
    for k in range(kept.n_components):
        assert f"component {k}   {(kept.predict(frame) == k).sum()} rows" in said


def test_noise_has_a_column(data):
    words = (
        "--components",
        2,
        "--families",
        "full",
        "--noise",
        "uniform",
        "--columns",
        "depth,length",
    )
    assert (
        run("fit", data / "data.csv", *words, "--out", data / "out.csv", "--model", data / "m") == 0
    )
    written = pd.read_csv(data / "out.csv")
    kept = GaussianMixture.load(data / "m")
    assert list(written.columns[-4:]) == ["label", "p_0", "p_1", "p_noise"]
    assert_allclose(written["p_noise"].mean(), kept.noise_weight_, atol=0.01)
    assert set(written["label"]) <= {-1, 0, 1}


def widest(text):
    return max(len(line) for line in text.splitlines())


@pytest.mark.extensive
def test_many_features_stay_legible(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = clusters(300, 30, 2)
    rows[:20] = rows[0] + 30
    frame = pd.DataFrame(rows, columns=[f"a long name of feature {j}" for j in range(30)])
    for j in range(20):
        frame.insert(0, f"constant {j}", 1.0)
    frame.to_csv("wide.csv", index=False)
    words = ("--components", 7, "--families", "diag", "--reg-covar", 1e-6, "--plot", "p.svg")
    assert run("fit", "wide.csv", *words) == 0
    said, notes = capsys.readouterr()
    assert "feature 29" in said
    assert "constant 19" in notes
    assert "CollapsedComponentWarning: The fit" in said  # long, and so is the list of columns
    # The numbers of the components, and each candidate's state, are said too.
    assert re.search(r"constant\s+features\.\s+\(component \d\)", said)
    assert "1 set aside because components collapsed or starved" in said
    assert re.search(r"set aside:\s+component \d\s+collapsed", said)
    assert widest(said) <= 100
    assert widest(notes) <= 100
    lines = said.partition("Chosen")[2].splitlines()
    heads = [line for line in lines if line.startswith("  component ")]
    assert [int(k) for head in heads for k in head.split()[1:]] == list(range(7))
    for j in range(30):
        start = f"  a long name of feature {j} "
        assert sum(line.startswith(start) for line in lines) == len(heads)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6, 1e12])
def test_six_features_with_long_names_stay_legible(scale, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"{letter} has a long name" for letter in "abcdef"]
    rows = -1.234567 * scale * (9 + clusters(200, 6, 2))
    pd.DataFrame(rows, columns=names).to_csv("wide.csv", index=False)
    assert run("fit", "wide.csv", "--components", "1:2", "--families", "diag") == 0
    assert widest(capsys.readouterr().out) <= 100


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_of_a_candidate_is_cut_off(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = clusters(40, 2, 2, seed=1)
    rows[:12] = rows[0]
    pd.DataFrame(rows, columns=["a", "b"]).to_csv("few.csv", index=False)
    words = ("--components", 4, "--families", "VVV", "--start", "random", "--reg-covar", 1e-6)
    assert run("fit", "few.csv", *words) == 0
    said = capsys.readouterr().out
    chosen = GaussianMixtureIC(
        4, covariance_type="VVV", init_params="random", reg_covar=1e-6, random_state=0
    )
    chosen.fit(rows)
    listed = said.partition("ending")[2].partition("Chosen")[0]
    wanted = f"({chosen.results_['warnings'][0]}), set aside: {chosen.results_['reason'][0]}"
    assert wanted in " ".join(listed.split())
    assert len(wanted) > 60
    assert widest(said) <= 100


FAULTS = [
    ("fit nowhere.csv", "there is no file nowhere.csv"),
    ("fit data.txt", "its name must end in .csv or .parquet"),
    ("fit empty.csv", "cannot be read as CSV"),
    ("fit header.csv", "has no rows"),
    (
        "fit semicolons.csv",
        "has no ',' between the fields of its first line: give the character that separates them, as in --sep ';'",
    ),
    ("fit words.csv", "no column is numeric: a ('x' in row 1), b ('y' in row 1)"),
    ("fit twice.csv", "more than one column 'a'"),
    ("fit broken.parquet", "cannot be read as PARQUET"),
    ("fit data.csv --columns depth,heigth", "there is no column 'heigth'; there are length"),
    ("fit data.csv --columns kind", "column 'kind' is not numeric ('a, b' in row 1)"),
    ("fit data.csv --weights v", "--weights: there is no column 'v'"),
    ("fit data.csv --out nowhere/out.csv", "there is no folder nowhere"),
    ("fit data.csv --out data.csv", "--out is the data's own file"),
    ("fit data.csv --out ./data.csv", "--out is the data's own file"),
    ("fit data.csv --model link.csv", "--model is the data's own file"),
    ("fit data.csv --out hard.csv", "--out is the data's own file"),
    ("fit link.csv --out data.csv", "--out is the data's own file"),
    ("fit data.csv --out new.csv --model new.csv", "--out and --model are the same file"),
    ("fit data.csv --model p.svg --plot ./p.svg", "--model and --plot are the same file"),
    ("fit data.csv --model p.svg --plot ahead.svg", "--model and --plot are the same file"),
    ("predict model.json data.csv --out link.csv", "--out is the data's own file"),
    ("predict model.csv data.csv --out ../{}/model.csv", "--out is the model's own file"),
    ("fit data.csv --columns depth,length,depth", "column 'depth' is named twice"),
    (
        "fit few.csv --components 5",
        "5 components need as many different rows, but there are only 2",
    ),
    (
        "fit same.csv --components 4:6",
        "4 components need as many different rows, but there are only 3",
    ),
    ("fit few.csv --components 2 --weights b", "weights must be finite and not negative"),
    ("fit bad.csv --components 1 --weights w", "column 'w' is -1 in row 2 of 3"),
    ("fit holes.csv --components 1 --weights w", "column 'w' is nan in row 3 of 3"),
    ("fit endless.csv --components 1 --weights w", "column 'w' is inf in row 1 of 3"),
    (
        "fit counts.csv --components 3 --weights w",
        "3 components need as many different rows, but there are only 2",
    ),
    ("fit zero.csv --components 1 --weights w", "column 'w' is 0 in every row"),
    ("fit infinite.csv --components 1", "column 'b' is infinite in row 1 of 3"),
    ("fit constant.csv", "there is nothing to fit: no column (a, b) varies"),
    ("fit one.csv", "varies among the rows with a weight above 0, of which there are 1"),
    (
        "fit data.csv --columns length,depth --families VVI,E",
        "E is for one column, but there are 2",
    ),
    ("predict ab.json infinite.csv", "column 'b' is infinite in row 1 of 3"),
    ("--plot nowhere/p.png", "there is no folder nowhere"),
    ("fit data.csv --out out.xlsx", "must end in .csv or .parquet"),
    ("fit data.csv --model .", "that is a folder"),
    ("fit labelled.csv --out out.csv", "the data already have a column 'label'"),
    ("predict nowhere.json data.csv", "there is no file nowhere.json"),
    ("predict data.txt data.csv", "is not a saved model"),
    ("predict model.json words.csv", "there is no column 'length'"),
    ("fit data.csv --exclude kind,heigth", "--exclude: there is no column 'heigth'"),
    ("fit data.csv --exclude kind,kind", "--exclude: column 'kind' is named twice"),
    (
        "fit data.csv --columns length,depth --exclude kind,depth",
        "--columns and --exclude both name 'depth': name it in one of them only",
    ),
    ("fit few.csv --exclude a,b", "no column is left to fit"),
    ("fit counted.csv", "the numeric columns (a, b) only number the rows; name them in --columns"),
    ("fit data.csv --decimal ,", "--sep and --decimal cannot both be ','"),
    ("predict model.json data.csv --sep . --decimal .", "--sep and --decimal cannot both be '.'"),
    (
        "fit tabs.csv",
        "between the fields of its first line: give the character that separates them, as in --sep tab",
    ),
    ("fit commas.csv", "has no ',' between the fields of its first line"),
    ("fit commas.csv --sep ;", "no column is numeric: a ('1,5' in row 1; see --decimal), b ('2,5'"),
    ("fit asked.csv --columns b", "column 'b' is not numeric ('x?' in row 3)"),
    ("fit asked.csv --weights b", "--weights: column 'b' is not numeric ('x?' in row 3)"),
    ("fit asked.csv --exclude a", "no column is numeric: b ('x?' in row 3)"),
    ("predict ab.json asked.csv", "ab.json: column 'b' is not numeric ('x?' in row 3)"),
    ("fit far.csv --scale", "--scale: the standard deviation of column 'b' cannot be computed"),
]


@pytest.fixture
def folder(data, monkeypatch):
    monkeypatch.chdir(data)
    texts = {
        "data.txt": "text", "empty.csv": "", "header.csv": "a,b\n", "twice.csv": "a,a\n1,2\n",
        "semicolons.csv": "a;b\n1;2\n", "words.csv": "a,b\nx,y\n", "broken.parquet": "no",
        "labelled.csv": "a,label\n1,2\n2,3\n", "few.csv": "a,b\n3,-1\n1,3\n",
        "bad.csv": "a,w\n5,1\n2,-1\n3,1\n", "infinite.csv": "a,b\n1,inf\n2,3\n4,4\n",
        "holes.csv": "a,w\n5,1\n2,1\n3,\n", "zero.csv": "a,w\n5,0\n2,0\n",
        "endless.csv": "a,w\n5,inf\n2,1\n3,1\n", "counts.csv": "a,w\n5,2\n2,0\n3,1\n",
        "constant.csv": "a,b\n1,2\n1,2\n,2\n", "one.csv": "a,b\n1,2\n",
        "same.csv": "a,b\n" + "1,2\n0,3\n-0.0,3\n5,1\n" * 5, "line.csv": "a,b\n3,6\n2,4\n1,2\n",
        "counted.csv": "a,b\n1,0\n2,1\n3,2\n", "tabs.csv": "a\tb\n1\t2\n",
        "commas.csv": "a;b\n1,5;2,5\n2,5;3,5\n", "far.csv": "a,b\n5,1e-200\n3,-1e-200\n",
        "asked.csv": "a,b\n5,1.5\n2,NA\n7,x?\n9,2\n",
    }  # fmt: skip
    for name, text in texts.items():
        (data / name).write_text(text)
    model = GaussianMixture(1).fit(pd.DataFrame(X, columns=NAMES))
    model.save("model.json")
    model.save("model.csv")
    GaussianMixture(1).fit(pd.DataFrame(X[:, [0, 2]], columns=["a", "b"])).save("ab.json")
    (data / "link.csv").symlink_to("data.csv")
    (data / "ahead.svg").symlink_to("p.svg")
    os.link("data.csv", "hard.csv")
    return data


@pytest.mark.parametrize(("line", "sentence"), FAULTS)
def test_what_will_not_do(line, sentence, folder, capsys):
    before = sorted(folder.iterdir())
    assert run(*line.format(folder.name).split()) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert sorted(folder.iterdir()) == before


def test_a_fit_that_fails_is_not_called_bad_input(folder, capsys):
    # Rows on a line, and a family to which no ridge is added.
    words = ("--components", 1, "--families", "EVV", "--model", "m.json")
    assert run("fit", "line.csv", *words) == 1
    said = capsys.readouterr().err
    assert "None of the 1 candidates could be fitted" in said
    assert said.count("\n") == 1
    assert not (folder / "m.json").exists()


@pytest.mark.parametrize("seed", ["-1", "4294967296", "1.5"])
def test_a_seed_that_is_none(seed, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        run("fit", "data.csv", "--seed", seed)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"argument --seed: '{seed}' is not a whole number from 0 to 4294967295" in said


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--components 0:2", "'0:2' is neither a range such as 1:9, nor a number such as 3"),
        ("--components x", "'x' is neither a range such as 1:9, nor a number such as 3"),
        ("--families round", "'round' is not among the families full, tied"),
        ("--start x", "invalid choice: 'x' (choose from"),
        ("--tol -1", "--tol: '-1' is not a finite number of at least 0"),
        ("--tol nan", "--tol: 'nan' is not a finite number of at least 0"),
        ("--tol small", "--tol: 'small' is not a finite number of at least 0"),
        ("--reg-covar -0.1", "--reg-covar: '-0.1' is not a finite number of at least 0"),
        ("--reg-covar inf", "--reg-covar: 'inf' is not a finite number of at least 0"),
        ("--max-iter 0", "--max-iter: '0' is not a whole number from 1 to 2147483647"),
        ("--max-iter 1.5", "--max-iter: '1.5' is not a whole number from 1 to 2147483647"),
        ("--max-iter 1" + 20 * "0", "00' is not a whole number from 1 to 2147483647"),
        ("--n-init -1", "--n-init: '-1' is not a whole number from 1 to 2147483647"),
        ("--n-init " + 5000 * "9", "999' is not a whole number from 1 to 2147483647"),
        ("--seed " + 5000 * "9", "999' is not a whole number from 0 to 4294967295"),
        ("--jobs 0", "--jobs: '0' is not a whole number from 1 to 2147483647"),
        ("--encoding punycode", "'punycode' is not the name of an encoding, such as utf-8"),
        ("--sep \0", "cannot separate fields: give one ASCII character"),
        ("--sep ab", "--sep: 'ab' cannot separate fields: give one ASCII character"),
        ("--sep \u00a7", "--sep: '\u00a7' cannot separate fields: give one ASCII character"),
        ("--decimal x", "--decimal: invalid choice: 'x' (choose from"),
    ],
)
def test_bad_usage(line, sentence, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        run("fit", "data.csv", *line.split())
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_nothing_half_written(folder, capsys, monkeypatch):
    def full(*arguments):
        raise OSError("no space left on device")

    (folder / "out.csv").write_text("before")
    monkeypatch.setattr(files.os, "fsync", full)
    assert run("fit", "data.csv", *GRID, "--out", "out.csv") == 1
    assert "cannot write out.csv: no space left" in capsys.readouterr().err
    assert (folder / "out.csv").read_text() == "before"
    assert not list(folder.glob(".*partial"))


@pytest.mark.parametrize("module", ["pyarrow", "tqdm", "matplotlib.figure"])
def test_missing_packages_are_named(module, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(GaussianMixtureIC, "fit", unreachable)
    assert run("fit", "data.csv", *GRID, "--out", "out.csv", "--plot", "p.png") == 1
    said = capsys.readouterr()
    assert f"pip install {module.partition('.')[0]}" in said.err
    assert said.out == ""
    assert not (folder / "out.csv").exists()


def unreachable(*arguments, **named):
    raise AssertionError("this is too late")


# Options, and what the library calls them; the last of each makes a difference to these data.
OPTIONS = [
    ("--criterion aic", {"criterion": "aic"}),
    ("--start random --criterion icl", {"init_params": "random", "criterion": "icl"}),
    ("--prior conjugate", {"prior": "conjugate"}),
    ("--noise uniform", {"noise": "uniform"}),
    ("--start random", {"init_params": "random"}),
    ("--start random --seed 3", {"init_params": "random", "random_state": 3}),
    ("--components 2,4", {"n_components": [2, 4]}),
    ("--families VVI", {"covariance_type": ["VVI"]}),
    ("--start random --tol 0.01", {"init_params": "random", "tol": 0.01}),
    ("--start random --max-iter 2", {"init_params": "random", "max_iter": 2}),
    (
        "--criterion aic --start random --n-init 3",
        {"criterion": "aic", "init_params": "random", "n_init": 3},
    ),
    ("--reg-covar 0.5", {"reg_covar": 0.5}),
]


@pytest.fixture
def faithful(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = old_faithful()
    pd.DataFrame(data.rows, columns=data.feature_names).to_csv("faithful.csv", index=False)
    return data.rows


def chosen_by_library(rows, **changed):
    common = {"n_components": range(1, 5), "covariance_type": ["EEE", "VVV"], "random_state": 0}
    return GaussianMixtureIC(**(common | changed)).fit(rows).best_estimator_


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("option", "named"), OPTIONS)
def test_options_do_what_the_library_does(option, named, faithful):
    given = "--components 1:4 --families EEE,VVV"
    assert run("fit", "faithful.csv", *f"{given} {option} --model m.json".split()) == 0
    wanted, kept = chosen_by_library(faithful, **named), GaussianMixture.load("m.json")
    assert kept.covariance_type == wanted.covariance_type
    assert_array_equal(kept.means_, wanted.means_)
    without = chosen_by_library(faithful, **dict(list(named.items())[:-1]))
    assert not np.array_equal(kept.means_, without.means_)


def test_jobs_are_as_many_as_asked(faithful, monkeypatch):
    asked = []

    def parallel(n_jobs, **named):
        asked.append(n_jobs)
        return selection_parallel(n_jobs=n_jobs, **named)

    selection_parallel = estimator.Parallel
    monkeypatch.setattr(estimator, "Parallel", parallel)
    assert run("fit", "faithful.csv", *GRID, "--jobs", 3) == 0
    assert asked == [3]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_to_a_person(faithful, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert run("fit", "faithful.csv", *GRID) == 0
    shown = [text for text in sys.stderr.getvalue().split("\r") if text.strip()]
    counts = [int(text.partition("/6")[0].split()[-1]) for text in shown]
    assert set(counts) == set(range(7))
    assert all(before <= after for before, after in pairwise(counts))
    assert "3 VVI" in shown[-1]
    assert sys.stderr.getvalue().endswith("\r")  # the line is empty again


def test_a_constant_column_has_no_part_in_the_fit(folder, capsys):
    frame = pd.read_csv("data.csv")[NAMES]
    frame["w"] = np.arange(120) % 3
    frame.insert(1, "same", np.where(frame["w"] > 0, 0.1, 7.0))  # where a row counts
    frame.insert(3, "none", np.nan)
    frame.insert(4, "but for holes", np.where(np.arange(120) < 60, np.nan, 3.0))
    frame.to_parquet("more.parquet")
    words = (*GRID, "--weights", "w", "--out", "out.csv", "--model", "m.json")
    assert run("fit", "more.parquet", *words) == 0
    said = capsys.readouterr()
    assert said.err == "note: columns that do not vary are left out: same, none, but for holes\n"
    assert "could not be fitted" not in said.out
    assert run("fit", "data.csv", *GRID, "--weights", "w", "--model", "without.json") == 0
    kept = GaussianMixture.load("m.json")
    without = GaussianMixture.load("without.json")
    np.testing.assert_allclose(kept.means_, without.means_, rtol=1e-12)
    assert list(kept.feature_names_in_) == NAMES
    assert {"same", "none", "but for holes"} < set(pd.read_csv("out.csv").columns)
    assert run("predict", "m.json", "data.csv", "--out", "labels.csv") == 0
    assert_array_equal(pd.read_csv("labels.csv")["label"], pd.read_csv("out.csv")["label"])


def test_one_column_that_varies_has_its_own_families(folder, capsys):
    frame = pd.DataFrame({"a": X[:, 2], "b": 5})
    frame.to_csv("one.csv", index=False)
    assert run("fit", "one.csv", "--components", "1:2", "--model", "m.json") == 0
    assert GaussianMixture.load("m.json").covariance_type in ("E", "V")


def test_more_components_than_rows_that_differ(folder, capsys):
    assert (
        run("fit", "same.csv", "--components", "1:6", "--families", "EII", "--prior", "conjugate")
        == 0
    )
    said = capsys.readouterr()
    assert said.err == "note: only 3 rows differ, so no more than 3 components are tried\n"
    assert "3 of 3 candidates" in said.out


@pytest.mark.parametrize("n_columns", [1, 2, 3])
def test_the_picture_has_the_weights(n_columns, data, monkeypatch):
    drawn = []

    def remembered(display, ax):
        drawn.append(display)
        return plot(display, ax)

    plot = GaussianMixtureDisplay.plot
    monkeypatch.setattr(GaussianMixtureDisplay, "plot", remembered)
    frame = pd.DataFrame(X[:, :n_columns], columns=list("abc")[:n_columns])
    frame["w"] = weights = np.arange(120) % 3.0
    frame.to_csv(data / "weighted.csv", index=False)
    words = ("--components", 2, "--weights", "w", "--plot", data / "p.png")
    assert run("fit", data / "weighted.csv", *words) == 0
    assert_array_equal(drawn[0].row_weights, weights)
    assert list(drawn[0].feature_names) == list("abc")[:n_columns]


def test_as_a_process(data):
    words = [sys.executable, "-m", "emgmm", "fit", data / "data.csv", *GRID]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert "Chosen by BIC" in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("line", ["fit data.csv --components 1 --model m.json", "fit --help", ""])
def test_a_reader_that_has_gone(line, folder):
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "emgmm", *line.split()]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, env=buffered)
    os.close(writer)
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert (folder / "m.json").exists() == ("m.json" in line)  # what was asked for is there


def fitted_and_said(capsys, *words):
    """The model that a command saves, and what it prints."""
    assert run("fit", *words, "--model", "m.json") == 0
    return GaussianMixture.load("m.json"), capsys.readouterr()


@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_counts_the_rows_is_left_out(first, folder, capsys):
    frame = pd.read_csv("data.csv")[["length", "depth"]]
    frame.insert(0, "id", np.arange(first, first + 120))
    frame.insert(2, "back", np.arange(120)[::-1])
    frame.insert(3, "from two", np.arange(2, 122))
    frame.insert(4, "parts", np.arange(first, first + 120) + 0.5)
    frame.to_csv("numbered.csv", index=False)
    words = ("numbered.csv", "--components", 1, "--families", "VVI")
    kept, said = fitted_and_said(capsys, *words)
    assert list(kept.feature_names_in_) == ["length", "back", "from two", "parts", "depth"]
    assert "Left out as row identifiers: id\n" in said.out
    kept, said = fitted_and_said(capsys, *words, "--columns", "id,depth")
    assert list(kept.feature_names_in_) == ["id", "depth"]
    assert "identifiers" not in said.out
    kept, said = fitted_and_said(capsys, *words, "--exclude", "id,back,from two")
    assert list(kept.feature_names_in_) == ["length", "parts", "depth"]
    assert "identifiers" not in said.out


def test_an_identifier_without_a_name(folder, capsys):
    pd.read_csv("data.csv")[["length", "depth"]].to_csv("numbered.csv")  # with pandas' index
    words = ("numbered.csv", "--components", 1, "--families", "VVI")
    kept, said = fitted_and_said(capsys, *words)
    assert list(kept.feature_names_in_) == ["length", "depth"]
    assert "Left out as row identifiers: ''\n" in said.out


def test_the_value_that_is_no_number_is_named(folder, capsys):
    frame = pd.read_csv("data.csv")[["length", "depth"]]
    numbers = [f"{value:.3g}" for value in X[:, 2]]
    frame["asked"] = [*numbers[:76], "x?", "+.5e-3", "NA", *numbers[79:], "none"][:120]
    frame["mark"] = [value.replace(".", ",") for value in numbers]
    frame["long"] = "a very long text that would fill a line by itself, and more of it"
    frame["yes"] = True
    frame["missing"] = np.nan
    frame["day"] = ["", *["2020-01-05"] * 119]
    frame.to_csv("texts.csv", index=False)
    kept, said = fitted_and_said(capsys, "texts.csv", "--components", 1, "--families", "VVI")
    assert list(kept.feature_names_in_) == ["length", "depth"]
    left_out = " ".join(said.out.split()).partition("not numeric: ")[2].partition(" 1 value")[0]
    shown = numbers[0].replace(".", ",")
    assert left_out.split("), ") == [
        "asked ('x?' in row 77",
        f"mark ({shown!r} in row 1; see --decimal",
        "long ('a very long ...nd more of it' in row 1",
        "yes (True in row 1",
        "day (2020-01-05 in row 2)",
    ]
    assert said.err == "note: columns that do not vary are left out: missing\n"


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_text_in_parquet(kind, folder, capsys):
    import pyarrow as pa
    import pyarrow.parquet

    values = pa.array(["5.5", None, "x?", "3"])
    kinds = {"string": pa.string(), "large_string": pa.large_string()}
    text = values.dictionary_encode() if kind == "dictionary" else values.cast(kinds[kind])
    digits = pa.array(["1.5", "2.5", None, None])
    nothing = pa.array([None] * 4, pa.string())
    table = pa.table({"a": [4.0, 2, 8, 5], "text": text, "digits": digits, "nothing": nothing})
    pa.parquet.write_table(table, "texts.parquet")
    said = fitted_and_said(capsys, "texts.parquet", "--components", 1)[1]
    left_out = "text ('x?' in row 3), digits ('1.5' in row 1), nothing"
    assert f"Left out because they are not numeric: {left_out}\n" in said.out


def test_excluded_columns_are_kept_in_the_table(folder, capsys):
    words = ("data.csv", *GRID, "--exclude", "depth,kind,w", "--out", "out.csv")
    kept, said = fitted_and_said(capsys, *words)
    assert list(kept.feature_names_in_) == NAMES[:2]
    assert "kind" not in said.out
    written = pd.read_csv("out.csv")
    assert {"depth", "kind", "w"} < set(written)
    assert_array_equal(written["label"], kept.predict(written[NAMES[:2]]))


@pytest.mark.parametrize(
    ("separator", "decimal", "words"),
    [
        (";", ",", ["--sep", ";", "--decimal", ","]),
        (";", ".", ["--sep", ";"]),
        ("\t", ".", ["--sep", "tab"]),
        ("\t", ",", ["--sep", "\t", "--decimal", ","]),
        ("|", ".", ["--sep", "|"]),
    ],
)
def test_how_a_csv_file_is_read(separator, decimal, words, folder, capsys):
    frame = pd.DataFrame(X, columns=NAMES)
    frame.to_csv("other.csv", index=False, sep=separator, decimal=decimal)
    kept, said = fitted_and_said(capsys, "other.csv", *GRID, *words, "--out", "out.csv")
    assert "Left out" not in said.out
    wanted = fitted_and_said(capsys, "data.csv", *GRID, "--exclude", "w")[0]
    assert_array_equal(kept.means_, wanted.means_)
    assert run("predict", "m.json", "other.csv", *words, "--out", "labels.csv") == 0
    labels = wanted.predict(frame)
    assert_array_equal(pd.read_csv("labels.csv")["label"], labels)
    assert_array_equal(pd.read_csv("out.csv")["label"], labels)


def test_parquet_has_no_separators(folder, capsys):
    words = ("data.parquet", *GRID, "--columns", "depth,length")
    wanted = fitted_and_said(capsys, *words)[0]
    kept = fitted_and_said(capsys, *words, "--decimal", ",")[0]
    assert_array_equal(kept.means_, wanted.means_)
    assert run("predict", "m.json", "data.parquet", "--sep", ".", "--decimal", ".") == 0


def standardization(rows, weights):
    """What --scale does to columns, which is compared with means and deviations made by hand."""
    halves = [(rows[:50], weights[:50]), (rows[50:], weights[50:])]
    found = Standardization.of(InputRows(list("abc"), len(rows), lambda: [(rows, weights)]))
    in_pieces = Standardization.of(InputRows(list("abc"), len(rows), lambda: halves))
    for name in ("means", "sds", "weight", "logs"):
        assert_allclose(getattr(in_pieces, name), getattr(found, name), rtol=1e-12)
    for j, column in enumerate(rows.T):
        known = ~np.isnan(column) & (weights > 0)
        mean = np.average(column[known], weights=weights[known])
        variance = np.average((column[known] - mean) ** 2, weights=weights[known])
        assert_allclose(found.means[j], mean, rtol=1e-12)
        assert_allclose(found.sds[j], np.sqrt(variance), rtol=1e-12)
    observed = weights @ ~np.isnan(rows)
    return found.means, found.sds, observed @ np.log(found.sds)


SCALED = [*family_names(3), "spherical", "tied"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("family", SCALED)
def test_scale_fits_standardized_columns(family, weighted, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    units = np.array([1e-3, 1.0, 1e4])
    rows = np.array([5.0, 0.0, -3e5]) + units * X
    frame = pd.DataFrame(rows, columns=list("abc"))
    weights = np.arange(120) % 3.0 if weighted else np.ones(120)
    rows[weights == 0] *= 1.5  # which must not matter
    frame[list("abc")] = rows
    frame["w"] = weights
    frame.to_parquet("units.parquet")
    asked = ("--components", 2, "--families", family, "--scale", "--weights", "w")
    kept, said = fitted_and_said(capsys, "units.parquet", *asked, "--out", "out.parquet")
    means, sds, shift = standardization(rows, weights)
    standardized = (rows - means) / sds
    wanted = GaussianMixtureIC(2, covariance_type=family, random_state=0)
    wanted.fit(standardized, sample_weight=weights)
    best = wanted.best_estimator_
    names = frame[list("abc")]
    assert_allclose(kept.predict_proba(names), best.predict_proba(standardized), atol=1e-9)
    assert_array_equal(kept.predict(names), best.predict(standardized))
    written = pd.read_parquet("out.parquet")
    assert_allclose(written[["p_0", "p_1"]], best.predict_proba(standardized), atol=1e-9)
    assert_array_equal(written["label"], best.predict(standardized))
    assert_allclose(kept.means_, means + sds * best.means_, rtol=1e-9)
    dense = best._mixture().dense_covariances() * np.outer(sds, sds)
    assert_allclose(kept._mixture().dense_covariances(), dense, rtol=1e-9, atol=1e-12 * dense.max())
    closed = FAMILIES[family].closed_under_scaling
    assert kept.covariance_type == (family if closed else "full")
    assert (f"The family {family} holds for the standardized columns" in said.out) != closed
    # The bound that EM climbed is that of the rows in their own units.
    assert_allclose(kept.lower_bound_, kept.score(names, sample_weight=weights), rtol=1e-9)
    assert kept.lower_bounds_[-1] == kept.lower_bound_ == kept.history_["objective"][-1]
    for name in ("n_iter_", "converged_", "ending_"):
        assert getattr(kept, name) == getattr(best, name)
    assert_array_equal(kept.remaining_gain_, best.remaining_gain_)
    # So are the figures that are printed, with the number of parameters of the family.
    log_likelihood = kept.score(names, sample_weight=weights) * weights.sum()
    bic = -2 * log_likelihood + best.n_parameters() * np.log(weights.sum())
    assert_allclose(bic, wanted.bic(standardized, sample_weight=weights) + 2 * shift, rtol=1e-9)
    icl = wanted.icl(standardized, sample_weight=weights) + 2 * shift
    words = " ".join(said.out.split())
    assert f"Log-likelihood {log_likelihood:.4f} (" in words
    assert f"{best.n_parameters()} free parameters; BIC {bic:.4f}, ICL {icl:.4f}" in words
    listed = said.out.partition("ending")[2].split()
    assert listed[:5] == [
        "2",
        family,
        f"{bic:.2f}",
        f"{log_likelihood:.2f}",
        f"{best.n_parameters()}",
    ]
    assert "condition numbers for the standardized columns" in words
    assert_says(said.out, best.diagnose(standardized, sample_weight=weights))
    mean, sd = kept.means_[0, 2], np.sqrt(kept._mixture().dense_covariances()[0, 2, 2])
    assert f"{mean_and_sd(mean, sd)}" in said.out


def test_scale_with_one_column(faithful, capsys):
    words = ("faithful.csv", "--columns", "waiting", "--components", 2, "--families")
    for family in "EV":
        scaled = fitted_and_said(capsys, *words, family, "--scale")[0]
        plain = fitted_and_said(capsys, *words, family)[0]
        assert scaled.covariance_type == family
        assert_allclose(scaled.means_, plain.means_, rtol=1e-4)
        assert_allclose(scaled.covariances_, plain.covariances_, rtol=1e-3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scale_with_noise(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame([3.0, 0, -50] + [1e-3, 1, 1e3] * X, columns=list("abc"))
    frame.to_parquet("units.parquet")
    words = ("--components", 2, "--families", "EEV", "--start", "kmeans", "--noise", "uniform")
    kept, said = fitted_and_said(capsys, "units.parquet", *words, "--scale", "--plot", "p.png")
    rows = np.ascontiguousarray(frame)
    means, sds, shift = standardization(rows, np.ones(120))
    standardized = (rows - means) / sds
    wanted = GaussianMixtureIC(
        2, covariance_type="EEV", init_params="kmeans", noise="uniform", random_state=0
    ).fit(standardized)
    best = wanted.best_estimator_
    assert_allclose(kept.predict_proba(frame), best.predict_proba(standardized), atol=1e-9)
    assert kept.noise_weight_ == best.noise_weight_
    density, old = kept._noise_density, best._noise_density
    assert_allclose(density.constant, old.constant - np.log(sds).sum(), rtol=1e-12)
    drawn = kept.sample(300)[0]
    assert_allclose((drawn - means) / sds, best.sample(300)[0], rtol=1e-9, atol=1e-9)
    assert f"BIC {wanted.bic(standardized) + 2 * shift:.4f}" in said.out


@pytest.mark.extensive
def test_scale_makes_units_irrelevant(faithful, capsys):
    rows = pd.read_csv("faithful.csv")
    (rows * [60, 1 / 60]).to_csv("other.csv", index=False)
    words = ("--components", "1:3", "--families", "EII,VII,EVE", "--scale", "--out", "out.csv")
    labels = []
    for name in ("faithful.csv", "other.csv"):
        kept = fitted_and_said(capsys, name, *words)[0]
        labels.append(pd.read_csv("out.csv")["label"])
        assert kept.covariance_type == "full"
    assert_array_equal(labels[0], labels[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_which_families_are_closed_under_scaling(family):
    rule = FAMILIES[family]
    D = rule.most_features or 3
    factors = np.array([0.2, 1.0, 30.0])[:D]
    rows = [clusters(50, D, 1, seed=seed, spread=0.0) for seed in range(3)]
    mass = np.array([50.0, 50.0, 50.0])

    def estimated(scale):
        outer = [
            np.stack([rule.structure.outer(r[None])[0] for r in some * scale]) for some in rows
        ]
        scatter = rule.pool(np.stack([each.sum(axis=0) for each in outer]))
        covariances = rule.estimate(scatter, mass, D)
        return rule.dense(covariances, 3, D)

    converted = estimated(np.ones(D)) * np.outer(factors, factors)
    same = np.allclose(estimated(factors), converted, rtol=1e-4)
    assert same == rule.closed_under_scaling


@pytest.mark.extensive
def test_warnings_name_their_columns(faithful, capsys):
    said = fitted_and_said(capsys, "faithful.csv", *GRID, "--reg-covar", 0.5)[1].out
    words = " ".join(said.split())
    assert "RegularizationWarning: reg_covar is more than a hundredth" in words
    assert "(columns: eruptions)" in words


def test_candidates_that_failed_or_are_set_aside_are_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = clusters(60, 2, 2, seed=1)
    rows[:3] = rows[0]
    pd.DataFrame(rows, columns=["a", "b"]).to_csv("few.csv", index=False)
    families = ["VVV", "VVI", "EVV"]
    words = ("--components", "1:6", "--families", ",".join(families), "--start", "random")
    said = fitted_and_said(capsys, "few.csv", *words)[1].out
    chosen = GaussianMixtureIC(
        range(1, 7), covariance_type=families, init_params="random", random_state=0
    ).fit(rows)
    results = chosen.results_
    failed = results["failure"] != ""
    aside = ~failed & ~results["sound"]
    assert failed.any()
    assert aside.any()
    head = " ".join(said.partition("10 of 18 candidates, the best first")[2].split())
    counts = f"{aside.sum()} set aside because components collapsed or starved; {failed.sum()}"
    assert head.startswith(f"; {counts} could not be fitted K family")


@pytest.mark.parametrize("command", ["fit", "predict"])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        run(command, "--help")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"examples:\n  emgmm {command} " in said
    assert widest(said) <= 100


@pytest.mark.parametrize("words", [["fit", "d.csv", "--\x1b[31m"], ["\x1b[31m"], ["predict", "\a"]])
def test_arguments_that_are_no_options_are_printed_without_control_characters(words, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*words, "d\x9b.csv", "--extra")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "error: " in said
    assert all(character.isprintable() or character == "\n" for character in said)


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary(4), pa.large_string()], ids=str)
@pytest.mark.parametrize("encoded", [False, True])
def test_formulas_in_bytes_are_quoted(kind, encoded, folder):
    cells = pa.array(["=1+1", None] * 60, pa.string()).cast(pa.binary()).cast(kind)
    cells = cells.dictionary_encode() if encoded else cells
    pq.write_table(pa.table({"a": np.arange(120.0) ** 2, "text": cells}), "a.parquet")
    words = ("a.parquet", "--components", 1, "--families", "V", "--out", "out.csv")
    for option, expected in (((), "=1+1"), (("--safe-csv",), "'=1+1")):
        assert run("fit", *words, *option) == 0
        assert list(pd.read_csv("out.csv", keep_default_na=False)["text"]) == [expected, ""] * 60


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device without space")
def test_no_file_appears_if_another_cannot_be_written(folder, capsys):
    words = ("--components", 1, "--families", "VVI", "--out", "out.csv", "--model", "/dev/full")
    before = sorted(folder.iterdir())
    assert run("fit", "data.csv", *words) == 1
    assert "cannot write out.csv, /dev/full: no space left" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


ENDED = """
import os, signal, sys
from contextlib import contextmanager
from emgmm.__main__ import main
from emgmm.cli import csv_files, outputs

csv_files.IN_MEMORY, number = 0, int(sys.argv[1])
convert, replaced_together = csv_files.convert, outputs.replaced_together

def convert_and_end(path, form, target):
    convert(path, form, target)
    os.kill(os.getpid(), number)
    return target

@contextmanager
def write_and_end(targets):
    with replaced_together(targets) as files:
        os.kill(os.getpid(), number)
        yield files

if sys.argv[2] == "reads":
    csv_files.convert = convert_and_end
else:
    csv_files.IN_MEMORY, outputs.replaced_together = 2**20, write_and_end
signal.signal(number, signal.SIG_IGN if sys.argv[3] == "ignored" else signal.SIG_DFL)
sys.exit(main(["fit", "data.csv", "--components", "1", "--families", "VVI", "--model", "m.json"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a signal")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("when", ["reads", "writes"])
def test_a_command_that_is_ended_leaves_no_temporary_files(name, when, folder):
    number, temporary = getattr(signal, name), folder / "temporary"
    temporary.mkdir()
    before = sorted(folder.iterdir())
    variables = {**os.environ, "TMPDIR": str(temporary)}
    for how, status in (("default", 128 + number), ("ignored", 0)):
        words = [sys.executable, "-c", ENDED, str(int(number)), when, how]
        assert subprocess.run(words, env=variables, stdout=subprocess.PIPE).returncode == status
        assert list(temporary.iterdir()) == []
        assert [path for path in sorted(folder.iterdir()) if path.name != "m.json"] == before
    assert (folder / "m.json").exists()


def test_signals_are_those_of_the_main_thread(folder):
    """A command in another thread cannot handle them."""
    with ThreadPoolExecutor(1) as pool:
        words = ("fit", "data.csv", "--components", 1, "--families", "VVI", "--model", "m.json")
        assert pool.submit(run, *words).result() == 0
    handlers = [signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)]
    assert handlers == [signal.SIG_DFL, signal.default_int_handler]
