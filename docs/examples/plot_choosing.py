"""
Choosing a model, and what the BIC alone hides
==============================================

``GaussianMixtureIC`` fits all numbers of components and all covariance families, and keeps the
model with the lowest BIC. The runners-up are worth a look: on the iris flowers, several models
describe the data nearly as well as the best one.
"""

# %%
# Fit all candidates
# ------------------
#
# The 150 flowers belong to three species, which the mixture does not know.

from sklearn.datasets import load_iris

from emgmm import GaussianMixtureIC, InformationCriterionDisplay

iris = load_iris()
search = GaussianMixtureIC(range(1, 7), random_state=0).fit(iris.data)
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
# The picture shows all candidates. Two components win with one family, and three are close behind:
# *versicolor* and *virginica* overlap, so that the BIC, which counts parameters, merges them.

display = InformationCriterionDisplay.from_estimator(search)

# %%
# **Insight:** the model with the lowest BIC describes the density best for its number of
# parameters, which need not be the number of groups. Compare it with its runners-up before you
# interpret components as species.
