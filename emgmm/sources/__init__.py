"""Data sources: they yield the rows in blocks and apply and sum functions of these blocks."""

from emgmm.sources.array import ArraySource
from emgmm.sources.blocked import BlocksSource
from emgmm.sources.blocks import Blocks, blocks
from emgmm.sources.conversion import as_parameters, as_rows
from emgmm.sources.dask.source import ClusterSource
from emgmm.sources.digest import DigestedSource
from emgmm.sources.finite import is_complete
from emgmm.sources.sliced import SlicedSource
from emgmm.sources.source import Rows, Source, Sum, sample_indices
from emgmm.sources.weights import check_ordinary, row_weights

# Sources that recognise a specific kind of X, tried in this order; any other X is converted to an
# array. To add a source, write its module and enter it here. `SlicedSource` is the last because it
# accepts every array-like that supports slicing.
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
    "sample_indices",
]
