"""
A stream whose distribution changes
===================================

``partial_fit`` updates a mixture with rows that arrive in blocks and are not stored. If their
distribution changes over time, the parameter ``forgetting`` determines how fast the mixture
follows.
"""

# %%
# Lines of a scanner
# ------------------
#
# A line scanner, as in a satellite, records an image line by line. Here a photograph arrives in
# this order, from the top to the bottom: each line is a block of 640 pixels, and each pixel is a
# row of three intensities. The distribution of the colours changes from the sky to the trees.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_image

from emgmm import GaussianMixture
from emgmm.drawing import COLOURS, GREY

image = load_sample_image("china.jpg")
lines = image[::2].astype(float)  # every second line, to save time
print("blocks, rows of a block, features:", lines.shape)

# %%
# Three ways to use the stream
# ----------------------------
#
# All mixtures have four components and start from the first 40 lines. The first is fitted to them
# and is not updated. The second is updated with each further line; with the default parameters,
# each further line changes the mixture less than those before it. The third uses
# ``forgetting=0.3``, with which the influence of a line is halved after about two more lines.
# Before each update, the mean log-density of the new line measures how well the mixture predicts
# it.

parameters = {"n_components": 4, "reg_covar": 1.0, "random_state": 0}
START = 40


def predict_and_update(model):
    """Mean log-density of each line before the mixture is updated with it."""
    scores = []
    for line in lines[START:]:
        scores.append(model.score(line))
        model.partial_fit(line)
    return np.array(scores)


first = lines[:START].reshape(-1, 3)
fixed = GaussianMixture(**parameters, tol=1e-4, max_iter=300).fit(first)
scores = {"not updated": np.array([fixed.score(row) for row in lines[START:]])}
for name, forgetting in (("default", None), ("forgetting=0.3", 0.3)):
    model = GaussianMixture(**parameters, forgetting=forgetting)
    scores[name] = predict_and_update(model.partial_fit(first))
for name, score in scores.items():
    print(f"{name:15} {score.mean():.2f} per row")

# %%
# How fast to forget
# ------------------
#
# Neighbouring lines of a photograph are very similar, so that here fast forgetting predicts best.
# On a stream that changes slowly, it would make the estimates noisy.

for forgetting in (0.03, 0.3, 1.0):
    model = GaussianMixture(**parameters, forgetting=forgetting)
    score = predict_and_update(model.partial_fit(first)).mean()
    print(f"forgetting={forgetting}: {score:.2f} per row")

# %%

_, (left, right) = plt.subplots(
    1,
    2,
    figsize=(7.6, 3.6),
    layout="constrained",
    width_ratios=(1.2, 1),
    sharey=True,
)
left.imshow(image, extent=(0, 640, len(lines), 0), aspect="auto")
left.set(xlabel="column (pixels)", ylabel="line of the stream")
styles = ((GREY, ":"), (COLOURS[1], "--"), (COLOURS[0], "-"))
numbers = np.arange(START, len(lines))
for name, (colour, style) in zip(scores, styles, strict=True):
    right.plot(scores[name], numbers, style, color=colour, label=name)
right.set(xlabel="mean log-density of the line", xlim=(-21, -7))
_ = right.legend(loc="upper left", frameon=False, fontsize="small")

# %%
# **Insight:** a mixture that is fitted once describes later lines poorly, and the default of
# ``partial_fit``, which is intended for streams whose distribution does not change, follows with a
# growing delay. Choose ``forgetting`` by the log-density of new blocks, as above.
# :doc:`/guide/streams` explains the update.
