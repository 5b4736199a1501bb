"""The one command: ``python -m benchmarks`` measures, prints a report, and keeps it in results/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from benchmarks import (
    acceleration,
    defaults,
    escapes,
    kernels,
    libraries,
    machine,
    problems,
    watching,
)

RESULTS = Path(__file__).parent / "results"

Result = TypeVar("Result")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; what cannot be done ends the program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "table",
        nargs="?",
        choices=("kernels", "defaults", "escapes", "watching", "acceleration"),
        default="kernels",
        help="EM iterations from a given start, the default; default fits on known data sets; "
        "escapes from identical components; what watching costs; passes to an optimum",
    )
    parser.add_argument("--problems", nargs="+", metavar="NAME", help="these only")
    parser.add_argument("--libraries", nargs="+", metavar="NAME", help="these and sklearn only")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a choice that takes under a minute")
    parser.add_argument("--list", action="store_true", help="name problems and libraries, and end")
    options = parser.parse_args(arguments)
    for what, asked, known in (
        ("problem", options.problems, catalogue(options.table)),
        ("library", options.libraries, libraries.names()),
    ):
        unknown = [name for name in asked or () if name not in known]
        if unknown:
            parser.error(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    if options.libraries and options.table == "defaults":
        parser.error("defaults are always those of scikit-learn and emgmm")
    if options.repeats < 1 or options.threads < 1:
        parser.error("--repeats and --threads are at least 1")
    return options


def catalogue(table: str) -> dict[str, Any]:
    """All problems of a table, by name."""
    named: dict[str, dict[str, Any]] = {
        "kernels": dict(problems.PROBLEMS),
        "defaults": dict(defaults.SETTINGS),
        "escapes": {},
        "watching": {},
        "acceleration": {},
    }
    return named[table]


def chosen(options: argparse.Namespace) -> list[Any]:
    """The problems that the command line asks for."""
    every = catalogue(options.table)
    quick = problems.QUICK if options.table == "kernels" else defaults.QUICK
    return [every[name] for name in options.problems or (quick if options.quick else every)]


def present(wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Of the wanted libraries, those that are here, and those that are missing."""
    names = [n for n in libraries.names() if not wanted or n in wanted or n == libraries.REFERENCE]
    here = [name for name in names if libraries.load(name).available()]
    return here, [name for name in names if name not in here]


def each(items: Sequence[Any], measure: Callable[[Any], Result]) -> list[Result]:
    """Measure one after the other; how far it is goes to the standard error."""
    outcomes = []
    for number, item in enumerate(items, start=1):
        begun = perf_counter()
        print(f"[{number}/{len(items)}] {item.name} ...", end="", file=sys.stderr, flush=True)
        outcomes.append(measure(item))
        print(f" {perf_counter() - begun:.0f} s", file=sys.stderr)
    return outcomes


def kernels_report(options: argparse.Namespace) -> Iterable[str]:
    """Problems x libraries."""
    here, missing = present(options.libraries)
    outcomes = each(
        chosen(options),
        lambda problem: kernels.measure(problem, here, options.repeats, options.threads),
    )
    distributions = [libraries.load(name).DISTRIBUTION for name in here]
    yield "# EM iterations from the same start"
    yield machine.described(options.threads, options.repeats, filter(None, distributions))
    if missing:
        yield f"Missing here: {', '.join(missing)}."
    yield from kernels.report(outcomes, here)


def defaults_report(options: argparse.Namespace) -> Iterable[str]:
    """Default fits."""
    outcomes = each(
        chosen(options),
        lambda setting: defaults.measure(setting, options.repeats, options.threads),
    )
    yield "# Default fit against default fit"
    yield machine.described(options.threads, options.repeats)
    yield from defaults.report(outcomes)


def escapes_report(options: argparse.Namespace) -> Iterable[str]:
    """Starts with identical components."""
    number = 24 if options.quick else 200
    yield f"# Escapes from coincident components: {number} problems"
    yield machine.described(options.threads, 1)
    yield from escapes.report(number)


def watching_report(options: argparse.Namespace) -> Iterable[str]:
    """What the checks at the end of a fit cost."""
    yield "# What watching costs a sound fit"
    yield machine.described(options.threads, options.repeats)
    yield from watching.report(options.repeats)


def acceleration_report(options: argparse.Namespace) -> Iterable[str]:
    """Passes to an optimum."""
    yield "# Passes to plain EM's optimum"
    yield machine.described(options.threads, 1)
    yield from acceleration.report()


REPORTS = {
    "kernels": kernels_report,
    "defaults": defaults_report,
    "escapes": escapes_report,
    "watching": watching_report,
    "acceleration": acceleration_report,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parsed(arguments)
    if options.list:
        here, missing = present(options.libraries)
        print("problems:", *(item.name for item in chosen(options)), sep="\n  ")
        print("libraries:", *here, *(f"{name} (missing)" for name in missing), sep="\n  ")
        return 0
    text = "\n\n".join(REPORTS[options.table](options)) + "\n"
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{options.table}-{datetime.now():%Y%m%d-%H%M%S}.md"
    path.write_text(text, encoding="utf-8")
    print(text, end="")
    print(f"\nKept in benchmarks/results/{path.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
