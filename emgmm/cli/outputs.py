"""Files that a command writes: validation of their paths, and writing of all or none."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import IO, Any

from emgmm.cli.tables import SUFFIXES as TABLES
from emgmm.cli.terminal import FAILED, CommandError, imported, write_text
from emgmm.storage.files import replaced_together

# Contents of the files, by the names of the options with their paths, and suffixes of the paths.
CONTENTS = {"out": "Labelled rows", "model": "Model", "plot": "Picture"}
SUFFIXES = {"out": TABLES, "plot": (".png", ".pdf", ".svg")}


def check(options: argparse.Namespace, names: tuple[str, ...], **inputs: Path) -> None:
    """Raise an error if files cannot be written or would replace an input or each other.

    Parameters
    ----------
    options : argparse.Namespace
        Options of the command.
    names : tuple of str
        Names of the options with paths of files to write, which may be None.
    **inputs : Path
        Paths of the files that are read, by their role.
    """
    wanted = requested(options, names)
    for name, path in wanted.items():
        _check_place(path, f"--{name}", SUFFIXES.get(name, ()))
        for role, source in inputs.items():
            if same(path, source):
                raise CommandError(f"--{name} is the {role}'s own file: give another")
    for one, other in combinations(wanted, 2):
        if same(wanted[one], wanted[other]):
            raise CommandError(f"--{one} and --{other} are the same file: give different files")
    if "plot" in wanted:
        imported("--plot", "plot", "matplotlib", "figure")


def requested(options: argparse.Namespace, names: Iterable[str]) -> dict[str, Path]:
    """Return the paths of the requested files by the names of their options."""
    paths = {name: getattr(options, name) for name in names}
    return {name: path for name, path in paths.items() if path is not None}


def same(one: Path, other: Path) -> bool:
    """Whether two paths refer to the same file, which need not exist yet."""
    with suppress(OSError, ValueError):
        if one.samefile(other):
            return True
    with suppress(OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)
    return False


def _check_place(path: Path, option: str, suffixes: tuple[str, ...]) -> None:
    if suffixes and path.suffix.lower() not in suffixes:
        raise CommandError(f"{option} {path}: its name must end in {' or '.join(suffixes)}")
    try:
        place = Path(os.path.realpath(path)).parent  # after following links
        path.exists()
    except (OSError, ValueError) as error:  # for example, a name that is too long
        raise CommandError(f"{option} {path} cannot be written: {error}") from None
    if not path.parent.is_dir() or not place.is_dir():
        raise CommandError(
            f"{option} {path}: there is no folder {place if path.parent.is_dir() else path.parent}"
        )
    if path.is_dir():
        raise CommandError(f"{option} {path}: that is a folder, give a file")
    if not os.access(place if path.is_file() or not path.exists() else path, os.W_OK):
        raise CommandError(f"{option} {path} cannot be written: permission denied")


def write(options: argparse.Namespace, **writers: Callable[[IO[bytes]], None]) -> None:
    """Write all requested files or none; a failure is reported as an error of the command."""
    paths = requested(options, writers)
    try:
        with replaced_together(list(paths.values())) as files:
            for name, file in zip(paths, files, strict=True):
                writers[name](file)
    except OSError as error:
        names = ", ".join(map(str, paths.values()))
        raise CommandError(f"cannot write {names}: {error}", FAILED) from None
    for name, path in paths.items():
        write_text(f"\n{CONTENTS[name]} written to {path}")


def save(figure: Any, file: IO[bytes], path: Path) -> None:
    """Write a figure to a file, in the format of the suffix of its path."""
    with warnings.catch_warnings():
        # The font may lack characters of the names of columns.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=120)
