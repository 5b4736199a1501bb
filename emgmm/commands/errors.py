"""What ends a command: one sentence and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps

USAGE, FAILED = 2, 1


class CommandError(Exception):
    """What was wrong and what to do; `status` is 2 for what was handed in, 1 for what failed."""

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
            print(f"error: {error}", file=sys.stderr)
            return error.status

    return run
