"""The log-likelihood over the iterations of EM, from means 0.001 apart in each feature."""

import warnings

import numpy as np
from matplotlib import pyplot as plt

from emgmm import GaussianMixture
from emgmm.datasets import question
from emgmm.drawing import COLOURS

starts = {
    "full": [np.eye(2) / 10] * 2,
    "tied": np.eye(2) / 10,
    "diag": np.full((2, 2), 0.1),
    "spherical": np.full(2, 0.1),
}
rows = question().rows
styles = zip(COLOURS, ("o", "x", "o", "x"), strict=False)
_, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (kind, precisions), (colour, marker) in zip(starts.items(), styles, strict=True):
    model = GaussianMixture(
        2,
        covariance_type=kind,
        reg_covar=0,
        tol=0,
        max_iter=30,
        weights_init=[0.5, 0.5],
        means_init=[[10, 10], [10.001, 10.001]],
        precisions_init=precisions,
        break_symmetry=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tol=0 never converges
        bounds = model.fit(rows).lower_bounds_
    style = {"color": colour, "lw": 0.8, "marker": marker, "mfc": "none", "ms": 6}
    ax.plot(range(1, len(bounds) + 1), bounds, label=kind, **style)
ax.axvline(3, color="grey", lw=0.8, ls=":")
ax.annotate("tol=1e-3 stops here", (3.3, -3.8), fontsize="small", color="dimgrey")
ax.set_xlabel("iteration")
ax.set_ylabel("mean log-likelihood per row")
ax.legend(frameon=False, fontsize="small", loc="lower right")
