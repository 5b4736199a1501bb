"""Choice of the limit for coincident components: the closest pair in fits by plain EM."""

import warnings

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_iris, load_wine

from emgmm import GaussianMixture
from emgmm.datasets import old_faithful, question
from emgmm.degeneracy import divergences
from emgmm.drawing import COLOURS

LIMIT = 0.2
data = {
    "question": question().rows,
    "Old Faithful": old_faithful().rows,
    "iris": load_iris().data,
    "wine": load_wine().data,
}


def closest_pairs(rows, start):
    """The smallest divergence of two components, for 2 and 3 of them, all types and three seeds."""
    for n_components in (2, 3):
        for covariance_type in ("full", "tied", "diag", "spherical"):
            for seed in range(3):
                model = GaussianMixture(
                    n_components,
                    covariance_type=covariance_type,
                    init_params=start,
                    max_iter=1000,
                    random_state=seed,
                    break_symmetry=False,
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(rows)
                between = divergences(model._mixture())
                yield between[np.triu_indices(n_components, 1)].min()


_, ax = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
ticks, names, everything = [], [], []
for number, (name, rows) in enumerate(data.items()):
    for shift, (start, colour) in enumerate(zip(("random", "kmeans"), COLOURS, strict=False)):
        found = np.array(list(closest_pairs(rows, start)))
        everything.extend(found)
        height = number + 0.36 * shift - 0.18
        label = f'init_params="{start}"' if number == 0 else None
        style = {"ls": "", "marker": "o", "ms": 6, "mfc": "none", "color": colour}
        ax.plot(found, np.full(len(found), height), label=label, **style)
    ticks.append(number)
    names.append(name)
ax.axvline(LIMIT, color="grey", lw=0.8, ls=":")
ax.annotate(f"{LIMIT}", (LIMIT, 3.4), xytext=(4, 0), textcoords="offset points", fontsize="small")
ax.set_xscale("log")
ax.set_yticks(ticks, names)
ax.set_ylim(3.5, -0.65)
ax.set_xlabel("divergence of the two closest components, nats")
ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)

everything = np.sort(everything)
for side in (everything[everything < LIMIT], everything[everything >= LIMIT]):
    print(f"{len(side)} fits from {side[0]:.2g} to {side[-1]:.2g}")
