"""The divergence of the two components over the iterations of plain EM."""

import warnings

import numpy as np
from matplotlib import pyplot as plt

from emgmm import GaussianMixture
from emgmm.datasets import question
from emgmm.degeneracy import divergences
from emgmm.drawing import COLOURS

starts = {
    "full": [np.eye(2) / 10] * 2,
    "tied": np.eye(2) / 10,
    "diag": np.full((2, 2), 0.1),
    "spherical": np.full(2, 0.1),
}
rows = question().rows
styles = zip(COLOURS, ("o", "x", "o", "x"), strict=False)
_, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for (kind, precisions), (colour, marker) in zip(starts.items(), styles, strict=True):
    model = GaussianMixture(
        2,
        covariance_type=kind,
        reg_covar=0,
        tol=0,
        max_iter=1,
        warm_start=True,
        weights_init=[0.5, 0.5],
        means_init=[[10, 10], [10.001, 10.001]],
        precisions_init=precisions,
        break_symmetry=False,
    )
    apart = []
    for _ in range(30):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one iteration never converges
            model.fit(rows)
        apart.append(divergences(model._mixture())[0, 1])
    style = {"color": colour, "lw": 0.8, "marker": marker, "mfc": "none", "ms": 6}
    ax.plot(range(1, 31), apart, label=kind, **style)
ax.axhline(0.2, color="grey", lw=0.8, ls=":")
ax.annotate("0.2: identical, if EM rests below", (30, 0.24), ha="right", fontsize="small")
ax.set_yscale("log")
ax.set_xlabel("iteration")
ax.set_ylabel("divergence of the two, nats")
ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(0.0, 0.52))
