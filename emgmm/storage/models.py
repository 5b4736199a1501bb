"""Serialization of fitted models as JSON, which is lossless and contains no code."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection
from inspect import signature
from math import prod
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emgmm.prior import NormalInverseWishart
from emgmm.storage.files import replaced

AnyPath = str | os.PathLike[str]

FORMAT = "emgmm.GaussianMixture"
FORMAT_VERSION = 1

# Types of arrays.
ARRAY_TYPE = re.compile(r"[<>|]?([fiub][1248]|U\d{1,9}|O)")

# Types of their values in JSON, by kind.
ITEMS: dict[str, set[type]] = {
    "f": {int, float},
    "i": {int},
    "u": {int},
    "b": {bool},
    "U": {str},
    "O": {str, int, float, bool, type(None)},
}

# Size in bytes of a character in an array, and length of its strings that is always accepted.
CHARACTER = 4
SHORT = 64

# Largest number of axes of an array.
MAX_AXES = 8

NOT_FINITE = ("nan", "inf", "-inf")

# New names of parameters and statistics that earlier versions saved under other names.
RENAMED = {
    "step_power": "learning_decay",
    "step_offset": "learning_offset",
    "mass": "counts",
    "drift": "first_moment",
}


def encode(value: Any, name: str) -> Any:
    """Convert a value to JSON types; arrays keep their type and shape.

    Raises
    ------
    ValueError
        If the value cannot be represented. The message contains the name.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiubUO":
        flat = [encode(item, name) for item in value.ravel().tolist()]
        return {"dtype": value.dtype.str, "shape": list(value.shape), "values": flat}
    if isinstance(value, NormalInverseWishart):
        return {"prior": {key: encode(item, name) for key, item in vars(value).items()}}
    if isinstance(value, dict):
        return {"items": {key: encode(item, name) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [encode(item, name) for item in value]
    if isinstance(value, set | frozenset) and all(isinstance(item, str) for item in value):
        return {"set": sorted(value)}
    raise ValueError(
        f"{name} is a {type(value).__name__}, which a JSON model cannot hold; set it to a plain "
        "value (a name, a number, None) before saving."
    )


def decode(value: Any) -> Any:
    """Invert `encode`.

    Raises
    ------
    ValueError
        If `encode` cannot have returned the value.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    keys = set(value)
    if keys == {"float"} and value["float"] in NOT_FINITE:
        return float(value["float"])
    if keys == {"set"} and isinstance(value["set"], list):
        if not {type(item) for item in value["set"]} <= {str}:
            raise ValueError("a set contains other values than strings")
        return set(value["set"])
    if keys == {"dtype", "shape", "values"}:
        return _array(**value)
    if len(keys) == 1 and isinstance(inner := next(iter(value.values())), dict):
        items = {key: _decode_named(key, item) for key, item in inner.items()}
        if keys == {"items"}:
            return {RENAMED.get(key, key): item for key, item in items.items()}
        if keys == {"prior"} and items.keys() <= {*signature(NormalInverseWishart).parameters}:
            return NormalInverseWishart(**items)
    raise ValueError(f"an object with the keys {sorted(value)} is not a valid value")


def _decode_named(name: str, value: Any) -> Any:
    """Decode the value with a name, which an error message contains."""
    try:
        return decode(value)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


def _array(dtype: Any, shape: Any, values: Any) -> NDArray[Any]:
    """Return an array, whose memory is at most a multiple of the length of its text."""
    if not isinstance(dtype, str) or not ARRAY_TYPE.fullmatch(dtype):
        raise ValueError(f"an array has the type {str(dtype)[:20]!r}")
    if not isinstance(values, list) or not isinstance(shape, list):
        raise ValueError("an array has no list of values, or no shape")
    values = [decode(item) for item in values]
    kind = np.dtype(dtype).kind
    if not {type(item) for item in values} <= ITEMS[kind]:
        raise ValueError(f"an array of type {dtype} has other values")
    if kind == "U":
        width, lengths_of_text = np.dtype(dtype).itemsize // CHARACTER, [*map(len, values)]
        if width > max([SHORT, *lengths_of_text]):
            raise ValueError(f"an array of type {dtype} has shorter values")
        if width * len(values) > SHORT * (len(values) + sum(lengths_of_text)):
            raise ValueError(f"an array of type {dtype} has few values of that length")
    if kind in "iu" and values:
        limits = np.iinfo(dtype)
        if min(values) < limits.min or max(values) > limits.max:
            raise ValueError(f"an array of type {dtype} has larger values")
    lengths = {type(length) for length in shape} <= {int} and min(shape, default=0) >= 0
    if not lengths or len(shape) > MAX_AXES or prod(shape) != len(values):
        raise ValueError(f"an array has the shape {str(shape)[:40]}, but {len(values)} values")
    with np.errstate(over="ignore"):  # infinity is rejected by later checks
        return np.array(values, dtype=dtype).reshape(shape)


def write(path: AnyPath, version: str, params: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Write the model to `path` completely or not at all."""
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "emgmm_version": version,
        "params": {name: encode(value, name) for name, value in params.items()},
        "fitted": {name: encode(value, name) for name, value in fitted.items()},
    }
    text = json.dumps(document, allow_nan=False, indent=1)
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {path}: there is no folder {target.parent}")
    with replaced(target) as file:
        file.write(text.encode())


def damaged(path: AnyPath, problem: object) -> ValueError:
    """Return the error for a file with a model that `write` cannot have written."""
    reason = shorten(str(problem).rstrip("."), 300)  # an error may quote a long value
    return ValueError(f"{path} is a damaged model: {reason}.")


def read(
    path: AnyPath, known: Collection[str], needed: Collection[str], possible: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the constructor parameters and the fitted attributes of the model in `path`.

    The `known` names are those of all parameters. The attributes must include the `needed` ones,
    and may include the `possible` ones.

    Raises
    ------
    ValueError
        If the file is not a valid model, or if its format is newer than this version.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a saved model: it is not JSON ({error}).") from None
    except (RecursionError, ValueError) as error:
        raise damaged(path, error) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{path} is not a saved model: it does not have the format {FORMAT!r}.")
    version = document.get("format_version")
    if type(version) is not int or version < FORMAT_VERSION:
        raise damaged(path, "its format version is not valid")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {version}; this emgmm reads "
            f"version {FORMAT_VERSION}: upgrade emgmm."
        )
    parts: list[Any] = [document.get(part) for part in ("params", "fitted")]
    if not all(isinstance(part, dict) for part in parts):
        raise damaged(path, "it lacks 'params' or 'fitted'")
    try:
        params, fitted = (decode({"items": part}) for part in parts)
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
        raise damaged(path, error) from None
    if "_family_name" in fitted:  # in earlier versions, the covariance type of the fit
        params["covariance_type"] = fitted.pop("_family_name")
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise ValueError(f"{path} has parameters that this emgmm does not know: {unknown}.")
    missing = sorted(set(needed) - set(fitted))
    strange = sorted(set(fitted) - {*needed, *possible})
    if missing:
        raise damaged(path, f"it lacks {missing}")
    if strange:
        raise damaged(path, f"it has {strange} among the fitted attributes")
    return params, fitted
