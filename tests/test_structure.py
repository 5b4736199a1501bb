"""The structure of the package: its layers, private names, and what is imported lazily."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from lines import code_lines, counted, is_on_tour
from mutants import TESTS
from sklearn.base import BaseEstimator

import emgmm
from emgmm.covariances import FAMILIES

PACKAGE = Path(emgmm.__file__).parent

# Layers of the package, lowest first. A module imports from lower layers, or from its own entry.
LAYERS = [
    {"typing"},
    {
        "tolerances",
        "exceptions",
        "threads",
        "version",
        "datasets",
        "parameters",
        "drawing",
    },
    {"covariances"},
    {"noise"},
    {"mixture", "statistics", "summary"},
    {"prior", "degeneracy", "constraints"},
    {"sources"},
    {"validation"},
    {"estep", "mstep"},
    {"em", "prediction"},
    {"acceleration"},
    {"initialization"},
    {"fitting"},
    {"attributes"},
    {"storage", "diagnostics", "distributions", "callbacks", "classes"},
    {"base"},
    {"interchange", "incremental", "compatibility", "distributional", "merging", "projection"},
    {"estimator"},
    {"wrapping"},
    {"detector", "regressor"},
    {"patch"},
    {"selection"},
    {"classifier", "many"},
    {"testing"},
    {"plotting"},
    {"cli"},
    {"__main__"},
]
LAYER = {entry: number for number, layer in enumerate(LAYERS) for entry in layer}

# What the layers alone would allow.
FORBIDDEN = [
    ("sources", "mixture"),
    ("sources", "statistics"),
    ("mstep", "sources"),
    ("mstep", "estep"),
    ("estep", "mstep"),
    ("covariances", "threads"),
    ("acceleration", "validation"),
    ("initialization", "validation"),
    ("storage", "diagnostics"),
]

# A rule that holds for most modules only is no rule.
pytestmark = pytest.mark.all_cases

MODULES = sorted(PACKAGE.rglob("*.py"))
EACH = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))


def name_of(path):
    """The dotted name of a module within the package; that of a package for its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


def entry(name):
    """The top-level entry to which a module belongs."""
    return name.partition(".")[0]


def imports(path):
    """(module, line) of every import from the package, also inside functions and for types."""
    for node in ast.walk(ast.parse(path.read_text())):
        found = []
        if isinstance(node, ast.ImportFrom) and re.match(r"emgmm\b", node.module or ""):
            base = node.module[len("emgmm.") :]
            for alias in node.names:
                full = f"{base}.{alias.name}".strip(".")
                found.append(full if full in NAMES else base)
        elif isinstance(node, ast.Import):
            found = [a.name[len("emgmm.") :] for a in node.names if a.name.startswith("emgmm.")]
        yield from ((name, node.lineno) for name in found)


def test_every_entry_has_its_layer():
    assert {entry(name) for name in NAMES} - {""} == set(LAYER)


@EACH
def test_imports_point_to_lower_layers(path):
    own = entry(name_of(path))
    if not own:  # the package itself, which exports the public names
        return
    for name, line in imports(path):
        other = entry(name)
        allowed = other == own or (LAYER[other] < LAYER[own] and (own, other) not in FORBIDDEN)
        assert allowed, f"{path.name}:{line}: {own} must not import {other}"


def test_no_modules_import_each_other():
    graph = {
        name: {other for other, _ in imports(path)} - {name, entry(name)}
        for name, path in NAMES.items()
        if name
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError


@EACH
def test_no_module_reads_a_private_attribute_of_another(path):
    tree = ast.parse(path.read_text())
    own = {"self", "cls", "super"}
    defined = {
        node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    }
    defined |= {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            known = owner in own or node.attr in defined or (owner, node.attr) in PRIVATE_OF_OTHERS
            assert known, f"{path.name}:{node.lineno}: {owner}.{node.attr} belongs to another"


# Private names of the standard library and of namedtuples that have no public counterpart.
PRIVATE_OF_OTHERS = {
    ("sys", "_getframe"),
    ("os", "_exit"),
    ("Outcome", "_fields"),
    ("value", "_asdict"),
    ("first", "_replace"),
    ("last", "_replace"),
    ("collection", "_meta"),
    ("kind", "_parameter_constraints"),
}


@EACH
def test_one_module_uses_scikit_learns_private_interface(path):
    if name_of(path) == "parameters":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            private = {name for name in names if name.startswith("_")} - {"_fit_context"}
            assert not private, f"{path.name}:{node.lineno}: {private}"


def test_estimators_have_two_levels():
    for estimator in (emgmm.GaussianMixture, emgmm.GaussianMixtureIC):
        ours = [
            each
            for each in estimator.__mro__
            if each.__module__.startswith("emgmm.") and issubclass(each, BaseEstimator)
        ]
        assert len(ours) == 2


@EACH
def test_only_families_compare_a_familys_name(path):
    if entry(name_of(path)) == "covariances":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        operands = []
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            operands = [case.pattern.value for case in node.cases if hasattr(case.pattern, "value")]
        compared = {o.value for o in operands if isinstance(o, ast.Constant)}
        assert not compared & set(FAMILIES), f"{path.name}:{node.lineno} compares a family's name"


@EACH
def test_only_covariances_name_a_structure(path):
    if entry(name_of(path)) == "covariances":
        return
    for name, line in imports(path):
        assert name != "covariances.dense", f"{path.name}:{line}"
        assert name != "covariances.diagonal", f"{path.name}:{line}"
    names = {
        node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)
    }
    assert not names & {"DENSE", "DIAGONAL", "ISOTROPIC"}


def test_tests_do_not_import_tests():
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith("test_") for name in names), path.name


@EACH
def test_modules_are_small(path):
    assert code_lines(path.read_text()) <= 350


def test_what_one_reads_to_understand_em_is_short():
    assert sum(lines for name, lines in counted().items() if is_on_tour(name)) <= 2400


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
    modules = {entry(name) for name in NAMES}
    assert public - modules == set(emgmm.__all__) - {"__version__"}
    assert set(dir(emgmm)) == {*emgmm.__all__, "datasets", "testing"}


def test_the_table_of_tests_names_modules_and_tests_that_exist():
    for module, tests in TESTS.items():
        assert (PACKAGE / module).is_dir() or (PACKAGE / f"{module}.py").is_file(), module
        for name in tests.split():
            assert Path(__file__).with_name(f"test_{name}.py").is_file(), name
