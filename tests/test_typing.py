"""What the annotations say is so when the code runs; mypy checks `typing_usage` itself."""

from __future__ import annotations

import warnings
from inspect import signature
from typing import get_args, get_origin, get_type_hints

import pytest
import typing_usage
from conftest import fit
from sklearn.utils._param_validation import InvalidParameterError, StrOptions
from typing_usage import X

from emgmm import GaussianMixture, GaussianMixtureIC

pytestmark = pytest.mark.all_cases


def names(constraints):
    return {name for each in constraints if isinstance(each, StrOptions) for name in each.options}


def literals(annotation):
    """The strings in the literals that an annotation consists of."""
    inner = get_args(annotation)
    found = {each for each in inner if isinstance(each, str)}
    return found.union(*(literals(each) for each in inner if not isinstance(each, str)))


@pytest.mark.parametrize("cls", [GaussianMixture, GaussianMixtureIC])
def test_the_literals_are_the_names_that_are_accepted(cls):
    hints = get_type_hints(cls.__init__)
    for name in signature(cls).parameters:
        assert literals(hints[name]) == names(cls._parameter_constraints[name]), name


@pytest.mark.parametrize("cls", [GaussianMixture, GaussianMixtureIC])
def test_every_fitted_attribute_has_the_type_that_is_declared(cls):
    model = fit(cls(2, random_state=0), X)
    model.feature_names_in_ = None
    public = {name for name in dir(model) if name.endswith("_") and not name.startswith("_")}
    hints = {
        name: hint
        for name, hint in get_type_hints(cls).items()
        if name.endswith("_") and not name.startswith("_")
    }
    assert hints.keys() == public
    del model.feature_names_in_, hints["feature_names_in_"]
    for name, hint in hints.items():
        assert isinstance(getattr(model, name), get_origin(hint) or hint), name


def test_typical_use_runs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for use in ("fits", "attributes", "methods", "selection", "parameters"):
            getattr(typing_usage, use)()


def test_the_names_that_the_type_checker_refuses_are_refused(monkeypatch):
    """Each of them by `fit`; `typing_usage.errors` only makes the estimators."""
    made = []
    for cls in (GaussianMixture, GaussianMixtureIC):
        monkeypatch.setattr(
            typing_usage, cls.__name__, lambda *a, cls=cls, **k: made.append(cls(*a, **k))
        )
    typing_usage.errors()
    assert len(made) == 7
    for model in made:
        with pytest.raises((InvalidParameterError, ValueError), match="must be"):
            model.fit(X)
