"""Schemes: how one mixture follows another. A scheme owns its memory and never stops by itself."""

from emgmm.schemes.anderson import BurningIn, Change, Leaping, Point
from emgmm.schemes.plain import Plain, plain_steps
from emgmm.schemes.step import LEAP, PLAIN, Position, Scheme, Step, after, steps, taken

# What ``acceleration`` calls them, by the position at which each begins. To add one: its module
# beside these, a line here, and below what its positions are made of.
SCHEMES: dict[str | None, Scheme] = {None: Plain, "anderson": BurningIn}

MEMORIES: tuple[type, ...] = (Step, Plain, BurningIn, Leaping, Point, Change)

__all__ = [
    "LEAP",
    "MEMORIES",
    "PLAIN",
    "SCHEMES",
    "Plain",
    "Position",
    "Scheme",
    "Step",
    "after",
    "plain_steps",
    "steps",
    "taken",
]
