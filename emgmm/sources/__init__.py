"""Sources: where rows come from, in blocks. A source maps and sums functions, and knows no EM."""

from emgmm.sources.array import ArraySource
from emgmm.sources.source import Rows, Source, Sum

__all__ = ["ArraySource", "Rows", "Source", "Sum"]
