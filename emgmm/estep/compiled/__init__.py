"""The E-step compiled by Numba."""
