"""Judges of the fuzzer for what is built on a mixture: constraints, labels, classes, regression.

Each is a function of a judge, a case and a random generator. They compare with sums in long form
over the oracle's densities, or with laws. ``tests/fuzz.py`` calls one of them in each case.
"""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from itertools import combinations

import numpy as np
from fuzz import (
    ARRAYS,
    FAILED,
    LONG,
    blocks,
    dense,
    judge_densities,
    judge_likelihood,
    judge_model,
    log_sum,
    lost_by_rounding,
    oracle,
    sensitivity,
    start_of,
    unchanged,
)
from scipy.special import ndtr
from scipy.stats import chi2

from emgmm import (
    FitFailure,
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureOutlierDetector,
    GaussianMixtureProjection,
    GaussianMixtureRegressor,
    fit_many,
    merge_components,
)
from emgmm.covariances import FAMILIES
from emgmm.fitting import sampling

EPS = np.finfo(float).eps


def weights_of(case):
    return None if case.weights is None else np.asarray(case.weights, dtype=float)


def plain(case, **more):
    """The case's parameters without those that only `fit` of the estimator itself takes."""
    left_out = ("warm_start",)
    return {**{k: v for k, v in case.parameters.items() if k not in left_out}, **more}


def in_long_form(model, rows):
    """The oracle's log-joint in long double, (n, K) and with noise (n, K + 1), and its error."""
    with np.errstate(all="ignore"):
        return oracle(model, np.asarray(rows, dtype=float))


def slack_of(model):
    """Relative errors that the condition of the covariances allows."""
    with np.errstate(all="ignore"):
        return 1e-9 + 1e3 * EPS * sensitivity(model)


def fitted_to(judge, case, **more):
    """A mixture that is fitted to the rows of a case in float64, or None."""
    model = GaussianMixture(**plain(case, **more))
    fit = judge.call("fit", model.fit, case.rows, sample_weight=weights_of(case))
    if fit is FAILED or not all(np.isfinite(getattr(model, name)).all() for name in ARRAYS):
        return None
    return model


# -- constraints, labels and samples --------------------------------------------------------------
def judge_constraints(judge, case, random):
    """What is fixed stays to the last bit, and the likelihood still never falls."""
    start = start_of(case, random)
    if start is None:
        return
    k, family = start["n_components"], FAMILIES[case.parameters["covariance_type"]]
    more = {name: start[name] for name in ("weights_init", "means_init", "precisions_init")}
    if "noise" in case.parameters:
        more["weights_init"] = 0.7 * more["weights_init"]
    kinds = random.permutation(["weights", "means", "covariances"])[: random.integers(0, 4)]
    masks = {str(name): random.random(k) < 0.6 for name in kinds}
    if not family.independent and "covariances" in masks:
        masks["covariances"][:] = True
    if random.random() < 0.3:
        masks = {name: np.ones(k, dtype=bool) for name in masks}
    equal = bool("weights" not in masks and random.random() < 0.4)
    order = str(random.choice(["mean", "weight"])) if not masks and random.random() < 0.7 else None
    if equal:
        more["weights_init"] = None
    parameters = plain(case, **more, fixed=masks or None, equal_weights=equal, order=order)
    model, weights = GaussianMixture(**parameters), weights_of(case)
    before = dict(vars(model))
    if judge.call("fit with constraints", model.fit, case.rows, sample_weight=weights) is FAILED:
        unchanged(judge, "fit with constraints", model, before)
        return
    other = dataclasses.replace(case, table=case.rows, container="array", parameters=parameters)
    if not judge_model(judge, model, other):
        return
    given = {"weights": more["weights_init"], "means": more["means_init"]}
    for name, mask in masks.items():
        if name in given:
            same = (getattr(model, f"{name}_") == given[name])[mask].all()
            judge.demand(same, f"fixed {name} change", getattr(model, f"{name}_"))
    if "covariances" in masks and model.covariances_.shape == more["precisions_init"].shape:
        mask = masks["covariances"] if family.independent else slice(None)
        near = np.allclose(model.precisions_[mask], more["precisions_init"][mask], 1e-9, 0.0)
        judge.demand(near, "fixed covariances change", model.precisions_)
    if equal:
        judge.demand(np.ptp(model.weights_) <= 1e-12, "equal_weights: they differ", model.weights_)
    if order is not None:
        keys = model.means_[:, 0] if order == "mean" else -model.weights_
        judge.demand((np.diff(keys) >= 0).all(), f"order={order!r}: not ordered", keys)
    n_free = GaussianMixture.n_parameters(model)
    judge.demand(n_free >= 0, "n_parameters is negative", n_free)
    judge_likelihood(judge, model, other)
    judge_densities(judge, model, case.rows, case.rows)


def judge_labels(judge, case, random):
    """The objective is that of the contract, and labels are responsibilities of 0 and 1."""
    k, n = case.parameters["n_components"], len(case.rows)
    noise = "noise" in case.parameters
    labels = random.integers(-1, k + (noise and random.random() < 0.3), size=n)
    labels[random.random(n) < random.choice([0.0, 0.5, 0.95])] = -1
    soft = np.full((n, k + noise), np.nan)
    known = labels >= 0
    soft[known] = np.eye(k + noise)[labels[known]]
    weights = weights_of(case)
    models = []
    for given in (labels, soft):
        model = GaussianMixture(**plain(case))
        fit = judge.call("fit with labels", model.fit, case.rows, None, weights, labels=given)
        models.append(None if fit is FAILED else model)
    one, other = models
    judge.demand((one is None) == (other is None), "labels and responsibilities end otherwise")
    if one is None or other is None:
        return
    wrong = labels.copy()
    wrong[random.integers(n)] = k + noise
    model = GaussianMixture(**plain(case))
    judge.call("fit with a wrong label", model.fit, case.rows, labels=wrong, refused=True)
    if not all(np.isfinite(getattr(one, name)).all() for name in ARRAYS):
        return
    slack = slack_of(one)
    scale = 1 + abs(one.lower_bound_)
    if one.n_iter_ <= 5 and slack < 1e-4:
        gap = abs(one.lower_bound_ - other.lower_bound_)
        judge.demand(gap <= 1e3 * slack * scale, "labels differ from responsibilities", gap)
    if one.prior is not None or one.weight_concentration != 1:
        return
    joint, error = in_long_form(one, case.rows)
    with np.errstate(all="ignore"):
        terms = np.where(known, joint[np.arange(n), labels], log_sum(joint))
        counted = np.ones(n) if weights is None else weights / weights.max()
        informative = (counted > 0) & np.isfinite(case.rows).any(axis=1)
        truth = (counted * terms)[informative].sum(dtype=LONG) / counted.sum(dtype=LONG)
        allowed = slack * scale + float(np.max(error[informative], initial=0))
    near = not np.isfinite(truth) or abs(truth - one.lower_bound_) <= allowed
    judge.demand(near, "lower_bound_ with labels", f"{one.lower_bound_!r} for {truth!r}")


@contextmanager
def sampled_from(n_rows):
    """Make fits of so many rows run on samples."""
    names = {"START_FROM": n_rows // 2, "START_ROWS": n_rows // 4, "LARGEST_FRACTION": 0.5}
    before = {name: getattr(sampling, name) for name in names}
    for name, value in names.items():
        setattr(sampling, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(sampling, name, value)


def judge_sampling(judge, case, random):
    """A fit that runs on samples is a fit: all that holds for mixtures holds for it."""
    n = len(case.rows)
    if n < 40:
        return
    table = blocks([case.rows[: n // 3], case.rows[n // 3 :]]) if random.random() < 0.3 else None
    weights = weights_of(case)
    with sampled_from(n):
        model = GaussianMixture(**plain(case, max_iter=100))
        rows = case.rows if table is None else table
        fit = judge.call("fit on samples", model.fit, rows, sample_weight=weights)
        if fit is not FAILED:
            other = dataclasses.replace(case, table=rows, parameters=plain(case, max_iter=100))
            other.container = "array"
            if judge_model(judge, model, other):
                judge_densities(judge, model, case.rows, case.rows)
                score = judge.call("score", model.score, case.rows, sample_weight=weights)
                ordinary = model.prior is None and model.weight_concentration == 1
                allowed = 1e-8 * (1 + abs(score)) + lost_by_rounding(model, other)
                near = abs(score - model.lower_bound_) <= allowed
                judge.demand(near or not ordinary, "samples: lower_bound_ is not score(X)", score)


# -- many fits, and parameters set by hand --------------------------------------------------------
def judge_many(judge, case, random):
    """Many fits are separate fits, and fail as these."""
    n = len(case.rows)
    cuts = np.sort(random.integers(0, n + 1, size=random.integers(1, 4)))
    parts = [part for part in np.split(np.arange(n), cuts) if len(part)]
    data, weights = [case.rows[part] for part in parts], weights_of(case)
    each = None if weights is None else [weights[part] for part in parts]
    template = GaussianMixture(**plain(case, noise=None, acceleration=None))
    found = judge.call("fit_many", fit_many, template, data, sample_weights=each)
    if found is FAILED:
        return
    for i, (many, rows) in enumerate(zip(found, data, strict=True)):
        alone = GaussianMixture(**template.get_params(deep=False))
        weighed = None if each is None else each[i]
        failed = judge.call("fit", alone.fit, rows, sample_weight=weighed) is FAILED
        if failed or isinstance(many, FitFailure):
            alike = failed and isinstance(many, FitFailure) and str(many.error) == str(judge.error)
            judge.demand(alike, "fit_many fails otherwise", f"{i}: {many}, {judge.error}")
            continue
        slack = slack_of(alone)
        if slack < 1e-5 and alone.n_iter_ <= 20:
            near = abs(many.lower_bound_ - alone.lower_bound_) <= 1e3 * slack * (
                1 + abs(alone.lower_bound_)
            )
            detail = f"{i}: {many.lower_bound_!r} for {alone.lower_bound_!r}, slack {slack:.1g}"
            judge.demand(near, "fit_many differs from fit", detail)


def judge_set_by_hand(judge, case, random):
    """Any one of the covariances, precisions and factors suffices, and contradictions are named."""
    model = fitted_to(judge, case)
    if model is None or model.max_iter == 0:  # weights of a start need not sum to 1
        return
    slack = slack_of(model)
    if not slack < 1e-5:
        return
    truth, _ = in_long_form(model, case.rows)
    for name in ARRAYS[2:]:
        copy = GaussianMixture(**plain(case))
        for own in ("weights_", "means_", name):
            setattr(copy, own, getattr(model, own).copy())
        copy.noise_weight_, copy._noise_density = model.noise_weight_, model._noise_density
        scores = judge.call(f"score_samples of {name}", copy.score_samples, case.rows)
        if scores is FAILED:
            judge.fault(f"{name} alone are refused", judge.error)
            return
        with np.errstate(all="ignore"):
            right = log_sum(truth).astype(float)
            near = np.abs(scores - right) <= 1e3 * slack * (1 + np.abs(right))
        judge.demand(near.all(), f"densities from {name} alone")
        setattr(copy, name, 1.5 * getattr(copy, name))
        for other in ARRAYS[2:]:
            if other != name:
                setattr(copy, other, getattr(model, other))
        judge.call(
            f"score_samples with a changed {name}", copy.score_samples, case.rows, refused=True
        )


# -- distributions --------------------------------------------------------------------------------
def judge_distributions(judge, case, random):
    """Marginal times conditional is joint; quantiles invert probabilities; moments are sums."""
    model = fitted_to(judge, case)
    if model is None or not slack_of(model) < 1e-5:
        return
    rows = np.unique(case.rows[np.isfinite(case.rows).all(axis=1)], axis=0)[:5]
    slack, D = slack_of(model), case.rows.shape[1]
    joint, _ = in_long_form(model, rows)
    with np.errstate(all="ignore"):
        truth = log_sum(joint).astype(float)
    proper = model.noise in (None, "uniform")
    if not proper and model.noise_weight_ < 1e-12:  # noise that a fit gave up is left out
        return
    some = sorted(random.permutation(D)[: random.integers(1, D + 1)].tolist())
    unknown = callable(model.noise) and len(some) < D  # only a function has no known marginals
    small = judge.call("marginal", model.marginal, some, refused=unknown)
    if small is not FAILED and len(rows):
        seen = np.full(rows.shape, np.nan)
        seen[:, some] = rows[:, some]
        parts, _ = in_long_form(model, seen)
        got = judge.call("score_samples of a marginal", small.score_samples, rows[:, some])
        with np.errstate(all="ignore"):
            wanted = log_sum(parts).astype(float)
            # A component whose conditional weight underflows is left out of the conditional.
            kept = np.where(parts - log_sum(parts)[:, None] > -700, joint, -np.inf)
            least = log_sum(kept).astype(float)
        near = got is FAILED or (np.abs(got - wanted) <= 1e3 * slack * (1 + np.abs(wanted))).all()
        judge.demand(near, "a marginal's densities", f"{got} for {wanted}")
        for row, low, whole, own in zip(rows, least, truth, wanted, strict=True):
            if len(some) == D or not proper or not own > -1e6:
                break
            rest = [j for j in range(D) if j not in some]
            given = judge.call("conditional", model.conditional, row[some], features=some)
            if given is FAILED:
                break
            density = judge.call("score_samples", given.score_samples, row[None, rest])
            allowed = 1e3 * slack * (1 + abs(whole) + abs(own))
            near = density is FAILED or low - allowed <= density[0] + own <= whole + allowed
            judge.demand(near, "conditional times marginal", f"{density} + {own} for {whole}")
    distribution = judge.call("distribution", model.distribution, refused=not proper)
    if distribution is FAILED:
        return
    if model.noise is None and len(rows):
        got = judge.call("logpdf", distribution.logpdf, rows if D > 1 else rows[:, 0])
        truth = truth - np.log(model.weights_.sum())  # those of single rows do not sum to one
        near = got is FAILED or (np.abs(got - truth) <= 1e3 * slack * (1 + np.abs(truth))).all()
        judge.demand(near, "logpdf", f"{got} for {truth}")
        mean = judge.call("mean", distribution.mean)
        weights = model.weights_.astype(LONG) / model.weights_.sum(dtype=LONG)
        right = (weights @ model.means_.astype(LONG)).astype(float)
        near = np.allclose(mean, right, 1e-10, 1e-10 * np.abs(model.means_).max())
        judge.demand(mean is FAILED or near, "mean", f"{mean} for {right}")
    draws = judge.call("rvs", distribution.rvs, 3, 0)
    judge.demand(draws is FAILED or np.isfinite(draws).all(), "rvs are not finite", draws)
    one = judge.call("marginal", model.marginal, [int(random.integers(D))])
    if one is FAILED or model.noise is not None:
        return
    q = np.array([1e-12, 0.01, 0.5, 0.9, 1 - 1e-12])
    single = judge.call("distribution", one.distribution)
    x = judge.call("ppf", single.ppf, q)
    if x is FAILED:
        return
    sds = np.sqrt(dense(one)[:, 0, 0])
    with np.errstate(all="ignore"):
        z = ((x[:, None].astype(LONG) - one.means_[:, 0]) / sds).astype(float)
        total = ndtr(z) @ (one.weights_ / one.weights_.sum())
        reach = 1 + (np.abs(one.means_[:, 0]) / sds).max().astype(float)
    near = np.abs(total - q) <= 1e-9 + 1e2 * EPS * reach
    judge.demand(near.all(), "ppf is not the inverse", f"{total} for {q}")


# -- clusters and directions ----------------------------------------------------------------------
def judge_merging(judge, case, random):
    """The first merger of 'entropy' reduces it most; probabilities of clusters are sums."""
    model = fitted_to(judge, case)
    if model is None:
        return
    method = str(random.choice(["entropy", "bhattacharyya", "ridge"]))
    merged = judge.call("merge_components", merge_components, model, case.rows, method=method)
    if merged is FAILED:
        return
    shares = judge.call("predict_proba", model.predict_proba, case.rows)
    K = model.n_components
    judge.demand((np.diff(merged.linkage_[:, 2]) >= 0).all(), "heights of mergers fall")
    judge.demand(np.isfinite(merged.entropy_).all(), "entropies are not finite", merged.entropy_)
    counted = shares[np.isfinite(case.rows).any(axis=1)].astype(LONG)

    def entropy(table):
        with np.errstate(all="ignore"):
            return float(-np.where(table > 0, table * np.log(table), 0).sum())

    allowed = 1e-8 * len(case.rows) * (1 + 1e3 * slack_of(model))
    near = abs(entropy(counted) - merged.entropy_[-1]) <= allowed
    judge.demand(near, "entropy of the components", f"{entropy(counted)}, {merged.entropy_}")
    if method == "entropy" and K > 1:
        gains = {}
        for i, j in combinations(range(K), 2):
            both = np.delete(counted, j, axis=1)
            both[:, i] = counted[:, i] + counted[:, j]
            gains[i, j] = entropy(counted) - entropy(both)
        first = tuple(sorted(merged.linkage_[0, :2].astype(int)))
        right = gains[first] >= max(gains.values()) - allowed
        judge.demand(right, "the first merger is not the best", f"{first} of {gains}")
    level = judge.call("cut", merged.cut, int(random.integers(1, K + 1)))
    found = judge.call("predict_proba of clusters", level.predict_proba, case.rows)
    if found is not FAILED:
        right = np.zeros_like(found)
        np.add.at(right.T, level.component_to_cluster_, shares.T[:K])
        right[:, level.n_clusters :] += shares[:, K:]
        judge.demand(np.abs(found - right).max() < 1e-9, "probabilities of clusters are no sums")


def judge_projection(judge, case, random):
    """Directions have length 1, and coordinates return from rows."""
    model = fitted_to(judge, case)
    if model is None:
        return
    rows = case.rows if random.random() < 0.5 else None
    projection = GaussianMixtureProjection(model, mean_share=float(random.choice([0.0, 0.5, 1.0])))
    if judge.call("fit of a projection", projection.fit, rows) is FAILED:
        return
    lengths = np.linalg.norm(projection.components_, axis=1)
    judge.demand(np.allclose(lengths, 1), "directions do not have length 1", lengths)
    judge.demand((np.diff(projection.eigenvalues_) <= 0).all(), "eigenvalues increase")
    projected = judge.call("transform", projection.transform, case.rows)
    judge.demand(projected is FAILED or np.isfinite(projected).all(), "coordinates not finite")


# -- classes, responses, outliers -----------------------------------------------------------------
def judge_classifier(judge, case, random):
    """Posterior probabilities are Bayes' theorem for the mixtures, whatever the classes' names."""
    n = len(case.rows)
    codes = random.integers(0, 2 + (random.random() < 0.3), size=n)
    y = [codes, codes.astype(float), np.array(list("abc"))[codes]][random.integers(3)]
    if random.random() < 0.3:
        y = y.astype(object)
        y[random.random(n) < 0.3] = None
    passed = ("reg_covar", "random_state", "prior", "init_params")
    given = {name: value for name, value in case.parameters.items() if name in passed}
    names = [case.parameters["covariance_type"], "VII" if case.rows.shape[1] > 1 else "V"]
    kind = str(random.choice(["separate", "shared"]))
    n_components = 1 if kind == "shared" else int(random.integers(1, 3))
    model = GaussianMixtureClassifier(
        n_components, covariance_type=names, components=kind, max_iter=30, **given
    )
    weights, before = weights_of(case), dict(vars(model))
    fit = judge.call("fit of a classifier", model.fit, case.rows, y, sample_weight=weights)
    if fit is FAILED:
        unchanged(judge, "fit of a classifier", model, before)
        return
    known = np.array([value is not None for value in y])
    judge.demand((model.transduction_[known] == y[known]).all(), "transduction_ changes a class")
    judge.demand(abs(model.class_prior_.sum() - 1) < 1e-9, "class_prior_ does not sum to 1")
    parts = [in_long_form(each, case.rows) for each in model.mixtures_]
    with np.errstate(all="ignore"):
        joint = np.stack([log_sum(part) for part, _ in parts], axis=1) + np.log(
            model.class_prior_.astype(LONG)
        )
        error = max(float(error.max(initial=0)) for _, error in parts)
        shares = np.exp(joint - log_sum(joint)[:, None]).astype(float)
    found = judge.call("predict_proba of classes", model.predict_proba, case.rows)
    if found is FAILED or not error < 1e-4:
        return
    scale = 1e-8 + 8 * error + 1e-12 * np.abs(joint.astype(float)).max(axis=1, initial=0)
    off = np.abs(found - shares).max(axis=1) > scale
    i = np.flatnonzero(off)[:1]
    judge.demand(not off.any(), "probabilities of classes", f"row {i}: {found[i]}, {shares[i]}")


def judge_regressor(judge, case, random):
    """Predictions are the conditional moments of the mixture, and least squares for K = 1."""
    D = case.rows.shape[1]
    if D < 2:
        return
    X, y = case.rows[:, :-1], case.rows[:, -1]
    passed = ("n_components", "covariance_type", "reg_covar", "random_state", "prior")
    given = {name: value for name, value in case.parameters.items() if name in passed}
    if random.random() < 0.5:
        given |= {"n_components": 1, "covariance_type": "full"}
    regressor = GaussianMixtureRegressor(max_iter=30, **given)
    weights, before = weights_of(case), dict(vars(regressor))
    if judge.call("fit of a regressor", regressor.fit, X, y, sample_weight=weights) is FAILED:
        unchanged(judge, "fit of a regressor", regressor, before)
        return
    found = judge.call("predict of a regressor", regressor.predict, X, return_std=True)
    slack = slack_of(regressor.model_)
    if found is FAILED or not slack < 1e-6:
        return
    mean, sd = found
    judge.demand(np.isfinite(mean).all() and (sd > 0).all(), "predictions not finite", mean)
    model = regressor.model_
    joint, _ = in_long_form(model, np.column_stack([X, np.full(len(X), np.nan)]))
    covariances, centres = dense(model), model.means_.astype(LONG)
    for i in random.permutation(len(X))[:10]:
        seen = np.flatnonzero(np.isfinite(X[i]))
        with np.errstate(all="ignore"):
            shares = np.exp(joint[i] - joint[i].max())
            shares /= shares.sum()
        means, variances = [], []
        for centre, covariance in zip(centres, covariances, strict=True):
            units = np.sqrt(np.diag(covariance))
            part = (covariance / units[:, None] / units).astype(float)
            slopes = np.linalg.solve(part[np.ix_(seen, seen)], part[seen, -1])
            z = ((X[i, seen] - centre[seen]) / units[seen]).astype(float)
            means.append(centre[-1] + units[-1] * (slopes @ z))
            variances.append(units[-1] ** 2 * (1 - slopes @ part[seen, -1]))
        right = float(shares @ np.array(means))
        spread = float(shares @ (np.array(variances) + (np.array(means) - right) ** 2)) ** 0.5
        reach = np.abs(np.array(means, dtype=float)).max() + spread
        reach += float(np.abs(joint[i]).max()) * spread
        near = abs(mean[i] - right) <= 1e3 * slack * reach
        judge.demand(near, "a conditional mean", f"row {i}: {mean[i]!r} for {right!r}")
        near = abs(sd[i] - spread) <= 1e3 * slack * reach
        judge.demand(near, "a conditional sd", f"row {i}: {sd[i]!r} for {spread!r}")
    median = judge.call("predict_quantile", regressor.predict_quantile, X, [0.05, 0.5, 0.95])
    judge.demand(median is FAILED or (np.diff(median, axis=1) >= 0).all(), "quantiles cross")


def judge_detector(judge, case, random):
    """Scores are probabilities that fall with the density, exact for one component."""
    passed = ("n_components", "covariance_type", "reg_covar", "random_state", "prior")
    given = {name: value for name, value in case.parameters.items() if name in passed}
    if random.random() < 0.4:
        given |= {"n_components": 1, "covariance_type": "full"}
    share = [*np.round(random.uniform(0.01, 0.5, 2), 3), "auto"][random.integers(3)]
    share = share if isinstance(share, str) else float(share)
    detector = GaussianMixtureOutlierDetector(max_iter=30, contamination=share, **given)
    rows, weights, before = case.rows, weights_of(case), dict(vars(detector))
    table = blocks([rows[: len(rows) // 2], rows[len(rows) // 2 :]])
    table = table if weights is None and random.random() < 0.3 else rows
    if judge.call("fit of a detector", detector.fit, table, sample_weight=weights) is FAILED:
        unchanged(judge, "fit of a detector", detector, before)
        return
    score = judge.call("anomaly_score", detector.anomaly_score, rows)
    density = judge.call("score_samples of a detector", detector.score_samples, rows)
    labels = judge.call("predict of a detector", detector.predict, rows)
    if FAILED in (type(score), type(density)) or score is FAILED or density is FAILED:
        return
    judge.demand(((score >= 0) & (score <= 1)).all(), "an anomaly score is no probability", score)
    complete = np.isfinite(rows).all(axis=1)
    order = np.argsort(density[complete], kind="stable")
    falls = np.diff(score[complete][order]) <= 1e-9
    judge.demand(falls.all(), "anomaly scores do not fall with the density")
    right = np.where(density >= detector.offset_, 1, -1)
    judge.demand((labels == right).all(), "labels of outliers contradict their scores")
    if not isinstance(share, str):
        counted = np.ones(len(rows)) if weights is None else weights / weights.max()
        found = counted[labels < 0].sum()
        judge.demand(found <= share * counted.sum() * (1 + 1e-9), "too many outliers", found)
    model = detector.model_
    if model.n_components == 1 and slack_of(model) < 1e-6 and complete.any():
        joint, error = in_long_form(model, rows[complete])
        peak, _ = in_long_form(model, model.means_)
        squares = 2 * (peak[0, 0] - joint[:, 0])
        truth = chi2.cdf(squares.astype(float), rows.shape[1])
        off = np.abs(score[complete] - truth) > 1e-8 + 2 * error[:, 0].astype(float)
        judge.demand(not off.any(), "anomaly scores are not chi-squared", score[complete][off])


JUDGES = [
    *(judge_constraints, judge_labels, judge_sampling, judge_many, judge_set_by_hand),
    *(judge_distributions, judge_merging, judge_projection),
    *(judge_classifier, judge_regressor, judge_detector),
]
