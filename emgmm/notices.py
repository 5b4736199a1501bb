"""Warnings: of a fit whose own statistics show that something is wrong, and of its checkpoint."""

from __future__ import annotations

import sys


class EMWarning(UserWarning):
    """A fit ended, and its own statistics show that something is wrong.

    Parameters
    ----------
    message : str
        What, and what to do.
    components : sequence of int or of tuple of int
        Which components.
    """

    def __init__(self, message: str, components: tuple[int, ...] | tuple[tuple[int, ...], ...]):
        super().__init__(message)
        self.components = components


class CoincidentComponentsWarning(EMWarning):
    """Two or more components are the same, and EM cannot part them."""


class CollapsedComponentWarning(EMWarning):
    """A component shrank to nothing beside the data, or holds too few rows for its covariance."""


class StarvedComponentWarning(EMWarning):
    """A component holds less than one row."""


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


def listed(components: tuple[int, ...]) -> str:
    """'component 1', 'components 0 and 1', 'components 0, 1 and 2'; nothing for none."""
    if not components:
        return ""
    *most, last = map(str, components)
    return f"components {', '.join(most)} and {last}" if most else f"component {last}"


def frames_to_user() -> int:
    """The `stacklevel` with which the caller's warning points at the first line outside."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("emgmm.", "sklearn.")
    ):
        frame, level = frame.f_back, level + 1
    return level
