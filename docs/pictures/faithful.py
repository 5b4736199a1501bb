"""Old Faithful: two components, fitted from k-means."""

from matplotlib import pyplot as plt

from emgmm import GaussianMixture
from emgmm.datasets import old_faithful
from emgmm.plots import draw

data = old_faithful()
model = GaussianMixture(2, random_state=0).fit(data.rows)
_, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
draw(model, data.rows, data.feature_names, ax)
