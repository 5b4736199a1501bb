"""The structure of the package: its layers, private names, and what is imported lazily."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from lines import counted, is_on_tour
from mutants import TESTS
from sklearn.base import BaseEstimator

import emgmm
from emgmm.covariances import FAMILIES

PACKAGE = Path(emgmm.__file__).parent

# Layers of the package, lowest first. A module imports from lower layers, or from its own entry.
LAYERS = [
    {"typing", "private_api"},
    {
        "tolerances",
        "exceptions",
        "threads",
        "version",
        "datasets",
        "parameters",
        "drawing",
    },
    {"devices"},
    {"covariances"},
    {"noise"},
    {"mixture", "statistics", "summary"},
    {"prior", "degeneracy", "constraints"},
    {"sources"},
    {"validation", "targets", "ridge"},
    {"estep", "mstep"},
    {"em", "prediction"},
    {"acceleration"},
    {"initialization"},
    {"fitting"},
    {"attributes", "classes"},
    {"storage", "diagnostics", "distributions", "callbacks"},
    {"base"},
    {"interchange", "incremental", "compatibility", "distributional", "merging", "projection"},
    {"estimator"},
    {"wrapping"},
    {"detector", "regressor"},
    {"patch"},
    {"selection"},
    {"classifier", "many"},
    {"testing", "onnx"},
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

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    """The dotted name of a module within the package; that of a package for its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


def entry(name):
    """The top-level entry to which a module belongs."""
    return name.partition(".")[0]


@cache
def nodes(path):
    """All nodes of a module's syntax tree."""
    return tuple(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path):
    """(module, line) of every import from the package, also inside functions and for types."""
    return tuple(_imports(path))


def _imports(path):
    for node in nodes(path):
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


def test_imports_point_to_lower_layers():
    wrong = [
        f"{path}:{line}: {own} must not import {other}"
        for path in MODULES
        if (own := entry(name_of(path)))  # the package itself exports the public names
        for name, line in imports(path)
        if (other := entry(name)) != own
        and (LAYER[other] >= LAYER[own] or (own, other) in FORBIDDEN)
    ]
    assert not wrong


def test_no_modules_import_each_other():
    graph = {
        name: {other for other, _ in imports(path)} - {name, entry(name)}
        for name, path in NAMES.items()
        if name
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def private_of_others(path):
    """(owner, attribute, line) of each private attribute that a module reads and does not define."""
    defined = {
        node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else node.attr
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    }
    defined |= {
        node.target.id
        for node in nodes(path)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner not in {"self", "cls", "super"} and node.attr not in defined:
                yield owner, node.attr, node.lineno


def test_no_module_reads_a_private_attribute_of_another():
    wrong = [
        f"{path}:{line}: {owner}.{name} belongs to another"
        for path in MODULES
        for owner, name, line in private_of_others(path)
        if (owner, name) not in PRIVATE_OF_OTHERS
    ]
    assert not wrong


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


def test_one_module_uses_scikit_learns_private_interface():
    wrong = [
        f"{path}:{node.lineno}: {name}"
        for path in MODULES
        if name_of(path) != "private_api"
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn")
        for name in [*node.module.split("."), *(alias.name for alias in node.names)]
        if name.startswith("_") and name != "_fit_context"
    ]
    assert not wrong


def test_estimators_have_two_levels():
    for estimator in (emgmm.GaussianMixture, emgmm.GaussianMixtureIC):
        ours = [
            each
            for each in estimator.__mro__
            if each.__module__.startswith("emgmm.") and issubclass(each, BaseEstimator)
        ]
        assert len(ours) == 2


OUTSIDE_COVARIANCES = [path for path in MODULES if entry(name_of(path)) != "covariances"]


def compared(node):
    """The operands of a comparison or of a match."""
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Match):
        return [case.pattern.value for case in node.cases if hasattr(case.pattern, "value")]
    return []


def test_only_families_compare_a_familys_name():
    wrong = [
        f"{path}:{node.lineno}: {operand.value!r}"
        for path in OUTSIDE_COVARIANCES
        for node in nodes(path)
        for operand in compared(node)
        if isinstance(operand, ast.Constant) and operand.value in FAMILIES
    ]
    assert not wrong


def test_only_covariances_name_a_structure():
    wrong = [
        f"{path}:{line}: {name}"
        for path in OUTSIDE_COVARIANCES
        for name, line in imports(path)
        if name in {"covariances.dense", "covariances.diagonal"}
    ]
    wrong += [
        f"{path}:{node.lineno}: {node.id}"
        for path in OUTSIDE_COVARIANCES
        for node in nodes(path)
        if isinstance(node, ast.Name) and node.id in {"DENSE", "DIAGONAL", "ISOTROPIC"}
    ]
    assert not wrong


def test_tests_do_not_import_tests():
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith("test_") for name in names), path.name


sizes = cache(counted)


def test_modules_are_small():
    assert not {name: lines for name, lines in sizes().items() if lines > 350}


def test_what_one_reads_to_understand_em_is_short():
    assert sum(lines for name, lines in sizes().items() if is_on_tour(name)) <= 2400


def test_optional_packages_are_imported_only_where_used():
    code = (
        "import sys, sklearn.mixture; before = set(sys.modules);"
        "import emgmm, emgmm.datasets, emgmm.drawing, emgmm.__main__;"
        "print({m.partition('.')[0] for m in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optional = {
        "matplotlib",
        "pandas",
        "polars",
        "numba",
        "dask",
        "pyarrow",
        "skl2onnx",
        "narwhals",
        "array_api_compat",
    }
    assert "emgmm" in run.stdout
    assert not any(f"'{name}'" in run.stdout for name in optional)


def test_public_names_exist_and_no_others_do():
    assert len(set(emgmm.__all__)) == len(emgmm.__all__)
    public = {name for name in vars(emgmm) if not name.startswith("_")}
    modules = {entry(name) for name in NAMES}
    assert (public - modules) | {"__version__", "datasets", "testing"} == set(emgmm.__all__)
    assert set(dir(emgmm)) == set(emgmm.__all__)


def test_all_public_names_exist_without_further_imports():
    code = "import emgmm; print([n for n in dir(emgmm) if not hasattr(emgmm, n)])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_table_of_tests_names_modules_and_tests_that_exist():
    for module, tests in TESTS.items():
        assert (PACKAGE / module).is_dir() or (PACKAGE / f"{module}.py").is_file(), module
        for name in tests.split():
            assert Path(__file__).with_name(f"test_{name}.py").is_file(), name
