"""Iris: BIC of mclust's fourteen families with one to seven components."""

import warnings

from sklearn.datasets import load_iris

from emgmm import GaussianMixtureIC, InformationCriterionDisplay

X = load_iris().data
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the picture is of the criterion
    chosen = GaussianMixtureIC(range(1, 8), reg_covar=0, random_state=0).fit(X)
InformationCriterionDisplay.from_estimator(chosen)
