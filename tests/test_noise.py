"""Noise: R mclust's stored results, the equations in long form, and a life among everything else."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, dense, fit, given_start, relative_error
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from emgmm import GaussianMixture, NormalInverseWishart, StarvedComponentWarning, blocks
from emgmm.noise import Box, Noise

HERE = Path(__file__).parent / "data"
N, K = 500, 3


@cache
def stored():
    return json.loads((HERE / "noise.json").read_text())["data"]["chevron"]


@cache
def chevron():
    return np.loadtxt(HERE / "chevron.csv", delimiter=",", skiprows=1, usecols=(0, 1))


@cache
def noisy_rows(n_features=2, share=0.2, seed=0):
    """Clusters, and rows anywhere in a box around them; noise is labelled -1."""
    random = np.random.default_rng(seed)
    X = clusters(N, n_features, K, seed=seed, spread=6.0)
    astray = random.random(N) < share
    low, high = X.min(axis=0), X.max(axis=0)
    X[astray] = random.uniform(low, high, (astray.sum(), n_features))
    return X


def noisy(covariance_type="full", **arguments):
    start = given_start(noisy_rows(), K, covariance_type)
    arguments = {**start, "tol": 0, "max_iter": 10, "noise": "uniform", **arguments}
    return GaussianMixture(**arguments)


# -- mclust -------------------------------------------------------------------------------------
MCLUST = [
    pytest.param(size, model, id=f"{size}-{model}")
    for size, entry in stored()["G"].items()
    for model in entry["models"]
]


@pytest.mark.parametrize(("size", "model"), MCLUST)
def test_mclusts_end_from_its_labels(size, model):
    labels = np.array(stored()["G"][size]["start_labels_minus1_is_noise"])
    result = stored()["G"][size]["models"][model]
    reference = result.get("exact", result) if model == "VVE" else result
    X, n_components = chevron(), int(size)
    end = GaussianMixture(
        n_components,
        covariance_type=model,
        noise="uniform",
        reg_covar=0,
        tol=1e-14,
        max_iter=20_000,
        init_params=lambda X, n_components, random_state: labels,
    )
    fit(end, X)
    assert end.n_parameters() == result["df"]
    assert np.diff(end.history_["objective"]).min() >= -1e-13 * np.abs(end.lower_bound_)
    if model == "VVE" and "exact" not in result:  # mclust's M-step is not one
        return
    assert len(X) * end.lower_bound_ == pytest.approx(reference["loglik"], abs=1e-6)
    shares = np.append(end.weights_, end.noise_weight_)
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    atol = 5e-5  # of mclust's, which stopped 1e-9 below the maximum: the root of that
    assert_allclose(shares, reference["pro"], atol=atol)
    scale = X.std(axis=0)
    means = np.array(reference["mean"]).reshape(n_components, 2)
    assert_allclose(end.means_ / scale, means / scale, atol=atol)
    sigma = np.array(reference["sigma"]).reshape(n_components, 2, 2)
    assert_allclose(dense(end) / np.outer(scale, scale), sigma / np.outer(scale, scale), atol=atol)
    if model != "VVE":
        expected = np.array(result["labels_noise_is_G"])
        assert_array_equal(end.predict(X) % (n_components + 1), expected)


def test_mclusts_volume_and_criteria():
    best = stored()["Mclust_default_G0to5"]
    labels = np.array(stored()["G"][str(best["G"])]["start_labels_minus1_is_noise"])
    end = GaussianMixture(
        best["G"],
        covariance_type=best["modelName"],
        noise="uniform",
        reg_covar=0,
        tol=1e-14,
        max_iter=20_000,
        init_params=lambda X, n_components, random_state: labels,
    )
    fit(end, chevron())
    far = end.score_samples([[1e9, 1e9]])[0]  # nothing but noise reaches there
    density = np.exp(far) / end.noise_weight_
    assert density == pytest.approx(stored()["Vinv"], rel=1e-12)
    # mclust's default stops at a gain of 1e-5 relative.
    assert -end.bic(chevron()) == pytest.approx(best["bic"], abs=0.5)
    assert -end.icl(chevron()) == pytest.approx(best["icl"], abs=5)
    certainty = np.log(end.predict_proba(chevron()).max(axis=1)).sum()
    assert end.icl(chevron()) == pytest.approx(end.bic(chevron()) - 2 * certainty, rel=1e-12)


def test_the_box_along_principal_axes_where_that_is_smaller():
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    X = random.uniform(size=(400, 3)) * (1, 5, 20) @ turn + 100
    scores = (X - X.mean(axis=0)) @ np.linalg.eigh(np.cov(X.T))[1]
    volumes = [np.ptp(each, axis=0).prod() for each in (X, scores)]
    assert volumes[1] < 0.5 * volumes[0]
    for covariance_type in ("full", "diag"):
        model = fit(GaussianMixture(2, covariance_type=covariance_type, noise="uniform"), X)
        far = model.score_samples(np.full((1, 3), 1e9))[0]
        assert far == pytest.approx(np.log(model.noise_weight_ / volumes[1]), rel=1e-10)
        assert model.history_["passes"][0] == 3 if covariance_type == "full" else 4
        drawn, y = model.sample(4000, random_state=0)
        along = (drawn[y == -1] - X.mean(axis=0)) @ np.linalg.eigh(np.cov(X.T))[1]
        assert (along.min(axis=0) >= scores.min(axis=0) - 1e-9).all()
        assert (along.max(axis=0) <= scores.max(axis=0) + 1e-9).all()


# -- the equations ------------------------------------------------------------------------------
def shares_in_long_form(model, X, log_density):
    """(N, K + 1) responsibilities, noise last, and the log-density of each row."""
    joint = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
        for weight, mean, covariance in zip(model.weights_, model.means_, dense(model), strict=True)
    ]
    noise = np.broadcast_to(np.log(model.noise_weight_) + log_density, len(X))
    joint = np.column_stack([*joint, noise])
    total = np.logaddexp.reduce(joint, axis=1)
    return np.exp(joint - total[:, None]), total


@pytest.mark.parametrize("covariance_type", [*TYPES, *MODELS])
def test_density_and_m_step_in_long_form(covariance_type):
    X = noisy_rows()
    weights = np.random.default_rng(1).uniform(0.5, 2, N)
    model = fit(noisy(covariance_type, max_iter=4, reg_covar=0), X, sample_weight=weights)
    shares, total = shares_in_long_form(model, X, -np.log(np.ptp(X, axis=0)).sum())
    assert_allclose(model.predict_proba(X), shares, atol=1e-11)
    assert_allclose(np.exp(model.predict_log_proba(X)), shares, atol=1e-11)
    assert_allclose(model.score_samples(X), total, rtol=1e-11)
    assert model.score(X, sample_weight=weights) == pytest.approx(model.lower_bound_, rel=1e-12)
    assert_array_equal(model.predict(X), np.where(shares.argmax(1) == K, -1, shares.argmax(1)))
    model.set_params(warm_start=True, max_iter=1)
    again = fit(model, X, sample_weight=weights)
    held = weights[:, None] * shares
    assert_allclose(again.weights_, held.sum(axis=0)[:K] / weights.sum(), rtol=1e-9)
    assert again.noise_weight_ == pytest.approx(held[:, K].sum() / weights.sum(), rel=1e-9)
    means = held.T[:K] @ X / held.sum(axis=0)[:K, None]
    assert_allclose(again.means_, means, rtol=1e-9, atol=1e-9)
    if covariance_type in ("full", "tied"):
        scatter = np.array(
            [(r * (X - m).T) @ (X - m) for r, m in zip(held.T[:K], means, strict=True)]
        )
        mass = held.sum(axis=0)[:K]
        expected = (
            scatter.sum(axis=0) / mass.sum()
            if covariance_type == "tied"
            else scatter / mass[:, None, None]
        )
        assert_allclose(again.covariances_, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_many_rows_and_float32(covariance_type):
    """The compiled kernel, where it is installed, and products in float32."""
    X = np.tile(noisy_rows(), (400, 1))
    few, many = (fit(noisy(covariance_type, reg_covar=0), rows) for rows in (noisy_rows(), X))
    assert relative_error(many, few) < 1e-9
    assert many.noise_weight_ == pytest.approx(few.noise_weight_, rel=1e-9)
    single = fit(noisy(covariance_type, reg_covar=0), X.astype(np.float32))
    assert relative_error(single, few) < 1e-3
    assert single.weights_.dtype == np.float32
    assert_allclose(many.predict_proba(X)[:N], few.predict_proba(noisy_rows()), atol=1e-8)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_far_from_the_origin(covariance_type):
    """There the exact form serves."""
    X = noisy_rows()
    one = fit(noisy(covariance_type, reg_covar=0), X)
    start = given_start(X, K, covariance_type)
    start["means_init"] = start["means_init"] + 1e6
    model = GaussianMixture(**start, tol=0, max_iter=10, noise="uniform", reg_covar=0)
    other = fit(model, X + 1e6)
    assert_allclose(other.means_ - 1e6, one.means_, atol=1e-6)
    assert other.noise_weight_ == pytest.approx(one.noise_weight_, rel=1e-6)


@pytest.mark.parametrize("unit", [2.0**-20, 2.0**20])
def test_the_units_of_the_rows_change_no_probability(unit):
    """Densities change by the determinant of the map, those of noise as those of components."""
    X = noisy_rows()
    arguments = {"noise": "uniform", "reg_covar": 0, "random_state": 0, "max_iter": 20, "tol": 0}
    model, other = (fit(GaussianMixture(K, **arguments), rows) for rows in (X, unit * X))
    assert model.noise_weight_ > 0.05
    assert other.noise_weight_ == pytest.approx(model.noise_weight_, rel=1e-9)
    assert_allclose(other.predict_proba(unit * X), model.predict_proba(X), atol=1e-9)
    assert_allclose(other.score_samples(unit * X), model.score_samples(X) - 2 * np.log(unit))


def test_a_number_and_a_function_are_the_same_noise():
    X = noisy_rows()
    density = 1 / np.ptp(X, axis=0).prod()
    models = [
        fit(noisy(noise=noise), X)
        for noise in ("uniform", density, lambda rows: np.full(len(rows), np.log(density)))
    ]
    for other in models[1:]:
        assert relative_error(other, models[0]) < 1e-10
        assert_allclose(other.predict_proba(X), models[0].predict_proba(X), atol=1e-10)
    wide = fit(noisy(noise=lambda rows: multivariate_normal([0, 0], 50).logpdf(rows)), X)
    shares, total = shares_in_long_form(wide, X, multivariate_normal([0, 0], 50).logpdf(X))
    assert_allclose(wide.predict_proba(X), shares, atol=1e-10)
    assert_allclose(wide.score_samples(X), total, rtol=1e-10)


def test_a_row_with_holes_meets_the_boxs_marginal():
    X = noisy_rows(3)
    model = GaussianMixture.from_parameters(
        [0.7], [[0.0, 0.0, 0.0]], covariances=[np.eye(3)], noise=8.0, noise_weight=0.3
    )
    half = np.where([False, True, False], np.nan, X)
    known = multivariate_normal(np.zeros(2)).pdf(X[:, [0, 2]])
    assert_allclose(np.exp(model.score_samples(half)), 0.7 * known + 0.3 * 4.0, rtol=1e-10)
    nothing = np.full((1, 3), np.nan)
    assert model.score_samples(nothing)[0] == pytest.approx(0, abs=1e-12)
    assert_allclose(model.predict_proba(nothing), [[0.7, 0.3]])
    assert_allclose(model.impute(np.array([[500.0, np.nan, 500.0]])), [[500, 0, 500]], atol=1e-9)


# -- what it is for -----------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(8))
def test_noise_does_not_move_the_means(seed):
    """20% of the rows are uniform: means are within three standard errors of the truth."""
    random = np.random.default_rng(seed)
    truth = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    labels = random.integers(K, size=3000)
    X = truth[labels] + random.normal(size=(3000, 2))
    astray = random.random(3000) < 0.2
    X[astray] = random.uniform(-15, 25, (astray.sum(), 2))
    model = GaussianMixture(K, noise="uniform", tol=1e-7, max_iter=500, random_state=seed).fit(X)
    plain = GaussianMixture(K, tol=1e-7, max_iter=500, random_state=seed).fit(X)
    n_each = 3000 * 0.8 / K
    errors = [
        np.abs(found.means_[:, None] - truth).min(axis=0).max() * np.sqrt(n_each)
        for found in (model, plain)
    ]
    assert errors[0] < 3
    assert errors[1] > errors[0]
    assert model.noise_weight_ == pytest.approx(0.2, abs=0.03)
    assert (model.predict(X[astray]) == -1).mean() > 0.85


def test_without_noise_in_the_data_its_share_goes_to_nothing():
    X = clusters(2000, 2, K, seed=2, spread=8.0)
    model = GaussianMixture(K, noise="uniform", tol=1e-8, max_iter=1000, random_state=0).fit(X)
    plain = GaussianMixture(K, tol=1e-8, max_iter=1000, random_state=0).fit(X)
    assert model.noise_weight_ < 0.01
    assert model.lower_bound_ >= plain.lower_bound_ - 1e-6


@pytest.mark.parametrize("start", ["kmeans", "k-means++", "random", "random_from_data"])
def test_every_start_begins_with_some_noise(start):
    model = fit(noisy(init_params=start, means_init=None, max_iter=0), noisy_rows())
    assert 0 < model.noise_weight_ < 1
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1, abs=1e-12)


def test_what_a_start_says_of_noise():
    X = noisy_rows()
    labels = np.random.default_rng(0).integers(-1, K, N)
    arguments = {"n_components": K, "noise": "uniform", "max_iter": 0}
    by_labels = GaussianMixture(**arguments, init_params=lambda *_: labels).fit(X)
    assert by_labels.noise_weight_ == pytest.approx((labels < 0).mean())
    shares = np.eye(K + 1)[labels]  # label -1 is the last column
    by_shares = GaussianMixture(**arguments, init_params=lambda *_: shares).fit(X)
    assert relative_error(by_shares, by_labels) < 1e-12
    given = fit(noisy(weights_init=[0.2, 0.3, 0.1], max_iter=0), X)
    assert given.noise_weight_ == pytest.approx(0.4)
    assert_allclose(given.weights_, [0.2, 0.3, 0.1])


# -- among everything else ----------------------------------------------------------------------
def in_blocks(X, weights):
    cuts = list(pairwise((0, 50, 51, 200, len(X))))
    return blocks([X[a:b] for a, b in cuts]), blocks([weights[a:b, None] for a, b in cuts])


def in_dask(X, weights):
    import dask.array

    chunks = (100, 250, 150)
    return tuple(
        dask.array.from_array(each, chunks=(chunks, *each.shape[1:])) for each in (X, weights)
    )


@pytest.mark.parametrize("holed", [False, True], ids=["whole", "holed"])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "VVE", "EEI"])
@pytest.mark.parametrize("home", [in_blocks, in_dask])
def test_one_answer(home, covariance_type, holed):
    X = noisy_rows(3)
    if holed:
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.15, np.nan, X)
    weights = np.random.default_rng(1).integers(0, 4, N).astype(float)
    start = given_start(noisy_rows(3), K, covariance_type)
    model = GaussianMixture(**start, tol=0, max_iter=6, noise="uniform")
    expected = fit(model, X, sample_weight=weights)
    repeated = fit(GaussianMixture(**model.get_params()), X.repeat(weights.astype(int), axis=0))
    assert relative_error(repeated, expected) < 1e-9
    own, own_weights = home(X, weights)
    found = fit(GaussianMixture(**model.get_params()), own, sample_weight=own_weights)
    assert relative_error(found, expected) < 1e-9
    assert found.noise_weight_ == pytest.approx(expected.noise_weight_, rel=1e-9)
    assert expected.score(X, sample_weight=weights) == pytest.approx(
        expected.lower_bound_, rel=1e-11
    )


@pytest.mark.parametrize("covariance_type", TYPES)
def test_accelerated(covariance_type):
    X = noisy_rows()
    means = [X[i : i + 20].mean(axis=0) for i in (0, 20, 40)]
    arguments = {"tol": 1e-12, "max_iter": 5000, "reg_covar": 0, "means_init": means}
    plain = fit(noisy(covariance_type, **arguments), X)
    quick = fit(noisy(covariance_type, acceleration="anderson", **arguments), X)
    assert quick.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-9)
    assert "leap" in quick.history_["event"]
    assert np.diff(quick.history_["objective"]).min() >= -1e-13 * abs(quick.lower_bound_)
    assert quick.n_iter_ < plain.n_iter_


def test_under_priors_the_objective_never_falls():
    model = fit(
        noisy(prior=NormalInverseWishart(), weight_concentration=1.5, max_iter=60), noisy_rows()
    )
    assert np.diff(model.history_["objective"]).min() >= -1e-13 * abs(model.lower_bound_)
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1, abs=1e-12)


def test_coincident_components_are_parted_all_the_same():
    X = noisy_rows()
    model = GaussianMixture(
        2, noise="uniform", means_init=[X.mean(axis=0)] * 2, weights_init=[0.4, 0.4], tol=1e-8,
        precisions_init=[np.eye(2) / 30] * 2, max_iter=500,
    )  # fmt: skip
    fit(model, X)
    assert "escape" in model.history_["event"]
    assert np.linalg.norm(model.means_[0] - model.means_[1]) > 1
    assert 0 < model.noise_weight_ < 1


def test_warm_start_goes_on_as_if_not_interrupted():
    X = noisy_rows()
    whole = fit(noisy(max_iter=8), X)
    model = fit(noisy(max_iter=3, warm_start=True), X)
    fit(model.set_params(max_iter=5), X)
    assert_array_equal(model.means_, whole.means_)
    assert model.noise_weight_ == whole.noise_weight_
    with pytest.raises(ValueError, match="whether there is noise was True then and is False now"):
        model.set_params(noise=None).fit(X)


@pytest.mark.parametrize("noise", ["uniform", lambda rows: np.full(len(rows), -7.0)])
def test_a_checkpoint_goes_on(noise, tmp_path):
    X, path, calls = noisy_rows(), tmp_path / "fit", []
    settings = {"noise": noise, "checkpoint": path, "checkpoint_every": 0, "n_init": 2}
    settings |= {"means_init": None, "random_state": 0}

    def twice(X, n_components, random_state):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return X[random_state.choice(len(X), n_components, replace=False)]

    with pytest.raises(KeyboardInterrupt):
        fit(noisy(**settings, init_params=twice), X)
    assert path.exists()
    found = fit(noisy(**settings, init_params=twice), X)
    calls[:] = [1] * 2
    whole = fit(noisy(**{**settings, "checkpoint": None}, init_params=twice), X)
    assert_array_equal(found.means_, whole.means_)
    assert found.noise_weight_ == whole.noise_weight_


def test_a_stream_keeps_the_noise_of_its_first_block():
    X = noisy_rows()
    model = noisy(init_params="kmeans")
    for _ in range(5):
        for part in np.split(X, 5):
            model.partial_fit(part)
    first = -np.log(np.ptp(X[:100], axis=0)).sum()
    far = model.score_samples([[1e9, 1e9]])[0]
    assert far == pytest.approx(np.log(model.noise_weight_) + first, rel=1e-10)
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1, abs=1e-9)


def test_kept_in_files(tmp_path):
    X = noisy_rows()
    model = fit(noisy(), X)
    model.save(tmp_path / "model.json")
    for copy in (
        GaussianMixture.load(tmp_path / "model.json"),
        pickle.loads(pickle.dumps(model)),
    ):
        assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
        assert copy.noise_weight_ == model.noise_weight_
        assert_array_equal(copy.sample(50, 0)[0], model.sample(50, 0)[0])
        assert copy.get_params()["noise"] == "uniform"
    plain = fit(noisy(noise=None), X)
    assert plain.noise_weight_ == 0
    with pytest.raises(ValueError, match="noise is a function, which a JSON model cannot hold"):
        fit(noisy(noise=lambda rows: np.full(len(rows), -7.0)), X).save(tmp_path / "no.json")
    assert not (tmp_path / "no.json").exists()


def test_refitted_without_noise_it_is_gone():
    X = noisy_rows()
    model = fit(noisy(), X)
    fit(model.set_params(noise=None), X)
    assert model.noise_weight_ == 0
    assert model.predict_proba(X).shape == (N, K)
    assert_array_equal(model.means_, fit(noisy(noise=None), X).means_)


def test_drawn_rows():
    X = noisy_rows()
    model = fit(noisy(max_iter=50), X)
    rows, y = model.sample(20_000, random_state=0)
    assert (y == -1).mean() == pytest.approx(model.noise_weight_, abs=0.01)
    astray = rows[y == -1]
    assert (astray >= X.min(axis=0)).all()
    assert (astray <= X.max(axis=0)).all()
    assert_allclose(astray.mean(axis=0), (X.min(axis=0) + X.max(axis=0)) / 2, atol=0.5)
    again = model.score_samples(rows).mean()
    assert again == pytest.approx(model.score(X), abs=0.1)


def test_diagnosed():
    X = noisy_rows()
    report = fit(noisy(max_iter=2000, tol=1e-10), X).diagnose(X, certify=True)
    assert report.verdict.name == "LOCAL_MAXIMUM"
    assert report.overlap.shape == (K, K)
    assert report.mass.sum() < 0.95 * N


# -- what will not do ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": 0.0}, "The 'noise' parameter"),
        ({"noise": -1.0}, "The 'noise' parameter"),
        ({"noise": "box"}, "The 'noise' parameter"),
        ({"noise": lambda rows: 3.0}, r"noise returned an array of shape \(\) for \d+ rows"),
        ({"noise": lambda rows: np.full(len(rows), np.nan)}, "noise returned nan for the row"),
        (
            {"noise": lambda rows: np.ma.array(np.full(len(rows), -3.0), mask=True)},
            "noise returned nan for the row",
        ),
        (
            {"noise": lambda rows: np.ma.masked_less(np.where(rows[:, 0] > 0, 0, -3), -1)},
            "noise returned nan for the row",
        ),
        (
            {"noise": lambda rows: [-3.0, "a", *[-3.0] * (len(rows) - 2)]},
            r"noise returned no numbers \(.*\): return the log-density of each row",
        ),
        (
            {"noise": lambda rows: [[-3.0], [-3.0, -4.0]]},
            "noise returned no numbers",
        ),
        ({"weights_init": [0.5, 0.5, 0.2]}, "should be normalized"),
        (
            {"noise": None, "init_params": lambda *_: np.full(N, -1), "means_init": None},
            "label -1 for row 0; labels run from 0 to n_components - 1 = 2; -1 is noise where",
        ),
    ],
)
@pytest.mark.all_cases
def test_bad_noise(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(noisy(**arguments), noisy_rows())


def test_no_volume():
    X = np.column_stack((noisy_rows(), np.ones(N)))
    with pytest.raises(ValueError, match="constant in column 2, counted from 0, so that the data"):
        GaussianMixture(2, noise="uniform").fit(X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_weight": 0.2}, "noise_weight is 0.2, but noise is None"),
        ({"noise": "uniform", "noise_weight": 0.2}, "without data to compute a volume from"),
        ({"noise": 0.1, "noise_weight": 1.0}, r"noise_weight must be a number in \[0, 1\)"),
        ({"noise": 0.1, "noise_weight": 0.3}, "should be normalized, but got sum"),
    ],
)
def test_bad_given_noise(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters([0.8], [[0.0]], covariances=[[[1.0]]], **arguments)


def test_given_noise_has_a_density_but_no_place():
    model = GaussianMixture.from_parameters(
        [0.8], [[0.0]], covariances=[[[1.0]]], noise=0.1, noise_weight=0.2
    )
    assert model.noise == 0.1
    expected = np.log(0.8 / np.sqrt(2 * np.pi) + 0.2 * 0.1)
    assert model.score_samples([[0.0]])[0] == pytest.approx(expected)
    with pytest.raises(ValueError, match="does not say where it lies"):
        model.sample(1000, random_state=0)
    with pytest.raises(ValueError, match="scikit-learn's class does not support: fit a model with"):
        model.to_sklearn()


@pytest.mark.parametrize("acceleration", [None, "anderson"])
@pytest.mark.filterwarnings("ignore::emgmm.CoincidentComponentsWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_noise_that_takes_every_row_leaves_starved_components(acceleration):
    X = noisy_rows()
    model = noisy(noise=1e100, acceleration=acceleration)
    with pytest.warns(StarvedComponentWarning) as caught:
        model.fit(X)
    starved = [w.message for w in caught if isinstance(w.message, StarvedComponentWarning)]
    assert [each.components for each in starved] == [tuple(range(K))]
    assert model.noise_weight_ == pytest.approx(1.0, abs=1e-12)
    assert (model.predict(X) == -1).all()
    report = model.diagnose(X, certify=True)
    assert report.starved == list(range(K))


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_noise_of_which_nothing_is_left_is_no_component(covariance_type, dtype):
    """Its weight underflows to exactly 0; the fit and its densities are those without noise."""
    X = clusters(200, 2, 1).astype(dtype)
    model = GaussianMixture(1, covariance_type=covariance_type, noise=1e-300)
    with np.errstate(all="raise"):
        model.fit(X)
        scores = model.score_samples(X)
        shares = model.predict_proba(X)
    assert model.noise_weight_ == 0
    plain = GaussianMixture(1, covariance_type=covariance_type).fit(X)
    assert_allclose(scores, plain.score_samples(X), rtol=1e-4 if dtype == np.float32 else 1e-12)
    assert_array_equal(shares, np.tile([1, 0], (200, 1)))


def test_a_box_is_as_large_as_its_density_requires_in_small_units_too():
    low = np.array([1e-12])
    box = Box.between(low, 3 * low).of_density(1e-300)
    rows = box.sample(1000, np.random.RandomState(0))
    assert np.isfinite(rows).all()
    assert np.ptp(rows) == pytest.approx(1e300, rel=0.05)
    assert np.abs(rows.mean()) < 0.05 * 1e300


def test_centres_of_components_that_noise_left_without_weight():
    """Equal weights are then all 0, and the centres are those of equal components."""
    X = clusters(100, 2, 2)
    mixture = fit(GaussianMixture(2, random_state=0), X)._mixture()
    empty = replace(mixture, weights=np.zeros(2), noise=Noise(1.0, Box.between(X.min(0), X.max(0))))
    equal = replace(mixture, weights=np.full(2, 0.5))
    assert_allclose(empty.centre, equal.centre)
    found, expected = empty.precision_weighted_mean, equal.precision_weighted_mean
    assert_allclose(found, expected)
