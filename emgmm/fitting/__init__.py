"""Fits as functions of frozen values: a source, a problem and options."""
