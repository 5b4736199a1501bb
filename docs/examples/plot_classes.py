"""
Classification with few known labels
====================================

``GaussianMixtureClassifier`` models each class by a Gaussian mixture. The 178 wines of this example
come from three cultivars. First all cultivars are known, and then only those of 18 wines.
"""

# %%
# Which covariances do the classes have?
# --------------------------------------
#
# With ``components="shared"`` each class has one component, and the criterion selects the family of
# their covariances. EEE is linear and VVV quadratic discriminant analysis, VVI is naive Bayes, and
# the other families impose other constraints.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_wine
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import cross_val_score

from emgmm import GaussianMixtureClassifier

wine = load_wine(as_frame=True)
X = wine.data[["flavanoids", "color_intensity"]]
y = wine.target
model = GaussianMixtureClassifier(components="shared", covariance_type="all").fit(X, y)
order = np.argsort(model.results_["bic"])[:4]
for i in order:
    name, bic = model.results_["covariance_type"][i], model.results_["bic"][i]
    score = cross_val_score(model.set_params(covariance_type=str(name)), X, y, cv=5).mean()
    print(f"{name}: BIC {bic:.1f}, accuracy in cross-validation {score:.3f}")

# %%
# A mixture for each class
# ------------------------
#
# With ``components="separate"``, the default, each class has a mixture of its own, of which the
# criterion selects the number of components and the family.

model = GaussianMixtureClassifier([1, 2, 3], covariance_type="all", random_state=0).fit(X, y)
for name, mixture in zip(wine.target_names, model.mixtures_, strict=True):
    print(f"{name}: {mixture.n_components} of {mixture.covariance_type}")

# %%
# Wines whose cultivar is not known
# ---------------------------------
#
# Now the cultivar is known only for every tenth wine, and is -1 for the others. These take part in
# the fit by EM, and make the estimates of the covariances more precise.

few = y.where(np.arange(len(y)) % 10 == 0, -1)
settings = {"covariance_type": "VVI", "components": "shared"}
known = few >= 0
supervised = GaussianMixtureClassifier(**settings).fit(X[known], y[known])
semi = GaussianMixtureClassifier(**settings, unlabeled=-1).fit(X, few)
for title, each in (("labelled wines only", supervised), ("all wines", semi)):
    print(f"{title}: accuracy {each.score(X[~known], y[~known]):.3f}")

# %%
# The following figure shows the regions of the classes, with the wines in the colours of
# their cultivars and the labelled ones as large dots.

figure, axes = plt.subplots(1, 2, figsize=(9.6, 4), sharey=True, layout="constrained")
for ax, each, title in zip(
    axes, (supervised, semi), ("labelled wines only", "all wines"), strict=True
):
    DecisionBoundaryDisplay.from_estimator(
        each, X, response_method="predict", alpha=0.25, ax=ax, multiclass_colors="viridis"
    )
    ax.scatter(X["flavanoids"], X["color_intensity"], c=y, s=8, cmap="viridis")
    ax.scatter(
        X["flavanoids"][known], X["color_intensity"][known], c=y[known], s=60, edgecolor="black"
    )
    ax.set_title(title)

# %%
# **Insight:** the density of the features contains information about the classes even without
# labels, provided that the classes have the shape that the family assumes.
