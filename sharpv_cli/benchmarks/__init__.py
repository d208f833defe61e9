"""Measurements of the project itself, each run with `python -m sharpv_cli.benchmarks.NAME`; no command imports one."""
