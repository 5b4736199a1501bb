"""
A Parquet file larger than the memory of the fit
================================================

EM uses the rows only in sums over all of them, and can therefore read them block by block from a
file. This example fits a Parquet file, measures the memory that the fit needs, and compares the
result with a fit in memory.
"""

# %%
# The file
# --------
#
# The table contains the three intensities of the 273280 pixels of a photograph, as floating-point
# numbers. It is written several times to one file, without compression, in row groups of 16384
# rows.

import tempfile
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pyarrow
from matplotlib import pyplot as plt
from pyarrow import parquet
from sklearn.base import clone
from sklearn.datasets import load_sample_image
from sklearn.exceptions import ConvergenceWarning

from emgmm import GaussianMixture, blocks
from emgmm.drawing import COLOURS, GREY

folder = tempfile.TemporaryDirectory()
pixels = load_sample_image("china.jpg").reshape(-1, 3).astype(float)
names = ["red", "green", "blue"]


def write(copies):
    """Path of a file with the given number of copies of the table."""
    table = pyarrow.table(dict(zip(names, pixels.T, strict=True)))
    path = Path(folder.name) / f"{copies}.parquet"
    options = {"compression": "none", "use_dictionary": False}
    with parquet.ParquetWriter(path, table.schema, **options) as writer:
        for _ in range(copies):
            writer.write_table(table, row_group_size=16384)
    return path


path = write(4)
content = parquet.ParquetFile(path).metadata
print(f"{content.num_rows} rows in {content.num_row_groups} row groups")
print(f"{path.stat().st_size / 1e6:.1f} MB")

# %%
# A fit in memory
# ---------------
#
# For comparison, the same rows are fitted as one array.

mixture = GaussianMixture(
    2,
    weights_init=[0.5, 0.5],
    means_init=[[60] * 3, [200] * 3],
    precisions_init=[np.eye(3) / 30**2] * 2,
    tol=1e-4,
    acceleration="anderson",
)
in_memory = clone(mixture).fit(np.tile(pixels, (4, 1)))
print(in_memory.ending_.name, "after", in_memory.n_iter_, "iterations")

# %%
# The fit from the file
# ---------------------
#
# ``tracemalloc`` measures the peak of the memory that Python and NumPy allocate during the fit, and
# a memory pool measures that of Arrow, which reads the file. Their sum is an upper bound of the
# peak of both.


def fit_measured(path, **parameters):
    """Mixture fitted to a file, and peaks of NumPy and Arrow in MB."""
    before = pyarrow.default_memory_pool()
    pool = pyarrow.proxy_memory_pool(before)
    pyarrow.set_memory_pool(pool)
    tracemalloc.start()
    model = clone(mixture).set_params(**parameters).fit(blocks(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pyarrow.set_memory_pool(before)
    return model, peak / 1e6, pool.max_memory() / 1e6


model, numpy_peak, arrow_peak = fit_measured(path)
print(f"peak of Python and NumPy: {numpy_peak:.1f} MB")
print(f"peak of Arrow: {arrow_peak:.1f} MB")
print(model.ending_.name, "after", model.n_iter_, "iterations")
difference = np.abs(model.means_ - in_memory.means_).max()
print(f"largest difference of means: {difference:.0e}")
print(f"log-likelihood per row, file: {model.lower_bound_:.10f}")
print(f"log-likelihood per row, memory: {in_memory.lower_bound_:.10f}")

# %%
# Results for each row are computed block by block, too. Here the labels are counted.

counts = np.zeros(2, dtype=int)
for labels in model.predict(blocks(path)):
    counts += np.bincount(labels, minlength=2)
print("rows by component:", counts)

# %%
# Memory and size of the file
# ---------------------------
#
# The following fits are stopped after one iteration, because further iterations do not need more
# memory.

copies = [1, 2, 4, 8]
sizes, peaks = [], []
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    for number in copies:
        path = write(number)
        _, numpy_peak, arrow_peak = fit_measured(path, max_iter=1)
        sizes.append(path.stat().st_size / 1e6)
        peaks.append(numpy_peak + arrow_peak)
folder.cleanup()

_, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(sizes, sizes, "--", color=GREY, label="all rows in memory")
ax.plot(
    sizes,
    peaks,
    "o-",
    color=COLOURS[0],
    label="peak of the fit from the file",
)
ax.set(xlabel="size of the file (MB)", ylabel="memory (MB)", xlim=0, ylim=0)
_ = ax.legend(frameon=False)

# %%
# **Insight:** a fit from a file needs memory for only a few blocks of rows, most of which Arrow
# reads in advance, whatever the size of the file. The result is that of a fit in memory up to
# rounding. :doc:`/guide/large` describes other kinds of storage.
