"""Benchmarks as their authors distribute them, each read by one small file; named here, so that names need no imports."""

SHAPES = "shapes"
# `shapes:NAME`: questions in other words, questions outside the world, and clips that SharpV may fail on.
SHAPES_VARIANTS = ("reworded", "offtopic", "noise", "camera", "cuts", "static", "tiny", "flashing")
