"""The one command: ``python -m benchmarks TABLE`` measures, prints a report, and keeps it."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

from benchmarks import (
    acceleration,
    choosing,
    cluster,
    defaults,
    environments,
    escapes,
    grid,
    holes,
    kernels,
    large,
    libraries,
    machine,
    many,
    memory,
    predictions,
    sampling,
    scaling,
    starts,
    streams,
    watching,
)
from benchmarks.options import Options
from benchmarks.table import heading
from benchmarks.workers import present

RESULTS = Path(__file__).parent / "results"
QUICK = "A quick run of small problems, which shows only that everything works."
PAGES = Path(__file__).parents[1] / "docs" / "benchmarks"


class Table(Protocol):
    """What a module of a table has; `problems` have names."""

    TITLE: str
    LIBRARIES: Sequence[str]  # the reference first

    def problems(self, quick: bool) -> list[Any]: ...

    def report(self, options: Options) -> Any: ...


TABLES = cast(
    dict[str, Table],
    {
        "kernels": kernels,
        "defaults": defaults,
        "grid": grid,
        "predictions": predictions,
        "holes": holes,
        "memory": memory,
        "large": large,
        "scaling": scaling,
        "acceleration": acceleration,
        "sampling": sampling,
        "escapes": escapes,
        "starts": starts,
        "choosing": choosing,
        "many": many,
        "watching": watching,
        "cluster": cluster,
        "streams": streams,
    },
)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; what cannot be done ends the program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "table",
        nargs="?",
        choices=(*TABLES, "all", "setup"),
        default="kernels",
        help="what to measure (default: %(default)s), or all of it; setup makes the environments "
        "of the other libraries",
    )
    parser.add_argument("--problems", nargs="+", metavar="NAME", help="these only")
    parser.add_argument("--libraries", nargs="+", metavar="NAME", help="these and sklearn only")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of each (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a choice that takes about a minute")
    parser.add_argument(
        "--keep",
        nargs="?",
        const=".",
        metavar="FOLDER",
        help="write to docs/benchmarks as well, or to this folder of it",
    )
    parser.add_argument("--list", action="store_true", help="name problems and libraries, and end")
    options = parser.parse_args(arguments)
    for what, wanted, known in (
        ("library", options.libraries, libraries.names()),
        ("problem", options.problems, catalogue(options.table)),
    ):
        unknown = [name for name in wanted or () if name not in known]
        if unknown:
            parser.error(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    if options.repeats < 1 or options.threads < 1:
        parser.error("--repeats and --threads are at least 1")
    return options


def catalogue(name: str) -> dict[str, Any]:
    """All problems of a table, by name."""
    table = TABLES.get(name)
    every = (
        [problem for quick in (False, True) for problem in table.problems(quick)] if table else []
    )
    return {problem.name: problem for problem in every}


def chosen(name: str, asked: argparse.Namespace) -> list[Any]:
    """The problems that the command line asks for."""
    if asked.problems:
        return [catalogue(name)[problem] for problem in asked.problems]
    return TABLES[name].problems(asked.quick)


def wanted(name: str, asked: argparse.Namespace) -> list[str]:
    """The libraries that a table compares, if the command line does not exclude them."""
    every = TABLES[name].LIBRARIES
    return [n for n in every if not asked.libraries or n in (*asked.libraries, every[0])]


def written(name: str, asked: argparse.Namespace, folder: Path) -> tuple[str, list[str]]:
    """The whole report of a table, and what went wrong with ours."""
    versions, missing = present(wanted(name, asked))
    described = machine.described(asked.threads, asked.repeats, versions.values())
    if missing:
        described += f"\n- not measured in this run: {', '.join(missing)}"
        for library, reason in missing.items():
            print(f"{name}: no {library}: {reason}", file=sys.stderr)
    paragraphs = [heading(TABLES[name].TITLE), described]
    if asked.quick:
        paragraphs.append(QUICK)
    options = Options(
        problems=chosen(name, asked),
        libraries=list(versions),
        repeats=asked.repeats,
        threads=asked.threads,
        quick=asked.quick,
        folder=folder,
        wrong=[
            f"{library}: {missing[library]}" for library in libraries.OURS if library in missing
        ],
    )
    paragraphs += TABLES[name].report(options)
    return "\n\n".join(paragraphs) + "\n", options.wrong


def listed(name: str, asked: argparse.Namespace) -> Iterator[str]:
    """What a table would measure."""
    yield f"{name}:"
    yield from (f"  {problem.name}" for problem in chosen(name, asked))
    versions, missing = present(wanted(name, asked))
    yield from (f"  with {version}" for version in versions.values())
    yield from (f"  without {library}: {reason}" for library, reason in missing.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 1 where one of ours failed or ended wrong."""
    asked = parsed(arguments)
    if asked.table == "setup":
        for line in environments.make_all(asked.libraries or libraries.names()):
            print(line, flush=True)
        return 0
    tables = list(TABLES) if asked.table == "all" else [asked.table]
    if asked.list:
        for name in tables:
            print("\n".join(listed(name, asked)))
        return 0
    wrong = []
    for name in tables:
        folder = RESULTS / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
        folder.mkdir(parents=True)
        text, complaints = written(name, asked, folder)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        print(text, flush=True)
        print(f"Kept in benchmarks/results/{folder.name}", file=sys.stderr)
        if asked.keep:
            shutil.copytree(folder, PAGES / asked.keep, dirs_exist_ok=True)
        wrong += [f"{name}: {complaint}" for complaint in complaints]
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
