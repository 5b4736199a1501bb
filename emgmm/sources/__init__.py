"""Sources: where rows come from, in blocks. A source maps and sums functions, and knows no EM."""

from emgmm.sources.array import ArraySource
from emgmm.sources.blocked import BlocksSource
from emgmm.sources.blocks import Blocks, blocks
from emgmm.sources.conversion import as_parameters, as_rows
from emgmm.sources.dask.source import ClusterSource
from emgmm.sources.digest import DigestedSource
from emgmm.sources.finite import is_complete
from emgmm.sources.sliced import SlicedSource
from emgmm.sources.source import Rows, Source, Sum
from emgmm.sources.weights import check_ordinary, row_weights

# Sources that know their own kind of X; what none of them accepts is an array, or becomes one. To
# add one: its module beside these, and a line here. The last takes whatever hands out slices.
KINDS: tuple[type[Source], ...] = (BlocksSource, ClusterSource, SlicedSource)

__all__ = [
    "KINDS",
    "ArraySource",
    "Blocks",
    "ClusterSource",
    "DigestedSource",
    "Rows",
    "Source",
    "Sum",
    "as_parameters",
    "as_rows",
    "blocks",
    "check_ordinary",
    "is_complete",
    "row_weights",
]
