"""Callbacks of scikit-learn: the tasks of fits, what hooks are passed, and requests to stop."""

from __future__ import annotations

import pickle
import warnings
from contextlib import redirect_stdout
from io import StringIO
from threading import Lock

import joblib
import numpy as np
import pytest
from conftest import clusters
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emgmm import (
    CoincidentComponentsWarning,
    Ending,
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureIC,
    GaussianMixtureOutlierDetector,
    GaussianMixtureProjection,
    GaussianMixtureRegressor,
    blocks,
    fit_many,
)
from emgmm.fitting import sampling
from emgmm.fitting.loop import Run

try:
    from sklearn.callback import ProgressBar, ScoringMonitor
except ImportError:
    ScoringMonitor = None

needs_callbacks = pytest.mark.skipif(
    ScoringMonitor is None, reason="scikit-learn has callbacks since 1.9"
)

X = clusters(300, 2, 3, spread=2.0)
CLASSES = (X[:, 0] > 0) + 0.0
PARTLY = np.where(np.arange(len(X)) % 7, CLASSES, np.nan)

ESTIMATORS = {
    "mixture": GaussianMixture(3, n_init=2),
    "anderson": GaussianMixture(3, acceleration="anderson", order="mean", verbose=2),
    "selection": GaussianMixtureIC([1, 2], covariance_type=["EEE", "VVV"]),
    "threads": GaussianMixtureIC([1, 2], covariance_type="EEI", n_jobs=2, verbose=2),
    "separate": GaussianMixtureClassifier([1, 2]),
    "unlabelled": GaussianMixtureClassifier(),
    "shared": GaussianMixtureClassifier(components="shared", covariance_type=["EEE", "VVV"]),
    "regressor": GaussianMixtureRegressor(2),
    "detector": GaussianMixtureOutlierDetector(2, tol=1e-3, contamination=0.1),
    "projection": GaussianMixtureProjection(GaussianMixture(3, random_state=0)),
}
TARGETS = {"separate": CLASSES, "unlabelled": PARTLY, "shared": CLASSES}
TARGETS |= {"regressor": X[:, 1] ** 2}

each = pytest.mark.parametrize("name", list(ESTIMATORS))


class Recorder:
    """Callback that checks the order of its calls, and records the ends of tasks by their path.

    `stop` is a function of the path of a task, a tuple of names and numbers, and of the fitted
    estimator.
    """

    def __init__(self, stop=lambda path, fitted: False):
        self.stop = stop
        self.calls, self.open, self.ended, self.fitted = [], [], [], {}

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        assert context.parent is None or path_of(context.parent) in self.open
        assert X is not None
        self.open.append(path_of(context))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        path = path_of(context)
        self.open.remove(path)
        self.ended.append(path)
        if fitted_estimator is not None:
            self.fitted[path] = fitted_estimator
        return self.stop(path, fitted_estimator)

    def numbers(self, *names):
        """The numbers of the tasks whose names on the path below the root are these."""
        paths = [path[1:] for path in self.ended]
        return [path[-1][1] for path in paths if tuple(name for name, _ in path) == names]


def path_of(context):
    own = ((context.task_name, context.task_id),)
    return own if context.parent is None else path_of(context.parent) + own


def last_is(name, number=None):
    return lambda path, _: path[-1][0] == name and number in (None, path[-1][1])


def fitted(model, y=None, *, rows=X):
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        return model.fit(rows, y)


def observed(model, stop=None, y=None, *, rows=X):
    """The fitted clone of a model, and the callback that recorded its fit."""
    recorder = Recorder() if stop is None else Recorder(stop)
    model = fitted(clone(model).set_callbacks(recorder), y, rows=rows)
    assert recorder.calls == ["setup", "teardown"]
    assert not recorder.open, "tasks without an end"
    assert recorder.ended[-1] == (("fit", 0),)
    return model, recorder


def assert_same(found, expected):
    """Equal to the last bit in all fitted attributes, except the times of fits."""
    plain, other = (
        {name: value for name, value in vars(model).items() if name.endswith("_")}
        for model in (found, expected)
    )
    assert plain.keys() == other.keys()
    for name, value in plain.items():
        if hasattr(value, "get_params"):
            assert_same(value, other[name])
        elif isinstance(value, dict):
            for key in value.keys() - {"time"}:
                assert_array_equal(value[key], other[name][key])
        elif name != "mixtures_":
            assert_array_equal(value, other[name])


@needs_callbacks
@each
def test_a_callback_changes_nothing_and_every_task_ends(name):
    model, y = ESTIMATORS[name], TARGETS.get(name)
    found, recorder = observed(model, None, y)
    assert_same(found, fitted(clone(model), y))
    assert len(set(recorder.ended)) == len(recorder.ended)
    last = recorder.fitted[recorder.ended[-1]]
    assert_same(last, found)


@needs_callbacks
def test_tasks_are_nested():
    model, tasks = observed(GaussianMixture(3, n_init=2, tol=0, max_iter=4))
    assert tasks.numbers("start") == [0, 1]
    assert tasks.numbers("start", "iteration") == [0, 1, 2, 3] * 2
    _, tasks = observed(GaussianMixtureIC([1, 2], covariance_type="EEI"))
    assert tasks.numbers("candidate") == [0, 1]
    assert tasks.numbers("refine") == [2]
    assert set(tasks.numbers("refine", "candidate", "start")) == {0}
    assert tasks.numbers("candidate", "start", "iteration")
    _, tasks = observed(ESTIMATORS["unlabelled"], None, PARTLY)
    assert tasks.numbers("class") == [0, 1]
    assert tasks.numbers("class", "candidate", "start", "iteration")
    assert len(tasks.numbers("all-classes", "start", "iteration")) > 2
    _, tasks = observed(ESTIMATORS["shared"], None, CLASSES)
    assert tasks.numbers("candidate") == [0, 1]
    rows = np.concatenate((X / 10 - 5, X / 10 + 5))
    _, tasks = observed(GaussianMixtureRegressor(2), None, np.abs(rows[:, 0]), rows=rows)
    assert tasks.numbers("start") == [0, 1], "the first one fails, as y is linear in each cluster"
    for name in ("regressor", "detector"):
        model, tasks = observed(ESTIMATORS[name], None, TARGETS.get(name))
        assert len(tasks.numbers("start", "iteration")) == model.n_iter_


@needs_callbacks
@pytest.mark.parametrize("components", ["separate", "shared"])
@pytest.mark.parametrize("y", [CLASSES, PARTLY], ids=["known", "partly"])
def test_fits_of_singular_classes_with_a_ridge_have_tasks_of_their_own(components, y):
    rows = np.column_stack((X, X.sum(axis=1)))
    model = GaussianMixtureClassifier(components=components)
    found, tasks = observed(model, None, y, rows=rows)
    assert_same(found, fitted(clone(model), y, rows=rows))
    if components == "separate":
        assert tasks.numbers("class") == [0, 1, 2, 3]
    else:
        assert tasks.numbers("candidate") == [0, 1]
        two = clone(model).set_params(covariance_type=["VVV", "EEE"])
        with pytest.raises(ValueError, match="No family could be fitted"):
            observed(two, last_is("candidate", 0), y, rows=rows)


@needs_callbacks
def test_an_estimator_of_an_iteration_has_the_constraints_of_the_fit():
    model = GaussianMixture(2, fixed={"means": True}, means_init=X[:2], max_iter=2, tol=0)
    model = fitted(model).set_params(fixed=None)
    tasks = Recorder()
    model = fitted(model.set_callbacks(tasks))
    last = [found for path, found in tasks.fitted.items() if path[-1][0] == "iteration"][-1]
    assert last.n_parameters() == model.n_parameters() == 11


@needs_callbacks
@pytest.mark.parametrize("last", [1, 4])
@pytest.mark.parametrize("order", [None, "weight"])
def test_a_fit_that_is_stopped_is_the_fit_with_as_many_iterations(last, order):
    settings = {"n_components": 3, "tol": 0, "order": order, "random_state": 0}
    stop = last_is("iteration", last)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not even that it did not converge
        recorder = Recorder(stop)
        found = GaussianMixture(**settings).set_callbacks(recorder).fit(X)
    assert found.ending_ is Ending.STOPPED
    assert "callback" in str(found.summary())
    assert not found.converged_
    short = fitted(GaussianMixture(**settings, max_iter=last + 1))
    for model in (found, recorder.fitted[recorder.ended[last]]):  # at the end of that iteration
        model.ending_ = short.ending_
        assert_same(model, short)
    with pytest.warns(ConvergenceWarning):
        short.fit(X)
    whole = fitted(GaussianMixture(**settings, max_iter=9))
    more = fitted(found.set_params(max_iter=8 - last, warm_start=True).set_callbacks())
    if order is None:
        assert_allclose(more.means_, whole.means_, rtol=1e-12)


@needs_callbacks
def test_a_stop_concerns_the_level_of_its_task():
    model = GaussianMixture(3, n_init=3, tol=0, max_iter=5)
    found, tasks = observed(model, last_is("iteration", 1))
    assert tasks.numbers("start", "iteration") == [0, 1] * 3
    assert tasks.numbers("start") == [0, 1, 2]
    found, tasks = observed(model, last_is("start", 1))
    assert tasks.numbers("start") == [0, 1]
    assert found.ending_ is Ending.MAX_ITER
    search = GaussianMixtureIC([1, 2, 3], covariance_type="EEI")
    found, tasks = observed(search, last_is("candidate", 1))
    assert tasks.numbers("candidate") == [0, 1]
    assert not tasks.numbers("refine")
    assert [bool(text) for text in found.results_["failure"]] == [False, False, True]
    assert "2 of 3 candidates" in str(found.summary())
    found, tasks = observed(search, lambda path, _: True)
    assert tasks.numbers("candidate", "start", "iteration") == [0]
    assert found.best_estimator_.ending_ is Ending.STOPPED
    assert found.results_["reason"][0] == "stopped by a callback"
    assert found.predict(X).shape == (len(X),)
    search = GaussianMixtureIC(3, covariance_type="VVV", init_params="kmeans")
    found, tasks = observed(search, last_is("iteration", 1))
    assert not tasks.numbers("refine", "candidate"), "a fit that was stopped is not continued"
    rows = np.concatenate((X[:40], np.full((40, 2), 9.0)))  # two components collapse
    search = GaussianMixtureIC([1, 2], covariance_type="VVV")
    _, tasks = observed(search, rows=rows)
    assert tasks.numbers("candidate", "start")[:3] == [0, 0, 1]
    _, tasks = observed(search, last_is("start"), rows=rows)
    assert tasks.numbers("candidate", "start") == [0, 0], "nor is another start tried"


@needs_callbacks
@pytest.mark.parametrize("name", ["separate", "unlabelled", "shared", "regressor", "detector"])
def test_every_estimator_is_usable_after_a_stop(name):
    found, tasks = observed(ESTIMATORS[name], lambda path, _: True, TARGETS.get(name))
    assert {path[-1][1] for path in tasks.ended if path[-1][0] == "iteration"} == {0}
    assert found.predict(X).shape == (len(X),)
    assert found.n_iter_ == 1


@needs_callbacks
def test_splits_of_coincident_components_are_tasks_that_can_be_stopped():
    start = {"weights_init": [0.5, 0.5], "means_init": np.zeros((2, 2))}
    model = GaussianMixture(2, **start, precisions_init=np.stack([np.eye(2)] * 2), tol=1e-9)
    whole, tasks = observed(model)
    before = len(tasks.numbers("start", "iteration"))
    inside = len(tasks.numbers("start", "split", "iteration"))
    assert before > 0
    assert inside > 3
    assert "escape" in whole.history_["event"]
    (split,) = (path for path in tasks.ended if path[-1][0] == "split")
    steps = [f for path, f in tasks.fitted.items() if path[:-1] == split]
    last = steps[-1]
    assert last.n_iter_ == whole.n_iter_
    assert_array_equal(last.history_["objective"], whole.history_["objective"])

    def in_split(path, _):
        return path[-2:-1] == (split[-1],) and path[-1][1] == 1

    short, _ = observed(model, in_split)
    assert short.ending_ is Ending.STOPPED
    assert short.n_iter_ == whole.n_iter_ - inside + 2
    recorder = Recorder(lambda path, fitted: path[-1] == ("iteration", before - 1))
    with pytest.warns(CoincidentComponentsWarning, match="because a callback stopped the fit"):
        found = clone(model).set_params(random_state=0).set_callbacks(recorder).fit(X)
    assert found.ending_ is Ending.STOPPED
    assert not recorder.numbers("start", "split")


@needs_callbacks
def test_a_stop_in_a_split_that_gains_nothing_ends_the_fit(monkeypatch):
    start = {"weights_init": [0.5, 0.5], "means_init": np.zeros((2, 2)), "tol": 0, "max_iter": 20}
    model = GaussianMixture(2, **start, precisions_init=np.stack([np.eye(2)] * 2))
    monkeypatch.setattr(Run, "beats", lambda *_: False)
    _, tasks = observed(model)
    before = len(tasks.numbers("start", "iteration"))
    last = tasks.numbers("start", "split", "iteration")[-1]
    ends = {}
    for number in (0, last):  # of the split, and of what follows it
        stopped, _ = observed(model, lambda path, _, n=number: path[3:] == (("iteration", n),))
        assert stopped.ending_ is Ending.STOPPED
        ends[number] = stopped.n_iter_
    assert ends == {0: before, last: 20}


@needs_callbacks
def test_fits_on_samples_are_tasks(monkeypatch):
    monkeypatch.setattr(sampling, "START_FROM", 100)
    monkeypatch.setattr(sampling, "START_ROWS", 50)
    monkeypatch.setattr(sampling, "LARGEST_FRACTION", 0.5)
    model = GaussianMixture(2, n_init=2)
    whole, tasks = observed(model)
    assert tasks.numbers("start") == [0, 1]
    assert tasks.numbers("all-rows") == [2]
    assert len(tasks.numbers("all-rows", "iteration")) == whole.n_iter_
    found, tasks = observed(model, lambda path, _: True)
    assert (found.ending_, found.n_iter_) == (Ending.STOPPED, 1)
    assert tasks.numbers("start") == [0]
    assert_same(whole, fitted(clone(model)))


@needs_callbacks
def test_the_monitor_scores_every_iteration():
    monitor = ScoringMonitor(scoring={"score": lambda model, X, y: model.score(X)})
    model = GaussianMixture(3, random_state=0).set_callbacks(monitor).fit(X)
    logged = [row["score"] for row in monitor.get_logs().data if row["task_name"] == "iteration"]
    assert_allclose(logged, model.lower_bounds_, rtol=1e-14)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        GaussianMixture(2).set_callbacks(ScoringMonitor(scoring="adjusted_rand_score")).fit(X)
    monitor = ScoringMonitor(scoring="r2")
    y, weights = X[:, 1] ** 2, np.random.default_rng(0).integers(0, 4, len(X)) + 0.0
    model = GaussianMixtureRegressor(2, random_state=0).set_callbacks(monitor)
    score = model.fit(X, y, sample_weight=weights).score(X, y, weights)
    rows = {row["task_name"]: row for row in monitor.get_logs().data}
    assert rows["iteration"]["r2"] == pytest.approx(score, rel=1e-12)
    assert rows["fit"]["r2"] == score


@needs_callbacks
@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_progress_bars(name, capsys):
    pytest.importorskip("rich")
    model, y = clone(ESTIMATORS[name]).set_params(), TARGETS.get(name)
    if "verbose" in model.get_params():
        model.set_params(verbose=0)
    assert not fitted_output(model, y, capsys)
    shown = fitted_output(model.set_callbacks(ProgressBar(max_propagation_depth=None)), y, capsys)
    assert f"{type(model).__name__} - fit" in shown
    assert "100%" in shown


def fitted_output(model, y, capsys):
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return capsys.readouterr().out


@needs_callbacks
def test_bars_of_pipelines_and_searches_contain_those_of_the_mixture(capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(GaussianMixture(random_state=0), {"n_components": [1, 2]}, cv=2)
    search.set_callbacks(ProgressBar()).fit(X)
    assert "GaussianMixture - fit" in capsys.readouterr().out
    make_pipeline(StandardScaler(), GaussianMixture(2)).set_callbacks(ProgressBar()).fit(X)
    assert "GaussianMixture - start #0" in capsys.readouterr().out


@needs_callbacks
def test_clones_and_pickles_keep_callbacks_and_set_callbacks_removes_them():
    monitor = ScoringMonitor(scoring={"score": lambda model, X, y: model.score(X)})
    model = GaussianMixture(2, random_state=0).set_callbacks(monitor)
    clone(model).fit(X)
    clone(model).fit(X)
    assert len(monitor.get_logs(select="all")) == 2
    recorder = Recorder()
    recorder.stop = last_is  # which is pickled by its name
    found = pickle.loads(pickle.dumps(GaussianMixture(2).set_callbacks(recorder)))
    assert len(vars(found)["_skl_callbacks"]) == 1
    assert "_skl_callbacks" not in vars(model.set_callbacks())


@needs_callbacks
def test_an_error_of_a_callback_leaves_the_estimator_as_it_was(tmp_path):
    def broken(path, _):
        if path[-1] == ("iteration", 2):
            raise KeyboardInterrupt
        return False

    settings = {"n_components": 3, "tol": 0, "max_iter": 6, "random_state": 0}
    recorder = Recorder(broken)
    model = GaussianMixture(**settings, checkpoint=tmp_path / "fit.npz").set_callbacks(recorder)
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert vars(model) == before
    assert recorder.calls == ["setup", "teardown"]
    assert (tmp_path / "fit.npz").exists()
    recorder = Recorder()
    fitted(model.set_callbacks(recorder))  # continues after the third iteration
    assert recorder.numbers("start", "iteration") in ([0, 1, 2], [0, 1, 2, 3])
    assert_same(model, fitted(GaussianMixture(**settings)))
    assert not (tmp_path / "fit.npz").exists()
    fitted(model.set_callbacks(Recorder(last_is("iteration", 1))))
    assert model.ending_ is Ending.STOPPED
    assert not (tmp_path / "fit.npz").exists(), "the fit has ended"


@needs_callbacks
@pytest.mark.parametrize("name", ["mixture", "selection", "unlabelled", "shared", "regressor"])
def test_a_callback_may_change_the_estimator_that_it_is_passed(name):
    def change(path, model):
        if path[-1][0] == "iteration":
            within = [getattr(model, at, model) for at in ("model_", "best_estimator_")]
            for mixture in getattr(model, "mixtures_", within):
                for array in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
                    if hasattr(mixture, array):
                        getattr(mixture, array)[...] = np.nan
        return False

    model, y = ESTIMATORS[name], TARGETS.get(name)
    found = fitted(clone(model).set_callbacks(Recorder(change)), y)
    expected = fitted(clone(model), y)
    assert_same(found, expected)
    for one, other in zip(
        *(getattr(each, "mixtures_", []) for each in (found, expected)), strict=True
    ):
        assert_same(one, other)


class Background:
    """Log-density of noise that cannot be copied."""

    def __init__(self):
        self.lock = Lock()

    def __call__(self, rows):
        return np.full(len(rows), -9.0)


@needs_callbacks
@pytest.mark.parametrize("kind", [GaussianMixture, GaussianMixtureRegressor])
def test_noise_that_has_no_copy_may_be_observed(kind):
    recorder = Recorder()
    fitted(kind(2, noise=Background()).set_callbacks(recorder), X[:, 1] ** 2)
    assert recorder.fitted


@needs_callbacks
def test_many_fits_and_blocks_have_tasks():
    recorder = Recorder(last_is("iteration", 0))
    models = fit_many(GaussianMixture(2, random_state=0).set_callbacks(recorder), [X, X[:200]])
    assert [model.ending_ for model in models] == [Ending.STOPPED] * 2
    rows = blocks(lambda: np.array_split(X, 3))
    model, recorder = observed(GaussianMixture(2, tol=1e-2), rows=rows)
    assert len(recorder.numbers("start", "iteration")) == model.n_iter_


def test_verbose_prints_the_same_lines():
    def lines(model):
        with redirect_stdout(StringIO()) as file:
            model.fit(X)
        return file.getvalue()

    model = GaussianMixture(3, n_init=2, verbose=1, verbose_interval=2, random_state=0)
    found = lines(model)
    assert "Initialization 1\n  Iteration 2\n" in found
    if ScoringMonitor is not None:
        assert lines(model.set_callbacks(Recorder())) == found


def test_a_selection_uses_threads_even_where_processes_are_preferred():
    """Its candidates share the results of the starts."""
    model = GaussianMixtureIC([1, 2], covariance_type="EEI", n_jobs=2, random_state=0)
    with joblib.parallel_config("loky"):
        found = clone(model).fit(X)
    assert_array_equal(found.results_["bic"], model.fit(X).results_["bic"])


@pytest.mark.skipif(ScoringMonitor is not None, reason="this scikit-learn has callbacks")
@each
def test_older_versions_have_no_callbacks(name):
    model = fitted(clone(ESTIMATORS[name]), TARGETS.get(name))
    assert not hasattr(model, "set_callbacks")
    assert_same(clone(model).set_params().fit(X, TARGETS.get(name)), model)
