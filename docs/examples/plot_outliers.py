"""
Outliers in incomplete rows
===========================

A row is an outlier if a mixture gives it a low density. Densities of rows with missing values
cannot be compared with those of complete rows, but probabilities of a higher density can. The data
are measurements of 357 benign tumours of the breast and of 20 malignant ones. The fit does not know
which are which.
"""

# %%
# A table with missing values
# ---------------------------
#
# A third of the values are removed at random.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from emgmm import GaussianMixtureOutlierDetector
from emgmm.drawing import COLOURS, GREY

data = load_breast_cancer(as_frame=True)
columns = ["mean radius", "mean texture", "mean smoothness", "mean concave points"]
benign = data.frame[data.target == 1][columns]
malignant = data.frame[data.target == 0][columns].sample(20, random_state=0)
complete = np.vstack((benign, malignant))
is_malignant = np.arange(len(complete)) >= len(benign)

random = np.random.default_rng(0)
X = np.where(random.random(complete.shape) < 1 / 3, np.nan, complete)
print(f"{np.isnan(X).any(axis=1).mean():.0%} of {len(X)} rows are incomplete")

# %%
# Scores
# ------
#
# ``anomaly_score`` is the probability, in the fitted mixture, of a density that is higher than that
# of the row, in the features that the row has. The area under the ROC curve measures how well a
# score separates malignant from benign tumours: 1 is perfect, and 0.5 is expected by chance. The
# density itself is a worse score, because its size depends on which values are missing.

settings = {"covariance_type": "VEV", "level": 0.95, "random_state": 0}
detector = GaussianMixtureOutlierDetector(2, **settings).fit(X)
score, log_density = detector.anomaly_score(X), detector.model_.score_samples(X)
print(f"anomaly_score: {roc_auc_score(is_malignant, score):.2f}")
print(f"log-density:   {roc_auc_score(is_malignant, -log_density):.2f}")
whole = GaussianMixtureOutlierDetector(2, **settings).fit(complete)
area = roc_auc_score(is_malignant, whole.anomaly_score(complete))
print(f"anomaly_score without missing values: {area:.2f}")

# %%
# Outliers
# --------
#
# ``predict`` returns -1 for rows outside of the region of highest density that has the probability
# ``level`` in the mixture, here 0.95. One in twenty rows from the mixture would be an outlier,
# whatever is missing. Fewer of the benign tumours are outliers, because the fit includes the
# malignant ones.

is_outlier = detector.predict(X) == -1
n_missing = np.isnan(X).sum(axis=1)
print(
    f"{is_outlier.sum()} rows are outliers, {(is_outlier & is_malignant).sum()} of them malignant"
)
for missing, chosen in (("none", n_missing == 0), ("one", n_missing == 1), ("more", n_missing > 1)):
    own = chosen & ~is_malignant
    print(f"missing: {missing:4}  {is_outlier[own].mean():.1%} of {own.sum()} benign tumours")

# %%
# Pictures
# --------
#
# The panels show all rows by the number of their missing values. The log-densities in the left
# panel are in bands, one for each set of observed features, because densities have the units of
# these features. The scores in the right panel are comparable. The line is the threshold.

_, axes = plt.subplots(1, 2, figsize=(8.4, 3.7), layout="constrained")
position = n_missing + random.uniform(-0.3, 0.3, len(X))
for ax, values, label in (
    (axes[0], log_density, "log-density"),
    (axes[1], score, "anomaly_score"),
):
    ax.scatter(
        position[~is_malignant], values[~is_malignant], s=9, color=GREY, lw=0, label="benign"
    )
    ax.scatter(
        position[is_malignant],
        values[is_malignant],
        s=28,
        marker="^",
        color=COLOURS[1],
        label="malignant",
    )
    ax.set(xlabel="missing values", ylabel=label, xticks=range(5))
axes[1].axhline(detector.level, color="black", lw=0.8)
_ = axes[1].legend(loc="lower right", fontsize="small")

# %%
# **Insight:** where values are missing, compare rows by the probability of a higher density, and
# not by the density.
