"""Models that were not fitted here, and files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TYPES, clusters, fit
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as Theirs

from emgmm import Ending, GaussianMixture, NormalInverseWishart
from emgmm.datasets import old_faithful

types = pytest.mark.parametrize("covariance_type", TYPES)
X = clusters(200, 3)
FITTED = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


@types
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_from_and_to_sklearn(covariance_type, dtype):
    rows = X.astype(dtype)
    theirs = Theirs(3, covariance_type=covariance_type, tol=1e-5, random_state=0).fit(rows)
    ours = GaussianMixture.from_sklearn(theirs)
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
    np.testing.assert_allclose(ours.predict_proba(rows), theirs.predict_proba(rows), atol=tolerance)
    np.testing.assert_allclose(ours.score_samples(rows), theirs.score_samples(rows), rtol=tolerance)
    assert ours.tol == 1e-5
    assert ours.ending_ is Ending.GIVEN
    assert np.isnan(ours.lower_bound_)
    back = ours.to_sklearn()
    for name in FITTED:
        a, b = getattr(back, name), getattr(theirs, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(back.predict_proba(rows), theirs.predict_proba(rows))
    assert back.get_params() == theirs.get_params()


@types
def test_to_sklearn_of_a_fit(covariance_type):
    table = pd.DataFrame(X, columns=list("abc"))
    ours = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(table)
    theirs = ours.to_sklearn()
    assert type(theirs) is Theirs
    np.testing.assert_allclose(theirs.score_samples(table), ours.score_samples(table), rtol=1e-12)
    for name in ("n_iter_", "converged_", "lower_bound_", "lower_bounds_", "n_features_in_"):
        assert getattr(theirs, name) == getattr(ours, name)
    assert theirs.feature_names_in_.tolist() == ["a", "b", "c"]
    theirs.set_params(warm_start=True).fit(table)
    callable_start = GaussianMixture(2, init_params=lambda X, *_: (X[:, 0] > 0).astype(int)).fit(X)
    assert callable_start.to_sklearn().init_params == "kmeans"


@types
@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
def test_a_bayesian_mixture_predicts_the_same(covariance_type, prior):
    bayesian = fit(
        BayesianGaussianMixture(
            n_components=4,
            covariance_type=covariance_type,
            weight_concentration_prior_type=prior,
            random_state=0,
        ),
        X,
    )
    ours = GaussianMixture.from_sklearn(bayesian)
    np.testing.assert_allclose(ours.predict_proba(X), bayesian.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(ours.predict(X), bayesian.predict(X))
    assert ours.weights_.sum() == pytest.approx(1, rel=1e-14)
    constant = ours.score_samples(X) - bayesian.score_samples(X)
    np.testing.assert_allclose(constant, constant[0], atol=1e-11)


def test_what_cannot_be_converted():
    with pytest.raises(TypeError, match="but got LinearRegression"):
        GaussianMixture.from_sklearn(LinearRegression())
    with pytest.raises(NotFittedError):
        GaussianMixture.from_sklearn(Theirs())


@types
@pytest.mark.parametrize("given", ["covariances", "precisions"])
def test_from_parameters(covariance_type, given):
    fitted = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    model = GaussianMixture.from_parameters(
        fitted.weights_.tolist(),
        fitted.means_.tolist(),
        **{given: getattr(fitted, f"{given}_").tolist()},
        covariance_type=covariance_type,
        feature_names=["a", "b", "c"],
    )
    for name in FITTED:
        np.testing.assert_allclose(
            getattr(model, name), getattr(fitted, name), rtol=1e-9, atol=1e-11
        )
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    np.testing.assert_allclose(model.score_samples(table), fitted.score_samples(X), rtol=1e-10)
    assert (model.n_iter_, model.converged_, model.lower_bounds_) == (0, True, [])
    assert np.isnan(model.lower_bound_)
    assert model.n_components == 3
    assert model.n_features_in_ == 3
    assert model.sample(5, random_state=0)[0].shape == (5, 3)
    assert model.set_params(warm_start=True).fit(table).n_iter_ >= 1


def test_from_parameters_is_the_mixture_it_says():
    covariances = np.array([[[2.0, 0.5], [0.5, 1.0]], [[0.3, 0.0], [0.0, 0.7]]])
    model = GaussianMixture.from_parameters([0.25, 0.75], [[0, 0], [3, 1]], covariances=covariances)
    rows = np.random.default_rng(0).normal(size=(20, 2))
    expected = logsumexp(
        [
            np.log(w) + multivariate_normal(m, c).logpdf(rows)
            for w, m, c in zip([0.25, 0.75], [[0, 0], [3, 1]], covariances, strict=True)
        ],
        axis=0,
    )
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-12)


WRONG = {
    "both": ({"covariances": [1.0, 1.0], "precisions": [1.0, 1.0]}, "exactly one of covariances"),
    "none": ({}, "exactly one of covariances and precisions"),
    "shape": ({"covariances": [1.0]}, r"'spherical covariance' should have the shape of \(2,\)"),
    "sign": ({"covariances": [1.0, -1.0]}, "should be positive: that of component 1 is not"),
    "precision": ({"precisions": [-1.0, 1.0]}, "should be positive: that of component 0 is not"),
    "crooked": (
        {"covariances": [[[1, 0.5], [0.2, 1]], np.eye(2)], "covariance_type": "full"},
        "'full covariance' should be symmetric, positive-definite: that of component 0 is not",
    ),
    "type": ({"covariances": [1.0, 1.0], "covariance_type": "round"}, "but got 'round'"),
    "names": ({"covariances": [1.0, 1.0], "feature_names": ["a"]}, "must be 2 strings"),
    "weights": ({"covariances": [1.0, 1.0], "weights": [1, 1]}, "should be normalized"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_parameters_that_will_not_do(arguments, message):
    arguments = {
        "weights": [0.5, 0.5],
        "means": [[0.0, 0.0], [1.0, 1.0]],
        "covariance_type": "spherical",
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters(**arguments)


GIVEN = {
    "covariances": lambda matrix: GaussianMixture.from_parameters(
        [1.0], [[0.0, 0.0]], covariances=[matrix]
    ),
    "precisions": lambda matrix: GaussianMixture.from_parameters(
        [1.0], [[0.0, 0.0]], precisions=[matrix]
    ),
    "tied": lambda matrix: GaussianMixture.from_parameters(
        [1.0], [[0.0, 0.0]], covariances=matrix, covariance_type="tied"
    ),
    "start": lambda matrix: GaussianMixture(1, precisions_init=[matrix]).fit(X[:, :2]),
    "prior": lambda matrix: NormalInverseWishart(scale=matrix),
}


@pytest.mark.parametrize("give", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("units", [(1.0, 1.0), (1e-6, 1e-6), (1e-10, 1.0), (1e8, 1e-8)])
def test_symmetry_does_not_depend_on_units(give, units):
    matrix = np.array([[1.0, 0.5], [0.5, 1.0]]) * np.outer(units, units)
    give(matrix)
    give(matrix * [[1, 1 + 1e-7], [1, 1]])  # as inverted in single precision
    for factor in (0.4, 1 + 1e-4, -1.0):
        with pytest.raises(ValueError, match="symmetric"):
            give(matrix * [[1, factor], [1, 1]])


def test_parameters_are_copied():
    means = np.zeros((2, 2))
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], means, covariances=[1.0, 1.0], covariance_type="spherical"
    )
    means[:] = 99
    assert (model.means_ == 0).all()
    theirs = model.to_sklearn()
    theirs.means_[:] = 99
    theirs.lower_bounds_.append(0)
    assert (model.means_ == 0).all()
    assert model.lower_bounds_ == []


def test_another_number_of_components_does_not_change_what_was_fitted(tmp_path):
    model = GaussianMixture(3, covariance_type="tied", random_state=0).fit(X)
    expected, parameters = model.predict_proba(X), model.n_parameters()
    model.set_params(n_components=5)
    model.save(tmp_path / "model.json")
    for copy in (model, GaussianMixture.load(tmp_path / "model.json")):
        np.testing.assert_array_equal(copy.predict_proba(X), expected)
        assert copy.n_parameters() == parameters
        np.testing.assert_allclose(copy.to_sklearn().predict_proba(X), expected, atol=1e-12)
        with pytest.raises(ValueError, match="warm_start=True continues"):
            copy.set_params(warm_start=True).fit(X)


# -- files ------------------------------------------------------------------------------------------
@types
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_saved_model_is_the_same_to_the_last_bit(covariance_type, dtype, tmp_path):
    table = pd.DataFrame(X.astype(dtype), columns=["a", "b", "c"])
    model = GaussianMixture(
        3,
        covariance_type=covariance_type,
        means_init=X[:3],
        weights_init=[0.2, 0.3, 0.5],
        random_state=np.int64(3),
        tol=np.float64(1e-4),
        warm_start=True,
    )
    fit(model, table).save(tmp_path / "model.json")
    copy = GaussianMixture.load(tmp_path / "model.json")
    for name in FITTED:
        a, b = getattr(copy, name), getattr(model, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    for name in ("converged_", "n_iter_", "lower_bound_", "lower_bounds_", "ending_"):
        assert getattr(copy, name) == getattr(model, name)
        assert type(getattr(copy, name)) is type(getattr(model, name))
    for name, values in model.history_.items():
        np.testing.assert_array_equal(copy.history_[name], values)
    assert copy.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(copy.means_init, model.means_init)
    np.testing.assert_array_equal(copy.predict_proba(table), model.predict_proba(table))
    np.testing.assert_array_equal(fit(copy, table).means_, fit(model, table).means_)


def test_a_model_stored_under_earlier_parameter_names_is_read():
    # Written when `learning_decay` and `learning_offset` were called step_power and step_offset.
    path = Path(__file__).parent / "data" / "model_step_power.json"
    model = GaussianMixture.load(path)
    assert (model.learning_decay, model.learning_offset) == (0.7, 3.0)
    X = old_faithful().rows
    expected = logsumexp(
        [
            np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
            for weight, mean, covariance in zip(
                model.weights_, model.means_, model.covariances_, strict=True
            )
        ],
        axis=0,
    )
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-10)
    model.partial_fit(X)
    assert model.n_iter_ == 2


@pytest.mark.parametrize("name", ["model_stream.json", "model_stream_mass.json"])
def test_a_stored_model_with_noise_a_prior_and_a_stream_is_read(name):
    """The second file was written when `counts` and `first_moment` were called mass and drift."""
    model = GaussianMixture.load(Path(__file__).parent / "data" / name)
    X = old_faithful().rows
    assert model.noise_weight_ == 0.14018484842098727
    np.testing.assert_array_equal(model.prior.scale, [[0.5, 2.0], [2.0, 50.0]])
    assert model.score(X) == pytest.approx(-4.159947887495891, rel=1e-12)
    model.partial_fit(X[236:])
    assert model.score(X) == pytest.approx(-4.154885890474407, rel=1e-10)


@pytest.mark.parametrize("max_iter", [1, 500])
def test_a_model_stored_with_an_earlier_ending_is_read(tmp_path, max_iter):
    # Earlier versions replaced the ending of fits under a prior with a diagonal scale.
    model = fit(GaussianMixture(2, max_iter=max_iter, random_state=0), X)
    path = tmp_path / "model.json"
    model.save(path)
    document = json.loads(path.read_text())
    document["fitted"]["ending_"] = "DIAGONAL_SCALE"
    path.write_text(json.dumps(document))
    assert GaussianMixture.load(path).ending_ is model.ending_


def test_a_model_without_a_bound_is_saved_too(tmp_path):
    model = GaussianMixture.from_parameters(
        [1.0], [[0.0]], covariances=[1.0], covariance_type="spherical"
    )
    model.save(tmp_path / "model.json")
    copy = GaussianMixture.load(tmp_path / "model.json")
    assert np.isnan(copy.lower_bound_)
    assert copy.ending_ is Ending.GIVEN
    assert "NaN" not in (tmp_path / "model.json").read_text()


def test_a_failed_save_leaves_the_file_and_no_litter(tmp_path):
    path = tmp_path / "model.json"
    good = GaussianMixture(2, random_state=0).fit(X)
    good.save(path)
    before = path.read_bytes()
    words = "which a JSON model cannot hold; set it to a plain value"
    with pytest.raises(ValueError, match=f"random_state is a RandomState, {words}"):
        good.set_params(random_state=np.random.RandomState(0)).save(path)
    with pytest.raises(ValueError, match=f"init_params is a function, {words}"):
        good.set_params(init_params=lambda *_: None).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]
    with pytest.raises(NotFittedError):
        GaussianMixture().save(path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        GaussianMixture(2, random_state=0).fit(X).save(tmp_path / "nowhere" / "model.json")


def test_a_save_that_is_cut_off_leaves_the_old_model(tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    model = GaussianMixture(2, random_state=0).fit(X)
    model.save(path)
    before = path.read_bytes()

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]


def test_a_saved_model_may_be_read_by_whom_any_file_may(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    GaussianMixture(2, random_state=0).fit(X).save(tmp_path / "model.json")
    mode = (tmp_path / "model.json").stat().st_mode
    assert stat.S_IMODE(mode) == stat.S_IMODE(plain.stat().st_mode)


def spoil(document, change):
    change(document)
    return json.dumps(document)


SPOILED = {
    "not JSON": (lambda d: "weights: 1", "is not a saved model: it is not JSON"),
    "another document": (lambda d: "[1, 2]", "does not have the format 'emgmm.GaussianMixture'"),
    "a later format": (
        lambda d: spoil(d, lambda d: d.update(format_version=2)),
        "has format version 2; this emgmm reads version 1",
    ),
    "cut short": (lambda d: json.dumps(d)[:-20], "it is not JSON"),
    "a part missing": (lambda d: spoil(d, lambda d: d.pop("fitted")), "is a damaged model"),
    "a strange value": (
        lambda d: spoil(d, lambda d: d["fitted"].update(means_={"code": "os.system"})),
        "damaged model: means_: an object with the keys",
    ),
    "a wrong shape": (
        lambda d: spoil(d, lambda d: d["fitted"]["means_"].update(shape=[7, 7])),
        "is a damaged model",
    ),
    "an unknown ending": (
        lambda d: spoil(d, lambda d: d["fitted"].update(ending_="FOO")),
        "is a damaged model: ending_ is 'FOO'",
    ),
    "an attribute that is none": (
        lambda d: spoil(d, lambda d: d["fitted"].update(predict=1)),
        r"damaged model: it has \['predict'\] among the fitted",
    ),
    "means missing": (
        lambda d: spoil(d, lambda d: d["fitted"].pop("means_")),
        r"damaged model: it lacks \['means_'\]",
    ),
    "shapes that do not go together": (
        lambda d: spoil(d, lambda d: d["fitted"].update(weights_=d["fitted"]["covariances_"])),
        "damaged model: The parameter 'weights' should have the shape",
    ),
    "an unknown parameter": (
        lambda d: spoil(d, lambda d: d["params"].update(colour="red")),
        r"parameters that this emgmm does not know: \['colour'\]",
    ),
}


@pytest.mark.parametrize(("change", "message"), SPOILED.values(), ids=SPOILED)
def test_a_file_that_is_no_model_is_refused(change, message, tmp_path):
    path = tmp_path / "model.json"
    GaussianMixture(2, random_state=0).fit(X).save(path)
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(ValueError, match=message):
        GaussianMixture.load(path)


def test_sums_of_a_stream_that_underflow_are_loaded(tmp_path):
    weights = np.full(len(X), 1e-3)
    model = fit(GaussianMixture(2, random_state=0), X, sample_weight=weights)
    path = tmp_path / "model.json"
    model.save(path)
    document = json.loads(path.read_text())
    counts = document["fitted"]["_stream"]["items"]["statistics"]["items"]["counts"]["values"]
    counts[:] = 5e-324, sum(counts)
    path.write_text(json.dumps(document))
    with np.errstate(all="raise"):
        loaded = GaussianMixture.load(path)
    np.testing.assert_array_equal(loaded.means_, model.means_)
