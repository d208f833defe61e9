"""Benchmarks as their authors distribute them, each read by one small file."""

SHAPES = "shapes"
# Named here, so that names need no imports.
# `shapes:NAME`: harder worlds, another renderer, questions in other words, questions outside the world, and clips that
# SharpV may fail on.
SHAPES_WORLDS = ("hard", "long", "other")
SHAPES_VARIANTS = (
    *SHAPES_WORLDS, "reworded", "offtopic", "noise", "camera", "cuts", "static", "tiny", "flashing",
)  # fmt: skip
