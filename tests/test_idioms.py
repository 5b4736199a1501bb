"""What code written for scikit-learn's class does with fitted models, compared with its answers.

Every idiom is a function of the class. Unless a test says otherwise, both classes give the same.
"""

from __future__ import annotations

import copy
import io
import json
import pickle

import joblib
import numpy as np
import pytest
from conftest import clusters, fit
from scipy.linalg import block_diag
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from emgmm import GaussianMixture

K, D = 3, 3
X = clusters(200, D, K)
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2.0, size=len(X))
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
    return [value for model in joblib.load(io.BytesIO(file.getvalue())) for value in answers(model)]


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
]


@pytest.mark.all_cases
@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda idiom: idiom.__name__)
def test_an_idiom_has_the_result_that_it_has_with_scikit_learn(idiom):
    for ours, theirs in zip(idiom(GaussianMixture), idiom(Theirs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)


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
