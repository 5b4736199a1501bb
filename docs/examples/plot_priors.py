"""
Priors where the likelihood has no maximum
==========================================

The likelihood of a mixture grows without bound if a component shrinks onto too few rows. A prior
bounds it. This example shows both for 178 wines with thirteen features, and then compares the
predictions of different priors.
"""

# %%
# A likelihood without a maximum
# ------------------------------
#
# A full covariance in thirteen dimensions needs at least fourteen rows. One of four components ends
# with nine rows. Without the regularization by ``reg_covar``, its covariance would be singular. The
# smaller ``reg_covar`` is, the higher is the likelihood.

import textwrap
import warnings

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_wine
from sklearn.model_selection import KFold, cross_val_score
from sklearn.preprocessing import scale

from emgmm import EMWarning, GaussianMixture, NormalInverseWishart

X = scale(load_wine().data)
settings = {"tol": 1e-6, "max_iter": 1000, "random_state": 0}
ridges = [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12]
scores = {3: [], 4: []}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", EMWarning)  # the warning is printed below
    for ridge in ridges:
        for K in scores:
            model = GaussianMixture(K, reg_covar=ridge, **settings).fit(X)
            scores[K].append(model.score(X))
        print(f"reg_covar {ridge:.0e}: ", *(f"K={K} {scores[K][-1]:8.3f} " for K in scores))

# %%
# With three components the score hardly depends on ``reg_covar``, and with four it has no limit. If
# ``reg_covar`` is sufficiently small, any criterion that contains the likelihood prefers four
# components. ``fit`` issues a warning:

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    GaussianMixture(4, **settings).fit(X)
for warning in caught:
    print(f"{warning.category.__name__}, components {warning.message.components}")
    print(textwrap.fill(str(warning.message), 78))

# %%
# Without regularization the fit fails:

try:
    GaussianMixture(4, reg_covar=0, **settings).fit(X)
except ValueError as error:
    print(textwrap.fill(str(error), 78))

# %%
# A prior
# -------
#
# ``prior="conjugate"`` computes the mode of the posterior distribution, which exists for any number
# of rows. ``reg_covar`` is not used, and the scale of the prior is derived from the data, so that
# no number in the units of the data has to be chosen. The small component is kept, and there is no
# warning.

with warnings.catch_warnings():
    warnings.simplefilter("error", EMWarning)
    model = GaussianMixture(4, prior="conjugate", **settings).fit(X)
print("rows:", (model.weights_ * len(X)).round(1), " score:", round(model.score(X), 3))
print("smallest variances:", np.linalg.eigvalsh(model.covariances_)[:, 0].round(4))

# %%
# The scale of a prior
# --------------------
#
# The default is a prior for small components. Before any row is observed, the most probable
# covariance is :math:`\Lambda / (\nu + D + 2)`, where :math:`\Lambda` is ``scale`` and :math:`\nu =
# D + 2` is ``dof``. With thirteen features this is a thirtieth of :math:`\Lambda`, which is itself
# smaller than the covariance of the data. Hence the default prevents the collapse, but all
# components are narrower than the data around them, which lowers the likelihood of new rows.
#
# If new rows are to be predicted, choose the scale such that the most probable covariance is what
# you expect of a component, here the covariance of all rows divided by :math:`K^{2/D}`. Five-fold
# cross-validation compares the choices. (The scale is computed once from all rows, as is the
# standardization of the features.)

D = X.shape[1]


def own_prior(K):
    expected = np.cov(X.T) / K ** (2 / D)
    return NormalInverseWishart(dof=D + 2, scale=(2 * D + 4) * expected)


numbers = range(1, 6)
folds = KFold(5, shuffle=True, random_state=0)
choices = {
    "reg_covar=1e-6": [{"reg_covar": 1e-6} for K in numbers],
    'prior="conjugate"': [{"prior": "conjugate"} for K in numbers],
    "own scale": [{"prior": own_prior(K)} for K in numbers],
}
held_out = {}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", EMWarning)
    for name, parameters in choices.items():
        models = [
            GaussianMixture(K, random_state=0, **options)
            for K, options in zip(numbers, parameters, strict=True)
        ]
        held_out[name] = [cross_val_score(mixture, X, cv=folds).mean() for mixture in models]
        print(f"{name:18}", np.round(held_out[name], 2))

# %%
# The picture shows the likelihood of the fitted rows on the left, which for four components rises
# by about the same amount each time ``reg_covar`` is divided by 100, and that of held-out rows on
# the right.

colours = {"reg_covar=1e-6": "#D55E00", 'prior="conjugate"': "#009E73", "own scale": "#0072B2"}
markers = {"reg_covar=1e-6": "o", 'prior="conjugate"': "s", "own scale": "^"}
figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4), layout="constrained")
left.semilogx(ridges, scores[4], "o-", color="#D55E00", label="4 components")
left.semilogx(ridges, scores[3], "o--", color="black", label="3 components")
left.axhline(model.score(X), color="#009E73", ls=":", lw=2, label="4 components, conjugate prior")
left.set(xlabel="reg_covar", ylabel="log-likelihood (nats per row)", title="Fitted rows")
left.invert_xaxis()
left.legend()
for name, values in held_out.items():
    right.plot(numbers, values, color=colours[name], marker=markers[name], label=name)
right.set(xlabel="number of components", title="Held-out rows", xticks=list(numbers))
_ = right.legend()

# %%
# **Insight:** where a component has fewer rows than its covariance needs, the likelihood is
# determined by the regularization. With a prior, a maximum exists. For predictions the scale of the
# prior is important, and should express what is known about the components.
