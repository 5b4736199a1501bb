"""
Segmentation of an image by colour
==================================

The pixels of a photograph form clusters of similar colours. A mixture of such clusters divides the
image into segments, and provides the probability that each pixel belongs to its segment.
"""

# %%
# Pixels as rows
# --------------
#
# The photograph has 427 x 640 pixels. Each pixel is a row of three integers of eight bits: red,
# green and blue. Such an array can be fitted without conversion. Every second pixel in both
# directions is sufficient for the fit.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_image

from emgmm import GaussianMixture

image = load_sample_image("china.jpg")
pixels = image.reshape(-1, 3)
sample = image[::2, ::2].reshape(-1, 3)
print(pixels.shape, sample.shape, sample.dtype)

# %%
# Five clusters of colours
# ------------------------
#
# The clusters overlap, so that EM converges slowly, and the default ``tol`` would stop it early. A
# smaller ``tol`` and acceleration of EM lead to a maximum.

model = GaussianMixture(5, tol=1e-5, max_iter=300, acceleration="anderson", random_state=0)
model.fit(sample)
print(model.ending_.name, "after", model.n_iter_, "iterations")
for k in np.argsort(-model.weights_):
    sds = np.sqrt(np.diagonal(model.covariances_[k]))
    print(f"{model.weights_[k]:.0%} of the pixels")
    print("   means", *model.means_[k].round())
    print("   standard deviations", *sds.round())

# %%
# The segments
# ------------
#
# Each pixel of the whole photograph is assigned to its most probable component. Where two
# components are nearly as probable, the assignment is uncertain.

probabilities = model.predict_proba(pixels)
labels, largest = probabilities.argmax(axis=1), probabilities.max(axis=1)
for limit in (0.6, 0.9):
    print(f"probability below {limit}: {(largest < limit).mean():.0%} of the pixels")

segments = model.means_[labels].round().astype(np.uint8)
figure, axes = plt.subplots(1, 3, figsize=(7.6, 2.2), layout="constrained")
axes[0].imshow(image)
axes[0].set_title("photograph", fontsize="medium")
axes[1].imshow(segments.reshape(image.shape))
axes[1].set_title("mean of the component", fontsize="medium")
certainty = largest.reshape(image.shape[:2])
shown = axes[2].imshow(certainty, cmap="gray", vmin=0.4, vmax=1)
axes[2].set_title("probability of the component", fontsize="medium")
figure.colorbar(shown, ax=axes[2], shrink=0.8)
for ax in axes:
    ax.set(xticks=[], yticks=[])

# %%
# **Insight:** the components correspond roughly to the sky, the haze over the water and the hills,
# the pavilion, the trees and the shadows, although the mixture does not know the positions of the
# pixels. The probabilities show where colours alone do not separate them, as at the horizon.
