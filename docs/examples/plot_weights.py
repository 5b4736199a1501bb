"""
Weights: a table of counts
==========================

If a table contains many equal rows, the distinct rows with their counts as weights contain the same
information as the whole table. This example fits the brightness of 273280 pixels from 216 distinct
values, and shows what happens if the counts are ignored.
"""

# %%
# Distinct rows and their counts
# ------------------------------
#
# The brightness of a pixel is the mean of its three intensities, rounded to an integer. The
# photograph is a bright flower on a dark background.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.base import clone
from sklearn.datasets import load_sample_image

from emgmm import GaussianMixture
from emgmm.drawing import COLOURS

image = load_sample_image("flower.jpg")
pixels = image.mean(axis=2).round().reshape(-1, 1)
distinct, counts = np.unique(pixels, return_counts=True)
distinct = distinct[:, None]
print("pixels:", len(pixels), " distinct values:", len(distinct))

# %%
# The same fit from fewer rows
# ----------------------------
#
# A weight of 2 is equivalent to two equal rows. From the same start, the two fits make the same
# iterations up to rounding, and the second one reads 216 rows in each of them instead of 273280.
# Their BIC is also the same, because its number of rows is the sum of the weights.

mixture = GaussianMixture(
    2,
    weights_init=[0.5, 0.5],
    means_init=[[50.0], [150.0]],
    precisions_init=[[[1 / 400]], [[1 / 400]]],  # standard deviations of 20
    tol=1e-6,
    max_iter=500,
)
repeated = clone(mixture).fit(pixels)
weighted = clone(mixture).fit(distinct, sample_weight=counts)
print("iterations:", repeated.n_iter_, weighted.n_iter_)
difference = np.abs(repeated.means_ - weighted.means_).max()
print(f"largest difference of means: {difference:.0e}")
bic = repeated.bic(pixels), weighted.bic(distinct, sample_weight=counts)
print(f"relative difference of the BIC: {abs(bic[1] / bic[0] - 1):.0e}")

# %%
# Without the weights
# -------------------
#
# A fit that ignores the counts describes the distribution of the distinct values, in which a value
# of a single pixel counts as much as a value of thousands.

ignored = clone(mixture).fit(distinct)
for name, model in (("weighted", weighted), ("counts ignored", ignored)):
    print(f"{name}: log-likelihood {model.score(pixels):.3f} per pixel")
    for k in range(2):
        mean, sd = model.means_[k, 0], np.sqrt(model.covariances_[k, 0, 0])
        print(f"   {model.weights_[k]:.0%} with mean {mean:.0f}, sd {sd:.0f}")

# %%

_, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.bar(
    distinct[:, 0],
    counts / counts.sum(),
    width=1,
    color="0.85",
    label="pixels",
)
x = np.linspace(0, 255, 500)[:, None]
for name, model, colour, style in (
    ("weighted by counts", weighted, COLOURS[0], "-"),
    ("counts ignored", ignored, COLOURS[1], "--"),
):
    density = np.exp(model.score_samples(x))
    ax.plot(x, density, style, color=colour, lw=2, label=name)
ax.set(xlabel="brightness (0 to 255)", ylabel="proportion", xlim=(0, 255))
_ = ax.legend(frameon=False)

# %%
# **Insight:** pass counts as ``sample_weight``. Without them, the fit describes another
# distribution. :doc:`/guide/weights` explains which number of rows the BIC should use if weights
# are not counts, as in surveys.
