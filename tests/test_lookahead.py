"""`StoppedShortWarning` by the criteria: what is left is noticed, and nothing else is changed."""

from __future__ import annotations

import pickle
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import dask.array
import numpy as np
import pytest
from conftest import clusters, fit

from emgmm import GaussianMixture, StoppedShortWarning, blocks
from emgmm.diagnostics.lookahead import PASSES
from emgmm.em import EM

DATA = Path(__file__).parent / "data"
NAMES = ("faithful", "iris", "banknote", "penguins", "chevron")
FAMILIES = ("full", "diag", "tied")
CRITERIA = ("bic", "aic", "icl")


@cache
def stored(name):
    """A table, and mclust's clusters of it for each number of components."""
    with (DATA / f"{name}.csv").open() as file:
        header = file.readline().strip().split(",")
        width = len(header) - (header[-1] == "class")
        X = np.loadtxt(file, delimiter=",", usecols=range(width), ndmin=2)
    cuts = np.loadtxt(DATA / "starts" / f"{name}.csv", delimiter=",", skiprows=1, dtype=int)
    return X, dict(zip(range(2, 7), cuts.T, strict=True))


def by_default(name, covariance_type, n_components, source=None, **parameters):
    """The fit from stored clusters with the default `tol`, and the table."""
    X, cuts = stored(name)
    model = GaussianMixture(
        n_components,
        covariance_type=covariance_type,
        init_params=lambda *_: cuts[n_components],
        **parameters,
    )
    return fit(model, X if source is None else source), X


def continued(model, X):
    """Plain EM from where a fit stopped, to its end."""
    end = GaussianMixture(
        model.n_components,
        covariance_type=model.covariance_type,
        reg_covar=model.reg_covar,
        prior=model.prior,
        weights_init=model.weights_,
        means_init=model.means_,
        precisions_init=model.precisions_,
        tol=1e-10,
        max_iter=20_000,
        break_symmetry=False,
    )
    return fit(end, X)


def left(model, X):
    """What plain EM still gains, in nats over all rows."""
    return len(X) * (continued(model, X).lower_bound_ - model.lower_bound_)


def said(function, *arguments, **named):
    """The warnings of a call, which are all of one kind."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, **named)
    assert all(type(w.message) is StoppedShortWarning for w in caught)
    return [w.message for w in caught]


class Case(NamedTuple):
    """A default fit, what it left, and what each criterion says of it."""

    where: tuple[str, str, int]
    X: np.ndarray
    model: GaussianMixture
    left: float
    found: dict[str, list[StoppedShortWarning]]


@pytest.fixture(scope="module")
def cases():
    """All default fits from stored clusters."""
    found = []
    for where in ((n, f, k) for n in NAMES for f in FAMILIES for k in range(2, 7)):
        model, X = by_default(*where)
        own = {name: said(getattr(model, name), X) for name in CRITERIA}
        found.append(Case(where, X, model, left(model, X), own))
    return found


# 39 nats are left of the one, of which Aitken's estimate says 2.3, and 13 of the other: 0.16.
SHORT = ("chevron", "full", 3)
UNSEEN = ("faithful", "full", 4)


# -- what is noticed ----------------------------------------------------------------------------
def test_of_fits_with_much_left_most_are_noticed_and_of_those_at_the_end_none(cases):
    much = [case for case in cases if case.left > 5]
    little = [case for case in cases if case.left <= 0.5]
    assert len(cases) == 75
    assert len(much) >= 18
    assert len(little) >= 25
    assert np.mean([bool(case.found["bic"]) for case in much]) >= 0.8
    assert np.mean([bool(case.found["bic"]) for case in little]) <= 0.01


def test_more_is_noticed_than_by_aitkens_estimate(cases):
    much = [case for case in cases if case.left > 5]
    by_aitken = [len(case.X) * case.model.remaining_gain_ > 0.5 for case in much]
    assert np.mean([bool(case.found["bic"]) for case in much]) >= np.mean(by_aitken) + 0.2


def test_accelerated_passes_notice_nine_of_ten_that_stopped_short(cases):
    """As many plain ones notice 35 of 41."""
    short = [bool(case.found["bic"]) for case in cases if case.left > 0.5]
    assert len(short) >= 30
    assert np.mean(short) >= 0.9


def test_all_criteria_say_the_same(cases):
    for case in cases:
        gains = [[w.remaining_gain for w in case.found[name]] for name in CRITERIA]
        assert gains[0] == gains[1] == gains[2]
        assert len(gains[0]) <= 1


def test_what_is_said_to_be_left_is_more_than_half_a_nat_and_there_to_be_gained(cases):
    for case in cases:
        for message in case.found["bic"]:
            assert message.remaining_gain > 0.5
            assert message.components == ()
            # Leaps may lead to a higher maximum than plain EM's, so that this is no theorem.
            assert message.remaining_gain < case.left + 0.5


def test_a_fit_to_the_end_is_not_warned_of():
    model, X = by_default(*SHORT)
    end = continued(model, X)
    for name in CRITERIA:
        assert said(getattr(model, name), X)
        assert not said(getattr(end, name), X)


def test_it_points_at_the_callers_line():
    model, X = by_default(*SHORT)
    with pytest.warns(StoppedShortWarning) as caught:
        model.bic(X)
    assert caught[0].filename == __file__


def test_weights_count_as_rows():
    X, cuts = stored(SHORT[0])
    weights = np.full(len(X), 1e-3)
    model = GaussianMixture(3, init_params=lambda *_: cuts[3])
    fit(model, X, sample_weight=weights)
    assert not said(model.bic, X, sample_weight=weights)  # 0.04 nats are left, not 39
    heavy = fit(GaussianMixture(3, init_params=lambda *_: cuts[3]), X, sample_weight=1e3 * weights)
    assert said(heavy.bic, X, sample_weight=1e3 * weights)


# -- what is not warned of ----------------------------------------------------------------------
def test_score_and_summary_never_warn(cases):
    for case in cases:
        assert not said(case.model.score, case.X)
    model, X = by_default(*SHORT)
    assert not said(model.summary, X)
    assert not said(model.score_samples, X)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_nothing_is_warned_of_other_rows(criterion):
    model, X = by_default(*SHORT)
    method = getattr(model, criterion)
    assert said(method, X)
    assert said(method, X.copy())
    assert not said(method, X[1:])
    assert not said(method, np.concatenate([X, X[:1]]))
    assert not said(method, X + 1e-6)
    assert not said(method, X, sample_weight=np.linspace(1, 2, len(X)))


@pytest.mark.parametrize(
    "prior", [{"prior": "conjugate"}, {"weight_concentration": 2.0}], ids=["prior", "concentration"]
)
def test_nothing_is_warned_with_a_prior(prior):
    model, X = by_default(*SHORT, **prior)
    assert not any(said(getattr(model, name), X) for name in CRITERIA)
    if "prior" in prior:  # though there was something to warn of
        assert left(model, X) > 5


def test_nothing_is_warned_of_parameters_that_were_given():
    model, X = by_default(*SHORT)
    given = GaussianMixture.from_parameters(
        model.weights_, model.means_, covariances=model.covariances_
    )
    assert given.bic(X) == pytest.approx(fit_quietly(model, X), rel=1e-12)
    assert not any(said(getattr(given, name), X) for name in CRITERIA)


def fit_quietly(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoppedShortWarning)
        return model.bic(X)


KINDS = {
    "blocks": lambda X: blocks(lambda: iter([X[:100], X[100:]])),
    "dask": lambda X: dask.array.from_array(X, chunks=(100, X.shape[1])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_of_rows_that_are_not_in_memory_only_aitkens_estimate_is_known(kind):
    def of(where):
        source = KINDS[kind](stored(where[0])[0])
        return by_default(*where, source=source), source

    (model, X), source = of(UNSEEN)
    assert left(model, X) > 5
    assert len(X) * model.remaining_gain_ < 0.5
    assert not any(said(getattr(model, name), source) for name in CRITERIA)
    assert said(by_default(*UNSEEN)[0].bic, X)  # in memory it is noticed
    (model, X), source = of(SHORT)
    for name in CRITERIA:
        (message,) = said(getattr(model, name), source)
        assert message.remaining_gain == pytest.approx(len(X) * model.remaining_gain_, rel=1e-12)


# -- what it costs, and what it leaves alone ----------------------------------------------------
def test_nothing_about_the_model_or_the_rows_changes():
    model, X = by_default(*UNSEEN)
    rows = X.copy()

    def fitted():
        own = {k: v for k, v in vars(model).items() if k.endswith("_") or k.startswith("_")}
        assert {"weights_", "history_", "lower_bound_", "_stream"} <= set(own)
        return pickle.dumps(own)

    before, figures, labels = fitted(), fit_quietly(model, X), model.predict(X)
    for name in CRITERIA:
        assert said(getattr(model, name), X)
        assert fitted() == before
    assert fit_quietly(model, X) == figures
    np.testing.assert_array_equal(model.predict(X), labels)
    np.testing.assert_array_equal(X, rows)


@pytest.fixture
def passes(monkeypatch):
    """One entry for each pass over the rows."""
    made, of_old = [], EM.sum

    def counted(em, function, block_rows):
        made.append(function)
        return of_old(em, function, block_rows)

    monkeypatch.setattr(EM, "sum", counted)
    return made


def passes_of(passes, model, X):
    passes.clear()
    said(model.bic, X)
    return len(passes)


# What every criterion spends: a look at the rows and their likelihood.
ALWAYS = 2


def test_it_costs_few_passes(cases, passes):
    # A look at the rows, a first pass, and one for each accelerated step. A leap that is rejected
    # costs one more, also the last.
    extra = np.array([passes_of(passes, case.model, case.X) - ALWAYS for case in cases])
    noticed = np.array([bool(case.found["bic"]) for case in cases])
    assert np.median(extra) <= PASSES + 2
    assert extra.max() <= PASSES + 3
    assert extra[noticed].max() <= PASSES + 2
    assert np.median(extra[noticed]) <= 10  # they end where enough is known


def test_where_looking_ahead_is_not_cheap_no_pass_is_made(monkeypatch, passes):
    model, X = by_default(*UNSEEN)
    assert passes_of(passes, model, X) > ALWAYS
    lines, entries = 4, 1 + 2 + 3  # components, and 1, x and the products of two features
    monkeypatch.setattr("emgmm.diagnostics.lookahead.MAX_PRODUCTS", len(X) * lines * entries)
    assert passes_of(passes, model, X) > ALWAYS
    monkeypatch.setattr("emgmm.diagnostics.lookahead.MAX_PRODUCTS", len(X) * lines * entries - 1)
    assert passes_of(passes, model, X) == ALWAYS
    assert not said(model.bic, X)
    model, X = by_default(*SHORT)
    monkeypatch.setattr("emgmm.diagnostics.lookahead.MAX_PRODUCTS", 0)
    assert passes_of(passes, model, X) == ALWAYS
    (message,) = said(model.bic, X)
    assert message.remaining_gain == len(X) * model.remaining_gain_


def test_no_pass_is_made_for_other_rows_or_for_the_score(passes):
    model, X = by_default(*UNSEEN)
    assert passes_of(passes, model, X[1:]) == ALWAYS
    passes.clear()
    model.score(X)
    assert len(passes) == ALWAYS


def test_a_large_table_is_not_looked_at_again(passes):
    X = clusters(20_000, 3)
    model = fit(GaussianMixture(3, random_state=0), X)
    assert passes_of(passes, model, X) == ALWAYS


# -- singular covariances -----------------------------------------------------------------------
def onto_equal_rows(**parameters):
    """A model whose second component EM moves onto equal rows, and the rows."""
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(60, 2)), np.full((6, 2), 12.0)])
    model = GaussianMixture(
        2,
        weights_init=[0.9, 0.1],
        means_init=[[0, 0], [12, 12]],
        reg_covar=0.0,
        **parameters,
    )
    return model, X


def test_a_singular_covariance_ahead_is_no_error():
    model, X = onto_equal_rows(precisions_init=[np.eye(2)] * 2, max_iter=0)
    fit(model, X)
    with pytest.raises(ValueError, match="Singular: component 1"):
        continued(model, X)
    for name in CRITERIA:
        assert np.isfinite(getattr(model, name)(X))


def test_a_gain_before_a_singular_covariance_is_warned_of():
    precisions = [np.eye(2) * 0.02, np.eye(2) * 0.02]
    model, X = onto_equal_rows(precisions_init=precisions, max_iter=1)
    fit(model, X)
    with pytest.raises(ValueError, match="Singular: component 1"):
        continued(model, X)
    (message,) = said(model.bic, X)
    assert 0.5 < message.remaining_gain < np.inf
