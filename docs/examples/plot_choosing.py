"""
Selecting a model by BIC, and examining the runners-up
======================================================

``GaussianMixtureIC`` fits all numbers of components and all covariance families, and keeps the
model with the lowest BIC. The runners-up should be examined, too: on the iris flowers, a second
model describes the data nearly as well as the best one.
"""

# %%
# Fit all candidates
# ------------------
#
# The 150 flowers belong to three species, which the mixture does not know.

from matplotlib import pyplot as plt
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from emgmm import GaussianMixtureDisplay, GaussianMixtureIC, InformationCriterionDisplay

iris = load_iris()
search = GaussianMixtureIC(range(1, 6), random_state=0).fit(iris.data)
print(search.best_params_)

# %%
# The best candidates, with their BIC
# -----------------------------------
#
# A difference of less than 2 is no evidence, and more than 10 is strong evidence (Kass and
# Raftery, 1995, doi 10.1080/01621459.1995.10476572).

results = search.results_
order = results["bic"].argsort()[:6]
for i in order:
    print(results["covariance_type"][i], results["n_components"][i], results["bic"][i].round(1))

# %%
# The best model has two components, and a model with three is close to it: *versicolor* and
# *virginica* overlap, so that the BIC, which counts parameters, merges them. The same class fits
# the runner-up as its only candidate. This model has a component for each species, and the adjusted
# Rand index, which is 1 if components and species agree, is much higher:

runner_up = GaussianMixtureIC(3, covariance_type="VEV", random_state=0).fit(iris.data)
for model in (search, runner_up):
    agreement = adjusted_rand_score(iris.target, model.predict(iris.data))
    print(f"{model.best_params_}: agreement with the species {agreement:.2f}")

# %%
# The criterion ``"icl"`` adds a penalty for rows whose component is uncertain. It prefers two
# components more clearly:

for i in order[:2]:
    print(results["covariance_type"][i], results["n_components"][i], results["icl"][i].round(1))

# %%
# The left picture shows all candidates, and the right one the runner-up.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4), layout="constrained")
InformationCriterionDisplay.from_estimator(search, ax=left)
GaussianMixtureDisplay.from_estimator(
    runner_up.best_estimator_, iris.data, features=[2, 3], ax=right
)
left.set_title("BIC")
_ = right.set(title="VEV, three components", xlabel="petal length (cm)", ylabel="petal width (cm)")

# %%
# **Insight:** the model with the lowest BIC describes the density best for its number of
# parameters. Its number of components need not be the number of groups. Compare the model with its
# runners-up before you interpret components as species.
