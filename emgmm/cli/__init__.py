"""Commands of ``emgmm``."""
