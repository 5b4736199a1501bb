"""Files of skops, and what of our estimators a reader of them has to trust."""

from __future__ import annotations

import importlib
import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import clusters, fit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from emgmm import (
    TRUSTED_TYPES,
    Ending,
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureIC,
    GaussianMixtureProjection,
    NormalInverseWishart,
)

X = clusters(120, 2, 2)
CLASSES = np.where(np.arange(len(X)) % 3 == 0, np.nan, X[:, 0] > np.median(X[:, 0]))
TABLE = pd.DataFrame(X, columns=["height", "weight"])
MODELS = {
    "default": lambda: fit(GaussianMixture(2, random_state=0), TABLE),
    "all parameters": lambda: fit(
        GaussianMixture(
            2,
            covariance_type="VEI",
            noise="uniform",
            prior=NormalInverseWishart(shrinkage=0.02),
            acceleration="anderson",
            init_params=X[:2],
            random_state=np.random.RandomState(3),
        ),
        X.astype(np.float32),
    ),
    "a stream": lambda: GaussianMixture(2, random_state=0).partial_fit(X).partial_fit(X),
    "too few rows": lambda: GaussianMixture(5).partial_fit(X[:3]),
    "not fitted": lambda: GaussianMixture(2, prior="conjugate"),
    "given": lambda: GaussianMixture.from_parameters([1.0], [[0.0]], covariances=[[[1.0]]]),
    "selection": lambda: GaussianMixtureIC(range(1, 3), random_state=0).fit(TABLE),
    "constraints": lambda: fit(
        GaussianMixture(2, fixed={"means": np.array([True, False])}, means_init=X[:2]), X
    ),
    "classes": lambda: GaussianMixtureClassifier([1, 2], covariance_type="all").fit(TABLE, CLASSES),
    "projection": lambda: GaussianMixtureProjection(GaussianMixture(2, random_state=0)).fit(X),
    "pipeline": lambda: make_pipeline(StandardScaler(), GaussianMixture(2)).fit(X),
}
ALL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)

pytestmark = pytest.mark.all_cases


def parts(value):
    """All values that a state consists of, as pickles and skops take it apart."""
    yield value
    if isinstance(value, dict):
        inner = [*value.values()]
    elif isinstance(value, list | tuple):
        inner = value
    elif type(value).__module__.startswith("emgmm"):
        inner = [value.__getstate__()]
    else:
        inner = []
    for each in inner:
        yield from parts(each)


def own(model):
    """The estimator of this package in a model that may be a pipeline."""
    return model[-1] if isinstance(model, Pipeline) else model


@ALL
def test_estimators_consist_of_the_types_that_are_published(model):
    """A member of an Enum, which skops cannot read, is none of them."""
    for each in parts(own(model())):
        kind = type(each)
        if kind.__module__.startswith("emgmm"):
            assert f"{kind.__module__}.{kind.__name__}" in TRUSTED_TYPES


def test_the_published_types_exist():
    for name in TRUSTED_TYPES:
        module, _, kind = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), kind), type)


def test_the_ending_survives_as_the_member_that_it_is():
    model = MODELS["default"]()
    assert pickle.loads(pickle.dumps(model)).ending_ is model.ending_ is Ending.CONVERGED
    older = GaussianMixture()
    older.__setstate__({**model.__getstate__(), "ending_": Ending.MAX_ITER})
    assert older.ending_ is Ending.MAX_ITER


@ALL
def test_skops_restores_estimators_with_these_types(model):
    io = pytest.importorskip("skops.io")
    made = model()
    restored = io.loads(io.dumps(made), trusted=TRUSTED_TYPES)
    assert vars(restored).keys() == vars(made).keys()
    fitted, again = own(made), own(restored)
    if hasattr(fitted, "classes_"):
        np.testing.assert_array_equal(again.predict_proba(TABLE), fitted.predict_proba(TABLE))
    if hasattr(fitted, "components_"):
        np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    if hasattr(fitted, "means_"):
        assert getattr(again, "ending_", None) is getattr(fitted, "ending_", None)
        for ours, expected in zip(again.sample(9, 0), fitted.sample(9, 0), strict=True):
            np.testing.assert_array_equal(ours, expected)
