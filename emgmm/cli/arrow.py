"""Import of pyarrow, which is optional."""

from __future__ import annotations

from typing import Any

from emgmm.cli.errors import FAILED, CommandError


def arrow() -> Any:
    """Import pyarrow with the submodules that the commands use."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise CommandError(
            "reading and writing tables needs pyarrow: pip install 'emgmm[cli]'", FAILED
        ) from None
    return pyarrow
