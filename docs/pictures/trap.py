"""The question's data from two starts: both components alike, and k-means."""

import numpy as np
from matplotlib import pyplot as plt

from emgmm import GaussianMixture
from emgmm.datasets import question
from emgmm.plots import draw

data = question()
alike = GaussianMixture(
    2,
    reg_covar=0,
    weights_init=[0.5, 0.5],
    means_init=[[10, 10], [10, 10]],
    precisions_init=[np.eye(2) / 10] * 2,
)
sound = GaussianMixture(2, reg_covar=0, random_state=0)
figure, axes = plt.subplots(
    1, 2, figsize=(9.6, 4.2), layout="constrained", sharex=True, sharey=True
)
for ax, model, title in (
    (axes[0], alike, "from two components alike"),
    (axes[1], sound, "from k-means"),
):
    draw(model.fit(data.rows), data.rows, data.feature_names, ax)
    ax.set_title(f"{title}: {model.lower_bound_:.4f} per row", fontsize="medium")
    ax.legend(frameon=False, fontsize="small", loc="upper left")
