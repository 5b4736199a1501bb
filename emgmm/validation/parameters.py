"""Validation of constructor parameters; the one module that uses scikit-learn's private API."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from inspect import signature
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)

__all__ = [
    "ARRAYS",
    "Hidden",
    "Interval",
    "ValidatedParameters",
    "check_parameters",
    "one_of",
    "suggestion",
]

# Constraints of arrays; scikit-learn's "array-like" also admits strings, and so misspelt names.
ARRAYS = (list, HasMethods("__array__"))

# Constraints that a boolean satisfies. It satisfies all those of numbers as well, being an integer
# to Python, and is refused there.
BOOLEANS = {"boolean", "verbose", "no_validation"}


@cache
def _defaults(kind: type[BaseEstimator]) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in signature(kind).parameters.items()}


def check_parameters(estimator: BaseEstimator) -> None:
    """Validate the parameters that are not at their defaults, of which it is known.

    Validating all of them takes as long as an iteration on a small table.

    Raises
    ------
    InvalidParameterError
        Where one of them does not satisfy the estimator's constraints.
    """
    kind: Any = type(estimator)
    defaults, constraints = _defaults(kind), kind._parameter_constraints
    own = estimator.get_params(deep=False)
    others = {name: value for name, value in own.items() if value is not defaults[name]}
    for name, value in others.items():
        if isinstance(value, bool) and name in constraints:
            allowed = [each for each in constraints[name] if isinstance(each, str)]
            if BOOLEANS.isdisjoint(allowed):
                raise InvalidParameterError(
                    f"The {name!r} parameter of {kind.__name__} must not be a boolean. Got "
                    f"{value!r} instead."
                )
        try:
            validate_parameter_constraints(constraints, {name: value}, kind.__name__)
        except InvalidParameterError as error:
            named = [each.options for each in constraints[name] if isinstance(each, StrOptions)]
            names = [option for options in named for option in options]
            raise InvalidParameterError(f"{error}{suggestion(value, names)}") from None


def one_of(names: Iterable[str]) -> StrOptions:
    """The constraint of a parameter that is one of these names, which are listed sorted."""
    return StrOptions(dict.fromkeys(sorted(names)).keys())


def suggestion(value: Any, names: Iterable[str]) -> str:
    """A question to the user who misspelt one of the names; nothing where none of them is near."""
    lower = {name.lower(): name for name in names}
    near = get_close_matches(value.lower(), lower, n=1) if isinstance(value, str) else []
    return f" Did you mean {lower[near[0]]!r}?" if near else ""


class ValidatedParameters:
    """Mixin of estimators that validate the parameters that are not at their defaults."""

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        """Cache the names of the parameters, which scikit-learn collects anew for every fit."""
        names: list[str] = super()._get_param_names()  # type: ignore[misc]
        return names

    def _validate_params(self) -> None:
        check_parameters(self)
