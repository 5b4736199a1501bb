"""Dask arrays and data frames, read where their chunks are."""
