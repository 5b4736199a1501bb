"""Warnings of a fit that ended where its own statistics show that something is wrong."""

from __future__ import annotations


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
