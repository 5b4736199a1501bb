"""Fits to many rows, most steps of which are made on samples."""

from __future__ import annotations

from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
from conftest import clusters, fit, given_start
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal
from sklearn.base import clone

from emgmm import GaussianMixture, blocks
from emgmm.acceleration import SampleEM, em_step, evaluate
from emgmm.acceleration.sampled import CorrectedEM
from emgmm.attributes import mixture_of
from emgmm.covariances import FAMILIES
from emgmm.fitting import sampling
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.mixture import Mixture
from emgmm.sources import ArraySource, Rows
from emgmm.threads import one_blas_thread

X = clusters(20_000, 2, 3, spread=2.0)
WEIGHTS = np.random.default_rng(1).integers(0, 4, len(X)) * 0.5
NOISY = np.vstack([X, 12 * np.random.default_rng(3).random((1000, 2)) - 6])
HOLES = np.where(np.random.default_rng(2).random(X.shape) < 0.1, np.nan, X)


@pytest.fixture(autouse=True)
def many(monkeypatch):
    """Twenty thousand rows are many, and the samples have 2000 and 8000 of them."""
    monkeypatch.setattr(sampling, "START_FROM", 5000)
    monkeypatch.setattr(sampling, "START_ROWS", 2000)
    monkeypatch.setattr(sampling, "LARGEST_FRACTION", 0.5)


def events(model):
    return model.history_["event"].tolist()


CASES = {name: {"covariance_type": name} for name in FAMILIES if not FAMILIES[name].most_features}
CASES |= {
    "weights": {"sample_weight": WEIGHTS},
    "missing": {"X": HOLES},
    "missing and weights": {"X": HOLES, "sample_weight": WEIGHTS, "covariance_type": "VEE"},
    "uniform noise": {"X": NOISY, "noise": "uniform"},
    "prior": {"prior": "conjugate", "weight_concentration": 2.0},
    "ridge": {"reg_covar": 1e-3},
    "anderson": {"acceleration": "anderson"},
    "float32": {"X": X.astype(np.float32), "covariance_type": "diag"},
}


@pytest.mark.parametrize("case", list(CASES))
def test_samples_lead_to_a_maximum_in_fewer_passes(case):
    """EM that continues from there on all rows gains next to nothing."""
    case = {"X": X, "sample_weight": None, "reg_covar": 0.0} | CASES[case]
    rows, weights = case.pop("X"), case.pop("sample_weight")
    model = GaussianMixture(3, random_state=0, max_iter=1000, tol=1e-8, **case)
    sampled = fit(clone(model), rows, sample_weight=weights)
    assert events(sampled)[0] == "sample"
    assert sampled.converged_
    assert sampled.n_iter_ < 50
    reached = sampled.lower_bound_
    on = fit(sampled.set_params(warm_start=True, max_iter=100), rows, sample_weight=weights)
    assert "sample" not in events(on)
    assert abs(on.lower_bound_ - reached) < 1e-7


def test_the_objective_of_the_fit_is_the_likelihood_of_all_rows():
    model = fit(GaussianMixture(3, random_state=0), X)
    densities = [
        multivariate_normal(m, c).pdf(X)
        for m, c in zip(model.means_, model.covariances_, strict=True)
    ]
    expected = np.log(model.weights_ @ densities).mean()
    assert_allclose(model.lower_bound_, expected, rtol=1e-12)
    assert_allclose(model.score(X), expected, rtol=1e-12)


def test_nested_samples_of_all_levels():
    with one_blas_thread():
        em = em_of(ArraySource(X), Problem(FAMILIES["full"], 3))
    samples = sampling.Samples(em, 0)
    rows = [{row.tobytes() for row in samples[level].source.rows} for level in range(len(samples))]
    assert [len(each) for each in rows] == [2000, 8000]
    assert rows[0] < rows[1] < {row.tobytes() for row in X}


@pytest.mark.parametrize("tol", [1e-3, 1e-12])
def test_samples_are_drawn_when_they_are_needed_and_each_is_a_pass(tol, monkeypatch):
    made, sizes = [], []
    total, sample = ArraySource.sum, ArraySource.sample

    def counted(self, *arguments):
        made.append(self.n_rows)
        return total(self, *arguments)

    def drawn(self, limit, random):
        if self.n_rows == len(X):
            sizes.append(limit)
        return sample(self, limit, random)

    monkeypatch.setattr(ArraySource, "sum", counted)
    monkeypatch.setattr(ArraySource, "sample", drawn)
    model = fit(GaussianMixture(3, random_state=0, tol=tol), X)
    assert sizes == ([2000] if tol == 1e-3 else [2000, 8000])
    assert model.history_["passes"][-1] == made.count(len(X)) + len(sizes)


def em_and_reference(name, noise=None):
    em = em_of(ArraySource(NOISY), Problem(FAMILIES[name], 3, noise=noise))
    model = GaussianMixture(3, covariance_type=name, noise=noise, random_state=0, max_iter=20)
    return em, evaluate(em, mixture_of(fit(model, NOISY)))


def sample_of(em, size):
    return SampleEM(em, Rows(NOISY[:: len(NOISY) // size]))


def assert_same(one, other, family):
    one = one.about(other.centres, family)
    for name in ("counts", "first_moment", "scatter", "noise"):
        scale = np.abs(getattr(other, name)).max()
        assert_allclose(getattr(one, name), getattr(other, name), atol=1e-11 * scale)


families = pytest.mark.parametrize("name", ["full", "tied", "VVE", "VII"])


@families
@pytest.mark.parametrize("noise", [None, "uniform"])
def test_corrected_statistics_are_exact_at_the_reference(name, noise):
    with one_blas_thread():
        em, reference = em_and_reference(name, noise)
        corrected = CorrectedEM(sample_of(em, 2000), reference)
        assert_same(corrected.expect(reference.mixture), reference.statistics, em.family)


@families
def test_corrected_statistics_of_all_rows_are_exact_everywhere(name):
    with one_blas_thread():
        em, reference = em_and_reference(name)
        corrected = CorrectedEM(sample_of(em, len(NOISY)), reference)
        step = em_step(em, em_step(em, reference))
        assert_same(corrected.expect(step.mixture), step.statistics, em.family)


@families
def test_corrected_statistics_are_far_better_than_those_of_the_sample(name):
    with one_blas_thread():
        em, reference = em_and_reference(name)
        sample = sample_of(em, 2000)
        mixture = em_step(em, reference).mixture
        exact = em.expect(mixture).counts
        error = np.abs(sample.expect(mixture).counts - exact).max()
        corrected = np.abs(CorrectedEM(sample, reference).expect(mixture).counts - exact).max()
        assert corrected < 0.1 * error


def test_sums_of_a_sample_that_overflow_when_they_are_scaled_are_not_finite():
    rows = 1e120 * NOISY  # whose squares are about 1e241
    mixture = Mixture.of(np.ones(1), np.zeros((1, 2)), 1e241 * np.ones((1, 2)), FAMILIES["VVI"])
    with one_blas_thread(), np.errstate(all="raise"):
        em = em_of(ArraySource(np.tile(rows[:2], (2, 1))), Problem(FAMILIES["VVI"], 1))
        sample = SampleEM(em, Rows(rows[:2]))
        sample.scale = 1e80
        statistics = sample.expect(mixture)
    assert not statistics.is_finite


@families
@pytest.mark.parametrize("noise", [None, "uniform"])
def test_steps_with_corrected_statistics_do_not_decrease_their_objective(name, noise):
    with one_blas_thread():
        em, reference = em_and_reference(name, noise)
        corrected = CorrectedEM(sample_of(em, 2000), reference)
        steps = [evaluate(corrected, reference.mixture)]
        for _ in range(30):
            steps.append(em_step(corrected, steps[-1]))
        objectives = [step.objective for step in steps]
        assert np.diff(objectives).min() > -1e-12
        # EM for the sample alone has another limit, at which this objective is lower.
        own = evaluate(sample_of(em, 2000), reference.mixture)
        for _ in range(30):
            own = em_step(sample_of(em, 2000), own)
        assert evaluate(corrected, own.mixture).objective < objectives[-1]


def test_any_source_of_the_same_rows_gives_the_same_fit(tmp_path):
    model = GaussianMixture(3, random_state=0, tol=1e-6)
    whole = fit(clone(model), X)
    path = tmp_path / "rows.npy"
    np.save(path, X)
    pieces = blocks(lambda: iter(np.array_split(X, 7)))
    for rows in (pieces, da.from_array(X, chunks=(1111, 2)), np.load(path, mmap_mode="r")):
        other = fit(clone(model), rows)
        assert events(other) == events(whole)
        assert_allclose(other.means_, whole.means_, rtol=1e-7)
        assert_allclose(other.covariances_, whole.covariances_, rtol=1e-7)


OFF = {
    "asked for": {"sampling": None},
    "few iterations": {"max_iter": 9},
    "all given": given_start(X, 3, "full"),
    "labels": {"init_params": np.arange(len(X)) % 3},
}


@pytest.mark.parametrize("case", list(OFF))
def test_no_samples(case):
    model = fit(GaussianMixture(**{"n_components": 3, "random_state": 0, **OFF[case]}), X)
    assert events(model)[0] == "start"
    assert "sample" not in events(model)


def test_few_rows_have_no_samples():
    model = GaussianMixture(3, random_state=0)
    few = fit(clone(model), X[:5000])
    assert "sample" not in events(few)
    alone = fit(model.set_params(sampling=None), X[:5000])
    np.testing.assert_array_equal(few.means_, alone.means_)


def test_rare_rows_that_no_sample_contains():
    """A feature that is constant in the samples: EM starts on all rows."""
    rows = np.column_stack([X, np.zeros(len(X))])
    rows[::10_000, 2] = [1.0, 2.0]
    model = fit(GaussianMixture(2, reg_covar=0.0, random_state=0, covariance_type="tied"), rows)
    assert events(model)[0] == "start"
    assert model.covariances_[2, 2] > 1e-4


def test_several_starts_are_compared_on_the_sample():
    model = fit(GaussianMixture(3, random_state=0, n_init=4, init_params="random"), X)
    assert len(model._starts["objective"]) == 4
    passes = model.history_["passes"]
    assert passes[0] == 3  # the summary, the draw of the samples, the first mixture
    assert all(before < after for before, after in pairwise(passes))


def test_identical_components_are_separated_on_the_sample():
    model = GaussianMixture(3, random_state=0, means_init=np.zeros((3, 2)), init_params="random")
    model = fit(model, X)
    assert events(model)[0] == "sample"
    assert model.lower_bound_ > fit(GaussianMixture(1), X).lower_bound_ + 0.1
