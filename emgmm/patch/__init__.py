"""`patch_sklearn` and `unpatch_sklearn`: scikit-learn's name for the class of this package."""

from __future__ import annotations

import copyreg
import sys
from abc import ABCMeta
from collections.abc import Mapping
from contextlib import ExitStack
from pkgutil import resolve_name
from threading import RLock
from typing import Any

import sklearn.mixture

from emgmm import compatibility
from emgmm.base import BaseMixture
from emgmm.estimator import GaussianMixture

ORIGINAL = sklearn.mixture.GaussianMixture
ORIGINAL_BASE = ORIGINAL.__base__
NAME = ORIGINAL.__qualname__

# Classes whose instances count as instances of a class while scikit-learn is patched.
COUNTED = {
    ORIGINAL: (ORIGINAL, GaussianMixture),
    ORIGINAL_BASE: (ORIGINAL_BASE, GaussianMixture),
    GaussianMixture: (GaussianMixture, ORIGINAL),
}

_LOCK = RLock()
_undo: ExitStack | None = None


def patch_sklearn() -> None:
    """Make the name ``sklearn.mixture.GaussianMixture`` refer to ``emgmm.GaussianMixture``.

    The name is replaced in ``sklearn.mixture`` and in the private module that defines it. Until
    `unpatch_sklearn` is called:

    * Code that imports the name, or looks it up in ``sklearn.mixture``, obtains this package's
      class. Code that executed ``from sklearn.mixture import GaussianMixture`` earlier keeps
      scikit-learn's, so that this function should be called before such modules are imported.
    * Instances of this package's class count as instances of scikit-learn's class in `isinstance`
      and `issubclass`, and vice versa. Of subclasses, only genuine instances are instances.
    * Existing instances of scikit-learn's class work as before. They can be copied and pickled, and
      their pickles, including earlier ones, restore instances of scikit-learn's class.
    * A subclass that overrides a method that this package does not call is refused when it is
      fitted, not when it is defined.

    Other processes are not patched, which includes the workers of joblib unless they are threads or
    forked processes. ``BayesianGaussianMixture`` does not change. The function can be called
    repeatedly and by several threads; one call of `unpatch_sklearn` undoes all of them.

    See Also
    --------
    unpatch_sklearn : Undo the change.
    GaussianMixture.to_sklearn : Convert a fitted model for code that needs scikit-learn's class.

    Notes
    -----
    ``python -m emgmm.patch script.py`` and ``python -m emgmm.patch -m module``, followed by
    arguments, run a script or a module with the patch and leave it unchanged otherwise.

    Examples
    --------
    >>> import emgmm, sklearn.mixture
    >>> emgmm.patch_sklearn()
    >>> sklearn.mixture.GaussianMixture
    <class 'emgmm.estimator.GaussianMixture'>
    >>> emgmm.unpatch_sklearn()
    >>> sklearn.mixture.GaussianMixture
    <class 'sklearn.mixture._gaussian_mixture.GaussianMixture'>
    """
    global _undo
    with _LOCK:
        if _undo is not None:
            return
        with ExitStack() as stack:
            for each in (*COUNTED, BaseMixture):
                _set(stack, each, "__class__", _Interchangeable)
            _set(stack, compatibility, "refuse_definitions", False)
            _set(stack, GaussianMixture, "__setstate__", _restore)
            _register(stack, ORIGINAL, _reduced)
            _register(stack, _Interchangeable, _reduced_class)
            for module in (sys.modules[ORIGINAL.__module__], sklearn.mixture):
                _set(stack, module, NAME, GaussianMixture)
            _undo = stack.pop_all()


def unpatch_sklearn() -> None:
    """Undo `patch_sklearn` completely; without a preceding call, do nothing.

    Code that imported the name while scikit-learn was patched keeps this package's class. Its
    instances, and subclasses of it that were defined while scikit-learn was patched, continue to
    work, but no longer count as instances and subclasses of scikit-learn's class.

    See Also
    --------
    patch_sklearn : Describes the change and has an example.
    """
    global _undo
    with _LOCK:
        undo, _undo = _undo, None
        if undo is not None:
            undo.close()


class _Interchangeable(ABCMeta):
    """Metaclass of the classes whose instances count as instances of another.

    It bypasses the caches of `ABCMeta`, which would keep its answers after the patch is undone.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance)) or cls.__subclasscheck__(instance.__class__)

    def __subclasscheck__(cls, subclass: type) -> bool:
        if _is_one_of(subclass, COUNTED[ORIGINAL]):
            return _is_one_of(subclass, COUNTED.get(cls, (cls,)))
        return super().__subclasscheck__(subclass)


def _is_one_of(subclass: type, classes: tuple[type, ...]) -> bool:
    return any(type.__subclasscheck__(each, subclass) for each in classes)


def _set(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Set an attribute until a stack is closed."""
    if name in vars(owner) or name == "__class__":
        stack.callback(setattr, owner, name, getattr(owner, name))
    else:
        stack.callback(delattr, owner, name)
    setattr(owner, name, value)


def _register(stack: ExitStack, kind: type, reduced: Any) -> None:
    """Register how instances of a class are pickled, until a stack is closed."""
    registered = copyreg.dispatch_table
    if kind in registered:
        stack.callback(copyreg.pickle, kind, registered[kind])
    else:
        stack.callback(registered.pop, kind, None)
    copyreg.pickle(kind, reduced)


class _Original:
    """Constructor of scikit-learn's class; a pickle contains that class by its name instead."""

    def __call__(self) -> Any:
        return ORIGINAL()

    def __reduce__(self) -> tuple[Any, ...]:
        return resolve_name, (f"{ORIGINAL.__module__}:{NAME}",)


def _reduced(model: Any) -> tuple[Any, ...]:
    """Return what pickles contain of an instance of scikit-learn's class.

    A pickle of the usual form would refer to a class that its module does not contain now. What
    this form restores where scikit-learn is not patched is the same, and does not need emgmm.
    """
    return _Original(), (), *model.__reduce_ex__(2)[2:]


def _reduced_class(kind: type) -> str | tuple[Any, ...]:
    return (resolve_name, (f"{__name__}:ORIGINAL",)) if kind is ORIGINAL else kind.__qualname__


def _restore(self: Any, state: Mapping[str, Any]) -> None:
    """Set the state of an unpickled object, whose class may be meant to be scikit-learn's."""
    if "_sklearn_version" in state:  # of classes in scikit-learn's modules only
        self.__dict__.clear()
        self.__class__ = ORIGINAL
        self.__setstate__(state)
    else:
        super(GaussianMixture, self).__setstate__(state)
