"""pyarrow, with the parts that are used."""

from __future__ import annotations

from typing import Any

from emgmm.cli.errors import FAILED, CommandError


def arrow() -> Any:
    """Import pyarrow with the parts that are used."""
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
