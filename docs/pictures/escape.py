"""Escape from a saddle: the split on the statistics, the EM iterations after it, the history."""

import warnings

import numpy as np
from matplotlib import pyplot as plt

from emgmm import CoincidentComponentsWarning, GaussianMixture, GaussianMixtureDisplay
from emgmm.covariances import FAMILIES
from emgmm.datasets import question
from emgmm.drawing import COLOURS
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.fitting.split import splits
from emgmm.sources import ArraySource

data = question()
start = {
    "n_components": 2,
    "reg_covar": 0,
    "weights_init": [0.5, 0.5],
    "means_init": [[10, 10], [10, 10]],
    "precisions_init": [np.eye(2) / 10] * 2,
    "random_state": 0,
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", CoincidentComponentsWarning)
    escaped = GaussianMixture(**start).fit(data.rows)
    trapped = GaussianMixture(**start, break_symmetry=False).fit(data.rows)

# The best of the splits that the package makes from the statistics of the trapped fit.
em = em_of(ArraySource(data.rows), Problem(FAMILIES["full"], n_components=2))
stuck = trapped._mixture()
proposed = splits(em, stuck, em.expect(stuck), [(0, 1)], np.random.RandomState(0))
models = [
    GaussianMixture.from_parameters(m.weights, m.means, covariances=m.covariances) for m in proposed
]
split = max(models, key=lambda model: model.score(data.rows))

_, (left, middle, right) = plt.subplots(1, 3, figsize=(10.6, 3.8), layout="constrained")
for ax, model, title in (
    (left, split, f"split: {split.score(data.rows):.4f} per row"),
    (middle, escaped, f"after EM: {escaped.lower_bound_:.4f} per row"),
):
    GaussianMixtureDisplay.from_estimator(model, data.rows, ax=ax)
    ax.set(xlabel=data.feature_names[0], ylabel=data.feature_names[1])
    ax.set(xlim=(-4.5, 9.5), ylim=(-4.5, 9.5), xticks=range(-4, 9, 2), yticks=range(-4, 9, 2))
    ax.set_title(title, fontsize="medium")

objective, event = escaped.history_["objective"], escaped.history_["event"]
iterations = np.arange(len(objective))
at = int(np.flatnonzero(event == "escape")[0])
right.plot(
    iterations[at - 1 :], np.full(len(objective) - at + 1, objective[at - 1]), "--", c="grey"
)
right.plot(iterations[1:], objective[1:], color=COLOURS[0], marker="o", ms=5, lw=1)
right.plot(at, objective[at], color=COLOURS[1], marker="o", ms=9)
right.annotate(
    "escape", (at, objective[at]), xytext=(-8, 4), textcoords="offset points", ha="right"
)
right.annotate(
    "plain EM stays here",
    (iterations[-1], objective[at - 1]),
    xytext=(0, 6),
    textcoords="offset points",
    ha="right",
    color="dimgrey",
)
right.set_xticks(iterations[1:])
right.set_xlabel("iteration")
right.set_title("mean log-likelihood, from history_", fontsize="medium")
middle.set_ylabel("")
