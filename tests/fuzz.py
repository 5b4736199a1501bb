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
from emgmm.covariances import FAMILIES
from emgmm.exceptions import FailedBlockError, FailedFitError
from emgmm.initialization import STARTS
from emgmm.sources import Blocks

LONG = np.longdouble
EPS = np.finfo(float).eps
FAILED = object()  # what a call that raised returned
ARRAYS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")

# -- drawing a case -------------------------------------------------------------------------------


@dataclass
class Case:
    """What a number stands for."""

    number: int
    kind: object  # the function that made the rows
    rows: np.ndarray  # (N, D) float64, NaN where missing: what the table holds
    container: str
    table: object  # rows as they are handed over
    weights: object
    parameters: dict
    traits: set = field(default_factory=set)

    def __str__(self):
        shape = f"{self.kind.__name__}{sorted(self.traits)} {self.rows.shape} as {self.container}"
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


def integers(random, n, d):
    return np.round(clusters(random, n, d))


def dyadic(random, n, d):
    """Multiples of 1/8, whose sums and products are exact."""
    return np.round(8 * clusters(random, n, d)) / 8


def duplicates(random, n, d):
    few = clusters(random, random.integers(1, 9), d)
    return few[random.integers(len(few), size=n)]


def one_hot(random, n, d):
    rows = np.eye(d)[random.integers(d, size=n)]
    mixed = d > 2 and random.random() < 0.5
    return np.column_stack([clusters(random, n, 1), rows[:, 1:]]) if mixed else rows


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


# What tables are made of, and how often.
TABLES = {
    clusters: 0.25,
    integers: 0.1,
    duplicates: 0.1,
    one_hot: 0.08,
    collinear: 0.1,
    totals: 0.07,
    repeated_column: 0.05,
    constant_column: 0.07,
    heavy: 0.08,
    outlier: 0.1,
}
# Tables without a covariance of full rank, but for rounding.
SINGULAR = (collinear, totals, repeated_column, constant_column)


def draw(number):
    """The case with that number."""
    random = np.random.default_rng(number)
    k = int(random.integers(1, 6))
    d = int(random.choice([1, 2, 3, 5, 8], p=[0.2, 0.25, 0.25, 0.15, 0.15]))
    few = random.random() < 0.15
    n = int(max(1, random.integers(k - 1, k + 3) if few else random.integers(2, 301)))
    kind = random.choice(list(TABLES), p=list(TABLES.values()))
    rows, traits = kind(random, n, d), set()
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
        share = 0.8 if how == "sparse" else random.uniform(0.01, 0.4)
        rows[random.random(rows.shape) < share] = np.nan
    elif how == "rows":
        rows[random.random(len(rows)) < 0.2] = np.nan
    elif how == "pattern":
        rows[: len(rows) // 2, : rows.shape[1] // 2] = np.nan
    else:
        rows[random.random(len(rows)) < 0.5, random.integers(rows.shape[1])] = np.nan
    return rows


CONTAINERS = ("fortran", "strided", "readonly", "list", "frame", "masked", "memmap", "blocks")


def handed_over(random, rows):
    """The name of a container, the table in it, and what it holds in float64."""
    finite = rows[np.isfinite(rows)]
    most = np.abs(finite).max(initial=0)
    whole = len(finite) == rows.size and most < 1e9 and (finite == np.round(finite)).all()
    if whole and random.random() < 0.5:
        kind = (
            "bool" if np.isin(rows, [0, 1]).all() else random.choice(["int64", "int32", "object"])
        )
        return str(kind), rows.astype(kind), rows
    if most < 1e15 and random.random() < 0.15:
        single = rows.astype(np.float32)
        return "float32", single, single.astype(float)
    kind = "array" if random.random() < 0.4 else str(random.choice(CONTAINERS))
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
    if kind == "masked":
        return np.ma.array(np.where(np.isnan(rows), 999.0, rows), mask=np.isnan(rows))
    if kind == "memmap":
        with tempfile.TemporaryDirectory() as folder:  # the mapping outlives the name
            np.save(Path(folder) / "rows.npy", rows)
            return np.load(Path(folder) / "rows.npy", mmap_mode="r")
    if kind == "blocks":
        return blocks([rows[: len(rows) // 3], rows[len(rows) // 3 :]])
    return rows


def drawn_weights(random, n):
    counts, uniform = random.integers(0, 4, size=n), random.uniform(0.1, 2.0, size=n)
    counts[random.integers(n)] = 1
    if random.random() < 0.15:
        extremes = [1e-310 * uniform, 1e306 / n * uniform, 5e-324 * uniform]
        return [*extremes, 10.0 ** random.uniform(-300, 300, size=n)][random.integers(4)]
    single = (counts * random.choice([1.0, 1e36])).astype(np.float32)
    return [counts, uniform, uniform * (counts > 0), single, counts.tolist()][random.integers(5)]


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
    strong = NormalInverseWishart(1e6, dof=d + 50.0)
    sometimes(0.2, "prior", "conjugate", NormalInverseWishart(0.0), strong)
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
ERRORS = (ValueError, TypeError, NotFittedError, InvalidParameterError, FailedFitError)
ERRORS += (FailedBlockError, FileNotFoundError)
WARNINGS = (EMWarning, ConvergenceWarning, emgmm.UnobservedPairWarning, emgmm.CheckpointWarning)
# Files through which an exception of ours may pass.
PASSAGES = (OURS, "sklearn/base.py", "sklearn/utils/", "contextlib.py", str(Path(__file__)))
# Words of other libraries, or of our insides.
FOREIGN = """broadcast;KMeans;SVD;operand;subscript;iterable;invalid value;not positive definite: (;
must be real number;argument must;could not convert;concatenate;has no attribute;Singular matrix;
unhashable;distinct clusters""".replace("\n", "").split(";")


def where(error):
    """The innermost line of the package that an exception passed."""
    frames = traceback.extract_tb(error.__traceback__)
    last = [f for f in frames if f.filename.startswith(OURS)][-1:]
    return "".join(f"{f.filename[len(OURS) + 1 :]}:{f.lineno} {f.name}" for f in last) or "outside"


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
    words = str(error)
    if "counted from 0: " in words:  # ours, behind the words of scikit-learn
        return ""
    if len(words.split()) < 4 or any(word in words for word in FOREIGN):
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
        """What a call returned, or `FAILED`; an exception that is not ours is a fault."""
        self.error = None
        with np.errstate(all=floating):
            try:
                return function(*arguments, **keywords)
            except FloatingPointError as error:
                self.error = error
                kind = str(error).split()[0]
                self.fault(f"floating point: {kind} at {where(error)}", f"{what}: {error}")
            except Exception as error:
                self.error, why = error, unclean(error)
                if why:
                    self.fault(f"{what}: {type(error).__name__}, {why}, at {where(error)}", error)
        return FAILED

    def call(self, what, function, *arguments, refused=False, **keywords):
        """What a call returned, or `FAILED`; how it ended is judged. `refused`: it must raise."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = self.attempt(what, "raise", function, *arguments, **keywords)
            if isinstance(self.error, FloatingPointError):  # what else there is shows without
                value = self.attempt(what, "ignore", function, *arguments, **keywords)
        for warning in caught:
            theirs = any(word in str(warning.message) for word in FOREIGN)
            usual = "feature names" in str(warning.message)  # scikit-learn's, as for its own class
            if theirs or not (usual or issubclass(warning.category, WARNINGS)):
                name, place = warning.category.__name__, Path(warning.filename).name
                self.fault(f"{what}: leaked {name} at {place}:{warning.lineno}", warning.message)
        for category, times in Counter(warning.category for warning in caught).items():
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
        alike = a.dtype == b.dtype and a.shape == b.shape
        return alike and equal(a.tolist(), b.tolist())
    if hasattr(a, "__dict__") and not callable(a):
        return equal(vars(a), vars(b))
    return a is b or a == b or (a != a and b != b)


def unchanged(judge, what, model, before):
    """A refused call leaves the estimator as it was; a failed fit may leave it unfitted."""
    now = vars(model)
    if isinstance(judge.error, FailedFitError) and set(now) == set(model.get_params(deep=False)):
        return
    kind = f"{what}: a refused call changed the estimator"
    judge.demand(equal(now, before), kind, set(now) ^ set(before))


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
        slack = float(high[i] - truth[i])
        detail = f"row {i} {rows[i]}: {scores[i]!r} for {float(truth[i])!r} within {slack:.2g}"
        judge.fault("score_samples differs from the oracle", detail)
    proba = judge.call("predict_proba", model.predict_proba, table)
    if proba is FAILED:
        return
    proba = proba if isinstance(proba, np.ndarray) else np.concatenate(list(proba))
    with np.errstate(all="ignore"):
        shares = np.exp(joint - truth[:, None])
        slack = promise + (error * (shares > 1e-12)).max(axis=1)
        off = np.abs(proba - shares) > np.minimum(1, 4 * slack)[:, None]
        wrong = off.any(axis=1) | (proba < 0).any(axis=1)
        kind, i = "predict_proba differs from the oracle", np.flatnonzero(wrong)[:1]
        judge.demand(not wrong.any(), kind, f"row {i}: {proba[i]} for {shares[i].astype(float)}")
        unit = 1e-5 if single else 1e-12
        near = np.abs(proba.sum(axis=1) - 1) < unit
        judge.demand(near.all(), "predict_proba: rows do not sum to 1", proba.sum(axis=1)[~near])
        chosen = joint[np.arange(len(joint)), labels]  # -1, noise, is the last
        low = chosen < joint.max(axis=1) - 2 * error.max(axis=1) - 2 * promise
        kind = "predict is not the most probable component"
        judge.demand(not low.any(), kind, np.flatnonzero(low)[:3])


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
    largest = np.finfo(dtype).max
    possible, impossible = rows[truth > -largest / 1e6], rows[truth < -largest]
    if len(possible):
        judge_densities(judge, model, possible.astype(float), contained(kind, possible))
    if len(impossible):
        table = contained(kind, impossible)
        scores = judge.call("score_samples", model.score_samples, table)
        right = scores is FAILED or (scores == -np.inf).all()
        judge.demand(right, "score_samples of impossible rows is not -inf", scores)
        if dtype == np.float64:  # in single precision the scores overflow, and not the shares
            judge.call("predict_proba of impossible rows", model.predict_proba, table, refused=True)


# -- a fitted model -------------------------------------------------------------------------------


def judge_model(judge, model, case):
    """What holds for the parameters of every fitted mixture."""
    for name in ARRAYS:
        value = getattr(model, name)
        judge.demand(np.isfinite(value).all(), f"{name} not finite", value)
    if not all(np.isfinite(getattr(model, name)).all() for name in ARRAYS):
        return False
    unit = np.finfo(model.means_.dtype).eps
    total = model.weights_.sum(dtype=float) + model.noise_weight_
    if model.max_iter > 0:  # scikit-learn's starts at single rows give each a share of 1 / n
        judge.demand(abs(total - 1) < 1e3 * unit, "weights_ do not sum to 1", total)
    expected = np.float32 if case.container == "float32" else np.float64
    judge.demand(model.means_.dtype == expected, "dtype of means_", model.means_.dtype)
    counted = len(model.lower_bounds_)
    judge.demand(model.n_iter_ == counted, "n_iter_ is not the length of lower_bounds_", counted)
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
        condition = conditions(matrices)
        if any(cholesky(matrix) is None for matrix in correlations):
            judge.fault(
                "covariances_ are not positive definite", f"condition {condition.max():.2g}"
            )
            return False
        product = matrices @ precisions * (sds[:, None, :] / sds[:, :, None])
        off = np.abs(product - np.eye(sds.shape[1])).max(axis=(1, 2))
        wrong = off > 64 * sds.shape[1] * unit * condition
        kind = "covariances_ @ precisions_ is not 1"
        judge.demand(not wrong.any(), kind, f"{off}, condition {condition}")
    if (
        "missing" not in case.traits and len(case.rows) > 1 and model.n_iter_
    ):  # else means are given
        counting = np.asarray(1 if case.weights is None else case.weights, dtype=float) > 0
        counted = case.rows[np.broadcast_to(counting, len(case.rows))]
        low, high = counted.min(axis=0), counted.max(axis=0)
        slack = (1e-9 if unit == EPS else 1e-5) * np.maximum(np.abs(low), np.abs(high))
        inside = (model.means_ >= low - slack) & (model.means_ <= high + slack)
        prior = case.parameters.get("weight_concentration", 1)
        occupied = model.weights_ > (1e-9 if prior == 1 else np.inf)  # else it may have no row
        fixed = (
            model.fixed if isinstance(model.fixed, dict) else dict.fromkeys(model.fixed or (), True)
        )
        for name in ("means", "weights"):  # of a component that may have no row
            occupied &= np.logical_not(fixed.get(name, False))
        judge.demand(inside[occupied].all(), "a mean lies outside the data's box", model.means_)
    return True


def after(model, case, n_steps):
    """The same fit with fewer steps."""
    again = GaussianMixture(**{**model.get_params(deep=False), "max_iter": int(n_steps)})
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return again.fit(case.table, sample_weight=weights_for(case))


def lost_by_rounding(model, case):
    """By how much the rounding of a mixture may reduce the mean log-likelihood."""
    unit = np.finfo(model.means_.dtype).eps
    with np.errstate(all="ignore"):
        condition = sensitivity(model)
        sds = np.sqrt(np.diagonal(dense(model), axis1=1, axis2=2))
        reach = float(np.abs(model.means_ / sds).max())
        lost = unit * float(condition + reach)  # means are rounded
        # A prior also counts their distance from its mean, as often as its shrinkage says.
        shrinkage = getattr(model.prior, "shrinkage", 0.0) / max(1, len(case.rows))
        lost += (1 + shrinkage) * model.means_.size * condition * (unit * reach) ** 2
    # So are weights, of whose logarithms the prior takes so many.
    rows = len(case.rows) if case.weights is None else np.sum(case.weights, dtype=LONG)
    return lost + float(unit * (model.weight_concentration - 1) * model.n_components / rows)


def judge_likelihood(judge, model, case):
    """The likelihood never falls in EM's own steps, and is the one that `score` finds."""
    objective, event = model.history_["objective"], model.history_["event"]
    # A start may be so far from a row that the log-density is beyond the range of numbers.
    right = np.isfinite(objective[1:]).all() and objective[0] < INF
    judge.demand(right, "an objective is not finite", objective)
    unit = np.finfo(model.means_.dtype).eps
    prior = model.prior is not None or model.weight_concentration != 1
    if (model.reg_covar == 0 or model.prior is not None) and model.acceleration is None:
        # A ridge is added after the maximisation: with one EM need not climb.
        least = -(1e-8 + 1e2 * unit * np.abs(objective[1:]))
        falls = (np.diff(objective) < least) & (event[1:] == "step")
        for t in np.flatnonzero(falls):
            # Rounding depends on the mixtures between which it falls, and not on the last.
            ends = [model, *(after(model, case, n_steps) for n_steps in (t, t + 1))]
            lost = max(lost_by_rounding(end, case) for end in ends)
            if objective[t + 1] - objective[t] < least[t] - 1e2 * lost:
                detail = f"{model.covariance_type}: {objective[t]!r} to {objective[t + 1]!r}"
                judge.fault("the likelihood falls", f"{detail} at step {t + 1}, {lost:.2g}")
    score = judge.call("score", model.score, case.table, sample_weight=weights_for(case))
    if score is FAILED:
        return
    if not prior:
        near = abs(score - model.lower_bound_) <= (1e-9 if unit == EPS else 1e-5) * (1 + abs(score))
        judge.demand(near, "lower_bound_ is not score(X)", f"{model.lower_bound_!r}, {score!r}")
    weight = len(case.rows) if case.weights is None else np.sum(case.weights, dtype=LONG)
    for name, penalty in (("bic", np.log(LONG(weight))), ("aic", 2), ("icl", None)):
        value = judge.call(name, getattr(model, name), case.table, sample_weight=weights_for(case))
        ordinary = case.weights is None or 2.0**-64 <= np.max(case.weights) <= 2.0**64
        if value is not FAILED and penalty is not None and ordinary:
            truth = -2 * LONG(score) * weight + model.n_parameters() * penalty
            near = abs(value - truth) <= 1e-9 * (abs(truth) + weight)
            judge.demand(near, f"{name} is not -2 log L + penalty", f"{value!r}, {truth!r}")


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
        judge.demand(np.isfinite(one[0]).all(), "sample is not finite")
    weights = weights_for(case)
    judge.call("summary", lambda: str(model.summary(case.table, sample_weight=weights)))
    certify = bool(random.random() < 0.3) and case.container != "blocks"
    what = "diagnose(certify=True)" if certify else "diagnose"
    report = judge.call(what, model.diagnose, case.table, certify=certify, sample_weight=weights)
    judge.call(f"str of {what}", str, report)
    filled = judge.call("impute", model.impute, case.table)
    if filled is not FAILED:
        filled = filled if isinstance(filled, np.ndarray) else np.concatenate(list(filled))
        seen = ~np.isnan(case.rows)
        right = (filled[seen] == case.rows[seen]).all() and np.isfinite(filled).all()
        judge.demand(right, "impute changes or leaves values")
    if random.random() < 0.2:
        again = GaussianMixture(**case.parameters)
        judge.call("fit", again.fit, case.table, sample_weight=weights)
        judge.demand(equal(fitted(again), fitted(model)), "the same fit, made again, is another")


def fitted(model):
    return {name: value for name, value in vars(model).items() if name.endswith("_")}


# -- laws: the same fit in other words ------------------------------------------------------------


def start_of(case, random):
    """Parameters of a start that all tellings of a table share; None where there is none."""
    complete = np.unique(case.rows[np.isfinite(case.rows).all(axis=1)], axis=0)
    k = case.parameters["n_components"]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that are missing
        variances = np.nanvar(case.rows, axis=0)
        variances = np.where(variances > 0, variances, 1.0)
        invertible = np.isfinite(1 / variances).all()
    if len(complete) < k or len(case.rows) < max(2, k) or not invertible:
        return None
    family = FAMILIES[case.parameters["covariance_type"]]
    precisions = {
        "full": np.tile(np.diag(1 / variances), (k, 1, 1)),
        "tied": np.diag(1 / variances),
        "diag": np.tile(1 / variances, (k, 1)),
        "spherical": np.full(k, 1 / np.exp(np.log(variances).mean())),
    }[family.scikit_learn]
    shared = ("n_components", "covariance_type", "prior", "weight_concentration")
    return {
        **{name: value for name, value in case.parameters.items() if name in shared},
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
    most = 60 if random.random() < 0.7 else 1000
    scale = 2.0 ** random.integers(-most, most)
    retellings = [
        ("a weight of 2 is not the row twice", (rows.repeat(counts.astype(int), axis=0), None)),
        ("the order of rows matters", (rows[order], counts[order])),
    ]
    # Where fewer rows count than there are components, their weights say how many rows each is: a
    # weight of 2 is the row twice, and enough of those are accepted. Their scale matters then.
    counted = np.count_nonzero(np.isfinite(rows[counts > 0]).any(axis=1))
    plain = start.get("prior") is None and start.get("weight_concentration", 1) == 1
    if plain and counted >= start["n_components"]:
        retellings.append(("the scale of the weights matters", (rows, scale * counts)))
    for kind, data in retellings:
        judge_same(judge, kind, start, (rows, counts), start, data)
    kind = str(random.choice(CONTAINERS))
    if kind != "frame":
        data = (contained(kind, rows), None)
        judge_same(judge, f"{kind} differs from an array", start, (rows, None), start, data)
    moves = family.closed_under_scaling and start["reg_covar"] == 0 and start.get("prior") is None
    if moves and "units" not in case.traits:
        units = 2.0 ** random.integers(-30, 31, size=rows.shape[1])
        other, data = in_units(start, units, family), (rows * units, None)
        judge_same(judge, "units matter", start, (rows, None), other, data, units)


def in_units(start, units, family):
    precisions = start["precisions_init"]
    if family.scikit_learn in ("full", "tied"):
        precisions = precisions / units[:, None] / units
    else:
        precisions = precisions / units / units
    return {**start, "means_init": start["means_init"] * units, "precisions_init": precisions}


def judge_same(judge, kind, start, data, other_start, other_data, units=None):
    """Two fits end alike; where rounding decides, nothing is said."""
    units = np.ones(data[0].shape[1]) if units is None else units
    one, other = (
        judge.call("fit", GaussianMixture(**parameters).fit, rows, sample_weight=weights)
        for parameters, (rows, weights) in ((start, data), (other_start, other_data))
    )
    survivors = [model for model in (one, other) if model is not FAILED]
    slack = 1e-7 + EPS * max(map(enlargement, survivors, (data[0], other_data[0])), default=0.0)
    if not survivors or not slack < 1e-2 or axes_are_open(start, *data):
        return
    found = gaps(one, other, data[0], units)
    broken = found > slack * np.array([1, 10, 10, 10])
    if broken.any() and not rounding_decides(start, *data, one, found[broken], broken):
        detail = "likelihood, means, covariances, weights differ by {:.2g}, {:.2g}, {:.2g}, {:.2g}"
        name = f"{start['covariance_type']} (slack {slack:.1g})"
        judge.fault(kind, f"{name}: {detail.format(*found)}")


def gaps(one, other, rows, units):
    """By how much two fits differ, (4,): in likelihood, means, covariances and weights."""
    if FAILED in (one, other):
        return np.full(4, 0.0 if one is other else INF)
    jacobian = (~np.isnan(np.asarray(rows, dtype=float)) @ np.log(units)).mean()
    bounds = [np.array(model.lower_bounds_, dtype=LONG) for model in (one, other)]
    found = [np.abs(bounds[0] - bounds[1] - jacobian)]
    if FAMILIES[one.covariance_type].closed_under_scaling:  # otherwise axes may be arbitrary
        sds = np.sqrt(np.diagonal(dense(one), axis1=1, axis2=2))
        occupied = one.weights_ > 1e-6
        moved = np.abs(other.means_.astype(LONG) / units - one.means_) / sds
        changed = np.abs(dense(other) / units[:, None] / units - dense(one))
        changed = changed / sds[:, :, None] / sds[:, None, :]
        found += [moved[occupied], changed[occupied], np.abs(other.weights_ - one.weights_)]
    found = [float(values.max(initial=0)) for values in found]
    return np.array(found + [0.0] * (4 - len(found)))


def rounding_decides(start, rows, weights, fitted, found, broken):
    """Whether rounding errors of the rows change a fit by a hundredth of what was found."""
    rows, largest = np.asarray(rows, dtype=float), 0.0
    for seed in range(8):
        steps = np.random.default_rng(seed).integers(-64, 65, size=rows.shape)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                other = GaussianMixture(**start).fit(rows * (1 + EPS * steps), None, weights)
            except ValueError:
                other = FAILED
        largest = np.maximum(largest, gaps(fitted, other, rows, np.ones(rows.shape[1]))[broken])
    return bool((100 * largest >= found).all())


def axes_are_open(start, rows, weights):
    """Whether on the way a component holds too few rows for axes of its own.

    Its scatter is singular. Which axes it has where nothing varies is up to rounding, in any
    implementation, and they have the variances that other components give them.
    """
    if start["covariance_type"] not in ("EEV", "VEV"):
        return False
    n_counted = len(rows) if weights is None else np.sum(weights)
    for max_iter in range(1, start["max_iter"] + 1):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            model = GaussianMixture(**{**start, "max_iter": max_iter})
            shares = model.fit(rows, sample_weight=weights).weights_
        if (shares * n_counted < rows.shape[1] + 1.5).any():
            return True
    return False


def enlargement(model, rows):
    """By how much a few steps of EM may enlarge rounding."""
    table = np.concatenate(list(rows)) if isinstance(rows, Blocks) else rows
    table = np.ma.filled(np.ma.asarray(table, dtype=float), np.nan)
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
        flat = True
    if not flat or case.traits & {"missing", "offset"} or len(case.rows) < 2:
        return
    plain = {"reg_covar": 0, "noise": None, "prior": None, "max_iter": 20, "weights_init": None}
    names = [family.name] * 2 + ["EEV"] * 3 * (case.rows.shape[1] > 1 and case.kind in SINGULAR)
    for name in names:  # turned axes are where rounding hides best
        plain |= {"covariance_type": name, "warm_start": False}
        model = GaussianMixture(**{**case.parameters, **plain})
        rows = case.rows[random.permutation(len(case.rows))]
        if judge.call("fit", model.fit, rows) is not FAILED:
            detail = f"{name}, condition {conditions(dense(model)).max():.2g}"
            judge.fault(f"{case.kind.__name__}: a singular table is fitted at reg_covar=0", detail)


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
            with np.errstate(over="ignore"):  # infinity is refused, as it should be
                block = block * 10.0 ** random.uniform(100, 200)
        weighed = None if weights is None else weights[place]
        answer = judge.call("partial_fit", model.partial_fit, block, sample_weight=weighed)
        if answer is FAILED:
            unchanged(judge, "partial_fit", model, before)
        elif hasattr(model, "means_"):
            for name in (*ARRAYS, "lower_bound_"):
                right = np.isfinite(getattr(model, name)).all()
                judge.demand(right, f"partial_fit: {name} not finite", f"block {number}")


def judge_choice(judge, case, random):
    """The choice ranks its candidates, and its criterion is that of the best."""
    names = sorted({case.parameters["covariance_type"], "VII" if case.rows.shape[1] > 1 else "V"})
    passed = ("reg_covar", "init_params", "prior", "noise", "random_state", "acceleration")
    given = {name: value for name, value in case.parameters.items() if name in passed}
    criterion, weights = str(random.choice(["bic", "aic", "icl"])), weights_for(case)
    model = GaussianMixtureIC(
        [1, 2], covariance_type=names, criterion=criterion, max_iter=50, **given
    )
    answer = judge.call("GaussianMixtureIC.fit", model.fit, case.table, sample_weight=weights)
    if answer is FAILED:
        return
    rank, best = model.results_["rank"], model.best_index_
    judge.demand(rank[best] == np.nanmin(rank) == 1, "GaussianMixtureIC: ranks", rank)
    figure, function = model.results_[criterion][best], getattr(model, criterion)
    value = judge.call(
        f"GaussianMixtureIC.{criterion}", function, case.table, sample_weight=weights
    )
    near = value is FAILED or abs(value - figure) <= 1e-6 * (1 + abs(figure))
    judge.demand(near, "GaussianMixtureIC: criterion", f"{value!r}, {figure!r}")


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
        [None, 1.0],
    ],
    "means_init": [[[0.0]], [[NAN, 0.0], [0.0, 0.0]], [[INF, 0.0], [0.0, 0.0]], "x", 0.0, [["a"]]],
    "precisions_init": [-1.0, [[1.0]], np.zeros((2, 2, 2)), np.full((2, 2, 2), NAN), "x", [["a"]]],
    "random_state": ["x", -1, 1.5, [1]],
    "warm_start": ["x", None, 2],
    "verbose": ["x", -1, None],
    "verbose_interval": [0, 1.5, None],
    "break_symmetry": ["x", None],
    "prior": ["x", 3, True, NormalInverseWishart, NormalInverseWishart(mean=[0.0, 1.0, 2.0])],
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
QUERIES = ["predict", "predict_proba", "predict_log_proba", "score_samples", "score"]
QUERIES += ["impute", "bic", "diagnose", "summary"]
JUNK = [b"", b"{}", b"[1]", b"\xff\xfe", b'{"format": "emgmm.GaussianMixture"}', b"null"]


def judge_wrong(judge, random):
    """Wrong arguments are refused in a sentence, and change nothing."""
    model = GaussianMixture(2, covariance_type="diag", random_state=0)
    known = bool(random.random() < 0.5)
    if known:
        judge.call("fit", model.fit, GOOD)
    what = ["parameter", "table", "weights", "query", "count", "junk"]
    which = str(random.choice(what, p=[0.4, 0.2, 0.15, 0.15, 0.05, 0.05]))
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
        past = name == "n_components" or (known and name.endswith("_init"))
        method = "fit" if past else method  # a stream waits for more rows, and its start is past
    elif which == "table":
        what, table = one_of(wrong_tables())
        arguments = (table,)
        past = what in ("one row", "all missing", "a column missing")
        method = "fit" if past else method  # a stream may go on
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
        now, then = np.asarray(case.table, dtype=float), np.asarray(before_table, dtype=float)
        judge.demand(np.array_equal(now, then, equal_nan=True), "fit changed X")
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
    more = np.random.default_rng([number, 2])
    from fuzz_models import JUDGES  # which uses this module

    JUDGES[more.integers(len(JUDGES))](judge, case, more)
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
    parser.add_argument("--report", type=float, default=1.0, help="minutes between two reports")
    parser.add_argument("--case", type=int, help="examine this case only, and describe it")
    options = parser.parse_args()
    if options.case is not None:
        print(draw(options.case))
        for kind, detail in examine(options.case):
            print(f"  {kind}\n    {detail}")
        return 0
    signal.signal(signal.SIGALRM, _give_up)
    started, number, kinds = time.monotonic(), options.seed, defaultdict(list)
    said = started
    while time.monotonic() - started < 60 * options.minutes:
        begun = time.process_time()
        signal.alarm(300)
        try:
            faults = examine(number)
        except TooSlow:
            faults = [("slow", "given up after 300 s")]
        except Exception as error:
            place = "".join(traceback.format_tb(error.__traceback__)[-1:])
            faults = [(f"the fuzzer itself: {type(error).__name__}", place)]
        signal.alarm(0)
        took = time.process_time() - begun  # other processes have no part in it
        if took > 20:
            faults.append(("slow", f"{took:.0f} s"))
        for kind, detail in faults:
            kinds[kind].append(number)
            print(f"{number} | {kind} | {detail}", flush=True)
        number += 1
        if time.monotonic() - said > 60 * options.report:  # a killed run tells how far it came
            said = time.monotonic()
            print(f"# {number - options.seed} cases from {options.seed} on", flush=True)
    print(f"\n{number - options.seed} cases from {options.seed} on")
    for kind, numbers in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"{len(numbers):5d}  {kind}: cases {sorted(set(numbers))[:4]}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import fuzz

    sys.exit(fuzz.main())
