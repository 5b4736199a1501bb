"""Two ways to draw Old Faithful: contours of the density, and one feature alone."""

from matplotlib import pyplot as plt

from emgmm import GaussianMixture, GaussianMixtureDisplay
from emgmm.datasets import old_faithful

data = old_faithful()
model = GaussianMixture(2, random_state=0).fit(data.rows)
_, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
GaussianMixtureDisplay.from_estimator(model, data.rows, kind="density", ax=left)
GaussianMixtureDisplay.from_estimator(model, data.rows, features=1, ax=right)
left.set(xlabel="duration (minutes)", ylabel="waiting time (minutes)")
right.set(xlabel="waiting time (minutes)", ylabel="density (per minute)")
