"""Iris: BIC of mclust's fourteen families with one to nine components."""

from sklearn.datasets import load_iris

from emgmm import GaussianMixtureIC, InformationCriterionDisplay

X = load_iris().data
chosen = GaussianMixtureIC(random_state=0).fit(X)
InformationCriterionDisplay.from_estimator(chosen)
