"""
A density estimate in one dimension
===================================

A mixture is a smooth estimate of a density that has few parameters. This example estimates the
density of the waiting times between eruptions of Old Faithful, and compares the mixture that the
BIC selects with a histogram and with kernel density estimates.
"""

# %%
# Number of components
# --------------------
#
# In one dimension there are two covariance families: components with equal variances (E) and with
# variances of their own (V). All numbers of components from 1 to 6 are fitted with both.

import numpy as np
from matplotlib import pyplot as plt
from scipy.stats import gaussian_kde
from sklearn.model_selection import KFold

from emgmm import (
    GaussianMixture,
    GaussianMixtureIC,
    InformationCriterionDisplay,
)
from emgmm.datasets import old_faithful
from emgmm.drawing import COLOURS, GREY

waiting = old_faithful().rows[:, [1]]
search = GaussianMixtureIC(range(1, 7), random_state=0).fit(waiting)
model = search.best_estimator_
print(search.best_params_)
for k in model.means_[:, 0].argsort():
    mean, sd = model.means_[k, 0], np.sqrt(model.covariances_[k])
    print(f"weight {model.weights_[k]:.2f}, mean {mean:.1f} min, sd {sd:.1f} min")

# %%
# Log-likelihood of rows that were not fitted
# -------------------------------------------
#
# A good estimate has a high density at new waiting times. In ten-fold cross-validation, each
# estimator is fitted to nine tenths of the rows, and evaluated on the last tenth. The histogram has
# bins of five minutes. There are two kernel density estimates: one with the default bandwidth of
# SciPy, which is intended for a density with a single maximum, and one with half this bandwidth.


def mixture(rows, new):
    model = GaussianMixture(**search.best_params_, random_state=0)
    return model.fit(rows).score_samples(new)


def kernels(rows, new):
    return gaussian_kde(rows[:, 0]).logpdf(new[:, 0])


def narrow_kernels(rows, new):
    default = gaussian_kde(rows[:, 0]).factor
    return gaussian_kde(rows[:, 0], default / 2).logpdf(new[:, 0])


def histogram(rows, new):
    counts, edges = np.histogram(rows, bins=np.arange(40, 101, 5))
    counts += 1  # so that no bin is empty
    density = counts / counts.sum() / np.diff(edges)
    bins = np.searchsorted(edges, new[:, 0], side="right") - 1
    return np.log(density[bins])


folds = list(KFold(10, shuffle=True, random_state=0).split(waiting))
for estimator in (mixture, kernels, narrow_kernels, histogram):
    scores = [estimator(waiting[train], waiting[test]) for train, test in folds]
    score = np.concatenate(scores).mean()
    print(f"{estimator.__name__:14} {score:.3f} per row")

# %%
# The estimates
# -------------

_, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained")
InformationCriterionDisplay.from_estimator(search, ax=left)
x = np.linspace(35, 105, 400)[:, None]
right.hist(
    waiting[:, 0],
    np.arange(40, 101, 5),
    density=True,
    color="0.88",
    label="histogram",
)
right.plot(
    x,
    gaussian_kde(waiting[:, 0])(x[:, 0]),
    "--",
    color=GREY,
    label="default kernels",
)
right.plot(
    x,
    np.exp(model.score_samples(x)),
    color=COLOURS[0],
    lw=2,
    label="mixture",
)
right.set(
    xlabel="waiting time (minutes)",
    ylabel="density (per minute)",
    ylim=(0, 0.055),
)
_ = right.legend(loc="upper left", frameon=False, fontsize="small")

# %%
# **Insight:** the mixture predicts new waiting times as well as kernels with a good bandwidth, and
# the BIC determines its number of components. It has only four parameters: two means, a variance
# and a weight. The components correspond to short and long waiting times.
