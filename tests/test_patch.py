"""scikit-learn with this package's class: names, `isinstance`, pickles, subclasses, and the undoing."""

from __future__ import annotations

import copy
import copyreg
import io
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import joblib
import numpy as np
import pytest
import sklearn.mixture
from conftest import clusters, fit
from sklearn.base import clone
from sklearn.mixture import BayesianGaussianMixture, _gaussian_mixture
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.discovery import all_estimators
from sklearn.utils.validation import check_is_fitted

import emgmm
from emgmm import GaussianMixture, compatibility, patch_sklearn, unpatch_sklearn
from emgmm.base import BaseMixture
from emgmm.patch.__main__ import main

X = clusters(120, 2, 2)


class SubclassOfTheirs(Theirs):
    pass


class SubclassOfOurs(GaussianMixture):
    pass


THEIR_BASE = Theirs.__base__
CLASSES = {
    "ours": GaussianMixture,
    "theirs": Theirs,
    "their base": THEIR_BASE,
    "our base": BaseMixture,
    "subclass of ours": SubclassOfOurs,
    "subclass of theirs": SubclassOfTheirs,
    "bayesian": BayesianGaussianMixture,
    "object": object,
}
OBJECTS = {
    "ours": GaussianMixture(),
    "theirs": Theirs(),
    "subclass of ours": SubclassOfOurs(),
    "subclass of theirs": SubclassOfTheirs(),
    "bayesian": BayesianGaussianMixture(),
    "scaler": StandardScaler(),
}


def relations():
    return {
        (each, cls): (isinstance(model, kind), issubclass(type(model), kind))
        for each, model in OBJECTS.items()
        for cls, kind in CLASSES.items()
    }


def state():
    """Everything that the patch may change."""
    kinds = {kind: (type(kind), dict(vars(kind))) for kind in CLASSES.values()}
    modules = [dict(vars(module)) for module in (sklearn.mixture, _gaussian_mixture)]
    return kinds, modules, dict(vars(compatibility)), dict(copyreg.dispatch_table)


@pytest.fixture
def patched():
    patch_sklearn()
    yield
    unpatch_sklearn()


@pytest.fixture(scope="module")
def theirs():
    return fit(Theirs(2, random_state=0), X)


@pytest.fixture(scope="module")
def ours():
    return fit(GaussianMixture(2, random_state=0), X)


# -- names and relations ----------------------------------------------------------------------------
def test_both_names_denote_our_class(patched):
    from sklearn.mixture import GaussianMixture as Imported

    assert Imported is GaussianMixture
    assert _gaussian_mixture.GaussianMixture is GaussianMixture
    assert Theirs is not GaussianMixture  # imported before


def test_instances_of_either_count_as_instances_of_the_other_meanwhile():
    before = relations()
    patch_sklearn()
    try:
        meanwhile = relations()
    finally:
        unpatch_sklearn()
    changed = {pair for pair in before if before[pair] != meanwhile[pair]}
    expected = {("theirs", "ours"), ("subclass of theirs", "ours")}
    for each in ("ours", "subclass of ours"):
        expected |= {(each, "theirs"), (each, "their base")}
    assert changed == expected
    assert all(meanwhile[pair] == (True, True) for pair in expected)
    assert relations() == before


@pytest.mark.parametrize("times", [1, 3])
def test_one_call_undoes_everything(times):
    before = state()
    for _ in range(times):
        patch_sklearn()
    relations()  # whose answers nothing may remember
    fit(GaussianMixture(2), X)
    unpatch_sklearn()
    assert state() == before
    unpatch_sklearn()
    assert state() == before


def test_a_reducer_that_somebody_registered_returns(monkeypatch):
    monkeypatch.setitem(copyreg.dispatch_table, Theirs, repr)
    patch_sklearn()
    unpatch_sklearn()
    assert copyreg.dispatch_table[Theirs] is repr


def fail(*arguments):
    raise MemoryError


def test_a_patch_that_fails_is_undone(monkeypatch):
    before = state()
    with monkeypatch.context() as failing:
        failing.setattr(copyreg, "pickle", fail)
        with pytest.raises(MemoryError):
            patch_sklearn()
    assert state() == before
    patch_sklearn()
    unpatch_sklearn()
    assert state() == before


def test_threads_may_patch_at_the_same_time():
    before, barrier = state(), Barrier(8)

    def work(_):
        barrier.wait()
        patch_sklearn()
        return sklearn.mixture.GaussianMixture, isinstance(OBJECTS["ours"], Theirs)

    try:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(work, range(8))) == {(GaussianMixture, True)}
    finally:
        unpatch_sklearn()
    assert state() == before


# -- copies and pickles -----------------------------------------------------------------------------
def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "joblib": through_joblib,
    "python": lambda model: pickle.loads(pickle._dumps(model)),
    **{f"protocol {n}": lambda model, n=n: pickle.loads(pickle.dumps(model, n)) for n in range(6)},
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("whose", ["theirs", "ours", "a subclass of theirs", "bayesian"])
def test_copies_are_of_the_same_class(name, whose, patched, theirs, ours):
    model = {"theirs": theirs, "ours": ours}.get(whose)
    if model is None:
        cls = BayesianGaussianMixture if whose == "bayesian" else SubclassOfTheirs
        model = fit(cls(n_components=2, random_state=0), X)
    found = COPIES[name]([model, model])
    assert type(found[0]) is type(model)
    assert found[0] is found[1]
    assert vars(found[0]).keys() == vars(model).keys()
    np.testing.assert_array_equal(found[0].predict_proba(X), model.predict_proba(X))
    assert repr(found[0]) == repr(model)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_pass_in_both_directions(protocol, theirs, ours):
    each = (theirs, ours, Theirs(3), GaussianMixture(3))
    before = pickle.dumps(each, protocol)
    patch_sklearn()
    try:
        meanwhile = pickle.dumps(each, protocol)
        assert b"emgmm" not in pickle.dumps(theirs, protocol)  # which may be absent elsewhere
        loaded = pickle.loads(before)
    finally:
        unpatch_sklearn()
    for found in (loaded, pickle.loads(meanwhile)):
        assert [type(model) for model in found] == [type(model) for model in each]
        assert [repr(model) for model in found] == [repr(model) for model in each]
        for one, other in zip(found[:2], each[:2], strict=True):
            np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))


def test_classes_are_pickled(patched):
    for cls in CLASSES.values():
        assert pickle.loads(pickle.dumps(cls)) is cls


def types_in_a_worker(*models):
    name = f"{sklearn.mixture.GaussianMixture.__module__}.{Theirs.__name__}"
    return [name, *(type(model).__module__ for model in models), *models]


def test_workers_are_not_patched_and_return_what_they_got(patched, theirs, ours):
    (found,) = joblib.Parallel(n_jobs=2, backend="loky")(
        [joblib.delayed(types_in_a_worker)(theirs, ours)]
    )
    assert found[:3] == [
        "sklearn.mixture._gaussian_mixture.GaussianMixture",
        "sklearn.mixture._gaussian_mixture",
        "emgmm.estimator",
    ]
    assert [type(model) for model in found[3:]] == [Theirs, GaussianMixture]


# -- subclasses ---------------------------------------------------------------------------------------
def test_a_subclass_that_overrides_a_hook_is_refused_when_it_is_fitted(patched):
    class Overriding(sklearn.mixture.GaussianMixture):
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp)

    class Derived(Overriding):
        pass

    class Looping(Overriding):
        def fit(self, X, y=None):
            self._initialize(X, np.eye(2)[np.arange(len(X)) % 2])
            for _ in range(3):
                self._m_step(X, self._e_step(X)[1])
            return self

    for cls in (Overriding, Derived):
        model = cls(2)
        before = dict(vars(model))
        for method in (model.fit, model.fit_predict, model.partial_fit):
            with pytest.raises(TypeError, match=f"{cls.__name__} overrides _m_step.*sample_weight"):
                method(X)
        assert vars(model) == before
    assert Looping(2).fit(X).predict(X).shape == (len(X),)
    assert isinstance(Looping(), Theirs)
    unpatch_sklearn()
    assert not isinstance(Looping(), Theirs)
    assert isinstance(Looping(), GaussianMixture)
    assert isinstance(pickle.loads(pickle.dumps(GaussianMixture())), GaussianMixture)
    with pytest.raises(TypeError, match="Overriding overrides _m_step"):
        Overriding(2).fit(X)
    with pytest.raises(TypeError, match="Late overrides _m_step"):

        class Late(Overriding):
            pass


def test_a_subclass_that_overrides_nothing_is_fitted(patched):
    class Sorted(sklearn.mixture.GaussianMixture):
        def fit(self, X, y=None):
            self.fit_predict(X)
            self.order_ = np.argsort(self.means_[:, 0])
            return self

    model = fit(Sorted(2, random_state=0), X)
    assert isinstance(model, Theirs)
    assert not isinstance(Theirs(), Sorted)
    np.testing.assert_array_equal(model.order_, np.argsort(model.means_[:, 0]))


# -- what scikit-learn does with estimators -------------------------------------------------------------
def test_tools_of_scikit_learn_work(patched, ours):
    cls = sklearn.mixture.GaussianMixture
    assert dict(all_estimators())["GaussianMixture"] is GaussianMixture
    assert type(clone(ours)) is GaussianMixture
    check_is_fitted(ours)
    assert cls(3).get_params() == GaussianMixture(3).get_params()
    assert "GaussianMixture" in ours._repr_html_()
    search = GridSearchCV(make_pipeline(StandardScaler(), cls(random_state=0)), {}, cv=2)
    assert isinstance(fit(search, X).best_estimator_[-1], Theirs)


def test_objects_of_scikit_learn_work_as_before(theirs):
    def results():
        copied = fit(clone(theirs), X)
        bayesian = fit(BayesianGaussianMixture(n_components=2, random_state=0), X)
        return type(copied), copied.means_.tolist(), bayesian.means_.tolist(), str(theirs)

    before = results()
    patch_sklearn()
    try:
        assert results() == before
    finally:
        unpatch_sklearn()


def test_models_of_scikit_learn_are_converted_and_not_drawn(patched, theirs, ours):
    assert type(ours.to_sklearn()) is Theirs
    found = GaussianMixture.from_sklearn(theirs)
    assert type(found) is GaussianMixture
    np.testing.assert_allclose(found.score_samples(X), theirs.score_samples(X), rtol=1e-12)
    with pytest.raises(TypeError, match="from_sklearn takes scikit-learn's"):
        emgmm.GaussianMixtureDisplay.from_estimator(theirs, X)


# -- the command --------------------------------------------------------------------------------------
SCRIPT = """
import pickle, sys
from pathlib import Path
from sklearn.mixture import GaussianMixture
from neighbour import number

class Own(GaussianMixture):
    pass

def check():
    assert type(pickle.loads(pickle.dumps(Own()))) is Own

if __name__ == "__main__":
    check()
    print(GaussianMixture.__module__, sys.argv[1:], Path(sys.argv[0]).name, Path(__file__).name)
    sys.exit(number)
"""


@pytest.fixture
def folder(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "script.py").write_text(SCRIPT)
    (package / "neighbour.py").write_text("number = 7")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("words", [["package/script.py"], ["-m", "script"]])
def test_a_script_and_a_module_run_as_by_python_itself(words, folder):
    module = words[0] == "-m"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "emgmm.patch", *words, "-m", "--help"],
        cwd=folder / "package" if module else folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout.split("\n")[0] == "emgmm.estimator ['-m', '--help'] script.py script.py"
    assert run.returncode == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Name a script to run.\nusage: "),
        (["-m"], "Name a module to run.\nusage: "),
        (["-c", "pass"], "Name a script to run.\nusage: "),
        (["absent.py"], "The script 'absent.py' does not exist."),
    ],
)
def test_what_cannot_run_is_said_and_nothing_is_patched(words, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["emgmm.patch", *words])
    with pytest.raises(SystemExit) as error:
        main()
    assert error.value.code == 2
    assert capsys.readouterr().err.startswith(message)
    assert sklearn.mixture.GaussianMixture is Theirs


def test_help_shows_the_usage(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["emgmm.patch", "--help"])
    main()
    assert capsys.readouterr().out.startswith("usage: python -m emgmm.patch script.py [arguments]")
    assert sklearn.mixture.GaussianMixture is Theirs
