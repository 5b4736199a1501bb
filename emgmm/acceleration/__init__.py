"""Acceleration schemes: iterators over mixtures, from plain EM to Anderson acceleration."""

from functools import partial

from emgmm.acceleration.anderson import BURN_IN, Accelerated, Change, Point, Warmup
from emgmm.acceleration.plain import Plain, plain_steps
from emgmm.acceleration.sampled import SAMPLE, Sampled, SampleEM
from emgmm.acceleration.step import LEAP, PLAIN, Scheme, SchemeState, Step, em_step, evaluate

# The initial states of the schemes, by the value of ``acceleration``. To add a scheme, write its
# module, enter it here, and enter the classes of its states in `MEMORIES`.
# `emgmm.testing.check_scheme` checks it.
SCHEMES: dict[str | None, Scheme] = {None: Plain, "anderson": Warmup}


def scheme_of(acceleration: str | Scheme | None) -> Scheme:
    """Return the scheme with a name, or the scheme itself."""
    return SCHEMES[acceleration] if isinstance(acceleration, str | None) else acceleration


def after_short_runs(scheme: Scheme) -> Scheme:
    """Return the scheme with a shorter warm-up, for a fit that starts after some steps of EM."""
    return partial(Warmup, made=BURN_IN - 2) if scheme is Warmup else scheme


# Classes that the states of schemes consist of, which a checkpoint can store.
MEMORIES: tuple[type, ...] = (Step, Plain, Sampled, Warmup, Accelerated, Point, Change)

__all__ = [
    "LEAP",
    "MEMORIES",
    "PLAIN",
    "SAMPLE",
    "SCHEMES",
    "Change",
    "Plain",
    "Point",
    "SampleEM",
    "Sampled",
    "Scheme",
    "SchemeState",
    "Step",
    "Warmup",
    "after_short_runs",
    "em_step",
    "evaluate",
    "plain_steps",
    "scheme_of",
]
