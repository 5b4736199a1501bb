"""
Coming from scikit-learn
========================

Only one import has to be changed. The same seeds lead to the same fits. Pipelines and grid searches
work without changes, and a fit provides more information.
"""

# %%
# One import
# ----------
#
# In code that uses ``sklearn.mixture.GaussianMixture``, one line changes:
#
# .. code-block:: diff
#
#    -from sklearn.mixture import GaussianMixture
#    +from emgmm import GaussianMixture
#
# The parameters, their order and their defaults are the same. Here both classes fit the iris
# flowers, under different names:

import textwrap
import warnings

import numpy as np
import sklearn.mixture
from matplotlib import pyplot as plt
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emgmm import EMWarning, GaussianMixture, GaussianMixtureDisplay

X = load_iris().data
for kind in ("full", "tied", "diag", "spherical"):
    for seed in range(5):
        settings = {"n_components": 3, "covariance_type": kind, "random_state": seed}
        theirs = sklearn.mixture.GaussianMixture(**settings).fit(X)
        ours = GaussianMixture(**settings).fit(X)
        assert ours.n_iter_ == theirs.n_iter_
        assert np.allclose(ours.means_, theirs.means_, rtol=1e-9)
        assert np.array_equal(ours.predict(X), theirs.predict(X))
    print(f"{kind:9} seeds 0 to 4: the same iterations, means and labels")

# %%
# One number differs on purpose: ``lower_bound_`` belongs to the parameters that are returned, and
# is therefore equal to ``score(X)``. In scikit-learn it belongs to the parameters of the previous
# iteration.

theirs = sklearn.mixture.GaussianMixture(3, random_state=0).fit(X)
ours = GaussianMixture(3, random_state=0).fit(X)
print(f"scikit-learn: {theirs.lower_bound_:.6f}, score {theirs.score(X):.6f}")
print(f"emgmm:        {ours.lower_bound_:.6f}, score {ours.score(X):.6f}")

# %%
# Pipelines and grid searches
# ---------------------------
#
# ``score`` is the mean log-likelihood of held-out rows, which ``GridSearchCV`` maximizes.

pipeline = make_pipeline(StandardScaler(), GaussianMixture(tol=1e-6, max_iter=1000, random_state=0))
grid = {
    "gaussianmixture__n_components": [1, 2, 3],
    "gaussianmixture__covariance_type": ["full", "tied", "VEV"],
}
order = np.random.default_rng(0).permutation(len(X))  # the rows of iris are sorted by species
search = GridSearchCV(pipeline, grid, cv=5).fit(X[order])
print(f"{search.best_score_:.3f}", search.best_params_)

# %%
# The last covariance family in this grid, VEV, is one of those that scikit-learn does not have.
# ``GaussianMixtureIC`` selects by an information criterion instead, for which no cross-validation
# is needed (:doc:`/gallery/plot_choosing`).
#
# Additional information
# ----------------------
#
# A fit states why it ended, and how much it might still gain.

model = GaussianMixture(3, random_state=0).fit(X)
print(model.ending_.name, "-", model.ending_.sentence)
print(f"remaining gain: {model.remaining_gain_:.1e} nats per row")
print(model.summary(X))

# %%
# ``diagnose`` examines the components and the point at which EM stopped.

print(model.diagnose(X, certify=True))

# %%
# If a fit has failed, a warning is issued. The following start, from which EM cannot separate the
# components, causes no warning in scikit-learn: with a shared covariance and random
# responsibilities, all three means remain in the middle.

random = {
    "n_components": 3,
    "covariance_type": "tied",
    "init_params": "random",
    "random_state": 0,
}
silent = sklearn.mixture.GaussianMixture(**random).fit(X)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    split = GaussianMixture(**random).fit(X)
for warning in caught:
    print(warning.category.__name__)
    print(textwrap.fill(str(warning.message), 78))
print(f"scikit-learn: converged {silent.converged_}, score {silent.score(X):.3f}")
print(f"emgmm:        converged {split.converged_}, score {split.score(X):.3f}")

# %%
# All warnings about a fit have the base class ``EMWarning``, so that one filter turns them into
# errors. A fit that reached ``max_iter`` issues scikit-learn's ``ConvergenceWarning``.

with warnings.catch_warnings():
    warnings.simplefilter("error", EMWarning)
    warnings.simplefilter("error", ConvergenceWarning)
    GaussianMixture(3, random_state=0).fit(X)

# %%
# Conversion in both directions
# -----------------------------
#
# A model that was fitted by scikit-learn can be diagnosed, drawn and saved, and a model of emgmm
# can be passed to code that requires scikit-learn's class.

adopted = GaussianMixture.from_sklearn(silent)
report = adopted.diagnose(X)
print("coincident components:", report.coincident)
returned = split.to_sklearn()
print(type(returned).__module__, np.array_equal(returned.predict(X), split.predict(X)))

# %%
# The picture shows the two fits from the random start, in the last two features.

figure, axes = plt.subplots(1, 2, figsize=(9.6, 4), sharex=True, sharey=True, layout="constrained")
titles = ("scikit-learn: three identical components", "emgmm: split, with a warning")
for ax, fitted, title in zip(axes, (adopted, split), titles, strict=True):
    GaussianMixtureDisplay.from_estimator(fitted, X, features=[2, 3], ax=ax)
    _ = ax.set(title=title, xlabel="petal length (cm)", ylabel="petal width (cm)")
_ = axes[1].set_ylabel("")

# %%
# **Insight:** with the new import, successful fits have the same results, and a failed fit causes a
# warning.
