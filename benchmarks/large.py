"""Large: files that are fitted without coming into memory, by their peaks and seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import environments, libraries
from benchmarks.libraries import OURS
from benchmarks.options import Options, progress
from benchmarks.problems import CHUNK, SEED, count
from benchmarks.table import table
from benchmarks.worker import Worker

TITLE = "Data larger than memory"
LIBRARIES = OURS
AIM = 300
COMPONENTS = 3
ITERATIONS = 5
LEGEND = f"""\
Fits of files with N rows of two float32 numbers: {COMPONENTS} components with full covariances,
{ITERATIONS} EM iterations, and the default start, k-means on a sample. *MB*: the largest anonymous
memory of the process (RssAnon of /proc/self/status, every 5 ms; pages of mapped files are not
included). It includes the interpreter and its imports, which the column *MB before* shows.
`predict` labels all rows, if they are read in blocks, and returns the labels in blocks. *fit*:
seconds of the whole fit; *pass*: seconds of {ITERATIONS} further iterations, divided by their
number of passes, including the first one, which examines the rows. The files have just been
written, so that large parts of them are in the cache of the system. The aim is less than {AIM}
MB."""
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Reading:
    """What is read, and how many rows of it."""

    source: str
    n_rows: int

    @property
    def name(self) -> str:
        return f"{self.source}-{count(self.n_rows)}"


@dataclass
class Measured:
    """Bytes of anonymous memory, and seconds."""

    before: int = 0
    fit: int = 0
    predict: int = 0
    seconds: float = 0.0
    seconds_of_pass: float = 0.0


def problems(quick: bool) -> list[Reading]:
    large, small = (200_000, 100_000) if quick else (200_000_000, 20_000_000)
    many = [Reading(source, large) for source in ("memmap", "blocks")]
    return many + [Reading(source, small) for source in SOURCES]


# -- files --------------------------------------------------------------------------------------
def chunks(n_rows: int) -> Iterator[Any]:
    """(n, 2) float32 rows of three overlapping clusters, 2**16 at a time."""
    random = np.random.default_rng(SEED)
    means = np.array([[0.0, 0.0], [3.0, 1.0], [-1.0, 4.0]])
    for begin in range(0, n_rows, CHUNK):
        size = min(CHUNK, n_rows - begin)
        rows = means[random.integers(3, size=size)] + random.standard_normal((size, 2))
        yield rows.astype(np.float32)


def write_plain(path: Path, n_rows: int) -> None:
    with path.open("wb") as file:
        for rows in chunks(n_rows):
            file.write(rows.tobytes())


def write_hdf5(path: Path, n_rows: int) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        stored = file.create_dataset("rows", (n_rows, 2), "f4", chunks=(min(CHUNK, n_rows), 2))
        for number, rows in enumerate(chunks(n_rows)):
            stored[number * CHUNK : number * CHUNK + len(rows)] = rows


def write_parquet(path: Path, n_rows: int) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("x", pa.float32()), ("y", pa.float32())])
    with parquet.ParquetWriter(path, schema) as file:
        for rows in chunks(n_rows):
            file.write_batch(pa.record_batch([*rows.T.copy()], schema=schema))


def mapped(path: Path) -> Any:
    return np.memmap(path, np.float32, "r").reshape(-1, 2)


def in_array(path: Path) -> Any:
    return np.fromfile(path, np.float32).reshape(-1, 2)


def blocks_of_mapped(path: Path) -> Any:
    from emgmm import blocks

    return blocks(mapped(path))


def hdf5(path: Path) -> Any:
    import h5py

    return h5py.File(path, "r")["rows"]


def parquet_blocks(path: Path) -> Any:
    from emgmm import blocks

    return blocks(path)


SOURCES = {
    "array": (write_plain, in_array),
    "memmap": (write_plain, mapped),
    "blocks": (write_plain, blocks_of_mapped),
    "HDF5": (write_hdf5, hdf5),
    "Parquet": (write_parquet, parquet_blocks),
}


# -- measuring ----------------------------------------------------------------------------------
def anonymous() -> int:
    """Bytes of memory that no file stands behind; 0 where that cannot be told."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    return 0


@contextmanager
def watched() -> Iterator[list[int]]:
    """The most anonymous memory meanwhile, as the only entry of a list."""
    most = [anonymous()]
    ended = Event()

    def watch() -> None:
        while not ended.wait(0.005):
            most[0] = max(most[0], anonymous())

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def measured(reading: Reading, name: str, path: Path) -> Measured:
    """A fit, its continuation and a prediction, in this process."""
    cls = libraries.load(name).estimator()
    model = cls(COMPONENTS, max_iter=ITERATIONS, tol=0, random_state=0)
    few = np.concatenate(list(chunks(2 * CHUNK)))
    model.fit(few).predict(few)  # imports, and the compiled kernel
    found = Measured(before=anonymous())
    X = SOURCES[reading.source][1](path)
    with watched() as most:
        begun = perf_counter()
        model.fit(X)
        found.seconds = perf_counter() - begun
        model.set_params(warm_start=True)
        begun = perf_counter()
        model.fit(X)
        found.seconds_of_pass = (perf_counter() - begun) / model.history_["passes"][-1]
    found.fit = most[0]
    if reading.source in ("blocks", "Parquet"):
        with watched() as most:
            labelled = sum(len(labels) for labels in model.predict(X))
        assert labelled == reading.n_rows
        found.predict = most[0]
    return found


def report(options: Options) -> Iterator[str]:
    """The table."""
    lines = []
    with TemporaryDirectory() as folder:
        for reading in progress(options.problems):
            path = Path(folder) / "rows"
            SOURCES[reading.source][0](path, reading.n_rows)
            size = path.stat().st_size
            for name in options.libraries:
                with Worker(options.threads, environments.python_of(name)) as worker:
                    found = worker.call(measured, reading, name, path)
                lines.append(line(reading, name, size, found))
                if reading.source != "array" and max(found.fit, found.predict) > AIM * 1e6:
                    options.wrong.append(f"{name}: {reading.name} took more than {AIM} MB")
    yield LEGEND
    head = ["source", "", "N", "file, MB", "MB before", "MB fit", "MB predict", "fit, s", "pass, s"]
    yield table(head, lines, left=2)


def line(reading: Reading, name: str, size: int, found: Measured) -> list[str]:
    """A line of the table."""
    peaks = [
        f"{peak / 1e6:.0f}" if peak else "" for peak in (found.before, found.fit, found.predict)
    ]
    seconds = [f"{found.seconds:.2f}", f"{found.seconds_of_pass:.3f}"]
    return [reading.source, name, count(reading.n_rows), f"{size / 1e6:.0f}", *peaks, *seconds]
