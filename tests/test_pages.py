"""The pages: their examples leave nothing behind."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

SETTINGS = Path(__file__).parents[1] / "docs" / "conf.py"


def test_examples_run_in_a_folder_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings, names = runpy.run_path(str(SETTINGS)), {}
    with np.printoptions():
        exec(settings["doctest_global_setup"], names)
    Path("written").write_text("by an example")
    elsewhere = Path.cwd()
    exec(settings["doctest_global_cleanup"], names)
    assert Path.cwd() == tmp_path
    assert not elsewhere.exists()
    assert not list(tmp_path.iterdir())
