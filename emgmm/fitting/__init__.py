"""Fits as functions of a source of rows, a problem and options."""
