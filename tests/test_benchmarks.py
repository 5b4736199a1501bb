"""The benchmarks' harness: workers, turns, and what counts as a result."""

from __future__ import annotations

import os
import warnings
from time import sleep

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from benchmarks import grid, iterations, limit, longform, scaling
from benchmarks.agreement import log_likelihood
from benchmarks.iterations import Outcome
from benchmarks.libraries import Fitted, load
from benchmarks.problems import Problem, count
from benchmarks.table import table
from benchmarks.timing import Turns, take_turns
from benchmarks.worker import Worker, WorkerError

PROBLEM = Problem(200, 2, 2, "full", 3)


def test_a_worker_answers_says_what_went_wrong_and_comes_back_after_death():
    with Worker(1) as worker:
        first = worker.call(os.getpid)
        assert worker.call(os.getpid) == first != os.getpid()
        with pytest.raises(WorkerError, match="FileNotFoundError"):
            worker.call(os.stat, "/no/such/file")
        with pytest.raises(WorkerError, match="status 3"):
            worker.call(os._exit, 3)
        assert worker.call(os.getpid) != first


def test_who_fails_is_out_and_the_others_go_on():
    turns = take_turns({"sound": lambda: 1.0, "broken": lambda: 1 / 0}, repeats=3)
    assert turns["sound"].results == [1.0] * 3
    assert turns["broken"].results == []
    assert "division" in turns["broken"].failure


def test_who_is_slow_has_fewer_rounds_and_its_ratio_is_of_those():
    takers = {"quick": lambda: 1.0, "slow": lambda: sleep(0.02) or 4.0}
    turns = take_turns(takers, repeats=3, patience=0.03)
    assert turns["quick"].results == [1.0] * 3
    assert turns["slow"].results == [4.0]
    each = {
        name: Turns([iterations.Turn(result, result) for result in own.results])
        for name, own in turns.items()
    }
    outcome = Outcome(PROBLEM, each, dict.fromkeys(each, -2.0), dict.fromkeys(each, 1e-9))
    assert outcome.cell("slow", "whole") == "4000 (0.250x; 1)"
    assert outcome.cell("quick", "whole") == "1000"


def test_ours_agrees_nothing_is_refused_and_failures_are_told():
    with Worker(1) as worker:
        who = {name: (worker, name, PROBLEM) for name in ("sklearn", "emgmm", "null")}
        tied = Problem(200, 2, 2, "tied", 3)
        outcome = iterations.measure(PROBLEM, who, repeats=1)
        other = iterations.measure(
            tied, {name: (worker, name, tied) for name in ("sklearn", "gone")}, repeats=1
        )
    assert outcome.agrees("emgmm")
    assert not outcome.agrees("null")
    assert outcome.cell("null", "whole").endswith("!=")
    assert not iterations.wrong([outcome])
    assert other.cell("gone", "whole") == "failed"
    assert not other.agrees("gone")
    assert len(iterations.failures([other])) == 1


def test_a_likelihood_that_is_no_number_or_not_ems_is_wrong():
    for end, told in ((-2.0, 0), (-2.1, 1), (np.nan, 1)):
        outcome = Outcome(PROBLEM, {}, {"emgmm": end}, {"emgmm": 1e-9})
        assert len(list(grid.wrong([(outcome, -2.0)], ["emgmm"]))) == told


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_em_in_long_form_is_scikit_learns(kind):
    problem = Problem(200, 2, 2, kind, 3, reg_covar=1e-6)
    X, start = problem.make()
    ours = longform.fit(problem, X, start)
    with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
        theirs = load("sklearn").fit(problem, X, start)
    assert log_likelihood(ours, X) == pytest.approx(log_likelihood(theirs, X), abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "products"), [("full", 1 + 3 + 6), ("tied", 4), ("diag", 7), ("spherical", 5)]
)
def test_the_limit_counts_two_products_and_one_exp(kind, products):
    problem = Problem(100, 3, 4, kind, 2)
    parts = limit.parts(problem, limit.Peak(flops=1e3, exps=10.0), threads=2)
    assert parts["products"] == pytest.approx(2 * 2 * 100 * 4 * products / 1e3 / 2)
    assert parts["exps"] == pytest.approx(100 * 4 / 10 / 2)


def test_exponents_are_slopes_of_the_larger_half():
    points = [(1, 5.0), (10, 5.0), (100, 2e4), (1000, 2e6)]
    assert scaling.exponent(points) == pytest.approx(2)
    assert scaling.doublings(6) == (1, 2, 4, 6)


def test_start_and_names():
    X, start = PROBLEM.make()
    assert np.allclose(np.linalg.inv(start.covariances), start.precisions)
    assert X.shape == (200, 2)
    assert [count(n) for n in (150, 2000, 20_000, 1_500_000)] == ["150", "2000", "2e4", "15e5"]
    assert table(["a", "b"], [["x", "1.5"], ["", "10"]]).splitlines()[-2:] == [
        "\\     10",
        "===  ===",
    ]


def test_an_indefinite_covariance_is_no_result():
    X, start = PROBLEM.make()
    broken = Fitted(start.weights, start.means, -start.covariances)
    assert np.isnan(log_likelihood(broken, X))
    sound = Fitted(start.weights, start.means, start.covariances)
    assert np.isfinite(log_likelihood(sound, X))
