"""Schemes: how one mixture follows another. A scheme owns its memory and never stops by itself."""

from emgmm.schemes.anderson import anderson
from emgmm.schemes.plain import plain
from emgmm.schemes.step import LEAP, PLAIN, Scheme, Step, Steps

# What ``acceleration`` calls them. To add one: its module beside these, and a line here.
SCHEMES: dict[str | None, Scheme] = {None: plain, "anderson": anderson}

__all__ = ["LEAP", "PLAIN", "SCHEMES", "Scheme", "Step", "Steps", "anderson", "plain"]
