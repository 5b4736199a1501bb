"""Labels: rows whose component is known keep it, and everything else is as without labels."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import clusters, fit, relative_error
from long_form import some_mixture, statistics_in_long_form
from mclust import HERE, classes, rows
from scipy.special import logsumexp
from sklearn import config_context
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emgmm import CoincidentComponentsWarning, GaussianMixture, blocks
from emgmm.acceleration import SCHEMES
from emgmm.covariances import FAMILIES
from emgmm.estep import CentredEStep, ExpandedEStep, MissingEStep
from emgmm.estep.compiled.estep import CompiledEStep, kernel
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.fitting.split import splits
from emgmm.sources import ArraySource
from emgmm.sources.block import Block
from emgmm.sources.known import LabelRules
from emgmm.summary import DataSummary

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
kinds = pytest.mark.parametrize("soft", [False, True], ids=["labels", "responsibilities"])

K = 3
X = clusters(240, 3, K, spread=2.0)
CLASSES = GaussianMixture(K, random_state=0).fit_predict(X)


def some_labels(labels, every=4):
    """Each fourth label; the others are not known."""
    return np.where(np.arange(len(labels)) % every == 0, labels, -1)


def some_responsibilities(n_rows=240, n_components=K, seed=0):
    """Responsibilities of a third of the rows."""
    random = np.random.default_rng(seed)
    found = random.dirichlet(np.ones(n_components), n_rows)
    found[random.random(n_rows) < 2 / 3] = np.nan
    return found


def given(soft):
    return some_responsibilities() if soft else some_labels(CLASSES)


MCLUST = json.loads((HERE / "mclust_ssc.json").read_text())


@pytest.mark.parametrize(
    ("case", "family"), [(i, name) for i in range(3) for name in MCLUST[i]["log_likelihoods"]]
)
def test_from_its_start_the_likelihoods_are_those_of_mclust(case, family):
    """Those of its iterations, and the one to which these converge.

    ``MclustSSC`` does not pass its argument ``control`` on, so that it stops at a gain of 1e-5 nats
    whatever the tolerance. The values of convergence come from ``mclust:::MclustSSC.fit``, which
    uses it, with a tolerance of 1e-13.
    """
    stored = MCLUST[case]
    table, own, K = rows(stored["data"]), classes(stored["data"]), stored["n_components"]
    labels, start = np.full(len(table), -1), np.full((len(table), K), 1 / K)
    labels[stored["known"]] = own[stored["known"]]
    start[stored["known"]] = np.eye(K)[own[stored["known"]]]
    model = GaussianMixture(K, covariance_type=family, reg_covar=0, tol=1e-12, init_params=start)
    fit(model.set_params(max_iter=1000), table, labels=labels)
    found = len(table) * np.array(model.lower_bounds_)
    expected = stored["log_likelihoods"][family]
    (stop,) = np.flatnonzero(np.abs(found - expected) < 1e-12 * np.abs(expected))[:1]
    assert found[stop] - found[stop - 1] < 1e-5
    assert found[-1] == pytest.approx(stored["converged"][family], rel=1e-10)


@families
@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_with_all_labels_is_one_m_step(family, weighted):
    table = X[:, :1] if family.most_features == 1 else X
    weights = np.random.default_rng(3).integers(0, 3, len(X)) if weighted else None
    model = GaussianMixture(
        K, covariance_type=family.name, init_params="random", random_state=5, tol=0
    )
    fitted = fit(model.set_params(max_iter=30), table, labels=CLASSES, sample_weight=weights)
    once = GaussianMixture(K, covariance_type=family.name, init_params=CLASSES, max_iter=0)
    expected = fit(once, table, sample_weight=weights)
    counts = np.bincount(CLASSES, weights)
    np.testing.assert_allclose(fitted.weights_, counts / counts.sum(), rtol=1e-12)
    if not family.name.startswith(("VE", "EVE", "VVE")):  # their M-step is iterative
        assert relative_error(fitted, expected) < 1e-10
    fit(model.set_params(max_iter=0), table, labels=CLASSES, sample_weight=weights)
    assert relative_error(model, expected) < 1e-10


def in_long_form(mixture, table, known):
    """Responsibilities and contributions of all rows, by the definition."""
    log_joint = mixture.log_joint(table)
    log_densities = logsumexp(log_joint, axis=1)
    responsibilities = np.exp(log_joint - log_densities[:, None])
    for i, value in enumerate(known):
        if np.ndim(value) == 0 and value >= 0:
            responsibilities[i] = np.eye(log_joint.shape[1])[value]
            log_densities[i] = log_joint[i, value]
        elif np.ndim(value) == 1 and not np.isnan(value).any():
            responsibilities[i] = value
            log_densities[i] = value @ log_joint[i]
    return responsibilities, log_densities


@kinds
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("e_step", [CentredEStep, ExpandedEStep, CompiledEStep, MissingEStep])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "VEV"])
@pytest.mark.all_cases
def test_every_e_step_keeps_what_is_known(name, e_step, weighted, soft):
    if e_step is CompiledEStep and kernel() is None:
        pytest.skip("the kernel is compiled by numba, which is not installed")
    family = FAMILIES[name]
    table, mixture = some_mixture(family)
    labels = np.random.default_rng(1).integers(-1, K, len(table))
    known = some_responsibilities(len(table)) if soft else labels
    weights = np.random.default_rng(2).random(len(table)) if weighted else None
    source = ArraySource(table, weights)
    source.attach_labels(known, LabelRules(K))
    (block,) = source.blocks(len(table))
    if e_step in (ExpandedEStep, CompiledEStep):
        own = e_step(mixture, DataSummary.of(table.T, family, weights))
    else:
        own = e_step(mixture)
    statistics = own.complete(own.sums(block))
    responsibilities, contributions = in_long_form(mixture, table, known)
    row_weights = np.ones(len(table)) if weights is None else weights
    expected = statistics_in_long_form(table, responsibilities * row_weights[:, None], family)
    found = statistics.about(expected.centres, family)
    for part in ("counts", "first_moment", "scatter"):
        own, other = getattr(found, part), getattr(expected, part)
        np.testing.assert_allclose(own, other, rtol=1e-10, atol=1e-10 * np.abs(other).max())
    assert statistics.log_likelihood == pytest.approx(contributions @ row_weights, rel=1e-12)


@kinds
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
def test_rows_with_missing_values_keep_what_is_known(name, soft):
    table, mixture = some_mixture(FAMILIES[name])
    random = np.random.default_rng(1)
    table = np.where(random.random(table.shape) < 0.3, np.nan, table)
    known = some_responsibilities(len(table)) if soft else random.integers(-1, K, len(table))
    block = Block(0, table.T, complete=False, known=LabelRules(K)(known))
    statistics = MissingEStep(mixture).sums(block)
    responsibilities, contributions = in_long_form(mixture, table, known)
    seen = np.logical_not(np.isnan(table).all(axis=1))
    assert not seen.all()
    assert statistics.log_likelihood == pytest.approx(contributions[seen].sum(), rel=1e-12)
    np.testing.assert_allclose(statistics.counts, responsibilities[seen].sum(axis=0), rtol=1e-12)


def test_labelled_components_start_from_their_rows_and_the_others_from_the_start():
    start = fit(GaussianMixture(K, random_state=0, max_iter=0), X)
    for cluster in range(K):
        labels = np.where(cluster == CLASSES, 1, -1)
        labels[np.flatnonzero(labels == 1)[9:]] = -1
        model = fit(GaussianMixture(K, random_state=0, max_iter=0), X, labels=labels)
        own = X[labels == 1].mean(axis=0)
        np.testing.assert_allclose(model.means_[1], own, rtol=1e-12)
        taken = np.linalg.norm(start.means_ - own, axis=1).argmin()
        np.testing.assert_array_equal(model.means_[[0, 2]], np.delete(start.means_, taken, axis=0))
        np.testing.assert_array_equal(model.weights_[1], start.weights_[taken])
        np.testing.assert_array_equal(model.covariances_[1], start.covariances_[taken])


@families
@kinds
@pytest.mark.parametrize("acceleration", list(SCHEMES))
def test_the_objective_never_falls(family, soft, acceleration):
    table = X[:, :1] if family.most_features == 1 else X
    holes = np.random.default_rng(0).random(table.shape) < 0.1
    weights = np.random.default_rng(1).integers(0, 3, len(X))
    model = GaussianMixture(K, covariance_type=family, noise="uniform", acceleration=acceleration)
    model.set_params(tol=1e-7, random_state=0, max_iter=200)
    fit(model, np.where(holes, np.nan, table), labels=given(soft), sample_weight=weights)
    bounds = np.array(model.lower_bounds_)
    assert (np.diff(bounds) > -1e-12 * np.abs(bounds[1:])).all()
    assert len(bounds) > 5


@kinds
def test_the_objective_is_that_of_the_definition(soft):
    labels = given(soft)
    weights = np.random.default_rng(1).random(len(X))
    model = fit(GaussianMixture(K, tol=1e-4), X, labels=labels, sample_weight=weights)
    contributions = in_long_form(model._mixture(), X, labels)[1]
    assert model.lower_bound_ == pytest.approx(np.average(contributions, weights=weights), 1e-12)
    mean = np.average(model.score_samples(X), weights=weights)
    assert model.score(X, sample_weight=weights) == pytest.approx(mean, 1e-12)
    assert model.score(X, sample_weight=weights) > model.lower_bound_ + 1e-3


@kinds
def test_nothing_known_is_a_fit_without_labels_from_the_same_start(soft):
    nothing = np.full((len(X), K), np.nan) if soft else np.full(len(X), -1)
    plain = fit(GaussianMixture(K, random_state=0), X)
    assert relative_error(fit(GaussianMixture(K, random_state=0), X, labels=nothing), plain) == 0


def test_hard_labels_are_responsibilities_of_zero_and_one():
    labels = some_labels(CLASSES)
    as_responsibilities = np.where(labels[:, None] < 0, np.nan, np.eye(K)[labels])
    one = fit(GaussianMixture(K, tol=1e-8), X, labels=labels)
    other = fit(GaussianMixture(K, tol=1e-8), X, labels=as_responsibilities)
    assert relative_error(one, other) < 1e-9


def test_labels_of_a_single_component_are_responsibilities_of_one():
    """Few rows are labelled, and some of these are empty."""
    rows = np.where(np.random.default_rng(0).random(X.shape) < 0.5, np.nan, X)
    labels = np.full(len(X), -1)
    labels[:8] = 0
    rows[:5] = np.nan
    one = fit(GaussianMixture(1, max_iter=3), rows, labels=labels)
    known = np.where(labels < 0, np.nan, 1.0)[:, None]
    other = fit(GaussianMixture(1, max_iter=3), rows, labels=known)
    np.testing.assert_array_equal(one.lower_bounds_, other.lower_bounds_)


def test_responsibilities_are_scaled_to_sum_to_one():
    known = some_responsibilities()
    one = fit(GaussianMixture(K, tol=1e-8), X, labels=known)
    other = fit(GaussianMixture(K, tol=1e-8), X, labels=known * (1 + 9e-7))
    assert relative_error(one, other) < 1e-12


@kinds
def test_components_have_the_numbers_of_their_labels(soft):
    order = np.array([2, 0, 1])
    labels = given(soft)
    moved = labels[:, order] if soft else np.where(labels < 0, -1, np.argsort(order)[labels])
    one = fit(GaussianMixture(K, tol=1e-8), X, labels=labels)
    other = fit(GaussianMixture(K, tol=1e-8), X, labels=moved)
    np.testing.assert_allclose(other.means_, one.means_[order], rtol=1e-8)


@kinds
def test_a_weight_is_a_number_of_rows(soft):
    counts = np.random.default_rng(7).integers(0, 4, size=len(X))
    labels = given(soft)
    one = fit(GaussianMixture(K, tol=1e-8), X, labels=labels, sample_weight=counts)
    other = fit(GaussianMixture(K, tol=1e-8), X.repeat(counts, 0), labels=labels.repeat(counts, 0))
    assert relative_error(one, other) < 1e-8


CUTS = list(pairwise((0, 50, 51, 150, len(X))))


def in_blocks(table, labels, folder):
    return blocks([table[a:b] for a, b in CUTS]), blocks([labels[a:b] for a, b in CUTS])


def in_blocks_and_memory(table, labels, folder):
    return in_blocks(table, labels, folder)[0], labels.tolist()


def in_file(table, labels, folder):
    mapped = np.memmap(folder / "rows", dtype=float, mode="w+", shape=table.shape)
    mapped[:] = table
    return mapped, labels


def in_dask(table, labels, folder):
    import dask.array as da

    return da.from_array(table, chunks=(70, 3)), da.from_array(labels, chunks=50)


def in_dask_of_unknown_lengths(table, labels, folder):
    import dask.array as da

    own = da.from_array(table, chunks=(70, 3))
    return own[da.arange(len(table), chunks=70) >= 0], labels


@kinds
@pytest.mark.parametrize("holed", [False, True])
@pytest.mark.parametrize(
    "form", [in_blocks, in_blocks_and_memory, in_file, in_dask, in_dask_of_unknown_lengths]
)
@pytest.mark.all_cases
def test_every_source_carries_labels(form, holed, soft, tmp_path):
    holes = np.random.default_rng(0).random(X.shape) < 0.1
    table, labels = np.where(holes & holed, np.nan, X), given(soft)
    model = GaussianMixture(K + (not soft), random_state=0, max_iter=20)
    expected = fit(model, table, labels=labels)
    own, beside = form(table, labels, tmp_path)
    model = GaussianMixture(K + (not soft), random_state=0, max_iter=20)
    assert relative_error(fit(model, own, labels=beside), expected) < 1e-9
    assert model.n_iter_ == expected.n_iter_


def test_further_components_find_what_has_no_label():
    labels = np.where((np.arange(len(X)) % 10 == 0) & (CLASSES < 2), CLASSES, -1)
    model = fit(GaussianMixture(K, tol=1e-6), X, labels=labels)
    assert np.mean(model.predict(X) == CLASSES) > 0.97
    # mclust gives the same responsibilities to all components of a row without a label.
    same = np.full((len(X), K + 1), 1 / (K + 1))
    known = labels >= 0
    same[known] = np.eye(K + 1)[labels[known]]
    model = GaussianMixture(K + 1, init_params=same, tol=1e-9, max_iter=500)
    with pytest.warns(CoincidentComponentsWarning):
        model.fit(X, labels=labels)
    assert np.linalg.norm(model.means_[2] - model.means_[3]) > 0.5
    stuck = fit(model.set_params(break_symmetry=False), X, labels=labels)
    assert np.linalg.norm(stuck.means_[2] - stuck.means_[3]) < 1e-6


@pytest.mark.parametrize("family", ["full", "tied", "VVI", "VEV"])
@pytest.mark.parametrize("corner", range(4))
def test_a_split_does_not_move_components_with_labels(family, corner):
    corners = np.array([[0.0, 0.0], [9.0, 1.0], [1.0, 12.0], [15.0, 17.0]])
    classes = np.repeat(range(4), 60)
    table = corners[classes] + np.random.default_rng(0).normal(size=(240, 2))
    labels = np.where((np.arange(240) % 10 == 0) & (classes == corner), 1, -1)
    source = ArraySource(table)
    source.attach_labels(labels, LabelRules(4))
    em = em_of(source, Problem(FAMILIES[family], 4))
    same = np.tile(table.mean(axis=0), (4, 1))
    start = GaussianMixture(4, covariance_type=family, max_iter=0, init_params=classes)
    mixture = replace(fit(start, table)._mixture(), means=same)
    statistics = em.expect(mixture)
    found = list(splits(em, mixture, statistics, [(0, 1, 2, 3)], np.random.RandomState(0)))
    assert len(found) == 4
    for split in found:
        np.testing.assert_array_equal(split.means[1], same[1])
    # The place in a plan that is closest to the labelled rows is that of the labelled component.
    for split in found[1:]:
        others = split.means[[0, 2, 3]] - corners[corner]
        assert np.linalg.norm(others, axis=1).min() > 4
    assert not list(splits(em, mixture, statistics, [(1,)], np.random.RandomState(0)))


def test_noise_has_the_number_after_the_components():
    far = np.full((5, 3), 40.0) + 7 * np.eye(5, 3)
    table = np.vstack([X, far])
    labels = np.append(some_labels(CLASSES), np.full(5, K))
    model = fit(GaussianMixture(K, noise="uniform", tol=1e-6), table, labels=labels)
    assert model.noise_weight_ > 4.99 / len(table)
    assert (model.predict(table)[-5:] == -1).all()
    soft = np.where(labels[:, None] < 0, np.nan, np.eye(K + 1)[labels])
    other = fit(GaussianMixture(K, noise="uniform", tol=1e-6), table, labels=soft)
    assert relative_error(model, other) < 1e-9


def test_an_array_as_start_overrides_the_labels():
    means = X[:3] + 0.1
    model = fit(GaussianMixture(K, init_params=means, max_iter=0), X, labels=given(soft=False))
    plain = fit(GaussianMixture(K, init_params=means, max_iter=0), X)
    assert relative_error(model, plain) == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.r_[CLASSES[:-1], K], "label of row 239, .* is 3: labels run from 0 to .* = 2, and -1"),
        (np.r_[-2, CLASSES[1:]], "label of row 0, counted from 0, is -2"),
        (CLASSES[:-1], "labels has 239 rows, but X has 240"),
        (CLASSES.astype(float), "labels has the type float64: give integers"),
        (CLASSES.astype(str), "labels has the type"),
        (CLASSES == 1, "labels has the type bool"),
        (np.ones((240, 2)) / 2, r"shape \(240, 2\) .* responsibilities of shape \(n_samples, 3\)"),
        (np.where(np.arange(240)[:, None] == 7, 0.5, np.eye(3)[CLASSES]), "of row 7, .*sum to one"),
        (
            np.where(np.arange(240)[:, None] == 7, [np.nan, 0, 1], np.eye(3)[CLASSES]),
            "responsibilities of row 7",
        ),
        (blocks([CLASSES]), "labels is blocks, but X is not"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.all_cases
def test_wrong_labels_are_refused(labels, message):
    model = fit(GaussianMixture(K), X)
    before = dict(vars(model))
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, labels=labels)
    assert vars(model) == before


@pytest.mark.parametrize("form", [np.asarray, lambda rows: blocks([rows[:50], rows[50:]])])
@kinds
def test_labels_of_an_impossible_component_are_refused(form, soft):
    """The objective would be minus infinity."""
    labels = np.where(np.arange(240) == 120, 1, -1)
    labels[60:62] = 1
    weights, holed = np.ones(240), X.copy()
    weights[61], holed[60] = 0, np.nan  # the labels of these rows have no effect
    if soft:
        labels = np.where(labels[:, None] < 0, np.nan, [0.5, 0.5])
    zero = {"fixed": {"weights": [False, True]}, "weights_init": [1.0, 0.0]}
    silent = {"noise": lambda rows: np.full(len(rows), -np.inf)}
    model = GaussianMixture(2, random_state=0, tol=0.1, **zero)
    with pytest.raises(ValueError, match=r"component 1 is fixed at 0, but rows .* by labels"):
        model.fit(form(holed), sample_weight=form(weights), labels=labels)
    assert not hasattr(model, "n_features_in_")
    without = np.arange(240) != 120
    fit(model, holed[without], sample_weight=weights[without], labels=labels[without])
    model = GaussianMixture(1, random_state=0, **silent)
    with pytest.raises(ValueError, match=r"Row 120 of X, .* belongs by labels to a component"):
        model.fit(form(holed), sample_weight=form(weights), labels=labels)
    assert not hasattr(model, "n_features_in_")


@kinds
@pytest.mark.parametrize("order", ["mean", "weight"])
def test_an_order_would_renumber_the_components_of_the_labels(order, soft):
    model = GaussianMixture(K, order=order)
    with pytest.raises(ValueError, match=f"order='{order}' would renumber .* labels refer"):
        model.fit(X, labels=given(soft))
    assert not hasattr(model, "n_features_in_")
    fit(model, X)


def test_wrong_labels_in_blocks_name_their_row():
    own = blocks([X[a:b] for a, b in CUTS])
    wrong = np.where(np.arange(len(X)) == 120, 9, CLASSES)
    beside = blocks([wrong[a:b] for a, b in CUTS])
    with pytest.raises(ValueError, match="label of row 120, counted from 0, is 9"):
        GaussianMixture(K).fit(own, labels=beside)
    beside = blocks([CLASSES[:50], CLASSES[50:]])
    with pytest.raises(ValueError, match=r"Block 1, .* X has 1 rows, but labels has 190"):
        GaussianMixture(K).fit(own, labels=beside)
    with pytest.raises(ValueError, match="labels has 239 rows, but X has"):
        GaussianMixture(K).fit(own, labels=CLASSES[:-1])


def test_masked_labels_are_not_known():
    labels = some_labels(CLASSES)
    masked = np.ma.masked_array(CLASSES, mask=labels < 0)
    one = fit(GaussianMixture(K), X, labels=labels)
    assert relative_error(one, fit(GaussianMixture(K), X, labels=masked)) == 0


def test_masked_rows_of_responsibilities_in_a_list_are_not_known():
    hidden = some_labels(CLASSES) < 0
    shares = np.eye(K)[CLASSES]
    shares[hidden] = np.roll(shares[hidden], 1, axis=1)  # wrong, as nobody should notice
    rows = [np.ma.array(row, mask=[off] * K) for row, off in zip(shares, hidden, strict=True)]
    lists = [[np.ma.masked] * K if off else [*row] for row, off in zip(shares, hidden, strict=True)]
    one = fit(GaussianMixture(K), X, labels=np.where(hidden[:, None], np.nan, shares))
    for labels in (rows, lists):
        assert relative_error(one, fit(GaussianMixture(K), X, labels=labels)) == 0
    with pytest.raises(ValueError, match="responsibilities of row 0"):
        GaussianMixture(K).fit(X, labels=[[np.ma.masked, 0.0, 1.0], *np.eye(K)[CLASSES[1:]]])


def test_labels_are_routed():
    with config_context(enable_metadata_routing=True):
        model = GaussianMixture(K, random_state=0).set_fit_request(labels=True)
        piped = make_pipeline(StandardScaler(), model)
        labels = some_labels(CLASSES)
        piped.fit(X, labels=labels)
        direct = fit(GaussianMixture(K), StandardScaler().fit_transform(X), labels=labels)
        assert relative_error(piped[-1], direct) == 0
        found = cross_validate(model, X, params={"labels": labels}, return_estimator=True, cv=2)
        half = fit(GaussianMixture(K), X[120:], labels=labels[120:])
        assert relative_error(found["estimator"][0], half) == 0


def test_fit_predict_takes_labels():
    labels = some_labels((CLASSES + 1) % K)
    model = GaussianMixture(K)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.fit_predict(X, labels=labels)
    np.testing.assert_array_equal(found, model.predict(X))
    assert np.mean(found == (CLASSES + 1) % K) > 0.97


def test_a_checkpoint_knows_the_labels(tmp_path, monkeypatch):
    path = tmp_path / "fit.npz"
    labels = given(soft=False)
    settings = {"n_init": 2, "init_params": "random", "random_state": 0, "max_iter": 4}
    whole = fit(GaussianMixture(4, **settings), X, labels=labels)
    n_passes = int(whole.history_["passes"][-1])
    plain, calls = ArraySource.sum, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return plain(self, *arguments)

    model = GaussianMixture(4, checkpoint=path, checkpoint_every=0, **settings)
    for stop in range(3, n_passes):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(ArraySource, "sum", interrupted)
            with pytest.raises(KeyboardInterrupt):
                fit(model, X, labels=labels)
        if stop == 8:
            other = np.where(np.arange(len(X)) == 3, 1, labels)
            for wrong in (None, other, some_responsibilities(n_components=4)):
                with pytest.raises(ValueError, match="another X, sample_weight, labels or order"):
                    fit(model, X, labels=wrong)
        fit(model, X, labels=labels)
        assert relative_error(model, whole) == 0
        np.testing.assert_array_equal(model.history_["passes"], whole.history_["passes"])


@kinds
def test_a_diagnosis_takes_labels(soft):
    labels = given(soft)
    model = fit(GaussianMixture(K, tol=1e-12, max_iter=1000), X, labels=labels)
    found = model.diagnose(X, certify=True, labels=labels)
    assert found.verdict.name == "LOCAL_MAXIMUM"
    assert found.step < 1e-5
    responsibilities = in_long_form(model._mixture(), X, labels)[0]
    np.testing.assert_allclose(found.mass, responsibilities.sum(axis=0), rtol=1e-10)
    assert model.diagnose(X, certify=True).step > 1e-2
    with pytest.raises(ValueError, match="labels has 239 rows, but X has 240"):
        model.diagnose(X, labels=labels[1:])
    plain = fit(GaussianMixture(K), X)
    nothing = plain.diagnose(X, labels=np.full(len(X), -1))
    np.testing.assert_array_equal(nothing.mass, plain.diagnose(X).mass)
