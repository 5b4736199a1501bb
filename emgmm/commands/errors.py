"""What ends a command: one sentence and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps

from emgmm.commands.output import say

USAGE, FAILED = 2, 1


class CommandError(Exception):
    """What was wrong and what to do.

    `status` is 2 where another command line or other data would do, and 1 where these would have
    done: a fit that failed, a file that could not be written, a package that is missing.
    """

    def __init__(self, sentence: str, status: int = USAGE) -> None:
        super().__init__(sentence)
        self.status = status


def told(command: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """A command that says its error on standard error and returns the status."""

    @wraps(command)
    def run(arguments: list[str]) -> int:
        try:
            return command(arguments)
        except CommandError as error:
            say(f"error: {error}", sys.stderr)
            return error.status

    return run
