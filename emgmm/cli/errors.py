"""How a command ends that cannot do what was asked: with one sentence and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps

from emgmm.cli.output import printable, say

USAGE, FAILED, INTERRUPTED = 2, 1, 130


class CommandError(Exception):
    """What was wrong and what to do about it.

    Parameters
    ----------
    sentence : str
        What is said to the user.
    status : int, default=2
        The exit status: 2 where another command line or other data would have worked; 1 where a
        fit failed, a file could not be written or a package is missing.
    """

    def __init__(self, sentence: str, status: int = USAGE) -> None:
        super().__init__(sentence)
        self.status = status


def described(command: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Make a command write its error, or that it was interrupted, to standard error.

    The command returns its exit status.
    """

    @wraps(command)
    def run(arguments: list[str]) -> int:
        try:
            return command(arguments)
        except CommandError as error:
            say(f"error: {printable(str(error))}", sys.stderr)
            return error.status
        except KeyboardInterrupt:
            say("interrupted", sys.stderr)
            return INTERRUPTED

    return run
