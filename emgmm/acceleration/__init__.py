"""Schemes: how one mixture follows another. A scheme owns its memory and never stops by itself."""

from functools import partial

from emgmm.acceleration.anderson import BURN_IN, Accelerated, Change, Point, Warmup
from emgmm.acceleration.plain import Plain, plain_steps
from emgmm.acceleration.step import LEAP, PLAIN, Scheme, SchemeState, Step, em_step, evaluate, steps

# What ``acceleration`` calls them, by the position at which each begins. To add one: its module
# beside these, a line here, and below what its positions are made of.
SCHEMES: dict[str | None, Scheme] = {None: Plain, "anderson": Warmup}


def after_short_runs(scheme: Scheme) -> Scheme:
    """The scheme for a fit that begins where some steps of EM were made: it has less to burn in."""
    return partial(Warmup, made=BURN_IN - 2) if scheme is Warmup else scheme


MEMORIES: tuple[type, ...] = (Step, Plain, Warmup, Accelerated, Point, Change)

__all__ = [
    "LEAP",
    "MEMORIES",
    "PLAIN",
    "SCHEMES",
    "Change",
    "Plain",
    "Point",
    "Scheme",
    "SchemeState",
    "Step",
    "after_short_runs",
    "em_step",
    "evaluate",
    "plain_steps",
    "steps",
]
