"""The command line: what it writes is what the library says, and what will not do is said."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import clusters
from numpy.testing import assert_allclose, assert_array_equal

from emgmm import GaussianMixture, GaussianMixtureIC, files
from emgmm.__main__ import main

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
    lines = said.replace(str(data), "").splitlines()
    assert all(len(line) <= 100 for line in lines if not line.startswith("Verdict"))
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


def test_many_features_stay_legible(tmp_path, capsys):
    frame = pd.DataFrame(
        clusters(300, 12, 2), columns=[f"a long name of feature {j}" for j in range(12)]
    )
    frame.to_csv(tmp_path / "wide.csv", index=False)
    words = ("--components", 7, "--families", "diag", "--plot", tmp_path / "p.svg")
    assert run("fit", tmp_path / "wide.csv", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        max(len(line) for line in lines[2:] if "Warning" not in line and "written" not in line)
        <= 240
    )
    assert sum(line.startswith("  a long name of f") for line in lines) == 24  # five at once, twice


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
        "labelled.csv": "a,label\n1,2\n2,3\n", "few.csv": "a,b\n1,2\n2,3\n",
        "bad.csv": "a,w\n1,1\n2,-1\n3,1\n", "infinite.csv": "a,b\n1,inf\n2,3\n4,4\n",
    }  # fmt: skip
    for name, text in texts.items():
        (data / name).write_text(text)
    model = GaussianMixture(1).fit(pd.DataFrame(X, columns=NAMES))
    model.save("model.json")
    return data


@pytest.mark.parametrize(("line", "sentence"), FAULTS)
def test_what_will_not_do(line, sentence, folder, capsys):
    before = sorted(folder.iterdir())
    assert run(*line.split()) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("fit few.csv --components 5 --families full", "n_samples >= n_components"),
        ("fit bad.csv --components 1 --weights w", "weights must be finite and not negative"),
        ("fit infinite.csv --components 1", "contains infinity"),
    ],
)
def test_a_fit_that_fails(line, sentence, folder, capsys):
    assert run(*line.split(), "--model", "m.json") == 1
    assert sentence in capsys.readouterr().err
    assert not (folder / "m.json").exists()


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


@pytest.mark.parametrize(("module", "extra"), [("pyarrow", "cli"), ("tqdm", "cli")])
def test_missing_packages_are_named(module, extra, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    assert run("fit", "data.csv", *GRID) == 1
    assert f"pip install 'emgmm[{extra}]'" in capsys.readouterr().err


def test_as_a_process(data):
    words = [sys.executable, "-m", "emgmm", "fit", data / "data.csv", *GRID]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert "Chosen by BIC" in ended.stdout
