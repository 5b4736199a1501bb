"""
Missing values without imputation
=================================

A Gaussian mixture can be fitted to the observed values of incomplete rows, so that no row is
discarded and nothing has to be imputed beforehand. This example removes a fifth of the values of a
table, and compares the fit with a fit to the complete rows and with the imputers of scikit-learn.
"""

# %%
# A table with missing values
# ---------------------------
#
# The table contains ten measurements of each of 569 tumours. A fifth of the values is removed at
# random. The measurements are in units of their standard deviations.

import warnings

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import scale

from emgmm import GaussianMixture
from emgmm.drawing import COLOURS

cancer = load_breast_cancer()
truth = scale(cancer.data[:, :10])
removed = np.random.default_rng(0).random(truth.shape) < 0.2
X = np.where(removed, np.nan, truth)
complete_rows = X[~np.isnan(X).any(axis=1)]
print("rows:", len(X), " of these complete:", len(complete_rows))

# %%
# Three fits
# ----------
#
# The first fit uses the observed values of all rows, the second one only the complete rows, and
# the third one all rows after imputation from the five nearest neighbours. All have two components
# with full covariances. If a fit issues a warning, its name is printed.


def fit(rows):
    """Fit two components and print the names of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = GaussianMixture(2, tol=1e-4, max_iter=500, random_state=0).fit(rows)
    for warning in caught:
        print("  ", type(warning.message).__name__)
    return model


print("all rows, observed values")
ours = fit(X)
print("complete rows")
complete = fit(complete_rows)
print("nearest neighbours")
neighbours = fit(KNNImputer().fit_transform(X))

# %%
# The log-likelihood of the whole table, of which these fits used only a part, shows how well each
# of them describes the data. The adjusted Rand index compares the two components with the
# diagnosis, malignant or benign; it is 1 for perfect agreement and about 0 for random labels. The
# last line is for a fit to the whole table. The fit to the complete rows has too few rows: one of
# its components collapsed, as the warning above shows.

fits = {
    "observed values": ours,
    "complete rows": complete,
    "nearest neighbours": neighbours,
    "whole table": fit(truth),
}
print("                   log-likelihood per row   adjusted Rand index")
for name, model in fits.items():
    index = adjusted_rand_score(cancer.target, model.predict(truth))
    print(f"{name:18} {model.score(truth):17.2f} {index:22.2f}")

# %%
# Imputation
# ----------
#
# ``impute`` replaces each missing value by its conditional expectation, given the observed values
# of the row. The error is the root of the mean squared difference from the removed values, in
# standard deviations.

imputed = {
    "mean": SimpleImputer().fit_transform(X),
    "5 neighbours": KNNImputer().fit_transform(X),
    "mixture": ours.impute(X),
}
_, axes = plt.subplots(1, 3, figsize=(7.6, 3.1), layout="constrained", sharey=True)
for ax, (name, rows) in zip(axes, imputed.items(), strict=True):
    error = np.sqrt(np.mean((rows - truth)[removed] ** 2))
    print(f"{name}: error {error:.2f}")
    ax.scatter(
        truth[removed],
        rows[removed],
        s=5,
        alpha=0.5,
        color=COLOURS[0],
        lw=0,
    )
    ax.axline((0, 0), slope=1, color=COLOURS[1], lw=1)
    ax.set_title(f"{name}: error {error:.2f}", fontsize="medium")
    ax.set(
        xlabel="removed value (sd)",
        aspect="equal",
        xlim=(-3.5, 5.5),
        ylim=(-3.5, 5.5),
    )
_ = axes[0].set_ylabel("imputed value (sd)")

# %%
# **Insight:** even if most values are observed, few rows may be complete. A fit to the observed
# values of all rows loses little compared with a fit to the whole table, whereas one to the
# complete rows may fail. :doc:`/guide/missing` explains when this is valid.
