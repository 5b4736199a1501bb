"""A fitted model as JSON: arrays and plain values, exact to the last bit, no code in it."""

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

FORMAT = "emgmm.GaussianMixture"
FORMAT_VERSION = 1

# Types of arrays.
ARRAY_TYPE = re.compile(r"[<>|]?([fiub][1248]|U\d{1,9}|O)")

# What their values are in JSON, by kind.
ITEMS: dict[str, set[type]] = {
    "f": {int, float},
    "i": {int},
    "u": {int},
    "b": {bool},
    "U": {str},
    "O": {str, int, float, bool, type(None)},
}

# Bytes of a character in an array, and characters for which each of its strings may have room.
WIDTH = 4
SHORT = 64

# Axes of an array.
MOST_AXES = 8

NOT_FINITE = ("nan", "inf", "-inf")

# New names of parameters and statistics that earlier versions saved under other names.
RENAMED = {
    "step_power": "learning_decay",
    "step_offset": "learning_offset",
    "mass": "counts",
    "drift": "first_moment",
}


def encode(value: Any, name: str) -> Any:
    """A value as JSON has it; arrays keep their type and shape.

    Raises
    ------
    ValueError
        For what JSON cannot hold, by name.
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
    raise ValueError(
        f"{name} is a {type(value).__name__}, which a JSON model cannot hold; set it to a plain "
        "value (a name, a number, None) before saving."
    )


def decode(value: Any) -> Any:
    """The inverse of `encode`.

    Raises
    ------
    ValueError
        For what `encode` does not write.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    keys = set(value)
    if keys == {"float"} and value["float"] in NOT_FINITE:
        return float(value["float"])
    if keys == {"dtype", "shape", "values"}:
        return _array(**value)
    if len(keys) == 1 and isinstance(inner := next(iter(value.values())), dict):
        items = {key: decode(item) for key, item in inner.items()}
        if keys == {"items"}:
            return {RENAMED.get(key, key): item for key, item in items.items()}
        if keys == {"prior"} and items.keys() <= {*signature(NormalInverseWishart).parameters}:
            return NormalInverseWishart(**items)
    raise ValueError(f"an object with the keys {sorted(value)} stands where a value belongs")


def _array(dtype: Any, shape: Any, values: Any) -> NDArray[Any]:
    """An array, which takes no more memory than a multiple of its text."""
    if not isinstance(dtype, str) or not ARRAY_TYPE.fullmatch(dtype):
        raise ValueError(f"an array has the type {str(dtype)[:20]!r}")
    if not isinstance(values, list) or not isinstance(shape, list):
        raise ValueError("an array has no list of values, or no shape")
    values = [decode(item) for item in values]
    kind = np.dtype(dtype).kind
    if not {type(item) for item in values} <= ITEMS[kind]:
        raise ValueError(f"an array of type {dtype} has other values")
    if kind == "U" and np.dtype(dtype).itemsize > WIDTH * max([SHORT, *map(len, values)]):
        raise ValueError(f"an array of type {dtype} has shorter values")
    if kind in "iu" and values:
        limits = np.iinfo(dtype)
        if min(values) < limits.min or max(values) > limits.max:
            raise ValueError(f"an array of type {dtype} has larger values")
    lengths = {type(length) for length in shape} <= {int} and min(shape, default=0) >= 0
    if not lengths or len(shape) > MOST_AXES or prod(shape) != len(values):
        raise ValueError(f"an array has the shape {str(shape)[:40]}, but {len(values)} values")
    with np.errstate(over="ignore"):  # infinity is refused where it does not belong
        return np.array(values, dtype=dtype).reshape(shape)


def write(
    path: str | os.PathLike[str], version: str, params: dict[str, Any], fitted: dict[str, Any]
) -> None:
    """Write the model to `path`, whole or not at all."""
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


def damaged(path: str | os.PathLike[str], error: Exception) -> ValueError:
    """The error of a file that holds a model, but not such as is saved."""
    reason = shorten(str(error).rstrip("."), 300)  # it may quote a value of any length
    return ValueError(f"{path} is a damaged model: {reason}.")


def read(
    path: str | os.PathLike[str],
    known: Collection[str],
    needed: Collection[str],
    possible: Collection[str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Constructor parameters and fitted attributes of the model in `path`.

    All parameters are among the `known`; all `needed` attributes are there, and no others than
    these and the `possible`.

    Raises
    ------
    ValueError
        Where the file is not such a model, or one of a later format.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a saved model: it is not JSON ({error}).") from None
    except (RecursionError, ValueError) as error:
        raise damaged(path, error) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{path} is not a saved model: it does not say format {FORMAT!r}.")
    version = document.get("format_version")
    if type(version) is not int or version < FORMAT_VERSION:
        raise ValueError(f"{path} is a damaged model: its format version is no version.")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {version}; this emgmm reads "
            f"version {FORMAT_VERSION}: upgrade emgmm."
        )
    parts: list[Any] = [document.get(part) for part in ("params", "fitted")]
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"{path} is a damaged model: it lacks 'params' or 'fitted'.")
    try:
        params, fitted = ({name: decode(item) for name, item in part.items()} for part in parts)
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
        raise damaged(path, error) from None
    params = {RENAMED.get(name, name): value for name, value in params.items()}
    if "_family_name" in fitted:  # earlier versions predicted with this type of covariances
        params["covariance_type"] = fitted.pop("_family_name")
    unknown = set(params) - set(known)
    if unknown:
        raise ValueError(f"{path} has parameters that this emgmm does not know: {sorted(unknown)}.")
    missing, strange = set(needed) - set(fitted), set(fitted) - {*needed, *possible}
    if missing or strange:
        what = f"lacks {sorted(missing)}" if missing else f"has {sorted(strange)} among the fitted"
        raise ValueError(f"{path} is a damaged model: it {what}.")
    return params, fitted
