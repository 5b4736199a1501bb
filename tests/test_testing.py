"""The contract checks: all members of the registries pass them, toys pass, broken ones fail."""

from __future__ import annotations

from dataclasses import dataclass, replace

import dask.array
import numpy as np
import pytest
from conftest import clusters
from toys import Exchangeable, Overrelaxed, slices

from emgmm import GaussianMixture, blocks, validation
from emgmm.acceleration import SCHEMES, Plain, em_step
from emgmm.covariances import DIAGONAL, FAMILIES, Family
from emgmm.initialization import STARTS, Labels
from emgmm.sources import ArraySource
from emgmm.testing import check_family, check_scheme, check_source, check_start

X = clusters(50, 3)
WITH_HOLES = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
WEIGHTS = np.arange(50.0) % 4


def source_of(rows, weights):
    return validation.source(GaussianMixture(), rows, weights, reset=True)


# -- the registries and the toys --------------------------------------------------------------------
@pytest.mark.all_cases
@pytest.mark.parametrize("family", [*FAMILIES.values(), Exchangeable()], ids=lambda f: f.name)
def test_families(family):
    check_family(family)


@pytest.mark.all_cases
@pytest.mark.parametrize("start", [*STARTS, slices])
def test_starts(start):
    check_start(start)


@pytest.mark.all_cases
@pytest.mark.parametrize("scheme", [*SCHEMES.values(), Overrelaxed])
def test_schemes(scheme):
    check_scheme(scheme)


# How rows and weights are passed, for each kind of source. The tests of devices have another one.
HOMES = {
    "ArraySource": lambda rows: rows,
    "BlocksSource": lambda rows: blocks([rows[:20], rows[20:21], rows[21:]]),
    "ClusterSource": lambda rows: dask.array.from_array(rows, chunks=(13, rows.shape[1])),
    "SlicedSource": lambda rows: rows.view(np.memmap),
}


@pytest.mark.all_cases
@pytest.mark.parametrize("kind", HOMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("rows", [X, WITH_HOLES], ids=["complete", "with holes"])
def test_sources(kind, rows, weights, dtype):
    rows = rows.astype(dtype)
    source = source_of(HOMES[kind](rows), weights)
    assert type(source).__name__ == kind
    check_source(source, rows, weights)


# -- broken members ---------------------------------------------------------------------------------
class Broken(Exchangeable):
    """A family in which one method or fact is replaced."""

    def __init__(self, **changes):
        super().__init__()
        vars(self).update(changes)


def too_large(self, scatter, counts, n_features, before=None):
    return Exchangeable.estimate(self, scatter, counts - 1, n_features)


def forgets_where_it_was(self, scatter, counts, n_features, before=None):
    return Exchangeable.estimate(self, scatter, counts, n_features) * (1 if before is None else 9)


def in_place(self, scatter, counts, n_features, before=None):
    scatter /= counts[:, None, None]
    return Exchangeable.estimate(self, scatter, np.ones(len(counts)), n_features)


def rounded(self, elements):
    return np.round(elements, 2)


class Unequal(Family):
    """Declared as shared, which its covariances are but for their last digits."""

    def __init__(self):
        super().__init__("unequal", DIAGONAL, shared=True)

    def estimate(self, scatter, counts, n_features, before=None):
        return np.multiply.outer(1 + 1e-9 * np.arange(len(counts)), scatter / counts.sum())

    def n_covariance_parameters(self, n_components, n_features):
        return n_features


class Restless(Exchangeable):
    """Its covariances are too large where those of the previous step are nearly the best."""

    def estimate(self, scatter, counts, n_features, before=None):
        best = super().estimate(scatter, counts, n_features)
        near = before is not None and np.abs(before - best).max() < 0.05 * best.max()
        return 1.5 * best if near else best


def of_the_others(self, scatter, counts, n_features, before=None):
    return Exchangeable.estimate(self, scatter + scatter[::-1], counts, n_features)


BROKEN_FAMILIES = {
    "is declared independent": (Broken, {"independent": True, "estimate": of_the_others}),
    "does not maximise the expected": (Broken, {"estimate": too_large}),
    "from which it starts": (Broken, {"estimate": forgets_where_it_was}),
    "modifies its arguments": (Broken, {"estimate": in_place}),
    "the sum of the statistics of two parts": (Broken, {"pool": rounded}),
    "declares 5 free parameters for n_components=1": (
        Broken,
        {"n_covariance_parameters": lambda *_: 5},
    ),
    "its element_shape is": (Broken, {"element_shape": lambda self, K, D: (K, D, 1)}),
    "is declared as shared": (Unequal, {}),
    "EM with .* decreases the likelihood": (Restless, {}),
    "is declared as closed under scaling": (Broken, {"closed_under_scaling": True}),
}


@pytest.mark.all_cases
@pytest.mark.parametrize("message", BROKEN_FAMILIES)
def test_a_broken_family_is_found(message):
    base, changes = BROKEN_FAMILIES[message]
    with pytest.raises(AssertionError, match=message):
        check_family(type("Changed", (base,), changes)())


def unwilling(rows, n_components, random_state):
    rows.flags.writeable = True
    rows[:] = 0.0
    return np.arange(len(rows)) % n_components


class Negative(Labels):
    """An assignment whose mixture has a negative weight."""

    def first_mixture(self, rows, m_step):
        mixture = super().first_mixture(rows, m_step)
        return replace(mixture, weights=mixture.weights - [1.0, 0.0, 0.0])


class Flat(Labels):
    """An assignment whose mixture has covariances with a negative variance."""

    def first_mixture(self, rows, m_step):
        mixture = super().first_mixture(rows, m_step)
        return replace(mixture, covariances=-mixture.covariances)


BROKEN_STARTS = {
    "gives no mixture from rows with missing values": lambda X, K, _: X[:K] + 0 * X[:, :1].sum(),
    "uses the global random numbers": lambda X, K, _: np.random.randint(K, size=len(X)),
    "different mixtures for the same": lambda X, K, _: np.random.default_rng().integers(
        K, size=len(X)
    ),
    "modifies the rows": unwilling,
}


@pytest.mark.parametrize("message", BROKEN_STARTS)
def test_a_broken_start_is_found(message):
    with pytest.raises(AssertionError, match=message):
        check_start(BROKEN_STARTS[message])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Negative, "gives weights"),
        (Flat, "gives 'full' covariances that are not positive definite"),
    ],
)
def test_a_broken_method_is_found(kind, message, monkeypatch):
    def start(rows, n_components, random):
        return kind(np.arange(len(rows.values)) % n_components, n_components)

    monkeypatch.setitem(STARTS, "kmeans", start)
    with pytest.raises(AssertionError, match=message):
        check_start("kmeans")


@dataclass(frozen=True, eq=False)
class Altered:
    """EM whose steps are altered by `change`, which sees the step before and the new one."""

    step: object

    def next(self, em, *, force_plain):
        following = em_step(em, self.step)
        if force_plain and not self.always:
            return type(self)(following)
        return type(self)(self.change(em, following))

    always = False


class Mutable(Altered):
    def next(self, em, *, force_plain):
        object.__setattr__(self, "step", em_step(em, self.step))
        return self


def relabelled(em, step):
    """The same mixture, the components of which change places."""
    mixture = step.mixture
    order = np.roll(np.arange(mixture.n_components), 1)
    index = order if not mixture.family.single else slice(None)
    other = replace(
        mixture,
        weights=mixture.weights[order],
        means=mixture.means[order],
        covariances=mixture.covariances[index],
        precisions_cholesky=mixture.precisions_cholesky[index],
    )
    statistics = em.expect(other)
    return replace(
        step.completed(),
        mixture=other,
        statistics=statistics,
        objective=em.objective(other, statistics),
        passes=em.passes,
        event="leap",
    )


def overshooting(em, step):
    mixture = replace(step.mixture, means=step.mixture.means + 1.0)
    statistics = em.expect(mixture)
    objective = em.objective(mixture, statistics)
    return replace(
        step.completed(),
        mixture=mixture,
        statistics=statistics,
        objective=objective,
        passes=em.passes,
    )


BROKEN_SCHEMES = {
    "does not begin with the step": lambda step: Plain(replace(step.completed(), event="leap")),
    "decreases the objective": type("Far", (Altered,), {"change": staticmethod(overshooting)}),
    "forced to be plain is not": type(
        "Stubborn", (Altered,), {"change": staticmethod(relabelled), "always": True}
    ),
    "does not end where plain EM rests": type(
        "Swapping", (Altered,), {"change": staticmethod(relabelled)}
    ),
    "reports .* passes over the rows": type(
        "Silent", (Altered,), {"change": lambda self, em, step: replace(step.completed(), passes=0)}
    ),
    "are not those of its mixture": type(
        "Boasting",
        (Altered,),
        {"change": lambda self, em, step: replace(step.completed(), objective=1e3)},
    ),
    "changes the state from which": Mutable,
}


@pytest.mark.all_cases
@pytest.mark.parametrize("message", BROKEN_SCHEMES)
def test_a_broken_scheme_is_found(message):
    with pytest.raises(AssertionError, match=message):
        check_scheme(BROKEN_SCHEMES[message])


class LosesARow(ArraySource):
    def blocks(self, size):
        yield from ArraySource(self.rows[:-1], self.weights[:-1]).blocks(size)


class CountsAll(ArraySource):
    def sum(self, function, size):
        return sum(map(function, self.blocks(size)))


class Forgetful(ArraySource):
    passes = 0

    def sum(self, function, size):
        self.passes += 1
        return super().sum(function, size) * (1 + 1e-11 * self.passes)


class Claims(ArraySource):
    def __init__(self, rows, weights):
        super().__init__(rows, weights)
        self.n_rows += 1

    def blocks(self, size):
        return ArraySource(self.rows, self.weights).blocks(size)


class Reversed(ArraySource):
    def each_row(self, *arguments):
        return super().each_row(*arguments)[::-1]


class Heads(ArraySource):
    def sample(self, limit, random):
        return super().sample(self.n_rows, random).take(np.arange(min(limit, self.n_rows)))


class Unweighted(ArraySource):
    def sample(self, limit, random):
        return replace(super().sample(limit, random), weights=None)


class Drawing(ArraySource):
    def sample(self, limit, random):
        found = super().sample(limit, random)
        random.randint(10)
        return found


BROKEN_SOURCES = {
    "are not those of the rows": [LosesARow, CountsAll],
    "differ between two passes": [Forgetful],
    "has 51 rows": [Claims],
    "in the order of the rows": [Reversed],
    "samples other rows": [Heads],
    "with other weights than their own": [Unweighted],
    "draws other random numbers": [Drawing],
}


@pytest.mark.all_cases
@pytest.mark.parametrize(
    ("message", "kind"), [(m, kind) for m, kinds in BROKEN_SOURCES.items() for kind in kinds]
)
def test_a_broken_source_is_found(message, kind):
    with pytest.raises(AssertionError, match=message):
        check_source(kind(X, WEIGHTS), X, WEIGHTS)
