"""What users do with an estimator: pipelines, searches, data frames, clones, threads."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import TYPES, clusters
from sklearn import config_context
from sklearn.base import clone, is_clusterer
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr, get_tags
from threadpoolctl import threadpool_info, threadpool_limits

import emgmm
from emgmm import GaussianMixture, InconsistentVersionWarning
from emgmm.threads import one_blas_thread

X = clusters(300, 3, 3)


def test_pipeline_with_a_scaler():
    ours, theirs = (
        make_pipeline(StandardScaler(), cls(3, random_state=0)).fit(X)
        for cls in (GaussianMixture, Theirs)
    )
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-10)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(ours.fit_predict(X), ours.predict(X))


def test_grid_search_chooses_as_it_does_with_theirs():
    grid = {"n_components": [1, 2, 3, 4], "covariance_type": list(TYPES)}
    searches = [
        GridSearchCV(cls(random_state=0), grid, cv=3).fit(X) for cls in (GaussianMixture, Theirs)
    ]
    assert searches[0].best_params_ == searches[1].best_params_
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-9)
    np.testing.assert_array_equal(searches[0].predict(X), searches[1].predict(X))


def test_grid_search_in_processes_and_by_a_criterion():
    def negative_bic(estimator, rows, y=None):
        return -estimator.bic(rows)

    grid = {"n_components": [1, 2, 3, 4, 5]}
    best = [
        GridSearchCV(cls(random_state=0), grid, scoring=negative_bic, cv=2).fit(X).best_params_
        for cls in (GaussianMixture, Theirs)
    ]
    assert best[0] == best[1]
    search = GridSearchCV(GaussianMixture(random_state=0), grid, n_jobs=2, cv=2).fit(X)
    assert search.best_estimator_.n_iter_ >= 1


def test_cross_val_score():
    ours, theirs = (cross_val_score(cls(3, random_state=0), X) for cls in (GaussianMixture, Theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_fit_predict_labels_as_predict_does():
    model = GaussianMixture(3, random_state=0)
    labels = model.fit_predict(X)
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_array_equal(labels, Theirs(3, random_state=0).fit_predict(X))
    assert labels.dtype == np.int64


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames_keep_their_names(frame):
    names = ["length", "width", "depth"]
    table = frame(dict(zip(names, X.T, strict=True)))
    model = GaussianMixture(3, random_state=0).fit(table)
    assert model.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(
        model.predict(table), GaussianMixture(3, random_state=0).fit_predict(X)
    )
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    assert model.score(table) == pytest.approx(model.lower_bound_, rel=1e-12)
    assert model.bic(table) < GaussianMixture(1).fit(table).bic(table)


def test_a_table_of_integers_and_a_list_of_lists():
    table = pd.DataFrame((10 * X).round().astype(int), columns=list("abc"))
    model = GaussianMixture(2, random_state=0).fit(table)
    assert model.means_.dtype == np.float64
    nested = GaussianMixture(2, random_state=0).fit(X.tolist())
    np.testing.assert_array_equal(nested.means_, GaussianMixture(2, random_state=0).fit(X).means_)
    assert nested.bic(X.tolist()) == nested.bic(X)


@pytest.mark.parametrize("container", ["pandas", "polars", "default"])
def test_set_output_around_it(container):
    with config_context(transform_output=container):
        pipeline = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0))
        pipeline.fit(pd.DataFrame(X, columns=list("abc")))
        labels = pipeline.predict(pd.DataFrame(X, columns=list("abc")))
    plain = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0)).fit(X)
    np.testing.assert_array_equal(labels, plain.predict(X))


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_does_not_matter(order):
    model = GaussianMixture(3, random_state=0).fit(np.array(X, order=order))
    expected = GaussianMixture(3, random_state=0).fit(X)
    np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-12)
    strided = np.repeat(X, 2, axis=0)[::2]
    np.testing.assert_array_equal(expected.predict(strided), expected.predict(X))


def test_x_is_left_alone():
    before = X.copy()
    GaussianMixture(3, random_state=0).fit(X).predict_proba(X)
    np.testing.assert_array_equal(X, before)
    frozen = X.copy()
    frozen.flags.writeable = False
    GaussianMixture(3, random_state=0).fit(frozen).score_samples(frozen)


def test_clone_and_set_params_round_trip():
    model = GaussianMixture(3, covariance_type="tied", means_init=X[:3], random_state=5).fit(X)
    copy = clone(model)
    assert not hasattr(copy, "means_")
    assert repr(copy) == repr(model)
    np.testing.assert_array_equal(copy.fit(X).means_, model.means_)
    again = GaussianMixture().set_params(**model.get_params())
    np.testing.assert_array_equal(again.fit(X).means_, model.means_)


def test_the_signature_is_theirs_and_more():
    ours, theirs = GaussianMixture().get_params(), Theirs().get_params()
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours) - set(theirs) == {
        "break_symmetry",
        "fixed",
        "equal_weights",
        "order",
        "acceleration",
        "sampling",
        "learning_decay",
        "learning_offset",
        "forgetting",
        "checkpoint",
        "checkpoint_every",
        "prior",
        "weight_concentration",
        "noise",
    }


def test_pickle_and_joblib_round_trips(tmp_path):
    model = GaussianMixture(3, random_state=0).fit(X)
    joblib.dump(model, tmp_path / "model.joblib")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
        assert copy.ending_ is model.ending_


def test_a_pickle_of_another_version_is_announced(monkeypatch):
    model = GaussianMixture(2, random_state=0).fit(X)
    data = pickle.dumps(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(data)
    monkeypatch.setattr("emgmm.interchange.__version__", "99.0")
    with pytest.warns(InconsistentVersionWarning, match="pickled by emgmm 0.1.0"):
        pickle.loads(data)


def test_tags_and_html():
    model = GaussianMixture(2, random_state=0).fit(X)
    tags = get_tags(model)
    assert tags.estimator_type == "density_estimator"
    assert not is_clusterer(model)
    assert not tags.input_tags.sparse
    html = estimator_html_repr(model)
    assert "GaussianMixture" in html
    assert model._get_doc_link() == ""  # the project has no address yet


def test_metadata_routing_asks_for_nothing():
    with config_context(enable_metadata_routing=True):
        routing = GaussianMixture().get_metadata_routing()
        assert all(not requests for requests in vars(routing)["fit"].requests.values())


def test_attributes_set_by_hand_are_believed():
    """As with scikit-learn's class: a model built from parameters, without a fit."""
    fitted = GaussianMixture(3, random_state=0).fit(X)
    model = GaussianMixture(3)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(model, name, getattr(fitted, name))
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    model.means_ = fitted.means_ + 100
    assert model.score(X) < fitted.score(X)


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.fixture
def two_blas_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


def test_blas_has_one_thread_inside_and_its_own_number_afterwards(two_blas_threads):
    before = blas_threads()
    assert max(before) > 1
    with one_blas_thread():
        assert set(blas_threads()) == {1}
        with one_blas_thread():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_an_error_gives_blas_its_threads_back(two_blas_threads):
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        _ = 1 / 0
    assert blas_threads() == before


def test_fits_in_threads_at_once(two_blas_threads):
    """They give what they give alone, and leave BLAS as it was: k-means' own limiter does not."""
    before = blas_threads()

    def fitted(seed):
        return GaussianMixture(3, random_state=seed, n_init=2).fit(X).means_

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(fitted, range(24)))
    assert blas_threads() == before
    for seed in range(0, 24, 6):
        np.testing.assert_array_equal(together[seed], fitted(seed))


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert emgmm.__version__ == version("emgmm")


def test_sample_takes_the_constructors_seed_or_its_own():
    model = GaussianMixture(2, random_state=0).fit(X)
    np.testing.assert_array_equal(model.sample(5)[0], model.sample(5)[0])
    np.testing.assert_array_equal(model.sample(5)[0], model.sample(5, random_state=0)[0])
    assert not np.array_equal(model.sample(5)[0], model.sample(5, random_state=1)[0])
    for wrong in (2.5, "a"):
        with pytest.raises(TypeError, match="n_samples must be an integer"):
            model.sample(wrong)
