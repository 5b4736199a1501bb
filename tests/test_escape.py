"""The escape: components that coincide are split, EM goes on, and nothing is lost by it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import TYPES, clusters, fit, given_start, identity_precisions
from hypothesis import given, settings
from hypothesis import strategies as st
from long_form import COVARIANCE, MEAN, some_responsibilities, statistics_in_long_form
from sklearn.exceptions import ConvergenceWarning

from emgmm import CoincidentComponentsWarning, EMWarning, Ending, GaussianMixture
from emgmm.acceleration import PLAIN, Plain, evaluate
from emgmm.covariances import FAMILIES
from emgmm.datasets import question
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.loop import HistoryEntry, Rules, Run
from emgmm.fitting.multistart import Multistart
from emgmm.fitting.problem import Problem
from emgmm.fitting.progress import Reporter
from emgmm.fitting.recorder import Recorder
from emgmm.fitting.split import (
    SplitPlan,
    divide,
    plan_along_axis,
    rows_of_group,
    sample_rows,
    splits,
)
from emgmm.mixture import Mixture
from emgmm.mstep import MStep
from emgmm.sources import ArraySource

types = pytest.mark.parametrize("covariance_type", TYPES)


def is_unrestricted(family):
    """Whether one component may have any covariance of the family's structure."""
    return family.n_covariance_parameters(1, 3) == family.structure.n_monomials(3)


families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)

DEFAULT = {}
AS_THE_QUESTION_RAN = {"tol": 0, "max_iter": 10}


def warned(model, X):
    """Fit; the one warning that components coincide."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    (message,) = [w.message for w in caught if isinstance(w.message, CoincidentComponentsWarning)]
    return message


def own_start(covariance_type, **more):
    """The question's: both components at (10, 10), covariance 10 I, weight 1/2."""
    return GaussianMixture(
        2,
        covariance_type=covariance_type,
        reg_covar=0,
        weights_init=[0.5, 0.5],
        means_init=[[10, 10], [10, 10]],
        precisions_init=identity_precisions(covariance_type, 2, 2, scale=10.0),
        random_state=0,
        **more,
    )


def grid(n_features=2, n_components=4, n_rows=1000, dtype=float):
    """Round unit clusters at the corners of a square of side 10, in order."""
    random = np.random.default_rng(n_features + n_components)
    corners = np.zeros((n_components, n_features))
    corners[:, 0] = 10 * (np.arange(n_components) // 2)
    corners[:, -1] += 10 * (np.arange(n_components) % 2)
    labels = np.arange(n_rows) % n_components
    X = corners[labels] + random.normal(size=(n_rows, n_features))
    return X.astype(dtype), corners


def starting(X, means, covariance_type="full", **more):
    """The model that starts from these means, with round covariances and equal weights."""
    means = np.asarray(means, dtype=float)
    K, D = means.shape
    precisions = identity_precisions(covariance_type, K, D, scale=X.var(axis=0).mean())
    return GaussianMixture(
        K,
        covariance_type=covariance_type,
        weights_init=np.full(K, 1 / K),
        means_init=means,
        precisions_init=precisions,
        **{"random_state": 0, **more},
    )


def in_order(means):
    return means[np.lexsort(np.round(means, 0).T)]


def without_escape(model):
    return GaussianMixture(**{**model.get_params(), "break_symmetry": False})


# -- the question -------------------------------------------------------------------------------
@types
@pytest.mark.parametrize("rules", [DEFAULT, AS_THE_QUESTION_RAN])
def test_from_the_questions_own_start_the_truth_is_found(covariance_type, rules):
    model = own_start(covariance_type, **rules)
    message = warned(model, question().rows)
    assert message.components == ((0, 1),)
    assert "were split" in str(message)
    np.testing.assert_allclose(in_order(model.means_), [[0, 0], [5, 5]], atol=0.1)
    np.testing.assert_allclose(model.weights_, 0.5, atol=0.02)


@types
@pytest.mark.parametrize("rules", [DEFAULT, AS_THE_QUESTION_RAN])
def test_without_the_escape_the_questions_digits_stay_and_it_is_said(covariance_type, rules):
    model = own_start(covariance_type, break_symmetry=False, **rules)
    message = warned(model, question().rows)
    assert message.components == ((0, 1),)
    assert "break_symmetry=True" in str(message)
    np.testing.assert_allclose(model.means_, [MEAN, MEAN], atol=5e-9)
    if covariance_type == "full":
        np.testing.assert_allclose(model.covariances_, [COVARIANCE, COVARIANCE], atol=5e-9)


# -- never worse, and the same again ------------------------------------------------------------
@pytest.mark.parametrize("seed", range(20))
def test_the_likelihood_is_never_below_plain_ems(seed):
    random = np.random.default_rng(seed)
    K, D = int(random.integers(2, 9)), int(random.integers(1, 11))
    X = clusters(250, D, K, seed=seed, spread=float(random.uniform(0.5, 4)))
    means = X[random.choice(len(X), K, replace=False)]
    means[: random.integers(2, K + 1)] = means[0]
    rules = ({}, {"tol": 0, "max_iter": 60}, {"tol": 1e-6}, {"max_iter": 8})[seed % 4]
    model = starting(X, means, TYPES[seed // 4 % 4], **rules)
    plain = fit(without_escape(model), X)
    assert fit(model, X).lower_bound_ >= plain.lower_bound_ - 1e-12 * abs(plain.lower_bound_)


@types
def test_a_fit_with_nothing_to_escape_from_is_plain_ems(covariance_type):
    X = clusters()
    start = given_start(X, 3, covariance_type)
    ours = fit(GaussianMixture(**start, random_state=0), X)
    plain = fit(GaussianMixture(**start, random_state=0, break_symmetry=False), X)
    np.testing.assert_array_equal(ours.means_, plain.means_)
    np.testing.assert_array_equal(ours.covariances_, plain.covariances_)
    assert "escape" not in ours.history_["event"]


@types
def test_the_escape_is_reproducible_by_random_state(covariance_type):
    X, _ = grid(n_rows=6000)  # more than the escape looks at: it draws a sample
    one, two = (
        fit(starting(X, np.ones((4, 2)), covariance_type, random_state=7), X) for _ in range(2)
    )
    np.testing.assert_array_equal(one.means_, two.means_)
    np.testing.assert_array_equal(one.history_["objective"], two.history_["objective"])
    same = np.random.RandomState(7)
    three = fit(starting(X, np.ones((4, 2)), covariance_type, random_state=same), X)
    np.testing.assert_array_equal(one.means_, three.means_)


@types
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_escape_does_not_depend_on_units(covariance_type, scale):
    X, corners = grid()
    model = starting(scale * X, np.full((4, 2), scale), covariance_type, reg_covar=1e-6 * scale**2)
    fit(model, scale * X)
    np.testing.assert_allclose(in_order(model.means_ / scale), in_order(corners), atol=0.3)


# -- what is split ------------------------------------------------------------------------------
@types
@pytest.mark.parametrize(("K", "D"), [(2, 2), (3, 2), (4, 2), (4, 5), (4, 20)])
def test_groups_of_many_are_split_into_as_many(covariance_type, K, D):
    X, corners = grid(D, K)
    model = starting(X, np.ones((K, D)), covariance_type)
    assert warned(model, X).components[0] == tuple(range(K))
    np.testing.assert_allclose(in_order(model.means_), in_order(corners), atol=0.35)


def test_one_feature_is_split_too():
    X, _ = grid(1, 2)
    X = X + 10 * (X > 5)
    model = starting(X, np.ones((2, 1)), "spherical")
    warned(model, X)
    np.testing.assert_allclose(np.sort(model.means_.ravel()), [0, 20], atol=0.3)


@types
def test_two_separate_groups_are_split_at_once(covariance_type):
    X, corners = grid()
    X[:, 0] *= 5
    means = [[0, 5], [50, 5], [0, 5], [50, 5]]
    precisions = identity_precisions(covariance_type, 4, 2, scale=25.0)
    model = starting(X, means, covariance_type).set_params(precisions_init=precisions)
    assert set(warned(model, X).components) == {(0, 2), (1, 3)}
    assert list(model.history_["event"]).count("escape") == 1
    np.testing.assert_allclose(in_order(model.means_), in_order(corners * [5, 1]), atol=1.0)


@types
def test_two_of_five_are_split_and_the_others_kept(covariance_type):
    X, corners = grid(3, 5)
    means = corners.copy()
    means[4] = means[2] = (corners[2] + corners[4]) / 2
    model = starting(X, means, covariance_type)
    model.set_params(precisions_init=identity_precisions(covariance_type, 5, 3))
    assert (2, 4) in warned(model, X).components
    np.testing.assert_allclose(in_order(model.means_), in_order(corners), atol=0.35)


@types
def test_where_data_are_one_gaussian_nothing_is_lost_and_something_is_said(covariance_type):
    X = np.random.default_rng(0).normal(size=(2000, 3))
    model = starting(X, np.ones((2, 3)), covariance_type)
    message = warned(model, X)
    plain = fit(without_escape(model), X)
    assert model.lower_bound_ >= plain.lower_bound_
    assert model.lower_bound_ < plain.lower_bound_ + 0.01  # there was nothing to be had
    assert message.components[0] == (0, 1)
    if model.ending_ is Ending.COINCIDENT:
        assert "fewer components" in str(message)
    else:
        assert "were split" in str(message)


@pytest.mark.parametrize("K", [2, 3])
def test_components_that_no_split_helps_end_as_coincident(K):
    """Two distinct rows have no more than two clusters: the third component has nowhere to go."""
    X = np.repeat([[0.0], [1.0]], 50, axis=0)
    model = starting(X, np.full((K, 1), 0.5), "tied", reg_covar=10.0)
    message = warned(model, X)
    assert model.ending_ is Ending.COINCIDENT
    assert "fewer components" in str(message)
    plain = fit(without_escape(model), X)
    assert model.lower_bound_ >= plain.lower_bound_


@pytest.mark.parametrize("max_iter", [4, 5, 6, 100])
def test_a_split_that_only_loses_is_not_taken(max_iter):
    """A ridge as large as this makes two components worse than one."""
    X = np.random.default_rng(0).normal(size=(300, 3))
    model = starting(X, np.ones((2, 3)), "tied", reg_covar=0.5, max_iter=max_iter)
    message = warned(model, X)
    plain = fit(without_escape(model), X)
    assert "escape" not in model.history_["event"]
    assert "No split" in str(message)
    np.testing.assert_allclose(model.means_, plain.means_, rtol=1e-12)
    assert model.lower_bound_ == pytest.approx(plain.lower_bound_, rel=1e-14)


@types
@pytest.mark.parametrize("max_iter", [2, 3])
def test_with_no_iterations_left_plains_result_is_kept(covariance_type, max_iter):
    X = question().rows
    model = own_start(covariance_type, max_iter=max_iter)
    message = warned(model, X)
    plain = fit(without_escape(model), X)
    assert model.lower_bound_ == plain.lower_bound_
    np.testing.assert_array_equal(model.means_, plain.means_)
    assert model.n_iter_ <= max_iter
    assert "iterations" in str(message)
    assert model.ending_ is Ending.COINCIDENT


@types
def test_an_escape_that_max_iter_cuts_short_is_still_no_worse(covariance_type):
    X, _ = grid()
    bounds = []
    for max_iter in range(2, 12):
        model = fit(starting(X, np.ones((4, 2)), covariance_type, tol=0, max_iter=max_iter), X)
        assert model.n_iter_ <= max_iter
        bounds.append(model.lower_bound_)
    assert bounds[-1] > bounds[0]
    assert min(bounds) >= bounds[0] - 1e-12 * abs(bounds[0])


# -- the estimator's other parameters -----------------------------------------------------------
def test_the_best_of_several_starts_is_kept_after_its_escape():
    X, _ = grid()
    model = starting(X, np.ones((4, 2)), n_init=3)
    single = starting(X, np.ones((4, 2)))
    assert warned(model, X).components[0] == (0, 1, 2, 3)
    assert model.lower_bound_ >= fit(single, X).lower_bound_ - 1e-9
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-14, abs=0)


def test_a_start_that_is_sound_may_win_over_one_that_was_split():
    """Nothing is said of a coincidence in a start that was not kept."""
    X, corners = grid()
    answers = iter([np.full((len(X), 4), 0.25), corners])
    model = GaussianMixture(4, n_init=2, init_params=lambda *_: next(answers), random_state=0)
    stays = GaussianMixture(**{**model.get_params(), "break_symmetry": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error", EMWarning)
        stays.fit(X)
    np.testing.assert_allclose(in_order(stays.means_), in_order(corners), atol=0.35)


@types
def test_a_warm_start_from_coincident_components_escapes(covariance_type):
    X = question().rows
    model = own_start(covariance_type, warm_start=True, break_symmetry=False)
    warned(model, X)
    trapped = model.lower_bound_
    model.set_params(break_symmetry=True)
    warned(model, X)
    assert model.history_["objective"][0] == pytest.approx(trapped, rel=1e-13)
    np.testing.assert_allclose(in_order(model.means_), [[0, 0], [5, 5]], atol=0.1)


@types
def test_a_warm_start_after_an_escape_stays_there(covariance_type):
    X = question().rows
    model = own_start(covariance_type, warm_start=True)
    warned(model, X)
    escaped = model.lower_bound_
    with warnings.catch_warnings():
        warnings.simplefilter("error", EMWarning)
        model.fit(X)
    assert model.lower_bound_ >= escaped - 1e-12
    assert "escape" not in model.history_["event"]


@types
def test_float32_escapes_too(covariance_type):
    X, corners = grid(dtype=np.float32)
    model = starting(X, np.ones((4, 2)), covariance_type)
    warned(model, X)
    assert model.means_.dtype == np.float32
    np.testing.assert_allclose(in_order(model.means_), in_order(corners), atol=0.35)


def test_a_fit_that_was_split_survives_saving_and_pickling(tmp_path):
    import pickle

    X = question().rows
    model = own_start("full")
    warned(model, X)
    model.save(tmp_path / "model.json")
    for other in (
        GaussianMixture.load(tmp_path / "model.json"),
        pickle.loads(pickle.dumps(model)),
    ):
        np.testing.assert_array_equal(other.history_["event"], model.history_["event"])
        assert other.ending_ is model.ending_


# -- what is told of the way --------------------------------------------------------------------
STORIES = {
    "question": ("full", 2, {}),
    "question diag": ("diag", 2, {}),
    "to the last iteration": ("full", 4, {"tol": 0, "max_iter": 15}),
    "tied": ("tied", 4, {}),
    "spherical": ("spherical", 4, {"tol": 1e-8, "max_iter": 500}),
    "cut short": ("full", 4, {"max_iter": 6}),
    "cut in the trials": ("diag", 4, {"tol": 0, "max_iter": 5}),
}


def story(case, **more):
    covariance_type, K, rules = case
    X, _ = grid(2, K)
    return starting(X, np.ones((K, 2)), covariance_type, **rules, **more), X


@pytest.mark.parametrize("case", STORIES.values(), ids=STORIES)
def test_history_is_consistent_across_an_escape(case):
    model, X = story(case)
    fit(model, X)
    history = model.history_
    assert {len(values) for values in history.values()} == {model.n_iter_ + 1}
    assert history["objective"][1:].tolist() == model.lower_bounds_
    assert model.lower_bound_ == model.lower_bounds_[-1]
    assert model.lower_bound_ == pytest.approx(model.score(X), rel=1e-14, abs=0)
    assert model.n_iter_ <= model.max_iter
    events = history["event"].tolist()
    assert events[0] == "start"
    assert set(events[1:]) == {"step", "escape"}


@pytest.mark.parametrize("case", STORIES.values(), ids=STORIES)
def test_passes_of_an_escape_are_passes_made(case, spy):
    model, X = story(case)
    passes = fit(model, X).history_["passes"]
    assert (np.diff(passes) >= 1).all()
    assert passes[-1] == spy.passes


def test_passes_that_led_nowhere_are_counted(spy):
    X = np.repeat([[0.0], [1.0]], 50, axis=0)
    model = starting(X, np.full((2, 1), 0.5), "tied", reg_covar=10.0)
    passes = fit(model, X).history_["passes"]
    assert passes[-1] == spy.passes


@pytest.mark.parametrize("case", STORIES.values(), ids=STORIES)
def test_events_say_exactly_where_components_were_split(case):
    """Plain EM gives the objectives up to there, and EM from there on never falls."""
    model, X = story(case, reg_covar=0)
    fit(model, X)
    history = model.history_
    split = history["event"].tolist().index("escape")
    plain = fit(without_escape(model), X).history_["objective"]
    np.testing.assert_array_equal(history["objective"][:split], plain[:split])
    for part in np.split(history["objective"], [split]):
        assert (np.diff(part) >= -1e-12 * np.abs(part[1:])).all()
    assert history["objective"][split] != plain[min(split, len(plain) - 1)]


@types
def test_what_is_left_to_gain_is_of_the_part_after_the_escape(covariance_type):
    """As if the fit had begun there: the trap, before it, would make nonsense of the rate."""
    X = clusters(500, 2, 3, seed=2, spread=2.0)
    model = starting(X, np.ones((3, 2)), covariance_type, reg_covar=0, tol=1e-5, max_iter=400)
    fit(model, X)
    events = model.history_["event"].tolist()
    assert "escape" in events
    after = model.history_["objective"][len(events) - 1 - events[::-1].index("escape") :]
    first, second, third = after[-3:]
    rate = (third - second) / (second - first)
    assert model.remaining_gain_ == pytest.approx((third - second) * rate / (1 - rate))
    told = model.remaining_gain_
    left = fit(model.set_params(tol=1e-12, max_iter=3000), X).lower_bound_ - third
    assert left / 2 <= told <= 2 * left


def test_nothing_is_told_of_what_is_left_right_after_the_escape():
    model, X = story(("full", 4, {"tol": 0, "max_iter": 4}))
    events = fit(model, X).history_["event"].tolist()
    assert len(events) - events.index("escape") < 3
    assert np.isnan(model.remaining_gain_)


@pytest.mark.parametrize("case", STORIES.values(), ids=STORIES)
def test_an_end_without_convergence_is_told_too(case):
    model, X = story(case)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    said = [issubclass(w.category, ConvergenceWarning) for w in caught]
    assert sum(said) == (not model.converged_)


# -- the division of the statistics -------------------------------------------------------------
def written_out(statistics, family, k):
    """Mass, first and dense second moment of a component about zero, by parallel axes.

    Second moments only as far as the family's shape holds them.
    """
    centre, mass, drift = statistics.centres[k], statistics.counts[k], statistics.first_moment[k]
    matrix = mass * np.outer(centre, centre) + np.outer(centre, drift) + np.outer(drift, centre)
    kept = held(matrix, family)
    return mass, drift + mass * centre, kept if family.shared else kept + statistics.scatter[k]


def held(matrix, family):
    """What the family's shape holds of a matrix: itself, its diagonal or its trace."""
    kind = family.structure.outer(np.ones((1, len(matrix))))[0].ndim
    return (np.trace(matrix), np.diag(matrix), matrix)[kind]


def sums(statistics, family, members):
    parts = [written_out(statistics, family, k) for k in members]
    return [sum(part[i] for part in parts) for i in range(3)]


def a_division(family, groups, seed, reach=0.8):
    K, D = 6, 4
    random = np.random.default_rng(seed)
    X = clusters(300, D, 3, seed=seed)
    centres = random.normal(size=(K, D))
    before = statistics_in_long_form(X, some_responsibilities(len(X), K, seed), family, centres)
    em = em_of(ArraySource(X), Problem(family, K, 0.0))
    plans = [
        SplitPlan(random.dirichlet(np.ones(len(group))), random.normal(size=(len(group), D)))
        for group in groups
    ]
    return before, divide(before, em, groups, plans, reach), plans


GROUPS = [[(0, 1)], [(1, 4, 5)], [(0, 2), (1, 3, 4)], [(0, 1, 2, 3, 4, 5)]]


@families
@pytest.mark.parametrize("groups", GROUPS, ids=str)
@given(seed=st.integers(0, 2**16), reach=st.floats(0, 1))
@settings(max_examples=8, deadline=None)
def test_a_division_keeps_the_sums_of_each_group(family, groups, seed, reach):
    before, after, _ = a_division(family, groups, seed, reach)
    for group in groups:
        found, expected = sums(after, family, group), sums(before, family, group)
        if family.shared:  # no component's own second moments: they are told of all together
            found, expected = found[:2], expected[:2]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())
    everyone = range(len(before.counts))
    found, expected = sums(after, family, everyone), sums(before, family, everyone)
    if family.shared:
        found[2], expected[2] = found[2] + after.scatter, expected[2] + before.scatter
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())
    assert after.weight == before.weight
    assert after.log_likelihood == before.log_likelihood


@families
def test_a_division_leaves_the_other_components_alone(family):
    before, after, _ = a_division(family, [(1, 4, 5)], 3)
    own = before.about_means(family)
    for k in (0, 2, 3):
        assert after.counts[k] == before.counts[k]
        np.testing.assert_allclose(
            after.centres[k] + after.first_moment[k] / after.counts[k], own.centres[k], rtol=1e-12
        )
        if not family.shared:
            np.testing.assert_allclose(
                after.about_means(family).scatter[k], own.scatter[k], rtol=1e-10, atol=1e-10
            )


@families
@pytest.mark.parametrize("reach", [0.25, 1.0])
def test_members_go_where_they_were_placed(family, reach):
    before, after, (plan,) = a_division(family, [(0, 2, 3)], 5, reach)
    members = [0, 2, 3]
    mass, first, _ = sums(before, family, members)
    np.testing.assert_allclose(after.counts[members], mass * plan.proportions, rtol=1e-12)
    means = (after.centres + after.first_moment / after.counts[:, None])[members]
    np.testing.assert_allclose(means, first / mass + reach * plan.offsets, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("family", [f for f in FAMILIES.values() if is_unrestricted(f)], ids=str)
def test_the_m_step_of_a_division_has_the_whole_groups_moments(family):
    """The mixture that is split has the covariance, about its mean, of the one that was not."""
    X, _ = grid(3, 4)
    K = 4
    equal = np.full((len(X), K), 1 / K)
    statistics = statistics_in_long_form(X, equal, family)
    em = em_of(ArraySource(X), Problem(family, K, 0.0))
    plan = plan_along_axis(X, np.full(len(X), 1 / len(X)), K)
    divided = divide(statistics, em, [tuple(range(K))], [plan], 0.5)
    mixture = MStep(family, 0.0, np.dtype(float)).maximise(divided)
    mean = mixture.weights @ mixture.means
    np.testing.assert_allclose(mean, X.mean(axis=0), atol=1e-9)
    steps = mixture.means - mean
    between = np.einsum("k,ki,kj->ij", mixture.weights, steps, steps)
    within = np.einsum("k,kij->ij", mixture.weights, mixture.dense_covariances())
    found, expected = held(within + between, family), held(np.cov(X.T, ddof=0), family)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@families
@pytest.mark.parametrize("seed", range(3))
def test_every_split_that_is_proposed_is_definite_and_parts_the_group(family, seed):
    X, _ = grid(3, 4)
    em = em_of(ArraySource(X), Problem(family, 4, 0.0))
    equal = np.full((len(X), 4), 0.25)
    whole = em.m_step.maximise(statistics_in_long_form(X, equal, family))
    random = np.random.RandomState(seed)
    found = list(splits(em, whole, em.expect(whole), [(0, 1, 2, 3)], random))
    assert found
    for mixture in found:
        assert mixture.weights.sum() == pytest.approx(1)
        assert (np.linalg.eigvalsh(mixture.dense_covariances()) > 0).all()
        gaps = np.linalg.norm(mixture.means[:, None] - mixture.means, axis=2)
        assert gaps[~np.eye(4, dtype=bool)].min() > 0.1 * X.std()


def test_the_rows_of_a_group_are_those_that_its_members_hold():
    random = np.random.default_rng(0)
    rows, responsibilities = random.normal(size=(50, 2)), random.dirichlet([1, 1, 1], 50).T
    responsibilities[:, :30] = np.array([[0, 0, 1.0]]).T
    held, weights = rows_of_group((0, 1), rows, responsibilities)
    np.testing.assert_array_equal(held, rows[30:])
    expected = 1 - responsibilities[2, 30:]
    np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-12)
    responsibilities[:2] = 0
    held, weights = rows_of_group((0, 1), rows, responsibilities)
    np.testing.assert_array_equal(held, rows)
    np.testing.assert_array_equal(weights, np.full(50, 1 / 50))


@pytest.mark.parametrize("holed", [False, True])
def test_rows_that_stand_for_all_count_by_their_weights(holed):
    X = clusters(80, 2, 2, seed=3)
    X[::7, 1] = np.nan if holed else 0.0
    counts = np.random.default_rng(0).integers(1, 5, len(X)).astype(float)
    covariances = np.array([[[2, 0.5], [0.5, 1]], [[1, -0.3], [-0.3, 3]]])
    mixture = Mixture.of(np.array([0.3, 0.7]), X[[1, 2]], covariances, FAMILIES["full"])
    em = em_of(ArraySource(X, counts, complete=not holed), Problem(FAMILIES["full"], 2, 0.0))
    values, shares = sample_rows(em, mixture, np.random.RandomState(0))
    model = GaussianMixture.from_parameters(
        mixture.weights, mixture.means, covariances=mixture.covariances
    )
    np.testing.assert_allclose(shares, counts * model.predict_proba(X).T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(values, model.impute(X) if holed else X, rtol=1e-9)


def test_a_group_is_split_along_its_own_rows():
    """Clusters side by side along y, and others far along x that a third component holds."""
    X = np.concatenate([[[0, -3.0]], [[0, 3.0]], [[60, 0]], [[90, 0]]]).repeat(100, axis=0)
    X = X + np.random.default_rng(1).normal(size=X.shape)
    family = FAMILIES["full"]
    halves = np.repeat([[0.5, 0.5, 0], [0, 0, 1]], 200, axis=0)
    em = em_of(ArraySource(X), Problem(family, 3, 0.0))
    mixture = em.m_step.maximise(statistics_in_long_form(X, halves, family))
    first = next(splits(em, mixture, em.expect(mixture), [(0, 1)], np.random.RandomState(0)))
    step = np.abs(first.means[1] - first.means[0])
    spread = np.sqrt(2 / np.pi) * X[:200].std(axis=0)  # halves of a Gaussian lie so far out
    assert step[1] == pytest.approx(2 * 0.97 * spread[1], rel=0.01)
    assert step[0] < 0.1 * step[1]


@pytest.mark.parametrize("n_components", [2, 3, 4])
def test_as_many_rounds_of_splits_are_made_as_there_are_components(n_components, monkeypatch):
    """Each round gains, and components coincide again."""
    X = clusters(60, 2, 2)
    em = em_of(ArraySource(X), Problem(FAMILIES["full"], n_components, 0.0))
    shares = np.full((60, n_components), 1 / n_components)
    mixture = em.m_step.maximise(statistics_in_long_form(X, shares, FAMILIES["full"]))
    step = evaluate(em, mixture)
    rounds = []

    def stuck(objective):
        return Run(
            replace(step.completed(), objective=objective),
            [HistoryEntry(-9.0, 1, "start"), HistoryEntry(objective, 2, PLAIN)],
            converged=True,
            ending=Ending.COINCIDENT,
        )

    def best_split(_, ended, groups, report):
        rounds.append(ended.step.objective)
        return stuck(ended.step.objective + 1)

    monkeypatch.setattr(Multistart, "best_split", best_split)
    rules, random = Rules(1e-3, 100), np.random.RandomState(0)
    multistart = Multistart(em, Plain, rules, random, Recorder())
    ended = multistart.split_coincident(stuck(-5.0), Reporter())
    assert rounds == [-5.0 + t for t in range(n_components)]
    assert ended.step.objective == -5.0 + n_components
    assert ended.coincident == [tuple(range(n_components))] * n_components


@types
@pytest.mark.parametrize("max_iter", [6, 40])
def test_where_no_split_helps_em_goes_on_as_if_nothing_coincided(covariance_type, max_iter):
    """Under a ridge far above the data's variance no split gains; `tol` is never met."""
    X = 0.01 * np.random.default_rng(0).normal(size=(300, 2))
    X[:100, 0] += 0.05
    means = [[0, 0], [0, 0], [0.05, 0.0]]
    model = starting(X, means, covariance_type, reg_covar=1.0, tol=0, max_iter=max_iter)
    found, plain = fit(model, X), fit(without_escape(model), X)
    assert found.n_iter_ == plain.n_iter_
    np.testing.assert_array_equal(found.lower_bounds_, plain.lower_bounds_)
    np.testing.assert_array_equal(found.means_, plain.means_)
    np.testing.assert_array_equal(found.covariances_, plain.covariances_)


@given(seed=st.integers(0, 2**16), n_members=st.integers(2, 6), n_features=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_steps_of_a_place_balance(seed, n_members, n_features):
    random = np.random.default_rng(seed)
    shares = random.uniform(0.1, 3, size=n_members)
    plan = SplitPlan(shares / shares.sum(), random.normal(size=(n_members, n_features)))
    assert plan.proportions.sum() == pytest.approx(1)
    np.testing.assert_allclose(plan.proportions @ plan.offsets, 0, atol=1e-12)


def test_the_flattest_axis_is_that_of_two_clusters_and_not_the_longest():
    random = np.random.default_rng(0)
    X = random.normal(size=(2000, 3)) * [20, 1, 1]
    X[:1000, 1] += 8
    steps = plan_along_axis(X, np.full(2000, 1 / 2000), 2).offsets
    direction = np.abs(steps[1] - steps[0])
    assert direction.argmax() == 1
    assert direction[1] > 10 * direction[[0, 2]].max()


# -- hostile groups -----------------------------------------------------------------------------
@types
def test_a_group_on_equal_rows_has_nowhere_to_go_and_says_no_more_than_that(covariance_type):
    """Rows that the group does not hold lie infinitely many of its deviations away."""
    equal, others = np.zeros((50, 2)), 100 + np.random.default_rng(0).normal(size=(50, 2))
    X = np.concatenate([equal, others])
    model = starting(X, [[0, 0], [0, 0], [100, 100]], covariance_type)
    model.set_params(precisions_init=identity_precisions(covariance_type, 3, 2))
    plain = fit(without_escape(model), X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EMWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("error", RuntimeWarning)
        model.fit(X)
    assert model.lower_bound_ >= plain.lower_bound_ - 1e-9


@types
def test_a_group_that_holds_no_row_is_no_obstacle(covariance_type):
    """Two components far from all rows: starved, and equal to each other."""
    X = clusters(300, 2, 2)
    model = starting(X, [X[0], X[1], [1e6, 1e6], [1e6, 1e6]], covariance_type)
    plain = fit(without_escape(model), X)
    fit(model, X)
    assert np.isfinite(model.means_).all()
    assert model.lower_bound_ >= plain.lower_bound_


@types
def test_k_means_within_the_escape_keeps_its_warnings_to_itself(covariance_type):
    """Three components on two distinct rows, and a third row that is next to nothing to them."""
    X = np.concatenate([np.repeat([[-0.5, 0], [0.5, 0]], 25, axis=0), [[5.01, -0.01]]])
    model = starting(X, [[0, 0], [0, 0], [0, 0], [5, 0]], covariance_type)
    model.set_params(precisions_init=identity_precisions(covariance_type, 4, 2, scale=0.25))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    assert not [w for w in caught if "distinct clusters" in str(w.message)]


@types
@pytest.mark.parametrize("value", [0.0, 7.0, 1e4])
def test_a_constant_feature_is_no_obstacle(covariance_type, value):
    X, corners = grid()
    X = np.column_stack([X, np.full(len(X), value)])
    model = starting(X, [[1, 1, value]] * 4, covariance_type)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    assert {w.category for w in caught} == {CoincidentComponentsWarning}
    np.testing.assert_allclose(in_order(model.means_)[:, :2], in_order(corners), atol=0.35)
