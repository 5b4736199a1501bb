"""Commands of ``python -m emgmm``."""
