"""
Outliers and the noise component
================================

A few outliers can change all clusters of a mixture. A noise component with a constant density
represents them, and identifies their rows. The data are four measurements of 178 wines; in one row
in ten, the decimal point of a value was omitted.
"""

# %%
# Wines with wrong values
# -----------------------
#
# The wines are from three cultivars, which the mixture does not know. In the rows that ``is_wrong``
# marks, one of the four values is ten times as large as it should be.

import warnings

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score

from emgmm import GaussianMixture, GaussianMixtureDisplay

wine = load_wine(as_frame=True)
columns = ["alcohol", "flavanoids", "color_intensity", "proline"]
correct = wine.data[columns]
cultivar = wine.target.to_numpy()

random = np.random.default_rng(0)
is_wrong = random.random(len(correct)) < 0.1
X = correct.copy()
for i in np.flatnonzero(is_wrong):
    X.iloc[i, random.integers(4)] *= 10
print(f"{is_wrong.sum()} of {len(X)} rows are wrong")

# %%
# Three fits
# ----------
#
# The adjusted Rand index compares the components with the cultivars, on the rows without errors: 1
# is perfect agreement, and 0 is expected by chance. It is computed for the correct data, and for
# the data with errors without and with a noise component. Apart from the data, only the argument
# ``noise`` differs.

settings = {
    "n_components": 3,
    "init_params": "whitened-kmeans",  # the units of the features are not comparable
    "n_init": 5,
    "tol": 1e-6,
    "max_iter": 1000,
    "random_state": 0,
}
reference = GaussianMixture(**settings).fit(correct)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    plain = GaussianMixture(**settings).fit(X)
robust = GaussianMixture(**settings, noise="uniform").fit(X)
for name, model, rows in [
    ("correct data", reference, correct),
    ("without noise", plain, X),
    ("with noise", robust, X),
]:
    agreement = adjusted_rand_score(cultivar[~is_wrong], model.predict(rows)[~is_wrong])
    print(f"{name:14} agreement {agreement:.2f}, BIC {model.bic(rows):.1f}")

# %%
# The noise component adds two parameters, and the BIC of the fit with it is much lower. Without it,
# two of the components describe the outliers, and the third one contains all cultivars. A warning
# indicates that something is wrong: one component has too few rows.

print(caught[0].category.__name__, caught[0].message.components)
print("rows of each component without noise:", (plain.weights_ * len(X)).round())
print("rows of each component with noise:   ", (robust.weights_ * len(X)).round())
print("rows of the noise component:", round(robust.noise_weight_ * len(X), 1))

# %%
# Which rows are outliers
# -----------------------
#
# ``predict`` returns -1 for rows that are most probably noise, and the last column of
# ``predict_proba`` is the probability.

is_outlier = robust.predict(X) == -1
print(f"{is_outlier.sum()} rows are outliers, {(is_outlier & is_wrong).sum()} of them are wrong")
probability = robust.predict_proba(X)[:, -1]
for i in np.flatnonzero(is_outlier & ~is_wrong):
    print(f"row {i} is correct, and unusual: probability of noise {probability[i]:.3f}")
    print(X.iloc[i].to_dict())

# %%
# A threshold on ``score_samples`` of the fit without noise is not a substitute, because in that fit
# the outliers have components of their own:

order = plain.score_samples(X).argsort()[: is_outlier.sum()]
print(f"{is_wrong[order].sum()} of the {len(order)} least likely rows are wrong")

# %%
# The picture shows two of the features. Rings mark the rows with a wrong value, of which some are
# outside the axes, and others are wrong in a feature that is not shown.

figure, axes = plt.subplots(
    1, 2, figsize=(9.6, 4.3), sharex=True, sharey=True, layout="constrained"
)
for ax, model, title in zip(
    axes, (plain, robust), ("Without noise", 'noise="uniform": outliers are grey'), strict=True
):
    GaussianMixtureDisplay.from_estimator(
        model, X, features=["flavanoids", "color_intensity"], ax=ax
    )
    ax.scatter(*X.to_numpy()[is_wrong, 1:3].T, s=60, facecolors="none", edgecolors="black", lw=0.8)
    ax.set(title=title, xlim=(0, 6), ylim=(0, 15))
_ = axes[1].set_ylabel("")

# %%
# **Insight:** a component for outliers adds only two parameters. If outliers are possible, compare
# the BIC with and without it.
