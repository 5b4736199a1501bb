"""
Reading the report of a failed fit
==================================

A fit can end with ``converged_ = True`` and be useless. In this example, three fits fail in
different ways. The warnings, ``diagnose`` and ``summary`` show what went wrong and what to do.
"""

# %%
# A saddle point
# --------------
#
# Random responsibilities are a poor start, because all components are nearly identical. With
# ``break_symmetry=False``, which is plain EM, the fit stops there. The following function prints
# the warnings of a fit.

import textwrap
import warnings

from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer, load_iris

from emgmm import GaussianMixture, GaussianMixtureDisplay

X = load_iris().data


def fit(model, rows):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(rows)
    for warning in caught:
        print(warning.category.__name__)
        print(textwrap.fill(str(warning.message), 78))
    print(f"converged_ = {model.converged_}, score = {model.score(rows):.3f}")
    return model


start = {"covariance_type": "tied", "init_params": "random", "random_state": 0}
stuck = fit(GaussianMixture(3, break_symmetry=False, **start), X)

# %%
# The report of ``diagnose`` begins with the verdict. With ``certify=True``, ``diagnose`` also tries
# finite moves of the components, at the cost of some passes over the rows:

saddle = stuck.diagnose(X, certify=True)
print(saddle)

# %%
# The lines of the report have the following meanings:
#
# - **Verdict**: a split of the components would increase the likelihood, so that this is not
#   a maximum.
# - **Coincident**: all components are identical.
# - **Mass**: the effective number of rows of each component. The numbers look normal.
# - **Entropy**: 1.1 nats, nearly log 3, which is its maximum: the assignment of rows is arbitrary.
# - **Largest overlap**: 1 means that two components have proportional responsibilities.
#
# The remedy is a start with different components, or the default ``break_symmetry=True``, which
# splits them and continues:

split = fit(GaussianMixture(3, **start), X)

# %%
# A component on few rows
# -----------------------
#
# The breast cancer data have 30 features, so that a full covariance needs 31 rows:

cancer = load_breast_cancer().data
collapsed = fit(GaussianMixture(3, reg_covar=1e-9, random_state=2), cancer)

# %%
# Without ``certify``, no moves are tried. The line *Collapsed* names component 2, and *Mass* states
# that it has 19 rows. Its *condition number*, the ratio of the largest to the smallest variance, is
# more than a hundred times that of the others.

print(collapsed.diagnose(cancer))

# %%
# Programs can read the same information from the attributes of the report, for instance to choose
# another family if components collapse:

report = collapsed.diagnose(cancer).to_dict()
print({name: report[name] for name in ("collapsed", "starved", "coincident", "verdict")})
tied = fit(GaussianMixture(3, covariance_type="tied", reg_covar=1e-9, random_state=2), cancer)

# %%
# Stopped too early
# -----------------
#
# Five components are fitted to iris, with the default ``tol``:

early = fit(GaussianMixture(5, random_state=0), X)
print(early.diagnose(X, certify=True).verdict.sentence)
print("remaining gain:", early.remaining_gain_)

# %%
# The estimate of the remaining gain is infinite, because the last gains increased. A smaller
# ``tol`` leads to a maximum, which is twenty nats higher. ``summary`` shows its five components. EM
# had no problem in this fit, although five components describe three species. Whether this number
# is sensible is another question, which information criteria answer.

late = fit(GaussianMixture(5, tol=1e-8, max_iter=2000, random_state=0), X)
print(late.diagnose(X, certify=True).verdict.sentence)
print(late.summary(X))

# %%
# The picture shows one sign of each failure: identical ellipses, a component with fewer rows than
# its covariance needs, and a likelihood that was still rising.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
GaussianMixtureDisplay.from_estimator(stuck, X, features=[2, 3], ax=left)
left.set(title="Coincident", xlabel="petal length (cm)", ylabel="petal width (cm)")
middle.bar(["0", "1", "2"], report["mass"], color=["#0072B2", "#0072B2", "#D55E00"])
middle.axhline(31, color="black", ls="--", lw=1, label="31 rows")
middle.set(title="Collapsed", xlabel="component", ylabel="effective number of rows")
middle.legend()
right.plot(late.history_["objective"], color="#0072B2")
right.plot(early.n_iter_, early.lower_bound_, "o", color="#D55E00", label="default tol")
right.set(title="Stopped short", xlabel="iteration", ylabel="log-likelihood (nats per row)")
_ = right.legend()

# %%
# **Insight:** ``converged_`` states only that the likelihood stopped changing. Read the warnings
# first, and certify the fits on which a decision depends.
