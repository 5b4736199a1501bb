"""
Weights: a table of counts
==========================

If equal rows have been counted, the distinct rows with their counts as weights contain the same
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
# Their BIC is the same too: its number of rows is the sum of the weights.

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
print(f"largest difference of means: {np.abs(repeated.means_ - weighted.means_).max():.0e}")
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
        print(f"   {model.weights_[k]:.0%} with mean {mean:.0f}, standard deviation {sd:.0f}")

# %%

_, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
ax.bar(distinct[:, 0], counts / counts.sum(), width=1, color="0.85", label="pixels")
x = np.linspace(0, 255, 500)[:, None]
ax.plot(x, np.exp(weighted.score_samples(x)), color=COLOURS[0], lw=2, label="weighted by counts")
ax.plot(x, np.exp(ignored.score_samples(x)), "--", color=COLOURS[1], lw=2, label="counts ignored")
ax.set(xlabel="brightness (0 to 255)", ylabel="proportion of the pixels", xlim=(0, 255))
ax.legend(frameon=False)

# %%
# **Insight:** pass counts as ``sample_weight``. Without them, the fit describes another
# distribution. :doc:`/guide/weights` explains which number of rows the BIC should
# use if weights are not counts, as in surveys.
