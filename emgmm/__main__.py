"""Entry point of ``emgmm`` and ``python -m emgmm``, which run a command or a demonstration."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from emgmm.cli import demo, fit, predict
from emgmm.cli.terminal import INTERRUPTED, CommandError, printable, write_text

COMMANDS = {"fit": fit.main, "predict": predict.main}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            if words and words[0] in COMMANDS:
                COMMANDS[words[0]](words[1:])
            else:
                demo.main(words)
        finally:
            write_text("", end="")  # flushes what argparse has written
    except CommandError as error:
        write_text(f"error: {printable(str(error))}", "stderr")
        return error.status
    except KeyboardInterrupt:
        write_text("interrupted", "stderr")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
