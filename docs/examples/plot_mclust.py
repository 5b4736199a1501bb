"""
Coming from R's mclust
======================

This example shows calls of R's mclust and the corresponding calls of emgmm, and compares their
results on the same data. The comments in the blocks of R code are the results of mclust 6.0.0.
"""

# %%
# .. list-table::
#    :header-rows: 1
#    :widths: 45 55
#
#    * - mclust
#      - emgmm
#    * - ``Mclust(X)``, ``mclustBIC(X)``
#      - ``GaussianMixtureIC().fit(X)``, and its ``results_``
#    * - ``Mclust(X, G = 3, modelNames = "VEV")``
#      - ``GaussianMixture(3, covariance_type="VEV", reg_covar=0, init_params="hierarchical",
#        tol=1e-6, max_iter=1000).fit(X)``
#    * - ``summary(mod, parameters = TRUE)``
#      - ``mod.summary(X)``
#    * - ``plot(mod, what = "BIC")``
#      - ``InformationCriterionDisplay.from_estimator(mod)``
#    * - ``plot(mod, what = "classification")``, ``what = "density"``
#      - ``GaussianMixtureDisplay.from_estimator(mod, X)``, with ``kind="density"``
#    * - ``predict(mod, Y)$classification``, ``$z``
#      - ``mod.predict(Y)``, ``mod.predict_proba(Y)``
#    * - ``mod$uncertainty``
#      - ``1 - mod.predict_proba(X).max(axis=1)``
#    * - ``dens(Y, modelName, parameters, logarithm = TRUE)``
#      - ``mod.score_samples(Y)``
#    * - ``me(X, modelName, z = unmap(labels))``
#      - ``GaussianMixture(..., init_params=labels)``
#    * - ``hc(X)``
#      - ``init_params="hierarchical"``
#    * - ``BIC(mod)``, ``mod$bic``, ``icl(mod)``
#      - ``-mod.bic(X)``, ``-mod.icl(X)``
#    * - ``priorControl()``
#      - ``prior="conjugate"``
#    * - ``initialization = list(noise = ...)``
#      - ``noise="uniform"``
#    * - ``sim(modelName, parameters, n)``
#      - ``mod.sample(n)``
#
# ``Mclust`` and ``mclustBIC``
# ----------------------------
#
# .. code-block:: r
#
#    library(mclust)
#    mod <- Mclust(faithful, G = 1:4)
#    mod$modelName; mod$G; mod$bic
#    # "EEE" 3 -2314.316
#
# Components are numbered from 0 here and from 1 in R, and **the BIC has the opposite sign**: in
# scikit-learn, and therefore here, lower values are better.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_iris

from emgmm import (
    GaussianMixture,
    GaussianMixtureDisplay,
    GaussianMixtureIC,
    InformationCriterionDisplay,
)
from emgmm.datasets import old_faithful

X = old_faithful().rows
search = GaussianMixtureIC(range(1, 5), init_params="hierarchical").fit(X)
print(search.best_params_)

# %%
# The differences in the last digits have a single reason. mclust stops when the log-likelihood
# changes by less than 1e-5 of its value, here 0.01 nats, whereas the selection of emgmm requires
# that the remaining gain is negligible. With ``control = emControl(tol = 1e-10)``, mclust obtains
# the same numbers.

R_BIC = {  # family and number of components: mclust's BIC by default, and with tol = 1e-10
    ("EEE", 3): (-2314.31629566578, -2314.2956792742357),
    ("VVV", 2): (-2322.19195930296, -2322.191743101151),
    ("VEE", 3): (-2322.10348993553, -2321.9317928768232),
    ("EEE", 4): (-2331.22256138626, -2320.137483009772),
}
bic = {
    (family, K): value
    for family, K, value in zip(
        search.results_["covariance_type"],
        search.results_["n_components"],
        search.results_["bic"],
        strict=True,
    )
}
print("           mclust  tol=1e-10    emgmm")
for (family, K), (default, converged) in R_BIC.items():
    print(f"{family} {K}  {default:9.2f}  {converged:9.2f}  {bic[family, K]:8.2f}")
    assert abs(bic[family, K] + converged) < 0.01

# %%
# With four components and EEE, the default of mclust stops 11 units of BIC too early.
#
# ``summary``
# -----------
#
# .. code-block:: r
#
#    summary(mod)
#    #  log-likelihood   n df       BIC       ICL
#    #       -1126.326 272 11 -2314.316 -2357.824

print(search.summary(X))

# %%
# ``predict``
# -----------
#
# .. code-block:: r
#
#    mod <- Mclust(iris[, 1:4])
#    mod$modelName; mod$G; mod$loglik; mod$df; mod$bic; mod$icl
#    # "VEV" 2 -215.726 26 -561.7285 -561.7289
#    table(mod$classification)
#    # 50 100
#
# The following lines make the same fit without the selection:

iris = load_iris().data
mod = GaussianMixture(
    2,
    covariance_type="VEV",
    reg_covar=0,
    init_params="hierarchical",
    tol=1e-6,
    max_iter=1000,
).fit(iris)
print(f"{mod.score(iris) * len(iris):.3f} {mod.n_parameters()} ", end="")
print(f"{-mod.bic(iris):.4f} {-mod.icl(iris):.4f}")
print(np.bincount(mod.predict(iris)))
assert abs(mod.bic(iris) - 561.728462115075) < 1e-4
assert abs(mod.icl(iris) - 561.728875651143) < 1e-4

# %%
# The rows whose component is least certain, as ``mod$uncertainty`` in R:

uncertainty = 1 - mod.predict_proba(iris).max(axis=1)
print(uncertainty.max().round(7), uncertainty.argmax())

# %%
# ``hc``
# ------
#
# The hierarchical clustering is an initialization method. ``max_iter=0`` returns the mixture of the
# start, whose weights are the proportions of the clusters.
#
# .. code-block:: r
#
#    table(hclass(hc(iris[, 1:4]), 4))
#    # 33 16 62 39

start = GaussianMixture(4, init_params="hierarchical", max_iter=0).fit(iris)
print((start.weights_ * len(iris)).round())

# %%
# If there are ties between rows or merges, as in ``faithful``, whose values are rounded, the two
# programs may form different clusters. In the example above, EM from these clusters led to the same
# models.
#
# ``me``
# ------
#
# EM from given labels begins with an M-step, as in mclust. The log-likelihood after each M-step is
# the same.
#
# .. code-block:: r
#
#    z <- unmap(hclass(hc(iris[, 1:4]), 2))
#    me(iris[, 1:4], "VEV", z)$loglik       # -215.7260
#    # log-likelihood after 1, 2, 3 and 5 M-steps:
#    # -217.95607868 -215.72645905 -215.72597223 -215.72597223

labels = np.repeat([0, 1], [50, 100])
labels[41] = 1  # the hierarchical clustering assigns this flower to the larger cluster
me = GaussianMixture(2, covariance_type="VEV", reg_covar=0, init_params=labels, tol=1e-13)
steps = me.fit(iris).history_["objective"] * len(iris)
print(steps[[0, 1, 2, 4]].round(8))
assert np.allclose(
    steps[[0, 1, 2, 4]],
    [-217.9560786790354, -215.7264590494276, -215.7259722342861, -215.72597223391776],
    rtol=1e-10,
)

# %%
# The table compares the log-likelihoods of all families, fitted from these labels, with those of
# mclust. The value of emgmm for VVE is higher, because mclust's M-step of this family does not find
# the maximum (:doc:`/guide/families`).

R_LOGLIK = {
    "EII": -536.6524713809667,
    "VII": -478.55909576907686,
    "EEI": -488.91481869046123,
    "VEI": -443.06668737674534,
    "EVI": -463.5690296394699,
    "VVI": -386.18534693448674,
    "EEE": -296.4475747692748,
    "VEE": -278.05714977704343,
    "EVE": -273.49615057062164,
    "VVE": -244.97184865484996,
    "EEV": -259.6669085225617,
    "VEV": -215.72597223391776,
    "EVV": -259.01642131031804,
    "VVV": -214.35470437051237,
}
for family, expected in R_LOGLIK.items():
    me.set_params(covariance_type=family, tol=1e-11, max_iter=5000).fit(iris)
    loglik = me.score(iris) * len(iris)
    print(f"{family}  {expected:10.4f}  {loglik:10.4f}  {loglik - expected:8.0e}")

# %%
# ``priorControl``
# ----------------
#
# .. code-block:: r
#
#    me(iris[, 1:4], "VVV", z, prior = priorControl())$loglik       # -223.6022

mapped = GaussianMixture(2, prior="conjugate", init_params=labels, tol=1e-12, max_iter=1000)
print(round(mapped.fit(iris).score(iris) * len(iris), 4))

# %%
# Defaults that differ
# --------------------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 26 37 37
#
#    * - Subject
#      - mclust
#      - emgmm
#    * - sign of BIC and ICL
#      - larger is better
#      - lower is better, as in scikit-learn
#    * - regularization
#      - none; a singular covariance is a missing value in the table of BIC
#      - the same in ``GaussianMixtureIC``; ``GaussianMixture`` has ``reg_covar=1e-6`` as in
#        scikit-learn
#    * - start
#      - ``hc``, with one cut of its tree for all families
#      - ``GaussianMixtureIC``: the best of ``hc`` and two kinds of k-means; ``GaussianMixture``:
#        k-means, as in scikit-learn
#    * - tolerance
#      - a relative change of 1e-5 of the log-likelihood
#      - ``GaussianMixtureIC``: 1e-6 nats per row, and a negligible remaining gain;
#        ``GaussianMixture``: 1e-3 nats per row
#    * - degenerate components
#      - are ranked by their BIC
#      - models with collapsed or starved components are ranked last
#
# ``plot``
# --------
#
# .. code-block:: r
#
#    plot(mod, what = "BIC")
#    plot(mod, what = "classification")

figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4), layout="constrained")
InformationCriterionDisplay.from_estimator(search, ax=left)
GaussianMixtureDisplay.from_estimator(search.best_estimator_, X, ax=right)
left.set_title("BIC")
_ = right.set(title="Classification", xlabel="duration (minutes)", ylabel="waiting time (minutes)")

# %%
# **Insight:** from the same start, with the same tolerance, both programs end at the same numbers,
# apart from the sign of the BIC. Differences are due to the start, to the tolerance, or to the
# ridge.
