"""Benchmarks as their authors distribute them, each read by one small file."""
