"""Old Faithful: two components, fitted from k-means."""

from emgmm import GaussianMixture, GaussianMixtureDisplay
from emgmm.datasets import old_faithful

data = old_faithful()
model = GaussianMixture(2, random_state=0).fit(data.rows)
display = GaussianMixtureDisplay.from_estimator(model, data.rows)
display.ax_.set(xlabel="duration (minutes)", ylabel="waiting time (minutes)")
