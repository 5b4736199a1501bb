"""Iris: BIC of mclust's fourteen families with one to seven components."""

import warnings

import numpy as np
from sklearn.datasets import load_iris

from emgmm import GaussianMixture, InformationCriterionDisplay
from emgmm.families import FAMILIES

X = load_iris().data
families = [name for name in FAMILIES if len(name) == 3]
fits = [(k, family) for family in families for k in range(1, 8)]
values = []
for k, family in fits:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the picture is of the criterion
        model = GaussianMixture(k, covariance_type=family, reg_covar=0, random_state=0)
        try:
            values.append(model.fit(X).bic(X))
        except ValueError:
            values.append(np.nan)
n_components, covariance_type = map(np.array, zip(*fits, strict=True))
InformationCriterionDisplay(
    n_components=n_components,
    covariance_type=covariance_type,
    values=np.array(values),
    best_index=int(np.nanargmin(values)),
    criterion="bic",
    chosen_by="bic",
).plot()
