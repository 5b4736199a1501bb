"""Data, and the small vocabulary that the tests share."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from zlib import crc32

# Threads of OpenMP that wait for each other would keep the cores from the other processes.
os.environ["OMP_WAIT_POLICY"] = "passive"

import numpy as np
import pytest
from hypothesis import settings
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from emgmm import EMWarning, datasets, initialization, validation
from emgmm.covariances import FAMILIES
from emgmm.sources import ArraySource

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def numbers(text):
    """The range of the cases that `--cases` asks for, or None for all."""
    first, _, last = text.rpartition(":")
    return (int(first or 0), int(last)) if int(last) else None


def pytest_addoption(parser):
    parser.addoption(
        "--cases",
        type=numbers,
        default=(0, 2),
        help="run at most so many cases of a parametrized test (default 2), and half as many of a "
        "slow one; 2:8 runs the third to the eighth, and extensive tests; 0 runs all",
    )


def pytest_collection_modifyitems(config, items):
    """Keep a few cases of each parametrized test, the same ones in every run.

    All cases run if they are marked ``all_cases`` or if a test is requested by its node ID.
    """
    if config.option.cases is None or any("::" in argument for argument in config.args):
        return
    first, last = config.option.cases
    cases = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    kept = set()
    for group in cases.values():
        if group[0].get_closest_marker("extensive") is not None:
            kept.update(group if first else [])
        elif group[0].get_closest_marker("all_cases") is not None:
            kept.update([] if first else group)
        else:
            group.sort(key=lambda item: crc32(item.nodeid.encode()))
            part = 2 if group[0].get_closest_marker("slow") is not None else 1
            kept.update(group[-(-first // part) : -(-last // part)])
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


TYPES = ("full", "tied", "diag", "spherical")


def kind_of(name):
    """What families that are the same under different names have in common."""
    family = FAMILIES[name]
    return type(family), family.structure, family.shared


# Families that scikit-learn does not have, for any number of features.
MODELS = tuple(
    name
    for name, family in FAMILIES.items()
    if family.most_features is None and kind_of(name) not in map(kind_of, TYPES)
)
STARTS = tuple(initialization.STARTS)
SCIKIT_LEARNS_STARTS = ("kmeans", "k-means++", "random", "random_from_data")


@pytest.fixture(scope="session")
def real_data():
    return {
        "iris": load_iris().data,
        "wine": load_wine().data,
        "digits": load_digits().data,
        "breast_cancer": load_breast_cancer().data,
        "faithful": datasets.old_faithful().rows,
        "question": datasets.question().rows,
    }


@pytest.fixture(scope="session")
def iris():
    return load_iris().data


class SpySource(ArraySource):
    """Counts complete passes over its rows."""

    passes = 0

    def blocks(self, size):
        yield from super().blocks(size)
        type(self).passes += 1


@pytest.fixture
def spy(monkeypatch):
    monkeypatch.setattr(SpySource, "passes", 0)
    monkeypatch.setattr(validation, "ArraySource", SpySource)
    return SpySource


def clusters(n_rows=400, n_features=3, n_components=3, *, seed=0, spread=4.0):
    """Rows from clusters with random correlated covariances."""
    random = np.random.default_rng(seed)
    labels = random.integers(n_components, size=n_rows)
    means = spread * random.normal(size=(n_components, n_features))
    factors = random.normal(size=(n_components, n_features, n_features)) / 2 + np.eye(n_features)
    noise = random.normal(size=(n_rows, n_features))
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], noise)


def identity_precisions(covariance_type, n_components, n_features, scale=1.0):
    return {
        "full": np.tile(np.eye(n_features), (n_components, 1, 1)),
        "tied": np.eye(n_features),
        "diag": np.ones((n_components, n_features)),
        "spherical": np.ones(n_components),
    }[FAMILIES[covariance_type].scikit_learn] / scale


def given_start(X, n_components, covariance_type, *, seed=0):
    """Constructor parameters of a start that is the same for every library."""
    random = np.random.default_rng(seed)
    n_features = X.shape[1]
    chosen = random.choice(len(X), n_components, replace=False)
    return {
        "n_components": n_components,
        "covariance_type": covariance_type,
        "weights_init": np.full(n_components, 1 / n_components),
        "means_init": X[chosen],
        "precisions_init": identity_precisions(
            covariance_type, n_components, n_features, scale=X.var()
        ),
    }


def fit(model, X, **arguments):
    """Fit, where not having converged, or a warned-of end, is part of the plan.

    In our own fits no floating-point error may go unhandled.
    """
    ours = type(model).__module__.startswith("emgmm")
    with warnings.catch_warnings(), np.errstate(**{"all": "raise"} if ours else {}):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", EMWarning)
        return model.fit(X, **arguments)


def dense(model):
    """(K, D, D) covariances of any fitted model, scikit-learn's or ours."""
    n_components, n_features = model.means_.shape
    covariances = np.asarray(model.covariances_, dtype=float)
    kind = FAMILIES[model.covariance_type].scikit_learn
    if kind == "full":
        return covariances
    if kind == "tied":
        return np.tile(covariances, (n_components, 1, 1))
    if kind == "spherical":
        covariances = np.repeat(covariances[:, None], n_features, axis=1)
    return np.stack([np.diag(row) for row in covariances])


def relative_error(ours, theirs):
    """Largest difference of the parameters, relative to the largest entry of each component."""
    errors = [np.abs(ours.weights_ - theirs.weights_).max() / np.abs(theirs.weights_).max()]
    scale = np.sqrt(np.diagonal(dense(theirs), axis1=1, axis2=2)) + np.abs(theirs.means_)
    errors.append((np.abs(ours.means_ - theirs.means_) / scale).max())
    a, b = dense(ours), dense(theirs)
    errors.append((np.abs(a - b).max(axis=(1, 2)) / np.abs(b).max(axis=(1, 2))).max())
    return max(errors)


@pytest.fixture(scope="module")
def rows_of(real_data):
    centred = real_data["digits"] - real_data["digits"].mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    return {**real_data, "digits10": centred @ axes[:10].T}
