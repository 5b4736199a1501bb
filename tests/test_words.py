"""Warnings and errors of fits: once for a line, each component in one of them, advice that fits."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import clusters
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emgmm import (
    CollapsedComponentWarning,
    EMWarning,
    GaussianMixture,
    GaussianMixtureIC,
    StarvedComponentWarning,
)

THREE = np.array([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]] * 20)


def one_hot():
    numbers = 0.1 * np.random.default_rng(0).normal(size=200)
    return pd.DataFrame({"height": numbers, "smoker": np.repeat([0.0, 1.0], 100)})


def caught_of(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [each for each in caught if issubclass(each.category, EMWarning)]


@pytest.mark.parametrize("covariance_type", ["full", "spherical"])
@pytest.mark.parametrize("n_components", [3, 4, 5, 8])
def test_one_warning_names_each_component_of_three_distinct_rows_once(
    n_components, covariance_type
):
    model = GaussianMixture(n_components, covariance_type=covariance_type, random_state=0)
    (found,) = caught_of(lambda: model.fit(THREE))
    assert found.message.components == tuple(range(n_components))
    assert isinstance(found.message, CollapsedComponentWarning)
    assert isinstance(found.message, StarvedComponentWarning) == (n_components > 3)
    assert len(found.message.masses) == len(found.message.standard_deviations) == n_components
    if n_components > 3:
        starved = np.array(found.message.masses) < 1
        assert 1 <= starved.sum() <= n_components - 3


@pytest.mark.parametrize("wrap", ["bare", "pipeline", "search"])
def test_the_line_of_the_user_is_named_through_other_estimators(wrap):
    rows, model = one_hot().to_numpy(), GaussianMixture(2, random_state=0)
    if wrap == "pipeline":
        model = make_pipeline(StandardScaler(), model)
    if wrap == "search":
        model = GridSearchCV(model, {"n_components": [2, 3]}, cv=2)
    found = caught_of(lambda: model.fit(rows))
    assert found
    assert {each.filename for each in found} == {__file__}
    assert len({each.lineno for each in found}) == 1


def test_a_search_shows_each_warning_once_under_the_default_filter():
    script = textwrap.dedent(
        """
        import numpy as np
        from sklearn.model_selection import GridSearchCV
        from emgmm import GaussianMixture
        rows = np.column_stack([np.random.default_rng(0).normal(size=200), np.repeat([0, 1], 100)])
        for seed in range(3):
            model = GaussianMixture(random_state=seed)
            GridSearchCV(model, {"n_components": [1, 2, 2, 2]}, cv=3).fit(rows)
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    assert run.stderr.count("CollapsedComponentWarning") == 1


def test_other_filters_decide_as_ever():
    def fit():
        GaussianMixture(3, random_state=0).fit(THREE)

    assert len(caught_of(lambda: [fit() for _ in range(3)])) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(CollapsedComponentWarning):
                fit()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        fit()
    assert not caught


def test_a_one_hot_column_is_called_discrete_by_name():
    table = one_hot()
    (found,) = caught_of(lambda: GaussianMixture(2, random_state=0).fit(table))
    assert "Column 1 ('smoker') is discrete" in str(found.message)
    with pytest.raises(ValueError, match=r"Column 1 \('smoker'\) is discrete") as error:
        GaussianMixture(2, reg_covar=0, random_state=0).fit(table)
    assert "height" not in str(error.value)
    (found,) = caught_of(lambda: GaussianMixture(2, random_state=0).fit(table.to_numpy()))
    assert "Column 1 is discrete" in str(found.message)
    table["city"] = np.tile([0.0, 1.0, 2.0, np.nan], 50)
    with pytest.raises(ValueError, match=r"Columns 1 \('smoker'\), 2 \('city'\) are discrete"):
        GaussianMixture(1, reg_covar=0, means_init=[[0, 0, 0]], covariance_type="full").fit(
            table.assign(city=1.0)
        )


def test_continuous_columns_are_not_called_discrete():
    rows = np.vstack((clusters(50, 2), np.full((30, 2), 100.0)))
    (found,) = caught_of(lambda: GaussianMixture(4, random_state=0).fit(rows))
    assert "discrete" not in str(found.message)


def test_advice_fits_what_was_done_already():
    labels = {"init_params": lambda *_: (np.arange(60) < 2).astype(int)}
    rows = 1e12 * clusters(60, 3)
    with pytest.raises(ValueError, match="increase reg_covar") as error:
        GaussianMixture(2, reg_covar=25, **labels).fit(rows)
    text = str(error.value)
    assert "As reg_covar is above 0 already, rescale the columns" in text
    assert text.endswith("(Singular: component 1, with reg_covar=25.)")
    with pytest.raises(ValueError, match="with reg_covar=0") as error:
        GaussianMixture(2, reg_covar=0, **labels).fit(rows)
    assert "already" not in str(error.value)
    stream = GaussianMixture(1, reg_covar=25, random_state=0).partial_fit(rows[:50])
    stream.forgetting = 1.0
    with pytest.raises(ValueError, match=r"with reg_covar=25.* rescale the columns"):
        stream.partial_fit(rows[:30, :1] * [1.0, 1.0, 1.0])


def test_a_search_by_a_criterion_points_at_the_user_too():
    search = GaussianMixtureIC([2], covariance_type="VVV", reg_covar=1e-6, random_state=0)
    found = caught_of(lambda: search.fit(one_hot()))
    assert found
    assert all(each.filename == __file__ for each in found)


def test_the_interpreters_own_filters_show_a_warning_once_for_a_line():
    """Without any other filter, whose modules would be patterns instead of names."""
    program = """
from emgmm import GaussianMixture
for _ in range(3):
    GaussianMixture(2, random_state=0).fit([[0.0], [0.0], [0.0], [0.0], [1.0]])
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("CollapsedComponentWarning: ") == 1
