"""Files that a command writes: validation of their paths, and writing of all or none."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from emgmm.cli.errors import FAILED, CommandError
from emgmm.cli.tables import SUFFIXES as TABLES
from emgmm.storage.files import replaced_together

SUFFIXES = {"--out": TABLES, "--plot": (".png", ".pdf", ".svg")}

Writer = Callable[[IO[bytes]], None]


def check(targets: Mapping[str, Path | None], inputs: Mapping[str, Path]) -> None:
    """Raise an error if files cannot be written or would replace an input or each other.

    Parameters
    ----------
    targets : dict of str to Path or None
        Paths of the files to write, by option.
    inputs : dict of str to Path
        Paths of the files that are read, by their role.
    """
    wanted = {option: path for option, path in targets.items() if path is not None}
    for option, path in wanted.items():
        _check_place(path, option, SUFFIXES.get(option, ()))
        for role, source in inputs.items():
            if same(path, source):
                raise CommandError(f"{option} is the {role}'s own file: give another")
    options = list(wanted)
    for number, option in enumerate(options):
        for other in options[:number]:
            if same(wanted[option], wanted[other]):
                raise CommandError(f"{other} and {option} are the same file: give different files")
    if "--plot" in wanted:
        _check_matplotlib()


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


def _check_matplotlib() -> None:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise CommandError("--plot needs matplotlib: pip install 'emgmm[plot]'", FAILED) from None


def write(writers: Mapping[Path, Writer]) -> None:
    """Write all files or none; a failure is reported as an error of the command."""
    names = ", ".join(map(str, writers))
    try:
        with replaced_together(list(writers)) as files:
            for file, writer in zip(files, writers.values(), strict=True):
                writer(file)
    except OSError as error:
        raise CommandError(f"cannot write {names}: {error}", FAILED) from None


def figure_writer(path: Path, draw: Callable[[], Any]) -> Writer:
    """Return a writer of the figure that `draw` returns, in the format of the path's suffix."""

    def write_figure(file: IO[bytes]) -> None:
        with warnings.catch_warnings():
            # The font may lack characters of the names of columns.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            draw().savefig(file, format=path.suffix[1:].lower(), dpi=120)

    return write_figure
