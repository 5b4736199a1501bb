"""Reading of Parquet files and other pyarrow datasets in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def open_dataset(source: Any) -> Any:
    """Return the dataset at a path, in a folder or at a list of paths.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If a file is not a Parquet file.
    """
    try:
        from pyarrow import ArrowInvalid, dataset
    except ImportError as error:
        raise ImportError("Parquet files are read with pyarrow: pip install pyarrow.") from error
    # With its default options pyarrow keeps what it has read of a file until the end of the file.
    options = dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
    parquet = dataset.ParquetFileFormat(default_fragment_scan_options=options)
    try:
        return dataset.dataset(source, format=parquet)
    except ArrowInvalid as error:
        if "field names" in str(error):  # the file is one, but has two columns of the same name
            raise
        raise ValueError(
            f"{source} is not a Parquet file. To read a CSV file, pass "
            "pyarrow.dataset.dataset(path, format='csv') instead of its path."
        ) from error


def batches(dataset: Any, columns: list[str], size: int) -> Iterator[Any]:
    """Yield some columns of a dataset in order, in batches of at most `size` rows.

    Only the calling thread reads. Threads of pyarrow would read ahead during the EM computations,
    and the number of rows in memory would grow without bound.
    """
    yield from dataset.to_batches(
        columns=columns, batch_size=size, batch_readahead=1, fragment_readahead=1, use_threads=False
    )
