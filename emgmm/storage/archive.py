"""Values as arrays and JSON, and back: exact to the last bit, and no code in it.

A value is a number, a string, an array, a list, tuple or dictionary of values, or a frozen
dataclass or named tuple of values whose class the reader knows. A file that was not written here
can do no more than be refused: its arrays are of known types and no larger than the file, and
objects are made of values that have the types which their classes declare.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from textwrap import shorten
from types import UnionType
from typing import IO, Any, TypeVar, Union, get_args, get_origin, get_type_hints
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

DOCUMENT = "document"

Class = TypeVar("Class")


class DamagedError(ValueError):
    """A file is not such an archive, or not a whole one."""


class OtherVersionError(ValueError):
    """An archive was written by another version; `version` is its name."""

    def __init__(self, version: str) -> None:
        super().__init__(f"written by version {version}")
        self.version = version


class Archive:
    """Reads and writes values of the classes it knows.

    Parameters
    ----------
    classes : collection of type
        Dataclasses and named tuples.
    constants : mapping
        Objects of which only the name is written, and read.
    version : str
        Of whoever writes; no other version's archives are read.
    """

    def __init__(
        self, classes: Collection[type], constants: Mapping[str, Any], version: str
    ) -> None:
        self.classes = {each.__name__: each for each in classes}
        self.constants = constants
        self.version = version
        self._names = {id(value): name for name, value in constants.items()}

    def write(self, file: IO[bytes], value: Any) -> None:
        """Write one value."""
        arrays: list[NDArray[Any]] = []
        document = {"version": self.version, "value": self._plain(value, arrays)}
        named: dict[str, Any] = {f"array_{number}": array for number, array in enumerate(arrays)}
        named[DOCUMENT] = np.array(json.dumps(document))
        np.savez(file, **named)

    def read(self, path: Path) -> Any:
        """The value in a file.

        Raises
        ------
        DamagedError
            Where there is none, or only part of one.
        OtherVersionError
            Where another version wrote it.
        """
        try:
            with path.open("rb") as file:
                arrays = _arrays(file)
            document = json.loads(str(arrays[DOCUMENT]))
            version, value = str(document["version"]), document["value"]
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # there is no end to what can be wrong in a broken file
            raise _damaged(error) from None
        if version != self.version:
            raise OtherVersionError(version[:40])
        try:
            return self._value(value, arrays)
        except Exception as error:
            raise _damaged(error) from None

    def _plain(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        if id(value) in self._names:
            return {"constant": self._names[id(value)]}
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            arrays.append(value)
            return {"array": f"array_{len(arrays) - 1}"}
        if isinstance(value, dict):
            return {"items": {key: self._plain(item, arrays) for key, item in value.items()}}
        if type(value) is list:
            return [self._plain(item, arrays) for item in value]
        if type(value) is tuple:
            return {"tuple": [self._plain(item, arrays) for item in value]}
        if type(value).__name__ not in self.classes:
            raise TypeError(f"a {type(value).__name__} cannot be kept in a file")
        parts = {name: self._plain(item, arrays) for name, item in parts_of(value)}
        return {"class": type(value).__name__, "parts": parts}

    def _value(self, plain: Any, arrays: Mapping[str, Any]) -> Any:
        if isinstance(plain, list):
            return [self._value(item, arrays) for item in plain]
        if not isinstance(plain, dict):
            return plain
        if "constant" in plain:
            return self.constants[plain["constant"]]
        if "array" in plain:
            return arrays[plain["array"]]
        if "items" in plain:
            return {key: self._value(item, arrays) for key, item in plain["items"].items()}
        if "tuple" in plain:
            return tuple(self._value(item, arrays) for item in plain["tuple"])
        parts = {name: self._value(item, arrays) for name, item in plain["parts"].items()}
        return made(self.classes[plain["class"]], parts)


def _damaged(error: Exception) -> DamagedError:
    if isinstance(error, KeyError):
        return DamagedError(f"it has no {str(error)[:40]}")
    return DamagedError(shorten(str(error), 300) or type(error).__name__)


# -- arrays in a file ------------------------------------------------------------------------------
def _arrays(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    """The arrays that NumPy's `savez` wrote; they take no more memory than the file has bytes."""
    with ZipFile(file) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > os.fstat(file.fileno()).st_size or any(e.compress_type for e in entries):
            raise DamagedError("its arrays are compressed, or overlap")
        return {e.filename.removesuffix(".npy"): _array(archive.read(e)) for e in entries}


def _array(content: bytes) -> NDArray[Any]:
    """The array in the bytes of a file in NumPy's own format."""
    stream = BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise DamagedError("an array has another format than NumPy's version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in "fiubU":
        raise DamagedError(f"an array has the type {dtype}")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C").copy("K")


# -- objects ---------------------------------------------------------------------------------------
def parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of what a dataclass or a named tuple was made of."""
    if is_dataclass(value):
        for part in fields(value):
            yield part.name, getattr(value, part.name)
    else:
        yield from value._asdict().items()


@cache
def _hints(kind: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def made(kind: Callable[..., Class], parts: Any) -> Class:
    """An object of a class with these parts.

    Raises
    ------
    DamagedError
        Where a part has not the type that the class declares.
    """
    if not isinstance(parts, Mapping):
        raise DamagedError(f"a {kind.__name__} is made of a {type(parts).__name__}")
    found = {}
    for name, value in parts.items():
        hint = _hints(kind).get(name)
        # An array without axes, as NumPy's arithmetic returns it, is a number in a file.
        array = isinstance(value, float) and get_origin(hint) is np.ndarray
        found[name] = np.float64(value) if array else value
        check_type(f"the {name} of a {kind.__name__}", found[name], hint)
    return kind(**found)


def check_type(name: str, value: Any, hint: Any) -> None:
    """A value is of the type that a hint stands for.

    Raises
    ------
    DamagedError
        Where it is not.
    """
    if not _is(value, hint):
        raise DamagedError(f"{name} is a {type(value).__name__}, not what it should be")


def _is(value: Any, hint: Any) -> bool:
    kind = get_origin(hint) or hint
    inner = get_args(hint)
    if hint is Any:
        return True
    if kind in (Union, UnionType):
        return any(_is(value, each) for each in inner)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    if kind is np.ndarray:  # NDArray[of]: its arguments are a shape and a dtype[of]
        of = get_args(inner[1])[0]
        return isinstance(value, np.ndarray | np.floating) and (
            of is Any or issubclass(value.dtype.type, get_origin(of) or of)
        )
    right = isinstance(kind, type) and isinstance(value, kind)
    if right and kind in (list, tuple):  # a tuple is of any length
        return all(_is(item, inner[0]) for item in value)
    if right and kind is dict:
        return all(_is(item, inner[1]) for item in value.values())
    return right
