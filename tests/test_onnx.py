"""ONNX graphs of fitted estimators, run by onnxruntime; `.ci/extra` installs both packages."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from conftest import clusters, fit
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emgmm import (
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureIC,
    GaussianMixtureOutlierDetector,
)
from emgmm.covariances import FAMILIES

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from emgmm.onnx import to_onnx  # noqa: E402

pytestmark = pytest.mark.all_cases

X = clusters(200, 4, 3, seed=1, spread=1.0)
CLASSES = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0)
# Largest differences of probabilities and log-densities by the type of the graph.
TOLERANCE = {np.float64: 1e-9, np.float32: 1e-4}
each_type = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)


def run(graph, rows):
    """The outputs of a graph by name."""
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (given,), names = session.get_inputs(), [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {given.name: rows}), strict=True))


def assert_same(graph, model, rows):
    """The outputs are those of the model, and the labels are where two are not nearly as likely."""
    found, exact = run(graph, rows), rows.astype(np.float64)
    tolerance = TOLERANCE[rows.dtype.type]
    probabilities = model.predict_proba(exact)
    assert found["probabilities"].shape == probabilities.shape
    assert {value.dtype.type for name, value in found.items() if name != "label"} == {
        rows.dtype.type
    }
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=0, atol=tolerance)
    if "score_samples" in found:
        densities = model.score_samples(exact)
        np.testing.assert_allclose(found["score_samples"][:, 0], densities, tolerance, tolerance)
    top = np.sort(probabilities, axis=1)
    sure = top[:, -1] - top[:, -2] > 4 * tolerance
    assert sure.mean() > 0.9
    labels = found["label"].reshape(len(rows))
    np.testing.assert_array_equal(labels[sure], model.predict(exact)[sure])


# -- mixtures --------------------------------------------------------------------------------------
@each_type
@pytest.mark.parametrize("noise", [None, "uniform"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_graph_computes_what_the_mixture_does(covariance_type, noise, dtype):
    """Far from 0, where rows and means as they are would leave no digits in float32."""
    rows = (10_000 + X[:, : FAMILIES[covariance_type].most_features]).astype(dtype)
    model = fit(
        GaussianMixture(3, covariance_type=covariance_type, noise=noise), rows.astype(float)
    )
    assert_same(to_onnx(model, rows, score_samples=True), model, rows)
    if noise is not None:
        assert run(to_onnx(model, rows), rows[:1] + 100)["label"] == -1


@each_type
@pytest.mark.parametrize("name", ["iris", "wine", "faithful", "digits10"])
def test_real_data(name, dtype, rows_of):
    rows = rows_of[name].astype(dtype)
    model = fit(GaussianMixture(3, covariance_type="VVE", noise="uniform", random_state=0), rows)
    assert_same(to_onnx(model, rows, score_samples=True), model, rows)


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18, 22])
def test_versions_of_the_operators(opset):
    model = fit(GaussianMixture(2, noise=1e-3), X)
    graph = to_onnx(model, X, score_samples=True, target_opset=opset)
    assert {each.version for each in graph.opset_import if not each.domain} == {opset}
    assert_same(graph, model, X)


def test_a_weight_of_zero_and_rows_whose_densities_underflow():
    settings = {"covariances": [1.0, 1.0], "covariance_type": "spherical"}
    model = GaussianMixture.from_parameters([0.0, 1.0], [[0.0], [4.0]], **settings)
    rows = np.array([[0.0], [1e5], [1e200], [np.nan]])
    found = run(to_onnx(model, rows, score_samples=True), rows)
    np.testing.assert_allclose(found["score_samples"][:3, 0], model.score_samples(rows[:3]))
    np.testing.assert_array_equal(found["probabilities"][:2], [[0.0, 1.0], [0.0, 1.0]])
    assert found["label"][:2].tolist() == [[1], [1]]
    assert np.isnan(found["probabilities"][2:]).all()
    assert np.isnan(found["score_samples"][3])


def test_a_missing_value_leads_to_nan_also_with_noise():
    model = fit(GaussianMixture(2, noise="uniform"), X)
    rows = np.where(np.eye(*X.shape, dtype=bool), np.nan, X)[:6]
    found = run(to_onnx(model, X, score_samples=True), rows)
    assert np.isnan(found["probabilities"][:4]).all()
    assert np.isnan(found["score_samples"][:4]).all()
    np.testing.assert_allclose(found["probabilities"][4:], model.predict_proba(rows[4:]))


def test_the_type_of_the_graph_is_that_of_the_rows():
    for rows, kind in ((X, 11), (X.tolist(), 11), (X.astype(np.float32), 1), (X.astype(int), 11)):
        graph = to_onnx(fit(GaussianMixture(2), X), rows)
        assert graph.graph.input[0].type.tensor_type.elem_type == kind
    integers = np.rint(X).astype(np.int64)
    model = fit(GaussianMixture(2), X)
    found = run(skl2onnx.to_onnx(model, integers[:1]), integers)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(integers), atol=1e-4)


# -- other estimators ------------------------------------------------------------------------------
def test_a_selection():
    model = fit(GaussianMixtureIC([2, 3], covariance_type="VVI", random_state=0), X)
    assert_same(to_onnx(model, X, score_samples=True), model, X)


@each_type
@pytest.mark.parametrize("components", ["separate", "shared"])
@pytest.mark.parametrize("classes", [CLASSES - 1, np.array([*"abcd"])[CLASSES], CLASSES > 1.0])
def test_a_classifier(classes, components, dtype):
    settings = {"components": components, "covariance_type": "VVI"}
    model = fit(GaussianMixtureClassifier(**settings), X, y=classes)
    rows = X.astype(dtype)
    assert_same(to_onnx(model, rows), model, rows)


def test_options_of_a_classifier():
    model = fit(GaussianMixtureClassifier(), X, y=np.array([*"abcd"])[CLASSES])
    rows = X.astype(np.float32)  # ONNX has maps of numbers in float32 only
    maps = run(skl2onnx.to_onnx(model, rows[:1]), rows)["output_probability"]
    assert {*maps[0]} == {*"abcd"}
    graph = to_onnx(model, rows, options={id(model): {"zipmap": False, "nocl": True}})
    np.testing.assert_array_equal(
        run(graph, rows)["label"], model.predict_proba(rows).argmax(axis=1)
    )


@each_type
@pytest.mark.parametrize(("n_components", "noise"), [(1, None), (3, None), (3, "uniform")])
def test_a_detector(n_components, noise, dtype):
    model = fit(GaussianMixtureOutlierDetector(n_components, noise=noise, level=0.9), X)
    rows = X.astype(dtype)
    found, exact = run(to_onnx(model, rows, score_samples=True), rows), rows.astype(float)
    decision, tolerance = model.decision_function(exact), TOLERANCE[dtype]
    np.testing.assert_allclose(found["scores"][:, 0], decision, tolerance, tolerance)
    np.testing.assert_allclose(
        found["score_samples"][:, 0], model.score_samples(exact), tolerance, tolerance
    )
    sure = np.abs(decision) > 2 * tolerance
    assert {*found["label"][:, 0]} == {-1, 1}
    np.testing.assert_array_equal(found["label"][sure, 0], model.predict(exact)[sure])


# -- pipelines and other classes -------------------------------------------------------------------
def test_pipelines_convert_by_skl2onnx_too():
    mixture = GaussianMixture(3, covariance_type="VEV", noise="uniform", random_state=0)
    pipeline = fit(make_pipeline(StandardScaler(), mixture), 7 * X)
    options = {id(mixture): {"score_samples": True}}
    for graph in (
        to_onnx(pipeline, X, score_samples=True),
        skl2onnx.to_onnx(pipeline, X[:1], options=options),
    ):
        assert len(graph.graph.output) == 3
        assert_same(graph, pipeline, 7 * X)
    classifier = make_pipeline(StandardScaler(), GaussianMixtureClassifier()).fit(X, CLASSES)
    assert_same(to_onnx(classifier, X), classifier, X)


def test_scikit_learns_class_keeps_its_converter():
    """The graph has the names, the shapes and the types of theirs, and gives the same numbers."""
    theirs = Theirs(3, random_state=0).fit(X)
    ours = GaussianMixture.from_sklearn(theirs)
    graphs = [
        skl2onnx.to_onnx(each, X[:1], options={"score_samples": True}) for each in (theirs, ours)
    ]
    assert "Gemm" in {node.op_type for node in graphs[0].graph.node}
    assert "Gemm" not in {node.op_type for node in graphs[1].graph.node}
    expected, found = (run(graph, X) for graph in graphs)
    assert [*found] == [*expected]
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9)


UNDER_THE_PATCH = """
import emgmm; emgmm.patch_sklearn()
from sklearn.mixture import GaussianMixture
from emgmm.onnx import to_onnx
model = GaussianMixture(1, covariance_type="EII").fit([[0.0, 1.0], [2.0, 2.0], [3.0, 1.0]])
print([output.name for output in to_onnx(model, [[0.0, 1.0]]).graph.output])
"""


def test_the_class_that_scikit_learns_name_denotes_under_the_patch():
    command = [sys.executable, "-c", UNDER_THE_PATCH]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "['label', 'probabilities']"


# -- what is refused -------------------------------------------------------------------------------
def test_what_cannot_be_converted_is_refused():
    model = fit(GaussianMixture(2), X)
    for convert in (to_onnx, skl2onnx.to_onnx):
        with pytest.raises(
            ValueError, match="X has 3 features, but GaussianMixture is expecting 4"
        ):
            convert(model, X[:1, :3])
        with pytest.raises(NotFittedError, match="This GaussianMixture instance is not fitted yet"):
            convert(GaussianMixture(2), X[:1])
        function = fit(GaussianMixture(2, noise=lambda rows: np.full(len(rows), -9.0)), X)
        with pytest.raises(ValueError, match="noise of this model is a function, which an ONNX"):
            convert(function, X[:1])
    classifier = fit(GaussianMixtureClassifier(), X, y=CLASSES)
    with pytest.raises(TypeError, match="The graph of a GaussianMixtureClassifier has no output"):
        to_onnx(classifier, X, score_samples=True)
    with pytest.raises(TypeError, match="got a StandardScaler: use skl2onnx"):
        to_onnx(StandardScaler().fit(X), X)
