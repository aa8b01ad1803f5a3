"""Benchmarks: one command a table. See docs/benchmarks.md."""
