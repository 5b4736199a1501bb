"""The diagnosis of a fit at a point where EM cannot separate two components."""

import warnings

import numpy as np

from emgmm import GaussianMixture
from emgmm.datasets import question

rows = question().rows
model = GaussianMixture(
    2,
    reg_covar=0,
    break_symmetry=False,
    weights_init=[0.5, 0.5],
    means_init=[[10, 10], [10, 10]],
    precisions_init=[np.eye(2) / 10] * 2,
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    model.fit(rows)
model.diagnose(rows, certify=True).plot()
