"""Warnings: of a fit whose own statistics show that something is wrong, and of its checkpoint.

The text of a warning is the same for every fit, so that Python's default filter shows it once for
each place in a program. What differs from fit to fit is in the attributes.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable
from typing import Any


class EMWarning(UserWarning):
    """A fit ended, and its own statistics show that something is wrong.

    Parameters
    ----------
    message : str
        What was found, and what to do.
    components : tuple of int or of tuple of int, default=()
        Which components are concerned, counted from 0; empty where the whole fit is.
    """

    #: What happened to these components, in a word or two.
    finding = ""

    def __init__(
        self, message: str, components: tuple[int, ...] | tuple[tuple[int, ...], ...] = ()
    ) -> None:
        super().__init__(message)
        self.components = components


class CoincidentComponentsWarning(EMWarning):
    """Two or more components are the same, and EM cannot part them.

    Attributes
    ----------
    components : tuple of tuple of int
        A tuple for each group of components that are the same.
    before, after : float
        The mean log-likelihood before the components were split, and at the end of the fit; equal
        where no split was made.
    """

    before = after = math.nan


class CollapsedComponentWarning(EMWarning):
    """A component shrank to nothing beside the data, or holds too few rows for its covariance.

    Attributes
    ----------
    components : tuple of int
        The collapsed components.
    masses : tuple of float
        The effective number of rows of each.
    standard_deviations : tuple of float
        The smallest standard deviation of each, in any direction.
    """

    finding = "collapsed"
    masses: tuple[float, ...] = ()
    standard_deviations: tuple[float, ...] = ()


class StarvedComponentWarning(EMWarning):
    """A component holds less than one row.

    Attributes
    ----------
    components : tuple of int
        The starved components.
    masses : tuple of float
        The effective number of rows of each, or that of which its parameters were made if it is
        less.
    """

    finding = "starved"
    masses: tuple[float, ...] = ()


class UnsoundComponentsWarning(CollapsedComponentWarning, StarvedComponentWarning):
    """Some components collapsed, and others hold less than one row: both, in one warning."""

    finding = "collapsed or starved"


class StoppedShortWarning(EMWarning):
    """EM stopped although much of the log-likelihood was still to be gained.

    Attributes
    ----------
    remaining_gain : float
        The gain that is left, in nats summed over all rows: an estimate, or what a few more passes
        were seen to gain; inf where the gains were still growing.
    """

    remaining_gain = math.nan


class RegularizationWarning(EMWarning):
    """`reg_covar` is large beside the variance of a feature, and so decides the fit.

    Attributes
    ----------
    features : tuple of int
        The features concerned, counted from 0.
    shares : tuple of float
        For each of them, `reg_covar` divided by the variance of all rows.
    """

    features: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()


class UnobservedPairWarning(UserWarning):
    """Two features were never observed in the same row, and their covariance is free.

    Parameters
    ----------
    message : str
        What, and what to do.
    features : sequence of (int, int)
        Which features.
    """

    def __init__(self, message: str, features: tuple[tuple[int, int], ...]):
        super().__init__(message)
        self.features = features


class CheckpointWarning(UserWarning):
    """A fit goes on, but it could not be kept in its checkpoint."""


def listed(components: tuple[Any, ...]) -> str:
    """'component 1', 'components 0 and 1', 'components 0, 1 and 2'; nothing for none."""
    if not components:
        return ""
    *most, last = map(str, components)
    return f"components {', '.join(most)} and {last}" if most else f"component {last}"


def named(features: tuple[int, ...], names: Any) -> str:
    """The numbers of features, with their names where they have any."""
    return ", ".join(f"{j}" if names is None else f"{j} ({names[j]!r})" for j in features)


# Packages whose frames lie between a user's line and the fit that it asks for.
BETWEEN = ("emgmm.", "sklearn.", "joblib.", "contextlib")

# Warnings that were issued under the default filter: class, text, file and line.
_issued: set[tuple[type[Warning], str, str, int]] = set()


def frames_to_user() -> int:
    """The `stacklevel` with which the caller's warning points at the first line outside."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(BETWEEN):
        frame, level = frame.f_back, level + 1
    return level


def issue(found: Iterable[Warning]) -> None:
    """Issue warnings at the user's line.

    Python's default filter shows each once for a line, but scikit-learn resets what it remembers
    for each task of a search. So it is remembered here; other filters decide as ever.
    """
    for warning in found:
        level = frames_to_user()
        frame = sys._getframe(level - 1)
        place = (type(warning), str(warning), frame.f_code.co_filename, frame.f_lineno)
        if place in _issued and _is_shown_once(warning, frame.f_globals.get("__name__", "")):
            continue
        _issued.add(place)
        warnings.warn(warning, stacklevel=level)


def _is_shown_once(warning: Warning, module: str) -> bool:
    """Whether the filter that applies to a warning shows it once for each line."""
    for action, message, category, place, line in warnings.filters:
        if (
            (message is None or message.match(str(warning)))
            and issubclass(type(warning), category)
            and (place is None or place.match(module))
            and line == 0
        ):
            return action == "default"
    return True
