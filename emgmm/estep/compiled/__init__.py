"""The E-step compiled by numba."""
