"""Plain EM from a start with identical components, which remain identical."""

import warnings

import numpy as np
from matplotlib import pyplot as plt

from emgmm import GaussianMixture, GaussianMixtureDisplay
from emgmm.datasets import question
from emgmm.drawing import COLOURS

data = question()
model = GaussianMixture(
    2,
    reg_covar=0,
    weights_init=[0.5, 0.5],
    means_init=[[10, 10], [10, 10]],
    precisions_init=[np.eye(2) / 10] * 2,
    tol=0,
    max_iter=10,
    break_symmetry=False,
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the page is about the warning; the picture is of the fit
    model.fit(data.rows)

_, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
GaussianMixtureDisplay.from_estimator(model, data.rows, ax=left)
left.set(xlabel=data.feature_names[0], ylabel=data.feature_names[1])
left.set_title("both components, one upon the other", fontsize="medium")

objective = model.history_["objective"]
right.plot(objective, color=COLOURS[0], marker="o", ms=5, lw=1)
right.annotate(
    f"{objective[-1]:.4f}, to the last digit",
    (5.5, objective[-1]),
    xytext=(0, -22),
    textcoords="offset points",
    ha="center",
    fontsize="small",
    color="dimgrey",
)
right.set_xticks(range(len(objective)))
right.set_xlabel("iteration")
right.set_ylabel("mean log-likelihood per row")
right.set_title("EM at rest after one iteration", fontsize="medium")
