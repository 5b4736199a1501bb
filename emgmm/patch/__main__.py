"""Entry point of ``python -m emgmm.patch``, which runs a script or a module with the patch."""

from __future__ import annotations

import os
import runpy
import sys
from typing import NoReturn

from emgmm.patch import patch_sklearn

USAGE = """\
usage: python -m emgmm.patch script.py [arguments]
       python -m emgmm.patch -m module [arguments]

Run a script or a module in which sklearn.mixture.GaussianMixture is emgmm.GaussianMixture."""


def main() -> None:
    """Run the script or the module that the command line names, as Python itself would."""
    words = sys.argv[1:]
    if words[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return
    is_module = words[:1] == ["-m"]
    words = words[is_module:]
    if not words or words[0].startswith("-"):
        _refuse(f"Name a {'module' if is_module else 'script'} to run.\n{USAGE}")
    if not is_module and not os.path.exists(words[0]):
        _refuse(f"The script {words[0]!r} does not exist.")
    sys.argv[:] = words
    patch_sklearn()
    if is_module:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        if not sys.flags.safe_path:
            sys.path[0] = os.path.dirname(os.path.realpath(words[0]))
        runpy.run_path(words[0], run_name="__main__")


def _refuse(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
