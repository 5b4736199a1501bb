"""What code written for scikit-learn's class does with fitted models, compared with its answers.

Every idiom is a function of the class. Unless a test says otherwise, both classes give the same.
"""

from __future__ import annotations

import copy
import io
import json
import pickle
from itertools import product

import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import TYPES, clusters, fit
from joblib import Parallel, delayed
from scipy.linalg import block_diag
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import chi2, multivariate_normal, norm
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import calibration_curve
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import adjusted_rand_score, roc_auc_score, silhouette_score
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.mixture._gaussian_mixture import (
    _compute_precision_cholesky,
    _estimate_log_gaussian_prob,
)
from sklearn.model_selection import KFold, ParameterGrid
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from emgmm import GaussianMixture

K, D = 3, 3
X = clusters(200, D, K)
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2.0, size=len(X))
LABELS = KMeans(K, n_init=1, random_state=0).fit_predict(X)
GROUPS = [X[label == LABELS] for label in range(K)]
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def fitted(cls, n_components=K, rows=X, **arguments):
    return fit(cls(n_components, **{"random_state": 0, **arguments}), rows)


def answers(model, rows=X):
    return model.predict_proba(rows), model.score_samples(rows), model.predict(rows)


def from_covariances(cls):
    """Known parameters, with the factor that the name suggests, a lower triangular one."""
    known = fitted(Theirs)
    model = cls(K)
    model.weights_, model.means_ = known.weights_, known.means_
    model.covariances_ = known.covariances_
    model.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(known.covariances_))
    return answers(model)


def from_transposed_factors(cls):
    known = fitted(Theirs, covariance_type="tied")
    model = cls(K, covariance_type="tied")
    model.weights_, model.means_ = known.weights_, known.means_
    model.precisions_cholesky_ = np.linalg.cholesky(known.precisions_[::-1, ::-1])[::-1, ::-1]
    return answers(model)


def weights_of_one_line(cls):
    model = fitted(cls, covariance_type="diag")
    model.weights_ = model.weights_.reshape(1, -1)
    return answers(model)


def copied_attributes(cls):
    model, made = fitted(cls), cls(K)
    for name in vars(model):
        if name.endswith("_") and not name.startswith("_"):
            setattr(made, name, getattr(model, name))
    check_is_fitted(made)
    return answers(made)


def copied_dictionary(cls):
    made = cls()
    made.__dict__ = fitted(cls).__dict__.copy()
    return answers(made)


def updated_dictionary(cls):
    made = cls.__new__(cls)
    made.__dict__.update(copy.deepcopy(vars(fitted(cls))))
    return answers(made)


def sorted_components(cls):
    model = fitted(cls)
    order = np.argsort(model.means_[:, 0])
    for name in PARAMETERS:
        setattr(model, name, getattr(model, name)[order])
    return model.means_, *answers(model)


def sorted_in_place(cls):
    model = fitted(cls, covariance_type="spherical")
    order = np.argsort(model.weights_)[::-1]
    before = answers(model)
    for name in PARAMETERS:
        getattr(model, name)[:] = getattr(model, name)[order]
    return *before, *answers(model)


def sliced_components(cls):
    model = fitted(cls, 4, covariance_type="diag")
    kept = model.weights_ > model.weights_.min()
    for name in PARAMETERS:
        setattr(model, name, getattr(model, name)[kept])
    model.weights_ /= model.weights_.sum()
    model.n_components = int(kept.sum())
    return model.bic(X), *answers(model)


def joined_models(cls):
    one, other = fitted(cls, 2, X[:90]), fitted(cls, 2, X[90:])
    made = cls(4)
    made.weights_ = np.concatenate([one.weights_ * 90, other.weights_ * 110]) / 200
    for name in PARAMETERS[1:]:
        setattr(made, name, np.concatenate([getattr(one, name), getattr(other, name)]))
    return answers(made)


def pickled_parameters(cls):
    model = fitted(cls, covariance_type="tied")
    kept = pickle.dumps({name: getattr(model, name) for name in PARAMETERS})
    made = cls(K, covariance_type="tied")
    for name, value in pickle.loads(kept).items():
        setattr(made, name, value)
    return answers(made)


def saved_arrays(cls):
    model, file = fitted(cls), io.BytesIO()
    np.savez(file, means=model.means_, weights=model.weights_, chol=model.precisions_cholesky_)
    loaded = np.load(io.BytesIO(file.getvalue()))
    made = cls(n_components=len(loaded["weights"]), covariance_type="full")
    made.means_, made.weights_ = loaded["means"], loaded["weights"]
    made.precisions_cholesky_ = loaded["chol"]
    return answers(made)


def json_lists(cls):
    model = fitted(cls, covariance_type="diag")
    text = json.dumps({name: getattr(model, name).tolist() for name in PARAMETERS})
    made = cls(K, covariance_type="diag")
    for name, value in json.loads(text).items():
        setattr(made, name, np.array(value))
    return answers(made)


def dumped_by_joblib(cls):
    file = io.BytesIO()
    joblib.dump([fitted(cls), copy.deepcopy(fitted(cls))], file)
    one, other = joblib.load(io.BytesIO(file.getvalue()))
    return *answers(one), *answers(other)


def back_in_original_units(cls):
    scaler = StandardScaler().fit(X)
    model = fitted(cls, rows=scaler.transform(X))
    model.means_ = scaler.inverse_transform(model.means_)
    model.covariances_ = model.covariances_ * np.outer(scaler.scale_, scaler.scale_)
    model.precisions_ = np.linalg.inv(model.covariances_)
    factors = [np.linalg.cholesky(matrix) for matrix in model.covariances_]
    model.precisions_cholesky_ = np.array([np.linalg.inv(factor).T for factor in factors])
    return answers(model)


def start_from_another(cls):
    first = fitted(cls, max_iter=2)
    given = {f"{name}_init": getattr(first, f"{name}_") for name in ("weights", "means")}
    model = fitted(cls, precisions_init=first.precisions_, **given)
    return model.means_, model.n_iter_, *answers(model)


def one_iteration_at_a_time(cls):
    model = cls(K, max_iter=1, warm_start=True, random_state=0, tol=1e-12)
    means = [fit(model, X).means_.copy() for _ in range(5)]
    return np.array(means), *answers(model)


def loop_of_both_steps(cls):
    model = fitted(cls, max_iter=1)
    best, largest = None, -np.inf
    for _ in range(6):
        log_prob_norm, log_resp = model._e_step(X)
        model._m_step(X, log_resp)
        lower_bound = model._compute_lower_bound(log_resp, log_prob_norm)
        if lower_bound > largest:
            best, largest = model._get_parameters(), lower_bound
    model._set_parameters(best)
    return largest, *answers(model)


def weighted_em(cls):
    model = cls(K, reg_covar=1e-6)
    model._initialize(X, np.eye(K)[np.arange(len(X)) % K])
    for _ in range(5):
        log_resp = model._estimate_log_prob_resp(X)[1]
        model._m_step(X, log_resp + np.log(WEIGHTS)[:, np.newaxis])
    model._set_parameters(model._get_parameters())
    return answers(model)


def posterior_of_other_weights(cls):
    model = fitted(cls)
    log_joint = model._estimate_log_prob(X) + np.log([0.2, 0.3, 0.5])
    return log_joint - logsumexp(log_joint, axis=1, keepdims=True), model._n_parameters()


def moved_means(cls):
    model = fitted(cls)
    model.means_ += 0.5
    model.means_[0, 0] -= 1.0
    return answers(model)


def marginal_of_two_features(cls):
    model = fitted(cls)
    made = cls(K)
    made.weights_, made.means_ = model.weights_, model.means_[:, :2]
    made.covariances_ = model.covariances_[:, :2, :2]
    made.precisions_cholesky_ = np.array(
        [np.linalg.inv(np.linalg.cholesky(matrix)).T for matrix in made.covariances_]
    )
    return answers(made, X[:, :2])


def moments_of_the_mixture(cls):
    model = fitted(cls)
    mean = model.weights_ @ model.means_
    between = (model.means_ - mean).T @ np.diag(model.weights_) @ (model.means_ - mean)
    return mean, np.average(model.covariances_, axis=0, weights=model.weights_) + between


# -- models that are compared with each other -----------------------------------------------------
def loop_of_criteria(cls):
    models = [
        fitted(cls, n_components, covariance_type=covariance_type)
        for covariance_type in TYPES
        for n_components in (1, 2, 3)
    ]
    criteria = np.array([(model.bic(X), model.aic(X)) for model in models])
    return criteria, np.argmin(criteria, axis=0), models[np.argmin(criteria[:, 0])].means_


def parameters_set_in_a_loop(cls):
    model = cls(random_state=0)
    scores = []
    for n_components in (3, 1, 2):
        model.set_params(n_components=n_components, covariance_type="diag")
        scores.append(fit(model, X).score(X))
    return scores, model.means_, model.get_params()["n_components"]


def held_out_likelihood(cls):
    grid = ParameterGrid({"n_components": [1, 2, 3], "reg_covar": [1e-6, 1e-2]})
    model = cls(random_state=0)
    return [
        [
            fit(clone(model).set_params(**parameters), X[train]).score(X[test])
            for train, test in KFold(3).split(X)
        ]
        for parameters in grid
    ]


def criterion_by_hand(cls):
    model = fitted(cls, covariance_type="tied")
    log_likelihood = model.score(X) * len(X)
    return model._n_parameters() * np.log(len(X)) - 2 * log_likelihood, model.bic(X)


def repeated_until_converged(cls):
    model = cls(K, tol=1e-6, max_iter=2, random_state=0)
    while not fit(model, X).converged_:
        model.max_iter *= 2
    return model.max_iter, model.n_iter_, *answers(model)


def best_of_several_seeds(cls):
    models = [fitted(cls, init_params="random_from_data", random_state=seed) for seed in range(4)]
    return [model.lower_bound_ > -np.inf for model in models], max(m.score(X) for m in models)


def threads_of_joblib(cls):
    work = (delayed(fitted)(cls, n_components) for n_components in (1, 2, 3))
    models = Parallel(n_jobs=2, prefer="threads")(work)
    return [model.score(X) for model in models]


def bootstrap_of_the_means(cls):
    random = np.random.default_rng(3)
    found = []
    for _ in range(4):
        model = fitted(cls, rows=X[random.integers(len(X), size=len(X))])
        found.append(model.means_[np.argsort(model.means_[:, 0])])
    return np.std(found, axis=0)


def aligned_and_averaged(cls):
    models = [fitted(cls, random_state=seed) for seed in range(3)]
    total = np.zeros((len(X), K))
    for model in models:
        distances = cdist(models[0].means_, model.means_)
        total += model.predict_proba(X)[:, linear_sum_assignment(distances)[1]]
    return total / len(models)


def one_mixture_per_group(cls):
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(group=LABELS)
    return [
        fit(cls(2, random_state=0), rows[["a", "b", "c"]]).score(rows[["a", "b", "c"]])
        for _, rows in table.groupby("group")
    ]


# -- starts ---------------------------------------------------------------------------------------
def start_from_centres(cls):
    centres = KMeans(K, n_init=1, random_state=1).fit(X).cluster_centers_
    model = fitted(cls, means_init=centres, max_iter=5)
    return model.means_, model.n_iter_, *answers(model)


def start_from_labels(cls):
    model = fitted(
        cls,
        weights_init=np.bincount(LABELS) / len(X),
        means_init=[rows.mean(axis=0) for rows in GROUPS],
        precisions_init=[np.linalg.inv(np.cov(rows.T)) for rows in GROUPS],
    )
    return model.means_, model.n_iter_, *answers(model)


def fit_to_rows_that_mean_nothing(cls):
    known = fitted(Theirs)
    model = fit(
        cls(K, reg_covar=1e-3, random_state=0), np.random.default_rng(0).normal(size=(9, D))
    )
    model.weights_, model.means_ = known.weights_, known.means_
    model.covariances_, model.precisions_ = known.covariances_, known.precisions_
    model.precisions_cholesky_ = known.precisions_cholesky_
    return answers(model)


def warm_start_with_more_rows(cls):
    model = cls(K, warm_start=True, max_iter=50, tol=1e-8, random_state=0)
    found = []
    for n_rows in (80, 140, 200):
        found.append(fit(model, X[:n_rows]).means_.copy())
    return np.array(found)


def fit_where_it_is_not_fitted(cls):
    model = cls(K, random_state=0)
    try:
        return model.predict(X)
    except NotFittedError:
        assert not hasattr(model, "means_")
        return fit(model, X).predict(X), vars(model).keys() >= {"means_", "converged_"}


# -- densities and labels -------------------------------------------------------------------------
def likelihood_ratio(cls):
    one, other = (fitted(cls, 2, rows) for rows in GROUPS[:2])
    return one.score_samples(X) - other.score_samples(X)


def classifier_of_mixtures(cls):
    models = [fitted(cls, 2, rows, covariance_type="diag") for rows in GROUPS]
    log_joint = np.column_stack([model.score_samples(X) for model in models])
    log_joint += np.log(np.bincount(LABELS) / len(X))
    return np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))


def rows_below_a_quantile(cls):
    scores = fitted(cls).score_samples(X)
    return X[scores < np.percentile(scores, 4)], roc_auc_score(LABELS == 0, -scores)


def divergence_by_random_rows(cls):
    p, q = fitted(cls, 2), fitted(cls, 3, covariance_type="diag")
    random = np.random.default_rng(0)
    counts = random.multinomial(500, p.weights_ / p.weights_.sum())
    rows = np.vstack(
        [
            mean + random.normal(size=(count, D)) @ np.linalg.cholesky(covariance).T
            for mean, covariance, count in zip(p.means_, p.covariances_, counts, strict=True)
        ]
    )
    return np.mean(p.score_samples(rows) - q.score_samples(rows))


def density_on_a_grid(cls):
    model = fitted(cls, rows=X[:, :2])
    axis = np.linspace(-15, 15, 40)
    x, y = np.meshgrid(axis, axis)
    return np.exp(model.score_samples(np.c_[x.ravel(), y.ravel()])).reshape(x.shape)


def curves_above_a_histogram(cls):
    model = fitted(cls, rows=X[:, [0]])
    axis = np.linspace(X.min(), X.max(), 50)
    sds = np.sqrt(model.covariances_[:, 0, 0])
    curves = model.weights_ * norm.pdf(axis[:, None], model.means_[:, 0], sds)
    return curves, np.exp(model.score_samples(axis.reshape(-1, 1))) - curves.sum(axis=1)


def labels_by_the_largest_probability(cls):
    model = fitted(cls)
    probabilities = model.predict_proba(X)
    entropy = -np.sum(probabilities * np.log(probabilities + 1e-300), axis=1)
    return probabilities.argmax(axis=1), model.predict(X), probabilities.max(axis=1), entropy


def labels_in_the_order_of_the_weights(cls):
    model = fitted(cls)
    place = np.argsort(np.argsort(-model.weights_))
    labels = place[fitted(cls).fit_predict(X)]
    return labels, silhouette_score(X, labels), adjusted_rand_score(LABELS, labels)


def colours_that_are_replaced(cls):
    pixels = np.clip(40 * X + 128, 0, 255).astype(np.uint8).reshape(10, 20, D)
    flat = pixels.reshape(-1, D) / 255
    model = fitted(cls, 4, flat, covariance_type="tied")
    return model.means_[model.predict(flat)].reshape(pixels.shape)


def reliability_of_the_probabilities(cls):
    return calibration_curve(LABELS == 1, fitted(cls).predict_proba(X)[:, 1], n_bins=4)


# -- covariances ----------------------------------------------------------------------------------
def ellipses_of_every_type(cls):
    found = []
    for covariance_type in TYPES:
        model = fitted(cls, covariance_type=covariance_type)
        for k in range(model.n_components):
            if covariance_type == "full":
                covariance = model.covariances_[k][:2, :2]
            elif covariance_type == "tied":
                covariance = model.covariances_[:2, :2]
            elif covariance_type == "diag":
                covariance = np.diag(model.covariances_[k][:2])
            else:
                covariance = np.eye(D)[:2, :2] * model.covariances_[k]
            variances, axes = np.linalg.eigh(covariance)
            found.append([*model.means_[k, :2], *np.sqrt(variances), *np.abs(axes[0])])
    return found


def inverses_of_every_type(cls):
    models = [fitted(cls, covariance_type=covariance_type) for covariance_type in TYPES]
    full, tied, diag, spherical = (model.precisions_ for model in models)
    factors = models[0].precisions_cholesky_
    return (
        np.linalg.inv(full) - models[0].covariances_,
        np.linalg.inv(tied),
        1 / diag,
        1 / spherical,
        factors @ factors.transpose(0, 2, 1) - full,
    )


def functions_of_scikit_learns_module(cls):
    found = []
    for covariance_type in TYPES:
        model = fitted(cls, covariance_type=covariance_type)
        model.covariances_ = model.covariances_ * 1.5
        model.precisions_ = model.precisions_ / 1.5
        model.precisions_cholesky_ = _compute_precision_cholesky(
            model.covariances_, covariance_type
        )
        found.append(model.score_samples(X))
        found.append(
            _estimate_log_gaussian_prob(
                X, model.means_, model.precisions_cholesky_, covariance_type
            ).max(axis=1)
        )
    return found


def squared_distances(cls):
    model = fitted(cls)
    centred = X[:, None] - model.means_
    squares = np.einsum("nki,kij,nkj->nk", centred, model.precisions_, centred)
    return squares, chi2.sf(squares.min(axis=1), D) < 0.05


def overlap_of_the_components(cls):
    model = fitted(cls)
    found = np.zeros((K, K))
    for i, j in product(range(K), range(K)):
        between = (model.covariances_[i] + model.covariances_[j]) / 2
        difference = model.means_[i] - model.means_[j]
        found[i, j] = difference @ np.linalg.solve(between, difference) / 8
        logs = [np.linalg.slogdet(each)[1] for each in (between, *model.covariances_[[i, j]])]
        found[i, j] += logs[0] / 2 - (logs[1] + logs[2]) / 4
    return found


def regression_by_conditional_means(cls):
    model = fitted(cls)
    given = cls(K)
    given.weights_, given.means_ = model.weights_, model.means_[:, :2]
    given.covariances_ = model.covariances_[:, :2, :2]
    given.precisions_cholesky_ = _compute_precision_cholesky(given.covariances_, "full")
    slopes = np.linalg.solve(given.covariances_, model.covariances_[:, :2, 2:])
    each = model.means_[:, 2] + np.einsum("nkd,kde->nk", X[:, None, :2] - given.means_, slopes)
    return np.sum(given.predict_proba(X[:, :2]) * each, axis=1)


# -- components that are changed ------------------------------------------------------------------
def components_merged_by_moments(cls):
    model = fitted(cls, 4)
    (i, j), weights = np.argsort(model.weights_)[:2], model.weights_
    total = weights[i] + weights[j]
    mean = (weights[i] * model.means_[i] + weights[j] * model.means_[j]) / total
    covariance = sum(
        weights[k]
        / total
        * (model.covariances_[k] + np.outer(model.means_[k] - mean, model.means_[k] - mean))
        for k in (i, j)
    )
    model.weights_ = np.append(np.delete(weights, [i, j]), total)
    model.means_ = np.vstack([np.delete(model.means_, [i, j], axis=0), mean])
    kept = np.delete(model.covariances_, [i, j], axis=0)
    model.covariances_ = np.concatenate([kept, covariance[None]])
    model.precisions_ = np.linalg.inv(model.covariances_)
    model.precisions_cholesky_ = _compute_precision_cholesky(model.covariances_, "full")
    model.n_components -= 1
    return model.bic(X), *answers(model)


def background_added(cls):
    model = fitted(cls, covariance_type="spherical")
    model.weights_ = np.append(0.95 * model.weights_, 0.05)
    model.means_ = np.vstack([model.means_, X.mean(axis=0)])
    model.covariances_ = np.append(model.covariances_, 100.0)
    model.precisions_ = 1 / model.covariances_
    model.precisions_cholesky_ = np.sqrt(model.precisions_)
    return answers(model)


def means_held_in_place(cls):
    model = fitted(cls, max_iter=1, covariance_type="diag")
    means = model.means_.copy()
    for _ in range(4):
        model._m_step(X, model._e_step(X)[1])
        model.means_ = means
    return model.covariances_, model.weights_, *answers(model)


def annealed_em(cls):
    model = fitted(cls, max_iter=1)
    for temperature in (4.0, 2.0, 1.0):
        log_joint = model._estimate_weighted_log_prob(X) / temperature
        model._m_step(X, log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    return answers(model)


def moments_by_responsibilities(cls):
    probabilities = fitted(cls).predict_proba(X)
    means = [np.average(X, axis=0, weights=column) for column in probabilities.T]
    covariances = [np.cov(X.T, aweights=column, ddof=0) for column in probabilities.T]
    return probabilities.mean(axis=0), means, covariances


def fisher_vector(cls):
    model = fitted(cls, covariance_type="diag")
    probabilities, sds = model.predict_proba(X), np.sqrt(model.covariances_)
    standardized = (X[:, None] - model.means_) / sds
    first = np.einsum("nk,nkd->kd", probabilities, standardized)
    second = np.einsum("nk,nkd->kd", probabilities, standardized**2 - 1)
    roots = np.sqrt(model.weights_)[:, None]
    vector = np.concatenate([first / roots, second / (np.sqrt(2) * roots)]).ravel() / len(X)
    return np.sign(vector) * np.sqrt(np.abs(vector))


def copy_that_is_changed(cls):
    model = fitted(cls)
    other = copy.deepcopy(model)
    other.means_ += 1.0
    other.weights_[:] = 1 / K
    return *answers(model), *answers(other)


# -- parts of larger models -----------------------------------------------------------------------
def centres_behind_a_pipeline(cls):
    model = make_pipeline(StandardScaler(), PCA(2), cls(K, random_state=0))
    fit(model, X)
    centres = model[:-1].inverse_transform(model[-1].means_)
    return (
        centres,
        model.score(X),
        model.predict_proba(X),
        model.named_steps[cls.__name__.lower()].n_iter_,
    )


def features_of_a_classifier(cls):
    class Memberships(TransformerMixin, BaseEstimator):
        def fit(self, rows, y=None):
            self.model_ = fitted(cls, rows=rows)
            return self

        def transform(self, rows):
            return self.model_.predict_proba(rows)

    union = FeatureUnion([("raw", StandardScaler()), ("memberships", Memberships())])
    return make_pipeline(union, RidgeClassifier()).fit(X, LABELS).decision_function(X)


def subclass_that_transforms(cls):
    class Encoder(TransformerMixin, cls):
        def transform(self, rows):
            return self.predict_proba(rows)

    model = make_pipeline(Encoder(K, random_state=0), RidgeClassifier()).fit(X, LABELS)
    return model.decision_function(X), clone(model[0]).fit_transform(X)


def subclass_with_fewer_parameters(cls):
    class Pair(cls):
        def __init__(self, random_state=None):
            super().__init__(2, covariance_type="tied", random_state=random_state)

    model = clone(Pair(random_state=0))
    return model.get_params()["random_state"], *answers(fit(model, X))


def made_from_its_parameters(cls):
    model = fitted(cls, covariance_type="diag", reg_covar=1e-3)
    made = cls(**model.get_params())
    made.__setstate__(model.__getstate__())
    return made.reg_covar, *answers(made)


IDIOMS = [
    from_covariances,
    from_transposed_factors,
    weights_of_one_line,
    copied_attributes,
    copied_dictionary,
    updated_dictionary,
    sorted_components,
    sorted_in_place,
    sliced_components,
    joined_models,
    pickled_parameters,
    saved_arrays,
    json_lists,
    dumped_by_joblib,
    back_in_original_units,
    start_from_another,
    one_iteration_at_a_time,
    loop_of_both_steps,
    weighted_em,
    posterior_of_other_weights,
    moved_means,
    marginal_of_two_features,
    moments_of_the_mixture,
    loop_of_criteria,
    parameters_set_in_a_loop,
    held_out_likelihood,
    criterion_by_hand,
    repeated_until_converged,
    best_of_several_seeds,
    threads_of_joblib,
    bootstrap_of_the_means,
    aligned_and_averaged,
    one_mixture_per_group,
    start_from_centres,
    start_from_labels,
    fit_to_rows_that_mean_nothing,
    warm_start_with_more_rows,
    fit_where_it_is_not_fitted,
    likelihood_ratio,
    classifier_of_mixtures,
    rows_below_a_quantile,
    divergence_by_random_rows,
    density_on_a_grid,
    curves_above_a_histogram,
    labels_by_the_largest_probability,
    labels_in_the_order_of_the_weights,
    colours_that_are_replaced,
    reliability_of_the_probabilities,
    ellipses_of_every_type,
    inverses_of_every_type,
    functions_of_scikit_learns_module,
    squared_distances,
    overlap_of_the_components,
    regression_by_conditional_means,
    components_merged_by_moments,
    background_added,
    means_held_in_place,
    annealed_em,
    moments_by_responsibilities,
    fisher_vector,
    copy_that_is_changed,
    centres_behind_a_pipeline,
    features_of_a_classifier,
    subclass_that_transforms,
    subclass_with_fewer_parameters,
    made_from_its_parameters,
]


@pytest.mark.all_cases
@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda idiom: idiom.__name__)
def test_an_idiom_has_the_result_that_it_has_with_scikit_learn(idiom):
    ours, theirs = idiom(GaussianMixture), idiom(Theirs)
    if not isinstance(ours, tuple):
        ours, theirs = (ours,), (theirs,)
    for own, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("cls", [GaussianMixture, Theirs])
def test_a_mixture_that_was_never_fitted_is_sampled_and_found_again(cls):
    """The draws of the two classes differ, and so are compared with the parameters instead."""
    model = cls(2, random_state=0)
    model.weights_ = np.array([0.3, 0.7])
    model.means_ = np.array([[0.0, 0.0], [6.0, 1.0]])
    model.covariances_ = np.array([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 0.25]]])
    model.precisions_cholesky_ = _compute_precision_cholesky(model.covariances_, "full")
    rows, labels = model.sample(4000)
    assert rows.shape == (4000, 2)
    np.testing.assert_array_equal(labels, np.sort(labels))
    again = fit(cls(2, means_init=model.means_, tol=1e-6), rows)
    errors = np.sqrt(np.diagonal(model.covariances_, axis1=1, axis2=2) / 1200)
    assert (np.abs(again.means_ - model.means_) < 5 * errors).all()
    np.testing.assert_allclose(again.weights_, model.weights_, atol=5 * np.sqrt(0.21 / 4000))
    np.testing.assert_allclose(again.covariances_, model.covariances_, atol=0.3)
    assert np.mean(model.predict(rows) == labels) > 0.98


def test_weighted_em_by_hand_is_what_sample_weight_does():
    labels = np.arange(len(X)) % K
    expected = fit(
        GaussianMixture(K, init_params=labels, max_iter=5, tol=0.0), X, sample_weight=WEIGHTS
    )
    model = GaussianMixture(K)
    with np.errstate(divide="ignore"):
        model._m_step(X, np.log(np.eye(K)[labels] * WEIGHTS[:, None]))
    for _ in range(5):
        model._m_step(X, model._e_step(X)[1] + np.log(WEIGHTS)[:, None])
    for name in PARAMETERS:
        np.testing.assert_allclose(
            getattr(model, name), getattr(expected, name), rtol=1e-8, atol=1e-9
        )


def test_with_tied_covariances_weights_by_hand_are_right_in_ours_only():
    """scikit-learn's tied covariance takes the squares of all rows without their weights."""
    ours, theirs = (fitted(cls, 1, covariance_type="tied") for cls in (GaussianMixture, Theirs))
    ours._m_step(X, np.log(WEIGHTS)[:, None])
    expected = np.cov(X.T, aweights=WEIGHTS, bias=True) + 1e-6 * np.eye(D)
    np.testing.assert_allclose(ours.covariances_, expected, rtol=1e-9)
    with pytest.raises(ValueError, match="ill-defined"):
        theirs._m_step(X, np.log(WEIGHTS)[:, None])


def test_an_attribute_that_was_left_out_is_named():
    """scikit-learn does not look at precisions_, and so does not notice."""
    model = fitted(GaussianMixture)
    order = np.argsort(model.means_[:, 0])[::-1]
    for name in PARAMETERS:
        if name != "precisions_":
            setattr(model, name, getattr(model, name)[order])
    with pytest.raises(ValueError, match=r"^precisions_ and precisions_cholesky_ .* \(del model"):
        model.predict(X)
    del model.precisions_
    theirs = fitted(Theirs)
    np.testing.assert_array_equal(order[model.predict(X)], theirs.predict(X))


def test_weights_that_are_not_normalized_are_named():
    model = fitted(GaussianMixture)
    for name in PARAMETERS:
        setattr(model, name, getattr(model, name)[:2])
    with pytest.raises(ValueError, match="should be normalized"):
        model.predict(X)


def test_densities_are_those_of_scipy_after_all_this():
    model = GaussianMixture(2)
    model.weights_ = np.array([[0.4, 0.6]])
    model.means_ = np.array([[0.0, 0.0], [3.0, 1.0]])
    model.covariances_ = np.array([np.eye(2), block_diag(4.0, 0.25)])
    rows = X[:, :2]
    expected = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(rows)
        for weight, mean, covariance in zip(
            model.weights_[0], model.means_, model.covariances_, strict=True
        )
    ]
    np.testing.assert_allclose(model.score_samples(rows), logsumexp(expected, axis=0), rtol=1e-11)
