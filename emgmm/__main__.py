"""Entry point of ``python -m emgmm``, which runs a command or a demonstration."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from emgmm.cli import demo, fit, output, predict

COMMANDS = {"fit": fit.main, "predict": predict.main}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words and words[0] in COMMANDS:
            return COMMANDS[words[0]](words[1:])
        return demo.main(words)
    finally:
        output.flush()


if __name__ == "__main__":
    sys.exit(main())
