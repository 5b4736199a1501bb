"""Iris: the history of an accelerated fit, and of the best of ten starts."""

import warnings

from matplotlib import pyplot as plt
from sklearn.datasets import load_iris

from emgmm import ConvergenceDisplay, GaussianMixture

X = load_iris().data
common = {"n_components": 3, "init_params": "random", "random_state": 0}
_, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the pictures show what the warnings are about
    leaping = GaussianMixture(**common, acceleration="anderson", tol=1e-7, max_iter=300).fit(X)
    several = GaussianMixture(**common, n_init=10, max_iter=22).fit(X)
ConvergenceDisplay.from_estimator(leaping, ax=left)
ConvergenceDisplay.from_estimator(several, ax=right)
right.set_ylabel("")
