"""Values of command-line options: read from text, and refused in a sentence if they are wrong."""

from __future__ import annotations

import argparse
import codecs
import math
from collections.abc import Sequence

from emgmm.covariances import FAMILIES

# The largest seed that NumPy's generator of random numbers takes.
LARGEST_SEED = 2**32 - 1

# Most numbers of components in a range.
MANY = 1000


def numbers(text: str) -> Sequence[int]:
    """Numbers of components in increasing order: ``1:9`` (both included), ``3`` or ``2,3,5``."""
    found: Sequence[int]
    try:
        if ":" in text:
            first, last = map(int, text.split(":"))
            if last - first >= MANY:
                raise argparse.ArgumentTypeError(
                    f"{text!r} has {last - first + 1} numbers of components, more than {MANY}"
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
    """``all``, or names of families."""
    names = text.split(",")
    unknown = [name for name in names if name not in FAMILIES]
    if text != "all" and unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is not among the families {', '.join(FAMILIES)}"
        )
    return "all" if text == "all" else names


def seed(text: str) -> int:
    """A seed of random numbers."""
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def listed(text: str) -> list[str]:
    """Names that are separated by commas."""
    return text.split(",")


def not_negative(text: str) -> float:
    """A finite number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number of at least 0")
    return value


def at_least_one(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def separator(text: str) -> str:
    """The character between the fields of a CSV file; ``tab`` stands for the tabulator."""
    character = "\t" if text == "tab" else text
    if len(character) != 1 or not character.isascii() or character in '"\r\n':
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot separate fields: give one ASCII character, such as ';', or the word "
            "tab"
        )
    return character


def encoding(text: str) -> str:
    """The name of an encoding of text."""
    try:
        "a".encode(text)
        return codecs.lookup(text).name
    except (LookupError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the name of an encoding, such as utf-8 or latin-1"
        ) from None


def add_csv_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a CSV file is read."""
    parser.add_argument(
        "--sep",
        type=separator,
        default=",",
        metavar="CHARACTER",
        help="what separates the fields of a CSV file: one character, or the word tab (default: a "
        "comma)",
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
