"""Reading of Parquet files and other pyarrow datasets in batches of bounded size."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

# Largest number of rows that pyarrow takes for a batch.
MAX_ROWS = 2**31 - 1


def open_dataset(source: Any) -> Any:
    """Return the dataset at a path, in a folder or at a list of paths.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    FileNotFoundError
        If there is no file at a path.
    ValueError
        If a file is not a Parquet file, or is damaged.
    """
    try:
        from pyarrow import ArrowInvalid, dataset, schema
    except ImportError as error:
        raise ImportError("Parquet files are read with pyarrow: pip install pyarrow.") from error
    # With its default options pyarrow keeps what it has read of a file until the end of the file.
    options = dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
    parquet = dataset.ParquetFileFormat(default_fragment_scan_options=options)
    try:
        return dataset.dataset(source, format=parquet)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There is no file or folder {str(error)!r}: give the path of a Parquet file, or of a "
            "folder of such files."
        ) from error
    except (ArrowInvalid, OSError) as error:
        if "field names" in str(error):  # two columns of a file have the same name
            files = dataset.dataset(source, format=parquet, schema=schema([])).get_fragments()
            schemas = (file.physical_schema for file in files)
            repeated = (each for each in schemas if len({*each.names}) < len(each.names))
            return dataset.dataset(source, format=parquet, schema=next(repeated, None))
        named = re.search("schema from '(.+?)'[.] Is this", str(error))
        if named is None or not _is_about_content(error):
            raise
        raise ValueError(
            f"{named[1]} is not a Parquet file, or it is damaged. To read a CSV file, pass "
            "pyarrow.dataset.dataset(path, format='csv') instead of its path."
        ) from error


def batches(dataset: Any, columns: list[str], size: int) -> Iterator[Any]:
    """Yield some columns of a dataset in order, in batches of at most `size` rows.

    Only the calling thread reads. Threads of pyarrow would read ahead during the EM computations,
    and the number of rows in memory would grow without bound.

    Raises
    ------
    ValueError
        If a file is damaged, or if a column has another type than in the first file. The message
        names the file and the column.
    """
    ahead = {"batch_readahead": 1, "fragment_readahead": 1, "use_threads": False}
    options = {"batch_size": min(size, MAX_ROWS), **ahead}
    try:
        yield from dataset.to_batches(columns=columns, **options)
    except (NotImplementedError, OSError, ValueError) as error:
        if _is_about_content(error):
            _name_columns(dataset, columns, options)
        raise


def _is_about_content(error: Exception) -> bool:
    """Whether an error of pyarrow is about what a file contains, not about access to the file."""
    return not isinstance(error, OSError) or (type(error) is OSError and error.errno is None)


def _name_columns(dataset: Any, columns: list[str], options: dict[str, Any]) -> None:
    """Raise an error that names the first file that cannot be read, and its first such column."""
    for file in dataset.get_fragments():
        for chosen in (*([column] for column in columns), columns):
            try:
                read = file.to_batches(schema=dataset.schema, columns=chosen, **options)
                deque(read, maxlen=0)
            except (NotImplementedError, OSError, ValueError) as error:
                kinds = (f"{name!r} as {dataset.schema.field(name).type}" for name in chosen)
                reason = " ".join(str(error).split()).rstrip(".")
                raise ValueError(
                    f"{getattr(file, 'path', 'X')} cannot be read with {', '.join(kinds)}: "
                    f"{reason}. The file is damaged, or has a column of another type than in the "
                    "first file."
                ) from error
