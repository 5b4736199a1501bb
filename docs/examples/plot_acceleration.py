"""
Slow convergence and acceleration
=================================

EM converges slowly where components overlap, and the default ``tol`` then stops it early.
``acceleration="anderson"`` reaches the same maximum in a fraction of the iterations.
"""

# %%
# Where the default stops
# -----------------------
#
# Three components are fitted to the eruptions of Old Faithful. Two of them overlap.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import scale

from emgmm import ConvergenceDisplay, GaussianMixture
from emgmm.datasets import old_faithful

X = old_faithful().rows
early = GaussianMixture(3, random_state=0).fit(X)
late = GaussianMixture(3, tol=1e-9, max_iter=5000, random_state=0).fit(X)
for name, model in [("tol=1e-3", early), ("tol=1e-9", late)]:
    print(f"{name}: {model.n_iter_:3} iterations, {model.score(X) * len(X):.3f} nats")

# %%
# After a few iterations, each further one changes the mean log-likelihood by less than 0.001. Many
# such changes add up to several nats, and the components move considerably:

order = early.means_[:, 0].argsort()
print("means with tol=1e-3\n", early.means_[order].round(2))
order = late.means_[:, 0].argsort()
print("means with tol=1e-9\n", late.means_[order].round(2))

# %%
# Acceleration
# ------------
#
# Anderson acceleration extrapolates from the last few steps of EM, and accepts only what increases
# the likelihood. ``tol`` has the same meaning as without acceleration.

fast = GaussianMixture(3, tol=1e-9, max_iter=5000, acceleration="anderson", random_state=0).fit(X)
print(f"{late.n_iter_} iterations of EM, {fast.n_iter_} with acceleration")
print("difference of the log-likelihoods:", f"{(fast.score(X) - late.score(X)) * len(X):.0e} nats")

# %%
# ``history_`` counts the passes over the data, which include those of rejected extrapolations. The
# following lines compare the passes on other tables with overlapping components:

tables = {
    "Old Faithful, EEE": (X, 4, "EEE"),
    "iris, tied": (load_iris().data, 4, "tied"),
    "wine, tied": (scale(load_wine().data), 6, "tied"),
    "wine, diag": (scale(load_wine().data), 4, "diag"),
    "breast cancer": (PCA(5).fit_transform(scale(load_breast_cancer().data)), 4, "full"),
}
for name, (rows, K, kind) in tables.items():
    passes, scores = [], []
    for acceleration in (None, "anderson"):
        model = GaussianMixture(
            K,
            covariance_type=kind,
            tol=1e-9,
            max_iter=5000,
            acceleration=acceleration,
            init_params="hierarchical",
        ).fit(rows)
        passes.append(model.history_["passes"][-1])
        scores.append(model.score(rows))
    print(f"{name:18} {passes[0]:5} passes, accelerated {passes[1]:4}; scores", np.round(scores, 6))

# %%
# ``ConvergenceDisplay`` draws the history. Triangles mark iterations in which an extrapolation was
# accepted. The dashed line is the limit that Aitken's estimate predicts from the last steps.

figure, axes = plt.subplots(1, 2, figsize=(9.6, 4), sharey=True, layout="constrained")
for ax, model, title in zip(axes, (late, fast), ("EM", 'acceleration="anderson"'), strict=True):
    ConvergenceDisplay.from_estimator(model, ax=ax)
    ax.set_title(title)
axes[0].axvline(early.n_iter_, color="0.5", ls=":")
axes[0].annotate(
    "default tol stops here",
    (early.n_iter_, early.lower_bound_),
    xytext=(20, -30),
    textcoords="offset points",
    arrowprops={"arrowstyle": "-", "color": "0.5"},
)
_ = axes[1].set(ylabel="", ylim=(late.lower_bound_ - 0.06, late.lower_bound_ + 0.005))

# %%
# **Insight:** with a small ``tol`` the result does not depend on where EM was stopped, and
# ``acceleration="anderson"`` avoids most of the additional iterations.
