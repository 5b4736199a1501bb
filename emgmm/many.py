"""`fit_many`: fits of the same estimator to many small data sets."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import dataclass
from itertools import islice, pairwise
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import BaseEstimator, clone

from emgmm import attributes, validation
from emgmm.callbacks import has_callbacks
from emgmm.constraints import Given
from emgmm.estep.dispatch import COMPILED_FROM
from emgmm.estep.stacked import StackedRows, stacked_kind
from emgmm.estimator import GaussianMixture
from emgmm.exceptions import EMWarning, issue
from emgmm.fitting.attributes import attributes_of_run
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.messages import not_converged, stopped_early
from emgmm.fitting.multistart import first_mixture
from emgmm.fitting.problem import Problem, given_of, options_of, problem_of
from emgmm.fitting.recorder import outcome_of
from emgmm.fitting.stacked import can_be_stacked, fit_stacked
from emgmm.initialization import Start, start_of
from emgmm.mixture import Mixture
from emgmm.parameters import check_parameters, generator
from emgmm.sources import KINDS, ArraySource, Blocks
from emgmm.sources.conversion import as_rows, as_weights
from emgmm.sources.frames import evaluated
from emgmm.sources.tables import column_labels, select
from emgmm.threads import in_order, one_blas_thread
from emgmm.tolerances import checked_afterwards

# Largest number of entries of the rows of a data set that is fitted together with others. For
# larger ones, separate fits, which use several threads, are as fast.
LARGEST = 2**18

# Smallest number of rows of a data set in a stack, relative to the largest one. The rows of smaller
# data sets are padded, so that at most a quarter of the computation is for padding.
LEAST_ROWS = 0.75


@dataclass(frozen=True)
class FitFailure:
    """A data set of `fit_many` that could not be fitted.

    Parameters
    ----------
    index : int
        Position of the data set, from 0.
    error : Exception
        Error that `fit` raised.
    """

    index: int
    error: Exception


class Job(NamedTuple):
    """A data set: its position, its rows and their weights."""

    number: int
    X: Any
    sample_weight: Any


Found = list[tuple[int, Warning]]
Ready = tuple[ArraySource, Mixture]


def fit_many(
    estimator: BaseEstimator,
    Xs: Any,
    *,
    sample_weights: Any = None,
    columns: bool = False,
    n_jobs: int | None = None,
) -> list[Any]:
    """Fit an estimator to each of many data sets.

    Each result is that of ``clone(estimator).fit(X)`` for the data set, up to rounding. Small data
    sets are fitted together, which takes less time than separate fits.

    Parameters
    ----------
    estimator : estimator
        Estimator that is cloned for each data set, such as `GaussianMixture`. It remains unchanged.
    Xs : iterable of (n_samples, n_features) array-likes, (n_problems, n_samples, n_features) \
            array, or table
        Data sets, which may have different numbers of rows. If `columns` is true, a table of shape
        (n_samples, n_problems), such as an array or a DataFrame.
    sample_weights : sequence of array-likes or None, default=None
        Weights of the rows of each data set, or None for weights of 1. If `columns` is true, one
        array of shape (n_samples,), which applies to all columns.
    columns : bool, default=False
        Whether each column of the table `Xs` is a data set with one feature.
    n_jobs : int, default=None
        Number of processes among which the data sets are divided; None means 1, unless joblib's
        ``parallel_config`` sets another number, and -1 all cores. More than one is faster if most
        of the time is spent on initializations or on separate fits. The results do not depend on
        it, unless ``random_state`` is None.

    Returns
    -------
    list
        For each data set a fitted clone of the estimator, or a `FitFailure` with the position of
        the data set and the error. A failure has no influence on the others.

    Raises
    ------
    ValueError
        If a parameter of `GaussianMixture` is invalid, if `Xs` is an array that does not have three
        dimensions, or if the number of weights is wrong.
    TypeError
        If `Xs` is a table and `columns` is false, or if it is `blocks`.

    Warns
    -----
    UserWarning
        Warnings of the fits, one of each class. The attribute ``problems`` of a warning is a
        dictionary from the positions of the data sets concerned to the warning of each.

    Notes
    -----
    Data sets are fitted together if the estimator is a `GaussianMixture`, not an instance of a
    subclass, with plain EM, ``n_init=1``, a covariance type in which the components are independent
    of each other or share one covariance (full, tied, diag, spherical and mclust's names of these,
    EII and EEI), and without prior, noise, constraints, acceleration, checkpoint, or output of the
    progress. All others are fitted separately, one after the other in each process. This includes
    data sets with missing values, with more than 2**18 values, or that are not arrays in memory,
    and fits with singular, collapsed, starved or coincident components or an imprecise computation.

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm import GaussianMixture, fit_many
    >>> random = np.random.default_rng(0)
    >>> X = random.normal(size=(200, 3)) + [0, 5, 10] * random.integers(2, size=(200, 1))
    >>> models = fit_many(GaussianMixture(2, random_state=0), X, columns=True)
    >>> [float(np.ptp(model.means_).round(1)) for model in models]
    [1.1, 5.1, 9.8]
    """
    template = clone(estimator)
    if isinstance(template, GaussianMixture):
        check_parameters(template)
    if isinstance(Xs, Blocks):
        raise TypeError("Xs is blocks, which are one data set: give a list of data sets.")
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral | None) or n_jobs == 0:
        raise ValueError(
            f"n_jobs must be None or a number of processes, -1 for all cores, but got {n_jobs!r}."
        )
    jobs = _jobs_of_columns(Xs, sample_weights) if columns else _jobs(Xs, sample_weights)
    n_parts = min(effective_n_jobs(n_jobs), max(1, len(jobs)))
    ends = [len(jobs) * i // n_parts for i in range(n_parts + 1)]
    parts = [jobs[start:stop] for start, stop in pairwise(ends)]
    if n_parts == 1:
        answers = [_fit_part(template, parts[0])]
    else:
        answers = Parallel(n_jobs=n_jobs)(delayed(_fit_part)(template, part) for part in parts)
    issue(_consolidated(warning for _, found in answers for warning in found))
    return [result for results, _ in answers for result in results]


# -- data sets ------------------------------------------------------------------------------------
def _jobs(Xs: Any, sample_weights: Any) -> list[Job]:
    """Return the jobs of separate data sets."""
    if column_labels(Xs) is not None:
        raise TypeError(
            "Xs is a table, not a list of data sets: set columns=True to fit each of its columns, "
            "or give [Xs]."
        )
    shape = getattr(Xs, "shape", None)
    if shape is not None and len(shape) != 3:
        raise ValueError(
            f"Xs is an array of shape {tuple(shape)}; expected (n_problems, n_samples, n_features) "
            "or a list of arrays: set columns=True if each column is a data set."
        )
    data = _listed(Xs, "Xs")
    weights = [None] * len(data)
    if sample_weights is not None:
        weights = _listed(sample_weights, "sample_weights")
    if len(weights) != len(data):
        raise ValueError(
            f"sample_weights has {len(weights)} entries, but there are {len(data)} data sets: give "
            "one array of weights, or None, for each."
        )
    return [Job(*each) for each in zip(range(len(data)), data, weights, strict=True)]


def _listed(values: Any, name: str) -> list[Any]:
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name} must have one entry for each data set, in their order, such as a list of "
            f"arrays, but is a {type(values).__name__}."
        )
    return list(values)


def _jobs_of_columns(table: Any, sample_weight: Any) -> list[Job]:
    """Return the jobs of the columns of a table."""
    table = evaluated(table)
    if column_labels(table) is not None:
        n_rows, width = table.shape
        data = [select(table, [column]) for column in range(width)]
    else:
        rows = as_rows(table)
        n_rows = len(rows)
        data = [column[:, None] for column in np.ascontiguousarray(rows.T)]
    if sample_weight is not None:
        sample_weight = as_weights(sample_weight)
        if sample_weight.shape != (n_rows,):
            raise ValueError(
                f"sample_weights has the shape {sample_weight.shape}, but the table has {n_rows} "
                "rows: with columns=True, give one weight for each row."
            )
    return [Job(index, X, sample_weight) for index, X in enumerate(data)]


def _copies(template: BaseEstimator) -> Iterator[BaseEstimator]:
    """Yield clones of a clone; those of the estimator of this package share their parameters.

    Only a generator of random numbers is copied, since fits change it.
    """
    while type(template) is not GaussianMixture:
        yield clone(template)
    while True:
        model = copy(template)
        if isinstance(template.random_state, np.random.RandomState):
            model.random_state = deepcopy(template.random_state)
        yield model


# -- fits -----------------------------------------------------------------------------------------
def _fit_part(template: BaseEstimator, jobs: Sequence[Job]) -> tuple[list[Any], Found]:
    """Fit all data sets in this process; return the results and the warnings."""
    copies, found = _copies(template), Found()
    results: list[Any] = [None] * len(jobs)
    if type(template) is GaussianMixture and jobs:
        models = list(islice(copies, len(jobs)))
        with one_blas_thread():
            for at, of_fit in _fit_together(models, jobs):
                results[at] = models[at]
                found += [(jobs[at].number, warning) for warning in of_fit]
    for at, job in enumerate(jobs):
        if results[at] is None:
            results[at], of_fit = _fit_alone(next(copies), job)
            found += [(job.number, warning) for warning in of_fit]
    return results, found


def _fit_alone(model: Any, job: Job) -> tuple[Any, list[Warning]]:
    """Return the fitted model or the failure, and the warnings of an ordinary fit."""
    weights = {} if job.sample_weight is None else {"sample_weight": job.sample_weight}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = model.fit(job.X, **weights)
        except Exception as error:
            result = FitFailure(job.number, error.with_traceback(None))
    return result, [each.message for each in caught if isinstance(each.message, Warning)]


def _fit_together(
    models: Sequence[Any], jobs: Sequence[Job]
) -> Iterator[tuple[int, list[Warning]]]:
    """Fit those data sets that can be stacked; yield their positions and the warnings of each."""
    first = models[0]
    if callable(first.init_params) or first.checkpoint is not None or first.verbose:
        return
    if has_callbacks(first):
        return
    if first.fixed is not None or first.equal_weights or first.order is not None:
        return
    problem, start = problem_of(first, Given()), start_of(first.init_params, noise=False)
    options = options_of(first, start, Given())
    if not can_be_stacked(problem, options):
        return
    ready: dict[int, Ready] = {}
    known: dict[Any, Any] = {}
    for at, (model, job) in enumerate(zip(models, jobs, strict=True)):
        with suppress(Exception):  # an ordinary fit will raise the same error
            found = _ready(model, job, problem, start, known)
            if found is not None:
                ready[at] = found
    structure, K = problem.family.structure, problem.n_components
    n_products = sum(
        source.n_rows * K * (1 + source.n_features + structure.n_monomials(source.n_features))
        for source, _ in ready.values()
    )

    def kind_for(n_features: int) -> type[StackedRows]:
        return stacked_kind(structure, K, n_features, n_products, COMPILED_FROM)

    @checked_afterwards
    def fit(stack: list[int]) -> list[tuple[int, list[Warning]]]:
        sources, mixtures = zip(*(ready[at] for at in stack), strict=True)
        kind, ended = kind_for(sources[0].n_features), []
        for number, run in fit_stacked(sources, mixtures, problem, options.rules, kind):
            fitted = {**attributes_of_run(run, (outcome_of(run),)), "_masks": {}}
            attributes.adopt(models[stack[number]], run.step.mixture, **fitted)
            of_fit: list[Warning] = [
                *(not_converged(run) or stopped_early(run, run.step.mixture.n_parameters))
            ]
            ended.append((stack[number], of_fit))
        return ended

    for ended in in_order(fit, _stacks(ready, K, kind_for)):
        yield from ended


def _ready(
    model: Any, job: Job, problem: Problem, start: Start, known: dict[Any, Any]
) -> Ready | None:
    """Return the source and the initial mixture of a data set, or None if it is fitted alone.

    `known` holds the given parameters for each number of features, and the initial mixtures that
    do not depend on the rows.
    """
    if any(kind.accepts(job.X) for kind in KINDS):
        return None
    source = validation.source(model, job.X, job.sample_weight, reset=True, least=2)
    if not isinstance(source, ArraySource) or not source.complete or source.rows.size > LARGEST:
        return None
    D = source.n_features
    if D not in known:
        known[D] = given_of(model, problem.family, D)
    given: Given = known[D]
    if not given.is_complete:
        with generator(model.random_state) as random:
            return source, first_mixture(em_of(source, problem), start, given, random)
    if (D, source.dtype) not in known:
        random = np.random.RandomState(0)  # not used
        known[D, source.dtype] = first_mixture(em_of(source, problem), start, given, random)
    return source, known[D, source.dtype]


def _stacks(
    ready: dict[int, Ready], n_components: int, kind_for: Callable[[int], type[StackedRows]]
) -> Iterator[list[int]]:
    """Divide data sets into stacks of the same type, number of features and nearly of rows."""

    def key(at: int) -> tuple[tuple[str, int], int]:
        source, _ = ready[at]
        return (source.dtype.char, source.n_features), -source.n_rows

    stack: list[int] = []
    for at in sorted(ready, key=key):
        if stack:
            same, most = key(stack[0])
            own, n_rows = key(at)
            entries = -most * n_components * (len(stack) + 1)
            limit = kind_for(own[1]).most_entries
            if own != same or n_rows > LEAST_ROWS * most or entries > limit:
                yield stack
                stack = []
        stack.append(at)
    if stack:
        yield stack


# -- warnings -------------------------------------------------------------------------------------
def _consolidated(found: Iterable[tuple[int, Warning]]) -> Iterator[Warning]:
    """Yield one warning of each class, with the data sets concerned and the warning of each."""
    problems: defaultdict[type[Warning], dict[int, Warning]] = defaultdict(dict)
    for index, warning in sorted(found, key=lambda pair: pair[0]):
        problems[type(warning)].setdefault(index, warning)
    for own in problems.values():
        told: Any = copy(next(iter(own.values())))
        told.args = (
            "This warning concerns the data sets that its attribute `problems` lists. The first of "
            f"them has the warning: {told}",
        )
        told.problems = own
        if isinstance(told, EMWarning):
            told.components = ()
        yield told
