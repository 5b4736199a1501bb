"""Values as arrays and JSON, and back: exact to the last bit, and no code in it.

A value is a number, a string, an array, a list, tuple or dictionary of values, or a frozen
dataclass or named tuple of values whose class the reader knows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

DOCUMENT = "document"


class DamagedError(ValueError):
    """A file is not such an archive, or not a whole one."""


class Archive:
    """Reads and writes values of the classes it knows.

    Parameters
    ----------
    classes : collection of type
        Dataclasses and named tuples.
    constants : mapping
        Objects of which only the name is written, and read.
    """

    def __init__(self, classes: Collection[type], constants: Mapping[str, Any]) -> None:
        self.classes = {each.__name__: each for each in classes}
        self.constants = constants
        self._names = {id(value): name for name, value in constants.items()}

    def write(self, file: IO[bytes], value: Any) -> None:
        """Write one value."""
        arrays: list[NDArray[Any]] = []
        document = json.dumps(self._plain(value, arrays))
        named: dict[str, Any] = {f"array_{number}": array for number, array in enumerate(arrays)}
        named[DOCUMENT] = np.array(document)
        np.savez(file, **named)

    def read(self, path: Path) -> Any:
        """The value in a file.

        Raises
        ------
        DamagedError
            Where there is none, or only part of one.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return self._value(json.loads(str(arrays[DOCUMENT])), arrays)
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # there is no end to what can be wrong in a broken file
            raise DamagedError(" ".join(str(error).split())) from None

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
        parts = {name: self._plain(item, arrays) for name, item in _parts(value)}
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
        return self.classes[plain["class"]](**parts)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value):
        for part in fields(value):
            yield part.name, getattr(value, part.name)
    else:
        yield from value._asdict().items()
