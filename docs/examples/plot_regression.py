"""
Regression by a mixture
=======================

The relation between two measurements may differ among groups that nobody has recorded. A mixture of
the features and the response finds such groups, and predicts by the regressions within them. The
data are measurements of 178 wines; the response is the intensity of the colour.
"""

# %%
# Number of components
# --------------------
#
# With one component, the regression is ordinary least squares. More components describe a
# regression function that is not linear. The coefficient of determination of rows that were not
# fitted, by cross-validation, decides how many are useful.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_wine
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import RepeatedKFold, cross_val_score

from emgmm import GaussianMixtureRegressor
from emgmm.drawing import COLOURS, GREY

wine = load_wine(as_frame=True).data
X, y = wine[["flavanoids", "hue"]], wine["color_intensity"]
folds = RepeatedKFold(n_splits=10, n_repeats=3, random_state=0)
print(f"least squares: R2 {cross_val_score(LinearRegression(), X, y, cv=folds).mean():.2f}")
for n_components in (1, 2, 3):
    model = GaussianMixtureRegressor(n_components, n_init=3, random_state=0)
    print(f"n_components={n_components}: R2 {cross_val_score(model, X, y, cv=folds).mean():.2f}")

# %%
# Intervals
# ---------
#
# ``predict_quantile`` returns quantiles of the response. Of rows that were not fitted, nine in ten
# should be in an interval of 90 %.

model = GaussianMixtureRegressor(3, n_init=3, random_state=0)
inside = []
for train, test in folds.split(X):
    model.fit(X.iloc[train], y.iloc[train])
    low, high = model.predict_quantile(X.iloc[test], [0.05, 0.95]).T
    inside.append((low <= y.iloc[test]) & (y.iloc[test] <= high))
print(f"{np.concatenate(inside).mean():.1%} of the rows are in their intervals")

# %%
# Missing features
# ----------------
#
# The fitted model predicts from the features that are observed. Without any, the prediction is the
# mean of the response, and its standard deviation.

model.fit(X, y)
for values in ([0.8, 0.7], [0.8, np.nan], [np.nan, np.nan]):
    row = X.iloc[:1].copy()
    row.iloc[0] = values
    mean, sd = model.predict(row, return_std=True)
    print(f"flavanoids {values[0]}, hue {values[1]}: {mean[0]:.1f}, with sd {sd[0]:.1f}")

# %%
# Pictures
# --------
#
# The left panel shows the mean and the interval given the flavanoids alone, over the rows, and the
# line of least squares. The right panel shows the distribution of the response for three values of
# the flavanoids.

flavanoids = X[["flavanoids"]].to_numpy()
one = GaussianMixtureRegressor(3, n_init=3, random_state=0).fit(flavanoids, y)
x = np.linspace(0.3, 4.0, 200)[:, None]
low, high = one.predict_quantile(x, [0.05, 0.95]).T
_, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.7), layout="constrained")
left.scatter(flavanoids, y, s=10, color=GREY, lw=0)
left.fill_between(x[:, 0], low, high, color=COLOURS[0], alpha=0.2, lw=0, label="5 % to 95 %")
left.plot(x, one.predict(x), color=COLOURS[0], label="mean")
line = LinearRegression().fit(flavanoids, y).predict(x)
left.plot(x, line, "--", color="black", lw=1, label="least squares")
left.set(xlabel="flavanoids", ylabel="colour intensity")
left.legend(frameon=False, fontsize="small")
grid = np.linspace(0, 14, 400)
for value, colour, style in zip((0.8, 1.6, 2.8), COLOURS[1:], ("-", "--", ":"), strict=False):
    density = one.conditional([value]).distribution().pdf(grid)
    right.plot(grid, density, style, color=colour, label=value)
right.set(xlabel="colour intensity", ylabel="density")
_ = right.legend(title="flavanoids", frameon=False, fontsize="small")

# %%
# **Insight:** the colour depends on the flavanoids in different ways in different groups of wines,
# so that a line explains little of it. The mixture finds the groups, and its intervals are wide
# where the response is uncertain.
