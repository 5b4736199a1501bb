"""A seeded fuzzer: hostile inputs, judged by an oracle in long double precision and by laws.

Every case is a function of its number: `draw` makes a table, weights and parameters, `examine`
calls the package with them and returns the faults it finds. By hand::

    python -m tests.fuzz --minutes 60            # as many cases as an hour allows
    python -m tests.fuzz --case 1234             # one case, described

What is demanded of every call:

- it succeeds, or it raises one exception of ours: a ``raise`` statement of the package or of
  scikit-learn's validation, reached through no other library, with a sentence for a message;
- no warning but ours, and at most one of each class;
- a refused call changes neither the estimator nor what it was given;
- no floating-point exception: everything runs under ``np.errstate(all="raise")``.
"""

from __future__ import annotations

import argparse
import copy
import linecache
import math
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

import emgmm
from emgmm import EMWarning, GaussianMixture, GaussianMixtureIC, NormalInverseWishart, blocks
from emgmm.door import FailedBlockError, FailedFitError
from emgmm.families import FAMILIES
from emgmm.starts import STARTS

LONG = np.longdouble
EPS = np.finfo(float).eps
FAILED = object()  # what a call that raised returned

# -- drawing a case -------------------------------------------------------------------------------


@dataclass
class Case:
    """What a number stands for."""

    number: int
    kind: str
    rows: np.ndarray  # (N, D) float64, NaN where missing: what the table holds
    container: str
    table: object  # rows as they are handed over
    weights: object
    parameters: dict
    traits: set = field(default_factory=set)

    def __str__(self):
        shape = f"{self.kind}{sorted(self.traits)} {self.rows.shape} as {self.container}"
        weighed = "" if self.weights is None else f", weights {summarised(self.weights)}"
        return f"case {self.number}: {shape}{weighed}, {self.parameters}"


def summarised(weights):
    array = np.asarray(weights, dtype=float)
    return f"{np.unique(array)[:6]} of {array.dtype}"


def clusters(random, n, d):
    k = random.integers(1, 5)
    factors = random.normal(size=(k, d, d)) / 2 + np.eye(d)
    labels = random.integers(k, size=n)
    means = 10.0 ** random.uniform(-1, 1) * random.normal(size=(k, d))
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], random.normal(size=(n, d)))


def dyadic(random, n, d):
    """Multiples of 1/8, whose sums and products are exact."""
    return np.round(8 * clusters(random, n, d)) / 8


def duplicates(random, n, d):
    few = clusters(random, random.integers(1, 9), d)
    return few[random.integers(len(few), size=n)]


def one_hot(random, n, d):
    rows = np.eye(d)[random.integers(d, size=n)]
    return (
        rows
        if d < 3 or random.random() < 0.5
        else np.column_stack([clusters(random, n, 1), rows[:, 1:]])
    )


def collinear(random, n, d):
    rows = dyadic(random, n, d)
    rows[:, -1] = rows[:, :-1] @ random.integers(-2, 3, size=d - 1) if d > 1 else 1.0
    return rows


def totals(random, n, d):
    """Amounts with two decimals and their total, which rounding makes not quite exact."""
    rows = np.round(100 * random.lognormal(size=(n, d))) / 100
    rows[:, -1] = rows[:, :-1].sum(axis=1) if d > 1 else 1.0
    return rows


def repeated_column(random, n, d):
    rows = clusters(random, n, d)
    rows[:, -1] = rows[:, 0] if d > 1 else 1.0
    return rows


def constant_column(random, n, d):
    rows = clusters(random, n, d)
    rows[:, random.integers(d)] = random.choice([0.0, 1.0, -3.7, 0.1, 1e8])
    return rows


def heavy(random, n, d):
    return random.standard_t(1, size=(n, d))


def outlier(random, n, d):
    rows = clusters(random, n, d)
    rows[random.integers(n)] *= 10.0 ** random.uniform(3, 12)
    return rows


TABLES = {
    "clusters": clusters,
    "integers": lambda random, n, d: np.round(clusters(random, n, d)),
    "duplicates": duplicates,
    "one_hot": one_hot,
    "collinear": collinear,
    "totals": totals,
    "repeated_column": repeated_column,
    "constant_column": constant_column,
    "heavy": heavy,
    "outlier": outlier,
}
# Tables that have no full-rank covariance, but for rounding; those whose columns do not all vary.
SINGULAR = {"collinear", "totals", "repeated_column", "constant_column"}


def draw(number):
    """The case with that number."""
    random = np.random.default_rng(number)
    k = int(random.integers(1, 6))
    d = int(random.choice([1, 2, 3, 4, 8], p=[0.2, 0.3, 0.25, 0.15, 0.1]))
    few = random.random() < 0.15
    n = int(max(1, random.integers(k - 1, k + 3) if few else random.integers(2, 301)))
    kind = str(
        random.choice(list(TABLES), p=[0.25, 0.1, 0.1, 0.08, 0.1, 0.07, 0.05, 0.07, 0.08, 0.1])
    )
    rows, traits = TABLES[kind](random, n, d), set()
    if random.random() < 0.12:
        traits.add("units")
        most = 498 if random.random() < 0.25 else 30  # 1e150, or 1e9
        rows = rows * 2.0 ** random.integers(-most, most + 1, size=d)
    elif random.random() < 0.1:
        traits.add("offset")
        rows = rows + 10.0 ** random.uniform(2, 9) * rows.std(axis=0)
    if random.random() < 0.35 and rows.size > 1:
        traits.add("missing")
        rows = with_holes(random, rows)
    container, table, rows = handed_over(random, rows)
    weights = drawn_weights(random, n) if random.random() < 0.35 else None
    return Case(number, kind, rows, container, table, weights, parameters(random, k, rows), traits)


def with_holes(random, rows):
    rows = rows.copy()
    how = random.choice(["mcar", "rows", "pattern", "column", "sparse"])
    if how in ("mcar", "sparse"):
        rows[
            random.random(rows.shape) < (0.8 if how == "sparse" else random.uniform(0.01, 0.4))
        ] = np.nan
    elif how == "rows":
        rows[random.random(len(rows)) < 0.2] = np.nan
    elif how == "pattern":
        rows[: len(rows) // 2, : rows.shape[1] // 2] = np.nan
    else:
        rows[random.random(len(rows)) < 0.5, random.integers(rows.shape[1])] = np.nan
    return rows


def handed_over(random, rows):
    """The name of a container, the table in it, and what it holds in float64."""
    finite = rows[np.isfinite(rows)]
    whole = (
        len(finite) == rows.size
        and (finite == np.round(finite)).all()
        and (np.abs(finite) < 1e9).all()
    )
    if whole and random.random() < 0.5:
        kind = (
            "bool" if np.isin(rows, [0, 1]).all() else random.choice(["int64", "int32", "object"])
        )
        return str(kind), rows.astype(kind), rows
    if random.random() < 0.15 and (len(finite) == 0 or np.abs(finite).max() < 1e15):
        single = rows.astype(np.float32)
        return "float32", single, single.astype(float)
    kind = str(
        random.choice(
            ["array", "fortran", "strided", "readonly", "list", "frame", "memmap", "blocks"],
            p=[0.4, *[0.6 / 7] * 7],
        )
    )
    return kind, contained(kind, rows), rows


def contained(kind, rows):
    if kind == "fortran":
        return np.asfortranarray(rows)
    if kind == "strided":
        wide = np.full((2 * len(rows), rows.shape[1] + 1), np.nan)
        wide[::2, 1:] = rows
        return wide[::2, 1:]
    if kind == "readonly":
        table = rows.copy()
        table.flags.writeable = False
        return table
    if kind == "list":
        return rows.tolist()
    if kind == "frame":
        import pandas as pd

        return pd.DataFrame(rows, columns=[f"column {j}" for j in range(rows.shape[1])])
    if kind == "memmap":
        with tempfile.TemporaryDirectory() as folder:  # the mapping outlives the name
            np.save(Path(folder) / "rows.npy", rows)
            return np.load(Path(folder) / "rows.npy", mmap_mode="r")
    if kind == "blocks":
        return blocks([rows[: len(rows) // 3], rows[len(rows) // 3 :]])
    return rows


def drawn_weights(random, n):
    kinds = ["counts", "fractions", "some", "float32", "list", "tiny", "huge", "subnormal", "wide"]
    kind = random.choice(kinds, p=[0.25, 0.2, 0.2, 0.1, 0.1, 0.04, 0.04, 0.03, 0.04])
    counts = random.integers(0, 4, size=n)
    counts[random.integers(n)] = 1
    if kind == "counts":
        return counts
    uniform = random.uniform(0.1, 2.0, size=n)
    if kind == "some":
        return np.where(counts > 0, uniform, 0.0)
    if kind == "float32":
        return (counts * random.choice([1.0, 1e36])).astype(np.float32)
    if kind == "list":
        return counts.tolist()
    if kind == "wide":
        return 10.0 ** random.uniform(-300, 300, size=n)
    return (
        uniform
        * {"fractions": 1.0, "tiny": 1e-310, "huge": 1e306 / n, "subnormal": 5e-324}[str(kind)]
    )


def noise_by_function(rows):
    return np.full(len(rows), -20.0)


def parameters(random, k, rows):
    """Keyword arguments of an estimator, all of them legal."""
    d = rows.shape[1]
    names = [name for name, family in FAMILIES.items() if family.most_features in (None, d)]
    finite = rows[np.isfinite(rows)]
    with np.errstate(all="ignore"):
        large = 10 * float(finite.std() ** 2) if finite.size else 1.0
    chosen = {
        "n_components": k,
        "covariance_type": str(random.choice(names)),
        "random_state": int(random.integers(1000)),
        "max_iter": int(random.choice([0, 1, 2, 5, 20, 100], p=[0.04, 0.06, 0.1, 0.2, 0.4, 0.2])),
    }
    ridge = random.choice(["default", "0", "large", "tiny"], p=[0.42, 0.42, 0.08, 0.08])
    if ridge != "default":
        chosen["reg_covar"] = {"0": 0, "large": min(large, 1e300), "tiny": 1e-300}[str(ridge)]

    def sometimes(share, name, *values):
        if random.random() < share:
            chosen[name] = values[random.integers(len(values))]

    sometimes(0.6, "init_params", *STARTS)
    sometimes(0.2, "n_init", 2, 3)
    sometimes(0.3, "tol", 0, 1e-8, 0.1, 1e300)
    sometimes(0.2, "acceleration", "anderson")
    sometimes(
        0.2,
        "prior",
        "conjugate",
        NormalInverseWishart(0.0),
        NormalInverseWishart(1e6, dof=d + 50.0),
    )
    sometimes(0.1, "weight_concentration", 2.0, 1e8)
    sometimes(0.2, "noise", "uniform", 1e-300, 0.01, 1e200, noise_by_function)
    sometimes(0.2, "break_symmetry", False)
    sometimes(0.1, "warm_start", True)
    complete = rows[np.isfinite(rows).all(axis=1)]
    if random.random() < 0.1 and len(complete):
        chosen["means_init"] = complete[random.integers(len(complete), size=k)]
    if random.random() < 0.1:
        weights = random.dirichlet(np.ones(k))
        chosen["weights_init"] = weights * (0.7 if "noise" in chosen else 1.0)
    return chosen


# -- calling, and judging how a call ended --------------------------------------------------------

OURS = str(Path(emgmm.__file__).parent)
ERRORS = (
    ValueError,
    TypeError,
    NotFittedError,
    InvalidParameterError,
    FailedFitError,
    FailedBlockError,
    FileNotFoundError,
)
WARNINGS = (EMWarning, ConvergenceWarning, emgmm.UnobservedPairWarning, emgmm.CheckpointWarning)
# Files through which an exception of ours may pass.
PASSAGES = (
    OURS,
    "sklearn/base.py",
    "sklearn/utils/",
    "contextlib.py",
    str(Path(__file__)),
    "numpy/_core/_ufunc_config",
)
# Words of other libraries, or of our insides.
FOREIGN = (
    "broadcast",
    "KMeans",
    "SVD",
    "operand",
    "subscript",
    "iterable",
    "invalid value",
    "not positive definite: (",
    "must be real number",
    "argument must",
    "could not convert",
    "concatenate",
    "DataFrame.dtypes",
    "has no attribute",
    "Singular matrix",
    "unhashable",
)


def where(error):
    """The innermost line of the package that an exception passed."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(OURS)]
    return (
        f"{ours[-1].filename[len(OURS) + 1 :]}:{ours[-1].lineno} {ours[-1].name}"
        if ours
        else "outside"
    )


def unclean(error):
    """Why an exception is not one of ours, or nothing."""
    if type(error) not in ERRORS:
        return "another exception"
    frames = traceback.extract_tb(error.__traceback__)
    if any(not any(part in frame.filename for part in PASSAGES) for frame in frames):
        return "from another library"
    last = frames[-1]
    if not linecache.getline(last.filename, last.lineno).strip().startswith("raise"):
        return "not raised on purpose"
    if len(str(error).split()) < 5 or any(word in str(error) for word in FOREIGN):
        return "no sentence of ours"
    return ""


class Judge:
    """Calls, and the faults that were found."""

    def __init__(self):
        self.faults = []

    def fault(self, kind, detail=""):
        if kind not in dict(self.faults):
            self.faults.append((kind, " ".join(str(detail).split())[:400]))

    def demand(self, holds, kind, detail=""):
        if not holds:
            self.fault(kind, detail)

    def attempt(self, what, floating, function, *arguments, **keywords):
        """What a call returned or `FAILED`, and its warnings; an exception that is not ours is a fault."""
        self.error = None
        with (
            warnings.catch_warnings(record=True) as caught,
            np.errstate(all=floating, under="raise" if floating == "raise" else "ignore"),
        ):
            warnings.simplefilter("always")
            if floating != "raise":
                warnings.simplefilter("ignore", RuntimeWarning)
            try:
                return function(*arguments, **keywords), caught
            except FloatingPointError as error:
                self.error = error
                self.fault(
                    f"floating point: {str(error).split()[0]} at {where(error)}", f"{what}: {error}"
                )
            except Exception as error:
                self.error, why = error, unclean(error)
                if why:
                    self.fault(f"{what}: {type(error).__name__}, {why}, at {where(error)}", error)
        return FAILED, caught

    def call(self, what, function, *arguments, refused=False, **keywords):
        """What a call returned, or `FAILED`; how it ended is judged.

        `refused` says that it must raise; None that it may do so silently, which is never judged.
        """
        value, caught = self.attempt(what, "raise", function, *arguments, **keywords)
        if isinstance(self.error, FloatingPointError):  # a fault; what else there is shows without
            value, caught = self.attempt(what, "warn", function, *arguments, **keywords)
        for warning in caught:
            theirs = "distinct clusters" in str(warning.message)
            if theirs or not issubclass(warning.category, WARNINGS):
                place = f"{Path(warning.filename).name}:{warning.lineno}"
                self.fault(
                    f"{what}: leaked {warning.category.__name__} at {place}", warning.message
                )
        counted = Counter(warning.category for warning in caught)
        for category, times in counted.items():
            self.demand(times == 1, f"{what}: {category.__name__} {times} times")
        if refused and value is not FAILED:
            self.fault(f"{what}: accepted")
        return value


def equal(a, b):
    """Whether two values are the same to the last bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and (a.tobytes() == b.tobytes() or a.dtype == object)
        )
    if hasattr(a, "__dict__") and not callable(a):
        return equal(vars(a), vars(b))
    return a is b or a == b or (a != a and b != b)


def unchanged(judge, what, model, before):
    """A refused call leaves the estimator as it was; a failed fit may leave it unfitted."""
    now = vars(model)
    if isinstance(judge.error, FailedFitError) and set(now) == set(model.get_params(deep=False)):
        return
    judge.demand(
        equal(now, before),
        f"{what}: a refused call changed the estimator",
        f"{set(now) ^ set(before)}",
    )


# -- the oracle -----------------------------------------------------------------------------------


def cholesky(matrix):
    """The lower factor of a long double matrix, or None."""
    lower = np.zeros_like(matrix)
    for j in range(len(matrix)):
        pivot = matrix[j, j] - lower[j, :j] @ lower[j, :j]
        if not pivot > 0:
            return None
        lower[j, j] = np.sqrt(pivot)
        lower[j + 1 :, j] = (matrix[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]) / lower[j, j]
    return lower


def whitened(lower, rows):
    """(D, n): the solution of lower z = rows."""
    solved = np.zeros_like(rows)
    for j in range(len(rows)):
        solved[j] = (rows[j] - lower[j, :j] @ solved[:j]) / lower[j, j]
    return solved


def dense(model, name="covariances_"):
    """(K, D, D) matrices of a fitted model in long double."""
    elements = np.asarray(getattr(model, name)).astype(LONG)
    K, D = model.means_.shape
    shape = FAMILIES[model.covariance_type].scikit_learn
    if shape == "spherical":
        elements = np.repeat(elements[:, None], D, axis=1)
    if shape in ("spherical", "diag"):
        return elements[:, :, None] * np.eye(D, dtype=LONG)
    return np.broadcast_to(elements, (K, D, D))


def conditions(matrices):
    """(K,): condition numbers of the correlation matrices, which units play no part in."""
    sds = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    return spreads(matrices / sds[:, :, None] / sds[:, None, :])


def spreads(matrices):
    """(K,): condition numbers."""
    largest = np.abs(matrices).max(axis=(1, 2), keepdims=True)
    eigenvalues = np.linalg.eigvalsh((matrices / largest).astype(float))
    return eigenvalues[:, -1] / np.maximum(eigenvalues[:, 0], EPS / 4)


def sensitivity(model):
    """How much an M-step enlarges rounding: families with axes of their own know one unit only."""
    closed = FAMILIES[model.covariance_type].closed_under_scaling
    return float((conditions if closed else spreads)(dense(model)).max())


def oracle(model, rows):
    """Log-joint densities of rows in long double, noise last, and bounds of the package's error."""
    K, D = model.means_.shape
    matrices, means = dense(model), model.means_.astype(LONG)
    unit = np.finfo(model.means_.dtype).eps
    condition = conditions(matrices)
    noise = model._noise_density is not None
    joint = np.full((len(rows), K + noise), -np.inf, dtype=LONG)
    error = np.zeros(joint.shape, dtype=LONG)
    with np.errstate(divide="ignore"):
        log_weights = np.log(model.weights_.astype(LONG))
    missing = np.isnan(rows)
    for pattern in np.unique(missing, axis=0):
        place, seen = np.flatnonzero((missing == pattern).all(axis=1)), ~pattern
        some = rows[np.ix_(place, seen)].astype(LONG)
        for k in range(K):
            lower = cholesky(matrices[k][np.ix_(seen, seen)])
            z = whitened(lower, (some - means[k, seen]).T)
            squares = (z * z).sum(axis=0)
            constant = log_weights[k] - np.log(np.diagonal(lower)).sum()
            joint[place, k] = constant - (squares + seen.sum() * np.log(2 * LONG(np.pi))) / 2
            error[place, k] = 8 * D * unit * condition[k] * (squares + D)
        if noise:
            with np.errstate(divide="ignore"):
                joint[place, K] = np.log(LONG(model.noise_weight_)) + noise_density(model, seen)
    return joint, error


def noise_density(model, seen):
    density = model._noise_density
    if callable(model.noise):
        return LONG(-20)
    if not isinstance(model.noise, str) and seen.all():
        return np.log(LONG(model.noise))
    return -np.log(density.sides.astype(LONG))[seen].sum()


def log_sum(joint):
    top = joint.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(joint - top).sum(axis=1)) + top[:, 0]


def judge_densities(judge, model, rows, table):
    """Densities, responsibilities and labels are the oracle's."""
    scores = judge.call("score_samples", model.score_samples, table)
    labels = judge.call("predict", model.predict, table)
    if scores is FAILED or labels is FAILED:
        return
    if not isinstance(scores, np.ndarray):  # of blocks
        scores, labels = np.concatenate(list(scores)), np.concatenate(list(labels))
    with np.errstate(all="ignore"):
        joint, error = oracle(model, rows)
        single = np.result_type(model.means_, getattr(table, "dtype", float)) == np.float32
        truth = log_sum(joint)
        promise = (1e-3 if single else 4e-9) + (1e-5 if single else 1e-14) * np.abs(truth)
        low, high = log_sum(joint - error) - promise, log_sum(joint + error) + promise
        right = (low <= scores) & (scores <= high)
    if not right.all():
        i = int(np.flatnonzero(~right)[0])
        judge.fault(
            "score_samples differs from the oracle",
            f"row {i} {rows[i]}: {scores[i]!r} for {float(truth[i])!r} within {float(high[i] - truth[i]):.2g}; {(~right).sum()} rows",
        )
    proba = judge.call("predict_proba", model.predict_proba, table)
    if proba is FAILED:
        return
    proba = proba if isinstance(proba, np.ndarray) else np.concatenate(list(proba))
    with np.errstate(all="ignore"):
        shares = np.exp(joint - truth[:, None])
        slack = promise + (error * (shares > 1e-12)).max(axis=1)
        judge.demand(proba.shape == shares.shape, "predict_proba: shape", proba.shape)
        judge.demand(
            np.allclose(proba.sum(axis=1), 1, atol=1e-5 if single else 1e-12),
            "predict_proba: rows do not sum to 1",
            proba.sum(axis=1),
        )
        wrong = (np.abs(proba - shares) > np.minimum(1, 4 * slack)[:, None]) | (proba < 0)
        judge.demand(
            not wrong.any(),
            "predict_proba differs from the oracle",
            f"{np.argwhere(wrong)[:1]}, {np.abs(proba - shares).max()}",
        )
        chosen = np.take_along_axis(
            joint, np.where(labels < 0, joint.shape[1] - 1, labels)[:, None], 1
        )[:, 0]
        low = chosen < joint.max(axis=1) - 2 * error.max(axis=1) - 2 * promise
        judge.demand(
            not low.any(), "predict is not the most probable component", np.flatnonzero(low)[:3]
        )


def judge_far_rows(judge, model, random):
    """The same of rows about the means, near and far, some with holes.

    Rows that no component can have made, as far as numbers go, have a log-density of -inf, and no
    responsibilities.
    """
    K, D = model.means_.shape
    most = 200 if random.random() < 0.05 else 4
    dtype = model.means_.dtype
    with np.errstate(all="ignore"):
        sds = np.sqrt(np.diagonal(dense(model), axis1=1, axis2=2)).astype(float)
        steps = random.normal(size=(20, K, D)) * 10.0 ** random.uniform(-1, most, size=(20, 1, 1))
        rows = (model.means_ + sds * steps).reshape(-1, D).astype(dtype)
        rows[random.random(rows.shape) < random.choice([0.0, 0.3])] = np.nan
        rows = rows[~np.isinf(rows).any(axis=1)]
        truth = log_sum(oracle(model, rows.astype(float))[0])
    kind = "frame" if hasattr(model, "feature_names_in_") else "array"
    possible, impossible = (
        rows[truth > -np.finfo(dtype).max / 1e6],
        rows[truth < -np.finfo(dtype).max],
    )
    if len(possible):
        judge_densities(judge, model, possible.astype(float), contained(kind, possible))
    if len(impossible):
        table = contained(kind, impossible)
        scores = judge.call("score_samples", model.score_samples, table)
        judge.demand(
            scores is FAILED or (scores == -np.inf).all(),
            "score_samples of impossible rows is not -inf",
            scores,
        )
        judge.call("predict_proba of impossible rows", model.predict_proba, table, refused=True)


# -- a fitted model -------------------------------------------------------------------------------


def judge_model(judge, model, case):
    """What holds for the parameters of every fitted mixture."""
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        value = getattr(model, name)
        judge.demand(np.isfinite(value).all(), f"{name} not finite", value)
    if judge.faults and not np.isfinite(model.covariances_).all():
        return False
    unit = np.finfo(model.means_.dtype).eps
    total = model.weights_.sum(dtype=float) + model.noise_weight_
    if model.max_iter > 0:  # scikit-learn's starts at single rows give each a share of 1 / n
        judge.demand(abs(total - 1) < 1e3 * unit, "weights_ do not sum to 1", total)
    judge.demand(
        model.means_.dtype == (np.float32 if case.container == "float32" else np.float64),
        "dtype of means_",
        model.means_.dtype,
    )
    judge.demand(
        isinstance(model.n_iter_, int) and len(model.lower_bounds_) == model.n_iter_,
        "n_iter_ is not the length of lower_bounds_",
    )
    with np.errstate(all="ignore"):
        matrices, precisions = dense(model), dense(model, "precisions_")
        if not (np.diagonal(matrices, axis1=1, axis2=2) > 0).all():
            judge.fault("a variance is not positive", np.diagonal(matrices, axis1=1, axis2=2))
            return False
        sds = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
        correlations = matrices / sds[:, :, None] / sds[:, None, :]
        crooked = np.abs(correlations - np.swapaxes(correlations, 1, 2)).max()
        judge.demand(crooked < 1e3 * unit, "covariances_ are not symmetric", crooked)
        if unit > EPS and unit * conditions(precisions).max() > 0.1:
            return False  # covariances and precisions are each rounded to single precision
        definite = all(cholesky(matrix) is not None for matrix in correlations)
        condition = conditions(matrices)
        if not definite:
            judge.fault(
                "covariances_ are not positive definite",
                f"{model.means_.dtype}, condition {condition.max():.2g}",
            )
            return False
        product = matrices @ precisions * (sds[:, None, :] / sds[:, :, None])
        off = np.abs(product - np.eye(sds.shape[1])).max(axis=(1, 2))
        wrong = off > 64 * sds.shape[1] * unit * condition
        judge.demand(
            not wrong.any(), "covariances_ @ precisions_ is not 1", f"{off}, condition {condition}"
        )
    if "missing" not in case.traits and len(case.rows) > 1:
        counted = case.rows[
            np.asarray(1 if case.weights is None else case.weights, dtype=float)
            * np.ones(len(case.rows))
            > 0
        ]
        low, high = counted.min(axis=0), counted.max(axis=0)
        slack = (
            1e-9 * np.maximum(np.abs(low), np.abs(high))
            if model.means_.dtype == float
            else 1e-5 * np.maximum(np.abs(low), np.abs(high))
        )
        occupied = model.weights_ > 1e-9
        inside = (model.means_ >= low - slack) & (model.means_ <= high + slack)
        judge.demand(
            inside[occupied].all(),
            "a mean lies outside the data's box",
            f"{model.means_[occupied]}, {low}, {high}",
        )
    return True


def is_plain(case):
    """Whether EM climbs: no ridge that is added after the maximisation."""
    return case.parameters.get("reg_covar", 1e-6) == 0 or case.parameters.get("prior") is not None


def judge_likelihood(judge, model, case):
    """The likelihood never falls in EM's own steps, and is the one that `score` finds."""
    objective, event = model.history_["objective"], model.history_["event"]
    judge.demand(np.isfinite(objective).all(), "an objective is not finite", objective)
    with np.errstate(all="ignore"):
        condition = sensitivity(model)
    unit = np.finfo(model.means_.dtype).eps
    if is_plain(case) and case.parameters.get("acceleration") is None:
        falls = np.diff(objective) < -(
            1e-8 + 1e2 * unit * np.abs(objective[1:]) + 1e2 * unit * condition
        )
        falls &= event[1:] == "step"
        if falls.any():
            t = int(np.flatnonzero(falls)[0])
            judge.fault(
                "the likelihood falls",
                f"{model.covariance_type}: {objective[t]!r} to {objective[t + 1]!r} at step {t + 1} of {len(event)}, condition {condition:.2g}",
            )
    score = judge.call("score", model.score, case.table, sample_weight=weights_for(case))
    if score is FAILED:
        return
    if case.parameters.get("prior") is None and case.parameters.get("weight_concentration", 1) == 1:
        near = abs(score - model.lower_bound_) <= 1e-9 * (1 + abs(score)) * (
            1 if unit < 1e-10 else 1e4
        )
        judge.demand(near, "lower_bound_ is not score(X)", f"{model.lower_bound_!r}, {score!r}")
    weight = len(case.rows) if case.weights is None else np.sum(case.weights, dtype=LONG)
    for name, penalty in (("bic", np.log(LONG(weight))), ("aic", 2), ("icl", None)):
        value = judge.call(name, getattr(model, name), case.table, sample_weight=weights_for(case))
        if value is not FAILED and penalty is not None:
            truth = -2 * LONG(score) * weight + model.n_parameters() * penalty
            judge.demand(
                abs(value - truth) <= 1e-9 * (abs(truth) + weight),
                f"{name} is not -2 log L + penalty",
                f"{value!r}, {truth!r}",
            )


def weights_for(case):
    if case.weights is not None and case.container == "blocks":
        return np.asarray(case.weights, dtype=float)
    return case.weights


def judge_copies(judge, model, case, random):
    """Saved, loaded and pickled models are the same to the last bit; samples repeat."""
    again = judge.call("pickle", lambda: pickle.loads(pickle.dumps(model)))
    if again is not FAILED:
        judge.demand(equal(fitted(again), fitted(model)), "pickle changes the model")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        saved = judge.call("save", model.save, path, refused=callable(model.noise))
        loaded = FAILED if saved is FAILED else judge.call("load", GaussianMixture.load, path)
    if loaded is not FAILED:
        judge.demand(equal(fitted(loaded), fitted(model)), "save and load change the model")
    n = int(random.integers(1, 50))
    one = judge.call("sample", model.sample, n, 3)
    if one is not FAILED:
        judge.demand(equal(one, model.sample(n, 3)), "sample does not repeat")
        judge.demand(
            np.isfinite(one[0]).all() and one[0].shape == (n, model.n_features_in_),
            "sample is not finite",
        )
    judge.call("summary", lambda: str(model.summary(case.table, sample_weight=weights_for(case))))
    certify = bool(random.random() < 0.3) and case.container != "blocks"
    judge.call(
        "diagnose(certify=True)" if certify else "diagnose",
        lambda: str(model.diagnose(case.table, certify=certify, sample_weight=weights_for(case))),
    )
    filled = judge.call("impute", model.impute, case.table)
    if filled is not FAILED:
        filled = filled if isinstance(filled, np.ndarray) else np.concatenate(list(filled))
        seen = ~np.isnan(case.rows)
        judge.demand(
            (filled[seen] == case.rows[seen]).all() and np.isfinite(filled).all(),
            "impute changes or leaves values",
        )


def fitted(model):
    return {name: value for name, value in vars(model).items() if name.endswith("_")}


# -- laws: the same fit in other words ------------------------------------------------------------


def start_of(case, random):
    """Parameters of a start that all tellings of a table share; None where there is none."""
    complete = np.unique(case.rows[np.isfinite(case.rows).all(axis=1)], axis=0)
    k = case.parameters["n_components"]
    with np.errstate(all="ignore"):
        variances = (
            np.nanvar(case.rows, axis=0)
            if np.isfinite(case.rows).any(axis=0).all()
            else np.zeros(1)
        )
    variances = np.where(variances > 0, variances, 1.0)
    if len(complete) < k or len(case.rows) < max(2, k) or not np.isfinite(1 / variances).all():
        return None
    family = FAMILIES[case.parameters["covariance_type"]]
    d = case.rows.shape[1]
    precisions = {
        "full": np.tile(np.diag(1 / variances), (k, 1, 1)),
        "tied": np.diag(1 / variances),
        "diag": np.tile(1 / variances, (k, 1)),
        "spherical": np.full(k, 1 / np.exp(np.log(variances).mean())),
    }[family.scikit_learn]
    if precisions.ndim == 3 and precisions.shape[1] != d:
        return None
    return {
        **{
            n: v
            for n, v in case.parameters.items()
            if n in ("n_components", "covariance_type", "prior", "weight_concentration")
        },
        "weights_init": np.full(k, 1 / k),
        "means_init": complete[np.sort(random.choice(len(complete), k, replace=False))],
        "precisions_init": precisions,
        "reg_covar": 0 if case.parameters.get("reg_covar") == 0 else 1e-6,
        "tol": 0,
        "max_iter": 3,
        "break_symmetry": False,
    }


def judge_laws(judge, case, random):
    """Weights, order, units and containers do not matter beyond what they mean."""
    start = start_of(case, random)
    family = FAMILIES[case.parameters["covariance_type"]]
    if start is None or ("units" in case.traits and not family.closed_under_scaling):
        return
    rows, n = case.rows, len(case.rows)
    counts = random.integers(0, 4, size=n).astype(float)
    counts[:2] = 1
    order = random.permutation(n)
    whole = rows.repeat(counts.astype(int), axis=0)
    judge_same(
        judge, "a weight of 2 is not the row twice", start, (rows, counts), start, (whole, None)
    )
    judge_same(
        judge,
        "the order of rows matters",
        start,
        (rows, counts),
        start,
        (rows[order], counts[order]),
    )
    if start.get("prior") is None:
        scale = (
            2.0 ** random.integers(-60, 61)
            if random.random() < 0.7
            else 2.0 ** random.integers(-1000, 1000)
        )
        if start.get("weight_concentration", 1) == 1:
            judge_same(
                judge,
                "the scale of the weights matters",
                start,
                (rows, counts),
                start,
                (rows, scale * counts),
            )
    if case.container not in ("blocks", "memmap"):
        kind = str(random.choice(["blocks", "memmap", "fortran", "list"]))
        judge_same(
            judge,
            f"{kind} differ from an array",
            start,
            (rows, None),
            start,
            (contained(kind, rows), None),
        )
    if (
        family.closed_under_scaling
        and start["reg_covar"] == 0
        and start.get("prior") is None
        and "units" not in case.traits
    ):
        units = 2.0 ** random.integers(-30, 31, size=rows.shape[1])
        judge_same(
            judge,
            "units matter",
            start,
            (rows, None),
            in_units(start, units, family),
            (rows * units, None),
            units,
        )


def in_units(start, units, family):
    precisions = start["precisions_init"]
    if family.scikit_learn in ("full", "tied"):
        precisions = precisions / units[:, None] / units
    else:
        precisions = precisions / units / units
    return {**start, "means_init": start["means_init"] * units, "precisions_init": precisions}


def judge_same(judge, kind, start, data, other_start, other_data, units=None):
    """Two fits end alike; where rounding decides, nothing is said."""
    one, other = (GaussianMixture(**parameters) for parameters in (start, other_start))
    units = np.ones(data[0].shape[1]) if units is None else units
    answers = []
    for model, (rows, weights) in ((one, data), (other, other_data)):
        answers.append(judge.call("fit", model.fit, rows, sample_weight=weights))
    survivors = [model for model in answers if model is not FAILED]
    slack = 1e-7 + EPS * max(map(enlargement, survivors, (data[0], other_data[0])), default=0.0)
    if len(survivors) == 1 and slack < 1e-2:
        judge.fault(f"{kind}: one fit fails", f"{start['covariance_type']}: slack {slack:.1g}")
    if len(survivors) < 2 or not slack < 1e-2:
        return
    bounds = [np.array(model.lower_bounds_, dtype=LONG) for model in (one, other)]
    jacobian = (~np.isnan(np.asarray(data[0], dtype=float)) @ np.log(units)).mean()
    gap = float(np.abs(bounds[0] - bounds[1] - jacobian).max())
    judge.demand(
        gap <= slack,
        kind,
        f"{start['covariance_type']}: likelihood off by {gap:.2g}, allowed {slack:.1g}",
    )
    if not FAMILIES[start["covariance_type"]].closed_under_scaling:
        return  # the axes of spherical scatters are arbitrary
    sds = np.sqrt(np.diagonal(dense(one), axis1=1, axis2=2))
    occupied = one.weights_ > 1e-6
    moved = np.abs(other.means_.astype(LONG) / units - one.means_) / sds
    matrices = dense(other) / units[:, None] / units
    changed = np.abs(matrices - dense(one)) / sds[:, :, None] / sds[:, None, :]
    worst = [
        float(values.max(initial=0))
        for values in (moved[occupied], changed[occupied], np.abs(other.weights_ - one.weights_))
    ]
    judge.demand(
        max(worst) <= 10 * slack,
        kind,
        f"{start['covariance_type']}: means, covariances, weights off by {worst}, allowed {slack:.1g}",
    )


def enlargement(model, rows):
    """By how much a few steps of EM may enlarge rounding."""
    table = (
        np.concatenate([np.asarray(block, dtype=float) for block in rows])
        if not hasattr(rows, "__len__")
        else np.asarray(rows, dtype=float)
    )
    with np.errstate(all="ignore"):
        sds = np.sqrt(np.diagonal(dense(model), axis1=1, axis2=2)).astype(float)
        extent = ((np.nanmax(table, axis=0) - np.nanmin(table, axis=0)) / sds).max()
        reach = np.abs(model.means_ / sds).max()
        return 1e4 * sensitivity(model) + 1e3 * reach + 1e2 * extent**2


def judge_singular(judge, case, random):
    """At reg_covar=0 columns that are constant or collinear are refused, in every order of rows."""
    family = FAMILIES[case.parameters["covariance_type"]]
    shape = family.scikit_learn
    alike = (case.rows == case.rows[0]).all(axis=0)
    flat = alike.any() if shape == "diag" else alike.all()
    if case.kind in SINGULAR and shape in ("full", "tied"):
        flat = case.kind != "repeated_column" or case.rows.shape[1] > 1 or alike.any()
    if not flat or "missing" in case.traits or "offset" in case.traits or len(case.rows) < 2:
        return
    chosen = {
        **case.parameters,
        "reg_covar": 0,
        "noise": None,
        "prior": None,
        "max_iter": 20,
        "warm_start": False,
    }
    chosen["weights_init"] = None
    for rows in (case.rows, case.rows[random.permutation(len(case.rows))]):
        model = GaussianMixture(**chosen)
        answer = judge.call("fit", model.fit, rows)
        if answer is not FAILED:
            sds = np.sqrt(np.diagonal(dense(model), axis1=1, axis2=2))
            judge.fault(
                "a singular table is fitted at reg_covar=0",
                f"{case.kind} {model.covariance_type}: condition {conditions(dense(model)).max():.2g}, smallest sd {float(sds.min()):.2g}",
            )


# -- streams, choices, wrong arguments ------------------------------------------------------------


def judge_stream(judge, case, random):
    """Blocks of a stream are followed or refused, and a refused one changes nothing."""
    model = GaussianMixture(**case.parameters)
    edges = np.sort(random.integers(0, len(case.rows) + 1, size=4))
    weights = None if case.weights is None else np.asarray(case.weights, dtype=float)
    for number, place in enumerate(np.split(np.arange(len(case.rows)), edges)):
        if not len(place):
            continue
        before = copy.deepcopy(vars(model))
        block = case.rows[place]
        if random.random() < 0.1:
            block = block * 10.0 ** random.uniform(100, 200)
        answer = judge.call(
            "partial_fit",
            model.partial_fit,
            block,
            sample_weight=None if weights is None else weights[place],
        )
        if answer is FAILED:
            unchanged(judge, "partial_fit", model, before)
        elif hasattr(model, "means_"):
            for name in (
                "weights_",
                "means_",
                "covariances_",
                "precisions_cholesky_",
                "lower_bound_",
            ):
                judge.demand(
                    np.isfinite(getattr(model, name)).all(),
                    f"partial_fit: {name} not finite",
                    f"block {number}",
                )
            judge.demand(model.means_.dtype == np.float64, "partial_fit: dtype of means_")


def judge_choice(judge, case, random):
    """The choice ranks its candidates, and its criterion is that of the best."""
    names = sorted({case.parameters["covariance_type"], "VII" if case.rows.shape[1] > 1 else "V"})
    passed = ("reg_covar", "init_params", "prior", "noise", "random_state", "acceleration")
    model = GaussianMixtureIC(
        range(1, 3),
        covariance_type=names,
        **{n: v for n, v in case.parameters.items() if n in passed},
        max_iter=50,
        criterion=str(random.choice(["bic", "aic", "icl"])),
    )
    if (
        judge.call("GaussianMixtureIC.fit", model.fit, case.table, sample_weight=weights_for(case))
        is FAILED
    ):
        return
    results = model.results_
    rank = results["rank"]
    found = np.sort(rank[~np.isnan(rank)])
    judge.demand(
        len(found) > 0 and found[0] == 1 and rank[model.best_index_] == 1,
        "GaussianMixtureIC: ranks",
        rank,
    )
    best = results[model.criterion][model.best_index_]
    value = judge.call(
        f"GaussianMixtureIC.{model.criterion}",
        getattr(model, model.criterion),
        case.table,
        sample_weight=weights_for(case),
    )
    if value is not FAILED:
        judge.demand(
            abs(value - best) <= 1e-6 * (1 + abs(best)),
            "GaussianMixtureIC: criterion",
            f"{value!r}, {best!r}",
        )


NAN, INF = math.nan, math.inf
WRONG_PARAMETERS = {
    "n_components": [0, -1, 1.5, "2", None, True, NAN, [2], np.array([2]), 10**9],
    "covariance_type": ["ful", None, 3, ["full"], "", "VVV "],
    "tol": [-1, NAN, "x", None, True, 1j],
    "reg_covar": [-1e-9, NAN, "x", None, True, [1e-6]],
    "max_iter": [-1, 1.5, "x", None, True],
    "n_init": [0, 1.5, None, True],
    "init_params": ["kmean", 3, True],
    "weights_init": [
        [0.5],
        [0.5, 0.6],
        [-0.5, 1.5],
        [NAN, 1.0],
        "x",
        [["a", "b"]],
        1.0,
        [[0.5], [0.5, 0.5]],
        [None, 1.0],
    ],
    "means_init": [
        [[0.0]],
        [[NAN, 0.0], [0.0, 0.0]],
        [[INF, 0.0], [0.0, 0.0]],
        "x",
        0.0,
        [["a", "b"], ["c", "d"]],
        np.zeros((2, 2, 2)),
    ],
    "precisions_init": [-1.0, [[1.0]], np.zeros((2, 2, 2)), np.full((2, 2, 2), NAN), "x", [["a"]]],
    "random_state": ["x", -1, 1.5, [1]],
    "warm_start": ["x", None, 2],
    "verbose": ["x", -1, None],
    "verbose_interval": [0, 1.5, None],
    "break_symmetry": ["x", None],
    "prior": ["x", 3, True, NormalInverseWishart],
    "weight_concentration": [0.5, NAN, "x", None, True],
    "noise": [-1.0, 0, "x", NAN, True, [0.1]],
    "acceleration": ["x", 3, True],
    "learning_decay": [0.5, 2, NAN, "x", None],
    "learning_offset": [-1, NAN, "x", None],
    "forgetting": [0, 2, NAN, "x", -0.5],
    "checkpoint": [3, True],
    "checkpoint_every": [-1, NAN, "x", None],
}


def wrong_tables():
    """Tables that cannot be fitted; made anew each time, as some are objects."""
    import pandas as pd
    from scipy import sparse

    good = GOOD
    dates = np.array(["2020-01-01", "2020-01-02", "NaT"] * 2, dtype="datetime64[D]")
    return {
        "one dimension": good[:, 0],
        "three dimensions": good[None],
        "no dimension": 3.0,
        "None": None,
        "no rows": good[:0],
        "no columns": good[:, :0],
        "one row": good[:1],
        "infinity": np.where(good > 100, -INF, good),
        "all missing": np.full((6, 2), NAN),
        "a column missing": good * [1.0, NAN],
        "words": [["a", "b"], ["c", "d"], ["e", "f"]],
        "a word": [[1.0, 2.0], [3.0, "x"], [4.0, 5.0]],
        "ragged": [[1.0, 2.0], [3.0], [4.0, 5.0]],
        "complex": good + 1j,
        "sparse": sparse.csr_matrix(good),
        "dictionary": {"a": [1, 2, 3]},
        "set": {1, 2, 3},
        "string": "rows",
        "bytes": b"rows",
        "dates": np.column_stack([dates, dates]),
        "timedeltas": np.column_stack([dates - dates[0]] * 2),
        "frame with dates": pd.DataFrame({"a": good[:, 0], "when": dates}),
        "frame with words": pd.DataFrame({"a": good[:, 0], "name": list("abcdef")}),
        "frame with categories": pd.DataFrame(
            {"a": good[:, 0], "kind": pd.Categorical(list("abcabc"))}
        ),
        "generator": (row for row in good),
        "too large": np.array([[10**400, 1], [2, 3], [4, 5]], dtype=object),
        "objects": np.array([[object(), 1], [2, 3]], dtype=object),
        "records": np.zeros(6, dtype=[("a", float), ("b", float)]),
        "blocks of unequal width": blocks([good, good[:, :1]]),
        "blocks of words": blocks([good, [["a", "b"]]]),
        "no blocks": blocks([]),
    }


WRONG_WEIGHTS = [
    np.ones(5), np.ones((6, 1)), -np.ones(6), np.zeros(6), [1, 1, 1, 1, 1, NAN], [1, 1, 1, 1, 1, INF],
    "x", ["a"] * 6, 2.0, np.ones(6) * 1j, [None] * 6, {"a": 1}, np.ma.masked_equal(np.ones(6), 1.0),
    np.array(["2020-01-01"] * 6, dtype="datetime64[D]"), [[1]] * 6, np.ones(7),
]  # fmt: skip


GOOD = np.arange(12.0).reshape(6, 2) ** 2
WRONG_QUERIES = {
    "three columns": GOOD[:, [0, 1, 1]],
    "infinity": np.where(GOOD > 100, INF, GOOD),
    "words": [["a", "b"]],
    "a list": [1.0, 2.0],
    "no rows": GOOD[:0],
    "no dimension": 3.0,
}
WRONG_COUNTS = [0, -1, 1.5, "x", None, True, NAN, [3], INF]
QUERIES = [
    "predict",
    "predict_proba",
    "score_samples",
    "predict_log_proba",
    "impute",
    "score",
    "bic",
    "diagnose",
    "summary",
]
JUNK = [b"", b"{}", b"[1]", b"\xff\xfe", b'{"format": "emgmm.GaussianMixture"}', b"null"]


def judge_wrong(judge, random):
    """Wrong arguments are refused in a sentence, and change nothing."""
    model = GaussianMixture(2, covariance_type="diag", random_state=0)
    known = bool(random.random() < 0.5)
    if known:
        judge.call("fit", model.fit, GOOD)
    which = str(
        random.choice(
            ["parameter", "table", "weights", "query", "count", "junk"],
            p=[0.4, 0.2, 0.15, 0.15, 0.05, 0.05],
        )
    )
    method, arguments = str(random.choice(["fit", "fit_predict", "partial_fit"])), (GOOD,)

    def one_of(values):
        keys = list(values if isinstance(values, dict) else range(len(values)))
        key = keys[random.integers(len(keys))]
        return key, values[key]

    if which == "parameter":
        name, values = one_of(WRONG_PARAMETERS)
        value = one_of(values)[1]
        what = f"{name}={str(value)[:40]!r}"
        model.set_params(**{name: value})
        if method == "partial_fit" and (
            name == "n_components" or (known and name.endswith("_init"))
        ):
            method = "fit"  # a stream waits for more rows, and a start is past
    elif which == "table":
        what, table = one_of(wrong_tables())
        arguments = (table,)
        method = "fit" if what in ("one row", "all missing") else method  # a stream may go on
    elif which == "weights":
        what, weights = one_of(WRONG_WEIGHTS)
        arguments = (GOOD, None, weights)
        what = f"sample_weight={str(weights)[:30]!r}"
    elif which == "query":
        method, (what, table) = QUERIES[random.integers(len(QUERIES))], one_of(WRONG_QUERIES)
        arguments = (table if known else GOOD,)
    elif which == "count":
        method, what, arguments = "sample", "a wrong number", (one_of(WRONG_COUNTS)[1],)
    else:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            Path(file.name).write_bytes(one_of(JUNK)[1])
            judge.call("load of junk", GaussianMixture.load, file.name, refused=True)
        return
    before = copy.deepcopy(vars(model))
    judge.call(f"{method} with {what}", getattr(model, method), *arguments, refused=True)
    if judge.error is not None:
        unchanged(judge, method, model, before)


# -- one case -------------------------------------------------------------------------------------


def examine(number):
    """The faults of a case: pairs of a kind and a detail."""
    judge = Judge()
    random = np.random.default_rng([number, 1])
    if random.random() < 0.2:
        judge_wrong(judge, random)
        return judge.faults
    case = draw(number)
    before_table = copy.deepcopy(case.table)
    model = GaussianMixture(**case.parameters)
    before = copy.deepcopy(vars(model))
    answer = judge.call("fit", model.fit, case.table, sample_weight=weights_for(case))
    if case.container != "blocks":
        judge.demand(
            np.array_equal(
                np.asarray(case.table, dtype=float),
                np.asarray(before_table, dtype=float),
                equal_nan=True,
            ),
            "fit changed X",
        )
    if answer is FAILED:
        unchanged(judge, "fit", model, before)
    elif judge_model(judge, model, case):
        judge_densities(judge, model, case.rows, case.table)
        judge_far_rows(judge, model, random)
        judge_likelihood(judge, model, case)
        judge_copies(judge, model, case, random)
        if model.warm_start:
            judge.call("fit that goes on", model.fit, case.table, sample_weight=weights_for(case))
    share = random.random()
    if share < 0.4:
        judge_laws(judge, case, random)
    elif share < 0.55:
        judge_stream(judge, case, random)
    elif share < 0.6:
        judge_choice(judge, case, random)
    judge_singular(judge, case, random)
    return judge.faults


# -- by hand --------------------------------------------------------------------------------------


class TooSlow(BaseException):
    """A case that was given up."""


def _give_up(*_):
    raise TooSlow


def main():
    parser = argparse.ArgumentParser(description="Fuzz emgmm; see the module's docstring.")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="number of the first case (default 0)")
    parser.add_argument("--case", type=int, help="examine this case only, and describe it")
    options = parser.parse_args()
    if options.case is not None:
        print(draw(options.case))
        for kind, detail in examine(options.case):
            print(f"  {kind}\n    {detail}")
        return 0
    signal.signal(signal.SIGALRM, _give_up)
    started, number, kinds = time.monotonic(), options.seed, defaultdict(list)
    while time.monotonic() - started < 60 * options.minutes:
        begun = time.process_time()
        signal.alarm(300)
        try:
            faults = examine(number)
        except TooSlow:
            faults = [("slow", "given up after 300 s")]
        except Exception as error:
            faults = [
                (
                    f"the fuzzer itself: {type(error).__name__}",
                    "".join(traceback.format_tb(error.__traceback__)[-1:]),
                )
            ]
        signal.alarm(0)
        took = time.process_time() - begun  # other processes have no part in it
        if took > 20:
            faults.append(("slow", f"{took:.0f} s"))
        for kind, detail in faults:
            kinds[kind].append(number)
            print(f"{number} | {kind} | {detail}", flush=True)
        number += 1
    print(f"\n{number - options.seed} cases from {options.seed} on")
    for kind, numbers in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"{len(numbers):5d}  {kind}: cases {sorted(set(numbers))[:4]}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
