"""Options of the commands, and the parsers of their values."""

from __future__ import annotations

import argparse
import codecs
import math
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from emgmm.cli.terminal import abbreviate, printable
from emgmm.covariances import FAMILIES
from emgmm.initialization import STARTS
from emgmm.selection.estimator import MAX_ITER, TOL

# Largest seed of NumPy's random number generator.
MAX_SEED = 2**32 - 1

# Largest number of iterations, of starts and of candidates at the same time.
MAX_COUNT = 2**31 - 1

# Largest number of values in a range of numbers of components.
MAX_LENGTH = 1000

# Help texts of options, of all commands.
HELP = {
    "--columns": "columns to use (default: all numeric columns that do not number the rows)",
    "--components": "numbers of components to try: a range, a number or a list "
    "(default: %(default)s)",
    "--criterion": "criterion whose lowest value determines the choice (default: %(default)s)",
    "--decimal": "decimal mark of the numbers in a CSV file: a point or a comma (default: a point)",
    "--encoding": "encoding of the text in a CSV file, such as latin-1 (default: utf-8)",
    "--exclude": "columns to leave out",
    "--families": "covariance families to try: all, or names such as EEE,VVV "
    "(default: %(default)s)",
    "--header": "whether the first line of a CSV file has the names of the columns (default: if "
    "its fields are not numbers)",
    "--jobs": "candidates that are fitted at the same time; -1 for one for each core (default: 1)",
    "--max-iter": f"most iterations of EM (default: {MAX_ITER})",
    "--model": "write the model as JSON, for predict",
    "--n-init": "starts per candidate (default: 1)",
    "--noise": "add a component for rows that belong to no other",
    "--out": "write the rows with labels and probabilities",
    "--plot": "draw the model, as .png, .pdf or .svg",
    "--prior": "prior of the components, in the data's own units",
    "--reg-covar": "number that is added to the variances (default: 0)",
    "--safe-csv": "put a quote before text in a CSV file of --out that a spreadsheet would run as "
    "a formula",
    "--scale": "standardize the columns for the fit, and convert the model back to their units",
    "--seed": "seed of the starts (default: %(default)s)",
    "--sep": "character between the fields of a CSV file, or the word tab (default: a comma)",
    "--start": f"where EM starts: auto, {', '.join(STARTS)} (default: %(default)s)",
    "--tol": "EM may stop when the mean log-likelihood per row changes by less in one iteration "
    f"(default: {TOL:g})",
    "--weights": "column with the weights of the rows",
}


class Parser(argparse.ArgumentParser):
    """Parser of the arguments of a command."""

    def __init__(self, command: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=f"emgmm {command}".rstrip(),
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """End the command with a message, which may quote its arguments."""
        super().error(printable(message))

    def add(self, option: str, **settings: Any) -> None:
        """Add an option with the text in `HELP`."""
        self.add_argument(option, help=HELP[option], **settings)

    def add_csv_options(self) -> None:
        """Add the options for reading and writing CSV files."""
        self.add("--sep", type=separator, default=",", metavar="CHARACTER")
        self.add("--decimal", choices=(".", ","), default=".", metavar="MARK")
        self.add("--header", choices=("auto", "yes", "no"), default="auto")
        self.add("--encoding", type=encoding, default="utf-8", metavar="NAME")
        self.add("--safe-csv", action="store_true")


def check(valid: bool, text: str, problem: str) -> None:
    """Raise an error if the text of a value is not valid."""
    if not valid:
        raise argparse.ArgumentTypeError(f"{abbreviate(repr(text))} {problem}")


def numbers(text: str) -> Sequence[int]:
    """Return numbers of components in increasing order, from ``1:9`` (inclusive) or ``2,3,5``."""
    found: Sequence[int] = []
    with suppress(ValueError):
        if ":" in text:
            first, last = map(int, text.split(":"))
            found, length = range(first, last + 1), last - first + 1
            problem = f"has {length} numbers of components, more than {MAX_LENGTH}"
            check(length <= MAX_LENGTH, text, problem)
        else:
            found = sorted(set(map(int, text.split(","))))
    form = "neither a range such as 1:9, nor a number such as 3, nor a list such as 2,3,5"
    check(len(found) > 0 and found[0] > 0, text, f"is {form}")
    return found


def families(text: str) -> str | list[str]:
    """Return ``all`` or a list of names of covariance families."""
    if text == "all":
        return text
    for name in names(text):
        check(name in FAMILIES, name, f"is not among the families {', '.join(FAMILIES)}")
    return names(text)


def whole_number(text: str, least: int, most: int) -> int:
    """Return an integer of a range."""
    value = least - 1
    with suppress(ValueError):
        value = int(text)
    check(least <= value <= most, text, f"is not a whole number from {least} to {most}")
    return value


def seed(text: str) -> int:
    """Return a seed of the random number generator."""
    return whole_number(text, 0, MAX_SEED)


def names(text: str) -> list[str]:
    """Return names that are separated by commas."""
    return text.split(",")


def non_negative(text: str) -> float:
    """Return a finite number that is not negative."""
    value = math.nan
    with suppress(ValueError):
        value = float(text)
    check(0 <= value < math.inf, text, "is not a finite number of at least 0")
    return value


def positive_integer(text: str) -> int:
    """Return a positive integer."""
    return whole_number(text, 1, MAX_COUNT)


def jobs(text: str) -> int:
    """Return a number of candidates, or -1 for one for each core."""
    return -1 if text.strip() == "-1" else positive_integer(text)


def separator(text: str) -> str:
    """Return the character between the fields of a CSV file; ``tab`` stands for a tab."""
    character = "\t" if text == "tab" else text
    valid = len(character) == 1 and character.isascii() and character not in '"\r\n\0'
    remedy = "give one ASCII character, such as ';', or the word tab"
    check(valid, text, f"cannot separate fields: {remedy}")
    return character


def encoding(text: str) -> str:
    """Return the normalized name of a text encoding."""
    name = ""
    with suppress(LookupError, ValueError, AttributeError):
        # pyarrow decodes part by part, from memory that has no methods of bytes.
        encoded: Any = array("B", "a".encode(text))
        codecs.getincrementaldecoder(text)().decode(encoded)
        name = codecs.lookup(text).name
    check(name != "", text, "is not the name of an encoding, such as utf-8 or latin-1")
    return name
