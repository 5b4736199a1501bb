"""Environments: where the libraries live that are not part of ours, and how they get there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

from benchmarks import libraries

HOUSE = Path(__file__).parent / "environments"
NEEDED = ("numpy>=1.26", "scipy", "threadpoolctl")  # by the worker that runs there


def python_of(name: str) -> str:
    """The Python that runs a library: its own environment's if there is one, or else this one."""
    own = HOUSE / name / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def why_not(name: str) -> str:
    """Why a library is missing, as far as its environment knows."""
    log = HOUSE / f"{name}.txt"
    if log.exists():
        return log.read_text(encoding="utf-8")
    return "python -m benchmarks setup has not been run" if libraries.requirements(name) else ""


def make(name: str) -> str:
    """An environment with what a library requires, made anew; returns what pip complained of."""
    folder = HOUSE / name
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    run = subprocess.run(
        [*pip, *NEEDED, *libraries.requirements(name)], capture_output=True, text=True, check=False
    )
    log = HOUSE / f"{name}.txt"
    log.unlink(missing_ok=True)
    if run.returncode == 0:
        return ""
    shutil.rmtree(folder)
    complaint = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else "pip failed"
    log.write_text(f"pip: {complaint}", encoding="utf-8")
    return complaint


def make_all(wanted: list[str]) -> Iterator[str]:
    """One line for each library that needs an environment, once it has been tried."""
    for name in wanted:
        if libraries.requirements(name):
            yield f"{name}: {make(name) or 'ready'}"
