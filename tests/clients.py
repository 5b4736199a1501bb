"""Packages that use scikit-learn's class give the same answers under the patch.

These packages are installed in `.ci/extra` only, so that this file is named when its tests run::

    python -m pytest tests/clients.py

As a script, it writes the answers of the packages to a file. The tests run it as such twice, with
and without ``python -m emgmm.patch``, and compare. With the same `random_state`, both classes make
the same iterations, and their parameters differ by rounding errors of about 1e-12. Hence the
tolerance of 1e-9. It is absolute too, because the gradients of Fisher vectors vanish at a maximum.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

TYPES = ("full", "tied", "diag", "spherical")
TOLERANCE = 1e-9


def iris():
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True)


# -- the answers ------------------------------------------------------------------------------------
def scikit_lego_classifier():
    from sklego.mixture import GMMClassifier

    X, y = iris()
    for kind in TYPES:
        model = GMMClassifier(n_components=2, covariance_type=kind, random_state=0).fit(X, y)
        yield from {"n_iter": model.n_iter_, "proba": model.predict_proba(X)}.items()
        yield "labels", model.predict(X)
        assert {type(mixture) for mixture in model.gmms_.values()} == {expected_class()}


def scikit_lego_outliers():
    from sklego.mixture import GMMOutlierDetector

    X, _ = iris()
    for method, threshold in (("quantile", 0.95), ("stddev", 1.0)):
        model = GMMOutlierDetector(
            n_components=3, method=method, threshold=threshold, random_state=0
        ).fit(X)
        yield f"{method}, decision", model.decision_function(X)
        yield f"{method}, labels", model.predict(X)
        assert type(model.gmm_) is expected_class()


def scikit_lego_naive_bayes():
    from sklego.naive_bayes import GaussianMixtureNB

    X, y = iris()
    model = GaussianMixtureNB(n_components=2, random_state=0).fit(X, y)
    yield "proba", model.predict_proba(X)
    assert type(model.gmms_[0][0]) is expected_class()


def scikit_lego_bayesian():
    from sklego.mixture import BayesianGMMClassifier

    X, y = iris()
    model = BayesianGMMClassifier(n_components=2, random_state=0, max_iter=1000).fit(X, y)
    yield "proba", model.predict_proba(X)


def pyod():
    from pyod.models.gmm import GMM

    X, _ = iris()
    for kind in TYPES:
        model = GMM(n_components=3, covariance_type=kind, random_state=0, contamination=0.1)
        model.fit(X[::2])
        for name in ("decision_scores_", "threshold_", "labels_", "n_iter_", "converged_"):
            yield f"{kind}, {name}", getattr(model, name)
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            yield f"{kind}, {name}", getattr(model, name)
        yield f"{kind}, decision", model.decision_function(X)
        yield f"{kind}, proba", model.predict_proba(X)
        assert type(model.detector_) is expected_class()


def scikit_image():
    from skimage.feature import fisher_vector, learn_gmm

    X, y = iris()
    images = [X[y == each] for each in range(3)]
    model = learn_gmm(
        images, n_modes=3, gm_args={"covariance_type": "diag", "random_state": 0, "tol": 1e-5}
    )
    assert type(model) is expected_class()
    for number, image in enumerate(images):
        yield f"image {number}", fisher_vector(image, model)
        yield f"image {number}, improved", fisher_vector(image, model, improved=True, alpha=1.0)


def skl2onnx():
    from onnxruntime import InferenceSession
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType
    from sklearn.mixture import GaussianMixture
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, _ = iris()
    for kind in TYPES:
        mixture = GaussianMixture(3, covariance_type=kind, random_state=0)
        for model in (mixture, make_pipeline(StandardScaler(), mixture)):
            model.fit(X)
            converted = convert_sklearn(
                model,
                initial_types=[("rows", DoubleTensorType([None, X.shape[1]]))],
                options={id(mixture): {"score_samples": True}},
            )
            session = InferenceSession(
                converted.SerializeToString(), providers=["CPUExecutionProvider"]
            )
            labels, proba, scores = session.run(None, {"rows": X})
            np.testing.assert_array_equal(labels.ravel(), model.predict(X))
            np.testing.assert_allclose(proba, model.predict_proba(X), atol=TOLERANCE)
            np.testing.assert_allclose(scores.ravel(), model.score_samples(X), rtol=TOLERANCE)
            name = f"{kind}, {type(model).__name__}"
            yield from {f"{name}, labels": labels, f"{name}, proba": proba}.items()
            yield f"{name}, scores", scores
        assert type(mixture) is expected_class()


ANSWERS = (
    scikit_lego_classifier,
    scikit_lego_outliers,
    scikit_lego_naive_bayes,
    scikit_lego_bayesian,
    pyod,
    scikit_image,
    skl2onnx,
)


def expected_class():
    """The class that a package has imported."""
    import sklearn.mixture

    assert sklearn.mixture.GaussianMixture.__module__.startswith(sys.argv[2])
    return sklearn.mixture.GaussianMixture


# -- the comparison ---------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    """The answers with scikit-learn's class, and with ours."""
    folder, found = tmp_path_factory.mktemp("answers"), []
    for package, through in (("sklearn", []), ("emgmm", ["-m", "emgmm.patch"])):
        path = folder / f"{package}.npz"
        subprocess.run([sys.executable, *through, __file__, str(path), package], check=True)
        with np.load(path) as file:
            found.append(dict(file))
    return found


@pytest.mark.all_cases
@pytest.mark.parametrize("package", [function.__name__ for function in ANSWERS])
def test_the_answers_are_the_same(package, answers):
    theirs, ours = (
        {name: value for name, value in each.items() if name.startswith(f"{package}: ")}
        for each in answers
    )
    assert theirs
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        np.testing.assert_allclose(
            ours[name], expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
        )


if __name__ == "__main__":
    np.savez(
        sys.argv[1],
        **{
            f"{function.__name__}: {number}, {name}": value
            for function in ANSWERS
            for number, (name, value) in enumerate(function())
        },
    )
