"""
Components that start at the same place
=======================================

If two components of a mixture start with the same parameters, EM cannot separate them, and the
log-likelihood seems to have converged. This example compares the fits of scikit-learn and of emgmm
from such a start.
"""

# %%
# The start
# ---------
#
# The rows form two clusters of 1000 rows each, around (0, 0) and (5, 5), with unit covariance. Both
# components start with the mean (10, 10), the covariance 10 *I* and the weight one half.

import textwrap
import warnings

import numpy as np
from matplotlib import pyplot as plt
from sklearn.mixture import GaussianMixture as ScikitLearnMixture

from emgmm import GaussianMixture, GaussianMixtureDisplay
from emgmm.datasets import question

data = question()
X = data.rows
start = {
    "n_components": 2,
    "weights_init": [0.5, 0.5],
    "means_init": [[10, 10], [10, 10]],
    "precisions_init": [np.eye(2) / 10, np.eye(2) / 10],
    "reg_covar": 0,
    "random_state": 0,
}

# %%
# scikit-learn
# ------------
#
# The fit ends after three iterations without a warning, and reports that it has converged. The two
# components have the same parameters: the mean and the covariance of all rows.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    theirs = ScikitLearnMixture(**start).fit(X)
print("warnings:", len(caught))
print("converged:", theirs.converged_)
print("iterations:", theirs.n_iter_)
print("means:", theirs.means_.round(3).tolist())
print("log-likelihood per row:", round(theirs.score(X), 4))

# %%
# The equations of EM explain the result. Identical components have equal responsibilities for
# every row, and equal responsibilities lead to identical components in the next iteration. This is
# a fixed point of EM, but not a maximum of the likelihood.
#
# emgmm
# -----
#
# From the same start, emgmm finds that EM is at rest with identical components. It splits them,
# continues, and issues a warning.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ours = GaussianMixture(**start).fit(X)
warning = caught[0].message
print(type(warning).__name__)
print(textwrap.fill(str(warning), 72))

# %%
# The attributes of the warning are the identical components, and the log-likelihood per row before
# and after the split.

print("components:", warning.components)
print("before:", round(warning.before, 4))
print("after:", round(warning.after, 4))
print("means:", ours.means_.round(3).tolist())

# %%
# The animation shows the iterations of both fits. Grey rows belong to both components in equal
# parts; coloured rows belong to one component.
#
# .. image:: /pictures/em.gif
#    :alt: Animation. Left, scikit-learn: two identical ellipses move to the middle of both
#          clusters and remain there, at the log-likelihood -4.1166. Right, emgmm: the ellipses do
#          the same, are then split, and move to one cluster each, at the log-likelihood -3.5255.
#
# The course of the iterations
# ----------------------------
#
# The attribute ``history_`` contains the log-likelihood after each iteration, and the iteration at
# which the components were split.

history = ours.history_
for objective, event in zip(history["objective"], history["event"], strict=True):
    print(f"{objective:9.4f}  {event}")

# %%

_, axes = plt.subplots(1, 2, figsize=(7.5, 4), sharey=True, layout="constrained")
models = {
    "scikit-learn": GaussianMixture.from_sklearn(theirs),
    "emgmm": ours,
}
for ax, (name, model) in zip(axes, models.items(), strict=True):
    GaussianMixtureDisplay.from_estimator(model, X, ax=ax)
    ax.set(xlabel=data.feature_names[0], ylabel=data.feature_names[1], xlim=(-6, 11))
    ax.set_title(f"{name}: {model.score(X):.4f} per row")

# %%
# **Insight:** if the log-likelihood no longer changes, EM has not necessarily found a maximum.
# Start from components that differ, and read the warnings of a fit. :doc:`/guide/identical`
# explains the warning and the split.
