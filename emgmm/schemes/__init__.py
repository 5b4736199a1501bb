"""Schemes: how one mixture follows another. A scheme owns its memory and never stops by itself."""

from functools import partial

from emgmm.schemes.anderson import BURN_IN, BurningIn, Change, Leaping, Point
from emgmm.schemes.plain import Plain, plain_steps
from emgmm.schemes.step import LEAP, PLAIN, Position, Scheme, Step, after, steps, taken

# What ``acceleration`` calls them, by the position at which each begins. To add one: its module
# beside these, a line here, and below what its positions are made of.
SCHEMES: dict[str | None, Scheme] = {None: Plain, "anderson": BurningIn}


def after_short_runs(scheme: Scheme) -> Scheme:
    """The scheme for a fit that begins where some steps of EM were made: it has less to burn in."""
    return partial(BurningIn, made=BURN_IN - 2) if scheme is BurningIn else scheme


MEMORIES: tuple[type, ...] = (Step, Plain, BurningIn, Leaping, Point, Change)

__all__ = [
    "LEAP",
    "MEMORIES",
    "PLAIN",
    "SCHEMES",
    "Change",
    "Plain",
    "Point",
    "Position",
    "Scheme",
    "Step",
    "after",
    "after_short_runs",
    "plain_steps",
    "steps",
    "taken",
]
