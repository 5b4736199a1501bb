"""Regressions: few and short benchmarks that asv runs over commits."""
