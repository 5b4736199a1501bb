"""Errors of commands, which are reported as one sentence and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps

from emgmm.cli.output import printable, write_text

USAGE, FAILED, INTERRUPTED = 2, 1, 130


class CommandError(Exception):
    """A command cannot be executed.

    Parameters
    ----------
    sentence : str
        Description of the problem and of its remedy.
    status : int, default=2
        Exit status: 2 if the command line or the data are not valid; 1 if a fit failed, a file
        could not be written or a package is missing.
    """

    def __init__(self, sentence: str, status: int = USAGE) -> None:
        super().__init__(sentence)
        self.status = status


def reporting_errors(command: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Decorate a command to write its error to standard error and to return an exit status."""

    @wraps(command)
    def run(arguments: list[str]) -> int:
        try:
            return command(arguments)
        except CommandError as error:
            write_text(f"error: {printable(str(error))}", sys.stderr)
            return error.status
        except KeyboardInterrupt:
            write_text("interrupted", sys.stderr)
            return INTERRUPTED

    return run
