"""The private methods of scikit-learn's class, and subclasses that override them."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from conftest import MODELS, TYPES, clusters, fit
from sklearn.base import clone
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.preprocessing import StandardScaler

from emgmm import GaussianMixture
from emgmm.compatibility import HOOKS, CompatibilityMixin
from emgmm.fitting import multistart

K, D = 3, 3
X = clusters(200, D, K)
SHARED = {name for name in vars(CompatibilityMixin) if not name.startswith("__")} & set(dir(Theirs))
EACH = pytest.mark.parametrize("dtype", [np.float64, np.float32])
EACH_TYPE = pytest.mark.parametrize("covariance_type", TYPES)
RESPONSIBILITIES = np.random.default_rng(1).dirichlet(np.ones(K), size=len(X))


def both(covariance_type="full", dtype=np.float64):
    """Estimators of both classes with the parameters of the same fit, scikit-learn's."""
    theirs = Theirs(K, covariance_type=covariance_type, random_state=0)
    fit(theirs, X.astype(dtype))
    return GaussianMixture.from_sklearn(theirs), theirs


def assert_equal(ours, theirs, dtype):
    """The same values in the same type; in float32, up to what scikit-learn computes in float32."""
    pairs = zip(ours, theirs, strict=True) if isinstance(theirs, tuple) else [(ours, theirs)]
    for mine, other in pairs:
        assert np.asarray(mine).dtype == np.asarray(other).dtype
        scale = np.abs(other).max()
        tolerance = 1e-12 if dtype == np.float64 else 1e-5
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance * scale)


# -- private methods --------------------------------------------------------------------------------
CALLS = {
    "_estimate_log_prob": lambda model, rows: model._estimate_log_prob(rows),
    "_estimate_weighted_log_prob": lambda model, rows: model._estimate_weighted_log_prob(rows),
    "_estimate_log_prob_resp": lambda model, rows: model._estimate_log_prob_resp(rows),
    "_estimate_log_weights": lambda model, rows: model._estimate_log_weights(),
    "_e_step": lambda model, rows: model._e_step(rows),
    "_get_parameters": lambda model, rows: model._get_parameters(),
    "_n_parameters": lambda model, rows: np.int64(model._n_parameters()),
    "_compute_lower_bound": lambda model, rows: model._compute_lower_bound(None, 1.5),
    "_m_step": lambda model, rows: changed(
        model, model._m_step(rows, np.log(RESPONSIBILITIES.astype(rows.dtype)))
    ),
    "_initialize": lambda model, rows: changed(
        model, model._initialize(rows, RESPONSIBILITIES.astype(rows.dtype))
    ),
    "_set_parameters": lambda model, rows: changed(
        model, model._set_parameters(tuple(a + a for a in model._get_parameters()))
    ),
}


def changed(model, result):
    assert result is None
    return model.weights_, model.means_, model.covariances_, model.precisions_cholesky_


def test_every_method_that_scikit_learn_has_is_compared():
    assert set(CALLS) == SHARED


@EACH
@EACH_TYPE
@pytest.mark.parametrize("name", CALLS)
def test_a_private_method_is_scikit_learns(name, covariance_type, dtype):
    ours, theirs = both(covariance_type, dtype)
    rows = X.astype(dtype)
    assert_equal(CALLS[name](ours, rows), CALLS[name](theirs, rows), dtype)


@pytest.mark.parametrize("name", CALLS)
def test_it_has_scikit_learns_arguments(name):
    ours, theirs = (
        inspect.signature(getattr(cls, name)).parameters for cls in (GaussianMixture, Theirs)
    )
    # Before 1.8, scikit-learn's methods do not have `xp`.
    assert [each for each in ours if each != "xp" or each in theirs] == list(theirs)
    assert all(ours[each].default == theirs[each].default for each in theirs)


def test_precisions_are_set_with_the_others():
    ours, theirs = both()
    other = Theirs(K, random_state=1, init_params="random_from_data", max_iter=2)
    ours._set_parameters(fit(other, X)._get_parameters())
    theirs._set_parameters(other._get_parameters())
    np.testing.assert_allclose(ours.precisions_, theirs.precisions_, rtol=1e-12)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-12)


@EACH_TYPE
def test_neither_step_requires_a_fit(covariance_type):
    ours, theirs = (
        cls(K, covariance_type=covariance_type, reg_covar=0.01) for cls in (GaussianMixture, Theirs)
    )
    for model in (ours, theirs):
        model._initialize(X, RESPONSIBILITIES)
        model._m_step(X, model._e_step(X)[1])
        model._set_parameters(model._get_parameters())
    assert_equal(ours._get_parameters(), theirs._get_parameters(), np.float64)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    alone = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0.01)
    alone._m_step(X, np.log(RESPONSIBILITIES))  # the columns count, as in scikit-learn
    expected = Theirs(2, covariance_type=covariance_type, reg_covar=0.01)
    expected._m_step(X, np.log(RESPONSIBILITIES))
    assert_equal(alone._get_parameters(), expected._get_parameters(), np.float64)
    alone._m_step(X, np.log(RESPONSIBILITIES[:, :2]))
    assert alone.means_.shape == (2, D)


@EACH_TYPE
def test_given_parameters_replace_those_of_the_start(covariance_type):
    given = both(covariance_type)[1]
    for names in [("weights",), ("means",), ("means", "precisions"), ("weights", "precisions")]:
        values = {f"{name}_init": getattr(given, f"{name}_") for name in names}
        ours, theirs = (
            cls(K, covariance_type=covariance_type, **values) for cls in (GaussianMixture, Theirs)
        )
        for model in (ours, theirs):
            model._initialize(X, RESPONSIBILITIES)
        for name in ("weights_", "means_", "precisions_cholesky_"):
            assert_equal(getattr(ours, name), getattr(theirs, name), np.float64)
    names = ("weights", "means", "precisions")
    values = {f"{name}_init": getattr(given, f"{name}_") for name in names}
    model = GaussianMixture(K, covariance_type=covariance_type, **values)
    model._initialize(X, None)
    np.testing.assert_allclose(model.precisions_, given.precisions_, rtol=1e-9)


def test_a_start_from_a_sample_uses_the_responsibilities_of_its_rows(monkeypatch):
    monkeypatch.setattr(multistart, "START_FROM", 100)
    monkeypatch.setattr(multistart, "START_ROWS", 60)
    labels = fit(GaussianMixture(K, random_state=0), X).predict(X)
    model = GaussianMixture(K)
    model._initialize(X, np.eye(K)[labels])
    centres = [X[labels == k].mean(axis=0) for k in range(K)]
    assert 0 < np.abs(model.means_ - centres).max() < 1.0
    assert not np.allclose(model.weights_ * len(X) % 1, 0)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_single_rows_start_with_their_share_of_all_rows(covariance_type):
    one_hot = np.zeros((len(X), K))
    one_hot[[3, 50, 120], range(K)] = 1
    ours, theirs = (
        cls(K, covariance_type=covariance_type, reg_covar=1.0) for cls in (GaussianMixture, Theirs)
    )
    for model in (ours, theirs):
        model._initialize(X, one_hot)
    assert_equal(ours._get_parameters(), theirs._get_parameters(), np.float64)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_responsibilities_of_any_sum_weigh_the_rows(covariance_type):
    """As in code that adds the logarithms of weights before the M-step."""
    weights = np.random.default_rng(2).uniform(0.1, 3.0, size=len(X))
    ours, theirs = both(covariance_type)
    for model in (ours, theirs):
        model._m_step(X, model._e_step(X)[1] + np.log(weights)[:, None])
    assert_equal(ours._get_parameters(), theirs._get_parameters(), np.float64)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("covariance_type", [*TYPES, *MODELS])
def test_both_steps_are_an_iteration_of_a_fit(covariance_type, missing):
    rows, weights = X.copy(), np.random.default_rng(3).integers(1, 4, size=len(X)).astype(float)
    if missing:
        rows[np.random.default_rng(4).uniform(size=X.shape) < 0.1] = np.nan
    arguments = {"covariance_type": covariance_type, "random_state": 0, "tol": 0.0}
    model, expected = (
        fit(GaussianMixture(K, max_iter=n, **arguments), rows, sample_weight=weights)
        for n in (3, 4)
    )
    model._m_step(rows, model._e_step(rows)[1] + np.log(weights)[:, None])
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(
            getattr(model, name), getattr(expected, name), rtol=1e-8, atol=1e-8
        )


def test_a_prior_is_that_of_a_fit():
    arguments = {"prior": "conjugate", "weight_concentration": 2.0, "random_state": 0, "tol": 0.0}
    model, expected = (fit(GaussianMixture(K, max_iter=n, **arguments), X) for n in (3, 4))
    model._m_step(X, model._e_step(X)[1])
    np.testing.assert_allclose(model.covariances_, expected.covariances_, rtol=1e-10)
    np.testing.assert_allclose(model.weights_, expected.weights_, rtol=1e-10)


@EACH
@pytest.mark.parametrize("name", ["_m_step", "_initialize"])
def test_a_singular_covariance_is_an_error_in_scikit_learns_words(name, dtype):
    one_hot = np.eye(K)[np.zeros(len(X), dtype=int)]
    one_hot[:2] = np.eye(K)[1:]
    with np.errstate(divide="ignore"):
        argument = np.log(one_hot) if name == "_m_step" else one_hot
    model = GaussianMixture(K, reg_covar=0)
    with pytest.raises(ValueError, match=r"^Fitting the mixture model failed because some"):
        getattr(model, name)(X.astype(dtype), argument)
    assert not hasattr(model, "means_")


def test_x_and_responsibilities_are_checked():
    model = both()[0]
    with pytest.raises(ValueError, match="X has 2 features"):
        model._estimate_log_prob(X[:, :2])
    with pytest.raises(ValueError, match="contains infinity"):
        model._e_step(np.full((3, D), np.inf))
    with pytest.raises(ValueError, match=r"shape \(200, 3\), but got \(200, 2\)"):
        model._initialize(X, RESPONSIBILITIES[:, :2])
    with pytest.raises(ValueError, match=r"shape \(200, 3\), but got \(\)"):
        model._initialize(X, None)
    with pytest.raises(ValueError, match=r"shape \(200, 3\), but got \(199, 3\)"):
        model._m_step(X, np.log(RESPONSIBILITIES[1:]))
    with pytest.raises(ValueError, match="'reg_covar' parameter"):
        model.set_params(reg_covar=-1)._m_step(X, np.log(RESPONSIBILITIES))
    integers = np.round(X).astype(int)
    np.testing.assert_array_equal(
        model._estimate_log_prob(integers), model._estimate_log_prob(integers.astype(float))
    )


@pytest.mark.parametrize("name", [name for name in CALLS if name != "_n_parameters"])
def test_none_of_them_knows_noise(name):
    model = fit(GaussianMixture(K, noise="uniform", random_state=0), X)
    call = {
        "_set_parameters": lambda: model._set_parameters((1, 2, 3, 4)),
        "_get_parameters": model._get_parameters,
    }.get(name, lambda: CALLS[name](model, X))
    before = dict(vars(model))
    for noise in ("uniform", None):  # what was fitted counts too
        model.noise = before["noise"] = noise
        with pytest.raises(ValueError, match="do not know the noise component"):
            call()
    assert all(vars(model)[key] is value for key, value in before.items())
    assert model._n_parameters() == model.n_parameters() == K - 1 + K * D + K * 6 + 2


def test_nothing_of_ours_calls_them(monkeypatch, tmp_path):
    for name in CALLS:
        monkeypatch.delattr(CompatibilityMixin, name)
    model = fit(GaussianMixture(K, random_state=0), X)
    model.partial_fit(X)
    for method in ("predict", "predict_proba", "component_log_prob", "bic", "icl", "diagnose"):
        getattr(model, method)(X)
    model.save(tmp_path / "model.json")
    assert GaussianMixture.load(tmp_path / "model.json").to_sklearn()._n_parameters()


# -- subclasses -------------------------------------------------------------------------------------
def test_the_hooks_are_what_scikit_learns_fit_calls():
    called = inspect.getsource(Theirs.fit_predict) + inspect.getsource(Theirs._e_step)
    called += inspect.getsource(Theirs._initialize_parameters)
    called += inspect.getsource(Theirs._estimate_log_prob_resp)
    called += inspect.getsource(Theirs._estimate_weighted_log_prob)
    assert all(f"self.{name}(" in called or f"super().{name}(" in called for name in HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_subclass_that_overrides_a_hook_is_refused(hook):
    with pytest.raises(TypeError, match=f"^Weighted overrides {hook}, but .*'You subclassed"):
        type("Weighted", (GaussianMixture,), {hook: lambda self, *_: None})


@pytest.mark.parametrize("hook", HOOKS)
def test_so_is_one_that_inherits_it_from_a_mixin(hook):
    mixin = type("Mixin", (), {hook: lambda self, *_: None})
    between = type("Between", (mixin,), {})
    with pytest.raises(TypeError, match=f"^Mixed overrides {hook}, but"):
        type("Mixed", (between, GaussianMixture), {})
    plain = type("Plain", (GaussianMixture,), {})
    with pytest.raises(TypeError, match=f"^Mixed overrides {hook}, but"):
        type("Mixed", (mixin, plain), {})
    # After ours, a mixin overrides nothing; with scikit-learn's class it would not either.
    type("Mixed", (plain, mixin), {})


def test_the_message_names_all_hooks_and_what_to_use():
    with pytest.raises(TypeError) as caught:

        class Own(GaussianMixture):
            def _m_step(self, X, log_resp, xp=None):
                pass

            def _initialize(self, X, resp, xp=None):
                pass

            def _initialize_parameters(self, X, random_state, xp=None):
                pass

    message = str(caught.value)
    assert message.startswith("Own overrides _initialize_parameters, _initialize, _m_step, but")
    assert message.count("init_params") == 1
    assert "sample_weight" in message
    assert "emgmm.covariances.Family" in message


class Scaled(GaussianMixture):
    """A subclass of the kind that works: parameters of its own, and `fit` by `fit_predict`."""

    def __init__(self, n_components=1, *, scale=1.0, random_state=None, tol=1e-3):
        super().__init__(n_components, random_state=random_state, tol=tol)
        self.scale = scale

    def fit(self, X, y=None):
        self.fit_predict(X / self.scale)
        return self

    def entropy(self, X):
        return -self._estimate_log_prob_resp(X)[1].max(axis=1)


def test_a_subclass_with_methods_and_parameters_of_its_own_works():
    own, plain = Scaled(K, scale=2.0, random_state=0), GaussianMixture(K, random_state=0)
    np.testing.assert_array_equal(fit(own, X).means_, fit(plain, X / 2).means_)
    assert clone(own).get_params() == own.get_params()
    again = pickle.loads(pickle.dumps(own))
    np.testing.assert_allclose(
        again.entropy(X), -np.log(own.predict_proba(X).max(axis=1)), atol=1e-12
    )
    np.testing.assert_array_equal(Scaled(K, random_state=0).fit_predict(X), plain.fit_predict(X))


@pytest.mark.parametrize("cls", [GaussianMixture, Theirs])
def test_overrides_of_public_methods_act_as_with_scikit_learn(cls):
    class Relabelled(cls):
        def predict(self, X):
            return self.order_[super().predict(X)]

        def fit(self, X, y=None):
            super().fit(StandardScaler().fit_transform(X), y)
            self.order_ = np.argsort(np.argsort(self.means_[:, 0]))
            return self

        def score(self, X, y=None):
            return -self.bic(X)

    model = Relabelled(K, random_state=0)
    labels = model.fit_predict(X)  # of the unscaled rows, and without the other labels
    assert not hasattr(model, "order_")
    np.testing.assert_array_equal(labels, Theirs(K, random_state=0).fit_predict(X))
    means = model.fit(X).means_[:, 0]
    assert np.abs(means).max() < 3
    assert list(means[np.argsort(model.order_)]) == sorted(means)
