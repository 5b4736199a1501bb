"""Sound fits are not warned of; warnings do not depend on order and units; what they say."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import TYPES, clusters, fit, given_start
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import (
    COLLAPSED,
    STARVED,
    equal_responsibilities,
    equal_rows,
    first_two_identical,
    identical,
    judged,
    messages,
    mixture_of,
    named,
    out_of_reach,
    permuted,
    quiet,
    said,
    scales,
    some_mixture,
    too_wide,
    types,
    with_collapse,
    with_starved,
)

from emgmm import (
    CoincidentComponentsWarning,
    CollapsedComponentWarning,
    EMWarning,
    Ending,
    GaussianMixture,
    RegularizationWarning,
    StarvedComponentWarning,
    StoppedShortWarning,
)
from emgmm.acceleration import Step
from emgmm.base import fitted_mixture
from emgmm.covariances import FAMILIES, times_counts
from emgmm.datasets import old_faithful
from emgmm.degeneracy import (
    coincident,
    collapsed,
    starved,
    surely_wide,
)
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.loop import HistoryEntry, Run
from emgmm.fitting.messages import component_warnings
from emgmm.fitting.problem import Problem
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource

SOUND = {
    f"{name} {K}": (name, K)
    for name, numbers in {
        "iris": (2, 3),
        "faithful": (2, 3),
        "wine": (2, 3),
        "digits10": (10,),
    }.items()
    for K in numbers
}


@types
@pytest.mark.parametrize("case", SOUND.values(), ids=SOUND)
def test_nothing_is_said_of_real_data(case, covariance_type, rows_of):
    name, K = case
    model = GaussianMixture(K, covariance_type=covariance_type, random_state=0)
    quiet(model, rows_of[name])


@types
def test_nothing_is_said_of_real_data_in_float32(covariance_type, rows_of):
    for name, K in (("iris", 3), ("faithful", 2), ("digits10", 10)):
        model = GaussianMixture(K, covariance_type=covariance_type, random_state=0)
        quiet(model, rows_of[name].astype(np.float32))


def well_posed(seed):
    """Clusters 6 standard deviations apart along the first axis, of unequal sizes and shapes."""
    random = np.random.default_rng(seed)
    K, D = 2 + seed % 7, 1 + seed % 10
    labels = random.choice(K, p=random.dirichlet(np.full(K, 10.0)), size=150 * K)
    factors = random.normal(size=(K, D, D)) / (2 * np.sqrt(D)) + np.eye(D)
    X = np.einsum("nij,nj->ni", factors[labels], random.normal(size=(len(labels), D)))
    X[:, 0] += 6 * labels
    return X, K


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_said_of_well_posed_sets(seed):
    X, K = well_posed(seed)
    model = GaussianMixture(K, covariance_type=TYPES[seed // 2 % 4], random_state=0)
    quiet(model, X)


@types
@pytest.mark.parametrize("distance", [2.0, 3.0])
def test_nothing_is_said_of_clusters_that_overlap(covariance_type, distance):
    random = np.random.default_rng(0)
    X = random.normal(size=(3000, 2))
    X[:1500, 0] += distance
    quiet(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X)


@types
def test_nothing_is_said_of_a_narrow_cluster_that_holds_many_rows(covariance_type):
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 3))
    X[:200] = 8 + X[:200] / 200
    quiet(GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0), X)
    quiet(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X)


@types
def test_nothing_is_said_of_features_in_different_units(covariance_type, iris):
    X = iris * [1e-3, 1.0, 1e3, 1e5]
    quiet(GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0), X)


@types
def test_a_ridge_that_dominates_the_data_is_no_collapse(covariance_type, iris):
    """A column whose variance is far below the ridge: no component is narrower than the data."""
    for deviation in (1e-4, 1e-6):
        column = deviation * np.random.default_rng(0).normal(size=len(iris))
        X = np.column_stack([iris, column])
        model = GaussianMixture(2, covariance_type=covariance_type, random_state=0)
        (message,) = said(model, X)
        assert isinstance(message, RegularizationWarning)
        assert message.features == (4,)


@types
@pytest.mark.parametrize("holed", [False, True])
def test_a_large_ridge_is_said_of_the_features_whose_variance_it_dominates(
    covariance_type, holed, rows_of
):
    X = rows_of["breast_cancer"].copy()
    X[:, 3] = 0.1  # constant: no variance that a ridge could be large beside
    if holed:
        X[np.random.default_rng(0).random(X.shape) < 0.02] = np.nan
    variances = np.nanvar(X, axis=0)
    expected = [j for j in range(30) if j != 3 and 1e-2 * variances[j] < 1e-6]
    assert 3 < len(expected) < 27
    model = GaussianMixture(1, covariance_type=covariance_type, random_state=0)
    (message,) = [m for m in said(model, X) if isinstance(m, RegularizationWarning)]
    assert message.features == tuple(expected)
    np.testing.assert_allclose(message.shares, 1e-6 / variances[expected], rtol=1e-8)
    assert message.components == ()
    X[:, 3] += np.random.default_rng(1).normal(size=len(X))
    with_prior = said(model.set_params(prior="conjugate"), X)
    assert not [m for m in with_prior if isinstance(m, RegularizationWarning)]


@types
def test_a_constant_column_is_no_collapse(covariance_type, iris):
    X = np.column_stack([iris, np.ones(len(iris))])
    quiet(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X)


@types
def test_a_single_component_is_never_coincident(covariance_type):
    quiet(GaussianMixture(1, covariance_type=covariance_type), clusters())


@types
@given(order=st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_groups_do_not_depend_on_the_order_of_components(covariance_type, order):
    """Two groups, of three and of two, and one apart; the groups' members only nearly equal."""
    mixture = some_mixture(covariance_type, 6, 3)
    like = np.array([0, 0, 2, 0, 2, 5])
    planted = permuted(mixture, like)
    means = 20 * planted.means + 1e-3 * np.arange(6)[:, None]
    planted = replace(planted, means=means)
    assert coincident(planted) == [(0, 1, 3), (2, 4)]
    order = list(order)
    groups = coincident(permuted(planted, order))
    assert sorted(tuple(sorted(order[k] for k in g)) for g in groups) == [(0, 1, 3), (2, 4)]
    assert all(group == tuple(sorted(group)) for group in groups)


def judgement(mixture, statistics, n_rows):
    least = mixture.family.min_count(mixture.n_features)
    found = collapsed(mixture, statistics, 1e-6, n_rows, least)
    return found, starved(mixture, statistics, n_rows)


@types
@pytest.mark.parametrize("seed", range(3))
def test_collapsed_and_starved_do_not_depend_on_the_order_of_components(covariance_type, seed):
    order = np.random.default_rng(seed).permutation(4)
    model, X = with_collapse((equal_rows, 3, 4, covariance_type, float))
    mixture = mixture_of(fit(model, X))
    far = mixture.means.copy()
    far[0] += 1e4
    mixture = replace(mixture, means=far)
    statistics, _ = judged(mixture, X, 1e-6)
    found = judgement(mixture, statistics, len(X))
    assert found[1] == [0]
    other = permuted(mixture, order)
    statistics, _ = judged(other, X, 1e-6)
    now = judgement(other, statistics, len(X))
    assert [sorted(order[found]) for found in now] == [sorted(f) for f in found]


@scales
@pytest.mark.parametrize(
    "begin", [identical, too_wide, equal_responsibilities, first_two_identical]
)
@types
def test_coincident_does_not_depend_on_units(scale, begin, covariance_type):
    groups = []
    for factor in (1.0, scale):
        X = factor * clusters(200, 3, 4, seed=1)
        arguments = begin(X, 4, covariance_type, 1)
        ridge = 1e-6 * factor**2
        model = GaussianMixture(**arguments, reg_covar=ridge, break_symmetry=False)
        groups.append(named(said(model, X), CoincidentComponentsWarning))
    assert groups[0] == groups[1] != []


@scales
@pytest.mark.parametrize("case", list(COLLAPSED.values())[::3], ids=list(COLLAPSED)[::3])
def test_collapsed_does_not_depend_on_units(scale, case):
    model, X = with_collapse(case, scale)
    assert named(said(model, X), CollapsedComponentWarning) == [model.n_components - 1]


@scales
@pytest.mark.parametrize("case", list(STARVED.values())[::2], ids=list(STARVED)[::2])
def test_starved_does_not_depend_on_units(scale, case):
    model, X = with_starved(case, scale)
    assert named(said(model, X), StarvedComponentWarning) == [model.n_components - 1]


@scales
@types
def test_what_is_left_to_gain_does_not_depend_on_units(scale, covariance_type):
    left = []
    for factor in (1.0, scale):
        X = factor * clusters(200, 2, 3, seed=2, spread=2.0)
        start = given_start(X, 3, covariance_type, seed=2)
        ridge = 1e-6 * factor**2
        left.append(fit(GaussianMixture(**start, tol=1e-4, reg_covar=ridge), X).remaining_gain_)
    assert left[0] == pytest.approx(left[1], rel=1e-6)


@scales
def test_sound_fits_stay_sound_in_other_units(scale, rows_of):
    for name, K in (("iris", 3), ("wine", 3), ("breast_cancer", 2)):
        run = {"tol": 1e-6, "max_iter": 1000, "acceleration": "anderson"}
        model = GaussianMixture(K, random_state=0, reg_covar=1e-9 * scale**2, **run)
        quiet(model, scale * rows_of[name])


def a_run(covariance_type="full", K=3, objectives=(-5.0, -4.0, -4.0), **changes):
    """A run that ended at rest at K equal components."""
    X = clusters(100, 2)
    one = some_mixture(covariance_type, 1, 2)
    mixture = Mixture(
        np.full(K, 1 / K),
        np.repeat(one.means, K, axis=0),
        *(
            one.family.unstack(a) if one.family.shared else np.repeat(a, K, axis=0)
            for a in (one.family.stack(one.covariances), one.family.stack(one.precisions_cholesky))
        ),
        one.family,
    )
    statistics, _ = judged(mixture, X, 0.0)
    step = Step(mixture, statistics, statistics.objective, 3)
    entries = [
        HistoryEntry(objective, t + 1, "step" if t else "start")
        for t, objective in enumerate(objectives)
    ]
    run = Run(step, entries, converged=True, ending=Ending.CONVERGED)
    em = em_of(ArraySource(X), Problem(FAMILIES[covariance_type], K))
    return em, replace(run, **changes)


@types
def test_words_follow_from_a_run_alone(covariance_type):
    em, run = a_run(covariance_type)
    (message,) = component_warnings(em, run, break_symmetry=False)
    assert isinstance(message, CoincidentComponentsWarning)
    assert message.components == ((0, 1, 2),)


@pytest.mark.parametrize(
    ("objectives", "converged", "expected"),
    [
        ([-5.0, -4.0, -4.0], False, 1),  # at rest by rounding
        ([-5.0, -4.5, -4.4999], True, 1),  # stopped by tol
        ([-5.0, -4.5, -4.4999], False, 0),  # stopped by max_iter, on the way
        ([-5.0], False, 0),
    ],
)
def test_only_a_fit_at_rest_is_said_to_have_coincident_components(objectives, converged, expected):
    em, run = a_run(objectives=objectives, converged=converged)
    assert len(component_warnings(em, run, break_symmetry=False)) == expected


def test_nothing_is_said_of_a_run_that_is_a_start():
    X = clusters(400, 3, 4, seed=1)
    start = out_of_reach(X, 3, "full")
    assert len(said(GaussianMixture(**start), X)) == 1
    quiet(GaussianMixture(**{**start, "max_iter": 0}), X)


@pytest.mark.parametrize("name", ["split", "stays", "late", "collapsed", "starved"])
def test_messages_read_as_sentences_say_what_to_do_and_name_components(name):
    model, X, components, words = messages()[name]
    (message,) = said(model, X)
    assert message.components == components
    text = str(message)
    for word in words:
        assert word.lower() in text.lower()
    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text
    assert all(sentence[0].isupper() for sentence in re.split(r"\. ", text))
    assert not re.search(r"\b(nan|None|\[|\()\b", text)
    assert not re.search(r"\d", text)  # figures, which change from fit to fit, are attributes


def test_figures_of_a_message_are_those_of_the_fit():
    found = {name: (model, *said(model, X)) for name, (model, X, *_) in messages().items()}
    model, message = found["split"]
    assert message.after == model.lower_bound_ > message.before + 0.01
    escape = list(model.history_["event"]).index("escape")
    assert message.before == model.history_["objective"][escape - 1]
    model, message = found["stays"]
    assert message.before == message.after == model.lower_bound_
    model, message = found["collapsed"]
    smallest = np.sqrt(np.linalg.eigvalsh(model.covariances_[3])[0])
    assert message.standard_deviations == (pytest.approx(smallest, rel=1e-6),)
    assert message.masses == (pytest.approx(30, rel=1e-6),)
    assert found["starved"][1].masses[0] < 1


def test_a_warning_is_shown_once_for_many_fits():
    """Python's default filter knows a warning by its text, its class and its line."""
    X = clusters(400, 3, 4, seed=1)
    fits = [GaussianMixture(**identical(X, K, "full", 0), break_symmetry=False) for K in (2, 3, 4)]
    fits += [GaussianMixture(**out_of_reach(X, K, "full")) for K in (3, 4)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for model in fits:
            model.fit(X)
    kinds = [w.category for w in caught]
    assert len(kinds) == len(set(kinds)) == 2


def test_a_warning_is_shown_once_under_the_filters_of_a_new_process():
    """One of them names its module by a string, where others have a regular expression."""
    X = clusters(400, 3, 4, seed=1)
    model = GaussianMixture(**out_of_reach(X, 3, "full"))
    filters = [("default", None, DeprecationWarning, "__main__", 0)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.filters[:] = filters
        for _ in range(2):
            model.fit(X)
        assert len(caught) == 1
        warnings.filters[:] = [*filters, ("always", None, UserWarning, __name__, 0)]
        for _ in range(2):
            model.fit(X)
        assert len(caught) == 3


def test_warnings_are_user_warnings_of_one_kind():
    for kind in (
        CoincidentComponentsWarning,
        CollapsedComponentWarning,
        RegularizationWarning,
        StarvedComponentWarning,
        StoppedShortWarning,
    ):
        assert issubclass(kind, EMWarning)
        assert issubclass(kind, UserWarning)
        assert kind("words", (1,)).components == (1,)
        assert kind("words").components == ()


def test_a_warning_points_at_the_callers_line():
    X = clusters()
    with pytest.warns(CoincidentComponentsWarning) as caught:
        GaussianMixture(**identical(X, 2, "full", 0)).fit(X)
    assert caught[0].filename == __file__


@types
def test_one_far_row_does_not_make_the_others_narrow(covariance_type):
    """It stretches the data's own covariance; only the component that holds it is at fault."""
    X = np.concatenate([old_faithful().rows, [[1e6, 1e6]]])
    labels = np.r_[np.zeros(len(X) - 1, dtype=int), 1]
    model = GaussianMixture(2, covariance_type=covariance_type, init_params=lambda *_: labels)
    found = fit(model, X).diagnose(X).collapsed
    assert 0 not in found


@types
@pytest.mark.parametrize("dtype", [float, np.float32])
@pytest.mark.parametrize("ridge", [1e-6, 1e-2])
def test_fewer_rows_than_features_are_judged_too(covariance_type, dtype, ridge):
    """The covariances, less the ridge, are singular: a rounding error makes them indefinite."""
    for seed in range(10):
        X = 10 * np.random.default_rng(seed).normal(size=(12, 20)).astype(dtype)
        arguments = {"covariance_type": covariance_type, "reg_covar": ridge, "random_state": 0}
        model = fit(GaussianMixture(2, **arguments), X)
        if covariance_type == "full":
            assert model.diagnose(X).collapsed == [0, 1]


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_component_beside_which_the_total_is_beyond_all_range_is_not_surely_wide(covariance_type):
    family = FAMILIES[covariance_type]
    covariances = family.structure.outer(np.array([[1e-140], [1.0]]))
    mixture = Mixture.of(np.array([0.5, 0.5]), np.zeros((2, 1)), covariances, family)
    total = family.structure.outer(np.array([[1e30]]))[0]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert not surely_wide(mixture, total, 0.0)


@pytest.mark.parametrize("covariance_type", ["EVI", "EVE", "EVV"])
def test_a_component_without_rows_is_collapsed_also_if_volumes_are_equal(covariance_type):
    """Its scatter of 0 would be scaled by an infinite factor."""
    rows, family = clusters(200, 2, 3), FAMILIES[covariance_type]
    model = fit(GaussianMixture(2, covariance_type=covariance_type, random_state=0), rows)
    em = em_of(ArraySource(rows), Problem(family, 2, 1e-6))
    mixture, present = fitted_mixture(model), np.array([1.0, 0.0])
    found = em.expect(mixture)
    assert em.collapsed(mixture, found) == []
    empty = replace(
        found,
        counts=found.counts * present,
        first_moment=found.first_moment * present[:, None],
        scatter=times_counts(present, found.scatter),
    )
    assert em.collapsed(mixture, empty) == [1]
