"""Files that a command is to write: checked before anything is fitted, then written completely."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from emgmm.commands.errors import FAILED, CommandError
from emgmm.commands.tables import SUFFIXES as TABLES
from emgmm.files import replaced

SUFFIXES = {"--out": TABLES, "--plot": (".png", ".pdf", ".svg")}


def check(targets: Mapping[str, Path | None], given: Mapping[str, Path]) -> None:
    """Check that files can be written, as far as that is known before, and replace no other file.

    Parameters
    ----------
    targets : dict of str to Path or None
        The files to write, by their options.
    given : dict of str to Path
        The files that are read, by what they are.
    """
    wanted = {option: path for option, path in targets.items() if path is not None}
    for option, path in wanted.items():
        _check_place(path, option, SUFFIXES.get(option, ()))
        for what, source in given.items():
            if same(path, source):
                raise CommandError(f"{option} is the {what}'s own file: give another")
    options = list(wanted)
    for number, option in enumerate(options):
        for other in options[:number]:
            if same(wanted[option], wanted[other]):
                raise CommandError(f"{other} and {option} are the same file: give each its own")
    if "--plot" in wanted:
        _check_matplotlib()


def same(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file, which need not exist yet."""
    with suppress(OSError):
        if one.samefile(other):
            return True
    return os.path.realpath(one) == os.path.realpath(other)


def _check_place(path: Path, option: str, suffixes: tuple[str, ...]) -> None:
    if not path.parent.is_dir():
        raise CommandError(f"{option} {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise CommandError(f"{option} {path}: that is a folder, give a file")
    if suffixes and path.suffix.lower() not in suffixes:
        raise CommandError(f"{option} {path}: its name must end in {' or '.join(suffixes)}")


def _check_matplotlib() -> None:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise CommandError("--plot needs matplotlib: pip install 'emgmm[plot]'", FAILED) from None


def write(path: Path, writer: Callable[[Path], None]) -> None:
    """Let `writer` write a file, and report it as the command's error where that fails."""
    try:
        writer(path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error}", FAILED) from None


def write_figure(path: Path, figure: Any) -> None:
    """Write a picture; the file is replaced completely or left as it was."""
    with replaced(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=120)
