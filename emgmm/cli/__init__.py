"""The commands of ``python -m emgmm``."""
