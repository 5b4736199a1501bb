"""The house: who may import whom, who may name a family, and what is imported lazily."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import emgmm
from emgmm.covariances import FAMILIES

PACKAGE = Path(emgmm.__file__).parent

# Floors of the house, lowest first. A module imports from floors below its own, or from its own
# package; nothing else.
FLOORS = [
    {
        "typing",
        "precision",
        "version",
        "threads",
        "verbosity",
        "notices",
        "files",
        "archive",
        "randomness",
        "constraints",
        "plots",
    },
    {"families", "clustering"},
    {"noise"},
    {"mixture", "statistics", "summary", "block"},
    {"prior"},
    {"sources"},
    {"expectation", "maximization"},
    {"em", "prediction", "discrete"},
    {"schemes", "streaming"},
    {"loop"},
    {"escape", "journal"},
    {"diagnosis"},
    {"starts"},
    {"fitting"},
    {"problem"},
    {"door", "failures", "conversion", "persistence", "overflow"},
    {"parameters"},
    {"restored"},
    {"records"},
    {"checkpoint", "fit"},
    {"methods"},
    {"criteria"},
    {"portable"},
    {"climbing"},
    {"incremental"},
    {"estimator"},
    {"candidates"},
    {"selection"},
    {"displays"},
    {"datasets"},
    {"commands"},
    {"__main__"},
]
ROOM_OF_PUBLIC_NAMES = "__init__"


def room(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path):
    """(room, line) of every import from the package, whether at the top or inside a function."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in set(ast.walk(tree)) - for_types:
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("emgmm"):
            inner = node.module.split(".")[1:]
            names = [inner[0]] if inner else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name.split(".")[1] for a in node.names if a.name.startswith("emgmm.")]
        yield from ((name, node.lineno) for name in names)


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_its_floor():
    rooms = {room(path) for path in MODULES} - {ROOM_OF_PUBLIC_NAMES}
    assert rooms == set().union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = room(path)
    if own == ROOM_OF_PUBLIC_NAMES:
        return
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    for name, line in imports(path):
        below = floor[name] < floor[own] or name == own
        top = own in FLOORS[-1] and name in FLOORS[-1]
        assert below or top, f"{path.name}:{line}: {own} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_families_compare_a_familys_name(path):
    if room(path) == "families":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        operands = []
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            operands = [case.pattern.value for case in node.cases if hasattr(case.pattern, "value")]
        compared = {o.value for o in operands if isinstance(o, ast.Constant)}
        assert not compared & set(FAMILIES), f"{path.name}:{node.lineno} compares a family's name"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_small(path):
    assert len(path.read_text().splitlines()) <= 450


def test_optional_packages_are_imported_only_where_used():
    code = (
        "import sys, sklearn.mixture; before = set(sys.modules);"
        "import emgmm, emgmm.datasets, emgmm.drawing, emgmm.__main__;"
        "print({m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optional = {"matplotlib", "pandas", "polars", "numba", "dask", "pyarrow"}
    assert "emgmm" in run.stdout
    assert not any(f"'{name}'" in run.stdout for name in optional)


def test_public_names_exist_and_no_others_do():
    assert len(set(emgmm.__all__)) == len(emgmm.__all__)
    public = {name for name in vars(emgmm) if not name.startswith("_")}
    modules = {room(path) for path in MODULES}
    assert public - modules == set(emgmm.__all__) - {"__version__"}
