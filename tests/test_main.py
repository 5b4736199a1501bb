"""The main job."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from emgmm import __version__, datasets
from emgmm.__main__ import main


def test_it_fits_old_faithful_and_says_what_it_found(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    # R's mclust on the same data, VVV with two components: -1130.264.
    assert "Log-likelihood -1130.26" in out
    words = ("weight", "Means", "standard deviations", "eruptions", "waiting", "BIC", "EM ended")
    for word in (*words, "CONVERGED", "2.036 (0.263)", "54.48 (5.80)"):
        assert word in out


def test_the_question_beside_a_sound_start(capsys):
    assert main(["question"]) == 0
    out = capsys.readouterr().out
    stuck, sound = out.split("From k-means")
    plain, parted = stuck.split("break_symmetry, the default")
    assert plain.count("2.51 (2.66)") == 2
    assert "-3.525488 per row" in parted
    found = "CoincidentComponentsWarning: EM came to rest with identical components"
    assert out.count(found) == 2
    assert " ".join(out.split()).count("(components 0 and 1)") == 2
    assert "-4.116619 per row" in stuck
    assert "FIXED_POINT" in stuck
    assert "-3.525488 per row" in sound


def test_help_names_the_other_commands(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for command in ("fit", "predict"):
        assert sum(line.startswith(f"  emgmm {command} ") for line in lines) == 1


@pytest.mark.parametrize("data", ["faithful", "question"])
def test_it_draws_a_picture(data, tmp_path, capsys):
    import matplotlib.image

    path = tmp_path / "picture.png"
    assert main([data, "--plot", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[0] > 300
    assert pixels.std() > 0.05


def test_a_picture_that_cannot_be_written_is_said_in_one_line(tmp_path, capsys):
    assert main(["--plot", str(tmp_path / "nowhere" / "picture.png")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_matplotlib_is_said_in_one_line_and_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["--plot", str(tmp_path / "picture.png")]) == 1
    said = capsys.readouterr()
    assert "pip install matplotlib" in said.err
    assert said.out == ""


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == f"emgmm {__version__}"


def test_old_faithful_is_complete():
    data = datasets.old_faithful()
    assert data.rows.shape == (272, 2)
    assert data.feature_names == ("eruptions", "waiting")
    np.testing.assert_allclose(data.rows.mean(axis=0), [3.4877831, 70.8970588])
