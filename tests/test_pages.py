"""The pages: the files that examples write, and the list of modules."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import emgmm

DOCS = Path(__file__).parents[1] / "docs"
SETTINGS = DOCS / "conf.py"


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


def test_the_architecture_page_lists_every_module_once():
    table = runpy.run_path(str(SETTINGS))["module_table"]
    entries = re.findall(
        r"^\.\. modules:: (\w+)$", (DOCS / "reference/architecture.rst").read_text(), re.M
    )
    listed = re.findall(r"\* - ``(.+?)``", "\n".join(map(table, entries)))
    package = Path(emgmm.__file__).parent
    modules = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    modules = [module.removesuffix("__init__.py") for module in modules]
    assert sorted(listed) == sorted(filter(None, modules))


def test_the_citation_has_the_version_of_the_package():
    text = (DOCS.parent / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", text, re.M)[1] == emgmm.__version__


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_between_files_lead_to_files(name):
    text = (DOCS.parent / name).read_text()
    links = re.findall(r"\]\(([^)\s#:]+)\)", text)
    assert links
    assert not [link for link in links if not (DOCS.parent / link).exists()]


@pytest.mark.parametrize("path", [*DOCS.glob("*/*.rst")], ids=lambda path: path.name)
@pytest.mark.all_cases
def test_fractions_in_formulas_have_braces(path):
    # The converter to MathML reads 12 in \frac12 as the numerator, unlike TeX.
    assert not re.search(r"frac\s*\d\d", path.read_text())
