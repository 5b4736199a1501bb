"""Contract checks of families, starts, schemes and sources, those of users included.

Each check raises `AssertionError` with a sentence that names the law that is violated. Errors that
the checked object itself raises are passed on.
"""

from emgmm.testing.family import check_family
from emgmm.testing.scheme import check_scheme
from emgmm.testing.source import check_source
from emgmm.testing.start import check_start

__all__ = ["check_family", "check_scheme", "check_source", "check_start"]
