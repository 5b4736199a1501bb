"""Mutation testing: break one line of the package at random and see whether a test fails.

Run from the checkout's root, by hand and not in continuous integration::

    python -m tests.mutants --seed 1 --count 150      # print the mutants that no test noticed
    python -m tests.mutants --only ID [ID ...] --parameters 1000 --seconds 3000

Each mutant meets the test files of `TESTS` for its module, in a copy of the checkout, until one
test fails. A test that runs very long fails. A mutant that changes no output (a bound that decides
on speed only, for example) is equivalent to the original: a person judges that of those printed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

ROOT = Path(__file__).parent.parent
# What a copy of the checkout does without.
LEFT_OUT = shutil.ignore_patterns(".*", "results", "environments", "_build", "generated")
# Imported once; the package itself is imported anew for each mutant.
LIBRARIES = ["hypothesis", "pytest", "scipy.stats", "scipy.spatial", "sklearn.mixture"]
LIBRARIES += ["sklearn.cluster", "sklearn.datasets", "sklearn.model_selection"]
COMPILED = ("kernel.py", "simd.py", "tiles.py", "softmax.py")
LONGEST = 60  # seconds of computing after which a test hangs
# Tests of the source's text would notice every mutant.
TEXTUAL = ["tests/test_compiled.py::test_the_kernels_file_changes_with_those_that_it_is_made_of"]

# The tests of each module, or of all in a folder, the likeliest to notice first.
TESTS = {
    "diagnostics/certificate": "certificates",
    "merging": "merging",
    "callbacks": "callbacks",
    "projection": "projection",
    "regressor": "regressor",
    "distributions/response": "regressor",
    "distributions/levels": "detector",
    "detector": "detector",
    "wrapping": "regressor",
    "ridge": "detector",
    "degeneracy": "conditions sound_fits",
    "diagnostics/lookahead": "lookahead",
    "diagnostics/summary": "summary",
    "fitting/messages": "sound_fits words conditions missing limits",
    "estep/compiled/estep": "compiled",
    "estep/stacked": "many",
    "fitting/stacked": "many",
    "many": "many",
    "estep/missing": "missing",
    "estep/compiled/kernel": "compiled",
    "estep/compiled/simd": "compiled",
    "estep/blas": "products",
    "estep/compiled/tiles": "compiled",
    "covariances/conditional": "missing",
    "sources/blocks": "large",
    "sources/dask/chunk": "cluster",
    "sources/dask/source": "cluster",
    "sources/conversion": "rows",
    "sources/digest": "checkpoints",
    "sources/finite": "rows limits",
    "sources/dask/graph": "cluster",
    "sources/parquet": "large",
    "sources/sliced": "large",
    "sources/streamed": "large",
    "sources/tables": "rows large",
    "sources/frames": "frames",
    "onnx": "onnx",
    "sources/weights": "weights rows limits",
    "initialization/hierarchical": "hierarchical",
    "initialization/denoising": "cleaning noise",
    "initialization/whitening": "starts",
    "initialization/given": "starts objects",
    "patch": "patch",
    "testing": "testing",
    "storage/archive": "checkpoints tampering models",
    "sources/block": "statistics weights",
    "selection/candidates": "selection",
    "storage/checkpoint": "checkpoints tampering files",
    "cli": "commands command_tables main",
    "storage/conversion": "conversion",
    "datasets": "question commands",
    "compatibility": "compatibility idioms",
    "diagnostics": "diagnosis certificates conditions summary lookahead",
    "plotting": "displays",
    "parameters": "door checks randomness defects users",
    "validation": "door rows checks defects users",
    "em": "expectation prior noise checks",
    "fitting/split": "escape",
    "estimator": "checks models users attributes",
    "estep": "expectation compiled missing products statistics",
    "covariances": "families testing singular limits equivariance mclust prior combinations",
    "storage/files": "files checkpoints commands",
    "fitting/first_pass": "singular prior noise limits",
    "fitting/fit": "conditions checkpoints escape",
    "fitting/multistart": "defects escape starts noise checkpoints loop",
    "incremental": "streams",
    "fitting/recorder": "checkpoints tampering",
    "acceleration/natural": "natural",
    "acceleration/plain": "natural loop acceleration",
    "fitting/loop": "loop parity acceleration natural",
    "mstep": "families prior expectation combinations",
    "base": "models attributes noise missing checks",
    "mixture": "families noise models limits",
    "noise": "noise combinations",
    "exceptions": "sound_fits conditions diagnosis words singular missing",
    "attributes": "attributes models",
    "storage/models": "models tampering conversion noise",
    "drawing": "displays",
    "interchange": "models tampering conversion streams",
    "tolerances": "expectation families",
    "prediction": "models missing noise large component_densities",
    "prior": "prior combinations",
    "constraints": "constraints",
    "fitting/problem": "conditions selection",
    "storage/records": "checkpoints tampering",
    "storage/restored": "tampering checkpoints",
    "acceleration": "acceleration testing",
    "selection/estimator": "selection",
    "sources": "statistics together large cluster weights missing",
    "initialization": "starts hierarchical weights noise missing",
    "statistics": "statistics families escape",
    "fitting/stepwise": "streams",
    "summary": "statistics summary missing prior combinations",
    "threads": "threads",
    "distributions": "distributions",
    "distributional": "distributions",
    "fitting/progress": "checks models",
}
# Of all modules.
EVERYBODYS = "combinations defects noise missing weights prior conditions together parity"

# Constants that decide on speed and memory alone.
PERFORMANCE = {
    *("BATCH_ENTRIES", "BLOCK_ROWS", "BRANCHES", "BY_ENTRY", "BY_ROW", "CACHE_LINE"),
    *(
        "COMPILED_FROM",
        "ENTRIES",
        "FEW",
        "FEW_FEATURES",
        "GROUP",
        "HALVED",
        "LINE",
        "LOG_JOINT_ENTRIES",
    ),
    *("MOST_ROWS", "PAIR", "PIECES", "REGISTER", "SHARE", "SLAB", "SLABBED", "SMALL"),
    *("STRIP", "SUMMARY_ENTRIES", "TILE", "TOGETHER", "VECTOR", "VECTORS", "WIDE", "WORTHWHILE"),
    *("WIDTH", "MADE_OF"),
}
# Functions that write text, and arguments that are a matter of taste in pictures.
TEXTS = re.compile(r"__(repr|str)__|_repr_\w+_|.*(sentence|message|explain|describe|words?)$")
TASTE = {"linewidth", "lw", "alpha", "fontsize", "zorder", "figsize", "color", "labelsize", "pad"}

COMPARED = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COMPUTED = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
RENAMED = [("max", "min"), ("maximum", "minimum"), ("argmax", "argmin"), ("any", "all")]
OTHER_NAME = dict(RENAMED) | {b: a for a, b in RENAMED}


class Finder(ast.NodeVisitor):
    """Collects (node, name of the change, new source text) for every change of one module."""

    def __init__(self, source):
        self.source = source
        self.found = []
        self.visit(ast.parse(source))

    def add(self, node, kind, text):
        self.found.append((node, kind, text))

    def text(self, node):
        return ast.get_source_segment(self.source, node)

    def visit_body(self, node):
        """Visit a function or class without its decorators, annotations and docstring."""
        if isinstance(node, ast.ClassDef) or not TEXTS.fullmatch(node.name):
            if not isinstance(node, ast.ClassDef):
                for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
                    self.visit(default)
            for statement in node.body:
                self.visit(statement)

    visit_FunctionDef = visit_ClassDef = visit_body  # noqa: N815

    def ignored(self, node):
        """Texts, types and imports are not changed."""

    visit_JoinedStr = visit_Raise = visit_Assert = visit_Import = ignored  # noqa: N815
    visit_ImportFrom = ignored  # noqa: N815

    def visit_AnnAssign(self, node):
        self.assigned(node, [node.target])

    def visit_Assign(self, node):
        self.assigned(node, node.targets)

    def assigned(self, node, targets):
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        if node.value is None or names & PERFORMANCE:
            return
        if not names and all(isinstance(t, ast.Attribute | ast.Subscript) for t in targets):
            self.add(node, "delete", "pass")
        for part in [*targets, node.value]:
            self.visit(part)

    def visit_AugAssign(self, node):
        self.add(node, "delete", "pass")
        for other in COMPUTED.get(type(node.op), ()):
            changed = ast.AugAssign(node.target, other(), node.value)
            self.add(node, "operator", ast.unparse(changed))
        self.generic_visit(node)

    def visit_Expr(self, node):
        if not isinstance(node.value, ast.Constant):
            if isinstance(node.value, ast.Call):
                self.add(node, "delete", "pass")
            self.visit(node.value)

    def visit_If(self, node):
        if ast.unparse(node.test) != "TYPE_CHECKING":
            if any(isinstance(statement, ast.Raise) for statement in node.body):
                self.add(node.test, "never", "False")
            self.generic_visit(node)

    def visit_Return(self, node):
        if node.value is not None:
            whole = not isinstance(node.value, ast.Constant | ast.Name)
            if whole and not isinstance(node.value, ast.Tuple):
                self.add(node.value, "return", "0")
            self.visit(node.value)

    def visit_Break(self, node):
        self.add(node, "jump", "continue")

    def visit_Continue(self, node):
        self.add(node, "jump", "break")

    def visit_Compare(self, node):
        if len(node.ops) == 1:
            for other in COMPARED[type(node.ops[0])]:
                changed = ast.Compare(node.left, [other()], node.comparators)
                self.add(node, "comparison", ast.unparse(changed))
        self.generic_visit(node)

    def visit_BinOp(self, node):
        texts = [n for n in (node.left, node.right) if isinstance(n, ast.JoinedStr)]
        types = isinstance(node.op, ast.BitOr) and "None" in ast.unparse(node)
        if not texts and not types:
            for other in COMPUTED.get(type(node.op), ()):
                self.add(node, "operator", ast.unparse(ast.BinOp(node.left, other(), node.right)))
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add(node, "logic", f"({ast.unparse(ast.BoolOp(other, node.values))})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not | ast.Invert):
            self.add(node, "not", f"({self.text(node.operand)})")
        elif not isinstance(node.operand, ast.Constant):
            self.add(node, "sign", f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self.add(node, "constant", str(not node.value))
        elif isinstance(node.value, int | float):
            other = {0: 1, 1: 0}.get(node.value, 2 * node.value)
            self.add(node, "constant", repr(other))

    def visit_Slice(self, node):
        if isinstance(node.upper, ast.Name | ast.Attribute) and node.step is None:
            lower = ast.unparse(node.lower) if node.lower else ""
            self.add(node, "slice", f"{lower}:{ast.unparse(node.upper)} - 1")
        self.generic_visit(node)

    def visit_Call(self, node):
        name = ast.unparse(node.func)
        if name.startswith("warnings.") or name.endswith(("Error", "Warning", "cast", "print")):
            return
        head, _, last = name.rpartition(".")
        if last in OTHER_NAME and self.text(node.func) is not None:
            self.add(node.func, "extreme", f"{head}{'.' if head else ''}{OTHER_NAME[last]}")
        if len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args[:2]):
            swapped = [node.args[1], node.args[0], *node.args[2:]]
            changed = ast.Call(node.func, swapped, node.keywords)
            if last not in ("isinstance", "getattr", "setattr", "hasattr", "zip", "range"):
                self.add(node, "arguments", ast.unparse(changed))
        self.visit(node.func)
        for argument in [*node.args, *(k.value for k in node.keywords if k.arg not in TASTE)]:
            self.visit(argument)


def mutants_of(module):
    """{line: {ID: (begin, end, new text)}} of one module, in bytes of its source."""
    source = (ROOT / module).read_text()
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = defaultdict(dict)
    for node, kind, text in Finder(source).found:
        name = f"{module}:{node.lineno}:{node.col_offset}:{kind}"
        while name in found[node.lineno]:
            name += "'"
        begin = starts[node.lineno - 1] + node.col_offset
        found[node.lineno][name] = (begin, starts[node.end_lineno - 1] + node.end_col_offset, text)
    return found


def applied(module, change):
    begin, end, text = change
    source = (ROOT / module).read_bytes()
    return (source[:begin] + text.encode() + source[end:]).decode()


class Sieve:
    """A pytest plugin: a few parameters of each test, for so many seconds of computing."""

    def __init__(self, seconds, parameters):
        self.seconds, self.parameters = seconds, parameters
        self.spent = False

    def pytest_collection_modifyitems(self, items):
        cases = defaultdict(list)
        for item in items:
            cases[item.nodeid.partition("[")[0]].append(item)
        randomly = random.Random(0)
        kept = [randomly.sample(c, min(self.parameters, len(c))) for c in cases.values()]
        items[:] = [item for group in kept for item in group]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        def stop(*_):
            raise TimeoutError("this test hangs")

        signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, LONGEST)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            if time.process_time() > self.seconds:
                self.spent = True
                item.session.shouldstop = "no time is left"


def run_tests(place, module, sieve):
    """In a process of its own: exits with 1 where a test fails, and with 0 where none does."""
    os.chdir(place)
    sys.path.insert(0, str(place))
    sys.dont_write_bytecode = True
    os.environ["PYTHONPATH"] = str(place)
    if Path(module).name in COMPILED:  # what was compiled of the original is not used
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(dir=place)
    parts = Path(module).with_suffix("").parts[1:]
    keys = "/".join(parts), parts[0]
    names = " ".join([*(TESTS.get(key, "") for key in keys), EVERYBODYS]).split()
    files = [f"tests/test_{name}.py" for name in dict.fromkeys(names)]
    with open("output.txt", "w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        arguments = [
            "-xq",
            "--tb=line",
            "--assert=plain",
            "-p",
            "no:cacheprovider",
            "--cases=0",
            *files,
        ]
        arguments += [f"--deselect={name}" for name in TEXTUAL]
        code = pytest.main(arguments, plugins=[sieve])
        os._exit(code != 0 and not (sieve.spent and code == 2))


def notice(module, changed, place, sieve):
    """(whether a test fails on a mutant, pytest's last lines), in a copy that is kept."""
    broken = place / module
    broken.write_text(changed)
    try:
        process = multiprocessing.get_context("forkserver").Process(
            target=run_tests, args=(place, module, sieve)
        )
        process.start()
        process.join(60 + 30 * sieve.seconds)
        hangs = process.is_alive()
        if hangs:
            process.kill()
            process.join()
        lines = (place / "output.txt").read_text().strip().splitlines()[-2:]
        return hangs or process.exitcode != 0, " ".join(lines)
    finally:
        shutil.copy2(ROOT / module, broken)


def drawn(modules, seed, count):
    """(ID, module, changed source) of up to so many mutants, each of another line of code."""
    every = {module: mutants_of(module) for module in modules}
    lines = [(module, line) for module, found in every.items() for line in sorted(found)]
    randomly = random.Random(seed)
    for module, line in randomly.sample(lines, min(count, len(lines))):
        name = randomly.choice(sorted(every[module][line]))
        yield name, module, applied(module, every[module][line][name])


def named(names):
    """The same of mutants with these IDs."""
    for name in names:
        module, line, *_ = name.split(":")
        yield name, module, applied(module, mutants_of(module)[int(line)][name])


def difference(module, changed):
    old, new = (ROOT / module).read_text().splitlines(), changed.splitlines()
    return "\n".join(difflib.unified_diff(old, new, module, module, lineterm="", n=2))


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--module", action="append", help="a file to change; default: all")
    parser.add_argument("--only", nargs="+", help="IDs of mutants to try instead of a draw")
    parser.add_argument("--seconds", type=float, default=60, help="of tests for each mutant")
    parser.add_argument("--parameters", type=int, default=2, help="of each test, at the most")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    every = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "emgmm").rglob("*.py"))]
    chosen = list(
        named(arguments.only)
        if arguments.only
        else drawn(arguments.module or every, arguments.seed, arguments.count)
    )
    multiprocessing.get_context("forkserver").set_forkserver_preload(LIBRARIES)
    sieve = Sieve(arguments.seconds, arguments.parameters)
    places = SimpleQueue()

    def attempt(mutant):
        place = places.get()
        try:
            return mutant, *notice(*mutant[1:], place, sieve)
        finally:
            places.put(place)

    missed = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as threads:
        for number in range(arguments.jobs):
            places.put(Path(shutil.copytree(ROOT, Path(folder) / str(number), ignore=LEFT_OUT)))
        for (name, module, changed), noticed, why in threads.map(attempt, chosen):
            missed += not noticed
            print(f"{'noticed' if noticed else 'UNNOTICED'} {name} {why}", flush=True)
            if not noticed:
                print(difference(module, changed), flush=True)
    share = 1 - missed / max(len(chosen), 1)
    print(f"{len(chosen) - missed} of {len(chosen)} noticed ({share:.1%})")


if __name__ == "__main__":
    main()
