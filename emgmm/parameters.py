"""Validation of constructor parameters, by means of scikit-learn's constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache, lru_cache
from inspect import signature
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from emgmm.private_api import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    StrOptions,
    fit_context,
    validate_parameter_constraints,
)

__all__ = [
    "ARRAYS",
    "Hidden",
    "Interval",
    "ValidationMixin",
    "check_parameters",
    "generator",
    "one_of",
    "suggestion",
    "validated",
]

# Constraints of arrays; scikit-learn's "array-like" also admits strings, and so misspelt names.
ARRAYS = (list, tuple, HasMethods("__array__"))

# Constraints that booleans satisfy. Being integers in Python, they would also satisfy those of
# numbers, where they are rejected.
BOOLEANS = {"boolean", "verbose", "no_validation"}


# Types of values that are valid or not whenever they are validated.
PLAIN = (str, int, float, bool)

Method = TypeVar("Method", bound=Callable[..., Any])


def validated(method: Method) -> Method:
    """Return a method that validates the constructor parameters first, with the same signature."""
    decorated: Method = fit_context(prefer_skip_nested_validation=True)(method)
    return decorated


@cache
def _defaults(kind: type[BaseEstimator]) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in signature(kind).parameters.items()}


def one_of(names: Iterable[str]) -> StrOptions:
    """Return the constraint of a parameter with these options, which messages list sorted."""
    return StrOptions(dict.fromkeys(sorted(names)).keys())


def suggestion(value: Any, names: Iterable[str]) -> str:
    """Return a question that suggests the name that is most similar to a misspelt one, or ""."""
    lower = {name.lower(): name for name in names}
    similar = get_close_matches(value.lower(), lower, n=1) if isinstance(value, str) else []
    return f" Did you mean {lower[similar[0]]!r}?" if similar else ""


# Generators that are not in use. Creating one takes a hundred times as long as seeding it, and as
# long as an EM iteration of a small fit.
_idle: list[np.random.RandomState] = []


@contextmanager
def generator(random_state: Any) -> Iterator[np.random.RandomState]:
    """Yield the generator of scikit-learn's `check_random_state`.

    For an integer seed, the generator is valid inside the context only, because it is reused.
    """
    if not isinstance(random_state, Integral):
        yield check_random_state(random_state)
        return
    try:
        random = _idle.pop()
    except IndexError:
        random = np.random.RandomState()
    random.seed(int(random_state))
    try:
        yield random
    finally:
        _idle.append(random)


def check_parameters(estimator: BaseEstimator) -> None:
    """Validate the constructor parameters of an estimator, which `fit` does otherwise."""
    estimator._validate_params()


def count(value: Any, name: str) -> int:
    """Return a positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, but got {value!r}")
    if value < 1:
        raise ValueError(
            f"Invalid value for '{name}': {value} . The sampling requires at least one sample."
        )
    return int(value)


def sizes(value: Any) -> tuple[int, ...]:
    """Return the shape of an array that an integer, several of them, or None describes."""
    values = value if isinstance(value, list | tuple) else np.ravel(value).tolist()
    found = [] if value is None else list(values)
    if not all(0 <= number(each) < np.inf and isinstance(each, Integral) for each in found):
        raise ValueError(
            f"size must be None, or one or several non-negative integers, but got {value!r}."
        )
    return tuple(map(int, found))


def number(value: Any) -> float:
    """Return a number as a float, infinity if it is too large, and nan for anything else."""
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, Real):
        return np.nan
    try:
        return float(value)
    except OverflowError:
        return np.inf


def _plain(value: Any) -> Any:
    """Return a scalar as one of Python's types, in which the constraints can be evaluated.

    Scalars of NumPy would pass for arrays. Numbers beyond the range of floats become infinite.
    """
    if isinstance(value, np.timedelta64):  # which is an integer of NumPy
        return value.astype("m8[s]").item()
    if isinstance(value, np.generic):
        value = value.item()
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number:
        return value
    if isinstance(value, Integral) and abs(int(value)) < 2**63:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value <= 0 else math.inf


def _validate(kind: Any, name: str, value: Any) -> None:
    """Validate the value of a parameter of a class of estimators."""
    value, constraints = _plain(value), kind._parameter_constraints
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


# The same for values of the types `PLAIN`, of which those that are valid are remembered.
_validate_once = lru_cache(maxsize=1024, typed=True)(_validate)


class ValidationMixin:
    """Mixin of estimators that validate those parameters that differ from their defaults."""

    get_params: Callable[..., dict[str, Any]]

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        """Return the cached names of the parameters, which scikit-learn collects in every fit."""
        names: list[str] = super()._get_param_names()  # type: ignore[misc]
        return names

    def _validate_params(self) -> None:
        """Validate the parameters that differ from their defaults, which are known to be valid.

        Validating all of them takes as long as an iteration on a small table.

        Raises
        ------
        InvalidParameterError
            If a parameter does not satisfy the constraints of the estimator.
        """
        kind: Any = type(self)
        defaults = _defaults(kind)
        for name, value in self.get_params(deep=False).items():
            if value is not defaults[name]:
                validate = _validate_once if type(value) in PLAIN else _validate
                validate(kind, name, value)
