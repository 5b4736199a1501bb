"""Arrays of other libraries on their devices, with array-api-strict."""

from __future__ import annotations

import doctest
import os
import pickle
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import sklearn
from conftest import clusters, fit
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.utils import estimator_checks

from emgmm import (
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureIC,
    GaussianMixtureOutlierDetector,
    blocks,
)
from emgmm.covariances import FAMILIES
from emgmm.devices import Device, device_of, to_host
from emgmm.em import EM
from emgmm.estep import CentredEStep, DeviceEStep, EStepForPass, device
from emgmm.fitting import sampling
from emgmm.mstep import MStep
from emgmm.sources import ArraySource
from emgmm.sources.device import DeviceBlock, DeviceSource
from emgmm.sources.digest import sums_of_bits

if os.environ.get("SCIPY_ARRAY_API") != "1":
    pytest.skip("SciPy reads SCIPY_ARRAY_API=1 when it is imported", allow_module_level=True)
pytest.importorskip("array_api_compat")
xp = pytest.importorskip("array_api_strict")

X = clusters(240, 3, 3)
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2, size=len(X))
WEIGHTS[::11] = 0
ATTRIBUTES = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
PREDICTIONS = ("predict", "predict_proba", "predict_log_proba", "score_samples")
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-4}

families = pytest.mark.parametrize("family", FAMILIES)
pytestmark = [
    pytest.mark.filterwarnings("ignore::emgmm.EMWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(autouse=True)
def dispatch():
    with sklearn.config_context(array_api_dispatch=True):
        yield


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of few rows, of which a few are added in float32."""
    monkeypatch.setattr(Device, "entries", 4000, raising=False)
    monkeypatch.setattr(device, "SINGLE_ROWS", 8)


@pytest.fixture
def no_transfers(monkeypatch):
    def rows(self):
        raise AssertionError("rows are copied to the host")

    monkeypatch.setattr(DeviceBlock, "rows", property(rows), raising=False)


def on_device(array, name="device1"):
    return xp.asarray(np.ascontiguousarray(array), device=xp.Device(name))


def rows_for(family, dtype=np.float64):
    return (X[:, :1] if FAMILIES[family].most_features == 1 else X).astype(dtype)


def assert_same(ours, expected, rows, rtol, *, methods=PREDICTIONS):
    """The fitted attributes and the predictions, with the types and on the device of the rows."""
    place = device_of(rows)
    host = to_host(rows)
    for name in ATTRIBUTES:
        value, other = getattr(ours, name), getattr(expected, name)
        assert device_of(value) == place, name
        assert to_host(value).dtype == other.dtype, name
        np.testing.assert_allclose(to_host(value), other, rtol, rtol * np.abs(other).max())
    for name in methods:
        value, other = getattr(ours, name)(rows), getattr(expected, name)(host)
        assert device_of(value) == place, name
        assert to_host(value).dtype == other.dtype, name
        np.testing.assert_allclose(to_host(value), other, rtol, rtol * np.abs(other).max())


@families
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fits_and_predictions_are_those_of_numpy(family, dtype, small_blocks, no_transfers):
    rows = rows_for(family, dtype)
    for noise, weights in product((None, "uniform", 1e-3), (None, WEIGHTS)):
        model = GaussianMixture(
            3, covariance_type=family, noise=noise, max_iter=5, tol=0, random_state=0
        )
        expected = fit(clone(model), rows, sample_weight=weights)
        given = None if weights is None else on_device(weights, "device2")
        ours = fit(clone(model), on_device(rows), sample_weight=given)
        assert ours.n_iter_ == expected.n_iter_
        assert ours.noise_weight_ == pytest.approx(expected.noise_weight_, rel=TOLERANCE[dtype])
        methods = (*PREDICTIONS, "component_log_prob")
        assert_same(ours, expected, on_device(rows), TOLERANCE[dtype], methods=methods)


@families
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_pass_computes_the_sums_of_the_definition(family, dtype, small_blocks, no_transfers):
    rows = rows_for(family, dtype)
    mixture = fit(GaussianMixture(3, covariance_type=family, max_iter=2), rows)._mixture()
    source = DeviceSource(on_device(rows), on_device(WEIGHTS))
    em = EM(source, MStep(mixture.family, 0.0, source.dtype), 3)
    form = EStepForPass(em.summary, source)(mixture)
    assert isinstance(form, DeviceEStep)
    assert form.dtype == dtype
    found = em.expect(mixture)
    log_joint = mixture.log_joint(rows)
    log_densities = logsumexp(log_joint, axis=1)
    shares = WEIGHTS[:, None] * np.exp(log_joint - log_densities[:, None])
    rtol = TOLERANCE[dtype] * 1e-2
    assert found.log_likelihood == pytest.approx(WEIGHTS @ log_densities, rel=rtol)
    assert found.weight == pytest.approx(WEIGHTS.sum(), rel=1e-14)
    np.testing.assert_allclose(found.counts, shares.sum(axis=0), rtol)
    means = shares.T @ rows / shares.sum(axis=0)[:, None]
    np.testing.assert_allclose(found.centres + found.mean_offsets, means, rtol, rtol)
    for value in vars(found).values():
        assert value is None or isinstance(value, np.ndarray | float | int)


@pytest.mark.parametrize("family", ["full", "diag", "EII"])
def test_the_first_pass_is_that_of_numpy(family, small_blocks, no_transfers):
    rows = X + np.array([1e7, 0, -1e3])
    sources = DeviceSource(on_device(rows), WEIGHTS), ArraySource(rows, WEIGHTS)
    ours, expected = (
        EM(source, MStep(FAMILIES[family], 0.0, rows.dtype), 1).summary for source in sources
    )
    for name, value in vars(expected).items():
        if name not in ("structure", "pair_weights", "bits"):
            scale = np.abs(value).max()
            np.testing.assert_allclose(getattr(ours, name), value, 1e-12, 1e-12 * scale, name)


def test_the_sums_of_bits_are_those_of_numpy(small_blocks):
    m_step = MStep(FAMILIES["full"], 0.0, X.dtype)
    found, expected = (
        EM(source, m_step, 1, sums_of_bits).summary.bits
        for source in (DeviceSource(on_device(X), WEIGHTS), ArraySource(X, WEIGHTS))
    )
    np.testing.assert_array_equal(found, expected)


def test_what_the_device_cannot_compute_is_computed_on_the_host(small_blocks):
    holes, far, tiny = X.copy(), X.copy(), X.copy()
    holes[::7, 1] = holes[5] = np.nan
    far[:, 0] = np.where(np.arange(len(X)) % 2, 1e9, -1e9) + X[:, 0]
    tiny[:, 1] = 1e8 + 1e-3 * X[:, 1]

    def density(rows):
        return np.full(len(rows), -7.0) - 0.01 * rows[:, 0] ** 2

    for rows, noise in ((holes, None), (holes, "uniform"), (far, None), (tiny, None), (X, density)):
        model = GaussianMixture(2, noise=noise, max_iter=4, tol=0, random_state=0, reg_covar=0)
        expected, ours = fit(clone(model), rows), fit(clone(model), on_device(rows))
        assert_same(ours, expected, on_device(rows), 1e-7)
        if noise is None:
            filled = to_host(ours.impute(on_device(rows)))
            np.testing.assert_allclose(filled, expected.impute(rows), 1e-9)


def test_distant_rows_are_predicted_precisely():
    rows = np.vstack([X, [[1e5, -1e5, 1e5], [1e160, 0, 0]]])
    for dtype in (np.float64, np.float32):
        given = rows.astype(dtype) if dtype == np.float64 else rows[:-1].astype(dtype)
        model = GaussianMixture(3, max_iter=5, random_state=0)
        expected, ours = fit(clone(model), X.astype(dtype)), fit(model, on_device(X.astype(dtype)))
        log_densities = to_host(ours.score_samples(on_device(given)))
        np.testing.assert_allclose(log_densities, expected.score_samples(given), TOLERANCE[dtype])
    with pytest.raises(ValueError, match="Row 241 of X, counted from 0, is so far"):
        fit(GaussianMixture(3, random_state=0), on_device(X)).predict(on_device(rows))


def test_a_device_without_float64(monkeypatch, small_blocks):
    rows = X.astype(np.float32)
    expected = fit(GaussianMixture(3, max_iter=5, random_state=0), rows)
    monkeypatch.setattr(Device, "_floats", frozenset({"float32"}), raising=False)
    ours = fit(GaussianMixture(3, max_iter=5, random_state=0), on_device(rows))
    assert_same(ours, expected, on_device(rows), 1e-4)
    shifted = rows + np.float32(300)  # which float32 products would not resolve
    monkeypatch.undo()
    expected = fit(GaussianMixture(3, max_iter=5, random_state=0), shifted)
    monkeypatch.setattr(Device, "_floats", frozenset({"float32"}), raising=False)
    ours = fit(GaussianMixture(3, max_iter=5, random_state=0), on_device(shifted))
    assert_same(ours, expected, on_device(shifted), 1e-4)


def test_float32_products_need_the_precision_of_float32(monkeypatch):
    rows = X.astype(np.float32)
    mixture = fit(GaussianMixture(3, max_iter=2, random_state=0), rows)._mixture()

    def form():
        source = DeviceSource(on_device(rows))
        em = EM(source, MStep(mixture.family, 0.0, source.dtype), 3)
        return EStepForPass(em.summary, source)(mixture)

    assert form().dtype == np.float32
    matmul = xp.matmul

    def coarse(a, b):  # as the units for matrices of some devices round
        if a.dtype != xp.float32:
            return matmul(a, b)
        bits = to_host(a).view(np.uint32) & np.uint32(0xFFFFE000)
        return matmul(on_device(bits.view(np.float32)), b)

    monkeypatch.setattr(xp, "matmul", coarse)
    assert form().dtype == np.float64


def test_the_bound_decides_between_the_forms():
    for shift, kind in ((0, DeviceEStep), (1e7, CentredEStep)):
        rows = X + np.where(np.arange(len(X)) % 2, shift, 0)[:, None]
        model = fit(GaussianMixture(2, init_params=np.arange(len(X)) % 2, max_iter=1), rows)
        source = DeviceSource(on_device(rows))
        em = EM(source, MStep(FAMILIES["full"], 0.0, source.dtype), 2)
        form = EStepForPass(em.summary, source)(model._mixture())
        assert type(form) is kind


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "hierarchical"])
def test_starts_are_those_of_numpy(init_params, monkeypatch):
    monkeypatch.setattr("emgmm.fitting.multistart.START_FROM", 100)
    monkeypatch.setattr("emgmm.fitting.multistart.START_ROWS", 80)
    model = GaussianMixture(3, init_params=init_params, max_iter=0, random_state=3)
    expected, ours = fit(clone(model), X), fit(clone(model), on_device(X))
    assert_same(ours, expected, on_device(X), 1e-10)


def test_parameters_may_be_on_any_device():
    start = fit(GaussianMixture(3, max_iter=1, random_state=0), X)
    given = {f"{name}init": getattr(start, name) for name in ("weights_", "means_", "precisions_")}
    model = GaussianMixture(3, max_iter=3, **given)
    expected = fit(model, X)
    moved = {name: on_device(value, "device2") for name, value in given.items()}
    assert_same(fit(clone(model).set_params(**moved), on_device(X)), expected, on_device(X), 1e-10)
    labels = np.argmin(((X[:, None] - start.means_) ** 2).sum(axis=2), axis=1)
    for init_params in (labels, np.eye(3)[labels], start.means_):
        model = GaussianMixture(3, max_iter=2, init_params=init_params)
        expected = fit(model, X)
        ours = fit(clone(model).set_params(init_params=on_device(init_params)), on_device(X))
        assert_same(ours, expected, on_device(X), 1e-10)


def test_the_other_methods_agree_with_numpy():
    model = GaussianMixture(3, noise="uniform", random_state=0)
    expected, ours = fit(clone(model), X), fit(clone(model), on_device(X))
    rows = on_device(X)
    for name in ("score", "aic", "bic", "icl"):
        value = getattr(ours, name)(rows, sample_weight=on_device(WEIGHTS))
        assert isinstance(value, float)
        assert value == pytest.approx(getattr(expected, name)(X, sample_weight=WEIGHTS), rel=1e-10)
    assert str(ours.summary(rows)) == str(expected.summary(X))
    assert ours.diagnose(rows).to_dict().keys() == expected.diagnose(X).to_dict().keys()
    assert ours.diagnose(rows).verdict == expected.diagnose(X).verdict
    for value, other in zip(ours.sample(7), expected.sample(7), strict=True):
        assert device_of(value) == device_of(rows)
        np.testing.assert_allclose(to_host(value), other, 1e-9)
    predicted = clone(model).fit_predict(rows)
    np.testing.assert_array_equal(to_host(predicted), expected.predict(X))
    again = clone(model).set_params(warm_start=True, max_iter=2)
    assert_same(fit(fit(again, rows), rows), fit(fit(clone(again), X), X), rows, 1e-9)


def test_labels_streams_and_checkpoints(tmp_path):
    labels = np.where(np.arange(len(X)) % 5, -1, np.arange(len(X)) % 3)
    model = GaussianMixture(3, max_iter=4, random_state=0)
    expected = fit(clone(model), X, labels=labels)
    assert_same(fit(clone(model), on_device(X), labels=labels), expected, on_device(X), 1e-9)
    model.set_params(checkpoint=tmp_path / "fit")
    assert_same(fit(model, on_device(X)), fit(clone(model), X), on_device(X), 1e-9)
    ours, expected = GaussianMixture(2, random_state=0), GaussianMixture(2, random_state=0)
    for part in np.split(X, 3):
        ours.partial_fit(on_device(part))
        expected.partial_fit(part)
    assert_same(ours, expected, on_device(X), 1e-9)


def test_many_rows_are_not_sampled(monkeypatch):
    monkeypatch.setattr(sampling, "START_FROM", 100)
    monkeypatch.setattr(sampling, "START_ROWS", 50)
    ours = fit(GaussianMixture(2, random_state=0), on_device(X))
    assert "sample" not in ours.history_["event"]
    assert "sample" in fit(GaussianMixture(2, random_state=0), X).history_["event"]


def test_selections():
    model = GaussianMixtureIC([1, 2], covariance_type=["EII", "VVV"], max_iter=9)
    model.set_params(init_params="kmeans", random_state=0)
    expected, ours = fit(clone(model), X), fit(clone(model), on_device(X))
    assert ours.best_params_ == expected.best_params_
    np.testing.assert_allclose(ours.results_["bic"], expected.results_["bic"], 1e-9)
    assert_same(ours.best_estimator_, expected.best_estimator_, on_device(X), 1e-8)
    assert (
        device_of(ours.means_) == device_of(ours.predict(on_device(X))) == device_of(on_device(X))
    )


def test_estimators_of_callbacks_are_on_the_device():
    monitor = pytest.importorskip("sklearn.callback").ScoringMonitor(
        scoring={"score": lambda model, X, y: float(model.score(X))}
    )
    for model in (GaussianMixture(2, random_state=0), GaussianMixtureIC(2, random_state=0)):
        fit(model.set_callbacks(monitor), on_device(X))
        rows = [row for row in monitor.get_logs().data if row["task_name"] == "iteration"]
        assert len(rows) > 1
        assert np.isfinite([row["score"] for row in rows]).all()


def test_models_are_stored_on_the_host_and_moved(tmp_path):
    ours = fit(GaussianMixture(3, random_state=0), on_device(X))
    ours.save(tmp_path / "model.json")
    loaded = GaussianMixture.load(tmp_path / "model.json")
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(loaded, name), to_host(getattr(ours, name)))
    restored = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(to_host(restored.means_), loaded.means_)
    selection = GaussianMixtureIC([2], covariance_type="EII", init_params="kmeans").fit(X)
    for moved in (loaded, selection):
        there = moved.__sklearn_array_api_convert__(lambda value: on_device(value, "device2"))
        rows = on_device(X, "device2")
        for model in (there, getattr(there, "best_estimator_", there)):
            assert device_of(model.means_) == device_of(rows)
            assert device_of(model.predict(rows)) == device_of(rows)
        np.testing.assert_array_equal(to_host(there.predict(rows)), moved.predict(X))
        assert isinstance(moved.means_, np.ndarray)
    assert isinstance(ours.to_sklearn().means_, np.ndarray)


def test_attributes_set_by_hand_take_effect():
    ours = fit(GaussianMixture(3, random_state=0), on_device(X))
    before = to_host(ours.score_samples(on_device(X)))
    ours.means_ = on_device(to_host(ours.means_) + 1)
    np.testing.assert_allclose(to_host(ours.score_samples(on_device(X + 1))), before, 1e-9)
    ours.means_[0, 0] += 1.0  # in place
    assert not np.allclose(to_host(ours.score_samples(on_device(X + 1))), before)


def test_invalid_input_gets_one_sentence(monkeypatch):
    model = fit(GaussianMixture(2, random_state=0), on_device(X))
    for name in (*PREDICTIONS, "component_log_prob", "score", "bic", "impute", "summary"):
        for other in (X, X.tolist(), on_device(X, "device2")):
            with pytest.raises(ValueError, match=rf"GaussianMixture\.{name}\(\) must use the same"):
                getattr(model, name)(other)
    infinite = X.copy()
    infinite[17, 2] = -np.inf
    with pytest.raises(ValueError, match=r"infinity.* The first is in row 17, column 2"):
        GaussianMixture(2).fit(on_device(infinite))
    for wrong, message in (
        (X[:, 0], "Expected 2D array"),
        (X[:1], "minimum of 2"),
        (X[:, :0], "0 feature"),
        (X + 1j, "Complex data"),
    ):
        with pytest.raises(ValueError, match=message):
            GaussianMixture(2).fit(on_device(wrong))
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        model.predict(on_device(X[:, :2]))
    with pytest.raises(ValueError, match=r"sample_weight of row 3, .* is -1"):
        model.fit(on_device(X), sample_weight=on_device(np.where(np.arange(240) == 3, -1.0, 1)))
    with pytest.raises(ValueError, match=r"Column|column 1|constant|singular"):
        GaussianMixture(2, reg_covar=0).fit(on_device(X * [1, 0, 1]))
    monkeypatch.setattr(type(on_device(X)), "requires_grad", True, raising=False)
    with pytest.raises(TypeError, match=r"requires a gradient.*X\.detach"):
        GaussianMixture(2).fit(on_device(X))


def test_integers_become_floats():
    rows = np.round(10 * X).astype(np.int64)
    model = GaussianMixture(2, max_iter=3, random_state=0)
    expected, ours = fit(clone(model), rows), fit(clone(model), on_device(rows))
    assert_same(ours, expected, on_device(rows), 1e-9)


def test_other_estimators_refuse_devices():
    y = np.arange(len(X)) % 2
    for model in (GaussianMixtureClassifier(), GaussianMixtureOutlierDetector()):
        with pytest.raises(TypeError, match="does not support arrays of other libraries"):
            model.fit(on_device(X), y)


def test_without_dispatch_arrays_are_converted_or_refused():
    with sklearn.config_context(array_api_dispatch=False):
        expected = fit(GaussianMixture(2, random_state=0), X)
        ours = fit(GaussianMixture(2, random_state=0), on_device(X, "CPU_DEVICE"))
        np.testing.assert_array_equal(ours.means_, expected.means_)
        assert isinstance(ours.predict(on_device(X, "CPU_DEVICE")), np.ndarray)
        with pytest.raises(TypeError, match=r"set_config\(array_api_dispatch=True\)"):
            GaussianMixture(2).fit(on_device(X))
    assert fit(GaussianMixture(2), blocks([X])).predict(X).shape == (240,)


MEMBERS = [
    GaussianMixture(3, max_iter=5),
    GaussianMixtureIC([1, 2], covariance_type="EII", init_params="kmeans", max_iter=5),
]
DEVICES = [("CPU_DEVICE", "float64"), ("device1", "float32")]


@pytest.mark.all_cases
@pytest.mark.parametrize("estimator", MEMBERS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize(("name", "dtype"), DEVICES)
def test_scikit_learns_checks(estimator, name, dtype):
    place = {"array_namespace": "array_api_strict", "device_name": name, "dtype_name": dtype}
    for weighted in (False, True):
        estimator_checks.check_array_api_input_and_values(
            type(estimator).__name__, estimator, **place, check_sample_weight=weighted
        )
    same = getattr(estimator_checks, "check_array_api_same_namespace", None)  # since 1.9
    if same is not None:
        same(type(estimator).__name__, estimator, array_namespace="array_api_strict")
    assert sklearn.utils.get_tags(estimator).array_api_support


def test_the_examples_of_the_page_run():
    page = Path(__file__).parents[1] / "docs" / "guide" / "devices.rst"
    with sklearn.config_context(array_api_dispatch=False):
        test = doctest.DocTestParser().get_doctest(page.read_text(), {}, "devices", str(page), 0)
        assert len(test.examples) > 5
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
