"""Warnings and errors of fits, and the functions that format and issue them.

The text of a warning is the same for every fit, so that Python's default filter shows it once for
each place in a program. The attributes hold what differs between fits.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np


def _restored(kind: type[Any], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    """Return an unpickled exception."""
    exception = kind.__new__(kind, *args)
    vars(exception).update(state)
    return exception


def _reduced(exception: Exception) -> tuple[Any, ...]:
    """Return what pickle needs where the constructor takes other arguments than the message."""
    return _restored, (type(exception), exception.args, vars(exception))


class DegenerateCovarianceError(ValueError):
    """Some covariances are not positive definite.

    Parameters
    ----------
    components : tuple of int, default=()
        Components concerned, counted from 0; empty if all components share the covariance.
    features : tuple of int, default=()
        Features that are constant or linearly dependent, if all covariances are singular because
        the data are.
    """

    def __init__(self, components: tuple[int, ...] = (), *, features: tuple[int, ...] = ()) -> None:
        super().__init__(f"not positive definite: {components}")
        self.components = components
        self.features = features


class ConstantFeaturesError(ValueError):
    """Some features do not vary.

    Parameters
    ----------
    features : tuple of int
        These features.
    consequence : str
        Consequence, and the remedy, as the end of a sentence.
    """

    def __init__(self, features: tuple[int, ...], consequence: str) -> None:
        super().__init__(consequence)
        self.features = features


class FailedBlockError(ValueError):
    """The update by a block of a stream would lead to a singular covariance.

    Parameters
    ----------
    error : DegenerateCovarianceError
        Error of the M-step.
    ridge : float or None
        Number that was added to the variances; None under a prior.
    """

    def __init__(self, error: DegenerateCovarianceError, ridge: float | None) -> None:
        super().__init__(
            f"This block would lead to a singular covariance ({_location(error)}"
            f"{_regularization(ridge)}), so nothing was changed: pass more rows at a time, "
            f"{_remedy(ridge)}, or decrease the number of components."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reduced(self)


class FailedFitError(ValueError):
    """A fit met a singular covariance; the message begins as scikit-learn's does.

    Parameters
    ----------
    error : DegenerateCovarianceError
        Error of the M-step.
    ridge : float or None
        Number that was added to the variances; None under a prior.
    dtype : dtype
        Type of the rows.
    feature_names : array-like of str, optional
        Names of the features.
    note : str, default=''
        Sentence that follows the advice.
    """

    def __init__(
        self,
        error: DegenerateCovarianceError,
        ridge: float | None,
        dtype: np.dtype[Any],
        feature_names: Any = None,
        note: str = "",
    ) -> None:
        message = (
            "Fitting the mixture model failed because some components have ill-defined empirical "
            "covariance (for instance caused by singleton or collapsed samples). Try to decrease "
            "the number of components, increase reg_covar, or scale the input data."
        )
        if dtype == np.float32:
            message += (
                " The numerical accuracy can also be improved by passing float64 data instead of "
                "float32."
            )
        location = _location(error)
        if error.features:
            columns = format_features(error.features, feature_names)
            location = f"all, because X is constant or linearly dependent in column {columns}"
            message += " Leave such columns out, or increase reg_covar."
        elif ridge is not None and ridge > 0:
            message += f" As reg_covar is above 0 already, {_remedy(ridge)}."
        super().__init__(f"{message}{note} (Singular: {location}{_regularization(ridge)}.)")

    def __reduce__(self) -> tuple[Any, ...]:
        return _reduced(self)


def _location(error: DegenerateCovarianceError) -> str:
    """Return the components whose covariance is singular."""
    return format_components(error.components) or "the covariance that all components share"


def _regularization(ridge: float | None) -> str:
    """Describe the regularization of the covariances; None stands for a prior."""
    return ", with a prior" if ridge is None else f", with reg_covar={ridge:g}"


def _remedy(ridge: float | None) -> str:
    """Return the advice that goes with the regularization of the covariances."""
    if ridge is None:
        return "give the prior a larger scale or more degrees of freedom"
    if ridge > 0:
        return "rescale the columns to comparable units or set prior='conjugate'"
    return "increase reg_covar"


class EMWarning(UserWarning):
    """The statistics of a fit show a problem.

    Parameters
    ----------
    message : str
        Description of the problem and of its remedy.
    components : tuple of int or of tuple of int, default=()
        Components concerned, counted from 0; empty if the warning concerns the whole fit.
    """

    #: One or two words for what happened to these components.
    finding = ""

    def __init__(self, message: str, components: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.components = components


class CoincidentComponentsWarning(EMWarning):
    """Two or more components are identical, and EM cannot separate them.

    Attributes
    ----------
    components : tuple of tuple of int
        Groups of identical components.
    before, after : float
        Mean log-likelihood before the components were split, and at the end of the fit. Both are
        equal if the components were not split.
    """

    before = after = math.nan


class CollapsedComponentWarning(EMWarning):
    """A component is tiny compared with the data, or has too few rows for its covariance.

    Attributes
    ----------
    components : tuple of int
        Collapsed components.
    masses : tuple of float
        Effective number of rows of each of them.
    standard_deviations : tuple of float
        Smallest standard deviation of each of them, in any direction.
    """

    finding = "collapsed"
    masses: tuple[float, ...] = ()
    standard_deviations: tuple[float, ...] = ()


class StarvedComponentWarning(EMWarning):
    """A component has an effective number of rows below 1.

    Attributes
    ----------
    components : tuple of int
        Starved components.
    masses : tuple of float
        Effective number of rows of each of them, at the end of the fit or in the last M-step,
        whichever is smaller.
    """

    finding = "starved"
    masses: tuple[float, ...] = ()


class UnsoundComponentsWarning(CollapsedComponentWarning, StarvedComponentWarning):
    """Some components collapsed, and others have an effective number of rows below 1.

    Attributes
    ----------
    components : tuple of int
        Components of either kind.
    masses, standard_deviations : tuple of float
        Effective number of rows, and smallest standard deviation in any direction, of each.
    """

    finding = "collapsed or starved"


class StoppedShortWarning(EMWarning):
    """EM stopped although the log-likelihood could still increase considerably.

    Attributes
    ----------
    remaining_gain : float
        Remaining gain in nats, summed over all rows. It is an estimate, or the gain of a few
        further passes; inf if the gains were still growing.
    """

    remaining_gain = math.nan


class RegularizationWarning(EMWarning):
    """`reg_covar` is large compared with the variance of a feature and dominates the fit.

    Attributes
    ----------
    features : tuple of int
        Features concerned, counted from 0.
    shares : tuple of float
        Ratio of `reg_covar` to the variance of all rows, for each of these features.
    """

    features: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()


class UnobservedPairWarning(UserWarning):
    """Two features were never observed in the same row, so that their covariance is arbitrary.

    Parameters
    ----------
    message : str
        Description of the problem and of its remedy.
    features : tuple of (int, int)
        Pairs of features, counted from 0.
    """

    def __init__(self, message: str, features: tuple[tuple[int, int], ...]):
        super().__init__(message)
        self.features = features

    def __reduce__(self) -> tuple[Any, ...]:
        return _reduced(self)


class CheckpointWarning(UserWarning):
    """A fit continues, but its checkpoint could not be written, locked or removed."""


def format_components(components: tuple[Any, ...]) -> str:
    """Return 'component 1', 'components 0 and 1' or the like; the empty string for none."""
    if not components:
        return ""
    *most, last = map(str, components)
    return f"components {', '.join(most)} and {last}" if most else f"component {last}"


# Number of features that a message names.
MOST_NAMED = 8


def format_features(features: tuple[int, ...], names: Any) -> str:
    """Return the numbers of features, with their names if they have any; of many, the first."""
    first = (f"{j}" if names is None else f"{j} ({names[j]!r})" for j in features[:MOST_NAMED])
    rest = f", ... ({len(features)} columns)" if len(features) > MOST_NAMED else ""
    return ", ".join(first) + rest


# Packages whose frames lie between the line of a user's program and the fit that it starts.
INTERMEDIATE = ("emgmm.", "sklearn.", "joblib.", "contextlib")

# Warnings that were issued under the default filter: class, text, file and line.
_issued: set[tuple[type[Warning], str, str, int]] = set()


def frames_to_user() -> int:
    """Return the `stacklevel` with which a warning of the caller points at the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(INTERMEDIATE):
        frame, level = frame.f_back, level + 1
    return level


def issue(found: Iterable[Warning]) -> None:
    """Issue warnings that point at the user's line.

    Python's default filter shows each of them once per line, but scikit-learn resets the registry
    of that filter for each task of a search. Therefore this module keeps a registry of its own.
    Other filters act as usual.
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
    """Whether the filter that applies to a warning shows it once per line."""
    for action, message, category, place, line in warnings.filters:
        applies = line == 0 and isinstance(warning, category)
        if applies and _matches(message, str(warning)) and _matches(place, module):
            return action == "default"
    return True


def _matches(pattern: Any, text: str) -> bool:
    """Whether a text satisfies a part of a filter, which in Python's own filters is a string."""
    if pattern is None or isinstance(pattern, str):
        return pattern in (None, text)
    return pattern.match(text) is not None
