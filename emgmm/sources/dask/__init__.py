"""Sources for Dask arrays and DataFrames, whose chunks are processed by the workers."""
