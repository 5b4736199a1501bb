"""The pages: the files that examples write, the list of modules, and the schema of models."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import emgmm
from emgmm import attributes
from emgmm.acceleration import SCHEMES
from emgmm.covariances import FAMILIES
from emgmm.initialization import STARTS
from emgmm.storage.restored import HISTORY
from emgmm.storage.restored import STARTS as TABLE_OF_STARTS

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


def test_the_schema_lists_what_a_saved_model_consists_of():
    schema = json.loads((DOCS / "model-schema.json").read_text())
    parts, definitions = schema["properties"], schema["$defs"]
    params, fitted = parts["params"]["properties"], parts["fitted"]["properties"]
    assert {*params} == {*parts["params"]["required"]} == {*emgmm.GaussianMixture().get_params()}
    assert {*parts["fitted"]["required"]} == {*attributes.FITTED}
    assert {*fitted} == {*attributes.TYPES} - {"_waiting"}
    assert {*definitions["family"]["enum"]} == {*FAMILIES}
    assert {*definitions["ending"]["enum"]} == {*emgmm.Ending.__members__}
    assert {*params["acceleration"]["enum"]} == {*SCHEMES}
    assert {*params["init_params"]["anyOf"][0]["enum"]} == {*STARTS}
    for name, columns in (("history_", HISTORY), ("_starts", TABLE_OF_STARTS)):
        assert {*fitted[name]["properties"]["items"]["required"]} == {*columns}
