"""The machine: what a reader must know to make sense of the figures."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_info


def processor() -> str:
    """Its name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> int:
    """Bytes of memory that are free for use; 0 where that cannot be told."""
    with suppress(OSError, AttributeError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def blas() -> str:
    """The BLAS libraries of this process."""
    found = {
        f"{info['internal_api']} {info['version']} ({info.get('architecture', 'unknown kernels')})"
        for info in threadpool_info()
        if info["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "unknown"


def described(threads: int, repeats: int, versions: Iterable[str]) -> str:
    """The head of a report."""
    import scipy.linalg  # noqa: F401  (SciPy's BLAS is listed once it is loaded)

    own = [f"Python {platform.python_version()}", f"NumPy {version('numpy')}"]
    return "\n".join(
        (
            f"- {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}, {platform.system()}",
            f"- {processor()}, {os.cpu_count()} logical cores",
            f"- threads: {threads}, rounds: {repeats}",
            f"- {', '.join([*own, *versions])}",
            f"- BLAS: {blas()}",
        )
    )
