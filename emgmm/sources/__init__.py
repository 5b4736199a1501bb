"""Sources: where rows come from, in blocks. A source maps and sums functions, and knows no EM."""

from emgmm.sources.array import ArraySource
from emgmm.sources.cluster import ClusterSource
from emgmm.sources.source import Rows, Source, Sum

# Sources that know their own kind of X; what none of them accepts is an array, or becomes one. To
# add one: its module beside these, and a line here.
KINDS: tuple[type[Source], ...] = (ClusterSource,)

__all__ = ["KINDS", "ArraySource", "ClusterSource", "Rows", "Source", "Sum"]
