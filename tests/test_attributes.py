"""Parameters set by hand: any of the covariances, precisions and their factors is enough."""

from __future__ import annotations

import copy
import pickle
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Theirs

from emgmm import GaussianMixture, GaussianMixtureIC, plotting
from emgmm.covariances import FAMILIES

K, D = 3, 3
X = clusters(200, D, K)
COVARIANCES = ("covariances_", "precisions_", "precisions_cholesky_")
ALL = (*TYPES, *MODELS)


def fitted(covariance_type="full", dtype=np.float64, **arguments):
    model = GaussianMixture(K, covariance_type=covariance_type, random_state=0, **arguments)
    return fit(model, X.astype(dtype))


def made_by_hand(model, names):
    """A new estimator with some of the parameters of another."""
    made = clone(model)
    for name in ("weights_", "means_", *names):
        setattr(made, name, getattr(model, name).copy())
    return made


def log_joint(weights, means, covariances, rows=X):
    return np.stack(
        [
            np.log(weight) + multivariate_normal(mean, covariance).logpdf(rows)
            for weight, mean, covariance in zip(weights, means, covariances, strict=True)
        ]
    )


@pytest.mark.parametrize("name", COVARIANCES)
@pytest.mark.parametrize("covariance_type", ALL)
def test_one_of_the_three_is_enough_for_everything(covariance_type, name, tmp_path):
    model = fitted(covariance_type)
    made = made_by_hand(model, [name])
    joint = log_joint(model.weights_, model.means_, dense(model))
    np.testing.assert_allclose(made.score_samples(X), logsumexp(joint, axis=0), rtol=1e-9)
    np.testing.assert_allclose(
        made.predict_proba(X), np.exp(joint - logsumexp(joint, axis=0)).T, atol=1e-9
    )
    np.testing.assert_array_equal(made.predict(X), joint.argmax(axis=0))
    for criterion in ("bic", "aic", "icl", "score"):
        expected = getattr(pickle.loads(pickle.dumps(model)), criterion)(X)
        assert getattr(made, criterion)(X) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(made.sample(9, 0)[0], model.sample(9, 0)[0], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(made.diagnose(X).mass, model.diagnose(X).mass, rtol=1e-9)
    assert "Gaussian mixture of 3 components" in str(made.summary(X))
    plt.close(plotting.GaussianMixtureDisplay.from_estimator(made, X).figure_)
    made.save(tmp_path / "model.json")
    copies = [
        pickle.loads(pickle.dumps(made)),
        GaussianMixture.load(tmp_path / "model.json"),
        GaussianMixture.from_sklearn(made.to_sklearn()),
        made.to_sklearn(),
    ]
    for each in copies:
        np.testing.assert_allclose(each.score_samples(X), made.score_samples(X), rtol=1e-8)
    assert set(vars(made)) == set(vars(clone(made))) | {"weights_", "means_", name}


@pytest.mark.parametrize("name", COVARIANCES)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_training_goes_on_from_parameters_set_by_hand(covariance_type, name):
    model = fitted(covariance_type, max_iter=2, tol=1e-12)
    made = made_by_hand(model, [name])
    fit(made.set_params(warm_start=True, max_iter=3), X)
    fit(model.set_params(warm_start=True, max_iter=3), X)
    np.testing.assert_allclose(made.means_, model.means_, rtol=1e-7)
    stream = made_by_hand(model, [name]).partial_fit(X)
    shares = model.predict_proba(X)
    np.testing.assert_allclose(stream.weights_, shares.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(
        stream.means_, (shares.T @ X) / shares.sum(axis=0)[:, None], rtol=1e-7
    )


def test_a_stream_forgets_statistics_that_do_not_belong_to_the_parameters():
    """Otherwise the means of before would return with the next block."""
    model = fitted()
    model.means_ = model.means_ + 100.0
    model.partial_fit(X + 100.0)
    expected = fitted().partial_fit(X)
    shares = fitted().predict_proba(X)
    np.testing.assert_allclose(
        model.means_ - 100.0, (shares.T @ X) / shares.sum(axis=0)[:, None], rtol=1e-7
    )
    assert model.n_iter_ == expected.n_iter_ == 1
    again = model.partial_fit(X + 100.0)
    assert again.n_iter_ == 2


@pytest.mark.parametrize("edit", ["in place", "anew"])
@pytest.mark.parametrize("changed", COVARIANCES)
@pytest.mark.parametrize("covariance_type", ALL)
def test_a_stale_one_is_named_and_not_used(covariance_type, changed, edit):
    model = fitted(covariance_type)
    before = model.predict(X)
    first = (0,) if FAMILIES[covariance_type].element_shape(K, D) != (D, D) else ()
    if FAMILIES[covariance_type].shared:
        first = ()
    value = getattr(model, changed)
    if edit == "anew":
        value = value.copy()
        setattr(model, changed, value)
        np.testing.assert_array_equal(model.predict(X), before)  # a copy changes nothing
    value[first] *= 1 + 1e-5
    for use in (
        lambda: model.predict(X[:1]),
        lambda: model.score(X),
        model.sample,
        model.summary,
        model.to_sklearn,
        lambda: model.save("never.json"),
        lambda: model.partial_fit(X),
        lambda: (
            GaussianMixture(warm_start=True).fit(X) and model.set_params(warm_start=True).fit(X)
        ),
    ):
        with pytest.raises(ValueError, match=f"{changed}|precisions_cholesky_") as caught:
            use()
        assert sum(name in str(caught.value).partition(" describe ")[0] for name in COVARIANCES) > 1
    value[first] /= 1 + 1e-5
    np.testing.assert_array_equal(model.predict(X), before)


def test_differences_below_a_millionth_are_none():
    model = fitted()
    model.covariances_ = model.covariances_ * (1 + 5e-7)
    model.predict(X)
    model.covariances_ = model.covariances_ * (1 + 5e-6)
    with pytest.raises(
        ValueError, match=r"^covariances_ and precisions_cholesky_ .* of component 0"
    ):
        model.predict(X)


def test_the_component_that_differs_is_named():
    model = fitted()
    model.covariances_[2] *= 2
    with pytest.raises(ValueError, match="different covariances of component 2"):
        model.predict(X)
    del model.precisions_, model.precisions_cholesky_
    expected = log_joint(model.weights_, model.means_, model.covariances_)
    np.testing.assert_allclose(model.score_samples(X), logsumexp(expected, axis=0), rtol=1e-9)


def test_samples_have_the_covariances_that_were_set():
    model = fitted()
    model.covariances_ = np.array([np.eye(D) * 9.0] * K)
    del model.precisions_, model.precisions_cholesky_
    rows, labels = model.sample(30_000, random_state=0)
    for k in range(K):
        own = rows[labels == k]
        np.testing.assert_allclose(np.cov(own.T), 9.0 * np.eye(D), atol=0.6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_rounding_is_no_disagreement(covariance_type, condition, dtype):
    """Copies are compared anew; a fit's own numbers agree, however narrow its components are."""
    random = np.random.default_rng(3)
    turned = np.linalg.qr(random.normal(size=(D, D)))[0]
    narrow = ((X * [1.0, condition**-0.25, condition**-0.5]) @ turned).astype(dtype)
    model = GaussianMixture(K, covariance_type=covariance_type, reg_covar=0, random_state=0)
    try:
        fit(model, narrow)
    except ValueError:
        assert dtype == np.float32  # which has not digits enough
        return
    for one in (model, Theirs(K, covariance_type=covariance_type, reg_covar=0, random_state=0)):
        if one is not model:
            if dtype == np.float32:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                one.fit(narrow)
            one = GaussianMixture.from_sklearn(one)
        copy = pickle.loads(pickle.dumps(one))
        np.testing.assert_array_equal(copy.score_samples(narrow), one.score_samples(narrow))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_type_of_now_decides_the_shape(covariance_type):
    model = fitted("full")
    other = fitted(covariance_type)
    model.set_params(covariance_type=covariance_type)
    if covariance_type != "full":
        for use in (lambda: model.predict(X), model.sample, model.summary):
            with pytest.raises(ValueError, match=f"covariance_type='{covariance_type}'"):
                use()
    for name in ("weights_", "means_", *COVARIANCES):
        setattr(model, name, getattr(other, name))
    np.testing.assert_array_equal(model.score_samples(X), other.score_samples(X))
    assert model.n_parameters() == other.n_parameters()
    assert model.bic(X) == pytest.approx(other.bic(X), rel=1e-12)


def test_shapes_that_two_types_share_are_told_apart_by_the_type():
    """With as many components as features, `tied` and `diag` have arrays of one shape."""
    variances = np.array([[4.0, 1.0, 2.0], [1.0, 5.0, 3.0], [2.0, 3.0, 9.0]])
    model = fitted("diag")
    for name in COVARIANCES:
        delattr(model, name)
    model.covariances_ = variances
    expected = log_joint(model.weights_, model.means_, [np.diag(row) for row in variances])
    np.testing.assert_allclose(model.score_samples(X), logsumexp(expected, axis=0), rtol=1e-12)
    model.covariance_type = "tied"
    expected = log_joint(model.weights_, model.means_, [variances] * K)
    np.testing.assert_allclose(model.score_samples(X), logsumexp(expected, axis=0), rtol=1e-12)


def test_weights_of_one_line_and_plain_lists_are_taken():
    model, made = fitted(), GaussianMixture(K)
    made.weights_ = model.weights_[None]
    made.means_ = model.means_.tolist()
    made.precisions_ = model.precisions_.tolist()
    np.testing.assert_allclose(made.score_samples(X), model.score_samples(X), rtol=1e-9)
    assert made.weights_.shape == (1, K)
    assert isinstance(made.means_, list)
    made.means_[0][0] += 1.0  # is seen in a list too
    assert not np.allclose(made.score_samples(X), model.score_samples(X))


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_factors_may_be_lower_triangular(covariance_type):
    """As `numpy.linalg.cholesky` returns them, which scikit-learn takes too."""
    model = fitted(covariance_type)
    lower = np.linalg.cholesky(model.precisions_)
    for names in (["precisions_cholesky_"], COVARIANCES):
        made = made_by_hand(model, names)
        made.precisions_cholesky_ = lower
        np.testing.assert_allclose(made.score_samples(X), model.score_samples(X), rtol=1e-9)
        assert made.precisions_cholesky_ is lower
    lower *= 1.1
    with pytest.raises(ValueError, match="describe different covariances"):
        made.predict(X)


def test_rounding_below_the_diagonal_of_factors_is_no_fault():
    """As `numpy.linalg.inv` of a lower triangular factor leaves it, in whatever units."""
    rows = X * np.array([1e-5, 1.0, 1e5])
    model = fit(GaussianMixture(K, random_state=0), rows)
    expected, factors = model.score_samples(rows), model.precisions_cholesky_.copy()
    lower = np.tril(np.ones((D, D)), -1) * np.abs(factors).max(axis=2, keepdims=True)
    model.precisions_cholesky_ = factors + 1e-14 * lower
    np.testing.assert_array_equal(model.score_samples(rows), expected)
    model.precisions_cholesky_ = factors + 1e-6 * lower
    with pytest.raises(ValueError, match="upper triangular"):
        model.score_samples(rows)


def crooked(cholesky):
    changed = cholesky.copy()
    changed[1] = changed[1].T
    return changed


BAD = {
    "a name": ({"covariance_type": "ful"}, "Did you mean 'full'"),
    "weights' sum": ({"weights_": [0.2, 0.2, 0.2]}, "should be normalized"),
    "a negative weight": ({"weights_": [-0.5, 0.5, 1.0]}, "component 0 has -0.5"),
    "weights' number": ({"weights_": [0.5, 0.5]}, r"'weights' should have the shape of \(3,\)"),
    "nan in weights": ({"weights_": [np.nan, 0.5, 0.5]}, "weights contains NaN"),
    "nan in means": ({"means_": np.full((K, D), np.nan)}, "means contains NaN"),
    "means of one dimension": ({"means_": np.zeros(K)}, "Expected 2D array"),
    "nan in factors": ({"precisions_cholesky_": np.full((K, D, D), np.nan)}, "contains NaN"),
    "factors": ({"precisions_cholesky_": crooked}, "upper triangular .* component 1 is not"),
    "another width": ({"n_features_in_": 2}, "means_ has 3 columns, but n_features_in_ is 2"),
    "a share of noise": ({"noise_weight_": 0.5}, "has no noise component"),
    "no share of noise": ({"noise_weight_": "x"}, "noise_weight_ must be a number"),
}


@pytest.mark.parametrize(("attributes", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_a_parameter_is_refused(attributes, message):
    model = fitted()
    for name, value in attributes.items():
        setattr(model, name, value(getattr(model, name)) if callable(value) else value)
    with pytest.raises(ValueError, match=message):
        model.predict(X)


@pytest.mark.parametrize("name", COVARIANCES[:2])
def test_a_lone_matrix_must_be_positive_definite(name):
    model = made_by_hand(fitted(), [name])
    getattr(model, name)[1] *= -1
    with pytest.raises(ValueError, match="positive-definite: that of component 1 is not"):
        model.predict(X)


@pytest.mark.parametrize("absent", ["weights_", "means_", COVARIANCES])
def test_too_few_parameters_are_no_fitted_model(absent):
    model = fitted()
    for name in [absent] if isinstance(absent, str) else absent:
        delattr(model, name)
    for use in (model.sample, model.summary, lambda: model.predict(X)):
        with pytest.raises(NotFittedError):
            use()


def test_weights_with_noise_leave_its_share():
    model = fitted(noise=1e-4)
    share = model.noise_weight_
    model.weights_ = np.full(K, (1 - share) / K)
    joint = log_joint(model.weights_, model.means_, dense(model))
    expected = np.logaddexp(logsumexp(joint, axis=0), np.log(share * 1e-4))
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-9)
    model.noise_weight_ = 0.0
    with pytest.raises(ValueError, match="should be normalized"):
        model.predict(X)


def test_masks_that_are_set_in_place_are_noticed():
    model = fitted()
    for name in ("means_", "weights_", "covariances_"):
        array = np.ma.array(getattr(model, name).copy())
        setattr(model, name, array)
        model.predict(X)
        array[-1] = np.ma.masked
        with pytest.raises(ValueError, match=r"contains NaN|different covariances"):
            model.predict(X)
        setattr(model, name, np.asarray(array.data))
        model.predict(X)


@pytest.mark.parametrize("noise", [None, 1e-4])
def test_weights_in_float32_are_valid_in_float64(noise, tmp_path):
    """Where the other parameters are in float64, which all of them are then."""
    covariances, share = np.array([np.eye(D)] * K), 0.0 if noise is None else 0.25
    for seed in range(20):
        random = np.random.default_rng(seed)
        weights, means = random.dirichlet(np.ones(K)) * (1 - share), 3 * random.normal(size=(K, D))
        weights = weights.astype(np.float32)
        model = GaussianMixture.from_parameters(
            weights, means, covariances=covariances, noise=noise, noise_weight=share
        )
        assert model.weights_.sum() == pytest.approx(1 - share, abs=1e-15)
        terms = [*log_joint(weights.astype(float), means, covariances)]
        terms += [] if noise is None else [np.full(len(X), np.log(share * noise))]
        expected = logsumexp(terms, axis=0)
        by_hand = clone(model)
        by_hand.weights_, by_hand.means_, by_hand.covariances_ = weights, means, covariances
        by_hand.noise_weight_, by_hand._noise_density = model.noise_weight_, model._noise_density
        models = [model, by_hand, pickle.loads(pickle.dumps(model))]
        for number, each in enumerate((model, by_hand)):
            if noise is None:
                models.append(GaussianMixture.from_sklearn(each.to_sklearn()))
            each.save(tmp_path / f"{number}.json")
            models.append(GaussianMixture.load(tmp_path / f"{number}.json"))
        for each in models:
            np.testing.assert_allclose(each.score_samples(X), expected, atol=1e-6)
            np.testing.assert_array_equal(each.predict(X), model.predict(X))


def selected():
    return fit(GaussianMixtureIC(2, covariance_type=["full", "diag"], random_state=0), X)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", ["weights_", "means_", "covariances_"])
def test_parameters_of_a_selection_set_by_hand_win(name, in_place, tmp_path):
    chosen, untouched = selected(), selected().score_samples(X)
    value = {
        "weights_": chosen.weights_**2 / (chosen.weights_**2).sum(),
        "means_": chosen.means_ + 1.0,
        "covariances_": chosen.covariances_ * 3.0,
    }[name]
    shallow = copy.copy(chosen)
    if in_place:
        getattr(chosen, name)[:] = value
    else:
        setattr(chosen, name, value)
        np.testing.assert_array_equal(shallow.score_samples(X), untouched)
    if name == "covariances_":  # as in `GaussianMixture`
        with pytest.raises(ValueError, match="one of the three suffices"):
            chosen.predict(X)
        del chosen.precisions_, chosen.precisions_cholesky_
    joint = log_joint(chosen.weights_, chosen.means_, dense(chosen.best_estimator_))
    expected = logsumexp(joint, axis=0)
    assert np.abs(expected - untouched).max() > 0.01
    chosen.save(tmp_path / "model.json")
    models = [chosen, chosen.best_estimator_, pickle.loads(pickle.dumps(chosen))]
    for each in (*models, copy.deepcopy(chosen), GaussianMixture.load(tmp_path / "model.json")):
        np.testing.assert_allclose(each.score_samples(X), expected, rtol=1e-9)
        np.testing.assert_array_equal(each.predict(X), joint.argmax(axis=0))
    assert chosen.score(X) == pytest.approx(expected.mean())
    rows = chosen.sample(20_000, random_state=0)[0]
    mean = chosen.weights_ @ chosen.means_
    np.testing.assert_allclose(rows.mean(axis=0), mean, atol=5 * rows.std() / 20_000**0.5)


def test_a_selection_that_is_not_fitted_has_no_parameters():
    chosen = GaussianMixtureIC()
    assert not hasattr(chosen, "means_")
    with pytest.raises(AttributeError, match="best_estimator_"):
        chosen.means_ = np.zeros((K, D))


def test_a_file_has_nothing_of_a_fit_that_its_parameters_do_not_have(tmp_path):
    """A stream of another shape, masks of other components, or names of other features."""
    path = tmp_path / "model.json"
    joint = log_joint(np.full(2, 0.5), X[:2], [np.eye(D)] * 2)
    model = fitted(fixed={"means": [True, False, False]}, means_init=X[:K])
    model.covariance_type = "spherical"
    model.weights_, model.means_, model.covariances_ = np.full(2, 0.5), X[:2], np.ones(2)
    del model.precisions_, model.precisions_cholesky_
    model.save(path)
    restored = pickle.loads(pickle.dumps(model))
    for each in (model, restored, GaussianMixture.load(path)):
        np.testing.assert_allclose(each.score_samples(X), logsumexp(joint, axis=0), rtol=1e-9)
    assert not vars(restored).keys() & {"_stream", "_masks"}
    model.feature_names_in_ = np.array(["a", "b"], dtype=object)
    with pytest.raises(ValueError, match="feature_names must be 3 strings"):
        model.save(path)


def test_attributes_are_plain_storage():
    model = fitted()
    before = {name: getattr(model, name) for name in COVARIANCES}
    model.covariances_ = new = np.array([np.eye(D)] * K)
    assert model.covariances_ is new
    assert all(getattr(model, name) is before[name] for name in COVARIANCES[1:])
    with pytest.raises(ValueError, match="one of the three suffices"):
        model.predict(X)
    assert model.covariances_ is new


def test_a_model_of_theirs_with_contradicting_attributes_is_refused():
    theirs = Theirs(K, random_state=0).fit(X)
    theirs.covariances_ = theirs.covariances_ * 2
    with pytest.raises(ValueError, match="covariances_ and precisions_cholesky_"):
        GaussianMixture.from_sklearn(theirs)


@pytest.mark.parametrize("kept", COVARIANCES)
def test_a_model_of_theirs_with_parameters_set_by_hand_is_converted(kept):
    fitted = Theirs(K, random_state=0).fit(X)
    theirs = Theirs(K)
    theirs.weights_, theirs.means_ = fitted.weights_[None], fitted.means_
    setattr(theirs, kept, getattr(fitted, kept))
    ours = GaussianMixture.from_sklearn(theirs)
    assert ours.weights_.shape == (K,)
    np.testing.assert_allclose(ours.predict_proba(X), fitted.predict_proba(X), atol=1e-9)
    assert ours.score(X) == pytest.approx(fitted.score(X), rel=1e-12)
    assert ours.sample(5, random_state=0)[0].shape == (5, D)
    delattr(theirs, kept)
    with pytest.raises(NotFittedError):
        GaussianMixture.from_sklearn(theirs)
