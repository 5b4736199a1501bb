"""Parsers of the values of command-line options."""

from __future__ import annotations

import argparse
import codecs
import math
from collections.abc import Sequence

from emgmm.covariances import FAMILIES

# Largest seed of NumPy's random number generator.
MAX_SEED = 2**32 - 1

# Largest number of values in a range of numbers of components.
MAX_LENGTH = 1000


def numbers(text: str) -> Sequence[int]:
    """Return numbers of components in increasing order, from ``1:9`` (inclusive) or ``2,3,5``."""
    found: Sequence[int]
    try:
        if ":" in text:
            first, last = map(int, text.split(":"))
            if last - first >= MAX_LENGTH:
                raise argparse.ArgumentTypeError(
                    f"{text!r} has {last - first + 1} numbers of components, more than {MAX_LENGTH}"
                )
            found = range(first, last + 1)
        else:
            found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a range such as 1:9, nor a number such as 3, nor a list such as "
            "2,3,5"
        )
    return found


def families(text: str) -> str | list[str]:
    """Return ``all`` or a list of names of covariance families."""
    given = text.split(",")
    unknown = [name for name in given if name not in FAMILIES]
    if text != "all" and unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is not among the families {', '.join(FAMILIES)}"
        )
    return "all" if text == "all" else given


def seed(text: str) -> int:
    """Return a seed of the random number generator."""
    if not text.isdecimal() or int(text) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {MAX_SEED}")
    return int(text)


def names(text: str) -> list[str]:
    """Return names that are separated by commas."""
    return text.split(",")


def non_negative(text: str) -> float:
    """Return a finite number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number of at least 0")
    return value


def positive_integer(text: str) -> int:
    """Return a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def separator(text: str) -> str:
    """Return the character between the fields of a CSV file; ``tab`` stands for a tab."""
    character = "\t" if text == "tab" else text
    if len(character) != 1 or not character.isascii() or character in '"\r\n':
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot separate fields: give one ASCII character, such as ';', or the word "
            "tab"
        )
    return character


def encoding(text: str) -> str:
    """Return the normalized name of a text encoding."""
    try:
        "a".encode(text)
        return codecs.lookup(text).name
    except (LookupError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the name of an encoding, such as utf-8 or latin-1"
        ) from None


def add_csv_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for reading CSV files."""
    parser.add_argument(
        "--sep",
        type=separator,
        default=",",
        metavar="CHARACTER",
        help="character between the fields of a CSV file, or the word tab (default: a comma)",
    )
    parser.add_argument(
        "--decimal",
        choices=(".", ","),
        default=".",
        metavar="MARK",
        help="decimal mark of the numbers in a CSV file: a point or a comma (default: a point)",
    )
    parser.add_argument(
        "--header",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether the first line of a CSV file has the names of the columns (default: if its "
        "fields are not numbers)",
    )
    parser.add_argument(
        "--encoding",
        type=encoding,
        default="utf-8",
        metavar="NAME",
        help="encoding of the text in a CSV file, such as latin-1 (default: utf-8)",
    )
    parser.add_argument(
        "--safe-csv",
        action="store_true",
        help="put a quote before text in a CSV file of --out that a spreadsheet would run as a "
        "formula",
    )
