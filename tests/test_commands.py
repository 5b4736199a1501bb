"""The command line: what it writes is what the library says, and what will not do is said."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from conftest import clusters
from numpy.testing import assert_allclose, assert_array_equal

from emgmm import (
    GaussianMixture,
    GaussianMixtureDisplay,
    GaussianMixtureIC,
    files,
    selection,
)
from emgmm.__main__ import main
from emgmm.datasets import old_faithful

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
    assert "Left out, for they hold no numbers: kind, day" in said
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


def test_many_features_stay_legible(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = clusters(300, 30, 2)
    rows[:20] = rows[0] + 30
    frame = pd.DataFrame(rows, columns=[f"a long name of feature {j}" for j in range(30)])
    for j in range(20):
        frame.insert(0, f"constant {j}", 1.0)
    frame.to_csv("wide.csv", index=False)
    words = ("--components", 7, "--families", "diag", "--plot", "p.svg")
    assert run("fit", "wide.csv", *words) == 0
    said, notes = capsys.readouterr()
    assert "feature 29" in said
    assert "constant 19" in notes
    assert "CollapsedComponentWarning: The fit" in said  # long, and so is the list of columns
    assert widest(said) <= 100
    assert widest(notes) <= 100
    lines = said.partition("Chosen")[2].splitlines()
    heads = [line for line in lines if line.startswith("  component ")]
    assert [int(k) for head in heads for k in head.split()[1:]] == list(range(7))
    assert sum(line.startswith("  a long name of f") for line in lines) == 30 * len(heads)


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
    assert run("fit", "few.csv", "--components", 4, "--families", "VVV", "--start", "random") == 0
    said = capsys.readouterr().out
    chosen = GaussianMixtureIC(4, covariance_type="VVV", init_params="random", random_state=0)
    chosen.fit(rows)
    listed = said.partition("ending")[2].partition("Chosen")[0]
    assert f"({chosen.results_['warnings'][0]})" in " ".join(listed.split())
    assert len(chosen.results_["warnings"][0]) > 40
    assert widest(said) <= 100


FAULTS = [
    ("fit nowhere.csv", "there is no file nowhere.csv"),
    ("fit data.txt", "its name must end in .csv or .parquet"),
    ("fit empty.csv", "cannot be read as CSV"),
    ("fit header.csv", "has no rows"),
    ("fit semicolons.csv", "fields must be separated by commas"),
    ("fit words.csv", "no column holds numbers; there are a, b"),
    ("fit twice.csv", "more than one column 'a'"),
    ("fit broken.parquet", "cannot be read as PARQUET"),
    ("fit data.csv --columns depth,heigth", "there is no column 'heigth'; there are length"),
    ("fit data.csv --columns kind", "column 'kind' holds no numbers, but string"),
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
    ("fit data.csv --columns depth,length,depth", "column 'depth' is there twice"),
    ("fit few.csv --components 5", "5 components need as many rows that differ, but there are 2"),
    (
        "fit same.csv --components 4:6",
        "4 components need as many rows that differ, but there are 3",
    ),
    ("fit few.csv --components 2 --weights b", "weights must be finite and not negative"),
    ("fit bad.csv --components 1 --weights w", "column 'w' is -1 in row 2 of 3"),
    ("fit holes.csv --components 1 --weights w", "column 'w' is nan in row 3 of 3"),
    ("fit endless.csv --components 1 --weights w", "column 'w' is inf in row 1 of 3"),
    (
        "fit counts.csv --components 3 --weights w",
        "3 components need as many rows that differ, but there are 2",
    ),
    ("fit zero.csv --components 1 --weights w", "column 'w' is 0 in every row"),
    ("fit infinite.csv --components 1", "column 'b' is infinite in row 1 of 3"),
    ("fit constant.csv", "there is nothing to fit: a, b do not vary"),
    ("fit one.csv", "do not vary among the rows that count, of which there are 1"),
    (
        "fit data.csv --columns length,depth --families VVI,E",
        "E is for one column, but there are 2",
    ),
    ("predict ab.json infinite.csv", "column 'b' is infinite in row 1 of 3"),
    ("--plot nowhere/p.png", "there is no folder nowhere"),
    ("fit data.csv --out out.xlsx", "must end in .csv or .parquet"),
    ("fit data.csv --model .", "that is a folder"),
    ("fit labelled.csv --out out.csv", "the data have a column 'label' already"),
    ("predict nowhere.json data.csv", "there is no file nowhere.json"),
    ("predict data.txt data.csv", "is not a saved model"),
    ("predict model.json words.csv", "there is no column 'length'"),
]


@pytest.fixture
def folder(data, monkeypatch):
    monkeypatch.chdir(data)
    texts = {
        "data.txt": "text", "empty.csv": "", "header.csv": "a,b\n", "twice.csv": "a,a\n1,2\n",
        "semicolons.csv": "a;b\n1;2\n", "words.csv": "a,b\nx,y\n", "broken.parquet": "no",
        "labelled.csv": "a,label\n1,2\n2,3\n", "few.csv": "a,b\n1,-1\n2,3\n",
        "bad.csv": "a,w\n1,1\n2,-1\n3,1\n", "infinite.csv": "a,b\n1,inf\n2,3\n4,4\n",
        "holes.csv": "a,w\n1,1\n2,1\n3,\n", "zero.csv": "a,w\n1,0\n2,0\n",
        "endless.csv": "a,w\n1,inf\n2,1\n3,1\n", "counts.csv": "a,w\n1,2\n2,0\n3,1\n",
        "constant.csv": "a,b\n1,2\n1,2\n,2\n", "one.csv": "a,b\n1,2\n",
        "same.csv": "a,b\n" + "1,2\n0,3\n-0.0,3\n5,1\n" * 5, "line.csv": "a,b\n1,2\n2,4\n3,6\n",
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
    assert f"argument --seed: '{seed}' is no whole number from 0 to 4294967295" in said


@pytest.mark.parametrize(
    "line", ["--components 0:2", "--components x", "--families round", "--start x"]
)
def test_bad_usage(line, folder):
    with pytest.raises(SystemExit) as ended:
        run("fit", "data.csv", *line.split())
    assert ended.value.code == 2


def test_nothing_half_written(folder, capsys, monkeypatch):
    def full(*arguments):
        raise OSError("no space left on device")

    (folder / "out.csv").write_text("before")
    monkeypatch.setattr(files.os, "fsync", full)
    assert run("fit", "data.csv", *GRID, "--out", "out.csv") == 1
    assert "cannot write out.csv: no space left" in capsys.readouterr().err
    assert (folder / "out.csv").read_text() == "before"
    assert not list(folder.glob(".*partial"))


@pytest.mark.parametrize(
    ("module", "extra"), [("pyarrow", "cli"), ("tqdm", "cli"), ("matplotlib.figure", "plot")]
)
def test_missing_packages_are_named(module, extra, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(GaussianMixtureIC, "fit", unreachable)
    assert run("fit", "data.csv", *GRID, "--out", "out.csv", "--plot", "p.png") == 1
    said = capsys.readouterr()
    assert f"pip install 'emgmm[{extra}]'" in said.err
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
    ("--components 3,4", {"n_components": [3, 4]}),
    ("--families VVI", {"covariance_type": ["VVI"]}),
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

    selection_parallel = selection.Parallel
    monkeypatch.setattr(selection, "Parallel", parallel)
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

    def remembered(*arguments, **named):
        drawn.append(draw(*arguments, **named))
        return drawn[-1]

    draw = GaussianMixtureDisplay.from_estimator
    monkeypatch.setattr(GaussianMixtureDisplay, "from_estimator", remembered)
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
