"""Parquet: record batches of a pyarrow dataset, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def opened(source: Any) -> Any:
    """The dataset at a path, a folder or a list of paths.

    Raises
    ------
    ImportError
        Where there is no pyarrow.
    """
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise ImportError(
            "Parquet files are read with pyarrow: pip install 'emgmm[parquet]'."
        ) from error
    # Otherwise pyarrow holds all that it reads of a file until the file is at its end.
    options = dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
    parquet = dataset.ParquetFileFormat(default_fragment_scan_options=options)
    return dataset.dataset(source, format=parquet)


def batches(dataset: Any, columns: list[str], n_rows: int) -> Iterator[Any]:
    """One pass over some of its columns, at most `n_rows` at a time, in order.

    In this thread alone: with threads of its own pyarrow reads on while EM works, and holds rows
    that are not wanted yet, more and more of them.
    """
    scanner = dataset.scanner(
        columns=columns,
        batch_size=n_rows,
        batch_readahead=1,
        fragment_readahead=1,
        use_threads=False,
    )
    yield from scanner.to_batches()
