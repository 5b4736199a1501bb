"""Merging of the components of a fitted mixture into clusters."""

from emgmm.merging.merged import MergedMixture, merge_components

__all__ = ["MergedMixture", "merge_components"]
