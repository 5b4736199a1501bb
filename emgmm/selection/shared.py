"""`shared`: an attribute that a selection has in common with its best estimator."""

from __future__ import annotations

from copy import copy
from typing import Any


class _Shared:
    """Attribute of a selection that is an attribute of its `best_estimator_`; no copy can differ.

    Setting or deleting it replaces that estimator by a copy, as others may refer to it.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, selection: Any, owner: type | None = None) -> Any:
        if selection is None:
            return self
        return getattr(selection.best_estimator_, self.name)

    def __set__(self, selection: Any, value: Any) -> None:
        selection.best_estimator_ = copy(selection.best_estimator_)
        setattr(selection.best_estimator_, self.name, value)

    def __delete__(self, selection: Any) -> None:
        selection.best_estimator_ = copy(selection.best_estimator_)
        delattr(selection.best_estimator_, self.name)


def shared() -> Any:
    """Return the descriptor of such an attribute, whatever its type."""
    return _Shared()
