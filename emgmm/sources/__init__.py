"""Data sources: they yield the rows in blocks and apply and sum functions of these blocks."""

from emgmm.sources.array import ArraySource
from emgmm.sources.blocked import BlocksSource
from emgmm.sources.blocks import Blocks, blocks
from emgmm.sources.dask.source import ClusterSource
from emgmm.sources.device import DeviceSource
from emgmm.sources.sliced import SlicedSource
from emgmm.sources.source import Rows, Source, Sum, sample_indices

# Sources that recognize a specific kind of X, tried in this order; any other X is converted to an
# array. To add a source, write its module and enter it here. `SlicedSource` is the last because it
# accepts every array-like that supports slicing.
KINDS: tuple[type[Source], ...] = (BlocksSource, ClusterSource, DeviceSource, SlicedSource)

__all__ = ["KINDS", "ArraySource", "Blocks", "Rows", "Source", "Sum", "blocks", "sample_indices"]
