"""Iris: a grid of all pairs of features."""

from sklearn.datasets import load_iris

from emgmm import GaussianMixture, GaussianMixtureDisplay

X = load_iris(as_frame=True).data
model = GaussianMixture(3, random_state=0).fit(X)
GaussianMixtureDisplay.from_estimator(model, X, features=None)
