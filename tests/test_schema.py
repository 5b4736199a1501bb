"""The published schema of the JSON model, which `.ci/extra` validates with jsonschema."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.mixture
from conftest import clusters, fit

from emgmm import GaussianMixture, GaussianMixtureIC, NormalInverseWishart
from emgmm.covariances import FAMILIES

validators = pytest.importorskip("jsonschema").validators

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "model-schema.json").read_text())
X = clusters(90, 3, 2)
TABLE = pd.DataFrame(X.astype(np.float32), columns=["a", "b", "c"])

pytestmark = pytest.mark.all_cases


def mixture(n_components=2, **settings):
    return GaussianMixture(n_components, **{"random_state": 0, **settings})


MODELS = {
    **{
        f"{name} {dtype.__name__}": lambda name=name, dtype=dtype: fit(
            mixture(covariance_type=name), X[:, : FAMILIES[name].most_features].astype(dtype)
        )
        for name in FAMILIES
        for dtype in (np.float64, np.float32)
    },
    "names": lambda: fit(mixture(max_iter=1), TABLE),
    "uniform noise": lambda: fit(mixture(noise="uniform"), X),
    "noise of a density": lambda: fit(mixture(noise=1e-6, acceleration="anderson"), X),
    "conjugate": lambda: fit(mixture(prior="conjugate", weight_concentration=2), X),
    "explicit prior": lambda: fit(
        mixture(prior=NormalInverseWishart(0.1, np.zeros(3), 6, np.eye(3)), sampling=None), X
    ),
    "starts": lambda: fit(mixture(n_init=3, init_params="random", order="mean", verbose=False), X),
    "labels": lambda: fit(mixture(init_params=np.arange(90) % 2), X),
    "means": lambda: fit(mixture(init_params=X[:2].tolist()), X),
    "a set fixed": lambda: fit(mixture(fixed={"means"}, means_init=X[:2].tolist()), X),
    "a list fixed": lambda: fit(mixture(fixed=["means"], means_init=X[:2].astype(int)), X),
    "some fixed": lambda: fit(
        mixture(fixed={"means": np.array([True, False]), "weights": [False, True]},
                weights_init=[0.5, 0.5], means_init=X[:2]), X
    ),
    "equal weights": lambda: fit(mixture(equal_weights=True, tol=0, forgetting=0.5), X),
    "a checkpoint": lambda: fit(mixture(), X).set_params(
        checkpoint=Path("folder"), checkpoint_every=0.5
    ),
    "a stream": lambda: mixture(prior="conjugate").partial_fit(TABLE).partial_fit(TABLE),
    "given": lambda: GaussianMixture.from_parameters([1], [[0]], covariances=[[[1]]]),
    "scikit-learn's": lambda: GaussianMixture.from_sklearn(sklearn.mixture.GaussianMixture().fit(X)),
    "a marginal": lambda: fit(mixture(), X).marginal([1]),
    "a selection": lambda: fit(GaussianMixtureIC([1, 2], random_state=0), X),
    "by hand": lambda: by_hand(),
}  # fmt: skip


def by_hand():
    model = mixture()
    model.weights_, model.means_, model.precisions_ = np.ones(1), X[:1], np.eye(3)[None]
    return model


def document_of(model, folder):
    model.save(folder / "model.json")
    return json.loads((folder / "model.json").read_text())


@pytest.fixture(scope="module")
def valid():
    """Function that returns whether jsonschema accepts a document."""
    kind = validators.validator_for(SCHEMA)
    kind.check_schema(SCHEMA)
    return kind(SCHEMA).is_valid


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_saved_models_are_valid(model, valid, tmp_path):
    assert valid(document_of(model(), tmp_path))


# -- what is refused -------------------------------------------------------------------------------
# What a document may lack.
OPTIONAL = {"feature_names_in_", "_masks", "_starts", "_stream"}


def places(value, path=()):
    """The path to each value in a document; of equal values in a list, only that to the first."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def inside(document, path):
    for key in path:
        document = document[key]
    return document


def everything():
    """A model with all fields."""
    prior = NormalInverseWishart(0.1, np.zeros(3), 6, np.eye(3))
    fixed = {"means": np.array([True, False]), "weights": [False, True]}
    given = {"means_init": X[:2], "weights_init": [0.4, 0.4]}
    model = mixture(max_iter=2, n_init=2, noise="uniform", prior=prior, fixed=fixed, **given)
    return fit(model.set_params(checkpoint="file"), TABLE).set_params(forgetting=0.5)


def test_a_missing_field_another_field_and_a_wrong_value_are_refused(valid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = document_of(everything(), tmp_path)
    assert valid(document)
    assert {*document["fitted"]} == {*SCHEMA["properties"]["fitted"]["properties"]}
    for path in places(document):
        fields = inside(document, path)
        if isinstance(fields, dict):
            for changed in ({**fields, "another": 0}, *without_each(fields, path)):
                assert not valid(replaced(document, path, changed)), (path, [*changed])
        assert not valid(replaced(document, path, {"wrong": 0})), path
        if not {*path} & {"emgmm_version", "checkpoint", "event", "feature_names_in_"}:
            assert not valid(replaced(document, path, "wrong")), path


# What holds any of its fields.
FREE = (("fixed", "items"), ("_masks", "items"))


def without_each(fields, path):
    """The fields without each of those that must be there."""
    for name in fields.keys() - OPTIONAL if path[-2:] not in FREE else ():
        yield {other: value for other, value in fields.items() if other != name}


def replaced(document, path, value):
    """The document with another value in one place."""
    if not path:
        return value
    changed = copy.copy(document)
    changed[path[0]] = replaced(document[path[0]], path[1:], value)
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), 2),
        (("format",), "emgmm.GaussianMixtureIC"),
        (("params", "covariance_type"), "VVX"),
        (("params", "n_components"), 0),
        (("params", "tol"), {"float": "nan"}),
        (("fitted", "weights_", "shape"), [2, 1]),
        (("fitted", "weights_", "values"), [0.5, 1.5]),
        (("fitted", "weights_", "values"), [0.5, {"float": "nan"}]),
        (("fitted", "means_", "dtype"), "<i8"),
        (("fitted", "means_", "dtype"), "|O"),
        (("fitted", "means_", "shape"), [2, -3]),
        (("fitted", "covariances_", "shape"), [2, 3, 3, 1]),
        (("fitted", "ending_"), "DIAGONAL_SCALE"),
        (("fitted", "noise_weight_"), 1.5),
    ],
)
def test_values_of_the_right_type_that_no_model_has_are_refused(path, value, valid, tmp_path):
    document = document_of(fit(mixture(), X), tmp_path)
    assert valid(document)
    assert not valid(replaced(document, path, value))
