"""
Merging components into clusters, and projections
=================================================

The BIC selects as many components as the density needs, and a cluster that is not Gaussian needs
more than one. ``merge_components`` merges components that overlap. ``GaussianMixtureProjection``
finds the directions in which the components differ most.
"""

# %%
# More components than clusters
# -----------------------------
#
# The eruptions of Old Faithful are short or long. In standardized units, round components (the
# family VII) have no correlations, so that each of the elongated clusters needs more than one
# component: the BIC selects four components, and it is much higher for two.

from matplotlib import pyplot as plt
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from emgmm import (
    GaussianMixtureDisplay,
    GaussianMixtureIC,
    GaussianMixtureProjection,
    merge_components,
)
from emgmm.datasets import old_faithful

X = StandardScaler().fit_transform(old_faithful().rows)
model = GaussianMixtureIC(range(2, 8), covariance_type="VII", random_state=0).fit(X)
print(model.best_params_)
for n_components, bic in zip(model.results_["n_components"], model.results_["bic"], strict=True):
    print(f"{n_components} components: BIC {bic:.1f}")

# %%
# Merging
# -------
#
# Each step merges the two clusters whose merger reduces the entropy of the labels most. In the left
# panel, the height of a link is the reduction of the entropy, and the right panel shows the entropy
# that remains. Its elbow determines the number of clusters.

merged = merge_components(model, X)
print(merged, merged.component_to_cluster_)
_ = merged.plot()

# %%
# The density has not changed, since a cluster is a sum of components. Its probability for a row is
# the sum of their responsibilities. The label of nearly every eruption is now certain:

for name, probabilities in [
    ("components", model.predict_proba(X)),
    ("clusters", merged.predict_proba(X)),
]:
    is_uncertain = probabilities.max(axis=1) < 0.9
    print(f"eruptions with an uncertain label, {name}: {is_uncertain.sum()} of {len(X)}")

# %%
# The clusters are the short and the long eruptions.

labels = merged.predict(X)
minutes = old_faithful().rows[:, 0]
for cluster in range(merged.n_clusters):
    own = minutes[labels == cluster]
    print(f"cluster {cluster}: {len(own)} eruptions of {own.min():.1f} to {own.max():.1f} minutes")

# %%
# Two other methods compare the components themselves, by the Bhattacharyya coefficient of their
# densities, or by the lowest density between their modes relative to the density at the lower mode.
# They find the same clusters.

for method in ("bhattacharyya", "ridge"):
    print(method, merge_components(model, X, method=method).component_to_cluster_)

# %%
# Clusters in four dimensions
# ---------------------------
#
# With more than two features, there may be no pair of features that shows the clusters well. The
# projection finds the linear combinations of all features in which the components differ most, in
# their means and in their covariances. The components of this mixture are nearly the three species
# of iris.

iris = load_iris(as_frame=True)
flowers = GaussianMixtureIC(3, covariance_type="VEV", random_state=0).fit(iris.data)
projection = GaussianMixtureProjection(flowers, n_components=2).fit()
for name, *coefficients in zip(iris.data.columns, *projection.components_, strict=True):
    print(f"{name:18}", *(f"{coefficient:6.2f}" for coefficient in coefficients))

figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4), layout="constrained")
GaussianMixtureDisplay.from_estimator(flowers, iris.data, features=[0, 1], ax=left)
GaussianMixtureDisplay.from_estimator(flowers, iris.data, features="projection", ax=right)
left.set_title("the first two features")
_ = right.set_title("the first two directions")

# %%
# **Insight:** the number of components that describes the density best need not be the number of
# clusters. The BIC selects the first, and merging determines the second.
