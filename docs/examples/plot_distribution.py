"""
Prediction intervals from a conditional distribution
====================================================

A Gaussian mixture of two measurements describes how one of them is distributed given the other. The
distribution may have two maxima, so that its mean says little. This example computes quantiles of
the petal length of irises, given the sepal length, without the species.
"""

# %%
# A mixture of two measurements
# -----------------------------
#
# The number of components and the covariance family are those with the lowest BIC.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_iris

from emgmm import GaussianMixtureDisplay, GaussianMixtureIC
from emgmm.drawing import COLOURS, GREY

table = load_iris(as_frame=True).data.iloc[:, [0, 2]]
table.columns = ["sepal length", "petal length"]
search = GaussianMixtureIC(range(1, 6), random_state=0).fit(table)
model = search.best_estimator_
print(search.best_params_)

# %%
# Distributions given the sepal length
# ------------------------------------
#
# ``conditional`` returns the distribution of the petal length given a sepal length. It is a
# mixture, whose ``distribution()`` has quantiles.


def petal(sepal_length):
    """Return the distribution of the petal length."""
    return model.conditional({"sepal length": sepal_length}).distribution()


for sepal_length in (4.8, 5.5, 6.5):
    given = petal(sepal_length)
    low, high = given.interval(0.9)
    modes = ", ".join(f"{mode:.1f}" for mode in np.sort(given.modes()[:, 0]))
    print(
        f"sepals of {sepal_length} cm: mean {given.mean():.1f} cm, 90% between {low:.1f} and "
        f"{high:.1f} cm, modes at {modes} cm"
    )

# %%
# How many rows are in the intervals
# ----------------------------------
#
# Over all rows, a 90% interval should contain about 90% of the petal lengths.

intervals = np.array([petal(value).interval(0.9) for value in table["sepal length"]])
inside = (intervals[:, 0] <= table["petal length"]) & (table["petal length"] <= intervals[:, 1])
print(f"{inside.mean():.1%} of the rows are in their intervals")

# %%
# Pictures
# --------
#
# The left panel shows the quantiles given each sepal length, with the rows and the components. The
# right panel shows the conditional densities for three sepal lengths, which
# ``GaussianMixtureDisplay`` can also draw.

_, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.6), layout="constrained")
GaussianMixtureDisplay.from_estimator(model, table, sds=(2,), ax=left)
x = np.linspace(4.2, 8.0, 120)
quantiles = np.array([petal(value).ppf([0.05, 0.5, 0.95]) for value in x])
left.fill_between(x, quantiles[:, 0], quantiles[:, 2], color=GREY, alpha=0.25)
left.plot(x, quantiles[:, 1], color="black", lw=1)
left.set_title("median, and 5% to 95%", fontsize="small")
y = np.linspace(0.5, 7.5, 400)
for sepal_length, colour, style in zip((4.8, 5.5, 6.5), COLOURS, ("-", "--", ":"), strict=False):
    right.plot(y, petal(sepal_length).pdf(y), style, color=colour, label=f"{sepal_length} cm")
right.set(xlabel="petal length (cm)", ylabel="density (per cm)")
_ = right.legend(title="sepal length", frameon=False, fontsize="small")

# %%
# **Insight:** given a sepal length of 5.5 cm the petal length has two modes, because flowers of
# different species have such sepals, and hardly any flower has the mean petal length. Quantiles and
# modes of the conditional distribution show this; a regression of the mean does not.
