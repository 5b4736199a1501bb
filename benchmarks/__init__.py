"""Benchmarks: problems x libraries, in one run, with the results checked."""
