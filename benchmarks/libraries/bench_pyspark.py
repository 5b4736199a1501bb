"""Spark's GaussianMixture, in a JVM on this machine; full covariances, from a start of its own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache, lru_cache
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.libraries import Fitted
from benchmarks.problems import Problem, Start, made

REQUIREMENTS = ("pyspark", "pyarrow")
PARTS = 16
SEED = 0


def version() -> str:
    import pyspark

    try:
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ImportError(f"Java is not there: {error}") from None
    return f"pyspark {pyspark.__version__} ({java.stderr.splitlines()[0]})"


@cache
def _session() -> Any:
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master(f"local[{os.environ['OMP_NUM_THREADS']}]")
        .config("spark.driver.memory", "6g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
    )
    return builder.getOrCreate()


def fit(problem: Problem, X: NDArray[np.floating], start: Start) -> Fitted:
    raise NotImplementedError("its start is its own")


@lru_cache(maxsize=1)
def _frame(problem: Problem) -> Any:
    """The problem's rows, held in the JVM's memory."""
    import pyarrow
    from pyarrow import parquet
    from pyspark.ml.feature import VectorAssembler

    names = [f"x{i}" for i in range(problem.n_features)]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/rows.parquet"
        columns = list(made(problem)[0].T)
        parquet.write_table(
            pyarrow.table(columns, names), path, row_group_size=-(-problem.n_rows // PARTS)
        )
        frame = _session().read.parquet(path).repartition(PARTS)
        frame = VectorAssembler(inputCols=names, outputCol="features").transform(frame)
        frame = frame.select("features").persist()
        frame.count()
    return frame


def fit_by_itself(problem: Problem, iterations: int) -> tuple[float, Fitted]:
    """Seconds that a fit takes on rows that Spark holds, and where it ends."""
    from pyspark.ml.clustering import GaussianMixture

    frame = _frame(problem)
    begun = perf_counter()
    model = GaussianMixture(k=problem.n_components, tol=0.0, maxIter=iterations, seed=SEED).fit(
        frame
    )
    seconds = perf_counter() - begun
    found = model.gaussiansDF.collect()
    return seconds, Fitted(
        np.array(model.weights),
        np.array([row.mean.toArray() for row in found]),
        np.array([row.cov.toArray() for row in found]),
    )
