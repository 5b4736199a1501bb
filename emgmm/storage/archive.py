"""Serialization of values as NumPy arrays and JSON, which is lossless and contains no code.

A value is a number, a string, an array, a list, tuple or dictionary of values, or a frozen
dataclass or named tuple of values whose class the reader knows. Reading a file from another source
is safe: arrays must have known types and are not larger than the file, and objects are constructed
only from values of the types that their classes declare.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
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

# Bound of whole numbers; a digest has 64 bits.
LARGEST = 2**64

Class = TypeVar("Class")


class DamagedError(ValueError):
    """A file is not an archive, or it is incomplete or inconsistent."""


class OtherVersionError(ValueError):
    """An archive was written by another version, whose name is the message."""


class Archive:
    """Reader and writer of values of known classes.

    Parameters
    ----------
    classes : iterable of type
        Dataclasses and named tuples.
    constants : mapping
        Objects that are stored by name.
    version : str
        Version that is written. Archives of other versions are not read.
    """

    def __init__(self, classes: Iterable[type], constants: Mapping[str, Any], version: str) -> None:
        self.classes = {each.__name__: each for each in classes}
        self.constants = constants
        self.version = version
        self._names = {id(value): name for name, value in constants.items()}

    def write(self, file: IO[bytes], value: Any) -> None:
        """Write one value to a file."""
        entries: dict[str, Any] = {}
        document = {"version": self.version, "value": self._encode(value, entries)}
        entries[DOCUMENT] = np.array(json.dumps(document))
        np.savez(file, **entries)

    def read(self, path: Path) -> Any:
        """Read the value in a file.

        Raises
        ------
        DamagedError
            If the file is not an archive, or an incomplete or inconsistent one.
        OtherVersionError
            If another version wrote it.
        """
        try:
            with path.open("rb") as file:
                arrays = _arrays(file)
            document = json.loads(str(arrays[DOCUMENT]))
            if document["version"] != self.version:
                raise OtherVersionError(str(document["version"])[:40])
            return self._decode(document["value"], arrays)
        except (FileNotFoundError, PermissionError, OtherVersionError):
            raise
        except KeyError as error:
            raise DamagedError(f"it has no {str(error)[:40]}") from None
        except (AttributeError, IndexError, TypeError):
            raise DamagedError("its document does not describe objects") from None
        except Exception as error:  # a damaged file may cause any error
            raise DamagedError(shorten(str(error), 300) or type(error).__name__) from None

    def _encode(self, value: Any, arrays: dict[str, Any]) -> Any:
        if id(value) in self._names:
            return {"constant": self._names[id(value)]}
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            name = f"array_{len(arrays)}"
            arrays[name] = value
            return {"array": name}
        if isinstance(value, dict):
            return {"items": {key: self._encode(item, arrays) for key, item in value.items()}}
        if type(value) is list:
            return [self._encode(item, arrays) for item in value]
        if type(value) is tuple:
            return {"tuple": [self._encode(item, arrays) for item in value]}
        kinds = [each.__name__ for each in type(value).__mro__ if each.__name__ in self.classes]
        if not kinds:
            raise TypeError(f"a {type(value).__name__} cannot be stored")
        parts = {name: self._encode(item, arrays) for name, item in fields_of(value).items()}
        return {"class": kinds[0], "parts": parts}

    def _decode(self, plain: Any, arrays: Mapping[str, Any]) -> Any:
        if isinstance(plain, list):
            return [self._decode(item, arrays) for item in plain]
        if not isinstance(plain, dict):
            return plain
        if "constant" in plain:
            return self.constants[plain["constant"]]
        if "array" in plain:
            return arrays[plain["array"]]
        if "items" in plain:
            return {key: self._decode(item, arrays) for key, item in plain["items"].items()}
        if "tuple" in plain:
            return tuple(self._decode(item, arrays) for item in plain["tuple"])
        parts = {name: self._decode(item, arrays) for name, item in plain["parts"].items()}
        return construct(self.classes[plain["class"]], parts)


# -- arrays in a file ------------------------------------------------------------------------------
def _arrays(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    """Return the arrays that NumPy's `savez` wrote; they are not larger than the file."""
    with ZipFile(file) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > os.fstat(file.fileno()).st_size or any(e.compress_type for e in entries):
            raise DamagedError("its arrays are compressed, or overlap")
        return {e.filename.removesuffix(".npy"): _array(archive.read(e)) for e in entries}


def _array(content: bytes) -> NDArray[Any]:
    """Return the array in the content of a file in NumPy's npy format."""
    stream = BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise DamagedError("an array has another format than NumPy's version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in "fiubU":
        raise DamagedError(f"an array has the type {dtype}")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C").copy("K")


# -- objects ---------------------------------------------------------------------------------------
def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass or a named tuple by their names."""
    if is_dataclass(value):
        return {part.name: getattr(value, part.name) for part in fields(value)}
    return value._asdict()


_hints = cache(get_type_hints)


def construct(kind: Callable[..., Class], parts: Any) -> Class:
    """Construct an object of a class from its fields.

    Raises
    ------
    DamagedError
        If there are not the fields that the class declares, or one does not have its type.
    """
    if not isinstance(parts, Mapping):
        raise DamagedError(f"the fields of a {kind.__name__} are a {type(parts).__name__}")
    values = {}
    for name, value in parts.items():
        if name not in _hints(kind):
            raise DamagedError(f"a {kind.__name__} has no field {name!r}")
        hint = _hints(kind)[name]
        # A zero-dimensional array, as NumPy's arithmetic returns it, is stored as a number.
        is_array = isinstance(value, float) and get_origin(hint) is np.ndarray
        values[name] = np.float64(value) if is_array else value
        check_type(f"the {name} of a {kind.__name__}", values[name], hint)
    try:
        return kind(**values)
    except TypeError:
        names = ", ".join(map(str, parts)) or "none"
        raise DamagedError(f"a {kind.__name__} has other fields ({names})") from None


def check_type(name: str, value: Any, hint: Any) -> None:
    """Check that a value has the type of a type hint.

    Raises
    ------
    DamagedError
        If it does not.
    """
    if not _has_type(value, hint):
        raise DamagedError(f"{name} is a {type(value).__name__}, which is not its type")


def _has_type(value: Any, hint: Any) -> bool:
    """Whether a value has the type of a type hint."""
    kind = get_origin(hint) or hint
    inner = get_args(hint)
    if hint is Any:
        return True
    if kind in (Union, UnionType):
        return any(_has_type(value, each) for each in inner)
    if kind in (int, float):
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        return is_number and not (isinstance(value, int) and abs(value) >= LARGEST)
    if kind is np.ndarray:  # the arguments of NDArray[of] are a shape and dtype[of]
        of = get_args(inner[1])[0]
        return isinstance(value, np.ndarray | np.floating) and (
            of is Any or issubclass(value.dtype.type, get_origin(of) or of)
        )
    matches = isinstance(kind, type) and isinstance(value, kind)
    if matches and kind in (list, tuple):  # a tuple may have any length
        return all(_has_type(item, inner[0]) for item in value)
    if matches and kind is dict:
        return all(_has_type(item, inner[1]) for item in value.values())
    return matches
