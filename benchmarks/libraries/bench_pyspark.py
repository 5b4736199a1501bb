"""Spark's GaussianMixture, in a JVM of this machine; full covariances.

`fit` is that of the RDD-based `pyspark.mllib`, the one that takes a start; `fit_by_itself` is that
of `pyspark.ml`, whose start is its own. Both add EPS to every density, so that they may end
elsewhere in the last digits.
"""

from __future__ import annotations

import subprocess

REQUIREMENTS = ("pyspark",)
PRECISION = "float32"  # as coarse, by what it adds to densities


def version() -> str:
    import pyspark

    try:
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ImportError(f"no Java: {error}") from None
    return f"pyspark {pyspark.__version__} ({java.stderr.splitlines()[0]})"
